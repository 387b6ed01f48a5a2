//! The order in which pieces are fetched for somebody who watches a film while it loads, and which
//! of them are late.
//!
//! The files come one after the other, and of each its first and its last MiB before the rest: a
//! player looks there for the film's length and its index before it shows anything. The rest comes
//! in order.
//!
//! A missing piece holds up the film, although later ones are there. So a piece is *late* after
//! twice the time that most take: then faster peers are asked for it, too.
//!
//! No BEP has this order; other clients call it sequential. The [`Picker`] asks here for the next
//! piece.

use super::take_over::{Rivals, Taken};
use super::{Order, Picker};
use crate::bitfield::Bitfield;
use crate::layout::{Layout, PieceIndex, spans_of};
use crate::rarity::Rarity;
use crate::types::PeerKey;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How many bytes at both ends of a file come before the rest.
const END: u64 = 1 << 20;

/// Nothing is late before this many pieces are there: nobody knows how long they take.
const KNOWN: usize = 4;

/// How many of the missing pieces are searched for one that the peer has, before its bitfield is
/// searched instead.
const LOOK_AT: usize = 2048;

/// How many of the last pieces count for the usual time.
const REMEMBERED: usize = 32;

/// The order of all pieces, and the times of those that are begun.
#[derive(Debug)]
pub(super) struct Watch {
    order: Vec<PieceIndex>,
    places: Vec<u32>,
    /// No piece at a place before this one is free.
    cursor: usize,
    /// When each begun piece that lacks blocks was first seen.
    begun: BTreeMap<PieceIndex, Instant>,
    took: VecDeque<Duration>,
}

impl Watch {
    /// Puts all pieces in order. A piece that belongs to several files comes with the first.
    pub(super) fn new(layout: &Layout) -> Self {
        let mut order = Vec::with_capacity(layout.pieces() as usize);
        let mut places = vec![u32::MAX; layout.pieces() as usize];
        for file in 0..layout.files() {
            let all = layout.file_range(file);
            let first = all.start..all.end.min(all.start + END);
            let last = all.start.max(all.end.saturating_sub(END))..all.end;
            for piece in [first, last, all]
                .into_iter()
                .flat_map(|r| layout.pieces_in(r))
            {
                let place = &mut places[piece.index()];
                if *place == u32::MAX {
                    *place = order.len() as u32;
                    order.push(piece);
                }
            }
        }
        Self {
            order,
            places,
            cursor: 0,
            begun: BTreeMap::new(),
            took: VecDeque::new(),
        }
    }

    /// Returns where `piece` is in the order, from 0.
    pub(super) fn place(&self, piece: PieceIndex) -> u32 {
        self.places[piece.index()]
    }

    /// Returns the first of the `free` pieces that the peer has.
    pub(super) fn next(&mut self, free: &Rarity, have: &Bitfield) -> Option<PieceIndex> {
        let rest = self.order[self.cursor..].iter().copied();
        let mut missing = rest.filter(|piece| free.contains(*piece));
        let first = missing.next();
        self.cursor = first.map_or(self.order.len(), |piece| self.place(piece) as usize);
        let mut near = first.into_iter().chain(missing.take(LOOK_AT));
        near.find(|piece| have.has(*piece)).or_else(|| {
            // The peer has few pieces: its bitfield is the shorter list.
            let its = have.iter().filter(|piece| free.contains(*piece));
            its.min_by_key(|piece| self.place(*piece))
        })
    }

    pub(super) fn freed(&mut self, piece: PieceIndex) {
        self.cursor = self.cursor.min(self.place(piece) as usize);
    }

    /// Learns which pieces are `begun` and lack blocks now. Returns those that are late, in order.
    pub(super) fn late(
        &mut self,
        begun: impl Iterator<Item = PieceIndex>,
        now: Instant,
    ) -> Vec<PieceIndex> {
        let since = |piece| (piece, *self.begun.get(&piece).unwrap_or(&now));
        let begun: BTreeMap<PieceIndex, Instant> = begun.map(since).collect();
        let before = std::mem::replace(&mut self.begun, begun);
        let whole = before
            .iter()
            .filter(|(piece, _)| !self.begun.contains_key(piece));
        self.took
            .extend(whole.map(|(_, since)| now.duration_since(*since)));
        self.took
            .drain(..self.took.len().saturating_sub(REMEMBERED));
        let mut took: Vec<Duration> = self.took.iter().copied().collect();
        let middle = took.len() / 2;
        if took.len() < KNOWN {
            return Vec::new();
        }
        let (_, median, _) = took.select_nth_unstable(middle);
        let is_late = |since: &Instant| now.duration_since(*since) > 2 * *median;
        let late = self.begun.iter().filter(|(_, since)| is_late(since));
        let mut late: Vec<PieceIndex> = late.map(|(piece, _)| *piece).collect();
        late.sort_by_key(|piece| self.place(*piece));
        late
    }

