//! The peer thread over loopback: a fake peer plays a script, a fake main answers.

mod scripted;

use super::*;
use crate::config::Encryption;
use crate::door::{Door, Target};
use crate::layout::{BLOCK_LEN, RawBlock, Span};
use crate::storage::testing;
use crate::wire::HANDSHAKE_LEN;
use crate::wire::Message;
use crossbeam_channel::{Sender, unbounded};
use scripted::*;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::net::{Shutdown, TcpListener};
use std::thread::{self, JoinHandle};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

const US: PeerId = PeerId([1; 20]);
const THEM: PeerId = PeerId([2; 20]);
const TORRENT: InfoHash = InfoHash([7; 20]);

#[test]
fn sessions() {
    let torrent = testing::Torrent::new(
        2 * u64::from(BLOCK_LEN),
        &[(4 * u64::from(BLOCK_LEN), false)],
    );
    let piece = |number| block(&torrent, number);
    let seed = || Send([handshake(TORRENT, THEM), bytes(Message::Bitfield(&[0xc0]))].concat());
    let unchoke = || Send(bytes(Message::Unchoke));
    /// Name, script, the blocks of piece 0 that are stored, given back, and the end.
    type Case<'a> = (&'a str, Vec<Step>, &'a [u32], &'a [u32], &'a str);
    let cases: Vec<Case> = vec![
        (
            "blocks arrive",
            vec![
                seed(),
                unchoke(),
                Expect(is_request),
                Expect(is_request),
                Send(piece(0)),
                Send(piece(1)),
                Pause,
            ],
            &[0, 1],
            &[],
            "hung up",
        ),
        (
            "a time-out in mid-message",
            vec![
                seed(),
                Send(bytes(Message::Unchoke)[..3].to_vec()),
                Pause,
                Send(bytes(Message::Unchoke)[3..].to_vec()),
                Expect(is_request),
                Send(piece(0)[..5000].to_vec()),
                Pause,
                Send(piece(0)[5000..].to_vec()),
            ],
            &[0],
            &[],
            "hung up",
        ),
        (
            "a handshake in two parts",
            vec![
                Send(handshake(TORRENT, THEM)[..30].to_vec()),
                Pause,
                Send(handshake(TORRENT, THEM)[30..].to_vec()),
            ],
            &[],
            &[],
            "hung up",
        ),
        (
            "a keep-alive",
            vec![seed(), Send(vec![0; 4]), Pause],
            &[],
            &[],
            "hung up",
        ),
        (
            "a hang-up in mid-block: what came is kept",
            vec![
                seed(),
                unchoke(),
                Expect(is_request),
                Expect(is_request),
                Send(piece(1)),
                Send(piece(0)[..9000].to_vec()),
            ],
            &[1],
            &[],
            "hung up",
        ),
        (
            "a choke gives back what did not come",
            vec![
                seed(),
                unchoke(),
                Expect(is_request),
                Expect(is_request),
                Send([piece(0), bytes(Message::Choke)].concat()),
                Pause,
            ],
            &[0],
            &[1],
            "hung up",
        ),
        (
            "a prefix of 4 GiB",
            vec![seed(), Send(vec![255; 4]), Stay],
            &[],
            &[],
            "broke the wire protocol",
        ),
        (
            "a have of three bytes",
            vec![seed(), Send(vec![0, 0, 0, 4, 4, 0, 0, 0]), Stay],
            &[],
            &[],
            "broke the wire protocol",
        ),
        (
            "no such piece",
            vec![seed(), Send(bytes(Message::Have(2))), Stay],
            &[],
            &[],
            "does not exist",
        ),
        (
            "a block that nobody asked for",
            vec![seed(), Send(piece(0)), Stay],
            &[],
            &[],
            "was not asked for",
        ),
        (
            "a request outside of the piece",
            vec![
                seed(),
                Send(bytes(Message::Request(RawBlock {
                    index: 1,
                    begin: BLOCK_LEN,
                    length: BLOCK_LEN + 1,
                }))),
                Stay,
            ],
            &[],
            &[],
            "asked for",
        ),
        (
            "another torrent",
            vec![Send(handshake(InfoHash([8; 20]), THEM)), Stay],
            &[],
            &[],
            "does not serve this torrent",
        ),
        (
            "no BitTorrent",
            vec![Send(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), Stay],
            &[],
            &[],
            "no BitTorrent peer",
        ),
    ];
    for (name, script, stored, released, ending) in cases {
        let dir = tempfile::tempdir().unwrap();
        let storage = torrent.wanting_all(dir.path());
        let shared = shared(&torrent, &storage, US);
        let Dialled {
            events,
            orders,
            stream,
        } = dialled();
        let peer = fake_peer(stream, script);
        let work = torrent.layout.span(torrent.piece(0), 0..2).unwrap();
        let (told, why) = fake_main(&events, orders, shared, vec![work]);
        peer.join()
            .unwrap_or_else(|_| panic!("{name}: the script failed; {why}; {told:?}"));
        assert!(why.contains(ending), "{name}: ended with \"{why}\"");
        let numbers = |wanted: fn(&PeerEvent) -> Option<&Vec<Span>>| -> Vec<u32> {
            let spans = told.iter().filter_map(wanted).flatten();
            let mut numbers: Vec<u32> = spans.flat_map(|span| span.numbers()).collect();
            numbers.sort_unstable();
            numbers
        };
        let stored_numbers = numbers(|event| match event {
            PeerEvent::Stored(spans) => Some(spans),
            _ => None,
        });
        let released_numbers = numbers(|event| match event {
            PeerEvent::Released(spans, _) => Some(spans),
            _ => None,
        });
        assert_eq!(
            (&stored_numbers[..], &released_numbers[..]),
            (stored, released),
            "{name}"
        );
        for number in stored {
            let mut on_disk = vec![0; BLOCK_LEN as usize];
            let at = u64::from(number * BLOCK_LEN);
            storage.files(1).read(at, &mut on_disk).unwrap();
            assert_eq!(
                on_disk,
                torrent.data[at as usize..][..on_disk.len()],
                "{name}"
            );
        }
    }
}

