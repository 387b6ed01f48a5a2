//! Where torrents come from: standard input, the web, magnet links; and several in one
//! run.

mod support;

use std::fs;
use support::bencode::Value;
use support::content::{Spec, tree};
use support::http::{HttpServer, respond};
use support::peer::Seed;
use support::place::Place;
use support::program::Storrent;
use support::wire::EXTENDED;

#[test]
fn from_standard_input() {
    let place = Place::new(Spec::single("x", 100_000));
    let seed = Seed::of(&place.torrent).start();
    let command = Storrent::download(&place.dir())
        .arg("-")
        .peers(&[seed.addr]);
    command.stdin(&place.torrent.metainfo).run().expect(0);
    place.torrent.assert_whole(&place.dir());
}

#[test]
fn from_a_url() {
    let place = Place::new(Spec::single("x", 100_000));
    let (seed, file) = (
        Seed::of(&place.torrent).start(),
        place.torrent.metainfo.clone(),
    );
    let web = HttpServer::start(move |request, stream| match request.target.as_str() {
        "/moved" => {
            use std::io::Write;
            let head = b"HTTP/1.1 302 Found\r\nLocation: /x.torrent\r\nContent-Length: 0\r\n";
            stream.write_all(&[head, &b"Connection: close\r\n\r\n"[..]].concat())
        }
        "/x.torrent" => respond(stream, "200 OK", &file),
        _ => respond(stream, "404 Not Found", b"no such page"),
    });
    let get = |path: &str| {
        let dir = place.dir();
        let command = Storrent::download(&dir)
            .arg(web.url(path))
            .peers(&[seed.addr]);
        command.run()
    };
    get("/x.torrent").expect(0);
    place.torrent.assert_whole(&place.dir());
    fs::remove_dir_all(place.dir()).unwrap();
    get("/moved").expect(0);
    place.torrent.assert_whole(&place.dir());
    let end = get("/nothing").expect(1);
    assert!(end.stderr.contains("404"), "{}", end.stderr);
}

/// From nothing but the info hash: the metadata comes from a peer (BEP 9).
#[test]
fn from_a_magnet_link() {
    // So many pieces that the metadata has several parts of 16 KiB.
    let place = Place::new(Spec::single("x", 2 << 20).piece_length(1 << 10));
    let seed = Seed::of(&place.torrent).speaking(EXTENDED).start();
    let magnet = || Storrent::download(&place.dir()).arg(place.torrent.magnet());
    magnet().peers(&[seed.addr]).run().expect(0);
    place.torrent.assert_whole(&place.dir());
    // The link can name the peer too.
    fs::remove_dir_all(place.dir()).unwrap();
    let link = format!("{}&dn=other&x.pe={}", place.torrent.magnet(), seed.addr);
    Storrent::download(&place.dir()).arg(link).run().expect(0);
    place.torrent.assert_whole(&place.dir());
}

#[test]
fn show_of_a_magnet_link() {
    let place = Place::new(Spec::multi("x", &[("a", 5), ("b", 7)]));
    let seed = Seed::of(&place.torrent).speaking(EXTENDED).start();
    let out = place.temp.path().join("saved.torrent");
    let options = ["show", "--json", "--no-dht", "--no-lsd", "-o"];
    let show = Storrent::new().args(options).arg(&out).peers(&[seed.addr]);
    let shown = show.arg(place.torrent.magnet()).run().expect(0).json();
    assert_eq!(shown["info_hash"], place.torrent.hex());
    assert_eq!(shown["total_bytes"], 12);
    let (saved, _) = Value::decode(&fs::read(&out).unwrap())
        .map(|(v, r)| (v, r.len()))
        .unwrap();
    assert_eq!(saved.get("info").unwrap().encode(), place.torrent.info);
}

/// Web seeds (BEP 19), with nobody else in the swarm.
#[test]
fn from_a_web_seed() {
    for name in ["x", "ä b%c"] {
        let files = [("a", 100_000), ("b c/d#e", 70_000), ("f", 3)];
        let temp = tempfile::tempdir().unwrap();
        let torrent = Spec::multi(name, &files).build();
        let there = temp.path().join("there");
        torrent.write(&there);
        let web = HttpServer::start(move |request, stream| {
            let path = support::tracker::unescape(request.target.trim_start_matches("/pub/"));
            let path = there.join(String::from_utf8(path).unwrap());
            match (fs::read(path), request.range()) {
                (Ok(all), Some((first, last))) if last < all.len() => {
                    respond(stream, "206 Partial Content", &all[first..=last])
                }
                (Ok(all), None) => respond(stream, "200 OK", &all),
                _ => respond(stream, "404 Not Found", b""),
            }
        });
        let torrent = Spec::multi(name, &files).webseed(&web.url("/pub/")).build();
        let dir = temp.path().join("down");
        Storrent::download(&dir)
            .arg(torrent.save(temp.path()))
            .run()
            .expect(0);
        torrent.assert_whole(&dir);
    }
}

#[test]
fn two_torrents_at_once() {
    let (a, b) = (
        Place::new(Spec::single("a", 400_000)),
        Place::new(Spec::single("b", 400_000)),
    );
    let (c, d) = (Seed::of(&a.torrent).start(), Seed::of(&b.torrent).start());
    let sources = [a.torrent.save(a.temp.path()), b.torrent.save(a.temp.path())];
    let command = Storrent::download(&a.dir())
        .args(sources)
        .peers(&[c.addr, d.addr]);
    let end = command.run().expect(0);
    assert_eq!(end.all("complete").len(), 2);
    assert_eq!(tree(&a.dir()), ["a", "b"].map(Into::into).into());
    for torrent in [&a.torrent, &b.torrent] {
        assert!(torrent.pieces_on_disk(&a.dir()).iter().all(|whole| *whole));
    }
}

#[test]
fn the_same_torrent_twice_is_one() {
    let place = Place::new(Spec::single("x", 100_000));
    let seed = Seed::of(&place.torrent).start();
    let end = place
        .download()
        .arg(place.torrent.magnet())
        .peers(&[seed.addr])
        .run()
        .expect(0);
    assert_eq!(end.all("complete").len(), 1);
    place.torrent.assert_whole(&place.dir());
}

#[test]
fn two_torrents_with_one_path_are_refused() {
    let place = Place::new(Spec::single("x", 100_000));
    let other = Spec::single("x", 100_000).seed(2).build();
    let seed = Seed::of(&place.torrent).start();
    let command = place
        .download()
        .arg(other.save(place.temp.path()))
        .peers(&[seed.addr]);
    command.run().expect(1);
    place.torrent.assert_whole(&place.dir());
}

/// A torrent whose metadata never comes is given up as well.
#[test]
fn it_gives_up_on_a_magnet_link() {
    let place = Place::new(Spec::single("x", 100));
    let link = Storrent::download(&place.dir()).arg(place.torrent.magnet());
    link.args(["--stall-timeout", "1"]).run().expect(3);
}
