//! Finds peers through the DHT ([BEP 5]). Its threads ([`crate::dht`]) start when a torrent first
//! asks for peers: a run of private torrents opens no socket for it. Main hands the peers that they
//! find to their torrent.
//!
//! [BEP 5]: https://www.bittorrent.org/beps/bep_0005.html

use super::{Engine, News};
use crate::dht::{Dht, DhtNews, DhtSettings};
use crate::human::count;
use crate::report::Report;
use crate::threads::fault;
use crate::types::TorrentId;

/// The most nodes that we take from one torrent. It should name 8.
const NODES_OF_A_TORRENT: usize = 16;

impl Engine<'_> {
    /// Looks up peers of a torrent. `announce`: also announces us.
    pub(super) fn search_dht(&mut self, id: TorrentId, announce: bool) {
        let work = &self.works[id];
        let (info_hash, port) = (work.us.info_hash, announce.then_some(self.port));
        let nodes = work.job.dht_nodes().take(NODES_OF_A_TORRENT);
        let nodes: Vec<(String, u16)> = nodes.cloned().collect();
        if let Some(dht) = self.dht() {
            for (host, port) in &nodes {
                dht.node_of_torrent(host, *port);
            }
            dht.search(info_hash, port);
        }
        self.tell_dht_nodes();
    }

    /// Returns the DHT, whose threads are started if need be, or `None` if they can't be.
    pub(super) fn dht(&mut self) -> Option<&mut Dht> {
        if self.dht.is_none() && self.config.sources.dht {
            let settings = DhtSettings {
                door: self.config.door.clone(),
                port: self.port,
                nodes: self.config.dht_nodes.clone(),
            };
            let news = self.news.clone();
            match Dht::start(&settings, move |told| _ = news.send(News::Dht(told))) {
                Ok(dht) => self.dht = Some(dht),
                Err(error) => self.warn_once(format!(
                    "no DHT for now: {error}; it is tried again at the next look-up"
                )),
            }
        }
        self.dht.as_mut()
    }

    pub(super) fn on_dht(&mut self, news: DhtNews) {
        match news {
            DhtNews::Peers(info_hash, peers) => {
                if let Some(id) = self.works.by_hash(info_hash) {
                    self.tell_running(id, |torrent, turn| torrent.on_dht_peers(peers, turn));
                }
            }
            DhtNews::Ended {
                info_hash,
                v6,
                peers,
                announced,
            } => self.reporter.report(Report::Remark(format!(
                "DHT over IPv{}: found {} of {info_hash}, told {} of us",
                if v6 { 6 } else { 4 },
                count(peers as u64, "peer"),
                count(announced as u64, "node"),
            ))),
            DhtNews::Known { v6, nodes } => {
                self.dht_nodes[usize::from(v6)] = nodes;
                self.tell_dht_nodes();
            }
            DhtNews::Lost => {
                self.dht = None;
                self.dht_nodes = [0; 2];
                let message = fault("ask the DHT") + "; it is started again at the next look-up";
                self.warn_once(message);
                self.tell_dht_nodes();
            }
            DhtNews::Unresolved {
                name,
                by_user,
                error,
            } => {
                let message = format!(
                    "cannot look up the DHT node {name}: {error}; it is tried again now and then"
                );
                self.reporter.report(match by_user {
                    true => Report::Warning {
                        info_hash: None,
                        message,
                    },
                    false => Report::Remark(message),
                });
            }
        }
    }

    fn tell_dht_nodes(&mut self) {
        let nodes = self.dht_nodes.iter().sum();
        for (_, running) in self.works.all_running() {
            running.torrent.on_dht_nodes(nodes);
        }
    }
}
