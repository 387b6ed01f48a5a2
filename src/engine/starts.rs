//! Starts the threads that serve the whole run or one torrent, one for each [`Task`]. Decides what
//! follows if the system refuses a thread, if a thread panics, or if no files are left.
//!
//! A task that can't begin is tried again while something of ours may end and make room for it. If
//! it is urgent, we close a connection, or else end the threads of trackers. If nothing is left to
//! end, its torrent fails after [`GRACE`], or at once if no torrent runs.
//!
//! The threads of peers, web seeds, trackers and the DHT are no tasks: if one can't be started, the
//! dial, announce or look-up has failed, and is repeated as after any other failure.

use super::budget::FileBudget;
use super::works::{Running, Work};
use super::{Engine, News, PeerName, listener, outward, prepare};
use crate::checker;
use crate::human::chain;
use crate::lsd;
use crate::report::Report;
use crate::shortage::Shortage;
use crate::storage;
use crate::threads::{self, ADVICE, NoThread, fault};
use crate::types::TorrentId;
use sha1_lanes::MAX_LANES;
use std::io;
use std::thread::Builder;
use std::time::{Duration, Instant};

/// The pause before the next try, if threads or files are missing.
const PAUSE: Duration = Duration::from_millis(500);

/// The pause after other failures: a network, say, may come later or never.
const LONG_PAUSE: Duration = Duration::from_secs(60);

/// How long we make no connection after we closed one to make room: others need what it freed.
const STAND_BACK: Duration = Duration::from_secs(1);

/// How long we must be short, with nothing left to end, before a torrent fails: another program may
/// only be busy.
const GRACE: Duration = Duration::from_secs(5);

const LOOK: &str = "look at the disk";

const RESOLVE: &str = "look up a peer's name";

/// Work that has a thread of its own.
#[derive(Clone, Debug)]
pub(super) enum Task {
    Listen,
    /// Checks that the proxy can be reached.
    Proxy,
    /// Local service discovery.
    Local,
    /// Looks for the metadata in the record of an earlier run.
    Recall(TorrentId),
    /// Checks the data on disk, before the torrent starts.
    Prepare(TorrentId),
    /// Checks the pieces that were downloaded.
    Check(TorrentId),
    /// Looks up a peer's name, which may take 30 s.
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

pub(super) enum Refused {
    /// Files are too few: another look at the disk must end first.
    Room,
    Thread(NoThread),
    Network(io::Error),
}

impl From<NoThread> for Refused {
    fn from(error: NoThread) -> Self {
        Self::Thread(error)
    }
}

impl Engine<'_> {
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
                self.reporter.report(Report::Remark(message));
                self.later.push((now + LONG_PAUSE, task));
            }
        }
    }

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

    /// Starts a look at the disk that was put off, after another one or a torrent has ended.
    pub(super) fn begin_next_look(&mut self) {
        if let Some(next) = self.later.iter().position(|(_, task)| task.is_look()) {
            let (_, task) = self.later.remove(next);
            self.begin(task);
        }
    }

    /// Puts off `task`, or fails its torrent with the message `why`.
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

    /// Whether we must close something so that `task` can begin: only a check, if [`MAX_LANES`]
    /// pieces wait for it or the torrent waits for nothing else. A torrent that has not begun waits
    /// for those that have.
    fn is_urgent(&mut self, task: &Task) -> bool {
        let Task::Check(id) = task else { return false };
        self.works.alive(*id).is_some_and(|running| {
            let torrent = &running.torrent;
            torrent.waits_for_checker() || torrent.unchecked() >= MAX_LANES
        })
    }

    /// Handles the panic of a task's thread, a fault of ours.
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
            // If the proxy is not there, each connection through it fails.
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
                let find = move || door.find_proxy();
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

    /// Starts a thread that looks at the disk, if enough files are left.
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

    fn looks(&self) -> usize {
        self.works.iter().filter(|work| work.looking).count()
    }

    pub(super) fn file_budget(&self) -> FileBudget {
        let works = self.works.iter();
        let open = works.filter(|work| work.looking || !work.stage.is_idle());
        FileBudget {
            limit: self.max_files,
            torrents: open.count(),
        }
    }

    /// Returns for how long nothing has been left that may end and free threads or files; `None` if
    /// something is: a connection, a look at the disk, a torrent that leaves. `failed`: connections
    /// that still count but are about to end because of the shortage.
    fn stuck_for(&mut self, failed: usize) -> Option<Duration> {
        let leaves = |work: &Work| work.stage.is_leaving();
        let may_end = self.links.len() > failed || self.looks() > 0;
        if may_end || self.works.iter().any(leaves) {
            self.short_since = None;
            return None;
        }
        // Without connections, finding peers is of no use. It begins again by itself.
        self.dht = None;
        if self.lsd.take().is_some() {
            self.later.push((Instant::now() + LONG_PAUSE, Task::Local));
        }
        self.dismiss_trackers();
        Some(self.short_since.get_or_insert_with(Instant::now).elapsed())
    }

    /// Ends the threads of trackers once they are idle. The next announce starts them again.
    fn dismiss_trackers(&mut self) {
        for (_, running) in self.works.all_running() {
            running.trackers.clear();
        }
    }

    /// Closes a connection of the torrent with the most, or else ends the threads of trackers.
    /// Then makes no connection for [`STAND_BACK`], so that others get what this frees.
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

    /// Makes room for a checker that found no file left, or fails its torrent after [`GRACE`].
    pub(super) fn on_checker_short(&mut self, id: TorrentId, why: String) {
        match self.stuck_for(0) {
            None => self.make_room(Shortage::Files),
            Some(time) if time >= GRACE => self.fail(id, why),
            Some(_) => {}
        }
    }

    /// Handles a torrent that could ask no tracker, or could not make or keep a connection. It
    /// fails with the message `why` if we have been stuck for [`GRACE`], unless it seeds. `failed`:
    /// see [`Engine::stuck_for`].
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

    /// Warns the user, unless this warning was given before.
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
    use crate::peer::inbox::inbox;
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

    /// Runs `test` with an engine that has one torrent. Returns its errors and warnings.
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
        let mut engine = Engine::new(config, Some(socket), port, news_tx, inbox().0, &mut log);
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
            // The look at its data will end.
            assert_eq!(engine.looks(), 1);
            engine.put_off(Task::Check(id), Shortage::Threads, "no thread".into());
            assert!(!engine.is_over() && engine.later.len() == 1);
            let prepared = news.iter().find(|news| matches!(news, News::Prepared(..)));
            engine.works[id].looking = false;
            drop(prepared);
            // Nothing is left that could end, and no torrent runs.
            engine.put_off(Task::Prepare(id), Shortage::Files, "no file".into());
            assert!(engine.is_over());
        });
        assert_eq!(said, ["no thread; it is tried again", "no file"]);
    }
}
