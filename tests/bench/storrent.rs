//! What storrent costs: `cargo bench`, or `cargo bench -- download` for one of them. And
//! what others cost at the same download: `cargo bench -- clients`. And what a thread for each peer
//! costs: `cargo bench -- threads`.
//!
//! Seconds depend on the machine and on what else it does. So each measurement has a
//! *floor*, the least that could do the same work, measured in turns with it, and what
//! counts is the ratio of the two. Nothing here fails for being slow.
//!
//! The program itself runs in a process of its own, and so do the floors that move
//! data; whoever is at the other end of the connection is a thread of this process. The
//! processor time of one is thus never counted for another. (That time comes from
//! Linux's `/proc`, in steps of 10 ms; on other systems only the wall clock is shown.)

mod clients;
mod floors;
mod parts;
mod peers;
mod threads;

use peers::Content;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// How many rounds each measurement has. The median is shown.
const ROUNDS: usize = 3;

/// What is downloaded, seeded and checked.
const CONTENT_LEN: u64 = 1 << 30;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == floors::FLAG) {
        return floors::run(&args[1..]);
    }
    // `cargo test --benches` runs this, too, but without the flag.
    if !args.iter().any(|arg| arg == "--bench") {
        println!("run me by `cargo bench`");
        return;
    }
    let filter = args.iter().find(|arg| !arg.starts_with('-'));
    let chosen = |name: &str| filter.is_none_or(|filter| name.contains(filter.as_str()));
    for (name, measure) in parts::ALL {
        if chosen(name) {
            measure();
        }
    }
    let measurements: [(&str, Measure, Measure); 3] = [
        ("download", download, floors::download),
        ("seed", seed, floors::seed),
        ("check", check, floors::check),
    ];
    // Others are only run if asked for: they take their time.
    if filter.is_some_and(|filter| filter == "threads") {
        return threads::measure();
    }
    let others = filter.is_some_and(|filter| filter == "clients");
    if !others && !measurements.iter().any(|(name, ..)| chosen(name)) {
        if !parts::ALL.iter().any(|(name, _)| chosen(name)) {
            let parts = parts::ALL.iter().map(|(name, _)| *name);
            let names: Vec<_> = parts.chain(measurements.map(|(name, ..)| name)).collect();
            println!(
                "there is no such benchmark; there are {}, clients, threads",
                names.join(", ")
            );
        }
        return;
    }
    let dir = tempfile::tempdir().expect("no temporary folder");
    let content = Content::create(dir.path(), CONTENT_LEN);
    for (name, measure, floor) in measurements {
        if chosen(name) {
            let (mut costs, mut floors) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                costs.push(measure(&content));
                floors.push(floor(&content));
            }
            report(name, costs, floors);
        }
    }
    if others {
        clients::compare(&content);
    }
}

type Measure = fn(&Content) -> Cost;

/// What it took to move or hash the content once, in seconds.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
}

fn report(name: &str, costs: Vec<Cost>, floors: Vec<Cost>) {
    let gib = CONTENT_LEN as f64 / f64::from(1 << 30);
    let show = |what, of| {
        let (cost, floor) = (median(&costs, of) / gib, median(&floors, of) / gib);
        println!(
            "{name:10} {what} {cost:5.2} s/GiB, floor {floor:5.2}, ratio {:5.2}",
            cost / floor
        );
    };
    show("wall     ", |cost: &Cost| cost.wall);
    if cfg!(target_os = "linux") {
        show("processor", |cost: &Cost| cost.cpu);
    }
}

fn median(costs: &[Cost], of: fn(&Cost) -> f64) -> f64 {
    let mut values: Vec<f64> = costs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// From one seed, which is not counted, to the disk.
fn download(content: &Content) -> Cost {
    storrent_from(content, peers::serve(content, peers::seed))
}

fn storrent_from(content: &Content, seed: SocketAddr) -> Cost {
    let dir = tempfile::tempdir().expect("no temporary folder");
    let peer = ["--peer", &seed.to_string()];
    let mut storrent = storrent(&["-q"]);
    storrent.args(ALONE).args(peer).arg("-d");
    to_end(storrent.arg(dir.path()).arg(&content.torrent))
}

/// To one leech, which is not counted. The program is warm by then, and stays.
fn seed(content: &Content) -> Cost {
    let mut storrent = storrent(&["seed", "--json"]);
    storrent.args(ALONE).arg("-d");
    storrent.arg(&content.dir).arg(&content.torrent);
    let mut child = storrent
        .stdout(Stdio::piped())
        .spawn()
        .expect("storrent does not start");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut await_event = |name: &str| {
        let mut events = lines.by_ref().map(|line| {
            serde_json::from_str::<serde_json::Value>(&line.expect("a line")).expect("JSON")
        });
        events
            .find(|event| event["event"] == name)
            .unwrap_or_else(|| panic!("no event {name:?}"))
    };
    let port = await_event("listening")["port"].as_u64().expect("a port") as u16;
    await_event("checked");
    // It may take a moment until peers are welcome: not part of what is measured.
    peers::leech(content, port, 1);
    let (start, before) = (Instant::now(), cpu_of(&child));
    peers::leech(content, port, content.layout().pieces());
    let cost = Cost {
        wall: start.elapsed().as_secs_f64(),
        cpu: cpu_of(&child) - before,
    };
    child.kill().and_then(|()| child.wait()).expect("it ends");
    cost
}

/// Of a complete file that the system has in memory.
fn check(content: &Content) -> Cost {
    let mut storrent = storrent(&["check", "-q", "-d"]);
    to_end(storrent.arg(&content.dir).arg(&content.torrent))
}

/// On a port of its own, and nobody else is asked for peers.
const ALONE: [&str; 4] = ["-p", "0", "--no-dht", "--no-lsd"];

/// The program, as cargo built it for this run.
fn storrent(args: &[&str]) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_storrent")));
    command.args(args);
    command
}

/// Runs `command` from start to end.
fn to_end(command: &mut Command) -> Cost {
    let (start, before) = (Instant::now(), cpu_of_ended());
    let status = command.status().expect("it does not start");
    assert!(status.success(), "{command:?} failed");
    Cost {
        wall: start.elapsed().as_secs_f64(),
        cpu: cpu_of_ended() - before,
    }
}

/// Processor seconds of all processes that we started and that have ended.
fn cpu_of_ended() -> f64 {
    cpu_times("/proc/self/stat", 13)
}

/// Processor seconds of a process that we started, so far.
fn cpu_of(child: &Child) -> f64 {
    cpu_times(&format!("/proc/{}/stat", child.id()), 11)
}

/// The sum of two neighbouring fields, user and system time, in hundredths of a second
/// (see `man 5 proc_pid_stat`; counted from behind the program's name). 0 if there are none.
fn cpu_times(path: &str, field: usize) -> f64 {
    let stat = std::fs::read_to_string(path).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let times = fields.split_whitespace().skip(field).take(2);
    times
        .filter_map(|time| time.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}
