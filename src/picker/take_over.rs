//! Lets all peers finish at the same moment, because a download lasts until its slowest peer is
//! done. A peer gets no more than its share of the missing blocks, and a peer without work takes
//! over blocks of a slower one.
//!
//! # Shares
//! A peer that sends a tenth of all bytes that arrive in a second has a *share* of a tenth of all
//! missing blocks, on order or not. It gets no new ones while it has this many on order. While much
//! is missing, a share is more than any peer asks for, and limits nobody. But 200 slow peers, each
//! asked for the 0.5 MB that a fast one would need, hold 100 MB: without shares, 80 of them would
//! get all of a torrent of 40 MB, and the others nothing.
//!
//! # Taking over
//! Rates are guesses, and a peer may stop. So a peer that runs dry, because no block that it has is
//! free, takes over blocks of the peer that would finish last, beginning at the end of that peer's
//! queue. We request them from the new peer and cancel them at the old one.
//!
//! An example: peer A needs 0.1 s for a block, and has the last 40 missing blocks on order. Peer B
//! has the same pieces, needs 0.05 s for a block, and has nothing left on order. Alone, A would
//! need another 4 s. B takes A's last block, then the one before it, and so on:
//!
//! | place in A's queue | A sends it after | place in B's queue | B sends it after | gain | |
//! | --- | --- | --- | --- | --- | --- |
//! | 40 | 4.0 s | 1 | 0.05 s | 3.95 s | moves to B |
//! | 39 | 3.9 s | 2 | 0.10 s | 3.80 s | moves to B |
//! | ... | | | | | moves to B |
//! | 15 | 1.5 s | 26 | 1.30 s | 0.20 s | moves to B |
//! | 14 | 1.4 s | 27 | 1.35 s | 0.05 s | stays at A |
//!
//! B has taken 26 blocks and sends them within 1.3 s. A keeps 14 and sends them within 1.4 s. So we
//! have everything after 1.4 s instead of 4 s. Three rules stop at the right place:
//!
//! - **Only a peer that runs dry takes over**: it has blocks for 0.2 s at most ([`DRY`]), or a
//!   single one. Otherwise blocks would move to and fro between equal peers.
//! - **A block must come sooner by more than 0.1 s** ([`SOONER`]). A's thread usually hears within
//!   this time that the block is cancelled. So block 14 stays.
//! - **The first 8 blocks of a queue stay**, or more if they are shorter than 16 KiB ([`KEPT`]). They
//!   are probably on their way, and a cancel would come too late. This holds even if A is silent,
//!   except in the endgame.
//!
//! # Endgame
//! Once every missing block is on order, as in the example, taking over is all that is left to do.
//! [BEP 3] calls this the endgame, and has the message `cancel` for it. Now a peer may get even the
//! first 8 blocks of a queue, if the other is more than 4 times slower ([`FAR_SLOWER`]) or silent.
//! Then both have them on order. Whichever sends a block first wins, and the other gets the cancel.
//! Suppose A needs 1 s for a block and has 8 left. B, at 0.05 s for a block, sends all 8 within 0.4
//! s instead of 8 s.
//!
//! While at most 32 blocks are missing ([`LAST`]), it is enough if the other is slower. Some of these
//! blocks come twice, which is little traffic. Otherwise all peers but one might have nothing to do
//! while that one sends the last 8 blocks in 2 s.
//!
//! # A new swarm
//! One seed serves many leeches, and taking over lets each block leave the seed only once. Suppose
//! that we and another leech requested the same block from the seed. As soon as the other leech has
//! it, we can request it from that leech instead, and cancel it at the seed.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use super::Picker;
use crate::bitfield::Bitfield;
use crate::layout::{PieceIndex, Span, spans_of};
use crate::types::PeerKey;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a snapshot of all peers' paces is used. In this time hardly anything changes that
/// matters, but with 200 peers thousands of events arrive.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How many bytes at the start of a queue stay. They may be in the peer's send buffer already.
const KEPT: u32 = 128 << 10;

/// The most peers that may have the same block on order. Those that have it are far slower than each
/// one that joins.
pub(super) const MAX_HOLDERS: u8 = 4;

/// A peer is far slower than another if it needs more than this many times as long for a block.
const FAR_SLOWER: f64 = 4.0;

/// While at most this many blocks are missing, every slower peer counts as far slower.
const LAST: f64 = 32.0;

/// How many seconds a block is assumed to take while no peer's pace is known.
const UNKNOWN_PACE: f64 = 1.0;

/// A block must come sooner by more than this many seconds: the other peer's thread usually needs as
/// long to hear of the cancel.
const SOONER: f64 = 0.1;

