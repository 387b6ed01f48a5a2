//! Both neighbours of a peer thread: a fake peer that plays a script, and a fake main that answers
//! as the engine would.

use super::*;
use crate::peer::turn::TICK;

/// A step of the fake peer.
pub(super) enum Step {
    Send(Vec<u8>),
    /// Reads until a message comes that looks like this.
    Expect(fn(&Message<'_>) -> bool),
    /// Says nothing for longer than a [`TICK`]: a read ends in mid-message.
    Pause,
    /// Says nothing until the other side hangs up.
    Stay,
}
pub(super) use Step::{Expect, Pause, Send, Stay};

pub(super) fn bytes(message: Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out);
    out
}

pub(super) fn handshake(info_hash: InfoHash, id: PeerId) -> Vec<u8> {
    // It knows no extensions: the plain protocol of BEP 3.
    let mut handshake = Handshake::new(info_hash, id);
    handshake.reserved = [0; 8];
    handshake.encode().to_vec()
}

/// Plays the script at the other end of `stream`.
pub(super) fn fake_peer(mut stream: TcpStream, script: Vec<Step>) -> JoinHandle<()> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    thread::spawn(move || {
        let (mut buf, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
        stream.read_exact(&mut chunk[..HANDSHAKE_LEN]).unwrap();
        for step in script {
            match step {
                Send(bytes) => stream.write_all(&bytes).unwrap(),
                Pause => thread::sleep(TICK + TICK / 2),
                Stay => while stream.read(&mut chunk).is_ok_and(|n| n > 0) {},
                Expect(wanted) => loop {
                    let found = wire::decode(&buf, 1 << 20).unwrap();
                    let found = found.map(|(message, used)| (wanted(&message), used));
                    if let Some((is_it, used)) = found {
                        buf.drain(..used);
                        if is_it {
                            break;
                        }
                    } else {
                        let n = stream.read(&mut chunk).unwrap();
                        assert!(n > 0, "the thread hung up");
                        buf.extend_from_slice(&chunk[..n]);
                    }
                },
            }
        }
        // To close with bytes unread would reset the connection, not end it.
        let _ = stream.shutdown(Shutdown::Write);
        while stream.read(&mut chunk).is_ok_and(|n| n > 0) {}
    })
}

pub(super) fn us(peer_id: PeerId) -> Us {
    Us {
        info_hash: TORRENT,
        peer_id,
        port: None,
        dht: false,
    }
}

pub(super) fn shared(
    torrent: &testing::Torrent,
    storage: &Arc<Storage>,
    peer_id: PeerId,
) -> Arc<Shared> {
    Arc::new(Shared {
        us: us(peer_id),
        layout: torrent.layout.clone(),
        storage: storage.clone(),
        max_open: 2,
        upload_limited: false,
        pex: false,
    })
}

/// Welcomes the peer, wants all that it has, and gives `work` to fetch, once. Returns the thread's
/// events except traffic, and asserts that the last one is the end.
pub(super) fn fake_main(
    events: &Receiver<(PeerKey, PeerEvent)>,
    orders: Sender<Order>,
    torrent: Arc<Shared>,
    mut work: Vec<Span>,
) -> (Vec<PeerEvent>, String) {
    let mut told = Vec::new();
    let say = |command| _ = orders.send(Order::Do(command));
    loop {
        let (_, event) = events.recv_timeout(PATIENCE).expect("no event came");
        let event = match event {
            PeerEvent::Greeted(_) => {
                let have = Bitfield::none(torrent.layout.pieces());
                let torrent = torrent.clone();
                let welcome = Order::Welcome(Welcome {
                    torrent,
                    have,
                    complete: false,
                    metadata: None,
                });
                orders.send(welcome).unwrap();
                continue;
            }
            PeerEvent::Spoke => continue,
            event => event,
        };
        match &event {
            PeerEvent::Pieces(_) => say(Command::Interest(true)),
            PeerEvent::Want(_) => say(Command::Fetch(std::mem::take(&mut work))),
            PeerEvent::Interested(_) => say(Command::Choke(false)),
            PeerEvent::Closed(why) => {
                let after = events.recv_timeout(TICK);
                assert!(after.is_err(), "after the end: {after:?}");
                return (told, why.text.clone());
            }
            _ => {}
        }
        told.push(event);
    }
}

pub(super) struct Dialled {
    pub events: Receiver<(PeerKey, PeerEvent)>,
    pub orders: Sender<Order>,
    pub stream: TcpStream,
}

/// A peer thread that dialled, and the stream at the other end.
pub(super) fn dialled() -> Dialled {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (event_tx, events) = unbounded();
    let (orders, order_rx) = unbounded();
    let link = Link::Dial {
        to: Target::Addr(listener.local_addr().unwrap()),
        door: Box::new(Door::default()),
        us: us(US),
        encryption: Encryption::Off,
    };
    spawn(PeerKey(1), link, order_rx, event_tx.into()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    Dialled {
        events,
        orders,
        stream,
    }
}

pub(super) fn is_request(message: &Message<'_>) -> bool {
    matches!(message, Message::Request(_))
}

/// The fake peer's answer to a request for block `number` of piece 0.
pub(super) fn block(torrent: &testing::Torrent, number: u32) -> Vec<u8> {
    let begin = number * BLOCK_LEN;
    bytes(Message::Piece {
        index: 0,
        begin,
        data: &torrent.data[begin as usize..][..BLOCK_LEN as usize],
    })
}
