//! One look-up: asks nodes ever nearer to an info hash, until the nearest have answered.
//!
//! The nodes whose ids are nearest to an info hash know the peers of its torrent. No node knows all
//! others, but each knows more of them the nearer they are to itself. So we ask the nearest nodes
//! that we know; each names nodes that are nearer still; we ask those next, a few at a time. When
//! the [`NEAREST`] nearest live nodes have all answered, nobody nearer is left. On the way the
//! nodes name peers, and each gives us a token with which we may announce ourselves to it.
//!
//! Anybody can run a node, so answers may be false. We believe no more than we must:
//!
//! - A node that others name but that stays silent is passed over.
//! - A node that answers is ranked by the id that it gives itself, whatever others said of it.
//! - A host on the internet counts for two nodes at most.
//! - A node on the internet can't send us to addresses of a local network ([`may_name`]).
//! - After [`MAX_QUERIES`] queries the look-up is over.
//!
//! No I/O, no clock: addresses and answers go in, the next node to ask comes out.

use super::krpc::{Contact, Distance, Reply};
use crate::address::{Host, Reach, may_name};
use crate::types::InfoHash;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How many of the nearest nodes must answer, and receive our announce: `k` of BEP 5.
pub(crate) const NEAREST: usize = 8;

const AT_A_TIME: usize = 4;

/// After this long without an answer, a query no longer holds up others. Its answer is still
/// welcome.
const SLOW: Duration = Duration::from_secs(1);

/// After this long, a query or its answer counts as lost.
pub(crate) const LOST: Duration = Duration::from_secs(5);

/// The most queries of one look-up. An honest network takes 20 to 60.
pub(crate) const MAX_QUERIES: usize = 200;

/// How many nodes a look-up keeps in mind, the nearest ones.
const MAX_CANDIDATES: usize = 100;

/// How many nodes of one host are accepted: one machine must not pass for the whole neighbourhood.
const PER_HOST: usize = 2;

/// The most peers that one look-up returns.
const MAX_PEERS: usize = 1000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Fresh,
    Asked(Instant),
    Answered,
    /// It was silent or refused, or is a router that has answered.
    Out,
}

#[derive(Debug)]
struct Candidate {
    /// `None` for an entrance, of which we know only the address. Entrances come first.
    distance: Option<Distance>,
    addr: SocketAddr,
    state: State,
    token: Option<Vec<u8>>,
    /// Whether it only helps newcomers and takes no announces.
    router: bool,
}

