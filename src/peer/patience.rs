//! What a peer's thread waits for while it sleeps in a read, and how long.
//!
//! The [`session`](super::session) knows what it is worth to wait for, and the
//! [`socket`](super::socket) tells the kernel.

use std::time::Duration;

/// The longest that a peer thread sleeps on anything.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// What comes at once of a peer that sends without a break, in bytes. It has room in the
/// smallest receive buffer, beside a block that has come in part.
pub(crate) const BULK: usize = 96 * 1024;

/// What a read waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// For anything, up to [`TICK`].
    Usual,
    /// For [`BULK`] bytes, or what comes of them in a [`TICK`]. Most of what a slow peer
    /// costs is waking up: from a hundred seeds of 1 MB/s each a gigabyte took 105,000
    /// context switches and 3.4 s of CPU, and like this 27,000 and 2.2 s.
    Bulk,
    /// The same, for half as long: main has no more work, and may be about to cancel some of
    /// what is on order, so that others bring it sooner.
    LastBulk,
    /// For anything, but not for long: the end of a download waits for what is on order, or
    /// for the answer when it is cancelled; or the peer waits to hear that its piece arrived.
    Last,
}

impl Patience {
    /// The longest that it lasts.
    pub fn time(self) -> Duration {
        match self {
            Self::Usual | Self::Bulk => TICK,
            Self::LastBulk => TICK / 2,
            Self::Last => TICK / 5, // Linux counts in steps of up to 10 ms.
        }
    }

    /// How much is to come at once, if it comes before, in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::Usual | Self::Last => 1,
            Self::Bulk | Self::LastBulk => BULK,
        }
    }
}
