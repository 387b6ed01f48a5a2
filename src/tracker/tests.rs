//! Tracker threads against scripted trackers on loopback.

use super::*;
use crate::announce::AnnounceEvent::{self, Periodic, Started, Stopped};
use crate::types::{InfoHash, PeerId};
use crossbeam_channel::unbounded;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::thread;

const PEERS: &[u8] = b"d8:intervali900e5:peers6:\x7f\0\0\x01\x1a\xe1e";

/// [`PEERS`], gzipped.
const PEERS_GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x4b\xb1\xb0\xca\
    \xcc\x2b\x49\x2d\x2a\x4b\xcc\xc9\xb4\x34\x30\x48\x35\xb5\x2a\x48\x4d\x2d\x2a\x36\xb3\xaa\
    \x67\x60\x60\x94\x7a\x98\x0a\x00\x49\x74\x3a\x56\x20\x00\x00\x00";

fn from(bind: Option<IpAddr>) -> Door {
    Door {
        bind,
        ..Door::default()
    }
}

fn request(event: AnnounceEvent) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([0xaa; 20]),
        peer_id: PeerId(*b"-SR0100-abcdefghijkl"),
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: 9,
        event,
        key: 1,
        num_want: 50,
        tracker_id: None,
    }
}

/// Settings for trackers on this machine.
fn settings() -> TrackerSettings {
    TrackerSettings {
        nearest: Reach::Machine,
        ..TrackerSettings::default()
    }
}

/// Settings with limits that make a test of a timeout short.
fn impatient() -> TrackerSettings {
    let wait = Duration::from_millis(150);
    TrackerSettings {
        http_timeout: wait,
        udp_waits: vec![wait; 2],
        short_timeout: wait,
        ..settings()
    }
}

/// Has a thread perform these announces. Returns what it reported, with the peers as text.
fn announce(
    url: &str,
    settings: TrackerSettings,
    events: &[AnnounceEvent],
) -> Vec<Result<String, String>> {
    let (to_thread, requests) = unbounded();
    let (report, reports) = unbounded();
    for event in events {
        to_thread.send(request(*event)).unwrap();
    }
    drop(to_thread);
    let report = move |index, result: Result<AnnounceReply, TrackerError>| {
        assert_eq!(index, TrackerIndex(3));
        let result = result.map(|reply| format!("{:?}", reply.peers));
        report.send(result.map_err(|e| e.to_string())).unwrap();
    };
    let thread = spawn(url.to_owned(), TrackerIndex(3), settings, requests, report).unwrap();
    thread.join().unwrap();
    reports.iter().collect()
}

/// Serves one connection.
type Serve = Box<dyn FnOnce(&mut TcpStream) + Send>;

/// An HTTP tracker that serves one connection after the other, each by its closure. Returns
/// the URL, and a channel with the head of each request.
fn http_tracker(script: Vec<Serve>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/announce", listener.local_addr().unwrap());
    let (head_tx, heads) = unbounded();
    thread::spawn(move || {
        for serve in script {
            let (mut stream, from) = listener.accept().unwrap();
            let mut head = format!("from {}\n", from.ip());
            let mut reader = BufReader::new(&stream);
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            head_tx.send(head).unwrap();
            serve(&mut stream);
        }
    });
    (url, heads)
}

/// An answer with a status line, further headers and a body.
fn answer(head: &str, body: &[u8]) -> Serve {
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
    raw([head.as_bytes(), body].concat())
}

fn raw(bytes: Vec<u8>) -> Serve {
    // The client may hang up.
    Box::new(move |stream| drop(stream.write_all(&bytes)))
}

