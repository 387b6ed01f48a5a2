//! Who takes part in the demo: real engines, each on a thread of its own.
//!
//! Each has its own folder, port, peer id and limits, and they know one another only
//! through the tracker, just as if each ran on another computer.

use super::tracker::Announced;
use crate::config::{Config, Job};
use crate::engine::{self, Ending};
use crate::report::{Report, Reporter};
use crate::threads;
use crossbeam_channel::{Sender, bounded};
use signal_hook::consts::SIGTERM;
use std::io;
use std::thread::{Builder, JoinHandle};

/// Somebody who takes part, by the number of the [`Role`].
pub(super) type Who = usize;

/// A part in the play.
#[derive(Debug)]
pub(super) struct Role {
    /// What it is called.
    pub name: &'static str,
    /// The files, by number, that it comes with. One with files wants no others.
    pub files: &'static [usize],
}

/// All parts, in the order in which they come: seeds, leeches, the user.
pub(super) const ROLES: [Role; 6] = [
    Role {
        name: "anna",
        files: &[0, 1],
    },
    Role {
        name: "ben",
        files: &[1, 2],
    },
    Role {
        name: "cleo",
        files: &[0, 2],
    },
    Role {
        name: "dan",
        files: &[],
    },
    Role {
        name: "eva",
        files: &[],
    },
    Role {
        name: "you",
        files: &[],
    },
];

/// Those who come with files.
pub(super) const SEEDS: std::ops::Range<Who> = 0..3;

/// Those who come with nothing.
pub(super) const LEECHES: std::ops::Range<Who> = 3..5;

/// The download that is shown.
pub(super) const YOU: Who = 5;

/// Something that the story is made of.
#[derive(Debug)]
pub(super) enum News {
    /// An engine reports.
    Said(Who, Report),
    /// An engine has ended.
    Left(Who, Ending),
    /// The tracker heard an announce.
    Announced(Announced),
}

/// The engines that run; dropped, they are all ended.
#[derive(Debug, Default)]
pub(super) struct Cast(Vec<(Sender<i32>, JoinHandle<()>)>);

impl Cast {
    /// Starts an engine, which tells `news` how it goes.
    ///
    /// # Errors
    /// If the system starts no more threads.
    pub(super) fn enter(
        &mut self,
        who: Who,
        config: Config,
        job: Job,
        news: Sender<News>,
    ) -> io::Result<()> {
        let (stop, signals) = bounded(1);
        let name = format!("demo {}", ROLES[who].name);
        let last = news.clone();
        let work = move || {
            let mut voice = Voice(who, news);
            let ending = engine::run(config, vec![job], &mut voice, signals);
            let _ = voice.1.send(News::Left(who, ending));
        };
        let lost = move || {
            let failed = Ending {
                failed: true,
                ..Ending::default()
            };
            let _ = last.send(News::Left(who, failed));
        };
        let thread = Builder::new().name(name);
        let thread = threads::spawn(thread, "play a part", work, lost).map_err(io::Error::other)?;
        self.0.push((stop, thread));
        Ok(())
    }

    /// Ends all engines and waits for it: they say goodbye to the tracker first, which
    /// takes 3 seconds at most.
    pub(super) fn leave(&mut self) {
        for (stop, _) in &self.0 {
            let _ = stop.try_send(SIGTERM); // one that has ended does not listen
        }
        for (_, thread) in self.0.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Passes an engine's reports on.
struct Voice(Who, Sender<News>);

impl Reporter for Voice {
    fn report(&mut self, report: Report) {
        // Nobody listens any more once the demo has failed.
        let _ = self.1.send(News::Said(self.0, report));
    }
}
