//! storrent and the clients that it will meet, both ways: each seeds to us and fetches from us,
//! through a real tracker, a torrent whose pieces span its files.
//!
//! If a client is not installed, its test prints `SKIPPED`; with `STORRENT_REQUIRE_REAL_CLIENTS=1`
//! it fails.

use crate::support::clients::{Client, OpenTracker};
use crate::support::content::{Spec, Torrent};
use crate::support::network::{OURS, THEIRS, isolated};
use crate::support::program::{Running, Storrent};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

const PORT: u16 = 6969;

/// 64 MiB and a bit: large files, small ones, one that ends in the middle of a piece.
fn album(tracker: &str) -> Arc<Torrent> {
    let files = [
        ("one.bin", 30_000_001),
        ("two/two.bin", 20 << 20),
        ("two/tiny.txt", 5),
        ("two/three.bin", 16 << 20),
        ("zero.txt", 0),
        ("zz.bin", 300_000),
    ];
    Spec::multi("album", &files)
        .piece_length(256 << 10)
        .tracker(tracker)
        .build()
}

/// The scene of a test: a torrent, its seed's folder, an empty one, a tracker.
struct Scene {
    temp: TempDir,
    torrent: Arc<Torrent>,
    file: PathBuf,
    tracker: OpenTracker,
}

impl Scene {
    fn new(url: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let torrent = album(url);
        let file = torrent.save(temp.path());
        let home = temp.path().join("tracker");
        fs::create_dir(&home).unwrap();
        let tracker = OpenTracker::start(&torrent, &home, PORT);
        Self {
            temp,
            torrent,
            file,
            tracker,
        }
    }

