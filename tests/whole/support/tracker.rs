//! Scripted trackers that remember every announce: HTTP ([BEP 3], [BEP 23]) and UDP ([BEP 15]).
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 15]: https://www.bittorrent.org/beps/bep_0015.html
//! [BEP 23]: https://www.bittorrent.org/beps/bep_0023.html

use super::bencode::{Value, dict};
use super::http::{HttpServer, respond};
use super::{Gate, PATIENCE};
use crossbeam_channel::{Receiver, unbounded};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Instant;

/// An announce.
#[derive(Clone, Debug)]
pub(crate) struct Announce {
    pub info_hash: Vec<u8>,
    pub peer_id: Vec<u8>,
    pub port: u16,
    /// Payload bytes sent.
    pub uploaded: u64,
    /// Payload bytes received.
    pub downloaded: u64,
    /// Bytes still missing.
    pub left: u64,
    /// `started`, `completed`, `stopped`, or nothing for a regular one.
    pub event: String,
    /// How many peers it wants; −1: any number.
    pub numwant: i64,
    /// All parameters of an HTTP announce.
    pub query: HashMap<String, Vec<u8>>,
}

/// The tracker's answer.
pub(crate) enum Reply {
    /// Peers, six bytes each.
    Compact(Vec<SocketAddr>),
    /// Peers as a list of dictionaries.
    Dicts(Vec<SocketAddr>),
    Failure(String),
    /// A status line and a body.
    Raw(&'static str, Vec<u8>),
    /// Nothing, and the connection stays open until the gate does.
    Silence(Gate),
}

/// A tracker on loopback; lives as long as the test's process.
pub(crate) struct FakeTracker {
    pub url: String,
    announces: Receiver<Announce>,
}

impl FakeTracker {
    pub(crate) fn start(reply: impl Fn(&Announce) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", reply)
    }

    /// The same on another local address; port 0 is any free one.
    pub(crate) fn start_at(
        address: &str,
        reply: impl Fn(&Announce) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let (sender, announces) = unbounded();
        let server = HttpServer::start_at(address, move |request, stream| {
            let announce = announce_of(&request.target);
            let reply = reply(&announce);
            // Noted before it is answered.
            let _ = sender.send(announce);
            match reply {
                Reply::Compact(peers) => respond(stream, "200 OK", &compact(&peers)),
                Reply::Dicts(peers) => respond(stream, "200 OK", &dicts(&peers)),
                Reply::Failure(why) => {
                    let body = dict([("failure reason", why.as_str().into())]);
                    respond(stream, "200 OK", &body.encode())
                }
                Reply::Raw(status, body) => respond(stream, status, &body),
                Reply::Silence(gate) => {
                    gate.wait();
                    Ok(())
                }
            }
        });
        let url = server.url("/announce");
        Self { url, announces }
    }

    /// An HTTP tracker that always names these peers.
    pub(crate) fn naming(peers: Vec<SocketAddr>) -> Self {
        Self::start(move |_| Reply::Compact(peers.clone()))
    }

    /// A UDP tracker that always names these peers.
    pub(crate) fn udp(peers: Vec<SocketAddr>) -> Self {
        Self::udp_at("127.0.0.1:0", peers)
    }

