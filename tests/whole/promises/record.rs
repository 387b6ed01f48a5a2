//! The record: one process a torrent, whose it is, and how far it is believed.

use super::{has, served, until};
use crate::support::Gate;
use crate::support::content::{Spec, tree};
use crate::support::peer::Seed;
use crate::support::place::Place;
use crate::support::program::Storrent;
use rustix::process::Signal;
use std::fs;
use std::path::Path;

const PIECE: usize = 64 << 10;

fn spec() -> Spec {
    Spec::multi("x", &[("a", 500_000), ("b", 700_000), ("c", 300_000)]).piece_length(PIECE)
}

/// Downloads until `blocks` are on the disk, then ends it by `signal`.
fn cut(place: &Place, blocks: usize, signal: Signal) {
    let seed = Seed::of(&place.torrent).budget(blocks).start();
    let mut run = place.download().arg("-vv").peers(&[seed.addr]).start();
    run.stored(blocks);
    run.kill(signal);
    run.wait();
}

#[test]
fn one_process_a_torrent() {
    let place = Place::new(spec());
    let seed = Seed::of(&place.torrent).budget(20).start();
    let mut run = place.download().peers(&[seed.addr]).start();
    has(&mut run, PIECE as u64);
    for options in [&[][..], &["-f", "1"], &["-f", "2,3"], &["--overwrite"]] {
        let end = place.download().args(options).run().expect(1);
        assert!(
            end.stderr.contains("another storrent is downloading this"),
            "{end:#?}"
        );
    }
    // A run that only reads needs no lock.
    let look = Storrent::new()
        .args(["check", "-d"])
        .arg(place.dir())
        .arg(place.file());
    assert!(
        look.run().expect(1).stdout.contains(" of 1.43 MiB"),
        "incomplete, and said so"
    );
    run.kill(Signal::INT);
    run.wait().expect(130);
    place.fetch(&Seed::of(&place.torrent).start());
}

/// A file of the user's with the record's name stays as it is, and marks no file.
#[test]
fn what_is_no_record_is_left_alone() {
    let other = Place::new(spec().seed(9));
    cut(&other, 30, Signal::KILL);
    let strange = fs::read(other.dir().join("x.storrent")).unwrap();
    for content in [
        &b"my own film"[..],
        &strange,
        b"d6:!parts5:hello",
        b"d18:!a storrent record20:",
    ] {
        let place = Place::new(spec());
        let path = place.dir().join("x.storrent");
        fs::create_dir_all(place.dir()).unwrap();
        fs::write(&path, content).unwrap();
        cut(&place, 30, Signal::INT);
        let hidden = place
            .dir()
            .join(format!(".{}.storrent", place.torrent.hex()));
        assert!(hidden.exists(), "{:?}", tree(&place.dir()));
        let end = place
            .download()
            .peers(&[Seed::of(&place.torrent).start().addr])
            .run()
            .expect(0);
        assert!(
            end.one("checked")["have_pieces"].as_u64() > Some(0),
            "it resumed"
        );
        assert_eq!(fs::read(&path).unwrap(), content);
        fs::remove_file(&path).unwrap();
        place.torrent.assert_whole(&place.dir());
    }
}

/// A folder or a link there is neither followed nor removed. An empty file has nothing to lose.
#[test]
fn whatever_else_stands_there() {
    type Make = fn(&Path);
    let cases: [(Make, bool); 3] = [
        (|path| fs::create_dir(path).unwrap(), true),
        (
            |path| std::os::unix::fs::symlink("nowhere", path).unwrap(),
            true,
        ),
        (|path| fs::write(path, "").unwrap(), false),
    ];
    for (make, stays) in cases {
        let place = Place::new(spec());
        let path = place.dir().join("x.storrent");
        fs::create_dir_all(place.dir()).unwrap();
        make(&path);
        place
            .download()
            .peers(&[Seed::of(&place.torrent).start().addr])
            .run()
            .expect(0);
        assert_eq!(fs::symlink_metadata(&path).is_ok(), stays);
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir(&path);
        assert!(!place.dir().join("nowhere").exists());
        place.torrent.assert_whole(&place.dir());
    }
}

