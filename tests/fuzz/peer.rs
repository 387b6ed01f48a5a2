//! A peer that says anything, in any cut: its bytes go through the real parser and the real
//! rules of a conversation to a real torrent, whose answers come back. Only socket, disk and
//! clock are played.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storrent::config::Strategy::{RarestFirst, Sequential};
use storrent::config::{Afterwards, Rules};
use storrent::door::Door;
use storrent::parts::bitfield::Bitfield;
use storrent::parts::layout::{Layout, PieceIndex, RawBlock};
use storrent::parts::messages::{Command, Greeting, Learning, PeerEvent, Surveyed, Verdict};
use storrent::parts::peer::{Learner, MAX_MESSAGE, Session, Talk};
use storrent::parts::torrent::{Action, Content, Setup, Torrent};
use storrent::parts::torrent::{Budget, Budgets, Keys, Turn};
use storrent::parts::wanted::Wanted;
use storrent::parts::wire::{self, Handshake, Message};
use storrent::types::{PeerId, PeerKey};

/// Keys that the torrent gives begin at 1.
const PEER: PeerKey = PeerKey(0);

/// A conversation, and the torrent that it is about.
struct Rig {
    torrent: Torrent,
    session: Session,
    layout: Arc<Layout>,
    budgets: Budgets,
    keys: Keys,
    now: Instant,
    /// What we asked the peer for: only that may be stored.
    asked: HashSet<RawBlock>,
    /// What of it is neither answered nor cancelled, in order.
    owed: VecDeque<RawBlock>,
    /// Between what it says, the peer also answers what it is asked, as an honest one does.
    obeys: bool,
    /// Which pieces turn out right is the input's choice, too.
    rng: fastrand::Rng,
    over: bool,
}

/// The first byte says what kind of torrent it is and who we are, the second whether the
/// peer also obeys, and how the rest, which it says, is cut.
pub(super) fn peer(data: &[u8]) {
    let Some((&[mode, cut], stream)) = data.split_first_chunk() else {
        return;
    };
    let mut rig = Rig::new(mode, cut);
    let mut came = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() && !rig.over {
        let len = rig.rng.usize(1..=1 + usize::from(cut % 128) * 8);
        let len = len.min(rest.len());
        let (next, after) = rest.split_at(len);
        rest = after;
        came.extend(next);
        rig.hear(&mut came);
        rig.turn();
        if came.is_empty() {
            rig.obey();
        }
    }
    rig.end();
}

impl Rig {
    fn new(mode: u8, seed: u8) -> Self {
        // Small pieces are soon whole; long ones have several blocks.
        let piece_length = if mode & 1 == 0 { 40 } else { 40_000 };
        let files = [50, 0, 30, 45, 3].map(|len| (len * piece_length / 40, len == 30));
        let layout = Arc::new(Layout::new(piece_length, &files).expect("a layout"));
        let mut have = Bitfield::none(layout.pieces());
        if mode & 2 != 0 {
            layout
                .piece(1)
                .into_iter()
                .for_each(|piece| _ = have.insert(piece));
        }
        if mode & 4 != 0 {
            have = Bitfield::all(layout.pieces());
        }
        let now = Instant::now();
        let chosen: Vec<bool> = (0..files.len())
            .map(|file| mode & 8 == 0 || file != 3)
            .collect();
        let setup = Setup {
            info_hash: super::HASH,
            peer_id: PeerId([1; 20]),
            content: Some(Content {
                name: String::new(),
                layout: layout.clone(),
                have: have.clone(),
                stored: Vec::new(),
                wanted: Wanted::new(&layout, &chosen),
                private: false,
            }),
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            door: Door::default(),
            port: 6881,
            max_peers: 5,
            pex: true,
            dht: true,
            lsd: false,
            rules: Rules {
                strategy: if mode & 16 == 0 {
                    RarestFirst
                } else {
                    Sequential
                },
                ..Rules::default()
            },
            afterwards: Afterwards::Seed {
                ratio: None,
                time: None,
            },
            stall_timeout: None,
            added: now,
            seed: seed.into(),
        };
        let limited = mode & 32 != 0;
        let fast = mode & 64 != 0;
        let mut session = Session::new(layout.clone(), have, Talk::new(fast, now), limited, now);
        session.extend(Some(vec![7; 20_000].into()), true);
        session.greet(None);
        let mut rig = Self {
            torrent: Torrent::new(setup, now),
            session,
            layout,
            budgets: Budgets {
                down: Budget::new(0, now),
                up: Budget::new(if limited { 1000 } else { 0 }, now),
            },
            keys: Keys::default(),
            now,
            asked: HashSet::new(),
            owed: VecDeque::new(),
            obeys: seed >= 128,
            rng: fastrand::Rng::with_seed(seed.into()),
            over: false,
        };
        rig.happen(Torrent::start);
        let handshake = Handshake::new(super::HASH, PeerId([2; 20]));
        let addr = SocketAddr::from(([10, 0, 0, 2], 6881));
        let greeting = Greeting {
            handshake,
            obfuscated: false,
        };
        rig.happen(|torrent, turn| torrent.on_greeted(PEER, Some(addr), &greeting, turn));
        rig
    }

