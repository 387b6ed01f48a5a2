//! Our lines against the facts and keys of the contract; and lines from elsewhere.

use super::*;
use serde_json::Value;
use std::collections::BTreeMap;

/// The keys beside a fact, and its own. One in brackets may be left out.
pub(crate) const SCHEMA: [(&str, &str); 27] = [
    (
        "torrent",
        "name total_bytes piece_length pieces files have peer_id node_name",
    ),
    ("dialled", "peer addr over"),
    ("accepted", "peer addr over"),
    ("handshake", "peer peer_id bits obfuscated"),
    ("client", "peer client"),
    ("has", "peer pieces bits"),
    ("have", "peer piece"),
    ("choked", "peer who"),
    ("unchoked", "peer who [why]"),
    ("interested", "peer who"),
    ("uninterested", "peer who"),
    ("granted", "peer piece from to why"),
    ("stored", "peer piece from to"),
    ("given_back", "peer piece from to why"),
    ("taken_over", "peer piece by from to [too]"),
    ("window", "peer blocks on_order rate"),
    ("gave", "peer bytes"),
    ("verified", "piece givers"),
    ("false", "piece givers"),
    ("banned", "peer [piece] addr blocks why"),
    ("round", "unchoked [optimistic] wanting slots seeding"),
    ("endgame", ""),
    ("complete", ""),
    ("snubbed", "peer"),
    ("announced", "tracker event [peers] [error]"),
    ("closed", "peer why down up"),
    ("lost", "facts"),
];

/// Checks a line against the contract, and returns the name of its fact.
#[track_caller]
pub(crate) fn checked(line: &str) -> String {
    let line: BTreeMap<String, Value> = serde_json::from_str(line).unwrap();
    let name = line["fact"].as_str().unwrap().to_string();
    let keys = SCHEMA.iter().find(|(fact, _)| *fact == name);
    let (_, keys) = keys.unwrap_or_else(|| panic!("{name} is not in the table"));
    let (maybe, must): (Vec<&str>, Vec<&str>) = keys
        .split_whitespace()
        .partition(|key| key.starts_with('['));
    let always = ["t", "fact", "node"].into_iter();
    let torrent = ["torrent"].into_iter().filter(|_| name != "lost");
    let must: Vec<&str> = must.into_iter().chain(always).chain(torrent).collect();
    for key in &must {
        assert!(line.contains_key(*key), "{name} lacks {key}: {line:?}");
    }
    for key in line.keys() {
        let known = must.contains(&&**key) || maybe.contains(&&*format!("[{key}]"));
        assert!(known, "{name} has {key}: {line:?}");
    }
    name
}

fn event(peer: Option<u32>, piece: Option<u32>, fact: Fact) -> Event {
    Event {
        t: Duration::from_micros(1_250_000),
        node: 3,
        torrent: Some(InfoHash([0xab; 20])),
        peer: peer.map(PeerKey),
        piece,
        fact,
    }
}

