//! The door to the network: the one module that opens sockets and HTTP agents.
//!
//! Everybody who wants to talk to somebody out there comes here: peers, trackers, the DHT,
//! local discovery, web seeds, a SOURCE that is a URL. The door is made once from the options
//! and never changes. It answers one question: may we talk to this, and from where, and
//! through what? So no room can forget `--bind` or `--proxy`.

pub mod http;

use crate::proxy::Proxy;
use std::net::IpAddr;

/// From where, and through what, this program talks to others. Made once, then only read.
#[derive(Clone, Debug, Default)]
pub struct Door {
    /// `--bind`: the local address of all sockets; nothing of the other address family is
    /// used. `None`: every interface.
    pub bind: Option<IpAddr>,
    /// `--proxy`: all TCP goes through it, and nothing goes around it.
    pub proxy: Option<Proxy>,
}
