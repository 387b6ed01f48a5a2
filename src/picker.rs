//! Decides which peer fetches which block. Keeps the state of all pieces and blocks of a torrent.
//!
//! A piece is in exactly one state:
//!
//! | state | meaning | how the state ends |
//! | --- | --- | --- |
//! | free | wanted, nobody has begun it; listed in [`Rarity`] | a block is granted, or was stored by an earlier run: started |
//! | started | begun, though all its blocks may be free again | its hash is right: had; it can never be right: given up |
//! | had | verified and on disk | somebody else removed or changed its file: free |
//! | unwanted | in no file that the user wants | never |
//! | given up | wanted, but the torrent has a false hash for it | never |
//!
//! [`Picker::pick`] grants blocks to a peer. The peer holds a *lease* on each of them until it has
//! stored the block, gives it back, or is gone. One rule keeps verified data safe: **a piece is
//! verified only when all its blocks are stored and nobody holds a lease on any of them.** After
//! that nobody can write to it, so what we verified stays on disk.
//!
//! A peer gets the pieces that it has in this order:
//!
//! 1. Started pieces, the rarest first.
//! 2. Free pieces, the rarest first. Only our first 4 pieces are random, so that we soon have
//!    something to trade. Pieces that only seeds have are divided among the leeches ([`strategy`]).
//! 3. If nothing is free, blocks of the peer that would finish last ([`take_over`]).
//!
//! While there are other leeches, and pieces that only seeds have, a seed gets these alone, started
//! or free: its line has no time for what others can send.
//!
//! Another [`strategy`] has another order in 1 and 2. In the *endgame* every missing block is
//! leased, or reserved for one peer after a wrong hash.
//!
//! No I/O, no clock: the same calls and random seed give the same answers.

mod check;
mod runs;
mod strategy;
mod take_over;
mod watch;

use crate::bitfield::Bitfield;
use crate::config::Strategy;
use crate::layout::{Layout, PieceIndex, Span, spans_of};
use crate::rarity::Rarity;
use crate::trace::Grant;
use crate::types::PeerKey;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;
use strategy::Order;
pub(crate) use take_over::{Giver, Rivals, Taken};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Free,
    Started,
    Had,
    Unwanted,
    GivenUp,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    stored: bool,
    /// Who stored it. `None` for padding, and if two peers did (endgame, or work taken over): we
    /// cannot tell whose bytes are on disk, so nobody is blamed.
    giver: Option<PeerKey>,
    /// How many peers hold a lease on it: two for a moment after one took it over, several in the
    /// endgame.
    leases: u8,
}

#[derive(Debug)]
struct Started {
    slots: Vec<Slot>,
    missing: u32,
    /// How many blocks are neither stored nor leased.
    free: u32,
    leases: u32,
    /// Its hash was wrong, and more than one peer had stored blocks. Now one peer fetches it alone,
    /// so that a second wrong hash has one culprit.
    alone: bool,
    /// Nobody is blamed if its hash is wrong: some of its blocks are from an earlier run, or
    /// somebody moved its files while it was fetched.
    unsure: bool,
}

/// The spans that a peer is to fetch, and why each was chosen.
#[derive(Debug, Default)]
pub struct Granted {
    /// The spans.
    pub spans: Vec<Span>,
    /// The reason for each span, in the same order.
    pub why: Vec<Grant>,
}

impl Deref for Granted {
    type Target = [Span];

    fn deref(&self) -> &[Span] {
        &self.spans
    }
}

/// The blocks on which a peer holds leases, each with the number of its grant: the greater, the
/// later in the peer's queue.
type Leases = BTreeMap<(PieceIndex, u32), u64>;

/// What follows when a block was stored.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The peers that still fetch blocks that we have now.
    pub cancel: Vec<(PeerKey, Span)>,
    /// The pieces that can be verified now.
    pub ready: Vec<PieceIndex>,
}

