//! All arithmetic of sizes: how a torrent's bytes divide into pieces, blocks and files.
//!
//! A torrent is one run of bytes: its files, one after the other. [BEP 3] cuts this run into pieces
//! and blocks; files begin and end anywhere within them:
//!
//! ```text
//! bytes   |-------- file 0 --------|- file 1 -|------------- file 2 -------------|
//! pieces  |---- piece 0 ----|---- piece 1 ----|---- piece 2 ----|--- piece 3 ---|   each has a SHA-1
//! blocks  |--|--|--|--|--|--|--|--|--|--|--|--|--|--|--|--|--|--|--|--|--|--|--|-|   16 KiB: what a request asks for
//! ```
//!
//! The last piece may be shorter than the others, and so may the last block of each piece. A file
//! may be *padding* ([BEP 47]): zeros that make the next file begin with a new piece. Padding is
//! hashed and served, but never requested and never written.
//!
//! Only this file makes a [`PieceIndex`], [`Block`] or [`Span`], and it checks the numbers first. So
//! code that holds one need not check it again. No I/O.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 47]: https://www.bittorrent.org/beps/bep_0047.html

use std::ops::Range;

/// Bytes of a block, the unit of a request: every client requests 16 KiB, and many serve no more.
pub const BLOCK_LEN: u32 = 16 * 1024;

/// The largest block that we serve, in bytes: some clients request up to 128 KiB at once.
pub(crate) const MAX_SERVED_LEN: u32 = 128 * 1024;

/// The largest piece length that we accept, in bytes. It rejects nonsense; memory does not depend
/// on it, because we never hold a whole piece.
pub(crate) const MAX_PIECE_LENGTH: u64 = 256 << 20;

/// The most pieces of a torrent, as in libtorrent.
pub(crate) const MAX_PIECES: u64 = 1 << 21;

/// The number of a piece that exists in this torrent, from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PieceIndex(u32);

impl PieceIndex {
    /// Returns the number as it goes on the wire.
    pub fn get(self) -> u32 {
        self.0
    }

    /// Returns the number as an index into a list of all pieces.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// Makes an index of a number that was one before it went into a set of pieces.
    pub(crate) fn unchecked(index: u32) -> Self {
        Self(index)
    }
}

/// Consecutive pieces, in order.
pub(crate) type Pieces = std::iter::Map<Range<u32>, fn(u32) -> PieceIndex>;

/// A run of bytes of one piece, small enough for one message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Block {
    piece: PieceIndex,
    begin: u32,
    len: u32,
}

impl Block {
    pub fn piece(self) -> PieceIndex {
        self.piece
    }

    /// Its offset within the piece, in bytes.
    pub fn begin(self) -> u32 {
        self.begin
    }

    /// Its length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "a block is never empty")]
    pub fn len(self) -> u32 {
        self.len
    }

    /// The number of the 16 KiB block in which it begins, from 0 in each piece.
    pub fn number(self) -> u32 {
        self.begin / BLOCK_LEN
    }

    /// The three numbers of a request, cancel or reject message.
    pub fn raw(self) -> RawBlock {
        RawBlock {
            index: self.piece.0,
            begin: self.begin,
            length: self.len,
        }
    }
}

/// A block as a peer names it: three numbers off the wire, not checked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RawBlock {
    /// The number of the piece, if that piece exists.
    pub index: u32,
    /// The offset of the first byte within the piece.
    pub begin: u32,
    /// The length in bytes.
    pub length: u32,
}

/// The unit of work: `count` consecutive blocks of one piece, from block `first` on, for one peer
/// to fetch.
///
/// Smaller than a piece, so several peers can share a large piece, and a slow peer never holds much
/// of it. Larger than a block, so main is asked for work a few times per MiB, not once for each 16
/// KiB.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Span {
    piece: PieceIndex,
    first: u32,
    count: u32,
}

