//! Lab 5, your part. `README.md` beside this file is the page.

use super::Message;

/// Give it what it must remember from one call to the next.
#[derive(Default)]
pub(crate) struct Yours {
    blank: super::Blank,
}

impl super::Stream for Yours {
    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Message>, String> {
        // Your code instead of the next line, which answers wrongly.
        self.blank.feed(bytes)
    }
}
