//! Repairs the *head* of a web server's answer, its lines up to the first empty one, before
//! `ureq` reads it ([RFC 9112]). No I/O.
//!
//! ```text
//! HTTP/1.1 302 Found
//! Location: /new page          a blank and an é in a URL: browsers escape them
//! Content-Encoding: X-GZIP     the old name, in capitals
//! X-Long: begins here
//!   and goes on here           a folded line, allowed until 2014
//! PHP Notice: ... line without a name, printed by a script by mistake
//!                              an empty line ends the head; the body follows
//! ```
//!
//! Many trackers are small scripts. Browsers and curl read all of this, but `ureq` gives up. So
//! this module rewrites every head in the form that `ureq` accepts. It never touches bodies.
//!
//! We add one line that no server can forge: [`SENDER`], how far away the server is. A redirect is
//! judged by it.
//!
//! [RFC 9112]: https://www.rfc-editor.org/rfc/rfc9112

use crate::address::Reach;
use crate::url;

/// The header that we add: how far away the sender is. A server's own line of this name is removed.
pub const SENDER: &str = "x-storrent-sender";

/// The header's value for each reach.
const WORDS: [(Reach, &str); 3] = [
    (Reach::Machine, "machine"),
    (Reach::LocalNetwork, "network"),
    (Reach::World, "world"),
];

/// Reads that header's value. Anything unknown counts as the world.
pub fn sender(value: Option<&[u8]>) -> Reach {
    let found = WORDS
        .iter()
        .find(|(_, word)| value == Some(word.as_bytes()));
    found.map_or(Reach::World, |(reach, _)| *reach)
}

/// Inserts that header after the first line of a head.
pub fn add_sender(head: &mut Vec<u8>, sender: Reach) {
    let word = WORDS.iter().find(|(reach, _)| *reach == sender);
    let line = format!("{SENDER}: {}\r\n", word.map_or("", |(_, word)| word));
    if let Some(end) = head.iter().position(|byte| *byte == b'\n') {
        head.splice(end + 1..end + 1, line.into_bytes());
    }
}

/// The longest head, in bytes, including the interim answers before it.
pub const MAX_HEAD: usize = 64 << 10;

/// Collects the bytes of an answer until its head is complete.
#[derive(Debug, Default)]
pub struct Collector {
    raw: Vec<u8>,
    /// Bytes of interim answers (`100 Continue`) dropped so far.
    dropped: usize,
}

/// What the bytes received so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Collected {
    /// An incomplete head: more is needed.
    Part,
    /// The repaired head, and those bytes of the body that came with it.
    Whole(Vec<u8>),
    /// No HTTP. Contains the bytes unchanged.
    Foreign(Vec<u8>),
}

/// The head has this many bytes, more than [`MAX_HEAD`].
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong(pub usize);

impl Collector {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`TooLong`], if the head exceeds [`MAX_HEAD`] bytes.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Collected, TooLong> {
        self.raw.extend_from_slice(bytes);
        loop {
            let head = without_empty_lines(&self.raw);
            let start = &head[..head.len().min(HTTP.len())];
            if !HTTP.starts_with(start) {
                return Ok(Collected::Foreign(std::mem::take(&mut self.raw)));
            }
            let len = head_len(head);
            let total = self.dropped + len.unwrap_or(self.raw.len());
            if total > MAX_HEAD {
                return Err(TooLong(total));
            }
            let Some(len) = len else {
                return Ok(Collected::Part);
            };
            let (head, behind) = head.split_at(len);
            if is_interim(head) {
                self.dropped += len;
                self.raw = behind.to_vec();
                continue;
            }
            let mut whole = mended(head);
            whole.extend_from_slice(b"\r\n");
            whole.extend_from_slice(behind);
            self.raw.clear();
            return Ok(Collected::Whole(whole));
        }
    }

    /// Ends the collection early: no more bytes will come. Returns the complete lines, repaired:
    /// perhaps enough to follow a redirect.
    pub fn end(&mut self) -> Vec<u8> {
        let raw = std::mem::take(&mut self.raw);
        let end = raw.iter().rposition(|byte| *byte == b'\n');
        match without_empty_lines(&raw[..end.map_or(0, |last| last + 1)]) {
            [] => Vec::new(),
            lines => mended(lines),
        }
    }
}

