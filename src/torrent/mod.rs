//! One torrent: what we have, who the peers are, and what to do next.
//!
//! Here the decisions meet. The [`Picker`] knows which peer fetches which block, the [`Choker`]
//! which peers to serve, the [`Swarm`] which addresses to dial, the [`Announcer`] which tracker to
//! ask. A [`Torrent`] tells them what happened and turns their answers into [`Action`]s, which the
//! engine's main loop performs.
//!
//! It has neither I/O nor thread nor clock: events and the time are arguments, and the random
//! numbers are seeded. So the same events give the same actions, and [`sim`](crate::sim) can play a
//! swarm of hundreds of peers in seconds.
//!
//! The other files of this folder are parts of the [`Torrent`]: the events of connections arrive in
//! [`peers`] and [`web`], [`work`] grants work, the checker's verdicts arrive in [`verdicts`], and
//! [`ending`] ends the torrent.

mod announcing;
pub(crate) mod blame;
mod content;
mod dht;
mod ending;
mod facts;
mod fetcher;
mod givers;
mod goals;
mod inside;
mod learning;
pub(crate) mod pace;
mod peers;
mod pex;
mod places;
pub(crate) mod rate;
mod surveys;
mod table;
mod telling;
mod turn;
mod turnover;
mod twins;
mod verdicts;
mod ways;
mod web;
pub(crate) mod webseeds;
mod work;

use crate::announce::AnnounceRequest;
use crate::announcer::{Announcer, TrackerIndex};
use crate::bitfield::Bitfield;
use crate::choker::{self, Choker};
use crate::config::{Afterwards, Rules};
use crate::door::Door;
use crate::layout::PieceIndex;
use crate::messages::Command;
use crate::picker::Picker;
use crate::report::{Idle, Report};
use crate::swarm::{Source, Swarm};
use crate::types::{InfoHash, PeerId, PeerKey};
use blame::Blame;
pub use content::Content;
use dht::Lookups;
use givers::Givers;
use goals::Goals;
pub use goals::Phase;
use rate::Rate;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use surveys::Disk;
use table::Peers;
pub use turn::{Keys, Turn};
use turnover::Turnover;
use ways::Ways;
use webseeds::{WebSeedIndex, WebSeeds};

/// How many peers are dialled at a time. More would be a storm on the user's router.
const MAX_DIALS: usize = 20;

/// The pause before the next dial after nobody could be reached from here.
const NO_WAY_PAUSE: Duration = Duration::from_secs(5);

const REPORT_EVERY: Duration = Duration::from_secs(1);

/// How long after it connected a peer that is of no use to either side may keep its place.
const IDLE: Duration = Duration::from_secs(10);

/// Something for the main loop to do.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Start a peer thread that dials this address. On failure: [`Torrent::on_dial_failed`].
    Dial(PeerKey, SocketAddr),
    /// Start the thread of the web seed at this URL. On failure: [`Torrent::on_web_seed_failed`].
    OpenWebSeed(PeerKey, WebSeedIndex, String),
    /// Welcome the peer, and tell its thread what we have. `None`: we are still
    /// [learning](Phase::Learning).
    Welcome(PeerKey, Option<Entry>),
    /// Send this command to a peer's thread.
    Send(PeerKey, Command),
    /// Close the channel of a peer's thread, so that it hangs up.
    HangUp(PeerKey),
    /// Read these pieces back and hash them: [`Torrent::on_verdicts`].
    Verify {
        /// Which pieces.
        pieces: Vec<PieceIndex>,
        /// Whether to hash at once, because somebody waits for the verdict.
        hurry: bool,
    },
    /// Hash each block of this piece: [`Torrent::on_block_hashes`].
    HashBlocks(PieceIndex),
    /// Check whether all files of these pieces are where and as we left them:
    /// [`Torrent::on_surveyed`]. If no other piece is wanted, remove the record on disk.
    Survey(Bitfield),
    /// Announce to the tracker at this URL: [`Torrent::on_tracker`].
    Announce(TrackerIndex, String, AnnounceRequest),
    /// Look up peers in the DHT: [`Torrent::on_dht_peers`].
    SearchDht {
        /// Whether we also announce ourselves there.
        announce: bool,
    },
    /// Tell the DHT's thread about a node at this address (BEP 5).
    EnterDht(SocketAddr),
    /// Announce the torrent on the local network (BEP 14). Peers there come back by
    /// [`Torrent::on_addresses`].
    AnnounceLocally,
    /// The metadata is here: check the disk, then call [`Torrent::learn`].
    Learnt(Vec<u8>),
    /// Tell the user.
    Tell(Report),
    /// All that was wanted is verified.
    Complete,
    /// Leave, because nothing is left to do.
    Done,
    /// Leave, because nothing came for the time of `--stall-timeout`, for this reason.
    GiveUp(Idle),
    /// Leave, because the torrent can't go on, for this reason.
    Fail(String),
}

