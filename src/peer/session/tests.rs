mod answers;
mod recorded;
mod sleep;

use super::fetching::MAX_REJECTS;
use super::*;
use crate::extension::OUR_QUEUE;
use crate::layout::{BLOCK_LEN, PieceIndex, Span};
use crate::messages::Client;
use crate::peer::talk::{KEEP_ALIVE_AFTER, SILENT_AFTER};
use crate::peer::turn::{self, Sleep};
use crate::trace::GivenBack;
use crate::wire;

/// Two pieces of four blocks. We have the first piece.
fn session(fast: bool) -> (Session, Instant) {
    let layout = Arc::new(
        Layout::new(
            u64::from(4 * BLOCK_LEN),
            &[(u64::from(8 * BLOCK_LEN), false)],
        )
        .unwrap(),
    );
    let mut have = Bitfield::none(2);
    have.insert(layout.piece(0).unwrap());
    let now = Instant::now();
    (
        Session::new(layout, have, Talk::new(fast, now), false, now),
        now,
    )
}

/// Takes the messages that the session wants to send, written out.
fn said(session: &mut Session) -> Vec<String> {
    let bytes = std::mem::take(&mut session.talk.out);
    let (mut at, mut messages) = (0, vec![]);
    while let Some((message, used)) = wire::decode(&bytes[at..], 1 << 20).unwrap() {
        messages.push(format!("{message:?}"));
        at += used;
    }
    assert_eq!(at, bytes.len());
    messages
}

fn told(session: &mut Session) -> Vec<PeerEvent> {
    std::mem::take(&mut session.talk.events)
}

fn span(session: &Session, piece: u32, numbers: std::ops::Range<u32>) -> Span {
    session
        .layout
        .span(session.layout.piece(piece).unwrap(), numbers)
        .unwrap()
}

fn request(index: u32, begin: u32, length: u32) -> Message<'static> {
    Message::Request(RawBlock {
        index,
        begin,
        length,
    })
}

/// Where the thread would sleep if the kernel took everything.
fn sleep(s: &Session) -> Sleep {
    sleep_at(s, s.talk.heard)
}

fn sleep_at(s: &Session, now: Instant) -> Sleep {
    turn::next(s.debts(false, now))
}

/// A session that was unchoked and got all of piece 1 to fetch.
fn fetching(fast: bool) -> (Session, Instant, Span) {
    let (mut s, now) = session(fast);
    s.on_command(Command::Interest(true));
    s.on_message(Message::Unchoke, now).unwrap();
    s.request(now);
    assert_eq!(sleep(&s), Sleep::Channel);
    assert!(matches!(told(&mut s)[..], [PeerEvent::Choked(false), PeerEvent::Want(n)] if n >= 4));
    let work = span(&s, 1, 0..4);
    s.on_command(Command::Fetch(vec![work]));
    s.request(now);
    assert_eq!(said(&mut s).len(), 5, "interested and four requests");
    told(&mut s);
    (s, now, work)
}

fn piece(number: u32) -> Message<'static> {
    static DATA: [u8; BLOCK_LEN as usize] = [7; BLOCK_LEN as usize];
    Message::Piece {
        index: 1,
        begin: number * BLOCK_LEN,
        data: &DATA,
    }
}

#[test]
fn blocks_that_were_asked_for_are_taken_once() {
    let (mut s, now, _) = fetching(false);
    for number in [1, 0, 3, 2] {
        let block = s.on_message(piece(number), now).unwrap().unwrap();
        assert_eq!(block.number(), number);
    }
    assert!(s.owed.is_empty());
    assert!(matches!(
        s.on_message(piece(0), now),
        Err(PeerError::Unrequested(_))
    ));
}

/// So main never has more bytes than came, and forgets none that came in vain.
#[test]
fn bytes_are_told_before_what_they_brought() {
    let (mut s, now, work) = fetching(false);
    let came = |blocks: u32| PeerEvent::Traffic {
        down: u64::from(blocks * BLOCK_LEN),
        up: 0,
    };
    for number in [0, 1] {
        s.on_message(piece(number), now).unwrap();
    }
    let first = span(&s, 1, 0..2);
    s.on_stored(first.numbers().map(|n| (first.piece(), n)).collect());
    assert_eq!(told(&mut s), [came(2), PeerEvent::Stored(vec![first])]);
    s.on_message(piece(2), now).unwrap();
    s.on_command(Command::Cancel(vec![work]));
    assert_eq!(told(&mut s), [came(1), PeerEvent::Cancelled(vec![work])]);
}

