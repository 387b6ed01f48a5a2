//! A simulated network in virtual time, with our node in it.

use super::super::*;
use super::OURS;
use crate::bencode::{Raw, scan};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Our address, as others see it.
const US: &str = "9.9.9.9:6881";

/// How a simulated node treats a query.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Kind {
    Honest,
    /// Helps newcomers and stores nothing.
    Router,
    Silent,
    /// Answers with an error.
    Refuses,
    /// Answers with another transaction than the query's.
    WrongTransaction,
    /// Answers from another address.
    WrongSource,
    /// Names nodes right beside the target that don't exist, new ones each time.
    NamesGhosts,
    /// Names addresses that no node on the internet can have.
    NamesNonsense,
    /// Sends a hundred answers to one query.
    Floods,
}

pub(super) struct Other {
    pub contact: Contact,
    pub kind: Kind,
    /// The numbers of the other nodes that it knows.
    knows: Vec<usize>,
    stored: HashMap<InfoHash, HashSet<SocketAddr>>,
    pub queries: usize,
}

/// A network, and our node in it.
pub(super) struct World {
    pub node: Node,
    pub others: Vec<Other>,
    by_addr: HashMap<SocketAddr, usize>,
    /// Datagrams on their way to us, by time of arrival.
    coming: BTreeMap<(Instant, u64), (SocketAddr, Vec<u8>)>,
    pub start: Instant,
    pub now: Instant,
    pub rng: fastrand::Rng,
    /// The probability that a datagram is lost.
    pub loss: f64,
    /// When and where we sent queries.
    pub sent: Vec<(Duration, SocketAddr)>,
    pub peers: HashSet<SocketAddr>,
    /// Look-ups that are over: torrent, peers found, nodes announced to.
    pub ended: Vec<(InfoHash, usize, usize)>,
}

impl World {
    /// Builds `count` honest nodes. Each knows some others, more of them nearby.
    pub(super) fn new(count: usize, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let start = Instant::now();
        let others: Vec<Other> = (0..count)
            .map(|_| {
                let ip = [rng.u8(11..100), rng.u8(..), rng.u8(..), rng.u8(1..)];
                let id = NodeId::random(&mut rng);
                let addr = SocketAddr::from((ip, rng.u16(1024..)));
                Other {
                    contact: Contact { id, addr },
                    kind: Kind::Honest,
                    knows: Vec::new(),
                    stored: HashMap::new(),
                    queries: 0,
                }
            })
            .collect();
        let mut world = Self {
            node: Node::new(false, seed, start),
            by_addr: others.iter().map(|o| o.contact.addr).zip(0..).collect(),
            others,
            coming: BTreeMap::new(),
            start,
            now: start,
            rng,
            loss: 0.0,
            sent: Vec::new(),
            peers: HashSet::new(),
            ended: Vec::new(),
        };
        for number in 0..count {
            world.others[number].knows = world.acquaintances(number);
        }
        world
    }

    /// Picks eight nodes each from that half, quarter, eighth, ... of the space that does not
    /// contain the node itself.
    fn acquaintances(&mut self, number: usize) -> Vec<usize> {
        let own = InfoHash(self.others[number].contact.id.0);
        let mut all: Vec<usize> = (0..self.others.len()).filter(|n| *n != number).collect();
        self.rng.shuffle(&mut all);
        let mut room: HashMap<u32, usize> = HashMap::new();
        all.retain(|n| {
            let distance = self.others[*n].contact.id.distance(&own).0;
            let shared = u32::from_be_bytes(*distance.first_chunk().unwrap()).leading_zeros();
            let taken = room.entry(shared).or_default();
            *taken += 1;
            *taken <= 8
        });
        all
    }

