//! Lab 2: the info hash, a torrent's name (BEP 3). `README.md` beside this file is the page.

mod yours;

use crate::frame::{Check, hex, lab, same, sha1, shown};
use storrent::metainfo;
use yours::Yours;

/// What you write.
pub(crate) trait Name {
    /// Returns the SHA-1 of the value of `info` in the outermost dictionary, if there is one.
    fn info_hash(torrent: &[u8]) -> Option<[u8; 20]>;
}

struct Blank;

impl Name for Blank {
    fn info_hash(_: &[u8]) -> Option<[u8; 20]> {
        Some([0; 20])
    }
}

struct Real;

impl Name for Real {
    fn info_hash(torrent: &[u8]) -> Option<[u8; 20]> {
        let torrent = metainfo::parse(torrent).ok()?;
        Some(torrent.info_hash.0)
    }
}

/// A sound description of one file of 5 bytes.
const INFO: &[u8] = b"d6:lengthi5e4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";

/// The info hash of `before`, `info` and `after`, put together, should be that of `info`.
fn named<N: Name>(before: &[u8], info: &[u8], after: &[u8], hint: &str) -> Check {
    let torrent = [before, info, after].concat();
    let yours = N::info_hash(&torrent).map(|hash| hex(&hash));
    same(shown(&torrent), yours, Some(hex(&sha1(info))), hint)
}

lab!(the_letter exact_bytes false_trails after_the_info no_info);

fn the_letter<N: Name>() -> Check {
    let torrent = include_bytes!("../../../fixtures/letter.torrent");
    let yours = N::info_hash(torrent).map(|hash| hex(&hash));
    let expected = Some("ff5c84180a9641b62212d463683f512a2eb2fc77".to_owned());
    let hint = "hash the value of `info`, from its `d` to its `e`, without the key";
    same("fixtures/letter.torrent", yours, expected, hint)
}

fn exact_bytes<N: Name>() -> Check {
    let hint = "whoever decodes `info` and writes it anew, sorted or without strange keys, hashes \
                other bytes";
    let unsorted = b"d4:name1:x6:lengthi5e6:pieces20:aaaaaaaaaaaaaaaaaaaa12:piece lengthi16384ee";
    named::<N>(b"d4:info", unsorted, b"e", hint)?;
    let strange = [&INFO[..INFO.len() - 1], b"7:strangei1ee"].concat();
    named::<N>(b"d4:info", &strange, b"e", hint)
}

fn false_trails<N: Name>() -> Check {
    let hint = "`4:info` may stand in a comment, or in a dictionary that is not the outermost";
    named::<N>(b"d7:comment13:4:infod1:ai1e4:info", INFO, b"e", hint)?;
    named::<N>(b"d7:azureusd4:infod1:ai1eee4:info", INFO, b"e", hint)?;
    named::<N>(b"d3:bad4:info4:info", INFO, b"e", hint)
}

fn after_the_info<N: Name>() -> Check {
    let hint = "more keys may follow; the value ends with its own `e`";
    named::<N>(
        b"d4:info",
        INFO,
        b"8:url-list21:http://example.org/dee",
        hint,
    )
}

fn no_info<N: Name>() -> Check {
    let cases: [(&[u8], &str); 4] = [
        (b"d8:announce3:urle", "there is no `info`"),
        (b"l4:infodee", "the outermost value is a list"),
        (b"", "there is nothing"),
        (b"d4:infod6:lengthi5e", "the file is cut short"),
    ];
    for (torrent, hint) in cases {
        same(shown(torrent), N::info_hash(torrent), None, hint)?;
    }
    Ok(())
}
