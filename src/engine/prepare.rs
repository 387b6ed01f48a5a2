//! Before a torrent starts: what of it is on disk already?
//!
//! Runs on a thread of its own, as hashing takes its time: opens the storage, believes
//! the record of the last run as far as it can be believed, hashes the rest on all
//! cores, and only then makes the storage ready to be written to.

use crate::bitfield::Bitfield;
use crate::checker;
use crate::config::{Config, Job};
use crate::resume::Resume;
use crate::storage::{Storage, StorageError};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A torrent whose data was checked.
pub struct Prepared {
    /// Its files.
    pub storage: Arc<Storage>,
    /// The pieces that are there and right.
    pub have: Bitfield,
}

/// Checks what is there of `job`, telling `progress` (pieces looked at, pieces to look
/// at). `None`: it was interrupted by `stop`.
///
/// # Errors
/// [`StorageError`], if the data cannot be read, is not this torrent's, or there is no
/// room for the rest.
pub fn prepare(
    job: &Job,
    config: &Config,
    progress: &(dyn Fn(u32, u32) + Sync),
    stop: &AtomicBool,
) -> Result<Option<Prepared>, StorageError> {
    let metainfo = &job.metainfo;
    let wanted = wanted_files(job);
    let storage = Storage::open(&config.dir, metainfo.into(), &wanted)?;
    let resume = Resume::load(&storage)?;
    let trusted = resume.trusted(&storage, &storage.survey()?);
    let total = trusted.unknown.count();
    let found = checker::check_all(
        &storage,
        &|piece| metainfo.hash(piece),
        &trusted.unknown,
        cores(),
        &|done| progress(done, total),
        stop,
    )?;
    let Some(found) = found else { return Ok(None) };
    let mut have = trusted.have;
    found.iter().for_each(|piece| _ = have.insert(piece));
    let storage = match config.seed_only {
        true => storage,
        false => storage.claim(&have, resume.marked(), config.overwrite)?,
    };
    Ok(Some(Prepared { storage, have }))
}

/// For each file of the layout whether it is asked for. Padding never is.
pub fn wanted_files(job: &Job) -> Vec<bool> {
    let files = job.metainfo.files.iter().enumerate();
    let chosen = |index| {
        job.wanted
            .as_ref()
            .is_none_or(|wanted| wanted.contains(&index))
    };
    files
        .map(|(index, file)| !file.pad && chosen(index))
        .collect()
}

/// How many threads can hash at a time.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
