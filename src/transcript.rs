//! Reads a recorded conversation of two peers, and says what its bytes mean.
//!
//! A recording is text. Each line has a direction and bytes in hex; a message may be cut anywhere:
//!
//! ```text
//! # a comment
//! > 13426974546f7272656e742070726f746f636f6c     went: we sent these bytes
//! < 00000001 02                                  came: the peer sent these
//! ```
//!
//! [`page`] joins the bytes of each direction, takes them apart with [`wire`] as a peer would, and
//! prints each message when its last byte has come, so that both sides stand in their order. A
//! recording is as hostile as a peer: the page shows only hex and escaped text, and only the
//! beginning of a long field. Used by `storrent show`. No I/O.

use crate::bencode::{self, Raw};
use crate::human::{count, escaped};
use crate::layout::MAX_PIECES;
use crate::types::InfoHash;
use crate::wire::{self, HANDSHAKE_LEN, Handshake, Message};
use std::collections::BTreeMap;

/// The longest recording that is read, in bytes of text.
pub(crate) const MAX_LEN: usize = 4 << 20;

/// Bytes in a row of the page.
const ROW: usize = 16;

/// The most rows of one field; further bytes are counted.
const MAX_ROWS: usize = 4;

/// The longest text of one value, in characters.
const MAX_TEXT: usize = 400;

/// The longest string within such a text, in bytes.
const MAX_STRING: usize = 48;

/// Why a text is no recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TranscriptError {
    #[error("line {0} begins with none of < (came), > (went) and # (a comment)")]
    NoDirection(usize),
    #[error("line {0} has something other than pairs of hex digits")]
    NotHex(usize),
}

/// Bytes that one side sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Whether we sent them.
    pub went: bool,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Reads the lines of a recording, in order.
///
/// # Errors
/// [`TranscriptError`], with the line's number from 1.
pub fn parse(text: &str) -> Result<Vec<Chunk>, TranscriptError> {
    let mut chunks = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let went = match line.chars().next() {
            None | Some('#') => continue,
            Some('>') => true,
            Some('<') => false,
            Some(_) => return Err(TranscriptError::NoDirection(number)),
        };
        let bytes = unhex(&line[1..]).ok_or(TranscriptError::NotHex(number))?;
        chunks.push(Chunk { went, bytes });
    }
    Ok(chunks)
}

/// Reads pairs of hex digits, with or without spaces between them.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().filter(|c| !c.is_whitespace());
    let digits: Vec<u32> = digits.map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| (high << 4 | low) as u8);
    rest.is_empty().then(|| bytes.collect())
}

/// Returns the page: each message with its name, below it its bytes with their meaning.
///
/// # Errors
/// [`TranscriptError`], if the text is no recording.
pub fn page(text: &str) -> Result<String, TranscriptError> {
    let mut conversation = Conversation::default();
    for chunk in parse(text)? {
        conversation.hear(chunk);
    }
    conversation.end();
    Ok(conversation.page)
}

#[derive(Default)]
enum Stage {
    #[default]
    Greeting,
    Messages,
    /// What follows can't be read.
    Opaque,
}

#[derive(Default)]
struct Side {
    /// Bytes that are no whole message yet.
    rest: Vec<u8>,
    stage: Stage,
    /// The extension messages that this side takes, by its numbers for them (BEP 10).
    extensions: BTreeMap<u8, String>,
}

#[derive(Default)]
struct Conversation {
    sides: [Side; 2],
    page: String,
}

impl Conversation {
    /// Takes bytes, and prints the messages that are now whole.
    fn hear(&mut self, chunk: Chunk) {
        let side = usize::from(chunk.went);
        let mut bytes = std::mem::take(&mut self.sides[side].rest);
        bytes.extend(chunk.bytes);
        let mut at = 0;
        while let Some(used) = self.message(chunk.went, &bytes[at..]) {
            at += used;
        }
        bytes.drain(..at);
        self.sides[side].rest = bytes;
    }

