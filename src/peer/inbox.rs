//! Where main ([`engine::run`](crate::engine::run)) hears the threads of peers and web seeds: a
//! channel with a bell.
//!
//! A thread puts its events into the channel, in order. If one of them is *hurried*, the thread
//! rings, which wakes main up. The others wait until main is awake for another reason, for 100 ms at
//! most. In a swarm of 15 leeches on slow lines half of all events only say that somebody has one
//! more piece, and each of them would wake main up.
//!
//! The channel is bounded: a thread that is faster than main waits for it.

use crate::messages::PeerEvent;
use crate::types::PeerKey;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::iter::from_fn;

/// How many events the channel holds before the threads wait.
const EVENTS: usize = 256;

/// How many events main handles in a row before it looks at its other channels. Looking before each
/// event took a twentieth of the time in a large swarm.
const AT_ONCE: usize = 64;

/// An event, and whose thread sent it.
pub(crate) type Said = (PeerKey, PeerEvent);

/// The threads' side.
#[derive(Clone)]
pub(crate) struct Inbox {
    events: Sender<Said>,
    bell: Sender<()>,
}

/// Main's side.
pub(crate) struct Heard {
    events: Receiver<Said>,
    /// Main waits for this.
    pub(crate) rung: Receiver<()>,
    bell: Sender<()>,
}

/// Makes both sides.
pub(crate) fn inbox() -> (Inbox, Heard) {
    let ((said, events), (bell, rung)) = (bounded(EVENTS), bounded(1));
    let inbox = Inbox {
        events: said,
        bell: bell.clone(),
    };
    (inbox, Heard { events, rung, bell })
}

/// A bell that has been rung and not heard yet needs no second ring.
fn ring(bell: &Sender<()>) {
    let _ = bell.try_send(());
}

impl Heard {
    /// Returns the events that are there, at most [`AT_ONCE`]. If more are left at the end, the bell
    /// rings for them.
    pub(crate) fn events(&self) -> impl Iterator<Item = Said> {
        let rest = from_fn(|| {
            // It may have rung for what was taken here.
            let _ = self.rung.try_recv();
            if !self.events.is_empty() {
                ring(&self.bell);
            }
            None
        });
        self.events.try_iter().take(AT_ONCE).chain(rest)
    }
}

#[derive(Clone)]
pub(crate) struct ToMain {
    key: PeerKey,
    inbox: Inbox,
}

impl ToMain {
    pub(super) fn new(key: PeerKey, inbox: Inbox) -> Self {
        Self { key, inbox }
    }

    /// Tells main, and wakes it up, unless it is gone already.
    pub(crate) fn tell(&self, event: PeerEvent) {
        self.tell_unhurried(event);
        self.hurry();
    }

    /// Wakes main up, for what it was told unhurried.
    pub(super) fn hurry(&self) {
        ring(&self.inbox.bell);
    }

    /// Tells main all `events`, and wakes it up once, if they are `hurried`.
    pub(super) fn tell_all(&self, events: &mut Vec<PeerEvent>, hurried: bool) {
        let rings = hurried && !events.is_empty();
        events
            .drain(..)
            .for_each(|event| self.tell_unhurried(event));
        if rings {
            self.hurry();
        }
    }

    /// Tells main what can wait. If the channel is full, main must wake up to make room.
    fn tell_unhurried(&self, event: PeerEvent) {
        let Inbox { events, bell } = &self.inbox;
        if let Err(TrySendError::Full(said)) = events.try_send((self.key, event)) {
            ring(bell);
            let _ = events.send(said);
        }
    }
}

#[cfg(test)]
impl From<Sender<Said>> for Inbox {
    /// Nobody hears the bell.
    fn from(events: Sender<Said>) -> Self {
        let bell = bounded(1).0;
        Self { events, bell }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn event(number: u64) -> PeerEvent {
        PeerEvent::WantUpload(number)
    }

    /// Also if there are more than the channel holds, and however few of them are hurried.
    #[test]
    fn all_events_come_in_order() {
        for hurried_one_in in [1, 7, 1000] {
            let (inbox, heard) = inbox();
            let to_main = ToMain::new(PeerKey(1), inbox);
            let thread = thread::spawn(move || {
                for n in 1..=1000 {
                    match n % hurried_one_in {
                        0 => to_main.tell(event(n)),
                        _ => to_main.tell_unhurried(event(n)),
                    }
                }
            });
            let mut came = Vec::new();
            while came.len() < 1000 {
                heard.rung.recv().unwrap();
                came.extend(heard.events().map(|(_, event)| event));
            }
            assert!(came.into_iter().eq((1..=1000).map(event)));
            thread.join().unwrap();
        }
    }

    #[test]
    fn only_hurried_events_ring() {
        let (inbox, heard) = inbox();
        let to_main = ToMain::new(PeerKey(1), inbox);
        to_main.tell_all(&mut vec![], true);
        to_main.tell_unhurried(event(1));
        assert!(heard.rung.is_empty());
        to_main.tell(event(2));
        to_main.tell(event(3));
        assert_eq!(heard.rung.try_iter().count(), 1);
        assert_eq!(heard.events().count(), 3);
        assert!(heard.rung.is_empty(), "nothing is left");
    }
}
