//! A network of ten real DHT nodes on loopback, of the `mainline` crate: the program in
//! `tests/mainline`, which has a build of its own.

use super::network::skip;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The folder of the program's package.
const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mainline");
const BUILD: &str = "(cd tests/mainline && cargo build --locked --target-dir target)";

/// A running network. It ends when this is dropped.
pub(crate) struct Testnet {
    program: Child,
    said: BufReader<ChildStdout>,
    pub nodes: Vec<String>,
}

impl Testnet {
    /// Starts it for the test `name`, which is skipped if the program is not built.
    pub(crate) fn start(name: &str) -> Option<Self> {
        let program = Path::new(PACKAGE).join("target/debug/mainline");
        if !program.exists() {
            skip(name, &format!("its nodes are not built: {BUILD}"));
            return None;
        }
        let mut command = Command::new(program);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = command.spawn().unwrap();
        let said = BufReader::new(program.stdout.take().unwrap());
        let nodes = Vec::new();
        let mut net = Self {
            program,
            said,
            nodes,
        };
        net.nodes = net.line().split(' ').map(str::to_owned).collect();
        Some(net)
    }

    /// Has `node` announce that the peer at this port of 127.0.0.1 has the torrent.
    pub(crate) fn announce(&mut self, node: usize, info_hash: &str, port: u16) {
        let answer = self.ask(&format!("announce {node} {info_hash} {port}"));
        assert_eq!(answer, "done");
    }

    pub(crate) fn peers(&mut self, node: usize, info_hash: &str) -> Vec<SocketAddr> {
        let answer = self.ask(&format!("peers {node} {info_hash}"));
        answer
            .split_whitespace()
            .map(|peer| peer.parse().unwrap())
            .collect()
    }

    fn ask(&mut self, question: &str) -> String {
        writeln!(self.program.stdin.as_mut().unwrap(), "{question}").unwrap();
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the nodes are gone");
        line.trim_end().to_owned()
    }
}

impl Drop for Testnet {
    fn drop(&mut self) {
        drop(self.program.stdin.take());
        let _ = self.program.wait();
    }
}
