//! Tests of connections: which peers are welcome, dialled and wanted.

use super::*;
use crate::messages::EndKind;

#[test]
fn we_do_not_talk_to_ourselves() {
    let mut rig = Rig::new(2, |_| {});
    rig.dialled(key(200), addr(200));
    let actions = rig.greet(200, false);
    assert_eq!(hung_up(&actions), [key(200)], "our own peer id answered");
    rig.event(200, PeerEvent::Closed("no longer needed".into()));
    let actions =
        rig.turn(|torrent, turn| torrent.on_addresses([addr(200)], Source::Tracker, turn));
    assert_eq!(actions, [], "nor do we dial ourselves again");
}

/// A peer at this address sends peer 1's id, on connection 99.
fn greet_as_1(rig: &mut Rig, from: &str, incoming: bool) -> Vec<Action> {
    rig.greet_as(1, key(99), from.parse().unwrap(), incoming)
}

/// Anybody can send any peer id: from another host it is another peer.
#[test]
fn a_stranger_under_a_peers_name_is_a_stranger() {
    for incoming in [false, true] {
        let mut rig = Rig::new(2, |_| {});
        rig.join_seed(1);
        let actions = greet_as_1(&mut rig, "10.0.0.9:6881", incoming);
        assert_eq!(hung_up(&actions), []);
        assert!(welcomes(&actions, key(99)));
        // If it lies, its host is banned, and the owner of the id is not.
        rig.event(99, PeerEvent::Learning(Learning::False));
        assert!(rig.torrent.swarm.is_banned(addr(9), incoming) && !rig.banned(1));
    }
}

/// A second connection of a peer, when its handshake comes.
#[test]
fn of_two_connections_of_one_peer_the_silent_one_goes() {
    let (old, new) = (key(1), key(99));
    for case in 0..8 {
        let [old_incoming, incoming, silent] = [0, 1, 2].map(|bit| case >> bit & 1 == 1);
        let mut rig = Rig::new(2, |_| {});
        rig.greet(1, old_incoming);
        if silent {
            rig.event(1, PeerEvent::Snubbed);
        }
        let actions = greet_as_1(&mut rig, "10.0.0.1:50001", incoming);
        let expected = match (old_incoming, incoming) {
            (false, false) => vec![], // two programs on one host
            _ if silent => vec![old],
            (true, true) => vec![new],
            _ => vec![], // it may have dialled us while we dialled it: see below
        };
        let what = format!("incoming {old_incoming} {incoming}, silent {silent}");
        assert_eq!(hung_up(&actions), expected, "{what}");
        assert_eq!(welcomes(&actions, new), !expected.contains(&new), "{what}");
    }
}

/// The line of the only seed breaks silently, and the seed dials again. All places are taken.
#[test]
fn who_comes_anew_is_taken_in_place_of_the_silent_connection() {
    let mut rig = Rig::new(1, |setup| setup.max_peers = 1);
    rig.turn(|torrent, turn| torrent.on_addresses([addr(1)], Source::Tracker, turn));
    rig.dialled(key(1), addr(1));
    rig.greet(1, false);
    rig.event(1, PeerEvent::Pieces(Bitfield::all(1)));
    rig.event(1, PeerEvent::Choked(false));
    let spans = rig.want(1, 4);
    rig.store(1, &[rig.span(0, 0..1)]);
    rig.pass(Duration::from_secs(20));
    rig.event(1, PeerEvent::Snubbed);
    rig.event(
        1,
        PeerEvent::Released(vec![rig.span(0, 1..4)], GivenBack::Refused),
    );
    let actions = greet_as_1(&mut rig, "10.0.0.1:50001", true);
    assert_eq!(hung_up(&actions), [key(1)]);
    assert!(welcomes(&actions, key(99)));
    rig.event(1, PeerEvent::Closed("no longer needed".into()));
    rig.event(99, PeerEvent::Pieces(Bitfield::all(1)));
    rig.event(99, PeerEvent::Choked(false));
    assert_eq!(rig.want(99, 4), [rig.span(0, 1..4)], "of {spans:?}");
    // It gave data: if the new connection ends, too, it is dialled again.
    rig.event(99, PeerEvent::Closed("the peer hung up".into()));
    let actions = rig.pass(Duration::from_secs(5));
    assert!(dials(&actions, addr(1)), "{actions:?}");
}

