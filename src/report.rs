//! What the engine tells the user about a run, one [`Report`] at a time.
//!
//! The engine never prints: main makes the reports, and a [`Reporter`] shows them, as JSON lines, a
//! progress display, plain lines, or a story (`storrent demo`).

use crate::layout::PieceIndex;
use crate::shortage::Shortage;
pub use crate::trace::{
    About, Announce, Ban, Event, FACTS, Fact, GivenBack, Grant, NotAFact, Over, Side, Unchoke,
    Witness,
};
use crate::types::InfoHash;
use std::path::PathBuf;
use std::sync::Arc;

/// One piece of news. Sizes are in bytes, rates in bytes per second.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Peers can reach us at this port.
    Listening {
        /// The TCP port.
        port: u16,
    },
    /// A magnet link was accepted. Its metadata must be found first.
    Linked {
        /// The torrent.
        info_hash: InfoHash,
        /// The name that the link gives.
        name: Option<String>,
    },
    /// A torrent is known, and work on it begins.
    Added {
        /// The torrent.
        info_hash: InfoHash,
        /// The safe name that it is saved under.
        name: String,
        /// Where it is saved: the folder as the user gave it, then the name.
        path: PathBuf,
        /// Size of all files, without padding.
        total_bytes: u64,
        /// Size of the wanted files, without padding.
        wanted_bytes: u64,
        /// Bytes per piece.
        piece_length: u32,
        /// Pieces of the torrent.
        pieces: u32,
        /// Files, without padding.
        files: usize,
        /// Files that the user wants.
        wanted_files: usize,
    },
    /// The metadata of a magnet link has arrived, and the user wanted only that.
    Metadata {
        /// The torrent.
        info_hash: InfoHash,
        /// The bytes of its `info` dictionary.
        info: Arc<[u8]>,
    },
    /// The data on disk is hashed. Sent a few times per second.
    Checking {
        /// The torrent.
        info_hash: InfoHash,
        /// Pieces checked so far.
        done: u32,
        /// Pieces to check.
        pieces: u32,
    },
    /// The check is over: the download or the seeding begins.
    Checked {
        /// The torrent.
        info_hash: InfoHash,
        /// Pieces that are there and right.
        have_pieces: u32,
        /// Pieces of the torrent.
        pieces: u32,
        /// Bytes of the wanted files that are there.
        have_bytes: u64,
        /// Its file or folder. It differs from that of [`Report::Added`] if this disk does not take
        /// the torrent's name.
        path: PathBuf,
    },
    /// Sent every second, and at the end, when no peer is connected any more.
    Progress(Progress),
    /// All wanted files are on disk and verified.
    Complete {
        /// The torrent.
        info_hash: InfoHash,
        /// Seconds since the torrent was added.
        seconds: f64,
        /// Payload received in this run, including wasted blocks.
        downloaded_bytes: u64,
        /// Payload sent in this run.
        uploaded_bytes: u64,
        /// Payload received beyond what was missing: blocks that came twice, or false at first.
        twice_bytes: u64,
        /// Who gave it: at most three by name, the most generous first, then the rest together.
        givers: Vec<Giver>,
    },
    /// The user should know this; nothing ends because of it.
    Warning {
        /// The torrent, if the warning is about one.
        info_hash: Option<InfoHash>,
        /// What happened, why, and what to do.
        message: String,
    },
    /// The torrent is left incomplete: no data came for the time of `--stall-timeout`.
    GaveUp {
        /// The torrent.
        info_hash: InfoHash,
        /// Its name.
        name: String,
        /// Why nothing came.
        why: Idle,
    },
    /// Something failed for good.
    Error {
        /// The torrent, if the error is about one.
        info_hash: Option<InfoHash>,
        /// The SOURCE that could not be read, if the error is about one.
        source: Option<String>,
        /// What happened, why, and what to do.
        message: String,
    },
    /// A fact of a torrent's life, if [`Config::witness`](crate::config::Config) is set.
    Trace(Event),
    /// Other news, in one line. Shown with `-v`.
    Remark(String),
    /// A part of the story of `storrent demo`, for stdout, word for word.
    Said(String),
    /// A signal has ended the run. Trackers are still told, for at most three seconds.
    Leaving,
    /// The last report about torrents. A display shows each for the last time.
    Over,
}

/// All peers of one client program, or a web seed, and how much they gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Giver {
    /// How the peers call their program. `None`: all who are not named.
    pub name: Option<String>,
    /// Bytes of their blocks.
    pub bytes: u64,
}

