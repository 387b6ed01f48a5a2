//! The blocks that we give to the peer: whether we choke it, and what it requests ([BEP 3]; with
//! [BEP 6] each request gets an answer). The thread [loads](crate::peer::outgoing) the blocks from
//! here.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 6]: https://www.bittorrent.org/beps/bep_0006.html

use super::Session;
use crate::extension::OUR_QUEUE;
use crate::layout::{Block, PieceIndex, RawBlock};
use crate::messages::PeerEvent;
use crate::peer::error::PeerError;
use crate::wire::Message;

impl Session {
    pub(super) fn on_interested(&mut self, interested: bool) {
        if std::mem::replace(&mut self.peer_wants, interested) != interested {
            self.bothers += 1;
            self.asked_unchoke = true;
            self.talk.tell(PeerEvent::Interested(interested));
        }
    }

    /// Chokes or unchokes the peer. At a change, refuses waiting requests.
    pub(super) fn choke(&mut self, choke: bool) {
        self.asked_unchoke = false;
        if std::mem::replace(&mut self.we_choke, choke) != choke {
            let message = if choke {
                Message::Choke
            } else {
                Message::Unchoke
            };
            self.talk.say(message);
            for block in std::mem::take(&mut self.uploads) {
                self.talk.reject(block.raw());
            }
        }
    }

    pub(super) fn on_request(&mut self, raw: RawBlock) -> Result<(), PeerError> {
        let block = self.layout.served(raw).ok_or(PeerError::BadRequest(raw))?;
        if self.we_choke || !self.have.has(block.piece()) {
            // The request crossed our choke on the wire, or we made a mistake: no crime.
            self.talk.reject(raw);
        } else if self.uploads.len() < OUR_QUEUE as usize {
            self.uploads.push_back(block);
        } else if self.talk.fast {
            self.talk.reject(raw);
        } else {
            return Err(PeerError::Flood);
        }
        Ok(())
    }

    pub(super) fn on_cancel(&mut self, raw: RawBlock) {
        let before = self.uploads.len();
        self.uploads.retain(|block| block.raw() != raw);
        if self.uploads.len() < before {
            self.talk.reject(raw);
        }
    }

    /// These pieces are no longer on disk. BEP 3 has no message for that: we can only refuse
    /// requests.
    pub(super) fn on_lost(&mut self, lost: &[PieceIndex]) {
        lost.iter().for_each(|piece| _ = self.have.remove(*piece));
        for block in std::mem::take(&mut self.uploads) {
            match self.have.has(block.piece()) {
                true => self.uploads.push_back(block),
                false => self.talk.reject(block.raw()),
            }
        }
    }

    /// Returns the next block to send to the peer, if we may send it now.
    pub fn next_upload(&mut self) -> Option<Block> {
        let len = u64::from(self.uploads.front()?.len());
        if let Some(allowance) = &mut self.allowance {
            if *allowance < len {
                if !std::mem::replace(&mut self.asked_allowance, true) {
                    let waiting = self
                        .uploads
                        .iter()
                        .take(16)
                        .map(|block| u64::from(block.len()))
                        .sum();
                    self.talk.tell(PeerEvent::WantUpload(waiting));
                }
                return None;
            }
            *allowance -= len;
        }
        self.up += len;
        self.uploads.pop_front()
    }
}
