//! Who gave false data, when several peers gave blocks of a piece whose hash is wrong.
//!
//! One hash covers a whole piece, so it does not tell which block is false. But when
//! the piece is fetched again and is right, the true blocks are known: whoever's block
//! differs from the true one lied. To compare, the SHA-1 of each block of the bad
//! attempt is kept, with its giver (libtorrent calls it *smart ban*).
//!
//! A web seed that lied is banned, too: the URL, whatever address it has.
//!
//! Some pieces can never be right: the hash in the torrent is false, or whoever made the
//! torrent shared other data. Then every honest peer looks like a liar. They give themselves
//! away by giving all the same bytes; [`AGREE`] that do are pardoned, and the piece is given
//! up.
//!
//! Part of the [`Torrent`], which comes here when the checker found a false piece or has
//! hashed the blocks of one.

use super::webseeds::WebSeedIndex;
use super::{Action, Torrent, Turn};
use crate::address::Host;
use crate::human::count;
use crate::layout::PieceIndex;
use crate::report::{FalsePiece, Report};
use crate::types::PeerKey;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

/// Attempts remembered for a piece; more would only repeat.
const MAX_ATTEMPTS: usize = 8;

/// If peers on so many hosts each gave all of a piece, and all the same bytes, and no other
/// connected peer has that piece, we believe them and not the hash in the torrent.
const AGREE: usize = 3;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Who {
    /// A peer.
    Peer {
        addr: SocketAddr,
        /// It had dialled us.
        incoming: bool,
    },
    /// A web seed, whose name may have many addresses.
    WebSeed(WebSeedIndex),
}

impl Who {
    /// Equal for two that may be the same program: all peers of one host are taken for
    /// one, but on our own machine, where half a swarm may live, each port counts. A web seed
    /// counts by its URL.
    fn program(self) -> Self {
        let Self::Peer { addr, .. } = self else {
            return self;
        };
        let host = Host::of(addr.ip());
        let addr = if host.is_our_own() {
            addr
        } else {
            SocketAddr::new(host.ip(), 0)
        };
        let incoming = false;
        Self::Peer { addr, incoming }
    }
}

/// Somebody who gave a block: kept beyond the connection's end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Giver {
    /// The connection.
    pub key: PeerKey,
    pub who: Who,
}

/// A bad attempt at a piece.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// Who gave all of it, if one alone did.
    pub sole: Option<Giver>,
    /// The giver of each block, where one is known.
    pub givers: Vec<Option<Giver>>,
    /// The SHA-1 of each block.
    pub blocks: Vec<[u8; 20]>,
}

/// The bad attempts at all pieces that are not had yet.
#[derive(Debug, Default)]
pub(crate) struct Blame {
    /// Everybody who gave us blocks in this run, also those who left.
    givers: BTreeMap<PeerKey, Giver>,
    attempts: HashMap<PieceIndex, Vec<Attempt>>,
    /// Pieces whose hash was wrong, and whose blocks are being hashed.
    awaited: BTreeSet<PieceIndex>,
    /// Pieces that can never be right, and are given up.
    damaged: BTreeSet<PieceIndex>,
}

impl Blame {
    /// Somebody gave us blocks.
    pub(crate) fn gave(&mut self, giver: Giver) {
        self.givers.entry(giver.key).or_insert(giver);
    }

    /// Who the connection `key` is or was, if it gave anything.
    fn giver(&self, key: PeerKey) -> Option<Giver> {
        self.givers.get(&key).copied()
    }

    /// Whether the blocks of a bad attempt were being hashed; from now on they are not.
    pub(crate) fn is_awaited(&mut self, piece: PieceIndex) -> bool {
        self.awaited.remove(&piece)
    }

    /// Remembers an attempt whose hash was wrong.
    pub(crate) fn remember(&mut self, piece: PieceIndex, attempt: Attempt) {
        let attempts = self.attempts.entry(piece).or_default();
        if attempts.len() < MAX_ATTEMPTS {
            attempts.push(attempt);
        }
    }

