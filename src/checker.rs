//! Are the pieces on disk what the torrent says? Reads them back and hashes them.
//!
//! [BEP 3] gives the SHA-1 of each piece. Whether it matches is looked at twice: at the
//! start, for what is there already ([`check_all`], on all cores), and while downloading,
//! for each piece whose last block was just written ([`spawn`], one thread a torrent, as long
//! as there is something to check).
//!
//! The threads that receive blocks do not hash: they write each block where it belongs
//! and go on. The checker reads a finished piece back, out of memory, for the system
//! still has it there, and takes several at a time, because together they are hashed in
//! less time than one after another ([`crate::sha1_lanes`]).
//!
//! Memory does not depend on the piece length: [`BUFFER_LEN`] for each of [`MAX_LANES`].
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

mod seen;
mod thread;

pub(crate) use thread::{CheckReport, CheckRequest, Desk, Notes, PURPOSE, spawn};

use crate::bitfield::Bitfield;
use crate::layout::{BLOCK_LEN, PieceIndex};
use crate::sha1_lanes::{MAX_LANES, SHA1_BLOCK, Sha1Lanes, lanes_for, sha1_of_equal};
use crate::storage::{Files, Pages, Presence, Storage, StorageError};
use crate::types::PieceHash;
use sha1::{Digest, Sha1};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// Bytes read at a time of each piece that is being hashed. Less costs system calls,
/// more falls out of the processor's cache between the reading and the hashing.
pub(crate) const BUFFER_LEN: usize = 32 * 1024;

/// How long to wait before another try where the process has too many files open.
const PAUSE: Duration = Duration::from_millis(100);

/// At the start, where nobody else may have any to give back, so many pauses are made.
const PAUSES: u32 = 50;

/// Bytes of each piece that the system is told to read ahead. By itself it makes little
/// of a program that reads sixteen pieces in turns, and a disk that turns would seek for
/// every buffer. A multiple of [`BUFFER_LEN`].
const AHEAD_LEN: u32 = 4 << 20;

/// Hashes pieces of one torrent; one for each thread that does.
pub(crate) struct Checker<H> {
    storage: Arc<Storage>,
    /// The hash that a piece must have.
    expected: H,
    /// As many as were ever needed at a time.
    lanes: Vec<Lane>,
    /// As many as may be used at a time: fewer once there were not files enough for all.
    most: usize,
    /// The data may have to come from the disk; a piece that was just written has not.
    cold: bool,
    /// The hash of a piece of full length that is all zeros, once it was needed.
    zeros: Option<PieceHash>,
}

/// What reads one of the pieces that are hashed together. Each has a file of its own open:
/// where files are small, the one that ends in the next buffer is still open then.
struct Lane {
    files: Files,
    buffer: Pages,
}

impl<H: Fn(PieceIndex) -> PieceHash> Checker<H> {
    /// For a torrent's data.
    pub(crate) fn new(storage: &Arc<Storage>, expected: H) -> Self {
        Self {
            storage: Arc::clone(storage),
            expected,
            lanes: Vec::new(),
            most: MAX_LANES,
            cold: true,
            zeros: None,
        }
    }

