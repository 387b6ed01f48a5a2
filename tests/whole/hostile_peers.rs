//! Peers that lie, break the protocol, or sit on their data. None may crash the program, make it
//! allocate what they claim, spoil a file, or prevent an honest peer from completing the download.

use crate::support::Gate;
use crate::support::bencode::{Value, dict};
use crate::support::content::{Spec, Torrent};
use crate::support::peer::{FakePeer, Seed};
use crate::support::program::{Outcome, Storrent};
use crate::support::wire::{
    BLOCK, Block, EXTENDED, FAST, Handshake, Message, Note, PLAIN, Wire, bitfield, is_end, nested,
    raw,
};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tempfile::TempDir;

/// What a hostile peer does after we dialled it. The honest peer waits at the `Gate`, which opens
/// at the latest at the script's end.
type Script = fn(&mut Wire, &Arc<Torrent>, &Gate) -> io::Result<()>;

/// Says hello and has everything.
fn hello(wire: &mut Wire, torrent: &Torrent, reserved: [u8; 8]) -> io::Result<()> {
    wire.answer(Handshake::new(torrent.info_hash, reserved))?;
    let all = vec![true; torrent.pieces()];
    wire.send(&Message::Bitfield(bitfield(&all)))
}

/// Says hello, unchokes, and waits for the first request.
fn first_request(wire: &mut Wire, torrent: &Torrent, reserved: [u8; 8]) -> io::Result<Block> {
    hello(wire, torrent, reserved)?;
    wire.recv_until(|m| *m == Message::Interested)?;
    wire.send(&Message::Unchoke)?;
    match wire.recv_until(|m| matches!(m, Message::Request(_)))? {
        Message::Request(block) => Ok(block),
        _ => unreachable!(),
    }
}

/// Says hello, sends these bytes, and expects the other side to hang up.
fn dropped_for(wire: &mut Wire, torrent: &Torrent, bytes: &[u8]) -> io::Result<()> {
    hello(wire, torrent, EXTENDED)?;
    wire.send_raw(bytes)?;
    wire.until_closed().map(drop)
}

/// Says hello, sends these bytes, which a patient client may bear, and then nothing.
fn endured(wire: &mut Wire, torrent: &Torrent, bytes: &[u8], gate: &Gate) -> io::Result<()> {
    hello(wire, torrent, EXTENDED)?;
    wire.send_raw(bytes)?;
    gate.open();
    wire.until_closed().map(drop)
}

fn request(block: Block) -> Vec<u8> {
    Message::Request(block).encode()
}

