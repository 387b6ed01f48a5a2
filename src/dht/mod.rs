//! The DHT: finding peers without a tracker ([BEP 5], [BEP 32], [BEP 43]).
//!
//! Millions of clients together remember who has which torrent; [`node`] tells how one
//! asks them. There are two networks that know nothing of each other, one of IPv4 and one
//! of IPv6, and we ask in both. Each has a thread, which owns a UDP socket and a
//! [`Node`] and decides nothing itself: datagrams and requests go in, datagrams and
//! [`DhtNews`] come out. It sleeps in its socket while it may be answered, else in its
//! channels, so between two look-ups it costs nothing.
//!
//! To enter a network one has to know somebody in it: nodes that the user names, else the
//! public [`ROUTERS`], which exist for that; those that a torrent names; and those of the
//! peers that we meet. Names are looked up on threads of their own, as that may take long,
//! and again after a pause as long as it fails.
//!
//! The engine starts it at the first look-up, and ends it by dropping the [`Dht`]: each
//! thread finds its channel closed. Nobody waits for the threads; one that looks up a name
//! could not be hurried.
//!
//! [BEP 5]: https://www.bittorrent.org/beps/bep_0005.html
//! [BEP 32]: https://www.bittorrent.org/beps/bep_0032.html
//! [BEP 43]: https://www.bittorrent.org/beps/bep_0043.html

pub(crate) mod krpc;
pub(crate) mod node;
pub(crate) mod search;
pub(crate) mod table;

use crate::door::Door;
use crate::threads;
use crate::types::InfoHash;
use crossbeam_channel::{
    Receiver, RecvTimeoutError, Sender, TryRecvError, at, bounded, never, select, unbounded,
};
use krpc::MAX_DATAGRAM;
use node::{Node, Output};
use std::collections::HashSet;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Nodes that are there to let newcomers in.
pub(crate) const ROUTERS: [&str; 3] = [
    "dht.libtorrent.org:25401",
    "dht.transmissionbt.com:6881",
    "router.bittorrent.com:6881",
];

/// The longest sleep in the socket: until then a request may wait.
const TICK: Duration = Duration::from_millis(100);

/// How often the number of known nodes is told while it changes.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Entrances that may wait for a thread before more are dropped.
const MAX_WAITING: usize = 64;

/// Names that are looked up in one run, each on a thread: those of the user, or the
/// routers', and then those of torrents.
const MAX_NAMES: usize = 32;

/// Addresses that are taken of one name.
const ADDRESSES_OF_A_NAME: usize = 8;

/// The pause before a name that could not be looked up is tried again; it doubles ...
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// ... up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Stack of a node's thread, bytes; what grows is on the heap.
const STACK: usize = 256 * 1024;

/// What a node's thread is for.
const PURPOSE: &str = "ask the DHT";

/// How to go about it.
#[derive(Clone, Debug)]
pub(crate) struct DhtSettings {
    /// From where others are asked: of each family that it lets through.
    pub door: Door,
    /// The UDP port that is tried first; if it is taken any other will do, as nobody is
    /// told of it.
    pub port: u16,
    /// Nodes to enter by, `HOST:PORT`; empty: the [`ROUTERS`].
    pub nodes: Vec<String>,
}

/// What the threads tell.
#[derive(Debug)]
pub(crate) enum DhtNews {
    /// These may have the torrent, so some node says.
    Peers(InfoHash, Vec<SocketAddr>),
    /// A look-up in one of the networks is over.
    Ended {
        /// Of which torrent.
        info_hash: InfoHash,
        /// Whether it was in the network of IPv6.
        v6: bool,
        /// Peers that were found.
        peers: usize,
        /// Nodes that were told of us.
        announced: usize,
    },
    /// So many nodes are known that answer.
    Known {
        /// In the network of IPv6.
        v6: bool,
        /// How many.
        nodes: usize,
    },
    /// A thread died: all of them are to be started anew.
    Lost,
    /// The name of a node cannot be looked up; told once. It is tried again.
    Unresolved {
        /// `HOST:PORT`.
        name: String,
        /// Whether the user named it.
        by_user: bool,
        /// Why.
        error: io::Error,
    },
}

type Report = Arc<dyn Fn(DhtNews) + Send + Sync>;

/// Which torrent to look up, and the TCP port to announce.
type Request = (InfoHash, Option<u16>);

/// Where a network can be entered, and whether it is a router.
type Entrance = (SocketAddr, bool);

/// Why a name is looked up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NamedBy {
    User,
    Us,
    Torrent,
}

