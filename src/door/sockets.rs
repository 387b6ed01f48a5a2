//! Opens every socket of this program: for peers, UDP trackers, the DHT, local discovery and the
//! HTTP client, and the one that listens for peers.
//!
//! With `--proxy`, any request for a socket fails that is not to the proxy: a forgetful caller can't
//! bypass it.

use super::{DialError, Door};
use crate::setting::Setting::{Bind, Proxy};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::net::{ToSocketAddrs, UdpSocket};
use std::time::Duration;

/// How many incoming connections the system queues before we accept them.
const BACKLOG: i32 = 128;

/// After this long without traffic, the system probes whether the other end is still there.
const QUIET: Duration = Duration::from_secs(20);

const ASK_AGAIN: Duration = Duration::from_secs(5);

/// How many unanswered probes end a connection. A vanished peer is thus noticed after 35 s.
const QUESTIONS: u32 = 3;

/// While sent data is unacknowledged, the system does not probe but resends, by default for about
/// 15 minutes. After this long the connection ends, too.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNHEARD: Duration = Duration::from_secs(35);

impl Door {
    /// Checks that this machine has the address of `--bind` at the moment.
    ///
    /// # Errors
    /// [`DialError::NoWay`], if it does not; [`DialError::Io`], if the check itself fails.
    pub fn check(&self) -> Result<(), DialError> {
        let Some(ip) = self.bind else { return Ok(()) };
        let domain = Domain::for_address(SocketAddr::new(ip, 0));
        self.bind_to(&Socket::new(domain, Type::DGRAM, None)?, ip, 0)
    }

    /// Checks the address of `--bind` at the start.
    ///
    /// # Errors
    /// A message for the user, if the address can't be used.
    pub fn find_address(&self) -> Result<(), String> {
        let (Some(ip), Err(error)) = (self.bind, self.check()) else {
            return Ok(());
        };
        let why = match error {
            DialError::NoWay(_) => "it is none of this machine's".into(),
            error => error.to_string(),
        };
        Err(format!(
            "cannot use the address {ip} of {Bind}: {why}; `ip address` shows those that there are"
        ))
    }

    /// Connects to `addr` directly, within `limit`.
    ///
    /// # Errors
    /// [`DialError`]; always with `--proxy`.
    pub fn connect(&self, addr: SocketAddr, limit: Duration) -> Result<TcpStream, DialError> {
        self.only_without_proxy("a connection")?;
        self.connect_directly(addr, limit)
    }

    /// Connects directly: to a peer, a web server or the proxy itself.
    pub(super) fn connect_directly(
        &self,
        addr: SocketAddr,
        limit: Duration,
    ) -> Result<TcpStream, DialError> {
        self.of_our_family(addr.ip())?;
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
        if let Some(ip) = self.bind {
            self.bind_to(&socket, ip, 0)?;
        }
        socket.connect_timeout(&addr.into(), limit)?;
        Ok(socket.into())
    }

    /// Listens for peers on `port` (0: any free one).
    ///
    /// # Errors
    /// If the port is taken, if this machine lacks the address of `--bind`, or with `--proxy`.
    pub fn listen(&self, port: u16) -> io::Result<TcpListener> {
        self.only_without_proxy("a listening socket")?;
        match self.bind {
            Some(ip) => listen_on(SocketAddr::new(ip, port)),
            // One socket for both families, or one for IPv4 if this machine has no IPv6.
            None => match listen_on((Ipv6Addr::UNSPECIFIED, port).into()) {
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    listen_on((Ipv4Addr::UNSPECIFIED, port).into())
                }
                result => result,
            },
        }
    }

    /// Opens a UDP socket for IPv6 or for IPv4 on `port` (0: any free one). One for IPv6 receives
    /// no IPv4, so a second socket can have the same port for IPv4.
    ///
    /// # Errors
    /// If the port is taken, if `--bind` is of the other family, or with `--proxy`.
    pub fn udp(&self, v6: bool, port: u16) -> io::Result<UdpSocket> {
        self.only_without_proxy("UDP")?;
        let anywhere = match v6 {
            false => Ipv4Addr::UNSPECIFIED.into(),
            true => Ipv6Addr::UNSPECIFIED.into(),
        };
        self.of_our_family(anywhere)?;
        let ip = self.bind.unwrap_or(anywhere);
        let socket = Socket::new(
            Domain::for_address(SocketAddr::new(ip, 0)),
            Type::DGRAM,
            None,
        )?;
        if v6 {
            socket.set_only_v6(true)?;
        }
        self.bind_to(&socket, ip, port)?;
        Ok(socket.into())
    }

    /// Opens a non-blocking UDP socket that receives what is sent to the multicast group `at`, once
    /// the caller has joined the group. Other programs on this machine can do the same.
    ///
    /// # Errors
    /// If the system refuses, if `--bind` is of the other family, or with `--proxy`.
    pub fn group(&self, at: SocketAddr) -> io::Result<UdpSocket> {
        self.only_without_proxy("UDP")?;
        self.of_our_family(at.ip())?;
        let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        socket.set_reuse_port(true)?;
        // Receive only from interfaces on which we joined the group. An old system lacks this
        // option, and we hear more.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = match at.is_ipv4() {
            true => socket.set_multicast_all_v4(false),
            false => socket.set_multicast_all_v6(false),
        };
        if at.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&at.into())?;
        Ok(socket.into())
    }

    /// Looks up `HOST:PORT`, which may take the system 30 s. Returns the addresses that
    /// [`bind`](Door::bind) allows.
    ///
    /// # Errors
    /// If there is no such name, if none of its addresses is of the family of `--bind`, or with
    /// `--proxy`, since the proxy looks names up.
    pub fn look_up(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        self.only_without_proxy("a look-up of a name")?;
        self.look_up_directly(name)
    }

    pub(super) fn look_up_directly(&self, name: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
        let mut found: Vec<SocketAddr> = name.to_socket_addrs()?.collect();
        let first = found.first().copied();
        found.retain(|addr| self.may_reach(addr.ip()));
        match first {
            Some(other) if found.is_empty() => {
                Err(self.of_our_family(other.ip()).err().map_or_else(
                    || io::ErrorKind::NotFound.into(),
                    |error| io::Error::other(format!("its only address is {other}: {error}")),
                ))
            }
            _ => Ok(found),
        }
    }

    fn bind_to(&self, socket: &Socket, ip: IpAddr, port: u16) -> Result<(), DialError> {
        let bound = socket.bind(&SocketAddr::new(ip, port).into());
        bound.map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::ADDRNOTAVAIL) if self.bind.is_some() => {
                DialError::NoWay(format!("the address {ip} ({Bind}) is gone"))
            }
            _ => error.into(),
        })
    }

    fn only_without_proxy(&self, what: &str) -> io::Result<()> {
        match &self.proxy {
            None => Ok(()),
            Some(proxy) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("{what} can't go through the proxy {proxy} ({Proxy})"),
            )),
        }
    }

    fn of_our_family(&self, ip: IpAddr) -> io::Result<()> {
        match self.bind.filter(|_| !self.may_reach(ip)) {
            None => Ok(()),
            Some(bind) => {
                let kind = if bind.is_ipv4() { "IPv4" } else { "IPv6" };
                Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!("with {Bind} {bind} only {kind} is used"),
                ))
            }
        }
    }
}

