//! The torrents of a run by number, and how far each has come.

use super::prepare::Known;
use super::strangers::Strangers;
use crate::announce::AnnounceRequest;
use crate::announcer::TrackerIndex;
use crate::checker::{self, CheckRequest};
use crate::config::Job;
use crate::peer::{Shared, Us};
use crate::torrent::Torrent;
use crate::types::{InfoHash, TorrentId};
use crate::wire::Handshake;
use crossbeam_channel::{Receiver, Sender};
use std::collections::HashMap;
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::time::Instant;

/// A job of the user's, and what became of it.
pub(super) struct Work {
    pub job: Job,
    /// Who we are in its swarm.
    pub us: Us,
    /// What it holds, once that is known.
    pub known: Option<Arc<Known>>,
    pub added: Instant,
    pub stage: Stage,
    /// A thread looks at its data.
    pub looking: bool,
    /// Peers that came while the data was still being checked.
    pub early: Strangers<Handshake>,
}

/// What becomes of a job.
pub(super) enum Stage {
    /// What is on disk is being looked at.
    Checking,
    Running(Box<Running>),
    /// It is done, or failed, or given up: its peers are told to go, its trackers hear
    /// `stopped`.
    Leaving(Box<Running>, Instant),
    Over,
}

impl Stage {
    /// Whether it has nothing open.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Self::Checking | Self::Over)
    }

    /// Whether it is being worked on and not leaving.
    pub(super) fn is_running(&self) -> bool {
        matches!(self, Self::Running(_))
    }

    /// Whether nothing is left to do for it but to say goodbye.
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

/// A torrent that has joined its swarm.
pub(super) struct Running {
    pub torrent: Torrent,
    /// Its data; `None` while its metadata is not known.
    pub stored: Option<Stored>,
    pub trackers: HashMap<TrackerIndex, Sender<AnnounceRequest>>,
}

/// The data of a torrent, as threads reach it.
pub(super) struct Stored {
    pub known: Arc<Known>,
    pub shared: Arc<Shared>,
    pub checker: Sender<CheckRequest>,
    /// Where the checker's thread takes them; they wait there while there is none.
    pub requests: Receiver<CheckRequest>,
    /// It runs, or will.
    pub checking: bool,
    pub notes: checker::Desk,
    pub recording: Recording,
}

/// Whether the checker's thread has brought the record up to date, as the last thing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Recording {
    NotAsked,
    Asked(Instant),
    Done,
}

/// All torrents of the run, also those that are over: a number is never given twice.
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

    /// All numbers. They stay valid whatever happens meanwhile.
    pub(super) fn ids(&self) -> impl Iterator<Item = TorrentId> + use<> {
        (0..self.0.len() as u32).map(TorrentId)
    }

    /// The torrent of this info hash, in whatever stage it is.
    pub(super) fn by_hash(&self, info_hash: InfoHash) -> Option<TorrentId> {
        self.ids().find(|id| self[*id].us.info_hash == info_hash)
    }

    /// Those that are being worked on and not leaving.
    pub(super) fn all_running(&mut self) -> impl Iterator<Item = (TorrentId, &mut Running)> {
        let works = (0..).map(TorrentId).zip(&mut self.0);
        works.filter_map(|(id, work)| match &mut work.stage {
            Stage::Running(running) => Some((id, &mut **running)),
            _ => None,
        })
    }

    /// The torrent, if it is being worked on and not leaving.
    pub(super) fn running(&mut self, id: TorrentId) -> Option<&mut Running> {
        match &mut self[id].stage {
            Stage::Running(running) => Some(running),
            _ => None,
        }
    }

    /// The torrent, also if it is leaving.
    pub(super) fn alive(&mut self, id: TorrentId) -> Option<&mut Running> {
        match &mut self[id].stage {
            Stage::Running(running) | Stage::Leaving(running, _) => Some(running),
            _ => None,
        }
    }

    /// The data of the torrent, if it has some and is not over.
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
