//! Magnet links: a torrent in one line of text ([BEP 9], [BEP 53]).
//!
//! ```text
//! magnet:?xt=urn:btih:d2474e86c95b19b8bcfdb92bc12c9d44667cfa36    the info hash: all that is needed
//!        &dn=Leaves+of+Grass          a name to show until the real one is known
//!        &xl=362017                   size in bytes
//!        &tr=udp%3A%2F%2Fexample.org  a tracker; may be there several times
//!        &ws=https%3A%2F%2F...        a web seed; the same
//!        &x.pe=192.0.2.7:6881         a peer; the same
//!        &so=0,2,4-6                  only these files, numbered from 0, padding counted
//! ```
//!
//! We fetch the `info` dictionary from peers, and the info hash proves it right. The rest of the
//! link is a hint, which is ignored if it makes no sense.
//!
//! Web pages, feeds and other links write `&` as `&amp;` and other characters as `%XX`, and do not
//! always undo this. So `&amp;` is read as `&`, and a text that is no link is read again with its
//! `%XX` undone.
//!
//! [BEP 9]: https://www.bittorrent.org/beps/bep_0009.html
//! [BEP 53]: https://www.bittorrent.org/beps/bep_0053.html

use crate::metainfo::{MAX_TEXT_LEN, MAX_URLS, Metainfo};
use crate::types::InfoHash;
use crate::url;
use std::fmt;
use std::str::FromStr;

/// The longest link that is read, in bytes.
pub const MAX_LINK_LEN: usize = 256 << 10;

/// The most superfluous layers of `%XX` that are undone.
const MAX_UNPACKED: usize = 3;

/// A magnet link, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Magnet {
    /// The torrent's info hash.
    pub info_hash: InfoHash,
    /// A name to show until the metadata is here. Not safe as a file name.
    pub name: Option<String>,
    /// The size of the files in bytes, as the link claims.
    pub length: Option<u64>,
    /// The trackers, each once, without tiers.
    pub trackers: Vec<String>,
    /// Web servers that have the files (BEP 19).
    pub webseeds: Vec<String>,
    /// Peers, as `HOST:PORT`.
    pub peers: Vec<String>,
    /// The wanted files: first and last of each range, from 0. Empty: all.
    pub only: Vec<(usize, usize)>,
}

/// Why a text is no magnet link that we can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MagnetError {
    /// It does not begin with `magnet:?`.
    #[error("a magnet link begins with `magnet:?`")]
    NotMagnet,
    /// It is longer than [`MAX_LINK_LEN`].
    #[error("the link has {0} bytes; at most {MAX_LINK_LEN} are read")]
    TooLong(usize),
    /// It has no `xt=urn:btih:...`.
    #[error("the link names no torrent: it has no `xt=urn:btih:` with an info hash")]
    NoInfoHash,
    /// Its info hash is neither 40 hex digits nor 32 characters of base 32.
    #[error(
        "`{0}` is no info hash: it should be 40 hex digits, or 32 letters and digits of base 32"
    )]
    BadInfoHash(String),
    /// It has only a hash of BEP 52 (`urn:btmh:`).
    #[error("the link is to a torrent of BitTorrent version 2 only, which is not supported")]
    OnlyVersion2,
}

impl FromStr for Magnet {
    type Err = MagnetError;

    fn from_str(link: &str) -> Result<Self, MagnetError> {
        if link.len() > MAX_LINK_LEN {
            return Err(MagnetError::TooLong(link.len()));
        }
        let mut link = without_entities(link.trim());
        let result = read(&link);
        for _ in 0..MAX_UNPACKED {
            match text(&link).filter(|unpacked| result.is_err() && *unpacked != link) {
                Some(unpacked) => link = without_entities(&unpacked),
                None => break,
            }
            if let Ok(magnet) = read(&link) {
                return Ok(magnet);
            }
        }
        result
    }
}

