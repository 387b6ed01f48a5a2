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
/// If the system has no room for a handler or a thread.
pub fn watch() -> io::Result<Interrupts> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (sender, somebody) = bounded::<Listener>(1);
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
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
        })?;
    Ok(Interrupts(sender))
}
