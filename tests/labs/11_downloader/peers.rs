//! The swarm of the last lab: a tracker, honest seeds, and peers that break the rules.

use crate::frame::sha1;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;
use storrent::parts::layout::{BLOCK_LEN, RawBlock};
use storrent::parts::wire::{HANDSHAKE_LEN, Handshake, Message, decode, max_message_len};
use storrent::types::{InfoHash, PeerId};

/// What a peer does when it is asked for a block.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Script {
    /// Sends it.
    Honest,
    /// Is silent.
    Silent,
    /// Sends something else.
    Liar,
    /// Announces a message of 512 MiB, and is silent.
    Giant,
    /// At the second request it chokes, which makes all open requests void, and unchokes again.
    Choker,
    /// Sends all of a piece but its last block, and hangs up.
    Quitter,
}

const PIECE_LENGTH: usize = 4 * BLOCK_LEN as usize;
const PIECES: usize = 8;

/// How long honest seeds wait for the others to be asked first.
const MANNERS: Duration = Duration::from_secs(2);

struct Swarm {
    content: Vec<u8>,
    info_hash: [u8; 20],
    /// How many dishonest peers nobody has asked for a block yet.
    unasked: Mutex<usize>,
    asked: Condvar,
}

/// Starts a swarm. Returns the torrent, which names its tracker, and the content.
pub(super) fn swarm(scripts: &[Script]) -> (Vec<u8>, Vec<u8>) {
    let mut rng = fastrand::Rng::with_seed(11);
    let content: Vec<u8> = (0..PIECES * PIECE_LENGTH - 1000)
        .map(|_| rng.u8(..))
        .collect();
    let hashes: Vec<u8> = content.chunks(PIECE_LENGTH).flat_map(sha1).collect();
    let head = format!("d6:lengthi{}e4:name7:content", content.len());
    let middle = format!("12:piece lengthi{PIECE_LENGTH}e6:pieces{}:", hashes.len());
    let info = [head.as_bytes(), middle.as_bytes(), &hashes, b"e"].concat();
    let swarm = Arc::new(Swarm {
        content: content.clone(),
        info_hash: sha1(&info),
        unasked: Mutex::new(
            scripts
                .iter()
                .filter(|script| **script != Script::Honest)
                .count(),
        ),
        asked: Condvar::new(),
    });
    let peers = scripts.iter().map(|&script| {
        let swarm = swarm.clone();
        listen(move |stream| swarm.play(stream, script))
    });
    let peers: Vec<SocketAddr> = peers.collect();
    let tracker = listen(move |stream| answer(stream, &peers));
    let url = format!("http://{tracker}/announce");
    let head = format!("d8:announce{}:{url}4:info", url.len());
    ([head.as_bytes(), &info, b"e"].concat(), content)
}

/// Listens, with a thread for each connection.
fn listen(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            // A connection that breaks is the business of whoever made it.
            thread::spawn(move || _ = serve(stream));
        }
    });
    addr
}

/// The tracker: names the peers.
fn answer(mut stream: TcpStream, peers: &[SocketAddr]) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let port = |peer: &SocketAddr| peer.port().to_be_bytes();
    let list: Vec<u8> = peers
        .iter()
        .flat_map(|peer| [&[127, 0, 0, 1][..], &port(peer)].concat())
        .collect();
    let head = format!("d8:intervali1800e5:peers{}:", list.len());
    let body = [head.as_bytes(), &list, b"e"].concat();
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&body)
}

impl Swarm {
    fn play(&self, mut stream: TcpStream, script: Script) -> io::Result<()> {
        let mut hello = [0; HANDSHAKE_LEN];
        stream.read_exact(&mut hello)?;
        let reserved = [0; 8];
        let (info_hash, peer_id) = (InfoHash(self.info_hash), PeerId(*b"-LB0000-the-lab-peer"));
        stream.write_all(
            &Handshake {
                reserved,
                info_hash,
                peer_id,
            }
            .encode(),
        )?;
        let mut out = Vec::new();
        Message::Bitfield(&[0xff]).encode(&mut out);
        stream.write_all(&out)?;
        let (mut buffer, mut part, mut requests) = (Vec::new(), [0; 4096], 0);
        loop {
            while let Some((message, len)) =
                decode(&buffer, max_message_len(8)).map_err(io::Error::other)?
            {
                match message {
                    Message::Interested => self.unchoke(&mut stream, script)?,
                    Message::Request(block) => {
                        requests += 1;
                        self.asked(&mut stream, script, block, requests)?;
                    }
                    _ => {}
                }
                buffer.drain(..len);
                if script == Script::Choker && requests == 2 {
                    buffer.clear();
                    choke(&mut stream)?;
                    requests += 1;
                }
            }
            match stream.read(&mut part)? {
                0 => return Ok(()),
                count => buffer.extend_from_slice(&part[..count]),
            }
        }
    }

    fn unchoke(&self, stream: &mut TcpStream, script: Script) -> io::Result<()> {
        if script == Script::Honest {
            // The others come first, or there would be nothing left to ask them for.
            let unasked = self.unasked.lock().unwrap();
            let wait = self
                .asked
                .wait_timeout_while(unasked, MANNERS, |unasked| *unasked > 0);
            drop(wait.unwrap());
        }
        send(stream, Message::Unchoke)
    }

    /// Answers request number `requests` of a connection.
    fn asked(
        &self,
        stream: &mut TcpStream,
        script: Script,
        block: RawBlock,
        requests: usize,
    ) -> io::Result<()> {
        if script != Script::Honest && requests == 1 {
            let mut unasked = self.unasked.lock().unwrap();
            *unasked = unasked.saturating_sub(1);
            self.asked.notify_all();
        }
        let piece = self.content.chunks(PIECE_LENGTH).nth(block.index as usize);
        let end = block.begin.saturating_add(block.length) as usize;
        let data = piece.and_then(|piece| piece.get(block.begin as usize..end));
        let data = data.ok_or(io::ErrorKind::InvalidData)?;
        let RawBlock { index, begin, .. } = block;
        match script {
            Script::Honest => send(stream, Message::Piece { index, begin, data }),
            Script::Silent => Ok(()),
            Script::Liar => {
                let lie: Vec<u8> = data.iter().map(|byte| !byte).collect();
                send(
                    stream,
                    Message::Piece {
                        index,
                        begin,
                        data: &lie,
                    },
                )
            }
            Script::Giant => stream.write_all(&(512u32 << 20).to_be_bytes()),
            Script::Choker if requests == 2 => Ok(()),
            Script::Choker => send(stream, Message::Piece { index, begin, data }),
            Script::Quitter if requests == 4 => Err(io::ErrorKind::ConnectionAborted.into()),
            Script::Quitter => send(stream, Message::Piece { index, begin, data }),
        }
    }
}

fn choke(stream: &mut TcpStream) -> io::Result<()> {
    send(stream, Message::Choke)?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
    stream.set_read_timeout(None)?;
    send(stream, Message::Unchoke)
}

fn send(stream: &mut TcpStream, message: Message) -> io::Result<()> {
    let mut out = Vec::new();
    message.encode(&mut out);
    stream.write_all(&out)
}
