//! The reports that wait while the reader of stdout or stderr is slow or does not read at all.
//! [`output`](super::output) has one backlog for each of the two.
//!
//! It stays small. Of the reports on a torrent's state only the newest waits. Of warnings and `-v`
//! lines at most [`MAX_REMARKS`] wait; then the user learns how many were left out.

use crate::human;
use crate::report::Report;
use crate::types::InfoHash;
use std::collections::VecDeque;

/// The most warnings and `-v` lines that wait.
pub(crate) const MAX_REMARKS: usize = 1000;

/// Reports in the order in which to show them.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    waiting: VecDeque<Report>,
    remarks: usize,
    /// How many remarks found no room. Until all earlier ones and this number are shown, later
    /// remarks find none either, so all missing lines are missing in one place.
    left_out: u64,
}

enum Kind {
    /// It waits until it is shown.
    Fact,
    /// The torrent's state: the next report of this kind replaces it.
    State(InfoHash),
    /// One line of many, which may be left out.
    Remark,
}

fn kind(report: &Report) -> Kind {
    match report {
        Report::Progress(progress) => Kind::State(progress.info_hash),
        Report::Checking { info_hash, .. } => Kind::State(*info_hash),
        Report::Warning { .. } | Report::Trace(_) | Report::Remark(_) => Kind::Remark,
        _ => Kind::Fact,
    }
}

impl Backlog {
    pub(crate) fn push(&mut self, report: Report) {
        match kind(&report) {
            Kind::Fact => {}
            Kind::State(hash) => {
                let is_older =
                    |other: &Report| matches!(kind(other), Kind::State(of) if of == hash);
                if let Some(place) = self.waiting.iter().position(is_older) {
                    self.waiting.remove(place);
                }
            }
            Kind::Remark if self.left_out > 0 || self.remarks == MAX_REMARKS => {
                self.left_out += 1;
                return;
            }
            Kind::Remark => self.remarks += 1,
        }
        self.waiting.push_back(report);
    }

    pub(crate) fn pop(&mut self) -> Option<Report> {
        if self.remarks == 0 && self.left_out > 0 {
            let lines = human::count(std::mem::take(&mut self.left_out), "line");
            return Some(Report::Warning {
                info_hash: None,
                message: format!("{lines} left out here, as nobody read what was written"),
            });
        }
        let report = self.waiting.pop_front()?;
        self.remarks -= usize::from(matches!(kind(&report), Kind::Remark));
        Some(report)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{added, complete, error, progress};
    use super::*;

    fn remark(number: usize) -> Report {
        Report::Remark(number.to_string())
    }

    fn other_progress(have_bytes: u64) -> Report {
        let info_hash = InfoHash([1; 20]);
        Report::Progress(crate::report::Progress {
            info_hash,
            ..progress(have_bytes)
        })
    }

    fn shown(backlog: &mut Backlog) -> Vec<Report> {
        std::iter::from_fn(|| backlog.pop()).collect()
    }

    #[test]
    fn who_reads_gets_everything_in_order() {
        let all = [
            added("x"),
            remark(1),
            Report::Progress(progress(1)),
            complete(),
        ];
        let mut backlog = Backlog::default();
        all.clone()
            .into_iter()
            .for_each(|report| backlog.push(report));
        assert_eq!(shown(&mut backlog), all);
        for number in 0..3 * MAX_REMARKS {
            backlog.push(remark(number));
            assert_eq!(backlog.pop(), Some(remark(number)));
        }
    }

    #[test]
    fn of_how_far_each_torrent_is_the_newest_waits() {
        let mut backlog = Backlog::default();
        backlog.push(Report::Checking {
            info_hash: progress(0).info_hash,
            done: 0,
            pieces: 1,
        });
        backlog.push(added("x"));
        for have in 0..100 {
            backlog.push(Report::Progress(progress(have)));
            backlog.push(other_progress(have));
        }
        backlog.push(complete());
        backlog.push(Report::Progress(progress(100)));
        let expected = [
            added("x"),
            other_progress(99),
            complete(),
            Report::Progress(progress(100)),
        ];
        assert_eq!(shown(&mut backlog), expected);
    }

    #[test]
    fn of_remarks_some_wait_and_the_rest_is_counted_once() {
        let mut backlog = Backlog::default();
        for number in 0..2 * MAX_REMARKS {
            backlog.push(remark(number));
            backlog.push(Report::Progress(progress(number as u64)));
        }
        backlog.push(error());
        assert_eq!(
            backlog.waiting.len(),
            MAX_REMARKS + 2,
            "no more memory than that"
        );
        assert_eq!(backlog.pop(), Some(remark(0)));
        // There is room for this one, but not in its place.
        backlog.push(remark(9999));
        let rest = shown(&mut backlog);
        let remarks = (1..MAX_REMARKS).map(remark);
        assert!(rest[..MAX_REMARKS - 1].iter().cloned().eq(remarks));
        let [Report::Warning { message, .. }, last, failed] = &rest[MAX_REMARKS - 1..] else {
            panic!("{:?}", &rest[MAX_REMARKS - 1..])
        };
        assert_eq!(
            message,
            "1,001 lines left out here, as nobody read what was written"
        );
        assert_eq!(
            *last,
            Report::Progress(progress(2 * MAX_REMARKS as u64 - 1))
        );
        assert_eq!(*failed, error());
        // The missing lines were told, so there is room again.
        backlog.push(remark(1));
        assert_eq!(shown(&mut backlog), [remark(1)]);
    }
}
