//! A small torrent with its data, for the tests of all that goes to disk.

use super::claim::Claimed;
use super::{Claim, Contents, Storage, StorageError};
use crate::bitfield::Bitfield;
use crate::layout::{Layout, PieceIndex};
use crate::metainfo::FileEntry;
use crate::types::{InfoHash, PieceHash};
use crate::wanted::Wanted;
use sha1::{Digest, Sha1};
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

pub(crate) struct Torrent {
    pub layout: Arc<Layout>,
    pub files: Arc<[FileEntry]>,
    pub data: Vec<u8>,
}

impl Torrent {
    /// Files `t/0`, `t/folder1/1`, `t/2`, ... of these lengths in bytes (`true`: padding), with
    /// random data.
    pub(crate) fn new(piece_length: u64, files: &[(u64, bool)]) -> Self {
        let layout = Arc::new(Layout::new(piece_length, files).unwrap());
        let mut rng = fastrand::Rng::with_seed(layout.total());
        let mut data: Vec<u8> = (0..layout.total()).map(|_| rng.u8(1..)).collect();
        let entry = |(i, (_, pad)): (usize, &(u64, bool))| {
            let mut path = vec!["t".to_owned(), format!("folder{i}"), i.to_string()];
            if i % 2 == 0 {
                path.remove(1);
            }
            FileEntry {
                path: if *pad { Vec::new() } else { path },
                url_path: None,
                pad: *pad,
                executable: i == 2,
                number: Some(i),
            }
        };
        let entries = files.iter().enumerate().map(entry).collect();
        for file in (0..files.len()).filter(|file| files[*file].1) {
            let range = layout.file_range(file);
            data[range.start as usize..range.end as usize].fill(0);
        }
        Self {
            layout,
            files: entries,
            data,
        }
    }

    pub(crate) fn contents(&self) -> Contents {
        Contents {
            name: "t".into(),
            info_hash: InfoHash([7; 20]),
            layout: Arc::clone(&self.layout),
            files: Arc::clone(&self.files),
        }
    }

    pub(crate) fn wanting(&self, dir: &Path, wanted: &[bool]) -> Arc<Storage> {
        let wanted = Wanted::new(&self.layout, wanted);
        Storage::open(dir, self.contents(), &wanted).unwrap()
    }

    pub(crate) fn wanting_all(&self, dir: &Path) -> Arc<Storage> {
        self.wanting(dir, &vec![true; self.layout.files()])
    }

    /// Claims the files in `dir` for a run that has no pieces yet.
    pub(crate) fn begun(&self, dir: &Path, wanted: &[bool]) -> Arc<Storage> {
        let none = Bitfield::none(self.layout.pieces());
        self.claim(&self.wanting(dir, wanted), &none, false)
            .unwrap()
            .storage
    }

    pub(crate) fn begun_all(&self, dir: &Path) -> Arc<Storage> {
        self.begun(dir, &vec![true; self.layout.files()])
    }

    /// Takes the record and claims the files, for a run that has the pieces `have`.
    pub(crate) fn claim(
        &self,
        storage: &Arc<Storage>,
        have: &Bitfield,
        overwrite: bool,
    ) -> Result<Claimed, StorageError> {
        let (locked, _) = storage.lock(&storage.survey()?, None)?;
        locked.claim(&Claim {
            have,
            expected: &|piece| self.hash(piece),
            overwrite,
            metadata: None,
        })
    }

    pub(crate) fn piece(&self, index: u32) -> PieceIndex {
        self.layout.piece(index).unwrap()
    }

    pub(crate) fn bytes(&self, piece: PieceIndex) -> &[u8] {
        let start = self.layout.piece_start(piece) as usize;
        &self.data[start..start + self.layout.piece_len(piece) as usize]
    }

    pub(crate) fn hash(&self, piece: PieceIndex) -> PieceHash {
        Sha1::digest(self.bytes(piece)).into()
    }

    pub(crate) fn write(&self, storage: &Arc<Storage>, piece: PieceIndex) {
        let offset = self.layout.piece_start(piece);
        let mut bufs = [IoSlice::new(self.bytes(piece))];
        storage.files(2).write(offset, &mut bufs).unwrap();
    }
}
