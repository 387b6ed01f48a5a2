//! A scripted peer of the demo: a seed that keeps the rules of the protocol, or breaks one of them.
//!
//! It plays what no real client does: it lies, say, or unchokes and then says nothing. It has the
//! whole content in memory, a line of a given rate, and a [`Script`]. It speaks the plain protocol
//! ([`wire`](crate::wire)) with the fast extension, and gives metadata (BEP 6, 9 and 10). One
//! thread listens, and each connection has a thread, as in the [engine](crate::engine).

mod talk;

use super::content::Content;
use super::scenes::Actor;
use crate::door::Door;
use crate::layout::{BLOCK_LEN, PieceIndex};
use crate::metainfo::Metainfo;
use crate::threads;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use talk::Talk;

/// How long it may take to wake our own listener.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Script {
    /// It keeps all rules.
    Honest,
    /// Each block that it sends lacks its last 100 bytes.
    ShortBlocks,
    /// Its bitfield has one byte too many.
    LongBitfield,
    NeverUnchokes,
    /// One byte is wrong in each block whose number on a connection is a multiple of this.
    LiesOneIn(u32),
    /// It hangs up when the scripted peers together have sent this many of 100 blocks. The others
    /// send no more before it has.
    ClosesAt(u32),
    /// It keeps all rules, but its metadata comes two seconds late.
    LateMetadata,
    /// It keeps all rules, and gives no metadata.
    NoMetadata,
    /// Its metadata has one wrong byte.
    FalseMetadata,
    /// It unchokes, and answers no request.
    SilentAfterUnchoke,
    /// It has only the first half of the pieces, but says `have` for all others, too, and then
    /// refuses requests for them.
    FalseHaves,
    /// It shows each peer one piece at a time, and the next when another peer has that (BEP 16).
    SuperSeeds,
}

/// The content, in memory, that scripted peers share.
#[derive(Clone, Debug)]
pub(super) struct Stock {
    pub metainfo: Metainfo,
    pub bytes: Arc<[u8]>,
    sent: Arc<AtomicU32>,
    /// After this number of blocks they wait until one of them has hung up.
    held_at: Arc<AtomicU32>,
}

impl Stock {
    pub(super) fn new(content: &Content, metainfo: &Metainfo) -> io::Result<Self> {
        Ok(Self {
            metainfo: metainfo.clone(),
            bytes: content.bytes()?.into(),
            sent: Arc::default(),
            held_at: Arc::new(AtomicU32::new(u32::MAX)),
        })
    }

    fn blocks(&self) -> u32 {
        (self.bytes.len() as u64).div_ceil(BLOCK_LEN.into()) as u32
    }

    /// Has the peers wait after this number of blocks.
    fn hold(&self, blocks: u32) {
        self.held_at.store(blocks, Ordering::Relaxed);
    }

    /// Whether they have sent that number.
    fn holds(&self) -> bool {
        self.sent.load(Ordering::Relaxed) >= self.held_at.load(Ordering::Relaxed)
    }

    pub(super) fn sent(&self) -> f64 {
        let sent = u64::from(self.sent.load(Ordering::Relaxed)) * u64::from(BLOCK_LEN);
        sent as f64 / self.bytes.len() as f64
    }
}

/// A running scripted peer. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Scripted {
    addr: SocketAddr,
    over: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Scripted {
    /// Listens on any free port of 127.0.0.1.
    pub(super) fn start(actor: &Actor, stock: &Stock) -> io::Result<Self> {
        let Actor { name, script, rate } = *actor;
        let door = Door::at(Ipv4Addr::LOCALHOST);
        let listener = door.listen(0)?;
        let addr = listener.local_addr()?;
        let over = Arc::new(AtomicBool::new(false));
        let part = Part {
            name,
            script,
            rate,
            stock: stock.clone(),
            spread: Arc::new(Spread::new(stock.metainfo.layout.pieces())),
            over: over.clone(),
        };
        let thread = Builder::new().name(format!("demo {name}"));
        let listener = threads::spawn(
            thread,
            "play a part",
            move || part.welcome(&listener),
            || (),
        )
        .map_err(io::Error::other)?;
        Ok(Self {
            addr,
            over,
            listener: Some(listener),
        })
    }

    /// Its address, as `--peer` takes it.
    pub(super) fn addr(&self) -> String {
        self.addr.to_string()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // The thread sleeps in `accept`; a connection wakes it.
        if Door::at(Ipv4Addr::LOCALHOST)
            .connect(self.addr, PATIENCE)
            .is_ok()
            && let Some(listener) = self.listener.take()
        {
            let _ = listener.join();
        }
    }
}

#[derive(Clone)]
struct Part {
    name: &'static str,
    script: Script,
    /// Bytes a second.
    rate: u32,
    stock: Stock,
    spread: Arc<Spread>,
    over: Arc<AtomicBool>,
}

impl Part {
    fn welcome(self, listener: &TcpListener) {
        let mut talks = Vec::new();
        for stream in listener.incoming().flatten() {
            if self.is_over() {
                break;
            }
            let part = self.clone();
            let thread = Builder::new().name(format!("demo {}", self.name));
            // An error ends this conversation only.
            let talk = move || drop(Talk::new(&part, stream).and_then(Talk::play));
            talks.extend(threads::spawn(thread, "play a part", talk, || ()));
        }
        for talk in talks {
            let _ = talk.join();
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// How a super-seed's pieces spread: how often it showed each piece, and how many peers have it
/// from others.
#[derive(Debug)]
struct Spread(Vec<[AtomicU32; 2]>);

impl Spread {
    fn new(pieces: u32) -> Self {
        Self((0..pieces).map(|_| Default::default()).collect())
    }

    /// A peer has `piece`, and not from us.
    fn note(&self, piece: PieceIndex) {
        self.0[piece.index()][1].fetch_add(1, Ordering::Relaxed);
    }

    /// Whether `piece` has come from one peer to another.
    fn has(&self, piece: PieceIndex) -> bool {
        self.0[piece.index()][1].load(Ordering::Relaxed) > 0
    }

    /// Chooses the one of `pieces` that was shown least often.
    fn next(&self, pieces: impl Iterator<Item = PieceIndex>) -> Option<PieceIndex> {
        let shown = |piece: &PieceIndex| self.0[piece.index()][0].load(Ordering::Relaxed);
        let piece = pieces.min_by_key(shown)?;
        self.0[piece.index()][0].fetch_add(1, Ordering::Relaxed);
        Some(piece)
    }
}
