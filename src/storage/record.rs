//! The record, `DIR/NAME.storrent`: a small file beside an incomplete download that
//! says how far it is ([`crate::resume`] makes and reads what it says), and in which
//! the parts are kept that belong to files not wanted.
//!
//! It is one bencoded dictionary. Its first key sorts before all others, and its value
//! has a length that follows from the torrent and the selection, so the kept parts lie
//! at a known place and can be written while the rest isn't there yet:
//!
//! ```text
//! d 6:!parts 11:…the kept parts… 7:boot id36:… … e
//! |------ head ------|------ kept_len ------|---------- rest ----------|
//! ```

use super::files::{read_up_to, write_all};
use super::walk::{Access, Folder};
use super::{FileState, Storage, StorageError};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, fstat, ftruncate};
use rustix::io::Errno;
use std::path::Path;

/// How a record begins: a dictionary, its first key.
const KEY: &[u8] = b"d6:!parts";

/// How the name of each record ends.
const SUFFIX: &[u8] = b".storrent";

/// The longest head: the key, a number of 20 digits, a colon.
const MAX_HEAD_LEN: usize = KEY.len() + 21;

impl Storage {
    /// The bytes before the kept parts.
    fn head(&self) -> Vec<u8> {
        [KEY, format!("{}:", self.plan.kept_len()).as_bytes()].concat()
    }

    /// Where in the record the byte `at` of the kept parts lies.
    pub(super) fn record_offset(&self, at: u64) -> u64 {
        self.head().len() as u64 + at
    }

    fn record_error(&self, action: &'static str, errno: Errno) -> StorageError {
        StorageError::io(action, self.plan.record_path(), errno)
    }

    pub(super) fn open_record(&self, access: Access) -> Result<Option<OwnedFd>, StorageError> {
        self.open_at(self.plan.record(), access, &mut Folder::default())
    }

    /// Whether `record` keeps as much as this selection needs, so that it can be used on.
    pub(super) fn has_head(&self, record: &OwnedFd) -> Result<bool, StorageError> {
        let expected = (self.record_offset(0), self.plan.kept_len());
        let head = parse_head(record).map_err(|errno| self.record_error("read", errno))?;
        Ok(head == Some(expected))
    }

    /// Makes the record, or takes over the one that is there; `None` if nothing is to
    /// be kept in it, so that it need not stay open.
    pub(super) fn make_record(&self) -> Result<Option<OwnedFd>, StorageError> {
        let Some(record) = self.open_record(Access::Write { executable: false })? else {
            return Ok(None);
        };
        if !self.has_head(&record)? {
            let head = self.head();
            // Written first, then cut: a file cut to length 0 and written again, ext4 forces to
            // the disk at `close` (0.3 ms).
            write_all(&record, &head, 0)
                .and_then(|()| ftruncate(&record, head.len() as u64))
                .map_err(|errno| self.record_error("write", errno))?;
        }
        Ok((self.plan.kept_len() > 0).then_some(record))
    }

    /// Whether a record is there, and what it says after the kept parts, at most `max`
    /// bytes of it; empty if it makes no sense.
    ///
    /// # Errors
    /// [`StorageError`], if it cannot be read.
    pub(crate) fn read_record(&self, max: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(record) = self.open_record(Access::Read)? else {
            return Ok(None);
        };
        let rest = rest_of(&record, max).map_err(|errno| self.record_error("read", errno))?;
        Ok(Some(rest))
    }

    /// Puts `rest` after the kept parts, in place: the file stays the same one, for other
    /// threads have it open. If we are stopped midway, the next start finds it damaged,
    /// which costs a check, while the kept parts stay.
    ///
    /// # Errors
    /// [`StorageError`], if it cannot be written.
    pub(crate) fn write_record(&self, rest: &[u8]) -> Result<(), StorageError> {
        let opened = match self.record {
            Some(_) => None,
            None => self.open_record(Access::Write { executable: false })?,
        };
        let Some(record) = self.record.as_ref().or(opened.as_ref()) else {
            return Ok(()); // no DIR: then there is nothing to remember
        };
        let start = self.record_offset(self.plan.kept_len());
        ftruncate(record, start)
            .and_then(|()| write_all(record, &self.head(), 0))
            .and_then(|()| write_all(record, rest, start))
            .map_err(|errno| self.record_error("write", errno))
    }

    /// Removes the record; what is kept in it can still be read until the end of the run.
    ///
    /// # Errors
    /// [`StorageError`], if it cannot be removed.
    pub(crate) fn remove_record(&self) -> Result<(), StorageError> {
        match self.root() {
            Some(root) => root.remove(self.plan.record()),
            None => Ok(()),
        }
    }
}

/// What each record in the folder `dir` says after its kept parts, at most `max` bytes of
/// it. What cannot be read is passed over, symlinks are not followed.
pub fn records(dir: &Path, max: u64) -> impl Iterator<Item = Vec<u8>> {
    let entries = std::fs::read_dir(dir).ok().into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().as_encoded_bytes().ends_with(SUFFIX));
    named.filter_map(move |entry| {
        // A pipe of that name must not hold us up.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let record = rustix::fs::open(entry.path(), flags, Mode::empty()).ok()?;
        let is_file = FileType::from_raw_mode(fstat(&record).ok()?.st_mode).is_file();
        is_file.then(|| rest_of(&record, max).ok()).flatten()
    })
}

/// What stands in `record` after the kept parts, at most `max` bytes; empty if it does not
/// begin as a record does.
fn rest_of(record: &OwnedFd, max: u64) -> Result<Vec<u8>, Errno> {
    // Another selection keeps more or less, but says just as well which torrent it is.
    let Some((head, kept)) = parse_head(record)? else {
        return Ok(Vec::new());
    };
    let start = head.saturating_add(kept);
    let size = FileState::from(fstat(record)?).size;
    let mut rest = vec![0; size.saturating_sub(start).min(max) as usize];
    let read = read_up_to(record, &mut rest, start)?;
    rest.truncate(read);
    Ok(rest)
}

/// The first byte after the head of `record` and the number of bytes kept there; `None`
/// if it does not begin as a record does.
fn parse_head(record: &OwnedFd) -> Result<Option<(u64, u64)>, Errno> {
    let mut head = [0; MAX_HEAD_LEN];
    let read = read_up_to(record, &mut head, 0)?;
    let parse = || {
        let digits = head[..read].strip_prefix(KEY)?;
        let len = digits.iter().position(|byte| *byte == b':')?;
        let kept = std::str::from_utf8(&digits[..len]).ok()?.parse().ok()?;
        Some(((KEY.len() + len + 1) as u64, kept))
    };
    Ok(parse())
}
