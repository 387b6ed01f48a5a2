//! Lab 7, your part. `README.md` beside this file is the page.

pub(crate) struct Yours;

impl super::Choice for Yours {
    fn choose(missing: &[bool], theirs: &[bool], swarm: &[Vec<bool>], lot: u64) -> Option<usize> {
        // Your code instead of the next line, which answers wrongly.
        super::Blank::choose(missing, theirs, swarm, lot)
    }
}
