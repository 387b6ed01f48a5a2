//! What peers bring: connections, pieces, wishes, blocks, and their end.
//!
//! Each event of a peer's thread, most of them messages of [BEP 3], is given to those whom it
//! concerns: picker, choker, swarm. Part of the [`Torrent`], called by the engine's loop.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use super::learning::Offer;
use super::pex::Exchange;
use super::rate::{Budgets, Rate};
use super::webseeds::WebSeedIndex;
use super::work::Look;
use super::{Action, Phase, Torrent, detail};
use crate::address::Host;
use crate::bitfield::Bitfield;
use crate::layout::{BLOCK_LEN, PieceIndex};
use crate::messages::{Client, Command, End, EndKind, PeerEvent};
use crate::shortage::Shortage;
use crate::swarm::Ending;
use crate::types::{PeerId, PeerKey};
use crate::wire::Handshake;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A peer may be measured after it was asked for so long.
const MEASURED_AFTER: Duration = Duration::from_millis(50);

/// What main knows of one connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) addr: SocketAddr,
    pub(super) incoming: bool,
    pub(super) id: PeerId,
    /// It is this web seed: it has neither address nor name, is never welcomed, and so
    /// is in no count of peers, but is given work as they are.
    pub(super) web: Option<WebSeedIndex>,
    /// Main has welcomed it: from here on it counts as a peer.
    pub(super) welcome: bool,
    pub(super) since: Instant,
    pub(super) have: Bitfield,
    /// It said in its greeting that it has all: it wants to hear of no piece of ours.
    pub(super) came_whole: bool,
    /// Pieces that it has and that we want.
    pub(super) useful: u32,
    pub(super) peer_chokes: bool,
    pub(super) we_choke: bool,
    /// It wants something of ours.
    pub(super) interested: bool,
    /// Since when we want something of it, if we do.
    pub(super) wanted_since: Option<Instant>,
    /// Blocks that it could be asked for besides what it has on order.
    pub(super) wants: u32,
    /// Cancels that its thread has not answered yet.
    pub(super) cancels: u32,
    /// Bytes that it waits to be sent, under an upload limit.
    pub(super) wants_upload: u64,
    pub(super) snubbed: bool,
    /// It wants nothing: a seed, or one that has all it asked for.
    pub(super) upload_only: bool,
    /// Not to be dialled again when it ends: see [`Ending::Useless`].
    pub(super) useless: bool,
    /// It has to go, as we are short of this: no fault of its own.
    pub(super) shed: Option<Shortage>,
    /// Whether it can give the metadata, while we lack it.
    pub(super) metadata: Offer,
    /// What it was told of other peers, if it takes that.
    pub(super) pex: Option<Exchange>,
    /// The port that it listens on, as it says.
    pub(super) listens_on: Option<u16>,
    pub(super) first_asked: Option<Instant>,
    pub(super) down: Rate,
    pub(super) up: Rate,
    pub(super) gave: u64,
    pub(super) took: u64,
}

impl Peer {
    pub(super) fn new(addr: SocketAddr, incoming: bool, pieces: u32, now: Instant) -> Self {
        Self {
            addr,
            incoming,
            id: PeerId([0; 20]),
            web: None,
            welcome: false,
            since: now,
            have: Bitfield::none(pieces),
            came_whole: false,
            useful: 0,
            peer_chokes: true,
            we_choke: true,
            interested: false,
            wanted_since: None,
            wants: 0,
            cancels: 0,
            wants_upload: 0,
            snubbed: false,
            upload_only: false,
            useless: false,
            shed: None,
            metadata: Offer::None,
            pex: None,
            listens_on: None,
            first_asked: None,
            down: Rate::default(),
            up: Rate::default(),
            gave: 0,
            took: 0,
        }
    }

    /// Whether it takes one of the places, or (`dialled_only`) one of those for peers that we dial.
    pub(super) fn holds_place(&self, dialled_only: bool) -> bool {
        let counts = !dialled_only || !self.incoming;
        self.welcome && !self.useless && counts
    }

