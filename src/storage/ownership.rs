//! Decides whose a file is that exists before the first write: this torrent's, from an earlier run,
//! or the user's own.
//!
//! A file is ours only on evidence: a record of this torrent beside it names it, or one of its
//! pieces has the right hash. A piece whose bytes are all equal counts only if the file has no
//! other pieces, because any disk image has one of zeros. If no piece of a file can be checked,
//! because each also has bytes of other files that are missing, the file has the benefit of the
//! doubt.

use super::{Storage, StorageError, Survey};
use crate::bitfield::Bitfield;
use crate::layout::PieceIndex;
use crate::types::PieceHash;
use sha1_lanes::sha1_of_equal;
use std::collections::HashMap;
use std::sync::Arc;

/// Decides for one file after another. Remembers what it read of a piece that they share.
pub(super) struct Judge<'a> {
    storage: &'a Arc<Storage>,
    have: &'a Bitfield,
    expected: &'a dyn Fn(PieceIndex) -> PieceHash,
    /// For each file, whether the record names it as ours.
    marked: Vec<bool>,
    /// Hashes of pieces whose bytes are all equal, by that value and the length in bytes.
    constants: HashMap<(u8, u32), PieceHash>,
    /// The piece read last, and the value of all its bytes, if they are equal.
    last_constant: (Option<PieceIndex>, Option<u8>),
    /// The piece searched for gaps last, and up to two of its files that lack bytes.
    last_gaps: (Option<PieceIndex>, Vec<usize>),
}

impl<'a> Judge<'a> {
    /// `have`: the pieces that a check found; `expected`: returns the hash that a piece must have.
    pub(super) fn new(
        storage: &'a Arc<Storage>,
        have: &'a Bitfield,
        expected: &'a dyn Fn(PieceIndex) -> PieceHash,
    ) -> Self {
        let files = storage.layout().files();
        let marked = storage
            .record
            .as_ref()
            .map(|record| match record.marks_wanted() {
                true => vec![true; files],
                false => record.ours(files),
            });
        Self {
            storage,
            have,
            expected,
            marked: marked.unwrap_or_else(|| vec![false; files]),
            constants: HashMap::new(),
            last_constant: (None, None),
            last_gaps: (None, Vec::new()),
        }
    }

    /// Whether the file at the path of `file` must be the user's own.
    pub(super) fn is_foreign(
        &mut self,
        file: usize,
        survey: &Survey,
    ) -> Result<bool, StorageError> {
        let size = survey[file].map_or(0, |state| state.size);
        if size > self.storage.len(file) {
            return Ok(true);
        }
        if size == 0 || self.marked[file] || self.is_evident(file)? {
            return Ok(false);
        }
        // At a second name only evidence counts: the first name may be free.
        let renamed = self.storage.plan.renamed().contains(&file);
        let mut pieces = self.storage.pieces_of(file);
        Ok(renamed || pieces.any(|piece| self.others_are_there(piece, file, survey)))
    }

