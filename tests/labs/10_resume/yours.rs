//! Lab 10, your part. `README.md` beside this file is the page.

use super::{OnDisk, Record, Torrent, Trust};

pub(crate) struct Yours;

impl super::Resume for Yours {
    fn trust(torrent: &Torrent, record: Option<&Record>, files: &[Option<OnDisk>]) -> Vec<Trust> {
        // Your code instead of the next line, which answers wrongly.
        super::Blank::trust(torrent, record, files)
    }
}
