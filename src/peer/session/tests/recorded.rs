//! Conversations with other clients, recorded in `fixtures/traces`, played once more: what came
//! goes into a [`Session`], and what went must come out again, byte for byte.
//!
//! Main decides whether we are interested, which peer we unchoke and what we fetch; the thread
//! decides when a block is sent. These decisions are read from the recording, one message ahead.

use super::*;
use crate::extension::{self, Ourselves};
use crate::metainfo::{self, Metainfo};
use crate::transcript::{self, Chunk};
use crate::types::InfoHash;
use crate::wire::{HANDSHAKE_LEN, Handshake};

const TORRENT: &[u8] = include_bytes!("../../../../fixtures/count.torrent");
const CONTENT: &[u8] = include_bytes!("../../../../fixtures/content/count.txt");

/// What storrent knew when the conversation began.
struct Begin {
    /// The pieces that we had.
    have: std::ops::Range<u32>,
    port: u16,
    seeding: bool,
}

struct Replay {
    torrent: Metainfo,
    session: Session,
    now: Instant,
    /// What the peer said and the session did not hear yet: less than a message.
    heard: Vec<u8>,
    /// What the session must say next.
    expected: Vec<u8>,
    /// What the session said before we expected it.
    said: Vec<u8>,
    told: Vec<PeerEvent>,
}

/// Takes the handshake of one side from the conversation.
fn handshake(chunks: &mut Vec<Chunk>, went: bool) -> Handshake {
    let mut bytes = Vec::new();
    chunks.retain(|chunk| {
        let is_part = chunk.went == went && bytes.len() < HANDSHAKE_LEN;
        if is_part {
            bytes.extend(&chunk.bytes);
        }
        !is_part
    });
    Handshake::decode(&bytes.try_into().unwrap()).unwrap()
}

impl Replay {
    fn new(begin: &Begin, theirs: &Handshake) -> Self {
        let torrent = metainfo::parse(TORRENT).unwrap();
        let (layout, now) = (torrent.layout.clone(), Instant::now());
        let mut have = Bitfield::none(layout.pieces());
        for index in begin.have.clone() {
            have.insert(layout.piece(index).unwrap());
        }
        let talk = Talk::new(theirs.fast(), now);
        let mut session = Session::new(layout, have, talk, false, now);
        session.extend(Some(torrent.info().clone()), false);
        let introduction = extension::encode(&Ourselves {
            port: Some(begin.port),
            seeding: begin.seeding,
            their_ip: "127.0.0.1".parse().ok(),
            metadata: true,
            metadata_size: Some(torrent.info().len() as u32),
            pex: false,
        });
        session.greet(theirs.extended().then_some(&introduction[..]));
        Self {
            torrent,
            session,
            now,
            heard: Vec::new(),
            expected: Vec::new(),
            said: Vec::new(),
            told: Vec::new(),
        }
    }

    fn content(&self, block: Block) -> &'static [u8] {
        let start = self.torrent.layout.block_start(block) as usize;
        &CONTENT[start..][..block.len() as usize]
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.heard.extend(bytes);
        let heard = std::mem::take(&mut self.heard);
        let (mut at, mut stored) = (0, Vec::new());
        while let Some((message, used)) = wire::decode(&heard[at..], 1 << 20).unwrap() {
            if let Some(block) = self.session.on_message(message, self.now).unwrap() {
                assert!(heard[..at + used].ends_with(self.content(block)));
                stored.push((block.piece(), block.number()));
            }
            at += used;
        }
        self.heard = heard[at..].to_vec();
        if !stored.is_empty() {
            self.session.on_stored(stored);
        }
        self.collect();
    }

    /// Takes what the session says without a decision of main.
    fn collect(&mut self) {
        self.session.request(self.now);
        self.session.give_metadata();
        self.said.append(&mut self.session.talk.out);
        self.told.append(&mut self.session.talk.events);
    }

    /// Expects these bytes from the session.
    fn expect(&mut self, bytes: &[u8]) {
        self.expected.extend(bytes);
        let expected = std::mem::take(&mut self.expected);
        let mut at = 0;
        while let Some((message, used)) = wire::decode(&expected[at..], 1 << 20).unwrap() {
            if self.said.is_empty() {
                self.decide(message);
            }
            let bytes = &expected[at..at + used];
            assert!(self.said.starts_with(bytes), "we said {message:?}");
            self.said.drain(..used);
            at += used;
        }
        self.expected = expected[at..].to_vec();
    }

    /// Decides as main and the thread did before this message, if they were asked.
    fn decide(&mut self, message: Message<'_>) {
        let was_told = |event: fn(&PeerEvent) -> bool| self.told.iter().any(event);
        match message {
            Message::Interested => {
                assert!(was_told(|event| matches!(event, PeerEvent::Pieces(_))));
                self.session.on_command(Command::Interest(true));
            }
            Message::Unchoke => {
                assert!(was_told(|event| *event == PeerEvent::Interested(true)));
                self.session.on_command(Command::Choke(false));
            }
            Message::Request(raw) => {
                assert!(was_told(|event| matches!(event, PeerEvent::Want(_))));
                let work = span(&self.session, raw.index, 0..1);
                self.session.on_command(Command::Fetch(vec![work]));
            }
            Message::Piece { .. } => {
                let block = self.session.next_upload().expect("a request");
                Message::Piece {
                    index: block.piece().get(),
                    begin: block.begin(),
                    data: self.content(block),
                }
                .encode(&mut self.said);
            }
            other => panic!("the session did not say {other:?}"),
        }
        self.collect();
    }
}

