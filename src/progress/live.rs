//! The display on a terminal: for each torrent one line, which changes in place.

use super::{Row, about, complain};
use crate::report::Report;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// The lines on the terminal.
pub struct Live {
    screen: MultiProgress,
    rows: Vec<(Row, ProgressBar)>,
}

/// Longer names are cut, so that there is room for what changes.
const NAME_WIDTH: usize = 32;

impl Live {
    /// A display on stderr.
    pub fn new() -> Self {
        Self::on(ProgressDrawTarget::stderr())
    }

    fn on(target: ProgressDrawTarget) -> Self {
        Self {
            screen: MultiProgress::with_draw_target(target),
            rows: Vec::new(),
        }
    }

    /// Takes a report.
    pub fn report(&mut self, report: &Report) {
        if let Some(mut row) = Row::begun_by(report) {
            row.name = crate::human::shortened(&row.name, NAME_WIDTH);
            let bar = self.screen.add(line());
            bar.set_message(row.now());
            bar.tick();
            self.rows.push((row, bar));
            return;
        }
        let hash = about(report);
        let row = self
            .rows
            .iter_mut()
            .find(|(row, _)| Some(row.info_hash) == hash);
        if let Some((row, bar)) = row
            && row.take(report)
        {
            bar.set_message(row.now());
        }
    }

    /// Prints a line above the display.
    pub fn print(&self, line: &str) {
        self.screen.suspend(|| complain(line));
    }

    /// Leaves the last state of each torrent on the terminal.
    pub fn end(&mut self) {
        for (row, bar) in self.rows.drain(..) {
            bar.abandon_with_message(row.ending().unwrap_or_else(|| row.now()));
        }
    }
}

/// One line of the display: whatever its message is, cut to the window's width.
pub fn line() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_msg}");
    ProgressBar::no_length()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_finish(ProgressFinish::Abandon)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{added, complete, progress};
    use super::*;

    #[test]
    fn a_row_follows_its_torrent() {
        let mut live = Live::on(ProgressDrawTarget::hidden());
        live.report(&complete()); // of a torrent that was never added
        live.report(&added(&"long".repeat(20)));
        let bar = live.rows[0].1.clone();
        assert!(bar.message().starts_with("longlong") && bar.message().contains("…: 2.00 KiB in"));
        live.report(&Report::Progress(progress(1024)));
        assert!(
            bar.message().contains(": 50.0 % of 2.00 KiB, down"),
            "{}",
            bar.message()
        );
        live.end();
        assert!(
            bar.is_finished() && bar.message().contains("kept"),
            "{}",
            bar.message()
        );
    }
}
