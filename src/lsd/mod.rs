//! Finds peers on the same network ([BEP 14], local service discovery), with one thread.
//!
//! A machine in the next room may have the same torrent, and is fast to reach, but a tracker that
//! sees both machines behind one address can't introduce them. So each client sends the info hashes
//! of its torrents, in a small UDP packet, to a *multicast* group: an address that stands for all
//! machines that joined it. A client that finds one of its own torrents in a packet connects to the
//! sender.
//!
//! The thread announces the torrents that main names, when [`schedule`] says so, and reports to
//! main who else has them. It never hears about private torrents. [`message`] defines the packets.
//!
//! A machine may be in several networks. We join a group, and send to it, on each network interface
//! separately. Interfaces come and go, so each announce lists them anew.
//!
//! [BEP 14]: https://www.bittorrent.org/beps/bep_0014.html

pub(crate) mod message;
pub(crate) mod schedule;

use crate::door::Door;
use crate::threads::{self, NoThread};
use crate::types::InfoHash;
use crossbeam_channel::{Receiver, TryRecvError};
use message::MAX_PACKET;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use schedule::Schedule;
use socket2::SockRef;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// The UDP port of both groups.
const PORT: u16 = 6771;

const GROUPS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(239, 192, 152, 143)),
    IpAddr::V6(Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f)),
];

const TICK: Duration = Duration::from_millis(100);

/// The most packets read in one turn. If there are more, the thread sleeps for [`TICK`] in between.
const A_TURN: usize = 32;

/// The thread's stack in bytes; whatever grows is on the heap.
const STACK: usize = 128 * 1024;

pub(crate) const PURPOSE: &str = "look for peers on the local network";

/// An order from main. A closed channel ends the thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// Announce this torrent, and report who else has it.
    Announce(InfoHash),
    Leave(InfoHash),
}

/// The sockets of both groups, or of one.
pub(crate) struct Groups(Vec<Group>);

