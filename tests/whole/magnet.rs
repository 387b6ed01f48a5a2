//! From nothing but a magnet link: the metadata comes from peers (BEP 9), even if some of them lie,
//! and the rest is a download like any other.

use crate::support::Gate;
use crate::support::bencode::{Value, dict};
use crate::support::content::{Spec, Torrent};
use crate::support::http::{HttpServer, respond};
use crate::support::peer::{FakePeer, Seed, fetch_metadata};
use crate::support::place::Place;
use crate::support::program::Storrent;
use crate::support::tracker::FakeTracker;
use crate::support::wire::{EXTENDED, Handshake, Message, Note, Wire};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// The metadata of this torrent has several parts of 16 KiB, because it has many pieces.
fn place() -> Place {
    Place::new(Spec::single("x", 2 << 20).piece_length(1 << 10))
}

fn seed(place: &Place) -> FakePeer {
    Seed::of(&place.torrent).speaking(EXTENDED).start()
}

fn download(place: &Place) -> Storrent {
    Storrent::download(&place.dir()).arg(place.torrent.magnet())
}

fn escaped(url: &str) -> String {
    url.replace(':', "%3A").replace('/', "%2F")
}

#[test]
fn the_metadata_comes_from_a_peer() {
    let place = place();
    let seed = seed(&place);
    let end = download(&place).peers(&[seed.addr]).run().expect(0);
    place.torrent.assert_whole(&place.dir());
    assert_eq!(end.one("added")["name"], "x");
    assert_eq!(end.all("complete").len(), 1);
    let notes = seed.notes();
    let connections = notes.iter().filter(|note| matches!(note, Note::Hello(_)));
    assert_eq!(
        connections.count(),
        1,
        "the one that gave the metadata went on"
    );
}

#[test]
fn the_link_names_the_peer() {
    let place = place();
    let seed = seed(&place);
    let link = format!("{}&dn=other&x.pe={}", place.torrent.magnet(), seed.addr);
    Storrent::download(&place.dir()).arg(link).run().expect(0);
    place.torrent.assert_whole(&place.dir());
}

#[test]
fn the_link_names_the_tracker() {
    let place = place();
    let seed = seed(&place);
    let tracker = FakeTracker::naming(vec![seed.addr]);
    let link = format!("{}&tr={}", place.torrent.magnet(), escaped(&tracker.url));
    Storrent::download(&place.dir()).arg(link).run().expect(0);
    place.torrent.assert_whole(&place.dir());
    let announces = tracker.taken();
    let events: Vec<&str> = announces.iter().map(|a| a.event.as_str()).collect();
    assert_eq!(events, ["started", "completed", "stopped"]);
    assert_ne!(
        announces[0].left, 0,
        "the size is unknown, which is not complete"
    );
    assert_eq!(announces[1].left, 0);
}

/// `so=` counts from 0, padding too. Numbers past the end mean nothing, unless all are. `--files`
/// wins.
#[test]
fn some_files_only() {
    let files = [("a", 30_000), ("b", 40_000), ("c", 50_000)];
    let place = || Place::new(Spec::multi("x", &files).aligned());
    let cases: [(&str, &[&str], &[usize]); 4] = [
        ("&so=0,4-999999999", &[], &[1, 3]),
        ("&so=0", &["-f", "2"], &[2]),
        ("&so=99", &["-f", "2"], &[2]),
        ("", &["-f", "1,3"], &[1, 3]),
    ];
    for (only, options, numbers) in cases {
        let place = place();
        let seed = seed(&place);
        let link = format!("{}{only}", place.torrent.magnet());
        let command = Storrent::download(&place.dir()).args(options).arg(link);
        command.peers(&[seed.addr]).run().expect(0);
        place.torrent.assert_only(&place.dir(), numbers);
    }
    let place = place();
    let seed = seed(&place);
    let link = format!("{}&so=99", place.torrent.magnet());
    let none = Storrent::download(&place.dir()).arg(link);
    let none = none.peers(&[seed.addr]).run().expect(1).stderr;
    assert!(none.contains("x does not have"), "{none}");
    let seed = self::seed(&place);
    let past = download(&place).args(["-f", "4"]).peers(&[seed.addr]).run();
    assert!(past.expect(2).stderr.contains("there is no file 4"));
    assert!(!place.dir().exists());
}