/// A peer with work for no more than this many seconds runs dry. Its share is never smaller: the
/// answer to the next request takes about as long.
const DRY: f64 = 0.2;

/// How many peers' queues are searched for work for one peer.
const LOOK_AT: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The spans that it is to fetch.
    pub(crate) spans: Vec<Span>,
    /// Those of them that the peer that had them loses: they are cancelled there.
    pub(crate) moved: Vec<(PeerKey, Span)>,
    /// Those that both have on order from now on.
    pub(crate) shared: Vec<(PeerKey, Span)>,
}

/// What is known of a peer or web seed that sends us blocks, or is about to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Giver {
    pub(crate) peer: PeerKey,
    /// The seconds that it needs for a block, if known.
    pub(crate) pace: Option<f64>,
    /// The least seconds that it needs for a block, because we have waited for one that long. It
    /// counts while `pace` is unknown. Infinite if the peer is silent.
    pub(crate) least: f64,
    /// Whether it wants work and has none: others must send what is missing.
    pub(crate) idle: bool,
}

/// A snapshot of all peers' paces, shares and finishes. All peers served within the next
/// [`LOOK_EVERY`] share it.
#[derive(Debug)]
pub(crate) struct Rivals {
    at: Instant,
    /// The seconds that each peer needs for a block. Infinite if it is silent.
    paces: BTreeMap<PeerKey, f64>,
    /// The seconds that an average peer needs for a block, assumed where nothing is known.
    usual: f64,
    /// The seconds until all blocks are here, if each peer sends its share.
    end: f64,
    /// [`FAR_SLOWER`], or 1 if no more than the [`LAST`] blocks are missing.
    far_slower: f64,
    /// The peers with blocks on order, and the seconds until each finishes, first finishers first.
    victims: Vec<(f64, PeerKey)>,
}

impl Rivals {
    pub(crate) fn is_old(&self, now: Instant) -> bool {
        now.duration_since(self.at) >= LOOK_EVERY
    }

    pub(crate) fn share(&self, peer: PeerKey) -> u32 {
        let share = (self.end / self.pace(peer)).ceil() as u32;
        share.max(self.least(peer))
    }

    /// Returns the number of blocks with which `peer` runs dry.
    pub(crate) fn least(&self, peer: PeerKey) -> u32 {
        ((DRY / self.pace(peer)) as u32).max(1)
    }

    /// Returns the seconds until `peer` has sent the `queue` blocks that it has on order.
    fn finish(&self, peer: PeerKey, queue: usize) -> f64 {
        match queue {
            0 => 0.0,
            _ => self.pace(peer) * queue as f64,
        }
    }

    pub(super) fn is_slower(&self, peer: PeerKey, other: PeerKey) -> bool {
        self.pace(peer) > self.pace(other)
    }

    fn pace(&self, peer: PeerKey) -> f64 {
        self.paces.get(&peer).copied().unwrap_or(self.usual)
    }
}

impl Picker {
    /// Takes a snapshot of `givers`. `expected` more peers of average pace are about to connect.
    pub(crate) fn rivals(&self, givers: &[Giver], expected: usize, now: Instant) -> Rivals {
        let known = givers.iter().filter_map(|giver| giver.pace);
        let sum: f64 = known.clone().map(|pace| 1.0 / pace).sum();
        let usual = match sum > 0.0 {
            true => known.count() as f64 / sum,
            false => UNKNOWN_PACE,
        };
        let pace = |giver: &Giver| giver.pace.unwrap_or(usual.max(giver.least));
        let busy = givers.iter().filter(|giver| !giver.idle);
        let rate = busy.map(|giver| 1.0 / pace(giver)).sum::<f64>() + expected as f64 / usual;
        let begun: u32 = self.started.values().map(|started| started.missing).sum();
        let first = PieceIndex::unchecked(0);
        let untouched = self.rarity.len() as f64 * f64::from(self.layout.blocks_in(first));
        let missing = untouched + f64::from(begun);
        let mut rivals = Rivals {
            at: now,
            paces: givers.iter().map(|g| (g.peer, pace(g))).collect(),
            usual,
            end: missing / rate,
            far_slower: if missing <= LAST { 1.0 } else { FAR_SLOWER },
            victims: Vec::new(),
        };
        let queues = self.leases.iter().filter(|(_, leases)| !leases.is_empty());
        let mut victims: Vec<_> = queues
            .map(|(peer, leases)| (rivals.finish(*peer, leases.len()), *peer))
            .collect();
        victims.sort_by(|a, b| a.0.total_cmp(&b.0));
        rivals.victims = victims;
        rivals
    }

