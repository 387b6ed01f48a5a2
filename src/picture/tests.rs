use super::*;
use crate::trace::FACTS;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Adds the keys of `more` to a fact.
fn fact(t: f64, fact: &str, more: Value) -> String {
    let mut line = json!({"t": t, "fact": fact, "node": 0});
    let object = line.as_object_mut().unwrap();
    object.extend(more.as_object().unwrap().clone());
    line.to_string()
}

/// A peer with a name comes, with these pieces of four.
fn comes(t: f64, peer: u32, id: &str, bits: &str) -> Vec<String> {
    let count: u32 = bits
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(u32::count_ones)
        .sum();
    vec![
        fact(
            t,
            "dialled",
            json!({"peer": peer, "addr": "10.0.0.1:6881", "over": "tcp"}),
        ),
        fact(
            t,
            "handshake",
            json!({"peer": peer, "peer_id": id, "bits": "00"}),
        ),
        fact(
            t,
            "client",
            json!({"peer": peer, "client": format!("{id}Torrent 1.0")}),
        ),
        fact(
            t,
            "has",
            json!({"peer": peer, "pieces": count, "bits": bits}),
        ),
        fact(t, "unchoked", json!({"peer": peer, "who": "peer"})),
    ]
}

fn torrent(name: &str, pieces: u32) -> String {
    let total = u64::from(pieces) * 65536;
    fact(
        0.0,
        "torrent",
        json!({"torrent": "ab", "name": name, "total_bytes": total, "piece_length": 65536,
               "pieces": pieces, "files": 1, "have": "", "peer_id": "me", "node_name": "you"}),
    )
}

/// Four pieces of four blocks from a seed (0), a leech (1) and a liar (2), with a lie, a take-over,
/// a choke round and an endgame.
fn small() -> Vec<String> {
    let grant = |t, peer: u32, piece: u32, from: u32, to: u32, why: &str| {
        fact(
            t,
            "granted",
            json!({"peer": peer, "piece": piece, "from": from, "to": to, "why": why}),
        )
    };
    let moved = |t, what: &str, peer: u32, piece: u32, from: u32, to: u32| {
        fact(
            t,
            what,
            json!({"peer": peer, "piece": piece, "from": from, "to": to, "why": "slow"}),
        )
    };
    let mut lines = vec![torrent("film.mkv", 4)];
    lines.extend(comes(0.1, 0, "seed", "f0"));
    lines.extend(comes(0.1, 1, "leech", "80"));
    lines.extend(comes(0.1, 2, "liar", "f0"));
    lines.extend([
        fact(0.2, "have", json!({"peer": 1, "piece": 1})),
        grant(0.3, 0, 2, 0, 2, "rarest"),
        grant(0.4, 2, 2, 2, 4, "finish"),
        moved(0.5, "stored", 0, 2, 0, 2),
        moved(0.6, "stored", 2, 2, 2, 4),
        fact(0.7, "false", json!({"piece": 2, "givers": [0, 2]})),
        grant(0.8, 0, 2, 0, 4, "alone"),
        moved(1.0, "stored", 0, 2, 0, 4),
        fact(1.1, "verified", json!({"piece": 2})),
        fact(
            1.2,
            "banned",
            json!({"peer": 2, "addr": "x", "piece": 2, "blocks": [3], "why": "lied"}),
        ),
        fact(
            1.2,
            "closed",
            json!({"peer": 2, "why": "banned", "down": 1, "up": 0}),
        ),
        grant(1.3, 1, 1, 0, 4, "rarest"),
        moved(1.4, "given_back", 1, 1, 3, 4),
        fact(
            2.0,
            "taken_over",
            json!({"peer": 1, "by": 0, "piece": 1, "from": 1, "to": 3}),
        ),
        moved(2.1, "given_back", 1, 1, 1, 3),
        moved(2.2, "stored", 1, 1, 0, 1),
        moved(2.3, "stored", 0, 1, 1, 3),
        grant(2.4, 0, 1, 3, 4, "finish"),
        moved(2.5, "stored", 0, 1, 3, 4),
        fact(2.6, "verified", json!({"piece": 1})),
        fact(
            3.0,
            "unchoked",
            json!({"peer": 1, "who": "us", "why": "place free"}),
        ),
        fact(
            10.0,
            "round",
            json!({"unchoked": [1], "optimistic": null, "wanting": [[1, 9.5], [0, 0]], "slots": 1,
                   "seeding": false}),
        ),
        fact(10.5, "gave", json!({"peer": 1, "bytes": 1000})),
        fact(
            10.6,
            "window",
            json!({"peer": 0, "blocks": 8, "on_order": 3, "rate": 1.5}),
        ),
        grant(11.0, 0, 0, 0, 4, "rarest"),
        grant(11.0, 0, 3, 0, 4, "rarest"),
        fact(11.1, "endgame", json!({})),
        fact(
            11.2,
            "taken_over",
            json!({"by": 1, "piece": 0, "from": 0, "to": 4, "too": true}),
        ),
        moved(11.3, "stored", 0, 0, 0, 4),
        moved(11.4, "given_back", 1, 0, 0, 4),
        moved(11.4, "stored", 0, 3, 0, 4),
        fact(11.5, "verified", json!({"piece": 0})),
        fact(11.5, "verified", json!({"piece": 3})),
        fact(11.5, "complete", json!({})),
    ]);
    lines
}

