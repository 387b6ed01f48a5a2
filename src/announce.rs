//! What we say to a tracker, and what it answers.
//!
//! A *tracker* is a server that knows which peers share a torrent. About every half hour we
//! *announce* ourselves to it: "I am this peer, at this port, and this many bytes are left for me
//! to fetch". It answers with addresses of other peers and with the time until our next announce.
//! Over HTTP the announce is the query of a GET request, and the answer a bencoded dictionary ([BEP
//! 3], with the compact addresses of [BEP 23] and [BEP 7]). Over UDP the same facts travel in
//! packets ([`crate::tracker::udp_packets`]).
//!
//! No I/O here: the tracker threads move the bytes, and [`crate::announcer`] decides when. All that
//! a tracker sends is bounded and checked here.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 7]: https://www.bittorrent.org/beps/bep_0007.html
//! [BEP 23]: https://www.bittorrent.org/beps/bep_0023.html

mod error;

pub(crate) use error::{TrackerError, Trouble};

use crate::address::{unpack_all, usable};
use crate::bencode::{self, Raw};
use crate::types::{InfoHash, PeerId};
use crate::url;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The most peers that we take from one reply. Trackers send 50 to 200.
pub const MAX_PEERS: usize = 2_000;

/// The time until the next announce if the tracker does not name one.
pub(crate) const DEFAULT_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// The shortest interval that we obey, so that we burden no tracker.
pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(60);

/// The longest interval that we obey, so that no tracker can silence us.
pub const LONGEST_INTERVAL: Duration = Duration::from_secs(6 * 60 * 60);

/// The longest tracker id that we keep, in bytes: it goes back in a URL.
const MAX_TRACKER_ID: usize = 256;

/// The most characters of a tracker's message that we show.
const MAX_MESSAGE: usize = 300;

/// The reason for an announce.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnnounceEvent {
    /// We join the swarm.
    Started,
    /// We joined with an incomplete download, and now it is complete.
    Completed,
    /// We leave the swarm.
    Stopped,
    /// Nothing happened. We are still there and want more peers.
    Periodic,
}

/// One announce. The byte counts are payload of this run.
#[derive(Clone, Debug, PartialEq)]
pub struct AnnounceRequest {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Our peer id.
    pub peer_id: PeerId,
    /// The TCP port at which we accept connections.
    pub port: u16,
    /// Bytes that we sent.
    pub uploaded: u64,
    /// Bytes that we received.
    pub downloaded: u64,
    /// Bytes of the whole torrent that we lack.
    pub left: u64,
    /// The reason for this announce.
    pub event: AnnounceEvent,
    /// A random number, the same for the whole run. By it the tracker recognizes us when our
    /// address changes, or when we come over both IPv4 and IPv6.
    pub key: u32,
    /// How many peers we would like. Ignored for `Stopped`.
    pub num_want: u32,
    /// The id that this tracker gave us to repeat. The tracker's thread fills it in.
    pub tracker_id: Option<Vec<u8>>,
}

impl AnnounceRequest {
    /// How many peers to ask for: none when we leave.
    pub fn peers_wanted(&self) -> u32 {
        match self.event {
            AnnounceEvent::Stopped => 0,
            _ => self.num_want,
        }
    }

    /// Returns the URL to GET: `tracker` with this announce added to its query. Private trackers
    /// know their users by the query that is already there.
    pub fn http_url(&self, tracker: &str) -> String {
        let (tracker, _fragment) = tracker.split_once('#').unwrap_or((tracker, ""));
        let mut url = String::with_capacity(tracker.len() + 320);
        for byte in tracker.bytes() {
            match byte {
                b'!'..=b'~' => url.push(char::from(byte)),
                // Writing to a String can't fail.
                _ => _ = write!(url, "%{byte:02X}"),
            }
        }
        match tracker.find('?') {
            None => url.push('?'),
            Some(_) if tracker.ends_with(['?', '&']) => {}
            Some(_) => url.push('&'),
        }
        url.push_str("info_hash=");
        url += &url::escaped(&self.info_hash.0);
        url.push_str("&peer_id=");
        url += &url::escaped(&self.peer_id.0);
        let Self {
            port,
            uploaded,
            downloaded,
            left,
            key,
            ..
        } = self;
        let num_want = self.peers_wanted();
        let _ = write!(
            url,
            "&port={port}&uploaded={uploaded}&downloaded={downloaded}&left={left}\
             &compact=1&numwant={num_want}&key={key:08X}"
        );
        url.push_str(match self.event {
            AnnounceEvent::Started => "&event=started",
            AnnounceEvent::Completed => "&event=completed",
            AnnounceEvent::Stopped => "&event=stopped",
            AnnounceEvent::Periodic => "",
        });
        if let Some(id) = &self.tracker_id {
            url.push_str("&trackerid=");
            url += &url::escaped(id);
        }
        url
    }
}

