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
            web_seeds: self.web_seeds.open(),
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
        if self.web_seeds.open() > 0 {
            let open = human::count(self.web_seeds.open() as u64, "web seed");
            return format!("no peers, waiting for {open} to answer");
        }
        let trackers = self.announcer.summary();
        let (known, failed) = self.swarm.counts();
        let (web_seeds, web_error) = match self.knows_content() {
            true => self.web_seeds.summary(),
            // They are of no use before it is known what to ask them for.
            false => (0, None),
        };
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
        } else if known == 0 && web_seeds == 0 {
            text += ": the torrent names no tracker; name a peer with --peer or a tracker with --tracker";
        }
        if web_seeds > 0 {
            let web_seeds = human::count(web_seeds as u64, "web seed");
            text += &format!("; {web_seeds}, of no use just now");
            text += &web_error.map_or_else(String::new, |error| format!(" ({error})"));
        }
        text
    }
}
