//! The thread of one peer. It owns the connection and sleeps in it.
//!
//! The thread dials the peer, or takes a connection that we accepted. It exchanges handshakes and
//! introduces the peer to main. If main welcomes the peer, both converse until one side hangs up.
//!
//! The [`session`] decides what to say. This file moves bytes from the socket to the disk
//! ([`intake`]), bytes from the disk to the socket ([`outgoing`]), and events and commands between
//! the session and main. Each turn it does all that needs no waiting, and then sleeps where
//! [`turn`] says.

pub(crate) mod error;
pub(crate) mod greeting;
pub(crate) mod inbox;
pub(crate) mod intake;
mod learn;
pub(crate) mod learner;
pub(crate) mod line;
pub(crate) mod outgoing;
pub(crate) mod session;
pub(crate) mod socket;
pub(crate) mod talk;
pub(crate) mod turn;
pub(crate) mod unsent;

use crate::bitfield::Bitfield;
use crate::extension::Ourselves;
use crate::human;
use crate::layout::Layout;
use crate::messages::{Command, End, Greeting, PeerEvent};
use crate::storage::{Files, Storage, StorageError};
use crate::threads::{self, NoThread};
use crate::types::{InfoHash, PeerId, PeerKey};
use crate::wire::{self, Handshake};
use crossbeam_channel::{Receiver, TryRecvError};
use error::PeerError;
use greeting::Greeted;
pub(crate) use greeting::Link;
pub(crate) use inbox::{Inbox, ToMain};
use learner::Learner;
use line::Line;
use session::Session;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};
use talk::Talk;

/// Blocks in the receive buffer are written after 500 ms at the latest.
const HOLD_AT_MOST: Duration = Duration::from_millis(500);

/// A peer that fills the receive buffer within 25 ms gets a larger one: its blocks then need fewer
/// writes.
const FAST: Duration = Duration::from_millis(25);

/// The most events that wait in the session before they go to main.
const MAX_EVENTS: usize = 64;

/// The size of a peer thread's stack in bytes. Buffers are on the heap.
const STACK: usize = 256 * 1024;

/// Our side in the swarm of one torrent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Us {
    pub info_hash: InfoHash,
    pub peer_id: PeerId,
    /// The port at which we accept peers.
    pub port: Option<u16>,
    /// Whether we use the DHT. If so, peers may name their DHT nodes to us.
    pub dht: bool,
}

impl Us {
    fn handshake(&self) -> Handshake {
        let handshake = Handshake::new(self.info_hash, self.peer_id);
        match self.dht {
            true => handshake.with_dht(),
            false => handshake,
        }
    }

    /// Our extension handshake while we lack the metadata.
    fn learning(&self, their_ip: Option<IpAddr>) -> Ourselves {
        Ourselves {
            port: self.port,
            seeding: false,
            their_ip,
            metadata: true,
            metadata_size: None,
            pex: false,
        }
    }
}

/// What all peer threads of one torrent share, read-only.
pub(crate) struct Shared {
    pub us: Us,
    pub layout: Arc<Layout>,
    pub storage: Arc<Storage>,
    /// The most files that each thread may keep open.
    pub max_open: usize,
    /// Whether there is an upload limit. If so, the thread asks main before each upload.
    pub upload_limited: bool,
    pub pex: bool,
}

/// Main → peer thread.
pub(crate) enum Order {
    /// The peer is welcome: the answer to [`PeerEvent::Greeted`]. Main closes the channel if it is
    /// not. Follows [`Order::Learn`] when the metadata is known.
    Welcome(Welcome),
    /// The peer is welcome, but we lack the metadata. Perhaps the peer has it.
    Learn(Us),
    Do(Command),
}

/// What the thread of a welcome peer works with.
pub(crate) struct Welcome {
    pub torrent: Arc<Shared>,
    pub have: Bitfield,
    /// Whether we want no more pieces.
    pub complete: bool,
    /// The metadata, if we may give it to the peer.
    pub metadata: Option<Arc<[u8]>>,
}

impl Welcome {
    fn ourselves(&self, their_ip: Option<IpAddr>) -> Ourselves {
        let metadata = self.metadata.as_ref();
        Ourselves {
            port: self.torrent.us.port,
            seeding: self.complete,
            their_ip,
            metadata: metadata.is_some(),
            metadata_size: metadata.map(|metadata| metadata.len() as u32),
            pex: self.torrent.pex,
        }
    }
}