/// A tracker's answer to one announce.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnounceReply {
    /// Addresses of peers, at most [`MAX_PEERS`], each of them [`usable`].
    pub peers: Vec<SocketAddr>,
    /// The time until our next announce.
    pub interval: Duration,
    /// The shortest time after which we may announce early.
    pub min_interval: Option<Duration>,
    /// A message for the user.
    pub warning: Option<String>,
    /// An id to repeat in the next announce.
    pub tracker_id: Option<Vec<u8>>,
    /// This is the tracker's answer over IPv6 to an announce that it already answered over IPv4
    /// ([BEP 7]): more peers, but no new interval.
    ///
    /// [BEP 7]: https://www.bittorrent.org/beps/bep_0007.html
    pub further: bool,
}

impl Default for AnnounceReply {
    /// A reply that names no peers.
    fn default() -> Self {
        Self {
            peers: Vec::new(),
            interval: DEFAULT_INTERVAL,
            min_interval: None,
            warning: None,
            tracker_id: None,
            further: false,
        }
    }
}

impl AnnounceReply {
    /// Reads the body of an HTTP reply. Ignores values that are missing, of the wrong type or out
    /// of range: trackers differ much, and only the peers count.
    ///
    /// # Errors
    /// [`Trouble::Failure`] if the tracker refused the announce, [`Trouble::Garbage`] if the body
    /// is no bencoded dictionary.
    pub fn from_http_body(body: &[u8]) -> Result<Self, Trouble> {
        let body = bencode::scan(body, bencode::MESSAGE_DEPTH)?;
        let entries = body
            .dict()
            .ok_or_else(|| Trouble::Garbage("it is not a dictionary".to_owned()))?;
        let mut reply = Self::default();
        for (key, value) in entries {
            match (key, value.string()) {
                (b"failure reason", Some(words)) => return Err(Trouble::Failure(message(words))),
                (b"warning message", Some(words)) => reply.warning = Some(message(words)),
                (b"peers", Some(list)) => take(unpack_all(list, false), &mut reply.peers),
                (b"peers6", Some(list)) => take(unpack_all(list, true), &mut reply.peers),
                (b"peers", None) => {
                    let dicts = value.list().into_iter().flatten();
                    take(dicts.filter_map(peer_of_dict), &mut reply.peers);
                }
                (b"interval", _) => {
                    reply.interval = value
                        .number()
                        .and_then(interval)
                        .unwrap_or(DEFAULT_INTERVAL);
                }
                (b"min interval", _) => reply.min_interval = value.number().and_then(interval),
                (b"tracker id", Some(id)) if id.len() <= MAX_TRACKER_ID => {
                    reply.tracker_id = Some(id.to_vec());
                }
                _ => {}
            }
        }
        Ok(reply)
    }
}

/// Returns the interval that a tracker asked for, clamped to our bounds. `None` if `seconds` is not
/// positive.
pub(crate) fn interval(seconds: i64) -> Option<Duration> {
    let seconds = u64::try_from(seconds).ok().filter(|&seconds| seconds > 0)?;
    Some(Duration::from_secs(seconds).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL))
}

/// Reads a peer in the original form: a dictionary with its address as text. Skips DNS names, which
/// BEP 3 allows: one peer is not worth a look-up.
fn peer_of_dict(peer: Raw) -> Option<SocketAddr> {
    let (mut ip, mut port) = (None, None);
    for (key, value) in peer.dict()? {
        match key {
            b"ip" => ip = value.text()?.parse::<IpAddr>().ok(),
            b"port" => port = u16::try_from(value.number()?).ok(),
            _ => {}
        }
    }
    usable(SocketAddr::new(ip?, port?))
}

