//! Tests of trackers, goals and giving up.

use super::*;
use crate::announce::{AnnounceReply, Trouble};

fn tracked(pieces: u64, change: impl FnOnce(&mut Setup)) -> Rig {
    Rig::new(pieces, |setup| {
        setup.trackers = vec![vec!["http://10.9.9.9/announce".into()]];
        change(setup);
    })
}

fn answer(rig: &mut Rig, tracker: u32) -> Vec<Action> {
    rig.turn(|torrent, turn| {
        torrent.on_tracker(TrackerIndex(tracker), Ok(AnnounceReply::default()), turn)
    })
}

#[test]
fn a_download_is_started_completed_and_stopped() {
    let mut rig = tracked(2, |_| {});
    let actions = rig.turn(Torrent::start);
    let [started] = announced(&actions)[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(
        (started.event, started.left),
        (AnnounceEvent::Started, 8 * 16384)
    );
    answer(&mut rig, 0);
    rig.join_seed(1);
    let work = rig.want(1, 8);
    rig.store(1, &work);
    rig.event(
        1,
        PeerEvent::Traffic {
            down: 140_000,
            up: 3,
        },
    );
    rig.verdict(0, true);
    let actions = rig.verdict(1, true);
    let [completed] = announced(&actions)[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(
        (completed.event, completed.left),
        (AnnounceEvent::Completed, 0)
    );
    assert_eq!((completed.downloaded, completed.uploaded), (140_000, 3));
    answer(&mut rig, 0);
    rig.dialled(key(2), addr(2));
    let actions = rig.turn(Torrent::stop);
    assert_eq!(hung_up(&actions), [key(1), key(2)]);
    assert!(announced(&actions).is_empty(), "its last bytes count, too");
    assert!(!rig.torrent.no_giver_left());
    let actions = rig.event(1, PeerEvent::Closed("no longer needed".into()));
    assert!(rig.torrent.no_giver_left(), "a dial is not waited for");
    let [stopped] = announced(&actions)[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(stopped.event, AnnounceEvent::Stopped);
    assert!(!rig.torrent.has_left());
    answer(&mut rig, 0);
    assert!(rig.torrent.has_left());
}

#[test]
fn who_joins_complete_never_says_completed() {
    let mut rig = tracked(2, |setup| content(setup).have = Bitfield::all(2));
    let mut actions = rig.turn(Torrent::start);
    actions.extend(answer(&mut rig, 0));
    actions.extend(rig.pass(Duration::from_secs(1)));
    let events: Vec<_> = announced(&actions).iter().map(|r| r.event).collect();
    assert_eq!(events, [AnnounceEvent::Started]);
}

/// The wanted files are complete, the torrent is not: trackers hear how much is left.
#[test]
fn left_counts_the_whole_torrent() {
    let piece = 4 * u64::from(BLOCK_LEN);
    let layout = Layout::new(piece, &[(piece, false), (piece + 100, false)]).unwrap();
    let mut rig = Rig::of(layout, |setup| {
        setup.trackers = vec![vec!["http://10.9.9.9/announce".into()]];
        let content = content(setup);
        content.wanted = Wanted::new(&content.layout, &[true, false]);
    });
    let actions = rig.turn(Torrent::start);
    assert_eq!(announced(&actions)[0].left, 2 * piece + 100);
    answer(&mut rig, 0);
    rig.join_seed(1);
    let work = rig.want(1, 100);
    assert_eq!(blocks(&work), 4);
    rig.store(1, &work);
    let actions = rig.verdict(0, true);
    assert!(actions.contains(&Action::Complete));
    assert_eq!(
        announced(&actions),
        Vec::<&AnnounceRequest>::new(),
        "not all of it"
    );
    rig.turn(Torrent::stop);
    let actions = rig.event(1, PeerEvent::Closed("no longer needed".into()));
    assert_eq!(announced(&actions)[0].left, piece + 100);
}

#[test]
fn the_local_network_hears_of_public_torrents_with_work_left() {
    let cases = [
        (false, false, true),
        (false, true, false),
        (true, false, false),
    ];
    for (private, complete, expected) in cases {
        let mut rig = Rig::new(2, |setup| {
            content(setup).private = private;
            if complete {
                content(setup).have = Bitfield::all(2);
            }
        });
        let actions = rig.turn(Torrent::start);
        let told = actions.contains(&Action::AnnounceLocally);
        assert_eq!(told, expected, "private: {private}, complete: {complete}");
    }
}

#[test]
fn a_private_torrent_that_changes_its_tracker_drops_its_peers() {
    let mut rig = Rig::new(2, |setup| {
        content(setup).private = true;
        setup.trackers = vec![
            vec!["http://10.9.9.1/announce".into()],
            vec!["http://10.9.9.2/announce".into()],
        ];
    });
    rig.turn(Torrent::start);
    answer(&mut rig, 0);
    rig.join_seed(1);
    rig.now += Duration::from_secs(3600);
    let mut actions = rig.pass(Duration::ZERO);
    assert_eq!(announced(&actions).len(), 1);
    let error = TrackerError {
        tracker: "http://10.9.9.1".into(),
        trouble: Trouble::Refused,
    };
    actions = rig.turn(|torrent, turn| torrent.on_tracker(TrackerIndex(0), Err(error), turn));
    assert_eq!(announced(&actions).len(), 1, "the next one's turn");
    assert_eq!(hung_up(&answer(&mut rig, 1)), [key(1)]);
}

#[test]
fn false_data_does_not_hold_off_the_stall_timeout() {
    let limit = Duration::from_secs(60);
    let mut rig = Rig::new(4, |setup| setup.stall_timeout = Some(limit));
    let mut liar = 1;
    let mut waited = Duration::ZERO;
    // Every 10 s a new peer sends a whole false piece.
    while rig.torrent.phase().is_downloading() && waited < 3 * limit {
        rig.join_seed(liar);
        let work = rig.want(liar, 4);
        rig.store(liar, &work);
        rig.verdict(work[0].piece().get(), false);
        rig.hashes(work[0].piece().get(), [liar; 4]);
        rig.event(liar, PeerEvent::Closed("no longer needed".into()));
        liar += 1;
        rig.pass(Duration::from_secs(10));
        waited += Duration::from_secs(10);
    }
    assert_eq!((rig.torrent.phase(), waited), (Phase::Stalled, limit));
}

#[test]
fn what_is_stored_holds_off_the_stall_timeout() {
    let mut rig = Rig::new(4, |setup| {
        setup.stall_timeout = Some(Duration::from_secs(60))
    });
    rig.join_seed(1);
    for _ in 0..15 {
        rig.pass(Duration::from_secs(50));
        assert!(rig.torrent.phase().is_downloading());
        let work = rig.want(1, 1);
        for action in rig.store(1, &work) {
            if let Action::Verify { pieces, .. } = action {
                pieces
                    .iter()
                    .for_each(|piece| _ = rig.verdict(piece.get(), true));
            }
        }
    }
    rig.pass(Duration::from_secs(60));
    assert_eq!(rig.torrent.phase(), Phase::Stalled);
}

#[test]
fn seeding_ends_with_its_goal() {
    let seeding = |ratio, time| {
        let mut rig = Rig::new(2, |setup| {
            content(setup).have = Bitfield::all(2);
            setup.afterwards = Afterwards::Seed { ratio, time };
        });
        rig.turn(Torrent::start);
        assert!(rig.torrent.phase().is_seeding());
        rig.join(1, Bitfield::none(2));
        rig
    };
    let mut rig = seeding(Some(1.5), None);
    for (up, seeds) in [(8 * 16384, true), (4 * 16384, false)] {
        rig.event(1, PeerEvent::Traffic { down: 0, up });
        rig.pass(Duration::from_secs(1));
        assert_eq!(rig.torrent.phase().is_seeding(), seeds);
        assert_eq!(rig.torrent.phase() == Phase::Done, !seeds);
    }
    let mut rig = seeding(None, Some(Duration::from_secs(100)));
    for (seconds, seeds) in [(99, true), (1, false)] {
        rig.pass(Duration::from_secs(seconds));
        assert_eq!(rig.torrent.phase().is_seeding(), seeds);
        assert_eq!(rig.torrent.phase() == Phase::Done, !seeds);
    }
    let mut rig = seeding(None, None);
    rig.event(
        1,
        PeerEvent::Traffic {
            down: 0,
            up: 1 << 40,
        },
    );
    rig.pass(Duration::from_secs(1_000_000));
    assert!(rig.torrent.phase().is_seeding(), "no goal, no end");
}
