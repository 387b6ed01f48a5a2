//! Where torrents come from: standard input and the web; and several in one run.

mod support;

use std::fs;
use support::content::{Spec, tree};
use support::http::{HttpServer, respond};
use support::peer::Seed;
use support::place::Place;
use support::program::Storrent;

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
    let copy = place.temp.path().join("copy");
    fs::create_dir(&copy).unwrap();
    let end = place
        .download()
        .arg(place.torrent.save(&copy))
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
