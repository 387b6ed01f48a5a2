//! The peers that a torrent avoids: those that gave false data, our own addresses, and for ten
//! minutes those that were of no use. The [`Swarm`](super::Swarm) asks before a dial and when a
//! peer dials us.
//!
//! We know a peer that we dialled by its address and port, but one that dialled us by its host
//! alone: its port is another one each time, and it may send an honest peer's id as its own. Bans
//! and rests of hosts spare loopback, where half a swarm may live.

use super::Source;
use crate::address::Host;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// The most entries of each kind. One more, and all of that kind are forgotten.
const MAX_SHUNNED: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Shunned {
    /// Addresses that gave false data after we dialled them, and who named them.
    banned: HashMap<SocketAddr, Source>,
    /// Hosts that gave false data after they had dialled us.
    banned_hosts: HashMap<Host, ()>,
    /// Hosts that dialled us and were of no use, and until when we refuse them.
    resting: HashMap<Host, Instant>,
    /// Our own addresses: we connected to ourselves there.
    own: HashMap<SocketAddr, ()>,
}

impl Shunned {
    pub(super) fn is_never_dialled(&self, addr: SocketAddr) -> bool {
        self.own.contains_key(&addr) || self.is_banned(addr)
    }

    pub(super) fn is_us(&mut self, addr: SocketAddr) {
        remember(&mut self.own, addr, ());
    }

    /// Bans `addr`, which `source` named: we dialled it, and it gave false data.
    pub(super) fn ban(&mut self, addr: SocketAddr, source: Source) {
        remember(&mut self.banned, addr, source);
    }

    /// Bans the host of `ip`: a peer there dialled us and gave false data.
    pub(super) fn ban_host(&mut self, ip: IpAddr) {
        let host = Host::of(ip);
        if !host.is_our_own() {
            remember(&mut self.banned_hosts, host, ());
        }
    }

    pub(super) fn is_banned(&self, addr: SocketAddr) -> bool {
        self.banned.contains_key(&addr)
    }

    pub(super) fn is_banned_host(&self, ip: IpAddr) -> bool {
        self.banned_hosts.contains_key(&Host::of(ip))
    }

    /// Lifts the ban of `addr`. Returns who had named it, if it was banned.
    pub(super) fn pardon(&mut self, addr: SocketAddr) -> Option<Source> {
        self.banned.remove(&addr)
    }

    pub(super) fn pardon_host(&mut self, ip: IpAddr) {
        self.banned_hosts.remove(&Host::of(ip));
    }

    pub(super) fn rest(&mut self, ip: IpAddr, until: Instant) {
        let host = Host::of(ip);
        if !host.is_our_own() {
            remember(&mut self.resting, host, until);
        }
    }

    pub(super) fn is_resting(&self, ip: IpAddr, now: Instant) -> bool {
        let until = self.resting.get(&Host::of(ip));
        until.is_some_and(|until| now < *until)
    }
}

fn remember<K: Eq + Hash, V>(map: &mut HashMap<K, V>, key: K, value: V) {
    if map.len() >= MAX_SHUNNED {
        map.clear();
    }
    map.insert(key, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_has_an_end() {
        let (mut shunned, now) = (Shunned::default(), Instant::now());
        for n in 0..=MAX_SHUNNED as u32 {
            let ip = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
            shunned.ban((ip, 6881).into(), Source::Pex);
            shunned.ban_host(ip);
            shunned.is_us((ip, 6882).into());
            shunned.rest(ip, now);
            assert!(shunned.is_banned((ip, 6881).into()) && shunned.is_banned_host(ip));
            assert!(shunned.is_never_dialled((ip, 6882).into()));
            assert!(shunned.banned.len().max(shunned.resting.len()) <= MAX_SHUNNED);
            assert!(shunned.banned_hosts.len().max(shunned.own.len()) <= MAX_SHUNNED);
        }
        let first = IpAddr::from(0x0a00_0000_u32.to_be_bytes());
        assert!(!shunned.is_banned_host(first), "all at once");
    }
}
