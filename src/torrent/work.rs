//! Gives work to peers and web seeds, hears what became of it, and shares out the upload limit.
//!
//! The [`Picker`](crate::picker::Picker) knows which blocks are left. This file decides when to ask
//! it, and acts on its answers.

use super::blame::{Giver, Who};
use super::facts::tell_work;
use super::fetcher::Fetcher;
use super::{Action, Torrent, Turn};
use crate::layout::{PieceIndex, Span, spans_of};
use crate::messages::Command;
use crate::picker::{self, Granted, Outcome, Rivals};
use crate::pipeline::FIRST_WINDOW;
use crate::trace::{Fact, GivenBack};
use crate::types::PeerKey;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long after it connected a peer that chokes us still counts as one that may give. Until a
/// peer is older, addresses that we may yet dial count, too.
const BEGINNING: Duration = Duration::from_secs(2);

/// A fetcher that stores a block and has at most this many left on order gets new work at once.
const NEARLY_DONE: usize = 1;

/// While [seeds are scarce](crate::picker::Picker::seeds_are_scarce), a seed has blocks on order
/// for no more than this many seconds. Usually it has them for 2 to 4 s, but in that time other
/// leeches order the same ones, and the seed sends them twice.
const CROWDED: f64 = 1.0;

impl Torrent {
    /// Gives a peer or web seed work, if it wants some and there is some. Returns whether it got
    /// any. A peer has no more on order than its share of the missing blocks. A fetcher that has
    /// almost nothing on order may take over what others have.
    pub(super) fn serve(&mut self, key: PeerKey, turn: &mut Turn<'_>) -> bool {
        let Some(who) = self.peers.who(key) else {
            return false;
        };
        let wants = |its: &&mut Fetcher| its.wants > 0 && its.cancels == 0;
        if self.peers.fetcher_mut(key).filter(wants).is_none() {
            return false;
        }
        let mut rivals = self.look(turn.now);
        let Some(fetcher) = self.peers.fetcher_mut(key) else {
            return false;
        };
        let block_len = u64::from(self.content.layout.block_len());
        let affordable = turn.budgets.down.available(turn.now) / block_len;
        let most = u32::try_from(affordable)
            .unwrap_or(u32::MAX)
            .min(fetcher.wants);
        let leased = self.picker.leased(key) as u32;
        let have = &fetcher.have;
        let mut share = rivals.share(key);
        if have.is_full() && self.picker.seeds_are_scarce() {
            let pace = fetcher.pace.get(turn.now);
            let soon = pace.map_or(*FIRST_WINDOW.start(), |pace| (CROWDED / pace) as u32);
            share = share.min(soon.max(1));
        }
        let share = share.saturating_sub(leased);
        let endgame = !turn.is_traced() || self.picker.all_granted();
        let mut taken = self.picker.hurry(key, have, most, &rivals, turn.now);
        let granted = match who {
            _ if !taken.spans.is_empty() => Granted::default(),
            Who::Peer { .. } => self.picker.pick(key, have, most.min(share)),
            // Each request to a web seed costs a round trip, so it gets long runs.
            Who::WebSeed(_) => self.picker.pick_run(key, have, most),
        };
        let has_none = granted.is_empty() && taken.spans.is_empty();
        let dry = has_none && most > 0 && leased <= rivals.least(key);
        if dry && self.setup.rules.take_over {
            let most = most.min(share.max(1));
            taken = self.picker.take_over(key, have, most, &mut rivals);
        }
        tell_work(key, &granted, &taken, turn);
        self.cancel(taken.moved, turn);
        let spans = [granted.spans, taken.spans].concat(); // one of the two is empty
        self.picker.seen = Some(rivals);
        let Some(fetcher) = self.peers.fetcher_mut(key).filter(|_| !spans.is_empty()) else {
            return false;
        };
        let layout = &self.content.layout;
        let blocks = spans.iter().flat_map(|span| layout.blocks_of(*span));
        let bytes = blocks.map(|block| u64::from(block.len())).sum();
        turn.budgets.down.spend(bytes);
        fetcher.wants = 0;
        fetcher.pace.asked(turn.now);
        fetcher.down.begin(turn.now);
        turn.send(key, Command::Fetch(spans));
        if !endgame && self.picker.all_granted() {
            turn.tell(None, None, || Fact::Endgame);
        }
        true
    }

    /// Returns the pace and load of all fetchers. It may be a moment old: see [`Rivals::is_old`].
    fn look(&mut self, now: Instant) -> Rivals {
        if let Some(rivals) = self.picker.seen.take().filter(|rivals| !rivals.is_old(now)) {
            return rivals;
        }
        let young = |since: Instant| now.duration_since(since) < BEGINNING;
        let may_give = |key: &PeerKey| {
            self.peers.get(key).is_none_or(|peer| {
                let asked = !peer.peer_chokes && peer.wanted_since.is_some();
                peer.welcome && (asked || young(peer.since))
            })
        };
        let fetchers = self.peers.fetchers().filter(|(key, _)| may_give(key));
        let givers = fetchers.map(|(key, its)| picker::Giver {
            peer: key,
            pace: its.pace.get(now).filter(|_| !its.snubbed),
            least: match its.snubbed {
                true => f64::INFINITY,
                false => its.pace.least(now),
            },
            idle: its.wants > 0 && self.picker.leased(key) == 0,
        });
        let givers: Vec<picker::Giver> = givers.collect();
        let begun = self.peers.welcome().any(|(_, peer)| !young(peer.since));
        let expected = if begun {
            0
        } else {
            let dialled = self.peers.values().filter(|peer| !peer.welcome).count();
            let room = self.setup.max_peers.saturating_sub(self.peers.len());
            dialled + room.min(self.swarm.untried(now))
        };
        self.picker.rivals(&givers, expected, now)
    }

