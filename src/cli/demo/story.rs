//! Tells in words what happens in the demo, and remembers what the final table needs.
//!
//! One thread receives all news and passes them to one display, so the story on stdout and the
//! progress rows on stderr never mix.

use super::Played;
use super::cast::News;
use super::scenes::{Scene, Who};
use super::told::Told;
use super::tracker::Announced;
use crate::announce::AnnounceEvent;
use crate::engine::Ending;
use crate::human::{count, escaped, percent, size};
use crate::report::{Event, Report, Reporter};

#[derive(Debug, Default)]
struct Part {
    port: Option<u16>,
    /// The tracker names it to every peer that comes later.
    listed: bool,
    /// It has uploaded something, and the story has said so.
    gives: bool,
    complete: bool,
    last: Option<Announced>,
}

pub(super) struct Story<'a> {
    scene: &'a Scene,
    display: &'a mut dyn Reporter,
    parts: Vec<Part>,
    total: u64,
    /// The facts of all engines, in the order in which they came.
    events: Vec<Event>,
    failure: Option<String>,
    ending: Option<Ending>,
}

impl<'a> Story<'a> {
    pub(super) fn new(scene: &'a Scene, display: &'a mut dyn Reporter) -> Self {
        Self {
            scene,
            display,
            parts: scene.roles().map(|_| Part::default()).collect(),
            total: 0,
            events: Vec::new(),
            failure: None,
            ending: None,
        }
    }

    pub(super) fn say(&mut self, text: &str) {
        self.display.report(Report::Said(text.to_string()));
    }

    fn line(&mut self, who: Who, text: &str) {
        self.say(&format!("  {:<6}{text}", self.scene.role(who).name));
    }

    pub(super) fn listed(&self, whom: std::ops::Range<Who>) -> bool {
        self.parts[whom].iter().all(|part| part.listed)
    }

    pub(super) fn all_complete(&self) -> bool {
        self.scene.leeches().all(|who| self.parts[who].complete)
    }

    /// How the user's download ended, if it has.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.ending
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    pub(super) fn end_display(&mut self) {
        self.display.report(Report::Over);
    }

    /// Tells a piece of news, if it belongs to the story.
    pub(super) fn hear(&mut self, news: News) {
        let you = self.scene.you();
        match news {
            News::Said(who, Report::Error { message, .. }) => self.fail(who, &message),
            News::Said(_, Report::Trace(event)) => self.events.push(event),
            News::Said(who, report) => {
                self.follow(who, &report);
                if who == you {
                    self.display.report(report);
                }
            }
            News::Left(who, ending) if who == you => self.ending = Some(ending),
            News::Left(who, ending) if ending.interrupted.is_none() => {
                self.fail(who, "ended too early");
            }
            News::Left(..) => {}
            News::Announced(announced) => self.announced(announced),
        }
    }

    /// Remembers the first failure only: later ones follow from it.
    fn fail(&mut self, who: Who, message: &str) {
        let name = self.scene.role(who).name;
        self.failure
            .get_or_insert_with(|| format!("the demo failed: {name}: {message}"));
    }

    fn follow(&mut self, who: Who, report: &Report) {
        let (you, seeds) = (
            who == self.scene.you(),
            !self.scene.role(who).files.is_empty(),
        );
        let leeches = !you && !seeds;
        let part = &mut self.parts[who];
        match report {
            Report::Listening { port } => part.port = Some(*port),
            Report::Added { total_bytes, .. } => self.total = *total_bytes,
            Report::Checked {
                have_pieces,
                pieces,
                ..
            } if seeds => {
                let text = format!("hashed its files: {have_pieces} of {pieces} pieces are there");
                self.line(who, &text);
            }
            Report::Progress(p) if leeches && !part.gives && p.uploaded_bytes > 0 => {
                part.gives = true;
                let (has, gave) = (
                    percent(p.have_bytes, p.wanted_bytes),
                    size(p.uploaded_bytes),
                );
                let text = format!("has {has} by now, and has given {gave} already");
                self.line(who, &text);
            }
            Report::Complete { .. } if leeches => {
                part.complete = true;
                self.line(who, "is complete: from now on it is a seed");
            }
            Report::Complete { .. } if you => {
                self.line(
                    who,
                    "are complete, and leave; the swarm goes on without you",
                );
            }
            Report::Warning { message, .. } if !you => {
                self.line(who, &format!("warns: {}", escaped(message)));
            }
            _ => {}
        }
    }

    fn announced(&mut self, announced: Announced) {
        let port = Some(announced.port);
        let Some(who) = self.parts.iter().position(|part| part.port == port) else {
            return; // another program on this computer
        };
        let part = &mut self.parts[who];
        part.last = Some(announced);
        if announced.event == AnnounceEvent::Started {
            part.listed = true;
            let others = match announced.named {
                0 => "nobody else yet".to_string(),
                named => count(named as u64, "other"),
            };
            self.line(who, &format!("asked the tracker who is there: {others}"));
        }
    }

    /// Tells what each peer downloaded and uploaded by its last announce.
    pub(super) fn sum_up(&mut self) {
        self.say("\nWhat each told the tracker on leaving:\n");
        self.say("                 has        took        gave");
        for (who, role) in self.scene.roles().enumerate() {
            let Some(last) = self.parts[who].last else {
                continue;
            };
            self.say(&format!(
                "  {:<8}{:>10}  {:>10}  {:>10}",
                role.name,
                size(self.total.saturating_sub(last.left)),
                size(last.downloaded),
                size(last.uploaded)
            ));
        }
    }

    /// The facts in the order in which they happened.
    pub(super) fn events(&mut self) -> Vec<Event> {
        let mut events = std::mem::take(&mut self.events);
        events.sort_by_key(|event| event.t);
        events
    }

    /// Says what the facts show, and what to learn from it.
    pub(super) fn end(&mut self, played: &Played) {
        if !self.scene.is_riddle() {
            self.say("\nWhat happened:\n");
            for line in Told::new(&played.events).lines(self.scene) {
                self.say(&format!("  {}", line.replace('\n', "\n  ")));
            }
        }
        self.say(&format!("\n{}", self.scene.lesson));
    }
}
