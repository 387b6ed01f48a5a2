//! What the user hears about a torrent: its progress, and why nothing comes.

use super::givers::Givers;
use super::{Phase, Torrent, Turn};
use crate::human;
use crate::proxy::Proxy;
use crate::report::{Idle, Progress, Tried, WebSeeds};
use std::time::Instant;

impl Torrent {
    /// Returns the progress at the very end, when all connections have been told to close.
    pub fn last_progress(&self, now: Instant) -> Progress {
        Progress {
            download_rate: 0,
            upload_rate: 0,
            peers: 0,
            seeds: 0,
            web_seeds: 0,
            ..self.progress(now)
        }
    }

    /// Returns the progress.
    pub fn progress(&self, now: Instant) -> Progress {
        let connected = self.peers.welcome();
        let phase = self.goals.phase();
        let download_rate = self.traffic.down.get(now) as u64;
        let incomplete = phase.is_incomplete() || phase == Phase::Stalled;
        let nothing_comes = incomplete && download_rate < 1;
        Progress {
            info_hash: self.setup.info_hash,
            have_bytes: self.have_bytes,
            wanted_bytes: self.wanted_bytes(),
            download_rate,
            upload_rate: self.traffic.up.get(now) as u64,
            peers: connected.clone().count(),
            seeds: connected.filter(|(_, p)| p.fetcher.have.is_full()).count(),
            web_seeds: self.web_seeds.open(),
            downloaded_bytes: self.traffic.downloaded,
            uploaded_bytes: self.traffic.uploaded,
            seeding: phase.is_seeding(),
            idle: nothing_comes.then(|| self.why_idle()),
        }
    }

    /// Returns what all peers gave, gone or connected.
    pub(super) fn givers(&self) -> Givers {
        let mut givers = self.traffic.givers.clone();
        for (_, peer) in self.peers.welcome() {
            givers.add(&peer.client(), peer.fetcher.gave);
        }
        for seed in self.peers.web_seeds.values() {
            givers.add(&self.web_seed_name(seed.index), seed.fetcher.gave);
        }
        givers
    }

    pub(super) fn tell_skipped(&self, turn: &mut Turn<'_>) {
        if let skipped @ 1.. = self.announcer.skipped() {
            let trackers = human::count(skipped as u64, "tracker");
            let text = format!("{trackers} not asked: for browsers only (ws://, wss://)");
            turn.remark(text);
        }
    }

    /// Returns why nothing comes.
    pub fn why_idle(&self) -> Idle {
        let connected = self.peers.welcome();
        if let n @ 1.. = connected.clone().count()
            && !self.knows_content()
        {
            return Idle::Learning(self.what_is_learnt(n));
        }
        let mut tried = Tried {
            short: self.ways.short,
            no_way: self
                .ways
                .obstacle(!self.peers.is_lonely())
                .map(str::to_owned),
            shut_out: self.ways.shut_out.clone(),
            proxy: self.setup.door.proxy.as_ref().map(Proxy::to_string),
            addresses: self.swarm.counts(),
            trackers: self.announcer.summary(),
            tracker_error: self.announcer.last_errors().next().map(str::to_owned),
            dht_nodes: self.uses_dht().then_some(self.dht.nodes),
            local: self.asks_locally(),
            false_piece: self.blame.worst(),
            web_seeds: match self.knows_content() {
                true => self.web_seeds.counts(),
                // Before we know the files, we can't ask web seeds for anything.
                false => WebSeeds::default(),
            },
            ..Tried::default()
        };
        for (_, peer) in connected {
            match peer.useful {
                0 => tried.no_use += 1,
                _ if peer.peer_chokes => tried.choking += 1,
                _ => tried.silent += 1,
            }
        }
        Idle::Tried(Box::new(tried))
    }
}
