//! How a torrent ends: its peers are told to go, its trackers hear `stopped`, and what
//! it has is written down for the next run. Part of the [`Engine`]'s loop.

use super::{Engine, GOODBYE, JOINING, Running, Stage};
use crate::checker::CheckRequest;
use crate::human::chain;
use crate::report::Report;
use crate::resume;
use crate::torrent::Phase;
use crate::types::TorrentId;
use std::time::Instant;

impl Engine<'_> {
    /// Something that ends one torrent went wrong; the others go on.
    pub(super) fn fail(&mut self, id: TorrentId, message: String) {
        let work = &mut self.works[id.0 as usize];
        if matches!(work.stage, Stage::Leaving(..) | Stage::Over) {
            return;
        }
        self.ending.failed = true;
        self.reporter.report(Report::Error {
            info_hash: Some(work.info_hash),
            source: None,
            message,
        });
        self.leave(id);
    }

    /// The torrent leaves its swarm. Once all have left or are leaving, the goodbye may
    /// take only so long.
    pub(super) fn leave(&mut self, id: TorrentId) {
        let work = &mut self.works[id.0 as usize];
        for (key, _) in work.early.drain(..) {
            if let Some(link) = self.links.get_mut(&key) {
                link.orders = None;
            }
        }
        let mut actions = Vec::new();
        work.stage = match std::mem::replace(&mut work.stage, Stage::Over) {
            Stage::Running(mut running) => {
                actions = running.torrent.stop(Instant::now());
                Stage::Leaving(running, Instant::now())
            }
            Stage::Checking => Stage::Over,
            stage => stage,
        };
        if let Some(stored) = self.alive(id).and_then(|running| running.stored.as_ref()) {
            let _ = stored.checker.send(CheckRequest::Hurry);
        }
        self.leave_locally(self.works[id.0 as usize].info_hash);
        self.perform(id, actions);
        if self
            .works
            .iter()
            .all(|work| matches!(work.stage, Stage::Leaving(..) | Stage::Over))
        {
            self.deadline.get_or_insert(Instant::now() + GOODBYE);
        }
    }

    /// Everything ends: a signal came.
    pub(super) fn leave_all(&mut self) {
        self.deadline.get_or_insert(Instant::now() + GOODBYE);
        (0..self.works.len()).for_each(|index| self.leave(TorrentId(index as u32)));
    }

    pub(super) fn save_records(&mut self) {
        (0..self.works.len()).for_each(|index| self.save_record(index));
    }

    /// The torrent is over; what it has is written down, so that the next run need not
    /// hash it all.
    pub(super) fn save_record(&mut self, index: usize) {
        let work = &mut self.works[index];
        let (Stage::Running(running) | Stage::Leaving(running, _)) =
            std::mem::replace(&mut work.stage, Stage::Over)
        else {
            return;
        };
        let incomplete = running.torrent.have_bytes() < running.torrent.wanted_bytes();
        if let (Some(stored), Some(known)) = (running.stored, &work.known)
            && incomplete
            && !self.config.seed_only
            && let Err(error) = resume::save(
                &stored.shared.storage,
                running.torrent.have(),
                known.kept_metadata(),
            )
        {
            self.warn(Some(running.us.info_hash), chain(&error));
        }
    }

    /// Whether nothing is left to wait for.
    pub(super) fn is_over(&mut self) -> bool {
        let now = Instant::now();
        for index in 0..self.works.len() {
            if let Stage::Leaving(running, since) = &self.works[index].stage
                && Self::has_left(running, *since)
            {
                self.save_record(index);
                self.begin_next_look();
            }
        }
        let over = self
            .works
            .iter()
            .all(|work| matches!(work.stage, Stage::Over));
        over || self.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// Whether a torrent's goodbye is over: its trackers have been told, and, if it is
    /// incomplete, the last blocks of its peers were written and checked.
    fn has_left(running: &Running, since: Instant) -> bool {
        let quiet = running.torrent.phase() == Phase::Done
            || running.torrent.unchecked() == 0 && running.torrent.no_giver_left();
        let patient = running.torrent.is_joining() && since.elapsed() < JOINING;
        quiet && running.torrent.has_left() && !patient
    }
}