/// Reads a link as it stands.
fn read(link: &str) -> Result<Magnet, MagnetError> {
    let query = after_prefix(link, "magnet:?").ok_or(MagnetError::NotMagnet)?;
    let (mut info_hash, mut version_2) = (None, false);
    // The real info hash replaces the zeros below.
    let mut magnet = Magnet::from(InfoHash([0; 20]));
    let (mut name, mut too_often) = (None, 0);
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        // Some links number the keys that they repeat: `tr.1`, `tr.2`.
        let key = match key.rsplit_once('.') {
            Some((key, number)) if number.bytes().all(|b| b.is_ascii_digit()) => key,
            _ => key,
        };
        match key {
            "xt" => {
                let topic = text(value).unwrap_or_default();
                match after_prefix(&topic, "urn:btih:") {
                    Some(hash) if info_hash.is_none() => info_hash = Some(read_hash(hash)?),
                    Some(_) => {} // the first counts
                    None => version_2 |= after_prefix(&topic, "urn:btmh:").is_some(),
                }
            }
            // Only the name has its spaces written as `+`, as in web forms.
            "dn" => name = text(&value.replace('+', " ")),
            "xl" => magnet.length = value.parse().ok(),
            "tr" => too_often = too_often.max(add(&mut magnet.trackers, value)),
            "ws" => too_often = too_often.max(add(&mut magnet.webseeds, value)),
            "x.pe" => too_often = too_often.max(add(&mut magnet.peers, value)),
            "so" => {
                let text = text(value).unwrap_or_default();
                magnet.only = text.split(',').filter_map(range).take(MAX_RANGES).collect();
            }
            _ => {}
        }
    }
    // Only an address shows how many times too often the link was escaped. The name was, too.
    magnet.name = (0..too_often).fold(name, |name: Option<String>, _| {
        text(&name?.replace('+', " "))
    });
    magnet.info_hash = info_hash.ok_or(match version_2 {
        true => MagnetError::OnlyVersion2,
        false => MagnetError::NoInfoHash,
    })?;
    Ok(magnet)
}

