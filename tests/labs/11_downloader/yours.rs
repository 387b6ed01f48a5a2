//! Lab 11, your part. `README.md` beside this file is the page. Begin with a copy of `plain.rs`:
//!
//! ```text
//! cp tests/labs/11_downloader/plain.rs tests/labs/11_downloader/yours.rs
//! ```

/// Downloads what `torrent`, the bytes of a `.torrent`, describes.
pub(crate) fn download(torrent: &[u8]) -> Result<Vec<u8>, String> {
    super::plain::download(torrent)
}
