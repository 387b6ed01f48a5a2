//! Decides where each byte of a torrent is kept: in a file, in the record, or nowhere. No I/O;
//! [`super::Storage`] and its [`super::Files`] read and write by it.
//!
//! With `-f` the user takes only some files. But a piece can only be verified whole, and it may
//! also hold bytes of a file that is not wanted. That file must not be made, so such bytes are kept
//! in the *record*, `DIR/NAME.storrent`, one after another:
//!
//! ```text
//! files    |-- wanted --|--------- not wanted ---------|- wanted -|
//! pieces   |--- 0 ---|--- 1 ---|--- 2 ---|--- 3 ---|--- 4 ---|- 5 |   0, 1, 4 and 5 are wanted
//! record                |------|                   |---|              the rest of pieces 1 and 4
//! ```
//!
//! An earlier run with another `-f` may have begun a file and not completed it. Such a file is
//! *ours*, too: its bytes stay in it. So a file is wanted and ours, ours only, or neither.

use super::alternates::{Alternates, alternates};
use crate::bitfield::Bitfield;
use crate::layout::{FilePart, Layout};
use crate::metainfo::{FileEntry, Metainfo};
use crate::types::InfoHash;
use crate::wanted::{Wanted, pieces_of};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The longest name of a file that file systems take, in bytes.
const MAX_NAME_LEN: usize = 255;

/// What the disk must know of a torrent.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The safe name that the torrent is saved under.
    pub name: String,
    pub info_hash: InfoHash,
    pub layout: Arc<Layout>,
    /// In the order of the layout.
    pub files: Arc<[FileEntry]>,
}

impl From<&Metainfo> for Contents {
    fn from(metainfo: &Metainfo) -> Self {
        Self {
            name: metainfo.name.clone(),
            info_hash: metainfo.info_hash,
            layout: Arc::clone(&metainfo.layout),
            files: Arc::clone(&metainfo.files),
        }
    }
}

/// Where a [`FilePart`] is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Padding (BEP 47): zeros, kept nowhere.
    Padding,
    File,
    /// In the record, this many bytes after its first kept byte.
    Kept(u64),
    /// Nowhere: the file is not ours, and no piece of ours has this part.
    Nowhere,
}

/// Where everything is kept. Made once for a torrent and a selection, then only read.
#[derive(Clone)]
pub struct Plan {
    /// DIR, the folder to save in.
    pub dir: PathBuf,
    pub contents: Contents,
    wanted: Arc<Wanted>,
    /// For each file, whether its bytes are in a file: it is wanted, or an earlier run began it.
    ours: Vec<bool>,
    kept: Kept,
    /// The second path of each file that has one.
    alternates: Arc<Alternates>,
    /// The files that have their second path on this disk.
    renamed: BTreeSet<usize>,
}

/// The ranges of the torrent that are kept in the record, in order, each with its offset from the
/// first kept byte.
pub(super) type Kept = Vec<(Range<u64>, u64)>;

impl Plan {
    /// `wanted`: the files that the user wants of `contents`.
    pub fn new(dir: &Path, contents: Contents, wanted: &Arc<Wanted>) -> Self {
        let alternates = Arc::new(alternates(&contents.files));
        let plan = Self {
            dir: dir.to_owned(),
            ours: (0..contents.files.len())
                .map(|file| wanted.has(file))
                .collect(),
            wanted: Arc::clone(wanted),
            kept: Kept::new(),
            alternates,
            renamed: BTreeSet::new(),
            contents,
        };
        plan.with_earlier(&[])
    }

    /// Adds the files that an earlier run began.
    pub fn with_earlier(mut self, earlier: &[bool]) -> Self {
        for (ours, earlier) in self.ours.iter_mut().zip(earlier) {
            *ours |= earlier;
        }
        self.kept = kept(&self.contents.layout, &self.ours);
        self
    }

    /// Gives the files `renamed` their second path.
    pub fn with_renamed(mut self, renamed: BTreeSet<usize>) -> Self {
        self.renamed = renamed;
        self
    }

    pub fn layout(&self) -> &Layout {
        &self.contents.layout
    }

    pub fn wanted_files(&self) -> impl Iterator<Item = usize> + '_ {
        self.wanted.files()
    }

    pub fn is_wanted(&self, file: usize) -> bool {
        self.wanted.has(file)
    }

    /// See [`Plan::with_earlier`].
    pub fn ours(&self) -> &[bool] {
        &self.ours
    }

    /// Returns the files whose bytes are in a file, in order.
    pub fn files_of_ours(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.ours.len()).filter(|file| self.ours[*file])
    }

    pub fn wanted_pieces(&self) -> &Bitfield {
        self.wanted.pieces()
    }

    pub fn pieces_of_ours(&self) -> Bitfield {
        pieces_of(self.layout(), &self.ours)
    }

    /// Returns the names of `file` below DIR: its folders, then its own name.
    pub fn names(&self, file: usize) -> &[String] {
        let renamed = self.renamed.contains(&file);
        let other = self.alternates.get(&file).filter(|_| renamed);
        other.unwrap_or(&self.contents.files[file].path)
    }

    /// Returns the second paths of the files that have one, because a disk may refuse the first.
    pub fn alternates(&self) -> &Alternates {
        &self.alternates
    }

    /// Returns the files that have their second path on this disk.
    pub fn renamed(&self) -> &BTreeSet<usize> {
        &self.renamed
    }

    pub fn is_executable(&self, file: usize) -> bool {
        self.contents.files[file].executable
    }

    /// For messages.
    pub fn path(&self, file: usize) -> PathBuf {
        self.names(file)
            .iter()
            .fold(self.dir.clone(), |path, name| path.join(name))
    }

    /// Returns the torrent's file or folder on this disk.
    pub fn top(&self) -> PathBuf {
        let name = self
            .wanted_files()
            .find_map(|file| self.names(file).first());
        self.dir.join(name.unwrap_or(&self.contents.name))
    }

    pub fn record_names(&self) -> Vec<String> {
        record_names(&self.contents)
    }

    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    pub fn kept_len(&self) -> u64 {
        kept_len(&self.kept)
    }

    /// Returns where `part` is kept. A part of which only some bytes are kept counts as nowhere.
    pub fn place(&self, part: FilePart) -> Place {
        if part.pad {
            return Place::Padding;
        }
        if self.ours[part.file] {
            return Place::File;
        }
        let start = self.layout().file_range(part.file).start + part.offset;
        match kept_at(&self.kept, start..start + part.len) {
            Some(at) => Place::Kept(at),
            None => Place::Nowhere,
        }
    }
}

