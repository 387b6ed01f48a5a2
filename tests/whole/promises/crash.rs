//! Killed at any moment: nothing that was stored is fetched again, and complete data is right.

use super::{served, until};
use crate::support::Dice;
use crate::support::content::Spec;
use crate::support::peer::Seed;
use crate::support::place::Place;
use crate::support::program::Storrent;
use crate::support::wire::Note;
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};

/// Pieces of 16 blocks, and kills within them. All blocks are equally long, because the test
/// compares the bytes on the disk with the number of blocks.
#[test]
fn blocks_of_unfinished_pieces_are_kept() {
    let place = Place::new(Spec::single("x", 366 * 16384).piece_length(256 << 10));
    let blocks = place.torrent.blocks();
    let mut dice = Dice::new(3);
    let mut given = 0;
    let mut kills = 0;
    while given < blocks - 60 {
        let some = dice.pick(5..50);
        let seed = Seed::of(&place.torrent).budget(some).start();
        let run = place.download().peers(&[seed.addr]).start();
        served(&seed, some);
        until(
            "what was sent is in the file, but for a block a kill",
            || {
                let stored = fs::metadata(place.dir().join("x")).map_or(0, |about| about.blocks());
                // Each kill may have cut a write short.
                stored * 512 >= ((given + some - kills) * 16384) as u64
            },
        );
        run.kill(Signal::KILL);
        run.wait();
        given += some;
        kills += 1;
    }
    assert!(kills > 5);
    let seed = Seed::of(&place.torrent).start();
    let end = place.fetch(&seed);
    given += seed
        .notes()
        .iter()
        .filter(|note| matches!(note, Note::Served(_)))
        .count();
    assert!(given <= blocks * 11 / 10, "{given} of {blocks}: {end:#?}");
}

/// Kept blocks of a disk that lies: the piece is fetched anew, and nobody is banned.
#[test]
fn nobody_pays_for_what_an_earlier_run_left() {
    let place = Place::new(Spec::single("x", 2_000_000).piece_length(256 << 10));
    let seed = Seed::of(&place.torrent).budget(10).start();
    let mut run = place.download().arg("-vv").peers(&[seed.addr]).start();
    run.stored(10);
    run.kill(Signal::INT);
    run.wait().expect(130);
    let path = place.dir().join("x");
    let mut bytes = fs::read(&path).unwrap();
    let written: Vec<usize> = (0..bytes.len()).filter(|i| bytes[*i] != 0).collect();
    // In place: the holes stay.
    let file = fs::File::options().write(true).open(&path).unwrap();
    for at in written.chunks(5_000).map(|chunk| chunk[0]) {
        bytes[at] ^= 1;
        file.write_at(&bytes[at..=at], at as u64).unwrap();
    }
    drop(file);
    let seed = Seed::of(&place.torrent).start();
    let end = place
        .download()
        .arg("-v")
        .peers(&[seed.addr])
        .run()
        .expect(0);
    assert!(!end.stderr.contains("banned"), "{end:#?}");
    place.torrent.assert_whole(&place.dir());
}

#[test]
fn killed_around_the_completion() {
    for round in 0..24u64 {
        let mut dice = Dice::new(round);
        let place = Place::new(Spec::multi(
            "x",
            &[("a", 150_000), ("b", 200_000), ("c", 90_000)],
        ));
        let (options, numbers): (&[&str], &[usize]) = match round % 2 {
            0 => (&[], &[1, 2, 3]),
            _ => (&["-f", "2"], &[2]),
        };
        let seed = Seed::of(&place.torrent).start();
        let run = place.download().args(options).peers(&[seed.addr]).start();
        let wanted = match round % 2 {
            0 => place.torrent.blocks(),
            _ => 2 * place.torrent.pieces_of(2).len() - 1,
        };
        served(&seed, wanted - dice.pick(0..3));
        for _ in 0..dice.pick(0..2000) {
            std::hint::spin_loop();
        }
        run.kill(Signal::KILL);
        let end = run.wait();
        if !end.all("complete").is_empty() {
            place.torrent.assert_only(&place.dir(), numbers);
        }
        let end = place
            .download()
            .args(options)
            .peers(&[seed.addr])
            .run()
            .expect(0);
        assert_eq!(end.all("complete").len(), 1);
        place.torrent.assert_only(&place.dir(), numbers);
    }
}

/// Killed while it makes a torrent: there is none, or a whole one.
#[test]
fn killed_in_create() {
    let temp = tempfile::tempdir().unwrap();
    let source = temp.path().join("x");
    fs::write(&source, vec![7; 3_000_000]).unwrap();
    let out = temp.path().join("x.torrent");
    let create = || {
        let create = Storrent::new()
            .current_dir(temp.path())
            .args(["create", "-q"]);
        create.args(["-o", "x.torrent", "x"])
    };
    let mut dice = Dice::new(5);
    let mut killed = 0;
    for _ in 0..50 {
        let run = create().start();
        for _ in 0..dice.pick(0..60_000) {
            std::hint::spin_loop();
        }
        run.kill(Signal::KILL);
        killed += usize::from(run.wait().signal.is_some());
        if out.exists() {
            let check = Storrent::new()
                .current_dir(temp.path())
                .arg("check")
                .arg(&out);
            check.run().expect(0);
            fs::remove_file(&out).unwrap();
        }
    }
    assert!(killed > 0, "it was always faster");
    create().run().expect(0);
}
