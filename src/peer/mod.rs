//! One thread for one peer: it owns the connection and sleeps in it.
//!
//! The thread dials (or takes an accepted stream), exchanges handshakes, introduces
//! the peer to main and, if main welcomes it, converses until either side hangs up.
//! What to say is decided by the [`session`]; this file moves bytes: from the socket to
//! the disk ([`intake`]), from the disk to the socket ([`outgoing`]), and events and commands
//! between here and main.
//!
//! # Two masters, one sleep
//! A thread can sleep in one place only, but it must hear its peer *and* main. So it does
//! without waiting whatever can be done so, sleeps on the side that owes it something, and
//! never longer than [`turn::TICK`]: [`turn`] tells why, and picks the side.

pub(crate) mod error;
pub(crate) mod greeting;
pub(crate) mod intake;
mod learn;
pub(crate) mod learner;
pub(crate) mod line;
pub(crate) mod outgoing;
pub(crate) mod session;
pub(crate) mod socket;
pub(crate) mod talk;
pub(crate) mod turn;

use crate::bitfield::Bitfield;
use crate::extension::Ourselves;
use crate::human;
use crate::layout::Layout;
use crate::messages::{Command, End, PeerEvent};
use crate::storage::{Files, Storage, StorageError};
use crate::threads::{self, NoThread};
use crate::types::{InfoHash, PeerId, PeerKey};
use crate::wire::{self, Handshake};
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use error::PeerError;
use greeting::Greeted;
pub(crate) use greeting::Link;
use learner::Learner;
use line::Line;
use session::Session;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};
use talk::Talk;

/// Blocks that lie in the receive buffer are written after 500 ms at the latest.
const HOLD_AT_MOST: Duration = Duration::from_millis(500);

/// A peer that fills the receive buffer within this gets a larger one: then fewer, larger writes
/// take what it sends.
const FAST: Duration = Duration::from_millis(25);

/// Events that may lie here before main takes them.
const MAX_EVENTS: usize = 64;

/// A peer thread's stack. It holds no large value; what grows is on the heap.
const STACK: usize = 256 * 1024;

/// Who we are in the swarm of one torrent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Us {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Our name in its swarm.
    pub peer_id: PeerId,
    /// The port that we accept peers on.
    pub port: Option<u16>,
    /// Whether we use the DHT: then peers may tell us of their nodes.
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

    /// What we say of ourselves while we lack the metadata.
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

/// What all threads of one torrent read and nobody changes.
pub(crate) struct Shared {
    /// Who we are.
    pub us: Us,
    /// How the torrent divides.
    pub layout: Arc<Layout>,
    /// Its files.
    pub storage: Arc<Storage>,
    /// How many files each thread may keep open.
    pub max_open: usize,
    /// Whether there is an upload limit: then main is asked before each upload.
    pub upload_limited: bool,
    /// Whether addresses of other peers are exchanged.
    pub pex: bool,
}

/// Main → peer thread.
pub(crate) enum Order {
    /// The peer is welcome: the answer to [`PeerEvent::Greeted`]. (Closing the channel is
    /// the other answer.) Comes also after [`Order::Learn`], once the metadata is known.
    Welcome(Welcome),
    /// The peer is welcome, but the metadata is not known yet: perhaps it has it.
    Learn(Us),
    /// Something to do.
    Do(Command),
}

/// What the thread of a peer that is welcome works with.
pub(crate) struct Welcome {
    /// The torrent that it is about.
    pub torrent: Arc<Shared>,
    /// What we have.
    pub have: Bitfield,
    /// Whether we want nothing more.
    pub complete: bool,
    /// The metadata, if the peer may have it.
    pub metadata: Option<Arc<[u8]>>,
}

