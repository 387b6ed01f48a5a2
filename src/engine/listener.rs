//! The listening socket, to which other peers connect.
//!
//! Its thread sleeps in `accept`, so a new peer never waits for us, and hands each connection to
//! main.

use crate::door::Door;
use crate::threads::{self, NoThread};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// The ports that BitTorrent clients try first by tradition.
const USUAL_PORTS: std::ops::RangeInclusive<u16> = 6881..=6889;

/// After an error (no file descriptor left, say) `accept` would fail again at once.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) const PURPOSE: &str = "accept peers";

/// Opens the listening socket on `port` (0: any free one). `None`: the first free one of 6881 to
/// 6889, or else any free one.
///
/// # Errors
/// If `port` is taken, or no port is free.
pub(super) fn open(port: Option<u16>, door: &Door) -> io::Result<TcpListener> {
    match port {
        Some(port) => door.listen(port),
        None => USUAL_PORTS
            .chain([0])
            .map(|port| door.listen(port))
            .find_map(Result::ok)
            .map_or_else(|| door.listen(0), Ok),
    }
}

/// Starts the thread that accepts peers. It ends when `take` returns false, which [`wake`] makes it
/// call. `lost` is called if it panics.
pub(super) fn spawn(
    listener: Arc<TcpListener>,
    take: impl Fn(TcpStream, SocketAddr) -> bool + Send + 'static,
    lost: impl FnOnce() + Send + 'static,
) -> Result<(), NoThread> {
    let thread = std::thread::Builder::new()
        .name("listener".into())
        .stack_size(64 * 1024);
    let work = move || {
        loop {
            match listener.accept() {
                Ok((stream, addr)) => {
                    let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
                    if !take(stream, addr) {
                        break;
                    }
                }
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    };
    threads::spawn(thread, PURPOSE, work, lost).map(drop)
}

/// Wakes a listener that sleeps in `accept`, by a connection to it.
pub(super) fn wake(local: SocketAddr, door: &Door) {
    let ip = match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let _ = door.connect(SocketAddr::new(ip, local.port()), PAUSE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        let first = open(Some(0), &Door::default()).unwrap();
        let taken = first.local_addr().unwrap().port();
        assert_eq!(
            open(Some(taken), &Door::default()).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        assert!(
            open(None, &Door::default()).is_ok(),
            "with no port named there is always one"
        );
        let door = Door::at(Ipv4Addr::LOCALHOST);
        let local = open(Some(0), &door).unwrap();
        assert_eq!(local.local_addr().unwrap().ip(), Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn accepts_over_ipv4_and_ends_when_woken() {
        let listener = open(Some(0), &Door::default()).unwrap();
        let local = listener.local_addr().unwrap();
        let (taken, seen) = crossbeam_channel::bounded(1);
        let take = move |_, addr| taken.send(addr).is_ok();
        spawn(Arc::new(listener), take, || ()).unwrap();
        let peer = TcpStream::connect((Ipv4Addr::LOCALHOST, local.port())).unwrap();
        assert_eq!(seen.recv().unwrap(), peer.local_addr().unwrap());
        drop(seen);
        wake(local, &Door::default());
    }
}
