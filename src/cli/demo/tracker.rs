//! A small tracker: the server through which the peers of a torrent find one another.
//!
//! A tracker has neither the content nor the torrent file. It keeps a list of addresses for each
//! info hash. A peer *announces* itself with an HTTP request ([BEP 3]) and receives the addresses
//! of other peers, 6 bytes each ([BEP 23]):
//!
//! ```text
//! GET /announce?info_hash=%d2%47...&port=6881&left=0&event=started... HTTP/1.1
//!
//! d8:completei2e10:incompletei1e8:intervali1800e5:peers12:<4 bytes of IPv4
//! address, 2 bytes of port><the same of the next peer>e
//! ```
//!
//! The content goes directly from peer to peer. This tracker runs for one [demo](super), listens on
//! loopback only and serves one request at a time.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 23]: https://www.bittorrent.org/beps/bep_0023.html

use crate::announce::AnnounceEvent;
use crate::door::Door;
use crate::threads;
use crate::types::InfoHash;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// The most bytes of a request. Our own have about 500.
const MAX_REQUEST: usize = 8 << 10;

/// How long a request may take to arrive, and each write of its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most torrents, and peers of each, that the tracker remembers.
const MAX_TORRENTS: usize = 8;
const MAX_PEERS: usize = 64;

/// Seconds until a peer is to announce itself again.
const INTERVAL: u32 = 1800;

/// What a peer said in one announce, and how it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    /// The port where it accepts other peers.
    pub port: u16,
    pub event: AnnounceEvent,
    pub uploaded: u64,
    pub downloaded: u64,
    /// Bytes of the torrent that it lacks.
    pub left: u64,
    /// How many peers the answer named.
    pub named: usize,
}

/// A running tracker. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Tracker {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tracker {
    /// Starts a tracker on any free port. Calls `tell` with each announce before it answers.
    pub(super) fn start(tell: impl Fn(Announced) + Send + 'static) -> io::Result<Self> {
        let listener = door().listen(0)?;
        let addr = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let serve_all = move || {
            let mut swarms = Swarms::default();
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                // If a connection fails, its peer will announce again.
                let _ = stream.and_then(|stream| serve(stream, &mut swarms, &tell));
            }
        };
        let thread = Builder::new().name("demo tracker".into());
        // If the thread panics, no peer finds another, and the demo runs out of time.
        let thread = threads::spawn(thread, "run the tracker", serve_all, || ())
            .map_err(io::Error::other)?;
        Ok(Self {
            addr,
            stop,
            thread: Some(thread),
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/announce", self.addr)
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The thread sleeps in `accept`; a connection wakes it.
        if door().connect(self.addr, PATIENCE).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

/// Binds all sockets to loopback.
fn door() -> Door {
    Door::at(Ipv4Addr::LOCALHOST)
}

fn serve(mut stream: TcpStream, swarms: &mut Swarms, tell: &impl Fn(Announced)) -> io::Result<()> {
    let SocketAddr::V4(from) = stream.peer_addr()? else {
        return Ok(()); // we listen on IPv4
    };
    let request = read_request(&mut stream)?;
    let body = match Announce::parse(&request).and_then(|announce| swarms.answer(&announce, from)) {
        Ok((body, announced)) => {
            tell(announced);
            body
        }
        Err(reason) => format!("d14:failure reason{}:{reason}e", reason.len()).into_bytes(),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&[head.as_bytes(), &body].concat())
}

/// Reads a request up to the empty line that ends it.
fn read_request(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + PATIENCE;
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        // For the whole request: one byte per second must not hold us up for hours.
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || request.len() > MAX_REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => request.extend_from_slice(&part[..count]),
        }
    }
    Ok(request)
}

#[derive(Debug, PartialEq, Eq)]
struct Announce {
    info_hash: InfoHash,
    port: u16,
    uploaded: u64,
    downloaded: u64,
    left: u64,
    event: AnnounceEvent,
    wanted: usize,
}

