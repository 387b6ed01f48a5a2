//! Whether this machine can connect to anybody, and what stands in the way.
//!
//! The network may be down, the address of `--bind` gone, or the system out of threads or files.
//! The [`Torrent`](super::Torrent) reports how its connections end, and asks here before it dials.

use super::{MAX_DIALS, NO_WAY_PAUSE};
use crate::shortage::Shortage;
use crate::swarm::SHORT_PAUSE;
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Ways {
    /// What the system lacked for the last connection that failed, until one succeeds.
    pub(super) short: Option<Shortage>,
    /// Why nobody can be reached, according to the last dial.
    no_way: Option<String>,
    /// A sentence that says that the address of `--bind` is gone, if it is.
    address_gone: Option<String>,
    /// What `--proxy` keeps us from asking: "2 trackers, the DHT".
    pub(super) shut_out: String,
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

    pub(super) fn most_dials(&self, now: Instant) -> usize {
        match &self.no_way {
            _ if now < self.dial_at || self.address_gone.is_some() => 0,
            // One dial finds out whether there is a way again.
            Some(_) => 1,
            None => MAX_DIALS,
        }
    }

    /// Returns why nobody can be reached. A connected peer shows that the network works: then only
    /// a lost `--bind` address counts.
    pub(super) fn obstacle(&self, connected: bool) -> Option<&str> {
        let no_way = self.no_way.as_deref().filter(|_| !connected);
        self.address_gone.as_deref().or(no_way)
    }

    /// Records that a connection failed or had to end because the system lacks something. No dial
    /// follows for [`SHORT_PAUSE`].
    pub(super) fn on_short(&mut self, shortage: Shortage, now: Instant) {
        (self.short, self.dial_at) = (Some(shortage), now + SHORT_PAUSE);
    }

    /// Records that nobody can be reached, for the reason `why`. The next dial comes after
    /// [`NO_WAY_PAUSE`].
    pub(super) fn on_no_way(&mut self, why: &str, now: Instant) {
        (self.no_way, self.dial_at) = (Some(why.to_owned()), now + NO_WAY_PAUSE);
    }

    /// Records that a peer was reached or refused us: there is a way, and there was a thread for
    /// it.
    pub(super) fn on_way(&mut self) {
        self.no_way = None;
        self.short = self.short.filter(|short| *short != Shortage::Threads);
    }

    pub(super) fn on_connection(&mut self) {
        (self.short, self.no_way) = (None, None);
    }

    /// Records that the address of `--bind` is gone, with a sentence that says so, or is back.
    pub(super) fn on_address(&mut self, gone: Option<&str>, now: Instant) {
        if gone.is_none() && self.address_gone.is_some() {
            (self.no_way, self.dial_at) = (None, now);
        }
        self.address_gone = gone.map(str::to_owned);
    }
}
