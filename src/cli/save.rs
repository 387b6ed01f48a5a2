//! Saves a new `.torrent`, for `storrent create` and `storrent show -o`.
//!
//! [`Output::new`] finds out before the long work (an hour of hashing, the search for metadata)
//! whether the file can be saved. We never overwrite a file or leave half of one: we write under
//! another name, then link the file to its own name, which the system does in one step.

use super::Failure;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A path where a new file can be made.
#[derive(Debug, PartialEq, Eq)]
pub struct Output(PathBuf);

impl Output {
    /// Finds out whether a file can be made at `path`, and leaves nothing there.
    ///
    /// # Errors
    /// [`Failure`], if something is there already, or the folder is missing or not writable.
    pub fn new(path: &Path) -> Result<Self, Failure> {
        let output = Self(path.to_owned());
        let taken = match fs::symlink_metadata(path) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // For example, the name is too long.
            Err(error) => Err(error),
        };
        taken
            .and_then(|()| output.other_name())
            .and_then(|(_, other)| fs::remove_file(other))
            .map_err(|error| output.failed(&error))?;
        Ok(output)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the file.
    ///
    /// # Errors
    /// [`Failure`], if another program made one meanwhile, or the disk is full.
    pub fn save(&self, bytes: &[u8]) -> Result<(), Failure> {
        let saved = self.other_name().and_then(|(mut file, other)| {
            let linked = file
                .write_all(bytes)
                .and_then(|()| fs::hard_link(&other, &self.0));
            let _ = fs::remove_file(&other); // The second name, or an unfinished file.
            linked
        });
        saved
            .or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Err(error),
                // Some disks (FAT) give no file a second name.
                _ => self.write_in_place(bytes),
            })
            .map_err(|error| self.failed(&error))
    }

    fn write_in_place(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = new_file(&self.0)?;
        file.write_all(bytes).inspect_err(|_| {
            let _ = fs::remove_file(&self.0);
        })
    }

    /// Makes an empty file under an unused name in the same folder.
    fn other_name(&self) -> io::Result<(File, PathBuf)> {
        let name = format!(".storrent-{:016x}", fastrand::u64(..));
        let path = self.0.with_file_name(name);
        Ok((new_file(&path)?, path))
    }

    fn failed(&self, error: &io::Error) -> Failure {
        let what_to_do = match error.kind() {
            io::ErrorKind::AlreadyExists => {
                "it is there already and is not overwritten; give another -o FILE".to_string()
            }
            // `/proc` answers `NotFound` for a new file, although the folder exists.
            io::ErrorKind::NotFound if !self.0.with_file_name(".").exists() => {
                "there is no such folder; make it first".to_string()
            }
            io::ErrorKind::FileTooLarge => {
                format!("{error}; the limit of this process (ulimit -f) may be too low")
            }
            _ => format!("{error}; give another -o FILE"),
        };
        Failure::Failed(format!("cannot save {}: {what_to_do}", self.0.display()))
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(failure: Failure) -> String {
        match failure {
            Failure::Failed(text) => text,
            Failure::Usage(text) => panic!("wrong kind: {text}"),
        }
    }

    #[test]
    fn saving_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.torrent");
        let output = Output::new(&path).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "only a look");
        output.save(b"one").unwrap();
        let late = text(output.save(b"two").unwrap_err());
        let early = text(Output::new(&path).unwrap_err());
        assert_eq!(late, early);
        assert!(late.contains("x.torrent: it is there already"), "{late}");
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else");

        fs::remove_file(&path).unwrap();
        output.write_in_place(b"three").unwrap();
        assert!(output.write_in_place(b"four").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"three");
    }

    #[test]
    fn where_nothing_can_be_saved() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), b"").unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
        for (path, why) in [
            ("a/b", "no such folder; make it first"),
            ("file/b", "Not a directory"),
            ("link", "there already"),
            (&"x".repeat(256), "too long"),
            ("/proc/x.torrent", "; give another -o FILE"),
        ] {
            let refused = text(Output::new(&dir.path().join(path)).unwrap_err());
            assert!(refused.contains(why), "{path}: {refused}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
