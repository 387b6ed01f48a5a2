//! Other clients at the same work: `cargo bench -- clients`, if they are installed.
//!
//! Each downloads the content from the same seed, in turns with storrent. The clock stops
//! when a client says that the download is complete, not when it has said good-bye to
//! everybody. aria2 and Transmission take peers from a tracker only: there is one here, in
//! a thread, that knows the seed. Some clients refuse peers on 127.0.0.1, so the seed is
//! on another address of this machine, if there is one; nothing leaves the machine.

use crate::peers::{self, Content};
use crate::{CONTENT_LEN, Cost, ROUNDS, cpu_of, cpu_of_ended, median, storrent_from};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// No client takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Fetches a torrent from one peer. What it may do with memory and threads is generous.
const LIBTORRENT: &str = r#"
import sys, libtorrent as lt
torrent, folder, host, port, hook = sys.argv[1:]
off = dict.fromkeys(["enable_dht", "enable_lsd", "enable_upnp", "enable_natpmp",
                     "enable_outgoing_utp", "enable_incoming_utp"], False)
session = lt.session(dict(off, listen_interfaces="0.0.0.0:0", out_enc_policy=2, in_enc_policy=2,
    max_out_request_queue=2000, hashing_threads=2, alert_mask=lt.alert.category_t.status_notification))
handle = session.add_torrent({"ti": lt.torrent_info(torrent), "save_path": folder})
handle.connect_peer((host, int(port)))
while not any(isinstance(a, lt.torrent_finished_alert) for a in session.pop_alerts()):
    session.wait_for_alert(1000)
open(hook, "w").close()
session.wait_for_alert(60000)
"#;

/// Where everything is for one download.
struct Place<'a> {
    torrent: &'a Path,
    seed: SocketAddr,
    /// To save in.
    dir: PathBuf,
    /// For the client's own files.
    home: &'a Path,
    /// Makes `complete`: for clients that run a program at the end.
    hook: PathBuf,
    /// It is there when the download is complete.
    complete: PathBuf,
}

