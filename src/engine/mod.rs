//! The main loop: one thread that owns all state, and the threads around it.
//!
//! Everything that can happen arrives here in turn: what peers' threads tell, what
//! trackers answer, what the checker found, a new connection, the tick, a signal. Each
//! is given to the [`Torrent`] that it concerns, and the [`Action`]s
//! that come back are performed: a message to a thread, a new thread, a line to the user. So
//! torrents need no lock, and nobody ever waits for main but for this loop to come round.
//!
//! Main itself never waits for a thread: its sends go to unbounded channels, and it
//! does no disk or network I/O beyond small things. Events to it are bounded, so that a
//! fast peer waits for main, not main's memory for the peer.

mod arrivals;
mod begin;
mod budget;
mod claims;
mod dht;
mod goodbye;
mod links;
mod listener;
mod local;
mod outward;
mod perform;
mod prepare;
mod starts;
mod strangers;
mod works;

use crate::announce::{AnnounceReply, TrackerError};
use crate::announcer::TrackerIndex;
use crate::checker::CheckReport;
use crate::config::{Config, Sources};
use crate::dht::{Dht, DhtNews};
use crate::door::names::Names;
use crate::human::chain;
use crate::lsd;
use crate::messages::PeerEvent;
use crate::peer::Order;
use crate::report::{Report, Reporter};
use crate::shortage::Shortage;
use crate::storage::StorageError;
use crate::swarm::Source;
use crate::torrent::rate::{Budget, Budgets};
use crate::torrent::{Action, Keys, Torrent, Turn};
use crate::types::{InfoHash, PeerKey, TorrentId};
use claims::Claims;
use crossbeam_channel::{Receiver, Sender, bounded, never, select, tick};
use prepare::Prepared;
use starts::Task;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use strangers::Strangers;
use works::{Recording, Works};

pub use arrivals::{Arrival, Jobs};
pub use budget::allow_many_files;
pub use prepare::cores;

/// How often time passes for torrents.
const TICK: Duration = Duration::from_millis(100);

/// Events that may wait for main before their senders do.
const EVENTS: usize = 256;

/// How many peers' events main takes one after the other before it looks at its other
/// channels. To look at all channels before each event was a twentieth of what a large swarm
/// cost.
const AT_ONCE: usize = 64;

/// What the goodbye may take at most: trackers hear `stopped`, last blocks are checked, last
/// lines are read.
pub const GOODBYE: Duration = Duration::from_secs(3);

/// How long the record may take to be written, with all that it speaks of, once we leave. If
/// it takes longer, it stays as it is, which costs the next run a check.
const RECORD: Duration = Duration::from_secs(2);

/// A peer's thread that has not ended after this may be stuck in a write: the record is then
/// written without waiting for it.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// A tracker that has not answered our first announce yet may hold up the goodbye for so
/// long: if it answers, it has to hear `stopped`; but a dead one is not waited for.
const JOINING: Duration = Duration::from_millis(500);

/// How a run ended, for the exit status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// At least one torrent failed; it was told why.
    pub failed: bool,
    /// At least one torrent was given up because nothing came.
    pub stalled: bool,
    /// `--files` names a file that a magnet link's torrent does not have.
    pub misused: bool,
    /// A signal ended it, this one.
    pub interrupted: Option<i32>,
    /// When its goodbye has to be over, with all that belongs to it, if one began.
    pub deadline: Option<Instant>,
}

impl Ending {
    /// Whether all was done that was asked for.
    pub fn is_good(&self) -> bool {
        !(self.failed || self.stalled || self.misused || self.interrupted.is_some())
    }
}

/// What threads other than peers' tell main.
enum News {
    /// Somebody connected.
    Incoming(TcpStream, SocketAddr),
    /// A peer's name was looked up.
    Resolved(TorrentId, PeerName, std::io::Result<Vec<SocketAddr>>),
    /// A record of an earlier run was looked for: the metadata that it keeps.
    Recalled(TorrentId, Option<Vec<u8>>),
    Tracker(TorrentId, TrackerIndex, Result<AnnounceReply, TrackerError>),
    /// Somebody on the local network has this torrent, too.
    Local(InfoHash, SocketAddr),
    CheckProgress(TorrentId, u32, u32),
    Prepared(TorrentId, Result<Option<Prepared>, StorageError>),
    Check(TorrentId, CheckReport),
    Dht(DhtNews),
    /// The proxy was looked for: what is wrong with it.
    Proxy(Result<(), String>),
    /// A thread panicked.
    Died(Task),
}

