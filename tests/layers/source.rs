//! Reads the source: the modules of `src/`, their code without comments and tests, what they use,
//! and their floors on the map in `src/lib.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The map that readers are given.
pub(crate) const MAP: &str = include_str!("../../src/lib.rs");

/// Stands on all floors; it has no row on the map.
const PROGRAM: &str = "main";

/// A room that is a package of its own: it is used by its name, without `crate::`.
pub(crate) const PACKAGE: &str = "sha1_lanes";

/// A floor of the house. A room is a file and the folder of the same name; a file that the map
/// names by itself is a room of its own.
#[derive(Debug, PartialEq)]
pub(crate) struct Floor {
    /// Its name on the map.
    pub(crate) name: String,
    /// Its rooms, as module names: `peer/session`.
    pub(crate) rooms: Vec<String>,
}

/// Returns the floors, top first, from the tables below `# The floors` in `map`.
pub(crate) fn floors(map: &str) -> Vec<Floor> {
    let mut floors: Vec<Floor> = Vec::new();
    let section = map.lines().skip_while(|line| *line != "//! # The floors");
    let lines = section.map_while(|line| line.strip_prefix("//!")).skip(1);
    for line in lines.take_while(|line| !line.starts_with(" # ")) {
        let line = line.trim();
        if let Some((name, _)) = line.strip_prefix("**").and_then(|l| l.split_once("**:")) {
            let (name, rooms) = (name.to_string(), Vec::new());
            floors.push(Floor { name, rooms });
        } else if let Some(cell) = line.strip_prefix('|').and_then(|l| l.split('|').next())
            && let Some(floor) = floors.last_mut()
        {
            // The odd parts are between backquotes.
            let names = cell.split('`').skip(1).step_by(2);
            floor
                .rooms
                .extend(names.map(|name| name.replace("::", "/")));
        }
    }
    floors
}

/// Returns the floors of our own map, with the program on the top floor.
pub(crate) fn our_floors() -> Vec<Floor> {
    let mut floors = floors(MAP);
    assert!(floors.len() > 1, "the map has no floors");
    floors[0].rooms.push(PROGRAM.into());
    floors
}

/// Returns the room of the module `name` (`peer/session`), and its floor, counted from the top. A
/// room within another of the same floor is a part of that.
pub(crate) fn room_of<'a>(floors: &[Floor], name: &'a str) -> Option<(usize, &'a str)> {
    let is_room = |floor: &Floor| floor.rooms.iter().any(|room| room == name);
    let outer = name.rsplit_once('/');
    let outer = outer.and_then(|(outer, _)| room_of(floors, outer));
    match floors.iter().position(is_room) {
        Some(floor) if outer.is_none_or(|(other, _)| other != floor) => Some((floor, name)),
        _ => outer,
    }
}

/// Returns all Rust files below the folder `dir`, as module names (`peer/session`) with their text.
pub(crate) fn files(dir: &str) -> BTreeMap<String, String> {
    fn walk(dir: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let file = entry.file_name().into_string().unwrap();
            if entry.path().is_dir() {
                // Cargo builds the fuzz targets there.
                if file != "target" {
                    walk(&entry.path(), &format!("{prefix}{file}/"), found);
                }
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
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    walk(&home.join(dir), "", &mut found);
    assert!(found.len() > 5, "{dir} was not found");
    found
}

/// Returns all modules of `src/` except `lib`, `parts` and `guide`, which only list and explain,
/// and except tests.
pub(crate) fn modules() -> BTreeMap<String, String> {
    let mut found = files("src");
    let is_test = |part: &str| part == "tests" || part == "testing" || part.ends_with("_tests");
    found.retain(|name, _| {
        !["lib", "parts", "guide"].contains(&&**name) && !name.split('/').any(is_test)
    });
    found
}

/// Returns the code of `text` without comments and without the unit tests at its end.
pub(crate) fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let line = |line: &str| line.split("//").next().unwrap_or_default().to_string();
    text[..end].lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns all paths after `root` (`crate::`) in `code`, with groups unfolded: `crate::{a, b::{c,
/// d}}` is `a`, `b/c`, `b/d`.
pub(crate) fn paths_after(code: &str, root: &str) -> Vec<String> {
    let at = |i: usize| {
        // `crate::` is no part of `some_crate::`.
        !code[..i].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
    };
    let found = code.match_indices(root).filter(|(i, _)| at(*i));
    found
        .flat_map(|(i, _)| unfold(&code[i + root.len()..]).0)
        .collect()
}

/// Reads one path, perhaps with a group at its end, from the start of `text`. Returns what it names
/// and how much text it took.
fn unfold(text: &str) -> (Vec<String>, usize) {
    let word = |c: char| !(c.is_alphanumeric() || c == '_');
    if let Some(inside) = text.strip_prefix('{') {
        let (mut all, mut at) = (Vec::new(), 1);
        while !inside.is_empty() && !text[at..].is_empty() && !text[at..].starts_with('}') {
            let gap = text[at..].len() - text[at..].trim_start_matches([' ', '\n', ',']).len();
            at += gap;
            let (names, used) = unfold(&text[at..]);
            all.extend(names);
            // Skips what is no path (`as name`, `*`).
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

pub(crate) fn uses(module: &str, text: &str, all: &BTreeMap<String, String>) -> BTreeSet<String> {
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
    if !paths_after(&code, &format!("{PACKAGE}::")).is_empty() {
        paths.push(PACKAGE.into());
    }
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
