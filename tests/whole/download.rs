//! Downloads from fake peers: every shape of torrent, every kind of source, and files that were
//! there before.

use crate::support::Gate;
use crate::support::content::{Spec, tree};
use crate::support::peer::{FakePeer, Seed};
use crate::support::place::Place;
use crate::support::program::Storrent;
use crate::support::wire::{EXTENDED, FAST, Handshake, Message, PLAIN};
use rustix::process::Signal;
use std::fs;

/// Every combination of sizes that is a special case somewhere.
#[test]
fn shapes() {
    let many: Vec<(String, u64)> = (0..60)
        .map(|i| (format!("d{}/f{i}", i % 7), i * 997))
        .collect();
    let many: Vec<(&str, u64)> = many
        .iter()
        .map(|(name, len)| (name.as_str(), *len))
        .collect();
    let shapes = [
        ("one block", Spec::single("x", 16_384)),
        ("one byte", Spec::single("x", 1)),
        ("whole pieces", Spec::single("x", 131_072)),
        ("short last piece", Spec::single("x", 131_072 + 5)),
        (
            "short last block in every piece",
            Spec::single("x", 200_000).piece_length(40_000),
        ),
        (
            "pieces smaller than a block",
            Spec::single("x", 100_000).piece_length(1_000),
        ),
        (
            "one piece larger than all",
            Spec::single("x", 100_000).piece_length(1 << 22),
        ),
        (
            "large pieces",
            Spec::single("x", 10 << 20).piece_length(4 << 20),
        ),
        ("pieces that span files", Spec::multi("x", &many)),
        (
            "empty files",
            Spec::multi("x", &[("a", 0), ("b", 50_000), ("c", 0), ("d/e", 0)]),
        ),
        (
            "padding",
            Spec::multi("x", &[("a", 5), ("b", 33_000), ("c", 65_536), ("d", 1)]).aligned(),
        ),
        ("a folder with one file", Spec::multi("x", &[("y", 70_000)])),
    ];
    for (what, spec) in shapes {
        let place = Place::new(spec);
        let end = place.fetch(&Seed::of(&place.torrent).start());
        let added = end.one("added");
        assert_eq!(added["total_bytes"], place.torrent.payload(), "{what}");
        assert_eq!(added["wanted_bytes"], place.torrent.payload(), "{what}");
        assert_eq!(added["pieces"], place.torrent.pieces(), "{what}");
        assert_eq!(added["files"], place.torrent.real_files().count(), "{what}");
        assert_eq!(
            end.one("complete")["downloaded_bytes"],
            place.torrent.payload(),
            "{what}"
        );
        assert_eq!(end.one("checked")["have_pieces"], 0, "{what}");
    }
}

#[test]
fn events_come_in_their_order() {
    let place = Place::new(Spec::single("x", 300_000));
    let end = place.fetch(&Seed::of(&place.torrent).start());
    let names: Vec<&str> = end
        .events
        .iter()
        .map(|e| e["event"].as_str().expect("every line has an event"))
        .filter(|name| ["listening", "added", "checked", "complete"].contains(name))
        .collect();
    assert_eq!(names[names.len() - 3..], ["added", "checked", "complete"]);
    assert!(names.contains(&"listening"));
    assert_eq!(
        end.stdout.lines().count(),
        end.events.len(),
        "JSON lines only"
    );
    let of_torrent = end.events.iter().filter(|e| e.get("info_hash").is_some());
    assert!(of_torrent.clone().count() >= 3);
    of_torrent.for_each(|e| assert_eq!(e["info_hash"], place.torrent.hex()));
}

