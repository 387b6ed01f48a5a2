//! Peer exchange ([BEP 11]): peers tell each other whom they are connected to. It costs a
//! message a minute, and is what fills a swarm up once the first peer is found.
//!
//! Told are only peers that we are connected to, each by the address that takes
//! connections, and each one that was told is also told to be gone. Of what comes in, the
//! [`Swarm`](crate::swarm::Swarm) makes the best: it bounds it, and trusts it least.
//! Neither is done for private torrents, nor before it is known that a torrent is not one.
//!
//! [BEP 11]: https://www.bittorrent.org/beps/bep_0011.html

use super::peers::Peer;
use super::{Action, Torrent, detail};
use crate::address::may_name;
use crate::door::names;
use crate::extension::pex::{MAX_TOLD, REACHABLE, SEED};
use crate::messages::Command;
use crate::swarm::Source;
use crate::types::PeerKey;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How often a peer is told: BEP 11 forbids more.
const EVERY: Duration = Duration::from_secs(60);

/// What a peer was told.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// The peers that it knows of by us.
    told: BTreeSet<SocketAddr>,
    /// When it was last told anything.
    at: Option<Instant>,
}

impl Torrent {
    /// Whether addresses are exchanged.
    pub fn exchanges_peers(&self) -> bool {
        self.setup.pex && self.knows_content() && !self.content.private
    }

    /// A peer told us of others.
    pub(super) fn on_exchanged(
        &mut self,
        key: PeerKey,
        addrs: Vec<SocketAddr>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        if let Some(peer) = self.peers.get(&key).filter(|_| self.exchanges_peers()) {
            let text = format!("{}: knows {} peers", peer.addr, addrs.len());
            let teller = peer.addr.ip();
            let addrs = addrs.into_iter().filter(|addr| may_name(teller, *addr));
            actions.push(detail(1, text));
            self.on_addresses(addrs, Source::Pex, now, actions);
        }
    }

    /// Tells those who take it, once a minute each, who came and who went.
    pub(super) fn tell_peers(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if !self.exchanges_peers() {
            return;
        }
        let due = |peer: &Peer| {
            let told = peer.pex.as_ref().filter(|_| peer.welcome);
            told.is_some_and(|told| told.at.is_none_or(|at| now.duration_since(at) >= EVERY))
        };
        if !self.peers.values().any(due) {
            return;
        }
        let connected = self.peers.values().filter(|peer| peer.welcome);
        let there: BTreeMap<SocketAddr, u8> = connected
            .filter_map(|peer| Some((listens_at(peer)?, flags(peer))))
            .collect();
        for (key, peer) in self.peers.iter_mut().filter(|(_, peer)| due(peer)) {
            let (itself, host) = (listens_at(peer), peer.addr.ip());
            let Some(exchange) = &mut peer.pex else {
                continue;
            };
            let fresh = there.iter().filter(|(addr, _)| {
                let of_use = Some(**addr) != itself && may_name(host, **addr);
                of_use && !exchange.told.contains(addr)
            });
            let added: Vec<(SocketAddr, u8)> = fresh
                .take(MAX_TOLD)
                .map(|(addr, flags)| (*addr, *flags))
                .collect();
            let gone = exchange
                .told
                .iter()
                .filter(|addr| !there.contains_key(addr));
            let dropped: Vec<SocketAddr> = gone.take(MAX_TOLD).copied().collect();
            if added.is_empty() && dropped.is_empty() {
                continue;
            }
            exchange.at = Some(now);
            exchange.told.extend(added.iter().map(|(addr, _)| addr));
            dropped
                .iter()
                .for_each(|addr| _ = exchange.told.remove(addr));
            actions.push(Action::Send(*key, Command::TellPeers { added, dropped }));
        }
    }
}

/// Where others can connect to the peer, if we know.
fn listens_at(peer: &Peer) -> Option<SocketAddr> {
    match peer.incoming {
        false => Some(peer.addr).filter(|addr| !names::is_stand_in(addr.ip())),
        true => Some(SocketAddr::new(
            peer.addr.ip().to_canonical(),
            peer.listens_on?,
        )),
    }
}

fn flags(peer: &Peer) -> u8 {
    let seed = peer.upload_only || peer.have.is_full();
    let reachable = !peer.incoming;
    (u8::from(seed) * SEED) | (u8::from(reachable) * REACHABLE)
}