fn samples() -> Vec<(Event, &'static str)> {
    let (us, peer) = (Side::Us, Side::Peer);
    let at = |fact| event(Some(7), None, fact);
    let of = |fact| event(Some(7), Some(2), fact);
    let (addr, over) = ("127.0.0.1:6881".to_string(), Over::Tcp);
    let about = About {
        name: "a\n\"b".into(),
        total_bytes: 300_000,
        piece_length: 65_536,
        pieces: 5,
        files: 2,
        have: vec![0b1010_0000],
        peer_id: PeerId(*b"-SR0100-abcdefghijkl"),
        node_name: "we".into(),
    };
    vec![
        (
            event(None, None, Fact::Torrent(about.into())),
            r#""fact":"torrent","name":"a\n\"b","total_bytes":300000,"piece_length":65536,"pieces":5,"files":2,"have":"a0","peer_id":"2d5352303130302d6162636465666768696a6b6c","node_name":"we""#,
        ),
        (
            at(Fact::Dialled {
                addr: addr.clone(),
                over,
            }),
            r#""peer":7,"fact":"dialled","addr":"127.0.0.1:6881","over":"tcp""#,
        ),
        (
            at(Fact::Accepted {
                addr: addr.clone(),
                over: Over::Http,
            }),
            r#""peer":7,"fact":"accepted","addr":"127.0.0.1:6881","over":"http""#,
        ),
        (
            at(Fact::Handshake {
                peer_id: PeerId([0xf0; 20]),
                bits: [0, 0, 0, 0, 0, 0x10, 0, 5],
                obfuscated: true,
            }),
            r#""peer":7,"fact":"handshake","peer_id":"f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0","bits":"0000000000100005","obfuscated":true"#,
        ),
        (
            at(Fact::Client { client: "x".into() }),
            r#""peer":7,"fact":"client","client":"x""#,
        ),
        (
            at(Fact::Has {
                pieces: 1,
                bits: vec![8],
            }),
            r#""peer":7,"fact":"has","pieces":1,"bits":"08""#,
        ),
        (of(Fact::Have), r#""peer":7,"piece":2,"fact":"have""#),
        (
            at(Fact::Choked { who: us }),
            r#""peer":7,"fact":"choked","who":"us""#,
        ),
        (
            at(Fact::Unchoked {
                who: peer,
                why: None,
            }),
            r#""peer":7,"fact":"unchoked","who":"peer""#,
        ),
        (
            at(Fact::Unchoked {
                who: us,
                why: Some(Unchoke::PlaceFree),
            }),
            r#""peer":7,"fact":"unchoked","who":"us","why":"place free""#,
        ),
        (
            at(Fact::Interested { who: us }),
            r#""peer":7,"fact":"interested","who":"us""#,
        ),
        (
            at(Fact::Uninterested { who: peer }),
            r#""peer":7,"fact":"uninterested","who":"peer""#,
        ),
        (
            of(Fact::Granted {
                from: 0,
                to: 4,
                why: Grant::Neighbour,
            }),
            r#""peer":7,"piece":2,"fact":"granted","from":0,"to":4,"why":"neighbour""#,
        ),
        (
            of(Fact::Stored { from: 0, to: 4 }),
            r#""peer":7,"piece":2,"fact":"stored","from":0,"to":4"#,
        ),
        (
            of(Fact::GivenBack {
                from: 1,
                to: 2,
                why: GivenBack::Snubbed,
            }),
            r#""peer":7,"piece":2,"fact":"given_back","from":1,"to":2,"why":"snubbed""#,
        ),
        (
            of(Fact::TakenOver {
                by: PeerKey(9),
                from: 1,
                to: 2,
                too: true,
            }),
            r#""peer":7,"piece":2,"fact":"taken_over","by":9,"from":1,"to":2,"too":true"#,
        ),
        (
            at(Fact::Window {
                blocks: 32,
                on_order: 6,
                rate: 1000,
            }),
            r#""peer":7,"fact":"window","blocks":32,"on_order":6,"rate":1000"#,
        ),
        (
            at(Fact::Gave { bytes: 16384 }),
            r#""peer":7,"fact":"gave","bytes":16384"#,
        ),
        (
            event(
                None,
                Some(2),
                Fact::Verified {
                    givers: vec![PeerKey(7)],
                },
            ),
            r#""piece":2,"fact":"verified","givers":[7]"#,
        ),
        (
            event(None, Some(2), Fact::False { givers: vec![] }),
            r#""piece":2,"fact":"false","givers":[]"#,
        ),
        (
            of(Fact::Banned {
                addr,
                blocks: vec![3],
                why: Ban::FalseBlocks,
            }),
            r#""peer":7,"piece":2,"fact":"banned","addr":"127.0.0.1:6881","blocks":[3],"why":"false blocks""#,
        ),
        (
            event(
                None,
                None,
                Fact::Round {
                    unchoked: vec![PeerKey(7), PeerKey(8)],
                    optimistic: Some(PeerKey(8)),
                    wanting: vec![(PeerKey(7), 900), (PeerKey(8), 0)],
                    slots: 3,
                    seeding: false,
                },
            ),
            r#""fact":"round","unchoked":[7,8],"optimistic":8,"wanting":[[7,900],[8,0]],"slots":3,"seeding":false"#,
        ),
        (event(None, None, Fact::Endgame), r#""fact":"endgame""#),
        (event(None, None, Fact::Complete), r#""fact":"complete""#),
        (at(Fact::Snubbed), r#""peer":7,"fact":"snubbed""#),
        (
            event(
                None,
                None,
                Fact::Announced {
                    tracker: "udp://t.example:80".into(),
                    event: Announce::None,
                    peers: None,
                    error: Some("no".into()),
                },
            ),
            r#""fact":"announced","tracker":"udp://t.example:80","event":"none","error":"no""#,
        ),
        (
            at(Fact::Closed {
                why: "left".into(),
                down: 1,
                up: 2,
            }),
            r#""peer":7,"fact":"closed","why":"left","down":1,"up":2"#,
        ),
        (
            Event {
                torrent: None,
                ..event(None, None, Fact::Lost { facts: 5 })
            },
            r#""fact":"lost","facts":5"#,
        ),
    ]
}

#[test]
fn each_fact_is_a_line_of_the_contract_and_is_read_back() {
    let mut names = Vec::new();
    for (event, rest) in samples() {
        let line = event.line();
        let torrent = match event.torrent {
            Some(hash) => format!(r#","torrent":"{hash}""#),
            None => String::new(),
        };
        let expected = format!("{{\"t\":1.25,\"node\":3,{rest}{torrent}}}\n");
        assert_eq!(line, expected);
        names.push(checked(&line));
        assert_eq!(Event::read(&line).unwrap(), Some(event));
    }
    names.dedup();
    assert_eq!(names, FACTS, "one sample each");
    assert_eq!(SCHEMA.map(|(fact, _)| fact), FACTS);
}

#[test]
fn what_is_not_known_is_passed_over() {
    let line = r#"{"new":[{"a":1}],"t":3,"node":0,"fact":"snubbed","peer":1}"#;
    let event = Event::read(line).unwrap().unwrap();
    assert_eq!(
        (event.t, event.fact),
        (Duration::from_secs(3), Fact::Snubbed)
    );
    assert_eq!(Event::read(r#"{"fact":"dreamt","t":"x"}"#).unwrap(), None);
}

#[test]
fn hostile_lines_are_errors() {
    let deep = format!("{{\"fact\":\"snubbed\",\"x\":{}", "[".repeat(100_000));
    let lines = [
        "",
        "[]",
        "{}",
        r#"{"fact":7}"#,
        r#"{"fact":"snubbed","node":0}"#,
        r#"{"fact":"snubbed","node":0,"t":-1}"#,
        r#"{"fact":"snubbed","node":0,"t":1e300}"#,
        r#"{"fact":"snubbed","node":-1,"t":1}"#,
        r#"{"fact":"snubbed","node":0,"t":1,"peer":99999999999}"#,
        r#"{"fact":"snubbed","node":0,"t":1,"torrent":"ab"}"#,
        r#"{"fact":"has","node":0,"t":1,"pieces":1,"bits":"abc"}"#,
        r#"{"fact":"has","node":0,"t":1,"pieces":1,"bits":"gg"}"#,
        r#"{"fact":"granted","node":0,"t":1,"from":0,"to":1,"why":"mood"}"#,
        &deep,
    ];
    for line in lines {
        assert!(Event::read(line).is_err(), "{line:.80}");
    }
    let long = format!(r#"{{"fact":"snubbed","x":"{}"}}"#, "a".repeat(MAX_LINE));
    assert!(matches!(Event::read(&long), Err(NotAFact::TooLong(_))));
}
