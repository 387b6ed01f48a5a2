//! A proxy's address and protocol: `--proxy URL`, or the environment's. No I/O.
//!
//! ```text
//! socks5://user:p%40ss@proxy.example:1080
//! kind     login       host          port
//! ```
//!
//! The [`door`](crate::door) decides which traffic goes through it.

use crate::url;
use std::fmt;
use std::str::FromStr;

/// The protocol that a proxy speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyKind {
    /// SOCKS 5 (RFC 1928): `socks5://` and `socks5h://`. The proxy looks names up.
    Socks5,
    /// HTTP: `CONNECT host:port` for any connection, `GET http://…` for a plain request.
    Http,
}

/// Where a proxy is, and how we log in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proxy {
    /// Its protocol.
    pub kind: ProxyKind,
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// Name and password, decoded, if the proxy needs them.
    pub login: Option<url::Login>,
}

/// Why a text names no usable proxy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// A scheme that we don't support.
    #[error("a proxy of the kind {0:?} can't be used; give socks5://, socks5h:// or http://")]
    Kind(String),
    /// No host, or an invalid port.
    #[error("it names no host and port; give it as socks5://HOST:PORT")]
    Address,
    /// A name or password above 255 bytes: RFC 1929 has one byte for each length.
    #[error("its user name and password may have at most 255 bytes each")]
    Login,
}

impl FromStr for Proxy {
    type Err = ProxyError;

    /// Reads `scheme://[user[:password]@]host[:port][/]`. The default port is 1080 for SOCKS,
    /// 80 for `http`.
    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let (bare, login) = url::without_login(text);
        let (scheme, rest) = bare.split_once("://").ok_or(ProxyError::Address)?;
        let (kind, usual_port) = match scheme.to_ascii_lowercase().as_str() {
            "socks5" | "socks5h" => (ProxyKind::Socks5, 1080),
            "http" => (ProxyKind::Http, 80),
            _ => return Err(ProxyError::Kind(scheme.to_owned())),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) || text.contains(' ') {
            return Err(ProxyError::Address);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => v6.split_once(']').ok_or(ProxyError::Address)?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => digits.parse().map_err(|_| ProxyError::Address)?,
            None if port.is_empty() => usual_port,
            None => return Err(ProxyError::Address),
        };
        if host.is_empty() || port == 0 {
            return Err(ProxyError::Address);
        }
        let fits = |bytes: &[u8]| bytes.len() <= 255;
        if login
            .as_ref()
            .is_some_and(|(user, word)| !fits(user) || !fits(word))
        {
            return Err(ProxyError::Login);
        }
        Ok(Self {
            kind,
            host: host.to_owned(),
            port,
            login,
        })
    }
}

impl Proxy {
    /// `HOST:PORT` as in a URL, with an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Proxy {
    /// Writes the URL without name and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ProxyKind::Socks5 => "socks5",
            ProxyKind::Http => "http",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_a_proxy() {
        let cases = [
            ("socks5://p:1", "socks5://p:1"),
            ("SOCKS5H://10.0.0.1", "socks5://10.0.0.1:1080"),
            ("http://user:p%40ss@[::1]:3128/", "http://[::1]:3128"),
            ("http://p", "http://p:80"),
        ];
        for (text, shown) in cases {
            let proxy: Proxy = text.parse().unwrap();
            assert_eq!(proxy.to_string(), shown, "{text}");
        }
        let login = "http://us%3Aer:p%40ss@h".parse::<Proxy>().unwrap().login;
        assert_eq!(login, Some((b"us:er".to_vec(), b"p@ss".to_vec())));
        let long = format!("socks5://{}@h", "u".repeat(256));
        let wrong = [
            ("p:1", ProxyError::Address),
            ("socks4://p:1", ProxyError::Kind("socks4".into())),
            ("https://p:1", ProxyError::Kind("https".into())),
            ("http://p:0", ProxyError::Address),
            ("http://p:x", ProxyError::Address),
            ("http://:1", ProxyError::Address),
            ("http://u:a b@p:1", ProxyError::Address),
            ("http://u/a@p:1", ProxyError::Address),
            ("http://p:1/path", ProxyError::Address),
            (&long, ProxyError::Login),
        ];
        for (text, why) in wrong {
            assert_eq!(text.parse::<Proxy>(), Err(why), "{text}");
        }
    }
}
