//! Computes the SHA-1 of every piece of some files, for `storrent create`.
//!
//! Hashing several pieces together takes less time than one after another ([`crate::sha1_lanes`]).
//! So each thread takes a group of pieces, and reads [`BUFFER_LEN`] bytes of each at a time: it
//! never holds a whole piece in memory.

use super::stamp::Stamp;
use crate::layout::{Layout, PieceIndex};
use crate::sha1_lanes::{MAX_LANES, Sha1Lanes, lanes_for};
use crate::shortage::is_out_of_files;
use crate::types::PieceHash;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// Bytes of each piece that are read at a time. Piece lengths are powers of two from 16 KiB, so
/// they are shorter, or a multiple.
const BUFFER_LEN: usize = 64 * 1024;

/// The pause before opening a file again while the process has too many open.
const PAUSE: Duration = Duration::from_millis(100);

/// The most pauses.
const PAUSES: u32 = 50;

/// Why the files can't be hashed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// The system refused to read it.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody wrote to the file or replaced it, so its hash would mean nothing.
    #[error(
        "{} changed while it was read; wait until nobody writes to it, then try again",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The file is gone.
    #[error("{} was removed or renamed while it was read; try again", path.display())]
    Vanished {
        /// The file.
        path: PathBuf,
    },
}

impl HashError {
    /// Whether the process may not open any more files.
    fn is_out_of_files(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_out_of_files(source))
    }
}

/// A file to be hashed.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path.
    pub path: PathBuf,
    /// Its stamp when it was found.
    pub stamp: Stamp,
}

impl Source {
    /// Notes the file at `path` as it is now. Opens it, so that an unreadable file fails before the
    /// hashing.
    ///
    /// # Errors
    /// [`HashError`], if it can't be read.
    pub fn find(path: PathBuf) -> Result<Self, HashError> {
        match Stamp::open(&path) {
            Ok((_, stamp)) => Ok(Self { path, stamp }),
            Err(source) => Err(HashError::Io { path, source }),
        }
    }
}

/// Hashes all pieces of `layout` with `threads` threads, and returns 20 bytes per piece, in order.
/// Calls `progress` on this thread with the number of pieces done.
///
/// # Errors
/// [`HashError`], if a file can't be read or has changed since it was found. Each file is compared
/// when it is opened and at the end.
pub fn hash(
    layout: &Layout,
    files: &[Source],
    threads: usize,
    progress: impl Fn(u32),
) -> Result<Vec<u8>, HashError> {
    let pieces: Vec<PieceIndex> = layout.all_pieces().collect();
    let (todo, groups) = unbounded();
    for group in pieces.chunks(lanes_for(MAX_LANES)) {
        let _ = todo.send(group); // `groups` is still open
    }
    drop(todo);
    let mut hashes = vec![PieceHash::default(); pieces.len()];
    let (done, results) = unbounded();
    thread::scope(|scope| {
        let threads = threads.clamp(1, groups.len().max(1));
        let mut started = 0;
        for _ in 0..threads {
            let (groups, done) = (groups.clone(), done.clone());
            let work = move || work(Reader::new(layout, files), &groups, &done);
            started += usize::from(thread::Builder::new().spawn_scoped(scope, work).is_ok());
        }
        // Fewer threads take longer. If the system refuses all, this thread works.
        if started == 0 {
            work(Reader::new(layout, files), &groups, &done);
        }
        drop(done);
        let mut count = 0;
        // An early return drops `results`, which stops the threads.
        for result in results {
            let (group, hashed) = result?;
            for (piece, hash) in group.iter().zip(hashed) {
                hashes[piece.index()] = hash;
            }
            count += group.len() as u32;
            progress(count);
        }
        Ok(())
    })?;
    for file in files {
        match Stamp::at(&file.path).map_err(|error| failed(file, error))? {
            Some(stamp) => unchanged(file, stamp)?,
            None => return Err(failed(file, io::ErrorKind::NotFound.into())),
        }
    }
    Ok(hashes.concat())
}

type Hashed<'a> = Result<(&'a [PieceIndex], Vec<PieceHash>), HashError>;

