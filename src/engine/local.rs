//! Finds peers on the local network ([BEP 14]). The thread of local service discovery
//! ([`crate::lsd`]) starts with the first torrent that may use it, and main hands each peer that it
//! finds to its torrent.
//!
//! [BEP 14]: https://www.bittorrent.org/beps/bep_0014.html

use super::starts::{Refused, Task};
use super::works::Stage;
use super::{Engine, News};
use crate::lsd;
use crate::swarm::Source;
use crate::types::InfoHash;
use crossbeam_channel::unbounded;
use std::net::SocketAddr;
use std::time::Instant;

impl Engine<'_> {
    pub(super) fn announce_locally(&mut self, info_hash: InfoHash) {
        let waits = |(_, task): &(Instant, Task)| matches!(task, Task::Local);
        match &self.lsd {
            Some(orders) => _ = orders.send(lsd::Order::Announce(info_hash)),
            None if self.later.iter().any(waits) => {} // and then it is announced with the rest
            None => self.begin(Task::Local),
        }
    }

    /// Starts the thread, and announces all torrents that may use it.
    pub(super) fn start_lsd(
        &mut self,
        lost: impl FnOnce() + Send + 'static,
    ) -> Result<(), Refused> {
        let groups = lsd::open(&self.config.door).map_err(Refused::Network)?;
        let (orders, to_obey) = unbounded();
        let news = self.news.clone();
        let found = move |torrent, addr| _ = news.send(News::Local(torrent, addr));
        lsd::spawn(groups, self.port, to_obey, found, lost)?;
        for work in self.works.iter() {
            if let Stage::Running(running) = &work.stage
                && running.torrent.asks_locally()
            {
                let _ = orders.send(lsd::Order::Announce(work.us.info_hash));
            }
        }
        self.lsd = Some(orders);
        Ok(())
    }

    pub(super) fn leave_locally(&mut self, info_hash: InfoHash) {
        if let Some(orders) = &self.lsd {
            let _ = orders.send(lsd::Order::Leave(info_hash));
        }
    }

    pub(super) fn on_local_peer(&mut self, info_hash: InfoHash, addr: SocketAddr) {
        if let Some(id) = self.works.by_hash(info_hash) {
            self.on_addresses(id, vec![addr], Source::Lsd);
        }
    }
}
