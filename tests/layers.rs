//! Holds the order of the house: in `src/` a file may use files of its own floor and of the
//! floors below, and no file may use another that uses it, however far around. Only the door
//! opens sockets, no file is long, and the top level is what the design card says.
//!
//! Unit tests at the end of a file are left out: they may look anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The floors from the top, each with its rooms. A room is a file and the folder of the
/// same name; a file that is named by itself is a room of its own.
const FLOORS: [(&str, &[&str]); 5] = [
    ("wiring", &["main", "cli", "engine", "progress"]),
    (
        "resources",
        &[
            "peer",
            "tracker",
            "door/http",
            "door/sockets",
            "door/tunnel",
            "storage",
            "checker",
            "resume",
            "webseed",
            "dht",
            "lsd",
            "threads",
        ],
    ),
    (
        "decisions",
        &[
            "torrent",
            "picker",
            "rarity",
            "choker",
            "swarm",
            "announcer",
            "lsd/schedule",
            "peer/session",
            "peer/learner",
            "peer/patience",
            "peer/error",
            "pipeline",
            "dht/node",
            "dht/search",
            "dht/table",
        ],
    ),
    (
        "formats",
        &[
            "metainfo",
            "magnet",
            "selection",
            "announce",
            "lsd/message",
            "wire",
            "mse",
            "bencode",
            "compose",
            "names",
            "messages",
            "extension",
            "config",
            "report",
            "human",
            "dht/krpc",
            "url",
            "proxy",
            "door",
        ],
    ),
    (
        "vocabulary",
        &[
            "layout",
            "bitfield",
            "types",
            "host",
            "reach",
            "shortage",
            "sha1_lanes",
        ],
    ),
];

/// The room that the module `name` (`peer/session`) belongs to, and its floor, counted
/// from the top.
fn room_of(name: &str) -> Option<(usize, &str)> {
    let mut name = name;
    loop {
        let floor = FLOORS.iter().position(|(_, rooms)| rooms.contains(&name));
        if let Some(floor) = floor {
            return Some((floor, name));
        }
        name = name.rsplit_once('/')?.0;
    }
}

