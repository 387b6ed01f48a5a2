//! How many bytes of ours may wait in the kernel, so that a message does not wait behind them for
//! long. Each peer's [socket](super::socket) has its own bound. No I/O.
//!
//! A peer gets all our messages over one TCP connection ([BEP 3]), in order: blocks, and also
//! requests, HAVEs, cancels and chokes. The kernel keeps what we write in a buffer, and sends it as
//! fast as the line and the peer allow. Left alone, Linux lets this buffer grow to 4 MB. A peer that
//! gets a quarter of a home line of 2 MB/s needs 8 s to receive that.
//!
//! In a swarm of fifteen leeches, each uploading 2 MB/s, half of our messages waited for 1.5 s like
//! this, and a tenth for 3.3 s or longer. A peer that had just unchoked us sometimes choked us again
//! before it saw our first request. With the bound below, half wait for 0.5 s, of which 0.15 s are
//! the way to the peer, and a tenth for 1.4 s or longer.
//!
//! So the kernel takes only what it sends in the next eighth to quarter of a second (the option is
//! `TCP_NOTSENT_LOWAT`), and one packet of up to 64 KiB. The rest waits with us, where a choke or a
//! cancel still reaches it. The thread adds more at least ten times a second, so the line is never
//! idle.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use std::time::{Duration, Instant};

/// The kernel may hold as much as it takes in this time, rounded down to a power of two. Half of it is
/// still longer than the longest sleep of a thread that has blocks to send, a
/// [`TICK`](super::turn::TICK), so that the line never waits for it.
const AHEAD: Duration = Duration::from_millis(250);

/// The kernel may hold this many bytes even for the slowest peer: a block.
pub(crate) const LEAST: u32 = crate::layout::BLOCK_LEN;

/// More than Linux buffers for any connection, as it is usually set up. No bound.
const MOST: u32 = 8 << 20;

/// The bound for one connection, which follows the rate at which the kernel takes bytes.
#[derive(Debug)]
pub(crate) struct Unsent {
    /// The most bytes that the kernel may hold before it has sent them: a power of two, so that it
    /// seldom changes.
    most: u32,
    /// How many bytes the kernel took since `since`.
    taken: u64,
    since: Instant,
}

impl Unsent {
    /// Begins with [`LEAST`].
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            most: LEAST,
            taken: 0,
            since: now,
        }
    }

    /// The kernel took `bytes` bytes.
    pub(crate) fn on_taken(&mut self, bytes: usize) {
        self.taken += bytes as u64;
    }

    /// Looks at the rate, four times a second. Returns the new bound in bytes, if it changes.
    pub(crate) fn on_tick(&mut self, now: Instant) -> Option<u32> {
        let time = now.duration_since(self.since);
        if time < AHEAD {
            return None;
        }
        self.since = now;
        let taken = std::mem::take(&mut self.taken);
        let ahead = (taken as f64 * AHEAD.as_secs_f64() / time.as_secs_f64()) as u64;
        let ahead = ahead.clamp(LEAST.into(), MOST.into()) as u32;
        let most = 1 << ahead.ilog2();
        (std::mem::replace(&mut self.most, most) != most).then_some(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bounds that follow one another when the kernel takes `rates` bytes a second, each for a
    /// second.
    fn bounds(rates: &[usize]) -> Vec<u32> {
        let mut now = Instant::now();
        let mut unsent = Unsent::new(now);
        let mut seen = Vec::new();
        for rate in rates {
            for _ in 0..20 {
                now += Duration::from_millis(50);
                unsent.on_taken(rate / 20);
                seen.extend(unsent.on_tick(now));
            }
        }
        seen
    }

    #[test]
    fn the_bound_follows_the_rate() {
        let slow = bounds(&[0, 10_000, 60_000]);
        assert!(slow.is_empty(), "a block is always allowed: {slow:?}");
        assert_eq!(bounds(&[500_000, 500_000]), [64 << 10], "changed only once");
        assert_eq!(
            bounds(&[500_000, 2_000_000, 0]),
            [64 << 10, 256 << 10, LEAST]
        );
        assert_eq!(bounds(&[10_000_000_000]), [MOST]);
    }

    /// The thread of a peer that owes us blocks may sleep for a tick. Meanwhile the kernel sends
    /// what it holds, and no more.
    #[test]
    fn the_bound_slows_nobody_down() {
        let tick = super::super::turn::TICK;
        let mut now = Instant::now();
        let mut unsent = Unsent::new(now);
        let mut taken = 0;
        for _ in 0..30 {
            now += tick;
            taken = unsent.most.min(10_000_000);
            unsent.on_taken(taken as usize);
            unsent.on_tick(now);
        }
        let rate = f64::from(taken) / tick.as_secs_f64();
        assert!(rate > 80_000_000.0, "{rate} bytes a second after 3 s");
    }
}
