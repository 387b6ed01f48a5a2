//! A peer's thread as far as main can tell: it obeys the rules of [`crate::messages`], and
//! chance decides when.

use super::*;

/// One connection, or web seed, as its thread sees it.
#[derive(Default)]
pub(super) struct Thread {
    /// From main, not heard yet; main's end is `None`.
    pub(super) inbox: VecDeque<Option<Command>>,
    /// To main, not heard there yet.
    pub(super) outbox: VecDeque<PeerEvent>,
    /// To be fetched and stored.
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

    /// Takes the next command.
    pub(super) fn hear(&mut self) {
        match self.inbox.pop_front() {
            Some(Some(Command::Fetch(spans))) => {
                self.asking = false;
                if self.chokes && !spans.is_empty() {
                    return self.say(PeerEvent::Released(spans));
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

    /// Some of what it has on order, out of it.
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
