//! Work for the idle: a peer that has what others are still to bring takes it over.
//!
//! What is on order at a slow peer is not lost time as long as there is other work. But
//! once a peer has nothing else to do, it might as well bring what a slower one has far
//! back in its queue. At the end of a download, the *endgame*, that is all that is left to
//! do. And in a new swarm, where one seed serves many newcomers, it is what makes each
//! block leave the seed only once: two of them may have ordered the same, and the second
//! gets it from the first as soon as that one has it.
//!
//! [BEP 3] names the endgame, and has the message `cancel` for it: what is taken over is
//! cancelled where it was on order.
//!
//! Part of the [`Picker`].
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use super::Picker;
use crate::bitfield::Bitfield;
use crate::layout::{PieceIndex, Span, spans_of};
use crate::types::PeerKey;
use std::collections::{BTreeMap, BinaryHeap};

/// At the very end, so few blocks are asked of two peers, rather than taken over.
const SHARED_BLOCKS: usize = 8;

/// The most peers that one block is asked of. Those before the last are far slower than it.
pub(super) const MAX_HOLDERS: u8 = 4;

/// A peer is far slower if it takes so many times as long for a block.
const FAR_SLOWER: f64 = 4.0;

/// What a block is taken to cost, in seconds, at a peer that was not measured yet.
const UNKNOWN_PACE: f64 = 1.0;

/// A block must come so many seconds sooner: the other peer's thread may take about as
/// long to hear that it is cancelled.
const SOONER: f64 = 0.05;

/// Before the endgame, when there is other work to do, a block must come so many seconds
/// sooner: of the blocks that are about to come, many are on their way already, and to cancel
/// them is too late.
const MUCH_SOONER: f64 = 0.5;

/// The spans taken, and those of them that somebody else is to be told to forget.
type Taken = (Vec<Span>, Vec<(PeerKey, Span)>);

/// A block, and its place in the queue of the peer that it is on order at, from 1.
type Queued = (usize, PieceIndex, u32);

/// A peer that others may take work from.
#[derive(Debug)]
struct Victim {
    peer: PeerKey,
    /// Seconds that it takes for a block.
    pace: f64,
    /// Blocks on order there.
    queue: usize,
}

impl Victim {
    /// Seconds until it has brought all that is on order there.
    fn finish(&self) -> f64 {
        self.pace * self.queue as f64
    }
}

/// Who would finish when, at one moment: looked at once for all the idle.
#[derive(Debug)]
pub struct Rivals {
    endgame: bool,
    /// Seconds that a peer takes for a block, infinite if it gives nothing.
    paces: BTreeMap<PeerKey, f64>,
    /// Those with work, who would finish last first.
    victims: Vec<Victim>,
}

impl Rivals {
    /// Seconds that `peer` takes for a block, if that is known or must be guessed.
    fn pace(&self, peer: PeerKey) -> Option<f64> {
        let known = self.paces.get(&peer).copied();
        known.or(self.endgame.then_some(UNKNOWN_PACE))
    }
}

impl Picker {
    /// How those who have work will get on. `paces`: the seconds that each takes for a
    /// block, infinite if it gives nothing, as far as that is known.
    pub fn rivals(&self, paces: BTreeMap<PeerKey, f64>) -> Rivals {
        let mut rivals = Rivals {
            endgame: self.all_granted(),
            paces,
            victims: Vec::new(),
        };
        let queues = self.leases.iter().filter(|(_, leases)| !leases.is_empty());
        let victims = queues.filter_map(|(peer, leases)| {
            let (peer, queue) = (*peer, leases.len());
            let pace = rivals.pace(peer)?;
            Some(Victim { peer, pace, queue })
        });
        let mut victims: Vec<Victim> = victims.collect();
        victims.sort_by(|a, b| a.finish().total_cmp(&b.finish()));
        victims.reverse();
        rivals.victims = victims;
        rivals
    }

