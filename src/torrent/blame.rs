//! Who sent false data, when several peers sent blocks of a piece whose hash is wrong.
//!
//! One hash covers a whole piece, so it does not tell which block is false. So we keep the SHA-1 of
//! each block of the false attempt, with its giver. When the piece has been fetched again and is
//! right, the true blocks are known, and the giver of any block that differs lied. libtorrent calls
//! this *smart ban*. A liar is banned: a peer by its address, a web seed by its URL.
//!
//! Some pieces can never be right: the hash in the torrent is false, or the torrent's maker shares
//! other data. Then every honest peer looks like a liar, but all of them send the same bytes. If
//! [`AGREE`] do, they are pardoned, and the piece is given up.

use super::fetcher::Parting;
use super::webseeds::WebSeedIndex;
use super::{Action, Torrent, Turn};
use crate::address::Host;
use crate::human::count;
use crate::layout::PieceIndex;
use crate::report::{FalsePiece, Report};
use crate::trace::{Ban, Fact};
use crate::types::PeerKey;
use crate::url::origin;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

/// How many attempts at a piece are remembered. More would only repeat.
const MAX_ATTEMPTS: usize = 8;

/// If peers on this many hosts each sent all of a piece with the same bytes, and no other connected
/// peer has that piece, we believe them and not the hash in the torrent.
const AGREE: usize = 3;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Who {
    /// A peer.
    Peer {
        /// Its address.
        addr: SocketAddr,
        /// Whether it dialled us.
        incoming: bool,
    },
    /// A web seed. Its name may have many addresses.
    WebSeed(WebSeedIndex),
}

impl Who {
    /// Equal for two givers that may be the same program: two peers on one host or, on our own
    /// machine, where half a swarm may live, on one port. A web seed counts by its URL.
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

/// Somebody who sent a block, kept beyond the connection's end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Giver {
    /// The connection by which it came.
    pub key: PeerKey,
    /// Who was at its other end.
    pub who: Who,
}

/// The blocks of a piece whose hash was wrong.
#[derive(Debug)]
pub struct Attempt {
    /// Who sent all of it, if one giver alone did.
    pub sole: Option<Giver>,
    /// The giver of each block, if known.
    pub givers: Vec<Option<Giver>>,
    /// The SHA-1 of each block.
    pub blocks: Vec<[u8; 20]>,
}

/// The false attempts at all pieces that we do not have yet.
#[derive(Debug, Default)]
pub struct Blame {
    /// Everybody who has sent us blocks in this run.
    givers: BTreeMap<PeerKey, Giver>,
    attempts: HashMap<PieceIndex, Vec<Attempt>>,
    /// False pieces whose blocks are being hashed.
    awaited: BTreeSet<PieceIndex>,
    damaged: BTreeSet<PieceIndex>,
}

impl Blame {
    pub(crate) fn gave(&mut self, giver: Giver) {
        self.givers.entry(giver.key).or_insert(giver);
    }

    fn giver(&self, key: PeerKey) -> Option<Giver> {
        self.givers.get(&key).copied()
    }

    /// Whether the blocks of a false attempt were being hashed. From now on they are not.
    pub(crate) fn is_awaited(&mut self, piece: PieceIndex) -> bool {
        self.awaited.remove(&piece)
    }

    /// Remembers a false attempt at `piece`.
    pub fn remember(&mut self, piece: PieceIndex, attempt: Attempt) {
        let attempts = self.attempts.entry(piece).or_default();
        if attempts.len() < MAX_ATTEMPTS {
            attempts.push(attempt);
        }
    }

    /// Returns the givers who each sent all of `piece` with exactly these `blocks`, one for each
    /// [program](Who::program).
    pub(crate) fn agreeing(&self, piece: PieceIndex, blocks: &[[u8; 20]]) -> Vec<Giver> {
        let attempts = self.attempts.get(&piece).into_iter().flatten();
        let same = attempts.filter(|attempt| attempt.blocks == blocks);
        let mut givers: Vec<Giver> = same.filter_map(|attempt| attempt.sole).collect();
        givers.sort_unstable_by_key(|giver| giver.who.program());
        givers.dedup_by_key(|giver| giver.who.program());
        givers
    }

    /// Returns the piece that came false from the most givers and is not right yet.
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

    /// Whether `piece` was false before, so that its true blocks are worth knowing.
    pub(crate) fn is_open(&self, piece: PieceIndex) -> bool {
        self.attempts.contains_key(&piece)
    }

