//! Peers tell each other about peers (BEP 11): ours, and libtorrent.

use crate::support::clients::Process;
use crate::support::content::{Spec, Torrent};
use crate::support::network::{OURS, isolated};
use crate::support::program::{Running, Storrent};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// The torrent, and folders for those who take part.
struct Scene {
    temp: TempDir,
    torrent: Arc<Torrent>,
    file: PathBuf,
}

impl Scene {
    fn new(spec: Spec) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let torrent = spec.piece_length(64 << 10).build();
        let file = torrent.save(temp.path());
        Self {
            temp,
            torrent,
            file,
        }
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.temp.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    }

    fn full_folder(&self, name: &str) -> PathBuf {
        let path = self.folder(name);
        self.torrent.write(&path);
        path
    }
}

fn us(address: &str, words: &[&str], dir: &Path) -> Storrent {
    let program = Storrent::new().args(words);
    let options = [
        "--json", "--bind", address, "-p", "0", "--no-dht", "--no-lsd",
    ];
    program.args(options).arg("-d").arg(dir)
}

/// The peer in the middle, with the options `more`, knows the seed and gives next to nothing. The
/// newcomer, with `options`, knows only the one in the middle. Returns how the newcomer ended.
fn through_the_middle(
    scene: &Scene,
    more: &[&str],
    options: &[&str],
) -> crate::support::program::Outcome {
    let mut seed: Running = us("10.77.0.4", &["seed"], &scene.full_folder("seed"))
        .arg(&scene.file)
        .start();
    let at = |address: &str, us: &mut Running| {
        SocketAddr::new(address.parse().unwrap(), us.address().port())
    };
    let seed_addr = at("10.77.0.4", &mut seed);
    let slow = ["--upload-limit", "1", "--download-limit", "1"];
    let mut middle = us("10.77.0.5", &slow, &scene.folder("middle"))
        .args(more)
        .arg(&scene.file)
        .peers(&[seed_addr])
        .start();
    let middle_addr = at("10.77.0.5", &mut middle);
    middle.event_where("progress", |line| line["seeds"] == 1);
    us(OURS, options, &scene.folder("new"))
        .arg(&scene.file)
        .peers(&[middle_addr])
        .run()
}

#[test]
fn among_ourselves() {
    isolated("pex::among_ourselves", &["ip"], || {
        let scene = Scene::new(Spec::single("x", 1 << 20));
        through_the_middle(&scene, &[], &[]).expect(0);
        scene.torrent.assert_whole(&scene.temp.path().join("new"));
    });
}

/// Nothing is told where the option forbids it, or about a private torrent.
#[test]
fn not_where_it_is_forbidden() {
    isolated("pex::not_where_it_is_forbidden", &["ip"], || {
        let public = Scene::new(Spec::single("x", 1 << 20));
        let patience = ["--stall-timeout", "3"];
        through_the_middle(&public, &["--no-pex"], &patience).expect(3);
        let private = Scene::new(Spec::single("x", 1 << 20).private());
        through_the_middle(&private, &[], &patience).expect(3);
    });
}

/// A libtorrent at `address` that knows the peers `known`, and gives at most `limit` bytes a
/// second until there is a file `go`.
fn libtorrent(
    scene: &Scene,
    (address, known): (&str, &str),
    dir: &Path,
    limit: u32,
    go: &Path,
) -> Process {
    const SCRIPT: &str = r#"
import os, signal, sys
import libtorrent as lt
torrent, folder, listen, limit, go, known = sys.argv[1:]
session = lt.session({
    "listen_interfaces": listen, "outgoing_interfaces": listen.split(":")[0],
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "enable_outgoing_utp": False, "enable_incoming_utp": False,
    # Else a seed that hears of us comes to us before we hear of it.
    "seeding_outgoing_connections": False,
})
params = lt.add_torrent_params()
params.ti = lt.torrent_info(torrent)
params.save_path = folder
params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
# Limits of the session do not hold for peers nearby, those of a torrent do.
params.upload_limit = params.download_limit = int(limit)
params.peers = [(peer, 7002) for peer in known.split(",") if peer]
handle = session.add_torrent(params)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
told = 0
while True:
    session.wait_for_alert(200)
    session.pop_alerts()
    if os.path.exists(go):
        handle.set_upload_limit(0)
    # It names to others only those that it has greeted.
    met = [p for p in handle.get_peer_info() if not p.flags & (p.connecting | p.handshake)]
    if len(met) != told:
        told = len(met)
        print("peers", told, flush=True)
"#;
    let home = scene.folder(&format!("home {address}"));
    let script = home.join("client.py");
    fs::write(&script, SCRIPT).unwrap();
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).arg(&scene.file).arg(dir);
    command.args([format!("{address}:7002"), limit.to_string()]);
    command.arg(go).arg(known);
    Process::start(&mut command, &home.join("log"))
}

/// Three of them. We know only the one that has nothing.
#[test]
fn from_libtorrent() {
    let programs = ["python3-libtorrent", "ip"];
    isolated("pex::from_libtorrent", &programs, || {
        let scene = Scene::new(Spec::single("x", 4 << 20));
        let seeds = ["10.77.0.4", "10.77.0.5"];
        let [go, never] = ["go", "never"].map(|name| scene.temp.path().join(name));
        let _seeds = seeds.map(|address| {
            let full = scene.full_folder(&format!("full {address}"));
            libtorrent(&scene, (address, ""), &full, 20_000, &go)
        });
        let empty = scene.folder("middle");
        let middle = libtorrent(
            &scene,
            ("10.77.0.6", &seeds.join(",")),
            &empty,
            1000,
            &never,
        );
        middle.wait_said("peers 2");
        let here = scene.folder("here");
        let mut run = us(OURS, &["-v"], &here)
            .arg(&scene.file)
            .args(["--peer", "10.77.0.6:7002"])
            .start();
        // Neither can give all before we have met the other.
        let mut missing = seeds.map(|seed| format!("{seed}:7002: connected")).to_vec();
        while !missing.is_empty() {
            let met = |line: &str| missing.iter().position(|met| line.contains(met));
            let met = run.told(met);
            missing.remove(met);
        }
        fs::write(go, "").unwrap();
        run.wait().expect(0);
        scene.torrent.assert_whole(&here);
    });
}
