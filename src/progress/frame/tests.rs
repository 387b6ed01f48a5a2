use super::super::tests::{added, checked, checking, complete, error, no_way, progress};
use super::*;
use crate::report::{Idle, Progress, Report, Tried};
use crate::types::InfoHash;
use proptest::prelude::*;

const GIB: u64 = 1 << 30;

/// The row of a torrent called `name`, number `hash`, after these reports.
fn row(hash: u8, name: &str, reports: impl IntoIterator<Item = Report>) -> Row {
    let mut row = Row::begun_by(&added(name)).unwrap();
    row.info_hash = InfoHash([hash; 20]);
    reports.into_iter().for_each(|report| _ = row.take(&report));
    row
}

fn going(have: u64, rate: u64) -> Progress {
    Progress {
        wanted_bytes: 3 * GIB,
        download_rate: rate,
        peers: 12,
        uploaded_bytes: 0,
        ..progress(have)
    }
}

fn stalled() -> Progress {
    Progress {
        idle: Some(no_way()),
        ..going(GIB, 0)
    }
}

fn seeding() -> [Report; 2] {
    let progress = Progress {
        seeding: true,
        upload_rate: 1_258_291,
        ..progress(2048)
    };
    [complete(), Report::Progress(progress)]
}

fn one_of_each() -> Vec<Row> {
    vec![
        row(
            0,
            "debian-12.7.0-amd64-netinst.iso",
            [Report::Progress(going(GIB, 11 << 20))],
        ),
        row(1, "映画の夜.🎬", [checking(1, 4)]),
        row(2, "photos", [Report::Progress(stalled())]),
        row(3, "letter", seeding()),
        row(4, "book", [complete()]),
        row(5, "lost", [error()]),
        row(6, "new", []),
    ]
}

fn shown(rows: &[Row], columns: usize) -> Vec<String> {
    let size = Size { columns, rows: 24 };
    let lines = lines(rows, false, size, false);
    lines.iter().map(|line| line.shown(false)).collect()
}

#[test]
fn a_download_at_four_widths() {
    let name = "debian-12.7.0-amd64-netinst.iso";
    let rows = [row(0, name, [Report::Progress(going(GIB, 11 << 20))])];
    for (columns, expected) in [
        (40, "↓ debian-12.7.0-am…   33.3%  11.0 MiB/s"),
        (
            60,
            "↓ debian-12…  ━━╸─────   33.3%  11.0 MiB/s   3 min 7 s left",
        ),
        (
            80,
            "↓ debian-12.7.0-amd…  ━━━───────   33.3%  11.0 MiB/s   3 min 7 s left  12 peers",
        ),
        (
            120,
            "↓ debian-12.7.0-amd64-netinst.iso  ━━━━━━━━━━────────────────────   33.3%  \
             11.0 MiB/s   3 min 7 s left  12 peers",
        ),
    ] {
        assert_eq!(shown(&rows, columns), [expected], "{columns} columns");
    }
}

#[test]
fn stages_are_told_apart_without_colour() {
    let shown = shown(&one_of_each(), 100);
    let expected = [
        ("↓ debian", "11.0 MiB/s"),
        ("○ 映画の夜", "checking"),
        ("! photos", "stalled"),
        ("↑ letter", "seeding"),
        ("✓ book", "complete"),
        ("✗ lost", "failed"),
        ("○ new", "waiting"),
        ("  total: 2 of 7 complete", "11.0 MiB/s"),
    ];
    assert!(shown.len() > expected.len(), "a reason: {shown:#?}");
    for (line, (name, state)) in shown.iter().zip(expected) {
        assert!(line.starts_with(name) && line.contains(state), "{shown:#?}");
    }
}

