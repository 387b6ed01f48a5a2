//! `--trace FILE`: writes each fact as a line, on a thread of its own, so that a slow disk holds up
//! nobody.
//!
//! Main makes the lines and hands them over in batches. Up to 64 MiB ([`MAX_WAITING`]) of them wait
//! in memory. Further facts are counted, and a fact `lost` stands in their place. If the file can't
//! be written, the trace ends with one warning, and the download goes on.

use super::written::Written;
use crate::threads::{self, NoThread};
use crate::trace::{Event, Fact};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, unbounded};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::Builder;
use std::time::Instant;

/// The most bytes that wait for the disk.
const MAX_WAITING: usize = 64 << 20;

/// Bytes that go to the thread at once; fewer, if main reports something else meanwhile, as it does
/// every second.
const BATCH: usize = 64 << 10;

#[derive(Debug, thiserror::Error)]
pub(crate) enum NoTrace {
    #[error("cannot write the trace {path}; choose another file")]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Thread(#[from] NoThread),
}

pub(crate) struct TraceFile {
    path: PathBuf,
    /// Lines that the thread does not have yet.
    batch: Vec<u8>,
    batches: Sender<Vec<u8>>,
    /// How much the thread has written, batch by batch. Disconnected when it has ended.
    written: Receiver<io::Result<usize>>,
    /// Bytes that are not written yet, those of the batch too.
    waiting: usize,
    most: usize,
    /// How many facts are missing at this place, if any are.
    lost: Option<Event>,
}

impl TraceFile {
    /// Replaces the file at `path`, and starts the thread.
    pub(crate) fn create(path: &Path) -> Result<Self, NoTrace> {
        let file = match open(path, libc::O_NONBLOCK) {
            // A pipe that nobody reads yet: the thread waits for a reader.
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => None,
            opened => Some(opened.map_err(|source| {
                let path = path.to_owned();
                NoTrace::File { path, source }
            })?),
        };
        let place = path.to_owned();
        let to = move || file.map_or_else(|| open(&place, 0), Ok);
        Ok(Self::start(path, MAX_WAITING, move || to().map(Written))?)
    }

    fn start<W: Write>(
        path: &Path,
        most: usize,
        to: impl FnOnce() -> io::Result<W> + Send + 'static,
    ) -> Result<Self, NoThread> {
        let (batches, to_write) = unbounded::<Vec<u8>>();
        let (tell, written) = unbounded();
        let write = move || {
            let mut file = match to() {
                Ok(file) => file,
                Err(error) => {
                    let _ = tell.send(Err(error));
                    return;
                }
            };
            for batch in to_write {
                let done = file.write_all(&batch).map(|()| batch.len());
                let failed = done.is_err();
                if tell.send(done).is_err() || failed {
                    return;
                }
            }
        };
        // Main sees the channels end with a lost thread.
        let thread = Builder::new().name("trace".into());
        threads::spawn(thread, "write the trace", write, || ())?;
        Ok(Self {
            path: path.to_owned(),
            batch: Vec::new(),
            batches,
            written,
            waiting: 0,
            most,
            lost: None,
        })
    }

    /// Writes a fact. Never waits. The error is a warning for the user: the trace is over.
    pub(crate) fn write(&mut self, event: &Event) -> Result<(), String> {
        // Once facts are lost, more are, until half of the room is free again: a few long gaps say
        // more than many short ones.
        let room = self.most / (1 + usize::from(self.lost.is_some()));
        if self.waiting >= room {
            let lost = self.lost.get_or_insert(Event {
                torrent: None,
                peer: None,
                piece: None,
                fact: Fact::Lost { facts: 0 },
                ..*event
            });
            if let Fact::Lost { facts } = &mut lost.fact {
                *facts += 1;
            }
            return self.hear();
        }
        if let Some(lost) = self.lost.take() {
            self.put(&lost);
        }
        self.put(event);
        match self.batch.len() {
            BATCH.. => self.flush(),
            _ => Ok(()),
        }
    }

    fn put(&mut self, event: &Event) {
        let before = self.batch.len();
        event.write_line(&mut self.batch);
        self.waiting += self.batch.len() - before;
    }

    /// Hands the facts so far to the thread. Never waits. The error is a warning: the trace is
    /// over.
    pub(crate) fn flush(&mut self) -> Result<(), String> {
        if !self.batch.is_empty() {
            // If the thread has ended, it has told why.
            let _ = self.batches.send(std::mem::take(&mut self.batch));
        }
        self.hear()
    }

