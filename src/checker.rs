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
//! less time than one after another ([`crate::sha1_lanes`]). Under load pieces queue up
//! and batches fill by themselves; else a piece waits up to [`GATHER`] for others, unless
//! main says [`CheckRequest::Hurry`], as the end of the download waits for it.
//!
//! The checker's thread is also the one that looks after the files: which of the disk's files
//! the verified pieces lie in ([`seen`]), so that it is noticed when somebody moves, removes
//! or replaces one; and it writes the record ([`crate::resume`]), which may wait for the disk.
//!
//! Memory does not depend on the piece length: [`BUFFER_LEN`] for each of [`MAX_LANES`].
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

mod seen;

use crate::bitfield::Bitfield;
use crate::layout::{BLOCK_LEN, PieceIndex};
use crate::messages::{Surveyed, Verdict};
use crate::resume;
use crate::sha1_lanes::{MAX_LANES, SHA1_BLOCK, Sha1Lanes, full_batch, lanes_for};
use crate::storage::{Files, Pages, Presence, Storage, StorageError, Survey};
use crate::threads::{self, NoThread};
use crate::types::PieceHash;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use seen::Seen;
use sha1::{Digest, Sha1};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Bytes read at a time of each piece that is being hashed. Less costs system calls,
/// more falls out of the processor's cache between the reading and the hashing.
pub const BUFFER_LEN: usize = 32 * 1024;

/// How long finished pieces wait for others to be hashed together with. A full batch costs
/// less than half, and nobody minds so short a delay: but see [`CheckRequest::Hurry`].
const GATHER: Duration = Duration::from_millis(150);

/// After so long without a request a checker's thread ends: others may need it more, and
/// its files.
const IDLE: Duration = Duration::from_secs(1);

/// How long to wait before another try where the process has too many files open.
const PAUSE: Duration = Duration::from_millis(100);

/// At the start, where nobody else may have any to give back, so many pauses are made.
const PAUSES: u32 = 50;

/// What a checker's thread is for.
pub const PURPOSE: &str = "check pieces";

/// Bytes of each piece that the system is told to read ahead. By itself it makes little
/// of a program that reads sixteen pieces in turns, and a disk that turns would seek for
/// every buffer. A multiple of [`BUFFER_LEN`].
const AHEAD_LEN: u32 = 4 << 20;

