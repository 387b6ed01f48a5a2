use super::*;
use crate::config::Strategy;
use crate::layout::BLOCK_LEN;
use proptest::prelude::*;
use std::time::{Duration, Instant};

const A: PeerKey = PeerKey(1);
const B: PeerKey = PeerKey(2);
const C: PeerKey = PeerKey(3);
const D: PeerKey = PeerKey(77);

fn picker(piece_blocks: u64, blocks: u64, strategy: Strategy) -> (Picker, Bitfield) {
    let block = u64::from(BLOCK_LEN);
    let layout = Arc::new(Layout::new(piece_blocks * block, &[(blocks * block, false)]).unwrap());
    let all = Bitfield::all(layout.pieces());
    let none = Bitfield::none(layout.pieces());
    (
        Picker::new(layout, &none, &all, strategy, fastrand::Rng::with_seed(7)),
        all,
    )
}

fn rivals(picker: &Picker, pace: impl Fn(PeerKey) -> Option<f64>, expected: usize) -> Rivals {
    let givers = [A, B, C, D].map(|peer| Giver {
        peer,
        pace: pace(peer).filter(|pace| pace.is_finite()),
        least: pace(peer).filter(|pace| pace.is_infinite()).unwrap_or(0.0),
        idle: false,
    });
    picker.rivals(&givers, expected, Instant::now())
}

/// Lets `peer` take over work. `pace` returns each peer's seconds for a block, if known.
fn take_over(
    picker: &mut Picker,
    peer: PeerKey,
    have: &Bitfield,
    blocks: u32,
    pace: impl Fn(PeerKey) -> Option<f64>,
) -> (Vec<Span>, Vec<(PeerKey, Span)>) {
    let mut rivals = rivals(picker, pace, 0);
    let taken = picker.take_over(peer, have, blocks, &mut rivals);
    (taken.spans, taken.moved)
}

fn pieces(spans: &[Span]) -> Vec<u32> {
    spans.iter().map(|span| span.piece().get()).collect()
}

fn some(len: u32, indices: &[u32]) -> Bitfield {
    let mut bits = Bitfield::none(len);
    indices
        .iter()
        .for_each(|i| _ = bits.insert(PieceIndex::unchecked(*i)));
    bits
}

#[test]
fn at_random_however_rare() {
    let (mut picker, all) = picker(1, 100, Strategy::Random);
    let common = some(100, &[7, 8]);
    (0..9).for_each(|_| common.iter().for_each(|piece| picker.peer_has(piece)));
    assert_eq!(pieces(&picker.pick(A, &common, 9)).len(), 2, "what it has");
    let mut order = pieces(&picker.pick(A, &all, 98));
    assert!(!order.is_sorted(), "in order: {order:?}");
    order.sort_unstable();
    let rest = (0..100).filter(|piece| ![7, 8].contains(piece));
    assert_eq!(order, rest.collect::<Vec<_>>());
}

#[test]
fn started_pieces_first_then_the_rarest() {
    let (mut picker, all) = picker(4, 40, Strategy::RarestFirst);
    picker.order.skip_random();
    for piece in (0..10).filter(|i| *i != 6) {
        picker.peer_has(PieceIndex::unchecked(piece));
    }
    let first = picker.pick(A, &all, 3);
    assert_eq!(pieces(&first), [6], "nobody else has piece 6");
    let second = picker.pick(B, &all, 2);
    assert_eq!(
        second[0].piece().get(),
        6,
        "what is begun is finished first"
    );
    assert_eq!(second[0].numbers(), 3..4);
    assert_ne!(second[1].piece().get(), 6);
    assert!(
        picker.pick(C, &some(10, &[]), 5).is_empty(),
        "a peer without pieces"
    );
}

#[test]
fn of_the_begun_the_rarest_is_finished_first() {
    let (mut picker, all) = picker(4, 40, Strategy::RarestFirst);
    for piece in [2, 5, 7] {
        picker.begin_stored(PieceIndex::unchecked(piece), &[0]);
    }
    for piece in [2, 7] {
        picker.peer_has(PieceIndex::unchecked(piece));
    }
    assert_eq!(pieces(&picker.pick(A, &all, 9)), [5, 2, 7]);
}

