//! The SHA-1 of every piece of some files: the long part of `storrent create`.
//!
//! The pieces are cut into groups of as many as are best hashed together
//! ([`crate::sha1_lanes`]); each core takes the next group. A piece is never held
//! whole: a few ten KiB of each of the group are read at a time.

use crate::layout::{Layout, PieceIndex};
use crate::sha1_lanes::{MAX_LANES, Sha1Lanes, lanes_for};
use crate::types::PieceHash;
use crossbeam_channel::{Receiver, Sender, unbounded};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Bytes read at a time of each piece. A piece length is a power of two from 16 KiB on,
/// so it is a multiple of this or less.
const BUFFER_LEN: usize = 64 * 1024;

/// How long to wait for another thread to close files, where there are too few ...
const PAUSE: Duration = Duration::from_millis(100);

/// ... and how often.
const PAUSES: u32 = 50;

/// Why the files can't be hashed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// The system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody writes to it, so no hash of it would hold.
    #[error(
        "{} changed while it was read; wait until nobody writes to it, then try again",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

impl HashError {
    /// Whether the process has as many files open as it may.
    fn is_out_of_files(&self) -> bool {
        let errno = match self {
            Self::Io { source, .. } => Errno::from_io_error(source),
            Self::Changed { .. } => None,
        };
        matches!(errno, Some(Errno::MFILE | Errno::NFILE))
    }
}

/// Hashes all pieces with `threads` threads: 20 bytes each, in order. `paths`: the
/// files of `layout`, which knows their sizes. `progress` is called on this thread
/// with the number of pieces done.
///
/// # Errors
/// [`HashError`], if a file can't be read or has another size than before.
pub fn hash(
    layout: &Layout,
    paths: &[PathBuf],
    threads: usize,
    progress: impl Fn(u32),
) -> Result<Vec<u8>, HashError> {
    let pieces: Vec<PieceIndex> = layout.all_pieces().collect();
    let (todo, groups) = unbounded();
    for group in pieces.chunks(lanes_for(MAX_LANES)) {
        let _ = todo.send(group); // `groups` is still there
    }
    drop(todo);
    let mut hashes = vec![PieceHash::default(); pieces.len()];
    let (done, results) = unbounded();
    thread::scope(|scope| {
        let threads = threads.clamp(1, groups.len().max(1));
        let mut started = 0;
        for _ in 0..threads {
            let (groups, done) = (groups.clone(), done.clone());
            let work = move || work(Reader::new(layout, paths), &groups, &done);
            started += usize::from(thread::Builder::new().spawn_scoped(scope, work).is_ok());
        }
        // The system may refuse some, which only makes it slower. If all, this thread works.
        if started == 0 {
            work(Reader::new(layout, paths), &groups, &done);
        }
        drop(done);
        let mut count = 0;
        // Leaving early drops `results`, and that stops the threads.
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
    // A file that has grown gave no error on the way.
    for (file, path) in paths.iter().enumerate() {
        open(layout, file, path)?;
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

/// What one thread reads with.
struct Reader<'a> {
    layout: &'a Layout,
    paths: &'a [PathBuf],
    lanes: [Lane; MAX_LANES],
}

/// For one of the pieces that are hashed together.
#[derive(Default)]
struct Lane {
    /// The file that was read last.
    open: Option<(usize, File)>,
    buffer: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn new(layout: &'a Layout, paths: &'a [PathBuf]) -> Self {
        Self {
            layout,
            paths,
            lanes: Default::default(),
        }
    }

    /// The hashes of neighbouring pieces.
    fn hash(&mut self, group: &[PieceIndex]) -> Result<Vec<PieceHash>, HashError> {
        let full = self.layout.piece_length();
        // The last piece of the torrent goes alone if it is shorter.
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

    /// Fills the lane's buffer from byte `begin` of `piece` on, as far as the piece goes.
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
            let path = &self.paths[part.file];
            let same = opened.take().filter(|(file, _)| *file == part.file);
            let file = match same {
                Some((_, file)) => file,
                None => self.open(part.file)?,
            };
            let (_, file) = opened.insert((part.file, file));
            file.read_exact_at(here, part.offset)
                .map_err(|source| match source.kind() {
                    io::ErrorKind::UnexpectedEof => HashError::Changed { path: path.clone() },
                    _ => HashError::Io {
                        path: path.clone(),
                        source,
                    },
                })?;
        }
        self.lanes[lane] = Lane {
            open: opened,
            buffer,
        };
        Ok(())
    }

    /// Opens a file. If the process has too many open, this thread closes its own, and waits
    /// for others to do so.
    fn open(&mut self, file: usize) -> Result<File, HashError> {
        let mut opened = open(self.layout, file, &self.paths[file]);
        for pause in 0..PAUSES {
            if !matches!(&opened, Err(error) if error.is_out_of_files()) {
                break;
            }
            self.lanes.iter_mut().for_each(|lane| lane.open = None);
            thread::sleep(PAUSE * pause.min(1)); // at first one's own may do
            opened = open(self.layout, file, &self.paths[file]);
        }
        opened
    }
}

/// Opens a file that must have the size that `layout` says.
fn open(layout: &Layout, file: usize, path: &Path) -> Result<File, HashError> {
    let failed = |source| HashError::Io {
        path: path.to_owned(),
        source,
    };
    let opened = File::open(path).map_err(failed)?;
    let range = layout.file_range(file);
    if opened.metadata().map_err(failed)?.len() != range.end - range.start {
        return Err(HashError::Changed {
            path: path.to_owned(),
        });
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha1::{Digest, Sha1};

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
            let (mut paths, mut all, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
            for (i, len) in lens.iter().enumerate() {
                let bytes: Vec<u8> = (0..*len).map(|_| rng.u8(..)).collect();
                paths.push(dir.path().join(format!("{case}-{i}")));
                std::fs::write(&paths[i], &bytes).unwrap();
                sizes.push((*len as u64, false));
                all.extend(bytes);
            }
            let layout = Layout::new(16384, &sizes).unwrap();
            let expected: Vec<u8> = all.chunks(16384).flat_map(Sha1::digest).collect();
            for threads in [1, 3] {
                assert_eq!(
                    hash(&layout, &paths, threads, |_| {}).unwrap(),
                    expected,
                    "{lens:?}"
                );
            }
        }
    }

    #[test]
    fn files_that_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, [7; 40_000]).unwrap();
        let hashed = |len| {
            let layout = Layout::new(16384, &[(len, false)]).unwrap();
            hash(&layout, std::slice::from_ref(&path), 2, |_| {})
        };
        assert!(hashed(40_000).is_ok());
        assert!(
            matches!(hashed(40_001), Err(HashError::Changed { .. })),
            "cut"
        );
        assert!(
            matches!(hashed(39_999), Err(HashError::Changed { .. })),
            "grown"
        );

        // It grows after the last piece was read.
        let layout = Layout::new(16384, &[(40_000, false)]).unwrap();
        let grow = |pieces| {
            if pieces == 3 {
                std::fs::write(&path, [7; 50_000]).unwrap();
            }
        };
        let grown = hash(&layout, std::slice::from_ref(&path), 1, grow);
        assert!(
            matches!(grown, Err(HashError::Changed { .. })),
            "grown late"
        );
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(hashed(40_000), Err(HashError::Io { .. })), "gone");
    }
}
