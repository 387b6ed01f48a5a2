//! The DHT's threads on loopback, with nodes that the test plays.

use super::*;
use crate::bencode::scan;
use crossbeam_channel::Receiver;
use std::net::Ipv6Addr;

const HASH: InfoHash = InfoHash([0x5a; 20]);
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts the DHT on the loopback address `ip`. Its news come through the channel, which closes
/// when all threads have ended.
fn start(ip: impl Into<IpAddr>, nodes: &[String]) -> (Dht, Receiver<DhtNews>) {
    let settings = DhtSettings {
        door: Door::at(ip),
        port: 0,
        nodes: nodes.to_vec(),
    };
    let (sender, news) = unbounded();
    let dht = Dht::start(&settings, move |news| _ = sender.send(news)).unwrap();
    (dht, news)
}

/// Starts a node. Returns its address, and a channel with the queries that it receives.
fn node(
    ip: impl Into<IpAddr>,
    answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> (SocketAddr, Receiver<Vec<u8>>) {
    let socket = UdpSocket::bind((ip.into(), 0)).unwrap();
    let addr = socket.local_addr().unwrap();
    let (sender, queries) = unbounded();
    thread::spawn(move || {
        let mut buffer = [0; 2000];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            for datagram in answer(&buffer[..len]) {
                socket.send_to(&datagram, from).unwrap();
            }
            if sender.send(buffer[..len].to_vec()).is_err() {
                return;
            }
        }
    });
    (addr, queries)
}

/// An answer to `query` that contains `inside`.
fn reply(query: &[u8], inside: &[u8]) -> Vec<u8> {
    let query = scan(query, 3).unwrap();
    let mut entries = query.dict().unwrap();
    let (_, transaction) = entries.find(|entry| entry.0 == b"t").unwrap();
    let head = b"d1:rd2:id20:abcdefghij0123456789";
    [head, inside, b"e1:t", transaction.bytes(), b"1:y1:re"].concat()
}

/// Waits for news for which `look` returns something.
fn wait<T>(news: &Receiver<DhtNews>, look: impl Fn(DhtNews) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look(news.recv_deadline(deadline).unwrap()) {
            return found;
        }
    }
}

fn peers(news: DhtNews) -> Option<Vec<SocketAddr>> {
    match news {
        DhtNews::Peers(HASH, peers) => Some(peers),
        _ => None,
    }
}

#[test]
fn looks_up_and_announces() {
    let (addr, queries) = node(Ipv4Addr::LOCALHOST, |query| {
        vec![reply(
            query,
            b"5:token4:toke6:valuesl6:\x7f\0\0\x01\x1a\xe1e",
        )]
    });
    let (mut dht, news) = start(Ipv4Addr::LOCALHOST, &[addr.to_string()]);
    dht.search(HASH, Some(7000));
    let peer = "127.0.0.1:6881".parse().unwrap();
    assert_eq!(wait(&news, peers), [peer]);
    let ended = wait(&news, |news| match news {
        DhtNews::Ended {
            info_hash,
            v6,
            peers,
            announced,
        } => Some((info_hash, v6, peers, announced)),
        _ => None,
    });
    assert_eq!(ended, (HASH, false, 1, 1));
    let known = |news| {
        matches!(
            news,
            DhtNews::Known {
                v6: false,
                nodes: 1
            }
        )
        .then_some(())
    };
    wait(&news, known);
    let query = |_| queries.recv_timeout(PATIENCE).unwrap();
    let [first, second] = [0, 1].map(query);
    let contains = |query: &[u8], part: &[u8]| query.windows(part.len()).any(|w| w == part);
    assert!(contains(&first, b"1:q9:get_peers2:roi1e"));
    assert!(contains(&second, b"4:porti7000e5:token4:toke"));
    // Once more, now that the thread sleeps in its channels.
    dht.search(HASH, None);
    assert_eq!(wait(&news, peers), [peer]);
}

#[test]
fn the_network_of_ipv6() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return eprintln!("SKIPPED: this machine has no IPv6");
    }
    let (addr, _queries) = node(Ipv6Addr::LOCALHOST, |query| {
        let peer = [&b"6:valuesl18:"[..], &[0; 15], b"\x01\x1a\xe1e"].concat();
        vec![reply(query, &peer)]
    });
    let (mut dht, news) = start(Ipv6Addr::LOCALHOST, &[addr.to_string()]);
    dht.search(HASH, None);
    assert_eq!(wait(&news, peers), ["[::1]:6881".parse().unwrap()]);
}

#[test]
fn rubbish_before_the_answer() {
    let (addr, _queries) = node(Ipv4Addr::LOCALHOST, |query| {
        let right = reply(query, b"6:valuesl6:\x7f\0\0\x01\x1a\xe1e");
        let mut wrong = right.clone();
        let transaction = wrong.len() - 11;
        wrong[transaction] ^= 1;
        vec![
            vec![],
            vec![b'l'; 60_000],
            b"d1:t4:aaaa1:y1:qe".to_vec(),
            query.to_vec(),
            wrong,
            right,
        ]
    });
    let (mut dht, news) = start(Ipv4Addr::LOCALHOST, &[]);
    dht.search(HASH, None);
    dht.node(addr);
    assert_eq!(wait(&news, peers), ["127.0.0.1:6881".parse().unwrap()]);
}

#[test]
fn ends_when_dropped_whatever_it_does() {
    let (silent, _queries) = node(Ipv4Addr::LOCALHOST, |_| vec![]);
    for (nodes, searches) in [(vec![], 0), (vec![], 1), (vec![silent.to_string()], 1)] {
        let name = "x".repeat(70) + ":6881"; // too long for a name: no DNS server is asked
        let nodes: Vec<String> = nodes.into_iter().chain([name]).collect();
        let (mut dht, news) = start(Ipv4Addr::LOCALHOST, &nodes);
        (0..searches).for_each(|_| dht.search(HASH, None));
        let unresolved = |news| match news {
            DhtNews::Unresolved { by_user, .. } => Some(by_user),
            _ => None,
        };
        assert!(wait(&news, unresolved));
        drop(dht);
        let end = news.recv_timeout(PATIENCE).map(|news| format!("{news:?}"));
        assert_eq!(end, Err(RecvTimeoutError::Disconnected));
    }
}

#[test]
fn names_are_looked_up() {
    let (addr, queries) = node(Ipv4Addr::LOCALHOST, |_| vec![]);
    let (mut dht, _news) = start(Ipv4Addr::LOCALHOST, &["127.0.0.1:9".into()]);
    dht.search(HASH, None);
    dht.node_of_torrent("localhost", addr.port());
    queries.recv_timeout(PATIENCE).unwrap();
    for number in 0..1000 {
        dht.node_of_torrent(&format!("{}{number}", "x".repeat(70)), 6881);
    }
    assert_eq!(dht.names.len(), MAX_NAMES);
}

#[test]
fn the_port_that_is_wanted_or_any() {
    let door = Door::at(Ipv4Addr::LOCALHOST);
    let first = open(&door, false, 0).unwrap();
    let port = first.local_addr().unwrap().port();
    let second = open(&door, false, port).unwrap().local_addr().unwrap();
    assert!(second.port() != port && second.port() != 0);
    drop(first);
    assert_eq!(
        open(&door, false, port)
            .unwrap()
            .local_addr()
            .unwrap()
            .port(),
        port
    );
}
