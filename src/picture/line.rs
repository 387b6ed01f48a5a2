//! Reads one line of a trace.
//!
//! One struct holds the keys of all facts; a missing key is a missing value, and an unknown key is
//! skipped. [`Event::read`](crate::trace::Event::read) reads the same lines and takes only complete
//! facts. A picture needs less: it can be drawn of a later version's trace, or of one that
//! somebody's own client wrote with half of the keys.

use serde::Deserialize;

/// The latest time that is believed, in seconds: 31 years. It keeps sums far from overflow.
const LATEST: f64 = 1e9;

#[derive(Deserialize, Default, Debug)]
#[serde(default)]
pub(super) struct Line {
    t: f64,
    pub(super) fact: String,
    pub(super) node: u32,
    pub(super) torrent: Option<String>,
    pub(super) peer: Option<u64>,
    pub(super) piece: Option<u32>,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) by: Option<u64>,
    pub(super) too: bool,
    pub(super) who: String,
    pub(super) why: String,
    pub(super) name: String,
    pub(super) node_name: String,
    pub(super) peer_id: String,
    pub(super) client: String,
    pub(super) addr: String,
    pub(super) over: String,
    pub(super) total_bytes: u64,
    pub(super) piece_length: u64,
    pub(super) pieces: u32,
    pub(super) have: String,
    pub(super) bits: String,
    pub(super) bytes: u64,
    pub(super) on_order: u32,
    blocks: Blocks,
    pub(super) unchoked: Vec<u64>,
    pub(super) optimistic: Option<u64>,
    pub(super) wanting: Vec<(u64, f64)>,
    pub(super) slots: Option<u32>,
    pub(super) seeding: bool,
    pub(super) facts: u64,
}

/// `blocks` is a number in `window`, and a list in `banned`.
#[derive(Deserialize, Debug)]
#[serde(untagged)]
enum Blocks {
    Count(u32),
    List(Vec<u32>),
}

impl Default for Blocks {
    fn default() -> Self {
        Self::Count(0)
    }
}

impl Line {
    /// `None`: the line is no fact.
    pub(super) fn read(text: &str) -> Option<Self> {
        let line: Self = serde_json::from_str(text).ok()?;
        (!line.fact.is_empty()).then_some(line)
    }

    /// When it happened, in milliseconds since the start.
    pub(super) fn at(&self) -> u64 {
        (self.t.clamp(0.0, LATEST) * 1000.0).round() as u64
    }

    /// How many blocks may be on order.
    pub(super) fn window(&self) -> u32 {
        match self.blocks {
            Blocks::Count(count) => count,
            Blocks::List(_) => 0,
        }
    }

    /// The blocks that differed, as far as they are worth telling.
    pub(super) fn differed(&self) -> &[u32] {
        match &self.blocks {
            Blocks::Count(_) => &[],
            Blocks::List(list) => &list[..list.len().min(8)],
        }
    }
}

/// The pieces below `pieces` whose bits are set in `hex`, a bitfield in hex digits.
pub(super) fn bits(hex: &str, pieces: u32) -> impl Iterator<Item = u32> {
    let nibbles = hex.bytes().map(|digit| char::from(digit).to_digit(16));
    let numbered = (0..pieces).step_by(4).zip(nibbles);
    numbered.flat_map(move |(first, nibble)| {
        let nibble = nibble.unwrap_or(0);
        (0..4)
            .filter(move |bit| nibble & (8 >> bit) != 0)
            .map(move |bit| first + bit)
            .filter(move |piece| *piece < pieces)
    })
}
