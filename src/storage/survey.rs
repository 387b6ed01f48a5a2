//! What the system knows of a torrent's files without reading them: which exist, how long they are,
//! and which of their bytes were ever written. So the checker ([`crate::checker`]) reads only what
//! can be there, and a later run sees what has changed.

use super::files;
use super::plan::Place;
use super::walk::{self, Folder};
use super::{Storage, StorageError};
use crate::bitfield::Bitfield;
use crate::layout::{FilePart, PieceIndex};
use crate::shortage::is_out_of_files;
use rustix::fd::OwnedFd;
use rustix::fs::{Stat, fstat};
use rustix::io::Errno;
use std::ops::Range;
use std::sync::Arc;

/// Identifies a file under any name: the number of its disk, and its number on that disk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId {
    device: u64,
    inode: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileState {
    pub id: FileId,
    /// In bytes, holes included.
    pub size: u64,
    /// Bytes that it takes on the disk; fewer than `size` if it has holes.
    pub allocated: u64,
    /// When it was last written to, in nanoseconds since 1970.
    pub modified: i64,
}

/// The state of each file of the layout. `None` if it is missing or not ours.
pub(crate) type Survey = Vec<Option<FileState>>;

impl Storage {
    /// Looks at every file that is ours: wanted, or begun by an earlier run.
    ///
    /// # Errors
    /// [`StorageError`], if something else than a plain file is at one of their paths.
    pub fn survey(&self) -> Result<Survey, StorageError> {
        let mut survey = vec![None; self.layout().files()];
        let mut folder = Folder::default();
        for file in self.plan.files_of_ours() {
            survey[file] = self.look(file, &mut folder)?;
        }
        Ok(survey)
    }

    /// Looks at `file`. `None` if nothing is at its path. `last`: where the last look was.
    pub(super) fn look(
        &self,
        file: usize,
        last: &mut Folder,
    ) -> Result<Option<FileState>, StorageError> {
        let root = self.root();
        let stat = root.map(|root| root.stat(self.plan.names(file), last));
        Ok(stat.transpose()?.flatten().map(FileState::from))
    }

    /// Returns a function that looks at one file at a time, by a walk from DIR. It returns `None`
    /// if no plain file is there.
    pub fn looks(&self) -> impl FnMut(usize) -> Option<FileState> {
        let mut folder = Folder::default();
        move |file| self.look(file, &mut folder).ok().flatten()
    }

    /// Whether some bytes of `file` were never written.
    pub fn has_hole(self: &Arc<Self>, file: usize) -> bool {
        let range = self.layout().file_range(file);
        let written = self.files(1).written(range.clone());
        written.is_ok_and(|runs| runs != [range])
    }

    /// Whether the folder at DIR's path is still the one that we opened.
    ///
    /// # Errors
    /// [`StorageError::Io`], if the process may open no more files.
    pub fn is_in_place(&self) -> Result<bool, StorageError> {
        let id = |dir: &OwnedFd| fstat(dir).map(|stat| FileState::from(stat).id);
        Ok(match (&self.dir, walk::open_dir(&self.plan.dir)) {
            (Some(ours), Ok(there)) => id(ours).is_ok_and(|ours| id(&there) == Ok(ours)),
            (None, Err(Errno::NOENT)) => true,
            (_, Err(errno)) if is_out_of_files(&errno.into()) => {
                let dir = self.plan.dir.clone();
                return Err(StorageError::io("open the folder", dir, errno));
            }
            _ => false,
        })
    }

    /// Whether something is to be written: a wanted file is missing from `survey`, or too short.
    pub fn lacks(&self, survey: &Survey) -> bool {
        let is_short = |file: usize| survey[file].is_none_or(|state| state.size < self.len(file));
        self.plan.wanted_files().any(is_short)
    }

    /// Whether `survey` has each wanted file with its right length.
    pub fn has_all_lengths(&self, survey: &Survey) -> bool {
        let len = |file: usize| survey[file].map(|state| state.size);
        self.plan
            .wanted_files()
            .all(|file| len(file) == Some(self.len(file)))
    }

