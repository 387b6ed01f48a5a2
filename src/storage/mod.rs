//! A torrent's data on disk: from bytes of the torrent to bytes of files, and back.
//!
//! To everyone else a torrent is one run of bytes. Here that run is cut into files
//! (and what of it is kept elsewhere, see [`Plan`]), which are sparse: they grow where
//! blocks arrive and are never allocated ahead. All reading and writing is positioned,
//! there is no cursor and so nothing to lock: a [`Storage`] is shared by all threads
//! and never changes, and each thread opens files for itself ([`Files`]).
//!
//! A torrent begins in two steps, because the first must not touch what it finds:
//!
//! 1. [`Storage::open`] makes and changes nothing. What is there can be checked
//!    ([`crate::checker`]) and served.
//! 2. [`Storage::claim`], before the first write, judges with the outcome of that check
//!    whether the files there are this torrent's or the user's own, whether the disk
//!    has room, and gives the `Storage` that can be written to.
//!
//! Files that are not empty are made when their first byte arrives; the empty ones,
//! for which none does, by `claim`.

mod error;
mod files;
mod pages;
mod plan;
mod record;
#[cfg(test)]
pub(crate) mod testing;
mod walk;

pub use error::StorageError;
pub use files::{Files, Presence};
pub use pages::Pages;
use plan::Place;
pub use plan::{Contents, Plan};
pub use record::records;

use crate::bitfield::Bitfield;
use crate::layout::{FilePart, Layout, PieceIndex};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::Stat;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walk::{Access, Folder, Root};

/// One torrent's place on disk. Shared by all threads, never changed.
pub struct Storage {
    plan: Arc<Plan>,
    /// DIR, open; `None` if there is no such folder (yet).
    dir: Option<OwnedFd>,
    /// The record, held open if parts of files are kept in it: they are read until the
    /// end of the run, and the record is removed before, when the download is complete.
    record: Option<OwnedFd>,
}

/// What the system says about a file of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileState {
    /// Bytes, holes included.
    pub size: u64,
    /// Bytes that it takes on the disk; fewer if it has holes.
    pub allocated: u64,
    /// When it was last written to, in nanoseconds since 1970.
    pub modified: i64,
}

/// The state of each file of the layout; `None` for those missing or not wanted.
pub type Survey = Vec<Option<FileState>>;

