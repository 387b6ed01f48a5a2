//! The peers of the demo: real engines, each on its own thread.
//!
//! Each has its own folder, port, peer id and limits, and finds the others through the tracker
//! only.

use super::scenes::Who;
use super::tracker::Announced;
use crate::config::{Config, Job};
use crate::engine::{self, Ending};
use crate::report::{Report, Reporter};
use crate::threads;
use crossbeam_channel::{Sender, bounded};
use signal_hook::consts::SIGTERM;
use std::io;
use std::thread::{Builder, JoinHandle};

#[derive(Debug)]
pub(super) enum News {
    Said(Who, Report),
    Left(Who, Ending),
    Announced(Announced),
}

/// The running engines. Dropping it ends them all.
#[derive(Debug, Default)]
pub(super) struct Cast(Vec<(Sender<i32>, JoinHandle<()>)>);

impl Cast {
    /// Starts an engine, which reports to `news`.
    pub(super) fn enter(
        &mut self,
        (who, name): (Who, &str),
        config: Config,
        job: Job,
        news: Sender<News>,
    ) -> io::Result<()> {
        let (stop, signals) = bounded(1);
        let name = format!("demo {name}");
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

    /// Ends all engines and waits for them. They first announce `stopped`, for at most 3 s.
    pub(super) fn leave(&mut self) {
        for (stop, _) in &self.0 {
            let _ = stop.try_send(SIGTERM); // fails if it has already ended
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

struct Voice(Who, Sender<News>);

impl Reporter for Voice {
    fn report(&mut self, report: Report) {
        // Fails once the demo has failed.
        let _ = self.1.send(News::Said(self.0, report));
    }
}
