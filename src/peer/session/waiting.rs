//! What a conversation waits for. From this the thread knows [where to sleep](crate::peer::turn),
//! and whether others wait for the blocks that it holds. Part of the [`Session`].

use super::Session;
use crate::peer::turn::{Blocks, Debts};
use crate::pipeline::ENOUGH;
use std::time::Instant;

impl Session {
    /// Returns who owes what. `room`: whether the kernel owes us room.
    pub(crate) fn debts(&self, room: bool, now: Instant) -> Debts {
        let may_ask = self.we_want && !self.peer_chokes;
        let may_be_asked = self.peer_wants && !self.we_choke;
        let owed = self.owed.len() as u32;
        // A slow peer has its share of what is missing, and main no more: its end is far all
        // the same.
        let no_more_work = self.work.is_hungry();
        let is_far = no_more_work && self.pipeline.takes_long(owed) && !self.peer_wants;
        let many = is_far || owed >= ENOUGH && !self.peer_wants;
        Debts {
            answer: self.work.is_pending() || self.asked_interest || self.asked_unchoke,
            room,
            blocks: match self.owed.is_empty() {
                true => Blocks::None,
                false if many => Blocks::Many,
                false => Blocks::Few,
            },
            uploads: !self.uploads.is_empty(),
            no_more_work: no_more_work && !is_far,
            news: self.news_due,
            quiet: !may_ask && !may_be_asked && self.talk.is_quiet(now),
        }
    }

    /// Whether others wait for the blocks that were received: nothing more is on order, or main has
    /// no more work, so that the download's end waits for them.
    pub fn is_last_in_line(&self) -> bool {
        self.owed.is_empty() || self.work.is_hungry()
    }
}
