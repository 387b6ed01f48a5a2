//! What the demo shares: three files of random bytes, the same in each run.
//!
//! A file's number is the seed of its bytes, so they can be made anew anywhere. A download is
//! compared with new bytes, because a mistake of ours could also change a file on disk.

use crate::cli::Failure;
use crate::compose::{self, Content as Kind, Info, Outside};
use sha1::{Digest, Sha1};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

pub(super) const NAME: &str = "library";

const FILES: [&str; 3] = ["songs.bin", "photos.bin", "film.bin"];

const CHUNK: usize = 64 << 10;

#[derive(Clone, Debug)]
pub(super) struct Content {
    /// Bytes: multiples of the piece length, so that no piece lies in two files.
    pub lengths: [u64; 3],
    pub piece_length: u32,
}

impl Content {
    /// Writes the files with these numbers below `dir`, where a download would save them.
    pub(super) fn write(&self, dir: &Path, files: &[usize]) -> io::Result<()> {
        fs::create_dir_all(dir.join(NAME))?;
        for &file in files {
            let mut out = File::create(path(dir, file))?;
            self.chunks(file, |chunk| out.write_all(chunk))?;
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for file in 0..self.lengths.len() {
            self.chunks(file, |chunk| {
                bytes.extend_from_slice(chunk);
                Ok(())
            })?;
        }
        Ok(bytes)
    }

    /// Whether all three files are below `dir`, with the right bytes.
    pub(super) fn is_in(&self, dir: &Path) -> io::Result<bool> {
        let mut same = true;
        for (file, length) in self.lengths.into_iter().enumerate() {
            let mut found = File::open(path(dir, file))?;
            if found.metadata()?.len() != length {
                return Ok(false);
            }
            let mut read = vec![0; CHUNK];
            self.chunks(file, |chunk| {
                let read = &mut read[..chunk.len()];
                found.read_exact(read)?;
                same &= read == chunk;
                Ok(())
            })?;
        }
        Ok(same)
    }

    pub(super) fn torrent(&self, tracker: &str) -> Result<Vec<u8>, Failure> {
        let hashes = self.bytes()?;
        let hashes = hashes
            .chunks(self.piece_length as usize)
            .flat_map(Sha1::digest);
        let files = FILES.map(|name| vec![name.to_string()]);
        let files: Vec<_> = files.into_iter().zip(self.lengths).collect();
        let info = Info {
            name: NAME,
            content: Kind::Folder(&files),
            piece_length: self.piece_length,
            hashes: &hashes.collect::<Vec<u8>>(),
            private: false,
        };
        let outside = Outside {
            trackers: &[vec![tracker.to_string()]],
            comment: Some("made by storrent demo"),
            ..Outside::default()
        };
        Ok(compose::torrent(&info, outside))
    }

    /// Makes a file's bytes and passes them to `take`, up to [`CHUNK`] at a time.
    fn chunks(&self, file: usize, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut rng = fastrand::Rng::with_seed(file as u64);
        let mut left = self.lengths[file];
        let mut chunk = vec![0; CHUNK];
        while left > 0 {
            let len = left.min(CHUNK as u64);
            let part = &mut chunk[..len as usize];
            rng.fill(part);
            take(part)?;
            left -= len;
        }
        Ok(())
    }
}

fn path(dir: &Path, file: usize) -> PathBuf {
    dir.join(NAME).join(FILES[file])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metainfo;

    #[test]
    fn what_was_written_is_found_and_a_changed_byte_too() {
        let content = Content {
            lengths: [16 << 10, 80 << 10, 48 << 10],
            piece_length: 16 << 10,
        };
        let dir = tempfile::tempdir().unwrap();
        content.write(dir.path(), &[0, 2]).unwrap();
        assert!(content.is_in(dir.path()).is_err(), "one is missing");
        content.write(dir.path(), &[1]).unwrap();
        assert!(content.is_in(dir.path()).unwrap());

        let torrent = content.torrent("http://127.0.0.1:1/announce").unwrap();
        let metainfo = metainfo::parse(&torrent).unwrap();
        assert_eq!((&*metainfo.name, metainfo.layout.pieces()), (NAME, 9));
        assert_eq!(metainfo.total_bytes(), 144 << 10);

        let last = path(dir.path(), 2);
        let mut bytes = fs::read(&last).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&last, &bytes).unwrap();
        assert!(!content.is_in(dir.path()).unwrap());
        fs::write(&last, &bytes[1..]).unwrap();
        assert!(!content.is_in(dir.path()).unwrap());
    }
}