#[test]
fn a_choke_gives_the_work_back() {
    let (mut s, now, work) = fetching(false);
    s.on_message(piece(0), now).unwrap();
    s.on_message(Message::Choke, now).unwrap();
    let rest = span(&s, 1, 1..4);
    assert_eq!(
        told(&mut s),
        [
            PeerEvent::Choked(true),
            PeerEvent::Released(vec![rest], GivenBack::Choked)
        ]
    );
    assert!(
        s.on_message(piece(1), now).unwrap().is_none(),
        "it crossed the choke: no crime, no use"
    );
    s.on_command(Command::Fetch(vec![work]));
    assert_eq!(
        told(&mut s),
        [PeerEvent::Released(vec![work], GivenBack::Choked)],
        "main did not know yet"
    );
}

#[test]
fn with_the_fast_extension_a_choke_drops_nothing_but_rejects_do() {
    let (mut s, now, _) = fetching(true);
    s.on_message(Message::Choke, now).unwrap();
    assert_eq!(told(&mut s), [PeerEvent::Choked(true)]);
    assert!(s.on_message(piece(0), now).unwrap().is_some());
    let raw = RawBlock {
        index: 1,
        begin: BLOCK_LEN,
        length: BLOCK_LEN,
    };
    s.on_message(Message::Reject(raw), now).unwrap();
    let back = span(&s, 1, 1..2);
    assert_eq!(
        told(&mut s),
        [PeerEvent::Released(vec![back], GivenBack::Refused)]
    );
}

#[test]
fn who_rejects_everything_is_dropped() {
    let (mut s, now, work) = fetching(true);
    let mut end = Ok(None);
    for _ in 0..MAX_REJECTS {
        for number in 0..4 {
            let raw = RawBlock {
                index: 1,
                begin: number * BLOCK_LEN,
                length: BLOCK_LEN,
            };
            end = end.and(s.on_message(Message::Reject(raw), now));
        }
        s.on_command(Command::Fetch(vec![work]));
        s.request(now);
        s.talk.out.clear();
    }
    assert!(matches!(end, Err(PeerError::RejectsAll)));
}

#[test]
fn cancelled_work_is_forgotten_and_answered() {
    let (mut s, now, _) = fetching(false);
    let back = span(&s, 1, 2..4);
    s.on_command(Command::Cancel(vec![back]));
    assert_eq!(said(&mut s).len(), 2, "two cancels");
    assert_eq!(told(&mut s), [PeerEvent::Cancelled(vec![back])]);
    assert!(
        s.on_message(piece(2), now).unwrap().is_none(),
        "it was on its way"
    );
    assert!(s.on_message(piece(0), now).unwrap().is_some());
}

#[test]
fn a_peer_that_owes_and_sends_nothing_is_snubbed() {
    let (mut s, now, work) = fetching(false);
    s.on_tick(now + SNUB_AFTER - Duration::from_secs(1))
        .unwrap();
    assert_eq!(told(&mut s), []);
    s.on_tick(now + SNUB_AFTER).unwrap();
    assert_eq!(
        told(&mut s),
        [
            PeerEvent::Snubbed,
            PeerEvent::Released(vec![work], GivenBack::Snubbed)
        ]
    );
    let later = now + SNUB_AFTER;
    s.on_command(Command::Fetch(vec![]));
    s.on_message(Message::Have(1), later).unwrap();
    s.request(later);
    let asked = told(&mut s);
    assert!(
        asked.contains(&PeerEvent::Want(1)),
        "from now on one block at a time: {asked:?}"
    );
}

