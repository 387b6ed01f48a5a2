//! Computes the SHA-1 of every piece of some files, for `storrent create`. The files must not
//! change while they are read.

use super::stamp::Stamp;
use crate::checker::{Content, Hasher, Runs};
use crate::layout::Layout;
use crate::shortage::is_out_of_files;
use crate::types::PieceHash;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

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

/// Hashes all pieces with `threads` threads. Returns 20 bytes per piece, in order. `files` are
/// those of `layout`, in its order. The threads call `progress` with the number of pieces done.
///
/// # Errors
/// [`HashError`], if a file can't be read or has changed since it was found. Each file is compared
/// when it is opened and at the end.
pub fn hash(
    layout: &Layout,
    files: &[Source],
    threads: usize,
    progress: &(dyn Fn(u32) + Sync),
) -> Result<Vec<u8>, HashError> {
    let runs = Runs {
        pieces: &layout.all_pieces().collect::<Vec<_>>(),
        piece_length: layout.piece_length(),
        threads,
        stop: &AtomicBool::new(false),
        progress,
    };
    let begin = || Hasher::new(Found { layout, files });
    let hashed = runs.hash::<Found, _, _>(begin, |hasher, pieces| {
        let mut hashed = Vec::new();
        hasher.hash(pieces, &mut |piece, hash| {
            hashed.extend(hash.map(|hash| (piece, hash)))
        })?;
        Ok(hashed)
    })?;
    for file in files {
        match Stamp::at(&file.path).map_err(|error| failed(file, error))? {
            Some(stamp) => unchanged(file, stamp)?,
            None => return Err(failed(file, io::ErrorKind::NotFound.into())),
        }
    }
    let mut hashes = vec![PieceHash::default(); layout.pieces() as usize];
    for (piece, hash) in hashed {
        hashes[piece.index()] = hash;
    }
    Ok(hashes.concat())
}

/// The files as they were found.
struct Found<'a> {
    layout: &'a Layout,
    files: &'a [Source],
}

impl Content for Found<'_> {
    /// The file that was read last, and its number.
    type Files = Option<(usize, File)>;
    type Error = HashError;

    fn layout(&self) -> &Layout {
        self.layout
    }

    fn files(&self) -> Self::Files {
        None
    }

    fn read(
        &self,
        files: &mut Self::Files,
        start: u64,
        buffer: &mut [u8],
    ) -> Result<bool, HashError> {
        let mut rest = buffer;
        for part in self.layout.parts(start..start + rest.len() as u64) {
            let here;
            (here, rest) = rest.split_at_mut(part.len as usize);
            let source = &self.files[part.file];
            let file = match files.take() {
                Some((number, file)) if number == part.file => file,
                _ => open(source)?,
            };
            let read = file.read_exact_at(here, part.offset);
            read.map_err(|error| failed(source, error))?;
            *files = Some((part.file, file));
        }
        Ok(true)
    }

    fn prefetch(&self, _: &mut Self::Files, _: u64, _: u64) {}

    fn is_out_of_files(error: &HashError) -> bool {
        matches!(error, HashError::Io { source, .. } if is_out_of_files(source))
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
                    hash(&layout, &files, threads, &|_| {}).unwrap(),
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
                    let named = match hash(&layout, &files, 2, &late) {
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
