//! Did a file change while it was read? `storrent create` and `storrent check` ask that of
//! each file that they hash, because a hash of a file that somebody writes to says nothing.
//!
//! Nobody tells a reader that a file changes. So it is looked at twice, before and after
//! the reading, and what the system says of it must be the same: its size, when it was
//! last written to, and when anything about it last changed. The last is there for
//! programs that set the time of writing back (disk images, `cp -p`), and for a file that
//! another one was renamed over. An inode number would not do: some disks (exFAT, many on
//! FUSE) give a file that nobody touched a new one.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the system said of a file at one time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Bytes.
    pub len: u64,
    /// Last written to: seconds since 1970, and nanoseconds.
    written: (i64, i64),
    /// Last changed in any way, its name among it: seconds since 1970, and nanoseconds.
    changed: (i64, i64),
}

impl Stamp {
    /// Opens the file at `path` for reading, and looks at what was opened.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn open(path: &Path) -> io::Result<(File, Self)> {
        let file = File::open(path)?;
        let stamp = Self::of(&file.metadata()?);
        Ok((file, stamp))
    }

    /// Looks at what stands at `path`, itself and not what it links to; `None`: nothing.
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
        // Reading is no change, and a file is what was opened.
        fs::read(&path).unwrap();
        assert_eq!(Stamp::at(&path).unwrap(), before);
        assert_eq!(Some(Stamp::open(&path).unwrap().1), before);

        // The clock of files stands still for some milliseconds at a time.
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
