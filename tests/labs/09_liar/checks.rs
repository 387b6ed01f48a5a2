//! Lab 9: who sent the false block. `README.md` beside this file is the page.

mod yours;

use crate::frame::{Check, holds, lab, same};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use storrent::parts::layout::{Layout, PieceIndex};
use storrent::parts::torrent::{Attempt, Blame, Giver, Who};
use storrent::types::PeerKey;
use yours::Yours;

/// SHA-1 of a block.
pub(crate) type Hash = [u8; 20];

/// A block that came.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Block {
    /// The peer that sent it; `None` if an earlier run of the program fetched it.
    pub giver: Option<u32>,
    /// SHA-1 of the block as it came.
    pub hash: Hash,
}

/// What you write.
pub(crate) trait Judge: Default {
    /// The hash of `piece` was wrong, when it was made of these blocks. It is fetched again.
    fn piece_was_false(&mut self, piece: u32, blocks: &[Block]);

    /// The hash of `piece` is right, now that its blocks have these hashes. Returns the peers that
    /// lied about it, in order.
    fn piece_is_right(&mut self, piece: u32, blocks: &[Hash]) -> Vec<u32>;
}

#[derive(Default)]
struct Blank;

impl Judge for Blank {
    fn piece_was_false(&mut self, _: u32, _: &[Block]) {}

    fn piece_is_right(&mut self, _: u32, _: &[Hash]) -> Vec<u32> {
        vec![]
    }
}

#[derive(Default)]
struct Real(Blame);

fn piece_of(number: u32) -> PieceIndex {
    let layout = Layout::new(1, &[(1_000, false)]).unwrap();
    layout.piece(number).unwrap()
}

impl Judge for Real {
    fn piece_was_false(&mut self, piece: u32, blocks: &[Block]) {
        let giver = |peer: u32| Giver {
            key: PeerKey(peer),
            who: Who::Peer {
                addr: SocketAddr::from(([127, 0, 0, 1], peer as u16)),
                incoming: false,
            },
        };
        let attempt = Attempt {
            sole: None,
            givers: blocks.iter().map(|block| block.giver.map(giver)).collect(),
            blocks: blocks.iter().map(|block| block.hash).collect(),
        };
        self.0.remember(piece_of(piece), attempt);
    }

    fn piece_is_right(&mut self, piece: u32, blocks: &[Hash]) -> Vec<u32> {
        let liars = self.0.judge(piece_of(piece), blocks);
        liars.keys().map(|giver| giver.key.0).collect()
    }
}

/// A hash that stands for the true block of this number; `lie` of 0 is the truth.
fn hash(number: u8, lie: u8) -> Hash {
    let mut hash = [number; 20];
    hash[0] = lie;
    hash
}

/// The blocks of an attempt: for each its giver, 0 for nobody known, and its lie.
fn attempt(blocks: &[(u32, u8)]) -> Vec<Block> {
    let block = |(number, &(giver, lie))| Block {
        giver: (giver > 0).then_some(giver),
        hash: hash(number, lie),
    };
    (0..).zip(blocks).map(block).collect()
}

fn truth(blocks: u8) -> Vec<Hash> {
    (0..blocks).map(|number| hash(number, 0)).collect()
}

lab!(one_of_three each_of_the_attempts who_is_not_known piece_by_piece a_swarm_with_liars);

fn one_of_three<J: Judge>() -> Check {
    let mut judge = J::default();
    judge.piece_was_false(7, &attempt(&[(1, 0), (2, 9), (3, 0), (1, 0)]));
    let hint = "compare the hashes of the false attempt with the true ones, block by block; who \
                sent true blocks only is innocent";
    same(
        "block 1, of peer 2, was false",
        judge.piece_is_right(7, &truth(4)),
        vec![2],
        hint,
    )
}

fn each_of_the_attempts<J: Judge>() -> Check {
    let mut judge = J::default();
    judge.piece_was_false(7, &attempt(&[(1, 0), (4, 9), (3, 0)]));
    judge.piece_was_false(7, &attempt(&[(2, 8), (2, 9), (4, 0)]));
    let hint = "several attempts may have been false; each peer is named once, in order";
    let yours = judge.piece_is_right(7, &truth(3));
    same("first peer 4 lied, then 2, twice", yours, vec![2, 4], hint)
}

fn who_is_not_known<J: Judge>() -> Check {
    let mut judge = J::default();
    judge.piece_was_false(7, &attempt(&[(0, 9), (5, 9), (0, 0)]));
    let hint = "blocks on the disk from an earlier run have no giver: nobody is blamed for them";
    let yours = judge.piece_is_right(7, &truth(3));
    same(
        "a false block of nobody known, one of peer 5",
        yours,
        vec![5],
        hint,
    )
}

fn piece_by_piece<J: Judge>() -> Check {
    let mut judge = J::default();
    judge.piece_was_false(1, &attempt(&[(1, 9), (2, 0)]));
    judge.piece_was_false(2, &attempt(&[(2, 0), (3, 9)]));
    let hint = "only attempts at this piece count";
    same(
        "piece 2: peer 3 lied",
        judge.piece_is_right(2, &truth(2)),
        vec![3],
        hint,
    )?;
    same(
        "piece 1: peer 1 lied",
        judge.piece_is_right(1, &truth(2)),
        vec![1],
        hint,
    )?;
    let hint = "what was judged is forgotten, or memory grows for ever";
    same(
        "piece 1, a second time",
        judge.piece_is_right(1, &truth(2)),
        vec![],
        hint,
    )
}

/// Three of twenty peers lie in one block of eight. A liar that was found is not asked again.
fn a_swarm_with_liars<J: Judge>() -> Check {
    const BLOCKS: u8 = 16;
    let mut rng = fastrand::Rng::with_seed(9);
    let mut judge = J::default();
    let (mut lied, mut banned) = (BTreeSet::new(), BTreeSet::new());
    for piece in 0..200 {
        loop {
            let asked: Vec<u32> = (1..=20).filter(|peer| !banned.contains(peer)).collect();
            let blocks: Vec<(u32, u8)> = (0..BLOCKS)
                .map(|_| {
                    let giver = asked[rng.usize(..asked.len())];
                    let lies = giver <= 3 && rng.u8(..8) == 0;
                    (giver, u8::from(lies))
                })
                .collect();
            let false_ones = blocks.iter().filter(|block| block.1 > 0);
            lied.extend(false_ones.clone().map(|block| block.0));
            if false_ones.count() == 0 {
                break;
            }
            judge.piece_was_false(piece, &attempt(&blocks));
        }
        banned.extend(judge.piece_is_right(piece, &truth(BLOCKS)));
        let innocent: Vec<_> = banned.difference(&lied).collect();
        let yours = format!("{innocent:?} are accused");
        holds(
            innocent.is_empty(),
            format!("piece {piece}"),
            yours,
            "liars only",
            "all their blocks were true",
        )?;
    }
    let hint = "each false piece gives away at least one liar";
    same("200 pieces, peers 1 to 3 lie", banned, lied, hint)
}
