//! Announces over UDP ([BEP 15]): the sockets, and when to send a lost packet again.
//! [`super::udp_packets`] defines the packets.
//!
//! [BEP 15]: https://www.bittorrent.org/beps/bep_0015.html

use super::udp_packets::{self as packets, Answer};
use super::{Family, TrackerSettings, trouble_of};
use crate::address::Reach;
use crate::announce::{AnnounceReply, AnnounceRequest, Trouble};
use crate::door::http::Barred;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long a connection id is used. It lives for 60 s; an announce takes a while.
const CONNECTION_LIFE: Duration = Duration::from_secs(50);

/// The longest packet that we read, in bytes: far more than the 200 peers that trackers send.
const MAX_PACKET: usize = 16 * 1024;

pub(super) struct UdpTracker {
    host: String,
    path: String,
    settings: TrackerSettings,
    sessions: Vec<Session>,
}

struct Session {
    family: Family,
    /// Connected, so the kernel drops packets from others, and reports at once if nobody listens
    /// there.
    socket: UdpSocket,
    connection: Option<(u64, Instant)>,
}

impl UdpTracker {
    pub(super) fn new(url: &str, settings: TrackerSettings) -> Result<Self, Trouble> {
        let (host, path) = packets::split_url(url)?;
        Ok(Self {
            host: host.to_owned(),
            path: path.to_owned(),
            settings,
            sessions: Vec::new(),
        })
    }

    /// Performs one announce, within the time limit of the settings plus the look-up of the name.
    pub(super) fn announce(
        &mut self,
        request: &AnnounceRequest,
        family: Family,
        hurry: bool,
    ) -> Result<AnnounceReply, Trouble> {
        let waits = if hurry {
            // Two attempts: one packet may be lost.
            let all = self.settings.short_timeout;
            vec![all / 3, all - all / 3]
        } else {
            self.settings.udp_waits.clone()
        };
        // A session leaves the list here, and returns only after a success. After a failure the
        // name is looked up again.
        let known = self.sessions.iter().position(|s| s.family == family);
        let mut session = match known {
            Some(at) => self.sessions.swap_remove(at),
            None => self.open(family)?,
        };
        for &wait in &waits {
            match session.attempt(request, &self.path, Instant::now() + wait) {
                Err(Trouble::TimedOut(_)) => {}
                Ok(reply) => {
                    self.sessions.push(session);
                    return Ok(reply);
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Err(Trouble::TimedOut(waits.iter().sum()))
    }

    fn open(&self, family: Family) -> Result<Session, Trouble> {
        let door = &self.settings.door;
        let addresses = door.look_up(&self.host).map_err(Trouble::Unreachable)?;
        let addresses: Vec<_> = addresses
            .into_iter()
            .filter(|to| family.holds(to))
            .collect();
        let is_allowed = |to: &&SocketAddr| Reach::of(to.ip()) >= self.settings.nearest;
        let to = match (addresses.iter().find(is_allowed), addresses.is_empty()) {
            (Some(to), _) => to,
            (None, true) => return Err(Trouble::UnknownHost),
            (None, false) => {
                return Err(super::barred(&Barred::TooNear(self.host.clone())));
            }
        };
        let socket = door.udp(family == Family::V6, 0);
        let socket = socket.map_err(Trouble::Unreachable)?;
        socket.connect(to).map_err(Trouble::Unreachable)?;
        Ok(Session {
            family,
            socket,
            connection: None,
        })
    }
}

impl Session {
    /// Connects if necessary, and announces, all before `deadline`.
    fn attempt(
        &mut self,
        request: &AnnounceRequest,
        path: &str,
        deadline: Instant,
    ) -> Result<AnnounceReply, Trouble> {
        // The id is kept only after a success: a tracker that was restarted does not know it, and
        // may or may not say so.
        let fresh = |&(_, since): &(u64, Instant)| since.elapsed() < CONNECTION_LIFE;
        let (connection, since) = match self.connection.take().filter(fresh) {
            Some(connection) => connection,
            None => {
                let transaction = fastrand::u32(..);
                let since = Instant::now();
                match self.exchange(&packets::connect(transaction), transaction, deadline)? {
                    Answer::Connected(connection) => (connection, since),
                    answer => return Err(unexpected(answer)),
                }
            }
        };
        let transaction = fastrand::u32(..);
        let packet = packets::announce(connection, transaction, request, path);
        match self.exchange(&packet, transaction, deadline)? {
            Answer::Announced(reply) => {
                self.connection = Some((connection, since));
                Ok(reply)
            }
            answer => Err(unexpected(answer)),
        }
    }

    fn exchange(
        &self,
        packet: &[u8],
        transaction: u32,
        deadline: Instant,
    ) -> Result<Answer, Trouble> {
        let failed = |error: io::Error| trouble_of(error, Duration::ZERO);
        self.socket.send(packet).map_err(failed)?;
        let mut buffer = vec![0; MAX_PACKET];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Trouble::TimedOut(Duration::ZERO));
            }
            self.socket.set_read_timeout(Some(left)).map_err(failed)?;
            let len = self.socket.recv(&mut buffer).map_err(failed)?;
            let received = buffer.get(..len).unwrap_or_default();
            let v6 = self.family == Family::V6;
            if let Some(answer) = packets::answer(received, transaction, v6) {
                return Ok(answer);
            }
        }
    }
}

fn unexpected(answer: Answer) -> Trouble {
    match answer {
        Answer::Refused(why) => Trouble::Failure(why),
        _ => Trouble::Garbage("it answers another question".to_owned()),
    }
}
