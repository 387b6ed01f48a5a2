//! Fetches one block from a peer and prints every message of the conversation (BEP 3).
//!
//! It needs a seed in another terminal:
//!
//! ```text
//! $ cargo run -q -- seed --no-dht -p 6881 -d fixtures/content fixtures/letter.torrent
//! ```
//!
//! ```text
//! $ cargo run -q --example one_block 127.0.0.1:6881 fixtures/letter.torrent
//! > handshake of 68 bytes
//! < handshake of 68 bytes
//! > Interested: [00, 00, 00, 01, 02]
//! < HaveAll
//! < Extended 0: d1:md11:ut_metadatai1e…
//! < Unchoke
//! > Request(RawBlock { index: 0, begin: 0, length: 128 }): [00, 00, 00, 0d, 06, 00, 00, 00, 00, 00, 00, 00, 00, 00, 00, 00, 80]
//! < Piece: 128 bytes: Dear reader,\n\nthis letter is split…
//! ```
//!
//! A read from the socket may end within a message. So bytes stay in a buffer until [`decode`]
//! finds a whole message at its start.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use storrent::metainfo;
use storrent::parts::wire::{HANDSHAKE_LEN, Handshake, Message, decode, max_message_len};
use storrent::types::PeerId;

fn main() {
    if let Err(error) = run() {
        eprintln!("one_block: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let [peer, path] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("name a peer, as HOST:PORT, and a .torrent file".into());
    };
    let torrent = metainfo::parse(&std::fs::read(path).map_err(|e| format!("{path}: {e}"))?)?;
    let first = torrent.layout.piece(0).ok_or("the torrent has no pieces")?;
    let block = torrent.layout.block(first, 0);
    let block = block.ok_or("the first block is padding")?.raw();
    let mut stream = TcpStream::connect(peer).map_err(|e| format!("no peer at {peer}: {e}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let ours = Handshake::new(torrent.info_hash, PeerId(*b"-SR0100-for-one-bloc"));
    stream.write_all(&ours.encode())?;
    println!("> handshake of {HANDSHAKE_LEN} bytes");
    let silent = |error| format!("no handshake came: {error}; has the peer this torrent?");
    stream.read_exact(&mut [0; HANDSHAKE_LEN]).map_err(silent)?;
    println!("< handshake of {HANDSHAKE_LEN} bytes");
    send(&mut stream, Message::Interested)?;
    let max_len = max_message_len(torrent.layout.pieces());
    let (mut buffer, mut part) = (Vec::new(), [0; 4096]);
    loop {
        while let Some((message, len)) = decode(&buffer, max_len)? {
            match message {
                Message::Piece { data, .. } => {
                    println!("< Piece: {} bytes: {}", data.len(), data.escape_ascii());
                    return Ok(());
                }
                Message::Unchoke => {
                    println!("< {message:?}");
                    send(&mut stream, Message::Request(block))?;
                }
                Message::Extended { id, payload } => {
                    println!("< Extended {id}: {}", payload.escape_ascii())
                }
                message => println!("< {message:?}"),
            }
            buffer.drain(..len);
        }
        match stream.read(&mut part)? {
            0 => return Err("the peer hung up".into()),
            count => buffer.extend_from_slice(&part[..count]),
        }
    }
}

fn send(stream: &mut TcpStream, message: Message) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    println!("> {message:?}: {bytes:02x?}");
    stream.write_all(&bytes)
}