/// Peers 1 and 2 dial each other at once: link 0 and link 1. In whatever order each hears of the
/// links, and over whichever it has seen data by then, exactly one link stays: the end with the
/// lower id hangs up on the other, and the end with the higher id only if that never happens.
#[test]
fn of_two_crossing_connections_one_stays() {
    for case in 0..64 {
        let bit = |n: u32| case >> n & 1;
        let end = |us: u8, first: u32, gave: [bool; 2]| {
            let them = 3 - us;
            let mut rig = Rig::new(2, |setup| setup.peer_id = PeerId([us; 20]));
            for link in [first, 1 - first] {
                let incoming = (link == 0) != (us == 1);
                let actions = rig.greet_as(them, PeerKey(link), addr(them), incoming);
                assert!(welcomes(&actions, PeerKey(link)) && hung_up(&actions).is_empty());
                let key = link as u8;
                rig.event(key, PeerEvent::Pieces(Bitfield::all(2)));
                rig.event(key, PeerEvent::Choked(false));
                if gave[link as usize] {
                    let spans = rig.want(key, 1);
                    rig.store(key, &spans);
                }
            }
            rig
        };
        let gave = |n| [bit(n) == 1, bit(n + 1) == 1];
        let mut low = end(1, bit(0), gave(2));
        let mut high = end(2, bit(1), gave(4));
        let early = Duration::from_millis(900);
        assert_eq!(hung_up(&low.pass(early)), [], "the other end may decide");
        let gone = hung_up(&low.pass(Duration::from_millis(100)));
        let [gone] = gone[..] else {
            panic!("{gone:?} went")
        };
        let stays = PeerKey(1 - gone.0);
        let [gave_gone, gave_stays] = [gone, stays].map(|link| gave(2)[link.0 as usize]);
        assert!(gave_stays || !gave_gone, "case {case}");
        // The other end follows. If it heard nothing for 30 s, it would decide, too.
        let mut unheard = end(2, bit(1), gave(4));
        high.event(gone.0 as u8, PeerEvent::Closed("the peer hung up".into()));
        for rig in [&mut high, &mut low] {
            assert_eq!(hung_up(&rig.pass(Duration::from_secs(60))), []);
        }
        assert_eq!(hung_up(&unheard.pass(Duration::from_secs(29))), []);
        assert_eq!(hung_up(&unheard.pass(Duration::from_secs(1))).len(), 1);
    }
}

/// We have dialled a peer that has dialled us. Whoever hangs up on the connection that we dialled, we
/// do not dial the peer again before the other has ended.
#[test]
fn who_is_connected_is_not_dialled_again() {
    let ours = key(1);
    for case in 0..8 {
        let [we_hang_up, it_gives, dialled_first] = [0, 1, 2].map(|bit| case >> bit & 1 == 1);
        let us = if we_hang_up { 0 } else { 2 };
        let mut rig = Rig::new(2, |setup| setup.peer_id = PeerId([us; 20]));
        let addrs = [addr(1)];
        rig.turn(|torrent, turn| torrent.on_addresses(addrs, Source::Pex, turn));
        rig.dialled(ours, addr(1));
        for dialled in [dialled_first, !dialled_first] {
            let actions = match dialled {
                true => rig.greet(1, false),
                false => greet_as_1(&mut rig, "10.0.0.1:50001", true),
            };
            assert!(hung_up(&actions).is_empty());
        }
        // Both give, but theirs more.
        for (key, blocks) in [(1, u32::from(it_gives)), (99, 2)] {
            rig.event(key, PeerEvent::Pieces(Bitfield::all(2)));
            rig.event(key, PeerEvent::Choked(false));
            let spans = rig.want(key, blocks);
            rig.store(key, &spans);
        }
        if we_hang_up {
            let actions = rig.pass(Duration::from_secs(1));
            assert_eq!(hung_up(&actions), [ours], "case {case}");
        }
        rig.event(1, PeerEvent::Closed("gone".into()));
        for _ in 0..700 {
            let actions = rig.pass(Duration::from_secs(1));
            assert!(!dials(&actions, addr(1)), "it is connected: case {case}");
        }
        rig.event(99, PeerEvent::Closed("gone".into()));
        let actions = rig.pass(Duration::from_secs(5));
        assert!(dials(&actions, addr(1)), "case {case}: {actions:?}");
    }
}

