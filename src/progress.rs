//! Shows the user how the torrents are doing: the [`Reporter`] of a run from the command line.
//!
//! [`Display::new`] chooses one of three ways: JSON lines on stdout for programs ([`json`]), one
//! line per torrent that changes in place on a terminal ([`live`]), or plain lines now and then
//! for logs ([`lines`]). In all of them errors and warnings go to stderr, an error always as
//! `storrent: …`.
//!
//! If nobody reads stdout or stderr, the download still goes on: separate threads write to them
//! ([`output`]), and unread reports wait in a [`backlog`] that stays small. If a stream is
//! closed, what can't be written is dropped.

pub(crate) mod backlog;
mod idle;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod live;
pub(crate) mod output;
pub(crate) mod row;
pub(crate) mod written;

use crate::human;
use crate::report::{Report, Reporter};
use crate::threads::{ADVICE, NoThread};
use crate::types::InfoHash;
use json::Json;
use lines::Lines;
use live::Live;
use output::{Output, Screen, Stream};
use std::io::{self, IsTerminal, Stderr};
use std::time::{Duration, Instant};
use written::Written;

/// At the end of a run without a goodbye, unread output is dropped after this long.
const UNREAD_FOR: Duration = Duration::from_secs(3);

/// Unread output waits at least this long, even if the goodbye used up all of its time: a reader
/// must get the last line.
const LAST_LINES: Duration = Duration::from_millis(500);

/// No thread could be started that shows anything.
#[derive(Debug, thiserror::Error)]
#[error("{}; {ADVICE}", human::chain(.0))]
pub(crate) struct OutputError(NoThread);

/// What the user hears, and in which form: `--json`, `-q`, `-v`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    /// JSON lines on stdout instead of a display.
    pub json: bool,
    /// Errors only.
    pub quiet: bool,
    /// How many `-v`.
    pub verbose: u8,
}

/// Passes the reports of one run to the threads that write.
pub(crate) struct Display {
    output: Output,
    /// When unread output is dropped. `None`: [`UNREAD_FOR`] after the end.
    deadline: Option<Instant>,
}

impl Display {
    /// The display that suits the user's options and the kind of stderr.
    pub(crate) fn new(style: Style) -> Result<Self, OutputError> {
        let rows = if style.json || style.quiet {
            Rows::Hidden
        } else if is_terminal() {
            Rows::Live(Live::on_stderr())
        } else {
            Rows::Lines(Lines::new(Written(io::stderr())))
        };
        let mut streams = vec![People { style, rows }.stream()];
        if style.json {
            streams.push(Stream {
                name: "stdout",
                shows: Box::new(json::has_line),
                screen: Box::new(Json::new(Written(io::stdout()))),
            });
        }
        let output = Output::start(streams).map_err(OutputError)?;
        let deadline = None;
        Ok(Self { output, deadline })
    }

    /// Shows the state of each torrent that is not complete, and leaves the terminal tidy. Waits
    /// until this is written, but at most until `deadline` (`None`: for 3 s), or for 0.5 s if
    /// that is later: somebody who does not read must not hold us up.
    pub(crate) fn end(mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }
}

impl Drop for Display {
    /// Waits, so that later output comes after what is still unread here.
    fn drop(&mut self) {
        let now = Instant::now();
        let deadline = self.deadline.unwrap_or(now + UNREAD_FOR);
        self.output.report(Report::Over);
        self.output.end(deadline.max(now + LAST_LINES));
    }
}

impl Reporter for Display {
    fn report(&mut self, report: Report) {
        self.output.report(report);
    }
}

/// What people see on stderr: messages, and the state of the torrents.
struct People {
    style: Style,
    rows: Rows,
}

enum Rows {
    Live(Live),
    Lines(Lines<Written<Stderr>>),
    Hidden,
}

impl People {
    fn stream(self) -> Stream {
        let (style, hidden) = (self.style, matches!(self.rows, Rows::Hidden));
        let shows = move |report: &Report| match report {
            Report::Said(_) | Report::Over => true,
            _ => message(report, style).is_some() || !hidden && about(report).is_some(),
        };
        Stream {
            name: "stderr",
            shows: Box::new(shows),
            screen: Box::new(self),
        }
    }

    /// Calls `write`, which prints something, while the live display is hidden.
    fn aside(&self, write: impl FnOnce()) {
        match &self.rows {
            Rows::Live(live) => live.aside(write),
            _ => write(),
        }
    }
}

impl Screen for People {
    fn show(&mut self, report: &Report) {
        if let Some(line) = message(report, self.style) {
            self.aside(|| complain(&line));
        }
        match report {
            // On stdout, but from this thread, because the live display must be hidden.
            Report::Said(text) => self.aside(|| Written(io::stdout()).line(text)),
            Report::Over => match &mut self.rows {
                Rows::Live(live) => live.end().iter().for_each(|line| complain(line)),
                Rows::Lines(lines) => lines.end(),
                Rows::Hidden => {}
            },
            report => match &mut self.rows {
                Rows::Live(live) => live.report(report),
                Rows::Lines(lines) => lines.report(report, Instant::now()),
                Rows::Hidden => {}
            },
        }
    }
}

