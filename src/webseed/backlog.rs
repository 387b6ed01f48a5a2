//! What a web seed has to fetch, and which of the arriving bytes to write.
//!
//! Main grants blocks of pieces, but a web server knows files and ranges of bytes. So the blocks
//! are joined into runs, as long as possible, that end where a file ends. Padding is left out: no
//! server has it.
//!
//! ```text
//! blocks     |------|------|------|------|------|------|
//! files      |-- a.txt --|--- padding ---|--- b.txt ----...
//! asked for  [===========]               [=============]     two requests
//! ```
//!
//! Main may cancel blocks at any moment, even within a run that is arriving. Cancelled bytes are
//! not written. No I/O.

use crate::layout::{Block, Layout, PieceIndex, Span};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// A run of bytes to ask a web server for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    /// The file's index in the layout.
    pub file: usize,
    /// The first byte, counted within that file.
    pub offset: u64,
    /// The length, in bytes; never 0.
    pub len: u64,
    /// The first byte, counted within the torrent.
    pub start: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Ranges of the torrent's bytes to write now, each within one piece.
    pub write: Vec<Range<u64>>,
    /// The blocks that these bytes complete: piece and number.
    pub stored: Vec<(PieceIndex, u32)>,
}

/// The blocks to fetch, in the order in which main granted them.
#[derive(Debug)]
pub(crate) struct Backlog {
    layout: Arc<Layout>,
    blocks: VecDeque<Block>,
    /// The next byte of the torrent that we need. In the first block, all bytes before it are
    /// written, or padding.
    next: u64,
}

