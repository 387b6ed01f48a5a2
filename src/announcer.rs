//! Decides which trackers of a torrent we announce to, and when.
//!
//! A torrent names its trackers in groups, *tiers* ([BEP 12]). A public torrent is announced to all
//! of them at once, because many are dead and each knows other peers. A private torrent ([BEP 27])
//! is announced to one at a time, in the order of the tiers: the next has its turn only when that
//! one fails.
//!
//! A pure state machine: the main loop says what happened and what time it is, and passes the
//! announces of [`Announcer::due`] to the tracker threads. One tracker hears ([BEP 3]):
//!
//! ```text
//! started --ok--> (every interval: periodic) --download complete: completed--> ... --> stopped
//!    ^  failed: again after 15 s, 60 s, 5 min, 15 min, 15 min, ...
//! ```
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 12]: https://www.bittorrent.org/beps/bep_0012.html
//! [BEP 27]: https://www.bittorrent.org/beps/bep_0027.html

use crate::announce::{AnnounceEvent, AnnounceReply, SHORTEST_INTERVAL, TrackerError, Trouble};
use crate::report::Trackers;
use std::error::Error;
use std::time::{Duration, Instant};

/// Our number for one of a torrent's trackers, from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TrackerIndex(pub u32);

/// The most trackers of one torrent that we use. Each takes a thread, and a hostile torrent could
/// name a million.
pub(crate) const MAX_TRACKERS: usize = 100;

/// The pause after the first failure in a row, the second, ...; the last value repeats.
const BACK_OFF: [Duration; 4] = [
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
];

/// The pause before we send again a `stopped` that failed for want of a thread or a file.
const AGAIN: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Waiting,
    Running,
    Stopping,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Answered,
    Refused,
    TimedOut,
    /// The tracker answered with a reason why it refuses.
    Failure,
    Other,
}

impl From<&Trouble> for Outcome {
    fn from(trouble: &Trouble) -> Self {
        match trouble {
            Trouble::Refused => Self::Refused,
            Trouble::TimedOut(_) => Self::TimedOut,
            Trouble::Failure(_) => Self::Failure,
            _ => Self::Other,
        }
    }
}

#[derive(Debug)]
struct Tracker {
    url: String,
    /// We can never ask it, for example because of its scheme.
    useless: bool,
    /// The torrent no longer names it. It hears `stopped` and nothing more.
    retired: bool,
    in_flight: Option<AnnounceEvent>,
    /// It answered our `started`, and no `stopped` has succeeded or been given up since.
    joined: bool,
    /// Our `stopped` found no thread or file. We send it again when `due`.
    unsaid: bool,
    /// It must still hear `completed`.
    owed_completed: bool,
    due: Instant,
    /// When we may announce before `due`, if we have no peers.
    early: Instant,
    failures: usize,
    /// Replies since we last had peers. Each one doubles the wait for `early`.
    early_asks: u32,
    outcome: Option<Outcome>,
    last_error: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Announcer {
    /// By [`TrackerIndex`].
    trackers: Vec<Tracker>,
    /// The order in which a private torrent tries its trackers.
    tiers: Vec<Vec<usize>>,
    /// How many trackers were skipped because they serve only web browsers.
    skipped: usize,
    private: bool,
    phase: Phase,
    /// The download was complete when we joined, so no tracker hears `completed`.
    joined_complete: bool,
    hungry: bool,
    /// The tracker of a private torrent that answered last.
    current: Option<usize>,
}

impl Announcer {
    /// Takes the tiers of a torrent. Leaves out empty and doubled URLs, trackers for web browsers,
    /// and everything beyond [`MAX_TRACKERS`]. Shuffles each tier to share the load (BEP 12).
    pub(crate) fn new(
        tiers: Vec<Vec<String>>,
        private: bool,
        rng: &mut fastrand::Rng,
        now: Instant,
    ) -> Self {
        let mut announcer = Self {
            trackers: Vec::new(),
            tiers: Vec::new(),
            skipped: 0,
            private,
            phase: Phase::Waiting,
            joined_complete: false,
            hungry: false,
            current: None,
        };
        announcer.set_trackers(tiers, rng, now);
        announcer
    }

    /// Replaces the torrent's trackers, as in [`Announcer::new`]; known ones go on. Returns whether
    /// a tracker is no longer named; if it heard `started`, it will hear `stopped`.
    pub(crate) fn set_trackers(
        &mut self,
        tiers: Vec<Vec<String>>,
        rng: &mut fastrand::Rng,
        now: Instant,
    ) -> bool {
        self.skipped = 0;
        self.tiers.clear();
        for urls in tiers {
            let mut tier = Vec::new();
            for url in urls {
                let url = url.trim();
                if is_for_browsers(url) {
                    self.skipped += 1;
                    continue;
                }
                let known = self.trackers.iter().position(|known| known.url == url);
                let index = known.unwrap_or(self.trackers.len());
                let is_named = self
                    .tiers
                    .iter()
                    .flatten()
                    .chain(&tier)
                    .any(|i| *i == index);
                if url.is_empty() || is_named || index >= MAX_TRACKERS {
                    continue;
                }
                if known.is_none() {
                    self.trackers.push(Tracker::new(url, now));
                }
                tier.push(index);
            }
            rng.shuffle(&mut tier);
            self.tiers.push(tier);
        }
        for (index, tracker) in self.trackers.iter_mut().enumerate() {
            tracker.retired = !self.tiers.iter().flatten().any(|i| *i == index);
        }
        self.current = self.current.filter(|index| !self.trackers[*index].retired);
        self.trackers.iter().any(|tracker| tracker.retired)
    }

