//! Lists with a limit: when one is full, neighbours in time are put together. So a trace of any
//! length makes a page of bounded size, and the page of a usual trace is exact.

use std::collections::{BTreeMap, BTreeSet};

/// Milliseconds since the start of the trace.
pub(super) type Ms = u64;

/// The most samples of all lanes together.
const SAMPLES: usize = 20_000;

/// What a lane did in one step of time.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub(super) struct Sample {
    /// Bytes that the peer gave us.
    pub(super) gave: u64,
    /// Bytes that we gave the peer.
    pub(super) took: u64,
    /// The most blocks that were on order, plus 1; 0: not said.
    pub(super) on_order: u32,
    /// The most blocks that might have been, plus 1; 0: not said.
    pub(super) window: u32,
}

/// What each lane did, by steps of [`step`](Self::step) milliseconds.
#[derive(Debug)]
pub(super) struct Samples {
    pub(super) step: Ms,
    pub(super) list: BTreeMap<(usize, u64), Sample>,
}

impl Default for Samples {
    fn default() -> Self {
        let (step, list) = (250, BTreeMap::new());
        Self { step, list }
    }
}

impl Samples {
    pub(super) fn add(&mut self, at: Ms, lane: usize, more: Sample) {
        self.put((lane, at / self.step), more);
        while self.list.len() > SAMPLES {
            self.step *= 2;
            for ((lane, step), sample) in std::mem::take(&mut self.list) {
                self.put((lane, step / 2), sample);
            }
        }
    }

    fn put(&mut self, key: (usize, u64), more: Sample) {
        let sample = self.list.entry(key).or_default();
        sample.gave = sample.gave.saturating_add(more.gave);
        sample.took = sample.took.saturating_add(more.took);
        sample.on_order = sample.on_order.max(more.on_order);
        sample.window = sample.window.max(more.window);
    }
}

/// The most spans of one [`Spans`].
const SPANS: usize = 10_000;

/// The most pairs: each keeps a span, however long the gaps that are filled.
const PAIRS: usize = SPANS / 2;

/// From when to when something held between two: one unchoked the other, say.
#[derive(Default, Debug)]
pub(super) struct Spans {
    open: BTreeMap<(usize, usize), Ms>,
    list: Vec<(usize, usize, Ms, Ms)>,
    pairs: BTreeSet<(usize, usize)>,
    pub(super) is_full: bool,
    /// Gaps of at most this length, in ms, are filled.
    pub(super) gap: Ms,
}

impl Spans {
    /// It holds from now on. There is room for the first [`PAIRS`].
    pub(super) fn begin(&mut self, at: Ms, pair: (usize, usize)) {
        if self.pairs.len() < PAIRS {
            self.pairs.insert(pair);
        }
        match self.pairs.contains(&pair) {
            true => _ = self.open.entry(pair).or_insert(at),
            false => self.is_full = true,
        }
    }

    pub(super) fn end(&mut self, at: Ms, pair: (usize, usize)) {
        if let Some(from) = self.open.remove(&pair) {
            self.list.push((pair.0, pair.1, from, at.max(from)));
            self.fit();
        }
    }

    /// Ends all, and puts them in order.
    pub(super) fn finish(&mut self, at: Ms) {
        for (pair, from) in std::mem::take(&mut self.open) {
            self.list.push((pair.0, pair.1, from, at.max(from)));
        }
        self.fit();
        self.list.sort_unstable();
    }

    /// All that have ended: between whom, from when, to when.
    pub(super) fn all(&self) -> &[(usize, usize, Ms, Ms)] {
        &self.list
    }

    /// Makes room for a quarter of all spans, if none is left.
    fn fit(&mut self) {
        if self.list.len() > SPANS {
            self.merge();
            while self.list.len() > SPANS / 4 * 3 {
                self.gap = (self.gap * 2).max(100);
                self.merge();
            }
        }
    }

    fn merge(&mut self) {
        self.list.sort_unstable();
        let gap = self.gap;
        self.list.dedup_by(|next, kept| {
            let near = (next.0, next.1) == (kept.0, kept.1) && next.2 <= kept.3 + gap;
            if near {
                kept.3 = kept.3.max(next.3);
            }
            near
        });
    }
}

/// A list that loses every second item when it is full.
#[derive(Debug)]
pub(super) struct Thinned<T> {
    limit: usize,
    seen: usize,
    every: usize,
    pub(super) list: Vec<T>,
}

impl<T> Thinned<T> {
    pub(super) fn new(limit: usize) -> Self {
        let list = Vec::new();
        Self {
            limit,
            seen: 0,
            every: 1,
            list,
        }
    }

    pub(super) fn push(&mut self, item: T) {
        if self.seen.is_multiple_of(self.every) {
            self.list.push(item);
        }
        self.seen += 1;
        if self.list.len() > self.limit {
            let mut at = 0;
            self.list.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.every *= 2;
        }
    }

    pub(super) fn seen(&self) -> usize {
        self.seen
    }

    /// Of how many items one is kept.
    pub(super) fn every(&self) -> usize {
        self.every
    }
}
