//! The messages of peer exchange, `ut_pex` ([BEP 11]): peers tell each other about peers.
//!
//! Once a minute, a peer may list the peers that it has connected to since its last message, and
//! those that have gone. Addresses have the same form as in a tracker's reply. Each added one has a
//! byte of flags:
//!
//! ```text
//! d 5:added   <6 bytes each: IPv4, port>     7:added.f   <1 byte each>
//!   6:added6  <18 bytes each: IPv6, port>    8:added6.f  <1 byte each>
//!   7:dropped <6 each>                       8:dropped6  <18 each>
//! e
//! ```
//!
//! Used by the peer's session; [`crate::torrent`] decides which peers to list. No I/O.
//!
//! [BEP 11]: https://www.bittorrent.org/beps/bep_0011.html

use crate::address::{pack, unpack_all};
use crate::bencode;
use serde::Serialize;
use serde_bytes::ByteBuf;
use std::net::SocketAddr;

/// The most peers that we use of one message. BEP 11 allows 50.
pub const MAX_TAKEN: usize = 100;

/// The most peers that one of our messages adds, and the most that it drops.
pub const MAX_TOLD: usize = 50;

/// A flag: the peer is a seed, or wants no more pieces.
pub(crate) const SEED: u8 = 0x02;

/// A flag: the peer accepts connections. We have dialled it successfully.
pub(crate) const REACHABLE: u8 = 0x10;

/// The fields are in the byte order of their keys, as bencode demands.
#[derive(Serialize, Default)]
struct Keys {
    added: ByteBuf,
    #[serde(rename = "added.f")]
    added_flags: ByteBuf,
    added6: ByteBuf,
    #[serde(rename = "added6.f")]
    added6_flags: ByteBuf,
    dropped: ByteBuf,
    dropped6: ByteBuf,
}

/// Returns the payload that lists added peers (address, flags) and dropped peers.
pub fn encode(added: &[(SocketAddr, u8)], dropped: &[SocketAddr]) -> Vec<u8> {
    let mut keys = Keys::default();
    for &(addr, flags) in added {
        let (list, all_flags) = match addr {
            SocketAddr::V4(_) => (&mut keys.added, &mut keys.added_flags),
            SocketAddr::V6(_) => (&mut keys.added6, &mut keys.added6_flags),
        };
        pack(addr, list);
        all_flags.push(flags);
    }
    for &addr in dropped {
        match addr {
            SocketAddr::V4(_) => pack(addr, &mut keys.dropped),
            SocketAddr::V6(_) => pack(addr, &mut keys.dropped6),
        }
    }
    bencode::encode(&keys)
}

/// Returns the peers that a payload adds, at most [`MAX_TAKEN`]; none for nonsense. Ignores dropped
/// peers: we may still reach a peer that the sender has lost.
pub fn decode(payload: &[u8]) -> Vec<SocketAddr> {
    let mut peers = Vec::new();
    let scanned = bencode::scan(payload, bencode::MESSAGE_DEPTH).ok();
    let entries = scanned.and_then(|raw| raw.dict());
    for (key, value) in entries.into_iter().flatten() {
        let room = MAX_TAKEN - peers.len();
        match (key, value.string()) {
            (b"added", Some(list)) => peers.extend(unpack_all(list, false).take(room)),
            (b"added6", Some(list)) => peers.extend(unpack_all(list, true).take(room)),
            _ => {}
        }
    }
    peers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let (v4, v6): (SocketAddr, SocketAddr) = (
            "10.0.0.1:6881".parse().unwrap(),
            "[2001:db8::1]:6882".parse().unwrap(),
        );
        let payload = encode(&[(v6, SEED), (v4, REACHABLE)], &[v4]);
        let begin = b"d5:added6:\x0a\0\0\x01\x1a\xe17:added.f1:\x106:added618:\x20\x01";
        assert!(payload.starts_with(begin), "{}", payload.escape_ascii());
        assert!(payload.ends_with(b"7:dropped6:\x0a\0\0\x01\x1a\xe18:dropped60:e"));
        assert_eq!(decode(&payload), [v4, v6]);
    }

    #[test]
    fn hostile_payloads() {
        let many = [b"d5:added1200:".as_slice(), &[9; 1200], b"e"].concat();
        assert_eq!(decode(&many).len(), MAX_TAKEN);
        let cases: [&[u8]; 5] = [
            b"",
            b"de",
            b"d5:addedi6ee",
            b"d5:added5:\x0a\0\0\x01\x1ae",
            b"d5:added6:\x0a\0\0\x01\0\0e",
        ];
        for bytes in cases {
            assert_eq!(decode(bytes), [], "{}", bytes.escape_ascii());
        }
    }
}
