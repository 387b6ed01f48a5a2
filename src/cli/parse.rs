//! Reads the command line: which job, with which options.
//!
//! The crate argh fills the structs of [`args`](super::args). It understands fewer ways to write
//! an option than `--help` promises, so [`split`](super::split) rewrites the command line first.

use super::args::{Check, Create, Demo, Download, Show};
use super::help;
use super::split::{NoCommand, Split, no_option, split};
use super::values::{Source, shown};
use argh::{ArgsInfo, FromArgs};
use std::ffi::OsString;

/// A job for the program.
#[derive(Debug)]
pub enum Command {
    /// `storrent SOURCE...`.
    Download(Download),
    /// `storrent seed`.
    Seed(Download),
    /// `storrent show`.
    Show(Show),
    /// `storrent check`.
    Check(Check),
    /// `storrent create`.
    Create(Create),
    /// `storrent demo`.
    Demo,
}

/// What `--version` prints.
const VERSION: &str = concat!("storrent ", env!("CARGO_PKG_VERSION"), "\n");

/// Reads a command line, without the program's own name.
///
/// # Errors
/// [`NoCommand`], if the user asks for help or the version, or made a mistake.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, NoCommand> {
    let split = split(args)?;
    let job = split.job.as_str();
    match job {
        "show" => fill(&split, help::SHOW, 1).map(Command::Show),
        "check" => fill(&split, help::CHECK, 1).map(Command::Check),
        "create" => fill(&split, help::CREATE, 1).map(Command::Create),
        "demo" => fill::<Demo>(&split, help::DEMO, 0).map(|_| Command::Demo),
        _ => {
            let is_seed = job == "seed";
            let text = if is_seed { help::SEED } else { help::MAIN };
            let options: Download = fill(&split, text, usize::MAX)?;
            sensible(&options, is_seed)?;
            let job = if is_seed {
                Command::Seed
            } else {
                Command::Download
            };
            Ok(job(options))
        }
    }
}

/// Refuses options that can't go together.
fn sensible(options: &Download, is_seed: bool) -> Result<(), NoCommand> {
    let stdins = options.sources.iter().filter(|s| **s == Source::Stdin);
    let mistake = if is_seed && options.files.is_some() {
        "`storrent seed` has no option --files"
    } else if is_seed && options.overwrite {
        "`storrent seed` has no option --overwrite"
    } else if options.files.is_some() && options.sources.len() > 1 {
        "--files needs exactly one SOURCE: its numbers count that torrent's files"
    } else if stdins.count() > 1 {
        "- is given twice, but standard input can be read only once"
    } else {
        return Ok(());
    };
    Err(NoCommand::Mistake(mistake.to_string()))
}

/// Has argh fill the options of one job, which takes at most `most` positionals.
fn fill<T: FromArgs + ArgsInfo>(
    split: &Split,
    help: &'static str,
    most: usize,
) -> Result<T, NoCommand> {
    if split.help {
        return Err(NoCommand::Print(help));
    }
    if split.version {
        return Err(NoCommand::Print(VERSION));
    }
    let info = T::get_args_info();
    let mut line = Vec::new();
    for (option, value) in &split.options {
        if !info.flags.iter().any(|flag| flag.long == option.long) {
            return Err(no_option(&split.job, option.long));
        }
        line.push(option.long);
        line.extend(value.as_deref());
    }
    line.push("--");
    line.extend(split.positionals.iter().map(String::as_str));
    let job = format!("storrent {}", split.job);
    let job = job.trim_end();
    let wanted = info
        .positionals
        .first()
        .map_or("", |positional| positional.name);
    match split.positionals.get(most) {
        Some(extra) => {
            let text = format!("{} is one too many: see `{job} --help`", shown(extra));
            return Err(NoCommand::Mistake(text));
        }
        None if split.positionals.is_empty() && most > 0 => {
            let what = match wanted {
                "path" => "PATH",
                _ if matches!(&*split.job, "seed" | "check") => "TORRENT",
                _ => "SOURCE",
            };
            return Err(NoCommand::Mistake(format!(
                "no {what} is given: see `{job} --help`"
            )));
        }
        None => {}
    }
    T::from_args(&[job], &line).map_err(|exit| {
        // "Error parsing option '--port' with value 'x': …": the first two words say nothing.
        let text = exit.output.trim_end();
        let text = text.strip_prefix("Error parsing ").unwrap_or(text);
        let text = split.without_secrets(text);
        NoCommand::Mistake(crate::human::escaped(&text))
    })
}

#[cfg(test)]
mod tests;
