//! What a thread for each peer costs: `cargo bench -- threads`.
//!
//! The same content at the same total rate comes from more and more seeds. So the work stays the
//! same, and what grows is the cost of having many peers. The same is asked of rqbit, a client that
//! has a task of an async runtime for each peer instead of a thread, if it is installed.
//!
//! Everything is read from Linux's `/proc`, 20 times a second until the program ends. The last
//! reading misses at most 50 ms of about 5 s.

use crate::peers::{self, Content, Served};
use crate::{ALONE, cpu_of_ended, storrent};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of the content.
const LEN: u64 = 256 << 20;

/// Bytes a second that all seeds together send.
const RATE: u32 = 50_000_000;

/// How many seeds there are, in each measurement. More than 1,000 addresses storrent does not keep.
const SEEDS: [u32; 3] = [10, 100, 1000];

/// The time between two readings.
const PAUSE: Duration = Duration::from_millis(50);

/// What one download took.
#[derive(Default)]
struct Taken {
    /// The most threads at a time.
    threads: u64,
    /// The most memory that was resident, in bytes.
    memory: u64,
    /// How often a thread gave up its core, or lost it.
    switches: u64,
    /// Seconds of processor time.
    cpu: f64,
    wall: f64,
}

/// Measures storrent, and rqbit beside it.
pub(crate) fn measure() {
    if !cfg!(target_os = "linux") {
        return println!("threads: SKIPPED, for lack of /proc");
    }
    let dir = tempfile::tempdir().expect("no temporary folder");
    let content = Content::create(dir.path(), LEN);
    let rqbit = Command::new("rqbit").arg("--version").output().is_ok();
    if !rqbit {
        println!("rqbit is not installed: SKIPPED");
    }
    println!("seeds  client    threads  memory MiB  switches  CPU s/GiB  wall s");
    for seeds in SEEDS {
        let serve = move |stream, served: Served| peers::paced_seed(stream, served, RATE / seeds);
        let addrs = (0..seeds).map(|_| peers::serve(&content, serve));
        let addrs: Vec<SocketAddr> = addrs.collect();
        show(
            seeds,
            "storrent",
            &download(|dir| ours(&content, &addrs, dir)),
        );
        if rqbit {
            show(
                seeds,
                "rqbit",
                &download(|dir| theirs(&content, &addrs, dir)),
            );
        }
    }
}

fn show(seeds: u32, client: &str, taken: &Taken) {
    println!(
        "{seeds:5}  {client:8}  {:7}  {:10}  {:8}  {:9.2}  {:6.2}",
        taken.threads,
        taken.memory >> 20,
        taken.switches,
        taken.cpu / (LEN as f64 / f64::from(1 << 30)),
        taken.wall,
    );
}

fn ours(content: &Content, seeds: &[SocketAddr], dir: &Path) -> Command {
    let mut command = storrent(&["-q", "--max-peers", "1000", "-d"]);
    command.arg(dir).args(ALONE);
    for seed in seeds {
        command.args(["--peer", &seed.to_string()]);
    }
    command.arg(&content.torrent);
    command
}

fn theirs(content: &Content, seeds: &[SocketAddr], dir: &Path) -> Command {
    let seeds: Vec<String> = seeds.iter().map(SocketAddr::to_string).collect();
    let mut command = Command::new("rqbit");
    command.env("HOME", dir).args(RQBIT).arg(dir.join("saved"));
    command.args(["--initial-peers", &seeds.join(",")]);
    command.arg(&content.torrent);
    command
}

/// Nothing but the peers that are named, and out as soon as it is complete.
const RQBIT: [&str; 13] = [
    "-v",
    "error",
    "--disable-dht",
    "--disable-dht-persistence",
    "--disable-lsd",
    "--disable-upnp-port-forward",
    "--disable-trackers",
    "--peer-limit",
    "5000",
    "download",
    "--disable-http-api",
    "-e",
    "-o",
];

/// Runs what `command` makes for a new folder, to its end.
fn download(command: impl FnOnce(&Path) -> Command) -> Taken {
    let dir = tempfile::tempdir().expect("no temporary folder");
    let mut command = command(dir.path());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let before = cpu_of_ended();
    let start = Instant::now();
    let mut child = command.spawn().expect("it does not start");
    let mut taken = Taken::default();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is ours") {
            break status;
        }
        taken.read(&format!("/proc/{}", child.id()));
        // Nothing tells when a program is about to end.
        thread::sleep(PAUSE);
    };
    assert!(status.success(), "{:?} failed", command.get_program());
    taken.wall = start.elapsed().as_secs_f64();
    taken.cpu = cpu_of_ended() - before;
    taken
}

impl Taken {
    /// Reads how the process at `path` does. Threads that have ended are not counted any more, and
    /// a process that has ended leaves all as it was.
    fn read(&mut self, path: &str) {
        let field = |status: &str, name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            number.unwrap_or(0)
        };
        let status = fs::read_to_string(format!("{path}/status")).unwrap_or_default();
        self.memory = self.memory.max(field(&status, "VmHWM:") << 10);
        let tasks = fs::read_dir(format!("{path}/task")).into_iter().flatten();
        let (mut threads, mut switches) = (0, 0);
        for task in tasks.flatten() {
            let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            threads += 1;
            switches += field(&status, "voluntary_ctxt_switches:");
            switches += field(&status, "nonvoluntary_ctxt_switches:");
        }
        self.threads = self.threads.max(threads);
        self.switches = self.switches.max(switches);
    }
}