    pub(crate) fn url(&self, index: TrackerIndex) -> &str {
        let tracker = self.trackers.get(index.0 as usize);
        tracker.map_or("", |tracker| &tracker.url)
    }

    pub(crate) fn skipped(&self) -> usize {
        self.skipped
    }

    /// Joins the swarm, as a seed if `complete`. Announces begin.
    pub(crate) fn start(&mut self, complete: bool, now: Instant) {
        self.phase = Phase::Running;
        self.joined_complete = complete;
        for tracker in &mut self.trackers {
            tracker.due = now;
        }
    }

    /// Sets whether we joined as a seed, once this is known.
    pub(crate) fn set_joined_complete(&mut self, complete: bool) {
        self.joined_complete = complete;
    }

    pub(crate) fn set_private(&mut self) {
        self.private = true;
    }

    /// The download is complete: every tracker that hears of us hears `completed` once, unless we
    /// joined as a seed.
    pub(crate) fn complete(&mut self, now: Instant) {
        if self.joined_complete {
            return;
        }
        self.joined_complete = true; // a second call changes nothing
        for tracker in &mut self.trackers {
            tracker.owed_completed = true;
            if tracker.joined {
                tracker.due = now;
            }
        }
    }

    /// Leaves the swarm: [`Announcer::due`] now lists only `stopped`.
    pub(crate) fn stop(&mut self) {
        self.phase = Phase::Stopping;
    }

    /// Whether every tracker that must hear `stopped` has answered it, or failed.
    pub(crate) fn has_left(&self) -> bool {
        self.trackers.iter().all(|tracker| !tracker.joined)
    }

    /// Whether a `started` is under way, whose tracker may have to hear `stopped`.
    pub(crate) fn is_joining(&self) -> bool {
        let started = Some(AnnounceEvent::Started);
        self.trackers
            .iter()
            .any(|tracker| tracker.in_flight == started)
    }

    /// Sets whether we have no peers and want some. Meanwhile we ask trackers early: 1 minute (or
    /// their `min interval`) after the last reply, then after 2, 4, ... times that.
    pub(crate) fn set_hungry(&mut self, hungry: bool) {
        self.hungry = hungry;
        if !hungry {
            for tracker in &mut self.trackers {
                tracker.early_asks = 0;
            }
        }
    }

    /// Returns what this tracker is being told, if an announce is under way.
    pub(crate) fn in_flight(&self, index: TrackerIndex) -> Option<AnnounceEvent> {
        self.trackers.get(index.0 as usize)?.in_flight
    }

    /// Takes in the outcome of an announce. Returns true if a private torrent changed its tracker:
    /// BEP 27 then wants the peers of the old tracker dropped.
    pub(crate) fn on_outcome(
        &mut self,
        index: TrackerIndex,
        result: &Result<AnnounceReply, TrackerError>,
        now: Instant,
    ) -> bool {
        let index = index.0 as usize;
        let Some(tracker) = self.trackers.get_mut(index) else {
            return false;
        };
        if matches!(result, Ok(reply) if reply.further) {
            return false; // only more peers
        }
        let Some(event) = tracker.in_flight.take() else {
            return false;
        };
        match result {
            Ok(reply) => tracker.on_reply(event, reply, now),
            Err(error) => tracker.on_error(event, error, now),
        }
        if result.is_err() || !self.private || tracker.retired {
            return false;
        }
        for tier in &mut self.tiers {
            if let Some(at) = tier.iter().position(|&i| i == index) {
                tier[..=at].rotate_right(1);
            }
        }
        self.current
            .replace(index)
            .is_some_and(|before| before != index)
    }

    /// Returns the announces to send now. Their outcome must come back through
    /// [`Announcer::on_outcome`] before this tracker is listed again.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<(TrackerIndex, AnnounceEvent)> {
        let mut due = Vec::new();
        for index in self.on_turn(now) {
            let tracker = &mut self.trackers[index];
            let Some((event, when)) = tracker.next(self.phase, self.hungry, now) else {
                continue;
            };
            if when <= now {
                tracker.in_flight = Some(event);
                due.push((TrackerIndex(index as u32), event));
            }
        }
        due
    }

