//! A swarm in virtual time: real [`Torrent`]s and real [`Session`]s, joined by lines with a rate
//! and a delay. No socket, thread, clock or sleep, but an event queue and seeded random numbers, so
//! each run is the same.
//!
//! Simulated are the peer threads ([`thread`]; [`crate::peer::turn`] decides how long they sleep,
//! as in life), the disks (for each block, whether it is true or false), and the checker, which
//! looks at these disks. After each event, [`books`] compares what the torrents believe with the
//! truth.

mod books;
mod faults;
mod queue;
mod thread;

use super::super::rate::{Budget, Budgets};
use super::super::*;
use crate::extension::{self, Ourselves};
use crate::layout::{Layout, Span};
use crate::messages::{PeerEvent, Surveyed, Verdict};
use crate::peer::session::Session;
use crate::peer::talk::Talk;
use crate::peer::turn::Sleep;
use crate::swarm::Source;
use crate::wire::{self, Handshake, Message};
use queue::{Due, Event};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use thread::Side;

#[derive(Clone)]
pub(super) struct Role {
    /// It begins with all pieces.
    pub seed: bool,
    /// One in this many blocks that it sends is false; 0: it is honest.
    pub lies_one_in: u32,
    /// Bytes a second that its line sends, shared by its connections; 0: no limit.
    pub up: u64,
    /// Whether this node lets others ask at this time. If so, its choker decides.
    pub lets_ask: fn(usize, Duration) -> bool,
}

pub(super) const LEECH: Role = Role {
    seed: false,
    lies_one_in: 0,
    up: 0,
    lets_ask: |_, _| true,
};

/// A seed whose line sends `up` bytes a second.
pub(super) fn seed(up: u64) -> Role {
    Role {
        seed: true,
        up,
        ..LEECH
    }
}

pub(super) struct Node {
    pub torrent: Torrent,
    pub role: Role,
    pub budgets: Budgets,
    /// For each block: missing, true, or false.
    disk: Vec<Option<bool>>,
    sides: BTreeMap<PeerKey, Side>,
    keys: Keys,
    /// Which connection uses the line next. Each is listed once.
    line: VecDeque<PeerKey>,
    line_busy: bool,
    /// For each block on order, the connections that it was asked from.
    orders: HashMap<(PieceIndex, u32), Vec<PeerKey>>,
    /// Those of them that were cancelled and have not answered yet.
    cancelled: HashSet<(PeerKey, PieceIndex, u32)>,
    /// Whether it let others ask when last looked at.
    let_ask: bool,
    pub complete_at: Option<Duration>,
    /// How often it reported completion.
    pub completions: u32,
    /// False blocks that it alone stored, by the giver's node.
    pub fooled_by: HashMap<usize, u32>,
    /// Blocks that it received, useful or not.
    pub blocks: u32,
    pub given: u32,
    /// Requests that it received.
    pub asked: u32,
    max_peers: usize,
    /// How often it was restarted. What was on its way to an earlier life is void.
    life: u32,
    /// Its disk failed, which ended it.
    pub dead: bool,
}

impl Node {
    fn tell(
        &mut self,
        at: Instant,
        event: impl FnOnce(&mut Torrent, &mut Turn<'_>),
    ) -> Vec<Action> {
        let mut turn = Turn::new(at, &mut self.budgets, &mut self.keys);
        event(&mut self.torrent, &mut turn);
        turn.done()
    }

    pub(super) fn bans(&self, other: usize) -> bool {
        let (swarm, addr) = (&self.torrent.swarm, World::addr(other));
        swarm.is_banned(addr, false) || swarm.is_banned(addr, true)
    }
}

/// What happened at this moment and is not handled yet.
enum Now {
    ToMain(usize, PeerKey, PeerEvent),
    Turn(usize, PeerKey),
}

pub(super) struct World {
    pub nodes: Vec<Node>,
    layout: Arc<Layout>,
    start: Instant,
    now: Duration,
    delay: Duration,
    tick: Duration,
    events: BinaryHeap<Reverse<Due>>,
    count: u64,
    /// How often the picker's books could have been checked.
    checks: u64,
    pending: VecDeque<Now>,
    rng: fastrand::Rng,
}

impl World {
    pub(super) fn new(layout: Layout, delay: Duration, tick: Duration) -> Self {
        Self {
            nodes: Vec::new(),
            layout: Arc::new(layout),
            start: Instant::now(),
            now: Duration::ZERO,
            delay,
            tick,
            events: BinaryHeap::new(),
            count: 0,
            checks: 0,
            pending: VecDeque::new(),
            rng: fastrand::Rng::with_seed(11),
        }
    }

