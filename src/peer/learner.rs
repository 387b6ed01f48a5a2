//! The conversation with a peer while we have only a magnet link ([BEP 9]), as rules without a
//! socket.
//!
//! Without the metadata we know neither the number nor the length of the pieces, so we can request
//! no blocks. We request all of the metadata from each of several peers. The first peer whose bytes
//! have the info hash as their SHA-1 wins. This costs a little more traffic than sharing the work
//! out, but a liar can spoil only its own copy, and we know at once who lied.
//!
//! The peer's other messages (bitfield, unchoke, extension handshake) can't be judged yet. We keep
//! them as they came for the [`Session`], which takes over when the metadata is known.
//!
//! [BEP 9]: https://www.bittorrent.org/beps/bep_0009.html
//! [`Session`]: super::session::Session

use super::error::PeerError;
use super::talk::Talk;
use super::turn::{Blocks, Debts};
use crate::extension::metadata::{self, MAX_LEN, PIECE_LEN};
use crate::extension::{self, OUR_METADATA};
use crate::layout::RawBlock;
use crate::messages::{Command, Learning, PeerEvent};
use crate::types::InfoHash;
use crate::wire::Message;
use sha1::{Digest, Sha1};
use std::time::{Duration, Instant};

/// The largest message in bytes while we know nothing: the bitfield of millions of pieces.
pub const MAX_MESSAGE: usize = 1 << 20;

/// The most bytes of messages that we keep: a bitfield, and many haves.
const MAX_KEPT: usize = 2 << 20;

/// The most pieces of the metadata on order: some clients refuse more than a few.
const WINDOW: usize = 8;

/// How long a peer may take for the next piece of the metadata.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Fetch {
    /// The pieces that came. Each is allocated only then.
    pieces: Vec<Option<Box<[u8]>>>,
    /// Pieces that were requested and are not answered.
    on_order: Vec<usize>,
    /// The time since which the peer owes us an answer.
    since: Instant,
}

/// The state of one conversation.
#[derive(Debug)]
pub struct Learner {
    info_hash: InfoHash,
    /// The length of the metadata in bytes, as the peer claims: 1 to [`MAX_LEN`].
    size: Option<usize>,
    fetch: Option<Fetch>,
    /// Whether main owes the answer to a [`Learning::Offers`].
    asked: bool,
    /// Whether the metadata is complete. Main will soon welcome the peer.
    done: bool,
    kept: Vec<u8>,
    /// Bytes for the peer and events for main.
    pub talk: Talk,
}

impl Learner {
    /// Begins after both handshakes.
    pub fn new(info_hash: InfoHash, talk: Talk) -> Self {
        Self {
            info_hash,
            size: None,
            fetch: None,
            asked: false,
            done: false,
            kept: Vec::new(),
            talk,
        }
    }

    /// Says first that we have no pieces, and who we are.
    pub fn greet(&mut self, extension_handshake: Option<&[u8]>) {
        if self.talk.fast {
            self.talk.say(Message::HaveNone);
        }
        self.talk.introduce(extension_handshake);
    }

    /// Returns who owes what. `room`: whether the kernel owes us room.
    pub(crate) fn debts(&self, room: bool) -> Debts {
        let fetch = self.fetch.as_ref();
        Debts {
            answer: self.asked || self.done,
            room,
            blocks: match fetch.is_some_and(|fetch| !fetch.on_order.is_empty()) {
                true => Blocks::Few,
                false => Blocks::None,
            },
            uploads: false,
            no_more_work: false,
            news: false,
            quiet: false,
        }
    }

    /// The peer's messages that can't be judged yet, in order.
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Returns what the [`Session`](super::session::Session) goes on with: the talk, and the peer's
    /// messages that could not be judged.
    pub(super) fn hand_over(self) -> (Talk, Vec<u8>) {
        (self.talk, self.kept)
    }

