//! In which order the pieces are begun: one [`Strategy`] of three, told apart in this file alone.
//!
//! | strategy | the next piece is | what for |
//! | --- | --- | --- |
//! | rarest first | the one that the fewest peers have | the swarm: no piece leaves with its only owner |
//! | sequential | the first that is missing, file by file, and both ends of a file before its middle | watching a film while it loads: [`watch`](super::watch) |
//! | random | any | comparing: what rarest first is worth |
//!
//! # Shares
//! The line of a new torrent's only seed is the bottleneck: nobody can have everything before the
//! seed has sent everything once, and whatever it sends twice makes all wait. So rarest first
//! divides the pieces that only seeds have. Of five leeches that know each other, the second begins
//! with the second fifth of these pieces. What a leech has, it tells the others, and they fetch
//! that from it. As the pieces become fewer, they are divided anew, because a leech that the seed
//! chokes fetches nothing.
//!
//! Whatever the strategy, pieces that are begun already come first: a piece is of use only when it
//! is whole.
//!
//! To try a strategy of your own, add it to [`Strategy`] and to the `match`es here, and play a
//! swarm with it: see [`sim`](crate::sim).

use super::watch::Watch;
use crate::bitfield::Bitfield;
use crate::config::Strategy;
use crate::layout::{Layout, PieceIndex};
use crate::rarity::Rarity;
use crate::trace::Grant;
use std::ops::Range;

/// How many pieces are chosen at random before rarest-first begins.
const RANDOM_FIRST: u32 = 4;

/// How many of the rarest pieces are searched for one that the peer has, before its bitfield is
/// searched instead.
const LOOK_AT: usize = 2048;

/// A division of the pieces among the leeches lasts for one grant for each 64 pieces. So each grant
/// pays for 64 pieces on average, however many there are.
const DIVIDED_PER_GRANT: usize = 64;

#[derive(Debug)]
pub(super) enum Order {
    RarestFirst(Rarest),
    Sequential(Watch),
    Random,
}

#[derive(Debug)]
pub(super) struct Rarest {
    /// How many pieces are still to be chosen at random.
    random_left: u32,
    /// Which of how many leeches we are: see [`Order::set_share`].
    share: (u32, u32),
    /// Our share of the pieces that only seeds have: its first one, and the next leech's.
    ours: Range<u32>,
    /// For how many more grants to seeds this division holds.
    divided_for: usize,
}

impl Order {
    pub(super) fn new(strategy: Strategy, had: u32, layout: &Layout) -> Self {
        match strategy {
            Strategy::RarestFirst => Self::RarestFirst(Rarest {
                random_left: RANDOM_FIRST.saturating_sub(had),
                share: (0, 1),
                ours: 0..0,
                divided_for: 0,
            }),
            Strategy::Sequential => Self::Sequential(Watch::new(layout)),
            Strategy::Random => Self::Random,
        }
    }

    /// We are leech number `rank`, from 0, of `count`.
    pub(super) fn set_share(&mut self, rank: u32, count: u32) {
        if let Self::RarestFirst(rarest) = self {
            let before = std::mem::replace(&mut rarest.share, (rank, count));
            if before != rarest.share {
                rarest.divided_for = 0;
            }
        }
    }

    /// Whether there are other leeches, and the pieces are divided among them and us.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::RarestFirst(its) if its.share.1 > 1)
    }

    /// Divides the pieces that only seeds have among the leeches, before a seed gets work. Those
    /// that are `begun` are missing, too.
    pub(super) fn divide(&mut self, free: &Rarity, begun: impl Iterator<Item = PieceIndex>) {
        if let Self::RarestFirst(its) = self {
            its.divide(free, begun);
        }
    }

    /// Whether all pieces are wanted in order, whatever that costs.
    pub(super) fn is_strict(&self) -> bool {
        matches!(self, Self::Sequential(_))
    }

    /// Returns the piece to begin next, of those that are `free` and that the peer has, and why
    /// this one. `scarce`: the peer is a seed, and has no time for what others can send.
    pub(super) fn next(
        &mut self,
        free: &Rarity,
        have: &Bitfield,
        scarce: bool,
        rng: &mut fastrand::Rng,
    ) -> Option<(PieceIndex, Grant)> {
        match self {
            Self::RarestFirst(its) if scarce => Some((its.rarest(free, have)?, Grant::Rarest)),
            Self::RarestFirst(its) => match its.random(free, have, rng) {
                Some(piece) => Some((piece, Grant::Random)),
                None => Some((its.rarest(free, have)?, Grant::Rarest)),
            },
            Self::Sequential(watch) => Some((watch.next(free, have)?, Grant::Order)),
            Self::Random => {
                let any = have.iter().filter(|piece| free.contains(*piece));
                let any = rng.choice(any.collect::<Vec<_>>());
                any.map(|piece| (piece, Grant::Random))
            }
        }
    }

    /// Puts the pieces that are begun and not all granted, given in the torrent's order, into the
    /// order in which a peer gets them.
    pub(super) fn sort_begun(&self, begun: &mut [PieceIndex], free: &Rarity) {
        match self {
            Self::RarestFirst(its) => {
                let place = |piece: PieceIndex| piece.get().wrapping_sub(its.ours.start);
                begun.sort_by_key(|piece| (free.available(*piece), place(*piece)));
            }
            Self::Sequential(watch) => begun.sort_by_key(|piece| watch.place(*piece)),
            Self::Random => {}
        }
    }

    /// Whether `next`, the neighbour of `piece`, may as well be begun along with it. Small pieces
    /// then reach the disk in long runs, and cost one search together.
    pub(super) fn goes_along(&self, piece: PieceIndex, next: PieceIndex, free: &Rarity) -> bool {
        let alike = free.available(next) == free.available(piece);
        match self {
            Self::RarestFirst(its) => {
                let ours = |piece: PieceIndex| its.ours.contains(&piece.get());
                alike && ours(next) == ours(piece)
            }
            Self::Sequential(_) | Self::Random => false,
        }
    }

    pub(super) fn freed(&mut self, piece: PieceIndex) {
        if let Self::Sequential(watch) = self {
            watch.freed(piece);
        }
    }
}

