//! Before a torrent starts: what of it is on disk already?
//!
//! Runs on a thread of its own, as hashing takes its time: opens the storage, believes
//! the record of the last run as far as it can be believed, hashes the rest on all
//! cores, and only then makes the storage ready to be written to.

use crate::bitfield::Bitfield;
use crate::checker;
use crate::config::Config;
use crate::metainfo::Metainfo;
use crate::report::Report;
use crate::resume::{self, Resume};
use crate::storage::{Storage, StorageError};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What is known of a torrent, once its metadata is.
pub struct Known {
    /// What it holds.
    pub metainfo: Metainfo,
    /// For each file of the layout whether it is asked for. Padding never is.
    pub wanted_files: Vec<bool>,
    /// The user has a magnet link only: the metadata is kept with an incomplete download.
    pub keep_metadata: bool,
}

impl Known {
    /// Of `metainfo`, the files `wanted`, by their index (`None`: all).
    pub fn new(metainfo: Metainfo, wanted: Option<Vec<usize>>, keep_metadata: bool) -> Self {
        let mut wanted_files = vec![wanted.is_none(); metainfo.files.len()];
        for index in wanted.into_iter().flatten() {
            wanted_files[index] = true;
        }
        for (wanted, file) in wanted_files.iter_mut().zip(metainfo.files.iter()) {
            *wanted &= !file.pad;
        }
        Self {
            wanted_files,
            metainfo,
            keep_metadata,
        }
    }

    /// Says what it holds.
    pub fn added(&self) -> Report {
        let metainfo = &self.metainfo;
        let layout = &metainfo.layout;
        let wanted = (0..layout.files()).filter(|file| self.wanted_files[*file]);
        let ranges = wanted.map(|file| layout.file_range(file));
        Report::Added {
            info_hash: metainfo.info_hash,
            name: metainfo.name.clone(),
            total_bytes: metainfo.total_bytes(),
            wanted_bytes: ranges.map(|range| range.end - range.start).sum(),
            piece_length: layout.piece_length(),
            pieces: layout.pieces(),
            files: metainfo.files.iter().filter(|file| !file.pad).count(),
        }
    }

    /// The bytes of `info`, if they are to be kept with an incomplete download.
    pub fn kept_metadata(&self) -> Option<&[u8]> {
        self.keep_metadata.then_some(&**self.metainfo.info())
    }
}

/// A torrent whose data was checked.
pub struct Prepared {
    /// Its files.
    pub storage: Arc<Storage>,
    /// The pieces that are there and right.
    pub have: Bitfield,
}

/// Checks what is there of `known`, telling `progress` (pieces looked at, pieces to look
/// at). `None`: it was interrupted by `stop`.
///
/// # Errors
/// [`StorageError`], if the data cannot be read, is not this torrent's, or there is no
/// room for the rest.
pub fn prepare(
    known: &Known,
    config: &Config,
    progress: &(dyn Fn(u32, u32) + Sync),
    stop: &AtomicBool,
) -> Result<Option<Prepared>, StorageError> {
    let metainfo = &known.metainfo;
    let storage = Storage::open(&config.dir, metainfo.into(), &known.wanted_files)?;
    let resume = Resume::load(&storage)?;
    let survey = storage.survey()?;
    let trusted = resume.trusted(&storage, &survey);
    let unknown = storage.possible(&trusted.unknown, &survey);
    let total = unknown.count();
    // A new download need not wait until it is known how many threads could hash it.
    let threads = if total == 0 { 1 } else { cores() };
    let found = checker::check_all(
        &storage,
        &|piece| metainfo.hash(piece),
        &unknown,
        threads,
        &|done| progress(done, total),
        stop,
    )?;
    let Some(found) = found else { return Ok(None) };
    let mut have = trusted.have;
    found.iter().for_each(|piece| _ = have.insert(piece));
    if config.seed_only {
        return Ok(Some(Prepared { storage, have }));
    }
    let storage = storage.claim(&have, resume.marked(), config.overwrite)?;
    let incomplete = storage
        .plan()
        .wanted_pieces()
        .iter()
        .any(|piece| !have.has(piece));
    if let Some(metadata) = known.kept_metadata().filter(|_| incomplete) {
        // At once: nobody may be there to tell it again.
        resume::save(&storage, &have, Some(metadata))?;
    }
    Ok(Some(Prepared { storage, have }))
}

/// How many threads can hash at a time.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
