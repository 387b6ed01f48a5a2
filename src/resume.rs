//! Resuming a download without hashing everything again. At the start of a torrent the engine asks
//! which pieces of the last run can be trusted; at the end the checker's thread writes the state.
//! No BEP describes this: the record is for storrent alone.
//!
//! An incomplete download has its [record](crate::storage::record) beside it. A run that ends in
//! order writes its state there: the pieces that it had, and the size and modification time of each
//! file. The next run trusts what the state says of a piece only if every file of the piece still
//! has this size and time; else it hashes the piece. So after a kill, it hashes only the files that
//! were written to since the last state.
//!
//! A disk can go away without warning: the power fails, or a stick is pulled. So a piece must be on
//! the disk before the state says that we have it ([`save`] waits for this), and we never write to
//! it again. So the state of an unchanged file is true after any crash.
//!
//! If the record itself keeps a part of a piece, the piece is always hashed, because the record has
//! no modification time for each part.

use crate::bitfield::Bitfield;
use crate::storage::record::State;
use crate::storage::{FileState, Storage, StorageError, Survey};
use serde_bytes::ByteBuf;
use std::sync::Arc;

/// The entry of a file that was not looked at. No file has this size and time.
const NOT_LOOKED_AT: (u64, i64) = (0, -1);

/// What is known about the pieces without hashing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trusted {
    pub have: Bitfield,
    /// Pieces that must be hashed. All are wanted, except for a few that the state says we have.
    pub unknown: Bitfield,
    /// Pieces of files that an earlier run began and this one does not ask for. They would have to
    /// be hashed, too.
    pub passed_over: Bitfield,
}

/// What can be trusted in the record, if the files are as in `survey`.
pub fn trusted(storage: &Storage, survey: &Survey) -> Trusted {
    let (layout, plan) = (storage.layout(), storage.plan());
    let mut unchanged: Vec<bool> = (0..layout.files())
        .map(|file| layout.is_pad(file))
        .collect();
    let nothing = Bitfield::none(layout.pieces());
    let mut had = nothing.clone();
    let listed = storage.listed();
    let state = storage.says().state;
    if let Some(state) = state.filter(|state| state.files.len() == listed.len())
        && let Some(pieces) = Bitfield::from_bytes(&state.had, layout.pieces())
    {
        for (file, as_it_was) in listed.into_iter().zip(state.files) {
            unchanged[file] = as_it_was == as_it_is(survey[file]);
        }
        had = pieces;
    }
    let wanted = plan.wanted_pieces();
    let mut trusted = Trusted {
        have: nothing.clone(),
        unknown: nothing.clone(),
        passed_over: nothing,
    };
    for piece in plan.pieces_of_ours().iter() {
        let mut parts = layout.parts(layout.piece_range(piece));
        // If an unchanged file is missing or too short, it was so when the state was written. So a
        // claim that its pieces are there is not trusted.
        let size = |file: usize| survey[file].map_or(0, |state| state.size);
        let unchanged = parts.all(|part| {
            let there = part.pad || part.offset + part.len <= size(part.file);
            unchanged[part.file] && (there || !had.has(piece)) || !plan.ours()[part.file]
        });
        if unchanged && storage.is_partly_kept(piece) {
            // Kept parts have no modification time. Few pieces have any.
            if had.has(piece) || wanted.has(piece) {
                trusted.unknown.insert(piece);
            }
        } else if unchanged {
            if had.has(piece) {
                trusted.have.insert(piece);
            }
        } else if wanted.has(piece) {
            trusted.unknown.insert(piece);
        } else {
            trusted.passed_over.insert(piece);
        }
    }
    trusted
}

/// Writes the state, after all pieces that we `have` are on the disk. The next run hashes the
/// pieces `passed_over`, which nobody looked at, and the files `changed`, which are not as we left
/// them. `metadata`: the bytes of `info`, for a user who has only a magnet link.
///
/// # Errors
/// [`StorageError`], if the disk fails, or a file cannot be looked at.
pub(crate) fn save(
    storage: &Arc<Storage>,
    have: &Bitfield,
    passed_over: &Bitfield,
    changed: &[usize],
    metadata: Option<&[u8]>,
) -> Result<(), StorageError> {
    if !storage.may_record() {
        return Ok(());
    }
    storage.flush()?;
    let survey = storage.survey()?;
    let layout = storage.layout();
    let passed = |file: usize| {
        let mut pieces = layout.pieces_of_file(file);
        pieces.any(|piece| passed_over.has(piece))
    };
    let state = |file: usize| match passed(file) || changed.contains(&file) {
        true => NOT_LOOKED_AT,
        false => as_it_is(survey[file]),
    };
    let state = State {
        files: storage.listed().into_iter().map(state).collect(),
        had: ByteBuf::from(have.as_bytes()),
    };
    // The record keeps what an earlier run kept for a magnet link.
    let kept = storage.says().info;
    storage.write_state(metadata.or(kept.as_deref()), state)
}

