//! Makes the file names of a torrent safe to use on disk.
//!
//! A stranger wrote these names. `../../.bashrc` would leave the folder that the user chose, an
//! empty name is no file, and two files of one name would overwrite each other. So each name goes
//! through this module once, when the torrent is read, and all other code may use it as it is:
//!
//! - a name is 1 to 255 bytes of UTF-8, is not `.` or `..`, and has no `/`, no NUL and no other
//!   control character (and nothing that Windows refuses, on Windows);
//! - a path has at most [`MAX_COMPONENTS`] names and [`MAX_PATH_LEN`] bytes;
//! - no two files have the same path, and no file has the path of a folder.
//!
//! The names follow from the torrent's bytes alone, never from the disk, or no download could be
//! resumed. Each change adds a warning for the user.
//!
//! Some disks accept less: no `:` on NTFS, no name longer than 143 bytes on eCryptfs. For such a
//! disk [`crate::storage`] uses [`plain`], which turns a safe name into one that every disk
//! accepts.

use crate::url;
use std::borrow::Cow;
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::Hasher;

/// The longest name of a file or folder, in bytes: the limit of Linux file systems.
pub(crate) const MAX_NAME_LEN: usize = 255;

/// The most names in a path, the torrent's own included, as in libtorrent.
pub(crate) const MAX_COMPONENTS: usize = 100;

/// The longest path below the user's folder, in bytes. Linux allows 4,095 in all, which leaves
/// about 1,000 for the folder itself.
pub(crate) const MAX_PATH_LEN: usize = 3_000;

/// The most memory of all paths of a torrent, in bytes. A path of three names takes about 200, so
/// 400,000 files fit.
const MAX_COST: usize = 80 << 20;

/// The most changed names that the warnings list one by one.
const MAX_TOLD: usize = 10;

/// Whether `A` and `a` are the same name on disk, the default on these systems.
const FOLDS_CASE: bool = cfg!(any(windows, target_os = "macos"));

/// The paths would take more than [`MAX_COST`], as only a hostile torrent's do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its file names would take more than {} MiB of memory", MAX_COST >> 20)]
pub struct TooManyNames;

/// Collects the paths of a torrent's files, in the torrent's order.
pub(crate) struct Names {
    root: String,
    /// One path for each file; empty for a file that is never on disk.
    paths: Vec<Vec<String>>,
    originals: HashMap<usize, String>,
    cost: usize,
    changes: Changes,
}

impl Names {
    /// `name`: of the one file, or of the folder that holds all files.
    pub(crate) fn new(name: &[u8]) -> Self {
        let mut changes = Changes::default();
        let root = safe_name(name);
        if root.as_bytes() != name {
            changes.note(name, "is not safe", std::slice::from_ref(&root));
        }
        Self {
            root,
            paths: Vec::new(),
            originals: HashMap::new(),
            cost: 0,
            changes,
        }
    }

    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// Adds the next file, by its path below the torrent's folder; `None` in a torrent of one file.
    ///
    /// # Errors
    /// [`TooManyNames`], if the names would take too much memory.
    pub(crate) fn file(&mut self, below: Option<&[&[u8]]>) -> Result<(), TooManyNames> {
        let mut path = Vec::with_capacity(MAX_COMPONENTS.min(1 + below.map_or(0, <[_]>::len)));
        path.push(self.root.clone());
        if let Some(below) = below {
            let (folders, file) = match below {
                [folders @ .., file] => (folders, *file),
                [] => (below, &b""[..]),
            };
            // If a path is too long, the outer folders and the file's name are kept.
            let mut room = MAX_PATH_LEN - MAX_NAME_LEN - self.root.len() - 1;
            for folder in folders.iter().take(MAX_COMPONENTS - 2) {
                let folder = safe_name(folder);
                match room.checked_sub(folder.len() + 1) {
                    Some(left) => room = left,
                    None => break,
                }
                path.push(folder);
            }
            path.push(safe_name(file));
            let kept = path.iter().skip(1).map(String::as_bytes);
            if !kept.eq(below.iter().copied()) {
                self.changes
                    .note(&below.join(&b'/'), "is not safe", &path[1..]);
                let original = url::path(below);
                self.cost += original.len() + 48;
                self.originals.insert(self.paths.len(), original);
            }
        }
        // A `String` takes three words, and the allocator adds two or three.
        self.cost += path.iter().map(|name| name.len() + 48).sum::<usize>();
        self.paths.push(path);
        if self.cost > MAX_COST {
            return Err(TooManyNames);
        }
        Ok(())
    }

    /// Adds a file that is never on disk and needs no path.
    pub(crate) fn no_file(&mut self) {
        self.paths.push(Vec::new());
    }

