//! The rules for one HTTP request: which proxy it uses, and how near its server may be. The
//! [look-up](super::resolve) of names and the [connector](super::wire) consult them.

use crate::address::Reach;
use crate::door::Door;
use crate::door::http::Barred;
use crate::proxy::Proxy;
use std::net::SocketAddr;
use ureq::Error;
use ureq::http::Uri;

/// Made with an agent, then only read.
#[derive(Debug)]
pub struct Rules {
    /// The local address and the proxies to use.
    pub door: Door,
    /// The nearest address that may be dialled. It depends on who named the URL.
    pub nearest: Reach,
}

impl Rules {
    /// Returns the proxy for this URL. `None`: connect directly.
    ///
    /// # Errors
    /// [`Barred::Environment`], if the environment's proxy can't be used.
    pub fn proxy(&self, uri: &Uri) -> Result<Option<Proxy>, Error> {
        let proxy = self.door.http_proxy(uri);
        proxy.map_err(|bad| Barred::Environment(bad).into())
    }

    /// Returns those of a server's addresses that may be dialled.
    ///
    /// # Errors
    /// [`Error::HostNotFound`], if there is none of a family that `--bind` allows;
    /// [`Barred::TooNear`], if all are too near.
    pub fn allowed(&self, uri: &Uri, addresses: &[SocketAddr]) -> Result<Vec<SocketAddr>, Error> {
        let fits = |to: &&SocketAddr| self.door.may_reach(to.ip());
        let ours: Vec<SocketAddr> = addresses.iter().filter(fits).copied().collect();
        let farthest = ours.iter().map(|to| Reach::of(to.ip())).max();
        match farthest {
            None => Err(Error::HostNotFound),
            Some(reach) if reach < self.nearest => Err(self.too_near(uri)),
            Some(_) => Ok(ours
                .into_iter()
                .filter(|to| Reach::of(to.ip()) >= self.nearest)
                .collect()),
        }
    }

    /// Judges a server whose name a proxy will look up, by the host in the URL alone.
    ///
    /// # Errors
    /// [`Barred::TooNear`], if that host is known to be too near.
    pub fn judge_unseen(&self, uri: &Uri) -> Result<(), Error> {
        match Reach::of_host(uri.host().unwrap_or_default()) {
            Some(reach) if reach < self.nearest => Err(self.too_near(uri)),
            _ => Ok(()),
        }
    }

    fn too_near(&self, uri: &Uri) -> Error {
        let host = uri.authority().map_or("", |authority| authority.as_str());
        Barred::TooNear(host.to_owned()).into()
    }
}
