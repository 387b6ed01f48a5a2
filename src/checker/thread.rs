//! The checker's thread: its requests, its reports, and its notes.
//!
//! It checks the files of one torrent. Under load, pieces queue up and are hashed many at a time.
//! Otherwise a piece waits up to [`GATHER`] for others. If somebody waits for the verdict (the user
//! at the end of the download, or a peer that lacks the piece), main sends [`CheckRequest::Hurry`],
//! and the thread hashes at once.
//!
//! The thread also checks that the files are still those that it read ([`super::seen`]), and
//! writes the record ([`crate::resume`]). Both may wait for the disk, which main must not.

use super::Checker;
use super::hasher::PAUSE;
use super::seen::Seen;
use crate::bitfield::Bitfield;
use crate::layout::PieceIndex;
use crate::messages::{Surveyed, Verdict};
use crate::resume;
use crate::storage::{Files, Storage, StorageError, Survey};
use crate::threads::{self, NoThread};
use crate::types::PieceHash;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use sha1_lanes::full_batch;
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a finished piece waits for others: in a full batch, it costs less than half.
const GATHER: Duration = Duration::from_millis(150);

/// The thread ends after this long without a request: its memory and files may be needed elsewhere.
const IDLE: Duration = Duration::from_secs(1);

pub(crate) const PURPOSE: &str = "check pieces";

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum CheckRequest {
    /// Check these pieces, whose blocks were all written.
    Pieces(Vec<PieceIndex>),
    Blocks(PieceIndex),
    /// Somebody waits for the verdicts: do not wait for a fuller batch.
    Hurry,
    /// Check that all files are where and as we left them, given that we have these pieces. If so,
    /// and these are all of ours, remove the record.
    Survey(Bitfield),
    /// Write into the record that we have these pieces. If they are all that any run began, remove
    /// it.
    Record(Bitfield),
}

#[derive(Debug)]
pub(crate) enum CheckReport {
    Verdicts(Vec<(PieceIndex, Verdict)>),
    /// The SHA-1 of each 16 KiB block of the piece, in order; empty if the piece is missing.
    Blocks(PieceIndex, Vec<[u8; 20]>),
    Surveyed(Surveyed),
    /// The record was removed or written, or this failed.
    Recorded(Result<(), StorageError>),
    /// No request came for [`IDLE`], and the thread ends. Requests that came since wait in the
    /// channel for the next thread.
    Idle,
    /// The process has as many files and connections open as it may. Repeated every [`PAUSE`]
    /// until the checker can go on.
    OutOfFiles(StorageError),
    /// The disk failed. Some of the requested pieces will get no verdict.
    Failed(StorageError),
}

/// What the checker must remember, passed from one thread to the next.
pub(crate) struct Notes {
    storage: Arc<Storage>,
    seen: Seen,
    /// Pieces that were not looked at: see [`resume::Trusted`].
    passed_over: Bitfield,
    /// The bytes of `info`, if the record must keep them.
    metadata: Option<Arc<[u8]>>,
}