fn page(lines: &[impl AsRef<str>]) -> String {
    let mut picture = Picture::default();
    lines.iter().for_each(|line| picture.line(line.as_ref()));
    picture.html()
}

/// The data that the scripts of a page draw.
fn data(page: &str) -> Value {
    let (_, rest) = page
        .split_once("<script id=\"data\" type=\"application/json\">")
        .unwrap();
    let (data, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str(data).unwrap()
}

/// What a page says, without its tags, style and scripts.
fn words(page: &str) -> String {
    let (_, body) = page.split_once("<body>").unwrap();
    let (body, _) = body.split_once("<script").unwrap();
    let parts = body
        .split('<')
        .map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    parts.collect::<Vec<_>>().concat()
}

#[test]
fn a_small_swarm_is_told_without_scripts() {
    let page = page(&small());
    let words = words(&page);
    for said in [
        "film.mkv: 4 pieces in 11.5 s, 5 % from peers that lacked something",
        "from 1 seed and 1 leech, as you saw it. liarTorrent lied and was found.",
        "At 10.0 s 2 peers wanted something of you, and 1 got it",
        "Not served, with what they gave: seedTorrent (0 B/s).",
        "Piece 2 had the wrong hash at 0.70 s. 2 peers had given blocks of it: who lied?",
        "block 3 had changed, and was from liarTorrent, banned 0.50 s later",
        "1 run of blocks moved from a slow peer to a faster one",
        "blocks 1 to 2 of piece 1 had been on order at leechTorrent for 0.70 s; seedTorrent took",
        "From 11.1 s on every missing block was on order somewhere: 2 pieces were open.",
    ] {
        assert!(words.contains(said), "{said}: {words}");
    }
    assert!(page.contains("<svg") && page.contains("Content-Security-Policy"));
    let rows = page.matches("<th scope=\"row\">").count();
    assert_eq!(rows, 3, "a row for each peer");
}

#[test]
fn the_data_is_what_happened() {
    let data = data(&page(&small()));
    let lanes = data["lanes"].as_array().unwrap();
    let seen = |lane: &Value| {
        (
            lane["name"].clone(),
            lane["colour"].clone(),
            lane["gave"].clone(),
        )
    };
    assert_eq!(
        lanes.iter().map(seen).collect::<Vec<_>>(),
        [
            (
                json!("seedTorrent"),
                json!("s0"),
                json!((2 + 4 + 2 + 1 + 4 + 4) * 16384)
            ),
            (json!("liarTorrent"), json!("x"), json!(2 * 16384)),
            (json!("leechTorrent"), json!("l0"), json!(16384)),
        ]
    );
    // Piece, begun, lane, copies, rarest, commonest, why, verified.
    assert_eq!(
        data["rows"],
        json!([
            2, 300, 0, 2, 2, 3, 2, 1100, 1, 1300, 2, 2, 1, 2, 2, 2600, 0, 11000, 0, 2, 1, 2, 2,
            11500, 3, 11000, 0, 1, 1, 1, 2, 11500
        ])
    );
    // The first dash: granted, how long, lane, row, from, to, stored and why.
    assert_eq!(
        data["dashes"].as_array().unwrap()[..7],
        json!([300, 200, 0, 0, 0, 2, 2]).as_array().unwrap()[..]
    );
    assert_eq!(
        data["moves"],
        json!([2000, 1, 1, 3, 2, 0, 0, 11200, 2, 0, 4, -1, 2, 1])
    );
    assert_eq!(data["bans"], json!([[1200, 1, 0, [3], "lied"]]));
    let titles = data["stops"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stop| stop["title"].as_str().unwrap());
    assert_eq!(
        titles.collect::<Vec<_>>(),
        [
            "The whole",
            "Who is served",
            "A lie",
            "Slow peer",
            "Endgame"
        ]
    );
}

#[test]
fn every_block_ends_once() {
    let data = data(&page(&small()));
    let flat = data["dashes"].as_array().unwrap();
    let stored = flat
        .chunks(7)
        .filter(|dash| dash[6].as_u64().unwrap() / 8 == 0);
    let blocks = stored.map(|dash| dash[5].as_u64().unwrap() - dash[4].as_u64().unwrap());
    assert_eq!(blocks.sum::<u64>(), 4 + 4 * 4, "four were fetched twice");
}

#[test]
fn other_nodes_fill_the_matrix() {
    let node = |t, fact_name: &str, more: Value| {
        let mut more = more;
        more["node"] = json!(1);
        fact(t, fact_name, more)
    };
    let mut lines = small();
    let more = [
        node(
            0.0,
            "torrent",
            json!({"peer_id": "leech", "node_name": "eva", "pieces": 9}),
        ),
        node(0.1, "handshake", json!({"peer": 7, "peer_id": "seed"})),
        node(0.1, "handshake", json!({"peer": 8, "peer_id": "me"})),
        node(1.0, "unchoked", json!({"peer": 7, "who": "us"})),
        node(1.0, "unchoked", json!({"peer": 8, "who": "us"})),
        node(4.0, "closed", json!({"peer": 7, "why": "x"})),
    ];
    lines.extend(more);
    let time = |line: &String| {
        serde_json::from_str::<Value>(line).unwrap()["t"]
            .as_f64()
            .unwrap()
    };
    lines.sort_by(|a, b| time(a).total_cmp(&time(b)));
    let data = data(&page(&lines));
    let names = [
        ("you", true),
        ("seedTorrent", false),
        ("liarTorrent", false),
        ("eva", true),
    ];
    assert_eq!(data["people"], json!(names));
    assert_eq!(data["pieces"], 4, "the torrent is ours");
    let edges = data["edges"].as_array().unwrap();
    let edges: Vec<&[Value]> = edges.chunks(4).collect();
    assert!(
        edges.contains(&&json!([3, 1, 1000, 3000]).as_array().unwrap()[..]),
        "{edges:?}"
    );
    let to_us = edges.iter().filter(|edge| edge[0] == 3 && edge[1] == 0);
    assert_eq!(to_us.count(), 1, "we hear ourselves whether it unchokes us");
}

const HOSTILE: [&str; 6] = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\u{202e}gpj.exe\u{0}\u{2028}",
    "{{data}}{{scripts}}",
    "\"'&amp;]]><!--",
    "</style></title></svg>",
];

