//! Our node in simulated networks of a few hundred nodes: with honest nodes, with lost datagrams,
//! with liars, and with nobody there.

mod world;

use super::*;
use crate::dht::search::MAX_QUERIES;
use std::collections::HashSet;
use world::{Kind, World, nonsense, reply};

const HASH: InfoHash = InfoHash([0x5a; 20]);
/// Our TCP port.
const OURS: u16 = 6881;

#[test]
fn finds_the_peers_and_announces_to_the_nearest() {
    for seed in 0..20 {
        let mut world = World::new(300, seed);
        let peers = world.store(HASH);
        world.enter(seed as usize, false);
        world.search(HASH);
        world.run_to_the_end();
        assert_eq!(world.peers, peers, "seed {seed}");
        assert_eq!(world.ended, [(HASH, 5, NEAREST)]);
        world.run(Duration::from_secs(1));
        assert_eq!(world.announced(HASH), NEAREST, "seed {seed}");
        assert!(world.sent.len() < 60, "{} queries", world.sent.len());
        assert!(world.now - world.start < Duration::from_secs(5));
        assert!(world.node.known() > NEAREST);

        // Once more, without help from the entrance.
        let asked = world.others[seed as usize].queries;
        world.search(HASH);
        world.run_to_the_end();
        assert_eq!(world.ended.len(), 2);
        assert!(world.others[seed as usize].queries <= asked + 1);
    }
}

#[test]
fn lost_datagrams_cost_time_only() {
    for seed in 0..20 {
        let mut world = World::new(300, seed);
        let peers = world.store(HASH);
        world.loss = 0.2;
        (0..3).for_each(|number| world.enter(number, true));
        world.search(HASH);
        world.run_to_the_end();
        assert_eq!(world.peers, peers, "seed {seed}");
        world.run(Duration::from_secs(1));
        assert!(world.announced(HASH) > 0, "seed {seed}");
    }
}

#[test]
fn liars_are_passed_over() {
    let kinds = [
        Kind::Silent,
        Kind::Refuses,
        Kind::WrongTransaction,
        Kind::WrongSource,
        Kind::NamesGhosts,
        Kind::NamesNonsense,
        Kind::Floods,
    ];
    for seed in 0..20 {
        let mut world = World::new(400, seed);
        let peers = world.store(HASH);
        for number in 0..world.others.len() {
            // Every fourth node, also among the nearest.
            if world.rng.u8(..4) == 0 && number > 0 {
                world.others[number].kind = kinds[world.rng.usize(..kinds.len())];
            }
        }
        world.enter(0, false);
        world.search(HASH);
        world.run_to_the_end();
        assert!(world.is_idle(), "seed {seed}");
        assert_eq!(world.peers, peers, "seed {seed}");
        assert!(world.sent.len() <= MAX_QUERIES + NEAREST);
        for (_, to) in &world.sent {
            assert!(
                to.port() >= 1024 && to.ip().to_string() != "192.168.1.1",
                "{to}"
            );
            assert!(
                nonsense(HASH).iter().all(|contact| contact.addr != *to),
                "{to}"
            );
        }
        world.run(Duration::from_secs(1));
        let honest = |number: &&usize| world.others[**number].kind == Kind::Honest;
        let nearest = world.nearest(HASH);
        let honest = nearest.iter().take(NEAREST).filter(honest).count();
        assert!(world.announced(HASH) >= honest, "seed {seed}");
    }
}

#[test]
fn a_network_of_liars_is_left_alone_after_a_while() {
    let mut world = World::new(300, 1);
    world
        .others
        .iter_mut()
        .for_each(|other| other.kind = Kind::NamesGhosts);
    (0..30).for_each(|number| world.enter(number, false));
    world.search(HASH);
    world.run_to_the_end();
    assert!(world.is_idle());
    assert!(
        world.sent.len() <= MAX_QUERIES + NEAREST,
        "{}",
        world.sent.len()
    );
    assert!(world.node.asked.len() <= MAX_QUERIES);
}

#[test]
fn silence_is_asked_ever_more_rarely() {
    let mut world = World::new(100, 1);
    let peers = world.store(HASH);
    world
        .others
        .iter_mut()
        .for_each(|other| other.kind = Kind::Silent);
    (0..3).for_each(|number| world.enter(number, true));
    world.search(HASH);
    world.run(Duration::from_secs(3600));
    let (first, later) = (
        world
            .sent
            .iter()
            .filter(|(at, _)| at.as_secs() < 60)
            .count(),
        world
            .sent
            .iter()
            .filter(|(at, _)| at.as_secs() >= 1800)
            .count(),
    );
    assert!((6..=15).contains(&first), "{first} in the first minute");
    assert!((9..=21).contains(&later), "{later} in the last half hour");
    // The search goes on, and a new request ends its pause at once.
    world
        .others
        .iter_mut()
        .for_each(|other| other.kind = Kind::Honest);
    world.search(HASH);
    world.run(Duration::from_secs(5));
    assert_eq!(world.peers, peers);
    assert!(world.is_idle());
}

#[test]
fn an_entrance_that_comes_late_is_used_at_once() {
    let mut world = World::new(100, 1);
    let peers = world.store(HASH);
    world.search(HASH);
    world.run(Duration::from_secs(100));
    assert!(world.sent.is_empty() && !world.is_idle());
    world.enter(7, true);
    world.run(Duration::from_secs(5));
    assert_eq!(world.peers, peers);

    // The first entrance is dead; the second comes while we wait for it.
    let mut world = World::new(100, 1);
    world.others[0].kind = Kind::Silent;
    world.enter(0, true);
    world.search(HASH);
    world.run(Duration::from_millis(500));
    world.enter(1, true);
    world.run(Duration::from_secs(4));
    assert_eq!(world.ended.len(), 1);
}