/// However much the old connection has brought, 20 s ago. Without either, the new one goes.
#[test]
fn of_two_crossing_connections_the_silent_or_slower_one_goes() {
    for (silent, new_gives) in [(true, false), (false, true), (false, false)] {
        let mut rig = Rig::new(2, |setup| setup.peer_id = PeerId([0; 20]));
        rig.greet(1, false);
        for key in [1, 99] {
            if key == 99 {
                rig.pass(Duration::from_secs(19));
                greet_as_1(&mut rig, "10.0.0.1:50001", true);
            }
            rig.event(key, PeerEvent::Pieces(Bitfield::all(2)));
            rig.event(key, PeerEvent::Choked(false));
            if key == 1 || new_gives {
                let spans = rig.want(key, if key == 1 { 3 } else { 1 });
                rig.store(key, &spans);
            }
        }
        if silent {
            rig.event(1, PeerEvent::Snubbed);
        }
        let goes = if silent || new_gives { key(1) } else { key(99) };
        assert_eq!(hung_up(&rig.pass(Duration::from_secs(1))), [goes]);
    }
}

#[test]
fn some_places_are_kept_for_those_who_come() {
    let mut rig = Rig::new(2, |setup| setup.max_peers = 20);
    let actions =
        rig.turn(|torrent, turn| torrent.on_addresses((1..=40).map(addr), Source::Tracker, turn));
    let dialled = actions
        .iter()
        .filter(|a| matches!(a, Action::Dial(..)))
        .count();
    assert_eq!(dialled, 18, "nine tenths of the places");
    for n in 1..=18 {
        rig.dialled(key(n), addr(n));
        assert!(welcomes(&rig.greet(n, false), key(n)));
    }
    for n in 101..=102 {
        assert!(welcomes(&rig.greet(n, true), key(n)));
    }
    assert_eq!(
        hung_up(&rig.greet(103, true)),
        [key(103)],
        "the house is full"
    );
}

/// One host, with many peer ids, holds all places for peers that dial us.
#[test]
fn a_crowd_makes_room_for_somebody_else() {
    let mut rig = Rig::new(2, |setup| setup.max_peers = 20);
    let come =
        |rig: &mut Rig, n: u8, from: &str| rig.greet_as(n, key(n), from.parse().unwrap(), true);
    for n in 1..=18 {
        let actions = come(&mut rig, n, &format!("10.9.9.9:{}", 50_000 + u16::from(n)));
        assert!(welcomes(&actions, key(n)));
        rig.event(n, PeerEvent::Interested(true));
    }
    rig.event(1, PeerEvent::Traffic { down: 0, up: 9 });
    let actions = come(&mut rig, 19, "10.9.9.9:6881");
    assert_eq!(hung_up(&actions), [key(19)], "one more of them");
    let actions = come(&mut rig, 20, "10.8.8.8:6881");
    assert_eq!(hung_up(&actions), [key(2), key(20)]);
    for n in [2, 20] {
        rig.event(n, PeerEvent::Closed("no longer needed".into()));
    }
    let actions = come(&mut rig, 21, "10.8.8.8:6882");
    assert!(welcomes(&actions, key(21)), "{actions:?}");
}

