//! Real clients and a real tracker as processes. They run in a network of their own
//! ([`super::network`]), with DHT, peer exchange, local discovery and uTP off: they find peers by
//! the tracker only and speak TCP.
//!
//! A client starts the same way to seed and to leech: it gets a folder, fetches what is missing
//! there, and stays.

use super::bencode::Value;
use super::content::Torrent;
use super::network::TRACKER;
use super::program::exit_of;
use super::until;
use crossbeam_channel::Receiver;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

/// The file that a client makes when it is complete: rTorrent says `completed` to the tracker only
/// after an interval.
const COMPLETE: &str = "complete";

/// One of the clients that we must get on with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Client {
    /// aria2 (own engine).
    Aria2,
    Transmission,
    /// libtorrent-rasterbar, the engine of qBittorrent and Deluge.
    Libtorrent,
    /// The same, refusing every connection that is not encrypted (MSE).
    LibtorrentEncrypted,
    /// The same, looking for peers on the local network only (BEP 14).
    LibtorrentLocal,
    /// The same, as the first seed of a swarm: it shows its pieces one by one (BEP 16).
    LibtorrentSuper,
    /// rTorrent (libtorrent-rakshasa: no kin of the other).
    Rtorrent,
    Qbittorrent,
}

impl Client {
    /// What must be installed to run it in the tests' network.
    pub(crate) fn programs(self) -> [&'static str; 3] {
        let program = match self {
            Self::Aria2 => "aria2c",
            Self::Transmission => "transmission-cli",
            Self::Libtorrent
            | Self::LibtorrentEncrypted
            | Self::LibtorrentLocal
            | Self::LibtorrentSuper => "python3-libtorrent",
            Self::Rtorrent => "rtorrent",
            Self::Qbittorrent => "qbittorrent-nox",
        };
        [program, "opentracker", "ip"]
    }

    /// Starts it on `torrent`, a file or (aria2, Transmission, libtorrent) a magnet link, with the
    /// folder `dir`, listening on `address`:`port`. `home` is an empty folder for its own files.
    pub(crate) fn start(
        self,
        torrent: &Path,
        dir: &Path,
        home: &Path,
        address: &str,
        port: u16,
    ) -> Process {
        let mut command = match self {
            Self::Aria2 => aria2(torrent, dir, address, port),
            Self::Transmission => transmission(torrent, dir, home, address, port),
            Self::Libtorrent => libtorrent(torrent, dir, home, address, port, ""),
            Self::LibtorrentEncrypted => libtorrent(torrent, dir, home, address, port, "encrypted"),
            Self::LibtorrentLocal => libtorrent(torrent, dir, home, address, port, "local"),
            Self::LibtorrentSuper => libtorrent(torrent, dir, home, address, port, "super"),
            Self::Rtorrent => rtorrent(torrent, dir, home, address, port),
            Self::Qbittorrent => qbittorrent(torrent, dir, home, port),
        };
        for name in ["HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"] {
            command.env(name, home);
        }
        Process::start(command.current_dir(home), &home.join("log"))
    }
}

fn aria2(torrent: &Path, dir: &Path, address: &str, port: u16) -> Command {
    let mut c = Command::new("aria2c");
    c.args(["--no-conf", "--enable-dht=false", "--enable-dht6=false"])
        .args([
            "--bt-enable-lpd=false",
            "--enable-peer-exchange=false",
            "--async-dns=false",
        ])
        .args([
            "--file-allocation=none",
            "--allow-overwrite=true",
            "--check-integrity=true",
        ])
        .args([
            "--seed-ratio=0",
            "--show-console-readout=false",
            "--summary-interval=0",
        ])
        .arg(format!("--interface={address}"))
        .arg(format!("--listen-port={port}"))
        .arg(format!("--dir={}", dir.display()))
        .arg(torrent);
    c
}

fn transmission(torrent: &Path, dir: &Path, home: &Path, address: &str, port: u16) -> Command {
    let settings = serde_json::json!({
        "bind-address-ipv4": address, "dht-enabled": false, "encryption": 0,
        "lpd-enabled": false, "pex-enabled": false, "utp-enabled": false,
        "port-forwarding-enabled": false, "preallocation": 0, "rename-partial-files": false,
    });
    fs::write(home.join("settings.json"), settings.to_string()).unwrap();
    let mut c = Command::new("transmission-cli");
    c.args(["-M", "-D", "-U", "-et", "-p", &port.to_string(), "-g"])
        .arg(home)
        .arg("-w")
        .arg(dir)
        .arg(torrent);
    c
}

