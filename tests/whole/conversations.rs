//! `storrent show --wire`: what it says of the recorded conversations, and of other texts.

use crate::support::program::Storrent;
use std::fs;
use std::path::Path;

#[test]
fn show_explains_a_recorded_conversation() {
    let traces = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/traces");
    let show = |file: &Path| Storrent::new().args(["show", "--wire"]).arg(file).run();
    for client in ["libtorrent", "transmission", "aria2"] {
        let end = show(&traces.join(format!("{client}.wire"))).expect(0);
        for name in [
            "handshake",
            "extension handshake (BEP 10)",
            "interested",
            "unchoke",
        ] {
            for direction in ["> went", "< came"] {
                // A peer that only gives is not interested, and one that only takes does not
                // unchoke.
                let silent = matches!(name, "interested" | "unchoke") && client != "aria2";
                let line = format!("{direction}  {name}\n");
                assert!(silent || end.stdout.contains(&line), "{client}: {line}");
            }
        }
        assert_eq!(end.stdout.matches("  piece\n").count(), 6, "{client}");
        assert!(!end.stdout.contains("cut off"), "{client}");
    }
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("odd.wire");
    for (text, why) in [
        (
            "> 0x\n".to_string(),
            "line 1 has something other than pairs of hex digits",
        ),
        ("#".repeat((4 << 20) + 1), "at most 4.00 MiB"),
    ] {
        fs::write(&file, text).unwrap();
        let end = show(&file).expect(1);
        assert!(end.stderr.contains(why), "{}", end.stderr);
    }
    show(&temp.path().join("none")).expect(1);
}
