//! The options of each job, as structs that the crate argh fills with the values that [`values`]
//! reads. argh demands doc comments of the fields; users read [`help`](super::help) instead.

use super::demo::Choice;
use super::values::{self, Source};
use crate::config::{Afterwards, Config, Encryption, Rules, Sources, Strategy};
use crate::door::Door;
use crate::door::environment::Environment;
use crate::progress::Colour;
use crate::proxy::Proxy;
use crate::selection::FileNumbers;
use crate::setting::Setting;
use argh::{ArgsInfo, FromArgs};
use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Downloads and seeds torrents.
#[derive(FromArgs, ArgsInfo, Debug)]
pub struct Download {
    /// the folder to save in
    #[argh(
        option,
        short = 'd',
        default = "PathBuf::from(\".\")",
        from_str_fn(values::path)
    )]
    pub dir: PathBuf,
    /// only these files, numbers from 1
    #[argh(option, short = 'f', from_str_fn(values::file_numbers))]
    pub files: Option<FileNumbers>,
    /// the port to accept peers on
    #[argh(option, short = 'p', from_str_fn(values::port))]
    pub port: Option<u16>,
    /// the local address for all sockets
    #[argh(option, from_str_fn(values::bind))]
    pub bind: Option<IpAddr>,
    /// the proxy for all that goes out
    #[argh(option, from_str_fn(values::proxy))]
    pub proxy: Option<Proxy>,
    /// also connect to this peer
    #[argh(option, from_str_fn(values::host_port))]
    pub peer: Vec<String>,
    /// also announce to this tracker
    #[argh(option, short = 't', from_str_fn(values::tracker))]
    pub tracker: Vec<String>,
    /// connections per torrent at most
    #[argh(
        option,
        default = "Config::default().max_peers",
        from_str_fn(values::max_peers)
    )]
    pub max_peers: usize,
    /// bytes a second in
    #[argh(option, default = "0", from_str_fn(values::rate))]
    pub download_limit: u64,
    /// bytes a second out
    #[argh(option, default = "0", from_str_fn(values::rate))]
    pub upload_limit: u64,
    /// pieces in order
    #[argh(switch)]
    pub sequential: bool,
    /// stay and seed
    #[argh(switch)]
    pub seed: bool,
    /// seed until R times the wanted size is uploaded
    #[argh(option, from_str_fn(values::ratio))]
    pub seed_ratio: Option<f64>,
    /// seed for MINUTES
    #[argh(option, from_str_fn(values::minutes))]
    pub seed_time: Option<Duration>,
    /// run this for each torrent that completes
    #[argh(option, from_str_fn(values::command))]
    pub on_complete: Option<OsString>,
    /// give up after SECONDS without any data
    #[argh(option, default = "Duration::ZERO", from_str_fn(values::seconds))]
    pub stall_timeout: Duration,
    /// replace files that are not this torrent's
    #[argh(switch)]
    pub overwrite: bool,
    /// no DHT
    #[argh(switch)]
    pub no_dht: bool,
    /// no peer exchange
    #[argh(switch)]
    pub no_pex: bool,
    /// no local service discovery
    #[argh(switch)]
    pub no_lsd: bool,
    /// no web seeds
    #[argh(switch)]
    pub no_webseeds: bool,
    /// a node to enter the DHT by
    #[argh(option, from_str_fn(values::host_port))]
    pub dht_node: Vec<String>,
    /// obfuscated connections
    #[argh(
        option,
        default = "Encryption::Prefer",
        from_str_fn(values::encryption)
    )]
    pub encryption: Encryption,
    /// JSON lines on stdout
    #[argh(switch)]
    pub json: bool,
    /// errors only
    #[argh(switch, short = 'q')]
    pub quiet: bool,
    /// when to use colours
    #[argh(option, default = "Colour::Auto", from_str_fn(values::colour))]
    pub color: Colour,
    /// tell each peer's life; counts
    #[argh(switch, short = 'v')]
    pub verbose: u8,
    /// write all facts here
    #[argh(option, from_str_fn(values::path))]
    pub trace: Option<PathBuf>,
    /// the torrents
    #[argh(positional, from_str_fn(values::source))]
    pub sources: Vec<Source>,
}

/// Prints what a torrent holds.
#[derive(FromArgs, ArgsInfo, Debug)]
pub struct Show {
    /// save it here
    #[argh(option, short = 'o', from_str_fn(values::path))]
    pub output: Option<PathBuf>,
    /// one JSON object
    #[argh(switch)]
    pub json: bool,
    /// errors only
    #[argh(switch, short = 'q')]
    pub quiet: bool,
    /// the local address for all sockets
    #[argh(option, from_str_fn(values::bind))]
    pub bind: Option<IpAddr>,
    /// the proxy for all that goes out
    #[argh(option, from_str_fn(values::proxy))]
    pub proxy: Option<Proxy>,
    /// a peer to fetch the metadata from
    #[argh(option, from_str_fn(values::host_port))]
    pub peer: Vec<String>,
    /// a tracker to find such peers by
    #[argh(option, short = 't', from_str_fn(values::tracker))]
    pub tracker: Vec<String>,
    /// a node to enter the DHT by
    #[argh(option, from_str_fn(values::host_port))]
    pub dht_node: Vec<String>,
    /// no DHT
    #[argh(switch)]
    pub no_dht: bool,
    /// no peer exchange
    #[argh(switch)]
    pub no_pex: bool,
    /// no local service discovery
    #[argh(switch)]
    pub no_lsd: bool,
    /// accepted as for a download, without effect: web seeds have no metadata
    #[argh(switch)]
    pub no_webseeds: bool,
    /// give up after SECONDS without any metadata
    #[argh(option, default = "Duration::ZERO", from_str_fn(values::seconds))]
    pub stall_timeout: Duration,
    /// a recorded conversation, instead of a torrent
    #[argh(option, from_str_fn(values::path))]
    pub wire: Option<PathBuf>,
    /// the torrent
    #[argh(positional, from_str_fn(values::source))]
    pub source: Option<Source>,
}

