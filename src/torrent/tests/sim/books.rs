//! Compares what a node believes with the truth, and what it requests with what it may.

use super::*;

impl World {
    /// A block is on order at one peer, and at others only if they have been told to forget it. In
    /// the endgame it is on order at two, or at a few if those two turn out to send nothing.
    pub(super) fn check_orders(&mut self, index: usize, key: PeerKey, spans: &[Span]) {
        let node = &mut self.nodes[index];
        let endgame = node.torrent.picker.all_granted();
        for span in spans {
            assert!(!node.torrent.have().has(span.piece()), "had already");
            for number in span.numbers() {
                let holders = node.orders.entry((span.piece(), number)).or_default();
                assert!(!holders.contains(&key), "asked of the same peer twice");
                let lost = |at: &PeerKey| node.cancelled.contains(&(*at, span.piece(), number));
                assert!(endgame || holders.iter().all(lost), "asked twice");
                holders.push(key);
                assert!(holders.len() <= 4, "asked of five");
            }
        }
    }

    /// Checks the picker's books after each event of a small torrent. The books of a large torrent
    /// take long to check, and it has more events to choose from.
    pub(super) fn check_books(&mut self, index: usize) {
        self.checks += 1;
        let blocks = self.nodes[index].disk.len() as u64;
        if self.checks.is_multiple_of(1 + blocks / 64) {
            self.nodes[index].torrent.picker.check();
        }
    }

    /// Compares what the peers of `index` have with what its picker counts.
    pub(crate) fn check_availability(&self, index: usize) {
        let node = &self.nodes[index];
        for piece in self.layout.all_pieces() {
            let truth = node
                .torrent
                .peers
                .values()
                .filter(|peer| !peer.fetcher.have.is_full() && peer.fetcher.have.has(piece))
                .count();
            assert_eq!(
                node.torrent.picker.available(piece) as usize,
                truth,
                "node {index}, piece {}",
                piece.get()
            );
        }
    }

    /// Compares what the peers of `index` say they have with what they have.
    pub(crate) fn check_known(&self, index: usize) {
        let node = &self.nodes[index];
        for (key, peer) in node.torrent.peers.iter() {
            let other = node.sides.get(key).map(|side| side.other.0);
            if let Some(other) = other.filter(|_| peer.welcome) {
                let theirs = self.nodes[other].torrent.have();
                assert!(
                    peer.fetcher.have.iter().all(|piece| theirs.has(piece)),
                    "node {index} believes too much of {other}"
                );
            }
        }
    }
}
