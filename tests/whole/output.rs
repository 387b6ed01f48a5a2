//! A reader that does not read holds up only its own output: the download goes on, and signals are
//! heard.

use crate::support::PATIENCE;
use crate::support::content::Spec;
use crate::support::peer::Seed;
use crate::support::place::Place;
use crate::support::program::{Outcome, Storrent};
use crate::support::tracker::FakeTracker;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

/// Writes until the stream, which nobody reads, takes no more.
fn fill(stream: impl AsFd) {
    ioctl_fionbio(&stream, true).unwrap();
    let deadline = Instant::now() + PATIENCE;
    for size in [4096, 1] {
        loop {
            match rustix::io::write(&stream, &vec![b'\n'; size]) {
                Ok(_) => assert!(Instant::now() < deadline, "it takes more and more"),
                Err(Errno::AGAIN) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    ioctl_fionbio(&stream, false).unwrap();
}

/// A pipe that is full.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    fill(&writer);
    (reader, writer)
}

/// A terminal after Ctrl-S: the user's side, and the program's.
fn stopped_terminal() -> (OwnedFd, File) {
    const CTRL_S: u8 = 0x13;
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let name = ptsname(&keyboard, Vec::new())
        .unwrap()
        .into_string()
        .unwrap();
    let screen = OpenOptions::new()
        .read(true)
        .write(true)
        .open(name)
        .unwrap();
    rustix::io::write(&keyboard, &[CTRL_S]).unwrap();
    fill(&screen);
    (keyboard, screen)
}

fn place(tracker: &FakeTracker) -> Place {
    Place::new(Spec::single("x", 3_000_000).tracker(&tracker.url))
}

/// Downloads with nobody reading, and stays until a signal comes.
#[track_caller]
fn stays_until(signal: Signal, status: i32, direct: impl Fn(Storrent) -> Storrent) -> Outcome {
    let tracker = FakeTracker::naming(vec![]);
    let place = place(&tracker);
    let seed = Seed::of(&place.torrent).start();
    let download = place.download().args(["--seed", "-vv"]);
    let run = direct(download.peers(&[seed.addr])).start();
    tracker.next_event("completed");
    run.kill(signal);
    let end = run.wait().expect(status);
    tracker.next_event("stopped");
    place.torrent.assert_whole(&place.dir());
    end
}

#[test]
fn pipes_that_nobody_reads() {
    let (_unread, full) = full_pipe();
    let pipe = || full.try_clone().unwrap();
    let end = stays_until(Signal::TERM, 143, |run| run.stdout(pipe()));
    assert!(
        end.stderr.contains("connected"),
        "the other stream: {end:?}"
    );
    let end = stays_until(Signal::INT, 130, |run| run.stderr(pipe()));
    end.one("complete");
    stays_until(Signal::TERM, 143, |run| run.stdout(pipe()).stderr(pipe()));
}

#[test]
fn a_terminal_that_is_stopped() {
    let (_keyboard, screen) = stopped_terminal();
    let terminal = || screen.try_clone().unwrap();
    stays_until(Signal::INT, 130, |run| run.stderr(terminal()));
    // Without `--json`, the display is on.
    let tracker = FakeTracker::naming(vec![]);
    let place = place(&tracker);
    let seed = Seed::of(&place.torrent).start();
    let download = Storrent::new().alone().arg("-d");
    let download = download.arg(place.dir()).arg(place.file());
    let run = download.peers(&[seed.addr]).stderr(terminal()).start();
    run.wait().expect(0);
    place.torrent.assert_whole(&place.dir());
}

/// It also ends by itself, with the right exit status.
#[test]
fn the_end_comes_by_itself() {
    let (_unread, full) = full_pipe();
    let place = Place::new(Spec::single("x", 3_000_000));
    let seed = Seed::of(&place.torrent).start();
    let run = || {
        place
            .download()
            .peers(&[seed.addr])
            .stdout(full.try_clone().unwrap())
    };
    run().run().expect(0);
    place.torrent.assert_whole(&place.dir());
    let missing = run().arg(place.temp.path().join("missing.torrent"));
    missing.run().expect(1);
}

/// A late reader misses only figures that are old by then.
#[test]
fn late_readers_get_what_matters() {
    let tracker = FakeTracker::naming(vec![]);
    let place = place(&tracker);
    let seed = Seed::of(&place.torrent).start();
    let (unread, full) = full_pipe();
    let download = place.download().args(["--seed"]).peers(&[seed.addr]);
    let run = download.stdout(full).start();
    tracker.next_event("completed");
    let mut lines = BufReader::new(unread).lines();
    let mut next = || loop {
        let line = lines.next().expect("more lines").unwrap();
        if !line.is_empty() {
            return serde_json::from_str::<serde_json::Value>(&line).unwrap()["event"].clone();
        }
    };
    for name in ["listening", "added", "checked"] {
        assert_eq!(next(), name);
    }
    while next() != "complete" {}
    run.kill(Signal::TERM);
    run.wait().expect(143);
    assert_eq!(next(), "progress");
}
