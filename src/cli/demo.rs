//! `storrent demo`: shows a whole swarm on this computer, made of the real parts.
//!
//! A `tracker` and six engines (the `cast`) run as threads of this process and talk over loopback,
//! as they would over the internet: three seeds, each with only a part of the `content`, two
//! leeches, which begin with nothing, and the download that the user sees. The thread that runs
//! this file tells the `story`, from what the engines report to any user.
//!
//! All sockets are bound to 127.0.0.1, on ports that the system chooses, and all files are in one
//! temporary `folder`. So the demo disturbs nobody and leaves nothing behind.

mod cast;
mod content;
mod folder;
mod story;
mod tracker;

use super::Failure;
use super::signals::{self, Interrupts};
use crate::address::Teller;
use crate::config::{Afterwards, Config, Job, Sources, Subject};
use crate::door::Door;
use crate::engine::GOODBYE;
use crate::human::{count, grouped, size};
use crate::metainfo::{self, Metainfo};
use crate::progress::{Display, Style};
use cast::{Cast, LEECHES, News, ROLES, SEEDS, Who, YOU};
use content::Content;
use crossbeam_channel::{Receiver, Sender, after, select, unbounded};
use folder::Folder;
use std::error::Error;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use story::Story;
use tracker::Tracker;

/// The whole demo takes seconds. If it takes longer than this, something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// The sizes and rates of a demo.
#[derive(Clone, Debug)]
struct Scale {
    content: Content,
    /// Upload limits of each seed and each leech, in bytes per second: else the demo would end
    /// before the user sees anything.
    seed_limit: u64,
    leech_limit: u64,
}

impl Default for Scale {
    fn default() -> Self {
        Self {
            content: Content {
                lengths: [12 << 20, 16 << 20, 20 << 20],
                piece_length: 128 << 10,
            },
            seed_limit: 6 << 20,
            leech_limit: 4 << 20,
        }
    }
}

impl Scale {
    /// Returns the bytes needed on disk: two seeds and three downloads have each file.
    fn needs(&self) -> u64 {
        5 * self.content.lengths.iter().sum::<u64>()
    }

    /// Returns the error that the system refused to do `what` in `parent`.
    fn no_room(&self, parent: &Path, what: &str, error: io::Error) -> Cut {
        let message = format!(
            "the demo cannot {what} in {}: {error}; it needs {} there, or in the folder that TMPDIR names",
            parent.display(),
            size(self.needs())
        );
        Cut::Failed(Failure::Failed(message))
    }
}

/// Why the demo ended early.
enum Cut {
    /// This signal came; the goodbye must be over by this time.
    Interrupted(i32, Instant),
    Failed(Failure),
}

impl Cut {
    fn interrupted(signal: i32) -> Self {
        Self::Interrupted(signal, Instant::now() + GOODBYE)
    }
}

