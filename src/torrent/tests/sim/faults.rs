//! What goes wrong in life: lines break, disks fail, programs restart.

use super::*;

impl World {
    /// Breaks a random connection of `index`: what was on its way never arrives, and both ends find
    /// out at once.
    pub(crate) fn sever_one(&mut self, index: usize) {
        let count = self.nodes[index].sides.len();
        if count > 0 {
            let chosen = self.rng.usize(..count);
            let key = self.nodes[index].sides.keys().nth(chosen).copied();
            key.into_iter().for_each(|key| self.sever(index, key));
        }
    }

    fn sever(&mut self, index: usize, key: PeerKey) {
        let other = self.nodes[index].sides.get(&key).map(|side| side.other);
        self.close(index, key, "the line broke");
        if let Some((there, their_key)) = other {
            self.close(there, their_key, "the line broke");
        }
        self.settle();
    }

    /// The disk of `index` fails: its connections end, and it never returns.
    pub(crate) fn fail(&mut self, index: usize) {
        self.hang_up(index);
        self.nodes[index].dead = true;
    }

    /// The program of `index` is killed and restarted. It has what it had verified, and knows
    /// nobody.
    pub(crate) fn restart(&mut self, index: usize) {
        self.hang_up(index);
        let node = &self.nodes[index];
        let have = node.torrent.have().clone();
        let torrent = self.new_torrent(index, have, node.max_peers);
        let node = &mut self.nodes[index];
        node.torrent = torrent;
        node.complete_at = None;
        node.orders.clear();
        node.cancelled.clear();
        node.fooled_by.clear();
        self.join(index);
        self.settle();
    }

    /// Ends all connections. What was on its way to this life never arrives in the next.
    fn hang_up(&mut self, index: usize) {
        // Peers that are dialled in place of those that left go, too.
        while let Some(key) = self.nodes[index].sides.keys().next().copied() {
            self.sever(index, key);
        }
        self.nodes[index].life += 1;
    }
}
