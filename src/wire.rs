//! The peer wire protocol: the bytes of the messages between peers ([BEP 3], [BEP 6], [BEP 10]).
//!
//! After a 68-byte handshake, each side sends messages of this shape at any time:
//!
//! ```text
//! <4: length, big-endian> <1: id> <length - 1: payload>      length 0: keep-alive, no id
//!
//!  0 choke            -                        6 request   <4 piece> <4 begin> <4 length>
//!  1 unchoke          -                        7 piece     <4 piece> <4 begin> <data>
//!  2 interested       -                        8 cancel    as request
//!  3 not interested   -                        9 port      <2 UDP port of the DHT>
//!  4 have             <4 piece>               20 extended  <1 id> <payload>        BEP 10
//!  5 bitfield         <1 bit a piece>
//! 13 suggest          <4 piece>               16 reject    as request              BEP 6
//! 14 have all         -                       17 allowed   <4 piece>               BEP 6
//! 15 have none        -                                    fast                    BEP 6
//! ```
//!
//! No I/O, no decisions: the peer's session acts on the messages.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 6]: https://www.bittorrent.org/beps/bep_0006.html
//! [BEP 10]: https://www.bittorrent.org/beps/bep_0010.html

use crate::layout::{MAX_SERVED_LEN, RawBlock};
use crate::types::{InfoHash, PeerId};

/// Bytes of a handshake.
pub const HANDSHAKE_LEN: usize = 68;

const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// The first message of each side, as
/// `<1: 19> <19: "BitTorrent protocol"> <8: reserved> <20: info hash> <20: peer id>`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handshake {
    /// The sender's extensions: 0x10 in byte 5 is BEP 10, 0x04 in byte 7 is BEP 6, 0x01 in byte
    /// 7 is BEP 5.
    pub reserved: [u8; 8],
    /// The torrent that the connection is for.
    pub info_hash: InfoHash,
    /// The sender's peer id.
    pub peer_id: PeerId,
}

impl Handshake {
    /// Returns our handshake, with the flags of BEP 6 and BEP 10.
    pub fn new(info_hash: InfoHash, peer_id: PeerId) -> Self {
        Self {
            reserved: [0, 0, 0, 0, 0, 0x10, 0, 0x04],
            info_hash,
            peer_id,
        }
    }

    /// Adds the flag of the DHT, so that the peer may send PORT messages (BEP 5).
    pub fn with_dht(mut self) -> Self {
        self.reserved[7] |= 0x01;
        self
    }

    /// Whether the sender knows the fast extension (BEP 6).
    pub fn fast(&self) -> bool {
        self.reserved[7] & 0x04 != 0
    }

    /// Whether the sender knows the extension protocol (BEP 10).
    pub fn extended(&self) -> bool {
        self.reserved[5] & 0x10 != 0
    }

    /// Returns the bytes to send.
    pub fn encode(&self) -> [u8; HANDSHAKE_LEN] {
        let mut bytes = [0; HANDSHAKE_LEN];
        bytes[..20].copy_from_slice(PROTOCOL);
        bytes[20..28].copy_from_slice(&self.reserved);
        bytes[28..48].copy_from_slice(&self.info_hash.0);
        bytes[48..].copy_from_slice(&self.peer_id.0);
        bytes
    }

    /// Reads a handshake. `None` if it does not begin with the protocol's name, which
    /// [`Handshake::plausible`] can tell before all 68 bytes are here.
    pub fn decode(bytes: &[u8; HANDSHAKE_LEN]) -> Option<Self> {
        let (reserved, rest) = bytes.strip_prefix(PROTOCOL)?.split_first_chunk::<8>()?;
        let (info_hash, peer_id) = rest.split_first_chunk::<20>()?;
        Some(Self {
            reserved: *reserved,
            info_hash: InfoHash(*info_hash),
            peer_id: PeerId(*peer_id.first_chunk()?),
        })
    }

    /// Whether `bytes` can begin a handshake. HTTP and encrypted handshakes usually differ in the
    /// first byte.
    pub fn plausible(bytes: &[u8]) -> bool {
        let n = bytes.len().min(PROTOCOL.len());
        bytes[..n] == PROTOCOL[..n]
    }
}

