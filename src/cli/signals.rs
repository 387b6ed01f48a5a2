//! Ctrl-C and SIGTERM.
//!
//! Most jobs have nothing to tidy up, so the program just leaves. A download has: it
//! puts a sender into [`Interrupts`], and from then on the first signal is sent there
//! and the second one leaves at once. Both ways the exit status is 128 + the signal.

use super::Failure;
use crate::human::chain;
use crate::threads::{self, ADVICE};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
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

/// Starts the thread that waits for signals.
///
/// # Errors
/// What the system has no room for, a handler or a thread, in words for the user.
pub fn watch() -> Result<Interrupts, Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failure::Failed(format!("cannot wait for signals (Ctrl-C): {error}")))?;
    let (sender, somebody) = bounded::<Listener>(1);
    let work = move || {
        let mut first = None;
        let mut listener: Option<Listener> = None;
        for signal in signals.forever() {
            listener = listener.or_else(|| somebody.try_recv().ok());
            let is_told = listener.as_ref().is_some_and(|listener| {
                (first.is_none() || listener.every) && listener.tell.send(signal).is_ok()
            });
            let status = 128 + *first.get_or_insert(signal);
            if !is_told {
                std::process::exit(status);
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
