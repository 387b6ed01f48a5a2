//! Somebody removes, cuts, renames or replaces files under a running download.

use super::has;
use crate::support::Gate;
use crate::support::content::Spec;
use crate::support::peer::Seed;
use crate::support::place::Place;
use crate::support::program::Outcome;
use std::fs;
use std::path::Path;

const PIECE: usize = 64 << 10;

fn spec() -> Spec {
    Spec::multi(
        "x",
        &[("a", 600_000), ("b", 500_000), ("empty", 0), ("c", 300_000)],
    )
    .piece_length(PIECE)
}

/// Downloads until pieces up to half of the torrent are verified, does `harm`, and lets one honest
/// seed send the rest. The seed waits at the end of a piece, so that not everything is there before
/// the harm.
fn harmed(place: &Place, harm: impl FnOnce(&Path)) -> Outcome {
    let gate = Gate::new();
    let half = place.torrent.pieces() / 2;
    let first = Seed::of(&place.torrent)
        .having(|piece| piece < half)
        .start();
    let rest = Seed::of(&place.torrent).hold(&gate).start();
    let mut run = place
        .download()
        .arg("-v")
        .peers(&[first.addr, rest.addr])
        .start();
    has(&mut run, (half * PIECE) as u64 - 1);
    harm(&place.dir());
    gate.open();
    run.wait()
}

fn warned(end: &Outcome) -> bool {
    end.all("warning").iter().any(|event| {
        let message = event["message"].as_str().unwrap_or_default();
        message.contains("moved, removed or changed")
    })
}

#[test]
fn complete_is_said_of_what_is_there() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 6] = [
        ("a finished file is deleted", |dir| {
            fs::remove_file(dir.join("x/a")).unwrap()
        }),
        ("an unfinished file is deleted", |dir| {
            fs::remove_file(dir.join("x/b")).unwrap()
        }),
        ("a finished file is cut", |dir| {
            let file = fs::File::options()
                .write(true)
                .open(dir.join("x/a"))
                .unwrap();
            file.set_len(100_000).unwrap();
        }),
        ("all is deleted", |dir| {
            fs::remove_dir_all(dir.join("x")).unwrap()
        }),
        ("the folder is renamed", |dir| {
            fs::rename(dir.join("x"), dir.join("y")).unwrap()
        }),
        ("a file is replaced by garbage of its length", |dir| {
            fs::write(dir.join("x/garbage"), vec![7; 600_000]).unwrap();
            fs::rename(dir.join("x/garbage"), dir.join("x/a")).unwrap();
        }),
    ];
    for (name, harm) in harms {
        let place = Place::new(spec());
        let end = harmed(&place, harm);
        assert_eq!(end.code, Some(0), "{name}: {end:#?}");
        assert!(warned(&end), "{name}: {end:#?}");
        assert!(!end.stderr.contains("banned"), "{name}: {end:#?}");
        assert_eq!(end.all("complete").len(), 1, "{name}");
        let _ = fs::remove_dir_all(place.dir().join("y"));
        place.torrent.assert_whole(&place.dir());
    }
}

/// What is right is right, whichever file it is in.
#[test]
fn a_copy_is_no_fault() {
    let place = Place::new(spec());
    let end = harmed(&place, |dir| {
        fs::copy(dir.join("x/a"), dir.join("x/copy")).unwrap();
        fs::rename(dir.join("x/copy"), dir.join("x/a")).unwrap();
    });
    let end = end.expect(0);
    assert!(!warned(&end), "{end:#?}");
    place.torrent.assert_whole(&place.dir());
}

#[test]
fn two_paths_of_one_file_with_the_right_data_are_no_fault() {
    let twin: Vec<u8> = (0..PIECE).map(|i| (i % 251) as u8).collect();
    let spec = Spec::multi("x", &[("a", 0), ("b", 0), ("c", 300_000)]).piece_length(PIECE);
    let place = Place::new(spec.content(0, twin.clone()).content(1, twin.clone()));
    fs::create_dir_all(place.dir().join("x")).unwrap();
    fs::write(place.dir().join("x/a"), &twin).unwrap();
    fs::hard_link(place.dir().join("x/a"), place.dir().join("x/b")).unwrap();
    place.fetch(&Seed::of(&place.torrent).start());
}

/// DIR itself is gone with everything that was written.
#[test]
fn without_its_folder_it_ends_and_says_so() {
    let place = Place::new(spec());
    let elsewhere = place.temp.path().join("elsewhere");
    let end = harmed(&place, |dir| fs::rename(dir, &elsewhere).unwrap()).expect(1);
    let dir = place.dir().display().to_string();
    assert!(
        end.stderr.contains(&format!("{dir} was moved or removed")),
        "{}",
        end.stderr
    );
    assert!(end.all("complete").is_empty());
    fs::rename(&elsewhere, place.dir()).unwrap();
    place.fetch(&Seed::of(&place.torrent).start());
}
