//! How many seconds a fetcher takes for a block.
//!
//! Only the time counts in which it owed us blocks: a peer that we asked for nothing is not slow.
//! ([`Rate`](super::rate::Rate) measures what came lately, whatever the reason.) The
//! [`Torrent`](super::Torrent) shares out work by it.

use std::time::{Duration, Instant};

/// After this many seconds a block counts only a third (1/e) as much.
const MEMORY: f64 = 5.0;

/// A pace is known after this many blocks, or after [`KNOWN_AFTER`].
const KNOWN_BLOCKS: f64 = 4.0;

/// After owing us blocks for this many seconds, a pace is known if a single block came.
const KNOWN_AFTER: f64 = 2.0;

/// If no block came for this long, the pace is at least the time since the last one. Shorter
/// silences mean nothing: blocks may wait 0.5 s in the receive buffer.
const SILENCE: Duration = Duration::from_secs(1);

/// Blocks that came, and the time that they took, both faded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    blocks: f64,
    seconds: f64,
    /// Since when we have waited for the next block. `None`: nothing is on order.
    since: Option<Instant>,
}

impl Pace {
    /// Starts the clock: blocks are on order.
    pub(super) fn asked(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Counts `blocks` that came. `more`: others are still on order.
    pub(super) fn came(&mut self, blocks: u64, more: bool, now: Instant) {
        let waited = self.waiting(now).as_secs_f64();
        let fades = (-waited / MEMORY).exp();
        self.blocks = self.blocks * fades + blocks as f64;
        self.seconds = self.seconds * fades + waited;
        self.since = more.then_some(now);
    }

    /// Stops the clock: nothing is on order any more.
    pub(super) fn stopped(&mut self, now: Instant) {
        self.came(0, false, now);
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.since.is_none() && self.seconds == 0.0
    }

    /// Returns the seconds for a block, if known; before the first block they are not.
    pub(super) fn get(&self, now: Instant) -> Option<f64> {
        let seconds = self.seconds + self.waiting(now).as_secs_f64();
        let known = self.blocks >= KNOWN_BLOCKS || self.blocks > 0.0 && seconds >= KNOWN_AFTER;
        known.then(|| (self.seconds / self.blocks.max(1.0)).max(self.least(now)))
    }

    /// Returns the seconds for a block as if the next one came right now: they can't be fewer.
    pub(super) fn least(&self, now: Instant) -> f64 {
        let waiting = self.waiting(now);
        let least = (self.seconds + waiting.as_secs_f64()) / (self.blocks + 1.0);
        match waiting >= SILENCE {
            true => least.max(waiting.as_secs_f64()),
            false => least,
        }
    }

    fn waiting(&self, now: Instant) -> Duration {
        self.since
            .map_or(Duration::ZERO, |since| now.duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_time_counts_in_which_something_was_owed() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut pace = Pace::default();
        assert!(pace.is_unknown());
        pace.asked(at(0.0));
        pace.came(1, true, at(0.25));
        assert_eq!(pace.get(at(0.25)), None, "one block says little");
        pace.came(4, false, at(1.25));
        let known = pace.get(at(1.25)).unwrap();
        assert!((0.2..0.26).contains(&known), "{known}");
        assert_eq!(pace.get(at(99.0)), Some(known), "it had nothing to do");
        pace.asked(at(99.0));
        assert_eq!(pace.get(at(99.1)), Some(known));
        assert_eq!(pace.get(at(103.0)), Some(4.0), "it is silent");
    }

    #[test]
    fn who_gave_nothing_is_no_faster_than_that() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut pace = Pace::default();
        pace.asked(at(0.0));
        assert_eq!(pace.least(at(0.5)), 0.5);
        pace.stopped(at(3.0));
        assert_eq!((pace.get(at(50.0)), pace.least(at(50.0))), (None, 3.0));
    }
}