/// Starts the thread of one peer. It ends with its connection, or when main closes the channel of
/// `orders`. Its last event is always [`PeerEvent::Closed`].
pub(crate) fn spawn(
    key: PeerKey,
    link: Link,
    orders: Receiver<Order>,
    inbox: Inbox,
) -> Result<(), NoThread> {
    let thread = Builder::new()
        .name(format!("peer {}", key.0))
        .stack_size(STACK);
    spawn_link(thread, "talk to a peer", key, inbox, move |to_main| {
        let end = connect(link, &orders, to_main).and_then(|peer| match peer {
            Some(peer) => peer.converse(&orders, to_main),
            None => Ok(()),
        });
        if let Err(PeerError::OutOfFiles(text)) = &end {
            let event = PeerEvent::OutOfFiles(text.clone());
            to_main.tell(event);
        }
        end.err()
            .map_or_else(|| "no longer needed".into(), End::from)
    })
}

/// Starts a thread that main treats as a peer's. `work` returns the reason why it ended. Main gets
/// the reason as the last event, even after a panic, and can give the work to others.
pub(crate) fn spawn_link(
    thread: Builder,
    purpose: &'static str,
    key: PeerKey,
    inbox: Inbox,
    work: impl FnOnce(&ToMain) -> End + Send + 'static,
) -> Result<(), NoThread> {
    let to_main = ToMain::new(key, inbox);
    let last = to_main.clone();
    let work = move || {
        let why = work(&to_main);
        to_main.tell(PeerEvent::Closed(why));
    };
    let lost = move || {
        let why = threads::fault(purpose).into();
        last.tell(PeerEvent::Closed(why));
    };
    threads::spawn(thread, purpose, work, lost).map(drop)
}

/// Connects, exchanges handshakes and introduces the peer to main. Returns `None` if main does not
/// want it.
fn connect(
    link: Link,
    orders: &Receiver<Order>,
    to_main: &ToMain,
) -> Result<Option<Peer>, PeerError> {
    let Some(mut greeted) = greeting::greet(link, orders, || to_main.tell(PeerEvent::Spoke))?
    else {
        return Ok(None);
    };
    to_main.tell(PeerEvent::Greeted(Greeting {
        handshake: greeted.theirs,
        obfuscated: greeted.line.socket.is_sealed(),
    }));
    match orders.recv() {
        Ok(Order::Welcome(welcome)) => {
            let talk = greeted.begin(&welcome.torrent.us);
            let introduction = greeted.introduction(welcome.ourselves(greeted.their_ip));
            let mut peer = Peer::new(greeted, welcome, talk);
            peer.session.greet(introduction.as_deref());
            Ok(Some(peer))
        }
        Ok(Order::Learn(us)) => {
            let mut learner = Learner::new(us.info_hash, greeted.begin(&us));
            let introduction = greeted.introduction(us.learning(greeted.their_ip));
            learner.greet(introduction.as_deref());
            let learnt = learn::converse(&mut greeted.line, learner, orders, to_main)?;
            let Some((welcome, learner)) = learnt else {
                return Ok(None);
            };
            let introduction = greeted.introduction(welcome.ourselves(greeted.their_ip));
            let (talk, kept) = learner.hand_over();
            let mut peer = Peer::new(greeted, welcome, talk);
            // The messages from before can be judged now. They come before our own haves fill the
            // queue, which would count as replies to a flood by the peer.
            peer.catch_up(&kept)?;
            peer.session.greet_again(introduction.as_deref());
            Ok(Some(peer))
        }
        Ok(Order::Do(_)) | Err(_) => Ok(None), // no command comes before a welcome
    }
}

/// A peer that main welcomed.
pub(crate) struct Peer {
    line: Line,
    session: Session,
    layout: Arc<Layout>,
    files: Files,
    max_message: usize,
    /// Since when the intake has held blocks.
    held_since: Option<Instant>,
    emptied: Instant,
}

impl Peer {
    fn new(greeted: Greeted, welcome: Welcome, talk: Talk) -> Self {
        let (torrent, now) = (welcome.torrent, Instant::now());
        let layout = torrent.layout.clone();
        let limited = torrent.upload_limited;
        let mut session = Session::new(layout.clone(), welcome.have, talk, limited, now);
        session.extend(welcome.metadata, torrent.pex);
        if let Some(within) = greeted.within {
            session.on_greeted(within);
        }
        Self {
            line: greeted.line,
            session,
            files: torrent.storage.files(torrent.max_open),
            max_message: wire::max_message_len(layout.pieces()),
            layout,
            held_since: None,
            emptied: now,
        }
    }

    /// Handles the messages that the peer sent before the metadata was known.
    fn catch_up(&mut self, mut kept: &[u8]) -> Result<(), PeerError> {
        let now = Instant::now();
        while let Some((message, used)) = wire::decode(kept, self.max_message)? {
            self.session.on_message(message, now)?;
            kept = &kept[used..];
        }
        Ok(())
    }

