//! Torrent files that are broken or mean harm are refused at once with a message, or made harmless.
//! Nothing is ever written outside the folder.

use crate::support::bencode::{Value, dict};
use crate::support::content::{Spec, Torrent, metainfo, tree};
use crate::support::peer::Seed;
use crate::support::place::Place;
use crate::support::program::{Outcome, Storrent};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Whatever the folder contains, nothing is written through a link.
#[test]
fn symlinks_in_the_folder() {
    use std::os::unix::fs::symlink;
    let outside = |place: &Place| place.temp.path().join("outside");
    /// Makes a link in the first folder to (or into) the second.
    type Link = fn(&Path, &Path);
    let cases: [(&str, Link); 4] = [
        ("the torrent's folder", |dir, to| {
            symlink(to, dir.join("x")).unwrap()
        }),
        ("a folder in it", |dir, to| {
            fs::create_dir(dir.join("x")).unwrap();
            symlink(to, dir.join("x/b")).unwrap();
        }),
        ("a file in it", |dir, to| {
            fs::create_dir(dir.join("x")).unwrap();
            symlink(to.join("target"), dir.join("x/a")).unwrap();
        }),
        ("the resume file", |dir, to| {
            symlink(to.join("target"), dir.join("x.storrent")).unwrap()
        }),
    ];
    for (what, link) in cases {
        let place = Place::new(Spec::multi("x", &[("a", 50_000), ("b/c", 5)]));
        let seed = Seed::of(&place.torrent).start();
        fs::create_dir(outside(&place)).unwrap();
        fs::write(outside(&place).join("target"), "mine").unwrap();
        fs::create_dir(place.dir()).unwrap();
        link(&place.dir(), &outside(&place));
        let end = place
            .download()
            .arg("--overwrite")
            .peers(&[seed.addr])
            .run();
        assert!(matches!(end.code, Some(0 | 1)), "{what}: {end:#?}");
        assert!(!end.stderr.contains("panicked"), "{what}: {end:#?}");
        let left = tree(&outside(&place));
        assert_eq!(
            left,
            ["target".into()].into(),
            "{what}: written through the link"
        );
        assert_eq!(
            fs::read(outside(&place).join("target")).unwrap(),
            b"mine",
            "{what}"
        );
    }
}

/// Names that would lead out of the folder, or are none: they are made safe, reported, and kept
/// apart.
#[test]
fn unsafe_names() {
    let names: [&[&str]; 9] = [
        &["..", "..", "escaped"],
        &["/etc/absolute"],
        &["a/b"],
        &["."],
        &[""],
        &["nul\0byte"],
        &["bell\u{7}"],
        &["A long name, of "],
        &["x", "..", "y"],
    ];
    let long = "l".repeat(300);
    for name in ["fine", "..", "/", "../../up", ""] {
        let mut files: Vec<Value> = Vec::new();
        let mut data = Vec::new();
        for (i, path) in names
            .iter()
            .copied()
            .chain([&[long.as_str()][..]])
            .enumerate()
        {
            let path: Vec<Value> = path.iter().map(|part| (*part).into()).collect();
            files.push(dict([("length", Value::Int(100)), ("path", path.into())]));
            data.extend([i as u8; 100]);
        }
        // The same name twice, and a safe one to which another may be changed.
        for i in [100, 101] {
            let path = vec!["twice".into()];
            files.push(dict([("length", Value::Int(100)), ("path", path.into())]));
            data.extend([i; 100]);
        }
        let hashes = crate::support::sha1(&data);
        let info = dict([
            ("files", files.into()),
            ("name", name.into()),
            ("piece length", Value::Int(16_384)),
            ("pieces", hashes.as_slice().into()),
        ]);
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("t.torrent");
        fs::write(&file, metainfo(&info, &[], &[])).unwrap();
        let info = info.encode();
        let torrent = Arc::new(Torrent {
            files: vec![],
            piece_length: 16_384,
            data: data.clone(),
            info_hash: crate::support::sha1(&info),
            info,
            metainfo: vec![],
        });
        let seed = Seed::of(&torrent).start();
        let dir = temp.path().join("deep/down");
        let run = Storrent::download(&dir)
            .arg(&file)
            .peers(&[seed.addr])
            .run()
            .expect(0);
        assert!(
            !run.all("warning").is_empty(),
            "the change is said: {run:#?}"
        );
        let outside: Vec<_> = tree(temp.path())
            .into_iter()
            .filter(|p| !p.starts_with("deep/down"))
            .collect();
        assert_eq!(
            outside,
            [Path::new("t.torrent")],
            "{name:?}: outside the folder"
        );
        let mut found: Vec<u8> = Vec::new();
        for path in tree(&dir) {
            let bytes = fs::read(dir.join(path)).unwrap();
            assert!(bytes.len() == 100 && bytes.iter().all(|b| *b == bytes[0]));
            found.push(bytes[0]);
        }
        found.sort_unstable();
        let all: Vec<u8> = data.chunks(100).map(|chunk| chunk[0]).collect();
        assert_eq!(found, all, "{name:?}: every file has a path of its own");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "all in one folder");
    }
}

