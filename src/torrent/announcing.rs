//! What a torrent tells its trackers, and what it does with their answers.
//!
//! The [`Announcer`](crate::announcer::Announcer) decides which tracker hears from us when.

use super::fetcher::Parting;
use super::{Action, Torrent, Turn};
use crate::announce::{AnnounceEvent, AnnounceReply, AnnounceRequest, TrackerError, Trouble};
use crate::announcer::TrackerIndex;
use crate::human;
use crate::layout::BLOCK_LEN;
use crate::swarm::Source;
use crate::trace::{Announce, Fact};
use crate::url::origin;

/// The missing bytes that we report to trackers before we know their number: one block.
const LEFT_UNKNOWN: u64 = BLOCK_LEN as u64;

const PEERS_WANTED: u32 = 100;

/// How many different messages of trackers are shown to the user.
const MAX_WARNINGS: usize = 20;

impl Torrent {
    /// A tracker answered, or could not be asked.
    pub fn on_tracker(
        &mut self,
        index: TrackerIndex,
        result: Result<AnnounceReply, TrackerError>,
        turn: &mut Turn<'_>,
    ) {
        self.tell_announced(index, &result, turn);
        if self.announcer.on_outcome(index, &result, turn.now) {
            // A private torrent has changed its tracker. Its peers belong to the old one.
            for (key, peer) in self.peers.iter_mut() {
                peer.fetcher.part(*key, Parting::Private, turn);
            }
        }
        match result {
            Ok(reply) => {
                if let Some(warning) = reply.warning {
                    self.warn_once(format!("a tracker warns: {warning}"), turn);
                }
                self.on_addresses(reply.peers, Source::Tracker, turn);
            }
            // Only the user can solve that.
            Err(error) if matches!(error.trouble, Trouble::Failure(_) | Trouble::Barred(_)) => {
                self.warn_once(human::chain(&error), turn);
            }
            Err(_) => {}
        }
        self.announce(turn);
    }

    fn tell_announced(
        &self,
        index: TrackerIndex,
        result: &Result<AnnounceReply, TrackerError>,
        turn: &mut Turn<'_>,
    ) {
        turn.tell(None, None, || Fact::Announced {
            tracker: origin(self.announcer.url(index)),
            event: match self.announcer.in_flight(index) {
                Some(AnnounceEvent::Started) => Announce::Started,
                Some(AnnounceEvent::Completed) => Announce::Completed,
                Some(AnnounceEvent::Stopped) => Announce::Stopped,
                Some(AnnounceEvent::Periodic) | None => Announce::None,
            },
            peers: result.as_ref().ok().map(|reply| reply.peers.len()),
            error: result.as_ref().err().map(|error| human::chain(error)),
        });
    }

    /// Warns the user. Equal messages are shown once, as a tracker may repeat its own in each
    /// answer.
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

    /// Returns the missing bytes of the whole torrent, wanted or not, as trackers expect. Before
    /// their number is known it must not be 0, or trackers would take us for a seed.
    pub(super) fn left(&self) -> u64 {
        match self.knows_content() {
            true => self.content.left(),
            false => LEFT_UNKNOWN,
        }
    }
}