    fn converse(mut self, orders: &Receiver<Order>, to_main: &ToMain) -> Result<(), PeerError> {
        // More bytes may have come with the handshake.
        let end = self.hear_peer(to_main).and_then(|()| {
            loop {
                match self.turn(orders, to_main) {
                    Ok(true) => {}
                    Ok(false) => break Ok(()),
                    Err(end) => break Err(end),
                }
            }
        });
        // Blocks that were received count even if the peer left.
        let stored = self.store();
        self.session.tell_traffic();
        to_main.tell_all(&mut self.session.talk.events, true);
        end.and(stored)
    }

    /// Does one turn: obeys main, writes, sleeps, hears the peer. Returns false if main hung up.
    fn turn(&mut self, orders: &Receiver<Order>, to_main: &ToMain) -> Result<bool, PeerError> {
        loop {
            match orders.try_recv() {
                Ok(order) => self.obey(order),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(false),
            }
        }
        let now = Instant::now();
        self.session.on_tick(now)?;
        self.session.request(now);
        self.flush(now)?;
        let sleep = turn::next(self.session.debts(self.line.is_stuck(), now));
        let hurried = !self.session.events_can_wait(now);
        to_main.tell_all(&mut self.session.talk.events, hurried);
        if sleep == turn::Sleep::Channel {
            to_main.hurry(); // the question may have waited
        }
        if self.line.intake.is_full() || self.line.intake.room() < sleep.bytes() {
            self.make_room(now)?;
        }
        let least = match self.session.is_slow(now) {
            true => self.line.intake.missing(),
            false => 1,
        };
        if let Some(order) = self.line.sleep(sleep, least, orders)? {
            self.obey(order);
        }
        self.hear_peer(to_main)?;
        Ok(true)
    }

    fn hear_peer(&mut self, to_main: &ToMain) -> Result<(), PeerError> {
        let now = Instant::now();
        while let Some((message, used)) =
            wire::decode(self.line.intake.unparsed(), self.max_message)?
        {
            let block = self.session.on_message(message, now)?;
            self.line.intake.consume(used, block);
            if self.session.talk.events.len() >= MAX_EVENTS {
                // A buffer full of small messages waits here, not in main's memory.
                to_main.tell_all(&mut self.session.talk.events, true);
            }
        }
        if self.line.intake.holds_blocks() {
            let since = *self.held_since.get_or_insert(now);
            // One write takes many blocks. But nothing is held back while main waits for it.
            if self.session.is_last_in_line() || now.duration_since(since) >= HOLD_AT_MOST {
                self.store()?;
            }
        }
        Ok(())
    }

    fn obey(&mut self, order: Order) {
        let Order::Do(command) = order else { return };
        if let Command::Cancel(spans) = &command {
            self.line
                .intake
                .drop_held(|block| spans.iter().any(|span| span.contains(block)));
        }
        if let Command::Moved(_) = command {
            self.files.close();
        }
        self.session.on_command(command);
    }

    fn make_room(&mut self, now: Instant) -> Result<(), PeerError> {
        let before = std::mem::replace(&mut self.emptied, now);
        let fast = now.duration_since(before) < FAST;
        self.store()?;
        self.line.intake.compact(self.max_message, fast);
        Ok(())
    }

    fn store(&mut self) -> Result<(), PeerError> {
        self.held_since = None;
        if self.line.intake.holds_blocks() {
            match self.line.intake.store(&self.layout, &mut self.files) {
                Ok(stored) => self.session.on_stored(stored),
                Err(error) => return Err(disk_failed(&error, &mut self.session.talk)),
            }
        }
        Ok(())
    }

    /// Writes to the socket until nothing is left or the kernel takes no more without waiting.
    fn flush(&mut self, now: Instant) -> Result<(), PeerError> {
        self.line.socket.on_tick(now);
        let (session, layout, files) = (&mut self.session, &self.layout, &mut self.files);
        self.line.flush(|outgoing| {
            let loaded = outgoing.load(session, layout, files, now);
            loaded.map_err(|error| disk_failed(&error, &mut session.talk))
        })
    }
}

/// Converts a disk error. Too many open files, or a missing file, end this connection only. Other
/// errors concern the whole torrent.
fn disk_failed(error: &StorageError, talk: &mut Talk) -> PeerError {
    let text = human::chain(error);
    if error.is_out_of_files() {
        return PeerError::OutOfFiles(text);
    }
    talk.tell(match error {
        StorageError::Missing { .. } => PeerEvent::Missing(text.clone()),
        _ => PeerEvent::DiskFailed(text.clone()),
    });
    PeerError::Disk(text)
}

#[cfg(test)]
mod tests;