/// Three leeches of one seed: the second begins with the second third of what only the seed has,
/// and asks the seed for nothing that another leech has, even if it began to fetch that.
#[test]
fn leeches_divide_what_only_seeds_have() {
    let (mut picker, all) = picker(4, 4 * 24, Strategy::RarestFirst);
    let piece = PieceIndex::unchecked;
    picker.order.skip_random();
    picker.set_share(1, 3);
    assert_eq!(pieces(&picker.pick(A, &all, 8)), [8, 9]);
    (0..12).for_each(|index| picker.peer_has(piece(index)));
    let _ = picker.forget(A);
    // A third of 12..24. The rest of its share comes next, then any.
    assert_eq!(pieces(&picker.pick(A, &all, 12)), [16, 17, 18]);
    assert_eq!(pieces(&picker.pick(B, &all, 4)), [19]);
    assert!(pieces(&picker.pick(B, &all, 4))[0] >= 12);
    assert_eq!(pieces(&picker.pick(C, &some(24, &[8, 9]), 8)), [8, 9]);
}

/// A seed whose line has no time for what others can send gets none of our first pieces, which are
/// chosen at random.
#[test]
fn a_scarce_seed_gets_nothing_at_random() {
    let (mut picker, all) = picker(4, 4 * 24, Strategy::RarestFirst);
    picker.set_share(0, 2);
    (0..22).for_each(|index| picker.peer_has(PieceIndex::unchecked(index)));
    let mut given = pieces(&picker.pick(A, &all, 8));
    given.sort_unstable();
    assert_eq!(given, [22, 23]);
}

#[test]
fn in_order_where_asked() {
    let (mut picker, all) = picker(2, 12, Strategy::Sequential);
    assert_eq!(pieces(&picker.pick(A, &some(6, &[2, 4]), 4)), [2, 4]);
    assert_eq!(pieces(&picker.pick(B, &all, 8)), [0, 1, 3, 5]);
}

/// Of A's six pieces two are left. They took more than twice as long as the others, so B, which is
/// faster, gets them, too. C is not faster.
#[test]
fn a_late_piece_is_asked_of_a_faster_peer_too() {
    let (mut picker, all) = picker(2, 16, Strategy::Sequential);
    let start = Instant::now();
    let pace = |peer| Some(if peer == B { 0.1 } else { 1.0 });
    let seen = rivals(&picker, pace, 0);
    let hurry = |picker: &mut Picker, peer, seconds| {
        let now = start + Duration::from_secs(seconds);
        picker.hurry(peer, &all, 3, &seen, now).spans
    };
    let work = picker.pick(A, &all, 12);
    assert_eq!(hurry(&mut picker, B, 0), []);
    for span in &work[..4] {
        let ready = picker.stored(A, *span).ready;
        ready.into_iter().for_each(|piece| picker.verified(piece));
    }
    assert_eq!(hurry(&mut picker, B, 10), []);
    assert_eq!(hurry(&mut picker, B, 20), [], "twice the median, not more");
    assert_eq!(hurry(&mut picker, C, 21), [], "it would be no sooner");
    let late = hurry(&mut picker, B, 21);
    assert_eq!(pieces(&late), [4, 5]);
    assert_eq!(
        late.iter().map(|s| s.count()).sum::<u32>(),
        3,
        "as many as it asked for"
    );
    assert_eq!(picker.stored(B, late[0]).cancel.len(), 2);
}

#[test]
fn small_neighbours_come_along() {
    let (mut picker, all) = picker(1, 1000, Strategy::RarestFirst);
    picker.order.skip_random();
    let spans = picker.pick(A, &all, 64);
    let runs = pieces(&spans)
        .windows(2)
        .filter(|w| w[1] != w[0] + 1)
        .count();
    assert!(runs <= 2, "{runs} breaks in {spans:?}");
}

#[test]
fn a_piece_is_ready_only_when_nobody_may_write_to_it() {
    let (mut picker, all) = picker(4, 4, Strategy::RarestFirst);
    let work = picker.pick(A, &all, 4);
    let (copy, cancel) = take_over(&mut picker, B, &all, 4, |peer| {
        Some(if peer == A { 9.0 } else { 1.0 })
    });
    assert_eq!(
        (copy.as_slice(), cancel.len()),
        (&*work.spans, 0),
        "the last few are shared"
    );
    let outcome = picker.stored(B, copy[0]);
    assert_eq!(outcome.ready, [], "A could still write");
    assert!(outcome.cancel.iter().all(|(rival, _)| *rival == A));
    assert_eq!(outcome.cancel.len(), 4);
    assert_eq!(picker.released(A, work[0]), Some(work[0].piece()));
    picker.verified(work[0].piece());
    assert_eq!(picker.missing(), 0);
    assert_eq!(
        picker.stored(A, work[0]),
        Outcome::default(),
        "late news change nothing"
    );
}

