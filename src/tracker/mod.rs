//! The thread of one tracker: it waits for announces, sends them and reports the answers ([BEP 3],
//! [BEP 15]).
//!
//! A tracker may take 20 s to fail, and some torrents have dozens of dead ones, so each has its own
//! thread and none waits for another. The thread decides nothing: [`crate::announcer`] says when to
//! announce, [`crate::announce`] what. HTTP and UDP trackers differ only in the function that
//! performs an announce.
//!
//! A tracker answers with peers of the address family that it was asked over ([BEP 7]), so one with
//! an IPv4 and an IPv6 address is asked over both.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 7]: https://www.bittorrent.org/beps/bep_0007.html
//! [BEP 15]: https://www.bittorrent.org/beps/bep_0015.html

mod http;
mod udp;
pub(crate) mod udp_packets;

use crate::address::Reach;
use crate::announce::{AnnounceEvent, AnnounceReply, AnnounceRequest, TrackerError, Trouble};
use crate::announcer::TrackerIndex;
use crate::door::Door;
use crate::door::http::Barred;
use crate::threads::{self, NoThread};
use crate::url::{self, shown};
use crossbeam_channel::Receiver;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use ureq::http::Uri;

/// The stack of a tracker's thread, in bytes. A TLS handshake with four certificates needed less
/// than 160 KiB, in a debug build.
const STACK: usize = 512 * 1024;

/// If a tracker answers over one address family only, the other is skipped for this many announces.
const LEFT_OUT: u32 = 8;

/// How a tracker's thread performs an announce.
#[derive(Clone, Debug)]
pub(crate) struct TrackerSettings {
    /// The local address and the proxies to use.
    pub door: Door,
    /// The nearest address that may be dialled. It depends on who named the tracker.
    pub nearest: Reach,
    /// How long an HTTP tracker may take to accept the connection, TLS included.
    pub connect_timeout: Duration,
    /// How long a whole HTTP announce may take, redirects included.
    pub http_timeout: Duration,
    /// How long each attempt waits for a UDP tracker's answer. After each but the last, the packet
    /// is sent again. BEP 15's waits (15 s to an hour) are too long for a waiting user.
    pub udp_waits: Vec<Duration>,
    /// How long an announce may take that must not hold others up: `stopped` (the user waits), and
    /// one over the second address family after the first was answered (the next announce waits).
    pub short_timeout: Duration,
}

