//! The decisions of a torrent in virtual time. [`sim`] plays whole swarms.

use super::*;

mod sim;
mod swarm;

fn setup(layout: Arc<Layout>, have: Bitfield) -> Setup {
    Setup {
        info_hash: InfoHash([7; 20]),
        peer_id: PeerId([5; 20]),
        wanted_files: vec![true; layout.files()],
        layout,
        have,
        trackers: Vec::new(),
        private: false,
        port: 6881,
        max_peers: 50,
        sequential: false,
        afterwards: Afterwards::Leave,
        stall_timeout: None,
        seed: 1,
    }
}
