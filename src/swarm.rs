//! The address book of a torrent: which peer to dial next, and which never again.
//!
//! Trackers, the command line and other sources name addresses. Most of them are dead, some are our
//! own, a few are hostile. At most [`MAX_KNOWN`] of them are kept here, with their failures; each
//! failure lengthens the pause before the next dial. A torrent that nobody is connected to tries
//! again sooner ([`LONELY`]). [`shunned`] lists the peers to avoid.
//!
//! [`torrent`](crate::torrent) asks whom to dial, and tells how each connection ended. No I/O, no
//! clock.

mod shunned;

use crate::address::{LOWEST_PORT, usable};
use crate::door::{Door, names};
use crate::messages::EndKind;
use crate::report::Addresses;
use shunned::Shunned;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The most addresses that we keep. The worst make room.
pub(crate) const MAX_KNOWN: usize = 1000;

/// The pauses after the first, second and third failure in a row. After a fourth we give the peer
/// up, unless the user named it. If somebody names it again, it may be back: we dial it once more,
/// 900 s after that failure at the earliest.
const BACK_OFF: [Duration; 3] = [
    Duration::from_secs(10),
    Duration::from_secs(120),
    Duration::from_secs(900),
];

/// A torrent that nobody is connected to does not wait for the end of these pauses: if it has
/// dialled nobody for this long, it tries one of the peers that failed.
const LONELY: Duration = Duration::from_secs(10);

/// The longest pause before we retry a peer that the user named. The first is 1 s: often both ends
/// are just being started.
const USER_BACK_OFF: Duration = Duration::from_secs(30);

/// The pause after a dial that failed because of us: no thread, no open file, or no way out.
pub(crate) const SHORT_PAUSE: Duration = Duration::from_secs(1);

/// The pause before we redial a peer that gave or took data.
const AFTER_GOOD: Duration = Duration::from_secs(5);

/// The pause before we redial a useless peer, so that another can have its place. If it had dialled
/// us, we refuse its host for the same time.
const REST: Duration = Duration::from_secs(600);

/// Who named an address, best first. The user's addresses are dialled first and never given up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    /// The user (`--peer`).
    User,
    /// A tracker.
    Tracker,
    /// The magnet link (`x.pe`).
    Link,
    /// A peer on the same network (BEP 14).
    Lsd,
    /// A node of the DHT (BEP 5).
    Dht,
    /// Another peer (BEP 11).
    Pex,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    source: Source,
    failures: u32,
    /// How the last attempt failed. `None` if it did not.
    failed: Option<EndKind>,
    not_before: Option<Instant>,
    /// Whether a connection exists or is being made.
    busy: bool,
    /// When we dialled it last.
    dialled: Option<Instant>,
}

impl Known {
    fn is_due(&self, now: Instant) -> bool {
        let due = self.not_before.is_none_or(|at| at <= now);
        due && !self.busy && !self.is_given_up()
    }

    fn is_given_up(&self) -> bool {
        self.source != Source::User && self.failures as usize > BACK_OFF.len()
    }

    /// Ranks it for removal: the greatest goes first.
    fn worth(&self) -> (bool, Source, u32) {
        (self.is_given_up(), self.source, self.failures)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    Failed(EndKind),
    /// It worked and gave or took data.
    Good,
    /// No need to dial again soon: it was of no use to either side. We keep the address, because
    /// only the peer itself said who it was.
    Useless,
}

#[derive(Debug, Default)]
pub(crate) struct Swarm {
    known: BTreeMap<SocketAddr, Known>,
    shunned: Shunned,
    door: Door,
    dialled: u64,
}

impl Swarm {
    /// Makes an empty book, which accepts only addresses that `door` lets through.
    pub(crate) fn new(door: Door) -> Self {
        Self {
            door,
            ..Self::default()
        }
    }

