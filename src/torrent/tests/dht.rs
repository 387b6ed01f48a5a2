//! Tests of DHT look-ups.

use super::*;

/// Whether a look-up begins, and if so, whether we announce ourselves.
fn searched(actions: &[Action]) -> Option<bool> {
    let mut all = actions.iter().filter_map(|action| match action {
        Action::SearchDht { announce } => Some(*announce),
        _ => None,
    });
    let found = all.next();
    assert_eq!(all.next(), None);
    found
}

fn content_of(rig: &Rig, private: bool) -> Content {
    Content {
        name: "it".into(),
        layout: rig.layout.clone(),
        have: Bitfield::none(2),
        stored: Vec::new(),
        wanted: Wanted::all(&rig.layout),
        private,
    }
}

fn named(rig: &mut Rig) -> Vec<Action> {
    rig.turn(|torrent, turn| torrent.on_dht_peers(vec![addr(9)], turn))
}

const TICK: Duration = Duration::from_millis(100);

#[test]
fn looks_for_peers_and_dials_them() {
    let mut rig = Rig::new(2, |setup| setup.dht = true);
    assert_eq!(searched(&rig.pass(TICK)), Some(true));
    assert_eq!(searched(&rig.pass(TICK)), None);
    assert_eq!(searched(&rig.pass(Duration::from_secs(5))), Some(true));
    assert!(dials(&named(&mut rig), addr(9)));
    rig.join_seed(1);
    assert_eq!(searched(&rig.pass(Duration::from_secs(60))), None);
    rig.turn(Torrent::stop);
    assert_eq!(searched(&rig.pass(Duration::from_secs(3600))), None);
}

#[test]
fn never_for_a_private_torrent_nor_when_switched_off() {
    let off = Rig::new(2, |_| {});
    let private = Rig::new(2, |setup| {
        setup.dht = true;
        content(setup).private = true;
    });
    for mut rig in [off, private] {
        assert_eq!(searched(&rig.pass(Duration::from_secs(3600))), None);
        assert_eq!(named(&mut rig), []);
        rig.join_seed(1);
        assert_eq!(rig.event(1, PeerEvent::DhtPort(6881)), []);
        assert!(!rig.torrent.why_idle().to_string().contains("DHT"));
    }
}

#[test]
fn nobody_is_told_of_us_before_the_torrent_is_known_to_be_public() {
    for private in [false, true] {
        let mut rig = Rig::new(2, |setup| {
            setup.content = None;
            setup.dht = true;
        });
        assert_eq!(searched(&rig.pass(TICK)), Some(false));
        assert!(dials(&named(&mut rig), addr(9)));
        let content = content_of(&rig, private);
        rig.turn(|torrent, turn| torrent.learn(content, turn));
        let then = searched(&rig.pass(TICK));
        assert_eq!(then, (!private).then_some(true));
        assert_eq!(searched(&rig.pass(TICK)), None);
        let late = rig.turn(|torrent, turn| torrent.on_dht_peers(vec![addr(10)], turn));
        assert_eq!(dials(&late, addr(10)), !private);
    }
}

#[test]
fn a_peer_has_a_node() {
    let mut rig = Rig::new(2, |setup| setup.dht = true);
    rig.join_seed(1);
    let mut node = addr(1);
    node.set_port(7777);
    assert_eq!(
        rig.event(1, PeerEvent::DhtPort(7777)),
        [Action::EnterDht(node)]
    );
}

#[test]
fn the_user_hears_how_many_nodes_there_are() {
    let mut rig = Rig::new(2, |setup| setup.dht = true);
    let hint = "; name a peer with --peer or a tracker with --tracker";
    let none = "no peers: DHT 0 nodes, nobody on the local network";
    assert_eq!(rig.torrent.why_idle().to_string(), none.to_owned() + hint);
    rig.torrent.on_dht_nodes(212);
    let some = "no peers: DHT 212 nodes, nobody on the local network";
    assert_eq!(rig.torrent.why_idle().to_string(), some);
    named(&mut rig);
    let known = "no peers yet of 1 known; DHT 212 nodes, nobody on the local network";
    assert_eq!(rig.torrent.why_idle().to_string(), known);
}
