//! Performs what a torrent decided: sends a message to a thread, starts a thread, or reports to the
//! user.

use super::starts::Task;
use super::works::Recording;
use super::{Engine, News};
use crate::announce::{AnnounceRequest, TrackerError, Trouble};
use crate::announcer::TrackerIndex;
use crate::checker::CheckRequest;
use crate::human::chain;
use crate::peer::{Order, Welcome};
use crate::report::{Idle, Report};
use crate::threads::ADVICE;
use crate::torrent::{Action, Entry};
use crate::tracker::{self, TrackerSettings};
use crate::types::{PeerKey, TorrentId};
use crate::url::shown;
use crossbeam_channel::unbounded;
use std::time::Instant;

impl Engine<'_> {
    /// Performs actions of a torrent, in order. Those that follow from them, for this torrent or
    /// another, wait their turn.
    pub(super) fn perform(&mut self, id: TorrentId, actions: Vec<Action>) {
        self.due
            .extend(actions.into_iter().map(|action| (id, action)));
        if std::mem::replace(&mut self.performing, true) {
            return;
        }
        while let Some((id, action)) = self.due.pop_front() {
            self.act(id, action);
        }
        self.performing = false;
    }

    fn act(&mut self, id: TorrentId, action: Action) {
        if self.works.alive(id).is_none() {
            return;
        }
        match action {
            Action::Dial(key, addr) => self.dial(id, key, addr),
            Action::OpenWebSeed(key, _, url) => self.open_web_seed(id, key, url),
            Action::Welcome(key, entry) => self.welcome(id, key, entry),
            Action::Send(key, command) => self.send(key, Order::Do(command)),
            Action::HangUp(key) => self.hang_up(key),
            Action::Verify { pieces, hurry } => {
                self.check(id, CheckRequest::Pieces(pieces));
                if hurry {
                    self.check(id, CheckRequest::Hurry);
                }
            }
            Action::HashBlocks(piece) => self.check(id, CheckRequest::Blocks(piece)),
            Action::Announce(index, url, request) => self.announce(id, index, url, request),
            Action::SearchDht { announce } => self.search_dht(id, announce),
            Action::EnterDht(addr) => {
                if let Some(dht) = self.dht() {
                    dht.node(addr);
                }
            }
            Action::AnnounceLocally => self.announce_locally(self.works[id].us.info_hash),
            Action::Tell(report) => self.reporter.report(report),
            Action::Survey(have) => self.check(id, CheckRequest::Survey(have)),
            Action::Complete => self.record(id),
            Action::Done => self.leave(id),
            Action::GiveUp(why) => self.give_up(id, why),
            Action::Fail(why) => self.fail(id, why),
            Action::Learnt(info) => self.on_learnt(id, &info),
        }
    }

    pub(super) fn record(&mut self, id: TorrentId) {
        let Some(running) = self.works.alive(id) else {
            return;
        };
        let have = running.torrent.have().clone();
        if let Some(stored) = &mut running.stored {
            stored.recording = Recording::Asked(Instant::now());
        }
        self.check(id, CheckRequest::Record(have));
    }

    /// Sends a request to the checker, and starts its thread if it does not run.
    fn check(&mut self, id: TorrentId, request: CheckRequest) {
        if let Some(stored) = self.works.stored(id) {
            let _ = stored.checker.send(request); // we hold the other end, too
            if !std::mem::replace(&mut stored.checking, true) {
                self.begin(Task::Check(id));
            }
        }
    }

    /// Handles the end of an idle checker's thread. If a request has come since, starts it again.
    pub(super) fn on_checker_idle(&mut self, id: TorrentId) {
        if let Some(stored) = self.works.stored(id) {
            stored.checking = !stored.requests.is_empty();
            if stored.checking {
                self.begin(Task::Check(id));
            }
        }
    }

    /// Has a peer's thread begin the conversation, or ask for the metadata while we lack it.
    fn welcome(&mut self, id: TorrentId, key: PeerKey, entry: Option<Entry>) {
        let incoming = self.links.get(&key).is_some_and(|link| link.from.is_some());
        let us = self.works[id].us;
        let order = match self.works.stored(id).zip(entry) {
            Some((stored, Entry { have, complete })) => {
                let metainfo = &stored.known.metainfo;
                // We give the metadata of a private torrent only to peers that its tracker named.
                let may_learn = !metainfo.private || !incoming;
                Order::Welcome(Welcome {
                    torrent: stored.shared.clone(),
                    have,
                    complete,
                    metadata: may_learn.then(|| metainfo.info().clone()),
                })
            }
            None => Order::Learn(us),
        };
        self.send(key, order);
    }

    fn give_up(&mut self, id: TorrentId, why: Idle) {
        self.ending.stalled = true;
        let work = &self.works[id];
        let (info_hash, name) = (work.us.info_hash, work.name());
        self.reporter.report(Report::GaveUp {
            info_hash,
            name,
            why,
        });
        self.leave(id);
    }

    /// Hands an announce to the tracker's thread, which is started if need be. If it can't be, the
    /// announce has failed.
    fn announce(
        &mut self,
        id: TorrentId,
        index: TrackerIndex,
        url: String,
        mut request: AnnounceRequest,
    ) {
        let nearest = self.works[id].job.nearest_tracker(&url);
        let Some(running) = self.works.alive(id) else {
            return;
        };
        if let Some(requests) = running.trackers.get(&index) {
            match requests.send(request) {
                Ok(()) => return,
                Err(unsent) => request = unsent.into_inner(),
            }
        }
        let (requests, to_perform) = unbounded();
        let settings = TrackerSettings {
            door: self.config.door.clone(),
            nearest,
            ..TrackerSettings::default()
        };
        let (tracker, news) = (shown(&url), self.news.clone());
        let report = move |index, result| _ = news.send(News::Tracker(id, index, result));
        match tracker::spawn(url, index, settings, to_perform, report) {
            Ok(_) => {
                let _ = requests.send(request); // it is there: it has just been started
                running.trackers.insert(index, requests);
            }
            Err(error) => {
                let nobody_asked = running.trackers.is_empty();
                let why = format!("{}; {ADVICE}", chain(&error));
                let trouble = Trouble::NoThread(error.source);
                let failed = Err(TrackerError { tracker, trouble });
                self.tell(id, |torrent, turn| torrent.on_tracker(index, failed, turn));
                if nobody_asked {
                    self.on_short(id, why, 0);
                }
            }
        }
    }
}
