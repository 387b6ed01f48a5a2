//! Main's links to the threads of peers and web seeds: a channel to each.
//!
//! Main hands each event of such a thread to the torrent that it is about, and sends that torrent's
//! orders back. An incoming connection belongs to no torrent until its handshake names one.

use super::strangers::{Entry, PLACES};
use super::works::Stage;
use super::{Engine, PeerLink};
use crate::messages::{Greeting, PeerEvent};
use crate::peer::{self, Link, Order};
use crate::shortage::Shortage;
use crate::threads::ADVICE;
use crate::types::{PeerKey, TorrentId};
use crate::webseed::{self, WebSeed};
use crossbeam_channel::{Sender, unbounded};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

impl Engine<'_> {
    /// Handles an incoming connection. Its handshake will name the torrent.
    pub(super) fn on_incoming(&mut self, stream: TcpStream, addr: SocketAddr) {
        let now = Instant::now();
        // Connections that we are closing keep a thread for a moment: these are limited, too.
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
            torrents: self.works.iter().map(|work| work.us.info_hash).collect(),
            encryption: self.config.encryption,
        };
        let key = self.keys.take();
        // Without room for a thread, the connection is closed, and the peer may try again.
        if let Ok(()) = self.connect(key, None, Some(addr), link) {
            self.strangers.add(key, addr.ip(), (), now);
        }
    }

    /// Closes incoming connections that have sent nothing for too long.
    pub(super) fn hurry_strangers(&mut self, now: Instant) {
        for key in self.strangers.overdue(now) {
            self.show_out(key);
        }
    }

    fn show_out(&mut self, key: PeerKey) {
        self.strangers.remove(key);
        self.hang_up(key);
    }

    pub(super) fn hang_up(&mut self, key: PeerKey) {
        if let Some(link) = self.links.get_mut(&key) {
            link.orders = None;
        }
    }

    /// Returns what is missing for another connection, if something is.
    fn lacks(&self) -> Option<Shortage> {
        let full = self.links.len() >= self.file_budget().connections();
        let needed = self.stand_back.filter(|(until, _)| Instant::now() < *until);
        needed
            .map(|(_, shortage)| shortage)
            .or(full.then_some(Shortage::Files))
    }

    /// Starts a peer's thread, or returns what it lacks. `from`: the peer's address, if it
    /// connected to us.
    pub(super) fn connect(
        &mut self,
        key: PeerKey,
        torrent: Option<TorrentId>,
        from: Option<SocketAddr>,
        link: Link,
    ) -> Result<(), Shortage> {
        if let Some(shortage) = self.lacks() {
            return Err(shortage);
        }
        let (orders, to_obey) = unbounded();
        let spawned = peer::spawn(key, link, to_obey, self.inbox.clone());
        spawned.map_err(|_| Shortage::Threads)?;
        self.link(key, torrent, from, orders);
        Ok(())
    }

    fn link(
        &mut self,
        key: PeerKey,
        torrent: Option<TorrentId>,
        from: Option<SocketAddr>,
        orders: Sender<Order>,
    ) {
        let link = PeerLink {
            torrent,
            from,
            orders: Some(orders),
        };
        self.links.insert(key, link);
    }

    pub(super) fn dial(&mut self, id: TorrentId, key: PeerKey, addr: SocketAddr) {
        let link = Link::Dial {
            to: self.names.target(addr),
            door: Box::new(self.config.door.clone()),
            us: self.works[id].us,
            encryption: self.config.encryption,
        };
        if let Err(shortage) = self.connect(key, Some(id), None, link) {
            self.tell(id, |torrent, turn| {
                torrent.on_dial_failed(key, shortage, turn);
            });
            let why = format!("cannot connect to any peer: {shortage}; {ADVICE}");
            self.on_short(id, why, 0);
        }
    }

    /// Starts the thread of a web seed, which main treats as it does a peer's.
    pub(super) fn open_web_seed(&mut self, id: TorrentId, key: PeerKey, url: String) {
        let (lacks, door) = (self.lacks(), self.config.door.clone());
        let nearest = self.works[id].job.nearest_web_seed(&url);
        let Some(stored) = self.works.stored(id) else {
            return;
        };
        let metainfo = &stored.known.metainfo;
        let seed = WebSeed {
            url,
            name: metainfo.url_name.clone(),
            multi_file: metainfo.multi_file,
            storage: stored.shared.storage.clone(),
            max_open: stored.shared.max_open,
            door,
            nearest,
        };
        let (orders, to_obey) = unbounded();
        let started = match lacks {
            Some(shortage) => Err(shortage.to_string()),
            None => webseed::spawn(key, seed, to_obey, self.inbox.clone())
                .map_err(|error| error.to_string()),
        };
        match started {
            Ok(_) => self.link(key, Some(id), None, orders),
            Err(error) => self.tell(id, |torrent, turn| {
                torrent.on_web_seed_failed(key, &error, turn);
            }),
        }
    }

    pub(super) fn on_peer(&mut self, key: PeerKey, event: PeerEvent) {
        let Some(link) = self.links.get(&key) else {
            return;
        };
        let about = link.torrent;
        match event {
            PeerEvent::Spoke => return self.strangers.spoke(key),
            PeerEvent::Greeted(greeting) => return self.on_greeted(key, greeting),
            _ => {}
        }
        if let PeerEvent::Closed(_) = event {
            self.links.remove(&key);
            self.strangers.remove(key);
            if let Some(id) = about {
                self.works[id].early.remove(key);
            }
        }
        let Some(id) = about else { return };
        match event {
            PeerEvent::DiskFailed(error) => return self.fail(id, error),
            PeerEvent::Stored(_) | PeerEvent::Traffic { up: 1.., .. } => self.short_since = None,
            PeerEvent::OutOfFiles(ref why) => self.on_short(id, why.clone(), 1),
            _ => {}
        }
        self.tell(id, |torrent, turn| torrent.on_peer(key, event, turn));
    }

    /// Handles a peer's handshake, which names the torrent that it wants.
    pub(super) fn on_greeted(&mut self, key: PeerKey, greeting: Greeting) {
        self.strangers.remove(key);
        let about = self.works.by_hash(greeting.handshake.info_hash);
        let Some(link) = self.links.get_mut(&key).filter(|l| l.orders.is_some()) else {
            return; // it has been told to go
        };
        let Some((id, work)) = about.map(|id| (id, &self.works[id])) else {
            link.orders = None;
            return;
        };
        match work.stage {
            Stage::Checking => {
                link.torrent = Some(id);
                self.on_early(id, key, greeting);
            }
            Stage::Running(_) => {
                link.torrent = Some(id);
                let from = link.from;
                self.tell(id, |torrent, turn| {
                    torrent.on_greeted(key, from, &greeting, turn);
                });
            }
            Stage::Leaving(..) | Stage::Over => link.orders = None,
        }
    }

    /// Handles a peer whose torrent has not begun. It waits, if there is room.
    fn on_early(&mut self, id: TorrentId, key: PeerKey, greeting: Greeting) {
        let Some(from) = self.links.get(&key).and_then(|link| link.from) else {
            return;
        };
        let (early, now) = (&mut self.works[id].early, Instant::now());
        let loser = match early.entry(from.ip(), now) {
            Entry::Free => None,
            Entry::InPlaceOf(other) => Some(other),
            Entry::Refused => Some(key),
        };
        if loser != Some(key) {
            early.add(key, from.ip(), greeting, now);
        }
        if let Some(loser) = loser {
            early.remove(loser);
            self.show_out(loser);
        }
    }

    /// Sends an order. The channel is unbounded, so main never waits. A thread that has ended says
    /// so in its last event.
    pub(super) fn send(&mut self, key: PeerKey, order: Order) {
        if let Some(orders) = self.links.get(&key).and_then(|link| link.orders.as_ref()) {
            let _ = orders.send(order);
        }
    }
}
