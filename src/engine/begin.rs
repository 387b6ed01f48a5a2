//! How a torrent begins: from what the user gave to a torrent that runs.
//!
//! ```text
//!  .torrent -----------------------------------> know --> prepare --> start
//!  magnet link --> recall --found in a record--/             ^
//!                     \--not found--> learn --> on_learnt ---'
//! ```
//!
//! A magnet link's torrent joins its swarm first and gets the metadata from its peers. Then its
//! data on disk is checked, as for any other torrent, while the connections stay. A `.torrent` that
//! arrives meanwhile ends the learning (see [`super::arrivals`]).

use super::prepare::{Known, Prepared};
use super::starts::Task;
use super::strangers::Strangers;
use super::works::{Recording, Running, Stage, Stored, Work};
use super::{Engine, PeerName};
use crate::checker;
use crate::config::{Job, Named, Subject};
use crate::human::chain;
use crate::metainfo::{self, Metainfo};
use crate::peer::{Shared, Us};
use crate::report::Report;
use crate::setting::Setting;
use crate::shortage::Shortage;
use crate::storage::StorageError;
use crate::swarm::Source;
use crate::torrent::{Content, Setup, Torrent};
use crate::types::{PeerId, TorrentId};
use crate::url::shown;
use crossbeam_channel::unbounded;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

