//! What the system lets a user have only so much of: threads, and open files.
//!
//! Who runs out of them has done nothing wrong, nor has the other side: what failed is put
//! off, and tried again when something was given back. Everybody who opens or starts
//! something asks here whether that was the reason.

use rustix::io::Errno;
use std::fmt;
use std::io;

/// What this process may have no more of, by the limits that the system sets a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shortage {
    /// Threads.
    Threads,
    /// Files and connections, which count together.
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

/// Whether the system refused because this process, or the whole machine, has as many files
/// and connections open as it may.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}