impl Announce {
    /// Reads a request. The error is the failure reason for the answer.
    fn parse(request: &[u8]) -> Result<Self, &'static str> {
        let line = request.split(|byte| *byte == b'\r').next();
        let mut words = line.unwrap_or_default().split(|byte| *byte == b' ');
        let (Some(b"GET"), Some(target)) = (words.next(), words.next()) else {
            return Err("only GET is understood");
        };
        let query = target
            .strip_prefix(b"/announce?")
            .ok_or("only /announce is here")?;
        let mut values = BTreeMap::new();
        for pair in query.split(|byte| *byte == b'&') {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let (Some(key), Some(value)) = (parts.next(), parts.next()) else {
                continue;
            };
            values.insert(key, unescaped(value).ok_or("a % escape is broken")?);
        }
        let number = |key: &[u8]| -> Option<u64> {
            let digits = str::from_utf8(values.get(key)?).ok()?;
            digits.parse().ok()
        };
        let info_hash = values.get(b"info_hash".as_slice());
        let info_hash = info_hash.and_then(|hash| <[u8; 20]>::try_from(hash.as_slice()).ok());
        let port = number(b"port").and_then(|port| u16::try_from(port).ok());
        Ok(Self {
            info_hash: InfoHash(info_hash.ok_or("info_hash is missing or not 20 bytes")?),
            port: port
                .filter(|port| *port != 0)
                .ok_or("port is missing or none")?,
            uploaded: number(b"uploaded").unwrap_or(0),
            downloaded: number(b"downloaded").unwrap_or(0),
            left: number(b"left").ok_or("left is missing or no number")?,
            event: match values.get(b"event".as_slice()).map(Vec::as_slice) {
                Some(b"started") => AnnounceEvent::Started,
                Some(b"completed") => AnnounceEvent::Completed,
                Some(b"stopped") => AnnounceEvent::Stopped,
                _ => AnnounceEvent::Periodic,
            },
            wanted: number(b"numwant").map_or(MAX_PEERS, |n| n.min(MAX_PEERS as u64) as usize),
        })
    }
}

/// Undoes `%XX` escapes; `None` if a hex digit is missing.
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'%' => (digit(rest.next())? * 16 + digit(rest.next())?) as u8,
            byte => byte,
        });
    }
    Some(bytes)
}

/// The peers of each torrent, and whether each is a seed.
#[derive(Debug, Default)]
struct Swarms(BTreeMap<InfoHash, BTreeMap<SocketAddrV4, bool>>);

impl Swarms {
    /// Notes the announce of a peer that connected from `from`, and returns the answer.
    fn answer(
        &mut self,
        announce: &Announce,
        from: SocketAddrV4,
    ) -> Result<(Vec<u8>, Announced), &'static str> {
        if self.0.len() >= MAX_TORRENTS && !self.0.contains_key(&announce.info_hash) {
            return Err("no room for another torrent");
        }
        let swarm = self.0.entry(announce.info_hash).or_default();
        // The host is where the connection comes from, or a peer could make the swarm connect to
        // others.
        let peer = SocketAddrV4::new(*from.ip(), announce.port);
        if announce.event == AnnounceEvent::Stopped {
            swarm.remove(&peer);
        } else if swarm.len() < MAX_PEERS || swarm.contains_key(&peer) {
            swarm.insert(peer, announce.left == 0);
        } else {
            return Err("no room for another peer");
        }
        let seeds = swarm.values().filter(|is_seed| **is_seed).count();
        let leeches = swarm.len() - seeds;
        let others = swarm.keys().filter(|other| **other != peer);
        let others: Vec<_> = others.take(announce.wanted).collect();
        let mut body = format!(
            "d8:completei{seeds}e10:incompletei{leeches}e8:intervali{INTERVAL}e5:peers{}:",
            6 * others.len()
        )
        .into_bytes();
        for other in &others {
            body.extend(other.ip().octets());
            body.extend(other.port().to_be_bytes());
        }
        body.push(b'e');
        let announced = Announced {
            port: announce.port,
            event: announce.event,
            uploaded: announce.uploaded,
            downloaded: announce.downloaded,
            left: announce.left,
            named: others.len(),
        };
        Ok((body, announced))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announce::{AnnounceReply, AnnounceRequest};
    use crate::types::PeerId;
    use crossbeam_channel::unbounded;
    use proptest::prelude::*;

    const HASH: &[u8; 20] = b"\x00\x01 aZ9-._~!&=+%?\xff/:#";

