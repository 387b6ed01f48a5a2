//! Looks up the names of web servers for the HTTP client.
//!
//! The system's look-up takes no time limit: with a silent DNS server it may take 30 s. `ureq` limits
//! it by looking up on a separate thread, which it abandons in time; but it panics if the system
//! has no thread left. This module looks up:
//!
//! - on the calling thread, if the host is an address already or there is no time limit;
//! - otherwise on a separate thread. If the time runs out, we abandon that thread, and it ends with
//!   the look-up;
//! - on the calling thread after all, if the system refuses a thread. A silent DNS server then
//!   breaks the time limit, but only the thread of a tracker or of a request waits; main waits for
//!   neither.

use super::rules::Rules;
use super::wire::host_and_port;
use crate::proxy::Proxy;
use crate::threads::{self, fault};
use crossbeam_channel::{RecvTimeoutError, bounded};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::Builder;
use ureq::config::{Config, IpFamily};
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::time::Duration;
use ureq::unversioned::transport::{ConnectionDetails, NextTimeout};
use ureq::{Agent, Error};

const PURPOSE: &str = "look up the name of a web server";

/// Looks names up without ever panicking; with a proxy, the proxy does it. Leaves out addresses
/// that must not be dialled.
#[derive(Debug)]
pub struct Lookup(pub Arc<Rules>);

impl Resolver for Lookup {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        if self.0.proxy(uri)?.is_some() {
            self.0.judge_unseen(uri)?;
            return Ok(addresses);
        }
        let found = in_time(uri, config, timeout)?;
        let allowed = self.0.allowed(uri, &found)?;
        allowed.into_iter().for_each(|to| addresses.push(to));
        Ok(addresses)
    }
}

/// Looks up the proxy's own name. The user named the proxy, so it may be near.
///
/// # Errors
/// If the name has no address of a family that we can use, or the look-up takes too long.
pub fn of_proxy(
    proxy: &Proxy,
    rules: &Rules,
    details: &ConnectionDetails,
) -> Result<Vec<SocketAddr>, Error> {
    let uri = format!("http://{}", proxy.authority()).parse();
    let uri: Uri = uri.map_err(|_| Error::HostNotFound)?;
    let family = match rules.door.bind {
        None => IpFamily::Any,
        Some(IpAddr::V4(_)) => IpFamily::Ipv4Only,
        Some(IpAddr::V6(_)) => IpFamily::Ipv6Only,
    };
    let config = Agent::config_builder().ip_family(family).build();
    Ok(in_time(&uri, &config, details.timeout)?.to_vec())
}

fn in_time(uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
    if timeout.after.is_not_happening() || names_an_address(uri) {
        return look_up(uri, config);
    }
    let (tell, found) = bounded(1);
    let (theirs, settings) = (uri.clone(), config.clone());
    let work = move || _ = tell.send(look_up(&theirs, &settings));
    let thread = Builder::new().name("look-up".into());
    // Only this function waits for the thread; the closed channel tells it of the thread's end.
    if threads::spawn(thread, PURPOSE, work, || ()).is_err() {
        return look_up(uri, config);
    }
    match found.recv_timeout(*timeout.after) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => Err(Error::Timeout(timeout.reason)),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other(fault(PURPOSE)).into()),
    }
}

/// Looks up on this thread, however long it takes. Returns the addresses of the families that
/// `config` allows.
fn look_up(uri: &Uri, config: &Config) -> Result<ResolvedSocketAddrs, Error> {
    // Without a limit, `ureq` starts no thread.
    let never = NextTimeout {
        after: Duration::NotHappening,
        ..NextTimeout::default()
    };
    DefaultResolver::default().resolve(uri, config, never)
}

fn names_an_address(uri: &Uri) -> bool {
    let (host, _) = host_and_port(uri);
    host.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Reach;
    use crate::door::Door;

    /// Resolves `url`, with a time limit or without.
    fn resolve(url: &str, family: IpFamily, limited: bool) -> Result<Vec<String>, Error> {
        let config = Agent::config_builder().ip_family(family).build();
        let after = match limited {
            true => Duration::from(std::time::Duration::from_secs(60)),
            false => Duration::NotHappening,
        };
        let timeout = NextTimeout {
            after,
            ..NextTimeout::default()
        };
        let rules = Arc::new(Rules {
            door: Door::default(),
            nearest: Reach::Machine,
        });
        let found = Lookup(rules).resolve(&url.parse().unwrap(), &config, timeout)?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn names_and_addresses_of_the_kind_that_is_asked_for() {
        use IpFamily::{Any, Ipv4Only, Ipv6Only};
        let cases = [
            ("http://127.0.0.9/x", Any, "127.0.0.9:80"),
            ("https://127.0.0.9/x", Ipv4Only, "127.0.0.9:443"),
            ("http://[::1]:81/", Ipv6Only, "[::1]:81"),
            ("http://localhost:82/", Ipv4Only, "127.0.0.1:82"),
        ];
        for (url, family, expected) in cases {
            for limited in [false, true] {
                let found = resolve(url, family, limited).unwrap();
                assert_eq!(found, [expected], "{url}");
            }
        }
        for (url, family) in [("http://127.0.0.9/", Ipv6Only), ("http://[::1]/", Ipv4Only)] {
            let error = resolve(url, family, true).unwrap_err();
            assert!(matches!(error, Error::HostNotFound), "{error}");
        }
    }
}