fn libtorrent(
    torrent: &Path,
    dir: &Path,
    home: &Path,
    address: &str,
    port: u16,
    how: &str,
) -> Command {
    const SCRIPT: &str = r#"
import signal, sys
import libtorrent as lt
torrent, folder, listen, how = sys.argv[1:]
policy = 0 if how == "encrypted" else 2
session = lt.session({
    "listen_interfaces": listen, "outgoing_interfaces": listen.split(":")[0],
    "enable_dht": False, "enable_lsd": how == "local", "enable_upnp": False, "enable_natpmp": False,
    "enable_outgoing_utp": False, "enable_incoming_utp": False,
    "out_enc_policy": policy, "in_enc_policy": policy, "allowed_enc_level": 3,
})
if torrent.startswith("magnet:"):
    params = lt.parse_magnet_uri(torrent)
else:
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(torrent)
params.save_path = folder
params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
params.flags |= lt.torrent_flags.disable_pex
if how == "super":
    params.flags |= lt.torrent_flags.super_seeding
session.add_torrent(params)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    session.wait_for_alert(500)
    for alert in session.pop_alerts():
        print(alert.message(), flush=True)
"#;
    let script = home.join("client.py");
    fs::write(&script, SCRIPT).unwrap();
    let mut c = Command::new("/usr/bin/python3");
    c.arg(script)
        .arg(torrent)
        .arg(dir)
        .arg(format!("{address}:{port}"))
        .arg(how);
    c
}

fn rtorrent(torrent: &Path, dir: &Path, home: &Path, address: &str, port: u16) -> Command {
    let rc = format!(
        "system.daemon.set = true\n\
         directory.default.set = \"{dir}\"\n\
         network.bind_address.set = {address}\n\
         network.port_range.set = {port}-{port}\n\
         network.port_random.set = no\n\
         protocol.encryption.set = none\n\
         protocol.pex.set = no\n\
         dht.mode.set = disable\n\
         trackers.use_udp.set = no\n\
         method.set_key = event.download.finished, told, \"execute2=touch,{done}\"\n\
         schedule2 = begin, 0, 0, \"load.start=\\\"{torrent}\\\"\"\n",
        dir = dir.display(),
        torrent = torrent.display(),
        done = home.join(COMPLETE).display(),
    );
    let path = home.join("rtorrent.rc");
    fs::write(&path, rc).unwrap();
    let mut c = Command::new("rtorrent");
    c.args(["-n", "-o"])
        .arg(format!("import={}", path.display()));
    c
}

fn qbittorrent(torrent: &Path, dir: &Path, home: &Path, port: u16) -> Command {
    let folder = home.join("qBittorrent");
    fs::create_dir_all(&folder).unwrap();
    let settings = format!(
        "[LegalNotice]\nAccepted=true\n\
         [BitTorrent]\n\
         Session\\BTProtocol=TCP\nSession\\DHTEnabled=false\nSession\\LSDEnabled=false\n\
         Session\\PeXEnabled=false\nSession\\Port={port}\nSession\\QueueingSystemEnabled=false\n\
         [Network]\nPortForwardingEnabled=false\n\
         [Preferences]\nWebUI\\Enabled=false\nWebUI\\Port=18080\n"
    );
    fs::write(folder.join("qBittorrent.conf"), settings).unwrap();
    let mut c = Command::new("qbittorrent-nox");
    c.arg(format!("--save-path={}", dir.display()))
        .args(["--skip-dialog=true", "--add-paused=false"])
        .arg(torrent);
    c
}

/// How much of its output a process shows when its test fails, in bytes.
const TAIL: usize = 16 * 1024;

/// Another program's process. Dropped, it is killed.
pub(crate) struct Process {
    pid: Pid,
    exit: Receiver<ExitStatus>,
    log: PathBuf,
}

