//! What holds for one HTTP request: through which proxy it goes, and how near to us its
//! server may be. The [look-up](super::resolve) of names and the [connector](super::wire)
//! ask here.

use crate::door::Door;
use crate::door::http::Barred;
use crate::proxy::Proxy;
use crate::reach::Reach;
use std::net::SocketAddr;
use ureq::Error;
use ureq::http::Uri;

/// Made with an agent, then only read.
#[derive(Debug)]
pub struct Rules {
    /// From where, and through what.
    pub door: Door,
    /// The nearest that may be dialled, by who named the URL.
    pub nearest: Reach,
}

impl Rules {
    /// The proxy by which this URL is asked; `None`: directly.
    ///
    /// # Errors
    /// [`Barred::Environment`].
    pub fn proxy(&self, uri: &Uri) -> Result<Option<Proxy>, Error> {
        let proxy = self.door.http_proxy(uri);
        proxy.map_err(|bad| Barred::Environment(bad).into())
    }

    /// Of the addresses of a server, those that may be dialled.
    ///
    /// # Errors
    /// [`Error::HostNotFound`], if there is none; [`Barred::TooNear`], if all are too near.
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

    /// Judges a server that a proxy will look up: all that is known is what the URL says.
    ///
    /// # Errors
    /// [`Barred::TooNear`].
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
