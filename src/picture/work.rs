//! Which peer was asked for which blocks, and whether they came: the dashes of the first picture.
//!
//! A dash is a run of blocks of one piece that one peer was asked for, from the grant to its end. A
//! row is a piece, counted in the order in which pieces were begun. With more than [`DASHES`]
//! dashes, first all dashes of a peer in a row become one, then two rows become one, then four, and
//! so on.

use super::copies::Rarity;
use super::sums::Ms;
use std::collections::BTreeMap;

const DASHES: usize = 36_000;

pub(super) const ROWS: usize = 16_000;

/// The most runs of blocks that are on order at a time.
const ON_ORDER: usize = 200_000;

/// The most of these of one piece at one peer: a piece of 64 MiB has 4096 blocks.
const OF_A_PIECE: usize = 4096;

/// How a request ended. The numbers are those of the page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum End {
    Stored = 0,
    Choked = 1,
    Refused = 2,
    Slow = 3,
    /// The peer sent nothing for too long.
    Snubbed = 4,
    Cancelled = 5,
    Closed = 6,
    /// It was on order when the trace ended.
    Open = 7,
    /// It was given back, and the trace does not say why.
    GivenBack = 8,
}

impl End {
    /// Why blocks were given back, by the word of the trace.
    pub(super) fn of(why: &str) -> Self {
        match why {
            "choked" => Self::Choked,
            "refused" => Self::Refused,
            "slow" => Self::Slow,
            "snubbed" => Self::Snubbed,
            "cancelled" => Self::Cancelled,
            _ => Self::GivenBack,
        }
    }
}

/// Why a peer was asked for something, as the trace says it. A reason's place in the list is its
/// number on the page. The last two are ours.
const WHY: [&str; 8] = [
    "finish",
    "random",
    "rarest",
    "neighbour",
    "order",
    "alone",
    "",
    "taken over",
];

pub(super) fn why(word: &str) -> u8 {
    let place = WHY.iter().position(|why| *why == word);
    place.unwrap_or(6) as u8
}

/// A run of blocks that a peer was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dash {
    /// The rank of its piece among those that were begun, or a part of that rank, if rows are put
    /// together.
    pub(super) row: u32,
    pub(super) lane: usize,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) granted: Ms,
    pub(super) ended: Ms,
    pub(super) end: End,
    pub(super) why: u8,
}

#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) piece: u32,
    pub(super) at: Ms,
    pub(super) lane: usize,
    pub(super) why: u8,
    pub(super) rarity: Option<Rarity>,
    pub(super) verified: Option<Ms>,
}

#[derive(Clone, Debug)]
struct Ordered {
    from: u32,
    to: u32,
    at: Ms,
    why: u8,
}

#[derive(Default, Debug)]
pub(super) struct Work {
    rank: BTreeMap<u32, u32>,
    pub(super) begun: Vec<Begun>,
    ordered: BTreeMap<(u64, u32), Vec<Ordered>>,
    count: usize,
    pub(super) dashes: Vec<Dash>,
    /// How far dashes are put together: 0 not at all, 1 within a row, then 2, 4, 8 rows.
    level: u32,
}

impl Work {
    /// The rank of `piece`, if it was begun.
    pub(super) fn rank(&self, piece: u32) -> Option<u32> {
        self.rank.get(&piece).copied()
    }

    pub(super) fn begin(&mut self, begun: Begun) {
        self.rank.insert(begun.piece, self.begun.len() as u32);
        self.begun.push(begun);
    }

    /// The peer `conn` is asked for blocks of `piece`. Blocks that it was asked for already stay
    /// so.
    pub(super) fn order(&mut self, at: Ms, conn: u64, piece: u32, blocks: (u32, u32), why: u8) {
        let (from, to) = blocks;
        if from >= to || self.count >= ON_ORDER {
            return;
        }
        let list = self.ordered.entry((conn, piece)).or_default();
        let known = |o: &Ordered| o.from <= from && to <= o.to;
        if list.len() < OF_A_PIECE && !list.iter().any(known) {
            list.push(Ordered { from, to, at, why });
            self.count += 1;
        }
    }

