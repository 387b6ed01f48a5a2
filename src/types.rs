//! The small types of the whole program: info hash, peer id, and our numbers for peers and
//! torrents.
//!
//! Each is a newtype: the compiler refuses a peer's number in place of a torrent's.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The name of a torrent in the swarm: the SHA-1 of the exact bytes of its `info`
/// dictionary ([BEP 3]). Trackers and peers know a torrent by nothing else.
///
/// [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InfoHash(pub [u8; 20]);

impl fmt::Display for InfoHash {
    /// Writes 40 lower-case hex digits, as in magnet links and in our `--json` lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InfoHash({self})")
    }
}

/// The text is not 40 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an info hash is 40 hex digits")]
pub struct NotAnInfoHash;

impl FromStr for InfoHash {
    type Err = NotAnInfoHash;

    /// Reads 40 hex digits of either case.
    fn from_str(text: &str) -> Result<Self, NotAnInfoHash> {
        if text.len() != 40 || !text.is_ascii() {
            return Err(NotAnInfoHash);
        }
        let mut hash = [0; 20];
        for (i, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| NotAnInfoHash)?;
        }
        // `from_str_radix` accepts a sign, but "+f" is not a byte.
        if text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(hash))
        } else {
            Err(NotAnInfoHash)
        }
    }
}

/// The SHA-1 that a piece must have: 20 bytes of the metainfo's `pieces` string.
pub type PieceHash = [u8; 20];

/// The name that a client gives itself for one run: 20 bytes ([BEP 20]).
///
/// Ours begin with `-SR0100-`: by the two letters and the version, clients recognize each other.
/// (Another client uses `-ST`.)
///
/// [BEP 20]: https://www.bittorrent.org/beps/bep_0020.html
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub [u8; 20]);

/// The beginning of our peer ids: client `SR`, version 0.1.0.0.
pub const PEER_ID_PREFIX: &[u8; 8] = b"-SR0100-";

impl PeerId {
    /// Returns our prefix and twelve random letters and digits.
    pub fn random(rng: &mut fastrand::Rng) -> Self {
        let mut id = [0; 20];
        id[..8].copy_from_slice(PEER_ID_PREFIX);
        id[8..].fill_with(|| rng.alphanumeric() as u8);
        Self(id)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.0.escape_ascii())
    }
}

/// Our number for one connection. A peer that comes back gets a new number, so a late message
/// is never mistaken for one of the new connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct PeerKey(pub u32);

/// Our number for one torrent of this process, from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TorrentId(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_hash_text_round_trip() {
        let text = "d2474e86c95b19b8bcfdb92bc12c9d44667cfa36";
        assert_eq!(text.parse::<InfoHash>().unwrap().to_string(), text);
        for bad in [
            "",
            "d2474e",
            &"g".repeat(40),
            &"+f".repeat(20),
            &"é".repeat(20),
        ] {
            assert_eq!(bad.parse::<InfoHash>(), Err(NotAnInfoHash), "{bad}");
        }
    }

    #[test]
    fn peer_ids_are_ours_and_differ() {
        let mut rng = fastrand::Rng::with_seed(1);
        let (a, b) = (PeerId::random(&mut rng), PeerId::random(&mut rng));
        assert!(a.0.starts_with(PEER_ID_PREFIX) && a != b);
    }
}
