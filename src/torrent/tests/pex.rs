//! Tests of peer exchange.

use super::*;
use crate::extension::pex::{REACHABLE, SEED};
use crate::messages::Client;

/// Peer `n` says that it listens on `port` and supports peer exchange.
fn introduce(rig: &mut Rig, n: u8, port: Option<u16>) {
    rig.event(
        n,
        PeerEvent::Client(Client {
            name: None,
            port,
            upload_only: false,
            pex: true,
        }),
    );
}

/// The peers that came, with flags, and those that left.
type Told = (Vec<(SocketAddr, u8)>, Vec<SocketAddr>);

fn told(actions: &[Action], n: u8) -> Option<Told> {
    actions.iter().find_map(|action| match action {
        Action::Send(to, Command::TellPeers { added, dropped }) if *to == key(n) => {
            Some((added.clone(), dropped.clone()))
        }
        _ => None,
    })
}

fn listening(n: u8, port: u16) -> SocketAddr {
    SocketAddr::new(addr(n).ip(), port)
}

#[test]
fn who_came_and_who_went() {
    let mut rig = Rig::new(2, |_| {});
    rig.join_seed(1); // incoming, and it says where it listens
    introduce(&mut rig, 1, Some(7001));
    rig.join(2, Bitfield::none(2));
    introduce(&mut rig, 2, None); // nobody could connect to it
    rig.dialled(key(3), addr(3));
    rig.greet(3, false);

    let first = rig.pass(Duration::from_millis(100));
    let (mut added, dropped) = told(&first, 2).unwrap();
    added.sort();
    let mut all = vec![(listening(1, 7001), SEED), (addr(3), REACHABLE)];
    all.sort();
    assert_eq!((added, dropped), (all, vec![]));
    assert_eq!(
        told(&first, 1).unwrap().0,
        [(addr(3), REACHABLE)],
        "not itself"
    );
    assert_eq!(told(&first, 3), None, "it takes none");

    rig.event(3, PeerEvent::Closed("gone".into()));
    rig.join(4, Bitfield::none(2));
    introduce(&mut rig, 4, Some(7004));
    let soon = rig.pass(Duration::from_secs(59));
    assert_eq!(told(&soon, 2), None, "once a minute");
    assert!(told(&soon, 4).is_some(), "but a newcomer at once");
    let later = rig.pass(Duration::from_secs(1));
    assert_eq!(
        told(&later, 2),
        Some((vec![(listening(4, 7004), 0)], vec![addr(3)]))
    );
}

#[test]
fn who_is_told_of_is_dialled() {
    let mut rig = Rig::new(2, |_| {});
    rig.join_seed(1);
    let named = rig.event(1, PeerEvent::Peers(vec![addr(9)]));
    assert!(dials(&named, addr(9)), "{named:?}");
}

#[test]
fn not_where_it_is_forbidden() {
    let private: fn(&mut Setup) = |setup| content(setup).private = true;
    let switched_off: fn(&mut Setup) = |setup| setup.pex = false;
    let unknown: fn(&mut Setup) = |setup| setup.content = None;
    for forbid in [private, switched_off, unknown] {
        let mut rig = Rig::new(2, forbid);
        rig.greet(1, true);
        introduce(&mut rig, 1, Some(7001));
        rig.greet(2, true);
        introduce(&mut rig, 2, Some(7002));
        let actions = rig.pass(Duration::from_millis(100));
        assert_eq!(told(&actions, 1), None);
        assert_eq!(rig.event(1, PeerEvent::Peers(vec![addr(9)])), []);
    }
}

/// A peer on the internet can't know anybody in our network.
#[test]
fn near_addresses_are_not_for_the_far() {
    let mut rig = Rig::new(2, |_| {});
    let far: SocketAddr = "1.2.3.4:6881".parse().unwrap();
    rig.greet_as(50, key(50), far, true);
    introduce(&mut rig, 50, Some(6881));
    rig.join(2, Bitfield::none(2));
    introduce(&mut rig, 2, Some(7002));
    let actions = rig.pass(Duration::from_millis(100));
    assert_eq!(told(&actions, 50), None);
    assert_eq!(told(&actions, 2), Some((vec![(far, 0)], vec![])));

    let other: SocketAddr = "5.6.7.8:6881".parse().unwrap();
    let loopback = SocketAddr::from(([127, 0, 0, 1], 6881));
    let named = PeerEvent::Peers(vec![loopback, addr(9), other]);
    let dialled = |actions: Vec<Action>| -> Vec<SocketAddr> {
        let dial = actions.into_iter().filter_map(|action| match action {
            Action::Dial(_, addr) => Some(addr),
            _ => None,
        });
        dial.collect()
    };
    assert_eq!(dialled(rig.event(50, named)), [other]);
    let named = PeerEvent::Peers(vec![loopback, addr(9)]);
    assert_eq!(dialled(rig.event(2, named)), [addr(9)]);
}

#[test]
fn a_flood_is_no_storm() {
    let mut rig = Rig::new(2, |_| {});
    rig.join_seed(1);
    let made_up = |n: u16| SocketAddr::from(([10, 1, (n >> 8) as u8, n as u8], 6881));
    let mut dials = 0;
    for n in 0..100 {
        let named = (200 * n..200 * (n + 1)).map(made_up).collect();
        for action in rig.event(1, PeerEvent::Peers(named)) {
            dials += usize::from(matches!(action, Action::Dial(..)));
        }
    }
    assert_eq!(dials, MAX_DIALS);
    assert_eq!(rig.torrent.swarm.counts().known, crate::swarm::MAX_KNOWN);
}