#[test]
fn http_answers() {
    // 3 MiB of one letter, gzipped.
    let bomb = [
        b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xed\xc1\x31\x0d\0\0\0\xc3\x20\xc3\xf5\x7f\x4f\xc7\x12\xa0"
            .as_slice(),
        &[0; 3_048],
        b"\xbe\x0d\xf5\xf0\x86\x9f\0\0\x30\0",
    ]
    .concat();
    let deep = vec![b'l'; 100_000];
    let redirect = || answer("302 Found\r\nLocation: /other", b"");
    let cases: Vec<(&str, Vec<Serve>, Result<&str, &str>)> = vec![
        (
            "plain",
            vec![answer("200 OK", PEERS)],
            Ok("[127.0.0.1:6881]"),
        ),
        (
            "gzip",
            vec![answer("200 OK\r\nContent-Encoding: gzip", PEERS_GZIP)],
            Ok("[127.0.0.1:6881]"),
        ),
        (
            "redirect",
            vec![redirect(), answer("200 OK", PEERS)],
            Ok("[127.0.0.1:6881]"),
        ),
        (
            "redirect for ever",
            (0..11).map(|_| redirect()).collect(),
            Err("redirects too many times"),
        ),
        (
            "status 400 with a reason",
            vec![answer(
                "400 Bad Request",
                b"d14:failure reason12:unregisterede",
            )],
            Err("refused the announce: \"unregistered\""),
        ),
        (
            "status 503",
            vec![answer("503 Busy", b"<html>")],
            Err("answered with HTTP status 503"),
        ),
        (
            "status 404 with peers",
            vec![answer("404 Not Found", PEERS)],
            Err("answered with HTTP status 404"),
        ),
        (
            "3 MiB",
            vec![answer("200 OK", &vec![b'l'; 3 << 20])],
            Err("longer than"),
        ),
        (
            "3 MiB in 3 kB",
            vec![answer("200 OK\r\nContent-Encoding: gzip", &bomb)],
            Err("longer than"),
        ),
        (
            "garbage",
            vec![answer("200 OK", b"<html>")],
            Err("can't be read"),
        ),
        (
            "a list",
            vec![answer("200 OK", b"le")],
            Err("not a dictionary"),
        ),
        ("deep", vec![answer("200 OK", &deep)], Err("nested")),
        (
            "cut short",
            vec![raw(
                b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nd8:inter".to_vec(),
            )],
            Err("can't be reached"),
        ),
        (
            "no HTTP",
            vec![raw(b"\xff\xfe\r\n\r\n".to_vec())],
            Err("can't be read"),
        ),
    ];
    for (name, script, expected) in cases {
        let (url, _heads) = http_tracker(script);
        let reports = announce(&url, settings(), &[Started]);
        let [report] = &reports[..] else {
            panic!("{name}: {reports:?}");
        };
        match (report, expected) {
            (Ok(peers), Ok(expected)) => assert_eq!(peers, expected, "{name}"),
            (Err(why), Err(expected)) => assert!(why.contains(expected), "{name}: {why}"),
            _ => panic!("{name}: {report:?}"),
        }
    }
}

#[test]
fn http_requests() {
    let first = b"d10:tracker id3:a&b5:peers0:e";
    let script = vec![answer("200 OK", first), answer("200 OK", PEERS)];
    let (url, heads) = http_tracker(script);
    let settings = TrackerSettings {
        door: from(cfg!(target_os = "linux").then_some([127, 0, 0, 7].into())),
        ..settings()
    };
    let reports = announce(&url, settings, &[Started, Periodic]);
    assert_eq!(
        reports,
        [Ok("[]".to_owned()), Ok("[127.0.0.1:6881]".to_owned())]
    );
    let heads: Vec<_> = heads.iter().collect();
    assert!(
        heads[0].contains("GET /announce?info_hash=%AA%AA"),
        "{heads:?}"
    );
    assert!(heads[0].contains("&event=started "), "{heads:?}");
    assert!(
        heads[0].to_lowercase().contains("user-agent: storrent/"),
        "{heads:?}"
    );
    assert!(heads[1].contains("&trackerid=a%26b "), "{heads:?}");
    if cfg!(target_os = "linux") {
        assert!(heads[0].starts_with("from 127.0.0.7\n"), "{heads:?}");
    }
}

#[test]
fn http_trackers_that_dawdle() {
    let drip = || -> Serve {
        Box::new(|stream| {
            // Sends a byte each time that the client has not hung up for 10 ms.
            let pause = Some(Duration::from_millis(10));
            stream.set_read_timeout(pause).unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n");
            while !matches!(stream.read(&mut [0]), Ok(0)) && stream.write_all(b"x").is_ok() {}
        })
    };
    let silent = || -> Serve { Box::new(|stream| drop(stream.read(&mut [0]))) };
    for bind in [None, Some([127, 0, 0, 1].into())] {
        for (name, serve) in [("drip", drip()), ("silent", silent())] {
            let settings = TrackerSettings {
                door: from(bind),
                ..impatient()
            };
            let (url, _heads) = http_tracker(vec![serve]);
            let expected = format!("tracker {} did not answer within 0.15 s", shown(&url));
            assert_eq!(
                announce(&url, settings, &[Stopped]),
                [Err(expected)],
                "{name}"
            );
        }
    }
}

#[test]
fn nobody_there() {
    // A port that was free a moment ago.
    let tcp = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for bind in [None, Some([127, 0, 0, 1].into())] {
        for url in [
            format!("http://{tcp}/announce"),
            format!("udp://{udp}/announce"),
        ] {
            let settings = TrackerSettings {
                door: from(bind),
                nearest: Reach::Machine,
                ..TrackerSettings::default()
            };
            let expected = format!("tracker {} refused the connection", shown(&url));
            assert_eq!(announce(&url, settings, &[Started]), [Err(expected)]);
        }
    }
}

