//! What main lends a [`Torrent`](super::Torrent) for the time of one event: the time, what all
//! torrents share, and a list for what is to be done.

use super::Action;
use super::rate::Budgets;
use crate::messages::Command;
use crate::report::Report;
use crate::types::{InfoHash, PeerKey};
use std::time::Instant;

/// Numbers for connections: none is given twice in a run.
#[derive(Debug, Default)]
pub struct Keys(u32);

impl Keys {
    /// The next number.
    pub fn take(&mut self) -> PeerKey {
        self.0 += 1;
        PeerKey(self.0)
    }

    /// Numbers from here on.
    #[cfg(test)]
    pub(crate) fn after(last: u32) -> Self {
        Self(last)
    }
}

/// One event's turn.
#[derive(Debug)]
pub struct Turn<'a> {
    /// When it happens.
    pub now: Instant,
    /// The limits of the whole process.
    pub budgets: &'a mut Budgets,
    /// Numbers for new connections.
    pub keys: &'a mut Keys,
    /// What is to be done, in this order. It is only ever added to, and never read back.
    actions: Vec<Action>,
}

impl<'a> Turn<'a> {
    /// Nothing is decided yet.
    pub fn new(now: Instant, budgets: &'a mut Budgets, keys: &'a mut Keys) -> Self {
        Self {
            now,
            budgets,
            keys,
            actions: Vec::new(),
        }
    }

    /// What was decided.
    pub fn done(self) -> Vec<Action> {
        self.actions
    }

    pub(super) fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(super) fn send(&mut self, key: PeerKey, command: Command) {
        self.push(Action::Send(key, command));
    }

    pub(super) fn hang_up(&mut self, key: PeerKey) {
        self.push(Action::HangUp(key));
    }

    /// For those who want to know more (`-v`).
    pub(super) fn detail(&mut self, message: String) {
        self.push(Action::Tell(Report::Detail { level: 1, message }));
    }

    pub(super) fn warn(&mut self, info_hash: InfoHash, message: String) {
        let info_hash = Some(info_hash);
        self.push(Action::Tell(Report::Warning { info_hash, message }));
    }
}
