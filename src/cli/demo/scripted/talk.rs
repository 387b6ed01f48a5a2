//! One conversation of a [scripted peer](super) with a client, by the script: messages of BEP 3 and
//! 6, metadata of BEP 9 and 10, a super-seed's pieces as in BEP 16. [`Part`] runs each conversation
//! on a thread.

use super::{Part, Script};
use crate::bencode;
use crate::bitfield::Bitfield;
use crate::extension::{self, OUR_METADATA, metadata};
use crate::layout::{BLOCK_LEN, Block, PieceIndex, RawBlock};
use crate::types::PeerId;
use crate::wire::{self, HANDSHAKE_LEN, Handshake, Message};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// How long a peer waits until the other takes its bytes.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest silence before a peer looks whether the scene is over.
const LOOK: Duration = Duration::from_millis(50);

/// The most requests that wait for their answer. A peer that sends more is hung up on.
const MAX_ASKED: usize = 4096;

/// A super-seed shows its next piece after this time, because there may be nobody to spread the
/// last.
const ALONE: Duration = Duration::from_secs(2);

/// The delay of late metadata.
const LATE: Duration = Duration::from_secs(2);

/// Its extension handshake (BEP 10).
#[derive(Serialize)]
struct Hello<'a> {
    m: BTreeMap<&'a str, u8>,
    metadata_size: usize,
    upload_only: u8,
    /// The name of its program, for the reader of the trace.
    v: &'a str,
}

pub(super) struct Talk<'a> {
    part: &'a Part,
    stream: TcpStream,
    /// Bytes that came, not a whole message yet.
    came: Vec<u8>,
    /// The pieces that the other says it has.
    theirs: Bitfield,
    /// The number that the other wants for metadata messages.
    their_metadata: u8,
    asked: VecDeque<RawBlock>,
    sent: u32,
    /// When our line is free for the next block.
    free_at: Instant,
    /// The pieces that a super-seed has shown, and when it showed the last.
    shown: BTreeSet<PieceIndex>,
    shown_at: Option<(PieceIndex, Instant)>,
}

