//! `storrent SOURCE...` and `storrent seed`: reads each SOURCE and hands the torrent to the engine.
//!
//! A SOURCE from the web or a pipe may be slow. A thread reads it while the engine runs the others.

use super::args::Download;
use super::on_complete::OnComplete;
use super::signals::Interrupts;
use super::values::Source;
use super::{Failure, signals, source};
use crate::config::{Job, Subject};
use crate::door::Door;
use crate::engine::{self, Arrival, Ending, Jobs};
use crate::human::chain;
use crate::progress::tracefile::TraceFile;
use crate::progress::{Display, Style};
use crate::report::{Report, Reporter, Witness};
use crate::selection::FileNumbers;
use crate::threads::{self, NoThread, fault};
use crossbeam_channel::{Sender, unbounded};
use std::fs;
use std::path::{Path, PathBuf, absolute};
use std::thread::Builder;
use std::time::Instant;

/// Runs a download, or with `seed_only` a seeding, and returns the exit status.
///
/// # Errors
/// [`Failure::Usage`], if `--files` names a file that does not exist; [`Failure::Failed`], if the
/// system refuses a thread. Other failures are reported, and the other torrents go on.
pub fn run(options: &Download, seed_only: bool, interrupts: &Interrupts) -> Result<u8, Failure> {
    let mut display = Display::new(Style {
        json: options.json,
        quiet: options.quiet,
        verbose: options.verbose,
        colour: options.color,
    })?;
    let (jobs, failed) = jobs(options, &mut display)?;
    if jobs.now.is_empty() && jobs.awaited == 0 {
        return Ok(1);
    }
    // Not earlier: if nothing runs, the old trace stays, and FILE may be a SOURCE that is read
    // first.
    if let Some(path) = &options.trace {
        refuse_content(path, options, &jobs.now)?;
        display.trace(TraceFile::create(path)?);
    }
    let signals = interrupts.take_over();
    let command = options.on_complete.as_deref();
    let mut reporter = OnComplete::new(command, &mut display)?;
    let mut config = options.config(seed_only);
    let listens = options.verbose > 0 || options.trace.is_some();
    config.witness = listens.then(|| Witness::only(Instant::now()));
    let mut ending = engine::run(config, jobs, &mut reporter, signals.clone());
    ending.failed |= failed;
    let interrupted = reporter.wait(signals);
    ending.interrupted = ending.interrupted.or(interrupted);
    display.end(ending.deadline);
    Ok(status(&ending))
}

/// Refuses to replace a file of a torrent by the trace.
fn refuse_content(trace: &Path, options: &Download, jobs: &[Job]) -> Result<(), Failure> {
    let place = resolved(trace);
    let names = jobs.iter().filter_map(|job| match &job.subject {
        Subject::Torrent(metainfo) => Some(&metainfo.name),
        Subject::Link(_) => None,
    });
    for name in names {
        if place.starts_with(resolved(&options.dir.join(name))) {
            let trace = trace.display();
            return Err(Failure::Failed(format!(
                "cannot write the trace {trace}: {name} is saved there; choose another file"
            )));
        }
    }
    Ok(())
}

/// Returns where a path leads, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let path = absolute(path).unwrap_or_else(|_| path.to_owned());
    let beside = || {
        Some(
            fs::canonicalize(path.parent()?)
                .ok()?
                .join(path.file_name()?),
        )
    };
    let found = fs::canonicalize(&path).ok().or_else(beside);
    found.unwrap_or_else(|| path.clone())
}

/// Returns the exit status. Of several reasons the first counts: interruption, misuse, failure,
/// stall.
pub(super) fn status(ending: &Ending) -> u8 {
    match ending {
        Ending {
            interrupted: Some(signal),
            ..
        } => signals::status(*signal),
        Ending {
            unknown_file: true, ..
        } => 2,
        Ending { failed: true, .. } => 1,
        Ending { stalled: true, .. } => 3,
        _ => 0,
    }
}

/// Makes a job of each SOURCE, and says whether one could not be read. A thread reads a SOURCE that
/// may be slow, and tells the engine. All others, and those for which the system refuses a thread,
/// are read here in turn.
fn jobs(options: &Download, reporter: &mut dyn Reporter) -> Result<(Jobs, bool), Failure> {
    let (tell, later) = unbounded();
    let mut jobs = Jobs {
        now: Vec::new(),
        awaited: 0,
        later,
    };
    let mut failed = false;
    for source in &options.sources {
        let blank = Blank::of(options, source);
        if source::may_be_slow(source) && read_apart(blank.clone(), tell.clone()).is_ok() {
            jobs.awaited += 1;
            continue;
        }
        match blank.filled() {
            Arrival::Job(job) => {
                if let (Some(files), Subject::Torrent(metainfo)) = (&job.files, &job.subject) {
                    files.of(metainfo).map_err(Failure::Usage)?;
                }
                jobs.now.push(*job);
            }
            Arrival::Failed(report) => {
                failed = true;
                reporter.report(report);
            }
        }
    }
    Ok((jobs, failed))
}