    pub(super) fn addr(node: usize) -> SocketAddr {
        SocketAddr::from(([10, 1, (node >> 8) as u8, node as u8], 6881))
    }

    fn node_at(addr: SocketAddr) -> usize {
        match addr {
            SocketAddr::V4(v4) => {
                usize::from(v4.ip().octets()[2]) << 8 | usize::from(v4.ip().octets()[3])
            }
            SocketAddr::V6(_) => usize::MAX,
        }
    }

    pub(super) fn peer_id(node: usize) -> PeerId {
        let mut id = [b'x'; 20];
        id[..8].copy_from_slice(
            &(node as u64)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .to_be_bytes(),
        );
        PeerId(id)
    }

    pub(super) fn at(&self) -> Instant {
        self.start + self.now
    }

    pub(super) fn add(&mut self, role: Role, max_peers: usize) -> usize {
        let index = self.nodes.len();
        let pieces = self.layout.pieces();
        let have = if role.seed {
            Bitfield::all(pieces)
        } else {
            Bitfield::none(pieces)
        };
        let at = self.at();
        let per_piece = self.layout.blocks_in(PieceIndex::unchecked(0));
        let blocks = (per_piece * pieces) as usize;
        self.nodes.push(Node {
            torrent: self.new_torrent(index, have, max_peers),
            disk: vec![role.seed.then_some(true); blocks],
            role,
            budgets: Budgets {
                down: Budget::new(0, at),
                up: Budget::new(0, at),
            },
            sides: BTreeMap::new(),
            keys: Keys::default(),
            line: VecDeque::new(),
            line_busy: false,
            orders: HashMap::new(),
            cancelled: HashSet::new(),
            let_ask: true,
            complete_at: None,
            completions: 0,
            fooled_by: HashMap::new(),
            blocks: 0,
            given: 0,
            asked: 0,
            max_peers,
            life: 0,
            dead: false,
        });
        self.join(index);
        let first = Duration::from_micros(self.rng.u64(..self.tick.as_micros() as u64));
        self.after(first, Event::Tick(index));
        index
    }

    fn new_torrent(&self, index: usize, have: Bitfield, max_peers: usize) -> Torrent {
        let mut setup = super::setup(self.layout.clone(), have);
        setup.peer_id = Self::peer_id(index);
        setup.max_peers = max_peers;
        setup.seed = index as u64;
        setup.afterwards = Afterwards::Seed {
            ratio: None,
            time: None,
        };
        Torrent::new(setup, self.at())
    }

    fn join(&mut self, index: usize) {
        let at = self.at();
        let actions = self.nodes[index].tell(at, Torrent::start);
        self.nodes[index].completions = 0;
        self.perform(index, actions);
    }

    pub(super) fn introduce(&mut self, node: usize, others: &[usize]) {
        let at = self.at();
        let addrs = others.iter().map(|other| Self::addr(*other));
        let actions = self.nodes[node].tell(at, |torrent, turn| {
            torrent.on_addresses(addrs, Source::Tracker, turn);
        });
        self.perform(node, actions);
    }

    /// Runs until `over`, or for `limit` of virtual time. Returns whether it came to `over`.
    pub(super) fn run(&mut self, limit: Duration, over: impl Fn(&Self) -> bool) -> bool {
        let mut looked = Duration::ZERO;
        while let Some(Reverse(due)) = self.events.pop() {
            if due.when > limit {
                self.events.push(Reverse(due));
                return false;
            }
            self.now = due.when;
            self.happen(due.event);
            self.settle();
            if self.now - looked >= Duration::from_millis(10) {
                looked = self.now;
                if over(self) {
                    return true;
                }
            }
        }
        false
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.count += 1;
        self.events.push(Reverse(Due {
            when: self.now + delay,
            count: self.count,
            event,
        }));
    }

