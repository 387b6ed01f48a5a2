//! Going on where an earlier run stopped, without hashing everything again.
//!
//! While a download is incomplete, the record `DIR/NAME.storrent` stands beside it
//! ([`crate::storage`] keeps it). Its presence says that the files are this torrent's, and
//! it lists the pieces we had and, for each file, the size and time of last change then:
//!
//! ```text
//! d 6:!parts 0:                       parts of files not wanted
//!   7:boot id 36:8b0c…                this start of the system
//!   5:files lli1048576ei17…eeli0ei0eee   of each wanted file: size, time (ns since 1970)
//!   3:had 4:….                        the pieces, a bit each
//!   4:info 9:d4:name…e                the metadata, if all that the user has is a magnet link
//!   9:info hash 20:…                  which torrent
//!   6:wanted 1:.                      which files are wanted, a bit each
//! e
//! ```
//!
//! At the start of a run only its head is written, which marks the files as ours (for a
//! magnet link all of it, to keep the metadata), the rest at the end. What it says of a piece is believed
//! only if every file of the piece is still as listed; else the piece is hashed. So after
//! a kill, the files written to since the start are hashed, the others not. After a
//! power cut a file can look unchanged while its last bytes never reached the disk,
//! so nothing at all is believed from before the system was started. Whatever the
//! record holds, the worst that it can do is to cost a check or a piece fetched twice.

use crate::bencode;
use crate::bitfield::Bitfield;
use crate::storage::{self, FileState, Storage, StorageError, Survey};
use crate::types::InfoHash;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha1::{Digest, Sha1};
use std::path::Path;

/// The most that is read of a record, parts aside: enough for a million files.
const MAX_LEN: u64 = 32 << 20;

/// How deep a record nests: the list of files is a list of lists in a dictionary.
const MAX_DEPTH: usize = 4;

/// What was found of an earlier run.
pub struct Resume {
    /// The record, if it could be read.
    record: Option<Record>,
    marked: bool,
}

/// What can be known of the pieces without hashing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trusted {
    /// We have these.
    pub have: Bitfield,
    /// These must be hashed. (All others, we don't have.)
    pub unknown: Bitfield,
}

/// The record without the kept parts.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
struct Record {
    #[serde(rename = "boot id")]
    boot_id: String,
    files: Vec<(u64, i64)>,
    had: ByteBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<ByteBuf>,
    #[serde(rename = "info hash")]
    info_hash: ByteBuf,
    wanted: ByteBuf,
}

impl Resume {
    /// Looks for the record of an earlier run. A damaged one is as good as none, but
    /// for being there.
    ///
    /// # Errors
    /// [`StorageError`], if there is one that cannot be read, or something else in its place.
    pub fn load(storage: &Storage) -> Result<Self, StorageError> {
        let Some(bytes) = storage.read_record(MAX_LEN)? else {
            return Ok(Self {
                record: None,
                marked: false,
            });
        };
        let record = Record::decode(&bytes);
        let InfoHash(ours) = storage.plan().contents.info_hash;
        // Nobody but us writes such files, so a damaged one marks, too. One of another
        // torrent of the same name does not.
        let marked = record.as_ref().is_none_or(|r| *r.info_hash == ours);
        Ok(Self {
            record: record.filter(|_| marked),
            marked,
        })
    }

    /// Whether a record stood there, so that the files beside it are this torrent's.
    pub fn marked(&self) -> bool {
        self.marked
    }

    /// What of the record can be believed, the files being as in `survey`.
    pub fn trusted(&self, storage: &Storage, survey: &Survey) -> Trusted {
        let boot_id = self.record.as_ref().and_then(|_| boot_id());
        self.trusted_since(storage, survey, boot_id.as_deref())
    }

    fn trusted_since(&self, storage: &Storage, survey: &Survey, boot_id: Option<&str>) -> Trusted {
        let layout = storage.layout();
        let plan = storage.plan();
        let wanted = plan.wanted_pieces();
        let nothing = Bitfield::none(layout.pieces());
        let usable = self.record.as_ref().filter(|record| {
            boot_id == Some(record.boot_id.as_str())
                && record.wanted == wanted_bits(storage)
                && record.files.len() == plan.wanted_files().count()
        });
        let had = usable.and_then(|record| Bitfield::from_bytes(&record.had, layout.pieces()));
        let (Some(record), Some(had)) = (usable, had) else {
            return Trusted {
                have: nothing,
                unknown: wanted,
            };
        };
        let mut unchanged = vec![true; layout.files()];
        for (file, listed) in plan.wanted_files().zip(&record.files) {
            unchanged[file] = state(survey[file]) == *listed;
        }
        let mut trusted = Trusted {
            have: nothing.clone(),
            unknown: nothing,
        };
        for piece in wanted.iter() {
            let start = layout.piece_start(piece);
            let end = start + u64::from(layout.piece_len(piece));
            if !layout.parts(start..end).all(|part| unchanged[part.file]) {
                trusted.unknown.insert(piece);
            } else if had.has(piece) {
                trusted.have.insert(piece);
            }
        }
        trusted
    }
}

