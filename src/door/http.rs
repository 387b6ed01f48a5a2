//! The HTTP client that everything in this program asks web servers with: trackers, web
//! seeds, and a SOURCE that is a URL. It is `ureq`, and what that lacks.
//!
//! What it lacks is `--bind`: connections that begin at a given local address; and patience
//! with servers whose answers are [not quite well-formed](head). And it panics where the
//! system has no thread left for the look-up of a name, so names are looked up by [`resolve`].
//! It takes its connections from anybody who implements its two traits, so all of that is
//! done here: below is the socket, then comes TLS, and on top [what puts answers
//! right](mending).

pub mod head;
pub mod mending;
pub mod resolve;

use mending::Mending;
use resolve::Lookup;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Weak};
use std::time::Duration;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, LazyBuffers, NextTimeout,
    RustlsConnector, ShutdownHandle, Transport,
};
use ureq::{Agent, Error};

/// What we call ourselves in a request.
pub const USER_AGENT: &str = concat!("storrent/", env!("CARGO_PKG_VERSION"));

/// An HTTP client that behaves as `config` says, from the address `bind` if there is one.
/// It then uses no proxy: that one would go out from wherever it likes.
pub fn agent(config: ConfigBuilder<AgentScope>, bind: Option<IpAddr>) -> Agent {
    match bind {
        None => Agent::with_parts(
            config.build(),
            DefaultConnector::default().chain(Mending),
            Lookup,
        ),
        Some(ip) => Agent::with_parts(
            config.proxy(None).build(),
            BoundTcp(ip)
                .chain(RustlsConnector::default())
                .chain(Mending),
            Lookup,
        ),
    }
}

/// Makes connections from this address.
#[derive(Debug)]
struct BoundTcp(IpAddr);

impl BoundTcp {
    fn dial(&self, to: SocketAddr, limit: Option<Duration>) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.set_tcp_nodelay(true)?; // a TLS handshake is many small writes
        socket.bind(&SocketAddr::new(self.0, 0).into())?;
        match limit {
            Some(limit) => socket.connect_timeout(&to.into(), limit)?,
            None => socket.connect(&to.into())?,
        }
        Ok(socket.into())
    }
}

impl Connector for BoundTcp {
    type Out = BoundTransport;

    /// Tries the addresses of our kind in turn; each has its share of the time.
    fn connect(
        &self,
        details: &ConnectionDetails,
        _chained: Option<()>,
    ) -> Result<Option<BoundTransport>, Error> {
        let ours = |to: &&SocketAddr| to.is_ipv4() == self.0.is_ipv4();
        let count = details.addrs.iter().filter(ours).count() as u32;
        let limit = details.timeout.not_zero().map(|all| *all / count.max(1));
        let mut result = Err(Error::HostNotFound);
        for to in details.addrs.iter().filter(ours) {
            result = self
                .dial(*to, limit)
                .map_err(|error| timely(error, details.timeout));
            if result.is_ok() {
                break;
            }
        }
        let config = details.config;
        let transport = BoundTransport {
            stream: Arc::new(result?),
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
        };
        let stream: Weak<TcpStream> = Arc::downgrade(&transport.stream);
        (details.register_shutdown)(stream as Weak<dyn ShutdownHandle>)?;
        Ok(Some(transport))
    }
}

/// A connection, as `ureq` drives it.
#[derive(Debug)]
struct BoundTransport {
    /// `ureq` keeps another, weak hold of it, to end what is under way.
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

    /// Whether a kept connection can serve one more request: it has neither ended nor
    /// brought what nobody asked for.
    fn is_open(&mut self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = rustix::net::recv(&*self.stream, &mut [0; 1], flags);
        matches!(peeked, Err(Errno::AGAIN))
    }
}

/// An I/O error as `ureq` names it.
fn timely(error: io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{Receiver, unbounded};
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::thread;

    /// Linux has all of 127.0.0.0/8.
    const OURS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 7));

    /// A server that takes one connection only: it answers each request for `/` with the
    /// address that it came from, and others not at all. Also tells of each request.
    fn server() -> (String, Receiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, requests) = unbounded();
        thread::spawn(move || {
            let (stream, peer) = listener.accept().unwrap();
            let body = peer.ip().to_string();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}", body.len());
            for line in BufReader::new(&stream).lines().map_while(Result::ok) {
                if line.starts_with("GET / ") {
                    let _ = write!(&stream, "{head}\r\n\r\n{body}");
                }
                if line.is_empty() {
                    let _ = seen.send(());
                }
            }
        });
        (url, requests)
    }

    #[test]
    fn from_that_address_and_kept() {
        let (url, _) = server();
        let agent = agent(Agent::config_builder(), Some(OURS));
        for _ in 0..2 {
            let mut answer = agent.get(&url).call().unwrap();
            let text = answer.body_mut().read_to_string().unwrap();
            assert_eq!(text, OURS.to_string());
        }
    }

    #[test]
    fn silence_ends() {
        let (url, _) = server();
        let limit = Some(Duration::from_millis(50));
        let agent = agent(Agent::config_builder().timeout_per_read(limit), Some(OURS));
        let error = agent.get(format!("{url}/silence")).call().unwrap_err();
        assert!(matches!(error, Error::Timeout(_)), "{error}");
    }

    #[test]
    fn a_request_can_be_ended_from_outside() {
        let (url, requests) = server();
        let agent = agent(Agent::config_builder(), Some(OURS));
        let asking = agent.clone();
        let request = thread::spawn(move || asking.get(format!("{url}/silence")).call());
        requests.recv().unwrap();
        agent.shutdown();
        assert!(request.join().unwrap().is_err());
    }

    #[test]
    fn an_address_of_the_other_kind_is_none() {
        let agent = agent(Agent::config_builder(), Some("::1".parse().unwrap()));
        let error = agent.get("http://127.0.0.1:9/").call().unwrap_err();
        assert!(matches!(error, Error::HostNotFound), "{error}");
    }
}