impl Engine<'_> {
    pub(super) fn add(&mut self, job: Job) {
        let info_hash = job.subject.info_hash();
        let us = Us {
            info_hash,
            peer_id: PeerId::random(&mut self.rng),
            port: Some(self.port),
            dht: self.config.sources.dht,
        };
        let subject = job.subject.clone();
        let id = self.works.add(Work {
            job,
            us,
            known: None,
            added: Instant::now(),
            stage: Stage::Checking,
            looking: false,
            early: Strangers::default(),
        });
        match subject {
            Subject::Torrent(metainfo) => self.know(id, *metainfo),
            Subject::Link(magnet) => {
                self.reporter.report(Report::Linked {
                    info_hash,
                    name: magnet.name,
                });
                match self.config.metadata_only {
                    true => self.on_recalled(id, None),
                    false => self.begin(Task::Recall(id)),
                }
            }
        }
    }

    /// Handles the metadata that an earlier run kept of a magnet link. `None`: we must ask peers
    /// for it.
    pub(super) fn on_recalled(&mut self, id: TorrentId, metadata: Option<Vec<u8>>) {
        let work = &self.works[id];
        let (Subject::Link(_), Stage::Checking) = (&work.job.subject, &work.stage) else {
            return; // interrupted, or known by a `.torrent` meanwhile
        };
        match metadata {
            Some(info) => self.read_metadata(id, &info),
            None => self.join(id, None),
        }
    }

    /// Handles the metadata of a magnet link, sent by peers. Its hash was checked.
    pub(super) fn on_learnt(&mut self, id: TorrentId, info: &[u8]) {
        let work = &self.works[id];
        let info_hash = work.us.info_hash;
        if work.known.is_some() {
            return; // by a `.torrent`
        }
        if self.config.metadata_only {
            let info = info.into();
            self.reporter.report(Report::Metadata { info_hash, info });
            return self.leave(id);
        }
        self.read_metadata(id, info);
    }

    fn read_metadata(&mut self, id: TorrentId, info: &[u8]) {
        match metainfo::from_info(info) {
            Ok(metainfo) => self.know(id, metainfo),
            Err(error) => {
                let error = chain(&error);
                self.fail(
                    id,
                    format!("the magnet link's torrent is of no use: {error}"),
                );
            }
        }
    }

    /// Handles a torrent's metadata: refuses what the user can't have, and has the data on disk
    /// checked.
    pub(super) fn know(&mut self, id: TorrentId, metainfo: Metainfo) {
        let work = &self.works[id];
        let wanted = work.job.linked_files(&metainfo);
        let (info_hash, name) = (metainfo.info_hash, metainfo.name.clone());
        let wanted = match work.job.files.as_ref().map(|files| files.of(&metainfo)) {
            None if wanted.as_ref().is_some_and(Vec::is_empty) => {
                return self.fail(
                    id,
                    format!(
                        "the magnet link asks only for files that {name} does not have (so=); \
                         choose others with {}, see `storrent show`",
                        Setting::Files
                    ),
                );
            }
            None => wanted,
            Some(Ok(chosen)) => Some(chosen),
            Some(Err(mistake)) => {
                self.ending.unknown_file = true;
                return self.fail(id, mistake);
            }
        };
        let refused = match work.job.trackers.first() {
            Some(url) if metainfo.private => Some(format!(
                "{name} is a private torrent, which is announced to its own trackers only, not to \
                 {}; leave {} away",
                shown(url),
                Setting::Tracker
            )),
            _ => {
                let taken = self.claims.claim(&self.config.dir, &metainfo);
                taken.map(|(path, other)| {
                    format!(
                        "{} would write to {}, as {other} does; give it another {}, in a run \
                         of its own",
                        work.job.source,
                        path.display(),
                        Setting::Dir
                    )
                })
            }
        };
        if let Some(message) = refused {
            return self.fail(id, message);
        }
        for message in &metainfo.warnings {
            self.warn(Some(info_hash), format!("{name}: {message}"));
        }
        let work = &mut self.works[id];
        work.us.dht &= !metainfo.private;
        let is_link = matches!(work.job.subject, Subject::Link(_));
        let known = Arc::new(Known::new(metainfo, wanted, is_link));
        work.known = Some(known.clone());
        let added = known.added(&self.config.dir);
        self.reporter.report(added);
        self.begin(Task::Prepare(id));
    }

    pub(super) fn on_prepared(
        &mut self,
        id: TorrentId,
        outcome: Result<Option<Prepared>, StorageError>,
    ) {
        self.works[id].looking = false;
        match outcome {
            Ok(Some(prepared)) if self.deadline.is_none() => self.start(id, prepared),
            Ok(_) => self.leave(id),
            Err(error) if error.is_out_of_files() && self.deadline.is_none() => {
                return self.put_off(Task::Prepare(id), Shortage::Files, chain(&error));
            }
            Err(error) => self.fail(id, chain(&error)),
        }
        self.begin_next_look();
    }

    /// Has a torrent join its swarm with the data that is on disk or, if it has joined as a magnet
    /// link, begin to fetch.
    pub(super) fn start(&mut self, id: TorrentId, prepared: Prepared) {
        let work = &self.works[id];
        let (us, wanted) = (work.us, !work.stage.is_ending());
        let Some(known) = work.known.clone().filter(|_| wanted) else {
            return;
        };
        let metainfo = &known.metainfo;
        for message in &prepared.warnings {
            let message = format!("{}: {message}", metainfo.name);
            self.warn(Some(metainfo.info_hash), message);
        }
        let path = prepared.storage.plan().top();
        let (content, stored) = self.opened(us, known.clone(), prepared);
        let (have, wanted) = (content.have_bytes(), content.wanted.bytes());
        self.reporter.report(Report::Checked {
            info_hash: metainfo.info_hash,
            have_pieces: content.have.count(),
            pieces: metainfo.layout.pieces(),
            have_bytes: have,
            path,
        });
        if self.config.seed_only && have < wanted {
            let dir = self.config.dir.display();
            let name = &metainfo.name;
            let message = format!(
                "{name} is incomplete in {dir}: {have} of {wanted} bytes are there; \
                 complete it with 'storrent {}', or name its folder with {}",
                Setting::Seed,
                Setting::Dir
            );
            return self.fail(id, message);
        }
        match self.works.running(id) {
            Some(running) => {
                running.stored = Some(stored);
                let private = content.private;
                self.tell(id, |torrent, turn| torrent.learn(content, turn));
                self.tell_ways(id, private);
            }
            None => self.join(id, Some((content, stored))),
        }
    }

    /// Turns what was found on disk into what the torrent and the threads need.
    fn opened(&self, us: Us, known: Arc<Known>, prepared: Prepared) -> (Content, Stored) {
        let metainfo = &known.metainfo;
        let content = Content {
            name: metainfo.name.clone(),
            layout: metainfo.layout.clone(),
            have: prepared.have,
            stored: prepared.stored,
            wanted: Arc::clone(&known.wanted),
            private: metainfo.private,
        };
        let connections = self.torrents() * (self.config.max_peers + 1);
        let shared = Shared {
            us,
            layout: metainfo.layout.clone(),
            storage: prepared.storage,
            max_open: self.file_budget().files_each(connections),
            upload_limited: self.config.upload_limit > 0,
            pex: self.config.sources.pex && !metainfo.private,
        };
        let notes = checker::Notes::new(
            shared.storage.clone(),
            &prepared.survey,
            prepared.passed_over,
            known.keep_metadata.then(|| metainfo.info().clone()),
        );
        let (checker, requests) = unbounded();
        let stored = Stored {
            known,
            shared: Arc::new(shared),
            checker,
            requests,
            checking: false,
            notes: checker::Desk::with(notes),
            recording: Recording::NotAsked,
        };
        (content, stored)
    }

    /// Has a torrent join its swarm. `content`: `None` while its metadata is unknown.
    fn join(&mut self, id: TorrentId, content: Option<(Content, Stored)>) {
        let (content, stored) = content.unzip();
        let private = content.as_ref().is_some_and(|content| content.private);
        let named = self.named(id, private);
        let link_peers = named.peers.clone();
        let setup = self.setup(id, content, named);
        let work = &mut self.works[id];
        work.stage = Stage::Running(Box::new(Running {
            torrent: Torrent::new(setup, Instant::now()),
            stored,
            trackers: HashMap::new(),
        }));
        let users = work.job.peers.clone();
        let early = work.early.take();
        self.tell(id, Torrent::start);
        self.approach(id, users, Source::User);
        self.approach(id, link_peers, Source::Link);
        self.tell_ways(id, private);
        for (key, handshake) in early {
            self.on_greeted(key, handshake);
        }
    }

    fn setup(&mut self, id: TorrentId, content: Option<Content>, named: Named) -> Setup {
        let (work, config) = (&self.works[id], &self.config);
        Setup {
            info_hash: work.us.info_hash,
            peer_id: work.us.peer_id,
            content,
            trackers: named.trackers,
            web_seeds: named.web_seeds,
            door: config.door.clone(),
            port: self.port,
            max_peers: config.max_peers,
            pex: config.sources.pex,
            dht: config.sources.dht,
            lsd: config.sources.lsd,
            rules: config.rules,
            afterwards: config.afterwards,
            stall_timeout: config.stall_timeout,
            added: work.added,
            seed: self.rng.u64(..),
        }
    }

    /// Returns the trackers, web seeds and peers that we may use for a torrent.
    pub(super) fn named(&self, id: TorrentId, private: bool) -> Named {
        let mut named = self.works[id].job.named(private);
        if !self.config.sources.webseeds || self.config.metadata_only {
            named.web_seeds.clear();
        }
        self.keep_to_proxy(&mut named);
        named
    }

    /// Hands peers, `HOST:PORT`, to a running torrent. A thread looks names up first, or the proxy
    /// later.
    pub(super) fn approach(&mut self, id: TorrentId, names: Vec<String>, source: Source) {
        let parsed = names
            .into_iter()
            .map(|name| (name.parse::<SocketAddr>(), name));
        let (known, unknown): (Vec<_>, Vec<_>) = parsed.partition(|(addr, _)| addr.is_ok());
        let mut known: Vec<_> = known
            .into_iter()
            .filter_map(|(addr, _)| addr.ok())
            .collect();
        for (_, name) in unknown {
            let peer = PeerName { name, source };
            match self.config.door.proxy {
                None => self.begin(Task::Resolve(id, peer)),
                Some(_) => known.extend(self.stand_in(&peer)),
            }
        }
        if let Some(bind) = self.config.door.bind.filter(|_| source == Source::User) {
            let door = &self.config.door;
            let other = known.iter().filter(|addr| !door.may_reach(addr.ip()));
            for addr in other.copied().collect::<Vec<_>>() {
                self.warn_once(format!(
                    "the peer {addr} is not asked: its address is of another kind than {bind} ({})",
                    Setting::Bind
                ));
            }
        }
        self.on_addresses(id, known, source);
    }
}