    /// Prints the first message of `bytes` and returns its length; `None` if it is not whole.
    fn message(&mut self, went: bool, bytes: &[u8]) -> Option<usize> {
        let side = usize::from(went);
        match self.sides[side].stage {
            _ if bytes.is_empty() => None,
            Stage::Greeting if !Handshake::plausible(bytes) => {
                self.title(
                    went,
                    "no handshake, so obfuscated (MSE) or another protocol",
                );
                self.sides[side].stage = Stage::Opaque;
                Some(0)
            }
            Stage::Greeting => {
                let bytes = bytes.first_chunk::<HANDSHAKE_LEN>()?;
                let handshake = Handshake::decode(bytes)?;
                self.sides[side].stage = Stage::Messages;
                self.handshake(went, bytes, &handshake);
                Some(HANDSHAKE_LEN)
            }
            Stage::Messages => {
                match wire::decode(bytes, wire::max_message_len(MAX_PIECES as u32)) {
                    Ok(None) => None,
                    Ok(Some((message, used))) => {
                        self.explain(went, message, &bytes[..used]);
                        Some(used)
                    }
                    Err(error) => {
                        self.title(went, &format!("breaks the protocol: {error}"));
                        self.sides[side].stage = Stage::Opaque;
                        Some(0)
                    }
                }
            }
            Stage::Opaque => {
                self.title(went, "not readable");
                self.field(bytes, "");
                Some(bytes.len())
            }
        }
    }

    /// Counts the bytes that are left at the end of the recording.
    fn end(&mut self) {
        for went in [false, true] {
            let rest = std::mem::take(&mut self.sides[usize::from(went)].rest);
            if !rest.is_empty() {
                self.title(went, "cut off: the rest of this message is not recorded");
                self.field(&rest, "");
            }
        }
    }

    fn title(&mut self, went: bool, name: &str) {
        let direction = if went { "> went" } else { "< came" };
        self.page += &format!("{direction}  {name}\n");
    }

    /// Prints the bytes of a field, with their meaning beside the first row.
    fn field(&mut self, bytes: &[u8], meaning: &str) {
        let mut meaning = meaning;
        for row in bytes.chunks(ROW).take(MAX_ROWS) {
            let hex: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
            let line = format!(
                "    {:<width$}  {meaning}",
                hex.join(" "),
                width = 3 * ROW - 1
            );
            self.page += line.trim_end();
            self.page.push('\n');
            meaning = "";
        }
        let rest = bytes.len().saturating_sub(ROW * MAX_ROWS);
        if rest > 0 {
            self.page += &format!("    … and {}\n", count(rest as u64, "byte"));
        }
    }

    fn handshake(&mut self, went: bool, bytes: &[u8; HANDSHAKE_LEN], handshake: &Handshake) {
        self.title(went, "handshake");
        self.field(&bytes[..1], "19 bytes of name follow");
        self.field(&bytes[1..20], "BitTorrent protocol");
        self.field(
            &bytes[20..28],
            &format!("reserved: {}", flags(handshake.reserved)),
        );
        let InfoHash(hash) = handshake.info_hash;
        self.field(&hash, "info hash");
        let id = handshake.peer_id.0;
        self.field(&id, &format!("peer id {}", id.escape_ascii()));
    }

    /// Prints a message: its length, its id, and the fields of its payload.
    fn explain(&mut self, went: bool, message: Message<'_>, bytes: &[u8]) {
        let name = self.name(went, message);
        self.title(went, &name);
        let (length, body) = bytes.split_at(4);
        self.field(length, &format!("length: {}", body.len()));
        let Some((id, payload)) = body.split_at_checked(1) else {
            return;
        };
        self.field(id, &format!("id {}", id[0]));
        match message {
            Message::Have(_) | Message::Suggest(_) | Message::AllowedFast(_) => {
                self.numbers(payload, &["piece"]);
            }
            Message::Request(_) | Message::Cancel(_) | Message::Reject(_) => {
                self.numbers(payload, &["piece", "begin", "length"]);
            }
            Message::Piece { data, .. } => {
                self.numbers(&payload[..8], &["piece", "begin"]);
                self.field(data, &format!("data: {}", count(data.len() as u64, "byte")));
            }
            Message::Bitfield(bits) => {
                let ones: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
                self.field(bits, &format!("{} had", count(ones.into(), "piece")));
            }
            Message::Port(port) => self.field(payload, &format!("UDP port {port}")),
            Message::Extended { id, payload } => self.extended(went, id, payload),
            _ => self.field(payload, ""),
        }
    }

    /// Prints numbers of four bytes, one for each of `names`.
    fn numbers(&mut self, payload: &[u8], names: &[&str]) {
        for (number, name) in payload.as_chunks::<4>().0.iter().zip(names) {
            self.field(number, &format!("{name} {}", u32::from_be_bytes(*number)));
        }
    }