impl Span {
    pub fn piece(self) -> PieceIndex {
        self.piece
    }

    /// The numbers of its blocks within the piece.
    pub fn numbers(self) -> Range<u32> {
        self.first..self.first + self.count
    }

    /// How many blocks it has, at least 1.
    pub fn count(self) -> u32 {
        self.count
    }

    pub fn contains(self, block: Block) -> bool {
        self.piece == block.piece && self.numbers().contains(&block.number())
    }

    /// A span of one block of this one, number `number` of the piece.
    pub fn only(self, number: u32) -> Self {
        debug_assert!(self.numbers().contains(&number));
        Self {
            first: number,
            count: 1,
            ..self
        }
    }
}

/// Sorts `blocks` (pairs of piece and number) and joins neighbours into spans.
pub(crate) fn spans_of(mut blocks: Vec<(PieceIndex, u32)>) -> Vec<Span> {
    blocks.sort_unstable();
    blocks.dedup();
    let mut spans: Vec<Span> = Vec::new();
    for (piece, number) in blocks {
        match spans.last_mut() {
            Some(last) if last.piece == piece && last.numbers().end == number => last.count += 1,
            _ => spans.push(Span {
                piece,
                first: number,
                count: 1,
            }),
        }
    }
    spans
}

/// A part of one file: where a run of the torrent's bytes is on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FilePart {
    /// The file's position in the metainfo, from 0. Padding files count.
    pub file: usize,
    /// The part's first byte within the file.
    pub offset: u64,
    /// The length in bytes, at least 1.
    pub len: u64,
    /// Whether the file is padding, which is not on disk.
    pub pad: bool,
}

/// Why the sizes in a metainfo are rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The piece length is 0 or exceeds [`MAX_PIECE_LENGTH`].
    #[error("piece length {0} is not between 1 and {MAX_PIECE_LENGTH}")]
    PieceLength(u64),
    /// The sum of the file lengths does not fit into 63 bits.
    #[error("the files' sizes add up to more than any disk holds")]
    TooLong,
    /// More than [`MAX_PIECES`].
    #[error("{0} pieces; at most {MAX_PIECES} are supported")]
    TooManyPieces(u64),
}

/// How one torrent divides. Made once from the metainfo, then only read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    piece_length: u32,
    total: u64,
    /// The offset of each file, and `total` as one more entry at the end.
    starts: Vec<u64>,
    pads: Vec<bool>,
    has_pads: bool,
}

impl Layout {
    /// Makes the layout of `files`: the length in bytes of each file, in order, and whether it is
    /// padding.
    ///
    /// # Errors
    /// [`LayoutError`], if a size is out of bounds.
    pub fn new(piece_length: u64, files: &[(u64, bool)]) -> Result<Self, LayoutError> {
        if piece_length == 0 || piece_length > MAX_PIECE_LENGTH {
            return Err(LayoutError::PieceLength(piece_length));
        }
        let mut starts = Vec::with_capacity(files.len() + 1);
        let mut total = 0u64;
        for (len, _) in files {
            starts.push(total);
            total = total
                .checked_add(*len)
                .filter(|t| i64::try_from(*t).is_ok())
                .ok_or(LayoutError::TooLong)?;
        }
        starts.push(total);
        let pieces = total.div_ceil(piece_length);
        if pieces > MAX_PIECES {
            return Err(LayoutError::TooManyPieces(pieces));
        }
        let pads: Vec<bool> = files.iter().map(|(_, pad)| *pad).collect();
        let has_pads = pads.contains(&true);
        Ok(Self {
            piece_length: piece_length as u32,
            total,
            starts,
            pads,
            has_pads,
        })
    }

    /// A layout without files or pieces, for a torrent whose metadata is not known yet.
    pub fn empty() -> Self {
        Self {
            piece_length: 1,
            total: 0,
            starts: vec![0],
            pads: Vec::new(),
            has_pads: false,
        }
    }

