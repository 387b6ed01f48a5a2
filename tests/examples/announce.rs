//! Asks a tracker which peers have a torrent (BEP 3 and 23).
//!
//! It needs a tracker and a seed, each in a terminal of its own:
//!
//! ```text
//! $ cargo run -q --example tracker
//! $ cargo run -q -- seed --no-dht -t http://127.0.0.1:6969/announce -d fixtures/content fixtures/letter.torrent
//! ```
//!
//! ```text
//! $ cargo run -q --example announce http://127.0.0.1:6969/announce fixtures/letter.torrent
//! > GET /announce?info_hash=… HTTP/1.1
//! < HTTP/1.1 200 OK
//! ask again after 1800 s
//! 127.0.0.1:6881
//! ```
//!
//! We give port 1, because nobody can connect to us. A real client gives the port at which it
//! listens, and says `event=stopped` when it leaves.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use storrent::metainfo;
use storrent::parts::announce::{AnnounceEvent, AnnounceReply, AnnounceRequest};
use storrent::types::PeerId;

fn main() {
    if let Err(error) = run() {
        eprintln!("announce: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let [url, path] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("name a tracker's URL and a .torrent file".into());
    };
    let torrent = metainfo::parse(&std::fs::read(path).map_err(|e| format!("{path}: {e}"))?)?;
    let request = AnnounceRequest {
        info_hash: torrent.info_hash,
        peer_id: PeerId::random(&mut fastrand::Rng::new()),
        port: 1,
        uploaded: 0,
        downloaded: 0,
        left: torrent.total_bytes(),
        event: AnnounceEvent::Started,
        key: 0,
        num_want: 50,
        tracker_id: None,
    };
    let url = request.http_url(url);
    let rest = url
        .strip_prefix("http://")
        .ok_or("this example speaks http:// only")?;
    let (host, target) = rest.split_once('/').ok_or("the URL has no path")?;
    let mut stream = TcpStream::connect(host).map_err(|e| format!("no tracker at {host}: {e}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let line = format!("GET /{target} HTTP/1.1");
    println!("> {line}");
    write!(
        stream,
        "{line}\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(1 << 20).read_to_end(&mut answer)?;
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let (head, body) = answer.split_at(head.ok_or("that is no answer of a web server")? + 4);
    println!(
        "< {}",
        String::from_utf8_lossy(head)
            .lines()
            .next()
            .unwrap_or_default()
    );
    let reply = AnnounceReply::from_http_body(body)?;
    println!("ask again after {} s", reply.interval.as_secs());
    reply.peers.iter().for_each(|peer| println!("{peer}"));
    Ok(())
}