    /// Something happens to the torrent, and it answers.
    fn happen(&mut self, event: impl FnOnce(&mut Torrent, &mut Turn<'_>)) {
        let mut turn = Turn::new(self.now, &mut self.budgets, &mut self.keys);
        event(&mut self.torrent, &mut turn);
        let actions = turn.done();
        self.perform(actions);
    }

    /// Takes the whole messages from `came`.
    fn hear(&mut self, came: &mut Vec<u8>) {
        let max = wire::max_message_len(self.layout.pieces());
        let mut used = 0;
        let mut stored = Vec::new();
        loop {
            match wire::decode(&came[used..], max) {
                Ok(Some((message, len))) => {
                    assert!(len > 0 && used + len <= came.len());
                    used += len;
                    match self.session.on_message(message, self.now) {
                        Ok(Some(block)) => {
                            let asked = self.asked.contains(&block.raw());
                            assert!(asked, "stores what it did not ask for");
                            stored.push((block.piece(), block.number()));
                        }
                        Ok(None) => {}
                        Err(_) => self.over = true,
                    }
                }
                Ok(None) => break,
                Err(_) => self.over = true,
            }
            if self.over {
                break;
            }
        }
        came.drain(..used);
        assert!(came.len() <= 4 + max, "more than a message waits");
        if !stored.is_empty() {
            self.session.on_stored(stored);
        }
    }

    /// The peer gives some of what it was asked for.
    fn obey(&mut self) {
        for _ in 0..self.rng.u32(..3) {
            let Some(raw) = self.owed.pop_front().filter(|_| self.obeys && !self.over) else {
                return;
            };
            let mut piece = Vec::new();
            wire::encode_piece_head(&mut piece, raw.index, raw.begin, raw.length);
            piece.resize(piece.len() + raw.length as usize, 0);
            self.hear(&mut piece);
            self.turn();
        }
    }

    /// A turn of the peer's thread, and what main makes of it.
    fn turn(&mut self) {
        self.now += Duration::from_millis(50);
        self.over |= self.session.on_tick(self.now).is_err();
        self.session.request(self.now);
        for _ in 0..4 {
            self.session.next_upload();
        }
        self.send();
        for event in std::mem::take(&mut self.session.talk.events) {
            self.tell(event);
        }
        self.happen(Torrent::on_tick);
        #[cfg(debug_assertions)]
        self.torrent.check();
    }

    /// What goes out must be what a peer can read.
    fn send(&mut self) {
        let out = std::mem::take(&mut self.session.talk.out);
        let mut rest = &out[..];
        while !rest.is_empty() {
            let read = wire::decode(rest, 1 << 20).expect("we speak well");
            let (message, len) = read.expect("we speak in whole messages");
            match message {
                Message::Request(raw) => {
                    self.asked.insert(raw);
                    self.owed.push_back(raw);
                }
                Message::Cancel(raw) => self.owed.retain(|owed| *owed != raw),
                Message::Have(index) => assert!(index < self.layout.pieces()),
                _ => {}
            }
            rest = &rest[len..];
        }
    }

    fn tell(&mut self, event: PeerEvent) {
        self.happen(|torrent, turn| torrent.on_peer(PEER, event, turn));
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(PEER, command) => self.session.on_command(command),
                Action::HangUp(PEER) => self.over = true,
                Action::Verify { pieces, .. } => {
                    let verdict = |rng: &mut fastrand::Rng| match rng.u8(..8) {
                        0..5 => Verdict::Right,
                        5..7 => Verdict::False,
                        _ => Verdict::Moved,
                    };
                    let pieces = pieces.into_iter();
                    let verdicts: Vec<(PieceIndex, Verdict)> = pieces
                        .map(|piece| (piece, verdict(&mut self.rng)))
                        .collect();
                    self.happen(|torrent, turn| torrent.on_verdicts(&verdicts, turn));
                }
                Action::Survey(_) => {
                    let found = Surveyed::default();
                    self.happen(|torrent, turn| torrent.on_surveyed(&found, turn));
                }
                Action::Fail(_) => self.over = true,
                Action::HashBlocks(piece) => {
                    let blocks = 0..self.layout.blocks_in(piece);
                    let hashes: Vec<[u8; 20]> = blocks.map(|_| [self.rng.u8(..2); 20]).collect();
                    self.happen(|torrent, turn| torrent.on_block_hashes(piece, &hashes, turn));
                }
                _ => {}
            }
        }
    }

    /// The peer hangs up: nothing is left on order at it.
    fn end(&mut self) {
        self.tell(PeerEvent::Closed("the end".into()));
        self.happen(Torrent::stop);
        assert!(self.torrent.no_giver_left());
    }
}

/// The same before the metadata is known: the first byte says how the rest is cut.
pub(super) fn learner(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else {
        return;
    };
    let mut now = Instant::now();
    let mut learner = Learner::new(super::HASH, Talk::new(cut & 1 != 0, now));
    learner.greet(None);
    let mut came = Vec::new();
    for part in stream.chunks(1 + usize::from(cut)) {
        now += Duration::from_millis(50);
        came.extend(part);
        loop {
            let len = match wire::decode(&came, MAX_MESSAGE) {
                Ok(Some((message, len))) => match learner.on_message(message, now) {
                    Ok(()) => len,
                    Err(_) => return,
                },
                Ok(None) => break,
                Err(_) => return,
            };
            came.drain(..len);
        }
        let mut out = &std::mem::take(&mut learner.talk.out)[..];
        while let Some((_, len)) = wire::decode(out, 1 << 20).expect("we speak well") {
            out = &out[len..];
        }
        assert!(out.is_empty(), "we speak in whole messages");
        for event in std::mem::take(&mut learner.talk.events) {
            match event {
                PeerEvent::Learning(Learning::Offers(_)) => {
                    learner.on_command(&Command::FetchMetadata(true), now);
                }
                PeerEvent::Learning(Learning::Whole(_)) => panic!("nobody can have made that"),
                _ => {}
            }
        }
        let mut kept = learner.kept();
        while let Some((_, len)) = wire::decode(kept, MAX_MESSAGE).expect("whole messages") {
            kept = &kept[len..];
        }
        if learner.on_tick(now).is_err() {
            return;
        }
    }
}
