use super::super::tests::{HASH, added, complete, no_way, progress};
use super::*;
use crate::report::Progress;

/// A terminal of `columns` by 10, with what a board wrote to it.
struct Screen {
    board: Board,
    size: Size,
    parser: vt100::Parser,
}

impl Screen {
    fn new(columns: u16, terminal: Terminal) -> Self {
        let of = |n: u16| n.try_into().unwrap();
        Self {
            board: Board::new(terminal),
            size: Size {
                columns: columns.into(),
                rows: 10,
            },
            parser: vt100::Parser::new(of(10), of(columns), 0),
        }
    }

    fn write(&mut self, codes: &str) {
        self.parser.process(codes.as_bytes());
    }

    fn draw(&mut self, report: &Report) -> String {
        self.board.take(report);
        let codes = self.board.drawing(self.size);
        self.write(&codes);
        codes
    }

    fn lines(&self) -> Vec<String> {
        let contents = self.parser.screen().contents();
        let lines = contents.lines().filter(|line| !line.is_empty());
        lines.map(str::to_string).collect()
    }
}

fn moving() -> Terminal {
    Terminal {
        moves: true,
        reflows: true,
        ..Terminal::default()
    }
}

fn idle() -> Report {
    Report::Progress(Progress {
        idle: Some(no_way()),
        ..progress(7)
    })
}

#[test]
fn each_drawing_takes_the_place_of_the_last() {
    for columns in [40, 60, 80, 120] {
        let mut screen = Screen::new(columns, moving());
        screen.write("$ storrent x\r\n");
        screen.draw(&added("x"));
        screen.draw(&idle());
        assert_eq!(screen.lines().len(), 3, "a row and its reason");
        screen.write("^C"); // the terminal's echo
        screen.draw(&Report::Progress(progress(1024)));
        assert_eq!(screen.lines().len(), 2, "{:#?}", screen.lines());
        let codes = screen.board.erasing(screen.size);
        screen.write(&codes);
        screen.write("storrent: warning: odd\r\n");
        screen.draw(&Report::Progress(progress(1025)));
        let lines = screen.lines();
        assert_eq!(lines[..2], ["$ storrent x", "storrent: warning: odd"]);
        assert!(
            lines[2].starts_with("↓ x") && lines.len() == 3,
            "{lines:#?}"
        );
        screen.draw(&complete());
        let codes = screen.board.ending(screen.size);
        screen.write(&codes);
        let lines = screen.lines();
        assert!(
            lines[2].starts_with("✓ x: complete, 2.00 KiB"),
            "{lines:#?}"
        );
        assert!(!lines.iter().any(|line| line.contains('━')), "{lines:#?}");
    }
}

#[test]
fn a_window_that_became_narrower_has_wrapped_the_rows() {
    let mut screen = Screen::new(80, moving());
    screen.draw(&added("x"));
    screen.draw(&Report::Progress(progress(1024)));
    let width = screen.board.drawn[0];
    screen.size.columns = 40;
    let codes = screen.board.erasing(screen.size);
    assert_eq!(codes, format!("\r\x1b[{}A\x1b[J", width.div_ceil(40)));
    // Others cut them.
    screen.board.terminal.reflows = false;
    screen.draw(&Report::Progress(progress(1024)));
    screen.size.columns = 20;
    assert_eq!(screen.board.erasing(screen.size), "\r\x1b[1A\x1b[J");
}

#[test]
fn the_tab_and_the_title_are_cleared_at_every_end() {
    let known = Terminal {
        titled: true,
        tabbed: true,
        ..moving()
    };
    for leaves in [true, false] {
        let mut screen = Screen::new(80, known);
        let hostile = "x\x07\x1b]0;y";
        screen.draw(&added(hostile));
        let codes = screen.draw(&Report::Progress(progress(1024)));
        assert!(
            codes.contains("\x1b]2;50% x\\u{7}\\u{1b}]0;y\x1b\\"),
            "{codes:?}"
        );
        assert!(codes.contains("\x1b]9;4;1;50\x1b\\"), "{codes:?}");
        let codes = screen.draw(&Report::Progress(progress(1025)));
        assert!(!codes.contains("\x1b]"), "nothing new: {codes:?}");
        let end = match leaves {
            true => screen.draw(&Report::Leaving),
            false => screen.board.ending(screen.size),
        };
        let cleared = "\x1b]2;\x1b\\\x1b[23;2t\x1b]9;4;0\x1b\\";
        assert!(end.contains(cleared), "{end:?}");
        let after = screen.board.ending(screen.size);
        assert!(!after.contains("\x1b]"), "{after:?}");
    }
}

#[test]
fn unknown_terminals_get_neither() {
    let mut screen = Screen::new(80, moving());
    let codes = screen.draw(&added("x")) + &screen.draw(&complete());
    assert!(!(codes + &screen.board.ending(screen.size)).contains("\x1b]"));
}

#[test]
fn reports_of_strangers_change_nothing() {
    let mut board = Board::new(moving());
    assert!(!board.take(&complete()));
    assert!(board.take(&added("x")) && board.take(&complete()));
    let other = Progress {
        info_hash: crate::types::InfoHash([1; 20]),
        ..progress(1)
    };
    assert!(!board.take(&Report::Progress(other)));
    assert_eq!(board.rows[0].info_hash, HASH);
}
