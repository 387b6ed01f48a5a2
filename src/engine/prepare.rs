//! Before a torrent starts: finds out what of it is on disk already.
//!
//! The engine calls [`prepare`] on a separate thread, as hashing takes long:
//!
//! 1. Opens the storage. If there is a record, or a file is missing, locks the record, so that no
//!    other run writes there.
//! 2. Believes the record about files that have not changed since it was written, and hashes the
//!    rest on all cores.
//! 3. Makes the storage ready to be written to, unless all is there.
//!
//! Without a record, and with all files as long as they should be, we hash before we lock: if every
//! piece is right, we write nothing.

use crate::bitfield::Bitfield;
use crate::checker;
use crate::config::Config;
use crate::layout::PieceIndex;
use crate::metainfo::Metainfo;
use crate::report::Report;
use crate::resume;
use crate::storage::{Claim, Storage, StorageError, Survey};
use crate::types::PieceHash;
use crate::wanted::Wanted;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What we know about a torrent once we have its metadata.
pub(super) struct Known {
    pub metainfo: Metainfo,
    pub wanted: Arc<Wanted>,
    /// Whether the record keeps the metadata: the user has only a magnet link.
    pub keep_metadata: bool,
}

impl Known {
    /// `wanted`: the indices of the files that the user wants. `None`: all.
    pub(super) fn new(metainfo: Metainfo, wanted: Option<Vec<usize>>, keep_metadata: bool) -> Self {
        let mut chosen = vec![wanted.is_none(); metainfo.files.len()];
        for index in wanted.into_iter().flatten() {
            chosen[index] = true;
        }
        Self {
            wanted: Wanted::new(&metainfo.layout, &chosen),
            metainfo,
            keep_metadata,
        }
    }

    pub(super) fn added(&self, dir: &Path) -> Report {
        let metainfo = &self.metainfo;
        let layout = &metainfo.layout;
        Report::Added {
            info_hash: metainfo.info_hash,
            name: metainfo.name.clone(),
            path: dir.join(&metainfo.name),
            total_bytes: metainfo.total_bytes(),
            wanted_bytes: self.wanted.bytes(),
            piece_length: layout.piece_length(),
            pieces: layout.pieces(),
            files: metainfo.files.iter().filter(|file| !file.pad).count(),
            wanted_files: self
                .wanted
                .files()
                .filter(|file| !layout.is_pad(*file))
                .count(),
        }
    }

    /// Returns the `info` dictionary, if the record must keep it.
    pub(super) fn kept_metadata(&self) -> Option<&[u8]> {
        self.keep_metadata.then_some(&**self.metainfo.info())
    }
}

/// A torrent whose data was checked.
pub(super) struct Prepared {
    pub storage: Arc<Storage>,
    /// The state of the files when they were checked.
    pub survey: Survey,
    pub have: Bitfield,
    /// Incomplete pieces, with the numbers of the blocks that are there.
    pub stored: Vec<(PieceIndex, Vec<u32>)>,
    /// The pieces that were not looked at: see [`resume::Trusted`].
    pub passed_over: Bitfield,
    pub warnings: Vec<String>,
}

/// Checks what is on disk. `progress` hears how many pieces were hashed, of how many. Returns
/// `None` if `stop` interrupted it.
///
/// # Errors
/// [`StorageError`], if the data can't be read, is not this torrent's or is being written by
/// another run, or if the disk has no room for the rest.
pub(super) fn prepare(
    known: &Known,
    config: &Config,
    progress: &(dyn Fn(u32, u32) + Sync),
    stop: &AtomicBool,
) -> Result<Option<Prepared>, StorageError> {
    let metainfo = &known.metainfo;
    let metadata = known.kept_metadata();
    let expected = |piece| metainfo.hash(piece);
    let mut storage = Storage::open(&config.dir, metainfo.into(), &known.wanted)?;
    let mut survey = storage.survey()?;
    let mut warnings = Vec::new();
    if !config.seed_only && (storage.lacks(&survey) || storage.has_record()) {
        (storage, warnings) = storage.lock(&survey, metadata)?;
        survey = storage.survey()?;
    }
    let (have, passed_over) = loop {
        let trusted = resume::trusted(&storage, &survey);
        let unknown = storage.possible(&trusted.unknown, &survey);
        let Some(found) = check(&storage, &expected, &unknown, progress, stop)? else {
            storage.withdraw();
            return Ok(None);
        };
        let mut have = trusted.have;
        found.iter().for_each(|piece| _ = have.insert(piece));
        let whole = is_whole(&storage, &survey, &have);
        if config.seed_only || whole || storage.may_record() {
            break (have, trusted.passed_over);
        }
        // We will write after all. If another run wrote while we hashed, we look again.
        (storage, warnings) = storage.lock(&survey, metadata)?;
        let before = std::mem::replace(&mut survey, storage.survey()?);
        if before == survey {
            break (have, trusted.passed_over);
        }
    };
    let mut prepared = Prepared {
        storage,
        survey,
        have,
        stored: Vec::new(),
        passed_over,
        warnings,
    };
    if !config.seed_only {
        prepared.make_ready(known, config.overwrite, stop)?;
    }
    Ok(Some(prepared))
}

