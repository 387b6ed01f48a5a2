//! What a user sees on a terminal: the program writes to a pseudo-terminal with echo, and an
//! emulator shows the window.

use crate::support::content::Spec;
use crate::support::peer::Seed;
use crate::support::place::Place;
use crate::support::program::{Running, Storrent};
use crate::support::tracker::dead_url;
use crate::support::{Gate, PATIENCE};
use crossbeam_channel::{Receiver, unbounded};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Instant;

const CTRL_C: u8 = 3;

/// What the terminal shows of it.
const ECHO: &str = "^C";

/// A terminal: the keyboard, the program's end of the line, and the window.
struct Terminal {
    keyboard: OwnedFd,
    line: File,
    came: Receiver<Vec<u8>>,
    /// Bytes that came and are not shown yet.
    unread: Vec<u8>,
    window: vt100::Parser,
    /// All bytes that came.
    raw: String,
}

impl Terminal {
    fn new(columns: u16) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let mut open = OpenOptions::new();
        let line = open.read(true).write(true).open(name.to_str().unwrap());
        let (send, came) = unbounded();
        let screen = keyboard.try_clone().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = rustix::io::read(&screen, &mut buffer) {
                if send.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        let of = |n: u16| n.try_into().unwrap();
        let mut terminal = Self {
            keyboard,
            line: line.unwrap(),
            came,
            unread: Vec::new(),
            window: vt100::Parser::new(of(24), of(columns), 0),
            raw: String::new(),
        };
        terminal.resize(columns);
        terminal
    }

    fn resize(&mut self, columns: u16) {
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.keyboard, size).unwrap();
        let of = |n: u16| n.try_into().unwrap();
        self.window.screen_mut().set_size(of(24), of(columns));
    }

    /// A download in this window. Like the emulator, it cuts lines when the window becomes
    /// narrower.
    fn download(&self, place: &Place) -> Storrent {
        let storrent = Storrent::new().alone().arg("-d").arg(place.dir());
        let storrent = ["NO_COLOR", "CLICOLOR_FORCE", "TMUX", "LC_ALL", "LC_CTYPE"]
            .iter()
            .fold(storrent, |storrent, name| storrent.env(name, ""));
        storrent
            .env("TERM", "xterm-256color")
            .env("XTERM_VERSION", "XTerm(390)")
            .env("LANG", "C.UTF-8")
            .arg(place.file())
            .stderr(self.line.try_clone().unwrap())
    }

    /// Types Ctrl-C, and waits until the terminal has shown it, which is not at once. Then it
    /// also throws away what the program has written and nobody has read: not its last words.
    fn press_ctrl_c(&mut self) {
        let echoes = |raw: &str| raw.matches(ECHO).count();
        let before = echoes(&self.raw);
        rustix::io::write(&self.keyboard, &[CTRL_C]).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while echoes(&self.raw) == before {
            assert!(self.read(deadline), "no echo: {:?}", self.raw);
        }
    }

    /// The lines in the window that are not empty.
    fn lines(&self) -> Vec<String> {
        let contents = self.window.screen().contents();
        let lines = contents.lines().filter(|line| !line.trim().is_empty());
        lines.map(str::to_string).collect()
    }

    /// Waits until the window `shows` something.
    #[track_caller]
    fn until(&mut self, shows: impl Fn(&[String]) -> bool) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lines = self.lines();
            if shows(&lines) {
                return lines;
            }
            let more = self.read(deadline);
            assert!(more, "it never shows that: {lines:#?}\n{:?}", self.raw);
        }
    }

    /// Shows what comes next; false: nothing came in time.
    fn read(&mut self, deadline: Instant) -> bool {
        if self.unread.is_empty() {
            match self.came.recv_deadline(deadline) {
                Ok(bytes) => self.unread = bytes,
                Err(_) => return false,
            }
        }
        // The next drawing, which hides the echo of a key, may have come together with it.
        let mut pairs = self.unread.windows(ECHO.len());
        let echo = pairs.position(|bytes| bytes == ECHO.as_bytes());
        let end = echo.map_or(self.unread.len(), |at| at + ECHO.len());
        let bytes: Vec<u8> = self.unread.drain(..end).collect();
        self.window.process(&bytes);
        self.raw.push_str(&String::from_utf8_lossy(&bytes));
        true
    }

    /// Sends a signal, as Ctrl-C at a prompt does.
    fn interrupt(&mut self, run: Running) -> Vec<String> {
        self.press_ctrl_c();
        run.kill(Signal::INT);
        run.wait().expect(130);
        // It may still have been checking the files.
        let ends = |line: &String| line.ends_with("from there") || line.ends_with("was over");
        self.until(|lines| lines.last().is_some_and(ends))
    }
}

fn has(lines: &[String], what: &str) -> bool {
    lines.iter().any(|line| line.contains(what))
}

