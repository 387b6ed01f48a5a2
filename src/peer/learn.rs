//! The peer's thread while we have only a magnet link, between the handshake and the
//! [`session`](super::session). It moves bytes and messages between the [line](super::line), the
//! rules of the [`Learner`] ([BEP 9]) and main, until the metadata is known.
//!
//! [BEP 9]: https://www.bittorrent.org/beps/bep_0009.html

use super::error::PeerError;
use super::learner::{Learner, MAX_MESSAGE};
use super::line::Line;
use super::{Order, ToMain, Welcome, turn};
use crate::wire;
use crossbeam_channel::{Receiver, TryRecvError};
use std::time::Instant;

/// Converses until main knows the metadata and welcomes the peer. Returns `None` if main hung up.
pub(super) fn converse(
    line: &mut Line,
    mut learner: Learner,
    orders: &Receiver<Order>,
    to_main: &ToMain,
) -> Result<Option<(Welcome, Learner)>, PeerError> {
    loop {
        let end = hear(line, &mut learner);
        to_main.tell_all(&mut learner.talk.events, true);
        end?;
        line.flush(|outgoing| {
            outgoing.load_words(&mut learner.talk, Instant::now());
            Ok(())
        })?;
        if line.intake.is_full() {
            line.intake.compact(MAX_MESSAGE, false);
        }
        let sleep = turn::next(learner.debts(line.is_stuck()));
        let mut slept_for = line.sleep(sleep, 1, orders)?;
        loop {
            match slept_for.take().map_or_else(|| orders.try_recv(), Ok) {
                Ok(Order::Welcome(welcome)) => return Ok(Some((welcome, learner))),
                Ok(Order::Do(command)) => learner.on_command(&command, Instant::now()),
                Ok(Order::Learn(_)) => {}
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(None),
            }
        }
    }
}

fn hear(line: &mut Line, learner: &mut Learner) -> Result<(), PeerError> {
    let now = Instant::now();
    while let Some((message, used)) = wire::decode(line.intake.unparsed(), MAX_MESSAGE)? {
        learner.on_message(message, now)?;
        line.intake.consume(used, None);
    }
    learner.on_tick(now)
}
