//! Where torrents come from: standard input and the web; several in one run.

use crate::support::content::{Spec, tree};
use crate::support::http::{HttpServer, redirect, respond};
use crate::support::peer::{FakePeer, Seed};
use crate::support::place::Place;
use crate::support::program::Storrent;
use crate::support::tracker::FakeTracker;
use crate::support::wire::EXTENDED;
use crate::support::{Gate, PATIENCE};
use crossbeam_channel::{Receiver, unbounded};
use rustix::process::Signal;
use std::fs;

#[test]
fn from_standard_input() {
    let place = Place::new(Spec::single("x", 100_000));
    let seed = Seed::of(&place.torrent).start();
    let command = Storrent::download(&place.dir())
        .arg("-")
        .peers(&[seed.addr]);
    command.stdin(&place.torrent.metainfo).run().expect(0);
    place.torrent.assert_whole(&place.dir());
}

#[test]
fn from_a_url() {
    let place = Place::new(Spec::single("x", 100_000));
    let (seed, file) = (
        Seed::of(&place.torrent).start(),
        place.torrent.metainfo.clone(),
    );
    let web = HttpServer::start(move |request, stream| match request.target.as_str() {
        "/moved" => redirect(stream, "/x.torrent"),
        "/x.torrent" => respond(stream, "200 OK", &file),
        _ => respond(stream, "404 Not Found", b"no such page"),
    });
    let get = |path: &str| {
        let dir = place.dir();
        let command = Storrent::download(&dir)
            .arg(web.url(path))
            .peers(&[seed.addr]);
        command.run()
    };
    get("/x.torrent").expect(0);
    place.torrent.assert_whole(&place.dir());
    fs::remove_dir_all(place.dir()).unwrap();
    get("/moved").expect(0);
    place.torrent.assert_whole(&place.dir());
    let end = get("/nothing").expect(1);
    assert!(end.stderr.contains("404"), "{}", end.stderr);
}

#[test]
fn two_torrents_at_once() {
    let (a, b) = (
        Place::new(Spec::single("a", 400_000)),
        Place::new(Spec::single("b", 400_000)),
    );
    let (c, d) = (Seed::of(&a.torrent).start(), Seed::of(&b.torrent).start());
    let sources = [a.torrent.save(a.temp.path()), b.torrent.save(a.temp.path())];
    let command = Storrent::download(&a.dir())
        .args(sources)
        .peers(&[c.addr, d.addr]);
    let end = command.run().expect(0);
    assert_eq!(end.all("complete").len(), 2);
    assert_eq!(tree(&a.dir()), ["a", "b"].map(Into::into).into());
    for torrent in [&a.torrent, &b.torrent] {
        assert!(torrent.pieces_on_disk(&a.dir()).iter().all(|whole| *whole));
    }
}

#[test]
fn the_same_torrent_twice_is_one() {
    let place = Place::new(Spec::single("x", 100_000));
    let seed = Seed::of(&place.torrent).start();
    let copy = place.temp.path().join("copy");
    fs::create_dir(&copy).unwrap();
    let end = place
        .download()
        .arg(place.torrent.save(&copy))
        .peers(&[seed.addr])
        .run()
        .expect(0);
    assert_eq!(end.all("complete").len(), 1);
    place.torrent.assert_whole(&place.dir());
}

#[test]
fn two_torrents_with_one_path_are_refused() {
    let place = Place::new(Spec::single("x", 100_000));
    let other = Spec::single("x", 100_000).seed(2).build();
    let seed = Seed::of(&place.torrent).start();
    let command = place
        .download()
        .arg(other.save(place.temp.path()))
        .peers(&[seed.addr]);
    command.run().expect(1);
    place.torrent.assert_whole(&place.dir());
}

/// A web server that gives `file` once the gate is open, and reports each request.
fn slow(file: Vec<u8>, gate: &Gate) -> (HttpServer, Receiver<()>) {
    let (asked, when) = unbounded();
    let gate = gate.clone();
    let web = HttpServer::start(move |_, stream| {
        let _ = asked.send(());
        gate.wait();
        respond(stream, "200 OK", &file)
    });
    (web, when)
}

#[test]
fn a_slow_source_holds_up_no_other() {
    let (a, b) = (
        Place::new(Spec::single("a", 100_000)),
        Place::new(Spec::single("b", 100_000)),
    );
    let seeds = [&a, &b].map(|place| Seed::of(&place.torrent).start().addr);
    let gate = Gate::new();
    let (web, _) = slow(a.torrent.metainfo.clone(), &gate);
    let command = Storrent::download(&a.dir())
        .arg(web.url("/a.torrent"))
        .arg(b.file());
    let mut running = command.peers(&seeds).start();
    assert_eq!(running.event("added")["name"], "b");
    assert_eq!(running.event("complete")["info_hash"], b.torrent.hex());
    assert!(!running.ended(), "a is still to come");
    gate.open();
    assert_eq!(running.event("added")["name"], "a");
    running.wait().expect(0);
    for torrent in [&a.torrent, &b.torrent] {
        torrent.assert_bytes(&a.dir());
    }
}

