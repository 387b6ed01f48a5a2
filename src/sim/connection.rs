//! Plays the peers' threads of each node and the lines between them, in place of
//! [`peer`](crate::peer).

use super::Swarm;
use super::queue::{Event, Now};
use crate::layout::{BLOCK_LEN, Block};
use crate::messages::{Command, PeerEvent};
use crate::peer::session::Session;
use crate::peer::turn::{self, Blocks, Patience, Sleep};
use crate::types::PeerKey;
use crate::wire::{self, Message};
use std::collections::VecDeque;
use std::time::Duration;

/// Bytes that the kernel buffers for a connection. They can't be cancelled.
const SEND_BUFFER: usize = 128 * 1024;

/// Blocks are written when the receive buffer holds this many bytes, or when they are this old.
const HELD_BYTES: u32 = 900 * 1024;
const HELD_FOR: Duration = Duration::from_millis(500);

/// Messages up to this many bytes, all but blocks, take no time on a line.
const SMALL: usize = 1000;

/// Longer than any message here.
const MAX_MESSAGE: usize = 1 << 20;

/// The longest sleep of an idle connection.
const IDLE: Duration = Duration::from_secs(10);

/// A true block. The first byte of a false one is 1.
static DATA: [u8; BLOCK_LEN as usize] = [0; BLOCK_LEN as usize];

/// One end of a connection, as its thread sees it.
pub(super) struct Side {
    pub(super) other: (usize, PeerKey),
    pub(super) incoming: bool,
    pub(super) session: Option<Session>,
    pub(super) inbox: VecDeque<Command>,
    /// Blocks received and not written, and whether they are true.
    held: Vec<(Block, bool)>,
    held_since: Option<Duration>,
    /// Messages that the kernel has taken and not sent.
    outgoing: VecDeque<Vec<u8>>,
    outgoing_bytes: usize,
    /// On their way here. `None`: the other side hung up.
    arriving: VecDeque<Option<Vec<u8>>>,
    /// Arrived, but the thread sleeps on.
    arrived: Vec<u8>,
    pub(super) sleep: Sleep,
    pub(super) wake_at: Option<Duration>,
}

impl Side {
    pub(super) fn new(other: (usize, PeerKey), incoming: bool) -> Self {
        Self {
            other,
            incoming,
            session: None,
            inbox: VecDeque::new(),
            held: Vec::new(),
            held_since: None,
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
            arriving: VecDeque::new(),
            arrived: Vec::new(),
            sleep: Sleep::Read(Patience::Usual),
            wake_at: None,
        }
    }
}

impl Swarm {
    /// Ends the thread: its last event goes to main, and the other side finds out.
    pub(super) fn close(&mut self, index: usize, key: PeerKey, why: &str) {
        self.store(index, key);
        let Some(mut side) = self.nodes[index].sides.remove(&key) else {
            return;
        };
        if let Some(session) = &mut side.session {
            session.tell_traffic();
            for event in session.talk.events.drain(..) {
                self.pending.push_back(Now::ToMain(index, key, event));
            }
        }
        let closed = PeerEvent::Closed(why.into());
        self.pending.push_back(Now::ToMain(index, key, closed));
        let (other, their_key) = side.other;
        let delay = self.delay(index, other);
        if let Some(there) = self.nodes[other].sides.get_mut(&their_key) {
            there.arriving.push_back(None);
            self.after(delay, Event::Arrive(other, their_key));
        }
    }

    /// Bytes arrive over the line, or its end. They wake the thread up if it sleeps in a read for no
    /// more than these.
    pub(super) fn arrive(&mut self, index: usize, key: PeerKey) {
        let node = &mut self.nodes[index];
        let Some(side) = node.sides.get_mut(&key) else {
            return;
        };
        match side.arriving.pop_front() {
            Some(Some(bytes)) => {
                side.arrived.extend(bytes);
                if side.arrived.len() >= side.sleep.bytes() {
                    self.turn(index, key);
                }
            }
            _ if self.hear(index, key) => self.close(index, key, "the peer hung up"),
            _ => {}
        }
    }

