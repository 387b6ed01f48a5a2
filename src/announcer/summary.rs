//! One line for the user about a torrent's trackers.

use crate::announce::Trouble;
use std::fmt;

/// The outcome of an announce.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Answered,
    Refused,
    TimedOut,
    /// The tracker answered with a reason why it refuses.
    Failure,
    Other,
}

impl From<&Trouble> for Outcome {
    fn from(trouble: &Trouble) -> Self {
        match trouble {
            Trouble::Refused => Self::Refused,
            Trouble::TimedOut(_) => Self::TimedOut,
            Trouble::Failure(_) => Self::Failure,
            _ => Self::Other,
        }
    }
}

/// The outcomes of the last announces to a torrent's trackers. Trackers whose protocol we do
/// not speak are not counted. A tracker that was not asked yet counts only in `trackers`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct TrackerSummary {
    pub trackers: usize,
    pub answered: usize,
    /// Nothing listens at the address.
    pub refused: usize,
    pub timed_out: usize,
    /// The tracker answered with a reason why it refuses.
    pub failures: usize,
    /// Name unknown, HTTP status, garbage, ...
    pub other: usize,
}

impl fmt::Display for TrackerSummary {
    /// Writes "0 of 4 trackers answered".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.trackers == 1 { "" } else { "s" };
        let Self {
            trackers, answered, ..
        } = self;
        write!(f, "{answered} of {trackers} tracker{plural} answered")
    }
}

impl FromIterator<Option<Outcome>> for TrackerSummary {
    fn from_iter<I: IntoIterator<Item = Option<Outcome>>>(outcomes: I) -> Self {
        let mut summary = Self::default();
        for outcome in outcomes {
            summary.trackers += 1;
            match outcome {
                Some(Outcome::Answered) => summary.answered += 1,
                Some(Outcome::Refused) => summary.refused += 1,
                Some(Outcome::TimedOut) => summary.timed_out += 1,
                Some(Outcome::Failure) => summary.failures += 1,
                Some(Outcome::Other) => summary.other += 1,
                None => {}
            }
        }
        summary
    }
}