#[test]
fn a_slow_source_that_fails_is_told_and_the_others_count() {
    let place = Place::new(Spec::single("x", 100_000));
    let seed = Seed::of(&place.torrent).start();
    let gate = Gate::new();
    let (web, _) = slow(b"<html>".to_vec(), &gate);
    let mut running = place
        .download()
        .arg(web.url("/page"))
        .peers(&[seed.addr])
        .start();
    running.event("complete");
    gate.open();
    let end = running.wait().expect(1);
    assert_eq!(end.one("error")["source"], web.url("/…"));
    assert!(end.stderr.contains("it is a web page"), "{}", end.stderr);
    place.torrent.assert_whole(&place.dir());
}

#[test]
fn a_signal_ends_the_waiting_for_a_source() {
    let place = Place::new(Spec::single("x", 100_000));
    let gate = Gate::new();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (web, asked) = slow(place.torrent.metainfo.clone(), &gate);
        let running = Storrent::download(&place.dir()).arg(web.url("/x")).start();
        asked.recv_timeout(PATIENCE).unwrap();
        running.kill(signal);
        running.wait().expect(code);
    }
    assert!(!place.dir().exists());
}

#[test]
fn numbers_of_files_are_checked_for_a_url_too() {
    let place = Place::new(Spec::single("x", 100_000));
    let gate = Gate::new();
    gate.open();
    let (web, _) = slow(place.torrent.metainfo.clone(), &gate);
    let command = Storrent::download(&place.dir()).args(["-f", "2"]);
    let end = command.arg(web.url("/x.torrent")).run().expect(2);
    assert!(end.stderr.contains("there is no file 2"), "{}", end.stderr);
}

#[test]
fn a_bare_info_hash_is_a_link_unless_a_file_has_that_name() {
    let place = Place::new(Spec::single("x", 100_000));
    let seed = Seed::of(&place.torrent).speaking(EXTENDED).start();
    let hash = place.torrent.hex();
    let download = |dir: &str| {
        let dir = place.temp.path().join(dir);
        Storrent::download(&dir)
            .arg(&hash)
            .current_dir(place.temp.path())
    };
    download("a").peers(&[seed.addr]).run().expect(0);
    place.torrent.assert_whole(&place.temp.path().join("a"));

    let other = Spec::single("y", 5).seed(2).build();
    fs::write(place.temp.path().join(&hash), &other.metainfo).unwrap();
    let seed = Seed::of(&other).start();
    download("b").peers(&[seed.addr]).run().expect(0);
    other.assert_whole(&place.temp.path().join("b"));
}

/// A torrent as a `.torrent` with one tracker, and as a link with another.
struct Both {
    place: Place,
    of_torrent: FakeTracker,
    of_link: FakeTracker,
    /// A peer that only the link names.
    stranger: FakePeer,
    /// The seed, which `of_torrent` names, gives nothing before this opens.
    gate: Gate,
}

impl Both {
    fn new(spec: Spec) -> Self {
        let bare = Place::new(spec.clone());
        // It has the torrent, but not the metadata.
        let gate = Gate::new();
        let seed = Seed::of(&bare.torrent).hold(&gate).start();
        let of_torrent = FakeTracker::naming(vec![seed.addr]);
        Self {
            place: Place::new(spec.tracker(&of_torrent.url)),
            of_torrent,
            of_link: FakeTracker::naming(Vec::new()),
            stranger: FakePeer::start(|_| Ok(())),
            gate,
        }
    }

    fn link(&self) -> String {
        let (magnet, url) = (self.place.torrent.magnet(), &self.of_link.url);
        format!("{magnet}&tr={url}&x.pe={}", self.stranger.addr)
    }

    fn events(tracker: &FakeTracker) -> Vec<String> {
        tracker.taken().into_iter().map(|a| a.event).collect()
    }
}

#[test]
fn a_link_and_a_torrent_are_one_download() {
    for link_first in [true, false] {
        let both = Both::new(Spec::single("x", 100_000));
        let mut sources = [both.link(), both.place.file().display().to_string()];
        if !link_first {
            sources.reverse();
        }
        let mut run = Storrent::download(&both.place.dir())
            .args(sources)
            .arg("-v")
            .start();
        // Only a tracker whose swarm we have joined hears that we are complete.
        run.joined();
        run.joined();
        both.gate.open();
        let end = run.wait().expect(0);
        both.place.torrent.assert_whole(&both.place.dir());
        assert_eq!((end.all("added").len(), end.all("complete").len()), (1, 1));
        for tracker in [&both.of_torrent, &both.of_link] {
            assert_eq!(Both::events(tracker)[..2], ["started", "completed"]);
        }
    }
}

