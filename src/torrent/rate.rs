//! Rates and their limits: how fast lately, as an average that forgets, and how much may
//! be moved now under `--download-limit` and `--upload-limit`. The torrent uses it; the
//! engine keeps the budgets, which all torrents share. No clock: the time is an argument.

use std::time::Instant;

/// Seconds after which a byte counts only a third (1/e) as much.
const MEMORY: f64 = 5.0;

/// Seconds without a byte after which the rate is 0. Fading alone would take a minute and a
/// half from 100 MB/s, and the user hears only then why nothing comes.
const SILENT: f64 = 15.0;

/// Bytes a second over the last few seconds, without buckets or ticks: what was added
/// fades by and by, and a young average is not held against its age.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    /// Bytes, faded, as of `at`.
    value: f64,
    at: Option<Instant>,
    since: Option<Instant>,
}

impl Rate {
    /// Starts the clock, if it does not run: from here on, time without bytes counts.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// So many bytes came (or went).
    pub(crate) fn add(&mut self, bytes: u64, now: Instant) {
        self.begin(now);
        self.value = self.faded(now) + bytes as f64;
        self.at = Some(now);
    }

    /// Bytes a second.
    pub(crate) fn get(&self, now: Instant) -> f64 {
        let age = self
            .since
            .map_or(0.0, |since| now.duration_since(since).as_secs_f64());
        // A moment is too short to tell anything.
        let age = age.max(0.01);
        self.faded(now) / (MEMORY * (1.0 - (-age / MEMORY).exp()))
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

/// What may still be spent of a limit: bytes that trickle in at the limit's rate.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Bytes a second; 0: no limit.
    rate: u64,
    bytes: f64,
    at: Instant,
}

impl Budget {
    /// A limit of `rate` bytes a second; 0: none.
    pub fn new(rate: u64, now: Instant) -> Self {
        Self {
            rate,
            bytes: 0.0,
            at: now,
        }
    }

    /// How many bytes may be spent now. At most a fifth of a second's worth is saved
    /// up, but a block at least, or a low limit would never let one through.
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

    /// Spends `bytes`.
    pub fn spend(&mut self, bytes: u64) {
        if self.rate > 0 {
            self.bytes -= bytes as f64;
        }
    }
}

/// The limits of the whole process; main lends them to each torrent in turn.
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