    /// Grants up to `blocks` blocks to `peer`, which runs dry and for which [`Picker::pick`] found
    /// nothing. They come from the end of the queue of the peer that would finish last, or, if it
    /// has none that `peer` would send sooner, of the one before it, and so on.
    pub(crate) fn take_over(
        &mut self,
        peer: PeerKey,
        have: &Bitfield,
        blocks: u32,
        rivals: &mut Rivals,
    ) -> Taken {
        let (mine, busy, endgame) = (rivals.pace(peer), self.leased(peer), self.all_granted());
        let is_slow = |other| rivals.pace(other) > rivals.far_slower * mine;
        let later = rivals.victims.iter().enumerate().rev();
        let later = later.filter(|(_, (_, victim))| *victim != peer);
        let later =
            later.take_while(|(_, (finish, _))| *finish > mine * (busy + 1) as f64 + SOONER);
        let found = later.take(LOOK_AT).find_map(|(at, (_, victim))| {
            let theirs = rivals.pace(*victim);
            let comes_sooner = |(mine_at, (theirs_at, ..)): &(usize, (usize, _))| {
                mine * *mine_at as f64 + SOONER < theirs * *theirs_at as f64
            };
            let queue = self.takeable(*victim, have, endgame, is_slow);
            let sooner = (busy + 1..).zip(queue).take_while(comes_sooner);
            let work: Vec<_> = sooner
                .map(|(_, block)| block)
                .take(blocks as usize)
                .collect();
            (!work.is_empty()).then_some((at, *victim, work))
        });
        let Some((at, victim, work)) = found else {
            return Taken::default();
        };
        let spans = |blocks: Vec<&(usize, (PieceIndex, u32))>| {
            spans_of(blocks.into_iter().map(|(_, block)| *block).collect())
        };
        let kept = self.kept();
        let (moved, shared) = work.iter().partition(|(place, _)| *place > kept);
        let of_victim = |spans: Vec<Span>| spans.into_iter().map(|span| (victim, span)).collect();
        let taken = Taken {
            spans: spans(work.iter().collect()),
            moved: of_victim(spans(moved)),
            shared: of_victim(spans(shared)),
        };
        for (_, (piece, number)) in &work {
            self.lease(peer, *piece, *number);
        }
        let left = self.leased(victim).saturating_sub(work.len());
        let finish = rivals.finish(victim, left);
        let (before, after) = rivals.victims.split_at_mut(at);
        after[0].0 = finish;
        let to = before.partition_point(|(other, _)| *other < finish);
        rivals.victims[to..=at].rotate_right(1);
        taken
    }

    /// Returns how many blocks at the start of a queue stay.
    fn kept(&self) -> usize {
        (KEPT / self.layout.block_len()) as usize
    }

    /// Returns the blocks of `victim`'s queue that a peer with the pieces `have` may take over, the
    /// last in the queue first, each with its place in the queue, from 1. `is_slow` tells whether a
    /// peer is far slower than the one that takes over.
    fn takeable(
        &self,
        victim: PeerKey,
        have: &Bitfield,
        endgame: bool,
        is_slow: impl Fn(PeerKey) -> bool,
    ) -> impl Iterator<Item = (usize, (PieceIndex, u32))> {
        let (kept, shares) = (self.kept(), endgame && is_slow(victim));
        let all_slow = move |block: &(PieceIndex, u32)| {
            let mut queues = self.leases.iter();
            queues.all(|(holder, leases)| !leases.contains_key(block) || is_slow(*holder))
        };
        let slot = move |(piece, number): &(PieceIndex, u32)| {
            let started = self.started.get(piece).filter(|s| endgame || !s.alone)?;
            let slot = started.slots[*number as usize];
            (!slot.stored && slot.leases < MAX_HOLDERS).then_some(slot)
        };
        let mut queue: Vec<(u64, (PieceIndex, u32))> = Vec::new();
        let leases = self.leases.get(&victim).into_iter().flatten();
        // Usually there is none, and the queue need not be sorted.
        if leases
            .clone()
            .any(|(block, _)| have.has(block.0) && slot(block).is_some())
        {
            queue.extend(leases.map(|(block, grant)| (*grant, *block)));
            queue.sort_unstable();
        }
        let takeable = move |(place, block): &(usize, (PieceIndex, u32))| {
            let slot = slot(block).filter(|_| have.has(block.0));
            slot.is_some_and(|slot| match slot.leases {
                1 => *place > kept || shares,
                _ => shares && all_slow(block),
            })
        };
        let last_first = queue.into_iter().enumerate().rev();
        last_first
            .map(|(at, (_, block))| (at + 1, block))
            .filter(takeable)
    }
}
