//! What the user learns about one torrent, in words: the same on a terminal ([`super::live`]) and
//! in a log ([`super::lines`]).

use crate::human;
use crate::report::{Idle, Progress, Report};
use crate::types::InfoHash;
use std::time::Duration;

#[derive(Debug, PartialEq)]
pub(crate) struct Row {
    pub info_hash: InfoHash,
    /// Safe to print.
    pub name: String,
    wanted: u64,
    files: usize,
    stage: Stage,
}

#[derive(Debug, PartialEq)]
enum Stage {
    /// Only a magnet link is known. With the reason why there is no metadata yet.
    Linked(Option<Idle>),
    /// The user wanted only the metadata, and it has arrived.
    Found,
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
        /// More was received or sent since the user last saw the numbers.
        more: bool,
    },
    /// Was complete before, and goes on serving.
    Seeding(Progress),
    Failed,
}

impl Stage {
    /// Returns the stage that `progress` makes of this one, if it changes anything.
    fn after(&self, progress: &Progress) -> Option<Self> {
        Some(match *self {
            Self::Linked(_) => Self::Linked(progress.idle.clone()),
            // The torrent leaves: these are the last numbers.
            Self::Complete {
                downloaded,
                uploaded,
                seconds,
                ..
            } if !progress.seeding => Self::Complete {
                downloaded: progress.downloaded_bytes,
                uploaded: progress.uploaded_bytes,
                seconds,
                more: (downloaded, uploaded)
                    != (progress.downloaded_bytes, progress.uploaded_bytes),
            },
            Self::Complete { .. } | Self::Seeding(_) => Self::Seeding(progress.clone()),
            Self::Found | Self::Failed => return None,
            _ => Self::Running(progress.clone()),
        })
    }
}

impl Row {
    /// Returns the row that a report begins, if it begins one.
    pub(crate) fn begun_by(report: &Report) -> Option<Self> {
        let (info_hash, name) = match report {
            Report::Added { info_hash, .. } => (info_hash, None),
            Report::Linked { info_hash, name } => (info_hash, name.as_ref()),
            _ => return None,
        };
        let name = name.map_or_else(|| info_hash.to_string(), |name| human::escaped(name));
        let mut row = Self {
            info_hash: *info_hash,
            name,
            wanted: 0,
            files: 0,
            stage: Stage::Linked(None),
        };
        row.take(report);
        Some(row)
    }

    /// Takes a report about this torrent. Returns false if it changes nothing here.
    pub(crate) fn take(&mut self, report: &Report) -> bool {
        self.stage = match report {
            Report::Added {
                name,
                wanted_bytes,
                files,
                ..
            } => {
                self.name = human::escaped(name);
                (self.wanted, self.files) = (*wanted_bytes, *files);
                Stage::Added
            }
            Report::Metadata { .. } => Stage::Found,
            Report::Checking { done, pieces, .. } => Stage::Checking {
                done: *done,
                pieces: *pieces,
            },
            Report::Checked { have_bytes, .. } => Stage::Running(Progress {
                info_hash: self.info_hash,
                have_bytes: *have_bytes,
                wanted_bytes: self.wanted,
                download_rate: 0,
                upload_rate: 0,
                peers: 0,
                seeds: 0,
                web_seeds: 0,
                downloaded_bytes: 0,
                uploaded_bytes: 0,
                seeding: false,
                idle: None,
            }),
            Report::Progress(progress) => match self.stage.after(progress) {
                Some(stage) => stage,
                None => return false,
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
                more: false,
            },
            Report::Error { .. } => Stage::Failed,
            _ => return false,
        };
        true
    }

    pub(crate) fn now(&self) -> String {
        match &self.stage {
            Stage::Found => "its metadata is here".to_string(),
            Stage::Linked(None) => "looking for its metadata".to_string(),
            Stage::Linked(Some(why)) => {
                format!("no metadata yet, {}", human::escaped(&why.to_string()))
            }
            Stage::Added => {
                let files = human::count(self.files as u64, "file");
                format!("{} in {files}", human::size(self.wanted))
            }
            Stage::Checking { done, pieces } => {
                let part = human::percent(u64::from(*done), u64::from(*pieces));
                format!("checking what is on disk, {part}")
            }
            Stage::Running(progress) => running(progress),
            Stage::Complete {
                downloaded,
                uploaded,
                seconds,
                ..
            } => {
                let time = Duration::try_from_secs_f64(*seconds).unwrap_or_default();
                complete(self.wanted, *downloaded, *uploaded, time)
            }
            Stage::Seeding(progress) => seeding(progress),
            Stage::Failed => "failed".to_string(),
        }
    }