    /// Renames files that share a path, and returns the result.
    ///
    /// Folders keep their names, so that a folder stays one folder. A file whose path belongs to a
    /// folder or to an earlier file becomes `name (2).txt`, or the next free number.
    pub(crate) fn finish(mut self) -> SafeNames {
        let mut taken = Taken::default();
        for path in &self.paths {
            taken.take_folders(path);
        }
        for (file, path) in self.paths.iter_mut().enumerate() {
            if let Some(name) = taken.take_file(path) {
                let original = || url::path(&path[1..]);
                self.originals.entry(file).or_insert_with(original);
                let was = path.join("/");
                path.pop();
                path.push(name);
                self.changes.note(was.as_bytes(), "is taken already", path);
            }
        }
        SafeNames {
            paths: self.paths,
            originals: self.originals,
            warnings: self.changes.into_lines(),
        }
    }
}

pub(crate) struct SafeNames {
    /// One path for each file in order, each beginning with the torrent's name.
    pub paths: Vec<Vec<String>>,
    /// The original paths of the renamed files, by file: below the torrent's folder, escaped for a
    /// URL. Web servers use them.
    pub originals: HashMap<usize, String>,
    /// The changes, one line each.
    pub warnings: Vec<String>,
}

/// The paths in use, each as a 64-bit hash, which takes less memory than the path. If two hashes
/// are ever the same, a file gets a number that it did not need, but two files never share a path.
#[derive(Default)]
struct Taken {
    paths: HashSet<u64>,
    /// The next number to try for a taken name. Without it, the last of 100,000 files of one name
    /// would try 100,000 numbers.
    numbers: HashMap<u64, u32>,
}

impl Taken {
    fn take_folders(&mut self, path: &[String]) {
        let mut above = DefaultHasher::new();
        for folder in path.iter().rev().skip(1).rev() {
            self.paths.insert(within(&above, folder));
            enter(&mut above, folder);
        }
    }

    /// Takes the path for a file, or a similar one, whose last name it returns.
    fn take_file(&mut self, path: &[String]) -> Option<String> {
        let (name, folders) = path.split_last()?;
        let mut above = DefaultHasher::new();
        folders.iter().for_each(|folder| enter(&mut above, folder));
        if self.paths.insert(within(&above, name)) {
            return None;
        }
        // Every stem is cut to leave room for any number, and has its own count. If a stem were cut
        // only when its number needs the room, a torrent could make us try the same taken numbers
        // for thousands of stems that differ at the end.
        let (stem, extension) = split_extension(name);
        let stem = cut(stem, MAX_NAME_LEN - extension.len() - " (4294967295)".len());
        let count = within(&above, &format!("{stem}/{extension}"));
        let number = self.numbers.entry(count).or_insert(2);
        loop {
            let name = format!("{stem} ({number}){extension}");
            *number += 1;
            if self.paths.insert(within(&above, &name)) {
                return Some(name);
            }
        }
    }
}

/// The hash of `name` in the folder whose path went into `above`.
fn within(above: &DefaultHasher, name: &str) -> u64 {
    let mut hasher = above.clone();
    hasher.write(as_the_disk_sees(name).as_bytes());
    hasher.finish()
}

/// Moves `above` from a folder into its subfolder `name`.
fn enter(above: &mut DefaultHasher, name: &str) {
    above.write(as_the_disk_sees(name).as_bytes());
    above.write_u8(b'/');
}

fn as_the_disk_sees(name: &str) -> Cow<'_, str> {
    match FOLDS_CASE {
        true => Cow::Owned(name.to_lowercase()),
        false => Cow::Borrowed(name),
    }
}

/// Returns the nearest safe name: `_` for bad characters, and a long name cut.
fn safe_name(name: &[u8]) -> String {
    let mut safe = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        let is_bad = |c: char| c == '/' || c.is_control();
        safe.extend(
            chunk
                .valid()
                .chars()
                .map(|c| if is_bad(c) { '_' } else { c }),
        );
        if !chunk.invalid().is_empty() {
            safe.push('_');
        }
    }
    if cfg!(windows) {
        safe = safe_on_windows(&safe);
    }
    if matches!(safe.as_str(), "" | "." | "..") {
        safe = "_".repeat(safe.len().max(1));
    }
    shortened(&safe, MAX_NAME_LEN)
}

/// Replaces what Windows reserves: more characters, some whole names, and dots and spaces at the
/// end. Elsewhere these are good names that must stay: the source of a Linux kernel has an `aux.c`,
/// and a seed has it on disk under this name.
fn safe_on_windows(name: &str) -> String {
    let name = name.replace(ODD, "_");
    let end = if name.ends_with(['.', ' ']) { "_" } else { "" };
    format!("{}{name}{end}", if is_device(&name) { "_" } else { "" })
}

