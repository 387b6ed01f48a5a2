//! Reads the values of options. Each function returns a checked value, or a sentence that says what
//! was expected.
//!
//! argh calls these functions and puts the option's name and the value before the sentence. It
//! knows only `&str`, but a path on Unix may be any bytes: [`encode`] makes text of them.

use crate::config::Encryption;
use crate::door::Door;
use crate::human;
use crate::progress::Colour;
use crate::proxy::{Proxy, ProxyError};
use crate::selection::{FileNumbers, NoFileNumbers};
use crate::url;
use std::ffi::OsString;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

/// Writes an argument as text: unchanged if it is UTF-8, else as a NUL and hex digits. No argument
/// can hold a NUL, so [`decode`] can tell the two apart.
pub fn encode(arg: &[u8]) -> String {
    match std::str::from_utf8(arg) {
        Ok(text) => text.to_string(),
        Err(_) => {
            let hex = arg.iter().map(|byte| format!("{byte:02x}"));
            std::iter::once("\0".to_string()).chain(hex).collect()
        }
    }
}

/// Returns the argument that was given to [`encode`].
pub fn decode(text: &str) -> OsString {
    let Some(hex) = text.strip_prefix('\0') else {
        return text.into();
    };
    let digit = |b: u8| (b as char).to_digit(16).unwrap_or(0) as u8;
    let pairs = hex.as_bytes().chunks_exact(2);
    OsString::from_vec(pairs.map(|p| digit(p[0]) << 4 | digit(p[1])).collect())
}

/// Makes an argument printable, without the secrets of a URL.
pub fn shown(text: &str) -> String {
    let text = decode(text).to_string_lossy().into_owned();
    let scheme = url::scheme(&text).map(str::to_ascii_lowercase);
    match scheme.as_deref() {
        Some("magnet") => url::shown(&text),
        Some(scheme) if scheme != "file" && text.contains("://") => url::shown(&text),
        _ => human::escaped(&text),
    }
}

/// Reads a path, which may not be empty.
pub fn path(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("a path is expected, not nothing".to_string()),
        text => Ok(decode(text).into()),
    }
}

/// Reads a command line for `sh`, which may not be empty.
pub fn command(text: &str) -> Result<OsString, String> {
    match text {
        "" => Err("a command is expected, not nothing".to_string()),
        text => Ok(decode(text)),
    }
}

/// Reads a TCP port, 0 to 65535.
pub fn port(text: &str) -> Result<u16, String> {
    digits(text).ok_or_else(|| "a port is a number from 0 to 65535".to_string())
}

/// Reads a number of connections, 1 to 65535.
pub fn max_peers(text: &str) -> Result<usize, String> {
    let number = digits::<u16>(text).filter(|n| *n > 0).map(usize::from);
    number.ok_or_else(|| "a number from 1 to 65535 is expected".to_string())
}

/// Reads decimal digits only: `str::parse` also accepts `+7`.
fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Reads a number like `0.5`: `f64`'s own parser also accepts `inf` and `1e9`.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

/// Reads bytes, with a suffix of 1024s: `500`, `500K`, `1.5M`.
fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = match text.as_bytes().last()?.to_ascii_uppercase() {
        b'K' => (&text[..text.len() - 1], 1 << 10),
        b'M' => (&text[..text.len() - 1], 1 << 20),
        b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1u64),
    };
    if let Some(whole) = digits::<u64>(number) {
        return whole.checked_mul(unit);
    }
    // Rounded up: a limit below 1 byte must not become 0, which means no limit.
    let bytes = (decimal(number)? * unit as f64).ceil();
    (bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// Reads a rate in bytes per second; 0: no limit.
pub fn rate(text: &str) -> Result<u64, String> {
    bytes(text).ok_or_else(|| {
        "bytes a second are expected, as 500, 500K or 1.5M (0: no limit)".to_string()
    })
}

/// Reads a piece length in bytes, a power of two from 16 KiB to 64 MiB.
pub fn piece_length(text: &str) -> Result<u32, String> {
    let fits = |n: &u64| n.is_power_of_two() && (16 << 10..=64 << 20).contains(n);
    let length = bytes(text).filter(fits).map(|n| n as u32);
    length.ok_or_else(|| "a power of two from 16K to 64M is expected".to_string())
}

/// Reads a time like `90`, `0.5`, `90s`, `5m` or `2h`. Without a unit it counts in `bare` seconds.
fn time(text: &str, bare: u32) -> Option<Duration> {
    let (number, unit) = match text.as_bytes().last()? {
        b's' => (&text[..text.len() - 1], 1),
        b'm' => (&text[..text.len() - 1], 60),
        b'h' => (&text[..text.len() - 1], 3600),
        _ => (text, bare),
    };
    Duration::try_from_secs_f64(decimal(number)? * f64::from(unit)).ok()
}

/// Reads a time, in seconds if it has no unit.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let expected = "a number of seconds is expected, as 90 or 0.5, or a time as 5m or 2h";
    time(text, 1).ok_or_else(|| expected.to_string())
}

