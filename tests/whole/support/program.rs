//! Runs `storrent` as a user or a script would, and collects its output.

use super::PATIENCE;
use super::network::Neighbour;
use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

/// A command line in the making.
pub(crate) struct Storrent {
    command: Command,
    stdin: Vec<u8>,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

impl Storrent {
    /// `storrent` without arguments.
    pub(crate) fn new() -> Self {
        Self::of(Command::new(env!("CARGO_BIN_EXE_storrent")))
    }

    /// The same in another network.
    pub(crate) fn at(neighbour: &Neighbour) -> Self {
        Self::of(neighbour.command(env!("CARGO_BIN_EXE_storrent")))
    }

    /// The same, started by a command that takes it as its last argument.
    pub(crate) fn under(mut starter: Command) -> Self {
        starter.arg(env!("CARGO_BIN_EXE_storrent"));
        Self::of(starter)
    }

    /// The same, started by a shell after it did `limit`.
    pub(crate) fn limited(limit: &str) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{limit} && exec \"$0\" \"$@\"")]);
        Self::under(shell)
    }

    fn of(mut command: Command) -> Self {
        // A proxy of the machine's would sit between the program and loopback.
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        for name in ["DIR", "PORT", "BIND", "PROXY", "MAX_PEERS"] {
            command.env_remove(format!("STORRENT_{name}"));
        }
        Self {
            command,
            stdin: Vec::new(),
            stdout: None,
            stderr: None,
        }
    }

    /// A download into `dir` that finds only the peers that it is told, and prints its events.
    pub(crate) fn download(dir: &Path) -> Self {
        Self::new().arg("--json").alone().arg("-d").arg(dir)
    }

    /// The same for `storrent seed` of what is in `dir`.
    pub(crate) fn seed(dir: &Path) -> Self {
        Self::new()
            .args(["seed", "--json"])
            .alone()
            .arg("-d")
            .arg(dir)
    }

    /// Stays on loopback, without DHT and local discovery.
    pub(crate) fn alone(self) -> Self {
        self.args(["--no-dht", "--no-lsd", "-p", "0", "--bind", "127.0.0.1"])
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn peers(self, peers: &[SocketAddr]) -> Self {
        let options = peers.iter().flat_map(|p| ["--peer".into(), p.to_string()]);
        self.args(options)
    }

    pub(crate) fn stdin(mut self, bytes: &[u8]) -> Self {
        self.stdin = bytes.into();
        self
    }

    pub(crate) fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.stdout = Some(to.into());
        self
    }

    pub(crate) fn stderr(mut self, to: impl Into<Stdio>) -> Self {
        self.stderr = Some(to.into());
        self
    }

    pub(crate) fn current_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub(crate) fn start(mut self) -> Running {
        let line = format!("{:?}", self.command);
        let piped = self.command.stdin(Stdio::piped());
        let mut child = piped
            .stdout(self.stdout.unwrap_or_else(Stdio::piped))
            .stderr(self.stderr.unwrap_or_else(Stdio::piped))
            .spawn()
            .unwrap_or_else(|e| panic!("{line}: {e}"));
        let mut stdin = child.stdin.take().unwrap();
        // The program need not read it all.
        thread::spawn(move || stdin.write_all(&self.stdin));
        Running {
            line,
            pid: Pid::from_child(&child),
            stdout: child.stdout.take().map_or_else(never_said, lines),
            stderr: child.stderr.take().map_or_else(never_said, lines),
            exit: exit_of(child),
            said: Outcome::default(),
            taken: HashMap::new(),
        }
    }

    pub(crate) fn run(self) -> Outcome {
        self.start().wait()
    }
}

/// Sends the lines of `pipe` to a channel, because a channel can be waited on with a time limit.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = unbounded();
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    receiver
}

/// The lines of a stream that goes elsewhere.
fn never_said() -> Receiver<String> {
    unbounded().1
}

/// Sends the exit status of `child` to a channel.
pub(crate) fn exit_of(mut child: Child) -> Receiver<ExitStatus> {
    let (sender, receiver) = unbounded();
    thread::spawn(move || sender.send(child.wait().unwrap()));
    receiver
}

/// How many blocks a line of `-vv` says are stored: "sent block 3 of piece 7", or "sent blocks 3 to
/// 5 of piece 7".
fn stored(line: &str) -> Option<usize> {
    let (_, blocks) = line.split_once(": sent block")?;
    let (blocks, _) = blocks.split_once(" of piece ")?;
    let range = blocks.trim_start_matches(['s', ' ']);
    let (from, to) = range.split_once(" to ").unwrap_or((range, range));
    let number = |text: &str| text.parse::<usize>().ok();
    Some(number(to)? + 1 - number(from)?)
}

