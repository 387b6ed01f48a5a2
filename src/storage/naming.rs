//! Decides which of its two names a file has on this disk.
//!
//! Most files have only one name. A file has a second one ([`super::alternates`]) if a disk may
//! refuse its first name, or confuse it with another. If its folder lists exactly the first name,
//! the file has that; otherwise the second, if a file is there. So every run on the same disk comes
//! to the same answer without a record. A new file is made under its first name, to see whether the
//! disk accepts it. A file at the second name that is not ours does not count: then, too, the first
//! name is tried.

use super::error::StorageError;
use super::plan::Plan;
use super::walk::{Access, Folder, Listings, Root};
use super::{FileId, FileState};
use rustix::io::Errno;
use std::collections::{BTreeSet, HashSet};

/// How many renamed files the user hears about one by one.
const MAX_TOLD: usize = 10;

/// Returns the files that have their second name on this disk. Changes nothing.
pub(super) fn resolve(root: &Root<'_>, plan: &Plan) -> Result<BTreeSet<usize>, StorageError> {
    let mut listings = Listings::new();
    let mut renamed = BTreeSet::new();
    for (&file, second) in plan.alternates() {
        let first = &plan.contents.files[file].path;
        if !has_exactly(root, first, &mut listings)? && id(root, second).is_some() {
            renamed.insert(file);
        }
    }
    Ok(renamed)
}

/// Makes each wanted file that has two names and exists under neither. Returns all files that have
/// their second name. `strange`: files whose second name belongs to a file of the user's.
///
/// # Errors
/// [`StorageError`], if the disk takes neither name, or takes only the second and that belongs to
/// the user.
pub(super) fn settle(
    root: &Root<'_>,
    plan: &Plan,
    strange: &BTreeSet<usize>,
) -> Result<BTreeSet<usize>, StorageError> {
    let mut renamed = plan.renamed().clone();
    let mut listings = Listings::new();
    let mut made = Vec::new();
    for &file in plan.alternates().keys() {
        let first = &plan.contents.files[file].path;
        let there = has_exactly(root, first, &mut listings)?;
        if renamed.contains(&file) || there || !plan.is_wanted(file) {
            continue;
        }
        let before = id(root, first).is_some();
        made.push((file, before, make(root, plan, file, first)));
    }
    // Each folder is listed once, after all files are made. Of two names that are one to the disk,
    // it lists only the one that the file really has.
    listings.clear();
    let mut listed = HashSet::new();
    let mut refused = Vec::new();
    for (file, before, made) in made {
        let first = &plan.contents.files[file].path;
        match (made, root.is_listed(first, &mut listings)?) {
            (Ok(id), true) => _ = listed.insert(id),
            (Err(error), _) if !is_refusal(&error) => return Err(error),
            (made, _) => refused.push((file, before, made)),
        }
    }
    for (file, before, made) in refused {
        let first = &plan.contents.files[file].path;
        if made
            .as_ref()
            .is_ok_and(|id| !before && !listed.contains(id))
        {
            root.remove(first)?; // under the name that the disk gave it
        }
        let second = plan.alternates().get(&file).map_or(&first[..], |path| path);
        if strange.contains(&file) {
            let path = second
                .iter()
                .fold(plan.dir.clone(), |path, name| path.join(name));
            return Err(StorageError::NotOurs { path });
        }
        match (make(root, plan, file, second), made) {
            (Ok(_), _) => _ = renamed.insert(file),
            // If both names fail, the user hears about the torrent's own.
            (Err(_), Err(error)) | (Err(error), Ok(_)) => return Err(error),
        }
    }
    Ok(renamed)
}

/// Makes `file` at `names` unless it exists. Returns its id and closes it: a torrent may have more
/// odd names than a process may have open files.
fn make(
    root: &Root<'_>,
    plan: &Plan,
    file: usize,
    names: &[String],
) -> Result<FileId, StorageError> {
    let access = Access::Write {
        executable: plan.is_executable(file),
    };
    let opened = root.open(names, access, &mut Folder::default())?;
    let no_name = || StorageError::io("make", plan.path(file), Errno::INVAL);
    opened
        .map(|(_, stat)| FileState::from(stat).id)
        .ok_or_else(no_name)
}

/// Returns the lines that tell the user which wanted files have their second name.
pub(super) fn warnings(plan: &Plan) -> Vec<String> {
    let renamed = plan
        .wanted_files()
        .filter(|file| plan.renamed().contains(file));
    let renamed: Vec<usize> = renamed.collect();
    let told = renamed.iter().take(MAX_TOLD).map(|file| {
        let (first, second) = (&plan.contents.files[*file].path, plan.names(*file));
        format!(
            "this disk takes no file called {:?}: saved as {:?}",
            first.join("/"),
            second.join("/")
        )
    });
    let mut lines: Vec<String> = told.collect();
    if let more @ 1.. = renamed.len().saturating_sub(MAX_TOLD) {
        lines.push(format!(
            "and {more} more files have another name on this disk"
        ));
    }
    lines
}

/// Whether a file is at `names` and its folders list exactly these names.
fn has_exactly(
    root: &Root<'_>,
    names: &[String],
    listings: &mut Listings,
) -> Result<bool, StorageError> {
    Ok(id(root, names).is_some() && root.is_listed(names, listings)?)
}

fn id(root: &Root<'_>, names: &[String]) -> Option<FileId> {
    let stat = root.stat(names, &mut Folder::default()).ok()??;
    Some(FileState::from(stat).id)
}

/// Whether the disk may have refused the name: each system has its own error for it. A folder in
/// the way may have another name that is the same to this disk.
fn is_refusal(error: &StorageError) -> bool {
    match error {
        StorageError::Io { source, .. } => matches!(
            Errno::from_io_error(source),
            Some(
                Errno::INVAL
                    | Errno::NAMETOOLONG
                    | Errno::ILSEQ
                    | Errno::NOENT
                    | Errno::PERM
                    | Errno::NOTSUP
            )
        ),
        StorageError::WrongKind { kind, .. } => *kind != "a symlink",
        _ => false,
    }
}
