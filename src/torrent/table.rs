//! The connections of a torrent: its peers, and the web seeds in use, which get work as peers do
//! and count for nothing else.

use super::blame::Who;
use super::fetcher::Fetcher;
use super::peers::Peer;
use super::web::WebSeed;
use crate::types::PeerKey;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

/// A map of the peers, including those being dialled, with the web seeds beside it.
#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: BTreeMap<PeerKey, Peer>,
    pub(super) web_seeds: BTreeMap<PeerKey, WebSeed>,
}

impl Peers {
    /// Returns the peers that main has welcomed: only these are called connected.
    pub(super) fn welcome(&self) -> impl Iterator<Item = (PeerKey, &Peer)> + Clone {
        let all = self.peers.iter().map(|(key, peer)| (*key, peer));
        all.filter(|(_, peer)| peer.welcome)
    }

    pub(super) fn welcome_mut(&mut self) -> impl Iterator<Item = (PeerKey, &mut Peer)> {
        let all = self.peers.iter_mut().map(|(key, peer)| (*key, peer));
        all.filter(|(_, peer)| peer.welcome)
    }

    pub(super) fn leeches(&self) -> impl Iterator<Item = &Peer> + Clone {
        let welcome = self.welcome().map(|(_, peer)| peer);
        welcome.filter(|peer| !peer.fetcher.have.is_full())
    }

    pub(super) fn is_lonely(&self) -> bool {
        self.welcome().next().is_none()
    }

    /// Whether no connection is left from which data may still come; one that is being dialled
    /// sends nothing.
    pub(super) fn no_giver_left(&self) -> bool {
        self.is_lonely() && self.web_seeds.is_empty()
    }

    /// Returns all that may be given work: first the peers, then the web seeds.
    pub(super) fn fetchers(&self) -> impl Iterator<Item = (PeerKey, &Fetcher)> {
        let peers = self.peers.iter().map(|(key, peer)| (*key, &peer.fetcher));
        let seeds = self.web_seeds.iter();
        peers.chain(seeds.map(|(key, seed)| (*key, &seed.fetcher)))
    }

    pub(super) fn fetchers_mut(&mut self) -> impl Iterator<Item = (PeerKey, &mut Fetcher)> {
        let peers = self.peers.iter_mut();
        let peers = peers.map(|(key, peer)| (*key, &mut peer.fetcher));
        let seeds = self.web_seeds.iter_mut();
        peers.chain(seeds.map(|(key, seed)| (*key, &mut seed.fetcher)))
    }

    pub(super) fn fetcher_mut(&mut self, key: PeerKey) -> Option<&mut Fetcher> {
        match self.peers.get_mut(&key) {
            Some(peer) => Some(&mut peer.fetcher),
            None => Some(&mut self.web_seeds.get_mut(&key)?.fetcher),
        }
    }

    pub(super) fn who(&self, key: PeerKey) -> Option<Who> {
        match self.peers.get(&key) {
            Some(&Peer { addr, incoming, .. }) => Some(Who::Peer { addr, incoming }),
            None => Some(Who::WebSeed(self.web_seeds.get(&key)?.index)),
        }
    }
}

impl Deref for Peers {
    type Target = BTreeMap<PeerKey, Peer>;

    fn deref(&self) -> &Self::Target {
        &self.peers
    }
}

impl DerefMut for Peers {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.peers
    }
}
