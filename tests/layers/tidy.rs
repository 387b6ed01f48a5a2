//! Holds what a reader should not have to look for: decisions and formats are pure, functions are
//! short, words say how much, only the command line names options, nothing is dead. Each check is
//! tried on a small text below.

use crate::source::{MAP, PACKAGE, code, files, modules, our_floors, room_of};
use std::collections::{BTreeMap, BTreeSet};

/// The floors that have neither clock nor I/O nor thread: the input alone decides what happens
/// there.
const PURE: [&str; 4] = [PLAYED, "Decisions", "Formats", "Vocabulary"];

/// The pure floor that may look at the clock, because virtual time must begin at some `Instant`.
const PLAYED: &str = "Simulation";

/// What no pure module says.
const IMPURE: [&str; 18] = [
    // The clock.
    "Instant::now",
    ".elapsed()",
    "SystemTime",
    // Files and sockets; addresses are only values.
    "fs::",
    "File::open",
    "File::create",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "socket2",
    "print!",
    "println!",
    "eprint!",
    "eprintln!",
    // Others that run.
    "thread::",
    "mpsc",
    "crossbeam_channel",
];

/// The most lines of a function, from `fn` to its last brace: it is read at a glance.
const LONGEST: usize = 60;

/// The most public modules of the library.
const PUBLIC_MODULES: usize = 12;

/// The most fields of `Torrent`: those that belong together are a type of their own.
const TORRENT_FIELDS: usize = 20;

/// The words of `words` that are in `code`, each as a word of its own.
fn said<'a>(code: &str, words: &[&'a str]) -> Vec<&'a str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let says = |word: &&str| {
        code.match_indices(*word).any(|(at, _)| {
            let after = &code[at + word.len()..];
            let starts = !word.starts_with(is_word) || !code[..at].ends_with(is_word);
            starts && (!word.ends_with(is_word) || !after.starts_with(is_word))
        })
    };
    words.iter().copied().filter(says).collect()
}

#[test]
fn decisions_and_formats_are_pure() {
    let (floors, mut impure, mut looked) = (our_floors(), Vec::new(), 0);
    for (module, text) in modules() {
        let floor = room_of(&floors, &module).map(|(floor, _)| &*floors[floor].name);
        if floor.is_some_and(|floor| PURE.contains(&floor)) {
            looked += 1;
            let mut words = said(&code(&text), &IMPURE);
            words.retain(|word| floor != Some(PLAYED) || *word != "Instant::now");
            impure.extend(words.iter().map(|word| format!("{module}: {word}")));
        }
    }
    assert!(looked > 30, "the pure floors have other names now");
    assert!(impure.is_empty(), "{impure:#?}");
}

/// Returns the functions in `code`, each with its first line (from 0) and its length. In code that
/// rustfmt has formatted, the last brace is right below the `fn`.
fn functions(code: &str) -> Vec<(&str, usize, usize)> {
    let lines: Vec<&str> = code.lines().map(str::trim_end).collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let start = line.trim_start();
        let indent = &line[..line.len() - start.len()];
        let Some((before, name)) = start.split_once("fn ") else {
            continue;
        };
        let is_head = |word: &str| {
            let word = word.split('(').next().unwrap_or_default();
            ["pub", "const", "unsafe"].contains(&word)
        };
        if !before.split_whitespace().all(is_head) || line.ends_with(['}', ';']) {
            continue;
        }
        let name = name.split(['(', '<']).next().unwrap_or_default();
        let beside = |line: &&str| {
            let rest = line.strip_prefix(indent);
            rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(' '))
        };
        let mut after = (at + 1..).zip(&lines[at + 1..]);
        let end = after.find(|(_, line)| beside(line) && line.ends_with(['}', ';']));
        found.push((name, at, end.map_or(lines.len(), |(end, _)| end) - at + 1));
    }
    found
}

/// Returns the functions of `text`, a module, that are too long and give no reason.
fn too_long(text: &str) -> Vec<(&str, usize)> {
    let text = &text[..text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len())];
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let excused = |at: usize| {
        let above = lines[..at].iter().rev();
        let mut notes = above.take_while(|line| line.starts_with("//") || line.starts_with("#["));
        notes.any(|line| line.strip_prefix("// Long: ").is_some())
    };
    let long = functions(text).into_iter();
    long.filter(|(_, at, length)| *length > LONGEST && !excused(*at))
        .map(|(name, _, length)| (name, length))
        .collect()
}

