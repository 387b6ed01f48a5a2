//! Peers on the same network find each other without tracker and DHT, by local service discovery
//! (BEP 14). Each test is a network of two machines and a cable.

use crate::support::clients::Client;
use crate::support::content::{Spec, Torrent};
use crate::support::network::{Cable, FAR, NEAR, Neighbour, isolated};
use crate::support::place::Place;
use crate::support::program::Storrent;
use crate::support::{PATIENCE, hex};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

/// What the network is made with.
const TOOLS: [&str; 3] = ["ip", "unshare", "nsenter"];

/// Where peers on a network meet.
const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(239, 192, 152, 143), 6771);

/// Looks for peers on the local network and nowhere else.
fn alone(program: Storrent) -> Storrent {
    program.args(["--json", "--no-dht", "--no-pex"])
}

/// A seed here finds a leech at the neighbour's, each with these options.
fn meet(cable: Cable, here: &[&str], there: &[&str]) {
    let neighbour = Neighbour::new(cable);
    let temp = tempfile::tempdir().unwrap();
    let torrent = Spec::single("x", 3_000_000).build();
    let file = torrent.save(temp.path());
    let (full, empty) = (temp.path().join("full"), temp.path().join("empty"));
    torrent.write(&full);
    let seed = alone(Storrent::new().arg("seed")).args(here);
    let _seed = seed.arg("-d").arg(&full).arg(&file).start();
    let leech = alone(Storrent::at(&neighbour)).args(there);
    leech.arg("-d").arg(&empty).arg(&file).run().expect(0);
    torrent.assert_whole(&empty);
}

#[test]
fn two_of_us_meet_over_ipv4() {
    isolated("lsd::two_of_us_meet_over_ipv4", &TOOLS, || {
        meet(Cable::V4, &[], &[]);
    });
}

/// Over addresses that mean nothing without the name of the interface.
#[test]
fn two_of_us_meet_over_ipv6() {
    isolated("lsd::two_of_us_meet_over_ipv6", &TOOLS, || {
        meet(Cable::V6, &[], &[]);
    });
}

#[test]
fn two_of_us_meet_at_their_addresses() {
    isolated("lsd::two_of_us_meet_at_their_addresses", &TOOLS, || {
        meet(Cable::V4, &["--bind", NEAR], &["--bind", FAR]);
    });
}

/// Each finds the other, whichever came first.
#[test]
fn libtorrent_and_we_meet() {
    let tools = [&Client::LibtorrentLocal.programs()[..1], &TOOLS].concat();
    isolated("lsd::libtorrent_and_we_meet", &tools, || {
        let neighbour = Neighbour::new(Cable::V4);
        let temp = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = temp.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let torrent = Spec::single("x", 3_000_000).build();
        let file = torrent.save(temp.path());
        let (full, empty) = (folder("full"), folder("empty"));
        torrent.write(&full);
        let (lt, home) = (Client::LibtorrentLocal, folder("home"));
        let _seed = lt.start(&file, &full, &home, NEAR, 7002);
        let leech = alone(Storrent::at(&neighbour));
        leech.arg("-d").arg(&empty).arg(&file).run().expect(0);
        torrent.assert_whole(&empty);
    });
}

/// Listens to the group on this side of the cable.
fn ears() -> UdpSocket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from(GROUP).into()).unwrap();
    let near = NEAR.parse().unwrap();
    socket.join_multicast_v4(&GROUP.0, &near).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

/// Sends `bytes` to the group on this side of the cable.
fn say(bytes: &[u8]) {
    let mouth = UdpSocket::bind((NEAR, 0)).unwrap();
    let near = NEAR.parse().unwrap();
    let socket = socket2::SockRef::from(&mouth);
    socket.set_multicast_if_v4(&near).unwrap();
    mouth.send_to(bytes, GROUP).unwrap();
}

#[test]
fn what_is_said_and_what_is_kept() {
    isolated("lsd::what_is_said_and_what_is_kept", &TOOLS, || {
        let neighbour = Neighbour::new(Cable::V4);
        let ears = ears();
        let temp = tempfile::tempdir().unwrap();
        let secret = Spec::single("secret", 50_000).private().build();
        let [silent, public] = ["silent", "public"].map(|name| Spec::single(name, 50_000).build());
        let save = |torrent: &Arc<Torrent>| torrent.save(temp.path());
        let start = || alone(Storrent::at(&neighbour)).arg("-d").arg(temp.path());
        let mut off = start().arg("--no-lsd").arg(save(&silent)).start();
        off.event("checked");
        let mut program = start().arg(save(&secret)).arg(save(&public)).start();
        let port = program.event("listening")["port"].as_u64().unwrap();
        let mut packet = [0; 2000];
        // The second comes 2 s later: by then everything has been sent.
        for _ in 0..2 {
            let (len, from) = ears.recv_from(&mut packet).unwrap();
            let said = str::from_utf8(&packet[..len]).unwrap();
            assert_eq!(from.ip().to_string(), FAR);
            let hash = hex(&public.info_hash);
            let lines = format!(
                "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: {port}\r\n\
                 Infohash: {hash}\r\ncookie: "
            );
            assert!(said.starts_with(&lines), "{said}");
            assert!(said.ends_with("\r\n\r\n\r\n"), "{said}");
        }
    });
}

#[test]
fn nonsense_is_passed_over() {
    isolated("lsd::nonsense_is_passed_over", &TOOLS, || {
        let neighbour = Neighbour::new(Cable::V4);
        let ears = ears();
        let place = Place::new(Spec::single("x", 500_000));
        let (full, empty) = (place.temp.path().join("full"), place.dir());
        place.torrent.write(&full);
        let seed = alone(Storrent::new().arg("seed"));
        let seed = seed.args(["--no-lsd", "--bind", NEAR, "-d"]);
        let mut seed = seed.arg(&full).arg(place.file()).start();
        let port = seed.event("listening")["port"].as_u64().unwrap();
        let leech = alone(Storrent::at(&neighbour)).arg("-d").arg(&empty);
        let leech = leech.arg(place.file()).start();
        let mut packet = [0; 2000];
        let (len, _) = ears.recv_from(&mut packet).unwrap();
        let its_own = &packet[..len];
        let hash = hex(&place.torrent.info_hash);
        let announce = |port: u64, hash: &str| {
            format!("BT-SEARCH * HTTP/1.1\r\nPort: {port}\r\nInfohash: {hash}\r\n\r\n")
        };
        say(&[]);
        say(its_own);
        say(&[0xff; 1400]);
        say(&[announce(port, &hash).as_bytes(), &[b'x'; 1400]].concat());
        say(announce(0, &hash).as_bytes());
        say(announce(port, "not a hash").as_bytes());
        for n in 0..100 {
            say(announce(port, &format!("{n:040x}")).as_bytes());
        }
        say(announce(port, &hash).as_bytes());
        leech.wait().expect(0);
        place.torrent.assert_whole(&empty);
    });
}
