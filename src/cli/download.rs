//! The plain form and `storrent seed`: reads all SOURCEs, then hands them to the engine.

use super::args::Download;
use super::signals::Interrupts;
use super::{Failure, source};
use crate::config::Job;
use crate::engine::{self, Ending};
use crate::human::chain;
use crate::metainfo::Metainfo;
use crate::progress::{Display, Style};
use crate::report::{Report, Reporter};
use crate::storage::Plan;
use crate::types::InfoHash;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Runs a download, or with `seed_only` the seeding of what is there, and returns the
/// exit status.
///
/// # Errors
/// [`Failure::Usage`], if `--files` names a file that there is not. All else that
/// fails is told by the way, and the others go on.
pub fn run(options: &Download, seed_only: bool, interrupts: &Interrupts) -> Result<u8, Failure> {
    let mut display = Display::new(Style {
        json: options.json,
        quiet: options.quiet,
        verbose: options.verbose,
    });
    if !options.dht_node.is_empty() {
        display.report(Report::Warning {
            info_hash: None,
            message: "the DHT is not supported yet: --dht-node has no effect".to_string(),
        });
    }
    let (jobs, failed) = jobs(options, &mut display)?;
    if jobs.is_empty() {
        return Ok(1);
    }
    let signals = interrupts.take_over();
    let mut ending = engine::run(options.config(seed_only), jobs, &mut display, signals);
    ending.failed |= failed;
    display.end();
    Ok(status(&ending))
}

/// The exit status: an interruption goes before a failure, that before a stall.
fn status(ending: &Ending) -> u8 {
    match ending {
        Ending {
            interrupted: Some(signal),
            ..
        } => u8::try_from(128 + signal).unwrap_or(1),
        Ending { failed: true, .. } => 1,
        Ending { stalled: true, .. } => 3,
        _ => 0,
    }
}

/// Makes a job of each SOURCE that can be used; also whether one can't be.
fn jobs(options: &Download, reporter: &mut dyn Reporter) -> Result<(Vec<Job>, bool), Failure> {
    let mut jobs = Vec::new();
    let mut failed = false;
    let mut seen = HashSet::new();
    let mut claims = Claims::default();
    for source in &options.sources {
        let metainfo = match source::read(source, options.bind) {
            Ok(torrent) => torrent.metainfo,
            Err(error) => {
                failed = true;
                reporter.report(Report::Error {
                    info_hash: None,
                    source: Some(source.to_string()),
                    message: chain(&error),
                });
                continue;
            }
        };
        let wanted = options
            .files
            .as_ref()
            .map(|list| source::wanted(list, &metainfo));
        let wanted = wanted.transpose().map_err(Failure::Usage)?;
        let info_hash = Some(metainfo.info_hash);
        if !seen.insert(metainfo.info_hash) {
            let message = format!("{source} is the same torrent as one before it: once is enough");
            reporter.report(Report::Detail { level: 1, message });
            continue;
        }
        let refused = match options.tracker.first() {
            Some(url) if metainfo.private => Some(format!(
                "{} is a private torrent, which is announced to its own trackers only, not to {url}; \
                 leave --tracker away",
                metainfo.name
            )),
            _ => claims.claim(&options.dir, &metainfo).map(|(path, other)| {
                format!(
                    "{source} would write to {}, as {other} does; give it another --dir, in a run of its own",
                    path.display()
                )
            }),
        };
        if let Some(message) = refused {
            failed = true;
            reporter.report(Report::Error {
                info_hash,
                source: Some(source.to_string()),
                message,
            });
            continue;
        }
        for message in &metainfo.warnings {
            let message = format!("{}: {message}", metainfo.name);
            reporter.report(Report::Warning { info_hash, message });
        }
        jobs.push(Job {
            metainfo,
            wanted,
            peers: options.peer.clone(),
            trackers: options.tracker.clone(),
        });
    }
    Ok((jobs, failed))
}

/// Which torrent writes where.
#[derive(Default)]
struct Claims {
    /// Files, the small one beside an incomplete torrent included.
    files: HashMap<PathBuf, InfoHash>,
    /// Folders on the way to them, in which others may be, too.
    folders: HashMap<PathBuf, InfoHash>,
}