#[test]
fn no_dial_storm() {
    let mut rig = Rig::new(2, |_| {});
    let actions =
        rig.turn(|torrent, turn| torrent.on_addresses((1..=60).map(addr), Source::Tracker, turn));
    let dials: Vec<PeerKey> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Dial(key, _) => Some(*key),
            _ => None,
        })
        .collect();
    assert_eq!(dials.len(), MAX_DIALS);
    let more = rig.pass(Duration::from_millis(100));
    assert!(
        !more.iter().any(|a| matches!(a, Action::Dial(..))),
        "all lines are busy"
    );
    let next = rig.event_of(dials[0], PeerEvent::Closed("refused".into()));
    let next = next
        .iter()
        .filter(|a| matches!(a, Action::Dial(..)))
        .count();
    assert_eq!(next, 1, "one came free");
    let next = rig.greet_as(2, dials[1], addr(2), false);
    let next = next
        .iter()
        .filter(|a| matches!(a, Action::Dial(..)))
        .count();
    assert_eq!(next, 1, "one is connected");
}

#[test]
fn interest_is_told_and_withdrawn() {
    let mut rig = Rig::new(2, |_| {});
    rig.greet(1, true);
    let nothing = rig.event(1, PeerEvent::Pieces(Bitfield::none(2)));
    assert_eq!(
        nothing,
        [Action::Send(key(1), Command::Interest(false))],
        "an answer always"
    );
    let interest = Action::Send(key(1), Command::Interest(true));
    let have = PeerEvent::Have(rig.piece(0));
    assert!(rig.event(1, have.clone()).contains(&interest));
    assert!(!rig.event(1, have).contains(&interest), "not twice");
    rig.event(1, PeerEvent::Choked(false));
    let work = rig.want(1, 4);
    rig.store(1, &work);
    let done = rig.verdict(0, true);
    assert!(
        done.contains(&Action::Send(key(1), Command::Interest(false))),
        "{done:?}"
    );
}

/// A hostile peer has everything, and then names its pieces again.
#[test]
fn a_seed_that_introduces_itself_late_changes_no_counts() {
    let mut rig = Rig::new(2, |_| {});
    rig.join(2, Bitfield::none(2));
    rig.event(2, PeerEvent::Have(rig.piece(0)));
    rig.greet(1, true);
    for piece in 0..2 {
        rig.event(1, PeerEvent::Have(rig.piece(piece)));
    }
    rig.event(1, PeerEvent::Pieces(Bitfield::all(2)));
    let counts = [0, 1].map(|piece| rig.torrent.picker.available(rig.piece(piece)));
    assert_eq!(counts, [1, 0]);
}

#[test]
fn two_seeds_part() {
    let mut rig = Rig::new(2, |setup| content(setup).have = Bitfield::all(2));
    rig.torrent.setup.afterwards = Afterwards::Seed {
        ratio: None,
        time: None,
    };
    rig.turn(Torrent::start);
    rig.greet(1, true);
    let actions = rig.event(1, PeerEvent::Pieces(Bitfield::all(2)));
    assert_eq!(hung_up(&actions), [key(1)]);
}

/// A super-seeding peer shows its pieces one by one and waits to hear that the last one arrived. So
/// it hears about each piece, including the very last one.
#[test]
fn who_did_not_come_whole_hears_of_every_piece() {
    let mut rig = Rig::new(3, |_| {});
    rig.join_seed(1);
    rig.join(2, Bitfield::none(3));
    rig.join(3, Bitfield::none(3));
    // It had not all at first, so it hears about our pieces like a leech.
    rig.event(3, PeerEvent::Have(rig.piece(0)));
    rig.event(3, PeerEvent::Pieces(Bitfield::all(3)));
    for piece in 0..3 {
        rig.event(2, PeerEvent::Have(rig.piece(piece)));
        let giver = if piece == 0 { 2 } else { 1 };
        let spans = rig.want(giver, 4);
        let piece = spans[0].piece();
        rig.store(giver, &spans);
        let told = rig.verdict(piece.get(), true);
        let hears = |n| told.contains(&Action::Send(key(n), Command::Had([piece].into())));
        assert_eq!([1, 2, 3].map(hears), [false, true, true], "{told:?}");
    }
}

