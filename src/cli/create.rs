//! `storrent create`: makes a `.torrent` ([BEP 3]) of a file or folder.
//!
//! The same input must give the same info hash on every machine. So the files are sorted by the
//! bytes of their paths, and what not every disk can hold (symlinks, empty folders, devices) is
//! left out.
//!
//! `check` and `seed` must find the files where they are. A client that reads a torrent changes
//! unsafe names ([`crate::names`]), and would look for another file. So we read the torrent back
//! and refuse such names. All checks that need no hashes come before the long hashing.
//!
//! A file that changes before all files are read is refused, too. A file that appears during the
//! hashing is left out.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use super::args::Create;
use super::hashing::{self, HashError, Source};
use super::save::Output;
use super::{Failure, print, warn};
use crate::compose::{self, Content, Info, Outside};
use crate::engine::cores;
use crate::human::{chain, count, escaped, grouped, size_exact};
use crate::layout::Layout;
use crate::magnet;
use crate::metainfo::{self, Metainfo};
use crate::progress::Hashing;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Why no torrent could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The system refused to read it.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Nothing is at that path.
    #[error("cannot share {}: there is no such file or folder; check the path", .0.display())]
    Missing(PathBuf),
    /// A file can't be hashed.
    #[error(transparent)]
    File(#[from] HashError),
    /// A name is not UTF-8, as text in a torrent is.
    #[error("the name of {} is not UTF-8; rename it", .0.display())]
    Name(PathBuf),
    /// Clients would change the name, and look for another file.
    #[error(
        "cannot share {} under that name: whoever has the torrent would save it as {saved}; rename it",
        path.display()
    )]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// The changed path, below the folder to save in.
        saved: String,
    },
    /// The name marks the file as padding: zeros that no client saves.
    #[error(
        "cannot share {} under that name: whoever has the torrent would take it for padding and not save it; rename it",
        .0.display()
    )]
    Padding(PathBuf),
    /// It is `/`, or a device.
    #[error("{} can't be shared: it is no file and no folder with a name", .0.display())]
    Kind(PathBuf),
    /// No file has a byte.
    #[error("there is nothing to share in {}: it holds no file with anything in it", .0.display())]
    Nothing(PathBuf),
}

#[derive(Debug, Default)]
struct Found {
    name: String,
    is_folder: bool,
    /// Path below the folder, and length in bytes, in the torrent's order.
    files: Vec<(Vec<String>, u64)>,
    /// The same files on disk, in the same order.
    sources: Vec<Source>,
    /// Warnings: what is left out, and why.
    remarks: Vec<String>,
}

/// Runs the job.
///
/// # Errors
/// [`Failure`], if a file can't be read or changes, if there is nothing to share, if a client would
/// change a name, or if the result can't be saved.
pub fn run(options: &Create) -> Result<(), Failure> {
    let found = find(&options.path)?;
    let default = || PathBuf::from(format!("{}.torrent", found.name));
    let draft = Draft::new(options, &found)?;
    let output = Output::new(&options.output.clone().unwrap_or_else(default))?;
    if !options.quiet {
        found.remarks.iter().for_each(|what| warn(what));
        if options.private && options.tracker.is_empty() {
            warn("a private torrent without a tracker (-t) can only be fetched with --peer");
        }
    }
    let shown = Hashing::of(&found.name, draft.layout.pieces(), !options.quiet);
    let bytes = draft.finish(&|done| shown.progress(done));
    drop(shown);
    let bytes = bytes?;
    // Read back, so that we print what clients will see.
    let metainfo = metainfo::parse(&bytes)?;
    if !options.quiet {
        metainfo.warnings.iter().for_each(|warning| warn(warning));
    }
    output.save(&bytes)?;
    if options.quiet {
        return Ok(());
    }
    print(&format!(
        "Saved        {}\nSize         {} in {}\nPieces       {} of {}\nInfo hash    {}\nMagnet link  {}\n",
        escaped(&output.path().to_string_lossy()),
        size_exact(metainfo.total_bytes()),
        count(found.files.len() as u64, "file"),
        grouped(metainfo.layout.pieces().into()),
        size_exact(metainfo.layout.piece_length().into()),
        metainfo.info_hash,
        magnet::link(&metainfo),
    ))
}

/// A torrent without its hashes.
struct Draft<'a> {
    options: &'a Create,
    found: &'a Found,
    layout: Layout,
}