impl Storage {
    /// Opens what there is of `contents` below `dir`. Makes and changes nothing; `dir`
    /// need not exist. `wanted`: for each file of the layout whether the user wants it.
    ///
    /// # Errors
    /// [`StorageError`], if `dir` or the record cannot be read or are something else.
    pub fn open(
        dir: &Path,
        contents: Contents,
        wanted: &[bool],
    ) -> Result<Arc<Self>, StorageError> {
        let plan = Arc::new(Plan::new(dir, contents, wanted));
        let dir = match walk::open_dir(dir) {
            Ok(folder) => Some(folder),
            Err(rustix::io::Errno::NOENT) => None,
            Err(errno) => return Err(StorageError::io("open the folder", dir.into(), errno)),
        };
        let mut storage = Self {
            plan,
            dir,
            record: None,
        };
        // Also if nothing is kept in it: a symlink in its place is best refused now.
        let record = storage.open_record(Access::Read)?;
        if let Some(record) = record.filter(|_| storage.plan.kept_len() > 0)
            && storage.has_head(&record)?
        {
            storage.record = Some(record);
        }
        Ok(Arc::new(storage))
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

    /// Looks at every wanted file.
    ///
    /// # Errors
    /// [`StorageError`], if something else than a plain file stands at a path of ours.
    pub fn survey(&self) -> Result<Survey, StorageError> {
        let mut survey = vec![None; self.layout().files()];
        let mut folder = Folder::default();
        if let Some(root) = self.root() {
            for file in self.plan.wanted_files() {
                let stat = root.stat(self.plan.names(file), &mut folder)?;
                survey[file] = stat.map(FileState::from);
            }
        }
        Ok(survey)
    }

    /// Makes ready to write: judges what is there, then makes DIR, the empty files and
    /// (if a wanted piece is still missing) the record. Returns the storage to go on with.
    ///
    /// `have`: the pieces that a check found. `marked`: a record of this torrent stands
    /// beside the files, so they are ours, whatever they hold.
    ///
    /// # Errors
    /// [`StorageError::NotOurs`] for a file that is longer than the torrent says, or that
    /// is not marked and holds no piece; nothing was changed then. With `overwrite` it is
    /// cut instead. [`StorageError::NoSpace`]; any other if the system refuses.
    pub fn claim(
        &self,
        have: &Bitfield,
        marked: bool,
        overwrite: bool,
    ) -> Result<Arc<Self>, StorageError> {
        let survey = self.survey()?;
        let foreign: Vec<usize> = self
            .plan
            .wanted_files()
            .filter(|file| self.is_foreign(*file, &survey, have, marked))
            .collect();
        let cut = !foreign.is_empty();
        if let Some(file) = foreign.first().filter(|_| !overwrite) {
            let path = self.plan.path(*file);
            return Err(StorageError::NotOurs { path });
        }
        let dir = &self.plan.dir;
        let make_dir = |error| StorageError::io("make the folder", dir.clone(), error);
        std::fs::create_dir_all(dir).map_err(make_dir)?;
        let mut claimed = Self {
            plan: Arc::clone(&self.plan),
            dir: Some(walk::open_dir(dir).map_err(|errno| make_dir(errno.into()))?),
            record: None,
        };
        let mut folder = Folder::default();
        for file in foreign {
            // Pieces that it holds are good, so with them only what is too much goes.
            let len = if self.holds_any(file, have) {
                self.len(file)
            } else {
                0
            };
            let fd = claimed.create(file, &mut folder)?;
            rustix::fs::ftruncate(&fd, len)
                .map_err(|errno| StorageError::io("cut", self.plan.path(file), errno))?;
        }
        let survey = if cut { claimed.survey()? } else { survey };
        claimed.check_space(claimed.space_needed(&survey, have), dir)?;
        let wanted = self.plan.wanted_pieces();
        if wanted.iter().any(|piece| !have.has(piece)) {
            claimed.record = claimed.make_record()?;
        }
        for file in self.plan.wanted_files().filter(|file| self.len(*file) == 0) {
            claimed.create(file, &mut folder)?;
        }
        Ok(Arc::new(claimed))
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
            let start = self.layout().piece_start(piece);
            let end = start + u64::from(self.layout().piece_len(piece));
            if self.layout().parts(start..end).all(could) {
                possible.insert(piece);
            }
        }
        possible
    }

    /// The bytes of files that `survey` and the pieces we `have` leave to be written.
    pub fn space_needed(&self, survey: &Survey, have: &Bitfield) -> u64 {
        let missing = |file: usize| {
            let range = self.layout().file_range(file);
            // Both are only an upper bound: not every file system tells what it has
            // allocated, and not every allocated byte is of a piece that we have.
            let allocated = survey[file].map_or(0, |state| state.allocated);
            let verified: u64 = self
                .pieces_of(file)
                .filter(|piece| have.has(*piece))
                .map(|piece| {
                    let start = self.layout().piece_start(piece);
                    let end = start + u64::from(self.layout().piece_len(piece));
                    end.min(range.end) - start.max(range.start)
                })
                .sum();
            (range.end - range.start).saturating_sub(allocated.max(verified))
        };
        self.plan.wanted_files().map(missing).sum()
    }