/// The scripts. Each checks that it had its say: where it waits for the other side to hang up, it
/// must see that.
const SCRIPTS: &[(&str, Script)] = &[
    ("wrong info hash", |wire, _, _| {
        wire.answer(Handshake::new([7; 20], PLAIN))?;
        wire.until_closed().map(drop)
    }),
    ("wrong protocol string", |wire, torrent, _| {
        wire.read_handshake()?;
        let mut bytes = Handshake::new(torrent.info_hash, PLAIN).encode();
        bytes[1] = b'b';
        wire.send_raw(&bytes)?;
        wire.until_closed().map(drop)
    }),
    ("a web server", |wire, _, _| {
        wire.read_handshake()?;
        wire.send_raw("HTTP/1.1 400 Bad Request\r\n\r\n".repeat(10).as_bytes())?;
        wire.until_closed().map(drop)
    }),
    ("half a handshake", |wire, torrent, _| {
        wire.read_handshake()?;
        wire.send_raw(&Handshake::new(torrent.info_hash, PLAIN).encode()[..40])
    }),
    ("our own peer id", |wire, torrent, _| {
        let theirs = wire.read_handshake()?;
        let hello = Handshake {
            peer_id: theirs.peer_id,
            ..Handshake::new(torrent.info_hash, PLAIN)
        };
        wire.send_raw(&hello.encode())?;
        wire.until_closed().map(drop)
    }),
    ("never answers the handshake", |wire, _, gate| {
        wire.read_handshake()?;
        gate.open();
        wire.until_closed().map(drop)
    }),
    ("4 GiB length prefix", |wire, torrent, _| {
        dropped_for(wire, torrent, &[0xff; 4])
    }),
    ("2 GiB length prefix", |wire, torrent, _| {
        dropped_for(wire, torrent, &[0x7f, 0xff, 0xff, 0xff, 7])
    }),
    ("a message of 64 MiB", |wire, torrent, _| {
        dropped_for(wire, torrent, &[4, 0, 0, 0, 20, 1, b'd'])
    }),
    ("bitfield too short", |wire, torrent, _| {
        wire.answer(Handshake::new(torrent.info_hash, PLAIN))?;
        wire.send(&Message::Bitfield(vec![0xff; torrent.pieces() / 8]))?;
        wire.until_closed().map(drop)
    }),
    ("bitfield too long", |wire, torrent, _| {
        wire.answer(Handshake::new(torrent.info_hash, PLAIN))?;
        wire.send(&Message::Bitfield(vec![0; torrent.pieces() / 8 + 2]))?;
        wire.until_closed().map(drop)
    }),
    ("spare bits set", |wire, torrent, _| {
        wire.answer(Handshake::new(torrent.info_hash, PLAIN))?;
        wire.send(&Message::Bitfield(vec![0xff; torrent.pieces() / 8 + 1]))?;
        wire.until_closed().map(drop)
    }),
    ("have out of range", |wire, torrent, _| {
        dropped_for(
            wire,
            torrent,
            &Message::Have(torrent.pieces() as u32).encode(),
        )
    }),
    ("have of the largest number", |wire, torrent, _| {
        dropped_for(wire, torrent, &Message::Have(u32::MAX).encode())
    }),
    ("have of 3 bytes", |wire, torrent, _| {
        dropped_for(wire, torrent, &raw(4, &[0; 3]))
    }),
    ("have of 5 bytes", |wire, torrent, _| {
        dropped_for(wire, torrent, &raw(4, &[0; 5]))
    }),
    ("choke with a body", |wire, torrent, _| {
        dropped_for(wire, torrent, &raw(0, &[0; 9]))
    }),
    ("request of 11 bytes", |wire, torrent, _| {
        dropped_for(wire, torrent, &raw(6, &[0; 11]))
    }),
    ("piece of 7 bytes", |wire, torrent, _| {
        dropped_for(wire, torrent, &raw(7, &[0; 7]))
    }),
    ("unknown messages", |wire, torrent, gate| {
        let bytes: Vec<u8> = (21..=255).flat_map(|id| raw(id, &[id; 100])).collect();
        endured(wire, torrent, &bytes, gate)
    }),
    ("ten thousand keep-alives", |wire, torrent, gate| {
        endured(wire, torrent, &[0; 40_000], gate)
    }),
    ("blocks that nobody asked for", |wire, torrent, gate| {
        let data = vec![1; BLOCK as usize];
        let pieces = (0..torrent.pieces() as u32).map(|i| Message::Piece(i, 0, data.clone()));
        let bytes: Vec<u8> = pieces.flat_map(|m| m.encode()).collect();
        // It may hang up before it has read everything.
        let end = endured(wire, torrent, &bytes, gate);
        end.or_else(|e| {
            if crate::support::wire::is_end(&e) {
                Ok(())
            } else {
                Err(e)
            }
        })
    }),
    ("a block where there is none", |wire, torrent, gate| {
        let bytes = Message::Piece(u32::MAX, u32::MAX, vec![1; 100]).encode();
        endured(wire, torrent, &bytes, gate)
    }),
    ("requests out of range", |wire, torrent, gate| {
        let blocks = [
            (torrent.pieces() as u32, 0, BLOCK),
            (u32::MAX, 0, 1),
            (0, u32::MAX, 1),
            (0, u32::MAX, u32::MAX),
            (0, 0, u32::MAX),
            (0, 0, 0),
            (0, torrent.piece_length as u32, 1),
        ];
        let blocks = blocks.map(|(i, b, l)| request(Block::new(i, b, l)));
        endured(wire, torrent, &blocks.concat(), gate)
    }),
    ("a flood of requests", |wire, torrent, gate| {
        let bytes = request(Block::new(0, 0, BLOCK)).repeat(100_000);
        let end = endured(wire, torrent, &bytes, gate);
        end.or_else(|e| {
            if crate::support::wire::is_end(&e) {
                Ok(())
            } else {
                Err(e)
            }
        })
    }),
    ("a flood of haves", |wire, torrent, gate| {
        endured(
            wire,
            torrent,
            &Message::Have(1).encode().repeat(100_000),
            gate,
        )
    }),
    ("bitfield twice", |wire, torrent, gate| {
        let again = Message::Bitfield(bitfield(&vec![true; torrent.pieces()]));
        endured(wire, torrent, &again.encode(), gate)
    }),
    ("nested extended handshake", |wire, torrent, gate| {
        endured(wire, torrent, &nested(0, 20_000), gate)
    }),
    ("deeply nested extended handshake", |wire, torrent, gate| {
        endured(wire, torrent, &nested(0, 100_000), gate)
    }),
    (
        "garbage in every extended message",
        |wire, torrent, gate| {
            let bodies: [&[u8]; 9] = [
                b"",
                b"d",
                b"de",
                b"i-5e",
                b"d1:mi5ee",
                b"d1:md11:ut_metadatai999eee",
                b"d1:ml4:textee",
                b"d13:metadata_sizei-1ee",
                b"d1:md11:ut_metadata1:xee",
            ];
            let all = (0..=20).flat_map(|kind| {
                bodies
                    .iter()
                    .flat_map(move |body| Message::Extended(kind, body.to_vec()).encode())
            });
            endured(wire, torrent, &all.collect::<Vec<u8>>(), gate)
        },
    ),
    ("an extended message with no kind", |wire, torrent, gate| {
        endured(wire, torrent, &raw(20, &[]), gate)
    }),
    ("peers by PEX that are none", |wire, torrent, gate| {
        let hello = dict([("m", dict([("ut_pex", Value::Int(1))]))]).encode();
        let wrong = dict([
            ("added", [127, 0, 0, 1, 0, 0, 255, 255].as_slice().into()),
            ("added.f", [9u8; 300].as_slice().into()),
            ("added6", [0u8; 17].as_slice().into()),
            ("dropped", Value::Int(7)),
        ]);
        let pex: Vec<u8> = (1..=8)
            .flat_map(|kind| Message::Extended(kind, wrong.encode()).encode())
            .collect();
        let bytes = [Message::Extended(0, hello).encode(), pex].concat();
        endured(wire, torrent, &bytes, gate)
    }),
    ("chokes for ever", |wire, torrent, gate| {
        hello(wire, torrent, PLAIN)?;
        wire.recv_until(|m| *m == Message::Interested)?;
        gate.open();
        wire.until_closed().map(drop)
    }),
    ("unchokes and never answers", |wire, torrent, gate| {
        first_request(wire, torrent, PLAIN)?;
        gate.open();
        wire.until_closed().map(drop)
    }),
    ("rejects every request", |wire, torrent, gate| {
        let mut block = first_request(wire, torrent, FAST)?;
        gate.open();
        loop {
            match wire.send(&Message::Reject(block)) {
                Err(error) if is_end(&error) => return Ok(()),
                sent => sent?,
            }
            match wire.recv_until(|m| matches!(m, Message::Request(_))) {
                Ok(Message::Request(next)) => block = next,
                _ => return Ok(()),
            }
        }
    }),
    ("rejects what was not asked for", |wire, torrent, gate| {
        first_request(wire, torrent, FAST)?;
        for index in 0..torrent.pieces() as u32 + 2 {
            wire.send(&Message::Reject(Block::new(index, 12_345, 99)))?;
        }
        gate.open();
        wire.until_closed().map(drop)
    }),
    ("chokes and unchokes without end", |wire, torrent, gate| {
        hello(wire, torrent, PLAIN)?;
        // It is hung up on long before it has sent everything.
        let flips = [0, 0, 0, 1, 1, 0, 0, 0, 1, 0];
        let end = (0..20_000).try_for_each(|_| wire.send_raw(&flips));
        gate.open();
        match end {
            Err(error) if !is_end(&error) => Err(error),
            _ => Ok(()),
        }
    }),
    (
        "one byte at a time, and never a whole block",
        |wire, torrent, gate| {
            let block = first_request(wire, torrent, PLAIN)?;
            let data = torrent
                .block(block.index, block.begin, block.length)
                .unwrap();
            let message = Message::Piece(block.index, block.begin, data.into()).encode();
            gate.open();
            // Sends each byte when a message came or a moment has passed, and so lasts as long as
            // the download.
            for byte in &message[..message.len() - 1] {
                if wire.send_raw(&[*byte]).is_err() {
                    break;
                }
                wire.pause();
            }
            Ok(())
        },
    ),
    ("hangs up in mid-message", |wire, torrent, _| {
        let block = first_request(wire, torrent, PLAIN)?;
        wire.send_raw(&[0, 0, 64, 9, 7])?;
        wire.send_raw(&block.index.to_be_bytes()[..3])
    }),
    ("blocks that are too long", |wire, torrent, gate| {
        let block = first_request(wire, torrent, PLAIN)?;
        let data = vec![9; 100_000];
        wire.send(&Message::Piece(block.index, block.begin, data))?;
        gate.open();
        wire.until_closed().map(drop)
    }),
    ("blocks that are too short", |wire, torrent, gate| {
        let block = first_request(wire, torrent, PLAIN)?;
        let short = |len| Message::Piece(block.index, block.begin, vec![9; len]).encode();
        let all = [0, 1, block.length as usize - 1].map(short).concat();
        gate.open();
        wire.send_raw(&all)?;
        wire.until_closed().map(drop)
    }),
];

