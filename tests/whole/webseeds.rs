//! Web seeds (BEP 19): good ones, alone and beside peers; bad ones of every kind, which must harm
//! only themselves; and nginx with the oddities of the Internet Archive.

use crate::support::Gate;
use crate::support::bencode::Value;
use crate::support::content::{Spec, Torrent};
use crate::support::http::{
    HttpServer, Request, file_at, redirect, respond, respond_part, respond_with,
};
use crate::support::network::{OURS, THEIRS, TRACKER, isolated};
use crate::support::nginx::{NGINX, Nginx};
use crate::support::peer::Seed;
use crate::support::place::Place;
use crate::support::program::Storrent;
use crate::support::wire::{EXTENDED, Note};
use rustix::process::Signal;
use std::fs;
use std::io::{self, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder with names that are difficult in URLs, and pieces that span its files.
fn folder(name: &str) -> Spec {
    let files = [
        ("a", 100_000),
        ("b c/d#e?", 70_000),
        ("100%", 3),
        ("ü/%41", 90_000),
    ];
    Spec::multi(name, &files)
}

/// A server that has the files of `torrent` below `/pub/`.
fn good(torrent: &Arc<Torrent>) -> HttpServer {
    let torrent = torrent.clone();
    HttpServer::start(move |request, stream| give(&torrent, request, stream))
}

fn give(torrent: &Torrent, request: &Request, stream: &mut TcpStream) -> io::Result<()> {
    match file_at(torrent, "/pub/", &request.target) {
        Some(file) => respond_part(stream, request, file),
        None => respond(stream, "404 Not Found", b"no such file"),
    }
}

/// Waits until the other side hangs up.
fn hang(stream: &mut TcpStream) -> io::Result<()> {
    io::copy(stream, &mut io::sink()).map(drop)
}

#[test]
fn a_torrent_with_web_seeds_alone_completes() {
    for name in ["x", "ä b%c"] {
        let web = good(&folder(name).build());
        for url in [web.url("/pub/"), web.url("/pub")] {
            let place = Place::new(folder(name).webseed(&url));
            let end = place.download().run().expect(0);
            place.torrent.assert_whole(&place.dir());
            let complete = end.one("complete");
            assert_eq!(complete["downloaded_bytes"], place.torrent.payload());
        }
    }
}

#[test]
fn a_single_file_by_its_own_url_and_by_its_folder() {
    let spec = || Spec::single("a b.iso", 3_000_000);
    let web = good(&spec().build());
    for url in [web.url("/pub/a%20b.iso"), web.url("/pub/")] {
        let place = Place::new(spec().private().webseed(&url));
        place.download().run().expect(0);
        place.torrent.assert_whole(&place.dir());
    }
}

/// The list may be a bare string, and may contain what is no URL.
#[test]
fn odd_lists() {
    let web = good(&folder("x").build());
    let place = Place::new(folder("x"));
    let with = |list: Value| {
        let (mut metainfo, _) = Value::decode(&place.torrent.metainfo).unwrap();
        if let Value::Dict(entries) = &mut metainfo {
            entries.insert(b"url-list".into(), list);
        }
        let path = place.temp.path().join("odd.torrent");
        fs::write(&path, metainfo.encode()).unwrap();
        let _ = fs::remove_dir_all(place.dir());
        let end = Storrent::download(&place.dir()).arg(path).run().expect(0);
        place.torrent.assert_whole(&place.dir());
        end
    };
    let url = web.url("/pub/");
    assert!(with(url.as_str().into()).all("warning").is_empty());
    let odd = ["/29/items/x", "x", url.as_str(), "ftp://127.0.0.1/pub/", ""];
    let end = with(odd.map(Value::from).to_vec().into());
    let message = end.one("warning")["message"].as_str().unwrap();
    assert!(
        message.contains("3 web seeds") && message.contains("/29/items/x"),
        "{message}"
    );
}

#[test]
fn padding_is_never_fetched_nor_files_that_are_not_asked_for() {
    let spec = || {
        let files = [("a", 100_000), ("b", 50_000), ("c", 10), ("d", 200_000)];
        Spec::multi("x", &files).aligned()
    };
    let torrent = spec().build();
    let asked: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let seen = asked.clone();
    let web = HttpServer::start(move |request, stream| {
        seen.lock().unwrap().push(request.target.clone());
        let ends_in = file_at(&torrent, "/pub/", &request.target).map(<[u8]>::len);
        let (_, last) = request.range().unwrap();
        assert!(ends_in.is_some_and(|len| last < len), "{request:?}");
        give(&torrent, request, stream)
    });
    let place = Place::new(spec().webseed(&web.url("/pub/")));
    place.download().args(["-f", "2"]).run().expect(0);
    place.torrent.assert_only(&place.dir(), &[2]);
    assert_eq!(*asked.lock().unwrap(), ["/pub/x/b"]);
    place.download().run().expect(0);
    place.torrent.assert_whole(&place.dir());
    let asked = asked.lock().unwrap();
    let again = asked.iter().filter(|target| *target == "/pub/x/b");
    assert_eq!(
        again.count(),
        1,
        "what is there is not fetched again: {asked:?}"
    );
}

#[test]
fn redirects_to_another_host() {
    let torrent = folder("x").build();
    let web = good(&torrent);
    let target = web.url("");
    let front = HttpServer::start(move |request, stream| {
        let location = format!("Location: {target}{}", request.target);
        let page = b"<html>it has moved</html>";
        respond_with(stream, "302 Found", &[&location], page)
    });
    let place = Place::new(folder("x").webseed(&front.url("/pub/")));
    place.download().run().expect(0);
    place.torrent.assert_whole(&place.dir());
}

/// From a magnet link (`ws=`): the peer has only the metadata.
#[test]
fn a_magnet_link_with_a_web_seed() {
    let place = Place::new(folder("x"));
    let web = good(&place.torrent);
    let peer = Seed::of(&place.torrent)
        .having(|_| false)
        .speaking(EXTENDED);
    let link = format!("{}&ws={}", place.torrent.magnet(), web.url("/pub/"));
    let command = Storrent::download(&place.dir()).arg(link);
    command.peers(&[peer.start().addr]).run().expect(0);
    place.torrent.assert_whole(&place.dir());
}

type Script = fn(&Torrent, &Request, &mut TcpStream, usize) -> io::Result<()>;

/// What servers do wrong. Each is asked first, and a good one makes up for it.
const BAD: [(&str, Script); 17] = [
    ("404", |_, _, stream, _| respond(stream, "404 No", b"none")),
    ("416", |_, _, stream, _| respond(stream, "416 No", b"")),
    ("403 at times", |torrent, request, stream, n| match n % 2 {
        0 => respond(stream, "403 Forbidden", b""),
        _ => give(torrent, request, stream),
    }),
    ("500", |_, _, stream, _| respond(stream, "500 Ill", b"")),
    ("503 with a time", |_, _, stream, _| {
        respond_with(stream, "503 Busy", &["Retry-After: 999999999999999"], b"")
    }),
    ("429 with nonsense", |_, _, stream, _| {
        respond_with(stream, "429 Too Many", &["Retry-After: -\u{1}"], b"")
    }),
    ("all of the file", |torrent, request, stream, _| {
        let file = file_at(torrent, "/pub/", &request.target);
        respond(stream, "200 OK", file.unwrap_or_default())
    }),
    ("a file without an end", |_, _, stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        while stream.write_all(&[7; 1 << 16]).is_ok() {}
        Ok(())
    }),
    ("another length", |_, _, stream, _| {
        let range = "Content-Range: bytes 0-4/5";
        respond_with(stream, "206 Partial Content", &[range], b"hello")
    }),
    ("another range", |_, _, stream, _| {
        let range = "Content-Range: bytes 1-18446744073709551615/*";
        respond_with(stream, "206 Partial Content", &[range], &[7; 40_000])
    }),
    ("short bodies", |torrent, request, stream, _| {
        let file = file_at(torrent, "/pub/", &request.target).unwrap_or_default();
        let (first, last) = request.range().unwrap_or_default();
        let (len, total) = (last + 1 - first, file.len());
        let head = format!(
            "HTTP/1.1 206 P\r\nContent-Length: {len}\r\nContent-Range: bytes {first}-{last}/{total}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&file[first..=last][..len / 2])
    }),
    ("nothing at all", |_, _, _, _| Ok(())),
    ("silence", |_, _, stream, _| hang(stream)),
    ("a drip", |torrent, request, stream, _| {
        let file = file_at(torrent, "/pub/", &request.target).unwrap_or_default();
        let (first, last) = request.range().unwrap_or_default();
        let range = format!("{first}-{last}/{}", file.len());
        write!(
            stream,
            "HTTP/1.1 206 P\r\nContent-Range: bytes {range}\r\n\r\n"
        )?;
        stream.write_all(&file[first..first + 1])?;
        hang(stream)
    }),
    ("redirects without end", |_, request, stream, _| {
        let location = format!("Location: {}/more", request.target);
        respond_with(stream, "301 Moved", &[&location], b"")
    }),
    ("a redirect to a file", |_, _, stream, _| {
        redirect(stream, "file:///etc/passwd")
    }),
    ("headers without end", |_, _, stream, _| {
        stream.write_all(b"HTTP/1.1 206 P\r\n")?;
        while stream
            .write_all(b"X-Y: zzzzzzzzzzzzzzzzzzzzzzzzzz\r\n")
            .is_ok()
        {}
        Ok(())
    }),
];

#[test]
fn bad_servers_cost_no_more_than_themselves() {
    let spec = || folder("x").piece_length(16 << 10);
    let torrent = spec().build();
    let web = good(&torrent);
    for (what, script) in BAD {
        let (torrent, count) = (torrent.clone(), AtomicUsize::new(0));
        let bad = HttpServer::start(move |request, stream| {
            let n = count.fetch_add(1, Ordering::Relaxed);
            script(&torrent, request, stream, n)
        });
        let (first, second) = (bad.url("/pub/"), web.url("/pub/"));
        let place = Place::new(spec().webseed(&first).webseed(&second));
        let end = place.download().run();
        assert_eq!(end.code, Some(0), "{what}: {end:#?}");
        place.torrent.assert_whole(&place.dir());
        assert!(end.all("warning").is_empty(), "{what}: {end:#?}");
    }
}

/// False data is noticed: the web seed is banned and never asked again.
#[test]
fn false_data_bans_the_web_seed() {
    let spec = || Spec::single("x", 2_000_000);
    let torrent = spec().build();
    let (lies, truth) = (Arc::new(AtomicUsize::new(0)), Gate::new());
    let (count, open) = (lies.clone(), truth.clone());
    let liar = HttpServer::start(move |request, stream| {
        count.fetch_add(1, Ordering::Relaxed);
        respond_part(stream, request, &vec![7; 2_000_000])
    });
    let honest = HttpServer::start(move |request, stream| {
        open.wait();
        give(&torrent, request, stream)
    });
    let (first, second) = (liar.url("/pub/"), honest.url("/pub/"));
    let place = Place::new(spec().webseed(&first).webseed(&second));
    let mut run = place.download().arg("-v").start();
    let banned = |server: &HttpServer| format!("{}: banned", server.url(""));
    run.told(|line| line.contains(&banned(&liar)).then_some(()));
    truth.open();
    let end = run.wait().expect(0);
    place.torrent.assert_whole(&place.dir());
    assert!(!end.stderr.contains(&banned(&honest)), "{end:#?}");
    assert!(lies.load(Ordering::Relaxed) <= 3, "asked on and on");
}

/// The web seed is silent and a peer has everything: the peer sends what the web seed was to fetch,
/// and we hang up on the web seed at once, whatever it waits for.
#[test]
fn what_a_peer_has_already_is_not_waited_for() {
    for begun in [false, true] {
        let spec = || Spec::single("x", 2_000_000);
        let torrent = spec().build();
        let asked = Gate::new();
        let (began, file) = (asked.clone(), torrent.clone());
        let web = HttpServer::start(move |request, stream| {
            let (first, last) = request.range().unwrap();
            if begun {
                let range = format!("Content-Range: bytes {first}-{last}/{}", file.data.len());
                let half = &file.data[first..][..(last - first) / 2];
                write!(stream, "HTTP/1.1 206 P\r\n{range}\r\n\r\n")?;
                stream.write_all(half)?;
            }
            began.open();
            hang(stream)
        });
        let peer = Seed::of(&torrent).hold(&asked).start();
        let place = Place::new(spec().webseed(&web.url("/pub/")));
        let end = place.download().peers(&[peer.addr]).run().expect(0);
        place.torrent.assert_whole(&place.dir());
        let progress = end.all("progress");
        let known = progress.iter().all(|p| p["peers"].as_u64() <= Some(1));
        assert!(known, "a web seed is no peer: {end:#?}");
    }
}

#[test]
fn beside_a_peer() {
    let spec = || Spec::single("x", 8 << 20).piece_length(64 << 10);
    let torrent = spec().build();
    // Each gives only while the other is at work: neither can finish alone.
    let (asked, served) = (Gate::new(), Gate::new());
    let peer = Seed::of(&torrent).hold(&asked).serving(&served).start();
    let file = torrent.clone();
    let web = HttpServer::start(move |request, stream| {
        asked.open();
        served.wait();
        give(&file, request, stream)
    });
    let place = Place::new(spec().webseed(&web.url("/pub/")));
    let command = place.download().args(["--download-limit", "16M"]);
    command.peers(&[peer.addr]).run().expect(0);
    place.torrent.assert_whole(&place.dir());
    let served = peer.notes().into_iter();
    let blocks = served
        .filter(|note| matches!(note, Note::Served(_)))
        .count();
    assert!(
        blocks > 0 && blocks < torrent.blocks(),
        "{blocks} blocks of the peer's"
    );
}

#[test]
fn an_interruption_does_not_wait_for_a_web_seed() {
    let asked = Gate::new();
    let began = asked.clone();
    let web = HttpServer::start(move |_, stream| {
        began.open();
        hang(stream)
    });
    let place = Place::new(folder("x").webseed(&web.url("/pub/")));
    let running = place.download().start();
    asked.wait();
    running.kill(Signal::INT);
    running.wait().expect(130);
}

#[test]
fn switched_off_or_of_no_use_they_are_not_asked() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let web = HttpServer::start(move |_, stream| {
        count.fetch_add(1, Ordering::Relaxed);
        respond(stream, "404 Not Found", b"")
    });
    let place = Place::new(folder("x").webseed(&web.url("/pub/")));
    let off = place
        .download()
        .args(["--no-webseeds", "--stall-timeout", "1"]);
    off.run().expect(3);
    fs::remove_dir_all(place.dir()).unwrap();
    place.torrent.write(&place.dir());
    place.download().run().expect(0);
    let seed = Storrent::seed(&place.dir()).args(["--seed-time", "0.01"]);
    seed.arg(place.file()).run().expect(0);
    assert_eq!(asked.load(Ordering::Relaxed), 0);

    let useless = Place::new(folder("x").webseed(&web.url("/pub/")));
    let mut run = useless.download().start();
    run.event_where("progress", |now| {
        let why = now["reason"].as_str().unwrap_or_default();
        why.contains("1 web seed") && why.contains("answered 404")
    });
    run.event("progress"); // a second later
    run.kill(Signal::INT);
    run.wait().expect(130);
    let asked = asked.load(Ordering::Relaxed);
    assert!(
        (1..=8).contains(&asked),
        "asked {asked} times for what is not there"
    );
}

