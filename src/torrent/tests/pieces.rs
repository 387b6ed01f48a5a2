//! Work: who fetches what, who lied, and the end of the download.

use super::*;

#[test]
fn a_sole_giver_of_a_false_piece_is_banned_at_once() {
    let mut rig = Rig::new(1, |_| {});
    rig.join_seed(1);
    rig.join_seed(2);
    let work = rig.want(1, 4);
    assert_eq!(rig.store(1, &work), [Action::Verify(vec![rig.piece(0)])]);
    assert_eq!(rig.want(2, 4), [], "all is done");
    let actions = rig.verdict(0, false);
    assert_eq!(hung_up(&actions), [key(1)]);
    assert!(rig.banned(1) && !rig.banned(2));
    assert_eq!(
        fetched(&actions, 2),
        [rig.span(0, 0..4)],
        "the other gets the work"
    );
    rig.event(1, PeerEvent::Closed("no longer needed".into()));
    assert_eq!(
        hung_up(&rig.greet(1, true)),
        [key(1)],
        "and never comes back"
    );
}

/// Of three givers one lied: its block differs from the true one. `leaves`: it is gone
/// before that is known.
#[test]
fn the_liar_among_several_is_found() {
    for leaves in [false, true] {
        let mut rig = Rig::new(1, |_| {});
        (1..=3).for_each(|n| rig.join_seed(n));
        for (n, numbers) in [(1, 0..1), (2, 1..3), (3, 3..4)] {
            assert_eq!(
                rig.want(n, numbers.len() as u32),
                [rig.span(0, numbers.clone())]
            );
            rig.store(n, &[rig.span(0, numbers)]);
        }
        let bad = rig.verdict(0, false);
        assert!(bad.contains(&Action::HashBlocks(rig.piece(0))), "{bad:?}");
        assert!((1..=3).all(|n| !rig.banned(n)), "nobody on suspicion");
        assert_eq!(rig.want(1, 4), [], "not before the blocks are hashed");
        if leaves {
            rig.event(2, PeerEvent::Closed("the peer hung up".into()));
        }
        let again = rig.hashes(0, [1, 2, 66, 4]);
        assert_eq!(
            fetched(&again, 1),
            [rig.span(0, 0..4)],
            "one alone fetches it"
        );
        rig.store(1, &[rig.span(0, 0..4)]);
        let good = rig.verdict(0, true);
        assert!(good.contains(&Action::HashBlocks(rig.piece(0))), "{good:?}");
        let judged = rig.hashes(0, [1, 2, 3, 4]);
        assert_eq!(hung_up(&judged), if leaves { vec![] } else { vec![key(2)] });
        assert_eq!([1, 2, 3].map(|n| rig.banned(n)), [false, true, false]);
    }
}

#[test]
fn nobody_is_blamed_for_a_block_that_two_wrote() {
    let mut rig = Rig::new(1, |_| {});
    rig.join_seed(1);
    rig.join_seed(2);
    let work = rig.want(1, 4);
    rig.pass(Duration::from_secs(1));
    let shared = rig.want(2, 4);
    assert_eq!(shared, work, "the endgame asks both");
    rig.store(1, &work);
    rig.store(2, &shared); // and this is what is on disk now
    let actions = rig.verdict(0, false);
    assert_eq!(hung_up(&actions), []);
    assert!(!rig.banned(1) && !rig.banned(2));
}

#[test]
fn in_the_endgame_the_slower_one_is_cancelled() {
    let mut rig = Rig::new(1, |_| {});
    rig.join_seed(1);
    rig.join_seed(2);
    let work = rig.want(1, 4);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.want(2, 4), work);
    let actions = rig.store(2, &[rig.span(0, 0..2)]);
    assert_eq!(cancelled(&actions, 1), [rig.span(0, 0..2)]);
    let rest = rig.store(2, &[rig.span(0, 2..4)]);
    assert_eq!(cancelled(&rest, 1), [rig.span(0, 2..4)]);
    assert!(
        !rest.iter().any(|a| matches!(a, Action::Verify(_))),
        "1 may still write"
    );
    let released = rig.event(1, PeerEvent::Released(work));
    assert_eq!(released, [Action::Verify(vec![rig.piece(0)])]);
}