#[test]
fn functions_are_short() {
    let mut long = BTreeMap::new();
    for (module, text) in &modules() {
        let found = too_long(text).into_iter();
        long.extend(found.map(|(name, length)| (format!("{module}::{name}"), length)));
    }
    let advice = "cut them, or say why not in a line `// Long: ...` above";
    assert!(long.is_empty(), "{advice}: {long:#?}");
}

/// The rooms that know the command line.
const WORDED: [&str; 2] = ["cli", "progress"];

/// The options that `code` names: `--dir`.
fn options(code: &str) -> Vec<&str> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '-';
    let found = code.match_indices("--").map(|(at, _)| {
        let end = code[at..].find(|c| !is_name(c));
        &code[at..end.map_or(code.len(), |end| at + end)]
    });
    let is_option = |word: &&str| word.len() > 2 && !word.starts_with("---");
    found.filter(is_option).collect()
}

#[test]
fn only_the_command_line_names_options() {
    let mut found = Vec::new();
    for (module, text) in modules() {
        if !WORDED.contains(&module.split('/').next().unwrap_or_default()) {
            let code = code(&text);
            let names = options(&code).into_iter();
            found.extend(names.map(|name| format!("{module}: {name}")));
        }
    }
    assert!(found.is_empty(), "say Setting::...: {found:#?}");
}

/// Counts the comments of `text` that say how long, how many or how often without a number.
fn vague(text: &str) -> usize {
    let comments = text.lines().filter_map(|line| line.split_once("//"));
    let words: Vec<String> = comments
        .flat_map(|(_, comment)| comment.trim_start_matches(['/', '!']).split_whitespace())
        .map(|word| {
            word.trim_matches(|c: char| !c.is_alphanumeric())
                .to_lowercase()
        })
        .collect();
    let vague = words.windows(2).enumerate().filter(|(at, pair)| {
        let is_vague = pair[0] == "so" && ["long", "many", "often"].contains(&&*pair[1]);
        is_vague && (*at == 0 || words[at - 1] != "as")
    });
    vague.count()
}

#[test]
fn words_say_how_much() {
    let mut all: BTreeMap<String, String> = files("src");
    let tests = files("tests").into_iter();
    all.extend(tests.map(|(name, text)| (format!("tests/{name}"), text)));
    all.remove("tests/layers/tidy");
    let counts = all.into_iter().map(|(name, text)| (name, vague(&text)));
    let found: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
    assert!(found.is_empty(), "name the quantity: {found:#?}");
}

/// Returns the names of `all` that no file declares as a module.
fn undeclared(all: &BTreeMap<String, String>) -> Vec<&str> {
    let mut declared = BTreeSet::from(["lib", "main", PACKAGE].map(String::from));
    for (name, text) in all {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let inside = if name == "lib" { "" } else { name };
        for line in text.lines().map(str::trim) {
            let module = line.strip_suffix(';').and_then(|l| l.split_once("mod "));
            let path = line.strip_prefix("#[path = \"");
            let path = path.and_then(|path| path.strip_suffix(".rs\"]"));
            let child = module.map(|(_, module)| format!("{inside}/{module}"));
            let beside = path.map(|path| format!("{folder}/{path}"));
            let found = child.into_iter().chain(beside);
            declared.extend(found.map(|name| name.trim_start_matches('/').to_string()));
        }
    }
    let names = all.keys().filter(|name| !declared.contains(*name));
    names.map(String::as_str).collect()
}

/// Whether `text` silences the compiler's warnings about dead code.
fn silences(text: &str) -> bool {
    ["dead_code", "unused"].iter().any(|lint| {
        let said = ["allow", "expect"].map(|word| text.contains(&format!("{word}({lint}")));
        said.contains(&true)
    })
}

#[test]
fn nothing_is_dead() {
    let all = files("src");
    assert_eq!(undeclared(&all), [""; 0], "these are no modules");
    let silent = all.iter().filter(|(_, text)| silences(text));
    let names: Vec<_> = silent.map(|(name, _)| name).collect();
    assert!(names.is_empty(), "the compiler is silenced: {names:?}");
}