impl Welcome {
    /// What we say of ourselves.
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

/// Starts the thread of one peer. It ends by itself, when the connection does or when
/// the channel of `orders` is closed; its last event is always [`PeerEvent::Closed`].
///
/// # Errors
/// If the system has no room for another thread.
pub(crate) fn spawn(
    key: PeerKey,
    link: Link,
    orders: Receiver<Order>,
    events: Sender<(PeerKey, PeerEvent)>,
) -> Result<(), NoThread> {
    let thread = Builder::new()
        .name(format!("peer {}", key.0))
        .stack_size(STACK);
    spawn_link(thread, "talk to a peer", key, events, move |to_main| {
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

/// Starts a thread that is to main as a peer's. `work` returns why it is over; that is told
/// last, also if it panics: main must get its work back.
pub(crate) fn spawn_link(
    thread: Builder,
    purpose: &'static str,
    key: PeerKey,
    events: Sender<(PeerKey, PeerEvent)>,
    work: impl FnOnce(&ToMain) -> End + Send + 'static,
) -> Result<(), NoThread> {
    let to_main = ToMain { key, events };
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

/// Tells main, up to the last event.
#[derive(Clone)]
pub(crate) struct ToMain {
    key: PeerKey,
    events: Sender<(PeerKey, PeerEvent)>,
}

impl ToMain {
    /// Main may be gone already: then nobody is left to be told.
    pub(crate) fn tell(&self, event: PeerEvent) {
        let _ = self.events.send((self.key, event));
    }

    /// Tells all of `events`, in order.
    fn tell_all(&self, events: &mut Vec<PeerEvent>) {
        events.drain(..).for_each(|event| self.tell(event));
    }
}

/// Connects, exchanges handshakes, and asks main. `None`: main wants no such peer.
fn connect(
    link: Link,
    orders: &Receiver<Order>,
    to_main: &ToMain,
) -> Result<Option<Peer>, PeerError> {
    let Some(mut greeted) = greeting::greet(link, orders, || to_main.tell(PeerEvent::Spoke))?
    else {
        return Ok(None);
    };
    to_main.tell(PeerEvent::Greeted(greeted.theirs));
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
            // What the peer said before can be judged now; and before our own many haves wait
            // to be said, which would be taken for a flood that it caused.
            peer.catch_up(&kept)?;
            peer.session.greet_again(introduction.as_deref());
            Ok(Some(peer))
        }
        Ok(Order::Do(_)) | Err(_) => Ok(None), // not before a welcome
    }
}

/// A peer that main welcomed.
struct Peer {
    line: Line,
    session: Session,
    layout: Arc<Layout>,
    files: Files,
    max_message: usize,
    /// Since when blocks lie in the intake.
    held_since: Option<Instant>,
    /// When room was made in it last.
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

    /// Hears what the peer said before the metadata was known: whole messages.
    fn catch_up(&mut self, mut kept: &[u8]) -> Result<(), PeerError> {
        let now = Instant::now();
        while let Some((message, used)) = wire::decode(kept, self.max_message)? {
            self.session.on_message(message, now)?;
            kept = &kept[used..];
        }
        Ok(())
    }

    /// The life of the connection, turn by turn: see the module's text for the order.
    fn converse(mut self, orders: &Receiver<Order>, to_main: &ToMain) -> Result<(), PeerError> {
        // The handshake may have been followed by more.
        let end = self.hear_peer(to_main).and_then(|()| {
            loop {
                match self.turn(orders, to_main) {
                    Ok(true) => {}
                    Ok(false) => break Ok(()),
                    Err(end) => break Err(end),
                }
            }
        });
        // What was received is not thrown away because the peer left.
        let stored = self.store();
        self.session.tell_traffic();
        to_main.tell_all(&mut self.session.talk.events);
        end.and(stored)
    }

    /// One turn: hear main, say what there is to say, sleep, hear the peer. False if
    /// main hung up.
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
        to_main.tell_all(&mut self.session.talk.events);
        let sleep = turn::next(self.session.debts(self.line.is_stuck(), now));
        if self.line.intake.is_full() || self.line.intake.room() < sleep.bytes() {
            self.make_room(now)?;
        }
        if let Some(order) = self.line.sleep(sleep, orders)? {
            self.obey(order);
        }
        self.hear_peer(to_main)?;
        Ok(true)
    }

    /// Parses all whole messages in the buffer.
    fn hear_peer(&mut self, to_main: &ToMain) -> Result<(), PeerError> {
        let now = Instant::now();
        while let Some((message, used)) =
            wire::decode(self.line.intake.unparsed(), self.max_message)?
        {
            let block = self.session.on_message(message, now)?;
            self.line.intake.consume(used, block);
            if self.session.talk.events.len() >= MAX_EVENTS {
                // A buffer full of small messages waits here, not in main's memory.
                to_main.tell_all(&mut self.session.talk.events);
            }
        }
        if self.line.intake.holds_blocks() {
            let since = *self.held_since.get_or_insert(now);
            // Many blocks make one write. But not while main waits for just these.
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

    /// Empties the intake for the next read.
    fn make_room(&mut self, now: Instant) -> Result<(), PeerError> {
        let before = std::mem::replace(&mut self.emptied, now);
        let fast = now.duration_since(before) < FAST;
        self.store()?;
        self.line.intake.compact(self.max_message, fast);
        Ok(())
    }

    /// Writes the blocks that lie in the intake.
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

    /// Says what there is to say, as far as the kernel takes it without waiting.
    fn flush(&mut self, now: Instant) -> Result<(), PeerError> {
        let (session, layout, files) = (&mut self.session, &self.layout, &mut self.files);
        self.line.flush(|outgoing| {
            let loaded = outgoing.load(session, layout, files, now);
            loaded.map_err(|error| disk_failed(&error, &mut session.talk))
        })
    }
}

/// Too many open files, or a file that is gone, are this connection's end; anything else is
/// the torrent's.
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
