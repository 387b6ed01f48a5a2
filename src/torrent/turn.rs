//! What main lends a [`Torrent`](super::Torrent) while it handles one event: the time, what all
//! torrents share, and a list for the actions that it decides on.

use super::Action;
use super::rate::Budgets;
use crate::layout::PieceIndex;
use crate::messages::Command;
use crate::report::Report;
use crate::trace::{Event, Fact, Witness};
use crate::types::{InfoHash, PeerKey};
use std::time::Instant;

/// Numbers for connections. No number is used twice in a run.
#[derive(Debug, Default)]
pub struct Keys(u32);

impl Keys {
    /// Returns the next number.
    pub fn take(&mut self) -> PeerKey {
        self.0 += 1;
        PeerKey(self.0)
    }

    /// Begins after the number `last`.
    #[cfg(test)]
    pub(crate) fn after(last: u32) -> Self {
        Self(last)
    }
}

/// What lasts for one event.
#[derive(Debug)]
pub struct Turn<'a> {
    /// When the event happens.
    pub now: Instant,
    /// The speed limits of the whole process.
    pub budgets: &'a mut Budgets,
    /// Numbers for new connections.
    pub keys: &'a mut Keys,
    /// The actions decided on so far, in order. The torrent adds to them and never reads them.
    actions: Vec<Action>,
    /// Who tells facts, and about which torrent, if somebody listens.
    witness: Option<(&'a Witness, InfoHash)>,
}

impl<'a> Turn<'a> {
    /// Begins a turn without actions.
    pub fn new(now: Instant, budgets: &'a mut Budgets, keys: &'a mut Keys) -> Self {
        Self {
            now,
            budgets,
            keys,
            actions: Vec::new(),
            witness: None,
        }
    }

    /// Adds the facts of `torrent` to the actions, as [`Report::Trace`], if there is a `witness`.
    pub fn traced(mut self, witness: Option<&'a Witness>, torrent: InfoHash) -> Self {
        self.witness = witness.map(|witness| (witness, torrent));
        self
    }

    /// Returns the actions decided on.
    pub fn done(self) -> Vec<Action> {
        self.actions
    }

    pub(super) fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(super) fn send(&mut self, key: PeerKey, command: Command) {
        self.push(Action::Send(key, command));
    }

    pub(super) fn is_traced(&self) -> bool {
        self.witness.is_some()
    }

    /// Returns the name of the client that tells the facts, if somebody listens.
    pub(super) fn node_name(&self) -> &'a str {
        self.witness.map_or("", |(witness, _)| &witness.name)
    }

    /// Tells a fact about the torrent or one connection, and perhaps a piece. The closure runs only
    /// if somebody listens.
    pub(super) fn tell(
        &mut self,
        peer: impl Into<Option<PeerKey>>,
        piece: impl Into<Option<PieceIndex>>,
        fact: impl FnOnce() -> Fact,
    ) {
        let Some((witness, torrent)) = self.witness else {
            return;
        };
        self.push(Action::Tell(Report::Trace(Event {
            t: self.now.duration_since(witness.start),
            node: witness.node,
            torrent: Some(torrent),
            peer: peer.into(),
            piece: piece.into().map(PieceIndex::get),
            fact: fact(),
        })));
    }

    /// Tells the user something that only `-v` shows, and that is no fact.
    pub(super) fn remark(&mut self, text: String) {
        self.push(Action::Tell(Report::Remark(text)));
    }

    pub(super) fn warn(&mut self, info_hash: InfoHash, message: String) {
        let info_hash = Some(info_hash);
        self.push(Action::Tell(Report::Warning { info_hash, message }));
    }
}

#[cfg(test)]
mod tests {
    use super::super::rate::Budget;
    use super::*;

    /// Tells a fact. Returns the actions, and whether the fact was made.
    fn told(witness: Option<&Witness>) -> (Vec<Action>, bool) {
        let now = Instant::now();
        let (mut keys, mut made) = (Keys::default(), false);
        let mut budgets = Budgets {
            down: Budget::new(0, now),
            up: Budget::new(0, now),
        };
        let turn = Turn::new(now, &mut budgets, &mut keys);
        let mut turn = turn.traced(witness, InfoHash([7; 20]));
        turn.tell(PeerKey(3), None, || {
            made = true;
            Fact::Snubbed
        });
        (turn.done(), made)
    }

    #[test]
    fn a_fact_is_made_only_for_a_listener() {
        assert_eq!(told(None), (Vec::new(), false));
        let witness = Witness::only(Instant::now());
        let (actions, made) = told(Some(&witness));
        let [Action::Tell(Report::Trace(event))] = &actions[..] else {
            panic!("{actions:?}");
        };
        assert!(made && event.fact == Fact::Snubbed);
        assert_eq!((event.peer, event.node), (Some(PeerKey(3)), 0));
        assert_eq!(event.torrent, Some(InfoHash([7; 20])));
    }
}
