//! Which request an answer of the peer is about.

use super::*;

fn reject(number: u32) -> Message<'static> {
    Message::Reject(RawBlock {
        index: 1,
        begin: number * BLOCK_LEN,
        length: BLOCK_LEN,
    })
}

/// The peer plays by BEP 6: it answers each request once, in order, and a cancelled one that it has
/// not served with a reject. What we request again after a cancel comes all the same.
#[test]
fn a_reject_answers_the_cancelled_request_and_no_later_one() {
    // Block 2 is requested, cancelled and requested again. The peer gets the cancel in time, or has
    // sent the block already.
    for answers in [[reject(2), piece(2)], [piece(2), piece(2)]] {
        let (mut s, now, _) = fetching(true);
        let again = span(&s, 1, 2..3);
        s.on_command(Command::Cancel(vec![again]));
        s.on_command(Command::Fetch(vec![again]));
        s.request(now);
        told(&mut s);
        let mut came = 0;
        for answer in answers {
            came += u32::from(s.on_message(answer, now).unwrap().is_some());
        }
        assert_eq!(came, 1);
        assert!(told(&mut s).is_empty(), "nothing is refused");
        assert!(!s.owed.contains(&s.layout.block(again.piece(), 2).unwrap()));
        let end = s.on_message(piece(2), now);
        assert!(matches!(end, Err(PeerError::Unrequested(_))), "each once");
    }
}

/// Such a peer would otherwise hold the block until it is snubbed.
#[test]
fn a_peer_that_answers_no_cancel_rejects_the_later_request_when_it_chokes_us() {
    let (mut s, now, _) = fetching(true);
    let again = span(&s, 1, 2..3);
    s.on_command(Command::Cancel(vec![again]));
    s.on_command(Command::Fetch(vec![again]));
    s.request(now);
    s.on_message(Message::Choke, now).unwrap();
    told(&mut s);
    s.on_message(reject(2), now).unwrap();
    let released = PeerEvent::Released(vec![again], GivenBack::Refused);
    assert_eq!(told(&mut s), [released]);
}
