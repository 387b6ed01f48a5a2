//! Every command and every option of the command line, each in one entry.
//!
//! [`help`](super::help), the [`completions`](super::completions) and the [`man`](super::man) page
//! are made from here, and [`split`](super::split) learns here which option takes a value, and
//! which command has it. The crate argh reads the values into the structs of [`args`](super::args);
//! a test compares the two. So a new option is one entry here and one field there.

use Section::{Complete, Create, Fetch, Network, NoEffect, Print};

/// A command, or the plain form `storrent SOURCE...`, whose name is empty.
#[derive(Debug)]
pub struct Job {
    /// What the user types.
    pub name: &'static str,
    /// Its operands. `...`: one or more; `[]`: none or one.
    pub operand: &'static str,
    /// What it does, for the list of commands.
    pub summary: &'static str,
    /// The same in sentences, with code in backquotes.
    pub about: &'static str,
    /// Command lines, without `storrent`.
    pub examples: &'static [&'static str],
}

/// The plain form, then the commands in the order of `--help`.
pub static JOBS: [Job; 8] = [
    Job {
        name: "",
        operand: "SOURCE...",
        summary: "download",
        about: "SOURCE is the path of a .torrent file, - (a .torrent on standard input), the \
                http(s):// URL of one, a magnet: link (in quotes), or a bare info hash. Several \
                are downloaded at the same time; storrent leaves when the last is complete. The \
                same command run again resumes.",
        examples: &[
            "debian.torrent",
            "'magnet:?xt=urn:btih:...'",
            "-d ~/Videos -f 1,3-5 --sequential https://example.org/series.torrent",
            "--seed-ratio 2 --upload-limit 500K *.torrent",
        ],
    },
    Job {
        name: "show",
        operand: "SOURCE",
        summary: "print what a torrent holds",
        about: "Prints what a torrent holds: its name, info hash, magnet link, sizes, trackers, \
                and its files with the numbers that `storrent -f` takes. All of \
                this is fetched first, if SOURCE is a magnet link. With --wire instead of a \
                SOURCE, it explains a recorded conversation of two peers.",
        examples: &[
            "debian.torrent",
            "--json - < debian.torrent",
            "-o film.torrent 'magnet:?xt=urn:btih:...'",
            "--wire fixtures/traces/aria2.wire",
        ],
    },
    Job {
        name: "check",
        operand: "TORRENT",
        summary: "hash what is on disk against the torrent",
        about: "Hashes what is on disk against the torrent and says which files are whole. The \
                exit status is 0 only if all are, else 1. Nothing on disk is changed.",
        examples: &["-d ~/Downloads debian.torrent"],
    },
    Job {
        name: "create",
        operand: "PATH",
        summary: "make a .torrent of a file or folder",
        about: "Makes a .torrent of a file or folder and prints its info hash and magnet link. \
                The same input gives the same info hash. Symlinks and empty folders are left out.",
        examples: &["-t udp://tracker.example.org:6969 --comment 'Our trip' photos"],
    },
    Job {
        name: "seed",
        operand: "TORRENT...",
        summary: "check the data and serve it",
        about: "Checks the data and serves it, until interrupted or until a goal is reached. \
                Data that is not complete is an error: to complete it, download it.",
        examples: &["-d ~/Downloads --seed-time 120 debian.torrent"],
    },
    Job {
        name: "demo",
        operand: "",
        summary: "show a whole swarm on this machine, with no network",
        about: "Shows a whole swarm on this machine, with no network: a tracker, several seeds \
                and leeches, a real download with its progress, and what happened in words. It \
                cleans up after itself.",
        examples: &[""],
    },
    Job {
        name: "report",
        operand: "TRACE",
        summary: "draw a swarm, out of the trace of a run",
        about: "Draws a swarm: which piece came when and from whom, whether it was the rarest, who \
                gave how much and who might take. TRACE is the FILE of a run with `--trace FILE`. \
                The page is one HTML file and loads nothing: open it in a browser.",
        examples: &["run.jsonl -o swarm.html"],
    },
    Job {
        name: "help",
        operand: "[COMMAND]",
        summary: "print the help of a command",
        about: "Prints the help of a command, or without one that of a download.",
        examples: &["create"],
    },
];

/// Where the help lists an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The files.
    Fetch,
    /// The torrent that `create` makes.
    Create,
    /// What follows a download.
    Complete,
    /// How others are found and reached.
    Network,
    /// What the user sees.
    Print,
    /// Taken for scripts that give all commands the same options.
    NoEffect,
}

/// The sections in the order of the help, with their titles.
pub const SECTIONS: [(Section, &str); 6] = [
    (Fetch, "Which files, and where"),
    (Create, "What goes into the torrent"),
    (Complete, "What to do when complete"),
    (Network, "Peers and the network"),
    (Print, "What to print"),
    (NoEffect, "Taken as for a download, without effect"),
];