fn listen_on(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Has the system detect that the other end has vanished: by probes on an idle connection (TCP
/// keep-alive), and by data that stays unacknowledged (RFC 5482; Linux only).
pub fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let questions = TcpKeepalive::new()
        .with_time(QUIET)
        .with_interval(ASK_AGAIN)
        .with_retries(QUESTIONS);
    let socket = socket2::SockRef::from(stream);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(UNHEARD))?;
    socket.set_tcp_keepalive(&questions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Proxy;

    fn bound(ip: &str) -> Door {
        Door::at(ip.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn an_address_of_this_machine() {
        assert!(Door::default().check().is_ok());
        assert!(bound("127.0.0.1").check().is_ok());
        // Reserved for documentation: no machine has it.
        let elsewhere = bound("192.0.2.7");
        let text = elsewhere.check().unwrap_err().to_string();
        assert_eq!(text, "the address 192.0.2.7 (--bind) is gone");
        let to = "127.0.0.1:9".parse().unwrap();
        let dialled = elsewhere.connect(to, QUIET);
        assert!(matches!(dialled, Err(DialError::NoWay(_))), "{dialled:?}");
    }

    #[test]
    fn nothing_of_the_other_family() {
        let (v4, v6) = (bound("127.0.0.1"), bound("::1"));
        let to = "[::1]:9".parse().unwrap();
        let text = v4.connect(to, QUIET).unwrap_err().to_string();
        assert_eq!(text, "with --bind 127.0.0.1 only IPv4 is used");
        assert!(v4.udp(true, 0).is_err());
        assert!(v4.udp(false, 0).is_ok());
        assert!(v6.udp(false, 0).is_err());
        assert!(v4.group("[ff15::1]:6771".parse().unwrap()).is_err());
        assert_eq!(v4.look_up("127.0.0.1:7").unwrap().len(), 1);
        let text = v6.look_up("127.0.0.1:7").unwrap_err().to_string();
        let why = "its only address is 127.0.0.1:7: with --bind ::1 only IPv6 is used";
        assert_eq!(text, why);
        let all = Door::default().look_up("localhost:7").unwrap();
        let ours = v4.look_up("localhost:7").unwrap();
        let wanted: Vec<_> = all.into_iter().filter(SocketAddr::is_ipv4).collect();
        assert_eq!(ours, wanted);
    }

    #[test]
    fn nothing_around_the_proxy() {
        let door = Door {
            proxy: Some("socks5://u:secret@127.0.0.1:9".parse::<Proxy>().unwrap()),
            ..Door::default()
        };
        let to = "127.0.0.1:9".parse().unwrap();
        let group = "239.192.152.143:6771".parse().unwrap();
        let refused = [
            door.connect(to, QUIET).unwrap_err().to_string(),
            door.listen(0).unwrap_err().to_string(),
            door.udp(false, 0).unwrap_err().to_string(),
            door.group(group).unwrap_err().to_string(),
            door.look_up("localhost:1").unwrap_err().to_string(),
        ];
        for text in refused {
            let end = "can't go through the proxy socks5://127.0.0.1:9 (--proxy)";
            assert!(text.ends_with(end), "{text}");
        }
    }

    #[test]
    fn an_end_that_is_gone_is_asked_after() {
        let listener = Door::default().listen(0).unwrap();
        let to = (Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port());
        let stream = Door::default().connect(to.into(), QUIET).unwrap();
        keep_alive(&stream).unwrap();
        let socket = socket2::SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), QUIET);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), ASK_AGAIN);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), QUESTIONS);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNHEARD));
    }
}
