//! A peer's TCP stream, which we read and write with and without waiting.
//!
//! A peer's thread must never wait on its socket for ever, because main may have a command for it.
//! So each wait ends after a [`TICK`] at the latest. A call that must not wait at all carries a
//! flag (`MSG_DONTWAIT`); the stream itself stays in blocking mode.
//!
//! `read_exact` and `write_all` lose count of their bytes when a wait ends early, so we never use
//! them here. Every call returns how many bytes it moved.

use super::error::PeerError;
use super::turn::{Patience, TICK};
use super::unsent::{self, Unsent};
use crate::door::sockets;
use crate::mse::Ciphers;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
#[cfg(any(target_os = "linux", target_os = "android"))]
use socket2::SockRef;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::TcpStream;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// The most bytes of a write that waits, so that it can end early.
const WAITING_WRITE: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct PeerSocket {
    stream: TcpStream,
    /// How long the kernel lets a read wait, and for how many bytes.
    waits: (Duration, usize),
    /// How many bytes the kernel may hold before it has sent them.
    unsent: Unsent,
    /// Set if the stream is obfuscated. Then each byte must be [sealed](PeerSocket::seal) once
    /// before we send it.
    ciphers: Option<Box<Ciphers>>,
}

/// Whether a write waits for room in the kernel's buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// It takes only what fits now.
    No,
    /// It waits up to a [`TICK`].
    Tick,
}

impl PeerSocket {
    /// Takes over a connected stream.
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
        let socket = Self {
            stream,
            waits: (TICK, 1),
            unsent: Unsent::new(Instant::now()),
            ciphers: None,
        };
        socket.set_most_unsent(unsent::LEAST);
        Ok(socket)
    }

    /// Reads what is there, without waiting. Returns 0 if nothing is there.
    ///
    /// # Errors
    /// [`PeerError::HungUp`] at the end of the stream, [`PeerError::Io`].
    pub(crate) fn read_now(&mut self, buf: &mut [u8]) -> Result<usize, PeerError> {
        let read = rustix::net::recv(&self.stream, &mut *buf, RecvFlags::DONTWAIT);
        let count = received(read.map(|(count, _)| count).map_err(io::Error::from))?;
        Ok(self.opened(buf, count))
    }

    /// Waits for bytes and reads them. Returns 0 if none came. Fewer than `least` bytes do not end
    /// the wait early.
    ///
    /// # Errors
    /// [`PeerError::HungUp`] at the end of the stream, [`PeerError::Io`].
    pub(crate) fn read_wait(
        &mut self,
        buf: &mut [u8],
        patience: Patience,
        least: usize,
    ) -> Result<usize, PeerError> {
        let bytes = patience.bytes().max(least.min(buf.len()));
        let ready = self.set_waits(patience.time(), bytes);
        let count = received(ready.and_then(|()| self.stream.read(buf)))?;
        Ok(self.opened(buf, count))
    }

    fn set_waits(&mut self, time: Duration, bytes: usize) -> io::Result<()> {
        let before = std::mem::replace(&mut self.waits, (time, bytes));
        if time != before.0 {
            self.stream.set_read_timeout(Some(time))?;
        }
        if bytes != before.1 {
            set_low_water(&self.stream, bytes);
        }
        Ok(())
    }

    /// Lets the kernel hold as much of what we send as it sends in a moment.
    pub(crate) fn on_tick(&mut self, now: Instant) {
        if let Some(bytes) = self.unsent.on_tick(now) {
            self.set_most_unsent(bytes);
        }
    }

    /// Has the kernel take no more while it holds `bytes` bytes that it has not sent: see
    /// [`unsent`]. If the kernel refuses the option, our messages only wait longer.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn set_most_unsent(&self, bytes: u32) {
        _ = SockRef::from(&self.stream).set_tcp_notsent_lowat(bytes);
    }

    /// Not offered on other systems.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn set_most_unsent(&self, _: u32) {}

    /// Deciphers the `count` bytes that came.
    fn opened(&mut self, buf: &mut [u8], count: usize) -> usize {
        if let Some(ciphers) = &mut self.ciphers {
            ciphers.theirs.apply(&mut buf[..count]);
        }
        count
    }

    /// Sets whether the stream is obfuscated from here on.
    pub(crate) fn set_ciphers(&mut self, ciphers: Option<Ciphers>) {
        self.ciphers = ciphers.map(Box::new);
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.ciphers.is_some()
    }

    /// Enciphers `bytes`, if the stream is obfuscated. They must be the next bytes sent, and be
    /// sealed only once, even if sending takes several [writes](PeerSocket::write).
    pub(crate) fn seal(&mut self, bytes: &mut [u8]) {
        if let Some(ciphers) = &mut self.ciphers {
            ciphers.ours.apply(bytes);
        }
    }

    /// Hands the kernel what it takes of `bytes`. Returns the number of bytes taken.
    pub(crate) fn write(&mut self, bytes: &[u8], wait: Wait) -> Result<usize, PeerError> {
        self.write_parts(&[IoSlice::new(bytes)], wait)
    }

    /// Hands the kernel what it takes of `parts`, in order. Returns the number of bytes taken. A
    /// peer that is gone is an error: Rust's runtime ignores the signal, SIGPIPE.
    pub(crate) fn write_parts(
        &mut self,
        parts: &[IoSlice<'_>],
        wait: Wait,
    ) -> Result<usize, PeerError> {
        let mut flags = SendFlags::empty();
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
        let taken = waited(sent.map_err(io::Error::from), "writing")?;
        self.unsent.on_taken(taken);
        Ok(taken)
    }
}

