//! URLs, as far as a BitTorrent client needs them ([RFC 3986]).
//!
//! ```text
//! https://example.org:8080/pub/a%20b.iso?x=1#top
//! scheme  authority        path          query fragment
//! ```
//!
//! Torrents are full of URLs that are not quite right, and of file names such as `a/b?.txt` that
//! mean something else in a URL. So foreign text becomes part of a request only through this
//! module. No I/O.
//!
//! [RFC 3986]: https://www.rfc-editor.org/rfc/rfc3986

use crate::address::{Reach, Teller};
use crate::human;
use std::fmt::Write;
use ureq::http::Uri;

/// The longest URL that we request, in bytes. Most servers refuse longer ones.
pub(crate) const MAX_LEN: usize = 8 << 10;

/// The most characters of a URL that are shown. The longest host name has fewer.
const MAX_SHOWN: usize = 300;

/// Escapes a part of a path, or a value in a query: letters, digits and `-._~` stay, all other
/// bytes become `%XX`.
pub(crate) fn escaped(bytes: &[u8]) -> String {
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

/// Undoes `%XX`. A `%` before anything else stays.
pub(crate) fn unescaped(text: &str) -> Vec<u8> {
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

/// Returns the scheme of a URL as written, such as `https`.
pub(crate) fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once(':')?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let is_scheme =
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(fits);
    is_scheme.then_some(scheme)
}

/// Returns the URL that a user probably meant by `example.org/x.torrent`, if `text` is a host and a
/// path.
pub(crate) fn meant(text: &str) -> Option<String> {
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

/// Escapes each name and puts `/` between them.
pub(crate) fn path<N: AsRef<[u8]>>(names: &[N]) -> String {
    let names: Vec<String> = names.iter().map(|name| escaped(name.as_ref())).collect();
    names.join("/")
}

/// Returns the URL without its fragment, and with `%XX` for what HTTP does not accept.
pub fn requestable(url: &str) -> String {
    without_oddities(url.split('#').next().unwrap_or_default().as_bytes())
}

/// Writes `%XX` for the bytes that no URL may have: blanks, control characters, and letters beyond
/// ASCII in any encoding.
pub(crate) fn without_oddities(url: &[u8]) -> String {
    let mut text = String::with_capacity(url.len());
    for &byte in url {
        match byte {
            b'!'..=b'~' if !b"\"<>\\^`{|}".contains(&byte) => text.push(char::from(byte)),
            _ => push(&mut text, byte),
        }
    }
    text
}

/// Whether the URL begins with `http://` or `https://` and names a host.
pub fn is_http(url: &str) -> bool {
    requestable(url).parse::<Uri>().is_ok_and(|uri| {
        let host = uri.host().is_some_and(|host| !host.is_empty());
        host && matches!(uri.scheme_str(), Some("http" | "https"))
    })
}

/// Returns where a server at `base` redirects us with `Location: to`, which may leave out the parts
/// that stay the same. `None` if this is no HTTP URL: a server must not make us read our own files,
/// say.
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

/// Makes a URL safe to show: scheme, host and port, then `/…` if more follows. Users paste what
/// they see, but passwords stand before the host, and passkeys in the path or the query. A magnet
/// link keeps its info hash, which is not secret. Other text stays.
pub(crate) fn shown(url: &str) -> String {
    let Some(scheme) = scheme(url) else {
        return human::escaped(url);
    };
    let text = match url[scheme.len() + 1..].strip_prefix("//") {
        Some(rest) => {
            let (authority, more) = rest.split_at(rest.find(ENDS_HOST).unwrap_or(rest.len()));
            let host = authority.rsplit('@').next().unwrap_or_default();
            let more = if matches!(more, "" | "/") {
                more
            } else {
                "/…"
            };
            format!("{scheme}://{host}{more}")
        }
        None => {
            let (_, query) = url.split_once('?').unwrap_or_default();
            let hash = query.split('&').find(|part| part.starts_with("xt=urn:bt"));
            let hash = hash.map_or_else(String::new, |hash| format!("?{hash}&"));
            format!("{scheme}:{hash}…")
        }
    };
    human::escaped(&text.chars().take(MAX_SHOWN).collect::<String>())
}

/// Returns the scheme, host and port of a URL, safe to show.
pub(crate) fn origin(url: &str) -> String {
    let shown = shown(url);
    shown.trim_end_matches(['/', '…']).to_owned()
}

/// What ends the part of a URL that names the server.
const ENDS_HOST: [char; 3] = ['/', '?', '#'];

/// User name and password.
pub(crate) type Login = (Vec<u8>, Vec<u8>);

/// Returns a URL without its user name and password, and these two, decoded.
pub(crate) fn without_login(url: &str) -> (String, Option<Login>) {
    let Some((scheme, rest)) = url.split_once("://") else {
        return (url.to_owned(), None);
    };
    let (authority, path) = rest.split_at(rest.find(ENDS_HOST).unwrap_or(rest.len()));
    let Some((login, host)) = authority.rsplit_once('@') else {
        return (url.to_owned(), None);
    };
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let login = (unescaped(user), unescaped(password));
    (format!("{scheme}://{host}{path}"), Some(login))
}

/// Whether both URLs have the same scheme, host and port.
pub(crate) fn is_same_server(one: &str, other: &str) -> bool {
    let server = |url: &str| {
        let uri: Uri = without_login(url).0.parse().ok()?;
        let scheme = uri.scheme_str()?.to_owned();
        let port = uri.port_u16().or(match scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        })?;
        Some((scheme, uri.host()?.to_ascii_lowercase(), port))
    };
    server(one).is_some_and(|one| server(other) == Some(one))
}

/// Returns how near a tracker's address may be, if its URL came from `teller`. An unknown source
/// may name any tracker in the local network, because many are there. On this machine the URL must
/// look like a tracker's. Otherwise a torrent could make us send requests to other programs here.
pub(crate) fn nearest_tracker(url: &str, teller: Teller) -> Reach {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    let last = path.rsplit('/').next().unwrap_or_default();
    let looks_so = matches!(path, "" | "/") || last.starts_with("announce");
    teller.nearest(match looks_so {
        true => Reach::Machine,
        false => Reach::LocalNetwork,
    })
}

/// Returns how near a web seed's address may be, if its URL came from `teller`. An unknown source
/// may name a folder anywhere, but a URL with a query may be a command, so it may only lead to the
/// world.
pub(crate) fn nearest_web_seed(url: &str, teller: Teller) -> Reach {
    teller.nearest(match url.contains('?') {
        true => Reach::World,
        false => Reach::Machine,
    })
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
    fn what_is_shown_of_a_url() {
        for (url, text) in [
            (
                "https://me:k@t.example:81/k/announce?k",
                "https://t.example:81/…",
            ),
            ("http://h", "http://h"),
            ("http://h/", "http://h/"),
            ("http://h?k", "http://h/…"),
            ("http://a@b:k@[::1]:8#k", "http://[::1]:8/…"),
            ("udp://h:6969/k", "udp://h:6969/…"),
            ("http://me:k\\@h/", "http://h/"),
            (
                "magnet:?dn=x&xt=urn:btih:abc&tr=k",
                "magnet:?xt=urn:btih:abc&…",
            ),
            ("magnet:?dn=x", "magnet:…"),
            ("a b", "a b"),
        ] {
            assert_eq!(shown(url), text, "{url}");
        }
    }

    #[test]
    fn logins() {
        for (url, bare, login) in [
            (
                "http://a:p%40s@h:1/x@y",
                "http://h:1/x@y",
                Some(("a", "p@s")),
            ),
            ("http://a%3A@h", "http://h", Some(("a:", ""))),
            ("http://h/a:b@c", "http://h/a:b@c", None),
            ("http://h?a:b@c", "http://h?a:b@c", None),
        ] {
            let login = login.map(|(a, b)| (a.as_bytes().to_vec(), b.as_bytes().to_vec()));
            assert_eq!(without_login(url), (bare.to_owned(), login));
        }
    }

    #[test]
    fn the_same_server() {
        for (one, other, same) in [
            ("http://h/a", "http://u:p@H:80/b", true),
            ("https://h", "https://h:443", true),
            ("http://h", "https://h", false),
            ("http://h", "http://h:81", false),
            ("http://h", "http://g.h", false),
            ("x", "x", false),
        ] {
            assert_eq!(is_same_server(one, other), same, "{one} {other}");
        }
    }

    #[test]
    fn how_near_a_url_may_lead() {
        use Reach::{LocalNetwork, Machine, World};
        for (url, tracker, web_seed) in [
            ("http://h", Machine, Machine),
            ("http://h/", Machine, Machine),
            ("udp://h:1", Machine, Machine),
            ("http://h/x/announce.php?k=1", Machine, World),
            ("http://h/announce", Machine, Machine),
            ("http://h/announce/reboot", LocalNetwork, Machine),
            ("http://h/x?/announce", LocalNetwork, World),
            ("http://h/x/#/announce", LocalNetwork, Machine),
            ("http://h?do=reboot", Machine, World),
        ] {
            let unknown = Teller::Unknown;
            assert_eq!(nearest_tracker(url, unknown), tracker, "{url}");
            assert_eq!(nearest_web_seed(url, unknown), web_seed, "{url}");
            for (teller, reach) in [
                (Teller::User, Machine),
                (Teller::Server(World), World),
                (Teller::Server(LocalNetwork), LocalNetwork),
            ] {
                assert_eq!(nearest_tracker(url, teller), reach);
                assert_eq!(nearest_web_seed(url, teller), reach);
            }
        }
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
