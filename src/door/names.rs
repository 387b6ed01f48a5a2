//! Peers known by host name only: with a proxy, the proxy looks names up, so we never see an
//! address.
//!
//! A magnet link may name peers by host, but the rest of this program identifies peers by address.
//! So each name gets a stand-in: an address from a block that no machine uses ([RFC 6666],
//! `100::/64`). The engine creates it, and asks here for the name when it dials. We never pass a
//! stand-in to other peers and accept none from outside.
//!
//! [RFC 6666]: https://www.rfc-editor.org/rfc/rfc6666

use super::{Name, Target};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The most names that are kept.
const MAX_NAMES: usize = 1000;

/// The peer names of a run. The last 16 bits of a stand-in are its name's index.
#[derive(Debug, Default)]
pub struct Names(Vec<Name>);

impl Names {
    /// Returns the stand-in for `name`. `None` if there are [`MAX_NAMES`] others already.
    pub fn stand_in(&mut self, name: Name) -> Option<SocketAddr> {
        let known = self.0.iter().position(|known| *known == name);
        let number = known.unwrap_or(self.0.len());
        if number >= MAX_NAMES {
            return None;
        }
        let low = u16::try_from(number).ok()?;
        let addr = (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, low), name.port);
        if known.is_none() {
            self.0.push(name);
        }
        Some(addr.into())
    }

    /// Returns what to connect to for `addr`: the name, if `addr` is a stand-in.
    pub fn target(&self, addr: SocketAddr) -> Target {
        let number = match addr.ip() {
            IpAddr::V6(ip) if is_stand_in(addr.ip()) => usize::from(ip.segments()[7]),
            _ => return Target::Addr(addr),
        };
        let name = self.0.get(number).cloned();
        name.map_or(Target::Addr(addr), Target::Name)
    }
}

/// Whether an address lies in the block of the stand-ins.
pub fn is_stand_in(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.segments()[..4] == [0x100, 0, 0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_one() {
        let mut names = Names::default();
        let name = |text: &str| Name::new(text).unwrap();
        let a = names.stand_in(name("a:1")).unwrap();
        let b = names.stand_in(name("b:6881")).unwrap();
        assert_ne!(a, b);
        assert_eq!(names.stand_in(name("a:1")), Some(a));
        assert_eq!(names.target(a), Target::Name(name("a:1")));
        assert_eq!(names.target(b), Target::Name(name("b:6881")));
        let real = "[2001:db8::1]:1".parse().unwrap();
        assert_eq!(names.target(real), Target::Addr(real));
        assert!(is_stand_in(a.ip()) && !is_stand_in(real.ip()));
        for n in 0..MAX_NAMES {
            names.stand_in(name(&format!("n{n}:1")));
        }
        assert_eq!(names.stand_in(name("late:1")), None);
        assert_eq!(names.stand_in(name("b:6881")), Some(b));
    }
}