#[test]
fn the_idle_take_over_from_the_last() {
    let (mut picker, all) = picker(64, 64, Strategy::RarestFirst);
    let _ = picker.pick(A, &all, 32);
    let _ = picker.pick(B, &all, 32);
    let pace = |peer| Some(if peer == A { 0.001 } else { 10.0 });
    let (work, cancel) = take_over(&mut picker, C, &all, 100, pace);
    assert_eq!(
        work.iter().map(|s| s.count()).sum::<u32>(),
        16,
        "half of what B had"
    );
    assert_eq!(
        work[0].numbers(),
        48..64,
        "the half that B would come to last"
    );
    assert_eq!(cancel, [(B, work[0])]);
    let (none, _) = take_over(&mut picker, C, &all, 100, |peer| {
        Some(if peer == C { 1e9 } else { 0.001 })
    });
    assert!(
        none.is_empty(),
        "nobody takes over what it would finish later"
    );
}

/// 128 KiB: 128 blocks, in a torrent with pieces of 1 KiB.
#[test]
fn of_short_blocks_more_stay() {
    let layout = Layout::new(1024, &[(256 * 1024, false)]).unwrap();
    let (none, all) = (Bitfield::none(256), Bitfield::all(256));
    let rng = fastrand::Rng::with_seed(7);
    let mut picker = Picker::new(Arc::new(layout), &none, &all, Strategy::Sequential, rng);
    let _ = picker.pick(A, &all, 256);
    let pace = |peer| Some(if peer == A { 0.1 } else { 0.05 });
    let (work, _) = take_over(&mut picker, B, &all, 256, pace);
    assert_eq!(pieces(&work), (128..256).collect::<Vec<_>>());
}

/// Two silent peers have the last blocks on order: a third peer gets them, too.
#[test]
fn two_that_are_silent_hold_up_nobody() {
    let (mut picker, all) = picker(4, 4, Strategy::RarestFirst);
    let work = picker.pick(A, &all, 4);
    let unknown = |peer| Some(if peer == A { f64::INFINITY } else { 1.0 });
    assert_eq!(
        take_over(&mut picker, B, &all, 4, unknown).0,
        work.spans,
        "shared"
    );
    let known = |peer| Some(if peer == C { 1.0 } else { f64::INFINITY });
    assert_eq!(
        take_over(&mut picker, C, &all, 4, known),
        (work.spans, vec![])
    );
    assert_eq!(take_over(&mut picker, C, &all, 4, known).0, [], "once");
    let slow = |peer| Some(if peer == D { 9.0 } else { 1.0 });
    assert_eq!(take_over(&mut picker, D, &all, 4, slow).0, []);
}

/// A has 8 blocks left, and needs twice as long for one as B, which has none. C has the others.
#[test]
fn the_last_blocks_are_asked_of_any_faster_peer_too() {
    let shared = |blocks: u32| {
        let (mut picker, all) = picker(1, blocks.into(), Strategy::RarestFirst);
        let _ = picker.pick(A, &all, 8);
        let _ = picker.pick(C, &all, blocks - 8);
        let pace = |peer| match peer {
            A => 1.0,
            B => 0.5,
            _ => 0.001,
        };
        take_over(&mut picker, B, &all, 8, |peer| Some(pace(peer)))
            .0
            .len()
    };
    assert_eq!(shared(33), 0, "B is not four times as fast");
    assert_eq!(shared(32), 5, "the sixth would come from A first");
}

#[test]
fn the_idle_take_over_before_the_end_if_it_is_known_to_be_much_sooner() {
    let (mut picker, all) = picker(64, 128, Strategy::RarestFirst);
    let work = picker.pick(A, &all, 64);
    let first = some(2, &[work[0].piece().get()]);
    let pace = |peer| Some(if peer == A { 0.1 } else { 0.001 });
    let (taken, cancel) = take_over(&mut picker, B, &first, 100, pace);
    let last = picker.layout.span(work[0].piece(), 8..64).unwrap();
    assert_eq!(taken, [last], "the first few are likely on their way");
    assert_eq!(cancel, [(A, last)]);
    let lacks = some(2, &[1 - work[0].piece().get()]);
    assert!(take_over(&mut picker, C, &lacks, 100, pace).0.is_empty());
}

/// If a gain below 0.1 s were enough, blocks would move to and fro among equal peers.
#[test]
fn what_was_taken_over_is_not_taken_back() {
    let (mut picker, all) = picker(64, 64, Strategy::RarestFirst);
    let _ = picker.pick(A, &all, 64);
    let pace = |_| Some(0.3);
    let mut seen = rivals(&picker, pace, 0);
    let taken = picker.take_over(B, &all, 64, &mut seen);
    assert_eq!(taken.spans[0].numbers(), 32..64);
    picker.released(A, taken.moved[0].1);
    for peer in [A, B] {
        let taken = picker.take_over(peer, &all, 64, &mut seen);
        assert!(taken.spans.is_empty(), "{peer:?}: {taken:?}");
    }
}

