//! A network for one test: a Linux network namespace where 10.77.0.0/16 is on the loopback device.
//!
//! Real clients need it. Some refuse peers on 127.0.0.0/8 (anybody could name those in a tracker's
//! answer), each needs an address of its own, and nothing that they send unasked (multicast, DHT,
//! update checks) may leave the machine.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

/// The tracker's address.
pub(crate) const TRACKER: &str = "10.77.0.1";
/// The real client's.
pub(crate) const THEIRS: &str = "10.77.0.2";
/// Ours.
pub(crate) const OURS: &str = "10.77.0.3";

const INSIDE: &str = "STORRENT_TEST_NETWORK";
const REQUIRED: &str = "STORRENT_REQUIRE_REAL_CLIENTS";

/// Runs `body` in a network of its own: the test `name` (its full name in this test program)
/// executes itself once more, in a new namespace.
///
/// Where that can't be done, or one of `programs` is not installed, the test prints `SKIPPED` and
/// passes; with `STORRENT_REQUIRE_REAL_CLIENTS=1` it fails.
pub(crate) fn isolated(name: &str, programs: &[&str], body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    if lacks(name, programs) {
        return;
    }
    let enter = "ip link set lo up && ip addr add 10.77.0.1/16 dev lo";
    again(name, "--net", enter, (INSIDE, "1"));
}

/// Executes the test `name` once more in a namespace that `unshare` makes with `flag`, after the
/// shell's line `enter`. There the variable `mark` is set.
pub(crate) fn again(name: &str, flag: &str, enter: &str, mark: (&str, &str)) {
    let may = Command::new("unshare").args([flag, "true"]).output();
    if !may.is_ok_and(|done| done.status.success()) {
        return skip(name, "only root may make a namespace, with unshare");
    }
    let line = format!("{enter} && exec \"$0\" \"$@\"");
    let done = Command::new("unshare")
        .args([flag, "sh", "-c", &line])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(mark.0, mark.1)
        .output()
        .unwrap();
    let (out, err) = (done.stdout.as_slice(), done.stderr.as_slice());
    let said = [out, err].map(String::from_utf8_lossy).concat();
    // With a wrong name, no test would run and none would fail.
    let ran = said.contains("1 passed") || !done.status.success();
    assert!(ran, "{name} is not the name of this test");
    assert!(done.status.success(), "in a namespace of its own:\n{said}");
}

/// A second network, that of another machine, with a cable to ours: for [`isolated`] tests only. It
/// ends when this is dropped.
pub(crate) struct Neighbour {
    /// A process inside, which keeps the network alive until its input ends.
    inside: Child,
}

/// How both ends of the cable are addressed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Cable {
    /// [`NEAR`] and [`FAR`].
    V4,
    /// Only the addresses that are valid on one cable: fe80::1 and fe80::2.
    V6,
}

/// Our end of an IPv4 cable.
pub(crate) const NEAR: &str = "10.78.0.1";
/// The neighbour's.
pub(crate) const FAR: &str = "10.78.0.2";

impl Neighbour {
    pub(crate) fn new(cable: Cable) -> Self {
        let mut inside = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let mut said = BufReader::new(inside.stdout.take().unwrap());
        said.read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        let neighbour = Self { inside };
        let end = |name: &str, v4: &str, v6: &str| {
            let address = match cable {
                Cable::V4 => format!("{v4}/24"),
                Cable::V6 => format!("{v6}/64 nodad"),
            };
            format!(
                "ip link set lo up && ip link set {name} addrgenmode none && \
                 ip addr add {address} dev {name} && ip link set {name} up"
            )
        };
        let pid = neighbour.inside.id();
        let lay = format!("ip link add near type veth peer name far netns {pid}");
        let near = format!("{lay} && {}", end("near", NEAR, "fe80::1"));
        for (mut shell, line) in [
            (Command::new("sh"), near),
            (neighbour.command("sh"), end("far", FAR, "fe80::2")),
        ] {
            assert!(shell.args(["-c", &line]).status().unwrap().success());
        }
        neighbour
    }

    /// A command that runs there.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let place = format!("--net=/proc/{}/ns/net", self.inside.id());
        command.args([&place, program]);
        command
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        drop(self.inside.stdin.take());
        let _ = self.inside.wait();
    }
}

/// Whether one of `programs` is not installed. Then the test is [skipped](skip).
pub(crate) fn lacks(name: &str, programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| !installed(program));
    if let Some(program) = missing {
        skip(name, &format!("{program} is not installed"));
    }
    missing.is_some()
}

/// Says that the test did not run. Bypasses the test harness, which hides the output of tests that
/// pass.
pub(crate) fn skip(name: &str, why: &str) {
    let required = std::env::var_os(REQUIRED).is_some_and(|v| v == "1");
    assert!(!required, "{name} can't run: {why}");
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
}

/// Whether there is such a program; `python3-libtorrent` is a module of the distribution's Python.
pub(crate) fn installed(program: &str) -> bool {
    let mut ask = match program {
        "python3-libtorrent" => {
            let mut python = Command::new("/usr/bin/python3");
            python.args(["-c", "import libtorrent"]);
            python
        }
        _ => {
            let mut sh = Command::new("sh");
            sh.args(["-c", "command -v \"$0\"", program]);
            sh
        }
    };
    ask.output().is_ok_and(|done| done.status.success())
}
