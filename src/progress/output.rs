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
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use std::convert::Infallible;
use std::thread::Builder;
use std::time::Instant;

/// What these threads do, as it follows on "to".
const PURPOSE: &str = "show how it goes";

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
    /// Disconnected when all is written.
    unwritten: Receiver<Infallible>,
}

impl Output {
    pub(crate) fn start(streams: Vec<Stream>) -> Result<Self, NoThread> {
        let (keeper, letters) = unbounded();
        let (writing, unwritten) = unbounded();
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
                        Ok(report) => screen.show(&report),
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
                reports,
                ready: true,
            });
        }
        let keep = move || keep(&letters, writers);
        threads::spawn(Builder::new().name("output".into()), PURPOSE, keep, || ())?;
        Ok(Self { keeper, unwritten })
    }

    /// Never waits.
    pub(crate) fn report(&self, report: Report) {
        let _ = self.keeper.send(Letter::Report(report));
    }

    /// Waits until all is written, but not beyond `deadline`. What is unread by then is dropped.
    pub(crate) fn end(&self, deadline: Instant) {
        let _ = self.keeper.send(Letter::End);
        let _ = self.unwritten.recv_deadline(deadline);
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
    reports: Sender<Report>,
    ready: bool,
}

impl Writer {
    fn take(&mut self, report: &Report) {
        if (self.shows)(report) {
            self.backlog.push(report.clone());
        }
    }

    /// Sends the next report, if the writer is ready.
    fn hand_out(&mut self) {
        if self.ready
            && let Some(report) = self.backlog.pop()
        {
            self.ready = self.reports.send(report).is_err();
        }
    }

    /// Sends all that is left. Nothing newer comes that could replace a report, and one at a time
    /// would take two switches of threads for each: on a busy machine more time than there is at
    /// the end.
    fn hand_out_all(mut self) {
        while let Some(report) = self.backlog.pop() {
            let _ = self.reports.send(report);
        }
    }
}

fn keep(letters: &Receiver<Letter>, mut writers: Vec<Writer>) {
    for letter in letters {
        match letter {
            Letter::Report(report) => writers.iter_mut().for_each(|writer| writer.take(&report)),
            Letter::Ready(number) => {
                if let Some(writer) = writers.get_mut(number) {
                    writer.ready = true;
                }
            }
            Letter::End => return writers.into_iter().for_each(Writer::hand_out_all),
        }
        writers.iter_mut().for_each(Writer::hand_out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::backlog::MAX_REMARKS;
    use super::super::tests::{added, complete, progress};
    use super::*;
    use std::time::Duration;

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
    fn one_report_at_a_time_is_handed_out_and_at_the_end_all() {
        let (reports, handed_out) = unbounded();
        let mut writer = Writer {
            shows: Box::new(|_| true),
            backlog: Backlog::default(),
            reports,
            ready: true,
        };
        for number in 0..50 {
            writer.take(&remark(number));
            writer.hand_out();
        }
        assert_eq!(handed_out.len(), 1, "it is not ready for a second one");
        writer.hand_out_all();
        assert!(handed_out.iter().eq((0..50).map(remark)));
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
