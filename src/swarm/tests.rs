//! The address book: which addresses it accepts, when it dials them, and which it never dials.

use super::*;
use crate::shortage::Shortage;

fn addr(n: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 6881))
}

#[test]
fn nobody_of_the_other_family_and_no_strangers_stand_ins() {
    let of = |swarm: &mut Swarm, addr: &str, source| swarm.add(addr.parse().unwrap(), source);
    let all = [Source::User, Source::Tracker, Source::Link, Source::Pex];
    for source in all {
        let mut v4 = Swarm::new(Door::at([10, 0, 0, 1]));
        assert!(of(&mut v4, "1.2.3.4:6881", source));
        assert!(of(&mut v4, "[::ffff:1.2.3.5]:6881", source));
        assert!(!of(&mut v4, "[2001:db8::1]:6881", source));
        let mut v6 = Swarm::new(Door::at([0xfd00, 0, 0, 0, 0, 0, 0, 1]));
        assert!(of(&mut v6, "[2001:db8::1]:6881", source));
        assert!(!of(&mut v6, "1.2.3.4:6881", source));
        // A stand-in for a name may be of either family: the proxy looks the name up.
        let ours = matches!(source, Source::User | Source::Link);
        assert_eq!(of(&mut v4, "[100::7]:6881", source), ours);
        assert_eq!(of(&mut Swarm::default(), "[100::7]:6881", source), ours);
    }
}

#[test]
fn no_way_out_is_no_fault_of_theirs() {
    let (mut swarm, now) = (Swarm::default(), Instant::now());
    swarm.add(addr(1), Source::Pex);
    for n in 0..20 {
        let at = now + n * SHORT_PAUSE;
        assert_eq!(swarm.next(at), Some(addr(1)), "try {n}");
        swarm.ended(addr(1), Ending::Failed(EndKind::NoWay), at);
    }
    assert_eq!(swarm.counts().failed, 0);
    let at = now + 20 * SHORT_PAUSE;
    assert_eq!(swarm.next(at), Some(addr(1)));
    swarm.ended(addr(1), Ending::Failed(EndKind::Barred), at);
    assert_eq!(swarm.counts().barred, 1);
    assert_eq!(swarm.next(at + SHORT_PAUSE), None, "that is their failure");
}

#[test]
fn nonsense_is_not_dialled() {
    let mut swarm = Swarm::default();
    for bad in [
        "0.0.0.0:6881",
        "10.0.0.1:0",
        "224.0.0.1:6881",
        "255.255.255.255:6881",
        "240.0.0.1:6881",
        "[::ffff:224.0.0.1]:6881",
        "[ff02::1]:6881",
        "[fe80::1]:6881",
        "10.0.0.1:25",
        "[::]:6881",
        "[::ffff:0.1.2.3]:6881",
    ] {
        assert!(!swarm.add(bad.parse().unwrap(), Source::Tracker), "{bad}");
    }
    assert!(
        swarm.add("10.0.0.1:25".parse().unwrap(), Source::User),
        "the user's word"
    );
    assert!(!swarm.add("10.0.0.1:0".parse().unwrap(), Source::User));
    assert!(swarm.add("[fe80::1%2]:6881".parse().unwrap(), Source::Lsd));
    assert!(swarm.add("[::ffff:10.0.0.1]:6881".parse().unwrap(), Source::Pex));
    assert!(
        !swarm.add("10.0.0.1:6881".parse().unwrap(), Source::Pex),
        "the same"
    );
}

#[test]
fn failures_are_spaced_out_and_given_up() {
    let mut swarm = Swarm::default();
    let mut now = Instant::now();
    swarm.add(addr(1), Source::Tracker);
    swarm.add(addr(2), Source::User);
    for attempt in 0..4 {
        for _ in 0..2 {
            let dialled = swarm.next(now).unwrap();
            swarm.ended(dialled, Ending::Failed(EndKind::TimedOut), now);
        }
        assert_eq!(swarm.next(now), None, "attempt {attempt}");
        now += BACK_OFF[2];
    }
    assert_eq!(
        swarm.next(now),
        Some(addr(2)),
        "the user's peer is never given up"
    );
    assert_eq!(swarm.next(now), None, "the other is");
}

/// The only seed was away for hours. Its tracker goes on naming it, so it is found when it is back,
/// but it is not dialled more often than before.
#[test]
fn who_is_named_again_is_tried_again() {
    let mut swarm = Swarm::default();
    let start = Instant::now();
    swarm.add(addr(1), Source::Tracker);
    let mut dialled = Vec::new();
    for minute in 0..6 * 60 {
        let now = start + Duration::from_secs(60 * minute);
        if minute % 30 == 0 {
            swarm.add(addr(1), Source::Tracker);
        }
        if let Some(addr) = swarm.next(now) {
            swarm.ended(addr, Ending::Failed(EndKind::Refused), now);
            dialled.push(minute);
        }
    }
    assert_eq!(
        dialled,
        [
            0, 1, 3, 18, 33, 60, 90, 120, 150, 180, 210, 240, 270, 300, 330
        ]
    );
}

