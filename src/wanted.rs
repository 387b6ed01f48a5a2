//! Which files of a torrent the user wants, and the pieces and bytes that follow. Made once, when
//! the metadata is known, for the storage and the torrent. Padding is never wanted. No I/O.

use crate::bitfield::Bitfield;
use crate::layout::{Layout, PieceIndex};
use std::sync::Arc;

/// The wanted files of one torrent.
#[derive(PartialEq, Eq, Debug)]
pub struct Wanted {
    files: Vec<bool>,
    pieces: Bitfield,
    bytes: u64,
    all: bool,
}

impl Wanted {
    /// Wants the `chosen` files of `layout`: one entry for each file, in order.
    pub fn new(layout: &Layout, chosen: &[bool]) -> Arc<Self> {
        let is_chosen = |file: usize| chosen.get(file).is_some_and(|chosen| *chosen);
        let mut real = (0..layout.files()).filter(|file| !layout.is_pad(*file));
        let files: Vec<bool> = (0..layout.files())
            .map(|file| !layout.is_pad(file) && is_chosen(file))
            .collect();
        let lens = (0..files.len()).filter(|file| files[*file]);
        Arc::new(Self {
            pieces: pieces_of(layout, &files),
            bytes: lens.map(|file| layout.file_len(file)).sum(),
            all: real.all(is_chosen),
            files,
        })
    }

    /// Wants all files.
    pub fn all(layout: &Layout) -> Arc<Self> {
        Self::new(layout, &vec![true; layout.files()])
    }

    /// Returns whether `file` is wanted.
    pub(crate) fn has(&self, file: usize) -> bool {
        self.files[file]
    }

    /// The wanted files, in order.
    pub(crate) fn files(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.files.len()).filter(|file| self.files[*file])
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many bytes of wanted files are in `piece` of `layout`.
    pub(crate) fn bytes_in(&self, layout: &Layout, piece: PieceIndex) -> u64 {
        let parts = layout.parts(layout.piece_range(piece));
        let wanted = parts.filter(|part| self.files[part.file]);
        wanted.map(|part| part.len).sum()
    }

    /// The pieces that hold at least one byte of a wanted file.
    pub(crate) fn pieces(&self) -> &Bitfield {
        &self.pieces
    }

    /// The pieces to have in the end. If all files are wanted, this includes pieces of pure
    /// padding: without them we would never be a seed.
    pub(crate) fn goal(&self) -> Bitfield {
        if self.all {
            Bitfield::all(self.pieces.len())
        } else {
            self.pieces.clone()
        }
    }
}

/// The pieces that hold at least one byte of `files`, which has one entry for each file, in order.
pub(crate) fn pieces_of(layout: &Layout, files: &[bool]) -> Bitfield {
    let mut pieces = Bitfield::none(layout.pieces());
    for file in (0..files.len()).filter(|file| files[*file]) {
        for piece in layout.pieces_of_file(file) {
            pieces.insert(piece);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_never_wanted() {
        // Pieces of 10; piece 1 is nothing but padding.
        let layout = Layout::new(10, &[(5, false), (15, true), (12, false)]).unwrap();
        let check = |chosen: &[bool], files: &[usize], pieces: &[u32], goal: &[u32], bytes: u64| {
            let wanted = Wanted::new(&layout, chosen);
            let numbers = |pieces: &Bitfield| pieces.iter().map(|p| p.get()).collect::<Vec<_>>();
            assert_eq!(wanted.files().collect::<Vec<_>>(), files);
            assert_eq!(numbers(wanted.pieces()), pieces);
            assert_eq!(numbers(&wanted.goal()), goal);
            let in_pieces = layout.all_pieces().map(|p| wanted.bytes_in(&layout, p));
            assert_eq!((wanted.bytes(), in_pieces.sum()), (bytes, bytes));
        };
        check(&[true; 3], &[0, 2], &[0, 2, 3], &[0, 1, 2, 3], 17);
        check(&[true, false, true], &[0, 2], &[0, 2, 3], &[0, 1, 2, 3], 17);
        check(&[false, true, true], &[2], &[2, 3], &[2, 3], 12);
        check(&[], &[], &[], &[], 0);
    }
}
