//! Two connections with the same peer id: which of them stays.
//!
//! A peer chooses its peer id, the 20 bytes in its handshake ([BEP 3]), so that alone says nothing:
//! a stranger may come with the peer id of a seed that we are connected to. Only the same peer id
//! at the same [host](crate::address::Host) is the same peer, connected twice: because both dialled
//! at once, or because it lost the first connection and we have not noticed. We keep one of the
//! two, and never drop the one over which the peer gives us data.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use super::fetcher::Parting;
use super::peers::Peer;
use super::{Torrent, Turn};
use crate::types::PeerKey;
use std::time::{Duration, Instant};

/// Two connections younger than this may have been dialled at the same time.
const YOUNG: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stays {
    Both,
    Old,
    New,
}

/// What matters about a connection that exists already.
#[derive(Clone, Copy, Debug)]
struct Old {
    incoming: bool,
    young: bool,
    used: bool,
    /// The peer owes us blocks and has sent none for 20 s.
    silent: bool,
}

/// Returns which connection stays. `incoming`: the peer began the new one. `we_are_lower`: our peer
/// id is lower than its.
fn judge(old: Old, incoming: bool, we_are_lower: bool) -> Stays {
    if !old.incoming && !incoming {
        // We dialled two ports: these are two programs, whatever ids they send.
        Stays::Both
    } else if old.silent {
        Stays::New
    } else if old.young && !old.used && old.incoming != incoming && incoming != we_are_lower {
        // Both dialled at once. Both sides must keep the same connection: the one that the lower
        // peer id began.
        Stays::New
    } else {
        Stays::Old
    }
}

impl Torrent {
    /// Settles which connections stay when `key` has sent its handshake and has twins. Returns
    /// whether `key` stays.
    pub(super) fn part_from_twins(&mut self, key: PeerKey, turn: &mut Turn<'_>) -> bool {
        let Some(new) = self.peers.get(&key) else {
            return false;
        };
        let (id, incoming, host) = (new.id, new.incoming, new.host());
        let we_are_lower = self.setup.peer_id.0 < id.0;
        let is_twin = |peer: &Peer| !peer.fetcher.useless && peer.id == id && peer.host() == host;
        let twins = self.peers.welcome().filter(|(_, peer)| is_twin(peer));
        let judged: Vec<(PeerKey, Stays)> = twins
            .map(|(key, peer)| (key, judge(peer.as_old(turn.now), incoming, we_are_lower)))
            .collect();
        let goes = judged.iter().any(|(_, stays)| *stays == Stays::Old);
        let losers: Vec<PeerKey> = match goes {
            true => vec![key],
            false => {
                let old = judged.iter().filter(|(_, stays)| *stays == Stays::New);
                old.map(|(key, _)| *key).collect()
            }
        };
        for loser in losers {
            if let Some(peer) = self.peers.get_mut(&loser) {
                peer.fetcher.part(loser, Parting::Twin, turn);
                // A peer that gave something is worth another dial when the other connection ends.
                peer.fetcher.useless = !peer.is_used();
            }
        }
        !goes
    }
}

impl Peer {
    fn as_old(&self, now: Instant) -> Old {
        Old {
            incoming: self.incoming,
            young: now.duration_since(self.since) < YOUNG,
            used: self.is_used(),
            silent: self.fetcher.snubbed,
        }
    }
}
