//! The scenes of the demo, as a student sees them: each plays to its end, and its trace shows its
//! subject. And the answers to the riddles: which peer broke which rule, and where the trace shows
//! it.

use crate::support::program::Storrent;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

/// What a scene left behind.
struct Played {
    /// What it said on stdout.
    said: String,
    /// The facts of the user's download.
    facts: Vec<Value>,
    /// The name in the peer id at the other end of each of its connections.
    names: BTreeMap<u64, String>,
}

impl Played {
    fn new(scene: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace");
        let end = Storrent::new()
            .args(["demo", "--scene", scene, "--trace"])
            .arg(&path)
            .env("TMPDIR", &dir.path().display().to_string())
            .run()
            .expect(0);
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "only the trace is left"
        );
        let trace = fs::read_to_string(&path).unwrap();
        let facts = trace
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let facts: Vec<Value> = facts.filter(|fact| fact["node"] == 0).collect();
        let mut names = BTreeMap::new();
        for fact in facts.iter().filter(|fact| fact["fact"] == "handshake") {
            names.insert(
                fact["peer"].as_u64().unwrap(),
                name(fact["peer_id"].as_str().unwrap()),
            );
        }
        Self {
            said: end.stdout,
            facts,
            names,
        }
    }

    /// Returns the facts of a kind that `fits`, with their peer's name.
    fn each(&self, kind: &str, fits: impl Fn(&Value) -> bool) -> Vec<(&str, &Value)> {
        let facts = self
            .facts
            .iter()
            .filter(|fact| fact["fact"] == kind && fits(fact));
        let named = facts.map(|fact| {
            let peer = fact["peer"].as_u64().and_then(|peer| self.names.get(&peer));
            (peer.map_or("", String::as_str), fact)
        });
        named.collect()
    }

    /// Fails unless facts of this kind fit, and all of them are about `name`.
    #[track_caller]
    fn only(&self, name: &str, kind: &str, fits: impl Fn(&Value) -> bool) {
        let found = self.each(kind, fits);
        assert!(!found.is_empty(), "no {kind} of {name}");
        for (who, fact) in found {
            assert_eq!(who, name, "{fact}");
        }
    }

    /// Whether a peer sent any block.
    fn gave(&self, name: &str) -> bool {
        self.each("stored", |_| true)
            .iter()
            .any(|(who, _)| *who == name)
    }
}

/// The name in the peer id of a scripted peer, `-XX0001-name....`, in hex.
fn name(peer_id: &str) -> String {
    let bytes = (16..peer_id.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&peer_id[at..at + 2], 16));
    let name = bytes.map(|byte| char::from(byte.unwrap()));
    name.take_while(|letter| *letter != '.').collect()
}

fn why(fact: &Value, part: &str) -> bool {
    fact["why"].as_str().is_some_and(|why| why.contains(part))
}

const FIVE: [&str; 5] = ["anna", "ben", "cleo", "dora", "emil"];

#[test]
fn the_lessons() {
    for scene in ["magnet", "endgame", "rarest", "liar", "slow"] {
        let played = Played::new(scene);
        for part in ["What happened:", "You got ", "it is the same"] {
            assert!(played.said.contains(part), "{scene}: {}", played.said);
        }
        assert!(!played.each("complete", |_| true).is_empty(), "{scene}");
    }
}

fn one_with_many_leeches(scene: &str) {
    let played = Played::new(scene);
    assert!(played.said.contains("What happened:"), "{}", played.said);
    assert!(!played.each("gave", |_| true).is_empty());
}

#[test]
fn choking() {
    one_with_many_leeches("choking");
}

#[test]
fn flash_crowd() {
    one_with_many_leeches("flash-crowd");
}

#[test]
fn superseed() {
    one_with_many_leeches("superseed");
}

#[test]
fn there_is_a_list_and_nothing_else() {
    let list = Storrent::new()
        .args(["demo", "--scene", "help"])
        .run()
        .expect(0);
    assert!(list.stdout.contains("\n  rarest ") && list.stdout.contains("\n  broken-8 "));
    let end = Storrent::new()
        .args(["demo", "--scene", "raarest"])
        .run()
        .expect(2);
    assert!(
        end.stderr.contains("there is no scene \"raarest\""),
        "{end:#?}"
    );
}

#[test]
fn a_missing_folder_is_told_before_the_play() {
    for option in ["--trace", "--report"] {
        let args = ["demo", option, "/no/such/folder"];
        let end = Storrent::new().args(args).run().expect(1);
        let told = end.stderr.contains("there is no such folder");
        assert!(told && end.stdout.is_empty(), "{end:#?}");
    }
}

/// cleo's blocks are too short: a block of another length is not the requested one.
#[test]
fn broken_1() {
    let played = Played::new("broken-1");
    played.only("cleo", "closed", |fact| {
        why(fact, "a block that it was not asked for")
    });
    assert!(!played.gave("cleo"));
}

/// anna's bitfield is too long.
#[test]
fn broken_2() {
    let played = Played::new("broken-2");
    played.only("anna", "closed", |fact| {
        why(fact, "a bad bitfield (25 bytes for 192 pieces)")
    });
}

/// emil never unchokes: of all five, he alone has no `unchoked` in the trace.
#[test]
fn broken_3() {
    let played = Played::new("broken-3");
    let unchoked = played.each("unchoked", |fact| fact["who"] == "peer");
    let silent = FIVE
        .iter()
        .filter(|name| unchoked.iter().all(|(who, _)| who != *name));
    assert_eq!(silent.collect::<Vec<_>>(), [&"emil"]);
}

/// dora lies once in 300 blocks: a piece is false, and in it her block differs.
#[test]
fn broken_4() {
    let played = Played::new("broken-4");
    assert!(!played.each("false", |_| true).is_empty());
    played.only("dora", "banned", |_| true);
}

#[test]
fn broken_5() {
    let played = Played::new("broken-5");
    let hung_up = played.each("closed", |fact| why(fact, "hung up"));
    assert!(
        hung_up
            .iter()
            .any(|(who, fact)| *who == "ben" && fact["down"] != 0)
    );
    assert!(hung_up.iter().all(|(who, _)| *who == "ben"), "{hung_up:?}");
}

/// cleo's metadata is not what the info hash says.
#[test]
fn broken_6() {
    let played = Played::new("broken-6");
    played.only("cleo", "closed", |fact| why(fact, "metadata"));
}

/// dora unchokes, is asked, and sends nothing.
#[test]
fn broken_7() {
    let played = Played::new("broken-7");
    assert!(
        played
            .each("granted", |_| true)
            .iter()
            .any(|(who, _)| *who == "dora")
    );
    let silent = FIVE.iter().filter(|name| !played.gave(name));
    assert_eq!(silent.collect::<Vec<_>>(), [&"dora"]);
}

/// anna says that she has pieces, and refuses to send them.
#[test]
fn broken_8() {
    let played = Played::new("broken-8");
    played.only("anna", "have", |_| true);
    // An honest peer refuses cancelled blocks, too (BEP 6), but few.
    let refused = played.each("given_back", |fact| fact["why"] == "refused");
    let by = |name: &&&str| refused.iter().filter(|(who, _)| who == *name).count();
    assert_eq!(FIVE.iter().max_by_key(by), Some(&"anna"));
}
