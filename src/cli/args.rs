//! The command line: which job, with which options.
//!
//! The options are structs that the crate argh fills. argh understands fewer ways to write
//! an option than we promise in `--help`, so [`super::split`] rewrites the command line first.
//! [`values`] reads the values.

use super::help;
use super::split::{Split, no_option, split};
use super::values::{self, Source, shown};
use crate::config::{Afterwards, Config, Encryption, Sources};
use crate::door::Door;
use crate::door::environment::Environment;
use crate::proxy::Proxy;
use crate::selection::FileNumbers;
use argh::{ArgsInfo, FlagInfo, FromArgs};
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A job for the program.
#[derive(Debug)]
pub enum Command {
    /// The plain form.
    Download(Download),
    /// `storrent seed`.
    Seed(Download),
    /// `storrent show`.
    Show(Show),
    /// `storrent check`.
    Check(Check),
    /// `storrent create`.
    Create(Create),
    /// `storrent demo`.
    Demo,
}

/// Why there is no job.
#[derive(Debug, PartialEq)]
pub enum NoCommand {
    /// It was asked for this text: to stdout, status 0.
    Print(&'static str),
    /// The command line is wrong: what about it, for stderr, status 2.
    Mistake(String),
}

/// What `--version` prints.
const VERSION: &str = concat!("storrent ", env!("CARGO_PKG_VERSION"), "\n");

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
    /// seed until so many times the wanted size is uploaded
    #[argh(option, from_str_fn(values::ratio))]
    pub seed_ratio: Option<f64>,
    /// seed for so many minutes
    #[argh(option, from_str_fn(values::minutes))]
    pub seed_time: Option<Duration>,
    /// give up when nothing came for so many seconds
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
    /// tell what each thread does; counts
    #[argh(switch, short = 'v')]
    pub verbose: u8,
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
    /// taken as for a download; web seeds have no metadata, so nobody reads it
    #[argh(switch)]
    pub no_webseeds: bool,
    /// give up when no metadata came for so many seconds
    #[argh(option, default = "Duration::ZERO", from_str_fn(values::seconds))]
    pub stall_timeout: Duration,
    /// the torrent
    #[argh(positional, from_str_fn(values::source))]
    pub source: Source,
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
struct Demo {}

impl Show {
    /// From where, and through what, others are talked to.
    pub fn door(&self) -> Door {
        door(self.bind, self.proxy.as_ref())
    }
}

impl Check {
    /// From where, and through what, a URL is fetched.
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
    /// From where, and through what, others are talked to.
    pub fn door(&self) -> Door {
        door(self.bind, self.proxy.as_ref())
    }

    /// The options that hold for the whole process. With `seed_only` nothing is
    /// fetched, so there is no stall, and the goals alone say when it leaves.
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
            sequential: self.sequential,
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
        }
    }
}

/// Reads a command line, without the program's own name.
///
/// # Errors
/// [`NoCommand`]: help or version was asked for, or it is wrong.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, NoCommand> {
    let split = split(args)?;
    let job = split.job.as_str();
    match job {
        "show" => fill(&split, help::SHOW, 1).map(Command::Show),
        "check" => fill(&split, help::CHECK, 1).map(Command::Check),
        "create" => fill(&split, help::CREATE, 1).map(Command::Create),
        "demo" => fill::<Demo>(&split, help::DEMO, 0).map(|_| Command::Demo),
        _ => {
            let is_seed = job == "seed";
            let text = if is_seed { help::SEED } else { help::MAIN };
            let options: Download = fill(&split, text, usize::MAX)?;
            sensible(&options, is_seed)?;
            let job = if is_seed {
                Command::Seed
            } else {
                Command::Download
            };
            Ok(job(options))
        }
    }
}

/// Which options can't go together.
fn sensible(options: &Download, is_seed: bool) -> Result<(), NoCommand> {
    let stdins = options.sources.iter().filter(|s| **s == Source::Stdin);
    let mistake = match () {
        () if is_seed && options.files.is_some() => "`storrent seed` has no option --files",
        () if is_seed && options.overwrite => "`storrent seed` has no option --overwrite",
        () if options.files.is_some() && options.sources.len() > 1 => {
            "--files needs exactly one SOURCE: its numbers count that torrent's files"
        }
        () if stdins.count() > 1 => "- is given twice, but standard input can be read only once",
        () => return Ok(()),
    };
    Err(NoCommand::Mistake(mistake.to_string()))
}

/// The options of a job; `None` if there is no such job, the empty one is the plain
/// form. `--help` and `--version` belong to all jobs and to none, so they are not here.
pub(super) fn options_of(job: &str) -> Option<&'static [FlagInfo<'static>]> {
    let info = match job {
        "" | "seed" => Download::get_args_info(),
        "show" => Show::get_args_info(),
        "check" => Check::get_args_info(),
        "create" => Create::get_args_info(),
        "demo" => Demo::get_args_info(),
        _ => return None,
    };
    Some(info.flags)
}

/// Has argh fill the options of one job, which takes at most `most` positionals.
fn fill<T: FromArgs + ArgsInfo>(
    split: &Split,
    help: &'static str,
    most: usize,
) -> Result<T, NoCommand> {
    if split.help {
        return Err(NoCommand::Print(help));
    }
    if split.version {
        return Err(NoCommand::Print(VERSION));
    }
    let info = T::get_args_info();
    let mut line = Vec::new();
    for (option, value) in &split.options {
        if !info.flags.iter().any(|flag| flag.long == option.long) {
            return Err(no_option(&split.job, option.long));
        }
        line.push(option.long);
        line.extend(value.as_deref());
    }
    line.push("--");
    line.extend(split.positionals.iter().map(String::as_str));
    let job = format!("storrent {}", split.job);
    let job = job.trim_end();
    let wanted = info
        .positionals
        .first()
        .map_or("", |positional| positional.name);
    match split.positionals.get(most) {
        Some(extra) => {
            let text = format!("{} is one too many: see `{job} --help`", shown(extra));
            return Err(NoCommand::Mistake(text));
        }
        None if split.positionals.is_empty() && most > 0 => {
            let what = match wanted {
                "path" => "PATH",
                _ if matches!(&*split.job, "seed" | "check") => "TORRENT",
                _ => "SOURCE",
            };
            return Err(NoCommand::Mistake(format!(
                "no {what} is given: see `{job} --help`"
            )));
        }
        None => {}
    }
    T::from_args(&[job], &line).map_err(|exit| {
        // "Error parsing option '--port' with value 'x': …": the rest says it all.
        let text = exit.output.trim_end();
        let text = text.strip_prefix("Error parsing ").unwrap_or(text);
        let text = split.without_secrets(text);
        NoCommand::Mistake(crate::human::escaped(&text))
    })
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