    /// It said who it is.
    fn introduced(&mut self, client: Client) -> Action {
        self.upload_only = client.upload_only;
        self.listens_on = client.port.or(self.listens_on);
        match client.pex {
            true => _ = self.pex.get_or_insert_default(),
            false => self.pex = None,
        }
        let name = client.name.unwrap_or_default();
        detail(1, format!("{}: calls itself {name:?}", self.addr))
    }

    /// Where it is.
    pub(super) fn host(&self) -> Host {
        Host::of(self.addr.ip())
    }

    /// Whether it gave us data or took some.
    pub(super) fn is_used(&self) -> bool {
        self.welcome && self.gave + self.took > 0
    }

    /// Whether what it gives may be on its way.
    pub(super) fn gives(&self) -> bool {
        self.welcome || self.web.is_some()
    }

    /// Whether it is given something, or was: what it got last may not be counted yet.
    pub(super) fn takes(&self) -> bool {
        self.took > 0 || !self.we_choke
    }

    /// Seconds that it takes for a block, once that is known.
    pub(super) fn pace(&self, now: Instant) -> Option<f64> {
        let measured = self
            .first_asked
            .is_some_and(|at| now.duration_since(at) >= MEASURED_AFTER);
        match (self.snubbed, measured) {
            (true, _) => Some(f64::INFINITY),
            (_, false) => None,
            _ => Some(f64::from(BLOCK_LEN) / self.down.get(now)),
        }
    }
}

impl Torrent {
    /// The thread that dials `addr` is `key`.
    pub fn on_dial(&mut self, key: PeerKey, addr: SocketAddr, now: Instant) {
        if self.short == Some(Shortage::Threads) {
            self.short = None;
        }
        self.peers.insert(
            key,
            Peer::new(addr, false, self.content.layout.pieces(), now),
        );
    }

