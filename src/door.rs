//! The door to the network: the one module that opens sockets and HTTP agents.
//!
//! Everybody who wants to talk to somebody out there comes here: peers, trackers, the DHT,
//! local discovery, web seeds, a SOURCE that is a URL. The door is made once from the options
//! and never changes. It answers one question: may we talk to this, and from where, and
//! through what? So no room can forget `--bind` or `--proxy`.

pub mod environment;
pub mod http;

use crate::proxy::Proxy;
use environment::{BadProxy, Environment};
use std::net::IpAddr;

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
    /// The proxy by which `host` is asked over HTTP or HTTPS; `None`: directly. `--proxy`
    /// overrules the environment, `no_proxy` included.
    ///
    /// # Errors
    /// [`BadProxy`], if the environment names one that can't be used.
    pub fn http_proxy(&self, host: &str, is_https: bool) -> Result<Option<Proxy>, BadProxy> {
        match &self.proxy {
            Some(proxy) => Ok(Some(proxy.clone())),
            None => self.environment.proxy_for(host, is_https),
        }
    }
}
