//! Who gave false data, when several peers gave blocks of a piece whose hash is wrong.
//!
//! One hash covers a whole piece, so it does not tell which block is false. But when
//! the piece is fetched again and is right, the true blocks are known: whoever's block
//! differs from the true one lied. To compare, the SHA-1 of each block of the bad
//! attempt is kept, with its giver (libtorrent calls it *smart ban*).
//!
//! A web seed that lied is banned, too: the URL, whatever address it has.

use super::rate::Budgets;
use super::webseeds::WebSeedIndex;
use super::{Action, Torrent, detail};
use crate::layout::PieceIndex;
use crate::types::{PeerId, PeerKey};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

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
    /// It is this web seed, which has neither address nor name.
    pub web: Option<WebSeedIndex>,
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

impl Torrent {
    /// A piece whose hash is wrong. If one peer gave all of it, that one lied; else the
    /// blocks are hashed before they are fetched again, to find out who.
    pub(super) fn on_bad_piece(
        &mut self,
        piece: PieceIndex,
        now: Instant,
        budgets: &mut Budgets,
        actions: &mut Vec<Action>,
    ) {
        let number = piece.get();
        actions.push(detail(
            1,
            format!("piece {number} does not have the hash that it should"),
        ));
        if let Some(liar) = self.picker.sole_giver(piece) {
            self.refetch(piece);
            if let Some(giver) = self.givers.get(&liar).copied() {
                self.ban(giver, piece, actions);
            }
            self.feed_hungry(now, budgets, actions);
        } else {
            actions.push(Action::HashBlocks(piece));
        }
    }

    /// All of `piece` is to be fetched again; says who gave each block.
    pub(super) fn refetch(&mut self, piece: PieceIndex) -> Vec<Option<Giver>> {
        let givers = self.picker.failed(piece);
        self.level = self.level.saturating_sub(givers.len() as u64);
        givers
            .into_iter()
            .map(|key| key.and_then(|key| self.givers.get(&key).copied()))
            .collect()
    }

    pub(super) fn ban(&mut self, liar: Giver, piece: PieceIndex, actions: &mut Vec<Action>) {
        match liar.web {
            None => self.swarm.ban(liar.addr, liar.id, liar.incoming),
            Some(index) => self.web_seeds.ban(index),
        }
        // A web seed may have been opened anew since.
        let is_liar = |key, web| key == liar.key || web == liar.web && liar.web.is_some();
        let mut peers = self.peers.iter_mut();
        if let Some((key, peer)) = peers.find(|(key, peer)| is_liar(**key, peer.web)) {
            peer.useless = true;
            peer.wants = 0;
            actions.push(Action::HangUp(*key));
        }
        let who = match liar.web {
            None => liar.addr.to_string(),
            Some(index) => self.web_seed_name(index),
        };
        let text = format!("{who}: gave false data for piece {}: banned", piece.get());
        actions.push(detail(1, text));
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
            web: None,
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
