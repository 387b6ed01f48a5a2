//! Second names for files whose first name a disk may refuse. No I/O.
//!
//! NTFS and exFAT refuse a file `a: what?.txt`, which Linux allows. A name of 200 bytes is too long
//! for eCryptfs. A disk for which `Song.mp3` and `song.mp3` are one name would put two files into
//! one. Such files get a second path here, made of names that every disk takes. It follows from the
//! torrent alone, so a later run finds the file again. The disk decides which of the two paths a
//! file has ([`super::naming`]).

use crate::metainfo::FileEntry;
use crate::names::{is_plain, marked, plain};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hasher;

/// The second path of each file that has one, by the file's index.
pub(super) type Alternates = BTreeMap<usize, Vec<String>>;

/// Returns the second paths of `files`. On no disk do two files share a path, first or second, and
/// no file has the path of a folder.
pub(super) fn alternates(files: &[FileEntry]) -> Alternates {
    let mut taken = Taken::default();
    let mut odd: Vec<usize> = Vec::new();
    for (index, file) in files.iter().enumerate().filter(|(_, file)| !file.pad) {
        let alone = taken.insert(&file.path, index);
        if !alone || !file.path.iter().all(|name| is_plain(name)) {
            odd.push(index);
        }
    }
    // The earlier ones of files that one disk may take for the same.
    let mut shared: Vec<usize> = taken.shared.iter().copied().collect();
    // A file where a folder may be.
    let in_the_way = |index: &usize| taken.folders.contains(&path_key(&files[*index].path));
    shared.extend(
        (0..files.len())
            .filter(|i| !files[*i].pad)
            .filter(in_the_way),
    );
    odd.extend(shared);
    odd.sort_unstable();
    odd.dedup();
    let paths = odd
        .into_iter()
        .map(|index| (index, taken.second(&files[index].path, index)));
    paths.collect()
}

/// The paths in use, as hashes made by [`enter`]: two paths that some disk takes for one have the
/// same hash.
#[derive(Default)]
struct Taken {
    /// For each path, the first file that has it.
    files: HashMap<u64, usize>,
    folders: HashSet<u64>,
    /// Paths of several files.
    crowded: HashSet<u64>,
    /// Files that share a path with a later one.
    shared: HashSet<usize>,
    numbers: u32,
    /// The last file's folder, and its hash: neighbouring files share both.
    last: (Vec<String>, DefaultHasher),
}

impl Taken {
    /// Takes the path for the file `index`. Returns false if an earlier file has it.
    fn insert(&mut self, path: &[String], index: usize) -> bool {
        let Some((name, folders)) = path.split_last() else {
            return true;
        };
        if self.last.0 != folders {
            let mut hasher = DefaultHasher::new();
            for folder in folders {
                enter(&mut hasher, folder);
                self.folders.insert(hasher.finish());
            }
            self.last = (folders.to_vec(), hasher);
        }
        let mut hasher = self.last.1.clone();
        enter(&mut hasher, name);
        let key = hasher.finish();
        let first = *self.files.entry(key).or_insert(index);
        if first != index {
            self.shared.insert(first);
            self.crowded.insert(key);
        }
        first == index
    }

    /// Returns an unused path for the file `index`, made of names that every disk takes.
    fn second(&mut self, path: &[String], index: usize) -> Vec<String> {
        let mut second: Vec<String> = Vec::with_capacity(path.len());
        for folder in path.iter().take(path.len().saturating_sub(1)) {
            let name = plain(folder);
            second.push(name.clone());
            while self.files.contains_key(&path_key(&second)) {
                self.number(&mut second, &name);
            }
        }
        let name = path.last().map_or_else(String::new, |name| plain(name));
        second.push(name.clone());
        while second == path || self.is_taken(&second, index) {
            self.number(&mut second, &name);
        }
        self.insert(&second, index);
        second
    }

    /// Appends the next number to the last name of `path`, which is `name`. Each number is tried
    /// once, so a torrent whose names are made to clash can't make us try for ever.
    fn number(&mut self, path: &mut [String], name: &str) {
        self.numbers += 1;
        if let Some(last) = path.last_mut() {
            *last = marked(name, self.numbers + 1);
        }
    }

