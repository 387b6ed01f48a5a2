//! Starts all threads of this program, in such a way that nobody waits for a dead one.
//!
//! A thread can fail in two ways. The system may refuse to start it, because it limits how many
//! threads a user has (`ulimit -u`). Or it panics: that is our bug, but it must not leave a tracker
//! that never hears `stopped`, or a download that waits for a dead checker. So [`spawn`] takes a
//! function that informs the thread's owner of a panic.

use std::io;
use std::thread::{Builder, JoinHandle};

/// The system allows no more threads.
#[derive(Debug, thiserror::Error)]
#[error("cannot start a thread to {purpose}: the system allows no more (ulimit -u)")]
pub(crate) struct NoThread {
    /// What the thread was meant to do, worded to follow "to".
    pub purpose: &'static str,
    pub source: io::Error,
}

/// Advice for the user after a [`NoThread`] that ends something.
pub(crate) const ADVICE: &str =
    "end other programs or raise the limit, then run the same command again";

/// Starts a thread that does `work`. `purpose` is worded to follow "to". If `work` panics, the
/// thread first drops all that `work` owned and then calls `lost`, which should tell the thread's
/// owner. If the thread can't be started, neither is called.
pub(crate) fn spawn(
    thread: Builder,
    purpose: &'static str,
    work: impl FnOnce() + Send + 'static,
    lost: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, NoThread> {
    let body = move || {
        let mut farewell = Farewell(Some(lost));
        work();
        farewell.0 = None;
    };
    let refused = |source| NoThread { purpose, source };
    thread.spawn(body).map_err(refused)
}

/// Calls its function if dropped with it, which only a panic does.
struct Farewell<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Farewell<F> {
    fn drop(&mut self) {
        if let Some(lost) = self.0.take() {
            lost();
        }
    }
}

/// Describes for the user the panic of a thread that served `purpose`.
pub(crate) fn fault(purpose: &str) -> String {
    format!("a fault of storrent's own ended the thread to {purpose}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::unbounded;

    #[test]
    fn its_owner_hears_how_it_ended() {
        for panics in [false, true] {
            let (tell, heard) = unbounded();
            let (owned, gone) = unbounded::<()>();
            let work = move || {
                let _owned = owned;
                if panics {
                    // A panic that prints no message on the terminal.
                    std::panic::resume_unwind(Box::new("a fault"));
                }
            };
            // The thread owns nothing any more, so its owner may start it again.
            let lost = move || _ = tell.send(gone.try_recv());
            let thread = spawn(Builder::new(), "fail", work, lost).unwrap();
            assert_eq!(thread.join().is_err(), panics);
            let heard: Vec<_> = heard.iter().collect();
            let told = crossbeam_channel::TryRecvError::Disconnected;
            assert_eq!(heard, vec![Err(told); usize::from(panics)]);
        }
    }

    #[test]
    fn what_the_system_refuses_is_an_error() {
        let thread = Builder::new().stack_size(1 << 60);
        let lost = || panic!("it never began");
        let error = spawn(thread, "do this", || panic!("it began"), lost).unwrap_err();
        let text = crate::human::chain(&error);
        let start = "cannot start a thread to do this: the system allows no more (ulimit -u): ";
        assert!(text.starts_with(start), "{text}");
    }
}