impl From<InfoHash> for Magnet {
    /// A link that has only the info hash.
    fn from(info_hash: InfoHash) -> Self {
        Self {
            info_hash,
            name: None,
            length: None,
            trackers: Vec::new(),
            webseeds: Vec::new(),
            peers: Vec::new(),
            only: Vec::new(),
        }
    }
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "magnet:?xt=urn:btih:{}", self.info_hash)?;
        if let Some(name) = &self.name {
            write!(f, "&dn={}", Escaped(name))?;
        }
        if let Some(length) = self.length {
            write!(f, "&xl={length}")?;
        }
        let lists = [
            ("tr", &self.trackers),
            ("ws", &self.webseeds),
            ("x.pe", &self.peers),
        ];
        for (key, list) in lists {
            list.iter()
                .try_for_each(|value| write!(f, "&{key}={}", Escaped(value)))?;
        }
        for (i, (first, last)) in self.only.iter().enumerate() {
            f.write_str(if i == 0 { "&so=" } else { "," })?;
            match first == last {
                true => write!(f, "{first}")?,
                false => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl Magnet {
    /// Returns the link for a bare info hash: 40 hex digits, or 32 characters of base 32.
    pub fn bare(text: &str) -> Option<Self> {
        read_hash(text).ok().map(Self::from)
    }

    /// Returns the files of `so=` as indices, without padding and numbers past the end; `None`
    /// without a `so=`.
    pub fn wanted(&self, metainfo: &Metainfo) -> Option<Vec<usize>> {
        if self.only.is_empty() {
            return None;
        }
        let is_asked = |file: &usize| self.only.iter().any(|(a, b)| (a..=b).contains(&file));
        let files = metainfo
            .files
            .iter()
            .enumerate()
            .filter(|(_, file)| !file.pad);
        Some(files.map(|(index, _)| index).filter(is_asked).collect())
    }
}

/// Returns the link to a torrent, with its name, size, trackers and web seeds.
pub fn link(metainfo: &Metainfo) -> String {
    Magnet {
        name: Some(metainfo.name.clone()),
        length: Some(metainfo.total_bytes()),
        trackers: metainfo.trackers.concat(),
        webseeds: metainfo.webseeds.clone(),
        ..Magnet::from(metainfo.info_hash)
    }
    .to_string()
}

/// The most ranges of `so=` that are used.
const MAX_RANGES: usize = 1_000;

/// Returns the text after `prefix`, in upper or lower case.
fn after_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn read_hash(hash: &str) -> Result<InfoHash, MagnetError> {
    hash.parse()
        .ok()
        .or_else(|| base32(hash).map(InfoHash))
        .ok_or_else(|| MagnetError::BadInfoHash(hash.chars().take(80).collect()))
}

/// Reads base 32: five bits per character, `A` to `Z` for 0 to 25, `2` to `7` for the rest.
fn base32(text: &str) -> Option<[u8; 20]> {
    let mut bytes = [0; 20];
    if text.len() != 32 {
        return None;
    }
    // Eight characters make exactly five bytes.
    for (eight, five) in text.as_bytes().chunks(8).zip(bytes.chunks_mut(5)) {
        let bits = eight.iter().try_fold(0u64, |bits, c| {
            let value = match c.to_ascii_uppercase() {
                c @ b'A'..=b'Z' => c - b'A',
                c @ b'2'..=b'7' => c - b'2' + 26,
                _ => return None,
            };
            Some(bits << 5 | u64::from(value))
        })?;
        five.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(bytes)
}

/// Reads `4` or `4-6`.
fn range(text: &str) -> Option<(usize, usize)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then_some((first, last))
}

/// Adds the unescaped address of `value`, if it makes sense and is new. Returns how many
/// superfluous layers of `%XX` it had: an address has a `:`.
fn add(list: &mut Vec<String>, value: &str) -> usize {
    let forms = std::iter::successors(text(value), |form| text(form));
    let forms: Vec<String> = forms.take(MAX_UNPACKED + 1).collect();
    let right = forms.iter().position(|form| form.contains(':'));
    let times = right.unwrap_or(0);
    let new = forms.into_iter().nth(times).filter(|text| {
        !text.is_empty() && text.len() <= MAX_TEXT_LEN && !text.contains(char::is_control)
    });
    if let Some(new) = new.filter(|new| list.len() < MAX_URLS && !list.contains(new)) {
        list.push(new);
    }
    times
}

/// Undoes `%XX`; `None` if the result is not UTF-8.
fn text(escaped: &str) -> Option<String> {
    String::from_utf8(url::unescaped(escaped)).ok()
}

/// Puts a plain `&` for each `&amp;`, `&#38;` or `&#x26;`, even if it was escaped more than once.
fn without_entities(link: &str) -> String {
    let mut plain = String::with_capacity(link.len());
    let mut parts = link.split('&');
    plain.push_str(parts.next().unwrap_or_default());
    for mut part in parts {
        plain.push('&');
        while let Some(rest) = after_entity(part) {
            part = rest;
        }
        plain.push_str(part);
    }
    plain
}

/// Returns the text after `amp;`, `#38;` or `#x26;`.
fn after_entity(text: &str) -> Option<&str> {
    let (name, rest) = text.split_once(';')?;
    let name = name.to_ascii_lowercase();
    let number = |name: &str| match name.strip_prefix('x') {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => name.parse().ok(),
    };
    let stands_for_and = match name.strip_prefix('#') {
        Some(name) => number(name) == Some(u32::from('&')),
        None => name == "amp",
    };
    stands_for_and.then_some(rest)
}

/// Writes what never has a meaning in a URL as it is, and the rest as `%XX`.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => {
                write!(f, "{}", char::from(byte))
            }
            // Some clients do not unescape a peer's address.
            b':' | b'[' | b']' => write!(f, "{}", char::from(byte)),
            _ => write!(f, "%{byte:02X}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metainfo;
    use proptest::prelude::*;

    const HEX: &str = "d2474e86c95b19b8bcfdb92bc12c9d44667cfa36";

    fn read(rest: &str) -> Magnet {
        format!("magnet:?xt=urn:btih:{HEX}{rest}").parse().unwrap()
    }

    #[test]
    fn info_hashes() {
        let base32 = "2JDU5BWJLMM3RPH5XEV4CLE5IRTHZ6RW";
        let cases = [
            (format!("magnet:?xt=urn:btih:{HEX}"), Ok(())),
            (
                format!("MAGNET:?xt=URN:BTIH:{}", HEX.to_uppercase()),
                Ok(()),
            ),
            (format!("magnet:?xt=urn:btih:{base32}"), Ok(())),
            (
                format!("magnet:?xt=urn:btih:{}", base32.to_lowercase()),
                Ok(()),
            ),
            (format!(" magnet:?dn=x&xt=urn%3Abtih%3A{HEX}\n"), Ok(())),
            (
                format!("magnet:?xt.1=urn:btmh:1220aa&xt.2=urn:btih:{HEX}"),
                Ok(()),
            ),
            (format!("magnet:?&&=&a&xt=urn:btih:{HEX}&"), Ok(())),
            (
                format!("http://x/?xt=urn:btih:{HEX}"),
                Err(MagnetError::NotMagnet),
            ),
            ("magnet:?".into(), Err(MagnetError::NoInfoHash)),
            (
                "magnet:?xt=urn:sha1:abc".into(),
                Err(MagnetError::NoInfoHash),
            ),
            (
                "magnet:?xt=urn:btmh:1220aa".into(),
                Err(MagnetError::OnlyVersion2),
            ),
            (
                "magnet:?xt=urn:btih:abc".into(),
                Err(MagnetError::BadInfoHash("abc".into())),
            ),
            (
                format!("magnet:?xt=urn:btih:{}1", &base32[1..]),
                Err(MagnetError::BadInfoHash(format!("{}1", &base32[1..]))),
            ),
            (
                format!("magnet:?{}", "a".repeat(MAX_LINK_LEN)),
                Err(MagnetError::TooLong(MAX_LINK_LEN + 8)),
            ),
        ];
        for (link, expected) in cases {
            let hash = link
                .parse()
                .map(|magnet: Magnet| magnet.info_hash.to_string());
            assert_eq!(hash, expected.map(|()| HEX.to_owned()), "{link:.200}");
        }
    }

    #[test]
    fn hints() {
        let magnet = read(
            "&dn=Leaves+of%20Gr%C3%A4ss&xl=362017&tr=udp%3A%2F%2Fa%3A1&tr.1=http://b/%zz%&tr=udp://a:1\
             &tr=&ws=http://w/+&x.pe=[::1]:7&x.pe=h%3a8&as=x&xl=no&so=5,0,2-3,9-8,x,7-",
        );
        assert_eq!(magnet.name.as_deref(), Some("Leaves of Gräss"));
        assert_eq!(magnet.trackers, ["udp://a:1", "http://b/%zz%"]);
        assert_eq!(magnet.webseeds, ["http://w/+"]);
        assert_eq!(magnet.peers, ["[::1]:7", "h:8"]);
        assert_eq!(magnet.only, [(5, 5), (0, 0), (2, 3)]);
        assert_eq!(
            read("&dn=%ff&xl=-1"),
            read(""),
            "what makes no sense is ignored"
        );
        let many: String = (0..1_000)
            .map(|i| format!("&tr=http://{i}&so={i}"))
            .collect();
        assert_eq!(read(&many).trackers.len(), MAX_URLS);
    }

    #[test]
    fn links_that_were_packed_too_often() {
        let parts = format!(
            "xt=urn:btih:{HEX}&dn=Tom+%26+Jerry%20100%25&tr=http%3A%2F%2Ft%2Fa%3Fb%3D1%26c%3D%2541&x.pe=h%3A7&xl=5"
        );
        let plain = format!("magnet:?{parts}");
        let magnet: Magnet = plain.parse().unwrap();
        assert_eq!(magnet.trackers, ["http://t/a?b=1&c=%41"]);
        assert_eq!(magnet.name.as_deref(), Some("Tom & Jerry 100%"));
        let again = |link: &str| url::escaped(link.as_bytes());
        let half = |link: &str| link.replace('%', "%25");
        let links = [
            plain.replace('&', "&amp;"),
            plain.replace('&', "&AMP;"),
            plain.replace('&', "&#38;"),
            plain.replace('&', "&#038;"),
            plain.replace('&', "&#x26;"),
            plain.replace('&', "&amp;amp;"),
            format!("magnet:{}", again(&format!("?{parts}"))),
            format!("magnet:?{}", again(&parts)),
            format!("magnet:?{}", parts.replace('%', "%25").replace('&', "%26")),
            again(&plain),
            again(&again(&plain)),
            again(&plain.replace('&', "&amp;")),
            half(&plain),
            half(&half(&plain)),
            half(&plain.replace("urn:btih:", "urn%3Abtih%3A")),
        ];
        for link in links {
            assert_eq!(link.parse(), Ok(magnet.clone()), "{link}");
        }
        // Looks escaped too often, but is not.
        let inner = read("&tr=http://t/%3Fu%3Dhttp%253A%252F%252Fx&dn=%2520");
        assert_eq!(inner.trackers, ["http://t/?u=http%3A%2F%2Fx"]);
        assert_eq!(inner.name.as_deref(), Some("%20"));
        let wrong = "magnet:?xt=urn:btih:abc&dn=%2525".parse::<Magnet>();
        assert_eq!(wrong, Err(MagnetError::BadInfoHash("abc".into())));
        let bare = "magnet%3Adn".parse::<Magnet>();
        assert_eq!(bare, Err(MagnetError::NotMagnet));
    }

    #[test]
    fn a_bare_info_hash_is_a_link() {
        let base32 = "2JDU5BWJLMM3RPH5XEV4CLE5IRTHZ6RW";
        for text in [HEX, &HEX.to_uppercase(), base32, &base32.to_lowercase()] {
            assert_eq!(Magnet::bare(text), Some(read("")), "{text}");
        }
        for text in [
            "",
            &HEX[1..],
            &format!("{HEX}0"),
            &base32[1..],
            &"g".repeat(40),
        ] {
            assert_eq!(Magnet::bare(text), None, "{text}");
        }
    }

    #[test]
    fn wanted_files_and_the_link_back() {
        let hybrid = include_bytes!("../fixtures/hybrid.torrent");
        let metainfo = metainfo::parse(hybrid).unwrap();
        assert_eq!(read("").wanted(&metainfo), None);
        assert_eq!(
            read("&so=0-18446744073709551615").wanted(&metainfo),
            Some(vec![0, 2, 3])
        );
        assert_eq!(
            read("&so=1,3,99").wanted(&metainfo),
            Some(vec![3]),
            "1 is padding"
        );
        let walk = metainfo::parse(include_bytes!("../fixtures/walk.torrent")).unwrap();
        assert_eq!(
            link(&walk),
            "magnet:?xt=urn:btih:1bb764a12143f3979dd9a12de6af4e7d01f5ea0c&dn=walk&xl=23\
             &tr=http:%2F%2Fa.example%2Fannounce&tr=udp:%2F%2Fb.example:6969\
             &tr=http:%2F%2Fc.example%2Fannounce&ws=http:%2F%2Fmirror.example%2F"
        );
    }

    proptest! {
        #[test]
        fn print_and_read(
            hash: [u8; 20], name in prop::option::of(".*"), length: Option<u64>,
            mut lists in prop::array::uniform3(prop::collection::btree_set("[!-~é]{0,9}:[!-~é]{0,9}", 0..4)), only in prop::collection::vec((0usize..9, 9usize..20), 0..4),
        ) {
            let mut list = |i: usize| std::mem::take(&mut lists[i]).into_iter().collect();
            let magnet = Magnet { info_hash: InfoHash(hash), name, length, trackers: list(0), webseeds: list(1), peers: list(2), only };
            prop_assert_eq!(magnet.to_string().parse::<Magnet>(), Ok(magnet));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "magnet:\\?(xt=urn:btih:|[&=%.,a-f0-9-]|so=|tr|.){0,40}") {
            let _ = text.parse::<Magnet>();
        }
    }
}
