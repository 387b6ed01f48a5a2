//! What trackers hear, and what follows from their answers. Private trackers count every byte and
//! every event, so these must be exact.

use crate::support::Gate;
use crate::support::content::{Spec, Torrent};
use crate::support::peer::{FakePeer, Seed, dial, fetch};
use crate::support::program::Storrent;
use crate::support::tracker::{Announce, FakeTracker, Reply, dead_url};
use crate::support::wire::Note;
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::PathBuf;
use tempfile::TempDir;

const SIZE: u64 = 500_000;

struct Place {
    temp: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            temp: tempfile::tempdir().unwrap(),
        }
    }

    fn dir(&self) -> PathBuf {
        self.temp.path().join("down")
    }

    fn download(&self, torrent: &Torrent) -> Storrent {
        Storrent::download(&self.dir()).arg(torrent.save(self.temp.path()))
    }
}

/// A seed for any of these torrents: trackers are not part of the info hash.
fn seed() -> FakePeer {
    Seed::of(&Spec::single("x", SIZE).build()).start()
}

fn events(announces: &[Announce]) -> Vec<&str> {
    announces.iter().map(|a| a.event.as_str()).collect()
}

fn numbers(announce: &Announce) -> (u64, u64, u64) {
    (announce.uploaded, announce.downloaded, announce.left)
}

#[test]
fn the_life_of_a_download() {
    for kind in ["http", "udp"] {
        let seed = seed();
        let tracker = match kind {
            "http" => FakeTracker::naming(vec![seed.addr]),
            _ => FakeTracker::udp(vec![seed.addr]),
        };
        let torrent = Spec::single("x", SIZE).tracker(&tracker.url).build();
        let place = Place::new();
        let end = place.download(&torrent).run().expect(0);
        torrent.assert_whole(&place.dir());
        let announces = tracker.taken();
        assert_eq!(
            events(&announces),
            ["started", "completed", "stopped"],
            "{kind}"
        );
        assert_eq!(numbers(&announces[0]), (0, 0, SIZE), "{kind}");
        assert_eq!(numbers(&announces[1]), (0, SIZE, 0), "{kind}");
        assert_eq!(numbers(&announces[2]), (0, SIZE, 0), "{kind}");
        for announce in &announces {
            assert_eq!(announce.info_hash, torrent.info_hash);
            assert_eq!(
                announce.peer_id, announces[0].peer_id,
                "one id for the whole run"
            );
            assert!(announce.peer_id.starts_with(b"-SR0100-"));
            assert_eq!(u64::from(announce.port), end.one("listening")["port"]);
        }
        assert!(
            announces[0].numwant != 0 && announces[2].numwant == 0,
            "{kind}"
        );
    }
}

/// HTTP only: what else the query must contain (BEP 3, BEP 23).
#[test]
fn the_query() {
    let seed = seed();
    let tracker = FakeTracker::naming(vec![seed.addr]);
    // A tracker's URL may have a query of its own (a passkey, say).
    let url = format!("{}?passkey=abc%20d", tracker.url);
    let torrent = Spec::single("x", SIZE).tracker(&url).build();
    Place::new().download(&torrent).run().expect(0);
    for announce in tracker.taken() {
        assert_eq!(
            announce.query.get("compact").map(Vec::as_slice),
            Some(&b"1"[..])
        );
        assert_eq!(
            announce.query.get("passkey").map(Vec::as_slice),
            Some(&b"abc d"[..])
        );
        let event = announce.query.get("event").map(Vec::as_slice);
        assert_ne!(event, Some(&b""[..]), "no event is no parameter");
    }
}

#[test]
fn compact_and_dictionary_peers() {
    let seed = seed();
    let peers = vec![seed.addr, SocketAddr::from(([127, 0, 0, 1], 9))];
    let both: [fn(Vec<SocketAddr>) -> Reply; 2] = [Reply::Compact, Reply::Dicts];
    for reply in both {
        let peers = peers.clone();
        let tracker = FakeTracker::start(move |_| reply(peers.clone()));
        let torrent = Spec::single("x", SIZE).tracker(&tracker.url).build();
        let place = Place::new();
        place.download(&torrent).run().expect(0);
        torrent.assert_whole(&place.dir());
    }
}

