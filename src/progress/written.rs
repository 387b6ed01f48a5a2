//! Writes to stdout and stderr, for the threads of [`super::output`] and for all other output.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io::{self, Write};
use std::os::fd::AsFd;

/// Writes without a buffer, so a written line can be read at once.
///
/// Another program that shares the stream may have made it non-blocking. "Would block" would cut
/// lines in two, so this waits for the reader all the same.
pub(crate) struct Written<F>(pub F);

impl<F: AsFd> Write for Written<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(&self.0, bytes) {
                Err(Errno::AGAIN) => _ = poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None)?,
                result => return Ok(result?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<F: AsFd> Written<F> {
    /// Writes a line with one call, so that no other writer of the stream gets between. A closed
    /// stream is no error: the download matters more.
    pub(crate) fn line(&mut self, text: &str) {
        let _ = self.write_all(format!("{text}\n").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::thread;

    #[test]
    fn a_stream_that_does_not_block_is_waited_for() {
        let (mut reader, writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let text = "0123456789".repeat(100_000);
        let expected = text.clone() + "\n";
        let writer = thread::spawn(move || Written(writer).line(&text));
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert!(read == expected, "{} bytes came", read.len());
        writer.join().unwrap();
    }

    #[test]
    fn a_reader_that_is_gone_is_no_panic() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        Written(writer).line("x");
    }
}
