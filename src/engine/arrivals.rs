//! The torrents of a run. The user names each by a SOURCE: a `.torrent` file, a magnet link, or
//! the URL of either.
//!
//! Some are read before the run begins, and others while it goes on, so that a slow web server
//! holds up nobody but its own torrent. Two SOURCEs may name the same torrent. Then we download
//! it once, and use the trackers, web seeds and peers of both, whichever of them we could read
//! first. Part of the [`Engine`]'s loop.

use super::Engine;
use crate::config::{Job, Subject};
use crate::report::Report;
use crate::swarm::Source;
use crate::types::{InfoHash, TorrentId};
use crossbeam_channel::{Receiver, never};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The torrents of a run.
#[derive(Debug)]
pub struct Jobs {
    /// Those that are known already.
    pub now: Vec<Job>,
    /// How many others are still to come.
    pub awaited: usize,
    /// Where each of those comes from, once.
    pub later: Receiver<Arrival>,
}

/// What became of a SOURCE that was still being read.
#[derive(Debug)]
pub enum Arrival {
    /// It names a torrent.
    Job(Box<Job>),
    /// It can't be read, for this reason.
    Failed(Report),
}

impl From<Vec<Job>> for Jobs {
    fn from(now: Vec<Job>) -> Self {
        Self {
            now,
            awaited: 0,
            later: never(),
        }
    }
}

impl Engine<'_> {
    /// Begins with the torrents that are known. Those that were not begun yet are awaited: if
    /// one fails at once, the run is not over.
    pub(super) fn add_all(&mut self, jobs: Vec<Job>) {
        let mut each: Vec<Job> = Vec::new();
        let mut places: HashMap<InfoHash, usize> = HashMap::new();
        for job in jobs {
            match places.entry(job.subject.info_hash()) {
                Entry::Occupied(place) => {
                    self.tell_same(&job);
                    each[*place.get()].absorb(job);
                }
                Entry::Vacant(place) => {
                    place.insert(each.len());
                    each.push(job);
                }
            }
        }
        self.awaited += each.len();
        for job in each {
            self.awaited -= 1;
            self.add(job);
        }
    }

    /// A SOURCE was read. `None`: no more will come.
    pub(super) fn on_arrival(&mut self, arrival: Option<Arrival>) {
        if self.awaited == 0 {
            return; // interrupted, or nothing was to come
        }
        self.awaited = arrival.as_ref().map_or(0, |_| self.awaited - 1);
        match arrival {
            Some(Arrival::Job(job)) => match self.works.by_hash(job.subject.info_hash()) {
                Some(id) => self.join_sources(id, *job),
                None => self.add(*job),
            },
            Some(Arrival::Failed(report)) => {
                self.ending.failed = true;
                self.reporter.report(report);
            }
            None => {}
        }
        self.begin_goodbye();
    }

    fn tell_same(&mut self, job: &Job) {
        let source = &job.source;
        let message = format!("{source} is the same torrent as one before it: downloaded once");
        self.reporter.report(Report::Detail { level: 1, message });
    }

    /// Another SOURCE of a torrent that is being worked on.
    fn join_sources(&mut self, id: TorrentId, job: Job) {
        self.tell_same(&job);
        let work = &mut self.works[id];
        if work.stage.is_ending() {
            return;
        }
        work.job.absorb(job);
        let news = match &work.job.subject {
            Subject::Torrent(metainfo) if work.known.is_none() => Some((**metainfo).clone()),
            _ => None,
        };
        let known = work.known.as_ref().map(|known| &known.metainfo);
        let private = known
            .or(news.as_ref())
            .is_some_and(|metainfo| metainfo.private);
        let named = self.named(id, private);
        if self.works[id].stage.is_running() {
            let (peers, known) = (named.peers.clone(), news.is_some());
            self.tell(id, |torrent, turn| {
                torrent.set_sources(named, known, private, turn);
            });
            self.approach(id, peers, Source::Link);
            self.tell_ways(id, private);
        }
        if let Some(metainfo) = news {
            self.know(id, metainfo);
        }
    }

    /// How many torrents the run has, those that are still to come counted, too.
    pub(super) fn torrents(&self) -> usize {
        self.works.len() + self.awaited
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::door::Door;
    use crate::engine;
    use crossbeam_channel::unbounded;

    struct Log(Vec<Report>);

    impl crate::report::Reporter for Log {
        fn report(&mut self, report: Report) {
            self.0.push(report);
        }
    }

    /// The messages of the errors of a run that awaits `awaited` SOURCEs, of which these come.
    fn errors(awaited: usize, arrivals: Vec<Arrival>) -> (bool, Vec<String>) {
        let (tell, later) = unbounded();
        arrivals
            .into_iter()
            .for_each(|arrival| tell.send(arrival).unwrap());
        drop(tell);
        let jobs = Jobs {
            now: Vec::new(),
            awaited,
            later,
        };
        let config = Config {
            port: Some(0),
            door: Door::at([127, 0, 0, 1]),
            ..Config::default()
        };
        let mut log = Log(Vec::new());
        let ending = engine::run(config, jobs, &mut log, never());
        let errors = log.0.into_iter().filter_map(|report| match report {
            Report::Error { message, .. } => Some(message),
            _ => None,
        });
        (ending.failed, errors.collect())
    }

    #[test]
    fn the_run_ends_when_all_sources_are_read() {
        let failed = |message: &str| {
            Arrival::Failed(Report::Error {
                info_hash: None,
                source: Some("x".into()),
                message: message.into(),
            })
        };
        assert_eq!(errors(0, vec![]), (false, vec![]));
        let both = errors(2, vec![failed("a"), failed("b")]);
        assert_eq!(both, (true, vec!["a".into(), "b".into()]));
        let one = errors(2, vec![failed("a")]);
        assert_eq!(
            one,
            (true, vec!["a".into()]),
            "nobody is left to send another"
        );
    }
}
