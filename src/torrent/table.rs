//! The connections of a torrent, and the questions that are asked of all of them.

use super::peers::Peer;
use crate::types::PeerKey;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

/// Those that we talk to, web seeds among them.
#[derive(Debug, Default)]
pub(super) struct Peers(BTreeMap<PeerKey, Peer>);

impl Peers {
    /// Those that main has welcomed: they are what is called connected.
    pub(super) fn welcome(&self) -> impl Iterator<Item = (PeerKey, &Peer)> + Clone {
        let all = self.0.iter().map(|(key, peer)| (*key, peer));
        all.filter(|(_, peer)| peer.welcome)
    }

    /// The same, to be changed.
    pub(super) fn welcome_mut(&mut self) -> impl Iterator<Item = (PeerKey, &mut Peer)> {
        let all = self.0.iter_mut().map(|(key, peer)| (*key, peer));
        all.filter(|(_, peer)| peer.welcome)
    }

    /// Those of them that lack pieces.
    pub(super) fn leeches(&self) -> impl Iterator<Item = &Peer> + Clone {
        let welcome = self.welcome().map(|(_, peer)| peer);
        welcome.filter(|peer| !peer.have.is_full())
    }

    /// Whether nobody is connected.
    pub(super) fn is_lonely(&self) -> bool {
        self.welcome().next().is_none()
    }

    /// Those that are no web seeds: they take places, also while they are being dialled.
    pub(super) fn places(&self) -> impl Iterator<Item = (PeerKey, &Peer)> + Clone {
        let all = self.0.iter().map(|(key, peer)| (*key, peer));
        all.filter(|(_, peer)| peer.web.is_none())
    }

    /// Whether no connection is left from which data may still come. Those that are just
    /// being dialled give nothing.
    pub(super) fn no_giver_left(&self) -> bool {
        self.0.values().all(|peer| !peer.gives())
    }
}

impl Deref for Peers {
    type Target = BTreeMap<PeerKey, Peer>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Peers {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
