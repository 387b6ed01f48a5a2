//! How many blocks to have on order at one peer: the request *window*.
//!
//! A block is on order from our request until it arrives. With too few on order, the line is empty
//! while a request travels: if the round trip takes 100 ms, and one block of 16 KiB is on order, we
//! get at most 160 KB a second. With too many on order, a slow peer holds blocks that others could
//! send sooner. The right number is *rate × delay*, and a [`Pipeline`] measures both:
//!
//! 1. It begins with [`FIRST_WINDOW`].
//! 2. It grows: for each block that arrives we request three, while that makes the peer faster and
//!    the window is less than it brings in 2 s. TCP calls this slow start.
//! 3. Then the window follows the measured rate.
//!
//! We obey a peer that tells how many requests it queues (`reqq`, BEP 10). Most of the others serve
//! all requests, but some might refuse or forget those beyond their limit. So they get more than
//! [`DEFAULT_QUEUE`] requests only if the line needs them, and never again once they refused one.
//!
//! All of this counts blocks, not bytes. In a torrent with pieces of 1 KiB a block is as short as the
//! piece, and arrives in a sixteenth of the time. Where this module names bytes, a block has 16 KiB.
//!
//! Each peer's session has one. No clock, no I/O: the time is an argument.

use std::time::{Duration, Instant};

/// The window at first, in blocks: from 12 for a near peer to 500 for a far one. 12 is little,
/// because the peer may be slow: with 32, a leech of 200 seeds at 50 kB/s took back half of what it
/// had requested from each. And in a new swarm other leeches may have ordered the same blocks from
/// the same seed. The window of a near peer soon outgrows it.
pub(crate) const FIRST_WINDOW: std::ops::RangeInclusive<u32> = 12..=DEFAULT_QUEUE;

/// The rate that the first window assumes, in blocks a second: 64 MiB. The first window holds what
/// arrives in one round trip at this rate, within [`FIRST_WINDOW`]: a fast, far peer sends at full
/// rate at once, and a slow one [gives back](Pipeline::bearable) most.
const FIRST_RATE: f64 = 4096.0;

/// The largest window, in blocks: 64 MiB, enough for 5 Gbit/s with a delay of 100 ms.
pub(crate) const MAX_WINDOW: u32 = 4096;

/// How many requests a peer queues that does not tell. libtorrent assumes the same.
pub(crate) const DEFAULT_QUEUE: u32 = 500;

/// With at least this many blocks on order, a peer is busy until a few of them have arrived.
const ENOUGH: u32 = 32;

/// A peer that needs this long for what is on order can wait for the next requests.
const BUSY: Duration = Duration::from_secs(1);

/// How much time the window covers beyond the line's own delay: the peer's disk, its choking of
/// others and our own scheduling make the stream of blocks stutter.
const AHEAD: Duration = Duration::from_secs(2);

/// The most blocks on order for [`AHEAD`], 4 MiB: a fast peer stutters for a shorter time.
const MAX_AHEAD: f64 = 256.0;

/// Blocks that a peer would send later than this are better fetched from others.
const TOO_LATE: Duration = Duration::from_secs(4);

/// The shortest time over which a rate is measured. Over less it would be a matter of chance.
const MIN_ROUND: Duration = Duration::from_millis(20);

/// The request window of one peer.
#[derive(Debug)]
pub struct Pipeline {
    window: u32,
    limit: u32,
    /// Whether the peer has not told how many requests it queues.
    wary: bool,
    growing: bool,
    /// How many rounds in a row the larger window did not raise the rate by 20 %.
    flat_rounds: u32,
    /// The blocks a second over the last rounds.
    rate: f64,
    /// The shortest time from a request to its block: the line's own delay.
    delay: Option<Duration>,
    /// When we sent requests to an idle peer: the next block shows the delay.
    probe: Option<Instant>,
    round_start: Option<Instant>,
    /// How many blocks arrived in this round.
    round_blocks: u32,
    /// How many must still arrive until it is over: at its start, all on order.
    round_left: u32,
}

impl Pipeline {
    /// Starts with the smallest window and nothing measured.
    pub fn new() -> Self {
        Self {
            window: *FIRST_WINDOW.start(),
            limit: MAX_WINDOW,
            wary: true,
            growing: true,
            flat_rounds: 0,
            rate: 0.0,
            delay: None,
            probe: None,
            round_start: None,
            round_blocks: 0,
            round_left: 0,
        }
    }

