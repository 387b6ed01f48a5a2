//! Prepares for writing: whose are the files that exist, and is there room?
//!
//! Before the first write, the engine takes the torrent's record for this run alone. Then it finds
//! out whether the files at the torrent's paths are this torrent's ([`super::ownership`]), whether
//! the disk has room, and which of a file's two names the disk accepts ([`super::naming`]).

use super::ownership::Judge;
use super::plan::{self, Place, Plan, kept_at};
use super::record::{Head, Lock, Record};
use super::walk::{self, Access, Folder};
use super::{Storage, StorageError, Survey, naming};
use crate::bitfield::Bitfield;
use crate::layout::{FilePart, PieceIndex};
use crate::types::PieceHash;
use std::collections::BTreeSet;
use std::io::IoSlice;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// How many bytes of kept parts are moved at a time. A run of zeros counts as never written and is
/// left out.
const CHUNK: u64 = 4096;

/// What [`Storage::claim`] needs to know.
pub struct Claim<'a> {
    pub have: &'a Bitfield,
    pub expected: &'a dyn Fn(PieceIndex) -> PieceHash,
    /// Whether to cut the user's own files instead of refusing them.
    pub overwrite: bool,
    /// The bytes of `info`, if the record is to keep them.
    pub metadata: Option<&'a [u8]>,
}

pub struct Claimed {
    pub storage: Arc<Storage>,
    /// Pieces of which parts were moved out of the record to where they belong now. They may be
    /// whole.
    pub moved: Bitfield,
    pub warnings: Vec<String>,
}

impl Storage {
    /// Takes the torrent's record for this run alone, before we trust anything that another run
    /// could still change. Makes DIR and the record if they are missing. Returns the storage with
    /// that record, and warnings for the user.
    ///
    /// `survey`: the files that existed before. `metadata`: what a new record keeps.
    ///
    /// # Errors
    /// [`StorageError::InUse`], if another run has the record. Any other error, if the system
    /// refuses.
    pub fn lock(
        &self,
        survey: &Survey,
        metadata: Option<&[u8]>,
    ) -> Result<(Arc<Self>, Vec<String>), StorageError> {
        let dir = &self.plan.dir;
        let make_dir = |error| StorageError::io("make the folder", dir.clone(), error);
        std::fs::create_dir_all(dir).map_err(make_dir)?;
        let mut locked = Self {
            plan: Arc::clone(&self.plan),
            dir: Some(walk::open_dir(dir).map_err(|errno| make_dir(errno.into()))?),
            record: None,
            keeps: false,
            made: false,
            locked: true,
        };
        // If files exist, we must first find out whose they are.
        let nothing_there = survey.iter().flatten().all(|state| state.size == 0);
        let head = match nothing_there {
            true => self.head(),
            false => Head {
                files: vec![false; self.layout().files()],
                kept: 0,
                ..self.head()
            },
        };
        let names = self.plan.record_names();
        let Some(shelf) = locked.shelf(&names) else {
            return Err(StorageError::FolderGone { path: dir.clone() });
        };
        let (record, lock, made) = shelf.lock(&head, metadata)?;
        locked.made = made;
        let warnings = match lock {
            Lock::Sure => Vec::new(),
            Lock::Unknown => vec![format!(
                "the disk of {} knows of no locks: take care that no other storrent downloads the same there",
                dir.display()
            )],
        };
        locked.take_record(Some(record))?;
        Ok((Arc::new(locked), warnings))
    }

    fn head(&self) -> Head {
        Head {
            info_hash: self.plan.contents.info_hash,
            files: self.plan.ours().to_vec(),
            kept: self.plan.kept_len(),
        }
    }

    /// Prepares for writing, with the record [locked](Self::lock). Judges the files that exist,
    /// makes the empty files and those whose names the disk might refuse, and names all wanted
    /// files as ours in the record.
    ///
    /// # Errors
    /// [`StorageError::NotOurs`] for a file of the user's own; no file was changed then. With
    /// `overwrite` it is cut instead. [`StorageError::NoSpace`], if the disk has no room. Any
    /// other error, if the system refuses. A record that [`lock`](Self::lock) made is removed
    /// then.
    pub fn claim(self: &Arc<Self>, claim: &Claim<'_>) -> Result<Claimed, StorageError> {
        let claimed = self.try_claim(claim);
        if claimed.is_err() {
            self.withdraw();
        }
        claimed
    }

