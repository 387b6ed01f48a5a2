//! The signals that end the program, and the one that does not.

use crate::support::Gate;
use crate::support::content::Spec;
use crate::support::http::HttpServer;
use crate::support::peer::Seed;
use crate::support::place::Place;
use crate::support::program::Storrent;
use crate::support::tracker::{FakeTracker, Reply};
use rustix::process::Signal;
use std::process::Command;

/// Starts a program with SIGHUP as usual or ignored, as under `nohup`, whatever it is to the test.
fn started_with(hangup: &str) -> Command {
    let mut env = Command::new("env");
    env.arg(hangup);
    env
}

const USUAL: &str = "--default-signal=HUP";
const IGNORED: &str = "--ignore-signal=HUP";

/// A download that finds only this tracker and these peers, and shows no JSON.
fn download(place: &Place, hangup: &str) -> Storrent {
    let storrent = Storrent::under(started_with(hangup)).alone();
    storrent.arg("-d").arg(place.dir()).arg(place.file())
}

/// Many terminals send SIGHUP twice, or after SIGTERM, as at a logout. That is no sign of
/// impatience: the goodbye goes on to its end, here for a tracker that does not answer.
#[test]
fn a_terminal_that_closes() {
    for (first, status) in [(Signal::HUP, 129), (Signal::TERM, 143)] {
        let gate = Gate::new();
        let tracker = FakeTracker::start(move |announce| match &*announce.event {
            "stopped" => Reply::Silence(gate.clone()),
            _ => Reply::Compact(vec![]),
        });
        let place = Place::new(Spec::single("x", 300_000).tracker(&tracker.url));
        let mut run = download(&place, USUAL).arg("-v").start();
        run.joined();
        run.kill(first);
        tracker.next_event("stopped");
        run.kill(Signal::HUP);
        let end = run.wait().expect(status);
        assert!(end.stderr.contains("kept: the same command"), "{end:#?}");
    }
}

#[test]
fn under_nohup_it_goes_on() {
    let place = Place::new(Spec::single("x", 300_000));
    let gate = Gate::new();
    let seed = Seed::of(&place.torrent).hold(&gate).start();
    let mut run = download(&place, IGNORED)
        .arg("--json")
        .peers(&[seed.addr])
        .start();
    run.event("checked");
    run.kill(Signal::HUP);
    gate.open();
    run.wait().expect(0);
    place.torrent.assert_whole(&place.dir());
}

/// Commands with nothing to tidy up leave at once.
#[test]
fn other_jobs_leave_at_once() {
    let (asked, requests) = crossbeam_channel::unbounded();
    let server = HttpServer::start(move |_, _| {
        let _ = asked.send(());
        Gate::new().wait();
        Ok(())
    });
    for (signal, status) in [(Signal::HUP, 129), (Signal::TERM, 143), (Signal::INT, 130)] {
        let show = Storrent::under(started_with(USUAL)).arg("show");
        let run = show.arg(server.url("/x.torrent")).start();
        requests.recv_timeout(crate::support::PATIENCE).unwrap();
        run.kill(signal);
        run.wait().expect(status);
    }
}

/// A limit on file sizes causes an error with a reason, not a death by signal.
#[test]
fn files_that_may_not_grow() {
    let place = Place::new(Spec::single("x", 3_000_000));
    let seed = Seed::of(&place.torrent).start();
    // In blocks of 512 or of 1024 bytes.
    let run = Storrent::limited("ulimit -f 1000").alone();
    let run = run.peers(&[seed.addr]);
    let run = run.arg("-d").arg(place.dir()).arg(place.file());
    let end = run.run().expect(1);
    assert!(end.stderr.contains("ulimit -f"), "{end:#?}");
}
