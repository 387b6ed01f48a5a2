//! From where an address can be reached: its own machine, its local network, or everywhere.
//!
//! Peers and DHT nodes tell us about others. A peer on the internet can't know anybody in our local
//! network: if it names such an address, it aims us at our own printer. A peer in our network, or
//! on this machine, may well know others there. [`may_name`](super::may_name) checks this.
//!
//! URLs of trackers, web seeds and redirects have the same problem: a web server on the internet
//! could make us send a command to the user's router. From the [`Teller`], who named the URL,
//! follows the nearest address that we may connect to for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// From how far an address can be reached, narrowest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reach {
    /// A loopback address, or `0.0.0.0` or `::`: connecting to those two leads to our own machine.
    Machine,
    /// A private address, which every network may use for itself, or a link-local address, which is
    /// valid on one cable only.
    LocalNetwork,
    /// Any other address.
    World,
}

impl Reach {
    /// Returns the reach of an address. An IPv6 address that embeds an IPv4 address, for a
    /// translator or a tunnel on the way, has the reach of the embedded one.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            ip if ip.is_loopback() || ip.is_unspecified() => Self::Machine,
            IpAddr::V4(ip) if is_of_a_network(ip) => Self::LocalNetwork,
            IpAddr::V6(ip) if is_of_a_network_6(ip) => Self::LocalNetwork,
            IpAddr::V6(ip) => embedded(ip).map_or(Self::World, |ip| Self::of(ip.into())),
            IpAddr::V4(ip) if ip.octets()[0] == 0 => Self::Machine,
            IpAddr::V4(_) => Self::World,
        }
    }

    /// Returns the reach of a URL's host without a look-up, if the host is an address or the name
    /// `localhost`. `None` if only a look-up can tell.
    pub fn of_host(host: &str) -> Option<Self> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = bare.trim_end_matches('.').to_ascii_lowercase();
        match bare.parse() {
            Ok(ip) => Some(Self::of(ip)),
            Err(_) if name == "localhost" || name.ends_with(".localhost") => Some(Self::Machine),
            Err(_) => None,
        }
    }
}

/// Whether an address is valid within one network only: private, link-local (169.254/16),
/// carrier-grade NAT (100.64/10, RFC 6598), multicast or broadcast.
fn is_of_a_network(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    let is_of_all = ip.is_multicast() || ip.is_broadcast();
    ip.is_private() || ip.is_link_local() || is_of_all || (first == 100 && second & 0xc0 == 64)
}

/// Does the same for IPv6. `fec0::/10` is the predecessor of `fc00::/7`.
fn is_of_a_network_6(ip: Ipv6Addr) -> bool {
    let is_local = ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_multicast();
    is_local || ip.segments()[0] & 0xffc0 == 0xfec0
}

/// Returns the IPv4 address in an IPv6 address of NAT64 (64:ff9b::/96, RFC 6052), of 6to4
/// (2002::/16, RFC 3056), or of the obsolete form `::1.2.3.4`.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let (high, low) = match (a, b) {
        (0x2002, _) => (b, c),
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => (g, h),
        (0, 0) if [c, d, e, f] == [0; 4] => (g, h),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

/// Who named a URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Teller {
    /// The user, on the command line. The user may name anything.
    User,
    /// Unknown: the URL is from a torrent file or a magnet link.
    Unknown,
    /// The server that sent the torrent or a redirect, with the reach of its address.
    Server(Reach),
}

impl Teller {
    /// Returns the nearest address that we may connect to for what this teller named. `unknown` is
    /// the answer for [`Teller::Unknown`].
    pub fn nearest(self, unknown: Reach) -> Reach {
        match self {
            Self::User => Reach::Machine,
            Self::Unknown => unknown,
            Self::Server(reach) => reach,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::may_name;
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn nobody_names_what_is_nearer_than_himself() {
        let rings: [&[&str]; 3] = [
            &[
                "127.0.0.1",
                "127.9.9.9",
                "::1",
                "::ffff:127.0.0.1",
                "0.0.0.0",
                "0.1.2.3",
                "::",
                "64:ff9b::127.0.0.1",
                "2002:7f00:1::1",
            ],
            &[
                "10.0.0.1",
                "172.16.0.1",
                "192.168.1.1",
                "169.254.0.1",
                "fd00::1",
                "fe80::1",
                "100.64.0.1",
                "100.127.255.255",
                "64:ff9b::192.168.1.1",
                "2002:0a00:0001::1",
                "::10.0.0.1",
                "239.1.2.3",
                "255.255.255.255",
                "ff02::1",
                "fec0::1",
            ],
            &[
                "1.2.3.4",
                "2001:db8::1",
                "::ffff:1.2.3.4",
                "172.32.0.1",
                "100.63.0.1",
                "100.128.0.1",
                "64:ff9b::1.2.3.4",
                "2002:0102:0304::1",
                "64:ff9b:1::7f00:1",
            ],
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

    #[test]
    fn hosts_that_need_no_look_up() {
        for (host, reach) in [
            ("[::1]", Some(Reach::Machine)),
            ("localhost", Some(Reach::Machine)),
            ("LOCALHOST.", Some(Reach::Machine)),
            ("x.localhost", Some(Reach::Machine)),
            ("10.0.0.1", Some(Reach::LocalNetwork)),
            ("1.2.3.4", Some(Reach::World)),
            ("notlocalhost", None),
        ] {
            assert_eq!(Reach::of_host(host), reach, "{host}");
        }
    }
}
