//! Tests of work: who fetches what, who lied, and the end of the download.

use super::*;

fn verify(piece: PieceIndex, hurry: bool) -> Action {
    Action::Verify {
        pieces: vec![piece],
        hurry,
    }
}

#[test]
fn a_sole_giver_of_a_false_piece_is_banned_at_once() {
    let mut rig = Rig::new(1, |_| {});
    rig.join_seed(1);
    rig.join_seed(2);
    let work = rig.want(1, 4);
    assert_eq!(rig.store(1, &work), [verify(rig.piece(0), true)]);
    assert_eq!(rig.want(2, 4), [], "all is done");
    let actions = rig.verdict(0, false);
    assert_eq!(actions.last(), Some(&Action::HashBlocks(rig.piece(0))));
    let actions = rig.hashes(0, [1, 2, 3, 4]);
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

/// One of three givers lied: its block differs from the true one. `leaves`: it left before we know.
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

/// The hash in the torrent is false: three honest peers send the same bytes.
#[test]
fn what_three_agree_on_is_the_torrents_fault() {
    let mut rig = Rig::new(2, |_| {});
    rig.turn(Torrent::start);
    let hopeless = |n: u8, rig: &mut Rig, bytes: [u8; 4]| {
        rig.join_seed(n);
        let work = rig.want(n, 4);
        let piece = work[0].piece().get();
        assert_eq!(work, [rig.span(piece, 0..4)]);
        rig.store(n, &work);
        rig.verdict(piece, false);
        (piece, rig.hashes(piece, bytes))
    };
    let (bad, _) = hopeless(1, &mut rig, [1, 2, 3, 4]);
    assert!(rig.banned(1), "one may well be a liar");
    hopeless(2, &mut rig, [1, 2, 3, 99]);
    assert!(rig.banned(2), "another lie");
    hopeless(3, &mut rig, [1, 2, 3, 4]);
    assert!(
        rig.torrent
            .why_idle()
            .to_string()
            .contains(&format!("piece {bad} came false from 3 peers"))
    );
    let (_, actions) = hopeless(4, &mut rig, [1, 2, 3, 4]);
    let warned = |action: &Action| {
        matches!(action, Action::Tell(Report::Warning { message, .. })
            if message.starts_with(&format!("piece {bad} can never be right")))
    };
    assert!(actions.iter().any(warned), "{actions:?}");
    let banned: Vec<u8> = (1..=4).filter(|n| rig.banned(*n)).collect();
    assert_eq!(banned, [2], "the others told the truth");
    // The rest is fetched from one of them. Then nothing is left to wait for.
    let good = 1 - bad;
    assert_eq!(rig.want(4, 8), [rig.span(good, 0..4)]);
    rig.store(4, &[rig.span(good, 0..4)]);
    let end = rig.verdict(good, true);
    let failed = |action: &Action| matches!(action, Action::Fail(why) if why.contains(&format!("piece {bad}")));
    assert!(end.iter().any(failed), "{end:?}");
    assert!(!end.contains(&Action::Complete));
}

#[test]
fn padding_with_a_false_hash_ends_it_at_once() {
    let piece = 4 * u64::from(BLOCK_LEN);
    let files = [(piece, false), (piece, true), (piece, false)];
    let mut rig = Rig::of(Layout::new(piece, &files).unwrap(), |_| {});
    let actions = rig.turn(Torrent::start);
    assert!(actions.contains(&verify(rig.piece(1), false)));
    let actions = rig.verdict(1, false);
    let failed = |action: &Action| matches!(action, Action::Fail(why) if why.contains("piece 1 "));
    assert!(actions.iter().any(failed), "{actions:?}");
}

/// Blocks of an earlier run are not fetched again, and nobody is banned if they are false.
#[test]
fn what_an_earlier_run_stored_is_kept_and_nobodys() {
    let mut rig = Rig::new(1, |setup| {
        let content = content(setup);
        content.stored = vec![(content.layout.piece(0).unwrap(), vec![0, 2])];
    });
    rig.turn(Torrent::start);
    rig.join_seed(1);
    let work = rig.want(1, 9);
    assert_eq!(work, [rig.span(0, 1..2), rig.span(0, 3..4)]);
    assert_eq!(rig.store(1, &work), [verify(rig.piece(0), true)]);
    let actions = rig.verdict(0, false);
    assert_eq!(hung_up(&actions), []);
    assert!(!rig.banned(1));
    // Now the piece is fetched again, and a liar is banned.
    let work = rig.want(1, 9);
    assert_eq!(work, [rig.span(0, 0..4)]);
    rig.store(1, &work);
    rig.verdict(0, false);
    rig.hashes(0, [1, 2, 3, 4]);
    assert!(rig.banned(1));
}

/// If all peers are seeds, pieces may wait to be hashed together. A leech waits for our HAVE, and a
/// super-seeding seed (BEP 16) for the leech's.
#[test]
fn verdicts_are_awaited_by_those_who_lack_pieces() {
    let mut rig = Rig::new(3, |_| {});
    rig.turn(Torrent::start);
    rig.join_seed(1);
    let work = rig.want(1, 8);
    rig.store(1, &work);
    assert!(!rig.torrent.awaits_verdicts());
    rig.join(2, Bitfield::none(3));
    assert!(rig.torrent.awaits_verdicts());
    rig.event(2, PeerEvent::Closed("the peer hung up".into()));
    assert!(!rig.torrent.awaits_verdicts());
    let work = rig.want(1, 4);
    rig.store(1, &work);
    rig.verdict(0, true);
    assert!(rig.torrent.awaits_verdicts(), "nothing else is missing");
}

/// The folder is removed during the download: nobody is banned, and what is lost is fetched again.
#[test]
fn files_that_were_moved_are_nobodys_fault() {
    let mut rig = Rig::new(3, |_| {});
    rig.turn(Torrent::start);
    rig.join_seed(1);
    let work = rig.want(1, 12);
    let of = |rig: &Rig, piece| rig.span(piece, 0..4);
    rig.store(1, &[of(&rig, 0)]);
    rig.verdict(0, true);
    rig.store(1, &[of(&rig, 1), rig.span(2, 0..1)]);
    assert_eq!(blocks(&work), 12);
    let actions = rig.found(1, Verdict::Moved);
    assert!(
        actions.contains(&Action::Survey(rig.torrent.have().clone())),
        "{actions:?}"
    );
    assert!(!rig.banned(1));
    let lost = Surveyed {
        changed: vec![(0, "DIR/x".into())],
        lost: vec![rig.piece(0)],
    };
    let actions = rig.surveyed(lost.clone());
    assert!(actions.contains(&Action::Send(key(1), Command::Moved([rig.piece(0)].into()))));
    assert!(!rig.torrent.have().has(rig.piece(0)));
    assert_eq!(rig.torrent.have_bytes(), 0);
    let warned = |action: &Action| matches!(action, Action::Tell(Report::Warning { message, .. }) if message.contains("DIR/x"));
    assert!(actions.iter().any(warned), "{actions:?}");
    // The blocks of piece 2 on order arrive. The lost block and the rest are fetched again.
    let mut again = rig.want(1, 99);
    again.sort();
    assert_eq!(again, [of(&rig, 0), of(&rig, 1), rig.span(2, 0..1)]);
    rig.store(1, &again);
    rig.store(1, &[rig.span(2, 1..4)]);
    rig.verdict(0, true);
    rig.verdict(1, true);
    // Piece 2 may have a block in the removed file.
    let actions = rig.verdict(2, false);
    assert!(
        hung_up(&actions).is_empty() && !rig.banned(1),
        "{actions:?}"
    );
    let again = rig.want(1, 99);
    rig.store(1, &again);
    let actions = rig.found(2, Verdict::Right);
    assert!(actions.contains(&Action::Survey(Bitfield::all(3))));
    assert!(!actions.contains(&Action::Complete), "not before the look");
    // The second time we give up: whatever removes files will do it again.
    let failed = |action: &Action| matches!(action, Action::Fail(why) if why.contains("DIR/x"));
    assert!(rig.surveyed(lost).iter().any(failed));
}

/// Another file with the right data stands there: nothing is lost.
#[test]
fn a_copy_in_its_place_is_as_good() {
    let mut rig = Rig::new(1, |_| {});
    rig.turn(Torrent::start);
    rig.join_seed(1);
    let work = rig.want(1, 4);
    rig.store(1, &work);
    rig.found(0, Verdict::Right);
    let copied = Surveyed {
        changed: vec![(0, "DIR/x".into())],
        lost: vec![],
    };
    let actions = rig.surveyed(copied);
    assert!(actions.contains(&Action::Complete));
    assert!(
        !actions
            .iter()
            .any(|a| matches!(a, Action::Tell(Report::Warning { .. })))
    );
}

#[test]
fn nobody_is_blamed_for_a_block_that_two_wrote() {
    let mut rig = Rig::new(1, |_| {});
    rig.join_seed(1);
    rig.join_seed(2);
    let work = rig.want(1, 4);
    rig.pass(Duration::from_secs(5));
    let shared = rig.want(2, 4);
    assert_eq!(shared, work, "the endgame asks both");
    rig.store(1, &work);
    rig.store(2, &shared); // so this is on disk now
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
    rig.pass(Duration::from_secs(5));
    assert_eq!(rig.want(2, 4), work);
    let actions = rig.store(2, &[rig.span(0, 0..2)]);
    assert_eq!(cancelled(&actions, 1), [rig.span(0, 0..2)]);
    let rest = rig.store(2, &[rig.span(0, 2..4)]);
    assert_eq!(cancelled(&rest, 1), [rig.span(0, 2..4)]);
    assert!(
        !rest.iter().any(|a| matches!(a, Action::Verify { .. })),
        "1 may still write"
    );
    let released = rig.event(1, PeerEvent::Released(work, GivenBack::Refused));
    assert_eq!(released, [verify(rig.piece(0), true)]);
}

/// Peer 1 holds all the work and then fails in some way. Peer 2, which found nothing to do, gets
/// the work at once, although peer 1 could take it, too.
#[test]
fn the_work_of_who_fails_goes_to_a_hungry_one_at_once() {
    type Fail = fn(&Rig, Vec<Span>) -> Vec<PeerEvent>;
    let cases: [(&str, Fail); 4] = [
        ("chokes", |_, work| {
            vec![
                PeerEvent::Choked(true),
                PeerEvent::Released(work, GivenBack::Choked),
            ]
        }),
        ("leaves", |_, _| {
            vec![PeerEvent::Closed("the peer hung up".into())]
        }),
        ("is snubbed", |_, work| {
            vec![
                PeerEvent::Snubbed,
                PeerEvent::Released(work, GivenBack::Snubbed),
            ]
        }),
        ("rejects, or is too slow", |_, work| {
            vec![PeerEvent::Released(work, GivenBack::Slow)]
        }),
    ];
    for (name, fail) in cases {
        let mut rig = Rig::new(8, |_| {});
        rig.join_seed(1);
        let work = rig.want(1, 32);
        assert_eq!(blocks(&work), 32, "{name}");
        let more = rig.want(1, 20);
        assert_eq!(more, [], "{name}: there is no more");
        rig.join(2, Bitfield::none(8));
        assert_eq!(rig.want(2, 100), [], "{name}: it has nothing");
        let events = fail(&rig, work.clone());
        // Now it has all pieces. Events would make it take over work too early.
        rig.torrent.peers.fetcher_mut(key(2)).unwrap().have = Bitfield::all(8);
        let actions: Vec<Action> = events.into_iter().flat_map(|e| rig.event(1, e)).collect();
        let got = blocks(&fetched(&actions, 2));
        let kept = blocks(&fetched(&actions, 1));
        assert_eq!((got, kept), (32, 0), "{name}");
    }
}

#[test]
fn it_completes_exactly_once() {
    let mut rig = Rig::new(2, |_| {});
    rig.turn(Torrent::start);
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
    let actions = rig.turn(Torrent::start);
    assert_eq!(
        actions.iter().filter(|a| **a == Action::Complete).count(),
        1
    );
    assert!(rig.torrent.is_seed());
}

/// The check at the start finds pieces that are all padding complete. No peer is asked for them,
/// nor for other padding.
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
        content.wanted = Wanted::new(&content.layout, &[true, false, true]);
        for padding in [1, 2] {
            content.have.insert(content.layout.piece(padding).unwrap());
        }
    });
    rig.turn(Torrent::start);
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

/// A newcomer that has no pieces sends no bitfield, but counts as a leech.
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
