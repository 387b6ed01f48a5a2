//! The packets of a UDP announce ([BEP 15], with the URL of [BEP 41]). No I/O.
//!
//! Anybody can send a UDP packet with a forged sender. So a tracker first hands out a *connection
//! id*, which only the true owner of an address receives, and accepts an announce only with a
//! recent one. Each of our packets has a random *transaction id*, which the answer repeats. All
//! numbers are big-endian:
//!
//! ```text
//! connect     <8: protocol id> <4: 0> <4: transaction>
//!   answer    <4: 0> <4: transaction> <8: connection>
//! announce    <8: connection> <4: 1> <4: transaction> <20: info hash> <20: peer id>
//!             <8: downloaded> <8: left> <8: uploaded> <4: event> <4: own ip, 0>
//!             <4: key> <4: peers wanted> <2: port> <options of BEP 41>
//!   answer    <4: 1> <4: transaction> <4: interval> <4: leeches> <4: seeds> <peers>
//! or          <4: 3> <4: transaction> <words why not>
//! ```
//!
//! [BEP 15]: https://www.bittorrent.org/beps/bep_0015.html
//! [BEP 41]: https://www.bittorrent.org/beps/bep_0041.html

use crate::address::unpack_all;
use crate::announce::{
    self, AnnounceEvent, AnnounceReply, AnnounceRequest, DEFAULT_INTERVAL, MAX_PEERS, Trouble,
};

const PROTOCOL_ID: u64 = 0x0417_2710_1980;
const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const ERROR: u32 = 3;

/// The option of BEP 41 that carries a part of the URL.
const URL_DATA: u8 = 2;

/// The longest path and query of a URL that we send, in bytes. All fits one packet.
const MAX_URL_DATA: usize = 1_024;

/// Writes the packet that asks for a connection id: 16 bytes.
pub(crate) fn connect(transaction: u32) -> Vec<u8> {
    let mut packet = Vec::with_capacity(16);
    packet.extend(PROTOCOL_ID.to_be_bytes());
    packet.extend(CONNECT.to_be_bytes());
    packet.extend(transaction.to_be_bytes());
    packet
}

/// Writes the packet that announces: 98 bytes and the options.
///
/// `path` is the path and query of the tracker's URL, by which private trackers recognize their
/// users. Most trackers have the path `/announce` or none, and need no option.
pub(crate) fn announce(
    connection: u64,
    transaction: u32,
    request: &AnnounceRequest,
    path: &str,
) -> Vec<u8> {
    let event: u32 = match request.event {
        AnnounceEvent::Periodic => 0,
        AnnounceEvent::Completed => 1,
        AnnounceEvent::Started => 2,
        AnnounceEvent::Stopped => 3,
    };
    // The field is signed: -1 would mean "as many as you like".
    let peers_wanted = request.peers_wanted().min(i32::MAX as u32);
    let mut packet = Vec::with_capacity(128);
    packet.extend(connection.to_be_bytes());
    packet.extend(ANNOUNCE.to_be_bytes());
    packet.extend(transaction.to_be_bytes());
    packet.extend(request.info_hash.0);
    packet.extend(request.peer_id.0);
    packet.extend(request.downloaded.to_be_bytes());
    packet.extend(request.left.to_be_bytes());
    packet.extend(request.uploaded.to_be_bytes());
    packet.extend(event.to_be_bytes());
    packet.extend([0; 4]); // 0: the address that the packet comes from
    packet.extend(request.key.to_be_bytes());
    packet.extend(peers_wanted.to_be_bytes());
    packet.extend(request.port.to_be_bytes());
    let url = path.as_bytes();
    if !matches!(path, "" | "/" | "/announce") && url.len() <= MAX_URL_DATA {
        for part in url.chunks(255) {
            packet.extend([URL_DATA, part.len() as u8]);
            packet.extend(part);
        }
    }
    packet
}

/// A tracker's answer to one of our packets.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// A connection id.
    Connected(u64),
    /// The reply to an announce, with its peers.
    Announced(AnnounceReply),
    /// A refusal, in the tracker's words.
    Refused(String),
}