/// Reads a time, in minutes if it has no unit.
pub fn minutes(text: &str) -> Result<Duration, String> {
    let expected = "a number of minutes is expected, as 90 or 0.5, or a time as 90s or 2h";
    time(text, 60).ok_or_else(|| expected.to_string())
}

/// Reads a ratio: uploaded bytes / wanted bytes.
pub fn ratio(text: &str) -> Result<f64, String> {
    decimal(text).ok_or_else(|| "a ratio is expected, as 2 or 1.5".to_string())
}

/// Reads the local address for all sockets: an IP address, in brackets or not, or a name.
pub fn bind(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
        // An IPv4 socket can't be bound to `::ffff:10.0.0.1`.
        return Ok(address.to_canonical());
    }
    let is_name = !text.is_empty() && !text.contains([':', '[', ']', '/', '\0']);
    let found = is_name.then(|| Door::default().look_up(&format!("{text}:0")));
    let found = found.and_then(|found| found.ok()?.into_iter().next());
    found.map(|address| address.ip()).ok_or_else(|| {
        "an address of this machine is expected, as 10.8.0.2 or ::1, without a port".to_string()
    })
}

/// Reads the URL of a proxy.
pub fn proxy(text: &str) -> Result<Proxy, String> {
    text.parse().map_err(|error: ProxyError| error.to_string())
}

/// Checks `HOST:PORT` or `[IPV6]:PORT`. The engine looks up the name later.
pub fn host_port(text: &str) -> Result<String, String> {
    let wrong = || "HOST:PORT is expected, as 10.0.0.7:6881 or [::1]:6881".to_string();
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host_fits = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains([':', '[', ']', '/', '@', '\0', ' ']),
    };
    match digits::<u16>(port) {
        Some(1..) if host_fits => Ok(text.to_string()),
        _ => Err(wrong()),
    }
}

/// Checks the URL of a tracker.
pub fn tracker(text: &str) -> Result<String, String> {
    url(text, &["http", "https", "udp"])
}

/// Checks the URL of a web seed.
pub fn webseed(text: &str) -> Result<String, String> {
    url(text, &["http", "https"])
}

fn url(text: &str, schemes: &[&str]) -> Result<String, String> {
    let known = |scheme: &str| schemes.iter().any(|s| s.eq_ignore_ascii_case(scheme));
    match text.split_once("://") {
        Some((scheme, rest)) if known(scheme) && !rest.starts_with('/') && !rest.is_empty() => {
            Ok(text.to_string())
        }
        _ => {
            let names: Vec<_> = schemes.iter().map(|s| format!("{s}://…")).collect();
            Err(format!("a URL is expected: {}", names.join(", ")))
        }
    }
}

/// Checks a comment: text in a torrent is UTF-8.
pub fn comment(text: &str) -> Result<String, String> {
    if text.starts_with('\0') {
        return Err("text in UTF-8 is expected".to_string());
    }
    Ok(text.to_string())
}

/// Reads `off`, `prefer` or `require`.
pub fn encryption(text: &str) -> Result<Encryption, String> {
    match text {
        "off" => Ok(Encryption::Off),
        "prefer" => Ok(Encryption::Prefer),
        "require" => Ok(Encryption::Require),
        _ => Err("off, prefer or require is expected".to_string()),
    }
}

/// Reads `auto`, `always` or `never`.
pub fn colour(text: &str) -> Result<Colour, String> {
    match text {
        "auto" => Ok(Colour::Auto),
        "always" => Ok(Colour::Always),
        "never" => Ok(Colour::Never),
        _ => Err("auto, always or never is expected".to_string()),
    }
}

/// Reads the numbers of files, like `1,3-5`.
pub fn file_numbers(text: &str) -> Result<FileNumbers, String> {
    text.parse()
        .map_err(|error: NoFileNumbers| error.to_string())
}

/// One SOURCE of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The path of a `.torrent` or, if no such file exists, a bare info hash.
    Path(PathBuf),
    /// The `file:` URI of a `.torrent`, as file managers write it.
    FileUri(String),
    /// A `.torrent` on standard input.
    Stdin,
    /// The `http(s)://` URL of a `.torrent`.
    Url(String),
    /// A `magnet:` link.
    Magnet(String),
}

