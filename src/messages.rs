//! What main and the peer threads say to one another.
//!
//! Main owns all state of a torrent; a peer thread owns one connection. They share
//! nothing, so everything that either must know of the other is a variant here. Main's
//! sends never block; a peer thread may wait for main. The thread of a web seed says and
//! is told the same, as far as it concerns fetching.
//!
//! Four of a thread's events are questions: [`PeerEvent::Pieces`], [`PeerEvent::Want`],
//! [`PeerEvent::Interested`] and [`Learning::Offers`]. Main always answers them,
//! at once, with [`Command::Interest`], [`Command::Fetch`], [`Command::Choke`] and
//! [`Command::FetchMetadata`]: so the thread may sleep on its channel until then, and
//! starts its work the moment it is there.
//!
//! # The question for work
//! Who fetches what is agreed in a protocol of two halves: the thread keeps three flags in
//! [`Asking`], and main keeps two numbers for each peer, `wants` and `cancels`. Messages in
//! the two directions cross each other; each flag is there for one way in which they do.
//!
//! | message | the thread | main |
//! | --- | --- | --- |
//! | [`Want(n)`](PeerEvent::Want) → | `pending`; not `overtaken` | `wants = n` |
//! | ← [`Fetch`](Command::Fetch) with spans | not `pending`; gives them back if the peer chokes us by now | leases them to the thread; `wants = 0` |
//! | ← [`Fetch`](Command::Fetch) with none | not `pending`; `hungry`, unless `overtaken` (story 1) | keeps `wants`: spans follow unasked, once there are some |
//! | [`Have`](PeerEvent::Have), [`Pieces`](PeerEvent::Pieces) → | `overtaken`, not `hungry`: there may be work now | looks again after a `Have` |
//! | [`Choked(false)`](PeerEvent::Choked) → | the same | `wants = 0` |
//! | [`Choked(true)`](PeerEvent::Choked) → | asks nothing before it is unchoked | `wants = 0` |
//! | [`Released`](PeerEvent::Released) → | `overtaken`, not `hungry` | `wants = 0` (story 2); the lease ends |
//! | ← [`Cancel`](Command::Cancel) | drops what is not written yet, and answers | `cancels + 1`: no work for this thread until it is 0 (story 4) |
//! | [`Cancelled`](PeerEvent::Cancelled) → | | `cancels - 1`; the lease ends (story 3) |
//! | [`Stored`](PeerEvent::Stored) → | | the lease ends, the block is there |
//!
//! The thread asks only if it is neither `pending` nor `hungry`. One question too many costs
//! two messages, and one too few costs the peer: nobody would ever move again. So when in
//! doubt the thread asks.
//!
//! **Story 1: an answer that was overtaken** (`overtaken`).
//! 1. The thread sends `Want(40)`. Main has nothing for it, answers `Fetch` with no spans,
//!    and keeps `wants = 40`.
//! 2. The peer refuses a block, and the thread sends `Released`, before it hears that answer.
//! 3. Main hears `Released` and forgets the question: `wants = 0`.
//! 4. The thread hears the answer of step 1. If that made it `hungry`, it would wait for main
//!    to send work, and main would wait to be asked: for ever. But the question was
//!    overtaken in step 2. So the answer says nothing, and the thread asks again.
//!
//! **Story 2: work that comes back to who gave it back** (`wants = 0` on `Released`).
//! 1. A peer is asked for all that there is to fetch, so its thread is `hungry`; main keeps
//!    `wants = 40`.
//! 2. The peer stalls. The thread gives its blocks back by `Released`.
//! 3. Main gives what came free to those who want work. If this thread were still among them,
//!    it would get the same blocks for the peer that just failed to send them. It has to ask
//!    anew, and others come first.
//!
//! **Story 3: a write into a verified piece** (why `Cancel` has an answer).
//! 1. At the end of a download two threads fetch the same block. The first stores it, and the
//!    piece is complete. Main sends `Cancel` to the second.
//! 2. The second has just received the block, and writes it. Perhaps its peer lies.
//! 3. If main let the piece be verified before step 2, what was verified would not be what
//!    stays on the disk. So it waits until the second thread says `Stored` or `Cancelled`.
//!
//! **Story 4: an answer that is taken for a later one** (`cancels`).
//! 1. Main sends `Cancel` of a span to a thread, as another peer is to bring it. That peer
//!    leaves, so the span is free again.
//! 2. If main gave it to the first thread now, that would hear `Cancel`, answer `Cancelled`,
//!    then hear `Fetch`, and fetch the span.
//! 3. Main would hear `Cancelled` and end the lease, the new one: and story 3 could happen.
//!    So a thread gets no work until all of its cancels are answered.

