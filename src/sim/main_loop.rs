//! Plays the main loop of each node, in place of [`engine`](crate::engine): brings events to its
//! torrent, and does what that decides.

use super::Swarm;
use super::connection::Side;
use super::node::{INFO_HASH, Presence};
use super::queue::{Check, Event, Now};
use crate::extension::{self, Ourselves};
use crate::layout::PieceIndex;
use crate::messages::{Command, Greeting, PeerEvent, Surveyed, Verdict};
use crate::peer::session::Session;
use crate::peer::talk::Talk;
use crate::peer::turn::Sleep;
use crate::report::Report;
use crate::torrent::{Action, Entry, Torrent};
use crate::types::PeerKey;
use crate::wire::Handshake;
use std::net::SocketAddr;
use std::time::Duration;

const CHECK_TIME: Duration = Duration::from_millis(2);

impl Swarm {
    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Join(node) => {
                let (layout, at) = (self.layout.clone(), self.at());
                self.nodes[node].renew(layout, at);
                self.join(node);
            }
            Event::Leave(node) => self.remove(node),
            Event::Greet(node, key, dialled) => self.greet(node, key, dialled),
            Event::Arrive(node, key) => self.arrive(node, key),
            Event::LineFree(node) => {
                self.nodes[node].line_busy = false;
                self.send(node);
            }
            Event::Wake(node, key) => {
                if let Some(side) = self.nodes[node].sides.get_mut(&key)
                    && side.wake_at == Some(self.now)
                {
                    side.wake_at = None;
                    self.pending.push_back(Now::Turn(node, key));
                }
            }
            Event::Tick(node) => self.on_tick(node),
            Event::Refused(node, key) => {
                let why = PeerEvent::Closed("refused".into());
                self.pending.push_back(Now::ToMain(node, key, why));
            }
            Event::Checked(node, life, check) if self.nodes[node].life == life => {
                self.on_checked(node, &check);
            }
            Event::Checked(..) => {}
        }
    }

    fn on_tick(&mut self, index: usize) {
        let (now, at) = (self.now, self.at());
        let node = &mut self.nodes[index];
        if node.presence != Presence::Here {
            return;
        }
        let mut actions = node.tell(at, Torrent::on_tick);
        let lets_ask = (node.role.gives)(index, now);
        if std::mem::replace(&mut node.let_ask, lets_ask) != lets_ask {
            let all = node.sides.iter().filter(|(_, side)| side.session.is_some());
            let command = Command::Choke(!lets_ask);
            actions.extend(all.map(|(key, _)| Action::Send(*key, command.clone())));
        }
        self.perform(index, actions);
        self.after(self.tick, Event::Tick(index));
    }

    fn on_checked(&mut self, index: usize, check: &Check) {
        let (at, believes) = (self.at(), !self.hashes);
        let node = &mut self.nodes[index];
        let (disk, layout) = (&node.disk, &self.layout);
        let truth = |piece: PieceIndex| {
            (0..layout.blocks_in(piece)).map(move |n| disk.get(piece, n) == Some(true))
        };
        let actions = match check {
            Check::Pieces(pieces) => {
                let verdict = |piece: &PieceIndex| match believes || truth(*piece).all(|it| it) {
                    true => (*piece, Verdict::Right),
                    false => (*piece, Verdict::False),
                };
                let verdicts: Vec<_> = pieces.iter().map(verdict).collect();
                node.tell(at, |torrent, turn| torrent.on_verdicts(&verdicts, turn))
            }
            Check::Blocks(piece) => {
                let hashes: Vec<_> = truth(*piece).map(|it| [u8::from(it); 20]).collect();
                node.tell(at, |torrent, turn| {
                    torrent.on_block_hashes(*piece, &hashes, turn);
                })
            }
            Check::Files => {
                let found = Surveyed::default();
                node.tell(at, |torrent, turn| torrent.on_surveyed(&found, turn))
            }
        };
        self.check_bytes(index);
        self.perform(index, actions);
    }

    /// Handles all that happened at this moment.
    pub(super) fn settle(&mut self) {
        while let Some(next) = self.pending.pop_front() {
            match next {
                Now::ToMain(node, key, event) => self.tell_main(node, key, event),
                Now::Turn(node, key) => self.turn(node, key),
            }
        }
    }

    fn tell_main(&mut self, index: usize, key: PeerKey, event: PeerEvent) {
        let at = self.at();
        let node = &mut self.nodes[index];
        let ended: Vec<(PieceIndex, u32)> = match &event {
            PeerEvent::Stored(spans)
            | PeerEvent::Released(spans, _)
            | PeerEvent::Cancelled(spans) => {
                let blocks = spans.iter().map(|span| (span.piece(), span.numbers()));
                blocks
                    .flat_map(|(piece, numbers)| numbers.map(move |n| (piece, n)))
                    .collect()
            }
            PeerEvent::Closed(_) => node.orders.keys().copied().collect(),
            _ => Vec::new(),
        };
        for block in ended {
            node.cancelled.remove(&(key, block.0, block.1));
            if let Some(holders) = node.orders.get_mut(&block) {
                holders.retain(|holder| *holder != key);
                if holders.is_empty() {
                    node.orders.remove(&block);
                }
            }
        }
        let actions = node.tell(at, |torrent, turn| torrent.on_peer(key, event, turn));
        self.perform(index, actions);
    }

    pub(super) fn perform(&mut self, index: usize, actions: Vec<Action>) {
        self.check_books(index);
        for action in actions {
            self.act(index, action);
        }
    }

    fn act(&mut self, index: usize, action: Action) {
        match action {
            Action::Dial(key, addr) => self.dial(index, key, addr),
            Action::Welcome(key, entry) => {
                self.welcome(index, key, entry.expect("content that is known"));
            }
            Action::Send(key, command) => self.command(index, key, command),
            Action::HangUp(key) => self.close(index, key, "no longer needed"),
            Action::Verify { pieces, .. } => self.check(index, Check::Pieces(pieces)),
            Action::HashBlocks(piece) => self.check(index, Check::Blocks(piece)),
            Action::Survey(_) => self.check(index, Check::Files),
            Action::Fail(why) => {
                self.nodes[index].figures.failed = Some(why);
                self.after(Duration::ZERO, Event::Leave(index));
            }
            Action::Complete => {
                let node = &mut self.nodes[index];
                let figures = &mut node.figures;
                figures.complete = (!figures.seed).then_some(self.now);
                figures.completions += 1;
                if node.role.leaves_when_complete && !node.role.seed {
                    self.after(Duration::ZERO, Event::Leave(index));
                }
            }
            Action::Tell(Report::Trace(fact)) => self.facts.push(fact),
            Action::Announce(..)
            | Action::SearchDht { .. }
            | Action::EnterDht(_)
            | Action::AnnounceLocally
            | Action::OpenWebSeed(..)
            | Action::Learnt(_)
            | Action::Done
            | Action::GiveUp(_)
            | Action::Tell(_) => {}
        }
    }

    fn check(&mut self, index: usize, check: Check) {
        let life = self.nodes[index].life;
        self.after(CHECK_TIME, Event::Checked(index, life, check));
    }

    /// Connects two nodes, unless nobody is at `addr`.
    fn dial(&mut self, index: usize, key: PeerKey, addr: SocketAddr) {
        let target = Self::node_at(addr);
        let there = self.nodes.get_mut(target);
        let Some(there) = there.filter(|there| there.presence == Presence::Here) else {
            let delay = self.nodes[index].role.delay * 2;
            return self.after(delay, Event::Refused(index, key));
        };
        let their_key = there.keys.take();
        there.sides.insert(their_key, Side::new((index, key), true));
        let ours = Side::new((target, their_key), false);
        self.nodes[index].sides.insert(key, ours);
        // There, back, and there again with the handshake.
        let delay = self.delay(index, target) * 3;
        self.after(delay, Event::Greet(target, their_key, false));
    }

    /// A handshake came: asks the torrent, and answers the other side.
    fn greet(&mut self, index: usize, key: PeerKey, dialled: bool) {
        let at = self.at();
        let Some(other) = self.nodes[index].sides.get(&key).map(|side| side.other) else {
            return;
        };
        let handshake = Handshake::new(INFO_HASH, self.nodes[other.0].peer_id);
        // A peer dials from any port.
        let port = 50_000 + (other.1.0 % 10_000) as u16;
        let from = SocketAddr::new(Self::addr(other.0).ip(), port);
        let from = (!dialled).then_some(from);
        let greeting = Greeting {
            handshake,
            obfuscated: false,
        };
        let actions = self.nodes[index].tell(at, |torrent, turn| {
            torrent.on_greeted(key, from, &greeting, turn);
        });
        let welcome = |action: &Action| matches!(action, Action::Welcome(who, _) if *who == key);
        if !dialled && actions.iter().any(welcome) {
            let delay = self.delay(index, other.0);
            self.after(delay, Event::Greet(other.0, other.1, true));
        }
        self.perform(index, actions);
    }

    fn welcome(&mut self, index: usize, key: PeerKey, entry: Entry) {
        let at = self.at();
        let Some((other, incoming)) = self.nodes[index]
            .sides
            .get(&key)
            .map(|side| (side.other.0, side.incoming))
        else {
            return;
        };
        let Entry { have, complete } = entry;
        let talk = Talk::new(true, at);
        let mut session = Session::new(self.layout.clone(), have, talk, false, at);
        if !incoming {
            session.on_greeted(self.delay(index, other) * 2);
        }
        session.greet(Some(&extension::encode(&Ourselves {
            port: Some(6881),
            seeding: complete,
            their_ip: Some(Self::addr(index).ip()),
            metadata: true,
            metadata_size: Some(1),
            pex: false,
        })));
        if let Some(side) = self.nodes[index].sides.get_mut(&key) {
            side.session = Some(session);
        }
        self.pending.push_back(Now::Turn(index, key));
    }

    fn command(&mut self, index: usize, key: PeerKey, mut command: Command) {
        let now = self.now;
        if command == Command::Choke(false) {
            command = Command::Choke(!(self.nodes[index].role.gives)(index, now));
        }
        self.note_order(index, key, &command);
        let Some(side) = self.nodes[index].sides.get_mut(&key) else {
            return;
        };
        side.inbox.push_back(command);
        match side.sleep {
            Sleep::Channel => self.pending.push_back(Now::Turn(index, key)),
            sleep => self.wake_within(index, key, sleep.time()),
        }
    }
}
