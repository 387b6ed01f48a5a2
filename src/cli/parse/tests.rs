//! Command lines and what becomes of them, one per line.

use super::*;
use crate::cli::table::{Job, OPTIONS, Opt};
use crate::config::{Afterwards, Config, Strategy};
use crate::setting::Setting;
use argh::{ArgsInfo, FlagInfo, FlagInfoKind, Optionality};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

/// Parses arguments that are separated by blanks; `''` is an empty one.
fn line(text: &str) -> Result<Command, NoCommand> {
    let words = text.split_whitespace();
    let words = words.map(|word| OsString::from(if word == "''" { "" } else { word }));
    parse(words, |_| None)
}

fn download(text: &str) -> Download {
    match line(text) {
        Ok(Command::Download(options)) => options,
        other => panic!("{text}: {other:?}"),
    }
}

fn path(text: &str) -> Source {
    Source::Path(text.into())
}

#[test]
fn which_job() {
    let cases = [
        ("a.torrent", "download"),
        ("-", "download"),
        ("./show", "download"),
        ("-- show", "download"),
        ("a show", "download"),
        ("-d show a", "download"),
        ("--dir=show a", "download"),
        ("showx", "download"),
        ("show a", "show"),
        ("show show", "show"),
        ("show --wire a", "show"),
        ("--wire=a show", "show"),
        ("show -- -a", "show"),
        ("--json show a", "show"),
        ("-o x show a", "show"),
        ("check a", "check"),
        ("-d x check a", "check"),
        ("check a -dx --json -q", "check"),
        ("create a", "create"),
        ("create -t http://t -wftp a -whttp://x/", "mistake"),
        (
            "create --piece-length 16K --private --comment x a",
            "create",
        ),
        ("seed a b", "seed"),
        ("-v seed -p0 --seed-time 0.5 a", "seed"),
        (
            "seed --seed-ratio 1 --upload-limit 5K --stall-timeout 3 a",
            "seed",
        ),
        ("demo", "demo"),
        ("report a -o b", "report"),
        ("", "mistake"),
        ("show", "mistake"),
        ("seed", "mistake"),
        ("check -d x", "mistake"),
        ("show a b", "mistake"),
        ("show --wire", "mistake"),
        ("show --wire a b", "mistake"),
        ("show --wire a -q", "mistake"),
        ("show --wire a --wire b", "mistake"),
        ("--wire a b", "mistake"),
        ("check a b", "mistake"),
        ("create a b", "mistake"),
        ("demo a", "mistake"),
        ("report -o b", "mistake"),
        ("report a b", "mistake"),
        ("demo --json", "mistake"),
        ("show -d x a", "mistake"),
        ("-d x show a", "mistake"),
        ("check --seed a", "mistake"),
        ("seed --files 1 a", "mistake"),
        ("seed --overwrite a", "mistake"),
        ("--nonsense a", "mistake"),
        ("-x a", "mistake"),
        ("-vx a", "mistake"),
        ("-5 a", "mistake"),
        ("--json=yes a", "mistake"),
        ("--help=x", "mistake"),
        ("-V=x", "mistake"),
        ("a -d", "mistake"),
        ("a --dir", "mistake"),
        ("''", "mistake"),
        ("--dir= a", "mistake"),
        ("--dir x --dir y a", "mistake"),
        ("--port 1 -p 2 a", "mistake"),
        ("--port 65536 a", "mistake"),
        ("--peer 10.0.0.1 a", "mistake"),
        ("--tracker x a", "mistake"),
        ("--max-peers 0 a", "mistake"),
        ("--upload-limit fast a", "mistake"),
        ("--files 0 a", "mistake"),
        ("--files 1 a b", "mistake"),
        ("--encryption maybe a", "mistake"),
        ("--stall-timeout -1 a", "mistake"),
        ("- -", "mistake"),
        ("--help", "storrent: a"),
        ("-h", "storrent: a"),
        ("a -vh", "storrent: a"),
        ("show --help", "Usage: storrent show"),
        ("--help check", "Usage: storrent check"),
        ("create -h", "Usage: storrent create"),
        ("seed x -h", "Usage: storrent seed"),
        ("demo --help", "Usage: storrent demo"),
        ("help", "storrent: a"),
        ("help create", "Usage: storrent create"),
        ("help help", "Usage: storrent help"),
        ("-V help", "storrent 0.1.0\n"),
        ("help create a", "mistake"),
        ("help -d x", "mistake"),
        ("help x", "mistake"),
        ("--version", "storrent 0.1.0\n"),
        ("a -V", "storrent 0.1.0\n"),
        ("show --version", "storrent 0.1.0\n"),
        ("-- --help", "download"),
        ("-d --help a", "download"),
    ];
    for (text, expected) in cases {
        match line(text) {
            Ok(Command::Download(_)) => assert_eq!(expected, "download", "{text}"),
            Ok(Command::Seed(_)) => assert_eq!(expected, "seed", "{text}"),
            Ok(Command::Show(_)) => assert_eq!(expected, "show", "{text}"),
            Ok(Command::Check(_)) => assert_eq!(expected, "check", "{text}"),
            Ok(Command::Create(_)) => assert_eq!(expected, "create", "{text}"),
            Ok(Command::Demo(_)) => assert_eq!(expected, "demo", "{text}"),
            Ok(Command::Report(_)) => assert_eq!(expected, "report", "{text}"),
            Err(NoCommand::Print(help)) => assert!(help.starts_with(expected), "{text}: {help}"),
            Err(NoCommand::Mistake(why)) => assert_eq!(expected, "mistake", "{text}: {why}"),
        }
    }
}

