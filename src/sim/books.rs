//! Compares what a node believes with the truth, and what it requests with what it may, if
//! [`Swarm::checked`] asks for it. A broken rule is a fault of the client, so this panics.

use super::Swarm;
use crate::messages::Command;
use crate::types::PeerKey;

impl Swarm {
    /// Notes which blocks are on order where. A block is on order at one peer only, unless the
    /// others have been told to forget it. In the endgame it is on order at two, or at a few if
    /// those two send nothing.
    pub(super) fn note_order(&mut self, index: usize, key: PeerKey, command: &Command) {
        let checked = self.checks.is_some();
        let node = &mut self.nodes[index];
        let blocks = |span: &crate::layout::Span| {
            let piece = span.piece();
            span.numbers().map(move |number| (piece, number))
        };
        match command {
            Command::Cancel(spans) => {
                let blocks = spans.iter().flat_map(blocks);
                node.cancelled
                    .extend(blocks.map(|(piece, n)| (key, piece, n)));
            }
            Command::Fetch(spans) => {
                let endgame = node.torrent.is_endgame();
                for (piece, number) in spans.iter().flat_map(blocks) {
                    let holders = node.orders.entry((piece, number)).or_default();
                    if checked {
                        assert!(!node.torrent.have().has(piece), "had already");
                        assert!(!holders.contains(&key), "asked of the same peer twice");
                        let lost = |at: &PeerKey| node.cancelled.contains(&(*at, piece, number));
                        assert!(endgame || holders.iter().all(lost), "asked twice");
                        assert!(holders.len() < 4, "asked of five");
                    }
                    holders.push(key);
                }
            }
            _ => {}
        }
    }

    /// Checks the picker's books after each event of a small torrent. A large torrent's books take
    /// long to check.
    pub(super) fn check_books(&mut self, index: usize) {
        let blocks = self.nodes[index].disk.len() as u64;
        if let Some(checks) = &mut self.checks {
            *checks += 1;
            if checks.is_multiple_of(1 + blocks / 64) {
                self.nodes[index].torrent.check();
            }
        }
    }

    /// A node that was never restarted has at most the bytes that came to it.
    pub(super) fn check_bytes(&self, index: usize) {
        let node = &self.nodes[index];
        if self.checks.is_some() && !node.role.seed && node.life == 0 {
            let had = node.torrent.have_bytes();
            let came = node.torrent.progress(self.at()).downloaded_bytes;
            assert!(had <= came, "has {had}, {came} came");
        }
    }

    /// Panics unless `node` knows which pieces its peers have, and counts them right. Takes long
    /// for a large torrent.
    pub fn check_knowledge(&self, node: usize) {
        let index = node;
        let node = &self.nodes[index];
        node.torrent.check_availability();
        for (key, side) in &node.sides {
            let theirs = self.nodes[side.other.0].torrent.have();
            if let Some(known) = node.torrent.known_of(*key) {
                let name = &node.figures.name;
                let truth = known.iter().all(|piece| theirs.has(piece));
                assert!(truth, "{name} believes too much of {}", side.other.0);
            }
        }
    }
}
