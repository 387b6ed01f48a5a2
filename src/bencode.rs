//! Bencode, the notation of BitTorrent ([BEP 3]), and the guard in front of its parser.
//!
//! Torrent files, trackers' replies, DHT packets and the extension messages between peers are
//! written in it. It has four kinds of value:
//!
//! ```text
//! i-42e          a number                 4:spam             a string of 4 bytes
//! li1ei2ee       a list: 1, 2             d3:cow3:mooe       a dictionary: cow is moo
//! ```
//!
//! Bencode can be a weapon: a million `l`s are a million nested lists, which overflow the stack of
//! a recursive parser and end the whole program. So [`scan`] walks all foreign bytes once, without
//! recursion, before `serde_bencode` sees them. It accepts a value only if
//!
//! - it nests no deeper than the caller allows, and has at most [`MAX_TOKENS`] values;
//! - every number and length is written in the one canonical way (no `i007e`, no `-0`);
//! - nothing is missing at the end.
//!
//! It tolerates three faults that real torrents have and other clients read:
//!
//! - bytes after the end of the value (a line feed, zeros, a comment);
//! - a key that a dictionary has twice: [the first counts](Raw::dict);
//! - keys out of order, which BEP 3 forbids. The info hash is taken over the bytes as they are, so
//!   every client computes the same one.
//!
//! The first two are refused where two readers must agree: [`scan_torrent`] allows no doubled key
//! within `info`, because a torrent could hold one thing for us and another for others, and
//! [`scan_exact`] accepts exactly one value.
//!
//! There are two ways to read sound bencode. [`decode`] fills a struct, which suits small messages.
//! [`Raw`] walks the bytes where they lie and copies nothing. This suits torrent files: they are
//! large, the info hash needs the exact bytes of one value, and no unknown part may hinder the
//! known parts. (`serde_bencode` gives up on any number above 2^63-1, used or not.) To write, use
//! [`encode`].
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::ops::Range;

/// How deep a torrent file may nest; a torrent needs 5 levels.
pub const FILE_DEPTH: usize = 32;

/// How deep a tracker's reply or a peer's message may nest; they need 3 levels.
pub(crate) const MESSAGE_DEPTH: usize = 8;

/// The most values and keys in one piece of bencode, as in libtorrent. A torrent of 100,000 files
/// has about a million.
pub(crate) const MAX_TOKENS: usize = 3_000_000;

/// The most characters of one number, sign included. Bencode has no limit, but 64 bits are 20
/// characters.
const MAX_NUMBER_LEN: usize = 40;

/// Returns `value` as bencode. Only for structs of strings, numbers and lists whose fields are
/// declared in the order of their keys as bytes.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_bencode::to_bytes(value).expect("strings, numbers and lists can always be written")
}

/// Why some bytes are not bencode, or not the expected value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BencodeError {
    /// The bytes are not sound bencode.
    #[error("not valid bencode: {problem} at byte {at}")]
    Unsound {
        /// The offending byte, counted from 0.
        at: usize,
        problem: Problem,
    },
    /// A value is missing or of another kind than expected.
    #[error("not the expected bencode")]
    Unexpected(#[source] serde_bencode::Error),
}

/// What [`scan`] objects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// No value begins with this byte, or an `e` has nothing to end.
    #[error("a value should begin")]
    NoValue,
    #[error("cut short")]
    CutShort,
    /// It is not in its shortest form between `i` and `e`.
    #[error("a badly written number")]
    Number,
    /// It is not in its shortest form before a `:`.
    #[error("a badly written string length")]
    Length,
    /// It is a number, a list or a dictionary.
    #[error("a key that is not a string")]
    Key,
    #[error("a key without a value")]
    LoneKey,
    #[error("a key for the second time")]
    DoubledKey,
    #[error("too many nested lists")]
    Depth,
    /// More than [`MAX_TOKENS`] values and keys.
    #[error("too many values")]
    Tokens,
    #[error("something left over")]
    LeftOver,
}

impl Problem {
    fn at(self, at: usize) -> BencodeError {
        BencodeError::Unsound { at, problem: self }
    }
}

