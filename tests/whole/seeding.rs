//! `storrent seed`, and `--seed`: what leechers get, and when it ends.

use crate::support::content::{Spec, Torrent};
use crate::support::peer::{Seed, dial, fetch};
use crate::support::program::{Running, Storrent};
use crate::support::wire::{BLOCK, Block, FAST, Handshake, Message, PLAIN, Wire, bitfield};
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use tempfile::TempDir;

/// A seed at work. Fields in the order they are to be dropped.
struct Scene {
    run: Running,
    addr: SocketAddr,
    torrent: Arc<Torrent>,
    _temp: TempDir,
}

impl Scene {
    fn new(spec: Spec, options: &[&str]) -> Self {
        let (temp, torrent) = (tempfile::tempdir().unwrap(), spec.build());
        let dir = temp.path().join("full");
        torrent.write(&dir);
        let command = Storrent::seed(&dir)
            .args(options)
            .arg(torrent.save(temp.path()));
        let mut run = command.start();
        let addr = run.address();
        run.event("checked");
        Self {
            run,
            addr,
            torrent,
            _temp: temp,
        }
    }

    fn dial(&self, reserved: [u8; 8]) -> Wire {
        Wire::dial(self.addr, Handshake::new(self.torrent.info_hash, reserved))
            .unwrap()
            .0
    }

    fn fetch(&self) {
        fetch(&mut dial(self.addr, &self.torrent).unwrap(), &self.torrent).unwrap();
    }
}

#[test]
fn a_leecher_gets_everything() {
    let files = [("a", 300_000), ("b", 0), ("c/d", 1_000_000), ("e", 5)];
    let shapes = [
        Spec::single("x", 2 << 20),
        Spec::single("x", 100_001).piece_length(10_000),
        Spec::multi("x", &files),
        Spec::multi("x", &files).aligned(),
    ];
    for spec in shapes {
        let scene = Scene::new(spec, &[]);
        scene.fetch();
        scene.fetch();
        scene.run.kill(Signal::INT);
        scene.run.wait().expect(130);
    }
}

/// It says what it has, by bitfield or `have all`.
#[test]
fn what_it_says_it_has() {
    let scene = Scene::new(Spec::single("x", 37 * 32_768 - 5), &[]);
    let all = bitfield(&[true; 37]);
    let mut plain = scene.dial(PLAIN);
    let first = plain.recv_until(|m| matches!(m, Message::Bitfield(_) | Message::Have(_)));
    assert_eq!(first.unwrap(), Message::Bitfield(all.clone()));
    let mut fast = scene.dial(FAST);
    let first = fast.recv_until(|m| {
        matches!(
            m,
            Message::Bitfield(_) | Message::HaveAll | Message::HaveNone | Message::Have(_)
        )
    });
    let first = first.unwrap();
    assert!(
        first == Message::HaveAll || first == Message::Bitfield(all),
        "{first:?}"
    );
}

/// Blocks of other sizes than 16 KiB are odd but allowed.
#[test]
fn blocks_of_any_size() {
    let scene = Scene::new(Spec::single("x", 1 << 20).piece_length(256 << 10), &[]);
    let mut wire = scene.dial(PLAIN);
    wire.send(&Message::Interested).unwrap();
    wire.recv_until(|m| *m == Message::Unchoke).unwrap();
    for (begin, length) in [
        (0, 1),
        (7, 16_384),
        (100, 32 << 10),
        (262_143, 1),
        (0, 128 << 10),
    ] {
        wire.send(&Message::Request(Block::new(2, begin, length)))
            .unwrap();
        let piece = wire
            .recv_until(|m| matches!(m, Message::Piece(..)))
            .unwrap();
        let data = scene.torrent.block(2, begin, length).unwrap().to_vec();
        assert!(piece == Message::Piece(2, begin, data), "{begin}+{length}");
    }
}