    /// The bytes that the disk has left for us; `None` if it doesn't tell.
    fn free_space(&self) -> Option<u64> {
        let disk = rustix::fs::fstatvfs(self.dir.as_ref()?).ok()?;
        // Some network file systems answer zero to everything.
        (disk.f_blocks > 0).then(|| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn check_space(&self, needed: u64, path: &Path) -> Result<(), StorageError> {
        match self.free_space() {
            Some(free) if free < needed => Err(StorageError::NoSpace {
                path: path.to_owned(),
                needed,
                free,
            }),
            _ => Ok(()),
        }
    }

    /// Whether what stands at the path of `file` must be the user's own.
    fn is_foreign(&self, file: usize, survey: &Survey, have: &Bitfield, marked: bool) -> bool {
        let size = survey[file].map_or(0, |state| state.size);
        if size > self.len(file) {
            return true;
        }
        if size == 0 || marked || self.holds_any(file, have) {
            return false;
        }
        // No piece matches. But if each piece also has bytes of other files that aren't
        // there, none could: a file of exactly the right size gets the benefit of doubt.
        size < self.len(file)
            || self
                .pieces_of(file)
                .any(|piece| self.is_there(piece, survey))
    }

    /// Whether all bytes of `piece` are within wanted files as they are.
    fn is_there(&self, piece: PieceIndex, survey: &Survey) -> bool {
        let start = self.layout().piece_start(piece);
        let end = start + u64::from(self.layout().piece_len(piece));
        self.layout().parts(start..end).all(|part| {
            let size = survey[part.file].map_or(0, |state| state.size);
            part.pad || part.offset + part.len <= size
        })
    }

    /// The full paths that this torrent writes to: two torrents must have none in common.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let files = self.plan.wanted_files().map(|file| self.plan.path(file));
        files.chain([self.plan.record_path()])
    }

    fn len(&self, file: usize) -> u64 {
        let range = self.layout().file_range(file);
        range.end - range.start
    }

    fn pieces_of(&self, file: usize) -> impl Iterator<Item = PieceIndex> + '_ {
        let layout = self.layout();
        let pieces = layout.pieces_of_file(file);
        pieces.filter_map(|index| layout.piece(index))
    }

    fn holds_any(&self, file: usize, have: &Bitfield) -> bool {
        self.pieces_of(file).any(|piece| have.has(piece))
    }

    fn root(&self) -> Option<Root<'_>> {
        self.dir.as_ref().map(|dir| Root {
            dir: dir.as_fd(),
            path: &self.plan.dir,
        })
    }

    /// Opens `names` below DIR; `None` if there is none, or no DIR.
    fn open_at(
        &self,
        names: &[String],
        access: Access,
        last: &mut Folder,
    ) -> Result<Option<OwnedFd>, StorageError> {
        match self.root() {
            Some(root) => root.open(names, access, last),
            None => Ok(None),
        }
    }

    /// Opens `file` for writing, made if missing.
    fn create(&self, file: usize, last: &mut Folder) -> Result<OwnedFd, StorageError> {
        let executable = self.plan.is_executable(file);
        self.open_at(self.plan.names(file), Access::Write { executable }, last)?
            .ok_or_else(|| StorageError::Missing {
                path: self.plan.path(file),
            })
    }
}

impl From<Stat> for FileState {
    fn from(stat: Stat) -> Self {
        let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
        Self {
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
        // what stands there, pieces found, marked; accepted?; with --overwrite it becomes
        type Case<'a> = (&'a str, &'a [u8], &'a [u32], bool, bool, &'a [u8]);
        let cases: [Case; 8] = [
            ("empty", b"", &[], false, true, b""),
            ("whole", ours, &[0, 1], false, true, ours),
            ("half", &half, &[0], false, true, &half),
            ("cut short", &ours[..12], &[0], false, true, &ours[..12]),
            ("user's", b"my own notes", &[], false, false, b""),
            ("user's, same size", &[9; 20], &[], false, false, b""),
            ("marked", &[9; 20], &[], true, true, &[9; 20]),
            ("too long", &long, &[0, 1], true, false, ours),
        ];
        for (name, before, found, marked, accepted, cut) in cases {
            for overwrite in [false, true] {
                let temp = tempfile::tempdir().unwrap();
                let path = temp.path().join("t/0");
                fs::create_dir(temp.path().join("t")).unwrap();
                fs::write(&path, before).unwrap();
                let storage = torrent.wanting_all(temp.path());
                let mut have = Bitfield::none(4);
                for index in found {
                    have.insert(torrent.piece(*index));
                }
                match storage.claim(&have, marked, overwrite) {
                    Ok(_) if overwrite => assert_eq!(fs::read(&path).unwrap(), cut, "{name}"),
                    Ok(_) => assert!(accepted, "{name} was accepted"),
                    Err(StorageError::NotOurs { path: named }) => {
                        assert!(!accepted && !overwrite, "{name} was refused");
                        assert_eq!(named, path);
                        assert_eq!(fs::read(&path).unwrap(), before, "{name}");
                        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1, "{name}");
                    }
                    Err(error) => panic!("{name}: {error}"),
                }
            }
        }
    }

