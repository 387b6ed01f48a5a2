//! One torrent: what we have, who the peers are, and what to do next.
//!
//! This is where the decisions meet: the [`Picker`] knows who fetches what, the
//! [`Choker`] whom to give to, the [`Swarm`] whom to dial, the [`Announcer`] which
//! tracker to tell what. A [`Torrent`] feeds them with what happened and turns their
//! answers into [`Action`]s. It does no I/O, has no thread and no clock: what happened
//! and the time are arguments, the random numbers are seeded. So the same events give
//! the same actions, and a test can play a swarm of a thousand peers in an instant.
//!
//! The engine's main loop owns it, calls it for each event and performs the actions.
//! What peers bring is in [`peers`], who is given what work in [`work`], what the checker
//! found in [`verdicts`], and how it comes to an end in [`ending`].

mod announcing;
pub(crate) mod blame;
mod content;
mod dht;
mod ending;
mod idle;
mod learning;
mod peers;
mod pex;
mod places;
pub(crate) mod rate;
mod surveys;
mod telling;
mod turn;
mod turnover;
mod twins;
mod verdicts;
mod web;
pub(crate) mod webseeds;
mod work;

use crate::announce::AnnounceRequest;
use crate::announcer::{Announcer, TrackerIndex};
use crate::bitfield::Bitfield;
use crate::choker::{self, Choker};
use crate::config::Afterwards;
use crate::door::Door;
use crate::layout::PieceIndex;
use crate::messages::Command;
use crate::picker::Picker;
use crate::report::Report;
use crate::shortage::Shortage;
use crate::swarm::{Source, Swarm};
use crate::types::{InfoHash, PeerId, PeerKey};
use blame::{Blame, Giver};
pub use content::Content;
use dht::Lookups;
use peers::Peer;
use rate::Rate;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use surveys::Surveys;
pub use turn::{Keys, Turn};
use turnover::Turnover;
use webseeds::{WebSeedIndex, WebSeeds};

/// Connections being made at a time: more would be a storm on the user's router.
const MAX_DIALS: usize = 20;

/// The pause before somebody is dialled again after nobody could be reached from here.
const NO_WAY_PAUSE: Duration = Duration::from_secs(5);

/// How often progress is told.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// How long a peer may be of no use to either side before its place goes to another.
const IDLE: Duration = Duration::from_secs(10);

/// Something for the main loop to do.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Start a peer thread that connects there; if that can't be: [`Torrent::on_dial_failed`].
    Dial(PeerKey, SocketAddr),
    /// Start the thread of the web seed at this URL; if that can't be:
    /// [`Torrent::on_web_seed_failed`].
    OpenWebSeed(PeerKey, WebSeedIndex, String),
    /// Welcome the peer, and tell it what we have; `None`: that we are
    /// [learning](Phase::Learning).
    Welcome(PeerKey, Option<Entry>),
    /// Tell a peer's thread.
    Send(PeerKey, Command),
    /// Close the channel of a peer's thread.
    HangUp(PeerKey),
    /// Read these pieces back and hash them: [`Torrent::on_verdicts`]. `hurry`: somebody waits
    /// for what the checker was asked so far.
    Verify {
        /// Which pieces.
        pieces: Vec<PieceIndex>,
        /// Whether the checker is not to wait for more.
        hurry: bool,
    },
    /// Hash each block of this piece: [`Torrent::on_block_hashes`].
    HashBlocks(PieceIndex),
    /// Look whether all files of these pieces, which we have, are where and as they were left:
    /// [`Torrent::on_surveyed`]. If nothing else is wanted, the record goes.
    Survey(Bitfield),
    /// Tell the tracker at this URL: [`Torrent::on_tracker`].
    Announce(TrackerIndex, String, AnnounceRequest),
    /// Look its peers up in the DHT: [`Torrent::on_dht_peers`].
    SearchDht {
        /// Whether others may find us there.
        announce: bool,
    },
    /// Tell the DHT of the node at this address: a peer named it (BEP 5).
    EnterDht(SocketAddr),
    /// Announce it on the local network (BEP 14); who has it there, too, comes back by
    /// [`Torrent::on_addresses`]. Never for a private torrent.
    AnnounceLocally,
    /// The metadata is here: [`Torrent::learn`] what it says.
    Learnt(Vec<u8>),
    /// Tell the user.
    Tell(Report),
    /// All that was wanted is verified.
    Complete,
    /// Leave: nothing is left to do.
    Done,
    /// Leave: nothing came for too long, for this reason.
    GiveUp(String),
    /// Leave: it cannot go on, for this reason.
    Fail(String),
}

/// What a peer's thread is to know of us from the start.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The pieces that are verified and on disk.
    pub have: Bitfield,
    /// Nothing that we want is missing.
    pub complete: bool,
}