/// A far peer gets many requests at once. If it is slow, it keeps those that it answers soon.
#[test]
fn a_peer_that_is_slow_gives_back_what_others_bring_sooner() {
    let total = 400 * u64::from(BLOCK_LEN);
    let layout = Arc::new(Layout::new(total, &[(total, false)]).unwrap());
    let mut now = Instant::now();
    let mut s = Session::new(layout, Bitfield::none(1), Talk::new(false, now), false, now);
    s.on_greeted(Duration::from_secs(3)); // it took its time for that
    s.on_command(Command::Interest(true));
    s.on_tick(now).unwrap();
    now += Duration::from_millis(90);
    s.on_message(Message::Unchoke, now).unwrap();
    s.on_command(Command::Fetch(vec![span(&s, 0, 0..400)]));
    s.request(now);
    assert!(s.owed.len() > 300);
    let data = [0; BLOCK_LEN as usize];
    for number in 0..8 {
        now += Duration::from_millis(500);
        let begin = number * BLOCK_LEN;
        let block = Message::Piece {
            index: 0,
            begin,
            data: &data,
        };
        s.on_message(block, now).unwrap();
    }
    told(&mut s);
    said(&mut s);
    s.work.on_fetch(&[]);
    s.request(now);
    assert_eq!(
        said(&mut s),
        [""; 0],
        "main has no more, so this is its share"
    );
    s.work.wake();
    s.request(now);
    let cancels = said(&mut s)
        .iter()
        .filter(|m| m.starts_with("Cancel"))
        .count();
    assert_eq!(
        s.owed.len() as u32,
        s.pipeline.bearable(),
        "what it brings in 4 s"
    );
    assert!(
        (6..=10).contains(&s.owed.len()) && cancels > 300,
        "{cancels}"
    );
    let rest = span(&s, 0, 8 + s.owed.len() as u32..400);
    assert_eq!(
        told(&mut s)[..1],
        [PeerEvent::Released(vec![rest], GivenBack::Slow)]
    );
    let begin = rest.numbers().start * BLOCK_LEN; // on its way already
    let late = Message::Piece {
        index: 0,
        begin,
        data: &data,
    };
    assert_eq!(s.on_message(late, now).unwrap(), None);
}

#[test]
fn silence_ends_it_and_we_are_never_silent() {
    let (mut s, now) = session(false);
    s.on_tick(now + KEEP_ALIVE_AFTER).unwrap();
    assert_eq!(said(&mut s), ["KeepAlive"]);
    assert!(matches!(
        s.on_tick(now + SILENT_AFTER),
        Err(PeerError::Silent(_))
    ));
}

#[test]
fn serving() {
    let (mut s, now) = session(true);
    s.on_message(request(0, 0, 100), now).unwrap();
    assert_eq!(
        said(&mut s),
        ["Reject(RawBlock { index: 0, begin: 0, length: 100 })"],
        "choked"
    );
    s.on_message(Message::Interested, now).unwrap();
    assert_eq!(sleep(&s), Sleep::Channel);
    s.on_command(Command::Choke(false));
    assert_ne!(sleep(&s), Sleep::Channel);
    for n in 0..3 {
        s.on_message(request(0, n, 100), now).unwrap();
    }
    s.on_message(request(1, 0, 100), now).unwrap();
    assert_eq!(
        s.next_upload().unwrap().raw(),
        RawBlock {
            index: 0,
            begin: 0,
            length: 100
        }
    );
    s.on_message(
        Message::Cancel(RawBlock {
            index: 0,
            begin: 1,
            length: 100,
        }),
        now,
    )
    .unwrap();
    s.on_command(Command::Choke(true));
    assert_eq!(s.next_upload(), None, "a choke drops what waits");
    assert_eq!(
        said(&mut s),
        [
            "Unchoke",
            "Reject(RawBlock { index: 1, begin: 0, length: 100 })",
            "Reject(RawBlock { index: 0, begin: 1, length: 100 })",
            "Choke",
            "Reject(RawBlock { index: 0, begin: 2, length: 100 })",
        ]
    );
}

#[test]
fn an_upload_limit_is_asked_for() {
    let (mut s, now) = session(false);
    s.allowance = Some(0);
    s.on_command(Command::Choke(false));
    s.on_message(request(0, 0, 1000), now).unwrap();
    assert_eq!(s.next_upload(), None);
    assert_eq!(s.next_upload(), None);
    assert_eq!(told(&mut s), [PeerEvent::WantUpload(1000)], "asked once");
    s.on_command(Command::MayUpload(1500));
    assert!(s.next_upload().is_some());
    assert_eq!(s.allowance, Some(500));
}

