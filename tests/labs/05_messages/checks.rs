//! Lab 5: messages out of a stream that is cut anywhere (BEP 3). `README.md` beside this file is
//! the page.

mod yours;

use crate::frame::{Check, holds, lab, same, shown};
use storrent::parts::layout::RawBlock;
use storrent::parts::wire::{self, decode, max_message_len};
use yours::Yours;

/// The longest message that a peer may send, in bytes after the length: a block of 128 KiB.
pub(crate) const MAX_LEN: usize = 128 * 1024 + 13;

/// A message that owns its bytes.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Message {
    KeepAlive,
    Choke,
    Unchoke,
    Interested,
    NotInterested,
    Have(u32),
    Bitfield(Vec<u8>),
    Request {
        piece: u32,
        begin: u32,
        len: u32,
    },
    Piece {
        piece: u32,
        begin: u32,
        data: Vec<u8>,
    },
    Cancel {
        piece: u32,
        begin: u32,
        len: u32,
    },
    /// Any other id. Its payload is skipped.
    Unknown(u8),
}

/// What you write: it gets the bytes of one connection as they come.
pub(crate) trait Stream: Default {
    /// Takes the next `bytes` and returns the messages that are now whole, in order. An error says
    /// that the peer broke the rules.
    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Message>, String>;
}

#[derive(Default)]
struct Blank;

impl Stream for Blank {
    fn feed(&mut self, _: &[u8]) -> Result<Vec<Message>, String> {
        Ok(vec![])
    }
}

#[derive(Default)]
struct Real(Vec<u8>);

impl Stream for Real {
    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Message>, String> {
        self.0.extend_from_slice(bytes);
        let mut messages = Vec::new();
        let max_len = max_message_len(1);
        while let Some((message, len)) = decode(&self.0, max_len).map_err(|e| e.to_string())? {
            messages.push(owned(&message, self.0[4..].first().copied().unwrap_or(0)));
            self.0.drain(..len);
        }
        Ok(messages)
    }
}

fn owned(message: &wire::Message, id: u8) -> Message {
    match *message {
        wire::Message::KeepAlive => Message::KeepAlive,
        wire::Message::Choke => Message::Choke,
        wire::Message::Unchoke => Message::Unchoke,
        wire::Message::Interested => Message::Interested,
        wire::Message::NotInterested => Message::NotInterested,
        wire::Message::Have(piece) => Message::Have(piece),
        wire::Message::Bitfield(bits) => Message::Bitfield(bits.to_vec()),
        wire::Message::Request(RawBlock {
            index,
            begin,
            length,
        }) => Message::Request {
            piece: index,
            begin,
            len: length,
        },
        wire::Message::Piece { index, begin, data } => Message::Piece {
            piece: index,
            begin,
            data: data.to_vec(),
        },
        wire::Message::Cancel(RawBlock {
            index,
            begin,
            length,
        }) => Message::Cancel {
            piece: index,
            begin,
            len: length,
        },
        _ => Message::Unknown(id),
    }
}

/// One message of each kind, and its bytes.
fn each_kind() -> Vec<(Message, Vec<u8>)> {
    let (piece, begin, len) = (1, 0x4000, 0x100);
    let block = [0, 0, 0, 1, 0, 0, 0x40, 0, 0, 0, 1, 0];
    let with = |head: &[u8], rest: &[u8]| [head, rest].concat();
    let data = b"data of a block".to_vec();
    vec![
        (Message::KeepAlive, vec![0, 0, 0, 0]),
        (Message::Choke, vec![0, 0, 0, 1, 0]),
        (Message::Unchoke, vec![0, 0, 0, 1, 1]),
        (Message::Interested, vec![0, 0, 0, 1, 2]),
        (Message::NotInterested, vec![0, 0, 0, 1, 3]),
        (Message::Have(258), vec![0, 0, 0, 5, 4, 0, 0, 1, 2]),
        (
            Message::Bitfield(vec![0xff, 0x80]),
            vec![0, 0, 0, 3, 5, 0xff, 0x80],
        ),
        (
            Message::Request { piece, begin, len },
            with(&[0, 0, 0, 13, 6], &block),
        ),
        (
            Message::Piece {
                piece,
                begin,
                data: data.clone(),
            },
            [&[0, 0, 0, 24, 7], &block[..8], &data].concat(),
        ),
        (
            Message::Cancel { piece, begin, len },
            with(&[0, 0, 0, 13, 8], &block),
        ),
        (Message::Unknown(99), vec![0, 0, 0, 4, 99, 1, 2, 3]),
    ]
}

lab!(each_alone all_at_once any_cut a_giant wrong_lengths);

fn each_alone<S: Stream>() -> Check {
    for (message, bytes) in each_kind() {
        let yours = S::default().feed(&bytes);
        let hint = "4 bytes length, most significant first; then the id and the payload, if any";
        same(shown(&bytes), yours, Ok(vec![message]), hint)?;
    }
    Ok(())
}

fn all_at_once<S: Stream>() -> Check {
    let (messages, bytes): (Vec<_>, Vec<_>) = each_kind().into_iter().unzip();
    let bytes = bytes.concat();
    let hint = "one read may bring many messages: go on until none is whole";
    same(shown(&bytes), S::default().feed(&bytes), Ok(messages), hint)
}

fn any_cut<S: Stream>() -> Check {
    let (messages, bytes): (Vec<_>, Vec<_>) = each_kind().into_iter().unzip();
    let bytes = bytes.concat();
    let hint = "keep the bytes of a message that is not whole yet, and put the next ones behind";
    for size in 1..bytes.len() {
        let (mut stream, mut yours) = (S::default(), Vec::new());
        for part in bytes.chunks(size) {
            yours.extend(stream.feed(part)?);
        }
        let input = format!("all kinds of messages, {size} bytes at a time");
        same(input, yours, messages.clone(), hint)?;
    }
    Ok(())
}

fn a_giant<S: Stream>() -> Check {
    let mut most = ((MAX_LEN) as u32).to_be_bytes().to_vec();
    let hint = "a message of MAX_LEN bytes may still come";
    let yours = S::default().feed(&most);
    holds(
        yours.is_ok(),
        shown(&most),
        format!("{yours:?}"),
        "no error",
        hint,
    )?;
    most[3] += 1;
    for prefix in [&most[..], &[0xff; 4]] {
        let yours = S::default().feed(prefix);
        let hint = "refuse the length as soon as it is there: whoever waits for 4 GiB, or makes \
                    room for them, is lost";
        holds(
            yours.is_err(),
            shown(prefix),
            format!("{yours:?}"),
            "an error",
            hint,
        )?;
    }
    Ok(())
}

fn wrong_lengths<S: Stream>() -> Check {
    let cases: [(&[u8], &str); 5] = [
        (&[0, 0, 0, 2, 0, 0], "choke has no payload"),
        (&[0, 0, 0, 4, 4, 0, 0, 0], "have has 4 bytes"),
        (
            &[0, 0, 0, 12, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            "request has 12 bytes",
        ),
        (&[0, 0, 0, 5, 7, 0, 0, 0, 0], "piece has at least 8 bytes"),
        (
            &[0, 0, 0, 14, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            "cancel has 12 bytes",
        ),
    ];
    for (bytes, hint) in cases {
        let yours = S::default().feed(bytes);
        holds(
            yours.is_err(),
            shown(bytes),
            format!("{yours:?}"),
            "an error",
            hint,
        )?;
    }
    Ok(())
}