#[test]
fn the_reason_stands_below_wrapped() {
    let why =
        "no peers: 0 of 3 trackers answered (1 refused, 1 timed out, 1 said no), DHT 212 nodes";
    let idle = Idle::Tried(Box::new(Tried {
        no_way: Some(why.into()),
        silent: 1,
        ..Tried::default()
    }));
    let progress = Progress {
        idle: Some(idle),
        ..stalled()
    };
    let rows = [row(0, "photos", [Report::Progress(progress)])];
    let expected = [
        "  no peers: 0 of 3 trackers answered (1",
        "  refused, 1 timed out, 1 said no), DHT",
        "  212 nodes; 1 peer sends nothing",
    ];
    assert_eq!(shown(&rows, 40)[1..], expected);
}

#[test]
fn the_same_reason_is_told_once() {
    let idle = |hash, name| row(hash, name, [Report::Progress(stalled())]);
    let rows = [idle(0, "a"), idle(1, "b"), row(2, "c", seeding())];
    let below = shown(&rows, 80).split_off(4);
    assert_eq!(below, ["  2 torrents: no\\u{1b} way; 1 peer sends nothing"]);
    let below = shown(&rows[1..], 80).split_off(3);
    assert_eq!(below, ["  b: no\\u{1b} way; 1 peer sends nothing"]);
}

#[test]
fn nothing_is_wrong_before_anything_came() {
    let progress = Progress {
        downloaded_bytes: 0,
        ..stalled()
    };
    let shown = shown(&[row(0, "x", [checked(), Report::Progress(progress)])], 80);
    assert!(
        shown[0].contains("waiting") && !shown[0].contains("stalled"),
        "{shown:#?}"
    );
}

#[test]
fn of_many_the_most_active_are_shown() {
    let rate = |n: u8| if n.is_multiple_of(3) { 0 } else { 1 << n };
    let report = |n| Report::Progress(going(GIB, rate(n)));
    let rows: Vec<Row> = (0..30)
        .map(|n| row(n, &format!("number {n}"), [report(n)]))
        .collect();
    let shown = shown(&rows, 80);
    assert_eq!(shown.len(), 23, "the last line is the cursor's");
    assert!(
        shown[0].contains("number 29") && shown[1].contains("number 28"),
        "{shown:#?}"
    );
    assert_eq!(shown[21], "  and 9 more");
    assert!(shown[22].starts_with("  total: 0 of 30"), "{shown:#?}");
    // Those that fit keep the user's order.
    let size = Size {
        columns: 80,
        rows: 40,
    };
    let all = lines(&rows, false, size, false);
    assert!(
        all.iter()
            .zip(0..30)
            .all(|(line, n)| { line.shown(false).contains(&format!("number {n} ")) })
    );
}

#[test]
fn leaving_is_told() {
    let rows = [row(0, "x", [Report::Progress(stalled())])];
    let lines = lines(
        &rows,
        true,
        Size {
            columns: 80,
            rows: 24,
        },
        false,
    );
    let shown: Vec<String> = lines.iter().map(|line| line.shown(false)).collect();
    assert!(shown[0].contains("leaving"), "{shown:#?}");
    assert_eq!(shown[1..], ["  Ctrl-C again leaves at once"]);
}

#[test]
fn the_last_words() {
    let rows = [
        row(0, "x", [complete()]),
        row(1, "y", [Report::Progress(stalled())]),
    ];
    let shown = |columns| -> Vec<String> {
        let lines = last(&rows, columns, false);
        lines.iter().map(|line| line.shown(false)).collect()
    };
    assert_eq!(
        shown(80),
        [
            "✓ x: complete, 2.00 KiB in 1 of 2 files, saved as down/x",
            "  4.00 KiB downloaded in 2 s (2.00 KiB/s), 1.00 KiB of it twice; from Abc 1.0",
            "  (3.00 KiB), others (1.00 KiB)",
            "! y: 33.3% of 3.00 GiB, kept: the same command goes on from there",
        ]
    );
    assert_eq!(
        shown(50)[..2],
        [
            "✓ x: complete, 2.00 KiB in 1 of 2 files",
            "  saved as down/x"
        ]
    );
}