    fn happen(&mut self, event: Event) {
        let at = self.at();
        match event {
            Event::Greet(node, key, dialled) => self.greet(node, key, dialled),
            Event::Arrive(node, key) => self.arrive(node, key),
            Event::LineFree(node) => {
                self.nodes[node].line_busy = false;
                self.send(node);
            }
            Event::Wake(node, key) => {
                if let Some(side) = self.nodes[node].sides.get_mut(&key)
                    && side.wake_at == Some(self.now)
                {
                    side.wake_at = None;
                    self.pending.push_back(Now::Turn(node, key));
                }
            }
            Event::Tick(index) => {
                let node = &mut self.nodes[index];
                if node.dead {
                    return;
                }
                let mut actions = node.tell(at, Torrent::on_tick);
                let lets_ask = (node.role.lets_ask)(index, self.now);
                if std::mem::replace(&mut node.let_ask, lets_ask) != lets_ask {
                    let all = node.sides.iter().filter(|(_, side)| side.session.is_some());
                    let command = Command::Choke(!lets_ask);
                    actions.extend(all.map(|(key, _)| Action::Send(*key, command.clone())));
                }
                self.perform(index, actions);
                self.after(self.tick, Event::Tick(index));
            }
            Event::Verdicts(index, life, pieces) => {
                let node = &mut self.nodes[index];
                if node.life != life {
                    return;
                }
                let per_piece = self.layout.blocks_in(PieceIndex::unchecked(0));
                let verdicts: Vec<(PieceIndex, Verdict)> = pieces
                    .iter()
                    .map(|piece| {
                        let first = (piece.get() * per_piece) as usize;
                        let blocks = &node.disk[first..][..self.layout.blocks_in(*piece) as usize];
                        let right = blocks.iter().all(|block| *block == Some(true));
                        let verdict = if right {
                            Verdict::Right
                        } else {
                            Verdict::False
                        };
                        (*piece, verdict)
                    })
                    .collect();
                let actions = node.tell(at, |torrent, turn| torrent.on_verdicts(&verdicts, turn));
                let (have, came) = (node.torrent.have_bytes, node.torrent.traffic.downloaded);
                // A restarted node has what was on disk.
                let fresh = !node.role.seed && life == 0;
                assert!(!fresh || have <= came, "has {have}, {came} came");
                self.perform(index, actions);
            }
            Event::Surveyed(index, life) => {
                let node = &mut self.nodes[index];
                if node.life != life {
                    return;
                }
                let found = Surveyed::default();
                let actions = node.tell(at, |torrent, turn| torrent.on_surveyed(&found, turn));
                self.perform(index, actions);
            }
            Event::Hashes(index, life, piece) => {
                let node = &mut self.nodes[index];
                if node.life != life {
                    return;
                }
                let per_piece = self.layout.blocks_in(PieceIndex::unchecked(0));
                let hashes: Vec<[u8; 20]> = (0..self.layout.blocks_in(piece))
                    .map(|n| {
                        [u8::from(node.disk[(piece.get() * per_piece + n) as usize] == Some(true));
                            20]
                    })
                    .collect();
                let actions = node.tell(at, |torrent, turn| {
                    torrent.on_block_hashes(piece, &hashes, turn);
                });
                self.perform(index, actions);
            }
            Event::Refused(node, key) => {
                let why = PeerEvent::Closed("refused".into());
                self.pending.push_back(Now::ToMain(node, key, why));
            }
        }
    }

    fn settle(&mut self) {
        while let Some(next) = self.pending.pop_front() {
            match next {
                Now::ToMain(node, key, event) => self.tell_main(node, key, event),
                Now::Turn(node, key) => self.turn(node, key),
            }
        }
    }

    fn tell_main(&mut self, index: usize, key: PeerKey, event: PeerEvent) {
        let at = self.at();
        let node = &mut self.nodes[index];
        let ended: Vec<(PieceIndex, u32)> = match &event {
            PeerEvent::Stored(spans) | PeerEvent::Released(spans) | PeerEvent::Cancelled(spans) => {
                spans
                    .iter()
                    .flat_map(|span| span.numbers().map(|n| (span.piece(), n)))
                    .collect()
            }
            PeerEvent::Closed(_) => node.orders.keys().copied().collect(),
            _ => Vec::new(),
        };
        for block in ended {
            node.cancelled.remove(&(key, block.0, block.1));
            if let Some(holders) = node.orders.get_mut(&block) {
                holders.retain(|holder| *holder != key);
                if holders.is_empty() {
                    node.orders.remove(&block);
                }
            }
        }
        let actions = node.tell(at, |torrent, turn| torrent.on_peer(key, event, turn));
        self.perform(index, actions);
    }

