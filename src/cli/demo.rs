//! `storrent demo`: shows a whole swarm on this computer, made of the real parts.
//!
//! A `tracker` and some engines (the `cast`) run as threads of this process and talk over loopback.
//! One of the `scenes` says who they are: seeds, leeches, and the user's download. Some scenes also
//! need a peer that no client plays, one that lies, say: a `scripted` one. The thread that runs
//! this file tells the `story` from the engines' reports, and `what_if` simulates the swarm without
//! the rule that the scene is about.
//!
//! All sockets are bound to 127.0.0.1, on ports that the system chooses, and all files are in one
//! temporary `folder`. So the demo disturbs nobody and leaves nothing behind.

mod cast;
mod content;
mod folder;
mod scenes;
mod scripted;
mod story;
mod told;
mod tracker;
mod what_if;

use super::args::Demo;
use super::signals::{self, Interrupts};
use super::{Failure, print, report};
use crate::address::Teller;
use crate::config::{Afterwards, Config, Job, Sources, Subject};
use crate::door::Door;
use crate::engine::GOODBYE;
use crate::human::{count, grouped, size};
use crate::magnet;
use crate::metainfo::{self, Metainfo};
use crate::picture::{Picture, beside};
use crate::progress::{Display, Style};
use crate::report::{Event, Witness};
use cast::{Cast, News};
use crossbeam_channel::{Receiver, Sender, after, select, unbounded};
use folder::Folder;
pub use scenes::{Choice, names};
use scenes::{Scene, Who};
use scripted::{Scripted, Stock};
use std::error::Error;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use story::Story;
use tracker::Tracker;
use what_if::WhatIf;

/// A demo takes seconds. After this time something must be wrong.
const PATIENCE: Duration = Duration::from_secs(120);

fn needs(scene: &Scene) -> u64 {
    let lengths = &scene.content.lengths;
    let of = |files: &[usize]| match files {
        [] => lengths.iter().sum::<u64>(),
        files => files.iter().map(|file| lengths[*file]).sum(),
    };
    scene.roles().map(|role| of(role.files)).sum()
}

