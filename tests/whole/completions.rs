//! The completions in real shells (bash, zsh and fish), and the man page in a real formatter. The
//! shells must offer what `--help` lists.
//!
//! bash and zsh run in a terminal. A key there inserts all offers into the line, which the shell
//! then prints, word by word.

use crate::support::network::lacks;
use crate::support::program::Storrent;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Prints what comes after storrent.
fn printed(words: &[&str]) -> String {
    Storrent::new().args(words).run().expect(0).stdout
}

/// A shell at a terminal.
struct Shell {
    child: Child,
    keyboard: OwnedFd,
    /// The key that inserts all that is offered.
    insert: &'static str,
}

impl Shell {
    fn start(dir: &Path, words: &[&str], setup: &str, insert: &'static str) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let name = name.into_string().unwrap();
        let screen = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name)
            .unwrap();
        let screen = || Stdio::from(screen.try_clone().unwrap());
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(dir).env("HOME", dir);
        command.env("TERM", "xterm").env("PS1", "$ ");
        command.stdin(screen()).stdout(screen()).stderr(screen());
        let child = command.spawn().unwrap();
        let shell = Self {
            child,
            keyboard,
            insert,
        };
        // A shell throws away what was typed before its prompt.
        shell.until("$ ");
        shell.press(&format!("{setup}\nprintf '<%s>\\n' READY\n"));
        shell.until("<READY>");
        shell
    }

    fn press(&self, keys: &str) {
        let mut keys = keys.as_bytes();
        while !keys.is_empty() {
            let pressed = rustix::io::write(&self.keyboard, keys).unwrap();
            keys = &keys[pressed..];
        }
    }

    /// Returns what appears on the screen up to `text`.
    fn until(&self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            let so_far = String::from_utf8_lossy(&seen);
            if so_far.contains(text) {
                return so_far.into_owned();
            }
            let mut fds = [PollFd::new(&self.keyboard, PollFlags::IN)];
            let patience = Timespec {
                tv_sec: 60,
                tv_nsec: 0,
            };
            assert_eq!(poll(&mut fds, Some(&patience)).unwrap(), 1, "{so_far}");
            let mut buffer = [0; 4096];
            let read = rustix::io::read(&self.keyboard, &mut buffer).unwrap();
            seen.extend_from_slice(&buffer[..read]);
        }
    }

    /// Returns the words that the line becomes.
    fn words(&self, line: &str) -> Vec<String> {
        let (insert, home) = (self.insert, '\u{1}');
        self.press(&format!("{line}{insert} END{home}printf '<%s>\\n' \n"));
        let seen = self.until("<END>");
        let words = seen
            .split(['\r', '\n'])
            .filter_map(|line| line.strip_prefix('<')?.strip_suffix('>'));
        words
            .map(String::from)
            .filter(|word| word != "END")
            .collect()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lists the options in the help of a command.
fn in_help(job: &str) -> BTreeSet<String> {
    let help = printed(&["help", job]);
    let names = help
        .lines()
        .filter(|line| line.trim_start().starts_with('-') && line.starts_with("  "));
    let words = names.flat_map(|line| {
        line.split_whitespace()
            .take(2)
            .map(|word| word.trim_matches(','))
    });
    words
        .filter(|word| word.starts_with("--"))
        .map(String::from)
        .collect()
}

/// Tries a shell. `offered` returns what the last word of a line may become.
fn complete_everything(dir: &Path, offered: impl Fn(&str) -> Vec<String>) {
    fs::create_dir(dir.join("folder")).unwrap();
    for file in ["a b.torrent", "x.torrent", "y.txt"] {
        fs::write(dir.join(file), "").unwrap();
    }
    let offered = |line: &str| -> BTreeSet<String> {
        let bare = |word: String| word.trim_end_matches(['/', '=']).to_string();
        offered(line).into_iter().map(bare).collect()
    };
    for job in [
        "", "show", "check", "create", "seed", "demo", "report", "help",
    ] {
        let space = if job.is_empty() { "" } else { " " };
        let line = format!("storrent {job}{space}--");
        assert_eq!(offered(&line), in_help(job), "{line}");
    }
    let cases = [
        ("storrent sh", "show"),
        ("storrent help c", "check create"),
        ("storrent --encryption ", "off prefer require"),
        ("storrent --encryption=p", "--encryption=prefer"),
        ("storrent --completions ", "bash fish zsh"),
        ("storrent -d ", "folder"),
        ("storrent --dir=f", "--dir=folder"),
        ("storrent check x", "x.torrent"),
        ("storrent create y", "y.txt"),
        ("storrent show -o y", "y.txt"),
        (
            "storrent --peer 127.0.0.1:1 -d x seed --seed-",
            "--seed-ratio --seed-time",
        ),
        ("storrent -- sh", ""),
        ("storrent x.torrent sh", ""),
    ];
    for (line, expected) in cases {
        let expected: BTreeSet<_> = expected.split_whitespace().map(String::from).collect();
        let mut offered = offered(line);
        // A word that nothing completes stays as it is.
        offered.remove("sh");
        assert_eq!(offered, expected, "{line}");
    }
    let first = offered("storrent ");
    for word in ["show", "help", "folder", "a b.torrent", "x.torrent"] {
        assert!(first.contains(word), "{word}: {first:?}");
    }
    assert!(
        offered("storrent --peer ").is_empty(),
        "nobody can guess it"
    );
}

/// Returns the words that follow those of the line before its last one.
fn new_words(line: &str, words: Vec<String>) -> Vec<String> {
    let before = line.split(' ').count() - 1;
    words.into_iter().skip(before).collect()
}

#[test]
fn bash_completes() {
    if lacks("bash_completes", &["bash"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join(".script"),
        printed(&["--completions", "bash"]),
    )
    .unwrap();
    let words = ["bash", "--norc", "--noprofile", "-i"];
    // readline's own key for it is Alt-*.
    let shell = Shell::start(dir.path(), &words, "source .script", "\u{1b}*");
    complete_everything(dir.path(), |line| new_words(line, shell.words(line)));
}

#[test]
fn zsh_completes() {
    if lacks("zsh_completes", &["zsh"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".functions")).unwrap();
    let script = dir.path().join(".functions/_storrent");
    fs::write(script, printed(&["--completions", "zsh"])).unwrap();
    let setup = "fpath=($PWD/.functions $fpath); autoload -U compinit; compinit -D -u; \
                 zstyle ':completion:all-matches::::' completer _all_matches _complete; \
                 zstyle ':completion:all-matches:*' insert yes; \
                 zle -C all-matches complete-word _generic; bindkey '^X*' all-matches";
    let shell = Shell::start(dir.path(), &["zsh", "-f", "-i"], setup, "\u{18}*");
    complete_everything(dir.path(), |line| new_words(line, shell.words(line)));
}

#[test]
fn fish_completes() {
    if lacks("fish_completes", &["fish"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join(".script"),
        printed(&["--completions", "fish"]),
    )
    .unwrap();
    complete_everything(dir.path(), |line| {
        let mut fish = Command::new("fish");
        fish.args([
            "--no-config",
            "-c",
            "source .script; complete -C $argv[1]",
            line,
        ]);
        let end = fish
            .current_dir(dir.path())
            .env("HOME", dir.path())
            .output()
            .unwrap();
        assert!(end.stderr.is_empty(), "{end:?}");
        let text = String::from_utf8(end.stdout).unwrap();
        // A tab precedes the description. fish offers other files, too, after all torrents.
        let word = |line: &str| line.split('\t').next().unwrap_or_default().to_string();
        text.lines().map(word).collect()
    });
}

#[test]
fn the_man_page_is_sound() {
    if lacks("the_man_page_is_sound", &["mandoc", "groff"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("storrent.1");
    fs::write(&page, printed(&["--man"])).unwrap();
    for words in [&["mandoc", "-Tlint"][..], &["groff", "-ww", "-man", "-z"]] {
        let end = Command::new(words[0])
            .args(&words[1..])
            .arg(&page)
            .output()
            .unwrap();
        let said = [end.stdout, end.stderr].concat();
        assert!(
            said.is_empty(),
            "{words:?}: {}",
            String::from_utf8_lossy(&said)
        );
    }
}
