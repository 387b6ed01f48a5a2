//! Fetches one piece from a peer, checks its hash and prints it (BEP 3).
//!
//! It needs a seed in another terminal:
//!
//! ```text
//! $ cargo run -q -- seed --no-dht -p 6881 -d fixtures/content fixtures/letter.torrent
//! ```
//!
//! ```text
//! $ cargo run -q --example one_piece 127.0.0.1:6881 fixtures/letter.torrent 1
//! piece 1: its SHA-1 is right
//!  arrive whole: each piece has\na fingerprint, and the torrent file knows them all.…
//! ```
//!
//! All blocks of the piece are requested at once: one at a time, each block would cost a round
//! trip. `src/pipeline.rs` decides how many requests to send ahead.

use sha1::{Digest, Sha1};
use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use storrent::metainfo;
use storrent::parts::wire::{HANDSHAKE_LEN, Handshake, Message, decode, max_message_len};
use storrent::types::PeerId;

fn main() {
    if let Err(error) = run() {
        eprintln!("one_piece: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let [peer, path, number] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("name a peer, as HOST:PORT, a .torrent file and a piece's number".into());
    };
    let torrent = metainfo::parse(&std::fs::read(path).map_err(|e| format!("{path}: {e}"))?)?;
    let layout = &torrent.layout;
    let no_piece = "the torrent has no such piece";
    let piece = layout.piece(number.parse()?).ok_or(no_piece)?;
    let mut stream = TcpStream::connect(peer).map_err(|e| format!("no peer at {peer}: {e}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let ours = Handshake::new(torrent.info_hash, PeerId(*b"-SR0100-for-one-piec"));
    let mut out = ours.encode().to_vec();
    Message::Interested.encode(&mut out);
    stream.write_all(&out)?;
    let silent = |error| format!("no handshake came: {error}; has the peer this torrent?");
    stream.read_exact(&mut [0; HANDSHAKE_LEN]).map_err(silent)?;
    let mut bytes = vec![0; layout.piece_len(piece) as usize];
    let mut missing = layout.blocks_in(piece);
    let (mut buffer, mut part) = (Vec::new(), vec![0; 64 * 1024]);
    while missing > 0 {
        let count = stream.read(&mut part)?;
        buffer.extend_from_slice(&part[..count]);
        if count == 0 {
            return Err("the peer hung up".into());
        }
        while let Some((message, len)) = decode(&buffer, max_message_len(layout.pieces()))? {
            match message {
                Message::Unchoke => {
                    let mut out = Vec::new();
                    let blocks = layout.blocks_of_piece(piece);
                    blocks.for_each(|block| Message::Request(block.raw()).encode(&mut out));
                    stream.write_all(&out)?;
                }
                Message::Piece { index, begin, data } if index == piece.get() => {
                    let range = begin as usize..begin as usize + data.len();
                    let place = bytes.get_mut(range).ok_or("a block beyond the piece")?;
                    place.copy_from_slice(data);
                    missing = missing.saturating_sub(1);
                }
                _ => {}
            }
            buffer.drain(..len);
        }
    }
    let hash: [u8; 20] = Sha1::digest(&bytes).into();
    if hash != torrent.hash(piece) {
        return Err("the SHA-1 of the piece is wrong: the peer sent something else".into());
    }
    println!("piece {number}: its SHA-1 is right");
    println!("{}", String::from_utf8_lossy(&bytes).escape_debug());
    Ok(())
}