/// The states of all pieces and blocks, and the leases of all peers.
#[derive(Debug)]
pub struct Picker {
    layout: Arc<Layout>,
    states: Vec<State>,
    rarity: Rarity,
    started: BTreeMap<PieceIndex, Started>,
    /// The started pieces that have free blocks: a few, while hundreds may be started.
    open: BTreeSet<PieceIndex>,
    leases: BTreeMap<PeerKey, Leases>,
    /// How many grants there were. The latest blocks of a peer are taken over first.
    grants: u64,
    /// The last snapshot of all peers' paces, if any.
    pub(crate) seen: Option<Rivals>,
    order: Order,
    /// How many wanted pieces we do not have.
    missing: u32,
    rng: fastrand::Rng,
}

impl Picker {
    /// Starts with the pieces `had` on disk. The user wants the pieces `wanted`.
    pub fn new(
        layout: Arc<Layout>,
        had: &Bitfield,
        wanted: &Bitfield,
        strategy: Strategy,
        mut rng: fastrand::Rng,
    ) -> Self {
        let states: Vec<State> = layout
            .all_pieces()
            .map(|piece| match (had.has(piece), wanted.has(piece)) {
                (true, _) => State::Had,
                (false, true) => State::Free,
                (false, false) => State::Unwanted,
            })
            .collect();
        let free = layout
            .all_pieces()
            .filter(|piece| states[piece.index()] == State::Free);
        let rarity = Rarity::new(layout.pieces(), free, &mut rng);
        let missing = rarity.len() as u32;
        let order = Order::new(strategy, had.count(), &layout);
        Self {
            layout,
            states,
            rarity,
            started: BTreeMap::new(),
            open: BTreeSet::new(),
            leases: BTreeMap::new(),
            grants: 0,
            seen: None,
            order,
            missing,
            rng,
        }
    }

    /// Whether `piece` is wanted and can still be fetched.
    pub fn wants(&self, piece: PieceIndex) -> bool {
        matches!(self.states[piece.index()], State::Free | State::Started)
    }

    /// How many wanted pieces we do not have.
    pub fn missing(&self) -> u32 {
        self.missing
    }

    /// Returns on how many blocks `peer` holds a lease.
    pub fn leased(&self, peer: PeerKey) -> usize {
        self.leases.get(&peer).map_or(0, BTreeMap::len)
    }

    /// How many peers, without seeds, have `piece`.
    pub fn available(&self, piece: PieceIndex) -> u32 {
        self.rarity.available(piece)
    }

    /// Of `count` leeches that know each other, we are number `rank`, from 0.
    pub fn set_share(&mut self, rank: u32, count: u32) {
        self.order.set_share(rank, count);
    }

    /// Whether seeds are scarce: there are other leeches, and only seeds have some free piece.
    pub fn seeds_are_scarce(&self) -> bool {
        let rarest = self.rarity.nth(0);
        let only_seeds = rarest.is_some_and(|piece| self.rarity.available(piece) == 0);
        only_seeds && self.order.is_shared()
    }

    /// Counts a peer, no seed, that has `piece`.
    pub fn peer_has(&mut self, piece: PieceIndex) {
        self.rarity.more(piece);
    }

    /// Stops counting a peer that had `pieces`: it left, or became a seed.
    pub fn peer_gone(&mut self, pieces: &Bitfield) {
        pieces.iter().for_each(|piece| self.rarity.fewer(piece));
    }

    /// Grants up to `blocks` blocks to `peer`, which has the pieces `have`.
    pub fn pick(&mut self, peer: PeerKey, have: &Bitfield, blocks: u32) -> Granted {
        let mut granted = Granted::default();
        let mut left = blocks;
        let scarce = have.is_full() && self.seeds_are_scarce();
        if scarce {
            let begun = self.started.iter().filter(|(_, its)| its.missing > 0);
            let begun = begun.map(|(piece, _)| *piece);
            self.order.divide(&self.rarity, begun);
        }
        let open = self.open.iter().copied().filter(|piece| {
            have.has(*piece)
                && (!scarce || self.rarity.available(*piece) == 0)
                && (!self.is_reserved(*piece) || self.fetches(peer, *piece))
        });
        let mut open: Vec<PieceIndex> = open.collect();
        self.order.sort_begun(&mut open, &self.rarity);
        for piece in open {
            if left == 0 {
                return granted;
            }
            let count = self.grant(peer, piece, left, Grant::Finish, &mut granted);
            left = left.saturating_sub(count);
        }
        while left > 0 {
            let Some((mut piece, mut why)) = self.next_free(have, scarce) else {
                break;
            };
            loop {
                self.start(piece);
                left -= self.grant(peer, piece, left, why, &mut granted);
                let Some(next) = self.layout.piece(piece.get() + 1) else {
                    break;
                };
                let free = self.rarity.contains(next) && have.has(next);
                let along = self.order.goes_along(piece, next, &self.rarity);
                if left == 0 || !free || !along {
                    break;
                }
                (piece, why) = (next, Grant::Neighbour);
            }
        }
        granted
    }

