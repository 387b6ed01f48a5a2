//! The program as the user meets it: from the command line to the exit status.
//!
//! [`parse`] reads the command line, and [`source`] the torrents that it names. Each job has a
//! file: [`download`] (which also seeds), [`show`], [`check`], [`create`], [`demo`], [`report`].
//! This file says how all of them print and fail.

pub mod args;
pub mod check;
pub mod completions;
pub mod create;
pub mod demo;
pub mod download;
pub mod hashing;
pub mod help;
pub mod man;
pub mod metadata;
pub mod near;
pub mod on_complete;
pub mod parse;
pub mod report;
pub mod save;
pub mod show;
pub mod signals;
pub mod source;
pub mod split;
pub mod stamp;
pub mod table;
pub mod values;

use crate::engine;
use crate::human;
use crate::progress::complain;
use parse::Command;
use split::NoCommand;
use std::error::Error;
use std::io::{self, Write};

/// Why a job could not be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The command line was wrong: status 2.
    Usage(String),
    /// Something failed: status 1.
    Failed(String),
}

impl<E: Error> From<E> for Failure {
    /// Puts the error and its causes into one sentence.
    fn from(error: E) -> Self {
        Self::Failed(human::chain(&error))
    }
}

/// Runs the program and returns its exit status.
pub fn main() -> u8 {
    let done = match parse::parse(std::env::args_os().skip(1), |name| std::env::var_os(name)) {
        Ok(command) => run(command),
        Err(NoCommand::Print(text)) => print(&text).map(|()| 0),
        Err(NoCommand::Mistake(mistake)) => Err(Failure::Usage(mistake)),
    };
    match done {
        Ok(status) => status,
        Err(Failure::Usage(mistake)) => {
            complain(&format!("storrent: {}", human::escaped(&mistake)));
            2
        }
        Err(Failure::Failed(why)) => {
            complain(&format!("storrent: {}", human::escaped(&why)));
            1
        }
    }
}

fn run(command: Command) -> Result<u8, Failure> {
    engine::allow_many_files();
    let interrupts = signals::watch()?;
    match command {
        Command::Download(options) => download::run(&options, false, &interrupts),
        Command::Seed(options) => download::run(&options, true, &interrupts),
        Command::Show(options) => show::run(&options, &interrupts),
        Command::Check(options) => check::run(&options).map(|()| 0),
        Command::Create(options) => create::run(&options).map(|()| 0),
        Command::Demo(options) => demo::run(&options, &interrupts),
        Command::Report(options) => report::run(&options).map(|()| 0),
    }
}

/// Writes `text` to stdout. Unlike `print!` it does not panic if the reader stops early
/// (`storrent show x | head`).
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Failed(format!(
            "cannot write to standard output: {error}"
        ))),
        _ => Ok(()),
    }
}

fn warn(message: &str) {
    complain(&format!("storrent: warning: {}", human::escaped(message)));
}

fn json_line(value: &impl serde::Serialize) -> Result<String, Failure> {
    Ok(human::escaped_json(&serde_json::to_string(value)?) + "\n")
}
