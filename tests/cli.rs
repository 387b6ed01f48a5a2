//! The command line: exit statuses, help, `show`, `check` and `create`, and what becomes
//! of files that are no torrents. Nothing here touches the network.

mod support;

use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;
use support::bencode::{Value, dict};
use support::content::{Spec, metainfo, tree};
use support::program::{Outcome, Storrent};
use support::{hex, sha1};

fn storrent(words: &[&str]) -> Outcome {
    Storrent::new().args(words).run()
}

#[test]
fn help_and_version() {
    for words in [
        &["--help"][..],
        &["-h"],
        &["show", "--help"],
        &["seed", "-h"],
    ] {
        let end = storrent(words).expect(0);
        assert!(
            end.stdout.contains("Usage") && end.stderr.is_empty(),
            "{words:?}: {end:#?}"
        );
    }
    let end = storrent(&["--version"]).expect(0);
    assert_eq!(
        end.stdout.trim(),
        concat!("storrent ", env!("CARGO_PKG_VERSION"))
    );
    let help = storrent(&["--help"]).stdout;
    for word in [
        "show", "check", "create", "seed", "demo", "--dir", "--files", "--peer",
    ] {
        assert!(help.contains(word), "{word} is not in the help:\n{help}");
    }
}

#[test]
fn wrong_command_lines_end_in_2() {
    let lines: [&[&str]; 18] = [
        &[],
        &["--no-such-option", "x.torrent"],
        &["-p", "65536", "x.torrent"],
        &["-p", "many", "x.torrent"],
        &["-d"],
        &["--bind", "not an address", "x.torrent"],
        &["--max-peers", "-1", "x.torrent"],
        &["--download-limit", "5X", "x.torrent"],
        &["--upload-limit", "", "x.torrent"],
        &["--seed-ratio", "lots", "x.torrent"],
        &["--seed-time", "-1", "x.torrent"],
        &["--stall-timeout", "soon", "x.torrent"],
        &["--encryption", "maybe", "x.torrent"],
        &["--peer", "nohost", "x.torrent"],
        &["-f", "1", "x.torrent", "y.torrent"],
        &["-f", "3-1", "x.torrent"],
        &["show"],
        &["create"],
    ];
    for words in lines {
        let end = storrent(words);
        assert_eq!(end.stdout, "", "{words:?}");
        end.expect(2);
    }
}

#[test]
fn a_file_number_past_the_end_ends_in_2() {
    let temp = tempfile::tempdir().unwrap();
    let torrent = Spec::multi("two", &[("a", 5), ("b", 5)]).build();
    for list in ["3", "0", "1,9"] {
        let command = Storrent::download(temp.path()).args(["-f", list]);
        command.arg(torrent.save(temp.path())).run().expect(2);
    }
}

#[test]
fn sources_that_cannot_be_read_end_in_1() {
    let temp = tempfile::tempdir().unwrap();
    let missing = temp.path().join("missing.torrent");
    let end = Storrent::download(temp.path())
        .arg(&missing)
        .run()
        .expect(1);
    let name = missing.to_str().unwrap();
    assert!(end.stderr.contains(name), "names the file: {}", end.stderr);
    assert_eq!(end.one("error")["source"], name);
    for source in [
        "magnet:?dn=x",
        "magnet:?xt=urn:btih:123",
        "ftp://127.0.0.1/x.torrent",
    ] {
        Storrent::download(temp.path()).arg(source).run().expect(1);
    }
    for command in ["show", "check", "seed"] {
        Storrent::new().arg(command).arg(&missing).run().expect(1);
    }
    let folder = Storrent::new().arg("show").arg(temp.path()).run();
    folder.expect(1);
}

/// All the ways to give an option, on a command that ends by itself.
#[test]
fn forms_of_options() {
    let temp = tempfile::tempdir().unwrap();
    let torrent = Spec::single("file", 100_000).build();
    let file = torrent.save(temp.path());
    let there = temp.path().join("there");
    torrent.write(&there);
    let dir = there.to_str().unwrap();
    let file = file.to_str().unwrap();
    let (joined, short, long) = (
        format!("--dir={dir}"),
        format!("-d{dir}"),
        format!("--port={}", 0),
    );
    let off = ["--no-dht", "--no-lsd", "-q"];
    let lines: [&[&str]; 5] = [
        &[&joined, &long, file],
        &[&short, "-p0", file],
        &["-d", dir, "-p", "0", "--", file],
        &[file, "--dir", dir, "-p", "0"],
        &["-vv", "--port", "0", "-d", dir, file],
    ];
    for words in lines {
        Storrent::new().args(off).args(words).run().expect(0);
    }
    // Nothing to do and -q: nothing to say.
    let end = Storrent::new().args(off).args(lines[0]).run();
    assert_eq!((end.stdout.as_str(), end.stderr.as_str()), ("", ""));
}