#[test]
fn mistakes_say_what_is_wrong() {
    let cases = [
        (
            "--nonsense a",
            "`storrent` has no option --nonsense: see `storrent --help`",
        ),
        (
            "--sed a",
            "`storrent` has no option --sed: did you mean --seed? see `storrent --help`",
        ),
        (
            "-o x a",
            "`storrent` has no option -o: `storrent show`, `storrent create` and `storrent report` have it; \
             -d names the folder to save in",
        ),
        (
            "check --output x a",
            "`storrent check` has no option --output: `storrent show`, `storrent create` and `storrent report` have it; \
             -d names the folder to save in",
        ),
        (
            "seed --files 1 a",
            "`storrent seed` has no option --files: `storrent SOURCE` has it",
        ),
        (
            "check --seed a",
            "`storrent check` has no option --seed: `storrent SOURCE` and `storrent seed` have it",
        ),
        (
            "check --sed a",
            "`storrent check` has no option --sed: did you mean --seed? `storrent SOURCE` and `storrent seed` have it",
        ),
        ("a --dir", "--dir needs a value"),
        ("a -d", "-d needs a value"),
        (
            "a -p x",
            "option '-p' with value 'x': a port is a number from 0 to 65535",
        ),
        ("help shwo", "there is no command shwo: did you mean show?"),
        ("--json=1 a", "--json takes no value"),
        (
            "--port x a",
            "option '--port' with value 'x': a port is a number from 0 to 65535",
        ),
        (
            "-d x -d y a",
            "option '-d' with value 'y': duplicate values provided",
        ),
        ("seed", "no TORRENT is given: see `storrent seed --help`"),
        ("", "no SOURCE is given: see `storrent --help`"),
        (
            "--seed-time a.torrent",
            "no SOURCE is given, as a.torrent is the value of --seed-time: see `storrent --help`",
        ),
        (
            "--proxy u:secret@h:1",
            "no SOURCE is given, as …@h:1 is the value of --proxy: see `storrent --help`",
        ),
        ("show a b", "b is one too many: see `storrent show --help`"),
        ("show --json --wire a", "no other option goes with --wire"),
    ];
    for (text, why) in cases {
        assert_eq!(
            line(text).unwrap_err(),
            NoCommand::Mistake(why.to_string()),
            "{text}"
        );
    }
}

#[test]
fn every_form_of_an_option() {
    for text in [
        "-d x a",
        "-dx a",
        "--dir x a",
        "--dir=x a",
        "a -d x",
        "a --dir=x",
        "-vdx a",
    ] {
        let options = download(text);
        assert_eq!(
            (options.dir, options.sources),
            ("x".into(), vec![path("a")]),
            "{text}"
        );
    }
    assert_eq!(download("--dir=a=b x").dir, PathBuf::from("a=b"));
    assert_eq!(
        download("-d -vv x").dir,
        PathBuf::from("-vv"),
        "a value, whatever it looks like"
    );
    for (text, verbose) in [
        ("a", 0),
        ("-v a", 1),
        ("-vv a", 2),
        ("-v --verbose a", 2),
        ("-vqv a", 2),
    ] {
        assert_eq!(download(text).verbose, verbose, "{text}");
    }
    let dash = download("-v -- -d - --");
    assert_eq!(dash.sources, [path("-d"), Source::Stdin, path("--")]);
}

#[test]
fn defaults_are_those_of_the_page() {
    let config = download("a").config(false);
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
}

