//! What the whole-program tests share: content to share, a runner for the program, and its peers
//! and servers.
//!
//! Nothing here uses the product's own code. These files are the second opinion: with their own
//! bencode, wire messages and pieces, a misunderstanding can't hide in both the product and its
//! tests.
//!
//! | file | what |
//! | --- | --- |
//! | [`bencode`] | writes and reads bencode |
//! | [`content`] | payloads, the torrents made of them, and comparing folders with them |
//! | [`program`] | runs `storrent` and collects what it says |
//! | [`http`], [`tracker`] | scripted web server and trackers on loopback, which remember what they were asked |
//! | [`wire`], [`peer`] | the peer protocol, and scripted peers that speak it well or badly |
//! | [`dht`] | scripted nodes of the DHT |
//! | [`mainline`] | real ones |
//! | [`place`] | a temporary folder with a torrent, as most tests begin |
//! | [`proxy`] | scripted proxies |
//! | [`disk`] | a disk that is soon full |
//! | [`network`], [`clients`], [`nginx`], [`real_proxies`] | real clients and servers, in a network of their own |
//! | [`trap`] | a machine whose every packet is looked at as it leaves |

pub(crate) mod bencode;
pub(crate) mod clients;
pub(crate) mod content;
pub(crate) mod dht;
pub(crate) mod disk;
pub(crate) mod http;
pub(crate) mod mainline;
pub(crate) mod network;
pub(crate) mod nginx;
pub(crate) mod peer;
pub(crate) mod place;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod real_proxies;
pub(crate) mod tracker;
pub(crate) mod trap;
pub(crate) mod wire;

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for something that must happen. It tells a hang from a slow machine: with
/// a quarter of one core, real clients exchange the 64 MiB of `interop` in 30 s to 40 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Asks again and again. Returns whether it became true in time.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

/// A door at which all wait until somebody opens it, once and for all.
#[derive(Clone)]
pub(crate) struct Gate {
    opened: crossbeam_channel::Receiver<()>,
    closed: std::sync::Arc<std::sync::Mutex<Option<crossbeam_channel::Sender<()>>>>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        let (sender, opened) = crossbeam_channel::bounded(0);
        let closed = std::sync::Arc::new(std::sync::Mutex::new(Some(sender)));
        Self { opened, closed }
    }

    pub(crate) fn open(&self) {
        self.closed.lock().unwrap().take();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.closed.lock().unwrap().is_none()
    }

    pub(crate) fn wait(&self) {
        // Nothing is ever sent: the channel's end is the signal.
        let _ = self.opened.recv_timeout(PATIENCE);
    }
}

/// Random numbers that are the same in every run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next one (splitmix64).
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn pick(&mut self, range: std::ops::Range<usize>) -> usize {
        range.start + (self.next() % range.len() as u64) as usize
    }
}

/// A loopback TCP port for a program that can't choose one itself.
///
/// It is bound until the test's process ends: nobody listens there, and the system gives it to no
/// program that asks for any port. A program that asks for it by number gets it, if it sets
/// `SO_REUSEADDR`, as listeners do on Unix.
pub(crate) fn free_port() -> u16 {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    let bound = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    bound.port()
}

/// An address where nobody listens: connections are refused.
pub(crate) fn nobody() -> std::net::SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn sha1(bytes: &[u8]) -> [u8; 20] {
    use sha1::Digest;
    sha1::Sha1::digest(bytes).into()
}