fn work<'a>(mut reader: Reader, groups: &Receiver<&'a [PieceIndex]>, done: &Sender<Hashed<'a>>) {
    for group in groups {
        let hashed = reader.hash(group).map(|hashes| (group, hashes));
        if done.send(hashed).is_err() {
            return;
        }
    }
}

struct Reader<'a> {
    layout: &'a Layout,
    files: &'a [Source],
    lanes: [Lane; MAX_LANES],
}

/// One of the pieces that are hashed together.
#[derive(Default)]
struct Lane {
    /// The file that was read last, with its number.
    open: Option<(usize, File)>,
    buffer: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn new(layout: &'a Layout, files: &'a [Source]) -> Self {
        Self {
            layout,
            files,
            lanes: Default::default(),
        }
    }

    /// Returns the hashes of neighbouring pieces.
    fn hash(&mut self, group: &[PieceIndex]) -> Result<Vec<PieceHash>, HashError> {
        let full = self.layout.piece_length();
        // Only pieces of equal length are hashed together; the last may be shorter.
        let short = |piece: &PieceIndex| self.layout.piece_len(*piece) < full;
        let together = group.len() - usize::from(group.last().is_some_and(short));
        let (together, alone) = group.split_at(together);
        let mut hashes = Vec::new();
        for pieces in [together, alone] {
            let Some(first) = pieces.first() else {
                continue;
            };
            let mut hasher = Sha1Lanes::new(pieces.len());
            for begin in (0..self.layout.piece_len(*first)).step_by(BUFFER_LEN) {
                for (lane, piece) in pieces.iter().enumerate() {
                    self.read(lane, *piece, begin)?;
                }
                let lanes = self.lanes.iter().take(pieces.len());
                hasher.update(&lanes.map(|lane| &lane.buffer[..]).collect::<Vec<_>>());
            }
            hashes.extend(hasher.finish());
        }
        Ok(hashes)
    }

    /// Fills the lane's buffer from byte `begin` of `piece`, at most to the piece's end.
    fn read(&mut self, lane: usize, piece: PieceIndex, begin: u32) -> Result<(), HashError> {
        let len = (self.layout.piece_len(piece) - begin).min(BUFFER_LEN as u32) as usize;
        let start = self.layout.piece_start(piece) + u64::from(begin);
        let Lane {
            open: mut opened,
            mut buffer,
        } = std::mem::take(&mut self.lanes[lane]);
        buffer.resize(len, 0);
        let mut rest = &mut buffer[..];
        for part in self.layout.parts(start..start + len as u64) {
            let here;
            (here, rest) = rest.split_at_mut(part.len as usize);
            let source = &self.files[part.file];
            let same = opened.take().filter(|(file, _)| *file == part.file);
            let file = match same {
                Some((_, file)) => file,
                None => self.open(part.file)?,
            };
            let (_, file) = opened.insert((part.file, file));
            let read = file.read_exact_at(here, part.offset);
            read.map_err(|error| failed(source, error))?;
        }
        self.lanes[lane] = Lane {
            open: opened,
            buffer,
        };
        Ok(())
    }

    /// Opens a file. If the process has too many open, this thread closes its own and tries again,
    /// up to 50 times, while other threads close theirs.
    fn open(&mut self, file: usize) -> Result<File, HashError> {
        let mut opened = open(&self.files[file]);
        for pause in 0..PAUSES {
            if !matches!(&opened, Err(error) if error.is_out_of_files()) {
                break;
            }
            self.lanes.iter_mut().for_each(|lane| lane.open = None);
            thread::sleep(PAUSE * pause.min(1)); // no pause before the first new attempt
            opened = open(&self.files[file]);
        }
        opened
    }
}

/// Opens a file, which must be as it was found.
fn open(source: &Source) -> Result<File, HashError> {
    let (file, stamp) = Stamp::open(&source.path).map_err(|error| failed(source, error))?;
    unchanged(source, stamp)?;
    Ok(file)
}

fn unchanged(source: &Source, now: Stamp) -> Result<(), HashError> {
    if now != source.stamp {
        let path = source.path.clone();
        return Err(HashError::Changed { path });
    }
    Ok(())
}