impl Backlog {
    pub(crate) fn new(layout: Arc<Layout>) -> Self {
        Self {
            layout,
            blocks: VecDeque::new(),
            next: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    pub(crate) fn len(&self) -> u32 {
        self.blocks.len() as u32
    }

    pub(crate) fn next(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.next)
    }

    pub(crate) fn add(&mut self, spans: &[Span]) {
        let first = self.is_empty();
        for span in spans {
            self.blocks.extend(self.layout.blocks_of(*span));
        }
        if first {
            self.begin_block();
        }
    }

    pub(crate) fn cancel(&mut self, spans: &[Span]) {
        self.retain(|block| !spans.iter().any(|span| span.contains(block)));
    }

    /// Removes all blocks that have a byte in `file`, and returns them.
    pub(crate) fn give_back(&mut self, file: usize) -> Vec<(PieceIndex, u32)> {
        let layout = self.layout.clone();
        let mut lost = Vec::new();
        self.retain(|block| {
            let keep = !is_in(&layout, block, file);
            if !keep {
                lost.push((block.piece(), block.number()));
            }
            keep
        });
        lost
    }

    fn retain(&mut self, mut keep: impl FnMut(Block) -> bool) {
        let first = self.blocks.front().copied();
        self.blocks.retain(|block| keep(*block));
        if self.blocks.front().copied() != first {
            self.begin_block();
        }
    }

    /// Returns the next run to ask for: as much as lies in one file without a gap.
    pub(crate) fn run(&self) -> Option<Run> {
        let mut blocks = self.blocks.iter();
        let end_of_first = self.end_of(*blocks.next()?);
        let part = self.layout.parts(self.next..end_of_first).next()?;
        let file_end = self.layout.file_range(part.file).end;
        let mut end = self.next + part.len;
        if end == end_of_first {
            for block in blocks {
                if self.layout.block_start(*block) != end || end >= file_end {
                    break;
                }
                end = self.end_of(*block).min(file_end);
            }
        }
        Some(Run {
            file: part.file,
            offset: part.offset,
            len: end - self.next,
            start: self.next,
        })
    }

    /// Takes the bytes `came` of the torrent, all of one file. Returns which of them to write.
    pub(crate) fn take(&mut self, came: Range<u64>) -> Taken {
        let mut taken = Taken::default();
        while let Some(block) = self.blocks.front().copied() {
            let end = self.end_of(block);
            let part_end = self.layout.parts(self.next..end).next();
            let part_end = part_end.map_or(end, |part| self.next + part.len);
            let upto = part_end.min(came.end);
            if self.next < came.start || self.next >= upto {
                break;
            }
            let piece_start = self.layout.piece_start(block.piece());
            match taken.write.last_mut() {
                Some(last) if last.end == self.next && last.start >= piece_start => last.end = upto,
                _ => taken.write.push(self.next..upto),
            }
            self.next = upto;
            if self.skip_padding() == end {
                taken.stored.push((block.piece(), block.number()));
                self.blocks.pop_front();
                self.begin_block();
            }
        }
        taken
    }

    fn end_of(&self, block: Block) -> u64 {
        self.layout.block_range(block).end
    }

    fn begin_block(&mut self) {
        if let Some(block) = self.blocks.front() {
            self.next = self.layout.block_start(*block);
            self.skip_padding();
        }
    }

    /// Steps over padding within the first block. Returns the next byte that we need.
    fn skip_padding(&mut self) -> u64 {
        if let Some(block) = self.blocks.front().copied() {
            let rest = self.next..self.end_of(block);
            let real = self.layout.parts(rest.clone()).take_while(|part| part.pad);
            self.next += real.map(|part| part.len).sum::<u64>();
        }
        self.next
    }
}

fn is_in(layout: &Layout, block: Block, file: usize) -> bool {
    let (block, file) = (layout.block_range(block), layout.file_range(file));
    block.start < file.end && file.start < block.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::BLOCK_LEN;
    use proptest::prelude::*;
    use std::slice::from_ref;

    const BLOCK: u64 = BLOCK_LEN as u64;

    fn backlog(piece_blocks: u64, files: &[(u64, bool)]) -> Backlog {
        Backlog::new(Arc::new(Layout::new(piece_blocks * BLOCK, files).unwrap()))
    }

    impl Backlog {
        fn span(&self, piece: u32, numbers: Range<u32>) -> Span {
            let piece = self.layout.piece(piece).unwrap();
            self.layout.span(piece, numbers).unwrap()
        }
    }

    fn numbers(blocks: &[(PieceIndex, u32)]) -> Vec<(u32, u32)> {
        blocks.iter().map(|(p, n)| (p.get(), *n)).collect()
    }

    #[test]
    fn pieces_are_joined_and_files_and_gaps_cut() {
        let mut log = backlog(2, &[(5 * BLOCK + 10, false), (9 * BLOCK, false)]);
        log.add(&[log.span(1, 0..2), log.span(2, 0..2), log.span(4, 1..2)]);
        let first = Run {
            file: 0,
            offset: 2 * BLOCK,
            len: 3 * BLOCK + 10,
            start: 2 * BLOCK,
        };
        assert_eq!(log.run(), Some(first));
        // After a short answer the next request begins within a block.
        let taken = log.take(2 * BLOCK..3 * BLOCK + 7);
        assert_eq!(taken.write, from_ref(&(2 * BLOCK..3 * BLOCK + 7)));
        assert_eq!(numbers(&taken.stored), [(1, 0)]);
        assert_eq!(
            log.run().map(|r| (r.start, r.offset)),
            Some((3 * BLOCK + 7, 3 * BLOCK + 7))
        );
        // Each write is within one piece. The block that two files share is not whole yet.
        let taken = log.take(3 * BLOCK + 7..5 * BLOCK + 10);
        assert_eq!(
            taken.write,
            [3 * BLOCK + 7..4 * BLOCK, 4 * BLOCK..5 * BLOCK + 10]
        );
        assert_eq!(numbers(&taken.stored), [(1, 1), (2, 0)]);
        let second = Run {
            file: 1,
            offset: 0,
            len: BLOCK - 10,
            start: 5 * BLOCK + 10,
        };
        assert_eq!(log.run(), Some(second));
        let taken = log.take(5 * BLOCK + 10..6 * BLOCK + 99);
        assert_eq!(
            taken.write,
            from_ref(&(5 * BLOCK + 10..6 * BLOCK)),
            "not what nobody asked for"
        );
        assert_eq!(
            log.run().map(|r| (r.start, r.len)),
            Some((9 * BLOCK, BLOCK))
        );
        assert_eq!(log.next(), Some(9 * BLOCK));
    }

    #[test]
    fn padding_is_stepped_over() {
        let pads = [
            (10, false),
            (20, true),
            (5, false),
            (BLOCK - 35, true),
            (7, false),
        ];
        let mut log = backlog(4, &pads);
        log.add(&[log.span(0, 0..4)]);
        let mut asked = Vec::new();
        while let Some(run) = log.run() {
            asked.push((run.file, run.offset, run.len));
            log.take(run.start..run.start + run.len);
        }
        assert_eq!(asked, [(0, 0, 10), (2, 0, 5), (4, 0, 7)]);
        assert!(log.is_empty());
    }

    #[test]
    fn what_is_cancelled_is_not_written() {
        let mut log = backlog(8, &[(8 * BLOCK, false)]);
        log.add(&[log.span(0, 0..8)]);
        log.take(0..BLOCK + 5);
        log.cancel(&[log.span(0, 1..3), log.span(0, 6..7)]);
        let taken = log.take(BLOCK + 5..8 * BLOCK);
        assert_eq!(taken.write, [3 * BLOCK..6 * BLOCK, 7 * BLOCK..8 * BLOCK]);
        assert_eq!(numbers(&taken.stored), [(0, 3), (0, 4), (0, 5), (0, 7)]);
        assert_eq!((log.next(), log.run()), (None, None));
    }

    #[test]
    fn a_file_that_is_not_there_is_given_back() {
        let mut log = backlog(
            2,
            &[(BLOCK + 1, false), (BLOCK, false), (2 * BLOCK - 1, false)],
        );
        log.add(&[log.span(0, 0..2), log.span(1, 0..2)]);
        log.take(0..BLOCK);
        let lost = log.give_back(1);
        assert_eq!(numbers(&lost), [(0, 1), (1, 0)]);
        assert_eq!(
            log.run().map(|run| (run.file, run.start)),
            Some((2, 3 * BLOCK))
        );
    }

    proptest! {
        /// Whatever the files, padding, grants and answers are: each granted real byte is asked for
        /// and written once, and each block is reported once.
        #[test]
        fn every_byte_once(
            files in prop::collection::vec((0..3 * BLOCK, prop::bool::weighted(0.3)), 1..8),
            piece_blocks in 1u64..4,
            cuts in prop::collection::vec(1..2 * BLOCK, 1..50),
        ) {
            let mut log = backlog(piece_blocks, &files);
            let layout = log.layout.clone();
            let spans: Vec<Span> = layout.all_pieces().filter_map(|p| layout.span(p, 0..99)).collect();
            log.add(&spans);
            let (mut cuts, mut real, mut told) = (cuts.into_iter().cycle(), 0, Vec::new());
            while let Some(run) = log.run() {
                prop_assert!(!layout.is_pad(run.file) && run.len > 0);
                let range = layout.file_range(run.file);
                prop_assert_eq!(range.start + run.offset, run.start);
                prop_assert!(run.start + run.len <= range.end);
                let end = run.start + run.len.min(cuts.next().unwrap());
                let taken = log.take(run.start..end);
                real += taken.write.iter().map(|w| w.end - w.start).sum::<u64>();
                for write in &taken.write {
                    let piece = |at| at / u64::from(layout.piece_length());
                    prop_assert_eq!(piece(write.start), piece(write.end - 1));
                }
                told.extend(taken.stored);
            }
            let expected: u64 = files.iter().filter(|f| !f.1).map(|f| f.0).sum();
            prop_assert_eq!(real, expected);
            let blocks: Vec<_> = spans.iter().flat_map(|s| layout.blocks_of(*s)).map(|b| (b.piece(), b.number())).collect();
            prop_assert_eq!(told, blocks);
        }
    }
}