/// What a torrent is called and how it is to behave.
#[derive(Debug)]
pub struct Setup {
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Who we are in its swarm.
    pub peer_id: PeerId,
    /// What it holds; `None`: only a magnet link is known.
    pub content: Option<Content>,
    /// Its trackers by tier.
    pub trackers: Vec<Vec<String>>,
    /// Its web seeds, as they are named.
    pub web_seeds: Vec<String>,
    /// From where, and through what, others are talked to.
    pub door: Door,
    /// The port that is announced.
    pub port: u16,
    /// Connections at most.
    pub max_peers: usize,
    /// Exchange addresses with peers (BEP 11).
    pub pex: bool,
    /// Find peers by the DHT (BEP 5).
    pub dht: bool,
    /// Look for peers on the local network (BEP 14).
    pub lsd: bool,
    /// Fetch in order.
    pub sequential: bool,
    /// What to do when complete.
    pub afterwards: Afterwards,
    /// Give up when nothing came for so long.
    pub stall_timeout: Option<Duration>,
    /// When the user asked for it; the check of what is on disk came since.
    pub added: Instant,
    /// Makes the same choices for the same seed.
    pub seed: u64,
}

/// Whether a torrent is still worked on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Its metadata is not known yet: peers are asked for it.
    Learning,
    /// Something is missing.
    Downloading,
    /// All is there; we give.
    Seeding,
    /// All is there and nothing is left to do.
    Done,
    /// It was given up: nothing came for too long.
    Stalled,
}

/// The state of one torrent.
#[derive(Debug)]
pub struct Torrent {
    setup: Setup,
    content: Content,
    have_bytes: u64,
    wanted_bytes: u64,
    picker: Picker,
    choker: Choker,
    swarm: Swarm,
    turnover: Turnover,
    announcer: Announcer,
    dht: Lookups,
    web_seeds: WebSeeds,
    blame: Blame,
    surveys: Surveys,
    /// Those that we talk to, web seeds among them.
    peers: BTreeMap<PeerKey, Peer>,
    /// Everybody who gave us blocks in this run, also those who left.
    givers: BTreeMap<PeerKey, Giver>,
    /// What trackers said that the user has been told.
    warned: BTreeSet<String>,
    /// What was missing for the last connection that could not be made, until one is.
    short: Option<Shortage>,
    /// Why nobody can be reached from here, as the last one that was dialled found.
    no_way: Option<String>,
    /// The address of `--bind` is gone: this says so.
    address_gone: Option<String>,
    /// What can't be asked because of `--proxy`.
    shut_out: String,
    /// Nobody is dialled before, as we are short of something.
    dial_at: Instant,
    phase: Phase,
    /// Since when we are leaving.
    leaving: Option<Instant>,
    rng: fastrand::Rng,
    /// Tells us apart from others behind the same address, for trackers.
    tracker_key: u32,
    downloaded: u64,
    uploaded: u64,
    down: Rate,
    up: Rate,
    completed: Option<Instant>,
    choke_at: Instant,
    /// When those without work look again for what they could take over.
    look_at: Instant,
    report_at: Instant,
    /// Pieces that the checker was asked about and has not answered yet.
    unchecked: usize,
    /// A piece was verified in this run.
    fetched: bool,
    /// The metadata is here, and what it says is being looked into.
    learnt: bool,
    /// Blocks stored, less those of pieces that turned out false.
    level: u64,
    /// The most that `level` ever was; while learning, the most bytes of metadata that one
    /// peer gave.
    best_level: u64,
    /// When that was. False data comes and goes, so it is no progress.
    best_at: Instant,
}

impl Torrent {
    /// A torrent whose data on disk was checked, or whose metadata is not known yet.
    pub fn new(mut setup: Setup, now: Instant) -> Self {
        let mut rng = fastrand::Rng::with_seed(setup.seed);
        let content = setup.content.take();
        let private = content.as_ref().is_some_and(|content| content.private);
        let announcer = Announcer::new(setup.trackers.clone(), private, &mut rng, now);
        let nothing = Content::unknown();
        let none = &nothing.have;
        let picker = Picker::new(nothing.layout.clone(), none, none, false, rng.fork());
        let mut torrent = Self {
            tracker_key: rng.u32(..),
            content: nothing,
            have_bytes: 0,
            wanted_bytes: 0,
            picker,
            choker: Choker::default(),
            swarm: Swarm::new(setup.door.clone()),
            turnover: Turnover::default(),
            announcer,
            dht: Lookups::default(),
            web_seeds: WebSeeds::new(&setup.web_seeds),
            blame: Blame::default(),
            surveys: Surveys::default(),
            peers: BTreeMap::new(),
            givers: BTreeMap::new(),
            warned: BTreeSet::new(),
            short: None,
            no_way: None,
            address_gone: None,
            shut_out: String::new(),
            dial_at: now,
            phase: Phase::Learning,
            leaving: None,
            rng,
            downloaded: 0,
            uploaded: 0,
            down: Rate::default(),
            up: Rate::default(),
            completed: None,
            choke_at: now + choker::ROUND,
            look_at: now,
            report_at: now + REPORT_EVERY,
            unchecked: 0,
            fetched: false,
            learnt: false,
            level: 0,
            best_level: 0,
            best_at: now,
            setup,
        };
        if let Some(content) = content {
            torrent.set_content(content);
        }
        torrent
    }