/// A message that borrows its data from the receive buffer: nothing is copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// "I am still here." Sent after a minute or two of silence.
    KeepAlive,
    /// "I will not answer your requests for now."
    Choke,
    /// "I will answer your requests."
    Unchoke,
    /// "You have pieces that I want."
    Interested,
    /// "You have nothing that I want."
    NotInterested,
    /// "I have this piece now."
    Have(u32),
    /// "These are the pieces that I have." Sent only as the first message.
    Bitfield(&'a [u8]),
    /// "Send me this block."
    Request(RawBlock),
    /// A block that was requested.
    Piece {
        /// The block's piece.
        index: u32,
        /// Where the block begins in the piece, in bytes.
        begin: u32,
        /// The block's bytes.
        data: &'a [u8],
    },
    /// "I no longer need this block."
    Cancel(RawBlock),
    /// "My DHT node listens on this UDP port." (BEP 5)
    Port(u16),
    /// "This piece is cheap for me to send." (BEP 6)
    Suggest(u32),
    /// "I have all pieces." Sent instead of a bitfield. (BEP 6)
    HaveAll,
    /// "I have no pieces yet." Sent instead of a bitfield. (BEP 6)
    HaveNone,
    /// "I will not send you this block." (BEP 6)
    Reject(RawBlock),
    /// "I send you this piece even while I choke you." (BEP 6)
    AllowedFast(u32),
    /// A message of the extension protocol. (BEP 10)
    Extended {
        /// 0 for the extension handshake, else a number that the receiver chose.
        id: u8,
        /// Bencode, in most extensions.
        payload: &'a [u8],
    },
    /// A message with an unknown id, which the receiver skips.
    Unknown(u8),
}

/// Why bytes are not a message. We drop the peer that sent them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The length prefix is over the limit, so the body is never stored.
    #[error("a message of {len} bytes; at most {max_len} make sense here")]
    TooLong {
        /// The length in the prefix, in bytes.
        len: usize,
        /// The limit, in bytes.
        max_len: usize,
    },
    /// A known id with a length that its kind of message never has.
    #[error("message {id} with a length of {len}")]
    BadLength {
        id: u8,
        /// In bytes, id included.
        len: usize,
    },
}

/// Returns the longest message that a peer of a torrent of `pieces` pieces may send, in bytes: a
/// bitfield, or a block of the largest size that any client sends.
pub fn max_message_len(pieces: u32) -> usize {
    (MAX_SERVED_LEN as usize + 13).max(pieces.div_ceil(8) as usize + 1)
}

/// Reads the first whole message of `buf`; returns it and how many bytes it took.
///
/// `Ok(None)`: the message is incomplete. Keep the bytes, append more, and call again. So a read
/// that times out within a message loses nothing.
///
/// # Errors
/// [`WireError`], if the bytes can never become a message.
pub fn decode(buf: &[u8], max_len: usize) -> Result<Option<(Message<'_>, usize)>, WireError> {
    let Some((prefix, rest)) = buf.split_first_chunk() else {
        return Ok(None);
    };
    let len = u32::from_be_bytes(*prefix) as usize;
    if len > max_len {
        return Err(WireError::TooLong { len, max_len });
    }
    let Some(body) = rest.get(..len) else {
        return Ok(None);
    };
    let message = match body {
        [] => Message::KeepAlive,
        [0] => Message::Choke,
        [1] => Message::Unchoke,
        [2] => Message::Interested,
        [3] => Message::NotInterested,
        [4, p @ ..] if p.len() == 4 => Message::Have(be32(p, 0)),
        [5, bits @ ..] => Message::Bitfield(bits),
        [6, p @ ..] if p.len() == 12 => Message::Request(raw_block(p)),
        [7, p @ ..] if p.len() >= 8 => Message::Piece {
            index: be32(p, 0),
            begin: be32(p, 4),
            data: &p[8..],
        },
        [8, p @ ..] if p.len() == 12 => Message::Cancel(raw_block(p)),
        [9, high, low] => Message::Port(u16::from_be_bytes([*high, *low])),
        [13, p @ ..] if p.len() == 4 => Message::Suggest(be32(p, 0)),
        [14] => Message::HaveAll,
        [15] => Message::HaveNone,
        [16, p @ ..] if p.len() == 12 => Message::Reject(raw_block(p)),
        [17, p @ ..] if p.len() == 4 => Message::AllowedFast(be32(p, 0)),
        [20, id, payload @ ..] => Message::Extended { id: *id, payload },
        [id @ (0..=9 | 13..=17 | 20), ..] => return Err(WireError::BadLength { id: *id, len }),
        [id, ..] => Message::Unknown(*id),
    };
    Ok(Some((message, 4 + len)))
}