/// Makes reads wait for `bytes` bytes. The kernel gives the peer room to send them. If the kernel
/// refuses the option, reads are only smaller.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(unsafe_code)]
fn set_low_water(stream: &TcpStream, bytes: usize) {
    let Ok(value) = libc::c_int::try_from(bytes) else {
        return;
    };
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the descriptor is open while `stream` is borrowed. The kernel reads `len` bytes at
    // the pointer, which are the bytes of `value`, and keeps none of them. No crate that we use
    // offers this option except as a number.
    unsafe {
        let value = (&raw const value).cast();
        let fd = stream.as_raw_fd();
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVLOWAT, value, len);
    }
}

/// Not tested on other systems.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_low_water(_: &TcpStream, _: usize) {}

fn received(result: io::Result<usize>) -> Result<usize, PeerError> {
    match result {
        Ok(0) => Err(PeerError::HungUp),
        other => waited(other, "reading"),
    }
}

/// Treats the end of a wait as 0 bytes.
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

#[cfg(any(target_os = "linux", target_os = "android"))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::BLOCK_LEN;
    use std::net::TcpListener;

    /// Writes blocks until the kernel takes no more. Returns how many bytes it took.
    fn fill(socket: &mut PeerSocket) -> usize {
        let block = vec![0; BLOCK_LEN as usize];
        let mut all = 0;
        loop {
            match socket.write(&block, Wait::No).unwrap() {
                0 => return all,
                taken => all += taken,
            }
        }
    }

    /// A message that we write now leaves after all that the kernel holds.
    #[test]
    fn the_kernel_holds_little_for_a_peer_that_reads_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let small = SockRef::from(&listener).set_recv_buffer_size(BLOCK_LEN as usize);
        small.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _peer = listener.accept().unwrap();
        let mut socket = PeerSocket::new(stream).unwrap();
        // The peer's buffer, the bound, and one packet of up to 64 KiB beyond it.
        let held = fill(&mut socket);
        assert!(held <= 256 << 10, "{held} bytes wait for a slow peer");
        socket.set_most_unsent(1 << 20);
        let more = fill(&mut socket);
        assert!(more >= 512 << 10, "only {more} bytes wait for a fast one");
    }
}