#[test]
fn foreign_text_stays_text() {
    let plain = page(&small());
    for hostile in HOSTILE {
        let mut lines = small();
        for line in &mut lines {
            let mut value: Value = serde_json::from_str(line).unwrap();
            for key in ["name", "client", "addr", "why", "torrent", "node_name"] {
                // Here a grant may have any reason, not only one of the list.
                if value.get(key).is_some() {
                    value[key] = json!(hostile);
                }
            }
            *line = value.to_string();
        }
        let page = page(&lines);
        for tag in [
            "<script", "</script", "<img", "<style", "</style", "<title", "<svg", "<!--",
        ] {
            let count = |page: &str| page.matches(tag).count();
            assert_eq!(count(&page), count(&plain), "{tag} by {hostile}");
        }
        let bad = |c: char| c.is_control() && c != '\n' || ('\u{2028}'..='\u{202e}').contains(&c);
        assert!(!page.contains(bad), "{hostile}");
        let name = data(&page)["lanes"][0]["client"].clone();
        assert_eq!(name, json!(short(hostile, 40)));
    }
}

#[test]
fn the_page_is_complete_in_itself() {
    let page = page(&small());
    for word in [
        " src=",
        "href=",
        "url(",
        "@import",
        "fetch(",
        "XMLHttp",
        "WebSocket",
        "import(",
    ] {
        assert!(!page.contains(word), "loads something: {word}");
    }
    for word in [
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "Function(",
    ] {
        assert!(!page.contains(word), "makes HTML of text: {word}");
    }
    assert!(
        !page.contains("{{") && !page.contains("}}"),
        "something was not filled in"
    );
}

