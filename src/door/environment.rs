//! The proxies that the environment names, read as curl reads them. No I/O except one look at
//! the environment at the start.
//!
//! ```text
//! http_proxy=http://user:word@10.0.0.1:3128     for http:// URLs; lower case only: any client
//!                                               of a CGI script can set its HTTP_PROXY
//! https_proxy, HTTPS_PROXY                      for https:// URLs
//! all_proxy, ALL_PROXY=socks5h://10.0.0.1       for URLs that the variables above leave out
//! no_proxy, NO_PROXY="example.org 10.0.0.0/8"   hosts that are asked without a proxy
//! ```
//!
//! They apply to HTTP only: trackers, web seeds, and SOURCEs that are URLs. If the environment
//! names a proxy that can't be used, the request fails: the user wanted to avoid a direct one.

use crate::proxy::{Proxy, ProxyError};
use std::net::IpAddr;

#[derive(Clone, PartialEq, Eq, Debug)]
struct Setting {
    variable: &'static str,
    value: String,
}

/// The proxy settings of the environment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Environment {
    http: Option<Setting>,
    https: Option<Setting>,
    /// Hosts and networks that are asked directly.
    exempt: Vec<String>,
}

/// The environment names a proxy that can't be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the proxy of the environment's {variable} can't be used: {why}")]
pub struct BadProxy {
    variable: &'static str,
    why: ProxyError,
}

impl Environment {
    /// Reads the environment of this process.
    pub fn of_process() -> Self {
        Self::new(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))
    }

    /// Reads the variables through `get`. An empty variable counts as not set.
    pub fn new(get: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|variable| {
                let value = get(variable)?.trim().to_owned();
                (!value.is_empty()).then_some(Setting { variable, value })
            })
        };
        let exempt = first(&["no_proxy", "NO_PROXY"]).map(|setting| setting.value);
        let exempt = exempt.unwrap_or_default();
        let words = exempt.split(|c: char| c == ',' || c.is_whitespace());
        Self {
            http: first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
            https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            exempt: words
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }

    /// Returns the proxy for HTTP or HTTPS requests to `host` (a name or an address). `None`:
    /// connect directly.
    ///
    /// # Errors
    /// [`BadProxy`], if the environment names a proxy for it that can't be used.
    pub fn proxy_for(&self, host: &str, is_https: bool) -> Result<Option<Proxy>, BadProxy> {
        let setting = if is_https { &self.https } else { &self.http };
        let Some(Setting { variable, value }) = setting else {
            return Ok(None);
        };
        if self.is_exempt(host) {
            return Ok(None);
        }
        let whole = match value.contains("://") {
            true => value.clone(),
            false => format!("http://{value}"),
        };
        match whole.parse::<Proxy>() {
            Ok(proxy) => Ok(Some(proxy)),
            Err(why) => Err(BadProxy { variable, why }),
        }
    }

    fn is_exempt(&self, host: &str) -> bool {
        if self.exempt == ["*"] {
            return true;
        }
        let host = bare(host);
        self.exempt.iter().any(|word| match host.parse() {
            Ok(ip) => holds(word, ip),
            Err(_) => is_below(bare(word), host),
        })
    }
}

/// Strips the brackets of an IPv6 address and the final dot of a full name.
fn bare(host: &str) -> &str {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.strip_suffix('.').unwrap_or(host)
}

/// Whether `name` is `domain` or below it. Ignores a leading dot of the domain.
fn is_below(domain: &str, name: &str) -> bool {
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    let Some(start) = name.len().checked_sub(domain.len()) else {
        return false;
    };
    let (front, end) = (name.get(..start), name.get(start..));
    let is_end = end.is_some_and(|end| end.eq_ignore_ascii_case(domain));
    !domain.is_empty() && is_end && front.is_some_and(|f| f.is_empty() || f.ends_with('.'))
}

