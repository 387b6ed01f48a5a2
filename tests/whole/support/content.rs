//! Something to share: random-looking payloads, the same in every run, the torrents made of them,
//! and the comparison of a folder with them.

use super::bencode::{Value, dict};
use super::{Dice, hex, sha1};
use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The description of a torrent.
#[derive(Clone)]
pub(crate) struct Spec {
    name: String,
    /// Path within the torrent, and length. One with no path: a single-file torrent.
    files: Vec<(Vec<String>, u64)>,
    piece_length: usize,
    aligned: bool,
    private: bool,
    tiers: Vec<Vec<String>>,
    webseeds: Vec<String>,
    seed: u64,
    /// The contents of some files, by number from 0.
    contents: Vec<(usize, Vec<u8>)>,
}

/// One file of a torrent.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Its path below the download folder, with the torrent's name.
    pub path: PathBuf,
    /// Where it lies in the torrent's bytes.
    pub range: Range<usize>,
    /// Whether it is padding (BEP 47).
    pub pad: bool,
}

/// A torrent with all its bytes.
#[derive(Clone)]
pub(crate) struct Torrent {
    /// All files, padding too.
    pub files: Vec<File>,
    pub piece_length: usize,
    /// All bytes, padding too.
    pub data: Vec<u8>,
    /// The bencoded `info` dictionary.
    pub info: Vec<u8>,
    /// The SHA-1 of `info`.
    pub info_hash: [u8; 20],
    /// The `.torrent` file.
    pub metainfo: Vec<u8>,
}

impl Spec {
    pub(crate) fn single(name: &str, len: u64) -> Self {
        Self::new(name, vec![(vec![], len)])
    }

    /// A torrent of a folder: paths (with `/`) and lengths.
    pub(crate) fn multi(name: &str, files: &[(&str, u64)]) -> Self {
        let path = |p: &str| p.split('/').map(String::from).collect();
        Self::new(name, files.iter().map(|(p, len)| (path(p), *len)).collect())
    }

    fn new(name: &str, files: Vec<(Vec<String>, u64)>) -> Self {
        Self {
            name: name.into(),
            files,
            piece_length: 32 << 10,
            aligned: false,
            private: false,
            tiers: vec![],
            webseeds: vec![],
            seed: 1,
            contents: vec![],
        }
    }

    /// The file at this place, from 0, contains these bytes instead of random ones.
    pub(crate) fn content(mut self, place: usize, bytes: Vec<u8>) -> Self {
        self.files[place].1 = bytes.len() as u64;
        self.contents.push((place, bytes));
        self
    }

    /// Bytes of a piece; 32 KiB by default.
    pub(crate) fn piece_length(mut self, bytes: usize) -> Self {
        self.piece_length = bytes;
        self
    }

    /// Every file begins with a piece: padding files lie between.
    pub(crate) fn aligned(mut self) -> Self {
        self.aligned = true;
        self
    }

    pub(crate) fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Adds a tier of one tracker.
    pub(crate) fn tracker(self, url: &str) -> Self {
        self.tier(&[url])
    }

    /// Adds a tier of trackers.
    pub(crate) fn tier(mut self, urls: &[&str]) -> Self {
        self.tiers.push(urls.iter().map(|u| (*u).into()).collect());
        self
    }

    pub(crate) fn webseed(mut self, url: &str) -> Self {
        self.webseeds.push(url.into());
        self
    }