#[test]
fn the_same_lines_make_the_same_page() {
    assert_eq!(page(&small()), page(&small()));
}

#[test]
fn what_is_missing_or_unknown_is_no_harm() {
    let whole = small();
    // Without any one line or key there is still a page.
    for skip in 0..whole.len() {
        let mut lines = whole.clone();
        let removed: Value = serde_json::from_str(&lines.remove(skip)).unwrap();
        data(&page(&lines));
        for key in removed.as_object().unwrap().keys() {
            let mut value = removed.clone();
            value.as_object_mut().unwrap().remove(key);
            lines.insert(skip, value.to_string());
            data(&page(&lines));
            lines.remove(skip);
        }
    }
    let mut lines = whole.clone();
    lines.push(fact(
        12.0,
        "invented",
        json!({"peer": 1, "piece": 2, "new": {"a": []}}),
    ));
    assert_eq!(data(&page(&lines))["rows"], data(&page(&whole))["rows"]);
}

#[test]
fn nothing_and_nonsense() {
    let mut picture = Picture::default();
    for line in [
        "",
        "  \n",
        "{",
        "[]",
        "null",
        "{\"t\": 1}",
        "{\"t\": \"x\", \"fact\": \"y\"}",
        "\u{feff}{}",
    ] {
        picture.line(line);
    }
    assert!(picture.is_empty());
    assert_eq!(picture.broken(), 6);
    assert!(words(&picture.html()).contains("no torrent became known"));

    let nonsense = [
        fact(
            1e300,
            "granted",
            json!({"peer": u64::MAX, "piece": u32::MAX, "from": 9, "to": 1}),
        ),
        fact(
            -5.0,
            "stored",
            json!({"peer": 1, "piece": 0, "from": 0, "to": u32::MAX}),
        ),
        fact(
            1.0,
            "torrent",
            json!({"pieces": u32::MAX, "piece_length": u64::MAX}),
        ),
        fact(
            1.0,
            "torrent",
            json!({"pieces": 3, "piece_length": 0, "total_bytes": u64::MAX}),
        ),
        fact(
            1.0,
            "has",
            json!({"peer": 1, "pieces": u32::MAX, "bits": "zz"}),
        ),
        fact(
            2.0,
            "granted",
            json!({"peer": 1, "piece": 2, "from": 0, "to": u32::MAX}),
        ),
        fact(
            1.5,
            "stored",
            json!({"peer": 1, "piece": 2, "from": 5, "to": u32::MAX}),
        ),
        fact(1.5, "gave", json!({"peer": 1, "bytes": u64::MAX})),
        fact(1.5, "gave", json!({"peer": 1, "bytes": u64::MAX})),
        fact(1.0, "verified", json!({"piece": 2})),
        fact(0.5, "false", json!({"piece": 2})),
        fact(
            0.1,
            "taken_over",
            json!({"peer": 1, "by": 3, "piece": 2, "from": 0, "to": 1}),
        ),
        fact(0.1, "endgame", json!({})),
        fact(0.0, "complete", json!({})),
        fact(0.0, "lost", json!({"facts": u64::MAX})),
    ];
    data(&page(&nonsense));
}