/// Another torrent of the same name may not overwrite a half file, however early the first run was
/// stopped.
#[test]
fn another_torrents_files_are_not_ours() {
    let place = Place::new(spec());
    let rival = Place::new(spec().seed(5));
    let seed = Seed::of(&place.torrent).budget(3).start();
    let run = place.download().peers(&[seed.addr]).start();
    until("something is in a file", || {
        let is_begun = |path| fs::metadata(path).is_ok_and(|about| about.len() > 0);
        ["x/a", "x/b", "x/c"]
            .map(|name| place.dir().join(name))
            .into_iter()
            .any(is_begun)
    });
    run.kill(Signal::KILL);
    run.wait();
    let before: Vec<_> = tree(&place.dir()).into_iter().collect();
    let bytes = |place: &Place| {
        fs::read(place.dir().join("x/a"))
            .or_else(|_| fs::read(place.dir().join("x/b")))
            .or_else(|_| fs::read(place.dir().join("x/c")))
            .unwrap()
    };
    let content = bytes(&place);
    let end = Storrent::download(&place.dir())
        .arg(rival.file())
        .peers(&[Seed::of(&rival.torrent).start().addr]);
    let end = end.run().expect(1);
    assert!(end.stderr.contains("is not from this torrent"), "{end:#?}");
    assert_eq!(tree(&place.dir()).into_iter().collect::<Vec<_>>(), before);
    assert_eq!(bytes(&place), content);
    place.fetch(&Seed::of(&place.torrent).start());
}

#[test]
fn another_run_has_the_place() {
    let place = Place::new(spec());
    let rival = Place::new(spec().seed(5));
    let seed = Seed::of(&place.torrent).budget(3).start();
    let run = place.download().peers(&[seed.addr]).start();
    served(&seed, 3);
    let end = Storrent::download(&place.dir())
        .arg(rival.file())
        .run()
        .expect(1);
    assert!(
        end.stderr
            .contains("another storrent is downloading another torrent"),
        "{end:#?}"
    );
    run.kill(Signal::KILL);
}

/// `-f 1` is interrupted, `-f 2` completes: then `-f 1` goes on where it was.
#[test]
fn an_earlier_selection_is_resumed() {
    for signal in [Signal::INT, Signal::KILL] {
        let place = Place::new(spec());
        let seed = Seed::of(&place.torrent).start();
        let half = Seed::of(&place.torrent).budget(20).start();
        let run = place.download().args(["-f", "1"]).peers(&[half.addr]);
        let mut run = run.start();
        has(&mut run, PIECE as u64);
        run.kill(signal);
        run.wait();
        let had = place.torrent.pieces_on_disk(&place.dir());
        assert!(had.iter().any(|had| *had));
        place
            .download()
            .args(["-f", "2"])
            .peers(&[seed.addr])
            .run()
            .expect(0);
        assert!(
            place.dir().join("x.storrent").exists(),
            "the first selection is in it"
        );
        seed.notes();
        let end = place
            .download()
            .args(["-f", "1"])
            .peers(&[seed.addr])
            .run()
            .expect(0);
        let asked = seed.requests();
        let again = asked
            .iter()
            .filter(|block| had[block.index as usize])
            .count();
        assert_eq!(again, 0, "{end:#?}");
        place.torrent.assert_only(&place.dir(), &[1, 2]);
    }
}

/// A record as earlier versions wrote it is read once more, and is gone in the end.
#[test]
fn an_old_record_is_read_once_more() {
    let place = Place::new(spec());
    place.torrent.write(&place.dir());
    let pieces = place.torrent.pieces();
    // Piece 2 is missing, though the file is long enough.
    let path = place.dir().join("x/a");
    let mut bytes = fs::read(&path).unwrap();
    bytes[2 * PIECE..3 * PIECE].fill(0);
    fs::write(&path, &bytes).unwrap();
    let state = |name: &str| {
        let about = fs::metadata(place.dir().join("x").join(name)).unwrap();
        let time = about
            .modified()
            .unwrap()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        format!("li{}ei{}ee", about.len(), time.as_nanos())
    };
    let mut had = vec![0xffu8; pieces.div_ceil(8)];
    had[0] &= !0x20;
    *had.last_mut().unwrap() <<= (8 - pieces % 8) % 8;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let files: String = ["a", "b", "c"].map(state).concat();
    let mut old = format!(
        "d6:!parts0:7:boot id36:{}5:filesl{files}e3:had{}:",
        boot.trim(),
        had.len()
    )
    .into_bytes();
    old.extend(had);
    old.extend(b"9:info hash20:");
    old.extend(place.torrent.info_hash);
    old.extend(b"6:wanted1:\xe0e");
    fs::write(place.dir().join("x.storrent"), old).unwrap();
    let end = place.fetch(&Seed::of(&place.torrent).start());
    let have = end.one("checked")["have_pieces"].as_u64();
    assert_eq!(have, Some(pieces as u64 - 1));
}