/// Characters that Windows refuses in a name, and so do FAT, exFAT, NTFS and SMB.
const ODD: [char; 8] = ['<', '>', ':', '"', '\\', '|', '?', '*'];

/// The longest name that every disk accepts, in bytes: the limit of eCryptfs.
const SHORT_NAME_LEN: usize = 143;

/// Whether `name` is a device of Windows, with any extension or none.
fn is_device(name: &str) -> bool {
    let device = name.split('.').next().unwrap_or_default().trim_end();
    let (letters, number) = device.split_at_checked(3).unwrap_or((device, ""));
    match letters.to_ascii_lowercase().as_str() {
        "con" | "prn" | "aux" | "nul" => number.is_empty(),
        "com" | "lpt" => matches!(number.as_bytes(), [b'1'..=b'9']),
        _ => false,
    }
}

/// Whether every disk accepts the name as it is.
pub(crate) fn is_plain(name: &str) -> bool {
    name.len() <= SHORT_NAME_LEN
        && !name.bytes().any(|byte| ODD.contains(&byte.into()))
        && !name.ends_with(['.', ' '])
        && !is_device(name)
}

/// Returns the nearest name that every disk accepts.
pub(crate) fn plain(name: &str) -> String {
    shortened(&safe_on_windows(name), SHORT_NAME_LEN)
}

/// Writes a number before the extension, cut so that every disk accepts the name.
pub(crate) fn marked(name: &str, number: u32) -> String {
    let (stem, extension) = split_extension(name);
    // An extension has at most 17 bytes, and ` (4294967295)` has 13.
    let stem = cut(
        stem,
        SHORT_NAME_LEN - extension.len() - " (4294967295)".len(),
    );
    format!("{stem} ({number}){extension}")
}

/// Cuts `name` before its extension if it is longer than `max` bytes.
fn shortened(name: &str, max: usize) -> String {
    if name.len() <= max {
        return name.to_owned();
    }
    let (stem, extension) = split_extension(name);
    format!("{}{extension}", cut(stem, max - extension.len()))
}

/// Splits `"a.tar"` into `("a", ".tar")`. More than 16 letters and digits after the dot belong to a
/// sentence.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot)
            if dot > 0
                && (2..=17).contains(&name[dot..].len())
                && name[dot + 1..].bytes().all(|b| b.is_ascii_alphanumeric()) =>
        {
            name.split_at(dot)
        }
        _ => (name, ""),
    }
}

/// The longest beginning of `text` that fits in `max` bytes.
fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The changed names, for the user: the first [`MAX_TOLD`], then how many more.
#[derive(Default)]
struct Changes {
    lines: Vec<String>,
    untold: usize,
}

impl Changes {
    fn note(&mut self, old: &[u8], why: &str, new: &[String]) {
        if self.lines.len() == MAX_TOLD {
            self.untold += 1;
            return;
        }
        let (old, new) = (String::from_utf8_lossy(old), new.join("/"));
        // `{:?}` makes control characters visible and harmless.
        let (old, new) = (cut(&old, MAX_NAME_LEN), cut(&new, MAX_NAME_LEN));
        self.lines
            .push(format!("the name {old:?} {why}: saved as {new:?}"));
    }

