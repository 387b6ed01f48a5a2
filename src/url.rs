//! URLs, as far as a BitTorrent client needs them ([RFC 3986]).
//!
//! ```text
//! https://example.org:8080/pub/a%20b.iso?x=1#top
//! scheme  authority        path          query fragment
//! ```
//!
//! Torrents are full of URLs that are not quite right, and of names that would mean
//! something else in a URL than they say: `a/b?.txt` can be a file's name. So text from
//! outside becomes part of a request only by way of this file. Who asks trackers and web
//! seeds uses it. Pure.
//!
//! [RFC 3986]: https://www.rfc-editor.org/rfc/rfc3986

use std::fmt::Write;
use ureq::http::Uri;

/// The longest URL that a server is asked for, in bytes; most take no longer ones.
pub const MAX_LEN: usize = 8 << 10;

/// `bytes` as one part of a path, or a value of a query: letters, digits and `-._~` as
/// they are, all others as `%XX`.
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            _ => push(&mut text, byte),
        }
    }
    text
}

/// The bytes that `%` and two hex digits stand for put back in place; a `%` with something
/// else behind it stands for itself.
pub fn unescaped(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let value = match rest {
            [b'%', a, b, ..] => digit(*a).zip(digit(*b)).map(|(a, b)| (a * 16 + b) as u8),
            _ => None,
        };
        bytes.push(value.unwrap_or(*first));
        rest = if value.is_some() { &tail[2..] } else { tail };
    }
    bytes
}

/// The scheme that a URL begins with, as it is written: `https`. `None` if it has none.
pub fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once(':')?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let is_scheme =
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(fits);
    is_scheme.then_some(scheme)
}

/// The web address that somebody may have meant who typed `example.org/x.torrent`: it
/// begins with the name of a host, and a path follows. `None` if it does not look so.
pub fn meant(text: &str) -> Option<String> {
    let (authority, path) = text.split_once('/')?;
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let (_, top) = host.rsplit_once('.')?;
    let is_label = |label: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty() && label.chars().all(fits)
    };
    let is_host = host.split('.').all(is_label)
        && top.len() > 1
        && top.chars().all(|c| c.is_ascii_alphabetic());
    let fits = is_host && port.parse::<u16>().is_ok() && !path.is_empty();
    fits.then(|| format!("https://{text}"))
}

/// A path of these names: each of them escaped, `/` between them.
pub fn path<N: AsRef<[u8]>>(names: &[N]) -> String {
    let names: Vec<String> = names.iter().map(|name| escaped(name.as_ref())).collect();
    names.join("/")
}

/// The URL without its fragment, and with what HTTP does not take (blanks, letters beyond
/// ASCII) as `%XX`.
pub fn requestable(url: &str) -> String {
    without_oddities(url.split('#').next().unwrap_or_default().as_bytes())
}

/// A URL with what no URL may have (blanks, control characters, letters beyond ASCII in
/// whatever encoding) as `%XX`, byte by byte.
pub fn without_oddities(url: &[u8]) -> String {
    let mut text = String::with_capacity(url.len());
    for &byte in url {
        match byte {
            b'!'..=b'~' if !b"\"<>\\^`{|}".contains(&byte) => text.push(char::from(byte)),
            _ => push(&mut text, byte),
        }
    }
    text
}

/// Whether it can be asked for over HTTP: it begins with `http://` or `https://` and names
/// a host.
pub fn is_http(url: &str) -> bool {
    requestable(url).parse::<Uri>().is_ok_and(|uri| {
        let host = uri.host().is_some_and(|host| !host.is_empty());
        host && matches!(uri.scheme_str(), Some("http" | "https"))
    })
}

/// Where a server at `base` sends us with `Location: to`, which may leave out what stays
/// the same. `None` if it is no HTTP URL: a file of ours, say, is none of its business.
pub fn redirected(base: &str, to: &str) -> Option<String> {
    let to = to.trim();
    let (base_scheme, rest) = base.split_once("://")?;
    let url = if scheme(to).is_some() {
        to.to_owned()
    } else if to.starts_with("//") {
        format!("{base_scheme}:{to}")
    } else {
        let path_at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let kept = match to.chars().next()? {
            '/' => "",
            '?' => path,
            _ => path.rfind('/').map_or("/", |slash| &path[..=slash]),
        };
        format!("{base_scheme}://{authority}{kept}{to}")
    };
    let url = requestable(&url);
    (is_http(&url) && url.len() <= MAX_LEN).then_some(url)
}