/// Hashes pieces of one torrent; one for each thread that does.
pub struct Checker<H> {
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
    pub fn new(storage: &Arc<Storage>, expected: H) -> Self {
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
    pub fn check(
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
    pub fn check_sparse(
        &mut self,
        pieces: &[PieceIndex],
        verdict: &mut impl FnMut(PieceIndex, bool),
    ) -> Result<(), StorageError> {
        let mut written = Vec::with_capacity(pieces.len());
        self.provide(1);
        for &piece in pieces {
            let start = self.storage.layout().piece_start(piece);
            let len = self.storage.layout().piece_len(piece);
            match self.lanes[0].files.presence(start, u64::from(len))? {
                Presence::Data => written.push(piece),
                Presence::Hole => verdict(piece, self.hash_zeros(len) == (self.expected)(piece)),
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
    pub fn hash_blocks(&mut self, piece: PieceIndex) -> Result<Vec<[u8; 20]>, StorageError> {
        let start = self.storage.layout().piece_start(piece);
        let len = self.storage.layout().piece_len(piece);
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

    fn hash_zeros(&mut self, len: u32) -> PieceHash {
        let hash = |len: u32| {
            let mut hasher = Sha1::new();
            for begin in (0..len).step_by(BUFFER_LEN) {
                hasher.update(&[0; BUFFER_LEN][..BUFFER_LEN.min((len - begin) as usize)]);
            }
            hasher.finalize().into()
        };
        if len != self.storage.layout().piece_length() {
            return hash(len); // the last piece: comes once
        }
        *self.zeros.get_or_insert_with(|| hash(len))
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

/// What a checker thread is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CheckRequest {
    /// Whether these pieces, all blocks of which were written, are right.
    Pieces(Vec<PieceIndex>),
    /// The SHA-1 of each block of this piece.
    Blocks(PieceIndex),
    /// No more pieces will come for now: don't wait for a fuller batch.
    Hurry,
    /// Whether all files are where and as they were left, of the pieces that we have. If so,
    /// and these are all, the record goes.
    Survey(Bitfield),
    /// All is there, these pieces: the record goes, or says so.
    Finish(Bitfield),
    /// We leave, and have these pieces: the record is to say so.
    Save(Bitfield),
}

/// What a checker thread answers.
#[derive(Debug)]
pub enum CheckReport {
    /// What each of these pieces is.
    Verdicts(Vec<(PieceIndex, Verdict)>),
    /// The SHA-1 of each 16 KiB block of the piece in order; empty if it is missing.
    Blocks(PieceIndex, Vec<[u8; 20]>),
    /// What the look at all files found.
    Surveyed(Surveyed),
    /// The record was removed or written, or why not.
    Recorded(Result<(), StorageError>),
    /// There was nothing to do for a while, and the thread ends. Requests that came since
    /// are still in the channel, for another one.
    Idle,
    /// The process has as many files and connections open as it may. The checker waits, and
    /// says so every [`PAUSE`], until it can go on.
    OutOfFiles(StorageError),
    /// The disk failed; of the pieces asked for, some will get no verdict.
    Failed(StorageError),
}

/// What the checker of a torrent must know of the past. One thread after another has them.
pub struct Notes {
    storage: Arc<Storage>,
    /// Which of the disk's files the verified pieces lie in.
    seen: Seen,
    /// Pieces that were not looked at: see [`resume::Trusted`].
    passed_over: Bitfield,
    /// The bytes of `info`, if the record is to keep them.
    metadata: Option<Arc<[u8]>>,
}

impl Notes {
    /// `survey`: the files as they were when what is there was checked.
    pub fn new(
        storage: Arc<Storage>,
        survey: &Survey,
        passed_over: Bitfield,
        metadata: Option<Arc<[u8]>>,
    ) -> Self {
        let seen = Seen::new(survey);
        Self {
            storage,
            seen,
            passed_over,
            metadata,
        }
    }
}

/// Where the notes lie while no thread has them.
#[derive(Clone)]
pub struct Desk(Sender<Notes>, Receiver<Notes>);

impl Desk {
    /// One where these lie.
    pub fn with(notes: Notes) -> Self {
        let (put, take) = bounded(1);
        let _ = put.send(notes); // there is room for one
        Self(put, take)
    }
}

/// Starts the thread that checks pieces of one torrent until `requests` closes, or there are
/// none for [`IDLE`]. It takes its notes from `desk`, and lays them back. `report` is called
/// on that thread, and so is `lost`, if it panics.
///
/// # Errors
/// If the system starts no more threads.
pub fn spawn(
    storage: &Arc<Storage>,
    desk: Desk,
    expected: impl Fn(PieceIndex) -> PieceHash + Send + 'static,
    requests: Receiver<CheckRequest>,
    report: impl Fn(CheckReport) + Send + 'static,
    lost: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, NoThread> {
    let mut checker = Checker::new(storage, expected);
    checker.cold = false;
    let thread = thread::Builder::new().name("checker".into());
    let work = move || {
        let Desk(put, take) = desk;
        let Ok(notes) = take.try_recv() else { return };
        let mut work = Work { checker, notes };
        if work.run(&requests, &report) {
            let _ = put.send(work.notes); // the desk is empty: we took them
            report(CheckReport::Idle);
        }
    };
    threads::spawn(thread, PURPOSE, work, lost)
}

/// The state of the checker's thread.
struct Work<H> {
    checker: Checker<H>,
    notes: Notes,
}

/// What a checker thread was asked and has not answered yet.
#[derive(Default)]
struct Todo {
    pieces: Vec<PieceIndex>,
    /// What is no check of pieces; done before.
    others: VecDeque<CheckRequest>,
}

impl Todo {
    fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.others.is_empty()
    }
}

impl<H: Fn(PieceIndex) -> PieceHash> Work<H> {
    /// Does what is asked. True if there is nothing to do, false if main has gone.
    fn run(&mut self, requests: &Receiver<CheckRequest>, report: &dyn Fn(CheckReport)) -> bool {
        let full = full_batch();
        let mut todo = Todo::default();
        loop {
            let mut next = match requests.recv_timeout(IDLE) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            };
            let mut hurry = false;
            let mut deadline = Instant::now() + GATHER;
            while next.is_some() || !todo.is_empty() {
                // All that wait are taken before each batch, so that it is as full as can be.
                for request in next.take().into_iter().chain(requests.try_iter()) {
                    match request {
                        CheckRequest::Pieces(pieces) => todo.pieces.extend(pieces),
                        CheckRequest::Hurry => hurry = true,
                        other => todo.others.push_back(other),
                    }
                }
                let few = todo.others.is_empty() && (1..full).contains(&todo.pieces.len());
                if few && !hurry {
                    next = requests.recv_deadline(deadline).ok();
                    if next.is_some() {
                        continue;
                    }
                }
                match self.perform(&mut todo, full, report) {
                    Ok(()) => {}
                    // Main gives some back; and it may close the channel meanwhile.
                    Err(error) if error.is_out_of_files() => {
                        report(CheckReport::OutOfFiles(error));
                        match requests.recv_timeout(PAUSE) {
                            Err(RecvTimeoutError::Disconnected) => return false,
                            result => next = result.ok(),
                        }
                    }
                    Err(error) => {
                        todo = Todo::default();
                        report(CheckReport::Failed(error));
                    }
                }
                deadline = Instant::now() + GATHER;
            }
        }
    }

    /// Does all that is no check of pieces, then checks up to `full` pieces. What fails stays.
    fn perform(
        &mut self,
        todo: &mut Todo,
        full: usize,
        report: &dyn Fn(CheckReport),
    ) -> Result<(), StorageError> {
        while let Some(request) = todo.others.front() {
            report(self.answer(request)?);
            todo.others.pop_front();
        }
        let batch = &todo.pieces[..full.min(todo.pieces.len())];
        let mut found = Vec::with_capacity(batch.len());
        let result = self
            .checker
            .check(batch, &mut |piece, ok| found.push((piece, ok)));
        todo.pieces.drain(..found.len());
        self.note_opened();
        let Notes { seen, storage, .. } = &self.notes;
        let verdict = |(piece, ok)| match ok {
            true => (piece, Verdict::Right),
            false if seen.was_moved(storage, piece) => (piece, Verdict::Moved),
            false => (piece, Verdict::False),
        };
        let verdicts: Vec<_> = found.into_iter().map(verdict).collect();
        if !verdicts.is_empty() {
            report(CheckReport::Verdicts(verdicts));
        }
        result
    }

    /// Does what is no check of pieces.
    fn answer(&mut self, request: &CheckRequest) -> Result<CheckReport, StorageError> {
        let Notes {
            storage,
            passed_over,
            metadata,
            ..
        } = &self.notes;
        let metadata = metadata.as_deref();
        let recorded = match request {
            CheckRequest::Blocks(piece) => {
                let hashes = self.checker.hash_blocks(*piece)?;
                return Ok(CheckReport::Blocks(*piece, hashes));
            }
            CheckRequest::Survey(have) => return Ok(CheckReport::Surveyed(self.survey(have)?)),
            CheckRequest::Finish(have) => resume::finish(storage, have, passed_over, metadata),
            CheckRequest::Save(have) => resume::save(storage, have, passed_over, metadata),
            CheckRequest::Pieces(_) | CheckRequest::Hurry => Ok(()),
        };
        match recorded {
            Err(error) if error.is_out_of_files() => Err(error),
            recorded => Ok(CheckReport::Recorded(recorded)),
        }
    }

    /// Looks at all files in which there is something of the pieces that we `have`. What
    /// lies in those that are not as they were left is hashed again.
    fn survey(&mut self, have: &Bitfield) -> Result<Surveyed, StorageError> {
        let storage = Arc::clone(&self.notes.storage);
        if !storage.is_in_place()? {
            let path = storage.plan().dir.clone();
            return Err(StorageError::FolderGone { path });
        }
        let changed = self.notes.seen.changed(&storage, have);
        let mut lost = Vec::new();
        if !changed.is_empty() {
            self.checker.close();
            self.note_opened();
            let mut pieces = Bitfield::none(have.len());
            for file in &changed {
                self.notes.seen.forget(*file);
                let of_file = storage.layout().pieces_of_file(*file);
                let of_file = of_file.map(PieceIndex::unchecked);
                let had = of_file.filter(|piece| have.has(*piece));
                had.for_each(|piece| _ = pieces.insert(piece));
            }
            let pieces: Vec<PieceIndex> = pieces.iter().collect();
            self.checker.check(&pieces, &mut |piece, ok| {
                if !ok {
                    lost.push(piece);
                }
            })?;
            self.note_opened();
            storage.mend(&changed)?;
        }
        // All files are as they should be: if that is all, nothing needs to be remembered.
        if lost.is_empty() && resume::is_all(&storage, have) {
            storage.remove_record()?;
        }
        let named = |file: usize| (file, storage.plan().path(file).display().to_string());
        Ok(Surveyed {
            changed: changed.into_iter().map(named).collect(),
            lost,
        })
    }

    fn note_opened(&mut self) {
        for lane in &mut self.checker.lanes {
            let opened = lane.files.opened().into_iter();
            opened.for_each(|(file, id)| self.notes.seen.note(file, id));
        }
    }
}

/// Checks all `candidates` with `threads` threads and returns those that are right;
/// `None` if `stop` became true meanwhile. Pieces outside `candidates` are not looked at.
///
/// `progress` is called on those threads with the number of pieces looked at so far.
///
/// # Errors
/// [`StorageError`], if something is there but cannot be read.
pub fn check_all(
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
                thread::sleep(PAUSE);
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
    let results: Vec<_> = thread::scope(|scope| {
        // The system may refuse some of the threads, which only makes it slower.
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
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
mod tests {
    use super::*;
    use crate::storage::testing::Torrent;
    use crossbeam_channel::unbounded;
    use std::fs::{File, OpenOptions};
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    /// Eleven pieces (the last one short) in three files, all on disk and right.
    fn on_disk(dir: &Path, piece_length: u64) -> (Torrent, Arc<Storage>) {
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

    fn notes(storage: &Arc<Storage>) -> Notes {
        let survey = storage.survey().unwrap();
        let passed_over = Bitfield::none(storage.layout().pieces());
        Notes::new(Arc::clone(storage), &survey, passed_over, None)
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
    fn the_thread_answers_all_that_it_is_asked() {
        let temp = tempfile::tempdir().unwrap();
        let (torrent, storage) = on_disk(temp.path(), 40_000);
        std::fs::remove_file(temp.path().join("t/2")).unwrap();
        let (requests, asked) = unbounded();
        let (answers, reports) = unbounded();
        let piece = |index| torrent.piece(index);
        for index in 0..11 {
            requests
                .send(CheckRequest::Pieces(vec![piece(index)]))
                .unwrap();
        }
        requests.send(CheckRequest::Blocks(piece(1))).unwrap();
        requests.send(CheckRequest::Blocks(piece(9))).unwrap();
        drop(requests);
        let hashes: Vec<_> = torrent
            .layout
            .all_pieces()
            .map(|piece| torrent.hash(piece))
            .collect();
        let expected = move |piece: PieceIndex| hashes[piece.index()];
        let report = move |report| _ = answers.send(report);
        let desk = Desk::with(notes(&storage));
        let thread = spawn(&storage, desk, expected, asked, report, || ()).unwrap();
        let (mut verdicts, mut blocks) = (Vec::new(), Vec::new());
        for report in reports {
            match report {
                CheckReport::Verdicts(some) => verdicts.extend(some),
                CheckReport::Blocks(piece, hashes) => blocks.push((piece, hashes)),
                report => panic!("{report:?}"),
            }
        }
        thread.join().unwrap();
        verdicts.sort_unstable_by_key(|(piece, _)| *piece);
        let verdict = |i| {
            if i < 7 {
                Verdict::Right
            } else {
                Verdict::Moved
            }
        };
        let expected: Vec<_> = (0..11).map(|i| (piece(i), verdict(i))).collect();
        assert_eq!(verdicts, expected);
        let of_piece_1 = torrent.bytes(piece(1)).chunks(BLOCK_LEN as usize);
        let of_piece_1 = of_piece_1.map(|block| Sha1::digest(block).into()).collect();
        assert_eq!(blocks, [(piece(1), of_piece_1), (piece(9), Vec::new())]);
    }

    #[test]
    fn a_thread_without_work_ends_and_one_that_dies_says_so() {
        let torrent = Torrent::new(1 << 14, &[(1 << 14, false)]);
        let dir = tempfile::tempdir().unwrap();
        let storage = torrent.wanting_all(dir.path());
        for dies in [false, true] {
            let (requests, asked) = unbounded();
            let (answers, reports) = unbounded();
            let (tell, lost) = unbounded();
            let expected = |_| PieceHash::default();
            let report = move |report| {
                if dies {
                    // As a panic, but without its message on the terminal.
                    std::panic::resume_unwind(Box::new("a fault"));
                }
                answers.send(report).unwrap();
            };
            let lost_one = move || tell.send(()).unwrap();
            let (desk, theirs) = (Desk::with(notes(&storage)), asked.clone());
            let next = desk.clone();
            let thread = spawn(&storage, desk, expected, theirs, report, lost_one).unwrap();
            assert_eq!(thread.join().is_err(), dies);
            assert_eq!(lost.iter().count(), usize::from(dies));
            let idle = |report: &CheckReport| matches!(report, CheckReport::Idle);
            assert_eq!(
                reports.iter().filter(|r| idle(r)).count(),
                usize::from(!dies)
            );
            // What comes now is there for the next thread, and the notes are, too.
            assert!(next.1.try_recv().is_ok());
            requests.send(CheckRequest::Hurry).unwrap();
            assert_eq!(asked.try_recv(), Ok(CheckRequest::Hurry));
        }
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