/// All modules of `src/` by name, with their text. `lib.rs` and `parts.rs` only list; files of
/// tests may look anywhere.
fn modules() -> BTreeMap<String, String> {
    fn walk(dir: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let file = entry.file_name().into_string().unwrap();
            if entry.path().is_dir() {
                walk(&entry.path(), &format!("{prefix}{file}/"), found);
            } else if let Some(stem) = file.strip_suffix(".rs") {
                let name = match stem {
                    "mod" => prefix.trim_end_matches('/').to_string(),
                    _ => format!("{prefix}{stem}"),
                };
                found.insert(name, fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        "",
        &mut found,
    );
    let test = |name: &str| {
        name.split('/')
            .any(|part| part == "tests" || part == "testing")
    };
    found.retain(|name, _| name != "lib" && name != "parts" && !test(name));
    found
}

/// The code of `text` without comments and without the unit tests at its end.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let line = |line: &str| line.split("//").next().unwrap_or_default().to_string();
    text[..end].lines().map(line).collect::<Vec<_>>().join("\n")
}

/// All paths after `root` (`crate::`) in `code`, groups in braces unfolded:
/// `crate::{a, b::{c, d}}` is `a`, `b/c`, `b/d`.
fn paths_after(code: &str, root: &str) -> Vec<String> {
    let at = |i: usize| {
        // `crate::` is no part of `some_crate::`.
        !code[..i].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
    };
    let found = code.match_indices(root).filter(|(i, _)| at(*i));
    found
        .flat_map(|(i, _)| unfold(&code[i + root.len()..]).0)
        .collect()
}

/// Reads one path, perhaps with a group at its end, from the start of `text`; gives what
/// it names and how much text it took.
fn unfold(text: &str) -> (Vec<String>, usize) {
    let word = |c: char| !(c.is_alphanumeric() || c == '_');
    if let Some(inside) = text.strip_prefix('{') {
        let (mut all, mut at) = (Vec::new(), 1);
        while !inside.is_empty() && !text[at..].is_empty() && !text[at..].starts_with('}') {
            let gap = text[at..].len() - text[at..].trim_start_matches([' ', '\n', ',']).len();
            at += gap;
            let (names, used) = unfold(&text[at..]);
            all.extend(names);
            // What is no path (`as name`, `*`) is stepped over.
            at += used.max(usize::from(!text[at..].starts_with('}')));
        }
        return (all, at + 1);
    }
    let end = text.find(word).unwrap_or(text.len());
    if end == 0 {
        return (Vec::new(), 0);
    }
    let (name, rest) = text.split_at(end);
    let Some(below) = rest.strip_prefix("::") else {
        return (vec![name.into()], end);
    };
    let (names, used) = unfold(below);
    if names.is_empty() {
        return (vec![name.into()], end + 2 + used);
    }
    let names = names.into_iter().map(|n| format!("{name}/{n}")).collect();
    (names, end + 2 + used)
}

/// The modules that `module` uses.
fn uses(module: &str, text: &str, all: &BTreeMap<String, String>) -> BTreeSet<String> {
    let code = code(text);
    let below = |parent: &str, path: String| match parent {
        "" => path,
        _ => format!("{parent}/{path}"),
    };
    let parent = module.rsplit_once('/').map_or("", |(parent, _)| parent);
    let mut paths = paths_after(&code, "crate::");
    paths.extend(paths_after(&code, "storrent::"));
    paths.extend(
        paths_after(&code, "super::")
            .into_iter()
            .map(|p| below(parent, p)),
    );
    paths.extend(
        paths_after(&code, "self::")
            .into_iter()
            .map(|p| below(module, p)),
    );
    let children = all
        .keys()
        .filter(|name| name.starts_with(&format!("{module}/")));
    for child in children {
        let name = &child[module.len() + 1..];
        if !paths_after(&code, &format!("{name}::")).is_empty() {
            paths.push(child.clone());
        }
    }
    // The longest part of the path that is a module; the rest are names in it.
    let module_of = |mut path: String| loop {
        if all.contains_key(&path) {
            return Some(path);
        }
        path = path.rsplit_once('/')?.0.to_string();
    };
    let mut used: BTreeSet<String> = paths.into_iter().filter_map(module_of).collect();
    used.remove(module);
    used
}

#[test]
fn nobody_looks_up() {
    let all = modules();
    assert!(all.len() > 5, "src/ was not found");
    let mut wrong = Vec::new();
    for (module, text) in &all {
        let Some((floor, _)) = room_of(module) else {
            wrong.push(format!(
                "{module}: on which floor is it? Name it in this test."
            ));
            continue;
        };
        for used in uses(module, text, &all) {
            if room_of(&used).is_some_and(|(other, _)| other < floor) {
                wrong.push(format!("{module} ({}) uses {used}", FLOORS[floor].0));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The list of rooms here is that of the map that readers are given, `src/lib.rs`.
#[test]
fn the_map_names_every_room() {
    let all = modules();
    let map = include_str!("../src/lib.rs");
    let rooms = FLOORS.iter().flat_map(|(_, rooms)| *rooms);
    for room in rooms.filter(|room| **room != "main") {
        assert!(all.contains_key(*room), "{room} is gone");
        let link = format!("[`{}`]", room.replace('/', "::"));
        assert!(map.contains(&link), "{link} is not on the map");
    }
}

#[test]
fn no_circles() {
    let all = modules();
    let room = |name: &str| room_of(name).map_or(name.to_string(), |(_, room)| room.into());
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

/// What may stand beside `src` is on the design card; what begins with a dot is for tools,
/// and `target` is what cargo builds.
#[test]
fn nothing_else_at_the_top_level() {
    const CARD: [&str; 5] = ["Cargo.toml", "src", "tests", "fixtures", "README.md"];
    let listed = fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
    let names = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_strange = |name: &String| {
        let known =
            CARD.contains(&&**name) || ["Cargo.lock", "LICENSE", "target"].contains(&&**name);
        !known && !name.starts_with('.')
    };
    let strange: Vec<String> = names.filter(is_strange).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

/// A file is one idea, which is told in 600 lines; tests, too.
#[test]
fn no_file_is_too_long() {
    fn walk(dir: &Path, long: &mut Vec<String>) -> usize {
        let mut read = 0;
        for path in fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            if path.is_dir() && !path.ends_with("target") {
                read += walk(&path, long);
            } else if path.extension().is_some_and(|end| end == "rs") {
                read += 1;
                let lines = fs::read_to_string(&path).unwrap().lines().count();
                if lines > 600 {
                    long.push(format!("{}: {lines}", path.display()));
                }
            }
        }
        read
    }
    let (home, mut long) = (Path::new(env!("CARGO_MANIFEST_DIR")), Vec::new());
    let read: usize = ["src", "tests"]
        .map(|dir| walk(&home.join(dir), &mut long))
        .iter()
        .sum();
    assert!(read > 100, "src/ and tests/ were not found");
    assert!(long.is_empty(), "{long:#?}");
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
    assert_eq!(room_of("peer/session"), Some((2, "peer/session")));
    assert_eq!(room_of("peer/socket"), Some((1, "peer")));
    assert_eq!(room_of("nowhere"), None);
}
