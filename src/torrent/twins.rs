//! Two connections with the same peer id: which of them stays.
//!
//! A peer chooses its peer id, the 20 bytes in its handshake ([BEP 3]), so that alone says nothing:
//! a stranger may come with the peer id of a seed that we are connected to. Only the same peer id
//! at the same [host](crate::address::Host) is the same peer, connected twice. How that came about
//! decides what we do:
//!
//! - **We dialled two ports:** these are two programs, whatever ids they send. Both stay.
//! - **It dialled us twice:** it lost the first connection. If we have noticed, because it owes us
//!   blocks and has sent none for 20 s, the new one stays. Else the old one does: nobody can take
//!   the place of a peer that gives.
//! - **Each dialled the other:** often at the same time, because a third peer told both about each
//!   other. Each end learns of the two connections in its own order, and counts on its own what came
//!   over them. If both ends hung up on one of the two, each could choose the one that the other
//!   keeps, and both would be lost. So only the end with the lower peer id decides, after 1 s: it
//!   hangs up on the connection that moved less. Until then both stay, because some other clients
//!   decide at once, whatever their id. Others never do; therefore the end with the higher peer id
//!   decides after 10 s.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use super::fetcher::Parting;
use super::peers::Peer;
use super::{Torrent, Turn};
use crate::address::Host;
use crate::types::{PeerId, PeerKey};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long after both handshakes the end with the lower peer id hangs up on one of two
/// connections.
const LOWER_DECIDES: Duration = Duration::from_secs(1);

/// The same for the end with the higher peer id, if the other has not. Both ends hear of a
/// connection within seconds of each other.
const HIGHER_DECIDES: Duration = Duration::from_secs(10);

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
        let decides = |peer: &Peer| {
            let after = match self.setup.peer_id < peer.id {
                true => LOWER_DECIDES,
                false => HIGHER_DECIDES,
            };
            turn.now.duration_since(peer.since) >= after && peer.fetcher.parting.is_none()
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
        let moved = |peer: &Peer| peer.fetcher.gave + peer.took;
        let goes = pairs.filter_map(|pair| {
            let least = pair
                .into_iter()
                .min_by_key(|(key, p)| (moved(p), Reverse(*key)));
            least.map(|(key, _)| key)
        });
        for key in goes.collect::<Vec<_>>() {
            self.part_twin(key, turn);
        }
    }

    fn part_twin(&mut self, key: PeerKey, turn: &mut Turn<'_>) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.fetcher.part(key, Parting::Twin, turn);
            // A peer that gave something is worth another dial when the other connection ends.
            peer.fetcher.useless = !peer.is_used();
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