impl<'a> Draft<'a> {
    /// Makes a draft. Fails if clients could not read it, or would look for other files.
    fn new(options: &'a Create, found: &'a Found) -> Result<Self, Failure> {
        let sizes: Vec<_> = found.files.iter().map(|(_, len)| (*len, false)).collect();
        // Sparse files can add up to more than a `u64` holds.
        let total = sizes
            .iter()
            .fold(0, |sum: u64, (len, _)| sum.saturating_add(*len));
        let length = options.piece_length;
        let piece_length = length.unwrap_or_else(|| compose::choose_piece_length(total));
        let failed = |error: &dyn Error| {
            Failure::Failed(format!(
                "cannot share {}: {}; try a larger --piece-length, or share it in parts",
                found.name,
                chain(error)
            ))
        };
        let layout = Layout::new(piece_length.into(), &sizes).map_err(|error| failed(&error))?;
        let draft = Self {
            options,
            found,
            layout,
        };
        let no_hashes = vec![0; 20 * draft.layout.pieces() as usize];
        let read_back =
            metainfo::parse(&draft.torrent(&no_hashes)).map_err(|error| failed(&error))?;
        found.check_names(&read_back)?;
        Ok(draft)
    }

    /// Hashes the files and returns the torrent's bytes. Calls `progress` with the number of pieces
    /// done.
    fn finish(&self, progress: &(dyn Fn(u32) + Sync)) -> Result<Vec<u8>, HashError> {
        let hashes = hashing::hash(&self.layout, &self.found.sources, cores(), progress)?;
        Ok(self.torrent(&hashes))
    }

