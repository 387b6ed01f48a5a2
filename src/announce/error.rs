//! Why an announce failed, in words for the user.

use crate::bencode::BencodeError;
use crate::shortage::is_out_of_files;
use std::fmt;
use std::io;
use std::time::Duration;

/// One announce to one tracker failed. The torrent goes on, and the announcer asks again later.
#[derive(Debug)]
pub struct TrackerError {
    /// The tracker, as [shown](crate::url::shown) to the user.
    pub tracker: String,
    /// What went wrong.
    pub trouble: Trouble,
}

impl fmt::Display for TrackerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tracker {} {}", self.tracker, self.trouble)
    }
}

impl std::error::Error for TrackerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.trouble.source()
    }
}

/// What can go wrong with an announce.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// The URL is neither HTTP nor UDP. Asking again is useless.
    #[error("can't be used: it is not a http, https or udp address")]
    UnsupportedScheme,
    /// The URL has no host or no port. Asking again is useless.
    #[error("can't be used: its address is malformed")]
    BadUrl,
    /// The name has no address of a kind that we can use.
    #[error("was not found: its name has no usable address")]
    UnknownHost,
    /// A machine answers, but no tracker listens at this port.
    #[error("refused the connection")]
    Refused,
    /// The tracker gave no complete answer within this time.
    #[error("did not answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// We may not ask this tracker, or may not believe its answer. The text says why; the user can
    /// change that.
    #[error("was not asked: {0}")]
    Barred(String),
    /// The network, DNS or TLS failed.
    #[error("can't be reached")]
    Unreachable(#[source] io::Error),
    /// The system refused to start a thread for it.
    #[error("can't be asked: the system allows no more threads (ulimit -u)")]
    NoThread(#[source] io::Error),
    /// The tracker's thread panicked.
    #[error("can't be asked just now: a fault of storrent's own ended its thread")]
    Fault,
    /// The HTTP status is no success, and no failure reason came with it.
    #[error("answered with HTTP status {0} instead of peers")]
    Status(u16),
    /// The tracker refused, in its own words.
    #[error("refused the announce: \"{0}\"")]
    Failure(String),
    /// The answer is no announce reply. The text says what is wrong with it.
    #[error("sent an answer that can't be read: {0}")]
    Garbage(String),
}

impl From<BencodeError> for Trouble {
    fn from(error: BencodeError) -> Self {
        Self::Garbage(error.to_string())
    }
}

impl Trouble {
    /// Whether we lacked a thread or an open file, and so did not ask the tracker.
    pub fn is_shortage(&self) -> bool {
        match self {
            Self::NoThread(_) => true,
            Self::Unreachable(error) => is_out_of_files(error),
            _ => false,
        }
    }

    /// Whether asking again is useless.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::UnsupportedScheme | Self::BadUrl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::shown;

    #[test]
    fn errors_keep_the_passkey() {
        let error = TrackerError {
            tracker: shown("https://me:secret@t.example:81/secret/announce?key=secret"),
            trouble: Trouble::Status(503),
        };
        let expected =
            "tracker https://t.example:81/… answered with HTTP status 503 instead of peers";
        assert_eq!(error.to_string(), expected);
    }
}
