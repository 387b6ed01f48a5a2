//! Lab 1: bencode, the notation of torrents (BEP 3). `README.md` beside this file is the page.

mod yours;

use crate::frame::{Check, holds, lab, same, shown};
use std::collections::BTreeMap;
use std::fmt;
use storrent::parts::bencode::{FILE_DEPTH, Raw, scan};
use yours::Yours;

#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    Number(i64),
    String(Vec<u8>),
    List(Vec<Value>),
    Dict(BTreeMap<Vec<u8>, Value>),
}

/// What you write.
pub(crate) trait Bencode {
    /// Reads the one value that `bytes` are. An error says in words what is wrong.
    fn decode(bytes: &[u8]) -> Result<Value, String>;
}

struct Blank;

impl Bencode for Blank {
    fn decode(_: &[u8]) -> Result<Value, String> {
        Ok(Value::String(b"not written yet".into()))
    }
}

struct Real;

impl Bencode for Real {
    fn decode(bytes: &[u8]) -> Result<Value, String> {
        let raw = scan(bytes, FILE_DEPTH).map_err(|error| error.to_string())?;
        if raw.bytes().len() != bytes.len() {
            return Err("something is left over".into());
        }
        value(raw).ok_or("a number beyond 64 bits".into())
    }
}

fn value(raw: Raw) -> Option<Value> {
    if let Some(string) = raw.string() {
        Some(Value::String(string.to_vec()))
    } else if let Some(values) = raw.list() {
        Some(Value::List(values.map(value).collect::<Option<_>>()?))
    } else if let Some(entries) = raw.dict() {
        let entries = entries.map(|(key, raw)| Some((key.to_vec(), value(raw)?)));
        Some(Value::Dict(entries.collect::<Option<_>>()?))
    } else {
        raw.number().map(Value::Number)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::String(bytes) => write!(f, "\"{}\"", shown(bytes)),
            Self::List(values) => f.debug_list().entries(values).finish(),
            Self::Dict(entries) => {
                let entries = entries.iter().map(|(key, value)| (shown(key), value));
                f.debug_map().entries(entries).finish()
            }
        }
    }
}

fn string(text: &str) -> Value {
    Value::String(text.as_bytes().to_vec())
}

fn dict<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Dict(
        entries
            .map(|(key, value)| (key.as_bytes().to_vec(), value))
            .into(),
    )
}

/// Each of `cases` should be read as the value beside it.
fn read<B: Bencode>(cases: Vec<(&[u8], Value)>, hint: &str) -> Check {
    for (bytes, expected) in cases {
        same(shown(bytes), B::decode(bytes), Ok(expected), hint)?;
    }
    Ok(())
}

lab!(strings numbers lists dictionaries a_torrent nonsense a_bomb);

fn strings<B: Bencode>() -> Check {
    let cases: Vec<(&[u8], Value)> = vec![
        (b"4:spam", string("spam")),
        (b"0:", string("")),
        (b"11:hello world", string("hello world")),
        (b"3:\x00\xff:", Value::String(vec![0, 0xff, b':'])),
    ];
    read::<B>(
        cases,
        "the digits before the colon say how many bytes follow it; they need not be text",
    )
}

fn numbers<B: Bencode>() -> Check {
    let cases: Vec<(&[u8], Value)> = vec![
        (b"i42e", Value::Number(42)),
        (b"i0e", Value::Number(0)),
        (b"i-7e", Value::Number(-7)),
        (b"i9223372036854775807e", Value::Number(i64::MAX)),
    ];
    read::<B>(
        cases,
        "the digits are between `i` and `e`; a file may be larger than 4 GiB",
    )
}

fn lists<B: Bencode>() -> Check {
    let inner = Value::List(vec![string("spam"), Value::Number(42)]);
    let cases: Vec<(&[u8], Value)> = vec![
        (b"le", Value::List(vec![])),
        (b"l4:spami42ee", inner.clone()),
        (
            b"ll4:spami42eei1ee",
            Value::List(vec![inner, Value::Number(1)]),
        ),
    ];
    read::<B>(
        cases,
        "values follow each other until an `e` stands where a value would begin",
    )
}

fn dictionaries<B: Bencode>() -> Check {
    let cases: Vec<(&[u8], Value)> = vec![
        (b"de", dict([])),
        (
            b"d3:cow3:moo4:spam4:eggse",
            dict([("cow", string("moo")), ("spam", string("eggs"))]),
        ),
        (
            b"d1:ad1:bleee",
            dict([("a", dict([("b", Value::List(vec![]))]))]),
        ),
    ];
    read::<B>(
        cases,
        "keys and values take turns, and each key is a string",
    )
}

fn a_torrent<B: Bencode>() -> Check {
    let bytes = include_bytes!("../../../fixtures/letter.torrent");
    let (yours, real) = (B::decode(bytes), Real::decode(bytes));
    same(
        "fixtures/letter.torrent",
        yours,
        real,
        "all of the above, in one file",
    )
}

fn nonsense<B: Bencode>() -> Check {
    let cases: [(&[u8], &str); 17] = [
        (b"", "there is no value"),
        (b"x", "no value begins with this byte"),
        (b"e", "there is nothing to end"),
        (b"i42", "the `e` is missing"),
        (b"ie", "a number has digits"),
        (b"i-0e", "zero has no sign"),
        (
            b"i03e",
            "a number has no leading zeros, so that each number is written in one way only",
        ),
        (b"i+1e", "a number has no `+`; Rust's `parse` takes one"),
        (b"i99999999999999999999e", "the number does not fit"),
        (b"5:spam", "fewer bytes follow than the length says"),
        (b"04:spam", "a length has no leading zeros"),
        (b"99999999999999999999:spam", "the length does not fit"),
        (b"l4:spam", "the `e` is missing"),
        (b"d3:cowe", "a key without a value"),
        (b"di1e3:mooe", "a key is a string"),
        (b"4:spamx", "something is left over after the value"),
        (b"i1ei2e", "these are two values"),
    ];
    for (bytes, hint) in cases {
        let yours = B::decode(bytes);
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

fn a_bomb<B: Bencode>() -> Check {
    let flat: &[u8] = b"lllleeee";
    let hint = "a torrent nests five levels deep";
    same(shown(flat), B::decode(flat), Real::decode(flat), hint)?;
    let bomb = vec![b'l'; 1_000_000];
    let refused = B::decode(&bomb).is_err();
    let hint = "count how deep you are, and refuse more than 32 levels";
    holds(refused, shown(&bomb), "a value", "an error", hint)
}
