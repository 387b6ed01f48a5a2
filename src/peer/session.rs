//! One conversation with one peer ([BEP 3], "peer messages"), as rules without a socket.
//!
//! Each side *chokes* the other ("I answer no requests") or not, and is *interested* ("you have a
//! piece that I want") or not. A side gets blocks while it is interested and the other does not
//! choke it. A [`Session`] holds these four flags and the queues that go with them:
//!
//! ```text
//!            main                        Session                          peer
//!              --- Fetch ---> backlog --- request ---> owed <--- piece ---
//!              <-- Want ----                              \
//!              <-- Stored / Released ----------------------'
//!                                      uploads <--- request ---
//!                                             \--- piece --->
//! ```
//!
//! The upper half of the picture is in [`fetching`], the lower half in [`giving`]. Messages and
//! commands go in; bytes for the peer ([`Talk::out`]) and events for main ([`Talk::events`]) come
//! out. No I/O, no clock: the peer's thread owns the session, the socket and the disk.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

mod extended;
mod fetching;
mod giving;
mod waiting;

use super::error::PeerError;
use super::talk::Talk;
use crate::bitfield::Bitfield;
use crate::layout::{Block, Layout, RawBlock};
use crate::messages::{Asking, Command, PeerEvent};
use crate::pipeline::Pipeline;
use crate::wire::Message;
use extended::Extensions;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A peer that owes us blocks and sends none for 20 s is snubbed: its work goes to others.
pub(crate) const SNUB_AFTER: Duration = Duration::from_secs(20);

/// A piece is usually verified within 500 ms after the peer's last block. Later we expect no news.
const NEWS_WITHIN: Duration = Duration::from_millis(500);

const TRAFFIC_EVERY: Duration = Duration::from_millis(500);

/// The most bytes that wait for a peer that does not read. No honest peer causes more.
const MAX_REPLIES: usize = 1 << 20;

/// A peer is dropped if it changes its mind (choke, unchoke, interested, not interested), or
/// introduces itself, more than 100 times within [`TRAFFIC_EVERY`]: it would keep main busy.
const MAX_BOTHERS: u32 = 100;

/// The state of one conversation.
#[derive(Debug)]
pub struct Session {
    layout: Arc<Layout>,
    /// The pieces that we have and may serve.
    have: Bitfield,
    theirs: Bitfield,
    peer_chokes: bool,
    peer_wants: bool,
    /// How often the peer changed its mind or introduced itself since the last traffic report.
    bothers: u32,
    we_choke: bool,
    we_want: bool,
    /// Blocks to request when the window has room.
    backlog: VecDeque<Block>,
    /// Blocks that we requested and did not receive yet.
    owed: VecDeque<Block>,
    /// Requests that we cancelled, or that a choke ended, and that the peer may still answer.
    strays: VecDeque<RawBlock>,
    work: Asking,
    /// Whether main will soon say which pieces are right ([`Command::Had`]): blocks of the peer
    /// were just written.
    news_due: bool,
    /// Whether main owes the answer to a [`PeerEvent::Pieces`].
    asked_interest: bool,
    /// Whether main owes the answer to a [`PeerEvent::Interested`].
    asked_unchoke: bool,
    /// Blocks that the peer requested, in order.
    uploads: VecDeque<Block>,
    /// How many bytes we may send before we ask main again. `None` without an upload limit.
    allowance: Option<u64>,
    asked_allowance: bool,
    pipeline: Pipeline,
    extensions: Extensions,
    /// The time from our handshake to the peer's, if we sent ours first.
    greeted_within: Option<Duration>,
    wanted_at: Option<Instant>,
    rejects: u32,
    /// Since when the peer has owed us blocks and sent none.
    owing_since: Instant,
    down: u64,
    up: u64,
    traffic_told: Instant,
    /// Bytes for the peer and events for main.
    pub talk: Talk,
}

impl Session {
    /// Begins after both handshakes, with the pieces that we `have` and the `talk` so far.
    /// `limited`: an upload limit exists.
    pub fn new(
        layout: Arc<Layout>,
        have: Bitfield,
        talk: Talk,
        limited: bool,
        now: Instant,
    ) -> Self {
        let theirs = Bitfield::none(layout.pieces());
        Self {
            layout,
            have,
            theirs,
            peer_chokes: true,
            peer_wants: false,
            bothers: 0,
            we_choke: true,
            we_want: false,
            backlog: VecDeque::new(),
            owed: VecDeque::new(),
            strays: VecDeque::new(),
            work: Asking::default(),
            news_due: false,
            asked_interest: false,
            asked_unchoke: false,
            uploads: VecDeque::new(),
            allowance: limited.then_some(0),
            asked_allowance: false,
            pipeline: Pipeline::new(),
            extensions: Extensions::default(),
            greeted_within: None,
            wanted_at: None,
            rejects: 0,
            owing_since: now,
            down: 0,
            up: 0,
            traffic_told: now,
            talk,
        }
    }

    /// The peer's handshake came this long after ours: no round trip takes longer.
    pub fn on_greeted(&mut self, within: Duration) {
        self.greeted_within = Some(within);
    }

    /// Says first which pieces we have, and who we are, if the peer knows BEP 10
    /// (`extension_handshake`).
    pub fn greet(&mut self, extension_handshake: Option<&[u8]>) {
        match (self.talk.fast, self.have.is_full(), self.have.is_empty()) {
            (true, true, _) => self.talk.say(Message::HaveAll),
            (true, _, true) => self.talk.say(Message::HaveNone),
            (false, _, true) => {}
            _ => self.talk.say(Message::Bitfield(self.have.as_bytes())),
        }
        self.talk.introduce(extension_handshake);
    }