/// Where a doubled key is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OneOfEach {
    Nowhere,
    /// Within the value of this key in the outermost dictionary.
    Within(&'static [u8]),
    Everywhere,
}

/// Checks that `bytes` begin with a sound value, nested at most `max_depth` deep. Tolerates
/// doubled keys and bytes after the value.
///
/// # Errors
/// [`BencodeError::Unsound`] says which byte offends, and how.
pub fn scan(bytes: &[u8], max_depth: usize) -> Result<Raw<'_>, BencodeError> {
    scan_prefix(bytes, max_depth).map(|(value, _)| value)
}

/// Like [`scan`], and also returns the bytes after the value: a peer's metadata message is a
/// dictionary and then the payload, with no length between ([BEP
/// 9](https://www.bittorrent.org/beps/bep_0009.html)).
///
/// # Errors
/// As for [`scan`].
pub(crate) fn scan_prefix(
    bytes: &[u8],
    max_depth: usize,
) -> Result<(Raw<'_>, &[u8]), BencodeError> {
    let end = value_end(bytes, max_depth, OneOfEach::Nowhere)?;
    let (value, rest) = bytes.split_at(end);
    Ok((Raw(value), rest))
}

/// Like [`scan`], for a `.torrent`: no dictionary within its `info` may have a key twice.
///
/// # Errors
/// As for [`scan`], and [`Problem::DoubledKey`].
pub(crate) fn scan_torrent(bytes: &[u8]) -> Result<Raw<'_>, BencodeError> {
    let end = value_end(bytes, FILE_DEPTH, OneOfEach::Within(b"info"))?;
    Ok(Raw(&bytes[..end]))
}

/// Checks that `bytes` are one sound value, with nothing after it and no doubled key.
///
/// # Errors
/// As for [`scan`], [`Problem::DoubledKey`] and [`Problem::LeftOver`].
pub(crate) fn scan_exact(bytes: &[u8], max_depth: usize) -> Result<Raw<'_>, BencodeError> {
    match value_end(bytes, max_depth, OneOfEach::Everywhere)? {
        end if end == bytes.len() => Ok(Raw(bytes)),
        end => Err(Problem::LeftOver.at(end)),
    }
}

/// Reads `bytes`, which must be exactly one sound value, into a `T`.
///
/// Keys that `T` lacks are skipped. Two traps of `serde_bencode`: byte strings need `serde_bytes`,
/// and a dictionary that has a key outside UTF-8 fits no struct (use a map of `ByteBuf`).
///
/// # Errors
/// [`BencodeError`], if the bytes are not sound or do not fit `T`.
pub(crate) fn decode<T: DeserializeOwned>(
    bytes: &[u8],
    max_depth: usize,
) -> Result<T, BencodeError> {
    scan_exact(bytes, max_depth)?;
    serde_bencode::from_bytes(bytes).map_err(BencodeError::Unexpected)
}

/// A list or dictionary whose end has not come yet.
struct Open {
    is_dict: bool,
    /// A dictionary's keys and values take turns.
    key_next: bool,
    /// Where its keys begin in `keys`, which holds the keys of all open dictionaries.
    first_key: usize,
    /// Whether its keys ascend so far: then none is doubled.
    sorted: bool,
}

