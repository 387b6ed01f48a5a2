//! Web servers whose answers are not quite well-formed, but which browsers and curl can read: asked
//! by a tracker's thread, by a web seed's, and for a SOURCE.

use crate::support::bencode::dict;
use crate::support::content::Spec;
use crate::support::http::{HttpServer, Request, respond, respond_part, respond_with};
use crate::support::peer::Seed;
use crate::support::place::Place;
use crate::support::program::Storrent;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a server does to its answers.
#[derive(Clone, Copy, Debug)]
enum Oddity {
    /// It packs them, and calls that so.
    Packed(&'static str),
    /// It sends everybody to this path first.
    Moved(&'static [u8]),
    /// Its head has these lines.
    Lines(&'static [u8]),
}

const ODDITIES: [Oddity; 9] = [
    Oddity::Packed("gzip"),
    Oddity::Packed("GZIP"),
    Oddity::Packed("X-Gzip"),
    Oddity::Moved(b"/ne w"),
    Oddity::Moved("/né".as_bytes()),
    Oddity::Moved(b"/n\xe9"),
    Oddity::Lines(b"X-Long: a\r\n b\r\n"),
    Oddity::Lines(b"PHP Notice: line 3\r\n  and more\r\n"),
    Oddity::Lines(b"stray\n\tfolded\nContent-Type : text/plain\r\n"),
];

fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| match crc & 1 {
            1 => crc >> 1 ^ 0xedb8_8320,
            _ => crc >> 1,
        })
    };
    !bytes.iter().fold(!0, step)
}

/// Puts `bytes` into the form of gzip, stored rather than compressed.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    for chunk in bytes.chunks(0xffff) {
        let len = chunk.len() as u16;
        packed.push(0);
        packed.extend(len.to_le_bytes());
        packed.extend((!len).to_le_bytes());
        packed.extend(chunk);
    }
    packed.extend(b"\x01\0\0\xff\xff"); // the last one, empty
    packed.extend(crc(bytes).to_le_bytes());
    packed.extend((bytes.len() as u32).to_le_bytes());
    packed
}

/// Answers with `body` in the odd way. `range`: the part of a file that it is.
fn answer(
    oddity: Oddity,
    request: &Request,
    stream: &mut TcpStream,
    body: &[u8],
    range: Option<String>,
) -> io::Result<()> {
    let packed = gzip(body);
    let (line, body) = match oddity {
        Oddity::Packed(name) => (
            format!("Content-Encoding: {name}\r\n").into_bytes(),
            &*packed,
        ),
        Oddity::Lines(lines) => (lines.to_vec(), body),
        Oddity::Moved(to) if !request.target.starts_with("/n") => {
            let to = [to, request.target.as_bytes()].concat();
            let head = [&b"HTTP/1.1 302 Found\r\nLocation: "[..], &to].concat();
            return stream.write_all(
                &[
                    &head[..],
                    b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                ]
                .concat(),
            );
        }
        Oddity::Moved(_) => (Vec::new(), body),
    };
    let begin = match range {
        Some(range) => format!("HTTP/1.1 206 Partial Content\r\n{range}\r\n"),
        None => "HTTP/1.1 200 OK\r\n".into(),
    };
    let end = format!(
        "Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[begin.as_bytes(), &line, end.as_bytes(), body].concat())
}

/// Downloads in less than the 30 s after which a server is usually asked again.
#[track_caller]
fn assert_fetched(place: &Place, what: &str) {
    let end = place.download().args(["--stall-timeout", "20"]).run();
    assert_eq!(end.code, Some(0), "{what}: {}", end.stderr);
    place.torrent.assert_whole(&place.dir());
}

#[test]
fn of_trackers() {
    for oddity in ODDITIES {
        let addr = Seed::of(&Spec::single("x", 50_000).build()).start().addr;
        let port = addr.port().to_be_bytes();
        let peers = [127, 0, 0, 1, port[0], port[1]];
        let body = dict([("interval", 1800.into()), ("peers", peers[..].into())]).encode();
        let body = [&body[..], b"\n<!-- made in 3 ms -->"].concat();
        let web =
            HttpServer::start(move |request, stream| answer(oddity, request, stream, &body, None));
        let place = Place::new(Spec::single("x", 50_000).tracker(&web.url("/announce")));
        assert_fetched(&place, &format!("{oddity:?}"));
    }
}

#[test]
fn of_web_seeds() {
    for oddity in ODDITIES {
        let file = Spec::single("x", 50_000).build();
        let web = HttpServer::start(move |request, stream| {
            let (part, range) = request.part(&file.data);
            answer(oddity, request, stream, part, Some(range))
        });
        let place = Place::new(Spec::single("x", 50_000).webseed(&web.url("/x")));
        assert_fetched(&place, &format!("{oddity:?}"));
    }
}

#[test]
fn of_sources() {
    for oddity in ODDITIES {
        let place = Place::new(Spec::single("x", 50_000));
        let file = place.torrent.metainfo.clone();
        let web =
            HttpServer::start(move |request, stream| answer(oddity, request, stream, &file, None));
        let end = Storrent::new()
            .args(["show", "--json", &web.url("/x.torrent")])
            .run();
        assert_eq!(end.code, Some(0), "{oddity:?}: {}", end.stderr);
        assert_eq!(end.json()["info_hash"], place.torrent.hex());
    }
}

/// Some servers call each `.gz` file packed, though they send it unchanged.
#[test]
fn a_web_seed_with_a_file_that_is_packed() {
    let spec = || Spec::single("x.gz", 50_000);
    let file = spec().build();
    let web = HttpServer::start(move |request, stream| {
        let (part, range) = request.part(&file.data);
        let lines = [&*range, "Content-Encoding: x-gzip"];
        respond_with(stream, "206 Partial Content", &lines, part)
    });
    let place = Place::new(spec().webseed(&web.url("/x.gz")));
    assert_fetched(&place, "a packed file");
}

/// A server that is busy for a second is asked again after that second, not after 30.
#[test]
fn a_web_seed_says_when_to_come_back() {
    for seconds in ["1", "0"] {
        let file = Spec::single("x", 50_000).build();
        let asked = Arc::new(AtomicUsize::new(0));
        let web =
            HttpServer::start(
                move |request, stream| match asked.fetch_add(1, Ordering::Relaxed) {
                    0..3 => {
                        let line = format!("Retry-After: {seconds}");
                        respond_with(stream, "503 Service Unavailable", &[&line], b"")
                    }
                    _ if request.target == "/x" => respond_part(stream, request, &file.data),
                    _ => respond(stream, "404 Not Found", b""),
                },
            );
        let place = Place::new(Spec::single("x", 50_000).webseed(&web.url("/x")));
        assert_fetched(&place, seconds);
    }
}
