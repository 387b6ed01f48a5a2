//! How fast a web seed ([BEP 19]) is: how much to ask it for at a time, and when to give it up as
//! too slow. The thread of the web seed asks before each request.
//!
//! [BEP 19]: https://www.bittorrent.org/beps/bep_0019.html

use crate::pipeline::MAX_WINDOW;
use std::time::{Duration, Instant};

/// The longest run, in bytes. Each request costs a round trip and the server's opening of a file, so
/// runs are longer than what peers get.
pub(crate) const MAX_RUN: u64 = 4 << 20;

/// The run, in bytes, of a web seed whose speed is unknown.
const FIRST_RUN: u64 = MAX_RUN / 4;

/// The shortest run, in bytes, for a slow web seed.
const MIN_RUN: u64 = 256 << 10;

/// A run is as many bytes as arrive in this time, within the bounds above.
const RUN_TIME: Duration = Duration::from_secs(4);

/// A server that sent less than [`MIN_RATE`] for this long is given up, even before it answers.
const WINDOW: Duration = Duration::from_secs(30);

/// In bytes per second.
const MIN_RATE: u64 = 1024;

#[derive(Debug)]
pub(crate) struct Pace {
    run: u64,
    /// The request in progress: when it began, and how many bytes arrived.
    request: Option<(Instant, u64)>,
    /// While bytes are due: when the current window began, and how many arrived since then.
    window: Option<(Instant, u64)>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            run: FIRST_RUN,
            request: None,
            window: None,
        }
    }
}

impl Pace {
    /// How many blocks of at most `block_len` bytes to ask for next: no more than a peer gets, however
    /// short they are.
    pub(crate) fn run(&self, block_len: u32) -> u32 {
        ((self.run / u64::from(block_len)) as u32).min(MAX_WINDOW)
    }

    pub(crate) fn on_request(&mut self, now: Instant) {
        self.request = Some((now, 0));
        self.window.get_or_insert((now, 0));
    }

    /// Records that there is nothing to ask for: this time does not count.
    pub(crate) fn on_idle(&mut self) {
        self.window = None;
    }

    pub(crate) fn on_bytes(&mut self, bytes: u64) {
        for (_, came) in self.request.iter_mut().chain(&mut self.window) {
            *came += bytes;
        }
    }

    /// Records the end of an answer. Its rate decides how long the next run is.
    pub(crate) fn on_over(&mut self, now: Instant) {
        let Some((since, bytes)) = self.request.take() else {
            return;
        };
        let time = now.duration_since(since);
        if bytes < MIN_RUN && time < RUN_TIME {
            return; // That was the round trip, which tells nothing of the rate.
        }
        let rate = bytes as f64 / time.as_secs_f64().max(0.001);
        let run = rate * RUN_TIME.as_secs_f64();
        self.run = (run as u64).clamp(MIN_RUN, MAX_RUN);
    }

    /// Whether bytes are due, and too few have arrived.
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
    use crate::layout::BLOCK_LEN;

    #[test]
    fn a_run_is_some_seconds_of_what_comes() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.run(BLOCK_LEN), 64);
        let requests = [
            (1 << 20, 1000, 256, 4096),
            (9, 100, 256, 4096),
            (1 << 20, 8000, 32, 512),
            (9, 8000, 16, 256),
            (1 << 20, 0, 256, 4096),
        ];
        for (bytes, ms, long, short) in requests {
            pace.on_request(start);
            pace.on_bytes(bytes);
            pace.on_over(start + Duration::from_millis(ms));
            let runs = [BLOCK_LEN, 1024, 1].map(|block_len| pace.run(block_len));
            assert_eq!(runs, [long, short, MAX_WINDOW], "{bytes} in {ms} ms");
        }
    }

    /// Returns after how many seconds we give up a server that sends `bytes` in each. With `cuts`,
    /// each second is the answer to a request of its own.
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
