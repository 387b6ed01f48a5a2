//! Who is to fetch how much; and work for those that run dry: a peer that has what others are
//! still to bring takes it over.
//!
//! # Shares
//! All is well if all peers finish at the same moment. So at any time a peer has no more on
//! order than its *share* of all blocks that are missing, on order or not: as large a part of
//! them as its rate is of all rates together. While much is missing that is more than anybody
//! asks for, and nothing comes of it. But two hundred slow peers, each asked for the half
//! megabyte that a fast one would need, hold 100 MB: without shares the first eighty would get
//! all of a small torrent, and the others nothing.
//!
//! # Taking over
//! Rates are guesses, and peers come to a halt. Once a peer has nearly nothing left to do, and
//! nothing is free that it has, it takes what the one that would finish last has far back in
//! its queue. At the end of a download, the *endgame*, that is all that is left to do. And in
//! a new swarm, where one seed serves many newcomers, it is what makes each block leave the
//! seed only once: two of them may have ordered the same, and the second gets it from the
//! first as soon as that one has it.
//!
//! Work moves only where it gains clearly, and for good:
//! - only to a peer that runs dry: among equals that have some, it would go to and fro;
//! - only if it comes sooner there, by more than the other's thread may take to hear of it;
//! - not the first few blocks of a queue: they are likely on their way, and to cancel them
//!   is too late. In the endgame they are asked of both, if the one that had them is far
//!   slower, or silent.
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
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a look at all who fetch is good for. In between hardly anything changes that
/// matters, but with two hundred peers events come by the thousand.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The first blocks of a queue, 128 KiB, may be in the other side's send buffer: they come
/// anyway.
const KEPT: usize = 8;

/// The most peers that one block is asked of. Those before the last are far slower than it.
pub(super) const MAX_HOLDERS: u8 = 4;

/// A peer is far slower if it takes this many times as long for a block.
const FAR_SLOWER: f64 = 4.0;

/// What a block is taken to cost, in seconds, while nobody was measured.
const UNKNOWN_PACE: f64 = 1.0;

/// A block must come sooner by this many seconds: the other peer's thread may take about as
/// long to hear that it is cancelled.
const SOONER: f64 = 0.1;

/// Whoever has work for fewer seconds than this runs dry. This much it may always have, since
/// the next request takes about as long to be answered.
const DRY: f64 = 0.2;

/// The most peers that one that runs dry looks at for work.
const LOOK_AT: usize = 8;

/// The spans taken, and those of them that somebody else is to be told to forget.
type Taken = (Vec<Span>, Vec<(PeerKey, Span)>);

/// What is known of a peer that gives, or is about to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Giver {
    pub(crate) peer: PeerKey,
    /// Seconds that it takes for a block; `None`: not known.
    pub(crate) pace: Option<f64>,
    /// The seconds that it takes at the least, known or not: we have waited that long for one.
    /// Infinite, if it gives nothing.
    pub(crate) least: f64,
    /// It found nothing to do: what is missing others must bring.
    pub(crate) idle: bool,
}

/// Who would finish when, and who is to have how much, at one moment: looked at once for all
/// that are served in the next [`LOOK_EVERY`].
#[derive(Debug)]
pub(crate) struct Rivals {
    at: Instant,
    /// Seconds that a peer takes for a block, infinite if it gives nothing.
    paces: BTreeMap<PeerKey, f64>,
    /// The same of a peer that is not known.
    usual: f64,
    /// Seconds until all blocks are here, if each peer brings its share.
    end: f64,
    /// Those with work, who would finish first first.
    victims: Vec<(f64, PeerKey)>,
}

impl Rivals {
    /// Whether it is time to look again.
    pub(crate) fn is_old(&self, now: Instant) -> bool {
        now.duration_since(self.at) >= LOOK_EVERY
    }

    /// How many blocks `peer` may have on order.
    pub(crate) fn share(&self, peer: PeerKey) -> u32 {
        let share = (self.end / self.pace(peer)).ceil() as u32;
        share.max(self.least(peer))
    }

    /// With this many blocks on order, or fewer, `peer` runs dry.
    pub(crate) fn least(&self, peer: PeerKey) -> u32 {
        ((DRY / self.pace(peer)) as u32).max(1)
    }

    /// Seconds until `peer` has brought the `queue` blocks that it has on order.
    fn finish(&self, peer: PeerKey, queue: usize) -> f64 {
        match queue {
            0 => 0.0,
            _ => self.pace(peer) * queue as f64,
        }
    }

    fn pace(&self, peer: PeerKey) -> f64 {
        self.paces.get(&peer).copied().unwrap_or(self.usual)
    }
}

impl Picker {
    /// How those who fetch get on. `expected`: how many more are about to come.
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
        let mut rivals = Rivals {
            at: now,
            paces: givers.iter().map(|g| (g.peer, pace(g))).collect(),
            usual,
            end: (untouched + f64::from(begun)) / rate,
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

    /// Work for `peer`, for whom [`Picker::pick`] found none and that runs dry: up to `blocks`
    /// blocks that it would bring sooner than the peer that would finish last, from the end of
    /// that one's queue. They are to be cancelled there at once, but for those of its first few.
    pub(crate) fn take_over(
        &mut self,
        peer: PeerKey,
        have: &Bitfield,
        blocks: u32,
        rivals: &mut Rivals,
    ) -> Taken {
        let (mine, busy, endgame) = (rivals.pace(peer), self.leased(peer), self.all_granted());
        let is_slow = |other| rivals.pace(other) > FAR_SLOWER * mine;
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
        let moved = work.iter().filter(|(place, _)| *place > KEPT);
        let moved = spans_of(moved.map(|(_, block)| *block).collect());
        let taken = spans_of(work.iter().map(|(_, block)| *block).collect());
        for (_, (piece, number)) in &work {
            self.lease(peer, *piece, *number);
        }
        let left = self.leased(victim).saturating_sub(work.len());
        let finish = rivals.finish(victim, left);
        let (before, after) = rivals.victims.split_at_mut(at);
        after[0].0 = finish;
        let to = before.partition_point(|(other, _)| *other < finish);
        rivals.victims[to..=at].rotate_right(1);
        (
            taken,
            moved.into_iter().map(|span| (victim, span)).collect(),
        )
    }

    /// What is on order at `victim` and may be asked of another peer, who has the pieces of
    /// `have`; the last in the queue first, each with its place there, from 1.
    fn takeable(
        &self,
        victim: PeerKey,
        have: &Bitfield,
        endgame: bool,
        is_slow: impl Fn(PeerKey) -> bool,
    ) -> impl Iterator<Item = (usize, (PieceIndex, u32))> {
        let shares = endgame && is_slow(victim);
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
        // Most often there is nothing: then nothing is sorted.
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
                1 => *place > KEPT || shares,
                _ => shares && all_slow(block),
            })
        };
        let last_first = queue.into_iter().enumerate().rev();
        last_first
            .map(|(at, (_, block))| (at + 1, block))
            .filter(takeable)
    }
}
