//! The settings that an error may advise the user to change.
//!
//! An error names a [`Setting`], never an option: only the command line knows the options
//! ([`cli::args`](crate::cli::args)).

/// Something that the user can set for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// The local address of all sockets.
    Bind,
    /// The folder to save in.
    Dir,
    /// Which files of a torrent are wanted.
    Files,
    /// Whether to replace files that are not the torrent's.
    Overwrite,
    /// The port to accept peers on.
    Port,
    /// The proxy for all connections.
    Proxy,
    /// Whether to seed once the download is complete.
    Seed,
    /// A tracker in addition to the torrent's own.
    Tracker,
}