/// A torrent like those of the Internet Archive: only web seeds, some of them bare paths, one a
/// server that redirects to another host; padding between files whose names need escaping.
fn archive(first: &str, second: &str) -> Spec {
    let files = [
        ("disc 1/01 Ünder #1 [take].flac", 9_000_001),
        ("disc 1/01 Ünder #1 [take]_spectrogram.png", 70_000),
        ("__ia_thumb.jpg", 5),
        ("empty", 0),
        ("what?.mp3", 5 << 20),
        ("100%+a&b=c;d,e.txt", 40_000),
    ];
    let spec = Spec::multi("gd_77-05-08", &files).piece_length(512 << 10);
    let spec = spec.aligned().webseed(first).webseed("/29/items/");
    spec.webseed(second)
        .webseed("http://[bad/")
        .webseed("items")
}

/// Two hosts: the first redirects all of `/download/` to the second.
fn nginx(home: &Path, root: &Path) -> Nginx {
    let servers = format!(
        "server {{ listen {TRACKER}:8080; location /download/ {{\n\
         return 302 http://{THEIRS}:8081/29/items$request_uri; }} }}\n\
         server {{ listen {THEIRS}:8081; location /29/items/download/ {{ alias {}/; }} }}",
        root.display()
    );
    Nginx::start(home, &format!("{TRACKER}:8080"), &servers)
}