    /// Adds an address that `source` named. Returns whether it is new and we keep it.
    pub(crate) fn add(&mut self, addr: SocketAddr, source: Source) -> bool {
        let Some(addr) = usable(addr) else {
            return false;
        };
        let is_client = source == Source::User || addr.port() >= LOWEST_PORT;
        if !is_client || !self.lets_through(addr, source) || self.shunned.is_never_dialled(addr) {
            return false;
        }
        if let Some(known) = self.known.get_mut(&addr) {
            known.source = known.source.min(source);
            known.failures = known.failures.min(BACK_OFF.len() as u32);
            return false;
        }
        let new = Known {
            source,
            failures: 0,
            failed: None,
            not_before: None,
            busy: false,
            dialled: None,
        };
        if self.known.len() >= MAX_KNOWN && !self.make_room_for(&new) {
            return false;
        }
        self.known.insert(addr, new);
        true
    }

    /// Whether we may connect to `addr`. Only the user and a magnet link may name a peer by a DNS
    /// name.
    fn lets_through(&self, addr: SocketAddr, source: Source) -> bool {
        match names::is_stand_in(addr.ip()) {
            true => matches!(source, Source::User | Source::Link),
            false => self.door.may_reach(addr.ip()),
        }
    }

    /// Removes the worst idle address if `new` ranks better: a peer's thousand made-up addresses
    /// push out none that a tracker named.
    fn make_room_for(&mut self, new: &Known) -> bool {
        let idle = self.known.iter().filter(|(_, known)| !known.busy);
        let worst = idle.max_by_key(|(_, known)| known.worth());
        let worse = worst.filter(|(_, known)| known.worth() > new.worth());
        let addr = worse.map(|(addr, _)| *addr);
        addr.is_some_and(|addr| self.known.remove(&addr).is_some())
    }

    /// Returns the address to dial now, if any. It counts as busy until [`Swarm::ended`].
    ///
    /// Every other dial goes to an address with the fewest failures, the others to one of the best
    /// source. So a tracker's addresses get their second try, however many new ones others make up,
    /// and a tracker that names only dead peers does not hold up all others.
    pub(crate) fn next(&mut self, now: Instant) -> Option<SocketAddr> {
        let due = self.known.iter().filter(|(_, known)| known.is_due(now));
        let (addr, _) = match self.dialled % 2 {
            0 => due.min_by_key(|(_, known)| (known.failures, known.source))?,
            _ => due.min_by_key(|(_, known)| (known.source, known.failures))?,
        };
        self.begin(*addr, now)
    }

    /// Returns the address that a torrent without any connection is to dial now, before its pause
    /// is over: of those that failed and are not given up, the one dialled longest ago. There is one
    /// for each [`LONELY`] in which nobody is dialled. If it fails again, its pause stays as it was.
    pub(crate) fn next_early(&mut self, now: Instant) -> Option<SocketAddr> {
        let last = self.known.values().filter_map(|known| known.dialled).max();
        if last.is_some_and(|last| now.duration_since(last) < LONELY) {
            return None;
        }
        let waits = |known: &Known| !known.busy && known.failed.is_some() && !known.is_given_up();
        let failed = self.known.iter().filter(|(_, known)| waits(known));
        let (addr, _) = failed.min_by_key(|(_, known)| known.dialled)?;
        self.begin(*addr, now)
    }

    /// Notes that `addr` is dialled now.
    fn begin(&mut self, addr: SocketAddr, now: Instant) -> Option<SocketAddr> {
        let known = self.known.get_mut(&addr)?;
        (known.busy, known.dialled) = (true, Some(now));
        self.dialled += 1;
        Some(addr)
    }

    pub(crate) fn is_anyone_due(&self, now: Instant) -> bool {
        self.known.values().any(|known| known.is_due(now))
    }