    /// Whether a folder, or another file than `index`, may have the path.
    fn is_taken(&self, path: &[String], index: usize) -> bool {
        let key = path_key(path);
        let others = self.files.get(&key).is_some_and(|first| *first != index);
        others || self.crowded.contains(&key) || self.folders.contains(&key)
    }
}

fn path_key(path: &[String]) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.iter().for_each(|name| enter(&mut hasher, name));
    hasher.finish()
}

/// Adds `name` to the hash of a path, in the form that the least careful disk sees. To that disk
/// `A` is `a`, dots and blanks at the end are nothing, and all names are [`plain`].
fn enter(hasher: &mut DefaultHasher, name: &str) {
    let folded = match is_plain(name) {
        true => name.to_lowercase(),
        false => plain(name.trim_end_matches(['.', ' '])).to_lowercase(),
    };
    hasher.write(folded.as_bytes());
    hasher.write_u8(b'/');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<FileEntry> {
        let entry = |path: &&str| FileEntry {
            path: path.split('/').map(str::to_owned).collect(),
            url_path: None,
            pad: false,
            executable: false,
            number: None,
        };
        paths.iter().map(entry).collect()
    }

    fn second(paths: &[&str]) -> Vec<(usize, String)> {
        let found = alternates(&files(paths)).into_iter();
        found.map(|(index, path)| (index, path.join("/"))).collect()
    }

    #[test]
    fn who_has_a_second_name() {
        let long = "é".repeat(100) + ".txt";
        let cut = "é".repeat(69) + ".txt";
        type Case<'a> = (&'a [&'a str], &'a [(usize, &'a str)]);
        let cases: [Case; 8] = [
            (&["t/a", "t/b.c", "t/d/.e"], &[]),
            (&["t/a: what?.txt"], &[(0, "t/a_ what_.txt")]),
            (
                &["t/Live at .../x", "t/con"],
                &[(0, "t/Live at ..._/x"), (1, "t/_con")],
            ),
            (&[&long], &[(0, &cut)]),
            // Both have one, as it depends on the disk which of them is there.
            (
                &["Song.mp3", "song.mp3"],
                &[(0, "Song (2).mp3"), (1, "song (3).mp3")],
            ),
            (&["a", "b", "A."], &[(0, "a (2)"), (2, "A._")]),
            (&["t/X", "t/x/y"], &[(0, "t/X (2)")]),
            // The folder's second name is a file's first one.
            (&["t/a_", "t/a:/b"], &[(0, "t/a_ (2)"), (1, "t/a_ (3)/b")]),
        ];
        for (paths, expected) in cases {
            let expected: Vec<_> = expected
                .iter()
                .map(|(i, path)| (*i, path.to_string()))
                .collect();
            assert_eq!(second(paths), expected, "{paths:?}");
        }
    }

    #[test]
    fn a_second_name_is_nobody_elses() {
        let paths = ["a?", "a_", "a:", "a_ (1)", "A*", "a_/b", "a?/b", "a_ (3)"];
        let files = files(&paths);
        let found = alternates(&files);
        let mut taken = Taken::default();
        for (index, file) in files.iter().enumerate() {
            let path = found.get(&index).unwrap_or(&file.path);
            assert!(!taken.is_taken(path, index), "{path:?} in {found:?}");
            taken.insert(path, index);
        }
        assert!(
            found.values().flatten().all(|name| is_plain(name)),
            "{found:?}"
        );
    }

    /// Such names once caused an endless loop, and a number below zero.
    #[test]
    fn names_made_to_clash_have_other_names_too() {
        let a = "a".repeat(142);
        let folders = [format!("{a}_"), format!("{a}:/f")];
        let mut chain = vec!["x?".to_owned(), "x_".into()];
        for _ in 0..150 {
            let last = chain.last().map_or("", |name| name);
            let next = format!("{last} (2)");
            chain.push(next.chars().take(250).collect());
        }
        chain.dedup();
        for names in [&folders[..], &chain] {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let found = second(&names);
            assert!(
                found.iter().all(|(_, path)| path.split('/').all(is_plain)),
                "{found:?}"
            );
        }
    }

    #[test]
    fn names_made_to_clash_are_resolved_soon() {
        let names = (0..20_000).map(|i| {
            format!(
                "x?{}",
                if i % 2 == 0 {
                    String::new()
                } else {
                    format!(" ({i})")
                }
            )
        });
        let names: Vec<String> = names.collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(second(&names).len(), names.len());
    }
}
