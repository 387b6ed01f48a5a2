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
//! never longer than [`TICK`]: [`turn`] tells why, and picks the side.

pub(crate) mod error;
pub(crate) mod greeting;
pub(crate) mod intake;
mod learn;
pub(crate) mod learner;
pub(crate) mod outgoing;
pub(crate) mod session;
pub(crate) mod socket;
pub(crate) mod turn;

use crate::bitfield::Bitfield;
use crate::extension::{self, Ourselves};
use crate::human;
use crate::layout::Layout;
use crate::messages::{Command, End, PeerEvent};
use crate::storage::{Files, Storage, StorageError};
use crate::threads::{self, NoThread};
use crate::types::{InfoHash, PeerId, PeerKey};
use crate::wire::{self, Handshake};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use error::PeerError;
pub(crate) use greeting::Link;
use intake::Intake;
use learner::Learner;
use outgoing::Outgoing;
use session::Session;
use socket::{PeerSocket, Wait};
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};
use turn::Sleep;
pub(crate) use turn::TICK;

/// Blocks that lie in the receive buffer are written after so long at the latest.
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
}

/// Connects, exchanges handshakes, and asks main. `None`: main wants no such peer.
fn connect(
    link: Link,
    orders: &Receiver<Order>,
    to_main: &ToMain,
) -> Result<Option<Peer>, PeerError> {
    let Some(greeted) = greeting::greet(link, orders, || to_main.tell(PeerEvent::Spoke))? else {
        return Ok(None);
    };
    let (mut socket, mut intake, theirs) = (greeted.socket, greeted.intake, greeted.theirs);
    to_main.tell(PeerEvent::Greeted(theirs));
    let Ok(order) = orders.recv() else {
        return Ok(None);
    };
    let their_ip = greeted.their_ip;
    let greeting = |us: Us| match greeted.within {
        None => us.handshake().encode().to_vec(),
        Some(_) => Vec::new(),
    };
    let extended = theirs.extended();
    let (welcome, learner) = match order {
        Order::Welcome(welcome) => (welcome, None),
        Order::Learn(us) => {
            let mut learner = Learner::new(us.info_hash, theirs.fast(), Instant::now());
            learner.out = greeting(us);
            let handshake = extension::encode(&Ourselves {
                port: us.port,
                seeding: false,
                their_ip,
                metadata: true,
                metadata_size: None,
                pex: false,
            });
            learner.greet(extended.then_some(&handshake[..]));
            let learnt = learn::converse(&mut socket, &mut intake, learner, orders, to_main)?;
            match learnt {
                Some((welcome, learner, outgoing)) => (welcome, Some((learner, outgoing))),
                None => return Ok(None),
            }
        }
        Order::Do(_) => return Ok(None), // not before a welcome
    };
    let torrent = welcome.torrent;
    let handshake = extension::encode(&Ourselves {
        port: torrent.us.port,
        seeding: welcome.complete,
        their_ip,
        metadata: welcome.metadata.is_some(),
        metadata_size: welcome.metadata.as_ref().map(|m| m.len() as u32),
        pex: torrent.pex,
    });
    let now = Instant::now();
    let layout = torrent.layout.clone();
    let mut session = Session::new(
        layout.clone(),
        welcome.have,
        theirs.fast(),
        torrent.upload_limited,
        now,
    );
    session.extend(welcome.metadata, torrent.pex);
    if let Some(within) = greeted.within {
        session.on_greeted(within);
    }
    let max_message = wire::max_message_len(layout.pieces());
    let mut sealed = Vec::new();
    match learner {
        None => {
            session.out = greeting(torrent.us);
            session.greet(extended.then_some(&handshake[..]));
        }
        Some((mut learner, on_its_way)) => {
            sealed = on_its_way;
            session.out = std::mem::take(&mut learner.out);
            // What the peer said before can be judged now; and before our own many haves lie in
            // `out`, which would be taken for a flood that it caused.
            let mut kept = learner.kept();
            while let Some((message, used)) = wire::decode(kept, max_message)? {
                session.on_message(message, now)?;
                kept = &kept[used..];
            }
            session.greet_again(extended.then_some(&handshake[..]));
        }
    }
    let files = torrent.storage.files(torrent.max_open);
    Ok(Some(Peer {
        socket,
        intake,
        session,
        layout,
        files,
        max_message,
        outgoing: Outgoing::new(sealed),
        held_since: None,
        emptied: now,
    }))
}

