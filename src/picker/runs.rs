//! Gives work to web seeds: long runs of blocks, away from what peers fetch.
//!
//! A web seed is a web server that has the files (BEP 19). Each request to it costs a round trip,
//! so it gets several neighbouring pieces at once, or a large part of a large piece. Peers fetch
//! the rarest pieces; a web seed fetches from the largest gap that they have left.

use super::{Granted, Picker, Started};
use crate::bitfield::Bitfield;
use crate::layout::PieceIndex;
use crate::trace::Grant;
use crate::types::PeerKey;

impl Picker {
    /// Grants up to `blocks` blocks in a row to a web seed: the rest of the piece that it has
    /// begun, or else the start of the largest gap among the free pieces. If neither exists, or if
    /// the pieces are wanted in order, it gets blocks as a peer does.
    pub fn pick_run(&mut self, seed: PeerKey, have: &Bitfield, blocks: u32) -> Granted {
        let mut granted = Granted::default();
        let mut left = blocks;
        let mut next = None;
        if !self.order.is_strict() && left > 0 {
            next = self.gone_on_with(seed, have);
            next = next.or_else(|| self.largest_gap(have));
        }
        while let Some(piece) = next.filter(|_| left > 0) {
            let mut why = Grant::Finish;
            if self.rarity.contains(piece) {
                self.start(piece);
                why = Grant::Order;
            }
            left -= self.grant(seed, piece, left, why, &mut granted);
            next = self.layout.piece(piece.get() + 1);
            next = next.filter(|next| self.rarity.contains(*next) && have.has(*next));
        }
        if granted.is_empty() {
            return self.pick(seed, have, blocks);
        }
        granted
    }

    /// Returns a started piece with free blocks, of which `seed` fetches or stored others.
    fn gone_on_with(&self, seed: PeerKey, have: &Bitfield) -> Option<PieceIndex> {
        let begun = |piece: PieceIndex, started: &Started| {
            self.fetches(seed, piece) || started.slots.iter().any(|slot| slot.giver == Some(seed))
        };
        let is_its = |piece: &PieceIndex| {
            let started = self.started.get(piece).filter(|s| !s.alone);
            have.has(*piece) && started.is_some_and(|started| begun(*piece, started))
        };
        self.open.iter().copied().find(is_its)
    }

    /// Returns the first piece of the longest run of free pieces that the web seed has.
    fn largest_gap(&self, have: &Bitfield) -> Option<PieceIndex> {
        if self.rarity.is_empty() {
            return None; // Saves a search for each request near the end.
        }
        let (mut run, mut longest, mut first) = (0, 0, None);
        for piece in self.layout.all_pieces() {
            let is_free = self.rarity.contains(piece) && have.has(piece);
            run = if is_free { run + 1 } else { 0 };
            if run > longest {
                longest = run;
                first = self.layout.piece(piece.get() + 1 - run);
            }
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Strategy;
    use crate::layout::{BLOCK_LEN, Layout, Span};
    use std::ops::Range;
    use std::sync::Arc;

    const WEB: PeerKey = PeerKey(1);
    const OTHER: PeerKey = PeerKey(2);
    const PEER: PeerKey = PeerKey(3);

    /// Makes a picker of `pieces` pieces of four blocks. Those in `had` are on disk.
    fn picker(pieces: u64, had: &[u32], strategy: Strategy) -> (Picker, Bitfield) {
        let piece = 4 * u64::from(BLOCK_LEN);
        let layout = Arc::new(Layout::new(piece, &[(pieces * piece, false)]).unwrap());
        let all = Bitfield::all(layout.pieces());
        let mut have = Bitfield::none(layout.pieces());
        for index in had {
            have.insert(layout.piece(*index).unwrap());
        }
        let rng = fastrand::Rng::with_seed(7);
        (Picker::new(layout, &have, &all, strategy, rng), all)
    }

    fn seen(spans: &[Span]) -> Vec<(u32, Range<u32>)> {
        let spans = spans.iter();
        spans.map(|s| (s.piece().get(), s.numbers())).collect()
    }

    #[test]
    fn the_largest_gap_first_and_only_as_far_as_it_goes() {
        let (mut picker, all) = picker(12, &[2, 6, 7], Strategy::RarestFirst);
        assert_eq!(
            seen(&picker.pick_run(WEB, &all, 10)),
            [(8, 0..4), (9, 0..4), (10, 0..2)]
        );
        assert_eq!(
            seen(&picker.pick_run(OTHER, &all, 99)),
            [(3, 0..4), (4, 0..4), (5, 0..4)],
            "another one keeps clear of it"
        );
        assert_eq!(
            seen(&picker.pick_run(WEB, &all, 5)),
            [(10, 2..4), (11, 0..3)],
            "it goes on where it was"
        );
        assert_eq!(
            seen(&picker.pick_run(OTHER, &all, 99)),
            [(0, 0..4), (1, 0..4)]
        );
        assert_eq!(
            seen(&picker.pick_run(OTHER, &all, 99)),
            [(11, 3..4)],
            "at last what another one has left"
        );
        assert!(picker.pick_run(OTHER, &all, 99).is_empty());
    }

    #[test]
    fn only_what_it_has() {
        let (mut picker, mut have) = picker(6, &[], Strategy::RarestFirst);
        for index in [2, 3] {
            have.remove(picker.layout.piece(index).unwrap());
        }
        assert_eq!(
            seen(&picker.pick_run(WEB, &have, 99)),
            [(0, 0..4), (1, 0..4)]
        );
        assert!(picker.pick_run(WEB, &have, 0).is_empty());
        assert_eq!(
            seen(&picker.pick_run(WEB, &have, 99)),
            [(4, 0..4), (5, 0..4)]
        );
        assert!(picker.pick_run(WEB, &have, 99).is_empty());
    }

    #[test]
    fn a_large_piece_is_gone_on_with_after_its_parts_are_stored() {
        let (mut picker, all) = picker(9, &[], Strategy::RarestFirst);
        let first = picker.pick_run(WEB, &all, 3);
        picker.stored(WEB, first[0]);
        assert_eq!(seen(&picker.pick_run(WEB, &all, 1)), [(0, 3..4)]);
    }

    #[test]
    fn in_order_where_asked_and_clear_of_peers() {
        let (mut picker, all) = picker(9, &[3], Strategy::Sequential);
        let peer = picker.pick(PEER, &all, 4);
        assert_eq!(seen(&peer), [(0, 0..4)]);
        assert_eq!(
            seen(&picker.pick_run(WEB, &all, 9)),
            [(1, 0..4), (2, 0..4), (4, 0..1)],
            "not the larger gap behind"
        );
    }
}