#[test]
fn misbehaviour_ends_the_conversation() {
    type Case = (
        &'static str,
        fn(&mut Session, Instant) -> Result<Option<Block>, PeerError>,
    );
    let cases: [Case; 6] = [
        ("have of no piece", |s, now| {
            s.on_message(Message::Have(2), now)
        }),
        ("short bitfield", |s, now| {
            s.on_message(Message::Bitfield(&[]), now)
        }),
        ("spare bits", |s, now| {
            s.on_message(Message::Bitfield(&[0xff]), now)
        }),
        ("request past the piece", |s, now| {
            s.on_message(request(0, 4 * BLOCK_LEN, 1), now)
        }),
        ("block out of nowhere", |s, now| s.on_message(piece(0), now)),
        ("request flood", |s, now| {
            s.on_command(Command::Choke(false));
            (0..=OUR_QUEUE).try_fold(None, |_, n| s.on_message(request(0, n, 1), now))
        }),
    ];
    for (name, play) in cases {
        let (mut s, now) = session(false);
        assert!(play(&mut s, now).is_err(), "{name}");
    }
    let (mut s, now) = session(true);
    let end = (0..100_000).try_for_each(|_| s.on_message(request(0, 0, 1), now).map(drop));
    assert!(matches!(end, Err(PeerError::Flood)), "rejects pile up");
}

#[test]
fn the_first_words_depend_on_what_both_know() {
    let cases: [(bool, &[u32], &str); 5] = [
        (true, &[0, 1], "HaveAll"),
        (true, &[], "HaveNone"),
        (true, &[1], "Bitfield([64])"),
        (false, &[0, 1], "Bitfield([192])"),
        (false, &[], ""),
    ];
    for (fast, pieces, expected) in cases {
        let (mut s, _) = session(fast);
        s.have = Bitfield::none(2);
        pieces
            .iter()
            .for_each(|p| _ = s.have.insert(PieceIndex::unchecked(*p)));
        s.greet(None);
        assert_eq!(said(&mut s).concat(), expected);
    }
}

#[test]
fn an_answer_that_was_overtaken_does_not_make_it_wait_for_ever() {
    let (mut s, now) = session(false);
    s.on_command(Command::Interest(true));
    s.on_message(Message::Unchoke, now).unwrap();
    s.request(now);
    // Main answers the question; meanwhile the peer chokes and unchokes.
    s.on_message(Message::Choke, now).unwrap();
    s.on_message(Message::Unchoke, now).unwrap();
    s.on_command(Command::Fetch(vec![]));
    told(&mut s);
    s.request(now);
    assert!(matches!(told(&mut s)[..], [PeerEvent::Want(_)]));
}

#[test]
fn what_changes_nothing_reaches_nobody() {
    let (mut s, now) = session(true);
    s.on_message(Message::HaveAll, now).unwrap();
    s.on_message(Message::Unchoke, now).unwrap();
    s.on_message(Message::Interested, now).unwrap();
    assert_eq!(told(&mut s).len(), 3);
    for _ in 0..1000 {
        s.on_message(Message::HaveAll, now).unwrap();
        s.on_message(Message::Have(1), now).unwrap();
        s.on_message(Message::Unchoke, now).unwrap();
        s.on_message(Message::Interested, now).unwrap();
    }
    assert_eq!(told(&mut s), []);
    let flips = (0..MAX_BOTHERS).try_for_each(|_| {
        s.on_message(Message::Choke, now)?;
        s.on_message(Message::Unchoke, now).map(drop)
    });
    assert!(
        matches!(flips, Err(PeerError::Flood)),
        "no conversation any more"
    );
}

/// The extension handshake of a peer that wants number 3 for metadata and number 4 for lists of
/// peers.
const HELLO: &[u8] = b"d1:md11:ut_metadatai3e6:ut_pexi4eee";

fn extended(id: u8, payload: &[u8]) -> Message<'_> {
    Message::Extended { id, payload }
}