/// Reads four bytes at `at`; the caller has checked that they are there.
fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn raw_block(p: &[u8]) -> RawBlock {
    RawBlock {
        index: be32(p, 0),
        begin: be32(p, 4),
        length: be32(p, 8),
    }
}

impl Message<'_> {
    /// Appends the message's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Message::KeepAlive => out.extend([0; 4]),
            Message::Choke => head(out, 0, 0),
            Message::Unchoke => head(out, 1, 0),
            Message::Interested => head(out, 2, 0),
            Message::NotInterested => head(out, 3, 0),
            Message::Have(index) => numbers(out, 4, &[index]),
            Message::Bitfield(bits) => {
                head(out, 5, bits.len());
                out.extend_from_slice(bits);
            }
            Message::Request(raw) => numbers(out, 6, &[raw.index, raw.begin, raw.length]),
            Message::Piece { index, begin, data } => {
                encode_piece_head(out, index, begin, data.len() as u32);
                out.extend_from_slice(data);
            }
            Message::Cancel(raw) => numbers(out, 8, &[raw.index, raw.begin, raw.length]),
            Message::Port(port) => {
                head(out, 9, 2);
                out.extend(port.to_be_bytes());
            }
            Message::Suggest(index) => numbers(out, 13, &[index]),
            Message::HaveAll => head(out, 14, 0),
            Message::HaveNone => head(out, 15, 0),
            Message::Reject(raw) => numbers(out, 16, &[raw.index, raw.begin, raw.length]),
            Message::AllowedFast(index) => numbers(out, 17, &[index]),
            Message::Extended { id, payload } => {
                head(out, 20, payload.len() + 1);
                out.push(id);
                out.extend_from_slice(payload);
            }
            Message::Unknown(id) => head(out, id, 0),
        }
    }
}

/// Bytes of a piece message before its data: length, id, piece and begin.
pub(crate) const PIECE_HEAD_LEN: usize = 13;

/// Appends the head of a piece message, whose `len` bytes of data go straight from the file.
pub fn encode_piece_head(out: &mut Vec<u8>, index: u32, begin: u32, len: u32) {
    head(out, 7, 8 + len as usize);
    out.extend(index.to_be_bytes());
    out.extend(begin.to_be_bytes());
}

fn head(out: &mut Vec<u8>, id: u8, payload: usize) {
    out.extend((payload as u32 + 1).to_be_bytes());
    out.push(id);
}

