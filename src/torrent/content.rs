//! What a torrent holds and what of it we have, as far as deciding needs it: for the
//! [`Torrent`](super::Torrent), which gets it from the engine once the disk was looked at.

use crate::bitfield::Bitfield;
use crate::layout::{Layout, PieceIndex};
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
    /// For each file of the layout whether it is wanted.
    pub wanted_files: Vec<bool>,
    /// Whether it is private (BEP 27).
    pub private: bool,
}

impl Content {
    /// What we know of a torrent whose metadata we lack.
    pub(super) fn unknown() -> Self {
        Self {
            layout: Arc::new(Layout::empty()),
            have: Bitfield::none(0),
            stored: Vec::new(),
            wanted_files: Vec::new(),
            private: false,
        }
    }

    /// The pieces that hold anything of the wanted files.
    pub(super) fn wanted(&self) -> Bitfield {
        let layout = &self.layout;
        let mut real = (0..layout.files()).filter(|file| !layout.is_pad(*file));
        if real.all(|file| self.wanted_files[file]) {
            // Also pieces that are nothing but padding, which are in no file.
            return Bitfield::all(layout.pieces());
        }
        let mut wanted = Bitfield::none(layout.pieces());
        for file in self.files() {
            layout
                .pieces_of_file(file)
                .for_each(|piece| _ = wanted.insert(piece));
        }
        wanted
    }

    /// The wanted files, padding left out.
    fn files(&self) -> impl Iterator<Item = usize> {
        (0..self.layout.files()).filter(|f| self.wanted_files[*f] && !self.layout.is_pad(*f))
    }

    /// Bytes of the wanted files.
    pub fn wanted_bytes(&self) -> u64 {
        self.files().map(|file| self.layout.file_len(file)).sum()
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
        let parts = self.layout.parts(self.layout.piece_range(piece));
        parts
            .filter(|part| !part.pad && self.wanted_files[part.file])
            .map(|part| part.len)
            .sum()
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