#[test]
fn options_reach_the_config() {
    let options = download(
        "-d out -p 0 --bind [::1] --peer 127.0.0.1:1 --peer [::1]:2 -t http://t/a -tudp://u:1 \
         --max-peers 9 --download-limit 1.5M --upload-limit 500 --sequential --stall-timeout 2.5 \
         --overwrite --no-dht --no-pex --no-lsd --no-webseeds --dht-node r:1 --encryption off a \
         --seed-ratio 2 --seed-time 0.5 --json -q",
    );
    let config = options.config(false);
    assert_eq!((config.dir.to_str(), config.port), (Some("out"), Some(0)));
    assert_eq!(config.door.bind, Some("::1".parse().unwrap()));
    assert_eq!((config.download_limit, config.upload_limit), (3 << 19, 500));
    assert_eq!(config.rules.strategy, Strategy::Sequential);
    assert!(config.overwrite && config.max_peers == 9);
    assert_eq!(config.stall_timeout, Some(Duration::from_millis(2500)));
    let (ratio, time) = (Some(2.0), Some(Duration::from_secs(30)));
    assert_eq!(config.afterwards, Afterwards::Seed { ratio, time });
    assert_eq!(options.peer, ["127.0.0.1:1", "[::1]:2"]);
    assert_eq!(options.tracker, ["http://t/a", "udp://u:1"]);
    assert!(options.json && options.quiet && options.no_dht && options.dht_node == ["r:1"]);

    let forever = Afterwards::Seed {
        ratio: None,
        time: None,
    };
    assert_eq!(download("--seed a").config(false).afterwards, forever);
    let Ok(Command::Seed(seed)) = line("seed --stall-timeout 5 a") else {
        panic!("no seed")
    };
    let config = seed.config(true);
    assert!(config.seed_only && config.stall_timeout.is_none() && config.afterwards == forever);
}

#[test]
fn paths_that_are_no_text() {
    let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let parsed = parse(
        [os(b"-d\xff"), os(b"a\xfe"), os(b"--tracker=http://t")],
        |_| None,
    );
    let Ok(Command::Download(options)) = parsed else {
        panic!("{parsed:?}")
    };
    assert_eq!(options.dir.as_os_str().as_bytes(), b"\xff");
    let Source::Path(path) = &options.sources[0] else {
        panic!("{:?}", options.sources)
    };
    assert_eq!(path.as_os_str().as_bytes(), b"a\xfe");
    for wrong in [
        b"--\xff".as_slice(),
        b"-\xff",
        b"--peer=\xff:1",
        b"--port=\xff",
    ] {
        let mistake = parse([os(wrong), os(b"a")], |_| None).unwrap_err();
        assert!(matches!(mistake, NoCommand::Mistake(_)), "{mistake:?}");
    }
    let comment = parse([os(b"create"), os(b"--comment=\xff"), os(b"a")], |_| None);
    assert!(matches!(comment, Err(NoCommand::Mistake(_))), "{comment:?}");
}

/// What argh reads for a job, apart from what every job has.
fn read_by_argh(job: &Job) -> &'static [FlagInfo<'static>] {
    let info = match job.name {
        "" | "seed" => Download::get_args_info(),
        "show" => Show::get_args_info(),
        "check" => Check::get_args_info(),
        "create" => Create::get_args_info(),
        "demo" => Demo::get_args_info(),
        "report" => Report::get_args_info(),
        "help" => return &[],
        name => panic!("who reads the options of {name}?"),
    };
    info.flags
}

#[test]
fn the_table_is_what_argh_reads() {
    const WITHOUT_ARGH: [&str; 4] = ["--help", "--version", "--man", "--completions"];
    let told = |option: &Opt| {
        let takes_value = option.value().is_some();
        // argh does not know whether a switch counts.
        let repeats = takes_value && option.repeats();
        (option.long(), option.short(), takes_value, repeats)
    };
    let read = |flag: &FlagInfo<'static>| {
        let takes_value = matches!(flag.kind, FlagInfoKind::Option { .. });
        let repeats = matches!(flag.optionality, Optionality::Repeating);
        (flag.long, flag.short, takes_value, repeats)
    };
    for job in &JOBS {
        let own = job
            .options()
            .filter(|option| !WITHOUT_ARGH.contains(&option.long()));
        let told: Vec<_> = own.map(told).collect();
        let read = read_by_argh(job).iter().map(read);
        let read: Vec<_> = read
            .filter(|(long, ..)| !WITHOUT_ARGH.contains(long))
            .collect();
        for option in &told {
            assert!(
                read.contains(option),
                "{}: {option:?} is not read: {read:?}",
                job.name
            );
            let same = told.iter().filter(|other| other == &option);
            assert_eq!(same.count(), 1, "{}: {option:?}", job.name);
        }
        // A seed has only the options of a download that are of use to it.
        for option in read.iter().filter(|_| job.name != "seed") {
            assert!(
                told.contains(option),
                "{}: the table lacks {option:?}",
                job.name
            );
        }
    }
}

/// Else nobody could find the job without knowing it already.
#[test]
fn a_name_takes_a_value_in_all_jobs_or_in_none() {
    for a in OPTIONS {
        for b in OPTIONS {
            let same_letter = a.short().is_some() && a.short() == b.short();
            if a.long() == b.long() || same_letter {
                assert_eq!(
                    (a.long(), a.short(), a.value()),
                    (b.long(), b.short(), b.value())
                );
            }
        }
    }
}

