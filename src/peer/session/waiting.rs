//! What a conversation waits for: so the thread knows where to sleep, for how long, and
//! whether others wait for what it holds. Part of the [`Session`].

use super::Session;
use crate::peer::patience::Patience;
use crate::pipeline::ENOUGH;

impl Session {
    /// Whether the peer owes us blocks.
    pub fn is_owed(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Whether main owes us an answer, and there is nothing better to do than wait for it.
    pub fn waits_for_main(&self) -> bool {
        (self.work.is_pending() || self.asked_interest || self.asked_unchoke)
            && self.owed.is_empty()
            && self.uploads.is_empty()
    }

    /// What the next read is to wait for. If the peer owes us many blocks and asks for
    /// nothing, they may as well come in bulk. If main has no more work besides, the end of
    /// the download is near, and in the end waits for just these.
    pub fn patience(&self) -> Patience {
        let bulk = self.owed.len() as u32 >= ENOUGH && !self.peer_wants;
        match (bulk, self.is_owed() && self.work.is_hungry()) {
            (true, false) => Patience::Bulk,
            (true, true) => Patience::LastBulk,
            (false, true) => Patience::Last,
            // A super-seed shows its next piece when it hears that the last one arrived.
            (false, false) if self.news_due && self.owed.is_empty() => Patience::Last,
            (false, false) => Patience::Usual,
        }
    }

    /// Whether what was received is the last for now: nothing more is on order, or main
    /// has no more work, so that the end of the download waits for it.
    pub fn is_last_in_line(&self) -> bool {
        self.owed.is_empty() || self.work.is_hungry()
    }
}