    fn perform(&mut self, index: usize, actions: Vec<Action>) {
        let at = self.at();
        self.check_books(index);
        for action in actions {
            let node = &mut self.nodes[index];
            match action {
                Action::Dial(key, addr) => {
                    let target = Self::node_at(addr);
                    let there = self.nodes.get_mut(target);
                    let Some(there) = there.filter(|there| !there.dead) else {
                        self.after(self.delay, Event::Refused(index, key));
                        continue;
                    };
                    let their_key = there.keys.take();
                    there.sides.insert(their_key, Side::new((index, key)));
                    let ours = Side::new((target, their_key));
                    self.nodes[index].sides.insert(key, ours);
                    self.after(self.delay * 3, Event::Greet(target, their_key, false));
                }
                Action::Welcome(key, entry) => {
                    let Some(side) = node.sides.get_mut(&key) else {
                        continue;
                    };
                    let layout = self.layout.clone();
                    let Entry { have, complete } = entry.expect("content that is known");
                    let mut session = Session::new(layout, have, Talk::new(true, at), false, at);
                    if !node.torrent.peers[&key].incoming {
                        session.on_greeted(self.delay * 2);
                    }
                    let ip = Self::addr(index).ip();
                    session.greet(Some(&extension::encode(&Ourselves {
                        port: Some(6881),
                        seeding: complete,
                        their_ip: Some(ip),
                        metadata: true,
                        metadata_size: Some(1),
                        pex: false,
                    })));
                    side.session = Some(session);
                    self.pending.push_back(Now::Turn(index, key));
                }
                Action::Send(key, mut command) => {
                    if command == Command::Choke(false) {
                        command = Command::Choke(!(node.role.lets_ask)(index, self.now));
                    }
                    match &command {
                        Command::Fetch(spans) => self.check_orders(index, key, spans),
                        Command::Cancel(spans) => {
                            let blocks = spans
                                .iter()
                                .flat_map(|span| span.numbers().map(|n| (key, span.piece(), n)));
                            node.cancelled.extend(blocks);
                        }
                        _ => {}
                    }
                    let Some(side) = self.nodes[index].sides.get_mut(&key) else {
                        continue;
                    };
                    side.inbox.push_back(command);
                    match side.sleep {
                        Sleep::Channel => self.pending.push_back(Now::Turn(index, key)),
                        sleep => self.wake_within(index, key, sleep.time()),
                    }
                }
                Action::HangUp(key) => self.close(index, key, "no longer needed"),
                Action::Verify { pieces, .. } => {
                    let verdicts = Event::Verdicts(index, node.life, pieces);
                    self.after(Duration::from_millis(2), verdicts);
                }
                Action::Survey(_) => {
                    let life = node.life;
                    self.after(Duration::from_millis(2), Event::Surveyed(index, life));
                }
                Action::Fail(why) => panic!("node {index} failed: {why}"),
                Action::HashBlocks(piece) => {
                    let hashes = Event::Hashes(index, node.life, piece);
                    self.after(Duration::from_millis(2), hashes);
                }
                Action::Complete => {
                    node.complete_at = Some(self.now);
                    node.completions += 1;
                }
                Action::Announce(..)
                | Action::SearchDht { .. }
                | Action::EnterDht(_)
                | Action::AnnounceLocally
                | Action::OpenWebSeed(..)
                | Action::Learnt(_)
                | Action::Done
                | Action::GiveUp(_)
                | Action::Tell(_) => {}
            }
        }
    }

    /// A handshake came: asks main, and answers the other side.
    fn greet(&mut self, index: usize, key: PeerKey, dialled: bool) {
        let at = self.at();
        let node = &mut self.nodes[index];
        let Some(other) = node.sides.get(&key).map(|side| side.other) else {
            return;
        };
        // A peer dials from any port.
        let port = 50_000 + (other.1.0 % 10_000) as u16;
        let from = SocketAddr::new(Self::addr(other.0).ip(), port);
        let from = (!dialled).then_some(from);
        let handshake = Handshake::new(InfoHash([7; 20]), Self::peer_id(other.0));
        let actions = node.tell(at, |torrent, turn| {
            torrent.on_greeted(key, from, &handshake, turn);
        });
        let welcome = super::welcomes(&actions, key);
        if welcome && !dialled {
            self.after(self.delay, Event::Greet(other.0, other.1, true));
        }
        self.perform(index, actions);
    }

    pub(super) fn seconds(&self, node: usize) -> f64 {
        self.nodes[node]
            .complete_at
            .map_or(f64::INFINITY, |at| at.as_secs_f64())
    }
}
