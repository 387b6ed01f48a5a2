//! The events of peers ([BEP 3]): they connect, have pieces, want pieces, send blocks, and leave.
//! Each event goes to the parts that need it: picker, choker, swarm.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use super::facts::{choking, closed, interest};
use super::fetcher::{Fetcher, Parting};
use super::learning::Offer;
use super::pex::Exchange;
use super::rate::Rate;
use super::{Action, Entry, Torrent, Turn, givers};
use crate::address::Host;
use crate::bitfield::Bitfield;
use crate::choker::Merit;
use crate::door::names;
use crate::layout::PieceIndex;
use crate::messages::{Client, Command, End, EndKind, Greeting, PeerEvent};
use crate::swarm::Ending;
use crate::trace::{Fact, GivenBack, Over, Side};
use crate::types::{PeerId, PeerKey};
use crate::wire::Handshake;
use std::net::SocketAddr;
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) addr: SocketAddr,
    pub(super) incoming: bool,
    /// The address that is not dialled while this connection exists: the one that we dialled here,
    /// or over a [twin](super::twins) that is gone.
    pub(super) booked: Option<SocketAddr>,
    /// It gave or took data over that twin.
    pub(super) twin_was_used: bool,
    pub(super) id: PeerId,
    client: Option<String>,
    pub(super) fetcher: Fetcher,
    /// Main has welcomed it: it counts as connected.
    pub(super) welcome: bool,
    pub(super) since: Instant,
    /// It said in its first message that it has all pieces, so it need not hear about ours.
    pub(super) came_whole: bool,
    pub(super) useful: u32,
    pub(super) peer_chokes: bool,
    pub(super) we_choke: bool,
    pub(super) interested: bool,
    /// Since when it has had a piece that we want.
    pub(super) wanted_since: Option<Instant>,
    /// Bytes that its thread would like to send, under an upload limit.
    pub(super) wants_upload: u64,
    /// It wants nothing: it is a seed, or has all files that its user wants.
    pub(super) upload_only: bool,
    /// Whether it can send the metadata, while we lack it.
    pub(super) metadata: Offer,
    /// What it has heard from us about other peers, if it supports PEX.
    pub(super) pex: Option<Exchange>,
    pub(super) listens_on: Option<u16>,
    pub(super) up: Rate,
    pub(super) took: u64,
    /// How much of `took` was told as a fact.
    pub(super) told: u64,
}

impl Peer {
    pub(super) fn new(addr: SocketAddr, incoming: bool, pieces: u32, now: Instant) -> Self {
        Self {
            addr,
            incoming,
            booked: (!incoming).then_some(addr),
            twin_was_used: false,
            id: PeerId([0; 20]),
            client: None,
            fetcher: Fetcher::new(Bitfield::none(pieces)),
            welcome: false,
            since: now,
            came_whole: false,
            useful: 0,
            peer_chokes: true,
            we_choke: true,
            interested: false,
            wanted_since: None,
            wants_upload: 0,
            upload_only: false,
            metadata: Offer::None,
            pex: None,
            listens_on: None,
            up: Rate::default(),
            took: 0,
            told: 0,
        }
    }

    /// Whether it takes one of the places, or (`dialled_only`) one of those for peers that we dial.
    pub(super) fn holds_place(&self, dialled_only: bool) -> bool {
        let counts = !dialled_only || !self.incoming;
        self.welcome && !self.fetcher.useless && counts
    }

    /// Records what the peer says about itself. Returns the name of its program, if it says one.
    fn introduced(&mut self, client: Client) -> Option<String> {
        self.upload_only = client.upload_only;
        self.listens_on = client.port.or(self.listens_on);
        match client.pex {
            true => _ = self.pex.get_or_insert_default(),
            false => self.pex = None,
        }
        let name = client.name.filter(|name| !name.trim().is_empty());
        // It may say again what it can do, but its name only at first.
        self.client = name.clone().or(self.client.take());
        name
    }

    pub(super) fn client(&self) -> String {
        self.client
            .clone()
            .unwrap_or_else(|| givers::by_id(self.id))
    }

    pub(super) fn host(&self) -> Host {
        Host::of(self.addr.ip())
    }

