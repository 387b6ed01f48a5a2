//! A torrent's trackers in virtual time.

use super::AnnounceEvent::{Completed, Periodic, Started, Stopped};
use super::*;
use crate::announce::Trouble;
use crate::url::shown;

impl Announcer {
    /// When to call [`Announcer::due`] again if nothing happens before; `None` if never.
    fn next_wakeup(&self, now: Instant) -> Option<Instant> {
        self.on_turn(now)
            .into_iter()
            .filter_map(|index| self.trackers[index].next(self.phase, self.hungry, now))
            .map(|(_, when)| when)
            .min()
    }
}

/// `at` is in seconds since the start.
struct Sim {
    announcer: Announcer,
    start: Instant,
    at: u64,
}

impl Sim {
    fn new(tiers: &[&[&str]], private: bool, complete: bool) -> Self {
        let tiers = tiers
            .iter()
            .map(|tier| tier.iter().map(|url| url.to_string()).collect())
            .collect();
        let start = Instant::now();
        let rng = &mut fastrand::Rng::with_seed(1);
        let mut announcer = Announcer::new(tiers, private, rng, start);
        assert_eq!(announcer.due(start), [], "nothing before the start");
        announcer.start(complete, start);
        Self {
            announcer,
            start,
            at: 0,
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_secs(self.at)
    }

    /// Goes to the next time when something is due. Returns this time and the announces.
    fn step(&mut self) -> (u64, Vec<(u32, AnnounceEvent)>) {
        let now = self.now();
        let when = self.announcer.next_wakeup(now).expect("something to come");
        self.at = when.max(now).duration_since(self.start).as_secs();
        (self.at, self.due())
    }

    fn due(&mut self) -> Vec<(u32, AnnounceEvent)> {
        let due = self.announcer.due(self.now());
        due.into_iter().map(|(i, event)| (i.0, event)).collect()
    }

    fn ok(&mut self, index: u32) -> bool {
        self.reply(index, AnnounceReply::default())
    }

    fn reply(&mut self, index: u32, reply: AnnounceReply) -> bool {
        let now = self.now();
        self.announcer
            .on_outcome(TrackerIndex(index), &Ok(reply), now)
    }

    fn fail(&mut self, index: u32, trouble: Trouble) {
        let error = TrackerError {
            tracker: shown("http://t/announce"),
            trouble,
        };
        let now = self.now();
        let switched = self
            .announcer
            .on_outcome(TrackerIndex(index), &Err(error), now);
        assert!(!switched, "a failure alone is no switch");
    }
}

#[test]
fn a_life() {
    let mut sim = Sim::new(&[&["http://a/"]], false, false);
    assert_eq!(sim.step(), (0, vec![(0, Started)]));
    assert_eq!(sim.announcer.next_wakeup(sim.now()), None, "one at a time");
    sim.ok(0);
    assert_eq!(sim.step(), (1800, vec![(0, Periodic)]));
    sim.announcer.complete(sim.now());
    assert_eq!(sim.due(), [], "one at a time");
    sim.ok(0);
    assert_eq!(sim.step(), (1800, vec![(0, Completed)]));
    sim.ok(0);
    sim.announcer.complete(sim.now());
    assert_eq!(sim.step(), (3600, vec![(0, Periodic)]));
    sim.announcer.stop();
    assert_eq!(sim.due(), []);
    sim.fail(0, Trouble::Refused);
    assert!(!sim.announcer.has_left());
    assert_eq!(sim.step(), (3600, vec![(0, Stopped)]));
    sim.fail(0, Trouble::Refused);
    assert!(sim.announcer.has_left());
    assert_eq!(sim.announcer.next_wakeup(sim.now()), None);
}

#[test]
fn failures_are_retried_later_and_later() {
    let mut sim = Sim::new(&[&["http://a/"]], false, false);
    for at in [0, 15, 75, 375, 1275, 2175] {
        sim.announcer.complete(sim.now());
        assert_eq!(sim.step(), (at, vec![(0, Started)]));
        sim.fail(0, Trouble::TimedOut(Duration::from_secs(20)));
    }
    assert_eq!(sim.step(), (3075, vec![(0, Started)]));
    sim.ok(0);
    assert_eq!(sim.step(), (3075, vec![(0, Completed)]));
    sim.fail(0, Trouble::Refused);
    assert_eq!(sim.step(), (3090, vec![(0, Completed)]));
}

#[test]
fn who_never_joined_is_told_nothing() {
    let mut sim = Sim::new(&[&["http://a/", "http://b/"]], false, true);
    assert_eq!(sim.step().1.len(), 2);
    sim.ok(0);
    sim.announcer.complete(sim.now());
    assert_eq!(sim.due(), [], "joined as a seed: never completed");
    sim.announcer.stop();
    assert_eq!(sim.due(), [(0, Stopped)]);
    sim.ok(0);
    assert!(sim.announcer.has_left());
    sim.ok(1);
    assert_eq!(sim.due(), [(1, Stopped)], "it joined at the last moment");
    sim.ok(1);
    assert_eq!(sim.due(), []);
}

#[test]
fn hunger_asks_early_but_less_and_less() {
    let mut sim = Sim::new(&[&["http://a/"]], false, false);
    sim.step();
    sim.ok(0);
    sim.announcer.set_hungry(true);
    for at in [60, 180, 420, 900, 1860, 3660] {
        assert_eq!(sim.step(), (at, vec![(0, Periodic)]));
        sim.ok(0);
    }
    sim.announcer.set_hungry(false);
    assert_eq!(sim.step().0, 5460);
    let reply = AnnounceReply {
        min_interval: Some(Duration::from_secs(900)),
        ..AnnounceReply::default()
    };
    sim.reply(0, reply);
    sim.announcer.set_hungry(true);
    assert_eq!(sim.step().0, 6360, "the tracker's minimum holds");
}

#[test]
fn private_walks_the_tiers() {
    let tiers: &[&[&str]] = &[&["http://a/"], &["http://b/"], &["http://c/"]];
    let mut sim = Sim::new(tiers, true, false);
    assert_eq!(sim.step(), (0, vec![(0, Started)]));
    assert_eq!(sim.due(), [], "only one at a time");
    sim.fail(0, Trouble::Refused);
    assert_eq!(sim.step(), (0, vec![(1, Started)]));
    assert!(!sim.ok(1), "the first one to answer is no switch");
    assert_eq!(sim.step(), (1800, vec![(1, Periodic)]), "it stays");
    sim.fail(1, Trouble::Refused);
    assert_eq!(sim.step(), (1800, vec![(0, Started)]), "again from the top");
    sim.fail(0, Trouble::Refused);
    assert_eq!(sim.step(), (1800, vec![(2, Started)]));
    sim.fail(2, Trouble::Refused);
    assert_eq!(
        sim.step(),
        (1815, vec![(1, Periodic)]),
        "the first to be ready"
    );
    sim.fail(1, Trouble::Refused);
    assert_eq!(sim.step(), (1815, vec![(2, Started)]));
    assert!(sim.ok(2), "now it has switched");
    sim.announcer.stop();
    assert_eq!(sim.due(), [(1, Stopped), (2, Stopped)]);
}

#[test]
fn private_keeps_the_working_tracker_in_front_of_its_tier() {
    let mut sim = Sim::new(&[&["http://a/", "http://b/", "http://c/"]], true, false);
    let order = sim.announcer.tiers[0].clone();
    for &index in &order[..2] {
        assert_eq!(sim.step(), (0, vec![(index as u32, Started)]));
        sim.fail(index as u32, Trouble::Refused);
    }
    assert_eq!(sim.step(), (0, vec![(order[2] as u32, Started)]));
    sim.ok(order[2] as u32);
    assert_eq!(sim.announcer.tiers[0], [order[2], order[0], order[1]]);
}

#[test]
fn urls_are_cleaned_and_useless_ones_dropped() {
    let tiers: &[&[&str]] = &[&[" http://a/ ", ""], &[], &["http://a/", "gopher://b/"]];
    let mut sim = Sim::new(tiers, false, false);
    let many: Vec<String> = (0..1_000).map(|i| format!("http://{i}/")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(
        Sim::new(&[&many], false, false).step().1.len(),
        MAX_TRACKERS
    );
    let urls = [0, 1].map(|n| sim.announcer.url(TrackerIndex(n)));
    assert_eq!(urls, ["http://a/", "gopher://b/"]);
    assert_eq!(sim.step().1.len(), 2);
    sim.fail(1, Trouble::UnsupportedScheme);
    sim.fail(0, Trouble::Failure("no".to_owned()));
    let summary = sim.announcer.summary();
    assert_eq!((summary.answered, summary.trackers), (0, 1));
    let errors: Vec<_> = sim.announcer.last_errors().collect();
    assert_eq!(errors.len(), 1, "only of those that count: {errors:?}");
    assert_eq!(summary.failures, 1);
    assert_eq!(
        sim.step(),
        (15, vec![(0, Started)]),
        "the other is never asked"
    );
}

#[test]
fn trackers_of_browsers_are_none_of_ours() {
    let ws = (0..1_000).map(|i| format!("{}://{i}/", ["ws", "WSS"][i % 2]));
    let ws: Vec<String> = ws.collect();
    let mut many: Vec<&str> = ws.iter().map(String::as_str).collect();
    many.extend(["udp://h:1/", "http://h:1/", "https://h:1/", "wss", "ws:/h"]);
    for private in [false, true] {
        let mut sim = Sim::new(&[&["wss://a/"], &many], private, false);
        assert_eq!(sim.announcer.skipped(), 1_001);
        assert_eq!(sim.announcer.summary().trackers, 5);
        assert_eq!(sim.step().1.len(), if private { 1 } else { 5 });
    }
}

#[test]
fn further_and_stray_outcomes_change_nothing() {
    let mut sim = Sim::new(&[&["http://a/"]], false, false);
    sim.ok(0);
    sim.ok(7);
    assert_eq!(sim.step(), (0, vec![(0, Started)]));
    let further = AnnounceReply {
        further: true,
        ..AnnounceReply::default()
    };
    sim.reply(0, further);
    assert_eq!(
        sim.announcer.next_wakeup(sim.now()),
        None,
        "still in flight"
    );
}

/// Another SOURCE names the same torrent.
#[test]
fn trackers_come_and_go() {
    let set = |sim: &mut Sim, urls: &[&str]| {
        let tiers = vec![urls.iter().map(|url| url.to_string()).collect()];
        let (rng, now) = (&mut fastrand::Rng::with_seed(1), sim.now());
        sim.announcer.set_trackers(tiers, rng, now)
    };
    let mut sim = Sim::new(&[&["http://a/", "http://b/"]], false, false);
    assert_eq!(sim.due(), [(0, Started), (1, Started)]);
    sim.ok(0);
    assert!(!set(
        &mut sim,
        &["http://b/", "http://c/", "http://a/", "http://c/"]
    ));
    assert_eq!(sim.due(), [(2, Started)], "the others go on as they were");
    // Now only `c` is left, and the torrent is private.
    sim.announcer.set_private();
    assert!(set(&mut sim, &["http://c/"]));
    assert_eq!(sim.due(), [(0, Stopped)]);
    sim.ok(1); // had not answered yet
    sim.ok(2);
    assert_eq!(sim.due(), [(1, Stopped)]);
    sim.ok(0);
    sim.ok(1);
    assert_eq!(sim.step(), (1800, vec![(2, Periodic)]));
    sim.ok(2);
    assert_eq!(sim.announcer.summary().trackers, 1);
    sim.announcer.stop();
    assert_eq!(sim.due(), [(2, Stopped)]);
}

/// If there is no thread or file for `stopped`, it is sent again: ours are soon free.
#[test]
fn stopped_waits_for_what_it_takes() {
    let mut sim = Sim::new(&[&["a"]], false, false);
    assert_eq!(sim.due(), [(0, Started)]);
    sim.ok(0);
    sim.announcer.stop();
    let no_file = rustix::io::Errno::MFILE.into();
    let no_thread = std::io::ErrorKind::WouldBlock.into();
    for trouble in [Trouble::NoThread(no_thread), Trouble::Unreachable(no_file)] {
        assert_eq!(sim.due(), [(0, Stopped)]);
        sim.fail(0, trouble);
        assert_eq!(sim.due(), [], "not at once");
        assert!(!sim.announcer.has_left());
        sim.at += 1;
    }
    assert_eq!(sim.due(), [(0, Stopped)]);
    sim.fail(0, Trouble::Refused);
    assert!(sim.announcer.has_left());
}

/// The same, if we go on and only the torrent no longer names the tracker.
#[test]
fn stopped_waits_also_while_we_go_on() {
    let mut sim = Sim::new(&[&["a"]], false, false);
    sim.due();
    sim.ok(0);
    let set = |sim: &mut Sim, tiers: &[&str]| {
        let tiers = vec![tiers.iter().map(|url| url.to_string()).collect()];
        let now = sim.now();
        let rng = &mut fastrand::Rng::with_seed(1);
        sim.announcer.set_trackers(tiers, rng, now)
    };
    set(&mut sim, &[]);
    assert_eq!(sim.due(), [(0, Stopped)]);
    sim.fail(0, Trouble::NoThread(std::io::ErrorKind::WouldBlock.into()));
    assert_eq!(sim.due(), [], "not at once");
    // The tracker is named again, and then we leave: the old shortage has no effect.
    set(&mut sim, &["a"]);
    assert_eq!(sim.step(), (0, vec![]), "in a tenth of a second");
    sim.at += 1;
    assert_eq!(sim.due(), [(0, Periodic)]);
    sim.ok(0);
    sim.announcer.stop();
    assert_eq!(sim.due(), [(0, Stopped)]);
    sim.ok(0);
    assert!(sim.announcer.has_left());
}