    /// A peer answered with its handshake: dialled by us or, from `addr`, by itself.
    pub fn on_greeted(
        &mut self,
        key: PeerKey,
        addr: SocketAddr,
        handshake: &Handshake,
        incoming: bool,
        now: Instant,
    ) -> Vec<Action> {
        let pieces = self.content.layout.pieces();
        let peer = self
            .peers
            .entry(key)
            .or_insert_with(|| Peer::new(addr, incoming, pieces, now));
        peer.id = handshake.peer_id;
        if handshake.peer_id == self.setup.peer_id {
            peer.useless = true;
            if !incoming {
                self.swarm.is_us(addr);
            }
            return vec![
                Action::HangUp(key),
                detail(1, format!("{addr}: that is us")),
            ];
        }
        if self.swarm.is_banned(addr, incoming) {
            peer.useless = true;
            return vec![
                Action::HangUp(key),
                detail(1, format!("{addr}: banned before")),
            ];
        }
        let mut actions = Vec::new();
        if !self.part_from_twins(key, now, &mut actions) {
            return actions;
        }
        let connected = self.peers.values().filter(|peer| peer.welcome);
        let theirs = connected.clone().filter(|peer| peer.incoming).count();
        let full = connected.count() >= self.setup.max_peers
            || incoming && theirs >= self.places_for_one_side();
        if full {
            self.make_room(false, now, &mut actions);
            if incoming {
                self.part_crowd(Host::of(addr.ip()), &mut actions);
            }
        }
        let rests = incoming && self.swarm.is_resting(addr, now);
        if full || rests || matches!(self.phase, Phase::Done | Phase::Stalled) {
            actions.extend([Action::HangUp(key), detail(1, format!("{addr}: no room"))]);
            return actions;
        }
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.welcome = true;
            peer.since = now;
        }
        (self.short, self.no_way) = (None, None);
        self.share();
        actions.extend([
            Action::Welcome(key),
            detail(1, format!("{addr}: connected")),
        ]);
        // Somebody else may be dialled in its place.
        self.dial(now, &mut actions);
        actions
    }

    /// Something happened in a conversation.
    pub fn on_peer(
        &mut self,
        key: PeerKey,
        event: PeerEvent,
        now: Instant,
        budgets: &mut Budgets,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let Some(peer) = self.peers.get_mut(&key) else {
            return actions;
        };
        match event {
            PeerEvent::Pieces(pieces) => self.on_bitfield(key, &pieces, now, &mut actions),
            PeerEvent::Have(piece) => {
                if !peer.have.has(piece) {
                    self.on_pieces(key, &[piece], now, &mut actions);
                    self.serve(key, Some(&mut Look::new()), now, budgets, &mut actions);
                }
            }
            PeerEvent::Interested(interested) => {
                self.on_interested(key, interested, now, &mut actions);
            }
            PeerEvent::Choked(chokes) => {
                peer.peer_chokes = chokes;
                peer.wants = 0;
            }
            PeerEvent::Want(blocks) => {
                peer.wants = blocks;
                if !self.serve(key, Some(&mut Look::new()), now, budgets, &mut actions) {
                    actions.push(Action::Send(key, Command::Fetch(Vec::new())));
                }
            }
            PeerEvent::Stored(spans) => self.on_stored(key, &spans, now, &mut actions),
            PeerEvent::Cancelled(spans) => {
                peer.cancels = peer.cancels.saturating_sub(1);
                self.on_released(key, &spans, now, budgets, &mut actions);
            }
            PeerEvent::Released(spans) => {
                // See story 2 of `crate::messages`.
                peer.wants = 0;
                self.on_released(key, &spans, now, budgets, &mut actions);
            }
            PeerEvent::Snubbed => {
                peer.snubbed = true;
                let text = format!("{}: owes us blocks and sends none", peer.addr);
                actions.push(detail(1, text));
            }
            PeerEvent::WantUpload(bytes) => {
                peer.wants_upload = bytes;
                self.feed_uploads(now, budgets, &mut actions);
            }
            PeerEvent::Client(client) => actions.push(peer.introduced(client)),
            PeerEvent::Traffic { down, up } => self.on_traffic(key, down, up, now),
            PeerEvent::DhtPort(port) => self.on_dht_port(key, port, &mut actions),
            PeerEvent::Peers(addrs) => self.on_exchanged(key, addrs, now, &mut actions),
            PeerEvent::Learning(news) => self.on_metadata(key, news, now, &mut actions),
            PeerEvent::Web(news) => self.on_web_seed_says(key, news, &mut actions),
            PeerEvent::Missing(error) => self.on_missing(error, &mut actions),
            PeerEvent::Closed(end) => self.on_closed(key, &end, now, budgets, &mut actions),
            // The engine's.
            PeerEvent::Spoke
            | PeerEvent::Greeted(_)
            | PeerEvent::DiskFailed(_)
            | PeerEvent::OutOfFiles(_) => {}
        }
        actions
    }

    /// The peer says which pieces it has, and asks whether we want any.
    fn on_bitfield(
        &mut self,
        key: PeerKey,
        pieces: &Bitfield,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        peer.came_whole |= peer.have.is_empty() && pieces.is_full();
        let fresh = pieces.iter().filter(|piece| !peer.have.has(*piece));
        let fresh: Vec<PieceIndex> = fresh.collect();
        self.on_pieces(key, &fresh, now, actions);
        self.share();
        let peer = self.peers.get(&key);
        let want = peer.is_some_and(|peer| peer.wanted_since.is_some());
        if !actions.contains(&Action::Send(key, Command::Interest(true))) {
            actions.push(Action::Send(key, Command::Interest(want)));
        }
    }

    /// The peer wants something of ours or wants no more, and asks whether we choke it.
    fn on_interested(
        &mut self,
        key: PeerKey,
        interested: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.interested = interested;
        }
        self.fill_places(now, actions);
        let choke = self.peers.get(&key).is_none_or(|peer| peer.we_choke);
        let answer = Action::Send(key, Command::Choke(choke));
        if !actions.contains(&answer) {
            actions.push(answer);
        }
    }

    fn on_traffic(&mut self, key: PeerKey, down: u64, up: u64, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.up.add(up, now);
            peer.took += up;
        }
        self.downloaded += down;
        self.uploaded += up;
        self.down.add(down, now);
        self.up.add(up, now);
    }

    /// The peer has more pieces than we knew.
    fn on_pieces(
        &mut self,
        key: PeerKey,
        fresh: &[PieceIndex],
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        if fresh.is_empty() {
            return;
        }
        for &piece in fresh {
            peer.have.insert(piece);
            peer.useful += u32::from(self.picker.wants(piece));
        }
        if peer.have.is_full() {
            // Seeds are in no piece's count: they have them all.
            let mut before = peer.have.clone();
            fresh.iter().for_each(|piece| _ = before.remove(*piece));
            self.picker.peer_gone(&before);
        } else {
            fresh.iter().for_each(|piece| self.picker.peer_has(*piece));
        }
        let seed = peer.have.is_full();
        if peer.wanted_since.is_none() && peer.useful > 0 {
            peer.wanted_since = Some(now);
            actions.push(Action::Send(key, Command::Interest(true)));
        } else if self.phase != Phase::Downloading && peer.have.is_full() {
            actions.push(Action::HangUp(key));
        }
        if seed {
            self.share();
        }
    }

    /// Divides the pieces among ourselves and the peers that lack some, for each to
    /// begin with others: all who know the same peers come to the same shares.
    pub(super) fn share(&mut self) {
        let leeches = self
            .peers
            .values()
            .filter(|peer| peer.welcome && !peer.have.is_full());
        let before = leeches.clone().filter(|peer| peer.id < self.setup.peer_id);
        let (rank, count) = (before.count(), leeches.count() + 1);
        self.picker.set_share(rank as u32, count as u32);
    }

    fn on_closed(
        &mut self,
        key: PeerKey,
        end: &End,
        now: Instant,
        budgets: &mut Budgets,
        actions: &mut Vec<Action>,
    ) {
        let ready = self.picker.forget(key);
        let Some(peer) = self.peers.remove(&key) else {
            return;
        };
        if self.no_giver_left() {
            // Nobody is there with whom anything could come or go.
            (self.down, self.up) = (Rate::default(), Rate::default());
        }
        let kind = peer.shed.map_or(end.kind, EndKind::Short);
        match kind {
            EndKind::Short(shortage) => self.on_short(shortage, now),
            EndKind::NoWay => self.on_no_way(&end.text, now),
            // A web seed's end does not say whether there is a way to it.
            _ if peer.web.is_some() => {}
            // Somebody was reached, or could have been.
            _ => self.no_way = None,
        }
        if let Some(index) = peer.web {
            self.on_web_seed_closed(index, &peer, &end.text, now, actions);
            self.verify(ready, actions);
            self.feed_hungry(now, budgets, actions);
            self.say_goodbye(now, actions);
            return;
        }
        if !peer.have.is_full() {
            self.picker.peer_gone(&peer.have);
        }
        let ending = match (peer.useless, peer.is_used()) {
            (true, _) => Ending::Useless,
            (_, true) => Ending::Good,
            _ => Ending::Failed(kind),
        };
        if !peer.incoming {
            self.swarm.ended(peer.addr, ending, now);
        }
        actions.push(detail(1, format!("{}: {}", peer.addr, end.text)));
        self.share();
        self.verify(ready, actions);
        self.feed_hungry(now, budgets, actions);
        self.ask_for_metadata(now, actions);
        self.dial(now, actions);
        self.say_goodbye(now, actions);
    }

    /// Its thread never came to be, for want of this.
    pub fn on_dial_failed(&mut self, addr: SocketAddr, shortage: Shortage, now: Instant) {
        let kind = EndKind::Short(shortage);
        self.swarm.ended(addr, Ending::Failed(kind), now);
        self.on_short(shortage, now);
    }
}
