//! Hashes pieces ([BEP 3]) for the checker, `storrent check` and `storrent create`, which differ
//! in what they read ([`Content`]) and in what they do with a hash.
//!
//! Several pieces are hashed together, which takes less time than one after another
//! ([`sha1_lanes`]). Memory does not depend on the piece length: [`BUFFER_LEN`] for each of
//! [`MAX_LANES`].
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use crate::layout::{Layout, PieceIndex};
use crate::storage::Pages;
use crate::types::PieceHash;
use sha1_lanes::{MAX_LANES, SHA1_BLOCK, Sha1Lanes, lanes_for};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// How many bytes of each piece are read at a time. Less costs system calls; more falls out of the
/// processor's cache before it is hashed.
const BUFFER_LEN: usize = 32 * 1024;

/// How many bytes of each piece the system is told to read ahead, a multiple of [`BUFFER_LEN`].
/// By itself it hardly does so for sixteen pieces in turns, and a spinning disk would seek for
/// every buffer.
const AHEAD_LEN: u32 = 4 << 20;

/// The pause before the next try, if the process has too many files open.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// [`Runs::hash`] gives up after this many pauses: perhaps no other thread has a file to
/// give back.
const PAUSES: u32 = 50;

/// How many bytes a thread takes at a time, rounded up to a multiple of [`MAX_LANES`] pieces:
/// long enough to read the disk in order and to hash in full batches, short enough that all
/// threads end at about the same time.
const RUN_LEN: u32 = 16 << 20;

/// The files of a torrent, from which its pieces are read.
pub(crate) trait Content {
    /// What one lane has open. Of small files, the one that ends in the next buffer is still open
    /// then.
    type Files;
    /// Why a piece can't be read.
    type Error;

    fn layout(&self) -> &Layout;

    /// Nothing is open yet.
    fn files(&self) -> Self::Files;

    /// Fills `buffer` with the content from byte `start`. Returns false if not all of it exists.
    ///
    /// # Errors
    /// If it exists and cannot be read.
    fn read(
        &self,
        files: &mut Self::Files,
        start: u64,
        buffer: &mut [u8],
    ) -> Result<bool, Self::Error>;

    /// Tells the system that `len` bytes from `start` will be read soon.
    fn prefetch(&self, files: &mut Self::Files, start: u64, len: u64);

    /// Whether the process may open no more files.
    fn is_out_of_files(error: &Self::Error) -> bool;
}

/// Reads and hashes pieces on one thread.
pub(crate) struct Hasher<C: Content> {
    pub(super) content: C,
    lanes: Vec<Lane<C::Files>>,
    /// How many lanes may be used at a time: 1 after the process ran out of files, then twice
    /// as many with each batch.
    most: usize,
}

/// Reads one of the pieces that are hashed together.
struct Lane<F> {
    files: F,
    buffer: Pages,
}

impl<C: Content> Hasher<C> {
    pub(crate) fn new(content: C) -> Self {
        Self {
            content,
            lanes: Vec::new(),
            most: MAX_LANES,
        }
    }

