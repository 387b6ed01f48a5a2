//! The blocks that we fetch from the peer: what main wants, what we requested, and what came ([BEP
//! 3]: `request`, `piece`, `cancel`, `choke`; [BEP 6]: `reject`).
//!
//! A block is first in the *backlog*. Once we have requested it, the peer *owes* it. The
//! [`Pipeline`](crate::pipeline::Pipeline) limits how many blocks may be owed. A block ends by
//! arriving, or goes back to main if the peer chokes us, refuses it, or is too slow.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 6]: https://www.bittorrent.org/beps/bep_0006.html

use super::Session;
use crate::layout::{Block, PieceIndex, RawBlock, Span, spans_of};
use crate::messages::PeerEvent;
use crate::peer::error::PeerError;
use crate::pipeline::MAX_WINDOW;
use crate::trace::GivenBack;
use crate::wire::Message;
use std::collections::VecDeque;
use std::time::Instant;

/// A peer that does not choke us is dropped after more than this many rejects in a row.
pub(super) const MAX_REJECTS: u32 = 300;

/// The most blocks in the backlog beyond the request window: 1 MiB, if they have 16 KiB.
const MAX_RESERVE: u32 = 64;

/// How many cancelled requests without an answer we remember: two of the largest windows.
const MAX_STRAYS: usize = 2 * MAX_WINDOW as usize;

impl Session {
    pub(super) fn fetch(&mut self, spans: Vec<Span>) {
        self.work.on_fetch(&spans);
        if self.peer_chokes {
            // It choked us while main answered.
            if !spans.is_empty() {
                self.talk
                    .tell(PeerEvent::Released(spans, GivenBack::Choked));
            }
            return;
        }
        for span in spans {
            self.backlog.extend(self.layout.blocks_of(span));
        }
    }

    /// Drops these spans, because others bring them. (The thread has already dropped received but
    /// unwritten blocks.)
    pub(super) fn cancel(&mut self, spans: Vec<Span>) {
        let cancelled = |block: &Block| spans.iter().any(|span| span.contains(*block));
        self.backlog.retain(|block| !cancelled(block));
        let (gone, rest) = self.owed.drain(..).partition(cancelled);
        self.owed = rest;
        self.withdraw(&gone);
        // Bytes that came in vain count, too. This may be the last event that main reads.
        self.tell_traffic();
        self.talk.tell(PeerEvent::Cancelled(spans));
    }

    /// Requests blocks while the window has room, and asks main for more work in time. If the peer
    /// has become so slow that it owes us far too much, gives back the last blocks.
    pub fn request(&mut self, now: Instant) {
        if self.peer_chokes || !self.we_want {
            return;
        }
        // If main has no more work, it has seen to it that nobody has too much.
        if !self.work.is_hungry() && self.owed.len() > self.pipeline.bearable() as usize {
            self.give_back(self.pipeline.bearable() as usize, GivenBack::Slow);
        }
        let on_order = self.owed.len() as u32;
        let room = self.pipeline.room(on_order);
        let next = self
            .backlog
            .drain(..(room as usize).min(self.backlog.len()));
        for block in next {
            self.talk.say(Message::Request(block.raw()));
            self.owed.push_back(block);
        }
        if self.owed.len() as u32 > on_order {
            if on_order == 0 {
                self.owing_since = now;
            }
            self.pipeline.on_requested(on_order, now);
        }
        let reserve = (self.pipeline.window() / 2).min(MAX_RESERVE);
        let at_hand = (self.owed.len() + self.backlog.len()) as u32;
        let need = (self.pipeline.window() + reserve).saturating_sub(at_hand);
        if self.work.may_ask() && need > 0 && need >= reserve / 2 {
            self.work.ask();
            self.talk.tell(PeerEvent::Want(need));
        }
    }

    pub(super) fn on_piece(
        &mut self,
        raw: RawBlock,
        now: Instant,
    ) -> Result<Option<Block>, PeerError> {
        // Peers nearly always answer in order.
        let Some(at) = self.owed.iter().position(|block| block.raw() == raw) else {
            if !self.forget_stray(raw) {
                return Err(PeerError::Unrequested(raw));
            }
            self.down += u64::from(raw.length);
            return Ok(None);
        };
        let block = self.owed.remove(at);
        self.down += u64::from(raw.length);
        self.rejects = 0;
        self.owing_since = now;
        self.pipeline.on_block(self.owed.len() as u32, now);
        Ok(block)
    }

