//! Watches over the ways out of this machine: the address of `--bind`, which may go away (a VPN
//! that drops), and the proxy of `--proxy`, through which all connections must go.
//!
//! A proxy carries no UDP, so with `--proxy` we never ask the DHT, the local network or trackers
//! over UDP. The user reads this once as a warning, and again in the line that says why no data
//! comes.

use super::{Engine, PeerName, listener};
use crate::config::{Config, Named};
use crate::door::{DialError, Name};
use crate::human::count;
use crate::setting::Setting::{Bind, Port, Proxy};
use crate::torrent::Phase;
use crate::types::TorrentId;
use crate::url::scheme;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

/// The port that we announce if nobody can connect to us. Some trackers refuse 0.
const NO_PORT: u16 = 1;

/// How often we check that this machine has the address of `--bind`.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) const PROXY: &str = "look for the proxy";

/// Opens the listening socket, and returns it with the port that we announce. With a proxy there is
/// no such socket: a peer that connects to us would bypass the proxy.
///
/// # Errors
/// A message for the user, if no socket can be opened or this machine lacks the address of
/// `--bind`.
pub(super) fn listen(config: &Config) -> Result<(Option<TcpListener>, u16), String> {
    let door = &config.door;
    door.find_address()?;
    if door.proxy.is_some() {
        return Ok((None, NO_PORT));
    }
    let socket = listener::open(config.port, door);
    let opened = socket.and_then(|socket| Ok((socket.local_addr()?.port(), socket)));
    match opened {
        Ok((port, socket)) => Ok((Some(socket), port)),
        Err(error) => {
            let port = config
                .port
                .map_or_else(String::new, |port| format!(" on port {port}"));
            Err(format!(
                "cannot listen for peers{port}: {error}; choose another {Port} or {Bind}"
            ))
        }
    }
}

fn is_udp(url: &str) -> bool {
    let scheme = scheme(url.trim_start());
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("udp"))
}

impl Engine<'_> {
    pub(super) fn keep_to_proxy(&self, named: &mut Named) {
        if self.config.door.proxy.is_some() {
            for tier in &mut named.trackers {
                tier.retain(|url| !is_udp(url));
            }
        }
    }

    /// Tells a torrent whether the address of `--bind` is gone and which sources the proxy shuts
    /// out.
    pub(super) fn tell_ways(&mut self, id: TorrentId, private: bool) {
        let (gone, wished) = (self.address_gone.clone(), self.wished);
        let all = self.works[id].job.named(private).trackers;
        let trackers = all.iter().flatten().filter(|url| is_udp(url)).count();
        let Some(running) = self.works.running(id) else {
            return;
        };
        running.torrent.on_address(gone.as_deref(), Instant::now());
        if self.config.door.proxy.is_none() {
            return;
        }
        let mut shut_out = Vec::new();
        if trackers > 0 {
            shut_out.push(count(trackers as u64, "tracker"));
        }
        if wished.dht && !private {
            shut_out.push("the DHT".to_owned());
        }
        if wished.lsd && !private {
            shut_out.push("the local network".to_owned());
        }
        let list = shut_out.join(", ");
        if let Some(running) = self.works.running(id) {
            running.torrent.set_shut_out(list.clone());
        }
        if !list.is_empty() {
            self.warn_once(format!(
                "not asked, as UDP can't go through {Proxy}: {list}"
            ));
        }
        self.end_without_proxy(id);
    }

    pub(super) fn on_proxy(&mut self, found: Result<(), String>) {
        if let Err(why) = found {
            self.no_proxy = Some(why);
            self.works.ids().for_each(|id| self.end_without_proxy(id));
        }
    }

    /// Fails a torrent that needs the proxy, if the proxy could not be reached. A torrent that is
    /// complete needs none, and one whose data is still being checked may be complete.
    fn end_without_proxy(&mut self, id: TorrentId) {
        let Some(why) = self.no_proxy.clone() else {
            return;
        };
        let phase = self
            .works
            .running(id)
            .map(|running| running.torrent.phase());
        if phase.is_some_and(|phase| phase != Phase::Done) {
            self.fail(id, why);
        }
    }

    /// Checks every [`LOOK_EVERY`] that this machine still has the address of `--bind`.
    pub(super) fn watch_address(&mut self, now: Instant) {
        if self.config.door.bind.is_none() || now < self.look_at {
            return;
        }
        self.look_at = now + LOOK_EVERY;
        let gone = match self.config.door.check() {
            Err(DialError::NoWay(why)) => Some(why),
            _ => None,
        };
        if gone == self.address_gone {
            return;
        }
        for (_, running) in self.works.all_running() {
            running.torrent.on_address(gone.as_deref(), now);
        }
        self.address_gone = gone;
    }

    /// Returns the address that stands for a peer whose name the proxy will look up.
    pub(super) fn stand_in(&mut self, peer: &PeerName) -> Option<SocketAddr> {
        Name::new(&peer.name).and_then(|name| self.names.stand_in(name))
    }
}
