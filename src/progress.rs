//! Shows the user how it goes: the [`Reporter`] of a run from the command line.
//!
//! There are three ways, and [`Display::new`] chooses: JSON lines on stdout for
//! programs ([`json`]), a line a torrent that changes in place for somebody at a
//! terminal ([`live`]), and a plain line now and then for logs ([`lines`]). Errors and
//! warnings go to stderr in all of them, an error always as `storrent: …`.
//!
//! A stdout or stderr that nobody reads any more never ends a download: what can't
//! be written is dropped.

pub mod json;
pub mod lines;
pub mod live;
pub mod row;

use crate::human;
use crate::report::{Report, Reporter};
use crate::types::InfoHash;
use json::Json;
use lines::Lines;
use live::Live;
use std::io::{self, IsTerminal, Stderr, Stdout, Write};
use std::time::Instant;

/// How much is said, and how: `--json`, `-q`, `-v`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// JSON lines on stdout instead of a display.
    pub json: bool,
    /// Errors only.
    pub quiet: bool,
    /// How many `-v`.
    pub verbose: u8,
}

/// Shows the reports of one run.
pub struct Display {
    style: Style,
    screen: Screen,
}

enum Screen {
    Json(Json<Stdout>),
    Live(Live),
    Lines(Lines<Stderr>),
    Nothing,
}

impl Display {
    /// The display that suits what the user asked for and what stderr is.
    pub fn new(style: Style) -> Self {
        let screen = match () {
            () if style.json => Screen::Json(Json::new(io::stdout())),
            () if style.quiet => Screen::Nothing,
            () if is_terminal() => Screen::Live(Live::on_stderr()),
            () => Screen::Lines(Lines::new(io::stderr())),
        };
        Self { style, screen }
    }

    /// Lets `write` print something, with the display out of its way.
    pub fn aside(&self, write: impl FnOnce()) {
        match &self.screen {
            Screen::Live(live) => live.aside(write),
            _ => write(),
        }
    }

    /// Says how things stand for those torrents that are not complete, and leaves
    /// the terminal tidy.
    pub fn end(&mut self) {
        match &mut self.screen {
            Screen::Live(live) => live.end().iter().for_each(|line| complain(line)),
            Screen::Lines(lines) => lines.end(),
            Screen::Json(_) | Screen::Nothing => {}
        }
    }
}

impl Reporter for Display {
    fn report(&mut self, report: Report) {
        if let Some(line) = message(&report, self.style) {
            match &self.screen {
                Screen::Live(live) => live.print(&line),
                _ => complain(&line),
            }
        }
        match &mut self.screen {
            Screen::Json(json) => json.report(&report),
            Screen::Live(live) => live.report(&report),
            Screen::Lines(lines) => lines.report(&report, Instant::now()),
            Screen::Nothing => {}
        }
    }
}

/// Whether stderr is something on which a line can change in place.
fn is_terminal() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// One line that changes in place, for a job that is no download: whatever its message
/// is. It shows nothing if it is not `wanted` or stderr is no terminal.
pub fn bar(wanted: bool) -> indicatif::ProgressBar {
    match wanted && is_terminal() {
        true => live::line(),
        false => indicatif::ProgressBar::hidden(),
    }
}

/// A line on stderr. `eprintln!` would panic if nobody reads it.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The line on stderr that a report gives in every way of showing, if one.
fn message(report: &Report, style: Style) -> Option<String> {
    match report {
        Report::Error { message, .. } => Some(format!("storrent: {}", human::escaped(message))),
        Report::Warning { message, .. } if !style.quiet => {
            Some(format!("storrent: warning: {}", human::escaped(message)))
        }
        Report::Detail { level, message } if *level <= style.verbose => {
            Some(human::escaped(message))
        }
        Report::Listening { port } if style.verbose > 0 => {
            Some(format!("accepting peers on port {port}"))
        }
        _ => None,
    }
}

/// The torrent that a report is about, if it is about one.
fn about(report: &Report) -> Option<InfoHash> {
    match report {
        Report::Linked { info_hash, .. }
        | Report::Added { info_hash, .. }
        | Report::Metadata { info_hash, .. }
        | Report::Checking { info_hash, .. }
        | Report::Checked { info_hash, .. }
        | Report::Complete { info_hash, .. } => Some(*info_hash),
        Report::Progress(progress) => Some(progress.info_hash),
        Report::Warning { info_hash, .. } | Report::Error { info_hash, .. } => *info_hash,
        Report::Listening { .. } | Report::Detail { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Progress;

    /// Something of everything, for the tests of the three ways.
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
        let detail = Report::Detail {
            level: 2,
            message: "thread".into(),
        };
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
            (detail.clone(), plain, None),
            (detail, verbose, Some("thread")),
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
