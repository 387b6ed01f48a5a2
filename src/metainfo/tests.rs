//! Good, odd and hostile torrents, and what must become of each.

use super::*;
use crate::compose::{self, Content, Outside};
use proptest::prelude::*;

const LETTER: &[u8] = include_bytes!("../../fixtures/letter.torrent");
const WALK: &[u8] = include_bytes!("../../fixtures/walk.torrent");
const HYBRID: &[u8] = include_bytes!("../../fixtures/hybrid.torrent");
const VERSION2: &[u8] = include_bytes!("../../fixtures/version2.torrent");

/// The paths of the saved files, with `*` after a program.
fn saved(metainfo: &Metainfo) -> Vec<String> {
    let files = metainfo.files.iter().filter(|file| !file.pad);
    files
        .map(|file| file.path.join("/") + if file.executable { "*" } else { "" })
        .collect()
}

#[test]
fn the_fixtures() {
    let letter = parse(LETTER).unwrap();
    let content = include_bytes!("../../fixtures/content/letter.txt");
    assert_eq!(
        letter.info_hash.to_string(),
        "ff5c84180a9641b62212d463683f512a2eb2fc77"
    );
    assert_eq!(
        (letter.name.as_str(), letter.multi_file),
        ("letter.txt", false)
    );
    assert_eq!(letter.total_bytes(), content.len() as u64);
    for (piece, data) in letter.layout.all_pieces().zip(content.chunks(128)) {
        assert_eq!(letter.hash(piece), PieceHash::from(Sha1::digest(data)));
    }
    assert_eq!(letter.trackers, [["http://tracker.example/announce"]]);
    assert_eq!(letter.comment.as_deref(), Some("made for the tests"));
    assert_eq!(
        (letter.creation_date, letter.private),
        (Some(1_700_000_000), false)
    );

    let walk = parse(WALK).unwrap();
    assert_eq!(
        walk.info_hash.to_string(),
        "1bb764a12143f3979dd9a12de6af4e7d01f5ea0c"
    );
    assert_eq!(
        saved(&walk),
        ["walk/1.txt", "walk/deep/two.sh*", "walk/empty"]
    );
    let tiers = [
        vec!["http://a.example/announce", "udp://b.example:6969"],
        vec!["http://c.example/announce"],
    ];
    assert_eq!(walk.trackers, tiers);
    assert_eq!(walk.webseeds, ["http://mirror.example/"]);
    assert!(walk.private && walk.multi_file && walk.warnings.is_empty());
    assert_eq!(from_info(walk.info()).unwrap().info_hash, walk.info_hash);

    let hybrid = parse(HYBRID).unwrap();
    assert_eq!(
        hybrid.info_hash.to_string(),
        "bc69903d35ec49c78fed7520a9dccfb36a4d066a"
    );
    assert_eq!(
        saved(&hybrid),
        ["walk/1.txt", "walk/deep/two.sh", "walk/empty"]
    );
    let numbers: Vec<_> = hybrid.files.iter().map(|file| file.number).collect();
    assert_eq!(numbers, [Some(1), None, Some(2), Some(3)]);
    assert_eq!((hybrid.total_bytes(), hybrid.layout.total()), (23, 16_403));

    assert!(matches!(parse(VERSION2), Err(MetainfoError::OnlyVersion2)));
}

fn torrent(info: &str) -> Vec<u8> {
    format!("d4:infod{info}ee").into_bytes()
}

/// The keys that every `info` needs besides the files, for one piece.
fn rest() -> String {
    format!(
        "4:name1:t12:piece lengthi16384e6:pieces20:{}",
        "h".repeat(20)
    )
}

/// A torrent with this list of files.
fn files(list: &str) -> Vec<u8> {
    torrent(&format!("5:filesl{list}e{}", rest()))
}

fn name(name: &str) -> Vec<u8> {
    let hash = "h".repeat(20);
    torrent(&format!(
        "6:lengthi9e4:name{name}12:piece lengthi9e6:pieces20:{hash}"
    ))
}

