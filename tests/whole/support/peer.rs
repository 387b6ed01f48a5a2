//! Peers to download from and to upload to. [`Seed`] and [`fetch`] behave well; tests write bad
//! behaviour as scripts.

use super::bencode::{Value, dict};
use super::content::Torrent;
use super::wire::{BLOCK, Block, EXTENDED, Handshake, Message, Note, PLAIN, Wire, bitfield};
use super::{Gate, PATIENCE, sha1};
use crossbeam_channel::{Receiver, unbounded};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// A peer that listens on loopback and plays its script with each client; lives as long as the
/// test's process.
pub(crate) struct FakePeer {
    pub addr: SocketAddr,
    notes: Receiver<Note>,
    /// Notes that were waited for, for [`FakePeer::notes`].
    past: RefCell<Vec<Note>>,
}

impl FakePeer {
    /// Plays `script` on every connection, each in a thread of its own.
    pub(crate) fn start(
        script: impl Fn(&mut Wire) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start_at("127.0.0.1", script)
    }

    pub(crate) fn start_at(
        host: &str,
        script: impl Fn(&mut Wire) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, notes) = unbounded();
        let script = Arc::new(script);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, sender) = (script.clone(), sender.clone());
                thread::spawn(move || {
                    let play =
                        |stream: TcpStream| script(&mut Wire::new(stream, Some(sender.clone()))?);
                    let end = play(stream).map_err(|e| e.to_string());
                    let _ = sender.send(Note::Ended(end));
                });
            }
        });
        let past = RefCell::default();
        Self { addr, notes, past }
    }

    /// Waits for a note for which `look` returns something.
    #[track_caller]
    pub(crate) fn wait<T>(&self, look: impl Fn(Note) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let note = self.notes.recv_deadline(deadline);
            let note = note.expect("the fake peer should live through more");
            self.past.borrow_mut().push(note.clone());
            if let Some(found) = look(note) {
                return found;
            }
        }
    }

    /// Waits until a script has ended. Fails if it ended badly.
    #[track_caller]
    pub(crate) fn wait_played(&self) {
        let end = self.wait(|note| match note {
            Note::Ended(end) => Some(end),
            _ => None,
        });
        end.unwrap();
    }

    /// Returns all notes since the last call.
    pub(crate) fn notes(&self) -> Vec<Note> {
        let mut notes = self.past.take();
        notes.extend(self.notes.try_iter());
        notes
    }

    pub(crate) fn requests(&self) -> Vec<Block> {
        let request = |note| match note {
            Note::Got(Message::Request(block)) => Some(block),
            _ => None,
        };
        self.notes().into_iter().filter_map(request).collect()
    }
}

/// A well-behaved peer that has some or all of a torrent and gives it away.
#[derive(Clone)]
pub(crate) struct Seed {
    torrent: Arc<Torrent>,
    have: Vec<bool>,
    reserved: [u8; 8],
    /// How many blocks it serves on all connections together before it goes silent.
    budget: Arc<AtomicUsize>,
    /// It unchokes nobody before this opens.
    hold: Option<Gate>,
    /// It serves no block before this opens.
    after: Option<Gate>,
    /// Opened by the first request.
    asked: Option<Gate>,
    /// Opened by the first block that it has served.
    serving: Option<Gate>,
    tamper: Option<fn(Block, &mut Vec<u8>)>,
}

impl Seed {
    /// Of the whole torrent, with no extensions.
    pub(crate) fn of(torrent: &Arc<Torrent>) -> Self {
        Self {
            torrent: torrent.clone(),
            have: vec![true; torrent.pieces()],
            reserved: PLAIN,
            budget: Arc::new(AtomicUsize::new(usize::MAX)),
            hold: None,
            after: None,
            asked: None,
            serving: None,
            tamper: None,
        }
    }

    /// Only the pieces for which `has` holds.
    pub(crate) fn having(mut self, has: impl Fn(usize) -> bool) -> Self {
        self.have = (0..self.torrent.pieces()).map(has).collect();
        self
    }

    /// Speaks these extensions: `FAST`, or `EXTENDED`, with which it also gives the metadata.
    pub(crate) fn speaking(mut self, reserved: [u8; 8]) -> Self {
        self.reserved = reserved;
        self
    }

