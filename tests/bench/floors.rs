//! The least that could do the same work. Each runs in a process of its own: this
//! program, started anew.

use crate::peers::{self, Content, PIECE_LEN};
use crate::{Cost, to_end};
use sha1_lanes::{Sha1Lanes, full_batch};
use std::fs::File;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::thread;

/// The first argument of a process that is a floor.
pub(crate) const FLAG: &str = "--floor";

/// Bytes of each message that are hashed at a time.
const STRETCH: usize = 32 << 10;

/// What such a process does.
pub(crate) fn run(args: &[String]) {
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["download", addr, path] => receive(addr, Path::new(path)),
        ["seed", addr, path] => {
            let mut stream = TcpStream::connect(addr).expect("nobody listens");
            let mut file = File::open(path).expect("it is there");
            std::io::copy(&mut file, &mut stream).expect("it is taken");
        }
        ["check", path] => hash(Path::new(path)),
        _ => panic!("what floor is {args:?}?"),
    }
}

fn start(args: &[&str], path: &Path) -> Cost {
    let program = std::env::current_exe().expect("we run");
    to_end(Command::new(program).arg(FLAG).args(args).arg(path))
}

/// Bytes from a socket to the disk, hashed on the way: no protocol, no choice.
pub(crate) fn download(content: &Content) -> Cost {
    let dir = tempfile::tempdir().expect("no temporary folder");
    let source = peers::serve(content, peers::pour);
    start(
        &["download", &source.to_string()],
        &dir.path().join("content"),
    )
}

/// A file to a socket, by the kernel alone.
pub(crate) fn seed(content: &Content) -> Cost {
    let sink = peers::serve(content, |mut stream, _| {
        let mut buf = vec![0; 1 << 20];
        while stream.read(&mut buf).is_ok_and(|read| read > 0) {}
    });
    start(&["seed", &sink.to_string()], &content.dir.join("content"))
}

/// Each core hashes its part, in full batches.
pub(crate) fn check(content: &Content) -> Cost {
    start(&["check"], &content.dir.join("content"))
}

/// Hashes `batch`, as many messages as are best hashed together.
fn hash_batch(batch: &[u8]) {
    let messages: Vec<&[u8]> = batch.chunks(batch.len() / full_batch()).collect();
    let mut hasher = Sha1Lanes::new(messages.len());
    for at in (0..messages[0].len()).step_by(STRETCH) {
        let end = (at + STRETCH).min(messages[0].len());
        hasher.update(&messages.iter().map(|m| &m[at..end]).collect::<Vec<_>>());
    }
    std::hint::black_box(hasher.finish());
}

fn receive(addr: &str, path: &Path) {
    let mut stream = TcpStream::connect(addr).expect("nobody listens");
    let file = File::create(path).expect("no file");
    let mut batch = vec![0; full_batch() * PIECE_LEN as usize];
    let mut at = 0;
    loop {
        let mut filled = 0;
        while filled < batch.len() {
            match stream.read(&mut batch[filled..]).expect("it is sent") {
                0 => break,
                read => filled += read,
            }
        }
        if filled == 0 {
            break;
        }
        file.write_all_at(&batch[..filled], at).expect("no room");
        at += filled as u64;
        hash_batch(&batch[..filled]);
    }
}

fn hash(path: &Path) {
    let file = File::open(path).expect("it is there");
    let len = file.metadata().expect("it is there").len();
    let threads = storrent::engine::cores() as u64;
    thread::scope(|scope| {
        for number in 0..threads {
            let file = &file;
            scope.spawn(move || {
                let mut batch = vec![0; full_batch() * STRETCH];
                let (mut at, end) = (len / threads * number, len / threads * (number + 1));
                while at < end {
                    let size = batch.len().min((end - at) as usize);
                    file.read_exact_at(&mut batch[..size], at).expect("data");
                    hash_batch(&batch[..size]);
                    at += size as u64;
                }
            });
        }
    });
}
