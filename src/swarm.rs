//! The peers that we know of, connected or not: whom to dial next, whom never again.
//!
//! Trackers, the command line and other sources name addresses; most of them are
//! dead, some are us, a few are hostile. This book keeps at most [`MAX_KNOWN`] of
//! them, counts failures, spaces the attempts out, and remembers who was banned for
//! giving false data. The torrent asks it; no I/O, no clock.

use crate::door::{Door, names};
use crate::host::Host;
use crate::messages::EndKind;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Addresses kept; beyond it the worst are forgotten.
pub const MAX_KNOWN: usize = 1000;

/// Liars remembered, of each kind; beyond it they are forgotten, all at once.
const MAX_BANNED: usize = 10_000;

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
pub const SHORT_PAUSE: Duration = Duration::from_secs(1);

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

/// The addresses of one torrent, counted. Those in none of the parts were not tried yet,
/// or answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// All of them.
    pub known: usize,
    /// Nothing listens there, the last time that we tried.
    pub refused: usize,
    /// No answer came.
    pub timed_out: usize,
    /// There is no way to there.
    pub unreachable: usize,
    /// The proxy won't connect to it.
    pub barred: usize,
    /// It failed in another way.
    pub failed: usize,
    /// Those of all that are on the same network.
    pub local: usize,
}

/// How an attempt or a connection ended, as far as dialling again goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
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
pub struct Swarm {
    known: BTreeMap<SocketAddr, Known>,
    /// Addresses that gave false data when we dialled them, and who named them.
    banned: HashMap<SocketAddr, Source>,
    /// Hosts that gave false data after they had dialled us: their port is another
    /// each time, and so may be the name that they give themselves. Loopback is spared: half a
    /// swarm may live there.
    banned_hosts: HashSet<Host>,
    /// Hosts that had dialled us and were of no use, and until when they are not taken in.
    resting: HashMap<Host, Instant>,
    /// Our own addresses, learnt by meeting ourselves.
    own: HashSet<SocketAddr>,
    /// Which addresses may be talked to.
    door: Door,
    /// How many were dialled.
    dialled: u64,
}

impl Swarm {
    /// An empty one, into which no address comes that `door` does not let through.
    pub fn new(door: Door) -> Self {
        Self {
            door,
            ..Self::default()
        }
    }

