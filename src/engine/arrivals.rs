//! The torrents of a run. The user names each by a SOURCE: a `.torrent` file, a magnet link, or
//! the URL of either.
//!
//! Plain files and links are read before the run begins, the others while it goes on: a slow web
//! server holds up only its own torrent. If two SOURCEs name the same torrent, we download it once,
//! with the trackers, web seeds and peers of both.

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
    /// The torrents that are known already.
    pub now: Vec<Job>,
    /// How many SOURCEs are still being read.
    pub awaited: usize,
    /// Receives what became of each of them, once.
    pub later: Receiver<Arrival>,
}

/// What became of a SOURCE that was still being read.
#[derive(Debug)]
pub enum Arrival {
    /// It names a torrent.
    Job(Box<Job>),
    /// It can't be read. The report says why.
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
    /// Begins the torrents that are known. Each counts as awaited until its turn: the run is not
    /// over if the first one fails at once.
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

    /// Handles a SOURCE that was read. `None`: no more will come.
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
        self.reporter.report(Report::Remark(message));
    }

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

    /// How many torrents the run has, including SOURCEs still being read.
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

    /// Whether a run failed that awaits `awaited` SOURCEs and receives these, with its
    /// errors.
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
