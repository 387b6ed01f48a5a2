//! The fake peers and trackers prove themselves on each other and on a real client. Only then does
//! a failing test accuse storrent.

use crate::support::bencode::Value;
use crate::support::clients::{Client, OpenTracker};
use crate::support::content::Spec;
use crate::support::network::{OURS, THEIRS, TRACKER, isolated};
use crate::support::peer::{FakePeer, Seed, dial, fetch, fetch_metadata};
use crate::support::until;
use crate::support::wire::{Block, EXTENDED, Handshake, Message, PLAIN, Wire};
use std::fs;

#[test]
fn a_fake_leecher_fetches_from_a_fake_seed() {
    let torrent = Spec::multi("x", &[("a", 100_000), ("b", 77)]).build();
    let seed = Seed::of(&torrent).start();
    fetch(&mut dial(seed.addr, &torrent).unwrap(), &torrent).unwrap();
    seed.wait_played();
}

#[test]
fn the_fake_leecher_notices_lies() {
    let torrent = Spec::single("x", 100_000).build();
    let liar = Seed::of(&torrent).tamper(|_, data| data[1] ^= 1).start();
    assert!(fetch(&mut dial(liar.addr, &torrent).unwrap(), &torrent).is_err());
    let pushy = torrent.clone();
    let pushy = FakePeer::start(move |wire| {
        wire.answer(Handshake::new(pushy.info_hash, PLAIN))?;
        wire.send(&Message::Piece(0, 0, pushy.block(0, 0, 16).unwrap().into()))
    });
    assert!(fetch(&mut dial(pushy.addr, &torrent).unwrap(), &torrent).is_err());
}

#[test]
fn metadata_passes_between_fakes() {
    let torrent = Spec::single("x", 2 << 20).piece_length(1 << 10).build();
    let seed = Seed::of(&torrent).speaking(EXTENDED).start();
    let hello = Handshake::new(torrent.info_hash, EXTENDED);
    let mut wire = Wire::dial(seed.addr, hello).unwrap().0;
    assert_eq!(fetch_metadata(&mut wire, &torrent).unwrap(), torrent.info);
}

#[test]
fn messages_and_bencode_round_trip() {
    let torrent = Spec::multi("x", &[("a/b", 5), ("c", 40_000)])
        .aligned()
        .private()
        .build();
    let (value, rest) = Value::decode(&torrent.metainfo).unwrap();
    assert!(rest.is_empty());
    assert_eq!(value.encode(), torrent.metainfo);
    assert_eq!(value.get("info").unwrap().encode(), torrent.info);
    let (sender, notes) = crossbeam_channel::unbounded();
    let block = Block::new(1, 2, 3);
    let messages = [
        Message::KeepAlive,
        Message::Have(7),
        Message::Bitfield(vec![1, 2]),
        Message::Request(block),
        Message::Cancel(block),
        Message::Reject(block),
        Message::Port(6881),
        Message::HaveNone,
        Message::AllowedFast(9),
        Message::Suggest(9),
        Message::Extended(3, vec![1]),
        Message::Unknown(99, vec![5]),
    ];
    let sent = messages.clone();
    let peer = FakePeer::start(move |wire| sent.iter().try_for_each(|m| wire.send(m)));
    let stream = std::net::TcpStream::connect(peer.addr).unwrap();
    let heard = Wire::new(stream, Some(sender))
        .unwrap()
        .until_closed()
        .unwrap();
    assert_eq!(heard, messages);
    assert_eq!(notes.len(), messages.len());
}

/// A real client fetches from a fake seed, which the test announced to a real tracker.
#[test]
fn a_real_client_fetches_from_a_fake_seed() {
    let name = "fakes::a_real_client_fetches_from_a_fake_seed";
    isolated(name, &Client::Libtorrent.programs(), || {
        let temp = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = temp.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let files = [("a", 3_000_000), ("b/c", 70_000), ("d", 1)];
        let torrent = Spec::multi("x", &files)
            .aligned()
            .tracker(&OpenTracker::url(6969))
            .build();
        let tracker = OpenTracker::start(&torrent, &folder("tracker"), 6969);
        let seed = Seed::of(&torrent).start_at(OURS);
        announce(&torrent.info_hash, seed.addr.port());
        tracker.wait("the fake seeds", &torrent, |swarm| swarm.seeds == 1);
        let (file, dir, home) = (torrent.save(temp.path()), folder("dir"), folder("home"));
        let client = Client::Libtorrent.start(&file, &dir, &home, THEIRS, 7002);
        client.wait_complete(&tracker, &torrent);
        client.stop();
        torrent.assert_bytes(&dir);
        // And the other way round.
        let client = Client::Libtorrent.start(&file, &dir, &folder("again"), THEIRS, 7003);
        tracker.wait("it seeds", &torrent, |swarm| swarm.seeds == 2);
        // Perhaps the tracker means the one before, as long as it has not heard that it left.
        let addr = format!("{THEIRS}:7003").parse().unwrap();
        assert!(until(|| dial(addr, &torrent).is_ok()), "it never answers");
        fetch(&mut dial(addr, &torrent).unwrap(), &torrent).unwrap();
        drop(client);
    });
}

/// Announces a seed at [`OURS`]: a tracker believes the sender's address.
fn announce(info_hash: &[u8], port: u16) {
    use std::io::{Read, Write};
    let hash: String = info_hash.iter().map(|b| format!("%{b:02x}")).collect();
    let ask = format!(
        "GET /announce?info_hash={hash}&peer_id=-XX0001-fakefakefake&port={port}\
         &uploaded=0&downloaded=0&left=0&compact=1&event=started HTTP/1.0\r\n\r\n"
    );
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let address = |ip: &str, port| std::net::SocketAddr::new(ip.parse().unwrap(), port).into();
    socket.bind(&address(OURS, 0)).unwrap();
    socket.connect(&address(TRACKER, 6969)).unwrap();
    let mut stream: std::net::TcpStream = socket.into();
    stream.write_all(ask.as_bytes()).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}