    /// From here on there is something to fetch.
    fn set_content(&mut self, content: Content) {
        let (have, rng) = (&content.have, self.rng.fork());
        let (layout, wanted) = (content.layout.clone(), content.wanted());
        self.picker = Picker::new(layout, have, &wanted, self.setup.sequential, rng);
        for (piece, numbers) in &content.stored {
            self.picker.begin_stored(*piece, numbers);
        }
        self.wanted_bytes = content.wanted_bytes();
        self.have_bytes = content.have_bytes();
        self.content = content;
        self.phase = Phase::Downloading;
    }

    /// Panics if the picker's books do not agree with one another. For tests.
    #[cfg(any(test, debug_assertions))]
    pub fn check(&self) {
        self.picker.check();
    }

    /// The pieces that are verified and on disk.
    pub fn have(&self) -> &Bitfield {
        &self.content.have
    }

    /// Whether every piece of the torrent is there, wanted or not.
    pub fn is_seed(&self) -> bool {
        self.content.have.is_full()
    }

    /// Whether it is still worked on.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Pieces that the checker was asked about and has not answered yet.
    pub fn unchecked(&self) -> usize {
        self.unchecked
    }

    /// Whether all that is missing is stored and waits for the checker.
    pub fn waits_for_checker(&self) -> bool {
        self.unchecked > 0 && self.unchecked >= self.picker.missing() as usize
    }

    /// Whether somebody waits for the next verdict: we, with all that is missing stored; or a
    /// peer that lacks pieces, as it hears of ours only when they are verified.
    fn awaits_verdicts(&self) -> bool {
        let lacks = |peer: &Peer| peer.welcome && peer.web.is_none() && !peer.have.is_full();
        self.waits_for_checker() || self.peers.values().any(lacks)
    }

    /// Bytes of the wanted files that are verified.
    pub fn have_bytes(&self) -> u64 {
        self.have_bytes
    }

    /// Bytes of the wanted files.
    pub fn wanted_bytes(&self) -> u64 {
        self.wanted_bytes
    }

    /// Joins the swarm.
    pub fn start(&mut self, turn: &mut Turn<'_>) {
        self.announcer.start(self.left() == 0, turn.now);
        self.begin(turn);
        self.tell_skipped(turn);
        if let Some(warning) = self.web_seeds.warning() {
            self.warn_once(warning, turn);
        }
    }

    /// Looks at what is complete already, then announces and opens web seeds: on joining, and
    /// again once the metadata of a magnet link is known.
    fn begin(&mut self, turn: &mut Turn<'_>) {
        let padding = self.picker.begin_padding();
        self.verify(padding, turn);
        self.check_complete(turn);
        self.announce(turn);
        if self.asks_locally() && self.phase != Phase::Done {
            turn.push(Action::AnnounceLocally);
        }
        self.open_web_seeds(turn);
    }

    /// Whether the local network is asked for peers. A magnet link does not say whether
    /// the torrent is private.
    pub fn asks_locally(&self) -> bool {
        self.setup.lsd && self.knows_content() && !self.content.private
    }

    /// Whether a tracker is just being told that we join: see [`Announcer::is_joining`].
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

    /// What time brings. To be called about every tenth of a second.
    pub fn on_tick(&mut self, turn: &mut Turn<'_>) {
        if self.leaving.is_some() {
            self.say_goodbye(turn);
            return;
        }
        if turn.now >= self.choke_at {
            self.choke_at = turn.now + choker::ROUND;
            self.choke_round(turn);
        }
        self.fill_places(turn);
        self.feed_hungry(turn);
        self.feed_uploads(turn);
        self.ask_for_metadata(turn);
        self.tell_peers(turn);
        self.announcer
            .set_hungry(self.is_incomplete() && self.peers.values().all(|p| !p.welcome));
        self.announce(turn);
        self.search_dht(turn);
        self.dial(turn);
        self.open_web_seeds(turn);
        if turn.now >= self.report_at {
            self.report_at = turn.now + REPORT_EVERY;
            turn.push(Action::Tell(Report::Progress(self.progress(turn.now))));
        }
        self.check_goals(turn);
    }

    /// Whether data, or first of all the metadata, is still to come.
    fn is_incomplete(&self) -> bool {
        matches!(self.phase, Phase::Learning | Phase::Downloading)
    }
}

#[cfg(test)]
mod tests;
