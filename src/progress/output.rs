//! The threads that write to stdout and stderr, so that no other thread waits for a reader.
//!
//! If nobody reads a pipe, a pager is stopped, or the user presses Ctrl-S, a thread that writes
//! there sleeps. So each stream has a *writer*, a thread that only shows one report after another
//! on its [`Screen`]. One more thread, the *keeper*, hands out the reports, and waits for nothing
//! but its channel:
//!
//! ```text
//!  main --Report--> keeper (a Backlog a stream) --Report--> writer: stdout
//!                     ^                       \--Report--> writer: stderr
//!                     \------- Ready ------------------------/
//! ```
//!
//! A writer gets the next report when it has shown the last one. Until then reports wait in the
//! [`Backlog`]. A stream that is stuck does not hold up the other.

use super::backlog::Backlog;
use crate::report::Report;
use crate::threads::{self, NoThread};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// What these threads do, as it follows on "to".
const PURPOSE: &str = "show how it goes";

/// A stream on which nothing was shown for this long is taken for one that nobody reads. To hand
/// over a report takes microseconds, and on a machine with ten times as much work as it can do,
/// tenths of a second.
const STUCK: Duration = Duration::from_secs(1);

/// Shows reports on one stream.
pub trait Screen: Send {
    /// Shows one report. May wait for ever.
    fn show(&mut self, report: &Report);

    /// When to call [`Self::refresh`], if no report comes before. `None`: never.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// Shows a change that was put off. May wait for ever.
    fn refresh(&mut self) {}
}

pub(crate) struct Stream {
    pub name: &'static str,
    /// Whether a report is for this stream.
    pub shows: Box<dyn Fn(&Report) -> bool + Send>,
    pub screen: Box<dyn Screen>,
}

enum Letter {
    Report(Report),
    /// The writer with this number has shown all its reports.
    Ready(usize),
    End,
}

pub(crate) struct Output {
    keeper: Sender<Letter>,
    /// Each writer says here that it has shown a report, if that was not yet heard of another.
    /// Disconnected when all is written.
    shown: Receiver<()>,
}

impl Output {
    pub(crate) fn start(streams: Vec<Stream>) -> Result<Self, NoThread> {
        let (keeper, letters) = unbounded();
        let (writing, shown) = bounded(1);
        let mut writers = Vec::new();
        for (
            number,
            Stream {
                name,
                shows,
                mut screen,
            },
        ) in streams.into_iter().enumerate()
        {
            let (reports, to_show) = unbounded();
            let (keeper, writing) = (keeper.clone(), writing.clone());
            let write = move || {
                loop {
                    match next(&to_show, screen.due()) {
                        Ok(report) => {
                            screen.show(&report);
                            let _ = writing.try_send(());
                        }
                        Err(RecvTimeoutError::Timeout) => {
                            screen.refresh();
                            continue;
                        }
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                    let _ = keeper.send(Letter::Ready(number));
                }
                drop((screen, writing));
            };
            // The keeper and main see the channels end with a lost thread.
            let lost = || ();
            threads::spawn(Builder::new().name(name.into()), PURPOSE, write, lost)?;
            writers.push(Writer {
                shows,
                backlog: Backlog::default(),
                reports: Some(reports),
                ready: true,
            });
        }
        let keep = move || keep(&letters, writers);
        threads::spawn(Builder::new().name("output".into()), PURPOSE, keep, || ())?;
        Ok(Self { keeper, shown })
    }

    /// Never waits.
    pub(crate) fn report(&self, report: Report) {
        let _ = self.keeper.send(Letter::Report(report));
    }

    /// Waits until all is written. After `deadline`, what is unread is dropped as soon as nobody
    /// has read anything for [`STUCK`]: a machine that is slow loses nothing.
    pub(crate) fn end(&self, deadline: Instant) {
        self.end_after(deadline, STUCK);
    }

    fn end_after(&self, deadline: Instant, stuck: Duration) {
        let _ = self.keeper.send(Letter::End);
        let mut limit = deadline;
        while let Ok(()) = self.shown.recv_deadline(limit) {
            limit = deadline.max(Instant::now() + stuck);
        }
    }
}

/// Waits for the next report, at most until `due`.
fn next(reports: &Receiver<Report>, due: Option<Instant>) -> Result<Report, RecvTimeoutError> {
    match due {
        Some(due) => reports.recv_deadline(due),
        None => reports.recv().map_err(RecvTimeoutError::from),
    }
}

/// A writer, as the keeper sees it.
struct Writer {
    shows: Box<dyn Fn(&Report) -> bool + Send>,
    backlog: Backlog,
    /// `None` after the writer was told that no more reports come.
    reports: Option<Sender<Report>>,
    ready: bool,
}

impl Writer {
    fn take(&mut self, report: &Report) {
        if (self.shows)(report) {
            self.backlog.push(report.clone());
        }
    }

