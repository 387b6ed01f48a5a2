//! Tests of a torrent before its metadata is known.

use super::*;
use crate::announce::{AnnounceEvent, AnnounceReply};
use crate::announcer::TrackerIndex;
use crate::config::Named;

fn link(change: impl FnOnce(&mut Setup)) -> Rig {
    Rig::new(2, |setup| {
        setup.content = None;
        change(setup);
    })
}

fn offer(rig: &mut Rig, n: u8) -> Vec<Action> {
    rig.greet(n, true);
    rig.event(n, PeerEvent::Learning(Learning::Offers(100)))
}

fn answer(n: u8, yes: bool) -> Action {
    Action::Send(key(n), Command::FetchMetadata(yes))
}

/// Returns what the metadata says: two pieces, of which we have those in `had`.
fn content(rig: &Rig, had: &[u32], private: bool) -> Content {
    let mut have = Bitfield::none(2);
    had.iter()
        .for_each(|piece| _ = have.insert(rig.piece(*piece)));
    Content {
        name: "it".into(),
        layout: rig.layout.clone(),
        have,
        stored: Vec::new(),
        wanted: Wanted::all(&rig.layout),
        private,
    }
}

#[test]
fn a_few_are_asked_at_a_time() {
    let mut rig = link(|_| {});
    for n in 1..=4 {
        assert!(offer(&mut rig, n).contains(&answer(n, true)));
    }
    for n in 5..=6 {
        assert!(offer(&mut rig, n).contains(&answer(n, false)));
    }
    // One peer refuses, another leaves, a third lies.
    let next = rig.event(1, PeerEvent::Learning(Learning::Refused));
    assert!(next.contains(&answer(5, true)), "{next:?}");
    let next = rig.event(2, PeerEvent::Closed("gone".into()));
    assert!(next.contains(&answer(6, true)), "{next:?}");
    rig.event(3, PeerEvent::Learning(Learning::False));
    assert!(rig.banned(3));
    let next = rig.event(3, PeerEvent::Closed("false".into()));
    assert!(
        !next.iter().any(|a| matches!(a, Action::Send(..))),
        "{next:?}"
    );
    // The peer that refused may have it later.
    let later = rig.pass(Duration::from_secs(10));
    assert!(later.contains(&answer(1, true)), "{later:?}");
}

#[test]
fn the_first_copy_counts() {
    let mut rig = link(|_| {});
    offer(&mut rig, 1);
    offer(&mut rig, 2);
    let learnt = Action::Learnt(b"info".to_vec());
    assert_eq!(
        rig.event(1, PeerEvent::Learning(Learning::Whole(b"info".to_vec()))),
        [learnt]
    );
    assert_eq!(
        rig.event(2, PeerEvent::Learning(Learning::Whole(b"info".to_vec()))),
        []
    );
    let more = offer(&mut rig, 3);
    assert!(more.contains(&answer(3, false)), "{more:?}");

    let content = content(&rig, &[], false);
    let actions = rig.turn(|torrent, turn| torrent.learn(content, turn));
    for n in 1..=3 {
        assert!(welcomes(&actions, key(n)), "{actions:?}");
    }
    assert!(rig.torrent.phase().is_downloading());
    // From here on it is a torrent like any other.
    rig.event(1, PeerEvent::Pieces(Bitfield::all(2)));
    rig.event(1, PeerEvent::Choked(false));
    assert!(blocks(&rig.want(1, 100)) > 0);
}

#[test]
fn all_is_there_already() {
    let mut rig = link(|setup| setup.trackers = vec![vec!["http://t/".into()]]);
    let start = rig.turn(Torrent::start);
    let request = |actions: &[Action]| {
        actions.iter().find_map(|action| match action {
            Action::Announce(_, _, request) => Some(request.clone()),
            _ => None,
        })
    };
    let first = request(&start).unwrap();
    assert!(
        first.left > 0 && first.event == AnnounceEvent::Started,
        "{first:?}"
    );
    let reply = AnnounceReply::from_http_body(b"d8:intervali60ee").unwrap();
    rig.turn(|torrent, turn| torrent.on_tracker(TrackerIndex(0), Ok(reply), turn));
    let content = content(&rig, &[0, 1], false);
    let actions = rig.turn(|torrent, turn| torrent.learn(content, turn));
    assert!(actions.contains(&Action::Complete), "{actions:?}");
    // Nothing was downloaded, so trackers must not hear that it was.
    assert_eq!(request(&actions), None);
    assert_eq!(rig.torrent.phase(), Phase::Done);
}

#[test]
fn it_turns_out_to_be_private() {
    let mut rig = link(|_| {});
    for (n, source) in [(1, Source::User), (2, Source::Link), (3, Source::Dht)] {
        let actions = rig.turn(|torrent, turn| torrent.on_addresses([addr(n)], source, turn));
        assert!(dials(&actions, addr(n)));
        rig.dialled(key(n), addr(n));
        rig.greet(n, false);
    }
    let content = content(&rig, &[], true);
    let actions = rig.turn(|torrent, turn| torrent.learn(content, turn));
    assert!(welcomes(&actions, key(1)));
    for stranger in [2, 3] {
        assert!(actions.contains(&Action::HangUp(key(stranger))));
        assert!(!welcomes(&actions, key(stranger)));
    }
}