    /// `hashes`: 20 bytes per piece.
    fn torrent(&self, hashes: &[u8]) -> Vec<u8> {
        let Self { options, found, .. } = self;
        let info = Info {
            name: &found.name,
            content: match found.is_folder {
                true => Content::Folder(&found.files),
                false => Content::File(found.files.iter().map(|(_, len)| len).sum()),
            },
            piece_length: self.layout.piece_length(),
            hashes,
            private: options.private,
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let tiers: Vec<_> = options
            .tracker
            .iter()
            .map(|url| vec![url.clone()])
            .collect();
        let outside = Outside {
            trackers: &tiers,
            webseeds: &options.webseed,
            comment: options.comment.as_deref(),
            creation_date: now.ok().and_then(|time| i64::try_from(time.as_secs()).ok()),
        };
        compose::torrent(&info, outside)
    }
}

impl Found {
    /// Refuses names under which clients would look for another file.
    fn check_names(&self, read_back: &Metainfo) -> Result<(), CreateError> {
        for (file, ((below, _), source)) in self.files.iter().zip(&self.sources).enumerate() {
            let saved = &read_back.files[file];
            let path = source.path.clone();
            let here = [&self.name].into_iter().chain(below);
            if saved.pad {
                return Err(CreateError::Padding(path));
            }
            if !saved.path.iter().eq(here) {
                let saved = saved.path.join("/");
                return Err(CreateError::Unsafe { path, saved });
            }
        }
        Ok(())
    }
}

fn find(path: &Path) -> Result<Found, CreateError> {
    let failed = |source: io::Error| match (source.kind(), path.to_owned()) {
        (io::ErrorKind::NotFound, path) => CreateError::Missing(path),
        (_, path) => CreateError::Io { path, source },
    };
    let about = fs::metadata(path).map_err(failed)?;
    // Drops a trailing `/` or `.`, with which the system would follow a symlink.
    let plain: PathBuf = path.components().collect();
    let is_link = plain.is_symlink();
    // `.` and `..` have a name only when written out. A symlink gets its target's name, because
    // `seed` and `check` follow no symlink.
    let real = match plain.file_name() {
        Some(_) if !is_link => plain,
        _ => path.canonicalize().map_err(failed)?,
    };
    let name = real
        .file_name()
        .ok_or_else(|| CreateError::Kind(path.to_owned()))?;
    let name = name
        .to_str()
        .ok_or_else(|| CreateError::Name(real.clone()))?;
    let mut found = Found {
        name: name.to_string(),
        is_folder: about.is_dir(),
        ..Found::default()
    };
    let mut files = Vec::new();
    if about.is_dir() {
        files = walk(&real, &mut found.remarks)?;
        // Sorted as whole strings: `a.txt` comes before `a/b`.
        files.sort_by_cached_key(|(names, _)| names.join("/"));
        found.remarks.sort();
    } else if about.is_file() {
        files.push((Vec::new(), Source::find(real.clone())?));
    } else {
        return Err(CreateError::Kind(path.to_owned()));
    }
    if is_link {
        let (path, real) = (path.display(), real.display());
        let remark = format!("{path} is a symlink: the torrent is of {real}, under its name");
        found.remarks.push(remark);
    }
    for (names, source) in files {
        found.files.push((names, source.stamp.len));
        found.sources.push(source);
    }
    if found.files.iter().all(|(_, len)| *len == 0) {
        return Err(CreateError::Nothing(path.to_owned()));
    }
    Ok(found)
}

/// Collects the files below `top`, with their paths below it, and notes in `remarks` what is left
/// out. Follows no symlink, so it can't run in circles.
fn walk(top: &Path, remarks: &mut Vec<String>) -> Result<Vec<(Vec<String>, Source)>, CreateError> {
    let mut files = Vec::new();
    let mut folders = vec![(top.to_owned(), Vec::<String>::new())];
    while let Some((folder, names)) = folders.pop() {
        let failed = |source| CreateError::Io {
            path: folder.clone(),
            source,
        };
        let mut is_empty = true;
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            is_empty = false;
            let path = entry.path();
            let kind = entry.file_type().map_err(failed)?;
            if !kind.is_dir() && !kind.is_file() {
                let what = if kind.is_symlink() {
                    "a symlink"
                } else {
                    "no plain file"
                };
                remarks.push(format!("{} is left out: it is {what}", path.display()));
                continue;
            }
            let name = entry.file_name().into_string();
            let name = name.map_err(|_| CreateError::Name(path.clone()))?;
            let names = [&names[..], &[name]].concat();
            if kind.is_dir() {
                folders.push((path, names));
            } else {
                files.push((names, Source::find(path)?));
            }
        }
        if is_empty && !names.is_empty() {
            let path = folder.display();
            remarks.push(format!("{path} is left out: it is an empty folder"));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn options(path: &Path) -> Create {
        Create {
            output: None,
            tracker: vec!["http://t/1".into(), "http://t/2".into()],
            webseed: vec!["http://w/".into()],
            piece_length: Some(16384),
            private: true,
            comment: Some("c".into()),
            quiet: true,
            path: path.to_owned(),
        }
    }

    fn composed(options: &Create, found: &Found) -> Vec<u8> {
        Draft::new(options, found).unwrap().finish(&|_| {}).unwrap()
    }

    #[test]
    fn a_folder_in_byte_order_without_what_cant_be_shared() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir_all(top.join("a/deep")).unwrap();
        fs::create_dir(top.join("empty")).unwrap();
        for (path, len) in [
            ("a/b", 20_000),
            ("a.txt", 1),
            ("B", 2),
            ("a/deep/é", 0),
            (".c", 3),
        ] {
            fs::write(top.join(path), vec![7; len]).unwrap();
        }
        symlink("/etc", top.join("link")).unwrap();
        let found = find(&top).unwrap();
        let paths: Vec<_> = found
            .files
            .iter()
            .map(|(names, _)| names.join("/"))
            .collect();
        assert_eq!(paths, [".c", "B", "a.txt", "a/b", "a/deep/é"]);
        assert_eq!(found.remarks.len(), 2, "{:?}", found.remarks);
        assert!(found.remarks[0].contains("empty") && found.remarks[1].contains("symlink"));

        let bytes = composed(&options(&top), &found);
        let metainfo = metainfo::parse(&bytes).unwrap();
        assert!(metainfo.private && metainfo.multi_file && metainfo.warnings.is_empty());
        assert_eq!((&*metainfo.name, metainfo.layout.pieces()), ("top", 2));
        assert_eq!(metainfo.trackers, [["http://t/1"], ["http://t/2"]]);
        assert_eq!(metainfo.files[4].path, ["top", "a", "deep", "é"]);
        let again = metainfo::parse(&composed(&options(&top), &found)).unwrap();
        assert_eq!(again.info_hash, metainfo.info_hash);
    }

    #[test]
    fn one_file_and_what_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, b"hello").unwrap();
        fs::write(dir.path().join("zero"), b"").unwrap();
        let found = find(&path).unwrap();
        let metainfo = metainfo::parse(&composed(&options(&path), &found)).unwrap();
        assert_eq!((metainfo.multi_file, metainfo.total_bytes()), (false, 5));
        fs::create_dir_all(dir.path().join("hollow/inner")).unwrap();
        for nothing in ["zero", "hollow"] {
            let error = find(&dir.path().join(nothing)).unwrap_err();
            assert!(matches!(error, CreateError::Nothing(_)), "{error}");
        }
        let missing = find(&dir.path().join("missing")).unwrap_err();
        assert!(matches!(missing, CreateError::Missing(_)));
        assert!(matches!(
            find(Path::new("/dev/null")),
            Err(CreateError::Kind(_))
        ));
        // The same folder, written in another way.
        let dotted = find(&dir.path().join("hollow/..")).unwrap();
        assert_eq!(
            Some(&*dotted.name),
            dir.path().file_name().and_then(|name| name.to_str())
        );
    }

    #[test]
    fn names_that_are_no_text() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(std::ffi::OsStr::from_bytes(b"a\xff"));
        fs::write(&path, b"x").unwrap();
        assert!(matches!(find(&path), Err(CreateError::Name(_))));
        assert!(matches!(find(dir.path()), Err(CreateError::Name(_))));
    }

    /// It is refused before the hashing, and the message names the right file.
    #[test]
    fn names_that_would_not_stay() {
        let refused = |top: &Path, name: &str, content: &str| {
            let path = top.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            let found = find(top).unwrap();
            let drafted = Draft::new(&options(top), &found).map(drop);
            fs::remove_file(&path).unwrap();
            let Err(Failure::Failed(text)) = drafted else {
                return None;
            };
            let named = format!("cannot share {} under that name: ", path.display());
            assert!(text.starts_with(&named), "{text}");
            Some(text)
        };
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir(&top).unwrap();
        fs::write(top.join("good"), "x").unwrap();
        let deep = "d/".repeat(99) + "x";
        for name in ["Icon\r", "a\nb", "tab\t/x", "x/\u{85}", "\u{1}", &deep] {
            let text = refused(&top, name, "").unwrap_or_else(|| panic!("{name:?} is taken"));
            assert!(text.contains("would save it as top/"), "{text}");
        }
        let text = refused(&top, "in/_____padding_file_0_", "x").unwrap();
        assert!(text.contains("take it for padding"), "{text}");
        let shallow = "d/".repeat(98) + "x";
        for name in [
            "| a:b |",
            "a\\b",
            "... ",
            " x",
            "CON",
            "good.",
            "GOOD",
            "é\u{301}",
            &shallow,
        ] {
            assert_eq!(refused(&top, name, "x"), None, "{name:?}");
        }
        // The torrent's own name.
        let odd = dir.path().join("odd\n");
        fs::create_dir(&odd).unwrap();
        assert!(refused(&odd, "x", "x").is_some());
        let found = find(&top.join("good")).unwrap();
        assert!(Draft::new(&options(&top), &found).is_ok());
        fs::write(dir.path().join("\r"), "x").unwrap();
        let found = find(&dir.path().join("\r")).unwrap();
        assert!(Draft::new(&options(&top), &found).is_err());
    }

    /// A sparse file may have any length up to `i64::MAX`.
    #[test]
    fn more_bytes_than_a_torrent_can_have() {
        let names = |name: &str| vec![name.to_string()];
        let len = i64::MAX as u64;
        for count in 1..4 {
            let found = Found {
                name: "n".into(),
                is_folder: true,
                files: ["a", "b", "c"][..count]
                    .iter()
                    .map(|name| (names(name), len))
                    .collect(),
                ..Found::default()
            };
            let options = options(Path::new("n"));
            let Err(Failure::Failed(text)) = Draft::new(&options, &found).map(drop) else {
                panic!("{count} such files are taken");
            };
            assert!(text.starts_with("cannot share n: "), "{text}");
        }
    }

    /// `seed` and `check` follow no symlink, so the torrent has the name of the target.
    #[test]
    fn a_symlink_is_what_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        fs::write(dir.path().join("real/x"), "x").unwrap();
        symlink("real", dir.path().join("link")).unwrap();
        for path in ["link", "link/", "link/."] {
            let found = find(&dir.path().join(path)).unwrap();
            assert_eq!(found.name, "real", "{path}");
            assert!(found.remarks[0].contains("is a symlink"), "{path}");
        }
        for path in ["real", "link/x", "real/."] {
            assert!(find(&dir.path().join(path)).unwrap().remarks.is_empty());
        }
    }

    /// A new file in the folder does not matter; a removed one does.
    #[test]
    fn a_folder_that_changes_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir(&top).unwrap();
        fs::write(top.join("x"), [1; 40_000]).unwrap();
        fs::write(top.join("zero"), "").unwrap();
        let found = find(&top).unwrap();
        let options = options(&top);
        let draft = Draft::new(&options, &found).unwrap();
        let new = |_| fs::write(top.join("new"), "x").unwrap();
        assert!(draft.finish(&new).is_ok());
        let remove = |_| drop(fs::remove_file(top.join("zero")));
        let path = top.join("zero");
        match draft.finish(&remove) {
            Err(HashError::Vanished { path: gone }) => assert_eq!(gone, path),
            other => panic!("{other:?}"),
        }
    }
}
