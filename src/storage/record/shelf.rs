//! Finds the record in DIR, makes it if it is missing, and locks it.
//!
//! The record's first name is `NAME.storrent`. If a file of the user's or another torrent's record
//! has that name, or the disk refuses it, the record has its second name, `.INFOHASH.storrent`. A
//! run that will write to the files first locks the record with `flock`. The system releases that
//! lock however the process ends.

use super::{Form, Head, MAGIC, Record, failed, form_of, fresh};
use crate::storage::files::{read_up_to, write_all};
use crate::storage::{FileState, StorageError};
use crate::types::InfoHash;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, ftruncate, openat,
    renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use std::path::Path;

/// How many times to look for the record, if other runs keep removing it.
const TRIES: usize = 20;

/// DIR, and the names that the record of one torrent may have there.
pub(crate) struct Shelf<'a> {
    pub dir: BorrowedFd<'a>,
    /// For messages.
    pub path: &'a Path,
    /// The best name first. The last one is hidden.
    pub names: &'a [String],
    pub info_hash: InfoHash,
    pub files: usize,
}

pub(crate) enum Drawer {
    /// The torrent's record, or a file that may become it.
    Taken(Record),
    /// There is none; it can be made under this name.
    Free(String),
}

enum Made {
    Record(Record),
    /// Somebody else has just made one.
    Taken,
    Refused,
}

enum Look {
    Absent,
    Refused,
    Ours(Record),
    /// A file of somebody else. We leave it alone.
    Foreign,
}

/// Whether another run can still write to the torrent's files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lock {
    /// No other run can.
    Sure,
    /// This disk knows no locks.
    Unknown,
}

impl Lock {
    /// Interprets the answer of `flock`. Some network disks know no locks, or none for a file that
    /// is open for reading only.
    fn of(answer: Result<(), Errno>) -> Result<Self, Errno> {
        match answer {
            Ok(()) => Ok(Self::Sure),
            Err(Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL | Errno::BADF) => {
                Ok(Self::Unknown)
            }
            Err(errno) => Err(errno),
        }
    }
}

