//! When a torrent has come to its end, and how it leaves its swarm. Part of the [`Torrent`],
//! for its tick and for the engine, which may stop it at any time.
//!
//! It ends when it has given enough (`--seed-ratio`, `--seed-time`), or when nothing came
//! for the time of `--stall-timeout`.

use super::peers::Peer;
use super::{Action, Phase, Torrent, Turn};
use std::time::{Duration, Instant};

/// How long peers may take to hang up before trackers are told that we leave.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(500);

impl Torrent {
    /// Leaves the swarm: the peers are told to go. Once they are gone, and their last
    /// bytes counted, the trackers hear it, too.
    pub fn stop(&mut self, turn: &mut Turn<'_>) {
        let all = self.peers.fetchers();
        all.for_each(|(key, _)| turn.hang_up(key));
        self.goals.leave(turn.now);
        self.say_goodbye(turn);
    }

    /// Tells the trackers that we left, unless peers that were welcome are still going.
    pub(crate) fn say_goodbye(&mut self, turn: &mut Turn<'_>) {
        let Some(since) = self.goals.leaving() else {
            return;
        };
        if self.no_giver_left() || turn.now.duration_since(since) >= LAST_WORDS {
            self.announcer.stop();
            self.announce(turn);
        }
    }

    /// Whether no connection is left from which data may still come. Those that are just
    /// being dialled give nothing.
    pub fn no_giver_left(&self) -> bool {
        self.peers.no_giver_left()
    }

    /// Whether, after [`Torrent::stop`], nothing is left to hear that would change what is
    /// told or kept of it. If it is incomplete, the last blocks of its peers are to be
    /// written and checked. If it is done, only what peers took can be missing, and is
    /// waited for as long as trackers are.
    pub fn is_settled(&self, now: Instant) -> bool {
        match self.goals.phase() {
            Phase::Done => {
                let late = |since| now.duration_since(since) >= LAST_WORDS;
                self.goals.leaving().is_some_and(late) || !self.peers.values().any(Peer::takes)
            }
            _ => self.disk.unchecked == 0 && self.no_giver_left(),
        }
    }

    /// Whether, after [`Torrent::stop`], all trackers have been told or have failed.
    pub fn has_left(&self) -> bool {
        self.announcer.has_left()
    }

    /// Whether a goal is reached, or nothing came for too long.
    pub(super) fn check_goals(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        // The disk may take the time that it needs.
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
