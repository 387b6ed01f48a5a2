//! From how far an address can be reached: from its own machine, from its network, or
//! from everywhere.
//!
//! Peers and nodes of the DHT tell us of others. Somebody out in the internet can't know
//! of anybody in our own network; if he names such an address he aims us at our own
//! printer. Who is in our network, or on this machine, may well know of others there.
//! Peer exchange and the look-ups of the DHT use it.

use std::net::{IpAddr, SocketAddr};

/// How far an address reaches, the narrowest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reach {
    /// Loopback.
    Machine,
    /// An address that each network has for itself, or each cable.
    LocalNetwork,
    /// Any other.
    World,
}

impl Reach {
    /// That of an address.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            ip if ip.is_loopback() => Self::Machine,
            IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => Self::LocalNetwork,
            IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => {
                Self::LocalNetwork
            }
            _ => Self::World,
        }
    }
}

/// Whether somebody at `teller` can know of somebody at `named`.
pub fn may_name(teller: IpAddr, named: SocketAddr) -> bool {
    Reach::of(named.ip()) >= Reach::of(teller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_names_what_is_nearer_than_himself() {
        let rings: [&[&str]; 3] = [
            &["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"],
            &[
                "10.0.0.1",
                "172.16.0.1",
                "192.168.1.1",
                "169.254.0.1",
                "fd00::1",
                "fe80::1",
            ],
            &["1.2.3.4", "2001:db8::1", "::ffff:1.2.3.4", "172.32.0.1"],
        ];
        for (teller, from) in rings.iter().enumerate() {
            for (named, to) in rings.iter().enumerate() {
                for (from, to) in from
                    .iter()
                    .flat_map(|from| to.iter().map(move |to| (from, to)))
                {
                    let to = SocketAddr::new(to.parse().unwrap(), 6881);
                    let may = may_name(from.parse().unwrap(), to);
                    assert_eq!(may, named >= teller, "{from} names {to}");
                }
            }
        }
    }
}
