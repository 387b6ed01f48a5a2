//! What the checker found about pieces, and what follows: peers are told of those that are
//! right (HAVE, BEP 3), false ones are fetched again, and with the last one the torrent is
//! complete. Part of the [`Torrent`]; the engine brings the verdicts.

use super::{Action, Phase, Torrent, Turn};
use crate::layout::PieceIndex;
use crate::messages::{Command, Verdict};
use crate::report::Report;
use std::sync::Arc;

impl Torrent {
    /// What the checker found about finished pieces.
    pub fn on_verdicts(&mut self, verdicts: &[(PieceIndex, Verdict)], turn: &mut Turn<'_>) {
        self.disk.unchecked = self.disk.unchecked.saturating_sub(verdicts.len());
        let good: Vec<PieceIndex> = verdicts
            .iter()
            .filter(|(piece, verdict)| *verdict == Verdict::Right && !self.content.have.has(*piece))
            .map(|(piece, _)| *piece)
            .collect();
        self.disk.fetched |= !good.is_empty();
        for &piece in &good {
            self.picker.verified(piece);
            self.content.have.insert(piece);
            self.have_bytes += self.content.wanted_bytes_in(piece);
            if self.blame.is_open(piece) {
                turn.push(Action::HashBlocks(piece));
            }
        }
        if !good.is_empty() {
            self.spread(&good.into(), turn);
        }
        for (piece, verdict) in verdicts {
            let moved = *verdict == Verdict::Moved && self.is_excused(*piece, turn);
            match verdict {
                Verdict::Right => {}
                Verdict::Moved if moved => self.on_moved_piece(*piece, turn),
                _ => self.on_bad_piece(*piece, turn),
            }
        }
        self.check_complete(turn);
        self.check_damaged(turn);
    }

    /// Tells peers of new pieces, and loses interest in those who have nothing more.
    ///
    /// Only who said in its greeting that it has all is not told. A seed that is the first of
    /// its swarm may show its pieces one by one (BEP 16, super-seeding), and shows the next when
    /// it hears that the last one arrived: also of pieces that it has, and of the last of them.
    fn spread(&mut self, pieces: &Arc<[PieceIndex]>, turn: &mut Turn<'_>) {
        for (key, peer) in self.peers.welcome_mut() {
            let known = pieces.iter().filter(|piece| peer.fetcher.have.has(**piece));
            peer.useful -= known.count() as u32;
            if !peer.came_whole {
                turn.send(key, Command::Had(pieces.clone()));
            }
            if peer.useful == 0 && peer.wanted_since.take().is_some() {
                turn.send(key, Command::Interest(false));
            }
        }
    }

    /// The SHA-1 of each block of `piece`, bad or good: see [`blame`](super::blame).
    pub fn on_block_hashes(&mut self, piece: PieceIndex, blocks: &[[u8; 20]], turn: &mut Turn<'_>) {
        if self.blame.is_awaited(piece) {
            self.on_bad_blocks(piece, blocks, turn);
            self.feed_hungry(turn);
        } else if self.content.have.has(piece) {
            for liar in self.blame.judge(piece, blocks) {
                self.ban(liar, piece, turn);
            }
        } // else it was had, and is lost since
        self.check_damaged(turn);
    }

    /// Nothing is missing: then one more look at the disk, for what was verified may have been
    /// moved since. What was there at the start has just been looked at.
    pub(super) fn check_complete(&mut self, turn: &mut Turn<'_>) {
        if self.goals.is_downloading() && self.picker.missing() == 0 {
            match self.disk.fetched {
                false => self.complete(turn),
                true => self.survey(turn),
            }
        }
    }

    /// All that is wanted is there, if nothing is missing.
    pub(super) fn complete(&mut self, turn: &mut Turn<'_>) {
        if !self.goals.is_downloading() || self.picker.missing() > 0 {
            return;
        }
        self.goals.complete(self.setup.afterwards, turn.now);
        if self.left() == 0 {
            self.announcer.complete(turn.now);
        }
        self.announce(turn);
        turn.push(Action::Complete);
        turn.push(Action::Tell(Report::Complete {
            info_hash: self.setup.info_hash,
            seconds: turn.now.duration_since(self.setup.added).as_secs_f64(),
            downloaded_bytes: self.traffic.downloaded,
            uploaded_bytes: self.traffic.uploaded,
        }));
        // Two seeds have nothing to say to one another.
        let seeds = self.peers.iter();
        let seeds = seeds.filter(|(_, peer)| peer.fetcher.have.is_full());
        let seeds = seeds.map(|(key, _)| key);
        let all = seeds.chain(self.peers.web_seeds.keys());
        all.for_each(|key| turn.hang_up(*key));
        if self.goals.phase() == Phase::Done {
            turn.push(Action::Done);
        }
    }
}
