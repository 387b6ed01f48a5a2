//! The line that says why nothing comes, for a user who waits or who gave up.

use crate::support::content::Spec;
use crate::support::network::isolated;
use crate::support::peer::Seed;
use crate::support::place::Place;
use crate::support::program::Storrent;
use crate::support::tracker::{FakeTracker, Reply, dead_url};
use crate::support::{Gate, nobody};
use rustix::process::Signal;
use std::process::Command;

fn spec() -> Spec {
    Spec::single("x", 500_000)
}

/// Returns the reason that a download gives when nothing came for a second.
fn why(place: &Place) -> String {
    let download = place.download().args(["--stall-timeout", "1"]);
    let end = download.run().expect(3);
    let line = end.stderr.lines().find(|line| line.contains("gave up"));
    let line = line.unwrap_or_else(|| panic!("{end:#?}"));
    line.split_once("--stall-timeout: ").unwrap().1.to_owned()
}

/// Waits until a download gives a reason that `fits`, and interrupts it.
fn comes_to(download: Storrent, fits: impl Fn(&str) -> bool) {
    let mut run = download.start();
    run.event_where("progress", |now| now["reason"].as_str().is_some_and(&fits));
    run.kill(Signal::INT);
    run.wait().expect(130);
}

#[test]
fn nobody_to_ask() {
    let place = Place::new(spec());
    let said = why(&place);
    assert!(
        said.contains("names no tracker that can be asked"),
        "{said}"
    );
    assert!(said.contains("--peer"), "{said}");
    // A tracker for browsers does not count.
    let place = Place::new(spec().tracker("wss://127.0.0.1:1/"));
    assert_eq!(why(&place), said);
}

#[test]
fn trackers_that_fail() {
    let dead = dead_url();
    let place = Place::new(spec().tracker(&dead).tracker("ws://127.0.0.1:1/"));
    let expected = "no peers: 0 of 1 tracker answered (tracker http://127.0.0.1:";
    comes_to(place.download(), |said| {
        said.starts_with(expected) && said.ends_with(" refused the connection)")
    });

    let gate = Gate::new();
    let silence = gate.clone();
    let silent = FakeTracker::start(move |_| Reply::Silence(silence.clone()));
    let rude = FakeTracker::start(|_| Reply::Failure("unregistered torrent".into()));
    let spec = spec().tracker(&dead).tracker(&silent.url);
    let place = Place::new(spec.tracker(&rude.url));
    let expected = "no peers: 0 of 3 trackers answered (1 refused, 1 said no)";
    comes_to(place.download(), |said| said == expected);
    gate.open();
}

#[test]
fn peers_that_refuse_choke_or_have_nothing() {
    let torrent = spec().build();
    let gate = Gate::new();
    let miser = Seed::of(&torrent).hold(&gate).start();
    let pauper = Seed::of(&torrent).having(|_| false).start();
    let tracker = FakeTracker::naming(vec![nobody(), miser.addr, nobody(), pauper.addr]);
    let place = Place::new(spec().tracker(&tracker.url));
    let expected = "1 peer chokes us, 1 has nothing that is missing; 4 known: 2 refused";
    comes_to(place.download(), |said| said == expected);

    let tracker = FakeTracker::naming(vec![nobody()]);
    let place = Place::new(spec().tracker(&tracker.url));
    let expected = "no peers of 2 known: 2 refused; 1 of 1 tracker answered";
    let download = place.download().peers(&[nobody()]);
    comes_to(download, |said| said == expected);
    gate.open();
}

/// The other end loses power or its network in full flow: no packet comes any more, and nobody
/// acknowledges ours. The line says so, and we drop the peer.
#[test]
fn a_peer_that_is_gone_without_a_word() {
    isolated("idle::a_peer_that_is_gone_without_a_word", &["nft"], || {
        let place = Place::new(Spec::single("x", 50_000_000));
        let seed = Seed::of(&place.torrent).start();
        let download = place
            .download()
            .args(["--json", "--download-limit", "500K"]);
        let mut run = download.peers(&[seed.addr]).start();
        run.event_where("progress", |now| now["have_bytes"] != 0);
        let cut = "add table inet t; add chain inet t i { type filter hook input priority 0; policy drop; }";
        assert!(Command::new("nft").arg(cut).status().unwrap().success());
        let silent = run.event_where("progress", |now| now["reason"].is_string());
        assert_eq!(silent["peers"], 1);
        run.event_where("progress", |now| now["peers"] == 0);
        run.kill(Signal::INT);
        run.wait().expect(130);
    });
}