/// The figures: bytes that we have were on disk or came; at the end nothing flows.
#[test]
fn figures_are_of_now() {
    let place = Place::new(Spec::single("x", 40 * 32_768));
    // A first run ends with a half, the second begins with it.
    let half = Seed::of(&place.torrent).having(|piece| piece < 20).start();
    let mut run = place.download().peers(&[half.addr]).start();
    run.event_where("progress", |e| e["have_bytes"] == 20 * 32_768);
    run.kill(Signal::INT);
    let cut = run.wait().expect(130);
    let gate = Gate::new();
    let held = Seed::of(&place.torrent).having(|piece| piece >= 30);
    let held = held.hold(&gate).start();
    let rest = Seed::of(&place.torrent).having(|piece| piece < 30).start();
    let mut run = place.download().peers(&[rest.addr, held.addr]).start();
    run.event_where("progress", |e| e["have_bytes"] == 30 * 32_768);
    gate.open();
    let end = run.wait().expect(0);
    for end in [&cut, &end] {
        let there = end.one("checked")["have_bytes"].as_u64().unwrap();
        for progress in end.all("progress") {
            let sums = ["have_bytes", "downloaded_bytes"].map(|key| progress[key].as_u64());
            let [Some(have), Some(came)] = sums else {
                panic!("{progress}")
            };
            assert!(have <= there + came, "{there} were there: {progress}");
        }
        let last = end.events.last().unwrap();
        assert_eq!(last["event"], "progress", "{last}");
        for key in ["peers", "seeds", "download_rate", "upload_rate"] {
            assert_eq!(last[key], 0, "{key} in {last}");
        }
    }
    let (complete, last) = (end.one("complete"), end.events.last().unwrap());
    assert_eq!(complete["downloaded_bytes"], 20 * 32_768);
    assert_eq!(last["downloaded_bytes"], 20 * 32_768);
    assert_eq!(last["have_bytes"], 40 * 32_768);
}

#[test]
fn padding_is_not_fetched() {
    let place = Place::new(Spec::multi("x", &[("a", 100), ("b", 40_000), ("c", 7)]).aligned());
    let seed = Seed::of(&place.torrent).start();
    place.fetch(&seed);
    let asked: u64 = seed
        .requests()
        .iter()
        .map(|block| u64::from(block.length))
        .sum();
    assert_eq!(asked, place.torrent.payload());
}

#[test]
fn every_dialect() {
    for reserved in [PLAIN, FAST, EXTENDED] {
        let place = Place::new(Spec::single("x", 500_000));
        place.fetch(&Seed::of(&place.torrent).speaking(reserved).start());
    }
}

/// With the fast extension a seed says "have all" instead of a bitfield.
#[test]
fn have_all() {
    let place = Place::new(Spec::single("x", 500_000));
    let seed = Seed::of(&place.torrent);
    let info_hash = place.torrent.info_hash;
    let peer = FakePeer::start(move |wire| {
        wire.answer(Handshake::new(info_hash, FAST))?;
        wire.send(&Message::HaveAll)?;
        wire.recv_until(|m| *m == Message::Interested)?;
        wire.send(&Message::Unchoke)?;
        seed.answer_requests(wire)
    });
    place.fetch(&peer);
}

#[test]
fn haves_instead_of_a_bitfield() {
    let place = Place::new(Spec::single("x", 200_000));
    let (seed, info_hash) = (Seed::of(&place.torrent), place.torrent.info_hash);
    let pieces = place.torrent.pieces() as u32;
    let peer = FakePeer::start(move |wire| {
        wire.answer(Handshake::new(info_hash, PLAIN))?;
        wire.send(&Message::KeepAlive)?;
        (0..pieces).try_for_each(|index| wire.send(&Message::Have(index)))?;
        wire.recv_until(|m| *m == Message::Interested)?;
        wire.send(&Message::Unchoke)?;
        seed.answer_requests(wire)
    });
    place.fetch(&peer);
}

/// Without the fast extension, a choke silently drops all requests. They are repeated after the
/// unchoke.
#[test]
fn choked_and_unchoked_again() {
    let place = Place::new(Spec::single("x", 1 << 20));
    let (seed, info_hash) = (Seed::of(&place.torrent), place.torrent.info_hash);
    let all = vec![0xff; place.torrent.pieces() / 8];
    let peer = FakePeer::start(move |wire| {
        wire.answer(Handshake::new(info_hash, PLAIN))?;
        wire.send(&Message::Bitfield(all.clone()))?;
        wire.recv_until(|m| *m == Message::Interested)?;
        for _ in 0..3 {
            wire.send(&Message::Unchoke)?;
            wire.recv_until(|m| matches!(m, Message::Request(_)))?;
            wire.send(&Message::Choke)?;
        }
        wire.send(&Message::Unchoke)?;
        seed.answer_requests(wire)
    });
    place.fetch(&peer);
}

