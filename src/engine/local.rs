//! Peers on the same network: the thread of local service discovery is started for the
//! first torrent that may use it, and what it finds goes to the torrent that it is about.
//! Part of the [`Engine`]'s loop.

use super::{Engine, News, Stage};
use crate::lsd;
use crate::report::Report;
use crate::swarm::Source;
use crate::types::{InfoHash, TorrentId};
use crossbeam_channel::unbounded;
use std::net::SocketAddr;
use std::time::Instant;

impl Engine<'_> {
    /// Announces a torrent on the local network.
    pub(super) fn announce_locally(&mut self, info_hash: InfoHash) {
        if self.lsd.is_none() {
            let (orders, to_obey) = unbounded();
            let news = self.news.clone();
            let found = move |torrent, addr| _ = news.send(News::Local(torrent, addr));
            if let Err(error) = lsd::spawn(self.port, self.config.bind, to_obey, found) {
                let message = format!("cannot look for peers on the local network: {error}");
                self.reporter.report(Report::Detail { level: 1, message });
            }
            // If it failed, nobody will ever hear what is sent there.
            self.lsd = Some(orders);
        }
        if let Some(orders) = &self.lsd {
            let _ = orders.send(lsd::Order::Announce(info_hash));
        }
    }

    /// No longer announces it.
    pub(super) fn leave_locally(&mut self, info_hash: InfoHash) {
        if let Some(orders) = &self.lsd {
            let _ = orders.send(lsd::Order::Leave(info_hash));
        }
    }

    /// Somebody on the local network has the torrent, too.
    pub(super) fn on_local_peer(&mut self, info_hash: InfoHash, addr: SocketAddr) {
        let mut works = self.works.iter_mut().enumerate();
        let Some((index, work)) = works.find(|(_, work)| work.info_hash == info_hash) else {
            return;
        };
        let Stage::Running(running) = &mut work.stage else {
            return;
        };
        let mut actions = Vec::new();
        let torrent = &mut running.torrent;
        torrent.on_addresses([addr], Source::Lsd, Instant::now(), &mut actions);
        self.perform(TorrentId(index as u32), actions);
    }
}
