//! When the disk or the table of open files is full: the download ends with words that say what to
//! do, and keeps what was verified.

use crate::support::Gate;
use crate::support::content::{Spec, Torrent};
use crate::support::disk::{fill, small_disk};
use crate::support::peer::Seed;
use crate::support::program::{Outcome, Storrent};
use std::fs;
use std::path::Path;

const PIECE: usize = 64 << 10;

/// Fetches the rest. Nothing that was on disk may be fetched again.
fn resume(torrent: &std::sync::Arc<Torrent>, file: &Path, dir: &Path) {
    let kept = torrent.pieces_on_disk(dir);
    let seed = Seed::of(torrent).start();
    let download = Storrent::download(dir).arg(file).peers(&[seed.addr]);
    download.run().expect(0);
    torrent.assert_whole(dir);
    let asked: Vec<usize> = seed.requests().iter().map(|b| b.index as usize).collect();
    assert!(!asked.is_empty());
    for (piece, _) in kept.iter().enumerate().filter(|(_, kept)| **kept) {
        assert!(!asked.contains(&piece), "piece {piece} was there");
    }
}

#[test]
fn a_disk_that_fills_up() {
    small_disk("disk::a_disk_that_fills_up", 16, |disk| {
        let torrent = Spec::multi("x", &[("a", 5 << 20), ("b", 3 << 20)]);
        let torrent = torrent.piece_length(PIECE).build();
        let (dir, temp) = (disk.join("down"), tempfile::tempdir().unwrap());
        let file = torrent.save(temp.path());
        // One seed gives the first half; the disk is full before the other begins.
        let half = torrent.pieces() / 2;
        let first = Seed::of(&torrent).having(|piece| piece < half).start();
        let gate = Gate::new();
        let other = Seed::of(&torrent).having(|piece| piece >= half);
        let other = other.hold(&gate).start();
        let peers = [first.addr, other.addr];
        let download = Storrent::download(&dir).arg(&file).peers(&peers);
        let mut run = download.start();
        let enough = (half * PIECE) as u64;
        run.event_where("progress", |event| event["have_bytes"] == enough);
        let filler = disk.join("filler");
        fill(&filler);
        gate.open();
        let end = run.wait().expect(1);
        let words = ["not enough space in ", " more bytes are needed", "free "];
        for word in words {
            assert!(end.stderr.contains(word), "{}", end.stderr);
        }
        fs::remove_file(filler).unwrap();
        let kept = torrent.pieces_on_disk(&dir);
        assert!(kept[..half].iter().all(|kept| *kept), "verified, and gone");
        resume(&torrent, &file, &dir);
    });
}

/// Runs `storrent` with at most `files` files and connections open.
fn limited(files: usize, dir: &Path, file: &Path, peer: &str) -> Outcome {
    let limit = format!("ulimit -n {files}");
    Storrent::limited(&limit)
        .alone()
        .args(["--json", "--peer", peer, "-d"])
        .arg(dir)
        .arg(file)
        .run()
}

#[test]
fn too_many_open_files() {
    let files: Vec<String> = (0..8).map(|n| format!("file{n}")).collect();
    let files: Vec<(&str, u64)> = files.iter().map(|name| (&**name, 400_000)).collect();
    let torrent = Spec::multi("x", &files).piece_length(PIECE).build();
    let temp = tempfile::tempdir().unwrap();
    let (file, dir) = (torrent.save(temp.path()), temp.path().join("down"));
    let mut had_most = 0;
    // From hardly enough to start with to enough for all.
    for limit in (8..).step_by(2) {
        let seed = Seed::of(&torrent).start();
        let end = limited(limit, &dir, &file, &seed.addr.to_string());
        if end.code == Some(0) {
            torrent.assert_whole(&dir);
            assert!(limit > 10, "the limit has no effect");
            break;
        }
        let end = end.expect(1);
        assert!(end.stderr.contains("Too many open files"), "{}", end.stderr);
        if end.events.iter().any(|event| event["event"] == "checked") {
            let advice = "raise the limit (ulimit -n) and run the same command again";
            assert!(end.stderr.contains(advice), "{}", end.stderr);
        }
        let now = torrent.pieces_on_disk(&dir);
        let now = now.iter().filter(|whole| **whole).count();
        assert!(now >= had_most, "pieces went: {now} of {had_most}");
        had_most = now;
    }
}
