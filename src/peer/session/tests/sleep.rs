//! Where a conversation's thread sleeps: which debts follow from its state.

use super::*;
use crate::peer::turn::Patience;

fn patience(s: &Session) -> Patience {
    patience_at(s, s.talk.heard)
}

fn patience_at(s: &Session, now: Instant) -> Patience {
    match sleep_at(s, now) {
        Sleep::Read(patience) => patience,
        other => panic!("it sleeps in {other:?}"),
    }
}

#[test]
fn a_quiet_connection_sleeps_longer_unless_blocks_may_be_asked_for() {
    const QUIET: Sleep = Sleep::Read(Patience::Quiet);
    let (mut s, start) = session(true);
    let later = |seconds| start + Duration::from_secs(seconds);
    assert_ne!(sleep_at(&s, later(1)), QUIET);
    assert_eq!(sleep_at(&s, later(2)), QUIET);
    s.on_message(Message::Interested, later(3)).unwrap();
    told(&mut s);
    s.on_command(Command::Choke(true));
    assert_eq!(
        sleep_at(&s, later(3)),
        QUIET,
        "we choke it, and it knows what it wants"
    );
    s.on_command(Command::Choke(false));
    assert_ne!(sleep_at(&s, later(9)), QUIET, "it may ask");
    s.on_message(Message::NotInterested, later(10)).unwrap();
    assert_ne!(sleep_at(&s, later(10)), QUIET, "our next piece may be news");
    s.on_message(Message::HaveAll, later(10)).unwrap();
    told(&mut s);
    s.on_command(Command::Interest(true));
    s.on_command(Command::Choke(false));
    assert_eq!(sleep_at(&s, later(10)), QUIET, "no piece is news to a seed");
    s.on_message(Message::Unchoke, later(13)).unwrap();
    assert_ne!(sleep_at(&s, later(16)), QUIET, "we may ask");
}

/// Only from a peer that owes much and wants nothing. A peer that waits for an answer of ours is
/// heard at once, and so is the last block.
#[test]
fn blocks_may_come_in_bulk() {
    let total = 200 * u64::from(BLOCK_LEN);
    let layout = Arc::new(Layout::new(total, &[(total, false)]).unwrap());
    let now = Instant::now();
    let mut s = Session::new(layout, Bitfield::none(1), Talk::new(false, now), false, now);
    s.on_command(Command::Interest(true));
    s.on_message(Message::Unchoke, now).unwrap();
    s.pipeline.set_distance(Duration::from_secs(1)); // far away, so that much goes on order
    let work = span(&s, 0, 0..64); // 1 MiB
    s.on_command(Command::Fetch(vec![work]));
    assert_eq!(patience(&s), Patience::Usual, "nothing is on order yet");
    s.request(now);
    assert_eq!(patience(&s), Patience::Bulk);
    s.on_message(Message::Interested, now).unwrap();
    assert_eq!(patience(&s), Patience::Usual);
    s.on_message(Message::NotInterested, now).unwrap();
    assert_eq!(patience(&s), Patience::Bulk);
    s.on_command(Command::Fetch(vec![]));
    assert_eq!(patience(&s), Patience::LastBulk, "main has no more");
    s.owed.truncate(32);
    assert_eq!(patience(&s), Patience::LastBulk);
    s.owed.truncate(31);
    assert_eq!(patience(&s), Patience::Last, "the end waits for these");
    s.work.wake();
    assert_eq!(patience(&s), Patience::Usual);
}

/// Only a seed: any other peer may wait for our news. What it owes takes long if its next block is
/// late, even if its rate is not measured yet.
#[test]
fn a_seed_that_needs_long_is_heard_seldom() {
    let (mut s, now, _) = fetching(true); // 4 blocks
    let patience = |s: &Session, millis| patience_at(s, now + Duration::from_millis(millis));
    assert_eq!(patience(&s, 249), Patience::Usual);
    assert_eq!(patience(&s, 250), Patience::Usual, "no seed");
    s.on_message(Message::HaveAll, now).unwrap();
    assert_eq!(patience(&s, 249), Patience::Usual);
    assert_eq!(patience(&s, 250), Patience::LongBulk);
    s.on_message(Message::Interested, now).unwrap();
    assert_eq!(patience(&s, 250), Patience::Usual, "it wants something");
    s.on_message(Message::NotInterested, now).unwrap();
    s.work.ask();
    s.on_command(Command::Fetch(vec![])); // main has no more work
    assert_eq!(patience(&s, 249), Patience::Bulk);
    assert_eq!(patience(&s, 250), Patience::LongBulk);
    s.owed.truncate(1);
    assert_eq!(patience(&s, 1000), Patience::Usual, "it wakes the thread");
}

/// Until the last block, the one before it wakes the thread of a slow peer in time.
#[test]
fn only_the_last_block_of_a_slow_peer_is_hurried() {
    let (mut s, now, _) = fetching(true); // 4 blocks
    s.work.ask();
    s.on_command(Command::Fetch(vec![]));
    let late = now + Duration::from_millis(50);
    assert_eq!(
        sleep_at(&s, now),
        Sleep::Read(Patience::Last),
        "not slow yet"
    );
    assert!(s.is_slow(late));
    assert_eq!(patience_at(&s, late), Patience::Usual);
    s.owed.truncate(1);
    assert_eq!(patience_at(&s, late), Patience::Last);
}

#[test]
fn main_need_not_wake_up_for_news_that_change_nothing() {
    let (mut s, now) = session(true);
    assert!(s.have.has(s.layout.piece(0).unwrap()));
    s.on_message(Message::Have(0), now).unwrap();
    assert!(s.events_can_wait(now), "we have that piece");
    s.on_message(Message::Have(1), now).unwrap();
    assert!(!s.events_can_wait(now), "we may become interested");
    s.on_command(Command::Interest(true));
    assert!(s.events_can_wait(now), "we are interested");
    s.on_message(Message::Unchoke, now).unwrap();
    assert!(!s.events_can_wait(now));
}

#[test]
fn main_need_not_wake_up_for_a_part_of_a_piece_nor_for_work_that_is_not_urgent() {
    let (mut s, now, _) = fetching(true);
    s.talk.events.clear();
    let piece = s.owed[0].piece();
    s.on_stored(vec![(piece, 0)]);
    assert!(s.events_can_wait(now), "others of it are on order");
    s.owed.truncate(1);
    assert!(!s.events_can_wait(now), "it soon needs more work");
    let (mut s, now, _) = fetching(true);
    let other = s.layout.piece(0).unwrap();
    s.on_stored(vec![(piece, 0), (other, 0)]);
    assert!(!s.events_can_wait(now), "the other piece may be whole");
    let (mut s, now, _) = fetching(true); // 4 blocks
    s.talk.events = vec![PeerEvent::Want(1)];
    let [early, late] = [100, 125].map(|millis| now + Duration::from_millis(millis));
    assert!(!s.events_can_wait(early));
    assert!(s.events_can_wait(late), "they take half a second or longer");
}

/// A peer may wait to hear that its piece is right and that we have it, but not for long.
#[test]
fn news_of_what_was_stored_is_not_slept_through() {
    let (mut s, now) = session(true);
    let news: Arc<[PieceIndex]> = [s.layout.piece(0).unwrap()].into();
    for arrives in [true, false] {
        s.on_stored(vec![(news[0], 0)]);
        assert_eq!(patience(&s), Patience::Last);
        match arrives {
            true => s.on_command(Command::Had(news.clone())),
            false => s.on_tick(now + NEWS_WITHIN).unwrap(),
        }
        assert_eq!(patience(&s), Patience::Usual);
    }
}
