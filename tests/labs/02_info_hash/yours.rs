//! Lab 2, your part. `README.md` beside this file is the page.

// `crate::frame::sha1(bytes)` is the SHA-1 of `bytes`.

pub(crate) struct Yours;

impl super::Name for Yours {
    fn info_hash(torrent: &[u8]) -> Option<[u8; 20]> {
        // Your code instead of the next line, which answers wrongly.
        super::Blank::info_hash(torrent)
    }
}
