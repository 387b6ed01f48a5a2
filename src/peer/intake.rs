//! The receive buffer of a peer, in which blocks stay until they are written to disk.
//!
//! The kernel's bytes come in with large reads, and messages are parsed in place. A block is not
//! copied: the buffer only remembers where it is. From here it goes to the disk, many blocks with
//! one call:
//!
//! ```text
//! | head | block | head | block | have | head | block | head | blo        |
//!          ^held          ^held                 ^held   ^parsed   ^filled
//! ```
//!
//! When room runs short, held blocks are written, and the unparsed rest moves to the front. A rest
//! of [`SHORT`] does so whenever nothing is held: the bytes of a slow peer always come into the same
//! few pages of memory. The buffer begins with [`FIRST_LEN`] and doubles each time that a fast peer
//! fills it, up to [`MAX_LEN`].

use crate::layout::{Block, Layout, PieceIndex};
use crate::storage::{Files, StorageError};
use crate::wire::PIECE_HEAD_LEN;
use std::io::IoSlice;

/// In bytes.
const FIRST_LEN: usize = 128 * 1024;

/// In bytes, for a fast peer.
const MAX_LEN: usize = 1024 * 1024;

/// With less room than this, in bytes, we empty the buffer: a block, its head, and some more.
const LOW_ROOM: usize = 20 * 1024;

/// The most bytes of an unparsed rest that is moved whenever nothing is held.
const SHORT: usize = 1024;

#[derive(Debug)]
pub(crate) struct Intake {
    buf: Vec<u8>,
    parsed: usize,
    filled: usize,
    /// Blocks to be written, and the offset of each in `buf`.
    held: Vec<(Block, usize)>,
}

impl Intake {
    pub(crate) fn new() -> Self {
        Self {
            buf: vec![0; FIRST_LEN],
            parsed: 0,
            filled: 0,
            held: Vec::new(),
        }
    }

    /// Calls `read` once with the free room. Returns how many bytes came. The buffer must not be
    /// [full](Intake::is_full): [`Intake::compact`] makes room.
    pub(crate) fn fill<E>(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let count = read(&mut self.buf[self.filled..])?;
        self.filled += count;
        Ok(count)
    }

    pub(crate) fn unparsed(&self) -> &[u8] {
        &self.buf[self.parsed..self.filled]
    }

    /// Returns how many bytes of the message that has begun are still to come, or 0 if that is not
    /// known yet. Before them nothing else can come.
    pub(crate) fn missing(&self) -> usize {
        match self.unparsed() {
            [a, b, c, d, rest @ ..] => {
                (u32::from_be_bytes([*a, *b, *c, *d]) as usize).saturating_sub(rest.len())
            }
            _ => 0,
        }
    }

    /// Records that a message of `used` bytes was parsed. The bytes of a `block` to be stored are
    /// held.
    pub(crate) fn consume(&mut self, used: usize, block: Option<Block>) {
        if let Some(block) = block {
            self.held.push((block, self.parsed + PIECE_HEAD_LEN));
        }
        self.parsed += used;
        if self.parsed == self.filled && self.held.is_empty() {
            (self.parsed, self.filled) = (0, 0);
        }
    }

    pub(crate) fn holds_blocks(&self) -> bool {
        !self.held.is_empty()
    }

    /// How many bytes the next read can take.
    pub(crate) fn room(&self) -> usize {
        self.buf.len() - self.filled
    }

    /// Whether there is too little room for the next read.
    pub(crate) fn is_full(&self) -> bool {
        self.room() < LOW_ROOM
    }

    /// Drops held blocks that are no longer wanted.
    pub(crate) fn drop_held(&mut self, unwanted: impl Fn(Block) -> bool) {
        self.held.retain(|(block, _)| !unwanted(*block));
    }

    /// Writes all held blocks, neighbours with one call. Returns which blocks these were.
    ///
    /// # Errors
    /// [`StorageError`], if the disk fails. The blocks are then lost.
    pub(crate) fn store(
        &mut self,
        layout: &Layout,
        files: &mut Files,
    ) -> Result<Vec<(PieceIndex, u32)>, StorageError> {
        let mut held = std::mem::take(&mut self.held);
        held.sort_unstable_by_key(|(block, _)| *block);
        let end = |block: Block| layout.block_range(block).end;
        for run in held.chunk_by(|(a, _), (b, _)| end(*a) == layout.block_start(*b)) {
            let mut bytes: Vec<IoSlice<'_>> = run
                .iter()
                .map(|(block, at)| IoSlice::new(&self.buf[*at..*at + block.len() as usize]))
                .collect();
            files.write(layout.block_start(run[0].0), &mut bytes)?;
        }
        let stored = held
            .iter()
            .map(|(block, _)| (block.piece(), block.number()))
            .collect();
        held.clear();
        self.held = held; // keeps its memory
        if self.filled - self.parsed <= SHORT {
            self.move_to_front();
        }
        Ok(stored)
    }