    /// Tells main that these blocks were written, and of their bytes first: main never has more
    /// bytes than came, and its sums are complete at the last piece.
    pub fn on_stored(&mut self, blocks: Vec<(PieceIndex, u32)>) {
        self.news_due = true;
        self.tell_traffic();
        self.talk.tell(PeerEvent::Stored(spans_of(blocks)));
    }

    pub(super) fn on_unchoke(&mut self) {
        if std::mem::take(&mut self.peer_chokes) {
            // Each answer took at least a round trip. Either may have waited for more, so the
            // shorter counts.
            if let (Some(one), Some(at)) = (self.greeted_within, self.wanted_at) {
                let other = self.talk.heard.duration_since(at);
                self.pipeline.set_distance(one.min(other));
            }
            self.bothers += 1;
            self.work.wake();
            self.talk.tell(PeerEvent::Choked(false));
        }
    }

    /// Without BEP 6, the peer forgets all our requests; with it, each gets an answer, if only a
    /// reject. The backlog goes back to main in both cases.
    pub(super) fn on_choke(&mut self) {
        self.peer_chokes = true;
        self.talk.tell(PeerEvent::Choked(true));
        let mut lost: Vec<Block> = self.backlog.drain(..).collect();
        if !self.talk.fast {
            let owed = std::mem::take(&mut self.owed);
            self.stray(&owed);
            lost.extend(owed);
        }
        self.release(&lost, GivenBack::Choked);
    }

    /// A peer that keeps to BEP 6 answers each request once. If we cancelled a request and then
    /// requested the same block again, the reject answers the first. But some peers never answer a
    /// cancelled request, and reject all others when they choke us: then the second is over, too.
    pub(super) fn on_reject(&mut self, raw: RawBlock) -> Result<(), PeerError> {
        let was_stray = self.forget_stray(raw);
        if was_stray && !self.peer_chokes {
            return Ok(());
        }
        let Some(at) = self.owed.iter().position(|block| block.raw() == raw) else {
            return Ok(());
        };
        let block = self.owed.remove(at);
        self.release(block.as_slice(), GivenBack::Refused);
        if !self.peer_chokes {
            self.rejects += 1;
            self.pipeline.on_refused();
        }
        if self.rejects > MAX_REJECTS {
            Err(PeerError::RejectsAll)
        } else {
            Ok(())
        }
    }

    pub(super) fn on_snub(&mut self, now: Instant) {
        self.owing_since = now;
        self.pipeline.on_snubbed();
        self.talk.tell(PeerEvent::Snubbed);
        self.give_back(0, GivenBack::Snubbed);
    }

    /// Cancels all blocks on order but the first `keep`, and gives them back with the backlog.
    fn give_back(&mut self, keep: usize, why: GivenBack) {
        let mut lost = self.owed.split_off(keep);
        self.withdraw(&lost);
        lost.extend(self.backlog.drain(..));
        self.release(lost.make_contiguous(), why);
    }

    /// Cancels requests, which are no longer owed.
    fn withdraw(&mut self, blocks: &VecDeque<Block>) {
        for block in blocks {
            self.talk.say(Message::Cancel(block.raw()));
        }
        self.stray(blocks);
    }

    /// Notes that the peer may still send these blocks. Without BEP 6 it usually does not, so we
    /// remember only the last [`MAX_STRAYS`].
    fn stray(&mut self, blocks: &VecDeque<Block>) {
        self.strays.extend(blocks.iter().map(|block| block.raw()));
        let excess = self.strays.len().saturating_sub(MAX_STRAYS);
        self.strays.drain(..excess);
    }

    /// Notes that a request was answered if it is one of the strays. Returns whether it is.
    fn forget_stray(&mut self, raw: RawBlock) -> bool {
        let at = self.strays.iter().position(|stray| *stray == raw);
        at.is_some_and(|at| self.strays.remove(at).is_some())
    }

    fn release(&mut self, blocks: &[Block], why: GivenBack) {
        if !blocks.is_empty() {
            // Main forgets the question: see story 2 of `crate::messages`.
            self.work.wake();
            let numbers = blocks
                .iter()
                .map(|block| (block.piece(), block.number()))
                .collect();
            self.talk.tell(PeerEvent::Released(spans_of(numbers), why));
        }
    }
}
