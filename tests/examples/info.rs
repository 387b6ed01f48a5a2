//! Prints what a torrent says (BEP 3): its name in the swarm, its pieces, its files.
//!
//! ```text
//! $ cargo run -q --example info fixtures/letter.torrent
//! info hash  ff5c84180a9641b62212d463683f512a2eb2fc77
//! tracker    http://tracker.example/announce
//! file       238 bytes, letter.txt
//! piece    0  128 bytes, SHA-1 7744308b8da0993a60dcc114936d8a742616c73f
//! piece    1  110 bytes, SHA-1 95a039d94b0ec74ab4e1ac7d936181a03acf057a
//! ```
//!
//! The info hash is the SHA-1 of the bytes of `info`, and a piece's hash is the SHA-1 of its bytes.
//! So the 20 bytes of the info hash are enough to check everything that strangers send.

use std::error::Error;
use storrent::metainfo;

fn main() {
    if let Err(error) = run() {
        eprintln!("info: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("name a .torrent file")?;
    let bytes = std::fs::read(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let torrent = metainfo::parse(&bytes)?;
    let layout = &torrent.layout;
    println!("info hash  {}", torrent.info_hash);
    for url in torrent.trackers.iter().flatten() {
        println!("tracker    {}", url.escape_debug());
    }
    for (entry, file) in torrent.files.iter().zip(0..) {
        let path = entry.path.join("/");
        println!(
            "file       {} bytes, {}",
            layout.file_len(file),
            path.escape_debug()
        );
    }
    for piece in layout.all_pieces() {
        let hash = torrent
            .hash(piece)
            .map(|byte| format!("{byte:02x}"))
            .concat();
        println!(
            "piece {:4}  {} bytes, SHA-1 {hash}",
            piece.get(),
            layout.piece_len(piece)
        );
    }
    Ok(())
}
