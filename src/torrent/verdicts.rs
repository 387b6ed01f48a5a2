//! What follows when the checker has hashed pieces.
//!
//! Peers hear about right pieces (HAVE, [BEP 3]), false pieces are fetched again, and the last
//! wanted piece completes the torrent.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use super::facts::interest;
use super::fetcher::Parting;
use super::{Action, Phase, Torrent, Turn};
use crate::layout::PieceIndex;
use crate::messages::{Command, Verdict};
use crate::report::Report;
use crate::trace::{Ban, Fact, Side};
use std::sync::Arc;

impl Torrent {
    /// The checker has looked at finished pieces.
    pub fn on_verdicts(&mut self, verdicts: &[(PieceIndex, Verdict)], turn: &mut Turn<'_>) {
        self.disk.unchecked = self.disk.unchecked.saturating_sub(verdicts.len());
        let good: Vec<PieceIndex> = verdicts
            .iter()
            .filter(|(piece, verdict)| *verdict == Verdict::Right && !self.content.have.has(*piece))
            .map(|(piece, _)| *piece)
            .collect();
        self.disk.fetched |= !good.is_empty();
        for &piece in &good {
            turn.tell(None, piece, || Fact::Verified {
                givers: self.picker.givers(piece),
            });
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

    /// Tells the peers about new pieces, and loses interest in peers that have nothing more for us.
    ///
    /// A peer that said in its first message that it has all pieces is not told. Any other peer is
    /// told about every piece, even one that it has: the first seed of a swarm may show its pieces
    /// one by one (BEP 16, super-seeding), and shows the next only when it hears that the last one
    /// arrived.
    fn spread(&mut self, pieces: &Arc<[PieceIndex]>, turn: &mut Turn<'_>) {
        for (key, peer) in self.peers.welcome_mut() {
            let known = pieces.iter().filter(|piece| peer.fetcher.have.has(**piece));
            peer.useful -= known.count() as u32;
            if !peer.came_whole {
                turn.send(key, Command::Had(pieces.clone()));
            }
            if peer.useful == 0 && peer.wanted_since.take().is_some() {
                turn.send(key, Command::Interest(false));
                turn.tell(key, None, || interest(Side::Us, false));
            }
        }
    }

    /// The checker has hashed each block of `piece`, which is right or false: see
    /// [`blame`](super::blame).
    pub fn on_block_hashes(&mut self, piece: PieceIndex, blocks: &[[u8; 20]], turn: &mut Turn<'_>) {
        if self.blame.is_awaited(piece) {
            self.on_bad_blocks(piece, blocks, turn);
            self.feed_hungry(turn);
        } else if self.content.have.has(piece) {
            for (liar, lies) in self.blame.judge(piece, blocks) {
                self.ban(liar, piece, Ban::FalseBlocks, &lies, turn);
            }
        } // else the piece was right, and is lost since
        self.check_damaged(turn);
    }

    /// Completes the torrent if nothing is missing. If pieces were fetched in this run, first has
    /// the disk looked at: somebody may have moved files since. Otherwise the check at the start
    /// has just looked.
    pub(super) fn check_complete(&mut self, turn: &mut Turn<'_>) {
        if self.goals.is_downloading() && self.picker.missing() == 0 {
            match self.disk.fetched {
                false => self.complete(turn),
                true => self.survey(turn),
            }
        }
    }

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
        turn.tell(None, None, || Fact::Complete);
        turn.push(Action::Tell(Report::Complete {
            info_hash: self.setup.info_hash,
            seconds: turn.now.duration_since(self.setup.added).as_secs_f64(),
            downloaded_bytes: self.traffic.downloaded,
            uploaded_bytes: self.traffic.uploaded,
            twice_bytes: self.traffic.downloaded.saturating_sub(self.traffic.needed),
            givers: self.givers().most(),
        }));
        // Two seeds have nothing to give each other.
        let seeds = self.peers.iter_mut();
        for (key, peer) in seeds.filter(|(_, peer)| peer.fetcher.have.is_full()) {
            peer.fetcher.part(*key, Parting::BothSeeds, turn);
        }
        for (key, seed) in &mut self.peers.web_seeds {
            seed.fetcher.part(*key, Parting::Complete, turn);
        }
        if self.goals.phase() == Phase::Done {
            turn.push(Action::Done);
        }
    }
}