#[test]
fn main_hangs_up() {
    let torrent = testing::Torrent::new(u64::from(BLOCK_LEN), &[(u64::from(BLOCK_LEN), false)]);
    let dir = tempfile::tempdir().unwrap();
    let storage = torrent.wanting_all(dir.path());
    for (when, greets) in [
        ("before the handshake", false),
        ("instead of a welcome", true),
        ("later", true),
    ] {
        let Dialled {
            events,
            orders,
            stream,
        } = dialled();
        let mut script = vec![Stay];
        if greets {
            script.insert(0, Send(handshake(TORRENT, THEM)));
        }
        let peer = fake_peer(stream, script);
        if greets {
            let (_, first) = events.recv_timeout(PATIENCE).unwrap();
            assert!(
                matches!(first, PeerEvent::Greeted(theirs) if theirs.handshake.peer_id == THEM),
                "{when}"
            );
        }
        if when == "later" {
            let (torrent, have) = (shared(&torrent, &storage, US), Bitfield::none(1));
            let complete = false;
            orders
                .send(Order::Welcome(Welcome {
                    torrent,
                    have,
                    complete,
                    metadata: None,
                }))
                .unwrap();
        }
        drop(orders);
        let (_, last) = events.recv_timeout(PATIENCE).unwrap();
        let PeerEvent::Closed(why) = last else {
            panic!("{when}: {last:?}");
        };
        assert_eq!(why.text, "no longer needed", "{when}");
        peer.join().unwrap();
        assert!(
            events.recv_timeout(PATIENCE).is_err(),
            "{when}: the thread is gone"
        );
    }
}

/// A client that dials itself gets its own peer id, which main must see.
#[test]
fn the_handshake_of_ourselves_is_told() {
    let Dialled {
        events,
        orders,
        stream,
    } = dialled();
    let peer = fake_peer(stream, vec![Send(handshake(TORRENT, US)), Stay]);
    let (_, first) = events.recv_timeout(PATIENCE).unwrap();
    assert!(
        matches!(first, PeerEvent::Greeted(theirs) if theirs.handshake.peer_id == US),
        "{first:?}"
    );
    drop(orders);
    peer.join().unwrap();
}

/// A block may lie in a wanted file, in an unwanted file (it is then kept in the record), and in
/// padding.
#[test]
fn blocks_are_whole_wherever_their_bytes_are() {
    fn torrent() -> testing::Torrent {
        let len = u64::from(BLOCK_LEN);
        testing::Torrent::new(2 * len, &[(len + 9, false), (9, false), (len - 18, true)])
    }
    fn is_block(message: &Message<'_>, number: u32) -> bool {
        let mut out = Vec::new();
        message.encode(&mut out);
        out == block(&torrent(), number)
    }
    let torrent = torrent();
    let dir = tempfile::tempdir().unwrap();
    let storage = torrent.begun(dir.path(), &[true, false, false]);
    torrent.write(&storage, torrent.piece(0));
    let Dialled {
        events,
        orders,
        stream,
    } = dialled();
    let request = |number| {
        let index = 0;
        let (begin, length) = (number * BLOCK_LEN, BLOCK_LEN);
        Send(bytes(Message::Request(RawBlock {
            index,
            begin,
            length,
        })))
    };
    let script = vec![
        Send(handshake(TORRENT, THEM)),
        Send(bytes(Message::Interested)),
        Expect(|message| *message == Message::Unchoke),
        request(0),
        request(1),
        Expect(|message| is_block(message, 0)),
        Expect(|message| is_block(message, 1)),
    ];
    let peer = fake_peer(stream, script);
    let torrent = shared(&torrent, &storage, US);
    loop {
        let (_, event) = events.recv_timeout(PATIENCE).expect("no event came");
        match event {
            PeerEvent::Greeted(_) => {
                let torrent = torrent.clone();
                let (have, complete) = (Bitfield::all(1), true);
                let welcome = Order::Welcome(Welcome {
                    torrent,
                    have,
                    complete,
                    metadata: None,
                });
                orders.send(welcome).unwrap();
            }
            PeerEvent::Interested(true) => {
                orders.send(Order::Do(Command::Choke(false))).unwrap();
            }
            PeerEvent::Closed(_) => break,
            _ => {}
        }
    }
    peer.join().unwrap();
}

