//! The bytes on their way to a peer: messages and blocks. The peer's thread loads them from the
//! [`Session`] and the disk, and writes them to the socket.
//!
//! A block travels in a `piece` message ([BEP 3]): a head of 13 bytes, then the block. We load
//! several blocks at a time and hand them to the kernel with as few calls as possible. Blocks are
//! not copied in between the heads: the kernel gets a list of the parts.
//!
//! ```text
//! words   | have | unchoke | head | head | head |
//!                                 ^cut   ^cut   ^cut
//! blocks  | block | block | block |
//! sent    | have | unchoke | head | block | head | block | head | block |
//! ```
//!
//! On Linux, blocks that lie in one file are not even read: the system call `sendfile` hands the
//! kernel's own pages of the file to the socket, one block at a time. The kernel holds each head back
//! until its block follows (`MSG_MORE`), so that the two share a packet. On an Intel Xeon, 1 GiB to a
//! peer on the same machine takes 0.29 s of CPU like this, and took 0.40 s with a copy. (On an AMD
//! EPYC, `sendfile` without `MSG_MORE` took 0.76 s, and a copy 0.51 s.) An obfuscated stream needs
//! the copy, and so do blocks of several files. With eight blocks at a time, instead of
//! [sixteen](MAX_BLOCKS), the copy took a quarter longer.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use super::session::Session;
use super::socket::PeerSocket;
use super::talk::Talk;
use crate::layout::{BLOCK_LEN, Layout, MAX_SERVED_LEN};
use crate::storage::{Files, Pages, StorageError};
use crate::wire;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

/// The most blocks to load at a time. Loaded blocks are sent even if the peer cancels them or we
/// choke it.
const MAX_BLOCKS: usize = 16;

/// The bytes of blocks after which no more are loaded: 256 KiB, in case blocks are long.
const LOAD_LEN: usize = MAX_BLOCKS * BLOCK_LEN as usize;

/// The size of the buffer for blocks. The last block may have [`MAX_SERVED_LEN`] bytes.
const ROOM: usize = LOAD_LEN + MAX_SERVED_LEN as usize;

/// An open file that has all blocks that were loaded, and where in it each of them begins.
#[derive(Debug)]
struct OneFile {
    fd: Arc<OwnedFd>,
    places: Vec<u64>,
}

/// What the kernel gets next.
#[derive(Debug)]
pub(crate) enum Part<'a> {
    /// Bytes that a block follows.
    Head(&'a [u8]),
    /// Bytes of this file: from which one on, and their number.
    Block(BorrowedFd<'a>, u64, usize),
}

#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Messages, and the heads of blocks.
    words: Vec<u8>,
    blocks: Pages,
    /// For each block: the offset in `words` at which it follows, and its length in bytes.
    cuts: Vec<(usize, usize)>,
    /// Where the blocks go out from. `None` if they were read into `blocks`.
    file: Option<OneFile>,
    sent: usize,
    len: usize,
    /// How many blocks to load next. It grows while the kernel takes everything. So a slow peer has
    /// little loaded, and our requests do not wait behind many blocks.
    batch: usize,
}

impl Outgoing {
    pub(crate) fn new() -> Self {
        Self {
            len: 0,
            words: Vec::new(),
            blocks: Pages::default(),
            cuts: Vec::new(),
            file: None,
            sent: 0,
            batch: 1,
        }
    }

    pub(crate) fn is_out(&self) -> bool {
        self.sent == self.len
    }

    /// Loads the messages of `talk`. Everything before must be out.
    pub(crate) fn load_words(&mut self, talk: &mut Talk, now: Instant) {
        self.words.clear();
        self.cuts.clear();
        self.file = None;
        std::mem::swap(&mut self.words, &mut talk.out);
        (self.sent, self.len) = (0, self.words.len());
        if self.len > 0 {
            talk.on_spoken(now);
        }
    }

    /// Loads the session's messages and the next blocks. Everything before must be out. If
    /// `may_send_files`, blocks of one file are not read: they go out straight from it.
    pub(crate) fn load(
        &mut self,
        session: &mut Session,
        layout: &Layout,
        files: &mut Files,
        may_send_files: bool,
        now: Instant,
    ) -> Result<(), StorageError> {
        session.give_metadata();
        self.load_words(&mut session.talk, now);
        let mut starts = Vec::new();
        let mut loaded = 0;
        while self.cuts.len() < self.batch && loaded < LOAD_LEN {
            let Some(block) = session.next_upload() else {
                break;
            };
            let (index, begin, len) = (block.piece().get(), block.begin(), block.len());
            wire::encode_piece_head(&mut self.words, index, begin, len);
            self.cuts.push((self.words.len(), len as usize));
            starts.push(layout.block_start(block));
            loaded += len as usize;
        }
        if loaded > 0 {
            if may_send_files {
                self.file = self.one_file(&starts, files)?;
            }
            if self.file.is_none() {
                self.read(&starts, files)?;
            }
            self.len = self.words.len() + loaded;
            session.talk.on_spoken(now);
        }
        Ok(())
    }

