//! The peers that we know of, connected or not: whom to dial next, whom never again.
//!
//! Trackers, the command line and other sources name addresses; most of them are
//! dead, some are us, a few are hostile. This book keeps at most [`MAX_KNOWN`] of
//! them, counts failures and spaces the attempts out; with whom we have nothing to do is in
//! [`shunned`]. The torrent asks it; no I/O, no clock.

mod shunned;

use crate::address::{LOWEST_PORT, usable};
use crate::door::{Door, names};
use crate::messages::EndKind;
use crate::report::Addresses;
use shunned::Shunned;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Addresses kept; beyond it the worst are forgotten.
pub(crate) const MAX_KNOWN: usize = 1000;

/// Pauses after the first, second, ... failure in a row. After that a peer is given
/// up, unless the user named it.
const BACK_OFF: [Duration; 3] = [
    Duration::from_secs(10),
    Duration::from_secs(120),
    Duration::from_secs(900),
];

/// The longest pause before a peer that the user named is tried again; it begins with a
/// second. Often both ends are just being started.
const USER_BACK_OFF: Duration = Duration::from_secs(30);

/// The pause before a peer is tried again that could not be dialled for want of a thread or
/// a file.
pub(crate) const SHORT_PAUSE: Duration = Duration::from_secs(1);

/// The pause before a peer that gave us data is dialled again.
const AFTER_GOOD: Duration = Duration::from_secs(5);

/// The pause before a peer is tried again that was of no use: for so long its place is
/// somebody else's. For as long it isn't taken in, if it had dialled us.
const REST: Duration = Duration::from_secs(600);

/// Who named an address, best first: a user's word is tried first and never given up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    /// `--peer`.
    User,
    /// A tracker's reply.
    Tracker,
    /// The magnet link (`x.pe`).
    Link,
    /// Somebody on the same network said so (BEP 14).
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
    /// How the last attempt failed, if it did.
    failed: Option<EndKind>,
    /// Not to be dialled before.
    not_before: Option<Instant>,
    /// A connection exists or is being made.
    busy: bool,
    /// It was dialled, ever.
    tried: bool,
}

impl Known {
    fn is_due(&self, now: Instant) -> bool {
        let due = self.not_before.is_none_or(|at| at <= now);
        due && !self.busy && !self.is_given_up()
    }

    fn is_given_up(&self) -> bool {
        self.source != Source::User && self.failures as usize > BACK_OFF.len()
    }

    /// Whose place another takes first: the greatest.
    fn worth(&self) -> (bool, Source, u32) {
        (self.is_given_up(), self.source, self.failures)
    }
}

/// How an attempt or a connection ended, as far as dialling again goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// It never worked, like this.
    Failed(EndKind),
    /// It worked and gave or took data.
    Good,
    /// It need not be tried again soon: a second connection to the same peer, or a peer that was
    /// of no use to either side. Nobody is forgotten for it: who it was is only what it said.
    Useless,
}

/// The address book of one torrent.
#[derive(Debug, Default)]
pub(crate) struct Swarm {
    known: BTreeMap<SocketAddr, Known>,
    shunned: Shunned,
    /// Which addresses may be talked to.
    door: Door,
    /// How many were dialled.
    dialled: u64,
}

impl Swarm {
    /// An empty one, into which no address comes that `door` does not let through.
    pub(crate) fn new(door: Door) -> Self {
        Self {
            door,
            ..Self::default()
        }
    }

