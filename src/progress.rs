//! Shows the user how it goes: the [`Reporter`] of a run from the command line.
//!
//! There are three ways, and [`Display::new`] chooses: JSON lines on stdout for
//! programs ([`json`]), a line a torrent that changes in place for somebody at a
//! terminal ([`live`]), and a plain line now and then for logs ([`lines`]). Errors and
//! warnings go to stderr in all of them, an error always as `storrent: …`.
//!
//! A stdout or stderr that nobody reads any more never ends a download: what can't
//! be written is dropped.

mod json;
mod lines;
mod live;

use crate::human;
use crate::report::{Progress, Report, Reporter};
use crate::types::InfoHash;
use json::Json;
use lines::Lines;
use live::Live;
use std::io::{self, IsTerminal, Stderr, Stdout, Write};
use std::time::{Duration, Instant};

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
    /// The display that suits what stdout and stderr are.
    pub fn new(style: Style) -> Self {
        let screen = match () {
            () if style.json => Screen::Json(Json::new(io::stdout())),
            () if style.quiet => Screen::Nothing,
            () if is_terminal() => Screen::Live(Live::new()),
            () => Screen::Lines(Lines::new(io::stderr())),
        };
        Self { style, screen }
    }

    /// Says how things stand for those torrents that are not complete, and leaves
    /// the terminal tidy.
    pub fn end(&mut self) {
        match &mut self.screen {
            Screen::Live(live) => live.end(),
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
        Report::Error {
            source, message, ..
        } => {
            // A message about a SOURCE names it already, as a rule.
            let named = source
                .as_ref()
                .is_none_or(|source| message.contains(&**source));
            let source = if named {
                ""
            } else {
                source.as_deref().unwrap_or_default()
            };
            let colon = if named { "" } else { ": " };
            Some(format!(
                "storrent: {}{colon}{}",
                human::escaped(source),
                human::escaped(message)
            ))
        }
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

/// What the two displays for people know about one torrent, and how they say it.
#[derive(Debug, PartialEq)]
struct Row {
    info_hash: InfoHash,
    /// Safe to print.
    name: String,
    wanted: u64,
    files: usize,
    stage: Stage,
}

/// How far a torrent is.
#[derive(Debug, PartialEq)]
enum Stage {
    Added,
    Checking {
        done: u32,
        pieces: u32,
    },
    Running(Progress),
    Complete {
        downloaded: u64,
        uploaded: u64,
        seconds: f64,
    },
    /// Complete before, and goes on serving.
    Seeding(Progress),
    Failed,
}

impl Row {
    /// The row that a report begins, if it begins one.
    fn begun_by(report: &Report) -> Option<Self> {
        let Report::Added {
            info_hash,
            name,
            wanted_bytes,
            files,
            ..
        } = report
        else {
            return None;
        };
        Some(Self {
            info_hash: *info_hash,
            name: human::escaped(name),
            wanted: *wanted_bytes,
            files: *files,
            stage: Stage::Added,
        })
    }

    /// Takes a report about this torrent; false if it changes nothing here.
    fn take(&mut self, report: &Report) -> bool {
        self.stage = match report {
            Report::Checking { done, pieces, .. } => Stage::Checking {
                done: *done,
                pieces: *pieces,
            },
            Report::Progress(progress) => match self.stage {
                Stage::Complete { .. } | Stage::Seeding(_) => Stage::Seeding(progress.clone()),
                Stage::Failed => return false,
                _ => Stage::Running(progress.clone()),
            },
            Report::Complete {
                seconds,
                downloaded_bytes,
                uploaded_bytes,
                ..
            } => Stage::Complete {
                downloaded: *downloaded_bytes,
                uploaded: *uploaded_bytes,
                seconds: *seconds,
            },
            Report::Error { .. } => Stage::Failed,
            _ => return false,
        };
        true
    }

    /// What a torrent is when it begins.
    fn beginning(&self) -> String {
        let files = human::count(self.files as u64, "file");
        format!("{}: {} in {files}", self.name, human::size(self.wanted))
    }

    /// How it goes.
    fn now(&self) -> String {
        let rest = match &self.stage {
            Stage::Added => return self.beginning(),
            Stage::Checking { done, pieces } => {
                let part = human::percent(u64::from(*done), u64::from(*pieces));
                format!("checking what is on disk, {part}")
            }
            Stage::Running(progress) => running(progress),
            Stage::Complete {
                downloaded,
                uploaded,
                seconds,
            } => {
                let time = Duration::try_from_secs_f64(*seconds).unwrap_or_default();
                complete(self.wanted, *downloaded, *uploaded, time)
            }
            Stage::Seeding(progress) => seeding(progress),
            Stage::Failed => "failed".to_string(),
        };
        format!("{}: {rest}", self.name)
    }

    /// What is left to say when the program leaves; nothing, if all is said.
    fn ending(&self) -> Option<String> {
        let rest = match &self.stage {
            Stage::Complete { .. } | Stage::Failed => return None,
            Stage::Seeding(p) => format!("seeded; {}", uploaded(p)),
            Stage::Running(p) if p.have_bytes >= p.wanted_bytes => {
                format!("seeded; {}", uploaded(p))
            }
            Stage::Running(p) => {
                let part = human::percent(p.have_bytes, p.wanted_bytes);
                let whole = human::size(p.wanted_bytes);
                format!("{part} of {whole}, kept: the same command goes on from there")
            }
            Stage::Added | Stage::Checking { .. } => "left before the check was over".to_string(),
        };
        Some(format!("{}: {rest}", self.name))
    }
}

fn running(p: &Progress) -> String {
    let mut text = format!(
        "{} of {}",
        human::percent(p.have_bytes, p.wanted_bytes),
        human::size(p.wanted_bytes)
    );
    match &p.idle {
        Some(why) => text += &format!(", {}", human::escaped(why)),
        None => {
            text += &format!(", down {}", human::rate(p.download_rate));
            if p.upload_rate > 0 {
                text += &format!(", up {}", human::rate(p.upload_rate));
            }
            text += &format!(", {}", peers(p));
            let left = p.wanted_bytes.saturating_sub(p.have_bytes);
            if let Some(seconds) = left.checked_div(p.download_rate) {
                text += &format!(", {} left", human::duration(Duration::from_secs(seconds)));
            }
        }
    }
    text
}

fn peers(p: &Progress) -> String {
    let peers = human::count(p.peers as u64, "peer");
    match p.seeds {
        0 => peers,
        seeds => format!("{peers} ({})", human::count(seeds as u64, "seed")),
    }
}

fn seeding(p: &Progress) -> String {
    let rate = human::rate(p.upload_rate);
    format!("seeding, up {rate}, {}, {}", peers(p), uploaded(p))
}

fn uploaded(p: &Progress) -> String {
    let ratio = p.uploaded_bytes as f64 / p.wanted_bytes.max(1) as f64;
    format!(
        "{} uploaded, ratio {ratio:.2}",
        human::size(p.uploaded_bytes)
    )
}

fn complete(wanted: u64, downloaded: u64, uploaded: u64, time: Duration) -> String {
    let mut text = format!("complete, {}", human::size(wanted));
    if downloaded > 0 {
        let rate = downloaded as f64 / time.as_secs_f64().max(0.001);
        let (size, time) = (human::size(downloaded), human::duration(time));
        text += &format!(
            "; {size} downloaded in {time} ({})",
            human::rate(rate as u64)
        );
    }
    if uploaded > 0 {
        text += &format!("; {} uploaded", human::size(uploaded));
    }
    text
}

/// The torrent that a report is about, if it is about one.
fn about(report: &Report) -> Option<InfoHash> {
    match report {
        Report::Added { info_hash, .. }
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
            downloaded_bytes: have_bytes,
            uploaded_bytes: 1024,
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
    fn what_is_said_about_a_torrent() {
        let idle = Progress {
            idle: Some("no peers:\u{1b} none".into()),
            ..progress(0)
        };
        let silent = Progress {
            download_rate: 0,
            upload_rate: 7,
            ..progress(0)
        };
        let checking = Report::Checking {
            info_hash: HASH,
            done: 1,
            pieces: 4,
        };
        let kept = "50.0 % of 2.00 KiB, kept: the same command goes on from there";
        let early = Some("left before the check was over");
        let cases = [
            (vec![], "2.00 KiB in 2 files", early),
            (vec![checking], "checking what is on disk, 25.0 %", early),
            (
                vec![Report::Progress(progress(1024))],
                "50.0 % of 2.00 KiB, down 512 B/s, 3 peers (1 seed), 2 s left",
                Some(kept),
            ),
            (
                vec![Report::Progress(idle)],
                "0.0 % of 2.00 KiB, no peers:\\u{1b} none",
                Some("0.0 % of 2.00 KiB, kept: the same command goes on from there"),
            ),
            (
                vec![Report::Progress(silent)],
                "0.0 % of 2.00 KiB, down 0 B/s, up 7 B/s, 3 peers (1 seed)",
                Some("0.0 % of 2.00 KiB, kept: the same command goes on from there"),
            ),
            (
                vec![complete()],
                "complete, 2.00 KiB; 4.00 KiB downloaded in 2 s (2.00 KiB/s)",
                None,
            ),
            (
                vec![complete(), Report::Progress(progress(2048))],
                "seeding, up 0 B/s, 3 peers (1 seed), 1.00 KiB uploaded, ratio 0.50",
                Some("seeded; 1.00 KiB uploaded, ratio 0.50"),
            ),
            (vec![error(), Report::Progress(progress(0))], "failed", None),
        ];
        for (reports, now, ending) in cases {
            let mut row = Row::begun_by(&added("a\nb")).unwrap();
            reports.iter().for_each(|report| _ = row.take(report));
            assert_eq!(row.now(), format!("a\\nb: {now}"));
            assert_eq!(row.ending(), ending.map(|text| format!("a\\nb: {text}")));
        }
    }

    #[test]
    fn what_stderr_gets() {
        let unread = |message: &str| Report::Error {
            info_hash: None,
            source: Some("x.torrent".into()),
            message: message.into(),
        };
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
            (
                unread("cannot read x.torrent"),
                plain,
                Some("storrent: cannot read x.torrent"),
            ),
            (
                unread("no file"),
                plain,
                Some("storrent: x.torrent: no file"),
            ),
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