impl Claims {
    /// Claims the paths of a torrent, unless one is taken: then it is returned, with the
    /// torrent that has it, and nothing is claimed.
    fn claim(&mut self, dir: &Path, metainfo: &Metainfo) -> Option<(PathBuf, InfoHash)> {
        let wanted = vec![true; metainfo.files.len()];
        let plan = Plan::new(dir, metainfo.into(), &wanted);
        let paths: Vec<PathBuf> = plan
            .wanted_files()
            .map(|file| plan.path(file))
            .chain([plan.record_path()])
            .collect();
        let above = |path: &PathBuf| {
            let folders = path.ancestors().skip(1).map(Path::to_owned);
            folders
                .take_while(|folder| folder != dir)
                .collect::<Vec<_>>()
        };
        for path in &paths {
            let file = self.files.get(path).or_else(|| self.folders.get(path));
            if let Some(other) = file {
                return Some((path.clone(), *other));
            }
            for folder in above(path) {
                if let Some(other) = self.files.get(&folder) {
                    return Some((folder, *other));
                }
            }
        }
        for path in paths {
            let folders = above(&path).into_iter();
            self.folders
                .extend(folders.map(|folder| (folder, metainfo.info_hash)));
            self.files.insert(path, metainfo.info_hash);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Command, parse};
    use std::fs;

    struct Log(Vec<Report>);

    impl Reporter for Log {
        fn report(&mut self, report: Report) {
            self.0.push(report);
        }
    }

    /// A torrent of empty files: `name` itself, or files in the folder `name`.
    fn torrent(name: &str, files: &[&str], private: bool) -> Vec<u8> {
        let string = |text: &str| format!("{}:{text}", text.len());
        let content = match files {
            [] => "6:lengthi0e".to_string(),
            _ => {
                let file = |path: &&str| {
                    let names: String = path.split('/').map(string).collect();
                    format!("d6:lengthi0e4:pathl{names}ee")
                };
                format!("5:filesl{}e", files.iter().map(file).collect::<String>())
            }
        };
        let private = if private { "7:privatei1e" } else { "" };
        let name = string(name);
        format!("d4:infod{content}4:name{name}12:piece lengthi16384e6:pieces0:{private}ee")
            .into_bytes()
    }

    #[test]
    fn what_becomes_of_the_sources() {
        let dir = tempfile::tempdir().unwrap();
        let torrents = [
            ("one", torrent("one", &[], false)),
            ("same", torrent("one", &[], false)),
            ("rival", torrent("one", &["x"], false)), // a folder where `one` is a file
            ("tree", torrent("tree", &["a/b", "c"], false)),
            ("twig", torrent("tree", &["d"], false)), // other files, but the same record
            ("record", torrent("tree.storrent", &[], false)),
            ("secret", torrent("secret", &[], true)),
            ("odd", torrent("a/b", &[], false)),
        ];
        for (name, bytes) in torrents {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        let cases = [
            ("one tree secret", vec!["one", "tree", "secret"], vec![]),
            ("one same", vec!["one"], vec![]),
            (
                "one missing tree",
                vec!["one", "tree"],
                vec!["no such file"],
            ),
            ("one rival", vec!["one"], vec!["/one, as "]),
            ("rival one", vec!["one"], vec!["/one, as "]),
            ("tree twig", vec!["tree"], vec!["/tree.storrent, as "]),
            ("tree record", vec!["tree"], vec!["/tree.storrent, as "]),
            (
                "-thttp://t one secret",
                vec!["one"],
                vec!["private torrent"],
            ),
            ("missing gone", vec![], vec!["no such file", "no such file"]),
            ("magnet:?xt=x one", vec!["one"], vec!["not supported yet"]),
        ];
        for (line, names, errors) in cases {
            let place = |word: &str| match word.starts_with('-') || word.contains(':') {
                true => word.into(),
                false => dir.path().join(word).into_os_string(),
            };
            let Ok(Command::Download(options)) = parse(line.split(' ').map(place)) else {
                panic!("{line}")
            };
            let mut log = Log(Vec::new());
            let (jobs, failed) = jobs(&options, &mut log).unwrap();
            let found: Vec<_> = jobs.iter().map(|job| &*job.metainfo.name).collect();
            assert_eq!((found, failed), (names, !errors.is_empty()), "{line}");
            let told: Vec<_> = log
                .0
                .iter()
                .filter_map(|report| match report {
                    Report::Error {
                        message, source, ..
                    } => Some((message, source.is_some())),
                    _ => None,
                })
                .collect();
            assert_eq!(told.len(), errors.len(), "{line}: {told:?}");
            for ((message, named), error) in told.iter().zip(errors) {
                assert!(message.contains(error) && *named, "{line}: {message}");
            }
        }

        let options = |words: [&str; 2]| {
            let path = dir.path().join(words[1]).into_os_string();
            match parse([words[0].into(), path]) {
                Ok(Command::Download(options)) => options,
                other => panic!("{other:?}"),
            }
        };
        let mut log = Log(Vec::new());
        let chosen = jobs(&options(["-f2", "tree"]), &mut log).unwrap();
        assert_eq!(chosen.0[0].wanted, Some(vec![1]));
        let past = jobs(&options(["-f3", "tree"]), &mut log).unwrap_err();
        assert!(matches!(past, Failure::Usage(_)));
        jobs(&options(["-v", "odd"]), &mut log).unwrap();
        assert!(
            matches!(&log.0[..], [Report::Warning { .. }]),
            "{:?}",
            log.0
        );
    }

    #[test]
    fn which_status_wins() {
        let cases = [
            ((false, false, None), 0),
            ((false, true, None), 3),
            ((true, true, None), 1),
            ((true, true, Some(2)), 130),
            ((false, false, Some(15)), 143),
        ];
        for ((failed, stalled, interrupted), expected) in cases {
            assert_eq!(
                status(&Ending {
                    failed,
                    stalled,
                    interrupted
                }),
                expected
            );
        }
    }
}