    /// Returns those of `pieces` that the files in `survey` are long enough for.
    pub fn possible(&self, pieces: &Bitfield, survey: &Survey) -> Bitfield {
        let mut possible = Bitfield::none(self.layout().pieces());
        for piece in pieces.iter() {
            let could = |part: FilePart| {
                let size = survey[part.file].map_or(0, |state| state.size);
                let is_file = self.plan.place(part) == Place::File;
                !is_file || part.offset + part.len <= size
            };
            if self
                .layout()
                .parts(self.layout().piece_range(piece))
                .all(could)
            {
                possible.insert(piece);
            }
        }
        possible
    }

    /// Returns the ranges of the torrent that were [written](super::Files::written), in order, for
    /// the files in `survey`.
    pub fn written(self: &Arc<Self>, survey: &Survey) -> Result<Vec<Range<u64>>, StorageError> {
        let mut files = self.files(1);
        let mut runs = Vec::new();
        for (file, state) in survey.iter().enumerate() {
            let there = state.is_some_and(|state| state.size > 0);
            if there || self.layout().is_pad(file) {
                runs.extend(files.written(self.layout().file_range(file))?);
            }
        }
        if self.keeps {
            for (range, _) in self.plan.kept() {
                runs.extend(files.written(range.clone())?);
            }
        }
        runs.sort_unstable_by_key(|run| run.start);
        let mut joined = Vec::new();
        runs.into_iter()
            .for_each(|run| files::join(&mut joined, run));
        Ok(joined)
    }

    /// Whether the record keeps a part of `piece`.
    pub fn is_partly_kept(&self, piece: PieceIndex) -> bool {
        if self.plan.kept_len() == 0 {
            return false;
        }
        let mut parts = self.layout().parts(self.layout().piece_range(piece));
        parts.any(|part| matches!(self.plan.place(part), Place::Kept(_)))
    }
}

impl From<Stat> for FileState {
    fn from(stat: Stat) -> Self {
        let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
        Self {
            // Their types differ from system to system.
            #[allow(clippy::unnecessary_cast)]
            id: FileId {
                device: stat.st_dev as u64,
                inode: stat.st_ino as u64,
            },
            size: u64::try_from(stat.st_size).unwrap_or(0),
            // Every system counts blocks of 512 bytes, though POSIX leaves it open.
            allocated: u64::try_from(stat.st_blocks)
                .unwrap_or(0)
                .saturating_mul(512),
            modified: stat
                .st_mtime
                .saturating_mul(1_000_000_000)
                .saturating_add(nanoseconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Torrent;
    use super::*;
    use std::fs;

    #[test]
    fn what_could_be_there() {
        let torrent = Torrent::new(10, &[(20, false), (15, false), (25, false)]);
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("t/folder1")).unwrap();
        fs::write(temp.path().join("t/0"), [0; 19]).unwrap();
        fs::write(temp.path().join("t/folder1/1"), [0; 15]).unwrap();
        for (wanted, expected) in [
            ([true; 3], vec![0, 2]),
            ([true, true, false], vec![0, 2, 3]),
        ] {
            let storage = torrent.wanting(temp.path(), &wanted);
            let survey = storage.survey().unwrap();
            let possible = storage.possible(storage.plan().wanted_pieces(), &survey);
            let possible: Vec<u32> = possible.iter().map(PieceIndex::get).collect();
            assert_eq!(possible, expected, "part of piece 3 is kept in the record");
        }
    }

    #[test]
    fn whoever_renames_dir_is_noticed() {
        let torrent = Torrent::new(10, &[(20, false)]);
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("dir");
        let storage = torrent.begun_all(&dir);
        assert!(storage.is_in_place().unwrap());
        fs::rename(&dir, temp.path().join("elsewhere")).unwrap();
        assert!(!storage.is_in_place().unwrap());
        fs::create_dir(&dir).unwrap();
        assert!(!storage.is_in_place().unwrap(), "another folder");
    }
}
