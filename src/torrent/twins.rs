//! Two connections with the same peer id: which of them stays.
//!
//! A peer chooses its peer id, the 20 bytes in its handshake ([BEP 3]), so that alone says nothing:
//! a stranger may come with the peer id of a seed that we are connected to. Only the same peer id
//! at the same [host](crate::address::Host) is the same peer, connected twice. There are three
//! cases:
//!
//! - **We dialled two ports:** these are two programs, whatever ids they send. Both stay.
//! - **The peer dialled us twice:** the old connection stays, so that nobody can take the place of a
//!   peer that gives. Only if it is silent, because the peer owes us blocks and has sent none for
//!   20 s, the new one stays: the peer has probably lost the old one.
//! - **Each dialled the other.** If the old connection is silent, the new one stays. Otherwise both
//!   stay for now.
//!
//! The third case is the delicate one. A third peer may tell two peers about each other at the same
//! moment, and both dial. Each end learns of the two connections in its own order, and counts on its
//! own what came over them. If both ends hung up on one of the two at once, each could choose the
//! one that the other keeps, and both would be lost. So the end with the lower peer id decides,
//! after 1 s. It hangs up on a connection that is silent; else on the one over which the peer has
//! given less in the last seconds, or, if that is equal, got less; else on the newer one. Some other
//! clients decide sooner, whatever their id; then nothing is left to decide. Some never do;
//! therefore the end with the higher peer id decides after 30 s.
//!
//! The connection that stays keeps the address that we dialled *booked*: the
//! [`Swarm`](crate::swarm::Swarm) does not dial a peer that is connected.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use super::fetcher::Parting;
use super::peers::Peer;
use super::{Torrent, Turn};
use crate::address::Host;
use crate::types::{PeerId, PeerKey};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How long after it welcomed both connections the end with the lower peer id hangs up on one.
const LOWER_DECIDES: Duration = Duration::from_secs(1);

/// The same for the end with the higher peer id, if the other has not. It may have welcomed both
/// sooner by the 10 s for which the other waits for a handshake.
const HIGHER_DECIDES: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stays {
    Both,
    Old,
    New,
}

/// Returns which connection stays for now, when a second one has sent its handshake. `incoming`,
/// `old_incoming`: the peer began the new one, the old one. `silent`: over the old one, the peer
/// owes us blocks and has sent none for 20 s.
fn judge(old_incoming: bool, incoming: bool, silent: bool) -> Stays {
    match (old_incoming, incoming) {
        (false, false) => Stays::Both,
        _ if silent => Stays::New,
        (true, true) => Stays::Old,
        _ => Stays::Both,
    }
}

impl Torrent {
    /// Settles which connections stay when `key` has sent its handshake and has twins. Returns
    /// whether `key` stays.
    pub(super) fn part_from_twins(&mut self, key: PeerKey, turn: &mut Turn<'_>) -> bool {
        let Some(new) = self.peers.get(&key) else {
            return false;
        };
        let (who, incoming) = (new.who(), new.incoming);
        let twins = self.peers.welcome().filter(|(_, peer)| peer.is_twin(who));
        let judged: Vec<(PeerKey, Stays)> = twins
            .map(|(key, old)| (key, judge(old.incoming, incoming, old.fetcher.snubbed)))
            .collect();
        let goes = judged.iter().any(|(_, stays)| *stays == Stays::Old);
        match goes {
            true => self.part_twin(key, turn),
            false => {
                let old = judged.iter().filter(|(_, stays)| *stays == Stays::New);
                old.for_each(|(key, _)| self.part_twin(*key, turn));
            }
        }
        !goes
    }

    /// Hangs up on one of two connections with a peer that dialled us and that we dialled, when it
    /// is for us to decide.
    pub(super) fn part_crossed(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        let decides = |peer: &Peer| {
            let after = match self.setup.peer_id < peer.id {
                true => LOWER_DECIDES,
                false => HIGHER_DECIDES,
            };
            now.duration_since(peer.since) >= after && peer.fetcher.parting.is_none()
        };
        let old = self.peers.welcome().filter(|(_, peer)| decides(peer));
        let (theirs, ours): (Vec<_>, Vec<_>) = old.partition(|(_, peer)| peer.incoming);
        if theirs.is_empty() || ours.is_empty() {
            return;
        }
        let ours: BTreeMap<(Host, PeerId), _> = ours
            .into_iter()
            .map(|(key, peer)| (peer.who(), (key, peer)))
            .collect();
        let pairs = theirs
            .into_iter()
            .filter_map(|their| Some([their, *ours.get(&their.1.who())?]));
        let goes = pairs.filter_map(|pair| {
            let least = pair.into_iter().min_by_key(|(key, peer)| {
                let (down, up) = (peer.fetcher.down.get(now), peer.up.get(now));
                (!peer.fetcher.snubbed, down as u64, up as u64, Reverse(*key))
            });
            least.map(|(key, _)| key)
        });
        for key in goes.collect::<Vec<_>>() {
            self.part_twin(key, turn);
        }
    }

    fn part_twin(&mut self, key: PeerKey, turn: &mut Turn<'_>) {
        if let Some(fetcher) = self.peers.fetcher_mut(key) {
            fetcher.part(key, Parting::Twin, turn);
        }
    }

    /// A connection has ended. If the same peer stays connected, that connection keeps the address
    /// booked. Returns the address that is free to be dialled again.
    pub(super) fn unbook(&mut self, gone: &Peer) -> Option<SocketAddr> {
        let (booked, who) = (gone.booked?, gone.who());
        let stays = |peer: &Peer| gone.welcome && peer.is_twin(who) && peer.booked.is_none();
        let twin = self.peers.welcome_mut().find(|(_, peer)| stays(peer));
        match twin {
            Some((_, twin)) => {
                (twin.booked, twin.twin_was_used) = (Some(booked), gone.is_used());
                None
            }
            None => Some(booked),
        }
    }
}

impl Peer {
    /// Returns what makes it the same peer on two connections.
    fn who(&self) -> (Host, PeerId) {
        (self.host(), self.id)
    }

    fn is_twin(&self, who: (Host, PeerId)) -> bool {
        self.fetcher.parting.is_none() && self.who() == who
    }
}
