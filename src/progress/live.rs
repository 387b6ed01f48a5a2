//! The display on a terminal: one line per torrent, which changes in place.

use super::about;
use super::row::Row;
use crate::human::shortened;
use crate::report::Report;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

pub(crate) struct Live {
    screen: MultiProgress,
    rows: Vec<(Row, ProgressBar)>,
}

/// Longer names are cut to this many characters, to leave room for the rest.
const NAME_WIDTH: usize = 24;

impl Live {
    pub(crate) fn on_stderr() -> Self {
        Self::on(ProgressDrawTarget::stderr())
    }

    fn on(target: ProgressDrawTarget) -> Self {
        Self {
            screen: MultiProgress::with_draw_target(target),
            rows: Vec::new(),
        }
    }

    pub(crate) fn report(&mut self, report: &Report) {
        let hash = about(report);
        let known = self.rows.iter().any(|(row, _)| Some(row.info_hash) == hash);
        if let Some(row) = Row::begun_by(report).filter(|_| !known) {
            let bar = self.screen.add(line());
            draw(&row, &bar);
            self.rows.push((row, bar));
            return;
        }
        let mut rows = self.rows.iter_mut();
        if let Some((row, bar)) = rows.find(|(row, _)| Some(row.info_hash) == hash)
            && row.take(report)
        {
            draw(row, bar);
        }
    }

    /// Calls `write`, which prints something above the display.
    pub(crate) fn aside(&self, write: impl FnOnce()) {
        self.screen.suspend(write);
    }

    /// Ends the display. Returns a last line for each torrent, which stays on the terminal.
    pub(crate) fn end(&mut self) -> Vec<String> {
        let last = |(row, bar): (Row, ProgressBar)| {
            bar.finish_and_clear();
            format!(
                "{}: {}",
                row.name,
                row.ending().unwrap_or_else(|| row.now())
            )
        };
        self.rows.drain(..).map(last).collect()
    }
}

fn draw(row: &Row, bar: &ProgressBar) {
    bar.set_message(format!(
        "{}: {}",
        shortened(&row.name, NAME_WIDTH),
        row.now()
    ));
}

/// A line of the display: its message, cut to the width of the window.
pub(crate) fn line() -> ProgressBar {
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
            bar.message().contains(": 50.0% of 2.00 KiB, down"),
            "{}",
            bar.message()
        );
        let last = live.end();
        assert!(
            bar.is_finished() && last[0].ends_with("goes on from there"),
            "{last:?}"
        );
        assert!(last[0].starts_with(&"long".repeat(20)), "{last:?}");
    }
}
