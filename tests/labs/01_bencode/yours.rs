//! Lab 1, your part. `README.md` beside this file is the page.

use super::Value;

pub(crate) struct Yours;

impl super::Bencode for Yours {
    fn decode(bytes: &[u8]) -> Result<Value, String> {
        // Your code instead of the next line, which answers wrongly.
        super::Blank::decode(bytes)
    }
}