/// Whether `word` is the address `ip` or a network that contains it, such as `10.0.0.0/8`.
fn holds(word: &str, ip: IpAddr) -> bool {
    let (net, len) = match word.split_once('/') {
        Some((net, len)) => match len.parse::<u32>() {
            Ok(len) => (net, Some(len)),
            Err(_) => return false,
        },
        None => (word, None),
    };
    let (net, ip, bits) = match (bare(net).parse(), ip) {
        (Ok(IpAddr::V4(net)), IpAddr::V4(ip)) => {
            (u128::from(net.to_bits()), u128::from(ip.to_bits()), 32)
        }
        (Ok(IpAddr::V6(net)), IpAddr::V6(ip)) => (net.to_bits(), ip.to_bits(), 128),
        _ => return false,
    };
    let len = len.unwrap_or(bits);
    // Length 0 matches every address; a length beyond the address's bits matches none.
    len <= bits && (net ^ ip).checked_shr(bits - len).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the proxy for `host` under these variables (each `NAME=value`): `-` for none, or
    /// the name of the variable that is wrong.
    fn route(variables: &[&str], host: &str, is_https: bool) -> String {
        let get = |name: &str| {
            let mut pairs = variables.iter().filter_map(|text| text.split_once('='));
            Some(pairs.find(|(key, _)| *key == name)?.1.to_owned())
        };
        match Environment::new(get).proxy_for(host, is_https) {
            Ok(Some(proxy)) => proxy.to_string(),
            Ok(None) => "-".into(),
            Err(error) => error.variable.into(),
        }
    }

    #[test]
    fn which_variable_counts() {
        let cases: [(&[&str], &str, &str); 13] = [
            (&[], "-", "-"),
            (&["http_proxy=http://p:1"], "http://p:1", "-"),
            (&["http_proxy=u:w@p:1/"], "http://p:1", "-"),
            (&["HTTP_PROXY=http://p:1"], "-", "-"),
            (&["HTTPS_PROXY=http://p:1"], "-", "http://p:1"),
            (
                &["HTTPS_PROXY=http://p:1", "https_proxy=http://q:1"],
                "-",
                "http://q:1",
            ),
            (
                &["ALL_PROXY=socks5h://p", "http_proxy=http://q:1"],
                "http://q:1",
                "socks5://p:1080",
            ),
            (
                &["all_proxy=socks5://p:2", "ALL_PROXY=http://q:1"],
                "socks5://p:2",
                "socks5://p:2",
            ),
            (
                &["http_proxy=", "all_proxy=socks5://p:2"],
                "socks5://p:2",
                "socks5://p:2",
            ),
            (&["http_proxy=socks4://p:1"], "http_proxy", "-"),
            (&["https_proxy=https://p:1"], "-", "https_proxy"),
            (&["ALL_PROXY=socks4a://p:1"], "ALL_PROXY", "ALL_PROXY"),
            (&["all_proxy=http://:/"], "all_proxy", "all_proxy"),
        ];
        for (variables, http, https) in cases {
            assert_eq!(route(variables, "h", false), http, "{variables:?}");
            assert_eq!(route(variables, "h", true), https, "{variables:?}");
        }
    }

    #[test]
    fn who_is_asked_directly() {
        let cases = [
            ("*", "example.org", true),
            (" * ", "10.0.0.1", true),
            ("example.org", "example.org", true),
            ("example.org", "EXAMPLE.org.", true),
            ("example.org", "www.example.org", true),
            (".example.org", "www.example.org", true),
            (".example.org", "example.org", true),
            ("example.org", "notexample.org", false),
            ("www.example.org", "example.org", false),
            ("a, b\tc,,d", "c", true),
            ("a, b", "d", false),
            ("10.0.0.0/8", "10.200.1.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "11.0.0.1", true),
            ("10.0.0.1/33", "10.0.0.1", false),
            ("10.0.0.1/x", "10.0.0.1", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.10", false),
            ("0.1", "10.0.0.1", false),
            ("::1", "[::1]", true),
            ("[::1]", "[::1]", true),
            ("fd00::/8", "[fd12::1]", true),
            ("fd00::/8", "10.0.0.1", false),
            (".", "example.org", false),
            ("ö.org", "aö.org", false),
        ];
        for (list, host, directly) in cases {
            for name in ["no_proxy", "NO_PROXY"] {
                let list = format!("{name}={list}");
                let found = route(&["http_proxy=http://p:1", &list], host, false);
                let expected = if directly { "-" } else { "http://p:1" };
                assert_eq!(found, expected, "{list} and {host}");
            }
        }
        // A host that is asked directly needs no usable proxy.
        let found = route(&["http_proxy=socks4://p", "no_proxy=h"], "h", false);
        assert_eq!(found, "-");
    }
}