    pub(crate) fn budget(mut self, blocks: usize) -> Self {
        self.budget = Arc::new(AtomicUsize::new(blocks));
        self
    }

    pub(crate) fn hold(mut self, gate: &Gate) -> Self {
        self.hold = Some(gate.clone());
        self
    }

    /// Serves no block before `gate` opens.
    pub(crate) fn after(mut self, gate: &Gate) -> Self {
        self.after = Some(gate.clone());
        self
    }

    /// Opens `gate` when it is asked for its first block.
    pub(crate) fn asked(mut self, gate: &Gate) -> Self {
        self.asked = Some(gate.clone());
        self
    }

    /// Opens `gate` when it has served its first block.
    pub(crate) fn serving(mut self, gate: &Gate) -> Self {
        self.serving = Some(gate.clone());
        self
    }

    /// Changes blocks before it sends them.
    pub(crate) fn tamper(mut self, tamper: fn(Block, &mut Vec<u8>)) -> Self {
        self.tamper = Some(tamper);
        self
    }

    pub(crate) fn start(self) -> FakePeer {
        self.start_at("127.0.0.1")
    }

    pub(crate) fn start_at(self, host: &str) -> FakePeer {
        FakePeer::start_at(host, move |wire| {
            wire.answer(Handshake::new(self.torrent.info_hash, self.reserved))?;
            self.serve(wire)
        })
    }

    /// Serves one connection after the handshakes, until the other side hangs up.
    pub(crate) fn serve(&self, wire: &mut Wire) -> io::Result<()> {
        match self.talk(wire) {
            Err(e) if super::wire::is_end(&e) => Ok(()),
            other => other,
        }
    }

    fn talk(&self, wire: &mut Wire) -> io::Result<()> {
        const METADATA: u8 = 3;
        if self.reserved == EXTENDED {
            let size = self.torrent.info.len() as i64;
            let m = dict([("ut_metadata", Value::Int(METADATA.into()))]);
            let hello = dict([("m", m), ("metadata_size", size.into())]);
            wire.send(&Message::Extended(0, hello.encode()))?;
        }
        wire.send(&Message::Bitfield(bitfield(&self.have)))?;
        let mut their_metadata = 0;
        loop {
            match wire.recv()? {
                Message::Interested => {
                    if let Some(hold) = &self.hold {
                        hold.wait();
                    }
                    wire.send(&Message::Unchoke)?;
                }
                Message::Request(block) => self.give(wire, block)?,
                Message::Extended(0, hello) => {
                    let (hello, _) = Value::decode(&hello).expect("bencode");
                    let id = hello.get("m").and_then(|m| m.get("ut_metadata")?.int());
                    their_metadata = id.unwrap_or(0) as u8;
                }
                Message::Extended(METADATA, ask) => {
                    let (ask, _) = Value::decode(&ask).expect("bencode");
                    let piece = ask.get("piece").and_then(Value::int).unwrap_or(0);
                    let chunk = self.torrent.info.chunks(BLOCK as usize).nth(piece as usize);
                    let mut answer = dict([
                        ("msg_type", Value::Int(1)),
                        ("piece", piece.into()),
                        ("total_size", Value::Int(self.torrent.info.len() as i64)),
                    ])
                    .encode();
                    answer.extend_from_slice(chunk.unwrap_or_default());
                    wire.send(&Message::Extended(their_metadata, answer))?;
                }
                _ => {}
            }
        }
    }

