//! What goes wrong in life: lines break, disks fail, programs are killed.

use super::Swarm;
use super::node::Presence;
use crate::types::PeerKey;

impl Swarm {
    /// Breaks a connection of `node`, drawn by lot. Bytes on their way never arrive, and both ends
    /// find out at once.
    pub fn sever(&mut self, node: usize) {
        let count = self.nodes[node].sides.len();
        if count > 0 {
            let chosen = self.rng.usize(..count);
            let key = self.nodes[node].sides.keys().nth(chosen).copied();
            key.into_iter().for_each(|key| self.sever_one(node, key));
        }
    }

    fn sever_one(&mut self, index: usize, key: PeerKey) {
        let other = self.nodes[index].sides.get(&key).map(|side| side.other);
        self.close(index, key, "the line broke");
        if let Some((there, their_key)) = other {
            self.close(there, their_key, "the line broke");
        }
        self.settle();
    }

    /// Takes `node` away for good: its connections end.
    pub fn remove(&mut self, node: usize) {
        self.hang_up(node);
        self.nodes[node].presence = Presence::Gone;
        self.nodes[node].figures.left = Some(self.now);
    }

    /// Kills the program of `node` and starts it again, with what it had verified. It hears of
    /// others as when it joined.
    pub fn restart(&mut self, node: usize) {
        let (layout, at) = (self.layout.clone(), self.at());
        self.hang_up(node);
        self.nodes[node].renew(layout, at);
        self.begin(node);
        self.settle();
    }

    /// Ends all connections. Bytes on their way to this life never arrive in the next.
    fn hang_up(&mut self, index: usize) {
        // Peers that are dialled in place of those that left go, too.
        while let Some(key) = self.nodes[index].sides.keys().next().copied() {
            self.sever_one(index, key);
        }
        self.nodes[index].life += 1;
    }
}