impl Shelf<'_> {
    /// Looks for the record. Changes nothing.
    ///
    /// # Errors
    /// [`StorageError::NoRecord`], if other files have all names.
    pub(crate) fn find(&self) -> Result<Drawer, StorageError> {
        let mut free = None;
        let mut blank = None;
        // The last name first: only this torrent's record can be there.
        for name in self.names.iter().rev() {
            match self.look(name)? {
                Look::Ours(record) if record.form == Form::Blank => blank = Some(record),
                Look::Ours(record) => return Ok(Drawer::Taken(record)),
                Look::Absent => free = Some(name),
                Look::Refused | Look::Foreign => {}
            }
        }
        match (blank, free) {
            // The better name wins. The loop ended with the best one, so each of the two is the
            // best of its kind.
            (Some(record), Some(name)) if self.is_better(name, &record.name) => {
                Ok(Drawer::Free(name.clone()))
            }
            (Some(record), _) => Ok(Drawer::Taken(record)),
            (None, Some(name)) => Ok(Drawer::Free(name.clone())),
            (None, None) => {
                let name = self.names.last().map_or("", String::as_str);
                let path = self.path.join(name);
                Err(StorageError::NoRecord { path })
            }
        }
    }

    fn is_better(&self, name: &str, than: &str) -> bool {
        let place = |name: &str| self.names.iter().position(|other| other == name);
        place(name) < place(than)
    }

    fn look(&self, name: &str) -> Result<Look, StorageError> {
        // Without `NONBLOCK`, opening a pipe of that name would wait for its other end.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let open = |access| openat(self.dir, name, access | flags, Mode::empty());
        let fd = match open(OFlags::RDONLY) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(Look::Absent),
            Err(Errno::INVAL | Errno::NAMETOOLONG | Errno::ILSEQ) => return Ok(Look::Refused),
            Err(
                Errno::LOOP
                | Errno::MLINK
                | Errno::ISDIR
                | Errno::NXIO
                | Errno::ACCESS
                | Errno::PERM,
            ) => {
                return Ok(Look::Foreign);
            }
            Err(errno) => return Err(failed("open", self.path, name, errno)),
        };
        let stat = fstat(&fd).map_err(|errno| failed("read", self.path, name, errno))?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Ok(Look::Foreign);
        }
        let size = FileState::from(stat).size;
        let form = form_of(&fd, size, self.info_hash, self.files);
        let form = form.map_err(|errno| failed("read", self.path, name, errno))?;
        let Some(form) = form else {
            return Ok(Look::Foreign);
        };
        // Open it for writing, too, if the disk lets us.
        let fd = open(OFlags::RDWR)
            .ok()
            .filter(|again| is_same(again, &fd))
            .unwrap_or(fd);
        let name = name.to_owned();
        Ok(Look::Ours(Record { fd, name, form }))
    }

    /// Locks the record. If there is none, makes it first, with `head` and `info`. The `bool` says
    /// whether it was made.
    ///
    /// # Errors
    /// [`StorageError::InUse`], if another run has it.
    pub(crate) fn lock(
        &self,
        head: &Head,
        info: Option<&[u8]>,
    ) -> Result<(Record, Lock, bool), StorageError> {
        self.look_for_others()?;
        for _ in 0..TRIES {
            let (mut record, made) = match self.find()? {
                Drawer::Taken(record) => (record, false),
                Drawer::Free(name) => match self.make(&name, head, info)? {
                    Made::Record(record) => (record, true),
                    Made::Taken => continue, // another run was faster
                    Made::Refused => {
                        let others = Shelf {
                            names: self.names.get(1..).unwrap_or_default(),
                            ..*self
                        };
                        return others.lock(head, info);
                    }
                },
            };
            let lock = self.take(&record.fd, &record.name)?;
            // The run that held the lock may just have removed the record, or made another.
            let Drawer::Taken(again) = self.find()? else {
                continue;
            };
            if again.name != record.name || !is_same(&again.fd, &record.fd) {
                continue;
            }
            record.form = again.form;
            if record.form == Form::Blank {
                self.write_fresh(&mut record, head, info)?;
            }
            return Ok((record, lock, made));
        }
        Err(StorageError::InUse {
            path: self.path.to_owned(),
        })
    }

    fn take(&self, fd: &OwnedFd, name: &str) -> Result<Lock, StorageError> {
        let answer = flock(fd, FlockOperation::NonBlockingLockExclusive);
        Lock::of(answer).map_err(|errno| match errno {
            Errno::WOULDBLOCK => StorageError::InUse {
                path: self.path.join(name),
            },
            errno => failed("lock", self.path, name, errno),
        })
    }

    /// Returns an error if another torrent, in download to the same place, has its record at our
    /// first name.
    fn look_for_others(&self) -> Result<(), StorageError> {
        let Some(name) = self.names.first() else {
            return Ok(());
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(fd) = openat(self.dir, name.as_str(), flags, Mode::empty()) else {
            return Ok(());
        };
        let mut begin = [0; MAGIC.len() + 20];
        let read = read_up_to(&fd, &mut begin, 0).unwrap_or(0);
        let of_another = begin[..read]
            .strip_prefix(MAGIC)
            .is_some_and(|hash| hash != self.info_hash.0);
        match of_another
            && flock(&fd, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
        {
            true => Err(StorageError::PlaceInUse {
                path: self.path.join(name),
            }),
            false => Ok(()),
        }
    }

    /// Makes the record. It is complete and locked from the moment when it has its name.
    fn make(&self, name: &str, head: &Head, info: Option<&[u8]>) -> Result<Made, StorageError> {
        let new = self.new_name();
        let failed = |errno| failed("make", self.path, name, errno);
        let mut record = self.draft(name, head, info, &|_| Ok(()))?;
        let error = match renameat_with(self.dir, &new, self.dir, name, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(Made::Record(record)),
            Err(errno) => errno,
        };
        let _ = unlinkat(self.dir, &new, AtFlags::empty());
        match error {
            Errno::EXIST => return Ok(Made::Taken),
            Errno::INVAL | Errno::NOSYS | Errno::NOTSUP => {}
            Errno::NAMETOOLONG | Errno::ILSEQ => return Ok(Made::Refused),
            errno => return Err(failed(errno)),
        }
        // This disk cannot rename without replacing. Any run that finds the file empty may use it.
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        record.fd = match openat(self.dir, name, flags, Mode::from_raw_mode(0o666)) {
            Ok(fd) => fd,
            Err(Errno::EXIST) => return Ok(Made::Taken),
            Err(Errno::INVAL) => return Ok(Made::Refused),
            Err(errno) => return Err(failed(errno)),
        };
        self.take(&record.fd, name)?;
        self.write_fresh(&mut record, head, info)?;
        Ok(Made::Record(record))
    }

    /// Writes the record anew in the place of `old`, which we have locked. `fill` writes the kept
    /// parts. If the system refuses, `old` is unchanged.
    pub(crate) fn replace(
        &self,
        old: &Record,
        head: &Head,
        info: Option<&[u8]>,
        fill: &dyn Fn(&Record) -> Result<(), StorageError>,
    ) -> Result<Record, StorageError> {
        let record = self.draft(&old.name, head, info, fill)?;
        let renamed = match self.has_its_name(old) {
            true => renameat(self.dir, self.new_name(), self.dir, &old.name),
            false => Err(Errno::EXIST),
        };
        match renamed {
            Ok(()) => Ok(record),
            Err(errno) => {
                let _ = unlinkat(self.dir, self.new_name(), AtFlags::empty());
                Err(failed("write", self.path, &old.name, errno))
            }
        }
    }

    /// Whether the name of `record` still leads to it: somebody may have put another file there.
    fn has_its_name(&self, record: &Record) -> bool {
        let named = statat(self.dir, record.name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        let id = |stat| FileState::from(stat).id;
        named.is_ok_and(|named| fstat(&record.fd).is_ok_and(|ours| id(ours) == id(named)))
    }

    /// Makes a new, locked record that does not have its name yet.
    fn draft(
        &self,
        name: &str,
        head: &Head,
        info: Option<&[u8]>,
        fill: &dyn Fn(&Record) -> Result<(), StorageError>,
    ) -> Result<Record, StorageError> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let new = self.new_name();
        let open = || openat(self.dir, &new, flags, Mode::from_raw_mode(0o666));
        let opened = match open() {
            // A killed process with our process id left it.
            Err(Errno::EXIST) => {
                let _ = unlinkat(self.dir, &new, AtFlags::empty());
                open()
            }
            opened => opened,
        };
        let fd = opened.map_err(|errno| failed("make", self.path, name, errno))?;
        let mut record = Record {
            fd,
            name: name.to_owned(),
            form: Form::Blank,
        };
        let written = self
            .take(&record.fd, name)
            .and_then(|_| self.write_fresh(&mut record, head, info))
            .and_then(|()| fill(&record));
        if written.is_err() {
            let _ = unlinkat(self.dir, self.new_name(), AtFlags::empty());
        }
        written.map(|()| record)
    }

    fn write_fresh(
        &self,
        record: &mut Record,
        head: &Head,
        info: Option<&[u8]>,
    ) -> Result<(), StorageError> {
        let (begin, end) = fresh(head, info);
        let end_at = begin.len() as u64 + head.kept;
        // With nothing kept this is one write, so nobody ever sees a half-written record.
        let written = match head.kept {
            0 => write_all(&record.fd, &[begin, end.clone()].concat(), 0),
            _ => {
                write_all(&record.fd, &begin, 0).and_then(|()| write_all(&record.fd, &end, end_at))
            }
        };
        written
            .and_then(|()| ftruncate(&record.fd, end_at + end.len() as u64))
            .map_err(|errno| failed("write", self.path, &record.name, errno))?;
        record.form = Form::Sound(head.clone());
        Ok(())
    }

    /// Removes the record, which we must have locked. A file that somebody put in its place stays.
    pub(crate) fn remove(&self, record: &Record) -> Result<(), StorageError> {
        if !self.has_its_name(record) {
            return Ok(());
        }
        match unlinkat(self.dir, record.name.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(failed("remove", self.path, &record.name, errno)),
        }
    }

    /// Returns the name of a record that is not complete yet. Each process has its own.
    fn new_name(&self) -> String {
        format!(".{}.{}.storrent.new", self.info_hash, std::process::id())
    }
}

fn is_same(one: impl AsFd, other: impl AsFd) -> bool {
    let id = |fd: BorrowedFd<'_>| fstat(fd).map(|stat| FileState::from(stat).id);
    id(one.as_fd()).is_ok_and(|one| id(other.as_fd()) == Ok(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_locks_it_goes_on_and_with_somebody_elses_it_does_not() {
        assert_eq!(Lock::of(Ok(())), Ok(Lock::Sure));
        for errno in [Errno::NOLCK, Errno::NOTSUP, Errno::OPNOTSUPP] {
            assert_eq!(Lock::of(Err(errno)), Ok(Lock::Unknown));
        }
        for errno in [Errno::WOULDBLOCK, Errno::IO] {
            assert_eq!(Lock::of(Err(errno)), Err(errno));
        }
    }
}