impl Default for TrackerSettings {
    fn default() -> Self {
        Self {
            door: Door::default(),
            nearest: Reach::World,
            connect_timeout: Duration::from_secs(10),
            http_timeout: Duration::from_secs(20),
            udp_waits: [5, 10, 20].map(Duration::from_secs).to_vec(),
            short_timeout: Duration::from_secs(3),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The unspecified address of this family: `0.0.0.0` or `::`.
    fn anywhere(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    fn holds(self, address: &SocketAddr) -> bool {
        Self::of(address.ip()) == self
    }
}

enum Tracker {
    Http(Box<http::HttpTracker>),
    Udp(Box<udp::UdpTracker>),
}

impl Tracker {
    fn new(url: &str, settings: TrackerSettings) -> Result<Self, Trouble> {
        let (scheme, _) = url.split_once("://").ok_or(Trouble::UnsupportedScheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => Ok(Self::Http(Box::new(http::HttpTracker::new(url, settings)))),
            "udp" => Ok(Self::Udp(Box::new(udp::UdpTracker::new(url, settings)?))),
            _ => Err(Trouble::UnsupportedScheme),
        }
    }

    fn announce(
        &mut self,
        request: &AnnounceRequest,
        family: Family,
        further: bool,
    ) -> Result<AnnounceReply, Trouble> {
        let hurry = further || request.event == AnnounceEvent::Stopped;
        match self {
            Self::Http(tracker) => tracker.announce(request, family, hurry),
            Self::Udp(tracker) => tracker.announce(request, family, hurry),
        }
    }
}

/// Starts the thread of the tracker at `url`. It performs the `requests` in turn and ends when
/// their channel closes. Nobody need wait for it.
///
/// The thread reports one error for each request, or one or two replies, the second with
/// [`AnnounceReply::further`] set. If it panics, it reports an error, too, and the next request
/// needs a new thread.
pub(crate) fn spawn(
    url: String,
    index: TrackerIndex,
    settings: TrackerSettings,
    requests: Receiver<AnnounceRequest>,
    report: impl Fn(TrackerIndex, Result<AnnounceReply, TrackerError>) + Clone + Send + 'static,
) -> Result<JoinHandle<()>, NoThread> {
    let thread = Builder::new()
        .name(format!("tracker {}", index.0))
        .stack_size(STACK);
    let (tracker, report_end) = (shown(&url), report.clone());
    let work = move || run(&url, settings, &requests, |result| report(index, result));
    let lost = move || {
        let trouble = Trouble::Fault;
        report_end(index, Err(TrackerError { tracker, trouble }));
    };
    threads::spawn(thread, "ask a tracker", work, lost)
}

fn run(
    url: &str,
    settings: TrackerSettings,
    requests: &Receiver<AnnounceRequest>,
    report: impl Fn(Result<AnnounceReply, TrackerError>),
) {
    // A proxy chooses between IPv4 and IPv6 by itself: the tracker is asked once.
    let is_proxied = is_proxied(url, &settings.door);
    let mut families = Families::new(&settings.door, is_proxied);
    let fail = |trouble| {
        let tracker = shown(url);
        report(Err(TrackerError { tracker, trouble }));
    };
    let mut tracker = match Tracker::new(url, settings) {
        Ok(tracker) => tracker,
        Err(trouble) => {
            // Reported at the first request, like any other failure.
            if requests.recv().is_ok() {
                fail(trouble);
            }
            return;
        }
    };
    let mut tracker_id = None;
    for mut request in requests {
        request.tracker_id.clone_from(&tracker_id);
        let failed = families.over_each(
            |family, further| tracker.announce(&request, family, further),
            |mut reply| {
                tracker_id = reply.tracker_id.take().or(tracker_id.take());
                report(Ok(reply));
            },
        );
        if let Err(trouble) = failed {
            fail(trouble);
        }
    }
}

struct Families {
    all: Vec<Family>,
    /// A family that failed while the other answered, and how many more announces skip it.
    left_out: Option<(Family, u32)>,
}

impl Families {
    /// Those that `door` allows; only one with a proxy.
    fn new(door: &Door, is_proxied: bool) -> Self {
        let mut all = vec![Family::V4, Family::V6];
        all.retain(|family| door.may_reach(family.anywhere()));
        if is_proxied {
            all.truncate(1);
        }
        Self {
            all,
            left_out: None,
        }
    }

    /// Announces over each family, and reports each reply at once: a tracker with broken IPv6 must
    /// not delay the peers that we got over IPv4. `announce` hears whether another family was
    /// answered before.
    ///
    /// Without any reply, returns the error that says most: a name without an address of one family
    /// is reported only if nothing else went wrong.
    fn over_each(
        &mut self,
        mut announce: impl FnMut(Family, bool) -> Result<AnnounceReply, Trouble>,
        mut report: impl FnMut(AnnounceReply),
    ) -> Result<(), Trouble> {
        let left_out = self.left_out.take();
        let is_asked = |family: &&Family| left_out.is_none_or(|(silent, _)| silent != **family);
        let mut answered = Vec::new();
        let mut failure = Trouble::UnknownHost;
        for &family in self.all.iter().filter(is_asked) {
            let further = !answered.is_empty();
            match announce(family, further) {
                Ok(mut reply) => {
                    reply.further = further;
                    answered.push(family);
                    report(reply);
                }
                Err(trouble) if matches!(failure, Trouble::UnknownHost) => failure = trouble,
                Err(_) => {}
            }
        }
        if answered.is_empty() {
            return Err(failure);
        }
        self.left_out = match left_out {
            Some((family, more)) => (more > 1).then_some((family, more - 1)),
            None => {
                let silent = self.all.iter().find(|family| !answered.contains(family));
                silent.map(|family| (*family, LEFT_OUT))
            }
        };
        Ok(())
    }
}

/// Explains to the user why our own rules forbid to ask this tracker, and what to do.
fn barred(barred: &Barred) -> Trouble {
    let way = match barred {
        Barred::TooNear(_) => "; if you want it asked, name it with -t",
        _ => "",
    };
    Trouble::Barred(format!("{barred}{way}"))
}

/// Whether `url` is asked through a proxy, or fails because the proxy can't be used.
fn is_proxied(url: &str, door: &Door) -> bool {
    let (bare, _) = url::without_login(&url::requestable(url));
    let uri = bare.parse::<Uri>();
    url::is_http(&bare) && uri.is_ok_and(|uri| door.http_proxy(&uri) != Ok(None))
}

fn trouble_of(error: io::Error, waited: Duration) -> Trouble {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Trouble::Refused,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Trouble::TimedOut(waited),
        _ => Trouble::Unreachable(error),
    }
}

#[cfg(test)]
mod tests;