struct Scene {
    temp: TempDir,
    torrent: Arc<Torrent>,
}

impl Scene {
    /// 37 pieces: the bitfield has spare bits.
    fn new() -> Self {
        let spec = Spec::multi("x", &[("a", 500_000), ("b", 37 * 32_768 - 500_000 - 11)]);
        Self {
            temp: tempfile::tempdir().unwrap(),
            torrent: spec.build(),
        }
    }

    /// Without MSE: otherwise a peer that hangs up would be dialled again with MSE, which no script
    /// plays.
    fn download_plainly(&self, peers: &[SocketAddr]) -> Outcome {
        self.download_with(&["--encryption", "off"], peers)
    }

    fn download(&self, peers: &[SocketAddr]) -> Outcome {
        self.download_with(&[], peers)
    }

    fn download_with(&self, options: &[&str], peers: &[SocketAddr]) -> Outcome {
        let dir = self.temp.path().join("down");
        let file = self.torrent.save(self.temp.path());
        let command = Storrent::download(&dir).args(options).arg(file);
        let end = command.peers(peers).run().expect(0);
        self.torrent.assert_whole(&dir);
        end
    }
}

/// One run for each script: the hostile peer has its say, then the honest one lets the download
/// complete.
#[test]
fn none_of_them_matters() {
    for (what, script) in SCRIPTS {
        println!("{what}");
        let scene = Scene::new();
        let (torrent, gate) = (scene.torrent.clone(), Gate::new());
        let open = gate.clone();
        let hostile = FakePeer::start(move |wire| {
            let end = script(wire, &torrent, &open);
            open.open();
            end
        });
        let honest = Seed::of(&scene.torrent).hold(&gate).start();
        scene.download_plainly(&[hostile.addr, honest.addr]);
        let played = hostile.wait(|note| match note {
            Note::Ended(end) => Some(end),
            _ => None,
        });
        assert_eq!(played, Ok(()), "{what}");
    }
}

