//! How many copies of each piece the peers around us have, over time: the measure of "rarest".

use super::line::bits;
use super::sums::Ms;
use std::collections::{BTreeMap, BTreeSet};

/// Torrents with more pieces than this are drawn without copies.
const COUNTED: u32 = 20_000;

/// The most peers whose pieces are known at a time.
const PEERS: usize = 1000;

/// The most changes that are kept.
const CHANGES: usize = 60_000;

#[derive(Debug)]
enum Has {
    All,
    Some(BTreeSet<u32>),
}

/// How rare a piece was when it was begun.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Rarity {
    pub(super) copies: u32,
    /// Of the rarest piece that was not begun.
    pub(super) rarest: u32,
    /// Of the commonest.
    pub(super) commonest: u32,
    /// Of the rarest that the giver has.
    pub(super) of_giver: u32,
}

#[derive(Default, Debug)]
pub(super) struct Copies {
    pieces: u32,
    peers: BTreeMap<u64, Has>,
    /// How many peers have all.
    all: u32,
    /// Copies of each piece at the other peers.
    counts: Vec<u32>,
    left: BTreeSet<u32>,
    /// How many of these have a number of copies, by that number.
    by_count: BTreeMap<u32, u32>,
    step: Ms,
    /// How the copies changed, by step of time and piece.
    changes: BTreeMap<(u64, u32), i64>,
    /// How the copies of all pieces changed, by step of time.
    all_changes: BTreeMap<u64, i64>,
}

impl Copies {
    /// Begins to count, with `pieces` in all, of which we lack `left`.
    pub(super) fn start(&mut self, pieces: u32, left: impl Iterator<Item = u32>) {
        if pieces <= COUNTED {
            self.pieces = pieces;
            self.counts = vec![0; pieces as usize];
            self.left = left.collect();
            self.by_count = BTreeMap::from([(0, self.left.len() as u32)]);
            self.step = 1;
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.pieces > 0
    }

    /// The peer `conn` has these pieces. Returns whether they are all.
    pub(super) fn has(&mut self, at: Ms, conn: u64, count: u32, hex: &str) -> bool {
        self.gone(at, conn);
        if !self.is_on() || self.peers.len() >= PEERS {
            return false;
        }
        let is_all = count >= self.pieces;
        if is_all {
            self.peers.insert(conn, Has::All);
            self.change_all(at, 1);
        } else {
            for piece in bits(hex, self.pieces) {
                self.have(at, conn, piece);
            }
        }
        is_all
    }

    pub(super) fn have(&mut self, at: Ms, conn: u64, piece: u32) {
        if piece >= self.pieces || (self.peers.len() >= PEERS && !self.peers.contains_key(&conn)) {
            return;
        }
        let none = || Has::Some(BTreeSet::new());
        let is_new = match self.peers.entry(conn).or_insert_with(none) {
            Has::All => false,
            Has::Some(set) => set.insert(piece),
        };
        if is_new {
            self.change(at, piece, 1);
        }
    }

    pub(super) fn gone(&mut self, at: Ms, conn: u64) {
        match self.peers.remove(&conn) {
            Some(Has::All) => self.change_all(at, -1),
            Some(Has::Some(set)) => set.into_iter().for_each(|piece| self.change(at, piece, -1)),
            None => {}
        }
    }

    /// How rare is `piece`, which is begun at the peer `conn`?
    pub(super) fn begin(&mut self, conn: u64, piece: u32) -> Option<Rarity> {
        let count = *self.counts.get(piece as usize)?;
        let (rarest, commonest) = (
            self.by_count.first_key_value(),
            self.by_count.last_key_value(),
        );
        let (rarest, commonest) = (*rarest?.0, *commonest?.0);
        let counts = |piece: &u32| self.counts[*piece as usize];
        let of_giver = match self.peers.get(&conn) {
            Some(Has::Some(set)) => self.left.intersection(set).map(counts).min(),
            _ => Some(rarest),
        };
        if self.left.remove(&piece) {
            self.count(count, -1);
        }
        Some(Rarity {
            copies: count + self.all,
            rarest: rarest + self.all,
            commonest: commonest + self.all,
            of_giver: of_giver.unwrap_or(count) + self.all,
        })
    }

    fn count(&mut self, copies: u32, by: i32) {
        let count = self.by_count.entry(copies).or_insert(0);
        *count = count.saturating_add_signed(by);
        if *count == 0 {
            self.by_count.remove(&copies);
        }
    }

    fn change(&mut self, at: Ms, piece: u32, by: i32) {
        let before = self.counts[piece as usize];
        let after = before.saturating_add_signed(by);
        self.counts[piece as usize] = after;
        if self.left.contains(&piece) {
            self.count(before, -1);
            self.count(after, 1);
        }
        *self.changes.entry((at / self.step, piece)).or_insert(0) += i64::from(by);
        while self.changes.len() > CHANGES {
            self.coarsen();
        }
    }

    fn change_all(&mut self, at: Ms, by: i32) {
        self.all = self.all.saturating_add_signed(by);
        *self.all_changes.entry(at / self.step).or_insert(0) += i64::from(by);
        while self.all_changes.len() > CHANGES / 8 {
            self.coarsen();
        }
    }

    /// Doubles the step of time: what falls into one step is added up.
    fn coarsen(&mut self) {
        self.step *= 2;
        for ((step, piece), by) in std::mem::take(&mut self.changes) {
            *self.changes.entry((step / 2, piece)).or_insert(0) += by;
        }
        self.changes.retain(|_, by| *by != 0);
        for (step, by) in std::mem::take(&mut self.all_changes) {
            *self.all_changes.entry(step / 2).or_insert(0) += by;
        }
    }

    /// The changes of single pieces, `(when, piece, by)`, in the order of time.
    pub(super) fn changes(&self) -> impl Iterator<Item = (Ms, u32, i64)> {
        let all = self.changes.iter();
        all.map(|((step, piece), by)| (step * self.step, *piece, *by))
    }

    /// The changes of all pieces at once, `(when, by)`.
    pub(super) fn all_changes(&self) -> impl Iterator<Item = (Ms, i64)> {
        let all = self.all_changes.iter();
        all.map(|(step, by)| (step * self.step, *by))
    }

    pub(super) fn left(&self) -> impl Iterator<Item = u32> {
        self.left.iter().copied()
    }

    /// How exact the times of the changes are, in ms.
    pub(super) fn step(&self) -> Ms {
        self.step
    }
}
