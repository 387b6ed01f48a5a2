//! The system's limits on what a user may have: threads, and open files.
//!
//! When we run into one, nobody did anything wrong. What failed is tried again when something was
//! given back. All code that opens a file or starts a thread asks here whether a limit was the
//! reason.

use rustix::io::Errno;
use std::fmt;
use std::io;

/// What this process can have no more of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shortage {
    /// Threads.
    Threads,
    /// Files and connections: the system counts both as open files.
    Files,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "no threads: the system allows no more (ulimit -u)",
            Self::Files => "too many open files: the system allows no more (ulimit -n)",
        })
    }
}

/// Whether the system refused because this process, or the whole machine, has reached its limit of
/// open files and connections.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}
