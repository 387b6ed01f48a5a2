//! How many connections and files there may be.
//!
//! The system lets a process have only so many files open, and a connection counts as one
//! (`ulimit -n`): often a million, sometimes 1,024, which is little for some hundred torrents.
//! What every torrent and the program itself keep open comes first; [`FileBudget`] divides the
//! rest. Whoever finds none left all the same waits, and tries again. The [`super::Engine`]
//! asks before it makes a connection, gives a thread files, or looks at a torrent's data.

use crate::sha1_lanes::MAX_LANES;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the program has open besides: terminal, listener, DHT, local discovery, look-ups.
const PROGRAM: usize = 32;

/// What a torrent keeps open: its folder and its record.
const TORRENT: usize = 2;

/// What a connection needs at least: itself, a file, and the folder that it is in.
const CONNECTION: usize = 3;

/// What the first look at a torrent's data may have open: each core hashes [`MAX_LANES`]
/// pieces at a time, and needs a file and its folder for each. We count one core: with fewer
/// files than it would like, it hashes fewer pieces at a time.
const LOOK: usize = 2 * MAX_LANES;

/// Files that a thread keeps open at most; more would not make it faster.
const MAX_FILES: usize = 16;

/// Connections that are made in any case.
const FEW: usize = 4;

/// Where there is no limit: more files than there is memory for, and still far from what
/// would overflow a sum.
pub(super) const NO_LIMIT: usize = usize::MAX >> 8;

/// Raises this process's limit as far as the system lets it, and returns it: most systems
/// set it low for programs that are careless with it.
pub fn allow_many_files() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current, // the old one holds
    };
    limit.map_or(NO_LIMIT, |limit| usize::try_from(limit).unwrap_or(NO_LIMIT))
}

/// The limit, and for how many torrents it must do.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileBudget {
    /// Files and connections that the process may have open.
    pub limit: usize,
    /// Torrents that have something open.
    pub torrents: usize,
}

impl FileBudget {
    /// What is left for connections and for looking at data.
    fn spare(self) -> usize {
        let kept = PROGRAM.saturating_add(self.torrents * TORRENT);
        self.limit.saturating_sub(kept)
    }

    /// How many connections all torrents together may have.
    pub(super) fn connections(self) -> usize {
        (self.spare() / 4 * 3 / CONNECTION).max(FEW)
    }

    /// How many files the thread of a connection may keep open, if there are to be `wanted`
    /// connections.
    pub(super) fn files_each(self, wanted: usize) -> usize {
        let connections = wanted.clamp(1, self.connections());
        let each = self.spare() / 4 * 3 / connections;
        // The connection, and a folder.
        each.saturating_sub(CONNECTION - 1).clamp(1, MAX_FILES)
    }

    /// Whether another torrent's data may be looked at, beside `underway` others. The only
    /// torrent that there is always may.
    pub(super) fn may_look(self, underway: usize) -> bool {
        let free = match underway {
            0 => self.spare(),
            _ => self.spare() / 4,
        };
        self.torrents == 0 || free >= LOOK * (underway + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limit: usize, torrents: usize) -> FileBudget {
        FileBudget { limit, torrents }
    }

    #[test]
    fn it_is_enough_for_all() {
        for limit in [8, 64, 256, 1024, 4096, 1 << 20, NO_LIMIT] {
            let mut torrents = 0;
            while torrents < 500 && budget(limit, torrents).may_look(0) {
                torrents += 1;
            }
            assert!(torrents > 0, "the first one may begin with {limit}");
            let budget = budget(limit, torrents);
            let connections = budget.connections();
            for wanted in [1, 51, 51 * torrents] {
                let files = budget.files_each(wanted) + CONNECTION - 1;
                let needed = PROGRAM + torrents * TORRENT + connections.min(wanted) * files;
                assert!(limit < 64 || needed <= limit, "{needed} of {limit}");
            }
        }
    }

    #[test]
    fn much_where_there_is_much() {
        assert!(budget(1 << 20, 1).may_look(63));
        assert_eq!(budget(1 << 20, 10).files_each(510), MAX_FILES);
        assert!(budget(1 << 20, 100).connections() > 100 * 50);
        assert!(budget(1024, 1).connections() > 50);
        assert!(budget(1024, 1).files_each(51) > 4);
    }

    #[test]
    fn little_where_there_is_little() {
        assert!(budget(256, 80).may_look(0));
        assert!(!budget(256, 100).may_look(0), "until one of them is done");
        assert!(!budget(1024, 400).may_look(1), "one at a time");
        assert_eq!(budget(256, 110).connections(), FEW);
    }
}