/// Adds addresses to `peers`, up to [`MAX_PEERS`] in all.
fn take(addresses: impl Iterator<Item = SocketAddr>, peers: &mut Vec<SocketAddr>) {
    let room = MAX_PEERS.saturating_sub(peers.len());
    peers.extend(addresses.take(room));
}

/// Returns a tracker's words as one short line without control characters.
pub(crate) fn message(words: &[u8]) -> String {
    String::from_utf8_lossy(words)
        .trim()
        .chars()
        .take(MAX_MESSAGE)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(event: AnnounceEvent) -> AnnounceRequest {
        AnnounceRequest {
            info_hash: InfoHash(*b"\x00\x01 aZ9-._~!&=+%?\xff/:#"),
            peer_id: PeerId(*b"-SR0100-abcdefghijkl"),
            port: 6881,
            uploaded: 1,
            downloaded: 2,
            left: u64::MAX,
            event,
            key: 0xbeef,
            num_want: 100,
            tracker_id: None,
        }
    }

    #[test]
    fn urls() {
        let tail = "info_hash=%00%01%20aZ9-._~%21%26%3D%2B%25%3F%FF%2F%3A%23\
                    &peer_id=-SR0100-abcdefghijkl&port=6881&uploaded=1&downloaded=2\
                    &left=18446744073709551615&compact=1";
        let started = "&numwant=100&key=0000BEEF&event=started";
        for (tracker, head) in [
            ("http://t/announce", "http://t/announce?"),
            ("http://t/a?passkey=x", "http://t/a?passkey=x&"),
            ("http://t/a?", "http://t/a?"),
            ("http://t/a?p=x&", "http://t/a?p=x&"),
            ("http://t/a#part", "http://t/a?"),
            ("http://t/\u{fc} b%20", "http://t/%C3%BC%20b%20?"),
        ] {
            let url = request(AnnounceEvent::Started).http_url(tracker);
            assert_eq!(url, format!("{head}{tail}{started}"));
        }
        let stopped = request(AnnounceEvent::Stopped).http_url("http://t/");
        assert!(stopped.ends_with("&numwant=0&key=0000BEEF&event=stopped"));
        let later = AnnounceRequest {
            tracker_id: Some(b"\xfa&b".to_vec()),
            ..request(AnnounceEvent::Periodic)
        };
        let later = later.http_url("http://t/");
        assert!(
            later.ends_with("&key=0000BEEF&trackerid=%FA%26b"),
            "{later}"
        );
    }

    #[test]
    fn a_full_reply() {
        let body = b"d8:completei5e11:external ip4:\x01\x02\x03\x0410:incompletei7e8:intervali900e\
            12:min intervali300e5:peers12:\x7f\0\0\x01\x1a\xe1\x0a\0\0\x02\0\x50\
            6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09\x1a\xe2\
            10:tracker id2:\xff\x0015:warning message8:be\x1b nice8:intervali60ee\r\n<!-- 2 ms -->\0";
        let expected = AnnounceReply {
            peers: ["127.0.0.1:6881", "10.0.0.2:80", "[2001:db8::9]:6882"]
                .map(|peer| peer.parse().unwrap())
                .to_vec(),
            interval: Duration::from_secs(900),
            min_interval: Some(Duration::from_secs(300)),
            warning: Some("be  nice".to_owned()),
            tracker_id: Some(vec![0xff, 0]),
            further: false,
        };
        assert_eq!(AnnounceReply::from_http_body(body).unwrap(), expected);
    }

    #[test]
    fn peers_of_all_kinds() {
        let mapped = b"d6:peers618:\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x01\0\x09e";
        let cases: &[(&str, &[u8], &[&str])] = &[
            ("none", b"de", &[]),
            ("ragged", b"d5:peers8:\x0a\0\0\x01\0\x09\x0a\0e", &["10.0.0.1:9"]),
            ("port 0", b"d5:peers6:\x0a\0\0\x01\0\0e", &[]),
            ("0.0.0.0/8", b"d5:peers6:\0\0\0\x01\0\x09e", &[]),
            ("multicast", b"d5:peers6:\xe0\0\0\x01\0\x09e", &[]),
            ("broadcast", b"d5:peers6:\xff\xff\xff\xff\0\x09e", &[]),
            ("mapped IPv4", mapped, &["10.0.0.1:9"]),
            ("a number", b"d5:peersi6ee", &[]),
            (
                "dictionaries",
                b"d5:peersld2:ip8:10.0.0.17:peer id2:\xff\xff4:porti9eed2:ip3:::14:porti9eee7:privatei1ee",
                &["10.0.0.1:9", "[::1]:9"],
            ),
            ("a name", b"d5:peersld2:ip9:localhost4:porti9eeee", &[]),
            ("no port", b"d5:peersld2:ip8:10.0.0.1eee", &[]),
            ("port -1", b"d5:peersld2:ip8:10.0.0.14:porti-1eeee", &[]),
            ("port 65536", b"d5:peersld2:ip8:10.0.0.14:porti65536eeee", &[]),
            ("port as text", b"d5:peersld2:ip8:10.0.0.14:port1:9eee", &[]),
            ("one of many", b"d5:peersli1ele3:abcd2:ip7:1.2.3.44:porti9eeee", &["1.2.3.4:9"]),
        ];
        for (name, body, expected) in cases {
            let reply = AnnounceReply::from_http_body(body).expect(name);
            let peers: Vec<_> = reply.peers.iter().map(SocketAddr::to_string).collect();
            assert_eq!(peers, *expected, "{name}");
        }
        let mut peers = Vec::new();
        take(unpack_all(&[9; 6 * (MAX_PEERS + 1)], false), &mut peers);
        take(unpack_all(&[0x20; 18], true), &mut peers);
        assert_eq!(peers.len(), MAX_PEERS, "bounded");
    }

    #[test]
    fn intervals_are_bounded() {
        for (text, seconds) in [
            ("", 1800),
            ("8:intervali120e", 120),
            ("8:intervali0e", 1800),
            ("8:intervali-5e", 1800),
            ("8:intervali1e", 60),
            ("8:intervali9223372036854775807e", 21_600),
            ("8:intervali18446744073709551616e", 1800),
            ("8:interval3:120", 1800),
        ] {
            let reply = AnnounceReply::from_http_body(format!("d{text}e").as_bytes());
            assert_eq!(
                reply.unwrap().interval,
                Duration::from_secs(seconds),
                "{text}"
            );
        }
    }

    #[test]
    fn no_replies() {
        let deep = [b"d5:peers".as_slice(), &[b'l'; 1_000_000]].concat();
        let cases: &[(&[u8], &str)] = &[
            (
                b"d14:failure reason8:go\naway!e",
                "refused the announce: \"go away!\"",
            ),
            (b"", "can't be read"),
            (b"<html>", "can't be read"),
            (b"le", "not a dictionary"),
            (b"d5:peers", "cut short"),
            (&deep, "nested"),
        ];
        for (body, expected) in cases {
            let trouble = AnnounceReply::from_http_body(body).unwrap_err().to_string();
            assert!(trouble.contains(expected), "{trouble}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = AnnounceReply::from_http_body(&body);
        }

        #[test]
        fn any_values_are_survived(
            values in prop::collection::vec(
                prop_oneof![Just("de"), Just("le"), Just("i-1e"), Just("i9e"), Just("4:abcd"), Just("0:"),
                            Just("ld2:ipi1e4:port0:ee"), Just("d2:iplee")],
                7,
            ),
        ) {
            let keys = ["complete", "external ip", "incomplete", "interval", "min interval", "peers", "tracker id"];
            let entries: String = keys.iter().zip(&values).map(|(key, value)| format!("{}:{key}{value}", key.len())).collect();
            let reply = AnnounceReply::from_http_body(format!("d{entries}e").as_bytes()).unwrap();
            prop_assert!((SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&reply.interval));
            prop_assert!(reply.peers.is_empty());
        }
    }
}
