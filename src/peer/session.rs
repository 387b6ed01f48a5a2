//! One conversation with one peer ([BEP 3], "peer messages"), as rules without a socket.
//!
//! Either side *chokes* the other ("I answer no requests") and is *interested* or not
//! ("you have pieces that I want"). Blocks flow where one side is interested and the
//! other does not choke it. A [`Session`] holds these four flags and the queues that
//! go with them:
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
//! Messages and commands go in; bytes for the peer ([`Talk::out`]) and events for main
//! ([`Talk::events`]) come out. The time is an argument. The peer thread is
//! the only user, and the only one who touches the socket and the disk. The upper half of
//! the picture is in [`fetching`], the lower in [`giving`].
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

/// A peer that owes blocks and sends none for 20 s is snubbed: its work goes to others.
pub(crate) const SNUB_AFTER: Duration = Duration::from_secs(20);

/// In most cases the piece of the block that a peer gave last is verified within 500 ms.
const NEWS_WITHIN: Duration = Duration::from_millis(500);

/// How often traffic is told to main.
const TRAFFIC_EVERY: Duration = Duration::from_millis(500);

/// Bytes that wait for a peer that does not read: more than any honest one causes.
const MAX_REPLIES: usize = 1 << 20;

/// A peer that changes its mind (choke, unchoke, interested, not interested), or says who it
/// is, more than 100 times within [`TRAFFIC_EVERY`] keeps main busy and is dropped.
const MAX_BOTHERS: u32 = 100;

/// The state of one conversation.
#[derive(Debug)]
pub struct Session {
    layout: Arc<Layout>,
    /// What we have and may serve.
    have: Bitfield,
    /// What the peer has.
    theirs: Bitfield,
    peer_chokes: bool,
    /// It is interested.
    peer_wants: bool,
    /// How often lately it made us tell main something that main may have heard before: it
    /// changed its mind (choke, interest), or said anew who it is.
    bothers: u32,
    we_choke: bool,
    we_want: bool,
    /// To be requested when the window has room.
    backlog: VecDeque<Block>,
    /// Requested, not received.
    owed: VecDeque<Block>,
    /// Blocks that we cancelled or gave up, but that may still come.
    strays: u32,
    /// Whether main was asked for work.
    work: Asking,
    /// Blocks that it gave were just written: main will soon say which pieces are right
    /// ([`Command::Had`]).
    news_due: bool,
    /// A [`PeerEvent::Pieces`] is not answered yet.
    asked_interest: bool,
    /// A [`PeerEvent::Interested`] is not answered yet.
    asked_unchoke: bool,
    /// Blocks that the peer requested, in order.
    uploads: VecDeque<Block>,
    /// Bytes that may be sent before main is asked again; `None`: no limit.
    allowance: Option<u64>,
    asked_allowance: bool,
    pipeline: Pipeline,
    extensions: Extensions,
    /// How long its handshake took, if it answered ours.
    greeted_within: Option<Duration>,
    /// When we told it first that we want something.
    wanted_at: Option<Instant>,
    rejects: u32,
    /// Since when the peer owes us blocks and has sent none.
    owing_since: Instant,
    down: u64,
    up: u64,
    traffic_told: Instant,
    /// What goes to the peer and to main.
    pub talk: Talk,
}

impl Session {
    /// Both handshakes are done. `have`: what we have; `talk`: what was said before, if
    /// anything; `limited`: there is an upload limit, so main is asked before each upload.
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
            strays: 0,
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

    /// Its handshake came this time after ours: it is no farther away than that.
    pub fn on_greeted(&mut self, within: Duration) {
        self.greeted_within = Some(within);
    }

    /// What we say first: which pieces we have, and, to a peer that knows BEP 10, who
    /// we are (`extension_handshake`).
    pub fn greet(&mut self, extension_handshake: Option<&[u8]>) {
        match (self.talk.fast, self.have.is_full(), self.have.is_empty()) {
            (true, true, _) => self.talk.say(Message::HaveAll),
            (true, _, true) => self.talk.say(Message::HaveNone),
            (false, _, true) => {}
            _ => self.talk.say(Message::Bitfield(self.have.as_bytes())),
        }
        self.talk.introduce(extension_handshake);
    }

    /// What we say to a peer that we have greeted before the metadata was known: that
    /// there is more to know of us, and to have.
    pub fn greet_again(&mut self, extension_handshake: Option<&[u8]>) {
        self.talk.introduce(extension_handshake);
        let have = self.have.iter();
        have.for_each(|piece| self.talk.say(Message::Have(piece.get())));
    }

    /// Takes a message from the peer. A block that was asked for is returned: its data
    /// is to be stored.
    ///
    /// # Errors
    /// [`PeerError`], if the connection must end.
    pub fn on_message(
        &mut self,
        message: Message<'_>,
        now: Instant,
    ) -> Result<Option<Block>, PeerError> {
        self.talk.heard = now;
        match message {
            // What changes nothing is told to nobody: a flood of it must not reach main.
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
            Message::Bitfield(bytes) => {
                let pieces = Bitfield::from_bytes(bytes, self.layout.pieces())
                    .ok_or(PeerError::BadBitfield)?;
                self.on_pieces(pieces);
            }
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
            // Hints that we need not follow.
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

    /// BEP 3 lets a bitfield come first only, but aria2 also sends one where that is
    /// shorter than many haves: it adds to what the peer has.
    fn on_pieces(&mut self, pieces: Bitfield) {
        let fresh = pieces.iter().filter(|piece| self.theirs.insert(*piece));
        if fresh.count() > 0 {
            self.asked_interest = true;
            self.work.wake();
            self.talk.tell(PeerEvent::Pieces(pieces));
        }
    }

    /// Takes a command from main. (What of a cancelled span is received but not
    /// written, the thread has dropped before.)
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

    /// What time brings: keep-alives, the snub, the traffic report.
    ///
    /// # Errors
    /// [`PeerError::Silent`], if the peer said nothing for too long.
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

    /// Tells main what came and went since the last time.
    pub fn tell_traffic(&mut self) {
        let (down, up) = (std::mem::take(&mut self.down), std::mem::take(&mut self.up));
        if down + up > 0 {
            self.talk.tell(PeerEvent::Traffic { down, up });
        }
    }
}

#[cfg(test)]
mod tests;
