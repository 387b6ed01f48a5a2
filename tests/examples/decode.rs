//! Prints a file of bencode, the notation of torrents and trackers' answers (BEP 3), as a tree.
//!
//! ```text
//! $ cargo run -q --example decode fixtures/letter.torrent
//! dictionary
//!   announce: "http://tracker.example/announce"
//!   comment: "made for the tests"
//!   creation date: 1700000000
//!   info: dictionary
//!     length: 238
//!     name: "letter.txt"
//!     piece length: 128
//!     pieces: 40 bytes, 77 44 30 8b 8d a0 99 3a …
//! ```
//!
//! [`scan`] checks the whole notation first, so the walk below cannot fail. It also bounds the
//! depth: a file of a million `l`s would exhaust the stack of a program that recurses.

use std::error::Error;
use storrent::parts::bencode::{FILE_DEPTH, Raw, scan};

fn main() {
    if let Err(error) = run() {
        eprintln!("decode: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("name a file of bencode")?;
    let bytes = std::fs::read(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
    show("", scan(&bytes, FILE_DEPTH)?, 0);
    Ok(())
}

/// Prints `value` after `label`, and its parts below, further to the right.
fn show(label: &str, value: Raw, depth: usize) {
    let line = |text: &str| println!("{}{label}{text}", "  ".repeat(depth));
    if let Some(number) = value.number() {
        line(&number.to_string());
    } else if let Some(text) = value.text() {
        line(&format!("{text:?}"));
    } else if let Some(bytes) = value.string() {
        let hex: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
        line(&format!("{} bytes, {} …", bytes.len(), hex.join(" ")));
    } else if let Some(values) = value.list() {
        line("list");
        values.for_each(|value| show("- ", value, depth + 1));
    } else if let Some(entries) = value.dict() {
        line("dictionary");
        for (key, value) in entries {
            show(&format!("{}: ", key.escape_ascii()), value, depth + 1);
        }
    }
}
