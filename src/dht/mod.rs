//! The DHT finds peers without a tracker ([BEP 5], [BEP 32], [BEP 43]).
//!
//! Millions of clients together remember which peers have which torrent; [`node`] explains how to
//! ask them. There are two separate networks, one for IPv4 and one for IPv6, and we ask both. For
//! each, a thread owns a UDP socket and a [`Node`]. It decides nothing: it hands datagrams and
//! requests to the node, sends the node's datagrams, and reports [`DhtNews`]. While an answer may
//! come it sleeps in its socket, otherwise in its channels: between two look-ups it costs nothing.
//!
//! To enter a network, we must know one of its nodes. The user names nodes, or else we use the
//! public [`ROUTERS`], which exist for this; torrents name nodes; and the peers that we meet tell
//! us the ports of theirs. Separate threads look up host names, because that may take long.
//!
//! The engine starts the DHT at the first look-up, and ends it by dropping the [`Dht`]: each thread
//! finds its channel closed. Nobody waits for the threads, because a look-up of a name can't be
//! interrupted.
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

/// Public nodes that let newcomers in.
pub(crate) const ROUTERS: [&str; 3] = [
    "dht.libtorrent.org:25401",
    "dht.transmissionbt.com:6881",
    "router.bittorrent.com:6881",
];

/// The longest sleep in the socket. A request waits this long at most.
const TICK: Duration = Duration::from_millis(100);

/// The shortest interval between two reports of the number of known nodes during a look-up.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How many entrances may wait for a thread; more are dropped.
const MAX_WAITING: usize = 64;

/// How many names are looked up in one run, each on its own thread: the user's (or the routers'),
/// then those of torrents.
const MAX_NAMES: usize = 32;

const ADDRESSES_OF_A_NAME: usize = 8;

/// The pause before a failed look-up of a name is repeated. It doubles ...
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// ... up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The stack of a node's thread, in bytes; whatever grows is on the heap.
const STACK: usize = 256 * 1024;

const PURPOSE: &str = "ask the DHT";

#[derive(Clone, Debug)]
pub(crate) struct DhtSettings {
    /// Opens the sockets, one for each address family that it allows.
    pub door: Door,
    /// The UDP port to try first. If it is taken, any other will do: we tell it to nobody.
    pub port: u16,
    /// Nodes to enter by, as `HOST:PORT`. If there are none, the [`ROUTERS`].
    pub nodes: Vec<String>,
}

#[derive(Debug)]
pub(crate) enum DhtNews {
    /// Peers that may have the torrent, according to some node.
    Peers(InfoHash, Vec<SocketAddr>),
    /// A look-up in one of the networks is over.
    Ended {
        info_hash: InfoHash,
        v6: bool,
        peers: usize,
        /// How many nodes we announced ourselves to.
        announced: usize,
    },
    /// The number of known nodes has changed. All of them have answered us.
    Known { v6: bool, nodes: usize },
    /// A thread died: all of them must be started again.
    Lost,
    /// The name of a node can't be looked up. Reported once per name; the look-up is repeated.
    Unresolved {
        /// `HOST:PORT`.
        name: String,
        by_user: bool,
        error: io::Error,
    },
}

type Report = Arc<dyn Fn(DhtNews) + Send + Sync>;

struct Request {
    info_hash: InfoHash,
    port: Option<u16>,
}

#[derive(Clone, Copy)]
struct Entrance {
    addr: SocketAddr,
    is_router: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NamedBy {
    User,
    Us,
    Torrent,
}

/// The engine's hold on the threads. They end when it is dropped.
pub(crate) struct Dht {
    nodes: Vec<(Sender<Request>, Sender<Entrance>)>,
    /// The names whose look-up was started or waits for a thread.
    names: HashSet<String>,
    /// Names that wait, because the system allowed no more threads.
    waiting: Vec<(String, NamedBy)>,
    /// Carries no messages. It closes with the [`Dht`], which ends the look-ups of names.
    alive: (Sender<Infallible>, Receiver<Infallible>),
    door: Door,
    report: Report,
}

impl Dht {
    /// Opens the sockets and starts the threads. One missing address family is normal.
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

    /// Looks up the peers of a torrent. With a `port`, also announces that we have the torrent and
    /// accept peers on this TCP port.
    pub(crate) fn search(&mut self, info_hash: InfoHash, port: Option<u16>) {
        for (name, by) in std::mem::take(&mut self.waiting) {
            self.start_look_up(name, by);
        }
        for (requests, _) in &self.nodes {
            let _ = requests.send(Request { info_hash, port });
        }
    }

    /// Takes the address of a peer's node, from its PORT message.
    pub(crate) fn node(&self, addr: SocketAddr) {
        let is_router = false;
        deliver(&self.entrances(), Entrance { addr, is_router });
    }

    /// Takes a node that a torrent names: an address or a name, and a port.
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

    /// Takes a node by `HOST:PORT`. A thread looks a name up.
    fn enter(&mut self, name: String, by: NamedBy) {
        if let Ok(addr) = name.parse() {
            let is_router = by == NamedBy::Us;
            return deliver(&self.entrances(), Entrance { addr, is_router });
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
            // The next search tries again; until then the other entrances must do.
            self.waiting.push((name, by));
        }
    }

    fn lost(&self) -> impl FnOnce() + Send + 'static {
        let report = self.report.clone();
        move || report(DhtNews::Lost)
    }
}

/// Hands an entrance to all threads. A thread with [`MAX_WAITING`] waiting needs no more.
fn deliver(to: &[Sender<Entrance>], entrance: Entrance) {
    for entrances in to {
        let _ = entrances.try_send(entrance);
    }
}

/// Looks a name up, again after each pause, until it is found or the DHT ends.
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
                    let is_router = by == NamedBy::Us;
                    deliver(entrances, Entrance { addr, is_router });
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

/// Opens a socket on `port`, or on any port if that is taken.
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

struct NodeThread {
    socket: UdpSocket,
    v6: bool,
    node: Node,
    report: Report,
    /// How many known nodes were reported last, and when.
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

    fn search(&mut self, request: Request) {
        let Request { info_hash, port } = request;
        self.node.search(info_hash, port, Instant::now());
    }

    fn enter(&mut self, entrance: Entrance) {
        let Entrance { addr, is_router } = entrance;
        self.node.enter(addr, is_router, Instant::now());
    }

    /// Waits for a datagram, [`TICK`] at most.
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
            // The next read would fail at once, too.
            Err(_) => thread::sleep(TICK),
        }
    }

    fn perform(&mut self, out: Vec<Output>) {
        let v6 = self.v6;
        for output in out {
            match output {
                // A datagram that can't be sent counts as lost on the way.
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