fn replay(text: &str, begin: &Begin) -> Replay {
    let mut chunks = transcript::parse(text).unwrap();
    let (ours, theirs) = (handshake(&mut chunks, true), handshake(&mut chunks, false));
    let torrent = metainfo::parse(TORRENT).unwrap();
    assert_eq!(ours, Handshake::new(torrent.info_hash, ours.peer_id));
    let InfoHash(hash) = theirs.info_hash;
    assert_eq!(hash, torrent.info_hash.0);
    let mut replay = Replay::new(begin, &theirs);
    replay.collect();
    for Chunk { went, bytes } in chunks {
        match went {
            true => replay.expect(&bytes),
            false => replay.hear(&bytes),
        }
    }
    assert_eq!(replay.said, b"", "storrent did not say that");
    assert_eq!(
        (&replay.heard[..], &replay.expected[..]),
        (&b""[..], &b""[..])
    );
    replay
}

/// How many pieces the peer sent, and the name of its program.
fn outcome(replay: &Replay) -> (usize, String) {
    let stored = replay.told.iter().map(|event| match event {
        PeerEvent::Stored(spans) => spans.len(),
        _ => 0,
    });
    let names = replay.told.iter().find_map(|event| match event {
        PeerEvent::Client(client) => client.name.clone(),
        _ => None,
    });
    (stored.sum(), names.unwrap())
}

#[test]
fn libtorrent_fetches_the_metadata_and_all_pieces() {
    let text = include_str!("../../../../fixtures/traces/libtorrent.wire");
    let begin = Begin {
        have: 0..6,
        port: 21001,
        seeding: true,
    };
    let mut replay = replay(text, &begin);
    assert_eq!(outcome(&replay), (0, "libtorrent/2.0.8.0".into()));
    assert_eq!(replay.session.up, CONTENT.len() as u64);
    assert!(replay.session.next_upload().is_none());
}

#[test]
fn transmission_gives_all_pieces() {
    let text = include_str!("../../../../fixtures/traces/transmission.wire");
    let begin = Begin {
        have: 0..0,
        port: 6881,
        seeding: false,
    };
    let replay = replay(text, &begin);
    assert_eq!(outcome(&replay), (6, "Transmission 3.00".into()));
    assert!(replay.session.owed.is_empty());
}

#[test]
fn aria2_gives_half_and_takes_half() {
    let text = include_str!("../../../../fixtures/traces/aria2.wire");
    let begin = Begin {
        have: 0..3,
        port: 6881,
        seeding: false,
    };
    let replay = replay(text, &begin);
    assert_eq!(outcome(&replay), (3, "aria2/1.36.0".into()));
    assert!(replay.session.theirs.is_full(), "a late HAVE ALL counts");
}

#[test]
#[should_panic(expected = "we said Request")]
fn another_request_would_be_noticed() {
    let text = include_str!("../../../../fixtures/traces/transmission.wire");
    let request = "> 0000000d\n> 06\n> ";
    let (before, after) = text.split_once(request).unwrap();
    let after = after.replacen("00001000", "00000800", 1);
    let begin = Begin {
        have: 0..0,
        port: 6881,
        seeding: false,
    };
    replay(&format!("{before}{request}{after}"), &begin);
}
