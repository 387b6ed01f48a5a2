//! Lab 10: what to believe after a kill. `README.md` beside this file is the page.

mod yours;

use crate::frame::{Check, lab, same};
use serde_bytes::ByteBuf;
use std::fs::{self, File};
use std::time::{Duration, UNIX_EPOCH};
use storrent::metainfo::{self, Metainfo};
use storrent::parts::bitfield::Bitfield;
use storrent::parts::resume::{State, Storage, trusted};
use storrent::parts::wanted::Wanted;
use yours::Yours;

/// The sizes of a torrent of several files.
#[derive(Clone, Debug)]
pub(crate) struct Torrent {
    /// Bytes of every piece but the last.
    pub piece_length: u64,
    /// Bytes of each file, in order.
    pub files: Vec<u64>,
}

/// What the system says of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OnDisk {
    /// In bytes.
    pub size: u64,
    /// When it was last written to, in seconds since 1970.
    pub modified: u64,
}

/// What the last run that ended in order wrote down. Each piece in it was on the disk before.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Each file as it was then, `None` if it was not there yet.
    pub files: Vec<Option<OnDisk>>,
    /// For each piece, whether it was there.
    pub had: Vec<bool>,
}

/// What is known of a piece without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trust {
    Had,
    Missing,
    /// It must be read and hashed.
    Hash,
}

/// What you write.
pub(crate) trait Resume {
    /// Returns what is known of each piece, from the `record`, if there is one, and from the files
    /// as they are now.
    fn trust(torrent: &Torrent, record: Option<&Record>, files: &[Option<OnDisk>]) -> Vec<Trust>;
}

struct Blank;

impl Resume for Blank {
    fn trust(torrent: &Torrent, record: Option<&Record>, _: &[Option<OnDisk>]) -> Vec<Trust> {
        let pieces = torrent
            .files
            .iter()
            .sum::<u64>()
            .div_ceil(torrent.piece_length);
        let had = |piece: u64| record.is_some_and(|record| record.had[piece as usize]);
        let trust = |piece| {
            if had(piece) {
                Trust::Had
            } else {
                Trust::Missing
            }
        };
        (0..pieces).map(trust).collect()
    }
}

struct Real;

impl Resume for Real {
    /// Makes all of it on the disk, and asks storrent.
    fn trust(torrent: &Torrent, record: Option<&Record>, files: &[Option<OnDisk>]) -> Vec<Trust> {
        let dir = tempfile::tempdir().unwrap();
        let metainfo = metainfo(torrent);
        let open = || {
            let all = Wanted::all(&metainfo.layout);
            Storage::open(dir.path(), (&metainfo).into(), &all).unwrap()
        };
        if let Some(record) = record {
            let nothing = vec![None; files.len()];
            let (locked, _) = open().lock(&nothing, None).unwrap();
            let file = |file: &Option<OnDisk>| match file {
                Some(file) => (file.size, file.modified as i64 * 1_000_000_000),
                None => (0, 0),
            };
            let mut had = Bitfield::none(metainfo.layout.pieces());
            let pieces = metainfo.layout.all_pieces();
            let pieces = pieces.filter(|piece| record.had[piece.index()]);
            pieces.for_each(|piece| _ = had.insert(piece));
            let had = ByteBuf::from(had.as_bytes());
            let files = record.files.iter().map(file).collect();
            locked.write_state(None, State { files, had }).unwrap();
        }
        for (entry, file) in metainfo.files.iter().zip(files) {
            if let Some(file) = file {
                let path = dir.path().join(entry.path.join("/"));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let made = File::create(path).unwrap();
                made.set_len(file.size).unwrap();
                made.set_modified(UNIX_EPOCH + Duration::from_secs(file.modified))
                    .unwrap();
            }
        }
        let storage = open();
        let trusted = trusted(&storage, &storage.survey().unwrap());
        let trust = |piece| {
            if trusted.have.has(piece) {
                Trust::Had
            } else if trusted.unknown.has(piece) {
                Trust::Hash
            } else {
                Trust::Missing
            }
        };
        metainfo.layout.all_pieces().map(trust).collect()
    }
}

