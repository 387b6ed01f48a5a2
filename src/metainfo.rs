//! Reading a torrent: its files, its pieces and its trackers.
//!
//! A `.torrent` file ([BEP 3] calls it "metainfo") is a bencoded dictionary:
//!
//! ```text
//! announce        the tracker's URL; announce-list: more, in tiers (BEP 12)
//! url-list        web servers that have the files too (BEP 19)
//! info            what the torrent is; its SHA-1, the info hash, is the torrent's name
//!   name          of the file, or of the folder for many
//!   piece length  bytes of each piece but the last
//!   pieces        the SHA-1s of all pieces, 20 bytes each, in one string
//!   length        size of the one file; or else
//!   files         a list of files: each with its length and its path below the folder
//!   private       1: take peers from the torrent's trackers only (BEP 27)
//! ```
//!
//! A `.torrent` and a magnet link lead to the same [`Metainfo`].
//!
//! The bytes may come from anyone. A torrent is refused if a key that we need is missing, or if the
//! keys do not fit together. Other keys that make no sense are ignored, because many good torrents
//! have a broken comment. File names go through [`crate::names`]. The guard of [`crate::bencode`]
//! and the limits below bound time and memory.
//!
//! An attribute marks padding files ([BEP 47]); before it existed, BitComet marked them by a name.
//! Of a hybrid torrent ([BEP 52]) we read the version 1 part.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 47]: https://www.bittorrent.org/beps/bep_0047.html
//! [BEP 52]: https://www.bittorrent.org/beps/bep_0052.html

use crate::bencode::{self, BencodeError, Problem, Raw};
use crate::layout::{Layout, LayoutError, PieceIndex};
use crate::names::{Names, SafeNames, TooManyNames};
use crate::types::{InfoHash, PieceHash};
use crate::url;
use sha1::{Digest, Sha1};
use std::collections::HashSet;
use std::sync::Arc;

/// The largest `.torrent` that is read, in bytes.
pub const MAX_TORRENT_LEN: usize = 32 << 20;

/// The most trackers, web seeds or DHT nodes of a torrent. More are ignored, because each tracker
/// has a thread.
pub const MAX_URLS: usize = 100;

/// The longest URL or comment, in bytes; longer ones are ignored.
pub const MAX_TEXT_LEN: usize = 8 << 10;

const HASH_LEN: usize = 20;

/// The beginning of the name of BitComet's padding before BEP 47.
const BITCOMET_PADDING: &[u8] = b"_____padding_file_";

/// A checked torrent. Cheap to clone: the large parts are shared.
#[derive(Clone, Debug)]
pub struct Metainfo {
    /// The SHA-1 of the exact bytes of `info`.
    pub info_hash: InfoHash,
    /// The safe name of the file, or of the folder that holds all files.
    pub name: String,
    /// The torrent's own name, escaped for a URL.
    pub url_name: String,
    /// How the torrent's bytes divide into pieces and files.
    pub layout: Arc<Layout>,
    /// The files in order, padding included; as many as `layout` has.
    pub files: Arc<[FileEntry]>,
    /// Whether the files are in a folder called `name`.
    pub multi_file: bool,
    /// Whether peers may come only from the torrent's own trackers (BEP 27).
    pub private: bool,
    /// Trackers by tier, without doubled URLs.
    pub trackers: Vec<Vec<String>>,
    /// Web servers that have the files (BEP 19).
    pub webseeds: Vec<String>,
    /// DHT nodes to start from: host and port (BEP 5).
    pub nodes: Vec<(String, u16)>,
    /// A remark of the torrent's maker.
    pub comment: Option<String>,
    /// The program that made the torrent.
    pub created_by: Option<String>,
    /// Seconds since 1970; some programs write milliseconds.
    pub creation_date: Option<i64>,
    /// What was changed or left out, for the user, one line each.
    pub warnings: Vec<String>,
    info: Arc<[u8]>,
    hashes: Arc<[u8]>,
}

/// One file of a torrent. Its size is in the [`Layout`], under the same index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its path below the user's folder, in safe names. Empty for padding.
    pub path: Vec<String>,
    /// Its path below the torrent's folder on web servers, escaped for a URL. `None` if it follows
    /// from `path`, because no name was changed.
    pub url_path: Option<String>,
    /// Whether it is never on disk: padding, which is zeros (BEP 47), or a symbolic link.
    pub pad: bool,
    /// Whether the file is a program.
    pub executable: bool,
    /// Its number for the user, from 1; padding has none.
    pub number: Option<usize>,
}

