//! Finds out whether a file changed while `storrent create` or `storrent check` hashed it: then its
//! hash means nothing.
//!
//! The system does not tell a reader that a file changes. So we compare the [`Stamp`]s from before
//! and after: size, time of the last write (mtime), and time of the last change of any kind
//! (ctime). The ctime catches programs that set the mtime back (disk images, `cp -p`) and a file
//! that replaced this one by a rename. An inode number would not help: some disks (exFAT, many on
//! FUSE) change it although nobody touched the file.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the system says about a file at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Size in bytes.
    pub len: u64,
    /// The mtime: seconds since 1970, and nanoseconds.
    written: (i64, i64),
    /// The ctime, which a rename changes, too: seconds since 1970, and nanoseconds.
    changed: (i64, i64),
}

impl Stamp {
    /// Opens a file for reading, and returns it with its stamp.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn open(path: &Path) -> io::Result<(File, Self)> {
        let file = File::open(path)?;
        let stamp = Self::of(&file.metadata()?);
        Ok((file, stamp))
    }

    /// Returns the stamp of the file at `path`, if there is one. Follows no symlink.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn at(path: &Path) -> io::Result<Option<Self>> {
        match fs::symlink_metadata(path) {
            Ok(about) => Ok(Some(Self::of(&about))),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
                _ => Err(error),
            },
        }
    }

    fn of(about: &Metadata) -> Self {
        Self {
            len: about.len(),
            written: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn what_changes_and_what_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let set_time = |path: &Path, time| {
            let file = File::options().write(true).open(path).unwrap();
            file.set_modified(time).unwrap();
        };
        fs::write(&path, b"one").unwrap();
        set_time(&path, SystemTime::UNIX_EPOCH);
        let before = Stamp::at(&path).unwrap();
        // Reading changes nothing, and `open` stamps the same file.
        fs::read(&path).unwrap();
        assert_eq!(Stamp::at(&path).unwrap(), before);
        assert_eq!(Some(Stamp::open(&path).unwrap().1), before);

        // The clock for file times advances only every few milliseconds.
        let until_it_differs = |change: &dyn Fn()| {
            for _ in 0..100_000 {
                change();
                if Stamp::at(&path).unwrap() != before {
                    return;
                }
            }
            panic!("goes unseen");
        };
        until_it_differs(&|| {
            fs::write(&path, b"two").unwrap();
            set_time(&path, SystemTime::UNIX_EPOCH);
        });
        until_it_differs(&|| {
            let other = dir.path().join("y");
            fs::write(&other, b"one").unwrap();
            set_time(&other, SystemTime::UNIX_EPOCH);
            fs::rename(&other, &path).unwrap();
        });
        fs::remove_file(&path).unwrap();
        assert_eq!(Stamp::at(&path).unwrap(), None);
        fs::write(dir.path().join("z"), b"").unwrap();
        assert_eq!(Stamp::at(&dir.path().join("z/x")).unwrap(), None);
    }
}
