//! A torrent's data on disk: from bytes of the torrent to bytes of files, and back.
//!
//! To everyone else a torrent is one run of bytes. Here that run is cut into files
//! (and what of it is kept elsewhere, see [`Plan`]), which are sparse: they grow where
//! blocks arrive and are never allocated ahead. All reading and writing is positioned,
//! there is no cursor and so nothing to lock: a [`Storage`] is shared by all threads
//! and never changes, and each thread opens files for itself ([`Files`]).
//!
//! A torrent begins in three steps, because the first must not touch what it finds:
//!
//! 1. [`Storage::open`] makes and changes nothing. What is there can be checked
//!    ([`crate::checker`]) and served.
//! 2. [`Storage::lock`], if something is to be written, takes the torrent's [`record`] for
//!    this run alone.
//! 3. [`Storage::claim`], before the first write, judges with the outcome of the check
//!    whether the files there are this torrent's or the user's own, whether the disk
//!    has room, and gives the `Storage` that can be written to.
//!
//! Files that are not empty are made when their first byte arrives; the empty ones, for
//! which none does, and those whose names the disk might refuse, by `claim`.

mod alternates;
mod claim;
mod error;
mod files;
mod naming;
mod ownership;
mod pages;
mod plan;
pub(crate) mod record;
mod survey;
#[cfg(test)]
pub(crate) mod testing;
mod walk;

pub(crate) use claim::Claim;
pub(crate) use error::StorageError;
pub(crate) use files::{Files, Presence};
pub(crate) use pages::Pages;
pub(crate) use plan::{Contents, Plan, record_names};
pub(crate) use survey::{FileId, FileState, Survey};

use crate::layout::{Layout, Pieces};
use record::{Drawer, Record, Says, Shelf, State};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::Stat;
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walk::{Access, Folder, Root};

/// One torrent's place on disk. Shared by all threads, never changed.
pub struct Storage {
    plan: Arc<Plan>,
    /// DIR, open; `None` if there is no such folder (yet).
    dir: Option<OwnedFd>,
    /// The record, if this torrent has one. It is read until the end of the run, also when
    /// it has been removed, as the download is complete.
    record: Option<Record>,
    /// The record keeps the parts that this selection needs, where it needs them.
    keeps: bool,
    /// The record was made by this run.
    made: bool,
    /// This run alone may write: it has the record's lock, or the disk knows of none.
    locked: bool,
}

/// Of more files than this, all that waits to be written to their disk is written, rather
/// than file by file: each of those calls may wait for the disk once.
const FLUSHED_SINGLY: usize = 64;

impl Storage {
    /// Opens what there is of `contents` below `dir`. Makes and changes nothing; `dir`
    /// need not exist. `wanted`: for each file of the layout whether the user wants it.
    ///
    /// # Errors
    /// [`StorageError`], if `dir` or the record cannot be read.
    pub fn open(
        dir: &Path,
        contents: Contents,
        wanted: &[bool],
    ) -> Result<Arc<Self>, StorageError> {
        let plan = Plan::new(dir, contents, wanted);
        let dir = match walk::open_dir(dir) {
            Ok(folder) => Some(folder),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(StorageError::io("open the folder", dir.into(), errno)),
        };
        let names = plan.record_names();
        let mut storage = Self {
            plan: Arc::new(plan),
            dir,
            record: None,
            keeps: false,
            made: false,
            locked: false,
        };
        let record = match storage.shelf(&names).map(|shelf| shelf.find()) {
            Some(Ok(Drawer::Taken(record))) => Some(record).filter(|record| !record.is_blank()),
            Some(Ok(Drawer::Free(_)) | Err(StorageError::NoRecord { .. })) | None => None,
            Some(Err(error)) => return Err(error),
        };
        storage.take_record(record)?;
        Ok(Arc::new(storage))
    }

    /// Goes on with `record`: it says which files an earlier run began.
    fn take_record(&mut self, record: Option<Record>) -> Result<(), StorageError> {
        let mut plan = Plan::clone(&self.plan);
        if let Some(root) = self.root() {
            let renamed = naming::resolve(&root, &plan)?;
            plan = plan.with_renamed(renamed);
            let mut ours = record
                .as_ref()
                .map_or_else(Vec::new, |record| record.ours(plan.layout().files()));
            let mut folder = Folder::default();
            for (file, ours) in ours.iter_mut().enumerate() {
                if !*ours || plan.is_wanted(file) || plan.layout().is_pad(file) {
                    continue;
                }
                // Of one that is gone, nothing is left to go on with; and what is longer, or no
                // file, is the user's.
                let stat = root.stat(plan.names(file), &mut folder).ok().flatten();
                let size = stat.map(|stat| FileState::from(stat).size);
                *ours = size.is_some_and(|size| size <= plan.layout().file_len(file));
            }
            plan = plan.with_earlier(&ours);
        }
        self.keeps = record.as_ref().is_some_and(|record| {
            record.kept() == plan.kept_len()
                && plan::kept(plan.layout(), &record.ours(plan.layout().files())) == *plan.kept()
        });
        self.plan = Arc::new(plan);
        self.record = record;
        Ok(())
    }