impl Prepared {
    /// Makes the storage ready to be written to, unless all that is wanted is there.
    fn make_ready(
        &mut self,
        known: &Known,
        overwrite: bool,
        stop: &AtomicBool,
    ) -> Result<(), StorageError> {
        if is_whole(&self.storage, &self.survey, &self.have) {
            self.storage = tidied(&self.storage, &self.have)?;
            return Ok(());
        }
        let expected = |piece| known.metainfo.hash(piece);
        let claimed = self.storage.claim(&Claim {
            have: &self.have,
            expected: &expected,
            overwrite,
            metadata: known.kept_metadata(),
        })?;
        self.storage = claimed.storage;
        self.warnings.extend(claimed.warnings);
        let moved = &claimed.moved;
        if let Some(found) = check(&self.storage, &expected, moved, &|_, _| {}, stop)? {
            found.iter().for_each(|piece| _ = self.have.insert(piece));
        }
        let written = self.storage.written(&self.storage.survey()?)?;
        self.stored = stored_blocks(&self.storage, &self.have, &written);
        Ok(())
    }
}

/// Hashes `pieces` on all cores, and returns those that are right, or `None` if interrupted.
fn check(
    storage: &Arc<Storage>,
    expected: &(dyn Fn(PieceIndex) -> PieceHash + Sync),
    pieces: &Bitfield,
    progress: &(dyn Fn(u32, u32) + Sync),
    stop: &AtomicBool,
) -> Result<Option<Bitfield>, StorageError> {
    let total = pieces.count();
    // A new download has nothing to hash: it need not wait for the number of cores.
    let threads = if total == 0 { 1 } else { cores() };
    let progress = |done| progress(done, total);
    checker::check_all(storage, expected, pieces, threads, &progress, stop)
}

/// Whether all wanted pieces are there, and all wanted files have their length.
fn is_whole(storage: &Storage, survey: &Survey, have: &Bitfield) -> bool {
    let wanted = storage.plan().wanted_pieces();
    let missing = wanted.iter().find(|piece| !have.has(*piece));
    missing.is_none() && storage.has_all_lengths(survey)
}

/// Returns the storage of complete data. Removes its record, in case an earlier run was stopped
/// just before it did so. If that fails, as on a read-only disk, it does no harm.
fn tidied(storage: &Storage, have: &Bitfield) -> Result<Arc<Storage>, StorageError> {
    if resume::is_all(storage, have) {
        let _ = storage.remove_record();
    }
    storage.released()
}

/// Returns the blocks that were `written` of pieces that an earlier run left incomplete. A piece
/// that was written whole but that we do not have is left out: its hash is wrong.
fn stored_blocks(
    storage: &Storage,
    have: &Bitfield,
    written: &[Range<u64>],
) -> Vec<(PieceIndex, Vec<u32>)> {
    let layout = storage.layout();
    let wanted = storage.plan().wanted_pieces();
    let mut found: Vec<(PieceIndex, Vec<u32>)> = Vec::new();
    let pieces = written.iter().flat_map(|run| layout.pieces_in(run.clone()));
    let mut pieces: Vec<PieceIndex> = pieces.collect();
    pieces.dedup();
    for piece in pieces
        .into_iter()
        .filter(|piece| wanted.has(*piece) && !have.has(*piece))
    {
        let is_written = |range: Range<u64>| {
            let next = written.partition_point(|run| run.start <= range.start);
            let run = next.checked_sub(1).and_then(|i| written.get(i));
            run.is_some_and(|run| range.end <= run.end)
        };
        let blocks = layout.blocks_of_piece(piece);
        let (there, missing): (Vec<_>, Vec<_>) =
            blocks.partition(|block| is_written(layout.block_range(*block)));
        if !there.is_empty() && !missing.is_empty() {
            found.push((piece, there.iter().map(|block| block.number()).collect()));
        }
    }
    found
}

/// How many threads can run at the same time.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