/// The metadata is kept beside an incomplete download: the next run asks no peer for it.
#[test]
fn a_resume_needs_nobody() {
    let place = place();
    let (enough, hold) = (Seed::of(&place.torrent).speaking(EXTENDED), Gate::new());
    let half = enough.budget(40).start();
    let mut first = download(&place).peers(&[half.addr]).start();
    first.event_where("progress", |line| line["have_bytes"].as_u64() > Some(0));
    first.kill(rustix::process::Signal::KILL);
    first.wait();
    assert!(place.dir().join("x.storrent").exists());

    let mut second = download(&place).start();
    assert_eq!(second.event("added")["name"], "x");
    second.event("checked");
    second.kill(rustix::process::Signal::INT);
    second.wait().expect(130);

    hold.open();
    let plain = Seed::of(&place.torrent).hold(&hold).start();
    download(&place).peers(&[plain.addr]).run().expect(0);
    place.torrent.assert_whole(&place.dir());
}

/// If the record is damaged or somebody else's, peers are asked again.
#[test]
fn records_that_are_no_help() {
    let place = place();
    let hash = &place.torrent.info_hash;
    let keys = |info: &[u8]| {
        dict([
            ("!parts", Value::from(&b""[..])),
            ("boot id", Value::from(&b"x"[..])),
            ("files", Value::List(Vec::new())),
            ("had", Value::from(&b""[..])),
            ("info", Value::from(info)),
            ("info hash", Value::from(&hash[..])),
            ("wanted", Value::from(&b""[..])),
        ])
        .encode()
    };
    let mut wrong = place.torrent.info.clone();
    wrong[20] ^= 1;
    let records = [
        keys(&wrong),
        keys(b""),
        b"d6:!parts0:".to_vec(),
        b"junk".to_vec(),
    ];
    fs::create_dir(place.dir()).unwrap();
    for (n, record) in records.iter().enumerate() {
        fs::write(place.dir().join(format!("{n}.storrent")), record).unwrap();
    }
    fs::create_dir(place.dir().join("folder.storrent")).unwrap();
    let nowhere = place.dir().join("link.storrent");
    std::os::unix::fs::symlink("/dev/zero", nowhere).unwrap();
    let seed = seed(&place);
    download(&place).peers(&[seed.addr]).run().expect(0);
    place.torrent.assert_bytes(&place.dir());
}

/// A peer says what it has, and unchokes us, before we can know what that means, and never again.
#[test]
fn what_was_said_before_counts_afterwards() {
    let place = place();
    let mut all = vec![0xff; place.torrent.pieces() / 8];
    let last = all.pop();
    let spread = [
        Message::Bitfield([all, vec![last.unwrap() ^ 1]].concat()),
        Message::Have(place.torrent.pieces() as u32 - 1),
        Message::Unchoke,
    ];
    let size = place.torrent.info.len() as i64;
    let early = scripted(&place.torrent, size, &spread, |torrent, piece| {
        let part = torrent.info.chunks(16 << 10).nth(piece as usize);
        data(piece, torrent.info.len() as i64, part.unwrap_or_default())
    });
    download(&place).peers(&[early.addr]).run().expect(0);
    place.torrent.assert_whole(&place.dir());
}

/// Nonsensical bitfields end that connection, and no other.
#[test]
fn nonsense_is_judged_afterwards() {
    let place = place();
    let torrent = place.torrent.clone();
    let odd = FakePeer::start(move |wire| {
        wire.answer(Handshake::new(torrent.info_hash, EXTENDED))?;
        wire.send(&Message::Bitfield(vec![0xff; 3]))?;
        while wire.recv().is_ok() {}
        Ok(())
    });
    let honest = seed(&place);
    let both = [odd.addr, honest.addr];
    download(&place).peers(&both).run().expect(0);
    place.torrent.assert_whole(&place.dir());
}

const THEIRS: u8 = 3;

