//! With whom a torrent has nothing to do: peers that gave false data, its own addresses,
//! and for ten minutes peers that were of no use. The [`Swarm`](super::Swarm) asks it before
//! it dials.
//!
//! Whom we dialled is known by address and port. Who dialled us is known by its host alone:
//! its port is another each time, and the peer id that it sends may be an honest peer's.
//! Loopback is spared there: half a swarm may live on it.

use super::Source;
use crate::address::Host;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// Entries of each kind; beyond it they are forgotten, all at once.
const MAX_SHUNNED: usize = 10_000;

/// Who is shunned, and why.
#[derive(Debug, Default)]
pub(super) struct Shunned {
    /// Addresses that gave false data when we dialled them, and who had named them.
    banned: HashMap<SocketAddr, Source>,
    /// Hosts that gave false data after they had dialled us.
    banned_hosts: HashMap<Host, ()>,
    /// Hosts that had dialled us and were of no use, and until when they are not taken in.
    resting: HashMap<Host, Instant>,
    /// Our own addresses, learnt by meeting ourselves.
    own: HashMap<SocketAddr, ()>,
}

impl Shunned {
    /// Whether `addr` is not even to be known.
    pub(super) fn is_never_dialled(&self, addr: SocketAddr) -> bool {
        self.own.contains_key(&addr) || self.is_banned(addr)
    }

    /// `addr` is ours.
    pub(super) fn is_us(&mut self, addr: SocketAddr) {
        remember(&mut self.own, addr, ());
    }

    /// We dialled `addr`, which `source` had named, and it gave false data.
    pub(super) fn ban(&mut self, addr: SocketAddr, source: Source) {
        remember(&mut self.banned, addr, source);
    }

    /// A peer at `ip` dialled us and gave false data.
    pub(super) fn ban_host(&mut self, ip: IpAddr) {
        let host = Host::of(ip);
        if !host.is_our_own() {
            remember(&mut self.banned_hosts, host, ());
        }
    }

    /// Whether whom we dial at `addr` is banned.
    pub(super) fn is_banned(&self, addr: SocketAddr) -> bool {
        self.banned.contains_key(&addr)
    }

    /// Whether who dials us from `ip` is banned.
    pub(super) fn is_banned_host(&self, ip: IpAddr) -> bool {
        self.banned_hosts.contains_key(&Host::of(ip))
    }

    /// Takes a ban of `addr` back; returns who had named it, if there was one.
    pub(super) fn pardon(&mut self, addr: SocketAddr) -> Option<Source> {
        self.banned.remove(&addr)
    }

    /// Takes a ban of the host of `ip` back.
    pub(super) fn pardon_host(&mut self, ip: IpAddr) {
        self.banned_hosts.remove(&Host::of(ip));
    }

    /// A peer at `ip`, which had dialled us, is not taken in before `until`.
    pub(super) fn rest(&mut self, ip: IpAddr, until: Instant) {
        let host = Host::of(ip);
        if !host.is_our_own() {
            remember(&mut self.resting, host, until);
        }
    }

    /// Whether a peer at `ip` is not to be taken in now.
    pub(super) fn is_resting(&self, ip: IpAddr, now: Instant) -> bool {
        let until = self.resting.get(&Host::of(ip));
        until.is_some_and(|until| now < *until)
    }
}

/// A stranger may come from as many addresses as he likes, so this has an end.
fn remember<K: Eq + Hash, V>(map: &mut HashMap<K, V>, key: K, value: V) {
    if map.len() >= MAX_SHUNNED {
        map.clear();
    }
    map.insert(key, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last that came is always remembered, and never more than there may be.
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
