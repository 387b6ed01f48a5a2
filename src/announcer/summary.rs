//! How a torrent's trackers do, in one line for the user.

use crate::announce::Trouble;
use std::fmt;

/// How an announce ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Answered,
    Refused,
    TimedOut,
    /// The tracker said no, in words.
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

/// How the last announces to a torrent's trackers ended. Trackers that we can't speak
/// to are not counted, and those that were not asked yet are in none of the parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct TrackerSummary {
    /// All of them.
    pub trackers: usize,
    /// They gave a reply.
    pub answered: usize,
    /// Nothing listens there.
    pub refused: usize,
    /// No answer came.
    pub timed_out: usize,
    /// They said no, in words.
    pub failures: usize,
    /// Name unknown, HTTP status, garbage, ...
    pub other: usize,
}

impl fmt::Display for TrackerSummary {
    /// "0 of 4 trackers answered".
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
