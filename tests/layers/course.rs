//! Holds the promises to readers. In the order of reading in `README.md`, each file stands on those
//! before it, all files are in it, and the core path can be read in a few days. Every file and test
//! that the guide names exists, and no chapter is long.

use crate::source::{code, files, modules, uses};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const README: &str = include_str!("../../README.md");

/// The lines of the core path, without unit tests.
const CORE: std::ops::RangeInclusive<usize> = 7_000..=9_000;

/// The most words of a chapter.
const CHAPTER: usize = 900;

/// An entry of the order: a file, and the files of its folder that no other entry names.
#[derive(Debug, PartialEq)]
struct Entry {
    module: String,
    /// The file that its link leads to.
    file: String,
    /// Whether it is printed bold: on the core path.
    core: bool,
    /// The step that it belongs to, from 0.
    step: usize,
}

/// Reads the table below "Where to begin reading".
fn entries(readme: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let section = readme.split("## Where to begin reading").nth(1);
    let section = section.and_then(|rest| rest.split("\n## ").next());
    let rows = section.unwrap_or_default().lines();
    let rows = rows.filter(|row| row.starts_with('|') && row.contains("]("));
    for (step, row) in rows.enumerate() {
        let cell = row.split('|').nth(1).unwrap_or_default();
        for (before, link) in cell.split("[`").zip(cell.split("[`").skip(1)) {
            if let Some((module, rest)) = link.split_once("`](")
                && let Some((file, _)) = rest.split_once(')')
            {
                entries.push(Entry {
                    module: module.into(),
                    file: file.into(),
                    core: before.ends_with("**"),
                    step,
                });
            }
        }
    }
    entries
}

/// The entry that the file of `module` is read with.
fn entry_of(entries: &[Entry], module: &str) -> Option<usize> {
    let found = entries.iter().position(|entry| entry.module == module);
    found.or_else(|| entry_of(entries, module.rsplit_once('/')?.0))
}

/// Returns which files use one that is read later. Files of one folder that are read in one step
/// may use each other.
fn ahead(entries: &[Entry], all: &BTreeMap<String, String>) -> Vec<String> {
    let top = |module: &str| module.split('/').next().unwrap_or_default().to_string();
    let mut wrong = Vec::new();
    for (module, text) in all {
        let Some(at) = entry_of(entries, module) else {
            wrong.push(format!("{module} is in no step"));
            continue;
        };
        for used in uses(module, text, all) {
            let Some(other) = entry_of(entries, &used) else {
                continue;
            };
            let together = entries[other].step == entries[at].step && top(module) == top(&used);
            if other > at && !together {
                wrong.push(format!("{module} uses {used}, which is read later"));
            }
        }
    }
    wrong
}

/// All files of the order. It has no entry for the program's `main`.
fn read_files() -> BTreeMap<String, String> {
    let mut all = modules();
    all.remove("main");
    all
}

#[test]
fn each_file_stands_on_those_before_it() {
    let wrong = ahead(&entries(README), &read_files());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_order_names_what_is_there() {
    let (entries, all) = (entries(README), read_files());
    for (at, entry) in entries.iter().enumerate() {
        assert!(all.contains_key(&entry.module), "{} is gone", entry.module);
        let files = ["", "/mod"].map(|end| format!("src/{}{end}.rs", entry.module));
        let file = files.iter().find(|file| Path::new(file).exists());
        assert_eq!(file, Some(&entry.file), "{}", entry.module);
        let first = entry_of(&entries, &entry.module);
        assert_eq!(first, Some(at), "{} is read twice", entry.module);
    }
}

#[test]
fn the_core_is_read_in_a_few_days() {
    let (entries, all) = (entries(README), read_files());
    let core = entries.iter().filter(|entry| entry.core);
    let lines: usize = core
        .map(|entry| code(&all[&entry.module]).lines().count())
        .sum();
    assert!(CORE.contains(&lines), "{lines} lines");
}

/// The pages of the guide, by name.
fn pages() -> BTreeMap<String, String> {
    let listed = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide")).unwrap();
    let paths = listed.map(|entry| entry.unwrap().path());
    let pages = paths.filter(|path| path.extension().is_some_and(|end| end == "md"));
    pages
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// Returns the files, and with `::` the tests, that `text` names between backquotes and that do not
/// exist.
fn gone(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let named = quoted.filter(|word| {
        ["src/", "tests/", "fixtures/"]
            .iter()
            .any(|folder| word.starts_with(folder))
    });
    let is_gone = |named: &&str| {
        let (file, test) = named.split_once("::").unwrap_or((named, ""));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        match test {
            "" => !path.exists(),
            _ => !fs::read_to_string(path).is_ok_and(|text| text.contains(&format!("fn {test}("))),
        }
    };
    named.filter(is_gone).collect()
}

#[test]
fn what_the_guide_names_is_there() {
    let pages = pages();
    assert!(pages.len() >= 12, "the guide was not found");
    for (name, text) in &pages {
        // Code blocks are compiled; they have backquotes of their own.
        let prose: Vec<&str> = text.split("\n```").step_by(2).collect();
        assert_eq!(gone(&prose.join("\n")), [""; 0], "{name}");
        let words = text.split_whitespace().count();
        assert!(words <= CHAPTER, "{name}: {words} words");
    }
}

#[test]
fn the_reader_of_the_order_can_read() {
    let readme = "## Where to begin reading\n\nWords, [`no`](src/no.rs).\n\n| read | to learn |\n\
                  | --- | --- |\n| 1. **[`a`](src/a.rs)**, [`b`](src/b/mod.rs) | [`d`](src/d.rs) |\n\
                  | 2. [`b/c`](src/b/c.rs) | c |\n\n## Next\n| [`e`](src/e.rs) | |\n";
    let entry = |module: &str, file: &str, core, step| Entry {
        module: module.into(),
        file: file.into(),
        core,
        step,
    };
    let read = entries(readme);
    let expected = [
        entry("a", "src/a.rs", true, 0),
        entry("b", "src/b/mod.rs", false, 0),
        entry("b/c", "src/b/c.rs", false, 1),
    ];
    assert_eq!(read, expected);
    let file = |(name, text): (&str, &str)| (name.to_string(), text.to_string());
    let all = [
        ("a", "use crate::b::d;"),
        ("b", "use crate::a;"),
        ("b/c", "use crate::b::d;"),
        ("b/d", "use crate::b::c::X;"),
        ("e", ""),
    ];
    let wrong = [
        "a uses b/d, which is read later",
        "b/d uses b/c, which is read later",
        "e is in no step",
    ];
    assert_eq!(ahead(&read, &all.map(file).into()), wrong);
}

#[test]
fn names_that_are_gone_are_found() {
    assert!(files("tests").contains_key("layers/course"));
    let text = "`src/lib.rs`, `tests/layers/course.rs::gone`, `cargo`, `src/none.rs`, \
                `tests/layers/course.rs::nothing`, `tests/none.rs::gone`";
    let expected = [
        "src/none.rs",
        "tests/layers/course.rs::nothing",
        "tests/none.rs::gone",
    ];
    assert_eq!(gone(text), expected);
}