    /// Some work may have come free: offers it to all that want some.
    pub(super) fn feed_hungry(&mut self, turn: &mut Turn<'_>) {
        let hungry = self.peers.fetchers().filter(|(_, its)| its.wants > 0);
        let mut hungry: Vec<PeerKey> = hungry.map(|(key, _)| key).collect();
        hungry.sort_unstable();
        for key in hungry {
            self.serve(key, turn);
        }
    }

    pub(super) fn on_stored(&mut self, key: PeerKey, spans: &[Span], turn: &mut Turn<'_>) {
        let blocks: u64 = spans.iter().map(|span| u64::from(span.count())).sum();
        let each = spans
            .iter()
            .flat_map(|span| self.content.layout.blocks_of(*span));
        let bytes = each.map(|block| u64::from(block.len())).sum();
        if let Some(fetcher) = self.peers.fetcher_mut(key) {
            fetcher.gave += bytes;
            fetcher.down.add(bytes, turn.now);
            fetcher.snubbed = false;
        }
        if let Some(who) = self.peers.who(key) {
            self.blame.gave(Giver { key, who });
        }
        self.goals.store(blocks, turn.now);
        self.tell_stored(key, spans, turn);
        let mut all = Outcome::default();
        for span in spans {
            let outcome = self.picker.stored(key, *span);
            all.cancel.extend(outcome.cancel);
            all.ready.extend(outcome.ready);
        }
        let left = self.picker.leased(key);
        if let Some(fetcher) = self.peers.fetcher_mut(key) {
            fetcher.pace.came(blocks, left > 0, turn.now);
        }
        self.cancel(all.cancel, turn);
        self.verify(all.ready, turn);
        if left <= NEARLY_DONE {
            self.serve(key, turn);
        }
    }

    /// A connection's thread will not write these blocks any more.
    pub(super) fn on_given_back(
        &mut self,
        key: PeerKey,
        spans: &[Span],
        why: GivenBack,
        turn: &mut Turn<'_>,
    ) {
        self.tell_given_back(key, spans, why, turn);
        let released = |span: &Span| self.picker.released(key, *span);
        let ready = spans.iter().filter_map(released).collect();
        self.verify(ready, turn);
        if self.picker.leased(key) == 0
            && let Some(fetcher) = self.peers.fetcher_mut(key)
        {
            fetcher.pace.stopped(turn.now);
        }
    }

    /// Cancels blocks that others have sent or taken over. Each connection gets one command.
    fn cancel(&mut self, cancels: Vec<(PeerKey, Span)>, turn: &mut Turn<'_>) {
        let mut blocks: BTreeMap<PeerKey, Vec<(PieceIndex, u32)>> = BTreeMap::new();
        for (peer, span) in cancels {
            let numbers = span.numbers().map(|number| (span.piece(), number));
            blocks.entry(peer).or_default().extend(numbers);
        }
        for (key, blocks) in blocks {
            if let Some(fetcher) = self.peers.fetcher_mut(key) {
                fetcher.cancels += 1;
                turn.send(key, Command::Cancel(spans_of(blocks)));
            }
        }
    }

    pub(super) fn verify(&mut self, mut ready: Vec<PieceIndex>, turn: &mut Turn<'_>) {
        ready.sort_unstable();
        ready.dedup();
        if !ready.is_empty() {
            self.disk.unchecked += ready.len();
            let hurry = self.awaits_verdicts();
            turn.push(Action::Verify {
                pieces: ready,
                hurry,
            });
        }
    }

    /// Under an upload limit, lets waiting peers send, in random order, as far as the budget
    /// reaches.
    pub(super) fn feed_uploads(&mut self, turn: &mut Turn<'_>) {
        let waiting = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.wants_upload > 0)
            .map(|(key, _)| *key);
        let mut waiting: Vec<PeerKey> = waiting.collect();
        self.rng.shuffle(&mut waiting);
        let block_len = u64::from(self.content.layout.block_len());
        for key in waiting {
            let Some(peer) = self.peers.get_mut(&key) else {
                continue;
            };
            let bytes = turn.budgets.up.available(turn.now).min(peer.wants_upload);
            // Nobody can use a part of a block.
            if bytes < peer.wants_upload.min(block_len) {
                break;
            }
            peer.wants_upload = 0;
            turn.budgets.up.spend(bytes);
            turn.send(key, Command::MayUpload(bytes));
        }
    }
}
