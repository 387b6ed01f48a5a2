//! What the engine tells the outside about a download, one [`Report`] at a time.
//!
//! The main loop makes them; a [`Reporter`] shows them: as JSON lines, as a progress
//! display, as plain lines, or (`storrent demo`) as a story. The engine itself never
//! prints.

use crate::types::InfoHash;
use std::sync::Arc;

/// One thing worth telling. Sizes are bytes, rates bytes a second.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Peers can reach us here.
    Listening {
        /// The TCP port.
        port: u16,
    },
    /// A magnet link was taken on: its metadata is to be found first.
    Linked {
        /// Which torrent.
        info_hash: InfoHash,
        /// What the link calls it.
        name: Option<String>,
    },
    /// A torrent is known and will be worked on.
    Added {
        /// Which torrent.
        info_hash: InfoHash,
        /// The safe name that it is saved under.
        name: String,
        /// Size of all files, without padding.
        total_bytes: u64,
        /// Size of the files asked for, without padding.
        wanted_bytes: u64,
        /// Bytes of a piece.
        piece_length: u32,
        /// How many pieces.
        pieces: u32,
        /// How many files, without padding.
        files: usize,
    },
    /// The metadata of a magnet link came, and only that was asked for.
    Metadata {
        /// Which torrent.
        info_hash: InfoHash,
        /// The bytes of its `info` dictionary.
        info: Arc<[u8]>,
    },
    /// The data on disk is being hashed; comes a few times a second meanwhile.
    Checking {
        /// Which torrent.
        info_hash: InfoHash,
        /// Pieces looked at so far.
        done: u32,
        /// Pieces to look at.
        pieces: u32,
    },
    /// What was on disk is known: the download (or seeding) begins.
    Checked {
        /// Which torrent.
        info_hash: InfoHash,
        /// Pieces that are there and whole.
        have_pieces: u32,
        /// Pieces of the torrent.
        pieces: u32,
        /// Bytes of the files asked for that are there.
        have_bytes: u64,
    },
    /// How it goes; each second, and once at the end, when nobody is connected any more.
    Progress(Progress),
    /// All that was asked for is on disk and verified.
    Complete {
        /// Which torrent.
        info_hash: InfoHash,
        /// Seconds since the torrent was added.
        seconds: f64,
        /// Payload received in this run, bytes, wasted ones too.
        downloaded_bytes: u64,
        /// Payload sent in this run, bytes.
        uploaded_bytes: u64,
    },
    /// Something that the user should know but that does not end anything.
    Warning {
        /// Which torrent, if one.
        info_hash: Option<InfoHash>,
        /// What, on what, why, what to do.
        message: String,
    },
    /// Something failed for good.
    Error {
        /// Which torrent, if one.
        info_hash: Option<InfoHash>,
        /// The SOURCE of the command line that could not be read, if that is it.
        source: Option<String>,
        /// What, on what, why, what to do.
        message: String,
    },
    /// What a thread does; shown with `-v` (1) and `-vv` (2).
    Detail {
        /// From how many `-v` on it is shown.
        level: u8,
        /// One line.
        message: String,
    },
    /// A piece of the story that `storrent demo` tells: for stdout, as it stands.
    Said(String),
    /// Nothing more comes about the torrents: a display shows a last time how they are.
    Over,
}

/// How one torrent goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Bytes of the files asked for that are verified.
    pub have_bytes: u64,
    /// Bytes of the files asked for.
    pub wanted_bytes: u64,
    /// Payload coming in, bytes a second.
    pub download_rate: u64,
    /// Payload going out, bytes a second.
    pub upload_rate: u64,
    /// Connected peers.
    pub peers: usize,
    /// Those of them that have everything.
    pub seeds: usize,
    /// Web seeds in use. They are no peers.
    pub web_seeds: usize,
    /// Payload received in this run.
    pub downloaded_bytes: u64,
    /// Payload sent in this run.
    pub uploaded_bytes: u64,
    /// It has all and stays to serve others.
    pub seeding: bool,
    /// Why nothing comes, if nothing comes.
    pub idle: Option<String>,
}

/// Shows reports to somebody.
pub trait Reporter {
    /// Takes one report. Called on the main thread, which must never wait.
    fn report(&mut self, report: Report);
}