    /// Handles a message from the peer.
    pub fn on_message(&mut self, message: Message<'_>, now: Instant) -> Result<(), PeerError> {
        self.talk.heard = now;
        match message {
            Message::Extended {
                id: OUR_METADATA,
                payload,
            } => self.on_metadata(payload, now)?,
            Message::Extended { id: 0, payload } => {
                self.on_handshake(payload);
                message.encode(&mut self.kept);
            }
            Message::Choke
            | Message::Unchoke
            | Message::Interested
            | Message::NotInterested
            | Message::Have(_)
            | Message::Bitfield(_)
            | Message::HaveAll => message.encode(&mut self.kept),
            // Other DHT nodes may lead to a peer that has the metadata.
            Message::Port(port) => self.talk.on_node(port),
            // We said that we have nothing. With BEP 6 even this request gets an answer.
            Message::Request(raw) => self.talk.reject(raw),
            Message::Piece { index, begin, data } => {
                return Err(PeerError::Unrequested(RawBlock {
                    index,
                    begin,
                    length: data.len() as u32,
                }));
            }
            _ => {}
        }
        if self.kept.len().max(self.talk.out.len()) > MAX_KEPT {
            Err(PeerError::Flood)
        } else {
            Ok(())
        }
    }

    fn on_handshake(&mut self, payload: &[u8]) {
        let told = extension::decode(payload).unwrap_or_default();
        let metadata_id = &mut self.talk.metadata_id;
        *metadata_id = told.metadata.unwrap_or(*metadata_id);
        let size = told.metadata_size.filter(|size| *size > 0);
        let size = size.filter(|size| *size as usize <= MAX_LEN);
        if let Some(size) = size.filter(|_| self.size.is_none() && *metadata_id != 0) {
            self.size = Some(size as usize);
            self.asked = true;
            self.talk.tell(PeerEvent::Learning(Learning::Offers(size)));
        }
    }