#[test]
fn of_several_torrents_the_first_is_drawn() {
    let mut lines = small();
    lines.push(fact(50.0, "verified", json!({"torrent": "cd", "piece": 1})));
    let page = page(&lines);
    assert!(words(&page).contains("The trace is of 2 torrents; this is the first."));
    assert_eq!(data(&page)["end"], 11500);
}

/// A seed is complete at once, and its picture goes on. A leech that comes back with everything
/// gave as a leech.
#[test]
fn of_a_seed_and_of_who_becomes_one() {
    let mut lines = vec![torrent("film.mkv", 4), fact(0.0, "complete", json!({}))];
    lines.extend(comes(0.1, 0, "leech", "00"));
    lines.push(fact(9.0, "gave", json!({"peer": 0, "bytes": 65536})));
    assert!(words(&page(&lines)).contains("film.mkv: 64.0 KiB given away in 9.00 s"));

    let stored = |t, peer: u32, piece: u32| {
        let keys = json!({"peer": peer, "piece": piece, "from": 0, "to": 4});
        [
            fact(t, "granted", keys.clone()),
            fact(t, "stored", keys),
            fact(t, "verified", json!({"piece": piece})),
        ]
    };
    let mut lines = vec![torrent("film.mkv", 2)];
    lines.extend(comes(0.1, 0, "leech", "80"));
    lines.extend(stored(0.2, 0, 0));
    lines.push(fact(
        0.3,
        "closed",
        json!({"peer": 0, "why": "", "down": 65536, "up": 0}),
    ));
    lines.extend(comes(0.4, 1, "leech", "c0"));
    lines.extend(stored(0.5, 1, 1));
    assert!(words(&page(&lines)).contains("100 % from peers that lacked something"));
}

#[test]
fn more_pairs_than_there_is_room_for() {
    let mut spans = Spans::default();
    for round in 0..9 {
        for pair in (0..150).flat_map(|giver| (0..100).map(move |taker| (giver, taker))) {
            spans.begin(1000 * round, pair);
            spans.end(1000 * round + 10, pair);
        }
    }
    spans.finish(9000);
    assert!(spans.is_full && spans.all().len() <= 10_000);
    let pairs: BTreeSet<_> = spans.all().iter().map(|span| (span.0, span.1)).collect();
    assert_eq!(pairs.len(), 5000);
    assert!(spans.gap < 10_000, "{} ms", spans.gap);
}

/// A value of a key: often one at the end of its range.
fn number() -> impl Strategy<Value = u64> {
    let ends = vec![0, 1, u64::from(u32::MAX), u64::MAX];
    prop_oneof![proptest::sample::select(ends), 0..9u64]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_number_anywhere(lines in proptest::collection::vec(
        (proptest::sample::select(&FACTS[..]), any::<bool>(), proptest::collection::vec(number(), 14)),
        1..60,
    )) {
        let mut all = vec![json!({"t": 0, "fact": "torrent", "pieces": 9, "piece_length": lines[0].2[0],
            "total_bytes": lines[0].2[1]}).to_string()];
        for (name, us, n) in lines {
            let small = |n: u64| n.min(u32::MAX.into());
            all.push(json!({
                "t": n[0], "fact": name, "node": n[1] % 3, "peer": n[2] % 4, "piece": n[3] % 10,
                "from": small(n[4]), "to": small(n[5]), "by": n[6], "bytes": n[7], "facts": n[8],
                "pieces": small(n[9]), "on_order": small(n[10]), "blocks": small(n[11]),
                "unchoked": [n[12]], "wanting": [[n[12], n[13]]], "peer_id": (n[13] % 5).to_string(),
                "who": if us { "us" } else { "peer" }, "why": "rarest", "bits": "ff80",
            }).to_string());
        }
        data(&page(&all));
    }
}
