//! Opens files below DIR, and never outside it.
//!
//! The names of a torrent's files are safe (no `..`, no `/`), but a path can still lead out of DIR:
//! if `DIR/name` is a symlink to `/etc`, then `DIR/name/passwd` is not in DIR. So we never give the
//! system a whole path. We open each folder on the way within the one before, and refuse symlinks.
//! Only DIR itself may be one, because the user named it. At the end there must be a plain file: no
//! torrent may make us write to a device or wait on a FIFO.
//!
//! A walk begins at DIR, or where the last walk ended ([`Folder`]), because neighbouring files
//! share folders. In a torrent of 20,000 files, walking to the same folders took a third of a
//! download's processor time.

use super::error::StorageError;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, mkdirat, openat, statat};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    /// The file must exist.
    Read,
    /// For reading, too. The file and its folders are made if missing.
    Write {
        /// Whether a new file may be run as a program (BEP 47, attribute `x`).
        executable: bool,
    },
}

/// The folder that no walk leaves.
pub(super) struct Root<'a> {
    pub dir: BorrowedFd<'a>,
    /// For error messages only.
    pub path: &'a Path,
}

/// The folder where the last walk ended, still open. It may have been removed meanwhile, so
/// whatever fails there is tried once more from DIR.
#[derive(Debug, Default)]
pub(super) struct Folder {
    open: Option<(Vec<String>, OwnedFd)>,
    /// A folder that did not exist.
    missing: Vec<String>,
}

