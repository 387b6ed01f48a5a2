//! A table of incoming connections that wait: for their handshake, or until a torrent's data is
//! checked.
//!
//! Anybody can connect to us any number of times and say nothing, so the table has few places. If
//! it is full, the oldest connection of the host with the most connections makes room for the
//! newcomer. Otherwise one host could keep everybody else out.
//!
//! The engine owns one table for strangers, and one for each torrent. No sockets, no clock.

use crate::address::Host;
use crate::types::PeerKey;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

pub(super) const PLACES: usize = 64;

/// The most connections of one host, except our own.
const PER_HOST: usize = 8;

/// How long a connection keeps its place before another of its host may take it: a host that
/// connects a thousand times a second costs us eight threads a second.
const UNDISTURBED: Duration = Duration::from_secs(1);

/// How long a peer may take to send its first byte.
const FIRST_BYTE: Duration = Duration::from_secs(10);

/// The same limit while more than half of the table is taken.
const FIRST_BYTE_IN_A_CROWD: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    Free,
    /// This connection must be closed for it.
    InPlaceOf(PeerKey),
    /// Its host already has [`PER_HOST`] connections, all younger than [`UNDISTURBED`].
    Refused,
}

#[derive(Debug)]
struct Stranger<T> {
    host: Host,
    since: Instant,
    spoke: bool,
    what: T,
}

/// The waiting connections. Keys grow in the order of arrival.
#[derive(Debug)]
pub(super) struct Strangers<T> {
    waiting: BTreeMap<PeerKey, Stranger<T>>,
}

impl<T> Default for Strangers<T> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
        }
    }
}

impl<T> Strangers<T> {
    /// Whether a newcomer from `ip` gets a place. Changes nothing.
    pub(super) fn entry(&self, ip: IpAddr, now: Instant) -> Entry {
        let host = Host::of(ip);
        if !host.is_our_own() && self.of(host) >= PER_HOST {
            let oldest = self.oldest_of(host);
            let disturbed = oldest.filter(|(_, since)| now.duration_since(*since) >= UNDISTURBED);
            return disturbed.map_or(Entry::Refused, |(key, _)| Entry::InPlaceOf(key));
        }
        if self.waiting.len() < PLACES {
            return Entry::Free;
        }
        let hosts = self.waiting.values().map(|stranger| stranger.host);
        // Of two hosts with equally many, take the one that has waited longer.
        let longest = |host| self.oldest_of(host).map(|(key, _)| key);
        let crowd = hosts.max_by_key(|host| (self.of(*host), std::cmp::Reverse(longest(*host))));
        let oldest = crowd.and_then(longest);
        oldest.map_or(Entry::Refused, Entry::InPlaceOf)
    }

    pub(super) fn add(&mut self, key: PeerKey, ip: IpAddr, what: T, now: Instant) {
        let stranger = Stranger {
            host: Host::of(ip),
            since: now,
            spoke: false,
            what,
        };
        self.waiting.insert(key, stranger);
    }

    /// Removes a connection: its handshake has come, or it is closed.
    pub(super) fn remove(&mut self, key: PeerKey) -> Option<T> {
        self.waiting.remove(&key).map(|stranger| stranger.what)
    }