    /// Panics if `piece`, which is free, would be passed over. For tests.
    pub(super) fn check_free(&self, piece: PieceIndex) {
        let passed = self.cursor > self.place(piece) as usize;
        assert!(!passed, "{piece:?} is passed over");
    }
}

impl Picker {
    /// If the pieces are wanted in order: grants up to `blocks` blocks of late pieces to `peer`,
    /// beside a slower peer that has them on order. The first to send a block wins.
    pub(crate) fn hurry(
        &mut self,
        peer: PeerKey,
        have: &Bitfield,
        blocks: u32,
        rivals: &Rivals,
        now: Instant,
    ) -> Taken {
        let Order::Sequential(watch) = &mut self.order else {
            return Taken::default();
        };
        let begun = self.started.iter().filter(|(_, its)| its.missing > 0);
        let late = watch.late(begun.map(|(piece, _)| *piece), now).into_iter();
        let late = late.filter(|piece| have.has(*piece) && !self.is_reserved(*piece));
        let slower = |block: (PieceIndex, u32)| {
            let mut all = self.leases.iter();
            let holder = *all.find(|(_, leases)| leases.contains_key(&block))?.0;
            let is_slower = rivals.is_slower(holder, peer);
            is_slower.then_some((holder, block))
        };
        let held_once = |piece: PieceIndex| {
            let slots = &self.started[&piece].slots;
            let held = (0..).zip(slots).filter(|(_, s)| !s.stored && s.leases == 1);
            held.map(move |(number, _)| (piece, number))
        };
        let all = late.flat_map(held_once).filter_map(slower);
        let all: Vec<(PeerKey, (PieceIndex, u32))> = all.take(blocks as usize).collect();
        let mut shared: BTreeMap<PeerKey, Vec<(PieceIndex, u32)>> = BTreeMap::new();
        for (holder, (piece, number)) in &all {
            self.lease(peer, *piece, *number);
            shared.entry(*holder).or_default().push((*piece, *number));
        }
        let of = |(holder, blocks)| spans_of(blocks).into_iter().map(move |span| (holder, span));
        Taken {
            spans: spans_of(all.into_iter().map(|(_, block)| block).collect()),
            moved: Vec::new(),
            shared: shared.into_iter().flat_map(of).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(indices: impl IntoIterator<Item = u32>) -> Vec<PieceIndex> {
        indices.into_iter().map(PieceIndex::unchecked).collect()
    }

    #[test]
    fn both_ends_of_a_file_come_before_its_middle() {
        let mib = 1 << 20;
        // The second file begins and ends within a piece. The third is empty, the fourth short.
        let files = [4 * mib, 3 * mib + 5, 0, mib].map(|len| (len, false));
        let watch = Watch::new(&Layout::new(mib / 2, &files).unwrap());
        let first = [0, 1, 6, 7, 2, 3, 4, 5];
        let second = [8, 9, 12, 13, 14, 10, 11];
        let order = pieces(first.into_iter().chain(second).chain([15, 16]));
        assert_eq!(watch.order, order);
        assert!(
            (0..)
                .zip(&order)
                .all(|(at, piece)| watch.place(*piece) == at)
        );
    }

    #[test]
    fn who_has_only_late_pieces_gets_the_first_of_them() {
        let layout = Layout::new(1 << 14, &[(5000 << 14, false)]).unwrap();
        let mut watch = Watch::new(&layout);
        let mut rng = fastrand::Rng::with_seed(1);
        let free = Rarity::new(5000, layout.all_pieces(), &mut rng);
        let mut have = Bitfield::none(5000);
        assert_eq!(watch.next(&free, &have), None);
        // The last 64 pieces are the end of the file, and come before its middle.
        for index in [4000, 3000, 4990] {
            have.insert(PieceIndex::unchecked(index));
            assert_eq!(
                watch.next(&free, &have).map(PieceIndex::get),
                Some(index),
                "of those before it, none is nearer"
            );
        }
    }

    #[test]
    fn a_piece_is_late_after_twice_the_median() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let layout = Layout::new(1 << 14, &[(20 << 14, false)]).unwrap();
        let mut watch = Watch::new(&layout);
        let mut look = |begun: &[u32], millis| {
            watch.late(pieces(begun.iter().copied()).into_iter(), at(millis))
        };
        assert_eq!(look(&[0, 1, 2, 3, 4, 5], 0), []);
        assert_eq!(look(&[3, 4, 5], 100), []);
        assert_eq!(look(&[3, 4, 5], 9_000), [], "three are too few to know");
        assert_eq!(look(&[4, 5, 6], 9_100), pieces([4, 5]));
        assert_eq!(look(&[4, 6], 9_300), pieces([4]), "most took 0.1 s");
        assert_eq!(look(&[4, 6], 9_301), pieces([4, 6]));
    }
}