/// How one torrent is doing. Sizes are in bytes, rates in bytes per second.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Bytes of the wanted files that are verified.
    pub have_bytes: u64,
    /// Bytes of the wanted files.
    pub wanted_bytes: u64,
    /// Payload coming in.
    pub download_rate: u64,
    /// Payload going out.
    pub upload_rate: u64,
    /// Connected peers.
    pub peers: usize,
    /// Connected peers that have all pieces.
    pub seeds: usize,
    /// Web seeds in use, which are no peers.
    pub web_seeds: usize,
    /// Payload received in this run.
    pub downloaded_bytes: u64,
    /// Payload sent in this run.
    pub uploaded_bytes: u64,
    /// Whether the torrent has all wanted pieces and stays to serve others.
    pub seeding: bool,
    /// Why no data arrives, if none does.
    pub idle: Option<Idle>,
}

/// Why a torrent receives nothing, as facts: a [`Reporter`] chooses the words.
#[derive(Clone, Debug, PartialEq)]
pub enum Idle {
    /// Peers are connected, but the metadata is not here yet.
    Learning(Metadata),
    /// No piece arrives, although all this was tried.
    Tried(Box<Tried>),
}

/// The state of a magnet link's metadata (BEP 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// No connected peer gives it.
    Nobody {
        /// How many peers are connected.
        peers: usize,
    },
    /// Peers are giving it.
    Fetching {
        /// How many peers were asked.
        peers: usize,
        /// Bytes from the peer that has sent the most.
        bytes: u32,
    },
    /// It is here, and its files are looked for on disk.
    Here,
}

/// What was tried to get a torrent's data, source by source, and how that ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tried {
    /// What the system lacked at the last attempt to connect, if anything.
    pub short: Option<Shortage>,
    /// Why we can reach no peer, if so: for example, the address of `--bind` is gone.
    pub no_way: Option<String>,
    /// The sources that `--proxy` shuts out: "2 trackers, the DHT".
    pub shut_out: String,
    /// The proxy, without its password.
    pub proxy: Option<String>,
    /// Connected peers that choke us and have a piece that we lack.
    pub choking: usize,
    /// Connected peers that do not choke us and have a piece that we lack, but send nothing.
    pub silent: usize,
    /// Connected peers that have no piece that we lack.
    pub no_use: usize,
    /// The known addresses of peers, connected or not.
    pub addresses: Addresses,
    /// How the last announces ended.
    pub trackers: Trackers,
    /// Why a tracker failed, if one did.
    pub tracker_error: Option<String>,
    /// How many nodes of the DHT answer (BEP 5). `None`: the DHT is not asked.
    pub dht_nodes: Option<usize>,
    /// Whether the local network is asked (BEP 14).
    pub local: bool,
    /// The piece that came false from the most peers, if one did.
    pub false_piece: Option<FalsePiece>,
    /// The web seeds (BEP 19).
    pub web_seeds: WebSeeds,
}

/// Counts of one torrent's addresses by how the last attempt to connect failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Addresses {
    /// All of them.
    pub known: usize,
    /// Nothing listened there.
    pub refused: usize,
    /// No answer came.
    pub timed_out: usize,
    /// No route leads there.
    pub unreachable: usize,
    /// The proxy refuses to connect to it.
    pub barred: usize,
    /// The attempt failed in another way.
    pub failed: usize,
    /// Found on the local network (BEP 14), whatever became of attempts to connect.
    pub local: usize,
}

/// Counts of a torrent's trackers by how the last announce ended. A tracker that was not asked yet
/// counts only in `trackers`; one whose protocol we do not speak does not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Trackers {
    /// All of them.
    pub trackers: usize,
    /// Those that answered.
    pub answered: usize,
    /// Nothing listens at the address.
    pub refused: usize,
    /// No answer came.
    pub timed_out: usize,
    /// The tracker refused, with a reason.
    pub failures: usize,
    /// The announce failed in another way: name unknown, HTTP status, garbage.
    pub other: usize,
}

/// A piece that failed its hash check and is not right yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FalsePiece {
    /// Which piece.
    pub piece: PieceIndex,
    /// How many peers each sent all of it, with a wrong hash.
    pub givers: usize,
}

/// Counts of a torrent's web seeds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WebSeeds {
    /// Web seeds in use.
    pub open: usize,
    /// Web seeds that are not banned, in use or not.
    pub usable: usize,
    /// Why a web seed that is not in use failed, if one has.
    pub error: Option<String>,
}

/// Shows reports to somebody.
pub trait Reporter {
    /// Takes one report. Called by main, which must never wait.
    fn report(&mut self, report: Report);
}