    /// Bytes of every piece but the last.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// No block has more bytes than this: 16 KiB, or a piece, if that is shorter.
    pub fn block_len(&self) -> u32 {
        BLOCK_LEN.min(self.piece_length)
    }

    /// Bytes of the whole torrent, padding included.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many pieces there are.
    pub fn pieces(&self) -> u32 {
        self.total.div_ceil(u64::from(self.piece_length)) as u32
    }

    /// How many files there are, padding included.
    pub fn files(&self) -> usize {
        self.pads.len()
    }

    /// Whether `file` is padding.
    pub fn is_pad(&self, file: usize) -> bool {
        self.pads[file]
    }

    /// Which of the torrent's bytes `file` holds.
    pub fn file_range(&self, file: usize) -> Range<u64> {
        self.starts[file]..self.starts[file + 1]
    }

    /// The length of `file` in bytes.
    pub fn file_len(&self, file: usize) -> u64 {
        self.starts[file + 1] - self.starts[file]
    }

    /// The pieces that hold at least one byte of `file`: none for an empty file.
    pub fn pieces_of_file(&self, file: usize) -> Pieces {
        self.pieces_in(self.file_range(file))
    }

    /// Checks a number. `None`: there is no such piece.
    pub fn piece(&self, index: u32) -> Option<PieceIndex> {
        (index < self.pieces()).then_some(PieceIndex(index))
    }

    /// All pieces in order.
    pub fn all_pieces(&self) -> Pieces {
        (0..self.pieces()).map(PieceIndex as fn(u32) -> PieceIndex)
    }

