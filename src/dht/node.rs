//! Our node of the DHT: rules without a socket ([BEP 5], [BEP 43]).
//!
//! The *distributed hash table* is a tracker without a server. Millions of clients, its *nodes*,
//! each have a random id, and remember the peers of those torrents whose info hash is near to it.
//! To find peers, we ask our way from node to node ([`Search`]) until we reach those in charge of
//! our info hash. Then we announce ourselves to them, so that others find us.
//!
//! We are a *read-only* node (BEP 43): we ask, but answer no queries, and say so in each of ours. A
//! program that comes and goes with a download is a bad node to remember, because others would ask
//! it in vain after it left. A read-only node also has no store that others could fill, no tokens
//! that they could guess, and no answers that they could aim at a third party.
//!
//! We read a datagram only if it comes from an address that owes us an answer, and believe it only
//! if it repeats the transaction that we sent there. Everything that we keep has a limit, and our
//! queries go out at a limited rate, whatever others say.
//!
//! The threads of [`super`] own a [`Node`] for each address family. Datagrams and the time go in,
//! [`Output`] comes out; the random numbers are seeded.
//!
//! [BEP 5]: https://www.bittorrent.org/beps/bep_0005.html
//! [BEP 43]: https://www.bittorrent.org/beps/bep_0043.html

use super::krpc::{self, Contact, NodeId, Reply, Transaction};
use super::search::{LOST, NEAREST, Search};
use super::table::Table;
use crate::address::Host;
use crate::types::InfoHash;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How many look-ups run at a time; the others wait.
const MAX_SEARCHES: usize = 8;

/// The most entrances (addresses to begin at) that we keep.
const MAX_ENTRANCES: usize = 32;

/// The pause between two queries at the steady rate: 50 queries a second, about 6 kB.
const PACE: Duration = Duration::from_millis(20);

/// How many queries may go out at once after a rest.
const BURST: u32 = 20;

/// The pause after a look-up that no node answered. It doubles ...
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// ... up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What the thread should do for the node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send this datagram to this address.
    Send(SocketAddr, Vec<u8>),
    /// Peers that may have the torrent. Each is reported once per look-up.
    Peers(InfoHash, Vec<SocketAddr>),
    /// A look-up is over.
    Ended {
        /// Its torrent.
        info_hash: InfoHash,
        /// How many peers it found.
        peers: usize,
        /// How many nodes we announced ourselves to.
        announced: usize,
    },
}

/// A query that awaits its answer.
#[derive(Debug)]
struct Asked {
    transaction: Transaction,
    to: SocketAddr,
    info_hash: InfoHash,
    at: Instant,
}

/// A look-up that is in progress, or paused until `begin_at`.
#[derive(Debug)]
struct Running {
    search: Search,
    /// The TCP port to announce.
    port: Option<u16>,
    /// How many times in a row no node answered.
    failures: u32,
    /// When it begins, for the first time or again. `None` while it is in progress.
    begin_at: Option<Instant>,
}

/// Our node in the network of one address family.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    v6: bool,
    rng: fastrand::Rng,
    table: Table,
    /// Addresses to begin at while the table is nearly empty, each with whether it is a router.
    entrances: Vec<(SocketAddr, bool)>,
    running: Vec<Running>,
    waiting: VecDeque<(InfoHash, Option<u16>)>,
    asked: Vec<Asked>,
    /// When the next query is due at the steady rate.
    next_query: Instant,
}