/// A peer that sends `first`, claims metadata of `size` bytes, sends what `answer` makes of it, and
/// gives any block.
fn scripted(
    torrent: &Arc<Torrent>,
    size: i64,
    first: &[Message],
    answer: fn(&Torrent, i64) -> Vec<u8>,
) -> FakePeer {
    let (torrent, first) = (torrent.clone(), first.to_vec());
    FakePeer::start(move |wire| {
        wire.answer(Handshake::new(torrent.info_hash, EXTENDED))?;
        first.iter().try_for_each(|message| wire.send(message))?;
        let m = dict([("ut_metadata", Value::Int(THEIRS.into()))]);
        let hello = dict([("m", m), ("metadata_size", Value::Int(size))]);
        wire.send(&Message::Extended(0, hello.encode()))?;
        let mut ours = 0;
        while let Ok(message) = wire.recv() {
            let (kind, body) = match message {
                Message::Extended(kind, body) => (kind, body),
                Message::Request(b) => {
                    let block = torrent.block(b.index, b.begin, b.length).unwrap();
                    wire.send(&Message::Piece(b.index, b.begin, block.to_vec()))?;
                    continue;
                }
                _ => continue,
            };
            let Some((body, _)) = Value::decode(&body) else {
                continue;
            };
            // A second handshake need not repeat everything.
            let id = body.get("m").and_then(|m| m.get("ut_metadata")?.int());
            if kind == 0 {
                ours = id.unwrap_or(ours.into()) as u8;
            } else if let Some(piece) = body.get("piece").and_then(Value::int) {
                wire.send(&Message::Extended(ours, answer(&torrent, piece)))?;
            }
        }
        Ok(())
    })
}

fn liar(torrent: &Arc<Torrent>, size: i64, answer: fn(&Torrent, i64) -> Vec<u8>) -> FakePeer {
    scripted(torrent, size, &[], answer)
}

fn data(piece: i64, total: i64, bytes: &[u8]) -> Vec<u8> {
    let head = [("msg_type", 1), ("piece", piece), ("total_size", total)];
    [
        dict(head.map(|(k, v)| (k, v.into()))).encode(),
        bytes.to_vec(),
    ]
    .concat()
}

/// False sizes, wrong bytes, and other answers.
#[test]
fn liars_do_not_matter() {
    let answers: [fn(&Torrent, i64) -> Vec<u8>; 5] = [
        |_, _| b"de".to_vec(),
        |_, _| vec![b'l'; 100_000],
        |_, piece| data(piece, 100, &[b'x'; 100]),
        |torrent, piece| {
            data(
                piece,
                torrent.info.len() as i64,
                &vec![b'x'; torrent.info.len()],
            )
        },
        |torrent, piece| data(piece + 1000, i64::MAX, &torrent.info),
    ];
    let small = || Place::new(Spec::single("x", 200_000));
    let right = small().torrent.info.len() as i64;
    let lies = answers.map(|answer| (right, answer));
    let sizes = [0, -1, 1, i64::MAX, 16 << 30, 400].map(|size| (size, answers[2]));
    for (size, answer) in lies.into_iter().chain(sizes) {
        let place = small();
        let (liar, honest) = (liar(&place.torrent, size, answer), seed(&place));
        let both: [SocketAddr; 2] = [liar.addr, honest.addr];
        download(&place).peers(&both).run().expect(0);
        place.torrent.assert_whole(&place.dir());
    }
}

/// If all peers give nothing or nonsense, it gives up and says why.
#[test]
fn it_gives_up() {
    let place = place();
    let patience = ["--stall-timeout", "1"];
    let alone = download(&place).args(patience).run().expect(3);
    assert!(alone.stderr.contains("nothing came"), "{}", alone.stderr);
    let silent = liar(&place.torrent, 40_000, |_, _| b"de".to_vec());
    let mut run = download(&place).peers(&[silent.addr]).start();
    run.event_where("progress", |now| {
        let reason = now["reason"].as_str();
        reason.is_some_and(|reason| reason.contains("metadata from 1 peer"))
    });
    run.kill(rustix::process::Signal::INT);
    run.wait().expect(130);
    assert!(
        !place.dir().exists(),
        "nothing is made before it is known what"
    );
}

