//! Tests of limits and choking.

use super::*;

#[test]
fn the_download_limit_holds_over_time() {
    let rate = 1_000_000;
    let mut rig = Rig::new(1000, |_| {});
    rig.budgets.down = Budget::new(rate, rig.now);
    rig.join_seed(1);
    rig.join_seed(2);
    let mut granted = 0;
    for n in [1, 2] {
        granted += blocks(&rig.want(n, 64));
    }
    for _ in 0..100 {
        let actions = rig.pass(Duration::from_millis(100));
        for n in [1, 2] {
            let work = fetched(&actions, n);
            granted += blocks(&work);
            rig.store(n, &work);
            granted += blocks(&rig.want(n, 64));
        }
    }
    let bytes = u64::from(granted * BLOCK_LEN);
    assert!(
        (9_700_000..=10_200_000).contains(&bytes),
        "{bytes} in ten seconds"
    );
}

#[test]
fn the_upload_limit_holds_over_time_and_for_all() {
    let mut rig = Rig::new(4, |setup| content(setup).have = Bitfield::all(4));
    rig.torrent.setup.afterwards = Afterwards::Seed {
        ratio: None,
        time: None,
    };
    rig.turn(Torrent::start);
    rig.budgets.up = Budget::new(200_000, rig.now);
    let mut given = BTreeMap::new();
    for n in 1..=3 {
        rig.join(n, Bitfield::none(4));
    }
    for _ in 0..300 {
        let mut actions = Vec::new();
        for n in 1..=3 {
            actions.extend(rig.event(n, PeerEvent::WantUpload(4 * 16384)));
        }
        actions.extend(rig.pass(Duration::from_millis(100)));
        for action in actions {
            if let Action::Send(to, Command::MayUpload(bytes)) = action {
                *given.entry(to).or_insert(0) += bytes;
            }
        }
    }
    let total: u64 = given.values().sum();
    assert!(
        (5_700_000..=6_200_000).contains(&total),
        "{total} in 30 seconds"
    );
    let fair = total / 3;
    assert!(
        given
            .values()
            .all(|bytes| (fair / 2..fair * 2).contains(bytes)),
        "{given:?}"
    );
}

#[test]
fn free_places_are_given_at_once_and_the_rest_by_rounds() {
    let mut rig = Rig::new(2, |setup| content(setup).have = Bitfield::all(2));
    rig.torrent.setup.afterwards = Afterwards::Seed {
        ratio: None,
        time: None,
    };
    rig.turn(Torrent::start);
    let slots = Choker::slots(true, 0) as u8;
    for n in 1..=slots + 4 {
        let open = rig
            .greet(n, true)
            .contains(&Action::Send(key(n), Command::Choke(false)));
        assert!(!open, "peer {n} is not interested yet");
        rig.event(n, PeerEvent::Pieces(Bitfield::none(2)));
        let answer = rig.event(n, PeerEvent::Interested(true));
        assert_eq!(
            answer,
            [Action::Send(key(n), Command::Choke(n > slots))],
            "peer {n}"
        );
    }
    // One loses interest: its slot is filled before the next round.
    let opened = Action::Send(key(slots + 1), Command::Choke(false));
    let answer = rig.event(1, PeerEvent::Interested(false));
    assert!(answer.contains(&opened), "{answer:?}");
    // So is a slot that exists because the line is fast.
    let opened = Action::Send(key(slots + 2), Command::Choke(false));
    let second = Duration::from_secs(1);
    let too_slow = rig.pass(second);
    assert!(!too_slow.contains(&opened), "{too_slow:?}");
    let (down, up) = (0, 1_600_000);
    rig.event(2, PeerEvent::Traffic { down, up });
    let faster = rig.pass(Duration::from_millis(100));
    assert!(faster.contains(&opened), "{faster:?}");
    let round = rig.pass(choker::ROUND);
    let opened = round
        .iter()
        .filter(|a| matches!(a, Action::Send(_, Command::Choke(false))));
    assert!(opened.count() >= 1, "one more by chance: {round:?}");
}

#[test]
fn a_free_place_goes_to_who_gives_most() {
    let mut rig = Rig::new(2, |_| {});
    let slots = Choker::slots(false, 0) as u8;
    let (last, giver) = (slots + 1, slots + 2);
    for n in 1..=giver {
        rig.join(n, Bitfield::none(2));
        let answer = rig.event(n, PeerEvent::Interested(true));
        assert_eq!(
            answer,
            [Action::Send(key(n), Command::Choke(n > slots))],
            "peer {n}"
        );
    }
    let now = rig.now;
    let peer = rig.torrent.peers.get_mut(&key(giver)).unwrap();
    peer.fetcher.down.add(50_000, now);
    rig.pass(Duration::from_secs(1));
    let answer = rig.event(1, PeerEvent::Interested(false));
    let opened = |n| answer.contains(&Action::Send(key(n), Command::Choke(false)));
    assert!(opened(giver) && !opened(last), "{answer:?}");
}
