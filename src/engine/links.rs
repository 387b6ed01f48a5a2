//! Peers, as main reaches them: a thread for each, and a channel to it.
//!
//! A connection that somebody else made belongs to no torrent until its handshake names
//! one; here it is handed over. What a peer's thread tells goes to the torrent that it is
//! about, and that torrent's orders go back. Part of the [`Engine`]'s loop.

use super::strangers::{Entry, PLACES};
use super::{Engine, PeerLink, Stage};
use crate::messages::PeerEvent;
use crate::peer::{self, Link, Order};
use crate::shortage::Shortage;
use crate::torrent::webseeds::WebSeedIndex;
use crate::types::{PeerKey, TorrentId};
use crate::webseed::{self, WebSeed};
use crate::wire::Handshake;
use crossbeam_channel::unbounded;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Instant;

impl Engine<'_> {
    /// Somebody connected; about which torrent, its handshake will tell.
    pub(super) fn on_incoming(&mut self, stream: TcpStream, addr: SocketAddr) {
        let now = Instant::now();
        // Those that were told to go are still there for a moment: their threads are bounded, too.
        let strangers = self.links.values().filter(|link| link.torrent.is_none());
        let is_flood = strangers.count() >= 8 * PLACES;
        if is_flood || self.deadline.is_some() || self.lacks().is_some() {
            return;
        }
        match self.strangers.entry(addr.ip(), now) {
            Entry::Free => {}
            Entry::InPlaceOf(key) => self.show_out(key),
            Entry::Refused => return,
        }
        let link = Link::Accepted {
            stream,
            torrents: self.works.iter().map(|work| work.info_hash).collect(),
            encryption: self.config.encryption,
        };
        // If that can't be, the peer finds its connection closed, and tries again.
        if let Ok(key) = self.connect(None, addr, link) {
            self.strangers.add(key, addr.ip(), (), now);
        }
    }

    /// Those that have been silent for too long have to go.
    pub(super) fn hurry_strangers(&mut self, now: Instant) {
        for key in self.strangers.overdue(now) {
            self.show_out(key);
        }
    }

    /// Closes a connection that no torrent knows of yet.
    fn show_out(&mut self, key: PeerKey) {
        self.strangers.remove(key);
        self.hang_up(key);
    }

    /// Has a peer's thread close its connection: it does so when its channel is closed.
    pub(super) fn hang_up(&mut self, key: PeerKey) {
        if let Some(link) = self.links.get_mut(&key) {
            link.orders = None;
        }
    }

    /// What there is not for another connection, if there is no room for one.
    fn lacks(&self) -> Option<Shortage> {
        let full = self.links.len() >= self.file_budget().connections();
        let needed = self.stand_back.filter(|(until, _)| Instant::now() < *until);
        needed
            .map(|(_, shortage)| shortage)
            .or(full.then_some(Shortage::Files))
    }

    /// Starts a peer thread, or tells what is missing for it.
    pub(super) fn connect(
        &mut self,
        torrent: Option<TorrentId>,
        addr: SocketAddr,
        link: Link,
    ) -> Result<PeerKey, Shortage> {
        if let Some(shortage) = self.lacks() {
            return Err(shortage);
        }
        let key = PeerKey(self.next_key);
        self.next_key += 1;
        let (orders, to_obey) = unbounded();
        let spawned = peer::spawn(key, link, to_obey, self.events.clone());
        spawned.map_err(|_| Shortage::Threads)?;
        let incoming = torrent.is_none();
        self.links.insert(
            key,
            PeerLink {
                torrent,
                addr,
                incoming,
                orders: Some(orders),
            },
        );
        Ok(key)
    }

    /// Starts the thread of a web seed, which is to main as a peer's.
    pub(super) fn open_web_seed(&mut self, id: TorrentId, index: WebSeedIndex, url: String) {
        let (key, events) = (PeerKey(self.next_key), self.events.clone());
        let door = self.config.door.clone();
        let nearest = self.works[id.0 as usize].job.nearest_web_seed(&url);
        let known = self.works[id.0 as usize].known.clone();
        let lacks = self.lacks();
        let Some((running, known)) = self.alive(id).zip(known) else {
            return;
        };
        let Some(stored) = &running.stored else {
            return;
        };
        let seed = WebSeed {
            url,
            name: known.metainfo.url_name.clone(),
            multi_file: known.metainfo.multi_file,
            storage: stored.shared.storage.clone(),
            max_open: stored.shared.max_open,
            door,
            nearest,
        };
        let (orders, to_obey) = unbounded();
        let now = Instant::now();
        if let Some(shortage) = lacks {
            let error = shortage.to_string();
            return running.torrent.on_web_seed_failed(index, &error, now);
        }
        if let Err(error) = webseed::spawn(key, seed, to_obey, events) {
            let error = error.to_string();
            return running.torrent.on_web_seed_failed(index, &error, now);
        }
        running.torrent.on_web_seed(key, index, now);
        self.next_key += 1;
        let link = PeerLink {
            torrent: Some(id),
            addr: (Ipv4Addr::UNSPECIFIED, 0).into(),
            incoming: false,
            orders: Some(orders),
        };
        self.links.insert(key, link);
    }

    pub(super) fn on_peer(&mut self, key: PeerKey, event: PeerEvent) {
        let now = Instant::now();
        let Some(link) = self.links.get(&key) else {
            return;
        };
        let about = link.torrent;
        match event {
            PeerEvent::Spoke => return self.strangers.spoke(key),
            PeerEvent::Greeted(handshake) => return self.on_greeted(key, handshake),
            _ => {}
        }
        if let PeerEvent::Closed(_) = event {
            self.links.remove(&key);
            self.strangers.remove(key);
            if let Some(id) = about {
                self.works[id.0 as usize].early.remove(key);
            }
        }
        let Some(id) = about else { return };
        match event {
            PeerEvent::DiskFailed(error) => return self.fail(id, error),
            PeerEvent::Stored(_) | PeerEvent::Traffic { up: 1.., .. } => self.short_since = None,
            PeerEvent::OutOfFiles(ref why) => self.on_short(id, why.clone(), 1),
            _ => {}
        }
        let mut budgets = self.budgets;
        let actions = self
            .alive(id)
            .map(|running| running.torrent.on_peer(key, event, now, &mut budgets));
        self.budgets = budgets;
        self.perform(id, actions.unwrap_or_default());
    }

    /// A peer said who it is and which torrent it is about.
    pub(super) fn on_greeted(&mut self, key: PeerKey, handshake: Handshake) {
        self.strangers.remove(key);
        let Some(link) = self.links.get_mut(&key) else {
            return;
        };
        if link.orders.is_none() {
            return; // it has been told to go
        }
        let mut works = self.works.iter_mut().enumerate();
        let about = works.find(|(_, work)| work.info_hash == handshake.info_hash);
        match about {
            Some((index, work)) if matches!(work.stage, Stage::Checking) => {
                let (ip, now) = (link.addr.ip(), Instant::now());
                link.torrent = Some(TorrentId(index as u32));
                let loser = match work.early.entry(ip, now) {
                    Entry::Free => None,
                    Entry::InPlaceOf(other) => Some(other),
                    Entry::Refused => Some(key),
                };
                if loser != Some(key) {
                    work.early.add(key, ip, handshake, now);
                }
                if let Some(loser) = loser {
                    work.early.remove(loser);
                    self.show_out(loser);
                }
            }
            Some((index, work)) if matches!(work.stage, Stage::Running(_)) => {
                let id = TorrentId(index as u32);
                link.torrent = Some(id);
                let (addr, incoming) = (link.addr, link.incoming);
                if let Some(running) = self.running(id) {
                    let now = Instant::now();
                    let torrent = &mut running.torrent;
                    let actions = torrent.on_greeted(key, addr, &handshake, incoming, now);
                    self.perform(id, actions);
                }
            }
            _ => link.orders = None,
        }
    }

    /// The sends are to an unbounded channel: main never waits. A thread that is gone
    /// has told so, or will.
    pub(super) fn send(&mut self, key: PeerKey, order: Order) {
        if let Some(orders) = self.links.get(&key).and_then(|link| link.orders.as_ref()) {
            let _ = orders.send(order);
        }
    }
}
