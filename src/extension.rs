//! The extension handshake ([BEP 10]): what peers tell of themselves beyond BEP 3.
//!
//! It is a bencoded dictionary, sent as extended message 0 right after the handshake:
//! `m` names the extensions that the sender understands and the number by which it
//! wants each of them called; `reqq` is how many requests it queues; `v` its name;
//! `p` its listening port; `yourip` our address as it sees it; `upload_only` that it
//! wants nothing ([BEP 21]). All keys may be missing. A key of a wrong type is passed
//! over: it costs that key, not the peer.
//!
//! The peer's session is the only user.
//!
//! [BEP 10]: https://www.bittorrent.org/beps/bep_0010.html
//! [BEP 21]: https://www.bittorrent.org/beps/bep_0021.html

use crate::bencode::{self, BencodeError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// How many requests we queue for a peer: as many as libtorrent and transmission do.
pub const OUR_QUEUE: u32 = 2000;

/// The longest client name that is kept, in bytes.
const MAX_NAME: usize = 64;

#[derive(Serialize)]
struct Ours<'a> {
    m: BTreeMap<&'a str, u8>,
    p: Option<u16>,
    reqq: u32,
    upload_only: Option<u8>,
    v: &'a str,
    yourip: &'a serde_bytes::Bytes,
}

/// Our extension handshake. `port`: where we listen; `seeding`: we want nothing more;
/// `their_ip`: the address that the peer has for us.
pub fn encode(port: Option<u16>, seeding: bool, their_ip: IpAddr) -> Vec<u8> {
    let ip = match their_ip.to_canonical() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let ours = Ours {
        m: BTreeMap::new(),
        p: port,
        reqq: OUR_QUEUE,
        upload_only: seeding.then_some(1),
        v: concat!("storrent ", env!("CARGO_PKG_VERSION")),
        yourip: serde_bytes::Bytes::new(&ip),
    };
    serde_bencode::to_bytes(&ours).unwrap_or_default()
}

/// What a peer told of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtensionHandshake {
    /// How many requests it queues.
    pub reqq: Option<u32>,
    /// Its name and version.
    pub name: Option<String>,
    /// The port that it listens on.
    pub port: Option<u16>,
    /// It wants nothing.
    pub upload_only: bool,
}

/// Reads a peer's extension handshake.
///
/// # Errors
/// If it is not bencoded, or nested deeper than any client's.
pub fn decode(payload: &[u8]) -> Result<ExtensionHandshake, BencodeError> {
    let mut told = ExtensionHandshake::default();
    for (key, value) in bencode::scan(payload, bencode::MESSAGE_DEPTH)?
        .dict()
        .into_iter()
        .flatten()
    {
        match key {
            b"reqq" => {
                told.reqq = value
                    .number()
                    .and_then(|n| u32::try_from(n).ok())
                    .filter(|n| *n > 0)
            }
            b"p" => {
                told.port = value
                    .number()
                    .and_then(|n| u16::try_from(n).ok())
                    .filter(|p| *p > 0)
            }
            b"upload_only" => told.upload_only = value.number() == Some(1),
            b"v" => {
                let name = value.string().map(|name| &name[..name.len().min(MAX_NAME)]);
                told.name = name.map(|name| String::from_utf8_lossy(name).into_owned());
            }
            _ => {}
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_can_be_read() {
        let bytes = encode(Some(6881), true, "10.0.0.7".parse().unwrap());
        let told = decode(&bytes).unwrap();
        assert_eq!(
            (told.port, told.reqq, told.upload_only),
            (Some(6881), Some(OUR_QUEUE), true)
        );
        assert!(told.name.unwrap().starts_with("storrent "));
        assert!(bytes.windows(15).any(|w| w == b"6:yourip4:\x0a\0\0\x07e"));
    }

    #[test]
    fn odd_handshakes() {
        let cases: [(&[u8], ExtensionHandshake); 4] = [
            (b"de", ExtensionHandshake::default()),
            (b"le", ExtensionHandshake::default()),
            (
                b"d1:p3:abc4:reqqi-1e1:v1:\xffe",
                ExtensionHandshake {
                    name: Some("\u{fffd}".into()),
                    ..Default::default()
                },
            ),
            (
                b"d1:md3:\xff\xff\xffi1ee4:reqqi500ee",
                ExtensionHandshake {
                    reqq: Some(500),
                    ..Default::default()
                },
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(decode(bytes).unwrap(), expected, "{}", bytes.escape_ascii());
        }
        assert!(decode(&b"l".repeat(100_000)).is_err(), "nested");
        assert!(decode(b"d1:pi1e").is_err(), "cut");
    }
}