    /// Closes all files: at their paths, there may be others by now.
    fn close(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.files.close());
    }

    /// Reads and hashes `pieces`; tells for each whether it is what it must be. One that
    /// is missing or cut short is not.
    ///
    /// # Errors
    /// [`StorageError`], if something is there but cannot be read.
    pub(crate) fn check(
        &mut self,
        pieces: &[PieceIndex],
        verdict: &mut impl FnMut(PieceIndex, bool),
    ) -> Result<(), StorageError> {
        let mut rest = pieces;
        while let Some(&first) = rest.first() {
            let layout = self.storage.layout();
            let len = layout.piece_len(first);
            let mut lanes = lanes_for(rest.len().min(self.most));
            // Only pieces of the same length go together: not the last, if it is shorter.
            let equal = |piece: &PieceIndex| layout.piece_len(*piece) == len;
            if !(len as usize).is_multiple_of(SHA1_BLOCK) || !rest[..lanes].iter().all(equal) {
                lanes = 1;
            }
            let (batch, after) = rest.split_at(lanes);
            let hashes = match self.hash(batch, len) {
                Err(error) if error.is_out_of_files() && lanes > 1 => {
                    // One piece at a time takes fewer.
                    self.lanes.clear();
                    self.most = 1;
                    continue;
                }
                hashes => hashes?,
            };
            self.most = (self.most * 2).min(MAX_LANES);
            rest = after;
            for (piece, hash) in batch.iter().zip(hashes) {
                verdict(*piece, hash == Some((self.expected)(*piece)));
            }
        }
        Ok(())
    }

    /// Like [`check`](Self::check), for pieces that may never have been written: those
    /// known to be missing, or to be nothing but a hole, are not read.
    ///
    /// # Errors
    /// As for `check`.
    pub(crate) fn check_sparse(
        &mut self,
        pieces: &[PieceIndex],
        verdict: &mut impl FnMut(PieceIndex, bool),
    ) -> Result<(), StorageError> {
        let mut written = Vec::with_capacity(pieces.len());
        self.provide(1);
        for &piece in pieces {
            let range = self.storage.layout().piece_range(piece);
            match self.lanes[0].files.presence(range)? {
                Presence::Data => written.push(piece),
                Presence::Hole => verdict(piece, self.hash_zeros(piece) == (self.expected)(piece)),
                Presence::Missing => verdict(piece, false),
            }
        }
        self.check(&written, verdict)
    }

    /// The SHA-1 of each 16 KiB block of `piece`, to find out later who sent a bad one;
    /// empty if the piece is missing.
    ///
    /// # Errors
    /// As for [`check`](Self::check).
    pub(crate) fn hash_blocks(&mut self, piece: PieceIndex) -> Result<Vec<[u8; 20]>, StorageError> {
        let layout = self.storage.layout();
        let (start, len) = (layout.piece_start(piece), layout.piece_len(piece));
        let mut hashes = Vec::new();
        self.provide(1);
        let Lane { files, buffer } = &mut self.lanes[0];
        for begin in (0..len).step_by(BLOCK_LEN as usize) {
            let block = &mut buffer[..BLOCK_LEN.min(len - begin) as usize];
            if !is_there(files.read(start + u64::from(begin), block))? {
                return Ok(Vec::new());
            }
            hashes.push(Sha1::digest(block).into());
        }
        Ok(hashes)
    }

    /// Hashes together pieces that all have `len` bytes; `None` for those missing.
    fn hash(
        &mut self,
        pieces: &[PieceIndex],
        len: u32,
    ) -> Result<Vec<Option<PieceHash>>, StorageError> {
        self.provide(pieces.len());
        let mut hasher = Sha1Lanes::new(pieces.len());
        let mut there = [true; MAX_LANES];
        for begin in (0..len).step_by(BUFFER_LEN) {
            let layout = self.storage.layout();
            let at = |piece: &PieceIndex| layout.piece_start(*piece) + u64::from(begin);
            if self.cold && begin.is_multiple_of(AHEAD_LEN) {
                let ahead = u64::from(AHEAD_LEN.min(len - begin));
                for (piece, lane) in pieces.iter().zip(&mut self.lanes) {
                    lane.files.prefetch(at(piece), ahead);
                }
            }
            let n = BUFFER_LEN.min((len - begin) as usize);
            for ((piece, lane), there) in pieces.iter().zip(&mut self.lanes).zip(&mut there) {
                *there &= is_there(lane.files.read(at(piece), &mut lane.buffer[..n]))?;
            }
            let lanes = self.lanes.iter().take(pieces.len());
            hasher.update(&lanes.map(|lane| &lane.buffer[..n]).collect::<Vec<_>>());
        }
        let hashes = hasher.finish().into_iter().zip(there);
        Ok(hashes.map(|(hash, there)| there.then_some(hash)).collect())
    }

    /// Sees to it that there are so many lanes.
    fn provide(&mut self, lanes: usize) {
        let count = self.lanes.len().max(lanes);
        self.lanes.resize_with(count, || {
            let mut files = self.storage.files(1);
            if !self.cold {
                files.remember_opened();
            }
            let buffer = Pages::new(BUFFER_LEN);
            Lane { files, buffer }
        });
    }

    /// The hash that `piece` has if it is all zeros.
    fn hash_zeros(&mut self, piece: PieceIndex) -> PieceHash {
        let layout = self.storage.layout();
        let len = layout.piece_len(piece);
        if len != layout.piece_length() {
            return sha1_of_equal(0, len); // the last piece: comes once
        }
        *self.zeros.get_or_insert_with(|| sha1_of_equal(0, len))
    }
}

