//! `storrent report`: a page out of a trace, and what becomes of files that are no traces.

use crate::support::program::{Outcome, Storrent};
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
