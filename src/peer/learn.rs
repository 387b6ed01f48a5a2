//! The thread of a peer while we have a magnet link only: moves bytes and messages
//! between the socket, the [`Learner`]'s rules ([BEP 9]) and main, until main knows the
//! metadata. The peer's thread comes here between the handshake and the
//! [`session`](super::session).
//!
//! [BEP 9]: https://www.bittorrent.org/beps/bep_0009.html

use super::error::PeerError;
use super::intake::Intake;
use super::learner::{Learner, MAX_MESSAGE};
use super::patience::{Patience, TICK};
use super::socket::{PeerSocket, Wait};
use super::{Order, ToMain, Welcome};
use crate::messages::PeerEvent;
use crate::wire;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Converses until main welcomes the peer to the torrent that is known then. `None`: main
/// hung up. With the welcome comes what is on its way to the peer already.
pub(super) fn converse(
    socket: &mut PeerSocket,
    intake: &mut Intake,
    mut learner: Learner,
    orders: &Receiver<Order>,
    to_main: &ToMain,
) -> Result<Option<(Welcome, Learner, Vec<u8>)>, PeerError> {
    let mut outgoing = Vec::new();
    loop {
        let end = hear(intake, &mut learner);
        tell(&mut learner.events, to_main);
        end?;
        let patience = if learner.waits_for_main() {
            TICK
        } else {
            Duration::ZERO
        };
        match orders.recv_timeout(patience) {
            Ok(Order::Welcome(welcome)) => return Ok(Some((welcome, learner, outgoing))),
            Ok(Order::Do(command)) => learner.on_command(&command, Instant::now()),
            Ok(Order::Learn(_)) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
        if outgoing.is_empty() {
            outgoing = std::mem::take(&mut learner.out);
            socket.seal(&mut outgoing);
        }
        if !outgoing.is_empty() {
            let wait = if learner.waits_for_main() {
                Wait::No
            } else {
                Wait::Tick
            };
            let taken = socket.write(&outgoing, wait)?;
            outgoing.drain(..taken);
            if taken > 0 {
                learner.on_sent(Instant::now());
            }
        }
        if intake.is_full() {
            intake.compact(MAX_MESSAGE, false);
        }
        let waits = learner.waits_for_main();
        intake.fill(|buf| match waits {
            true => socket.read_now(buf),
            false => socket.read_wait(buf, Patience::Usual),
        })?;
    }
}

/// Takes all whole messages in the buffer.
fn hear(intake: &mut Intake, learner: &mut Learner) -> Result<(), PeerError> {
    let now = Instant::now();
    while let Some((message, used)) = wire::decode(intake.unparsed(), MAX_MESSAGE)? {
        learner.on_message(message, now)?;
        intake.consume(used, None);
    }
    learner.on_tick(now)
}

fn tell(events: &mut Vec<PeerEvent>, to_main: &ToMain) {
    events.drain(..).for_each(|event| to_main.tell(event));
}