    /// A handle for one thread to read and write by, with at most `max_open` files
    /// (at least 1) open at a time.
    pub fn files(self: &Arc<Self>, max_open: usize) -> Files {
        Files::new(Arc::clone(self), max_open)
    }

    /// How the torrent divides.
    pub fn layout(&self) -> &Layout {
        self.plan.layout()
    }

    /// What is kept where.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the record says, if there is one that can be read.
    pub fn says(&self) -> Says {
        let says = self.record.as_ref().and_then(|record| record.says().ok());
        says.unwrap_or_default()
    }

    /// The files that the record's state lists, in order.
    pub fn listed(&self) -> Vec<usize> {
        let ours = self
            .record
            .as_ref()
            .map_or_else(Vec::new, |record| record.ours(self.layout().files()));
        (0..ours.len()).filter(|file| ours[*file]).collect()
    }

    /// The same storage for a run that has nothing to write: whoever has the record now,
    /// removes it.
    ///
    /// # Errors
    /// [`StorageError`], if the process may open no more files.
    pub fn released(&self) -> Result<Arc<Self>, StorageError> {
        let record = self.record.as_ref().map(Record::try_clone).transpose();
        Ok(Arc::new(Self {
            plan: Arc::clone(&self.plan),
            dir: self.dir_again()?,
            record: record.map_err(|errno| self.record_failed("read", errno))?,
            keeps: self.keeps,
            made: false,
            locked: false,
        }))
    }

    /// Removes the record if this run made it and has not said in it that any file is ours,
    /// or found it so: then it is of no use to anybody.
    pub fn withdraw(&self) {
        let empty = |record: &Record| {
            record
                .head()
                .is_some_and(|head| !head.files.contains(&true))
        };
        if self.made || self.record.as_ref().is_some_and(empty) {
            let _ = self.remove_record();
        }
    }

    /// Whether this torrent has a record here.
    pub fn has_record(&self) -> bool {
        self.record.is_some()
    }

    /// Whether it has one that is for this run to write.
    pub fn may_record(&self) -> bool {
        self.record.is_some() && self.locked
    }

    /// Has the system write to the disk what was written to the wanted files and the record.
    ///
    /// # Errors
    /// [`StorageError`], if the disk fails.
    pub fn flush(self: &Arc<Self>) -> Result<(), StorageError> {
        let failed = |errno| StorageError::io("write to the disk of", self.plan.dir.clone(), errno);
        // Also what is ours only: pieces that such a file shares with a wanted one.
        let many = self.plan.files_of_ours().count() > FLUSHED_SINGLY;
        if let (Some(dir), true) = (&self.dir, many) {
            return rustix::fs::syncfs(dir).map_err(failed);
        }
        let mut files = self.files(1);
        let mut ours = self.plan.files_of_ours();
        ours.try_for_each(|file| files.flush(file))?;
        match &self.record {
            Some(record) => rustix::fs::fsync(&record.fd).map_err(failed),
            None => Ok(()),
        }
    }

    /// Writes into the record how far the download is; `info`: the metadata, to be kept.
    ///
    /// # Errors
    /// [`StorageError`], if the system refuses.
    pub fn write_state(&self, info: Option<&[u8]>, state: State) -> Result<(), StorageError> {
        let Some(record) = &self.record else {
            return Ok(());
        };
        let written = record.write_state(info, state);
        written.map_err(|errno| self.record_failed("write", errno))
    }

    /// Removes the record, if it is for this run to do; what is kept in it can still be read
    /// until the end of the run.
    ///
    /// # Errors
    /// [`StorageError`], if the system refuses.
    pub fn remove_record(&self) -> Result<(), StorageError> {
        let names = self.plan.record_names();
        match (self.shelf(&names), &self.record) {
            (Some(shelf), Some(record)) if self.locked => shelf.remove(record),
            _ => Ok(()),
        }
    }

    /// The full path of the record, for messages.
    fn record_path(&self) -> PathBuf {
        let name = self.record.as_ref().map(|record| record.name.clone());
        let name = name.or_else(|| self.plan.record_names().into_iter().next());
        self.plan.dir.join(name.unwrap_or_default())
    }

    fn record_failed(&self, action: &'static str, errno: Errno) -> StorageError {
        StorageError::io(action, self.record_path(), errno)
    }