    /// Hashes `pieces`. Calls `each` with the hash of each; `None` if the piece does not exist.
    ///
    /// # Errors
    /// If a piece exists and cannot be read.
    pub(crate) fn hash(
        &mut self,
        pieces: &[PieceIndex],
        each: &mut impl FnMut(PieceIndex, Option<PieceHash>),
    ) -> Result<(), C::Error> {
        let mut rest = pieces;
        while let Some(&first) = rest.first() {
            let layout = self.content.layout();
            let len = layout.piece_len(first);
            let mut lanes = lanes_for(rest.len().min(self.most));
            // Only pieces of the same length go together, so a shorter last piece goes alone.
            let equal = |piece: &PieceIndex| layout.piece_len(*piece) == len;
            if !(len as usize).is_multiple_of(SHA1_BLOCK) || !rest[..lanes].iter().all(equal) {
                lanes = 1;
            }
            let (batch, after) = rest.split_at(lanes);
            let hashes = match self.hash_together(batch, len) {
                Err(error) if C::is_out_of_files(&error) && lanes > 1 => {
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
                each(*piece, hash);
            }
        }
        Ok(())
    }

    /// Hashes pieces that all have `len` bytes.
    fn hash_together(
        &mut self,
        pieces: &[PieceIndex],
        len: u32,
    ) -> Result<Vec<Option<PieceHash>>, C::Error> {
        self.provide(pieces.len());
        let Self { content, lanes, .. } = self;
        let mut hasher = Sha1Lanes::new(pieces.len());
        let mut exists = [true; MAX_LANES];
        for begin in (0..len).step_by(BUFFER_LEN) {
            let at = |piece: &PieceIndex| content.layout().piece_start(*piece) + u64::from(begin);
            if begin.is_multiple_of(AHEAD_LEN) {
                let ahead = u64::from(AHEAD_LEN.min(len - begin));
                for (piece, lane) in pieces.iter().zip(&mut *lanes) {
                    content.prefetch(&mut lane.files, at(piece), ahead);
                }
            }
            let n = BUFFER_LEN.min((len - begin) as usize);
            for ((piece, lane), exists) in pieces.iter().zip(&mut *lanes).zip(&mut exists) {
                *exists &= content.read(&mut lane.files, at(piece), &mut lane.buffer[..n])?;
            }
            let lanes = lanes.iter().take(pieces.len());
            hasher.update(&lanes.map(|lane| &lane.buffer[..n]).collect::<Vec<_>>());
        }
        let hashes = hasher.finish().into_iter().zip(exists);
        Ok(hashes
            .map(|(hash, exists)| exists.then_some(hash))
            .collect())
    }

    /// Reads up to [`BUFFER_LEN`] bytes of the content. `None` if not all of them exist.
    ///
    /// # Errors
    /// If they exist and cannot be read.
    pub(super) fn read(&mut self, start: u64, len: usize) -> Result<Option<&[u8]>, C::Error> {
        self.provide(1);
        let Lane { files, buffer } = &mut self.lanes[0];
        let buffer = &mut buffer[..len];
        let exists = self.content.read(files, start, buffer)?;
        Ok(exists.then_some(buffer))
    }

    /// The files of all lanes, at least of one.
    pub(super) fn files(&mut self) -> impl Iterator<Item = &mut C::Files> {
        self.provide(1);
        self.lanes.iter_mut().map(|lane| &mut lane.files)
    }

    fn provide(&mut self, lanes: usize) {
        let count = self.lanes.len().max(lanes);
        self.lanes.resize_with(count, || Lane {
            files: self.content.files(),
            buffer: Pages::new(BUFFER_LEN),
        });
    }
}

/// Pieces to be hashed by several threads.
pub(crate) struct Runs<'a> {
    /// All pieces, in the order in which they are read.
    pub pieces: &'a [PieceIndex],
    /// The usual length of a piece, in bytes.
    pub piece_length: u32,
    /// The number of threads, of which this is one. If the system refuses some, the work only
    /// takes longer.
    pub threads: usize,
    /// When true, the threads end after the run that they are at.
    pub stop: &'a AtomicBool,
    /// The threads call it with the number of pieces done so far.
    pub progress: &'a (dyn Fn(u32) + Sync),
}

impl Runs<'_> {
    /// Each thread makes itself what it needs with `begin`, then takes one run of pieces after the
    /// other and calls `work` for it. Returns all results, in no order.
    ///
    /// If the process has too many files open, the thread closes its own by a new `begin`,
    /// pauses, and tries again, up to [`PAUSES`] times, so that others can close theirs.
    ///
    /// # Errors
    /// An error of `work`, which ends the other threads, too.
    pub(crate) fn hash<C: Content<Error: Send>, W, R: Send>(
        &self,
        begin: impl Fn() -> W + Sync,
        work: impl Fn(&mut W, &[PieceIndex]) -> Result<Vec<R>, C::Error> + Sync,
    ) -> Result<Vec<R>, C::Error> {
        let run = (RUN_LEN / self.piece_length).max(1) as usize;
        let run = run.next_multiple_of(MAX_LANES);
        let runs = self.pieces.len().div_ceil(run);
        let (next, done) = (AtomicU32::new(0), AtomicU32::new(0));
        let stopped = || self.stop.load(Ordering::Relaxed);
        let thread = || {
            let mut worker = begin();
            let mut results = Vec::new();
            while !stopped() {
                let taken = next.fetch_add(1, Ordering::Relaxed) as usize;
                let Some(pieces) = self.pieces.chunks(run).nth(taken) else {
                    break;
                };
                let mut result = work(&mut worker, pieces);
                for _ in 0..PAUSES {
                    let short = matches!(&result, Err(error) if C::is_out_of_files(error));
                    if !short || stopped() {
                        break;
                    }
                    worker = begin();
                    thread::sleep(PAUSE);
                    result = work(&mut worker, pieces);
                }
                match result {
                    Ok(result) => results.extend(result),
                    Err(error) => {
                        next.store(runs as u32, Ordering::Relaxed); // leaves nothing to the others
                        return Err(error);
                    }
                }
                let pieces = pieces.len() as u32;
                (self.progress)(done.fetch_add(pieces, Ordering::Relaxed) + pieces);
            }
            Ok(results)
        };
        let mut all = Vec::new();
        for results in on_threads(self.threads.clamp(1, runs.max(1)), thread) {
            all.extend(results?);
        }
        Ok(all)
    }
}

/// Does `work` on `threads` threads, of which this is one, and returns what came of it.
fn on_threads<T: Send>(threads: usize, work: impl Fn() -> T + Copy + Send) -> Vec<T> {
    thread::scope(|scope| {
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
    })
}