    /// Blocks of `piece` are no longer on order at `conn`, the peer of `lane`.
    pub(super) fn end(
        &mut self,
        at: Ms,
        (conn, lane): (u64, usize),
        piece: u32,
        (from, to): (u32, u32),
        end: End,
    ) {
        let Some(row) = self.rank(piece) else { return };
        let dash = |from, to, granted, why| Dash {
            row,
            lane,
            from,
            to,
            granted,
            ended: at,
            end,
            why,
        };
        let mut list = self.ordered.remove(&(conn, piece)).unwrap_or_default();
        let (before, mut done, mut kept) = (list.len(), Vec::new(), Vec::new());
        for o in list.drain(..) {
            let (first, last) = (o.from.max(from), o.to.min(to));
            if first >= last {
                kept.push(o);
                continue;
            }
            done.push(dash(first, last, o.at, o.why));
            if o.from < first {
                kept.push(Ordered {
                    to: first,
                    ..o.clone()
                });
            }
            if last < o.to {
                kept.push(Ordered { from: last, ..o });
            }
        }
        if done.is_empty() && end == End::Stored && from < to {
            done.push(dash(from, to, at, why("")));
        }
        self.count = (self.count + kept.len()).saturating_sub(before);
        if !kept.is_empty() {
            self.ordered.insert((conn, piece), kept);
        }
        done.into_iter().for_each(|dash| self.push(dash));
    }

    /// The connection `conn` ends, with all that it had on order.
    pub(super) fn gone(&mut self, at: Ms, conn: u64, lane: usize, end: End) {
        let range = self.ordered.range((conn, 0)..=(conn, u32::MAX));
        let pieces: Vec<u32> = range.map(|((_, piece), _)| *piece).collect();
        for piece in pieces {
            self.end(at, (conn, lane), piece, (0, u32::MAX), end);
        }
    }

    /// The connections that have something on order.
    pub(super) fn busy(&self) -> Vec<u64> {
        let mut conns: Vec<u64> = self.ordered.keys().map(|(conn, _)| *conn).collect();
        conns.dedup();
        conns
    }

    fn push(&mut self, dash: Dash) {
        let row = dash.row >> self.shift();
        self.dashes.push(Dash { row, ..dash });
        while self.dashes.len() > DASHES {
            self.merge();
        }
    }

    /// How many bits of a rank the row lacks.
    fn shift(&self) -> u32 {
        self.level.saturating_sub(1)
    }

    pub(super) fn pieces_a_row(&self) -> u32 {
        1 << self.shift()
    }

    /// Whether the dashes of a peer in a row are one.
    pub(super) fn is_summed(&self) -> bool {
        self.level > 0
    }

    /// Puts rows together until there are at most [`ROWS`].
    pub(super) fn fit(&mut self) {
        while self.begun.len() >> self.shift() > ROWS {
            self.merge();
        }
        self.dashes
            .sort_by_key(|dash| (dash.granted, dash.row, dash.from, dash.lane));
    }

    fn merge(&mut self) {
        let before = self.shift();
        self.level += 1;
        let further = self.shift() - before;
        self.dashes.iter_mut().for_each(|dash| dash.row >>= further);
        let key = |dash: &Dash| (dash.row, dash.lane, dash.end != End::Stored);
        self.dashes
            .sort_by_key(|dash| (key(dash), dash.granted, dash.from));
        self.dashes.dedup_by(|next, kept| {
            let same = key(next) == key(kept);
            if same {
                kept.from = kept.from.min(next.from);
                kept.to = kept.to.max(next.to);
                kept.granted = kept.granted.min(next.granted);
                kept.ended = kept.ended.max(next.ended);
            }
            same
        });
    }
}