/// Writes the record: these are the pieces that we `have`. Nothing may be written to the
/// files between the verdict on the last of them and this. `metadata`: the bytes of `info`,
/// to be kept for a user who has a magnet link only.
///
/// # Errors
/// [`StorageError`], if the record or the state of the files cannot be written or read.
pub fn save(
    storage: &Storage,
    have: &Bitfield,
    metadata: Option<&[u8]>,
) -> Result<(), StorageError> {
    let survey = storage.survey()?;
    let record = Record {
        boot_id: boot_id().unwrap_or_default(),
        files: storage
            .plan()
            .wanted_files()
            .map(|file| state(survey[file]))
            .collect(),
        had: ByteBuf::from(have.as_bytes()),
        info: metadata.map(ByteBuf::from),
        info_hash: ByteBuf::from(storage.plan().contents.info_hash.0),
        wanted: wanted_bits(storage),
    };
    storage.write_record(&record.encode())
}

/// The metadata of the torrent `info_hash` that a record in the folder `dir` keeps, if an
/// earlier run got that far. Its hash was checked.
pub fn recall(dir: &Path, info_hash: InfoHash) -> Option<Vec<u8>> {
    storage::records(dir, MAX_LEN).find_map(|rest| {
        let record = Record::decode(&rest).filter(|r| *r.info_hash == info_hash.0)?;
        let info = record.info?.into_vec();
        (Sha1::digest(&info)[..] == info_hash.0).then_some(info)
    })
}

/// Removes the record: the download is complete. What is kept in it can be read on.
///
/// # Errors
/// [`StorageError`], if the system refuses.
pub fn remove(storage: &Storage) -> Result<(), StorageError> {
    storage.remove_record()
}

impl Record {
    /// Reads what follows on the kept parts; `None` if it is damaged.
    fn decode(rest: &[u8]) -> Option<Self> {
        bencode::decode(&[b"d", rest].concat(), MAX_DEPTH).ok()
    }

    /// What follows on the kept parts: a dictionary without its beginning.
    fn encode(&self) -> Vec<u8> {
        // It consists of numbers and bytes, which can always be written.
        let mut bytes = serde_bencode::to_bytes(self).unwrap_or_default();
        bytes.drain(..bytes.len().min(1));
        bytes
    }
}

/// A file's size and time as the record lists them: zeros if it is missing.
fn state(file: Option<FileState>) -> (u64, i64) {
    file.map_or((0, 0), |file| (file.size, file.modified))
}

/// Which files are wanted, the first one in the highest bit.
fn wanted_bits(storage: &Storage) -> ByteBuf {
    let mut bits = vec![0u8; storage.layout().files().div_ceil(8)];
    for file in storage.plan().wanted_files() {
        bits[file / 8] |= 0x80 >> (file % 8);
    }
    ByteBuf::from(bits)
}