/// Reads the answer to the packet with this `transaction`. `v6`: it came over IPv6.
///
/// Returns `None` if the packet is not for us (another transaction, a late copy) or makes no sense.
/// The caller then keeps waiting: over UDP anybody can send garbage.
pub fn answer(packet: &[u8], transaction: u32, v6: bool) -> Option<Answer> {
    let (action, rest) = take_u32(packet)?;
    let (theirs, rest) = take_u32(rest)?;
    if theirs != transaction {
        return None;
    }
    match action {
        // The answer may be longer than specified.
        CONNECT => Some(Answer::Connected(u64::from_be_bytes(*rest.first_chunk()?))),
        ANNOUNCE => {
            let (seconds, rest) = take_u32(rest)?;
            // We don't need the numbers of leeches and seeds.
            let (_, rest) = take_u32(rest)?;
            let (_, rest) = take_u32(rest)?;
            let peers = unpack_all(rest, v6).take(MAX_PEERS).collect();
            Some(Answer::Announced(AnnounceReply {
                peers,
                // Signed on the wire; a negative interval counts as none.
                interval: announce::interval(i64::from(seconds as i32)).unwrap_or(DEFAULT_INTERVAL),
                ..AnnounceReply::default()
            }))
        }
        ERROR => Some(Answer::Refused(announce::message(rest))),
        _ => None,
    }
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

/// Splits `udp://host:port/path?query` into `host:port` and the rest.
///
/// # Errors
/// [`Trouble::BadUrl`] if the host or the port is missing: UDP trackers have no default port.
pub(crate) fn split_url(url: &str) -> Result<(&str, &str), Trouble> {
    let (_scheme, rest) = url.split_once("://").ok_or(Trouble::BadUrl)?;
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (host, port) = authority.rsplit_once(':').ok_or(Trouble::BadUrl)?;
    let port_is_valid = port.parse::<u16>().is_ok_and(|port| port != 0);
    if host.is_empty() || !port_is_valid {
        return Err(Trouble::BadUrl);
    }
    let host_at = authority.rfind('@').map_or(0, |at| at + 1);
    Ok((&authority[host_at..], path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{InfoHash, PeerId};
    use proptest::prelude::*;
    use std::time::Duration;

    fn request(event: AnnounceEvent) -> AnnounceRequest {
        AnnounceRequest {
            info_hash: InfoHash([0xaa; 20]),
            peer_id: PeerId([0xbb; 20]),
            port: 0x1ae1,
            uploaded: 3,
            downloaded: 1,
            left: 2,
            event,
            key: 0xc0de,
            num_want: 100,
            tracker_id: None,
        }
    }

    #[test]
    fn requests_byte_by_byte() {
        assert_eq!(
            connect(0x01020304),
            [
                0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4
            ]
        );
        let packet = announce(
            0x0102030405060708,
            9,
            &request(AnnounceEvent::Started),
            "/announce",
        );
        let expected = [
            &[1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1, 0, 0, 0, 9][..],
            &[0xaa; 20],
            &[0xbb; 20],
            &[
                0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3,
            ],
            &[
                0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0xc0, 0xde, 0, 0, 0, 100, 0x1a, 0xe1,
            ],
        ];
        assert_eq!(packet, expected.concat());
        assert_eq!(packet.len(), 98);
        for (event, number, wanted) in [
            (AnnounceEvent::Periodic, 0, 100),
            (AnnounceEvent::Completed, 1, 100),
            (AnnounceEvent::Stopped, 3, 0),
        ] {
            let packet = announce(0, 0, &request(event), "");
            assert_eq!((packet[83], packet[95]), (number, wanted), "{event:?}");
        }
    }

    #[test]
    fn url_options() {
        let options =
            |path: &str| announce(0, 0, &request(AnnounceEvent::Periodic), path).split_off(98);
        assert_eq!(options("/"), b"");
        assert_eq!(options("/a?k=v"), b"\x02\x06/a?k=v");
        let long = options(&"x".repeat(256));
        assert_eq!(
            (long.len(), &long[..3], &long[257..]),
            (260, &b"\x02\xffx"[..], &b"\x02\x01x"[..])
        );
        assert_eq!(options(&"x".repeat(5_000)), b"", "too long for a packet");
    }

    #[test]
    fn answers() {
        let announced = |interval, peers: &[&str]| {
            Some(Answer::Announced(AnnounceReply {
                peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
                interval: Duration::from_secs(interval),
                ..AnnounceReply::default()
            }))
        };
        let v4 = b"\0\0\0\x01\0\0\0\x09\0\0\x03\x84\0\0\0\x04\0\0\0\x05\x0a\0\0\x01\0\x09\x0a\0";
        let v6 = b"\0\0\0\x01\0\0\0\x09\xff\xff\xff\xff\0\0\0\x04\0\0\0\x05\
                   \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09\0\x09";
        let cases: &[(&str, &[u8], bool, Option<Answer>)] = &[
            ("empty", b"", false, None),
            ("short", b"\0\0\0\x01\0\0\0", false, None),
            (
                "connected",
                b"\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\x01\0more",
                false,
                Some(Answer::Connected(256)),
            ),
            ("half an id", b"\0\0\0\0\0\0\0\x09\0\0\0\0", false, None),
            (
                "other transaction",
                b"\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\x01\0",
                false,
                None,
            ),
            (
                "unknown action",
                b"\0\0\0\x07\0\0\0\x09\0\0\0\0\0\0\x01\0",
                false,
                None,
            ),
            (
                "refused",
                b"\0\0\0\x03\0\0\0\x09go\x07away",
                false,
                Some(Answer::Refused("go away".to_owned())),
            ),
            (
                "refused without a word",
                b"\0\0\0\x03\0\0\0\x09",
                false,
                Some(Answer::Refused(String::new())),
            ),
            (
                "announced, ragged",
                v4,
                false,
                announced(900, &["10.0.0.1:9"]),
            ),
            (
                "announced, IPv6, interval -1",
                v6,
                true,
                announced(1800, &["[2001:db8::9]:9"]),
            ),
            ("no counts", &v4[..16], false, None),
        ];
        for (name, packet, v6, expected) in cases {
            assert_eq!(answer(packet, 9, *v6), *expected, "{name}");
        }
    }

    #[test]
    fn urls() {
        for (url, expected) in [
            ("udp://t:80/announce", Some(("t:80", "/announce"))),
            ("udp://t:80", Some(("t:80", ""))),
            ("udp://t:80?k=v#x", Some(("t:80", "?k=v"))),
            ("udp://[::1]:80/a/b?k=v", Some(("[::1]:80", "/a/b?k=v"))),
            ("udp://t/announce", None),
            ("udp://:80/announce", None),
            ("udp://t:0/", None),
            ("udp://t:65536/", None),
            ("udp://", None),
            ("udp:", None),
        ] {
            assert_eq!(split_url(url).ok(), expected, "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_packet_is_survived(packet in prop::collection::vec(any::<u8>(), 0..100), v6: bool) {
            let mut packet = packet;
            let _ = answer(&packet, 9, v6);
            packet.splice(..0, [0, 0, 0, 1, 0, 0, 0, 9]);
            if let Some(Answer::Announced(reply)) = answer(&packet, 9, v6) {
                prop_assert!(reply.peers.iter().all(|peer| peer.port() != 0));
            }
        }
    }
}