fn numbers(out: &mut Vec<u8>, id: u8, payload: &[u32]) {
    head(out, id, 4 * payload.len());
    payload
        .iter()
        .for_each(|number| out.extend(number.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn handshake_layout() {
        let ours = Handshake::new(InfoHash([7; 20]), PeerId([9; 20]));
        let bytes = ours.encode();
        assert_eq!(&bytes[..20], b"\x13BitTorrent protocol");
        assert_eq!(Handshake::decode(&bytes), Some(ours));
        assert!(ours.fast() && ours.extended());
        assert_eq!(ours.reserved, [0, 0, 0, 0, 0, 0x10, 0, 0x04]);
        assert_eq!(ours.with_dht().reserved, [0, 0, 0, 0, 0, 0x10, 0, 0x05]);
        let mut other = bytes;
        other[3] ^= 1;
        assert_eq!(Handshake::decode(&other), None);
        assert!(Handshake::plausible(&bytes[..1]) && Handshake::plausible(&bytes));
        assert!(!Handshake::plausible(b"GET / HTTP/1.1"));
    }

    #[test]
    fn bytes_of_the_specification() {
        let cases: [(Message, &[u8]); 5] = [
            (Message::KeepAlive, &[0, 0, 0, 0]),
            (Message::Interested, &[0, 0, 0, 1, 2]),
            (Message::Have(258), &[0, 0, 0, 5, 4, 0, 0, 1, 2]),
            (
                Message::Request(RawBlock {
                    index: 1,
                    begin: 0x4000,
                    length: 0x4000,
                }),
                &[0, 0, 0, 13, 6, 0, 0, 0, 1, 0, 0, 0x40, 0, 0, 0, 0x40, 0],
            ),
            (
                Message::Piece {
                    index: 1,
                    begin: 2,
                    data: b"xy",
                },
                &[0, 0, 0, 11, 7, 0, 0, 0, 1, 0, 0, 0, 2, b'x', b'y'],
            ),
        ];
        for (message, bytes) in cases {
            let mut out = vec![];
            message.encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(decode(bytes, 100), Ok(Some((message, bytes.len()))));
        }
    }

    #[test]
    fn hostile_messages() {
        let too_long = |len| Err(WireError::TooLong { len, max_len: 100 });
        let bad = |id, len| Err(WireError::BadLength { id, len });
        type Decoded<'a> = Result<Option<(Message<'a>, usize)>, WireError>;
        let cases: [(&str, &[u8], Decoded); 7] = [
            ("4 GiB prefix", &[255; 4], too_long(u32::MAX as usize)),
            ("one past the limit", &[0, 0, 0, 101], too_long(101)),
            ("choke with payload", &[0, 0, 0, 2, 0, 0], bad(0, 2)),
            ("have of 3 bytes", &[0, 0, 0, 4, 4, 0, 0, 0], bad(4, 4)),
            (
                "piece without begin",
                &[0, 0, 0, 5, 7, 0, 0, 0, 0],
                bad(7, 5),
            ),
            ("extended without id", &[0, 0, 0, 1, 20], bad(20, 1)),
            (
                "unknown id",
                &[0, 0, 0, 2, 99, 1],
                Ok(Some((Message::Unknown(99), 6))),
            ),
        ];
        for (name, bytes, expected) in cases {
            assert_eq!(decode(bytes, 100), expected, "{name}");
        }
    }

    fn message() -> impl Strategy<Value = Vec<u8>> {
        let raw = any::<[u32; 3]>().prop_map(|[index, begin, length]| RawBlock {
            index,
            begin,
            length,
        });
        let data = prop::collection::vec(any::<u8>(), 0..300);
        let encoded = |m: Message| {
            let mut out = vec![];
            m.encode(&mut out);
            out
        };
        prop_oneof![
            Just(encoded(Message::KeepAlive)),
            Just(encoded(Message::Choke)),
            any::<u32>().prop_map(move |i| encoded(Message::Have(i))),
            raw.clone().prop_map(move |r| encoded(Message::Request(r))),
            raw.prop_map(move |r| encoded(Message::Reject(r))),
            data.clone()
                .prop_map(move |d| encoded(Message::Bitfield(&d))),
            (any::<u8>(), data.clone())
                .prop_map(move |(id, d)| encoded(Message::Extended { id, payload: &d })),
            data.prop_map(move |d| encoded(Message::Piece {
                index: 1,
                begin: 2,
                data: &d
            })),
        ]
    }

    proptest! {
        /// However the stream is cut, the same messages come out.
        #[test]
        fn any_cut_of_the_stream(messages in prop::collection::vec(message(), 0..20), cut in 1usize..50) {
            let stream = messages.concat();
            let (mut buf, mut out) = (vec![], vec![]);
            for chunk in stream.chunks(cut) {
                buf.extend_from_slice(chunk);
                while let Some((message, used)) = decode(&buf, 1000).unwrap() {
                    message.encode(&mut out);
                    buf.drain(..used);
                }
            }
            prop_assert!(buf.is_empty());
            prop_assert_eq!(out, stream);
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((_, used))) = decode(&bytes, 150) {
                prop_assert!(used <= bytes.len());
            }
        }
    }
}