/// One option of some commands. A command that describes it in other words has another entry.
#[derive(Debug)]
pub struct Opt {
    /// All ways to write it, as `-d, --dir DIR`. `...`: it may be given several times.
    pub form: &'static str,
    /// The names of the commands that have it.
    pub jobs: &'static [&'static str],
    /// Where the help lists it.
    pub section: Section,
    /// What it does, with its default in brackets.
    pub text: &'static str,
}

const fn opt(
    form: &'static str,
    jobs: &'static [&'static str],
    section: Section,
    text: &'static str,
) -> Opt {
    Opt {
        form,
        jobs,
        section,
        text,
    }
}

const DEMO: &[&str] = &["demo"];
const PLAIN: &[&str] = &[""];
const RUN: &[&str] = &["", "seed"];
const FIND: &[&str] = &["", "seed", "show"];
const CONNECT: &[&str] = &["", "seed", "show", "check"];
const QUIET: &[&str] = &["", "seed", "show", "check", "create"];
const ALL: &[&str] = &[
    "", "seed", "show", "check", "create", "demo", "report", "help",
];

/// The options, in the order of the help.
#[rustfmt::skip]
pub static OPTIONS: &[Opt] = &[
    opt("-d, --dir DIR", PLAIN, Fetch, "the folder to save in; made if missing [.]"),
    opt("-d, --dir DIR", &["seed", "check"], Fetch, "the folder that it was saved in [.]"),
    opt("-f, --files LIST", PLAIN, Fetch, "only these files, by the numbers that `storrent show` prints, as 1,3-5 (one SOURCE only) [all]"),
    opt("--sequential", PLAIN, Fetch, "file by file, ends first, to watch meanwhile"),
    opt("--overwrite", PLAIN, Fetch, "replace files of the same name that are not this torrent's"),
    opt("--stall-timeout SECONDS", PLAIN, Fetch, "give up after SECONDS without any data; 0: never [0]"),

    opt("-o, --output FILE", &["create"], Create, "where to save it; never overwrites [NAME.torrent]"),
    opt("-t, --tracker URL...", &["create"], Create, "a tracker, each in a tier of its own"),
    opt("-w, --webseed URL...", &["create"], Create, "a web seed"),
    opt("--piece-length SIZE", &["create"], Create, "a power of two from 16K to 64M [by the size]"),
    opt("--private", &["create"], Create, "peers from its trackers only: no DHT, PEX or LSD"),
    opt("--comment TEXT", &["create"], Create, "a comment"),

    opt("--seed", PLAIN, Complete, "stay and seed, until interrupted"),
    opt("--seed-ratio R", RUN, Complete, "seed until R times the wanted size is uploaded"),
    opt("--seed-time MINUTES", RUN, Complete, "seed for MINUTES (with both: until either is reached)"),
    opt("--on-complete CMD", PLAIN, Complete, "run CMD by sh for each torrent that completes, with STORRENT_NAME, STORRENT_PATH and STORRENT_INFO_HASH in its environment"),

    opt("--peer HOST:PORT...", FIND, Network, "also connect to this peer"),
    opt("-t, --tracker URL...", FIND, Network, "also announce to this tracker"),
    opt("-p, --port PORT", RUN, Network, "the port to accept peers on; 0: any free one [the first free one of 6881 to 6889, else any]"),
    opt("--bind ADDR", CONNECT, Network, "the local address for all sockets (a VPN's, say)"),
    opt("--proxy URL", CONNECT, Network, "all goes through this proxy, and nothing around it: socks5://[USER:PASSWORD@]HOST:PORT, or http://"),
    opt("--max-peers N", RUN, Network, "connections per torrent at most [50]"),
    opt("--download-limit RATE", PLAIN, Network, "bytes a second in, for the whole process, as 500K or 1.5M; 0: no limit [0]"),
    opt("--upload-limit RATE", RUN, Network, "bytes a second out, for the whole process; 0: no limit [0]"),
    opt("--encryption off|prefer|require", RUN, Network, "obfuscated connections [prefer]"),
    opt("--dht-node HOST:PORT...", FIND, Network, "a node to enter the DHT by, instead of the public ones"),
    opt("--no-dht", FIND, Network, "ask no DHT"),
    opt("--no-pex", FIND, Network, "hear of no peers from other peers"),
    opt("--no-lsd", FIND, Network, "look for no peers on the local network"),
    opt("--no-webseeds", PLAIN, Network, "fetch nothing from web servers"),
    opt("--stall-timeout SECONDS", &["show"], Network, "give up after SECONDS without metadata; 0: never [0]"),

    opt("-o, --output FILE", &["show"], Print, "also save it as a .torrent; never overwrites"),
    opt("--wire FILE", &["show"], Print, "every message of a conversation; FILE has lines of < (came) or > (went) and hex, # a comment. No SOURCE and no other option goes with it"),
    opt("-o, --output FILE", &["report"], Print, "where to save the page, as swarm.html; an existing FILE is replaced"),
    opt("--json", RUN, Print, "one JSON object a line on stdout, no progress display"),
    opt("--json", &["show", "check"], Print, "one JSON object instead"),
    opt("--color auto|always|never", RUN, Print, "colours; auto: on a terminal, unless NO_COLOR is set, or where CLICOLOR_FORCE is [auto]"),
    opt("-q, --quiet", QUIET, Print, "errors only"),
    opt("-v, --verbose...", RUN, Print, "tell on stderr each peer's life in sentences; -vv: every fact"),
    opt("--trace FILE", RUN, Print, "write every fact as a line of JSON; FILE is replaced"),
    opt("--scene NAME", DEMO, Print, "one lesson; `--scene help` lists them [swarm]"),
    opt("--report FILE.html", DEMO, Print, "a picture of the swarm, one HTML file; FILE is replaced"),
    opt("--trace FILE", DEMO, Print, "every fact of the swarm as JSON lines; FILE is replaced"),
    opt("--completions bash|zsh|fish", PLAIN, Print, "print a script that completes command lines in this shell"),
    opt("--man", PLAIN, Print, "print the man page, as roff"),
    opt("-h, --help", ALL, Print, "this text"),
    opt("-V, --version", ALL, Print, "the version"),

    opt("--sequential", &["seed"], NoEffect, "nothing is fetched"),
    opt("--stall-timeout SECONDS", &["seed"], NoEffect, "nothing is waited for"),
    opt("--download-limit RATE", &["seed"], NoEffect, "nothing is fetched"),
    opt("--seed", &["seed"], NoEffect, "it seeds anyway"),
    opt("--no-webseeds", &["seed"], NoEffect, "nothing is fetched"),
    opt("--no-webseeds", &["show"], NoEffect, "web servers have no metadata"),
];

