//! Web seeds ([BEP 19]): ordinary web servers that have the files of a torrent.
//!
//! A torrent can name URLs at which its files lie. Such a server knows nothing of pieces, peers or
//! BitTorrent. We ask it for ranges of files, over HTTP:
//!
//! ```text
//! url-list        http://mirror.example/pub/
//! torrent         album, with the files cover.jpg and "disc 1/a.flac"
//! asked for       GET /pub/album/disc%201/a.flac    Range: bytes=1048576-5242879
//! ```
//!
//! To main, a web seed is one more peer that has every piece and chokes nobody: it asks for work
//! with [`PeerEvent::Want`], reports what it stored, and obeys [`Command::Cancel`]. What it sends
//! is verified like anything else.
//!
//! Its thread sleeps in two channels at once: main's, and that of the [request] in progress. So it
//! hears main at once, and a silent server delays nobody. The [backlog] decides what to ask for,
//! [answer] what an answer is worth, and [pace] how long to wait.
//!
//! Servers may be hostile, or just odd, so we keep no byte beyond those that we asked for and hold
//! at most a few hundred KiB in memory. If the server lacks a file, or has it in another length, we
//! stop asking it for that file only.
//!
//! [BEP 19]: https://www.bittorrent.org/beps/bep_0019.html

pub(crate) mod answer;
pub(crate) mod backlog;
pub(crate) mod pace;
pub(crate) mod request;

use crate::address::Reach;
use crate::door::Door;
use crate::door::http::Hop;
use crate::human;
use crate::layout::{Layout, PieceIndex, spans_of};
use crate::messages::{Asking, Command, PeerEvent, Web};
use crate::peer::{Inbox, Order, ToMain, spawn_link};
use crate::storage::{Files, Storage, StorageError};
use crate::threads::NoThread;
use crate::trace::GivenBack;
use crate::types::PeerKey;
use crate::url;
use answer::{Asked, WebSeedError};
use backlog::{Backlog, Run};
use crossbeam_channel::{Receiver, RecvError, never, select};
use pace::Pace;
use request::{Answer, Client};
use std::collections::BTreeSet;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often traffic is reported to main, and the pace checked.
const TICK: Duration = Duration::from_millis(500);

/// Once this many blocks are stored, main hears of them, even while more arrive.
const TELL_AT: usize = 16;

/// If more cancelled bytes than this are to be skipped within an answer, a new request is cheaper.
const MAX_GAP: u64 = 256 << 10;

/// After this many missing files in a row, we look for none of the others.
const MAX_MISSES: u32 = 8;

/// The thread's stack, in bytes. It holds no large value.
const STACK: usize = 256 * 1024;

pub(crate) struct WebSeed {
    /// The URL, as the torrent or the magnet link names it.
    pub url: String,
    /// The torrent's name, escaped for a URL.
    pub name: String,
    /// Whether the torrent's files lie in a folder of that name.
    pub multi_file: bool,
    pub storage: Arc<Storage>,
    pub max_open: usize,
    pub door: Door,
    /// The nearest address that may be dialled. It depends on who named the web seed.
    pub nearest: Reach,
}

impl WebSeed {
    /// Returns the URL of `file`. A URL that ends in `/` is a folder that contains the torrent by
    /// its name, and so is any URL of a torrent with several files. Any other URL is the single
    /// file itself.
    fn url_of(&self, file: usize) -> String {
        let mut url = url::requestable(&self.url);
        if self.multi_file && !url.ends_with('/') {
            url.push('/');
        }
        if url.ends_with('/') {
            url += &self.name;
        }
        let files = &self.storage.plan().contents.files;
        if let Some(entry) = files.get(file).filter(|_| self.multi_file) {
            let below = entry.path.get(1..).unwrap_or_default();
            url.push('/');
            url += &entry.url_path.clone().unwrap_or_else(|| url::path(below));
        }
        url
    }

    fn layout(&self) -> &Arc<Layout> {
        &self.storage.plan().contents.layout
    }
}

/// Starts the thread of a web seed. It ends when the server is of no use or the channel of `orders`
/// closes. Its last event is always [`PeerEvent::Closed`].
pub(crate) fn spawn(
    key: PeerKey,
    seed: WebSeed,
    orders: Receiver<Order>,
    inbox: Inbox,
) -> Result<(), NoThread> {
    let thread = std::thread::Builder::new()
        .name(format!("web seed {}", key.0))
        .stack_size(STACK);
    spawn_link(thread, "ask a web seed", key, inbox, move |to_main| {
        let mut thread = Thread::new(seed, to_main.clone());
        let end = thread.run(&orders);
        // What was stored counts, even if the server failed.
        thread.tell_stored();
        thread.tell_traffic();
        if let Err(WebSeedError::Barred(barred)) = &end
            && barred.is_for_the_user()
        {
            thread.tell(PeerEvent::Web(Web::Barred(barred.to_string())));
        }
        if let Some(pause) = end.as_ref().err().and_then(WebSeedError::pause) {
            thread.tell(PeerEvent::Web(Web::ComeBack(pause)));
        }
        end.err().map_or_else(
            || "no longer needed".into(),
            |error| error.to_string().into(),
        )
    })
}