    /// Returns the file that has all blocks, which begin at `starts`, and where in it each begins.
    fn one_file(&self, starts: &[u64], files: &mut Files) -> Result<Option<OneFile>, StorageError> {
        let mut file = None;
        let mut places = Vec::with_capacity(starts.len());
        for (start, (_, len)) in starts.iter().zip(&self.cuts) {
            let Some(section) = files.section(*start..*start + *len as u64)? else {
                return Ok(None);
            };
            let fd = file.get_or_insert_with(|| Arc::clone(&section.fd));
            if !Arc::ptr_eq(fd, &section.fd) {
                return Ok(None);
            }
            places.push(section.at);
        }
        Ok(file.map(|fd| OneFile { fd, places }))
    }

    /// Reads the blocks, which begin at `starts`: neighbouring blocks with one call.
    fn read(&mut self, starts: &[u64], files: &mut Files) -> Result<(), StorageError> {
        if self.blocks.is_empty() {
            self.blocks = Pages::new(ROOM);
        }
        let (mut start, mut end, mut from, mut to) = (0, 0, 0, 0);
        for (at, (_, len)) in starts.iter().zip(&self.cuts) {
            if *at != end {
                files.read(start, &mut self.blocks[from..to])?;
                (start, from) = (*at, to);
            }
            end = at + *len as u64;
            to += len;
        }
        files.read(start, &mut self.blocks[from..to])
    }

