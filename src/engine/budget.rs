//! Decides how many connections and files may be open.
//!
//! The system limits the open files of a process (`ulimit -n`), and a connection counts as one. The
//! limit is often a million, but sometimes 1,024, which is little for some hundred torrents. The
//! files of the program itself and of each torrent come first, and [`FileBudget`] divides the rest.
//! A task that still finds no file left is tried again later.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sha1_lanes::MAX_LANES;

/// Files of the program itself: terminal, listener, DHT, local discovery, look-ups.
const PROGRAM: usize = 32;

/// Files of a torrent: its folder and its record.
const TORRENT: usize = 2;

/// Files that a connection needs: its socket, a file, and that file's folder.
const CONNECTION: usize = 3;

/// Files for the first look at a torrent's data: a core hashes [`MAX_LANES`] pieces at a time, and
/// needs a file and its folder for each. We count one core; others that get fewer files hash fewer
/// pieces at a time.
const LOOK: usize = 2 * MAX_LANES;

/// The most files that a thread keeps open: more would not make it faster.
const MAX_FILES: usize = 16;

/// How many connections we make however low the limit is.
const FEW: usize = 4;

/// Stands for no limit: more files than fit in memory, yet far from overflowing a sum.
pub(super) const NO_LIMIT: usize = usize::MAX >> 8;

/// Raises this process's limit of open files as far as the system lets it, and returns it.
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

/// The limit, and the torrents that share it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileBudget {
    /// The limit of open files and connections.
    pub limit: usize,
    /// The torrents that have files open.
    pub torrents: usize,
}

impl FileBudget {
    /// How many files are left for connections and for looking at data.
    fn spare(self) -> usize {
        let kept = PROGRAM.saturating_add(self.torrents * TORRENT);
        self.limit.saturating_sub(kept)
    }

    /// How many connections all torrents together may have.
    pub(super) fn connections(self) -> usize {
        (self.spare() / 4 * 3 / CONNECTION).max(FEW)
    }

    /// How many files each connection's thread may keep open, if we expect `wanted` connections.
    pub(super) fn files_each(self, wanted: usize) -> usize {
        let connections = wanted.clamp(1, self.connections());
        let each = self.spare() / 4 * 3 / connections;
        // The connection, and a folder.
        each.saturating_sub(CONNECTION - 1).clamp(1, MAX_FILES)
    }

    /// Whether a look at one more torrent's data may begin, beside `underway` others. If no torrent
    /// has files open, it always may.
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