/// A name for this start of the system; `None` where the system has none to give, and
/// then no record is believed.
fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::Torrent;
    use proptest::prelude::*;
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    const BOOT: Option<&str> = Some("this boot");

    /// Pieces 0 and 1 are in file 0, piece 2 in both, 3 and 4 in file 1.
    fn saved(dir: &Path, had: &[u32]) -> (Torrent, Arc<Storage>) {
        let torrent = Torrent::new(20, &[(50, false), (50, false)]);
        let storage = torrent.wanting_all(dir);
        let none = Bitfield::none(5);
        let storage = storage.claim(&none, false, false).unwrap();
        let mut have = none;
        for index in had {
            torrent.write(&storage, torrent.piece(*index));
            have.insert(torrent.piece(*index));
        }
        save(&storage, &have, None).unwrap();
        (torrent, storage)
    }

    /// Pieces trusted and pieces to hash.
    fn load(storage: &Storage, boot: Option<&str>) -> (bool, Vec<u32>, Vec<u32>) {
        let mut resume = Resume::load(storage).unwrap();
        if let Some(record) = &mut resume.record {
            record.boot_id = "this boot".into();
        }
        let survey = storage.survey().unwrap();
        let trusted = resume.trusted_since(storage, &survey, boot);
        let plain = |pieces: &Bitfield| pieces.iter().map(|p| p.get()).collect();
        (
            resume.marked(),
            plain(&trusted.have),
            plain(&trusted.unknown),
        )
    }

    fn touch(path: &Path) {
        let later = SystemTime::now() + Duration::from_secs(5);
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_modified(later).unwrap();
    }

    #[test]
    fn believed_only_where_nothing_changed() {
        type Change = fn(&Path);
        let cases: [(&str, Change, &[u32], &[u32]); 5] = [
            ("nothing", |_| {}, &[0, 2, 4], &[]),
            ("time", |dir| touch(&dir.join("t/0")), &[4], &[0, 1, 2]),
            (
                "size",
                |dir| fs::write(dir.join("t/folder1/1"), "").unwrap(),
                &[0],
                &[2, 3, 4],
            ),
            (
                "gone",
                |dir| fs::remove_file(dir.join("t/0")).unwrap(),
                &[4],
                &[0, 1, 2],
            ),
            (
                "both",
                |dir| fs::remove_dir_all(dir.join("t")).unwrap(),
                &[],
                &[0, 1, 2, 3, 4],
            ),
        ];
        for (name, change, have, unknown) in cases {
            let temp = tempfile::tempdir().unwrap();
            let (_, storage) = saved(temp.path(), &[0, 2, 4]);
            change(temp.path());
            let expected = (true, have.to_vec(), unknown.to_vec());
            assert_eq!(load(&storage, BOOT), expected, "{name}");
        }
    }

    #[test]
    fn not_believed_at_all() {
        let temp = tempfile::tempdir().unwrap();
        let (torrent, storage) = saved(temp.path(), &[0]);
        let path = temp.path().join("t.storrent");
        let all = vec![0, 1, 2, 3, 4];
        for boot in [Some("another boot"), None] {
            assert_eq!(load(&storage, boot), (true, vec![], all.clone()));
        }
        let of_one_file = torrent.wanting(temp.path(), &[true, false]);
        assert_eq!(load(&of_one_file, BOOT), (true, vec![], vec![0, 1, 2]));

        let mut other = torrent.contents();
        other.info_hash = InfoHash([8; 20]);
        let other = Storage::open(temp.path(), other, &[true, true]).unwrap();
        assert_eq!(load(&other, BOOT), (false, vec![], all.clone()));

        let good = fs::read(&path).unwrap();
        for len in 0..good.len() {
            fs::write(&path, &good[..len]).unwrap();
            assert_eq!(load(&storage, BOOT), (true, vec![], all.clone()), "{len}");
        }
        remove(&storage).unwrap();
        assert_eq!(load(&storage, BOOT), (false, vec![], all));
    }

    #[test]
    fn a_symlink_in_its_place_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let (torrent, storage) = saved(temp.path(), &[0]);
        let path = temp.path().join("t.storrent");
        let victim = temp.path().join("victim");
        fs::rename(&path, &victim).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        let before = fs::read(&victim).unwrap();
        assert!(Resume::load(&storage).is_err());
        assert!(save(&storage, &Bitfield::all(5), None).is_err());
        assert!(Storage::open(temp.path(), torrent.contents(), &[true, true]).is_err());
        assert_eq!(fs::read(&victim).unwrap(), before);
    }

    #[test]
    fn the_record_is_canonical_bencode() {
        let temp = tempfile::tempdir().unwrap();
        let (_, _storage) = saved(temp.path(), &[0]);
        let bytes = fs::read(temp.path().join("t.storrent")).unwrap();
        bencode::scan(&bytes, MAX_DEPTH).unwrap();
        assert!(bytes.starts_with(b"d6:!parts0:7:boot id"));
        let record = Record::decode(&bytes[b"d6:!parts0:".len()..]).unwrap();
        assert_eq!(record.files.len(), 2);
        assert_eq!(record.files[1], (0, 0), "not there yet");
    }

    proptest! {
        #[test]
        fn hostile_records_do_no_harm(at in 0usize..400, junk in prop::collection::vec(any::<u8>(), 1..30)) {
            let temp = tempfile::tempdir().unwrap();
            let (_, storage) = saved(temp.path(), &[0]);
            let path = temp.path().join("t.storrent");
            let mut bytes = fs::read(&path).unwrap();
            let at = at.min(bytes.len());
            let end = (at + junk.len()).min(bytes.len());
            bytes.splice(at..end, junk);
            fs::write(&path, bytes).unwrap();
            load(&storage, BOOT);
        }
    }

    #[test]
    fn huge_numbers_are_not_allocated() {
        let temp = tempfile::tempdir().unwrap();
        let (_, storage) = saved(temp.path(), &[0]);
        for hostile in [
            "d6:!parts18446744073709551615:",
            "d6:!parts0:7:boot id9999999999999:",
            "d6:!parts-1:",
            "d6:!parts0:lllllllllllllllllllllllllllllllll",
        ] {
            fs::write(temp.path().join("t.storrent"), hostile).unwrap();
            assert_eq!(load(&storage, BOOT).1, Vec::<u32>::new(), "{hostile}");
        }
    }
}
