//! What the user learns about one torrent: in words for a log ([`super::lines`]) and for the end of
//! a run, in fields for a row of the display ([`super::frame`]).

use super::text::Paint;
use crate::human;
use crate::report::{Giver, Idle, Progress, Report};
use crate::types::InfoHash;
use std::time::Duration;

#[derive(Debug, PartialEq)]
pub(crate) struct Row {
    pub info_hash: InfoHash,
    /// Safe to print.
    pub name: String,
    /// Where it is saved, safe to print.
    path: String,
    wanted: u64,
    files: usize,
    wanted_files: usize,
    stage: Stage,
    done: Option<Done>,
}

#[derive(Debug, PartialEq)]
enum Stage {
    /// Only a magnet link is known. `None`: it was only just accepted.
    Linked(Option<Progress>),
    /// The user wanted only the metadata, and it has arrived.
    Found,
    Added,
    Checking {
        done: u32,
        pieces: u32,
    },
    Running(Progress),
    Complete {
        /// More was received or sent since the user last saw the numbers.
        more: bool,
    },
    /// Was complete before, and goes on serving.
    Seeding(Progress),
    Failed,
}

#[derive(Clone, Debug, PartialEq)]
struct Done {
    /// From the start to completion.
    time: Duration,
    downloaded: u64,
    uploaded: u64,
    twice: u64,
    givers: Vec<Giver>,
}

/// The fields of a row of the display. A field without a value is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields {
    pub symbol: Symbol,
    pub paint: Paint,
    /// Those that are there, and all: bytes or pieces.
    pub bar: Option<(u64, u64)>,
    pub percent: String,
    /// The rate, or the work in its place.
    pub state: String,
    /// The time left, or the ratio.
    pub left: Option<String>,
    pub peers: String,
    /// The upload rate, if we send anything.
    pub up: Option<u64>,
}

/// The last words about a torrent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Last {
    /// Stands right behind the name.
    pub what: String,
    /// With the path, which is never wrapped, so that it can be copied.
    pub place: Option<String>,
    pub how: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Symbol {
    #[default]
    None,
    Down,
    Up,
    Busy,
    Waits,
    Done,
    Failed,
}