/// When the `.torrent` comes, the link has asked for the metadata in vain.
#[test]
fn a_torrent_that_comes_later_ends_the_learning() {
    let both = Both::new(Spec::single("x", 100_000));
    let gate = Gate::new();
    let (web, _) = slow(both.place.torrent.metainfo.clone(), &gate);
    let sources = [both.link(), web.url("/x.torrent")];
    let download = Storrent::download(&both.place.dir()).args(sources);
    let mut running = download.arg("-v").start();
    running.joined();
    assert_eq!(both.of_link.next().event, "started");
    both.stranger.wait_played();
    both.gate.open();
    gate.open();
    let end = running.wait().expect(0);
    both.place.torrent.assert_whole(&both.place.dir());
    assert_eq!((end.all("added").len(), end.all("complete").len()), (1, 1));
    assert_eq!(both.of_torrent.next().event, "started");
    assert_eq!(both.of_link.next().event, "completed");
}

/// While the `.torrent` is worked on, the link comes, by a redirect.
#[test]
fn a_link_that_comes_later_adds_what_it_names() {
    let both = Both::new(Spec::single("x", 100_000));
    let seed = Seed::of(&both.place.torrent).hold(&both.gate).start();
    let lonely = Place::new(Spec::single("x", 100_000)); // without a tracker
    let link = format!("{}&x.pe={}", both.link(), seed.addr);
    let gate = Gate::new();
    let web = HttpServer::start({
        let gate = gate.clone();
        move |_, stream| {
            gate.wait();
            redirect(stream, &link)
        }
    });
    let command = Storrent::download(&lonely.dir())
        .arg(web.url("/"))
        .arg(lonely.file());
    let mut running = command.start();
    running.event("checked");
    gate.open();
    assert_eq!(both.of_link.next().event, "started");
    both.gate.open();
    let end = running.wait().expect(0);
    lonely.torrent.assert_whole(&lonely.dir());
    assert_eq!(end.all("added").len(), 1);
}

/// BEP 27: its peers come from its own trackers only.
#[test]
fn a_private_torrent_takes_nothing_from_a_link() {
    let both = Both::new(Spec::single("x", 100_000).private());
    both.gate.open();
    let sources = [both.link(), both.place.file().display().to_string()];
    Storrent::download(&both.place.dir())
        .args(sources)
        .run()
        .expect(0);
    both.place.torrent.assert_whole(&both.place.dir());
    assert_eq!(Both::events(&both.of_link), [""; 0]);
    assert!(both.stranger.notes().is_empty());

    // Nor does it keep what the link named before.
    let both = Both::new(Spec::single("x", 100_000).private());
    let gate = Gate::new();
    let (web, _) = slow(both.place.torrent.metainfo.clone(), &gate);
    both.gate.open();
    let sources = [both.link(), web.url("/x.torrent")];
    let download = Storrent::download(&both.place.dir()).args(sources);
    let mut running = download.arg("-v").start();
    running.joined();
    assert_eq!(both.of_link.next().event, "started");
    gate.open();
    running.wait().expect(0);
    both.place.torrent.assert_whole(&both.place.dir());
    assert_eq!(Both::events(&both.of_link), ["stopped"]);
    assert_eq!(
        Both::events(&both.of_torrent)[..2],
        ["started", "completed"]
    );

    // `-t` is refused in every form.
    let both = Both::new(Spec::single("x", 100_000).private());
    let sources = [both.link(), both.place.file().display().to_string()];
    let command = Storrent::download(&both.place.dir()).args(sources);
    let end = command.args(["-t", &both.of_link.url]).run().expect(1);
    assert!(
        end.stderr.contains("leave --tracker away"),
        "{}",
        end.stderr
    );
}

#[test]
fn one_that_is_refused_at_once_does_not_end_the_others() {
    let secret = Spec::single("secret", 5).private().build();
    let place = Place::new(Spec::single("x", 100_000));
    let seed = Seed::of(&place.torrent).start();
    let tracker = FakeTracker::naming(vec![seed.addr]);
    let sources = [secret.save(place.temp.path()), place.file()];
    let command = Storrent::download(&place.dir()).args(sources);
    let end = command.args(["-t", &tracker.url]).run().expect(1);
    assert!(end.stderr.contains("secret is a private"), "{}", end.stderr);
    place.torrent.assert_whole(&place.dir());
}
