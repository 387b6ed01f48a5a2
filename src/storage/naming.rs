//! Which of its two names a file has on this disk.
//!
//! Most files have one name only. One that a disk may refuse, or take for another, has a
//! second one ([`super::alternates`]). It has the first if its folder lists exactly that
//! name, else the second if that is there. So every run that looks at the same disk comes to
//! the same answer, and needs no record for it. A file that is not there yet is made by its
//! first name, to see whether the disk takes it.

use super::error::StorageError;
use super::plan::Plan;
use super::walk::{Access, Folder, Listings, Root};
use super::{FileId, FileState};
use rustix::io::Errno;
use std::collections::BTreeSet;

/// How many changes are told one by one.
const MAX_TOLD: usize = 10;

/// The files that have their second name. Looks only.
pub fn resolve(root: &Root<'_>, plan: &Plan) -> BTreeSet<usize> {
    let mut listings = Listings::new();
    let second = plan.alternates().iter().filter(|(file, second)| {
        let first = &plan.contents.files[**file].path;
        id(root, first).is_none_or(|_| !root.is_listed(first, &mut listings))
            && id(root, second).is_some()
    });
    second.map(|(file, _)| *file).collect()
}

/// Makes those of the wanted files that have two names and are not there by either, and
/// returns all that have their second name.
///
/// # Errors
/// [`StorageError`], if the disk takes neither name.
pub fn settle(root: &Root<'_>, plan: &Plan) -> Result<BTreeSet<usize>, StorageError> {
    let mut renamed = plan.renamed().clone();
    let mut listings = Listings::new();
    let mut made = Vec::new();
    for &file in plan.alternates().keys() {
        let first = &plan.contents.files[file].path;
        let there = id(root, first).is_some() && root.is_listed(first, &mut listings);
        if renamed.contains(&file) || there || !plan.wanted_files().any(|wanted| wanted == file) {
            continue;
        }
        let before = id(root, first).is_some();
        let access = Access::Write {
            executable: plan.is_executable(file),
        };
        made.push((
            file,
            before,
            root.open(first, access, &mut Folder::default()),
        ));
    }
    // One look at each folder, after all are made: of two names that the disk takes for one,
    // it lists only that which it has.
    listings.clear();
    let listed: Vec<FileId> = made
        .iter()
        .filter(|(file, ..)| root.is_listed(&plan.contents.files[*file].path, &mut listings))
        .filter_map(|(.., opened)| opened.as_ref().ok()?.as_ref())
        .map(|(_, stat)| FileState::from(*stat).id)
        .collect();
    for (file, before, opened) in made {
        let first = &plan.contents.files[file].path;
        if opened.is_ok() && root.is_listed(first, &mut listings) {
            continue;
        }
        match &opened {
            Ok(Some((_, stat))) if !before && !listed.contains(&FileState::from(*stat).id) => {
                root.remove(first)?; // by the name that the disk made of it
            }
            Err(error) if !is_refusal(error) => {
                return Err(opened.err().unwrap_or_else(|| no_name(plan, file)));
            }
            _ => {}
        }
        let access = Access::Write {
            executable: plan.is_executable(file),
        };
        let second = plan.alternates().get(&file).map_or(&first[..], |path| path);
        match (root.open(second, access, &mut Folder::default()), opened) {
            (Ok(_), _) => _ = renamed.insert(file),
            // Neither goes: what is wrong with the first is what the user knows.
            (Err(_), Err(error)) | (Err(error), Ok(_)) => return Err(error),
        }
    }
    Ok(renamed)
}

/// The lines that say which wanted files have their second name.
pub fn warnings(plan: &Plan) -> Vec<String> {
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

fn id(root: &Root<'_>, names: &[String]) -> Option<FileId> {
    let stat = root.stat(names, &mut Folder::default()).ok()??;
    Some(FileState::from(stat).id)
}

fn no_name(plan: &Plan, file: usize) -> StorageError {
    StorageError::io("make", plan.path(file), Errno::INVAL)
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