/// A job whose SOURCE has not been read yet.
#[derive(Clone)]
struct Blank {
    source: Source,
    door: Door,
    files: Option<FileNumbers>,
    peers: Vec<String>,
    trackers: Vec<String>,
}

impl Blank {
    fn of(options: &Download, source: &Source) -> Self {
        Self {
            source: source.clone(),
            door: options.door(),
            files: options.files.clone(),
            peers: options.peer.clone(),
            trackers: options.tracker.clone(),
        }
    }

    fn filled(self) -> Arrival {
        match source::given(&self.source, &self.door) {
            Ok((given, teller)) => Arrival::Job(Box::new(Job {
                source: self.source.to_string(),
                teller,
                files: self.files,
                peers: self.peers,
                trackers: self.trackers,
                ..Subject::from(given).into()
            })),
            Err(error) => unreadable(&self.source, chain(&error)),
        }
    }
}

fn unreadable(source: &Source, message: String) -> Arrival {
    Arrival::Failed(Report::Error {
        info_hash: None,
        source: Some(source.to_string()),
        message,
    })
}

/// Starts a thread that reads a SOURCE and tells the engine.
fn read_apart(blank: Blank, tell: Sender<Arrival>) -> Result<(), NoThread> {
    let (source, engine) = (blank.source.clone(), tell.clone());
    let work = move || _ = tell.send(blank.filled());
    let lost = move || {
        let why = fault("read it");
        let message = format!("cannot read {source}: {why}; try again");
        let _ = engine.send(unreadable(&source, message));
    };
    let thread = Builder::new().name("source".into());
    threads::spawn(thread, "read a SOURCE", work, lost).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse::{Command, parse};
    use std::net::TcpListener;

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
            ("tree", torrent("tree", &["a/b", "c"], false)),
        ];
        for (name, bytes) in torrents {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        let cases = [
            ("one tree", vec!["one", "tree"], vec![]),
            ("one same", vec!["one", "one"], vec![]),
            (
                "one missing tree",
                vec!["one", "tree"],
                vec!["no such file"],
            ),
            ("missing gone", vec![], vec!["no such file", "no such file"]),
            ("magnet:?xt=x one", vec!["one"], vec!["names no torrent"]),
        ];
        for (line, names, errors) in cases {
            let place = |word: &str| match word.starts_with('-') || word.contains(':') {
                true => word.into(),
                false => dir.path().join(word).into_os_string(),
            };
            let Ok(Command::Download(options)) = parse(line.split(' ').map(place), |_| None) else {
                panic!("{line}")
            };
            let mut log = Log(Vec::new());
            let (jobs, failed) = jobs(&options, &mut log).unwrap();
            let name = |job: &Job| match &job.subject {
                Subject::Torrent(metainfo) => metainfo.name.clone(),
                Subject::Link(magnet) => magnet.info_hash.to_string(),
            };
            let found: Vec<_> = jobs.now.iter().map(name).collect();
            assert_eq!(jobs.awaited, 0, "{line}: files and links are read in turn");
            assert_eq!(found, names, "{line}");
            assert_eq!(failed, !errors.is_empty(), "{line}");
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
            match parse([words[0].into(), path], |_| None) {
                Ok(Command::Download(options)) => options,
                other => panic!("{other:?}"),
            }
        };
        let mut log = Log(Vec::new());
        assert!(jobs(&options(["-f2", "tree"]), &mut log).is_ok());
        let past = jobs(&options(["-f3", "tree"]), &mut log).unwrap_err();
        assert!(matches!(past, Failure::Usage(_)));
    }

    #[test]
    fn slow_sources_arrive_later() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = nobody.local_addr().unwrap();
        drop(nobody);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("one");
        fs::write(&file, torrent("one", &[], false)).unwrap();
        let words = [format!("http://{address}/").into(), file.into_os_string()];
        let Ok(Command::Download(options)) = parse(words, |_| None) else {
            panic!("not parsed")
        };
        let mut log = Log(Vec::new());
        let (jobs, failed) = jobs(&options, &mut log).unwrap();
        assert_eq!((jobs.now.len(), jobs.awaited, failed), (1, 1, false));
        let Ok(Arrival::Failed(Report::Error {
            source, message, ..
        })) = jobs.later.recv()
        else {
            panic!("nobody is there")
        };
        assert_eq!(source, Some(format!("http://{address}/")));
        assert!(message.contains("refused"), "{message}");
    }

    #[test]
    fn which_status_wins() {
        let cases = [
            ((false, false, false, None), 0),
            ((false, true, false, None), 3),
            ((true, true, false, None), 1),
            ((true, true, true, None), 2),
            ((true, true, true, Some(2)), 130),
            ((false, false, false, Some(15)), 143),
        ];
        for ((failed, stalled, unknown_file, interrupted), expected) in cases {
            assert_eq!(
                status(&Ending {
                    failed,
                    stalled,
                    unknown_file,
                    interrupted,
                    deadline: None,
                }),
                expected
            );
        }
    }
}