#[test]
fn metadata_that_does_not_come_is_a_stall() {
    let limit = Duration::from_secs(60);
    let mut rig = link(|setup| setup.stall_timeout = Some(limit));
    offer(&mut rig, 1);
    rig.pass(limit / 2);
    assert!(
        rig.torrent
            .why_idle()
            .to_string()
            .contains("from 1 peer, 0 B")
    );
    rig.event(1, PeerEvent::Learning(Learning::Came(50)));
    rig.pass(limit / 2);
    assert_eq!(rig.torrent.phase(), Phase::Learning { most: 50 });
    assert!(rig.torrent.why_idle().to_string().contains("50 B so far"));
    rig.event(1, PeerEvent::Learning(Learning::Came(50)));
    rig.pass(limit / 2);
    assert_eq!(rig.torrent.phase(), Phase::Stalled);
}

#[test]
fn looking_at_the_disk_is_no_stall() {
    let limit = Duration::from_secs(60);
    let mut rig = link(|setup| setup.stall_timeout = Some(limit));
    offer(&mut rig, 1);
    rig.event(1, PeerEvent::Learning(Learning::Whole(Vec::new())));
    rig.pass(2 * limit);
    assert_eq!(rig.torrent.phase(), Phase::Looking);
    let content = content(&rig, &[], false);
    rig.turn(|torrent, turn| torrent.learn(content, turn));
    rig.pass(limit / 2);
    assert!(rig.torrent.phase().is_downloading());
}

/// Bytes of metadata do not count as progress of the data.
#[test]
fn blocks_are_progress_after_much_metadata() {
    let limit = Duration::from_secs(60);
    let mut rig = link(|setup| setup.stall_timeout = Some(limit));
    offer(&mut rig, 1);
    rig.event(1, PeerEvent::Learning(Learning::Came(100_000)));
    rig.event(1, PeerEvent::Learning(Learning::Whole(Vec::new())));
    let content = content(&rig, &[], false);
    rig.turn(|torrent, turn| torrent.learn(content, turn));
    rig.event(1, PeerEvent::Pieces(Bitfield::all(rig.layout.pieces())));
    rig.event(1, PeerEvent::Choked(false));
    for _ in 0..3 {
        rig.pass(limit * 2 / 3);
        let work = rig.want(1, 1);
        assert_eq!(blocks(&work), 1);
        rig.store(1, &work);
    }
    rig.pass(limit * 2 / 3);
    assert!(rig.torrent.phase().is_downloading());
    rig.pass(limit);
    assert_eq!(rig.torrent.phase(), Phase::Stalled);
}

#[test]
fn the_local_network_hears_of_it_once_it_is_known_to_be_public() {
    for private in [false, true] {
        let mut rig = link(|_| {});
        let started = rig.turn(Torrent::start);
        assert!(!started.contains(&Action::AnnounceLocally));
        let content = content(&rig, &[], private);
        let learnt = rig.turn(|torrent, turn| torrent.learn(content, turn));
        assert_eq!(learnt.contains(&Action::AnnounceLocally), !private);
    }
}

/// A `.torrent` of the same torrent holds the metadata, so no peer is asked any more. If it is
/// private, peers of the link's trackers must go, and the DHT is not used.
#[test]
fn another_source_knows_it() {
    for private in [false, true] {
        let mut rig = link(|setup| {
            setup.trackers = vec![vec!["http://link/".into()]];
            setup.dht = true;
        });
        rig.turn(Torrent::start);
        let named = Ok(AnnounceReply {
            peers: vec![addr(1)],
            ..AnnounceReply::default()
        });
        rig.turn(|torrent, turn| torrent.on_tracker(TrackerIndex(0), named, turn));
        rig.greet(1, true);
        let both = ["http://link/", "http://own/"].map(String::from);
        let sources = Named {
            trackers: vec![both[usize::from(private)..].to_vec()],
            ..Named::default()
        };
        let actions = rig.turn(|torrent, turn| torrent.set_sources(sources, true, private, turn));
        assert_eq!(actions.contains(&Action::HangUp(key(1))), private);
        let told = actions.iter().filter_map(|action| match action {
            Action::Announce(index, _, request) => Some((index.0, request.event)),
            _ => None,
        });
        let told: Vec<_> = told.collect();
        match private {
            true => assert_eq!(
                told,
                [(0, AnnounceEvent::Stopped), (1, AnnounceEvent::Started)]
            ),
            false => assert_eq!(told, [(1, AnnounceEvent::Started)]),
        }
        let offered = offer(&mut rig, 2);
        assert!(offered.contains(&answer(2, false)), "{offered:?}");
        let later = rig.pass(Duration::from_secs(60));
        let searches = later.iter().any(|a| matches!(a, Action::SearchDht { .. }));
        assert_eq!(searches, !private);
    }
}
