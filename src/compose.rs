//! Making a torrent: from the names, sizes and hashes of some files to the bytes of a `.torrent`.
//!
//! This is the pure part of `storrent create` ([BEP 3]; [BEP 12] for several trackers, [BEP 19] for
//! web seeds, [BEP 27] for `private`). [`crate::metainfo`] shows the format and reads it.
//!
//! The info hash is taken over `info`, so nothing that changes from run to run may be in there: no
//! date, no version of the program. Bencode has only one way to write a value, so the same files
//! get the same hash everywhere.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 12]: https://www.bittorrent.org/beps/bep_0012.html
//! [BEP 19]: https://www.bittorrent.org/beps/bep_0019.html
//! [BEP 27]: https://www.bittorrent.org/beps/bep_0027.html

use crate::bencode;
use serde::Serialize;
use serde_bytes::Bytes;
use std::collections::BTreeMap;

/// The smallest piece length that [`choose_piece_length`] returns: one block.
const MIN_PIECE_LENGTH: u64 = 16 << 10;

/// The largest piece length that [`choose_piece_length`] returns. A peer can share a piece only
/// when it has all of it, so larger pieces make a swarm slow to start.
const MAX_PIECE_LENGTH: u64 = 16 << 20;

/// The contents of `info`, which decide the info hash.
#[derive(Clone, Debug)]
pub struct Info<'a> {
    /// The name of the file, or of the folder.
    pub name: &'a str,
    /// The files.
    pub content: Content<'a>,
    /// Bytes of each piece but the last.
    pub piece_length: u32,
    /// The SHA-1s of all pieces in order, 20 bytes each.
    pub hashes: &'a [u8],
    /// Whether peers may come from the torrent's trackers only.
    pub private: bool,
}

/// One file, or a folder of them.
#[derive(Clone, Debug)]
pub enum Content<'a> {
    /// The size of the one file, in bytes.
    File(u64),
    /// The path below the folder and the bytes of each file, in the order of hashing.
    Folder(&'a [(Vec<String>, u64)]),
}

/// The keys around `info`, which do not affect the info hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outside<'a> {
    /// Trackers by tier.
    pub trackers: &'a [Vec<String>],
    /// Web servers that also have the files.
    pub webseeds: &'a [String],
    /// A remark of the torrent's maker.
    pub comment: Option<&'a str>,
    /// Seconds since 1970.
    pub creation_date: Option<i64>,
}

/// Returns the piece length for a torrent of `total` bytes: a power of two from 16 KiB to 16 MiB
/// that makes 1,000 to 2,000 pieces, if one does. With fewer pieces, peers wait long until they
/// have one to share; more make a large `.torrent`.
pub(crate) fn choose_piece_length(total: u64) -> u32 {
    let length = total
        .div_ceil(2_048)
        .clamp(MIN_PIECE_LENGTH, MAX_PIECE_LENGTH);
    length.next_power_of_two() as u32
}

/// Returns the bytes of a `.torrent`.
pub fn torrent(info: &Info, outside: Outside) -> Vec<u8> {
    #[derive(Serialize)]
    struct Keys<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        files: Option<Vec<File<'a>>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        length: Option<u64>,
        name: &'a str,
        #[serde(rename = "piece length")]
        piece_length: u32,
        pieces: &'a Bytes,
        #[serde(skip_serializing_if = "Option::is_none")]
        private: Option<u8>,
    }
    #[derive(Serialize)]
    struct File<'a> {
        length: u64,
        path: &'a [String],
    }
    let (length, files) = match info.content {
        Content::File(length) => (Some(length), None),
        Content::Folder(files) => {
            let files = files.iter().map(|(path, length)| File {
                length: *length,
                path,
            });
            (None, Some(files.collect()))
        }
    };
    let info = bencode::encode(&Keys {
        files,
        length,
        name: info.name,
        piece_length: info.piece_length,
        pieces: Bytes::new(info.hashes),
        private: info.private.then_some(1),
    });
    rewrap(&info, outside)
}

/// Returns the bytes of a `.torrent` around an existing `info` dictionary, such as one from peers.
/// `info` is copied byte by byte, so the info hash stays.
pub fn rewrap(info: &[u8], outside: Outside) -> Vec<u8> {
    // A `BTreeMap` sorts by key, as bencode demands.
    let mut keys = BTreeMap::from([("info", info.to_vec())]);
    if let Some(first) = outside.trackers.iter().flatten().next() {
        keys.insert("announce", bencode::encode(first));
    }
    if outside.trackers.iter().flatten().count() > 1 {
        keys.insert("announce-list", bencode::encode(&outside.trackers));
    }
    if !outside.webseeds.is_empty() {
        keys.insert("url-list", bencode::encode(&outside.webseeds));
    }
    if let Some(comment) = outside.comment {
        keys.insert("comment", bencode::encode(&comment));
    }
    if let Some(date) = outside.creation_date {
        keys.insert("creation date", bencode::encode(&date));
    }
    let program = concat!("storrent ", env!("CARGO_PKG_VERSION"));
    keys.insert("created by", bencode::encode(&program));

    let mut bytes = vec![b'd'];
    for (key, value) in keys {
        bytes.extend(bencode::encode(&key));
        bytes.extend(value);
    }
    bytes.push(b'e');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha1::{Digest, Sha1};

    fn hashes(data: &[u8], piece_length: usize) -> Vec<u8> {
        data.chunks(piece_length).flat_map(Sha1::digest).collect()
    }

    #[test]
    fn the_same_bytes_as_another_program_wrote() {
        let content = include_bytes!("../fixtures/content/letter.txt");
        let info = Info {
            name: "letter.txt",
            content: Content::File(content.len() as u64),
            piece_length: 128,
            hashes: &hashes(content, 128),
            private: false,
        };
        let outside = Outside {
            trackers: &[vec!["http://tracker.example/announce".to_owned()]],
            comment: Some("made for the tests"),
            creation_date: Some(1_700_000_000),
            ..Outside::default()
        };
        let written = torrent(&info, outside);
        let fixture = include_bytes!("../fixtures/letter.torrent");
        let ours = concat!("10:created by14:storrent ", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            String::from_utf8_lossy(&written).replace(ours, ""),
            String::from_utf8_lossy(fixture)
        );
    }

    #[test]
    fn keys_around_info_are_sorted_and_info_stays() {
        let tier = |url: &str| vec![url.to_owned()];
        let outside = Outside {
            trackers: &[tier("a"), tier("b")],
            webseeds: &tier("w"),
            comment: Some("c"),
            creation_date: Some(1),
        };
        let ours = concat!("10:created by14:storrent ", env!("CARGO_PKG_VERSION"));
        let expected = format!(
            "d8:announce1:a13:announce-listll1:ael1:bee7:comment1:c{ours}13:creation datei1e\
             4:infod1:bi1e1:ai2ee8:url-listl1:wee"
        );
        let written = rewrap(b"d1:bi1e1:ai2ee", outside);
        assert_eq!(String::from_utf8_lossy(&written), expected);
    }

    #[test]
    fn piece_lengths() {
        const GIB: u64 = 1 << 30;
        for (total, expected) in [
            (0, 16 << 10),
            (1, 16 << 10),
            (32 << 20, 16 << 10),
            ((32 << 20) + 1, 32 << 10),
            (GIB, 512 << 10),
            (20 * GIB, 16 << 20),
            (u64::MAX, 16 << 20),
        ] {
            assert_eq!(choose_piece_length(total), expected, "{total}");
        }
    }
}
