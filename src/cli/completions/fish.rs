//! The script for fish: one line an option, with the condition that the command in the line has it.

use super::{commands, quoted, text, with_value};
use crate::cli::table::{JOBS, Job, Kind, OPTIONS, Opt, kind};

pub(super) fn script() -> String {
    let names: Vec<_> = commands().map(|job| job.name).collect();
    let mut script = SCRIPT
        .replace("WITH_VALUE", &with_value().join(" "))
        .replace("COMMANDS", &names.join(" "));
    script += &commands().map(command).collect::<String>();
    script += &JOBS.iter().map(operand).collect::<String>();
    script += &OPTIONS.iter().map(option).collect::<String>();
    script
}

const SCRIPT: &str = r#"# Completes storrent in fish. Made by `storrent --completions fish`.

# Prints the command of the line; none, if no word but options is there; plain, if the first one
# is no command.
function __storrent_job
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        switch $words[1]
            case --
                echo plain
                return
            case WITH_VALUE
                set -e words[1]
            case '-*'
            case COMMANDS
                echo $words[1]
                return
            case '*'
                echo plain
                return
        end
        set -q words[1]; and set -e words[1]
    end
    echo none
end

function __storrent_is
    contains -- (__storrent_job) $argv
end

# Offers folders, also where the option and its value are one word.
function __storrent_folders
    set -l word (commandline -ct | string replace -r -- '^(--[^=]*=|-[A-Za-z])' '')
    __fish_complete_directories "$word"
end

complete -c storrent -f
"#;

/// The condition that the line is of one of these jobs.
fn if_job(jobs: &[&str]) -> String {
    let named = jobs
        .iter()
        .map(|job| if job.is_empty() { "none plain" } else { job });
    let named: Vec<_> = named.collect();
    format!("-n '__storrent_is {}'", named.join(" "))
}

/// The line about a command, which may be the first word or follow `help`.
fn command(job: &Job) -> String {
    let asks = JOBS.iter().filter(|job| kind(job.operand) == Kind::Command);
    let places: Vec<_> = ["none"]
        .into_iter()
        .chain(asks.map(|job| job.name))
        .collect();
    let (on, text) = (if_job(&places), quoted(job.summary));
    format!("complete -c storrent {on} -a {} -d {text}\n", job.name)
}

fn operand(job: &Job) -> String {
    let offered = match kind(job.operand) {
        Kind::Torrent => "-ka '(__fish_complete_suffix .torrent)'",
        Kind::File => "-F",
        _ => return String::new(),
    };
    let on = if_job(&[job.name]);
    format!("complete -c storrent {on} {offered}\n")
}

fn option(option: &Opt) -> String {
    let short = option
        .short()
        .map_or(String::new(), |letter| format!(" -s {letter}"));
    let long = &option.long()[2..];
    let value = match option.value().map(kind) {
        None => String::new(),
        Some(Kind::Folder) => " -xa '(__storrent_folders)'".to_string(),
        Some(Kind::Word(words)) => format!(" -xa '{}'", words.join(" ")),
        Some(Kind::Other) => " -x".to_string(),
        Some(_) => " -rF".to_string(),
    };
    let (on, text) = (if_job(option.jobs), quoted(&text(option)));
    format!("complete -c storrent {on}{short} -l {long}{value} -d {text}\n")
}
