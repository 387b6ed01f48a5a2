//! A tracker (BEP 3): the server by which the peers of a torrent find each other. With it the other
//! examples need no network.
//!
//! ```text
//! $ cargo run -q --example tracker
//! announce to http://127.0.0.1:6969/announce
//! ```
//!
//! A tracker knows neither torrents nor content. It keeps a list of addresses for each info hash,
//! and answers each announce with those of the other peers, in 6 bytes each: 4 of the IPv4 address,
//! 2 of the port (BEP 23). The tracker of `storrent demo` (`src/cli/demo/tracker.rs`) also bounds
//! what a stranger can make it remember, and how long he may keep it waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// The peers of each info hash, which stays escaped as it was in the request.
type Swarms = BTreeMap<String, BTreeSet<Vec<u8>>>;

fn main() {
    if let Err(error) = run() {
        eprintln!("tracker: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).unwrap_or("6969".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .map_err(|error| format!("cannot listen at port {port}: {error}; name another port"))?;
    println!("announce to http://{}/announce", listener.local_addr()?);
    let mut swarms = Swarms::new();
    for stream in listener.incoming() {
        // If a connection fails, its peer will announce again.
        let _ = stream.and_then(|stream| answer(stream, &mut swarms));
    }
    Ok(())
}

/// Reads one request, notes who asks, and sends the addresses of all peers of the torrent.
fn answer(mut stream: TcpStream, swarms: &mut Swarms) -> std::io::Result<()> {
    let SocketAddr::V4(from) = stream.peer_addr()? else {
        return Ok(());
    };
    let mut lines = BufReader::new(&stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    println!("{request}");
    let pairs = request.split(['?', '&', ' ']);
    let keys: BTreeMap<&str, &str> = pairs.filter_map(|pair| pair.split_once('=')).collect();
    let key = |name| keys.get(name).copied().unwrap_or_default();
    let swarm = swarms.entry(key("info_hash").to_owned()).or_default();
    let port: u16 = key("port").parse().unwrap_or(0);
    let peer = [&from.ip().octets()[..], &port.to_be_bytes()].concat();
    if key("event") == "stopped" {
        swarm.remove(&peer);
    } else {
        swarm.insert(peer.clone());
    }
    let others: Vec<&[u8]> = swarm
        .iter()
        .filter(|other| **other != peer)
        .map(|other| &other[..])
        .collect();
    let peers = others.concat();
    let head = format!("d8:intervali1800e5:peers{}:", peers.len());
    let body = [head.as_bytes(), &peers, b"e"].concat();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}