#[test]
fn tab_and_title() {
    let mark_of = |rows: &[Row]| {
        let mark = mark(rows);
        (mark.state, mark.percent, mark.title)
    };
    let going = |hash| row(hash, "a", [Report::Progress(going(GIB, 1))]);
    let rows = [going(0)];
    assert_eq!(mark_of(&rows), (State::Goes, 33, "33% a".into()));
    let rows = [going(0), row(1, "b", [Report::Progress(stalled())])];
    assert_eq!(mark_of(&rows), (State::Goes, 33, "33% 2 torrents".into()));
    assert_eq!(mark_of(&rows[1..]), (State::Waits, 33, "33% b".into()));
    let rows = [row(0, "c", [complete()])];
    assert_eq!(mark_of(&rows), (State::Over, 100, "complete c".into()));
    let hostile = row(0, "a\x07\x1b]0;b\u{9c}", [checking(1, 2)]);
    let title = mark(&[hostile]).title;
    assert!(!title.contains(char::is_control), "{title:?}");
}

fn any_row() -> impl Strategy<Value = Row> {
    let name = "[a-z 0-9映🎬é.-]{1,50}";
    let figures = (
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
        0usize..2000,
        0usize..5,
    );
    (0u8..8, any::<u8>(), name, figures).prop_map(|(stage, hash, name, figures)| {
        let (have, rate, up, peers, web_seeds) = figures;
        let progress = Progress {
            upload_rate: up,
            uploaded_bytes: up / 2,
            peers,
            web_seeds,
            seeding: stage == 3,
            ..going(have % (4 * GIB), rate)
        };
        let idle = Progress {
            idle: Some(no_way()),
            ..progress.clone()
        };
        let reports = match stage {
            0 => vec![],
            1 => vec![checking(1, 3)],
            2 => vec![Report::Progress(idle)],
            3 => vec![complete(), Report::Progress(progress)],
            4 => vec![complete()],
            5 => vec![error()],
            _ => vec![Report::Progress(progress)],
        };
        row(hash, &name, reports)
    })
}

/// The figures of a text: runs of digits, dots and commas, with the unit behind each.
fn figures(text: &str) -> Vec<&str> {
    let is_figure = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
    let words = text.split([' ', '(', ')']);
    words
        .filter(|word| word.starts_with(char::is_numeric) && word.contains(is_figure))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_window_is_enough(
        rows in proptest::collection::vec(any_row(), 1..12),
        columns in 1usize..150,
        height in 1usize..30,
        leaving: bool,
        ascii: bool,
    ) {
        let size = Size { columns, rows: height };
        let lines = lines(&rows, leaving, size, ascii);
        prop_assert!(lines.len() <= height.saturating_sub(1).max(1));
        if columns > SYMBOL + SHORT_NAME {
            let wide = lines.iter().find(|line| line.width() > columns - 1);
            prop_assert!(wide.is_none(), "{wide:?}");
        }
    }

    /// Each figure of a narrow row is one of the widest row.
    #[test]
    fn no_figure_is_cut(row in any_row(), columns in 13usize..150) {
        let rows = [row];
        let fields = rows[0].fields();
        let bar = |line: &str| line.replace(['━', '╸', '─'], " ");
        let shown = shown(&rows, columns);
        // The name is cut, and may hold digits.
        let behind: String = bar(&shown[0]).chars().skip(SYMBOL).collect();
        let name = shortened(&rows[0].name, columns);
        let common = name.chars().zip(behind.chars()).take_while(|(a, b)| a == b).count();
        let behind: String = behind.chars().skip(common).collect();
        let all = [
            fields.percent.clone(),
            fields.state.clone(),
            fields.left.clone().unwrap_or_default(),
            fields.peers.clone(),
            up(&fields, false),
        ]
        .join("  ");
        let known = figures(&all);
        for figure in figures(&behind) {
            prop_assert!(known.contains(&figure), "{figure} of {shown:?}, not of {all:?}");
        }
    }
}