#[test]
fn every_setting_has_an_option() {
    use Setting::{Bind, Dir, Files, Overwrite, Port, Proxy, Seed, Tracker};
    for setting in [Bind, Dir, Files, Overwrite, Port, Proxy, Seed, Tracker] {
        let name = setting.to_string();
        assert!(
            JOBS[0].options().any(|option| option.long() == name),
            "{name}"
        );
    }
}

#[test]
fn help_names_everything_in_80_columns() {
    for job in &JOBS {
        let help = help::of(job);
        for option in job.options() {
            let form = option.form.trim_end_matches("...");
            let is_named = |line: &&str| {
                let rest = line.trim_start().strip_prefix(form);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("  "))
            };
            let named = help.lines().filter(is_named);
            assert_eq!(named.count(), 1, "{form} in:\n{help}");
            let variable = option.variable();
            assert!(
                variable.is_none_or(|name| help.contains(&name)),
                "{form} in:\n{help}"
            );
        }
        let wide: Vec<_> = help
            .lines()
            .filter(|line| line.chars().count() > 80)
            .collect();
        assert!(wide.is_empty(), "{wide:#?}");
        assert!(!job.name.is_empty() || JOBS.iter().all(|job| help.contains(job.summary)));
    }
}

/// The shells' own tests see the offers; this one sees that none is left out.
#[test]
fn completions_and_the_man_page_name_everything() {
    let printed = |text: &str| match line(text) {
        Err(NoCommand::Print(printed)) => printed,
        other => panic!("{text}: {other:?}"),
    };
    let man = printed("--man").replace("\\-", "-");
    let scripts = ["bash", "zsh", "fish"].map(|shell| printed(&format!("--completions {shell}")));
    for job in &JOBS {
        assert!(man.contains(&help::usage(job)), "{}", job.name);
        for script in &scripts {
            assert!(script.contains(job.name), "{} in:\n{script}", job.name);
        }
    }
    for option in OPTIONS {
        let long = option.long();
        let [bash, zsh, fish] = &scripts;
        assert!(
            man.contains(long) && bash.contains(long) && zsh.contains(long),
            "{long}"
        );
        assert!(fish.contains(&format!(" -l {} ", &long[2..])), "{long}");
        let words = option.value().filter(|value| value.contains('|'));
        for word in words.iter().flat_map(|words| words.split('|')) {
            assert!(
                scripts.iter().all(|script| script.contains(word)),
                "{long} {word}"
            );
        }
    }
    assert!(line("--completions ksh").is_err_and(|why| matches!(why, NoCommand::Mistake(_))));
    assert!(line("show --man").is_err_and(|why| matches!(why, NoCommand::Mistake(_))));
}

#[test]
fn the_environment_sets_defaults() {
    let set = |text: &str, variables: &'static [(&str, &str)]| {
        let value = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| OsString::from(value))
        };
        parse(text.split_whitespace().map(OsString::from), value)
    };
    let all = &[
        ("STORRENT_DIR", "out"),
        ("STORRENT_PORT", "7"),
        ("STORRENT_BIND", "::1"),
        ("STORRENT_PROXY", "socks5://u:secret@h:1"),
        ("STORRENT_MAX_PEERS", "9"),
    ];
    let Ok(Command::Download(options)) = set("a -p8", all) else {
        panic!("no download")
    };
    assert_eq!((options.dir, options.port), (PathBuf::from("out"), Some(8)));
    assert_eq!(
        (options.bind, options.max_peers),
        (Some("::1".parse().unwrap()), 9)
    );
    assert!(options.proxy.is_some());
    assert!(
        matches!(set("check a", all), Ok(Command::Check(check)) if check.dir.as_os_str() == "out")
    );
    assert!(
        matches!(set("create a", all), Ok(Command::Create(_))),
        "it has none of them"
    );
    assert!(matches!(
        set("a", &[("STORRENT_PORT", "")]),
        Ok(Command::Download(_))
    ));
    assert!(matches!(
        set("a -p0", &[("STORRENT_PORT", "x")]),
        Ok(Command::Download(_))
    ));
    let Err(NoCommand::Mistake(why)) = set("a", &[("STORRENT_PORT", "x")]) else {
        panic!("no mistake")
    };
    let named = "'STORRENT_PORT' with value 'x': a port is a number from 0 to 65535";
    assert_eq!(why, named);
    let Err(NoCommand::Mistake(why)) = set("a", &[("STORRENT_PROXY", "ftp://u:secret@h:1")]) else {
        panic!("no mistake")
    };
    assert!(
        why.starts_with("'STORRENT_PROXY'") && !why.contains("secret"),
        "{why}"
    );
}