use crate::bitfield::Bitfield;
use crate::layout::{PieceIndex, Span};
use crate::shortage::Shortage;
use crate::wire::Handshake;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Main → peer thread. A closed channel means: hang up.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Fetch these spans: the answer to [`PeerEvent::Want`]; empty if there is no work
    /// now. May also come later, unasked, to a peer whose answer was empty.
    Fetch(Vec<Span>),
    /// Somebody else has these, or takes them over. To be answered by
    /// [`PeerEvent::Cancelled`]: see stories 3 and 4 [above](self).
    Cancel(Vec<Span>),
    /// We have these pieces now, verified: they may be served, and the peer is to hear of them,
    /// also of those that it has. Not sent to a peer that said in its greeting that it has all.
    Had(Arc<[PieceIndex]>),
    /// Files were moved, removed or replaced by others: those that the thread holds open are
    /// to be closed. These pieces we no longer have.
    Moved(Arc<[PieceIndex]>),
    /// Whether the peer has anything that we want: to be told to it. The answer to
    /// [`PeerEvent::Pieces`]; comes again whenever it changes.
    Interest(bool),
    /// Whether the peer's requests are refused: to be told to it. The answer to
    /// [`PeerEvent::Interested`], and the outcome of each choke round.
    Choke(bool),
    /// The peer may be sent this many bytes more: the answer to
    /// [`PeerEvent::WantUpload`], if there is an upload limit.
    MayUpload(u64),
    /// Whether the peer is to be asked for the metadata: the answer to
    /// [`Learning::Offers`]. After a no, a yes may come at any time.
    FetchMetadata(bool),
    /// To be told to the peer (BEP 11).
    TellPeers {
        /// Whom we are connected to since the last time, with the flags of
        /// [`crate::extension::pex`].
        added: Vec<(SocketAddr, u8)>,
        /// Who of those told before has gone.
        dropped: Vec<SocketAddr>,
    },
}

/// What the checker found out about a piece whose blocks were all stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It has the hash that it must have.
    Right,
    /// It has another hash: somebody gave false data.
    False,
    /// It has another hash, or is not there at all, because what was stored is no longer
    /// where it was: a file was moved, removed, cut or replaced. That is no peer's fault.
    Moved,
}

/// What a look at all files found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Surveyed {
    /// Files of the layout that are not as they were left, and the path of each: missing,
    /// of another length, or another file of the disk.
    pub changed: Vec<(usize, String)>,
    /// Pieces of them that were had, and are not there any more, or not right.
    pub lost: Vec<PieceIndex>,
}

/// Peer thread → main, from the first event of a connection to the last.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerEvent {
    /// The first byte came of a peer that connected to us.
    Spoke,
    /// The peer answers, and this is its handshake. The thread waits to be welcomed.
    Greeted(Handshake),
    /// These are the pieces that it has: usually once, at the start. A
    /// question, answered by [`Command::Interest`].
    Pieces(Bitfield),
    /// It has one more.
    Have(PieceIndex),
    /// Whether it wants anything that we have. A question.
    Interested(bool),
    /// Whether it refuses our requests.
    Choked(bool),
    /// It can be asked for this many blocks more. A question.
    Want(u32),
    /// These are on disk (not verified).
    Stored(Vec<Span>),
    /// These will not come from it (it choked us, refused, stalled, or is too slow);
    /// nothing of them will be written any more. A question that is not answered yet, or was
    /// answered with nothing, is withdrawn: see story 2 [above](self).
    Released(Vec<Span>),
    /// A [`Command::Cancel`] of these was obeyed; nothing of them will be written any more.
    Cancelled(Vec<Span>),
    /// No block came for [`crate::peer::session::SNUB_AFTER`] though some are owed.
    Snubbed,
    /// It wants blocks of this many bytes, and there is an upload limit.
    WantUpload(u64),
    /// What its extension handshake says of it (BEP 10).
    Client(Client),
    /// Its node of the DHT takes queries on this UDP port (BEP 5).
    DhtPort(u16),
    /// It knows of these peers (BEP 11).
    Peers(Vec<SocketAddr>),
    /// What comes of the metadata, while we have none.
    Learning(Learning),
    /// What is to be known of a web seed.
    Web(Web),
    /// Payload bytes since the last time: twice a second if there were any, always before
    /// [`PeerEvent::Stored`] and [`PeerEvent::Cancelled`], and at the end.
    Traffic {
        /// Received.
        down: u64,
        /// Sent.
        up: u64,
    },
    /// A block or piece could not be written or read: the user must be told.
    DiskFailed(String),
    /// A block that we have, and that the peer asked for, is not on the disk any more.
    Missing(String),
    /// The process has as many files and connections open as it may: this one ends, and
    /// then it may work again for the others. For the user, if there are no others.
    OutOfFiles(String),
    /// The connection is over, for this reason; always the last event.
    Closed(End),
}

