//! Which of its two names a file has on this disk.
//!
//! Most files have one name only. One that a disk may refuse, or take for another, has a
//! second one ([`super::alternates`]). It has the first if its folder lists exactly that
//! name, else the second if that is there. So every run that looks at the same disk comes to
//! the same answer, and needs no record for it. A file that is not there yet is made by its
//! first name, to see whether the disk takes it. What stands at a second name and was not
//! made by us does not count: the first one is tried then, too.

use super::error::StorageError;
use super::plan::Plan;
use super::walk::{Access, Folder, Listings, Root};
use super::{FileId, FileState};
use rustix::io::Errno;
use std::collections::{BTreeSet, HashSet};

/// How many changes are told one by one.
const MAX_TOLD: usize = 10;

/// The files that have their second name. Looks only.
///
/// # Errors
/// [`StorageError::Io`], if a folder cannot be listed.
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

/// Makes those of the wanted files that have two names and are not there by either, and
/// returns all that have their second name. `strange`: what stands at the second name of
/// these files is the user's own.
///
/// # Errors
/// [`StorageError`], if the disk takes neither name, or takes the second one only, and that
/// is the user's.
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
    // One look at each folder, after all are made: of two names that the disk takes for one,
    // it lists only that which it has.
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
            root.remove(first)?; // by the name that the disk made of it
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
            // Neither goes: what is wrong with the first is what the user knows.
            (Err(_), Err(error)) | (Err(error), Ok(_)) => return Err(error),
        }
    }
    Ok(renamed)
}

/// Makes `file` at `names`, unless it is there; which of the disk's files it is. It is not
/// kept open: a torrent may have more odd names than a process may have files.
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

/// The lines that say which wanted files have their second name.
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

/// Whether a file stands at `names`, and its folders list these names to the letter.
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

/// Whether it may be the name that the disk refuses: each system says it in its own way. A
/// folder in the way may be there by another name, which this disk takes for the same.
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