    /// Returns the free piece to begin next, of those that the peer has, and why this one. `scarce`:
    /// the peer is a seed, and has no time for what others can send.
    fn next_free(&mut self, have: &Bitfield, scarce: bool) -> Option<(PieceIndex, Grant)> {
        let (free, rng) = (&self.rarity, &mut self.rng);
        self.order.next(free, have, scarce, rng)
    }

    /// Free → started.
    fn start(&mut self, piece: PieceIndex) {
        self.rarity.remove(piece);
        self.states[piece.index()] = State::Started;
        let slots: Vec<Slot> = (0..self.layout.blocks_in(piece))
            .map(|number| Slot {
                stored: self.layout.block(piece, number).is_none(),
                ..Slot::default()
            })
            .collect();
        let missing = slots.iter().filter(|slot| !slot.stored).count() as u32;
        if missing > 0 {
            self.open.insert(piece);
        }
        self.started.insert(
            piece,
            Started {
                slots,
                missing,
                free: missing,
                leases: 0,
                alone: false,
                unsure: false,
            },
        );
    }

    /// Leases up to `most` free blocks of a started piece. Returns how many.
    fn grant(
        &mut self,
        peer: PeerKey,
        piece: PieceIndex,
        most: u32,
        why: Grant,
        granted: &mut Granted,
    ) -> u32 {
        let Some(started) = self.started.get_mut(&piece) else {
            return 0;
        };
        let free = (0..)
            .zip(&started.slots)
            .filter(|(_, slot)| !slot.stored && slot.leases == 0);
        // A peer that fetches a piece alone gets all of it, so that nobody else gets the rest.
        let (most, why) = match started.alone {
            true => (u32::MAX, Grant::Alone),
            false => (most, why),
        };
        let numbers: Vec<u32> = free.map(|(number, _)| number).take(most as usize).collect();
        let count = numbers.len() as u32;
        let blocks = numbers.iter().map(|number| (piece, *number));
        granted.spans.extend(spans_of(blocks.collect()));
        granted.why.resize(granted.spans.len(), why);
        numbers
            .into_iter()
            .for_each(|number| self.lease(peer, piece, number));
        count
    }

    fn lease(&mut self, peer: PeerKey, piece: PieceIndex, number: u32) {
        let Some(started) = self.started.get_mut(&piece) else {
            return;
        };
        let slot = &mut started.slots[number as usize];
        started.free -= u32::from(slot.leases == 0);
        if started.free == 0 {
            self.open.remove(&piece);
        }
        slot.leases += 1;
        started.leases += 1;
        self.grants += 1;
        self.leases
            .entry(peer)
            .or_default()
            .insert((piece, number), self.grants);
    }

    /// Notes that `peer` has stored `span`. Skips blocks without a lease of `peer`.
    pub fn stored(&mut self, peer: PeerKey, span: Span) -> Outcome {
        let mut outcome = Outcome::default();
        let mut ended = false;
        for number in span.numbers() {
            let Some(rivals) = self.end_lease(peer, span.piece(), number, true) else {
                continue;
            };
            ended = true;
            if rivals > 0 {
                let holders = self.leases.iter();
                let rivals = holders.filter(|(_, l)| l.contains_key(&(span.piece(), number)));
                outcome
                    .cancel
                    .extend(rivals.map(|(rival, _)| (*rival, span.only(number))));
            }
        }
        if ended {
            outcome.ready.extend(self.ready(span.piece()));
        }
        outcome
    }