    /// Returns the address at which it accepts connections, if we know.
    pub(super) fn listens_at(&self) -> Option<SocketAddr> {
        match self.incoming {
            false => Some(self.addr).filter(|addr| !names::is_stand_in(addr.ip())),
            true => Some(SocketAddr::new(
                self.addr.ip().to_canonical(),
                self.listens_on?,
            )),
        }
    }

    pub(super) fn merit(&self, by: Merit, now: Instant, rng: &mut fastrand::Rng) -> u64 {
        let (gives, gets) = (self.fetcher.down.get(now), self.up.get(now));
        by.of(gives as u64, gets as u64, rng)
    }

    /// Returns what it sends us or, while we seed, gets from us, in bytes a second.
    pub(super) fn rate(&self, seeding: bool, now: Instant) -> u64 {
        let rate = if seeding {
            &self.up
        } else {
            &self.fetcher.down
        };
        rate.get(now) as u64
    }

    pub(super) fn is_used(&self) -> bool {
        self.welcome && (self.twin_was_used || self.fetcher.gave + self.took > 0)
    }

    /// Whether it may take data from us, or did: its last bytes may not be counted yet.
    pub(super) fn takes(&self) -> bool {
        self.took > 0 || !self.we_choke
    }
}

impl Torrent {
    /// A peer has sent its handshake. `from`: its address if it dialled us; otherwise we dialled
    /// it.
    pub fn on_greeted(
        &mut self,
        key: PeerKey,
        from: Option<SocketAddr>,
        greeting: &Greeting,
        turn: &mut Turn<'_>,
    ) {
        if let Some(addr) = from {
            let pieces = self.content.layout.pieces();
            self.peers
                .insert(key, Peer::new(addr, true, pieces, turn.now));
            turn.tell(key, None, || Fact::Accepted {
                addr: addr.to_string(),
                over: Over::Tcp,
            });
        }
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let Handshake {
            peer_id, reserved, ..
        } = greeting.handshake;
        peer.id = peer_id;
        let (addr, incoming) = (peer.addr, peer.incoming);
        if peer_id == self.setup.peer_id {
            return self.on_us(key, turn);
        }
        turn.tell(key, None, || Fact::Handshake {
            peer_id,
            bits: reserved,
            obfuscated: greeting.obfuscated,
        });
        if self.swarm.is_banned(addr, incoming) {
            peer.fetcher.useless = true;
            peer.fetcher.part(key, Parting::Banned, turn);
        } else if !self.part_from_twins(key, turn) {
            // The other connection stays.
        } else if !self.has_room(addr, incoming, turn) {
            let peer = self.peers.fetcher_mut(key);
            peer.into_iter()
                .for_each(|its| its.part(key, Parting::Full, turn));
        } else {
            self.welcome(key, turn);
        }
    }