#[test]
fn a_tracker_on_the_command_line() {
    let (torrent, seed) = (Spec::single("x", SIZE).build(), seed());
    let tracker = FakeTracker::naming(vec![seed.addr]);
    let place = Place::new();
    place
        .download(&torrent)
        .args(["-t", &tracker.url])
        .run()
        .expect(0);
    torrent.assert_whole(&place.dir());
}

/// What was on disk is neither downloaded nor left. Single blocks of a piece were there, too, but a
/// piece is left until it is verified.
#[test]
fn a_resumed_download() {
    let seed = seed();
    let tracker = FakeTracker::naming(vec![seed.addr]);
    let torrent = Spec::single("x", SIZE).tracker(&tracker.url).build();
    let place = Place::new();
    let short = Seed::of(&torrent).budget(12).start();
    let mut run = place
        .download(&Spec::single("x", SIZE).build())
        .peers(&[short.addr])
        .arg("-vv")
        .start();
    run.stored(12);
    run.kill(Signal::INT);
    run.wait().expect(130);
    let there: u64 = torrent
        .pieces_on_disk(&place.dir())
        .iter()
        .enumerate()
        .filter(|(_, whole)| **whole)
        .map(|(index, _)| torrent.piece(index).len() as u64)
        .sum();
    place.download(&torrent).run().expect(0);
    let announces = tracker.taken();
    assert_eq!(events(&announces), ["started", "completed", "stopped"]);
    assert_eq!(numbers(&announces[0]), (0, 0, SIZE - there));
    let mut served = 0;
    while served < numbers(&announces[1]).1 {
        served += seed.wait(|note| match note {
            Note::Served(block) => Some(u64::from(block.length)),
            _ => None,
        });
    }
    assert_eq!(numbers(&announces[1]), (0, served, 0));
    assert!(served <= SIZE - there);
}

/// An interrupted download was never completed.
#[test]
fn an_interrupted_download() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let tracker = FakeTracker::naming(vec![]);
        let torrent = Spec::single("x", SIZE).tracker(&tracker.url).build();
        let place = Place::new();
        let mut run = place.download(&torrent).arg("-v").start();
        run.joined();
        assert_eq!(tracker.next().event, "started");
        run.kill(signal);
        run.wait().expect(status);
        assert_eq!(events(&tracker.taken()), ["stopped"]);
    }
}

#[test]
fn a_stalled_download() {
    let tracker = FakeTracker::naming(vec![]);
    let torrent = Spec::single("x", SIZE).tracker(&tracker.url).build();
    // The tracker must have answered before: nobody leaves who has not joined.
    Place::new()
        .download(&torrent)
        .args(["--stall-timeout", "10"])
        .run()
        .expect(3);
    assert_eq!(events(&tracker.taken()), ["started", "stopped"]);
}

/// A run that has everything from the start never completes.
#[test]
fn a_seed_sends_no_completed() {
    let tracker = FakeTracker::naming(vec![]);
    let torrent = Spec::single("x", SIZE).tracker(&tracker.url).build();
    let place = Place::new();
    torrent.write(&place.dir());
    let command = Storrent::seed(&place.dir()).arg(torrent.save(place.temp.path()));
    let mut run = command.arg("-v").start();
    let addr = run.address();
    run.joined();
    let started = tracker.next();
    assert_eq!(
        (started.event.as_str(), numbers(&started)),
        ("started", (0, 0, 0))
    );
    fetch(&mut dial(addr, &torrent).unwrap(), &torrent).unwrap();
    run.kill(Signal::INT);
    run.wait().expect(130);
    let rest = tracker.taken();
    assert_eq!(events(&rest), ["stopped"]);
    assert_eq!(numbers(&rest[0]), (SIZE, 0, 0), "what it gave counts");
}

