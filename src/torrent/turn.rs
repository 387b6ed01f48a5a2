//! What main lends a [`Torrent`](super::Torrent) while it handles one event: the time, what all
//! torrents share, and a list for the actions that it decides on.

use super::Action;
use super::rate::Budgets;
use crate::messages::Command;
use crate::report::Report;
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
}

impl<'a> Turn<'a> {
    /// Begins a turn without actions.
    pub fn new(now: Instant, budgets: &'a mut Budgets, keys: &'a mut Keys) -> Self {
        Self {
            now,
            budgets,
            keys,
            actions: Vec::new(),
        }
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

    pub(super) fn hang_up(&mut self, key: PeerKey) {
        self.push(Action::HangUp(key));
    }

    /// Tells the user something that only `-v` shows.
    pub(super) fn detail(&mut self, message: String) {
        self.push(Action::Tell(Report::Detail { level: 1, message }));
    }

    pub(super) fn warn(&mut self, info_hash: InfoHash, message: String) {
        let info_hash = Some(info_hash);
        self.push(Action::Tell(Report::Warning { info_hash, message }));
    }
}
