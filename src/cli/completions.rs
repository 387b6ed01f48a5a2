//! Scripts by which a shell completes the command lines of storrent: `storrent --completions`.
//!
//! Each is made from the [`table`](super::table). A script first looks for the command among the
//! words before the cursor, as [`split`](super::split) does: the first word that is neither an
//! option nor the value of one. Then it offers the values of the option before the cursor, the
//! options of that command, or what the command works on.

mod bash;
mod fish;
mod zsh;

use super::table::{JOBS, Job, OPTIONS, Opt, Section};
use std::collections::BTreeSet;

/// Returns the script for a shell. `None`: we know no such shell.
pub fn of(shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash::script()),
        "zsh" => Some(zsh::script()),
        "fish" => Some(fish::script()),
        _ => None,
    }
}

/// Returns the names of an option, the short one first: `-d`, `--dir`.
fn names(option: &Opt) -> Vec<String> {
    let short = option.short().map(|letter| format!("-{letter}"));
    short
        .into_iter()
        .chain([option.long().to_string()])
        .collect()
}

/// Returns the names of all options that take a value, so that a script can skip the value.
fn with_value() -> Vec<String> {
    let options = OPTIONS.iter().filter(|option| option.value().is_some());
    let names: BTreeSet<String> = options.flat_map(names).collect();
    names.into_iter().collect()
}

/// Lists the commands.
fn commands() -> impl Iterator<Item = &'static Job> {
    JOBS[1..].iter()
}

/// Returns what an option does.
fn text(option: &Opt) -> String {
    match option.section {
        Section::NoEffect => format!("without effect: {}", option.text),
        _ => option.text.to_string(),
    }
}

/// Returns a text without backquotes, as one word of any of the three shells.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('`', "").replace('\'', r"'\''"))
}
