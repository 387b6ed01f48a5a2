//! Reads pieces back from disk and compares their SHA-1 with the torrent's ([BEP 3]).
//!
//! At the start, [`check_all`] checks the files that are there already, on all cores. During the
//! download, a thread per torrent ([`spawn`]) checks each piece after its last block was written.
//! The thread exists only while there is something to check.
//!
//! The peer threads do not hash: they write each block to its place and go on. The checker reads a
//! finished piece back from memory, where the system still has it, and hashes several pieces at a
//! time ([`hasher`]).
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

mod hasher;
mod seen;
mod thread;

pub(crate) use hasher::{Content, Hasher, Runs};
pub(crate) use thread::{CheckReport, CheckRequest, Desk, Notes, PURPOSE, spawn};

use crate::bitfield::Bitfield;
use crate::layout::{BLOCK_LEN, Layout, PieceIndex};
use crate::storage::{Files, Presence, Storage, StorageError};
use crate::types::PieceHash;
use sha1::{Digest, Sha1};
use sha1_lanes::sha1_of_equal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Checks pieces of one torrent. Each hashing thread has its own.
pub(crate) struct Checker<H> {
    hasher: Hasher<Stored>,
    /// Returns the hash that a piece must have.
    expected: H,
    /// The hash of a full-length piece of zeros, once it was needed.
    zeros: Option<PieceHash>,
}

/// The files of a download.
struct Stored {
    storage: Arc<Storage>,
    /// Whether the data may be only on the disk. A piece just written is in memory.
    cold: bool,
}

impl Content for Stored {
    type Files = Files;
    type Error = StorageError;

    fn layout(&self) -> &Layout {
        self.storage.layout()
    }

    fn files(&self) -> Files {
        let mut files = self.storage.files(1);
        if !self.cold {
            files.remember_opened();
        }
        files
    }