    /// Work for `peer`, for whom [`Picker::pick`] found none: up to `blocks` blocks that
    /// it would bring sooner than the peer that would finish last, from the end of that
    /// one's queue. They are to be cancelled there at once; only the last few of all are
    /// asked of both, and of more if those turn out to be far slower. If it gets any, the
    /// `rivals` are others from then on.
    pub fn take_over(
        &mut self,
        peer: PeerKey,
        have: &Bitfield,
        blocks: u32,
        rivals: &Rivals,
    ) -> Taken {
        let endgame = rivals.endgame;
        let Some(mine) = rivals.pace(peer) else {
            return Taken::default();
        };
        let busy = self.leased(peer);
        let earliest = mine * (busy + 1) as f64;
        let is_slow = |other| {
            let theirs = rivals.pace(other).filter(|_| other != peer);
            theirs.is_some_and(|theirs| theirs > FAR_SLOWER * mine)
        };
        // Nearly always the one that would finish last has something. Others are looked at in
        // the endgame only, and only as long as they are far slower.
        let worth_a_look =
            |(i, victim): &(usize, &Victim)| *i == 0 || endgame && is_slow(victim.peer);
        let others = rivals.victims.iter().filter(|victim| victim.peer != peer);
        let later = others.take_while(|victim| victim.finish() > earliest);
        let Some((first, rest, victim)) =
            later
                .enumerate()
                .take_while(worth_a_look)
                .find_map(|(_, victim)| {
                    let mut queue = self.takeable(victim.peer, have, endgame, is_slow);
                    // Whether there are more than a few is all that need be known of the rest.
                    let first: Vec<Queued> = queue.by_ref().take(SHARED_BLOCKS + 1).collect();
                    (!first.is_empty()).then_some((first, queue, victim))
                })
        else {
            return Taken::default();
        };

        let shared = endgame && first.len() <= SHARED_BLOCKS;
        let queue = first.into_iter().chain(rest).take(blocks as usize);
        let work: Vec<Queued> = if shared {
            queue.collect()
        } else {
            let margin = if endgame { SOONER } else { MUCH_SOONER };
            let comes_sooner = |(mine_at, (theirs_at, ..)): &(usize, Queued)| {
                mine * *mine_at as f64 + margin < victim.pace * *theirs_at as f64
            };
            let sooner = (busy + 1..).zip(queue).take_while(comes_sooner);
            sooner.map(|(_, block)| block).collect()
        };
        // Of what is shared, all or none.
        if shared && mine * (busy + work.len()) as f64 >= victim.finish() {
            return Taken::default();
        }
        let numbers = work.iter().map(|(_, piece, number)| (*piece, *number));
        let taken = spans_of(numbers.collect());
        for (_, piece, number) in work {
            self.lease(peer, piece, number);
        }
        let lost = taken.iter().map(|span| (victim.peer, *span));
        let cancel = lost.filter(|_| !shared).collect();
        (taken, cancel)
    }

    /// What is on order at `victim` and may be asked of another peer, who has the pieces of
    /// `have`; the last in the queue first. In the endgame also of several, if all that it
    /// is on order at are slow.
    fn takeable(
        &self,
        victim: PeerKey,
        have: &Bitfield,
        endgame: bool,
        is_slow: impl Fn(PeerKey) -> bool,
    ) -> impl Iterator<Item = Queued> {
        let slow = is_slow(victim);
        let all_slow = move |block: &(PieceIndex, u32)| {
            let mut queues = self.leases.iter();
            slow && queues.all(|(holder, leases)| !leases.contains_key(block) || is_slow(*holder))
        };
        let takeable = move |block: &(PieceIndex, u32)| {
            let (piece, number) = *block;
            let started = self.started.get(&piece).filter(|s| endgame || !s.alone);
            let slot = started.map(|started| started.slots[number as usize]);
            let slot = slot.filter(|slot| have.has(piece) && !slot.stored);
            slot.is_some_and(|slot| match slot.leases {
                1 => true,
                ..MAX_HOLDERS => endgame && all_slow(block),
                _ => false,
            })
        };
        let leases = self.leases.get(&victim).into_iter().flatten();
        // Of a long queue hardly ever more than the end is looked at: no need to sort it.
        let mut queue: BinaryHeap<_> = leases.map(|(block, grant)| (*grant, *block)).collect();
        let last_first = std::iter::from_fn(move || Some((queue.len(), queue.pop()?.1)));
        last_first
            .filter(move |(_, block)| takeable(block))
            .map(|(place, (piece, number))| (place, piece, number))
    }
}
