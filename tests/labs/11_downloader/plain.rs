//! A whole downloader in one file: torrent, tracker, peers, pieces, hashes. It knows torrents of
//! one file and trackers at `http://`, and asks all peers at once, with a thread for each.
//!
//! It works while everybody is honest and stays. `README.md` beside this file tells what happens to
//! it among others.

use crate::frame::sha1;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;

/// The unit of a request.
const BLOCK: u32 = 16 * 1024;

const PEER_ID: &str = "-LB0001-in-250-lines";

/// Downloads what `torrent`, the bytes of a `.torrent`, describes.
pub(crate) fn download(torrent: &[u8]) -> Result<Vec<u8>, String> {
    let torrent = Arc::new(Torrent::parse(torrent).ok_or("that is not a torrent")?);
    let peers = announce(&torrent).map_err(|error| format!("the tracker: {error}"))?;
    // The numbers of the pieces wait in one channel. Each peer's thread takes one when it is ready,
    // and sends the piece back through the other channel.
    let (give, work) = crossbeam_channel::unbounded();
    let (done, pieces) = crossbeam_channel::unbounded();
    (0..torrent.hashes.len() as u32).for_each(|piece| _ = give.send(piece));
    drop(give);
    for addr in peers {
        let (torrent, work, done) = (torrent.clone(), work.clone(), done.clone());
        thread::spawn(move || {
            let mut peer = Peer::connect(addr, &torrent)?;
            for piece in work {
                let bytes = peer.fetch(piece, torrent.piece_len(piece))?;
                let _ = done.send((piece, bytes));
            }
            io::Result::Ok(())
        });
    }
    drop(done);
    let mut content = vec![0; torrent.length as usize];
    // When the last thread has ended, so has the channel.
    let gone = |_| "pieces are missing, and all peers are gone";
    for _ in 0..torrent.hashes.len() {
        let (piece, bytes) = pieces.recv().map_err(gone)?;
        if sha1(&bytes) != torrent.hashes[piece as usize] {
            return Err(format!("piece {piece} is false"));
        }
        let start = piece as usize * torrent.piece_length as usize;
        content[start..start + bytes.len()].copy_from_slice(&bytes);
    }
    Ok(content)
}

struct Torrent {
    announce: String,
    info_hash: [u8; 20],
    length: u64,
    piece_length: u32,
    hashes: Vec<[u8; 20]>,
}

impl Torrent {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (torrent, _) = Value::read(bytes)?;
        let torrent = torrent.dict()?;
        let info = torrent.get(&b"info"[..])?;
        let keys = info.dict()?;
        let hashes = keys.get(&b"pieces"[..])?.string()?.chunks_exact(20);
        Some(Self {
            announce: String::from_utf8(torrent.get(&b"announce"[..])?.string()?.to_vec()).ok()?,
            info_hash: sha1(info.bytes),
            length: keys.get(&b"length"[..])?.number()?,
            piece_length: keys.get(&b"piece length"[..])?.number()? as u32,
            hashes: hashes
                .map(|hash| hash.try_into().expect("20 bytes"))
                .collect(),
        })
    }

    fn piece_len(&self, piece: u32) -> u32 {
        let start = u64::from(piece) * u64::from(self.piece_length);
        (self.length - start).min(self.piece_length.into()) as u32
    }
}

/// A value of bencode: its bytes as they stand in the file, and what they mean.
struct Value<'a> {
    bytes: &'a [u8],
    kind: Kind<'a>,
}

enum Kind<'a> {
    Number(u64),
    String(&'a [u8]),
    List,
    Dict(BTreeMap<&'a [u8], Value<'a>>),
}

impl<'a> Value<'a> {
    /// Reads the value at the start of `bytes`. Returns it, and what follows it.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (kind, rest) = match bytes.first()? {
            b'i' => {
                let end = bytes.iter().position(|byte| *byte == b'e')?;
                let digits = str::from_utf8(&bytes[1..end]).ok()?;
                (Kind::Number(digits.parse().ok()?), &bytes[end + 1..])
            }
            b'l' => {
                let mut rest = &bytes[1..];
                while *rest.first()? != b'e' {
                    rest = Self::read(rest)?.1;
                }
                (Kind::List, &rest[1..])
            }
            b'd' => {
                let (mut entries, mut rest) = (BTreeMap::new(), &bytes[1..]);
                while *rest.first()? != b'e' {
                    let (key, after_key) = Self::read(rest)?;
                    let (value, after_value) = Self::read(after_key)?;
                    entries.insert(key.string()?, value);
                    rest = after_value;
                }
                (Kind::Dict(entries), &rest[1..])
            }
            _ => {
                let colon = bytes.iter().position(|byte| *byte == b':')?;
                let len: usize = str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
                let (string, rest) = bytes[colon + 1..].split_at_checked(len)?;
                (Kind::String(string), rest)
            }
        };
        let bytes = &bytes[..bytes.len() - rest.len()];
        Some((Self { bytes, kind }, rest))
    }

    fn number(&self) -> Option<u64> {
        let Kind::Number(number) = self.kind else {
            return None;
        };
        Some(number)
    }

    fn string(&self) -> Option<&'a [u8]> {
        let Kind::String(string) = self.kind else {
            return None;
        };
        Some(string)
    }

    fn dict(&self) -> Option<&BTreeMap<&'a [u8], Value<'a>>> {
        let Kind::Dict(entries) = &self.kind else {
            return None;
        };
        Some(entries)
    }
}