#[test]
fn show_tells_what_a_torrent_holds() {
    let temp = tempfile::tempdir().unwrap();
    let torrent = Spec::multi("Größe", &[("a/x.bin", 40_000), ("b.txt", 3), ("c", 32_768)])
        .aligned()
        .private()
        .tier(&[
            "http://one.invalid/announce",
            "udp://two.invalid:80/announce",
        ])
        .tracker("http://three.invalid/announce")
        .webseed("http://seed.invalid/")
        .build();
    let file = torrent.save(temp.path());
    let shown = Storrent::new()
        .args(["show", "--json"])
        .arg(&file)
        .run()
        .expect(0)
        .json();
    assert_eq!(shown["name"], "Größe");
    assert_eq!(shown["info_hash"], torrent.hex());
    assert_eq!(shown["total_bytes"], torrent.payload());
    assert_eq!(shown["piece_length"], 32_768);
    assert_eq!(shown["pieces"], torrent.pieces());
    assert_eq!(shown["private"], true);
    let one = [
        "http://one.invalid/announce",
        "udp://two.invalid:80/announce",
    ];
    assert_eq!(
        shown["trackers"],
        json!([one, ["http://three.invalid/announce"]])
    );
    assert_eq!(shown["webseeds"], json!(["http://seed.invalid/"]));
    for key in ["comment", "created_by", "creation_date"] {
        assert_eq!(shown[key], Json::Null, "{key}");
    }
    let magnet = shown["magnet"].as_str().unwrap();
    assert!(magnet.starts_with(&torrent.magnet()), "{magnet}");
    let files: Vec<(u64, u64)> = shown["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["number"].as_u64().unwrap(), f["length"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        files,
        [(1, 40_000), (2, 3), (3, 32_768)],
        "padding has no number"
    );
    let first = shown["files"][0]["path"].as_str().unwrap();
    assert!(first.ends_with("a/x.bin"), "{first}");

    let text = Storrent::new()
        .arg("show")
        .arg(&file)
        .run()
        .expect(0)
        .stdout;
    for word in [
        "Größe",
        &torrent.hex(),
        "x.bin",
        "three.invalid",
        "seed.invalid",
    ] {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }
    let stdin = Storrent::new()
        .args(["show", "--json", "-"])
        .stdin(&torrent.metainfo);
    assert_eq!(stdin.run().expect(0).json(), shown);
}

/// What a torrent says must not drive the user's terminal.
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

#[test]
fn create_then_show_then_check() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("things");
    fs::create_dir_all(folder.join("b")).unwrap();
    fs::create_dir(folder.join("empty")).unwrap();
    // In the byte order of their paths; 'b' the folder comes after 'a' and before 'c'.
    let names = ["B", "a", "b/one", "b/two", "c"];
    let contents = [
        vec![1; 50_000],
        vec![],
        vec![2; 70_000],
        vec![3; 1],
        vec![4; 99_999],
    ];
    for (name, content) in names.iter().zip(&contents) {
        fs::write(folder.join(name), content).unwrap();
    }
    std::os::unix::fs::symlink("a", folder.join("link")).unwrap();
    let create = |more: &[&str]| {
        let command = Storrent::new().args(["create", "things"]).args(more);
        command.current_dir(temp.path()).run()
    };
    let options = [
        "-t",
        "http://t.invalid/a",
        "-w",
        "http://w.invalid/",
        "--comment",
        "hey",
    ];
    let said = create(&[&options[..], &["--piece-length", "16K", "--private"]].concat()).expect(0);
    let path = temp.path().join("things.torrent");
    let file = fs::read(&path).unwrap();
    let (torrent, rest) = Value::decode(&file).unwrap();
    assert!(rest.is_empty());
    let info = torrent.get("info").unwrap();
    let info_hash = hex(&sha1(&info.encode()));
    assert!(
        said.stdout.contains(&info_hash) && said.stdout.contains("magnet:?"),
        "{said:#?}"
    );
    assert!(
        said.stderr.contains("link") || said.stdout.contains("link"),
        "{said:#?}"
    );
    let all = contents.concat();
    let pieces: Vec<u8> = all.chunks(16 << 10).flat_map(sha1).collect();
    assert_eq!(info.get("pieces").and_then(Value::bytes), Some(&pieces[..]));
    assert_eq!(info.get("private").and_then(Value::int), Some(1));
    let files = info.get("files").and_then(Value::list).unwrap();
    let text = |v: &Value| String::from_utf8(v.bytes().unwrap().into()).unwrap();
    let paths: Vec<String> = files
        .iter()
        .map(|f| {
            f.get("path")
                .unwrap()
                .list()
                .unwrap()
                .iter()
                .map(text)
                .collect::<Vec<_>>()
        })
        .map(|p| p.join("/"))
        .collect();
    assert_eq!(paths, names);

    let show = Storrent::new()
        .args(["show", "--json"])
        .arg(&path)
        .run()
        .expect(0)
        .json();
    assert_eq!(
        (&show["info_hash"], &show["comment"]),
        (&json!(info_hash), &json!("hey"))
    );
    assert_eq!(show["total_bytes"], all.len());

    // A file is never overwritten, and the same input gives the same info hash.
    create(&[]).expect(1);
    assert_eq!(fs::read(&path).unwrap(), file);
    let other = temp.path().join("other.torrent");
    let again = create(&[
        "--piece-length",
        "16K",
        "--private",
        "-o",
        other.to_str().unwrap(),
    ]);
    assert!(again.expect(0).stdout.contains(&info_hash));

    let check = || {
        Storrent::new()
            .args(["check", "--json", "-d"])
            .arg(temp.path())
            .arg(&path)
            .run()
    };
    let whole = check().expect(0).json();
    assert_eq!(whole["info_hash"], info_hash);
    assert_eq!(
        (&whole["whole"], &whole["have_pieces"]),
        (&json!(true), &whole["pieces"])
    );
    assert_eq!(whole["have_bytes"], whole["total_bytes"]);
    fs::write(folder.join("c"), vec![5; 99_999]).unwrap();
    let broken = check();
    assert_eq!(broken.code, Some(1), "{broken:#?}");
    let broken = broken.json();
    assert_eq!(broken["whole"], false);
    let whole: Vec<bool> = broken["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["whole"] == true)
        .collect();
    // The third shares its last piece with the broken one, so it cannot be vouched for.
    assert_eq!(whole[..2], [true, true], "{broken}");
    assert!(!whole[4] && broken["have_pieces"].as_u64() < broken["pieces"].as_u64());
}