/// Opens the sockets: on all interfaces except loopback, or on the one with the address of
/// `--bind`.
///
/// # Errors
/// If we can listen to neither group.
pub(crate) fn open(door: &Door) -> io::Result<Groups> {
    let (mut groups, mut failed) = (Vec::new(), None);
    for ip in GROUPS {
        if door.may_reach(ip) {
            match Group::open(ip, door) {
                Ok(group) => groups.push(group),
                // The first error tells most: many machines have no IPv6.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
    }
    if let Some(error) = failed.filter(|_| groups.is_empty()) {
        return Err(error);
    }
    Ok(Groups(groups))
}

/// Starts the thread, which sends and listens through `groups`. `port` is where we accept peers.
/// `found` is called with each of our torrents in an announce and its sender, for at most ten
/// announces a second; `lost`, if the thread panics. The thread ends when the channel of `orders`
/// closes.
pub(crate) fn spawn(
    groups: Groups,
    port: u16,
    orders: Receiver<Order>,
    found: impl Fn(InfoHash, SocketAddr) + Send + 'static,
    lost: impl FnOnce() + Send + 'static,
) -> Result<(), NoThread> {
    let thread = thread::Builder::new().name("lsd".into()).stack_size(STACK);
    let work = move || run(port, &groups.0, &orders, found);
    threads::spawn(thread, PURPOSE, work, lost).map(drop)
}

fn run(
    port: u16,
    groups: &[Group],
    orders: &Receiver<Order>,
    found: impl Fn(InfoHash, SocketAddr),
) {
    let cookie = format!("{:016x}", fastrand::u64(..));
    let mut schedule = Schedule::default();
    loop {
        loop {
            match orders.try_recv() {
                Ok(Order::Announce(torrent)) => schedule.add(torrent, Instant::now()),
                Ok(Order::Leave(torrent)) => schedule.remove(torrent),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        let due = schedule.due(Instant::now());
        if !due.is_empty() {
            for group in groups {
                group.announce(&message::encode(group.at, port, &due, &cookie));
            }
        }
        wait(groups);
        let mut packets = 0;
        while packets < A_TURN
            && let Some((packet, from)) = groups.iter().find_map(Group::read)
        {
            packets += 1;
            let announce = message::decode(&packet);
            let Some(announce) = announce.filter(|a| a.cookie.as_ref() != Some(&cookie)) else {
                continue;
            };
            let mut ours = announce.info_hashes;
            ours.retain(|torrent| schedule.has(*torrent));
            if !ours.is_empty() && schedule.may_hear(Instant::now()) {
                let mut peer = from;
                peer.set_port(announce.port);
                ours.into_iter().for_each(|torrent| found(torrent, peer));
            }
        }
        if packets == A_TURN {
            thread::sleep(TICK);
        }
    }
}

fn wait(groups: &[Group]) {
    let mut sockets: Vec<PollFd> = groups
        .iter()
        .map(|g| PollFd::new(&g.ears, PollFlags::IN))
        .collect();
    let limit = Timespec {
        tv_sec: 0,
        tv_nsec: TICK.subsec_nanos().into(),
    };
    if poll(&mut sockets, Some(&limit)).is_err() {
        thread::sleep(TICK);
    }
}

/// One of the two groups, with our sockets.
struct Group {
    at: SocketAddr,
    /// Bound to the group's address: only packets sent to the group arrive here, so nobody outside
    /// the local network can feed us peers.
    ears: UdpSocket,
    /// Sends from the address at which peers can reach us.
    mouth: UdpSocket,
    bind: Option<IpAddr>,
}

impl Group {
    fn open(ip: IpAddr, door: &Door) -> io::Result<Self> {
        let at = SocketAddr::new(ip, PORT);
        Ok(Self {
            at,
            ears: door.group(at)?,
            mouth: door.udp(at.is_ipv6(), 0)?,
            bind: door.bind,
        })
    }

    /// Sends `packets` on each interface, and joins the group there. Usually we have joined it
    /// before, and any other error concerns that interface only.
    fn announce(&self, packets: &[Vec<u8>]) {
        for interface in self.interfaces() {
            let mouth = SockRef::from(&self.mouth);
            let chosen = match (interface, self.at.ip()) {
                (Interface::V4(own), IpAddr::V4(group)) => {
                    let _ = self.ears.join_multicast_v4(&group, &own);
                    mouth.set_multicast_if_v4(&own)
                }
                (Interface::V6(index), IpAddr::V6(group)) => {
                    let _ = self.ears.join_multicast_v6(&group, index);
                    mouth.set_multicast_if_v6(index)
                }
                _ => continue,
            };
            if chosen.is_ok() {
                for packet in packets {
                    let _ = self.mouth.send_to(packet, self.at);
                }
            }
        }
    }

    /// Lists the interfaces through which the group can be reached.
    fn interfaces(&self) -> BTreeSet<Interface> {
        let all = if_addrs::get_if_addrs().unwrap_or_default();
        let ours = all.iter().filter(|interface| match self.bind {
            Some(ip) => interface.ip() == ip,
            None => !interface.is_loopback(),
        });
        ours.filter_map(|interface| match interface.ip() {
            IpAddr::V4(ip) if self.at.is_ipv4() => Some(Interface::V4(ip)),
            IpAddr::V6(_) if self.at.is_ipv6() => interface.index.map(Interface::V6),
            _ => None,
        })
        .collect()
    }

    /// Reads a packet and its sender. An error counts as an empty packet, so a socket that keeps
    /// failing makes the thread sleep, after [`A_TURN`] of them.
    fn read(&self) -> Option<(Vec<u8>, SocketAddr)> {
        let mut packet = vec![0; MAX_PACKET + 1];
        match self.ears.recv_from(&mut packet) {
            Ok((len, from)) => {
                packet.truncate(len);
                Some((packet, from))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some((Vec::new(), self.at)),
        }
    }
}

/// A network interface, as the system's calls for multicast name it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Interface {
    /// By its IPv4 address.
    V4(Ipv4Addr),
    /// By its index.
    V6(u32),
}
