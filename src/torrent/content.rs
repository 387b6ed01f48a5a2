//! What a torrent holds and what of it we have. The engine makes a [`Content`] after the check of
//! the disk, and the [`Torrent`](super::Torrent) keeps it up to date.

use crate::bitfield::Bitfield;
use crate::layout::{Layout, PieceIndex};
use crate::wanted::Wanted;
use std::sync::Arc;

/// What a torrent holds, and what of it is on disk.
#[derive(Debug)]
pub struct Content {
    /// The safe name that it is saved under.
    pub name: String,
    /// How its bytes divide into files, pieces and blocks.
    pub layout: Arc<Layout>,
    /// The pieces that are verified and on disk.
    pub have: Bitfield,
    /// Blocks that an earlier run stored, by their numbers, of pieces that are not complete.
    pub stored: Vec<(PieceIndex, Vec<u32>)>,
    /// Which files the user wants.
    pub wanted: Arc<Wanted>,
    /// Whether it is private (BEP 27).
    pub private: bool,
}

impl Content {
    /// Returns the content of a torrent without metadata: nothing.
    pub(super) fn unknown() -> Self {
        let layout = Layout::empty();
        Self {
            name: String::new(),
            wanted: Wanted::all(&layout),
            layout: Arc::new(layout),
            have: Bitfield::none(0),
            stored: Vec::new(),
            private: false,
        }
    }

    /// Returns the bytes of the wanted files that are verified.
    pub fn have_bytes(&self) -> u64 {
        self.have
            .iter()
            .map(|piece| self.wanted_bytes_in(piece))
            .sum()
    }

    pub(super) fn wanted_bytes_in(&self, piece: PieceIndex) -> u64 {
        self.wanted.bytes_in(&self.layout, piece)
    }

    /// Returns the bytes that are still to be fetched, without padding.
    pub(super) fn to_fetch(&self) -> u64 {
        let goal = self.wanted.goal();
        let missing = goal.iter().filter(|piece| !self.have.has(*piece));
        let real = |piece| {
            let parts = self.layout.parts(self.layout.piece_range(piece));
            parts
                .filter(|part| !part.pad)
                .map(|part| part.len)
                .sum::<u64>()
        };
        let missing: u64 = missing.map(real).sum();
        let stored = self.stored.iter().flat_map(|(piece, numbers)| {
            let block = |number: &u32| self.layout.block(*piece, *number);
            numbers.iter().filter_map(block)
        });
        missing.saturating_sub(stored.map(|block| u64::from(block.len())).sum())
    }

    /// Returns the missing bytes of the whole torrent, wanted or not.
    pub(super) fn left(&self) -> u64 {
        let layout = &self.layout;
        let missing =
            u64::from(layout.pieces() - self.have.count()) * u64::from(layout.piece_length());
        let last = layout
            .piece(layout.pieces().wrapping_sub(1))
            .filter(|last| !self.have.has(*last));
        missing
            - last.map_or(0, |last| {
                u64::from(layout.piece_length() - layout.piece_len(last))
            })
    }
}
