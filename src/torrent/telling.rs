//! What a torrent tells the user of itself: how it goes, and why nothing comes.

use super::peers::Peer;
use super::{Phase, Torrent};
use crate::human;
use crate::report::Progress;
use std::time::Instant;

impl Torrent {
    /// How it goes.
    pub fn progress(&self, now: Instant) -> Progress {
        let connected = self.peers.values().filter(|peer| peer.welcome);
        let download_rate = self.down.get(now) as u64;
        let incomplete = self.is_incomplete() || self.phase == Phase::Stalled;
        let nothing_comes = incomplete && download_rate < 1;
        Progress {
            info_hash: self.setup.info_hash,
            have_bytes: self.have_bytes,
            wanted_bytes: self.wanted_bytes,
            download_rate,
            upload_rate: self.up.get(now) as u64,
            peers: connected.clone().count(),
            seeds: connected.filter(|peer| peer.have.is_full()).count(),
            downloaded_bytes: self.downloaded,
            uploaded_bytes: self.uploaded,
            idle: nothing_comes.then(|| self.why_idle()),
        }
    }

    /// The line that says why nothing comes.
    pub fn why_idle(&self) -> String {
        let connected: Vec<&Peer> = self.peers.values().filter(|peer| peer.welcome).collect();
        let count =
            |test: &dyn Fn(&Peer) -> bool| connected.iter().filter(|peer| test(peer)).count();
        if !self.knows_content() && !connected.is_empty() {
            return self.what_is_learnt(connected.len());
        }
        if !connected.is_empty() {
            let useful = count(&|peer| peer.useful > 0);
            let choking = count(&|peer| peer.useful > 0 && peer.peer_chokes);
            let peers = |n: usize| human::count(n as u64, "peer");
            return match useful {
                0 => format!(
                    "{}, none with anything that is missing",
                    peers(connected.len())
                ),
                _ if choking == useful => format!("waiting for {} to let us in", peers(useful)),
                _ => format!("{} asked, nothing comes", peers(useful)),
            };
        }
        let trackers = self.announcer.summary();
        let (known, failed) = self.swarm.counts();
        let mut text = match known {
            0 => "no peers".to_owned(),
            _ => format!("no peers connected of {known} known, {failed} cannot be reached"),
        };
        let mut sources = Vec::new();
        if trackers.trackers > 0 {
            let error = self.announcer.last_errors().next();
            sources.push(match error.filter(|_| trackers.answered == 0) {
                Some(error) => format!("{trackers} ({error})"),
                None => trackers.to_string(),
            });
        } else if known == 0 {
            sources.push("the torrent names no tracker".into());
        }
        if self.uses_dht() {
            let nodes = human::count(self.dht.nodes as u64, "node");
            sources.push(format!("DHT {nodes}"));
        }
        if !sources.is_empty() {
            text += &format!(": {}", sources.join(", "));
        }
        if trackers.trackers == 0 && known == 0 && self.dht.nodes == 0 {
            text += "; name a peer with --peer or a tracker with --tracker";
        }
        text
    }
}
