//! The display on a terminal: draws the lines that [`frame`] decides on over the lines before.
//!
//! The cursor stays at the start of the line below the display. So what others write there, the
//! terminal's `^C` or a shell's message, begins on a line of its own, and the next drawing erases
//! it. The control codes are those of ECMA-48, and two more: `OSC 2` sets the title of the window,
//! `OSC 9;4` shows progress in its tab or in the taskbar.

use super::about;
use super::frame::{self, Mark, Size, State};
use super::row::Row;
use super::terminal::Terminal;
use super::text::Line;
use super::written::Written;
use crate::report::Report;
use signal_hook::consts::SIGCONT;
use signal_hook::flag;
use std::io::{self, Stderr, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The shortest time between two drawings. Eyes follow no faster.
const PAUSE: Duration = Duration::from_millis(100);

/// The size of a window that does not say it.
const USUAL: Size = Size {
    columns: 80,
    rows: 24,
};

pub(crate) struct Live {
    out: Written<Stderr>,
    board: Board,
    drawn: Option<Instant>,
    /// Something has changed since the last drawing.
    stale: bool,
    /// The program was stopped (Ctrl-Z) and goes on: the shell has written in between.
    resumed: Arc<AtomicBool>,
}

impl Live {
    pub(crate) fn on_stderr(terminal: Terminal) -> Self {
        let resumed = Arc::default();
        // Without it, a display that was stopped is drawn over what the shell wrote.
        let _ = flag::register(SIGCONT, Arc::clone(&resumed));
        Self {
            out: Written(io::stderr()),
            board: Board::new(terminal),
            drawn: None,
            stale: false,
            resumed,
        }
    }

    pub(crate) fn report(&mut self, report: &Report) {
        self.stale |= self.board.take(report);
        if self.due().is_some_and(|due| due <= Instant::now()) {
            self.draw();
        }
    }

    /// When to draw again, if no report comes before.
    pub(crate) fn due(&self) -> Option<Instant> {
        let now = || Instant::now();
        self.stale
            .then(|| self.drawn.map_or_else(now, |drawn| drawn + PAUSE))
    }

    pub(crate) fn draw(&mut self) {
        self.forget_if_resumed();
        let codes = self.board.drawing(size());
        self.write(&codes);
        (self.drawn, self.stale) = (Some(Instant::now()), false);
    }

    /// Calls `write`, which prints something above the display.
    pub(crate) fn aside(&mut self, write: impl FnOnce()) {
        self.forget_if_resumed();
        let codes = self.board.erasing(size());
        self.write(&codes);
        write();
        self.draw();
    }

    /// Ends the display, and leaves its last lines on the terminal.
    pub(crate) fn end(&mut self) {
        self.forget_if_resumed();
        let codes = self.board.ending(size());
        self.write(&codes);
    }

    /// Ends the display, and leaves nothing.
    pub(crate) fn vanish(&mut self) {
        self.board.rows.clear();
        self.end();
    }

    fn forget_if_resumed(&mut self) {
        if self.resumed.swap(false, Ordering::Relaxed) {
            self.board.drawn.clear();
        }
    }

    /// A closed terminal is no error: the download matters more.
    fn write(&mut self, codes: &str) {
        let _ = self.out.write_all(codes.as_bytes());
    }
}

fn size() -> Size {
    let window = rustix::termios::tcgetwinsize(io::stderr());
    let known = window.ok().filter(|it| it.ws_col > 0 && it.ws_row > 0);
    known.map_or(USUAL, |it| Size {
        columns: it.ws_col.into(),
        rows: it.ws_row.into(),
    })
}

/// What is on the terminal, and the codes that change it. No I/O, no clock.
pub(crate) struct Board {
    terminal: Terminal,
    rows: Vec<Row>,
    leaving: bool,
    drawn: Vec<usize>,
    mark: Option<Mark>,
}

impl Board {
    pub(crate) fn new(terminal: Terminal) -> Self {
        Self {
            terminal,
            rows: Vec::new(),
            leaving: false,
            drawn: Vec::new(),
            mark: None,
        }
    }

    /// Takes a report. Returns false if it changes nothing.
    pub(crate) fn take(&mut self, report: &Report) -> bool {
        if let Report::Leaving = report {
            self.leaving = true;
            return true;
        }
        let hash = about(report);
        let known = self.rows.iter().any(|row| Some(row.info_hash) == hash);
        if let Some(row) = Row::begun_by(report).filter(|_| !known) {
            self.rows.push(row);
            return true;
        }
        let mut rows = self.rows.iter_mut();
        let row = rows.find(|row| Some(row.info_hash) == hash);
        row.is_some_and(|row| row.take(report))
    }

    pub(crate) fn drawing(&mut self, size: Size) -> String {
        let lines = frame::lines(&self.rows, self.leaving, size, self.terminal.ascii);
        let mut codes = self.marks();
        codes += &self.back(size);
        self.drawn = lines.iter().map(Line::width).collect();
        for line in lines {
            codes += &format!("{}\x1b[K\r\n", line.shown(self.terminal.colour));
        }
        codes + "\x1b[J"
    }

    pub(crate) fn erasing(&mut self, size: Size) -> String {
        let codes = self.back(size) + "\x1b[J";
        self.drawn.clear();
        codes
    }

    /// The codes that put the last lines in the place of the display.
    pub(crate) fn ending(&mut self, size: Size) -> String {
        let mut codes = self.erasing(size);
        for line in frame::last(&self.rows, size.columns, self.terminal.ascii) {
            codes += &format!("{}\r\n", line.shown(self.terminal.colour));
        }
        self.rows.clear();
        codes + &self.no_marks()
    }

    /// Moves the cursor to the first line of the display.
    fn back(&self, size: Size) -> String {
        let rows = |width: &usize| match self.terminal.reflows {
            true => width.div_ceil(size.columns.max(1)).max(1),
            false => 1,
        };
        match self.drawn.iter().map(rows).sum::<usize>() {
            0 => "\r".to_string(),
            rows => format!("\r\x1b[{rows}A"),
        }
    }

    /// Sets the title and the tab, if they have changed.
    fn marks(&mut self) -> String {
        if self.leaving || self.rows.is_empty() {
            return self.no_marks();
        }
        let (mark, before) = (frame::mark(&self.rows), self.mark.as_ref());
        let mut codes = String::new();
        if before.is_none_or(|before| before.title != mark.title) && self.terminal.titled {
            // The terminal keeps the former title, if it can.
            let keep = if before.is_none() { "\x1b[22;2t" } else { "" };
            codes += &format!("{keep}\x1b]2;{}\x1b\\", mark.title);
        }
        let tab = |mark: &Mark| (mark.state, mark.percent);
        if before.map(tab) != Some(tab(&mark)) && self.terminal.tabbed {
            codes += &match mark.state {
                State::Over => "\x1b]9;4;0\x1b\\".to_string(),
                State::Goes => format!("\x1b]9;4;1;{}\x1b\\", mark.percent),
                State::Waits => format!("\x1b]9;4;4;{}\x1b\\", mark.percent),
                State::Unknown => "\x1b]9;4;3\x1b\\".to_string(),
            };
        }
        self.mark = Some(mark);
        codes
    }

    /// Clears the title and the tab, if they were set.
    fn no_marks(&mut self) -> String {
        let mut codes = String::new();
        if self.mark.take().is_some() {
            if self.terminal.titled {
                codes += "\x1b]2;\x1b\\\x1b[23;2t";
            }
            if self.terminal.tabbed {
                codes += "\x1b]9;4;0\x1b\\";
            }
        }
        codes
    }
}

#[cfg(test)]
mod tests;