/// Two peer threads give to one another as fast as they can, with hundreds of requests out on both
/// sides: neither may get stuck in a write.
#[test]
fn two_threads_full_of_each_others_requests_do_not_deadlock() {
    const BLOCKS: u32 = 4096;
    let piece_length = u64::from(BLOCK_LEN * BLOCKS / 2);
    let torrent = testing::Torrent::new(piece_length, &[(2 * piece_length, false)]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (event_tx, events) = unbounded();
    let mut sides = Vec::new();
    for (n, id) in [(0u32, US), (1, THEM)] {
        let dir = tempfile::tempdir().unwrap();
        let storage = torrent.wanting_all(dir.path());
        torrent.write(&storage, torrent.piece(n));
        let (orders, order_rx) = unbounded();
        let link = match n {
            0 => Link::Dial {
                to: Target::Addr(listener.local_addr().unwrap()),
                door: Box::new(Door::default()),
                us: us(id),
                encryption: Encryption::Off,
            },
            _ => Link::Accepted {
                stream: listener.accept().unwrap().0,
                torrents: vec![TORRENT],
                encryption: Encryption::Prefer,
            },
        };
        spawn(PeerKey(n), link, order_rx, event_tx.clone().into()).unwrap();
        let other = torrent.piece(1 - n);
        let work = torrent.layout.span(other, 0..BLOCKS / 2);
        sides.push((shared(&torrent, &storage, id), orders, dir, work, 0));
    }
    // Each has one piece and fetches the other, all of it on order from the start.
    while sides.iter().any(|(.., stored)| *stored < BLOCKS / 2) {
        let (key, event) = events.recv_timeout(PATIENCE).expect("they are stuck");
        let (shared, orders, _, work, stored) = &mut sides[key.0 as usize];
        let say = |command| _ = orders.send(Order::Do(command));
        match event {
            PeerEvent::Greeted(_) => {
                let mut have = Bitfield::none(2);
                have.insert(torrent.piece(key.0));
                let torrent = shared.clone();
                let complete = false;
                let welcome = Order::Welcome(Welcome {
                    torrent,
                    have,
                    complete,
                    metadata: None,
                });
                orders.send(welcome).unwrap();
            }
            PeerEvent::Pieces(_) => say(Command::Interest(true)),
            PeerEvent::Interested(_) => say(Command::Choke(false)),
            PeerEvent::Want(_) => {
                say(Command::Fetch(work.take().into_iter().collect()));
            }
            PeerEvent::Stored(spans) => {
                *stored += spans.iter().map(|span| span.count()).sum::<u32>();
            }
            PeerEvent::Closed(why) => panic!("{key:?} ended: {why:?}"),
            _ => {}
        }
    }
    for (n, (shared, ..)) in (0..).zip(&sides) {
        let other = torrent.piece(1 - n);
        let mut on_disk = vec![0; piece_length as usize];
        let start = torrent.layout.piece_start(other);
        shared.storage.files(1).read(start, &mut on_disk).unwrap();
        assert!(on_disk == torrent.bytes(other), "side {n} has other bytes");
    }
}

#[test]
fn a_thread_that_dies_says_so_last() {
    let (events, heard) = unbounded();
    let work = |to_main: &ToMain| {
        to_main.tell(PeerEvent::Snubbed);
        // Like a panic, but prints nothing.
        std::panic::resume_unwind(Box::new("a fault"))
    };
    spawn_link(Builder::new(), "fail", PeerKey(4), events.into(), work).unwrap();
    let heard: Vec<_> = heard.iter().collect();
    let why = "a fault of storrent's own ended the thread to fail";
    match &heard[..] {
        [
            (PeerKey(4), PeerEvent::Snubbed),
            (PeerKey(4), PeerEvent::Closed(end)),
        ] => assert_eq!(end.text, why),
        other => panic!("{other:?}"),
    }
}