    /// The offset of `piece` within the torrent.
    pub fn piece_start(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_length)
    }

    /// Which of the torrent's bytes `piece` holds.
    pub fn piece_range(&self, piece: PieceIndex) -> Range<u64> {
        let start = self.piece_start(piece);
        start..start + u64::from(self.piece_len(piece))
    }

    /// The pieces that hold at least one of the torrent's bytes in `range`.
    pub fn pieces_in(&self, range: Range<u64>) -> Pieces {
        let piece_length = u64::from(self.piece_length);
        let end = range.end.min(self.total);
        let numbers = if range.start < end {
            (range.start / piece_length) as u32..end.div_ceil(piece_length) as u32
        } else {
            0..0
        };
        numbers.map(PieceIndex as fn(u32) -> PieceIndex)
    }

    /// Bytes of `piece`: the last piece may be shorter.
    pub fn piece_len(&self, piece: PieceIndex) -> u32 {
        (self.total - self.piece_start(piece)).min(u64::from(self.piece_length)) as u32
    }

    /// The offset of `block` within the torrent.
    pub fn block_start(&self, block: Block) -> u64 {
        self.piece_start(block.piece) + u64::from(block.begin)
    }

    /// Which of the torrent's bytes `block` holds.
    pub fn block_range(&self, block: Block) -> Range<u64> {
        let start = self.block_start(block);
        start..start + u64::from(block.len())
    }

    /// How many blocks `piece` has.
    pub fn blocks_in(&self, piece: PieceIndex) -> u32 {
        self.piece_len(piece).div_ceil(BLOCK_LEN)
    }

    /// The block to request for block `number` of `piece`, without any padding at its end. `None`
    /// if there is no such block or if all of it is padding.
    pub fn block(&self, piece: PieceIndex, number: u32) -> Option<Block> {
        let begin = number
            .checked_mul(BLOCK_LEN)
            .filter(|b| *b < self.piece_len(piece))?;
        let mut len = (self.piece_len(piece) - begin).min(BLOCK_LEN);
        if self.has_pads {
            let start = self.piece_start(piece) + u64::from(begin);
            let real = self
                .parts(start..start + u64::from(len))
                .scan(0, |at, part| {
                    *at += part.len;
                    Some((*at, part.pad))
                });
            len = real
                .filter(|(_, pad)| !pad)
                .map(|(end, _)| end)
                .last()
                .unwrap_or(0) as u32;
        }
        (len > 0).then_some(Block { piece, begin, len })
    }

    /// The span of `numbers` within `piece`, cut to the blocks that exist.
    #[cfg(test)]
    pub(crate) fn span(&self, piece: PieceIndex, numbers: Range<u32>) -> Option<Span> {
        let end = numbers.end.min(self.blocks_in(piece));
        (numbers.start < end).then(|| Span {
            piece,
            first: numbers.start,
            count: end - numbers.start,
        })
    }

    /// The blocks to request for `span`, without padding.
    pub fn blocks_of(&self, span: Span) -> impl Iterator<Item = Block> + '_ {
        span.numbers()
            .filter_map(move |number| self.block(span.piece, number))
    }

    /// The blocks to request for all of `piece`, without padding.
    pub fn blocks_of_piece(&self, piece: PieceIndex) -> impl Iterator<Item = Block> + '_ {
        (0..self.blocks_in(piece)).filter_map(move |number| self.block(piece, number))
    }

    /// Whether all of `piece` is padding, so that no peer need be asked for it.
    pub fn is_padding(&self, piece: PieceIndex) -> bool {
        self.blocks_of_piece(piece).next().is_none()
    }

    /// Checks a block that a peer requests of us: it must lie within one piece and have 1 to
    /// [`MAX_SERVED_LEN`] bytes.
    pub fn served(&self, raw: RawBlock) -> Option<Block> {
        let piece = self.piece(raw.index)?;
        let end = raw.begin.checked_add(raw.length)?;
        let fits = (1..=MAX_SERVED_LEN).contains(&raw.length) && end <= self.piece_len(piece);
        fits.then_some(Block {
            piece,
            begin: raw.begin,
            len: raw.length,
        })
    }

    /// Where the torrent's bytes in `range` are on disk: parts of files, in order. Empty files have
    /// no part.
    pub fn parts(&self, range: Range<u64>) -> impl Iterator<Item = FilePart> + '_ {
        // The last file that begins at or before the range. Empty files at the same place come
        // before it.
        let mut file =
            self.starts[..self.pads.len()].partition_point(|start| *start <= range.start);
        file = file.saturating_sub(1);
        let mut at = range.start;
        let end = range.end.min(self.total);
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            while self.starts[file + 1] <= at {
                file += 1;
            }
            let len = end.min(self.starts[file + 1]) - at;
            let part = FilePart {
                file,
                offset: at - self.starts[file],
                len,
                pad: self.pads[file],
            };
            at += len;
            Some(part)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(piece_length: u64, files: &[u64]) -> Layout {
        Layout::new(
            piece_length,
            &files.iter().map(|len| (*len, false)).collect::<Vec<_>>(),
        )
        .unwrap()
    }

    #[test]
    fn short_last_piece_and_block() {
        let l = layout(40_000, &[100_000]);
        assert_eq!(l.pieces(), 3);
        let last = l.piece(2).unwrap();
        assert_eq!((l.piece_len(last), l.blocks_in(last)), (20_000, 2));
        assert_eq!(l.block(last, 1).unwrap().len(), 20_000 - BLOCK_LEN);
        assert_eq!(l.block(last, 2), None);
        assert_eq!(l.piece(3), None);
        // A piece length that is no multiple of 16 KiB: each piece ends in a short block.
        assert_eq!(
            l.block(l.piece(0).unwrap(), 2).unwrap().len(),
            40_000 - 2 * BLOCK_LEN
        );
    }

    #[test]
    fn hostile_sizes() {
        let new =
            |piece_length, files: &[(u64, bool)]| Layout::new(piece_length, files).unwrap_err();
        assert_eq!(new(0, &[]), LayoutError::PieceLength(0));
        assert_eq!(new(1 << 40, &[]), LayoutError::PieceLength(1 << 40));
        assert_eq!(
            new(1, &[(u64::MAX, false), (2, false)]),
            LayoutError::TooLong
        );
        assert_eq!(
            new(1, &[(1 << 40, false)]),
            LayoutError::TooManyPieces(1 << 40)
        );
    }

    #[test]
    fn requests_from_outside() {
        let l = layout(1 << 20, &[(1 << 20) + 5]);
        let served = |index, begin, length| {
            l.served(RawBlock {
                index,
                begin,
                length,
            })
            .is_some()
        };
        assert!(served(0, 0, BLOCK_LEN) && served(0, 1, MAX_SERVED_LEN) && served(1, 0, 5));
        assert!(!served(2, 0, 1), "no such piece");
        assert!(
            !served(1, 0, 6) && !served(0, (1 << 20) - 1, 2),
            "past the piece"
        );
        assert!(
            !served(0, 0, 0) && !served(0, 0, MAX_SERVED_LEN + 1),
            "empty, huge"
        );
        assert!(!served(0, u32::MAX, 2), "sum overflows");
    }

    #[test]
    fn padding_is_not_asked_for() {
        // A file of 20,000, padding to 32 KiB, a file of 10: piece 0 is half padding.
        let l = Layout::new(
            32_768,
            &[(20_000, false), (12_768, true), (10, false), (70_000, true)],
        )
        .unwrap();
        let p = |i| l.piece(i).unwrap();
        assert_eq!(l.block(p(0), 0).unwrap().len(), BLOCK_LEN);
        assert_eq!(l.block(p(0), 1).unwrap().len(), 20_000 - BLOCK_LEN);
        assert_eq!(l.block(p(1), 0).unwrap().len(), 10);
        assert_eq!(l.block(p(1), 1), None);
        assert_eq!(
            l.blocks_of(l.span(p(2), 0..9).unwrap()).count(),
            0,
            "a piece of padding"
        );
    }

    #[test]
    fn spans_join_neighbours() {
        let l = layout(1 << 20, &[3 << 20]);
        let p = |i| l.piece(i).unwrap();
        let spans = spans_of(vec![(p(1), 5), (p(0), 2), (p(1), 4), (p(1), 4), (p(1), 7)]);
        let seen: Vec<_> = spans
            .iter()
            .map(|s| (s.piece().get(), s.numbers()))
            .collect();
        assert_eq!(seen, [(0, 2..3), (1, 4..6), (1, 7..8)]);
    }

    proptest! {
        #[test]
        fn parts_cover_every_byte_once(
            files in prop::collection::vec((0u64..50, any::<bool>()), 1..30), piece_length in 1u64..40,
        ) {
            let l = Layout::new(piece_length, &files).unwrap();
            let mut seen = vec![0u64; files.len()];
            for piece in l.all_pieces() {
                let parts: Vec<_> = l.parts(l.piece_range(piece)).collect();
                prop_assert_eq!(parts.iter().map(|p| p.len).sum::<u64>(), u64::from(l.piece_len(piece)));
                for part in parts {
                    prop_assert_eq!(part.offset, seen[part.file]);
                    prop_assert_eq!(part.pad, files[part.file].1);
                    prop_assert!(l.pieces_of_file(part.file).any(|p| p == piece));
                    seen[part.file] += part.len;
                }
            }
            prop_assert_eq!(seen, files.iter().map(|f| f.0).collect::<Vec<_>>());
        }

        #[test]
        fn blocks_cover_every_piece(total in 1u64..300_000, piece_length in 1u64..100_000) {
            let l = layout(piece_length, &[total]);
            let sum: u64 = l.all_pieces().map(|p| {
                let whole = l.span(p, 0..u32::MAX).unwrap();
                l.blocks_of(whole).map(|b| u64::from(b.len())).sum::<u64>()
            }).sum();
            prop_assert_eq!(sum, total);
        }
    }
}