/// What an error means for a file that could be opened when it was found.
fn failed(file: &Source, source: io::Error) -> HashError {
    let path = file.path.clone();
    match source.kind() {
        io::ErrorKind::UnexpectedEof => HashError::Changed { path },
        io::ErrorKind::NotFound => HashError::Vanished { path },
        _ => HashError::Io { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha1::{Digest, Sha1};
    use std::path::Path;

    #[test]
    fn every_piece_whatever_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut rng = fastrand::Rng::with_seed(7);
        let cases: [&[usize]; 6] = [
            &[1],
            &[16384],
            &[300_000],
            &[0, 65536, 0, 65536 * 3, 1, 0],
            &[5, 20_000, 70_000, 1, 1, 40_000],
            &[16384 * 40],
        ];
        for (case, lens) in cases.into_iter().enumerate() {
            let (mut files, mut all, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
            for (i, len) in lens.iter().enumerate() {
                let bytes: Vec<u8> = (0..*len).map(|_| rng.u8(..)).collect();
                files.push(old(dir.path().join(format!("{case}-{i}")), &bytes));
                sizes.push((*len as u64, false));
                all.extend(bytes);
            }
            let layout = Layout::new(16384, &sizes).unwrap();
            let expected: Vec<u8> = all.chunks(16384).flat_map(Sha1::digest).collect();
            for threads in [1, 3] {
                assert_eq!(
                    hash(&layout, &files, threads, |_| {}).unwrap(),
                    expected,
                    "{lens:?}"
                );
            }
        }
    }

    /// Makes a file with an old mtime.
    fn old(path: PathBuf, bytes: &[u8]) -> Source {
        std::fs::write(&path, bytes).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
        Source::find(path).unwrap()
    }

    /// Early or late, the error names the file, and no hash is returned.
    #[test]
    fn files_that_change() {
        const LENS: [usize; 3] = [0, 20_000, 40_000];
        type Change = fn(&Path);
        let write = |path: &Path, bytes: &[u8]| std::fs::write(path, bytes).unwrap();
        let grow: Change = |path| {
            let mut file = File::options().append(true).open(path).unwrap();
            io::Write::write_all(&mut file, b"x").unwrap();
        };
        let cut: Change = |path| {
            let file = File::options().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        };
        let rewrite: Change = |path| {
            let file = File::options().write(true).open(path).unwrap();
            file.write_all_at(b"other", 3).unwrap();
        };
        let replace: Change = |path| {
            let other = path.with_extension("new");
            std::fs::copy(path, &other).unwrap();
            std::fs::rename(other, path).unwrap();
        };
        let link: Change = |path| {
            let other = path.with_extension("moved");
            std::fs::rename(path, &other).unwrap();
            std::os::unix::fs::symlink(other, path).unwrap();
        };
        let remove: Change = |path| std::fs::remove_file(path).unwrap();
        let changes = [grow, cut, rewrite, replace, link, remove];
        for (number, change) in changes.into_iter().enumerate() {
            // An empty file can't be cut.
            for victim in (0..LENS.len()).filter(|victim| (number, *victim) != (1, 0)) {
                for at_piece in [0, 4] {
                    let dir = tempfile::tempdir().unwrap();
                    let files =
                        LENS.map(|len| old(dir.path().join(len.to_string()), &[7; 40_000][..len]));
                    write(&dir.path().join("new"), b"of no concern");
                    let path = &files[victim].path;
                    if at_piece == 0 {
                        change(path);
                    }
                    let layout = Layout::new(16384, &LENS.map(|len| (len as u64, false))).unwrap();
                    let late = |pieces| {
                        if pieces == at_piece {
                            change(path);
                        }
                    };
                    let named = match hash(&layout, &files, 2, late) {
                        Err(HashError::Changed { path }) if number < 5 => path,
                        Err(HashError::Vanished { path }) if number == 5 => path,
                        other => panic!("change {number} of {victim} at {at_piece}: {other:?}"),
                    };
                    assert_eq!(named, *path, "change {number}");
                }
            }
        }
    }
}
