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
mod fetcher;
mod goals;
mod learning;
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
use crate::config::Afterwards;
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
    GiveUp(Idle),
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

/// When something is next done.
#[derive(Debug)]
struct Due {
    /// Whom we unchoke is chosen anew.
    choking: Instant,
    /// Those without work look again for what they could take over.
    look: Instant,
    /// Progress is told.
    report: Instant,
}

/// What was moved in this run, and how fast lately.
#[derive(Debug, Default)]
struct Traffic {
    downloaded: u64,
    uploaded: u64,
    down: Rate,
    up: Rate,
}

impl Traffic {
    /// Payload bytes came and went.
    fn count(&mut self, down: u64, up: u64, now: Instant) {
        self.downloaded += down;
        self.uploaded += up;
        self.down.add(down, now);
        self.up.add(up, now);
    }

    /// Nobody is there with whom anything could come or go.
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
    /// What trackers said that the user has been told.
    warned: BTreeSet<String>,
    ways: Ways,
    goals: Goals,
    rng: fastrand::Rng,
    /// Tells us apart from others behind the same address, for trackers.
    tracker_key: u32,
    traffic: Traffic,
    due: Due,
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
                look: now,
                report: now + REPORT_EVERY,
            },
            setup,
        };
        if let Some(content) = content {
            torrent.set_content(content, now);
        }
        torrent
    }

    /// From here on there is something to fetch.
    fn set_content(&mut self, content: Content, now: Instant) {
        let (have, rng) = (&content.have, self.rng.fork());
        let (layout, wanted) = (content.layout.clone(), content.wanted.goal());
        self.picker = Picker::new(layout, have, &wanted, self.setup.sequential, rng);
        for (piece, numbers) in &content.stored {
            self.picker.begin_stored(*piece, numbers);
        }
        self.have_bytes = content.have_bytes();
        self.content = content;
        self.goals.download(now);
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
        self.goals.phase()
    }

    /// Pieces that the checker was asked about and has not answered yet.
    pub fn unchecked(&self) -> usize {
        self.disk.unchecked
    }

    /// Whether all that is missing is stored and waits for the checker.
    pub fn waits_for_checker(&self) -> bool {
        self.disk.unchecked > 0 && self.disk.unchecked >= self.picker.missing() as usize
    }

    /// Whether somebody waits for the next verdict: we, with all that is missing stored; or a
    /// peer that lacks pieces, as it hears of ours only when they are verified.
    fn awaits_verdicts(&self) -> bool {
        self.waits_for_checker() || self.peers.leeches().next().is_some()
    }

    /// Bytes of the wanted files that are verified.
    pub fn have_bytes(&self) -> u64 {
        self.have_bytes
    }

    /// Bytes of the wanted files.
    pub fn wanted_bytes(&self) -> u64 {
        self.content.wanted.bytes()
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
        if self.asks_locally() && self.goals.phase() != Phase::Done {
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
        if self.goals.leaving().is_some() {
            self.say_goodbye(turn);
            return;
        }
        if turn.now >= self.due.choking {
            self.due.choking = turn.now + choker::ROUND;
            self.choke_round(turn);
        }
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
        }
        self.check_goals(turn);
    }
}

#[cfg(test)]
mod tests;
