//! `--on-complete`: which command runs, when, with what, and who waits for it.

use crate::support::content::Spec;
use crate::support::peer::{FakePeer, Seed};
use crate::support::place::Place;
use crate::support::program::Storrent;
use crate::support::{Gate, until};
use rustix::process::Signal;
use std::fs;
use std::process::Command;

/// A shell would take this name for commands.
const NAME: &str = "x'; touch hacked; \"$(touch hacked)\" `touch hacked` #.bin";

fn download(place: &Place, peer: &FakePeer, command: &str) -> Storrent {
    let storrent = place
        .download()
        .peers(&[peer.addr])
        .current_dir(place.temp.path());
    storrent.args(["--on-complete", command])
}

#[test]
fn it_hears_what_has_completed() {
    let place = Place::new(Spec::single(NAME, 100_000));
    let seed = Seed::of(&place.torrent).start();
    let command = "cat; echo to stdout; printf '%s\\n' \"$STORRENT_NAME\" \"$STORRENT_PATH\" \
                   \"$STORRENT_INFO_HASH\" \"$PWD\" >> told; test -s \"$STORRENT_PATH\"";
    let first = download(&place, &seed, command).run().expect(0);
    let temp = fs::canonicalize(place.temp.path()).unwrap();
    let told = fs::read_to_string(temp.join("told")).unwrap();
    let path = place.dir().join(NAME);
    let hash = place.torrent.hex();
    let expected = [NAME, path.to_str().unwrap(), &hash, temp.to_str().unwrap()];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    assert!(!temp.join("hacked").exists());
    // stdout is for JSON alone.
    assert!(first.stderr.contains("to stdout"), "{first:#?}");
    assert!(first.all("warning").is_empty(), "{first:#?}");
    // Now all is there at the start.
    download(&place, &seed, command).run().expect(0);
    assert_eq!(fs::read_to_string(temp.join("told")).unwrap(), told);
}

#[test]
fn its_failure_is_a_warning() {
    let place = Place::new(Spec::single("x", 100_000));
    let seed = Seed::of(&place.torrent).start();
    let end = download(&place, &seed, "exit 7").run().expect(0);
    let warning = end.one("warning");
    let message = warning["message"].as_str().unwrap();
    assert!(
        message.contains("failed for x: it ended with exit status: 7"),
        "{message}"
    );
    assert_eq!(warning["info_hash"], place.torrent.hex());
}

#[test]
fn nobody_runs_it_for_a_part() {
    let place = Place::new(Spec::single("x", 100_000));
    let seed = Seed::of(&place.torrent).hold(&Gate::new()).start();
    let mut run = download(&place, &seed, "touch ran").start();
    run.event("checked");
    run.kill(Signal::INT);
    run.wait().expect(130);
    assert!(!place.temp.path().join("ran").exists());
}

/// storrent waits for the command, even after a first signal. The second ends the wait.
#[test]
fn who_waits_for_it() {
    for second in [false, true] {
        let place = Place::new(Spec::single("x", 100_000));
        let seed = Seed::of(&place.torrent).start();
        let in_temp = |name: &str| place.temp.path().join(name);
        for pipe in ["begun", "go"] {
            let made = Command::new("mkfifo").arg(in_temp(pipe)).status().unwrap();
            assert!(made.success());
        }
        // It closes stderr, which the test reads to its end.
        let command = "exec 2> log > log; echo > begun; read line < go; echo > over; echo > begun";
        let run = download(&place, &seed, command).start();
        fs::read(in_temp("begun")).unwrap();
        run.kill(Signal::INT);
        let go = || fs::write(in_temp("go"), "\n").unwrap();
        if second {
            // Two signals at once are one to the system, or come in any order if they differ.
            let ended = until(|| {
                run.kill(Signal::INT);
                run.ended()
            });
            assert!(ended, "the second signal ends it");
            run.wait().expect(130);
            assert!(!in_temp("over").exists());
            go();
            fs::read(in_temp("begun")).unwrap();
        } else {
            go();
            fs::read(in_temp("begun")).unwrap();
            // The command may end before the program hears the signal.
            let code = run.wait().code;
            assert!(matches!(code, Some(0 | 130)), "{code:?}");
        }
        assert!(in_temp("over").exists(), "it is never cut off");
    }
}