    /// Whether a piece that we have shows that `file` is the torrent's.
    fn is_evident(&mut self, file: usize) -> Result<bool, StorageError> {
        let storage = self.storage;
        let mut values = Vec::new();
        for piece in storage
            .pieces_of(file)
            .filter(|piece| self.have.has(*piece))
        {
            match self.constant(piece) {
                Ok(Some(value)) if !values.contains(&value) => values.push(value),
                Ok(Some(_)) | Err(StorageError::Missing { .. }) => {}
                Ok(None) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        // If all pieces are like these, there can be no better evidence.
        let only_such = |piece| values.iter().any(|value| self.is_constant(piece, *value));
        Ok(!values.is_empty() && storage.pieces_of(file).all(only_such))
    }

    /// Returns the value of all bytes of `piece`, if they are equal. Remembered, because a thousand
    /// files may share one.
    fn constant(&mut self, piece: PieceIndex) -> Result<Option<u8>, StorageError> {
        if self.last_constant.0 == Some(piece) {
            return Ok(self.last_constant.1);
        }
        let range = self.storage.layout().piece_range(piece);
        let constant = self.storage.files(1).constant(range)?;
        self.last_constant = (Some(piece), constant);
        Ok(constant)
    }

    /// Whether `survey` has all bytes of `piece` in files other than `file`. A piece is searched
    /// once for all its files.
    fn others_are_there(&mut self, piece: PieceIndex, file: usize, survey: &Survey) -> bool {
        if self.last_gaps.0 != Some(piece) {
            let layout = self.storage.layout();
            let size = |file: usize| survey[file].map_or(0, |state| state.size);
            let parts = layout
                .parts(layout.piece_range(piece))
                .filter(|part| !part.pad);
            let gaps = parts.filter(|part| part.offset + part.len > size(part.file));
            self.last_gaps = (Some(piece), gaps.map(|part| part.file).take(2).collect());
        }
        self.last_gaps.1.iter().all(|gap| *gap == file)
    }

    /// Whether all bytes of `piece` are `value`, by its hash.
    fn is_constant(&mut self, piece: PieceIndex, value: u8) -> bool {
        let len = self.storage.layout().piece_len(piece);
        let hash = self.constants.entry((value, len));
        *hash.or_insert_with(|| sha1_of_equal(value, len)) == (self.expected)(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Torrent;
    use super::*;
    use std::fs;

    /// What happens to a file `t/0` of 20 bytes (two pieces) that exists before the download.
    #[test]
    fn whose_file_it_is() {
        let torrent = Torrent::new(10, &[(20, false), (20, false)]);
        let ours = &torrent.data[..20];
        let long = [ours, b"more"].concat();
        let half = [&ours[..10], b"garbage!!!"].concat();
        // The file's bytes, pieces found, whether a record is beside it; whether it is accepted,
        // and its bytes after --overwrite.
        type Case<'a> = (&'a str, &'a [u8], &'a [u32], bool, bool, &'a [u8]);
        let cases: [Case; 8] = [
            ("empty", b"", &[], false, true, b""),
            ("whole", ours, &[0, 1], false, true, ours),
            ("half", &half, &[0], false, true, &half),
            ("cut short", &ours[..12], &[0], false, true, &ours[..12]),
            ("user's", b"my own notes", &[], false, false, b""),
            ("user's, same size", &[9; 20], &[], false, false, b""),
            ("with a record", &[9; 20], &[], true, true, &[9; 20]),
            ("too long", &long, &[0, 1], true, false, ours),
        ];
        for (name, before, found, marked, accepted, cut) in cases {
            for overwrite in [false, true] {
                let temp = tempfile::tempdir().unwrap();
                let path = temp.path().join("t/0");
                if marked {
                    torrent.begun_all(temp.path());
                }
                fs::create_dir_all(temp.path().join("t")).unwrap();
                fs::write(&path, before).unwrap();
                let mut have = Bitfield::none(4);
                for index in found {
                    have.insert(torrent.piece(*index));
                }
                let storage = torrent.wanting_all(temp.path());
                match torrent.claim(&storage, &have, overwrite) {
                    Ok(_) if overwrite => assert_eq!(fs::read(&path).unwrap(), cut, "{name}"),
                    Ok(_) => assert!(accepted, "{name} was accepted"),
                    Err(StorageError::NotOurs { path: named }) => {
                        assert!(!accepted && !overwrite, "{name} was refused");
                        assert_eq!(named, path);
                        assert_eq!(fs::read(&path).unwrap(), before, "{name}");
                        let left = fs::read_dir(temp.path()).unwrap().count();
                        assert_eq!(left, 1 + usize::from(marked), "{name}");
                    }
                    Err(error) => panic!("{name}: {error}"),
                }
            }
        }
    }

    #[test]
    fn constant_pieces_are_no_evidence_unless_there_are_no_others() {
        let mut mixed = Torrent::new(10, &[(45, false)]);
        mixed.data[10..20].fill(0);
        mixed.data[20..30].fill(7);
        let mut zeros = Torrent::new(10, &[(45, false)]);
        zeros.data.fill(0);
        let cases: [(&Torrent, &[u32], bool); 5] = [
            (&mixed, &[1, 2], false),
            (&mixed, &[2], false),
            (&mixed, &[0], true),
            (&mixed, &[1, 4], true),
            (&zeros, &[1], true),
        ];
        for (torrent, found, accepted) in cases {
            let temp = tempfile::tempdir().unwrap();
            fs::create_dir(temp.path().join("t")).unwrap();
            let mut content = vec![1; 45];
            let mut have = Bitfield::none(5);
            for index in found {
                let piece = torrent.piece(*index);
                have.insert(piece);
                let at = torrent.layout.piece_start(piece) as usize;
                let bytes = torrent.bytes(piece);
                content[at..at + bytes.len()].copy_from_slice(bytes);
            }
            fs::write(temp.path().join("t/0"), &content).unwrap();
            let storage = torrent.wanting_all(temp.path());
            let claimed = torrent.claim(&storage, &have, false);
            assert_eq!(claimed.is_ok(), accepted, "{found:?}");
            let after = fs::read(temp.path().join("t/0")).unwrap();
            assert_eq!(after, content, "{found:?}");
        }
    }

    /// A small file shares its only piece with a missing file: nobody can tell whose it is. If the
    /// other file exists, the piece can be checked, and is wrong.
    #[test]
    fn what_cannot_be_judged_has_the_benefit_of_doubt() {
        let torrent = Torrent::new(100, &[(20, false), (20, false)]);
        for (wanted, sizes, accepted) in [
            ([true, false], [20, 0], true),
            ([true, false], [19, 0], true),
            ([true, false], [19, 20], true), // not wanted, so not looked at
            ([true, true], [20, 0], true),
            ([true, true], [19, 19], true),
            ([true, true], [19, 20], false),
            ([true, true], [20, 20], false),
        ] {
            let temp = tempfile::tempdir().unwrap();
            fs::create_dir_all(temp.path().join("t/folder1")).unwrap();
            fs::write(temp.path().join("t/0"), vec![9; sizes[0]]).unwrap();
            fs::write(temp.path().join("t/folder1/1"), vec![9; sizes[1]]).unwrap();
            let storage = torrent.wanting(temp.path(), &wanted);
            let claimed = torrent.claim(&storage, &Bitfield::none(1), false);
            assert_eq!(claimed.is_ok(), accepted, "{wanted:?} {sizes:?}");
        }
    }
}