    fn name(&self, went: bool, message: Message<'_>) -> String {
        let name = match message {
            Message::KeepAlive => "keep-alive",
            Message::Choke => "choke",
            Message::Unchoke => "unchoke",
            Message::Interested => "interested",
            Message::NotInterested => "not interested",
            Message::Have(_) => "have",
            Message::Bitfield(_) => "bitfield",
            Message::Request(_) => "request",
            Message::Piece { .. } => "piece",
            Message::Cancel(_) => "cancel",
            Message::Port(_) => "port (BEP 5)",
            Message::Suggest(_) => "suggest (BEP 6)",
            Message::HaveAll => "have all (BEP 6)",
            Message::HaveNone => "have none (BEP 6)",
            Message::Reject(_) => "reject (BEP 6)",
            Message::AllowedFast(_) => "allowed fast (BEP 6)",
            Message::Extended { id: 0, .. } => "extension handshake (BEP 10)",
            Message::Extended { id, .. } => {
                // The number is the receiver's.
                let known = self.sides[usize::from(!went)].extensions.get(&id);
                return match known {
                    Some(name) => format!("extension {name} (BEP 10)"),
                    None => "extension that the receiver did not name (BEP 10)".into(),
                };
            }
            Message::Unknown(_) => "unknown",
        };
        name.into()
    }

    fn extended(&mut self, went: bool, id: u8, payload: &[u8]) {
        self.field(&[id], &format!("extension message {id}"));
        let Ok((value, data)) = bencode::scan_prefix(payload, bencode::MESSAGE_DEPTH) else {
            return self.field(payload, "no bencode");
        };
        let mut text = String::new();
        write_value(&mut text, value);
        self.field(value.bytes(), &text);
        if !data.is_empty() {
            self.field(data, &format!("data: {}", count(data.len() as u64, "byte")));
        }
        if id == 0 {
            let ours = &mut self.sides[usize::from(went)].extensions;
            let named = value.dict().into_iter().flatten();
            let named = named.filter(|(key, _)| *key == b"m");
            for (name, number) in named.flat_map(|(_, m)| m.dict().into_iter().flatten()) {
                let number = number.number().and_then(|n| u8::try_from(n).ok());
                if let Some(number) = number.filter(|number| *number != 0) {
                    ours.insert(number, string(name));
                }
            }
        }
    }
}

/// Names the bits that are set in the reserved bytes of a handshake.
fn flags(reserved: [u8; 8]) -> String {
    let known = [
        (5, 0x10, "extension protocol (BEP 10)"),
        (7, 0x04, "fast extension (BEP 6)"),
        (7, 0x01, "DHT (BEP 5)"),
    ];
    let (mut rest, mut names) = (reserved, Vec::new());
    for (byte, bit, name) in known {
        if rest[byte] & bit != 0 {
            rest[byte] &= !bit;
            names.push(name);
        }
    }
    if rest != [0; 8] {
        names.push("others");
    }
    match names.is_empty() {
        true => "no bit is set".into(),
        false => names.join(", "),
    }
}

/// Appends a readable `value`, up to a little more than [`MAX_TEXT`] characters.
/// [`bencode::MESSAGE_DEPTH`] bounds the recursion.
fn write_value(text: &mut String, value: Raw<'_>) {
    let mut separator = "";
    if let Some(entries) = value.dict() {
        text.push('{');
        for (key, value) in entries {
            if text.len() > MAX_TEXT {
                text.push_str(", …");
                break;
            }
            *text += &format!("{separator}{}: ", string(key));
            write_value(text, value);
            separator = ", ";
        }
        text.push('}');
    } else if let Some(values) = value.list() {
        text.push('[');
        for value in values {
            if text.len() > MAX_TEXT {
                text.push_str(", …");
                break;
            }
            text.push_str(separator);
            write_value(text, value);
            separator = ", ";
        }
        text.push(']');
    } else if let Some(bytes) = value.string() {
        *text += &format!("\"{}\"", string(bytes));
    } else {
        // A number, which the scan keeps short.
        let digits = value.bytes().get(1..value.bytes().len() - 1);
        *text += &escaped(&String::from_utf8_lossy(digits.unwrap_or_default()));
    }
}

