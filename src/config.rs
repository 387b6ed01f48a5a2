//! What the user asked for, as the engine needs it: the options of `cli.md`, checked.
//!
//! The command line makes one [`Config`] for the process and one [`Job`] for each
//! torrent; after that nobody changes them.

use crate::magnet::Magnet;
use crate::metainfo::Metainfo;
use crate::selection::FileNumbers;
use crate::types::InfoHash;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The options that hold for the whole process.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder to save in; made if missing.
    pub dir: PathBuf,
    /// The TCP port named with `--port` (0: any free one); `None`: 6881 to 6889, else any.
    pub port: Option<u16>,
    /// The local address for all sockets; `None`: every interface.
    pub bind: Option<IpAddr>,
    /// Connections per torrent at most, both directions together.
    pub max_peers: usize,
    /// Payload bytes a second in, of the whole process; 0: no limit.
    pub download_limit: u64,
    /// Payload bytes a second out, of the whole process; 0: no limit.
    pub upload_limit: u64,
    /// Fetch pieces in order instead of rarest first.
    pub sequential: bool,
    /// What to do with a complete torrent.
    pub afterwards: Afterwards,
    /// Give up when no payload came for so long; `None`: never.
    pub stall_timeout: Option<Duration>,
    /// Replace files that are not this torrent's.
    pub overwrite: bool,
    /// The job is `storrent seed`: incomplete data is an error, nothing is fetched.
    pub seed_only: bool,
    /// The job is `storrent show MAGNET`: the metadata is all that is wanted.
    pub metadata_only: bool,
    /// Where peers and data may come from.
    pub sources: Sources,
    /// Whether connections are obfuscated.
    pub encryption: Encryption,
    /// Nodes to enter the DHT by, `HOST:PORT`; empty: the public ones.
    pub dht_nodes: Vec<String>,
}

/// Where peers and data may come from, besides trackers and the user's own word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sources {
    /// The distributed hash table (BEP 5).
    pub dht: bool,
    /// Peers tell us of others (BEP 11).
    pub pex: bool,
    /// Local service discovery (BEP 14).
    pub lsd: bool,
    /// Web servers that hold the files (BEP 19).
    pub webseeds: bool,
}

impl Default for Config {
    /// The defaults of the command line.
    fn default() -> Self {
        Self {
            dir: PathBuf::from("."),
            port: None,
            bind: None,
            max_peers: 50,
            download_limit: 0,
            upload_limit: 0,
            sequential: false,
            afterwards: Afterwards::Leave,
            stall_timeout: None,
            overwrite: false,
            seed_only: false,
            metadata_only: false,
            sources: Sources {
                dht: true,
                pex: true,
                lsd: true,
                webseeds: true,
            },
            encryption: Encryption::Prefer,
            dht_nodes: Vec::new(),
        }
    }
}

/// Whether connections are obfuscated (MSE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Never.
    Off,
    /// Plain first, encrypted if the peer insists.
    Prefer,
    /// Nothing but.
    Require,
}

/// What to do with a torrent once it is complete.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Afterwards {
    /// Leave.
    Leave,
    /// Seed until one of the goals is reached; with none, until interrupted.
    Seed {
        /// Until uploaded / wanted size is this much.
        ratio: Option<f64>,
        /// Until it was seeded for so long.
        time: Option<Duration>,
    },
}

/// One torrent to work on.
#[derive(Clone, Debug)]
pub struct Job {
    /// The SOURCE that named it, as the user gave it.
    pub source: String,
    /// Which torrent.
    pub subject: Subject,
    /// Which files are wanted; `None`: all, or what the magnet link says.
    pub files: Option<FileNumbers>,
    /// Peers named on the command line, `HOST:PORT`.
    pub peers: Vec<String>,
    /// Trackers named on the command line, besides the torrent's own.
    pub trackers: Vec<String>,
}

/// What is known of a torrent at the start.
#[derive(Clone, Debug)]
pub enum Subject {
    /// All, from a `.torrent`.
    Torrent(Box<Metainfo>),
    /// What a magnet link says.
    Link(Magnet),
}

impl Subject {
    /// Which torrent it is.
    pub fn info_hash(&self) -> InfoHash {
        match self {
            Self::Torrent(metainfo) => metainfo.info_hash,
            Self::Link(magnet) => magnet.info_hash,
        }
    }
}