    pub(crate) fn ended(&mut self, addr: SocketAddr, ending: Ending, now: Instant) {
        let Some(known) = self.known.get_mut(&addr) else {
            return;
        };
        known.busy = false;
        let was_early = known.not_before.is_some_and(|at| at > now);
        let pause = match ending {
            Ending::Failed(kind) if was_early => {
                known.failed = Some(kind);
                return;
            }
            Ending::Good => {
                (known.failures, known.failed) = (0, None);
                AFTER_GOOD
            }
            // This says nothing about the peer.
            Ending::Failed(EndKind::Short(_) | EndKind::NoWay) => SHORT_PAUSE,
            Ending::Failed(kind) => {
                known.failures += 1;
                known.failed = Some(kind);
                match known.source {
                    Source::User => {
                        let seconds = 1 << (known.failures - 1).min(10);
                        Duration::from_secs(seconds).min(USER_BACK_OFF)
                    }
                    _ => BACK_OFF[(known.failures as usize - 1).min(BACK_OFF.len() - 1)],
                }
            }
            Ending::Useless => REST,
        };
        known.not_before = Some(now + pause);
    }

    /// The torrent is private (BEP 27): forgets the addresses from sources worse than `worst`.
    /// Returns them.
    pub(crate) fn keep_private(&mut self, worst: Source) -> Vec<SocketAddr> {
        let strange = |(_, known): &(&SocketAddr, &Known)| known.source > worst;
        let strangers = self.known.iter().filter(strange);
        let strangers: Vec<SocketAddr> = strangers.map(|(addr, _)| *addr).collect();
        strangers
            .iter()
            .for_each(|addr| _ = self.known.remove(addr));
        strangers
    }

    pub(crate) fn is_us(&mut self, addr: SocketAddr) {
        self.known.remove(&addr);
        self.shunned.is_us(addr);
    }

    /// Bans the peer at `addr`, which gave false data. If it had dialled us (`incoming`), bans its
    /// host, because its port means nothing.
    pub(crate) fn ban(&mut self, addr: SocketAddr, incoming: bool) {
        match incoming {
            true => self.shunned.ban_host(addr.ip()),
            false => {
                let known = self.known.remove(&addr);
                let source = known.map_or(Source::Tracker, |known| known.source);
                self.shunned.ban(addr, source);
            }
        }
    }

    /// Lifts the [ban](Self::ban) of a peer that proved honest.
    pub(crate) fn pardon(&mut self, addr: SocketAddr, incoming: bool) {
        match incoming {
            true => self.shunned.pardon_host(addr.ip()),
            false => {
                if let Some(source) = self.shunned.pardon(addr) {
                    self.add(addr, source);
                }
            }
        }
    }

    /// Whether a connection with `addr` must be closed at once.
    pub(crate) fn is_banned(&self, addr: SocketAddr, incoming: bool) -> bool {
        match incoming {
            true => self.shunned.is_banned_host(addr.ip()),
            false => self.shunned.is_banned(addr),
        }
    }

    pub(crate) fn dialled(&self) -> u64 {
        self.dialled
    }

    /// How many addresses can be dialled now and never were.
    pub(crate) fn untried(&self, now: Instant) -> usize {
        let untried = |known: &&Known| known.dialled.is_none() && known.is_due(now);
        self.known.values().filter(untried).count()
    }

    /// Refuses the host of `addr`, which dialled us and was of no use, for ten minutes while
    /// untried addresses are known.
    pub(crate) fn rest(&mut self, addr: SocketAddr, now: Instant) {
        self.shunned.rest(addr.ip(), now + REST);
    }

    pub(crate) fn is_resting(&self, addr: SocketAddr, now: Instant) -> bool {
        self.shunned.is_resting(addr.ip(), now) && self.untried(now) > 0
    }

    pub(crate) fn counts(&self) -> Addresses {
        let mut counts = Addresses::default();
        for known in self.known.values() {
            counts.known += 1;
            counts.local += usize::from(known.source == Source::Lsd);
            match known.failed {
                Some(EndKind::Refused) => counts.refused += 1,
                Some(EndKind::TimedOut) => counts.timed_out += 1,
                Some(EndKind::Unreachable) => counts.unreachable += 1,
                Some(EndKind::Other) => counts.failed += 1,
                Some(EndKind::Barred) => counts.barred += 1,
                Some(EndKind::Short(_) | EndKind::NoWay) | None => {}
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests;