#[test]
fn all_of_them_at_once() {
    let scene = Scene::new();
    let mut peers = Vec::new();
    for (_, script) in SCRIPTS {
        let torrent = scene.torrent.clone();
        peers.push(FakePeer::start(move |wire| {
            script(wire, &torrent, &Gate::new())
        }));
    }
    let honest = Seed::of(&scene.torrent).start();
    let addresses: Vec<_> = peers
        .iter()
        .chain([&honest])
        .map(|peer| peer.addr)
        .collect();
    scene.download(&addresses);
}

/// A peer with false data is banned and gets no second try. The files are right in any case.
#[test]
fn corrupt_blocks() {
    let tampers: [fn(Block, &mut Vec<u8>); 3] = [
        |_, data| data[0] ^= 1,
        |block, data| data[7] ^= u8::from(block.index % 3 == 0),
        |block, data| {
            if block.begin > 0 {
                data.fill(0);
            }
        },
    ];
    for tamper in tampers {
        let scene = Scene::new();
        let gate = Gate::new();
        let (seed, open, torrent) = (
            Seed::of(&scene.torrent).tamper(tamper),
            gate.clone(),
            scene.torrent.clone(),
        );
        let liar = FakePeer::start(move |wire| {
            wire.answer(Handshake::new(torrent.info_hash, PLAIN))?;
            // It alone gives, until it is found out.
            let end = seed.serve(wire);
            open.open();
            end
        });
        let honest = Seed::of(&scene.torrent).hold(&gate).start();
        scene.download(&[liar.addr, honest.addr]);
        let hellos = liar
            .notes()
            .into_iter()
            .filter(|note| matches!(note, Note::Hello(_)));
        assert_eq!(hellos.count(), 1, "banned, and yet it was dialled again");
    }
}

