//! The bytes exchanged with a proxy before it connects us: SOCKS 5 ([RFC 1928], with a password
//! [RFC 1929]) and HTTP's `CONNECT` ([RFC 9110], section 9.3.6). No I/O.
//!
//! ```text
//! SOCKS 5:  we: methods   proxy: the one to use   (we: password   proxy: right)
//!           we: connect to HOST:PORT              proxy: done, from this address
//! HTTP:     we: CONNECT HOST:PORT, a head         proxy: a head with status 200
//! ```
//!
//! After that, every byte on the connection comes from the target or goes to it, so an [`Asking`]
//! never reads beyond the proxy's answer. [`tunnel`](super::tunnel) sends and receives the bytes.
//!
//! [RFC 1928]: https://www.rfc-editor.org/rfc/rfc1928
//! [RFC 1929]: https://www.rfc-editor.org/rfc/rfc1929
//! [RFC 9110]: https://www.rfc-editor.org/rfc/rfc9110

use super::Target;
use crate::human::escaped;
use crate::proxy::{Proxy, ProxyKind};
use std::io::ErrorKind;
use std::net::IpAddr;

/// The longest head of an HTTP proxy's answer, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// How many characters of an HTTP proxy's status line are shown.
const MAX_STATUS: usize = 80;

const VERSION: u8 = 5;
const PASSWORD_VERSION: u8 = 1;
const NO_LOGIN: u8 = 0;
const BY_PASSWORD: u8 = 2;

/// Why a proxy does not do what we asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// It requires a name and a password, and the user gave none.
    #[error("wants a user name and a password; give them in its URL, scheme://USER:PASSWORD@…")]
    NoLogin,
    /// It does not accept our name and password.
    #[error("refuses the user name or the password")]
    Login,
    /// It does not speak this protocol.
    #[error("does not answer as a proxy of this kind does")]
    Foreign,
    /// Its rules forbid the connection. Contains what it said.
    #[error("refuses to connect there ({0})")]
    Rules(String),
    /// It failed to connect to the target. Contains the reason.
    #[error("says: {1}")]
    Peer(ErrorKind, String),
}

/// What to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// Read at most this many bytes (never 0), and [pass them on](Asking::take).
    Read(usize),
    /// Send these bytes, then take the next [step](Asking::step).
    Send(Vec<u8>),
    /// Done: the proxy has connected us to the target. Without a target: the proxy accepts us.
    Open,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Begin,
    Method,
    Password,
    Connected,
    Head,
    Done,
}

/// One conversation with a proxy, from the first byte until the target is connected.
#[derive(Debug)]
pub struct Asking<'a> {
    proxy: &'a Proxy,
    target: Option<&'a Target>,
    stage: Stage,
    /// The bytes of the proxy's current answer received so far.
    came: Vec<u8>,
}

impl<'a> Asking<'a> {
    /// Asks `proxy` to connect to `target`. `None`: only checks whether the proxy accepts us.
    pub fn new(proxy: &'a Proxy, target: Option<&'a Target>) -> Self {
        Self {
            proxy,
            target,
            stage: Stage::Begin,
            came: Vec::new(),
        }
    }

    /// Whether the proxy has been told the target, and may itself be waiting for it.
    pub fn is_about_target(&self) -> bool {
        self.target.is_some() && matches!(self.stage, Stage::Connected | Stage::Head)
    }

    /// Whether the proxy speaks HTTP.
    pub fn is_http(&self) -> bool {
        self.proxy.kind == ProxyKind::Http
    }

    /// Takes bytes from the proxy, at most as many as [`Next::Read`] named.
    pub fn take(&mut self, bytes: &[u8]) {
        self.came.extend_from_slice(bytes);
    }

    /// Returns what to do now.
    ///
    /// # Errors
    /// [`Refusal`], if the proxy refuses or answers nonsense.
    pub fn step(&mut self) -> Result<Next, Refusal> {
        match self.stage {
            Stage::Begin => Ok(self.begin()),
            Stage::Method => self.on_method(),
            Stage::Password => self.on_password(),
            Stage::Connected => self.on_connected(),
            Stage::Head => self.on_head(),
            Stage::Done => Ok(Next::Open),
        }
    }

    fn begin(&mut self) -> Next {
        match self.proxy.kind {
            ProxyKind::Socks5 => {
                self.stage = Stage::Method;
                Next::Send(match self.proxy.login {
                    None => vec![VERSION, 1, NO_LOGIN],
                    Some(_) => vec![VERSION, 2, NO_LOGIN, BY_PASSWORD],
                })
            }
            ProxyKind::Http => {
                self.stage = Stage::Head;
                Next::Send(self.head())
            }
        }
    }

    fn on_method(&mut self) -> Result<Next, Refusal> {
        let [version, method] = match self.came[..] {
            [version, method, ..] => [version, method],
            _ => return Ok(Next::Read(2 - self.came.len())),
        };
        match (version, method, &self.proxy.login) {
            (VERSION, NO_LOGIN, _) => Ok(self.connect()),
            (VERSION, BY_PASSWORD, Some((user, password))) => {
                let mut packet = vec![PASSWORD_VERSION];
                for text in [user, password] {
                    packet.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
                    packet.extend(text.iter().take(u8::MAX.into()));
                }
                self.go_on(Stage::Password);
                Ok(Next::Send(packet))
            }
            (VERSION, 0xff, None) => Err(Refusal::NoLogin),
            (VERSION, 0xff, Some(_)) => Err(Refusal::Login),
            _ => Err(Refusal::Foreign),
        }
    }

    fn on_password(&mut self) -> Result<Next, Refusal> {
        match self.came[..] {
            // RFC 1929 demands version 1; some proxies send 5.
            [_, 0, ..] => Ok(self.connect()),
            [_, _, ..] => Err(Refusal::Login),
            _ => Ok(Next::Read(2 - self.came.len())),
        }
    }