struct Underway {
    answers: Receiver<Answer>,
    asked: Run,
    /// The next byte of the torrent to arrive.
    at: u64,
    /// Whether the request went where an earlier one was redirected.
    is_shortcut: bool,
    /// Whether at least one block arrived whole.
    gave: bool,
}

impl Underway {
    fn end(&self) -> u64 {
        self.asked.start + self.asked.len
    }
}

struct Thread {
    seed: WebSeed,
    to_main: ToMain,
    client: Client,
    files: Files,
    backlog: Backlog,
    pace: Pace,
    underway: Option<Underway>,
    /// A file, and where redirects led to it: the next request for it begins there.
    moved: Option<(usize, Hop)>,
    work: Asking,
    worked: bool,
    /// Files that the server does not have.
    lacks: BTreeSet<usize>,
    misses: u32,
    /// Blocks written, but not reported to main yet.
    stored: Vec<(PieceIndex, u32)>,
    /// Bytes received, but not reported to main yet.
    down: u64,
    ticked: Instant,
}

impl Thread {
    fn new(seed: WebSeed, to_main: ToMain) -> Self {
        Self {
            client: Client::new(seed.door.clone()),
            files: seed.storage.files(seed.max_open),
            backlog: Backlog::new(seed.layout().clone()),
            seed,
            to_main,
            pace: Pace::default(),
            underway: None,
            moved: None,
            work: Asking::default(),
            worked: false,
            lacks: BTreeSet::new(),
            misses: 0,
            stored: Vec::new(),
            down: 0,
            ticked: Instant::now(),
        }
    }

    /// Runs the thread: asks main for work, asks the server for bytes, and hears both.
    fn run(&mut self, orders: &Receiver<Order>) -> Result<(), WebSeedError> {
        loop {
            self.ask_server()?;
            self.ask_main();
            let answers = match &self.underway {
                Some(underway) => underway.answers.clone(),
                None => never(),
            };
            if answers.is_empty() || self.work.is_hungry() || self.stored.len() >= TELL_AT {
                self.tell_stored();
            }
            select! {
                recv(orders) -> order => match order {
                    Ok(Order::Do(command)) => self.obey(command),
                    Ok(_) => {}
                    Err(RecvError) => return Ok(()),
                },
                recv(answers) -> answer => self.hear(answer)?,
                default(TICK) => {}
            }
            let now = Instant::now();
            if now.duration_since(self.ticked) >= TICK {
                self.ticked = now;
                self.tell_traffic();
                if self.pace.is_too_slow(now) {
                    return Err(WebSeedError::Slow);
                }
            }
        }
    }

    /// Asks main for the next run while the second half of the last one still arrives.
    fn ask_main(&mut self) {
        let run = self.pace.run(self.seed.layout().block_len());
        if self.work.may_ask() && self.backlog.len() <= run / 2 {
            self.work.ask();
            self.tell(PeerEvent::Want(run));
        }
    }