#[test]
fn the_face_is_small() {
    let public = MAP.lines().filter(|line| line.starts_with("pub mod "));
    assert!((1..=PUBLIC_MODULES).contains(&public.count()));
}

/// How many fields the struct `name` has in `text`.
fn fields(text: &str, name: &str) -> usize {
    let head = format!("struct {name} {{");
    let Some((_, body)) = text.split_once(&head) else {
        return 0;
    };
    let lines = body.lines().take_while(|line| *line != "}");
    let is_field = |line: &&str| {
        let field = line.strip_prefix("    ").unwrap_or_default();
        field.starts_with(char::is_alphabetic) && field.contains(": ")
    };
    lines.filter(is_field).count()
}

#[test]
fn the_torrent_is_made_of_parts() {
    let fields = fields(&modules()["torrent"], "Torrent");
    assert!((1..=TORRENT_FIELDS).contains(&fields), "{fields} fields");
}

#[test]
fn a_word_is_found_as_a_word() {
    let words = ["fs::", "Instant::now", ".elapsed()"];
    assert_eq!(said("let now = Instant::now();", &words), ["Instant::now"]);
    assert_eq!(
        said("std::fs::read(start.elapsed())", &words),
        ["fs::", ".elapsed()"]
    );
    assert_eq!(said("use offs::x; Instant::nowhere", &words), [""; 0]);
}

#[test]
fn a_long_function_is_found() {
    let body = "        step();\n".repeat(LONGEST - 1);
    let long = format!("    pub(crate) fn long<T>(\n    ) -> T\n    {{\n{body}    }}\n");
    let short = format!("    fn short() {{\n{}    }}\n", &body[..body.len() - 16]);
    let declared = "    fn declared(\n        &self,\n    ) -> T;\n    fn empty() {}\n";
    let text = format!("impl X {{\n{declared}{short}{long}}}\n");
    let lengths = functions(&text).into_iter().map(|(name, _, n)| (name, n));
    let expected = [("declared", 3), ("short", LONGEST), ("long", LONGEST + 3)];
    assert_eq!(lengths.collect::<Vec<_>>(), expected);
    assert_eq!(too_long(&text), [("long", LONGEST + 3)]);
    let excused = format!("    // Long: a table.\n    /// Words.\n    #[must_use]\n{long}");
    assert_eq!(too_long(&excused), []);
    let elsewhere = format!("    // Long: a table.\n    let x = 1;\n{long}");
    assert_eq!(too_long(&elsewhere).len(), 1);
    assert_eq!(
        too_long(&format!("#[cfg(test)]\nmod tests {{\n{long}}}\n")),
        []
    );
}

#[test]
fn options_are_found() {
    let code = "warn(\"choose another --dir, or\"); f(\"--no-dht\"); x - -y; \"----\"; \"-- a\"";
    assert_eq!(options(code), ["--dir", "--no-dht"]);
    assert_eq!(options("--files"), ["--files"]);
}

#[test]
fn vague_words_are_found() {
    assert_eq!(vague("/// So long, and so\n/// often: so many."), 3);
    assert_eq!(vague("// as so often, so longs\nlet so = many; // so"), 0);
}

#[test]
fn dead_files_are_found() {
    let file = |(name, text): (&str, &str)| (name.to_string(), text.to_string());
    let all = [
        ("lib", "pub mod a;\nmod b;"),
        (
            "a",
            "pub(crate) mod c;\n#[path = \"a_tests.rs\"]\nmod tests;",
        ),
        ("a_tests", ""),
        ("a/c", "mod d {}"),
        ("a/d", ""),
        ("b", ""),
        ("c", ""),
        ("main", ""),
    ];
    assert_eq!(undeclared(&all.map(file).into()), ["a/d", "c"]);
    assert!(silences("#![allow(dead_code)]") && silences("#[expect(unused_mut)]"));
    assert!(!silences("#[allow(deprecated)] // unused"));
}

#[test]
fn fields_are_counted() {
    let text = "/// A.\npub struct A {\n    /// b: c\n    pub(super) b: C,\n    #[x(y: 1)]\n    \
                d: Vec<(u8, E)>,\n}\nstruct F {\n    g: H,\n}\n";
    assert_eq!(
        (fields(text, "A"), fields(text, "F"), fields(text, "X")),
        (2, 1, 0)
    );
}
