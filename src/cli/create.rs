//! `storrent create`: makes a `.torrent` of a file or folder.
//!
//! The same input must give the same info hash on every machine. So the files are in
//! the byte order of their paths, whatever order the disk lists them in, and what one
//! disk has and another has not (symlinks, empty folders, devices) is left out.

use super::args::Create;
use super::{Failure, hashing, print, save, warn};
use crate::compose::{self, Content, Info, Outside};
use crate::human::{escaped, percent, size_exact};
use crate::layout::Layout;
use crate::{magnet, metainfo, progress};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::SystemTime;

/// Why there is no torrent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A name that a torrent can't hold: its text is UTF-8.
    #[error("the name of {} is not UTF-8; rename it", .0.display())]
    Name(PathBuf),
    /// `/`, or a device.
    #[error("{} can't be shared: it is no file and no folder with a name", .0.display())]
    Kind(PathBuf),
    /// No bytes at all.
    #[error("there is nothing to share in {}: it holds no file with anything in it", .0.display())]
    Nothing(PathBuf),
}

/// What is to be shared.
#[derive(Debug, Default)]
struct Found {
    name: String,
    is_folder: bool,
    /// Path below the folder, bytes, and the path to open; in the torrent's order.
    files: Vec<(Vec<String>, u64, PathBuf)>,
    /// What is left out, and why.
    left_out: Vec<String>,
}

/// Runs `storrent create`.
///
/// # Errors
/// [`Failure`], if something can't be read, there is nothing to share, or the result
/// can't be saved.
pub fn run(options: &Create) -> Result<(), Failure> {
    let found = find(&options.path)?;
    let output = match &options.output {
        Some(path) => path.clone(),
        None => PathBuf::from(format!("{}.torrent", found.name)),
    };
    // Said now, and not after an hour of hashing.
    if fs::symlink_metadata(&output).is_ok() {
        let path = output.display();
        let text = format!("{path} is there already and is not overwritten; give another -o FILE");
        return Err(Failure::Failed(text));
    }
    if !options.quiet {
        found.left_out.iter().for_each(|what| warn(what));
        if options.private && options.tracker.is_empty() {
            warn("a private torrent without a tracker (-t) can only be fetched with --peer");
        }
    }
    let bytes = compose(options, &found)?;
    // Read back: what others will make of it, names included, is what is printed.
    let metainfo = metainfo::parse(&bytes)?;
    if !options.quiet {
        metainfo.warnings.iter().for_each(|warning| warn(warning));
    }
    save(&output, &bytes)?;
    if options.quiet {
        return Ok(());
    }
    print(&format!(
        "Saved        {}\nSize         {} in {}\nPieces       {} of {}\nInfo hash    {}\nMagnet link  {}\n",
        escaped(&output.to_string_lossy()),
        size_exact(metainfo.total_bytes()),
        crate::human::count(found.files.len() as u64, "file"),
        metainfo.layout.pieces(),
        size_exact(metainfo.layout.piece_length().into()),
        metainfo.info_hash,
        magnet::link(&metainfo),
    ))
}

