//! The set of pieces that a peer has: one bit per piece, as on the wire.
//!
//! A peer sends its bitfield right after the handshake ([BEP 3]). The high bit of the first byte is
//! piece 0; the spare bits at the end are zero. A [`Bitfield`] knows how many pieces the torrent
//! has, so a peer's bitfield is checked once, here, and trusted afterwards.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use crate::layout::PieceIndex;

/// A set of pieces of one torrent. Invariant: the spare bits of the last byte are 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bitfield {
    bytes: Vec<u8>,
    len: u32,
    ones: u32,
}

impl Bitfield {
    /// The empty set among `len` pieces.
    pub fn none(len: u32) -> Self {
        Self {
            bytes: vec![0; len.div_ceil(8) as usize],
            len,
            ones: 0,
        }
    }

    /// All `len` pieces.
    pub fn all(len: u32) -> Self {
        let mut bytes = vec![0xff; len.div_ceil(8) as usize];
        if let Some(last) = bytes.last_mut() {
            *last <<= (8 - len % 8) % 8;
        }
        Self {
            bytes,
            len,
            ones: len,
        }
    }

    /// Reads the bytes of a bitfield message or of a resume file. `None` if their number does not
    /// fit `len` pieces, or if a spare bit is set.
    pub fn from_bytes(bytes: &[u8], len: u32) -> Option<Self> {
        let spare = (8 - len % 8) % 8;
        let fits = bytes.len() == len.div_ceil(8) as usize;
        if !fits
            || bytes
                .last()
                .is_some_and(|last| last.trailing_zeros() < spare)
        {
            return None;
        }
        let ones = bytes.iter().map(|byte| byte.count_ones()).sum();
        Some(Self {
            bytes: bytes.to_vec(),
            len,
            ones,
        })
    }

    /// The bytes, as in a bitfield message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many pieces the torrent has.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether no piece is in the set.
    pub fn is_empty(&self) -> bool {
        self.ones == 0
    }

    /// Whether every piece is in the set.
    pub fn is_full(&self) -> bool {
        self.ones == self.len
    }

    /// How many pieces are in the set.
    pub fn count(&self) -> u32 {
        self.ones
    }

    /// Whether `piece` is in the set.
    pub fn has(&self, piece: PieceIndex) -> bool {
        self.bytes
            .get(piece.get() as usize / 8)
            .is_some_and(|byte| byte & mask(piece) != 0)
    }

    /// Adds `piece`; returns whether it is new in the set.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        let new = piece.get() < self.len && !self.has(piece);
        if new {
            self.bytes[piece.get() as usize / 8] |= mask(piece);
            self.ones += 1;
        }
        new
    }

    /// Removes `piece`; returns whether it was in the set.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        let old = self.has(piece);
        if old {
            self.bytes[piece.get() as usize / 8] &= !mask(piece);
            self.ones -= 1;
        }
        old
    }

    /// Returns the pieces in the set, in order. Skips eight missing pieces at a time.
    pub fn iter(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.bytes
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte != 0)
            .flat_map(|(i, &byte)| {
                (0..8)
                    .filter(move |bit| byte & (0x80 >> bit) != 0)
                    .map(move |bit| PieceIndex::unchecked(i as u32 * 8 + bit))
            })
    }
}

fn mask(piece: PieceIndex) -> u8 {
    0x80 >> (piece.get() % 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(index: u32) -> PieceIndex {
        PieceIndex::unchecked(index)
    }

    #[test]
    fn hostile_bytes() {
        assert!(Bitfield::from_bytes(&[], 1).is_none(), "too short");
        assert!(Bitfield::from_bytes(&[0, 0], 8).is_none(), "too long");
        assert!(
            Bitfield::from_bytes(&[0b0000_0001], 7).is_none(),
            "spare bit set"
        );
        assert!(Bitfield::from_bytes(&[0b1111_1110], 7).unwrap().is_full());
        assert!(
            Bitfield::from_bytes(&[], 0).unwrap().is_full(),
            "no pieces, all had"
        );
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(len in 1u32..300, ops in prop::collection::vec((any::<bool>(), 0u32..300), 0..200)) {
            let mut bits = Bitfield::none(len);
            let mut set = std::collections::BTreeSet::new();
            for (put, index) in ops {
                if put {
                    prop_assert_eq!(bits.insert(piece(index)), index < len && set.insert(index));
                } else {
                    prop_assert_eq!(bits.remove(piece(index)), set.remove(&index));
                }
            }
            prop_assert_eq!(bits.count() as usize, set.len());
            prop_assert_eq!(bits.iter().map(PieceIndex::get).collect::<Vec<_>>(), set.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(Bitfield::from_bytes(bits.as_bytes(), len), Some(bits));
        }

        #[test]
        fn all_is_every_single_one(len in 0u32..100) {
            let mut bits = Bitfield::none(len);
            (0..len).for_each(|i| { bits.insert(piece(i)); });
            prop_assert_eq!(bits, Bitfield::all(len));
        }
    }
}