const HTTP: &[u8] = b"HTTP/";

fn without_empty_lines(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !b"\r\n".contains(byte));
    &bytes[start.unwrap_or(bytes.len())..]
}

/// Returns the length in bytes of the head at the start of `bytes`, with its final empty line.
/// `None` if the head is incomplete.
fn head_len(bytes: &[u8]) -> Option<usize> {
    let mut len = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        len += line.len();
        if line.iter().all(|byte| b"\r\n".contains(byte)) && line.ends_with(b"\n") {
            return Some(len);
        }
    }
    None
}

/// The status code, such as 200.
fn status(head: &[u8]) -> Option<u16> {
    let word = head.split(|byte| byte.is_ascii_whitespace()).nth(1)?;
    str::from_utf8(word).ok()?.parse().ok()
}

/// Whether the final answer is still to come. After `101` none follows.
fn is_interim(head: &[u8]) -> bool {
    matches!(status(head), Some(100 | 102..=199))
}

/// A line of the head: `name: value`.
struct Field {
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Field {
    /// `None` if the line has no valid name.
    fn read(line: &[u8]) -> Option<Self> {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = line[..colon].trim_ascii_end();
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        (!name.is_empty() && name.iter().all(is_name)).then(|| Self {
            name: name.to_vec(),
            value: line[colon + 1..].trim_ascii().to_vec(),
        })
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// Repairs the lines of a head. The result lacks the empty line at the end.
fn mended(head: &[u8]) -> Vec<u8> {
    let mut lines = head.split(|byte| *byte == b'\n').map(clean);
    let mut text = lines.next().unwrap_or_default();
    text.extend_from_slice(b"\r\n");
    let mut fields: Vec<Field> = Vec::new();
    // Whether the previous line was a field, which a folded line continues.
    let mut goes_on = false;
    for line in lines.filter(|line| !line.is_empty()) {
        if line.starts_with(b" ") {
            if let Some(field) = fields.last_mut().filter(|_| goes_on) {
                field.value.push(b' ');
                field.value.extend_from_slice(line.trim_ascii());
            }
            continue;
        }
        let field = Field::read(&line);
        goes_on = field.is_some();
        fields.extend(field);
    }
    let is_as_stored = is_as_stored(head, &fields);
    for mut field in fields {
        if field.is(SENDER) {
            continue;
        }
        if field.is("location") {
            field.value = url::without_oddities(field.value.trim_ascii()).into_bytes();
        } else if field.is("content-encoding") {
            field.value = encoding(&field.value).into_bytes();
            if field.value.is_empty() || is_as_stored {
                continue;
            }
        }
        for part in [&*field.name, b": ", field.value.trim_ascii(), b"\r\n"] {
            text.extend_from_slice(part);
        }
    }
    text
}

/// Returns a line without its end, and with a blank in place of each control character.
fn clean(line: &[u8]) -> Vec<u8> {
    let end = line.iter().rposition(|byte| *byte != b'\r');
    let line = &line[..end.map_or(0, |last| last + 1)];
    let visible = line.iter().map(|byte| match byte {
        0..=31 | 127 => b' ',
        byte => *byte,
    });
    visible.collect()
}

/// Rewrites the value of `Content-Encoding` with the names that `ureq` knows.
fn encoding(value: &[u8]) -> String {
    let value = String::from_utf8_lossy(value).to_ascii_lowercase();
    let names = value.split(',').map(str::trim);
    let names = names.filter(|name| !matches!(*name, "" | "identity"));
    let names = names.map(|name| if name == "x-gzip" { "gzip" } else { name });
    names.collect::<Vec<_>>().join(", ")
}

/// Whether the body is exactly as long as the file range that it claims to be. Then the encoding
/// belongs to the file itself (a `.gz`), and the body must not be unpacked.
fn is_as_stored(head: &[u8], fields: &[Field]) -> bool {
    let value = |name| {
        let field = fields.iter().find(|field| field.is(name))?;
        str::from_utf8(&field.value).ok()
    };
    let len: Option<u64> = value("content-length").and_then(|len| len.parse().ok());
    let range = value("content-range").and_then(content_range);
    let range_len = range.and_then(|range| (range.last - range.first).checked_add(1));
    status(head) == Some(206) && range_len.is_some() && range_len == len
}

/// Which bytes of a file an answer contains: `Content-Range: bytes 100-199/1000`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContentRange {
    /// The first byte, from 0.
    pub first: u64,
    /// The last byte, not before the first.
    pub last: u64,
    /// The length of the whole file in bytes. `None` for `*`: the server does not know it.
    pub total: Option<u64>,
}

/// Reads the value of a `Content-Range` header. `None` if it is malformed.
pub fn content_range(text: &str) -> Option<ContentRange> {
    let (unit, rest) = text.split_once(' ')?;
    let (range, total) = rest.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    let total = match total {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    let range = ContentRange { first, last, total };
    (unit.eq_ignore_ascii_case("bytes") && first <= last).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Collects an answer that arrives in pieces of `cut` bytes.
    fn collected(bytes: &[u8], cut: usize) -> Vec<u8> {
        let mut collector = Collector::default();
        let mut chunks = bytes.chunks(cut);
        while let Some(chunk) = chunks.next() {
            match collector.take(chunk).unwrap() {
                Collected::Part => {}
                Collected::Whole(mut bytes) | Collected::Foreign(mut bytes) => {
                    chunks.for_each(|chunk| bytes.extend_from_slice(chunk));
                    return bytes;
                }
            }
        }
        collector.end()
    }

    fn check(raw: &[u8], expected: &[u8]) {
        for cut in 1..=raw.len() {
            let got = collected(raw, cut);
            assert!(
                got == expected,
                "{cut}: {} became {}",
                raw.escape_ascii(),
                got.escape_ascii()
            );
        }
    }

    /// Checks that the lines of a head become these, and that the body stays unchanged.
    fn lines(raw: &[u8], expected: &[u8]) {
        const BODY: &[u8] = b"\r\n\r\nHTTP/1.1 200 OK\r\nX: y\n z\0\xff";
        let raw = [b"HTTP/1.1 200 OK\r\n", raw, b"\r\n", BODY].concat();
        let expected = [b"HTTP/1.1 200 OK\r\n", expected, b"\r\n", BODY].concat();
        check(&raw, &expected);
    }

    #[test]
    fn what_is_well_formed_stays() {
        let head = b"Content-Length: 5\r\nX-Empty: \r\nSet-Cookie: a=b\r\nSet-Cookie: c=\xe9\r\n";
        lines(head, head);
        lines(b"", b"");
        lines(
            b"Location: /a%20b?c=d%C3%A9#e\r\n",
            b"Location: /a%20b?c=d%C3%A9#e\r\n",
        );
    }

    #[test]
    fn redirects_are_escaped() {
        let cases: [(&[u8], &[u8]); 6] = [
            (b"/ne w", b"/ne%20w"),
            ("http://h/né".as_bytes(), b"http://h/n%C3%A9"),
            (b"/n\xe9", b"/n%E9"),
            (b"/a\tb|c\"", b"/a%20b%7Cc%22"),
            (b"  /x  ", b"/x"),
            (b"/a\r\n b", b"/a%20b"),
        ];
        for (to, escaped) in cases {
            let raw = [b"LOCATION:", to, b"\r\n"].concat();
            lines(&raw, &[b"LOCATION: ", escaped, b"\r\n"].concat());
        }
    }

    #[test]
    fn encodings_have_one_name() {
        let cases = [
            ("gzip", "Content-Encoding: gzip\r\n"),
            ("GZIP", "Content-Encoding: gzip\r\n"),
            ("X-gzip", "Content-Encoding: gzip\r\n"),
            ("gzip, identity", "Content-Encoding: gzip\r\n"),
            ("Identity", ""),
            ("", ""),
            ("x-gzip,br", "Content-Encoding: gzip, br\r\n"),
        ];
        for (name, line) in cases {
            let raw = format!("Content-Encoding: {name}\r\n");
            lines(raw.as_bytes(), line.as_bytes());
        }
    }

    #[test]
    fn a_part_of_a_packed_file_is_not_unpacked() {
        for (len, kept) in [(10, false), (9, true)] {
            let begin = format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Length: {len}\r\n\
                 Content-Range: bytes 90-99/1000\r\n"
            );
            let raw = format!("{begin}Content-Encoding: x-gzip\r\n\r\n");
            let line = if kept {
                "Content-Encoding: gzip\r\n"
            } else {
                ""
            };
            check(raw.as_bytes(), format!("{begin}{line}\r\n").as_bytes());
        }
    }

    #[test]
    fn folded_and_stray_lines() {
        lines(b"X: a\r\n b\r\n\tc\r\nY: d\r\n", b"X: a b c\r\nY: d\r\n");
        lines(b"X: a\r\n  \r\nY: d\r\n", b"X: a\r\nY: d\r\n");
        lines(b" lost\r\nX: a\r\n", b"X: a\r\n");
        lines(b"PHP Notice\r\n in line 3\r\nX: a\r\n", b"X: a\r\n");
        lines(b"PHP Notice: in line 3\r\n: b\r\nX : a\r\n", b"X: a\r\n");
        lines(b"X:a\nY:b\n", b"X: a\r\nY: b\r\n");
        lines(b"X: a\r\r\nY: \0b\x1bc\rd\r\n", b"X: a\r\nY: b c d\r\n");
    }

    #[test]
    fn the_sender_is_our_word() {
        lines(b"X-Storrent-Sender: machine\r\n x\r\nX: a\r\n", b"X: a\r\n");
        for (reach, word) in WORDS {
            let mut head = b"HTTP/1.1 200 OK\r\nX: a\r\n\r\nbody".to_vec();
            add_sender(&mut head, reach);
            let line = format!("HTTP/1.1 200 OK\r\nx-storrent-sender: {word}\r\nX: a");
            assert!(head.starts_with(line.as_bytes()));
            assert_eq!(sender(Some(word.as_bytes())), reach);
        }
        assert_eq!(
            (sender(None), sender(Some(b"x"))),
            (Reach::World, Reach::World)
        );
    }

    #[test]
    fn interim_answers_go() {
        check(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n y\r\n\r\n\
              \r\nHTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\nbody",
            b"HTTP/1.1 200 OK\r\nX: a b\r\n\r\nbody",
        );
        let switch = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
        check(switch, switch);
    }

    #[test]
    fn what_is_no_http_stays() {
        for bytes in [
            &b"\x16\x03\x01\r\n\r\nX"[..],
            b"nonsense\r\n\r\n",
            b"\r\n<html>",
            b"HTTQ",
        ] {
            check(bytes, bytes);
        }
    }

    #[test]
    fn what_ends_too_early_has_its_complete_lines() {
        check(
            b"HTTP/1.1 302 Found\r\nLocation: /ne w\r\nContent-Le",
            b"HTTP/1.1 302 Found\r\nLocation: /ne%20w\r\n",
        );
        check(b"HTTP/1.1 200 OK", b"");
        check(b"\r\n", b"");
    }

    #[test]
    fn a_head_is_bounded() {
        let line = [b"X: ".to_vec(), vec![b'a'; MAX_HEAD]].concat();
        let endless = [&b"HTTP/1.1 200 OK\r\n"[..], &line].concat();
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(MAX_HEAD / 25 + 1);
        for bytes in [endless, interim, vec![b'\n'; MAX_HEAD + 1]] {
            let mut collector = Collector::default();
            let result = bytes
                .chunks(1000)
                .try_for_each(|chunk| collector.take(chunk).map(|_| ()));
            assert!(matches!(result, Err(TooLong(len)) if len > MAX_HEAD));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_cut(
            head in "(HTTP/1.1 (200|206|302|100) OK\r?\n)?(([A-Za-z-]{0,9}|Location|content-encoding) ?: ?[ -~é\t]{0,9}\r?\n|[ \t]?[a-z: ]{0,5}\n){0,5}(\r?\n)?[a-z\r\n]{0,9}",
        ) {
            let all = collected(head.as_bytes(), head.len().max(1));
            for cut in 1..head.len() {
                prop_assert_eq!(collected(head.as_bytes(), cut), &*all, "{}", cut);
            }
        }
    }
}
