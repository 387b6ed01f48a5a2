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
//! Messages and commands go in; bytes for the peer ([`Session::out`]) and events for
//! main ([`Session::events`]) come out. The time is an argument. The peer thread is
//! the only user, and the only one who touches the socket and the disk. The upper half of
//! the picture is in [`fetching`], the lower in [`giving`].
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

mod extended;
mod fetching;
mod giving;
mod waiting;

use super::error::PeerError;
use crate::bitfield::Bitfield;
use crate::layout::{Block, Layout, RawBlock};
use crate::messages::{Asking, Command, PeerEvent};
use crate::pipeline::Pipeline;
use crate::wire::Message;
use extended::Extensions;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A peer that owes blocks and sends none for so long is snubbed: its work goes to
/// others.
pub(crate) const SNUB_AFTER: Duration = Duration::from_secs(20);

/// A peer of which nothing at all is heard for so long is dropped; all send a
/// keep-alive every two minutes at the latest.
const SILENT_AFTER: Duration = Duration::from_secs(130);

/// The piece of the block that a peer gave last is verified within so long, in most cases.
const NEWS_WITHIN: Duration = Duration::from_millis(500);

/// We say something at least so often.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(60);

/// How often traffic is told to main.
const TRAFFIC_EVERY: Duration = Duration::from_millis(500);

/// Bytes that wait for a peer that does not read: more than any honest one causes.
const MAX_REPLIES: usize = 1 << 20;

/// So many changes of mind (choke, unchoke, interested, not interested) within
/// [`TRAFFIC_EVERY`] are no conversation any more.
const MAX_FLIPS: u32 = 100;

/// The state of one conversation.
#[derive(Debug)]
pub struct Session {
    layout: Arc<Layout>,
    /// What we have and may serve.
    have: Bitfield,
    /// Both know BEP 6.
    fast: bool,
    /// What the peer has.
    theirs: Bitfield,
    peer_chokes: bool,
    /// It is interested.
    peer_wants: bool,
    /// How often it changed its mind lately, or told anew who it is.
    flips: u32,
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
    /// It told us of its node of the DHT. Once is enough.
    named_node: bool,
    /// How long its handshake took, if it answered ours.
    greeted_within: Option<Duration>,
    /// When we told it first that we want something.
    wanted_at: Option<Instant>,
    rejects: u32,
    /// Since when the peer owes us blocks and has sent none.
    owing_since: Instant,
    heard: Instant,
    spoke: Instant,
    down: u64,
    up: u64,
    traffic_told: Instant,
    /// Bytes for the peer.
    pub out: Vec<u8>,
    /// Events for main.
    pub events: Vec<PeerEvent>,
}

impl Session {
    /// Both handshakes are done. `have`: what we have; `fast`: both know BEP 6;
    /// `limited`: there is an upload limit, so main is asked before each upload.
    pub fn new(
        layout: Arc<Layout>,
        have: Bitfield,
        fast: bool,
        limited: bool,
        now: Instant,
    ) -> Self {
        let theirs = Bitfield::none(layout.pieces());
        Self {
            layout,
            have,
            fast,
            theirs,
            peer_chokes: true,
            peer_wants: false,
            flips: 0,
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
            named_node: false,
            greeted_within: None,
            wanted_at: None,
            rejects: 0,
            owing_since: now,
            heard: now,
            spoke: now,
            down: 0,
            up: 0,
            traffic_told: now,
            out: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Its handshake came so long after ours: it is no farther away than that.
    pub fn on_greeted(&mut self, within: Duration) {
        self.greeted_within = Some(within);
    }

    /// What we say first: which pieces we have, and, to a peer that knows BEP 10, who
    /// we are (`extension_handshake`).
    pub fn greet(&mut self, extension_handshake: Option<&[u8]>) {
        match (self.fast, self.have.is_full(), self.have.is_empty()) {
            (true, true, _) => Message::HaveAll.encode(&mut self.out),
            (true, _, true) => Message::HaveNone.encode(&mut self.out),
            (false, _, true) => {}
            _ => Message::Bitfield(self.have.as_bytes()).encode(&mut self.out),
        }
        self.introduce(extension_handshake);
    }

    /// What we say to a peer that we have greeted before the metadata was known: that
    /// there is more to know of us, and to have.
    pub fn greet_again(&mut self, extension_handshake: Option<&[u8]>) {
        self.introduce(extension_handshake);
        let have = self.have.iter();
        have.for_each(|piece| Message::Have(piece.get()).encode(&mut self.out));
    }

    fn introduce(&mut self, extension_handshake: Option<&[u8]>) {
        if let Some(payload) = extension_handshake {
            Message::Extended { id: 0, payload }.encode(&mut self.out);
        }
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
        self.heard = now;
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
                    self.events.push(PeerEvent::Have(piece));
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
            Message::Port(port) if !std::mem::replace(&mut self.named_node, true) => {
                self.events.push(PeerEvent::DhtPort(port));
            }
            // Hints that we need not follow.
            Message::KeepAlive
            | Message::HaveAll
            | Message::HaveNone
            | Message::Port(_)
            | Message::Suggest(_)
            | Message::AllowedFast(_)
            | Message::Unknown(_) => {}
        }
        if self.out.len() > MAX_REPLIES || self.flips > MAX_FLIPS {
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
            self.events.push(PeerEvent::Pieces(pieces));
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
                    Message::Have(piece.get()).encode(&mut self.out);
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
                    message.encode(&mut self.out);
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

    /// Something was sent to the peer.
    pub fn on_sent(&mut self, now: Instant) {
        self.spoke = now;
    }

    /// What time brings: keep-alives, the snub, the traffic report.
    ///
    /// # Errors
    /// [`PeerError::Silent`], if the peer said nothing for too long.
    pub fn on_tick(&mut self, now: Instant) -> Result<(), PeerError> {
        if now.duration_since(self.heard) >= SILENT_AFTER {
            return Err(PeerError::Silent(SILENT_AFTER));
        }
        if now.duration_since(self.spoke) >= KEEP_ALIVE_AFTER {
            Message::KeepAlive.encode(&mut self.out);
            self.spoke = now;
        }
        self.news_due &= now.duration_since(self.heard) < NEWS_WITHIN;
        if self.we_want {
            self.wanted_at.get_or_insert(now);
        }
        if !self.owed.is_empty() && now.duration_since(self.owing_since) >= SNUB_AFTER {
            self.on_snub(now);
        }
        if now.duration_since(self.traffic_told) >= TRAFFIC_EVERY {
            self.traffic_told = now;
            self.flips = 0;
            self.tell_traffic();
        }
        Ok(())
    }

    /// Tells main what came and went since the last time.
    pub fn tell_traffic(&mut self) {
        let (down, up) = (std::mem::take(&mut self.down), std::mem::take(&mut self.up));
        if down + up > 0 {
            self.events.push(PeerEvent::Traffic { down, up });
        }
    }
}

#[cfg(test)]
mod tests;
