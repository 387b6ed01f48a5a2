//! A download that was cut short, however rudely, goes on: whole pieces on the disk are never
//! fetched again, and changes to the files are noticed.

use crate::support::Dice;
use crate::support::content::{Spec, Torrent};
use crate::support::peer::{FakePeer, Seed};
use crate::support::program::{Outcome, Storrent};
use crate::support::wire::{Block, Note};
use rustix::process::Signal;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// What happens to a file between two runs.
type Damage = fn(&mut Vec<u8>);

struct Place {
    temp: TempDir,
    torrent: Arc<Torrent>,
    options: Vec<&'static str>,
}

impl Place {
    fn new(spec: Spec) -> Self {
        let temp = tempfile::tempdir().unwrap();
        Self {
            temp,
            torrent: spec.build(),
            options: vec![],
        }
    }

    fn dir(&self) -> PathBuf {
        self.temp.path().join("down")
    }

    fn download(&self, peer: &FakePeer) -> Storrent {
        let file = self.torrent.save(self.temp.path());
        Storrent::download(&self.dir())
            .args(&self.options)
            .arg(file)
            .peers(&[peer.addr])
    }

    /// Runs until `blocks` blocks are on the disk, then sends `signal`.
    fn cut(&self, blocks: usize, signal: Signal) -> Outcome {
        let seed = Seed::of(&self.torrent).budget(blocks).start();
        let mut run = self.download(&seed).arg("-vv").start();
        run.stored(blocks);
        run.kill(signal);
        run.wait()
    }

    /// Runs until the seed has sent `blocks` blocks, and kills it wherever they are then: in a
    /// socket, in memory, on the disk. Returns what was asked for.
    fn killed(&self, blocks: usize) -> Vec<Block> {
        let seed = Seed::of(&self.torrent).budget(blocks).start();
        let run = self.download(&seed).start();
        for _ in 0..blocks {
            seed.wait(|note| matches!(note, Note::Served(_)).then_some(()));
        }
        run.kill(Signal::KILL);
        let end = run.wait();
        assert_eq!(end.signal, Some(9), "{end:#?}");
        seed.requests()
    }

    fn whole(&self) -> Vec<bool> {
        self.torrent.pieces_on_disk(&self.dir())
    }

    /// Runs to the end. Fails if it fetches anything that `had` has.
    fn finish(&self, had: &[bool]) -> Outcome {
        let seed = Seed::of(&self.torrent).start();
        let end = self.download(&seed).run().expect(0);
        assert_not_again(&seed.requests(), had);
        end
    }
}

fn assert_not_again(requests: &[Block], had: &[bool]) {
    let again: Vec<_> = requests
        .iter()
        .filter(|block| had[block.index as usize])
        .collect();
    assert!(
        again.is_empty(),
        "was on the disk and is fetched again: {again:?}"
    );
}

fn spec() -> Spec {
    Spec::multi(
        "x",
        &[
            ("a", 1_500_000),
            ("b/c", 7),
            ("d", 1_200_000),
            ("e", 400_000),
        ],
    )
    .piece_length(64 << 10)
}

#[test]
fn killed_at_any_moment() {
    for round in 1..=6 {
        let mut dice = Dice::new(round);
        let place = Place::new(spec());
        for _ in 0..4 {
            let had = place.whole();
            let missing = had.iter().filter(|whole| !**whole).count();
            // Fewer blocks than are missing: it can't complete.
            let blocks = dice.pick(1..missing.max(2));
            assert_not_again(&place.killed(blocks), &had);
        }
        let had = place.whole();
        let end = place.finish(&had);
        let found = had.iter().filter(|whole| **whole).count();
        assert_eq!(end.one("checked")["have_pieces"], found, "round {round}");
        place.torrent.assert_whole(&place.dir());
    }
}

/// An orderly end keeps everything to the last verified piece.
#[test]
fn interrupted() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let place = Place::new(spec());
        let end = place.cut(100, signal).expect(status);
        assert!(end.all("complete").is_empty());
        let had = place.whole();
        assert!(
            had.iter().any(|whole| *whole),
            "100 blocks and not one whole piece"
        );
        assert!(place.dir().join("x.storrent").exists());
        let end = place.finish(&had);
        let found = had.iter().filter(|whole| **whole).count();
        assert_eq!(end.one("checked")["have_pieces"], found);
        place.torrent.assert_whole(&place.dir());
    }
}

/// A second Ctrl-C leaves at once, even with a tracker that never answers `stopped`, for which the
/// first one waits.
#[test]
fn interrupted_twice() {
    let gate = crate::support::Gate::new();
    let silence = gate.clone();
    let tracker = crate::support::tracker::FakeTracker::start(move |announce| {
        match announce.event.as_str() {
            "stopped" => crate::support::tracker::Reply::Silence(silence.clone()),
            _ => crate::support::tracker::Reply::Compact(vec![]),
        }
    });
    let place = Place::new(spec().tracker(&tracker.url));
    let seed = Seed::of(&place.torrent).budget(1).start();
    let mut run = place.download(&seed).arg("-v").start();
    run.joined();
    seed.wait(|note| matches!(note, Note::Served(_)).then_some(()));
    run.kill(Signal::INT);
    tracker.next_event("stopped");
    run.kill(Signal::INT);
    run.wait().expect(130);
    gate.open();
}

