//! A swarm in virtual time: hundreds of clients in one thread, minutes in a second, the same run
//! again for the same number. For lectures, experiments and tests: change one thing, and see what
//! follows.
//!
//! ```
//! use std::time::Duration;
//! use storrent::sim::{Role, Swarm};
//!
//! let mut swarm = Swarm::new(7).content(4 << 20, 64 << 10); // 4 MiB in pieces of 64 KiB
//! swarm.add(Role::seed(1_000_000)); // its line sends 1 MB/s
//! for _ in 0..4 {
//!     swarm.add(Role::leech(1_000_000));
//! }
//! let outcome = swarm.run(Duration::from_secs(60)); // at most, in virtual time
//!
//! println!("{outcome}");
//! assert!(outcome.is_complete());
//! // Alone the seed would have to send everything four times. The leeches help each other.
//! assert!(outcome.seed_share() < 1.5);
//! ```
//!
//! # What is real, and what is played
//!
//! | | |
//! | --- | --- |
//! | **real** | every decision: [`Torrent`] with [picker](crate::picker), [choker](crate::choker) and [swarm](crate::swarm); both ends of each conversation ([`Session`]) with their [request windows](crate::pipeline); the bytes of each message ([`wire`](crate::wire)); where and how long a peer's thread sleeps ([`turn::next`](crate::peer::turn::next)) |
//! | **played** | the main loop, which hears each event at once, and the peers' threads, which only carry events to and fro; a line with a rate each way and a delay; 128 KiB of send buffer for each connection; the disk, which knows of each block whether it is true; the checker, which looks at that disk; the tracker; the clock |
//!
//! So a figure here says how good the decisions are, and nothing of the cost of threads, system
//! calls or hashing. A line is always used to the full: TCP's losses and slow starts are not
//! played.
//!
//! # Change one thing
//! - **Lines and people.** A [`Role`] says what a node is like: its rates and its delay, when it
//!   joins and leaves, whether it lies or gives nothing.
//! - **Rules.** [`Role::rules`] turns a rule of the client off: rarest first, tit for tat, taking
//!   over and with it the endgame. [`Swarm::unhashed`] lets all nodes believe what they get.
//! - **Code.** Another strategy is a few lines in [`picker::strategy`](crate::picker). Add it to
//!   [`Strategy`](crate::config::Strategy), and play it.
//! - **Faults.** [`Swarm::run_until`] stops in the midst of a run. Then [`Swarm::sever`] breaks a
//!   connection, [`Swarm::restart`] kills a client and starts it again, and [`Swarm::remove`] takes
//!   it away.
//!
//! **What happened** is in the table of the [`Outcome`] and, fact by fact, in the
//! [trace](Swarm::trace) of every node: the same lines as of a real run.
//!
//! Chance makes some difference between two runs, too: try several numbers before you believe a
//! small difference.
//!
//! For example, a seed leaves when it has sent the torrent about once and a third:
//!
//! ```
//! # use std::time::Duration;
//! # use storrent::config::{Rules, Strategy};
//! # use storrent::sim::{Role, Swarm};
//! let lost = |strategy| {
//!     let rules = Rules { strategy, ..Rules::default() };
//!     let mut swarm = Swarm::new(1).content(2 << 20, 32 << 10); // 64 pieces
//!     swarm.add(Role::seed(250_000).leaves(Duration::from_secs(11)));
//!     for n in 0..8 {
//!         let leech = Role::leech(250_000).joins(Duration::from_millis(300) * n);
//!         swarm.add(leech.rules(rules));
//!     }
//!     swarm.run(Duration::from_secs(60));
//!     swarm.availability().iter().filter(|copies| **copies == 0).count()
//! };
//! // In order, all fetch the same pieces, and the seed takes the last ones with it.
//! assert!(2 * lost(Strategy::RarestFirst) < lost(Strategy::Sequential));
//! ```
//!
//! # How it works
//! [`Swarm`] takes the earliest event from a queue: bytes arrive, a line is free, a thread wakes
//! up, a tick is due. What follows at the same moment happens at once, and no event waits for a
//! real clock. [`main_loop`] plays the main loop of each node, [`connection`] its peers' threads
//! and lines. If [`Swarm::checked`] asks for it, [`books`] compares what the nodes believe with the
//! truth after each event.

mod books;
mod connection;
mod faults;
mod main_loop;
mod node;
mod outcome;
mod queue;
mod role;

