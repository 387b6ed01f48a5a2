//! Bytes as lower-case hex digits, for `#[serde(with = "hex")]`.

use crate::types::{InfoHash, PeerId};
use serde::{Deserialize, Deserializer, Serializer, de::Error};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

pub(super) trait Bytes: Sized {
    fn bytes(&self) -> &[u8];

    /// `None` if the number of bytes is wrong.
    fn of(bytes: Vec<u8>) -> Option<Self>;
}

impl Bytes for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn of(bytes: Vec<u8>) -> Option<Self> {
        Some(bytes)
    }
}

impl<const N: usize> Bytes for [u8; N] {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn of(bytes: Vec<u8>) -> Option<Self> {
        bytes.try_into().ok()
    }
}

impl Bytes for PeerId {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn of(bytes: Vec<u8>) -> Option<Self> {
        Bytes::of(bytes).map(Self)
    }
}

/// `None` is written as no digits, unless its key is left out.
impl Bytes for Option<InfoHash> {
    fn bytes(&self) -> &[u8] {
        self.as_ref().map_or(&[], |hash| &hash.0)
    }

    fn of(bytes: Vec<u8>) -> Option<Self> {
        Bytes::of(bytes).map(|hash| Some(InfoHash(hash)))
    }
}

pub(super) fn serialize<T: Bytes, S: Serializer>(it: &T, to: S) -> Result<S::Ok, S::Error> {
    let digits = it.bytes().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digit = |digit| DIGITS[usize::from(digit)] as char;
    to.serialize_str(&digits.map(digit).collect::<String>())
}

pub(super) fn deserialize<'de, T: Bytes, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    let digit = |byte: u8| Some((byte as char).to_digit(16)? as u8);
    let byte = |pair: &[u8]| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    let it = bytes.and_then(T::of);
    it.ok_or_else(|| D::Error::custom("these are not the hex digits that belong here"))
}
