//! One thread's open files of a torrent.
//!
//! A torrent may have 20,000 files, but a process often has only 1,024 descriptors, for 50 peers
//! and everything else. So each thread keeps only the few files open that it used last. To reopen
//! one costs a few µs, less than moving the 64 KiB or more that follow. Threads share no files, so
//! nothing needs a lock.

use super::plan::Place;
use super::walk::{Access, Folder};
use super::{FileId, FileState, Storage, StorageError};
use crate::bitfield::Bitfield;
use crate::layout::FilePart;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

/// Reads and writes bytes of a torrent, wherever they are kept.
pub struct Files {
    storage: Arc<Storage>,
    max_open: usize,
    open: Vec<OpenFile>,
    /// The folder in which a file was opened last.
    folder: Folder,
    /// Which of the disk's files were opened, if the caller wants to know.
    opened: Option<Vec<(usize, FileId)>>,
}

struct OpenFile {
    file: usize,
    writable: bool,
    fd: OwnedFd,
}

/// What the disk has of a range of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// At least some of it was written.
    Data,
    /// Nothing was ever written there, but the files are long enough: it reads as zeros.
    Hole,
    /// A file is missing or ends before the range does.
    Missing,
}

impl Files {
    pub(super) fn new(storage: Arc<Storage>, max_open: usize) -> Self {
        Self {
            storage,
            max_open: max_open.max(1),
            open: Vec::new(),
            folder: Folder::default(),
            opened: None,
        }
    }

    /// From now on, remembers which of the disk's files are opened.
    pub fn remember_opened(&mut self) {
        self.opened.get_or_insert_default();
    }

