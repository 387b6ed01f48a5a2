//! What the checker found about pieces, and what follows: peers are told of those that are
//! right (HAVE, BEP 3), false ones are fetched again, and with the last one the torrent is
//! complete. Part of the [`Torrent`]; the engine brings the verdicts.

use super::peers::Peer;
use super::rate::Budgets;
use super::{Action, Phase, Torrent};
use crate::config::Afterwards;
use crate::layout::PieceIndex;
use crate::messages::{Command, Verdict};
use crate::report::Report;
use std::sync::Arc;
use std::time::Instant;

impl Torrent {
    /// What the checker found about finished pieces.
    pub fn on_verdicts(
        &mut self,
        verdicts: &[(PieceIndex, Verdict)],
        now: Instant,
        budgets: &mut Budgets,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        self.unchecked = self.unchecked.saturating_sub(verdicts.len());
        let good: Vec<PieceIndex> = verdicts
            .iter()
            .filter(|(piece, verdict)| *verdict == Verdict::Right && !self.content.have.has(*piece))
            .map(|(piece, _)| *piece)
            .collect();
        self.fetched |= !good.is_empty();
        for &piece in &good {
            self.picker.verified(piece);
            self.content.have.insert(piece);
            self.have_bytes += self.content.wanted_bytes_in(piece);
            if self.blame.is_open(piece) {
                actions.push(Action::HashBlocks(piece));
            }
        }
        if !good.is_empty() {
            self.spread(&good.into(), &mut actions);
        }
        for (piece, verdict) in verdicts {
            let moved = *verdict == Verdict::Moved && self.is_excused(*piece, &mut actions);
            match verdict {
                Verdict::Right => {}
                Verdict::Moved if moved => self.on_moved_piece(*piece, now, budgets, &mut actions),
                _ => self.on_bad_piece(*piece, now, budgets, &mut actions),
            }
        }
        self.check_complete(now, &mut actions);
        self.check_damaged(&mut actions);
        actions
    }

    /// Tells peers of new pieces, and loses interest in those who have nothing more.
    ///
    /// Only who said in its greeting that it has all is not told. A seed that is the first of
    /// its swarm may show its pieces one by one (BEP 16, super-seeding), and shows the next when
    /// it hears that the last one arrived: also of pieces that it has, and of the last of them.
    fn spread(&mut self, pieces: &Arc<[PieceIndex]>, actions: &mut Vec<Action>) {
        for (key, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.welcome) {
            let known = pieces.iter().filter(|piece| peer.have.has(**piece));
            peer.useful -= known.count() as u32;
            if !peer.came_whole {
                actions.push(Action::Send(*key, Command::Had(pieces.clone())));
            }
            if peer.useful == 0 && peer.wanted_since.take().is_some() {
                actions.push(Action::Send(*key, Command::Interest(false)));
            }
        }
    }

    /// The SHA-1 of each block of `piece`, bad or good: see [`blame`](super::blame).
    pub fn on_block_hashes(
        &mut self,
        piece: PieceIndex,
        blocks: &[[u8; 20]],
        now: Instant,
        budgets: &mut Budgets,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.blame.is_awaited(piece) {
            self.on_bad_blocks(piece, blocks, &mut actions);
            self.feed_hungry(now, budgets, &mut actions);
        } else if self.content.have.has(piece) {
            for liar in self.blame.judge(piece, blocks) {
                self.ban(liar, piece, &mut actions);
            }
        } // else it was had, and is lost since
        self.check_damaged(&mut actions);
        actions
    }

    /// Nothing is missing: then one more look at the disk, for what was verified may have been
    /// moved since. What was there at the start has just been looked at.
    pub(super) fn check_complete(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.phase == Phase::Downloading && self.picker.missing() == 0 {
            match self.fetched {
                false => self.complete(now, actions),
                true => self.survey(actions),
            }
        }
    }

    /// All that is wanted is there, if nothing is missing.
    pub(super) fn complete(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.phase != Phase::Downloading || self.picker.missing() > 0 {
            return;
        }
        self.completed = Some(now);
        self.phase = match self.setup.afterwards {
            Afterwards::Leave => Phase::Done,
            Afterwards::Seed { .. } => Phase::Seeding,
        };
        if self.left() == 0 {
            self.announcer.complete(now);
        }
        self.announce(now, actions);
        actions.push(Action::Complete);
        actions.push(Action::Tell(Report::Complete {
            info_hash: self.setup.info_hash,
            seconds: now.duration_since(self.setup.added).as_secs_f64(),
            downloaded_bytes: self.downloaded,
            uploaded_bytes: self.uploaded,
        }));
        // Two seeds have nothing to say to one another.
        let is_seed = |peer: &Peer| peer.have.is_full() || peer.web.is_some();
        let seeds = self.peers.iter().filter(|(_, peer)| is_seed(peer));
        actions.extend(seeds.map(|(key, _)| Action::HangUp(*key)));
    }
}