/// A peer that main welcomed.
struct Peer {
    socket: PeerSocket,
    intake: Intake,
    session: Session,
    layout: Arc<Layout>,
    files: Files,
    max_message: usize,
    outgoing: Outgoing,
    /// Since when blocks lie in the intake.
    held_since: Option<Instant>,
    /// When room was made in it last.
    emptied: Instant,
}

impl Peer {
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
        self.tell(to_main);
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
        let stuck = !self.flush()?;
        self.tell(to_main);
        let sleep = turn::next(self.session.debts(stuck));
        // Stuck: what the peer sent meanwhile comes first.
        if stuck && self.read(1, now, |socket, buf| socket.read_now(buf))? > 0 {
            self.hear_peer(to_main)?;
            return Ok(true);
        }
        match sleep {
            Sleep::Channel => match orders.recv_timeout(TICK) {
                Ok(order) => self.obey(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            },
            Sleep::Write => self.send(Wait::Tick)?,
            Sleep::Read(patience) => {
                self.read(patience.bytes(), now, |socket, buf| {
                    socket.read_wait(buf, patience)
                })?;
                self.hear_peer(to_main)?;
            }
        }
        Ok(true)
    }

    /// Reads once into the intake, which has room for so many bytes at least; returns how much
    /// came.
    fn read(
        &mut self,
        bytes: usize,
        now: Instant,
        read: impl FnOnce(&mut PeerSocket, &mut [u8]) -> Result<usize, PeerError>,
    ) -> Result<usize, PeerError> {
        if self.intake.is_full() || self.intake.room() < bytes {
            self.make_room(now)?;
        }
        self.intake.fill(|buf| read(&mut self.socket, buf))
    }

    /// Parses all whole messages in the buffer.
    fn hear_peer(&mut self, to_main: &ToMain) -> Result<(), PeerError> {
        let now = Instant::now();
        while let Some((message, used)) = wire::decode(self.intake.unparsed(), self.max_message)? {
            let block = self.session.on_message(message, now)?;
            self.intake.consume(used, block);
            if self.session.events.len() >= MAX_EVENTS {
                // A buffer full of small messages waits here, not in main's memory.
                self.tell(to_main);
            }
        }
        if self.intake.holds_blocks() {
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
            self.intake
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
        self.intake.compact(self.max_message, fast);
        Ok(())
    }

    /// Writes the blocks that lie in the intake.
    fn store(&mut self) -> Result<(), PeerError> {
        self.held_since = None;
        if self.intake.holds_blocks() {
            match self.intake.store(&self.layout, &mut self.files) {
                Ok(stored) => self.session.on_stored(stored),
                Err(error) => return self.disk_failed(&error),
            }
        }
        Ok(())
    }

    /// Too many open files, or a file that is gone, are this connection's end; anything else is
    /// the torrent's.
    fn disk_failed(&mut self, error: &StorageError) -> Result<(), PeerError> {
        let text = human::chain(error);
        if error.is_out_of_files() {
            return Err(PeerError::OutOfFiles(text));
        }
        let event = match error {
            StorageError::Missing { .. } => PeerEvent::Missing(text.clone()),
            _ => PeerEvent::DiskFailed(text.clone()),
        };
        self.session.events.push(event);
        Err(PeerError::Disk(text))
    }

    /// Hands the kernel what it takes without waiting; true if all is out.
    fn flush(&mut self) -> Result<bool, PeerError> {
        loop {
            if self.outgoing.is_out() {
                let (session, files) = (&mut self.session, &mut self.files);
                if let Err(error) = self.outgoing.load(session, &self.layout, files) {
                    self.disk_failed(&error)?;
                }
                if self.outgoing.is_out() {
                    return Ok(true);
                }
                if self.socket.is_sealed() {
                    self.outgoing.seal(&mut self.socket);
                }
            }
            self.send(Wait::No)?;
            if !self.outgoing.is_out() {
                return Ok(false);
            }
        }
    }

    /// Hands the kernel some of what is on its way.
    fn send(&mut self, wait: Wait) -> Result<(), PeerError> {
        let taken = self.socket.write_parts(&self.outgoing.rest(), wait)?;
        self.outgoing.on_sent(taken);
        if taken > 0 {
            self.session.on_sent(Instant::now());
        }
        Ok(())
    }

    fn tell(&mut self, to_main: &ToMain) {
        self.session
            .events
            .drain(..)
            .for_each(|event| to_main.tell(event));
    }
}

#[cfg(test)]
mod tests;