/// Returns the beginning of a byte string, escaped.
fn string(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(MAX_STRING)];
    let more = if shown.len() < bytes.len() { "…" } else { "" };
    format!("{}{more}", shown.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn lines_are_read() {
        let chunk = |went, bytes: &[u8]| Chunk {
            went,
            bytes: bytes.to_vec(),
        };
        let text = "# a comment\r\n\n  > 00 0a F\tf\n<\n# > 0\n<01";
        let expected = [
            chunk(true, b"\0\n\xff"),
            chunk(false, b""),
            chunk(false, b"\x01"),
        ];
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse("\n00"), Err(TranscriptError::NoDirection(2)));
        assert_eq!(parse("é"), Err(TranscriptError::NoDirection(1)));
        for bad in ["> 0", "> 0g", "> é", "> 0 0 0", "> +1"] {
            assert_eq!(parse(bad), Err(TranscriptError::NotHex(1)), "{bad}");
        }
    }

    #[test]
    fn a_message_in_two_cuts_is_told_when_it_is_whole() {
        let greeting =
            hex(&Handshake::new(InfoHash([7; 20]), crate::types::PeerId([b'x'; 20])).encode());
        let text = format!(
            "> {greeting}\n< {greeting}\n> 0000000d06 00000001 0000\n< 0000000102\n> 4000 00004000"
        );
        let page = page(&text).unwrap();
        let messages = page.lines().filter(|line| !line.starts_with(' '));
        let names: Vec<&str> = messages.collect();
        assert_eq!(
            names,
            [
                "> went  handshake",
                "< came  handshake",
                "< came  interested",
                "> went  request"
            ]
        );
        let request = &page[page.find("request").unwrap()..];
        let expected = "request
    00 00 00 0d                                      length: 13
    06                                               id 6
    00 00 00 01                                      piece 1
    00 00 40 00                                      begin 16384
    00 00 40 00                                      length 16384
";
        assert_eq!(request, expected);
        assert!(page.contains("reserved: extension protocol (BEP 10), fast extension (BEP 6)\n"));
    }

    #[test]
    fn extensions_go_by_the_numbers_of_the_receiver() {
        let greeting =
            hex(&Handshake::new(InfoHash([7; 20]), crate::types::PeerId([b'x'; 20])).encode());
        let mut text = format!("> {greeting}\n< {greeting}\n");
        for (direction, id, payload) in [
            ('<', 0, &b"d1:md11:ut_metadatai9e6:\x1b[2J\"xi0eee"[..]),
            ('>', 9, b"d8:msg_typei1e5:piecei0eexyz"),
            ('<', 9, b"\xff"),
        ] {
            let mut message = vec![];
            Message::Extended { id, payload }.encode(&mut message);
            text += &format!("{direction} {}\n", hex(&message));
        }
        let page = page(&text).unwrap();
        for words in [
            "{m: {ut_metadata: 9, \\x1b[2J\\\"x: 0}}",
            "> went  extension ut_metadata (BEP 10)\n",
            "{msg_type: 1, piece: 0}\n",
            "data: 3 bytes\n",
            "< came  extension that the receiver did not name (BEP 10)\n",
            "no bencode\n",
        ] {
            assert!(page.contains(words), "{words}: {page}");
        }
    }

    #[test]
    fn what_is_no_conversation_is_said_to_be_none() {
        let page_of = |text: &str| page(text).unwrap();
        assert!(page_of("> 99\n> 98").contains("obfuscated (MSE)"));
        assert!(page_of("> 1342").contains("cut off"));
        let greeting =
            hex(&Handshake::new(InfoHash([7; 20]), crate::types::PeerId([b'x'; 20])).encode());
        let long = page_of(&format!("> {greeting} ffffffff 00"));
        assert!(
            long.contains("breaks the protocol: a message of 4294967295 bytes"),
            "{long}"
        );
        let list = [b"l".repeat(7), b"i1e".repeat(9000), b"e".repeat(7)].concat();
        let mut message = vec![];
        Message::Extended {
            id: 0,
            payload: &list,
        }
        .encode(&mut message);
        let page = page_of(&format!("> {greeting}\n> {}", hex(&message)));
        assert!(page.len() < 2500 && page.contains("1, 1, …"), "{page}");
    }

    proptest! {
        /// Whatever comes in, the page has no control characters and a bounded size.
        #[test]
        fn pages_are_safe(chunks in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..90)), 0..20), greets: bool) {
            let greeting = hex(&Handshake::new(InfoHash([7; 20]), crate::types::PeerId([0; 20])).encode());
            let mut text = if greets { format!("> {greeting}\n< {greeting}\n") } else { String::new() };
            for (went, bytes) in chunks {
                text += &format!("{} {}\n", if went { '>' } else { '<' }, hex(&bytes));
            }
            let page = page(&text).unwrap();
            prop_assert!(page.chars().all(|c| c == '\n' || !c.is_control()));
            prop_assert!(page.len() <= 1000 + 40 * text.len());
        }
    }
}