impl<E: Error> From<E> for Cut {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Runs the demo and returns the exit status.
///
/// # Errors
/// [`Failure`], if anything goes wrong.
pub fn run(interrupts: &Interrupts) -> Result<u8, Failure> {
    let signals = interrupts.take_over_for_good();
    let mut display = Display::new(Style::default())?;
    let mut story = Story::new(&mut display);
    let parent = std::env::temp_dir();
    match play(&Scale::default(), &parent, &mut story, &signals) {
        Ok(()) => Ok(0),
        Err(Cut::Interrupted(signal, deadline)) => {
            story.end_display();
            story.say("\nInterrupted: all engines were told to stop, and the folder is removed.");
            display.end(Some(deadline));
            Ok(signals::status(signal))
        }
        Err(Cut::Failed(failure)) => {
            story.end_display();
            Err(failure)
        }
    }
}

/// Plays the demo from the first word to the last, in a new folder in `parent`.
fn play(
    scale: &Scale,
    parent: &Path,
    story: &mut Story,
    signals: &Receiver<i32>,
) -> Result<(), Cut> {
    let failed = |what, error| scale.no_room(parent, what, error);
    let folder = Folder::new(parent).map_err(|error| failed("make a folder", error))?;
    let dirs = ROLES.map(|role| folder.path().join(role.name));
    for who in SEEDS {
        let written = scale.content.write(&dirs[who], ROLES[who].files);
        written.map_err(|error| failed("write its files", error))?;
        if let Ok(signal) = signals.try_recv() {
            return Err(Cut::interrupted(signal));
        }
    }

    let (tell, news) = unbounded();
    let told = tell.clone();
    let tracker = Tracker::start(move |announced| _ = told.send(News::Announced(announced)))?;
    let owner = |file: &usize| {
        SEEDS
            .into_iter()
            .find(|who| ROLES[*who].files.contains(file))
    };
    let originals = [0, 1, 2].map(|file| dirs[owner(&file).unwrap_or_default()].as_path());
    let torrent = scale
        .content
        .torrent(originals, &tracker.url())
        .map_err(Cut::Failed)?;
    let metainfo = metainfo::parse(&torrent)?;
    story.say(&introduction(
        &metainfo,
        torrent.len(),
        &tracker.url(),
        folder.path(),
    ));
    // The scene's engines end before the tracker and the folder go.
    Scene {
        story,
        news,
        signals,
        deadline: after(PATIENCE),
    }
    .play(scale, &dirs, &metainfo, &tell)?;
    drop(tracker);
    folder
        .remove()
        .map_err(|error| failed("remove its folder", error))?;
    story.say(&format!(
        "\nThe {} that you, dan and eva fetched were compared with the originals, byte by byte:\n\
         they are the same. The folder is removed.\n\
         For a swarm of your own: `storrent create`, `storrent seed`.",
        count(metainfo.files.len() as u64, "file")
    ));
    Ok(())
}

/// Describes what is there before any peer comes. `torrent`: bytes of the `.torrent`.
fn introduction(metainfo: &Metainfo, torrent: usize, tracker: &str, folder: &Path) -> String {
    format!(
        "A swarm on this computer: all of it is real, but no byte leaves the machine.\n\n\
         \x20 content    {}: {} in {} of random bytes\n\
         \x20 torrent    {} bytes: names, sizes, and a hash of each of {} of {}\n\
         \x20 info hash  {}: what the swarm calls it\n\
         \x20 tracker    {}: has no content, but knows who is there\n\
         \x20 folder     {}: goes at the end\n",
        content::NAME,
        size(metainfo.total_bytes()),
        count(metainfo.files.len() as u64, "file"),
        grouped(torrent as u64),
        count(metainfo.layout.pieces().into(), "piece"),
        size(metainfo.layout.piece_length().into()),
        metainfo.info_hash,
        tracker,
        folder.display(),
    )
}

/// Returns the options and the job for `who`, in `dir`.
fn part(
    who: Who,
    dir: &Path,
    metainfo: &Metainfo,
    upload_limit: u64,
    afterwards: Afterwards,
) -> (Config, Job) {
    let config = Config {
        dir: dir.to_owned(),
        port: Some(0),
        door: Door::at(Ipv4Addr::LOCALHOST),
        upload_limit,
        afterwards,
        // No peer outside this process may be asked.
        sources: Sources {
            dht: false,
            lsd: false,
            ..Config::default().sources
        },
        ..Config::default()
    };
    let files = ROLES[who].files;
    let job = Job {
        teller: Teller::User,
        files: (!files.is_empty()).then(|| files.iter().map(|file| *file as u32 + 1).collect()),
        ..Subject::Torrent(Box::new(metainfo.clone())).into()
    };
    (config, job)
}

/// The narrator and all that it listens to.
struct Scene<'a, 'b> {
    story: &'a mut Story<'b>,
    news: Receiver<News>,
    signals: &'a Receiver<i32>,
    deadline: Receiver<Instant>,
}

impl Scene<'_, '_> {
    /// Starts the seeds, the leeches and the user's download, waits until all are complete, and
    /// checks every byte that they fetched.
    fn play(
        mut self,
        scale: &Scale,
        dirs: &[PathBuf],
        metainfo: &Metainfo,
        tell: &Sender<News>,
    ) -> Result<(), Cut> {
        let mut cast = Cast::default();
        let mut enter = |who: Who, upload_limit, afterwards| {
            let (config, job) = part(who, &dirs[who], metainfo, upload_limit, afterwards);
            cast.enter(who, config, job, tell.clone())
        };
        let stay = Afterwards::Seed {
            ratio: None,
            time: None,
        };
        self.story.say(
            "Three seeds come, to give. Each has two of the files: none has all, together they do.",
        );
        for who in SEEDS {
            enter(who, scale.seed_limit, stay)?;
        }
        self.until(|story| story.listed(SEEDS))?;

        self.story.say("\nTwo leeches come, to fetch. They have nothing, but each piece that they get they give, too.");
        for who in LEECHES {
            enter(who, scale.leech_limit, stay)?;
        }
        self.until(|story| story.listed(LEECHES))?;

        self.story
            .say("\nNow you come. This is what `storrent library.torrent` does:");
        enter(YOU, 0, Afterwards::Leave)?;
        self.until(|story| story.ending().is_some())?;
        self.story.end_display();
        if !self.story.ending().is_some_and(|ending| ending.is_good()) {
            let message = "the demo failed: the download ended incomplete".to_string();
            return Err(Cut::Failed(Failure::Failed(message)));
        }
        self.until(|story| story.all_complete())?;
        cast.leave();
        // The last announces of the engines.
        while let Ok(last) = self.news.try_recv() {
            self.story.hear(last);
        }
        for who in LEECHES.chain([YOU]) {
            if !scale.content.is_in(&dirs[who])? {
                let name = ROLES[who].name;
                let message =
                    format!("the demo failed: what {name} fetched is not what was shared");
                return Err(Cut::Failed(Failure::Failed(message)));
            }
        }
        self.story.sum_up();
        Ok(())
    }