/// Why a torrent cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetainfoError {
    /// Larger than [`MAX_TORRENT_LEN`].
    #[error("it has {0} bytes; a torrent file has at most {MAX_TORRENT_LEN}")]
    TooLarge(usize),
    /// Not bencode at all, or hostile bencode.
    #[error("it is not a torrent")]
    Bencode(#[source] BencodeError),
    /// A key twice within `info`.
    #[error(
        "it has a key twice within `info` (at byte {0}), so that programs would not agree on \
         what it holds; get the torrent from elsewhere"
    )]
    DoubledKey(usize),
    /// A needed key is missing, or its value is of the wrong kind.
    #[error("it is not a usable torrent: `{key}` is missing or not {needed}")]
    Needs {
        /// The key in the metainfo.
        key: &'static str,
        /// What its value should be.
        needed: &'static str,
    },
    /// The same, in the entry of one of many files.
    #[error("it is not a usable torrent: `{key}` of file {file} is missing or not {needed}")]
    FileNeeds {
        /// The file's place in the list, from 1.
        file: usize,
        /// The key in the file's dictionary.
        key: &'static str,
        /// What its value should be.
        needed: &'static str,
    },
    /// An empty list of files.
    #[error("it holds no files")]
    NoFiles,
    /// Only clients of BEP 52 can read it.
    #[error(
        "it is of BitTorrent version 2 only, which is not supported; \
         look for a version 1 or hybrid torrent of the same files"
    )]
    OnlyVersion2,
    /// The sizes make no sensible layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The sizes and the number of piece hashes do not fit together.
    #[error("it has {len} bytes of piece hashes, but {pieces} pieces, of 20 bytes each")]
    Hashes {
        /// Bytes of the string `pieces`.
        len: usize,
        /// How many pieces follow from the sizes.
        pieces: u32,
    },
    /// The file names would fill the memory.
    #[error(transparent)]
    Names(#[from] TooManyNames),
}

impl From<BencodeError> for MetainfoError {
    fn from(error: BencodeError) -> Self {
        match error {
            BencodeError::Unsound {
                at,
                problem: Problem::DoubledKey,
            } => Self::DoubledKey(at),
            error => Self::Bencode(error),
        }
    }
}

const SIZE: &str = "a number from 0 to 2^63-1";

/// Reads the bytes of a `.torrent` file.
///
/// # Errors
/// [`MetainfoError`], if something that we need is missing, wrong, or too large.
pub fn parse(bytes: &[u8]) -> Result<Metainfo, MetainfoError> {
    if bytes.len() > MAX_TORRENT_LEN {
        return Err(MetainfoError::TooLarge(bytes.len()));
    }
    let keys = Keys::of(bencode::scan_torrent(bytes)?).unwrap_or_default();
    let info = keys.info.ok_or(MetainfoError::Needs {
        key: "info",
        needed: "a dictionary",
    })?;
    Ok(Metainfo {
        trackers: tiers(keys.announce_list, keys.announce),
        webseeds: urls(keys.url_list, &mut HashSet::new()),
        nodes: nodes(keys.nodes),
        comment: keys.comment.and_then(short_text),
        created_by: keys.created_by.and_then(short_text),
        creation_date: keys.creation_date.and_then(Raw::number),
        ..read_info(info)?
    })
}

/// Reads the bare `info` dictionary, which peers send to a client that has only a magnet link. The
/// caller has checked the info hash. The result has no trackers.
///
/// # Errors
/// [`MetainfoError`], as for [`parse`].
pub fn from_info(info: &[u8]) -> Result<Metainfo, MetainfoError> {
    read_info(bencode::scan_exact(info, bencode::FILE_DEPTH)?)
}

impl Metainfo {
    /// The exact bytes of `info`, to send to such clients.
    pub fn info(&self) -> &Arc<[u8]> {
        &self.info
    }

    /// Returns the SHA-1 that `piece`, one of this torrent's, must have.
    pub fn hash(&self, piece: PieceIndex) -> PieceHash {
        let mut hash = PieceHash::default();
        hash.copy_from_slice(&self.hashes[piece.index() * HASH_LEN..][..HASH_LEN]);
        hash
    }

    /// Returns the size of all files in bytes, without padding.
    pub fn total_bytes(&self) -> u64 {
        let files = (0..self.layout.files()).filter(|file| !self.layout.is_pad(*file));
        files.map(|file| self.layout.file_len(file)).sum()
    }
}

/// The known keys of a torrent, of its `info`, or of one entry in its `files`.
#[derive(Default)]
struct Keys<'a> {
    announce: Option<Raw<'a>>,
    announce_list: Option<Raw<'a>>,
    comment: Option<Raw<'a>>,
    created_by: Option<Raw<'a>>,
    creation_date: Option<Raw<'a>>,
    info: Option<Raw<'a>>,
    nodes: Option<Raw<'a>>,
    url_list: Option<Raw<'a>>,

    name: Option<Raw<'a>>,
    name_utf8: Option<Raw<'a>>,
    piece_length: Option<Raw<'a>>,
    pieces: Option<Raw<'a>>,
    private: Option<Raw<'a>>,
    meta_version: Option<Raw<'a>>,
    files: Option<Raw<'a>>,
    length: Option<Raw<'a>>,
    path: Option<Raw<'a>>,
    path_utf8: Option<Raw<'a>>,
    attr: Option<Raw<'a>>,
}