    /// Returns the files opened since the last call, each with the id of the disk's file.
    pub fn opened(&mut self) -> Vec<(usize, FileId)> {
        self.opened.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Closes all files, because other files may be at their paths by now.
    pub fn close(&mut self) {
        self.open.clear();
        self.folder = Folder::default();
    }

    /// Writes `bufs`, one after the other, from byte `offset` of the torrent on. Drops padding.
    /// Makes one system call a file, unless the disk takes less at a time. Uses up the slices.
    ///
    /// The storage must be claimed, and the bytes must be of one wanted piece.
    ///
    /// # Errors
    /// Part may have been written then.
    pub fn write(&mut self, offset: u64, mut bufs: &mut [IoSlice<'_>]) -> Result<(), StorageError> {
        let storage = Arc::clone(&self.storage);
        let len: u64 = bufs.iter().map(|buf| buf.len() as u64).sum();
        for part in storage.layout().parts(offset..offset.saturating_add(len)) {
            if storage.plan.place(part) == Place::Padding {
                IoSlice::advance_slices(&mut bufs, part.len as usize);
                continue;
            }
            let (fd, at) = self.fd_for(part, true)?;
            let mut done = 0;
            while done < part.len {
                IoSlice::advance_slices(&mut bufs, 0); // drops empty slices
                let written = write_some(fd, bufs, part.len - done, at + done)
                    .map_err(|errno| storage.write_error(part, errno))?;
                IoSlice::advance_slices(&mut bufs, written);
                done += written as u64;
            }
        }
        Ok(())
    }

    /// Fills `buf` from byte `offset` of the torrent on. Padding and holes are zeros.
    ///
    /// # Errors
    /// [`StorageError::Missing`], if a file is missing or too short, or if the bytes are not
    /// wanted and so kept nowhere.
    pub fn read(&mut self, offset: u64, mut buf: &mut [u8]) -> Result<(), StorageError> {
        let storage = Arc::clone(&self.storage);
        let end = offset.saturating_add(buf.len() as u64);
        for part in storage.layout().parts(offset..end) {
            let (here, rest) = buf.split_at_mut(part.len as usize);
            buf = rest;
            if storage.plan.place(part) == Place::Padding {
                here.fill(0);
                continue;
            }
            let (fd, at) = self.fd_for(part, false)?;
            let read =
                read_up_to(fd, here, at).map_err(|errno| storage.error("read", part, errno))?;
            if read < here.len() {
                return Err(storage.missing(part));
            }
        }
        Ok(())
    }

    /// Returns what the disk has of `range` of the torrent, as far as the system knows without
    /// reading: in doubt, [`Presence::Data`].
    pub fn presence(&mut self, range: Range<u64>) -> Result<Presence, StorageError> {
        let storage = Arc::clone(&self.storage);
        let mut presence = Presence::Hole;
        for part in storage.layout().parts(range) {
            let (fd, at) = match storage.plan.place(part) {
                Place::Padding => continue,
                Place::Kept(_) if storage.keeps => {
                    presence = Presence::Data;
                    continue;
                }
                _ => match self.fd_for(part, false) {
                    Ok(found) => found,
                    Err(StorageError::Missing { .. }) => return Ok(Presence::Missing),
                    Err(error) => return Err(error),
                },
            };
            let end = at + part.len;
            match rustix::fs::seek(fd, SeekFrom::Data(at)) {
                Ok(data) if data >= end => {}
                // From here on there is a hole at most.
                Err(Errno::NXIO) => {
                    let stat = rustix::fs::fstat(fd);
                    let stat = stat.map_err(|errno| storage.error("look at", part, errno))?;
                    if FileState::from(stat).size < end {
                        return Ok(Presence::Missing);
                    }
                }
                // Data, or a file system that knows no holes.
                Ok(_) | Err(_) => presence = Presence::Data,
            }
        }
        Ok(presence)
    }

    /// Returns which parts of `range` of the torrent were written, as far as the system knows
    /// without reading: padding, and all of a file but its holes. On a disk that knows no holes, a
    /// file counts as written up to its end.
    pub fn written(&mut self, range: Range<u64>) -> Result<Vec<Range<u64>>, StorageError> {
        let storage = Arc::clone(&self.storage);
        let mut runs: Vec<Range<u64>> = Vec::new();
        let mut start = range.start;
        for part in storage.layout().parts(range) {
            let here = start..start + part.len;
            start = here.end;
            let (fd, at) = match storage.plan.place(part) {
                Place::Padding => {
                    join(&mut runs, here);
                    continue;
                }
                _ => match self.fd_for(part, false) {
                    Ok(found) => found,
                    Err(StorageError::Missing { .. }) => continue,
                    Err(error) => return Err(error),
                },
            };
            let end = at + part.len;
            let mut from = at;
            while from < end {
                let Ok(data) = rustix::fs::seek(fd, SeekFrom::Data(from)) else {
                    break; // a hole at most follows
                };
                let hole = rustix::fs::seek(fd, SeekFrom::Hole(data)).unwrap_or(data);
                if data >= end || hole <= data {
                    break;
                }
                let (data, hole) = (data.max(at), hole.min(end));
                join(
                    &mut runs,
                    here.start + (data - at)..here.start + (hole - at),
                );
                from = hole;
            }
        }
        Ok(runs)
    }

    /// Returns the value of all bytes of `range` of the torrent on disk, if they are equal.
    pub fn constant(&mut self, range: Range<u64>) -> Result<Option<u8>, StorageError> {
        let mut buf = vec![0; 64 * 1024];
        let mut constant = None;
        let mut at = range.start;
        while at < range.end {
            let len = buf.len().min((range.end - at) as usize);
            self.read(at, &mut buf[..len])?;
            let byte = *constant.get_or_insert(buf[0]);
            if buf[..len].iter().any(|other| *other != byte) {
                return Ok(None);
            }
            at += len as u64;
        }
        Ok(constant)
    }

    /// Makes the system write `file` to the disk, if it exists.
    pub fn flush(&mut self, file: usize) -> Result<(), StorageError> {
        let names = self.storage.plan.names(file);
        let opened = self
            .storage
            .open_at(names, Access::Read, &mut self.folder)?;
        let Some((fd, _)) = opened else { return Ok(()) };
        let flushed = retry(|| rustix::fs::fsync(&fd));
        flushed.map_err(|errno| StorageError::io("write", self.storage.plan.path(file), errno))
    }

    /// Tells the system that `len` bytes from byte `offset` of the torrent on will be read soon.
    /// Ignores errors: the read will meet them again.
    pub fn prefetch(&mut self, offset: u64, len: u64) {
        let storage = Arc::clone(&self.storage);
        for part in storage.layout().parts(offset..offset.saturating_add(len)) {
            if storage.plan.place(part) == Place::File
                && let Ok(fd) = self.open(part, false)
            {
                advise(fd, part.offset, part.len);
            }
        }
    }

    /// Returns where `part`, which is no padding, is kept: an open file and an offset in it.
    fn fd_for(
        &mut self,
        part: FilePart,
        write: bool,
    ) -> Result<(BorrowedFd<'_>, u64), StorageError> {
        match self.storage.plan.place(part) {
            Place::File => Ok((self.open(part, write)?, part.offset)),
            Place::Kept(at) => match self.storage.record.as_ref().filter(|_| self.storage.keeps) {
                Some(record) => Ok((record.fd.as_fd(), record.offset(at))),
                None => Err(self.storage.missing(part)),
            },
            Place::Nowhere | Place::Padding => Err(self.storage.missing(part)),
        }
    }

    /// Returns the file of `part`, opened if necessary. If it is missing, `write` makes it.
    fn open(&mut self, part: FilePart, write: bool) -> Result<BorrowedFd<'_>, StorageError> {
        let file = part.file;
        match self.open.iter().position(|open| open.file == file) {
            Some(i) if self.open[i].writable || !write => self.open[..=i].rotate_right(1),
            found => {
                // Close before opening: never more than `max_open` files are open.
                match found {
                    Some(i) => drop(self.open.remove(i)),
                    None => self.open.truncate(self.max_open - 1),
                }
                let (fd, stat) = if write {
                    self.storage.create(file, &mut self.folder)?
                } else {
                    let names = self.storage.plan.names(file);
                    let opened = self
                        .storage
                        .open_at(names, Access::Read, &mut self.folder)?;
                    opened.ok_or_else(|| self.storage.missing(part))?
                };
                if let Some(opened) = &mut self.opened {
                    opened.push((file, FileState::from(stat).id));
                }
                let writable = write;
                self.open.insert(0, OpenFile { file, writable, fd });
            }
        }
        Ok(self.open[0].fd.as_fd())
    }
}

impl Storage {
    fn missing(&self, part: FilePart) -> StorageError {
        StorageError::Missing {
            path: self.plan.path(part.file),
        }
    }