/// Downloads or seeds all `jobs`, also those that come while it runs, until they are done or
/// a signal comes in.
///
/// Told to `reporter`: how it goes, and what fails; the [`Ending`] sums up.
pub fn run(
    config: Config,
    jobs: impl Into<Jobs>,
    reporter: &mut dyn Reporter,
    signals: Receiver<i32>,
) -> Ending {
    let jobs = jobs.into();
    let max_files = allow_many_files();
    let (socket, port) = match outward::listen(&config) {
        Ok(listening) => listening,
        Err(message) => {
            reporter.report(Report::Error {
                info_hash: None,
                source: None,
                message,
            });
            return Ending {
                failed: true,
                ..Ending::default()
            };
        }
    };
    let local = socket.as_ref().and_then(|socket| socket.local_addr().ok());
    let door = config.door.clone();
    if local.is_some() {
        reporter.report(Report::Listening { port });
    }
    let (news_tx, news) = bounded(EVENTS);
    let (peers_tx, peers) = bounded(EVENTS);
    let mut engine = Engine::new(config, socket, port, news_tx, peers_tx, reporter);
    engine.max_files = max_files;
    let stop = engine.stop.clone();
    engine.awaited = jobs.awaited;
    engine.add_all(jobs.now);
    engine.begin(match door.proxy {
        None => Task::Listen,
        Some(_) => Task::Proxy,
    });
    let ending = engine.run(&news, &peers, jobs.later, signals);
    stop.store(true, Ordering::Relaxed);
    drop((news, peers));
    if let Some(local) = local {
        listener::wake(local, &door);
    }
    ending
}

/// A peer that the user or a magnet link names.
#[derive(Clone, Debug)]
struct PeerName {
    /// `HOST:PORT`.
    name: String,
    source: Source,
}

/// A peer thread, as main reaches it.
struct PeerLink {
    /// `None` while it has not said which torrent it is about.
    torrent: Option<TorrentId>,
    /// Where somebody is who connected to us.
    from: Option<SocketAddr>,
    /// Dropped to make the thread hang up.
    orders: Option<Sender<Order>>,
}

struct Engine<'a> {
    config: Config,
    /// Where we accept peers; `None` with `--proxy`.
    socket: Option<Arc<TcpListener>>,
    /// The port that is announced.
    port: u16,
    /// What the user would have asked, proxy or not.
    wished: Sources,
    /// The address of `--bind` is gone, as this says.
    address_gone: Option<String>,
    /// When we next look whether that address is there.
    look_at: Instant,
    /// The proxy was not to be had at the start, as this says.
    no_proxy: Option<String>,
    /// Peers whose names the proxy looks up.
    names: Names,
    /// Files and connections that the process may have open.
    max_files: usize,
    /// What could not be started, and when it is tried again.
    later: Vec<(Instant, Task)>,
    /// Since when nothing of ours has been there that may end and give back threads or files.
    short_since: Option<Instant>,
    /// Until then no connection is made, so that others can have this, which they lack.
    stand_back: Option<(Instant, Shortage)>,
    /// What the user was told of threads and files.
    warned: HashSet<String>,
    /// Set at the end of the run: then the threads that check what is on disk stop.
    stop: Arc<AtomicBool>,
    claims: Claims,
    works: Works,
    /// SOURCEs that are still being read.
    awaited: usize,
    /// Started when it is first needed.
    dht: Option<Dht>,
    /// How many nodes of it answer, over IPv4 and over IPv6.
    dht_nodes: [usize; 2],
    links: HashMap<PeerKey, PeerLink>,
    /// Those of them that connected to us and have not said yet which torrent they are about.
    strangers: Strangers<()>,
    budgets: Budgets,
    keys: Keys,
    /// What is decided and not done yet.
    due: VecDeque<(TorrentId, Action)>,
    /// It is being done.
    performing: bool,
    /// The thread of local service discovery, once a torrent may use it.
    lsd: Option<Sender<lsd::Order>>,
    news: Sender<News>,
    events: Sender<(PeerKey, PeerEvent)>,
    reporter: &'a mut dyn Reporter,
    rng: fastrand::Rng,
    ending: Ending,
    /// Set once everything is to end, to when it has to.
    deadline: Option<Instant>,
}

impl<'a> Engine<'a> {
    fn new(
        mut config: Config,
        socket: Option<TcpListener>,
        port: u16,
        news: Sender<News>,
        events: Sender<(PeerKey, PeerEvent)>,
        reporter: &'a mut dyn Reporter,
    ) -> Self {
        let now = Instant::now();
        let budgets = Budgets {
            down: Budget::new(config.download_limit, now),
            up: Budget::new(config.upload_limit, now),
        };
        let wished = config.sources;
        if config.door.proxy.is_some() {
            (config.sources.dht, config.sources.lsd) = (false, false);
        }
        Self {
            config,
            socket: socket.map(Arc::new),
            port,
            wished,
            address_gone: None,
            look_at: now,
            no_proxy: None,
            names: Names::default(),
            max_files: budget::NO_LIMIT,
            later: Vec::new(),
            short_since: None,
            stand_back: None,
            warned: HashSet::new(),
            stop: Arc::default(),
            claims: Claims::default(),
            works: Works::default(),
            awaited: 0,
            dht: None,
            dht_nodes: [0; 2],
            links: HashMap::new(),
            strangers: Strangers::default(),
            budgets,
            keys: Keys::default(),
            due: VecDeque::new(),
            performing: false,
            lsd: None,
            news,
            events,
            reporter,
            rng: fastrand::Rng::new(),
            ending: Ending::default(),
            deadline: None,
        }
    }

    fn warn(&mut self, info_hash: Option<InfoHash>, message: String) {
        self.reporter.report(Report::Warning { info_hash, message });
    }

