//! Shakes hands with a peer: 68 bytes in each direction (BEP 3).
//!
//! It needs a seed in another terminal:
//!
//! ```text
//! $ cargo run -q -- seed --no-dht -p 6881 -d fixtures/content fixtures/letter.torrent
//! ```
//!
//! ```text
//! $ cargo run -q --example handshake 127.0.0.1:6881 fixtures/letter.torrent
//! > \x13BitTorrent protocol\x00\x00\x00\x00\x00\x10\x00\x04\xff\\\x84\x18\n…-SR0100-one-handshak
//! < \x13BitTorrent protocol\x00\x00\x00\x00\x00\x10\x00\x04\xff\\\x84\x18\n…-SR0100-…
//! same torrent        true
//! peer id             -SR0100-…
//! fast extension      true
//! extension protocol  true
//! ```
//!
//! The answer names the same info hash: the peer has the torrent. A peer without it hangs up.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use storrent::metainfo;
use storrent::parts::wire::{HANDSHAKE_LEN, Handshake};
use storrent::types::PeerId;

fn main() {
    if let Err(error) = run() {
        eprintln!("handshake: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let [peer, path] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("name a peer, as HOST:PORT, and a .torrent file".into());
    };
    let torrent = metainfo::parse(&std::fs::read(path).map_err(|e| format!("{path}: {e}"))?)?;
    let mut stream = TcpStream::connect(peer).map_err(|e| format!("no peer at {peer}: {e}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let ours = Handshake::new(torrent.info_hash, PeerId(*b"-SR0100-one-handshak"));
    println!("> {}", ours.encode().escape_ascii());
    stream.write_all(&ours.encode())?;
    let mut bytes = [0; HANDSHAKE_LEN];
    let no_answer = |error| format!("no handshake came: {error}; has the peer this torrent?");
    stream.read_exact(&mut bytes).map_err(no_answer)?;
    println!("< {}", bytes.escape_ascii());
    let theirs = Handshake::decode(&bytes).ok_or("that is not BitTorrent")?;
    println!(
        "same torrent        {}",
        theirs.info_hash == torrent.info_hash
    );
    println!("peer id             {}", theirs.peer_id.0.escape_ascii());
    println!("fast extension      {}", theirs.fast());
    println!("extension protocol  {}", theirs.extended());
    Ok(())
}