    pub(crate) fn udp_at(address: &str, peers: Vec<SocketAddr>) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        let url = format!("udp://{}/announce", socket.local_addr().unwrap());
        let (sender, announces) = unbounded();
        std::thread::spawn(move || {
            let mut buf = [0; 2048];
            while let Ok((len, from)) = socket.recv_from(&mut buf) {
                if let Some((answer, announce)) = udp_answer(&buf[..len], &peers) {
                    announce.into_iter().for_each(|a| drop(sender.send(a)));
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { url, announces }
    }

    #[track_caller]
    pub(crate) fn next(&self) -> Announce {
        let next = self.announces.recv_timeout(PATIENCE);
        next.expect("the tracker should hear an announce")
    }

    /// Waits for the next announce with this event. Skips others.
    #[track_caller]
    pub(crate) fn next_event(&self, event: &str) -> Announce {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let next = self.announces.recv_deadline(deadline);
            let next = next.unwrap_or_else(|_| panic!("no announce with event {event:?}"));
            if next.event == event {
                return next;
            }
        }
    }

    /// All announces that nobody took yet.
    pub(crate) fn taken(&self) -> Vec<Announce> {
        self.announces.try_iter().collect()
    }
}

/// The URL of a tracker where nobody listens.
pub(crate) fn dead_url() -> String {
    format!("http://127.0.0.1:{}/announce", super::free_port())
}

fn announce_of(target: &str) -> Announce {
    let (_, query) = target.split_once('?').unwrap_or((target, ""));
    let query: HashMap<String, Vec<u8>> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.into(), unescape(value)))
        .collect();
    let text = |name: &str| {
        let value = query.get(name).cloned().unwrap_or_default();
        String::from_utf8_lossy(&value).into_owned()
    };
    let number = |name: &str| text(name).parse().unwrap_or(u64::MAX);
    Announce {
        info_hash: query.get("info_hash").cloned().unwrap_or_default(),
        peer_id: query.get("peer_id").cloned().unwrap_or_default(),
        port: number("port") as u16,
        uploaded: number("uploaded"),
        downloaded: number("downloaded"),
        left: number("left"),
        event: text("event"),
        numwant: text("numwant").parse().unwrap_or(-1),
        query,
    }
}

/// Undoes percent encoding.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        let escaped = (*byte == b'%').then(|| after.get(..2)).flatten();
        let digits = escaped.and_then(|d| std::str::from_utf8(d).ok());
        match digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(value) => {
                out.push(value);
                rest = &after[2..];
            }
            None => out.push(*byte),
        }
    }
    out
}

fn six_bytes(peer: &SocketAddr) -> Vec<u8> {
    match peer.ip() {
        IpAddr::V4(ip) => [&ip.octets()[..], &peer.port().to_be_bytes()].concat(),
        IpAddr::V6(_) => panic!("compact peers are IPv4"),
    }
}

fn compact(peers: &[SocketAddr]) -> Vec<u8> {
    let peers: Vec<u8> = peers.iter().flat_map(six_bytes).collect();
    dict([
        ("interval", Value::Int(1800)),
        ("peers", peers.as_slice().into()),
    ])
    .encode()
}

fn dicts(peers: &[SocketAddr]) -> Vec<u8> {
    let peer = |p: &SocketAddr| {
        dict([
            ("ip", p.ip().to_string().as_str().into()),
            ("peer id", [0xff; 20].as_slice().into()),
            ("port", Value::Int(p.port().into())),
        ])
    };
    let peers: Vec<Value> = peers.iter().map(peer).collect();
    dict([("interval", Value::Int(1800)), ("peers", peers.into())]).encode()
}

/// Returns the answer to one packet, and the announce if it was one. The connection id is a
/// constant that a client can't guess.
fn udp_answer(packet: &[u8], peers: &[SocketAddr]) -> Option<(Vec<u8>, Option<Announce>)> {
    const CONNECTION: u64 = 0x0123_4567_89ab_cdef;
    let word = |at: usize| Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_be_bytes(packet.get(at..at + 8)?.try_into().ok()?));
    let transaction = packet.get(12..16)?;
    match (long(0)?, word(8)?) {
        (0x0417_2710_1980, 0) => {
            let answer = [&[0; 4], transaction, &CONNECTION.to_be_bytes()].concat();
            Some((answer, None))
        }
        (CONNECTION, 1) => {
            let mut answer = [&1u32.to_be_bytes(), transaction].concat();
            for n in [1800, 0, peers.len() as u32] {
                answer.extend_from_slice(&n.to_be_bytes());
            }
            answer.extend(peers.iter().flat_map(six_bytes));
            let events = ["", "completed", "started", "stopped"];
            let announce = Announce {
                info_hash: packet.get(16..36)?.into(),
                peer_id: packet.get(36..56)?.into(),
                downloaded: long(56)?,
                left: long(64)?,
                uploaded: long(72)?,
                event: (*events.get(word(80)? as usize)?).into(),
                numwant: i64::from(word(92)? as i32),
                port: u16::from_be_bytes(packet.get(96..98)?.try_into().ok()?),
                query: HashMap::new(),
            };
            Some((answer, Some(announce)))
        }
        _ => None,
    }
}
