//! `storrent report`: a page from a trace, and files that are no traces.

use crate::support::program::{Outcome, Storrent};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const TRACE: &str = r#"{"t":0,"fact":"torrent","node":0,"torrent":"ab","name":"a <b> & c","total_bytes":32768,"piece_length":16384,"pieces":2,"files":1,"have":"00","peer_id":"","node_name":"you"}
{"t":0.1,"fact":"granted","node":0,"peer":1,"piece":1,"from":0,"to":1,"why":"random"}
{"t":0.5,"fact":"stored","node":0,"peer":1,"piece":1,"from":0,"to":1}
{"t":0.6,"fact":"verified","node":0,"piece":1,"givers":[1]}
"#;

fn report(dir: &Path, words: &[&str]) -> Outcome {
    let report = Storrent::new().arg("report").args(words);
    report.current_dir(dir).run()
}

#[test]
fn a_trace_becomes_a_page() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("run.jsonl"), TRACE).unwrap();
    fs::write(dir.path().join("swarm.html"), "an old page").unwrap();
    let end = report(dir.path(), &["run.jsonl", "-o", "swarm.html"]).expect(0);
    assert_eq!((&*end.stdout, &*end.stderr), ("", ""));
    let page = fs::read_to_string(dir.path().join("swarm.html")).unwrap();
    assert!(
        page.starts_with("<!DOCTYPE html>"),
        "the old page is replaced"
    );
    assert!(
        page.contains("<h1>a &lt;b&gt; &amp; c: 1 of 2 pieces in 0.60 s"),
        "{page}"
    );

    // A run that was killed leaves half a line.
    fs::write(
        dir.path().join("run.jsonl"),
        TRACE.to_string() + "{\"t\":0.7,",
    )
    .unwrap();
    let end = report(dir.path(), &["run.jsonl", "-o", "swarm.html"]).expect(0);
    let warning = "storrent: warning: run.jsonl: 1 line could not be read; the picture lacks it\n";
    assert_eq!(end.stderr, warning);
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        2,
        "nothing else is left"
    );
}

#[test]
fn what_is_no_trace_says_so() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("empty"), "").unwrap();
    fs::write(dir.path().join("text"), "no\ntrace\n").unwrap();
    fs::write(dir.path().join("run.jsonl"), TRACE).unwrap();
    let cases: [(&[&str], i32, &str); 6] = [
        (
            &["empty", "-o", "x.html"],
            1,
            "cannot report empty: it holds no fact of a run",
        ),
        (
            &["text", "-o", "x.html"],
            1,
            "cannot report text: it holds no fact of a run",
        ),
        (
            &["none", "-o", "x.html"],
            1,
            "cannot report none: No such file",
        ),
        (
            &["run.jsonl", "-o", "no/x.html"],
            1,
            "cannot save no/x.html: there is no such folder",
        ),
        (&["run.jsonl"], 2, "no -o FILE.html is given"),
        (&["-o", "x.html"], 2, "no TRACE is given"),
    ];
    for (words, status, why) in cases {
        let end = report(dir.path(), words).expect(status);
        assert!(
            end.stderr.starts_with(&format!("storrent: {why}")),
            "{}",
            end.stderr
        );
        assert!(!dir.path().join("x.html").exists());
    }
}

/// A line of a trace.
fn fact(t: f64, fact: &str, mut more: Value) -> String {
    (more["t"], more["fact"], more["node"]) = (json!(t), json!(fact), json!(0));
    format!("{more}\n")
}

/// A trace that fills every list of the page, with the longest names.
fn huge(lines: u32, pieces: u32, peers: u32) -> String {
    let mut random = fastrand::Rng::with_seed(1);
    let name = "<".repeat(5000);
    let torrent = json!({"torrent": "ab", "name": name, "piece_length": 65536, "pieces": pieces,
        "total_bytes": u64::from(pieces) * 65536, "node_name": "you"});
    let mut trace = fact(0.0, "torrent", torrent);
    for peer in 0..peers {
        let id = format!("{}{peer}", "&".repeat(9));
        for (name, more) in [
            ("dialled", json!({"addr": "10.0.0.1:6881", "over": "tcp"})),
            ("handshake", json!({"peer_id": id, "bits": "00"})),
            ("client", json!({"client": format!("{id}Torrent 1.0")})),
            ("has", json!({"pieces": 1, "bits": "80"})),
        ] {
            let mut more = more;
            more["peer"] = json!(peer);
            trace += &fact(0.0, name, more);
        }
    }
    let names = [
        "granted",
        "stored",
        "have",
        "unchoked",
        "choked",
        "given_back",
        "window",
        "false",
        "banned",
        "verified",
        "taken_over",
        "round",
        "closed",
        "gave",
        "snubbed",
    ];
    for piece in 0..pieces.min(25_000) {
        let more = json!({"peer": 0, "piece": piece, "from": 0, "to": 4, "why": "rarest"});
        trace += &fact(0.0, "granted", more);
    }
    for n in 0..lines {
        let (t, name) = (f64::from(n) * 7.7, random.usize(0..names.len() + 16));
        let name = names.get(name).unwrap_or(&"stored");
        // Rounds are long, and rare.
        let name = match *name {
            "round" if n % 8 > 0 => "granted",
            name => name,
        };
        let mut more = json!({"peer": random.u32(0..peers), "piece": random.u32(0..pieces), "from": 0, "to": 4});
        more["who"] = json!(if random.bool() { "us" } else { "peer" });
        more["why"] = json!("<".repeat(200));
        match name {
            "round" => {
                let all = 0..60.min(peers);
                more["wanting"] = all.clone().map(|peer| json!([peer, 1e15])).collect();
                more["unchoked"] = all.collect();
            }
            "taken_over" => more["by"] = json!(random.u32(0..peers)),
            "window" => (more["blocks"], more["on_order"]) = (json!(9), json!(u32::MAX)),
            "gave" => more["bytes"] = json!(1u64 << 40),
            _ => {}
        }
        trace += &fact(t, name, more);
    }
    trace
}

#[test]
fn a_page_has_a_limit_and_says_what_is_summed() {
    let dir = tempfile::tempdir().unwrap();
    // Many peers; many pieces, with copies; more pieces than the page counts copies of.
    for (lines, pieces, peers) in [
        (80_000, 300, 2000),
        (30_000, 19_000, 300),
        (30_000, 100_000, 50),
    ] {
        fs::write(dir.path().join("run.jsonl"), huge(lines, pieces, peers)).unwrap();
        report(dir.path(), &["run.jsonl", "-o", "swarm.html"]).expect(0);
        let page = fs::read_to_string(dir.path().join("swarm.html")).unwrap();
        assert!(
            page.len() < 5 << 20,
            "{pieces} pieces: {} bytes",
            page.len()
        );
        assert!(
            page.contains("This trace is long, so it is summed"),
            "{pieces}"
        );
    }
}
