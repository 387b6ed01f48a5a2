//! Holds the order of the house: a file of `src/` may use files of its own floor and of the floors
//! below, and no file may use another that uses it, however far around. Only the door opens
//! sockets, no file is long, and the top level has nothing but what the design card names. Readers
//! get what they are promised ([`course`]).
//!
//! Unit tests at the end of a file may use anything.

mod course;
mod source;
mod tidy;

use source::{Floor, MAP, code, files, floors, modules, our_floors, paths_after, room_of, uses};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

#[test]
fn nobody_looks_up() {
    let (all, floors) = (modules(), our_floors());
    let mut wrong = Vec::new();
    for (module, text) in &all {
        let Some((floor, _)) = room_of(&floors, module) else {
            wrong.push(format!(
                "{module}: on which floor is it? Put it on the map in src/lib.rs."
            ));
            continue;
        };
        for used in uses(module, text, &all) {
            if room_of(&floors, &used).is_some_and(|(other, _)| other < floor) {
                wrong.push(format!("{module} ({}) uses {used}", floors[floor].name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Each module on the map exists and is named once.
#[test]
fn the_map_names_what_is_there() {
    let (all, floors) = (modules(), our_floors());
    let mut seen = BTreeSet::new();
    for room in floors.iter().flat_map(|floor| &floor.rooms) {
        assert!(all.contains_key(room), "{room} is gone");
        assert!(seen.insert(room), "{room} is on the map twice");
    }
}

#[test]
fn no_circles() {
    let (all, floors) = (modules(), our_floors());
    let room =
        |name: &str| room_of(&floors, name).map_or(name.to_string(), |(_, room)| room.into());
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, text) in &all {
        let used = uses(module, text, &all)
            .iter()
            .map(|used| room(used))
            .collect::<Vec<_>>();
        let entry = graph.entry(room(module)).or_default();
        // Within a room, files of one idea may use each other.
        entry.extend(used.into_iter().filter(|used| *used != room(module)));
    }
    // Take away whatever uses nothing that is left, until nothing more goes.
    loop {
        let free = |used: &BTreeSet<String>| !used.iter().any(|room| graph.contains_key(room));
        let free = graph
            .iter()
            .find(|(_, used)| free(used))
            .map(|(room, _)| room.clone());
        match free {
            Some(room) => graph.remove(&room),
            None => break,
        };
    }
    assert!(graph.is_empty(), "these use each other: {graph:#?}");
}

/// What opens a socket, makes an HTTP client or looks up a name.
const DOORS: [&str; 13] = [
    "Socket::new(",
    "TcpStream::connect",
    "TcpListener::bind",
    "UdpSocket::bind",
    "UnixStream::connect",
    "ToSocketAddrs",
    "to_socket_addrs",
    "rustix::net::socket",
    "libc::socket(",
    "Agent::new",
    "Agent::with_parts",
    ".new_agent(",
    "ureq::get(",
];

#[test]
fn only_the_door_opens_sockets() {
    let (mut wrong, mut there) = (Vec::new(), BTreeSet::new());
    for (module, text) in &modules() {
        let is_door = module == "door" || module.starts_with("door/");
        let code = code(text);
        let names = |word: &&str| {
            let mut found = code.match_indices(word);
            // `Socket::new` is no part of `PeerSocket::new`.
            found.any(|(i, _)| !code[..i].ends_with(char::is_alphanumeric))
        };
        for word in DOORS.into_iter().filter(names) {
            there.insert(word);
            if !is_door {
                wrong.push(format!("{module}: {word}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "they go around --bind and --proxy: {wrong:#?}"
    );
    assert!(
        there.len() >= 3,
        "the door is known by other words now: {there:?}"
    );
}

/// The design card names what may stand beside `src`. Names with a dot are for tools, and cargo
/// makes `target`. Files that git does not know are the reader's own.
#[test]
fn nothing_else_at_the_top_level() {
    const CARD: [&str; 5] = ["Cargo.toml", "src", "tests", "fixtures", "README.md"];
    let top = env!("CARGO_MANIFEST_DIR");
    let git = Command::new("git")
        .arg("ls-files")
        .current_dir(top)
        .output();
    let paths = git.map_or(String::new(), |git| String::from_utf8(git.stdout).unwrap());
    let tracked: BTreeSet<&str> = paths
        .lines()
        .filter_map(|it| it.split('/').next())
        .collect();
    let listed = fs::read_dir(top).unwrap();
    let names = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // Without git, everything is looked at.
    let names = names.filter(|name| tracked.is_empty() || tracked.contains(&**name));
    let is_strange = |name: &String| {
        let known =
            CARD.contains(&&**name) || ["Cargo.lock", "LICENSE", "target"].contains(&&**name);
        !known && !name.starts_with('.')
    };
    let strange: Vec<String> = names.filter(is_strange).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

/// A file is one idea in at most 600 lines; a test file, too.
#[test]
fn no_file_is_too_long() {
    for dir in ["src", "tests"] {
        let lines = |(name, text): (String, String)| (name, text.lines().count());
        let long = files(dir).into_iter().map(lines).filter(|(_, n)| *n > 600);
        assert_eq!(long.collect::<Vec<_>>(), [], "in {dir}");
    }
}

#[test]
fn the_reader_of_imports_can_read() {
    let text =
        "use crate::{a, b::{c, D}};\nuse crate::x::y as z; // crate::no\nlet q = crate::w::F;";
    let code = code(&format!(
        "{text}\n#[cfg(test)]\nmod tests {{ use crate::never; }}"
    ));
    assert_eq!(
        paths_after(&code, "crate::"),
        ["a", "b/c", "b/D", "x/y", "w/F"]
    );
    assert_eq!(paths_after("my_crate::x", "crate::"), [""; 0]);
}

#[test]
fn the_reader_of_the_map_can_read() {
    let map = "//! # The floors\n//! Words, [`no`].\n//!\n//! **Upstairs**: `none`.\n//!\n\
               //! | module | what |\n//! | --- | --- |\n//! | [`a`], [`b::c`] | [`d`] |\n\
               //! **Downstairs**: more.\n//! | [`b`], [`a::d`] | words |\n//! | [`b::e`] | |\n\
               //! # Something else\n//! | [`e`] | f |\n";
    let floor = |name: &str, rooms: &[&str]| Floor {
        name: name.into(),
        rooms: rooms.iter().map(ToString::to_string).collect(),
    };
    let read = floors(map);
    let expected = [
        floor("Upstairs", &["a", "b/c"]),
        floor("Downstairs", &["b", "a/d", "b/e"]),
    ];
    assert_eq!(read, expected);
    assert_eq!(room_of(&read, "b/c/d"), Some((0, "b/c")));
    assert_eq!(room_of(&read, "b/d"), Some((1, "b")));
    assert_eq!(room_of(&read, "b/e/f"), Some((1, "b")), "a part of b");
    assert_eq!(room_of(&read, "a/d"), Some((1, "a/d")));
    assert_eq!(room_of(&read, "nowhere"), None);
    assert_eq!(floors(MAP).len(), 6);
}
