//! A host: the part of an IP address that its owner can't choose freely.
//!
//! A peer that connects to us chooses its port freely. An IPv6 household, with its 2^64 addresses,
//! also chooses half of the address. So the list of known peers, the bans and the DHT go by the
//! rest: the IPv4 address, or the first half of the IPv6 address.

use std::net::{IpAddr, Ipv6Addr};

/// One host, or one IPv6 network of a household (a /64).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Host(IpAddr);

impl Host {
    /// Returns the host that has this address.
    pub(crate) fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            // All link-local addresses begin alike, so we need the second half to tell hosts apart.
            IpAddr::V6(ip) if !ip.is_loopback() && !ip.is_unicast_link_local() => {
                let bits = ip.to_bits() >> 64 << 64;
                Ipv6Addr::from_bits(bits).into()
            }
            ip => ip,
        })
    }

    /// Whether this is our own machine. Many peers may run there.
    pub(crate) fn is_our_own(self) -> bool {
        self.0.is_loopback()
    }

    /// Returns its address, or the first of its addresses.
    pub(crate) fn ip(self) -> IpAddr {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_one_host() {
        let host = |text: &str| Host::of(text.parse().unwrap());
        for (a, b, same) in [
            ("1.2.3.4", "::ffff:1.2.3.4", true),
            ("1.2.3.4", "1.2.3.5", false),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::9", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
            ("fe80::1", "fe80::2", false),
            ("::1", "2001:db8::1", false),
        ] {
            assert_eq!(host(a) == host(b), same, "{a} and {b}");
        }
        assert!(host("::1").is_our_own() && host("::ffff:127.0.0.9").is_our_own());
        assert!(!host("10.0.0.1").is_our_own());
    }
}
