//! One leech with many seeds, slow and fast: how near it comes to the sum of their lines, and how
//! much it requests in vain.

use crate::{KB, KIB, MB, MIB};
use std::time::Duration;
use storrent::sim::{Role, Swarm};

const NEAR: Duration = Duration::from_micros(100);
const FAR: Duration = Duration::from_millis(50);

/// The costs of a download, as multiples of the least possible.
#[derive(Debug)]
struct Cost {
    time: f64,
    /// Blocks that came over the line.
    carried: f64,
    requests: f64,
}

/// Plays a leech and seeds that send `rates` (bytes a second), with `delay` between them. The leech
/// learns all their addresses at once.
fn from_seeds(rates: &[u64], piece_length: u64, total: u64, delay: Duration) -> Cost {
    let mut swarm = Swarm::new(11).content(total, piece_length).checked();
    for up in rates {
        swarm.add(Role::seed(*up).delay(delay / 2).meets(0));
    }
    let leech = Role::leech(0).delay(delay / 2).places(300);
    let leech = swarm.add(leech.meets(rates.len()));
    let outcome = swarm.run(Duration::from_secs(120));
    assert!(outcome.is_complete(), "{outcome}");
    let ideal = total as f64 / rates.iter().sum::<u64>() as f64;
    Cost {
        time: outcome.mean_time() / ideal,
        carried: f64::from(swarm.figures(leech).got) / f64::from(outcome.blocks),
        requests: f64::from(swarm.figures(leech).requests) / f64::from(outcome.blocks),
    }
}

/// More slow seeds than a small torrent has windows: each brings its part, all end together, and
/// few blocks are requested twice. If half of the seeds are fast, they take over what the slow ones
/// have left at the end. These threads hear of it 250 ms late, which is 5 % of the time here.
#[test]
fn each_brings_what_it_can() {
    let half = [[20 * KB; 25], [2 * MB; 25]].concat();
    let cases: [(&str, &[u64], u64, f64, f64); 5] = [
        ("200 at 50 kB/s", &[50 * KB; 200], 64, 1.06, 1.05),
        ("the same, and longer", &[50 * KB; 200], 192, 1.03, 1.05),
        ("50 at 20 kB/s", &[20 * KB; 50], 16, 1.06, 1.05),
        ("slow and fast", &half, 64, 1.15, 1.15),
        ("the same, and longer", &half, 256, 1.07, 1.1),
    ];
    for (name, rates, mib, time, requests) in cases {
        let cost = from_seeds(rates, 256 * KIB, mib * MIB, NEAR);
        let good = cost.time < time && cost.carried < 1.02 && cost.requests < requests;
        assert!(good, "{name}, {mib} MiB: {cost:?}");
    }
}

/// The same over round trips of 100 ms, where a first window is large: the first forty seeds have
/// everything on order before the others are connected, and these take over their parts. The limit
/// is 42 % above the ideal: 15 % are four round trips, and 11 % the time to dial, twenty at a time.
/// Nearly half of the blocks are requested a second time.
#[test]
fn what_the_first_far_ones_were_asked_for_moves_to_who_comes_later() {
    let cost = from_seeds(&[MB; 100], 256 * KIB, 256 * MIB, FAR);
    let good = cost.time < 1.42 && cost.carried < 1.02 && cost.requests < 1.45;
    assert!(good, "{cost:?}");
}

/// Seeds of 30 to 102 kB/s: none is four times as fast as another, but the last blocks do not wait
/// for the slower ones. Without the rule for the last 32 blocks the time is 1.066 times the ideal.
#[test]
fn unequal_slow_seeds_end_together() {
    let rates: Vec<u64> = (0..10).map(|n| (30 + 8 * n) * KB).collect();
    let cost = from_seeds(&rates, 256 * KIB, 8 * MIB, NEAR);
    let good = cost.time < 1.04 && cost.carried < 1.02 && cost.requests < 1.1;
    assert!(good, "{cost:?}");
}

#[test]
fn a_slow_peer_does_not_hold_up_the_end() {
    let rates = [[20 * MB; 7].as_slice(), &[200_000]].concat();
    let ratio = from_seeds(&rates, 4 * MIB, 512 * MIB, NEAR).time;
    assert!(ratio < 1.015, "{ratio:.3} times the ideal");
}

/// 500 Mbit/s over a round trip of 100 ms: many requests must be under way. The limit is 6 % above
/// the ideal: 4.7 % are four round trips, to connect, shake hands, be unchoked and request.
#[test]
fn a_long_fat_line_is_filled() {
    let ratio = from_seeds(&[62_500_000], MIB, 512 * MIB, FAR).time;
    assert!(ratio < 1.06, "{ratio:.3} times the ideal");
}

/// All of a hundred slow seeds are used early, and all end at the same time.
#[test]
fn a_hundred_seeds_are_used_to_the_end() {
    let ratio = from_seeds(&[MB; 100], 256 * KIB, 256 * MIB, NEAR).time;
    assert!(ratio < 1.06, "{ratio:.3} times the ideal");
}

/// A window is a number of blocks, but a block may be as short as its piece. Then the thread must not
/// sleep longer than what is on order takes, nor the window stay as small as for long blocks.
#[test]
fn short_blocks_come_as_fast_as_long_ones() {
    for (name, rate, piece_length, kib) in [
        ("slow", 50 * KB, KIB, 512),
        ("slower", 20 * KB, KIB, 128),
        ("fast", 2 * MB, KIB, 8 * KIB),
        ("long and short ones in turn", 50 * KB, 17 * KIB, 512),
    ] {
        let cost = from_seeds(&[rate], piece_length, kib * KIB, NEAR);
        let good = cost.time < 1.06 && cost.requests < 1.05;
        assert!(good, "{name}: {cost:?}");
    }
}