impl Candidate {
    /// Whether it may be one of the nearest: it answered, or may still do so soon.
    fn is_live(&self, now: Instant) -> bool {
        match self.state {
            State::Fresh | State::Answered => true,
            State::Asked(at) => now.duration_since(at) < SLOW,
            State::Out => false,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Search {
    info_hash: InfoHash,
    /// Nearest first.
    candidates: Vec<Candidate>,
    queries: usize,
    answers: usize,
    peers: HashSet<SocketAddr>,
}

impl Search {
    pub(crate) fn new(info_hash: InfoHash) -> Self {
        Self {
            info_hash,
            candidates: Vec::new(),
            queries: 0,
            answers: 0,
            peers: HashSet::new(),
        }
    }

    /// Begins again: nodes that were silent may be named and asked once more.
    pub(crate) fn restart(&mut self) {
        self.candidates.clear();
        self.queries = 0;
    }

    pub(crate) fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// How many nodes answered. Routers don't count: alone they lead nowhere.
    pub(crate) fn answers(&self) -> usize {
        self.answers
    }

    pub(crate) fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Adds a node that answered in an earlier look-up, or that another node names.
    pub(crate) fn add(&mut self, contact: Contact) {
        let distance = Some(contact.id.distance(&self.info_hash));
        self.add_candidate(contact.addr, distance, false);
    }

    /// Adds an address to begin at, to be asked only while fewer than [`NEAREST`] live nodes are
    /// known.
    pub(crate) fn add_entrance(&mut self, addr: SocketAddr, router: bool) {
        self.add_candidate(addr, None, router);
    }

    fn add_candidate(&mut self, addr: SocketAddr, distance: Option<Distance>, router: bool) {
        let host = Host::of(addr.ip());
        let mut of_host = 0;
        for candidate in &self.candidates {
            if candidate.addr == addr {
                return;
            }
            of_host += usize::from(Host::of(candidate.addr.ip()) == host);
        }
        if of_host >= PER_HOST && Reach::of(addr.ip()) == Reach::World {
            return;
        }
        self.candidates.push(Candidate {
            distance,
            addr,
            state: State::Fresh,
            token: None,
            router,
        });
        self.sort();
    }

    fn sort(&mut self) {
        self.candidates.sort_by_key(|candidate| candidate.distance);
        self.candidates.truncate(MAX_CANDIDATES);
    }

    /// The nearest live nodes, [`NEAREST`] at most.
    fn nearest(&self, now: Instant) -> impl Iterator<Item = &Candidate> {
        let known = self.candidates.iter().filter(|c| c.distance.is_some());
        known.filter(move |c| c.is_live(now)).take(NEAREST)
    }

    /// Returns the node to ask now, if there is one. It then counts as asked.
    pub(crate) fn next(&mut self, now: Instant) -> Option<SocketAddr> {
        let busy = |c: &&Candidate| matches!(c.state, State::Asked(_)) && c.is_live(now);
        let busy = self.candidates.iter().filter(busy).count();
        if busy >= AT_A_TIME || self.queries >= MAX_QUERIES {
            return None;
        }
        let fresh = |c: &&Candidate| c.state == State::Fresh;
        let entrance = || {
            self.candidates
                .iter()
                .filter(|c| c.distance.is_none())
                .find(fresh)
        };
        let few = self.nearest(now).count() < NEAREST;
        let next = self.nearest(now).find(fresh);
        let addr = next.or_else(|| few.then(entrance)?)?.addr;
        self.queries += 1;
        let asked = self.candidates.iter_mut().find(|c| c.addr == addr)?;
        asked.state = State::Asked(now);
        Some(addr)
    }

    /// Takes the answer of the node at `addr`, if we asked it. Returns the peers that are new.
    pub(crate) fn on_reply(&mut self, addr: SocketAddr, reply: &Reply) -> Vec<SocketAddr> {
        let asked = |c: &&mut Candidate| c.addr == addr && matches!(c.state, State::Asked(_));
        let Some(candidate) = self.candidates.iter_mut().find(asked) else {
            return Vec::new();
        };
        candidate.distance = Some(reply.id.distance(&self.info_hash));
        candidate.token.clone_from(&reply.token);
        candidate.state = match candidate.router {
            true => State::Out,
            false => State::Answered,
        };
        self.answers += usize::from(!candidate.router);
        self.sort();
        for contact in &reply.nodes {
            if may_name(addr.ip(), contact.addr) {
                self.add(*contact);
            }
        }
        let honest = reply
            .peers
            .iter()
            .filter(|peer| may_name(addr.ip(), **peer));
        let room = MAX_PEERS.saturating_sub(self.peers.len());
        let fresh = honest.filter(|peer| self.peers.insert(**peer));
        fresh.take(room).copied().collect()
    }

    /// Records that the node at `addr` refused to answer, or was silent for [`LOST`].
    pub(crate) fn on_silence(&mut self, addr: SocketAddr) {
        if let Some(candidate) = self.candidates.iter_mut().find(|c| c.addr == addr) {
            candidate.state = State::Out;
        }
    }

    /// Whether the nearest nodes have all answered, or nobody is left to ask or to wait for.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        let spent = self.queries >= MAX_QUERIES;
        let open = |c: &Candidate| match c.state {
            State::Fresh => !spent,
            State::Asked(_) => true,
            State::Answered | State::Out => false,
        };
        let answered = self.nearest(now).filter(|c| c.state == State::Answered);
        answered.count() == NEAREST || !self.candidates.iter().any(open)
    }

    /// Returns the nearest nodes that answered and take announces, with their tokens.
    pub(crate) fn announce_to(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let answered = self
            .candidates
            .iter()
            .filter(|c| c.state == State::Answered);
        let willing = answered.filter_map(|c| Some((c.addr, c.token.as_deref()?)));
        willing.take(NEAREST)
    }
}

#[cfg(test)]
mod tests {
    use super::super::krpc::NodeId;
    use super::*;

    const HASH: InfoHash = InfoHash([0; 20]);

    /// A node at `distance` from the target.
    fn contact(distance: u8, addr: &str) -> Contact {
        let mut id = [0; 20];
        id[0] = distance;
        let addr = addr.parse().unwrap();
        Contact {
            id: NodeId(id),
            addr,
        }
    }

    fn answers(id: u8, nodes: Vec<Contact>, peers: &[&str]) -> Reply {
        Reply {
            id: contact(id, "1.1.1.1:6881").id,
            token: Some(vec![id]),
            peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
            nodes,
        }
    }

    #[test]
    fn a_host_passes_for_two_nodes_at_most() {
        let count = |addr: fn(u8) -> String| {
            let mut search = Search::new(HASH);
            (1..200).for_each(|n| search.add(contact(n, &addr(n))));
            search.candidates.len()
        };
        assert_eq!(
            count(|n| format!("1.2.3.4:{}", 2000 + u16::from(n))),
            PER_HOST
        );
        assert_eq!(count(|n| format!("[2001:db8::{n:x}]:6881")), PER_HOST);
        assert_eq!(
            count(|n| format!("[2001:db8:0:{n:x}::1]:6881")),
            MAX_CANDIDATES
        );
        assert_eq!(count(|n| format!("1.2.3.{n}:6881")), MAX_CANDIDATES);
        assert_eq!(
            count(|n| format!("127.0.0.1:{}", 2000 + u16::from(n))),
            MAX_CANDIDATES
        );
    }

    #[test]
    fn who_answers_stands_where_its_own_id_belongs() {
        let mut search = Search::new(HASH);
        let now = Instant::now();
        search.add(contact(1, "1.1.1.1:6881")); // others say that it is near; it is far
        search.add(contact(2, "2.2.2.2:6881"));
        assert_eq!(search.next(now), Some("1.1.1.1:6881".parse().unwrap()));
        search.on_reply("1.1.1.1:6881".parse().unwrap(), &answers(200, vec![], &[]));
        assert_eq!(search.next(now), Some("2.2.2.2:6881".parse().unwrap()));
        assert!(!search.is_over(now));
        search.on_reply("2.2.2.2:6881".parse().unwrap(), &answers(2, vec![], &[]));
        assert!(search.is_over(now));
        let told: Vec<(String, &[u8])> = search
            .announce_to()
            .map(|(a, t)| (a.to_string(), t))
            .collect();
        assert_eq!(
            told,
            [
                ("2.2.2.2:6881".into(), &[2][..]),
                ("1.1.1.1:6881".into(), &[200])
            ]
        );
    }

    #[test]
    fn four_at_a_time_and_the_slow_hold_nobody_up() {
        let mut search = Search::new(HASH);
        let now = Instant::now();
        (1..20).for_each(|n| search.add(contact(n, &format!("{n}.1.1.1:6881"))));
        let asked = |search: &mut Search, now| std::iter::from_fn(|| search.next(now)).count();
        assert_eq!(asked(&mut search, now), AT_A_TIME);
        assert_eq!(asked(&mut search, now + SLOW / 2), 0);
        let now = now + SLOW;
        assert_eq!(asked(&mut search, now), AT_A_TIME);
        // A late answer still counts.
        let peers = search.on_reply(
            "1.1.1.1:6881".parse().unwrap(),
            &answers(1, vec![], &["6.6.6.6:6000"]),
        );
        assert_eq!((peers.len(), search.answers()), (1, 1));
        let again = search.on_reply(
            "1.1.1.1:6881".parse().unwrap(),
            &answers(1, vec![], &["6.6.6.7:6000"]),
        );
        assert_eq!(again, [], "a node answers once");
    }

    #[test]
    fn peers_are_told_once_and_not_without_limit() {
        let mut search = Search::new(HASH);
        let now = Instant::now();
        for n in 1..40 {
            search.add(contact(n, &format!("{n}.1.1.1:6881")));
        }
        let mut told = Vec::new();
        let mut number = 0u32;
        while let Some(addr) = search.next(now) {
            let mut reply = answers(0, vec![], &["6.6.6.6:6000", "192.168.0.1:6000"]);
            for _ in 0..100 {
                number += 1;
                let [_, a, b, c] = number.to_be_bytes();
                reply.peers.push(SocketAddr::from(([7, a, b, c], 6000)));
            }
            told.extend(search.on_reply(addr, &reply));
            search.restart();
            (1..40).for_each(|n| search.add(contact(n, &format!("{n}.1.1.1:6881"))));
            if number > 5000 {
                break;
            }
        }
        assert_eq!(told.len(), MAX_PEERS);
        assert_eq!(told.iter().collect::<HashSet<_>>().len(), MAX_PEERS);
        assert!(
            told.iter()
                .all(|peer| peer.to_string() != "192.168.0.1:6000")
        );
    }
}
