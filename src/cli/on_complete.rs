//! `--on-complete`: runs the user's command for each torrent that completes in this run.
//!
//! A command may take long and main must never wait, so a thread runs the commands, one after
//! another. The torrent's name, which is foreign, reaches the command in its environment only, so
//! no name can become a part of the command.

use super::Failure;
use crate::report::{Report, Reporter};
use crate::threads::{self, fault};
use crate::types::InfoHash;
use crossbeam_channel::{Receiver, Sender, select, unbounded};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::stderr;
use std::os::unix::process::CommandExt;
use std::path::{PathBuf, absolute};
use std::process::{Command, Stdio};
use std::thread::Builder;

#[derive(Debug, PartialEq, Eq)]
struct Completed {
    info_hash: InfoHash,
    name: String,
    path: PathBuf,
}

/// Finds out from the reports which torrents complete in this run.
#[derive(Default)]
struct Watch {
    /// The torrents that were not whole at their check or are not checked yet, with the wanted
    /// bytes.
    incomplete: HashMap<InfoHash, (Completed, u64)>,
}

impl Watch {
    fn hear(&mut self, report: &Report) -> Option<Completed> {
        match report {
            Report::Added {
                info_hash,
                name,
                path,
                wanted_bytes,
                ..
            } => {
                let once_complete = Completed {
                    info_hash: *info_hash,
                    name: name.clone(),
                    path: path.clone(),
                };
                let entry = (once_complete, *wanted_bytes);
                self.incomplete.insert(*info_hash, entry);
            }
            Report::Checked {
                info_hash,
                have_bytes,
                path,
                ..
            } => match self.incomplete.get_mut(info_hash) {
                Some((_, wanted)) if *have_bytes >= *wanted => {
                    self.incomplete.remove(info_hash);
                }
                Some((completed, _)) => completed.path.clone_from(path),
                None => {}
            },
            Report::Complete { info_hash, .. } => {
                return self
                    .incomplete
                    .remove(info_hash)
                    .map(|(completed, _)| completed);
            }
            _ => {}
        }
        None
    }
}

/// Passes reports on, and has the command run for each torrent that completes.
pub struct OnComplete<'a> {
    display: &'a mut dyn Reporter,
    watch: Watch,
    /// The thread that runs the command. `None`: the user gave no command.
    runner: Option<Runner>,
}

struct Runner {
    orders: Sender<Completed>,
    /// What went wrong, as [`Report::Warning`]s. Closed when the thread ends.
    warnings: Receiver<Report>,
}

impl<'a> OnComplete<'a> {
    /// Starts the thread, if there is a command.
    ///
    /// # Errors
    /// [`Failure`], if the system refuses a thread.
    pub fn new(command: Option<&OsStr>, display: &'a mut dyn Reporter) -> Result<Self, Failure> {
        let runner = command.map(Runner::start);
        Ok(Self {
            display,
            watch: Watch::default(),
            runner: runner.transpose()?,
        })
    }

    /// Waits until all commands have ended. Returns the first signal of this time; the second ends
    /// the program.
    pub fn wait(self, signals: Receiver<i32>) -> Option<i32> {
        let Runner { orders, warnings } = self.runner?;
        // The thread ends after the last order.
        drop(orders);
        let mut interrupted = None;
        loop {
            select! {
                recv(warnings) -> warning => match warning {
                    Ok(warning) => self.display.report(warning),
                    // A signal may have come at the same moment.
                    Err(_) => return interrupted.or_else(|| signals.try_recv().ok()),
                },
                recv(signals) -> signal => interrupted = interrupted.or(signal.ok()),
            }
        }
    }
}

impl Reporter for OnComplete<'_> {
    fn report(&mut self, report: Report) {
        if let Some(Runner { orders, warnings }) = &self.runner {
            warnings.try_iter().for_each(|it| self.display.report(it));
            // If the thread has died, its last warning said so.
            let completed = self.watch.hear(&report);
            completed.into_iter().for_each(|it| _ = orders.send(it));
        }
        self.display.report(report);
    }
}

impl Runner {
    fn start(command: &OsStr) -> Result<Self, Failure> {
        let (orders, ordered) = unbounded::<Completed>();
        let (tell, warnings) = unbounded();
        let (command, died) = (command.to_owned(), tell.clone());
        let work = move || {
            for completed in ordered {
                if let Err(why) = run(&command, &completed) {
                    let _ = tell.send(warning(Some(completed.info_hash), why));
                }
            }
        };
        let lost = move || _ = died.send(warning(None, fault("run the command of --on-complete")));
        let thread = Builder::new().name("on-complete".into());
        threads::spawn(thread, "run the command of --on-complete", work, lost)?;
        Ok(Self { orders, warnings })
    }
}

fn warning(info_hash: Option<InfoHash>, message: String) -> Report {
    Report::Warning { info_hash, message }
}

/// Runs the command and waits for it. Ctrl-C, by which the user tells storrent to leave, must not
/// reach the command, so it gets a process group of its own.
fn run(command: &OsStr, completed: &Completed) -> Result<(), String> {
    let path = absolute(&completed.path).map_err(|error| {
        format!("cannot find the current folder: {error}; run the command by hand")
    })?;
    let variables: [(&str, OsString); 3] = [
        ("STORRENT_NAME", completed.name.clone().into()),
        ("STORRENT_PATH", path.into()),
        ("STORRENT_INFO_HASH", completed.info_hash.to_string().into()),
    ];
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).envs(variables);
    shell.stdin(Stdio::null()).stdout(stderr()).process_group(0);
    let why = match shell.status() {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => format!("it ended with {status}; see what it printed"),
        Err(error) => format!("cannot start sh: {error}; install it, or leave the option out"),
    };
    Err(format!(
        "the command of --on-complete failed for {}: {why}",
        completed.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(torrent: u8, wanted_bytes: u64) -> Report {
        Report::Added {
            info_hash: InfoHash([torrent; 20]),
            name: format!("t{torrent}"),
            path: "d/t".into(),
            wanted_files: 1,
            total_bytes: 9,
            wanted_bytes,
            piece_length: 1,
            pieces: 9,
            files: 1,
        }
    }

    fn checked(torrent: u8, have_bytes: u64) -> Report {
        Report::Checked {
            info_hash: InfoHash([torrent; 20]),
            have_pieces: 0,
            pieces: 9,
            have_bytes,
            path: "d/t_".into(),
        }
    }

    fn complete(torrent: u8) -> Report {
        Report::Complete {
            info_hash: InfoHash([torrent; 20]),
            seconds: 0.0,
            downloaded_bytes: 0,
            uploaded_bytes: 0,
            twice_bytes: 0,
            givers: Vec::new(),
        }
    }

    #[test]
    fn once_for_each_that_was_not_whole() {
        let mut watch = Watch::default();
        let reports = [
            (added(1, 9), None),
            (added(2, 5), None),
            (checked(1, 0), None),
            (checked(2, 5), None),
            (complete(2), None),
            (complete(1), Some(1)),
            (complete(1), None),
            (complete(3), None),
        ];
        for (report, torrent) in reports {
            let completed = torrent.map(|torrent: u8| Completed {
                info_hash: InfoHash([torrent; 20]),
                name: format!("t{torrent}"),
                path: "d/t_".into(),
            });
            assert_eq!(watch.hear(&report), completed, "{report:?}");
        }
    }
}