    /// Greets anew a peer that we greeted before the metadata was known: with who we are and what
    /// we have.
    pub fn greet_again(&mut self, extension_handshake: Option<&[u8]>) {
        self.talk.introduce(extension_handshake);
        let have = self.have.iter();
        have.for_each(|piece| self.talk.say(Message::Have(piece.get())));
    }

    /// Handles a message from the peer. Returns a block that we requested: its data must be stored.
    pub fn on_message(
        &mut self,
        message: Message<'_>,
        now: Instant,
    ) -> Result<Option<Block>, PeerError> {
        self.talk.heard = now;
        match message {
            // A flood of the same message does not reach main.
            Message::Choke if self.peer_chokes => {}
            Message::Choke => self.on_choke(),
            Message::Unchoke => self.on_unchoke(),
            Message::Interested => self.on_interested(true),
            Message::NotInterested => self.on_interested(false),
            Message::Have(index) => {
                let piece = self
                    .layout
                    .piece(index)
                    .ok_or(PeerError::NoSuchPiece(index))?;
                if self.theirs.insert(piece) {
                    self.work.wake();
                    self.talk.tell(PeerEvent::Have(piece));
                }
            }
            Message::Bitfield(bits) => self.on_bitfield(bits)?,
            Message::HaveAll if !self.theirs.is_full() => {
                self.on_pieces(Bitfield::all(self.layout.pieces()));
            }
            Message::Request(raw) => self.on_request(raw)?,
            Message::Cancel(raw) => self.on_cancel(raw),
            Message::Piece { index, begin, data } => {
                return self.on_piece(
                    RawBlock {
                        index,
                        begin,
                        length: data.len() as u32,
                    },
                    now,
                );
            }
            Message::Reject(raw) => self.on_reject(raw)?,
            Message::Extended { id, payload } => self.on_extended(id, payload, now)?,
            Message::Port(port) => self.talk.on_node(port),
            // Hints that we need not follow, among others.
            Message::KeepAlive
            | Message::HaveAll
            | Message::HaveNone
            | Message::Suggest(_)
            | Message::AllowedFast(_)
            | Message::Unknown(_) => {}
        }
        if self.talk.out.len() > MAX_REPLIES || self.bothers > MAX_BOTHERS {
            Err(PeerError::Flood)
        } else {
            Ok(None)
        }
    }

    fn on_bitfield(&mut self, bits: &[u8]) -> Result<(), PeerError> {
        let (bytes, pieces) = (bits.len(), self.layout.pieces());
        let has = Bitfield::from_bytes(bits, pieces);
        self.on_pieces(has.ok_or(PeerError::BadBitfield { bytes, pieces })?);
        Ok(())
    }

    /// Adds to the peer's pieces. BEP 3 allows a bitfield only as the first message, but aria2 also
    /// sends one later, if it is shorter than many haves.
    fn on_pieces(&mut self, pieces: Bitfield) {
        let fresh = pieces.iter().filter(|piece| self.theirs.insert(*piece));
        if fresh.count() > 0 {
            self.asked_interest = true;
            self.work.wake();
            self.talk.tell(PeerEvent::Pieces(pieces));
        }
    }

    /// Obeys a command of main. (The thread has already dropped received but unwritten blocks of a
    /// [`Command::Cancel`].)
    pub fn on_command(&mut self, command: Command) {
        match command {
            Command::Fetch(spans) => self.fetch(spans),
            Command::Cancel(spans) => self.cancel(spans),
            Command::Had(pieces) => {
                self.news_due = false;
                for piece in pieces.iter() {
                    self.have.insert(*piece);
                    self.talk.say(Message::Have(piece.get()));
                }
            }
            Command::Moved(lost) => self.on_lost(&lost),
            Command::Interest(want) => {
                self.asked_interest = false;
                if std::mem::replace(&mut self.we_want, want) != want {
                    let message = if want {
                        Message::Interested
                    } else {
                        Message::NotInterested
                    };
                    self.talk.say(message);
                }
            }
            Command::Choke(choke) => self.choke(choke),
            Command::MayUpload(bytes) => {
                self.asked_allowance = false;
                self.allowance = self.allowance.map(|allowance| allowance + bytes);
            }
            Command::TellPeers { added, dropped } => self.tell_peers(&added, &dropped),
            Command::FetchMetadata(_) => {} // we have it
        }
    }

    /// Handles what depends on time: keep-alives, the snub, the traffic report.
    ///
    /// # Errors
    /// [`PeerError::Silent`], if the peer said nothing for 130 s.
    pub fn on_tick(&mut self, now: Instant) -> Result<(), PeerError> {
        self.talk.on_tick(now)?;
        self.news_due &= now.duration_since(self.talk.heard) < NEWS_WITHIN;
        if self.we_want {
            self.wanted_at.get_or_insert(now);
        }
        if !self.owed.is_empty() && now.duration_since(self.owing_since) >= SNUB_AFTER {
            self.on_snub(now);
        }
        if now.duration_since(self.traffic_told) >= TRAFFIC_EVERY {
            self.traffic_told = now;
            self.bothers = 0;
            self.tell_traffic();
        }
        Ok(())
    }

    /// Tells main how many bytes came and went since the last time.
    pub fn tell_traffic(&mut self) {
        let (down, up) = (std::mem::take(&mut self.down), std::mem::take(&mut self.up));
        if down + up > 0 {
            self.talk.tell(PeerEvent::Traffic { down, up });
        }
    }
}

#[cfg(test)]
mod tests;
