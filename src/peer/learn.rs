//! The thread of a peer while we have a magnet link only: moves bytes and messages
//! between the socket, the [`Learner`]'s rules ([BEP 9]) and main, until main knows the
//! metadata. The peer's thread comes here between the handshake and the
//! [`session`](super::session).
//!
//! [BEP 9]: https://www.bittorrent.org/beps/bep_0009.html

use super::error::PeerError;
use super::intake::Intake;
use super::learner::{Learner, MAX_MESSAGE};
use super::socket::{PeerSocket, Wait};
use super::turn::{self, Sleep, TICK};
use super::{Order, ToMain, Welcome};
use crate::messages::PeerEvent;
use crate::wire;
use crossbeam_channel::{Receiver, TryRecvError};
use std::time::Instant;

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
        let heard = match sleep(socket, intake, &mut learner, &mut outgoing, orders)? {
            Some(order) => Ok(order),
            None => orders.try_recv(),
        };
        match heard {
            Ok(Order::Welcome(welcome)) => return Ok(Some((welcome, learner, outgoing))),
            Ok(Order::Do(command)) => learner.on_command(&command, Instant::now()),
            Ok(Order::Learn(_)) | Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Ok(None),
        }
    }
}

/// Says what there is to say, and sleeps. Returns what main said, if that was slept for.
fn sleep(
    socket: &mut PeerSocket,
    intake: &mut Intake,
    learner: &mut Learner,
    outgoing: &mut Vec<u8>,
    orders: &Receiver<Order>,
) -> Result<Option<Order>, PeerError> {
    let stuck = send(socket, learner, outgoing, Wait::No)?;
    let debts = learner.debts(stuck);
    if intake.is_full() {
        intake.compact(MAX_MESSAGE, false);
    }
    // Main may take its time with the metadata: meanwhile the peer is heard, too.
    if (stuck || debts.answer) && intake.fill(|buf| socket.read_now(buf))? > 0 {
        return Ok(None);
    }
    match turn::next(debts) {
        Sleep::Channel => return Ok(orders.recv_timeout(TICK).ok()),
        Sleep::Write => _ = send(socket, learner, outgoing, Wait::Tick)?,
        Sleep::Read(patience) => _ = intake.fill(|buf| socket.read_wait(buf, patience))?,
    }
    Ok(None)
}

/// Hands the kernel what it takes; true if that is not all.
fn send(
    socket: &mut PeerSocket,
    learner: &mut Learner,
    outgoing: &mut Vec<u8>,
    wait: Wait,
) -> Result<bool, PeerError> {
    if outgoing.is_empty() {
        *outgoing = std::mem::take(&mut learner.out);
        socket.seal(outgoing);
    }
    if !outgoing.is_empty() {
        let taken = socket.write(outgoing, wait)?;
        outgoing.drain(..taken);
        if taken > 0 {
            learner.on_sent(Instant::now());
        }
    }
    Ok(!outgoing.is_empty())
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