    /// A magnet link that names the tracker at `url`.
    fn link(&self, url: &str) -> String {
        let url = url.replace(':', "%3A").replace('/', "%2F");
        format!("{}&tr={url}", self.torrent.magnet())
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

/// Runs us in that network with the options that the clients have by default, except those that
/// look for peers elsewhere than at the tracker.
fn storrent(words: &[&str], dir: &Path) -> Storrent {
    let program = Storrent::new()
        .args(words)
        .args(["--json", "--bind", OURS, "-p", "7003"]);
    program
        .args(["--no-dht", "--no-lsd", "--no-pex", "-d"])
        .arg(dir)
}

fn seeded_by(name: &str, client: Client, url: &str) {
    isolated(name, &client.programs(), || {
        let scene = Scene::new(url);
        let (there, here) = (scene.full_folder("there"), scene.folder("here"));
        let seed = client.start(&scene.file, &there, &scene.folder("home"), THEIRS, 7002);
        scene
            .tracker
            .wait("it seeds", &scene.torrent, |swarm| swarm.seeds == 1);
        let end = storrent(&[], &here).arg(&scene.file).run().expect(0);
        scene.torrent.assert_whole(&here);
        assert_eq!(end.one("complete")["info_hash"], scene.torrent.hex());
        drop(seed);
    });
}

fn fetched_by(name: &str, client: Client, url: &str) {
    isolated(name, &client.programs(), || {
        let scene = Scene::new(url);
        let (here, there) = (scene.full_folder("here"), scene.folder("there"));
        let _us: Running = storrent(&["seed"], &here).arg(&scene.file).start();
        scene
            .tracker
            .wait("we seed", &scene.torrent, |swarm| swarm.seeds == 1);
        let leech = client.start(&scene.file, &there, &scene.folder("home"), THEIRS, 7002);
        leech.wait_complete(&scene.tracker, &scene.torrent);
        leech.stop();
        scene.torrent.assert_bytes(&there);
    });
}

fn http() -> String {
    OpenTracker::url(PORT)
}

#[test]
fn aria2_seeds_to_us() {
    seeded_by("interop::aria2_seeds_to_us", Client::Aria2, &http());
}

#[test]
fn aria2_fetches_from_us() {
    fetched_by("interop::aria2_fetches_from_us", Client::Aria2, &http());
}

#[test]
fn transmission_seeds_to_us() {
    seeded_by(
        "interop::transmission_seeds_to_us",
        Client::Transmission,
        &http(),
    );
}

#[test]
fn transmission_fetches_from_us() {
    fetched_by(
        "interop::transmission_fetches_from_us",
        Client::Transmission,
        &http(),
    );
}

#[test]
fn libtorrent_seeds_to_us() {
    seeded_by(
        "interop::libtorrent_seeds_to_us",
        Client::Libtorrent,
        &http(),
    );
}

#[test]
fn libtorrent_fetches_from_us() {
    fetched_by(
        "interop::libtorrent_fetches_from_us",
        Client::Libtorrent,
        &http(),
    );
}

#[test]
fn rtorrent_seeds_to_us() {
    seeded_by("interop::rtorrent_seeds_to_us", Client::Rtorrent, &http());
}

#[test]
fn rtorrent_fetches_from_us() {
    fetched_by(
        "interop::rtorrent_fetches_from_us",
        Client::Rtorrent,
        &http(),
    );
}

#[test]
fn qbittorrent_seeds_to_us() {
    seeded_by(
        "interop::qbittorrent_seeds_to_us",
        Client::Qbittorrent,
        &http(),
    );
}

#[test]
fn qbittorrent_fetches_from_us() {
    fetched_by(
        "interop::qbittorrent_fetches_from_us",
        Client::Qbittorrent,
        &http(),
    );
}

/// It refuses our plain handshake, so we must come again with MSE.
#[test]
fn encrypted_libtorrent_seeds_to_us() {
    seeded_by(
        "interop::encrypted_libtorrent_seeds_to_us",
        Client::LibtorrentEncrypted,
        &http(),
    );
}

/// It begins with MSE, which we must notice.
#[test]
fn encrypted_libtorrent_fetches_from_us() {
    fetched_by(
        "interop::encrypted_libtorrent_fetches_from_us",
        Client::LibtorrentEncrypted,
        &http(),
    );
}

/// The metadata, too, goes through the agreed cipher.
#[test]
fn magnet_from_encrypted_libtorrent() {
    magnet_from(
        "interop::magnet_from_encrypted_libtorrent",
        Client::LibtorrentEncrypted,
    );
}

/// The same over UDP, BEP 15.
#[test]
fn udp_tracker() {
    seeded_by(
        "interop::udp_tracker",
        Client::Libtorrent,
        &OpenTracker::udp_url(PORT),
    );
}

/// From a magnet link: the metadata comes from the client (BEP 9), which we find by the tracker in
/// the link, over HTTP and over UDP.
fn magnet_from(name: &str, client: Client) {
    isolated(name, &client.programs(), || {
        let scene = Scene::new(&http());
        let there = scene.full_folder("there");
        let _seed = client.start(&scene.file, &there, &scene.folder("home"), THEIRS, 7002);
        scene
            .tracker
            .wait("it seeds", &scene.torrent, |swarm| swarm.seeds == 1);
        for (url, here) in [(http(), "here"), (OpenTracker::udp_url(PORT), "by udp")] {
            let here = scene.folder(here);
            storrent(&[], &here).arg(scene.link(&url)).run().expect(0);
            scene.torrent.assert_whole(&here);
        }
    });
}

/// The other way: the client has the link, and the metadata is ours.
fn magnet_to(name: &str, client: Client) {
    isolated(name, &client.programs(), || {
        let scene = Scene::new(&http());
        let (here, there) = (scene.full_folder("here"), scene.folder("there"));
        let _us: Running = storrent(&["seed"], &here).arg(&scene.file).start();
        scene
            .tracker
            .wait("we seed", &scene.torrent, |swarm| swarm.seeds == 1);
        let link = PathBuf::from(scene.link(&http()));
        let leech = client.start(&link, &there, &scene.folder("home"), THEIRS, 7002);
        leech.wait_complete(&scene.tracker, &scene.torrent);
        leech.stop();
        scene.torrent.assert_bytes(&there);
    });
}

#[test]
fn magnet_from_aria2() {
    magnet_from("interop::magnet_from_aria2", Client::Aria2);
}

#[test]
fn magnet_from_transmission() {
    magnet_from("interop::magnet_from_transmission", Client::Transmission);
}

#[test]
fn magnet_from_libtorrent() {
    magnet_from("interop::magnet_from_libtorrent", Client::Libtorrent);
}

#[test]
fn magnet_from_rtorrent() {
    magnet_from("interop::magnet_from_rtorrent", Client::Rtorrent);
}

#[test]
fn magnet_from_qbittorrent() {
    magnet_from("interop::magnet_from_qbittorrent", Client::Qbittorrent);
}

#[test]
fn magnet_to_aria2() {
    magnet_to("interop::magnet_to_aria2", Client::Aria2);
}

#[test]
fn magnet_to_transmission() {
    magnet_to("interop::magnet_to_transmission", Client::Transmission);
}

#[test]
fn magnet_to_libtorrent() {
    magnet_to("interop::magnet_to_libtorrent", Client::Libtorrent);
}

/// Two kinds of clients and one more of us fetch at the same time from one of us, and from each
/// other.
#[test]
fn a_mixed_swarm() {
    let programs = ["aria2c", "python3-libtorrent", "opentracker", "ip"];
    isolated("interop::a_mixed_swarm", &programs, || {
        let scene = Scene::new(&http());
        let torrent = &scene.torrent;
        let full = scene.full_folder("full");
        let _us = storrent(&["seed"], &full).arg(&scene.file).start();
        scene
            .tracker
            .wait("we seed", torrent, |swarm| swarm.seeds == 1);
        let (a, b, c) = (scene.folder("a"), scene.folder("b"), scene.folder("c"));
        let aria = Client::Aria2.start(&scene.file, &a, &scene.folder("ha"), "10.77.0.4", 7004);
        let lt = Client::Libtorrent.start(&scene.file, &b, &scene.folder("hb"), "10.77.0.5", 7005);
        let ours = Storrent::new()
            .args([
                "--json",
                "--no-dht",
                "--no-lsd",
                "--bind",
                "10.77.0.6",
                "-p",
                "7006",
                "-d",
            ])
            .arg(&c)
            .arg(&scene.file);
        ours.run().expect(0);
        scene
            .tracker
            .wait("all have it", torrent, |swarm| swarm.completed == 3);
        aria.stop();
        lt.stop();
        [a, b].iter().for_each(|dir| torrent.assert_bytes(dir));
        torrent.assert_whole(&c);
    });
}

/// A super-seed shows each of us its next piece when it hears that the last one arrived somewhere.
/// All of us complete.
#[test]
fn three_of_us_and_a_super_seed() {
    let name = "interop::three_of_us_and_a_super_seed";
    isolated(name, &Client::LibtorrentSuper.programs(), || {
        let scene = Scene::new(&http());
        let (full, home) = (scene.full_folder("full"), scene.folder("home"));
        let seed = Client::LibtorrentSuper.start(&scene.file, &full, &home, THEIRS, 7002);
        // It announces itself as no seed.
        scene.tracker.wait("it is there", &scene.torrent, |swarm| {
            swarm.seeds + swarm.leeches == 1
        });
        let started = [4, 5, 6].map(|n| {
            let dir = scene.folder(&n.to_string());
            let run = Storrent::new()
                .args(["--json", "--no-dht", "--no-lsd", "--no-pex", "--bind"])
                .args([&format!("10.77.0.{n}"), "-p", &format!("700{n}"), "-d"])
                .arg(&dir)
                .arg(&scene.file)
                .start();
            (run, dir)
        });
        for (mut run, dir) in started {
            // The seed shows a piece at a time, and begins after 10 s.
            run.event_where("progress", |now| {
                2 * now["have_bytes"].as_u64().unwrap() > now["wanted_bytes"].as_u64().unwrap()
            });
            run.wait().expect(0);
            scene.torrent.assert_whole(&dir);
        }
        drop(seed);
    });
}
