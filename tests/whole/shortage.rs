//! When the system allows few threads, or few files for many torrents: nothing panics, what can
//! wait waits, and the rest is named.

use crate::support::content::{Spec, Torrent};
use crate::support::network::skip;
use crate::support::peer::{FakePeer, Seed};
use crate::support::program::{Outcome, Running, Storrent};
use crate::support::tracker::{Announce, FakeTracker, Reply};
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;

/// Returns `storrent` run as another user, who may have `threads` threads, and a folder of that
/// user's. `None` where that can't be done.
fn with_threads(test: &str, threads: u32) -> Option<(Storrent, TempDir)> {
    let temp = tempfile::tempdir().unwrap();
    // The limit counts all processes of a user. So each limit, and each run of the tests, has a
    // user of its own.
    let user = 2_000_000 + std::process::id() % 1_000_000 * 100 + threads;
    if chown(temp.path(), Some(user), Some(user)).is_err() {
        skip(test, "only root may become another user");
        return None;
    }
    // The user may not enter the folder where it was built.
    let copy = temp.path().join("storrent");
    fs::copy(env!("CARGO_BIN_EXE_storrent"), &copy).unwrap();
    fs::set_permissions(temp.path(), Permissions::from_mode(0o755)).unwrap();
    let become_user = format!(
        "shift; exec prlimit --nproc={threads} setpriv --clear-groups --reuid {user} \
         --regid {user} '{}' \"$@\"",
        copy.display()
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &become_user, "sh"]);
    let download = Storrent::under(shell)
        .alone()
        .args(["--json", "-d"])
        .arg(temp.path().join("down"));
    Some((download, temp))
}

/// Readable for everybody.
fn save(torrent: &Torrent, dir: &Path) -> PathBuf {
    let file = torrent.save(dir);
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    file
}

#[test]
fn few_threads() {
    let mut completed = 0;
    for threads in [1, 2, 3, 4, 6, 8, 20] {
        let addrs = Arc::new(OnceLock::<Vec<SocketAddr>>::new());
        let named = addrs.clone();
        let peers = move |_: &Announce| Reply::Compact(named.get().unwrap().clone());
        let tracker = FakeTracker::start(peers);
        // To look up a name takes a thread, too.
        let url = tracker.url.replace("127.0.0.1", "localhost");
        let torrent = Spec::single("x", 600_000).tracker(&url).build();
        let seeds: Vec<FakePeer> = (0..30).map(|_| Seed::of(&torrent).start()).collect();
        addrs
            .set(seeds.iter().map(|seed| seed.addr).collect())
            .unwrap();
        let Some((download, temp)) = with_threads("shortage::few_threads", threads) else {
            return;
        };
        let end = download.arg(save(&torrent, temp.path())).run();
        if end.code == Some(0) {
            let end = end.expect(0);
            torrent.assert_whole(&temp.path().join("down"));
            let heard = tracker.taken();
            let told = heard.iter().any(|announce| announce.event == "stopped");
            assert!(told, "{threads} threads: {heard:?} {end:#?}");
            completed += 1;
        } else {
            let end = end.expect(1);
            assert!(threads < 8, "{threads} threads are enough: {end:#?}");
            for word in [
                "thread",
                "the system allows no more (ulimit -u)",
                "raise the limit",
            ] {
                assert!(end.stderr.contains(word), "{threads} threads: {end:#?}");
            }
        }
    }
    assert!(completed > 0);
}

/// Torrents of 3 files each, saved below `dir`, and one run that seeds them all.
fn many(count: u64, dir: &Path) -> (Vec<Arc<Torrent>>, Vec<PathBuf>, Running) {
    let torrents = (0..count).map(|n| {
        let files = [("a", 40_000), ("b/c", 50_000), ("d", 30_000)];
        Spec::multi(&format!("t{n}"), &files).seed(n).build()
    });
    let torrents: Vec<_> = torrents.collect();
    let files: Vec<_> = torrents.iter().map(|t| save(t, dir)).collect();
    torrents
        .iter()
        .for_each(|torrent| torrent.write(&dir.join("up")));
    let seed = Storrent::seed(&dir.join("up")).args(&files).start();
    (torrents, files, seed)
}

#[track_caller]
fn assert_all(end: &Outcome, torrents: &[Arc<Torrent>], dir: &Path) {
    assert_eq!(end.all("complete").len(), torrents.len(), "{end:#?}");
    torrents
        .iter()
        .for_each(|torrent| torrent.assert_bytes(dir));
}

#[test]
fn many_torrents_and_few_threads() {
    let Some((download, temp)) = with_threads("shortage::many_torrents_and_few_threads", 30) else {
        return;
    };
    // The thread of each tracker counts, too.
    let (torrents, files, mut seed) = many(40, temp.path());
    let tracker = FakeTracker::naming(vec![seed.address()]);
    let end = download
        .args(["--tracker", &tracker.url])
        .args(&files)
        .run();
    assert_all(&end.expect(0), &torrents, &temp.path().join("down"));
}

/// Runs `storrent` with at most `limit` files and connections open.
fn with_files(limit: u32, dir: &Path) -> Storrent {
    Storrent::limited(&format!("ulimit -n {limit}"))
        .alone()
        .args(["--json", "-d"])
        .arg(dir)
}

#[test]
fn many_torrents_and_few_files() {
    let temp = tempfile::tempdir().unwrap();
    let (torrents, files, mut seed) = many(100, temp.path());
    let seed = seed.address();
    for limit in [40, 100, 256] {
        let dir = temp.path().join(format!("down{limit}"));
        let end = with_files(limit, &dir).peers(&[seed]).args(&files).run();
        assert_all(&end.expect(0), &torrents, &dir);
        let end = with_files(limit, &dir).args(&files).run();
        assert_all(&end.expect(0), &torrents, &dir);
    }
}
