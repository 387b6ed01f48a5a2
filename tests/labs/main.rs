//! The labs: eleven tasks, each a folder with a page (`README.md`), your part (`yours.rs`) and the
//! checks. `README.md` beside this file says how to work on them.
//!
//! A lab is a trait. Three types implement it, and every check runs on each of them:
//!
//! - `Real` asks storrent's own module: so each lab can be solved.
//! - `Blank` answers wrongly: so each check can fail.
//! - `Yours`, in `yours.rs`, begins as `Blank`. Its tests are ignored until you ask for them.

mod frame;

#[path = "01_bencode/checks.rs"]
mod bencode;
#[path = "08_choking/checks.rs"]
mod choking;
#[path = "11_downloader/checks.rs"]
mod downloader;
#[path = "04_handshake/checks.rs"]
mod handshake;
#[path = "02_info_hash/checks.rs"]
mod info_hash;
#[path = "03_layout/checks.rs"]
mod layout;
#[path = "09_liar/checks.rs"]
mod liar;
#[path = "05_messages/checks.rs"]
mod messages;
#[path = "07_rarest/checks.rs"]
mod rarest;
#[path = "10_resume/checks.rs"]
mod resume;
#[path = "06_window/checks.rs"]
mod window;

use std::fs;
use std::path::Path;

/// What each page has, in this order.
const HEADINGS: [&str; 6] = [
    "## Goal",
    "## Invariant",
    "## Predict first",
    "## Task",
    "## Questions",
    "## Bonus",
];

#[test]
fn each_lab_has_a_page() {
    let labs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/labs");
    let list = fs::read_to_string(labs.join("README.md")).unwrap();
    let folders = fs::read_dir(labs)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let folders: Vec<_> = folders.filter(|path| path.is_dir()).collect();
    assert_eq!(folders.len(), 11);
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let page = fs::read_to_string(folder.join("README.md")).unwrap();
        let mut rest = &page[..];
        for heading in HEADINGS {
            let found = rest.split_once(heading);
            rest = found.unwrap_or_else(|| panic!("{name} lacks {heading}")).1;
        }
        let command = format!("    cargo test --test labs -- --ignored {}::", &name[3..]);
        assert!(page.contains(&command), "{name} lacks {command}");
        assert!(
            page.contains(&format!("`tests/labs/{name}/yours.rs`")),
            "{name}"
        );
        assert!(
            list.contains(&format!("({name}/README.md)")),
            "{name} is not in the list"
        );
    }
}