    /// `piece` is right now, and these are the hashes of its blocks. Returns who gave other blocks
    /// before, each with their numbers.
    pub fn judge(
        &mut self,
        piece: PieceIndex,
        truth: &[[u8; 20]],
    ) -> BTreeMap<Giver, BTreeSet<u32>> {
        let mut liars: BTreeMap<Giver, BTreeSet<u32>> = BTreeMap::new();
        for attempt in self.attempts.remove(&piece).unwrap_or_default() {
            let blocks = attempt.blocks.iter().zip(truth);
            for (number, (giver, (sha, truth))) in (0..).zip(attempt.givers.iter().zip(blocks)) {
                if let Some(giver) = giver.filter(|_| sha != truth) {
                    liars.entry(giver).or_default().insert(number);
                }
            }
        }
        liars
    }
}

impl Torrent {
    /// The bytes of a piece are not where they were stored: no peer's fault.
    pub(super) fn on_moved_piece(&mut self, piece: PieceIndex, turn: &mut Turn<'_>) {
        let text = format!("piece {}: its file was moved or removed", piece.get());
        turn.remark(text);
        self.refetch(piece);
        self.feed_hungry(turn);
    }

    /// The hash of a piece is wrong. Its blocks are hashed before they are fetched again, to find
    /// the liar.
    pub(super) fn on_bad_piece(&mut self, piece: PieceIndex, turn: &mut Turn<'_>) {
        let number = piece.get();
        turn.tell(None, piece, || Fact::False {
            givers: self.picker.givers(piece),
        });
        if self.content.layout.is_padding(piece) {
            // Nobody sends padding: it is zeros, whatever the torrent says.
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

    /// The blocks of a false piece have been hashed. If one giver sent all of it, that giver lied,
    /// unless [`AGREE`] givers sent the same bytes.
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
        // The piece is not on the disk any more, so nobody knows what was sent.
        let Some(liar) = sole.filter(|_| !blocks.is_empty()) else {
            return;
        };
        let agreeing = self.blame.agreeing(piece, blocks);
        if agreeing.len() < AGREE || self.has_untried(piece, &agreeing) {
            return self.ban(liar, piece, Ban::FalsePiece, &BTreeSet::new(), turn);
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

    /// Whether anybody has `piece` who has not sent it yet.
    fn has_untried(&self, piece: PieceIndex, tried: &[Giver]) -> bool {
        self.peers.fetchers().any(|(key, fetcher)| {
            let gave = tried.iter().any(|giver| giver.key == key);
            !fetcher.useless && fetcher.have.has(piece) && !gave
        })
    }

    /// Fails the torrent if nothing is missing except pieces that can never be right.
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

    /// Has all of `piece` fetched again. Returns who sent each block.
    pub(super) fn refetch(&mut self, piece: PieceIndex) -> Vec<Option<Giver>> {
        let givers = self.picker.failed(piece);
        self.goals.lose(givers.len() as u64);
        givers
            .into_iter()
            .map(|key| key.and_then(|key| self.blame.giver(key)))
            .collect()
    }

    /// Bans a peer or web seed that gave a false `piece`, or these `blocks` of it.
    pub(super) fn ban(
        &mut self,
        liar: Giver,
        piece: PieceIndex,
        why: Ban,
        blocks: &BTreeSet<u32>,
        turn: &mut Turn<'_>,
    ) {
        let key = match liar.who {
            Who::Peer { addr, incoming } => {
                self.swarm.ban(addr, incoming);
                liar.key
            }
            Who::WebSeed(index) => {
                self.web_seeds.ban(index);
                // We may have opened it again since.
                let mut open = self.peers.web_seeds.iter();
                let its = open.find(|(_, seed)| seed.index == index);
                its.map_or(liar.key, |(key, _)| *key)
            }
        };
        if let Some(fetcher) = self.peers.fetcher_mut(key) {
            fetcher.useless = true;
            fetcher.wants = 0;
            fetcher.part(key, Parting::Banned, turn);
        }
        turn.tell(key, piece, || Fact::Banned {
            addr: match liar.who {
                Who::Peer { addr, .. } => addr.to_string(),
                Who::WebSeed(index) => origin(self.web_seeds.url(index)),
            },
            blocks: blocks.iter().copied().collect(),
            why,
        });
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
            BTreeMap::from([(giver(2), BTreeSet::from([1]))])
        );
        assert!(!blame.is_open(piece));
        assert_eq!(blame.judge(piece, &[]), BTreeMap::new());
    }
}