/// A torrent of these sizes, with hashes that nobody looks at.
fn metainfo(torrent: &Torrent) -> Metainfo {
    let file = |(number, len): (usize, &u64)| format!("d6:lengthi{len}e4:pathl1:{number}ee");
    let files: String = torrent.files.iter().enumerate().map(file).collect();
    let pieces = torrent
        .files
        .iter()
        .sum::<u64>()
        .div_ceil(torrent.piece_length);
    let hashes = "a".repeat(20 * pieces as usize);
    let length = torrent.piece_length;
    let info = format!(
        "d5:filesl{files}e4:name1:t12:piece lengthi{length}e6:pieces{}:{hashes}e",
        hashes.len()
    );
    metainfo::from_info(info.as_bytes()).unwrap()
}

use Trust::{Had, Hash, Missing};

/// Pieces 0 and 1 are in file 0, piece 2 is in both files, pieces 3 and 4 are in file 1.
fn torrent() -> Torrent {
    let (piece_length, files) = (20, vec![50, 50]);
    Torrent {
        piece_length,
        files,
    }
}

fn file(size: u64, modified: u64) -> Option<OnDisk> {
    Some(OnDisk { size, modified })
}

/// Both files were whole in size at second 1000; pieces 0, 2 and 4 were there.
fn record() -> Record {
    let had = [true, false, true, false, true].to_vec();
    let files = vec![file(50, 1000), file(50, 1000)];
    Record { files, had }
}

/// With [`record`] and the files as they are now.
fn now<R: Resume>(files: [Option<OnDisk>; 2], expected: [Trust; 5], hint: &str) -> Check {
    let input = format!("{:?}, {:?}, on disk {files:?}", torrent(), record());
    same(
        input,
        R::trust(&torrent(), Some(&record()), &files),
        expected.to_vec(),
        hint,
    )
}

lab!(killed_in_the_first_run killed_in_a_later_run somebody_else_wrote cut_or_gone a_record_that_lies);

fn killed_in_the_first_run<R: Resume>() -> Check {
    let hint = "no run ended in order, so nobody wrote down what is there: read it all";
    let files = [file(50, 1000), None];
    let input = format!("{:?}, no record, on disk {files:?}", torrent());
    same(
        input,
        R::trust(&torrent(), None, &files),
        vec![Hash; 5],
        hint,
    )
}

fn killed_in_a_later_run<R: Resume>() -> Check {
    let untouched = [Had, Missing, Had, Missing, Had];
    let hint = "nothing was written since the record: believe it, and read nothing";
    now::<R>([file(50, 1000), file(50, 1000)], untouched, hint)?;
    let hint = "file 1 was written to since; piece 2 has a part in it";
    now::<R>(
        [file(50, 1000), file(50, 2000)],
        [Had, Missing, Hash, Hash, Hash],
        hint,
    )
}

fn somebody_else_wrote<R: Resume>() -> Check {
    let hint = "a backup was put back: an older time is another time, too";
    now::<R>(
        [file(50, 500), file(50, 1000)],
        [Hash, Hash, Hash, Missing, Had],
        hint,
    )
}

fn cut_or_gone<R: Resume>() -> Check {
    let hint = "another size is a change, even with the same time";
    now::<R>(
        [file(49, 1000), file(50, 1000)],
        [Hash, Hash, Hash, Missing, Had],
        hint,
    )?;
    let hint = "a file that is gone is a change";
    now::<R>(
        [file(50, 1000), None],
        [Had, Missing, Hash, Hash, Hash],
        hint,
    )
}

fn a_record_that_lies<R: Resume>() -> Check {
    let mut record = record();
    record.files[1] = file(20, 1000);
    let files = [file(50, 1000), file(20, 1000)];
    let input = format!("{:?}, {record:?}, on disk {files:?}", torrent());
    let hint = "file 1 is as the record says, but too short for piece 4, which the record has: \
                hash what cannot be; piece 2 ends at byte 10 of it";
    let expected = vec![Had, Missing, Had, Missing, Hash];
    same(
        input,
        R::trust(&torrent(), Some(&record), &files),
        expected,
        hint,
    )
}
