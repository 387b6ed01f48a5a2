//! What is about to happen in a [`Swarm`](super::Swarm), and in which order.

use crate::layout::PieceIndex;
use crate::messages::PeerEvent;
use crate::types::PeerKey;
use std::time::Duration;

/// An event of a node, given by its number. The key is that of its connection.
pub(super) enum Event {
    Join(usize),
    Leave(usize),
    /// A handshake arrives here; the flag says whether this side dialled.
    Greet(usize, PeerKey, bool),
    Arrive(usize, PeerKey),
    LineFree(usize),
    Wake(usize, PeerKey),
    Tick(usize),
    /// Nobody is at the address that it dialled.
    Refused(usize, PeerKey),
    /// The checker has an answer for this node in this life.
    Checked(usize, u32, Check),
}

pub(super) enum Check {
    Pieces(Vec<PieceIndex>),
    Blocks(PieceIndex),
    Files,
}

/// What happened at this moment and is not handled yet.
pub(super) enum Now {
    ToMain(usize, PeerKey, PeerEvent),
    Turn(usize, PeerKey),
}

/// An event to come. Of two at the same time, the older comes first.
pub(super) struct Due {
    pub(super) when: Duration,
    pub(super) count: u64,
    pub(super) event: Event,
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
