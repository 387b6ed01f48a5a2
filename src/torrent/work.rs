//! Gives work to peers and web seeds, hears what became of it, and shares out the upload limit.
//!
//! The [`Picker`](crate::picker::Picker) knows which blocks are left. This file decides when to ask
//! it, and acts on its answers. Part of the [`Torrent`], for the events of connections' threads and
//! for the tick.

use super::blame::{Giver, Who};
use super::{Action, Torrent, Turn};
use crate::layout::{BLOCK_LEN, PieceIndex, Span, spans_of};
use crate::messages::Command;
use crate::picker::{Outcome, Rivals};
use crate::types::PeerKey;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// A snapshot of every busy connection's pace, taken lazily and shared by all that are served in
/// this turn. A take-over makes it stale.
pub(super) type Look = OnceCell<Rivals>;

/// The pause before connections without work look again for work that they could take over. Little
/// changes within 10 ms, but at the end of a download with a hundred peers thousands of events
/// come.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Torrent {
    /// Gives a peer or web seed work, if it wants some and there is some. Returns whether it got
    /// any. With a `look` at the others it may take over blocks that they have on order.
    pub(super) fn serve(
        &mut self,
        key: PeerKey,
        look: Option<&mut Look>,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some(who) = self.peers.who(key) else {
            return false;
        };
        let fetcher = self.peers.fetcher_mut(key);
        let Some(fetcher) = fetcher.filter(|its| its.wants > 0 && its.cancels == 0) else {
            return false;
        };
        let block = u64::from(BLOCK_LEN);
        let affordable = turn.budgets.down.available(turn.now) / block;
        let most = u32::try_from(affordable)
            .unwrap_or(u32::MAX)
            .min(fetcher.wants);
        let mut spans = match who {
            Who::Peer { .. } => self.picker.pick(key, &fetcher.have, most),
            Who::WebSeed(_) => self.picker.pick_run(key, &fetcher.have, most),
        };
        if let Some(look) = look.filter(|_| spans.is_empty() && most > 0) {
            let rivals = look.get_or_init(|| {
                let fetchers = self.peers.fetchers();
                let paces = fetchers.filter_map(|(key, its)| Some((key, its.pace(turn.now)?)));
                self.picker.rivals(paces.collect())
            });
            let Some(fetcher) = self.peers.fetcher_mut(key) else {
                return false;
            };
            let (taken, cancel) = self.picker.take_over(key, &fetcher.have, most, rivals);
            if !taken.is_empty() {
                look.take();
            }
            spans = taken;
            self.cancel(cancel, turn);
        }
        let blocks: u32 = spans.iter().map(|span| span.count()).sum();
        let Some(fetcher) = self.peers.fetcher_mut(key).filter(|_| blocks > 0) else {
            return false;
        };
        turn.budgets.down.spend(u64::from(blocks) * block);
        fetcher.wants = 0;
        fetcher.first_asked.get_or_insert(turn.now);
        fetcher.down.begin(turn.now);
        turn.send(key, Command::Fetch(spans));
        true
    }

    /// Some work may have come free: offers it to everybody who wants some.
    pub(super) fn feed_hungry(&mut self, turn: &mut Turn<'_>) {
        let hungry = self.peers.fetchers().filter(|(_, its)| its.wants > 0);
        let mut hungry: Vec<PeerKey> = hungry.map(|(key, _)| key).collect();
        hungry.sort_unstable();
        let mut look = (turn.now >= self.due.look).then(Look::new);
        if hungry.is_empty() || look.is_none() && self.picker.all_granted() {
            return;
        }
        if look.is_some() {
            self.due.look = turn.now + LOOK_EVERY;
        }
        for key in hungry {
            self.serve(key, look.as_mut(), turn);
        }
    }

    pub(super) fn on_stored(&mut self, key: PeerKey, spans: &[Span], turn: &mut Turn<'_>) {
        let blocks: u64 = spans.iter().map(|span| u64::from(span.count())).sum();
        if let Some(fetcher) = self.peers.fetcher_mut(key) {
            fetcher.gave += blocks * u64::from(BLOCK_LEN);
            fetcher.down.add(blocks * u64::from(BLOCK_LEN), turn.now);
            fetcher.snubbed = false;
        }
        if let Some(who) = self.peers.who(key) {
            self.blame.gave(Giver { key, who });
        }
        self.goals.store(blocks, turn.now);
        let mut all = Outcome::default();
        for span in spans {
            let outcome = self.picker.stored(key, *span);
            all.cancel.extend(outcome.cancel);
            all.ready.extend(outcome.ready);
        }
        self.cancel(all.cancel, turn);
        self.verify(all.ready, turn);
    }

    /// A connection's thread will not write these blocks any more.
    pub(super) fn on_released(&mut self, key: PeerKey, spans: &[Span], turn: &mut Turn<'_>) {
        let released = |span: &Span| self.picker.released(key, *span);
        let ready = spans.iter().filter_map(released).collect();
        self.verify(ready, turn);
        self.feed_hungry(turn);
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
        for key in waiting {
            let Some(peer) = self.peers.get_mut(&key) else {
                continue;
            };
            let bytes = turn.budgets.up.available(turn.now).min(peer.wants_upload);
            // A part of a block is of no use to anybody.
            if bytes < peer.wants_upload.min(u64::from(BLOCK_LEN)) {
                break;
            }
            peer.wants_upload = 0;
            turn.budgets.up.spend(bytes);
            turn.send(key, Command::MayUpload(bytes));
        }
    }
}