fn message(error: MetainfoError) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        message += &format!(": {error}");
        cause = error.source();
    }
    message
}

#[test]
fn what_is_left_over_or_doubled_changes_nothing() {
    let walk = parse(WALK).unwrap();
    for behind in [
        "\n",
        "\r\n",
        "\0\0\0",
        "# fetched on Monday",
        "e",
        "d4:infodee",
    ] {
        let bytes = [WALK, behind.as_bytes()].concat();
        let again = parse(&bytes).unwrap();
        assert_eq!(again.info_hash, walk.info_hash, "{behind:?}");
        assert_eq!(again.trackers, walk.trackers, "{behind:?}");
    }
    let whole = torrent(&format!("6:lengthi9e{}", rest()));
    let doubled = [
        b"d8:announce8:http://a7:comment1:x".as_slice(),
        &whole[1..whole.len() - 1],
        b"8:announce8:http://b7:comment1:ye",
    ]
    .concat();
    let (doubled, whole) = (parse(&doubled).unwrap(), parse(&whole).unwrap());
    assert_eq!(doubled.info_hash, whole.info_hash);
    assert_eq!(doubled.trackers, [["http://a"]], "the first counts");
    assert_eq!(doubled.comment.as_deref(), Some("x"));
    let info = [&**whole.info(), b"\n"].concat();
    assert!(from_info(&info).is_err(), "the hash is over all of it");
}

#[test]
fn what_is_refused() {
    let one = |keys: &str| torrent(&format!("{keys}{}", rest()));
    let raw = |text: &str| text.as_bytes().to_vec();
    let doubled = torrent(&format!("6:lengthi9e{}6:lengthi8e", rest()));
    let deep = one(&format!(
        "6:lengthi9e1:z{}{}",
        "l".repeat(40),
        "e".repeat(40)
    ));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            raw(""),
            "not a torrent: not valid bencode: cut short at byte 0",
        ),
        (raw("<html>"), "a value should begin at byte 0"),
        (raw("i1e"), "`info` is missing"),
        (raw("le"), "`info` is missing"),
        (raw("de"), "`info` is missing"),
        (raw("d4:infoi1ee"), "`info` is missing or not a dictionary"),
        (raw("d4:infolee"), "`info` is missing or not a dictionary"),
        (raw("d4:infodee"), "`name` is missing"),
        (WALK[..WALK.len() - 1].to_vec(), "cut short"),
        (one("6:lengthi09e"), "a badly written number"),
        (doubled, "a key twice within `info` (at byte "),
        (deep, "too many nested lists"),
        (vec![b'd'; 1 << 20], "a key that is not a string"),
        (vec![b'0'; MAX_TORRENT_LEN + 1], "at most 33554432"),
        (one(""), "`length` is missing"),
        (
            one("6:lengthi-1e"),
            "`length` is missing or not a number from 0",
        ),
        (
            one("6:length1:9"),
            "`length` is missing or not a number from 0",
        ),
        (
            one("6:lengthi9223372036854775808e"),
            "`length` is missing or not a number",
        ),
        (
            one("6:lengthi9223372036854775807e"),
            "pieces; at most 2097152",
        ),
        (
            one("6:lengthi16385e"),
            "20 bytes of piece hashes, but 2 pieces",
        ),
        (one("5:filesi1e"), "`files` is missing or not a list"),
        (files(""), "it holds no files"),
        (files("i1e"), "`length` of file 1 is missing"),
        (files("d4:pathl1:aee"), "`length` of file 1 is missing"),
        (
            files("d6:lengthi-9e4:pathl1:aee"),
            "`length` of file 1 is missing",
        ),
        (
            files("d6:lengthi9eed6:lengthi9e4:pathl1:aee"),
            "`path` of file 1 is missing",
        ),
        (
            files("d6:lengthi9e4:pathl1:aeed6:lengthi9e4:path1:ae"),
            "`path` of file 2 is missing",
        ),
        (
            files("d6:lengthi9e4:pathli1eee"),
            "`path` of file 1 is missing or not a list of names",
        ),
        (
            files(&"d6:lengthi9223372036854775807e4:pathl1:aee".repeat(3)),
            "more than any disk holds",
        ),
        (name("i1e"), "`name` is missing or not a string"),
        (
            torrent("6:lengthi9e4:name1:t6:pieces0:"),
            "`piece length` is missing",
        ),
        (
            torrent("6:lengthi9e4:name1:t12:piece lengthi0e6:pieces0:"),
            "piece length 0 is not",
        ),
        (
            torrent("6:lengthi9e4:name1:t12:piece lengthi-1e6:pieces0:"),
            "`piece length` is missing or not",
        ),
        (
            torrent("6:lengthi9e4:name1:t12:piece lengthi999999999e6:pieces0:"),
            "piece length 999999999",
        ),
        (
            torrent("6:lengthi9e4:name1:t12:piece lengthi9e"),
            "`pieces` is missing",
        ),
        (
            torrent("6:lengthi9e4:name1:t12:piece lengthi9e6:piecesle"),
            "`pieces` is missing",
        ),
        (
            torrent("6:lengthi9e4:name1:t12:piece lengthi9e6:pieces0:"),
            "0 bytes of piece hashes, but 1 pieces",
        ),
        (
            torrent("6:lengthi9e4:name1:t12:piece lengthi9e6:pieces19:hhhhhhhhhhhhhhhhhhh"),
            "19 bytes",
        ),
        (
            torrent("12:meta versioni2e4:name1:t12:piece lengthi9e"),
            "version 2 only",
        ),
    ];
    for (bytes, expected) in cases {
        let shown = bytes[..bytes.len().min(200)].escape_ascii();
        match parse(&bytes) {
            Err(error) => {
                let message = message(error);
                assert!(message.contains(expected), "{shown}: {message}");
            }
            Ok(_) => panic!("{shown}: was taken, but should be {expected}"),
        }
    }
}

