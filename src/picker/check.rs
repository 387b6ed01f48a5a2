//! Checks that the picker's counts, lists and leases agree with each other. Tests, and the
//! simulator if asked to, call [`Picker::check`] after each event.

use super::take_over::MAX_HOLDERS;
use super::{Picker, Started, State};
use crate::layout::PieceIndex;
use std::collections::BTreeMap;

impl Picker {
    /// Panics if a count, list or lease contradicts another. Takes time in proportion to the number
    /// of pieces.
    pub fn check(&self) {
        self.rarity.check();
        let count = |state| self.states.iter().filter(|s| **s == state).count();
        let missing = [State::Free, State::Started, State::GivenUp]
            .map(count)
            .iter()
            .sum::<usize>();
        assert_eq!(self.missing as usize, missing, "missing pieces");
        for piece in self.layout.all_pieces() {
            let state = self.states[piece.index()];
            assert_eq!(
                self.rarity.contains(piece),
                state == State::Free,
                "{piece:?}"
            );
            assert_eq!(
                self.started.contains_key(&piece),
                state == State::Started,
                "{piece:?}"
            );
            if state == State::Free {
                self.order.check_free(piece);
            }
        }
        let mut holders: BTreeMap<(PieceIndex, u32), u8> = BTreeMap::new();
        for leases in self.leases.values() {
            for (block, grant) in leases {
                *holders.entry(*block).or_default() += 1;
                assert!(*grant <= self.grants, "a grant that never was");
            }
        }
        for (&piece, started) in &self.started {
            self.check_started(piece, started, &mut holders);
        }
        assert!(
            holders.is_empty(),
            "leases on pieces not begun: {holders:?}"
        );
        self.order.check();
    }

    /// Checks a started piece. `holders` says how many peers hold a lease on each block; the
    /// entries of `piece` are removed.
    fn check_started(
        &self,
        piece: PieceIndex,
        started: &Started,
        holders: &mut BTreeMap<(PieceIndex, u32), u8>,
    ) {
        assert_eq!(started.slots.len(), self.layout.blocks_in(piece) as usize);
        let (mut missing, mut free, mut leases) = (0, 0, 0);
        for (number, slot) in (0..).zip(&started.slots) {
            let held = holders.remove(&(piece, number)).unwrap_or(0);
            assert_eq!(slot.leases, held, "{piece:?}, block {number}");
            assert!(
                held <= MAX_HOLDERS,
                "{piece:?}, block {number}: {held} hold it"
            );
            assert!(slot.stored || slot.giver.is_none(), "given, not stored");
            if self.layout.block(piece, number).is_none() {
                assert!(slot.stored && held == 0, "padding is fetched");
            }
            missing += u32::from(!slot.stored);
            free += u32::from(!slot.stored && held == 0);
            leases += u32::from(held);
        }
        let counted = (started.missing, started.free, started.leases);
        assert_eq!(
            counted,
            (missing, free, leases),
            "{piece:?}: missing, free, leases"
        );
        assert_eq!(self.open.contains(&piece), free > 0, "{piece:?} is open");
    }
}