fn announce(torrent: &Torrent) -> io::Result<Vec<SocketAddr>> {
    let bad = || io::Error::other("its answer makes no sense");
    let escaped = |byte| format!("%{byte:02x}");
    let hash: String = torrent.info_hash.iter().map(escaped).collect();
    let url = torrent.announce.strip_prefix("http://").ok_or_else(bad)?;
    let (host, path) = url.split_once('/').ok_or_else(bad)?;
    let mut stream = TcpStream::connect(host)?;
    write!(
        stream,
        "GET /{path}?info_hash={hash}&peer_id={PEER_ID}&port=1&uploaded=0&downloaded=0&left={}\
         &compact=1&event=started HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
        torrent.length
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let is_end = |bytes: &[u8]| bytes == b"\r\n\r\n";
    let head = answer.windows(4).position(is_end).ok_or_else(bad)?;
    let (body, _) = Value::read(&answer[head + 4..]).ok_or_else(bad)?;
    let keys = body.dict().ok_or_else(bad)?;
    let peers = keys.get(&b"peers"[..]).and_then(Value::string);
    let peers = peers.ok_or_else(bad)?;
    // A peer is 4 bytes of its address and 2 of its port.
    let port = |p: &[u8]| u16::from_be_bytes([p[4], p[5]]);
    let peer = |p: &[u8]| ([p[0], p[1], p[2], p[3]], port(p)).into();
    Ok(peers.chunks_exact(6).map(peer).collect())
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

struct Peer {
    stream: TcpStream,
}

impl Peer {
    /// Connects, shakes hands, and waits until the peer answers requests.
    fn connect(addr: SocketAddr, torrent: &Torrent) -> io::Result<Self> {
        let mut stream = TcpStream::connect(addr)?;
        stream.write_all(b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0")?;
        stream.write_all(&torrent.info_hash)?;
        stream.write_all(PEER_ID.as_bytes())?;
        stream.read_exact(&mut [0; 68])?;
        let mut peer = Self { stream };
        peer.send(2, &[])?; // interested
        while peer.receive()?.0 != Some(1) {} // unchoke
        Ok(peer)
    }

    /// Fetches a piece of `len` bytes: asks for all its blocks and waits for them.
    fn fetch(&mut self, piece: u32, len: u32) -> io::Result<Vec<u8>> {
        let begins = (0..len).step_by(BLOCK as usize);
        for begin in begins.clone() {
            self.send(6, &[piece, begin, BLOCK.min(len - begin)])?; // request
        }
        let mut bytes = vec![0; len as usize];
        let mut missing = begins.len();
        while missing > 0 {
            let (id, payload) = self.receive()?;
            if id == Some(7) {
                let begin = be32(&payload[4..]) as usize;
                let data = &payload[8..];
                bytes[begin..begin + data.len()].copy_from_slice(data);
                missing -= 1;
            }
        }
        Ok(bytes)
    }

    /// Sends message `id` with these numbers.
    fn send(&mut self, id: u8, numbers: &[u32]) -> io::Result<()> {
        let mut message = (1 + 4 * numbers.len() as u32).to_be_bytes().to_vec();
        message.push(id);
        numbers
            .iter()
            .for_each(|number| message.extend(number.to_be_bytes()));
        self.stream.write_all(&message)
    }

    /// Waits for a message. Returns its id (a keep-alive has none) and its payload.
    fn receive(&mut self) -> io::Result<(Option<u8>, Vec<u8>)> {
        let mut len = [0; 4];
        self.stream.read_exact(&mut len)?;
        let mut message = vec![0; be32(&len) as usize];
        self.stream.read_exact(&mut message)?;
        let id = (!message.is_empty()).then(|| message.remove(0));
        Ok((id, message))
    }
}
