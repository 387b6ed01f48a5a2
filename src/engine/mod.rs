//! The main loop: one thread that owns all state, and the threads around it.
//!
//! Every event arrives here, one at a time: news from a peer's thread, a tracker's answer, a result
//! of the checker, a new connection, the tick, a signal. The loop hands it to the [`Torrent`] that
//! it concerns, and performs the [`Action`]s that the torrent returns: it sends a message to a
//! thread, starts one, or reports to the user. So torrents need no lock.
//!
//! Main never waits for a thread: it sends to unbounded channels only, and does no I/O that can
//! block for long. The channels to main are bounded: a peer that is faster than main waits, instead
//! of filling our memory. The other files of this folder are parts of the [`Engine`]'s loop.

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
use crate::peer::Order;
use crate::peer::inbox::{Heard, Inbox, inbox};
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

/// How often each torrent hears the time.
const TICK: Duration = Duration::from_millis(100);

/// How many [`News`] the channel to main holds before the senders wait.
const NEWS: usize = 256;

/// The most time for the goodbye: trackers hear `stopped`, the last blocks are checked, the last
/// lines are written.
pub const GOODBYE: Duration = Duration::from_secs(3);

/// How long a leaving torrent waits for its record. After that the old record stays, and the next
/// run must hash more.
const RECORD: Duration = Duration::from_secs(2);

/// After this long, a peer's thread that has not ended may be stuck in a write, and the record no
/// longer waits for it.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// How long the goodbye waits for the answer to a tracker's first announce. A tracker that answers
/// must hear `stopped`, but a dead one should not hold us up.
const JOINING: Duration = Duration::from_millis(500);

/// How a run ended, for the exit status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// At least one torrent failed. The user has heard why.
    pub failed: bool,
    /// At least one torrent was given up because no data came.
    pub stalled: bool,
    /// `--files` names a file that a magnet link's torrent does not have.
    pub unknown_file: bool,
    /// The signal that ended the run, if one did.
    pub interrupted: Option<i32>,
    /// When the goodbye has to be over, including the last output, if it began.
    pub deadline: Option<Instant>,
}

impl Ending {
    /// Whether the run did all that the user asked for.
    pub fn is_good(&self) -> bool {
        !(self.failed || self.stalled || self.unknown_file || self.interrupted.is_some())
    }
}

/// News from all threads but the peers'.
enum News {
    Incoming(TcpStream, SocketAddr),
    Resolved(TorrentId, PeerName, std::io::Result<Vec<SocketAddr>>),
    /// The metadata in the record of an earlier run, if there is one.
    Recalled(TorrentId, Option<Vec<u8>>),
    Tracker(TorrentId, TrackerIndex, Result<AnnounceReply, TrackerError>),
    /// A peer on the local network has this torrent.
    Local(InfoHash, SocketAddr),
    CheckProgress(TorrentId, u32, u32),
    Prepared(TorrentId, Result<Option<Prepared>, StorageError>),
    Check(TorrentId, CheckReport),
    Dht(DhtNews),
    Proxy(Result<(), String>),
    Died(Task),
}

/// Downloads or seeds all `jobs`, including those that arrive later, until they are done or a
/// signal comes in. The `reporter` hears how each torrent does and what fails. The [`Ending`] sums
/// it up.
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
    let (news_tx, news) = bounded(NEWS);
    let (inbox, peers) = inbox();
    let mut engine = Engine::new(config, socket, port, news_tx, inbox, reporter);
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

/// A peer that the user or a magnet link names, as `HOST:PORT`.
#[derive(Clone, Debug)]
struct PeerName {
    name: String,
    source: Source,
}

struct PeerLink {
    /// `None` until the handshake names the torrent.
    torrent: Option<TorrentId>,
    /// The peer's address, if it connected to us.
    from: Option<SocketAddr>,
    /// `None` once the thread was told to hang up: that closes its channel.
    orders: Option<Sender<Order>>,
}