    /// Returns the wanted files whose place is taken by the user's own: at their second path, and
    /// at their first.
    fn foreign(
        self: &Arc<Self>,
        claim: &Claim<'_>,
        survey: &Survey,
    ) -> Result<(BTreeSet<usize>, Vec<usize>), StorageError> {
        let mut judge = Judge::new(self, claim.have, claim.expected);
        let (mut renamed, mut others) = (BTreeSet::new(), Vec::new());
        for file in self.plan.wanted_files() {
            if !judge.is_foreign(file, survey)? {
                continue;
            }
            if self.plan.renamed().contains(&file) {
                renamed.insert(file);
            } else {
                others.push(file);
            }
        }
        Ok((renamed, others))
    }

    fn try_claim(self: &Arc<Self>, claim: &Claim<'_>) -> Result<Claimed, StorageError> {
        let have = claim.have;
        let survey = self.survey()?;
        let (strange, foreign) = self.foreign(claim, &survey)?;
        if let Some(file) = foreign.first().filter(|_| !claim.overwrite) {
            let path = self.plan.path(*file);
            return Err(StorageError::NotOurs { path });
        }
        for file in &foreign {
            self.cut(*file, have)?;
        }
        let survey = if foreign.is_empty() {
            survey
        } else {
            self.survey()?
        };
        self.check_space(self.space_needed(&survey, have), &self.plan.dir)?;
        let Some(root) = self.root() else {
            return Err(StorageError::FolderGone {
                path: self.plan.dir.clone(),
            });
        };
        let renamed = self.plan.renamed() - &strange;
        let plan = Plan::clone(&self.plan).with_renamed(renamed);
        let renamed = naming::settle(&root, &plan, &strange)?;
        let plan = Arc::new(plan.with_renamed(renamed));
        let mut claimed = Self {
            dir: self.dir_again()?,
            plan,
            record: None,
            keeps: false,
            made: false,
            locked: true,
        };
        let (record, moved) = self.record_for(&claimed, have, claim.metadata)?;
        claimed.record = record;
        claimed.keeps = true;
        let mut folder = Folder::default();
        for file in claimed
            .plan
            .wanted_files()
            .filter(|file| claimed.len(*file) == 0)
        {
            if survey[file].is_none() {
                claimed.create(file, &mut folder)?;
            }
        }
        Ok(Claimed {
            warnings: naming::warnings(&claimed.plan),
            storage: Arc::new(claimed),
            moved,
        })
    }

