//! The record, `DIR/NAME.storrent`: a small file beside an incomplete download.
//!
//! It says two things:
//!
//! - Which files are *ours*. It says so from the moment when it has its name, because it is written
//!   under another name and then renamed.
//! - How far the download is: its *state*, under a checksum. [`crate::resume`] makes the state and
//!   decides what of it to trust.
//!
//! Between the two, the record keeps the parts of wanted pieces that belong to files not wanted.
//! While a run writes to the files it holds a lock on the record, so that no second run does.
//!
//! The record is one bencoded dictionary. The length of what comes before the kept parts follows
//! from the torrent, so the parts can be written whether a state follows or not:
//!
//! ```text
//! d 18:!a storrent record 20:…    the info hash
//!   6:!files 1:.                  which files are ours, a bit each
//!   6:!parts 11:…                 the kept parts (see [`super::plan`])
//!   4:info 99:d4:name…e           the metadata, if the user has a magnet link only
//!   5:state d                     from the last run, if it ended in order
//!     5:files lli1048576ei17…eee  of each file that is ours: size, time (ns since 1970)
//!     3:had 4:….                  the pieces that we have, a bit each
//!   e
//!   9:state sum 20:…              SHA-1 of all before the kept parts, and of the state
//! e
//! ```

mod old;
mod shelf;

use super::files::{read_up_to, write_all};
use super::{FileState, StorageError};
use crate::bencode;
use crate::types::InfoHash;
pub(crate) use old::OldState;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, fstat, ftruncate};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha1::{Digest, Sha1};
pub(crate) use shelf::{Drawer, Lock, Shelf};
use std::path::Path;

/// The first bytes of a record. The info hash follows.
const MAGIC: &[u8] = b"d18:!a storrent record20:";

/// What comes between the info hash and the length of the files' bits.
const FILES: &[u8] = b"6:!files";

/// What comes between the files' bits and the number of kept bytes.
const PARTS: &[u8] = b"6:!parts";

const SUFFIX: &[u8] = b".storrent";

/// How many bytes of a record are read at most, without the kept parts: enough for the longest
/// metadata and the state of a million files.
const MAX_LEN: u64 = 64 << 20;

/// How deep a record nests: the record, its state, the list of files, a list for each file.
const MAX_DEPTH: usize = 5;

/// The length of the longest number before a colon, with the colon.
const NUMBER: usize = 21;

/// A record's beginning, up to the kept parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub info_hash: InfoHash,
    pub files: Vec<bool>,
    pub kept: u64,
}

impl Head {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bits = vec![0u8; self.files.len().div_ceil(8)];
        for file in (0..self.files.len()).filter(|file| self.files[*file]) {
            bits[file / 8] |= 0x80 >> (file % 8);
        }
        let number = |number: u64| format!("{number}:").into_bytes();
        let bits_len = number(bits.len() as u64);
        let kept = number(self.kept);
        [
            MAGIC,
            &self.info_hash.0,
            FILES,
            &bits_len,
            &bits,
            PARTS,
            &kept,
        ]
        .concat()
    }

    /// Reads what follows the magic and the info hash, for a torrent of `files` files. `None` if it
    /// is damaged.
    fn decode(info_hash: InfoHash, after_hash: &[u8], files: usize) -> Option<Self> {
        let (len, rest) = number(after_hash.strip_prefix(FILES)?)?;
        let (bits, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
        if bits.len() != files.div_ceil(8) {
            return None;
        }
        let (kept, _) = number(rest.strip_prefix(PARTS)?)?;
        let head = Self {
            info_hash,
            files: (0..files).map(|file| is_set(bits, file)).collect(),
            kept,
        };
        // If we would write the head differently, it is not ours.
        let ours = [MAGIC, &info_hash.0, after_hash].concat();
        ours.starts_with(&head.encode()).then_some(head)
    }
}

/// Whether the bit of `file` is set. The first bit of a byte is its highest.
fn is_set(bits: &[u8], file: usize) -> bool {
    let byte = bits.get(file / 8);
    byte.is_some_and(|byte| byte & (0x80 >> (file % 8)) != 0)
}

/// Returns the number before the first colon of `bytes`, and what follows the colon.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let len = bytes.iter().take(NUMBER).position(|byte| *byte == b':')?;
    let digits = std::str::from_utf8(&bytes[..len]).ok()?;
    Some((digits.parse().ok()?, &bytes[len + 1..]))
}

