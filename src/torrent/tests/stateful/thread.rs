//! A peer's thread as main sees it: it obeys the rules of [`crate::messages`], and acts at random
//! times.

use super::*;

/// One peer's or web seed's connection, as its thread sees it.
#[derive(Default)]
pub(super) struct Thread {
    /// From main, not heard yet. `None`: main has closed the channel.
    pub(super) inbox: VecDeque<Option<Command>>,
    /// To main, not heard there yet.
    pub(super) outbox: VecDeque<PeerEvent>,
    pub(super) orders: Blocks,
    pub(super) have: Option<Bitfield>,
    pub(super) greeted: bool,
    pub(super) chokes: bool,
    pub(super) asking: bool,
    pub(super) is_web: bool,
    pub(super) over: bool,
}

impl Thread {
    pub(super) fn say(&mut self, event: PeerEvent) {
        self.outbox.push_back(event);
    }

    pub(super) fn hear(&mut self) {
        match self.inbox.pop_front() {
            Some(Some(Command::Fetch(spans))) => {
                self.asking = false;
                if self.chokes && !spans.is_empty() {
                    return self.say(PeerEvent::Released(spans, GivenBack::Choked));
                }
                for span in spans {
                    for number in span.numbers() {
                        let fresh = self.orders.insert((span.piece(), number));
                        assert!(fresh, "asked twice of one peer");
                    }
                }
            }
            Some(Some(Command::Cancel(spans))) => {
                self.orders.retain(|(piece, n)| {
                    !spans
                        .iter()
                        .any(|s| s.piece() == *piece && s.numbers().contains(n))
                });
                self.say(PeerEvent::Cancelled(spans));
            }
            Some(Some(_)) | None => {}
            Some(None) => self.close(),
        }
    }

    pub(super) fn close(&mut self) {
        if !std::mem::replace(&mut self.over, true) {
            self.say(PeerEvent::Closed("over".into()));
        }
    }

    /// Takes some of the blocks on order out of it.
    pub(super) fn take(&mut self, rng: &mut fastrand::Rng, most: usize) -> Vec<Span> {
        let mut blocks: Vec<_> = self.orders.iter().copied().collect();
        blocks.sort_unstable();
        rng.shuffle(&mut blocks);
        blocks.truncate(most);
        blocks
            .iter()
            .for_each(|block| _ = self.orders.remove(block));
        spans_of(blocks)
    }
}
