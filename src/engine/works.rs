//! The torrents of a run, by number, and the stage of each.

use super::prepare::Known;
use super::strangers::Strangers;
use crate::announce::AnnounceRequest;
use crate::announcer::TrackerIndex;
use crate::checker::{self, CheckRequest};
use crate::config::Job;
use crate::messages::Greeting;
use crate::peer::{Shared, Us};
use crate::torrent::Torrent;
use crate::types::{InfoHash, TorrentId};
use crossbeam_channel::{Receiver, Sender};
use std::collections::HashMap;
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::time::Instant;

/// A job of the user's, and what has become of it.
pub(super) struct Work {
    pub job: Job,
    pub us: Us,
    pub known: Option<Arc<Known>>,
    pub added: Instant,
    pub stage: Stage,
    /// Whether a thread looks at its data.
    pub looking: bool,
    /// Peers that connected while its data was being checked.
    pub early: Strangers<Greeting>,
}

impl Work {
    pub(super) fn name(&self) -> String {
        let known = self.known.as_ref();
        known.map_or_else(
            || self.job.subject.name(),
            |known| known.metainfo.name.clone(),
        )
    }
}

pub(super) enum Stage {
    Checking,
    Running(Box<Running>),
    /// Saying goodbye since this time: it is done, has failed or was given up.
    Leaving(Box<Running>, Instant),
    Over,
}

impl Stage {
    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Self::Checking | Self::Over)
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self, Self::Running(_))
    }

    /// Whether at most the goodbye is left to do.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self, Self::Leaving(..) | Self::Over)
    }

    pub(super) fn is_leaving(&self) -> bool {
        matches!(self, Self::Leaving(..))
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }
}

pub(super) struct Running {
    pub torrent: Torrent,
    /// `None` until the metadata is known.
    pub stored: Option<Stored>,
    pub trackers: HashMap<TrackerIndex, Sender<AnnounceRequest>>,
}

/// The data of a torrent, and the channels to its checker.
pub(super) struct Stored {
    pub known: Arc<Known>,
    pub shared: Arc<Shared>,
    pub checker: Sender<CheckRequest>,
    /// The other end of `checker`: requests wait there while its thread does not run.
    pub requests: Receiver<CheckRequest>,
    /// Whether that thread runs or will be started.
    pub checking: bool,
    pub notes: checker::Desk,
    pub recording: Recording,
}

/// Whether the final record was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Recording {
    NotAsked,
    Asked(Instant),
    Done,
}

/// All torrents of the run, including those that are over: no number is used twice.
#[derive(Default)]
pub(super) struct Works(Vec<Work>);

impl Works {
    pub(super) fn add(&mut self, work: Work) -> TorrentId {
        self.0.push(work);
        TorrentId(self.0.len() as u32 - 1)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Work> {
        self.0.iter()
    }

    /// Returns all numbers. They stay valid: no torrent is ever removed.
    pub(super) fn ids(&self) -> impl Iterator<Item = TorrentId> + use<> {
        (0..self.0.len() as u32).map(TorrentId)
    }

    pub(super) fn by_hash(&self, info_hash: InfoHash) -> Option<TorrentId> {
        self.ids().find(|id| self[*id].us.info_hash == info_hash)
    }

    /// Returns the torrents that are in their swarms and not leaving.
    pub(super) fn all_running(&mut self) -> impl Iterator<Item = (TorrentId, &mut Running)> {
        let works = (0..).map(TorrentId).zip(&mut self.0);
        works.filter_map(|(id, work)| match &mut work.stage {
            Stage::Running(running) => Some((id, &mut **running)),
            _ => None,
        })
    }

    /// Returns the torrent, if it is in its swarm and not leaving.
    pub(super) fn running(&mut self, id: TorrentId) -> Option<&mut Running> {
        match &mut self[id].stage {
            Stage::Running(running) => Some(running),
            _ => None,
        }
    }

    /// Returns the torrent, if it is in its swarm or leaving it.
    pub(super) fn alive(&mut self, id: TorrentId) -> Option<&mut Running> {
        match &mut self[id].stage {
            Stage::Running(running) | Stage::Leaving(running, _) => Some(running),
            _ => None,
        }
    }

    /// Returns the torrent's data, if it is known and the torrent is not over.
    pub(super) fn stored(&mut self, id: TorrentId) -> Option<&mut Stored> {
        self.alive(id)?.stored.as_mut()
    }
}

impl Index<TorrentId> for Works {
    type Output = Work;

    fn index(&self, id: TorrentId) -> &Work {
        &self.0[id.0 as usize]
    }
}

impl IndexMut<TorrentId> for Works {
    fn index_mut(&mut self, id: TorrentId) -> &mut Work {
        &mut self.0[id.0 as usize]
    }
}