/// Nobody is connected to us. So we find a peer within 10 s after it is back, however many others
/// are away for good, but give nobody up sooner than otherwise.
#[test]
fn a_lonely_torrent_does_not_wait_out_the_pauses() {
    for peers in [1, 3, 40] {
        let mut swarm = Swarm::default();
        let start = Instant::now();
        add_all(&mut swarm, 0..peers, Source::Dht);
        let mut regular = Vec::new();
        let mut early: Vec<(u64, SocketAddr)> = Vec::new();
        for second in 0..1800 {
            let now = start + Duration::from_secs(second);
            let fail = Ending::Failed(EndKind::Refused);
            while let Some(addr) = swarm.next(now) {
                swarm.ended(addr, fail, now);
                regular.push(second);
            }
            if let Some(addr) = swarm.next_early(now) {
                swarm.ended(addr, fail, now);
                early.push((second, addr));
            }
        }
        let one = [0, 10, 130, 1030];
        let all = one.map(|second| vec![second; peers.into()]).concat();
        assert_eq!(regular, all, "as if there were no early dials");
        let mut times: Vec<u64> = early.iter().map(|(second, _)| *second).collect();
        times.extend(one);
        times.sort_unstable();
        let gaps = times.windows(2).map(|two| two[1] - two[0]);
        assert_eq!(gaps.clone().max(), Some(10), "{peers}");
        assert_eq!(gaps.min(), Some(10), "{peers}: no burst");
        let turn = early.iter().map(|(_, addr)| *addr);
        let turn: std::collections::BTreeSet<_> = turn.collect();
        assert_eq!(turn.len(), usize::from(peers), "each has its turn");
        assert!(early.last().unwrap().0 < 1030, "all are given up");
    }
}

/// The user hears how the last dial failed, even if it came before its time.
#[test]
fn an_early_dial_tells_why_it_failed() {
    let (mut swarm, start) = (Swarm::default(), Instant::now());
    swarm.add(addr(1), Source::Dht);
    assert_eq!(swarm.next(start), Some(addr(1)));
    swarm.ended(addr(1), Ending::Failed(EndKind::TimedOut), start);
    let early = start + LONELY - Duration::from_millis(1);
    assert_eq!(swarm.next_early(early), None);
    let now = start + LONELY;
    swarm.next(now);
    swarm.ended(addr(1), Ending::Failed(EndKind::TimedOut), now);
    let now = now + LONELY;
    assert_eq!(
        (swarm.next(now), swarm.next_early(now)),
        (None, Some(addr(1)))
    );
    swarm.ended(addr(1), Ending::Failed(EndKind::Refused), now);
    let counts = swarm.counts();
    assert_eq!((counts.timed_out, counts.refused), (0, 1));
}

/// If we lack a thread or an open file, no peer is given up or counted as failed.
#[test]
fn our_own_shortage_is_held_against_nobody() {
    let mut swarm = Swarm::default();
    let mut now = Instant::now();
    swarm.add(addr(1), Source::Pex);
    for shortage in [Shortage::Threads, Shortage::Files].repeat(50) {
        assert_eq!(swarm.next(now), Some(addr(1)));
        swarm.ended(addr(1), Ending::Failed(EndKind::Short(shortage)), now);
        assert_eq!(swarm.next(now), None, "not at once");
        now += SHORT_PAUSE;
    }
    let untried = Addresses {
        known: 1,
        ..Addresses::default()
    };
    assert_eq!(swarm.counts(), untried);
}

#[test]
fn the_best_source_first_and_nobody_twice() {
    let mut swarm = Swarm::default();
    let now = Instant::now();
    assert!(swarm.add(addr(1), Source::Tracker));
    assert!(!swarm.add(addr(1), Source::Tracker), "known already");
    swarm.add(addr(2), Source::User);
    assert_eq!(swarm.next(now), Some(addr(2)));
    assert_eq!(swarm.next(now), Some(addr(1)));
    assert_eq!(swarm.next(now), None, "both are busy");
    swarm.ended(addr(1), Ending::Good, now);
    assert_eq!(swarm.next(now), None);
    assert_eq!(swarm.next(now + AFTER_GOOD), Some(addr(1)));
}

/// How many of `range` are accepted.
fn add_all(swarm: &mut Swarm, range: std::ops::Range<u16>, source: Source) -> usize {
    range.filter(|n| swarm.add(addr(*n), source)).count()
}

