//! `--trace`, `-v` and `-vv`: the facts of real downloads.

use crate::support::Gate;
use crate::support::content::Spec;
use crate::support::peer::Seed;
use crate::support::place::Place;
use crate::support::program::Storrent;
use crate::support::tracker::FakeTracker;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

fn facts(lines: &str) -> Vec<Value> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn named<'a>(facts: &'a [Value], name: &str) -> Vec<&'a Value> {
    facts.iter().filter(|fact| fact["fact"] == name).collect()
}

#[test]
fn a_download_can_be_retold_from_its_trace() {
    let spec = Spec::single("film.mkv", 3_000_000);
    let torrent = spec.clone().build();
    // Each sends nothing before the other is asked, too: both take part.
    let gates = [Gate::new(), Gate::new()];
    let seeds = [0, 1].map(|n: usize| {
        let seed = Seed::of(&torrent);
        seed.asked(&gates[n]).after(&gates[1 - n]).start().addr
    });
    // It alone knows them: so it has answered before the end, and hears of that.
    let tracker = FakeTracker::naming(seeds.to_vec());
    let place = Place::new(spec.tracker(&tracker.url));
    let trace = place.dir().parent().unwrap().join("trace.jsonl");
    fs::write(&trace, "what was there before\n").unwrap();
    let download = place.download().arg("--trace").arg(&trace);
    let end = download.run().expect(0);
    assert!(
        end.all("warning").is_empty() && end.stderr.is_empty(),
        "{end:#?}"
    );
    let facts = facts(&fs::read_to_string(&trace).unwrap());
    let pieces = place.torrent.pieces() as u64;
    assert_eq!(facts[0]["fact"], "torrent");
    assert_eq!(
        (&facts[0]["name"], facts[0]["pieces"].as_u64()),
        (&"film.mkv".into(), Some(pieces))
    );
    let mut before = 0.0;
    for fact in &facts {
        let t = fact["t"].as_f64().unwrap();
        assert!(t >= before && fact["node"] == 0, "{fact}");
        before = t;
    }
    let verified = named(&facts, "verified");
    let verified: BTreeSet<u64> = verified
        .iter()
        .filter_map(|fact| fact["piece"].as_u64())
        .collect();
    assert!(verified.into_iter().eq(0..pieces));
    // A block that both were asked for at the end may have come twice.
    let number = |fact: &Value, key: &str| fact[key].as_u64().unwrap();
    let stored = named(&facts, "stored").into_iter().flat_map(|fact| {
        let blocks = number(fact, "from")..number(fact, "to");
        blocks.map(|block| (number(fact, "piece"), block))
    });
    let stored: BTreeSet<(u64, u64)> = stored.collect();
    assert_eq!(stored.len(), place.torrent.blocks());
    assert_eq!(named(&facts, "complete").len(), 1);
    for name in ["dialled", "handshake", "has", "unchoked", "closed"] {
        assert_eq!(named(&facts, name).len(), 2, "{name}");
    }
    let told = named(&facts, "announced")
        .into_iter()
        .map(|fact| fact["event"].as_str());
    assert!(
        told.flatten().eq(["started", "completed", "stopped"]),
        "{facts:?}"
    );
}

#[test]
fn a_trace_that_cannot_be_written_is_told_and_holds_up_nothing() {
    let place = Place::new(Spec::single("x", 300_000));
    let seed = Seed::of(&place.torrent).start();
    let missing = place.dir().join("no/such/folder");
    let end = place
        .download()
        .arg("--trace")
        .arg(&missing)
        .run()
        .expect(1);
    assert!(
        end.stderr.contains("cannot write the trace") && end.stderr.contains("folder"),
        "{end:#?}"
    );
    let full = place.download().args(["--trace", "/dev/full"]);
    let end = full.peers(&[seed.addr]).run().expect(0);
    place.torrent.assert_whole(&place.dir());
    let [warning] = end.all("warning")[..] else {
        panic!("{end:#?}")
    };
    assert!(
        warning["message"].as_str().unwrap().contains("/dev/full"),
        "{warning}"
    );
}

#[test]
fn an_old_trace_stays_if_nothing_runs() {
    let place = Place::new(Spec::single("x", 300_000));
    let trace = place.dir().parent().unwrap().join("trace.jsonl");
    fs::write(&trace, "old").unwrap();
    let missing = place.dir().join("missing.torrent");
    let args = [trace.as_os_str(), missing.as_os_str()];
    Storrent::new().arg("--trace").args(args).run().expect(1);
    assert_eq!(fs::read_to_string(&trace).unwrap(), "old");
}

/// The trace would overwrite the download.
#[test]
fn a_file_of_the_torrent_is_no_place_for_a_trace() {
    let place = Place::new(Spec::single("x", 300_000));
    let (content, link) = (place.dir().join("x"), place.temp.path().join("link"));
    fs::create_dir_all(place.dir()).unwrap();
    symlink(&content, &link).unwrap();
    for there in [None, Some("what came so far")] {
        if let Some(text) = there {
            fs::write(&content, text).unwrap();
        }
        let paths = [content.clone(), place.dir().join("../down/x")];
        for path in paths.into_iter().chain(there.map(|_| link.clone())) {
            let end = place.download().arg("--trace").arg(&path).run().expect(1);
            assert!(end.stderr.contains("x is saved there"), "{end:#?}");
            let found = fs::read_to_string(&content).ok();
            assert_eq!(found.as_deref(), there, "{}", path.display());
        }
    }
}

#[test]
fn each_peers_life_is_told_in_sentences() {
    let place = || Place::new(Spec::single("x", 300_000));
    let seed = Seed::of(&place().torrent).start();
    let lives = |form: &str| {
        let place = place();
        let run = place.download().arg(form).peers(&[seed.addr]);
        run.run().expect(0).stderr
    };
    let who = format!(" s  {}: ", seed.addr);
    let said = lives("-v");
    let life = said
        .lines()
        .filter_map(|line| Some(line.split_once(&who)?.1));
    let life: Vec<&str> = life.collect();
    assert_eq!(life[0], "connected; we dialled it", "{said}");
    assert!(
        life[1].starts_with("has ") && life.contains(&"unchokes us"),
        "{said}"
    );
    assert!(!said.contains("is asked for"), "{said}");
    let end = "closed: neither side lacks anything; 293 KiB came from it";
    assert_eq!(life.last(), Some(&end), "{said}");
    let all = lives("-vv");
    assert!(
        all.contains("is asked for blocks") && all.contains(" is right; "),
        "{all}"
    );
    assert_eq!(lives("-vvq"), "", "errors only");
}