#[test]
fn odd_files_and_names() {
    let one = |keys: &str| torrent(&format!("{keys}{}", rest()));
    let empty = "4:name1:t12:piece lengthi9e6:pieces";
    let cases: Vec<(Vec<u8>, &[&str], usize)> = vec![
        // The torrent, its saved files, and the number of warnings.
        (one("6:lengthi9e"), &["t"], 0),
        (one("4:attr1:x6:lengthi9e"), &["t*"], 0),
        (one("4:attr1:p6:lengthi9e"), &["t"], 0),
        (
            one("1:Zi18446744073709551615e1:yd1:\u{7f}lee6:lengthi9e"),
            &["t"],
            0,
        ),
        (
            one("5:filesld6:lengthi9e4:pathl1:aeee6:lengthi8e"),
            &["t/a"],
            0,
        ),
        (torrent(&format!("6:lengthi0e{empty}0:")), &["t"], 0),
        (
            torrent(&format!("6:lengthi0e{empty}20:hhhhhhhhhhhhhhhhhhhh")),
            &["t"],
            0,
        ),
        (
            torrent(&format!("5:filesld6:lengthi0e4:pathl1:aeee{empty}0:")),
            &["t/a"],
            0,
        ),
        (
            files("d6:lengthi9e4:pathl1:a1:beed4:attr2:hx6:lengthi0e4:pathl1:cee"),
            &["t/a/b", "t/c*"],
            0,
        ),
        (
            files("d6:lengthi9e4:pathl1:aeed6:lengthi9e4:pathl1:aee"),
            &["t/a", "t/a (2)"],
            1,
        ),
        (
            files("d6:lengthi9e4:pathl1:aeed6:lengthi9e4:pathl1:a1:bee"),
            &["t/a (2)", "t/a/b"],
            1,
        ),
        (
            files("d6:lengthi9e4:pathl2:..2:..6:passwdee"),
            &["t/__/__/passwd"],
            1,
        ),
        (
            files("d6:lengthi9e4:pathl11:/etc/passwdee"),
            &["t/_etc_passwd"],
            1,
        ),
        (files("d6:lengthi9e4:pathlee"), &["t/_"], 1),
        (files("d6:lengthi9e4:pathl0:1:aee"), &["t/_/a"], 1),
        (
            files("d4:attr1:p6:lengthi9eed6:lengthi9e4:pathl1:aee"),
            &["t/a"],
            0,
        ),
        (
            files("d6:lengthi9e4:pathl20:_____padding_file_0_eed6:lengthi9e4:pathl1:aee"),
            &["t/a"],
            0,
        ),
        (
            files("d4:attr1:p6:lengthi9eed4:attr1:p6:lengthi9ee"),
            &[],
            0,
        ),
        (
            files("d4:attr1:l4:pathl1:ae12:symlink pathl2:..eed6:lengthi9e4:pathl1:bee"),
            &["t/b"],
            1,
        ),
        (
            files("d6:lengthi9e4:pathl1:ae10:path.utf-8l2:\u{e9}ee"),
            &["t/\u{e9}"],
            0,
        ),
        (
            files("d6:lengthi9e4:pathl1:ae10:path.utf-8i1ee"),
            &["t/a"],
            0,
        ),
        (name("2:.."), &["__"], 1),
        (name("0:"), &["_"], 1),
        (name("3:a/b"), &["a_b"], 1),
        (name("1:a10:name.utf-82:\u{e9}"), &["\u{e9}"], 0),
        (name("1:a10:name.utf-8i1e"), &["a"], 0),
    ];
    for (bytes, expected, warnings) in cases {
        let shown = bytes.escape_ascii();
        let metainfo = parse(&bytes).unwrap_or_else(|e| panic!("{shown}: {}", message(e)));
        assert_eq!(saved(&metainfo), expected, "{shown}");
        assert_eq!(
            metainfo.warnings.len(),
            warnings,
            "{shown}: {:?}",
            metainfo.warnings
        );
        assert_eq!(metainfo.files.len(), metainfo.layout.files());
    }
    let latin1 = String::from_utf8(name("1:?")).unwrap().into_bytes();
    let latin1: Vec<u8> = latin1
        .iter()
        .map(|b| if *b == b'?' { 0xe9 } else { *b })
        .collect();
    assert_eq!(parse(&latin1).unwrap().name, "_", "not UTF-8");
}