impl<'a> Keys<'a> {
    fn of(dict: Raw<'a>) -> Option<Self> {
        let mut keys = Self::default();
        for (key, value) in dict.dict()? {
            let known = match key {
                b"announce" => &mut keys.announce,
                b"announce-list" => &mut keys.announce_list,
                b"comment" => &mut keys.comment,
                b"created by" => &mut keys.created_by,
                b"creation date" => &mut keys.creation_date,
                b"info" => &mut keys.info,
                b"nodes" => &mut keys.nodes,
                b"url-list" => &mut keys.url_list,
                b"name" => &mut keys.name,
                b"name.utf-8" => &mut keys.name_utf8,
                b"piece length" => &mut keys.piece_length,
                b"pieces" => &mut keys.pieces,
                b"private" => &mut keys.private,
                b"meta version" => &mut keys.meta_version,
                b"files" => &mut keys.files,
                b"length" => &mut keys.length,
                b"path" => &mut keys.path,
                b"path.utf-8" => &mut keys.path_utf8,
                b"attr" => &mut keys.attr,
                _ => continue,
            };
            *known = Some(value);
        }
        Some(keys)
    }

    /// Whether the file has this attribute, a letter (BEP 47).
    fn has_attr(&self, letter: u8) -> bool {
        self.attr
            .and_then(Raw::string)
            .is_some_and(|attr| attr.contains(&letter))
    }

    /// The names from the torrent's folder to the file; from `path.utf-8` if possible.
    fn path(&self) -> Option<Vec<&'a [u8]>> {
        let names = |path: Raw<'a>| path.list()?.map(Raw::string).collect::<Option<Vec<_>>>();
        let utf8 = self.path_utf8.and_then(names);
        utf8.filter(|path| path.iter().all(|name| str::from_utf8(name).is_ok()))
            .or_else(|| self.path.and_then(names))
    }

    fn name(&self) -> Option<&'a [u8]> {
        let utf8 = self.name_utf8.and_then(Raw::text).map(str::as_bytes);
        utf8.or_else(|| self.name?.string())
    }
}

fn size(value: Option<Raw>) -> Option<u64> {
    value?.number().and_then(|size| size.try_into().ok())
}

struct Files {
    names: Names,
    /// The length of each file, and whether it is never on disk.
    sizes: Vec<(u64, bool)>,
    executable: Vec<bool>,
    links: usize,
}

impl Files {
    /// Those of the `info` dictionary that has `keys` and calls the torrent `name`.
    fn read(name: &[u8], keys: &Keys) -> Result<Self, MetainfoError> {
        let mut files = Self {
            names: Names::new(name),
            sizes: Vec::new(),
            executable: Vec::new(),
            links: 0,
        };
        if let Some(list) = keys.files {
            let needs = MetainfoError::Needs {
                key: "files",
                needed: "a list",
            };
            for (file, number) in list.list().ok_or(needs)?.zip(1..) {
                files.add(&Keys::of(file).unwrap_or_default(), Some(number))?;
            }
        } else {
            files.add(keys, None)?;
        }
        if files.sizes.is_empty() {
            return Err(MetainfoError::NoFiles);
        }
        Ok(files)
    }

    /// All files, with safe names, and what the user should know of that.
    fn finish(self) -> (Arc<[FileEntry]>, Vec<String>) {
        let SafeNames {
            paths,
            mut originals,
            mut warnings,
        } = self.names.finish();
        if self.links > 0 {
            warnings.push(format!("{} symbolic links are left out", self.links));
        }
        let mut numbers = 1..;
        let entries = paths.into_iter().zip(self.sizes).zip(self.executable);
        let entries = entries
            .enumerate()
            .map(|(file, ((path, (_, pad)), executable))| FileEntry {
                path,
                url_path: originals.remove(&file),
                pad,
                executable,
                number: if pad { None } else { numbers.next() },
            });
        (entries.collect(), warnings)
    }