/// More leechers than it unchokes at once: all are served in the end.
#[test]
fn a_crowd_of_leechers() {
    let scene = Scene::new(Spec::single("x", 600_000), &[]);
    thread::scope(|scope| {
        let leechers: Vec<_> = (0..12).map(|_| scope.spawn(|| scene.fetch())).collect();
        leechers
            .into_iter()
            .for_each(|leecher| leecher.join().unwrap());
    });
}

/// A choked leecher gets nothing, whatever it requests; with the fast extension each request is
/// rejected (BEP 6).
#[test]
fn requests_while_choked() {
    let scene = Scene::new(Spec::single("x", 600_000), &[]);
    let asked = [
        Block::new(0, 0, BLOCK),
        Block::new(3, 0, BLOCK),
        Block::new(3, BLOCK, BLOCK),
    ];
    let mut wire = scene.dial(FAST);
    // Never interested, so never unchoked.
    for block in asked {
        wire.send(&Message::Request(block)).unwrap();
    }
    for block in asked {
        let answer = wire.recv_until(|m| matches!(m, Message::Piece(..) | Message::Reject(_)));
        assert_eq!(answer.unwrap(), Message::Reject(block));
    }
    let mut plain = scene.dial(PLAIN);
    plain.send(&Message::Request(asked[0])).unwrap();
    plain.send(&Message::Interested).unwrap();
    plain.recv_until(|m| *m == Message::Unchoke).unwrap();
    plain.send(&Message::Request(asked[1])).unwrap();
    let got = plain
        .recv_until(|m| matches!(m, Message::Piece(..)))
        .unwrap();
    assert!(
        matches!(got, Message::Piece(3, 0, _)),
        "the first was dropped: {got:?}"
    );
}

/// In mid-talk, aria2 sends what it got as a bitfield where that is shorter than many `have`s.
#[test]
fn a_bitfield_in_mid_talk() {
    for (reserved, first) in [
        (PLAIN, Message::Bitfield(vec![0; 5])),
        (FAST, Message::HaveNone),
    ] {
        let scene = Scene::new(Spec::single("x", 37 * 32_768), &[]);
        let mut wire = scene.dial(reserved);
        wire.send(&first).unwrap();
        wire.send(&Message::Interested).unwrap();
        wire.recv_until(|m| *m == Message::Unchoke).unwrap();
        let mut have = [false; 37];
        for index in [3, 9, 36] {
            let wanted = Block::new(index, 0, BLOCK);
            wire.send(&Message::Request(wanted)).unwrap();
            wire.recv_until(|m| matches!(m, Message::Piece(..)))
                .unwrap();
            have[index as usize] = true;
            wire.send(&Message::Bitfield(bitfield(&have))).unwrap();
        }
    }
}

/// A cancelled block is not sent, unless it was under way; the others come.
#[test]
fn cancel() {
    let scene = Scene::new(Spec::single("x", 600_000), &[]);
    let mut wire = scene.dial(FAST);
    wire.send(&Message::Interested).unwrap();
    wire.recv_until(|m| *m == Message::Unchoke).unwrap();
    let (first, second) = (Block::new(0, 0, BLOCK), Block::new(1, 0, BLOCK));
    wire.send(&Message::Request(first)).unwrap();
    wire.send(&Message::Cancel(first)).unwrap();
    wire.send(&Message::Request(second)).unwrap();
    let answers = [(); 2].map(|()| {
        wire.recv_until(|m| matches!(m, Message::Piece(..) | Message::Reject(_)))
            .unwrap()
    });
    let of = |block: Block, m: &Message| match m {
        Message::Piece(index, ..) => *index == block.index,
        Message::Reject(b) => *b == block,
        _ => false,
    };
    assert!(
        of(first, &answers[0]),
        "every request is answered once: {:?}",
        answers[0]
    );
    assert!(matches!(answers[1], Message::Piece(1, 0, _)));
}