    /// Requests a connection to the target. Without a target we are done.
    fn connect(&mut self) -> Next {
        let Some(target) = self.target else {
            self.stage = Stage::Done;
            return Next::Open;
        };
        self.go_on(Stage::Connected);
        let mut packet = vec![VERSION, 1, 0];
        let port = match target {
            Target::Addr(addr) => {
                match addr.ip() {
                    IpAddr::V4(ip) => {
                        packet.push(1);
                        packet.extend(ip.octets());
                    }
                    IpAddr::V6(ip) => {
                        packet.push(4);
                        packet.extend(ip.octets());
                    }
                }
                addr.port()
            }
            Target::Name(name) => {
                let host = name.host.as_bytes();
                packet.extend([3, u8::try_from(host.len()).unwrap_or(u8::MAX)]);
                packet.extend(host.iter().take(u8::MAX.into()));
                name.port
            }
        };
        packet.extend(port.to_be_bytes());
        Next::Send(packet)
    }

    fn on_connected(&mut self) -> Result<Next, Refusal> {
        let came = self.came.len();
        let wanted = |len: usize| Ok(Next::Read(len - came));
        match self.came[..] {
            [] | [VERSION] => return wanted(2),
            [VERSION, 0] => return wanted(5),
            [VERSION, 0, ..] => {}
            // Some proxies send nothing after the code of a refusal.
            [VERSION, why, ..] => return Err(refused(why)),
            _ => return Err(Refusal::Foreign),
        }
        // We don't need the local address of the proxy's connection.
        let len = match self.came[2..] {
            [_, 1, _, ..] => 4 + 4 + 2,
            [_, 4, _, ..] => 4 + 16 + 2,
            [_, 3, len, ..] => 4 + 1 + usize::from(len) + 2,
            [_, _, _, ..] => return Err(Refusal::Foreign),
            _ => return wanted(5),
        };
        if came < len {
            return wanted(len);
        }
        self.stage = Stage::Done;
        Ok(Next::Open)
    }

    /// Writes the request to an HTTP proxy. Without a target it asks the proxy which methods it
    /// supports, and (`Max-Forwards: 0`) not to forward the question.
    fn head(&self) -> Vec<u8> {
        let mut head = match self.target {
            Some(target) => format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"),
            None => format!(
                "OPTIONS * HTTP/1.1\r\nHost: {}\r\nMax-Forwards: 0\r\nConnection: close\r\n",
                self.proxy.authority()
            ),
        };
        head += &authorization(self.proxy);
        head += "\r\n";
        head.into_bytes()
    }

    fn on_head(&mut self) -> Result<Next, Refusal> {
        let head = &self.came;
        let starts = head.iter().zip(b"HTTP/1.").all(|(a, b)| a == b);
        if !starts || head.len() > MAX_HEAD {
            return Err(Refusal::Foreign);
        }
        if !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
            return Ok(Next::Read(1));
        }
        let head = String::from_utf8_lossy(head);
        let line = head.lines().next().unwrap_or_default();
        let (_, status) = line.split_once(' ').unwrap_or_default();
        let shown = escaped(&status.chars().take(MAX_STATUS).collect::<String>());
        let peer = |kind| Err(Refusal::Peer(kind, shown.clone()));
        let code = status.get(..3).and_then(|digits| digits.parse().ok());
        match code.unwrap_or(0) {
            // Status 401 is for web servers, but tinyproxy sends it for a wrong password.
            401 | 407 if self.proxy.login.is_none() => return Err(Refusal::NoLogin),
            401 | 407 => return Err(Refusal::Login),
            0..100 => return Err(Refusal::Foreign),
            // An interim answer: the final one follows.
            100..200 => {
                self.came.clear();
                return Ok(Next::Read(1));
            }
            _ if self.target.is_none() => {}
            200..300 => {}
            504 => return peer(ErrorKind::TimedOut),
            500 | 502 | 503 => return peer(ErrorKind::Other),
            _ => return Err(Refusal::Rules(shown)),
        }
        self.stage = Stage::Done;
        Ok(Next::Open)
    }

    fn go_on(&mut self, stage: Stage) {
        self.stage = stage;
        self.came.clear();
    }
}

/// Translates a SOCKS 5 reply code other than 0 (success).
fn refused(why: u8) -> Refusal {
    let (kind, text) = match why {
        2 => return Refusal::Rules("not allowed by its rules".into()),
        3 => (ErrorKind::NetworkUnreachable, "network unreachable"),
        4 => (ErrorKind::HostUnreachable, "host unreachable"),
        5 => (ErrorKind::ConnectionRefused, "connection refused"),
        6 => (ErrorKind::TimedOut, "too far away"),
        7 => return Refusal::Rules("it knows no CONNECT".into()),
        8 => (ErrorKind::Unsupported, "no addresses of this kind"),
        _ => (ErrorKind::Other, "it failed"),
    };
    Refusal::Peer(kind, text.into())
}

/// Returns the header line that gives an HTTP proxy our name and password; empty if we have none.
pub fn authorization(proxy: &Proxy) -> String {
    let login = proxy.login.as_ref();
    login.map_or_else(String::new, |(user, password)| {
        format!("Proxy-Authorization: {}\r\n", basic(user, password))
    })
}

/// Name and password in the form that HTTP servers and proxies take (RFC 7617).
pub fn basic(user: &[u8], password: &[u8]) -> String {
    format!("Basic {}", base64(&[user, b":", password].concat()))
}

/// Base64 (RFC 4648), with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(match digit <= group.len() {
                true => char::from(DIGITS[value as usize]),
                false => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests;
