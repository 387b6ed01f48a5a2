//! What the engine tells the user about a run, one [`Report`] at a time.
//!
//! The main loop makes the reports, because the engine itself never prints. A [`Reporter`] shows
//! them: as JSON lines, as a progress display, as plain lines, or as a story (`storrent demo`).

use crate::types::InfoHash;
use std::sync::Arc;

/// One piece of news. Sizes are in bytes, rates in bytes per second.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Peers can reach us at this port.
    Listening {
        /// The TCP port.
        port: u16,
    },
    /// A magnet link was accepted. Its metadata must be found first.
    Linked {
        /// The torrent.
        info_hash: InfoHash,
        /// The name that the link gives.
        name: Option<String>,
    },
    /// A torrent is known, and work on it begins.
    Added {
        /// The torrent.
        info_hash: InfoHash,
        /// The safe name that it is saved under.
        name: String,
        /// Size of all files, without padding.
        total_bytes: u64,
        /// Size of the wanted files, without padding.
        wanted_bytes: u64,
        /// Bytes per piece.
        piece_length: u32,
        /// Pieces of the torrent.
        pieces: u32,
        /// Files, without padding.
        files: usize,
    },
    /// The metadata of a magnet link has arrived, and the user wanted only that.
    Metadata {
        /// The torrent.
        info_hash: InfoHash,
        /// The bytes of its `info` dictionary.
        info: Arc<[u8]>,
    },
    /// The data on disk is being hashed. Sent a few times per second.
    Checking {
        /// The torrent.
        info_hash: InfoHash,
        /// Pieces checked so far.
        done: u32,
        /// Pieces to check.
        pieces: u32,
    },
    /// The check is over: the download or the seeding begins.
    Checked {
        /// The torrent.
        info_hash: InfoHash,
        /// Pieces that are there and right.
        have_pieces: u32,
        /// Pieces of the torrent.
        pieces: u32,
        /// Bytes of the wanted files that are there.
        have_bytes: u64,
    },
    /// Sent every second, and once at the end, when no peer is connected any more.
    Progress(Progress),
    /// All wanted files are on disk and verified.
    Complete {
        /// The torrent.
        info_hash: InfoHash,
        /// Seconds since the torrent was added.
        seconds: f64,
        /// Payload received in this run, including wasted blocks.
        downloaded_bytes: u64,
        /// Payload sent in this run.
        uploaded_bytes: u64,
    },
    /// The user should know this, but nothing ends because of it.
    Warning {
        /// The torrent, if the warning is about one.
        info_hash: Option<InfoHash>,
        /// What happened, why, and what to do.
        message: String,
    },
    /// Something failed for good.
    Error {
        /// The torrent, if the error is about one.
        info_hash: Option<InfoHash>,
        /// The SOURCE of the command line that could not be read, if the error is about one.
        source: Option<String>,
        /// What happened, why, and what to do.
        message: String,
    },
    /// What a thread does. Shown with `-v` (level 1) or `-vv` (level 2).
    Detail {
        /// How many `-v` it takes.
        level: u8,
        /// One line.
        message: String,
    },
    /// A part of the story of `storrent demo`, for stdout, word for word.
    Said(String),
    /// No more reports about torrents follow. A display shows each for the last time.
    Over,
}

/// How one torrent is doing. Sizes are in bytes, rates in bytes per second.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Bytes of the wanted files that are verified.
    pub have_bytes: u64,
    /// Bytes of the wanted files.
    pub wanted_bytes: u64,
    /// Payload coming in.
    pub download_rate: u64,
    /// Payload going out.
    pub upload_rate: u64,
    /// Connected peers.
    pub peers: usize,
    /// Connected peers that have all pieces.
    pub seeds: usize,
    /// Web seeds in use. They do not count as peers.
    pub web_seeds: usize,
    /// Payload received in this run.
    pub downloaded_bytes: u64,
    /// Payload sent in this run.
    pub uploaded_bytes: u64,
    /// Whether the torrent has all wanted pieces and stays to serve others.
    pub seeding: bool,
    /// Why no data arrives, if none does.
    pub idle: Option<String>,
}

/// Shows reports to somebody.
pub trait Reporter {
    /// Takes one report. Called on the main thread, which must never wait.
    fn report(&mut self, report: Report);
}