impl Rarest {
    /// Returns one of our first pieces, if chance finds one that suits.
    fn random(
        &mut self,
        free: &Rarity,
        have: &Bitfield,
        rng: &mut fastrand::Rng,
    ) -> Option<PieceIndex> {
        if self.random_left == 0 || free.is_empty() {
            return None;
        }
        let piece = free.nth(rng.usize(..free.len()))?;
        // A piece that only seeds have would take long to arrive.
        let suits = have.has(piece) && free.available(piece) > 0;
        self.random_left -= u32::from(suits);
        suits.then_some(piece)
    }

    fn rarest(&self, free: &Rarity, have: &Bitfield) -> Option<PieceIndex> {
        let near = free.iter().take(LOOK_AT).filter(|piece| have.has(*piece));
        let mut near = near.peekable();
        if let Some(&first) = near.peek() {
            if self.ours.is_empty() {
                return Some(first);
            }
            let rare = free.available(first);
            let alike = near.take_while(|piece| free.available(*piece) == rare);
            let ours = |piece: &PieceIndex| match self.ours.contains(&piece.get()) {
                true => piece.get(),
                false => u32::MAX,
            };
            return alike.min_by_key(ours);
        }
        if free.len() <= LOOK_AT {
            return None;
        }
        // The peer has few pieces: its bitfield is the shorter list.
        have.iter()
            .filter(|piece| free.contains(*piece))
            .take(LOOK_AT)
            .min_by_key(|piece| free.available(*piece))
    }

    /// Finds our share. All leeches know the same pieces that only seeds have, and number
    /// themselves in the same way, so each finds another one.
    fn divide(&mut self, free: &Rarity, begun: impl Iterator<Item = PieceIndex>) {
        if let Some(left) = self.divided_for.checked_sub(1) {
            self.divided_for = left;
            return;
        }
        let only_seeds = |piece: &PieceIndex| free.available(*piece) == 0;
        let free = free.iter().take(LOOK_AT).take_while(only_seeds);
        let all = free.chain(begun.filter(only_seeds));
        let mut all: Vec<u32> = all.map(PieceIndex::get).collect();
        all.sort_unstable();
        self.divided_for = all.len() / DIVIDED_PER_GRANT;
        let (rank, count) = (self.share.0 as usize, self.share.1 as usize);
        let start = |rank: usize| all.get(all.len() * rank / count).copied();
        let first = start(rank).unwrap_or(0);
        self.ours = first..start(rank + 1).unwrap_or(u32::MAX).max(first + 1);
    }
}

impl Order {
    /// Panics if what the strategy remembers cannot be. `piece` is free.
    pub(super) fn check_free(&self, piece: PieceIndex) {
        if let Self::Sequential(watch) = self {
            watch.check_free(piece);
        }
    }

    /// Panics if what the strategy remembers cannot be.
    pub(super) fn check(&self) {
        if let Self::RarestFirst(Rarest {
            random_left, share, ..
        }) = self
        {
            assert!(share.0 < share.1 && *random_left <= RANDOM_FIRST);
        }
    }

    /// Chooses no piece at random before the rarest.
    #[cfg(test)]
    pub(super) fn skip_random(&mut self) {
        if let Self::RarestFirst(rarest) = self {
            rarest.random_left = 0;
        }
    }
}
