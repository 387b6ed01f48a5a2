//! The messages between main and the peer threads.
//!
//! Main owns all state of a torrent, and a peer thread owns one connection. They share no state:
//! everything that one must tell the other is a variant here. Main's sends never block; a peer
//! thread may wait for main. The thread of a web seed uses the messages that are about fetching.
//!
//! Four of a thread's events are questions, which main answers as soon as it hears them:
//!
//! | question | answer |
//! | --- | --- |
//! | [`PeerEvent::Pieces`] | [`Command::Interest`] |
//! | [`PeerEvent::Want`] | [`Command::Fetch`] |
//! | [`PeerEvent::Interested`] | [`Command::Choke`] |
//! | [`Learning::Offers`] | [`Command::FetchMetadata`] |
//!
//! So the thread may wake main up and sleep on its channel until the answer comes.
//!
//! # The question for work
//! A thread and main must agree on what the thread fetches. For this the thread keeps three flags
//! in [`Asking`], and main two numbers for each peer, `wants` and `cancels`. Messages of the two
//! directions can cross each other. The four stories below tell what would go wrong then, and what
//! prevents it.
//!
//! | message | the thread | main |
//! | --- | --- | --- |
//! | [`Want(n)`](PeerEvent::Want) → | `pending`; not `overtaken` | `wants = n` |
//! | ← [`Fetch`](Command::Fetch) with spans | not `pending`; gives them back if the peer has choked us | leases them to the thread; `wants = 0` |
//! | ← [`Fetch`](Command::Fetch) without spans | not `pending`; `hungry`, unless `overtaken` (story 1) | keeps `wants`: sends spans unasked when there are some |
//! | [`Have`](PeerEvent::Have), [`Pieces`](PeerEvent::Pieces) → | `overtaken`, not `hungry`: there may be work now | after a `Have`, looks again for work |
//! | [`Choked(false)`](PeerEvent::Choked) → | `overtaken`, not `hungry` | `wants = 0` |
//! | [`Choked(true)`](PeerEvent::Choked) → | does not ask until it is unchoked | `wants = 0` |
//! | [`Released`](PeerEvent::Released) → | `overtaken`, not `hungry` | `wants = 0` (story 2); ends the lease |
//! | ← [`Cancel`](Command::Cancel) | drops what is not written yet, and answers | `cancels + 1`: no work for this thread until it is 0 (story 4) |
//! | [`Cancelled`](PeerEvent::Cancelled) → | | `cancels - 1`; ends the lease (story 3) |
//! | [`Stored`](PeerEvent::Stored) → | | ends the lease; the block is on disk |
//!
//! The thread asks only if it is neither `pending` nor `hungry`. One question too many costs two
//! messages. One too few costs the peer, because both sides wait for ever. So when in doubt, the
//! thread asks.
//!
//! **Story 1: an answer that was overtaken** (`overtaken`).
//! 1. The thread sends `Want(40)`. Main has no work for it, answers with an empty `Fetch`, and
//!    keeps `wants = 40`.
//! 2. Before the thread reads this answer, its peer refuses a block, and the thread sends
//!    `Released`.
//! 3. Main reads `Released` and forgets the question: `wants = 0`.
//! 4. The thread reads the answer of step 1. If it became `hungry` now, it would wait for main to
//!    send work, and main for a question, for ever. But `Released` overtook the question, so the
//!    thread asks again.
//!
//! **Story 2: work that returns to the thread that gave it back** (`wants = 0` on `Released`).
//! 1. A peer is asked for all remaining blocks. So its thread is `hungry`, and main keeps
//!    `wants = 40`.
//! 2. The peer stalls. The thread gives its blocks back with `Released`.
//! 3. Main gives the free blocks to threads that want work. If this thread still counted as one,
//!    the blocks would go back to the peer that just failed to send them. So it must ask again, and
//!    others come first.
//!
//! **Story 3: a write into a verified piece** (why `Cancel` has an answer).
//! 1. At the end of a download two threads fetch the same block. The first stores it, and the piece
//!    is complete. Main sends `Cancel` to the second.
//! 2. The second thread has just received the block, and writes it. Perhaps its peer lies.
//! 3. If main had the piece verified before step 2, the bytes on disk would no longer be the
//!    verified ones. So main waits until the second thread sends `Stored` or `Cancelled`.
//!
//! **Story 4: an answer to an older message** (`cancels`).
//! 1. Main cancels a span of a thread, because another peer is to fetch it. The other peer leaves,
//!    so the span is free again.
//! 2. Suppose main gave it to the first thread now. The thread would read `Cancel`, answer
//!    `Cancelled`, then read `Fetch`, and fetch the span.
//! 3. Main would read `Cancelled` and end the lease, which is the new one. Then story 3 could
//!    happen. So a thread gets no work until it has answered all of its cancels.

