//! What only the simulator ([`sim`](crate::sim)) looks at, to compare what a torrent believes with
//! the truth.

use super::Torrent;
use crate::bitfield::Bitfield;
use crate::types::PeerKey;
use std::net::SocketAddr;

impl Torrent {
    /// Panics if the books of the picker contradict each other. Takes time in proportion to the
    /// number of pieces.
    pub fn check(&self) {
        self.picker.check();
    }

    /// Panics if the picker does not count for each piece how many peers have it. Takes time in
    /// proportion to the number of pieces and peers.
    pub(crate) fn check_availability(&self) {
        for piece in self.content.layout.all_pieces() {
            let has = |have: &&Bitfield| !have.is_full() && have.has(piece);
            let peers = self.peers.values().map(|peer| &peer.fetcher.have);
            let truth = peers.filter(has).count();
            assert_eq!(self.picker.available(piece) as usize, truth, "{piece:?}");
        }
    }

    pub(crate) fn is_endgame(&self) -> bool {
        self.picker.all_granted()
    }

    /// Returns the pieces that the connected peer `key` says it has.
    pub(crate) fn known_of(&self, key: PeerKey) -> Option<&Bitfield> {
        let peer = self.peers.get(&key).filter(|peer| peer.welcome);
        peer.map(|peer| &peer.fetcher.have)
    }

    /// Whether connections to `addr`, or from its host, are refused because it sent false data.
    pub(crate) fn bans(&self, addr: SocketAddr) -> bool {
        self.swarm.is_banned(addr, false) || self.swarm.is_banned(addr, true)
    }

    pub(crate) fn dialled(&self) -> u64 {
        self.swarm.dialled()
    }
}
