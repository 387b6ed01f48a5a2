//! Starts threads so that nobody has to wait for one in vain.
//!
//! A thread may fail to do its work in two ways that its owner must hear of. The system
//! may refuse to start it: a user may have only so many (`ulimit -u`). And it may end by a
//! panic, which is a fault of ours, but must not leave a tracker that never hears that we
//! left, or a download that waits for a checker that is gone. So [`spawn`] wants to know
//! from each thread what is to be said then. Everybody who starts a thread uses it.

use std::io;
use std::thread::{Builder, JoinHandle};

/// The system starts no more threads.
#[derive(Debug, thiserror::Error)]
#[error("cannot start a thread to {purpose}: the system allows no more (ulimit -u)")]
pub(crate) struct NoThread {
    /// What it was to do, as it follows on "to".
    pub purpose: &'static str,
    /// What the system says.
    pub source: io::Error,
}

/// What there is to do about a [`NoThread`] that ends something, as it follows on the error.
pub(crate) const ADVICE: &str =
    "end other programs or raise the limit, then run the same command again";

/// Starts a thread that does `work`, which serves `purpose` (as it follows on "to").
/// `lost` is called on that thread if `work` panics, after all that it owned is gone: it
/// should tell the thread's owner. If the thread can't be started neither is called.
///
/// # Errors
/// [`NoThread`], if the system refuses.
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

/// What a thread says when it ends before its time.
struct Farewell<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Farewell<F> {
    fn drop(&mut self) {
        if let Some(lost) = self.0.take() {
            lost();
        }
    }
}

/// What is told of a thread that served `purpose` and panicked.
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
                    // As a panic, but without its message on the terminal.
                    std::panic::resume_unwind(Box::new("a fault"));
                }
            };
            // What the thread owned is gone by then, so its owner may start it anew.
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
        // No system has so much memory for a stack.
        let thread = Builder::new().stack_size(1 << 60);
        let lost = || panic!("it never began");
        let error = spawn(thread, "do this", || panic!("it began"), lost).unwrap_err();
        let text = crate::human::chain(&error);
        let start = "cannot start a thread to do this: the system allows no more (ulimit -u): ";
        assert!(text.starts_with(start), "{text}");
    }
}
