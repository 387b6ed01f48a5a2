//! Lab 8, your part. `README.md` beside this file is the page.

use super::Candidate;
use std::collections::BTreeSet;

/// Give it what it must remember from one round to the next.
pub(crate) struct Yours {
    blank: super::Blank,
}

// Your code instead of the line in each function, which answers wrongly.
impl super::Choking for Yours {
    fn new(seed: u64) -> Self {
        let blank = super::Blank::new(seed);
        Self { blank }
    }

    fn round(&mut self, candidates: &[Candidate], places: usize) -> BTreeSet<u32> {
        self.blank.round(candidates, places)
    }
}
