//! Handles Ctrl-C (SIGINT), SIGTERM, and SIGHUP, which a terminal sends when it closes.
//!
//! Most jobs have nothing to tidy up, so a signal ends the program at once. A download [takes
//! over](Interrupts::take_over): the first signal ends it in order, the second at once. Either way
//! the exit status is 128 + the first signal.
//!
//! If SIGHUP is ignored at the start, as under `nohup`, it stays ignored. SIGXFSZ would kill a
//! program that writes past the limit of `ulimit -f`. We catch it and do nothing, so the write
//! fails instead, and the user hears why.

use super::Failure;
use crate::human::chain;
use crate::threads::{self, ADVICE};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use std::fs;
use std::sync::Arc;
use std::thread::Builder;

/// Lets one job receive the signals and end in order.
pub struct Interrupts(Sender<Listener>);

struct Listener {
    tell: Sender<i32>,
    /// Whether it receives every signal or only the first.
    every: bool,
}

impl Interrupts {
    /// Returns where the first signal arrives from now on. The second ends the program at once. To
    /// be called once.
    pub fn take_over(&self) -> Receiver<i32> {
        self.listen(false)
    }

    /// Returns where every signal arrives from now on. While the receiver is kept, no signal ends
    /// the program: for a job that ends soon after the first and must finish tidying up. To be
    /// called once.
    pub fn take_over_for_good(&self) -> Receiver<i32> {
        self.listen(true)
    }

    fn listen(&self, every: bool) -> Receiver<i32> {
        let (tell, receiver) = unbounded();
        // The channel is open: the signal thread never ends before the program.
        let _ = self.0.try_send(Listener { tell, every });
        receiver
    }
}

/// The exit status of a run that `signal` ended.
pub fn status(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(1)
}

/// Starts the thread that waits for signals.
///
/// # Errors
/// [`Failure`], if the system refuses a signal handler or a thread.
pub fn watch() -> Result<Interrupts, Failure> {
    let failed = |error| Failure::Failed(format!("cannot wait for signals (Ctrl-C): {error}"));
    // Not "ignore", which a program that we start would inherit.
    signal_hook::flag::register(SIGXFSZ, Arc::default()).map_err(failed)?;
    let hangup = (!ignores_hangup()).then_some(SIGHUP);
    let signals = Signals::new([SIGINT, SIGTERM].into_iter().chain(hangup));
    let mut signals = signals.map_err(failed)?;
    let (sender, somebody) = bounded::<Listener>(1);
    let work = move || {
        let mut first = None;
        let mut listener: Option<Listener> = None;
        for signal in signals.forever() {
            // A closing terminal sends SIGHUP twice, and a logout sends it after SIGTERM. Only a
            // second signal of another kind comes from a user.
            if signal == SIGHUP && first.is_some() {
                continue;
            }
            listener = listener.or_else(|| somebody.try_recv().ok());
            let is_told = listener.as_ref().is_some_and(|listener| {
                (first.is_none() || listener.every) && listener.tell.send(signal).is_ok()
            });
            let first = *first.get_or_insert(signal);
            if !is_told {
                std::process::exit(status(first).into());
            }
        }
    };
    let thread = Builder::new().name("signals".into());
    // Without this thread no signal could end the program, so the program ends with it.
    let lost = || std::process::exit(1);
    match threads::spawn(thread, "wait for signals (Ctrl-C)", work, lost) {
        Ok(_) => Ok(Interrupts(sender)),
        Err(error) => Err(Failure::Failed(format!("{}; {ADVICE}", chain(&error)))),
    }
}

/// Whether SIGHUP was ignored at the start, as under `nohup`. Only Linux tells; elsewhere we answer
/// yes, and leave SIGHUP alone.
fn ignores_hangup() -> bool {
    fs::read_to_string("/proc/self/status").map_or(true, |status| ignores(&status, SIGHUP))
}

/// Whether `signal` is in the set of ignored signals of a `/proc/PID/status`.
fn ignores(status: &str, signal: i32) -> bool {
    let mut lines = status.lines();
    let set = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    set.is_none_or(|set| set >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_of_ignored_signals() {
        let status = |set: &str| format!("Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t{set}\n");
        let cases = [
            ("0000000000000001", true, false),
            ("0000000000001000", false, false),
            ("0000000000005003", true, true),
            ("odd", true, true),
        ];
        for (set, hangup, terminated) in cases {
            let status = status(set);
            let ignored = [SIGHUP, SIGTERM].map(|signal| ignores(&status, signal));
            assert_eq!(ignored, [hangup, terminated], "{set}");
        }
        assert!(ignores("", SIGHUP), "where nobody tells");
    }
}
