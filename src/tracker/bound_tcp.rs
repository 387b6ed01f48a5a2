//! HTTP over connections that begin at a given local address (`--bind`).
//!
//! `ureq` has no such option, but takes its connections from anybody who implements
//! its two traits; TLS comes on top of them.

use socket2::{Domain, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Makes connections from this address.
#[derive(Debug)]
pub struct BoundTcp(pub IpAddr);

impl BoundTcp {
    fn dial(&self, to: SocketAddr, timeout: NextTimeout) -> Result<TcpStream, Error> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.set_tcp_nodelay(true)?; // a TLS handshake is many small writes
        socket.bind(&SocketAddr::new(self.0, 0).into())?;
        match timeout.not_zero() {
            Some(limit) => socket.connect_timeout(&to.into(), *limit),
            None => socket.connect(&to.into()),
        }
        .map_err(|error| timely(error, timeout))?;
        Ok(socket.into())
    }
}

impl Connector for BoundTcp {
    type Out = BoundTransport;

    /// Tries the first address of our kind only: a tracker that does not answer there
    /// is asked again later, and its name then gives another one first.
    fn connect(
        &self,
        details: &ConnectionDetails,
        _chained: Option<()>,
    ) -> Result<Option<BoundTransport>, Error> {
        let to = details
            .addrs
            .iter()
            .find(|to| to.is_ipv4() == self.0.is_ipv4())
            .ok_or(Error::HostNotFound)?;
        let config = details.config;
        Ok(Some(BoundTransport {
            stream: self.dial(*to, details.timeout)?,
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
        }))
    }
}

/// A connection, as `ureq` drives it.
#[derive(Debug)]
pub struct BoundTransport {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Transport for BoundTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let limit = timeout.not_zero().map(|limit| *limit);
        self.stream.set_write_timeout(limit)?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream
            .write_all(output)
            .map_err(|error| timely(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let limit = timeout.not_zero().map(|limit| *limit);
        self.stream.set_read_timeout(limit)?;
        let read = self
            .stream
            .read(self.buffers.input_append_buf())
            .map_err(|error| timely(error, timeout))?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    /// Asked only of kept connections, and we keep none.
    fn is_open(&mut self) -> bool {
        false
    }
}

/// An I/O error as `ureq` names it.
fn timely(error: io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}
