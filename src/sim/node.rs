//! A node of the simulated swarm: its torrent, its disk, its line and its connections.

use super::connection::Side;
use super::outcome::Figures;
use super::role::Role;
use crate::bitfield::Bitfield;
use crate::config::Afterwards;
use crate::door::Door;
use crate::layout::{Layout, PieceIndex};
use crate::torrent::rate::{Budget, Budgets};
use crate::torrent::{Action, Content, Keys, Setup, Torrent, Turn};
use crate::trace::Witness;
use crate::types::{InfoHash, PeerId, PeerKey};
use crate::wanted::Wanted;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) const INFO_HASH: InfoHash = InfoHash([7; 20]);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Presence {
    Coming,
    Here,
    Gone,
}

pub(super) struct Node {
    pub(super) role: Role,
    pub(super) figures: Figures,
    pub(super) presence: Presence,
    pub(super) torrent: Torrent,
    pub(super) peer_id: PeerId,
    budgets: Budgets,
    pub(super) keys: Keys,
    pub(super) disk: Disk,
    pub(super) sides: BTreeMap<PeerKey, Side>,
    /// Which connection uses the line next. Each is listed once.
    pub(super) line: VecDeque<PeerKey>,
    pub(super) line_busy: bool,
    /// Until when the bytes on their way here fill the line.
    pub(super) comes_until: Duration,
    /// For each block on order, the connections that it was asked from.
    pub(super) orders: HashMap<(PieceIndex, u32), Vec<PeerKey>>,
    /// Those that were cancelled and have not answered yet.
    pub(super) cancelled: HashSet<(PeerKey, PieceIndex, u32)>,
    /// Whether it let others ask when last looked at.
    pub(super) let_ask: bool,
    /// How often it was restarted. Events of an earlier life are void.
    pub(super) life: u32,
    /// Tells its facts, if somebody listens.
    witness: Option<Witness>,
    rng: fastrand::Rng,
}

impl Node {
    /// A node that has not joined.
    pub(super) fn new(
        role: Role,
        name: String,
        witness: Option<Witness>,
        layout: Arc<Layout>,
        mut rng: fastrand::Rng,
        at: Instant,
    ) -> Self {
        let have = match role.seed {
            true => Bitfield::all(layout.pieces()),
            false => Bitfield::none(layout.pieces()),
        };
        let peer_id = PeerId::random(&mut rng);
        Self {
            figures: Figures {
                name,
                seed: role.seed,
                ..Figures::default()
            },
            disk: Disk::new(&layout, role.seed),
            torrent: torrent(&role, peer_id, layout, have, rng.u64(..), at),
            role,
            presence: Presence::Coming,
            peer_id,
            budgets: Budgets {
                down: Budget::new(0, at),
                up: Budget::new(0, at),
            },
            sides: BTreeMap::new(),
            keys: Keys::default(),
            line: VecDeque::new(),
            line_busy: false,
            comes_until: Duration::ZERO,
            orders: HashMap::new(),
            cancelled: HashSet::new(),
            let_ask: true,
            life: 0,
            witness,
            rng,
        }
    }

    /// Begins a new life with what it had verified. It knows nobody.
    pub(super) fn renew(&mut self, layout: Arc<Layout>, at: Instant) {
        let have = self.torrent.have().clone();
        let chance = self.rng.u64(..);
        self.torrent = torrent(&self.role, self.peer_id, layout, have, chance, at);
        self.figures.complete = None;
        self.figures.completions = 0;
        self.figures.fooled_by.clear();
        self.orders.clear();
        self.cancelled.clear();
    }

    /// Hands the torrent an event. Returns its actions.
    pub(super) fn tell(
        &mut self,
        at: Instant,
        event: impl FnOnce(&mut Torrent, &mut Turn<'_>),
    ) -> Vec<Action> {
        let turn = Turn::new(at, &mut self.budgets, &mut self.keys);
        let mut turn = turn.traced(self.witness.as_ref(), INFO_HASH);
        event(&mut self.torrent, &mut turn);
        turn.done()
    }

    pub(super) fn false_blocks(&self, layout: &Layout) -> u32 {
        let blocks = self.torrent.have().iter().flat_map(|piece| {
            let blocks = 0..layout.blocks_in(piece);
            blocks.map(move |number| self.disk.get(piece, number))
        });
        blocks.filter(|block| *block == Some(false)).count() as u32
    }
}

fn torrent(
    role: &Role,
    peer_id: PeerId,
    layout: Arc<Layout>,
    have: Bitfield,
    seed: u64,
    at: Instant,
) -> Torrent {
    let setup = Setup {
        info_hash: INFO_HASH,
        peer_id,
        content: Some(Content {
            name: "swarm".into(),
            stored: Vec::new(),
            wanted: Wanted::all(&layout),
            layout,
            have,
            private: false,
        }),
        trackers: Vec::new(),
        web_seeds: Vec::new(),
        pex: false,
        dht: false,
        lsd: false,
        door: Door::default(),
        port: 6881,
        max_peers: role.places,
        rules: role.rules,
        afterwards: Afterwards::Seed {
            ratio: None,
            time: None,
        },
        stall_timeout: None,
        added: at,
        seed,
    };
    Torrent::new(setup, at)
}

/// For each block: missing, true, or false.
pub(super) struct Disk {
    blocks: Vec<Option<bool>>,
    per_piece: u32,
}

impl Disk {
    fn new(layout: &Layout, full: bool) -> Self {
        let per_piece = layout.blocks_in(PieceIndex::unchecked(0));
        let blocks = (per_piece * layout.pieces()) as usize;
        Self {
            blocks: vec![full.then_some(true); blocks],
            per_piece,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    fn place(&self, piece: PieceIndex, number: u32) -> usize {
        (piece.get() * self.per_piece + number) as usize
    }

    pub(super) fn get(&self, piece: PieceIndex, number: u32) -> Option<bool> {
        self.blocks[self.place(piece, number)]
    }

    /// Writes a block. Returns whether the former one was true, if there was one.
    pub(super) fn put(&mut self, piece: PieceIndex, number: u32, truth: bool) -> Option<bool> {
        let place = self.place(piece, number);
        self.blocks[place].replace(truth)
    }
}
