//! How a torrent ends: we close its connections, trackers hear `stopped`, and the record tells the
//! next run which pieces are there.

use super::works::{Recording, Running, Stage};
use super::{Engine, GOODBYE, JOINING, RECORD, STUCK_AFTER};
use crate::checker::CheckRequest;
use crate::report::Report;
use crate::torrent::Torrent;
use crate::types::TorrentId;
use std::time::Instant;

impl Engine<'_> {
    /// Ends one torrent with an error. The others go on.
    pub(super) fn fail(&mut self, id: TorrentId, message: String) {
        let work = &self.works[id];
        if work.stage.is_ending() {
            return;
        }
        self.ending.failed = true;
        self.reporter.report(Report::Error {
            info_hash: Some(work.us.info_hash),
            source: None,
            message,
        });
        self.leave(id);
    }

    pub(super) fn leave(&mut self, id: TorrentId) {
        for (key, _) in self.works[id].early.take() {
            self.hang_up(key);
        }
        let stage = &mut self.works[id].stage;
        let was_running = stage.is_running();
        *stage = match std::mem::replace(stage, Stage::Over) {
            Stage::Running(running) => Stage::Leaving(running, Instant::now()),
            Stage::Checking => Stage::Over,
            stage => stage,
        };
        if let Some(stored) = self.works.stored(id) {
            let _ = stored.checker.send(CheckRequest::Hurry);
        }
        self.leave_locally(self.works[id].us.info_hash);
        if was_running {
            self.tell(id, Torrent::stop);
        }
        self.begin_goodbye();
    }

    /// Sets the deadline of the goodbye, if all torrents are leaving and no SOURCE is still being
    /// read.
    pub(super) fn begin_goodbye(&mut self) {
        let mut works = self.works.iter();
        let is_last = works.all(|work| work.stage.is_ending());
        if is_last && self.awaited == 0 {
            self.deadline.get_or_insert(Instant::now() + GOODBYE);
        }
    }

    /// Ends all torrents, after a signal.
    pub(super) fn leave_all(&mut self) {
        self.awaited = 0;
        self.deadline.get_or_insert(Instant::now() + GOODBYE);
        self.works.ids().for_each(|id| self.leave(id));
    }

    /// Reports the last figures of the torrents whose goodbye took too long.
    pub(super) fn conclude_all(&mut self) {
        self.works.ids().for_each(|id| self.conclude(id));
    }

    fn conclude(&mut self, id: TorrentId) {
        self.tell(id, |torrent, turn| torrent.tell_ends(turn));
        let stage = &mut self.works[id].stage;
        if let Stage::Running(running) | Stage::Leaving(running, _) =
            std::mem::replace(stage, Stage::Over)
        {
            let last = running.torrent.last_progress(Instant::now());
            self.reporter.report(Report::Progress(last));
        }
    }

    /// Ends each goodbye that is done, and returns whether the run is over.
    pub(super) fn is_over(&mut self) -> bool {
        let now = Instant::now();
        for id in self.works.ids() {
            self.leave_record(id, now);
            if let Stage::Leaving(running, since) = &self.works[id].stage
                && running.has_left(*since, now)
            {
                self.conclude(id);
                self.begin_next_look();
            }
        }
        let mut works = self.works.iter();
        let over = self.awaited == 0 && works.all(|work| work.stage.is_over());
        over || self.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// Has the record of an incomplete torrent written, once its data no longer changes.
    fn leave_record(&mut self, id: TorrentId, now: Instant) {
        let Stage::Leaving(running, since) = &self.works[id].stage else {
            return;
        };
        let torrent = &running.torrent;
        let incomplete = torrent.have_bytes() < torrent.wanted_bytes();
        let stored = running.stored.as_ref();
        let asked = stored.is_none_or(|stored| stored.recording != Recording::NotAsked);
        let quiet = torrent.is_settled(now) || now.duration_since(*since) >= STUCK_AFTER;
        if incomplete && quiet && !asked {
            self.record(id);
        }
    }
}

impl Running {
    /// Whether a torrent's goodbye is over: its data and figures are final, its trackers have heard
    /// `stopped` or have failed, and its record is up to date or took too long.
    fn has_left(&self, since: Instant, now: Instant) -> bool {
        let recording = self.stored.as_ref().map(|stored| stored.recording);
        let recorded = match recording {
            Some(Recording::Asked(at)) => now.duration_since(at) >= RECORD,
            _ => true,
        };
        let patient = self.torrent.is_joining() && now.duration_since(since) < JOINING;
        self.torrent.is_settled(now) && recorded && self.torrent.has_left() && !patient
    }
}
