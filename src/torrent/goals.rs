//! How far a torrent has come, from a magnet link to its end, and when it last came further.
//! Part of the [`Torrent`](super::Torrent), which feeds it; no clock: the time is an argument.

use crate::config::Afterwards;
use std::time::{Duration, Instant};

/// Where a torrent is in its life. Each phase has what belongs to it alone.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Phase {
    /// Its metadata is not known yet: peers are asked for it.
    Learning {
        /// The most bytes of metadata that one peer gave.
        most: u32,
    },
    /// Its metadata is here, and what it says is being looked into.
    Looking,
    /// Something is missing.
    Downloading {
        /// Blocks stored, less those of pieces that turned out false.
        stored: u64,
        /// The most that this ever was.
        most: u64,
    },
    /// All is there; we give.
    Seeding {
        /// From then on.
        since: Instant,
    },
    /// All is there and nothing is left to do.
    Done,
    /// It was given up: nothing came for too long.
    Stalled,
}

impl Phase {
    /// Whether pieces are missing, and we know which.
    pub fn is_downloading(self) -> bool {
        matches!(self, Self::Downloading { .. })
    }

    /// Whether all is there and we stay to give.
    pub fn is_seeding(self) -> bool {
        matches!(self, Self::Seeding { .. })
    }

    /// Whether data, or first of all the metadata, is still to come.
    pub(super) fn is_incomplete(self) -> bool {
        matches!(
            self,
            Self::Learning { .. } | Self::Looking | Self::Downloading { .. }
        )
    }

    /// Whether nothing is left to do for it.
    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Stalled)
    }
}

/// The phase, and what may end it.
#[derive(Debug)]
pub(super) struct Goals {
    phase: Phase,
    /// When more was there than ever before. False data comes and goes, so it is no progress.
    came_at: Instant,
    /// Since when we are leaving. Until its peers are gone a torrent may still complete.
    leaving: Option<Instant>,
}

impl Goals {
    /// A torrent of which only the info hash is known.
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

    /// When more was there than ever before.
    pub(super) fn came_at(&self) -> Instant {
        self.came_at
    }

    /// Since when we are leaving.
    pub(super) fn leaving(&self) -> Option<Instant> {
        self.leaving
    }

    pub(super) fn leave(&mut self, now: Instant) {
        self.leaving = Some(now);
    }

    /// One peer has given so many bytes of the metadata.
    pub(super) fn metadata_came(&mut self, bytes: u32, now: Instant) {
        if let Phase::Learning { most } = &mut self.phase
            && bytes > *most
        {
            (*most, self.came_at) = (bytes, now);
        }
    }

    /// The metadata is here. Returns whether that is new.
    pub(super) fn learn(&mut self) -> bool {
        let is_new = matches!(self.phase, Phase::Learning { .. });
        if is_new {
            self.phase = Phase::Looking;
        }
        is_new
    }

    /// It is known what is there and what is missing.
    pub(super) fn download(&mut self, now: Instant) {
        let (stored, most) = (0, 0);
        (self.phase, self.came_at) = (Phase::Downloading { stored, most }, now);
    }

    /// So many blocks were stored.
    pub(super) fn store(&mut self, blocks: u64, now: Instant) {
        if let Phase::Downloading { stored, most } = &mut self.phase {
            *stored += blocks;
            if *stored > *most {
                (*most, self.came_at) = (*stored, now);
            }
        }
    }

    /// So many of them are to be fetched again.
    pub(super) fn lose(&mut self, blocks: u64) {
        if let Phase::Downloading { stored, .. } = &mut self.phase {
            *stored = stored.saturating_sub(blocks);
        }
    }

    /// All that is wanted is there.
    pub(super) fn complete(&mut self, afterwards: Afterwards, now: Instant) {
        self.phase = match afterwards {
            Afterwards::Leave => Phase::Done,
            Afterwards::Seed { .. } => Phase::Seeding { since: now },
        };
    }

    /// Nothing came for `limit`: it is given up. Returns whether that is so.
    pub(super) fn stalls(&mut self, limit: Duration, now: Instant) -> bool {
        let stalls = self.phase.is_incomplete() && now.duration_since(self.came_at) >= limit;
        if stalls {
            self.phase = Phase::Stalled;
        }
        stalls
    }

    /// `given` so many times what it holds, it has given enough. Returns whether that is so.
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
