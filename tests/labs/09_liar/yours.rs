//! Lab 9, your part. `README.md` beside this file is the page.

use super::{Block, Hash};

/// Give it what it must remember.
#[derive(Default)]
pub(crate) struct Yours {
    blank: super::Blank,
}

// Your code instead of the line in each function, which answers wrongly.
impl super::Judge for Yours {
    fn piece_was_false(&mut self, piece: u32, blocks: &[Block]) {
        self.blank.piece_was_false(piece, blocks);
    }

    fn piece_is_right(&mut self, piece: u32, blocks: &[Hash]) -> Vec<u32> {
        self.blank.piece_is_right(piece, blocks)
    }
}