impl Node {
    /// A node that knows no others.
    pub fn new(v6: bool, seed: u64, now: Instant) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        Self {
            id: NodeId::random(&mut rng),
            v6,
            rng,
            table: Table::default(),
            entrances: Vec::new(),
            running: Vec::new(),
            waiting: VecDeque::new(),
            asked: Vec::new(),
            next_query: now,
        }
    }

    /// How many nodes it knows. All of them have answered.
    pub fn known(&self) -> usize {
        self.table.count()
    }

    /// Whether a look-up is in progress, so that answers may come.
    pub fn is_asking(&self) -> bool {
        let mut running = self.running.iter();
        running.any(|running| running.begin_at.is_none())
    }

    /// When the next paused look-up begins.
    pub fn next_begin(&self) -> Option<Instant> {
        let running = self.running.iter();
        running.filter_map(|running| running.begin_at).min()
    }

    /// Looks up the peers of a torrent. With a `port`, then announces that we have the torrent and
    /// accept peers on this TCP port. If this look-up exists already, it goes on with the new port,
    /// and its pause ends at once.
    pub fn search(&mut self, info_hash: InfoHash, port: Option<u16>, now: Instant) {
        let mut running = self.running.iter_mut();
        let mut waiting = self.waiting.iter_mut();
        if let Some(running) = running.find(|running| running.search.info_hash() == info_hash) {
            running.port = port;
            running.begin_at = running.begin_at.map(|_| now);
        } else if let Some(waiting) = waiting.find(|waiting| waiting.0 == info_hash) {
            waiting.1 = port;
        } else {
            self.waiting.push_back((info_hash, port));
        }
    }

    /// Takes an address at which the network can be entered. A `router` only helps newcomers: once
    /// we know other nodes, we don't ask it, and we announce nothing to it.
    pub fn enter(&mut self, addr: SocketAddr, router: bool, now: Instant) {
        let known = self.entrances.iter().any(|(known, _)| *known == addr);
        if addr.is_ipv6() != self.v6 || addr.port() == 0 || known {
            return;
        }
        if self.entrances.len() >= MAX_ENTRANCES {
            // We drop the newest entrance of the host that has the most. The user's came first and
            // peers' came later, and a peer can name any number of ports.
            let hosts = self.entrances.iter().map(|(addr, _)| Host::of(addr.ip()));
            let of = |host| hosts.clone().filter(|other| *other == host).count();
            let crowd = hosts.clone().enumerate();
            let loser = crowd.max_by_key(|(place, host)| (of(*host), *place));
            loser.map(|(place, _)| self.entrances.remove(place));
        }
        self.entrances.push((addr, router));
        for running in &mut self.running {
            match &mut running.begin_at {
                Some(at) => *at = now,
                None => running.search.add_entrance(addr, router),
            }
        }
    }

    /// Takes a datagram that has arrived.
    pub fn on_datagram(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        if !self.asked.iter().any(|asked| asked.to == from) {
            return;
        }
        let Some((transaction, reply)) = krpc::decode(datagram, self.v6) else {
            return;
        };
        let ours = |asked: &Asked| asked.to == from && asked.transaction == transaction;
        let Some(at) = self.asked.iter().position(ours) else {
            return;
        };
        let asked = self.asked.swap_remove(at);
        match reply {
            Some(reply) => self.on_reply(&asked, reply, now, out),
            None => self.on_silence(&asked),
        }
        self.work(now, out);
    }

    /// Does what is due at `now`. To be called about every 100 ms, and after [`Node::search`] and
    /// [`Node::enter`].
    pub fn on_tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        let lost = |asked: &mut Asked| now.duration_since(asked.at) >= LOST;
        let lost: Vec<Asked> = self.asked.extract_if(.., lost).collect();
        lost.iter().for_each(|asked| self.on_silence(asked));
        self.work(now, out);
    }

    fn find(&mut self, info_hash: InfoHash) -> Option<&mut Search> {
        let mut searches = self.running.iter_mut().map(|running| &mut running.search);
        searches.find(|search| search.info_hash() == info_hash)
    }

    fn on_reply(&mut self, asked: &Asked, mut reply: Reply, now: Instant, out: &mut Vec<Output>) {
        let ours = self.id;
        reply.nodes.retain(|contact| contact.id != ours);
        if let Some(search) = self.find(asked.info_hash) {
            let peers = search.on_reply(asked.to, &reply);
            if !peers.is_empty() {
                out.push(Output::Peers(asked.info_hash, peers));
            }
        }
        if !self.entrances.contains(&(asked.to, true)) {
            let (id, addr) = (reply.id, asked.to);
            self.table.answered(Contact { id, addr }, now);
        }
    }

    fn on_silence(&mut self, asked: &Asked) {
        self.table.silent(asked.to);
        if let Some(search) = self.find(asked.info_hash) {
            search.on_silence(asked.to);
        }
    }

    /// Begins look-ups, sends their queries, and ends them.
    fn work(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.begin(now);
        self.ask(now, out);
        let over =
            |running: &mut Running| running.begin_at.is_none() && running.search.is_over(now);
        let ended: Vec<Running> = self.running.extract_if(.., over).collect();
        for mut running in ended {
            if running.search.answers() > 0 {
                self.end(&running, now, out);
                continue;
            }
            // The network or its entrances are down: we try again later.
            let pause = FIRST_PAUSE * 2u32.pow(running.failures.min(10));
            running.failures += 1;
            running.begin_at = Some(now + pause.min(LONGEST_PAUSE));
            self.running.push(running);
        }
    }

    /// Begins waiting look-ups. While we know fewer than [`NEAREST`] nodes, one at a time: it finds
    /// nodes for the others, which would all ask the same few.
    fn begin(&mut self, now: Instant) {
        let most = match self.table.count() {
            0..NEAREST => 1,
            _ => MAX_SEARCHES,
        };
        let room = most.saturating_sub(self.running.len());
        for (info_hash, port) in self.waiting.drain(..room.min(self.waiting.len())) {
            self.running.push(Running {
                search: Search::new(info_hash),
                port,
                failures: 0,
                begin_at: Some(now),
            });
        }
        for running in &mut self.running {
            if running.begin_at.take_if(|at| *at <= now).is_none() {
                continue;
            }
            let search = &mut running.search;
            search.restart();
            let contacts = self.table.nearest(&search.info_hash(), NEAREST);
            // The nodes that we know may all be gone.
            if contacts.len() < NEAREST || running.failures > 0 {
                for (addr, router) in &self.entrances {
                    search.add_entrance(*addr, *router);
                }
            }
            contacts.into_iter().for_each(|contact| search.add(contact));
        }
    }

    /// Sends as many queries as the rate allows, from each look-up in turn.
    fn ask(&mut self, now: Instant, out: &mut Vec<Output>) {
        let mut resting = 0;
        while resting < self.running.len() && self.next_query <= now + PACE * (BURST - 1) {
            self.running.rotate_left(1);
            resting += 1;
            let Some(running) = self.running.last_mut() else {
                return;
            };
            if running.begin_at.is_some() {
                continue;
            }
            let Some(to) = running.search.next(now) else {
                continue;
            };
            resting = 0;
            let info_hash = running.search.info_hash();
            let transaction = self.transaction();
            let query = krpc::get_peers(transaction, &self.id, &info_hash);
            self.asked.push(Asked {
                transaction,
                to,
                info_hash,
                at: now,
            });
            self.send(to, query, now, out);
        }
    }

    fn transaction(&mut self) -> Transaction {
        self.rng.u32(..).to_be_bytes()
    }

    fn send(&mut self, to: SocketAddr, query: Vec<u8>, now: Instant, out: &mut Vec<Output>) {
        self.next_query = self.next_query.max(now) + PACE;
        out.push(Output::Send(to, query));
    }

    /// Ends a look-up: announces us to the nearest nodes. We wait for no answers: of eight nodes,
    /// one is enough.
    fn end(&mut self, running: &Running, now: Instant, out: &mut Vec<Output>) {
        let search = &running.search;
        let info_hash = search.info_hash();
        // Nobody needs an answer that comes now.
        self.asked.retain(|asked| asked.info_hash != info_hash);
        let mut announced = 0;
        for (to, token) in search.announce_to() {
            let Some(port) = running.port else { break };
            let transaction = self.transaction();
            let query = krpc::announce_peer(transaction, &self.id, &info_hash, port, token);
            self.send(to, query, now, out);
            announced += 1;
        }
        out.push(Output::Ended {
            info_hash,
            peers: search.peers(),
            announced,
        });
    }
}

#[cfg(test)]
mod tests;