    /// A small file that shares its only piece with a file not there: nobody can tell.
    #[test]
    fn what_cannot_be_judged_goes_by_its_size() {
        let torrent = Torrent::new(100, &[(20, false), (20, false)]);
        let none = Bitfield::none(1);
        for (content, accepted) in [(&[9; 20][..], true), (&[9; 19], false)] {
            let temp = tempfile::tempdir().unwrap();
            fs::create_dir(temp.path().join("t")).unwrap();
            fs::write(temp.path().join("t/0"), content).unwrap();
            let storage = torrent.wanting(temp.path(), &[true, false]);
            assert_eq!(storage.claim(&none, false, false).is_ok(), accepted);
        }
    }

    #[test]
    fn opening_makes_nothing_and_claiming_only_what_is_needed() {
        let torrent = Torrent::new(10, &[(20, false), (0, false), (0, false)]);
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("new/dir");
        let storage = torrent.wanting(&dir, &[true, true, false]);
        assert_eq!(storage.survey().unwrap(), [None; 3]);
        assert!(!dir.exists());
        let (none, all) = (Bitfield::none(2), Bitfield::all(2));
        let survey = storage.survey().unwrap();
        assert_eq!(storage.space_needed(&survey, &none), 20);
        assert_eq!(storage.space_needed(&survey, &all), 0);

        let complete = storage.claim(&all, false, false).unwrap();
        assert!(dir.join("t/folder1/1").exists(), "the empty file");
        assert!(!dir.join("t/2").exists(), "the empty file not wanted");
        assert!(!dir.join("t.storrent").exists(), "nothing to remember");
        drop(complete);
        storage.claim(&none, false, false).unwrap();
        assert!(dir.join("t.storrent").exists());
        assert!(!dir.join("t/0").exists(), "not before its first byte");
    }

    #[test]
    fn a_full_disk_is_said_before_the_start() {
        let torrent = Torrent::new(1 << 20, &[(20, false)]);
        let temp = tempfile::tempdir().unwrap();
        let storage = torrent.wanting_all(temp.path());
        let error = storage.check_space(u64::MAX, temp.path()).unwrap_err();
        assert!(error.to_string().contains("not enough space"), "{error}");
        let StorageError::NoSpace { needed, free, .. } = error else {
            panic!("{error}");
        };
        assert!(needed == u64::MAX && free > 0);
        storage.check_space(free / 2, temp.path()).unwrap();
    }

    #[test]
    fn parts_of_files_not_wanted_outlive_the_record() {
        let torrent = Torrent::new(20, &[(30, false), (30, false)]);
        let temp = tempfile::tempdir().unwrap();
        let none = Bitfield::none(3);
        let storage = torrent
            .wanting(temp.path(), &[true, false])
            .claim(&none, false, false)
            .unwrap();
        torrent.write(&storage, torrent.piece(1));
        let read = |storage: &Arc<Storage>| {
            let mut buf = [0; 20];
            let read = storage.files(1).read(20, &mut buf);
            read.is_ok() && buf == torrent.bytes(torrent.piece(1))
        };
        assert!(read(&storage));
        storage.write_record(b"3:key5:valuee").unwrap();
        // Another run with the same selection finds them; with another one, it doesn't.
        assert!(read(&torrent.wanting(temp.path(), &[true, false])));
        assert!(!read(&torrent.wanting(temp.path(), &[false, true])));
        assert_eq!(storage.read_record(99).unwrap().unwrap(), b"3:key5:valuee");
        storage.remove_record().unwrap();
        assert!(!temp.path().join("t.storrent").exists() && read(&storage));
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
}
