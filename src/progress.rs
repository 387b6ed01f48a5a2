//! Shows the user how the torrents are doing: the [`Reporter`] of a run from the command line.
//!
//! [`Display::new`] chooses one of three ways: JSON lines on stdout for programs ([`json`]), a row
//! per torrent that changes in place on a terminal ([`live`] draws what [`frame`] decides), or a
//! plain line now and then for logs ([`lines`]). Errors and warnings go to stderr in all three, an
//! error always as `storrent: …`.
//!
//! A download does not wait for a reader: separate threads write to stdout and stderr ([`output`]),
//! and unread reports wait in a [`backlog`] that stays small. Output to a closed stream is dropped.

pub(crate) mod backlog;
mod frame;
mod idle;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod live;
pub(crate) mod output;
pub(crate) mod row;
pub(crate) mod sentence;
mod terminal;
pub(crate) mod text;
pub(crate) mod tracefile;
pub(crate) mod written;

use crate::human;
use crate::report::{Report, Reporter};
use crate::threads::{ADVICE, NoThread};
use crate::types::InfoHash;
use json::Json;
use lines::Lines;
use live::Live;
use output::{Output, Screen, Stream};
use sentence::Sentences;
use std::io::{self, Stderr};
use std::time::{Duration, Instant};
pub(crate) use terminal::Colour;
use terminal::Terminal;
use text::Paint;
use tracefile::TraceFile;
use written::Written;

/// At the end of a run without a goodbye, unread output is dropped after this time.
const UNREAD_FOR: Duration = Duration::from_secs(3);

/// Unread output waits at least this long, even after a long goodbye: a reader must get the last
/// line.
const LAST_LINES: Duration = Duration::from_millis(500);

/// No thread could be started to show anything.
#[derive(Debug, thiserror::Error)]
#[error("{}; {ADVICE}", human::chain(.0))]
pub(crate) struct OutputError(NoThread);

/// What the user hears, and in which form: `--json`, `-q`, `-v`, `--color`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    /// JSON lines on stdout instead of a display.
    pub json: bool,
    pub quiet: bool,
    /// How many `-v`.
    pub verbose: u8,
    pub colour: Colour,
}

/// Passes the reports of one run to the threads that write.
pub(crate) struct Display {
    output: Output,
    verbose: u8,
    trace: Option<TraceFile>,
    /// When unread output is dropped. `None`: [`UNREAD_FOR`] after the end.
    deadline: Option<Instant>,
}

impl Display {
    /// The display that suits the user's options and the kind of stderr. `-q` wins over `-v`.
    pub(crate) fn new(mut style: Style) -> Result<Self, OutputError> {
        if style.quiet {
            style.verbose = 0;
        }
        let terminal = Terminal::of_stderr(style.colour);
        let rows = if style.json || style.quiet {
            Rows::Hidden
        } else if terminal.moves {
            Rows::Live(Live::on_stderr(terminal))
        } else {
            Rows::Lines(Lines::new(Written(io::stderr()), terminal.colour))
        };
        let people = People {
            style,
            rows,
            colour: terminal.colour,
            sentences: Sentences::default(),
        };
        let mut streams = vec![people.stream()];
        if style.json {
            streams.push(Stream {
                name: "stdout",
                shows: Box::new(json::has_line),
                screen: Box::new(Json::new(Written(io::stdout()))),
            });
        }
        let output = Output::start(streams).map_err(OutputError)?;
        Ok(Self {
            output,
            verbose: style.verbose,
            trace: None,
            deadline: None,
        })
    }

    pub(crate) fn trace(&mut self, trace: TraceFile) {
        self.trace = Some(trace);
    }

    fn check_trace(&mut self, done: Result<(), String>) {
        if let Err(message) = done {
            self.trace = None;
            let info_hash = None;
            self.output.report(Report::Warning { info_hash, message });
        }
    }

    /// Shows the state of each torrent that is not complete, and leaves the terminal tidy. Waits
    /// until this is written, at most until `deadline` (`None`: for 3 s), but 0.5 s in any case.
    pub(crate) fn end(mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }
}