    /// Reads what has arrived. Returns whether the connection stays.
    fn hear(&mut self, index: usize, key: PeerKey) -> bool {
        let Some(side) = self.nodes[index].sides.get_mut(&key) else {
            return false;
        };
        let bytes = std::mem::take(&mut side.arrived);
        if bytes.is_empty() {
            return true;
        }
        if let Err(why) = self.read(index, key, &bytes) {
            self.close(index, key, &why);
            return false;
        }
        let Some(side) = self.nodes[index].sides.get_mut(&key) else {
            return false;
        };
        if !side.held.is_empty() {
            let since = *side.held_since.get_or_insert(self.now);
            let bytes: u32 = side.held.iter().map(|(block, _)| block.len()).sum();
            let due = self.now - since >= HELD_FOR || bytes >= HELD_BYTES;
            if due || side.session.as_ref().is_some_and(Session::is_last_in_line) {
                self.store(index, key);
            }
        }
        true
    }

    fn read(&mut self, index: usize, key: PeerKey, bytes: &[u8]) -> Result<(), String> {
        let at = self.at();
        let Some(side) = self.nodes[index].sides.get_mut(&key) else {
            return Ok(());
        };
        let Some(session) = &mut side.session else {
            return Err("bytes before the handshake".into());
        };
        let (mut used, mut end) = (0, Ok(()));
        let (mut requests, mut cancels, mut got) = (0, 0, 0);
        while let Some((message, len)) =
            wire::decode(&bytes[used..], MAX_MESSAGE).map_err(|error| error.to_string())?
        {
            let truth = !matches!(message, Message::Piece { data: [1, ..], .. });
            match message {
                Message::Piece { .. } => got += 1,
                Message::Request(_) => requests += 1,
                Message::Cancel(_) => cancels += 1,
                _ => {}
            }
            match session.on_message(message, at) {
                Ok(block) => side.held.extend(block.map(|block| (block, truth))),
                Err(error) => end = Err(error.to_string()),
            }
            used += len;
        }
        let other = side.other.0;
        self.nodes[index].figures.got += got;
        let theirs = &mut self.nodes[other].figures;
        theirs.requests += requests;
        theirs.cancels += cancels;
        end
    }

    fn store(&mut self, index: usize, key: PeerKey) {
        let checked = self.checks.is_some();
        let node = &mut self.nodes[index];
        let Some(side) = node.sides.get_mut(&key) else {
            return;
        };
        side.held_since = None;
        let Some(session) = side.session.as_mut().filter(|_| !side.held.is_empty()) else {
            return;
        };
        let mut stored = Vec::new();
        for (block, truth) in side.held.drain(..) {
            let verified = node.torrent.have().has(block.piece());
            assert!(!checked || !verified, "a verified piece is written to");
            let place = (block.piece(), block.number());
            let before = node.disk.put(place.0, place.1, truth);
            // If two wrote a block, nobody can tell which of them lied.
            let alone = node.orders.get(&place).is_some_and(|at| at.len() == 1);
            if !truth && alone && before.is_none() {
                let fooled_by = &mut node.figures.fooled_by;
                *fooled_by.entry(side.other.0).or_default() += 1;
            }
            stored.push(place);
        }
        session.on_stored(stored);
    }

    /// One turn of a peer's thread, as in [`crate::peer`], after the sleep before it.
    pub(super) fn turn(&mut self, index: usize, key: PeerKey) {
        if !self.hear(index, key) {
            return;
        }
        let at = self.at();
        let Some(side) = self.nodes[index].sides.get_mut(&key) else {
            return;
        };
        let Some(session) = &mut side.session else {
            return;
        };
        for command in side.inbox.drain(..) {
            if let Command::Cancel(spans) = &command {
                side.held
                    .retain(|(block, _)| !spans.iter().any(|span| span.contains(*block)));
            }
            session.on_command(command);
        }
        if let Err(end) = session.on_tick(at) {
            return self.close(index, key, &end.to_string());
        }
        session.request(at);
        let drained = self.flush(index, key);
        let Some(side) = self.nodes[index].sides.get_mut(&key) else {
            return;
        };
        let Some(session) = &mut side.session else {
            return;
        };
        for event in session.talk.events.drain(..) {
            self.pending.push_back(Now::ToMain(index, key, event));
        }
        let debts = session.debts(!drained, at);
        side.sleep = turn::next(debts);
        let busy = !drained || debts.blocks != Blocks::None || !side.held.is_empty();
        let nap = if busy { side.sleep.time() } else { IDLE };
        side.wake_at = None; // each sleep has its full time
        self.wake_within(index, key, nap);
    }