    pub(crate) fn window(&self) -> u32 {
        self.window
    }

    /// How many blocks to request now, while `on_order` are on order. Once the window has
    /// stopped growing, a peer that is busy gets requests only for a part of the window or more at
    /// once: each batch costs a packet, and a wake-up at the peer. With [`ENOUGH`] on order, the part
    /// is an eighth; with fewer, which take a slow peer [`BUSY`] or longer, a quarter.
    pub fn room(&self, on_order: u32) -> u32 {
        let room = self.window.saturating_sub(on_order);
        let takes_long = f64::from(on_order) >= self.rate * BUSY.as_secs_f64();
        let least = match (self.growing, on_order >= ENOUGH, takes_long) {
            (false, true, _) => self.window / 8,
            (false, false, true) => self.window / 4,
            _ => 0,
        };
        if room < least { 0 } else { room }
    }

    /// How many blocks may stay on order: all while the window grows, later what arrives
    /// within [`TOO_LATE`]. We may have requested more before, and the rest is better fetched from
    /// others.
    pub(crate) fn bearable(&self) -> u32 {
        let in_time = self.rate * TOO_LATE.as_secs_f64();
        match self.growing {
            true => u32::MAX,
            false => self.window.max(in_time as u32),
        }
    }

    /// How many seconds the peer needs at least to send `on_order` blocks. While its rate
    /// is not measured, it counts as if the next block came right now.
    pub(crate) fn seconds(&self, on_order: u32, now: Instant) -> f64 {
        let with_next = |blocks: u32, since: Instant| {
            f64::from(blocks + 1) / now.duration_since(since).as_secs_f64()
        };
        let rate = match (self.round_start, self.probe) {
            _ if self.rate > 0.0 => self.rate,
            (None, None) => return 0.0,
            (Some(start), _) => with_next(self.round_blocks, start),
            (None, Some(sent)) => with_next(0, sent),
        };
        f64::from(on_order) / rate
    }

    /// Obeys the peer, which queues `reqq` requests (BEP 10).
    pub(crate) fn set_limit(&mut self, reqq: u32) {
        self.limit = reqq.clamp(1, MAX_WINDOW);
        self.wary = false;
        self.window = self.window.min(self.limit);
    }

    /// Sets the first window: a block arrives `distance` after its request at the earliest.
    pub fn set_distance(&mut self, distance: Duration) {
        let is_first = self.window == *FIRST_WINDOW.start() && self.delay.is_none();
        if is_first {
            let blocks = (distance.as_secs_f64() * FIRST_RATE) as u32;
            let first = blocks.clamp(*FIRST_WINDOW.start(), *FIRST_WINDOW.end());
            self.window = first.min(self.limit);
        }
    }

    /// Notes that the peer refused or forgot requests, perhaps because there were too many.
    pub(crate) fn on_refused(&mut self) {
        if self.wary {
            self.limit = DEFAULT_QUEUE;
            self.window = self.window.min(self.limit);
        }
    }

    /// Notes that requests were sent. Before them, `on_order` blocks were on order.
    pub fn on_requested(&mut self, on_order: u32, now: Instant) {
        if on_order == 0 {
            // The line was idle: a new round begins, and the next block shows the bare delay.
            self.probe = Some(now);
            self.round_start = None;
        }
    }

    /// Notes that a block arrived. `on_order` others are still on order.
    pub fn on_block(&mut self, on_order: u32, now: Instant) {
        if let Some(sent) = self.probe.take() {
            let delay = now.duration_since(sent);
            self.delay = Some(self.delay.map_or(delay, |best| best.min(delay)));
        }
        if self.growing && self.seconds(self.window, now) < AHEAD.as_secs_f64() {
            self.window = (self.window + 2).min(self.most());
        }
        let Some(start) = self.round_start else {
            // The block that opens a round took its time before the round.
            (self.round_start, self.round_blocks, self.round_left) = (Some(now), 0, on_order);
            return;
        };
        self.round_blocks += 1;
        self.round_left = self.round_left.saturating_sub(1);
        let elapsed = now.duration_since(start);
        if self.round_left == 0 && elapsed >= MIN_ROUND || elapsed >= AHEAD {
            self.end_round(elapsed);
            (self.round_start, self.round_blocks, self.round_left) = (Some(now), 0, on_order);
        }
    }

