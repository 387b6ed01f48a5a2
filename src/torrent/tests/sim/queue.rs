//! What is to happen in the [`World`](super::World), and in which order.

use crate::layout::PieceIndex;
use crate::types::PeerKey;
use std::time::Duration;

/// Something that happens to a node, which is named by its number; to its end of a connection,
/// if a key is there.
pub(super) enum Event {
    /// A handshake comes to this side; and whether it dialled.
    Greet(usize, PeerKey, bool),
    Arrive(usize, PeerKey),
    LineFree(usize),
    Wake(usize, PeerKey),
    Tick(usize),
    /// To this node, in this life.
    Verdicts(usize, u32, Vec<PieceIndex>),
    Hashes(usize, u32, PieceIndex),
    Surveyed(usize, u32),
    Refused(usize, PeerKey),
}

/// An event to come; of those at the same time, the one that was made first.
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