    /// Somebody named an address. Returns whether it is new and of use.
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
            return false;
        }
        let new = Known {
            source,
            failures: 0,
            failed: None,
            not_before: None,
            busy: false,
            tried: false,
        };
        if self.known.len() >= MAX_KNOWN && !self.make_room_for(&new) {
            return false;
        }
        self.known.insert(addr, new);
        true
    }

    /// Only the user and a magnet link name peers by name.
    fn lets_through(&self, addr: SocketAddr, source: Source) -> bool {
        match names::is_stand_in(addr.ip()) {
            true => matches!(source, Source::User | Source::Link),
            false => self.door.may_reach(addr.ip()),
        }
    }

    /// An idle address goes that is worth less: so a peer that makes up a thousand of
    /// them pushes out none that a tracker named.
    fn make_room_for(&mut self, new: &Known) -> bool {
        let idle = self.known.iter().filter(|(_, known)| !known.busy);
        let worst = idle.max_by_key(|(_, known)| known.worth());
        let worse = worst.filter(|(_, known)| known.worth() > new.worth());
        let addr = worse.map(|(addr, _)| *addr);
        addr.is_some_and(|addr| self.known.remove(&addr).is_some())
    }

    /// The address to dial now, if any: marked as busy until [`Swarm::ended`].
    ///
    /// In turns it is one with the fewest failures and one of the best source: so those
    /// that a tracker named have their second try, however many new ones are made up by
    /// others; and a tracker full of dead peers does not hold up all else.
    pub(crate) fn next(&mut self, now: Instant) -> Option<SocketAddr> {
        let due = self.known.iter_mut().filter(|(_, known)| known.is_due(now));
        let (addr, known) = match self.dialled % 2 {
            0 => due.min_by_key(|(_, known)| (known.failures, known.source))?,
            _ => due.min_by_key(|(_, known)| (known.source, known.failures))?,
        };
        self.dialled += 1;
        (known.busy, known.tried) = (true, true);
        Some(*addr)
    }

    /// Whether there is somebody to dial now.
    pub(crate) fn is_anyone_due(&self, now: Instant) -> bool {
        self.known.values().any(|known| known.is_due(now))
    }

    /// The attempt or connection to `addr` is over.
    pub(crate) fn ended(&mut self, addr: SocketAddr, ending: Ending, now: Instant) {
        let Some(known) = self.known.get_mut(&addr) else {
            return;
        };
        known.busy = false;
        let pause = match ending {
            Ending::Good => {
                (known.failures, known.failed) = (0, None);
                AFTER_GOOD
            }
            // That says nothing of the peer.
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

    /// The torrent is private (BEP 27): whoever was named by a worse source than `worst` is
    /// forgotten. Returns them.
    pub(crate) fn keep_private(&mut self, worst: Source) -> Vec<SocketAddr> {
        let strange = |(_, known): &(&SocketAddr, &Known)| known.source > worst;
        let strangers = self.known.iter().filter(strange);
        let strangers: Vec<SocketAddr> = strangers.map(|(addr, _)| *addr).collect();
        strangers
            .iter()
            .for_each(|addr| _ = self.known.remove(addr));
        strangers
    }

    /// The peer at `addr` turned out to be ourselves.
    pub(crate) fn is_us(&mut self, addr: SocketAddr) {
        self.known.remove(&addr);
        self.shunned.is_us(addr);
    }

    /// The peer at `addr` gave false data: nothing more to do with it. `incoming`: it had
    /// dialled us, so that only its host is known by the address.
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

    /// The peer that was [banned](Self::ban) turned out to be no liar.
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

    /// Whether a connection with `addr` is to be closed at once.
    pub(crate) fn is_banned(&self, addr: SocketAddr, incoming: bool) -> bool {
        match incoming {
            true => self.shunned.is_banned_host(addr.ip()),
            false => self.shunned.is_banned(addr),
        }
    }

    /// How many dials there were. For tests.
    #[cfg(test)]
    pub(crate) fn dialled(&self) -> u64 {
        self.dialled
    }

    /// How many addresses could be dialled now that never were.
    pub(crate) fn untried(&self, now: Instant) -> usize {
        let untried = |known: &&Known| !known.tried && known.is_due(now);
        self.known.values().filter(untried).count()
    }

    /// The peer at `addr`, which had dialled us, was of no use: for ten minutes its host is
    /// not taken in, as long as others were never tried.
    pub(crate) fn rest(&mut self, addr: SocketAddr, now: Instant) {
        self.shunned.rest(addr.ip(), now + REST);
    }

    /// Whether a peer at `addr`, which dialled us, is not to be taken in now.
    pub(crate) fn is_resting(&self, addr: SocketAddr, now: Instant) -> bool {
        self.shunned.is_resting(addr.ip(), now) && self.untried(now) > 0
    }

    /// How the addresses do that we know.
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