    fn hear(&mut self) -> Result<(), String> {
        loop {
            match self.written.try_recv() {
                Ok(Ok(bytes)) => self.waiting -= bytes,
                Ok(Err(error)) => return Err(failed(&self.path, &error.to_string())),
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(failed(&self.path, PANICKED)),
            }
        }
    }

    /// Waits until all is written, at most until `deadline`. The error is a warning: something is
    /// not written.
    pub(crate) fn end(mut self, deadline: Instant) -> Result<(), String> {
        if let Some(lost) = self.lost.take() {
            self.put(&lost);
        }
        self.flush()?;
        drop(self.batches);
        loop {
            match self.written.recv_deadline(deadline) {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(failed(&self.path, &error.to_string())),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => return Err(failed(&self.path, SLOW)),
            }
        }
    }
}

/// What the user hears if the thread did not say what happened.
const PANICKED: &str = "its thread panicked, which is a mistake in storrent";

const SLOW: &str = "its disk is too slow, or nobody reads it";

fn failed(path: &Path, why: &str) -> String {
    format!("the trace {} ends too early: {why}", path.display())
}

fn open(path: &Path, flags: i32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true);
    options.custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PeerKey;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(40);

    fn event(n: u32) -> Event {
        Event {
            t: Duration::from_secs(n.into()),
            node: 0,
            peer: Some(PeerKey(n)),
            piece: None,
            torrent: None,
            fact: Fact::Snubbed,
        }
    }

    struct Slow {
        gate: Receiver<()>,
        disk: Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.gate.recv(); // dropping the other end opens the gate for good
            let _ = self.disk.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn read(lines: &[u8]) -> Vec<Event> {
        let lines = std::str::from_utf8(lines).unwrap().lines();
        lines
            .map(|line| Event::read(line).unwrap().unwrap())
            .collect()
    }

    #[test]
    fn a_slow_disk_costs_facts_and_says_how_many() {
        let ((key, gate), (disk, there)) = (unbounded(), unbounded());
        let slow = Slow { gate, disk };
        let path = Path::new("x");
        let mut trace = TraceFile::start(path, 1000, || Ok(slow)).unwrap();
        for n in 0..100 {
            trace.write(&event(n)).unwrap();
            trace.flush().unwrap();
        }
        let kept = trace.waiting / event(10).line().len();
        assert!((10..30).contains(&kept), "{kept}");
        drop(key);
        let deadline = Instant::now() + PATIENCE;
        while trace.waiting > 0 {
            let bytes = trace.written.recv_deadline(deadline).unwrap().unwrap();
            trace.waiting -= bytes;
        }
        trace.write(&event(100)).unwrap();
        trace.end(deadline).unwrap();
        let events = read(&there.try_iter().flatten().collect::<Vec<u8>>());
        let lost = events.iter().position(|event| event.fact != Fact::Snubbed);
        let lost = lost.unwrap();
        assert_eq!(events.len(), lost + 2);
        assert_eq!(
            events[lost].fact,
            Fact::Lost {
                facts: 100 - lost as u64
            }
        );
        assert_eq!(events[lost].t, Duration::from_secs(lost as u64));
        assert_eq!(events[lost + 1], event(100));
    }

    #[test]
    fn a_disk_that_fails_ends_the_trace_and_one_that_is_stuck_holds_up_nobody() {
        let mut full = TraceFile::create(Path::new("/dev/full")).unwrap();
        full.write(&event(1)).unwrap();
        let end = full.end(Instant::now() + PATIENCE).unwrap_err();
        assert!(end.contains("/dev/full ends too early: No space"), "{end}");

        let dir = tempfile::tempdir().unwrap();
        let error = TraceFile::create(dir.path()).err().unwrap();
        assert!(error.to_string().contains("choose another"), "{error}");
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        let mut stuck = TraceFile::create(&pipe).unwrap();
        stuck.write(&event(1)).unwrap();
        let end = stuck.end(Instant::now()).unwrap_err();
        assert!(end.contains("nobody reads it"), "{end}");
        File::open(pipe).unwrap(); // frees the thread
    }

    #[test]
    fn a_file_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace");
        std::fs::write(&path, "old".repeat(1000)).unwrap();
        let mut trace = TraceFile::create(&path).unwrap();
        let events: Vec<Event> = (0..5000).map(event).collect();
        events.iter().for_each(|event| trace.write(event).unwrap());
        trace.end(Instant::now() + PATIENCE).unwrap();
        assert_eq!(read(&std::fs::read(&path).unwrap()), events);
    }
}