#[test]
fn pieces_from_several_peers() {
    let place = Place::new(Spec::single("x", 3 << 20));
    let peers: Vec<FakePeer> = (0..3)
        .map(|n| {
            Seed::of(&place.torrent)
                .having(|piece| piece % 3 == n)
                .start()
        })
        .collect();
    let addresses: Vec<_> = peers.iter().map(|peer| peer.addr).collect();
    place.download().peers(&addresses).run().expect(0);
    place.torrent.assert_whole(&place.dir());
    for (n, peer) in peers.iter().enumerate() {
        assert!(
            peer.requests()
                .iter()
                .all(|block| block.index as usize % 3 == n)
        );
    }
}

#[test]
fn one_piece_from_several_peers() {
    let place = Place::new(Spec::single("x", 4 << 20).piece_length(4 << 20));
    let peers: Vec<FakePeer> = (0..3).map(|_| Seed::of(&place.torrent).start()).collect();
    let addresses: Vec<_> = peers.iter().map(|peer| peer.addr).collect();
    place.download().peers(&addresses).run().expect(0);
    place.torrent.assert_whole(&place.dir());
}

/// The peer leaves in the middle of a block; another one finishes.
#[test]
fn a_peer_that_leaves_in_mid_block() {
    let place = Place::new(Spec::single("x", 1 << 20));
    let (torrent, left) = (place.torrent.clone(), Gate::new());
    let gate = left.clone();
    let leaver = FakePeer::start(move |wire| {
        wire.answer(Handshake::new(torrent.info_hash, PLAIN))?;
        wire.send(&Message::Bitfield(vec![0xff; torrent.pieces() / 8]))?;
        wire.recv_until(|m| *m == Message::Interested)?;
        wire.send(&Message::Unchoke)?;
        let asked = wire.recv_until(|m| matches!(m, Message::Request(_)))?;
        let Message::Request(block) = asked else {
            unreachable!()
        };
        let data = torrent
            .block(block.index, block.begin, block.length)
            .unwrap();
        let message = Message::Piece(block.index, block.begin, data.into()).encode();
        wire.send_raw(&message[..message.len() / 2])?;
        gate.open();
        Ok(())
    });
    let honest = Seed::of(&place.torrent).hold(&left).start();
    place
        .download()
        .peers(&[leaver.addr, honest.addr])
        .run()
        .expect(0);
    place.torrent.assert_whole(&place.dir());
}

#[test]
fn only_some_files() {
    let files = [
        ("a", 100_000),
        ("b", 50_000),
        ("c/d", 70_000),
        ("e", 200_000),
    ];
    for (list, numbers) in [("2", vec![2]), ("1,3-4", vec![1, 3, 4]), ("3", vec![3])] {
        let place = Place::new(Spec::multi("x", &files));
        let torrent = &place.torrent;
        let seed = Seed::of(torrent).start();
        let end = place
            .download()
            .args(["-f", list])
            .peers(&[seed.addr])
            .run()
            .expect(0);
        torrent.assert_only(&place.dir(), &numbers);
        let wanted: u64 = numbers.iter().map(|n| files[n - 1].1).sum();
        assert_eq!(end.one("added")["wanted_bytes"], wanted);
        let needed = |piece: u32| {
            numbers
                .iter()
                .any(|n| torrent.pieces_of(*n).contains(&(piece as usize)))
        };
        let needless: Vec<_> = seed
            .requests()
            .into_iter()
            .filter(|block| !needed(block.index))
            .collect();
        assert!(needless.is_empty(), "{list}: {needless:?}");
    }
}

