//! The rarest pieces first: the untouched pieces of a torrent, ordered by how many peers have them.
//!
//! If all peers fetched the pieces in order, all would have the same ones, and the last pieces
//! would leave with the only seed. So each peer fetches the pieces that the fewest others have. To
//! find them at once among two million pieces, one list is kept sorted by availability:
//!
//! ```text
//! order    [ 7 2 | 9 4 1 | 0 8 ... ]     pieces nobody has | one peer has | two have ...
//! starts     0     2       5
//! ```
//!
//! When one more peer has a piece, the piece changes places with the last one of its bucket, and
//! the border moves one to the left. In its new bucket it changes places with one chosen at random:
//! two swaps, whatever the size of the torrent. Seeds are not counted: they have every piece, so
//! they change no order.
//!
//! Within a bucket the order is random. All peers of a swarm hear the same haves in almost the same
//! order. If a piece came to a fixed place in its bucket, all of them would soon fetch the same
//! pieces in the same order, and have nothing to trade.

use crate::layout::PieceIndex;
use std::ops::Range;

const ABSENT: u32 = u32::MAX;

/// The untouched pieces, rarest first.
#[derive(Debug)]
pub struct Rarity {
    /// How many peers, without seeds, have each piece, untouched or not.
    available: Vec<u32>,
    order: Vec<u32>,
    /// The index of each piece in `order`, or [`ABSENT`].
    place: Vec<u32>,
    /// Where the bucket of each availability begins in `order`.
    starts: Vec<u32>,
    rng: fastrand::Rng,
}

impl Rarity {
    /// Lists the pieces of `listed` in random order, with no peers yet. The torrent has `pieces`.
    pub fn new(
        pieces: u32,
        listed: impl Iterator<Item = PieceIndex>,
        rng: &mut fastrand::Rng,
    ) -> Self {
        let mut order: Vec<u32> = listed.map(PieceIndex::get).collect();
        rng.shuffle(&mut order);
        let mut place = vec![ABSENT; pieces as usize];
        for (at, piece) in order.iter().enumerate() {
            place[*piece as usize] = at as u32;
        }
        Self {
            available: vec![0; pieces as usize],
            order,
            place,
            starts: vec![0],
            rng: rng.fork(),
        }
    }

    pub(crate) fn available(&self, piece: PieceIndex) -> u32 {
        self.available[piece.index()]
    }

    /// Whether `piece` is listed, which means untouched.
    pub(crate) fn contains(&self, piece: PieceIndex) -> bool {
        self.place[piece.index()] != ABSENT
    }

