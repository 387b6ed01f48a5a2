//! The queue of events to come in the [`World`](super::World), and their order.

use crate::layout::PieceIndex;
use crate::types::PeerKey;
use std::time::Duration;

/// An event of a node, given by its number. A key says at which of its connections.
pub(super) enum Event {
    /// A handshake arrives here; the flag says whether this side dialled.
    Greet(usize, PeerKey, bool),
    Arrive(usize, PeerKey),
    LineFree(usize),
    Wake(usize, PeerKey),
    Tick(usize),
    /// Verdicts for this node, in this life.
    Verdicts(usize, u32, Vec<PieceIndex>),
    Hashes(usize, u32, PieceIndex),
    Surveyed(usize, u32),
    Refused(usize, PeerKey),
}

/// An event to come. Of two at the same time, the older one comes first.
pub(super) struct Due {
    pub when: Duration,
    pub count: u64,
    pub event: Event,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.when, self.count).cmp(&(other.when, other.count))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}
