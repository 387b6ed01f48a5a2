//! Leeches that fetch from one seed and from each other: how soon they complete, and whether those
//! that give more complete sooner.

use crate::{KIB, MB, MIB};
use std::time::Duration;
use storrent::sim::{Role, Swarm};

/// Bytes of the torrent.
const TOTAL: u64 = 64 * MIB;

/// Plays a seed whose line sends `seed_up` bytes a second, and leeches whose lines send `ups`. One
/// leech comes each 20 ms, and a byte travels for `delay`. Returns the time of each.
fn leeches(seed_up: u64, ups: &[u64], delay: Duration) -> Vec<f64> {
    let mut swarm = Swarm::new(11).content(TOTAL, 256 * KIB).checked();
    swarm.add(Role::seed(seed_up).delay(delay / 2));
    for (n, up) in (1..).zip(ups) {
        let leech = Role::leech(*up).delay(delay / 2);
        swarm.add(leech.joins(Duration::from_millis(20) * n));
    }
    let outcome = swarm.run(Duration::from_secs(300));
    assert!(outcome.is_complete(), "{outcome}");
    let times = outcome.nodes[1..].iter().filter_map(|node| node.complete);
    times.map(|time| time.as_secs_f64()).collect()
}

fn mean(times: impl Iterator<Item = f64> + Clone) -> f64 {
    times.clone().sum::<f64>() / times.count() as f64
}

/// All newcomers come within a third of a second, and the seed sends faster to one than it can to
/// all: what it sends to one, the others get from that one. The limits are multiples of the time in
/// which the seed can send everything once. All leeches must take about as long.
#[test]
fn a_flash_crowd_shares() {
    for (leeches, up, most) in [(8, 10 * MB, 1.2), (8, 100 * MB, 1.2), (16, 100 * MB, 1.35)] {
        let times = self::leeches(10 * MB, &vec![up; leeches], Duration::from_micros(100));
        let first = times.iter().copied().fold(f64::MAX, f64::min);
        let last = times.iter().copied().fold(0.0, f64::max);
        assert!(last / first < 1.1, "unequal: {times:.2?}");
        let ratio = last / (TOTAL as f64 / (10 * MB) as f64);
        assert!(
            ratio < most,
            "{leeches} leeches: {ratio:.3} times the ideal"
        );
    }
}

/// Returns the same times over a delay of 30 ms, as multiples of the least time until all can be
/// complete: the seed must send everything once, and all together must send everything to each
/// leech.
fn ratios(seed_up: u64, ups: &[u64]) -> Vec<f64> {
    let all = (seed_up + ups.iter().sum::<u64>()) as f64;
    let least = (TOTAL as f64 / seed_up as f64).max(TOTAL as f64 * ups.len() as f64 / all);
    let times = leeches(seed_up, ups, Duration::from_millis(30));
    times.into_iter().map(|time| time / least).collect()
}

#[test]
fn sixteen_leeches_keep_one_seed_and_one_another_busy() {
    for (seed_up, up, most) in [(2 * MB, 2 * MB, 1.15), (4 * MB, 2 * MB, 1.15)] {
        let times = ratios(seed_up, &[up; 16]);
        let last = times.iter().fold(0.0, |a: f64, b| a.max(*b));
        assert!(last < most, "{seed_up}, {up}: {last:.3} times the ideal");
    }
}

/// Half of them have a line a quarter as fast.
#[test]
fn who_gives_more_has_it_sooner() {
    let ups: Vec<u64> = (0..16)
        .map(|n| 2 * MB / if n % 2 == 0 { 4 } else { 1 })
        .collect();
    let times = ratios(4 * MB, &ups);
    let slow = mean(times.iter().step_by(2).copied());
    let fast = mean(times.iter().skip(1).step_by(2).copied());
    assert!(fast < 0.95 * slow, "{fast:.3} and {slow:.3}");
    assert!((fast + slow) / 2.0 < 1.05, "{fast:.3} and {slow:.3}");
}