    fn end_round(&mut self, elapsed: Duration) {
        let rate = f64::from(self.round_blocks) / elapsed.as_secs_f64();
        if self.growing {
            self.flat_rounds = if rate > self.rate * 1.2 {
                0
            } else {
                self.flat_rounds + 1
            };
            self.rate = self.rate.max(rate);
            let ahead = self.rate * AHEAD.as_secs_f64();
            self.growing = self.flat_rounds < 2 && f64::from(self.window) < ahead;
        } else {
            self.rate += (rate - self.rate) * 0.3;
        }
        if !self.growing {
            let delay = self.delay.unwrap_or_default().as_secs_f64();
            let ahead = (self.rate * AHEAD.as_secs_f64()).min(MAX_AHEAD);
            let blocks = self.rate * 2.0 * delay + ahead;
            self.window = (blocks as u32).max(2).min(self.most());
        }
    }

    fn most(&self) -> u32 {
        if !self.wary {
            return self.limit;
        }
        let line = self.rate * 2.0 * self.delay.unwrap_or_default().as_secs_f64();
        self.limit.min((line as u32).max(DEFAULT_QUEUE))
    }

    /// The peer is snubbed: it left our requests unanswered. It gets one request, and the window
    /// grows again when a block arrives.
    pub(crate) fn on_snubbed(&mut self) {
        self.on_refused();
        *self = Self {
            window: 1,
            limit: self.limit,
            wary: self.wary,
            delay: self.delay,
            ..Self::new()
        };
    }
}

impl Default for Pipeline {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::BLOCK_LEN;

    /// Simulates a line of `rate` bytes a second for `seconds` of virtual time. Each request is
    /// answered after `delay` seconds, and after all requests before it. Returns the window, and
    /// the part of the line's rate used in the last second.
    fn line(rate: f64, delay: f64, seconds: f64, reqq: Option<u32>) -> (u32, f64) {
        let start = Instant::now();
        let at = |t: f64| start + Duration::from_secs_f64(t);
        let mut pipeline = Pipeline::new();
        if let Some(reqq) = reqq {
            pipeline.set_limit(reqq);
        }
        pipeline.set_distance(Duration::from_secs_f64(delay));
        let mut arrivals = std::collections::VecDeque::new();
        let (mut now, mut line_free, mut last_second) = (0.0, 0.0f64, 0.0);
        while now < seconds {
            let on_order = arrivals.len() as u32;
            let room = pipeline.room(on_order);
            if room > 0 {
                pipeline.on_requested(on_order, at(now));
            }
            for _ in 0..room {
                line_free = line_free.max(now + delay) + f64::from(BLOCK_LEN) / rate;
                arrivals.push_back(line_free);
            }
            now = arrivals.pop_front().unwrap();
            pipeline.on_block(arrivals.len() as u32, at(now));
            if now > seconds - 1.0 {
                last_second += f64::from(BLOCK_LEN);
            }
        }
        (pipeline.window(), last_second / rate)
    }

    #[test]
    fn fills_any_line() {
        for (name, rate, delay) in [
            ("slow and near", 50e3, 0.001),
            ("slow and far", 200e3, 0.3),
            ("500 Mbit/s at 100 ms", 62.5e6, 0.1),
            ("1 Gbit/s at 200 ms", 125e6, 0.2),
            ("loopback", 1e9, 0.0001),
        ] {
            for reqq in [None, Some(MAX_WINDOW)] {
                let (window, used) = line(rate, delay, 5.0, reqq);
                assert!(
                    used > 0.9,
                    "{name}: only {used:.2} of the line used with {window} blocks"
                );
                let seconds = f64::from(window) * f64::from(BLOCK_LEN) / rate;
                assert!(
                    seconds < 3.0 + 3.0 * delay,
                    "{name}: {seconds:.1} s of work on order"
                );
            }
        }
    }