    /// The loop.
    fn run(
        mut self: Engine<'a>,
        news: &Receiver<News>,
        peers: &Receiver<(PeerKey, PeerEvent)>,
        mut later: Receiver<Arrival>,
        mut signals: Receiver<i32>,
    ) -> Ending {
        let clock = tick(TICK);
        while !self.is_over() {
            select! {
                recv(peers) -> event => if let Ok((key, event)) = event {
                    self.on_peer(key, event);
                    for (key, event) in peers.try_iter().take(AT_ONCE) {
                        self.on_peer(key, event);
                    }
                },
                recv(news) -> event => if let Ok(event) = event {
                    self.on_news(event);
                },
                recv(later) -> arrival => {
                    if arrival.is_err() || self.awaited == 1 {
                        later = never();
                    }
                    self.on_arrival(arrival.ok());
                },
                recv(clock) -> _ => self.on_tick(),
                recv(signals) -> signal => match signal {
                    Ok(signal) => {
                        self.ending.interrupted = Some(signal);
                        self.leave_all();
                    }
                    Err(_) => signals = never(),
                },
            }
        }
        self.conclude_all();
        self.ending.deadline = self.deadline;
        self.ending
    }

    fn on_tick(&mut self) {
        let now = Instant::now();
        self.begin_again(now);
        self.hurry_strangers(now);
        self.watch_address(now);
        for id in self.works.ids() {
            self.tell(id, |torrent, turn| torrent.on_tick(turn));
        }
    }

    fn on_news(&mut self, news: News) {
        match news {
            News::Incoming(stream, addr) => self.on_incoming(stream, addr),
            News::Resolved(id, PeerName { name, source }, found) => match found {
                Ok(addrs) => self.on_addresses(id, addrs, source),
                Err(error) => {
                    let info_hash = self.works[id].us.info_hash;
                    let message = format!("cannot look up the peer {name}: {error}");
                    self.warn(Some(info_hash), message);
                }
            },
            News::Recalled(id, metadata) => {
                self.works[id].looking = false;
                self.begin_next_look();
                self.on_recalled(id, metadata);
            }
            News::Tracker(id, index, result) => {
                self.tell(id, |torrent, turn| torrent.on_tracker(index, result, turn));
            }
            News::Local(info_hash, addr) => self.on_local_peer(info_hash, addr),
            News::CheckProgress(id, done, pieces) => {
                let info_hash = self.works[id].us.info_hash;
                self.reporter.report(Report::Checking {
                    info_hash,
                    done,
                    pieces,
                });
            }
            News::Prepared(id, outcome) => self.on_prepared(id, outcome),
            News::Proxy(found) => self.on_proxy(found),
            News::Died(task) => self.on_died(task),
            News::Check(id, report) => self.on_check(id, report),
            News::Dht(news) => self.on_dht(news),
        }
    }

    /// Somebody named peers of a torrent.
    fn on_addresses(&mut self, id: TorrentId, addrs: Vec<SocketAddr>, source: Source) {
        self.tell_running(id, |torrent, turn| {
            torrent.on_addresses(addrs, source, turn)
        });
    }

    /// Tells a torrent, also one that is leaving, what happened, and does what it decides.
    fn tell(&mut self, id: TorrentId, event: impl FnOnce(&mut Torrent, &mut Turn<'_>)) {
        let Some(running) = self.works.alive(id) else {
            return;
        };
        let mut turn = Turn::new(Instant::now(), &mut self.budgets, &mut self.keys);
        event(&mut running.torrent, &mut turn);
        let actions = turn.done();
        self.perform(id, actions);
    }

    /// The same, but not one that is leaving.
    fn tell_running(&mut self, id: TorrentId, event: impl FnOnce(&mut Torrent, &mut Turn<'_>)) {
        if self.works[id].stage.is_running() {
            self.tell(id, event);
        }
    }

    fn on_check(&mut self, id: TorrentId, report: CheckReport) {
        match report {
            CheckReport::Verdicts(verdicts) => {
                self.tell(id, |torrent, turn| torrent.on_verdicts(&verdicts, turn));
            }
            CheckReport::Surveyed(surveyed) => {
                self.tell(id, |torrent, turn| torrent.on_surveyed(&surveyed, turn));
            }
            CheckReport::Blocks(piece, hashes) => {
                self.tell(id, |torrent, turn| {
                    torrent.on_block_hashes(piece, &hashes, turn);
                });
            }
            CheckReport::Recorded(result) => self.on_recorded(id, result),
            CheckReport::Idle => self.on_checker_idle(id),
            CheckReport::OutOfFiles(error) => self.on_checker_short(id, chain(&error)),
            CheckReport::Failed(error) => self.fail(id, chain(&error)),
        }
    }

    /// The record is as it should be, or can't be.
    fn on_recorded(&mut self, id: TorrentId, result: Result<(), StorageError>) {
        if let Some(stored) = self.works.stored(id) {
            stored.recording = Recording::Done;
            if let Err(error) = result {
                self.warn(Some(self.works[id].us.info_hash), chain(&error));
            }
        }
    }
}