/// Hashes what is on disk.
#[derive(FromArgs, ArgsInfo, Debug)]
pub struct Check {
    /// the folder that it was saved in
    #[argh(
        option,
        short = 'd',
        default = "PathBuf::from(\".\")",
        from_str_fn(values::path)
    )]
    pub dir: PathBuf,
    /// one JSON object
    #[argh(switch)]
    pub json: bool,
    /// errors only
    #[argh(switch, short = 'q')]
    pub quiet: bool,
    /// the local address for all sockets
    #[argh(option, from_str_fn(values::bind))]
    pub bind: Option<IpAddr>,
    /// the proxy for all that goes out
    #[argh(option, from_str_fn(values::proxy))]
    pub proxy: Option<Proxy>,
    /// the torrent
    #[argh(positional, from_str_fn(values::source))]
    pub source: Source,
}

/// Makes a torrent.
#[derive(FromArgs, ArgsInfo, Debug)]
pub struct Create {
    /// save it here
    #[argh(option, short = 'o', from_str_fn(values::path))]
    pub output: Option<PathBuf>,
    /// a tracker
    #[argh(option, short = 't', from_str_fn(values::tracker))]
    pub tracker: Vec<String>,
    /// a web seed
    #[argh(option, short = 'w', from_str_fn(values::webseed))]
    pub webseed: Vec<String>,
    /// bytes of a piece
    #[argh(option, from_str_fn(values::piece_length))]
    pub piece_length: Option<u32>,
    /// peers from its trackers only
    #[argh(switch)]
    pub private: bool,
    /// a comment
    #[argh(option, from_str_fn(values::comment))]
    pub comment: Option<String>,
    /// errors only
    #[argh(switch, short = 'q')]
    pub quiet: bool,
    /// the file or folder
    #[argh(positional, from_str_fn(values::path))]
    pub path: PathBuf,
}

/// Shows a whole swarm on this machine.
#[derive(FromArgs, ArgsInfo, Debug)]
pub struct Demo {
    /// one lesson
    #[argh(option, default = "Choice::default()", from_str_fn(Choice::named))]
    pub scene: Choice,
    /// every fact as JSON lines
    #[argh(option, from_str_fn(values::path))]
    pub trace: Option<PathBuf>,
    /// a picture of the swarm
    #[argh(option, from_str_fn(values::path))]
    pub report: Option<PathBuf>,
}

/// Draws a trace.
#[derive(FromArgs, ArgsInfo, Debug)]
pub struct Report {
    /// the page
    #[argh(option, short = 'o', from_str_fn(values::path))]
    pub output: Option<PathBuf>,
    /// the trace
    #[argh(positional, from_str_fn(values::path))]
    pub trace: PathBuf,
}

impl Show {
    /// The local address and the proxy of all connections.
    pub fn door(&self) -> Door {
        door(self.bind, self.proxy.as_ref())
    }
}

impl Check {
    /// The local address and the proxy to fetch a URL.
    pub fn door(&self) -> Door {
        door(self.bind, self.proxy.as_ref())
    }
}

fn door(bind: Option<IpAddr>, proxy: Option<&Proxy>) -> Door {
    Door {
        bind,
        proxy: proxy.cloned(),
        environment: Environment::of_process(),
    }
}

impl Download {
    /// The local address and the proxy of all connections.
    pub fn door(&self) -> Door {
        door(self.bind, self.proxy.as_ref())
    }

    /// Returns the options for the whole process. With `seed_only` nothing is fetched, so
    /// `--stall-timeout` has no effect.
    pub fn config(&self, seed_only: bool) -> Config {
        let goals = self.seed_ratio.is_some() || self.seed_time.is_some();
        let afterwards = match seed_only || self.seed || goals {
            true => Afterwards::Seed {
                ratio: self.seed_ratio,
                time: self.seed_time,
            },
            false => Afterwards::Leave,
        };
        let stalls = !seed_only && !self.stall_timeout.is_zero();
        Config {
            dir: self.dir.clone(),
            port: self.port,
            door: self.door(),
            max_peers: self.max_peers,
            download_limit: self.download_limit,
            upload_limit: self.upload_limit,
            rules: Rules {
                strategy: match self.sequential {
                    true => Strategy::Sequential,
                    false => Strategy::RarestFirst,
                },
                ..Rules::default()
            },
            afterwards,
            stall_timeout: stalls.then_some(self.stall_timeout),
            overwrite: self.overwrite && !seed_only,
            seed_only,
            metadata_only: false,
            sources: Sources {
                dht: !self.no_dht,
                pex: !self.no_pex,
                lsd: !self.no_lsd,
                webseeds: !self.no_webseeds && !seed_only,
            },
            encryption: self.encryption,
            dht_nodes: self.dht_node.clone(),
            witness: None,
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bind => "--bind",
            Self::Dir => "--dir",
            Self::Files => "--files",
            Self::Overwrite => "--overwrite",
            Self::Port => "--port",
            Self::Proxy => "--proxy",
            Self::Seed => "--seed",
            Self::Tracker => "--tracker",
        })
    }
}
