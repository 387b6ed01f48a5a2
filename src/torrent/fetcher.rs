//! Everybody that fetches blocks for a torrent, as the work that they are given sees them.
//!
//! Peers ([BEP 3]) and web seeds ([BEP 19]) get work by the same rules. A [`Fetcher`] holds
//! what those rules need to know of either. [`peers`](super::peers) and [`web`](super::web)
//! add what only one of the two has.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 19]: https://www.bittorrent.org/beps/bep_0019.html

use super::rate::Rate;
use crate::bitfield::Bitfield;
use crate::layout::BLOCK_LEN;
use crate::shortage::Shortage;
use std::time::{Duration, Instant};

/// How long after the first request a fetcher's pace is trusted.
const MEASURED_AFTER: Duration = Duration::from_millis(50);

/// A connection that is given work.
#[derive(Debug)]
pub(super) struct Fetcher {
    /// The pieces that can be fetched over it.
    pub(super) have: Bitfield,
    /// Blocks that it could be asked for besides what it has on order.
    pub(super) wants: u32,
    /// Cancels that its thread has not answered yet.
    pub(super) cancels: u32,
    /// It owes us blocks and has sent none for 20 s.
    pub(super) snubbed: bool,
    /// We hung up, and would gain nothing from connecting again: see
    /// [`Ending::Useless`](crate::swarm::Ending::Useless).
    pub(super) useless: bool,
    /// We hung up because we are short of this. The other side did nothing wrong.
    pub(super) shed: Option<Shortage>,
    /// When it was first given work.
    pub(super) first_asked: Option<Instant>,
    /// How fast blocks came from it lately.
    pub(super) down: Rate,
    /// Bytes of the blocks that came from it.
    pub(super) gave: u64,
}

impl Fetcher {
    pub(super) fn new(have: Bitfield) -> Self {
        Self {
            have,
            wants: 0,
            cancels: 0,
            snubbed: false,
            useless: false,
            shed: None,
            first_asked: None,
            down: Rate::default(),
            gave: 0,
        }
    }

    /// Returns the seconds that one block takes, or `None` if it is too early to tell.
    pub(super) fn pace(&self, now: Instant) -> Option<f64> {
        let measured = self
            .first_asked
            .is_some_and(|at| now.duration_since(at) >= MEASURED_AFTER);
        match (self.snubbed, measured) {
            (true, _) => Some(f64::INFINITY),
            (_, false) => None,
            _ => Some(f64::from(BLOCK_LEN) / self.down.get(now)),
        }
    }
}