    /// Somebody named an address. Returns whether it is new and of use.
    pub fn add(&mut self, addr: SocketAddr, source: Source) -> bool {
        let addr = match addr.ip().to_canonical() {
            IpAddr::V4(ip) => SocketAddr::new(ip.into(), addr.port()),
            IpAddr::V6(_) => addr, // with the interface, which some need
        };
        if !plausible(addr, source)
            || !self.lets_through(addr, source)
            || self.own.contains(&addr)
            || self.banned.contains_key(&addr)
        {
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
    pub fn next(&mut self, now: Instant) -> Option<SocketAddr> {
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
    pub fn is_anyone_due(&self, now: Instant) -> bool {
        self.known.values().any(|known| known.is_due(now))
    }

    /// The attempt or connection to `addr` is over.
    pub fn ended(&mut self, addr: SocketAddr, ending: Ending, now: Instant) {
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
    pub fn keep_private(&mut self, worst: Source) -> Vec<SocketAddr> {
        let strange = |(_, known): &(&SocketAddr, &Known)| known.source > worst;
        let strangers = self.known.iter().filter(strange);
        let strangers: Vec<SocketAddr> = strangers.map(|(addr, _)| *addr).collect();
        strangers
            .iter()
            .for_each(|addr| _ = self.known.remove(addr));
        strangers
    }

    /// The peer at `addr` turned out to be ourselves.
    pub fn is_us(&mut self, addr: SocketAddr) {
        self.known.remove(&addr);
        remember(&mut self.own, addr);
    }

    /// The peer at `addr` gave false data: nothing more to do with it. `incoming`: it had
    /// dialled us, so that only its host is known by the address. The name that it gives itself
    /// says nothing: it may be an honest peer's.
    pub fn ban(&mut self, addr: SocketAddr, incoming: bool) {
        let host = Host::of(addr.ip());
        match incoming {
            true if host.is_our_own() => {}
            true => remember(&mut self.banned_hosts, host),
            false => {
                let known = self.known.remove(&addr);
                let source = known.map_or(Source::Tracker, |known| known.source);
                bound(&mut self.banned);
                self.banned.insert(addr, source);
            }
        }
    }

    /// The peer that was [banned](Self::ban) turned out to be no liar.
    pub fn pardon(&mut self, addr: SocketAddr, incoming: bool) {
        match incoming {
            true => _ = self.banned_hosts.remove(&Host::of(addr.ip())),
            false => {
                if let Some(source) = self.banned.remove(&addr) {
                    self.add(addr, source);
                }
            }
        }
    }

    /// Whether a connection with `addr` is to be closed at once.
    pub fn is_banned(&self, addr: SocketAddr, incoming: bool) -> bool {
        match incoming {
            true => self.banned_hosts.contains(&Host::of(addr.ip())),
            false => self.banned.contains_key(&addr),
        }
    }

    /// How many dials there were. For tests.
    #[cfg(test)]
    pub fn dialled(&self) -> u64 {
        self.dialled
    }

    /// How many addresses could be dialled now that never were.
    pub fn untried(&self, now: Instant) -> usize {
        let untried = |known: &&Known| !known.tried && known.is_due(now);
        self.known.values().filter(untried).count()
    }

    /// The peer at `addr`, which had dialled us, was of no use: for a while its host is not
    /// taken in, as long as others were never tried.
    pub fn rest(&mut self, addr: SocketAddr, now: Instant) {
        let host = Host::of(addr.ip());
        if !host.is_our_own() {
            bound(&mut self.resting);
            self.resting.insert(host, now + REST);
        }
    }

    /// Whether a peer at `addr`, which dialled us, is not to be taken in now.
    pub fn is_resting(&self, addr: SocketAddr, now: Instant) -> bool {
        let until = self.resting.get(&Host::of(addr.ip()));
        until.is_some_and(|until| now < *until) && self.untried(now) > 0
    }

    /// How the addresses do that we know.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
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

fn remember<T: Eq + Hash>(set: &mut HashSet<T>, item: T) {
    if set.len() >= MAX_BANNED {
        set.clear();
    }
    set.insert(item);
}

/// The same for what is remembered of somebody.
fn bound<K, V>(map: &mut HashMap<K, V>) {
    if map.len() >= MAX_BANNED {
        map.clear();
    }
}

/// Whether a connection to `addr` can make sense. Ports below 1024 are no clients'
/// but other services': a false tracker could aim a swarm at somebody's mail server.
fn plausible(addr: SocketAddr, source: Source) -> bool {
    let routable = match addr {
        // 240.0.0.0/4 was never given out; its last address is for broadcasts.
        SocketAddr::V4(v4) => !matches!(v4.ip().octets()[0], 0 | 224..),
        SocketAddr::V6(v6) => {
            let ip = v6.ip();
            let unclear = ip.is_unicast_link_local() && v6.scope_id() == 0;
            !ip.is_unspecified() && !ip.is_multicast() && !unclear
        }
    };
    routable && (addr.port() >= 1024 || addr.port() > 0 && source == Source::User)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Shortage;

    fn addr(n: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 6881))
    }

    #[test]
    fn nobody_of_the_other_family_and_no_strangers_stand_ins() {
        let of = |swarm: &mut Swarm, addr: &str, source| swarm.add(addr.parse().unwrap(), source);
        let all = [Source::User, Source::Tracker, Source::Link, Source::Pex];
        for source in all {
            let mut v4 = Swarm::new(Door::at([10, 0, 0, 1]));
            assert!(of(&mut v4, "1.2.3.4:6881", source));
            assert!(of(&mut v4, "[::ffff:1.2.3.5]:6881", source));
            assert!(!of(&mut v4, "[2001:db8::1]:6881", source));
            let mut v6 = Swarm::new(Door::at([0xfd00, 0, 0, 0, 0, 0, 0, 1]));
            assert!(of(&mut v6, "[2001:db8::1]:6881", source));
            assert!(!of(&mut v6, "1.2.3.4:6881", source));
            // What stands for a name may be of any kind: the proxy looks it up.
            let ours = matches!(source, Source::User | Source::Link);
            assert_eq!(of(&mut v4, "[100::7]:6881", source), ours);
            assert_eq!(of(&mut Swarm::default(), "[100::7]:6881", source), ours);
        }
    }

    #[test]
    fn no_way_out_is_no_fault_of_theirs() {
        let (mut swarm, now) = (Swarm::default(), Instant::now());
        swarm.add(addr(1), Source::Pex);
        for n in 0..20 {
            let at = now + n * SHORT_PAUSE;
            assert_eq!(swarm.next(at), Some(addr(1)), "try {n}");
            swarm.ended(addr(1), Ending::Failed(EndKind::NoWay), at);
        }
        assert_eq!(swarm.counts().failed, 0);
        let at = now + 20 * SHORT_PAUSE;
        assert_eq!(swarm.next(at), Some(addr(1)));
        swarm.ended(addr(1), Ending::Failed(EndKind::Barred), at);
        assert_eq!(swarm.counts().barred, 1);
        assert_eq!(swarm.next(at + SHORT_PAUSE), None, "that is their failure");
    }

    #[test]
    fn nonsense_is_not_dialled() {
        let mut swarm = Swarm::default();
        for bad in [
            "0.0.0.0:6881",
            "10.0.0.1:0",
            "224.0.0.1:6881",
            "255.255.255.255:6881",
            "240.0.0.1:6881",
            "[::ffff:224.0.0.1]:6881",
            "[ff02::1]:6881",
            "[fe80::1]:6881",
            "10.0.0.1:25",
            "[::]:6881",
            "[::ffff:0.1.2.3]:6881",
        ] {
            assert!(!swarm.add(bad.parse().unwrap(), Source::Tracker), "{bad}");
        }
        assert!(
            swarm.add("10.0.0.1:25".parse().unwrap(), Source::User),
            "the user's word"
        );
        assert!(!swarm.add("10.0.0.1:0".parse().unwrap(), Source::User));
        assert!(swarm.add("[fe80::1%2]:6881".parse().unwrap(), Source::Lsd));
        assert!(swarm.add("[::ffff:10.0.0.1]:6881".parse().unwrap(), Source::Pex));
        assert!(
            !swarm.add("10.0.0.1:6881".parse().unwrap(), Source::Pex),
            "the same"
        );
    }

    #[test]
    fn failures_are_spaced_out_and_given_up() {
        let mut swarm = Swarm::default();
        let mut now = Instant::now();
        swarm.add(addr(1), Source::Tracker);
        swarm.add(addr(2), Source::User);
        for attempt in 0..4 {
            for _ in 0..2 {
                let dialled = swarm.next(now).unwrap();
                swarm.ended(dialled, Ending::Failed(EndKind::TimedOut), now);
            }
            assert_eq!(swarm.next(now), None, "attempt {attempt}");
            now += BACK_OFF[2];
        }
        assert_eq!(
            swarm.next(now),
            Some(addr(2)),
            "the user's peer is never given up"
        );
        assert_eq!(swarm.next(now), None, "the other is");
    }

    /// For want of a thread or a file of ours nobody is given up, or counted as failed.
    #[test]
    fn our_own_shortage_is_held_against_nobody() {
        let mut swarm = Swarm::default();
        let mut now = Instant::now();
        swarm.add(addr(1), Source::Pex);
        for shortage in [Shortage::Threads, Shortage::Files].repeat(50) {
            assert_eq!(swarm.next(now), Some(addr(1)));
            swarm.ended(addr(1), Ending::Failed(EndKind::Short(shortage)), now);
            assert_eq!(swarm.next(now), None, "not at once");
            now += SHORT_PAUSE;
        }
        let untried = Counts {
            known: 1,
            ..Counts::default()
        };
        assert_eq!(swarm.counts(), untried);
    }

    #[test]
    fn the_best_source_first_and_nobody_twice() {
        let mut swarm = Swarm::default();
        let now = Instant::now();
        assert!(swarm.add(addr(1), Source::Tracker));
        assert!(!swarm.add(addr(1), Source::Tracker), "known already");
        swarm.add(addr(2), Source::User);
        assert_eq!(swarm.next(now), Some(addr(2)));
        assert_eq!(swarm.next(now), Some(addr(1)));
        assert_eq!(swarm.next(now), None, "both are busy");
        swarm.ended(addr(1), Ending::Good, now);
        assert_eq!(swarm.next(now), None);
        assert_eq!(swarm.next(now + AFTER_GOOD), Some(addr(1)));
    }

    /// How many of `range` are taken in.
    fn add_all(swarm: &mut Swarm, range: std::ops::Range<u16>, source: Source) -> usize {
        range.filter(|n| swarm.add(addr(*n), source)).count()
    }

    #[test]
    fn a_flood_pushes_out_nobody_better() {
        let mut swarm = Swarm::default();
        assert_eq!(add_all(&mut swarm, 0..1, Source::User), 1);
        assert_eq!(add_all(&mut swarm, 1..600, Source::Tracker), 599);
        assert_eq!(add_all(&mut swarm, 600..60_000, Source::Pex), 400);
        assert_eq!(add_all(&mut swarm, 60_000..60_100, Source::Dht), 100);
        assert_eq!(add_all(&mut swarm, 60_100..65_000, Source::Tracker), 400);
        assert_eq!(swarm.counts().known, MAX_KNOWN);
        let known = swarm.known.values();
        let best = known.filter(|known| known.source <= Source::Tracker);
        assert_eq!(best.count(), MAX_KNOWN);
    }

    #[test]
    fn who_is_given_up_makes_room_for_anybody() {
        let mut swarm = Swarm::default();
        let mut now = Instant::now();
        add_all(&mut swarm, 0..1000, Source::Tracker);
        // All are on the line but one, who fails again and again.
        let all: Vec<SocketAddr> = std::iter::from_fn(|| swarm.next(now)).collect();
        assert_eq!(all.len(), MAX_KNOWN);
        for failures in 1..=4 {
            assert!(!swarm.add(addr(2000), Source::Pex), "before {failures}");
            swarm.ended(all[7], Ending::Failed(EndKind::Refused), now);
            now += BACK_OFF[2];
            assert_eq!(swarm.next(now), (failures < 4).then_some(all[7]));
        }
        assert!(swarm.add(addr(2000), Source::Pex));
    }

    /// A peer makes up new addresses without end; those of trackers have another try.
    #[test]
    fn made_up_addresses_hold_up_nobody() {
        let mut swarm = Swarm::default();
        let mut now = Instant::now();
        add_all(&mut swarm, 0..10, Source::Tracker);
        let mut tries = [0; 10];
        for n in 10..1_000 {
            add_all(&mut swarm, 10 * n..10 * n + 10, Source::Pex);
            now += Duration::from_secs(2);
            let dialled = swarm.next(now).unwrap();
            swarm.ended(dialled, Ending::Failed(EndKind::TimedOut), now);
            if let Some(n) = (0..10).find(|n| addr(*n) == dialled) {
                tries[usize::from(n)] += 1;
            }
        }
        assert_eq!(tries, [4; 10], "the first, and three more, until given up");
    }

    #[test]
    fn bounded_and_bans_hold() {
        let mut swarm = Swarm::default();
        for n in 0..2000 {
            swarm.add(addr(n), Source::Tracker);
        }
        assert_eq!(swarm.counts().known, MAX_KNOWN);
        swarm.ban(addr(1999), false);
        assert!(!swarm.add(addr(1999), Source::Tracker));
        assert!(swarm.is_banned(addr(1999), false));
        assert!(
            !swarm.is_banned(addr(1999), true),
            "another port of the same host"
        );
        swarm.ban(addr(6), true);
        assert!(swarm.is_banned(SocketAddr::new(addr(6).ip(), 999), true));
        assert!(
            !swarm.is_banned(addr(6), false),
            "who listens there is somebody else"
        );
        swarm.is_us(addr(7));
        assert!(!swarm.add(addr(7), Source::Tracker));
    }

    #[test]
    fn loopback_is_not_banned_as_a_host() {
        let mut swarm = Swarm::default();
        let local: SocketAddr = "127.0.0.1:50000".parse().unwrap();
        swarm.ban(local, true);
        assert!(!swarm.is_banned(local, true));
    }

    /// Neither for being of no use nor, in the end, for a lie that was none.
    #[test]
    fn whom_the_user_named_is_not_forgotten() {
        let mut swarm = Swarm::default();
        let mut now = Instant::now();
        swarm.add(addr(1), Source::User);
        assert_eq!(swarm.next(now), Some(addr(1)));
        swarm.ended(addr(1), Ending::Useless, now);
        assert_eq!(swarm.next(now + REST - Duration::from_secs(1)), None);
        now += REST;
        assert_eq!(swarm.next(now), Some(addr(1)));
        swarm.ban(addr(1), false);
        swarm.ended(addr(1), Ending::Useless, now);
        assert_eq!(swarm.next(now + REST), None);
        swarm.pardon(addr(1), false);
        for _ in 0..9 {
            assert_eq!(
                swarm.next(now),
                Some(addr(1)),
                "a tracker's would be given up"
            );
            swarm.ended(addr(1), Ending::Failed(EndKind::Refused), now);
            now += USER_BACK_OFF;
        }
    }

    #[test]
    fn who_rests_waits_for_those_that_were_never_tried() {
        let mut swarm = Swarm::default();
        let now = Instant::now();
        swarm.rest(addr(1), now);
        let other_port = SocketAddr::new(addr(1).ip(), 50_000);
        assert!(!swarm.is_resting(other_port, now), "nobody else is known");
        swarm.add(addr(2), Source::Pex);
        assert_eq!(swarm.untried(now), 1);
        assert!(swarm.is_resting(other_port, now) && !swarm.is_resting(addr(3), now));
        assert!(!swarm.is_resting(other_port, now + REST));
        swarm.next(now);
        assert_eq!(swarm.untried(now), 0);
    }
}
