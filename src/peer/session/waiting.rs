//! What a conversation waits for. From this the thread knows [where to sleep](crate::peer::turn),
//! and whether others wait for the blocks that it holds.

use super::Session;
use crate::messages::PeerEvent;
use crate::peer::turn::{Blocks, Debts};
use std::time::Instant;

#[cfg(doc)]
use crate::peer::turn::BULK;

/// With at least this many bytes on order, several times [`BULK`], a peer is busy until `BULK` of
/// them are there.
const MUCH: u64 = 512 << 10;

/// If a peer needs at least this many seconds for the blocks on order, its thread need not wake up
/// for each, nor main for its next question.
const LONG: f64 = 0.5;

/// If a seed needs at least this many seconds for the blocks on order, no command of main is urgent:
/// see row 3 of [`turn`](crate::peer::turn).
const VERY_LONG: f64 = 1.0;

/// If a peer needs at least this many seconds for a block (3.3 MB/s), the block comes in up to a
/// dozen packets, far apart: the thread does not wake up for each.
const SLOW: f64 = 0.005;

impl Session {
    /// Returns who owes what. `room`: whether the kernel owes us room.
    pub(crate) fn debts(&self, room: bool, now: Instant) -> Debts {
        let may_ask = self.we_want && !self.peer_chokes;
        let may_be_asked = self.peer_wants && !self.we_choke;
        let owed = self.owed.len() as u32;
        let seconds = self.pipeline.seconds(owed, now);
        // A slow peer has its share of what is missing, and main no more: its end is far all the
        // same.
        let is_far = seconds >= LONG && !self.peer_wants;
        // The block before the last wakes the thread in time.
        let wakes_before = owed >= 2 && self.is_slow(now);
        let no_more_work = self.work.is_hungry();
        let bytes: u64 = self.owed.iter().map(|block| u64::from(block.len())).sum();
        // The last block wakes the thread itself.
        let several_far = is_far && owed >= 2;
        let in_bulk = !self.peer_wants && bytes >= MUCH || no_more_work && several_far;
        // A new piece of ours makes nobody interested who is, or who has all.
        let our_news_can_wait = self.peer_wants || self.theirs.is_full();
        Debts {
            answer: self.work.is_pending() || self.asked_interest || self.asked_unchoke,
            room,
            blocks: match owed {
                0 => Blocks::None,
                _ if several_far && seconds >= VERY_LONG && self.theirs.is_full() => Blocks::Plenty,
                _ if in_bulk => Blocks::Many,
                _ => Blocks::Few,
            },
            uploads: !self.uploads.is_empty(),
            no_more_work: no_more_work && !is_far && !wakes_before,
            news: self.news_due,
            quiet: !may_ask && !may_be_asked && (our_news_can_wait || self.talk.is_quiet(now)),
        }
    }

    /// Whether no event for main is worth waking it up:
    /// - A piece that the peer got makes us interested only if we lack it and wanted nothing of the
    ///   peer so far. Otherwise it changes only how rare the piece is.
    /// - Blocks that were stored complete no piece while the peer owes us others of it. But if it
    ///   owes a single one, main may have more work for it.
    /// - More work is not urgent while the peer needs [`LONG`] for what it owes us.
    pub(crate) fn events_can_wait(&self, now: Instant) -> bool {
        let owes_of = |piece| self.owed.iter().any(|block| block.piece() == piece);
        self.talk.events.iter().all(|event| match event {
            PeerEvent::Have(piece) => self.we_want || self.have.has(*piece),
            PeerEvent::Traffic { .. } => true,
            PeerEvent::Stored(spans) => {
                self.owed.len() >= 2 && spans.iter().all(|span| owes_of(span.piece()))
            }
            PeerEvent::Want(_) => self.pipeline.seconds(self.owed.len() as u32, now) >= LONG,
            _ => false,
        })
    }

    /// Whether the peer sends so slowly that a read should wait for a whole block.
    pub(crate) fn is_slow(&self, now: Instant) -> bool {
        self.pipeline.seconds(1, now) >= SLOW
    }

    /// Whether others wait for the blocks that were received: nothing more is on order, or main has
    /// no more work, and the download's end waits for them.
    pub fn is_last_in_line(&self) -> bool {
        self.owed.is_empty() || self.work.is_hungry()
    }
}
