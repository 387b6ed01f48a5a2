//! The parts of the client, for who uses one of them by itself: labs, examples, benches and
//! fuzz targets. A program that wants to download uses [`engine`](crate::engine).
//!
//! Each module here has the name of the room that its items come from; the documentation of
//! the parts stands there. What is listed here is all that can be reached from outside, so
//! the compiler knows of everything else whether it is used.

/// What is said to a tracker, and its answer (BEP 3, 7 and 23).
pub mod announce {
    pub use crate::announce::{
        AnnounceReply, LONGEST_INTERVAL, MAX_PEERS, SHORTEST_INTERVAL, usable,
    };
}

/// The notation of torrents, answers and extension messages (BEP 3).
pub mod bencode {
    pub use crate::bencode::{FILE_DEPTH, scan};
}

/// Which pieces somebody has (BEP 3).
pub mod bitfield {
    pub use crate::bitfield::Bitfield;
}

/// Writing a torrent (BEP 3).
pub mod compose {
    pub use crate::compose::{Content, Info, Outside, rewrap, torrent};
}

/// The extension handshake, metadata and lists of peers (BEP 10, 9 and 11).
pub mod extension {
    pub use crate::extension::decode;

    /// Metadata from peers (BEP 9).
    pub mod metadata {
        pub use crate::extension::metadata::Message;
    }

    /// Lists of peers from peers (BEP 11).
    pub mod pex {
        pub use crate::extension::pex::{MAX_TAKEN, MAX_TOLD, decode, encode};
    }
}

/// Text for people.
pub mod human {
    pub use crate::human::{escaped, shortened};
}

/// What is said to a node of the DHT, and its answer (BEP 5).
pub mod krpc {
    pub use crate::dht::krpc::{MAX_DATAGRAM, decode};
}

/// Pieces, blocks and files (BEP 3).
pub mod layout {
    pub use crate::layout::{BLOCK_LEN, Layout, PieceIndex, RawBlock};
}

/// What is said to the local network (BEP 14).
pub mod lsd {
    pub use crate::lsd::message::{decode, encode};
}

/// What main and a peer thread say to each other.
pub mod messages {
    pub use crate::messages::{Command, PeerEvent, Surveyed, Verdict};
}

/// The handshake and cipher of obfuscated connections.
pub mod mse {
    pub use crate::mse::{Line, MseError, Rc4, Terms, answer, begin};
}

/// A node of the DHT (BEP 5), without its socket.
pub mod node {
    pub use crate::dht::node::{Node, Output};
}

/// One conversation with a peer, without its socket (BEP 3), and one before the metadata is
/// known (BEP 9).
pub mod peer {
    pub use crate::peer::learner::{Learner, MAX_MESSAGE};
    pub use crate::peer::session::Session;
}

/// Who fetches which block.
pub mod picker {
    pub use crate::picker::Picker;
}

/// Shows a run.
pub mod progress {
    pub use crate::progress::json::Json;
    pub use crate::progress::lines::Lines;
    pub use crate::progress::output::Screen;
}

/// The record beside an incomplete download.
pub mod resume {
    pub use crate::resume::trusted;
    pub use crate::storage::Storage;
    pub use crate::storage::record::recall;
}

/// SHA-1 of several messages at once.
pub mod sha1_lanes {
    pub use crate::sha1_lanes::{Sha1Lanes, full_batch};
}

/// One torrent: all its decisions, and none of its I/O.
pub mod torrent {
    pub use crate::torrent::rate::{Budget, Budgets};
    pub use crate::torrent::{Action, Content, Setup, Torrent};
}

/// What a UDP tracker says (BEP 15).
pub mod udp_packets {
    pub use crate::tracker::udp_packets::{Answer, answer};
}

/// URLs: redirects, and what may be asked for.
pub mod url {
    pub use crate::url::{is_http, redirected, requestable};
}

/// The messages between peers (BEP 3, 6 and 10).
pub mod wire {
    pub use crate::wire::{
        HANDSHAKE_LEN, Handshake, Message, decode, encode_piece_head, max_message_len,
    };
}
