//! Connections: who is welcome, who is dialled, who is wanted.

use super::*;
use crate::messages::EndKind;

#[test]
fn we_do_not_talk_to_ourselves() {
    let mut rig = Rig::new(2, |_| {});
    rig.torrent.on_dial(key(200), addr(200), rig.now);
    let actions = rig.greet(200, false);
    assert_eq!(hung_up(&actions), [key(200)], "our own peer id answered");
    rig.event(200, PeerEvent::Closed("no longer needed".into()));
    let mut actions = Vec::new();
    rig.torrent
        .on_addresses([addr(200)], Source::Tracker, rig.now, &mut actions);
    assert_eq!(actions, [], "nor do we dial ourselves again");
}

#[test]
fn the_second_connection_with_a_peer_is_closed() {
    let mut rig = Rig::new(2, |_| {});
    rig.join_seed(1);
    let handshake = Handshake::new(InfoHash([7; 20]), PeerId([1; 20]));
    let again = rig
        .torrent
        .on_greeted(PeerKey(99), addr(9), &handshake, true, rig.now);
    assert_eq!(hung_up(&again), [PeerKey(99)]);
    assert!(!again.contains(&Action::Welcome(PeerKey(99))));
}

/// Both dial at once: whatever the order of the handshakes, both keep the same link.
#[test]
fn of_two_crossing_connections_the_same_one_survives_on_both_sides() {
    for (first_at_low, first_at_high) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let keeps = |us: u8, them: u8, first: u32| -> Vec<bool> {
            let mut rig = Rig::new(2, |setup| setup.peer_id = PeerId([us; 20]));
            let handshake = Handshake::new(InfoHash([7; 20]), PeerId([them; 20]));
            let mut open = Vec::new();
            // Link 0 was dialled by peer 1, link 1 by peer 2.
            for link in [first, 1 - first] {
                let incoming = (link == 0) != (us == 1);
                let actions = rig.torrent.on_greeted(
                    PeerKey(link),
                    addr(them),
                    &handshake,
                    incoming,
                    rig.now,
                );
                if actions.contains(&Action::Welcome(PeerKey(link))) {
                    open.push(PeerKey(link));
                }
                let gone = hung_up(&actions);
                open.retain(|link| !gone.contains(link));
            }
            open.iter().map(|link| *link == PeerKey(0)).collect()
        };
        let (low, high) = (keeps(1, 2, first_at_low), keeps(2, 1, first_at_high));
        assert_eq!((low, high), (vec![true], vec![true]), "the lower id's link");
    }
}

#[test]
fn some_places_are_kept_for_those_who_come() {
    let mut rig = Rig::new(2, |setup| setup.max_peers = 20);
    let mut actions = Vec::new();
    rig.torrent
        .on_addresses((1..=40).map(addr), Source::Tracker, rig.now, &mut actions);
    let dialled = actions
        .iter()
        .filter(|a| matches!(a, Action::Dial(_)))
        .count();
    assert_eq!(dialled, 18, "nine tenths of the places");
    for n in 1..=18 {
        rig.torrent.on_dial(key(n), addr(n), rig.now);
        assert!(rig.greet(n, false).contains(&Action::Welcome(key(n))));
    }
    for n in 101..=102 {
        assert!(rig.greet(n, true).contains(&Action::Welcome(key(n))));
    }
    assert_eq!(
        hung_up(&rig.greet(103, true)),
        [key(103)],
        "the house is full"
    );
}

#[test]
fn no_dial_storm() {
    let mut rig = Rig::new(2, |_| {});
    let mut actions = Vec::new();
    rig.torrent
        .on_addresses((1..=60).map(addr), Source::Tracker, rig.now, &mut actions);
    let dials: Vec<SocketAddr> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Dial(addr) => Some(*addr),
            _ => None,
        })
        .collect();
    assert_eq!(dials.len(), MAX_DIALS);
    for (n, to) in (1..).zip(&dials) {
        rig.torrent.on_dial(key(n), *to, rig.now);
    }
    let more = rig.pass(Duration::from_millis(100));
    assert!(
        !more.iter().any(|a| matches!(a, Action::Dial(_))),
        "all lines are busy"
    );
    let next = rig.event(1, PeerEvent::Closed("refused".into()));
    let next = next.iter().filter(|a| matches!(a, Action::Dial(_))).count();
    assert_eq!(next, 1, "one came free");
    rig.torrent.on_dial(key(21), addr(21), rig.now);
    let next = rig.greet(2, false);
    let next = next.iter().filter(|a| matches!(a, Action::Dial(_))).count();
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

/// A hostile peer: it has everything, and then names its pieces once more.
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
    rig.torrent.start(rig.now);
    rig.greet(1, true);
    let actions = rig.event(1, PeerEvent::Pieces(Bitfield::all(2)));
    assert_eq!(hung_up(&actions), [key(1)]);
}

/// The address of `--bind` goes away, and comes back: nobody is dialled meanwhile, and the
/// user is told why.
#[test]
fn without_the_address_nobody_is_dialled() {
    let mut rig = Rig::new(2, |_| {});
    rig.torrent.on_address(Some("it is gone"), rig.now);
    let mut actions = Vec::new();
    rig.torrent
        .on_addresses([addr(1)], Source::Tracker, rig.now, &mut actions);
    actions.extend(rig.pass(Duration::from_secs(60)));
    assert!(!actions.contains(&Action::Dial(addr(1))), "{actions:?}");
    let why = rig.torrent.why_idle();
    assert!(why.starts_with("it is gone; no peers"), "{why}");
    rig.torrent.on_address(None, rig.now);
    let actions = rig.pass(Duration::from_millis(100));
    assert!(actions.contains(&Action::Dial(addr(1))), "{actions:?}");
    assert!(rig.torrent.why_idle().starts_with("no peers"));
}

/// The proxy is gone: the pause is long, only one dial finds out whether it is back, and then
/// all go on.
#[test]
fn without_a_way_out_one_dial_finds_out() {
    let dialled = |actions: &[Action]| {
        let dials = actions.iter().filter(|a| matches!(a, Action::Dial(_)));
        dials.count()
    };
    let end = |kind| {
        let text = "the proxy is gone".into();
        PeerEvent::Closed(crate::messages::End { kind, text })
    };
    let mut rig = Rig::new(2, |_| {});
    let mut actions = Vec::new();
    rig.torrent
        .on_addresses((1..9).map(addr), Source::Tracker, rig.now, &mut actions);
    assert_eq!(dialled(&actions), 8);
    for n in 1..9 {
        rig.torrent.on_dial(key(n), addr(n), rig.now);
    }
    for n in 1..9 {
        let actions = rig.event(n, end(EndKind::NoWay));
        assert_eq!(dialled(&actions), 0);
    }
    assert!(rig.torrent.why_idle().starts_with("the proxy is gone; "));
    assert_eq!(dialled(&rig.pass(NO_WAY_PAUSE / 2)), 0);
    let actions = rig.pass(NO_WAY_PAUSE);
    assert_eq!(dialled(&actions), 1);
    let Some(Action::Dial(to)) = actions.into_iter().find(|a| matches!(a, Action::Dial(_))) else {
        panic!("it was counted");
    };
    rig.torrent.on_dial(key(9), to, rig.now);
    let actions = rig.event(9, end(EndKind::Refused));
    assert_eq!(dialled(&actions), 7, "there is a way again");
    assert!(!rig.torrent.why_idle().contains("the proxy is gone"));
}
