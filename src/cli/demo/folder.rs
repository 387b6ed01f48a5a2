//! A temporary folder that never outlives its owner.

use std::fs::{self, DirBuilder};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The most attempts to remove the folder, and the pause between two.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// A folder that is removed when this is dropped, also after an error or a panic.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes a new folder in `parent`, with an unused name.
    pub(super) fn new(parent: &Path) -> io::Result<Self> {
        loop {
            let name = format!(
                "storrent-demo-{}-{:08x}",
                std::process::id(),
                fastrand::u32(..)
            );
            let path = parent.join(name);
            let mut builder = DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            // An existing folder could be another user's.
            match builder.create(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder with everything in it. Fails after 2 s of attempts.
    pub(super) fn remove(&self) -> io::Result<()> {
        for _ in 1..TRIES {
            match fs::remove_dir_all(&self.path) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                // A peer's thread ends a moment after its engine, and may just have made a file for
                // its last block.
                Err(_) => thread::sleep(PAUSE),
            }
        }
        fs::remove_dir_all(&self.path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = self.remove(); // an error could not be reported here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_with_its_owner() {
        let parent = tempfile::tempdir().unwrap();
        let (one, two) = (
            Folder::new(parent.path()).unwrap(),
            Folder::new(parent.path()).unwrap(),
        );
        assert_ne!(one.path(), two.path());
        fs::create_dir(one.path().join("a")).unwrap();
        fs::write(one.path().join("a/b"), b"x").unwrap();
        drop(one);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
        two.remove().unwrap();
        two.remove().unwrap();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        assert!(Folder::new(&parent.path().join("missing")).is_err());
    }
}
