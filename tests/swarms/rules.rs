//! What each rule of the client is for: the same swarm with the rule and without.

use crate::{KIB, MB, MIB};
use std::time::Duration;
use storrent::config::{Choking, Rules, Strategy};
use storrent::sim::{Figures, Role, Swarm};

/// The seed leaves when it has sent the torrent about once and a third. With rarest first it sends
/// each piece early, and most of the torrent stays in the swarm. If all fetch the pieces in order,
/// the seed sends the first ones over and over, and the last leave with it.
#[test]
fn rarest_first_keeps_the_torrent_in_the_swarm() {
    let lost = |strategy, seed| {
        let rules = Rules {
            strategy,
            ..Rules::default()
        };
        let mut swarm = Swarm::new(seed).content(4 * MIB, 64 * KIB);
        swarm.add(Role::seed(MB / 2).leaves(Duration::from_secs(11)));
        for n in 0..8 {
            let leech = Role::leech(MB / 2).joins(Duration::from_millis(300) * n);
            swarm.add(leech.rules(rules));
        }
        swarm.run(Duration::from_secs(60));
        let copies = swarm.availability();
        copies.iter().filter(|copies| **copies == 0).count()
    };
    for seed in 0..3 {
        let rarest = lost(Strategy::RarestFirst, seed);
        let in_order = lost(Strategy::Sequential, seed);
        assert!(
            2 * rarest < in_order,
            "{rarest} and {in_order} pieces of 64 are lost"
        );
    }
}

/// Three fast seeds and one fifty times slower, which must not hold up the end.
#[test]
fn taking_over_saves_waiting_for_the_slowest() {
    let time = |take_over| {
        let rules = Rules {
            take_over,
            ..Rules::default()
        };
        let mut swarm = Swarm::new(1).content(16 * MIB, 256 * KIB);
        for up in [MB, MB, MB, MB / 50] {
            swarm.add(Role::seed(up));
        }
        swarm.add(Role::leech(0).rules(rules));
        swarm.run(Duration::from_secs(400)).mean_time()
    };
    let (with, without) = (time(true), time(false));
    assert!(with < 0.95 * without, "{with:.2} s and {without:.2} s");
}

/// Four of sixteen leeches never give. Tit for tat makes them wait; if lots are drawn, they lose
/// little.
#[test]
fn tit_for_tat_lets_free_riders_wait() {
    let rider_by_leech = |choking| {
        let rules = Rules {
            choking,
            ..Rules::default()
        };
        let mut swarm = Swarm::new(1).content(8 * MIB, 64 * KIB);
        swarm.add(Role::seed(MB));
        (0..12).for_each(|_| _ = swarm.add(Role::leech(MB / 2).rules(rules)));
        (0..4).for_each(|_| _ = swarm.add(Role::free_rider().rules(rules)));
        let outcome = swarm.run(Duration::from_secs(60));
        assert!(outcome.is_complete(), "{outcome}");
        let mean = |nodes: &[Figures]| {
            let times = nodes.iter().filter_map(Figures::took);
            times.map(|time| time.as_secs_f64()).sum::<f64>() / nodes.len() as f64
        };
        mean(&outcome.nodes[13..]) / mean(&outcome.nodes[1..13])
    };
    let (for_tat, by_lot) = (
        rider_by_leech(Choking::TitForTat),
        rider_by_leech(Choking::ByLot),
    );
    assert!(
        for_tat > 1.2 && by_lot < 1.15,
        "{for_tat:.2} and {by_lot:.2}"
    );
}