/// What a peer's thread must know about us from the start.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The pieces that are verified and on disk.
    pub have: Bitfield,
    /// Whether nothing that we want is missing.
    pub complete: bool,
}

/// What a torrent is, and what the user asked of it.
#[derive(Debug)]
pub struct Setup {
    /// The info hash, which names the torrent.
    pub info_hash: InfoHash,
    /// Our peer id.
    pub peer_id: PeerId,
    /// What the torrent holds. `None`: only a magnet link is known.
    pub content: Option<Content>,
    /// The URLs of its trackers, by tier.
    pub trackers: Vec<Vec<String>>,
    /// The URLs of its web seeds, as the torrent names them.
    pub web_seeds: Vec<String>,
    /// The local address and the proxies that all connections use.
    pub door: Door,
    /// The port that we announce.
    pub port: u16,
    /// The most connections to peers.
    pub max_peers: usize,
    /// Whether to exchange addresses with peers (BEP 11).
    pub pex: bool,
    /// Whether to find peers by the DHT (BEP 5).
    pub dht: bool,
    /// Whether to look for peers on the local network (BEP 14).
    pub lsd: bool,
    /// By which rules to fetch and to give.
    pub rules: Rules,
    /// What to do when complete.
    pub afterwards: Afterwards,
    /// Give up if nothing came for this long.
    pub stall_timeout: Option<Duration>,
    /// When the user asked for it, before the check of the disk.
    pub added: Instant,
    /// The seed of the random numbers.
    pub seed: u64,
}

#[derive(Debug)]
struct Due {
    choking: Instant,
    report: Instant,
}

#[derive(Debug, Default)]
struct Traffic {
    downloaded: u64,
    uploaded: u64,
    /// What was missing at the start, in bytes without padding.
    needed: u64,
    /// What peers gave that have left.
    givers: Givers,
    down: Rate,
    up: Rate,
}

impl Traffic {
    fn count(&mut self, down: u64, up: u64, now: Instant) {
        self.downloaded += down;
        self.uploaded += up;
        self.down.add(down, now);
        self.up.add(up, now);
    }

    fn stand_still(&mut self) {
        (self.down, self.up) = (Rate::default(), Rate::default());
    }
}

/// The state of one torrent.
#[derive(Debug)]
pub struct Torrent {
    setup: Setup,
    content: Content,
    have_bytes: u64,
    picker: Picker,
    choker: Choker,
    swarm: Swarm,
    turnover: Turnover,
    announcer: Announcer,
    dht: Lookups,
    web_seeds: WebSeeds,
    blame: Blame,
    disk: Disk,
    /// The peers, and the web seeds in use.
    peers: Peers,
    /// Messages of trackers that the user has seen.
    warned: BTreeSet<String>,
    ways: Ways,
    goals: Goals,
    rng: fastrand::Rng,
    /// Our key for trackers, which tells us apart from others behind the same address.
    tracker_key: u32,
    traffic: Traffic,
    due: Due,
}

impl Torrent {
    /// Makes a torrent. If its metadata is known, the data on disk has been checked.
    pub fn new(mut setup: Setup, now: Instant) -> Self {
        let mut rng = fastrand::Rng::with_seed(setup.seed);
        let content = setup.content.take();
        let private = content.as_ref().is_some_and(|content| content.private);
        let announcer = Announcer::new(setup.trackers.clone(), private, &mut rng, now);
        let nothing = Content::unknown();
        let none = &nothing.have;
        let picker = Picker::new(
            nothing.layout.clone(),
            none,
            none,
            setup.rules.strategy,
            rng.fork(),
        );
        let mut torrent = Self {
            tracker_key: rng.u32(..),
            content: nothing,
            have_bytes: 0,
            picker,
            choker: Choker::default(),
            swarm: Swarm::new(setup.door.clone()),
            turnover: Turnover::default(),
            announcer,
            dht: Lookups::default(),
            web_seeds: WebSeeds::new(&setup.web_seeds),
            blame: Blame::default(),
            disk: Disk::default(),
            peers: Peers::default(),
            warned: BTreeSet::new(),
            ways: Ways::new(now),
            goals: Goals::new(now),
            rng,
            traffic: Traffic::default(),
            due: Due {
                choking: now + choker::ROUND,
                report: now + REPORT_EVERY,
            },
            setup,
        };
        if let Some(content) = content {
            torrent.set_content(content, now);
        }
        torrent
    }

