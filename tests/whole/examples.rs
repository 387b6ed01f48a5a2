//! The example programs. Each opens with commands and their output, which are tried here.

use crate::support::program::{Running, Storrent};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A command from the top of an example, and the lines below it.
struct Step {
    words: Vec<String>,
    output: Vec<String>,
}

/// The steps at the top of `example`, in order.
fn steps(example: &str) -> Vec<Step> {
    let path = format!("tests/examples/{example}.rs");
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in text.lines().map_while(|line| line.strip_prefix("//!")) {
        let line = line.strip_prefix(' ').unwrap_or(line);
        if line.starts_with("```") {
            inside = line == "```text";
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                words: command.split(' ').map(str::to_owned).collect(),
                output: Vec::new(),
            });
        } else if inside {
            steps.last_mut().unwrap().output.push(line.to_owned());
        }
    }
    steps
}

/// Whether `line` is `expected`, in which each `…` stands for any text.
fn fits(line: &str, expected: &str) -> bool {
    let mut parts: Vec<&str> = expected.split('…').collect();
    let last = parts.pop().unwrap();
    if parts.is_empty() {
        return line == last;
    }
    let Some(mut rest) = line.strip_prefix(parts[0]) else {
        return false;
    };
    for part in &parts[1..] {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

/// Programs that run beside the examples, at free ports.
#[derive(Default)]
struct Neighbours {
    tracker: Option<(Child, BufReader<ChildStdout>, String)>,
    seed: Option<(Running, String)>,
}

impl Neighbours {
    /// Puts their ports into `word`.
    fn at(&self, word: &str) -> String {
        let mut word = word.to_owned();
        if let Some((.., address)) = &self.tracker {
            word = word.replace("127.0.0.1:6969", address);
        }
        if let Some((_, address)) = &self.seed {
            word = word.replace("127.0.0.1:6881", address);
        }
        word
    }

    fn line_of_tracker(&mut self) -> String {
        let (_, said, _) = self.tracker.as_mut().unwrap();
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn start_tracker(&mut self, step: &Step) {
        let mut command = example(&step.words);
        let mut tracker = command.arg("0").stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(tracker.stdout.take().unwrap());
        self.tracker = Some((tracker, said, String::new()));
        let line = self.line_of_tracker();
        let address = line.strip_prefix("announce to http://").unwrap();
        let address = address.strip_suffix("/announce").unwrap().to_owned();
        self.tracker.as_mut().unwrap().2 = address;
        for expected in &step.output {
            assert_eq!(line, self.at(expected));
        }
    }

    fn start_seed(&mut self, step: &Step) {
        let own = step.words.iter().position(|word| word == "--").unwrap();
        let words = step.words[own + 2..].iter().map(|word| match &**word {
            "6881" => "0".to_owned(),
            word => self.at(word),
        });
        assert_eq!(step.words[own + 1], "seed");
        let seed = Storrent::new().args(["seed", "--json", "--no-lsd", "--bind", "127.0.0.1"]);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut seed = seed.args(words).current_dir(root).start();
        let address = seed.address().to_string();
        self.seed = Some((seed, address));
        if self.tracker.is_some() {
            assert!(self.line_of_tracker().contains("event=started"));
        }
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        if let Some((tracker, ..)) = &mut self.tracker {
            let _ = tracker.kill();
            let _ = tracker.wait();
        }
    }
}

/// Runs the example that `words`, a cargo command, names. `cargo test` has built it: cargo itself,
/// started within a test, would build everything anew.
fn example(words: &[String]) -> Command {
    let [cargo, run, quiet, kind, name, arguments @ ..] = words else {
        panic!("{words:?}");
    };
    let head = [cargo, run, quiet, kind].map(String::as_str);
    assert_eq!(head, ["cargo", "run", "-q", "--example"]);
    let built = Path::new(env!("CARGO_BIN_EXE_storrent")).with_file_name("examples");
    let program = built.join(name);
    assert!(program.exists(), "first `cargo build --examples`");
    let mut command = Command::new(program);
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments);
    command
}

/// Runs the commands at the top of the example `name`.
fn play(name: &str) {
    let mut neighbours = Neighbours::default();
    let steps = steps(name);
    assert!(!steps.last().unwrap().output.is_empty(), "{name}");
    for step in steps {
        let says = |words: &[&str]| step.words.windows(words.len()).any(|w| w == words);
        if says(&["--example", "tracker"]) {
            neighbours.start_tracker(&step);
        } else if says(&["--", "seed"]) {
            neighbours.start_seed(&step);
        } else {
            assert!(says(&["--example", name]), "{:?}", step.words);
            let words: Vec<String> = step.words.iter().map(|word| neighbours.at(word)).collect();
            let done = example(&words).output().unwrap();
            let [said, error] = [done.stdout, done.stderr].map(|b| String::from_utf8(b).unwrap());
            assert!(done.status.success(), "{name}: {error}");
            let fits = |(line, expected): (&str, &String)| fits(line, &neighbours.at(expected));
            let as_told = said.lines().count() == step.output.len()
                && said.lines().zip(&step.output).all(fits);
            assert!(as_told, "{name} prints\n{said}");
        }
    }
}

#[test]
fn decode() {
    play("decode");
}

#[test]
fn info() {
    play("info");
}

#[test]
fn tracker() {
    play("tracker");
}

#[test]
fn announce() {
    play("announce");
}

#[test]
fn handshake() {
    play("handshake");
}

#[test]
fn one_block() {
    play("one_block");
}

#[test]
fn one_piece() {
    play("one_piece");
}

/// Every example is tried above, and without arguments says what it needs.
#[test]
fn without_arguments_each_says_what_it_needs() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/examples")).unwrap();
    for path in files.map(|file| file.unwrap().path()) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let test = format!("    play(\"{name}\");\n");
        assert!(
            include_str!("examples.rs").contains(&test),
            "{name} is not tried"
        );
        if name == "tracker" {
            continue;
        }
        let words = ["cargo", "run", "-q", "--example", name].map(str::to_owned);
        let done = example(&words).output().unwrap();
        let error = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{name}");
        assert!(error.starts_with(&format!("{name}: name a ")), "{error}");
    }
}

#[test]
fn dots_stand_for_anything() {
    assert!(fits("a b c", "a b c") && fits("a b c", "a…c") && fits("a b c d", "…b…d"));
    assert!(fits("a b", "a b…") && !fits("a b c", "a b") && !fits("a b", "…b c"));
    assert!(!fits("a c", "a…b…c"));
}
