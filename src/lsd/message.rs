//! The packets of local service discovery ([BEP 14]). A peer sends them to its local network:
//! "I accept peers at this port, and these are my torrents." A packet looks like HTTP and
//! travels over UDP:
//!
//! ```text
//! BT-SEARCH * HTTP/1.1
//! Host: 239.192.152.143:6771
//! Port: 6881
//! Infohash: 0123456789abcdef0123456789abcdef01234567
//! cookie: 1a2b3c
//! ```
//!
//! Each line ends in CR LF, and two empty lines end the packet. The sender's IP address is that of
//! the packet. The cookie is any text by which a sender recognizes its own packets, because each
//! member of a group also receives what it sends to the group.
//!
//! Only the thread of local discovery ([`super`]) uses this. No I/O; all input is taken for
//! hostile.
//!
//! [BEP 14]: https://www.bittorrent.org/beps/bep_0014.html

use crate::types::InfoHash;
use std::net::SocketAddr;

/// The longest packet that we send or accept, in bytes. The network might split a longer one.
pub(crate) const MAX_PACKET: usize = 1400;

/// A received announce.
#[derive(Clone, Debug, PartialEq)]
pub struct Announce {
    /// The TCP port at which the sender accepts peers; never 0.
    pub port: u16,
    /// The sender's torrents; about 28 fit.
    pub info_hashes: Vec<InfoHash>,
    /// The sender's cookie, if it has one.
    pub cookie: Option<String>,
}

/// Writes announces of `info_hashes` to the group `to`, in as few packets as possible. `port`:
/// where we accept peers. `cookie`: a few bytes by which we recognize our own packets.
pub fn encode(to: SocketAddr, port: u16, info_hashes: &[InfoHash], cookie: &str) -> Vec<Vec<u8>> {
    let head = format!("BT-SEARCH * HTTP/1.1\r\nHost: {to}\r\nPort: {port}\r\n");
    let tail = format!("cookie: {cookie}\r\n\r\n\r\n");
    let line = |hash: &InfoHash| format!("Infohash: {hash}\r\n");
    let room = MAX_PACKET - head.len() - tail.len();
    let packets = info_hashes.chunks(room / line(&InfoHash([0; 20])).len());
    packets
        .map(|hashes| {
            let lines: String = hashes.iter().map(line).collect();
            [&*head, &*lines, &*tail].concat().into_bytes()
        })
        .collect()
}

/// Reads an announce. `None` if the packet is none, is too long, or names no port. Skips unknown
/// and malformed lines, as HTTP does.
pub fn decode(packet: &[u8]) -> Option<Announce> {
    let text = String::from_utf8_lossy(packet);
    let mut lines = text.split('\n').map(str::trim);
    let request = lines.next()?.strip_prefix("BT-SEARCH ")?;
    if packet.len() > MAX_PACKET || !request.contains("HTTP/1.") {
        return None;
    }
    let (mut port, mut info_hashes, mut cookie) = (None, Vec::new(), None);
    for line in lines.take_while(|line| !line.is_empty()) {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        match name.trim_end().to_ascii_lowercase().as_str() {
            "port" => port = value.parse().ok().filter(|port| *port != 0),
            "infohash" => info_hashes.extend(value.parse::<InfoHash>()),
            "cookie" => cookie = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(Announce {
        port: port?,
        info_hashes,
        cookie,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "0123456789abcdef0123456789ABCDEF01234567";

    fn group() -> SocketAddr {
        "239.192.152.143:6771".parse().unwrap()
    }

    fn hashes(count: u8) -> Vec<InfoHash> {
        (0..count).map(|n| InfoHash([n; 20])).collect()
    }

    #[test]
    fn as_bep_14_has_it() {
        let hash: InfoHash = HASH.parse().unwrap();
        let expected = format!(
            "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\n\
             Infohash: {hash}\r\ncookie: 1a2b\r\n\r\n\r\n"
        );
        assert_eq!(
            encode(group(), 6881, &[hash], "1a2b"),
            [expected.as_bytes()]
        );
        let v6 = "[ff15::efc0:988f]:6771".parse().unwrap();
        let sent = encode(v6, 1, &[hash], "x").concat();
        let text = String::from_utf8(sent).unwrap();
        assert!(
            text.contains("\r\nHost: [ff15::efc0:988f]:6771\r\n"),
            "{text}"
        );
    }

    #[test]
    fn many_torrents_take_several_packets() {
        let all = hashes(100);
        let packets = encode(group(), 65535, &all, "0123456789abcdef");
        let mut heard = Vec::new();
        for packet in &packets {
            assert!(packet.len() <= MAX_PACKET);
            heard.extend(decode(packet).unwrap().info_hashes);
        }
        assert_eq!((heard, packets.len()), (all, 4));
        assert!(encode(group(), 1, &[], "x").is_empty());
    }

    #[test]
    fn what_is_understood_and_what_is_not() {
        let hash: InfoHash = HASH.parse().unwrap();
        let good = |port, count: usize, cookie: Option<&str>| {
            Some(Announce {
                port,
                info_hashes: vec![hash; count],
                cookie: cookie.map(str::to_owned),
            })
        };
        let line = format!("infohash:{HASH}\n");
        let long = format!("Port: 1\r\n{}", line.repeat(28));
        let cases = [
            // Odd, but valid.
            (
                format!("Port: 7\r\nInfohash: {HASH}\r\n\r\n\r\n"),
                good(7, 1, None),
            ),
            (
                format!("PORT:7\n{line}COOKIE : a:b \n\n"),
                good(7, 1, Some("a:b")),
            ),
            (
                format!("Port: 7\r\n{line}\r\n{line}"),
                good(7, 1, None), // an empty line ends it
            ),
            (format!("Port: 7\r\n{line}{line}"), good(7, 2, None)),
            (
                format!("X\r\nInfohash: zz\r\nInfohash:\r\nPort: 7\r\n{line}"),
                good(7, 1, None),
            ),
            (
                format!("Infohash: {HASH}0\r\nport: 65535"),
                good(65535, 0, None),
            ),
            // Not an announce.
            (line.clone(), None),
            (format!("Port: 0\r\n{line}"), None),
            (format!("Port: 65536\r\n{line}"), None),
            (format!("Port: -1\r\n{line}"), None),
            (format!("Port: x\r\n{line}"), None),
            (format!("Port:\r\n{line}"), None),
            (String::new(), None),
            (long.clone(), None),
        ];
        assert!(long.len() + 22 > MAX_PACKET);
        for (headers, expected) in cases {
            let packet = format!("BT-SEARCH * HTTP/1.1\r\n{headers}");
            assert_eq!(decode(packet.as_bytes()), expected, "{headers:?}");
        }
        let port = "\r\nPort: 1\r\n\r\n";
        for start in ["M-SEARCH * HTTP/1.1", "BT-SEARCH", "BT-SEARCH *", "", " "] {
            assert_eq!(decode(format!("{start}{port}").as_bytes()), None, "{start}");
        }
        let binary = decode(b"BT-SEARCH * HTTP/1.1\r\nPort: 1\r\ncookie: \xff\r\n\r\n");
        assert_eq!(binary.map(|announce| announce.port), Some(1));
    }

    proptest! {
        #[test]
        fn any_packet_is_survived(start in "(BT-SEARCH \\* HTTP/1.1\r\n)?", bytes: Vec<u8>) {
            let _ = decode(&[start.as_bytes(), &bytes].concat());
        }
    }
}