    /// Returns the trackers that we may announce to. For a public torrent, and when we leave: all.
    /// For a private torrent: the one that we are waiting for, else the current one while it works,
    /// else the first in order whose pause is over, else the one whose pause ends first; and those
    /// that are no longer named.
    fn on_turn(&self, now: Instant) -> Vec<usize> {
        if !self.private || self.phase == Phase::Stopping {
            return (0..self.trackers.len()).collect();
        }
        let works = |&index: &usize| self.trackers[index].failures == 0;
        let mut order = self.tiers.iter().flatten().copied();
        let usable = order.clone().filter(|&index| !self.trackers[index].useless);
        let busy = order.find(|&index| self.trackers[index].in_flight.is_some());
        let ready = |index: &usize| self.trackers[*index].due <= now;
        let one = busy
            .or(self.current.filter(works))
            .or_else(|| usable.clone().find(ready))
            .or_else(|| usable.min_by_key(|&index| self.trackers[index].due));
        let retired = (0..self.trackers.len()).filter(|&index| self.trackers[index].retired);
        one.into_iter().chain(retired).collect()
    }

    pub(crate) fn summary(&self) -> Trackers {
        let mut counts = Trackers::default();
        for tracker in self.usable() {
            counts.trackers += 1;
            match tracker.outcome {
                Some(Outcome::Answered) => counts.answered += 1,
                Some(Outcome::Refused) => counts.refused += 1,
                Some(Outcome::TimedOut) => counts.timed_out += 1,
                Some(Outcome::Failure) => counts.failures += 1,
                Some(Outcome::Other) => counts.other += 1,
                None => {}
            }
        }
        counts
    }

    /// Returns a sentence for each tracker whose last announce failed.
    pub(crate) fn last_errors(&self) -> impl Iterator<Item = &str> {
        self.usable()
            .filter_map(|tracker| tracker.last_error.as_deref())
    }

    fn usable(&self) -> impl Iterator<Item = &Tracker> {
        let trackers = self.trackers.iter();
        trackers.filter(|tracker| !tracker.useless && !tracker.retired)
    }
}

/// Whether a tracker serves peers in web browsers (it speaks WebSocket), which we cannot reach.
/// Many torrents name such trackers beside others; they must not count as failed.
fn is_for_browsers(url: &str) -> bool {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    ["ws", "wss"]
        .iter()
        .any(|ws| scheme.eq_ignore_ascii_case(ws))
}

impl Tracker {
    fn new(url: &str, now: Instant) -> Self {
        Self {
            url: url.to_owned(),
            useless: false,
            retired: false,
            in_flight: None,
            joined: false,
            unsaid: false,
            owed_completed: false,
            due: now,
            early: now,
            failures: 0,
            early_asks: 0,
            outcome: None,
            last_error: None,
        }
    }

    fn next(&self, phase: Phase, hungry: bool, now: Instant) -> Option<(AnnounceEvent, Instant)> {
        if self.in_flight.is_some() || self.useless || phase == Phase::Waiting {
            return None;
        }
        if phase == Phase::Stopping || self.retired {
            // Only a tracker that has heard `started` must hear `stopped`.
            let when = if self.unsaid { self.due } else { now };
            return self.joined.then_some((AnnounceEvent::Stopped, when));
        }
        Some(if !self.joined {
            (AnnounceEvent::Started, self.due)
        } else if self.owed_completed {
            (AnnounceEvent::Completed, self.due)
        } else if hungry && self.failures == 0 {
            (AnnounceEvent::Periodic, self.due.min(self.early))
        } else {
            (AnnounceEvent::Periodic, self.due)
        })
    }

    fn on_reply(&mut self, event: AnnounceEvent, reply: &AnnounceReply, now: Instant) {
        match event {
            AnnounceEvent::Started => self.joined = true,
            AnnounceEvent::Completed => self.owed_completed = false,
            AnnounceEvent::Stopped => self.joined = false,
            AnnounceEvent::Periodic => {}
        }
        self.unsaid = false;
        self.failures = 0;
        self.outcome = Some(Outcome::Answered);
        self.last_error = None;
        let shortest = reply
            .min_interval
            .unwrap_or_default()
            .max(SHORTEST_INTERVAL);
        self.early = now + shortest * (1 << self.early_asks);
        self.early_asks = (self.early_asks + 1).min(8);
        self.due = match self.owed_completed {
            true => now,
            false => now + reply.interval.max(shortest),
        };
    }

    fn on_error(&mut self, event: AnnounceEvent, error: &TrackerError, now: Instant) {
        self.useless = error.trouble.is_final();
        self.due = now + BACK_OFF[self.failures.min(BACK_OFF.len() - 1)];
        self.unsaid = event == AnnounceEvent::Stopped && error.trouble.is_shortage();
        if event == AnnounceEvent::Stopped {
            // After a shortage we try again, because our connections are ending now. After other
            // failures nobody waits for a second try.
            self.joined = self.unsaid;
            self.due = now + AGAIN;
        }
        self.failures += 1;
        self.outcome = Some(Outcome::from(&error.trouble));
        let mut sentence = error.to_string();
        if let Some(cause) = error.source() {
            sentence = format!("{sentence}: {cause}");
        }
        self.last_error = Some(sentence);
    }
}

#[cfg(test)]
mod tests;