    pub(super) fn wake_within(&mut self, index: usize, key: PeerKey, nap: Duration) {
        let wake = self.now + nap;
        let Some(side) = self.nodes[index].sides.get_mut(&key) else {
            return;
        };
        // An earlier tick is soon enough.
        if side.wake_at.is_none_or(|at| at > wake) {
            side.wake_at = Some(wake);
            self.after(nap, Event::Wake(index, key));
        }
    }

    /// Hands the kernel as many bytes as it takes. Returns whether all are out.
    fn flush(&mut self, index: usize, key: PeerKey) -> bool {
        let node = &mut self.nodes[index];
        let Some(side) = node.sides.get_mut(&key) else {
            return true;
        };
        let Some(session) = &mut side.session else {
            return true;
        };
        let idle = side.outgoing.is_empty();
        let mut drained = true;
        loop {
            if !session.talk.out.is_empty() {
                side.outgoing_bytes += session.talk.out.len();
                side.outgoing
                    .push_back(std::mem::take(&mut session.talk.out));
            }
            if side.outgoing_bytes >= SEND_BUFFER {
                drained = false;
                break;
            }
            let Some(block) = session.next_upload() else {
                break;
            };
            *node.figures.gave_to.entry(side.other.0).or_default() += 1;
            let lies = node.role.lies_one_in;
            let is_true = node.disk.get(block.piece(), block.number()) == Some(true);
            let lie = !is_true || lies > 0 && self.rng.u32(..lies) == 0;
            let mut bytes = Vec::with_capacity(wire::PIECE_HEAD_LEN + block.len() as usize);
            wire::encode_piece_head(&mut bytes, block.piece().get(), block.begin(), block.len());
            bytes.extend_from_slice(&DATA[..block.len() as usize]);
            bytes[wire::PIECE_HEAD_LEN] = u8::from(lie);
            side.outgoing_bytes += bytes.len();
            side.outgoing.push_back(bytes);
        }
        if idle && !side.outgoing.is_empty() {
            node.line.push_back(key);
        }
        self.send(index);
        drained
    }

    /// Sends over the line: one message of each connection in turn.
    pub(super) fn send(&mut self, index: usize) {
        let at = self.at();
        while !self.nodes[index].line_busy {
            let node = &mut self.nodes[index];
            let Some(key) = node.line.pop_front() else {
                return;
            };
            let Some(side) = node.sides.get_mut(&key) else {
                continue;
            };
            let Some(bytes) = side.outgoing.pop_front() else {
                continue;
            };
            side.outgoing_bytes -= bytes.len();
            if !side.outgoing.is_empty() {
                node.line.push_back(key);
            }
            let stuck = side.outgoing_bytes + bytes.len() >= SEND_BUFFER;
            let debts = side
                .session
                .as_ref()
                .map(|session| session.debts(stuck, at));
            let in_write = debts.is_some_and(|debts| turn::next(debts) == Sleep::Write);
            let (other, their_key) = side.other;
            self.carry(index, (other, their_key), bytes);
            if in_write {
                self.pending.push_back(Now::Turn(index, key));
            }
        }
    }

    /// Puts bytes on the line of `index`. Small messages take no time, which halves the events.
    fn carry(&mut self, index: usize, (other, their_key): (usize, PeerKey), bytes: Vec<u8>) {
        let is_long = bytes.len() > SMALL;
        let time = |rate: u64| match is_long && rate > 0 {
            true => Duration::from_secs_f64(bytes.len() as f64 / rate as f64),
            false => Duration::ZERO,
        };
        let up = time(self.nodes[index].role.up);
        if up > Duration::ZERO {
            self.nodes[index].line_busy = true;
            self.after(up, Event::LineFree(index));
        }
        let sent = self.now + up + self.delay(index, other);
        let there = &mut self.nodes[other];
        let mut arrives = sent;
        if there.role.down > 0 {
            // Earlier bytes take their time.
            arrives = sent.max(there.comes_until) + time(there.role.down);
            there.comes_until = arrives;
        }
        if let Some(side) = there.sides.get_mut(&their_key) {
            side.arriving.push_back(Some(bytes));
            self.after(arrives - self.now, Event::Arrive(other, their_key));
        }
    }
}
