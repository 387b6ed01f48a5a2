//! Tests of whole swarms: what all their peers must achieve together.

use super::sim::*;
use crate::layout::{BLOCK_LEN, Layout};
use std::time::Duration;

const MB: u64 = 1_000_000;
const MIB: u64 = 1 << 20;

fn layout(piece_length: u64, total: u64) -> Layout {
    Layout::new(piece_length, &[(total, false)]).unwrap()
}

/// Four hundred peers, some of them liars that claim to have everything: each honest peer completes
/// exactly once, and bans the liars that it met.
#[test]
fn hundreds_of_peers_with_liars_among_them() {
    const PIECES: u64 = 40;
    const NODES: usize = 400;
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
            ..LEECH
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
                node.bans(*liar),
                "node {index} was fooled by {liar} and does not know"
            );
        }
        for other in (0..NODES).filter(honest) {
            assert!(
                !node.bans(other),
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

/// Simulates one seed at 10 MB/s, and `leeches` newcomers with lines of `up` bytes a second that
/// all come within a third of a second. What the seed sends to one of them, the others get from
/// that one. Returns the time of the last, as a multiple of the time in which the seed can send
/// everything once. All must take about as long.
fn crowd(leeches: usize, up: u64) -> f64 {
    let (total, rate) = (64 * MIB, 10 * MB);
    let mut world = World::new(
        layout(256 * 1024, total),
        Duration::from_micros(100),
        Duration::from_millis(100),
    );
    world.add(seed(rate), 50);
    for node in 1..=leeches {
        world.run(Duration::from_millis(20) * node as u32, |_| false);
        world.add(Role { up, ..LEECH }, 50);
        world.introduce(node, &(0..node).collect::<Vec<_>>());
    }
    let done = world.run(Duration::from_secs(120), |w| {
        w.nodes[1..].iter().all(|node| node.complete_at.is_some())
    });
    assert!(done);
    let times: Vec<f64> = (1..=leeches).map(|node| world.seconds(node)).collect();
    let (first, last) = times
        .iter()
        .fold((f64::MAX, 0.0f64), |(a, b), t| (a.min(*t), b.max(*t)));
    assert!(last / first < 1.1, "unequal: {times:.2?}");
    last / (total as f64 / rate as f64)
}

/// The same with more leeches than a seed usually serves at a time.
#[test]
fn a_flash_crowd_shares() {
    for (leeches, up, most) in [(8, 10 * MB, 1.2), (8, 100 * MB, 1.2), (16, 100 * MB, 1.35)] {
        let ratio = crowd(leeches, up);
        assert!(
            ratio < most,
            "{leeches} leeches: {ratio:.3} times the ideal"
        );
    }
}

/// Lines break within pieces, programs are killed and restarted, disks fail, and some peers lie:
/// all that are left complete, and no honest peer is banned.
#[test]
fn a_swarm_outlives_faults() {
    const SEEDS: usize = 3;
    const LIARS: usize = 3;
    const NODES: usize = 30;
    let is_honest = |node: &usize| !(SEEDS..SEEDS + LIARS).contains(node);
    for chance in 0..4 {
        let piece_length = 3 * u64::from(BLOCK_LEN);
        let layout = layout(piece_length, 60 * piece_length - 20_000);
        let tick = Duration::from_millis(100);
        let mut world = World::new(layout, Duration::from_millis(20), tick);
        let mut rng = fastrand::Rng::with_seed(chance);
        for node in 0..NODES {
            let lies_one_in = if is_honest(&node) { 0 } else { 20 };
            let role = Role {
                seed: node < SEEDS + LIARS,
                lies_one_in,
                up: 300_000,
                ..LEECH
            };
            world.add(role, 8);
        }
        let meet = |world: &mut World, rng: &mut fastrand::Rng, node| {
            let others: Vec<usize> = (0..6).map(|_| rng.usize(..NODES)).collect();
            world.introduce(node, &others);
        };
        (0..NODES).for_each(|node| meet(&mut world, &mut rng, node));
        let done = |world: &World| {
            let mut left = world.nodes.iter().filter(|node| !node.dead);
            left.all(|node| node.torrent.is_seed())
        };
        let (mut restarts, mut broken) = (0, 0);
        for step in 1..2_000 {
            if world.run(Duration::from_millis(200) * step, done) {
                break;
            }
            // For the first minute a connection breaks every 0.2 s.
            if step < 300 {
                let node = rng.usize(..NODES);
                broken += usize::from(!world.nodes[node].torrent.is_seed());
                world.sever_one(node);
            }
            let leech = rng.usize(SEEDS + LIARS..NODES);
            if step < 300 && step.is_multiple_of(3) && !world.nodes[leech].dead {
                restarts += usize::from(!world.nodes[leech].torrent.is_seed());
                world.restart(leech);
                meet(&mut world, &mut rng, leech);
            }
            if [4, 9, 14].contains(&step) {
                world.fail(leech);
            }
            if step == 20 {
                world.fail(0);
            }
        }
        assert!(done(&world), "chance {chance}: not complete");
        assert!(
            restarts > 2 && broken > 10,
            "{restarts} and {broken} faults"
        );
        let left = |node: &usize| !world.nodes[*node].dead;
        for index in (0..NODES).filter(is_honest).filter(left) {
            world.check_availability(index);
            for other in (0..NODES).filter(is_honest) {
                assert!(
                    !world.nodes[index].bans(other),
                    "chance {chance}: {index} banned {other}, which is honest"
                );
            }
        }
    }
}

/// Sixty peers claim to have everything and choke us. They do not keep us from the one seed that
/// gives, although it would be dialled last. `come`: how many of them dial us.
#[test]
fn who_gives_nothing_holds_no_place() {
    const CHOKERS: usize = 60;
    for come in [0, 50] {
        let delay = Duration::from_millis(20);
        let tick = Duration::from_millis(100);
        let mut world = World::new(layout(64 * 1024, MIB), delay, tick);
        let choker = Role {
            lets_ask: |_, _| false,
            ..seed(MB)
        };
        for _ in 0..CHOKERS {
            world.add(choker.clone(), 50);
        }
        let honest = world.add(seed(MB), 50);
        let leech = world.add(LEECH, 50);
        for node in 0..come {
            world.introduce(node, &[leech]);
        }
        world.run(Duration::from_secs(1), |_| false);
        world.introduce(leech, &(come..=honest).collect::<Vec<_>>());
        let connected = |world: &World| world.nodes[leech].torrent.progress(world.at()).peers;
        assert!(!world.run(Duration::from_secs(50), |w| w.nodes[honest].given > 0));
        assert!(connected(&world) >= 45, "all places are taken");
        let done = world.run(Duration::from_secs(180), |w| {
            w.nodes[leech].complete_at.is_some()
        });
        assert!(done, "{come} came: {} peers", connected(&world));
    }
}

/// Of 200 honest seeds, eight serve us at a time, in turns. Seeds that lose their place while we
/// wait for their turn do not make the download longer.
#[test]
fn turns_are_waited_for() {
    const SEEDS: usize = 200;
    let time = |known: usize| {
        let delay = Duration::from_millis(20);
        let tick = Duration::from_millis(100);
        let mut world = World::new(layout(256 * 1024, 64 * MIB), delay, tick);
        let takes_turns = Role {
            lets_ask: |node, now| (node as u64 + now.as_secs() / 10).is_multiple_of(25),
            ..seed(100_000)
        };
        for _ in 0..SEEDS {
            world.add(takes_turns.clone(), 50);
        }
        let leech = world.add(LEECH, 50);
        world.introduce(leech, &(0..known).collect::<Vec<_>>());
        // Counted before it completes: then it leaves all seeds and dials others.
        assert!(!world.run(Duration::from_secs(300), |w| {
            w.nodes[leech].complete_at.is_some()
        }));
        let dialled = world.nodes[leech].torrent.swarm.dialled();
        assert!(world.run(Duration::from_secs(2_000), |w| {
            w.nodes[leech].complete_at.is_some()
        }));
        (world.seconds(leech), dialled)
    };
    // A leech that knows no more seeds than it has places has no others to dial.
    let ((without, few), (with, more)) = (time(45), time(SEEDS));
    assert_eq!(few, 45);
    assert!(more > 45, "nobody's place was given to another");
    assert!(
        with <= 1.05 * without,
        "{with:.0} s, and without {without:.0} s"
    );
}
