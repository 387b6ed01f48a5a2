//! The extensions of a conversation ([BEP 10]): who the peer is, our metadata for peers that lack
//! it ([BEP 9]), and addresses of other peers ([BEP 11]).
//!
//! [BEP 9]: https://www.bittorrent.org/beps/bep_0009.html
//! [BEP 10]: https://www.bittorrent.org/beps/bep_0010.html
//! [BEP 11]: https://www.bittorrent.org/beps/bep_0011.html

use super::Session;
use crate::extension::{self, OUR_METADATA, OUR_PEX, metadata, pex};
use crate::messages::{Client, PeerEvent};
use crate::peer::error::PeerError;
use crate::wire::Message;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most pieces of our metadata that a peer may have on order: all of the largest metadata.
const MAX_WANTED: usize = metadata::MAX_LEN / metadata::PIECE_LEN;

/// While more than 64 KiB wait to be sent, we add no metadata.
const ENOUGH_OUT: usize = 64 << 10;

/// A peer that sends more lists of peers than this within [`PEX_EVERY`] floods us.
const MAX_LISTS: u32 = 6;

/// BEP 11 wants a minute between two lists.
const PEX_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Extensions {
    /// The metadata that the peer may request. `None` if we give none.
    metadata: Option<Arc<[u8]>>,
    wanted: VecDeque<u32>,
    /// The message number that the peer wants for lists of peers. 0: it wants none.
    pex_id: u8,
    pex: bool,
    /// How many lists of peers came since `lists_since`.
    lists: u32,
    lists_since: Option<Instant>,
}

impl Session {
    /// Sets the metadata, if the peer may have it, and whether we exchange addresses.
    pub fn extend(&mut self, metadata: Option<Arc<[u8]>>, pex: bool) {
        self.extensions.metadata = metadata;
        self.extensions.pex = pex;
    }

    pub(super) fn on_extended(
        &mut self,
        id: u8,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), PeerError> {
        match id {
            0 => self.on_extension_handshake(payload),
            OUR_METADATA => self.on_metadata(payload)?,
            OUR_PEX if self.extensions.pex => self.on_list(payload, now)?,
            // An extension that we did not offer.
            _ => {}
        }
        Ok(())
    }

    fn on_extension_handshake(&mut self, payload: &[u8]) {
        // A malformed handshake tells us nothing, but we keep the peer.
        let told = extension::decode(payload).unwrap_or_default();
        if let Some(reqq) = told.reqq {
            self.pipeline.set_limit(reqq);
        }
        // A second handshake amends the first.
        let ours = &mut self.extensions;
        let metadata_id = &mut self.talk.metadata_id;
        *metadata_id = told.metadata.unwrap_or(*metadata_id);
        ours.pex_id = told.pex.unwrap_or(ours.pex_id);
        self.bothers += 1;
        self.talk.tell(PeerEvent::Client(Client {
            name: told.name,
            port: told.port,
            upload_only: told.upload_only,
            pex: ours.pex && ours.pex_id != 0,
        }));
    }

    fn on_metadata(&mut self, payload: &[u8]) -> Result<(), PeerError> {
        let wanted = &mut self.extensions.wanted;
        if let Some(metadata::Message::Request(piece)) = metadata::Message::decode(payload) {
            if wanted.len() >= MAX_WANTED {
                return Err(PeerError::Flood);
            }
            wanted.push_back(piece);
        }
        Ok(())
    }

    /// Answers requests for metadata while [`Talk::out`](crate::peer::talk::Talk::out) has room.
    pub fn give_metadata(&mut self) {
        let ours = &mut self.extensions;
        let all = ours.metadata.as_deref();
        while self.talk.out.len() < ENOUGH_OUT
            && let Some(piece) = ours.wanted.pop_front()
        {
            let data = all.and_then(|all| metadata::piece_of(all, piece));
            let answer = data.map_or(metadata::Message::Reject(piece), |data| {
                metadata::Message::Data(piece, data)
            });
            let payload = &answer.encode(all.map_or(0, <[u8]>::len));
            self.talk.say_of_metadata(payload);
        }
    }

    fn on_list(&mut self, payload: &[u8], now: Instant) -> Result<(), PeerError> {
        let ours = &mut self.extensions;
        let since = ours.lists_since.get_or_insert(now);
        if now.duration_since(*since) >= PEX_EVERY {
            (*since, ours.lists) = (now, 0);
        }
        ours.lists += 1;
        if ours.lists > MAX_LISTS {
            return Err(PeerError::Flood);
        }
        let peers = pex::decode(payload);
        if !peers.is_empty() {
            self.talk.tell(PeerEvent::Peers(peers));
        }
        Ok(())
    }

    pub(super) fn tell_peers(&mut self, added: &[(SocketAddr, u8)], dropped: &[SocketAddr]) {
        let id = self.extensions.pex_id;
        if id != 0 {
            let payload = &pex::encode(added, dropped);
            self.talk.say(Message::Extended { id, payload });
        }
    }
}
