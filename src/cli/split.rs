//! Brings a command line into the one form that argh understands, and finds the job in it.
//!
//! argh understands `--dir X` and `-d X`, but not `--dir=X`, `-dX`, `-vv` or a bare `-`, and it
//! takes a file called `show` for a job wherever it stands. We ask argh which options there are
//! and which take a value, so each is declared once.

use super::args::options_of;
use super::values::{encode, shown};
use crate::url;
use argh::{FlagInfo, FlagInfoKind};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Why there is no job.
#[derive(Debug, PartialEq)]
pub enum NoCommand {
    /// The user asks for this text: to stdout, status 0.
    Print(&'static str),
    /// What is wrong with the command line: to stderr, status 2.
    Mistake(String),
}

/// A command line, taken apart. Arguments are written as [`encode`] does.
#[derive(Default)]
pub struct Split {
    /// The name of the subcommand. Empty: the plain form.
    pub job: String,
    /// The options, and the value of those that take one.
    pub options: Vec<(&'static FlagInfo<'static>, Option<String>)>,
    /// The arguments that are not options.
    pub positionals: Vec<String>,
    /// Whether `-h` or `--help` is there.
    pub help: bool,
    /// Whether `--version` is there.
    pub version: bool,
}

/// Lists the options of all jobs. We find the job only if we know which options take a value, so
/// an option takes one in all jobs or in none (a test holds it).
pub fn known() -> impl Iterator<Item = &'static FlagInfo<'static>> {
    ["", "show", "create"]
        .into_iter()
        .filter_map(options_of)
        .flatten()
}

/// Whether an option takes a value.
pub fn takes_value(option: &FlagInfo) -> bool {
    matches!(option.kind, FlagInfoKind::Option { .. })
}

/// Takes a command line apart. The first argument that is not an option may name the job. After
/// `--` nothing is an option or a job.
///
/// # Errors
/// [`NoCommand::Mistake`], if no job has an option, or if a value is missing or unexpected.
pub fn split(args: impl IntoIterator<Item = OsString>) -> Result<Split, NoCommand> {
    let mut args = args.into_iter().map(OsString::into_vec);
    let mut split = Split::default();
    let mut is_first = true;
    while let Some(arg) = args.next() {
        match &arg[..] {
            b"--" => {
                split.positionals.extend(args.map(|arg| encode(&arg)));
                break;
            }
            [b'-', b'-', long @ ..] => split.long(long, &mut args)?,
            [b'-', letters @ ..] if !letters.is_empty() => split.letters(letters, &mut args)?,
            _ => {
                let text = encode(&arg);
                let is_job = !text.is_empty() && options_of(&text).is_some();
                if std::mem::take(&mut is_first) && is_job {
                    split.job = text;
                } else {
                    split.positionals.push(text);
                }
            }
        }
    }
    Ok(split)
}

impl Split {
    /// Removes secrets from argh's message about a wrong value: of each URL it keeps what may be
    /// [shown](url::shown), of a proxy all but user and password.
    pub fn without_secrets(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for (option, value) in &self.options {
            let value = value.as_deref().unwrap_or_default();
            let shown = match value.rsplit_once('@') {
                _ if value.contains("://") => url::shown(value),
                Some((_, place)) if option.long == "--proxy" => format!("…@{place}"),
                _ => continue,
            };
            clean = clean.replace(value, &shown);
        }
        clean
    }

    /// Takes `--name`, `--name=value`, or `--name` and the next argument.
    fn long(
        &mut self,
        long: &[u8],
        next: &mut impl Iterator<Item = Vec<u8>>,
    ) -> Result<(), NoCommand> {
        let (name, glued) = match long.iter().position(|byte| *byte == b'=') {
            Some(at) => (&long[..at], Some(long[at + 1..].to_vec())),
            None => (long, None),
        };
        match name {
            b"help" if glued.is_none() => self.help = true,
            b"version" if glued.is_none() => self.version = true,
            _ => {
                let name = format!("--{}", encode(name));
                let option = known().find(|option| option.long == name);
                self.option(option.ok_or_else(|| no_option("", &name))?, glued, next)?;
            }
        }
        Ok(())
    }

    /// Takes `-v`, `-vv`, `-dDIR`, `-vdDIR`, or `-d` and the next argument.
    fn letters(
        &mut self,
        mut letters: &[u8],
        next: &mut impl Iterator<Item = Vec<u8>>,
    ) -> Result<(), NoCommand> {
        while let Some((letter, rest)) = letters.split_first() {
            letters = rest;
            if *letter == b'h' {
                self.help = true;
                continue;
            }
            let option = known().find(|option| option.short == Some(char::from(*letter)));
            let option =
                option.ok_or_else(|| no_option("", &format!("-{}", encode(&[*letter]))))?;
            let glued = takes_value(option) && !letters.is_empty();
            let glued = glued.then(|| std::mem::take(&mut letters).to_vec());
            self.option(option, glued, next)?;
        }
        Ok(())
    }

    /// Takes an option whose value, if it has one, is glued to it or comes next.
    fn option(
        &mut self,
        option: &'static FlagInfo<'static>,
        glued: Option<Vec<u8>>,
        next: &mut impl Iterator<Item = Vec<u8>>,
    ) -> Result<(), NoCommand> {
        let name = option.long;
        let value = match (takes_value(option), glued) {
            (true, None) => next.next(),
            (_, glued) => glued,
        };
        match (takes_value(option), value) {
            (true, None) => Err(NoCommand::Mistake(format!("{name} needs a value"))),
            (false, Some(_)) => Err(NoCommand::Mistake(format!("{name} takes no value"))),
            (_, value) => {
                self.options
                    .push((option, value.map(|value| encode(&value))));
                Ok(())
            }
        }
    }
}

/// Returns the mistake that `job` has no option `name`. The job `""` is the plain form.
pub fn no_option(job: &str, name: &str) -> NoCommand {
    let space = if job.is_empty() { "" } else { " " };
    NoCommand::Mistake(format!(
        "`storrent{space}{job}` has no option {}",
        shown(name)
    ))
}
