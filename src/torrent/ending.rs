//! When a torrent has come to its end, and how it leaves its swarm. Part of the [`Torrent`],
//! for its tick and for the engine, which may stop it at any time.
//!
//! It ends when it has given enough (`--seed-ratio`, `--seed-time`), or when nothing came
//! for the time of `--stall-timeout`.

use super::peers::Peer;
use super::{Action, Phase, Torrent, Turn};
use crate::config::Afterwards;
use std::time::{Duration, Instant};

/// How long peers may take to hang up before trackers are told that we leave.
pub(super) const HANG_UP: Duration = Duration::from_millis(500);

impl Torrent {
    /// Leaves the swarm: the peers are told to go. Once they are gone, and their last
    /// bytes counted, the trackers hear it, too.
    pub fn stop(&mut self, turn: &mut Turn<'_>) {
        self.peers.keys().for_each(|key| turn.hang_up(*key));
        self.leaving = Some(turn.now);
        self.say_goodbye(turn);
    }

    /// Tells the trackers that we left, unless peers that were welcome are still going.
    pub(crate) fn say_goodbye(&mut self, turn: &mut Turn<'_>) {
        let Some(since) = self.leaving else { return };
        if self.no_giver_left() || turn.now.duration_since(since) >= HANG_UP {
            self.announcer.stop();
            self.announce(turn);
        }
    }

    /// Whether no connection is left from which data may still come. Those that are just
    /// being dialled give nothing.
    pub fn no_giver_left(&self) -> bool {
        self.peers.values().all(|peer| !peer.gives())
    }

    /// Whether, after [`Torrent::stop`], nothing is left to hear that would change what is
    /// told or kept of it. If it is incomplete, the last blocks of its peers are to be
    /// written and checked. If it is done, only what peers took can be missing, and is
    /// waited for as long as trackers are.
    pub fn is_settled(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Done => {
                let late = |since| now.duration_since(since) >= HANG_UP;
                self.leaving.is_some_and(late) || !self.peers.values().any(Peer::takes)
            }
            _ => self.unchecked == 0 && self.no_giver_left(),
        }
    }

    /// Whether, after [`Torrent::stop`], all trackers have been told or have failed.
    pub fn has_left(&self) -> bool {
        self.announcer.has_left()
    }

    /// Whether a goal is reached, or nothing came for too long.
    pub(super) fn check_goals(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        let stalled = self
            .setup
            .stall_timeout
            .is_some_and(|limit| now.duration_since(self.best_at) >= limit);
        // The disk may take the time that it needs.
        let waits = self.unchecked > 0
            || self.surveys.is_asked()
            || self.phase == Phase::Learning && self.learnt;
        if self.is_incomplete() && stalled && !waits {
            self.phase = Phase::Stalled;
            turn.push(Action::GiveUp(self.why_idle()));
        }
        let Afterwards::Seed { ratio, time } = self.setup.afterwards else {
            return;
        };
        let given = self.uploaded as f64 / self.wanted_bytes.max(1) as f64;
        let enough = ratio.is_some_and(|ratio| given >= ratio);
        let long = self
            .completed
            .zip(time)
            .is_some_and(|(since, time)| now.duration_since(since) >= time);
        if self.phase == Phase::Seeding && (enough || long) {
            self.phase = Phase::Done;
            turn.push(Action::Done);
        }
    }
}
