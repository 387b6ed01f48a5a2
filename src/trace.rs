//! The facts of a run: what each torrent decided and what happened to it, one [`Event`] at a time.
//!
//! Whoever decides something tells the fact, mostly [`torrent`](crate::torrent), and only if
//! somebody listens: see [`Turn::tell`](crate::torrent::Turn). `--trace` writes each fact as a line
//! of JSON ([`Event::write_line`]; [`Event::read`] reads one), `-v` tells some to people in
//! sentences, `-vv` all of them. No I/O.
//!
//! # Lines
//! Each line is one JSON object. These keys stand in front of the fact's own:
//!
//! | key | where | value |
//! | --- | --- | --- |
//! | `t` | always | seconds since the start; all of a process has one clock |
//! | `fact` | always | a name of the table below |
//! | `node` | always | who tells it: 0 is we; the demo and the simulator have others |
//! | `torrent` | where it belongs to one | its info hash, 40 hex digits |
//! | `peer` | where it belongs to one | the number of one connection; a peer that comes back has another one |
//! | `piece` | where it belongs to one | the piece's number, from 0 |
//!
//! The facts, with their own keys. A key without a value is left out.
//!
//! | fact | of | further keys |
//! | --- | --- | --- |
//! | `torrent` | | `name`, `total_bytes`, `piece_length`, `pieces`, `files` (their number), `have` (a hex bitfield of the pieces that were there), `peer_id` (ours, 40 hex digits), `node_name`. The first fact of a torrent; with a magnet link it comes when the metadata is here and the disk was checked |
//! | `dialled`, `accepted` | peer | `addr` (`IP:PORT`; of a web seed its scheme, host and port), `over` (`tcp`, `http`): we try to connect to it; it has connected to us and named this torrent |
//! | `handshake` | peer | `peer_id` (its own, 40 hex digits), `bits` (16 hex digits: the extensions that it knows, [`Handshake::reserved`](crate::wire::Handshake)), `obfuscated` |
//! | `client` | peer | `client` (the name of its program, as it says) |
//! | `has` | peer | `pieces` (how many it has), `bits` (a hex bitfield of them): said once the pieces are known |
//! | `have` | peer, piece | it has one more piece |
//! | `choked`, `unchoked`, `interested`, `uninterested` | peer | `who` (`us`: we did it to the peer; `peer`: it to us). `unchoked` by us: `why` (`round`, `place free`) |
//! | `granted` | peer, piece | `from`, `to` (numbers of blocks, half open): it is asked for these blocks; `why` (`finish`: rest of a begun piece; `random`: one of our first pieces; `rarest`; `neighbour` of a piece just begun; `order`: the user wants them in order; `alone`: after a false hash one peer sends all) |
//! | `stored` | peer, piece | `from`, `to`: these blocks came and are on disk |
//! | `given_back` | peer, piece | `from`, `to`, `why` (`choked`, `refused`, `slow`, `snubbed`, `cancelled`): it will not send these blocks |
//! | `taken_over` | peer, piece | `from`, `to`: the peer loses these blocks; `by` (the number of the peer that is now asked); `too` (true: it is now asked of both) |
//! | `window` | peer | `blocks` (how many requests it may have at a time), `on_order` (how many blocks it is to send), `rate` (bytes/s from it): at most once a second |
//! | `gave` | peer | `bytes` that we sent it since the last time: at most once a second |
//! | `verified`, `false` | piece | `givers` (numbers of the peers that sent its blocks): its hash is right, or wrong |
//! | `banned` | peer, piece | `addr`, `blocks` (numbers of those that differed), `why` (`false piece`: all of it came from this peer; `false blocks`: they differ from those of the right piece; `false metadata`: without a piece) |
//! | `round` | | `unchoked` (numbers of the peers that we serve from now on), `optimistic` (the one drawn by lot), `wanting` (all that want something of us as `[peer, rate]`, best first), `slots`, `seeding` |
//! | `endgame`, `complete` | | every missing block is on order; all wanted pieces are verified |
//! | `snubbed` | peer | it owes us blocks and sent none for 20 s |
//! | `announced` | | `tracker` (scheme, host and port), `event` (`started`, `completed`, `stopped`, `none`), `peers` (how many it named) or `error` |
//! | `closed` | peer | `why`, `down`, `up` (bytes of blocks from it and to it). What it had on order is free again |
//! | `lost` | | `facts`: this many are missing here, because the disk was too slow |
//!
//! Keys and facts may be added, but never removed or renamed: a reader passes over what it does not
//! know, as [`Event::read`] does.
//!
//! # For a simulator
//! Nothing here knows a thread, a file or the real time. Give each node a [`Witness`] with its own
//! number and name, and all of them the same `start`, and lend it to every
//! [`Turn::traced`](crate::torrent::Turn::traced). The facts are then among the turn's actions, as
//! [`Report::Trace`](crate::report::Report::Trace), with the node's number and the virtual time.