/// Who a peer says that it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Name and version, as it calls itself.
    pub name: Option<String>,
    /// The port that it listens on.
    pub port: Option<u16>,
    /// It only gives: a seed, or a partial one (BEP 21).
    pub upload_only: bool,
    /// It takes addresses of other peers (BEP 11).
    pub pex: bool,
}

/// What a peer gives of the metadata (BEP 9).
#[derive(Clone, Debug, PartialEq)]
pub enum Learning {
    /// It can give the metadata, which has this many bytes by its own account. A question,
    /// answered by [`Command::FetchMetadata`].
    Offers(u32),
    /// This many bytes of it have come from the peer in all, not verified.
    Came(u32),
    /// All of it; its SHA-1 is the info hash.
    Whole(Vec<u8>),
    /// The peer gives none of it now.
    Refused,
    /// What it gave is false. Its connection ends.
    False,
}

/// What a web seed (BEP 19) says of itself, beside what it says as a peer does.
#[derive(Clone, Debug, PartialEq)]
pub enum Web {
    /// It has not this file as it should be: no piece with a part of it will come from there.
    Lacks {
        /// The file, by its index in the layout.
        file: usize,
        /// What is wrong with it.
        why: String,
    },
    /// It may not be asked, or not be believed, for this reason: for the user.
    Barred(String),
    /// It should be left alone for at least this time; comes just before
    /// [`PeerEvent::Closed`].
    ComeBack(Duration),
}

/// Where a thread stands with its question for work, [`PeerEvent::Want`]: the thread's half of
/// the protocol that is told [above](self).
#[derive(Debug, Default)]
pub(crate) struct Asking {
    /// The question is not answered yet.
    pending: bool,
    /// It was answered with nothing: main will send work when there is some.
    hungry: bool,
    /// Since the question something changed that calls for another one: see story 1.
    overtaken: bool,
}

impl Asking {
    /// Whether main owes an answer.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending
    }

    /// Whether main had nothing.
    pub(crate) fn is_hungry(&self) -> bool {
        self.hungry
    }

    /// Whether it is time to ask, if there is need.
    pub(crate) fn may_ask(&self) -> bool {
        !self.pending && !self.hungry
    }

    /// The question goes out.
    pub(crate) fn ask(&mut self) {
        (self.pending, self.overtaken) = (true, false);
    }

    /// Work came, or the answer that there is none.
    pub(crate) fn on_fetch(&mut self, spans: &[Span]) {
        self.pending = false;
        self.hungry = spans.is_empty() && !self.overtaken;
    }

    /// There may be work now where there was none before; or work was given back, which
    /// makes main forget the question.
    pub(crate) fn wake(&mut self) {
        (self.hungry, self.overtaken) = (false, true);
    }
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// For counting.
    pub kind: EndKind,
    /// For people.
    pub text: String,
}

/// What kind of end it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndKind {
    /// There is a machine, but nothing listens at this port.
    Refused,
    /// No connection, or no handshake, within the time for it.
    TimedOut,
    /// There is no way to there from here.
    Unreachable,
    /// The proxy won't connect to it.
    Barred,
    /// It is no fault of the peer's: nobody can be reached, as the address of `--bind` or the
    /// proxy is gone, say.
    NoWay,
    /// It is no fault of the peer's: we have not what a connection takes.
    Short(Shortage),
    /// Any other.
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