    /// Those who each gave all of `piece`, and the same bytes, whose `blocks` have these hashes:
    /// one for each [program](Who::program).
    pub(crate) fn agreeing(&self, piece: PieceIndex, blocks: &[[u8; 20]]) -> Vec<Giver> {
        let attempts = self.attempts.get(&piece).into_iter().flatten();
        let same = attempts.filter(|attempt| attempt.blocks == blocks);
        let mut givers: Vec<Giver> = same.filter_map(|attempt| attempt.sole).collect();
        givers.sort_unstable_by_key(|giver| giver.who.program());
        givers.dedup_by_key(|giver| giver.who.program());
        givers
    }

    /// The piece that came false from the most peers, and is not right yet.
    pub(crate) fn worst(&self) -> Option<FalsePiece> {
        let givers = |attempts: &Vec<Attempt>| attempts.iter().filter(|a| a.sole.is_some()).count();
        let counted = self.attempts.iter().map(|(&piece, attempts)| FalsePiece {
            piece,
            givers: givers(attempts),
        });
        counted
            .filter(|false_piece| false_piece.givers > 0)
            .max_by_key(|false_piece| (false_piece.givers, false_piece.piece))
    }

    /// Whether `piece` was wrong before, so that its true blocks are worth knowing.
    pub(crate) fn is_open(&self, piece: PieceIndex) -> bool {
        self.attempts.contains_key(&piece)
    }

    /// The true blocks are known: who gave others?
    pub(crate) fn judge(&mut self, piece: PieceIndex, truth: &[[u8; 20]]) -> Vec<Giver> {
        let attempts = self.attempts.remove(&piece).unwrap_or_default();
        let wrong = attempts.iter().flat_map(|attempt| {
            let blocks = attempt.blocks.iter().zip(truth);
            let given = attempt.givers.iter().zip(blocks);
            given
                .filter(|(_, (sha, truth))| sha != truth)
                .filter_map(|(giver, _)| *giver)
        });
        let mut liars: Vec<Giver> = wrong.collect();
        liars.sort_unstable_by_key(|giver| giver.key);
        liars.dedup();
        liars
    }
}

impl Torrent {
    /// A piece whose bytes are not where they were stored, which is no peer's fault.
    pub(super) fn on_moved_piece(&mut self, piece: PieceIndex, turn: &mut Turn<'_>) {
        let text = format!("piece {}: its file was moved or removed", piece.get());
        turn.detail(text);
        self.refetch(piece);
        self.feed_hungry(turn);
    }

    /// A piece whose hash is wrong: its blocks are hashed before they are fetched again, to
    /// find out who lied.
    pub(super) fn on_bad_piece(&mut self, piece: PieceIndex, turn: &mut Turn<'_>) {
        let number = piece.get();
        turn.detail(format!(
            "piece {number} does not have the hash that it should"
        ));
        if self.content.layout.is_padding(piece) {
            // Nobody gives padding: it is zeros, whatever the torrent says.
            return turn.push(Action::Fail(format!(
                "the torrent is damaged: piece {number} is nothing but padding and has not the \
                 hash of that; get the torrent from somewhere else"
            )));
        }
        if self.picker.is_unsure(piece) {
            self.refetch(piece);
            return self.feed_hungry(turn);
        }
        self.blame.awaited.insert(piece);
        turn.push(Action::HashBlocks(piece));
    }

    /// The hashes of a bad attempt's blocks are known: whoever gave all of it lied, unless too
    /// many tell the same lie.
    pub(super) fn on_bad_blocks(
        &mut self,
        piece: PieceIndex,
        blocks: &[[u8; 20]],
        turn: &mut Turn<'_>,
    ) {
        let sole = self.picker.sole_giver(piece);
        let sole = sole.and_then(|key| self.blame.giver(key));
        let attempt = Attempt {
            sole,
            givers: self.refetch(piece),
            blocks: blocks.to_vec(),
        };
        self.blame.remember(piece, attempt);
        // Without its blocks it is not there any more, so who knows what was given.
        let Some(liar) = sole.filter(|_| !blocks.is_empty()) else {
            return;
        };
        let agreeing = self.blame.agreeing(piece, blocks);
        if agreeing.len() < AGREE || self.has_untried(piece, &agreeing) {
            return self.ban(liar, piece, turn);
        }
        for giver in agreeing {
            match giver.who {
                Who::Peer { addr, incoming } => self.swarm.pardon(addr, incoming),
                Who::WebSeed(index) => self.web_seeds.pardon(index),
            }
        }
        self.picker.give_up(piece);
        self.blame.damaged.insert(piece);
        turn.push(Action::Tell(Report::Warning {
            info_hash: Some(self.setup.info_hash),
            message: format!(
                "piece {} can never be right: {AGREE} peers gave the same bytes, which have not the \
                 hash that the torrent names; the torrent is damaged, or they all are; all else is \
                 fetched",
                piece.get()
            ),
        }));
    }

