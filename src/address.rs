//! Addresses of peers and DHT nodes: their form as bytes, which of them are usable, and who may
//! name which.
//!
//! Trackers, peers and DHT nodes name other peers or nodes in the same *compact form*:
//!
//! ```text
//! <4: IPv4> <2: port>      6 bytes (BEP 23)
//! <16: IPv6> <2: port>     18 bytes (BEP 7)
//! ```
//!
//! All of them may lie, so a named address passes two gates before we use it:
//!
//! - [`usable`] rejects what no host can have, already on reading.
//! - [`may_name`] rejects what the teller can't know about, judged by [`Reach`], and ports below
//!   [`LOWEST_PORT`].
//!
//! Trackers skip the second gate, because a tracker in a local network names peers nearer than
//! itself. Only the user may name a port below [`LOWEST_PORT`].
//!
//! Bans, and limits for each host, go by the [`Host`] of an address.

mod host;
mod reach;

pub(crate) use host::Host;
pub(crate) use reach::{Reach, Teller};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Lower ports belong to services other than BitTorrent clients: a false tracker could aim a swarm
/// at somebody's mail server.
pub(crate) const LOWEST_PORT: u16 = 1024;

/// Whether somebody at `teller` can know about a peer or node at `named`.
pub(crate) fn may_name(teller: IpAddr, named: SocketAddr) -> bool {
    Reach::of(named.ip()) >= Reach::of(teller) && named.port() >= LOWEST_PORT
}

/// Returns `address` with IPv4 unmapped from IPv6, or `None` if no host can have it. Private and
/// loopback addresses stay. A link-local IPv6 address must name its interface.
pub fn usable(address: SocketAddr) -> Option<SocketAddr> {
    let address = match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    };
    let is_of_a_host = match address {
        // 224.0.0.0/4 is multicast. 240.0.0.0/4 was never assigned; its last address is for
        // broadcasts.
        SocketAddr::V4(v4) => !matches!(v4.ip().octets()[0], 0 | 224..),
        SocketAddr::V6(v6) => {
            let ip = v6.ip();
            let unclear = ip.is_unicast_link_local() && v6.scope_id() == 0;
            !ip.is_unspecified() && !ip.is_multicast() && !unclear
        }
    };
    (is_of_a_host && address.port() != 0).then_some(address)
}

/// Appends the compact form of `address` to `list`.
pub(crate) fn pack(address: SocketAddr, list: &mut Vec<u8>) {
    match address {
        SocketAddr::V4(v4) => list.extend(v4.ip().octets()),
        SocketAddr::V6(v6) => list.extend(v6.ip().octets()),
    }
    list.extend(address.port().to_be_bytes());
}

/// Reads one address of 6 or 18 bytes. `None` for any other length, and for an address that is not
/// [`usable`].
pub(crate) fn unpack(compact: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = compact.split_last_chunk::<2>()?;
    let ip = match <[u8; 4]>::try_from(ip) {
        Ok(v4) => Ipv4Addr::from(v4).into(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?).into(),
    };
    usable(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

/// Reads a list of IPv4 addresses, or of IPv6 addresses if `v6`. Skips those that are not
/// [`usable`], and extra bytes at the end.
pub(crate) fn unpack_all(list: &[u8], v6: bool) -> impl Iterator<Item = SocketAddr> {
    let len = if v6 { 18 } else { 6 };
    list.chunks_exact(len).filter_map(unpack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_name_whom() {
        let tellers = ["8.8.8.8", "192.168.0.1", "127.0.0.1"];
        let cases = [
            ("5.5.5.5:6881", [true, true, true]),
            ("10.1.2.3:6881", [false, true, true]),
            ("[fd00::1]:6881", [false, true, true]),
            ("127.0.0.1:6881", [false, false, true]),
            ("[::1]:6881", [false, false, true]),
            ("5.5.5.5:53", [false, false, false]),
        ];
        for (named, expected) in cases {
            let may =
                tellers.map(|teller| may_name(teller.parse().unwrap(), named.parse().unwrap()));
            assert_eq!(may, expected, "{named}");
        }
    }

    #[test]
    fn where_somebody_can_be_reached() {
        let cases = [
            ("10.0.0.1:80", Some("10.0.0.1:80")),
            ("127.0.0.1:1", Some("127.0.0.1:1")),
            ("[::ffff:1.2.3.4]:9", Some("1.2.3.4:9")),
            ("[::1]:9", Some("[::1]:9")),
            ("[fe80::1%7]:9", Some("[fe80::1%7]:9")),
            ("[fe80::1]:9", None),
            ("[::]:9", None),
            ("[ff02::1]:9", None),
            ("0.1.2.3:9", None),
            ("224.0.0.1:9", None),
            ("240.0.0.1:9", None),
            ("255.255.255.255:9", None),
            ("1.2.3.4:0", None),
        ];
        for (named, expected) in cases {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(usable(named.parse().unwrap()), expected, "{named}");
        }
    }

    #[test]
    fn compact_forms_there_and_back() {
        let all = ["10.0.0.1:6881", "[2001:db8::1]:6882"].map(|text| text.parse().unwrap());
        for address in all {
            let mut list = Vec::new();
            pack(address, &mut list);
            assert_eq!(unpack(&list), Some(address));
            list.extend([1, 2, 3]); // bytes left over
            let read: Vec<_> = unpack_all(&list, address.is_ipv6()).collect();
            assert_eq!((read, unpack(&list)), (vec![address], None));
        }
    }
}