/// The system refused to do `what` in `parent`.
fn no_room(scene: &Scene, parent: &Path, what: &str, error: io::Error) -> Cut {
    let message = format!(
        "the demo cannot {what} in {}: {error}; it needs {} there, or in the folder that TMPDIR names",
        parent.display(),
        size(needs(scene))
    );
    Cut::Failed(Failure::Failed(message))
}

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
pub fn run(options: &Demo, interrupts: &Interrupts) -> Result<u8, Failure> {
    let Some(scene) = options.scene.0 else {
        return print(&scenes::list()).map(|()| 0);
    };
    let files = [&options.trace, &options.report].into_iter().flatten();
    for file in files {
        report::needs_folder(file)?;
    }
    let signals = interrupts.take_over_for_good();
    let mut display = Display::new(Style::default())?;
    let mut story = Story::new(scene, &mut display);
    let parent = std::env::temp_dir();
    let played = play(scene, &parent, &mut story, &signals);
    let done = played.and_then(|played| {
        story.end(&played);
        let what_if = WhatIf::play(scene, &played, &parent, &signals)?;
        what_if.iter().for_each(|it| story.say(&it.text));
        Ok((played, what_if))
    });
    match done {
        Ok((played, what_if)) => {
            if let Some(path) = &options.trace {
                write_trace(path, &played.events)?;
            }
            if let Some(path) = &options.report {
                report::save(path, &page(&played, what_if))?;
            }
            Ok(0)
        }
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

/// What is left of a scene.
struct Played {
    events: Vec<Event>,
    /// How many times the content its scripted peers sent.
    sent: f64,
}

/// Plays a scene from the first word to the last, in a new folder in `parent`.
fn play(
    scene: &Scene,
    parent: &Path,
    story: &mut Story,
    signals: &Receiver<i32>,
) -> Result<Played, Cut> {
    let failed = |what, error| no_room(scene, parent, what, error);
    let folder = Folder::new(parent).map_err(|error| failed("make a folder", error))?;
    let roles = scene.roles();
    let dirs: Vec<_> = roles.map(|role| folder.path().join(role.name)).collect();
    for (role, dir) in scene.roles().zip(&dirs) {
        let written = scene.content.write(dir, role.files);
        written.map_err(|error| failed("write its files", error))?;
        if let Ok(signal) = signals.try_recv() {
            return Err(Cut::interrupted(signal));
        }
    }

    let (tell, news) = unbounded();
    let told = tell.clone();
    let tracker = Tracker::start(move |announced| _ = told.send(News::Announced(announced)))?;
    let torrent = scene.content.torrent(&tracker.url()).map_err(Cut::Failed)?;
    let metainfo = metainfo::parse(&torrent)?;
    let (len, url) = (torrent.len(), tracker.url());
    story.say(&introduction(&metainfo, len, &url, folder.path()));
    if !scene.watch.is_empty() {
        story.say(&format!("{}\n", scene.watch));
    }
    let stock = Stock::new(&scene.content, &metainfo)?;
    let actors = scene.actors.iter();
    let actors = actors.map(|actor| Scripted::start(actor, &stock));
    let actors = actors.collect::<Result<Vec<_>, _>>()?;
    // The engines end before the actors, the tracker and the folder go.
    let events = Stage {
        scene,
        story,
        peers: actors.iter().map(Scripted::addr).collect(),
        news,
        signals,
        deadline: after(PATIENCE),
        start: Instant::now(),
    }
    .play(&dirs, &metainfo, &tell)?;
    drop((actors, tracker));
    folder
        .remove()
        .map_err(|error| failed("remove its folder", error))?;
    let who = match scene.compared().count() as u64 {
        1 => "you".to_string(),
        fetchers => format!("you and {}", count(fetchers - 1, "other")),
    };
    story.say(&format!(
        "\nWhat {who} fetched was compared with the original, byte by byte:\n\
         it is the same. The folder is removed."
    ));
    let sent = stock.sent();
    Ok(Played { events, sent })
}

/// The pictures of the played swarm, and of the simulated ones, if there are any.
fn page(played: &Played, what_if: Option<WhatIf>) -> String {
    let real = picture(played.events.iter().map(Event::line));
    let simulated = what_if.map(|it| it.traces).into_iter().flatten();
    let mut pages = vec![("The scene, as it was played", real)];
    let titles = ["Simulated, with the rule", "Simulated, without it"];
    pages.extend(
        titles
            .into_iter()
            .zip(simulated.map(|lines| picture(lines.into_iter()))),
    );
    match pages.len() {
        1 => pages.remove(0).1,
        _ => beside(&pages),
    }
}

fn picture(lines: impl Iterator<Item = String>) -> String {
    let mut picture = Picture::default();
    lines.for_each(|line| picture.line(&line));
    picture.html()
}

fn write_trace(path: &Path, events: &[Event]) -> Result<(), Failure> {
    let lines: String = events.iter().map(Event::line).collect();
    fs::write(path, lines).map_err(|error| {
        let path = path.display();
        Failure::Failed(format!(
            "cannot write the trace to {path}: {error}; name another file"
        ))
    })
}

/// What is there before any peer comes. `torrent`: bytes of the `.torrent`.
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

/// The narrator and all that it listens to.
struct Stage<'a, 'b> {
    scene: &'a Scene,
    story: &'a mut Story<'b>,
    peers: Vec<String>,
    news: Receiver<News>,
    signals: &'a Receiver<i32>,
    deadline: Receiver<Instant>,
    /// The earliest time of a fact.
    start: Instant,
}

impl Stage<'_, '_> {
    /// Lets all engines enter, waits until all are complete, and checks every byte that they
    /// fetched.
    fn play(
        mut self,
        dirs: &[PathBuf],
        metainfo: &Metainfo,
        tell: &Sender<News>,
    ) -> Result<Vec<Event>, Cut> {
        let mut cast = Cast::default();
        let you = self.scene.you();
        let mut next = 0;
        for act in self.scene.acts {
            self.story.say(act.says);
            let before = next;
            for role in act.roles {
                let (config, job) = self.part(next, &dirs[next], metainfo)?;
                cast.enter((next, role.name), config, job, tell.clone())?;
                next += 1;
            }
            let entered = before..next.min(you);
            self.until(|story| story.listed(entered.clone()))?;
        }
        self.until(|story| story.ending().is_some())?;
        self.story.end_display();
        if !self.story.ending().is_some_and(|ending| ending.is_good()) {
            let message = "the demo failed: the download ended incomplete".to_string();
            return Err(Cut::Failed(Failure::Failed(message)));
        }
        if self.scene.whole {
            self.until(|story| story.all_complete())?;
        }
        cast.leave();
        // The last announces of the engines.
        while let Ok(last) = self.news.try_recv() {
            self.story.hear(last);
        }
        for who in self.scene.compared() {
            if !self.scene.content.is_in(&dirs[who])? {
                let name = self.scene.role(who).name;
                let message =
                    format!("the demo failed: what {name} fetched is not what was shared");
                return Err(Cut::Failed(Failure::Failed(message)));
            }
        }
        self.story.sum_up();
        Ok(self.story.events())
    }

    fn part(&self, who: Who, dir: &Path, metainfo: &Metainfo) -> Result<(Config, Job), Cut> {
        let (role, you) = (self.scene.role(who), who == self.scene.you());
        let config = Config {
            dir: dir.to_owned(),
            port: Some(0),
            door: Door::at(Ipv4Addr::LOCALHOST),
            upload_limit: role.up,
            afterwards: match you {
                true => Afterwards::Leave,
                false => Afterwards::Seed {
                    ratio: None,
                    time: None,
                },
            },
            // No peer outside this process may be asked.
            sources: Sources {
                dht: false,
                lsd: false,
                ..Config::default().sources
            },
            witness: Some(Witness {
                node: if you { 0 } else { who as u32 + 1 },
                name: role.name.into(),
                start: self.start,
            }),
            ..Config::default()
        };
        let subject = match you && self.scene.magnet {
            true => Subject::Link(magnet::link(metainfo).parse()?),
            false => Subject::Torrent(Box::new(metainfo.clone())),
        };
        let files = role.files.iter().map(|file| *file as u32 + 1);
        let job = Job {
            teller: Teller::User,
            files: (!role.files.is_empty()).then(|| files.collect()),
            peers: match role.files {
                [] => self.peers.clone(),
                _ => Vec::new(), // seeds have nothing to say to seeds
            },
            ..subject.into()
        };
        Ok((config, job))
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
    use content::Content;

    fn small() -> Scene {
        Scene {
            content: Content {
                lengths: [256 << 10, 512 << 10, 128 << 10],
                piece_length: 16 << 10,
            },
            ..scenes::SWARM.clone()
        }
    }

    struct Told(String);

    impl Reporter for Told {
        fn report(&mut self, report: Report) {
            if let Report::Said(text) = report {
                self.0 += &(text + "\n");
            }
        }
    }

    /// Plays the small demo in `parent`; also returns its story.
    fn played(parent: &Path, signals: &Receiver<i32>) -> (Result<Played, Cut>, String) {
        let mut told = Told(String::new());
        let scene = small();
        let result = play(&scene, parent, &mut Story::new(&scene, &mut told), signals);
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
