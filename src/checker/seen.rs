//! Remembers in which file of the disk the verified pieces of each torrent file are.
//!
//! A path is not enough. If somebody moves a file away while we write to it, we go on writing to it
//! elsewhere, and the next opening of its path makes a new file. So the checker's thread remembers,
//! for each file of the torrent, from which file of the disk it read the first verified piece. It
//! checks that this file is still at the path before the torrent is called complete, and before a
//! peer is blamed for a false piece.

use crate::bitfield::Bitfield;
use crate::layout::PieceIndex;
use crate::storage::{FileId, FileState, Storage, Survey};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Where {
    Nowhere,
    In(FileId),
    /// In two files of the disk, one after the other.
    Torn,
}

pub(super) struct Seen(Vec<Where>);

impl Seen {
    /// Starts from the files as they were when their pieces were checked.
    pub(super) fn new(survey: &Survey) -> Self {
        let seen = |state: &Option<FileState>| match state {
            Some(state) => Where::In(state.id),
            None => Where::Nowhere,
        };
        Self(survey.iter().map(seen).collect())
    }

    pub(super) fn note(&mut self, file: usize, id: FileId) {
        self.0[file] = match self.0[file] {
            Where::Nowhere => Where::In(id),
            Where::In(before) if before == id => Where::In(id),
            Where::In(_) | Where::Torn => Where::Torn,
        };
    }

    /// Forgets `file`, whose pieces are about to be read again.
    pub(super) fn forget(&mut self, file: usize) {
        self.0[file] = Where::Nowhere;
    }

    /// Whether bytes of `piece`, all of which were stored, are no longer where they were.
    pub(super) fn was_moved(&self, storage: &Arc<Storage>, piece: PieceIndex) -> bool {
        let range = storage.layout().piece_range(piece);
        let mut look = storage.looks();
        let moved = storage.layout().parts(range.clone()).any(|part| {
            let ours = !part.pad && storage.plan().ours()[part.file];
            ours && match (look(part.file), self.0[part.file]) {
                (None, _) | (_, Where::Torn) => true,
                (Some(state), _) if state.size < part.offset + part.len => true,
                (Some(state), Where::In(id)) => state.id != id,
                (Some(_), Where::Nowhere) => false,
            }
        });
        // The bytes stored in the old file are a hole in a new one.
        moved
            || storage
                .files(1)
                .written(range.clone())
                .map_or(true, |runs| runs != [range])
    }

    /// Returns the wanted files that are not as we left them, given the pieces that we `have`:
    /// missing, cut, too long, another file of the disk, or the same one as another file of the
    /// torrent.
    pub(super) fn changed(&self, storage: &Arc<Storage>, have: &Bitfield) -> Vec<usize> {
        let layout = storage.layout();
        let mut paths: HashMap<FileId, usize> = HashMap::new();
        let mut changed = Vec::new();
        let mut look = storage.looks();
        for file in storage.plan().wanted_files() {
            let pieces = layout.pieces_of_file(file);
            let missing = pieces.clone().filter(|piece| !have.has(*piece)).count();
            let had = pieces.clone().rev().find(|piece| have.has(*piece));
            if had.is_none() && missing > 0 {
                continue; // nothing of it is there yet
            }
            let range = layout.file_range(file);
            // Something was stored up to here.
            let end = had.map_or(range.end, |piece| {
                layout.piece_range(piece).end.min(range.end)
            });
            let is_sound = look(file).is_some_and(|state| {
                let twice = paths.insert(state.id, file);
                changed.extend(twice);
                let size = match missing {
                    // A file made anew may even have the old one's number, but what was stored in
                    // the old one is a hole in it.
                    0 if state.allocated < state.size && storage.has_hole(file) => false,
                    0 => state.size == range.end - range.start,
                    _ => state.size >= end - range.start,
                };
                let same = match self.0[file] {
                    Where::Nowhere => true,
                    Where::In(id) => state.id == id,
                    Where::Torn => false,
                };
                twice.is_none() && size && same
            });
            if !is_sound {
                changed.push(file);
            }
        }
        changed.sort_unstable();
        changed.dedup();
        changed
    }
}