/// Whether a read found its bytes; an error only if they are there but can't be read.
fn is_there(read: Result<(), StorageError>) -> Result<bool, StorageError> {
    match read {
        Ok(()) => Ok(true),
        Err(StorageError::Missing { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Checks all `candidates` with `threads` threads and returns those that are right;
/// `None` if `stop` became true meanwhile. Pieces outside `candidates` are not looked at.
///
/// `progress` is called on those threads with the number of pieces looked at so far.
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
    let todo: Vec<PieceIndex> = candidates.iter().collect();
    // Each thread takes the next run of pieces: long enough to read the disk in order
    // and to hash in full batches, short enough that all end at the same time.
    let piece_length = storage.layout().piece_length();
    let run = (RUN_LEN / piece_length).max(1) as usize;
    let run = run.next_multiple_of(MAX_LANES);
    let runs = todo.len().div_ceil(run);
    let (next, done) = (AtomicU32::new(0), AtomicU32::new(0));
    let work = || {
        let mut checker = Checker::new(storage, expected);
        let mut right = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let taken = next.fetch_add(1, Ordering::Relaxed) as usize;
            let Some(pieces) = todo.chunks(run).nth(taken) else {
                break;
            };
            let mut verdict = |piece, ok: bool| {
                if ok {
                    right.push(piece);
                }
            };
            let mut checked = checker.check_sparse(pieces, &mut verdict);
            for _ in 0..PAUSES {
                let short = matches!(&checked, Err(error) if error.is_out_of_files());
                if !short || stop.load(Ordering::Relaxed) {
                    break;
                }
                checker.lanes.clear();
                std::thread::sleep(PAUSE);
                // What it has told already it tells again, which does no harm.
                checked = checker.check_sparse(pieces, &mut verdict);
            }
            if let Err(error) = checked {
                next.store(runs as u32, Ordering::Relaxed); // nothing is left for the others
                return Err(error);
            }
            let pieces = pieces.len() as u32;
            progress(done.fetch_add(pieces, Ordering::Relaxed) + pieces);
        }
        Ok(right)
    };
    let threads = threads.clamp(1, runs.max(1));
    let results: Vec<_> = std::thread::scope(|scope| {
        // The system may refuse some of the threads, which only makes it slower.
        let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads).filter_map(spawn).collect();
        let mut results = vec![work()];
        for other in others {
            results.push(match other.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
        }
        results
    });
    let mut have = Bitfield::none(candidates.len());
    for right in results {
        for piece in right? {
            have.insert(piece);
        }
    }
    Ok((!stop.load(Ordering::Relaxed)).then_some(have))
}

/// Bytes that a thread of [`check_all`] takes on at a time, if the pieces are not longer.
const RUN_LEN: u32 = 16 << 20;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::storage::testing::Torrent;
    use std::fs::{File, OpenOptions};
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    /// Eleven pieces (the last one short) in three files, all on disk and right.
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
        // Lengths that four lanes take, over several buffers, and one that they don't.
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