use crate::layout::Layout;
use crate::swarm::Source;
use crate::torrent::Torrent;
use crate::trace::{self, Witness};
use node::{Node, Presence};
pub use outcome::{Figures, Outcome};
use queue::{Due, Event, Now};
pub use role::Role;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(doc)]
use crate::peer::session::Session;

/// How often [`Swarm::run_until`] looks whether it is over, in virtual time.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A swarm, its clock, and the events to come. Nodes are known by numbers, from 0.
pub struct Swarm {
    nodes: Vec<Node>,
    layout: Arc<Layout>,
    /// Virtual time 0, for the torrents. Their results do not depend on it.
    start: Instant,
    now: Duration,
    tick: Duration,
    events: BinaryHeap<Reverse<Due>>,
    /// The events so far.
    count: u64,
    pending: VecDeque<Now>,
    hashes: bool,
    traced: bool,
    /// The facts of all nodes, in order.
    facts: Vec<trace::Event>,
    /// If the books are checked: how often they could have been.
    checks: Option<u64>,
    rng: fastrand::Rng,
}

impl Swarm {
    /// Returns a swarm without nodes for a torrent of 16 MiB in pieces of 256 KiB. `seed` decides
    /// everything that is left to chance: the same number gives the same run.
    pub fn new(seed: u64) -> Self {
        Self {
            nodes: Vec::new(),
            layout: layout(16 << 20, 256 << 10),
            start: Instant::now(),
            now: Duration::ZERO,
            tick: Duration::from_millis(100),
            events: BinaryHeap::new(),
            count: 0,
            pending: VecDeque::new(),
            hashes: true,
            traced: false,
            facts: Vec::new(),
            checks: None,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Gives the torrent `bytes` bytes in pieces of `piece_length`. Comes before all nodes.
    ///
    /// # Panics
    /// If there are nodes, or there is no such torrent: one without bytes, say.
    pub fn content(mut self, bytes: u64, piece_length: u64) -> Self {
        assert!(self.nodes.is_empty(), "the nodes have another torrent");
        self.layout = layout(bytes, piece_length);
        self
    }

    /// Sets how often each node looks what is due, at first every 100 ms, as the client does. Large
    /// swarms are played faster with 500 ms.
    pub fn tick(self, tick: Duration) -> Self {
        Self { tick, ..self }
    }

    /// Lets all nodes believe every piece without a look at its hash.
    pub fn unhashed(self) -> Self {
        let hashes = false;
        Self { hashes, ..self }
    }

    /// Keeps the facts of all nodes for [`Swarm::trace`]. Comes before all nodes.
    ///
    /// # Panics
    /// If there are nodes, whose facts were not kept so far.
    pub fn traced(self) -> Self {
        assert!(self.nodes.is_empty(), "the nodes are not traced");
        let traced = true;
        Self { traced, ..self }
    }

    /// For tests: compares what the nodes believe with the truth after each event, and panics if
    /// they differ.
    pub fn checked(self) -> Self {
        let checks = Some(0);
        Self { checks, ..self }
    }

    /// Adds a node, and returns its number. It joins at its time, or now if that has passed.
    pub fn add(&mut self, role: Role) -> usize {
        let (index, at) = (self.nodes.len(), self.at());
        let same = self.nodes.iter().filter(|node| node.role.name == role.name);
        let name = format!("{} {}", role.name, same.count() + 1);
        let (joins, leaves) = (role.joins, role.leaves);
        let witness = self.traced.then(|| Witness {
            node: index as u32,
            name: name.as_str().into(),
            start: self.start,
        });
        let (layout, rng) = (self.layout.clone(), self.rng.fork());
        let node = Node::new(role, name, witness, layout, rng, at);
        self.nodes.push(node);
        match joins > self.now {
            true => self.after(joins - self.now, Event::Join(index)),
            false => self.join(index),
        }
        if let Some(leaves) = leaves {
            let delay = leaves.saturating_sub(self.now);
            self.after(delay, Event::Leave(index));
        }
        index
    }

    fn join(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.presence = Presence::Here;
        node.figures.joined = self.now;
        self.begin(index);
        let first = Duration::from_micros(self.rng.u64(..self.tick.as_micros() as u64));
        self.after(first, Event::Tick(index));
    }

    /// Starts the torrent of a node that is there. A tracker names others to it.
    fn begin(&mut self, index: usize) {
        let at = self.at();
        let actions = self.nodes[index].tell(at, Torrent::start);
        self.perform(index, actions);
        let here = |node: &usize| *node != index && self.is_here(*node);
        let mut others: Vec<usize> = (0..self.nodes.len()).filter(here).collect();
        self.rng.shuffle(&mut others);
        others.truncate(self.nodes[index].role.meets);
        self.introduce(index, &others);
    }

    /// Tells `node` the addresses of `others`. It dials those that have left in vain.
    pub fn introduce(&mut self, node: usize, others: &[usize]) {
        let at = self.at();
        let addrs = others.iter().map(|other| Self::addr(*other));
        let actions = self.nodes[node].tell(at, |torrent, turn| {
            torrent.on_addresses(addrs, Source::Tracker, turn);
        });
        self.perform(node, actions);
        self.settle();
    }

    /// Plays until every leech that has not left is complete, at most to the time `limit`.
    pub fn run(&mut self, limit: Duration) -> Outcome {
        let is_over = |node: &Node| {
            let figures = &node.figures;
            figures.seed || figures.left.is_some() || figures.complete.is_some()
        };
        self.run_until(limit, |swarm| swarm.nodes.iter().all(is_over));
        self.outcome()
    }

    /// Plays until `over` holds, at most to the time `limit`. Looks every 10 ms of virtual time,
    /// and returns whether it holds.
    pub fn run_until(&mut self, limit: Duration, over: impl Fn(&Self) -> bool) -> bool {
        let mut looked = self.now;
        while let Some(due) = self.events.pop() {
            if due.0.when > limit {
                self.events.push(due);
                self.now = self.now.max(limit);
                return false;
            }
            self.now = due.0.when;
            self.happen(due.0.event);
            self.settle();
            if self.now - looked >= LOOK_EVERY {
                looked = self.now;
                if over(self) {
                    return true;
                }
            }
        }
        false
    }

    /// Returns the virtual time since the swarm was made.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Returns what `node` has done so far.
    pub fn figures(&self, node: usize) -> &Figures {
        &self.nodes[node].figures
    }

    /// Returns what all nodes have done so far.
    pub fn outcome(&self) -> Outcome {
        let figures = self.nodes.iter().map(|node| Figures {
            false_blocks: node.false_blocks(&self.layout),
            ..node.figures.clone()
        });
        Outcome {
            blocks: self
                .layout
                .all_pieces()
                .map(|p| self.layout.blocks_in(p))
                .sum(),
            bytes: self.layout.total(),
            nodes: figures.collect(),
        }
    }

    /// Returns the trace of all nodes so far, if the swarm is [traced](Self::traced): lines of JSON
    /// with line feeds, as of a real run ([`trace`]). `t` is virtual time, and `node` the number of
    /// the node.
    pub fn trace(&self) -> impl Iterator<Item = String> {
        self.facts.iter().map(trace::Event::line)
    }

    /// Whether `node` has all pieces.
    pub fn is_seed(&self, node: usize) -> bool {
        self.nodes[node].torrent.is_seed()
    }

    /// Whether `node` has joined and has not left.
    pub fn is_here(&self, node: usize) -> bool {
        self.nodes[node].presence == Presence::Here
    }

    /// Returns for each piece how many of the nodes that are there have it.
    pub fn availability(&self) -> Vec<u32> {
        let here = self.nodes.iter().filter(|n| n.presence == Presence::Here);
        let has = |piece| {
            here.clone()
                .filter(|node| node.torrent.have().has(piece))
                .count() as u32
        };
        self.layout.all_pieces().map(has).collect()
    }

    /// Returns how many peers `node` is connected to.
    pub fn peers(&self, node: usize) -> usize {
        self.nodes[node].torrent.progress(self.at()).peers
    }

    /// Returns how often `node` has dialled an address.
    pub fn dialled(&self, node: usize) -> u64 {
        self.nodes[node].torrent.dialled()
    }

    /// Whether `node` refuses to talk to `other`, which sent false data.
    pub fn bans(&self, node: usize, other: usize) -> bool {
        self.nodes[node].torrent.bans(Self::addr(other))
    }

    fn at(&self) -> Instant {
        self.start + self.now
    }

    fn addr(node: usize) -> SocketAddr {
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

    /// How long a byte takes from one node to another, apart from their rates.
    fn delay(&self, from: usize, to: usize) -> Duration {
        self.nodes[from].role.delay + self.nodes[to].role.delay
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.count += 1;
        self.events.push(Reverse(Due {
            when: self.now + delay,
            count: self.count,
            event,
        }));
    }
}

fn layout(bytes: u64, piece_length: u64) -> Arc<Layout> {
    let layout = Layout::new(piece_length, &[(bytes, false)]);
    Arc::new(layout.expect("a torrent that can be"))
}
