//! Ctrl-C, SIGTERM, and the SIGHUP of a terminal that closes.
//!
//! Most jobs have nothing to tidy up, so the program just leaves. A download has: it
//! puts a sender into [`Interrupts`], and from then on the first signal is sent there
//! and the second one leaves at once. Both ways the exit status is 128 + the signal.
//!
//! Under `nohup` SIGHUP is ignored when the program starts, and stays so. SIGXFSZ, which
//! would kill a program that writes past the limit of `ulimit -f`, is caught and forgotten:
//! then the write itself fails, and the user is told why.

use super::Failure;
use crate::human::chain;
use crate::threads::{self, ADVICE};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use std::fs;
use std::sync::Arc;
use std::thread::Builder;

/// Where somebody who wants to end in order says so.
pub struct Interrupts(Sender<Listener>);

/// Somebody who wants to be told.
struct Listener {
    tell: Sender<i32>,
    /// Of every signal, not only of the first.
    every: bool,
}

impl Interrupts {
    /// From now on the first signal arrives here, and only the second one kills.
    /// To be called once.
    pub fn take_over(&self) -> Receiver<i32> {
        self.listen(false)
    }

    /// From now on no signal kills, as long as the receiver is kept: for a job that ends
    /// soon after the first one and must not be cut short in tidying up. To be called
    /// once.
    pub fn take_over_for_good(&self) -> Receiver<i32> {
        self.listen(true)
    }

    fn listen(&self, every: bool) -> Receiver<i32> {
        let (tell, receiver) = unbounded();
        // The thread that listens never ends before the program.
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
/// What the system has no room for, a handler or a thread, in words for the user.
pub fn watch() -> Result<Interrupts, Failure> {
    let failed = |error| Failure::Failed(format!("cannot wait for signals (Ctrl-C): {error}"));
    // A handler rather than "ignore": a program that we start does not inherit it.
    signal_hook::flag::register(SIGXFSZ, Arc::default()).map_err(failed)?;
    let hangup = (!ignores_hangup()).then_some(SIGHUP);
    let signals = Signals::new([SIGINT, SIGTERM].into_iter().chain(hangup));
    let mut signals = signals.map_err(failed)?;
    let (sender, somebody) = bounded::<Listener>(1);
    let work = move || {
        let mut first = None;
        let mut listener: Option<Listener> = None;
        for signal in signals.forever() {
            // A terminal that closes sends it twice, and a logout sends it after SIGTERM:
            // only the other signals come from somebody who cannot wait.
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
    // Without it nobody could end the program any more, so the program ends with it.
    let lost = || std::process::exit(1);
    match threads::spawn(thread, "wait for signals (Ctrl-C)", work, lost) {
        Ok(_) => Ok(Interrupts(sender)),
        Err(error) => Err(Failure::Failed(format!("{}; {ADVICE}", chain(&error)))),
    }
}

/// Whether this program was started with SIGHUP ignored, as `nohup` does it. Linux alone
/// tells; elsewhere the answer is yes, so that SIGHUP does what it does to any program.
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