/// The threads, as the engine reaches them. They end when it is dropped.
pub(crate) struct Dht {
    nodes: Vec<(Sender<Request>, Sender<Entrance>)>,
    /// Names that were given to threads.
    names: HashSet<String>,
    /// Those that wait for one, as the system had none left.
    waiting: Vec<(String, NamedBy)>,
    /// Nothing is sent: its end tells the threads that look up names.
    alive: (Sender<Infallible>, Receiver<Infallible>),
    door: Door,
    report: Report,
}

impl Dht {
    /// Opens the sockets and starts the threads. That one family cannot be had is normal.
    ///
    /// # Errors
    /// If no socket can be opened or no thread started.
    pub(crate) fn start(
        settings: &DhtSettings,
        report: impl Fn(DhtNews) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let report: Report = Arc::new(report);
        let door = &settings.door;
        let families: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let ours = families.into_iter().filter(|ip| door.may_reach(*ip));
        let opened = ours.map(|ip| {
            let v6 = ip.is_ipv6();
            spawn(open(door, v6, settings.port)?, v6, report.clone())
        });
        let (nodes, failed): (Vec<_>, Vec<_>) = opened.partition(Result::is_ok);
        let nodes: Vec<_> = nodes.into_iter().flatten().collect();
        if let Some(Err(error)) = failed.into_iter().next().filter(|_| nodes.is_empty()) {
            return Err(error);
        }
        let mut dht = Self {
            nodes,
            names: HashSet::new(),
            waiting: Vec::new(),
            alive: bounded(0),
            door: door.clone(),
            report,
        };
        for name in &settings.nodes {
            dht.enter(name.clone(), NamedBy::User);
        }
        if settings.nodes.is_empty() {
            ROUTERS
                .into_iter()
                .for_each(|name| dht.enter(name.to_owned(), NamedBy::Us));
        }
        Ok(dht)
    }

    /// Looks up the peers of a torrent, and announces that it can be had from us on the
    /// TCP `port`, if there is one.
    pub(crate) fn search(&mut self, info_hash: InfoHash, port: Option<u16>) {
        for (name, by) in std::mem::take(&mut self.waiting) {
            self.start_look_up(name, by);
        }
        for (requests, _) in &self.nodes {
            let _ = requests.send((info_hash, port));
        }
    }

    /// A peer says that its node is here: a PORT message.
    pub(crate) fn node(&self, addr: SocketAddr) {
        deliver(&self.entrances(), (addr, false));
    }

    /// A torrent names this node: an address or a name, and a port.
    pub(crate) fn node_of_torrent(&mut self, host: &str, port: u16) {
        match host.parse() {
            Ok(ip) => self.node(SocketAddr::new(ip, port)),
            Err(_) => self.enter(format!("{host}:{port}"), NamedBy::Torrent),
        }
    }

    fn entrances(&self) -> Vec<Sender<Entrance>> {
        let entrances = self.nodes.iter().map(|(_, entrances)| entrances);
        entrances.cloned().collect()
    }

    /// Enters by `HOST:PORT`; a name is looked up by a thread.
    fn enter(&mut self, name: String, by: NamedBy) {
        if let Ok(addr) = name.parse() {
            return deliver(&self.entrances(), (addr, by == NamedBy::Us));
        }
        if self.names.len() >= MAX_NAMES || !self.names.insert(name.clone()) {
            return;
        }
        self.start_look_up(name, by);
    }

    fn start_look_up(&mut self, name: String, by: NamedBy) {
        let (entrances, report) = (self.entrances(), self.report.clone());
        let alive = self.alive.1.clone();
        let thread = thread::Builder::new().name("dht name".into());
        let (lost, named, door) = (self.lost(), name.clone(), self.door.clone());
        let work = move || look_up(&named, by, &door, &entrances, &alive, &report);
        if threads::spawn(thread, "look up a node of the DHT", work, lost).is_err() {
            // Until the next search the others will have to do.
            self.waiting.push((name, by));
        }
    }

    /// What is told if a thread dies.
    fn lost(&self) -> impl FnOnce() + Send + 'static {
        let report = self.report.clone();
        move || report(DhtNews::Lost)
    }
}

/// Hands an entrance to all threads. If one has many waiting it needs no more.
fn deliver(to: &[Sender<Entrance>], entrance: Entrance) {
    for entrances in to {
        let _ = entrances.try_send(entrance);
    }
}