/// Reads a SOURCE. What is not a link is a path.
pub fn source(text: &str) -> Result<Source, String> {
    let link = text.trim();
    let begins = |prefix: &str| {
        link.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    // Some programs escape a link once or twice too often.
    let is_magnet = || begins("magnet:") || begins("magnet%3A") || begins("magnet%253A");
    match text {
        "" => Err("a SOURCE is expected, not nothing".to_string()),
        "-" => Ok(Source::Stdin),
        _ if begins("http://") || begins("https://") => Ok(Source::Url(link.to_string())),
        _ if begins("file:") => Ok(Source::FileUri(link.to_string())),
        _ if is_magnet() => Ok(Source::Magnet(link.to_string())),
        _ => Ok(Source::Path(decode(text).into())),
    }
}

impl std::fmt::Display for Source {
    /// Writes the SOURCE in printable form, without the secrets of a URL.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::Path(path) => path.to_string_lossy(),
            Self::Stdin => "-".into(),
            Self::FileUri(text) | Self::Url(text) | Self::Magnet(text) => text.into(),
        };
        f.write_str(&shown(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_and_rates() {
        let cases = [
            ("0", Some(0)),
            ("500", Some(500)),
            ("500K", Some(512_000)),
            ("500k", Some(512_000)),
            ("1.5M", Some(1_572_864)),
            ("2G", Some(2 << 30)),
            (".5K", Some(512)),
            ("0.1", Some(1)), // not 0: that would lift the limit
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551615K", None),
            ("", None),
            ("K", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            ("inf", None),
            ("nan", None),
            ("1.2.3", None),
            ("1 M", None),
            ("1MB", None),
            ("1é", None),
        ];
        for (text, value) in cases {
            assert_eq!(rate(text).ok(), value, "{text:?}");
        }
        for (text, value) in [
            ("16K", Some(16 << 10)),
            ("64M", Some(64 << 20)),
            ("262144", Some(1 << 18)),
            ("8K", None),
            ("128M", None),
            ("48K", None),
            ("0", None),
        ] {
            assert_eq!(piece_length(text).ok(), value, "{text:?}");
        }
    }

    #[test]
    fn times_and_ratios() {
        for (text, as_seconds, as_minutes) in [
            ("2", 2.0, 120.0),
            ("0.5", 0.5, 30.0),
            ("90s", 90.0, 90.0),
            ("5m", 300.0, 300.0),
            ("1.5h", 5400.0, 5400.0),
            ("0h", 0.0, 0.0),
        ] {
            let time = |seconds| Ok(Duration::from_secs_f64(seconds));
            assert_eq!(seconds(text), time(as_seconds), "{text}");
            assert_eq!(minutes(text), time(as_minutes), "{text}");
        }
        assert_eq!(ratio("1.5"), Ok(1.5));
        let huge = "9".repeat(400);
        for bad in [
            "", ".", "s", "-1", "1e3h", "inf", "NaN", "1d", "1é", "1 h", &huge,
        ] {
            assert!(minutes(bad).is_err() && seconds(bad).is_err(), "{bad:?}");
        }
        assert!(ratio("").is_err() && ratio("-1").is_err() && ratio("1:2").is_err());
    }

    #[test]
    fn addresses() {
        for good in ["10.0.0.7:6881", "[::1]:1", "tracker.example:65535"] {
            assert_eq!(host_port(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            ":1",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "::1:80",
            "[::1]",
            "[x]:1",
            "a b:1",
            "http://x:1",
            "host:+1",
            "u@host:1",
        ] {
            assert!(host_port(bad).is_err(), "{bad:?}");
        }
        for (text, address) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("[::1]", "::1")] {
            assert_eq!(bind(text), Ok(address.parse().unwrap()), "{text:?}");
        }
        for bad in ["", "127.0.0.1:80", "[::1]:80", "http://x", "300.1.1.1/8"] {
            assert!(bind(bad).is_err(), "{bad:?}");
        }
        for good in ["http://t/a", "HTTPS://t", "udp://t:80/announce"] {
            assert!(tracker(good).is_ok(), "{good:?}");
        }
        for bad in [
            "",
            "t",
            "http://",
            "http:///a",
            "ftp://t/",
            "http:t",
            "wss://t",
        ] {
            assert!(tracker(bad).is_err(), "{bad:?}");
        }
        assert!(webseed("udp://t").is_err() && webseed("http://t/").is_ok());
        for (text, fits) in [("0", true), ("65535", true), ("65536", false), ("x", false)] {
            assert_eq!(port(text).is_ok(), fits, "{text:?}");
        }
        assert!(max_peers("0").is_err() && max_peers("+1").is_err() && max_peers("200").is_ok());
    }

    #[test]
    fn kinds_of_source() {
        assert_eq!(source("-"), Ok(Source::Stdin));
        assert_eq!(source("./-"), Ok(Source::Path("./-".into())));
        assert!(matches!(source("HTTP://x/é"), Ok(Source::Url(_))));
        assert!(matches!(source("Magnet:?xt="), Ok(Source::Magnet(_))));
        assert!(matches!(source("MAGNET%3a%3Fxt"), Ok(Source::Magnet(_))));
        assert!(matches!(source("File:///x"), Ok(Source::FileUri(_))));
        assert_eq!(source(" http://x\n"), Ok(Source::Url("http://x".into())));
        assert!(matches!(source("ftp://x"), Ok(Source::Path(_))));
        assert!(matches!(source("éhttp"), Ok(Source::Path(_))));
        assert!(source("").is_err() && path("").is_err());
        assert_eq!(source("a\n\u{1b}b").unwrap().to_string(), "a\\n\\u{1b}b");
        assert!(encryption("require").is_ok() && encryption("yes").is_err());
    }

    proptest! {
        #[test]
        fn any_argument_survives(arg in prop::collection::vec(1u8.., 0..20)) {
            prop_assert_eq!(decode(&encode(&arg)).into_vec(), arg);
        }
    }
}