mod hex;

use crate::human;
use crate::types::{InfoHash, PeerId, PeerKey};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest line that is read, in bytes: twice the longest that is written, a bitfield of the
/// most pieces in hex.
pub(crate) const MAX_LINE: usize = 1 << 20;

/// The client that tells facts, and its clock.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The number of the client that tells them: 0 is we.
    pub node: u32,
    /// Its name for people, if it has one.
    pub name: Arc<str>,
    /// Time 0, the same for all clients of a process.
    pub start: Instant,
}

impl Witness {
    /// The only client of a process that started at `start`.
    pub fn only(start: Instant) -> Self {
        let name = "we".into();
        Self {
            node: 0,
            name,
            start,
        }
    }
}

/// One fact, with its time and place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Since the start.
    #[serde(with = "seconds")]
    pub t: Duration,
    /// The client that tells it: see [`Witness::node`].
    pub node: u32,
    /// The connection, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerKey>,
    /// The piece, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub piece: Option<u32>,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
    /// The torrent, if it is about one.
    #[serde(default, with = "hex", skip_serializing_if = "Option::is_none")]
    pub torrent: Option<InfoHash>,
}

/// What happened. The table [above](self) explains each fact and each key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
#[allow(missing_docs)] // the table above has them all
pub enum Fact {
    Torrent(Box<About>),
    Dialled {
        addr: String,
        over: Over,
    },
    Accepted {
        addr: String,
        over: Over,
    },
    Handshake {
        #[serde(with = "hex")]
        peer_id: PeerId,
        #[serde(with = "hex")]
        bits: [u8; 8],
        obfuscated: bool,
    },
    Client {
        client: String,
    },
    Has {
        pieces: u32,
        #[serde(with = "hex")]
        bits: Vec<u8>,
    },
    Have,
    Choked {
        who: Side,
    },
    Unchoked {
        who: Side,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Unchoke>,
    },
    Interested {
        who: Side,
    },
    Uninterested {
        who: Side,
    },
    Granted {
        from: u32,
        to: u32,
        why: Grant,
    },
    Stored {
        from: u32,
        to: u32,
    },
    GivenBack {
        from: u32,
        to: u32,
        why: GivenBack,
    },
    TakenOver {
        by: PeerKey,
        from: u32,
        to: u32,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        too: bool,
    },
    Window {
        blocks: u32,
        on_order: u32,
        rate: u64,
    },
    Gave {
        bytes: u64,
    },
    Verified {
        givers: Vec<PeerKey>,
    },
    False {
        givers: Vec<PeerKey>,
    },
    Banned {
        addr: String,
        blocks: Vec<u32>,
        why: Ban,
    },
    Round {
        unchoked: Vec<PeerKey>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        optimistic: Option<PeerKey>,
        wanting: Vec<(PeerKey, u64)>,
        slots: usize,
        seeding: bool,
    },
    Endgame,
    Complete,
    Snubbed,
    Announced {
        tracker: String,
        event: Announce,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peers: Option<usize>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    Closed {
        why: String,
        down: u64,
        up: u64,
    },
    Lost {
        facts: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // the table above has them all
pub struct About {
    pub name: String,
    pub total_bytes: u64,
    pub piece_length: u32,
    pub pieces: u32,
    pub files: usize,
    #[serde(with = "hex")]
    pub have: Vec<u8>,
    #[serde(with = "hex")]
    pub peer_id: PeerId,
    pub node_name: String,
}

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// A peer's TCP connection.
    Tcp,
    /// A web seed (BEP 19).
    Http,
}

/// Which side of a connection did something to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// We to the peer.
    Us,
    /// The peer to us.
    Peer,
}

/// Why we unchoke a peer: see [`choker`](crate::choker).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unchoke {
    /// The choice of every 10 s.
    Round,
    /// A place was free between two choices.
    #[serde(rename = "place free")]
    PlaceFree,
}