/// Checks the value at the start of `bytes`; returns where it ends.
// Long: one loop, all of whose branches work on the stack of what is open.
fn value_end(bytes: &[u8], max_depth: usize, once: OneOfEach) -> Result<usize, BencodeError> {
    let mut is_strict = once == OneOfEach::Everywhere;
    let mut at = 0;
    let mut tokens = 0;
    let mut open: Vec<Open> = Vec::new();
    let mut keys: Vec<Range<usize>> = Vec::new();
    loop {
        let (token, next) = token(bytes, at)?;
        if !matches!(token, Token::End) {
            tokens += 1;
            if tokens > MAX_TOKENS {
                return Err(Problem::Tokens.at(at));
            }
            let is_outermost = open.len() == 1;
            if let Some(dict) = open.last_mut().filter(|open| open.is_dict) {
                dict.key_next = !dict.key_next;
                if !dict.key_next {
                    let Token::String(key) = token else {
                        return Err(Problem::Key.at(at));
                    };
                    let before = keys[dict.first_key..]
                        .last()
                        .map(|last| &bytes[last.clone()]);
                    dict.sorted &= before.is_none_or(|before| before < key);
                    keys.push(next - key.len()..next);
                    if let (OneOfEach::Within(part), true) = (once, is_outermost) {
                        is_strict = key == part;
                    }
                    at = next;
                    continue;
                }
            }
        }
        match token {
            Token::Number(_) | Token::String(_) => {}
            Token::List | Token::Dict if open.len() == max_depth => {
                return Err(Problem::Depth.at(at));
            }
            Token::List | Token::Dict => open.push(Open {
                is_dict: matches!(token, Token::Dict),
                key_next: true,
                first_key: keys.len(),
                sorted: true,
            }),
            Token::End => {
                let closed = open.pop().ok_or(Problem::NoValue.at(at))?;
                if !closed.key_next {
                    return Err(Problem::LoneKey.at(at));
                }
                // The outermost dictionary of a torrent is around `info`, so it is not strict.
                let is_part = once == OneOfEach::Everywhere || !open.is_empty();
                if is_strict && is_part && !closed.sorted {
                    refuse_doubled(bytes, &mut keys[closed.first_key..])?;
                }
                keys.truncate(closed.first_key);
            }
        }
        at = next;
        if open.is_empty() {
            return Ok(at);
        }
    }
}

/// Refuses a doubled key, in a dictionary whose keys are out of order.
fn refuse_doubled(bytes: &[u8], keys: &mut [Range<usize>]) -> Result<(), BencodeError> {
    let key = |range: &Range<usize>| &bytes[range.clone()];
    keys.sort_unstable_by(|a, b| key(a).cmp(key(b)).then(a.start.cmp(&b.start)));
    match keys.windows(2).find(|pair| key(&pair[0]) == key(&pair[1])) {
        Some(pair) => Err(Problem::DoubledKey.at(pair[1].start)),
        None => Ok(()),
    }
}

enum Token<'a> {
    /// The characters between `i` and `e`.
    Number(&'a [u8]),
    String(&'a [u8]),
    List,
    Dict,
    /// Ends a list or dictionary.
    End,
}

/// Reads the token at byte `at`; returns where the next one begins.
fn token(bytes: &[u8], at: usize) -> Result<(Token<'_>, usize), BencodeError> {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first() {
        Some(b'l') => Ok((Token::List, at + 1)),
        Some(b'd') => Ok((Token::Dict, at + 1)),
        Some(b'e') => Ok((Token::End, at + 1)),
        Some(b'i') => {
            let text = until(b'e', &rest[1..], Problem::Number, at)?;
            let digits = text.strip_prefix(b"-").filter(|digits| *digits != b"0");
            match is_canonical(digits.unwrap_or(text)) {
                true => Ok((Token::Number(text), at + text.len() + 2)),
                false => Err(Problem::Number.at(at)),
            }
        }
        Some(b'0'..=b'9') => {
            let digits = until(b':', rest, Problem::Length, at)?;
            if !is_canonical(digits) {
                return Err(Problem::Length.at(at));
            }
            let body = &rest[digits.len() + 1..];
            let mut digits_left = digits.iter().map(|digit| usize::from(digit - b'0'));
            // A length that overflows is longer than the bytes that are here.
            let len =
                digits_left.try_fold(0usize, |len, digit| len.checked_mul(10)?.checked_add(digit));
            let string = len.and_then(|len| body.get(..len));
            let string = string.ok_or(Problem::CutShort.at(at))?;
            Ok((Token::String(string), at + digits.len() + 1 + string.len()))
        }
        Some(_) => Err(Problem::NoValue.at(at)),
        None => Err(Problem::CutShort.at(at)),
    }
}

/// Returns the bytes before the first `end`, which must come within [`MAX_NUMBER_LEN`] bytes.
fn until(end: u8, bytes: &[u8], problem: Problem, at: usize) -> Result<&[u8], BencodeError> {
    let near = &bytes[..bytes.len().min(MAX_NUMBER_LEN + 1)];
    match near.iter().position(|byte| *byte == end) {
        Some(len) => Ok(&near[..len]),
        None if near.len() > MAX_NUMBER_LEN => Err(problem.at(at)),
        None => Err(Problem::CutShort.at(at)),
    }
}