#[test]
fn all_get_a_share_by_which_they_end_together() {
    let (picker, _) = picker(8, 80, Strategy::RarestFirst);
    let seen = rivals(&picker, |peer| (peer == A).then_some(0.5), 0);
    assert_eq!([A, B].map(|p| seen.share(p)), [20, 20], "as the others");
    let seen = rivals(&picker, |peer| (peer == A).then_some(0.5), 4);
    assert_eq!(seen.share(A), 10, "others are about to come");
    let pace = |peer| Some(if peer == A { 0.1 } else { 0.5 });
    let seen = rivals(&picker, pace, 0);
    assert_eq!([A, B].map(|p| seen.share(p)), [50, 10]);
    let pace = |peer| Some(if peer == A { 0.001 } else { f64::INFINITY });
    let seen = rivals(&picker, pace, 0);
    assert_eq!(
        [A, B].map(|p| seen.share(p)),
        [200, 1],
        "a fifth of a second"
    );
}

#[test]
fn a_peer_that_leaves_gives_its_work_back() {
    let (mut picker, all) = picker(8, 8, Strategy::RarestFirst);
    let work = picker.pick(A, &all, 8);
    let half = work[0].only(0);
    picker.stored(A, half);
    assert!(picker.pick(B, &all, 8).is_empty());
    assert!(picker.forget(A).is_empty());
    assert_eq!(
        picker
            .pick(B, &all, 8)
            .iter()
            .map(|s| s.count())
            .sum::<u32>(),
        7
    );
}

#[test]
fn after_a_wrong_hash_one_peer_fetches_alone() {
    let (mut picker, all) = picker(4, 4, Strategy::RarestFirst);
    let (a, b) = (picker.pick(A, &all, 2), picker.pick(B, &all, 2));
    picker.stored(A, a[0]);
    let piece = picker.stored(B, b[0]).ready[0];
    assert_eq!(picker.failed(piece), [Some(A), Some(A), Some(B), Some(B)]);
    assert!(picker.pick(B, &all, 0).is_empty(), "reserves nothing");
    let alone = picker.pick(A, &all, 1);
    assert_eq!(alone[0].count(), 4, "whatever it asked for");
    assert!(picker.pick(B, &all, 4).is_empty(), "A fetches it alone");
    assert!(picker.all_granted());
    picker.released(A, alone[0].only(3));
    assert!(picker.pick(B, &all, 4).is_empty(), "and this, too");
    assert!(picker.all_granted(), "so nobody waits for it");
    picker.forget(A);
    assert!(!picker.all_granted());
    assert_eq!(picker.pick(B, &all, 1)[0].count(), 4, "A is gone");
}

proptest! {
    /// Peers come, store blocks, give blocks back and leave in any order. No block is leased twice,
    /// as nobody takes over work, and at the end an honest peer can finish the torrent.
    #[test]
    fn every_block_is_fetched_once(ops in prop::collection::vec((0u8..5, 1u32..6, 1u32..20), 0..200)) {
        let (mut picker, all) = picker(3, 50, Strategy::RarestFirst);
        let mut held: BTreeMap<u32, Vec<Span>> = BTreeMap::new();
        let mut stored = std::collections::HashSet::new();
        for (op, peer, n) in ops {
            let key = PeerKey(peer);
            let mut work = held.remove(&peer).unwrap_or_default();
            match op {
                0 | 1 => {
                    let spans = picker.pick(key, &all, n);
                    prop_assert!(spans.iter().map(|s| s.count()).sum::<u32>() <= n);
                    work.extend(&*spans);
                    let mut seen = stored.clone();
                    for span in held.values().flatten().chain(&work) {
                        for number in span.numbers() {
                            prop_assert!(seen.insert((span.piece(), number)), "leased twice");
                        }
                    }
                }
                2 => if let Some(span) = work.pop() {
                    stored.extend(span.numbers().map(|number| (span.piece(), number)));
                    picker.stored(key, span).ready.into_iter().for_each(|piece| picker.verified(piece));
                },
                3 => if let Some(span) = work.pop() { picker.released(key, span); },
                _ => { work.clear(); picker.forget(key); }
            }
            let count = work.iter().map(|s| s.count() as usize).sum::<usize>();
            prop_assert_eq!(picker.leased(key), count);
            held.insert(peer, work);
        }
        (1..6).for_each(|peer| _ = picker.forget(PeerKey(peer)));
        let rest = picker.pick(A, &all, 1000);
        prop_assert_eq!(rest.iter().map(|s| s.count() as usize).sum::<usize>(), 50 - stored.len());
        for span in rest.spans {
            picker.stored(A, span).ready.into_iter().for_each(|piece| picker.verified(piece));
        }
        prop_assert_eq!(picker.missing(), 0);
    }
}
