//! A peer's TCP stream, read and written with and without waiting.
//!
//! A blocking thread with one socket must never wait for ever on it: main may have
//! something to say. So each wait ends after [`TICK`], and "take what is there now"
//! is done by a flag of the single call (`MSG_DONTWAIT`): the stream itself stays blocking.
//!
//! `read_exact` and `write_all` lose count of their bytes when a wait ends, so they
//! are never used on a peer's stream: every call here says how far it came.

use super::error::PeerError;
use super::turn::{Patience, TICK};
use crate::door::sockets;
use crate::mse::Ciphers;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::TcpStream;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::AsRawFd;

/// A write that waits takes no more than this at once, so that it can end early.
const WAITING_WRITE: usize = 16 * 1024;

/// A connected stream whose waits are bounded.
#[derive(Debug)]
pub(crate) struct PeerSocket {
    stream: TcpStream,
    /// What the kernel was told last.
    patience: Patience,
    /// Of an obfuscated stream. Then all bytes to be sent are to be
    /// [sealed](PeerSocket::seal) first, each once.
    ciphers: Option<Box<Ciphers>>,
}

/// Whether to wait for room in the kernel's buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// What can't be taken now is left.
    No,
    /// Up to [`TICK`].
    Tick,
}

impl PeerSocket {
    /// Takes over a connected stream.
    ///
    /// # Errors
    /// [`PeerError::Io`], if the system refuses the options.
    pub(crate) fn new(stream: TcpStream) -> Result<Self, PeerError> {
        let set = || {
            stream.set_nodelay(true)?;
            sockets::keep_alive(&stream)?;
            stream.set_read_timeout(Some(TICK))?;
            stream.set_write_timeout(Some(TICK))
        };
        set().map_err(|source| PeerError::Io {
            during: "preparing the connection",
            source,
        })?;
        Ok(Self {
            stream,
            patience: Patience::Usual,
            ciphers: None,
        })
    }

    /// Reads what is there, without waiting. Returns 0 if nothing is.
    ///
    /// # Errors
    /// [`PeerError::HungUp`] at the end of the stream, [`PeerError::Io`].
    pub(crate) fn read_now(&mut self, buf: &mut [u8]) -> Result<usize, PeerError> {
        let read = rustix::net::recv(&self.stream, &mut *buf, RecvFlags::DONTWAIT);
        let count = received(read.map(|(count, _)| count).map_err(io::Error::from))?;
        Ok(self.opened(buf, count))
    }

    /// Waits for something to read. Returns 0 if nothing came.
    ///
    /// # Errors
    /// [`PeerError::HungUp`] at the end of the stream, [`PeerError::Io`].
    pub(crate) fn read_wait(
        &mut self,
        buf: &mut [u8],
        patience: Patience,
    ) -> Result<usize, PeerError> {
        let ready = self.set_patience(patience);
        let count = received(ready.and_then(|()| self.stream.read(buf)))?;
        Ok(self.opened(buf, count))
    }

    fn set_patience(&mut self, patience: Patience) -> io::Result<()> {
        let before = std::mem::replace(&mut self.patience, patience);
        if patience.time() != before.time() {
            self.stream.set_read_timeout(Some(patience.time()))?;
        }
        if patience.bytes() != before.bytes() {
            set_low_water(&self.stream, patience.bytes());
        }
        Ok(())
    }

    /// Opens the `count` bytes that came.
    fn opened(&mut self, buf: &mut [u8], count: usize) -> usize {
        if let Some(ciphers) = &mut self.ciphers {
            ciphers.theirs.apply(&mut buf[..count]);
        }
        count
    }

    /// From here on the stream is obfuscated, or is not.
    pub(crate) fn set_ciphers(&mut self, ciphers: Option<Ciphers>) {
        self.ciphers = ciphers.map(Box::new);
    }

    /// Whether the stream is obfuscated.
    pub(crate) fn is_sealed(&self) -> bool {
        self.ciphers.is_some()
    }

    /// Makes `bytes` ready to be sent, if the stream is obfuscated. They must be sent next,
    /// and be sealed but once, though they may have to be [written](PeerSocket::write) in
    /// several parts.
    pub(crate) fn seal(&mut self, bytes: &mut [u8]) {
        if let Some(ciphers) = &mut self.ciphers {
            ciphers.ours.apply(bytes);
        }
    }

    /// Hands over what the kernel takes; returns how much.
    ///
    /// # Errors
    /// [`PeerError::Io`].
    pub(crate) fn write(&mut self, bytes: &[u8], wait: Wait) -> Result<usize, PeerError> {
        self.write_parts(&[IoSlice::new(bytes)], wait)
    }

    /// Hands over what the kernel takes of `parts`, in order, as if they were one; returns
    /// how much.
    ///
    /// # Errors
    /// [`PeerError::Io`].
    pub(crate) fn write_parts(
        &mut self,
        parts: &[IoSlice<'_>],
        wait: Wait,
    ) -> Result<usize, PeerError> {
        let mut flags = SendFlags::NOSIGNAL;
        flags.set(SendFlags::DONTWAIT, wait == Wait::No);
        let start;
        let parts = match parts.first() {
            Some(first) if wait == Wait::Tick => {
                start = [IoSlice::new(&first[..first.len().min(WAITING_WRITE)])];
                &start
            }
            _ => parts,
        };
        let mut nothing = SendAncillaryBuffer::default();
        let sent = rustix::net::sendmsg(&self.stream, parts, &mut nothing, flags);
        waited(sent.map_err(io::Error::from), "writing")
    }
}

/// A read is to wait for `bytes` bytes. The kernel sees to it that the peer has room to send
/// them. If it refuses, the reads only are smaller.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(unsafe_code)]
fn set_low_water(stream: &TcpStream, bytes: usize) {
    let Ok(value) = libc::c_int::try_from(bytes) else {
        return;
    };
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the descriptor is open while `stream` is borrowed; and the kernel reads `len`
    // bytes where the pointer leads, which are those of `value`, and keeps none of them. No
    // crate that is at hand knows this option, but as a number.
    unsafe {
        let value = (&raw const value).cast();
        let fd = stream.as_raw_fd();
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVLOWAT, value, len);
    }
}

/// Elsewhere this was not tried.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_low_water(_: &TcpStream, _: usize) {}

fn received(result: io::Result<usize>) -> Result<usize, PeerError> {
    match result {
        Ok(0) => Err(PeerError::HungUp),
        other => waited(other, "reading"),
    }
}

/// A wait that came to its end is no error.
fn waited(result: io::Result<usize>, during: &'static str) -> Result<usize, PeerError> {
    match result {
        Err(e)
            if matches!(
                e.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
            ) =>
        {
            Ok(0)
        }
        other => other.map_err(|source| PeerError::Io { during, source }),
    }
}