    fn ask_server(&mut self) -> Result<(), WebSeedError> {
        if self.underway.is_some() {
            return Ok(());
        }
        let Some(run) = self.backlog.run() else {
            self.pace.on_idle();
            return Ok(());
        };
        let found = self.moved.as_ref().filter(|(file, _)| *file == run.file);
        let asked = Asked {
            hop: match found {
                Some((_, hop)) => hop.clone(),
                None => Hop::new(&self.seed.url_of(run.file), self.seed.nearest),
            },
            offset: run.offset,
            len: run.len,
            file_len: self.seed.layout().file_len(run.file),
        };
        self.pace.on_request(Instant::now());
        let is_shortcut = found.is_some();
        self.underway = Some(Underway {
            answers: self.client.ask(asked)?,
            asked: run,
            at: run.start,
            is_shortcut,
            gave: false,
        });
        Ok(())
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Fetch(spans) => {
                self.work.on_fetch(&spans);
                self.backlog.add(&spans);
                // Main may not know yet which files are missing here.
                for file in self.lacks.clone() {
                    self.give_back(file);
                }
            }
            Command::Cancel(spans) => {
                self.backlog.cancel(&spans);
                self.drop_useless();
                self.tell(PeerEvent::Cancelled(spans));
            }
            Command::Moved(_) => self.files.close(),
            // Commands that only peers need.
            _ => {}
        }
    }

    /// Hangs up if the rest of the answer is not worth waiting for.
    fn drop_useless(&mut self) {
        let Some(underway) = self.underway.as_ref().filter(|u| u.at < u.end()) else {
            return;
        };
        let near = underway.asked.start.max(underway.at + MAX_GAP);
        let next = self.backlog.next();
        if !next.is_some_and(|next| (underway.at..underway.end()).contains(&next) && next <= near) {
            self.client.hang_up();
            self.underway = None;
        }
    }

    fn hear(&mut self, answer: Result<Answer, RecvError>) -> Result<(), WebSeedError> {
        let Some(underway) = &mut self.underway else {
            return Ok(());
        };
        match answer {
            Ok(Answer::Begun { first, moved }) => {
                let file = underway.asked.file;
                underway.at = self.seed.layout().file_range(file).start + first;
                if let Some(hop) = moved {
                    self.moved = Some((file, hop));
                }
                Ok(())
            }
            Ok(Answer::Bytes(bytes)) => self.store(&bytes),
            Ok(Answer::Over) => self.on_end(None),
            Ok(Answer::Failed(error)) => self.on_end(Some(error)),
            Err(RecvError) => self.on_end(Some(WebSeedError::Fault)),
        }
    }

    /// Takes the next bytes, and writes those that are wanted.
    fn store(&mut self, bytes: &[u8]) -> Result<(), WebSeedError> {
        let Some(underway) = &mut self.underway else {
            return Ok(());
        };
        let start = underway.at;
        underway.at += bytes.len() as u64;
        let taken = self.backlog.take(start..underway.at);
        underway.gave |= !taken.stored.is_empty();
        self.down += bytes.len() as u64;
        self.pace.on_bytes(bytes.len() as u64);
        for range in taken.write {
            let these = (range.start - start) as usize..(range.end - start) as usize;
            let these = bytes.get(these).unwrap_or_default();
            let written = self.files.write(range.start, &mut [IoSlice::new(these)]);
            written.map_err(|error| self.disk_failed(&error))?;
        }
        if !taken.stored.is_empty() {
            self.misses = 0;
            self.stored.extend(taken.stored);
        }
        self.drop_useless();
        Ok(())
    }

    /// Running out of open files ends this web seed only. Other errors of the disk concern the
    /// torrent.
    fn disk_failed(&self, error: &StorageError) -> WebSeedError {
        let text = human::chain(error);
        let event = match error.is_out_of_files() {
            true => PeerEvent::OutOfFiles(text.clone()),
            false => PeerEvent::DiskFailed(text.clone()),
        };
        self.to_main.tell(event);
        WebSeedError::Disk(text)
    }

    /// Handles the end of an answer, or its failure. If a block arrived whole, we ask again for the
    /// rest: some servers cut every answer short. We do the same if a connection fails after a success:
    /// the server may have closed a kept one just when we reused it.
    fn on_end(&mut self, error: Option<WebSeedError>) -> Result<(), WebSeedError> {
        let Some(underway) = self.underway.take() else {
            return Ok(());
        };
        self.pace.on_over(Instant::now());
        let worked = std::mem::replace(&mut self.worked, error.is_none());
        match error {
            None if underway.gave || underway.at >= underway.end() => Ok(()),
            None => Err(WebSeedError::Short),
            Some(_) if underway.is_shortcut => {
                // The server may redirect to elsewhere by now.
                self.moved = None;
                Ok(())
            }
            Some(error) if error.is_about_file() => self.on_lack(underway.asked.file, &error),
            Some(_) if underway.gave => Ok(()),
            Some(WebSeedError::Connection(_)) if worked => Ok(()),
            Some(error) => Err(error),
        }
    }

    fn on_lack(&mut self, file: usize, error: &WebSeedError) -> Result<(), WebSeedError> {
        self.lacks.insert(file);
        let why = error.to_string();
        // Reported first: otherwise main would grant the same work again.
        self.tell(PeerEvent::Web(Web::Lacks { file, why }));
        self.give_back(file);
        self.misses += 1;
        if self.misses >= MAX_MISSES {
            return Err(WebSeedError::NothingHere);
        }
        Ok(())
    }

    fn give_back(&mut self, file: usize) {
        let lost = self.backlog.give_back(file);
        if !lost.is_empty() {
            self.work.wake();
            self.tell(PeerEvent::Released(spans_of(lost), GivenBack::Refused));
        }
    }

    fn tell_stored(&mut self) {
        if self.stored.is_empty() {
            return;
        }
        // Reported first: main must never hear of more bytes stored than received.
        self.tell_traffic();
        let stored = spans_of(std::mem::take(&mut self.stored));
        self.to_main.tell(PeerEvent::Stored(stored));
    }

    fn tell_traffic(&mut self) {
        let down = std::mem::take(&mut self.down);
        if down > 0 {
            let event = PeerEvent::Traffic { down, up: 0 };
            self.to_main.tell(event);
        }
    }

    fn tell(&mut self, event: PeerEvent) {
        self.tell_stored();
        self.to_main.tell(event);
    }
}

#[cfg(test)]
mod tests;