/// Whether `have` completes all files of ours: those of this run, and those that an earlier one
/// began.
pub(crate) fn is_all(storage: &Storage, have: &Bitfield) -> bool {
    let pieces = storage.plan().pieces_of_ours();
    pieces.iter().all(|piece| have.has(piece))
}

/// A file's size and time as in the state: zeros if it is missing.
fn as_it_is(file: Option<FileState>) -> (u64, i64) {
    file.map_or((0, 0), |file| (file.size, file.modified))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bencode;
    use crate::layout::PieceIndex;
    use crate::storage::testing::Torrent;
    use crate::types::InfoHash;
    use crate::wanted::Wanted;
    use proptest::prelude::*;
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    /// Pieces 0 and 1 are in file 0, piece 2 is in both files, 3 and 4 are in file 1.
    fn saved(dir: &Path, had: &[u32]) -> (Torrent, Arc<Storage>) {
        let torrent = Torrent::new(20, &[(50, false), (50, false)]);
        let storage = torrent.begun_all(dir);
        let mut have = Bitfield::none(5);
        for index in had {
            torrent.write(&storage, torrent.piece(*index));
            have.insert(torrent.piece(*index));
        }
        save(&storage, &have, &Bitfield::none(5), &[], None).unwrap();
        (torrent, storage)
    }

    fn plain(pieces: &Bitfield) -> Vec<u32> {
        pieces.iter().map(PieceIndex::get).collect()
    }

    /// Returns whether the files are ours, the trusted pieces, and the pieces to hash.
    fn load(torrent: &Torrent, dir: &Path, wanted: [bool; 2]) -> (bool, Vec<u32>, Vec<u32>) {
        let storage = torrent.wanting(dir, &wanted);
        let survey = storage.survey().unwrap();
        let trusted = trusted(&storage, &survey);
        (
            storage.has_record(),
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
            let (torrent, _storage) = saved(temp.path(), &[0, 2, 4]);
            change(temp.path());
            let expected = (true, have.to_vec(), unknown.to_vec());
            assert_eq!(load(&torrent, temp.path(), [true; 2]), expected, "{name}");
        }
    }

    /// At worst everything is hashed. The record stays ours while it names this torrent.
    #[test]
    fn a_damaged_record_is_not_believed() {
        let temp = tempfile::tempdir().unwrap();
        let (torrent, _storage) = saved(temp.path(), &[0]);
        let path = temp.path().join("t.storrent");
        let good = fs::read(&path).unwrap();
        let sound = load(&torrent, temp.path(), [true; 2]);
        assert_eq!(sound, (true, vec![0], vec![]));
        let unknown = (vec![], vec![0, 1, 2, 3, 4]);
        let ours = b"d18:!a storrent record20:".len() + 20;
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            for bytes in [&bytes[..], &good[..at]] {
                fs::write(&path, bytes).unwrap();
                let (marked, have, rest) = load(&torrent, temp.path(), [true; 2]);
                // The `e` that closes the dictionary holds no information.
                let whole = at == good.len() - 1 && bytes.len() == good.len() && have == [0];
                assert!(whole || (have, rest) == unknown, "{at}");
                assert_eq!(marked, at >= ours, "{at}");
            }
        }
        // A bitfield of ones under the old checksum.
        let had = good
            .windows(6)
            .position(|bytes| bytes == b"3:had1")
            .unwrap()
            + 7;
        let mut bytes = good.clone();
        bytes[had] = 0xf8;
        fs::write(&path, bytes).unwrap();
        assert_eq!(load(&torrent, temp.path(), [true; 2]).1, Vec::<u32>::new());
    }

    #[test]
    fn of_another_torrent_it_says_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let (torrent, storage) = saved(temp.path(), &[0]);
        let mut other = torrent.contents();
        other.info_hash = InfoHash([8; 20]);
        let other = Storage::open(temp.path(), other, &Wanted::all(&torrent.layout)).unwrap();
        assert!(!other.has_record());
        let trusted = trusted(&other, &other.survey().unwrap());
        assert_eq!(plain(&trusted.unknown), [0, 1, 2, 3, 4]);
        storage.remove_record().unwrap();
        assert!(!load(&torrent, temp.path(), [true; 2]).0);
    }

    /// `-f 1` is interrupted, and `-f 2` completes. Then `-f 1` resumes where it was.
    #[test]
    fn an_earlier_selection_stays_in_the_record() {
        let temp = tempfile::tempdir().unwrap();
        let torrent = Torrent::new(20, &[(50, false), (50, false)]);
        let first = torrent.begun(temp.path(), &[true, false]);
        torrent.write(&first, torrent.piece(0));
        let mut have = Bitfield::none(5);
        have.insert(torrent.piece(0));
        save(&first, &have, &Bitfield::none(5), &[], None).unwrap();
        drop(first);

        let second = torrent.wanting(temp.path(), &[false, true]);
        let before = trusted(&second, &second.survey().unwrap());
        assert_eq!(
            plain(&before.have),
            [0],
            "of a file that is not asked for now"
        );
        let second = torrent.claim(&second, &before.have, false).unwrap().storage;
        let mut have = before.have;
        for index in [2, 3, 4] {
            torrent.write(&second, torrent.piece(index));
            have.insert(torrent.piece(index));
        }
        assert!(
            !is_all(&second, &have),
            "of the first selection, piece 1 is missing"
        );
        save(&second, &have, &before.passed_over, &[], None).unwrap();
        drop(second);
        let again = load(&torrent, temp.path(), [true, false]);
        assert_eq!(
            again,
            (true, vec![0, 2, 3, 4], vec![]),
            "piece 1 is missing, and known to be"
        );

        // A file that was begun and is now gone cannot be resumed.
        fs::remove_file(temp.path().join("t/0")).unwrap();
        let second = torrent.wanting(temp.path(), &[false, true]);
        assert_eq!(second.plan().ours(), [false, true]);
    }

    #[test]
    fn what_was_passed_over_is_hashed_later() {
        let temp = tempfile::tempdir().unwrap();
        let torrent = Torrent::new(20, &[(50, false), (50, false)]);
        let first = torrent.begun(temp.path(), &[true, false]);
        torrent.write(&first, torrent.piece(0)); // and killed
        drop(first);
        let second = torrent.wanting(temp.path(), &[false, true]);
        let found = trusted(&second, &second.survey().unwrap());
        assert_eq!(
            (plain(&found.unknown), plain(&found.passed_over)),
            (vec![2, 3, 4], vec![0, 1])
        );
        let second = torrent.claim(&second, &found.have, false).unwrap().storage;
        save(&second, &Bitfield::none(5), &found.passed_over, &[], None).unwrap();
        drop(second);
        let again = load(&torrent, temp.path(), [true, false]);
        assert_eq!(again, (true, vec![], vec![0, 1, 2]));
    }

    #[test]
    fn the_record_is_canonical_bencode() {
        let temp = tempfile::tempdir().unwrap();
        let torrent = Torrent::new(20, &[(50, false), (50, false)]);
        for wanted in [[true, true], [true, false]] {
            let storage = torrent.begun(temp.path(), &wanted);
            let fresh = fs::read(temp.path().join("t.storrent")).unwrap();
            bencode::scan(&fresh, 5).unwrap();
            save(
                &storage,
                &Bitfield::none(5),
                &Bitfield::none(5),
                &[],
                Some(b"d4:name1:te"),
            )
            .unwrap();
            let bytes = fs::read(temp.path().join("t.storrent")).unwrap();
            bencode::scan(&bytes, 5).unwrap();
            assert!(bytes.starts_with(b"d18:!a storrent record20:\x07\x07"));
            storage.remove_record().unwrap();
        }
    }

    proptest! {
        #[test]
        fn hostile_records_do_no_harm(at in 0usize..400, junk in prop::collection::vec(any::<u8>(), 1..30)) {
            let temp = tempfile::tempdir().unwrap();
            let (torrent, _storage) = saved(temp.path(), &[0]);
            let path = temp.path().join("t.storrent");
            let mut bytes = fs::read(&path).unwrap();
            let at = at.min(bytes.len());
            let end = (at + junk.len()).min(bytes.len());
            bytes.splice(at..end, junk);
            fs::write(&path, bytes).unwrap();
            load(&torrent, temp.path(), [true; 2]);
        }
    }

    #[test]
    fn huge_numbers_are_not_allocated() {
        let temp = tempfile::tempdir().unwrap();
        let (torrent, _storage) = saved(temp.path(), &[0]);
        let ours = [&b"d18:!a storrent record20:"[..], &[7; 20]].concat();
        for hostile in [
            "6:!files18446744073709551615:",
            "6:!files1:\u{40}6:!parts18446744073709551615:",
            "6:!files1:\u{40}6:!parts0:5:stated5:files9999999999999:",
            "6:!files1:\u{40}6:!parts-1:",
            "6:!files1:\u{40}6:!parts0:lllllllllllllllllllllllllllllllll",
        ] {
            let bytes = [&ours, hostile.as_bytes()].concat();
            fs::write(temp.path().join("t.storrent"), bytes).unwrap();
            let loaded = load(&torrent, temp.path(), [true; 2]);
            assert_eq!(loaded.1, Vec::<u32>::new(), "{hostile}");
        }
        fs::write(
            temp.path().join("t.storrent"),
            "d6:!parts18446744073709551615:",
        )
        .unwrap();
        assert_eq!(load(&torrent, temp.path(), [true; 2]).1, Vec::<u32>::new());
    }
}