/// The names in folders, by the folders' paths below DIR: see [`Root::is_listed`].
pub(super) type Listings = HashMap<Vec<String>, HashSet<Vec<u8>>>;

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opens DIR itself, the only folder that may be a symlink.
pub(super) fn open_dir(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

impl Root<'_> {
    /// Opens the plain file at `names` (folders, then the file's own name), and returns what the
    /// system knows of it. `None`: it is missing, and `access` is to read.
    ///
    /// # Errors
    /// [`StorageError::WrongKind`], if a symlink or anything else is in the way.
    pub(super) fn open(
        &self,
        names: &[String],
        access: Access,
        last: &mut Folder,
    ) -> Result<Option<(OwnedFd, Stat)>, StorageError> {
        let mut flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
        // Without this, opening a FIFO would wait for its other end.
        flags |= OFlags::NONBLOCK;
        let mut mode = Mode::empty();
        match access {
            Access::Read => flags |= OFlags::RDONLY,
            Access::Write { executable } => {
                flags |= OFlags::RDWR | OFlags::CREATE;
                // The user's umask removes some of these.
                mode = Mode::from_raw_mode(if executable { 0o777 } else { 0o666 });
            }
        }
        self.within(names, access != Access::Read, last, |folder, name| {
            let file = openat(folder, name, flags, mode)?;
            let stat = fstat(&file)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Ok((file, stat)),
                // `explain` finds out what it is.
                _ => Err(Errno::LOOP),
            }
        })
    }

    /// Looks at the plain file at `names` without opening it. `None` if it is missing, or if it is
    /// in the folder that the `last` look found missing.
    pub(super) fn stat(
        &self,
        names: &[String],
        last: &mut Folder,
    ) -> Result<Option<Stat>, StorageError> {
        if !last.missing.is_empty() && names.starts_with(&last.missing) {
            return Ok(None);
        }
        self.within(names, false, last, |folder, name| {
            let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Ok(stat),
                _ => Err(Errno::LOOP),
            }
        })
    }

    /// Whether each folder lists exactly the next of `names`. A disk that takes `A` for `a`, or
    /// drops a dot at the end, finds a file under names that it does not have. `listings`: the
    /// folders read so far. A missing folder lists nothing.
    pub(super) fn is_listed(
        &self,
        names: &[String],
        listings: &mut Listings,
    ) -> Result<bool, StorageError> {
        for count in 1..=names.len() {
            let (folders, name) = names[..count].split_at(count - 1);
            if !listings.contains_key(folders) {
                let listing = match self.list(folders) {
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::INVAL) => {
                        HashSet::new()
                    }
                    listing => {
                        let dir = self.path.to_owned();
                        listing.map_err(|errno| StorageError::io("list", dir, errno))?
                    }
                };
                listings.insert(folders.to_vec(), listing);
            }
            let listing = listings.get(folders);
            let has = |listing: &HashSet<Vec<u8>>| {
                name.iter().all(|name| listing.contains(name.as_bytes()))
            };
            if !listing.is_some_and(has) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn list(&self, folders: &[String]) -> Result<HashSet<Vec<u8>>, Errno> {
        let mut at = openat(self.dir, ".", FOLDER, Mode::empty())?;
        for name in folders {
            at = openat(&at, name.as_str(), FOLDER, Mode::empty())?;
        }
        let entries = rustix::fs::Dir::read_from(&at)?;
        entries
            .map(|entry| Ok(entry?.file_name().to_bytes().to_vec()))
            .collect()
    }

    pub(super) fn remove(&self, names: &[String]) -> Result<(), StorageError> {
        self.within(names, false, &mut Folder::default(), |folder, name| {
            rustix::fs::unlinkat(folder, name, AtFlags::empty())
        })
        .map(drop)
    }

    /// Walks to the folder of `names`, and calls `then` there with the last name.
    fn within<T>(
        &self,
        names: &[String],
        make: bool,
        last: &mut Folder,
        then: impl Fn(BorrowedFd<'_>, &str) -> Result<T, Errno>,
    ) -> Result<Option<T>, StorageError> {
        let Some((name, folders)) = names.split_last() else {
            return Ok(None);
        };
        if let Some((at, folder)) = &last.open
            && at == folders
            && let Ok(result) = then(folder.as_fd(), name)
        {
            return Ok(Some(result));
        }
        let mut at: Option<OwnedFd> = None;
        for (i, name) in folders.iter().enumerate() {
            let here = at.as_ref().map_or(self.dir, AsFd::as_fd);
            match open_folder(here, name, make) {
                Ok(folder) => at = Some(folder),
                Err(Errno::NOENT) if !make => {
                    last.missing = folders[..=i].to_vec();
                    return Ok(None);
                }
                Err(errno) => return Err(self.explain(here, &names[..=i], "folder", errno)),
            }
        }
        let here = at.as_ref().map_or(self.dir, AsFd::as_fd);
        let result = match then(here, name) {
            Ok(result) => Ok(Some(result)),
            Err(Errno::NOENT) if !make => Ok(None),
            Err(errno) => Err(self.explain(here, names, "plain file", errno)),
        };
        last.missing.clear();
        last.open = at.map(|folder| (folders.to_vec(), folder));
        result
    }

    /// Turns `errno`, about the last of `names`, which is in `folder`, into an error for the user.
    fn explain(
        &self,
        folder: BorrowedFd<'_>,
        names: &[String],
        expected: &'static str,
        errno: Errno,
    ) -> StorageError {
        let path = names
            .iter()
            .fold(PathBuf::from(self.path), |path, name| path.join(name));
        let odd = [
            Errno::LOOP,
            Errno::NOTDIR,
            Errno::ISDIR,
            Errno::NXIO,
            Errno::MLINK,
        ];
        let name = names.last().map_or("", String::as_str);
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
        match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(found) if odd.contains(&errno) => StorageError::WrongKind {
                path,
                kind: match found {
                    FileType::Symlink => "a symlink",
                    FileType::Directory => "a folder",
                    FileType::RegularFile => "a file",
                    FileType::Fifo => "a FIFO",
                    FileType::Socket => "a socket",
                    _ => "a device",
                },
                expected,
            },
            _ => StorageError::io("open", path, errno),
        }
    }
}

