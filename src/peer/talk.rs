//! What every conversation with a peer has, whatever it is about: what waits to be said to the
//! peer and to main, and how long either side may be silent.
//!
//! The [`Learner`] and the [`Session`] own one each. When the metadata is known, the session
//! gets the learner's: the conversation goes on where it stands.
//!
//! [`Learner`]: super::learner::Learner
//! [`Session`]: super::session::Session

use super::error::PeerError;
use crate::layout::RawBlock;
use crate::messages::PeerEvent;
use crate::wire::Message;
use std::time::{Duration, Instant};

/// A peer of which nothing at all was heard for 130 s is dropped; all clients send a
/// keep-alive every two minutes at the latest.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(130);

/// If we have said nothing for 60 s we send a keep-alive, so that the peer does not drop us.
pub(super) const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(60);

/// A connection on which nothing was said for this long is likely to stay quiet.
const QUIET_AFTER: Duration = Duration::from_secs(2);

/// One conversation, as far as it is like any other.
#[derive(Debug)]
pub struct Talk {
    /// Both know BEP 6: each request is answered, if only by a reject.
    pub(super) fast: bool,
    /// The number by which the peer wants metadata messages called; 0: not at all.
    pub(super) metadata_id: u8,
    /// When the peer said something last.
    pub(super) heard: Instant,
    /// When something of ours went on its way last.
    spoke: Instant,
    /// The peer told us of its node of the DHT. Once is enough.
    named_node: bool,
    /// Bytes for the peer.
    pub out: Vec<u8>,
    /// Events for main.
    pub events: Vec<PeerEvent>,
}

impl Talk {
    /// Both handshakes are done. `fast`: both know BEP 6.
    pub fn new(fast: bool, now: Instant) -> Self {
        Self {
            fast,
            metadata_id: 0,
            heard: now,
            spoke: now,
            named_node: false,
            out: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Says this to the peer.
    pub(super) fn say(&mut self, message: Message<'_>) {
        message.encode(&mut self.out);
    }

    /// Says who we are, to a peer that knows BEP 10.
    pub(super) fn introduce(&mut self, extension_handshake: Option<&[u8]>) {
        if let Some(payload) = extension_handshake {
            self.say(Message::Extended { id: 0, payload });
        }
    }

    /// Says this about the metadata, if the peer wants to hear of it.
    pub(super) fn say_of_metadata(&mut self, payload: &[u8]) {
        if self.metadata_id != 0 {
            let id = self.metadata_id;
            self.say(Message::Extended { id, payload });
        }
    }

    /// Refuses a request. Without BEP 6 that is done by saying nothing.
    pub(super) fn reject(&mut self, raw: RawBlock) {
        if self.fast {
            self.say(Message::Reject(raw));
        }
    }

    /// Tells main.
    pub(super) fn tell(&mut self, event: PeerEvent) {
        self.events.push(event);
    }

    /// The peer names the port of its node of the DHT.
    pub(super) fn on_node(&mut self, port: u16) {
        if !std::mem::replace(&mut self.named_node, true) {
            self.tell(PeerEvent::DhtPort(port));
        }
    }

    /// Something of ours is on its way to the peer.
    pub(super) fn on_spoken(&mut self, now: Instant) {
        self.spoke = now;
    }

    /// Whether neither side has said anything for 2 s.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        now.duration_since(self.heard.max(self.spoke)) >= QUIET_AFTER
    }

    /// What time brings: keep-alives, and the end of a peer that says nothing.
    ///
    /// # Errors
    /// [`PeerError::Silent`], if the peer said nothing for too long.
    pub(super) fn on_tick(&mut self, now: Instant) -> Result<(), PeerError> {
        if now.duration_since(self.heard) >= SILENT_AFTER {
            return Err(PeerError::Silent(SILENT_AFTER));
        }
        if now.duration_since(self.spoke) >= KEEP_ALIVE_AFTER {
            self.say(Message::KeepAlive);
            self.spoke = now;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_broken_by_us_and_ends_a_peer() {
        let start = Instant::now();
        let mut talk = Talk::new(false, start);
        let after = |secs| start + Duration::from_secs(secs);
        talk.on_tick(after(59)).unwrap();
        assert!(talk.out.is_empty());
        talk.on_spoken(after(59));
        talk.on_tick(after(118)).unwrap();
        assert!(talk.out.is_empty(), "we spoke 59 s ago");
        talk.on_tick(after(119)).unwrap();
        talk.on_tick(after(120)).unwrap();
        assert_eq!(talk.out, [0; 4], "one keep-alive");
        talk.on_tick(after(129)).unwrap();
        assert!(matches!(
            talk.on_tick(after(130)),
            Err(PeerError::Silent(_))
        ));
    }

    #[test]
    fn a_node_of_the_dht_is_told_at_once_and_once() {
        let mut talk = Talk::new(false, Instant::now());
        talk.on_node(6881);
        talk.on_node(6882);
        assert_eq!(talk.events, [PeerEvent::DhtPort(6881)]);
    }
}
