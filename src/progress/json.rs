//! `--json`: one JSON object per line on stdout. `README.md` has examples.

use super::idle;
use super::output::Screen;
use crate::human;
use crate::report::{Idle, Report};
use serde::Serialize;
use std::borrow::Cow;
use std::io::Write;

/// Writes reports as JSON lines.
pub struct Json<W> {
    out: W,
}

/// The lines. Keys may be added, but never removed or renamed.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    Listening {
        port: u16,
    },
    Added {
        info_hash: String,
        path: Cow<'a, str>,
        name: &'a str,
        total_bytes: u64,
        wanted_bytes: u64,
        piece_length: u32,
        pieces: u32,
        files: usize,
    },
    Checked {
        info_hash: String,
        have_pieces: u32,
        pieces: u32,
        have_bytes: u64,
    },
    Progress {
        info_hash: String,
        have_bytes: u64,
        wanted_bytes: u64,
        download_rate: u64,
        upload_rate: u64,
        peers: usize,
        seeds: usize,
        downloaded_bytes: u64,
        uploaded_bytes: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    Complete {
        info_hash: String,
        seconds: f64,
        downloaded_bytes: u64,
        uploaded_bytes: u64,
    },
    Warning(Message<'a>),
    Error(Message<'a>),
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    info_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    message: Cow<'a, str>,
}

impl<'a> Line<'a> {
    /// `None` for a report that is for people only.
    // Long: a table of the reports and their keys.
    fn of(report: &'a Report) -> Option<Self> {
        Some(match report {
            Report::Listening { port } => Self::Listening { port: *port },
            Report::Added {
                info_hash,
                name,
                total_bytes,
                wanted_bytes,
                piece_length,
                pieces,
                files,
                path,
                ..
            } => Self::Added {
                info_hash: info_hash.to_string(),
                path: path.to_string_lossy(),
                name,
                total_bytes: *total_bytes,
                wanted_bytes: *wanted_bytes,
                piece_length: *piece_length,
                pieces: *pieces,
                files: *files,
            },
            Report::Checked {
                info_hash,
                have_pieces,
                pieces,
                have_bytes,
                path: _,
            } => Self::Checked {
                info_hash: info_hash.to_string(),
                have_pieces: *have_pieces,
                pieces: *pieces,
                have_bytes: *have_bytes,
            },
            Report::Progress(p) => Self::Progress {
                info_hash: p.info_hash.to_string(),
                have_bytes: p.have_bytes,
                wanted_bytes: p.wanted_bytes,
                download_rate: p.download_rate,
                upload_rate: p.upload_rate,
                peers: p.peers,
                seeds: p.seeds,
                downloaded_bytes: p.downloaded_bytes,
                uploaded_bytes: p.uploaded_bytes,
                reason: p.idle.as_ref().map(Idle::to_string),
            },
            Report::Complete {
                info_hash,
                seconds,
                downloaded_bytes,
                uploaded_bytes,
                ..
            } => Self::Complete {
                info_hash: info_hash.to_string(),
                seconds: *seconds,
                downloaded_bytes: *downloaded_bytes,
                uploaded_bytes: *uploaded_bytes,
            },
            Report::Warning { info_hash, message } => Self::Warning(Message {
                info_hash: info_hash.map(|hash| hash.to_string()),
                source: None,
                message: message.into(),
            }),
            Report::GaveUp {
                info_hash,
                name,
                why,
            } => Self::Error(Message {
                info_hash: Some(info_hash.to_string()),
                source: None,
                message: idle::gave_up(name, why).into(),
            }),
            Report::Error {
                info_hash,
                source,
                message,
            } => Self::Error(Message {
                info_hash: info_hash.map(|hash| hash.to_string()),
                source: source.as_deref(),
                message: message.into(),
            }),
            Report::Linked { .. }
            | Report::Metadata { .. }
            | Report::Checking { .. }
            | Report::Trace(_)
            | Report::Remark(_)
            | Report::Said(_)
            | Report::Leaving
            | Report::Over => return None,
        })
    }
}

/// Whether a report becomes a line.
pub(crate) fn has_line(report: &Report) -> bool {
    Line::of(report).is_some()
}

impl<W: Write> Json<W> {
    /// Writes to `out`, which must have no buffer, so that a reader sees each line at once.
    pub fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write + Send> Screen for Json<W> {
    /// A closed stream is no error: the download matters more.
    fn show(&mut self, report: &Report) {
        if let Some(Ok(json)) = Line::of(report).map(|line| serde_json::to_string(&line)) {
            let line = human::escaped_json(&json) + "\n";
            let _ = self.out.write_all(line.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{HASH, added, complete, error, gave_up, no_way, progress};
    use super::*;
    use crate::report::Progress;
    use serde_json::{Value, json};

    #[test]
    fn lines_are_those_of_the_page() {
        let hash = "ab".repeat(20);
        let cases = [
            (
                Report::Listening { port: 6881 },
                json!({"event": "listening", "port": 6881}),
            ),
            (
                added("a\n\u{9b}\u{202e}\"b"),
                json!({"event": "added", "info_hash": hash, "path": "down/x", "name": "a\n\u{9b}\u{202e}\"b",
                    "total_bytes": 4096, "wanted_bytes": 2048, "piece_length": 1024, "pieces": 4, "files": 2}),
            ),
            (
                Report::Checked {
                    info_hash: HASH,
                    have_pieces: 1,
                    pieces: 4,
                    have_bytes: 1000,
                    path: "down/x".into(),
                },
                json!({"event": "checked", "info_hash": hash, "have_pieces": 1, "pieces": 4, "have_bytes": 1000}),
            ),
            (
                Report::Progress(progress(7)),
                json!({"event": "progress", "info_hash": hash, "have_bytes": 7, "wanted_bytes": 2048,
                    "download_rate": 512, "upload_rate": 0, "peers": 3, "seeds": 1,
                    "downloaded_bytes": 7, "uploaded_bytes": 1024}),
            ),
            (
                Report::Progress(Progress {
                    idle: Some(no_way()),
                    ..progress(7)
                }),
                json!({"event": "progress", "info_hash": hash, "have_bytes": 7, "wanted_bytes": 2048,
                    "download_rate": 512, "upload_rate": 0, "peers": 3, "seeds": 1,
                    "downloaded_bytes": 7, "uploaded_bytes": 1024, "reason": "no\u{1b} way; 1 peer sends nothing"}),
            ),
            (
                complete(),
                json!({"event": "complete", "info_hash": hash, "seconds": 2.0,
                    "downloaded_bytes": 4096, "uploaded_bytes": 0}),
            ),
            (
                gave_up(),
                json!({"event": "error", "info_hash": hash, "message": "x: gave up, as nothing came for \
                    the time of --stall-timeout: no\u{1b} way; 1 peer sends nothing"}),
            ),
            (
                error(),
                json!({"event": "error", "info_hash": hash, "message": "disk full"}),
            ),
            (
                Report::Error {
                    info_hash: None,
                    source: Some("x".into()),
                    message: "no".into(),
                },
                json!({"event": "error", "source": "x", "message": "no"}),
            ),
            (
                Report::Warning {
                    info_hash: None,
                    message: "odd".into(),
                },
                json!({"event": "warning", "message": "odd"}),
            ),
        ];
        for (report, expected) in cases {
            let mut json = Json::new(Vec::new());
            json.show(&report);
            let line = String::from_utf8(json.out).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
            assert!(
                line.starts_with("{\"event\":") && line.ends_with("}\n"),
                "{line}"
            );
            assert!(!line.trim_end().contains(char::is_control), "{line}");
        }
    }

    #[test]
    fn some_reports_give_no_line_and_a_closed_pipe_no_panic() {
        let mut json = Json::new(Vec::new());
        json.show(&Report::Remark("x".into()));
        json.show(&Report::Checking {
            info_hash: HASH,
            done: 0,
            pieces: 1,
        });
        assert_eq!(json.out, b"");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Json::new(writer).show(&complete());
    }
}