    /// The listed pieces, rarest first.
    pub fn iter(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.order.iter().map(|piece| PieceIndex::unchecked(*piece))
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The listed piece at `at`, counted from the rarest.
    pub(crate) fn nth(&self, at: usize) -> Option<PieceIndex> {
        self.order
            .get(at)
            .map(|piece| PieceIndex::unchecked(*piece))
    }

    /// Counts one more peer that has `piece`.
    pub fn more(&mut self, piece: PieceIndex) {
        let bucket = self.available[piece.index()];
        self.available[piece.index()] += 1;
        let at = self.place[piece.index()];
        if at != ABSENT {
            let last = self.end_of(bucket) - 1;
            self.swap(at, last);
            self.reach(bucket + 1);
            self.starts[bucket as usize + 1] = last;
            self.mix(last, last..self.end_of(bucket + 1));
        }
    }

    pub(crate) fn fewer(&mut self, piece: PieceIndex) {
        let bucket = self.available[piece.index()];
        debug_assert!(bucket > 0, "a peer took away what nobody had");
        self.available[piece.index()] = bucket.saturating_sub(1);
        let at = self.place[piece.index()];
        if at != ABSENT && bucket > 0 {
            let first = self.starts[bucket as usize];
            self.swap(at, first);
            self.starts[bucket as usize] = first + 1;
            self.mix(first, self.starts[bucket as usize - 1]..first + 1);
        }
    }

    /// Takes `piece` off the list: a peer begins to fetch it.
    pub(crate) fn remove(&mut self, piece: PieceIndex) {
        let mut hole = self.place[piece.index()];
        if hole == ABSENT {
            return;
        }
        // The hole moves to the end: in each bucket, the last piece fills it.
        for bucket in self.available[piece.index()]..self.starts.len() as u32 {
            let last = self.end_of(bucket) - 1;
            self.swap(hole, last);
            if let Some(next) = self.starts.get_mut(bucket as usize + 1) {
                *next = last;
            }
            hole = last;
        }
        self.order.pop();
        self.place[piece.index()] = ABSENT;
    }

    /// Puts `piece` back on the list: none of it is here any more.
    pub(crate) fn insert(&mut self, piece: PieceIndex) {
        if self.contains(piece) {
            return;
        }
        let bucket = self.available[piece.index()];
        self.reach(bucket);
        let mut at = self.order.len() as u32;
        self.order.push(piece.get());
        self.place[piece.index()] = at;
        // The piece moves from the end to its bucket: in each bucket passed, the first goes last.
        for later in (bucket as usize + 1..self.starts.len()).rev() {
            let first = self.starts[later];
            self.swap(at, first);
            self.starts[later] = first + 1;
            at = first;
        }
        self.mix(at, self.starts[bucket as usize]..at + 1);
    }

    /// Panics if the list is unsorted or incomplete, or a border is wrong.
    pub(crate) fn check(&self) {
        for (at, piece) in (0..).zip(&self.order) {
            assert_eq!(
                self.place[*piece as usize], at,
                "piece {piece} is elsewhere"
            );
        }
        let listed = self.place.iter().filter(|place| **place != ABSENT).count();
        assert_eq!(listed, self.order.len());
        let available = |piece: &u32| self.available[*piece as usize];
        assert!(self.order.is_sorted_by_key(available), "{self:?}");
        for (bucket, start) in (0..).zip(&self.starts) {
            let begins = self
                .order
                .partition_point(|piece| available(piece) < bucket);
            assert_eq!(*start as usize, begins, "bucket {bucket}");
        }
        let last = self.order.last().map_or(0, available);
        assert!((last as usize) < self.starts.len(), "a bucket is missing");
    }

    fn end_of(&self, bucket: u32) -> u32 {
        self.starts
            .get(bucket as usize + 1)
            .copied()
            .unwrap_or(self.order.len() as u32)
    }

    fn reach(&mut self, bucket: u32) {
        let end = self.order.len() as u32;
        self.starts
            .resize(self.starts.len().max(bucket as usize + 1), end);
    }

    /// Gives the piece at `at`, which is new in `bucket`, a random place there.
    fn mix(&mut self, at: u32, bucket: Range<u32>) {
        let other = self.rng.u32(bucket);
        self.swap(at, other);
    }

    fn swap(&mut self, a: u32, b: u32) {
        self.order.swap(a as usize, b as usize);
        self.place[self.order[a as usize] as usize] = a;
        self.place[self.order[b as usize] as usize] = b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whoever_hears_the_same_chooses_differently() {
        let all = || (0..40).map(PieceIndex::unchecked);
        let heard = |way: &str, seed| {
            let mut list = Rarity::new(40, all(), &mut fastrand::Rng::with_seed(seed));
            all().for_each(|piece| list.more(piece));
            match way {
                "peers leave" => all().for_each(|piece| list.fewer(piece)),
                "pieces are lost" => {
                    all().for_each(|piece| list.remove(piece));
                    all().for_each(|piece| list.insert(piece));
                }
                _ => {}
            }
            list.iter().collect::<Vec<_>>()
        };
        for way in ["haves", "peers leave", "pieces are lost"] {
            assert_ne!(heard(way, 1), heard(way, 2), "{way}");
        }
    }

    proptest! {
        /// However peers come and go, the list stays sorted, complete and without doubled pieces.
        #[test]
        fn stays_sorted(ops in prop::collection::vec((0u8..4, 0u32..40), 0..400)) {
            let all = (0..40).map(PieceIndex::unchecked);
            let mut rarity = Rarity::new(40, all, &mut fastrand::Rng::with_seed(3));
            let mut model: Vec<(u32, bool)> = vec![(0, true); 40];
            for (op, index) in ops {
                let (piece, entry) = (PieceIndex::unchecked(index), &mut model[index as usize]);
                match op {
                    0 => { rarity.more(piece); entry.0 += 1 }
                    1 if entry.0 > 0 => { rarity.fewer(piece); entry.0 -= 1 }
                    2 => { rarity.remove(piece); entry.1 = false }
                    3 => { rarity.insert(piece); entry.1 = true }
                    _ => {}
                }
                rarity.check();
                for piece in (0..40).map(PieceIndex::unchecked) {
                    let known = (rarity.available(piece), rarity.contains(piece));
                    prop_assert_eq!(known, model[piece.index()]);
                }
            }
        }
    }
}
