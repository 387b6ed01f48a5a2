//! What a torrent tells its trackers, and what it makes of their answers. Who is told when
//! is the [`Announcer`](crate::announcer::Announcer)'s to say.
//! Part of the [`Torrent`], for its tick and for the trackers' threads' answers.

use super::{Action, Torrent, Turn};
use crate::announce::{AnnounceEvent, AnnounceReply, AnnounceRequest, TrackerError, Trouble};
use crate::announcer::TrackerIndex;
use crate::human;
use crate::layout::BLOCK_LEN;
use crate::swarm::Source;

/// What trackers are told of the bytes that we lack while we don't know: one block.
const LEFT_UNKNOWN: u64 = BLOCK_LEN as u64;

/// Peers to ask a tracker for.
const PEERS_WANTED: u32 = 100;

/// Different messages of trackers that are passed on to the user.
const MAX_WARNINGS: usize = 20;

impl Torrent {
    /// A tracker answered, or failed to.
    pub fn on_tracker(
        &mut self,
        index: TrackerIndex,
        result: Result<AnnounceReply, TrackerError>,
        turn: &mut Turn<'_>,
    ) {
        if self.announcer.on_outcome(index, &result, turn.now) {
            // A private torrent changed its tracker: its peers belong to the old one.
            self.peers.keys().for_each(|key| turn.hang_up(*key));
        }
        match result {
            Ok(reply) => {
                if let Some(warning) = reply.warning {
                    self.warn_once(format!("a tracker warns: {warning}"), turn);
                }
                let text = format!("a tracker named {} peers", reply.peers.len());
                turn.detail(text);
                self.on_addresses(reply.peers, Source::Tracker, turn);
            }
            // It knows us and wants us not, or we may not ask: that is for the user to solve.
            Err(error) if matches!(error.trouble, Trouble::Failure(_) | Trouble::Barred(_)) => {
                self.warn_once(human::chain(&error), turn);
            }
            Err(error) => turn.detail(human::chain(&error)),
        }
        self.announce(turn);
    }

    /// Warns the user; what a tracker says at each announce is said once.
    pub(super) fn warn_once(&mut self, message: String, turn: &mut Turn<'_>) {
        if self.warned.len() < MAX_WARNINGS && self.warned.insert(message.clone()) {
            turn.warn(self.setup.info_hash, message);
        }
    }

    pub(super) fn announce(&mut self, turn: &mut Turn<'_>) {
        for (index, event) in self.announcer.due(turn.now) {
            let url = self.announcer.url(index).to_owned();
            turn.push(Action::Announce(index, url, self.request(event)));
        }
    }

    fn request(&self, event: AnnounceEvent) -> AnnounceRequest {
        AnnounceRequest {
            info_hash: self.setup.info_hash,
            peer_id: self.setup.peer_id,
            port: self.setup.port,
            uploaded: self.traffic.uploaded,
            downloaded: self.traffic.downloaded,
            left: self.left(),
            event,
            key: self.tracker_key,
            num_want: PEERS_WANTED,
            tracker_id: None,
        }
    }

    /// Bytes of the whole torrent that we lack, wanted or not: what trackers ask for.
    /// Zero would make us a seed in their eyes, so that is not said before it is known.
    pub(super) fn left(&self) -> u64 {
        match self.knows_content() {
            true => self.content.left(),
            false => LEFT_UNKNOWN,
        }
    }
}