#[test]
fn useless_urls() {
    for (url, expected) in [
        (
            "wss://tracker.example/",
            "it is not a http, https or udp address",
        ),
        (
            "tracker.example:80",
            "it is not a http, https or udp address",
        ),
        ("udp://tracker.example/", "its address is malformed"),
        ("http:///announce", "its address is malformed"),
        ("http://a b/", "its address is malformed"),
    ] {
        let reports = announce(url, TrackerSettings::default(), &[Started, Periodic]);
        for report in &reports {
            let why = report.as_ref().unwrap_err();
            assert!(why.contains(expected), "{url}: {why}");
        }
        assert!(!reports.is_empty());
    }
}

/// A UDP tracker that answers packets as `script` says. `script` also gets the packet's number,
/// from 0.
fn udp_tracker(
    at: &str,
    mut script: impl FnMut(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> String {
    let socket = UdpSocket::bind(at).unwrap();
    let url = format!("udp://{}/announce?k=v", socket.local_addr().unwrap());
    thread::spawn(move || {
        let mut packet = [0; 2048];
        for number in 0.. {
            let (len, from) = socket.recv_from(&mut packet).unwrap();
            for answer in script(number, &packet[..len]) {
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
    url
}

/// The answer of an honest tracker: connection id 7, then one peer.
fn honest(packet: &[u8]) -> Vec<u8> {
    let transaction = &packet[12..16];
    if packet.len() == 16 {
        return [&[0; 4], transaction, &[0, 0, 0, 0, 0, 0, 0, 7]].concat();
    }
    assert!(packet.starts_with(&[0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1]));
    assert!(packet.ends_with(b"\x02\x0d/announce?k=v"));
    let peers = [0, 0, 3, 132, 0, 0, 0, 1, 0, 0, 0, 1, 127, 0, 0, 1, 26, 225];
    [&[0, 0, 0, 1], transaction, &peers].concat()
}

fn refusal(packet: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 3], &packet[12..16], b"not here"].concat()
}

#[test]
fn udp_answers() {
    type Script = fn(usize, &[u8]) -> Vec<Vec<u8>>;
    let peers = || Ok("[127.0.0.1:6881]".to_owned());
    let cases: [(&str, Script, Result<String, &str>); 7] = [
        ("honest", |_, packet| vec![honest(packet)], peers()),
        (
            "first packet lost",
            |number, packet| match number {
                0 => vec![],
                _ => vec![honest(packet)],
            },
            peers(),
        ),
        (
            "first announce lost",
            |number, packet| match number {
                1 => vec![],
                _ => vec![honest(packet)],
            },
            peers(),
        ),
        (
            "nonsense before the answer",
            |_, packet| {
                let mut other_transaction = refusal(packet);
                other_transaction[7] ^= 1;
                let other_action = [&[0, 0, 0, 9], &packet[12..16]].concat();
                vec![
                    vec![],
                    vec![0],
                    other_transaction,
                    other_action,
                    honest(packet),
                ]
            },
            peers(),
        ),
        ("silent", |_, _| vec![], Err("did not answer within 0.3 s")),
        (
            "refuses the connection",
            |_, packet| vec![refusal(packet)],
            Err("refused the announce: \"not here\""),
        ),
        (
            "refuses the announce",
            |_, packet| match packet.len() {
                16 => vec![honest(packet)],
                _ => vec![refusal(packet)],
            },
            Err("refused the announce: \"not here\""),
        ),
    ];
    for (name, script, expected) in cases {
        let url = udp_tracker("127.0.0.1:0", script);
        let expected = expected.map_err(|why| format!("tracker {} {why}", shown(&url)));
        let mut settings = impatient();
        if expected.is_ok() {
            // However slow this machine is today, the later packets get through.
            settings.udp_waits.extend([5, 60].map(Duration::from_secs));
        }
        let reports = announce(&url, settings, &[Started]);
        assert_eq!(reports, [expected], "{name}");
    }
}

#[test]
fn udp_connection_ids_are_kept_until_a_failure() {
    let (len_tx, lens) = unbounded();
    let url = udp_tracker("127.0.0.1:0", move |number, packet| {
        len_tx.send(packet.len()).unwrap();
        match number {
            2 => vec![refusal(packet)],
            _ => vec![honest(packet)],
        }
    });
    let events = [Started, Periodic, Periodic, Stopped];
    let reports = announce(&url, settings(), &events);
    let ok: Vec<_> = reports.iter().map(Result::is_ok).collect();
    assert_eq!(ok, [true, false, true, true]);
    assert_eq!(
        lens.try_iter().collect::<Vec<_>>(),
        [16, 113, 113, 16, 113, 113]
    );
}

#[test]
fn udp_over_ipv6() {
    let url = udp_tracker("[::1]:0", |_, packet| {
        let mut answer = honest(packet);
        if packet.len() > 16 {
            answer.truncate(20);
            answer.extend(Ipv6Addr::LOCALHOST.octets());
            answer.extend([0, 80]);
        }
        vec![answer]
    });
    assert_eq!(
        announce(&url, settings(), &[Started]),
        [Ok("[[::1]:80]".to_owned())]
    );
}

#[test]
fn each_family_is_asked() {
    let refused = || Err(Trouble::Refused);
    let reply = || Ok(AnnounceReply::default());
    let missing = || Err(Trouble::UnknownHost);
    type Answer = fn() -> Result<AnnounceReply, Trouble>;
    let cases: [(Answer, Answer, &[bool], &str); 6] = [
        (reply, reply, &[false, true], ""),
        (reply, refused, &[false], ""),
        (refused, reply, &[false], ""),
        (
            missing,
            missing,
            &[],
            "was not found: its name has no usable address",
        ),
        (refused, missing, &[], "refused the connection"),
        (missing, refused, &[], "refused the connection"),
    ];
    for (v4, v6, further, why) in cases {
        let mut reports = Vec::new();
        let result = Families::new(&Door::default(), false).over_each(
            |family, _| match family {
                Family::V4 => v4(),
                Family::V6 => v6(),
            },
            |reply| reports.push(reply.further),
        );
        assert_eq!(reports, further);
        assert_eq!(result.err().map_or(String::new(), |e| e.to_string()), why);
    }
}

/// A dead IPv6 must not delay every announce, but it may come to life.
#[test]
fn a_silent_family_is_left_out_for_a_while() {
    let mut families = Families::new(&Door::default(), false);
    let mut ask = |v4_answers: bool| {
        let mut asked = Vec::new();
        let result = families.over_each(
            |family, further| {
                asked.push((family, further));
                match family == Family::V4 && v4_answers {
                    true => Ok(AnnounceReply::default()),
                    false => Err(Trouble::Refused),
                }
            },
            |_| {},
        );
        (asked, result.is_ok())
    };
    let both = vec![(Family::V4, false), (Family::V6, true)];
    for _ in 0..2 {
        assert_eq!(ask(true), (both.clone(), true));
        for _ in 0..LEFT_OUT {
            assert_eq!(ask(true), (both[..1].to_vec(), true));
        }
    }
    assert_eq!(ask(true), (both, true));
    assert_eq!(ask(false), (vec![(Family::V4, false)], false));
    let next = ask(false).0;
    assert_eq!(
        next,
        [(Family::V4, false), (Family::V6, false)],
        "now it is needed"
    );
}

/// A source on the internet named these trackers on this machine. Not even one packet may be sent.
#[test]
fn trackers_that_are_too_near() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_nonblocking(true).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    tcp.set_nonblocking(true).unwrap();
    for url in [
        format!("udp://u:p@{}/announce", udp.local_addr().unwrap()),
        format!("http://u:p@{}/announce", tcp.local_addr().unwrap()),
    ] {
        for nearest in [Reach::LocalNetwork, Reach::World] {
            let settings = TrackerSettings {
                nearest,
                ..impatient()
            };
            let reports = announce(&url, settings, &[Started]);
            let [Err(why)] = &reports[..] else {
                panic!("{url}: {reports:?}");
            };
            assert!(why.contains("was not asked: 127.0.0.1:"), "{why}");
        }
    }
    assert!(udp.recv(&mut [0; 9]).is_err() && tcp.accept().is_err());
}

/// A thread that panics reports an error, and the next request finds it gone.
#[test]
fn a_thread_that_dies() {
    let (requests, asked) = unbounded();
    let (report, reports) = unbounded();
    let fail_at_first = move |index, result: Result<AnnounceReply, TrackerError>| {
        let error = result.unwrap_err();
        if !matches!(error.trouble, Trouble::Fault) {
            // A panic that prints no message on the terminal.
            std::panic::resume_unwind(Box::new("a fault"));
        }
        report.send((index, error.to_string())).unwrap();
    };
    let url = "gopher://me:secret@t.example/secret".to_owned();
    let settings = TrackerSettings::default();
    let thread = spawn(url, TrackerIndex(3), settings, asked, fail_at_first).unwrap();
    requests.send(request(AnnounceEvent::Started)).unwrap();
    assert!(thread.join().is_err());
    let told = "tracker gopher://t.example/… can't be asked just now: \
                a fault of storrent's own ended its thread";
    let all: Vec<_> = reports.iter().collect();
    assert_eq!(all, [(TrackerIndex(3), told.to_owned())]);
    assert!(requests.send(request(AnnounceEvent::Started)).is_err());
}