    fn read(&self, files: &mut Files, start: u64, buffer: &mut [u8]) -> Result<bool, StorageError> {
        match files.read(start, buffer) {
            Ok(()) => Ok(true),
            Err(StorageError::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn prefetch(&self, files: &mut Files, start: u64, len: u64) {
        if self.cold {
            files.prefetch(start, len);
        }
    }

    fn is_out_of_files(error: &StorageError) -> bool {
        error.is_out_of_files()
    }
}

impl<H: Fn(PieceIndex) -> PieceHash> Checker<H> {
    /// `cold`: whether the data may be only on the disk.
    pub(crate) fn new(storage: &Arc<Storage>, cold: bool, expected: H) -> Self {
        let storage = Arc::clone(storage);
        Self {
            hasher: Hasher::new(Stored { storage, cold }),
            expected,
            zeros: None,
        }
    }

    /// Reads and hashes `pieces`. Calls `verdict` with whether each is right. A missing or short
    /// piece is wrong.
    pub(crate) fn check(
        &mut self,
        pieces: &[PieceIndex],
        verdict: &mut impl FnMut(PieceIndex, bool),
    ) -> Result<(), StorageError> {
        let expected = &self.expected;
        self.hasher.hash(pieces, &mut |piece, hash| {
            verdict(piece, hash == Some(expected(piece)));
        })
    }

    /// Like [`check`](Self::check), but does not read pieces that are known to be missing, or
    /// to be holes.
    ///
    /// # Errors
    /// As for `check`.
    fn check_sparse(
        &mut self,
        pieces: &[PieceIndex],
        verdict: &mut impl FnMut(PieceIndex, bool),
    ) -> Result<(), StorageError> {
        let mut written = Vec::with_capacity(pieces.len());
        for &piece in pieces {
            let range = self.hasher.content.layout().piece_range(piece);
            let files = self.hasher.files().next().expect("at least one lane");
            match files.presence(range)? {
                Presence::Data => written.push(piece),
                Presence::Hole => verdict(piece, self.hash_zeros(piece) == (self.expected)(piece)),
                Presence::Missing => verdict(piece, false),
            }
        }
        self.check(&written, verdict)
    }

    /// Returns the SHA-1 of each 16 KiB block of `piece`, to find out later which peer sent a
    /// bad one; nothing if the piece is missing.
    pub(crate) fn hash_blocks(&mut self, piece: PieceIndex) -> Result<Vec<[u8; 20]>, StorageError> {
        let layout = self.hasher.content.layout();
        let (start, len) = (layout.piece_start(piece), layout.piece_len(piece));
        let mut hashes = Vec::new();
        for begin in (0..len).step_by(BLOCK_LEN as usize) {
            let len = BLOCK_LEN.min(len - begin) as usize;
            let Some(block) = self.hasher.read(start + u64::from(begin), len)? else {
                return Ok(Vec::new());
            };
            hashes.push(Sha1::digest(block).into());
        }
        Ok(hashes)
    }

    /// Returns the hash that `piece` has if it is all zeros.
    fn hash_zeros(&mut self, piece: PieceIndex) -> PieceHash {
        let layout = self.hasher.content.layout();
        let len = layout.piece_len(piece);
        if len != layout.piece_length() {
            return sha1_of_equal(0, len); // the last piece: needed once
        }
        *self.zeros.get_or_insert_with(|| sha1_of_equal(0, len))
    }
}

/// Checks all `candidates`, and nothing else, with `threads` threads, and returns the right
/// ones; `None` if `stop` became true meanwhile. The threads call `progress` with the number of
/// pieces checked so far.
///
/// # Errors
/// [`StorageError`], if something is there but cannot be read.
pub(crate) fn check_all(
    storage: &Arc<Storage>,
    expected: &(dyn Fn(PieceIndex) -> PieceHash + Sync),
    candidates: &Bitfield,
    threads: usize,
    progress: &(dyn Fn(u32) + Sync),
    stop: &AtomicBool,
) -> Result<Option<Bitfield>, StorageError> {
    let runs = Runs {
        pieces: &candidates.iter().collect::<Vec<_>>(),
        piece_length: storage.layout().piece_length(),
        threads,
        stop,
        progress,
    };
    let begin = || Checker::new(storage, true, expected);
    let right = runs.hash::<Stored, _, _>(begin, |checker, pieces| {
        let mut right = Vec::new();
        checker.check_sparse(pieces, &mut |piece, ok| right.extend(ok.then_some(piece)))?;
        Ok(right)
    })?;
    let mut have = Bitfield::none(candidates.len());
    for piece in right {
        have.insert(piece);
    }
    Ok((!stop.load(Ordering::Relaxed)).then_some(have))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::storage::testing::Torrent;
    use std::fs::{File, OpenOptions};
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use std::sync::atomic::AtomicU32;

    /// Eleven pieces, the last one short, in three files, all on disk and right.
    pub(super) fn on_disk(dir: &Path, piece_length: u64) -> (Torrent, Arc<Storage>) {
        let torrent = Torrent::new(
            piece_length,
            &[
                (piece_length * 3 + 5, false),
                (piece_length * 4, false),
                (piece_length * 3 + 7, false),
            ],
        );
        let storage = torrent.begun_all(dir);
        for piece in torrent.layout.all_pieces() {
            torrent.write(&storage, piece);
        }
        (torrent, storage)
    }

    fn check(torrent: &Torrent, storage: &Arc<Storage>, threads: usize) -> Vec<u32> {
        let all = Bitfield::all(torrent.layout.pieces());
        let hash = |piece| torrent.hash(piece);
        let stop = AtomicBool::new(false);
        let looked_at = AtomicU32::new(0);
        let progress = |done| _ = looked_at.fetch_max(done, Ordering::Relaxed);
        let found = check_all(storage, &hash, &all, threads, &progress, &stop).unwrap();
        assert_eq!(looked_at.into_inner(), all.len());
        found.unwrap().iter().map(PieceIndex::get).collect()
    }

    #[test]
    fn finds_what_is_wrong() {
        // Lengths for several lanes and several buffers, and one for which the last piece goes
        // alone.
        for piece_length in [64, 150_016, 100] {
            let temp = tempfile::tempdir().unwrap();
            let (torrent, storage) = on_disk(temp.path(), piece_length);
            assert_eq!(check(&torrent, &storage, 2), Vec::from_iter(0..11));
            // One bit of piece 1, the end of the second file (piece 7), the third file.
            let file = OpenOptions::new()
                .write(true)
                .open(temp.path().join("t/0"))
                .unwrap();
            let bytes = torrent.bytes(torrent.piece(1));
            let last = bytes.len() - 1;
            file.write_at(&[bytes[last] ^ 1], piece_length + last as u64)
                .unwrap();
            let second = OpenOptions::new()
                .write(true)
                .open(temp.path().join("t/folder1/1"))
                .unwrap();
            second.set_len(piece_length * 4 - 1).unwrap();
            std::fs::remove_file(temp.path().join("t/2")).unwrap();
            for threads in [1, 3] {
                assert_eq!(check(&torrent, &storage, threads), [0, 2, 3, 4, 5, 6]);
            }
        }
    }

    #[test]
    fn holes_are_zeros_but_only_within_a_file() {
        let mut torrent = Torrent::new(65_536, &[(65_536 * 6 + 9, false)]);
        torrent.data[65_536 * 2..].fill(0); // pieces 2 to 6 are zeros
        let temp = tempfile::tempdir().unwrap();
        let storage = torrent.wanting_all(temp.path());
        assert_eq!(
            check(&torrent, &storage, 1),
            Vec::<u32>::new(),
            "there is no file"
        );
        std::fs::create_dir(temp.path().join("t")).unwrap();
        let file = File::create(temp.path().join("t/0")).unwrap();
        file.write_at(&torrent.data[65_536..65_536 * 2], 65_536)
            .unwrap();
        file.set_len(65_536 * 5).unwrap();
        assert_eq!(check(&torrent, &storage, 1), [1, 2, 3, 4]);
        file.set_len(65_536 * 6 + 9).unwrap();
        assert_eq!(check(&torrent, &storage, 1), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn stops_when_told() {
        let temp = tempfile::tempdir().unwrap();
        let (torrent, storage) = on_disk(temp.path(), 64);
        let all = Bitfield::all(torrent.layout.pieces());
        let hash = |piece| torrent.hash(piece);
        let found = check_all(&storage, &hash, &all, 2, &|_| {}, &AtomicBool::new(true));
        assert_eq!(found.unwrap(), None);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let (torrent, storage) = on_disk(temp.path(), 64);
        std::fs::remove_file(temp.path().join("t/2")).unwrap();
        std::fs::create_dir(temp.path().join("t/2")).unwrap();
        let all = Bitfield::all(torrent.layout.pieces());
        let hash = |piece| torrent.hash(piece);
        let stop = AtomicBool::new(false);
        let error = check_all(&storage, &hash, &all, 2, &|_| {}, &stop).unwrap_err();
        assert!(error.to_string().contains("t/2 is a folder"), "{error}");
    }
}
