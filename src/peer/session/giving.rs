//! What we give to the peer: whether it is let in, what it asks for, and in which order it
//! gets that ([BEP 3]; with [BEP 6] no request goes without an answer). Part of the
//! [`Session`]; what is to be sent next, the thread [loads](crate::peer::outgoing) from here.
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

    /// Whether its requests are refused from now on. Those that wait are, if that changes.
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
            // Crossed our choke on the wire, or our mistake: no crime.
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

    /// These pieces are no longer on the disk. The peer cannot be told so, only refused.
    pub(super) fn on_lost(&mut self, lost: &[PieceIndex]) {
        lost.iter().for_each(|piece| _ = self.have.remove(*piece));
        for block in std::mem::take(&mut self.uploads) {
            match self.have.has(block.piece()) {
                true => self.uploads.push_back(block),
                false => self.talk.reject(block.raw()),
            }
        }
    }

    /// The next block to send to the peer, if it may be sent now.
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