    /// Moves the unparsed rest to the front.
    fn move_to_front(&mut self) {
        debug_assert!(self.held.is_empty(), "held bytes would be lost");
        self.buf.copy_within(self.parsed..self.filled, 0);
        (self.parsed, self.filled) = (0, self.filled - self.parsed);
    }

    /// Makes room: moves the unparsed rest to the front. No block may be held. The buffer grows if
    /// the peer was `fast` to fill it, or for a longer message, up to `max_message`.
    pub(crate) fn compact(&mut self, max_message: usize, fast: bool) {
        self.move_to_front();
        let fast = fast && self.buf.len() < MAX_LEN;
        let huge = self.room() < LOW_ROOM && self.buf.len() < max_message + 4 + LOW_ROOM;
        if fast || huge {
            self.buf.resize(self.buf.len() * 2, 0);
        }
    }
}

impl Default for Intake {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::Torrent;
    use crate::wire::Message;

    /// The buffer's length after a peer, `fast` or not, filled it `times` times.
    fn len_after(times: u32, fast: bool) -> usize {
        let mut intake = Intake::new();
        for _ in 0..times {
            let came = intake.fill(|buf| Ok::<_, ()>(buf.len())).unwrap();
            intake.consume(came - 1, None); // one byte of the last message is here
            assert!(intake.is_full());
            intake.compact(0, fast);
        }
        intake.buf.len()
    }

    #[test]
    fn who_is_fast_gets_more_room_up_to_a_bound() {
        assert_eq!(len_after(9, false), FIRST_LEN);
        assert_eq!(len_after(1, true), 2 * FIRST_LEN);
        assert_eq!(len_after(9, true), MAX_LEN);
    }

    #[test]
    fn what_is_missing_is_the_rest_of_the_message_that_has_begun() {
        let mut intake = Intake::new();
        let mut come = |bytes: &[u8]| {
            let read = |buf: &mut [u8]| {
                buf[..bytes.len()].copy_from_slice(bytes);
                Ok::<_, ()>(bytes.len())
            };
            intake.fill(read).unwrap();
            intake.missing()
        };
        assert_eq!(come(&[]), 0);
        assert_eq!(come(&[0, 0, 1]), 0, "its length is not known yet");
        assert_eq!(come(&[2]), 0x102);
        assert_eq!(come(&[7; 0x100]), 2);
        assert_eq!(come(&[7; 2]), 0);
    }

    /// Each block is stored when it is here, and with it come the first two bytes of the next.
    #[test]
    fn the_bytes_of_a_slow_peer_come_into_the_same_place() {
        let torrent = Torrent::new(1000, &[(9000, false)]);
        let temp = tempfile::tempdir().unwrap();
        let mut files = torrent.begun_all(temp.path()).files(1);
        let mut intake = Intake::new();
        for piece in torrent.layout.all_pieces() {
            let data = torrent.bytes(piece);
            let mut bytes = Vec::new();
            Message::Piece {
                index: piece.get(),
                begin: 0,
                data,
            }
            .encode(&mut bytes);
            let begun = intake.unparsed().len();
            let used = bytes.len();
            bytes.extend([0, 0]);
            let rest = &bytes[begun..];
            intake
                .fill(|buf| {
                    buf[..rest.len()].copy_from_slice(rest);
                    Ok::<_, ()>(rest.len())
                })
                .unwrap();
            assert_eq!(intake.filled, used + 2);
            intake.consume(used, torrent.layout.block(piece, 0));
            intake.store(&torrent.layout, &mut files).unwrap();
            assert_eq!((intake.parsed, intake.unparsed()), (0, &[0, 0][..]));
        }
        assert_eq!(
            std::fs::read(temp.path().join("t/0")).unwrap(),
            torrent.data
        );
    }

    #[test]
    fn a_long_message_gets_the_room_that_it_needs() {
        let mut intake = Intake::new();
        let long = 3 * FIRST_LEN;
        while intake.filled < long {
            intake.fill(|buf| Ok::<_, ()>(buf.len())).unwrap();
            intake.compact(long, false);
        }
        assert!(intake.buf.len() < 4 * long, "and not without end");
    }
}
