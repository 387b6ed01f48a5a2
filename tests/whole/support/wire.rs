//! The peer protocol ([BEP 3], with the messages of [BEP 6] and [BEP 10]) over one TCP connection,
//! with every freedom to break it.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 6]: https://www.bittorrent.org/beps/bep_0006.html
//! [BEP 10]: https://www.bittorrent.org/beps/bep_0010.html

use super::PATIENCE;
use crossbeam_channel::Sender;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) const BLOCK: u32 = 16 << 10;

/// The bit of reserved byte 7 that says "fast extension".
pub(crate) const FAST: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 4];
/// The bit of reserved byte 5 that says "extension protocol".
pub(crate) const EXTENDED: [u8; 8] = [0, 0, 0, 0, 0, 0x10, 0, 0];
/// No extensions.
pub(crate) const PLAIN: [u8; 8] = [0; 8];

/// A run of bytes of a piece, as requests name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Block {
    /// The piece.
    pub index: u32,
    /// The first byte, from the start of the piece.
    pub begin: u32,
    /// How many bytes.
    pub length: u32,
}

impl Block {
    pub(crate) fn new(index: u32, begin: u32, length: u32) -> Self {
        Self {
            index,
            begin,
            length,
        }
    }
}

/// What a peer says first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Handshake {
    /// The extensions that it speaks.
    pub reserved: [u8; 8],
    pub info_hash: [u8; 20],
    pub peer_id: [u8; 20],
}

impl Handshake {
    /// The handshake of a new fake peer: two with the same peer id would be taken for one, and one
    /// of them dropped.
    pub(crate) fn new(info_hash: [u8; 20], reserved: [u8; 8]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut peer_id = *b"-XX0001-fake........";
        let number = format!("{:08}", NEXT.fetch_add(1, Ordering::Relaxed));
        peer_id[12..].copy_from_slice(number.as_bytes());
        Self {
            reserved,
            info_hash,
            peer_id,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = b"\x13BitTorrent protocol".to_vec();
        out.extend_from_slice(&self.reserved);
        out.extend_from_slice(&self.info_hash);
        out.extend_from_slice(&self.peer_id);
        out
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are the protocol's own")]
pub(crate) enum Message {
    KeepAlive,
    Choke,
    Unchoke,
    Interested,
    NotInterested,
    Have(u32),
    Bitfield(Vec<u8>),
    Request(Block),
    Piece(u32, u32, Vec<u8>),
    Cancel(Block),
    Port(u16),
    Suggest(u32),
    HaveAll,
    HaveNone,
    Reject(Block),
    AllowedFast(u32),
    Extended(u8, Vec<u8>),
    Unknown(u8, Vec<u8>),
}

use Message::{
    AllowedFast, Bitfield, Cancel, Choke, Extended, Have, HaveAll, HaveNone, Interested, KeepAlive,
    NotInterested, Piece, Port, Reject, Request, Suggest, Unchoke, Unknown,
};

impl Message {
    /// With its length prefix.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let block = |b: &Block| [b.index, b.begin, b.length].map(u32::to_be_bytes).concat();
        let (id, body) = match self {
            KeepAlive => return vec![0; 4],
            Choke => (0, vec![]),
            Unchoke => (1, vec![]),
            Interested => (2, vec![]),
            NotInterested => (3, vec![]),
            Have(index) => (4, index.to_be_bytes().to_vec()),
            Bitfield(bits) => (5, bits.clone()),
            Request(b) => (6, block(b)),
            Piece(index, begin, data) => {
                let head = [*index, *begin].map(u32::to_be_bytes).concat();
                (7, [head.as_slice(), data].concat())
            }
            Cancel(b) => (8, block(b)),
            Port(port) => (9, port.to_be_bytes().to_vec()),
            Suggest(index) => (13, index.to_be_bytes().to_vec()),
            HaveAll => (14, vec![]),
            HaveNone => (15, vec![]),
            Reject(b) => (16, block(b)),
            AllowedFast(index) => (17, index.to_be_bytes().to_vec()),
            Extended(kind, body) => (20, [&[*kind], body.as_slice()].concat()),
            Unknown(id, body) => (*id, body.clone()),
        };
        raw(id, &body)
    }

    fn decode(frame: &[u8]) -> Self {
        let word = |body: &[u8], at: usize| {
            let bytes = body.get(at..at + 4).unwrap_or(&[0xff; 4]);
            u32::from_be_bytes(bytes.try_into().unwrap())
        };
        let block = |b: &[u8]| Block::new(word(b, 0), word(b, 4), word(b, 8));
        match frame {
            [] => KeepAlive,
            [0] => Choke,
            [1] => Unchoke,
            [2] => Interested,
            [3] => NotInterested,
            [4, b @ ..] if b.len() == 4 => Have(word(b, 0)),
            [5, b @ ..] => Bitfield(b.into()),
            [6, b @ ..] if b.len() == 12 => Request(block(b)),
            [7, b @ ..] if b.len() >= 8 => Piece(word(b, 0), word(b, 4), b[8..].into()),
            [8, b @ ..] if b.len() == 12 => Cancel(block(b)),
            [9, a, b] => Port(u16::from_be_bytes([*a, *b])),
            [13, b @ ..] if b.len() == 4 => Suggest(word(b, 0)),
            [14] => HaveAll,
            [15] => HaveNone,
            [16, b @ ..] if b.len() == 12 => Reject(block(b)),
            [17, b @ ..] if b.len() == 4 => AllowedFast(word(b, 0)),
            [20, kind, b @ ..] => Extended(*kind, b.into()),
            [id, b @ ..] => Unknown(*id, b.into()),
        }
    }
}

/// A message of any id and body.
pub(crate) fn raw(id: u8, body: &[u8]) -> Vec<u8> {
    let mut out = (body.len() as u32 + 1).to_be_bytes().to_vec();
    out.push(id);
    out.extend_from_slice(body);
    out
}

/// An extended message of `depth` nested lists.
pub(crate) fn nested(kind: u8, depth: usize) -> Vec<u8> {
    let body = [vec![b'l'; depth], vec![b'e'; depth]].concat();
    Message::Extended(kind, body).encode()
}

/// The bytes of a bitfield message: the highest bit is piece 0.
pub(crate) fn bitfield(have: &[bool]) -> Vec<u8> {
    let byte = |eight: &[bool]| {
        let bits = eight.iter().enumerate();
        bits.fold(0, |byte, (i, bit)| byte | u8::from(*bit) << (7 - i))
    };
    have.chunks(8).map(byte).collect()
}

/// What happened to a fake peer.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// The other side sent its handshake.
    Hello(Handshake),
    /// It sent this message.
    Got(Message),
    /// It was given this block.
    Served(Block),
    /// The script of one connection ended well, or badly for this reason.
    Ended(Result<(), String>),
}

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    notes: Option<Sender<Note>>,
}