    /// Other bytes than those of other torrents of the same size.
    pub(crate) fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    pub(crate) fn build(self) -> Arc<Torrent> {
        let mut dice = Dice::new(self.seed);
        let (mut data, mut files, mut list) = (Vec::new(), Vec::new(), Vec::new());
        let last = self.files.len() - 1;
        for (number, (path, len)) in self.files.iter().enumerate() {
            let start = data.len();
            match self.contents.iter().find(|(place, _)| *place == number) {
                Some((_, bytes)) => data.extend_from_slice(bytes),
                None => fill(&mut data, *len as usize, &mut dice),
            }
            let below: PathBuf = [&self.name].into_iter().chain(path).collect();
            files.push(File {
                path: below,
                range: start..data.len(),
                pad: false,
            });
            list.push(dict([
                ("length", Value::Int(*len as i64)),
                (
                    "path",
                    path.iter()
                        .map(|p| p.as_str().into())
                        .collect::<Vec<_>>()
                        .into(),
                ),
            ]));
            let gap = data.len().next_multiple_of(self.piece_length) - data.len();
            if self.aligned && gap > 0 && number < last {
                let start = data.len();
                data.resize(start + gap, 0);
                files.push(File {
                    path: PathBuf::from(&self.name).join(".pad"),
                    range: start..data.len(),
                    pad: true,
                });
                list.push(dict([
                    ("attr", "p".into()),
                    ("length", Value::Int(gap as i64)),
                    (
                        "path",
                        vec![".pad".into(), gap.to_string().as_str().into()].into(),
                    ),
                ]));
            }
        }
        let hashes: Vec<u8> = data.chunks(self.piece_length).flat_map(sha1).collect();
        let mut info = dict([
            ("name", self.name.as_str().into()),
            ("piece length", Value::Int(self.piece_length as i64)),
            ("pieces", hashes.as_slice().into()),
        ]);
        if let Value::Dict(entries) = &mut info {
            if self.files[0].0.is_empty() {
                entries.insert(b"length".into(), Value::Int(data.len() as i64));
            } else {
                entries.insert(b"files".into(), list.into());
            }
            if self.private {
                entries.insert(b"private".into(), Value::Int(1));
            }
        }
        let metainfo = metainfo(&info, &self.tiers, &self.webseeds);
        let info = info.encode();
        Arc::new(Torrent {
            files,
            piece_length: self.piece_length,
            data,
            info_hash: sha1(&info),
            info,
            metainfo,
        })
    }
}

/// The `.torrent` file around an info dictionary.
pub(crate) fn metainfo(info: &Value, tiers: &[Vec<String>], webseeds: &[String]) -> Vec<u8> {
    let texts = |list: &[String]| {
        list.iter()
            .map(|t| t.as_str().into())
            .collect::<Vec<Value>>()
    };
    let mut file = dict([("info", info.clone())]);
    if let Value::Dict(entries) = &mut file {
        if let Some(first) = tiers.first().and_then(|tier| tier.first()) {
            entries.insert(b"announce".into(), first.as_str().into());
            let tiers: Vec<Value> = tiers.iter().map(|tier| texts(tier).into()).collect();
            entries.insert(b"announce-list".into(), tiers.into());
        }
        if !webseeds.is_empty() {
            entries.insert(b"url-list".into(), texts(webseeds).into());
        }
    }
    file.encode()
}

fn fill(data: &mut Vec<u8>, len: usize, dice: &mut Dice) {
    let end = data.len() + len;
    data.reserve(len + 8);
    while data.len() < end {
        data.extend_from_slice(&dice.next().to_le_bytes());
    }
    data.truncate(end);
}

impl Torrent {
    pub(crate) fn pieces(&self) -> usize {
        self.data.len().div_ceil(self.piece_length)
    }

    pub(crate) fn piece(&self, index: usize) -> &[u8] {
        let start = index * self.piece_length;
        &self.data[start..self.data.len().min(start + self.piece_length)]
    }

    /// Returns the bytes of a block, if it exists.
    pub(crate) fn block(&self, index: u32, begin: u32, length: u32) -> Option<&[u8]> {
        let index = index as usize;
        let piece = (index < self.pieces()).then(|| self.piece(index))?;
        piece.get(begin as usize..(begin as usize).checked_add(length as usize)?)
    }

    pub(crate) fn blocks(&self) -> usize {
        let blocks_of = |index| {
            self.piece(index)
                .len()
                .div_ceil(super::wire::BLOCK as usize)
        };
        (0..self.pieces()).map(blocks_of).sum()
    }

