//! What a node of a simulated swarm is like: what it begins with, its line, when it comes and goes,
//! its rules, and how it cheats.

use crate::config::Rules;
use std::time::Duration;

/// A kind of node. [`Role::seed`], [`Role::leech`], [`Role::liar`] and [`Role::free_rider`] make
/// one; each other function changes one thing.
///
/// ```
/// use std::time::Duration;
/// use storrent::config::{Rules, Strategy};
/// use storrent::sim::Role;
///
/// let rules = Rules { strategy: Strategy::Random, ..Rules::default() };
/// let late = Role::leech(500_000).down(2_000_000).joins(Duration::from_secs(30)).rules(rules);
/// # let _ = late;
/// ```
#[derive(Clone, Debug)]
pub struct Role {
    pub(super) name: &'static str,
    pub(super) seed: bool,
    pub(super) up: u64,
    pub(super) down: u64,
    pub(super) delay: Duration,
    pub(super) joins: Duration,
    pub(super) leaves: Option<Duration>,
    pub(super) leaves_when_complete: bool,
    pub(super) meets: usize,
    pub(super) places: usize,
    pub(super) rules: Rules,
    pub(super) lies_one_in: u32,
    pub(super) gives: fn(usize, Duration) -> bool,
}

impl Role {
    /// A node that begins with nothing. Its line sends `up` bytes a second, which its connections
    /// share; 0: no limit.
    pub fn leech(up: u64) -> Self {
        Self {
            name: "leech",
            seed: false,
            up,
            down: 0,
            delay: Duration::from_millis(10),
            joins: Duration::ZERO,
            leaves: None,
            leaves_when_complete: false,
            meets: 50,
            places: 50,
            rules: Rules::default(),
            lies_one_in: 0,
            gives: |_, _| true,
        }
    }

    /// A node that begins with all pieces. Its line sends `up` bytes a second; 0: no limit.
    pub fn seed(up: u64) -> Self {
        Self {
            name: "seed",
            seed: true,
            ..Self::leech(up)
        }
    }

    /// A seed that makes one in `one_in` of the blocks that it sends false.
    pub fn liar(up: u64, one_in: u32) -> Self {
        Self {
            name: "liar",
            lies_one_in: one_in,
            ..Self::seed(up)
        }
    }

    /// A leech that takes and never gives: it chokes everybody.
    pub fn free_rider() -> Self {
        Self {
            name: "free rider",
            gives: |_, _| false,
            ..Self::leech(0)
        }
    }

    /// Lets its line receive `down` bytes a second, which its connections share; 0: no limit.
    pub fn down(self, down: u64) -> Self {
        Self { down, ..self }
    }

    /// Sets how long a byte takes on its own line, at first 10 ms. Between two nodes the times of
    /// both lines add up.
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Lets it join at this time, at first 0.
    pub fn joins(self, joins: Duration) -> Self {
        Self { joins, ..self }
    }

    /// Lets it leave for good at this time.
    pub fn leaves(self, at: Duration) -> Self {
        let leaves = Some(at);
        Self { leaves, ..self }
    }

    /// Lets it leave as soon as it is complete.
    pub fn leaves_when_complete(self) -> Self {
        Self {
            leaves_when_complete: true,
            ..self
        }
    }

    /// Sets how many nodes, drawn by lot, a tracker names to it when it joins: at first 50. Later
    /// nodes find it.
    pub fn meets(self, meets: usize) -> Self {
        Self { meets, ..self }
    }

    /// Sets how many connections it may have: at first 50.
    pub fn places(self, places: usize) -> Self {
        Self { places, ..self }
    }

    /// Sets the rules by which it fetches and gives.
    pub fn rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// Sets whether the node with a given number lets anybody ask at a given time; its choker then
    /// decides whom. At first it always does.
    pub fn gives(self, gives: fn(usize, Duration) -> bool) -> Self {
        Self { gives, ..self }
    }

    /// Gives it another name than "seed" or "leech". Nodes of the same name are numbered from 1.
    pub fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }
}