#[test]
fn the_ratio_is_a_goal() {
    let scene = Scene::new(Spec::single("x", 300_000), &["--seed-ratio", "2"]);
    let Scene {
        mut run,
        addr,
        torrent,
        _temp,
    } = scene;
    let leech = || fetch(&mut dial(addr, &torrent).unwrap(), &torrent).unwrap();
    leech();
    // Half of the goal: it is still there.
    let progress = run.event_where("progress", |e| {
        e["uploaded_bytes"].as_u64() >= Some(300_000)
    });
    assert_eq!(progress["uploaded_bytes"], 300_000);
    leech();
    run.wait().expect(0);
}

#[test]
fn the_time_is_a_goal() {
    let scene = Scene::new(Spec::single("x", 300_000), &["--seed-time", "0.02"]);
    scene.run.wait().expect(0);
}

/// However soon it is stopped after it gave, its last report counts everything.
#[test]
fn the_last_words_count_everything() {
    for hangs_up in [true, false] {
        let scene = Scene::new(Spec::single("x", 5 << 20), &[]);
        let mut wire = dial(scene.addr, &scene.torrent).unwrap();
        fetch(&mut wire, &scene.torrent).unwrap();
        if hangs_up {
            drop(wire);
        }
        scene.run.kill(Signal::INT);
        let end = scene.run.wait().expect(130);
        let last = end.events.last().unwrap();
        assert_eq!(last["event"], "progress", "{last}");
        assert_eq!(last["uploaded_bytes"], 5 << 20);
        assert_eq!(
            (&last["peers"], &last["upload_rate"]),
            (&0.into(), &0.into())
        );
    }
}

#[test]
fn the_last_line_counts_everything() {
    let (temp, torrent) = (
        tempfile::tempdir().unwrap(),
        Spec::single("x", 5 << 20).build(),
    );
    let dir = temp.path().join("full");
    torrent.write(&dir);
    let port = crate::support::free_port();
    let options = ["seed", "--no-dht", "--no-lsd", "--bind", "127.0.0.1", "-p"];
    let seed = Storrent::new().args(options).arg(port.to_string());
    let run = seed
        .arg("-d")
        .arg(&dir)
        .arg(torrent.save(temp.path()))
        .start();
    let addr = ([127, 0, 0, 1], port).into();
    let mut wire = None;
    crate::support::until(|| {
        wire = dial(addr, &torrent).ok();
        wire.is_some()
    });
    fetch(&mut wire.expect("it listens"), &torrent).unwrap();
    run.kill(Signal::INT);
    let end = run.wait().expect(130);
    let last = end.stderr.lines().last();
    assert_eq!(last, Some("x: seeded; 5.00 MiB uploaded, ratio 1.00"));
}

/// A download with `--seed` stays, and gives what it has.
#[test]
fn seeding_after_a_download() {
    let (temp, torrent) = (
        tempfile::tempdir().unwrap(),
        Spec::single("x", 500_000).build(),
    );
    let seed = Seed::of(&torrent).start();
    let dir = temp.path().join("down");
    let command = Storrent::download(&dir)
        .arg("--seed")
        .arg(torrent.save(temp.path()));
    let mut run = command.peers(&[seed.addr]).start();
    let addr = run.address();
    run.event("complete");
    fetch(&mut dial(addr, &torrent).unwrap(), &torrent).unwrap();
    run.kill(Signal::TERM);
    run.wait().expect(143);
    torrent.assert_whole(&dir);
}

