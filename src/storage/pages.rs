//! A buffer that begins at a page of memory: the checker and blocks on their way to a peer are
//! read into it.

use std::ops::{Deref, DerefMut, Range};

/// In bytes.
const PAGE: usize = 4096;

/// Bytes to read files into, zeros at first. They begin at a page of memory, like the page cache
/// that the system copies from. With equal alignment some processors copy four times as fast: an
/// AMD EPYC read and hashed 4 GiB in 0.74 s (1.5 s of CPU), with any other alignment in 1.39 s (2.8
/// s). Only pages that were used take memory.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    /// Never grows, so it never moves.
    bytes: Vec<u8>,
    aligned: Range<usize>,
}

impl Pages {
    pub(crate) fn new(len: usize) -> Self {
        let bytes = vec![0; len + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        let aligned = start..start + len;
        Self { bytes, aligned }
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.aligned.clone()]
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.aligned.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_a_page_and_has_the_length_asked_for() {
        for len in [0, 1, PAGE, 3 * PAGE + 5] {
            let mut pages = Pages::new(len);
            assert_eq!(pages.len(), len);
            assert_eq!(pages.as_ptr().addr() % PAGE, 0);
            pages.fill(7);
        }
        assert!(Pages::default().is_empty());
    }
}
