//! Plain lines without control codes, for a stderr that is a log: one at the start of a torrent,
//! one per minute, and one at its end.

use super::about;
use super::row::Row;
use crate::report::Report;
use std::io::Write;
use std::time::{Duration, Instant};

/// Between two lines about a torrent's progress.
const INTERVAL: Duration = Duration::from_secs(60);

/// Writes the lines.
pub struct Lines<W> {
    out: W,
    /// Whether the name has the colour of the torrent's state.
    colour: bool,
    /// Each torrent, and the time of its last line.
    rows: Vec<(Row, Instant)>,
}

impl<W: Write> Lines<W> {
    /// Writes to `out`, in colour or not.
    pub fn new(out: W, colour: bool) -> Self {
        let rows = Vec::new();
        Self { out, colour, rows }
    }

    /// Takes a report that arrived at `now`.
    pub fn report(&mut self, report: &Report, now: Instant) {
        let hash = about(report);
        let known = self.rows.iter().any(|(row, _)| Some(row.info_hash) == hash);
        if let Some(row) = Row::begun_by(report).filter(|_| !known) {
            say(&mut self.out, self.colour, &row, &row.now());
            self.rows.push((row, now));
            return;
        }
        let row = self
            .rows
            .iter_mut()
            .find(|(row, _)| Some(row.info_hash) == hash);
        let Some((row, said)) = row else { return };
        let changed = row.take(report);
        // A failure was already shown as an error.
        let turns = matches!(report, Report::Added { .. } | Report::Complete { .. });
        if changed && (turns || now.duration_since(*said) >= INTERVAL) {
            say(&mut self.out, self.colour, row, &row.now());
            *said = now;
        }
    }

    /// Writes the last line of each torrent that has more to say.
    pub fn end(&mut self) {
        for (row, _) in self.rows.drain(..) {
            if let Some(ending) = row.ending() {
                say(&mut self.out, self.colour, &row, &ending);
            }
        }
    }
}

/// Writes a line with one call, so that no other output gets between.
fn say(out: &mut impl Write, colour: bool, row: &Row, text: &str) {
    let name = match colour {
        true => row.fields().paint.on(&row.name),
        false => row.name.clone(),
    };
    let line = format!("{name}: {text}\n");
    let _ = out.write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::tests::{added, complete, error, progress};
    use super::*;

    fn lines(reports: &[(Report, u64)]) -> Vec<String> {
        let (start, mut lines) = (Instant::now(), Lines::new(Vec::new(), false));
        for (report, second) in reports {
            lines.report(report, start + Duration::from_secs(*second));
        }
        lines.end();
        let text = String::from_utf8(lines.out).unwrap();
        text.lines().map(str::to_string).collect()
    }

    #[test]
    fn start_minute_and_end() {
        let mut reports = vec![(added("x"), 0)];
        reports.extend((1..150).map(|second| (Report::Progress(progress(second)), second)));
        let cut = lines(&reports);
        assert_eq!(cut.len(), 4, "{cut:?}");
        assert_eq!(cut[0], "x: 2.00 KiB in 1 of 2 files");
        assert!(
            cut[1].starts_with("x: 2.9% of 2.00 KiB, down"),
            "{}",
            cut[1]
        );
        assert!(
            cut[2].starts_with("x: 5.8%") && cut[3].contains("kept"),
            "{cut:?}"
        );

        reports.push((complete(), 150));
        let whole = lines(&reports);
        assert_eq!(whole.len(), 4);
        assert!(
            whole[3].starts_with("x: complete, 2.00 KiB in 1 of 2 files, saved as down/x; "),
            "{}",
            whole[3]
        );
    }

    #[test]
    fn a_failure_is_no_ending_and_strangers_are_ignored() {
        assert_eq!(lines(&[(added("x"), 0), (error(), 1)]).len(), 1);
        assert_eq!(lines(&[(complete(), 0), (error(), 1)]).len(), 0);
    }
}