impl Wire {
    /// Around an open connection. No read or write waits for ever.
    pub(crate) fn new(stream: TcpStream, notes: Option<Sender<Note>>) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, notes })
    }

    /// Connects and shakes hands, as a peer that dials does.
    pub(crate) fn dial(addr: SocketAddr, hello: Handshake) -> io::Result<(Self, Handshake)> {
        let mut wire = Self::new(TcpStream::connect(addr)?, None)?;
        wire.send_raw(&hello.encode())?;
        let theirs = wire.read_handshake()?;
        Ok((wire, theirs))
    }

    /// Shakes hands as a peer that was dialled does.
    pub(crate) fn answer(&mut self, hello: Handshake) -> io::Result<Handshake> {
        let theirs = self.read_handshake()?;
        self.send_raw(&hello.encode())?;
        Ok(theirs)
    }

    pub(crate) fn read_handshake(&mut self) -> io::Result<Handshake> {
        let mut bytes = [0; 68];
        self.stream.read_exact(&mut bytes[..20])?;
        if &bytes[..20] != b"\x13BitTorrent protocol" {
            return Err(io::Error::other("not a plain handshake"));
        }
        self.stream.read_exact(&mut bytes[20..])?;
        let hello = Handshake {
            reserved: bytes[20..28].try_into().unwrap(),
            info_hash: bytes[28..48].try_into().unwrap(),
            peer_id: bytes[48..].try_into().unwrap(),
        };
        self.note(Note::Hello(hello));
        Ok(hello)
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub(crate) fn send(&mut self, message: &Message) -> io::Result<()> {
        self.send_raw(&message.encode())
    }

    /// Returns the next message. The end of the connection is an error.
    pub(crate) fn recv(&mut self) -> io::Result<Message> {
        let mut len = [0; 4];
        self.stream.read_exact(&mut len)?;
        let len = u32::from_be_bytes(len) as usize;
        if len > 2 << 20 {
            return Err(io::Error::other(format!("a message of {len} bytes")));
        }
        let mut frame = vec![0; len];
        self.stream.read_exact(&mut frame)?;
        let message = Message::decode(&frame);
        if !matches!(message, Piece(..)) {
            self.note(Note::Got(message.clone()));
        }
        Ok(message)
    }

    /// Reads on until a message `fits`.
    pub(crate) fn recv_until(&mut self, fits: impl Fn(&Message) -> bool) -> io::Result<Message> {
        loop {
            let message = self.recv()?;
            if fits(&message) {
                return Ok(message);
            }
        }
    }

    /// Reads on until the other side hangs up. Returns what came before. Fails if it does not hang
    /// up.
    pub(crate) fn until_closed(&mut self) -> io::Result<Vec<Message>> {
        let mut heard = Vec::new();
        loop {
            match self.recv() {
                Ok(message) => heard.push(message),
                Err(e) if is_end(&e) => return Ok(heard),
                Err(e) => return Err(e),
            }
        }
    }

    /// Lets a moment pass, for scripts whose point is slowness.
    pub(crate) fn pause(&self) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }

    pub(crate) fn note(&self, note: Note) {
        if let Some(notes) = &self.notes {
            let _ = notes.send(note);
        }
    }
}

/// Whether the other side has ended the connection.
pub(crate) fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe
    )
}