use crate::bitfield::Bitfield;
use crate::layout::{PieceIndex, Span};
use crate::shortage::Shortage;
use crate::trace::GivenBack;
use crate::wire::Handshake;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Main → peer thread. When main closes the channel, the thread hangs up.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Fetch these spans. The answer to [`PeerEvent::Want`]. If it is empty, spans may come later,
    /// unasked.
    Fetch(Vec<Span>),
    /// Stop fetching these spans: another peer has stored them or takes them over. The thread
    /// answers with [`PeerEvent::Cancelled`] (stories 3 and 4 [above](self)).
    Cancel(Vec<Span>),
    /// We have verified these pieces: serve them, and tell the peer, even about pieces that it has.
    /// Not sent if the peer's greeting said that it has all pieces.
    Had(Arc<[PieceIndex]>),
    /// Something else moved, removed or replaced files, and we no longer have these pieces. Close
    /// all open files.
    Moved(Arc<[PieceIndex]>),
    /// Tell the peer whether it has a piece that we want. The answer to [`PeerEvent::Pieces`], sent
    /// again at each change.
    Interest(bool),
    /// Tell the peer whether we choke it. The answer to [`PeerEvent::Interested`], and the outcome
    /// of each choke round.
    Choke(bool),
    /// Upload this many more bytes to the peer. The answer to [`PeerEvent::WantUpload`].
    MayUpload(u64),
    /// Whether to request the metadata of the peer. The answer to [`Learning::Offers`]. After a no,
    /// a yes may come at any time.
    FetchMetadata(bool),
    /// Tell the peer about other peers (BEP 11).
    TellPeers {
        /// The peers that we connected to since the last time, with the flags of
        /// [`crate::extension::pex`].
        added: Vec<(SocketAddr, u8)>,
        /// The peers that we named before and that have gone.
        dropped: Vec<SocketAddr>,
    },
}

/// The checker's finding about a piece whose blocks were all stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The hash is right.
    Right,
    /// The hash is wrong: a peer sent false data.
    False,
    /// The hash is wrong, or bytes are missing, because a file was moved, removed, cut or replaced.
    /// No peer is at fault.
    Moved,
}

/// The result of a look at all files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Surveyed {
    /// Files that are not as we left them (missing, of another length, or another file on the
    /// disk), by index in the layout, with their paths.
    pub changed: Vec<(usize, String)>,
    /// Pieces of these files that we had, and that are missing or wrong now.
    pub lost: Vec<PieceIndex>,
}

/// Peer thread → main, from the first event of a connection to the last.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerEvent {
    /// A peer that connected to us sent its first byte.
    Spoke,
    /// The peer sent its handshake. The thread waits until main welcomes it.
    Greeted(Greeting),
    /// The peer has these pieces. Usually sent once, at the start. A question.
    Pieces(Bitfield),
    /// The peer has one more piece.
    Have(PieceIndex),
    /// Whether the peer wants a piece that we have. A question.
    Interested(bool),
    /// Whether the peer chokes us.
    Choked(bool),
    /// The peer can be asked for this many more blocks. A question.
    Want(u32),
    /// These spans are on disk, not verified.
    Stored(Vec<Span>),
    /// The peer will not send these spans, for this reason. The thread writes nothing more of them.
    /// Withdraws any [`PeerEvent::Want`] that got no work yet (story 2 [above](self)).
    Released(Vec<Span>, GivenBack),
    /// The thread obeyed a [`Command::Cancel`], and writes nothing more of these spans.
    Cancelled(Vec<Span>),
    /// The peer owes us blocks and sent none for [`crate::peer::session::SNUB_AFTER`].
    Snubbed,
    /// The peer requests blocks of this many bytes, and there is an upload limit.
    WantUpload(u64),
    /// The facts of the peer's extension handshake (BEP 10).
    Client(Client),
    /// The peer's DHT node takes queries on this UDP port (BEP 5).
    DhtPort(u16),
    /// The peer named these peers (BEP 11).
    Peers(Vec<SocketAddr>),
    /// The progress of the metadata, while we have none.
    Learning(Learning),
    /// News about a web seed.
    Web(Web),
    /// Payload bytes since the last time. Sent twice a second if there were any, always before
    /// [`PeerEvent::Stored`] and [`PeerEvent::Cancelled`], and at the end.
    Traffic {
        /// Bytes received.
        down: u64,
        /// Bytes sent.
        up: u64,
    },
    /// A block or piece could not be written or read. The text is for the user.
    DiskFailed(String),
    /// A block that we have, and that the peer requested, is no longer on disk.
    Missing(String),
    /// The process has reached its limit of open files. This connection ends, perhaps enough for
    /// the others to go on. The text is for the user, if there are no others.
    OutOfFiles(String),
    /// The connection ended, for this reason. Always the last event.
    Closed(End),
}

