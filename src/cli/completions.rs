//! Scripts for `storrent --completions`: a shell completes the command lines of storrent by them.
//!
//! Each is made from the [`table`](super::table). A script finds the command as
//! [`split`](super::split) does: it is the first word that is neither an option nor the value of
//! one. Then it offers the values of the option before the cursor, the command's options, or its
//! operands.

mod bash;
mod fish;
mod zsh;

use super::table::{JOBS, Job, OPTIONS, Opt, Section};
use std::collections::BTreeSet;

/// Returns the script for a shell. `None`: we do not know the shell.
pub fn of(shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash::script()),
        "zsh" => Some(zsh::script()),
        "fish" => Some(fish::script()),
        _ => None,
    }
}

/// The names of an option, the short one first: `-d`, `--dir`.
fn names(option: &Opt) -> Vec<String> {
    let short = option.short().map(|letter| format!("-{letter}"));
    short
        .into_iter()
        .chain([option.long().to_string()])
        .collect()
}

/// The names of all options that take a value, which a script skips.
fn with_value() -> Vec<String> {
    let options = OPTIONS.iter().filter(|option| option.value().is_some());
    let names: BTreeSet<String> = options.flat_map(names).collect();
    names.into_iter().collect()
}

fn commands() -> impl Iterator<Item = &'static Job> {
    JOBS[1..].iter()
}

fn text(option: &Opt) -> String {
    match option.section {
        Section::NoEffect => format!("without effect: {}", option.text),
        _ => option.text.to_string(),
    }
}

/// Writes a text without backquotes, as one word of any of the three shells.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('`', "").replace('\'', r"'\''"))
}