#[test]
fn a_flood_pushes_out_nobody_better() {
    let mut swarm = Swarm::default();
    assert_eq!(add_all(&mut swarm, 0..1, Source::User), 1);
    assert_eq!(add_all(&mut swarm, 1..600, Source::Tracker), 599);
    assert_eq!(add_all(&mut swarm, 600..6_000, Source::Pex), 400);
    assert_eq!(add_all(&mut swarm, 6_000..6_100, Source::Dht), 100);
    assert_eq!(add_all(&mut swarm, 6_100..7_000, Source::Tracker), 400);
    assert_eq!(swarm.counts().known, MAX_KNOWN);
    let known = swarm.known.values();
    let best = known.filter(|known| known.source <= Source::Tracker);
    assert_eq!(best.count(), MAX_KNOWN);
}

#[test]
fn who_is_given_up_makes_room_for_anybody() {
    let mut swarm = Swarm::default();
    let mut now = Instant::now();
    add_all(&mut swarm, 0..1000, Source::Tracker);
    // All but one are connected. This one fails again and again.
    let all: Vec<SocketAddr> = std::iter::from_fn(|| swarm.next(now)).collect();
    assert_eq!(all.len(), MAX_KNOWN);
    for failures in 1..=4 {
        assert!(!swarm.add(addr(2000), Source::Pex), "before {failures}");
        swarm.ended(all[7], Ending::Failed(EndKind::Refused), now);
        now += BACK_OFF[2];
        assert_eq!(swarm.next(now), (failures < 4).then_some(all[7]));
    }
    assert!(swarm.add(addr(2000), Source::Pex));
}

/// A peer makes up new addresses without end. Those of trackers still get their retries.
#[test]
fn made_up_addresses_hold_up_nobody() {
    let mut swarm = Swarm::default();
    let mut now = Instant::now();
    add_all(&mut swarm, 0..10, Source::Tracker);
    let mut tries = [0; 10];
    for n in 10..1_000 {
        add_all(&mut swarm, 10 * n..10 * n + 10, Source::Pex);
        now += Duration::from_secs(2);
        let dialled = swarm.next(now).unwrap();
        swarm.ended(dialled, Ending::Failed(EndKind::TimedOut), now);
        if let Some(n) = (0..10).find(|n| addr(*n) == dialled) {
            tries[usize::from(n)] += 1;
        }
    }
    assert_eq!(tries, [4; 10], "the first, and three more, until given up");
}

#[test]
fn bounded_and_bans_hold() {
    let mut swarm = Swarm::default();
    for n in 0..2000 {
        swarm.add(addr(n), Source::Tracker);
    }
    assert_eq!(swarm.counts().known, MAX_KNOWN);
    swarm.ban(addr(1999), false);
    assert!(!swarm.add(addr(1999), Source::Tracker));
    assert!(swarm.is_banned(addr(1999), false));
    assert!(
        !swarm.is_banned(addr(1999), true),
        "another port of the same host"
    );
    swarm.ban(addr(6), true);
    assert!(swarm.is_banned(SocketAddr::new(addr(6).ip(), 999), true));
    assert!(
        !swarm.is_banned(addr(6), false),
        "who listens there is somebody else"
    );
    swarm.is_us(addr(7));
    assert!(!swarm.add(addr(7), Source::Tracker));
}

#[test]
fn loopback_is_not_banned_as_a_host() {
    let mut swarm = Swarm::default();
    let local: SocketAddr = "127.0.0.1:50000".parse().unwrap();
    swarm.ban(local, true);
    assert!(!swarm.is_banned(local, true));
}

/// Being useless does not remove it, nor does a ban that was an error.
#[test]
fn whom_the_user_named_is_not_forgotten() {
    let mut swarm = Swarm::default();
    let mut now = Instant::now();
    swarm.add(addr(1), Source::User);
    assert_eq!(swarm.next(now), Some(addr(1)));
    swarm.ended(addr(1), Ending::Useless, now);
    assert_eq!(swarm.next(now + REST - Duration::from_secs(1)), None);
    now += REST;
    assert_eq!(swarm.next(now), Some(addr(1)));
    swarm.ban(addr(1), false);
    swarm.ended(addr(1), Ending::Useless, now);
    assert_eq!(swarm.next(now + REST), None);
    swarm.pardon(addr(1), false);
    for _ in 0..9 {
        assert_eq!(
            swarm.next(now),
            Some(addr(1)),
            "a tracker's would be given up"
        );
        swarm.ended(addr(1), Ending::Failed(EndKind::Refused), now);
        now += USER_BACK_OFF;
    }
}

#[test]
fn who_rests_waits_for_those_that_were_never_tried() {
    let mut swarm = Swarm::default();
    let now = Instant::now();
    swarm.rest(addr(1), now);
    let other_port = SocketAddr::new(addr(1).ip(), 50_000);
    assert!(!swarm.is_resting(other_port, now), "nobody else is known");
    swarm.add(addr(2), Source::Pex);
    assert_eq!(swarm.untried(now), 1);
    assert!(swarm.is_resting(other_port, now) && !swarm.is_resting(addr(3), now));
    assert!(!swarm.is_resting(other_port, now + REST));
    swarm.next(now);
    assert_eq!(swarm.untried(now), 0);
}