/// Whether `digits` have neither sign nor leading zeros.
fn is_canonical(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_digit)
        && !digits.is_empty()
        && (digits == b"0" || !digits.starts_with(b"0"))
}

/// The exact bytes of a sound value.
///
/// Only the `scan` functions make one, so walking it cannot fail. Each accessor reads the bytes
/// anew, at over 500 MB per second, and takes no memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(&'a [u8]);

impl<'a> Raw<'a> {
    /// The value's own bytes, over which the info hash is taken.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Returns the value, if it is a string.
    pub fn string(self) -> Option<&'a [u8]> {
        match token(self.0, 0) {
            Ok((Token::String(string), _)) => Some(string),
            _ => None,
        }
    }

    /// Returns the value, if it is a string of UTF-8.
    pub fn text(self) -> Option<&'a str> {
        self.string().and_then(|string| str::from_utf8(string).ok())
    }

    /// Returns the value, if it is a number that fits in 64 bits with a sign.
    pub fn number(self) -> Option<i64> {
        match token(self.0, 0) {
            Ok((Token::Number(text), _)) => str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// Returns the values of a list, in order.
    pub fn list(self) -> Option<impl Iterator<Item = Raw<'a>> + use<'a>> {
        self.inside(b'l')
    }

    /// Returns the keys and values of a dictionary, in order. Of a doubled key the first counts.
    pub fn dict(self) -> Option<impl Iterator<Item = (&'a [u8], Raw<'a>)> + use<'a>> {
        let mut entries = self.entries()?;
        let mut seen = Seen::default();
        Some(std::iter::from_fn(move || {
            entries.find(|(key, _)| seen.is_new(self, key))
        }))
    }

    /// Doubled keys included.
    fn entries(self) -> Option<impl Iterator<Item = (&'a [u8], Raw<'a>)> + use<'a>> {
        let mut inside = self.inside(b'd')?;
        Some(std::iter::from_fn(move || {
            Some((inside.next()?.string()?, inside.next()?))
        }))
    }

    /// Returns the values between `first` and the closing `e`.
    fn inside(self, first: u8) -> Option<impl Iterator<Item = Raw<'a>> + use<'a>> {
        let mut rest = self.0.strip_prefix(&[first])?.strip_suffix(b"e")?;
        Some(std::iter::from_fn(move || {
            let value;
            (value, rest) = rest.split_at_checked(sound_len(rest)?)?;
            Some(Raw(value))
        }))
    }
}

/// The keys of a dictionary that have been read. While they ascend, as BEP 3 demands, the last one
/// shows whether the next is new. From the first key out of order on, all are collected.
#[derive(Default)]
struct Seen<'a> {
    last: Option<&'a [u8]>,
    all: Option<HashSet<&'a [u8]>>,
}

impl<'a> Seen<'a> {
    /// Whether `key`, the next one of `dict`, has not come before.
    fn is_new(&mut self, dict: Raw<'a>, key: &'a [u8]) -> bool {
        let before = self.last.replace(key);
        if self.all.is_none() {
            if before.is_none_or(|before| before < key) {
                return true;
            }
            let keys = dict.entries().into_iter().flatten().map(|(key, _)| key);
            let sorted = keys.scan(None, |last, key| {
                let is_sorted = last.replace(key).is_none_or(|last| last < key);
                is_sorted.then_some(key)
            });
            self.all = Some(sorted.collect());
        }
        self.all.as_mut().is_some_and(|all| all.insert(key))
    }
}

/// Returns the length of the value at the start of sound `bytes`; `None` if there is none.
fn sound_len(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0usize);
    loop {
        let (token, next) = token(bytes, at).ok()?;
        match token {
            Token::List | Token::Dict => depth += 1,
            Token::End => depth = depth.checked_sub(1)?,
            Token::Number(_) | Token::String(_) => {}
        }
        at = next;
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests;
