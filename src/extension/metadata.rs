//! The messages that carry metadata, `ut_metadata` ([BEP 9]): peers send each other the `info`
//! dictionary of a torrent, so a client can begin with a magnet link alone.
//!
//! The dictionary is cut into pieces of 16 KiB, which are not the torrent's pieces. Each message is
//! a bencoded dictionary. The bytes of a piece follow it directly, without a length:
//!
//! ```text
//! request   d 8:msg_type i0e 5:piece i3e e
//! data      d 8:msg_type i1e 5:piece i3e 10:total_size i34256e e <16384 bytes>
//! reject    d 8:msg_type i2e 5:piece i3e e
//! ```
//!
//! [BEP 9]: https://www.bittorrent.org/beps/bep_0009.html

use crate::bencode;
use serde::Serialize;

/// Bytes of each metadata piece but the last.
pub(crate) const PIECE_LEN: usize = 16 << 10;

/// The largest metadata that we fetch, in bytes, because a peer can claim any size.
pub(crate) const MAX_LEN: usize = 16 << 20;

/// One message. The piece number is unchecked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// "Send me this piece."
    Request(u32),
    /// A piece of the metadata.
    Data(u32, &'a [u8]),
    /// "I won't send this piece", usually because the sender has no metadata itself.
    Reject(u32),
}

#[derive(Serialize)]
struct Keys {
    msg_type: u8,
    piece: u32,
    total_size: Option<u32>,
}

impl<'a> Message<'a> {
    /// Reads the payload of an extended message; `None` for nonsense and for unknown kinds, which
    /// BEP 9 wants ignored.
    pub fn decode(payload: &'a [u8]) -> Option<Self> {
        let (keys, data) = bencode::scan_prefix(payload, bencode::MESSAGE_DEPTH).ok()?;
        let (mut kind, mut piece) = (None, None);
        for (key, value) in keys.dict()? {
            match key {
                b"msg_type" => kind = value.number(),
                b"piece" => piece = value.number(),
                _ => {}
            }
        }
        let piece = u32::try_from(piece?).ok()?;
        match kind? {
            0 => Some(Self::Request(piece)),
            1 => Some(Self::Data(piece, data)),
            2 => Some(Self::Reject(piece)),
            _ => None,
        }
    }

    /// Returns the payload to send. `total`, the bytes of the metadata, goes with data only.
    pub fn encode(self, total: usize) -> Vec<u8> {
        let (msg_type, piece, data) = match self {
            Self::Request(piece) => (0, piece, None),
            Self::Data(piece, data) => (1, piece, Some(data)),
            Self::Reject(piece) => (2, piece, None),
        };
        let keys = Keys {
            msg_type,
            piece,
            total_size: data.and_then(|_| u32::try_from(total).ok()),
        };
        let mut payload = bencode::encode(&keys);
        payload.extend_from_slice(data.unwrap_or_default());
        payload
    }
}

/// Returns the bytes of `piece`; `None` if `metadata` has no such piece.
pub(crate) fn piece_of(metadata: &[u8], piece: u32) -> Option<&[u8]> {
    metadata.chunks(PIECE_LEN).nth(piece as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_in_bep_9() {
        let cases: [(Message, &[u8]); 3] = [
            (Message::Request(0), b"d8:msg_typei0e5:piecei0ee"),
            (
                Message::Data(0, b"xxxxxxxx"),
                b"d8:msg_typei1e5:piecei0e10:total_sizei34256eexxxxxxxx",
            ),
            (Message::Reject(0), b"d8:msg_typei2e5:piecei0ee"),
        ];
        for (message, bytes) in cases {
            assert_eq!(message.encode(34256), bytes);
            assert_eq!(Message::decode(bytes), Some(message));
        }
    }

    #[test]
    fn what_makes_no_sense() {
        let cases: [&[u8]; 7] = [
            b"",
            b"le",
            b"d8:msg_typei0ee",
            b"d8:msg_typei-1e5:piecei0ee",
            b"d8:msg_typei0e5:piecei4294967296ee",
            b"d8:msg_typei3e5:piecei0ee",
            &b"l".repeat(50_000),
        ];
        for bytes in cases {
            assert_eq!(Message::decode(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn pieces() {
        let metadata = vec![1; PIECE_LEN + 1];
        assert_eq!(piece_of(&metadata, 0).map(<[u8]>::len), Some(PIECE_LEN));
        assert_eq!(piece_of(&metadata, 1).map(<[u8]>::len), Some(1));
        assert_eq!(piece_of(&metadata, 2), None);
    }
}
