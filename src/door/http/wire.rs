//! The bottom of the HTTP client: a TCP connection to the server, or to a proxy that leads there,
//! from the address of `--bind`.
//!
//! For an `https://` URL we send an HTTP proxy a CONNECT. For an `http://` URL we send it the
//! request itself, with the whole URL in the first line, because many proxies allow CONNECT to port
//! 443 only. `ureq` writes only the path there; a [`Preface`] completes the line.

use super::Barred;
use super::resolve;
use super::rules::Rules;
use crate::door::{DialError, Target, ask, tunnel};
use crate::proxy::{Proxy, ProxyKind};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use ureq::Error;
use ureq::http::Uri;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};

/// Connects as the rules say.
#[derive(Debug)]
pub struct Dial(pub Arc<Rules>);

impl Connector for Dial {
    type Out = Wire;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _chained: Option<()>,
    ) -> Result<Option<Wire>, Error> {
        let config = details.config;
        let wire = |stream: TcpStream, preface| -> Result<Wire, Error> {
            let wire = Wire {
                stream: Arc::new(stream),
                buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
                preface,
                begins: true,
            };
            // From here on the connection can be interrupted from outside.
            let stream: Weak<TcpStream> = Arc::downgrade(&wire.stream);
            (details.register_shutdown)(stream as Weak<dyn ShutdownHandle>)?;
            Ok(wire)
        };
        let limit = details.timeout.not_zero().map(|limit| *limit);
        let deadline = Instant::now() + limit.unwrap_or(tunnel::ANSWER);
        let timely = |error| timely(error, details.timeout);
        let Some(proxy) = self.0.proxy(details.uri)? else {
            let stream = self.dial(&details.addrs, deadline);
            return wire(stream.map_err(|error| timely(error.into()))?, None).map(Some);
        };
        let failed = |error| match error {
            DialError::Io(error) => timely(error),
            DialError::NoWay(why) | DialError::Barred(why) => Barred::Proxy(why).into(),
        };
        let addresses = resolve::of_proxy(&proxy, &self.0, details)?;
        let stream = self.dial(&addresses, deadline);
        let stream = stream.map_err(|error| failed(tunnel::unreached(&proxy, error)))?;
        if proxy.kind == ProxyKind::Http && !details.needs_tls() {
            return wire(stream, Some(Preface::new(&proxy, details.uri))).map(Some);
        }
        let wire = wire(stream, None)?;
        let (host, port) = host_and_port(details.uri);
        let to = Target::new(host, port).ok_or(Error::HostNotFound)?;
        tunnel::lead(&wire.stream, &proxy, Some(&to), deadline, &|| true).map_err(failed)?;
        Ok(Some(wire))
    }
}

impl Dial {
    /// Tries the addresses in turn. Each gets half of the remaining time, the last one all of it.
    fn dial(&self, addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, DialError> {
        let mut result = Err(io::Error::from(ErrorKind::NotFound).into());
        for (i, to) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = if i + 1 == addresses.len() { 1 } else { 2 };
            let limit = (left / share).max(SHORTEST);
            result = self.0.door.connect_directly(*to, limit);
            if let Ok(stream) = &result {
                stream.set_nodelay(true)?; // a TLS handshake is many small writes
                break;
            }
        }
        result
    }
}

/// The shortest time limit for one address: the system refuses 0.
const SHORTEST: Duration = Duration::from_millis(1);

/// Returns the host (an IPv6 address without brackets) and the port of a URL.
pub fn host_and_port(uri: &Uri) -> (&str, u16) {
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let usual = if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    (bare, uri.port_u16().unwrap_or(usual))
}

/// What a request to an HTTP proxy needs in addition.
#[derive(Debug)]
struct Preface {
    /// Goes in front of the path in the first line: `http://host:port`.
    origin: String,
    /// The header line with our name and password; may be empty.
    authorization: String,
}

impl Preface {
    fn new(proxy: &Proxy, uri: &Uri) -> Self {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        Self {
            origin: format!("http://{authority}"),
            authorization: ask::authorization(proxy),
        }
    }

    /// Adds both to the beginning of a request (`GET /path HTTP/1.1`).
    fn put_into(&self, request: &[u8]) -> Vec<u8> {
        let path = request.iter().position(|byte| *byte == b' ');
        let end = request.iter().position(|byte| *byte == b'\n');
        let (path, end) = (path.map_or(0, |at| at + 1), end.map_or(0, |at| at + 1));
        let (method, rest) = request.split_at(path);
        let (line, rest) = rest.split_at(end.saturating_sub(path));
        let origin = self.origin.as_bytes();
        [method, origin, line, self.authorization.as_bytes(), rest].concat()
    }
}

/// A connection, as `ureq` drives it.
#[derive(Debug)]
pub struct Wire {
    /// `ureq` holds a weak reference to it, to interrupt what is in progress.
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
    preface: Option<Preface>,
    /// Whether the next bytes that we send begin a request.
    begins: bool,
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let limit = timeout.not_zero().map(|limit| *limit);
        self.stream.set_write_timeout(limit)?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        let begins = std::mem::replace(&mut self.begins, false);
        let sent = match self.preface.as_ref().filter(|_| begins) {
            Some(preface) => (&*self.stream).write_all(&preface.put_into(output)),
            None => (&*self.stream).write_all(output),
        };
        sent.map_err(|error| timely(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let limit = timeout.not_zero().map(|limit| *limit);
        self.stream.set_read_timeout(limit)?;
        self.begins = true;
        let read = loop {
            match (&*self.stream).read(self.buffers.input_append_buf()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(|error| timely(error, timeout))?,
            }
        };
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    /// Whether a kept connection can serve one more request: it is open, and nothing has arrived
    /// unasked. A connection on which an HTTP proxy answers is never reused: some proxies
    /// (tinyproxy) drop a server's `Connection: close`, and hang up a moment after the answer.
    fn is_open(&mut self) -> bool {
        if self.preface.is_some() {
            return false;
        }
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = rustix::net::recv(&*self.stream, &mut [0; 1], flags);
        matches!(peeked, Err(Errno::AGAIN))
    }
}

fn timely(error: io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_a_proxy() {
        let proxy = "http://u:p@p:1".parse().unwrap();
        let preface = Preface::new(&proxy, &"http://h:81/a?b".parse().unwrap());
        let request = preface.put_into(b"GET /a?b HTTP/1.1\r\nhost: h:81\r\n\r\n");
        assert_eq!(
            String::from_utf8(request).unwrap(),
            "GET http://h:81/a?b HTTP/1.1\r\nProxy-Authorization: Basic dTpw\r\nhost: h:81\r\n\r\n"
        );
    }
}