/// The record does not vouch for files that the user changes just before Ctrl-C.
#[test]
fn an_interrupted_run_vouches_for_what_it_sees() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 4] = [
        ("removed", |path| fs::remove_file(path).unwrap()),
        ("cut", |path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(100).unwrap();
        }),
        ("replaced", |path| {
            fs::write(path.with_extension("new"), vec![9; 500_000]).unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        }),
        ("all removed", |path| {
            fs::remove_dir_all(path.parent().unwrap()).unwrap()
        }),
    ];
    for (name, harm) in harms {
        let place = Place::new(spec());
        let a = place.torrent.pieces_of(1).end;
        let first = Seed::of(&place.torrent).having(|piece| piece < a).start();
        let mut run = place.download().peers(&[first.addr]).start();
        has(&mut run, (a * PIECE) as u64 - 1);
        harm(&place.dir().join("x/a"));
        run.kill(Signal::INT);
        run.wait().expect(130);
        for options in [&["-f", "1"][..], &[]] {
            let seed = Seed::of(&place.torrent).start();
            let run = place.download().args(options).peers(&[seed.addr]).run();
            assert_eq!(run.code, Some(0), "{name}: {run:#?}");
        }
        place.torrent.assert_whole(&place.dir());
    }
}

/// A file that `-f` leaves out is the user's, whatever an earlier run wanted, if it differs from
/// what that run left.
#[test]
fn what_is_not_asked_for_is_not_looked_at() {
    type Put = fn(&Path);
    let puts: [(&str, Put); 3] = [
        ("a longer file", |path| {
            fs::write(path, vec![9; 800_000]).unwrap()
        }),
        ("a folder", |path| fs::create_dir(path).unwrap()),
        ("a link", |path| {
            std::os::unix::fs::symlink("/etc/passwd", path).unwrap()
        }),
    ];
    for (name, put) in puts {
        let place = Place::new(spec());
        let half = Seed::of(&place.torrent).budget(20).start();
        let mut run = place
            .download()
            .args(["-f", "2"])
            .peers(&[half.addr])
            .start();
        has(&mut run, PIECE as u64);
        run.kill(Signal::INT);
        run.wait().expect(130);
        let path = place.dir().join("x/b");
        fs::remove_file(&path).unwrap();
        put(&path);
        let before = fs::read(&path).ok();
        let seed = Seed::of(&place.torrent).start();
        let end = place.download().args(["-f", "1"]).peers(&[seed.addr]).run();
        assert_eq!(end.code, Some(0), "{name}: {end:#?}");
        assert_eq!(fs::read(&path).ok(), before, "{name}");
        let a = fs::read(place.dir().join("x/a")).unwrap();
        assert_eq!(a, place.torrent.data[..a.len()], "{name}");
        assert_eq!(a.len(), 500_000);
    }
}

/// A file at another file's second name is the user's here.
#[test]
fn a_second_name_is_taken_only_where_the_first_is_refused() {
    let spec = Spec::multi("t", &[("a:b.txt", 20), ("c", 50_000)]);
    for content in [&b"my own notes"[..], &[7; 90]] {
        let place = Place::new(spec.clone());
        let own = place.dir().join("t/a_b.txt");
        fs::create_dir_all(place.dir().join("t")).unwrap();
        fs::write(&own, content).unwrap();
        place
            .download()
            .peers(&[Seed::of(&place.torrent).start().addr])
            .run()
            .expect(0);
        assert_eq!(fs::read(&own).unwrap(), content);
        fs::remove_file(&own).unwrap();
        place.torrent.assert_whole(&place.dir());
    }
}

/// In the middle of a download, somebody moves the record away and puts another file in its place.
#[test]
fn a_file_in_the_place_of_the_record_stays() {
    let place = Place::new(spec());
    let gate = Gate::new();
    let seed = Seed::of(&place.torrent).hold(&gate).start();
    let mut run = place.download().peers(&[seed.addr]).start();
    let path = place.dir().join("x.storrent");
    run.event("checked");
    fs::rename(&path, place.dir().join("away")).unwrap();
    fs::write(&path, "my own film").unwrap();
    gate.open();
    run.event("complete");
    run.wait().expect(0);
    assert_eq!(fs::read(&path).unwrap(), b"my own film");
}