    /// Returns the nodes by their distance from `target`, nearest first.
    pub(super) fn nearest(&self, target: InfoHash) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.others.len()).collect();
        all.sort_by_key(|number| self.others[*number].contact.id.distance(&target));
        all
    }

    /// Announces five peers to the eight nearest nodes.
    pub(super) fn store(&mut self, target: InfoHash) -> HashSet<SocketAddr> {
        let peers: HashSet<SocketAddr> = (1..=5)
            .map(|n| SocketAddr::from(([8, 8, 4, n], 5000)))
            .collect();
        for number in self.nearest(target).into_iter().take(NEAREST) {
            self.others[number].stored.insert(target, peers.clone());
        }
        peers
    }

    /// How many of the eight nearest nodes have us on record.
    pub(super) fn announced(&self, target: InfoHash) -> usize {
        let us: SocketAddr = US.parse().unwrap();
        let has = |number: &&usize| {
            let stored = self.others[**number].stored.get(&target);
            stored.is_some_and(|peers| peers.contains(&us))
        };
        self.nearest(target)
            .iter()
            .take(NEAREST)
            .filter(has)
            .count()
    }

    /// Turns a node into a router, which no other node knows.
    pub(super) fn make_router(&mut self, number: usize) {
        self.others[number].kind = Kind::Router;
        for other in &mut self.others {
            other.knows.retain(|known| *known != number);
        }
    }

    pub(super) fn enter(&mut self, number: usize, router: bool) {
        let addr = self.others[number].contact.addr;
        self.node.enter(addr, router, self.now);
    }

    pub(super) fn search(&mut self, target: InfoHash) {
        self.node.search(target, Some(OURS), self.now);
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut tick = self.now;
        while self.now < end {
            let mut out = Vec::new();
            match self.coming.first_key_value() {
                Some((&(at, _), _)) if at <= tick => {
                    self.now = at;
                    let (_, (from, datagram)) = self.coming.pop_first().unwrap();
                    self.node.on_datagram(from, &datagram, self.now, &mut out);
                }
                _ => {
                    self.now = tick;
                    tick += Duration::from_millis(100);
                    self.node.on_tick(self.now, &mut out);
                }
            }
            out.into_iter().for_each(|output| self.take(output));
        }
    }

    /// Whether all look-ups are over.
    pub(super) fn is_idle(&self) -> bool {
        self.node.running.is_empty() && self.node.waiting.is_empty()
    }

    /// Runs until all look-ups are over, but for ten minutes at most.
    pub(super) fn run_to_the_end(&mut self) {
        while !self.is_idle() && self.now < self.start + Duration::from_secs(600) {
            self.run(Duration::from_millis(100));
        }
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Send(to, datagram) => {
                self.sent.push((self.now - self.start, to));
                if self.rng.f64() >= self.loss
                    && let Some(&number) = self.by_addr.get(&to)
                {
                    self.answer(number, &datagram);
                }
            }
            Output::Peers(_, peers) => self.peers.extend(peers),
            Output::Ended {
                info_hash,
                peers,
                announced,
            } => self.ended.push((info_hash, peers, announced)),
        }
    }

    /// Has a node answer our query in its own way.
    fn answer(&mut self, number: usize, query: &[u8]) {
        let query = scan(query, 3).unwrap();
        let part = |dict: Raw, key: &str| -> Option<Vec<u8>> {
            let value = dict.dict()?.find(|entry| entry.0 == key.as_bytes())?.1;
            Some(value.string().unwrap_or(value.bytes()).to_vec())
        };
        assert_eq!(part(query, "ro"), Some(b"i1e".to_vec()), "we are read-only");
        let arguments = part(query, "a").unwrap();
        let arguments = scan(&arguments, 2).unwrap();
        let transaction = part(query, "t").unwrap();
        let target = InfoHash(part(arguments, "info_hash").unwrap().try_into().unwrap());
        let token = format!("token{number}");
        self.others[number].queries += 1;
        let kind = self.others[number].kind;
        let contact = self.others[number].contact;
        if part(query, "q").unwrap() == b"announce_peer" {
            assert_ne!(kind, Kind::Router, "a router stores nothing");
            let port = part(arguments, "port").unwrap();
            assert_eq!(port, format!("i{OURS}e").into_bytes());
            assert_eq!(part(arguments, "token").unwrap(), token.into_bytes());
            let stored = self.others[number].stored.entry(target).or_default();
            stored.insert(US.parse().unwrap());
            return;
        }
        let mut near = self.others[number].knows.clone();
        near.sort_by_key(|n| self.others[*n].contact.id.distance(&target));
        let mut nodes: Vec<Contact> = near.iter().map(|n| self.others[*n].contact).collect();
        nodes.truncate(8);
        match kind {
            Kind::NamesGhosts => nodes = (0..8).map(|_| self.ghost(target)).collect(),
            Kind::NamesNonsense => nodes = nonsense(target),
            _ => {}
        }
        let stored = self.others[number].stored.get(&target).cloned();
        let mut answer = reply(&transaction, contact.id, &token, &nodes, stored.as_ref());
        let mut from = contact.addr;
        match kind {
            Kind::Silent => return,
            Kind::Refuses => {
                answer = [&b"d1:eli201e1:xe1:t4:"[..], &transaction, b"1:y1:ee"].concat();
            }
            Kind::WrongTransaction => answer = reply(b"oops", contact.id, &token, &nodes, None),
            Kind::WrongSource => from.set_port(from.port() ^ 1),
            _ => {}
        }
        let times = if kind == Kind::Floods { 100 } else { 1 };
        for _ in 0..times {
            if self.rng.f64() >= self.loss {
                let delay = Duration::from_millis(self.rng.u64(20..300));
                let key = (self.now + delay, self.rng.u64(..));
                self.coming.insert(key, (from, answer.clone()));
            }
        }
    }

    /// Returns a node very near to `target` that does not exist.
    fn ghost(&mut self, target: InfoHash) -> Contact {
        let mut id = target.0;
        id[18] = self.rng.u8(..);
        id[19] = self.rng.u8(..);
        let ip = [self.rng.u8(101..110), self.rng.u8(..), self.rng.u8(..), 1];
        let addr = SocketAddr::from((ip, 6881));
        Contact {
            id: NodeId(id),
            addr,
        }
    }

    /// The most queries that we sent in any second.
    pub(super) fn busiest_second(&self) -> usize {
        let within = |(at, _): &(Duration, SocketAddr)| {
            let end = *at + Duration::from_secs(1);
            self.sent
                .iter()
                .filter(|(t, _)| (*at..end).contains(t))
                .count()
        };
        self.sent.iter().map(within).max().unwrap_or(0)
    }
}