/// Peer 1 holds all the work; then it fails in some way, and peer 2, which found
/// nothing to do, gets it at once. Peer 1 could take more too, but it had its chance.
#[test]
fn the_work_of_who_fails_goes_to_a_hungry_one_at_once() {
    type Fail = fn(&Rig, Vec<Span>) -> Vec<PeerEvent>;
    let cases: [(&str, Fail); 4] = [
        ("chokes", |_, work| {
            vec![PeerEvent::Choked(true), PeerEvent::Released(work)]
        }),
        ("leaves", |_, _| {
            vec![PeerEvent::Closed("the peer hung up".into())]
        }),
        ("is snubbed", |_, work| {
            vec![PeerEvent::Snubbed, PeerEvent::Released(work)]
        }),
        ("rejects, or is too slow", |_, work| {
            vec![PeerEvent::Released(work)]
        }),
    ];
    for (name, fail) in cases {
        let mut rig = Rig::new(10, |_| {});
        rig.join_seed(1);
        rig.join(2, Bitfield::none(10));
        let work = rig.want(1, 40);
        assert_eq!(blocks(&work), 40, "{name}");
        let more = rig.want(1, 20);
        assert_eq!(more, [], "{name}: there is no more");
        assert_eq!(rig.want(2, 100), [], "{name}: it has nothing");
        let events = fail(&rig, work.clone());
        // Now it has all; not by events, for these would take over some work already.
        rig.torrent.peers.get_mut(&key(2)).unwrap().have = Bitfield::all(10);
        let actions: Vec<Action> = events.into_iter().flat_map(|e| rig.event(1, e)).collect();
        let got = blocks(&fetched(&actions, 2));
        let kept = blocks(&fetched(&actions, 1));
        assert_eq!((got, kept), (40, 0), "{name}");
    }
}

#[test]
fn it_completes_exactly_once() {
    let mut rig = Rig::new(2, |_| {});
    rig.torrent.start(rig.now);
    rig.join_seed(1);
    let work = rig.want(1, 8);
    rig.event(
        1,
        PeerEvent::Traffic {
            down: 8 * 16384,
            up: 0,
        },
    );
    rig.store(1, &work);
    let first = rig.verdict(0, true);
    assert!(!first.contains(&Action::Complete));
    assert_eq!(rig.torrent.have_bytes(), 4 * 16384);
    let second = rig.verdict(1, true);
    assert_eq!(second.iter().filter(|a| **a == Action::Complete).count(), 1);
    assert_eq!(hung_up(&second), [key(1)], "two seeds have nothing to say");
    let told = second.iter().any(|action| {
        matches!(action, Action::Tell(Report::Complete { downloaded_bytes, .. }) if *downloaded_bytes == 8 * 16384)
    });
    assert!(told, "{second:?}");
    assert_eq!(rig.torrent.phase(), Phase::Done);
    let later = rig.pass(Duration::from_secs(1));
    assert!(!later.contains(&Action::Complete));
}

#[test]
fn what_is_complete_at_the_start_says_so_once() {
    let mut rig = Rig::new(2, |setup| content(setup).have = Bitfield::all(2));
    let actions = rig.torrent.start(rig.now);
    assert_eq!(
        actions.iter().filter(|a| **a == Action::Complete).count(),
        1
    );
    assert!(rig.torrent.is_seed());
}

/// Pieces of nothing but padding are found whole by the check before the start; nobody
/// is asked for them, nor for the padding within other pieces.
#[test]
fn padding_is_not_asked_for() {
    let piece = 4 * u64::from(BLOCK_LEN);
    let files = [
        (piece - 30_000, false),
        (2 * piece + 30_000, true),
        (piece, false),
    ];
    let mut rig = Rig::of(Layout::new(piece, &files).unwrap(), |setup| {
        let content = content(setup);
        content.wanted_files = vec![true, false, true];
        for padding in [1, 2] {
            content.have.insert(content.layout.piece(padding).unwrap());
        }
    });
    rig.torrent.start(rig.now);
    rig.join_seed(1);
    let mut work = rig.want(1, 100);
    work.sort();
    assert_eq!(work, [rig.span(0, 0..3), rig.span(3, 0..4)]);
    rig.store(1, &work);
    rig.verdict(0, true);
    assert!(rig.verdict(3, true).contains(&Action::Complete));
    assert!(rig.torrent.is_seed());
    let sizes = (rig.torrent.have_bytes(), rig.torrent.wanted_bytes());
    assert_eq!(sizes, (2 * piece - 30_000, 2 * piece - 30_000));
}

/// A newcomer that has nothing yet says nothing of its pieces, but it counts.
#[test]
fn whoever_comes_has_a_share_of_what_is_rare() {
    let mut rig = Rig::new(100, |_| {});
    rig.join_seed(1);
    rig.greet(2, true);
    let work = rig.want(1, 4 * 50);
    assert!(
        work.iter().all(|span| span.piece().get() >= 50),
        "the first half is for peer 2, whose id is lower: {work:?}"
    );
}