    fn set_content(&mut self, content: Content, now: Instant) {
        let (have, rng) = (&content.have, self.rng.fork());
        let (layout, wanted) = (content.layout.clone(), content.wanted.goal());
        self.picker = Picker::new(layout, have, &wanted, self.setup.rules.strategy, rng);
        for (piece, numbers) in &content.stored {
            self.picker.begin_stored(*piece, numbers);
        }
        self.have_bytes = content.have_bytes();
        self.traffic.needed = content.to_fetch();
        self.content = content;
        self.goals.download(now);
    }

    /// The info hash, which names the torrent.
    pub fn info_hash(&self) -> InfoHash {
        self.setup.info_hash
    }

    /// The pieces that are verified and on disk.
    pub fn have(&self) -> &Bitfield {
        &self.content.have
    }

    /// Whether we have every piece of the torrent, wanted or not.
    pub fn is_seed(&self) -> bool {
        self.content.have.is_full()
    }

    /// Returns the phase of the torrent's life.
    pub fn phase(&self) -> Phase {
        self.goals.phase()
    }

    /// How many pieces the checker still has to answer for.
    pub fn unchecked(&self) -> usize {
        self.disk.unchecked
    }

    /// Whether all missing pieces are stored and wait for the checker.
    pub fn waits_for_checker(&self) -> bool {
        self.disk.unchecked > 0 && self.disk.unchecked >= self.picker.missing() as usize
    }

    /// Whether somebody waits for the next verdict: we, if all missing pieces are stored, or a peer
    /// that lacks pieces, which hears only about verified ones.
    fn awaits_verdicts(&self) -> bool {
        self.waits_for_checker() || self.peers.leeches().next().is_some()
    }

    /// Returns the bytes of the wanted files that are verified.
    pub fn have_bytes(&self) -> u64 {
        self.have_bytes
    }

    /// Returns the bytes of the wanted files.
    pub fn wanted_bytes(&self) -> u64 {
        self.content.wanted.bytes()
    }

    /// Joins the swarm.
    pub fn start(&mut self, turn: &mut Turn<'_>) {
        if self.knows_content() {
            self.tell_content(turn);
        }
        self.announcer.start(self.left() == 0, turn.now);
        self.begin(turn);
        self.tell_skipped(turn);
        if let Some(warning) = self.web_seeds.warning() {
            self.warn_once(warning, turn);
        }
    }

    /// Completes what is complete already, announces, and opens web seeds: on joining, and again
    /// once the metadata of a magnet link is known.
    fn begin(&mut self, turn: &mut Turn<'_>) {
        let padding = self.picker.begin_padding();
        self.verify(padding, turn);
        self.check_complete(turn);
        self.announce(turn);
        if self.asks_locally() && self.goals.phase() != Phase::Done {
            turn.push(Action::AnnounceLocally);
        }
        self.open_web_seeds(turn);
    }

    /// Whether to ask the local network for peers. A magnet link waits for the metadata: the
    /// torrent may be private.
    pub fn asks_locally(&self) -> bool {
        self.setup.lsd && self.knows_content() && !self.content.private
    }

    /// See [`Announcer::is_joining`].
    pub fn is_joining(&self) -> bool {
        self.announcer.is_joining()
    }

    /// Somebody named these addresses.
    pub fn on_addresses(
        &mut self,
        addrs: impl IntoIterator<Item = SocketAddr>,
        source: Source,
        turn: &mut Turn<'_>,
    ) {
        for addr in addrs {
            self.swarm.add(addr, source);
        }
        self.dial(turn);
    }

    /// Does what is due by now. Main calls it about every 0.1 s.
    pub fn on_tick(&mut self, turn: &mut Turn<'_>) {
        if self.goals.leaving().is_some() {
            self.say_goodbye(turn);
            return;
        }
        if turn.now >= self.due.choking {
            self.due.choking = turn.now + choker::ROUND;
            self.choke_round(turn);
        }
        self.part_crossed(turn);
        self.fill_places(turn);
        self.feed_hungry(turn);
        self.feed_uploads(turn);
        self.ask_for_metadata(turn);
        self.tell_peers(turn);
        self.announcer
            .set_hungry(self.goals.phase().is_incomplete() && self.peers.is_lonely());
        self.announce(turn);
        self.search_dht(turn);
        self.dial(turn);
        self.open_web_seeds(turn);
        if turn.now >= self.due.report {
            self.due.report = turn.now + REPORT_EVERY;
            turn.push(Action::Tell(Report::Progress(self.progress(turn.now))));
            self.tell_flow(turn);
        }
        self.check_goals(turn);
    }
}

#[cfg(test)]
mod tests;