/// A torrent must not control the user's terminal.
#[test]
fn control_characters_are_escaped() {
    let temp = tempfile::tempdir().unwrap();
    let mut file = Spec::single("x", 5).build().metainfo.clone();
    let (Value::Dict(mut entries), _) = Value::decode(&file).unwrap() else {
        panic!()
    };
    entries.insert(b"comment".into(), "\u{1b}[31mred\u{7}\u{9b}".into());
    file = Value::Dict(entries).encode();
    let path = temp.path().join("x.torrent");
    fs::write(&path, file).unwrap();
    let text = Storrent::new()
        .arg("show")
        .arg(&path)
        .run()
        .expect(0)
        .stdout;
    assert!(text.contains("red"), "{text}");
    let control = |c: &char| c.is_control() && *c != '\n' && *c != '\t';
    assert_eq!(text.chars().find(control), None, "{text:?}");
}

/// Torrents that must be refused at once with a message.
fn broken_torrents() -> Vec<(String, Vec<u8>)> {
    let good = Spec::multi("broken", &[("a", 40_000), ("b/c", 50_000)])
        .tracker("http://x.invalid/announce")
        .build();
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let whole = &good.metainfo;
    for cut in (0..whole.len()).step_by(whole.len() / 60) {
        all.push((format!("cut at byte {cut}"), whole[..cut].into()));
    }
    let (info, _) = Value::decode(&good.info).unwrap();
    let mut change = |what: &str, key: &str, value: Option<Value>| {
        let mut changed = info.clone();
        let Value::Dict(entries) = &mut changed else {
            unreachable!()
        };
        match value {
            Some(value) => entries.insert(key.into(), value),
            None => entries.remove(key.as_bytes()),
        };
        all.push((format!("{what}: {key}"), metainfo(&changed, &[], &[])));
    };
    for key in ["name", "piece length", "pieces", "files"] {
        change("missing", key, None);
        change("a list", key, Some(vec![Value::Int(1)].into()));
        change("a dictionary", key, Some(dict([("x", Value::Int(1))])));
    }
    for n in [0, -1, i64::MIN, i64::MAX] {
        change(&format!("{n}"), "piece length", Some(Value::Int(n)));
    }
    change("text", "piece length", Some("32768".into()));
    change("number", "pieces", Some(Value::Int(3)));
    change("number", "name", Some(Value::Int(3)));
    for len in [0, 1, 19, 20, 41, 59, 61, 80] {
        change(
            &format!("{len} bytes"),
            "pieces",
            Some(vec![7u8; len].as_slice().into()),
        );
    }
    change("empty", "files", Some(Vec::new().into()));
    change("a text", "files", Some("a".into()));
    let file = |length: Value, path: Value| dict([("length", length), ("path", path)]);
    let path = || Value::from(vec!["a".into()]);
    let bad_files = [
        ("negative length", file(Value::Int(-1), path())),
        ("huge length", file(Value::Int(i64::MAX), path())),
        ("length is text", file("5".into(), path())),
        ("path is text", file(Value::Int(90_000), "a".into())),
        (
            "path of numbers",
            file(Value::Int(90_000), vec![Value::Int(1)].into()),
        ),
        ("no length", dict([("path", path())])),
        ("no path", dict([("length", Value::Int(90_000))])),
        ("a number", Value::Int(1)),
    ];
    for (what, file) in bad_files {
        change(what, "files", Some(vec![file].into()));
    }
    let huge = || file(Value::Int(i64::MAX), path());
    change(
        "sum overflows",
        "files",
        Some(vec![huge(), huge(), huge()].into()),
    );
    let text = |what: &str, bytes: &[u8]| (what.to_string(), bytes.to_vec());
    all.extend([
        text(
            "a web page",
            b"<!DOCTYPE html><html><title>404</title></html>",
        ),
        text("gzip", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]),
        text("zeros", &[0; 1000]),
        text("a list", b"l4:infoe"),
        text("a number", b"i5e"),
        text("a text", b"4:info"),
        text("an empty dictionary", b"de"),
        text("info is a number", b"d4:infoi5ee"),
        text("info is a text", b"d4:info3:abce"),
        text("info is empty", b"d4:infodee"),
        text("info twice", b"d4:infode4:infodee"),
        text("length prefix beyond the end", b"d4:info999999999999:x"),
        text(
            "length prefix beyond 64 bits",
            b"d4:info99999999999999999999999:x",
        ),
        text("negative length prefix", b"d4:info-5:abcdee"),
        text("number without end", b"d4:infoi123456"),
        text("number without digits", b"d4:infod6:lengthie4:name1:xee"),
        text(
            "number beyond 64 bits",
            b"d4:infod6:lengthi99999999999999999999e4:name1:xee",
        ),
        text("a key that is no text", b"di5e4:infoe"),
        text("an odd dictionary", b"d4:infoe"),
        text(
            "only v2",
            b"d4:infod9:file treede12:meta versioni2e4:name1:x12:piece lengthi16384eee",
        ),
    ]);
    for (what, open) in [("lists", "l"), ("dictionaries", "d1:a")] {
        for depth in [200, 20_000, 1_000_000] {
            all.push(text(
                &format!("{depth} nested {what}"),
                open.repeat(depth).as_bytes(),
            ));
            let inside = format!("d4:info{}", open.repeat(depth));
            all.push(text(
                &format!("{depth} nested {what} in info"),
                inside.as_bytes(),
            ));
        }
    }
    all
}

