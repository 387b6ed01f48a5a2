use super::*;
use proptest::prelude::*;
use serde_bencode::value::Value;

fn verdict(bytes: &[u8]) -> Option<(usize, Problem)> {
    match scan_exact(bytes, 3) {
        Ok(_) => None,
        Err(BencodeError::Unsound { at, problem }) => Some((at, problem)),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn sound_and_unsound() {
    use Problem::*;
    let forty = format!("i{}e", "1".repeat(MAX_NUMBER_LEN));
    let too_long = format!("i{}e", "1".repeat(MAX_NUMBER_LEN + 1));
    let cases: &[(&str, Option<(usize, Problem)>)] = &[
        ("i0e", None),
        ("i-42e", None),
        ("i18446744073709551615e", None),
        (&forty, None),
        ("0:", None),
        ("4:spam", None),
        ("le", None),
        ("de", None),
        ("lllee4:spamdee", None),
        ("d1:ai1e1:b1:xe", None),
        ("d1:bi1e1:ai2ee", None), // out of order
        ("", Some((0, CutShort))),
        ("x", Some((0, NoValue))),
        ("e", Some((0, NoValue))),
        ("-1:a", Some((0, NoValue))),
        ("i", Some((0, CutShort))),
        ("i12", Some((0, CutShort))),
        ("ie", Some((0, Number))),
        ("i-e", Some((0, Number))),
        ("i-0e", Some((0, Number))),
        ("i007e", Some((0, Number))),
        ("i-07e", Some((0, Number))),
        ("i+5e", Some((0, Number))),
        ("i1.5e", Some((0, Number))),
        ("i--5e", Some((0, Number))),
        ("li1ei 1ee", Some((4, Number))),
        (&too_long, Some((0, Number))),
        ("03:abc", Some((0, Length))),
        ("00:", Some((0, Length))),
        ("3a:abc", Some((0, Length))),
        ("3:ab", Some((0, CutShort))),
        ("3", Some((0, CutShort))),
        ("999999999999:a", Some((0, CutShort))),
        ("99999999999999999999999999:a", Some((0, CutShort))),
        ("l", Some((1, CutShort))),
        ("l4:spam", Some((7, CutShort))),
        ("llllee", Some((3, Depth))),
        ("d1:ad1:bd1:cdeeee", Some((12, Depth))),
        ("di1ei2ee", Some((1, Key))),
        ("dlei2ee", Some((1, Key))),
        ("d1:ae", Some((4, LoneKey))),
        ("d1:a1:b1:c", Some((10, CutShort))),
        ("d1:a1:x1:a1:ye", Some((9, DoubledKey))),
        ("d1:b1:x1:a1:x1:b1:ye", Some((15, DoubledKey))),
        ("d1:bd1:a1:xe1:a1:y1:b1:ze", Some((20, DoubledKey))),
        ("i1ei2e", Some((3, LeftOver))),
        ("lee", Some((2, LeftOver))),
    ];
    for (text, expected) in cases {
        assert_eq!(verdict(text.as_bytes()), *expected, "{text}");
    }
    assert_eq!(verdict(b"i\xff1e"), Some((0, Number)));
    assert_eq!(verdict(&[b'l'; 1_000_000]), Some((3, Depth)));
    let many = [&b"l"[..], &b"0:".repeat(MAX_TOKENS), b"e"].concat();
    assert_eq!(verdict(&many), Some((2 * MAX_TOKENS - 1, Tokens)));
}

#[test]
fn a_prefix_and_its_payload() {
    let message = b"d8:msg_typei1e5:piecei0eepayload";
    let (value, rest) = scan_prefix(message, 8).unwrap();
    assert_eq!((value.bytes(), rest), (&message[..25], &b"payload"[..]));
    assert!(decode::<Value>(message, 8).is_err(), "left over");
    assert!(matches!(
        decode::<String>(b"i1e", 8),
        Err(BencodeError::Unexpected(_))
    ));
}

#[test]
fn what_is_behind_the_end_is_passed_over() {
    let value = b"d1:ai1ee";
    for behind in ["", "\n", "\r\n", "\0\0\0\0", "# made by hand", "e", "d"] {
        let bytes = [value, behind.as_bytes()].concat();
        assert_eq!(scan(&bytes, 3).unwrap().bytes(), value, "{behind:?}");
        assert_eq!(scan_torrent(&bytes).unwrap().bytes(), value, "{behind:?}");
        assert_eq!(scan_exact(&bytes, 3).is_ok(), behind.is_empty());
    }
    for len in 0..value.len() {
        assert!(scan(&value[..len], 3).is_err() && scan_torrent(&value[..len]).is_err());
    }
}

#[test]
fn of_a_doubled_key_the_first_counts() {
    let cases = [
        ("d1:ai1e1:ai2ee", vec![("a", 1)]),
        ("d1:ai1e1:ai2e1:bi3ee", vec![("a", 1), ("b", 3)]),
        ("d1:bi1e1:ai2e1:bi3ee", vec![("b", 1), ("a", 2)]),
        (
            "d1:ai1e1:ci2e1:bi3e1:ci4e1:bi5e1:di6e1:ai7ee",
            vec![("a", 1), ("c", 2), ("b", 3), ("d", 6)],
        ),
    ];
    for (text, expected) in cases {
        let entries = scan(text.as_bytes(), 3).unwrap().dict().unwrap();
        let entries: Vec<_> = entries
            .map(|(key, value)| (str::from_utf8(key).unwrap(), value.number().unwrap()))
            .collect();
        assert_eq!(entries, expected, "{text}");
        assert!(scan_exact(text.as_bytes(), 3).is_err(), "{text}");
    }
}

#[test]
fn within_info_no_key_is_doubled() {
    let cases = [
        ("d1:ai1e1:ai2e4:infod1:ai1eee", true),
        ("d4:infode1:xd1:ai1e1:ai2eee", true),
        ("d1:xd1:ai1e1:ai2ee4:infodee", true),
        ("d4:infod1:ai1e1:ai2eee", false),
        ("d4:infod5:filesld1:ai1e1:ai2eeeee", false),
        ("d1:xde4:infod1:bi1e1:ad1:ai1e1:ai2eee1:yde1:xdee", false),
        ("d1:xd4:infod1:ai1e1:ai2eeee", true), // not the torrent's own `info`
        ("ld4:infod1:ai1e1:ai2eeee", true),    // not a torrent
    ];
    for (text, fits) in cases {
        assert_eq!(scan_torrent(text.as_bytes()).is_ok(), fits, "{text}");
    }
}

#[test]
fn walking() {
    let root = scan(b"d4:infod1:xi7ee1:lli1e2:\xff\xfeleee", 8).unwrap();
    let dict: Vec<_> = root.dict().unwrap().collect();
    assert_eq!(
        (dict[0].0, dict[0].1.bytes()),
        (&b"info"[..], &b"d1:xi7ee"[..])
    );
    let list: Vec<_> = dict[1].1.list().unwrap().collect();
    assert_eq!((list.len(), list[0].number()), (3, Some(1)));
    assert_eq!(
        (list[1].text(), list[1].string()),
        (None, Some(&b"\xff\xfe"[..]))
    );
    assert!(list[2].list().unwrap().next().is_none());
    assert!(root.list().is_none() && root.string().is_none() && root.number().is_none());
    assert_eq!(scan(b"i9223372036854775808e", 8).unwrap().number(), None);
}

fn value() -> impl Strategy<Value = Value> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..12);
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::Int),
        bytes().prop_map(Value::Bytes)
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::hash_map(bytes(), inner, 0..6).prop_map(Value::Dict),
        ]
    })
}