    /// Tells the news until `done` holds.
    fn until(&mut self, done: impl Fn(&Story) -> bool) -> Result<(), Cut> {
        while !done(self.story) {
            select! {
                // Never closed, because `play` holds a sender.
                recv(self.news) -> news => if let Ok(news) = news {
                    self.story.hear(news);
                },
                recv(self.signals) -> signal => if let Ok(signal) = signal {
                    return Err(Cut::interrupted(signal));
                },
                recv(self.deadline) -> _ => {
                    let message = format!("the demo failed: it is not done after {} s", PATIENCE.as_secs());
                    return Err(Cut::Failed(Failure::Failed(message)));
                },
            }
            if let Some(failure) = self.story.failure() {
                return Err(Cut::Failed(Failure::Failed(failure.to_string())));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Report, Reporter};
    use std::fs;

    fn small() -> Scale {
        Scale {
            content: Content {
                lengths: [256 << 10, 512 << 10, 128 << 10],
                piece_length: 16 << 10,
            },
            seed_limit: 0,
            leech_limit: 0,
        }
    }

    /// Collects what was said.
    struct Told(String);

    impl Reporter for Told {
        fn report(&mut self, report: Report) {
            if let Report::Said(text) = report {
                self.0 += &(text + "\n");
            }
        }
    }

    /// Plays the small demo in `parent`, and also returns what was told.
    fn played(parent: &Path, signals: &Receiver<i32>) -> (Result<(), Cut>, String) {
        let mut told = Told(String::new());
        let result = play(&small(), parent, &mut Story::new(&mut told), signals);
        (result, told.0)
    }

    #[test]
    fn the_whole_play() {
        let parent = tempfile::tempdir().unwrap();
        let (_keep, signals) = unbounded();
        let (result, told) = played(parent.path(), &signals);
        if let Err(Cut::Failed(why)) = &result {
            panic!("{why:?}\n{told}");
        }
        assert!(result.is_ok());
        let you = told.lines().rev().find(|line| line.starts_with("  you"));
        assert!(you.is_some_and(|line| line.contains("896 KiB")), "{told}");
        assert!(
            told.contains("asked the tracker who is there: 5 others"),
            "{told}"
        );
        assert!(told.contains("byte by byte"), "{told}");
        assert!(!told.contains('\u{1b}'), "{told}");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_interrupted_play_tidies_up() {
        let parent = tempfile::tempdir().unwrap();
        let (send, signals) = unbounded();
        send.send(2).unwrap();
        // Signals are first read after a seed's files are written.
        let (result, told) = played(parent.path(), &signals);
        assert!(matches!(result, Err(Cut::Interrupted(2, _))), "{told}");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_failure_names_the_place() {
        let parent = tempfile::tempdir().unwrap();
        let missing = parent.path().join("missing");
        let (_keep, signals) = unbounded();
        let (Err(Cut::Failed(Failure::Failed(why))), _) = played(&missing, &signals) else {
            panic!("it did not fail")
        };
        assert!(
            why.contains("cannot make a folder in") && why.contains("missing"),
            "{why}"
        );
    }
}
