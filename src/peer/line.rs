//! The line to a peer: its socket, what came through it, and what is on its way out. Whoever
//! converses, be it before the metadata is known ([`learn`](super::learn)) or after, says
//! what is to be sent, and sleeps here, where [`turn`](super::turn) says.

use super::Order;
use super::error::PeerError;
use super::intake::Intake;
use super::outgoing::Outgoing;
use super::socket::{PeerSocket, Wait};
use super::turn::{Patience, Sleep, TICK};
use crossbeam_channel::{Receiver, RecvTimeoutError};

/// One connection.
pub(super) struct Line {
    pub(super) socket: PeerSocket,
    pub(super) intake: Intake,
    outgoing: Outgoing,
}

impl Line {
    /// A connection on which nothing was said yet.
    pub(super) fn new(socket: PeerSocket) -> Self {
        Self {
            socket,
            intake: Intake::new(),
            outgoing: Outgoing::new(),
        }
    }

    /// Hands the kernel what it takes without waiting. Whenever all is out, `load` adds what
    /// else there is.
    pub(super) fn flush(
        &mut self,
        mut load: impl FnMut(&mut Outgoing) -> Result<(), PeerError>,
    ) -> Result<(), PeerError> {
        loop {
            if self.outgoing.is_out() {
                load(&mut self.outgoing)?;
                if self.outgoing.is_out() {
                    return Ok(());
                }
                if self.socket.is_sealed() {
                    self.outgoing.seal(&mut self.socket);
                }
            }
            self.send(Wait::No)?;
            if self.is_stuck() {
                return Ok(());
            }
        }
    }

    /// Whether the kernel did not take all.
    pub(super) fn is_stuck(&self) -> bool {
        !self.outgoing.is_out()
    }

    /// Sleeps, after a [flush](Line::flush). There must be room in the intake for what the
    /// sleep waits for. Returns the order that came, if it was slept for.
    pub(super) fn sleep(
        &mut self,
        sleep: Sleep,
        orders: &Receiver<Order>,
    ) -> Result<Option<Order>, PeerError> {
        // Stuck: what the peer sent meanwhile comes first.
        if self.is_stuck() && self.read_now()? > 0 {
            return Ok(None);
        }
        match sleep {
            Sleep::Channel => match orders.recv_timeout(TICK) {
                Ok(order) => return Ok(Some(order)),
                // Main takes its time: meanwhile the peer is heard, too.
                Err(RecvTimeoutError::Timeout) => _ = self.read_now()?,
                Err(RecvTimeoutError::Disconnected) => {}
            },
            Sleep::Write => self.send(Wait::Tick)?,
            Sleep::Read(patience) => self.read_wait(patience)?,
        }
        Ok(None)
    }

    /// Reads what comes within the time that `patience` allows.
    pub(super) fn read_wait(&mut self, patience: Patience) -> Result<(), PeerError> {
        let socket = &mut self.socket;
        self.intake.fill(|buf| socket.read_wait(buf, patience))?;
        Ok(())
    }

    fn read_now(&mut self) -> Result<usize, PeerError> {
        self.intake.fill(|buf| self.socket.read_now(buf))
    }

    /// Hands the kernel some of what is on its way.
    fn send(&mut self, wait: Wait) -> Result<(), PeerError> {
        let taken = self.socket.write_parts(&self.outgoing.rest(), wait)?;
        self.outgoing.on_sent(taken);
        Ok(())
    }
}