    fn on_metadata(&mut self, payload: &[u8], now: Instant) -> Result<(), PeerError> {
        let message = metadata::Message::decode(payload);
        if let Some(metadata::Message::Request(piece)) = message {
            let payload = metadata::Message::Reject(piece).encode(0);
            self.talk.say_of_metadata(&payload);
        }
        let (Some(fetch), Some(size)) = (&mut self.fetch, self.size) else {
            return Ok(());
        };
        match message {
            Some(metadata::Message::Data(piece, data)) => {
                let piece = piece as usize;
                let Some(at) = fetch.on_order.iter().position(|p| *p == piece) else {
                    return Ok(()); // an answer too many
                };
                fetch.on_order.swap_remove(at);
                if data.len() != (size - piece * PIECE_LEN).min(PIECE_LEN) {
                    return Err(PeerError::NoMetadata("a piece of a wrong length"));
                }
                fetch.pieces[piece] = Some(data.into());
                fetch.since = now;
                self.on_progress(now)
            }
            Some(metadata::Message::Reject(_)) if !fetch.on_order.is_empty() => {
                // Main may have us ask again later.
                fetch.on_order.clear();
                self.talk.tell(PeerEvent::Learning(Learning::Refused));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Handles a new piece of the metadata: requests the next, or checks the hash.
    fn on_progress(&mut self, now: Instant) -> Result<(), PeerError> {
        let Some(fetch) = &self.fetch else {
            return Ok(());
        };
        let came = fetch.pieces.iter().flatten();
        let bytes: usize = came.clone().map(|piece| piece.len()).sum();
        self.talk
            .tell(PeerEvent::Learning(Learning::Came(bytes as u32)));
        if came.clone().count() < fetch.pieces.len() {
            self.request(now);
            return Ok(());
        }
        let metadata: Vec<u8> = came.flat_map(|piece| piece.iter().copied()).collect();
        self.fetch = None;
        if Sha1::digest(&metadata)[..] != self.info_hash.0 {
            self.talk.tell(PeerEvent::Learning(Learning::False));
            return Err(PeerError::NoMetadata("bytes with a wrong hash"));
        }
        self.done = true;
        self.talk
            .tell(PeerEvent::Learning(Learning::Whole(metadata)));
        Ok(())
    }

    /// Requests missing pieces, up to [`WINDOW`] at a time.
    fn request(&mut self, now: Instant) {
        let Some(fetch) = &mut self.fetch else { return };
        if fetch.on_order.is_empty() {
            fetch.since = now;
        }
        let missing = (0..fetch.pieces.len())
            .filter(|piece| fetch.pieces[*piece].is_none() && !fetch.on_order.contains(piece));
        let room = WINDOW - fetch.on_order.len();
        let next: Vec<usize> = missing.take(room).collect();
        fetch.on_order.extend(&next);
        for piece in next {
            let payload = metadata::Message::Request(piece as u32).encode(0);
            self.talk.say_of_metadata(&payload);
        }
    }

    /// Obeys a command of main.
    pub fn on_command(&mut self, command: &Command, now: Instant) {
        self.asked = false;
        if let (Command::FetchMetadata(true), Some(size)) = (command, self.size) {
            self.fetch.get_or_insert_with(|| Fetch {
                pieces: vec![None; size.div_ceil(PIECE_LEN)],
                on_order: Vec::new(),
                since: now,
            });
            self.request(now);
        }
    }

    /// Handles what depends on time: keep-alives and timeouts.
    ///
    /// # Errors
    /// [`PeerError`], if the peer said nothing, or sent no metadata, for too long.
    pub fn on_tick(&mut self, now: Instant) -> Result<(), PeerError> {
        self.talk.on_tick(now)?;
        let owing = self.fetch.as_ref().filter(|f| !f.on_order.is_empty());
        if owing.is_some_and(|fetch| now.duration_since(fetch.since) >= PATIENCE) {
            return Err(PeerError::NoMetadata("nothing"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extension::metadata::piece_of;
    use crate::peer::turn::{self, Sleep};
    use crate::wire;

    const THEIR_ID: u8 = 3;

    struct Rig {
        learner: Learner,
        metadata: Vec<u8>,
        now: Instant,
    }

    impl Rig {
        /// A peer with metadata of `size` bytes that claims to have `claimed`.
        fn new(size: usize, claimed: i64) -> Self {
            let metadata: Vec<u8> = (0..size).map(|i| (i / 7) as u8).collect();
            let info_hash = InfoHash(Sha1::digest(&metadata).into());
            let now = Instant::now();
            let mut rig = Self {
                learner: Learner::new(info_hash, Talk::new(true, now)),
                metadata,
                now,
            };
            let handshake = format!("d1:md11:ut_metadatai{THEIR_ID}ee13:metadata_sizei{claimed}ee");
            rig.say(0, handshake.as_bytes()).unwrap();
            rig
        }

        fn say(&mut self, id: u8, payload: &[u8]) -> Result<(), PeerError> {
            self.learner
                .on_message(Message::Extended { id, payload }, self.now)
        }

        fn command(&mut self, yes: bool) {
            self.learner
                .on_command(&Command::FetchMetadata(yes), self.now);
        }

        fn requested(&mut self) -> Vec<u32> {
            let out = std::mem::take(&mut self.learner.talk.out);
            let (mut rest, mut pieces) = (&out[..], Vec::new());
            while let Ok(Some((message, used))) = wire::decode(rest, MAX_MESSAGE) {
                if let Message::Extended { id, payload } = message {
                    assert_eq!(id, THEIR_ID);
                    match metadata::Message::decode(payload) {
                        Some(metadata::Message::Request(piece)) => pieces.push(piece),
                        other => panic!("{other:?}"),
                    }
                }
                rest = &rest[used..];
            }
            pieces
        }

        fn give(&mut self, piece: u32) -> Result<(), PeerError> {
            let data = piece_of(&self.metadata, piece).unwrap();
            let payload = metadata::Message::Data(piece, data).encode(self.metadata.len());
            self.say(OUR_METADATA, &payload)
        }

        fn waits_for_main(&self) -> bool {
            turn::next(self.learner.debts(false)) == Sleep::Channel
        }

        fn events(&mut self) -> Vec<PeerEvent> {
            std::mem::take(&mut self.learner.talk.events)
        }
    }

    #[test]
    fn metadata_comes_piece_by_piece() {
        let size = 20 * PIECE_LEN + 5;
        let mut rig = Rig::new(size, size as i64);
        assert_eq!(
            rig.events(),
            [PeerEvent::Learning(Learning::Offers(size as u32))]
        );
        assert!(rig.waits_for_main() && rig.requested().is_empty());
        rig.command(false);
        assert!(!rig.waits_for_main() && rig.requested().is_empty());
        rig.command(true);
        let mut asked = rig.requested();
        assert_eq!(asked.len(), WINDOW);
        while let Some(piece) = asked.pop() {
            rig.give(piece).unwrap();
            asked.extend(rig.requested());
        }
        assert_eq!(
            rig.events().last(),
            Some(&PeerEvent::Learning(Learning::Whole(rig.metadata.clone())))
        );
        assert!(rig.waits_for_main());
        rig.give(0).unwrap();
        assert!(rig.events().is_empty(), "an answer too many");
    }

    #[test]
    fn sizes_that_are_not_believed() {
        for claimed in [-1, 0, MAX_LEN as i64 + 1, i64::from(u32::MAX) + 1] {
            assert!(Rig::new(5, claimed).events().is_empty(), "{claimed}");
        }
        assert!(!Rig::new(5, MAX_LEN as i64).events().is_empty());
    }

    #[test]
    fn liars() {
        // It claims more than it has.
        let mut rig = Rig::new(5, 9);
        rig.command(true);
        assert!(rig.give(0).is_err(), "wrong length");
        // It gives other bytes.
        let mut rig = Rig::new(5, 5);
        rig.command(true);
        rig.metadata[2] ^= 1;
        rig.events();
        assert!(rig.give(0).is_err(), "wrong hash");
        assert_eq!(
            rig.events().last(),
            Some(&PeerEvent::Learning(Learning::False))
        );
        // It says nothing more, though other messages come.
        let mut rig = Rig::new(5, 5);
        rig.command(true);
        rig.now += PATIENCE / 2;
        rig.learner.on_tick(rig.now).unwrap();
        rig.learner.on_message(Message::KeepAlive, rig.now).unwrap();
        rig.now += PATIENCE / 2;
        assert!(rig.learner.on_tick(rig.now).is_err());
    }

    #[test]
    fn a_refusal_is_no_lie() {
        let mut rig = Rig::new(2 * PIECE_LEN, 2 * PIECE_LEN as i64);
        rig.command(true);
        assert_eq!(rig.requested(), [0, 1]);
        rig.give(1).unwrap();
        rig.events();
        let reject = metadata::Message::Reject(0).encode(0);
        rig.say(OUR_METADATA, &reject).unwrap();
        assert_eq!(rig.events(), [PeerEvent::Learning(Learning::Refused)]);
        rig.now += PATIENCE;
        rig.learner.on_tick(rig.now).unwrap();
        rig.command(true);
        assert_eq!(rig.requested(), [0], "what came is kept");
    }

    #[test]
    fn what_cannot_be_judged_is_kept_but_not_without_end() {
        let mut rig = Rig::new(5, 0);
        let before = rig.learner.kept().len();
        for message in [
            Message::Bitfield(&[0xff; 3]),
            Message::Unchoke,
            Message::Have(1_000_000),
            Message::KeepAlive,
            Message::Suggest(3),
        ] {
            rig.learner.on_message(message, rig.now).unwrap();
        }
        let mut kept = &rig.learner.kept()[before..];
        let mut messages = Vec::new();
        while let Some((message, used)) = wire::decode(kept, MAX_MESSAGE).unwrap() {
            messages.push(message);
            kept = &kept[used..];
        }
        assert_eq!(
            messages,
            [
                Message::Bitfield(&[0xff; 3]),
                Message::Unchoke,
                Message::Have(1_000_000)
            ]
        );
        let mut flood = (0..).map(|_| rig.learner.on_message(Message::Unchoke, rig.now));
        assert!(flood.by_ref().take(MAX_KEPT / 5 + 1).any(|r| r.is_err()));
        let block = Message::Piece {
            index: 0,
            begin: 0,
            data: b"x",
        };
        assert!(rig.learner.on_message(block, rig.now).is_err());
    }

    #[test]
    fn a_node_of_the_dht_is_told_at_once_and_once() {
        let mut rig = Rig::new(5, 0);
        for port in [6881, 6882] {
            rig.learner
                .on_message(Message::Port(port), rig.now)
                .unwrap();
        }
        assert_eq!(rig.events(), [PeerEvent::DhtPort(6881)]);
    }

    #[test]
    fn requests_are_refused_politely() {
        let mut rig = Rig::new(5, 0);
        let raw = RawBlock {
            index: 0,
            begin: 0,
            length: 5,
        };
        rig.learner
            .on_message(Message::Request(raw), rig.now)
            .unwrap();
        let mut reject = Vec::new();
        Message::Reject(raw).encode(&mut reject);
        assert_eq!(rig.learner.talk.out, reject);
        rig.learner.talk.out.clear();
        let request = metadata::Message::Request(0).encode(0);
        rig.say(OUR_METADATA, &request).unwrap();
        let (message, _) = wire::decode(&rig.learner.talk.out, MAX_MESSAGE)
            .unwrap()
            .unwrap();
        let Message::Extended { payload, .. } = message else {
            panic!("{message:?}")
        };
        let expected = Some(metadata::Message::Reject(0));
        assert_eq!(metadata::Message::decode(payload), expected);
    }
}
