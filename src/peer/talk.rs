//! What both kinds of conversation with a peer have: the bytes for the peer, the events for main,
//! and the limits on silence.
//!
//! The [`Learner`] owns a [`Talk`]. When the metadata becomes known, the [`Session`] takes it over.
//!
//! [`Learner`]: super::learner::Learner
//! [`Session`]: super::session::Session

use super::error::PeerError;
use crate::layout::RawBlock;
use crate::messages::PeerEvent;
use crate::wire::Message;
use std::time::{Duration, Instant};

/// A peer that sends nothing for 130 s is dropped. All clients send a keep-alive at least every two
/// minutes.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(130);

/// After 60 s of silence we send a keep-alive, so that the peer does not drop us.
pub(super) const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(60);

/// A connection on which nothing was said for this long is likely to stay quiet.
const QUIET_AFTER: Duration = Duration::from_secs(2);

/// The state that both kinds of conversation have.
#[derive(Debug)]
pub struct Talk {
    /// Whether both sides know BEP 6. If so, each request gets an answer, if only a reject.
    pub(super) fast: bool,
    /// The message number that the peer wants for metadata messages. 0: it wants none.
    pub(super) metadata_id: u8,
    pub(super) heard: Instant,
    spoke: Instant,
    /// Whether the peer named its DHT node. We take one.
    named_node: bool,
    /// Bytes for the peer.
    pub out: Vec<u8>,
    /// Events for main.
    pub events: Vec<PeerEvent>,
}

impl Talk {
    /// Begins after both handshakes. `fast`: whether both sides know BEP 6.
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

    pub(super) fn say(&mut self, message: Message<'_>) {
        message.encode(&mut self.out);
    }

    /// Queues our extension handshake, if the peer knows BEP 10.
    pub(super) fn introduce(&mut self, extension_handshake: Option<&[u8]>) {
        if let Some(payload) = extension_handshake {
            self.say(Message::Extended { id: 0, payload });
        }
    }

    /// Queues a metadata message, if the peer wants them.
    pub(super) fn say_of_metadata(&mut self, payload: &[u8]) {
        if self.metadata_id != 0 {
            let id = self.metadata_id;
            self.say(Message::Extended { id, payload });
        }
    }

    /// Refuses a request. Without BEP 6, silence does that.
    pub(super) fn reject(&mut self, raw: RawBlock) {
        if self.fast {
            self.say(Message::Reject(raw));
        }
    }

    pub(super) fn tell(&mut self, event: PeerEvent) {
        self.events.push(event);
    }

    pub(super) fn on_node(&mut self, port: u16) {
        if !std::mem::replace(&mut self.named_node, true) {
            self.tell(PeerEvent::DhtPort(port));
        }
    }

    pub(super) fn on_spoken(&mut self, now: Instant) {
        self.spoke = now;
    }

    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        now.duration_since(self.heard.max(self.spoke)) >= QUIET_AFTER
    }

    /// Sends a keep-alive when it is due.
    ///
    /// # Errors
    /// [`PeerError::Silent`], if the peer said nothing for [`SILENT_AFTER`].
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
