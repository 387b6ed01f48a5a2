//! Our node of the DHT, as rules without a socket ([BEP 5], [BEP 43]).
//!
//! The *distributed hash table* is a tracker without a server: millions of clients each
//! remember the peers of some torrents, those whose info hash is near to their own random
//! id. To find peers one asks one's way from node to node ([`Search`]), and then announces
//! oneself to the nodes that are in charge, so that others find us.
//!
//! We are a *read-only* node: we ask, but answer no queries, and say so in each of ours.
//! A program that comes and goes with a download is no good node to remember: others would
//! ask it in vain as soon as it has left. BEP 43 is for just that, and it says that such a
//! node does not respond to queries. So there is nothing here that others could fill,
//! guess tokens of, or use to send datagrams to a third.
//!
//! What comes in is looked at only if it comes from an address that owes us an answer, and
//! believed only with the transaction that was sent there. All that is kept has a limit,
//! and queries go out at a limited rate, whatever others say.
//!
//! The thread of [`super`] owns a [`Node`] for each address family. Datagrams and the time
//! go in, [`Output`] comes out; the random numbers are seeded.
//!
//! [BEP 5]: https://www.bittorrent.org/beps/bep_0005.html
//! [BEP 43]: https://www.bittorrent.org/beps/bep_0043.html

use super::krpc::{self, Contact, NodeId, Reply, Transaction};
use super::search::{LOST, NEAREST, Search};
use super::table::Table;
use crate::host::Host;
use crate::types::InfoHash;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Look-ups at a time; the others wait.
const MAX_SEARCHES: usize = 8;

/// Addresses that are kept to begin at.
const MAX_ENTRANCES: usize = 32;

/// The pause between two queries in the long run: 50 queries a second, some 6 kB.
const PACE: Duration = Duration::from_millis(20);

/// Queries that may go out at once after a rest.
const BURST: u32 = 20;

/// After a look-up that nobody answered, the pause before the next try; it doubles ...
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// ... up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Something to be done for the node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send this datagram there.
    Send(SocketAddr, Vec<u8>),
    /// These may have the torrent; each is told once a look-up.
    Peers(InfoHash, Vec<SocketAddr>),
    /// A look-up is over.
    Ended {
        /// Of which torrent.
        info_hash: InfoHash,
        /// Peers that were found.
        peers: usize,
        /// Nodes that were told of us.
        announced: usize,
    },
}

/// A query that is not answered yet.
#[derive(Debug)]
struct Asked {
    transaction: Transaction,
    to: SocketAddr,
    info_hash: InfoHash,
    at: Instant,
}

/// A look-up that is going on.
#[derive(Debug)]
struct Running {
    search: Search,
    /// The TCP port to be announced.
    port: Option<u16>,
    /// How often nobody answered.
    failures: u32,
    /// When to begin: anew, or for the first time.
    begin_at: Option<Instant>,
}

/// Our node in the network of one address family.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    v6: bool,
    rng: fastrand::Rng,
    table: Table,
    /// Where to begin while the table is nearly empty, and whether it is a router.
    entrances: Vec<(SocketAddr, bool)>,
    running: Vec<Running>,
    waiting: VecDeque<(InfoHash, Option<u16>)>,
    asked: Vec<Asked>,
    /// When the next query would go out at the steady pace.
    next_query: Instant,
}

impl Node {
    /// A node that knows nobody.
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

    /// How many nodes it knows that answer.
    pub fn known(&self) -> usize {
        self.table.count()
    }

    /// Whether a look-up goes on, so that somebody may answer.
    pub fn is_asking(&self) -> bool {
        let mut running = self.running.iter();
        running.any(|running| running.begin_at.is_none())
    }

    /// When the next look-up is to begin again, if nobody answered.
    pub fn next_begin(&self) -> Option<Instant> {
        let running = self.running.iter();
        running.filter_map(|running| running.begin_at).min()
    }

    /// Looks up the peers of a torrent, and then announces that it can be had from us on
    /// the TCP `port`, if there is one. If it is being looked up already, that goes on.
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

    /// An address at which the network can be entered. `router`: it only helps newcomers
    /// find others; it is not asked when others are known, and nothing is announced to it.
    pub fn enter(&mut self, addr: SocketAddr, router: bool, now: Instant) {
        let known = self.entrances.iter().any(|(known, _)| *known == addr);
        if addr.is_ipv6() != self.v6 || addr.port() == 0 || known {
            return;
        }
        if self.entrances.len() >= MAX_ENTRANCES {
            // The newest of the host that has most makes room: those of the user came first,
            // those of peers came later, and a peer has as many ports as it likes.
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

    /// A datagram came.
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

    /// What time brings. To be called about every tenth of a second, and after
    /// [`Node::search`] and [`Node::enter`].
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

    /// Begins look-ups, asks whom they name, and ends them.
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
            // The network is down, or its entrances are: later, then.
            let pause = FIRST_PAUSE * 2u32.pow(running.failures.min(10));
            running.failures += 1;
            running.begin_at = Some(now + pause.min(LONGEST_PAUSE));
            self.running.push(running);
        }
    }

    /// While hardly any node is known one look-up at a time is enough: it finds nodes for
    /// the others, which would all ask the same few.
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
            // Those that we know may all be gone.
            if contacts.len() < NEAREST || running.failures > 0 {
                for (addr, router) in &self.entrances {
                    search.add_entrance(*addr, *router);
                }
            }
            contacts.into_iter().for_each(|contact| search.add(contact));
        }
    }

    /// Sends queries, as many as the pace allows, in turns for each look-up.
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

    /// A look-up is over: the nearest nodes hear of us. Whether they heard is not asked:
    /// they are eight, and one would do.
    fn end(&mut self, running: &Running, now: Instant, out: &mut Vec<Output>) {
        let search = &running.search;
        let info_hash = search.info_hash();
        // Who has not answered by now may still do so, but nobody listens any more.
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
