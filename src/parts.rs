//! Parts of the client for programs that use one of them alone: labs, examples, benches and fuzz
//! targets. To download, use [`engine`](crate::engine).
//!
//! Each module here is named after the one that documents its items. Outside code reaches nothing
//! else in those modules, so the compiler notices what is unused there.

/// The addresses of peers.
pub mod address {
    pub use crate::address::usable;
}

/// Requests to trackers, and their answers (BEP 3, 7 and 23).
pub mod announce {
    pub use crate::announce::{
        AnnounceEvent, AnnounceReply, AnnounceRequest, LONGEST_INTERVAL, MAX_PEERS,
        SHORTEST_INTERVAL,
    };
}

/// The notation of torrents, answers and extension messages (BEP 3).
pub mod bencode {
    pub use crate::bencode::{FILE_DEPTH, Raw, scan};
}

/// The set of pieces that a peer has (BEP 3).
pub mod bitfield {
    pub use crate::bitfield::Bitfield;
}

/// Chooses the peers that we upload to (BEP 3).
pub mod choker {
    pub use crate::choker::{Candidate, Choker};
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
    pub use crate::human::escaped;
}

/// Messages to and from nodes of the DHT (BEP 5).
pub mod krpc {
    pub use crate::dht::krpc::{MAX_DATAGRAM, decode};
}

/// Pieces, blocks and files (BEP 3).
pub mod layout {
    pub use crate::layout::{BLOCK_LEN, Layout, PieceIndex, RawBlock};
}

/// Messages on the local network (BEP 14).
pub mod lsd {
    pub use crate::lsd::message::{decode, encode};
}

/// Messages between main and a peer thread.
pub mod messages {
    pub use crate::messages::{Command, Greeting, Learning, PeerEvent, Surveyed, Verdict};
}

/// The handshake and cipher of obfuscated connections.
pub mod mse {
    pub use crate::mse::{Line, MseError, Rc4, Terms, answer, begin};
}

/// A node of the DHT (BEP 5), without its socket.
pub mod node {
    pub use crate::dht::node::{Node, Output};
}

/// One connection to a peer, without its socket (BEP 3), and one before the metadata is known
/// (BEP 9).
pub mod peer {
    pub use crate::peer::learner::{Learner, MAX_MESSAGE};
    pub use crate::peer::session::Session;
    pub use crate::peer::talk::Talk;
}

/// Decides which peer fetches which block.
pub mod picker {
    pub use crate::picker::Picker;
}

/// How many requests a peer has.
pub mod pipeline {
    pub use crate::pipeline::Pipeline;
}

/// Shows the progress of a run.
pub mod progress {
    pub use crate::progress::json::Json;
    pub use crate::progress::lines::Lines;
    pub use crate::progress::output::Screen;
    pub use crate::progress::text::{shortened, width, wrapped};
}

/// The order of pieces, rarest first.
pub mod rarity {
    pub use crate::rarity::Rarity;
}

/// The record beside an incomplete download.
pub mod resume {
    pub use crate::resume::trusted;
    pub use crate::storage::Storage;
    pub use crate::storage::record::{State, recall};
}

/// The decisions of one torrent, without its I/O.
pub mod torrent {
    pub use crate::torrent::blame::{Attempt, Blame, Giver, Who};
    pub use crate::torrent::rate::{Budget, Budgets};
    pub use crate::torrent::{Action, Content, Entry, Keys, Phase, Setup, Torrent, Turn};
}

/// Recorded conversations of peers, as `storrent show` explains them.
pub mod transcript {
    pub use crate::transcript::{page, parse};
}

/// The answers of a UDP tracker (BEP 15).
pub mod udp_packets {
    pub use crate::tracker::udp_packets::{Answer, answer};
}

/// URLs: redirects, and which ones may be requested.
pub mod url {
    pub use crate::url::{is_http, redirected, requestable};
}

/// The files that the user wants of a torrent.
pub mod wanted {
    pub use crate::wanted::Wanted;
}

/// The messages between peers (BEP 3, 6 and 10).
pub mod wire {
    pub use crate::wire::{
        HANDSHAKE_LEN, Handshake, Message, decode, encode_piece_head, max_message_len,
    };
}