/// Looks a name up until it is found, or the DHT ends.
fn look_up(
    name: &str,
    by: NamedBy,
    door: &Door,
    entrances: &[Sender<Entrance>],
    alive: &Receiver<Infallible>,
    report: &Report,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        match door.look_up(name) {
            Ok(found) => {
                for addr in found.into_iter().take(ADDRESSES_OF_A_NAME) {
                    deliver(entrances, (addr, by == NamedBy::Us));
                }
                return;
            }
            Err(error) if pause == FIRST_PAUSE => report(DhtNews::Unresolved {
                name: name.to_owned(),
                by_user: by == NamedBy::User,
                error,
            }),
            Err(_) => {}
        }
        if alive.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Opens a socket on `port`, else on any.
fn open(door: &Door, v6: bool, port: u16) -> io::Result<UdpSocket> {
    door.udp(v6, port).or_else(|_| door.udp(v6, 0))
}

fn spawn(
    socket: UdpSocket,
    v6: bool,
    report: Report,
) -> io::Result<(Sender<Request>, Sender<Entrance>)> {
    socket.set_read_timeout(Some(TICK))?;
    let (requests, to_do) = unbounded();
    let (entrances, to_enter) = bounded(MAX_WAITING);
    let lost = report.clone();
    let node = NodeThread {
        socket,
        v6,
        node: Node::new(v6, fastrand::u64(..), Instant::now()),
        report,
        told: (0, Instant::now()),
    };
    let thread = thread::Builder::new()
        .name(format!("dht ipv{}", if v6 { 6 } else { 4 }))
        .stack_size(STACK);
    let work = move || node.run(&to_do, &to_enter);
    threads::spawn(thread, PURPOSE, work, move || lost(DhtNews::Lost)).map_err(io::Error::other)?;
    Ok((requests, entrances))
}

/// What one thread owns.
struct NodeThread {
    socket: UdpSocket,
    v6: bool,
    node: Node,
    report: Report,
    /// How many known nodes were told last, and when.
    told: (usize, Instant),
}

impl NodeThread {
    fn run(mut self, requests: &Receiver<Request>, entrances: &Receiver<Entrance>) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let mut out = Vec::new();
            self.node.on_tick(Instant::now(), &mut out);
            self.perform(out);
            if self.node.is_asking() {
                match requests.try_recv() {
                    Ok(request) => self.search(request),
                    Err(TryRecvError::Disconnected) => return,
                    Err(TryRecvError::Empty) => {
                        entrances
                            .try_iter()
                            .for_each(|entrance| self.enter(entrance));
                        self.listen(&mut buffer);
                    }
                }
                continue;
            }
            let begin = self.node.next_begin().map_or_else(never, at);
            select! {
                recv(requests) -> request => match request {
                    Ok(request) => self.search(request),
                    Err(_) => return,
                },
                recv(entrances) -> entrance => entrance.into_iter().for_each(|e| self.enter(e)),
                recv(begin) -> _ => {}
            }
        }
    }

    fn search(&mut self, (info_hash, port): Request) {
        self.node.search(info_hash, port, Instant::now());
    }

    fn enter(&mut self, (addr, router): Entrance) {
        self.node.enter(addr, router, Instant::now());
    }

    /// Waits for a datagram.
    fn listen(&mut self, buffer: &mut [u8]) {
        use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
        match self.socket.recv_from(buffer) {
            Ok((len, from)) => {
                let from = SocketAddr::new(from.ip(), from.port());
                let datagram = buffer.get(..len).unwrap_or_default();
                let mut out = Vec::new();
                let now = Instant::now();
                self.node.on_datagram(from, datagram, now, &mut out);
                self.perform(out);
            }
            Err(error) if matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => {}
            // It would fail again at once.
            Err(_) => thread::sleep(TICK),
        }
    }

    fn perform(&mut self, out: Vec<Output>) {
        let v6 = self.v6;
        for output in out {
            match output {
                // What cannot be sent is as good as lost on the way.
                Output::Send(to, datagram) => _ = self.socket.send_to(&datagram, to),
                Output::Peers(info_hash, peers) => {
                    (self.report)(DhtNews::Peers(info_hash, peers));
                }
                Output::Ended {
                    info_hash,
                    peers,
                    announced,
                } => (self.report)(DhtNews::Ended {
                    info_hash,
                    v6,
                    peers,
                    announced,
                }),
            }
        }
        let (nodes, now) = (self.node.known(), Instant::now());
        let due = !self.node.is_asking() || now.duration_since(self.told.1) >= TELL_EVERY;
        if nodes != self.told.0 && due {
            self.told = (nodes, now);
            (self.report)(DhtNews::Known { v6, nodes });
        }
    }
}

#[cfg(test)]
mod tests;