impl Drop for Display {
    /// Waits, so that later output comes after the unread rest.
    fn drop(&mut self) {
        let now = Instant::now();
        let deadline = self.deadline.unwrap_or(now + UNREAD_FOR);
        let deadline = deadline.max(now + LAST_LINES);
        if let Some(trace) = self.trace.take() {
            let done = trace.end(deadline);
            self.check_trace(done);
        }
        self.output.report(Report::Over);
        self.output.end(deadline.max(Instant::now() + LAST_LINES));
    }
}

impl Reporter for Display {
    fn report(&mut self, report: Report) {
        let written = match (&mut self.trace, &report) {
            (None, _) => Ok(()),
            (Some(trace), Report::Trace(event)) => trace.write(event),
            (Some(trace), _) => trace.flush(),
        };
        self.check_trace(written);
        // The threads need not wake up for a fact that nobody sees.
        if !matches!(&report, Report::Trace(event) if sentence::level(&event.fact) > self.verbose) {
            self.output.report(report);
        }
    }
}

/// What people see on stderr: messages, and the state of the torrents.
struct People {
    style: Style,
    rows: Rows,
    colour: bool,
    sentences: Sentences,
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
            Report::Said(_) | Report::Trace(_) | Report::Leaving | Report::Over => true,
            _ => message(report, style).is_some() || !hidden && about(report).is_some(),
        };
        Stream {
            name: "stderr",
            shows: Box::new(shows),
            screen: Box::new(self),
        }
    }

    /// Calls `write`, which prints something, while the live display is hidden.
    fn aside(&mut self, write: impl FnOnce()) {
        match &mut self.rows {
            Rows::Live(live) => live.aside(write),
            _ => write(),
        }
    }
}