#[test]
fn what_stands_around_info() {
    let around = |keys: &str| {
        let text = format!("d{keys}4:infod6:lengthi9e{}ee", rest());
        parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {}", message(error)))
    };
    let trackers: &[(&str, &[&[&str]])] = &[
        ("", &[]),
        ("8:announce3:a:b", &[&["a:b"]]),
        ("8:announce0:", &[]),
        ("8:announcei1e", &[]),
        ("8:announce5: a:b ", &[&["a:b"]]),
        ("8:announce3:a:b13:announce-listle", &[&["a:b"]]),
        ("8:announce3:a:b13:announce-listllelee", &[&["a:b"]]),
        ("8:announce3:a:b13:announce-listll3:c:dee", &[&["c:d"]]),
        (
            "13:announce-listll3:a:b3:a:b0:i1eel3:a:bel3:c:dee",
            &[&["a:b"], &["c:d"]],
        ),
        ("13:announce-listl3:a:b3:c:de", &[&["a:b"], &["c:d"]]),
        ("13:announce-listll3:a\nbel3:c:dee", &[&["c:d"]]),
    ];
    for (keys, tiers) in trackers {
        assert_eq!(around(keys).trackers, *tiers, "{keys}");
    }
    let webseeds: &[(&str, &[&str])] = &[
        ("8:url-list0:", &[]),
        ("8:url-list3:a:b", &["a:b"]),
        ("8:url-listl3:a:b3:a:b3:c:dd1:xi1eee", &["a:b", "c:d"]),
        ("9:httpseedsl3:a:be", &[]), // BEP 17 is another protocol
    ];
    for (keys, urls) in webseeds {
        assert_eq!(around(keys).webseeds, *urls, "{keys}");
    }
    let nodes = around("5:nodesll4:hosti6881eel1:ai0eel1:ai65536eel1:ae1:ali1ei2eee");
    assert_eq!(nodes.nodes, [("host".to_owned(), 6881)]);
    let odd = around("7:commenti1e10:created byle13:creation date3:now7:privatei1e");
    assert_eq!(
        (odd.comment, odd.created_by, odd.creation_date),
        (None, None, None)
    );
    assert!(!odd.private, "outside of `info` it means nothing");
    assert_eq!(around("7:comment3:yes").comment.as_deref(), Some("yes"));
    let many: String = (0..10_000).map(|i| format!("l5:{i:05}e")).collect();
    assert_eq!(
        around(&format!("13:announce-listl{many}e")).trackers.len(),
        MAX_URLS
    );
    for (keys, private) in [("i1e", true), ("i0e", false), ("1:1", false)] {
        let bytes = torrent(&format!("6:lengthi9e{}7:private{keys}", rest()));
        assert_eq!(parse(&bytes).unwrap().private, private, "{keys}");
    }
}

