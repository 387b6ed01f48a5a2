//! What a torrent holds and what of it we have, as far as deciding needs it: for the
//! [`Torrent`](super::Torrent), which gets it from the engine once the disk was looked at.

use crate::bitfield::Bitfield;
use crate::layout::{Layout, PieceIndex};
use crate::wanted::Wanted;
use std::sync::Arc;

/// What a torrent holds, and what of it is there already.
#[derive(Debug)]
pub struct Content {
    /// How it divides.
    pub layout: Arc<Layout>,
    /// The pieces verified on disk.
    pub have: Bitfield,
    /// Blocks on disk of pieces that are not, by their numbers: an earlier run stored them.
    pub stored: Vec<(PieceIndex, Vec<u32>)>,
    /// What of it is wanted.
    pub wanted: Arc<Wanted>,
    /// Whether it is private (BEP 27).
    pub private: bool,
}

impl Content {
    /// What we know of a torrent whose metadata we lack.
    pub(super) fn unknown() -> Self {
        let layout = Layout::empty();
        Self {
            wanted: Wanted::all(&layout),
            layout: Arc::new(layout),
            have: Bitfield::none(0),
            stored: Vec::new(),
            private: false,
        }
    }

    /// Bytes of the wanted files that are there.
    pub fn have_bytes(&self) -> u64 {
        self.have
            .iter()
            .map(|piece| self.wanted_bytes_in(piece))
            .sum()
    }

    /// Bytes of the wanted files in `piece`.
    pub(super) fn wanted_bytes_in(&self, piece: PieceIndex) -> u64 {
        self.wanted.bytes_in(&self.layout, piece)
    }

    /// Bytes of the whole torrent that are missing, wanted or not.
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
