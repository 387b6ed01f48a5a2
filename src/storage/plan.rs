//! Where each byte of a torrent is kept: in a file, in the record, or nowhere. Pure.
//!
//! With `-f` the user takes some files and leaves the others, but a piece can only be
//! verified whole, and it may hold the end of a file not wanted. That file must not be
//! made, so such bytes are kept in the *record*, `DIR/NAME.storrent`, one after another:
//!
//! ```text
//! files    |-- wanted --|--------- not wanted ---------|- wanted -|
//! pieces   |--- 0 ---|--- 1 ---|--- 2 ---|--- 3 ---|--- 4 ---|- 5 |   0, 1, 4 and 5 are wanted
//! record                |------|                   |---|              the rest of pieces 1 and 4
//! ```

use crate::bitfield::Bitfield;
use crate::layout::{FilePart, Layout};
use crate::metainfo::{FileEntry, Metainfo};
use crate::types::InfoHash;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The longest name of a file, in bytes, that file systems take.
const MAX_NAME_LEN: usize = 255;

/// What a torrent holds, as far as the disk is concerned.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The safe name that the torrent is saved under.
    pub name: String,
    /// Which torrent.
    pub info_hash: InfoHash,
    /// How it divides.
    pub layout: Arc<Layout>,
    /// The files of the layout, in order.
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
    /// Padding: zeros, kept nowhere.
    Padding,
    /// In its file.
    File,
    /// In the record, this many bytes after the first kept one.
    Kept(u64),
    /// Nowhere: of a file not wanted, and in no piece that is wanted.
    Nowhere,
}

/// What is kept where. Made once for a torrent and a selection, then only read.
pub struct Plan {
    /// The folder to save in.
    pub dir: PathBuf,
    /// What there is to be kept.
    pub contents: Contents,
    /// Which files are wanted, padding never.
    wanted: Vec<bool>,
    /// Bytes of the torrent that are kept in the record, in order, and the place of each.
    kept: Vec<(Range<u64>, u64)>,
    /// The record's name in DIR, as a path of one.
    record: [String; 1],
}

impl Plan {
    /// `wanted`: for each file of the layout whether the user wants it.
    pub fn new(dir: &Path, contents: Contents, wanted: &[bool]) -> Self {
        let layout = &contents.layout;
        let wanted: Vec<bool> = (0..layout.files())
            .map(|file| !layout.is_pad(file) && wanted.get(file).is_some_and(|wanted| *wanted))
            .collect();
        let pieces = wanted_pieces(layout, &wanted);
        let record = [record_name(&contents)];
        let kept = kept(layout, &wanted, &pieces);
        Self {
            dir: dir.to_owned(),
            contents,
            wanted,
            kept,
            record,
        }
    }

    /// How the torrent divides.
    pub fn layout(&self) -> &Layout {
        &self.contents.layout
    }

    /// The files that are wanted, in order.
    pub fn wanted_files(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.wanted.len()).filter(|file| self.wanted[*file])
    }

    /// The pieces that hold at least one byte of a wanted file.
    pub fn wanted_pieces(&self) -> Bitfield {
        wanted_pieces(self.layout(), &self.wanted)
    }

    /// The names of `file` below DIR.
    pub fn names(&self, file: usize) -> &[String] {
        &self.contents.files[file].path
    }

    /// Whether `file` is a program.
    pub fn is_executable(&self, file: usize) -> bool {
        self.contents.files[file].executable
    }

    /// The full path of `file`, for messages.
    pub fn path(&self, file: usize) -> PathBuf {
        self.names(file)
            .iter()
            .fold(self.dir.clone(), |path, name| path.join(name))
    }

    /// The name of the record in DIR.
    pub fn record(&self) -> &[String] {
        &self.record
    }

    /// The full path of the record, for messages.
    pub fn record_path(&self) -> PathBuf {
        self.dir.join(&self.record[0])
    }

    /// How many bytes are kept in the record.
    pub fn kept_len(&self) -> u64 {
        self.kept
            .last()
            .map_or(0, |(range, at)| at + (range.end - range.start))
    }

    /// Where `part` is kept, in one stretch.
    pub fn place(&self, part: FilePart) -> Place {
        if part.pad {
            return Place::Padding;
        }
        if self.wanted[part.file] {
            return Place::File;
        }
        let start = self.layout().file_range(part.file).start + part.offset;
        let next = self.kept.partition_point(|(range, _)| range.start <= start);
        match next.checked_sub(1).map(|i| &self.kept[i]) {
            Some((range, at)) if start + part.len <= range.end => {
                Place::Kept(at + (start - range.start))
            }
            _ => Place::Nowhere,
        }
    }
}

fn wanted_pieces(layout: &Layout, wanted: &[bool]) -> Bitfield {
    let mut pieces = Bitfield::none(layout.pieces());
    for file in (0..wanted.len()).filter(|file| wanted[*file]) {
        for index in layout.pieces_of_file(file) {
            if let Some(piece) = layout.piece(index) {
                pieces.insert(piece);
            }
        }
    }
    pieces
}

/// The stretches of files not wanted that share a piece with a wanted file.
fn kept(layout: &Layout, wanted: &[bool], pieces: &Bitfield) -> Vec<(Range<u64>, u64)> {
    let mut kept: Vec<(Range<u64>, u64)> = Vec::new();
    let mut at = 0;
    for file in (0..wanted.len()).filter(|file| !wanted[*file] && !layout.is_pad(*file)) {
        let range = layout.file_range(file);
        let touched = layout.pieces_of_file(file);
        // Only its first and its last piece can hold bytes of other files.
        let mut ends = vec![touched.start, touched.end.saturating_sub(1)];
        ends.dedup();
        for index in ends.into_iter().filter(|index| touched.contains(index)) {
            let Some(piece) = layout.piece(index).filter(|piece| pieces.has(*piece)) else {
                continue;
            };
            let start = layout.piece_start(piece);
            let end = start + u64::from(layout.piece_len(piece));
            let stretch = start.max(range.start)..end.min(range.end);
            let len = stretch.end - stretch.start;
            match kept.last_mut() {
                // Neighbours are one stretch: both may be written with one call.
                Some((last, _)) if last.end == stretch.start => last.end = stretch.end,
                _ => kept.push((stretch, at)),
            }
            at += len;
        }
    }
    kept
}

/// `NAME.storrent`, or `.INFOHASH.storrent` where that is too long or a name of the
/// torrent's own.
fn record_name(contents: &Contents) -> String {
    let name = format!("{}.storrent", contents.name);
    let taken = contents
        .files
        .iter()
        .any(|file| file.path.first() == Some(&name));
    if name.len() > MAX_NAME_LEN || taken {
        format!(".{}.storrent", contents.info_hash)
    } else {
        name
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
        let plan = Plan::new(
            Path::new("d"),
            contents("n", "n", layout),
            &[true, false, true],
        );
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
            record_name(&contents(name, first, layout))
        };
        let hidden = format!(".{}.storrent", "ab".repeat(20));
        assert_eq!(name("film", "film"), "film.storrent");
        assert_eq!(name("film", "film.storrent"), hidden);
        assert_eq!(name(&"x".repeat(246), "f").len(), 255);
        assert_eq!(name(&"x".repeat(247), "f"), hidden);
    }
}