/// How many bytes `kept` has in all.
pub(super) fn kept_len(kept: &Kept) -> u64 {
    let last = kept.last();
    last.map_or(0, |(range, at)| at + (range.end - range.start))
}

/// Returns the offset of `range` among the kept bytes, if all of it is kept in one stretch.
pub(super) fn kept_at(kept: &Kept, range: Range<u64>) -> Option<u64> {
    let next = kept.partition_point(|(stretch, _)| stretch.start <= range.start);
    let (stretch, at) = kept.get(next.checked_sub(1)?)?;
    (range.end <= stretch.end).then(|| at + (range.start - stretch.start))
}

/// Returns the ranges to keep in the record for the files `ours`: the bytes of all other files that
/// share a piece with one of them.
pub(super) fn kept(layout: &Layout, ours: &[bool]) -> Kept {
    let pieces = pieces_of(layout, ours);
    let mut kept = Kept::new();
    let mut at = 0;
    for file in (0..layout.files()).filter(|file| !layout.is_pad(*file)) {
        if ours.get(file).is_some_and(|ours| *ours) {
            continue;
        }
        let range = layout.file_range(file);
        // Only its first and its last piece can hold bytes of other files.
        let mut touched = layout.pieces_of_file(file);
        let ends = touched.next().into_iter().chain(touched.next_back());
        for piece in ends.filter(|piece| pieces.has(*piece)) {
            let bytes = layout.piece_range(piece);
            let stretch = bytes.start.max(range.start)..bytes.end.min(range.end);
            let len = stretch.end - stretch.start;
            match kept.last_mut() {
                // One call can write both neighbours.
                Some((last, _)) if last.end == stretch.start => last.end = stretch.end,
                _ => kept.push((stretch, at)),
            }
            at += len;
        }
    }
    kept
}

/// Returns the names that the record may have in DIR, best first: `NAME.storrent`, unless that is
/// too long or a file of the torrent has it, then `.INFOHASH.storrent`.
pub(crate) fn record_names(contents: &Contents) -> Vec<String> {
    let name = format!("{}.storrent", contents.name);
    let hidden = format!(".{}.storrent", contents.info_hash);
    let taken = contents
        .files
        .iter()
        .any(|file| file.path.first() == Some(&name));
    match name.len() > MAX_NAME_LEN || taken {
        true => vec![hidden],
        false => vec![name, hidden],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(name: &str, first: &str, layout: Layout) -> Contents {
        let files = (0..layout.files())
            .map(|i| FileEntry {
                path: vec![first.to_owned(), i.to_string()],
                url_path: None,
                pad: false,
                executable: false,
                number: Some(i + 1),
            })
            .collect();
        Contents {
            name: name.into(),
            info_hash: InfoHash([0xab; 20]),
            layout: Arc::new(layout),
            files,
        }
    }

    #[test]
    fn only_shared_pieces_are_kept() {
        // The picture above: pieces of 10; files of 13 (wanted), 31 (not), 11 (wanted).
        let layout = Layout::new(10, &[(13, false), (31, false), (11, false)]).unwrap();
        let wanted = Wanted::new(&layout, &[true, false, true]);
        let plan = Plan::new(Path::new("d"), contents("n", "n", layout), &wanted);
        let wanted: Vec<_> = plan.wanted_pieces().iter().map(|p| p.get()).collect();
        assert_eq!(wanted, [0, 1, 4, 5]);
        assert_eq!(plan.kept, [(13..20, 0), (40..44, 7)]);
        assert_eq!(plan.kept_len(), 11);
        let place = |range| plan.layout().parts(range).map(|part| plan.place(part));
        assert!(place(10..20).eq([Place::File, Place::Kept(0)]));
        assert!(place(42..50).eq([Place::Kept(9), Place::File]));
        assert!(place(20..30).eq([Place::Nowhere]));
        assert!(place(18..22).eq([Place::Nowhere]), "not kept to its end");
    }

    #[test]
    fn the_record_never_takes_a_name_of_the_torrents_own() {
        let name = |name: &str, first: &str| {
            let layout = Layout::new(10, &[(1, false)]).unwrap();
            record_names(&contents(name, first, layout)).swap_remove(0)
        };
        let hidden = format!(".{}.storrent", "ab".repeat(20));
        assert_eq!(name("film", "film"), "film.storrent");
        assert_eq!(name("film", "film.storrent"), hidden);
        assert_eq!(name(&"x".repeat(246), "f").len(), 255);
        assert_eq!(name(&"x".repeat(247), "f"), hidden);
    }
}