    fn error(&self, action: &'static str, part: FilePart, errno: Errno) -> StorageError {
        let path = match self.plan.place(part) {
            Place::Kept(_) => self.record_path(),
            _ => self.plan.path(part.file),
        };
        StorageError::io(action, path, errno)
    }

    /// The error for a full disk says how many bytes are still to come.
    fn write_error(&self, part: FilePart, errno: Errno) -> StorageError {
        let path = self.plan.path(part.file);
        match (errno, self.free_space(), self.survey()) {
            (Errno::NOSPC, Some(free), Ok(survey)) => StorageError::NoSpace {
                path,
                needed: self.space_needed(&survey, &Bitfield::none(self.layout().pieces())),
                free,
            },
            _ => self.error("write", part, errno),
        }
    }
}

/// Appends `run` to `runs`, or extends the last of them if `run` follows it directly.
pub(super) fn join(runs: &mut Vec<Range<u64>>, run: Range<u64>) {
    match runs.last_mut() {
        Some(last) if last.end == run.start => last.end = run.end,
        _ => runs.push(run),
    }
}

/// Writes as many bytes of `bufs` as one call takes, from 1 to `max`.
fn write_some(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>], max: u64, at: u64) -> Result<usize, Errno> {
    let mut left = max;
    let mut whole = 0;
    while let Some(buf) = bufs.get(whole).filter(|buf| buf.len() as u64 <= left) {
        left -= buf.len() as u64;
        whole += 1;
    }
    // The next buffer may belong to this file only in part.
    let part = bufs.get(whole).map_or(&[][..], |buf| &buf[..left as usize]);
    let cut;
    let bufs = match part.is_empty() {
        true => &bufs[..whole],
        false => {
            cut = [&bufs[..whole], &[IoSlice::new(part)]].concat();
            &cut
        }
    };
    let written = retry(|| rustix::io::pwritev(fd, bufs, at))?;
    // We never saw a disk take nothing without an error; it must not make us loop.
    if written == 0 {
        Err(Errno::IO)
    } else {
        Ok(written)
    }
}

pub(super) fn write_all(fd: impl AsFd, mut buf: &[u8], mut at: u64) -> Result<(), Errno> {
    while !buf.is_empty() {
        let written = write_some(fd.as_fd(), &[IoSlice::new(buf)], u64::MAX, at)?;
        buf = &buf[written..];
        at += written as u64;
    }
    Ok(())
}

/// Reads from byte `at` on until `buf` is full or the file ends. Returns how many bytes it read.
pub(super) fn read_up_to(fd: impl AsFd, buf: &mut [u8], at: u64) -> Result<usize, Errno> {
    let mut done = 0;
    while done < buf.len() {
        match retry(|| rustix::io::pread(&fd, &mut buf[done..], at + done as u64))? {
            0 => break,
            read => done += read,
        }
    }
    Ok(done)
}

#[cfg(target_os = "linux")]
fn advise(fd: BorrowedFd<'_>, at: u64, len: u64) {
    let soon = rustix::fs::Advice::WillNeed;
    _ = rustix::fs::fadvise(fd, at, std::num::NonZeroU64::new(len), soon);
}