/// Its blocks give away a liar among several givers of the same pieces.
#[test]
fn a_liar_among_honest_peers() {
    let temp = tempfile::tempdir().unwrap();
    let torrent = Spec::single("x", 8 << 20).piece_length(1 << 20).build();
    let liar = Seed::of(&torrent).tamper(|_, data| data[9] ^= 0x80).start();
    let honest: Vec<_> = (0..3).map(|_| Seed::of(&torrent).start()).collect();
    let peers: Vec<_> = honest.iter().chain([&liar]).map(|peer| peer.addr).collect();
    let dir = temp.path().join("down");
    let file = torrent.save(temp.path());
    Storrent::download(&dir)
        .arg(file)
        .peers(&peers)
        .run()
        .expect(0);
    torrent.assert_whole(&dir);
}

/// With nothing but lies it never completes, and the lies do not count as progress.
#[test]
fn only_liars() {
    let scene = Scene::new();
    let liar = Seed::of(&scene.torrent)
        .tamper(|_, data| data[0] ^= 1)
        .start();
    let dir = scene.temp.path().join("down");
    let file = scene.torrent.save(scene.temp.path());
    let command = Storrent::download(&dir)
        .args(["--stall-timeout", "2"])
        .arg(file);
    let end = command.peers(&[liar.addr]).run().expect(3);
    assert!(end.all("complete").is_empty());
}

/// We are among the peers ourselves, as trackers often say.
#[test]
fn ourselves() {
    let scene = Scene::new();
    let honest = Seed::of(&scene.torrent).start();
    let port = crate::support::free_port();
    let dir = scene.temp.path().join("down");
    let line = [
        "--json",
        "--no-dht",
        "--no-lsd",
        "--bind",
        "127.0.0.1",
        "-p",
        &port.to_string(),
    ];
    let command = Storrent::new().args(line).arg("-d").arg(&dir);
    let us = SocketAddr::from(([127, 0, 0, 1], port));
    let file = scene.torrent.save(scene.temp.path());
    command.arg(file).peers(&[us, honest.addr]).run().expect(0);
    scene.torrent.assert_whole(&dir);
}
