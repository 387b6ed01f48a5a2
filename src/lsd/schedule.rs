//! When to announce which torrents on the local network, and how many announces of others to
//! accept.
//!
//! Packets get lost, and a peer that hears us may not be ready yet. So a torrent is announced three
//! times within its first 6 s, then every 5 minutes together with all others: not more often,
//! because each announce wakes every machine on the network.
//!
//! Only the thread of local discovery ([`super`]) uses this.

use crate::types::InfoHash;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// When a new torrent is announced, counted from when it was added.
const AT_FIRST: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_secs(2),
    Duration::from_secs(6),
];

/// The interval between announces of all torrents.
const EVERY: Duration = Duration::from_secs(5 * 60);

/// How many announces of others we accept per second: a network full of peers must not flood us
/// with addresses.
const HEARD_A_SECOND: u32 = 10;

#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// When each was added, and how many of [`AT_FIRST`] are done.
    torrents: BTreeMap<InfoHash, (Instant, usize)>,
    round: Option<Instant>,
    /// When the current second of listening began, and how many announces came in it.
    heard: Option<(Instant, u32)>,
}

impl Schedule {
    pub(crate) fn add(&mut self, torrent: InfoHash, now: Instant) {
        self.torrents.entry(torrent).or_insert((now, 0));
        self.round.get_or_insert(now + EVERY);
    }

    pub(crate) fn remove(&mut self, torrent: InfoHash) {
        self.torrents.remove(&torrent);
    }

    pub(crate) fn has(&self, torrent: InfoHash) -> bool {
        self.torrents.contains_key(&torrent)
    }

    /// Returns the torrents to announce now, and counts them as announced.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<InfoHash> {
        let all = self.round.is_some_and(|at| at <= now);
        if all {
            self.round = Some(now + EVERY);
        }
        let mut due = Vec::new();
        for (torrent, (since, done)) in &mut self.torrents {
            let age = now.duration_since(*since);
            // A machine that was asleep does not make up for missed announces.
            let reached = AT_FIRST.iter().filter(|at| **at <= age).count();
            if all || *done < reached {
                *done = reached;
                due.push(*torrent);
            }
        }
        due
    }

    /// Counts an announce of another client. Returns whether we accept it.
    pub(crate) fn may_hear(&mut self, now: Instant) -> bool {
        let second = Duration::from_secs(1);
        let fresh = |since: &Instant| now.duration_since(*since) < second;
        let (since, count) = self
            .heard
            .filter(|(since, _)| fresh(since))
            .unwrap_or((now, 0));
        self.heard = Some((since, count + 1));
        count < HEARD_A_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: InfoHash = InfoHash([1; 20]);
    const B: InfoHash = InfoHash([2; 20]);

    /// Asks every 100 ms what is due, between these `seconds`. Returns what was announced when.
    fn play(
        schedule: &mut Schedule,
        start: Instant,
        seconds: [u64; 2],
    ) -> Vec<(u64, Vec<InfoHash>)> {
        let tenths = seconds[0] * 10..seconds[1] * 10;
        let at = |tenth| start + Duration::from_millis(100 * tenth);
        tenths
            .map(|tenth| (tenth, schedule.due(at(tenth))))
            .filter(|(_, due)| !due.is_empty())
            .map(|(tenth, due)| (tenth / 10, due))
            .collect()
    }

    #[test]
    fn often_at_first_then_seldom_and_together() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        assert_eq!(schedule.due(start), []);
        schedule.add(A, start);
        let mut said = play(&mut schedule, start, [0, 50]);
        schedule.add(B, start + Duration::from_secs(50));
        schedule.add(B, start + Duration::from_secs(60)); // changes nothing
        said.extend(play(&mut schedule, start, [50, 700]));
        let (a, b, both) = (vec![A], vec![B], vec![A, B]);
        let expected = [
            (0, a.clone()),
            (2, a.clone()),
            (6, a),
            (50, b.clone()),
            (52, b.clone()),
            (56, b.clone()),
            (300, both.clone()),
            (600, both),
        ];
        assert_eq!(said, expected);
        schedule.remove(A);
        assert!(!schedule.has(A) && schedule.has(B));
        assert_eq!(play(&mut schedule, start, [700, 1000]), [(900, b)]);
    }

    #[test]
    fn sleep_is_not_made_up_for() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.add(A, start);
        let late = start + Duration::from_secs(3600);
        assert_eq!(schedule.due(late), [A]);
        assert_eq!(schedule.due(late), []);
        assert_eq!(schedule.due(late + Duration::from_secs(299)), []);
        assert_eq!(schedule.due(late + EVERY), [A]);
    }

    #[test]
    fn a_flood_is_heard_in_part() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        let mut taken = 0;
        for milli in 0..3000 {
            let now = start + Duration::from_millis(milli);
            taken += u32::from(schedule.may_hear(now));
        }
        assert_eq!(taken, 3 * HEARD_A_SECOND);
    }
}