proptest! {
    #[test]
    fn what_is_composed_reads_the_same(
        sizes in prop::collection::vec(0u64..100_000, 1..20), single: bool, private: bool, power in 0u32..5, seed: u8,
    ) {
        let sizes = if single { &sizes[..1] } else { &sizes[..] };
        let files: Vec<_> = (0..).zip(sizes).map(|(i, size)| (vec![format!("d{}", i % 3), format!("f{i}")], *size)).collect();
        let piece_length = (16 << 10) << power;
        let pieces = sizes.iter().sum::<u64>().div_ceil(u64::from(piece_length));
        let hashes: Vec<u8> = (0..pieces * 20).map(|i| (i as u8).wrapping_mul(seed)).collect();
        let content = if single { Content::File(sizes[0]) } else { Content::Folder(&files) };
        let info = compose::Info { name: "t", content, piece_length, hashes: &hashes, private };
        let trackers = [vec!["http://a".to_owned()], vec!["http://b".to_owned()]];
        let outside = Outside { trackers: &trackers, webseeds: &["http://w/".to_owned()], comment: Some("c"), creation_date: Some(7) };
        let metainfo = parse(&compose::torrent(&info, outside)).unwrap();
        prop_assert_eq!(&metainfo.hashes[..], &hashes[..]);
        prop_assert_eq!((metainfo.private, metainfo.multi_file, metainfo.layout.piece_length()), (private, !single, piece_length));
        prop_assert_eq!((0..sizes.len()).map(|f| metainfo.layout.file_len(f)).collect::<Vec<_>>(), sizes);
        let paths: Vec<_> = files.iter().map(|(path, _)| if single { "t".to_owned() } else { format!("t/{}", path.join("/")) }).collect();
        prop_assert_eq!(saved(&metainfo), paths);
        prop_assert_eq!((&metainfo.trackers[..], metainfo.comment.as_deref(), metainfo.creation_date), (&trackers[..], Some("c"), Some(7)));
        let saved_again = parse(&compose::rewrap(metainfo.info(), Outside::default())).unwrap();
        prop_assert_eq!((saved_again.info_hash, saved_again.trackers.len()), (metainfo.info_hash, 0));
    }

    #[test]
    fn a_damaged_torrent_never_panics(which in 0..3usize, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = [LETTER, WALK, HYBRID][which].to_vec();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if let Ok(metainfo) = parse(&bytes) {
            metainfo.layout.all_pieces().for_each(|piece| { metainfo.hash(piece); });
            prop_assert_eq!(metainfo.files.len(), metainfo.layout.files());
        }
    }
}