#[test]
fn broken_torrents_end_in_1() {
    let temp = tempfile::tempdir().unwrap();
    let all = broken_torrents();
    assert!(all.len() >= 100, "{}", all.len());
    for (what, bytes) in all {
        let path = temp.path().join("broken.torrent");
        fs::write(&path, bytes).unwrap();
        let end = Storrent::new().arg("show").arg(&path).run();
        assert_refused(&what, &end);
        assert_eq!(end.stdout, "", "{what}");
    }
    assert_eq!(tree(temp.path()).len(), 1);
}

#[test]
fn broken_torrents_are_not_downloaded() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("dir");
    for (what, bytes) in broken_torrents().into_iter().step_by(12) {
        let path = temp.path().join("broken.torrent");
        fs::write(&path, bytes).unwrap();
        assert_refused(&what, &Storrent::download(&dir).arg(&path).run());
        let check = Storrent::new().args(["check", "-d"]).arg(&dir).arg(&path);
        assert_refused(&what, &check.run());
        assert_eq!(tree(&dir).len(), 0, "{what}");
    }
}

fn assert_refused(what: &str, end: &Outcome) {
    assert_eq!(end.code, Some(1), "{what}: {end:#?}");
    assert!(end.stderr.starts_with("storrent: "), "{what}: {end:#?}");
    assert!(!end.stderr.contains("panicked"), "{what}: {end:#?}");
}

#[test]
fn a_torrent_beyond_32_mib_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("huge.torrent");
    // Valid but for its size: a comment fills it.
    let file = Spec::single("x", 5).build().metainfo.clone();
    let (Value::Dict(mut entries), _) = Value::decode(&file).unwrap() else {
        panic!()
    };
    entries.insert(b"comment".into(), vec![b'x'; 33 << 20].as_slice().into());
    fs::write(&path, Value::Dict(entries).encode()).unwrap();
    Storrent::new().arg("show").arg(&path).run().expect(1);
    assert!(Path::new(&path).exists());
}