    /// Returns what is left to say when the program leaves, if anything is.
    pub(crate) fn ending(&self) -> Option<String> {
        match &self.stage {
            Stage::Complete { more: true, .. } => Some(self.now()),
            Stage::Complete { .. } | Stage::Found | Stage::Failed => None,
            Stage::Seeding(p) => Some(format!("seeded; {}", uploaded(p))),
            Stage::Running(p) if p.have_bytes >= p.wanted_bytes => {
                Some(format!("seeded; {}", uploaded(p)))
            }
            Stage::Running(p) => Some(format!(
                "{} of {}, kept: the same command goes on from there",
                human::percent(p.have_bytes, p.wanted_bytes),
                human::size(p.wanted_bytes)
            )),
            Stage::Linked(_) => Some("left before its metadata was found".to_string()),
            Stage::Added | Stage::Checking { .. } => {
                Some("left before the check was over".to_string())
            }
        }
    }
}

/// The most important part comes first, because a narrow window cuts the end.
fn running(p: &Progress) -> String {
    let mut text = format!(
        "{} of {}",
        human::percent(p.have_bytes, p.wanted_bytes),
        human::size(p.wanted_bytes)
    );
    match &p.idle {
        Some(why) => text += &format!(", {}", human::escaped(&why.to_string())),
        None => {
            text += &format!(", down {}", human::rate(p.download_rate));
            let left = p.wanted_bytes.saturating_sub(p.have_bytes);
            if let Some(seconds) = left.checked_div(p.download_rate) {
                text += &format!(", {} left", human::duration(Duration::from_secs(seconds)));
            }
            text += &format!(", {}", peers(p));
            if p.upload_rate > 0 {
                text += &format!(", up {}", human::rate(p.upload_rate));
            }
        }
    }
    text
}

fn peers(p: &Progress) -> String {
    let mut text = human::count(p.peers as u64, "peer");
    if p.seeds > 0 {
        text += &format!(" ({})", human::count(p.seeds as u64, "seed"));
    }
    if p.web_seeds > 0 {
        text += &format!(", {}", human::count(p.web_seeds as u64, "web seed"));
    }
    text
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

#[cfg(test)]
mod tests {
    use super::super::tests::{HASH, added, complete, error, no_way, progress};
    use super::*;

    #[test]
    fn what_is_said_about_a_torrent() {
        let idle = Progress {
            idle: Some(no_way()),
            ..progress(0)
        };
        let silent = Progress {
            download_rate: 0,
            upload_rate: 7,
            web_seeds: 2,
            ..progress(0)
        };
        let seeds = Progress {
            seeding: true,
            ..progress(2048)
        };
        let checking = Report::Checking {
            info_hash: HASH,
            done: 1,
            pieces: 4,
        };
        let kept = "50.0% of 2.00 KiB, kept: the same command goes on from there";
        let early = Some("left before the check was over");
        let cases = [
            (vec![], "2.00 KiB in 2 files", early),
            (vec![checking], "checking what is on disk, 25.0%", early),
            (
                vec![Report::Progress(progress(1024))],
                "50.0% of 2.00 KiB, down 512 B/s, 2 s left, 3 peers (1 seed)",
                Some(kept),
            ),
            (
                vec![Report::Progress(idle)],
                "0.0% of 2.00 KiB, no\\u{1b} way; 1 peer sends nothing",
                Some("0.0% of 2.00 KiB, kept: the same command goes on from there"),
            ),
            (
                vec![Report::Progress(silent)],
                "0.0% of 2.00 KiB, down 0 B/s, 3 peers (1 seed), 2 web seeds, up 7 B/s",
                Some("0.0% of 2.00 KiB, kept: the same command goes on from there"),
            ),
            (
                vec![complete()],
                "complete, 2.00 KiB; 4.00 KiB downloaded in 2 s (2.00 KiB/s)",
                None,
            ),
            (
                vec![complete(), Report::Progress(progress(4096))],
                "complete, 2.00 KiB; 4.00 KiB downloaded in 2 s (2.00 KiB/s); 1.00 KiB uploaded",
                Some(
                    "complete, 2.00 KiB; 4.00 KiB downloaded in 2 s (2.00 KiB/s); 1.00 KiB uploaded",
                ),
            ),
            (
                vec![complete(), Report::Progress(seeds)],
                "seeding, up 0 B/s, 3 peers (1 seed), 1.00 KiB uploaded, ratio 0.50",
                Some("seeded; 1.00 KiB uploaded, ratio 0.50"),
            ),
            (vec![error(), Report::Progress(progress(0))], "failed", None),
        ];
        for (reports, now, ending) in cases {
            let mut row = Row::begun_by(&added("a\nb")).unwrap();
            reports.iter().for_each(|report| _ = row.take(report));
            assert_eq!((&*row.name, &*row.now()), ("a\\nb", now));
            assert_eq!(row.ending().as_deref(), ending);
        }
    }
}