/// Addresses near `target` that must not be asked.
pub(super) fn nonsense(target: InfoHash) -> Vec<Contact> {
    let addrs = [
        "192.168.1.1:6881",
        "127.0.0.1:6881",
        "10.0.0.1:6881",
        "169.254.1.1:6881",
        "0.1.2.3:6881",
        "239.1.2.3:6881",
        "5.5.5.5:0",
        "5.5.5.5:53",
    ];
    let contact = |addr: &str| Contact {
        id: NodeId(target.0),
        addr: addr.parse().unwrap(),
    };
    addrs.map(contact).to_vec()
}

/// An answer to `get_peers`.
pub(super) fn reply(
    transaction: &[u8],
    id: NodeId,
    token: &str,
    nodes: &[Contact],
    peers: Option<&HashSet<SocketAddr>>,
) -> Vec<u8> {
    let compact = |addr: &SocketAddr| {
        let SocketAddr::V4(addr) = addr else {
            panic!("{addr}")
        };
        [&addr.ip().octets()[..], &addr.port().to_be_bytes()].concat()
    };
    let node = |contact: &Contact| [contact.id.0.to_vec(), compact(&contact.addr)].concat();
    let string = |bytes: &[u8]| [format!("{}:", bytes.len()).as_bytes(), bytes].concat();
    let nodes: Vec<u8> = nodes.iter().flat_map(node).collect();
    let values = peers.map(|peers| {
        let values: Vec<u8> = peers
            .iter()
            .flat_map(|peer| string(&compact(peer)))
            .collect();
        [b"6:valuesl", &values[..], b"e"].concat()
    });
    [
        &b"d1:rd2:id20:"[..],
        &id.0,
        b"5:nodes",
        &string(&nodes),
        b"5:token",
        &string(token.as_bytes()),
        &values.unwrap_or_default(),
        b"e1:t",
        &string(transaction),
        b"1:y1:re",
    ]
    .concat()
}