    /// We have connected to ourselves. The swarm must not dial this address again.
    fn on_us(&mut self, key: PeerKey, turn: &mut Turn<'_>) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.fetcher.useless = true;
            if !peer.incoming {
                self.swarm.is_us(peer.addr);
            }
            peer.fetcher.part(key, Parting::Us, turn);
        }
    }

    /// Whether there is a place for a peer at `addr`. If all are taken, another peer may have to
    /// go: this one then finds a place when it comes again.
    fn has_room(&mut self, addr: SocketAddr, incoming: bool, turn: &mut Turn<'_>) -> bool {
        let connected = self.peers.welcome();
        // The place of one that is parting is free.
        let connected = connected.filter(|(_, peer)| peer.fetcher.parting.is_none());
        let theirs = connected.clone().filter(|(_, peer)| peer.incoming).count();
        let full = connected.count() >= self.setup.max_peers
            || incoming && theirs >= self.places_for_one_side();
        if full {
            self.make_room(false, turn);
            if incoming {
                self.part_crowd(Host::of(addr.ip()), turn);
            }
        }
        let rests = incoming && self.swarm.is_resting(addr, turn.now);
        !full && !rests && !self.goals.phase().is_over()
    }

    /// Welcomes a peer: now it counts as connected.
    fn welcome(&mut self, key: PeerKey, turn: &mut Turn<'_>) {
        let entry = self.entry();
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        (peer.welcome, peer.since) = (true, turn.now);
        turn.push(Action::Welcome(key, entry));
        self.ways.on_connection();
        self.share();
        self.dial(turn);
    }

    pub(super) fn entry(&self) -> Option<Entry> {
        self.knows_content().then(|| Entry {
            have: self.content.have.clone(),
            complete: !self.goals.is_downloading(),
        })
    }

    /// The thread of a peer or of a web seed reports something.
    pub fn on_peer(&mut self, key: PeerKey, event: PeerEvent, turn: &mut Turn<'_>) {
        let Some(fetcher) = self.peers.fetcher_mut(key) else {
            return;
        };
        match event {
            PeerEvent::Want(blocks) => {
                fetcher.wants = blocks;
                fetcher.window = self.picker.leased(key) as u32 + blocks;
                if !self.serve(key, turn) {
                    turn.send(key, Command::Fetch(Vec::new()));
                }
            }
            PeerEvent::Stored(spans) => self.on_stored(key, &spans, turn),
            PeerEvent::Cancelled(spans) => {
                fetcher.cancels = fetcher.cancels.saturating_sub(1);
                self.on_given_back(key, &spans, GivenBack::Cancelled, turn);
                self.serve(key, turn);
            }
            PeerEvent::Released(spans, why) => {
                // See story 2 of `crate::messages`.
                fetcher.wants = 0;
                self.on_given_back(key, &spans, why, turn);
                self.feed_hungry(turn);
            }
            PeerEvent::Snubbed => {
                fetcher.snubbed = true;
                turn.tell(key, None, || Fact::Snubbed);
            }
            PeerEvent::Traffic { down, up } => self.on_traffic(key, down, up, turn.now),
            PeerEvent::Web(news) => self.on_web_seed_says(key, news, turn),
            PeerEvent::Missing(error) => self.on_missing(error, turn),
            PeerEvent::Closed(end) => self.on_closed(key, &end, turn),
            event => self.on_peer_says(key, event, turn),
        }
    }

    fn on_peer_says(&mut self, key: PeerKey, event: PeerEvent, turn: &mut Turn<'_>) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        match event {
            PeerEvent::Pieces(pieces) => self.on_bitfield(key, &pieces, turn),
            PeerEvent::Have(piece) if !peer.fetcher.have.has(piece) => {
                turn.tell(key, piece, || Fact::Have);
                if self.on_pieces(key, &[piece], turn) {
                    turn.send(key, Command::Interest(true));
                }
                self.serve(key, turn);
            }
            PeerEvent::Interested(interested) => {
                self.on_interested(key, interested, turn);
            }
            PeerEvent::Choked(chokes) => {
                turn.tell(key, None, || choking(Side::Peer, chokes, None));
                peer.peer_chokes = chokes;
                peer.fetcher.wants = 0;
            }
            PeerEvent::WantUpload(bytes) => {
                peer.wants_upload = bytes;
                self.feed_uploads(turn);
            }
            PeerEvent::Client(client) => {
                if let Some(client) = peer.introduced(client) {
                    turn.tell(key, None, || Fact::Client { client });
                }
            }
            PeerEvent::DhtPort(port) => self.on_dht_port(key, port, turn),
            PeerEvent::Peers(addrs) => self.on_exchanged(key, addrs, turn),
            PeerEvent::Learning(news) => self.on_metadata(key, news, turn),
            // Known already; or common to peers and web seeds; or the engine's.
            _ => {}
        }
    }

    /// A peer says which pieces it has. Its thread asks whether we want any.
    fn on_bitfield(&mut self, key: PeerKey, pieces: &Bitfield, turn: &mut Turn<'_>) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        peer.came_whole |= peer.fetcher.have.is_empty() && pieces.is_full();
        let fresh = pieces.iter().filter(|piece| !peer.fetcher.have.has(*piece));
        let fresh: Vec<PieceIndex> = fresh.collect();
        turn.tell(key, None, || Fact::Has {
            pieces: pieces.count(),
            bits: pieces.as_bytes().to_vec(),
        });
        self.on_pieces(key, &fresh, turn);
        self.share();
        let peer = self.peers.get(&key);
        let want = peer.is_some_and(|peer| peer.wanted_since.is_some());
        turn.send(key, Command::Interest(want));
    }

    fn on_interested(&mut self, key: PeerKey, interested: bool, turn: &mut Turn<'_>) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        if std::mem::replace(&mut peer.interested, interested) != interested {
            turn.tell(key, None, || interest(Side::Peer, interested));
        }
        let before = peer.we_choke;
        self.fill_places(turn);
        let after = self.peers.get(&key).map(|peer| peer.we_choke);
        if after == Some(before) {
            turn.send(key, Command::Choke(before)); // else its thread has just heard
        }
    }

    fn on_traffic(&mut self, key: PeerKey, down: u64, up: u64, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.up.add(up, now);
            peer.took += up;
        }
        self.traffic.count(down, up, now);
    }

    /// Records pieces that a peer has and that we did not know of. Returns whether we want
    /// something from it, and did not before.
    fn on_pieces(&mut self, key: PeerKey, fresh: &[PieceIndex], turn: &mut Turn<'_>) -> bool {
        let Some(peer) = self.peers.get_mut(&key).filter(|_| !fresh.is_empty()) else {
            return false;
        };
        for &piece in fresh {
            peer.fetcher.have.insert(piece);
            peer.useful += u32::from(self.picker.wants(piece));
        }
        let is_seed = peer.fetcher.have.is_full();
        let newly_wanted = peer.wanted_since.is_none() && peer.useful > 0;
        if newly_wanted {
            peer.wanted_since = Some(turn.now);
            turn.tell(key, None, || interest(Side::Us, true));
        } else if is_seed && !self.goals.is_downloading() {
            peer.fetcher.part(key, Parting::BothSeeds, turn);
        }
        if is_seed {
            // A seed is counted for no piece, because it has all of them.
            let mut before = peer.fetcher.have.clone();
            fresh.iter().for_each(|piece| _ = before.remove(*piece));
            self.picker.peer_gone(&before);
            self.share();
        } else {
            fresh.iter().for_each(|piece| self.picker.peer_has(*piece));
        }
        newly_wanted
    }

    /// Divides the pieces among us and the peers that lack some, so that each begins with others.
    /// All who know the same peers compute the same shares.
    pub(super) fn share(&mut self) {
        let leeches = self.peers.leeches();
        let before = leeches.clone().filter(|peer| peer.id < self.setup.peer_id);
        let (rank, count) = (before.count(), leeches.count() + 1);
        self.picker.set_share(rank as u32, count as u32);
    }

    fn on_closed(&mut self, key: PeerKey, end: &End, turn: &mut Turn<'_>) {
        let ready = self.picker.forget(key);
        if let Some(peer) = self.peers.remove(&key) {
            self.on_peer_closed(key, &peer, end, turn);
        } else if let Some(seed) = self.peers.web_seeds.remove(&key) {
            self.on_web_seed_closed(key, &seed, end, turn);
        }
        self.verify(ready, turn);
        self.feed_hungry(turn);
        self.ask_for_metadata(turn);
        self.dial(turn);
        self.say_goodbye(turn);
    }

    /// Learns from the end of any connection whether others can be made. Returns why it ended.
    pub(super) fn on_ended(&mut self, fetcher: &Fetcher, end: &End, now: Instant) -> EndKind {
        if self.no_giver_left() {
            self.traffic.stand_still();
        }
        let kind = match fetcher.parting {
            Some(Parting::Short(shortage)) => EndKind::Short(shortage),
            _ => end.kind,
        };
        match kind {
            EndKind::Short(shortage) => self.ways.on_short(shortage, now),
            EndKind::NoWay => self.ways.on_no_way(&end.text, now),
            _ => {}
        }
        kind
    }

    fn on_peer_closed(&mut self, key: PeerKey, peer: &Peer, end: &End, turn: &mut Turn<'_>) {
        let kind = self.on_ended(&peer.fetcher, end, turn.now);
        // The end of a web seed does not show whether there is a way to anybody.
        if !matches!(kind, EndKind::Short(_) | EndKind::NoWay) {
            self.ways.on_way();
        }
        if !peer.fetcher.have.is_full() {
            self.picker.peer_gone(&peer.fetcher.have);
        }
        let ending = match (peer.fetcher.useless, peer.is_used()) {
            (true, _) => Ending::Useless,
            (_, true) => Ending::Good,
            _ => Ending::Failed(kind),
        };
        if let Some(addr) = self.unbook(peer) {
            self.swarm.ended(addr, ending, turn.now);
        }
        self.traffic.givers.add(&peer.client(), peer.fetcher.gave);
        turn.tell(key, None, || closed(&peer.fetcher, end, peer.took));
        self.share();
    }
}
