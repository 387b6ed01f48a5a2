//! Whether anybody can be reached from here, and what stands in the way. Part of the
//! [`Torrent`](super::Torrent), which asks before it dials.

use super::{MAX_DIALS, NO_WAY_PAUSE};
use crate::shortage::Shortage;
use crate::swarm::SHORT_PAUSE;
use std::time::Instant;

/// The ways out of this machine.
#[derive(Debug)]
pub(super) struct Ways {
    /// What was missing for the last connection that could not be made, until one is.
    pub(super) short: Option<Shortage>,
    /// Why nobody can be reached from here, as the last one that was dialled found.
    no_way: Option<String>,
    /// The address of `--bind` is gone: this says so.
    address_gone: Option<String>,
    /// What can't be asked because of `--proxy`: "2 trackers, the DHT".
    pub(super) shut_out: String,
    /// Nobody is dialled before, as we are short of something.
    dial_at: Instant,
}

impl Ways {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            short: None,
            no_way: None,
            address_gone: None,
            shut_out: String::new(),
            dial_at: now,
        }
    }

    /// How many connections may be under way now.
    pub(super) fn most_dials(&self, now: Instant) -> usize {
        match &self.no_way {
            _ if now < self.dial_at || self.address_gone.is_some() => 0,
            // One finds out when there is a way again.
            Some(_) => 1,
            None => MAX_DIALS,
        }
    }

    /// Why nobody can be reached from here. If somebody is connected, only that the address of
    /// `--bind` is gone counts: they may go on.
    pub(super) fn obstacle(&self, connected: bool) -> Option<&str> {
        let no_way = self.no_way.as_deref().filter(|_| !connected);
        self.address_gone.as_deref().or(no_way)
    }

    /// A connection could not be made, or had to end, as we are short of something: for a
    /// moment nobody is dialled.
    pub(super) fn on_short(&mut self, shortage: Shortage, now: Instant) {
        (self.short, self.dial_at) = (Some(shortage), now + SHORT_PAUSE);
    }

    /// Nobody can be reached from here, for the reason `why`: it is tried again after a pause.
    pub(super) fn on_no_way(&mut self, why: &str, now: Instant) {
        (self.no_way, self.dial_at) = (Some(why.to_owned()), now + NO_WAY_PAUSE);
    }

    /// Somebody was reached, or could have been: there was a thread for it.
    pub(super) fn on_way(&mut self) {
        self.no_way = None;
        self.short = self.short.filter(|short| *short != Shortage::Threads);
    }

    /// A connection was made.
    pub(super) fn on_connection(&mut self) {
        (self.short, self.no_way) = (None, None);
    }

    /// The address of `--bind` is gone, as this says, or is there.
    pub(super) fn on_address(&mut self, gone: Option<&str>, now: Instant) {
        if gone.is_none() && self.address_gone.is_some() {
            (self.no_way, self.dial_at) = (None, now);
        }
        self.address_gone = gone.map(str::to_owned);
    }
}