/// Some files first, the others later, to the same folder.
#[test]
fn the_other_files_later() {
    let place = Place::new(Spec::multi("x", &[("a", 300_000), ("b", 300_000)]));
    let seed = Seed::of(&place.torrent).start();
    place
        .download()
        .args(["-f", "1"])
        .peers(&[seed.addr])
        .run()
        .expect(0);
    let had = place.torrent.pieces_on_disk(&place.dir());
    seed.notes();
    place.fetch(&seed);
    let again = seed
        .requests()
        .into_iter()
        .filter(|block| had[block.index as usize]);
    assert_eq!(again.count(), 0, "what was there is not fetched again");
}

/// In order, but for the last MiB, which comes after the first: players look there.
#[test]
fn sequential_asks_in_order() {
    const MIB: u32 = 1 << 20;
    const PIECE: u32 = 64 << 10;
    let place = Place::new(Spec::single("x", 4 * u64::from(MIB)).piece_length(PIECE as usize));
    let seed = Seed::of(&place.torrent).start();
    place
        .download()
        .arg("--sequential")
        .peers(&[seed.addr])
        .run()
        .expect(0);
    let asked = seed.requests();
    let part = |mib: u32| match mib {
        0 => 0,
        3 => 1,
        _ => 2,
    };
    let pieces: Vec<u32> = asked.iter().map(|block| block.index).collect();
    let order = |piece: &u32| (part(piece * PIECE / MIB), *piece);
    assert!(pieces.is_sorted_by_key(order), "{pieces:?}");
}

#[test]
fn it_gives_up_when_nothing_comes() {
    let place = Place::new(Spec::single("x", 1 << 20));
    let info_hash = place.torrent.info_hash;
    let silent = FakePeer::start(move |wire| {
        wire.answer(Handshake::new(info_hash, PLAIN))?;
        wire.until_closed().map(drop)
    });
    let stall = |seconds: &str, peer: &FakePeer| {
        place
            .download()
            .args(["--stall-timeout", seconds])
            .peers(&[peer.addr])
            .run()
            .expect(3)
    };
    stall("1", &silent);
    // What came before is kept. It must have come by then, on a slow machine, too.
    let half = Seed::of(&place.torrent).budget(32).start();
    stall("10", &half);
    let kept = place.torrent.pieces_on_disk(&place.dir());
    assert!(kept.iter().any(|whole| *whole), "nothing was kept");
    assert!(place.dir().join("x.storrent").exists());
    let seed = Seed::of(&place.torrent).start();
    place.fetch(&seed);
    assert!(
        seed.requests()
            .iter()
            .all(|block| !kept[block.index as usize])
    );
}

#[test]
fn already_complete() {
    let place = Place::new(Spec::multi("x", &[("a", 100_000), ("b", 60_000)]));
    place.torrent.write(&place.dir());
    let seed = Seed::of(&place.torrent).start();
    let end = place.fetch(&seed);
    assert_eq!(end.one("checked")["have_pieces"], place.torrent.pieces());
    assert_eq!(end.one("complete")["downloaded_bytes"], 0);
    assert!(seed.requests().is_empty());
}

/// Right pieces are kept; wrong or missing ones are fetched.
#[test]
fn a_part_is_there() {
    let place = Place::new(Spec::multi("x", &[("a", 200_000), ("b", 200_000)]));
    let dir = place.dir();
    place.torrent.write(&dir);
    fs::remove_file(dir.join("x/b")).unwrap();
    let mut a = fs::read(dir.join("x/a")).unwrap();
    a[40_000] ^= 1;
    fs::write(dir.join("x/a"), a).unwrap();
    let had = place.torrent.pieces_on_disk(&dir);
    let seed = Seed::of(&place.torrent).start();
    let end = place.fetch(&seed);
    let whole = had.iter().filter(|piece| **piece).count();
    assert_eq!(end.one("checked")["have_pieces"], whole);
    assert!(
        seed.requests()
            .iter()
            .all(|block| !had[block.index as usize])
    );
}