#[test]
fn create_refuses() {
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir(temp.path().join("empty")).unwrap();
    fs::write(temp.path().join("file"), "x").unwrap();
    let create = |words: &[&str]| {
        Storrent::new()
            .arg("create")
            .args(words)
            .current_dir(temp.path())
            .run()
    };
    create(&["empty"]).expect(1);
    create(&["missing"]).expect(1);
    for size in ["15K", "8K", "128M", "17000", "x"] {
        create(&["file", "--piece-length", size]).expect(2);
    }
    let left = tree(temp.path());
    assert_eq!(left.len(), 1, "nothing was made: {left:?}");
}

#[test]
fn show_saves_a_copy() {
    let temp = tempfile::tempdir().unwrap();
    let torrent = Spec::single("x", 5).build();
    let copy = temp.path().join("copy.torrent");
    let show = Storrent::new()
        .arg("show")
        .arg(torrent.save(temp.path()))
        .arg("-o")
        .arg(&copy);
    show.run().expect(0);
    let copied = Storrent::new()
        .args(["show", "--json"])
        .arg(&copy)
        .run()
        .expect(0)
        .json();
    assert_eq!(copied["info_hash"], torrent.hex());
}

#[test]
fn check_of_nothing_and_of_a_part() {
    let temp = tempfile::tempdir().unwrap();
    let torrent = Spec::multi("t", &[("a", 100_000), ("b", 100_000)]).build();
    let file = torrent.save(temp.path());
    let data = temp.path().join("data");
    let check = || {
        Storrent::new()
            .args(["check", "--json", "-d"])
            .arg(&data)
            .arg(&file)
            .run()
    };
    let none = check();
    assert_eq!(
        (none.code, &none.json()["have_pieces"]),
        (Some(1), &json!(0))
    );
    assert!(!data.exists(), "check makes no folder");
    torrent.write(&data);
    fs::remove_file(data.join("t/b")).unwrap();
    let part = check();
    assert_eq!(part.code, Some(1));
    let have = torrent.pieces_on_disk(&data).iter().filter(|p| **p).count();
    assert_eq!(part.json()["have_pieces"], have);
    assert_eq!(tree(&data).len(), 1, "check writes nothing");
}

/// Every one of these must be refused, with a message, at once.
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

/// The same guard stands before the other commands.
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

#[test]
fn one_bad_source_does_not_keep_the_others() {
    let temp = tempfile::tempdir().unwrap();
    let torrent = Spec::single("good", 50_000).build();
    torrent.write(temp.path());
    let good = torrent.save(temp.path());
    let bad = temp.path().join("missing.torrent");
    let end = Storrent::download(temp.path())
        .arg(bad)
        .arg(good)
        .run()
        .expect(1);
    assert_eq!(end.one("complete")["info_hash"], torrent.hex());
}