fn push(text: &mut String, byte: u8) {
    let _ = write!(text, "%{byte:02X}"); // writing to a String can't fail
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_mean_themselves() {
        assert_eq!(
            escaped("a b/c?#ä~.-_".as_bytes()),
            "a%20b%2Fc%3F%23%C3%A4~.-_"
        );
        assert_eq!(escaped(b"%41\xff\0"), "%2541%FF%00");
        assert_eq!(path(&["a b", "c%d"]), "a%20b/c%25d");
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(
            unescaped("a%20b%C3%A4%2f%zz%2"),
            "a b\u{e4}/%zz%2".as_bytes()
        );
        assert_eq!(unescaped("%ff%%41"), b"\xff%A");
    }

    #[test]
    fn schemes() {
        for (url, expected) in [
            ("http://h", Some("http")),
            ("Magnet:?xt", Some("Magnet")),
            ("c/d:e", None),
            ("/x:y", None),
            ("?a:b", None),
            (":x", None),
            ("1a:b", None),
            ("", None),
        ] {
            assert_eq!(scheme(url), expected, "{url}");
        }
    }

    #[test]
    fn what_was_meant() {
        for text in ["example.org/x.torrent", "a-b.example.org:8080/a b/x?y"] {
            assert_eq!(meant(text), Some(format!("https://{text}")));
        }
        for text in [
            "x.torrent",
            "dir/x.torrent",
            "./x.torrent",
            "../x",
            "/example.org/x",
            "example.org/",
            "a.b/x",
            ".org/x",
            "a..org/x",
            "v1.2/x",
            "a b.org/x",
            "example.org:x/y",
            "",
        ] {
            assert_eq!(meant(text), None, "{text}");
        }
    }

    #[test]
    fn urls_are_made_requestable() {
        let cases = [
            ("http://h/a b?c=ä#d", "http://h/a%20b?c=%C3%A4"),
            ("http://[::1]:8/%20?a=[1]", "http://[::1]:8/%20?a=[1]"),
        ];
        for (url, asked) in cases {
            assert_eq!(requestable(url), asked);
        }
    }

    #[test]
    fn what_is_a_url() {
        for url in ["http://h", "HTTPS://h/", "http://[::1]:8/a b"] {
            assert!(is_http(url), "{url}");
        }
        for text in [
            "",
            "h",
            "/12/items/",
            "http:/h",
            "http://",
            "http:///x",
            "ftp://h/",
            "file:///etc",
            "//h/x",
            "http://[h/",
            "http://:8/",
            "udp://h",
            "http:// h",
            "magnet:?xt=http://h",
        ] {
            assert!(!is_http(text), "{text}");
        }
    }

    #[test]
    fn redirects() {
        let base = "https://h:1/a/b?q=/x";
        let cases = [
            ("http://g/c d", Some("http://g/c%20d")),
            (" HTTPS://g ", Some("HTTPS://g")),
            ("//g/x", Some("https://g/x")),
            ("/x?y#z", Some("https://h:1/x?y")),
            ("c/d:e", Some("https://h:1/a/c/d:e")),
            ("?y", Some("https://h:1/a/b?y")),
            ("", None),
            ("file:///etc/passwd", None),
            ("magnet:?xt=urn:btih:0", None),
            ("ftp://g/x", None),
            ("http:x", None),
            ("http://", None),
            ("//", None),
        ];
        for (to, url) in cases {
            assert_eq!(redirected(base, to).as_deref(), url, "{to}");
        }
        assert_eq!(redirected("http://h", "x").as_deref(), Some("http://h/x"));
        assert_eq!(redirected("http://h?q", "x").as_deref(), Some("http://h/x"));
        assert_eq!(redirected(base, &"x".repeat(MAX_LEN)), None);
    }

    proptest! {
        #[test]
        fn whatever_a_server_says(base in "https?://[a-z/?#:é ]{0,9}", to in "[a-z:/?#é ]{0,12}") {
            if let Some(url) = redirected(&base, &to) {
                prop_assert!(is_http(&url) && url.is_ascii() && !url.contains(['#', ' ']));
            }
        }
    }
}