impl Notes {
    /// `survey`: the files as they were when the existing pieces were checked.
    pub(crate) fn new(
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

/// Holds the notes while no thread has them.
#[derive(Clone)]
pub(crate) struct Desk(Sender<Notes>, Receiver<Notes>);

impl Desk {
    pub(crate) fn with(notes: Notes) -> Self {
        let (put, take) = bounded(1);
        let _ = put.send(notes); // there is room for one
        Self(put, take)
    }
}

/// Starts the thread that checks pieces of one torrent. It ends when `requests` closes, or after
/// [`IDLE`] without a request. It takes its notes from `desk` and puts them back. It calls
/// `report`, and `lost` if it panics.
pub(crate) fn spawn(
    storage: &Arc<Storage>,
    desk: Desk,
    expected: impl Fn(PieceIndex) -> PieceHash + Send + 'static,
    requests: Receiver<CheckRequest>,
    report: impl Fn(CheckReport) + Send + 'static,
    lost: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, NoThread> {
    let checker = Checker::new(storage, false, expected);
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

struct Work<H> {
    checker: Checker<H>,
    notes: Notes,
}

#[derive(Default)]
struct Todo {
    pieces: Vec<PieceIndex>,
    /// All other requests. They come before the pieces.
    others: VecDeque<CheckRequest>,
}

impl Todo {
    fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.others.is_empty()
    }
}

impl<H: Fn(PieceIndex) -> PieceHash> Work<H> {
    /// Answers requests. Returns true after [`IDLE`] without one, false if main has gone.
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
                // Takes all waiting requests before each batch, to fill it.
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
                    // Meanwhile main closes some connections, or it may close the channel.
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

    /// Answers all other requests, then checks up to `full` pieces. What fails stays in `todo`.
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

    fn answer(&mut self, request: &CheckRequest) -> Result<CheckReport, StorageError> {
        let Notes {
            storage,
            passed_over,
            metadata,
            seen,
        } = &self.notes;
        let metadata = metadata.as_deref();
        let recorded = match request {
            CheckRequest::Blocks(piece) => {
                let hashes = self.checker.hash_blocks(*piece)?;
                return Ok(CheckReport::Blocks(*piece, hashes));
            }
            CheckRequest::Survey(have) => return Ok(CheckReport::Surveyed(self.survey(have)?)),
            CheckRequest::Record(have) if resume::is_all(storage, have) => storage.remove_record(),
            CheckRequest::Record(have) => {
                let changed = seen.changed(storage, have);
                resume::save(storage, have, passed_over, &changed, metadata)
            }
            CheckRequest::Pieces(_) | CheckRequest::Hurry => Ok(()),
        };
        match recorded {
            Err(error) if error.is_out_of_files() => Err(error),
            recorded => Ok(CheckReport::Recorded(recorded)),
        }
    }

    /// Checks all files that hold anything of the pieces that we `have`, and hashes again what
    /// is in files that are not as we left them.
    fn survey(&mut self, have: &Bitfield) -> Result<Surveyed, StorageError> {
        let storage = Arc::clone(&self.notes.storage);
        if !storage.is_in_place()? {
            let path = storage.plan().dir.clone();
            return Err(StorageError::FolderGone { path });
        }
        let changed = self.notes.seen.changed(&storage, have);
        let mut lost = Vec::new();
        if !changed.is_empty() {
            self.checker.hasher.files().for_each(Files::close);
            self.note_opened();
            let mut pieces = Bitfield::none(have.len());
            for file in &changed {
                self.notes.seen.forget(*file);
                let of_file = storage.layout().pieces_of_file(*file);
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
        // If all pieces are here, nothing needs to be remembered. If the record cannot be removed,
        // the user hears about it at the end.
        if lost.is_empty() && resume::is_all(&storage, have) {
            let _ = storage.remove_record();
        }
        let named = |file: usize| (file, storage.plan().path(file).display().to_string());
        Ok(Surveyed {
            changed: changed.into_iter().map(named).collect(),
            lost,
        })
    }

    fn note_opened(&mut self) {
        for files in self.checker.hasher.files() {
            let opened = files.opened().into_iter();
            opened.for_each(|(file, id)| self.notes.seen.note(file, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::on_disk;
    use super::*;
    use crate::layout::BLOCK_LEN;
    use crate::storage::testing::Torrent;
    use crossbeam_channel::unbounded;
    use sha1::{Digest, Sha1};

    fn notes(storage: &Arc<Storage>) -> Notes {
        let survey = storage.survey().unwrap();
        let passed_over = Bitfield::none(storage.layout().pieces());
        Notes::new(Arc::clone(storage), &survey, passed_over, None)
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
                    // Like a panic, but without the message on the terminal.
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
            // The next thread finds both the new requests and the notes.
            assert!(next.1.try_recv().is_ok());
            requests.send(CheckRequest::Hurry).unwrap();
            assert_eq!(asked.try_recv(), Ok(CheckRequest::Hurry));
        }
    }
}