    /// Frees the blocks of `span` that `peer` did not store. Returns the piece if it is now ready.
    pub fn released(&mut self, peer: PeerKey, span: Span) -> Option<PieceIndex> {
        let ended = span
            .numbers()
            .filter_map(|number| self.end_lease(peer, span.piece(), number, false))
            .count();
        if ended == 0 {
            None
        } else {
            self.ready(span.piece())
        }
    }

    /// Returns the blocks of `span` on which `peer` holds a lease.
    pub fn held(&self, peer: PeerKey, span: Span) -> Vec<Span> {
        let leases = self.leases.get(&peer);
        let blocks = span.numbers().map(|number| (span.piece(), number));
        let held = blocks.filter(|block| leases.is_some_and(|l| l.contains_key(block)));
        spans_of(held.collect())
    }

    /// Returns who stored blocks of a started piece, as far as that is known.
    pub fn givers(&self, piece: PieceIndex) -> Vec<PeerKey> {
        let slots = self.started.get(&piece).map(|started| &started.slots);
        let givers = slots.into_iter().flatten().filter_map(|slot| slot.giver);
        let givers: BTreeSet<PeerKey> = givers.collect();
        givers.into_iter().collect()
    }

    fn fetches(&self, peer: PeerKey, piece: PieceIndex) -> bool {
        let leases = self.leases.get(&peer);
        leases.is_some_and(|l| l.range((piece, 0)..=(piece, u32::MAX)).next().is_some())
    }

    /// Whether a peer fetches `piece` alone: no other peer gets blocks of it.
    fn is_reserved(&self, piece: PieceIndex) -> bool {
        let started = self.started.get(&piece);
        started.is_some_and(|started| started.alone && started.leases > 0)
    }

    /// Frees all blocks of `peer`, which is gone. Returns the pieces that can be verified now.
    pub fn forget(&mut self, peer: PeerKey) -> Vec<PieceIndex> {
        let leases = self.leases.get(&peer).into_iter().flatten();
        let leases: Vec<_> = leases.map(|(block, _)| *block).collect();
        leases
            .iter()
            .for_each(|(piece, number)| _ = self.end_lease(peer, *piece, *number, false));
        self.leases.remove(&peer);
        let mut pieces: Vec<PieceIndex> = leases.into_iter().map(|(piece, _)| piece).collect();
        pieces.dedup();
        pieces
            .into_iter()
            .filter_map(|piece| self.ready(piece))
            .collect()
    }

    /// Ends one lease. If the block is not `stored`, it is free again, unless another peer holds a
    /// lease on it or stored it. Returns how many leases are left, or `None` if `peer` held none.
    fn end_lease(
        &mut self,
        peer: PeerKey,
        piece: PieceIndex,
        number: u32,
        stored: bool,
    ) -> Option<u8> {
        self.leases.get_mut(&peer)?.remove(&(piece, number))?;
        let started = self.started.get_mut(&piece)?;
        let slot = &mut started.slots[number as usize];
        slot.leases -= 1;
        started.leases -= 1;
        match (stored, slot.stored) {
            (true, false) => {
                (slot.stored, slot.giver) = (true, Some(peer));
                started.missing -= 1;
            }
            (true, true) => slot.giver = None,
            (false, false) if slot.leases == 0 => {
                started.free += 1;
                self.open.insert(piece);
            }
            (false, _) => {}
        }
        Some(slot.leases)
    }

    /// Returns `piece` if it can be verified: all blocks are stored, and nobody holds a lease.
    fn ready(&self, piece: PieceIndex) -> Option<PieceIndex> {
        let started = self.started.get(&piece)?;
        (started.missing == 0 && started.leases == 0).then_some(piece)
    }

    /// Starts the pieces that consist of padding. They can be verified at once.
    pub fn begin_padding(&mut self) -> Vec<PieceIndex> {
        let empty = |piece: &PieceIndex| {
            self.states[piece.index()] == State::Free && self.layout.is_padding(*piece)
        };
        let pieces: Vec<PieceIndex> = self.layout.all_pieces().filter(empty).collect();
        pieces.iter().for_each(|piece| self.start(*piece));
        pieces
    }

