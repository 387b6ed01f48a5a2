//! Lab 6: how many requests to have out. `README.md` beside this file is the page.

mod yours;

use crate::frame::{Check, holds, lab};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use storrent::parts::layout::BLOCK_LEN;
use storrent::parts::pipeline::Pipeline;
use yours::Yours;

/// What you write. Times are since the connection began; a block is 16 KiB.
pub(crate) trait Window {
    /// The peer is `distance` away: connecting took one round trip.
    fn new(distance: Duration) -> Self;

    /// How many blocks to request now, if `on_order` are requested and not there yet.
    fn room(&self, on_order: u32) -> u32;

    /// Requests were sent; before them, `on_order` blocks were on order.
    fn on_requested(&mut self, on_order: u32, now: Duration);

    /// A block came; `on_order` others are still on order.
    fn on_block(&mut self, on_order: u32, now: Duration);
}

struct Blank;

impl Window for Blank {
    fn new(_: Duration) -> Self {
        Self
    }

    /// One at a time.
    fn room(&self, on_order: u32) -> u32 {
        1 - on_order.min(1)
    }

    fn on_requested(&mut self, _: u32, _: Duration) {}

    fn on_block(&mut self, _: u32, _: Duration) {}
}

struct Real {
    pipeline: Pipeline,
    start: Instant,
}

impl Window for Real {
    fn new(distance: Duration) -> Self {
        let mut pipeline = Pipeline::new();
        pipeline.set_distance(distance);
        let start = Instant::now();
        Self { pipeline, start }
    }

    fn room(&self, on_order: u32) -> u32 {
        self.pipeline.room(on_order)
    }

    fn on_requested(&mut self, on_order: u32, now: Duration) {
        self.pipeline.on_requested(on_order, self.start + now);
    }

    fn on_block(&mut self, on_order: u32, now: Duration) {
        self.pipeline.on_block(on_order, self.start + now);
    }
}

/// A line: bytes a second, and the seconds from a request to its block if nothing else is on order.
struct Line {
    rate: f64,
    delay: f64,
}

/// More requests than any peer would keep.
const TOO_MANY: usize = 20_000;

/// A thousand blocks, or five seconds of virtual time, on `line`. In the last second the window
/// should use at least 9 tenths of it, and have at most 3 s of work and three delays on order.
fn fills<W: Window>(line: &Line, hint: &str) -> Check {
    let &Line { rate, delay } = line;
    let block = f64::from(BLOCK_LEN);
    let end = (1000.0 * block / rate).max(5.0);
    let mut window = W::new(Duration::from_secs_f64(delay));
    let mut arrivals: VecDeque<f64> = VecDeque::new();
    let (mut now, mut line_free, mut last_second, mut most) = (0.0, 0.0f64, 0.0, 0);
    let input = format!(
        "a line of {:.2} MB/s, {:.1} ms away",
        rate / 1e6,
        delay * 1e3
    );
    while now < end {
        let room = window.room(arrivals.len() as u32);
        if room > 0 {
            window.on_requested(arrivals.len() as u32, Duration::from_secs_f64(now));
        }
        // Each block begins to arrive after the delay, and after all blocks before it.
        for _ in 0..room.min(TOO_MANY as u32) {
            line_free = line_free.max(now + delay) + block / rate;
            arrivals.push_back(line_free);
        }
        let few = arrivals.len() < TOO_MANY;
        holds(
            few,
            &input,
            format!("{} blocks on order", arrivals.len()),
            "fewer",
            hint,
        )?;
        let Some(next) = arrivals.pop_front() else {
            let hint = "nothing is on order, and nothing will ever happen again";
            return holds(false, &input, "no requests", "at least one", hint);
        };
        now = next;
        window.on_block(arrivals.len() as u32, Duration::from_secs_f64(now));
        if now > end - 1.0 {
            last_second += block;
            most = most.max(arrivals.len());
        }
    }
    let used = 100.0 * last_second / rate;
    let enough = "at least 90 % of the line in the last second";
    holds(
        used >= 90.0,
        &input,
        format!("{used:.1} % of the line"),
        enough,
        hint,
    )?;
    let work = most as f64 * block / rate;
    let (limit, yours) = (
        3.0 + 3.0 * delay,
        format!("{most} blocks, {work:.1} s of work, on order"),
    );
    holds(
        work <= limit,
        &input,
        yours,
        &format!("at most {limit:.1} s of work"),
        hint,
    )
}

lab!(near_and_fast far_and_fast far_and_slow any_line);

fn near_and_fast<W: Window>() -> Check {
    let hint = "even on one machine, one request at a time leaves the line idle between two blocks";
    fills::<W>(
        &Line {
            rate: 1e9,
            delay: 0.0001,
        },
        hint,
    )
}

fn far_and_fast<W: Window>() -> Check {
    let hint = "while a block travels, others must: rate × delay is on its way, here 6 MB";
    fills::<W>(
        &Line {
            rate: 62.5e6,
            delay: 0.1,
        },
        hint,
    )
}

fn far_and_slow<W: Window>() -> Check {
    let hint =
        "what is on order at a slow peer, no other peer brings: a few seconds of work are enough";
    fills::<W>(
        &Line {
            rate: 100e3,
            delay: 0.4,
        },
        hint,
    )
}

fn any_line<W: Window>() -> Check {
    for rate in [50e3, 500e3, 5e6, 50e6] {
        for delay in [0.001, 0.02, 0.3] {
            fills::<W>(
                &Line { rate, delay },
                "measure: no fixed number fits all lines",
            )?;
        }
    }
    Ok(())
}
