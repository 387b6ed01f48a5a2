//! The line to one peer: its socket, its receive buffer, and the bytes on their way out. The
//! conversations [before](super::learn) and after the metadata is known use it. Here the thread
//! sleeps, where [`turn`](super::turn) says.

use super::Order;
use super::error::PeerError;
use super::intake::Intake;
use super::outgoing::Outgoing;
use super::socket::{PeerSocket, Wait};
use super::turn::{Patience, Sleep, TICK};
use crossbeam_channel::{Receiver, RecvTimeoutError};

pub(super) struct Line {
    pub(super) socket: PeerSocket,
    pub(super) intake: Intake,
    outgoing: Outgoing,
}

impl Line {
    pub(super) fn new(socket: PeerSocket) -> Self {
        Self {
            socket,
            intake: Intake::new(),
            outgoing: Outgoing::new(),
        }
    }

    /// Hands the kernel what it takes without waiting. Whenever everything is out, `load` adds
    /// more.
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

    pub(super) fn is_stuck(&self) -> bool {
        !self.outgoing.is_out()
    }

    /// Sleeps, after a [flush](Line::flush). Fewer than `least` bytes do not end a read early. The
    /// intake must have room for the bytes that the sleep waits for. Returns main's order, if the
    /// thread slept on the channel and one came.
    pub(super) fn sleep(
        &mut self,
        sleep: Sleep,
        least: usize,
        orders: &Receiver<Order>,
    ) -> Result<Option<Order>, PeerError> {
        // If we are stuck, we first hear what the peer has sent.
        if self.is_stuck() && self.read_now()? > 0 {
            return Ok(None);
        }
        match sleep {
            Sleep::Channel => match orders.recv_timeout(TICK) {
                Ok(order) => return Ok(Some(order)),
                // Main is slow, so we hear the peer meanwhile.
                Err(RecvTimeoutError::Timeout) => _ = self.read_now()?,
                Err(RecvTimeoutError::Disconnected) => {}
            },
            Sleep::Write => self.send(Wait::Tick)?,
            Sleep::Read(patience) => self.read_wait(patience, least)?,
        }
        Ok(None)
    }

    /// See [`PeerSocket::read_wait`].
    pub(super) fn read_wait(&mut self, patience: Patience, least: usize) -> Result<(), PeerError> {
        let socket = &mut self.socket;
        self.intake
            .fill(|buf| socket.read_wait(buf, patience, least))?;
        Ok(())
    }

    fn read_now(&mut self) -> Result<usize, PeerError> {
        self.intake.fill(|buf| self.socket.read_now(buf))
    }

    fn send(&mut self, wait: Wait) -> Result<(), PeerError> {
        let taken = self.socket.write_parts(&self.outgoing.rest(), wait)?;
        self.outgoing.on_sent(taken);
        Ok(())
    }
}