/// While a leech downloads, it serves three peers for what they give, and one by lot. So of all that
/// leeches give, those that never give get no more than the lot's quarter.
#[test]
fn free_riders_get_at_most_the_optimistic_share() {
    const LEECHES: usize = 12;
    let share = |choking, chance| {
        let rules = Rules {
            choking,
            ..Rules::default()
        };
        let mut swarm = Swarm::new(chance).content(8 * MIB, 64 * KIB);
        swarm.add(Role::seed(MB));
        (0..LEECHES).for_each(|_| _ = swarm.add(Role::leech(MB / 2).rules(rules)));
        (0..4).for_each(|_| _ = swarm.add(Role::free_rider().rules(rules)));
        // A leech that is complete serves those that take fastest.
        let is_any_complete = |swarm: &Swarm| (1..=LEECHES).any(|leech| swarm.is_seed(leech));
        assert!(swarm.run_until(Duration::from_secs(60), is_any_complete));
        let leeches = (1..=LEECHES).map(|leech| swarm.figures(leech));
        let all: u32 = leeches.clone().map(Figures::gave).sum();
        let given = leeches.flat_map(|leech| &leech.gave_to);
        let to_riders = given.filter(|(node, _)| **node > LEECHES);
        f64::from(to_riders.map(|(_, blocks)| blocks).sum::<u32>()) / f64::from(all)
    };
    for chance in 0..4 {
        let for_tat = share(Choking::TitForTat, chance);
        let by_lot = share(Choking::ByLot, chance);
        assert!(for_tat < 0.25, "chance {chance}: {for_tat:.2}");
        assert!(for_tat < by_lot, "chance {chance}: by lot {by_lot:.2}");
    }
}

/// A film is watched while it loads, from three fast seeds and one that is 500 times slower. It
/// plays 70 % of what all lines bring. A piece that is late is asked of a faster seed, too: so the
/// film never stops if it begins after 7 s. Otherwise it would have to begin after 29 s.
#[test]
fn in_order_nothing_waits_for_the_slowest() {
    const LINES: [u64; 4] = [MB, MB, MB, MB / 500];
    const PIECE: u64 = 64 * KIB;
    let rules = Rules {
        strategy: Strategy::Sequential,
        ..Rules::default()
    };
    let mut swarm = Swarm::new(1).content(96 * MIB, PIECE);
    LINES.iter().for_each(|up| _ = swarm.add(Role::seed(*up)));
    let leech = swarm.add(Role::leech(0).rules(rules));
    let rate = 0.7 * LINES.iter().sum::<u64>() as f64;
    let (mut now, mut begins) = (Duration::ZERO, 0.0_f64);
    while !swarm.is_seed(leech) {
        let is_here = |copies: &&u32| **copies > LINES.len() as u32;
        let here = swarm.availability().iter().take_while(is_here).count();
        let seconds = (here as u64 * PIECE) as f64 / rate;
        begins = begins.max(now.as_secs_f64() - seconds);
        now += Duration::from_millis(100);
        swarm.run_until(now, |_| false);
    }
    assert!(begins < 7.0, "it must begin after {begins:.1} s");
    let outcome = swarm.outcome();
    let got = swarm.figures(leech).got;
    assert!(got <= outcome.blocks + 20, "{got} blocks came");
}

/// A liar beside two seeds: without hashes its false blocks spread to everybody.
#[test]
fn hashes_keep_lies_out() {
    let false_blocks = |swarm: Swarm| {
        let mut swarm = swarm.content(4 * MIB, 64 * KIB);
        swarm.add(Role::seed(MB / 2));
        swarm.add(Role::seed(MB / 2));
        swarm.add(Role::liar(MB / 2, 20));
        (0..6).for_each(|_| _ = swarm.add(Role::leech(MB / 2)));
        let outcome = swarm.run(Duration::from_secs(60));
        assert!(outcome.is_complete(), "{outcome}");
        outcome.nodes[3..]
            .iter()
            .map(|node| node.false_blocks)
            .collect::<Vec<_>>()
    };
    assert_eq!(false_blocks(Swarm::new(1)), [0; 6]);
    let believed = false_blocks(Swarm::new(1).unhashed());
    assert!(believed.iter().all(|blocks| *blocks > 0), "{believed:?}");
}

#[test]
fn the_same_number_gives_the_same_run() {
    let play = |seed: u64| {
        let mut swarm = Swarm::new(seed).content(2 * MIB, 64 * KIB).traced();
        swarm.add(Role::seed(MB));
        for n in 0..6 {
            let leech = Role::leech(MB / 2).down(2 * MB);
            swarm.add(leech.joins(Duration::from_millis(700) * n).meets(3));
        }
        swarm.add(Role::liar(MB, 30));
        swarm.run_until(Duration::from_secs(2), |_| false);
        swarm.sever(0);
        swarm.restart(3);
        let outcome = swarm.run(Duration::from_secs(60));
        (outcome, swarm.trace().collect::<String>())
    };
    let (outcome, trace) = play(1);
    assert!(outcome.is_complete(), "{outcome}");
    assert_eq!(play(1), (outcome, trace));
    assert_ne!(play(2).0, play(1).0);
}