    fn len(&self, file: usize) -> u64 {
        self.layout().file_len(file)
    }

    fn pieces_of(&self, file: usize) -> Pieces {
        self.layout().pieces_of_file(file)
    }

    fn root(&self) -> Option<Root<'_>> {
        self.dir.as_ref().map(|dir| Root {
            dir: dir.as_fd(),
            path: &self.plan.dir,
        })
    }

    /// DIR once more, for another storage of the same torrent.
    fn dir_again(&self) -> Result<Option<OwnedFd>, StorageError> {
        let again = self.dir.as_ref().map(|dir| dir.try_clone()).transpose();
        again.map_err(|error| StorageError::io("open the folder", self.plan.dir.clone(), error))
    }

    fn shelf<'a>(&'a self, names: &'a [String]) -> Option<Shelf<'a>> {
        self.dir.as_ref().map(|dir| Shelf {
            dir: dir.as_fd(),
            path: &self.plan.dir,
            names,
            info_hash: self.plan.contents.info_hash,
            files: self.layout().files(),
        })
    }

    /// Opens `names` below DIR; `None` if there is none, or no DIR.
    fn open_at(
        &self,
        names: &[String],
        access: Access,
        last: &mut Folder,
    ) -> Result<Option<(OwnedFd, Stat)>, StorageError> {
        match self.root() {
            Some(root) => root.open(names, access, last),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Torrent;
    use super::*;
    use crate::bitfield::Bitfield;

    #[test]
    fn opening_makes_nothing_and_claiming_only_what_is_needed() {
        let torrent = Torrent::new(10, &[(20, false), (0, false), (0, false)]);
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("new/dir");
        let wanted = [true, true, false];
        let storage = torrent.wanting(&dir, &wanted);
        assert_eq!(storage.survey().unwrap(), [None; 3]);
        assert!(!dir.exists());
        let (none, all) = (Bitfield::none(2), Bitfield::all(2));
        let survey = storage.survey().unwrap();
        assert_eq!(storage.space_needed(&survey, &none), 20);
        assert_eq!(storage.space_needed(&survey, &all), 0);

        torrent.begun(&dir, &wanted);
        assert!(dir.join("t/folder1/1").exists(), "the empty file");
        assert!(!dir.join("t/2").exists(), "the empty file not wanted");
        assert!(dir.join("t.storrent").exists());
        assert!(!dir.join("t/0").exists(), "not before its first byte");
    }

    #[test]
    fn parts_of_files_not_wanted_outlive_the_record() {
        let torrent = Torrent::new(20, &[(30, false), (30, false)]);
        let temp = tempfile::tempdir().unwrap();
        let storage = torrent.begun(temp.path(), &[true, false]);
        torrent.write(&storage, torrent.piece(1));
        let read = |storage: &Arc<Storage>| {
            let mut buf = [0; 20];
            let read = storage.files(1).read(20, &mut buf);
            read.is_ok() && buf == torrent.bytes(torrent.piece(1))
        };
        assert!(read(&storage));
        // Another run with the same selection finds them.
        assert!(read(&torrent.wanting(temp.path(), &[true, false])));
        storage.remove_record().unwrap();
        assert!(!temp.path().join("t.storrent").exists() && read(&storage));
    }

    /// What was kept for one selection of files goes where the next one has it.
    #[test]
    fn kept_parts_follow_the_selection() {
        // Pieces of 100: file 0 is 0..150, file 1 150..350, file 2 350..600.
        let torrent = Torrent::new(100, &[(150, false), (200, false), (250, false)]);
        let kept_by_first = [torrent.piece(1)]; // of files 0 and 1
        for next in [
            [false, true, false],
            [true, true, true],
            [false, false, true],
        ] {
            let temp = tempfile::tempdir().unwrap();
            let storage = torrent.begun(temp.path(), &[true, false, false]);
            for piece in kept_by_first {
                torrent.write(&storage, piece);
            }
            drop(storage);
            let claimed = torrent.claim(
                &torrent.wanting(temp.path(), &next),
                &Bitfield::none(6),
                false,
            );
            let claimed = claimed.unwrap();
            let ours = claimed.storage.plan().ours();
            assert!(ours[0], "{next:?}: begun by the first");
            let mut buf = [0; 100];
            claimed.storage.files(1).read(100, &mut buf).unwrap();
            assert_eq!(buf, torrent.bytes(torrent.piece(1)), "{next:?}");
            assert!(claimed.moved.has(torrent.piece(1)), "{next:?}");
            let second = temp.path().join("t/folder1/1");
            assert_eq!(
                second.exists(),
                next[1],
                "{next:?}: a file not wanted is not made"
            );
        }
    }
}
