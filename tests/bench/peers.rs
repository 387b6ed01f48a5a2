//! The other end of the connection: as little of a peer as will do.

use sha1::{Digest, Sha1};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use storrent::metainfo::{self, Metainfo};
use storrent::parts::bitfield::Bitfield;
use storrent::parts::compose::{self, Content as Kind, Info, Outside};
use storrent::parts::layout::{Layout, RawBlock};
use storrent::parts::wire::{self, HANDSHAKE_LEN, Handshake, Message};
use storrent::types::PeerId;

/// Bytes of a piece of the content.
pub(crate) const PIECE_LEN: u32 = 256 << 10;

/// How many requests the leech has out.
const PIPELINE: usize = 128;

/// A torrent of one file, and the file.
pub(crate) struct Content {
    pub dir: PathBuf,
    pub torrent: PathBuf,
    pub file: Arc<File>,
    metainfo: Metainfo,
}

impl Content {
    /// Makes both, of `len` bytes, in `dir`.
    pub(crate) fn create(dir: &Path, len: u64) -> Self {
        let path = dir.join("content");
        let mut file = File::create(&path).expect("no file");
        let mut rng = fastrand::Rng::with_seed(1);
        let mut piece = vec![0; PIECE_LEN as usize];
        let mut hashes = Vec::new();
        for _ in 0..len / u64::from(PIECE_LEN) {
            rng.fill(&mut piece);
            file.write_all(&piece).expect("no room");
            hashes.extend(Sha1::digest(&piece));
        }
        let info = Info {
            name: "content",
            content: Kind::File(len),
            piece_length: PIECE_LEN,
            hashes: &hashes,
            private: false,
        };
        let bytes = compose::torrent(&info, Outside::default());
        let torrent = dir.join("content.torrent");
        std::fs::write(&torrent, &bytes).expect("no room");
        Self {
            dir: dir.to_owned(),
            torrent,
            file: Arc::new(File::open(path).expect("it was just made")),
            metainfo: metainfo::parse(&bytes).expect("it was just made"),
        }
    }

    pub(crate) fn layout(&self) -> &Arc<Layout> {
        &self.metainfo.layout
    }

    /// Without extensions: the plain protocol of BEP 3.
    fn handshake(&self) -> [u8; HANDSHAKE_LEN] {
        let mut handshake = Handshake::new(
            self.metainfo.info_hash,
            PeerId::random(&mut fastrand::Rng::new()),
        );
        handshake.reserved = [0; 8];
        handshake.encode()
    }
}

/// What a server has.
#[derive(Clone)]
pub(crate) struct Served {
    file: Arc<File>,
    handshake: [u8; HANDSHAKE_LEN],
    layout: Arc<Layout>,
}

/// What a server does with a connection.
pub(crate) trait Serve: Fn(TcpStream, Served) + Copy + Send + 'static {}

impl<F: Fn(TcpStream, Served) + Copy + Send + 'static> Serve for F {}

/// Serves all who connect to an address of the loopback device.
pub(crate) fn serve(content: &Content, serve: impl Serve) -> SocketAddr {
    serve_at(Ipv4Addr::LOCALHOST.into(), content, serve)
}

/// Serves all who connect to a port of `ip`, each on a thread of its own.
pub(crate) fn serve_at(ip: IpAddr, content: &Content, serve: impl Serve) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).expect("no port");
    let addr = listener.local_addr().expect("it is bound");
    let served = Served {
        file: content.file.clone(),
        handshake: content.handshake(),
        layout: content.layout().clone(),
    };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_nodelay(true).expect("an option that all have");
            let served = served.clone();
            thread::spawn(move || serve(stream, served));
        }
    });
    addr
}

/// A seed that has everything, serves everybody, and leaves when the other does.
pub(crate) fn seed(stream: TcpStream, served: Served) {
    paced_seed(stream, served, u32::MAX);
}

