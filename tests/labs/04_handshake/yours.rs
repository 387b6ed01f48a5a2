//! Lab 4, your part. `README.md` beside this file is the page.

use super::{Blank, Heard, Hello};

pub(crate) struct Yours;

// Your code instead of the line in each function, which answers wrongly.
impl super::Shake for Yours {
    fn write(hello: &Hello) -> Vec<u8> {
        Blank::write(hello)
    }

    fn read(bytes: &[u8]) -> Heard {
        Blank::read(bytes)
    }

    fn extensions(reserved: [u8; 8]) -> (bool, bool) {
        Blank::extensions(reserved)
    }
}