/// The right hash, but of something that is no torrent.
#[test]
fn metadata_that_is_no_torrent() {
    let place = Place::new(Spec::single("x", 100));
    let mut odd = Torrent::clone(&place.torrent);
    odd.info = b"d4:name1:x12:piece lengthi0ee".to_vec();
    odd.info_hash = crate::support::sha1(&odd.info);
    let odd = Arc::new(odd);
    let seed = Seed::of(&odd).speaking(EXTENDED).start();
    let command = Storrent::download(&place.dir()).arg(odd.magnet());
    let end = command.peers(&[seed.addr]).run().expect(1);
    assert!(end.stderr.contains("of no use"), "{}", end.stderr);
}

#[test]
fn show() {
    let place = Place::new(Spec::multi("x", &[("a", 5), ("b", 7)]));
    let seed = seed(&place);
    let out = place.temp.path().join("saved.torrent");
    let show = || {
        let options = ["show", "--json", "--no-dht", "--no-lsd"];
        Storrent::new().args(options).current_dir(place.temp.path())
    };
    let link = format!(
        "{}&tr=http%3A%2F%2F127.0.0.1%3A9%2F",
        place.torrent.magnet()
    );
    let with_file = show().arg("-o").arg(&out).peers(&[seed.addr]).arg(link);
    let end = with_file.run().expect(0);
    assert!(!end.stderr.contains("left before"), "{}", end.stderr);
    let shown = end.json();
    assert_eq!(shown["info_hash"], place.torrent.hex());
    assert_eq!(shown["total_bytes"], 12);
    assert_eq!(shown["trackers"][0][0], "http://127.0.0.1:9/");
    let saved = fs::read(&out).unwrap();
    let (saved, _) = Value::decode(&saved).unwrap();
    assert_eq!(saved.get("info").unwrap().encode(), place.torrent.info);
    assert_eq!(fs::read_dir(place.temp.path()).unwrap().count(), 1);

    let patience = ["--stall-timeout", "1"];
    let alone = show()
        .args(patience)
        .arg(place.torrent.magnet())
        .run()
        .expect(3);
    assert_eq!(alone.stdout, "");
}

/// We give the metadata to everybody, but that of a private torrent to no peer that dials us.
#[test]
fn we_give_the_metadata() {
    let seeding = |spec: Spec| {
        let place = Place::new(spec);
        place.torrent.write(&place.dir());
        let mut us = Storrent::seed(&place.dir()).arg(place.file()).start();
        let addr = us.address();
        (place, us, addr)
    };
    let spec = || Spec::single("x", 2 << 20).piece_length(1 << 10);
    let (place, _us, addr) = seeding(spec());
    let ask = |addr, torrent: &Torrent| -> io::Result<Vec<u8>> {
        let (mut wire, _) = Wire::dial(addr, Handshake::new(torrent.info_hash, EXTENDED))?;
        fetch_metadata(&mut wire, torrent)
    };
    assert_eq!(ask(addr, &place.torrent).unwrap(), place.torrent.info);
    let (place, _us, addr) = seeding(spec().private());
    let refused = ask(addr, &place.torrent);
    assert!(refused.is_err(), "{refused:?}");
}

/// A link that arrives as text is not followed in the web.
#[test]
fn links_that_are_none() {
    let place = Place::new(Spec::single("x", 100));
    for (link, why) in [
        ("magnet:?dn=x", "names no torrent"),
        ("magnet:?xt=urn:btih:123", "is no info hash"),
        ("magnet:?xt=urn:btmh:1220aa", "version 2 only"),
    ] {
        let end = Storrent::download(&place.dir()).arg(link).run().expect(1);
        assert!(end.stderr.contains(why), "{}", end.stderr);
    }
    let web = HttpServer::start(|_, stream| respond(stream, "200 OK", b"magnet:?xt=x"));
    let end = Storrent::download(&place.dir()).arg(web.url("/x")).run();
    end.expect(1);
}
