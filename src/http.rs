//! The HTTP client that trackers and web seeds are asked with: `ureq`, and what it lacks.
//!
//! What it lacks is `--bind`: connections that begin at a given local address. But it
//! takes its connections from anybody who implements its two traits, so that is done
//! here; TLS comes on top of them.

use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::{Domain, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Weak};
use ureq::config::Config;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, RustlsConnector,
    ShutdownHandle, Transport,
};
use ureq::{Agent, Error};

/// What we call ourselves in a request.
pub const USER_AGENT: &str = concat!("storrent/", env!("CARGO_PKG_VERSION"));

/// A client that connects from the address `bind`, or from whichever the system takes.
/// With `bind` there can be no proxy.
pub fn agent(config: Config, bind: Option<IpAddr>) -> Agent {
    match bind {
        None => Agent::new_with_config(config),
        Some(ip) => Agent::with_parts(
            config,
            BoundTcp(ip).chain(RustlsConnector::default()),
            DefaultResolver::default(),
        ),
    }
}

/// Makes connections from this address.
#[derive(Debug)]
struct BoundTcp(IpAddr);

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

    /// Tries the first address of our kind only: a server that does not answer there
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
        let stream = Arc::new(self.dial(*to, details.timeout)?);
        let handle: Weak<TcpStream> = Arc::downgrade(&stream);
        (details.register_shutdown)(handle as Weak<dyn ShutdownHandle>)?;
        Ok(Some(BoundTransport {
            stream,
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
        }))
    }
}

/// A connection, as `ureq` drives it.
#[derive(Debug)]
struct BoundTransport {
    /// Shared with the agent, so that [`Agent::shutdown`] can end it.
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
}

impl Transport for BoundTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let limit = timeout.not_zero().map(|limit| *limit);
        self.stream.set_write_timeout(limit)?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        (&*self.stream)
            .write_all(output)
            .map_err(|error| timely(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let limit = timeout.not_zero().map(|limit| *limit);
        self.stream.set_read_timeout(limit)?;
        let read = (&*self.stream)
            .read(self.buffers.input_append_buf())
            .map_err(|error| timely(error, timeout))?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    /// Asked of a kept connection before it is used again: it is good as long as nothing
    /// is there to be read, not even an end.
    fn is_open(&mut self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = rustix::net::recv(&*self.stream, &mut [0; 1], flags);
        matches!(peeked, Err(Errno::AGAIN))
    }
}

/// An I/O error as `ureq` names it.
fn timely(error: io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}