    pub(crate) fn hex(&self) -> String {
        hex(&self.info_hash)
    }

    /// A bare magnet link.
    pub(crate) fn magnet(&self) -> String {
        format!("magnet:?xt=urn:btih:{}", self.hex())
    }

    /// The bytes of all files, padding left out.
    pub(crate) fn payload(&self) -> u64 {
        self.real_files().map(|f| f.range.len() as u64).sum()
    }

    /// The files without padding, in the order of their numbers.
    pub(crate) fn real_files(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| !file.pad)
    }

    /// The pieces of file `number`, which counts from 1, as a user does.
    pub(crate) fn pieces_of(&self, number: usize) -> Range<usize> {
        let range = &self.real_files().nth(number - 1).unwrap().range;
        range.start / self.piece_length..range.end.div_ceil(self.piece_length)
    }

    /// Saves the `.torrent` file in `dir`. Returns its path.
    pub(crate) fn save(&self, dir: &Path) -> PathBuf {
        let path = dir.join(format!("{}.torrent", self.hex()));
        fs::write(&path, &self.metainfo).unwrap();
        path
    }

    pub(crate) fn write(&self, dir: &Path) {
        for file in self.real_files() {
            let path = dir.join(&file.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &self.data[file.range.clone()]).unwrap();
        }
    }

    /// Returns which pieces are whole below `dir`; padding counts as there.
    pub(crate) fn pieces_on_disk(&self, dir: &Path) -> Vec<bool> {
        let mut there = vec![0u8; self.data.len()];
        for file in self.real_files() {
            let bytes = fs::read(dir.join(&file.path)).unwrap_or_default();
            let len = bytes.len().min(file.range.len());
            there[file.range.start..][..len].copy_from_slice(&bytes[..len]);
        }
        let pieces = there
            .chunks(self.piece_length)
            .zip(self.data.chunks(self.piece_length));
        pieces.map(|(mine, theirs)| mine == theirs).collect()
    }

    /// Fails unless every byte is below `dir`. Other files may be there: clients differ in whether
    /// they make empty files.
    pub(crate) fn assert_bytes(&self, dir: &Path) {
        let whole = self.pieces_on_disk(dir);
        let missing: Vec<usize> = (0..whole.len()).filter(|piece| !whole[*piece]).collect();
        assert!(
            missing.is_empty(),
            "not whole in {}: {missing:?}",
            dir.display()
        );
    }

    /// Fails unless `dir` contains exactly this torrent's files with the right bytes.
    pub(crate) fn assert_whole(&self, dir: &Path) {
        let all: Vec<usize> = (1..=self.real_files().count()).collect();
        self.assert_only(dir, &all);
    }

    /// The same for the files with these numbers; the others must be absent.
    pub(crate) fn assert_only(&self, dir: &Path, numbers: &[usize]) {
        let mut expected = BTreeSet::new();
        for (i, file) in self.real_files().enumerate() {
            if !numbers.contains(&(i + 1)) {
                continue;
            }
            let path = dir.join(&file.path);
            let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(
                bytes.len(),
                file.range.len(),
                "length of {}",
                path.display()
            );
            let same = bytes == self.data[file.range.clone()];
            assert!(same, "{} has other bytes than the torrent", path.display());
            expected.insert(file.path.clone());
        }
        assert_eq!(tree(dir), expected, "the files below {}", dir.display());
    }
}

/// Every file (symlinks too) below `dir`, as relative paths. Empty if there is no such folder.
pub(crate) fn tree(dir: &Path) -> BTreeSet<PathBuf> {
    fn walk(top: &Path, dir: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().unwrap().is_dir() {
                walk(top, &entry.path(), found);
            } else {
                found.insert(entry.path().strip_prefix(top).unwrap().into());
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(dir, dir, &mut found);
    found
}