    fn announce(port: u16, left: u64, event: AnnounceEvent) -> Announce {
        let request = AnnounceRequest {
            info_hash: InfoHash(*HASH),
            peer_id: PeerId(*b"-SR0100-abcdefghijkl"),
            port,
            uploaded: 1,
            downloaded: 2,
            left,
            event,
            key: 3,
            num_want: 100,
            tracker_id: None,
        };
        let url = request.http_url("http://t/announce");
        let target = url.strip_prefix("http://t").unwrap();
        Announce::parse(format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn peers_are_told_of_one_another() {
        let mut swarms = Swarms::default();
        let from = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 999);
        let cases = [
            (announce(2001, 0, AnnounceEvent::Started), vec![], (1, 0)),
            (
                announce(2002, 7, AnnounceEvent::Started),
                vec![2001],
                (1, 1),
            ),
            (
                announce(2003, 9, AnnounceEvent::Started),
                vec![2001, 2002],
                (1, 2),
            ),
            (
                announce(2002, 0, AnnounceEvent::Completed),
                vec![2001, 2003],
                (2, 1),
            ),
            (announce(2001, 0, AnnounceEvent::Stopped), vec![], (1, 1)),
            (
                announce(2002, 0, AnnounceEvent::Periodic),
                vec![2003],
                (1, 1),
            ),
        ];
        for (announce, others, (seeds, leeches)) in cases {
            assert_eq!(announce.info_hash, InfoHash(*HASH));
            let (body, announced) = swarms.answer(&announce, from).unwrap();
            let reply = AnnounceReply::from_http_body(&body).unwrap();
            let ports: Vec<u16> = reply.peers.iter().map(SocketAddr::port).collect();
            assert_eq!((ports, announced.named), (others.clone(), others.len()));
            let text = String::from_utf8_lossy(&body).into_owned();
            assert!(text.contains(&format!("8:completei{seeds}e10:incompletei{leeches}e")));
            assert_eq!(
                (announced.port, announced.left),
                (announce.port, announce.left)
            );
        }
    }

    #[test]
    fn it_remembers_only_so_much() {
        let from = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 999);
        let mut swarms = Swarms::default();
        for port in 1..=200 {
            let fits = usize::from(port) <= MAX_PEERS;
            let result = swarms.answer(&announce(port, 1, AnnounceEvent::Started), from);
            assert_eq!(result.is_ok(), fits, "peer {port}");
        }
        assert!(
            swarms
                .answer(&announce(1, 1, AnnounceEvent::Periodic), from)
                .is_ok()
        );
        for torrent in 1..=100 {
            let announce = Announce {
                info_hash: InfoHash([torrent; 20]),
                ..announce(1, 1, AnnounceEvent::Started)
            };
            let fits = usize::from(torrent) < MAX_TORRENTS;
            assert_eq!(
                swarms.answer(&announce, from).is_ok(),
                fits,
                "torrent {torrent}"
            );
        }
    }

    #[test]
    fn hostile_requests() {
        let hash = "info_hash=aaaaaaaaaaaaaaaaaaaa";
        let cases = [
            (String::new(), "only GET"),
            ("\r\n\r\n".into(), "only GET"),
            (
                format!("POST /announce?{hash}&port=1&left=0 HTTP/1.1\r\n"),
                "only GET",
            ),
            ("GET".into(), "only GET"),
            ("GET / HTTP/1.1\r\n".into(), "only /announce"),
            ("GET /announce HTTP/1.1\r\n".into(), "only /announce"),
            ("GET /announce?".into(), "info_hash"),
            ("GET /announce?&&=&=a&info_hash".into(), "info_hash"),
            (
                "GET /announce?info_hash=aaa&port=1&left=0".into(),
                "info_hash",
            ),
            (format!("GET /announce?{hash}a&port=1&left=0"), "info_hash"),
            (format!("GET /announce?{hash}%"), "escape"),
            (format!("GET /announce?{hash}%4"), "escape"),
            (format!("GET /announce?{hash}%+4"), "escape"),
            (format!("GET /announce?{hash}&left=0"), "port"),
            (format!("GET /announce?{hash}&port=0&left=0"), "port"),
            (format!("GET /announce?{hash}&port=65536&left=0"), "port"),
            (format!("GET /announce?{hash}&port=-1&left=0"), "port"),
            (format!("GET /announce?{hash}&port=1"), "left"),
            (
                format!("GET /announce?{hash}&port=1&left=18446744073709551616"),
                "left",
            ),
        ];
        for (request, why) in cases {
            let reason = Announce::parse(request.as_bytes()).unwrap_err();
            assert!(reason.contains(why), "{request}: {reason}");
        }
        let greedy = format!("GET /announce?{hash}&port=1&left=0&numwant=99999999999");
        assert_eq!(
            Announce::parse(greedy.as_bytes()).unwrap().wanted,
            MAX_PEERS
        );
    }

    #[test]
    fn it_survives_bad_connections_and_ends() {
        let (tell, told) = unbounded();
        let tracker = Tracker::start(move |announced| _ = tell.send(announced)).unwrap();
        let addr = tracker.addr;
        drop(TcpStream::connect(addr).unwrap());
        let mut endless = TcpStream::connect(addr).unwrap();
        let _ = endless.write_all(&[b'a'; 3 * MAX_REQUEST]);
        let mut answer = String::new();
        let asked = |request: &str, answer: &mut String| {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            answer.clear();
            stream.read_to_string(answer).unwrap();
        };
        asked("GET /x HTTP/1.1\r\n\r\n", &mut answer);
        assert!(
            answer.ends_with("d14:failure reason22:only /announce is heree"),
            "{answer}"
        );
        let good = "GET /announce?info_hash=aaaaaaaaaaaaaaaaaaaa&port=7&left=0 HTTP/1.1\r\n\r\n";
        asked(good, &mut answer);
        assert!(answer.ends_with("5:peers0:e"), "{answer}");
        assert_eq!(told.recv().unwrap().port, 7);
        drop(tracker);
        assert!(told.recv().is_err(), "its thread has ended");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Announce::parse(&bytes);
            let _ = Announce::parse(&[b"GET /announce?info_hash=".as_slice(), &bytes].concat());
        }
    }
}
