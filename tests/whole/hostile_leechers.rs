//! Strangers with bad manners or bad intentions dial a seed. It goes on serving honest leechers,
//! and never gives what it must not.

use crate::support::content::{Spec, Torrent};
use crate::support::peer::{dial, fetch};
use crate::support::program::{Running, Storrent};
use crate::support::wire::{BLOCK, Block, EXTENDED, Handshake, Message, PLAIN, Wire, nested};
use std::io;
use std::net::{SocketAddr, TcpStream};
use tempfile::TempDir;

/// What a stranger does after it dialled a seed.
type Caller = fn(SocketAddr, &Torrent) -> io::Result<()>;

/// Each checks that it had its say.
const CALLERS: &[(&str, Caller)] = &[
    ("another torrent", |seed, _| {
        let mut stranger = Wire::new(TcpStream::connect(seed)?, None)?;
        stranger.send_raw(&Handshake::new([9; 20], PLAIN).encode())?;
        stranger.until_closed().map(drop)
    }),
    ("noise", |seed, _| {
        let mut stranger = Wire::new(TcpStream::connect(seed)?, None)?;
        // Looks like an encrypted handshake, with nobody behind it.
        let noise: Vec<u8> = (0..2000u32)
            .map(|i| (i * 31 + i / 7) as u8 | 0x40)
            .collect();
        stranger.send_raw(&noise)?;
        // It hung up, or sent an answer that only an encrypted peer would understand.
        let _ = stranger.recv();
        Ok(())
    }),
    ("out of range", |seed, torrent| {
        let last = torrent.pieces() as u32 - 1;
        let short = torrent.piece(last as usize).len() as u32;
        for (index, begin, length) in [
            (last + 1, 0, BLOCK),
            (u32::MAX, 0, 1),
            (0, u32::MAX, 2),
            (0, 0, u32::MAX),
            (0, 0, 1 << 20),
            (0, 0, 0),
            (last, 0, short + 1),
        ] {
            let mut wire = dial(seed, torrent)?;
            wire.send(&Message::Interested)?;
            wire.recv_until(|m| *m == Message::Unchoke)?;
            wire.send(&Message::Request(Block::new(index, begin, length)))?;
            // Then a good request: either the seed hangs up, or it answers this one.
            wire.send(&Message::Request(Block::new(0, 0, 100)))?;
            match wire.recv_until(|m| matches!(m, Message::Piece(..))) {
                Ok(Message::Piece(0, 0, data)) if data.len() == 100 => {}
                Err(e) if crate::support::wire::is_end(&e) => {}
                other => return Err(io::Error::other(format!("{other:?}"))),
            }
        }
        Ok(())
    }),
    (
        "a flood of requests, and nothing is read",
        |seed, torrent| {
            let mut wire = dial(seed, torrent)?;
            wire.send(&Message::Interested)?;
            wire.recv_until(|m| *m == Message::Unchoke)?;
            // The seed may stop reading or hang up, but must not fill its memory. The write's time
            // limit or the hang-up ends this.
            let flood = Message::Request(Block::new(0, 0, BLOCK))
                .encode()
                .repeat(5_000);
            let _ = wire.send_raw(&flood);
            Ok(())
        },
    ),
    ("nested bencode", |seed, torrent| {
        let (mut wire, _) = Wire::dial(seed, Handshake::new(torrent.info_hash, EXTENDED))?;
        for kind in 0..=4 {
            if wire.send_raw(&nested(kind, 100_000)).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }),
    ("4 GiB", |seed, torrent| {
        let mut wire = dial(seed, torrent)?;
        wire.send_raw(&[0xff; 5])?;
        wire.until_closed().map(drop)
    }),
    ("half a handshake, and gone", |seed, torrent| {
        let mut wire = Wire::new(TcpStream::connect(seed)?, None)?;
        wire.send_raw(&Handshake::new(torrent.info_hash, PLAIN).encode()[..47])
    }),
];

fn seeding(temp: &TempDir, torrent: &Torrent) -> (Running, SocketAddr) {
    let dir = temp.path().join("full");
    torrent.write(&dir);
    let mut run = Storrent::seed(&dir).arg(torrent.save(temp.path())).start();
    let addr = run.address();
    run.event("checked");
    (run, addr)
}

#[test]
fn callers_at_a_seed() {
    let temp = tempfile::tempdir().unwrap();
    let torrent = Spec::single("x", 700_000).build();
    let (run, addr) = seeding(&temp, &torrent);
    for (what, call) in CALLERS {
        println!("{what}");
        call(addr, &torrent).unwrap_or_else(|e| panic!("{what}: {e}"));
        fetch(&mut dial(addr, &torrent).unwrap(), &torrent).unwrap();
    }
    assert!(!run.ended());
    run.kill(rustix::process::Signal::INT);
    run.wait().expect(130);
}

#[test]
fn silent_callers_do_not_fill_the_seed() {
    let temp = tempfile::tempdir().unwrap();
    let torrent = Spec::single("x", 100_000).build();
    let (_run, addr) = seeding(&temp, &torrent);
    let silent: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(addr).unwrap())
        .collect();
    // The oldest silent connection makes room at once.
    let mut wire = dial(addr, &torrent).unwrap();
    fetch(&mut wire, &torrent).unwrap();
    drop(silent);
}