/// Why a peer is asked for just these blocks: see [`picker`](crate::picker).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// They are left of a piece that was begun.
    Finish,
    /// Our first pieces are chosen at random.
    Random,
    /// Fewest peers have the piece.
    Rarest,
    /// The piece follows one that was begun just now, and is as rare.
    Neighbour,
    /// The user wants the pieces in order; a web seed sends them in long runs.
    Order,
    /// The piece was false, and now one peer sends all of it.
    Alone,
}

/// Why a peer will not send blocks that it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GivenBack {
    /// It choked us.
    Choked,
    /// It refused these blocks (BEP 6), or does not have them.
    Refused,
    /// It would need too long for all that it was asked for.
    Slow,
    /// It sent nothing for 20 s.
    Snubbed,
    /// We withdrew them, because another peer sends or has sent them.
    Cancelled,
}

/// Why somebody is banned: see [`blame`](crate::torrent::blame).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ban {
    /// All of a piece came from it, and the hash is wrong.
    #[serde(rename = "false piece")]
    FalsePiece,
    /// Some of its blocks differ from those of the right piece.
    #[serde(rename = "false blocks")]
    FalseBlocks,
    /// It sent false metadata (BEP 9).
    #[serde(rename = "false metadata")]
    FalseMetadata,
}

/// What a tracker was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Announce {
    Started,
    Completed,
    Stopped,
    /// We are still there.
    None,
}

/// The names of all facts.
pub const FACTS: [&str; 27] = [
    "torrent",
    "dialled",
    "accepted",
    "handshake",
    "client",
    "has",
    "have",
    "choked",
    "unchoked",
    "interested",
    "uninterested",
    "granted",
    "stored",
    "given_back",
    "taken_over",
    "window",
    "gave",
    "verified",
    "false",
    "banned",
    "round",
    "endgame",
    "complete",
    "snubbed",
    "announced",
    "closed",
    "lost",
];

/// A line is no fact of a trace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAFact {
    /// It is no JSON object, or a key is missing or has a value of another kind.
    #[error("not a line of a trace: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It is longer than any line that we write.
    #[error("a line of {0} bytes is no line of a trace")]
    TooLong(usize),
}

impl Event {
    /// Adds the event to `lines`, as a line of JSON.
    pub fn write_line(&self, lines: &mut Vec<u8>) {
        let start = lines.len();
        // A vector takes everything, and all keys are strings.
        let _ = serde_json::to_writer(&mut *lines, self);
        if !lines[start..].is_ascii() {
            // Somebody may read the file in a terminal.
            let line = human::escaped_json(&String::from_utf8_lossy(&lines[start..]));
            lines.splice(start.., line.into_bytes());
        }
        lines.push(b'\n');
    }

    /// As [`Event::write_line`], on its own.
    pub fn line(&self) -> String {
        let mut line = Vec::new();
        self.write_line(&mut line);
        String::from_utf8_lossy(&line).into_owned()
    }

    /// Reads a line of a trace, which may come from anywhere. Returns `None` for an unknown fact,
    /// and passes over unknown keys.
    ///
    /// # Errors
    /// [`NotAFact`]: it is no JSON object, lacks a key, or is too long.
    pub fn read(line: &str) -> Result<Option<Self>, NotAFact> {
        #[derive(Deserialize)]
        struct Head {
            fact: String,
        }
        if line.len() > MAX_LINE {
            return Err(NotAFact::TooLong(line.len()));
        }
        let head: Head = serde_json::from_str(line)?;
        if !FACTS.contains(&&*head.fact) {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(line)?))
    }
}

/// A time as seconds, to the microsecond.
mod seconds {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(t: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(t.as_micros() as f64 / 1e6)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(from)?;
        Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod tests;