#[test]
fn the_reason_can_be_read_and_ctrl_c_leaves_nothing_behind() {
    for columns in [40, 60, 80, 120] {
        let dead = [dead_url(), dead_url(), dead_url()];
        let spec = dead
            .iter()
            .fold(Spec::single("photos", 500_000), |spec, url| {
                spec.tracker(url)
            });
        let place = Place::new(spec);
        let mut terminal = Terminal::new(columns);
        let run = terminal.download(&place).start();
        let whole = "no peers: 0 of 3 trackers answered (3 refused)";
        let told = |lines: &[String]| {
            let below = lines.iter().skip(1).map(|line| line.trim());
            below.collect::<Vec<_>>().join(" ").contains(whole)
        };
        let lines = terminal.until(told);
        assert!(
            lines[0].starts_with("○ photos") && lines[0].contains("waiting"),
            "{lines:#?}"
        );
        assert!(lines[0].contains("  0.0%"), "{lines:#?}");
        for line in &lines {
            assert!(
                line.chars().count() < columns.into(),
                "the last column: {lines:#?}"
            );
        }
        // The echo of a key moves nothing: the next drawing removes it.
        terminal.press_ctrl_c();
        terminal.until(|lines| {
            let names = lines.iter().filter(|line| line.contains("photos"));
            !has(lines, ECHO) && told(lines) && names.count() == 1
        });
        let lines = terminal.interrupt(run);
        assert!(
            lines[0].starts_with("○ photos: 0.0% of 488 KiB, kept:"),
            "{lines:#?}"
        );
        assert!(!has(&lines, "no peers"), "{lines:#?}");
    }
}

#[test]
fn a_window_that_changes_while_it_downloads() {
    let place = Place::new(Spec::single("photos", 3_000_000));
    let gate = Gate::new();
    let seed = Seed::of(&place.torrent).hold(&gate).start();
    let mut terminal = Terminal::new(80);
    let run = terminal.download(&place).peers(&[seed.addr]).start();
    terminal.until(|lines| has(lines, "1 peer") && has(lines, "─"));
    terminal.resize(40);
    terminal.until(|lines| has(lines, "0.0%") && !has(lines, "─"));
    terminal.resize(120);
    terminal.until(|lines| has(lines, &"─".repeat(30)));
    gate.open();
    run.wait().expect(0);
    let path = place.dir().join("photos");
    let path = format!("saved as {}", path.display());
    // All of it, which need not come at once.
    let last = ["downloaded in", &path, "; from ", " (2.86 MiB)"];
    let lines = terminal.until(|lines| last.iter().all(|word| has(lines, word)));
    assert!(
        lines[0].starts_with("✓ photos: complete, 2.86 MiB"),
        "{lines:#?}"
    );
}

#[test]
fn wide_names_take_their_width() {
    let place = Place::new(Spec::single("映画の夜🎬映画の夜.mkv", 500_000));
    let mut terminal = Terminal::new(60);
    let run = terminal.download(&place).start();
    let lines = terminal.until(|lines| has(lines, "  0.0%") && has(lines, "no peers"));
    assert!(lines[0].starts_with("○ 映画の夜"), "{lines:#?}");
    let cell = |column| {
        terminal
            .window
            .screen()
            .cell(0, column)
            .unwrap()
            .has_contents()
    };
    assert!(!cell(59), "the last column: {lines:#?}");
    terminal.interrupt(run);
}

/// Colours follow the option and the environment, titles the terminal. Neither appears where lines
/// can't be overwritten.
#[test]
fn codes_are_for_those_who_know_them() {
    let place = Place::new(Spec::single("photos", 500_000));
    let run = |row: &str, change: &dyn Fn(Storrent) -> Storrent| {
        let mut terminal = Terminal::new(80);
        let run = change(terminal.download(&place)).start();
        terminal.until(|lines| has(lines, row));
        terminal.interrupt(run);
        terminal.raw
    };
    let known = |run: Storrent| run.env("TERM_PROGRAM", "ghostty");
    let raw = run("○ photos", &known);
    assert!(
        raw.contains("\x1b[36m○") && raw.contains("\x1b]2;0% photos\x1b\\"),
        "{raw:?}"
    );
    assert!(raw.contains("\x1b]9;4;"), "{raw:?}");
    let cleared = raw.rfind("\x1b]9;4;0\x1b\\");
    assert_eq!(
        cleared,
        raw.rfind("\x1b]9;4;"),
        "the tab stays marked: {raw:?}"
    );
    let raw = run("○ photos", &|run| run.env("NO_COLOR", "1"));
    assert!(!raw.contains("m○") && raw.contains("\x1b["), "{raw:?}");
    let raw = run("○ photos", &|run| {
        run.env("NO_COLOR", "1").args(["--color", "always"])
    });
    assert!(raw.contains("\x1b[36m○"), "{raw:?}");
    let raw = run("photos: ", &|run| known(run).env("TERM", "dumb"));
    assert!(!raw.contains('\x1b'), "{raw:?}");
    let raw = run("photos: ", &|run| {
        known(run).env("TERM", "dumb").env("CLICOLOR_FORCE", "1")
    });
    let codes: Vec<&str> = raw.split('\x1b').skip(1).collect();
    let is_colour =
        |code: &&str| code.starts_with('[') && code.find('m') == code.find(char::is_alphabetic);
    assert!(!codes.is_empty() && codes.iter().all(is_colour), "{raw:?}");
}
