//! When a torrent ends, and how it leaves its swarm.
//!
//! A torrent ends when it has served enough (`--seed-ratio`, `--seed-time`), when nothing came for
//! the time of `--stall-timeout`, or when the engine stops it.

use super::fetcher::Parting;
use super::peers::Peer;
use super::{Action, Phase, Torrent, Turn};
use std::time::{Duration, Instant};

/// How long connections may take to close before trackers hear that we leave.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(500);

impl Torrent {
    /// Leaves the swarm: first tells all connections to close. Trackers hear about it when they are
    /// closed, so that the last bytes are counted.
    pub fn stop(&mut self, turn: &mut Turn<'_>) {
        for (key, its) in self.peers.fetchers_mut() {
            its.part(key, Parting::Leaving, turn);
        }
        self.goals.leave(turn.now);
        self.say_goodbye(turn);
    }

    /// If we are leaving, tells the trackers so, once no data can come any more or [`LAST_WORDS`]
    /// have passed.
    pub(crate) fn say_goodbye(&mut self, turn: &mut Turn<'_>) {
        let Some(since) = self.goals.leaving() else {
            return;
        };
        if self.no_giver_left() || turn.now.duration_since(since) >= LAST_WORDS {
            self.announcer.stop();
            self.announce(turn);
        }
    }

    /// Whether no connection is left from which data may still come; one that is being dialled
    /// sends nothing.
    pub fn no_giver_left(&self) -> bool {
        self.peers.no_giver_left()
    }

    /// Whether, after [`Torrent::stop`], nothing can come that would change what is reported or
    /// saved. An incomplete torrent waits until its last blocks are written and checked. A torrent
    /// that is done waits only for the number of bytes that peers took, and at most [`LAST_WORDS`].
    pub fn is_settled(&self, now: Instant) -> bool {
        match self.goals.phase() {
            Phase::Done => {
                let late = |since| now.duration_since(since) >= LAST_WORDS;
                self.goals.leaving().is_some_and(late) || !self.peers.values().any(Peer::takes)
            }
            _ => self.disk.unchecked == 0 && self.no_giver_left(),
        }
    }

    /// Whether, after [`Torrent::stop`], all trackers have answered or failed.
    pub fn has_left(&self) -> bool {
        self.announcer.has_left()
    }

    /// Ends the torrent if a goal is reached, or if nothing came for too long.
    pub(super) fn check_goals(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        // Time that the disk takes does not count.
        let phase = self.goals.phase();
        let waits = self.disk.unchecked > 0 || self.disk.is_asked() || phase == Phase::Looking;
        if let Some(limit) = self.setup.stall_timeout.filter(|_| !waits)
            && self.goals.stalls(limit, now)
        {
            turn.push(Action::GiveUp(self.why_idle()));
        }
        let given = self.traffic.uploaded as f64 / self.wanted_bytes().max(1) as f64;
        let afterwards = self.setup.afterwards;
        if self.goals.is_reached(afterwards, given, now) {
            turn.push(Action::Done);
        }
    }
}
