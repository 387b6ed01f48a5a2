//! Threads that serve the whole run or one torrent: each [`Task`] is one. Here is decided what
//! becomes of a task when the system refuses its thread, or the thread dies, or there are no
//! files left. Part of the [`Engine`]'s loop.
//!
//! A task that can't begin now is put off and tried again, as long as something of ours may
//! end and make room for it. If a torrent that runs needs it urgently, we end something: a
//! connection, or else the threads of trackers. Only if nothing is left to end, and [`GRACE`]
//! has passed, does the torrent fail, and the user hears what is missing.
//!
//! The threads of peers, web seeds, trackers and the DHT are tried again by whoever wanted
//! them: their failure is that of the dial, the announce, the look-up.

use super::budget::FileBudget;
use super::works::{Running, Work};
use super::{Engine, News, PeerName, listener, outward, prepare};
use crate::checker;
use crate::human::chain;
use crate::lsd;
use crate::report::Report;
use crate::sha1_lanes::MAX_LANES;
use crate::shortage::Shortage;
use crate::storage;
use crate::threads::{self, ADVICE, NoThread, fault};
use crate::types::TorrentId;
use std::io;
use std::thread::Builder;
use std::time::{Duration, Instant};

/// The pause before the next try.
const PAUSE: Duration = Duration::from_millis(500);

/// The same where the network is missing, which may come later or never.
const LONG_PAUSE: Duration = Duration::from_secs(60);

/// How long we make no connection after we closed one to make room: what it gave back is for
/// others.
const STAND_BACK: Duration = Duration::from_secs(1);

/// How long not a single connection can be made before we call that permanent: another program
/// may only be busy.
const GRACE: Duration = Duration::from_secs(5);

/// What looking at the disk is called.
const LOOK: &str = "look at the disk";

/// What looking up a peer is called.
const RESOLVE: &str = "look up a peer's name";

/// What a thread of its own does.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// Accepts peers.
    Listen,
    /// Looks for the proxy.
    Proxy,
    /// Finds peers on the local network.
    Local,
    /// Looks for what an earlier run kept of the metadata.
    Recall(TorrentId),
    /// Looks at what is there of the data.
    Prepare(TorrentId),
    /// Checks pieces.
    Check(TorrentId),
    /// Looks up a peer's name, which may take long.
    Resolve(TorrentId, PeerName),
}

impl Task {
    fn purpose(&self) -> &'static str {
        match self {
            Self::Listen => listener::PURPOSE,
            Self::Proxy => outward::PROXY,
            Self::Local => lsd::PURPOSE,
            Self::Recall(_) | Self::Prepare(_) => LOOK,
            Self::Check(_) => checker::PURPOSE,
            Self::Resolve(..) => RESOLVE,
        }
    }

    /// The torrent that can't go on without.
    fn needed_by(&self) -> Option<TorrentId> {
        match self {
            Self::Recall(id) | Self::Prepare(id) | Self::Check(id) => Some(*id),
            Self::Listen | Self::Proxy | Self::Local | Self::Resolve(..) => None,
        }
    }

    fn is_look(&self) -> bool {
        matches!(self, Self::Recall(_) | Self::Prepare(_))
    }
}

/// Why a task did not begin.
pub(super) enum Refused {
    /// Others are to end first: there would not be files enough.
    Room,
    Thread(NoThread),
    /// There is no network to work in.
    Network(io::Error),
}

impl From<NoThread> for Refused {
    fn from(error: NoThread) -> Self {
        Self::Thread(error)
    }
}

