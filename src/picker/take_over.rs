//! Work for the idle: a peer that has what others are still to bring takes it over.
//!
//! What is on order at a slow peer is not lost time as long as there is other work. But
//! once a peer has nothing else to do, it might as well bring what a slower one has far
//! back in its queue. At the end of a download, the *endgame*, that is all that is left to
//! do. And in a new swarm, where one seed serves many newcomers, it is what makes each
//! block leave the seed only once: two of them may have ordered the same, and the second
//! gets it from the first as soon as that one has it.
//!
//! Part of the [`Picker`].

use super::Picker;
use crate::bitfield::Bitfield;
use crate::layout::{PieceIndex, Span, spans_of};
use crate::types::PeerKey;

/// At the very end, so few blocks are asked of two peers, rather than taken over.
const SHARED_BLOCKS: usize = 8;

/// What a block is taken to cost, in seconds, at a peer that was not measured yet.
const UNKNOWN_PACE: f64 = 1.0;

/// A block must come so many seconds sooner: the other peer's thread may take about as
/// long to hear that it is cancelled.
const SOONER: f64 = 0.05;

/// ... and before the endgame, when there is other work to do, so many: of the blocks that
/// are about to come, many are on their way already, and to cancel them is too late.
const MUCH_SOONER: f64 = 0.5;

/// The spans taken, and those of them that somebody else is to be told to forget.
type Taken = (Vec<Span>, Vec<(PeerKey, Span)>);

impl Picker {
    /// Work for `peer`, for whom [`Picker::pick`] found none: up to `blocks` blocks that
    /// it would bring sooner than the peer that would finish last, from the end of that
    /// one's queue. They are to be cancelled there at once; only the last few of all are
    /// asked of both. `pace`: the seconds that a peer takes for a block, infinite if it
    /// gives nothing; `None` if that is not known.
    pub fn take_over(
        &mut self,
        peer: PeerKey,
        have: &Bitfield,
        blocks: u32,
        pace: impl Fn(PeerKey) -> Option<f64>,
    ) -> Taken {
        let endgame = self.all_granted();
        let pace = |peer| pace(peer).or(endgame.then_some(UNKNOWN_PACE));
        let queues = self.leases.iter().filter(|(_, leases)| !leases.is_empty());
        let others = queues.filter(|(other, _)| **other != peer);
        let paces = others.filter_map(|(other, leases)| Some((*other, pace(*other)?, leases)));
        let last = paces.max_by(|(_, a, queue_a), (_, b, queue_b)| {
            (a * queue_a.len() as f64).total_cmp(&(b * queue_b.len() as f64))
        });
        let (Some((victim, theirs, leases)), Some(mine)) = (last, pace(peer)) else {
            return Taken::default();
        };
        let takeable = |piece: PieceIndex, number: u32| {
            let started = self.started.get(&piece).filter(|s| endgame || !s.alone);
            let slot = started.map(|started| started.slots[number as usize]);
            have.has(piece) && slot.is_some_and(|slot| !slot.stored && slot.leases == 1)
        };
        let mut queue: Vec<(u64, PieceIndex, u32)> = leases
            .iter()
            .map(|((piece, number), grant)| (*grant, *piece, *number))
            .collect();
        let length = queue.len();
        queue.sort_unstable_by(|a, b| b.cmp(a));
        let mut work: Vec<(usize, PieceIndex, u32)> = (0..length)
            .zip(queue)
            .filter(|(_, (_, piece, number))| takeable(*piece, *number))
            .map(|(after, (_, piece, number))| (length - after, piece, number))
            .collect();
        let shared = endgame && work.len() <= SHARED_BLOCKS;
        work.truncate(blocks as usize);
        let busy = self.leased(peer);
        if shared {
            // All of them or none.
            if mine * (busy + work.len()) as f64 >= theirs * length as f64 {
                return Taken::default();
            }
        } else {
            let margin = if endgame { SOONER } else { MUCH_SOONER };
            let sooner = (busy + 1..)
                .zip(&work)
                .take_while(|(mine_at, (place, ..))| {
                    mine * *mine_at as f64 + margin < theirs * *place as f64
                });
            let sooner = sooner.count();
            work.truncate(sooner);
        }
        let numbers = work.iter().map(|(_, piece, number)| (*piece, *number));
        let taken = spans_of(numbers.collect());
        for (_, piece, number) in work {
            self.lease(peer, piece, number);
        }
        let lost = taken.iter().map(|span| (victim, *span));
        let cancel = lost.filter(|_| !shared).collect();
        (taken, cancel)
    }
}