/// Whether stderr can show a line that changes in place.
fn is_terminal() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A line that changes in place, for a job that is no download; its caller sets the message.
/// Hidden if it is not `wanted` or stderr is no terminal.
pub(crate) fn bar(wanted: bool) -> indicatif::ProgressBar {
    if wanted && is_terminal() {
        live::line()
    } else {
        indicatif::ProgressBar::hidden()
    }
}

/// Writes a line to stderr. `eprintln!` would panic if nobody reads it.
pub(crate) fn complain(line: &str) {
    Written(io::stderr()).line(line);
}

/// Returns the line that a report puts on stderr whatever the display, if any.
fn message(report: &Report, style: Style) -> Option<String> {
    match report {
        Report::Error { message, .. } => Some(format!("storrent: {}", human::escaped(message))),
        Report::Warning { message, .. } if !style.quiet => {
            Some(format!("storrent: warning: {}", human::escaped(message)))
        }
        Report::GaveUp { why, .. } if !style.quiet => Some(format!(
            "storrent: warning: {}",
            human::escaped(&idle::gave_up(why))
        )),
        Report::Remark(text) if style.verbose > 0 => Some(human::escaped(text)),
        Report::Listening { port } if style.verbose > 0 => {
            Some(format!("accepting peers on port {port}"))
        }
        _ => None,
    }
}

/// Returns the torrent that a report is about, if any.
fn about(report: &Report) -> Option<InfoHash> {
    match report {
        Report::Linked { info_hash, .. }
        | Report::Added { info_hash, .. }
        | Report::Metadata { info_hash, .. }
        | Report::Checking { info_hash, .. }
        | Report::Checked { info_hash, .. }
        | Report::GaveUp { info_hash, .. }
        | Report::Complete { info_hash, .. } => Some(*info_hash),
        Report::Progress(progress) => Some(progress.info_hash),
        Report::Warning { info_hash, .. } | Report::Error { info_hash, .. } => *info_hash,
        Report::Trace(event) => event.torrent,
        Report::Listening { .. } | Report::Remark(_) | Report::Said(_) | Report::Over => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Idle, Progress, Tried};

    /// Samples of reports, for the tests of all three displays.
    pub(super) const HASH: InfoHash = InfoHash([0xab; 20]);

    pub(super) fn added(name: &str) -> Report {
        Report::Added {
            info_hash: HASH,
            name: name.to_string(),
            total_bytes: 4096,
            wanted_bytes: 2048,
            piece_length: 1024,
            pieces: 4,
            files: 2,
        }
    }

    pub(super) fn progress(have_bytes: u64) -> Progress {
        Progress {
            info_hash: HASH,
            have_bytes,
            wanted_bytes: 2048,
            download_rate: 512,
            upload_rate: 0,
            peers: 3,
            seeds: 1,
            web_seeds: 0,
            downloaded_bytes: have_bytes,
            uploaded_bytes: 1024,
            seeding: false,
            idle: None,
        }
    }

    /// Nothing comes, as the system says with control characters.
    pub(super) fn no_way() -> Idle {
        Idle::Tried(Box::new(Tried {
            no_way: Some("no\u{1b} way".into()),
            silent: 1,
            ..Tried::default()
        }))
    }

    pub(super) fn complete() -> Report {
        Report::Complete {
            info_hash: HASH,
            seconds: 2.0,
            downloaded_bytes: 4096,
            uploaded_bytes: 0,
        }
    }

    pub(super) fn error() -> Report {
        Report::Error {
            info_hash: Some(HASH),
            source: None,
            message: "disk full".to_string(),
        }
    }

    #[test]
    fn what_stderr_gets() {
        let warning = Report::Warning {
            info_hash: None,
            message: "odd\r".into(),
        };
        let remark = Report::Remark("thread".into());
        let (plain, quiet) = (
            Style::default(),
            Style {
                quiet: true,
                ..Style::default()
            },
        );
        let verbose = Style {
            verbose: 2,
            ..plain
        };
        let cases = [
            (error(), quiet, Some("storrent: disk full")),
            (warning.clone(), plain, Some("storrent: warning: odd\\r")),
            (warning, quiet, None),
            (remark.clone(), plain, None),
            (remark, verbose, Some("thread")),
            (
                Report::Listening { port: 7 },
                verbose,
                Some("accepting peers on port 7"),
            ),
            (complete(), verbose, None),
        ];
        for (report, style, line) in cases {
            assert_eq!(message(&report, style).as_deref(), line, "{report:?}");
        }
    }
}