/// Somebody changes a file between two runs: one bit, its end, its existence. Only what is no
/// longer right is fetched again.
#[test]
fn files_changed_meanwhile() {
    let changes: [(&str, Damage); 4] = [
        ("one bit", |data| data[70_000] ^= 1),
        ("cut short", |data| data.truncate(200_000)),
        ("zeros", |data| data[..300_000].fill(0)),
        ("emptied", Vec::clear),
    ];
    for (what, change) in changes {
        println!("{what}");
        let place = Place::new(spec());
        // All but the last piece of work: every file is there.
        place.cut(150, Signal::INT).expect(130);
        let path = place.dir().join("x/a");
        let mut data = fs::read(&path).unwrap_or_default();
        data.resize(1_500_000, 0);
        change(&mut data);
        fs::write(&path, data).unwrap();
        place.finish(&place.whole());
        place.torrent.assert_whole(&place.dir());
    }
}

/// The resume file still names them.
#[test]
fn the_files_are_gone() {
    let place = Place::new(spec());
    place.cut(150, Signal::INT).expect(130);
    for file in place.torrent.real_files() {
        let _ = fs::remove_file(place.dir().join(&file.path));
    }
    place.finish(&place.whole());
    place.torrent.assert_whole(&place.dir());
}

/// The resume file only saves work: without it, or with a broken one, hashing finds everything.
#[test]
fn the_resume_file_is_missing_or_broken() {
    let damages: [(&str, Damage); 6] = [
        ("empty", Vec::clear),
        ("half", |file| file.truncate(file.len() / 2)),
        ("one byte short", |file| file.truncate(file.len() - 1)),
        ("text", |file| *file = b"hello".to_vec()),
        ("ones", |file| file.fill(0xff)),
        ("huge", |file| file.resize(5 << 20, b'l')),
    ];
    for (what, damage) in damages {
        let place = Place::new(spec());
        place.cut(100, Signal::INT).expect(130);
        let path = place.dir().join("x.storrent");
        let mut file = fs::read(&path).unwrap();
        damage(&mut file);
        fs::write(&path, file).unwrap();
        let end = place.finish(&place.whole());
        assert!(end.all("error").is_empty(), "{what}");
        // What does not say that it is ours is the user's, and stays.
        if matches!(what, "text" | "ones") {
            fs::remove_file(&path).unwrap();
        }
        place.torrent.assert_whole(&place.dir());
    }
    let place = Place::new(spec());
    place.cut(100, Signal::INT).expect(130);
    fs::remove_file(place.dir().join("x.storrent")).unwrap();
    place.finish(&place.whole());
    place.torrent.assert_whole(&place.dir());
}

/// Any bit of the resume file may be wrong, while the size and time of the data match: never a
/// wrong download, never a panic.
#[test]
fn flipped_bits_in_the_resume_file() {
    let place = Place::new(Spec::single("x", 300_000));
    place.cut(10, Signal::INT).expect(130);
    let (path, data) = (place.dir().join("x.storrent"), place.dir().join("x"));
    let (resume, bytes) = (fs::read(&path).unwrap(), fs::read(&data).unwrap());
    let time = fs::metadata(&data).unwrap().modified().unwrap();
    let mut dice = Dice::new(7);
    for _ in 0..25 {
        let mut broken = resume.clone();
        let byte = dice.pick(0..broken.len());
        broken[byte] ^= 1 << dice.pick(0..8);
        fs::write(&data, &bytes).unwrap();
        let file = fs::File::options().write(true).open(&data).unwrap();
        file.set_modified(time).unwrap();
        fs::write(&path, &broken).unwrap();
        place.finish(&vec![false; place.torrent.pieces()]);
        if fs::read(&path).is_ok_and(|left| left == broken) {
            assert!(byte < b"d18:!a storrent record20:".len() + 20, "{byte}");
            fs::remove_file(&path).unwrap();
        }
        place.torrent.assert_whole(&place.dir());
    }
}

/// With `-f`, a piece that reaches into an unwanted file is kept elsewhere, and survives too.
#[test]
fn some_files_only() {
    for round in 1..=3 {
        let mut dice = Dice::new(round);
        let mut place = Place::new(spec());
        place.options = vec!["-f", "3"];
        for _ in 0..3 {
            let had = place.whole();
            let blocks = dice.pick(1..20);
            assert_not_again(&place.killed(blocks), &had);
        }
        place.finish(&place.whole());
        place.torrent.assert_only(&place.dir(), &[3]);
    }
}

/// After an orderly end, even pieces that reach into unwanted files are not fetched twice.
#[test]
fn border_pieces_survive_an_interrupt() {
    let spec = Spec::multi("x", &[("a", 50_000), ("b", 300_000), ("c", 50_000)]);
    let mut place = Place::new(spec.piece_length(64 << 10));
    place.options = vec!["-f", "2", "--sequential"];
    // In order: the first piece, a border one, comes with the first four blocks.
    place.cut(8, Signal::INT).expect(130);
    let first = place.torrent.pieces_of(2).start as u32;
    let seed = Seed::of(&place.torrent).start();
    place.download(&seed).run().expect(0);
    let again = seed
        .requests()
        .into_iter()
        .filter(|block| block.index == first);
    assert_eq!(again.count(), 0);
    place.torrent.assert_only(&place.dir(), &[2]);
}

/// Two runs on one folder at the same time would at least overwrite each other's resume file. The
/// files must end up right.
#[test]
fn two_runs_on_one_folder() {
    let place = Place::new(spec());
    let seed = Seed::of(&place.torrent).start();
    let (a, b) = (place.download(&seed).start(), place.download(&seed).start());
    let codes = [a.wait().code, b.wait().code];
    assert!(codes.contains(&Some(0)), "{codes:?}");
    place.torrent.assert_whole(&place.dir());
}
