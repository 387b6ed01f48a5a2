//! How fast bytes move: measured rates, and the limits of `--download-limit` and `--upload-limit`.
//!
//! The torrent measures its peers with a [`Rate`]. The engine owns the [`Budgets`], which all
//! torrents share.

use std::time::Instant;

/// After this many seconds a byte counts only a third (1/e) as much.
const MEMORY: f64 = 5.0;

/// After this many seconds without a byte the rate is 0. Fading alone would take a minute and a
/// half from 100 MB/s, and only at 0 does the user hear why nothing comes.
const SILENT: f64 = 15.0;

/// Bytes a second over the last few seconds. Bytes fade with age, without buckets or ticks, and a
/// clock that has just begun to run does not make the rate look small.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    /// The bytes that had not faded at `at`.
    value: f64,
    at: Option<Instant>,
    since: Option<Instant>,
}

impl Rate {
    /// Starts the clock, if it does not run yet. From now on, time without bytes lowers the rate.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    pub(crate) fn add(&mut self, bytes: u64, now: Instant) {
        self.begin(now);
        self.value = self.faded(now) + bytes as f64;
        self.at = Some(now);
    }

    /// In bytes a second.
    pub(crate) fn get(&self, now: Instant) -> f64 {
        // An age near 0 would give an absurdly high rate.
        self.over(0.01, now)
    }

    /// In bytes a second, as if the clock had run for `least` seconds at least.
    pub(crate) fn over(&self, least: f64, now: Instant) -> f64 {
        let age = self
            .since
            .map_or(0.0, |since| now.duration_since(since).as_secs_f64());
        self.faded(now) / (MEMORY * (1.0 - (-age.max(least) / MEMORY).exp()))
    }

    fn faded(&self, now: Instant) -> f64 {
        let idle = self
            .at
            .map_or(0.0, |at| now.duration_since(at).as_secs_f64());
        match idle < SILENT {
            true => self.value * (-idle / MEMORY).exp(),
            false => 0.0,
        }
    }
}

/// What may still be spent of a limit. Bytes are added at the limit's rate.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Bytes a second; 0 means no limit.
    rate: u64,
    bytes: f64,
    at: Instant,
}

impl Budget {
    /// Makes a limit of `rate` bytes a second; 0 means no limit.
    pub fn new(rate: u64, now: Instant) -> Self {
        Self {
            rate,
            bytes: 0.0,
            at: now,
        }
    }

    /// How many bytes may be spent now. Unspent bytes add up to at most 0.2 s of the limit,
    /// but to at least 128 KiB, the largest block that we serve, or a low limit would never let one
    /// through.
    pub fn available(&mut self, now: Instant) -> u64 {
        if self.rate == 0 {
            return u64::MAX;
        }
        let most = (self.rate as f64 / 5.0).max(f64::from(crate::layout::MAX_SERVED_LEN));
        let came = now.duration_since(self.at).as_secs_f64() * self.rate as f64;
        self.bytes = (self.bytes + came).min(most);
        self.at = now;
        self.bytes.max(0.0) as u64
    }

    /// Takes `bytes` from the budget.
    pub fn spend(&mut self, bytes: u64) {
        if self.rate > 0 {
            self.bytes -= bytes as f64;
        }
    }
}

/// The limits of the whole process. Main lends them to one torrent at a time.
#[derive(Clone, Copy, Debug)]
pub struct Budgets {
    /// For blocks to be requested.
    pub down: Budget,
    /// For blocks to be sent.
    pub up: Budget,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_steady_flow_reads_as_its_rate_at_any_age() {
        let start = Instant::now();
        let mut rate = Rate::default();
        rate.begin(start);
        for tenth in 1..=300u32 {
            let now = start + Duration::from_millis(100) * tenth;
            rate.add(1000, now);
            assert!(
                (9_500.0..11_500.0).contains(&rate.get(now)),
                "after {tenth}: {}",
                rate.get(now)
            );
        }
        let later = |seconds: u64| rate.get(start + Duration::from_secs(30 + seconds)) as u64;
        assert!((300..800).contains(&later(14)), "{}", later(14));
        assert_eq!(later(15), 0);
    }

    #[test]
    fn a_burst_at_the_start_counts_less_over_a_longer_time() {
        let start = Instant::now();
        let at = start + Duration::from_millis(500);
        let mut rate = Rate::default();
        rate.begin(start);
        rate.add(1000, at);
        let rates = [0.01, 2.0].map(|least| rate.over(least, at) as u64);
        assert_eq!(rates, [2101, 606]);
        assert_eq!(rate.get(at) as u64, 2101);
    }

    #[test]
    fn a_budget_lets_through_what_the_limit_says() {
        let start = Instant::now();
        let mut budget = Budget::new(1_000_000, start);
        let mut spent = 0;
        for tick in 1..=100u32 {
            let bytes = budget.available(start + Duration::from_millis(100) * tick);
            budget.spend(bytes);
            spent += bytes;
        }
        assert!(
            (9_900_000..=10_000_000).contains(&spent),
            "{spent} bytes in 10 s"
        );
        assert_eq!(Budget::new(0, start).available(start), u64::MAX);
    }
}
