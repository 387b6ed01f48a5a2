//! The errors of reading and writing a torrent's files. Their texts tell the user what to do.

use crate::setting::Setting::{Dir, Overwrite};
use crate::shortage::is_out_of_files;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::io;
use std::path::PathBuf;

/// Why a torrent's data cannot be read or written. It stops this torrent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The system refused something.
    #[error("cannot {action} {}: {}", path.display(), advice(source))]
    Io {
        /// What was tried: follows the word "cannot".
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Data is missing: there is no such file, or it ends too early. A check only counts the piece
    /// as not had, so the user sees this error if a file goes away later.
    #[error(
        "{} is missing or has become shorter; was it moved? run the same command again to fetch it",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Something else than a plain file or folder is in the way. We leave it alone: a symlink could
    /// make us write anywhere.
    #[error(
        "{} is {kind}, not a {expected}; move it away or choose another {}",
        path.display(), Dir
    )]
    WrongKind {
        path: PathBuf,
        /// What is there.
        kind: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// A file of this name has other content, so it must be the user's own.
    #[error(
        "{} is there already and is not from this torrent: choose another {}, or give {} to replace it",
        path.display(), Dir, Overwrite
    )]
    NotOurs {
        /// The file, unchanged.
        path: PathBuf,
    },
    /// Another run writes to the torrent's files.
    #[error(
        "another storrent is downloading this: it has {} locked; wait until it is done, or stop it",
        path.display()
    )]
    InUse {
        /// The record.
        path: PathBuf,
    },
    /// Another run downloads another torrent to the same place.
    #[error(
        "another storrent is downloading another torrent to the same place: it has {} locked; \
         choose another {}",
        path.display(), Dir
    )]
    PlaceInUse {
        /// That torrent's record.
        path: PathBuf,
    },
    /// All names that the record could have belong to other files.
    #[error(
        "{} is there already and is no record of this torrent's: move it away or choose another {}",
        path.display(), Dir
    )]
    NoRecord {
        /// The last name that was tried.
        path: PathBuf,
    },
    /// Somebody made a file longer than the torrent says.
    #[error(
        "{} has become longer than the torrent says; stop what writes to it, then run the same \
         command again",
        path.display()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The folder to save in is no longer at its path.
    #[error(
        "{} was moved or removed while storrent was writing to it; put it back, or choose another \
         {}, and run the same command again",
        path.display(), Dir
    )]
    FolderGone {
        /// DIR.
        path: PathBuf,
    },
    /// The disk has no room for the rest.
    #[error(
        "not enough space in {}: {needed} more bytes are needed and {free} are free; \
         free {} bytes and run the same command again",
        path.display(), needed.saturating_sub(*free)
    )]
    NoSpace {
        /// The folder, or the file that was being written.
        path: PathBuf,
        /// Bytes that are still to be written.
        needed: u64,
        /// Bytes that the disk has left for us.
        free: u64,
    },
}

impl StorageError {
    /// Whether the process has too many files and connections open. Closing one connection helps.
    pub fn is_out_of_files(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_out_of_files(source))
    }

    pub(crate) fn io(action: &'static str, path: PathBuf, source: impl Into<io::Error>) -> Self {
        Self::Io {
            action,
            path,
            source: source.into(),
        }
    }
}

/// Returns the likely cause and what to do. The system's own words follow as the cause.
fn advice(error: &io::Error) -> String {
    if is_out_of_files(error) {
        return "too many files are open: raise the limit (ulimit -n) and run the same command \
                again"
            .into();
    }
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::DQUOT) => {
            "the disk is full: free some space and run the same command again".into()
        }
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => format!(
            "it may not be read or written there: change the permissions or choose another {Dir}"
        ),
        Some(Errno::NOTDIR | Errno::NOENT) => {
            format!("a folder on the way there is missing or is no folder: choose another {Dir}")
        }
        Some(Errno::FBIG) if getrlimit(Resource::Fsize).current.is_some() => {
            "this process may not write larger files: raise its limit (ulimit -f) and run the \
             same command again"
                .into()
        }
        Some(Errno::FBIG) => {
            format!("the file system takes no files of this size: choose another {Dir}")
        }
        Some(Errno::NAMETOOLONG) => {
            format!("the path is too long: choose a {Dir} with a shorter one")
        }
        _ => "check the disk, then run the same command again".into(),
    }
}