impl Process {
    /// Starts it, with its output in the file `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::create(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let pid = Pid::from_child(&child);
        let (exit, log) = (exit_of(child), log.into());
        Self { pid, exit, log }
    }

    #[track_caller]
    pub(crate) fn wait_complete(&self, tracker: &OpenTracker, torrent: &Torrent) {
        let told = self.log.with_file_name(COMPLETE);
        let fits = |swarm: Swarm| swarm.completed > 0 || told.exists();
        let done = tracker.wait_for(torrent, fits);
        assert!(done, "the client is not done, it says:\n{}", self.log());
    }

    #[track_caller]
    pub(crate) fn wait_said(&self, text: &str) {
        let said = until(|| self.log().contains(text));
        assert!(said, "it never said {text:?}:\n{}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Asks it to leave, which also flushes its data, and waits for its end.
    pub(crate) fn stop(&self) {
        let _ = kill_process(self.pid, Signal::TERM);
        if self.exit.recv_timeout(Duration::from_secs(20)).is_err() {
            let _ = kill_process(self.pid, Signal::KILL);
        }
    }

    /// Kills its process group, of which it must be the first.
    pub(crate) fn kill_group(&self) {
        let _ = kill_process_group(self.pid, Signal::KILL);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Where a test fails, the other side's account is half of the evidence.
        if thread::panicking() {
            let said = fs::read(&self.log).unwrap_or_default();
            let tail = String::from_utf8_lossy(&said[said.len().saturating_sub(TAIL)..]);
            eprintln!("{} ends:\n{tail}", self.log.display());
        }
        if self.exit.is_empty() {
            let _ = kill_process(self.pid, Signal::KILL);
        }
    }
}

/// A tracker's figures for a torrent's swarm (BEP 48).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Swarm {
    /// Peers that have everything.
    pub seeds: i64,
    /// Peers that don't.
    pub leeches: i64,
    /// How many announces of `completed` came.
    pub completed: i64,
}

/// opentracker, the tracker of most public swarms.
pub(crate) struct OpenTracker {
    process: Process,
    port: u16,
}

impl OpenTracker {
    /// Starts it for one torrent: the distribution's build serves only those on its list. `home` is
    /// an empty folder.
    pub(crate) fn start(torrent: &Torrent, home: &Path, port: u16) -> Self {
        // It gives up root's rights and locks itself in the folder given by -d.
        let list = home.join("list");
        fs::write(&list, torrent.hex() + "\n").unwrap();
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(home, fs::Permissions::from_mode(0o755)).unwrap();
        let process = Process::start(
            Command::new("opentracker")
                .args([
                    "-i",
                    TRACKER,
                    "-p",
                    &port.to_string(),
                    "-P",
                    &port.to_string(),
                ])
                .arg("-d")
                .arg(home)
                .args(["-w", "/list"]),
            &home.join("log"),
        );
        let tracker = Self { process, port };
        tracker.wait("it answers", torrent, |_| true);
        tracker
    }

    pub(crate) fn url(port: u16) -> String {
        format!("http://{TRACKER}:{port}/announce")
    }

    pub(crate) fn udp_url(port: u16) -> String {
        format!("udp://{TRACKER}:{port}/announce")
    }

    pub(crate) fn swarm(&self, torrent: &Torrent) -> Option<Swarm> {
        let mut stream = TcpStream::connect((TRACKER, self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let hash: String = torrent
            .info_hash
            .iter()
            .map(|b| format!("%{b:02x}"))
            .collect();
        let ask = format!("GET /scrape?info_hash={hash} HTTP/1.0\r\n\r\n");
        stream.write_all(ask.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let body = answer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let (reply, _) = Value::decode(&answer[body..])?;
        let Value::Dict(files) = reply.get("files")? else {
            return None;
        };
        let count = |name| files.get(&torrent.info_hash[..])?.get(name)?.int();
        Some(Swarm {
            seeds: count("complete").unwrap_or(0),
            leeches: count("incomplete").unwrap_or(0),
            completed: count("downloaded").unwrap_or(0),
        })
    }

    /// Waits until the swarm `fits`.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, torrent: &Torrent, fits: impl Fn(Swarm) -> bool) {
        let (told, log) = (self.wait_for(torrent, fits), self.process.log());
        let swarm = self.swarm(torrent);
        assert!(told, "the tracker never said that {what}: {swarm:?}\n{log}");
    }

    /// Returns whether the swarm `fits` in time. Asks again and again, because a tracker reports
    /// nothing by itself.
    fn wait_for(&self, torrent: &Torrent, fits: impl Fn(Swarm) -> bool) -> bool {
        until(|| self.swarm(torrent).is_some_and(&fits))
    }
}