/// Opens the folder `name` in `here`. If it is missing, `make` makes it.
fn open_folder(here: BorrowedFd<'_>, name: &str, make: bool) -> Result<OwnedFd, Errno> {
    let open = || openat(here, name, FOLDER, Mode::empty());
    match open() {
        Err(Errno::NOENT) if make => match mkdirat(here, name, Mode::from_raw_mode(0o777)) {
            // Another thread may just have made it for a file of its own.
            Ok(()) | Err(Errno::EXIST) => open(),
            Err(errno) => Err(errno),
        },
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, mknodat};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn names(path: &str) -> Vec<String> {
        path.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn nothing_but_plain_files_in_plain_folders() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "untouched").unwrap();
        let inside = tempfile::tempdir().unwrap();
        let at = |name: &str| inside.path().join(name);
        symlink(outside.path(), at("way_out")).unwrap();
        symlink(outside.path().join("secret"), at("link")).unwrap();
        symlink(outside.path().join("new"), at("dangling")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        let fifo = Mode::from_raw_mode(0o666);
        mknodat(CWD, at("fifo"), FileType::Fifo, fifo, 0).unwrap();

        let dir = open_dir(inside.path()).unwrap();
        let root = Root {
            dir: dir.as_fd(),
            path: inside.path(),
        };
        for (path, what) in [
            ("way_out/secret", "a symlink, not a folder"),
            ("way_out/new", "a symlink, not a folder"),
            ("way_out/sub/new", "a symlink, not a folder"),
            ("link", "a symlink, not a plain file"),
            ("dangling", "a symlink, not a plain file"),
            ("folder", "a folder, not a plain file"),
            ("fifo", "a FIFO, not a plain file"),
            ("file/below", "a file, not a folder"),
        ] {
            for access in [Access::Read, Access::Write { executable: false }] {
                let error = root
                    .open(&names(path), access, &mut Folder::default())
                    .unwrap_err()
                    .to_string();
                assert!(error.contains(what), "{path}: {error}");
            }
            let error = root
                .stat(&names(path), &mut Folder::default())
                .unwrap_err()
                .to_string();
            assert!(error.contains(what), "{path}: {error}");
        }
        let left: Vec<_> = std::fs::read_dir(outside.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing was made outside");
        let secret = std::fs::read(outside.path().join("secret")).unwrap();
        assert_eq!(secret, b"untouched");
    }

    #[test]
    fn folders_and_programs_are_made_on_demand() {
        let temp = tempfile::tempdir().unwrap();
        let link = temp.path().join("dir");
        symlink(temp.path(), &link).unwrap(); // DIR itself may be a symlink
        let dir = open_dir(&link).unwrap();
        let root = Root {
            dir: dir.as_fd(),
            path: &link,
        };
        let path = names("a/b/run");
        let mut last = Folder::default();
        assert!(root.open(&path, Access::Read, &mut last).unwrap().is_none());
        assert!(root.stat(&path, &mut last).unwrap().is_none());
        assert!(!temp.path().join("a").exists(), "looking makes nothing");
        root.open(&path, Access::Write { executable: true }, &mut last)
            .unwrap()
            .unwrap();
        let mode = std::fs::metadata(temp.path().join("a/b/run")).unwrap();
        assert_ne!(mode.permissions().mode() & 0o100, 0);
        root.remove(&path).unwrap();
        root.remove(&path).unwrap();
        assert!(root.stat(&path, &mut last).unwrap().is_none());
    }

    #[test]
    fn the_last_folder_may_be_gone() {
        let temp = tempfile::tempdir().unwrap();
        let dir = open_dir(temp.path()).unwrap();
        let root = Root {
            dir: dir.as_fd(),
            path: temp.path(),
        };
        let mut last = Folder::default();
        let access = Access::Write { executable: false };
        root.open(&names("a/1"), access, &mut last).unwrap();
        assert!(last.open.is_some());
        root.open(&names("a/2"), access, &mut last).unwrap();
        std::fs::remove_dir_all(temp.path().join("a")).unwrap();
        assert!(root.stat(&names("a/1"), &mut last).unwrap().is_none());
        assert_eq!(last.missing, names("a"));
        assert!(root.stat(&names("a/b/2"), &mut last).unwrap().is_none());
        root.open(&names("a/3"), access, &mut last).unwrap();
        assert!(root.stat(&names("a/3"), &mut last).unwrap().is_some());
        assert!(temp.path().join("a/3").exists());
        root.open(&names("4"), access, &mut last).unwrap();
        assert!(temp.path().join("4").exists());
    }
}
