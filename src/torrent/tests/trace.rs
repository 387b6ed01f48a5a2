//! The facts that torrents tell: those of a swarm of three against recorded ones, and all against
//! the contract.

use super::*;
use crate::announce::AnnounceReply;
use crate::messages::Client;
use crate::progress::sentence::Sentences;
use crate::sim::{Role, Swarm};
use crate::trace::tests::checked;
use crate::trace::{Event, FACTS, Fact};
use std::path::Path;

const KB: u64 = 1000;

/// A swarm whose nodes tell their facts, with a torrent of `pieces` pieces of two blocks.
fn traced(pieces: u64) -> Swarm {
    let piece = 2 * u64::from(BLOCK_LEN);
    Swarm::new(1).content(pieces * piece - 5000, piece).traced()
}

fn facts(swarm: &Swarm) -> impl Iterator<Item = Event> {
    swarm
        .trace()
        .map(|line| Event::read(&line).unwrap().unwrap())
}

/// Compares `text` with the file `name`. With `RECORD=1` in the environment, writes that file.
#[track_caller]
fn recorded(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/torrent/tests/trace");
    let path = path.join(name);
    if std::env::var_os("RECORD").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differ = text
        .lines()
        .zip(expected.lines())
        .find(|(is, was)| is != was);
    assert!(
        text == expected,
        "not as in {name} (if that is right: RECORD=1), from here on: {differ:#?}"
    );
}

/// A seed and two leeches, of which one comes 0.2 s after the other.
#[test]
fn three_peers_tell_what_was_recorded() {
    let mut swarm = traced(6);
    let late = Role::leech(100 * KB).joins(Duration::from_millis(200));
    for role in [Role::seed(100 * KB), Role::leech(100 * KB), late] {
        swarm.add(role);
    }
    assert!(swarm.run(Duration::from_secs(20)).is_complete());
    let facts: Vec<Event> = facts(&swarm).filter(|fact| fact.node == 1).collect();
    let lines: String = facts.iter().map(Event::line).collect();
    lines.lines().for_each(|line| _ = checked(line));
    recorded("three_peers.jsonl", &lines);
    for (verbose, name) in [(1, "three_peers_v.txt"), (2, "three_peers_vv.txt")] {
        let mut sentences = Sentences::default();
        let told = facts
            .iter()
            .filter_map(|fact| sentences.tell(fact, verbose));
        let told: String = told.map(|line| line + "\n").collect();
        recorded(name, &told);
    }
}

/// Returns the facts of a crowd with a liar, slow lines, and a line that breaks.
fn crowd() -> Vec<Event> {
    let mut swarm = traced(40);
    let slow = Role::seed(5 * KB);
    for role in [Role::seed(300 * KB), Role::liar(200 * KB, 2), slow] {
        swarm.add(role);
    }
    for _ in 3..16 {
        swarm.add(Role::leech(100 * KB));
    }
    assert!(swarm.run(Duration::from_secs(300)).is_complete());
    swarm.sever(0);
    let end = swarm.now() + Duration::from_secs(5);
    swarm.run_until(end, |_| false);
    facts(&swarm).collect()
}

/// Returns the facts of what no simulated peer does.
fn rest() -> Vec<Event> {
    let mut rig = Rig::new(2, |setup| {
        setup.trackers = vec![vec!["http://t.example:80/announce?key=secret".into()]];
    });
    rig.witness = Some(Witness::only(rig.now));
    let mut actions = rig.turn(Torrent::start);
    let reply = AnnounceReply::default();
    actions.extend(rig.turn(|torrent, turn| {
        torrent.on_tracker(TrackerIndex(0), Ok(reply), turn);
    }));
    actions.extend(rig.greet(1, true));
    let client = Client {
        name: Some("x".into()),
        port: None,
        upload_only: false,
        pex: false,
    };
    actions.extend(rig.event(1, PeerEvent::Client(client)));
    actions.extend(rig.event(1, PeerEvent::Snubbed));
    let facts = actions.into_iter().filter_map(|action| match action {
        Action::Tell(Report::Trace(fact)) => Some(fact),
        _ => None,
    });
    facts.collect()
}

/// A peer may repeat its extension handshake, and need not name its program in any.
#[test]
fn a_program_is_told_when_it_is_named() {
    let mut rig = Rig::new(2, |_| {});
    rig.witness = Some(Witness::only(rig.now));
    rig.greet(1, true);
    for (name, told, kept) in [
        (None, 0, "an unknown client"),
        (Some("abc"), 1, "abc"),
        (Some(" "), 0, "abc"),
        (None, 0, "abc"),
        (Some("d"), 1, "d"),
    ] {
        let client = Client {
            name: name.map(str::to_string),
            port: None,
            upload_only: false,
            pex: false,
        };
        let actions = rig.event(1, PeerEvent::Client(client));
        let is_told = |action: &&Action| {
            matches!(action, Action::Tell(Report::Trace(event))
                if matches!(event.fact, Fact::Client { .. }))
        };
        assert_eq!(actions.iter().filter(is_told).count(), told, "{name:?}");
        let peer = rig.torrent.peers.get(&key(1)).unwrap();
        assert_eq!(peer.client(), kept, "{name:?}");
    }
}

#[test]
fn every_fact_is_told_as_the_contract_says() {
    let facts = [crowd(), rest()].concat();
    let mut names: Vec<String> = facts.iter().map(|fact| checked(&fact.line())).collect();
    names.sort_unstable();
    names.dedup();
    let untold = FACTS
        .iter()
        .filter(|name| !names.iter().any(|told| told == *name));
    assert_eq!(untold.collect::<Vec<_>>(), [&"lost"], "which is the disk's");
    let lines: String = facts.iter().map(Event::line).collect();
    assert!(!lines.contains("secret"), "a passkey");
}

/// A reader of a trace can tell at each moment which peer has which block on order.
#[test]
fn what_is_on_order_follows_from_the_facts() {
    let mut on_order: BTreeMap<(u32, PeerKey, u32, u32), u32> = BTreeMap::new();
    for event in crowd() {
        let (Some(peer), piece) = (event.peer, event.piece.unwrap_or(0)) else {
            continue;
        };
        let key = |peer, number| (event.node, peer, piece, number);
        match event.fact {
            Fact::Granted { from, to, .. } => {
                for number in from..to {
                    let orders = on_order.entry(key(peer, number)).or_default();
                    assert_eq!(std::mem::replace(orders, 1), 0, "{event:?}");
                }
            }
            Fact::TakenOver { by, from, to, .. } => {
                (from..to).for_each(|number| _ = on_order.insert(key(by, number), 1));
            }
            Fact::Stored { from, to } | Fact::GivenBack { from, to, .. } => {
                for number in from..to {
                    let ended = on_order.remove(&key(peer, number));
                    assert_eq!(ended, Some(1), "{event:?}");
                }
            }
            Fact::Closed { .. } => {
                on_order.retain(|(node, of, ..), _| (*node, *of) != (event.node, peer))
            }
            _ => {}
        }
    }
    assert!(on_order.is_empty(), "{on_order:?}");
}
