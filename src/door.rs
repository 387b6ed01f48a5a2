//! The door to the network: the only module that opens sockets and HTTP agents.
//!
//! All traffic goes through it: peers, trackers, the DHT, local discovery, web seeds, and a SOURCE
//! that is a URL. It is made once from the command line's options and never changes. For each
//! connection it answers three questions: may we connect there, from which local address, and
//! through which proxy? So no other module can forget `--bind` or `--proxy`.
//!
//! This file holds the settings. [`sockets`] opens the sockets, [`tunnel`] connects through the
//! proxy, and [`http`] is the HTTP client.

pub mod ask;
pub mod environment;
pub mod http;
pub mod names;
pub mod sockets;
pub mod tunnel;

use crate::proxy::Proxy;
use environment::{BadProxy, Environment};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use ureq::http::Uri;

/// The local address and the proxies that this program uses.
#[derive(Clone, Debug, Default)]
pub struct Door {
    /// `--bind`: the local address of every socket. The other address family is then not used.
    /// `None`: every interface.
    pub bind: Option<IpAddr>,
    /// `--proxy`: all TCP goes through it, and nothing bypasses it.
    pub proxy: Option<Proxy>,
    /// The environment's proxies. They hold for HTTP only, and only without `--proxy`.
    pub environment: Environment,
}

impl Door {
    /// Returns the proxy for an HTTP or HTTPS URL, or `None` for a direct connection. `--proxy`
    /// overrules the environment, including `no_proxy`.
    ///
    /// # Errors
    /// [`BadProxy`], if the environment names a proxy that can't be used.
    pub fn http_proxy(&self, uri: &Uri) -> Result<Option<Proxy>, BadProxy> {
        match &self.proxy {
            Some(proxy) => Ok(Some(proxy.clone())),
            None => {
                let host = uri.host().unwrap_or_default();
                let is_https = uri.scheme_str() == Some("https");
                self.environment.proxy_for(host, is_https)
            }
        }
    }

    /// A door without a proxy, with all sockets bound to `ip`.
    pub fn at(ip: impl Into<IpAddr>) -> Self {
        Self {
            bind: Some(ip.into()),
            ..Self::default()
        }
    }

    /// Whether [`bind`](Door::bind) allows the address family of `ip`.
    pub fn may_reach(&self, ip: IpAddr) -> bool {
        let bind = self.bind.map(|bind| bind.to_canonical());
        bind.is_none_or(|bind| bind.is_ipv4() == ip.to_canonical().is_ipv4())
    }
}

/// The other end of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// An address.
    Addr(SocketAddr),
    /// A host name and a port. The proxy looks the name up.
    Name(Name),
}

impl Target {
    /// Makes a target of a host (an IPv6 address without brackets) and a port. `None` if `host`
    /// is neither an address nor a valid name.
    pub fn new(host: &str, port: u16) -> Option<Self> {
        match host.parse::<IpAddr>() {
            Ok(ip) => Some(Self::Addr((ip, port).into())),
            Err(_) => Name::new(&format!("{host}:{port}")).map(Self::Name),
        }
    }
}

/// A host name and a port. Both become part of what we send to a proxy, so the name must not
/// contain characters by which its author could add lines of his own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    host: String,
    port: u16,
}

impl Name {
    /// Reads `HOST:PORT`. `None` if the host is empty, has more than 255 bytes, or contains
    /// whitespace, control characters or separators of URLs; or if the port is not a number from 1
    /// to 65535.
    pub fn new(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let fits = |c: char| !(c.is_control() || c.is_whitespace() || "[]/@:?#\\".contains(c));
        let clean = !host.is_empty() && host.len() <= 255 && host.chars().all(fits);
        let port = port.parse().ok().filter(|port| *port > 0)?;
        clean.then(|| Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addr(addr) => addr.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// No target can be reached at the moment: this machine has lost the address of `--bind`, or
    /// the proxy fails. The text says which.
    #[error("{0}")]
    NoWay(String),
    /// The proxy refuses to connect to this target.
    #[error("{0}")]
    Barred(String),
    /// Any other reason.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<DialError> for io::Error {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Io(error) => error,
            DialError::NoWay(_) => Self::new(io::ErrorKind::AddrNotAvailable, error),
            DialError::Barred(_) => Self::other(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_clean() {
        for good in ["a:1", "peer.example:65535", "bücher.example:80"] {
            assert_eq!(Name::new(good).unwrap().to_string(), good);
        }
        let long = format!("{}:1", "a".repeat(256));
        let bad = [
            "", "a", ":1", "a:0", "a:65536", "a:x", "a b:1", "a\r\nX:1", "a/b:1", "u@a:1",
            "[::1]:1", "::1:1", "a\0:1", &long,
        ];
        for bad in bad {
            assert_eq!(Name::new(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn one_family_with_bind() {
        let door = |ip: &str| Door::at(ip.parse::<IpAddr>().unwrap());
        let cases = [
            ("10.0.0.1", "1.2.3.4", true),
            ("10.0.0.1", "::ffff:1.2.3.4", true),
            ("10.0.0.1", "2001:db8::1", false),
            ("fd00::1", "2001:db8::1", true),
            ("fd00::1", "1.2.3.4", false),
            ("fd00::1", "::ffff:1.2.3.4", false),
        ];
        for (bind, to, may) in cases {
            assert_eq!(
                door(bind).may_reach(to.parse().unwrap()),
                may,
                "{bind} {to}"
            );
            assert!(Door::default().may_reach(to.parse().unwrap()));
        }
    }
}