struct Engine<'a> {
    config: Config,
    /// Where we accept peers. `None` with `--proxy`.
    socket: Option<Arc<TcpListener>>,
    /// The port that we announce.
    port: u16,
    /// The sources of peers that the user allows. A proxy shuts some out.
    wished: Sources,
    /// Says that the address of `--bind` is gone, if it is.
    address_gone: Option<String>,
    /// When we next check that address.
    look_at: Instant,
    /// Why the proxy could not be reached.
    no_proxy: Option<String>,
    /// The peers whose names the proxy looks up.
    names: Names,
    max_files: usize,
    /// Tasks that could not be started, with the time of the next try.
    later: Vec<(Instant, Task)>,
    /// Since when nothing runs that may end and free threads or files.
    short_since: Option<Instant>,
    /// Until when we make no connection, and what others need instead.
    stand_back: Option<(Instant, Shortage)>,
    /// Warnings that the user must not hear twice.
    warned: HashSet<String>,
    /// Stops the threads that check the data on disk, at the end.
    stop: Arc<AtomicBool>,
    claims: Claims,
    works: Works,
    /// How many SOURCEs are still being read.
    awaited: usize,
    dht: Option<Dht>,
    /// How many DHT nodes answer, over IPv4 and over IPv6.
    dht_nodes: [usize; 2],
    links: HashMap<PeerKey, PeerLink>,
    /// Peers that connected to us and have not named a torrent yet.
    strangers: Strangers<()>,
    budgets: Budgets,
    keys: Keys,
    due: VecDeque<(TorrentId, Action)>,
    /// Whether [`Engine::perform`] is at work on `due`, further up the stack.
    performing: bool,
    /// The thread of local service discovery, once a torrent needs it.
    lsd: Option<Sender<lsd::Order>>,
    news: Sender<News>,
    inbox: Inbox,
    reporter: &'a mut dyn Reporter,
    rng: fastrand::Rng,
    ending: Ending,
    /// When the run must be over. `None` until the goodbye begins.
    deadline: Option<Instant>,
}

impl<'a> Engine<'a> {
    fn new(
        mut config: Config,
        socket: Option<TcpListener>,
        port: u16,
        news: Sender<News>,
        inbox: Inbox,
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
            inbox,
            reporter,
            rng: fastrand::Rng::new(),
            ending: Ending::default(),
            deadline: None,
        }
    }

    fn warn(&mut self, info_hash: Option<InfoHash>, message: String) {
        self.reporter.report(Report::Warning { info_hash, message });
    }

    fn run(
        mut self: Engine<'a>,
        news: &Receiver<News>,
        peers: &Heard,
        mut later: Receiver<Arrival>,
        mut signals: Receiver<i32>,
    ) -> Ending {
        let clock = tick(TICK);
        while !self.is_over() {
            select! {
                recv(peers.rung) -> _ => self.on_peers(peers),
                recv(news) -> event => if let Ok(event) = event {
                    self.on_news(event);
                },
                recv(later) -> arrival => {
                    if arrival.is_err() || self.awaited == 1 {
                        later = never();
                    }
                    self.on_arrival(arrival.ok());
                },
                recv(clock) -> _ => {
                    self.on_peers(peers);
                    self.on_tick();
                }
                recv(signals) -> signal => match signal {
                    Ok(signal) => {
                        self.ending.interrupted = Some(signal);
                        self.reporter.report(Report::Leaving);
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

    fn on_peers(&mut self, peers: &Heard) {
        for (key, event) in peers.events() {
            self.on_peer(key, event);
        }
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

    fn on_addresses(&mut self, id: TorrentId, addrs: Vec<SocketAddr>, source: Source) {
        self.tell_running(id, |torrent, turn| {
            torrent.on_addresses(addrs, source, turn)
        });
    }

    /// Hands an event to a torrent, even if it is leaving, and performs what the torrent decides.
    fn tell(&mut self, id: TorrentId, event: impl FnOnce(&mut Torrent, &mut Turn<'_>)) {
        let Some(running) = self.works.alive(id) else {
            return;
        };
        let (witness, about) = (self.config.witness.as_ref(), running.torrent.info_hash());
        let turn = Turn::new(Instant::now(), &mut self.budgets, &mut self.keys);
        let mut turn = turn.traced(witness, about);
        event(&mut running.torrent, &mut turn);
        let actions = turn.done();
        self.perform(id, actions);
    }

    /// Does the same, unless the torrent is leaving.
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

    fn on_recorded(&mut self, id: TorrentId, result: Result<(), StorageError>) {
        if let Some(stored) = self.works.stored(id) {
            stored.recording = Recording::Done;
            if let Err(error) = result {
                self.warn(Some(self.works[id].us.info_hash), chain(&error));
            }
        }
    }
}