/// With `-f` the torrent as a whole is never complete.
#[test]
fn some_files_only() {
    let files = [("a", 100_000), ("b", 100_000), ("c", 300_000)];
    let torrent = Spec::multi("x", &files).build();
    let seed = Seed::of(&torrent).start();
    let tracker = FakeTracker::naming(vec![seed.addr]);
    let torrent = Spec::multi("x", &files).tracker(&tracker.url).build();
    Place::new()
        .download(&torrent)
        .args(["-f", "2"])
        .run()
        .expect(0);
    let announces = tracker.taken();
    assert_eq!(events(&announces), ["started", "stopped"]);
    assert!(announces[1].left >= 300_000, "{}", announces[1].left);
}

/// The user reads the tracker's reason, and the download goes on.
#[test]
fn a_failure_reason() {
    let tracker = FakeTracker::start(|_| Reply::Failure("go \u{1b}[31maway".into()));
    let torrent = Spec::single("x", SIZE).tracker(&tracker.url).build();
    let gate = Gate::new();
    let late = Seed::of(&torrent).hold(&gate).start();
    let place = Place::new();
    let mut run = place.download(&torrent).peers(&[late.addr]).start();
    let told = run.event_where("warning", |e| {
        e["message"].as_str().unwrap().contains("away")
    });
    let message = told["message"].as_str().unwrap();
    assert!(!message.contains('\u{1b}'), "{message:?}");
    gate.open();
    run.wait().expect(0);
}

/// Answers that make no sense.
#[test]
fn broken_answers() {
    let answers: [(&str, Vec<u8>); 9] = [
        ("200 OK", b"".to_vec()),
        ("200 OK", b"<html>hello</html>".to_vec()),
        ("200 OK", b"d8:intervali1800e5:peers7:1234567e".to_vec()),
        ("200 OK", b"d8:intervali-1e5:peers12:123456e".to_vec()),
        ("200 OK", b"d5:peersi5ee".to_vec()),
        ("200 OK", b"d5:peersld2:ip3:foo4:porti99999eeee".to_vec()),
        ("200 OK", vec![b'l'; 500_000]),
        ("200 OK", vec![b'x'; 5 << 20]),
        ("503 Service Unavailable", b"no".to_vec()),
    ];
    for (status, body) in answers {
        let tracker = FakeTracker::start(move |_| Reply::Raw(status, body.clone()));
        let torrent = Spec::single("x", SIZE).tracker(&tracker.url).build();
        let place = Place::new();
        // The answer must be there before the download can end.
        let gate = Gate::new();
        let held = Seed::of(&torrent).hold(&gate).start();
        let run = place.download(&torrent).peers(&[held.addr]).start();
        tracker.next();
        gate.open();
        run.wait().expect(0);
        torrent.assert_whole(&place.dir());
    }
}

/// Twenty trackers never answer, and one does. None of them costs its time limit: they stay silent
/// until the download is over.
#[test]
fn dead_trackers_cost_nothing() {
    let (gate, seed) = (Gate::new(), seed());
    let silent: Vec<FakeTracker> = (0..20)
        .map(|_| {
            let gate = gate.clone();
            FakeTracker::start(move |_| Reply::Silence(gate.clone()))
        })
        .collect();
    let alive = FakeTracker::naming(vec![seed.addr]);
    let mut spec = Spec::single("x", SIZE)
        .tracker(&dead_url())
        .tracker("udp://127.0.0.1:1/a");
    for tracker in &silent {
        spec = spec.tracker(&tracker.url);
    }
    let torrent = spec
        .tracker("http://no.such.host.invalid/a")
        .tracker(&alive.url)
        .build();
    let place = Place::new();
    let mut run = place.download(&torrent).start();
    run.event("complete");
    torrent_bytes_are_right(&torrent, &place);
    run.wait().expect(0);
    gate.open();
}

fn torrent_bytes_are_right(torrent: &Torrent, place: &Place) {
    assert!(
        torrent
            .pieces_on_disk(&place.dir())
            .iter()
            .all(|whole| *whole)
    );
}

