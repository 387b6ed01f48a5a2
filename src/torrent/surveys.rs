//! Whether everything is still on the disk.
//!
//! Users may remove, move or change files while we write to them. So the checker's thread
//! ([`crate::checker`]) looks at the disk before a torrent is called complete, and whenever a
//! stored block is not where it was. This file decides when, and what follows.

use super::facts::interest;
use super::{Action, Torrent, Turn};
use crate::human::count;
use crate::layout::PieceIndex;
use crate::messages::{Command, Surveyed};
use crate::report::Report;
use crate::trace::Side;
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct Disk {
    /// How many pieces the checker still has to answer for.
    pub(super) unchecked: usize,
    pub(super) fetched: bool,
    /// How many pieces we had when a look at all files was asked for, until the answer is here.
    asked: Option<u32>,
    /// Pieces whose blocks were not where they were stored. The first time, nobody is blamed.
    excused: BTreeSet<PieceIndex>,
    /// Files of which an earlier look found something lost.
    lost_before: BTreeSet<usize>,
}

impl Disk {
    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }
}

impl Torrent {
    /// Asks for a look at all files, unless one is under way.
    pub(super) fn survey(&mut self, turn: &mut Turn<'_>) {
        if !self.disk.is_asked() && self.goals.leaving().is_none() {
            self.disk.asked = Some(self.content.have.count());
            turn.push(Action::Survey(self.content.have.clone()));
        }
    }

    /// Returns true for the first time that blocks of `piece` are not where they were stored:
    /// somebody moved the file. A second time is suspicious.
    pub(super) fn is_excused(&mut self, piece: PieceIndex, turn: &mut Turn<'_>) -> bool {
        let excused = self.disk.excused.insert(piece);
        if excused {
            self.survey(turn);
        }
        excused
    }

    /// The look at all files is over.
    pub fn on_surveyed(&mut self, surveyed: &Surveyed, turn: &mut Turn<'_>) {
        let asked = self.disk.asked.take();
        if !surveyed.changed.is_empty() {
            self.on_changed(surveyed, turn);
        }
        if surveyed.lost.is_empty() && asked == Some(self.content.have.count()) {
            self.complete(turn);
        }
        self.check_complete(turn);
        self.feed_hungry(turn);
    }

    /// Files are not as we left them. What is lost must be fetched again.
    fn on_changed(&mut self, Surveyed { changed, lost }: &Surveyed, turn: &mut Turn<'_>) {
        for piece in lost {
            if self.content.have.remove(*piece) {
                self.have_bytes -= self.content.wanted_bytes_in(*piece);
                self.picker.lost(*piece);
            }
        }
        let layout = Arc::clone(&self.content.layout);
        let files = changed.iter().map(|(file, _)| layout.pieces_of_file(*file));
        let forgotten = self.picker.unsettle(files.flatten()) + lost.len() as u64;
        self.goals.lose(forgotten);
        let gone: Arc<[PieceIndex]> = lost.as_slice().into();
        for key in self.peers.web_seeds.keys() {
            turn.send(*key, Command::Moved(gone.clone()));
        }
        for (key, peer) in self.peers.welcome_mut() {
            turn.send(key, Command::Moved(gone.clone()));
            peer.useful += lost
                .iter()
                .filter(|piece| peer.fetcher.have.has(**piece))
                .count() as u32;
            if peer.wanted_since.is_none() && peer.useful > 0 {
                peer.wanted_since = Some(turn.now);
                turn.send(key, Command::Interest(true));
                turn.tell(key, None, || interest(Side::Us, true));
            }
        }
        let paths = changed.iter().map(|(_, path)| path.as_str());
        let paths = paths.take(3).collect::<Vec<_>>().join(", ");
        let paths = match changed.len().saturating_sub(3) {
            0 => paths,
            more => format!("{paths} and {}", count(more as u64, "more file")),
        };
        if lost.is_empty() {
            let text = format!("another file than before, with the right data: {paths}");
            return turn.remark(text);
        }
        let again = changed
            .iter()
            .find(|(file, _)| self.disk.lost_before.contains(file));
        if let Some((_, path)) = again {
            return turn.push(Action::Fail(format!(
                "{path} was moved, removed or changed again while storrent was writing to it; stop \
                 what does that, then run the same command again"
            )));
        }
        self.disk
            .lost_before
            .extend(changed.iter().map(|(file, _)| *file));
        turn.push(Action::Tell(Report::Warning {
            info_hash: Some(self.setup.info_hash),
            message: format!(
                "moved, removed or changed while storrent was writing to it: {paths}; {} fetched again",
                match lost.len() {
                    1 => "1 piece is".to_owned(),
                    n => format!("{n} pieces are"),
                }
            ),
        }));
    }

    /// A block that we have is not on the disk, so more may be lost.
    pub(super) fn on_missing(&mut self, error: String, turn: &mut Turn<'_>) {
        match self.goals.is_downloading() {
            true => self.survey(turn),
            false => turn.push(Action::Fail(error)),
        }
    }
}