/// How a peer begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Greeting {
    /// Its handshake.
    pub handshake: Handshake,
    /// Whether the connection is obfuscated (MSE).
    pub obfuscated: bool,
}

/// What a peer says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// The name and version of its program.
    pub name: Option<String>,
    /// The port that it listens on.
    pub port: Option<u16>,
    /// Whether it only uploads: a seed, or a partial seed (BEP 21).
    pub upload_only: bool,
    /// Whether it accepts addresses of other peers (BEP 11).
    pub pex: bool,
}

/// What a peer contributes to the metadata (BEP 9).
#[derive(Clone, Debug, PartialEq)]
pub enum Learning {
    /// The peer says that it has the metadata, of this many bytes. A question.
    Offers(u32),
    /// The peer has sent this many bytes of it in all, not verified.
    Came(u32),
    /// The complete metadata. Its SHA-1 is the info hash.
    Whole(Vec<u8>),
    /// The peer sends none of it for now.
    Refused,
    /// The peer sent false metadata. Its connection ends.
    False,
}

/// News that only a web seed (BEP 19) has, beside its events as a peer.
#[derive(Clone, Debug, PartialEq)]
pub enum Web {
    /// The server does not have this file as it should be. It will send no piece with a part of it.
    Lacks {
        /// The file's index in the layout.
        file: usize,
        /// What is wrong with it.
        why: String,
    },
    /// We may not ask this server, or not believe its answers. The text is for the user.
    Barred(String),
    /// The server wants no request for this time. Sent just before [`PeerEvent::Closed`].
    ComeBack(Duration),
}

/// The state of a thread's question for work, [`PeerEvent::Want`]: its half of the protocol
/// [above](self).
#[derive(Debug, Default)]
pub(crate) struct Asking {
    /// The question is not answered yet.
    pending: bool,
    /// The answer was that there is no work. Main sends work when there is some.
    hungry: bool,
    /// After the question, something happened that calls for a new one (story 1).
    overtaken: bool,
}

impl Asking {
    pub(crate) fn is_pending(&self) -> bool {
        self.pending
    }

    pub(crate) fn is_hungry(&self) -> bool {
        self.hungry
    }

    pub(crate) fn may_ask(&self) -> bool {
        !self.pending && !self.hungry
    }

    /// Records that the question is sent.
    pub(crate) fn ask(&mut self) {
        (self.pending, self.overtaken) = (true, false);
    }

    /// Records the answer: work, or none.
    pub(crate) fn on_fetch(&mut self, spans: &[Span]) {
        self.pending = false;
        self.hungry = spans.is_empty() && !self.overtaken;
    }

    /// Records that there may be work now, or that work was given back, which makes main forget the
    /// question.
    pub(crate) fn wake(&mut self) {
        (self.hungry, self.overtaken) = (false, true);
    }
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// The kind, for counting.
    pub kind: EndKind,
    /// The reason in words.
    pub text: String,
}

/// The kinds of ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndKind {
    /// A machine answers, but no program listens at this port.
    Refused,
    /// The connection or the handshake took too long.
    TimedOut,
    /// There is no route to the peer.
    Unreachable,
    /// The proxy refuses to connect to it.
    Barred,
    /// We can reach nobody: the address of `--bind` or the proxy is gone. Not the peer's fault.
    NoWay,
    /// We lack a thread or an open file. Not the peer's fault.
    Short(Shortage),
    /// Any other reason.
    Other,
}

impl<T: Into<String>> From<T> for End {
    fn from(text: T) -> Self {
        Self {
            kind: EndKind::Other,
            text: text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_overtaken_says_nothing() {
        let mut work = Asking::default();
        work.ask();
        assert!(work.is_pending() && !work.may_ask());
        work.on_fetch(&[]);
        assert!(work.is_hungry() && !work.may_ask(), "main will send work");
        work.wake();
        assert!(work.may_ask());
        work.ask();
        work.wake(); // as in story 1
        work.on_fetch(&[]);
        assert!(
            !work.is_hungry() && work.may_ask(),
            "nobody else would move"
        );
    }
}