#[test]
fn metadata_is_given_piece_by_piece() {
    use crate::extension::{OUR_METADATA, metadata};
    let (mut s, now) = session(true);
    let all: Arc<[u8]> = (0..40_000u32).map(|n| n as u8).collect();
    s.extend(Some(all.clone()), false);
    s.on_message(extended(0, HELLO), now).unwrap();
    for piece in [2, 0, 3] {
        let ask = metadata::Message::Request(piece).encode(0);
        s.on_message(extended(OUR_METADATA, &ask), now).unwrap();
    }
    s.give_metadata();
    let mut answers = Vec::new();
    let mut rest = &s.talk.out[..];
    while let Some((message, used)) = wire::decode(rest, 1 << 20).unwrap() {
        let Message::Extended { id: 3, payload } = message else {
            panic!("{message:?}")
        };
        answers.push(metadata::Message::decode(payload).unwrap());
        rest = &rest[used..];
    }
    let expected = [
        metadata::Message::Data(2, &all[2 * metadata::PIECE_LEN..]),
        metadata::Message::Data(0, &all[..metadata::PIECE_LEN]),
        metadata::Message::Reject(3),
    ];
    assert_eq!(answers, expected);
}

/// A peer that requests more than all of the largest metadata does not read the answers.
#[test]
fn metadata_is_asked_for_without_end() {
    use crate::extension::{OUR_METADATA, metadata};
    let (mut s, now) = session(true);
    s.extend(Some(vec![0; 100].into()), false);
    s.on_message(extended(0, HELLO), now).unwrap();
    let ask = metadata::Message::Request(0).encode(0);
    let asked = (0..2000).map(|_| s.on_message(extended(OUR_METADATA, &ask), now));
    assert!(asked.last().unwrap().is_err());
}

#[test]
fn lists_of_peers() {
    use crate::extension::{OUR_PEX, pex};
    let addr = "10.0.0.1:6881".parse().unwrap();
    let list = pex::encode(&[(addr, 0)], &[]);
    let (mut s, now) = session(true);
    s.extend(None, true);
    s.on_message(extended(0, HELLO), now).unwrap();
    let told = |s: &mut Session| std::mem::take(&mut s.talk.events);
    assert!(matches!(
        told(&mut s)[..],
        [PeerEvent::Client(Client { pex: true, .. })]
    ));
    for minute in 0..3 {
        let now = now + Duration::from_secs(60) * minute;
        for _ in 0..6 {
            s.on_message(extended(OUR_PEX, &list), now).unwrap();
        }
        let lists = told(&mut s);
        assert_eq!(lists, vec![PeerEvent::Peers(vec![addr]); 6]);
    }
    let now = now + Duration::from_secs(120);
    assert!(
        s.on_message(extended(OUR_PEX, &list), now).is_err(),
        "a flood"
    );

    s.on_command(Command::TellPeers {
        added: vec![(addr, pex::SEED)],
        dropped: Vec::new(),
    });
    let mut expected = Vec::new();
    extended(4, &pex::encode(&[(addr, pex::SEED)], &[])).encode(&mut expected);
    assert_eq!(s.talk.out, expected);
    // A second handshake switches it off.
    s.talk.out.clear();
    s.on_message(extended(0, b"d1:md6:ut_pexi0eee"), now)
        .unwrap();
    assert!(
        told(&mut s)
            .iter()
            .any(|e| matches!(e, PeerEvent::Client(Client { pex: false, .. })))
    );
    s.on_command(Command::TellPeers {
        added: vec![(addr, 0)],
        dropped: Vec::new(),
    });
    assert!(s.talk.out.is_empty());

    let (mut s, now) = session(true);
    s.on_message(extended(OUR_PEX, &list), now).unwrap();
    assert!(s.talk.events.is_empty(), "not offered: passed over");
}

#[test]
fn a_node_of_the_dht_is_told_once() {
    let (mut session, now) = session(true);
    for port in [6881, 6882, 6881] {
        session.on_message(Message::Port(port), now).unwrap();
    }
    assert_eq!(told(&mut session), [PeerEvent::DhtPort(6881)]);
}
