//! How fast a web seed ([BEP 19]) is: how much to ask it for at a time, and when it is too
//! slow to be waited for. The web seed's thread is the only user. No clock: the time is an
//! argument.
//!
//! [BEP 19]: https://www.bittorrent.org/beps/bep_0019.html

use crate::layout::BLOCK_LEN;
use std::time::{Duration, Instant};

/// The most blocks asked of a web seed at a time: 4 MiB. Each request costs a round trip
/// and the server's opening of a file, so they are longer than what peers are given.
pub(crate) const MAX_RUN: u32 = (4 << 20) / BLOCK_LEN;

/// What is asked of a web seed that is not known yet.
const FIRST_RUN: u32 = MAX_RUN / 4;

/// A slow one gets no less than this.
const MIN_RUN: u32 = 16;

/// A run is what comes in so long, within these bounds.
const RUN_TIME: Duration = Duration::from_secs(4);

/// A server from which less than [`MIN_RATE`] came for so long is not waited for. The
/// time until it answers counts.
const WINDOW: Duration = Duration::from_secs(30);

/// Bytes a second.
const MIN_RATE: u64 = 1024;

/// What came from one web seed, and when.
#[derive(Debug)]
pub(crate) struct Pace {
    run: u32,
    /// The request that is under way: since when, and how many bytes came.
    request: Option<(Instant, u64)>,
    /// While something is due: when the last window began, and the bytes since then.
    window: Option<(Instant, u64)>,
}

impl Default for Pace {
    /// Nothing is known.
    fn default() -> Self {
        Self {
            run: FIRST_RUN,
            request: None,
            window: None,
        }
    }
}

impl Pace {
    /// How many blocks to ask main for at a time.
    pub(crate) fn run(&self) -> u32 {
        self.run
    }

    /// A request goes out.
    pub(crate) fn on_request(&mut self, now: Instant) {
        self.request = Some((now, 0));
        self.window.get_or_insert((now, 0));
    }

    /// There is nothing to ask for: time that passes is not lost.
    pub(crate) fn on_idle(&mut self) {
        self.window = None;
    }

    /// So many bytes came.
    pub(crate) fn on_bytes(&mut self, bytes: u64) {
        for (_, came) in self.request.iter_mut().chain(&mut self.window) {
            *came += bytes;
        }
    }

    /// All that was asked for is here.
    pub(crate) fn on_over(&mut self, now: Instant) {
        let Some((since, bytes)) = self.request.take() else {
            return;
        };
        let time = now.duration_since(since);
        let few = bytes < u64::from(MIN_RUN * BLOCK_LEN);
        if few && time < RUN_TIME {
            return; // That was the round trip; it tells nothing of the rate.
        }
        let rate = bytes as f64 / time.as_secs_f64().max(0.001);
        let run = rate * RUN_TIME.as_secs_f64() / f64::from(BLOCK_LEN);
        self.run = (run as u32).clamp(MIN_RUN, MAX_RUN);
    }

    /// Whether something is due, and too little of it came.
    pub(crate) fn is_too_slow(&mut self, now: Instant) -> bool {
        let Some((since, bytes)) = self.window else {
            return false;
        };
        let time = now.duration_since(since);
        if time < WINDOW {
            return false;
        }
        self.window = Some((now, 0));
        bytes < MIN_RATE * time.as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_some_seconds_of_what_comes() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.run(), 64);
        let requests = [
            (1 << 20, 1000, 256),
            (9, 100, 256),
            (1 << 20, 8000, 32),
            (9, 8000, 16),
            (1 << 20, 0, 256),
        ];
        for (bytes, ms, run) in requests {
            pace.on_request(start);
            pace.on_bytes(bytes);
            pace.on_over(start + Duration::from_millis(ms));
            assert_eq!(pace.run(), run, "{bytes} in {ms} ms");
        }
    }

    /// After how many seconds a server is given up that sends `bytes` in each of them;
    /// with `cuts`, each time as the answer to a request of its own.
    fn given_up(bytes: u64, cuts: bool) -> Option<u64> {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.on_request(start);
        (1..200).find(|second| {
            let now = start + Duration::from_secs(*second);
            pace.on_bytes(bytes);
            if cuts {
                pace.on_over(now);
                pace.on_request(now);
            }
            pace.is_too_slow(now)
        })
    }

    #[test]
    fn silence_and_drips_are_given_up() {
        for cuts in [false, true] {
            assert_eq!(given_up(0, cuts), Some(30));
            assert_eq!(given_up(1000, cuts), Some(30));
            assert_eq!(given_up(1024, cuts), None);
        }
    }

    #[test]
    fn only_what_is_due_counts() {
        let start = Instant::now();
        let later = start + Duration::from_secs(999);
        let mut pace = Pace::default();
        pace.on_request(start);
        pace.on_over(start);
        pace.on_idle();
        assert!(!pace.is_too_slow(later));
        pace.on_request(later);
        assert!(!pace.is_too_slow(later + Duration::from_secs(29)));
        assert!(pace.is_too_slow(later + Duration::from_secs(30)));
    }
}
