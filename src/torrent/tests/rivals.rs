//! Tests of leeches that fetch from one seed and from each other: how soon they complete, and
//! whether those that give more complete sooner.

use super::sim::*;
use crate::layout::Layout;
use std::time::Duration;

const KIB: u64 = 1 << 10;
const MB: u64 = 1_000_000;
const MIB: u64 = 1 << 20;

/// Bytes of the torrent.
const TOTAL: u64 = 64 * MIB;

/// Simulates a seed whose line sends `seed_up` bytes a second, and leeches whose lines send `ups`.
/// One leech comes each 20 ms, over lines with a delay of 30 ms. Returns the time of each, as a
/// multiple of the least time until all can be complete: the seed must send everything once, and
/// all together must send everything to each leech.
fn leeches(seed_up: u64, ups: &[u64]) -> Vec<f64> {
    let layout = Layout::new(256 * KIB, &[(TOTAL, false)]).unwrap();
    let delay = Duration::from_millis(30);
    let mut world = World::new(layout, delay, Duration::from_millis(100));
    world.add(seed(seed_up), 50);
    for (node, up) in (1..).zip(ups) {
        world.run(Duration::from_millis(20) * node as u32, |_| false);
        world.add(Role { up: *up, ..LEECH }, 50);
        world.introduce(node, &(0..node).collect::<Vec<_>>());
    }
    let done = world.run(Duration::from_secs(300), |w| {
        w.nodes[1..].iter().all(|node| node.complete_at.is_some())
    });
    assert!(done);
    let all = (seed_up + ups.iter().sum::<u64>()) as f64;
    let least = (TOTAL as f64 / seed_up as f64).max(TOTAL as f64 * ups.len() as f64 / all);
    let times = 1..=ups.len();
    times.map(|node| world.seconds(node) / least).collect()
}

fn mean(times: impl Iterator<Item = f64> + Clone) -> f64 {
    times.clone().sum::<f64>() / times.count() as f64
}

#[test]
fn sixteen_leeches_keep_one_seed_and_one_another_busy() {
    for (seed_up, up, most) in [(2 * MB, 2 * MB, 1.3), (4 * MB, 2 * MB, 1.15)] {
        let times = leeches(seed_up, &[up; 16]);
        let last = times.iter().fold(0.0, |a: f64, b| a.max(*b));
        assert!(last < most, "{seed_up}, {up}: {last:.3} times the ideal");
    }
}

/// The lines of half of them are a quarter as fast.
#[test]
fn who_gives_more_has_it_sooner() {
    let ups: Vec<u64> = (0..16)
        .map(|n| 2 * MB / if n % 2 == 0 { 4 } else { 1 })
        .collect();
    let times = leeches(4 * MB, &ups);
    let slow = mean(times.iter().step_by(2).copied());
    let fast = mean(times.iter().skip(1).step_by(2).copied());
    assert!(fast < 0.95 * slow, "{fast:.3} and {slow:.3}");
    assert!((fast + slow) / 2.0 < 1.05, "{fast:.3} and {slow:.3}");
}
