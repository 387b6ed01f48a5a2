//! The facts that need some gathering, for those who read the [`trace`](crate::trace) of a run.
//! Most facts are told where they are decided, with [`Turn::tell`].

use super::fetcher::Fetcher;
use super::{Torrent, Turn};
use crate::choker::Candidate;
use crate::layout::Span;
use crate::messages::End;
use crate::picker::{Granted, Taken};
use crate::trace::{About, Fact, GivenBack, Side, Unchoke};
use crate::types::PeerKey;

pub(super) fn choking(who: Side, chokes: bool, why: Option<Unchoke>) -> Fact {
    match chokes {
        true => Fact::Choked { who },
        false => Fact::Unchoked { who, why },
    }
}

pub(super) fn interest(who: Side, wants: bool) -> Fact {
    match wants {
        true => Fact::Interested { who },
        false => Fact::Uninterested { who },
    }
}

/// A connection ended that took `up` bytes.
pub(super) fn closed(its: &Fetcher, end: &End, up: u64) -> Fact {
    let why = its.parting.map(|parting| parting.to_string());
    Fact::Closed {
        why: why.unwrap_or_else(|| end.text.clone()),
        down: its.gave,
        up,
    }
}

pub(super) fn tell_work(key: PeerKey, granted: &Granted, taken: &Taken, turn: &mut Turn<'_>) {
    for (span, why) in granted.spans.iter().zip(&granted.why) {
        let (numbers, why) = (span.numbers(), *why);
        let (from, to) = (numbers.start, numbers.end);
        turn.tell(key, span.piece(), || Fact::Granted { from, to, why });
    }
    let moved = taken.moved.iter().map(|lost| (lost, false));
    let shared = taken.shared.iter().map(|lost| (lost, true));
    for ((loser, span), too) in moved.chain(shared) {
        let (numbers, by) = (span.numbers(), key);
        let (from, to) = (numbers.start, numbers.end);
        let fact = || Fact::TakenOver { by, from, to, too };
        turn.tell(*loser, span.piece(), fact);
    }
}

impl Torrent {
    pub(super) fn tell_content(&self, turn: &mut Turn<'_>) {
        let (content, layout) = (&self.content, &self.content.layout);
        let name = turn.node_name();
        turn.tell(None, None, || {
            Fact::Torrent(Box::new(About {
                name: content.name.clone(),
                total_bytes: layout.total(),
                piece_length: layout.piece_length(),
                pieces: layout.pieces(),
                files: (0..layout.files())
                    .filter(|file| !layout.is_pad(*file))
                    .count(),
                have: content.have.as_bytes().to_vec(),
                peer_id: self.setup.peer_id,
                node_name: name.to_string(),
            }))
        });
    }

    /// Tells once a second how the work of each connection goes, and what it took.
    pub(super) fn tell_flow(&mut self, turn: &mut Turn<'_>) {
        if !turn.is_traced() {
            return;
        }
        for (key, its) in self.peers.fetchers() {
            let on_order = self.picker.leased(key) as u32;
            let rate = its.down.get(turn.now) as u64;
            if on_order > 0 || rate > 0 {
                turn.tell(key, None, || Fact::Window {
                    blocks: its.window,
                    on_order,
                    rate,
                });
            }
        }
        for (key, peer) in self.peers.iter_mut() {
            let bytes = peer.took - std::mem::replace(&mut peer.told, peer.took);
            if bytes > 0 {
                turn.tell(*key, None, || Fact::Gave { bytes });
            }
        }
    }

    /// Tells the end of all connections that have not ended: the run is over and does not wait for
    /// them.
    pub fn tell_ends(&self, turn: &mut Turn<'_>) {
        let took = |key| self.peers.get(&key).map_or(0, |peer| peer.took);
        let end = End::from("we leave");
        for (key, its) in self.peers.fetchers() {
            turn.tell(key, None, || closed(its, &end, took(key)));
        }
    }

    pub(super) fn tell_round(&self, candidates: &[Candidate], turn: &mut Turn<'_>) {
        let (slots, now) = (self.slots(turn.now), turn.now);
        let seeding = !self.goals.is_downloading();
        turn.tell(None, None, || {
            let mut wanting: Vec<&Candidate> = candidates.iter().filter(|c| c.interested).collect();
            wanting.sort_by_key(|candidate| candidate.rank());
            let rate = |key| self.peers.get(&key).map_or(0, |p| p.rate(seeding, now));
            let served = self.peers.welcome().filter(|(_, peer)| !peer.we_choke);
            Fact::Round {
                unchoked: served.map(|(key, _)| key).collect(),
                optimistic: self.choker.optimistic(),
                wanting: wanting.iter().map(|c| (c.peer, rate(c.peer))).collect(),
                slots,
                seeding,
            }
        });
    }

    /// Tells which blocks, of those that `key` has on order, are stored.
    pub(super) fn tell_stored(&self, key: PeerKey, spans: &[Span], turn: &mut Turn<'_>) {
        self.tell_ended(key, spans, turn, |from, to| Fact::Stored { from, to });
    }

    /// Tells which blocks, of those that `key` has on order, it will not send.
    pub(super) fn tell_given_back(
        &self,
        key: PeerKey,
        spans: &[Span],
        why: GivenBack,
        turn: &mut Turn<'_>,
    ) {
        let fact = |from, to| Fact::GivenBack { from, to, why };
        self.tell_ended(key, spans, turn, fact);
    }

    fn tell_ended(
        &self,
        key: PeerKey,
        spans: &[Span],
        turn: &mut Turn<'_>,
        fact: impl Fn(u32, u32) -> Fact,
    ) {
        if !turn.is_traced() {
            return;
        }
        for span in spans.iter().flat_map(|span| self.picker.held(key, *span)) {
            let numbers = span.numbers();
            turn.tell(key, span.piece(), || fact(numbers.start, numbers.end));
        }
    }
}