    /// If the blocks go out from a file: returns what the kernel gets next, after `sent` bytes.
    pub(crate) fn next_part(&self, sent: usize) -> Option<Part<'_>> {
        let OneFile { fd, places } = self.file.as_ref()?;
        let (mut said, mut before) = (0, 0);
        for ((cut, len), place) in self.cuts.iter().zip(places) {
            let words = &self.words[said..*cut];
            if sent < before + words.len() {
                return Some(Part::Head(&words[sent - before..]));
            }
            before += words.len();
            if sent < before + len {
                let done = sent - before;
                return Some(Part::Block(fd.as_fd(), place + done as u64, len - done));
            }
            (said, before) = (*cut, before + len);
        }
        None
    }

    /// How many bytes the kernel has taken.
    pub(crate) fn sent(&self) -> usize {
        self.sent
    }

    /// Enciphers what was loaded, for an obfuscated stream.
    pub(crate) fn seal(&mut self, socket: &mut PeerSocket) {
        let (mut words, mut blocks) = (&mut self.words[..], &mut self.blocks[..]);
        let mut said = 0;
        for (cut, len) in &self.cuts {
            let (head, rest) = words.split_at_mut(cut - said);
            let (block, others) = blocks.split_at_mut(*len);
            socket.seal(head);
            socket.seal(block);
            (words, blocks, said) = (rest, others, *cut);
        }
        socket.seal(words);
    }

    pub(crate) fn rest(&self) -> Vec<IoSlice<'_>> {
        let mut parts = Vec::with_capacity(2 * self.cuts.len() + 1);
        let (mut said, mut given) = (0, 0);
        for (cut, len) in &self.cuts {
            parts.push(IoSlice::new(&self.words[said..*cut]));
            parts.push(IoSlice::new(&self.blocks[given..given + len]));
            (said, given) = (*cut, given + len);
        }
        parts.push(IoSlice::new(&self.words[said..]));
        let mut rest = &mut parts[..];
        IoSlice::advance_slices(&mut rest, self.sent);
        let left = rest.len();
        parts.split_off(parts.len() - left)
    }

    /// Records that the kernel took `count` bytes of the rest. If more is left, it has no more
    /// room.
    pub(crate) fn on_sent(&mut self, count: usize) {
        let was_whole = self.sent == 0;
        self.sent += count;
        if !self.is_out() {
            self.batch = 1;
        } else if was_whole {
            self.batch = (2 * self.batch).min(MAX_BLOCKS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitfield::Bitfield;
    use crate::layout::RawBlock;
    use crate::messages::Command;
    use crate::storage::testing::Torrent;
    use crate::wire::Message;

    /// A session whose peer requested the blocks (index, begin, length), and may have them.
    fn asked(torrent: &Torrent, blocks: &[(u32, u32, u32)]) -> Session {
        let now = Instant::now();
        let have = Bitfield::all(torrent.layout.pieces());
        let mut session = Session::new(
            torrent.layout.clone(),
            have,
            Talk::new(false, now),
            false,
            now,
        );
        session.on_command(Command::Choke(false));
        for &(index, begin, length) in blocks {
            let raw = RawBlock {
                index,
                begin,
                length,
            };
            session.on_message(Message::Request(raw), now).unwrap();
        }
        session
    }

    /// Returns what goes out if the kernel takes up to `most` bytes at a time, and how many blocks
    /// were loaded each time.
    fn sent(
        torrent: &Torrent,
        session: &mut Session,
        most: usize,
        may_send_files: bool,
    ) -> (Vec<u8>, Vec<usize>) {
        let temp = tempfile::tempdir().unwrap();
        let storage = torrent.begun_all(temp.path());
        for piece in torrent.layout.all_pieces() {
            torrent.write(&storage, piece);
        }
        let (mut files, mut out) = (storage.files(2), Outgoing::new());
        let now = Instant::now();
        let mut before = Talk::new(false, now);
        before.out = b"said before".into();
        out.load_words(&mut before, now);
        let (mut bytes, mut loads) = (Vec::new(), Vec::new());
        loop {
            while !out.is_out() {
                let rest = rest_of(&out);
                let taken = rest.len().min(most);
                bytes.extend_from_slice(&rest[..taken]);
                out.on_sent(taken);
            }
            out.load(session, &torrent.layout, &mut files, may_send_files, now)
                .unwrap();
            match out.is_out() {
                true => return (bytes, loads),
                false => loads.push(out.cuts.len()),
            }
        }
    }

    /// Returns what the kernel has not taken yet, in one piece.
    fn rest_of(out: &Outgoing) -> Vec<u8> {
        if out.file.is_none() {
            return out.rest().iter().flat_map(|part| part.to_vec()).collect();
        }
        let mut rest = Vec::new();
        while let Some(part) = out.next_part(out.sent() + rest.len()) {
            match part {
                Part::Head(bytes) => rest.extend_from_slice(bytes),
                Part::Block(fd, at, len) => {
                    let mut block = vec![0; len];
                    assert_eq!(rustix::io::pread(fd, &mut block[..], at), Ok(len));
                    rest.append(&mut block);
                }
            }
        }
        rest
    }

    #[test]
    fn all_goes_out_in_order_however_little_the_kernel_takes() {
        let torrent = Torrent::new(100, &[(150, false), (40, true), (160, false)]);
        // Two of one file; neighbours, across files and padding; one again; one before it; a part
        // of one.
        let blocks = [
            (0, 7, 11),
            (0, 50, 13),
            (0, 0, 60),
            (0, 60, 40),
            (1, 0, 100),
            (1, 0, 100),
            (0, 5, 9),
            (3, 0, 50),
        ];
        let mut expected = b"said before".to_vec();
        Message::Unchoke.encode(&mut expected);
        for (index, begin, length) in blocks {
            let start = (index * 100 + begin) as usize;
            let data = &torrent.data[start..start + length as usize];
            Message::Piece { index, begin, data }.encode(&mut expected);
        }
        for (most, files) in [1, 7, 64, 1000]
            .map(|most| [(most, false), (most, true)])
            .concat()
        {
            let (bytes, _) = sent(&torrent, &mut asked(&torrent, &blocks), most, files);
            assert_eq!(bytes, expected, "{most} at a time, files: {files}");
        }
    }

    #[test]
    fn a_fast_peer_is_loaded_for_in_bulk_and_a_slow_one_block_by_block() {
        let torrent = Torrent::new(1000, &[(100_000, false)]);
        let blocks: Vec<_> = (0..60).map(|index| (index, 0, 1000)).collect();
        let (_, fast) = sent(&torrent, &mut asked(&torrent, &blocks), 1 << 20, true);
        assert_eq!(fast, [2, 4, 8, 16, 16, 14]);
        let (_, slow) = sent(&torrent, &mut asked(&torrent, &blocks), 900, true);
        assert_eq!(slow[1..], [1; 58], "once it was seen to be slow");
    }

    #[test]
    fn long_blocks_are_bounded_too() {
        let length = MAX_SERVED_LEN;
        let torrent = Torrent::new(length.into(), &[(8 * u64::from(length), false)]);
        let blocks: Vec<_> = (0..8).map(|index| (index, 0, length)).collect();
        let (bytes, loads) = sent(&torrent, &mut asked(&torrent, &blocks), 1 << 30, false);
        assert_eq!(bytes.len(), 11 + 5 + 8 * (13 + length as usize));
        assert_eq!(loads, [2; 4]);
    }
}
