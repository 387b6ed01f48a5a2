//! A network of its own for one test: a Linux network namespace where 10.77.0.0/16 is
//! on the loopback device.
//!
//! Real clients need it. Some refuse peers on 127.0.0.0/8 (anybody could name those in
//! a tracker's answer), each shall have an address of its own, and nothing that they do
//! on their own account (multicast, DHT, update checks) may leave the machine.

use std::io::Write;
use std::process::Command;

/// The tracker's address.
pub const TRACKER: &str = "10.77.0.1";
/// The real client's.
pub const THEIRS: &str = "10.77.0.2";
/// Ours.
pub const OURS: &str = "10.77.0.3";

const INSIDE: &str = "STORRENT_TEST_NETWORK";
const REQUIRED: &str = "STORRENT_REQUIRE_REAL_CLIENTS";

/// Runs `body` in a network of its own: the test `name` (its full name in this test
/// program) executes itself once more, in a new namespace.
///
/// Where that can't be done, or one of `programs` is not installed, the test says
/// `SKIPPED` and passes; with `STORRENT_REQUIRE_REAL_CLIENTS=1` it fails.
pub fn isolated(name: &str, programs: &[&str], body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    if let Some(program) = programs.iter().find(|p| !installed(p)) {
        return skip(name, &format!("{program} is not installed"));
    }
    if !rustix::process::geteuid().is_root() {
        return skip(name, "only root may make a network namespace");
    }
    let enter = "ip link set lo up && ip addr add 10.77.0.1/16 dev lo && exec \"$0\" \"$@\"";
    let again = Command::new("unshare")
        .args(["--net", "sh", "-c", enter])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output();
    match again {
        Err(e) => skip(name, &format!("no unshare: {e}")),
        Ok(done) => {
            let (out, err) = (done.stdout.as_slice(), done.stderr.as_slice());
            let said = [out, err].map(String::from_utf8_lossy).concat();
            // A name that is no test's would pass as well, having run nothing.
            let ran = said.contains("1 passed") || !done.status.success();
            assert!(ran, "{name} is not the name of this test");
            assert!(done.status.success(), "in a network of its own:\n{said}");
        }
    }
}

/// Says that the test did not run. Written past the test harness, which keeps quiet
/// about what a test prints when it passes.
pub fn skip(name: &str, why: &str) {
    let required = std::env::var_os(REQUIRED).is_some_and(|v| v == "1");
    assert!(!required, "{name} can't run: {why}");
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
}

/// Whether there is such a program; `python3-libtorrent` is a module of the
/// distribution's Python.
fn installed(program: &str) -> bool {
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
