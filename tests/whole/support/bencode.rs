//! Bencode ([BEP 3]), as plainly as possible: its input is never hostile.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use std::collections::BTreeMap;

/// Any bencoded value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// `i7e`
    Int(i64),
    /// `3:abc`
    Bytes(Vec<u8>),
    /// `l…e`
    List(Vec<Value>),
    /// `d…e`, sorted by key.
    Dict(BTreeMap<Vec<u8>, Value>),
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Bytes(text.into())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<Vec<Value>> for Value {
    fn from(list: Vec<Value>) -> Self {
        Self::List(list)
    }
}

/// A dictionary of these entries, in any order.
pub(crate) fn dict<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Dict(entries.map(|(k, v)| (k.into(), v)).into())
}

impl Value {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(n) => out.extend_from_slice(format!("i{n}e").as_bytes()),
            Self::Bytes(bytes) => write_bytes(bytes, out),
            Self::List(list) => {
                out.push(b'l');
                list.iter().for_each(|value| value.write(out));
                out.push(b'e');
            }
            Self::Dict(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    write_bytes(key, out);
                    value.write(out);
                }
                out.push(b'e');
            }
        }
    }

    /// Returns the value at the start of `bytes`, and what follows it.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        match *bytes.first()? {
            b'i' => {
                let end = bytes.iter().position(|b| *b == b'e')?;
                let number = std::str::from_utf8(&bytes[1..end]).ok()?.parse().ok()?;
                Some((Self::Int(number), &bytes[end + 1..]))
            }
            b'l' => {
                let (mut list, mut rest) = (Vec::new(), &bytes[1..]);
                while *rest.first()? != b'e' {
                    let (value, after) = Self::decode(rest)?;
                    list.push(value);
                    rest = after;
                }
                Some((Self::List(list), &rest[1..]))
            }
            b'd' => {
                let (mut entries, mut rest) = (BTreeMap::new(), &bytes[1..]);
                while *rest.first()? != b'e' {
                    let (key, after) = Self::decode(rest)?;
                    let (value, after) = Self::decode(after)?;
                    entries.insert(key.bytes()?.to_vec(), value);
                    rest = after;
                }
                Some((Self::Dict(entries), &rest[1..]))
            }
            _ => {
                let colon = bytes.iter().position(|b| *b == b':')?;
                let len: usize = std::str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
                let end = colon.checked_add(1)?.checked_add(len)?;
                let text = bytes.get(colon + 1..end)?;
                Some((Self::Bytes(text.into()), &bytes[end..]))
            }
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dict(entries) => entries.get(key.as_bytes()),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(*n),
            _ => None,
        }
    }

    pub(crate) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
}
