//! What storrent promises of the disk: "complete" means that everything is there, the user's own
//! files stay untouched, verified data is never lost, whatever the disk, the user and the power do.

mod crash;
mod disks;
mod moved;
mod record;

use crate::support::content::Torrent;
use crate::support::peer::FakePeer;
use crate::support::program::Running;
use crate::support::wire::Note;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Waits until `seed` has served `blocks` more blocks.
fn served(seed: &FakePeer, blocks: usize) {
    for _ in 0..blocks {
        seed.wait(|note| matches!(note, Note::Served(_)).then_some(()));
    }
}

/// Waits until `run` says that it has at least `bytes` bytes.
fn has(run: &mut Running, bytes: u64) {
    run.event_where("progress", |event| {
        event["have_bytes"].as_u64() >= Some(bytes)
    });
}

/// Waits until `done`, without a pause, so that a kill comes at once.
fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + crate::support::PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// Fails unless all bytes of the torrent's files are below `dir`, by whatever name.
fn all_bytes_below(torrent: &Arc<Torrent>, dir: &Path) {
    let found: Vec<Vec<u8>> = crate::support::content::tree(dir)
        .iter()
        .map(|path| fs::read(dir.join(path)).unwrap())
        .collect();
    for file in torrent.real_files() {
        let bytes = &torrent.data[file.range.clone()];
        assert!(
            found.iter().any(|found| found == bytes),
            "{}",
            file.path.display()
        );
    }
}
