//! How far a torrent has come, from a magnet link to its end, and when it last came further.

use crate::config::Afterwards;
use std::time::{Duration, Instant};

/// The phase of a torrent's life, with the facts that only this phase needs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Phase {
    /// The metadata is not known yet, and peers are asked for it.
    Learning {
        /// The most bytes of metadata that one peer gave.
        most: u32,
    },
    /// The metadata is here, and we check what is on disk.
    Looking,
    /// Wanted pieces are missing.
    Downloading {
        /// Blocks stored, without those of pieces that turned out false.
        stored: u64,
        /// The highest value that `stored` ever had.
        most: u64,
    },
    /// All that is wanted is here, and we serve others.
    Seeding {
        /// When it began.
        since: Instant,
    },
    /// All that is wanted is here, and we leave.
    Done,
    /// It was given up, because nothing came for the time of `--stall-timeout`.
    Stalled,
}

impl Phase {
    /// Whether pieces are missing, and we know which.
    pub fn is_downloading(self) -> bool {
        matches!(self, Self::Downloading { .. })
    }

    /// Whether all that is wanted is here and we stay to serve others.
    pub fn is_seeding(self) -> bool {
        matches!(self, Self::Seeding { .. })
    }

    /// Whether data or the metadata is still to come.
    pub(super) fn is_incomplete(self) -> bool {
        matches!(
            self,
            Self::Learning { .. } | Self::Looking | Self::Downloading { .. }
        )
    }

    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Stalled)
    }
}

#[derive(Debug)]
pub(super) struct Goals {
    phase: Phase,
    /// When there was last more than ever before. False data, fetched again, must not count as
    /// progress.
    came_at: Instant,
    /// Since when we have been leaving. The torrent may still complete until its peers are gone.
    leaving: Option<Instant>,
}

impl Goals {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Learning { most: 0 },
            came_at: now,
            leaving: None,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn is_downloading(&self) -> bool {
        self.phase.is_downloading()
    }

    pub(super) fn came_at(&self) -> Instant {
        self.came_at
    }

    pub(super) fn leaving(&self) -> Option<Instant> {
        self.leaving
    }

    pub(super) fn leave(&mut self, now: Instant) {
        self.leaving = Some(now);
    }

    /// Records that one peer has sent `bytes` of the metadata so far.
    pub(super) fn metadata_came(&mut self, bytes: u32, now: Instant) {
        if let Phase::Learning { most } = &mut self.phase
            && bytes > *most
        {
            (*most, self.came_at) = (bytes, now);
        }
    }

    /// Records that the metadata is here. Returns whether that is new.
    pub(super) fn learn(&mut self) -> bool {
        let is_new = matches!(self.phase, Phase::Learning { .. });
        if is_new {
            self.phase = Phase::Looking;
        }
        is_new
    }

    pub(super) fn download(&mut self, now: Instant) {
        let (stored, most) = (0, 0);
        (self.phase, self.came_at) = (Phase::Downloading { stored, most }, now);
    }

    pub(super) fn store(&mut self, blocks: u64, now: Instant) {
        if let Phase::Downloading { stored, most } = &mut self.phase {
            *stored += blocks;
            if *stored > *most {
                (*most, self.came_at) = (*stored, now);
            }
        }
    }

    pub(super) fn lose(&mut self, blocks: u64) {
        if let Phase::Downloading { stored, .. } = &mut self.phase {
            *stored = stored.saturating_sub(blocks);
        }
    }

    pub(super) fn complete(&mut self, afterwards: Afterwards, now: Instant) {
        self.phase = match afterwards {
            Afterwards::Leave => Phase::Done,
            Afterwards::Seed { .. } => Phase::Seeding { since: now },
        };
    }

    /// Gives the torrent up if nothing came for `limit`. Returns whether it did.
    pub(super) fn stalls(&mut self, limit: Duration, now: Instant) -> bool {
        let stalls = self.phase.is_incomplete() && now.duration_since(self.came_at) >= limit;
        if stalls {
            self.phase = Phase::Stalled;
        }
        stalls
    }

    /// Ends the seeding if we have served enough, or for long enough. `given`: the bytes sent, as a
    /// multiple of the bytes wanted. Returns whether it did.
    pub(super) fn is_reached(&mut self, afterwards: Afterwards, given: f64, now: Instant) -> bool {
        let (Afterwards::Seed { ratio, time }, Phase::Seeding { since }) = (afterwards, self.phase)
        else {
            return false;
        };
        let enough = ratio.is_some_and(|ratio| given >= ratio);
        let long = time.is_some_and(|time| now.duration_since(since) >= time);
        if enough || long {
            self.phase = Phase::Done;
        }
        enough || long
    }
}
