//! What a torrent tells the user of itself: how it goes, and why nothing comes.

use super::peers::Peer;
use super::{Action, Phase, Torrent, detail};
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

    /// Trackers that are passed over without being asked.
    pub(super) fn tell_skipped(&self, actions: &mut Vec<Action>) {
        if let skipped @ 1.. = self.announcer.skipped() {
            let trackers = human::count(skipped as u64, "tracker");
            let text = format!("{trackers} not asked: for browsers only (ws://, wss://)");
            actions.push(detail(1, text));
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
        if trackers.trackers > 0 {
            text += &format!(": {trackers}");
            let error = self.announcer.last_errors().next();
            if let Some(error) = error.filter(|_| trackers.answered == 0) {
                text += &format!(" ({error})");
            }
        } else if known == 0 {
            text += ": the torrent names no tracker; name a peer with --peer or a tracker with --tracker";
        }
        text
    }
}