impl Screen for People {
    fn show(&mut self, report: &Report) {
        if let Some(line) = message(report, self.style) {
            let line = match self.colour {
                true => coloured(&line),
                false => line,
            };
            self.aside(|| complain(&line));
        }
        self.sentences.hear(report);
        match report {
            Report::Trace(event) => {
                if let Some(line) = self.sentences.tell(event, self.style.verbose) {
                    self.aside(|| complain(&line));
                }
            }
            // On stdout, but from this thread, because the live display must be hidden.
            Report::Said(text) => self.aside(|| Written(io::stdout()).line(text)),
            Report::Over => match &mut self.rows {
                Rows::Live(live) => live.end(),
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

    fn due(&self) -> Option<Instant> {
        match &self.rows {
            Rows::Live(live) => live.due(),
            _ => None,
        }
    }

    fn refresh(&mut self) {
        if let Rows::Live(live) = &mut self.rows {
            live.draw();
        }
    }
}

/// A row that says how far the hashing of a job without a download is. It vanishes when this is
/// dropped.
pub(crate) struct Hashing {
    output: Option<Output>,
    pieces: u32,
}

impl Hashing {
    /// Shows a row for `pieces` pieces of the torrent called `name`. It stays hidden if it is not
    /// `wanted`, stderr is no terminal, or no thread can be started.
    pub(crate) fn of(name: &str, pieces: u32, wanted: bool) -> Self {
        let terminal = Terminal::of_stderr(Colour::Auto);
        if !wanted || !terminal.moves {
            let output = None;
            return Self { output, pieces };
        }
        let stream = Stream {
            name: "stderr",
            shows: Box::new(|_| true),
            screen: Box::new(Alone(Live::on_stderr(terminal))),
        };
        let output = Output::start(vec![stream]).ok();
        if let Some(output) = &output {
            output.report(Report::Linked {
                info_hash: ONLY,
                name: Some(name.to_string()),
            });
        }
        let hashing = Self { output, pieces };
        hashing.progress(0);
        hashing
    }

    /// `done` pieces are hashed by now. For any thread.
    pub(crate) fn progress(&self, done: u32) {
        if let Some(output) = &self.output {
            output.report(Report::Checking {
                info_hash: ONLY,
                done,
                pieces: self.pieces,
            });
        }
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        if let Some(output) = &self.output {
            output.report(Report::Over);
            output.end(Instant::now() + LAST_LINES);
        }
    }
}

/// The one torrent of a display. Nobody sees this hash.
const ONLY: InfoHash = InfoHash([0; 20]);

/// A display without messages and last lines.
struct Alone(Live);

impl Screen for Alone {
    fn show(&mut self, report: &Report) {
        match report {
            Report::Over => self.0.vanish(),
            report => self.0.report(report),
        }
    }

    fn due(&self) -> Option<Instant> {
        self.0.due()
    }

    fn refresh(&mut self) {
        self.0.draw();
    }
}

/// Colours a message, but not its beginning, for those who search for it.
fn coloured(line: &str) -> String {
    const WE: &str = "storrent: ";
    const WARNING: &str = "warning:";
    match line.strip_prefix(WE) {
        None => line.to_string(),
        Some(rest) => match rest.strip_prefix(WARNING) {
            Some(rest) => format!("{WE}{}{rest}", Paint::Odd.on(WARNING)),
            None => format!("{WE}{}", Paint::Bad.on(rest)),
        },
    }
}

/// Writes a line to stderr. `eprintln!` would panic if nobody reads it.
pub(crate) fn complain(line: &str) {
    Written(io::stderr()).line(line);
}

/// The line that a report puts on stderr in every display, if any.
fn message(report: &Report, style: Style) -> Option<String> {
    match report {
        Report::Error { message, .. } => Some(format!("storrent: {}", human::escaped(message))),
        Report::Warning { message, .. } if !style.quiet => {
            Some(format!("storrent: warning: {}", human::escaped(message)))
        }
        Report::GaveUp { name, why, .. } => Some(format!(
            "storrent: {}",
            human::escaped(&idle::gave_up(name, why))
        )),
        Report::Remark(text) if style.verbose > 0 => Some(human::escaped(text)),
        Report::Listening { port } if style.verbose > 0 => {
            Some(format!("accepting peers on port {port}"))
        }
        _ => None,
    }
}

/// The torrent that a report is about, if any.
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
        Report::Listening { .. }
        | Report::Remark(_)
        | Report::Said(_)
        | Report::Leaving
        | Report::Over => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Giver, Idle, Progress, Tried};

    /// For the tests of all three displays.
    pub(super) const HASH: InfoHash = InfoHash([0xab; 20]);

    pub(super) fn added(name: &str) -> Report {
        Report::Added {
            info_hash: HASH,
            name: name.to_string(),
            path: "down/x".into(),
            total_bytes: 4096,
            wanted_bytes: 2048,
            piece_length: 1024,
            pieces: 4,
            files: 2,
            wanted_files: 1,
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

    /// The system's message has control characters.
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
            twice_bytes: 1024,
            givers: vec![giver(Some("Abc 1.0"), 3072), giver(None, 1024)],
        }
    }

    fn giver(name: Option<&str>, bytes: u64) -> Giver {
        let name = name.map(str::to_string);
        Giver { name, bytes }
    }

    pub(super) fn checking(done: u32, pieces: u32) -> Report {
        Report::Checking {
            info_hash: HASH,
            done,
            pieces,
        }
    }

    pub(super) fn checked() -> Report {
        Report::Checked {
            info_hash: HASH,
            have_pieces: 0,
            pieces: 4,
            have_bytes: 0,
            path: "down/x_".into(),
        }
    }

    pub(super) fn gave_up() -> Report {
        Report::GaveUp {
            info_hash: HASH,
            name: "x".into(),
            why: no_way(),
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
    fn a_coloured_message_begins_as_any_other() {
        let warning = "storrent: \x1b[35mwarning:\x1b[0m odd";
        assert_eq!(coloured("storrent: warning: odd"), warning);
        assert_eq!(coloured("storrent: no"), "storrent: \x1b[31mno\x1b[0m");
        assert_eq!(coloured("10.0.0.7:1: connected"), "10.0.0.7:1: connected");
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
            (
                gave_up(),
                quiet,
                Some(
                    "storrent: x: gave up, as nothing came for the time of --stall-timeout: \
                     no\\u{1b} way; 1 peer sends nothing",
                ),
            ),
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
