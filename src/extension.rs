//! The extension handshake ([BEP 10]): what peers say about themselves beyond BEP 3.
//!
//! It is a bencoded dictionary, sent as extended message 0 right after the handshake. Every key is
//! optional, and a key of the wrong type is skipped:
//!
//! ```text
//! m            the known extensions, each with the message number that the sender wants for it
//! reqq         how many requests the sender queues
//! v            the sender's name and version
//! p            the port on which the sender listens
//! yourip       our address, as the sender sees it
//! upload_only  1: the sender wants no pieces (BEP 21)
//! ```
//!
//! Used by the peer's thread, its session and its learner; by the torrent, for the flags of PEX.
//!
//! [BEP 10]: https://www.bittorrent.org/beps/bep_0010.html
//! [BEP 21]: https://www.bittorrent.org/beps/bep_0021.html

use crate::bencode::{self, BencodeError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

pub(crate) mod metadata;
pub(crate) mod pex;

/// How many requests we queue for a peer: as many as libtorrent and transmission.
pub(crate) const OUR_QUEUE: u32 = 2000;

/// The message number that peers use to send us [`metadata`].
pub(crate) const OUR_METADATA: u8 = 1;

/// The message number that peers use to send us [`pex`].
pub(crate) const OUR_PEX: u8 = 2;

/// The longest client name that is kept, in bytes.
const MAX_NAME: usize = 64;

/// What we say about ourselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ourselves {
    pub port: Option<u16>,
    /// Whether we want no more pieces.
    pub seeding: bool,
    /// The peer's address as we see it.
    pub their_ip: Option<IpAddr>,
    /// Whether we have the metadata to give, or still need it.
    pub metadata: bool,
    /// Bytes of the metadata that we can give.
    pub metadata_size: Option<u32>,
    pub pex: bool,
}

#[derive(Serialize)]
struct Keys<'a> {
    m: BTreeMap<&'a str, u8>,
    metadata_size: Option<u32>,
    p: Option<u16>,
    reqq: u32,
    upload_only: Option<u8>,
    v: &'a str,
    yourip: Option<&'a serde_bytes::Bytes>,
}

pub(crate) fn encode(ourselves: &Ourselves) -> Vec<u8> {
    let ip = ourselves.their_ip.map(|ip| match ip.to_canonical() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    });
    let known = [
        ("ut_metadata", OUR_METADATA, ourselves.metadata),
        ("ut_pex", OUR_PEX, ourselves.pex),
    ];
    let known = known.into_iter().filter(|(_, _, on)| *on);
    let keys = Keys {
        m: known.map(|(name, id, _)| (name, id)).collect(),
        metadata_size: ourselves.metadata_size,
        p: ourselves.port,
        reqq: OUR_QUEUE,
        upload_only: ourselves.seeding.then_some(1),
        v: concat!("storrent ", env!("CARGO_PKG_VERSION")),
        yourip: ip.as_deref().map(serde_bytes::Bytes::new),
    };
    bencode::encode(&keys)
}

/// What a peer says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtensionHandshake {
    pub reqq: Option<u32>,
    pub name: Option<String>,
    pub port: Option<u16>,
    /// Whether the peer wants no pieces.
    pub upload_only: bool,
    /// The number that the peer wants for [`metadata`] messages; 0 if it wants no more.
    pub metadata: Option<u8>,
    /// Bytes of the metadata, as the peer claims.
    pub metadata_size: Option<u32>,
    /// The number that the peer wants for [`pex`] messages; 0 if it wants no more.
    pub pex: Option<u8>,
}

/// Reads a peer's extension handshake.
///
/// # Errors
/// If it is not bencode, or nests deeper than [`bencode::MESSAGE_DEPTH`].
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
            b"m" => {
                for (name, id) in value.dict().into_iter().flatten() {
                    let id = id.number().and_then(|id| u8::try_from(id).ok());
                    match name {
                        b"ut_metadata" => told.metadata = id,
                        b"ut_pex" => told.pex = id,
                        _ => {}
                    }
                }
            }
            b"metadata_size" => {
                told.metadata_size = value.number().and_then(|n| u32::try_from(n).ok());
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
        let bytes = encode(&Ourselves {
            port: Some(6881),
            seeding: true,
            their_ip: "10.0.0.7".parse().ok(),
            metadata: true,
            metadata_size: Some(31235),
            pex: false,
        });
        let told = decode(&bytes).unwrap();
        assert_eq!((told.metadata, told.pex), (Some(OUR_METADATA), None));
        assert_eq!(told.metadata_size, Some(31235));
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
