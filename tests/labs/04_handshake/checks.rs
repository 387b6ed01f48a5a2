//! Lab 4: the handshake, the first 68 bytes of each side (BEP 3). `README.md` beside this file is
//! the page.

mod yours;

use crate::frame::{Check, lab, same, shown};
use std::fmt;
use storrent::parts::wire::{HANDSHAKE_LEN, Handshake};
use storrent::types::{InfoHash, PeerId};
use yours::Yours;

#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Hello {
    pub reserved: [u8; 8],
    pub info_hash: [u8; 20],
    pub peer_id: [u8; 20],
}

/// What the bytes so far are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Heard {
    /// They can begin a handshake, and more must come.
    NotYet,
    /// They can never become one.
    NotBitTorrent,
    /// They begin with a whole handshake.
    Whole(Hello),
}

/// What you write.
pub(crate) trait Shake {
    /// The bytes of a handshake.
    fn write(hello: &Hello) -> Vec<u8>;

    /// What `bytes`, all that came so far, are.
    fn read(bytes: &[u8]) -> Heard;

    /// Whether the sender knows the fast extension (BEP 6) and the extension protocol (BEP 10).
    fn extensions(reserved: [u8; 8]) -> (bool, bool);
}

struct Blank;

impl Shake for Blank {
    fn write(_: &Hello) -> Vec<u8> {
        b"hello".to_vec()
    }

    fn read(_: &[u8]) -> Heard {
        Heard::NotYet
    }

    fn extensions(_: [u8; 8]) -> (bool, bool) {
        (false, false)
    }
}

struct Real;

impl Shake for Real {
    fn write(hello: &Hello) -> Vec<u8> {
        let (info_hash, peer_id) = (InfoHash(hello.info_hash), PeerId(hello.peer_id));
        let reserved = hello.reserved;
        Handshake {
            reserved,
            info_hash,
            peer_id,
        }
        .encode()
        .to_vec()
    }

    fn read(bytes: &[u8]) -> Heard {
        if !Handshake::plausible(bytes) {
            return Heard::NotBitTorrent;
        }
        let Some(whole) = bytes.first_chunk::<HANDSHAKE_LEN>() else {
            return Heard::NotYet;
        };
        match Handshake::decode(whole) {
            None => Heard::NotBitTorrent,
            Some(theirs) => Heard::Whole(Hello {
                reserved: theirs.reserved,
                info_hash: theirs.info_hash.0,
                peer_id: theirs.peer_id.0,
            }),
        }
    }

    fn extensions(reserved: [u8; 8]) -> (bool, bool) {
        let (info_hash, peer_id) = (InfoHash([0; 20]), PeerId([0; 20]));
        let theirs = Handshake {
            reserved,
            info_hash,
            peer_id,
        };
        (theirs.fast(), theirs.extended())
    }
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [reserved, hash] = [&self.reserved[..], &self.info_hash].map(shown);
        write!(
            f,
            "reserved {reserved}, info hash {hash}, peer id {}",
            shown(&self.peer_id)
        )
    }
}

const HELLO: Hello = Hello {
    reserved: [0, 0, 0, 0, 0, 0x10, 0, 4],
    info_hash: *b"the hash of the info",
    peer_id: *b"-XX0001-abcdefghijkl",
};

const BYTES: &[u8; 68] =
    b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04the hash of the info-XX0001-abcdefghijkl";

lab!(what_to_send what_comes byte_by_byte strangers extensions);

fn what_to_send<S: Shake>() -> Check {
    let hint =
        "1 byte 19, the 19 bytes `BitTorrent protocol`, 8 reserved, 20 info hash, 20 peer id";
    same(
        format!("{HELLO:?}"),
        shown(&S::write(&HELLO)),
        shown(BYTES),
        hint,
    )
}

fn what_comes<S: Shake>() -> Check {
    same(
        shown(BYTES),
        S::read(BYTES),
        Heard::Whole(HELLO),
        "the same, read back",
    )?;
    let more = [&BYTES[..], &[0, 0, 0, 1, 2]].concat();
    let hint = "a peer may send its first messages at once: a read may bring more than 68 bytes";
    same(shown(&more), S::read(&more), Heard::Whole(HELLO), hint)
}

fn byte_by_byte<S: Shake>() -> Check {
    for len in 0..=BYTES.len() {
        let expected = match len {
            68 => Heard::Whole(HELLO),
            _ => Heard::NotYet,
        };
        let input = format!("the first {len} bytes of {}", shown(BYTES));
        let hint = "TCP brings bytes in any portions: a part of a handshake is no mistake";
        same(input, S::read(&BYTES[..len]), expected, hint)?;
    }
    Ok(())
}

fn strangers<S: Shake>() -> Check {
    let mut misspelt = *BYTES;
    misspelt[19] = b'L';
    let cases: [(&[u8], &str); 5] = [
        (b"GET / HTTP/1.1\r\n\r\n", "a browser"),
        (
            b"G",
            "nobody need wait for 67 more bytes: the first is not 19",
        ),
        (b"\x16\x03\x01", "the beginning of TLS"),
        (b"\x13BitX", "the fourth letter is wrong"),
        (&misspelt, "the last letter of `protocol` is wrong"),
    ];
    for (bytes, hint) in cases {
        same(shown(bytes), S::read(bytes), Heard::NotBitTorrent, hint)?;
    }
    Ok(())
}

fn extensions<S: Shake>() -> Check {
    for (reserved, expected) in [
        ([0; 8], (false, false)),
        ([0, 0, 0, 0, 0, 0, 0, 4], (true, false)),
        ([0, 0, 0, 0, 0, 0x10, 0, 0], (false, true)),
        ([0, 0, 0, 0, 0, 0x10, 0, 5], (true, true)),
        (
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xef, 0xff, 0xfb],
            (false, false),
        ),
    ] {
        let hint = "fast is the bit 0x04 of the last byte, extended the bit 0x10 of byte 5 from 0; \
                    other bits say other things";
        same(
            format!("{reserved:02x?}"),
            S::extensions(reserved),
            expected,
            hint,
        )?;
    }
    Ok(())
}