impl Engine<'_> {
    /// Starts a thread, now or later.
    pub(super) fn begin(&mut self, task: Task) {
        let now = Instant::now();
        match self.start_thread(&task) {
            Ok(()) => {}
            Err(Refused::Room) => {
                if self.looks() == 0 {
                    let message = "some torrents wait until others are done, as the system \
                                   allows no more open files; raise the limit (ulimit -n)";
                    self.warn_once(message.into());
                }
                self.later.push((now + PAUSE, task));
            }
            Err(Refused::Thread(error)) => {
                self.put_off(task, Shortage::Threads, chain(&error));
            }
            Err(Refused::Network(error)) => {
                let message = format!("cannot {}: {error}", task.purpose());
                self.reporter.report(Report::Detail { level: 1, message });
                self.later.push((now + LONG_PAUSE, task));
            }
        }
    }

    /// Tries again what is due.
    pub(super) fn begin_again(&mut self, now: Instant) {
        let all = std::mem::take(&mut self.later);
        let (due, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|(at, _)| *at <= now);
        self.later = later;
        for (_, task) in due {
            let over = |id: TorrentId| self.works[id].stage.is_over();
            if !task.needed_by().is_some_and(over) {
                self.begin(task);
            }
        }
    }

    /// A torrent's data was looked at, or one is over: another one need not wait any longer.
    pub(super) fn begin_next_look(&mut self) {
        if let Some(next) = self.later.iter().position(|(_, task)| task.is_look()) {
            let (_, task) = self.later.remove(next);
            self.begin(task);
        }
    }

    /// What `task` takes is not there now, for the reason `why`.
    pub(super) fn put_off(&mut self, task: Task, shortage: Shortage, why: String) {
        if let Some(id) = task.needed_by() {
            let nobody_runs = !self.works.iter().any(|work| work.stage.is_running());
            match self.stuck_for(0) {
                Some(time) if nobody_runs || time >= GRACE => {
                    let message = match shortage {
                        Shortage::Threads => format!("{why}; {ADVICE}"),
                        Shortage::Files => why, // says what to do
                    };
                    return self.fail(id, message);
                }
                None if self.is_urgent(&task) => self.make_room(shortage),
                _ => {}
            }
        }
        self.warn_once(format!("{why}; it is tried again"));
        self.later.push((Instant::now() + PAUSE, task));
    }

    /// Whether something is to end so that `task` can begin. Torrents that have not begun wait
    /// for those that have; and pieces are checked many at a time, or at the end.
    fn is_urgent(&mut self, task: &Task) -> bool {
        let Task::Check(id) = task else { return false };
        self.works.alive(*id).is_some_and(|running| {
            let torrent = &running.torrent;
            torrent.waits_for_checker() || torrent.unchecked() >= MAX_LANES
        })
    }

    /// A thread died, by a fault of ours.
    pub(super) fn on_died(&mut self, task: Task) {
        let why = fault(task.purpose());
        match &task {
            Task::Listen | Task::Local => {
                if matches!(task, Task::Local) {
                    self.lsd = None;
                }
                self.warn_once(format!("{why}; it is started again"));
                self.later.push((Instant::now() + LONG_PAUSE, task));
            }
            Task::Recall(id) | Task::Prepare(id) | Task::Check(id) => {
                self.works[*id].looking = false;
                let message = format!("{why}; run the same command again");
                self.fail(*id, message);
            }
            // If it is not there, everybody who needs it finds out.
            Task::Proxy => self.warn_once(why),
            Task::Resolve(_, name) => self.warn_once(format!("{why} ({})", name.name)),
        }
    }

    fn start_thread(&mut self, task: &Task) -> Result<(), Refused> {
        let (news, died) = (self.news.clone(), task.clone());
        let lost = move || _ = news.send(News::Died(died));
        let news = self.news.clone();
        match task.clone() {
            Task::Listen => {
                let take = move |stream, addr| news.send(News::Incoming(stream, addr)).is_ok();
                if let Some(socket) = self.socket.clone() {
                    listener::spawn(socket, take, lost)?;
                }
            }
            Task::Proxy => {
                let door = self.config.door.clone();
                let find = move || door.find_proxy().map_err(|error| error.to_string());
                let work = move || _ = news.send(News::Proxy(find()));
                let thread = Builder::new().name("proxy".into());
                threads::spawn(thread, outward::PROXY, work, lost)?;
            }
            Task::Local => self.start_lsd(lost)?,
            Task::Recall(id) => self.start_recall(id, lost)?,
            Task::Prepare(id) => self.start_prepare(id, lost)?,
            Task::Check(id) => {
                let Some(stored) = self.works.stored(id) else {
                    return Ok(());
                };
                let known = stored.known.clone();
                let hash = move |piece| known.metainfo.hash(piece);
                let report = move |report| _ = news.send(News::Check(id, report));
                let (notes, requests) = (stored.notes.clone(), stored.requests.clone());
                checker::spawn(&stored.shared.storage, notes, hash, requests, report, lost)?;
            }
            Task::Resolve(id, name) => {
                let door = self.config.door.clone();
                let work = move || {
                    let found = door.look_up(&name.name);
                    let _ = news.send(News::Resolved(id, name, found));
                };
                threads::spawn(Builder::new().name("resolve".into()), RESOLVE, work, lost)?;
            }
        }
        Ok(())
    }

    fn start_recall(
        &mut self,
        id: TorrentId,
        lost: impl FnOnce() + Send + 'static,
    ) -> Result<(), Refused> {
        let (dir, news) = (self.config.dir.clone(), self.news.clone());
        let info_hash = self.works[id].us.info_hash;
        let work = move || {
            let metadata = storage::record::recall(&dir, info_hash);
            let _ = news.send(News::Recalled(id, metadata));
        };
        self.start_look(id, "recall", work, lost)
    }

    fn start_prepare(
        &mut self,
        id: TorrentId,
        lost: impl FnOnce() + Send + 'static,
    ) -> Result<(), Refused> {
        let Some(known) = self.works[id].known.clone() else {
            return Ok(());
        };
        let (config, stop) = (self.config.clone(), self.stop.clone());
        let news = self.news.clone();
        let work = move || {
            let progress = |done, total| _ = news.try_send(News::CheckProgress(id, done, total));
            let outcome = prepare::prepare(&known, &config, &progress, &stop);
            let _ = news.send(News::Prepared(id, outcome));
        };
        self.start_look(id, "prepare", work, lost)
    }

    /// Starts a thread that looks at the disk, if there are files enough for one more.
    fn start_look(
        &mut self,
        id: TorrentId,
        name: &str,
        work: impl FnOnce() + Send + 'static,
        lost: impl FnOnce() + Send + 'static,
    ) -> Result<(), Refused> {
        if !self.file_budget().may_look(self.looks()) {
            return Err(Refused::Room);
        }
        threads::spawn(Builder::new().name(name.into()), LOOK, work, lost)?;
        self.works[id].looking = true;
        Ok(())
    }

    /// How many torrents' data is being looked at.
    fn looks(&self) -> usize {
        self.works.iter().filter(|work| work.looking).count()
    }

    /// The files that there may be, to be divided among those that need some.
    pub(super) fn file_budget(&self) -> FileBudget {
        let works = self.works.iter();
        let open = works.filter(|work| work.looking || !work.stage.is_idle());
        FileBudget {
            limit: self.max_files,
            torrents: open.count(),
        }
    }

    /// For how long nothing of ours has been there that may end by itself, and give back what
    /// it has; `None` if something is. `failed`: connections that still count as there, but
    /// are about to end for want of something.
    fn stuck_for(&mut self, failed: usize) -> Option<Duration> {
        let leaves = |work: &Work| work.stage.is_leaving();
        let may_end = self.links.len() > failed || self.looks() > 0;
        if may_end || self.works.iter().any(leaves) {
            self.short_since = None;
            return None;
        }
        // What finds peers is of no use without connections. It comes back by itself.
        self.dht = None;
        if self.lsd.take().is_some() {
            self.later.push((Instant::now() + LONG_PAUSE, Task::Local));
        }
        self.dismiss_trackers();
        Some(self.short_since.get_or_insert_with(Instant::now).elapsed())
    }

    /// The threads of trackers end once they have nothing to do; the next announce starts
    /// them again.
    fn dismiss_trackers(&mut self) {
        for (_, running) in self.works.all_running() {
            running.trackers.clear();
        }
    }

    /// Closes a connection of the torrent that has most, or else ends the threads of trackers;
    /// and for a moment makes none: time for others to take what it had.
    pub(super) fn make_room(&mut self, shortage: Shortage) {
        let now = Instant::now();
        if self.stand_back.is_some_and(|(until, _)| now < until) {
            return;
        }
        self.stand_back = Some((now + STAND_BACK, shortage));
        let running = self.works.all_running();
        let most = running.max_by_key(|(_, running)| running.torrent.connections());
        match most.map(|(id, running)| (id, running.torrent.shed(shortage, now))) {
            Some((id, Some(action))) => self.perform(id, vec![action]),
            _ => self.dismiss_trackers(),
        }
    }

    /// The checker of a torrent found no file left. It waits.
    pub(super) fn on_checker_short(&mut self, id: TorrentId, why: String) {
        match self.stuck_for(0) {
            None => self.make_room(Shortage::Files),
            Some(time) if time >= GRACE => self.fail(id, why),
            Some(_) => {}
        }
    }

    /// A torrent could ask no tracker, or could not make a connection, or not keep it, for the
    /// reason `why`. If that is so of all for a while, it will not get better. `failed`: as
    /// for [`Engine::stuck_for`].
    pub(super) fn on_short(&mut self, id: TorrentId, why: String, failed: usize) {
        let Some(time) = self.stuck_for(failed) else {
            return;
        };
        let seeds = |running: &mut Running| running.torrent.phase().is_seeding();
        if time >= GRACE && !self.works.running(id).is_some_and(seeds) {
            self.short_since = None; // the others have what this one leaves
            self.fail(id, why);
        }
    }

    /// Warns the user of what may come again and again.
    pub(super) fn warn_once(&mut self, message: String) {
        if self.warned.insert(message.clone()) {
            self.warn(None, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Job, Subject};
    use crate::door::Door;
    use crate::metainfo;
    use crate::report::Reporter;
    use crossbeam_channel::{Receiver, bounded};
    use std::net::TcpStream;

    #[derive(Default)]
    struct Log(Vec<String>);

    impl Reporter for Log {
        fn report(&mut self, report: Report) {
            if let Report::Error { message, .. } | Report::Warning { message, .. } = report {
                self.0.push(message);
            }
        }
    }

    /// What an engine with one torrent says when `test` is over.
    fn with_engine(test: impl FnOnce(&mut Engine<'_>, TorrentId, &Receiver<News>)) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            dir: dir.path().into(),
            ..Config::default()
        };
        let hash = "x".repeat(20);
        let info = format!("d6:lengthi1e4:name1:n12:piece lengthi16384e6:pieces20:{hash}e");
        let metainfo = metainfo::from_info(info.as_bytes()).unwrap();
        let job = Job::from(Subject::Torrent(Box::new(metainfo)));
        let socket = listener::open(Some(0), &Door::at([127, 0, 0, 1])).unwrap();
        let port = socket.local_addr().unwrap().port();
        let (news_tx, news) = bounded(9);
        let mut log = Log::default();
        let mut engine = Engine::new(config, Some(socket), port, news_tx, bounded(9).0, &mut log);
        engine.add(job);
        test(&mut engine, TorrentId(0), &news);
        log.0
    }

    #[test]
    fn a_torrent_ends_with_the_thread_that_it_needs() {
        for task in [Task::Recall, Task::Prepare, Task::Check] {
            let said = with_engine(|engine, id, _| {
                engine.on_died(task(id));
                assert!(engine.is_over() && engine.ending.failed);
            });
            let why = "a fault of storrent's own ended the thread to ";
            assert!(said.len() == 1 && said[0].starts_with(why), "{said:?}");
        }
    }

    #[test]
    fn others_are_started_again() {
        let said = with_engine(|engine, _, news| {
            engine.on_died(Task::Listen);
            engine.on_died(Task::Listen);
            assert!(!engine.is_over());
            engine.begin_again(Instant::now() + LONG_PAUSE);
            let _peer = TcpStream::connect(("127.0.0.1", engine.port)).unwrap();
            let incoming = |news: News| matches!(news, News::Incoming(..));
            assert!(news.iter().any(incoming));
        });
        let why = "a fault of storrent's own ended the thread to accept peers";
        assert!(
            said.len() == 1 && said[0].starts_with(why),
            "said once: {said:?}"
        );
    }

    #[test]
    fn what_is_missing_is_waited_for_as_long_as_something_may_end() {
        let said = with_engine(|engine, id, news| {
            // Its data is being looked at: that will end.
            assert_eq!(engine.looks(), 1);
            engine.put_off(Task::Check(id), Shortage::Threads, "no thread".into());
            assert!(!engine.is_over() && engine.later.len() == 1);
            let prepared = news.iter().find(|news| matches!(news, News::Prepared(..)));
            engine.works[id].looking = false;
            drop(prepared);
            // Nothing is left that could end, and no other torrent has begun.
            engine.put_off(Task::Prepare(id), Shortage::Files, "no file".into());
            assert!(engine.is_over());
        });
        assert_eq!(said, ["no thread; it is tried again", "no file"]);
    }
}
