//! Lab 11: a whole downloader, and five peers that break it. `README.md` beside this file is the
//! page.

mod peers;
mod plain;
mod yours;

use crate::frame::{Check, holds, lab, must_pass};
use peers::Script;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// What you write.
pub(crate) trait Downloader {
    /// How long a check waits for it.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Downloads the one file of `torrent`.
    fn download(torrent: &[u8]) -> Result<Vec<u8>, String>;
}

struct Blank;

impl Downloader for Blank {
    /// If it works at all, it takes milliseconds.
    const PATIENCE: Duration = Duration::from_secs(2);

    fn download(torrent: &[u8]) -> Result<Vec<u8>, String> {
        plain::download(torrent)
    }
}

struct Yours;

impl Downloader for Yours {
    fn download(torrent: &[u8]) -> Result<Vec<u8>, String> {
        yours::download(torrent)
    }
}

struct Real;

impl Downloader for Real {
    const PATIENCE: Duration = Duration::from_secs(90);

    fn download(torrent: &[u8]) -> Result<Vec<u8>, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.torrent");
        std::fs::write(&file, torrent).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_storrent"));
        command.args([
            "-q",
            "--no-dht",
            "--no-lsd",
            "--no-pex",
            "-p",
            "0",
            "--bind",
            "127.0.0.1",
        ]);
        let done = command
            .arg("-d")
            .arg(dir.path())
            .arg(file)
            .output()
            .unwrap();
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into_owned());
        }
        std::fs::read(dir.path().join("content")).map_err(|error| error.to_string())
    }
}

/// Downloads from peers that play `scripts`.
fn among<D: Downloader + 'static>(scripts: &[Script], hint: &str) -> Check {
    within::<D>(D::PATIENCE, scripts, hint)
}

fn within<D: Downloader + 'static>(patience: Duration, scripts: &[Script], hint: &str) -> Check {
    let (torrent, content) = peers::swarm(scripts);
    let (sender, end) = mpsc::channel();
    thread::spawn(move || sender.send(D::download(&torrent)));
    let yours = match end.recv_timeout(patience) {
        Ok(Ok(bytes)) if bytes == content => return Ok(()),
        Ok(Ok(bytes)) => format!("{} bytes, but not the right ones", bytes.len()),
        Ok(Err(error)) => format!("the error: {error}"),
        Err(mpsc::RecvTimeoutError::Timeout) => format!("nothing within {patience:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => "a panic".to_owned(),
    };
    let expected = format!("the {} bytes of the content", content.len());
    holds(
        false,
        format!("a tracker and peers: {scripts:?}"),
        yours,
        &expected,
        hint,
    )
}

use Script::{Choker, Giant, Honest, Liar, Quitter, Silent};

#[test]
fn honest_seeds_are_enough_for_250_lines() {
    let lines = include_str!("plain.rs").lines().count();
    assert!(lines <= 250, "{lines}");
    must_pass(within::<Blank>(Real::PATIENCE, &[Honest], ""));
    must_pass(within::<Blank>(Real::PATIENCE, &[Honest, Honest], ""));
}

lab!(a_silent_peer a_liar a_giant a_choker a_quitter);

fn a_silent_peer<D: Downloader + 'static>() -> Check {
    let hint = "a piece that a peer owes is not fetched by anybody else: for how long?";
    among::<D>(&[Silent, Honest], hint)
}

fn a_liar<D: Downloader + 'static>() -> Check {
    let hint = "a false piece is no reason to end, only to fetch it again, and from whom?";
    among::<D>(&[Liar, Honest], hint)
}

fn a_giant<D: Downloader + 'static>() -> Check {
    let hint = "look at a length before you make room for it; then this peer is as one that quits";
    among::<D>(&[Giant, Honest], hint)
}

fn a_choker<D: Downloader + 'static>() -> Check {
    let hint = "after a choke no answer comes to earlier requests: ask again after the unchoke";
    among::<D>(&[Choker], hint)
}

fn a_quitter<D: Downloader + 'static>() -> Check {
    let hint = "when a thread ends early, its piece must go back to the others";
    among::<D>(&[Quitter, Honest], hint)
}
