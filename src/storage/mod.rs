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
mod pages;
mod plan;
pub mod record;
#[cfg(test)]
pub(crate) mod testing;
mod walk;

pub use claim::Claimed;
pub use error::StorageError;
pub use files::{Files, Presence};
pub use pages::Pages;
pub use plan::{Contents, Plan, record_names};

use crate::bitfield::Bitfield;
use crate::layout::{FilePart, Layout, PieceIndex};
use plan::Place;
use record::{Drawer, Record, Says, Shelf, State};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Stat, fstat};
use rustix::io::Errno;
use std::ops::Range;
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

/// Which file it is, whatever it is called: the disk's number, and the file's on that disk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId {
    device: u64,
    inode: u64,
}

/// What the system says about a file of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileState {
    /// Which file it is.
    pub id: FileId,
    /// Bytes, holes included.
    pub size: u64,
    /// Bytes that it takes on the disk; fewer if it has holes.
    pub allocated: u64,
    /// When it was last written to, in nanoseconds since 1970.
    pub modified: i64,
}

/// The state of each file of the layout; `None` for those missing or not ours.
pub type Survey = Vec<Option<FileState>>;

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
            let renamed = naming::resolve(&root, &plan);
            plan = plan.with_renamed(renamed);
            let mut ours = record
                .as_ref()
                .map_or_else(Vec::new, |record| record.ours(plan.layout().files()));
            let mut folder = Folder::default();
            for (file, ours) in ours.iter_mut().enumerate() {
                // Of one that is gone, nothing is left to go on with. The wanted ones are ours.
                *ours = *ours
                    && !plan.ours()[file]
                    && !plan.layout().is_pad(file)
                    && root.stat(plan.names(file), &mut folder)?.is_some();
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

    /// Looks at every file that is ours, wanted or begun by an earlier run.
    ///
    /// # Errors
    /// [`StorageError`], if something else than a plain file stands at a path of ours.
    pub fn survey(&self) -> Result<Survey, StorageError> {
        let mut survey = vec![None; self.layout().files()];
        let mut folder = Folder::default();
        for file in self.plan.files_of_ours() {
            survey[file] = self.look(file, &mut folder)?;
        }
        Ok(survey)
    }

    /// Looks at `file`; `None` if nothing is at its path. `last`: where the last look was.
    fn look(&self, file: usize, last: &mut Folder) -> Result<Option<FileState>, StorageError> {
        let root = self.root();
        let stat = root.map(|root| root.stat(self.plan.names(file), last));
        Ok(stat.transpose()?.flatten().map(FileState::from))
    }

    /// Looks at files, one after the other, by a walk from DIR; whatever else stands at the
    /// path of one, it is not our file.
    pub fn looks(&self) -> impl FnMut(usize) -> Option<FileState> {
        let mut folder = Folder::default();
        move |file| self.look(file, &mut folder).ok().flatten()
    }

    /// Whether DIR is still the folder at its path.
    ///
    /// # Errors
    /// [`StorageError::Io`], if the process may open no more files.
    pub fn is_in_place(&self) -> Result<bool, StorageError> {
        let id = |dir: &OwnedFd| fstat(dir).map(|stat| FileState::from(stat).id);
        Ok(match (&self.dir, walk::open_dir(&self.plan.dir)) {
            (Some(ours), Ok(there)) => id(ours).is_ok_and(|ours| id(&there) == Ok(ours)),
            (None, Err(Errno::NOENT)) => true,
            (_, Err(errno @ (Errno::MFILE | Errno::NFILE))) => {
                let dir = self.plan.dir.clone();
                return Err(StorageError::io("open the folder", dir, errno));
            }
            _ => false,
        })
    }

    /// Whether a wanted file is missing or too short, the files being as in `survey`: then
    /// something is to be written.
    pub fn lacks(&self, survey: &Survey) -> bool {
        let is_short = |file: usize| survey[file].is_none_or(|state| state.size < self.len(file));
        self.plan.wanted_files().any(is_short)
    }

    /// Whether each wanted file is there with its length, the files being as in `survey`.
    pub fn has_all_lengths(&self, survey: &Survey) -> bool {
        let len = |file: usize| survey[file].map(|state| state.size);
        self.plan
            .wanted_files()
            .all(|file| len(file) == Some(self.len(file)))
    }

    /// Those of `pieces` of which all bytes could be there, the files being as in `survey`.
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

    /// The runs of the torrent's bytes that were written, in order, the files being as in
    /// `survey`: see [`Files::written`].
    ///
    /// # Errors
    /// [`StorageError`], if the system refuses.
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

    /// Whether a part of `piece` is kept in the record.
    pub fn is_partly_kept(&self, piece: PieceIndex) -> bool {
        if self.plan.kept_len() == 0 {
            return false;
        }
        let mut parts = self.layout().parts(self.layout().piece_range(piece));
        parts.any(|part| matches!(self.plan.place(part), Place::Kept(_)))
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
        if let (Some(dir), true) = (&self.dir, self.plan.wanted_files().count() > FLUSHED_SINGLY) {
            return rustix::fs::syncfs(dir).map_err(failed);
        }
        let mut files = self.files(1);
        self.plan
            .wanted_files()
            .try_for_each(|file| files.flush(file))?;
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

    fn pieces_of(&self, file: usize) -> impl Iterator<Item = PieceIndex> + use<'_> {
        let layout = self.layout();
        let pieces = layout.pieces_of_file(file);
        pieces.filter_map(|index| layout.piece(index))
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
            // POSIX leaves the unit open, but everybody counts in 512 bytes.
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
    use super::testing::Torrent;
    use super::*;
    use std::fs;

    /// What happens to a file `t/0` of 20 bytes (two pieces) that stands there before.
    #[test]
    fn whose_file_it_is() {
        let torrent = Torrent::new(10, &[(20, false), (20, false)]);
        let ours = &torrent.data[..20];
        let long = [ours, b"more"].concat();
        let half = [&ours[..10], b"garbage!!!"].concat();
        // what stands there, pieces found, a record beside it; accepted?; with --overwrite it
        // becomes
        type Case<'a> = (&'a str, &'a [u8], &'a [u32], bool, bool, &'a [u8]);
        let cases: [Case; 8] = [
            ("empty", b"", &[], false, true, b""),
            ("whole", ours, &[0, 1], false, true, ours),
            ("half", &half, &[0], false, true, &half),
            ("cut short", &ours[..12], &[0], false, true, &ours[..12]),
            ("user's", b"my own notes", &[], false, false, b""),
            ("user's, same size", &[9; 20], &[], false, false, b""),
            ("with a record", &[9; 20], &[], true, true, &[9; 20]),
            ("too long", &long, &[0, 1], true, false, ours),
        ];
        for (name, before, found, marked, accepted, cut) in cases {
            for overwrite in [false, true] {
                let temp = tempfile::tempdir().unwrap();
                let path = temp.path().join("t/0");
                if marked {
                    torrent.begun_all(temp.path());
                }
                fs::create_dir_all(temp.path().join("t")).unwrap();
                fs::write(&path, before).unwrap();
                let mut have = Bitfield::none(4);
                for index in found {
                    have.insert(torrent.piece(*index));
                }
                let storage = torrent.wanting_all(temp.path());
                match torrent.claim(&storage, &have, overwrite) {
                    Ok(_) if overwrite => assert_eq!(fs::read(&path).unwrap(), cut, "{name}"),
                    Ok(_) => assert!(accepted, "{name} was accepted"),
                    Err(StorageError::NotOurs { path: named }) => {
                        assert!(!accepted && !overwrite, "{name} was refused");
                        assert_eq!(named, path);
                        assert_eq!(fs::read(&path).unwrap(), before, "{name}");
                        let left = fs::read_dir(temp.path()).unwrap().count();
                        assert_eq!(left, 1 + usize::from(marked), "{name}");
                    }
                    Err(error) => panic!("{name}: {error}"),
                }
            }
        }
    }

    /// Pieces whose bytes are all alike are in any disk image.
    #[test]
    fn constant_pieces_are_no_evidence_unless_there_are_no_others() {
        let mut mixed = Torrent::new(10, &[(45, false)]);
        mixed.data[10..20].fill(0);
        mixed.data[20..30].fill(7);
        let mut zeros = Torrent::new(10, &[(45, false)]);
        zeros.data.fill(0);
        let cases: [(&Torrent, &[u32], bool); 5] = [
            (&mixed, &[1, 2], false),
            (&mixed, &[2], false),
            (&mixed, &[0], true),
            (&mixed, &[1, 4], true),
            (&zeros, &[1], true),
        ];
        for (torrent, found, accepted) in cases {
            let temp = tempfile::tempdir().unwrap();
            fs::create_dir(temp.path().join("t")).unwrap();
            let mut content = vec![1; 45];
            let mut have = Bitfield::none(5);
            for index in found {
                let piece = torrent.piece(*index);
                have.insert(piece);
                let at = torrent.layout.piece_start(piece) as usize;
                let bytes = torrent.bytes(piece);
                content[at..at + bytes.len()].copy_from_slice(bytes);
            }
            fs::write(temp.path().join("t/0"), &content).unwrap();
            let storage = torrent.wanting_all(temp.path());
            let claimed = torrent.claim(&storage, &have, false);
            assert_eq!(claimed.is_ok(), accepted, "{found:?}");
            let after = fs::read(temp.path().join("t/0")).unwrap();
            assert_eq!(after, content, "{found:?}");
        }
    }

    /// A small file that shares its only piece with a file that is not there: nobody can tell
    /// whose it is. With that file there, the piece could be checked, and was not right.
    #[test]
    fn what_cannot_be_judged_has_the_benefit_of_doubt() {
        let torrent = Torrent::new(100, &[(20, false), (20, false)]);
        for (wanted, sizes, accepted) in [
            ([true, false], [20, 0], true),
            ([true, false], [19, 0], true),
            ([true, false], [19, 20], true), // not looked at
            ([true, true], [20, 0], true),
            ([true, true], [19, 19], true),
            ([true, true], [19, 20], false),
            ([true, true], [20, 20], false),
        ] {
            let temp = tempfile::tempdir().unwrap();
            fs::create_dir_all(temp.path().join("t/folder1")).unwrap();
            fs::write(temp.path().join("t/0"), vec![9; sizes[0]]).unwrap();
            fs::write(temp.path().join("t/folder1/1"), vec![9; sizes[1]]).unwrap();
            let storage = torrent.wanting(temp.path(), &wanted);
            let claimed = torrent.claim(&storage, &Bitfield::none(1), false);
            assert_eq!(claimed.is_ok(), accepted, "{wanted:?} {sizes:?}");
        }
    }

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

    /// What lies beyond the end of a file need not be looked for.
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
            let possible = storage.possible(&storage.plan().wanted_pieces(), &survey);
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