/// Hashes what was found and makes the bytes of the torrent.
fn compose(options: &Create, found: &Found) -> Result<Vec<u8>, Failure> {
    let sizes: Vec<_> = found
        .files
        .iter()
        .map(|(_, len, _)| (*len, false))
        .collect();
    let total = sizes.iter().map(|(len, _)| len).sum();
    let length = options.piece_length;
    let piece_length = length.unwrap_or_else(|| compose::choose_piece_length(total));
    let layout = Layout::new(piece_length.into(), &sizes).map_err(|error| {
        Failure::Failed(format!(
            "cannot share {}: {error}; try a larger --piece-length",
            found.name
        ))
    })?;
    let paths: Vec<_> = found
        .files
        .iter()
        .map(|(_, _, path)| path.clone())
        .collect();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let bar = progress::bar(!options.quiet);
    let name = escaped(&found.name);
    let hashes = hashing::hash(&layout, &paths, threads, |done| {
        let part = percent(done.into(), layout.pieces().into());
        bar.set_message(format!("{name}: hashing, {part}"));
    });
    bar.finish_and_clear();
    let hashes = hashes?;
    let files: Vec<_> = found
        .files
        .iter()
        .map(|(path, len, _)| (path.clone(), *len))
        .collect();
    let info = Info {
        name: &found.name,
        content: match found.is_folder {
            true => Content::Folder(&files),
            false => Content::File(total),
        },
        piece_length,
        hashes: &hashes,
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
    Ok(compose::torrent(&info, outside))
}

/// Lists what is to be shared.
fn find(path: &Path) -> Result<Found, CreateError> {
    let failed = |source| CreateError::Io {
        path: path.to_owned(),
        source,
    };
    let about = fs::metadata(path).map_err(failed)?;
    // `.` and `..` have a name only when written out.
    let real = match path.file_name() {
        Some(_) => path.to_owned(),
        None => path.canonicalize().map_err(failed)?,
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
    if about.is_dir() {
        walk(&real, &mut found)?;
        // As one string each, not name by name: `a.txt` comes before `a/b`.
        found
            .files
            .sort_by_cached_key(|(names, _, _)| names.join("/"));
        found.left_out.sort();
    } else if about.is_file() {
        found.files.push((Vec::new(), about.len(), real));
    } else {
        return Err(CreateError::Kind(path.to_owned()));
    }
    match found.files.iter().all(|(_, len, _)| *len == 0) {
        true => Err(CreateError::Nothing(path.to_owned())),
        false => Ok(found),
    }
}

/// Collects the files below the folder `top`. No symlink is followed, so it ends.
fn walk(top: &Path, found: &mut Found) -> Result<(), CreateError> {
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
            let failed = |source| CreateError::Io {
                path: path.clone(),
                source,
            };
            let kind = entry.file_type().map_err(failed)?;
            let what = match () {
                () if kind.is_symlink() => "a symlink",
                () if kind.is_dir() || kind.is_file() => {
                    let name = entry.file_name().into_string();
                    let name = name.map_err(|_| CreateError::Name(path.clone()))?;
                    let names = [&names[..], &[name]].concat();
                    if kind.is_dir() {
                        folders.push((path, names));
                    } else {
                        let len = entry.metadata().map_err(failed)?.len();
                        found.files.push((names, len, path));
                    }
                    continue;
                }
                () => "no plain file",
            };
            found
                .left_out
                .push(format!("{} is left out: it is {what}", path.display()));
        }
        if is_empty && !names.is_empty() {
            let path = folder.display();
            found
                .left_out
                .push(format!("{path} is left out: it is an empty folder"));
        }
    }
    Ok(())
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
            .map(|(names, _, _)| names.join("/"))
            .collect();
        assert_eq!(paths, [".c", "B", "a.txt", "a/b", "a/deep/é"]);
        assert_eq!(found.left_out.len(), 2, "{:?}", found.left_out);
        assert!(found.left_out[0].contains("empty") && found.left_out[1].contains("symlink"));

        let bytes = compose(&options(&top), &found).unwrap();
        let metainfo = metainfo::parse(&bytes).unwrap();
        assert!(metainfo.private && metainfo.multi_file && metainfo.warnings.is_empty());
        assert_eq!((&*metainfo.name, metainfo.layout.pieces()), ("top", 2));
        assert_eq!(metainfo.trackers, [["http://t/1"], ["http://t/2"]]);
        assert_eq!(metainfo.files[4].path, ["top", "a", "deep", "é"]);
        let again = metainfo::parse(&compose(&options(&top), &found).unwrap()).unwrap();
        assert_eq!(again.info_hash, metainfo.info_hash);
    }

    #[test]
    fn one_file_and_what_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, b"hello").unwrap();
        fs::write(dir.path().join("zero"), b"").unwrap();
        let found = find(&path).unwrap();
        let metainfo = metainfo::parse(&compose(&options(&path), &found).unwrap()).unwrap();
        assert_eq!((metainfo.multi_file, metainfo.total_bytes()), (false, 5));
        fs::create_dir_all(dir.path().join("hollow/inner")).unwrap();
        for nothing in ["zero", "hollow"] {
            let error = find(&dir.path().join(nothing)).unwrap_err();
            assert!(matches!(error, CreateError::Nothing(_)), "{error}");
        }
        let missing = find(&dir.path().join("missing")).unwrap_err();
        assert!(matches!(missing, CreateError::Io { .. }));
        assert!(matches!(
            find(Path::new("/dev/null")),
            Err(CreateError::Kind(_))
        ));
        // Written otherwise it is the same folder, with the same name.
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
}