#[test]
fn routers_are_asked_for_help_only() {
    let mut world = World::new(200, 1);
    let target = InfoHash(world.others[0].contact.id.0); // it would be the nearest
    world.make_router(0);
    world.enter(0, true);
    world.search(target);
    world.run_to_the_end();
    assert_eq!(world.others[0].queries, 1);
    for number in 0..50 {
        world.search(InfoHash([number * 5; 20]));
    }
    world.run_to_the_end();
    assert_eq!(world.ended.len(), 51);
    assert_eq!(world.others[0].queries, 1, "the table serves");
}

#[test]
fn a_router_alone_is_no_network() {
    let mut world = World::new(50, 1);
    let peers = world.store(HASH);
    world.make_router(0);
    for other in &mut world.others[1..] {
        other.kind = Kind::Silent;
    }
    world.enter(0, true);
    world.search(HASH);
    world.run(Duration::from_secs(60));
    assert!(!world.is_idle());
    for other in &mut world.others[1..] {
        other.kind = Kind::Honest;
    }
    world.run_to_the_end();
    assert_eq!(world.peers, peers);
}

#[test]
fn many_torrents_share_the_pace() {
    let mut world = World::new(300, 1);
    let targets: Vec<InfoHash> = (0..100).map(|n| InfoHash([n * 2; 20])).collect();
    world.make_router(0);
    world.enter(0, true);
    for target in &targets {
        world.store(*target);
        world.search(*target);
        world.search(*target);
    }
    world.run_to_the_end();
    let mut ended: Vec<InfoHash> = world.ended.iter().map(|(hash, ..)| *hash).collect();
    ended.sort();
    assert_eq!(ended, targets, "each once");
    assert!(
        world
            .ended
            .iter()
            .all(|(_, peers, announced)| *peers == 5 && *announced == NEAREST)
    );
    assert!(world.others[0].queries <= 3, "the router is not stormed");
    assert!(world.busiest_second() <= 50 + BURST as usize + NEAREST * MAX_SEARCHES);
    assert!(world.node.known() <= 256);
}

#[test]
fn a_port_may_be_named_later() {
    let mut world = World::new(200, 1);
    world.enter(0, false);
    let targets = [HASH, InfoHash([3; 20])];
    for port in [None, Some(OURS)] {
        for target in targets {
            world.node.search(target, port, world.now);
        }
        world.run(Duration::from_millis(100)); // one runs, the other waits
    }
    world.run_to_the_end();
    assert_eq!(world.ended.len(), 2);
    assert!(
        world
            .ended
            .iter()
            .all(|(.., announced)| *announced == NEAREST)
    );
}

#[test]
fn answers_to_nothing_and_queries_are_ignored() {
    let mut world = World::new(10, 1);
    world.enter(0, false);
    world.search(HASH);
    let mut out = Vec::new();
    world.node.on_tick(world.now, &mut out);
    let [Output::Send(to, query)] = &out[..] else {
        panic!("{out:?}")
    };
    let (to, transaction) = (*to, query[query.len() - 11..][..4].to_vec());
    let liar = world.others[1].contact;
    let peer = HashSet::from(["8.8.8.8:8888".parse().unwrap()]);
    let right = reply(&transaction, liar.id, "t", &[], Some(&peer));
    let query = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t4:aaaa1:y1:qe";
    let cases: [(SocketAddr, &[u8]); 4] = [
        (liar.addr, &right),
        (liar.addr, query),
        (to, &reply(b"aaaa", liar.id, "t", &[], Some(&peer))),
        (to, query),
    ];
    for (from, datagram) in cases {
        out.clear();
        world.node.on_datagram(from, datagram, world.now, &mut out);
        assert_eq!(out, [], "{from}");
    }
    world.node.on_datagram(to, &right, world.now, &mut out);
    assert!(matches!(&out[..], [Output::Peers(HASH, _), ..]), "{out:?}");
    out.clear();
    world.node.on_datagram(to, &right, world.now, &mut out);
    assert_eq!(out, [], "nothing is answered twice");
}

#[test]
fn entrances_have_a_limit_and_a_family() {
    let now = Instant::now();
    let mut node = Node::new(true, 1, now);
    node.enter("1.2.3.4:6881".parse().unwrap(), true, now);
    node.enter("[2001:db8::1]:0".parse().unwrap(), true, now);
    node.search(HASH, None, now);
    let mut out = Vec::new();
    node.on_tick(now, &mut out);
    assert_eq!(out, []);
    for port in 1..1000 {
        node.enter(
            SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], port)),
            false,
            now,
        );
    }
    assert_eq!(node.entrances.len(), MAX_ENTRANCES);
    assert_eq!(node.entrances[0].0.port(), 1, "the first ones stay");
    node.on_tick(now, &mut out);
    assert!(!out.is_empty());
    // All entrances are of one host. It keeps nobody else out.
    let others = (2..9).map(|host| SocketAddr::from(([0x2001, 0xdb8, host, 0, 0, 0, 0, 1], 9)));
    for other in others.clone() {
        node.enter(other, false, now);
    }
    let kept = |addr| node.entrances.iter().any(|(known, _)| *known == addr);
    assert!(others.clone().all(kept) && node.entrances.len() == MAX_ENTRANCES);
    assert_eq!(node.entrances[0].0.port(), 1);
}
