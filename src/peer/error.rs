//! Why a connection with a peer ends. The torrent goes on: main gives the peer's work to others.

use crate::door::DialError;
use crate::layout::RawBlock;
use crate::messages::{End, EndKind};
use crate::mse::MseError;
use crate::shortage::{Shortage, is_out_of_files};
use crate::wire::WireError;
use std::io;
use std::time::Duration;

/// Why one connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// A system call failed. `during` names the step, because "connection reset" alone does not
    /// tell a refused dial from a lost connection.
    #[error("{during}: {source}")]
    Io {
        /// What we were doing.
        during: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The peer closed the connection.
    #[error("the peer hung up")]
    HungUp,
    /// The peer does not speak BitTorrent, or wants the connection encrypted.
    #[error("what answers there is no BitTorrent peer, or wants an encrypted connection")]
    NotBitTorrent,
    /// The peer wants a plain connection, and the user allows only encrypted ones.
    #[error("the peer wants a connection that is not encrypted")]
    NotEncrypted,
    /// No agreement on an encrypted connection.
    #[error(transparent)]
    Mse(#[from] MseError),
    /// The peer's handshake names another torrent.
    #[error("the peer does not serve this torrent")]
    WrongTorrent,
    /// The peer broke the framing of BEP 3.
    #[error("the peer broke the wire protocol: {0}")]
    Wire(#[from] WireError),
    /// The bitfield has not one bit for each piece, rounded up to bytes, or spare bits are set.
    #[error("the peer sent a bad bitfield ({bytes} bytes for {pieces} pieces)")]
    BadBitfield {
        /// How many bytes it has.
        bytes: usize,
        /// How many pieces the torrent has.
        pieces: u32,
    },
    /// The peer named a piece that does not exist.
    #[error("the peer named piece {0}, which does not exist")]
    NoSuchPiece(u32),
    /// The peer requested bytes outside of a piece, none, or too many at once.
    #[error("the peer asked for {length} bytes at {begin} of piece {index}", length = .0.length, begin = .0.begin, index = .0.index)]
    BadRequest(RawBlock),
    /// The peer sent a block that we had not requested.
    #[error("the peer sent a block that it was not asked for (piece {index}, {length} bytes at {begin})", index = .0.index, length = .0.length, begin = .0.begin)]
    Unrequested(RawBlock),
    /// The peer queues requests or causes replies without end.
    #[error("the peer floods us with requests")]
    Flood,
    /// The peer unchoked us, and rejects every request.
    #[error("the peer rejects all requests")]
    RejectsAll,
    /// The peer offered the metadata, and then sent something else or nothing.
    #[error("the peer offered the metadata and sent {0}")]
    NoMetadata(&'static str),
    /// Nothing came for this long, not even a keep-alive.
    #[error("nothing was heard from the peer for {} s", .0.as_secs())]
    Silent(Duration),
    /// A disk error. The user hears about it separately.
    #[error("{0}")]
    Disk(String),
    /// We can reach nobody at the moment.
    #[error("{0}")]
    NoWay(String),
    /// The proxy refuses to connect to the peer.
    #[error("{0}")]
    Barred(String),
    /// The process has reached its limit of open files and connections.
    #[error("{0}")]
    OutOfFiles(String),
}

impl PeerError {
    /// Converts the reason why a dial failed.
    pub fn of_dial(error: DialError) -> Self {
        let source = match error {
            DialError::NoWay(why) => return Self::NoWay(why),
            DialError::Barred(why) => return Self::Barred(why),
            DialError::Io(source) => source,
        };
        if is_out_of_files(&source) {
            return Self::OutOfFiles(format!(
                "cannot connect to peers: too many files are open: raise the limit (ulimit -n) \
                 and run the same command again: {source}"
            ));
        }
        Self::Io {
            during: "connecting",
            source,
        }
    }
}

impl From<PeerError> for End {
    fn from(error: PeerError) -> Self {
        use io::ErrorKind as Io;
        let kind = match &error {
            PeerError::Io { source, .. } => match source.kind() {
                Io::ConnectionRefused => EndKind::Refused,
                Io::TimedOut | Io::WouldBlock => EndKind::TimedOut,
                Io::HostUnreachable | Io::NetworkUnreachable => EndKind::Unreachable,
                _ => EndKind::Other,
            },
            PeerError::Silent(_) => EndKind::TimedOut,
            PeerError::NoWay(_) => EndKind::NoWay,
            PeerError::Barred(_) => EndKind::Barred,
            PeerError::OutOfFiles(_) => EndKind::Short(Shortage::Files),
            _ => EndKind::Other,
        };
        let text = error.to_string();
        Self { kind, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn what_kind_of_end_it_is() {
        let io = |kind: io::ErrorKind| PeerError::Io {
            during: "connecting",
            source: kind.into(),
        };
        let cases = [
            (io(io::ErrorKind::ConnectionRefused), EndKind::Refused),
            (io(io::ErrorKind::TimedOut), EndKind::TimedOut),
            (io(io::ErrorKind::NetworkUnreachable), EndKind::Unreachable),
            (io(io::ErrorKind::ConnectionReset), EndKind::Other),
            (PeerError::Silent(Duration::ZERO), EndKind::TimedOut),
            (PeerError::NotBitTorrent, EndKind::Other),
            (
                PeerError::of_dial(io::Error::from(Errno::MFILE).into()),
                EndKind::Short(Shortage::Files),
            ),
        ];
        for (error, kind) in cases {
            let text = error.to_string();
            assert_eq!(End::from(error), End { kind, text });
        }
    }
}
