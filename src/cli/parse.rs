//! Reads the command line: which job, with which options.
//!
//! The crate argh fills the structs of [`args`](super::args). It understands fewer ways to write an
//! option than `--help` promises, so [`split`](super::split) rewrites the command line first.

use super::args::{Check, Create, Demo, Download, Report, Show};
use super::split::{Given, NoCommand, Split, split};
use super::table::{self, JOBS};
use super::values::{Source, encode, shown};
use super::{completions, help, man, near};
use argh::FromArgs;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

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
    Demo(Demo),
    /// `storrent report`.
    Report(Report),
}

const VERSION: &str = concat!("storrent ", env!("CARGO_PKG_VERSION"), "\n");

/// Reads a command line, without the program's own name. `environment` looks up a variable.
///
/// # Errors
/// [`NoCommand`], if the user asks for help or the version, or made a mistake.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, NoCommand> {
    let mut split = split(args)?;
    let job = split.job;
    if split.given("--help").is_some() {
        return Err(NoCommand::Print(help::of(job)));
    }
    for Given {
        option, written, ..
    } in &split.options
    {
        if !job.options().any(|own| own.long() == option.long()) {
            return Err(near::no_option(job, written));
        }
    }
    if let Some(asked) = asked(&split) {
        return Err(asked);
    }
    count_operands(&split)?;
    if split.given("--wire").is_some() && split.options.len() > 1 {
        let mistake = "no other option goes with --wire".to_string();
        return Err(NoCommand::Mistake(mistake));
    }
    add_defaults(&mut split, environment);
    match job.name {
        "help" => Err(help_on(split.positionals.first())),
        "show" => fill(&split).map(Command::Show),
        "check" => fill(&split).map(Command::Check),
        "create" => fill(&split).map(Command::Create),
        "demo" => fill(&split).map(Command::Demo),
        "report" => fill(&split).map(Command::Report),
        "seed" => fill(&split).and_then(sensible).map(Command::Seed),
        _ => fill(&split).and_then(sensible).map(Command::Download),
    }
}

/// Returns what an option asks for in place of any job, as `--help`.
fn asked(split: &Split) -> Option<NoCommand> {
    if split.given("--version").is_some() {
        return Some(NoCommand::Print(VERSION.to_string()));
    }
    if split.given("--man").is_some() {
        return Some(NoCommand::Print(man::page()));
    }
    let shell = split.given("--completions")?.value.as_deref()?;
    let mistake = || {
        format!(
            "--completions {}: bash, zsh or fish is expected",
            shown(shell)
        )
    };
    let script = completions::of(shell).map(NoCommand::Print);
    Some(script.unwrap_or_else(|| NoCommand::Mistake(mistake())))
}

/// The text of `storrent help NAME`.
fn help_on(name: Option<&String>) -> NoCommand {
    let name = name.map_or("", |name| name);
    match (
        table::job(name),
        near::nearest(name, JOBS[1..].iter().map(|job| job.name)),
    ) {
        (Some(job), _) => NoCommand::Print(help::of(job)),
        (None, nearest) => {
            let advice = nearest.map_or("see `storrent --help`".to_string(), |near| {
                format!("did you mean {near}?")
            });
            NoCommand::Mistake(format!("there is no command {}: {advice}", shown(name)))
        }
    }
}

/// Adds the environment's values of options that the user did not give. An empty one counts as
/// none.
fn add_defaults(split: &mut Split, environment: impl Fn(&str) -> Option<OsString>) {
    for option in split.job.options() {
        let Some(variable) = option.variable() else {
            continue;
        };
        let value = environment(&variable).filter(|value| !value.is_empty());
        if let (Some(value), None) = (value, split.given(option.long())) {
            split.options.push(Given {
                option,
                written: variable,
                value: Some(encode(&value.into_vec())),
            });
        }
    }
}

/// Refuses options that contradict each other.
fn sensible(options: Download) -> Result<Download, NoCommand> {
    let stdins = options.sources.iter().filter(|s| **s == Source::Stdin);
    let mistake = if options.files.is_some() && options.sources.len() > 1 {
        "--files needs exactly one SOURCE: its numbers count that torrent's files"
    } else if stdins.count() > 1 {
        "- is given twice, but standard input can be read only once"
    } else {
        return Ok(options);
    };
    Err(NoCommand::Mistake(mistake.to_string()))
}

/// Refuses a wrong number of operands. `--wire` replaces a SOURCE.
fn count_operands(split: &Split) -> Result<(), NoCommand> {
    let (least, most) = match split.given("--wire") {
        Some(_) => (0, 0),
        None => split.job.operands(),
    };
    let mistake = match split.positionals.get(most) {
        Some(extra) => format!("{} is one too many", shown(extra)),
        None if split.positionals.len() < least => {
            let operand = split.job.operand.trim_end_matches('.');
            match split.options.last() {
                Some(Given {
                    value: Some(value),
                    written,
                    ..
                }) => {
                    let value = shown(&split.without_secrets(value));
                    format!("no {operand} is given, as {value} is the value of {written}")
                }
                _ => format!("no {operand} is given"),
            }
        }
        None => return Ok(()),
    };
    let call = split.job.call();
    Err(NoCommand::Mistake(format!(
        "{mistake}: see `{call} --help`"
    )))
}

fn fill<T: FromArgs>(split: &Split) -> Result<T, NoCommand> {
    let mut line = Vec::new();
    for given in &split.options {
        line.push(given.option.long());
        line.extend(given.value.as_deref());
    }
    line.push("--");
    line.extend(split.positionals.iter().map(String::as_str));
    T::from_args(&[&split.job.call()], &line).map_err(|exit| {
        // "Error parsing option '--port' with value 'x': …": the first two words say nothing.
        let text = exit.output.trim_end();
        let text = text.strip_prefix("Error parsing ").unwrap_or(text);
        let text = split.without_secrets(&as_written(split, text));
        NoCommand::Mistake(crate::human::escaped(&text))
    })
}

/// Names the option in argh's message as the user wrote it.
fn as_written(split: &Split, text: &str) -> String {
    for Given {
        option,
        written,
        value,
    } in &split.options
    {
        let value = value.as_deref().unwrap_or_default();
        let start = format!("option '{}' with value '{value}'", option.long());
        if let Some(rest) = text.strip_prefix(&start) {
            let what = if written.starts_with('-') {
                "option "
            } else {
                ""
            };
            return format!("{what}'{written}' with value '{value}'{rest}");
        }
    }
    text.to_string()
}

#[cfg(test)]
mod tests;
