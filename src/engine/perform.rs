//! What a torrent decided is done here: a message to a thread, a new thread, a line to
//! the user. Part of the [`Engine`]'s loop.

use super::{Engine, News};
use crate::announce::AnnounceRequest;
use crate::announcer::TrackerIndex;
use crate::checker::CheckRequest;
use crate::human::chain;
use crate::peer::{Link, Order};
use crate::resume;
use crate::torrent::{Action, Phase};
use crate::tracker::{self, TrackerSettings};
use crate::types::TorrentId;
use crossbeam_channel::unbounded;
use std::time::Instant;

impl Engine<'_> {
    /// Does what a torrent decided.
    pub(super) fn perform(&mut self, id: TorrentId, actions: Vec<Action>) {
        let now = Instant::now();
        for action in actions {
            let Some(running) = self.alive(id) else {
                return;
            };
            match action {
                Action::Dial(addr) => {
                    let (info_hash, peer_id) = (running.shared.info_hash, running.shared.peer_id);
                    let link = Link::Dial {
                        addr,
                        bind: self.config.bind,
                        info_hash,
                        peer_id,
                    };
                    let key = self.connect(Some(id), addr, link);
                    let Some(running) = self.alive(id) else {
                        return;
                    };
                    match key {
                        Some(key) => running.torrent.on_dial(key, addr, now),
                        None => running.torrent.on_dial_failed(addr, now),
                    }
                }
                Action::Welcome(key) => {
                    let torrent = running.shared.clone();
                    let have = running.torrent.have().clone();
                    let complete = running.torrent.phase() != Phase::Downloading;
                    self.send(
                        key,
                        Order::Welcome {
                            torrent,
                            have,
                            complete,
                        },
                    );
                }
                Action::Send(key, command) => self.send(key, Order::Do(command)),
                Action::HangUp(key) => {
                    if let Some(link) = self.links.get_mut(&key) {
                        link.orders = None;
                    }
                }
                Action::Verify(pieces) => {
                    let _ = running.checker.send(CheckRequest::Pieces(pieces));
                    if running.torrent.waits_for_checker() {
                        let _ = running.checker.send(CheckRequest::Hurry);
                    }
                }
                Action::HashBlocks(piece) => {
                    let _ = running.checker.send(CheckRequest::Blocks(piece));
                }
                Action::Announce(index, request) => self.announce(id, index, request),
                Action::AnnounceLocally => {
                    let info_hash = running.shared.info_hash;
                    self.announce_locally(info_hash);
                }
                Action::Tell(report) => self.reporter.report(report),
                Action::Complete => {
                    let shared = running.shared.clone();
                    if !self.config.seed_only
                        && let Err(error) = resume::remove(&shared.storage)
                    {
                        self.warn(Some(shared.info_hash), chain(&error));
                    }
                }
            }
        }
        self.after(id);
    }

    /// A torrent that has nothing left to do leaves.
    pub(super) fn after(&mut self, id: TorrentId) {
        let Some(running) = self.running(id) else {
            return;
        };
        match running.torrent.phase() {
            Phase::Downloading | Phase::Seeding => {}
            Phase::Done => self.leave(id),
            Phase::Stalled => {
                let info_hash = running.shared.info_hash;
                let why = running
                    .torrent
                    .progress(Instant::now())
                    .idle
                    .unwrap_or_default();
                self.ending.stalled = true;
                let message =
                    format!("gave up, as nothing came for the time of --stall-timeout: {why}");
                self.warn(Some(info_hash), message);
                self.leave(id);
            }
        }
    }

    /// Tells a tracker, by its thread; the first time that thread is started.
    pub(super) fn announce(
        &mut self,
        id: TorrentId,
        index: TrackerIndex,
        request: AnnounceRequest,
    ) {
        let settings = TrackerSettings {
            bind: self.config.bind,
            ..TrackerSettings::default()
        };
        let news = self.news.clone();
        let Some(running) = self.alive(id) else {
            return;
        };
        if !running.trackers.contains_key(&index) {
            let (requests, to_perform) = unbounded();
            let urls = running.torrent.trackers();
            let url = urls
                .into_iter()
                .find(|(i, _)| *i == index)
                .map(|(_, url)| url)
                .unwrap_or_default();
            let report = move |index, result| _ = news.send(News::Tracker(id, index, result));
            if let Err(error) = tracker::spawn(url, index, settings, to_perform, report) {
                return self.warn(None, format!("cannot start a tracker's thread: {error}"));
            }
            running.trackers.insert(index, requests);
        }
        if let Some(requests) = running.trackers.get(&index) {
            let _ = requests.send(request);
        }
    }
}