/// The address of `--bind` goes and comes back: nobody is dialled meanwhile, and the user hears
/// why.
#[test]
fn without_the_address_nobody_is_dialled() {
    let mut rig = Rig::new(2, |_| {});
    rig.torrent.on_address(Some("it is gone"), rig.now);
    let mut actions =
        rig.turn(|torrent, turn| torrent.on_addresses([addr(1)], Source::Tracker, turn));
    actions.extend(rig.pass(Duration::from_secs(60)));
    assert!(!dials(&actions, addr(1)), "{actions:?}");
    let why = rig.torrent.why_idle().to_string();
    assert!(why.starts_with("it is gone; no peers"), "{why}");
    rig.torrent.on_address(None, rig.now);
    let actions = rig.pass(Duration::from_millis(100));
    assert!(dials(&actions, addr(1)), "{actions:?}");
    assert!(rig.torrent.why_idle().to_string().starts_with("no peers"));
}

/// The proxy is gone: after a long pause, one dial finds out whether it is back, and then all go
/// on.
#[test]
fn without_a_way_out_one_dial_finds_out() {
    let dialled = |actions: &[Action]| {
        let dials = actions.iter().filter(|a| matches!(a, Action::Dial(..)));
        dials.count()
    };
    let end = |kind| {
        let text = "the proxy is gone".into();
        PeerEvent::Closed(crate::messages::End { kind, text })
    };
    let mut rig = Rig::new(2, |setup| setup.web_seeds = vec!["http://10.9.9.9/".into()]);
    rig.start_web();
    let actions =
        rig.turn(|torrent, turn| torrent.on_addresses((1..9).map(addr), Source::Tracker, turn));
    assert_eq!(dialled(&actions), 8);
    for n in 1..9 {
        rig.dialled(key(n), addr(n));
    }
    for n in 1..9 {
        let actions = rig.event(n, end(EndKind::NoWay));
        assert_eq!(dialled(&actions), 0);
    }
    rig.event(101, PeerEvent::Closed("no answer".into()));
    let why = rig.torrent.why_idle().to_string();
    assert!(why.starts_with("the proxy is gone; "), "{why}");
    assert_eq!(dialled(&rig.pass(NO_WAY_PAUSE / 2)), 0);
    let actions = rig.pass(NO_WAY_PAUSE);
    assert_eq!(dialled(&actions), 1);
    let Some(Action::Dial(key, _)) = actions.into_iter().find(|a| matches!(a, Action::Dial(..)))
    else {
        panic!("it was counted");
    };
    let actions = rig.event_of(key, end(EndKind::Refused));
    assert_eq!(dialled(&actions), 7, "there is a way again");
    assert!(
        !rig.torrent
            .why_idle()
            .to_string()
            .contains("the proxy is gone")
    );
}

/// The only peer is away. It is tried every 10 s, unless somebody else is connected meanwhile.
#[test]
fn only_a_lonely_torrent_dials_before_a_pause_is_over() {
    let mut rig = Rig::new(2, |_| {});
    let dial = |actions: &[Action]| {
        actions.iter().find_map(|action| match action {
            Action::Dial(key, _) => Some(*key),
            _ => None,
        })
    };
    let actions = rig.turn(|torrent, turn| torrent.on_addresses([addr(1)], Source::Dht, turn));
    let mut last = dial(&actions).unwrap();
    let ten = Duration::from_secs(10);
    for attempt in 0..30 {
        assert_eq!(
            dial(&rig.event_of(last, PeerEvent::Closed("refused".into()))),
            None
        );
        last = dial(&rig.pass(ten)).unwrap_or_else(|| panic!("attempt {attempt}"));
    }
    rig.event_of(last, PeerEvent::Closed("refused".into()));
    assert!(welcomes(&rig.greet(50, true), key(50)));
    assert_eq!(dial(&rig.pass(ten)), None, "somebody is here");
    let alone = rig.event(50, PeerEvent::Closed("away".into()));
    assert!(dial(&alone).is_some());
}