#[cfg(not(target_os = "linux"))]
fn advise(_: BorrowedFd<'_>, _: u64, _: u64) {}

pub(super) fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Torrent;
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn reads_what_was_written(
            files in prop::collection::vec((0u64..90, prop::bool::weighted(0.2), any::<bool>()), 1..12),
            piece_length in 1u64..50,
            cuts in prop::collection::vec(0usize..50, 0..6),
            max_open in 1usize..4,
        ) {
            let sizes: Vec<_> = files.iter().map(|(len, pad, _)| (*len, *pad)).collect();
            let wanted: Vec<_> = files.iter().map(|(_, _, wanted)| *wanted).collect();
            let torrent = Torrent::new(piece_length, &sizes);
            let temp = tempfile::tempdir().unwrap();
            let storage = torrent.begun(temp.path(), &wanted);
            let mut handle = storage.files(max_open);
            let pieces = storage.plan().wanted_pieces();
            for piece in pieces.iter() {
                // The second half of the piece first, each half in several buffers.
                let bytes = torrent.bytes(piece);
                let half = bytes.len() / 2;
                for (begin, mut rest) in [(half, &bytes[half..]), (0, &bytes[..half])] {
                    let mut bufs = Vec::new();
                    for cut in &cuts {
                        let (buf, after) = rest.split_at(*cut.min(&rest.len()));
                        bufs.push(IoSlice::new(buf));
                        rest = after;
                    }
                    bufs.push(IoSlice::new(rest));
                    let offset = torrent.layout.piece_start(piece) + begin as u64;
                    handle.write(offset, &mut bufs).unwrap();
                }
            }
            let mut reader = storage.files(max_open);
            for piece in torrent.layout.all_pieces() {
                let mut buf = vec![1; torrent.bytes(piece).len()];
                let read = reader.read(torrent.layout.piece_start(piece), &mut buf);
                if pieces.has(piece) {
                    read.unwrap();
                    prop_assert_eq!(buf, torrent.bytes(piece));
                }
            }
            for (file, entry) in torrent.files.iter().enumerate().filter(|(_, f)| !f.pad) {
                let path = storage.plan().path(file);
                if wanted[file] {
                    let range = torrent.layout.file_range(file);
                    let expected = &torrent.data[range.start as usize..range.end as usize];
                    prop_assert_eq!(std::fs::read(&path).unwrap(), expected);
                    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
                    prop_assert_eq!(mode & 0o100 != 0, entry.executable);
                } else {
                    prop_assert!(!path.exists());
                }
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn open_below(dir: &std::path::Path) -> usize {
        let fds = std::fs::read_dir("/proc/self/fd").unwrap();
        fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
            .filter(|target| target.starts_with(dir))
            .count()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn few_descriptors_for_many_files() {
        let torrent = Torrent::new(64, &vec![(10, false); 2_000]);
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().canonicalize().unwrap();
        let storage = torrent.begun_all(&dir);
        let mut files = storage.files(4);
        for piece in torrent.layout.all_pieces() {
            let start = torrent.layout.piece_start(piece);
            let mut bufs = [IoSlice::new(torrent.bytes(piece))];
            files.write(start, &mut bufs).unwrap();
            let mut buf = vec![0; torrent.bytes(piece).len()];
            files.read(start, &mut buf).unwrap();
            assert_eq!(buf, torrent.bytes(piece));
            let open = open_below(&dir);
            assert!(
                (6..=7).contains(&open),
                "{open}: four files, DIR, the record, a folder"
            );
        }
    }

    #[test]
    fn a_file_that_is_read_can_be_written_later() {
        let torrent = Torrent::new(10, &[(10, false), (10, false)]);
        let temp = tempfile::tempdir().unwrap();
        let storage = torrent.begun_all(temp.path());
        torrent.write(&storage, torrent.piece(0));
        let mut files = storage.files(1);
        let mut buf = [0; 10];
        files.read(0, &mut buf).unwrap();
        files.write(5, &mut [IoSlice::new(b"hello")]).unwrap();
        files.read(0, &mut buf).unwrap();
        assert_eq!(buf, [&torrent.data[..5], b"hello"].concat()[..]);
    }

    #[test]
    fn missing_short_and_odd_files() {
        let torrent = Torrent::new(10, &[(20, false), (20, false)]);
        let temp = tempfile::tempdir().unwrap();
        let storage = torrent.wanting_all(temp.path());
        std::fs::create_dir(temp.path().join("t")).unwrap();
        std::fs::write(temp.path().join("t/0"), [1; 15]).unwrap();
        let mut files = storage.files(2);
        let mut buf = [0; 10];
        files.read(0, &mut buf).unwrap();
        for offset in [10, 20] {
            let error = files.read(offset, &mut buf).unwrap_err();
            assert!(matches!(error, StorageError::Missing { .. }), "{error}");
        }
        let presence = [0, 10, 20].map(|start| files.presence(start..start + 10).unwrap());
        // Some of the second piece is there: only reading shows that the file ends too early.
        assert_eq!(
            presence,
            [Presence::Data, Presence::Data, Presence::Missing]
        );
        symlink("0", temp.path().join("t/folder1")).unwrap();
        let error = files.read(20, &mut buf).unwrap_err().to_string();
        assert!(error.contains("t/folder1 is a symlink"), "{error}");
    }
}