/// A running program. Dropped, it is killed.
pub(crate) struct Running {
    line: String,
    pid: Pid,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    exit: Receiver<ExitStatus>,
    said: Outcome,
    /// By the names of events, the number of the last one that somebody waited for.
    taken: HashMap<String, usize>,
}

/// Everything about a run that has ended.
#[derive(Default, Debug, Clone)]
pub(crate) struct Outcome {
    /// The exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// The JSON objects among the lines of standard output.
    pub events: Vec<Value>,
}

impl Running {
    /// Waits for the next event called `name`. Events of different names may come in any order.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        self.event_where(name, |_| true)
    }

    /// Likewise waits for one that `fits`.
    pub(crate) fn event_where(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut next = self.taken.get(name).map_or(0, |last| last + 1);
        loop {
            for number in next..self.said.events.len() {
                let event = &self.said.events[number];
                if event["event"] == name && fits(event) {
                    self.taken.insert(name.to_owned(), number);
                    return event.clone();
                }
            }
            next = self.said.events.len();
            match self.stdout.recv_deadline(deadline) {
                Ok(line) => self.said.take_line(&line),
                Err(why) => {
                    self.drain();
                    panic!("no event {name:?}: {why}\n{}\n{:#?}", self.line, self.said);
                }
            }
        }
    }

    /// Waits for the next line on standard error for which `look` returns something. With `-v` or
    /// `-vv` each fact is a line at once.
    pub(crate) fn told<T>(&mut self, look: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.stderr.recv_deadline(deadline) {
                Ok(line) => {
                    self.said.stderr.push_str(&line);
                    if let Some(found) = look(line.trim_end()) {
                        return found;
                    }
                }
                Err(why) => {
                    self.drain();
                    panic!("it does not tell: {why}\n{}\n{:#?}", self.line, self.said);
                }
            }
        }
    }

    /// Waits until `blocks` more are on the disk. The program must run with `-vv`.
    pub(crate) fn stored(&mut self, blocks: usize) {
        let mut missing = blocks;
        while missing > 0 {
            missing = missing.saturating_sub(self.told(stored));
        }
    }

    /// Waits until a tracker has answered that we joined: only then it must hear that we leave. The
    /// program must run with `-v`.
    pub(crate) fn joined(&mut self) {
        self.told(|line| line.contains("knows that we join").then_some(()));
    }

    pub(crate) fn address(&mut self) -> SocketAddr {
        let port = self.event("listening")["port"].as_u64().unwrap();
        SocketAddr::from(([127, 0, 0, 1], port as u16))
    }

    /// Sends it a signal, even if it is gone already.
    pub(crate) fn kill(&self, signal: Signal) {
        let _ = kill_process(self.pid, signal);
    }

    pub(crate) fn wait(mut self) -> Outcome {
        match self.exit.recv_timeout(PATIENCE) {
            Ok(status) => {
                // The pipes may still contain its last lines; they end with it.
                self.stdout
                    .iter()
                    .for_each(|line| self.said.take_line(&line));
                self.said.stderr.extend(self.stderr.iter());
                self.said.code = status.code();
                self.said.signal = status.signal();
                std::mem::take(&mut self.said)
            }
            Err(RecvTimeoutError::Timeout) => {
                self.drain();
                panic!("{} does not end\n{:#?}", self.line, self.said)
            }
            Err(RecvTimeoutError::Disconnected) => unreachable!("the waiting thread sends once"),
        }
    }

    pub(crate) fn ended(&self) -> bool {
        !self.exit.is_empty()
    }

    fn drain(&mut self) {
        while let Ok(line) = self.stdout.try_recv() {
            self.said.take_line(&line);
        }
        self.said.stderr.extend(self.stderr.try_iter());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.exit.is_empty() {
            self.kill(Signal::KILL);
        }
    }
}

impl Outcome {
    fn take_line(&mut self, line: &str) {
        self.stdout.push_str(line);
        self.events.extend(serde_json::from_str::<Value>(line));
    }

    /// Fails unless it ended with this status, and if it panicked.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert!(!self.stderr.contains("panicked"), "it panicked: {self:#?}");
        assert_eq!(self.code, Some(code), "{self:#?}");
        if code == 1 || code == 2 {
            let told = self.stderr.lines().any(|l| l.starts_with("storrent: "));
            assert!(
                told,
                "no message that begins with \"storrent: \": {self:#?}"
            );
        }
        self
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&Value> {
        self.events.iter().filter(|e| e["event"] == name).collect()
    }

    #[track_caller]
    pub(crate) fn one(&self, name: &str) -> &Value {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "events {name:?} in {self:#?}");
        all[0]
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }
}
