//! Whose is a file that is there already: this torrent's, from an earlier run, or the user's
//! own? [`super::claim`] asks for each file before the first write.
//!
//! Nothing but evidence makes it ours: a record of this torrent that stands beside it and
//! names it, or a piece of it that has the right hash. A piece whose bytes are all alike is
//! no evidence, for any disk image has one of zeros, unless the file has only such pieces.
//! A file of which no piece can be checked, because each also has bytes of other files that
//! are not there, has the benefit of the doubt.

use super::{Storage, StorageError, Survey};
use crate::bitfield::Bitfield;
use crate::layout::PieceIndex;
use crate::types::PieceHash;
use sha1::{Digest, Sha1};
use std::collections::HashMap;
use std::sync::Arc;

/// Finds out whose a file is.
pub struct Judge<'a> {
    storage: &'a Arc<Storage>,
    have: &'a Bitfield,
    expected: &'a dyn Fn(PieceIndex) -> PieceHash,
    /// Which files a record names as ours.
    marked: Vec<bool>,
    /// The hash of so many bytes of this value.
    constants: HashMap<(u8, u32), PieceHash>,
    /// The piece that was read last, and the byte that all its bytes are.
    last_constant: (Option<PieceIndex>, Option<u8>),
    /// The piece that was looked through last, and two files of which bytes are missing.
    last_gaps: (Option<PieceIndex>, Vec<usize>),
}

impl<'a> Judge<'a> {
    /// `have`: the pieces that a check found; `expected`: the hash that a piece must have.
    pub fn new(
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

    /// Whether what stands at the path of `file` must be the user's own.
    ///
    /// # Errors
    /// [`StorageError`], if it cannot be read.
    pub fn is_foreign(&mut self, file: usize, survey: &Survey) -> Result<bool, StorageError> {
        let size = survey[file].map_or(0, |state| state.size);
        if size > self.storage.len(file) {
            return Ok(true);
        }
        if size == 0 || self.marked[file] || self.is_evident(file)? {
            return Ok(false);
        }
        // By a second name, nothing but evidence counts: the first may be free.
        let renamed = self.storage.plan.renamed().contains(&file);
        let mut pieces = self.storage.pieces_of(file);
        Ok(renamed || pieces.any(|piece| self.others_are_there(piece, file, survey)))
    }

    /// Whether a piece that matches shows that `file` is the torrent's.
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
        // Nothing but pieces like these: then there can be no better evidence.
        let only_such = |piece| values.iter().any(|value| self.is_constant(piece, *value));
        Ok(!values.is_empty() && storage.pieces_of(file).all(only_such))
    }

    /// The byte that all bytes of `piece`, which is right, are. Found out once a piece: a
    /// thousand files may share one.
    fn constant(&mut self, piece: PieceIndex) -> Result<Option<u8>, StorageError> {
        if self.last_constant.0 == Some(piece) {
            return Ok(self.last_constant.1);
        }
        let range = self.storage.layout().piece_range(piece);
        let constant = self.storage.files(1).constant(range)?;
        self.last_constant = (Some(piece), constant);
        Ok(constant)
    }

    /// Whether all bytes of `piece` that are not `file`'s are in wanted files as they are. The
    /// piece is looked through once for all its files.
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

    /// Whether all bytes of `piece`, as it should be, are `value`.
    fn is_constant(&mut self, piece: PieceIndex, value: u8) -> bool {
        let len = self.storage.layout().piece_len(piece);
        let hash = self.constants.entry((value, len)).or_insert_with(|| {
            let mut hasher = Sha1::new();
            let chunk = vec![value; len.min(64 * 1024) as usize];
            let mut left = len as usize;
            while left > 0 {
                let here = left.min(chunk.len());
                hasher.update(&chunk[..here]);
                left -= here;
            }
            hasher.finalize().into()
        });
        *hash == (self.expected)(piece)
    }
}