    #[test]
    fn a_busy_peer_is_asked_for_several_at_once() {
        let mut pipeline = Pipeline::new();
        pipeline.window = 256;
        assert_eq!(pipeline.room(255), 1, "it may be faster still");
        pipeline.growing = false;
        let rooms = [225, 224, ENOUGH, 0].map(|on_order| pipeline.room(on_order));
        assert_eq!(rooms, [0, 32, 224, 256]);
        pipeline.window = ENOUGH + 3;
        assert_eq!(pipeline.room(ENOUGH), 0);
        pipeline.rate = f64::from(ENOUGH);
        assert_eq!(pipeline.room(ENOUGH - 1), 4, "it has little to do");
        pipeline.window = 16;
        pipeline.rate = 8.0;
        let rooms = [13, 12, 8, 7].map(|on_order| pipeline.room(on_order));
        assert_eq!(rooms, [0, 4, 8, 9], "12 take 1.5 s");
    }

    #[test]
    fn the_far_are_asked_for_more_at_first() {
        for (millis, window) in [(1, 12), (50, 204), (100, 409), (30_000, DEFAULT_QUEUE)] {
            let mut pipeline = Pipeline::new();
            pipeline.set_distance(Duration::from_millis(millis));
            assert_eq!(pipeline.window, window, "after {millis} ms");
        }
    }

    #[test]
    fn a_slow_peer_is_never_asked_for_more_than_at_first() {
        let mut pipeline = Pipeline::new();
        let mut now = Instant::now();
        pipeline.on_requested(0, now);
        for on_order in (0..*FIRST_WINDOW.start()).rev() {
            now += Duration::from_millis(300);
            pipeline.on_block(on_order, now);
            let opened = 2; // by the first block, which says nothing of the rate
            assert!(
                pipeline.window <= FIRST_WINDOW.start() + opened,
                "{pipeline:?}"
            );
        }
    }

    #[test]
    fn who_turns_out_to_be_slow_may_keep_what_it_brings_soon() {
        let mut pipeline = Pipeline::new();
        assert_eq!(pipeline.bearable(), u32::MAX, "nothing is known yet");
        pipeline.set_distance(Duration::from_millis(200));
        let mut now = Instant::now();
        pipeline.on_requested(0, now);
        assert_eq!(pipeline.window, DEFAULT_QUEUE);
        for on_order in (0..100).rev() {
            now += Duration::from_millis(200);
            pipeline.on_block(on_order, now);
        }
        assert!((18..=22).contains(&pipeline.bearable()), "{pipeline:?}");
    }

    #[test]
    fn how_long_the_blocks_on_order_take() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pipeline = Pipeline::new();
        assert_eq!(pipeline.seconds(100, start), 0.0, "nothing was asked for");
        pipeline.on_requested(0, start);
        assert_eq!(pipeline.seconds(100, start), 0.0, "nothing is known yet");
        assert_eq!(
            pipeline.seconds(100, at(10)),
            1.0,
            "one block in 10 ms at best"
        );
        pipeline.on_block(9, at(20));
        pipeline.on_block(8, at(30));
        assert_eq!(
            pipeline.seconds(100, at(60)),
            2.0,
            "two blocks in 40 ms at best"
        );
        pipeline.rate = 1.0;
        assert_eq!(pipeline.seconds(3, at(60)), 3.0);
    }

    #[test]
    fn obeys_the_peer() {
        for reqq in [1, 100] {
            assert_eq!(line(62.5e6, 0.1, 5.0, Some(reqq)).0, reqq);
        }
    }

    #[test]
    fn who_says_nothing_gets_more_only_where_the_line_needs_it_and_not_once_it_refused() {
        assert!(line(62.5e6, 0.1, 5.0, None).0 > DEFAULT_QUEUE);
        assert!(line(1e9, 0.0001, 5.0, None).0 <= DEFAULT_QUEUE);
        let mut pipeline = Pipeline::new();
        pipeline.on_refused();
        assert_eq!(pipeline.limit, DEFAULT_QUEUE);
        pipeline.set_limit(2000);
        pipeline.on_refused();
        assert_eq!(pipeline.limit, 2000, "it said so itself");
    }

    #[test]
    fn a_snubbed_peer_gets_one_block_until_it_answers() {
        let mut pipeline = Pipeline::new();
        pipeline.on_snubbed();
        assert_eq!(pipeline.window(), 1);
        pipeline.on_block(0, Instant::now());
        assert_eq!(pipeline.window(), 3);
    }
}
