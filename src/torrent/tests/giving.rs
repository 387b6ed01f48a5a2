//! Tests of limits and choking.

use super::*;

#[test]
fn the_download_limit_holds_over_time() {
    let total = 20 << 20;
    let of = |piece_length| Layout::new(piece_length, &[(total, false)]).unwrap();
    let padded = [(1024, false), (15 * 1024, true)].repeat(20_000);
    for (name, layout) in [
        ("blocks of 16 KiB", of(64 * 1024)),
        ("blocks as short as their pieces", of(1024)),
        ("long and short ones in turn", of(17 * 1024)),
        (
            "small files with padding",
            Layout::new(16 * 1024, &padded).unwrap(),
        ),
    ] {
        let mut rig = Rig::of(layout, |_| {});
        rig.budgets.down = Budget::new(1_000_000, rig.now);
        let mut granted = 0;
        for n in [1, 2] {
            rig.join_seed(n);
        }
        for _ in 0..100 {
            let actions = rig.pass(Duration::from_millis(100));
            for n in [1, 2] {
                let mut work = [fetched(&actions, n), rig.want(n, 64)].concat();
                while !work.is_empty() {
                    granted += bytes(&rig, &work);
                    rig.store(n, &work);
                    work = rig.want(n, 64);
                }
            }
        }
        assert!(
            (9_700_000..=10_200_000).contains(&granted),
            "{name}: {granted} bytes in ten seconds"
        );
    }
}

fn bytes(rig: &Rig, work: &[Span]) -> u64 {
    let blocks = work.iter().flat_map(|span| rig.layout.blocks_of(*span));
    blocks.map(|block| u64::from(block.len())).sum()
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

/// Of what the limit lets through in 0.2 s, blocks of 1 KiB can be sent, but none of 16 KiB.
#[test]
fn under_the_upload_limit_a_peer_waits_for_one_block_and_no_longer() {
    for (piece_length, may) in [(1024, true), (64 * 1024, false)] {
        let layout = Layout::new(piece_length, &[(1 << 20, false)]).unwrap();
        let all = Bitfield::all(layout.pieces());
        let mut rig = Rig::of(layout, |setup| content(setup).have = all);
        rig.torrent.setup.afterwards = Afterwards::Seed {
            ratio: None,
            time: None,
        };
        rig.turn(Torrent::start);
        rig.join(1, Bitfield::none(rig.layout.pieces()));
        rig.budgets.up = Budget::new(10_000, rig.now);
        rig.event(1, PeerEvent::WantUpload(64 * 1024));
        let actions = rig.pass(Duration::from_millis(200));
        let told = |action: &Action| matches!(action, Action::Send(_, Command::MayUpload(_)));
        assert_eq!(actions.iter().any(told), may, "{piece_length}");
    }
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
    // The place of the optimistic unchoke is not idle either, before the first round.
    let places = Choker::slots(false, 0) as u8 + 1;
    let (last, giver) = (places + 1, places + 2);
    for n in 1..=giver {
        rig.join(n, Bitfield::none(2));
        let answer = rig.event(n, PeerEvent::Interested(true));
        assert_eq!(
            answer,
            [Action::Send(key(n), Command::Choke(n > places))],
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
