//! Who gave false data, when several peers gave blocks of a piece whose hash is wrong.
//!
//! One hash covers a whole piece, so it does not tell which block is false. But when
//! the piece is fetched again and is right, the true blocks are known: whoever's block
//! differs from the true one lied. To compare, the SHA-1 of each block of the bad
//! attempt is kept, with its giver (libtorrent calls it *smart ban*).

use crate::layout::PieceIndex;
use crate::types::{PeerId, PeerKey};
use std::collections::HashMap;
use std::net::SocketAddr;

/// Attempts remembered for a piece; more would only repeat.
const MAX_ATTEMPTS: usize = 8;

/// Somebody who gave a block: kept beyond the connection's end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Giver {
    /// The connection.
    pub key: PeerKey,
    /// Its address.
    pub addr: SocketAddr,
    /// Its name.
    pub id: PeerId,
    /// It had dialled us.
    pub incoming: bool,
}

/// A bad attempt: for each block its giver and its SHA-1.
type Attempt = Vec<(Option<Giver>, [u8; 20])>;

/// The bad attempts at all pieces that are not had yet.
#[derive(Debug, Default)]
pub struct Blame {
    attempts: HashMap<PieceIndex, Vec<Attempt>>,
}

impl Blame {
    /// Remembers an attempt whose hash was wrong.
    pub fn remember(&mut self, piece: PieceIndex, givers: Vec<Option<Giver>>, blocks: &[[u8; 20]]) {
        let attempts = self.attempts.entry(piece).or_default();
        if attempts.len() < MAX_ATTEMPTS {
            attempts.push(givers.into_iter().zip(blocks.iter().copied()).collect());
        }
    }

    /// Whether `piece` was wrong before, so that its true blocks are worth knowing.
    pub fn is_open(&self, piece: PieceIndex) -> bool {
        self.attempts.contains_key(&piece)
    }

    /// The true blocks are known: who gave others?
    pub fn judge(&mut self, piece: PieceIndex, truth: &[[u8; 20]]) -> Vec<Giver> {
        let attempts = self.attempts.remove(&piece).unwrap_or_default();
        let wrong = attempts.iter().flat_map(|attempt| {
            let blocks = attempt.iter().zip(truth);
            blocks
                .filter(|((_, sha), truth)| sha != *truth)
                .filter_map(|((giver, _), _)| *giver)
        });
        let mut liars: Vec<Giver> = wrong.collect();
        liars.sort_unstable_by_key(|giver| giver.key);
        liars.dedup();
        liars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_giver_of_the_block_that_differs_is_the_liar() {
        let giver = |n: u8| Giver {
            key: PeerKey(n.into()),
            addr: SocketAddr::from(([127, 0, 0, 1], 7000 + u16::from(n))),
            id: PeerId([n; 20]),
            incoming: false,
        };
        let piece = PieceIndex::unchecked(3);
        let mut blame = Blame::default();
        blame.remember(
            piece,
            vec![Some(giver(1)), Some(giver(2)), None, Some(giver(1))],
            &[[1; 20], [9; 20], [3; 20], [4; 20]],
        );
        blame.remember(
            piece,
            vec![Some(giver(2)); 4],
            &[[1; 20], [9; 20], [3; 20], [4; 20]],
        );
        assert!(blame.is_open(piece));
        assert_eq!(
            blame.judge(piece, &[[1; 20], [2; 20], [3; 20], [4; 20]]),
            [giver(2)]
        );
        assert!(!blame.is_open(piece));
        assert_eq!(blame.judge(piece, &[]), []);
    }
}
