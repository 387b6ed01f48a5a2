//! The script for zsh: `_storrent` in a folder of `fpath`, or read with `source`.
//!
//! zsh's own `_arguments` does the work. The script first takes the command out of the words.

use super::{commands, names, quoted, text, with_value};
use crate::cli::table::{JOBS, Job, Kind, Opt, kind};

pub(super) fn script() -> String {
    let names: Vec<_> = commands().map(|job| job.name).collect();
    let described: String = commands()
        .map(|job| {
            format!(
                "        {}\n",
                quoted(&format!("{}:{}", job.name, job.summary))
            )
        })
        .collect();
    SCRIPT
        .replace("WITH_VALUE", &with_value().join("|"))
        .replace("COMMANDS", &names.join("|"))
        .replace("DESCRIBED\n", &described)
        .replace(
            "ARGUMENTS\n",
            &JOBS.iter().map(arguments).collect::<String>(),
        )
}

const SCRIPT: &str = r#"#compdef storrent
# Completes storrent in zsh. Made by `storrent --completions zsh`.
_storrent() {
    local job='' ended=''
    integer i=2
    while (( i < CURRENT )); do
        case ${words[i]} in
            (--) ended=1; break ;;
            (WITH_VALUE) (( i++ )) ;;
            (-*) ;;
            (COMMANDS)
                job=${words[i]}
                words[i]=()
                (( CURRENT-- ))
                break
                ;;
            (*) break ;;
        esac
        (( i++ ))
    done
    case $job in
ARGUMENTS
    esac
}

_storrent_commands() {
    local -a commands=(
DESCRIBED
    )
    _describe command commands
}

# Offers torrents, and the folders where more may be; if there are none, all files.
_storrent_torrents() {
    _files -g '*.torrent'
}

_storrent_first() {
    [[ $ended ]] || _storrent_commands
    _storrent_torrents
}

if [[ $funcstack[1] == _storrent ]]; then
    _storrent "$@"
else
    compdef _storrent storrent
fi
"#;

/// What `_arguments` has to know of a job.
fn arguments(job: &Job) -> String {
    let options = job.options().flat_map(specs);
    let operands = match kind(job.operand) {
        Kind::Torrent if job.name.is_empty() => {
            vec!["1: :_storrent_first", "*: :_storrent_torrents"]
        }
        Kind::Torrent if job.operands().1 > 1 => vec!["*: :_storrent_torrents"],
        Kind::Torrent => vec!["1: :_storrent_torrents"],
        Kind::Command => vec!["1: :_storrent_commands"],
        Kind::File => vec!["1: :_files"],
        _ => Vec::new(),
    };
    let specs = options.chain(operands.into_iter().map(String::from));
    let lines: String = specs
        .map(|spec| format!(" \\\n                {}", quoted(&spec)))
        .collect();
    format!(
        "        ('{}')\n            _arguments -s -S :{lines}\n            ;;\n",
        job.name
    )
}

/// An option as `_arguments` writes it: once for each of its names.
fn specs(option: &'static Opt) -> Vec<String> {
    let all = names(option);
    let others = match (option.long(), option.repeats()) {
        ("--help" | "--version" | "--man" | "--completions", _) => "(- *)".to_string(),
        (_, true) => "*".to_string(),
        _ => format!("({})", all.join(" ")),
    };
    let text = escaped(&text(option));
    let value = option.value().map_or(String::new(), |value| {
        let offered = match kind(value) {
            Kind::Folder => "_files -/".to_string(),
            Kind::Word(words) => format!("({})", words.join(" ")),
            Kind::Other => " ".to_string(),
            _ => "_files".to_string(),
        };
        let value = escaped(value);
        format!(":{value}:{offered}")
    });
    let spec = |name: String| {
        let glue = match option.value() {
            None => "",
            Some(_) if name.starts_with("--") => "=",
            Some(_) => "+",
        };
        format!("{others}{name}{glue}[{text}]{value}")
    };
    all.into_iter().map(spec).collect()
}

/// Escapes what means something to `_arguments`.
fn escaped(text: &str) -> String {
    let escape = |c: char| match c {
        '[' | ']' | ':' | '\\' => format!("\\{c}"),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}