/// It gives while it still downloads: the second half arrives only after it gave the first.
#[test]
fn giving_while_downloading() {
    let (temp, torrent) = (
        tempfile::tempdir().unwrap(),
        Spec::single("x", 64 * 32_768).build(),
    );
    let gate = crate::support::Gate::new();
    let first = Seed::of(&torrent).having(|piece| piece < 32).start();
    let second = Seed::of(&torrent)
        .having(|piece| piece >= 32)
        .hold(&gate)
        .start();
    let dir = temp.path().join("down");
    let command = Storrent::download(&dir)
        .args(["--seed"])
        .arg(torrent.save(temp.path()));
    let mut run = command.peers(&[first.addr, second.addr]).start();
    let addr = run.address();
    run.event_where("progress", |e| {
        e["have_bytes"].as_u64() >= Some(32 * 32_768)
    });
    let mut wire = dial(addr, &torrent).unwrap();
    wire.send(&Message::Interested).unwrap();
    wire.recv_until(|m| *m == Message::Unchoke).unwrap();
    wire.send(&Message::Request(Block::new(5, 0, BLOCK)))
        .unwrap();
    let piece = wire
        .recv_until(|m| matches!(m, Message::Piece(..)))
        .unwrap();
    assert!(piece == Message::Piece(5, 0, torrent.block(5, 0, BLOCK).unwrap().to_vec()));
    gate.open();
    wire.recv_until(|m| matches!(m, Message::Have(index) if *index >= 32))
        .unwrap();
    run.event("complete");
    run.kill(Signal::INT);
    run.wait().expect(130);
}

/// Incomplete data is neither seeded nor touched.
#[test]
fn incomplete_data_is_refused() {
    let (temp, torrent) = (
        tempfile::tempdir().unwrap(),
        Spec::single("x", 500_000).build(),
    );
    let dir = temp.path().join("full");
    let file = torrent.save(temp.path());
    let seed = || Storrent::seed(&dir).arg(&file).run().expect(1);
    seed();
    torrent.write(&dir);
    let mut bytes = fs::read(dir.join("x")).unwrap();
    bytes[77] ^= 1;
    fs::write(dir.join("x"), &bytes).unwrap();
    seed();
    assert_eq!(fs::read(dir.join("x")).unwrap(), bytes);
    bytes.truncate(400_000);
    fs::write(dir.join("x"), &bytes).unwrap();
    seed();
    assert_eq!(
        crate::support::content::tree(&dir).len(),
        1,
        "nothing beside it"
    );
}

/// From one of us to another of us, over two hops.
#[test]
fn from_one_of_us_to_the_next() {
    let scene = Scene::new(Spec::multi("x", &[("a", 3 << 20), ("b", 70_000)]), &[]);
    let temp = tempfile::tempdir().unwrap();
    let file = scene.torrent.save(temp.path());
    let (one, two) = (temp.path().join("one"), temp.path().join("two"));
    let command = Storrent::download(&one).arg("--seed").arg(&file);
    let mut middle = command.peers(&[scene.addr]).start();
    let addr = middle.address();
    Storrent::download(&two)
        .arg(&file)
        .peers(&[addr])
        .run()
        .expect(0);
    scene.torrent.assert_whole(&two);
    // It may complete after the other, which also hears of the first seed.
    middle.event("complete");
    middle.kill(Signal::INT);
    middle.wait().expect(130);
    scene.torrent.assert_whole(&one);
}

/// Both ways to insist on encryption.
#[test]
fn encrypted_between_two_of_us() {
    for (seed, leech) in [
        ("require", "prefer"),
        ("prefer", "require"),
        ("require", "require"),
    ] {
        let scene = Scene::new(Spec::single("x", 1 << 20), &["--encryption", seed]);
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("down");
        let command = Storrent::download(&dir).args(["--encryption", leech]);
        let file = scene.torrent.save(temp.path());
        command.arg(file).peers(&[scene.addr]).run().expect(0);
        scene.torrent.assert_whole(&dir);
    }
    let scene = Scene::new(Spec::single("x", 1 << 20), &["--encryption", "require"]);
    let plain = Wire::dial(scene.addr, Handshake::new(scene.torrent.info_hash, PLAIN));
    assert!(
        plain.is_err(),
        "whoever requires encryption takes no plain handshake"
    );
}

/// With encryption off, it talks in plain only.
#[test]
fn encryption_switched_off() {
    let scene = Scene::new(Spec::single("x", 1 << 20), &["--encryption", "off"]);
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("down");
    let file = scene.torrent.save(temp.path());
    let command = Storrent::download(&dir).args(["--encryption", "require"]);
    let command = command.args(["--stall-timeout", "1"]).arg(file);
    command.peers(&[scene.addr]).run().expect(3);
}