#[test]
fn the_users_own_file_is_refused() {
    for len in [5, 100_000, 200_000] {
        let place = Place::new(Spec::single("x", 100_000));
        fs::create_dir(place.dir()).unwrap();
        let own = place.dir().join("x");
        let mine = vec![b'm'; len];
        fs::write(&own, &mine).unwrap();
        let seed = Seed::of(&place.torrent).start();
        let end = place.download().peers(&[seed.addr]).run().expect(1);
        assert!(
            end.stderr.contains("overwrite"),
            "says what to do: {}",
            end.stderr
        );
        assert_eq!(fs::read(&own).unwrap(), mine, "untouched");
        assert_eq!(tree(&place.dir()).len(), 1, "nothing beside it");
        place
            .download()
            .arg("--overwrite")
            .peers(&[seed.addr])
            .run()
            .expect(0);
        place.torrent.assert_whole(&place.dir());
    }
}

/// A folder where a file belongs, a file where a folder belongs, and a download folder that is a
/// file.
#[test]
fn folders_that_cannot_be_written() {
    let place = Place::new(Spec::multi("x", &[("a", 50_000), ("b/c", 5)]));
    let seed = Seed::of(&place.torrent).start();
    fs::create_dir_all(place.dir().join("x/a")).unwrap();
    place.download().peers(&[seed.addr]).run().expect(1);
    fs::remove_dir_all(place.dir()).unwrap();
    fs::create_dir_all(place.dir().join("x")).unwrap();
    fs::write(place.dir().join("x/b"), "mine").unwrap();
    place.download().peers(&[seed.addr]).run().expect(1);
    assert_eq!(fs::read(place.dir().join("x/b")).unwrap(), b"mine");
    fs::remove_dir_all(place.dir()).unwrap();
    fs::write(place.dir(), "a file").unwrap();
    let end = place.download().peers(&[seed.addr]).run().expect(1);
    assert!(
        end.stderr.contains(place.dir().to_str().unwrap()),
        "{}",
        end.stderr
    );
}

#[test]
fn a_private_torrent_takes_no_other_tracker() {
    let place = Place::new(Spec::single("x", 5).private());
    let end = place
        .download()
        .args(["-t", "http://127.0.0.1:9/announce"])
        .run();
    // The command line is wrong, though only the torrent shows it.
    let code = end.code.unwrap();
    assert!(code == 1 || code == 2, "{end:#?}");
    assert!(end.expect(code).stderr.contains("private"));
}

#[test]
fn a_port_that_is_taken() {
    let place = Place::new(Spec::single("x", 5));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let line = [
        "--bind",
        "127.0.0.1",
        "--no-dht",
        "--no-lsd",
        "-p",
        &port,
        "-d",
    ];
    let command = Storrent::new().args(line).arg(place.dir());
    let end = command.arg(place.file()).run().expect(1);
    assert!(end.stderr.contains(&port), "{}", end.stderr);
}

#[test]
fn quiet_is_quiet() {
    let place = Place::new(Spec::single("x", 100_000));
    let seed = Seed::of(&place.torrent).start();
    let command = Storrent::new().alone().args(["-q", "-d"]);
    let command = command.arg(place.dir()).peers(&[seed.addr]);
    let end = command.arg(place.file()).run().expect(0);
    assert_eq!((end.stdout.as_str(), end.stderr.as_str()), ("", ""));
}

/// Not on a terminal: plain lines, no control codes.
#[test]
fn plain_lines_when_there_is_no_terminal() {
    let place = Place::new(Spec::single("x", 100_000));
    let seed = Seed::of(&place.torrent).start();
    let command = Storrent::new().alone().arg("-d");
    let command = command.arg(place.dir()).peers(&[seed.addr]);
    let end = command.arg(place.file()).run().expect(0);
    assert!(end.stderr.lines().count() >= 2, "{}", end.stderr);
    assert!(!end.stderr.contains(['\r', '\u{1b}']), "{:?}", end.stderr);
}
