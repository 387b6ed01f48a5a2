//! The files of a torrent on disk: maps bytes of the torrent to bytes of files.
//!
//! All other code sees a torrent as one run of bytes. Here that run is cut into files in DIR, the
//! folder that the user chose. The [`Plan`] says where each byte is kept. The files are sparse: a
//! file grows where a block arrives, and no space is allocated ahead. Every read and write names
//! its offset, so there is no cursor to lock. All threads share one [`Storage`], which never
//! changes, and each thread opens files for itself ([`Files`]).
//!
//! No file may be changed before we know whose it is, so a torrent starts in three steps:
//!
//! 1. [`Storage::open`] makes and changes nothing. The files that it finds can be checked
//!    ([`crate::checker`]) and served.
//! 2. [`Storage::lock`], if something is to be written, takes the torrent's [`record`] for this run
//!    alone.
//! 3. [`Storage::claim`], after the check and before the first write, judges whether the files are
//!    this torrent's or the user's own, checks that the disk has room, and returns the `Storage`
//!    that can be written to.
//!
//! A file is made when its first byte arrives. `claim` makes the empty files, for which no byte
//! arrives, and the files whose names the disk might refuse.

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
use crate::wanted::Wanted;
use record::{Drawer, Record, Says, Shelf, State};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::Stat;
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walk::{Access, Folder, Root};

/// One torrent's place on disk.
pub struct Storage {
    plan: Arc<Plan>,
    /// DIR, open. `None` if it does not exist (yet).
    dir: Option<OwnedFd>,
    /// Readable until the end of the run, even after the complete download removed the file.
    record: Option<Record>,
    /// Whether the record keeps exactly the parts that this selection needs, where it needs them.
    keeps: bool,
    made: bool,
    /// Whether only this run may write: it holds the record's lock, or the disk knows no locks.
    locked: bool,
}

/// If more files than this are to be flushed, one call flushes their whole disk: each call may wait
/// for the disk.
#[cfg(target_os = "linux")]
const FLUSHED_SINGLY: usize = 64;

impl Storage {
    /// Opens what exists of `contents` below `dir`. Makes and changes nothing; `dir` may be
    /// missing.
    ///
    /// # Errors
    /// [`StorageError`], if `dir` or the record cannot be read.
    pub fn open(
        dir: &Path,
        contents: Contents,
        wanted: &Arc<Wanted>,
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

    /// Adopts `record`, which says which files an earlier run began.
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
                // If a file is gone, nothing is left to go on with. One that is too long, or no
                // plain file, is the user's.
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

    /// Returns a handle with which one thread reads and writes. It has at most `max_open` files (at
    /// least 1) open at a time.
    pub fn files(self: &Arc<Self>, max_open: usize) -> Files {
        Files::new(Arc::clone(self), max_open)
    }

    /// The sizes of pieces, blocks and files.
    pub fn layout(&self) -> &Layout {
        self.plan.layout()
    }

    /// Where each byte is kept.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns what the record says: nothing, if it is missing or unreadable.
    pub fn says(&self) -> Says {
        let says = self.record.as_ref().and_then(|record| record.says().ok());
        says.unwrap_or_default()
    }

    /// Returns the files that the record names as ours, in the order of its state.
    pub fn listed(&self) -> Vec<usize> {
        let ours = self
            .record
            .as_ref()
            .map_or_else(Vec::new, |record| record.ours(self.layout().files()));
        (0..ours.len()).filter(|file| ours[*file]).collect()
    }

    /// Returns this storage for a run that has nothing to write. It never removes the record, which
    /// the run with the lock does.
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

    /// Removes the record if this run made it, or if it names no file as ours and so is of no use.
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

    /// Whether this run may write the record.
    pub fn may_record(&self) -> bool {
        self.record.is_some() && self.locked
    }

    /// Makes the system write our files and the record to the disk.
    pub fn flush(self: &Arc<Self>) -> Result<(), StorageError> {
        let failed = |errno| StorageError::io("write to the disk of", self.plan.dir.clone(), errno);
        // Our files that are not wanted count, too: they share pieces with wanted ones.
        #[cfg(target_os = "linux")] // no other system writes out one disk alone
        if let Some(dir) = &self.dir
            && self.plan.files_of_ours().count() > FLUSHED_SINGLY
        {
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

    /// Writes `state` into the record, and `info`, the metadata, if it is to be kept.
    pub fn write_state(&self, info: Option<&[u8]>, state: State) -> Result<(), StorageError> {
        let Some(record) = &self.record else {
            return Ok(());
        };
        let written = record.write_state(info, state);
        written.map_err(|errno| self.record_failed("write", errno))
    }

    /// Removes the record if only this run may write it. Its kept parts stay readable until the end
    /// of the run.
    pub fn remove_record(&self) -> Result<(), StorageError> {
        let names = self.plan.record_names();
        match (self.shelf(&names), &self.record) {
            (Some(shelf), Some(record)) if self.locked => shelf.remove(record),
            _ => Ok(()),
        }
    }

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

    /// Duplicates the handle of DIR, for another storage of the same torrent.
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

    /// Opens `names` below DIR. Returns `None` if the file or DIR is missing.
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
        assert!(read(&torrent.wanting(temp.path(), &[true, false])));
        storage.remove_record().unwrap();
        assert!(!temp.path().join("t.storrent").exists() && read(&storage));
    }

    /// Kept parts move to where the next selection of files has them.
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
