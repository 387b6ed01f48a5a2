//! Command lines and what becomes of them, one per line.

use super::*;
use crate::cli::args::options_of;
use crate::cli::split::{known, takes_value};
use crate::config::{Afterwards, Config, Strategy};
use crate::setting::Setting;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

/// Parses arguments that are separated by blanks; `''` is an empty one.
fn line(text: &str) -> Result<Command, NoCommand> {
    let words = text.split_whitespace();
    parse(words.map(|word| OsString::from(if word == "''" { "" } else { word })))
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
        ("", "mistake"),
        ("show", "mistake"),
        ("seed", "mistake"),
        ("check -d x", "mistake"),
        ("show a b", "mistake"),
        ("check a b", "mistake"),
        ("create a b", "mistake"),
        ("demo a", "mistake"),
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
        ("--version", "storrent 0.1.0\n"),
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
            Ok(Command::Demo) => assert_eq!(expected, "demo", "{text}"),
            Err(NoCommand::Print(help)) => assert!(help.starts_with(expected), "{text}: {help}"),
            Err(NoCommand::Mistake(why)) => assert_eq!(expected, "mistake", "{text}: {why}"),
        }
    }
}

#[test]
fn mistakes_say_what_is_wrong() {
    let cases = [
        ("--nonsense a", "`storrent` has no option --nonsense"),
        ("check --seed a", "`storrent check` has no option --seed"),
        ("a --dir", "--dir needs a value"),
        ("a -d", "--dir needs a value"),
        ("--json=1 a", "--json takes no value"),
        (
            "--port x a",
            "option '--port' with value 'x': a port is a number from 0 to 65535",
        ),
        (
            "-d x -d y a",
            "option '--dir' with value 'y': duplicate values provided",
        ),
        ("seed", "no TORRENT is given: see `storrent seed --help`"),
        ("", "no SOURCE is given: see `storrent --help`"),
        ("show a b", "b is one too many: see `storrent show --help`"),
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
    let parsed = parse([os(b"-d\xff"), os(b"a\xfe"), os(b"--tracker=http://t")]);
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
        let mistake = parse([os(wrong), os(b"a")]).unwrap_err();
        assert!(matches!(mistake, NoCommand::Mistake(_)), "{mistake:?}");
    }
    let comment = parse([os(b"create"), os(b"--comment=\xff"), os(b"a")]);
    assert!(matches!(comment, Err(NoCommand::Mistake(_))), "{comment:?}");
}

#[test]
fn a_name_takes_a_value_in_all_jobs_or_in_none() {
    let all = ["", "show", "check", "create", "demo"].map(|job| options_of(job).unwrap());
    for option in all.into_iter().flatten() {
        assert!(
            known().any(|o| o.long == option.long),
            "{} is never found",
            option.long
        );
        for other in known()
            .filter(|o| o.long == option.long || (o.short.is_some() && o.short == option.short))
        {
            assert_eq!(
                (other.long, takes_value(other)),
                (option.long, takes_value(option))
            );
        }
    }
}

/// What an error advises exists.
#[test]
fn every_setting_has_an_option() {
    use Setting::{Bind, Dir, Files, Overwrite, Port, Proxy, Seed, Tracker};
    let options = options_of("").unwrap();
    for setting in [Bind, Dir, Files, Overwrite, Port, Proxy, Seed, Tracker] {
        let name = setting.to_string();
        assert!(options.iter().any(|option| option.long == name), "{name}");
    }
}

#[test]
fn help_names_every_option() {
    let cases = [
        ("", help::MAIN),
        ("show", help::SHOW),
        ("check", help::CHECK),
        ("create", help::CREATE),
    ];
    for (job, text) in cases {
        for option in options_of(job).unwrap() {
            assert!(
                text.contains(option.long),
                "{job} --help lacks {}",
                option.long
            );
        }
        assert!(
            text.lines().all(|line| line.chars().count() <= 88),
            "{job}: too wide"
        );
    }
}