    fn into_lines(mut self) -> Vec<String> {
        if self.untold > 0 {
            self.lines
                .push(format!("and {} more names were changed", self.untold));
        }
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The paths under which a torrent called `t` saves files of these paths.
    fn saved(files: &[&str]) -> Vec<String> {
        let mut names = Names::new(b"t");
        for file in files {
            let path: Vec<_> = file.split('/').map(str::as_bytes).collect();
            names.file(Some(&path)).unwrap();
        }
        names
            .finish()
            .paths
            .iter()
            .map(|path| path[1..].join("/"))
            .collect()
    }

    #[test]
    fn names_become_safe() {
        let long = format!("{}.tar", "é".repeat(200));
        let cases: &[(&[u8], &str)] = &[
            (b"plain name.txt", "plain name.txt"),
            (b"", "_"),
            (b".", "_"),
            (b"..", "__"),
            (b"...", "..."),
            (b".hidden", ".hidden"),
            (b"/etc/passwd", "_etc_passwd"),
            (b"nul\0nl\n\x1b[31m\x7f", "nul_nl__[31m_"),
            ("c1\u{85}".as_bytes(), "c1_"),
            (b"caf\xe9.txt", "caf_.txt"),
            (b"\xff", "_"),
            (long.as_bytes(), &format!("{}.tar", "é".repeat(125))),
            (&[b'x'; 300], &"x".repeat(255)),
        ];
        for (name, safe) in cases {
            assert_eq!(safe_name(name), *safe, "{}", name.escape_ascii());
        }
        for (name, safe) in [
            ("aux.c", "_aux.c"),
            ("COM7", "_COM7"),
            ("com0", "com0"),
            ("auxiliary", "auxiliary"),
            ("a:b?", "a_b_"),
            ("end.", "end._"),
            ("c", "c"),
        ] {
            assert_eq!(safe_on_windows(name), safe);
        }
    }

    #[test]
    fn no_two_files_share_a_path() {
        let cases: &[(&[&str], &[&str])] = &[
            (
                &["a.txt", "a.txt", "a.txt"],
                &["a.txt", "a (2).txt", "a (3).txt"],
            ),
            (&["a", "a/b"], &["a (2)", "a/b"]),
            (&["a/b/c", "a/b", "a"], &["a/b/c", "a/b (2)", "a (2)"]),
            (&["a (2)", "a", "a"], &["a (2)", "a", "a (3)"]),
            (&["a", "a", "a (2)"], &["a", "a (2)", "a (2) (2)"]),
            (&["a", "a", "a (2)/b"], &["a", "a (3)", "a (2)/b"]),
            (&["x/..", "x/__"], &["x/__", "x/__ (2)"]),
            (&["../a", "__/a"], &["__/a", "__/a (2)"]),
            (&[".x", ".x"], &[".x", ".x (2)"]),
            (&["ab", "a/b"], &["ab", "a/b"]),
            (&["a//b", "a/_/b"], &["a/_/b", "a/_/b (2)"]),
        ];
        for (files, expected) in cases {
            assert_eq!(saved(files), *expected, "{files:?}");
        }
    }

    #[test]
    fn long_paths_are_cut_in_the_middle() {
        let deep = vec![&b"d"[..]; 5_000];
        let wide = vec![&[b'w'; 255][..]; 50];
        let mut names = Names::new(&[b'n'; 300]);
        names.file(Some(&deep)).unwrap();
        names.file(Some(&wide)).unwrap();
        let SafeNames {
            paths,
            warnings: lines,
            ..
        } = names.finish();
        assert_eq!(paths[0].len(), MAX_COMPONENTS);
        assert!(paths[1].len() > 10 && paths[1].join("/").len() <= MAX_PATH_LEN);
        assert_eq!(lines.len(), 3, "the root, and each file: {lines:#?}");
    }

    #[test]
    fn changes_are_told_but_not_all() {
        let mut names = Names::new(b"..");
        for _ in 0..100_000 {
            names.file(Some(&[b"\x1b"])).unwrap();
        }
        names.no_file();
        let SafeNames {
            paths,
            warnings: lines,
            ..
        } = names.finish();
        assert_eq!(paths[99_999], ["__", "_ (100000)"]);
        assert!(paths[100_000].is_empty());
        assert_eq!(lines[0], r#"the name ".." is not safe: saved as "__""#);
        assert_eq!(lines[1], r#"the name "\u{1b}" is not safe: saved as "_""#);
        assert_eq!(lines[MAX_TOLD], "and 199990 more names were changed");
    }

    #[test]
    fn what_was_changed_is_known_as_it_was() {
        let mut names = Names::new(b"t");
        for path in [
            &[&b"a b"[..], b"c"][..],
            &[b"..", b"\xff?"],
            &[b"a b", b"c"],
        ] {
            names.file(Some(path)).unwrap();
        }
        let originals = names.finish().originals;
        let expected = [(1, "../%FF%3F"), (2, "a%20b/c")];
        assert_eq!(originals, expected.map(|(i, path)| (i, path.into())).into());
    }

    #[test]
    fn too_many_names() {
        let mut names = Names::new(b"t");
        let path = [&[b'x'; 200][..]; 10];
        assert!((0..100_000).any(|_| names.file(Some(&path)).is_err()));
    }

    proptest! {
        #[test]
        fn any_names_are_safe_and_unique(files in prop::collection::vec(prop::collection::vec("[ab./\0(2) ]{0,3}|.{250,260}", 0..4), 0..30)) {
            let mut names = Names::new(b"t");
            for file in &files {
                let path: Vec<_> = file.iter().map(String::as_bytes).collect();
                names.file(Some(&path)).unwrap();
            }
            let paths = names.finish().paths;
            let unique: HashSet<_> = paths.iter().collect();
            prop_assert_eq!(unique.len(), files.len());
            for path in &paths {
                prop_assert!((1..path.len()).all(|n| !unique.contains(&path[..n].to_vec())), "a file is a folder");
                for name in path {
                    prop_assert!(!name.is_empty() && name.len() <= MAX_NAME_LEN && name != "." && name != "..");
                    prop_assert!(!name.contains(|c: char| c == '/' || c.is_control()));
                }
            }
        }
    }
}
