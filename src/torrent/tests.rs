//! Tests of a torrent's decisions in virtual time, one event after another. Whole swarms are played
//! in `tests/swarms`.

use super::ending::LAST_WORDS;
use super::peers::Peer;
use super::rate::{Budget, Budgets};
use super::*;
use crate::announce::{AnnounceEvent, TrackerError};
use crate::layout::{BLOCK_LEN, Layout, Span};
use crate::messages::{Greeting, Learning, PeerEvent, Surveyed, Verdict};
use crate::swarm::Source;
use crate::trace::{GivenBack, Witness};
use crate::wanted::Wanted;
use crate::wire::Handshake;
use std::collections::BTreeMap;
use std::sync::Arc;

mod dht;
mod figures;
mod giving;
mod goals;
mod learning;
mod links;
mod pex;
mod pieces;
mod stateful;
mod trace;
mod web;

fn setup(layout: Arc<Layout>, have: Bitfield) -> Setup {
    Setup {
        info_hash: InfoHash([7; 20]),
        peer_id: PeerId([200; 20]),
        content: Some(Content {
            name: "it".into(),
            stored: Vec::new(),
            wanted: Wanted::all(&layout),
            layout,
            have,
            private: false,
        }),
        trackers: Vec::new(),
        web_seeds: Vec::new(),
        pex: true,
        dht: false,
        lsd: true,
        door: Door::default(),
        port: 6881,
        max_peers: 50,
        rules: Rules::default(),
        afterwards: Afterwards::Leave,
        stall_timeout: None,
        added: Instant::now(),
        seed: 1,
    }
}

fn content(setup: &mut Setup) -> &mut Content {
    setup.content.as_mut().unwrap()
}

/// A torrent, and a clock that the test moves. Peer `n` is `PeerKey(n)`, has the id `[n; 20]` and
/// the address `addr(n)`.
struct Rig {
    torrent: Torrent,
    layout: Arc<Layout>,
    now: Instant,
    budgets: Budgets,
    /// The keys of connections that the torrent begins itself.
    keys: Keys,
    /// Who tells facts, if somebody listens.
    witness: Option<Witness>,
}

impl Rig {
    /// Makes `pieces` empty pieces of four blocks. `change` may alter the setup.
    fn new(pieces: u64, change: impl FnOnce(&mut Setup)) -> Self {
        let piece_length = 4 * u64::from(BLOCK_LEN);
        Self::of(
            Layout::new(piece_length, &[(pieces * piece_length, false)]).unwrap(),
            change,
        )
    }

    fn of(layout: Layout, change: impl FnOnce(&mut Setup)) -> Self {
        let layout = Arc::new(layout);
        let mut setup = setup(layout.clone(), Bitfield::none(layout.pieces()));
        change(&mut setup);
        let now = Instant::now();
        Self {
            torrent: Torrent::new(setup, now),
            layout,
            now,
            budgets: Budgets {
                down: Budget::new(0, now),
                up: Budget::new(0, now),
            },
            keys: Keys::after(1000),
            witness: None,
        }
    }

