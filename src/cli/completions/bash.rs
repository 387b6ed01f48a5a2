//! The script for bash. It needs no package `bash-completion`.
//!
//! bash cuts a line at `=` and `:`, so `--dir=x` comes as three words. If the function offers
//! nothing and `default` is on, bash completes file names itself, quotes and `~` included.

use super::{commands, names, with_value};
use crate::cli::table::{JOBS, Job, Kind, OPTIONS, kind};
use std::collections::BTreeMap;

pub(super) fn script() -> String {
    let names: Vec<_> = commands().map(|job| job.name).collect();
    SCRIPT
        .replace("WITH_VALUE", &with_value().join("|"))
        .replace("COMMANDS", &names.join("|"))
        .replace("VALUES\n", &values())
        .replace("OPTIONS\n", &options())
        .replace("OPERANDS\n", &operands())
        .replace("NAMES", &names.join(" "))
}

const SCRIPT: &str = r#"# Completes storrent in bash. Made by `storrent --completions bash`.
_storrent() {
    local current=$2 previous=$3 job='' first=1 ended='' options='' i=1
    if [[ $previous == '=' ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    elif [[ ${COMP_WORDS[COMP_CWORD]} == '=' ]]; then
        current=''
    fi
    while ((i < COMP_CWORD)); do
        case ${COMP_WORDS[i]} in
            --) ended=1; break ;;
            WITH_VALUE)
                ((i++))
                while [[ ${COMP_WORDS[i]} == *[:=] || ${COMP_WORDS[i + 1]} == [:=]* ]]; do
                    ((i++))
                done
                ;;
            -*) ;;
            COMMANDS) job=${COMP_WORDS[i]} first=''; break ;;
            *) first=''; break ;;
        esac
        ((i++))
    done
    if [[ ! $ended ]]; then
        case $previous in
VALUES
        esac
        if [[ $current == -* ]]; then
            case $job in
OPTIONS
            esac
            compopt +o default
            COMPREPLY=($(compgen -W "$options" -- "$current"))
            return
        fi
    fi
    case $job in
OPERANDS
    esac
    if [[ $first && ! $ended ]]; then
        COMPREPLY+=($(compgen -W 'NAMES' -- "$current"))
    fi
}

# Offers words, and nothing else.
_storrent_words() {
    compopt +o default
    COMPREPLY=($(compgen -W "$1" -- "$2"))
}

# Offers torrents, and the folders where more may be; if there are none, all files.
_storrent_torrents() {
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -X '!*.torrent' -- "$1"; compgen -d -- "$1")
}

complete -o default -F _storrent storrent
"#;

/// What to offer after each option that takes a value.
fn values() -> String {
    // Options with the same values share a case.
    let mut cases: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for option in OPTIONS {
        let done = match option.value().map(kind) {
            None => continue,
            Some(Kind::Folder) => "compopt +o default -o dirnames; return".to_string(),
            Some(Kind::Word(words)) => {
                format!("_storrent_words '{}' \"$current\"; return", words.join(" "))
            }
            Some(Kind::Other) => "compopt +o default; return".to_string(),
            Some(_) => "return".to_string(),
        };
        let all = cases.entry(done).or_default();
        let new = names(option).into_iter().filter(|name| !all.contains(name));
        let new: Vec<_> = new.collect();
        all.extend(new);
    }
    let case = |(done, names): (&String, &Vec<String>)| {
        format!("            {}) {done} ;;\n", names.join("|"))
    };
    cases.iter().map(case).collect()
}

fn options() -> String {
    let case = |job: &Job| {
        let names: Vec<_> = job.options().flat_map(names).collect();
        let (name, names) = (job.name, names.join(" "));
        format!("                '{name}') options='{names}' ;;\n")
    };
    JOBS.iter().map(case).collect()
}

fn operands() -> String {
    let mut cases = String::new();
    for job in &JOBS {
        let done = match kind(job.operand) {
            Kind::Torrent => "_storrent_torrents \"$current\"",
            Kind::Command => "_storrent_words 'NAMES' \"$current\"",
            Kind::File => continue,
            _ => "compopt +o default",
        };
        cases += &format!("        '{}') {done} ;;\n", job.name);
    }
    cases
}