    /// Makes those of `files` again that are empty and gone: no piece restores them.
    ///
    /// # Errors
    /// [`StorageError::TooLong`] for a file that somebody made longer. Any other error, if the
    /// system refuses.
    pub fn mend(&self, files: &[usize]) -> Result<(), StorageError> {
        let mut folder = Folder::default();
        for &file in files {
            match self.look(file, &mut folder)? {
                Some(state) if state.size > self.len(file) => {
                    let path = self.plan.path(file);
                    return Err(StorageError::TooLong { path });
                }
                None if self.len(file) == 0 => _ = self.create(file, &mut folder)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Cuts a file that was not ours: to its right length if it holds pieces that we `have`, else
    /// to zero bytes.
    fn cut(&self, file: usize, have: &Bitfield) -> Result<(), StorageError> {
        let holds_any = self.pieces_of(file).any(|piece| have.has(piece));
        let len = if holds_any { self.len(file) } else { 0 };
        let (fd, _) = self.create(file, &mut Folder::default())?;
        rustix::fs::ftruncate(&fd, len)
            .map_err(|errno| StorageError::io("cut", self.plan.path(file), errno))
    }

    /// Returns the record that `claimed` needs, and the pieces of which parts were moved. Moves the
    /// kept parts of the old record to the new one, or into the file where they belong now.
    fn record_for(
        &self,
        claimed: &Self,
        have: &Bitfield,
        metadata: Option<&[u8]>,
    ) -> Result<(Option<Record>, Bitfield), StorageError> {
        let mut moved = Bitfield::none(self.layout().pieces());
        let Some(record) = &self.record else {
            return Ok((None, moved));
        };
        let head = claimed.head();
        let kept_info = self.says().info;
        let lacks_info = || metadata.is_some() && kept_info.is_none();
        let metadata = metadata.or(kept_info.as_deref());
        if record.head() == Some(&head) && !lacks_info() {
            return Ok((
                Some(
                    record
                        .try_clone()
                        .map_err(|errno| self.record_failed("read", errno))?,
                ),
                moved,
            ));
        }
        let names = self.plan.record_names();
        let Some(shelf) = self.shelf(&names) else {
            return Ok((None, moved));
        };
        let files = Arc::new(Self {
            dir: self.dir_again()?,
            plan: Arc::clone(&claimed.plan),
            record: None,
            keeps: false,
            made: false,
            locked: false,
        });
        let stretches = self.kept_in(record);
        let new = shelf.replace(record, &head, metadata, &|new| {
            for (range, at) in &stretches {
                self.carry((record, *at), range.clone(), new, &files, have)?;
            }
            Ok(())
        })?;
        for (range, _) in &stretches {
            self.layout()
                .pieces_in(range.clone())
                .for_each(|piece| _ = moved.insert(piece));
        }
        Ok((Some(new), moved))
    }

    /// Returns the stretches that `record` keeps; none if their length is wrong.
    fn kept_in(&self, record: &Record) -> plan::Kept {
        let kept = plan::kept(self.layout(), &record.ours(self.layout().files()));
        if plan::kept_len(&kept) == record.kept() {
            kept
        } else {
            plan::Kept::new()
        }
    }

    /// Moves the kept bytes `range` of the torrent, which begin at `at` in the old record, to where
    /// `to` keeps them: a file, or the `new` record.
    fn carry(
        &self,
        (old, at): (&Record, u64),
        range: Range<u64>,
        new: &Record,
        to: &Arc<Self>,
        have: &Bitfield,
    ) -> Result<(), StorageError> {
        let mut files = to.files(1);
        let mut from = range.start;
        // No step crosses the end of a file: of two neighbours, only one may stay in the record.
        let parts: Vec<FilePart> = self.layout().parts(range.clone()).collect();
        for part in parts {
            let end = from + part.len;
            while from < end {
                let here = from..(from + CHUNK).min(end);
                from = here.end;
                let mut bytes = vec![0; (here.end - here.start) as usize];
                let place = old.offset(at + (here.start - range.start));
                let read = super::files::read_up_to(&old.fd, &mut bytes, place);
                bytes.truncate(read.map_err(|errno| self.record_failed("read", errno))?);
                if bytes.iter().all(|byte| *byte == 0) {
                    continue;
                }
                let had = self
                    .layout()
                    .pieces_in(here.clone())
                    .all(|piece| have.has(piece));
                if let Some(at) = kept_at(to.plan.kept(), here.clone()) {
                    super::files::write_all(&new.fd, &bytes, new.offset(at))
                        .map_err(|errno| self.record_failed("write", errno))?;
                } else if to.plan.place(part) == Place::File && !had {
                    files.write(here.start, &mut [IoSlice::new(&bytes)])?;
                }
            }
        }
        Ok(())
    }

    /// How many bytes of files are still to be written.
    pub fn space_needed(&self, survey: &Survey, have: &Bitfield) -> u64 {
        let missing = |file: usize| {
            let range = self.layout().file_range(file);
            // Neither number is exact: some file systems don't tell what they have allocated, and
            // not every allocated byte is of a piece that we have.
            let allocated = survey[file].map_or(0, |state| state.allocated);
            let verified: u64 = self
                .pieces_of(file)
                .filter(|piece| have.has(*piece))
                .map(|piece| {
                    let bytes = self.layout().piece_range(piece);
                    bytes.end.min(range.end) - bytes.start.max(range.start)
                })
                .sum();
            self.len(file).saturating_sub(allocated.max(verified))
        };
        self.plan.wanted_files().map(missing).sum()
    }

    /// How many bytes the disk has left for us. `None` if it doesn't tell.
    pub(super) fn free_space(&self) -> Option<u64> {
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

    pub(super) fn create(
        &self,
        file: usize,
        last: &mut Folder,
    ) -> Result<(rustix::fd::OwnedFd, rustix::fs::Stat), StorageError> {
        let executable = self.plan.is_executable(file);
        self.open_at(self.plan.names(file), Access::Write { executable }, last)?
            .ok_or_else(|| StorageError::Missing {
                path: self.plan.path(file),
            })
    }
}
