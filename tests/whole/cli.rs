//! The command line: exit statuses, help, `show`, `check` and `create`, and files that are no
//! torrents. Nothing here touches the network.

use crate::support::bencode::Value;
use crate::support::content::{Spec, tree};
use crate::support::program::{Outcome, Storrent};
use crate::support::{hex, sha1};
use serde_json::{Value as Json, json};
use std::fs;

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
        &["help"],
        &["help", "create"],
    ] {
        let end = storrent(words).expect(0);
        assert!(
            end.stdout.contains("Usage") && end.stderr.is_empty(),
            "{words:?}: {end:#?}"
        );
    }
    for word in ["-V", "--version"] {
        let version = concat!("storrent ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!(storrent(&[word]).expect(0).stdout, version);
    }
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

/// An unknown name is answered with the one that may be meant.
#[test]
fn what_was_meant() {
    let temp = tempfile::tempdir().unwrap();
    for (words, status, advice) in [
        (
            ["--sed", "x"],
            2,
            "did you mean --seed? see `storrent --help`",
        ),
        (["help", "crate"], 2, "did you mean create?"),
        (["-ox", "y"], 2, "no option -o: `storrent show`, "),
        (
            ["chek", "--no-dht"],
            1,
            "did you mean the command `storrent check`?",
        ),
    ] {
        let end = Storrent::new().args(words).current_dir(temp.path()).run();
        let end = end.expect(status);
        assert!(end.stderr.contains(advice), "{words:?}: {end:#?}");
    }
}

#[test]
fn the_environment_sets_defaults() {
    let temp = tempfile::tempdir().unwrap();
    let torrent = Spec::single("file", 100_000).build();
    let there = temp.path().join("there");
    torrent.write(&there);
    let file = torrent.save(temp.path());
    let check = |dir: &str| Storrent::new().arg("check").env("STORRENT_DIR", dir);
    let dir = there.to_str().unwrap();
    check(dir).arg(&file).run().expect(0);
    check("/no")
        .arg(&file)
        .arg("-d")
        .arg(&there)
        .run()
        .expect(0);
    let wrong = Storrent::new()
        .env("STORRENT_PORT", "many")
        .arg(&file)
        .run();
    let wrong = wrong.expect(2);
    assert!(
        wrong
            .stderr
            .starts_with("storrent: 'STORRENT_PORT' with value 'many': a port"),
        "{wrong:#?}"
    );
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
    // The third shares its last piece with the broken one, so nobody can vouch for it.
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

/// What `create` makes can be checked and seeded where it lies. If a name forbids that, `create`
/// makes nothing and names it.
#[test]
fn what_create_makes_is_found_again() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let stays = [
        "| a:b |",
        "a\\b",
        "... ",
        " x",
        "aux",
        "*?\"<>",
        "~",
        "-q",
        "é",
        "x\u{202e}y",
    ];
    let not = ["Icon\rx", "notes\n.txt", "a\tb", "\x7f", "\u{9b}31m"];
    let stays = stays.map(|name| (name.as_bytes(), true));
    let not = not.map(|name| (name.as_bytes(), false));
    let no_text: [(&[u8], bool); 2] = [(b"caf\xe9", false), (b"a_\xff_b", false)];
    for (name, stays) in stays.into_iter().chain(not).chain(no_text) {
        let temp = tempfile::tempdir().unwrap();
        let name = OsStr::from_bytes(name);
        let folder = temp.path().join("set");
        // As a file's name, a folder's, and the torrent's own.
        let (file, below) = (folder.join(name), folder.join("b").join(name).join("deep"));
        let whole = temp.path().join(name);
        for path in [&file, &below, &whole] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![7; 20_000]).unwrap();
        }
        for shared in [&folder, &whole] {
            let torrent = temp.path().join("made.torrent");
            let create = Storrent::new().args(["create", "-o"]).arg(&torrent);
            let made = create.arg("--").arg(shared).run();
            if !stays {
                let made = made.expect(1);
                let escaped = human(name);
                assert!(made.stderr.contains(&*escaped), "{escaped}: {made:#?}");
                assert!(made.stderr.contains("rename it"), "{made:#?}");
                assert!(!torrent.exists());
                continue;
            }
            made.expect(0);
            let here = |job: &str| Storrent::new().arg(job).arg("-d").arg(temp.path());
            here("check").arg(&torrent).run().expect(0);
            let seed = here("seed").args(["--no-dht", "--no-lsd", "-p", "0", "--seed-time", "0"]);
            seed.arg(&torrent).run().expect(0);
            fs::remove_file(&torrent).unwrap();
        }
    }
}

/// Returns a name as it is printed.
fn human(name: &std::ffi::OsStr) -> String {
    let text = name.to_string_lossy();
    let escape = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// `create` fails at once where it can: hashing this file would take longer than any test waits.
#[test]
fn create_fails_before_the_long_work() {
    let temp = tempfile::tempdir().unwrap();
    let set = temp.path().join("set");
    fs::create_dir(&set).unwrap();
    let huge = fs::File::create(set.join("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    fs::write(temp.path().join("there"), "mine").unwrap();
    fs::create_dir(temp.path().join("folder")).unwrap();
    let long = "x".repeat(256);
    for (output, why) in [
        (
            "no/such/x.torrent",
            "there is no such folder; make it first",
        ),
        ("there/x.torrent", "Not a directory"),
        ("there", "it is there already and is not overwritten"),
        ("folder", "it is there already and is not overwritten"),
        ("/proc/x.torrent", "cannot save /proc/x.torrent"),
        (&long, "too long"),
    ] {
        let create = Storrent::new().args(["create", "set", "-o", output]);
        let end = create.current_dir(temp.path()).run().expect(1);
        assert!(end.stderr.contains(why), "{output}: {end:#?}");
    }
    let create = |words: &[&str]| {
        let create = Storrent::new().args(["create", "set"]).args(words);
        create.current_dir(temp.path()).run().expect(1).stderr
    };
    let many = create(&["--piece-length", "16K"]);
    assert!(many.contains("try a larger --piece-length"), "{many}");
    fs::write(set.join("bad\nname"), "x").unwrap();
    let name = create(&[]);
    assert!(name.contains("set/bad\\nname"), "{name}");
    assert_eq!(tree(temp.path()).len(), 3, "nothing was made");
    assert_eq!(fs::read(temp.path().join("there")).unwrap(), b"mine");
}

/// `show` checks `-o` before it searches for peers with the metadata.
#[test]
fn show_fails_before_the_search() {
    let link = format!("magnet:?xt=urn:btih:{}", "a".repeat(40));
    let show = ["show", &link, "--no-dht", "-o", "/no/such/folder/x.torrent"];
    let end = storrent(&show).expect(1);
    assert!(end.stderr.contains("no such folder"), "{end:#?}");
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