impl Row {
    /// The row that a report begins, if it begins one.
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
            path: String::new(),
            wanted: 0,
            files: 0,
            wanted_files: 0,
            stage: Stage::Linked(None),
            done: None,
        };
        row.take(report);
        Some(row)
    }

    /// Takes a report about this torrent. Returns false if it changes nothing here.
    pub(crate) fn take(&mut self, report: &Report) -> bool {
        self.stage = match report {
            Report::Added {
                name,
                path,
                wanted_bytes,
                files,
                wanted_files,
                ..
            } => {
                self.name = human::escaped(name);
                self.path = human::escaped(&path.to_string_lossy());
                self.wanted = *wanted_bytes;
                (self.files, self.wanted_files) = (*files, *wanted_files);
                Stage::Added
            }
            Report::Metadata { .. } => Stage::Found,
            Report::Checking { done, pieces, .. } => Stage::Checking {
                done: *done,
                pieces: *pieces,
            },
            Report::Checked {
                have_bytes, path, ..
            } => {
                self.path = human::escaped(&path.to_string_lossy());
                Stage::Running(self.checked(*have_bytes))
            }
            Report::Progress(progress) => match self.after(progress) {
                Some(stage) => stage,
                None => return false,
            },
            Report::Complete {
                seconds,
                downloaded_bytes,
                uploaded_bytes,
                twice_bytes,
                givers,
                ..
            } => {
                self.done = Some(Done {
                    time: Duration::try_from_secs_f64(*seconds).unwrap_or_default(),
                    downloaded: *downloaded_bytes,
                    uploaded: *uploaded_bytes,
                    twice: *twice_bytes,
                    givers: givers.clone(),
                });
                Stage::Complete { more: false }
            }
            Report::Error { .. } => Stage::Failed,
            _ => return false,
        };
        true
    }

    fn checked(&self, have_bytes: u64) -> Progress {
        Progress {
            info_hash: self.info_hash,
            have_bytes,
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
        }
    }

    /// The stage that `progress` makes of this one, if it changes anything.
    fn after(&mut self, progress: &Progress) -> Option<Stage> {
        if let Stage::Found | Stage::Failed = self.stage {
            return None;
        }
        let totals = (progress.downloaded_bytes, progress.uploaded_bytes);
        let mut more = false;
        if let Some(done) = &mut self.done {
            more = (done.downloaded, done.uploaded) != totals;
            (done.downloaded, done.uploaded) = totals;
        }
        Some(match self.stage {
            Stage::Linked(_) => Stage::Linked(Some(progress.clone())),
            // The torrent leaves: these are the last numbers.
            Stage::Complete { .. } if !progress.seeding => Stage::Complete { more },
            Stage::Complete { .. } | Stage::Seeding(_) => Stage::Seeding(progress.clone()),
            _ => Stage::Running(progress.clone()),
        })
    }

    /// How it goes, in a sentence.
    pub(crate) fn now(&self) -> String {
        match &self.stage {
            Stage::Found => "its metadata is here".to_string(),
            Stage::Linked(progress) => match progress.as_ref().and_then(reason) {
                None => "looking for its metadata".to_string(),
                Some(why) => format!("no metadata yet, {why}"),
            },
            Stage::Added => format!("{} in {}", human::size(self.wanted), self.chosen()),
            Stage::Checking { done, pieces } => {
                let part = human::percent(u64::from(*done), u64::from(*pieces));
                format!("checking what is on disk, {part}")
            }
            Stage::Running(progress) => running(progress),
            Stage::Complete { .. } => {
                let how = self.how().map(|how| format!("; {how}"));
                format!(
                    "{}, {}{}",
                    self.what(),
                    self.place(),
                    how.unwrap_or_default()
                )
            }
            Stage::Seeding(progress) => seeding(progress),
            Stage::Failed => "failed".to_string(),
        }
    }

    /// How many files are wanted: `3 files`, `1 of 11 files`.
    fn chosen(&self) -> String {
        let files = human::count(self.files as u64, "file");
        match self.wanted_files == self.files {
            true => files,
            false => format!("{} of {files}", human::grouped(self.wanted_files as u64)),
        }
    }

    fn what(&self) -> String {
        let files = match self.wanted_files == self.files {
            true => String::new(),
            false => format!(" in {}", self.chosen()),
        };
        format!("complete, {}{files}", human::size(self.wanted))
    }

    fn place(&self) -> String {
        format!("saved as {}", self.path)
    }

    /// How a download went: time, rate, bytes that came twice, bytes given, and the givers.
    fn how(&self) -> Option<String> {
        let done = self.done.as_ref()?;
        let mut said = Vec::new();
        if done.downloaded > 0 {
            let seconds = done.time.as_secs_f64();
            let rate = done.downloaded as f64 / seconds.max(0.001);
            let time = match seconds {
                ..1.0 => format!("{seconds:.2} s"),
                _ => human::duration(done.time),
            };
            let mut text = format!(
                "{} downloaded in {time} ({})",
                human::size(done.downloaded),
                human::rate(rate as u64)
            );
            if done.twice > 0 {
                text += &format!(", {} of it twice", human::size(done.twice));
            }
            said.push(text);
        }
        if done.uploaded > 0 {
            said.push(given(done.uploaded, self.wanted));
        }
        if !done.givers.is_empty() {
            let givers: Vec<String> = done.givers.iter().map(giver).collect();
            said.push(format!("from {}", givers.join(", ")));
        }
        (!said.is_empty()).then(|| said.join("; "))
    }

    /// What a log has not been told when the program leaves, if there is anything.
    pub(crate) fn ending(&self) -> Option<String> {
        match &self.stage {
            Stage::Complete { more: true } => Some(self.now()),
            Stage::Complete { .. } | Stage::Found | Stage::Failed => None,
            Stage::Seeding(p) => Some(seeded(p)),
            Stage::Running(p) if p.have_bytes >= p.wanted_bytes => Some(seeded(p)),
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

    pub(crate) fn last(&self) -> Last {
        match (&self.stage, &self.done) {
            (Stage::Complete { .. } | Stage::Seeding(_), Some(done))
                if done.downloaded > 0 || done.uploaded == 0 =>
            {
                Last {
                    what: self.what(),
                    place: Some(self.place()),
                    how: self.how(),
                }
            }
            _ => Last {
                what: self.ending().unwrap_or_else(|| self.now()),
                ..Last::default()
            },
        }
    }

    pub(crate) fn fields(&self) -> Fields {
        let (symbol, paint, state) = match &self.stage {
            Stage::Linked(_) => (Symbol::Waits, Paint::Odd, "no metadata"),
            Stage::Found => (Symbol::Done, Paint::Good, "metadata"),
            Stage::Added => (Symbol::Busy, Paint::Busy, "waiting"),
            Stage::Checking { .. } => (Symbol::Busy, Paint::Busy, "checking"),
            Stage::Running(p) => return self.running(p),
            Stage::Complete { .. } => (Symbol::Done, Paint::Good, "complete"),
            Stage::Seeding(_) => (Symbol::Up, Paint::Busy, "seeding"),
            Stage::Failed => (Symbol::Failed, Paint::Bad, "failed"),
        };
        let mut fields = Fields {
            symbol,
            paint,
            state: state.to_string(),
            ..Fields::default()
        };
        match &self.stage {
            Stage::Linked(Some(p)) => fields.peers = peers(p),
            Stage::Checking { done, pieces } => {
                fields.bar = Some((u64::from(*done), u64::from(*pieces)));
            }
            Stage::Complete { .. } => fields.bar = Some((1, 1)),
            Stage::Seeding(p) => {
                fields.bar = Some((1, 1));
                fields.left = Some(format!("ratio {:.2}", ratio(p)));
                (fields.peers, fields.up) = (peers(p), Some(p.upload_rate));
            }
            _ => {}
        }
        let percent = fields.bar.map(|(part, whole)| human::percent(part, whole));
        fields.percent = percent.unwrap_or_default();
        fields
    }

    fn running(&self, p: &Progress) -> Fields {
        let (symbol, paint, state) = match &p.idle {
            None => (Symbol::Down, Paint::Good, human::rate(p.download_rate)),
            // Nothing has come yet, so nothing has stopped.
            Some(_) if p.downloaded_bytes == 0 => (Symbol::Busy, Paint::Busy, "waiting".into()),
            Some(_) => (Symbol::Waits, Paint::Odd, "stalled".into()),
        };
        let missing = p.wanted_bytes.saturating_sub(p.have_bytes);
        Fields {
            symbol,
            paint,
            bar: Some((p.have_bytes, p.wanted_bytes)),
            percent: human::percent(p.have_bytes, p.wanted_bytes),
            state,
            left: Some(time_left(missing, p.download_rate)),
            peers: peers(p),
            up: (p.uploaded_bytes > 0).then_some(p.upload_rate),
        }
    }

    /// Why nothing comes, if nothing does. Safe to print.
    pub(crate) fn reason(&self) -> Option<String> {
        match &self.stage {
            Stage::Linked(Some(p)) | Stage::Running(p) => reason(p),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self) -> (u64, u64) {
        match &self.stage {
            Stage::Running(p) => (p.have_bytes, p.wanted_bytes),
            Stage::Complete { .. } | Stage::Seeding(_) => (self.wanted, self.wanted),
            _ => (0, self.wanted),
        }
    }

    /// Bytes a second in and out, and the number of connected peers.
    pub(crate) fn traffic(&self) -> (u64, u64, usize) {
        match &self.stage {
            Stage::Running(p) | Stage::Seeding(p) => (p.download_rate, p.upload_rate, p.peers),
            Stage::Linked(Some(p)) => (0, 0, p.peers),
            _ => (0, 0, 0),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        let over = |stage: &Stage| matches!(stage, Stage::Found | Stage::Failed);
        self.done.is_some() || over(&self.stage)
    }

    pub(crate) fn goes(&self) -> bool {
        match &self.stage {
            Stage::Running(p) => p.idle.is_none(),
            Stage::Added | Stage::Checking { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.done.is_some()
    }

    /// How much goes on, to choose the rows to show first. Rates count by their size in bits, so
    /// that rows do not change places with each small change.
    pub(crate) fn activity(&self) -> u32 {
        let (down, up, _) = self.traffic();
        let class = match &self.stage {
            Stage::Checking { .. } => 2,
            Stage::Linked(_) | Stage::Added | Stage::Running(_) => 1,
            _ => 0,
        };
        class + 4 * (u64::BITS - down.saturating_add(up).leading_zeros())
    }
}

/// Why nothing comes, safe to print.
fn reason(p: &Progress) -> Option<String> {
    let why = p.idle.as_ref().map(Idle::to_string);
    why.map(|why| human::escaped(&why))
}

/// How long `missing` bytes take at this rate: `2 min 5 s left`. Empty, if they never come.
pub(crate) fn time_left(missing: u64, rate: u64) -> String {
    let time = (rate > 0).then(|| Duration::from_secs(missing.div_ceil(rate)));
    time.map_or_else(String::new, |time| format!("{} left", human::roughly(time)))
}

fn running(p: &Progress) -> String {
    let mut text = format!(
        "{} of {}",
        human::percent(p.have_bytes, p.wanted_bytes),
        human::size(p.wanted_bytes)
    );
    match reason(p) {
        Some(why) => text += &format!(", {why}"),
        None => {
            text += &format!(", down {}", human::rate(p.download_rate));
            let left = p.wanted_bytes.saturating_sub(p.have_bytes);
            if let Some(seconds) = left.checked_div(p.download_rate) {
                text += &format!(", {} left", human::duration(Duration::from_secs(seconds)));
            }
            text += &format!(", {}", all_peers(p));
            if p.upload_rate > 0 {
                text += &format!(", up {}", human::rate(p.upload_rate));
            }
        }
    }
    text
}

/// The peers and web seeds, short: `3 peers`, `2 web seeds`, `3 peers, 2 web`.
fn peers(p: &Progress) -> String {
    match (p.peers, p.web_seeds) {
        (peers, 0) => human::count(peers as u64, "peer"),
        (0, web) => human::count(web as u64, "web seed"),
        (peers, web) => format!("{}, {web} web", human::count(peers as u64, "peer")),
    }
}

fn all_peers(p: &Progress) -> String {
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
    let (rate, given) = (human::rate(p.upload_rate), given_by(p));
    format!("seeding, up {rate}, {}, {given}", all_peers(p))
}

fn seeded(p: &Progress) -> String {
    format!("seeded; {}", given_by(p))
}

fn given_by(p: &Progress) -> String {
    given(p.uploaded_bytes, p.wanted_bytes)
}

fn given(uploaded: u64, wanted: u64) -> String {
    let ratio = uploaded as f64 / wanted.max(1) as f64;
    format!("{} uploaded, ratio {ratio:.2}", human::size(uploaded))
}

fn ratio(p: &Progress) -> f64 {
    p.uploaded_bytes as f64 / p.wanted_bytes.max(1) as f64
}

fn giver(giver: &Giver) -> String {
    let name = giver.name.as_deref().map(human::escaped);
    let name = name.as_deref().unwrap_or("others");
    format!("{name} ({})", human::size(giver.bytes))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{added, checked, checking, complete, error, no_way, progress};
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
        let whole = |given: &str| {
            format!(
                "complete, 2.00 KiB in 1 of 2 files, saved as down/x; 4.00 KiB downloaded in 2 s \
                 (2.00 KiB/s), 1.00 KiB of it twice; {given}from Abc 1.0 (3.00 KiB), others (1.00 KiB)"
            )
        };
        let elsewhere = whole("").replace("down/x", "down/x_"); // the disk refused the first name
        let kept = "50.0% of 2.00 KiB, kept: the same command goes on from there";
        let early = Some("left before the check was over");
        let cases = [
            (vec![], "2.00 KiB in 1 of 2 files", early),
            (
                vec![checking(1, 4)],
                "checking what is on disk, 25.0%",
                early,
            ),
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
            (vec![complete()], &*whole(""), None),
            (
                vec![complete(), Report::Progress(progress(4096))],
                &*whole("1.00 KiB uploaded, ratio 0.50; "),
                Some(&*whole("1.00 KiB uploaded, ratio 0.50; ")),
            ),
            (
                vec![complete(), Report::Progress(seeds)],
                "seeding, up 0 B/s, 3 peers (1 seed), 1.00 KiB uploaded, ratio 0.50",
                Some("seeded; 1.00 KiB uploaded, ratio 0.50"),
            ),
            (vec![error(), Report::Progress(progress(0))], "failed", None),
            (vec![checked(), complete()], &elsewhere, None),
        ];
        for (reports, now, ending) in cases {
            let mut row = Row::begun_by(&added("a\nb")).unwrap();
            reports.iter().for_each(|report| _ = row.take(report));
            assert_eq!((&*row.name, &*row.now()), ("a\\nb", now));
            assert_eq!(row.ending().as_deref(), ending);
        }
    }
}