    /// Removes all connections, and returns them in the order of their arrival.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (PeerKey, T)> + use<T> {
        let all = std::mem::take(&mut self.waiting);
        all.into_iter().map(|(key, stranger)| (key, stranger.what))
    }

    pub(super) fn spoke(&mut self, key: PeerKey) {
        if let Some(stranger) = self.waiting.get_mut(&key) {
            stranger.spoke = true;
        }
    }

    /// Returns the connections that were silent for too long.
    pub(super) fn overdue(&self, now: Instant) -> Vec<PeerKey> {
        let limit = match self.waiting.len() > PLACES / 2 {
            true => FIRST_BYTE_IN_A_CROWD,
            false => FIRST_BYTE,
        };
        let late = self
            .waiting
            .iter()
            .filter(|(_, stranger)| !stranger.spoke && now.duration_since(stranger.since) >= limit);
        late.map(|(key, _)| *key).collect()
    }

    fn of(&self, host: Host) -> usize {
        let waiting = self.waiting.values();
        waiting.filter(|stranger| stranger.host == host).count()
    }

    fn oldest_of(&self, host: Host) -> Option<(PeerKey, Instant)> {
        let mut waiting = self.waiting.iter();
        let oldest = waiting.find(|(_, stranger)| stranger.host == host);
        oldest.map(|(key, stranger)| (*key, stranger.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table, with a clock that the test moves.
    struct Door {
        table: Strangers<()>,
        now: Instant,
        keys: u32,
    }

    impl Door {
        fn new() -> Self {
            let (table, now) = (Strangers::default(), Instant::now());
            Self {
                table,
                now,
                keys: 0,
            }
        }

        /// Lets a peer connect. Returns its key, if it gets a place, and the key of the one closed
        /// for it.
        fn come(&mut self, ip: &str) -> (Option<u32>, Option<u32>) {
            let ip = ip.parse().unwrap();
            let gone = match self.table.entry(ip, self.now) {
                Entry::Refused => return (None, None),
                Entry::Free => None,
                Entry::InPlaceOf(key) => {
                    self.table.remove(key).unwrap();
                    Some(key.0)
                }
            };
            self.keys += 1;
            self.table.add(PeerKey(self.keys), ip, (), self.now);
            assert!(self.table.waiting.len() <= PLACES);
            (Some(self.keys), gone)
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
            for key in self.table.overdue(self.now) {
                self.table.remove(key);
            }
        }
    }

    /// One host makes 20 silent connections a second, another one a second with a handshake of 2 s.
    #[test]
    fn one_host_keeps_nobody_out() {
        for (flood, other) in [
            ("1.2.3.4", "5.6.7.8"),
            ("127.0.0.1", "127.0.0.2"),
            ("127.0.0.1", "5.6.7.8"),
            ("2001:db8::1", "2001:db8:0:1::1"),
        ] {
            let mut door = Door::new();
            let mut slow: Vec<u32> = Vec::new();
            for step in 0..20 * 60 {
                let (_, gone) = door.come(flood);
                assert!(!gone.is_some_and(|key| slow.contains(&key)), "{flood}");
                if step % 20 == 0 {
                    let (key, gone) = door.come(other);
                    assert!(!gone.is_some_and(|key| slow.contains(&key)), "{flood}");
                    slow.push(key.unwrap());
                    if slow.len() > 2 {
                        let said = door.table.remove(PeerKey(slow.remove(0)));
                        assert!(said.is_some(), "it is still there");
                    }
                }
                door.pass(Duration::from_millis(50));
            }
        }
    }

    #[test]
    fn eight_of_a_host_and_the_oldest_makes_room_for_the_ninth() {
        let mut door = Door::new();
        for n in 1..=8 {
            assert_eq!(door.come(&format!("2001:db8::{n}")), (Some(n), None));
        }
        assert_eq!(door.come("2001:db8::9"), (None, None), "so soon");
        assert_eq!(door.come("2001:db8:0:1::9"), (Some(9), None), "another's");
        door.pass(UNDISTURBED);
        assert_eq!(door.come("2001:db8::9"), (Some(10), Some(1)));
        for n in 11..40 {
            assert_eq!(door.come("127.0.0.1"), (Some(n), None), "half a swarm");
        }
    }

    #[test]
    fn of_a_full_table_the_oldest_of_the_greatest_crowd_goes() {
        let mut door = Door::new();
        for n in 0..PLACES as u32 {
            let ip = match n % 8 {
                3 => "9.9.9.9".into(),
                _ => format!("1.1.{n}.1"),
            };
            door.come(&ip);
        }
        for oldest in [4, 12, 20, 28, 36, 44, 52] {
            let came = door.come(&format!("2.2.{oldest}.1"));
            assert_eq!(came.1, Some(oldest), "of the eight of 9.9.9.9");
        }
        assert_eq!(door.come("3.3.3.3").1, Some(1), "each has one: the oldest");
    }

    #[test]
    fn who_says_nothing_has_ten_seconds_and_three_in_a_crowd() {
        let mut door = Door::new();
        let silent_for = |door: &Door, seconds| {
            let overdue = door.table.overdue(door.now + Duration::from_secs(seconds));
            overdue.into_iter().map(|key| key.0).collect::<Vec<u32>>()
        };
        door.come("1.1.1.1");
        door.come("2.2.2.2");
        door.table.spoke(PeerKey(2));
        assert!(silent_for(&door, 9).is_empty());
        assert_eq!(silent_for(&door, 10), [1]);
        for n in 3..=PLACES as u32 / 2 {
            door.come(&format!("3.3.{n}.3"));
        }
        assert!(
            silent_for(&door, 3).is_empty(),
            "half of the table is taken"
        );
        door.come("4.4.4.4");
        assert!(silent_for(&door, 2).is_empty());
        assert_eq!(silent_for(&door, 3).len(), PLACES / 2);
    }
}