    /// Whether a peer has `piece` that did not give it yet.
    fn has_untried(&self, piece: PieceIndex, tried: &[Giver]) -> bool {
        self.peers.fetchers().any(|(key, fetcher)| {
            let gave = tried.iter().any(|giver| giver.key == key);
            !fetcher.useless && fetcher.have.has(piece) && !gave
        })
    }

    /// All is there but pieces that can never be right.
    pub(super) fn check_damaged(&mut self, turn: &mut Turn<'_>) {
        let damaged = &self.blame.damaged;
        let only = self.picker.missing() as usize == damaged.len();
        if let Some(piece) = damaged
            .first()
            .filter(|_| only && self.goals.is_downloading())
        {
            turn.push(Action::Fail(format!(
                "all is there but {}, from piece {} on, which can never be right: the torrent is \
                 damaged, or all who gave it are; get the torrent from somewhere else",
                count(damaged.len() as u64, "piece"),
                piece.get()
            )));
        }
    }

    /// All of `piece` is to be fetched again; says who gave each block.
    pub(super) fn refetch(&mut self, piece: PieceIndex) -> Vec<Option<Giver>> {
        let givers = self.picker.failed(piece);
        self.goals.lose(givers.len() as u64);
        givers
            .into_iter()
            .map(|key| key.and_then(|key| self.blame.giver(key)))
            .collect()
    }

    pub(super) fn ban(&mut self, liar: Giver, piece: PieceIndex, turn: &mut Turn<'_>) {
        let (name, key) = match liar.who {
            Who::Peer { addr, incoming } => {
                self.swarm.ban(addr, incoming);
                (addr.to_string(), liar.key)
            }
            Who::WebSeed(index) => {
                self.web_seeds.ban(index);
                // It may have been opened anew since.
                let mut open = self.peers.web_seeds.iter();
                let its = open.find(|(_, seed)| seed.index == index);
                let key = its.map_or(liar.key, |(key, _)| *key);
                (self.web_seed_name(index), key)
            }
        };
        if let Some(fetcher) = self.peers.fetcher_mut(key) {
            fetcher.useless = true;
            fetcher.wants = 0;
            turn.hang_up(key);
        }
        let text = format!("{name}: gave false data for piece {}: banned", piece.get());
        turn.detail(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_giver_of_the_block_that_differs_is_the_liar() {
        let giver = |n: u8| Giver {
            key: PeerKey(n.into()),
            who: Who::Peer {
                addr: SocketAddr::from(([127, 0, 0, 1], 7000 + u16::from(n))),
                incoming: false,
            },
        };
        let piece = PieceIndex::unchecked(3);
        let mut blame = Blame::default();
        let blocks = vec![[1; 20], [9; 20], [3; 20], [4; 20]];
        let attempt = |sole, givers| Attempt {
            sole,
            givers,
            blocks: blocks.clone(),
        };
        let mixed = vec![Some(giver(1)), Some(giver(2)), None, Some(giver(1))];
        blame.remember(piece, attempt(None, mixed));
        blame.remember(piece, attempt(Some(giver(2)), vec![Some(giver(2)); 4]));
        assert_eq!(blame.agreeing(piece, &blocks), [giver(2)]);
        assert_eq!(blame.worst(), Some(FalsePiece { piece, givers: 1 }));
        assert!(blame.is_open(piece));
        assert_eq!(
            blame.judge(piece, &[[1; 20], [2; 20], [3; 20], [4; 20]]),
            [giver(2)]
        );
        assert!(!blame.is_open(piece));
        assert_eq!(blame.judge(piece, &[]), []);
    }
}
