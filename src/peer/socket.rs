//! A peer's TCP stream, read and written with and without waiting.
//!
//! A blocking thread with one socket must never wait for ever on it: main may have
//! something to say. So each wait ends after [`TICK`], and "take what is there now"
//! is done by a flag of the single call (`MSG_DONTWAIT`): the stream itself stays
//! blocking, and no call is spent on switching it.
//!
//! `read_exact` and `write_all` lose count of their bytes when a wait ends, so they
//! are never used on a peer's stream: every call here says how far it came.

use super::error::PeerError;
use rustix::net::{RecvFlags, SendFlags};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// The longest that a peer thread sleeps on anything.
pub const TICK: Duration = Duration::from_millis(100);

/// A write that waits takes no more than this at once, so that it can end early.
const WAITING_WRITE: usize = 16 * 1024;

/// A connected stream whose waits are bounded.
#[derive(Debug)]
pub struct PeerSocket {
    stream: TcpStream,
}

impl PeerSocket {
    /// Connects to `addr`, from the local address `bind` if one is given.
    ///
    /// # Errors
    /// [`PeerError::Io`], if nobody answers within `timeout`.
    pub fn dial(
        addr: SocketAddr,
        bind: Option<IpAddr>,
        timeout: Duration,
    ) -> Result<Self, PeerError> {
        let during = |source| PeerError::Io {
            during: "connecting",
            source,
        };
        let domain = socket2::Domain::for_address(addr);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).map_err(during)?;
        if let Some(ip) = bind.filter(|ip| ip.is_ipv4() == addr.is_ipv4()) {
            socket
                .bind(&SocketAddr::new(ip, 0).into())
                .map_err(during)?;
        }
        socket
            .connect_timeout(&addr.into(), timeout)
            .map_err(during)?;
        Self::new(socket.into())
    }

    /// Takes over a connected stream.
    ///
    /// # Errors
    /// [`PeerError::Io`], if the system refuses the options.
    pub fn new(stream: TcpStream) -> Result<Self, PeerError> {
        let set = || {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(TICK))?;
            stream.set_write_timeout(Some(TICK))
        };
        set().map_err(|source| PeerError::Io {
            during: "preparing the connection",
            source,
        })?;
        Ok(Self { stream })
    }

    /// The other end's address.
    ///
    /// # Errors
    /// [`PeerError::Io`], if it is gone already.
    pub fn peer_addr(&self) -> Result<SocketAddr, PeerError> {
        self.stream.peer_addr().map_err(|source| PeerError::Io {
            during: "asking for its address",
            source,
        })
    }

    /// Reads what is there, without waiting. Returns 0 if nothing is.
    ///
    /// # Errors
    /// [`PeerError::HungUp`] at the end of the stream, [`PeerError::Io`].
    pub fn read_now(&mut self, buf: &mut [u8]) -> Result<usize, PeerError> {
        let read = rustix::net::recv(&self.stream, buf, RecvFlags::DONTWAIT);
        received(read.map(|(count, _)| count).map_err(io::Error::from))
    }

    /// Waits up to [`TICK`] for something to read. Returns 0 if nothing came.
    ///
    /// # Errors
    /// [`PeerError::HungUp`] at the end of the stream, [`PeerError::Io`].
    pub fn read_wait(&mut self, buf: &mut [u8]) -> Result<usize, PeerError> {
        received(self.stream.read(buf))
    }

    /// Hands over what the kernel takes without waiting; returns how much.
    ///
    /// # Errors
    /// [`PeerError::Io`].
    pub fn write_now(&mut self, bytes: &[u8]) -> Result<usize, PeerError> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        sent(rustix::net::send(&self.stream, bytes, flags).map_err(io::Error::from))
    }

    /// Waits up to [`TICK`] for the kernel to take some; returns how much.
    ///
    /// # Errors
    /// [`PeerError::Io`].
    pub fn write_wait(&mut self, bytes: &[u8]) -> Result<usize, PeerError> {
        sent(self.stream.write(&bytes[..bytes.len().min(WAITING_WRITE)]))
    }
}

fn received(result: io::Result<usize>) -> Result<usize, PeerError> {
    match result {
        Ok(0) => Err(PeerError::HungUp),
        other => waited(other, "reading"),
    }
}

fn sent(result: io::Result<usize>) -> Result<usize, PeerError> {
    waited(result, "writing")
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
