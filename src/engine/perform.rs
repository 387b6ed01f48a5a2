//! What a torrent decided is done here: a message to a thread, a new thread, a line to
//! the user. Part of the [`Engine`]'s loop.

use super::starts::Task;
use super::{Engine, News, Recording};
use crate::announce::{AnnounceRequest, TrackerError, Trouble};
use crate::announcer::TrackerIndex;
use crate::checker::CheckRequest;
use crate::human::chain;
use crate::peer::{Link, Order, Welcome};
use crate::threads::ADVICE;
use crate::torrent::{Action, Phase};
use crate::tracker::{self, TrackerSettings};
use crate::types::{PeerKey, TorrentId};
use crate::url::shown;
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
                    let us = running.us;
                    let link = Link::Dial {
                        to: self.names.target(addr),
                        door: Box::new(self.config.door.clone()),
                        us,
                        encryption: self.config.encryption,
                    };
                    let key = self.connect(Some(id), addr, link);
                    let Some(running) = self.alive(id) else {
                        return;
                    };
                    match key {
                        Ok(key) => running.torrent.on_dial(key, addr, now),
                        Err(shortage) => {
                            running.torrent.on_dial_failed(addr, shortage, now);
                            let why = format!("cannot connect to any peer: {shortage}; {ADVICE}");
                            self.on_short(id, why, 0);
                        }
                    }
                }
                Action::OpenWebSeed(index, url) => self.open_web_seed(id, index, url),
                Action::Welcome(key) => self.welcome(id, key),
                Action::Send(key, command) => self.send(key, Order::Do(command)),
                Action::HangUp(key) => self.hang_up(key),
                Action::Verify(pieces) => {
                    let hurry = running.torrent.awaits_verdicts();
                    self.check(id, CheckRequest::Pieces(pieces));
                    if hurry {
                        self.check(id, CheckRequest::Hurry);
                    }
                }
                Action::HashBlocks(piece) => self.check(id, CheckRequest::Blocks(piece)),
                Action::Announce(index, request) => self.announce(id, index, request),
                Action::SearchDht { announce } => self.search_dht(id, announce),
                Action::EnterDht(addr) => {
                    if let Some(dht) = self.dht() {
                        dht.node(addr);
                    }
                }
                Action::AnnounceLocally => {
                    let info_hash = running.us.info_hash;
                    self.announce_locally(info_hash);
                }
                Action::Tell(report) => self.reporter.report(report),
                Action::Survey(have) => self.check(id, CheckRequest::Survey(have)),
                Action::Complete => self.record(id),
                Action::Fail(why) => return self.fail(id, why),
                Action::Learnt(info) => self.on_learnt(id, &info),
            }
        }
        self.after(id);
    }

    /// Has the record brought up to date with what is there.
    pub(super) fn record(&mut self, id: TorrentId) {
        let Some(running) = self.alive(id) else {
            return;
        };
        let have = running.torrent.have().clone();
        if let Some(stored) = &mut running.stored {
            stored.recording = Recording::Asked(Instant::now());
        }
        self.check(id, CheckRequest::Record(have));
    }

    /// Asks the checker, whose thread is started if there is none.
    fn check(&mut self, id: TorrentId, request: CheckRequest) {
        let stored = self.alive(id).and_then(|running| running.stored.as_mut());
        if let Some(stored) = stored {
            let _ = stored.checker.send(request); // we hold the other end, too
            if !std::mem::replace(&mut stored.checking, true) {
                self.begin(Task::Check(id));
            }
        }
    }

    /// The checker's thread ended for want of work; some may have come since.
    pub(super) fn on_checker_idle(&mut self, id: TorrentId) {
        let stored = self.alive(id).and_then(|running| running.stored.as_mut());
        if let Some(stored) = stored {
            stored.checking = !stored.requests.is_empty();
            if stored.checking {
                self.begin(Task::Check(id));
            }
        }
    }

    /// Lets a peer in: to the torrent or, while the metadata is not known, to be asked
    /// for it.
    fn welcome(&mut self, id: TorrentId, key: PeerKey) {
        let known = self.works[id.0 as usize].known.clone();
        let incoming = self.links.get(&key).is_some_and(|link| link.incoming);
        let Some(running) = self.alive(id) else {
            return;
        };
        let order = match (&running.stored, known) {
            (Some(stored), Some(known)) => {
                let metainfo = &known.metainfo;
                // The metadata of a private torrent is for those whom its tracker names.
                let may_learn = !metainfo.private || !incoming;
                Order::Welcome(Welcome {
                    torrent: stored.shared.clone(),
                    have: running.torrent.have().clone(),
                    complete: running.torrent.phase() != Phase::Downloading,
                    metadata: may_learn.then(|| metainfo.info().clone()),
                })
            }
            _ => Order::Learn(running.us),
        };
        self.send(key, order);
    }

    /// A torrent that has nothing left to do leaves.
    pub(super) fn after(&mut self, id: TorrentId) {
        let Some(running) = self.running(id) else {
            return;
        };
        match running.torrent.phase() {
            Phase::Learning | Phase::Downloading | Phase::Seeding => {}
            Phase::Done => self.leave(id),
            Phase::Stalled => {
                let info_hash = running.us.info_hash;
                let why = running.torrent.why_idle();
                self.ending.stalled = true;
                let message =
                    format!("gave up, as nothing came for the time of --stall-timeout: {why}");
                self.warn(Some(info_hash), message);
                self.leave(id);
            }
        }
    }

    /// Tells a tracker, by its thread, which is started if there is none, or the last one
    /// died. If it can't be started, the announce has failed, as any other may.
    pub(super) fn announce(
        &mut self,
        id: TorrentId,
        index: TrackerIndex,
        mut request: AnnounceRequest,
    ) {
        let door = self.config.door.clone();
        let news = self.news.clone();
        let Some(running) = self.alive(id) else {
            return;
        };
        if let Some(requests) = running.trackers.get(&index) {
            match requests.send(request) {
                Ok(()) => return,
                Err(unsent) => request = unsent.into_inner(),
            }
        }
        let (requests, to_perform) = unbounded();
        let urls = running.torrent.trackers();
        let url = urls
            .into_iter()
            .find(|(i, _)| *i == index)
            .map(|(_, url)| url)
            .unwrap_or_default();
        let tracker = shown(&url);
        let nearest = self.works[id.0 as usize].job.nearest_tracker(&url);
        let Some(running) = self.alive(id) else {
            return;
        };
        let settings = TrackerSettings {
            door,
            nearest,
            ..TrackerSettings::default()
        };
        let report = move |index, result| _ = news.send(News::Tracker(id, index, result));
        match tracker::spawn(url, index, settings, to_perform, report) {
            Ok(_) => {
                let _ = requests.send(request); // it is there: it has just been started
                running.trackers.insert(index, requests);
            }
            Err(error) => {
                let why = format!("{}; {ADVICE}", chain(&error));
                let trouble = Trouble::NoThread(error.source);
                let failed = Err(TrackerError { tracker, trouble });
                let actions = running.torrent.on_tracker(index, failed, Instant::now());
                let nobody_asked = running.trackers.is_empty();
                self.perform(id, actions);
                if nobody_asked {
                    self.on_short(id, why, 0);
                }
            }
        }
    }
}