/// How far a download is.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// Of each file that is ours, in order: size in bytes, time of last change in ns since 1970.
    pub files: Vec<(u64, i64)>,
    /// The pieces that we have, a bit each.
    pub had: ByteBuf,
}

#[derive(Serialize, Deserialize, Default)]
struct Rest {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    info: Option<ByteBuf>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    state: Option<State>,
    #[serde(rename = "state sum", skip_serializing_if = "Option::is_none", default)]
    sum: Option<ByteBuf>,
}

impl Rest {
    fn decode(bytes: &[u8]) -> Option<Self> {
        bencode::decode(&[b"d", bytes].concat(), MAX_DEPTH).ok()
    }

    /// Returns a dictionary without its first byte, which [`MAGIC`] has.
    fn encode(&self) -> Vec<u8> {
        bencode::encode(self).split_off(1)
    }
}

/// Returns the checksum of `state` after `head`.
fn sum_of(head: &Head, state: &State) -> [u8; 20] {
    let sum = Sha1::new().chain_update(head.encode());
    sum.chain_update(bencode::encode(state)).finalize().into()
}

#[derive(Debug, Default)]
pub struct Says {
    /// The metadata, if it is kept. Not verified.
    pub info: Option<Vec<u8>>,
    /// The state, if there is one and its checksum is right.
    pub state: Option<State>,
}

pub(crate) struct Record {
    /// If the record is locked, then through this descriptor.
    pub fd: OwnedFd,
    pub name: String,
    form: Form,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Form {
    /// All of its beginning is right.
    Sound(Head),
    /// Magic and info hash are right, the rest is damaged.
    Damaged,
    /// As earlier versions wrote it. Its kept parts begin at byte `kept_at`.
    Old { kept_at: u64, state: Box<OldState> },
    /// An empty file, or an old record that says nothing yet.
    Blank,
}

impl Record {
    /// Whether it says nothing and names no file.
    pub(crate) fn is_blank(&self) -> bool {
        self.form == Form::Blank
    }

    pub(crate) fn head(&self) -> Option<&Head> {
        match &self.form {
            Form::Sound(head) => Some(head),
            _ => None,
        }
    }

    /// Duplicates the handle. Both share one lock.
    pub(crate) fn try_clone(&self) -> Result<Self, Errno> {
        let fd = rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)?;
        Ok(Self {
            fd,
            name: self.name.clone(),
            form: self.form.clone(),
        })
    }

    /// Whether all wanted files count as ours: the record is damaged, but only after its info hash,
    /// which is this torrent's.
    pub(crate) fn marks_wanted(&self) -> bool {
        self.form == Form::Damaged
    }

    /// Returns which of `files` files it names as ours. A damaged record names none; see
    /// [`Record::marks_wanted`].
    pub(crate) fn ours(&self, files: usize) -> Vec<bool> {
        match &self.form {
            Form::Sound(head) => head.files.clone(),
            Form::Old { state, .. } => state.wanted(files),
            Form::Damaged | Form::Blank => vec![false; files],
        }
    }

    /// Returns the offset in the file of byte `at` of the kept parts.
    pub(crate) fn offset(&self, at: u64) -> u64 {
        at + match &self.form {
            Form::Sound(head) => head.encode().len() as u64,
            Form::Old { kept_at, .. } => *kept_at,
            Form::Damaged | Form::Blank => 0,
        }
    }

    pub(crate) fn kept(&self) -> u64 {
        match &self.form {
            Form::Sound(head) => head.kept,
            Form::Old { state, .. } => state.kept,
            Form::Damaged | Form::Blank => 0,
        }
    }

    pub(crate) fn says(&self) -> Result<Says, Errno> {
        match &self.form {
            Form::Sound(head) => {
                let start = self.offset(0).saturating_add(head.kept);
                let rest = Rest::decode(&tail(&self.fd, start)?).unwrap_or_default();
                let sound = |state: &State| {
                    rest.sum
                        .as_deref()
                        .is_some_and(|sum| sum == &sum_of(head, state)[..])
                };
                Ok(Says {
                    info: rest.info.map(ByteBuf::into_vec),
                    state: rest.state.filter(sound),
                })
            }
            Form::Old { state, .. } => Ok(state.says()),
            Form::Damaged | Form::Blank => Ok(Says::default()),
        }
    }

