//! Reads pieces back from disk and compares their SHA-1 with the torrent's ([BEP 3]).
//!
//! At the start, [`check_all`] checks the files that are there already, on all cores. During the
//! download, a thread per torrent ([`spawn`]) checks each piece after its last block was written.
//! The thread exists only while there is something to check.
//!
//! The peer threads do not hash: they write each block to its place and go on. The checker reads a
//! finished piece back from memory, where the system still has it, and hashes several pieces at a
//! time, which is faster ([`crate::sha1_lanes`]).
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

/// How many bytes of each piece are read at a time. Less costs system calls; more falls out of the
/// processor's cache before it is hashed.
pub(crate) const BUFFER_LEN: usize = 32 * 1024;

/// The pause before the next try, if the process has too many files open.
const PAUSE: Duration = Duration::from_millis(100);

/// [`check_all`] gives up after this many pauses: perhaps no other thread has a file to give back.
const PAUSES: u32 = 50;

/// How many bytes of each piece the system is told to read ahead, a multiple of [`BUFFER_LEN`]. By
/// itself it hardly does so for sixteen pieces in turns, and a spinning disk would seek for every
/// buffer.
const AHEAD_LEN: u32 = 4 << 20;

/// Hashes pieces of one torrent. Each hashing thread has its own.
pub(crate) struct Checker<H> {
    storage: Arc<Storage>,
    /// Returns the hash that a piece must have.
    expected: H,
    lanes: Vec<Lane>,
    /// How many lanes may be used at a time: 1 after the process ran out of files, then twice as
    /// many with each batch.
    most: usize,
    /// Whether the data may be only on the disk. A piece just written is in memory.
    cold: bool,
    /// The hash of a full-length piece of zeros, once it was needed.
    zeros: Option<PieceHash>,
}

/// Reads one of the pieces that are hashed together. Each lane keeps its last file open: the next
/// buffer may begin in it.
struct Lane {
    files: Files,
    buffer: Pages,
}

impl<H: Fn(PieceIndex) -> PieceHash> Checker<H> {
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

    /// Closes all files, because other files may be at their paths by now.
    fn close(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.files.close());
    }

    /// Reads and hashes `pieces`. Calls `verdict` with whether each is right. A missing or short
    /// piece is wrong.
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
            // A shorter last piece goes alone.
            let equal = |piece: &PieceIndex| layout.piece_len(*piece) == len;
            if !(len as usize).is_multiple_of(SHA1_BLOCK) || !rest[..lanes].iter().all(equal) {
                lanes = 1;
            }
            let (batch, after) = rest.split_at(lanes);
            let hashes = match self.hash(batch, len) {
                Err(error) if error.is_out_of_files() && lanes > 1 => {
                    // One piece at a time needs fewer files.
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

    /// Like [`check`](Self::check), but does not read pieces that are known to be missing or holes.
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

    /// Like [`check_sparse`](Self::check_sparse), but if the process has too many files open it
    /// pauses and tries again, up to [`PAUSES`] times, or until `stop`.
    fn check_at_start(
        &mut self,
        pieces: &[PieceIndex],
        stop: &AtomicBool,
        verdict: &mut impl FnMut(PieceIndex, bool),
    ) -> Result<(), StorageError> {
        let mut checked = self.check_sparse(pieces, verdict);
        for _ in 0..PAUSES {
            let short = matches!(&checked, Err(error) if error.is_out_of_files());
            if !short || stop.load(Ordering::Relaxed) {
                break;
            }
            self.lanes.clear();
            std::thread::sleep(PAUSE);
            // Some verdicts come twice, which does no harm.
            checked = self.check_sparse(pieces, verdict);
        }
        checked
    }

    /// Returns the SHA-1 of each 16 KiB block of `piece`, by which we find out which peer sent a
    /// bad one; nothing if the piece is missing.
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

    /// Hashes together pieces that all have `len` bytes. `None` for each missing piece.
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

    fn hash_zeros(&mut self, piece: PieceIndex) -> PieceHash {
        let layout = self.storage.layout();
        let len = layout.piece_len(piece);
        if len != layout.piece_length() {
            return sha1_of_equal(0, len); // the last piece: needed once
        }
        *self.zeros.get_or_insert_with(|| sha1_of_equal(0, len))
    }
}

/// Whether a read found its bytes. An error if they exist but cannot be read.
fn is_there(read: Result<(), StorageError>) -> Result<bool, StorageError> {
    match read {
        Ok(()) => Ok(true),
        Err(StorageError::Missing { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Checks exactly the `candidates`, with `threads` threads, and returns the right ones; `None` if
/// `stop` became true meanwhile. The threads call `progress` with the number of pieces checked so
/// far.
pub(crate) fn check_all(
    storage: &Arc<Storage>,
    expected: &(dyn Fn(PieceIndex) -> PieceHash + Sync),
    candidates: &Bitfield,
    threads: usize,
    progress: &(dyn Fn(u32) + Sync),
    stop: &AtomicBool,
) -> Result<Option<Bitfield>, StorageError> {
    let todo: Vec<PieceIndex> = candidates.iter().collect();
    // Each thread takes the next run of pieces: long enough to read the disk in order and to hash
    // in full batches, short enough that all threads end at about the same time.
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
            if let Err(error) = checker.check_at_start(pieces, stop, &mut verdict) {
                next.store(runs as u32, Ordering::Relaxed); // leaves nothing to the others
                return Err(error);
            }
            let pieces = pieces.len() as u32;
            progress(done.fetch_add(pieces, Ordering::Relaxed) + pieces);
        }
        Ok(right)
    };
    let mut have = Bitfield::none(candidates.len());
    for right in on_threads(threads.clamp(1, runs.max(1)), work) {
        for piece in right? {
            have.insert(piece);
        }
    }
    Ok((!stop.load(Ordering::Relaxed)).then_some(have))
}

/// Does `work` on `threads` threads, of which this is one, and returns what came of it.
fn on_threads<T: Send>(threads: usize, work: impl Fn() -> T + Copy + Send) -> Vec<T> {
    std::thread::scope(|scope| {
        // If the system refuses some threads, the work only takes longer.
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
    })
}

/// How many bytes a thread of [`check_all`] takes at a time, rounded up to a multiple of
/// [`MAX_LANES`] pieces.
const RUN_LEN: u32 = 16 << 20;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::storage::testing::Torrent;
    use std::fs::{File, OpenOptions};
    use std::os::unix::fs::FileExt;
    use std::path::Path;

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