/// A public torrent announces every event to all trackers.
#[test]
fn all_trackers_of_a_public_torrent() {
    let seed = seed();
    let trackers: Vec<_> = (0..3)
        .map(|_| FakeTracker::naming(vec![seed.addr]))
        .collect();
    let gate = Gate::new();
    let held = Seed::of(&Spec::single("x", SIZE).build())
        .hold(&gate)
        .start();
    let other = FakeTracker::naming(vec![held.addr]);
    let torrent = Spec::single("x", SIZE)
        .tier(&[&trackers[0].url, &trackers[1].url])
        .tracker(&trackers[2].url)
        .tracker(&other.url)
        .build();
    let place = Place::new();
    let run = place.download(&torrent).arg("--seed").start();
    for tracker in trackers.iter().chain([&other]) {
        tracker.next_event("started");
    }
    for tracker in trackers.iter().chain([&other]) {
        tracker.next_event("completed");
    }
    run.kill(Signal::INT);
    run.wait().expect(130);
    for tracker in &trackers {
        assert_eq!(events(&tracker.taken()), ["stopped"]);
    }
    gate.open();
}

/// A private torrent asks one tracker at a time: the second tier only when the first fails (BEP
/// 27).
#[test]
fn private_tiers() {
    let seed = Seed::of(&Spec::single("x", SIZE).private().build()).start();
    let private = |first: &str, second: &str| {
        Spec::single("x", SIZE)
            .private()
            .tracker(first)
            .tracker(second)
            .build()
    };
    let (first, second) = (
        FakeTracker::naming(vec![seed.addr]),
        FakeTracker::naming(vec![seed.addr]),
    );
    Place::new()
        .download(&private(&first.url, &second.url))
        .run()
        .expect(0);
    assert_eq!(events(&first.taken()), ["started", "completed", "stopped"]);
    assert!(second.taken().is_empty(), "the first was enough");

    let torrent = private(&dead_url(), &second.url);
    Place::new().download(&torrent).run().expect(0);
    assert_eq!(events(&second.taken()), ["started", "completed", "stopped"]);

    let failing = FakeTracker::start(|_| Reply::Failure("unregistered torrent".into()));
    let torrent = private(&failing.url, &second.url);
    Place::new().download(&torrent).run().expect(0);
    assert_eq!(events(&second.taken()), ["started", "completed", "stopped"]);
}

/// A tracker that never heard `started` needs no `stopped`, and one that does not answer it holds
/// up nobody.
#[test]
fn leaving_does_not_wait_for_a_silent_tracker() {
    let gate = Gate::new();
    let silent = gate.clone();
    let tracker = FakeTracker::start(move |_| Reply::Silence(silent.clone()));
    let torrent = Spec::single("x", SIZE).tracker(&tracker.url).build();
    let place = Place::new();
    let run = place.download(&torrent).start();
    tracker.next_event("started");
    run.kill(Signal::INT);
    run.wait().expect(130);
    gate.open();
}

/// Many torrents name trackers for browsers only. They are not asked, and only a user who asks
/// hears about them.
#[test]
fn trackers_of_browsers_are_passed_over() {
    let torrent = |url: &str| {
        let spec = Spec::single("x", SIZE).private();
        let spec = spec.tier(&["wss://tracker.invalid", "WS://127.0.0.1:1/"]);
        spec.tracker(url).build()
    };
    let seed = Seed::of(&torrent("http://x/")).start();
    for verbose in [false, true] {
        let tracker = FakeTracker::naming(vec![seed.addr]);
        let place = Place::new();
        let download = place.download(&torrent(&tracker.url));
        let download = if verbose {
            download.arg("-v")
        } else {
            download
        };
        let end = download.run().expect(0);
        assert_eq!(
            events(&tracker.taken()),
            ["started", "completed", "stopped"]
        );
        let told = end
            .stderr
            .contains("2 trackers not asked: for browsers only");
        assert_eq!(told, verbose, "{}", end.stderr);
        assert!(end.all("warning").is_empty());
    }
}