type Client = (&'static str, fn(&Place) -> Command);

const CLIENTS: [Client; 4] = [
    ("aria2c", aria2),
    ("transmission-cli", transmission),
    ("libtorrent", libtorrent),
    ("rqbit", rqbit),
];

/// Downloads by turns, and shows each client beside storrent.
pub(crate) fn compare(content: &Content) {
    let here = if_addrs::get_if_addrs().unwrap_or_default();
    let others = here.iter().filter(|one| !one.is_loopback());
    let ip = others
        .map(|one| one.ip())
        .find(IpAddr::is_ipv4)
        .unwrap_or(Ipv4Addr::LOCALHOST.into());
    let seed = peers::serve_at(ip, content, peers::seed);
    let torrent = announced(content, track(ip, seed));
    let there: Vec<Client> = CLIENTS
        .into_iter()
        .filter(|(name, _)| {
            let there = is_installed(name);
            if !there {
                println!("{name:16} is not installed: SKIPPED");
            }
            there
        })
        .collect();
    let mut ours = Vec::new();
    let mut theirs = vec![Vec::new(); there.len()];
    for _ in 0..ROUNDS {
        ours.push(storrent_from(content, seed));
        for ((_, command), costs) in there.iter().zip(&mut theirs) {
            costs.push(download(*command, &torrent, seed));
        }
    }
    let gib = CONTENT_LEN as f64 / f64::from(1 << 30);
    let [wall, cpu] = [|cost: &Cost| cost.wall, |cost: &Cost| cost.cpu];
    let (our_wall, our_cpu) = (median(&ours, wall), median(&ours, cpu));
    println!(
        "{:16} wall {:5.2} s/GiB, processor {:5.2}",
        "storrent",
        our_wall / gib,
        our_cpu / gib
    );
    for ((name, _), costs) in there.iter().zip(&theirs) {
        let (wall, cpu) = (median(costs, wall), median(costs, cpu));
        println!(
            "{name:16} wall {:5.2} s/GiB, processor {:5.2}; storrent's are {:.2} and {:.2} of it",
            wall / gib,
            cpu / gib,
            our_wall / wall,
            our_cpu / cpu
        );
    }
}

fn is_installed(name: &str) -> bool {
    let mut asked = match name {
        "libtorrent" => python(&["-c", "import libtorrent"]),
        _ => {
            let mut command = Command::new(name);
            command.arg("--version");
            command
        }
    };
    let asked = asked.stdout(Stdio::null()).stderr(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}

/// One download, from the start to when it is complete.
fn download(command: fn(&Place) -> Command, torrent: &Path, seed: SocketAddr) -> Cost {
    let temp = tempfile::tempdir().expect("no temporary folder");
    let place = Place {
        torrent,
        seed,
        dir: temp.path().join("saved"),
        home: temp.path(),
        hook: temp.path().join("hook"),
        complete: temp.path().join("complete"),
    };
    fs::create_dir(&place.dir).expect("a folder");
    fs::write(
        &place.hook,
        format!("#!/bin/sh\n: > '{}'\n", place.complete.display()),
    )
    .and_then(|()| fs::set_permissions(&place.hook, fs::Permissions::from_mode(0o755)))
    .expect("a script");
    let mut command = command(&place);
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"] {
        command.env(name, place.home);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let (start, before) = (Instant::now(), cpu_of_ended());
    let mut child = command.spawn().expect("it does not start");
    let cost = loop {
        // Most go on when they are complete; rqbit ends, and has no other way to say it.
        let ended = child.try_wait().expect("it is ours").is_some();
        if ended || place.complete.exists() {
            let cpu = if ended {
                cpu_of_ended() - before
            } else {
                cpu_of(&child)
            };
            break Cost {
                wall: start.elapsed().as_secs_f64(),
                cpu,
            };
        }
        assert!(start.elapsed() < PATIENCE, "{command:?} takes too long");
        // A file can't be waited for without one more dependency; 0.1 % of what is measured.
        thread::sleep(Duration::from_millis(1));
    };
    let _ = child.kill();
    child.wait().expect("it ends");
    cost
}

fn aria2(place: &Place) -> Command {
    let mut command = Command::new("aria2c");
    command.args([
        "--no-conf",
        "--enable-dht=false",
        "--enable-dht6=false",
        "--bt-enable-lpd=false",
        "--enable-peer-exchange=false",
        "--file-allocation=none",
        "--disk-cache=64M",
        "--follow-torrent=false",
        "--seed-time=0",
    ]);
    command.arg(format!("--dir={}", place.dir.display()));
    command.arg(format!(
        "--on-bt-download-complete={}",
        place.hook.display()
    ));
    command.arg(place.torrent);
    command
}

fn transmission(place: &Place) -> Command {
    let settings = r#"{"dht-enabled": false, "pex-enabled": false, "lpd-enabled": false,
        "utp-enabled": false, "port-forwarding-enabled": false, "preallocation": 0,
        "cache-size-mb": 16}"#;
    fs::write(place.home.join("settings.json"), settings).expect("no room");
    let mut command = Command::new("transmission-cli");
    command.arg("-g").arg(place.home).arg("-w").arg(&place.dir);
    command
        .args(["-M", "-D", "-U", "-et", "-f"])
        .arg(&place.hook);
    command.arg(place.torrent);
    command
}

fn libtorrent(place: &Place) -> Command {
    let mut command = python(&["-c", LIBTORRENT]);
    command.arg(place.torrent).arg(&place.dir);
    command.args([place.seed.ip().to_string(), place.seed.port().to_string()]);
    command.arg(&place.complete);
    command
}

fn rqbit(place: &Place) -> Command {
    let mut command = Command::new("rqbit");
    command.args([
        "-v",
        "error",
        "--disable-dht",
        "--disable-dht-persistence",
        "--disable-lsd",
    ]);
    command.args([
        "--disable-upnp-port-forward",
        "--disable-trackers",
        "download",
    ]);
    command
        .args(["--disable-http-api", "-e", "-o"])
        .arg(&place.dir);
    command
        .args(["--initial-peers", &place.seed.to_string()])
        .arg(place.torrent);
    command
}

/// Debian's own, which has libtorrent's module; others on the path have not.
fn python(args: &[&str]) -> Command {
    let debian = Path::new("/usr/bin/python3");
    let mut command = Command::new(if debian.exists() {
        debian
    } else {
        Path::new("python3")
    });
    command.args(args);
    command
}

/// A tracker that knows only `seed`. Returns its URL.
fn track(ip: IpAddr, seed: SocketAddr) -> String {
    let listener = TcpListener::bind((ip, 0)).expect("no port");
    let url = format!(
        "http://{}/announce",
        listener.local_addr().expect("it is bound")
    );
    let mut reply = b"d8:intervali600e5:peers6:".to_vec();
    if let IpAddr::V4(ip) = seed.ip() {
        reply.extend(ip.octets());
    }
    reply.extend(seed.port().to_be_bytes());
    reply.push(b'e');
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines();
            // Up to the empty line that ends the request.
            lines
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .for_each(drop);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                reply.len()
            );
            // Whoever asked may have gone.
            let _ = stream.write_all(&[head.as_bytes(), &reply].concat());
        }
    });
    url
}

/// The torrent of `content` with a tracker: `announce` sorts before all other keys.
fn announced(content: &Content, url: String) -> PathBuf {
    let plain = fs::read(&content.torrent).expect("it was just made");
    let entry = format!("d8:announce{}:{url}", url.len());
    let path = content.dir.join("announced.torrent");
    fs::write(&path, [entry.as_bytes(), &plain[1..]].concat()).expect("no room");
    path
}
