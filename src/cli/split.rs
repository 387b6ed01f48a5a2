//! Rewrites a command line into the one form that argh understands, and finds the job in it.
//!
//! argh understands `--dir X` and `-d X`, but not `--dir=X`, `-dX`, `-vv` or a bare `-`, and takes
//! a file called `show` for a job. To find the job, we must know which options take a value before
//! we know the job. So an option takes one in all jobs or in none (a test holds it).

use super::near;
use super::table::{JOBS, Job, OPTIONS, Opt};
use super::values::encode;
use crate::url;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Why no job runs.
#[derive(Debug, PartialEq)]
pub enum NoCommand {
    /// The user asks for this text: to stdout, status 0.
    Print(String),
    /// The command line is wrong: to stderr, status 2.
    Mistake(String),
}

/// A command line, taken apart. Arguments are written as [`encode`] does.
pub struct Split {
    /// The command, or the plain form.
    pub job: &'static Job,
    /// In the user's order.
    pub options: Vec<Given>,
    /// The arguments that are not options.
    pub positionals: Vec<String>,
}

/// An option with its value.
pub struct Given {
    /// An entry with its name, though perhaps one of another command.
    pub option: &'static Opt,
    /// As the user wrote it: `-o`, `--output`, or a variable of the environment.
    pub written: String,
    /// Its value, if it takes one.
    pub value: Option<String>,
}

/// Takes a command line apart. The first argument that is no option may name the job. After `--`
/// nothing is an option or a job.
///
/// # Errors
/// [`NoCommand::Mistake`], if no job has an option, or a value is missing or unexpected.
pub fn split(args: impl IntoIterator<Item = OsString>) -> Result<Split, NoCommand> {
    let mut args = args.into_iter().map(OsString::into_vec);
    let mut split = Split {
        job: &JOBS[0],
        options: Vec::new(),
        positionals: Vec::new(),
    };
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
                let job = JOBS[1..].iter().find(|job| job.name == text);
                match job.filter(|_| is_first) {
                    Some(job) => split.job = job,
                    None => split.positionals.push(text),
                }
                is_first = false;
            }
        }
    }
    Ok(split)
}

impl Split {
    /// Returns the option, if it was given.
    pub fn given(&self, long: &str) -> Option<&Given> {
        self.options
            .iter()
            .find(|given| given.option.long() == long)
    }

    /// Removes secrets from argh's message about a wrong value: keeps of each URL what may be
    /// [shown](url::shown), of a proxy all but user and password.
    pub fn without_secrets(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for given in &self.options {
            let value = given.value.as_deref().unwrap_or_default();
            let shown = match value.rsplit_once('@') {
                _ if value.contains("://") => url::shown(value),
                Some((_, place)) if given.option.long() == "--proxy" => format!("…@{place}"),
                _ => continue,
            };
            clean = clean.replace(value, &shown);
        }
        clean
    }

    fn long(
        &mut self,
        long: &[u8],
        next: &mut impl Iterator<Item = Vec<u8>>,
    ) -> Result<(), NoCommand> {
        let (name, glued) = match long.iter().position(|byte| *byte == b'=') {
            Some(at) => (&long[..at], Some(long[at + 1..].to_vec())),
            None => (long, None),
        };
        let name = format!("--{}", encode(name));
        let option = OPTIONS.iter().find(|option| option.long() == name);
        self.option(option, name, glued, next)
    }

    /// Takes `-v`, `-vv`, `-dDIR`, `-vdDIR`, or `-d` and the next argument.
    fn letters(
        &mut self,
        mut letters: &[u8],
        next: &mut impl Iterator<Item = Vec<u8>>,
    ) -> Result<(), NoCommand> {
        while let Some((letter, rest)) = letters.split_first() {
            letters = rest;
            let option = OPTIONS
                .iter()
                .find(|option| option.short() == Some(char::from(*letter)));
            let takes_value = option.is_some_and(|option| option.value().is_some());
            let glued = takes_value && !letters.is_empty();
            let glued = glued.then(|| std::mem::take(&mut letters).to_vec());
            self.option(option, format!("-{}", encode(&[*letter])), glued, next)?;
        }
        Ok(())
    }

    /// Takes an option whose value, if any, is glued to it or comes next.
    fn option(
        &mut self,
        option: Option<&'static Opt>,
        written: String,
        glued: Option<Vec<u8>>,
        next: &mut impl Iterator<Item = Vec<u8>>,
    ) -> Result<(), NoCommand> {
        let Some(option) = option else {
            return Err(near::no_option(self.job, &written));
        };
        let takes_value = option.value().is_some();
        let value = if takes_value {
            glued.or_else(|| next.next())
        } else {
            glued
        };
        if takes_value != value.is_some() {
            let what = if takes_value {
                "needs a value"
            } else {
                "takes no value"
            };
            return Err(NoCommand::Mistake(format!("{written} {what}")));
        }
        let value = value.map(|value| encode(&value));
        self.options.push(Given {
            option,
            written,
            value,
        });
        Ok(())
    }
}
