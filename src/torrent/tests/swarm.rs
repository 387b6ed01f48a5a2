//! Whole swarms: what all peers together must come to.

use super::sim::*;
use crate::layout::{BLOCK_LEN, Layout};
use std::time::Duration;

const MB: u64 = 1_000_000;
const MIB: u64 = 1 << 20;

fn layout(piece_length: u64, total: u64) -> Layout {
    Layout::new(piece_length, &[(total, false)]).unwrap()
}

/// A thousand peers, some of them liars that claim to have everything: whoever is
/// honest completes, exactly once, and knows the liars that it met.
#[test]
fn a_thousand_peers_with_liars_among_them() {
    const PIECES: u64 = 40;
    const NODES: usize = 1000;
    const SEEDS: usize = 10;
    const LIARS: usize = 30;
    let layout = layout(
        2 * u64::from(BLOCK_LEN),
        PIECES * 2 * u64::from(BLOCK_LEN) - 5000,
    );
    let delay = Duration::from_millis(20);
    let mut world = World::new(layout, delay, Duration::from_millis(500));
    let mut rng = fastrand::Rng::with_seed(5);
    for node in 0..NODES {
        let role = Role {
            seed: node < SEEDS + LIARS,
            lies_one_in: if (SEEDS..SEEDS + LIARS).contains(&node) {
                3
            } else {
                0
            },
            up: 2 * MB,
        };
        world.add(role, 12);
    }
    for node in 0..NODES {
        let others: Vec<usize> = (0..5).map(|_| rng.usize(..NODES)).collect();
        world.introduce(node, &others);
    }
    let honest = |node: &usize| !(SEEDS..SEEDS + LIARS).contains(node);
    let leeches = || (SEEDS + LIARS)..NODES;
    let done = world.run(Duration::from_secs(600), |world| {
        leeches().all(|node| world.nodes[node].complete_at.is_some())
    });
    let late = leeches().filter(|node| world.nodes[*node].complete_at.is_none());
    assert!(done, "not complete: {:?}", late.collect::<Vec<_>>());
    for index in (0..NODES).filter(honest) {
        let node = &world.nodes[index];
        assert!(node.torrent.is_seed());
        assert!(index < SEEDS || node.completions == 1);
        world.check_availability(index);
        world.check_known(index);
        for liar in node.fooled_by.keys() {
            assert!(
                node.torrent
                    .swarm
                    .is_banned(World::addr(*liar), World::peer_id(*liar), true),
                "node {index} was fooled by {liar} and does not know"
            );
        }
        for other in (0..NODES).filter(honest) {
            assert!(
                !node
                    .torrent
                    .swarm
                    .is_banned(World::addr(other), World::peer_id(other), true),
                "node {index} banned {other}, which is honest"
            );
        }
    }
    let blocks: u32 = leeches().map(|node| world.nodes[node].blocks).sum();
    let needed = (NODES - SEEDS - LIARS) as u32 * PIECES as u32 * 2;
    assert!(
        blocks < needed * 5 / 4,
        "{blocks} blocks came, {needed} were needed"
    );
    let mut fooled = leeches().flat_map(|node| world.nodes[node].fooled_by.values());
    assert!(fooled.next().is_some(), "nobody lied");
}

/// Large pieces from seven fast peers and one that is a hundred times slower: the slow
/// one must not hold up the end.
#[test]
fn a_slow_peer_does_not_hold_up_the_end() {
    let total = 256 * MIB;
    let mut world = World::new(
        layout(4 * MIB, total),
        Duration::from_micros(100),
        Duration::from_millis(100),
    );
    let rates = [[20 * MB; 7].as_slice(), &[200_000]].concat();
    for up in &rates {
        world.add(
            Role {
                seed: true,
                lies_one_in: 0,
                up: *up,
            },
            50,
        );
    }
    let leech = world.add(LEECH, 50);
    world.introduce(leech, &(0..rates.len()).collect::<Vec<_>>());
    assert!(world.run(Duration::from_secs(20), |w| {
        w.nodes[leech].complete_at.is_some()
    }));
    let ideal = total as f64 / rates.iter().sum::<u64>() as f64;
    let ratio = world.seconds(leech) / ideal;

    assert!(ratio < 1.02, "{ratio:.3} times the ideal");
}

/// 500 Mbit/s over a round trip of 100 ms: the requests must run far ahead.
#[test]
fn a_long_fat_line_is_filled() {
    let (total, rate) = (512 * MIB, 62_500_000);
    let mut world = World::new(
        layout(MIB, total),
        Duration::from_millis(50),
        Duration::from_millis(100),
    );
    let seed = world.add(
        Role {
            seed: true,
            lies_one_in: 0,
            up: rate,
        },
        50,
    );
    let leech = world.add(LEECH, 50);
    world.introduce(leech, &[seed]);
    assert!(world.run(Duration::from_secs(30), |w| {
        w.nodes[leech].complete_at.is_some()
    }));
    let ratio = world.seconds(leech) / (total as f64 / rate as f64);

    assert!(ratio < 1.06, "{ratio:.3} times the ideal");
}

/// One seed, eight newcomers at once, all with lines as fast as the seed's: what the
/// seed gives to one, the others get from that one.
#[test]
fn a_flash_crowd_shares() {
    let (total, rate) = (64 * MIB, 10 * MB);
    let mut world = World::new(
        layout(256 * 1024, total),
        Duration::from_micros(100),
        Duration::from_millis(100),
    );
    for node in 0..9 {
        world.add(
            Role {
                seed: node == 0,
                lies_one_in: 0,
                up: rate,
            },
            50,
        );
    }
    for node in 1..9 {
        let others: Vec<usize> = (0..9).filter(|other| *other != node).collect();
        world.introduce(node, &others);
    }
    let done = world.run(Duration::from_secs(120), |w| {
        w.nodes[1..].iter().all(|node| node.complete_at.is_some())
    });
    assert!(done);
    let times: Vec<f64> = (1..9).map(|node| world.seconds(node)).collect();
    let (first, last) = times
        .iter()
        .fold((f64::MAX, 0.0f64), |(a, b), t| (a.min(*t), b.max(*t)));
    let ratio = last / (total as f64 / rate as f64);

    assert!(ratio < 1.25, "{ratio:.3} times the ideal: {times:.2?}");
    assert!(last / first < 1.1, "unequal: {times:.2?}");
}
