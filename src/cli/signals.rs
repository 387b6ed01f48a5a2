//! Ctrl-C and SIGTERM.
//!
//! Most jobs have nothing to tidy up, so the program just leaves. A download has: it
//! puts a sender into [`Interrupts`], and from then on the first signal is sent there
//! and the second one leaves at once. Both ways the exit status is 128 + the signal.

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::{io, thread};

/// Where somebody who wants to end in order says so.
pub struct Interrupts(Sender<Sender<i32>>);

impl Interrupts {
    /// From now on the first signal arrives here, and only the second one kills.
    /// To be called once.
    pub fn take_over(&self) -> Receiver<i32> {
        let (sender, receiver) = unbounded();
        // The thread that listens never ends before the program.
        let _ = self.0.try_send(sender);
        receiver
    }
}

/// Starts the thread that waits for signals.
///
/// # Errors
/// If the system has no room for a handler or a thread.
pub fn watch() -> io::Result<Interrupts> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (sender, somebody) = bounded::<Sender<i32>>(1);
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let mut first = None;
            for signal in signals.forever() {
                let is_told = first.is_none()
                    && somebody
                        .try_recv()
                        .is_ok_and(|somebody| somebody.send(signal).is_ok());
                let status = 128 + *first.get_or_insert(signal);
                if !is_told {
                    std::process::exit(status);
                }
            }
        })?;
    Ok(Interrupts(sender))
}