    /// Starts `piece`, of which an earlier run stored the blocks `numbers`: free → started.
    pub fn begin_stored(&mut self, piece: PieceIndex, numbers: &[u32]) {
        if self.states.get(piece.index()) != Some(&State::Free) {
            return;
        }
        self.start(piece);
        let Some(started) = self.started.get_mut(&piece) else {
            return;
        };
        started.unsure = true;
        for number in numbers {
            let slot = started.slots.get_mut(*number as usize);
            if let Some(slot) = slot.filter(|slot| !slot.stored) {
                slot.stored = true;
                started.missing -= 1;
                started.free -= 1;
            }
        }
        if started.free == 0 {
            self.open.remove(&piece);
        }
    }

    /// Forgets the stored blocks of the started pieces among `pieces`: somebody moved their files,
    /// so the blocks may be gone. Nobody is blamed if a hash is wrong. Pieces that wait for the
    /// checker keep their blocks. Returns how many blocks are forgotten.
    pub fn unsettle(&mut self, pieces: impl IntoIterator<Item = PieceIndex>) -> u64 {
        let mut forgotten = 0;
        for piece in pieces {
            let Some(started) = self.started.get_mut(&piece) else {
                continue;
            };
            started.unsure = true;
            if started.missing == 0 && started.leases == 0 {
                continue;
            }
            for (number, slot) in (0..).zip(&mut started.slots) {
                if !slot.stored || self.layout.block(piece, number).is_none() {
                    continue;
                }
                (slot.stored, slot.giver) = (false, None);
                started.missing += 1;
                forgotten += 1;
                if slot.leases == 0 {
                    started.free += 1;
                    self.open.insert(piece);
                }
            }
        }
        forgotten
    }

    /// Whether nobody is blamed if the hash of `piece` is wrong.
    pub fn is_unsure(&self, piece: PieceIndex) -> bool {
        let started = self.started.get(&piece);
        started.is_some_and(|started| started.unsure)
    }

    /// A piece is no longer on disk: had → free.
    pub fn lost(&mut self, piece: PieceIndex) {
        if self.states.get(piece.index()) == Some(&State::Had) {
            self.states[piece.index()] = State::Free;
            self.rarity.insert(piece);
            self.missing += 1;
            self.order.freed(piece);
        }
    }

    /// Gives up a started piece without leases, as it can never be right: started → given up.
    pub fn give_up(&mut self, piece: PieceIndex) {
        let idle = |started: &Started| started.leases == 0;
        if self.started.get(&piece).is_some_and(idle) {
            self.started.remove(&piece);
            self.open.remove(&piece);
            self.states[piece.index()] = State::GivenUp;
        }
    }

    /// The hash of `piece` is right: started → had.
    pub fn verified(&mut self, piece: PieceIndex) {
        if self.started.remove(&piece).is_some() {
            self.states[piece.index()] = State::Had;
            self.missing -= 1;
        }
    }

    /// Returns the peer that stored all blocks of a started piece, if a single one did.
    pub fn sole_giver(&self, piece: PieceIndex) -> Option<PeerKey> {
        let slots = &self.started.get(&piece)?.slots;
        let data = (0..)
            .zip(slots)
            .filter(|(number, _)| self.layout.block(piece, *number).is_some());
        let mut givers = data.map(|(_, slot)| slot.giver);
        let first = givers.next()??;
        givers.all(|giver| giver == Some(first)).then_some(first)
    }

    /// The hash of `piece` is wrong: frees all its blocks. Returns who stored each block, by
    /// number, or `None` for each if nobody is [blamed](Self::is_unsure).
    pub fn failed(&mut self, piece: PieceIndex) -> Vec<Option<PeerKey>> {
        let sole = self.sole_giver(piece);
        let Some(old) = self.started.remove(&piece) else {
            return Vec::new();
        };
        let giver = |slot: &Slot| slot.giver.filter(|_| !old.unsure);
        let givers = old.slots.iter().map(giver).collect();
        self.start(piece);
        if let Some(started) = self.started.get_mut(&piece) {
            started.alone = !old.unsure && (sole.is_none() || old.alone);
        }
        givers
    }

    /// Whether this is the endgame: every missing block is leased, or reserved for one peer.
    pub fn all_granted(&self) -> bool {
        self.rarity.is_empty() && self.open.iter().all(|piece| self.is_reserved(*piece))
    }
}

#[cfg(test)]
mod tests;