    /// Hands the torrent an event. Returns its actions.
    fn turn(&mut self, event: impl FnOnce(&mut Torrent, &mut Turn<'_>)) -> Vec<Action> {
        let turn = Turn::new(self.now, &mut self.budgets, &mut self.keys);
        let mut turn = turn.traced(self.witness.as_ref(), InfoHash([7; 20]));
        event(&mut self.torrent, &mut turn);
        turn.done()
    }

    /// Gives the dialled connection to `addr` this key.
    fn dialled(&mut self, key: PeerKey, addr: SocketAddr) {
        let begun = |(_, peer): &(&PeerKey, &Peer)| peer.addr == addr && !peer.welcome;
        let begun = self.torrent.peers.iter().find(begun).map(|(key, _)| *key);
        let begun = begun.and_then(|begun| self.torrent.peers.remove(&begun));
        let pieces = self.torrent.content.layout.pieces();
        let peer = begun.unwrap_or_else(|| Peer::new(addr, false, pieces, self.now));
        self.torrent.peers.insert(key, peer);
    }

    fn pass(&mut self, time: Duration) -> Vec<Action> {
        self.now += time;
        self.turn(Torrent::on_tick)
    }

    fn greet(&mut self, n: u8, incoming: bool) -> Vec<Action> {
        self.greet_as(n, key(n), addr(n), incoming)
    }

    /// A peer at `from` sends a handshake with the id of peer `n`, on connection `key`.
    fn greet_as(&mut self, n: u8, key: PeerKey, from: SocketAddr, incoming: bool) -> Vec<Action> {
        let handshake = Handshake::new(InfoHash([7; 20]), PeerId([n; 20]));
        if !incoming && !self.torrent.peers.contains_key(&key) {
            self.dialled(key, from);
        }
        let from = incoming.then_some(from);
        let greeting = Greeting {
            handshake,
            obfuscated: false,
        };
        self.turn(|torrent, turn| torrent.on_greeted(key, from, &greeting, turn))
    }

    fn event(&mut self, n: u8, event: PeerEvent) -> Vec<Action> {
        self.event_of(key(n), event)
    }

    fn event_of(&mut self, key: PeerKey, event: PeerEvent) -> Vec<Action> {
        self.turn(|torrent, turn| torrent.on_peer(key, event, turn))
    }

    /// Peer `n` joins with `pieces` and unchokes us.
    fn join(&mut self, n: u8, pieces: Bitfield) {
        assert!(welcomes(&self.greet(n, true), key(n)));
        self.event(n, PeerEvent::Pieces(pieces));
        self.event(n, PeerEvent::Choked(false));
    }

    fn join_seed(&mut self, n: u8) {
        self.join(n, Bitfield::all(self.layout.pieces()));
    }

    /// Peer `n` asks for work. Returns what it gets.
    fn want(&mut self, n: u8, blocks: u32) -> Vec<Span> {
        fetched(&self.event(n, PeerEvent::Want(blocks)), n)
    }

    fn store(&mut self, n: u8, spans: &[Span]) -> Vec<Action> {
        self.event(n, PeerEvent::Stored(spans.to_vec()))
    }

    fn verdict(&mut self, piece: u32, good: bool) -> Vec<Action> {
        let verdict = if good { Verdict::Right } else { Verdict::False };
        let mut actions = self.found(piece, verdict);
        if actions
            .iter()
            .any(|action| matches!(action, Action::Survey(_)))
        {
            actions.extend(self.surveyed(Surveyed::default()));
        }
        actions
    }

    fn found(&mut self, piece: u32, verdict: Verdict) -> Vec<Action> {
        let verdicts = [(self.piece(piece), verdict)];
        self.turn(|torrent, turn| torrent.on_verdicts(&verdicts, turn))
    }

    fn surveyed(&mut self, surveyed: Surveyed) -> Vec<Action> {
        self.turn(|torrent, turn| torrent.on_surveyed(&surveyed, turn))
    }

    fn hashes(&mut self, piece: u32, hashes: [u8; 4]) -> Vec<Action> {
        self.block_hashes(self.piece(piece), &hashes.map(|n| [n; 20]))
    }

    fn block_hashes(&mut self, piece: PieceIndex, hashes: &[[u8; 20]]) -> Vec<Action> {
        self.turn(|torrent, turn| torrent.on_block_hashes(piece, hashes, turn))
    }

    fn piece(&self, index: u32) -> PieceIndex {
        self.layout.piece(index).unwrap()
    }

    fn span(&self, piece: u32, numbers: std::ops::Range<u32>) -> Span {
        self.layout.span(self.piece(piece), numbers).unwrap()
    }

    fn banned(&self, n: u8) -> bool {
        self.torrent.swarm.is_banned(addr(n), true)
    }
}

fn key(n: u8) -> PeerKey {
    PeerKey(n.into())
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 6881))
}

fn welcomes(actions: &[Action], key: PeerKey) -> bool {
    let is_it = |action: &Action| matches!(action, Action::Welcome(who, _) if *who == key);
    actions.iter().any(is_it)
}

fn dials(actions: &[Action], addr: SocketAddr) -> bool {
    let is_it = |action: &Action| matches!(action, Action::Dial(_, to) if *to == addr);
    actions.iter().any(is_it)
}

fn hung_up(actions: &[Action]) -> Vec<PeerKey> {
    let keys = actions.iter().filter_map(|action| match action {
        Action::HangUp(key) => Some(*key),
        _ => None,
    });
    keys.collect()
}

fn fetched(actions: &[Action], n: u8) -> Vec<Span> {
    let spans = actions.iter().filter_map(|action| match action {
        Action::Send(to, Command::Fetch(spans)) if *to == key(n) => Some(spans.clone()),
        _ => None,
    });
    spans.flatten().collect()
}

fn cancelled(actions: &[Action], n: u8) -> Vec<Span> {
    let spans = actions.iter().filter_map(|action| match action {
        Action::Send(to, Command::Cancel(spans)) if *to == key(n) => Some(spans.clone()),
        _ => None,
    });
    spans.flatten().collect()
}

fn blocks(spans: &[Span]) -> u32 {
    spans.iter().map(|span| span.count()).sum()
}

fn announced(actions: &[Action]) -> Vec<&AnnounceRequest> {
    let requests = actions.iter().filter_map(|action| match action {
        Action::Announce(_, _, request) => Some(request),
        _ => None,
    });
    requests.collect()
}