    /// Adds the next file. `below`: its number from 1, or `None` in a torrent of one file.
    fn add(&mut self, keys: &Keys, below: Option<usize>) -> Result<(), MetainfoError> {
        let needs = |key, needed| match below {
            Some(file) => MetainfoError::FileNeeds { file, key, needed },
            None => MetainfoError::Needs { key, needed },
        };
        // A link could lead out of the user's folder, so none is made. It has no bytes (BEP 47), so
        // no other file moves.
        let is_link = below.is_some() && keys.has_attr(b'l');
        let length = match is_link {
            true => 0,
            false => size(keys.length).ok_or(needs("length", SIZE))?,
        };
        let path = keys.path();
        let name = path.as_ref().and_then(|path| path.last());
        let is_padding =
            keys.has_attr(b'p') || name.is_some_and(|name| name.starts_with(BITCOMET_PADDING));
        let absent = is_link || (is_padding && below.is_some());
        match (absent, below) {
            (true, _) => self.names.no_file(),
            (false, None) => self.names.file(None)?,
            (false, Some(_)) => {
                let path = path.ok_or(needs("path", "a list of names"))?;
                self.names.file(Some(&path))?;
            }
        }
        self.sizes.push((length, absent));
        self.executable.push(keys.has_attr(b'x'));
        self.links += usize::from(is_link);
        Ok(())
    }
}

fn read_info(raw: Raw) -> Result<Metainfo, MetainfoError> {
    let needs = |key, needed| MetainfoError::Needs { key, needed };
    let keys = Keys::of(raw).ok_or(needs("info", "a dictionary"))?;
    let pieces = keys.pieces.and_then(Raw::string);
    if pieces.is_none() && keys.meta_version.and_then(Raw::number) == Some(2) {
        return Err(MetainfoError::OnlyVersion2);
    }
    let name = keys.name().ok_or(needs("name", "a string"))?;
    let piece_length = size(keys.piece_length).ok_or(needs("piece length", SIZE))?;
    let hashes = pieces.ok_or(needs("pieces", "a string"))?;

    let files = Files::read(name, &keys)?;
    let layout = Layout::new(piece_length, &files.sizes)?;
    // A torrent of empty files needs no hash, but some programs write one.
    if hashes.len() != layout.pieces() as usize * HASH_LEN && layout.total() > 0 {
        return Err(MetainfoError::Hashes {
            len: hashes.len(),
            pieces: layout.pieces(),
        });
    }
    let (name, url_name) = (files.names.root().to_owned(), url::escaped(name));
    let (files, warnings) = files.finish();
    Ok(Metainfo {
        info_hash: InfoHash(Sha1::digest(raw.bytes()).into()),
        name,
        url_name,
        layout: Arc::new(layout),
        files,
        multi_file: keys.files.is_some(),
        // BEP 27 defines 1 only, but nobody writes 2 and means "public".
        private: keys
            .private
            .and_then(Raw::number)
            .is_some_and(|private| private != 0),
        trackers: Vec::new(),
        webseeds: Vec::new(),
        nodes: Vec::new(),
        comment: None,
        created_by: None,
        creation_date: None,
        warnings,
        info: raw.bytes().into(),
        hashes: hashes.into(),
    })
}

/// The trackers by tier (BEP 12). `announce` counts only without a usable list.
fn tiers(list: Option<Raw>, announce: Option<Raw>) -> Vec<Vec<String>> {
    let mut seen = HashSet::new();
    let list = list.and_then(Raw::list).into_iter().flatten();
    let mut tiers: Vec<_> = list
        .map(|tier| urls(Some(tier), &mut seen))
        .filter(|tier| !tier.is_empty())
        .collect();
    if tiers.is_empty() {
        tiers.push(urls(announce, &mut seen));
        tiers.retain(|tier| !tier.is_empty());
    }
    tiers
}

/// The URLs of a list, or of a string that is one, without those in `seen`.
fn urls<'a>(value: Option<Raw<'a>>, seen: &mut HashSet<&'a str>) -> Vec<String> {
    let one = value.and_then(Raw::text);
    let many = value
        .and_then(Raw::list)
        .into_iter()
        .flatten()
        .filter_map(Raw::text);
    let trimmed = one.into_iter().chain(many).map(str::trim);
    let usable = trimmed.filter(|url| {
        !url.is_empty() && url.len() <= MAX_TEXT_LEN && !url.contains(char::is_control)
    });
    usable
        .filter(|url| seen.len() < MAX_URLS && seen.insert(url))
        .map(str::to_owned)
        .collect()
}

/// The DHT nodes of a list of pairs: host, port.
fn nodes(value: Option<Raw>) -> Vec<(String, u16)> {
    let node = |pair: Raw| {
        let mut pair = pair.list()?;
        let host = short_text(pair.next()?)?;
        let port = u16::try_from(pair.next()?.number()?).ok()?;
        (!host.is_empty() && port > 0).then_some((host, port))
    };
    let list = value.and_then(Raw::list).into_iter().flatten();
    list.filter_map(node).take(MAX_URLS).collect()
}

fn short_text(value: Raw) -> Option<String> {
    value
        .text()
        .filter(|text| text.len() <= MAX_TEXT_LEN)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests;