    /// Answers every request of an unchoked connection, until the other side hangs up.
    pub(crate) fn answer_requests(&self, wire: &mut Wire) -> io::Result<()> {
        loop {
            match wire.recv() {
                Ok(Message::Request(block)) => self.give(wire, block)?,
                Ok(_) => {}
                Err(e) if super::wire::is_end(&e) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }

    fn give(&self, wire: &mut Wire, block: Block) -> io::Result<()> {
        if let Some(gate) = &self.asked {
            gate.open();
        }
        if let Some(gate) = &self.after {
            gate.wait();
        }
        let spend = |left: usize| left.checked_sub(1);
        let relaxed = Ordering::Relaxed;
        if self.budget.fetch_update(relaxed, relaxed, spend).is_err() {
            return Ok(());
        }
        let data = self.torrent.block(block.index, block.begin, block.length);
        let had = self.have.get(block.index as usize) == Some(&true);
        let Some(data) = data.filter(|_| had && block.length <= BLOCK) else {
            return Err(io::Error::other(format!("asked for {block:?}")));
        };
        let mut data = data.to_vec();
        if let Some(tamper) = self.tamper {
            tamper(block, &mut data);
        }
        wire.send(&Message::Piece(block.index, block.begin, data))?;
        wire.note(Note::Served(block));
        if let Some(gate) = &self.serving {
            gate.open();
        }
        Ok(())
    }
}

/// Fetches all of `torrent` over a connection after the handshakes, as a plain leecher does, and
/// compares it. Fails if a block comes that was not requested, or while we are choked.
pub(crate) fn fetch(wire: &mut Wire, torrent: &Torrent) -> io::Result<()> {
    let mut open: VecDeque<Block> = VecDeque::new();
    for index in 0..torrent.pieces() as u32 {
        let len = torrent.piece(index as usize).len() as u32;
        let begins = (0..len).step_by(BLOCK as usize);
        open.extend(begins.map(|begin| Block::new(index, begin, BLOCK.min(len - begin))));
    }
    let mut asked: BTreeMap<Block, ()> = BTreeMap::new();
    let mut choked = true;
    wire.send(&Message::Interested)?;
    while !(open.is_empty() && asked.is_empty()) {
        while !choked && asked.len() < 32 {
            let Some(block) = open.pop_front() else { break };
            wire.send(&Message::Request(block))?;
            asked.insert(block, ());
        }
        match wire.recv()? {
            Message::Choke => {
                choked = true;
                open.extend(std::mem::take(&mut asked).into_keys());
            }
            Message::Unchoke => choked = false,
            Message::Piece(index, begin, data) => {
                let block = Block::new(index, begin, data.len() as u32);
                if asked.remove(&block).is_none() {
                    return Err(io::Error::other(format!("{block:?} was not asked for")));
                }
                if torrent.block(index, begin, block.length) != Some(&data) {
                    return Err(io::Error::other(format!("{block:?} has wrong bytes")));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Connects as a leecher with no extensions.
pub(crate) fn dial(addr: SocketAddr, torrent: &Torrent) -> io::Result<Wire> {
    let (wire, theirs) = Wire::dial(addr, Handshake::new(torrent.info_hash, PLAIN))?;
    assert_eq!(theirs.info_hash, torrent.info_hash);
    Ok(wire)
}

/// Requests the torrent's metadata over `wire`, after both handshakes, and returns it. Checks its
/// hash.
pub(crate) fn fetch_metadata(wire: &mut Wire, torrent: &Torrent) -> io::Result<Vec<u8>> {
    const OURS: u8 = 7;
    let hello = dict([("m", dict([("ut_metadata", Value::Int(OURS.into()))]))]);
    wire.send(&Message::Extended(0, hello.encode()))?;
    let (mut metadata, mut theirs) = (Vec::new(), None);
    while metadata.len() < torrent.info.len() {
        match wire.recv()? {
            Message::Extended(0, hello) => {
                let (hello, _) = Value::decode(&hello).expect("bencode");
                let size = hello.get("metadata_size").and_then(Value::int);
                if size.is_none() {
                    return Err(io::Error::other("it offers none"));
                }
                assert_eq!(size, Some(torrent.info.len() as i64));
                theirs = hello.get("m").and_then(|m| m.get("ut_metadata")?.int());
            }
            Message::Extended(OURS, body) => {
                let (_, data) = Value::decode(&body).expect("bencode");
                metadata.extend_from_slice(data);
            }
            _ => continue,
        }
        if let Some(id) = theirs {
            let piece = metadata.len() as i64 / i64::from(BLOCK);
            let ask = dict([("msg_type", Value::Int(0)), ("piece", piece.into())]);
            wire.send(&Message::Extended(id as u8, ask.encode()))?;
        }
    }
    assert_eq!(sha1(&metadata), torrent.info_hash);
    Ok(metadata)
}