    /// Sends the next report, if the writer is ready. At the `end`, closes the channel once nothing
    /// is left.
    fn hand_out(&mut self, end: bool) {
        if !self.ready {
            return;
        }
        match (self.backlog.pop(), &self.reports) {
            (Some(report), Some(reports)) => self.ready = reports.send(report).is_err(),
            (None, _) if end => self.reports = None,
            _ => {}
        }
    }
}

fn keep(letters: &Receiver<Letter>, mut writers: Vec<Writer>) {
    let mut end = false;
    for letter in letters {
        match letter {
            Letter::Report(report) => writers.iter_mut().for_each(|writer| writer.take(&report)),
            Letter::Ready(number) => {
                if let Some(writer) = writers.get_mut(number) {
                    writer.ready = true;
                }
            }
            Letter::End => end = true,
        }
        writers.iter_mut().for_each(|writer| writer.hand_out(end));
        if writers.iter().all(|writer| writer.reports.is_none()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::backlog::MAX_REMARKS;
    use super::super::tests::{added, complete, progress};
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(40);

    /// Reports what it shows. Shows nothing until its gate lets it.
    struct Gated {
        shown: Sender<Report>,
        gate: Receiver<()>,
    }

    impl Screen for Gated {
        fn show(&mut self, report: &Report) {
            // Dropping the other end opens the gate for good.
            let _ = self.gate.recv();
            let _ = self.shown.send(report.clone());
        }
    }

    /// A stream, what it shows, and its gate, which opens for good when dropped.
    fn gated() -> (Stream, Receiver<Report>, Sender<()>) {
        let ((shown, seen), (key, gate)) = (unbounded(), unbounded());
        let stream = Stream {
            name: "screen",
            shows: Box::new(|_| true),
            screen: Box::new(Gated { shown, gate }),
        };
        (stream, seen, key)
    }

    fn remark(number: usize) -> Report {
        Report::Remark(number.to_string())
    }

    #[test]
    fn nobody_waits_for_a_stream_that_is_stuck() {
        let (free, seen, _) = gated();
        let (stuck, late, gate) = gated();
        let output = Output::start(vec![stuck, free]).unwrap();
        output.report(added("x"));
        for number in 0..3 * MAX_REMARKS {
            output.report(Report::Progress(progress(number as u64)));
            output.report(remark(number));
            // Whatever the other stream does, this one shows each remark in its turn.
            let next = || seen.recv_timeout(PATIENCE).unwrap();
            while next() != remark(number) {}
        }
        output.report(complete());
        output.end(Instant::now());
        assert!(late.is_empty(), "it was let through");
        drop(gate);
        output.end(Instant::now() + PATIENCE);
        let late: Vec<Report> = late.try_iter().collect();
        assert_eq!(late.len(), 1 + MAX_REMARKS + 3, "{:?}", late.last());
        assert_eq!(late[..2], [added("x"), remark(0)]);
        assert_eq!(late[MAX_REMARKS], remark(MAX_REMARKS - 1));
        assert!(matches!(late[MAX_REMARKS + 1], Report::Warning { .. }));
        assert_eq!(late.last(), Some(&complete()));
    }

    #[test]
    fn at_the_end_all_is_shown_and_the_screens_are_gone() {
        let (one, seen, _) = gated();
        let output = Output::start(vec![one]).unwrap();
        (0..100).for_each(|number| output.report(remark(number)));
        output.end(Instant::now() + PATIENCE);
        assert!(seen.try_iter().eq((0..100).map(remark)));
        let end = seen.recv_timeout(PATIENCE);
        assert_eq!(end, Err(crossbeam_channel::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn who_reads_slowly_misses_nothing() {
        let (slow, seen, key) = gated();
        let output = Output::start(vec![slow]).unwrap();
        (0..50).for_each(|number| output.report(remark(number)));
        let read = move || {
            key.send(()).unwrap();
            seen.recv_timeout(PATIENCE).unwrap()
        };
        assert_eq!(read(), remark(0));
        let others = std::thread::spawn(move || (1..50).map(|_| read()).collect::<Vec<_>>());
        output.end_after(Instant::now(), PATIENCE);
        let writers = output.shown.try_recv();
        assert_eq!(writers, Err(crossbeam_channel::TryRecvError::Disconnected));
        assert!(others.join().unwrap().into_iter().eq((1..50).map(remark)));
    }

    #[test]
    fn what_is_not_for_a_stream_takes_none_of_its_room() {
        let (mut only, seen, gate) = gated();
        only.shows = Box::new(|report| !matches!(report, Report::Remark(_)));
        let output = Output::start(vec![only]).unwrap();
        (0..2 * MAX_REMARKS).for_each(|number| output.report(remark(number)));
        output.report(complete());
        drop(gate);
        output.end(Instant::now() + PATIENCE);
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), [complete()]);
    }
}