/// The kind of a value or an operand.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// Any file.
    File,
    /// Most likely a `.torrent`.
    Torrent,
    /// The name of a command.
    Command,
    /// One of these words.
    Word(Vec<&'static str>),
    /// Nothing that a shell can guess.
    Other,
}

/// The kind of a value, by its name.
pub fn kind(name: &'static str) -> Kind {
    match name.trim_matches(['[', ']', '.']) {
        "DIR" => Kind::Folder,
        "FILE" | "FILE.html" | "PATH" | "TRACE" => Kind::File,
        "SOURCE" | "TORRENT" => Kind::Torrent,
        "COMMAND" => Kind::Command,
        "NAME" => Kind::Word(super::demo::names().collect()),
        words if words.contains('|') => Kind::Word(words.split('|').collect()),
        _ => Kind::Other,
    }
}

impl Opt {
    /// The long name, as `--dir`.
    pub fn long(&self) -> &'static str {
        let names = self.form.trim_end_matches("...");
        let long = names.split(' ').find(|word| word.starts_with("--"));
        long.unwrap_or(names)
    }

    /// The letter of the short name.
    pub fn short(&self) -> Option<char> {
        let letter = self.form.strip_prefix('-')?.chars().next();
        letter.filter(|letter| *letter != '-')
    }

    /// The name of its value. `None`: it takes none.
    pub fn value(&self) -> Option<&'static str> {
        let (_, last) = self.form.trim_end_matches("...").rsplit_once(' ')?;
        (!last.starts_with('-')).then_some(last)
    }

    /// Whether it may be given several times.
    pub fn repeats(&self) -> bool {
        self.form.ends_with("...")
    }

    /// Whether `job` has it.
    pub fn is_of(&self, job: &str) -> bool {
        self.jobs.contains(&job)
    }

    /// The environment variable that sets its default, if there is one.
    pub fn variable(&self) -> Option<String> {
        const WITH_VARIABLE: [&str; 5] = ["--dir", "--port", "--bind", "--proxy", "--max-peers"];
        let long = self.long();
        let name = || long[2..].replace('-', "_").to_ascii_uppercase();
        let has = WITH_VARIABLE.contains(&long);
        has.then(|| format!("STORRENT_{}", name()))
    }
}

impl Job {
    /// How to call it: `storrent show`.
    pub fn call(&self) -> String {
        format!("storrent {}", self.name).trim_end().to_string()
    }

    /// Lists its options.
    pub fn options(&self) -> impl Iterator<Item = &'static Opt> + use<> {
        let name = self.name;
        OPTIONS.iter().filter(move |option| option.is_of(name))
    }

    /// The fewest and the most operands.
    pub fn operands(&self) -> (usize, usize) {
        match self.operand {
            "" => (0, 0),
            one if one.starts_with('[') => (0, 1),
            many if many.ends_with("...") => (1, usize::MAX),
            _ => (1, 1),
        }
    }
}

/// The command of this name, or the plain form if it is empty.
pub fn job(name: &str) -> Option<&'static Job> {
    JOBS.iter().find(|job| job.name == name)
}