/// The same on a line that sends `rate` bytes a second.
pub(crate) fn paced_seed(mut stream: TcpStream, served: Served, rate: u32) {
    let mut free_at = Instant::now();
    let Some(mut conversation) = Conversation::new(&mut stream, &served.handshake) else {
        return;
    };
    let all = Bitfield::all(served.layout.pieces());
    Message::Bitfield(all.as_bytes()).encode(&mut conversation.out);
    let mut asked = Vec::new();
    while conversation.turn(|message, out| match message {
        Message::Interested => Message::Unchoke.encode(out),
        Message::Request(raw) => asked.push(raw),
        _ => {}
    }) {
        for raw in asked.drain(..) {
            let wait = free_at.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                if !conversation.flush() {
                    return;
                }
                thread::sleep(wait);
            }
            free_at = free_at.max(Instant::now()) + Duration::from_secs(raw.length.into()) / rate;
            let out = &mut conversation.out;
            wire::encode_piece_head(out, raw.index, raw.begin, raw.length);
            let begin = out.len();
            out.resize(begin + raw.length as usize, 0);
            let at = u64::from(raw.index) * u64::from(PIECE_LEN) + u64::from(raw.begin);
            let read = served.file.read_exact_at(&mut out[begin..], at);
            read.expect("a request within the file");
        }
    }
}

/// Nothing but the bytes of the file.
pub(crate) fn pour(mut stream: TcpStream, served: Served) {
    let mut file = &*served.file;
    std::io::Seek::rewind(&mut file).expect("a plain file");
    // Whoever wanted only some of it may have left.
    let _ = std::io::copy(&mut file, &mut stream);
}

/// Downloads the first `pieces` pieces from 127.0.0.1 and throws them away.
pub(crate) fn leech(content: &Content, port: u16, pieces: u32) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("storrent does not listen");
    stream.set_nodelay(true).expect("an option that all have");
    let layout = content.layout();
    let blocks = layout.all_pieces().take(pieces as usize).flat_map(|piece| {
        (0..layout.blocks_in(piece)).filter_map(move |number| layout.block(piece, number))
    });
    let mut to_ask = blocks.map(|block| block.raw());
    let mut left = pieces * (PIECE_LEN >> 14);
    let conversation = Conversation::new(&mut stream, &content.handshake());
    let mut conversation = conversation.expect("storrent greets us");
    Message::Interested.encode(&mut conversation.out);
    let request = |raw: RawBlock, out: &mut Vec<u8>| Message::Request(raw).encode(out);
    while left > 0 {
        let goes_on = conversation.turn(|message, out| match message {
            Message::Unchoke => to_ask
                .by_ref()
                .take(PIPELINE)
                .for_each(|raw| request(raw, out)),
            Message::Piece { .. } => {
                left -= 1;
                to_ask.next().into_iter().for_each(|raw| request(raw, out));
            }
            _ => {}
        });
        assert!(goes_on, "storrent hung up");
    }
}

/// A stream, and what was received and not looked at, and what is to be sent.
struct Conversation<'a> {
    stream: &'a mut TcpStream,
    buf: Vec<u8>,
    filled: usize,
    out: Vec<u8>,
}

impl<'a> Conversation<'a> {
    /// Exchanges handshakes; both sides send theirs at once. `None` if something else
    /// comes: some clients try an obfuscated connection first.
    fn new(stream: &'a mut TcpStream, ours: &[u8]) -> Option<Self> {
        stream.write_all(ours).ok()?;
        let mut theirs = [0; HANDSHAKE_LEN];
        stream.read_exact(&mut theirs).ok()?;
        (theirs[..20] == ours[..20]).then(|| Self {
            stream,
            buf: vec![0; 1 << 20],
            filled: 0,
            out: Vec::new(),
        })
    }

    /// Sends what is there. False if the other has gone.
    fn flush(&mut self) -> bool {
        let sent = self.stream.write_all(&self.out).is_ok();
        self.out.clear();
        sent
    }

    /// Sends what is there, reads once, and shows all whole messages to `hear`, which
    /// may answer. False at the end of the stream.
    fn turn(&mut self, mut hear: impl FnMut(Message<'_>, &mut Vec<u8>)) -> bool {
        if !self.flush() {
            return false;
        }
        let read = self.stream.read(&mut self.buf[self.filled..]).unwrap_or(0);
        self.filled += read;
        let mut parsed = 0;
        while let Some((message, used)) =
            wire::decode(&self.buf[parsed..self.filled], self.buf.len()).expect("a message")
        {
            hear(message, &mut self.out);
            parsed += used;
        }
        self.buf.copy_within(parsed..self.filled, 0);
        self.filled -= parsed;
        read > 0
    }
}