impl<'a> Talk<'a> {
    pub(super) fn new(part: &'a Part, stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            part,
            stream,
            came: Vec::new(),
            theirs: Bitfield::none(part.stock.metainfo.layout.pieces()),
            their_metadata: 0,
            asked: VecDeque::new(),
            sent: 0,
            free_at: Instant::now(),
            shown: BTreeSet::new(),
            shown_at: None,
        })
    }

    /// Talks until one side hangs up, or the scene is over.
    pub(super) fn play(mut self) -> io::Result<()> {
        let stock = &self.part.stock;
        let Script::ClosesAt(percent) = self.part.script else {
            return self.converse();
        };
        stock.hold(stock.blocks() * percent / 100);
        let end = self.converse();
        self.hang_up();
        stock.hold(u32::MAX);
        end
    }

    fn converse(&mut self) -> io::Result<()> {
        self.greet()?;
        self.introduce()?;
        while !self.part.is_over() && !self.closes() {
            if self.asked.is_empty() || self.waits() {
                self.hear()?;
            }
            self.show()?;
            if !self.waits() {
                self.give()?;
            }
        }
        Ok(())
    }

    /// Hangs up, and waits until the other has noticed.
    fn hang_up(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        while !self.part.is_over() && self.read().is_ok() {
            self.came.clear();
        }
    }

    fn greet(&mut self) -> io::Result<()> {
        while self.came.len() < HANDSHAKE_LEN {
            self.read()?;
        }
        let theirs: Vec<u8> = self.came.drain(..HANDSHAKE_LEN).collect();
        let theirs = theirs
            .try_into()
            .ok()
            .and_then(|bytes| Handshake::decode(&bytes));
        let info_hash = self.part.stock.metainfo.info_hash;
        // Anything else is an obfuscated handshake, after which a plain one will come.
        if theirs.is_none_or(|theirs| theirs.info_hash != info_hash) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut id = *b"-XX0001-............";
        let name = self.part.name.as_bytes();
        let len = name.len().min(12);
        id[8..8 + len].copy_from_slice(&name[..len]);
        let ours = Handshake::new(info_hash, PeerId(id)).encode();
        self.stream.write_all(&ours)
    }

    /// Sends the extension handshake, and the pieces that it has.
    fn introduce(&mut self) -> io::Result<()> {
        let metainfo = &self.part.stock.metainfo;
        let hello = bencode::encode(&Hello {
            m: match self.part.script {
                Script::NoMetadata => BTreeMap::new(),
                _ => BTreeMap::from([("ut_metadata", OUR_METADATA)]),
            },
            metadata_size: metainfo.info().len(),
            upload_only: 1,
            v: self.part.name,
        });
        self.send(Message::Extended {
            id: 0,
            payload: &hello,
        })?;
        let layout = &metainfo.layout;
        match self.part.script {
            Script::LongBitfield => {
                let all = Bitfield::all(layout.pieces());
                self.send(Message::Bitfield(&[all.as_bytes(), &[0]].concat()))
            }
            Script::SuperSeeds => self.send(Message::HaveNone),
            Script::FalseHaves => {
                let pieces = layout.all_pieces();
                let (half, others): (Vec<_>, Vec<_>) = pieces.partition(|piece| self.has(*piece));
                let mut bits = Bitfield::none(layout.pieces());
                half.into_iter().for_each(|piece| _ = bits.insert(piece));
                self.send(Message::Bitfield(bits.as_bytes()))?;
                let mut others = others.into_iter().map(PieceIndex::get);
                others.try_for_each(|piece| self.send(Message::Have(piece)))
            }
            _ => self.send(Message::HaveAll),
        }
    }

    /// Whether it really has `piece`.
    fn has(&self, piece: PieceIndex) -> bool {
        let half = self.part.stock.metainfo.layout.pieces() / 2;
        self.part.script != Script::FalseHaves || piece.get() < half
    }

    fn closes(&self) -> bool {
        matches!(self.part.script, Script::ClosesAt(_)) && self.part.stock.holds()
    }

    /// Whether it gives nothing until another has hung up: else all could be there before.
    fn waits(&self) -> bool {
        !matches!(self.part.script, Script::ClosesAt(_)) && self.part.stock.holds()
    }

    fn send(&mut self, message: Message<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.stream.write_all(&bytes)
    }

    /// Reads once; nothing, after a silence of [`LOOK`].
    fn read(&mut self) -> io::Result<()> {
        let mut part = [0; 16 << 10];
        match self.stream.read(&mut part) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                self.came.extend_from_slice(&part[..len]);
                Ok(())
            }
            Err(error) => match error.kind() {
                _ if self.part.is_over() => Err(error),
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Reads once, and handles each whole message.
    fn hear(&mut self) -> io::Result<()> {
        self.read()?;
        self.understand()
    }

    fn understand(&mut self) -> io::Result<()> {
        let came = std::mem::take(&mut self.came);
        let mut rest = &came[..];
        let longest = wire::max_message_len(self.theirs.len());
        while let Some((message, used)) = wire::decode(rest, longest).map_err(io::Error::other)? {
            self.on(message)?;
            rest = &rest[used..];
        }
        self.came = rest.to_vec();
        Ok(())
    }

    fn on(&mut self, message: Message<'_>) -> io::Result<()> {
        match message {
            Message::Interested if self.part.script != Script::NeverUnchokes => {
                self.send(Message::Unchoke)
            }
            Message::Request(_) if self.asked.len() == MAX_ASKED => {
                Err(io::ErrorKind::InvalidData.into())
            }
            Message::Request(raw) => {
                self.asked.push_back(raw);
                Ok(())
            }
            Message::Cancel(raw) => {
                self.asked.retain(|asked| *asked != raw);
                self.send(Message::Reject(raw))
            }
            Message::HaveAll => self.they_have(Bitfield::all(self.theirs.len())),
            Message::Bitfield(bits) => match Bitfield::from_bytes(bits, self.theirs.len()) {
                Some(bits) => self.they_have(bits),
                None => Err(io::ErrorKind::InvalidData.into()),
            },
            Message::Have(piece) => {
                let piece = self.part.stock.metainfo.layout.piece(piece);
                piece
                    .into_iter()
                    .for_each(|piece| self.they_have_piece(piece));
                Ok(())
            }
            Message::Extended { id: 0, payload } => {
                let told = extension::decode(payload).map_err(io::Error::other)?;
                self.their_metadata = told.metadata.unwrap_or(0);
                Ok(())
            }
            Message::Extended {
                id: OUR_METADATA,
                payload,
            } => self.give_metadata(payload),
            _ => Ok(()),
        }
    }

    fn they_have(&mut self, pieces: Bitfield) -> io::Result<()> {
        pieces.iter().for_each(|piece| self.they_have_piece(piece));
        Ok(())
    }

    fn they_have_piece(&mut self, piece: PieceIndex) {
        if self.theirs.insert(piece) && !self.shown.contains(&piece) {
            self.part.spread.note(piece);
        }
    }

    fn give_metadata(&mut self, payload: &[u8]) -> io::Result<()> {
        let Some(metadata::Message::Request(piece)) = metadata::Message::decode(payload) else {
            return Ok(());
        };
        if self.part.script == Script::LateMetadata {
            thread::sleep(LATE);
        }
        let info = self.part.stock.metainfo.info().clone();
        let answer = match metadata::piece_of(&info, piece) {
            Some(bytes) if self.part.script == Script::FalseMetadata => {
                let mut bytes = bytes.to_vec();
                bytes[0] ^= 1;
                metadata::Message::Data(piece, &bytes).encode(info.len())
            }
            Some(bytes) => metadata::Message::Data(piece, bytes).encode(info.len()),
            None => metadata::Message::Reject(piece).encode(info.len()),
        };
        let id = self.their_metadata;
        self.send(Message::Extended {
            id,
            payload: &answer,
        })
    }

    /// As a super-seed, shows the next piece if the last one has spread.
    fn show(&mut self) -> io::Result<()> {
        if self.part.script != Script::SuperSeeds {
            return Ok(());
        }
        let waits = self.shown_at.is_some_and(|(piece, at)| {
            let theirs = self.theirs.has(piece);
            !(theirs && (self.part.spread.has(piece) || at.elapsed() > ALONE))
        });
        if waits {
            return Ok(());
        }
        let layout = &self.part.stock.metainfo.layout;
        let missing = layout.all_pieces().filter(|piece| !self.theirs.has(*piece));
        let Some(piece) = self.part.spread.next(missing) else {
            return Ok(());
        };
        self.shown.insert(piece);
        self.shown_at = Some((piece, Instant::now()));
        self.send(Message::Have(piece.get()))
    }

    /// Answers the oldest request when our line is free. Listens until then.
    fn give(&mut self) -> io::Result<()> {
        if self.part.script == Script::SilentAfterUnchoke {
            self.asked.clear();
        }
        let Some(raw) = self.asked.pop_front() else {
            return Ok(());
        };
        let layout = &self.part.stock.metainfo.layout;
        let block = layout.served(raw).filter(|block| self.has(block.piece()));
        let Some(block) = block else {
            return self.send(Message::Reject(raw));
        };
        thread::sleep(self.free_at.saturating_duration_since(Instant::now()));
        let takes = Duration::from_secs(raw.length.into()) / self.part.rate;
        self.free_at = self.free_at.max(Instant::now()) + takes;
        let data = self.data(block);
        self.sent += 1;
        self.part.stock.sent.fetch_add(1, Ordering::Relaxed);
        self.send(Message::Piece {
            index: raw.index,
            begin: raw.begin,
            data: &data,
        })?;
        // What came meanwhile, as a cancel. The answer to it may wait.
        self.stream.set_nonblocking(true)?;
        let read = self.read();
        self.stream.set_nonblocking(false)?;
        read?;
        self.understand()
    }

    /// The bytes that it sends as `block`.
    fn data(&self, block: Block) -> Vec<u8> {
        let stock = &self.part.stock;
        let range = stock.metainfo.layout.block_range(block);
        let mut data = stock.bytes[range.start as usize..range.end as usize].to_vec();
        match self.part.script {
            Script::ShortBlocks => data.truncate((BLOCK_LEN - 100) as usize),
            Script::LiesOneIn(blocks) if (self.sent + 1).is_multiple_of(blocks) => data[0] ^= 1,
            _ => {}
        }
        data
    }
}
