//! Connects to a peer, with `--proxy` through the proxy. The HTTP client makes its own connections,
//! and is [led](lead) through a proxy in the same way.
//!
//! The caller is the thread of a peer or of an HTTP request. Its connection may become unwanted
//! while a proxy is silent, so no single wait for a proxy's answer exceeds 100 ms.
//! [`ask`](super::ask) has the bytes that we exchange with a proxy.

use super::ask::{Asking, Next, Refusal};
use super::{DialError, Door, Target};
use crate::proxy::Proxy;
use crate::setting::Setting;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the other end may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a proxy may take to answer, including its own connecting to the target.
pub const ANSWER: Duration = Duration::from_secs(15);

/// The pauses between the attempts to reach the proxy at the start.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// The longest single wait for a proxy's answer.
const TICK: Duration = Duration::from_millis(100);

impl Door {
    /// Connects to a peer, through the proxy if there is one. While a proxy is silent, `wanted`
    /// is called every 100 ms; once it returns false, the attempt ends.
    ///
    /// # Errors
    /// [`DialError`]. With a proxy there is never a direct attempt.
    pub fn dial(&self, to: &Target, wanted: &dyn Fn() -> bool) -> Result<TcpStream, DialError> {
        match (&self.proxy, to) {
            (Some(proxy), _) => self.through(proxy, Some(to), wanted),
            (None, Target::Addr(addr)) => self.connect(*addr, CONNECT),
            (None, Target::Name(_)) => Err(io::Error::from(ErrorKind::Unsupported).into()),
        }
    }

    /// Checks at the start that the proxy, if there is one, accepts us. Tries three times, with
    /// pauses of 1 s and 2 s.
    ///
    /// # Errors
    /// Why the last attempt failed, and what to do, if all three fail.
    pub fn find_proxy(&self) -> Result<(), String> {
        for pause in PAUSES {
            if self.try_proxy().is_ok() {
                return Ok(());
            }
            sleep(pause);
        }
        let advised = |why| format!("{why}; give another {}, or try again later", Setting::Proxy);
        self.try_proxy().map_err(advised)
    }

    fn try_proxy(&self) -> Result<(), DialError> {
        let Some(proxy) = &self.proxy else {
            return Ok(());
        };
        self.through(proxy, None, &|| true).map(drop)
    }

    fn through(
        &self,
        proxy: &Proxy,
        to: Option<&Target>,
        wanted: &dyn Fn() -> bool,
    ) -> Result<TcpStream, DialError> {
        let stream = self
            .to_proxy(proxy)
            .map_err(|error| unreached(proxy, error))?;
        lead(&stream, proxy, to, Instant::now() + ANSWER, wanted)?;
        Ok(stream)
    }

    /// Connects to the proxy itself, whose name we look up.
    fn to_proxy(&self, proxy: &Proxy) -> Result<TcpStream, DialError> {
        let found = self.look_up_directly((&*proxy.host, proxy.port))?;
        let each = CONNECT / u32::try_from(found.len().max(1)).unwrap_or(u32::MAX);
        let mut failed = DialError::Io(ErrorKind::NotFound.into());
        for addr in found {
            match self.connect_directly(addr, each) {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

/// Turns an I/O error on the way to the proxy into [`DialError::NoWay`].
pub fn unreached(proxy: &Proxy, error: DialError) -> DialError {
    match error {
        DialError::Io(error) => {
            DialError::NoWay(format!("the proxy {proxy} can't be reached: {error}"))
        }
        other => other,
    }
}

/// Asks `proxy`, over a connection to it, to connect to `to`; with `None`, only checks whether the
/// proxy accepts us. Gives up at `deadline`, or once `wanted` (called every 100 ms) returns false.
/// All bytes read afterwards come from `to`.
///
/// # Errors
/// [`DialError`]. The connection is then useless.
pub fn lead(
    stream: &TcpStream,
    proxy: &Proxy,
    to: Option<&Target>,
    deadline: Instant,
    wanted: &dyn Fn() -> bool,
) -> Result<(), DialError> {
    let no_way = |why: &dyn std::fmt::Display| DialError::NoWay(format!("the proxy {proxy} {why}"));
    let mut asking = Asking::new(proxy, to);
    match converse(stream, &mut asking, deadline, wanted) {
        Ok(()) => Ok(()),
        Err(Trouble::Refused(refusal @ Refusal::Rules(_))) => {
            Err(DialError::Barred(format!("the proxy {proxy} {refusal}")))
        }
        Err(Trouble::Refused(Refusal::Peer(kind, text))) => {
            let text = format!("the proxy {proxy} says: {text}");
            Err(io::Error::new(kind, text).into())
        }
        Err(Trouble::Refused(refusal)) => Err(no_way(&refusal)),
        Err(Trouble::Io(error)) if asking.is_about_target() => Err(error.into()),
        // An HTTP proxy may not know our `OPTIONS` request. It is there, which is enough.
        Err(Trouble::Io(_)) if to.is_none() && asking.is_http() => Ok(()),
        Err(Trouble::Io(error)) => Err(no_way(&format!("does not answer: {error}"))),
    }
}

enum Trouble {
    Refused(Refusal),
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn converse(
    mut stream: &TcpStream,
    asking: &mut Asking<'_>,
    deadline: Instant,
    wanted: &dyn Fn() -> bool,
) -> Result<(), Trouble> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TICK))?;
    // All that we write fits into the send buffer of a new connection.
    stream.set_write_timeout(Some(ANSWER))?;
    let mut buffer = [0; 512];
    loop {
        match asking.step().map_err(Trouble::Refused)? {
            Next::Open => return Ok(()),
            Next::Send(bytes) => stream.write_all(&bytes)?,
            Next::Read(most) => {
                let most = most.min(buffer.len());
                match stream.read(&mut buffer[..most]) {
                    Ok(0) => {
                        return Err(io::Error::new(ErrorKind::UnexpectedEof, "it hung up").into());
                    }
                    Ok(count) => asking.take(&buffer[..count]),
                    Err(error) if is_wait(&error) => {}
                    Err(error) => return Err(error.into()),
                }
                if Instant::now() >= deadline || !wanted() {
                    return Err(io::Error::from(ErrorKind::TimedOut).into());
                }
            }
        }
    }
}

fn is_wait(error: &io::Error) -> bool {
    use ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}
