//! Why a connection with a peer ends. Never fatal to the torrent: main notes it, gives
//! the peer's work to others and goes on.

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
    /// `during` names the step: "connection reset" alone does not tell a refused dial
    /// from a dropped session.
    #[error("{during}: {source}")]
    Io {
        /// What was being done.
        during: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The peer closed the connection.
    #[error("the peer hung up")]
    HungUp,
    /// It does not speak BitTorrent, or wants it encrypted.
    #[error("what answers there is no BitTorrent peer, or wants an encrypted connection")]
    NotBitTorrent,
    /// It wants a connection that is not encrypted, while we want nothing else.
    #[error("the peer wants a connection that is not encrypted")]
    NotEncrypted,
    /// No agreement on an encrypted connection.
    #[error(transparent)]
    Mse(#[from] MseError),
    /// Its handshake is about another torrent.
    #[error("the peer does not serve this torrent")]
    WrongTorrent,
    /// It broke the framing of BEP 3.
    #[error("the peer broke the wire protocol: {0}")]
    Wire(#[from] WireError),
    /// Its bitfield has a wrong length or spare bits set.
    #[error("the peer sent a bad bitfield")]
    BadBitfield,
    /// It names a piece that does not exist.
    #[error("the peer named piece {0}, which does not exist")]
    NoSuchPiece(u32),
    /// It asks for bytes outside of a piece, none, or too many at once.
    #[error("the peer asked for {length} bytes at {begin} of piece {index}", length = .0.length, begin = .0.begin, index = .0.index)]
    BadRequest(RawBlock),
    /// It sent a block that we had not asked for.
    #[error("the peer sent a block that it was not asked for (piece {index}, byte {begin})", index = .0.index, begin = .0.begin)]
    Unrequested(RawBlock),
    /// It queues requests or forces replies without end.
    #[error("the peer floods us with requests")]
    Flood,
    /// It lets us ask, and rejects whatever we ask.
    #[error("the peer rejects all requests")]
    RejectsAll,
    /// It said that it has the metadata, and sent something else.
    #[error("the peer offered the metadata and sent {0}")]
    NoMetadata(&'static str),
    /// Nothing arrived for this long, not even a keep-alive.
    #[error("nothing was heard from the peer for {} s", .0.as_secs())]
    Silent(Duration),
    /// A disk error: reported to the user by itself.
    #[error("{0}")]
    Disk(String),
    /// Nobody can be reached from here just now.
    #[error("{0}")]
    NoWay(String),
    /// The proxy connects to no such peer.
    #[error("{0}")]
    Barred(String),
    /// The process has as many files and connections open as it may.
    #[error("{0}")]
    OutOfFiles(String),
}

impl PeerError {
    /// Why there is no connection.
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
