//! The door to the network: the one module that opens sockets and HTTP agents.
//!
//! Everybody who wants to talk to somebody out there comes here: peers, trackers, the DHT,
//! local discovery, web seeds, a SOURCE that is a URL. The door is made once from the options
//! and never changes. It answers one question: may we talk to this, and from where, and
//! through what? So no room can forget `--bind` or `--proxy`.
//!
//! What it knows is here; [`sockets`] opens them, [`tunnel`] goes through the proxy, and
//! [`http`] asks web servers.

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

/// From where, and through what, this program talks to others. Made once, then only read.
#[derive(Clone, Debug, Default)]
pub struct Door {
    /// `--bind`: the local address of all sockets; nothing of the other address family is
    /// used. `None`: every interface.
    pub bind: Option<IpAddr>,
    /// `--proxy`: all TCP goes through it, and nothing goes around it.
    pub proxy: Option<Proxy>,
    /// The environment's proxies: for HTTP alone, and only without `--proxy`.
    pub environment: Environment,
}

impl Door {
    /// The proxy through which an HTTP or HTTPS URL is asked for; `None`: directly.
    /// `--proxy` overrules the environment, `no_proxy` included.
    ///
    /// # Errors
    /// [`BadProxy`], if the environment names one that can't be used.
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

    /// A door without a proxy, whose sockets begin at `ip`.
    pub fn at(ip: impl Into<IpAddr>) -> Self {
        Self {
            bind: Some(ip.into()),
            ..Self::default()
        }
    }

    /// Whether an address may be talked to, as far as its family goes: see
    /// [`bind`](Door::bind).
    pub fn may_reach(&self, ip: IpAddr) -> bool {
        let bind = self.bind.map(|bind| bind.to_canonical());
        bind.is_none_or(|bind| bind.is_ipv4() == ip.to_canonical().is_ipv4())
    }
}

/// Whom to connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// An address.
    Addr(SocketAddr),
    /// A name, for the proxy to look up.
    Name(Name),
}

impl Target {
    /// From a host (an IPv6 address without brackets) and a port. `None` if `host` can't be
    /// one.
    pub fn new(host: &str, port: u16) -> Option<Self> {
        match host.parse::<IpAddr>() {
            Ok(ip) => Some(Self::Addr((ip, port).into())),
            Err(_) => Name::new(&format!("{host}:{port}")).map(Self::Name),
        }
    }
}

/// The name of a host, and a port. It becomes part of what we send to a proxy, so it holds
/// nothing by which somebody could add lines of his own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    host: String,
    port: u16,
}

impl Name {
    /// Reads `HOST:PORT`. `None` if the host has blanks, control characters, what separates
    /// the parts of a URL, or more than 255 bytes; or if the port is none.
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
    /// We can reach nobody just now, because the address of `--bind` or the proxy is gone, as
    /// this says. The other end is not at fault.
    #[error("{0}")]
    NoWay(String),
    /// The proxy won't connect to this one.
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
