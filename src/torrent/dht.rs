//! When a torrent looks for peers in the DHT ([BEP 5]), and what it does with them.
//!
//! A look-up costs some dozens of datagrams. So there is one every 15 minutes, but four in the
//! first minute while no peer is connected. A private torrent is never looked up. While the
//! metadata is unknown, the torrent may be private: we look for peers but do not announce
//! ourselves.
//!
//! [BEP 5]: https://www.bittorrent.org/beps/bep_0005.html

use super::{Action, Torrent, Turn};
use crate::swarm::Source;
use crate::types::PeerKey;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The pauses between the first look-ups while no peer is connected: they begin after 0, 5, 30 and
/// 60 seconds.
const LONELY_PAUSES: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(25),
    Duration::from_secs(30),
];

/// The pause after any other look-up. Nodes forget us after half an hour.
const PAUSE: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Default)]
pub(super) struct Lookups {
    last: Option<Instant>,
    count: usize,
    announced: bool,
    pub(super) nodes: usize,
}

impl Lookups {
    /// Whether it is time for the next look-up, and counts it as begun.
    fn begin(&mut self, lonely: bool, announce: bool, now: Instant) -> bool {
        let lonely_pause = LONELY_PAUSES.get(self.count.wrapping_sub(1));
        let pause = lonely_pause.filter(|_| lonely).unwrap_or(&PAUSE);
        let since = self.last.map(|last| now.duration_since(last));
        let due = since.is_none_or(|since| since >= *pause) || announce && !self.announced;
        if due {
            self.last = Some(now);
            self.count += 1;
            self.announced |= announce;
        }
        due
    }
}

impl Torrent {
    /// Whether the torrent uses the DHT.
    pub fn uses_dht(&self) -> bool {
        self.setup.dht && !self.content.private
    }

    pub(super) fn search_dht(&mut self, turn: &mut Turn<'_>) {
        let lonely = self.peers.is_lonely();
        let announce = self.knows_content();
        if self.uses_dht() && self.dht.begin(lonely, announce, turn.now) {
            turn.push(Action::SearchDht { announce });
        }
    }

    /// A look-up in the DHT found peers.
    pub fn on_dht_peers(&mut self, addrs: Vec<SocketAddr>, turn: &mut Turn<'_>) {
        // The look-up may have begun before we knew that the torrent is private.
        if self.uses_dht() {
            let text = format!("the DHT named {} peers", addrs.len());
            turn.remark(text);
            self.on_addresses(addrs, Source::Dht, turn);
        }
    }

    /// The DHT's threads know this many nodes.
    pub fn on_dht_nodes(&mut self, nodes: usize) {
        self.dht.nodes = nodes;
    }

    /// A peer has said that its DHT node listens on this port.
    pub(super) fn on_dht_port(&mut self, key: PeerKey, port: u16, turn: &mut Turn<'_>) {
        if let Some(peer) = self.peers.get(&key).filter(|_| self.uses_dht()) {
            turn.push(Action::EnterDht(SocketAddr::new(peer.addr.ip(), port)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns when look-ups begin within an hour, in seconds, if the first peer connects after
    /// `peers_from` seconds.
    fn begun(peers_from: u64) -> Vec<u64> {
        let (mut lookups, start) = (Lookups::default(), Instant::now());
        let due = |second: &u64| {
            lookups.begin(
                *second < peers_from,
                true,
                start + Duration::from_secs(*second),
            )
        };
        (0..3600).filter(due).collect()
    }

    #[test]
    fn often_while_there_are_no_peers() {
        assert_eq!(begun(3600), [0, 5, 30, 60, 960, 1860, 2760]);
        assert_eq!(begun(0), [0, 900, 1800, 2700]);
        assert_eq!(begun(10), [0, 5, 905, 1805, 2705]);
    }

    #[test]
    fn others_are_told_of_us_once_that_is_known_to_be_right() {
        let (mut lookups, start) = (Lookups::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(lookups.begin(true, false, at(0)));
        assert!(!lookups.begin(false, false, at(1)));
        assert!(lookups.begin(false, true, at(2)), "the metadata came");
        assert!(!lookups.begin(false, true, at(3)));
    }
}