    /// Writes `state` after the kept parts, in place, because other threads have the file open and
    /// it is locked. If we are killed midway, the next run finds the checksum wrong: it checks the
    /// files, and the kept parts stay.
    pub(crate) fn write_state(&self, info: Option<&[u8]>, state: State) -> Result<(), Errno> {
        let Form::Sound(head) = &self.form else {
            return Ok(());
        };
        let rest = Rest {
            info: info.map(ByteBuf::from),
            sum: Some(ByteBuf::from(sum_of(head, &state))),
            state: Some(state),
        };
        let (bytes, start) = (rest.encode(), self.offset(0) + head.kept);
        write_all(&self.fd, &bytes, start)?;
        ftruncate(&self.fd, start + bytes.len() as u64)
    }
}

/// Returns the bytes of a fresh record before the kept parts, and those after.
fn fresh(head: &Head, info: Option<&[u8]>) -> (Vec<u8>, Vec<u8>) {
    let rest = Rest {
        info: info.map(ByteBuf::from),
        ..Rest::default()
    };
    (head.encode(), rest.encode())
}

/// Reads `fd` from byte `start` on, at most [`MAX_LEN`] bytes.
fn tail(fd: &OwnedFd, start: u64) -> Result<Vec<u8>, Errno> {
    let size = FileState::from(fstat(fd)?).size;
    let mut bytes = vec![0; size.saturating_sub(start).min(MAX_LEN) as usize];
    let read = read_up_to(fd, &mut bytes, start)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Returns the form of `fd`, a file of `size` bytes, as a record of the torrent `info_hash` with
/// `files` files. `None` if it is not this torrent's record.
fn form_of(
    fd: &OwnedFd,
    size: u64,
    info_hash: InfoHash,
    files: usize,
) -> Result<Option<Form>, Errno> {
    if size == 0 {
        return Ok(Some(Form::Blank));
    }
    let prefix = MAGIC.len() + info_hash.0.len();
    let mut begin = vec![0; prefix + FILES.len() + PARTS.len() + 2 * NUMBER + files.div_ceil(8)];
    let read = read_up_to(fd, &mut begin, 0)?;
    begin.truncate(read);
    let ours = [MAGIC, &info_hash.0].concat();
    if let Some(rest) = begin.strip_prefix(&ours[..]) {
        let head = Head::decode(info_hash, rest, files);
        return Ok(Some(head.map_or(Form::Damaged, Form::Sound)));
    }
    old::form_of(fd, &begin, info_hash)
}

/// Returns the metadata that a record in the folder `dir` keeps of the torrent `info_hash`, if its
/// hash is right. Skips what cannot be read, and follows no symlinks.
pub fn recall(dir: &Path, info_hash: InfoHash) -> Option<Vec<u8>> {
    let mut entries = std::fs::read_dir(dir).ok()?.flatten();
    entries.find_map(|entry| {
        if !entry.file_name().as_encoded_bytes().ends_with(SUFFIX) {
            return None;
        }
        // Without `NONBLOCK`, opening a pipe of that name would wait for its other end.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open(entry.path(), flags, Mode::empty()).ok()?;
        let stat = fstat(&fd).ok()?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return None;
        }
        let info = info_in(&fd, info_hash)?;
        (Sha1::digest(&info)[..] == info_hash.0).then_some(info)
    })
}

/// Returns the metadata in a record of the torrent `info_hash`, whose number of files we don't
/// know.
fn info_in(fd: &OwnedFd, info_hash: InfoHash) -> Option<Vec<u8>> {
    let ours = [MAGIC, &info_hash.0, FILES].concat();
    let mut begin = vec![0; ours.len() + NUMBER];
    let read = read_up_to(fd, &mut begin, 0).ok()?;
    begin.truncate(read);
    let Some(rest) = begin.strip_prefix(&ours[..]) else {
        let Form::Old { state, .. } = old::form_of(fd, &begin, info_hash).ok()?? else {
            return None;
        };
        return state.says().info;
    };
    let (bits, after) = number(rest)?;
    let parts = (begin.len() - after.len()) as u64 + bits;
    let mut middle = vec![0; PARTS.len() + NUMBER];
    let read = read_up_to(fd, &mut middle, parts).ok()?;
    let (kept, after) = number(middle[..read].strip_prefix(PARTS)?)?;
    let kept_at = parts + (read - after.len()) as u64;
    let rest = Rest::decode(&tail(fd, kept_at.checked_add(kept)?).ok()?)?;
    rest.info.map(ByteBuf::into_vec)
}

fn failed(action: &'static str, dir: &Path, name: &str, errno: Errno) -> StorageError {
    StorageError::io(action, dir.join(name), errno)
}
