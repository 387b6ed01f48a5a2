//! Peer exchange ([BEP 11]): connected peers tell each other about further peers.
//!
//! It costs a message a minute per peer, and fills a swarm up once the first peer is found. We name
//! only peers that we are connected to, by the address at which they accept connections, and say so
//! when one of them leaves. The [`Swarm`](crate::swarm::Swarm) bounds the number of addresses that
//! come in, and trusts them least. A torrent that is private, or may be because its metadata is
//! unknown, exchanges no peers.
//!
//! [BEP 11]: https://www.bittorrent.org/beps/bep_0011.html

use super::{Torrent, Turn};
use crate::address::may_name;
use crate::extension::pex::{MAX_TOLD, REACHABLE, SEED};
use crate::messages::Command;
use crate::swarm::Source;
use crate::types::PeerKey;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// The pause between two messages to a peer. BEP 11 forbids more of them.
const EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// The peers that it knows from us.
    told: BTreeSet<SocketAddr>,
    at: Option<Instant>,
}

/// The peers that came, each with its flags, and those that left.
type News = (Vec<(SocketAddr, u8)>, Vec<SocketAddr>);

impl Exchange {
    fn is_due(&self, now: Instant) -> bool {
        self.at.is_none_or(|at| now.duration_since(at) >= EVERY)
    }

    /// Returns the news for a peer at `host` that accepts connections at `itself`. `there`: the
    /// connected peers. `None`: the peer knows all of them already.
    fn news(
        &mut self,
        there: &BTreeMap<SocketAddr, u8>,
        host: IpAddr,
        itself: Option<SocketAddr>,
        now: Instant,
    ) -> Option<News> {
        let fresh = there.iter().filter(|(addr, _)| {
            let of_use = Some(**addr) != itself && may_name(host, **addr);
            of_use && !self.told.contains(addr)
        });
        let fresh = fresh.take(MAX_TOLD).map(|(addr, flags)| (*addr, *flags));
        let added: Vec<(SocketAddr, u8)> = fresh.collect();
        let gone = self.told.iter().filter(|addr| !there.contains_key(addr));
        let dropped: Vec<SocketAddr> = gone.take(MAX_TOLD).copied().collect();
        if added.is_empty() && dropped.is_empty() {
            return None;
        }
        self.at = Some(now);
        self.told.extend(added.iter().map(|(addr, _)| addr));
        dropped.iter().for_each(|addr| _ = self.told.remove(addr));
        Some((added, dropped))
    }
}

impl Torrent {
    fn exchanges_peers(&self) -> bool {
        self.setup.pex && self.knows_content() && !self.content.private
    }

    pub(super) fn on_exchanged(
        &mut self,
        key: PeerKey,
        addrs: Vec<SocketAddr>,
        turn: &mut Turn<'_>,
    ) {
        if let Some(peer) = self.peers.get(&key).filter(|_| self.exchanges_peers()) {
            turn.remark(format!("{}: knows {} peers", peer.addr, addrs.len()));
            let teller = peer.addr.ip();
            let addrs = addrs.into_iter().filter(|addr| may_name(teller, *addr));
            self.on_addresses(addrs, Source::Pex, turn);
        }
    }

    /// Tells each peer that supports it, once a minute, which peers came and left.
    pub(super) fn tell_peers(&mut self, turn: &mut Turn<'_>) {
        if !self.exchanges_peers() {
            return;
        }
        let now = turn.now;
        let takers = self.peers.welcome();
        let takers = takers.filter(|(_, p)| p.pex.as_ref().is_some_and(|told| told.is_due(now)));
        let due: Vec<PeerKey> = takers.map(|(key, _)| key).collect();
        if due.is_empty() {
            return;
        }
        let connected = self.peers.welcome();
        let there: BTreeMap<SocketAddr, u8> = connected
            .filter_map(|(_, peer)| {
                let seed = peer.upload_only || peer.fetcher.have.is_full();
                let flags = (u8::from(seed) * SEED) | (u8::from(!peer.incoming) * REACHABLE);
                Some((peer.listens_at()?, flags))
            })
            .collect();
        for key in due {
            let Some(peer) = self.peers.get_mut(&key) else {
                continue;
            };
            let (itself, host) = (peer.listens_at(), peer.addr.ip());
            let told = peer.pex.as_mut();
            if let Some((added, dropped)) = told.and_then(|t| t.news(&there, host, itself, now)) {
                turn.send(key, Command::TellPeers { added, dropped });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 6881))
    }

    fn there(ns: &[u8]) -> BTreeMap<SocketAddr, u8> {
        ns.iter().map(|n| (addr(*n), *n)).collect()
    }

    #[test]
    fn each_is_told_once_that_it_came_and_once_that_it_went() {
        let (mut exchange, start) = (Exchange::default(), Instant::now());
        let mut news = |ns: &[u8], seconds| {
            let now = start + Duration::from_secs(seconds);
            let due = exchange.is_due(now);
            let news = exchange.news(&there(ns), addr(1).ip(), Some(addr(1)), now);
            (due, news)
        };
        assert_eq!(news(&[1], 0), (true, None), "it knows itself");
        assert_eq!(news(&[1, 2], 1), (true, Some((vec![(addr(2), 2)], vec![]))));
        assert_eq!(news(&[1, 2], 60), (false, None));
        let (due, both) = news(&[1, 3], 61);
        assert!(due);
        assert_eq!(both, Some((vec![(addr(3), 3)], vec![addr(2)])));
    }

    #[test]
    fn what_does_not_fit_comes_later() {
        let (mut exchange, now) = (Exchange::default(), Instant::now());
        let all: Vec<u8> = (2..=MAX_TOLD as u8 + 3).collect();
        let mut told = || exchange.news(&there(&all), addr(1).ip(), None, now);
        assert_eq!(told().unwrap().0.len(), MAX_TOLD);
        assert_eq!(told().unwrap().0.len(), all.len() - MAX_TOLD);
        assert_eq!(told(), None);
    }
}