#[test]
fn the_internet_archive_as_nginx() {
    isolated(
        "webseeds::the_internet_archive_as_nginx",
        &[NGINX, "ip"],
        || {
            let temp = tempfile::tempdir().unwrap();
            let [home, root, dir] = ["home", "root", "down"].map(|name| temp.path().join(name));
            fs::create_dir(&home).unwrap();
            let front = format!("http://{TRACKER}:8080/download/");
            let torrent = archive(&front, "http://10.77.0.9/gone/").build();
            torrent.write(&root);
            let nginx = nginx(&home, &root);
            let command = Storrent::new().args(["--json", "-v", "--bind", OURS, "-p", "0"]);
            let command = command.args(["--no-dht", "--no-lsd", "-d"]).arg(&dir);
            let end = command.arg(torrent.save(temp.path())).run().expect(0);
            torrent.assert_whole(&dir);
            assert_eq!(end.all("warning").len(), 1, "{end:#?}");
            assert_eq!(end.one("complete")["downloaded_bytes"], torrent.payload());
            let requests = nginx.requests(&home);
            let lines = || requests.lines();
            assert!(lines().all(|l| l.starts_with(OURS)), "{requests}");
            assert!(
                lines().all(|l| l.contains("\" 206 ") || l.contains("\" 302 ")),
                "{requests}"
            );
            let redirects = lines().filter(|l| l.contains("\" 302 ")).count();
            assert!(redirects > 0 && redirects < lines().count(), "{requests}");
        },
    );
}