/// Reads all of `raw` through the accessors alone and writes it anew.
fn rewritten(raw: Raw) -> Value {
    if let Some(string) = raw.string() {
        Value::Bytes(string.to_vec())
    } else if let Some(list) = raw.list() {
        Value::List(list.map(rewritten).collect())
    } else if let Some(dict) = raw.dict() {
        Value::Dict(dict.map(|(k, v)| (k.to_vec(), rewritten(v))).collect())
    } else {
        Value::Int(raw.number().unwrap())
    }
}

proptest! {
    #[test]
    fn what_is_written_is_sound_and_reads_the_same(value in value(), rest in prop::collection::vec(any::<u8>(), 0..9)) {
        let mut bytes = serde_bencode::to_bytes(&value).unwrap();
        prop_assert_eq!(&rewritten(scan(&bytes, 8).unwrap()), &value);
        prop_assert_eq!(&decode::<Value>(&bytes, 8).unwrap(), &value);
        bytes.extend(&rest);
        let (raw, behind) = scan_prefix(&bytes, 8).unwrap();
        prop_assert_eq!((decode::<Value>(raw.bytes(), 8).unwrap(), behind), (value, &rest[..]));
    }

    /// Changes a few bytes of a value. Nothing panics, and `serde_bencode` reads what passes and
    /// writes it again as it was, but for the order of the keys.
    #[test]
    fn what_passes_is_sound(value in value(), changes in prop::collection::vec((any::<prop::sample::Index>(), 0..12usize), 0..4)) {
        let mut bytes = serde_bencode::to_bytes(&value).unwrap();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = b"ilde:-019\xffx2"[byte];
        }
        if scan_exact(&bytes, 8).is_ok() {
            match decode::<Value>(&bytes, 8) {
                Ok(value) => prop_assert_eq!(serde_bencode::to_bytes(&value).unwrap().len(), bytes.len()),
                Err(_) => prop_assert!(bytes.windows(19).any(|w| w.iter().all(u8::is_ascii_digit)), "beyond 64 bits"),
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"ilde:0123"[..])], 0..60)) {
        let _ = scan(&bytes, 8);
    }
}
