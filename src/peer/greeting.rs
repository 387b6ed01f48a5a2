//! How a connection begins: we dial or take an accepted stream, agree on obfuscation
//! ([`crate::mse`]) if need be, and hear the peer's handshake.
//!
//! Dialling, we try it plain first, and if the peer hangs up on that, once more with
//! obfuscation: some take nothing else. Who dials us says what it wants by its first
//! bytes: a plain handshake begins like no other.
//!
//! The handshake is that of [BEP 3]: see [`crate::wire`]. The peer's thread does this first.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use super::error::PeerError;
use super::line::Line;
use super::socket::{PeerSocket, Wait};
use super::talk::Talk;
use super::turn::Patience;
use super::{Order, Us};
use crate::config::Encryption;
use crate::door::{Door, Target};
use crate::extension::{self, Ourselves};
use crate::mse::{self, Agreed, Terms};
use crate::types::InfoHash;
use crate::wire::{HANDSHAKE_LEN, Handshake};
use crossbeam_channel::{Receiver, TryRecvError};
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long a peer may take for its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How the connection comes to be.
#[derive(Debug)]
pub(crate) enum Link {
    /// We connect.
    Dial {
        /// To whom.
        to: Target,
        /// From where, and through what.
        door: Box<Door>,
        /// About which torrent, and as whom.
        us: Us,
        /// Plain, obfuscated, or either.
        encryption: Encryption,
    },
    /// The peer connected to us.
    Accepted {
        /// The connection.
        stream: TcpStream,
        /// The torrents that it may be about.
        torrents: Vec<InfoHash>,
        /// Plain, obfuscated, or either.
        encryption: Encryption,
    },
}

/// A connection whose peer has said hello.
pub(super) struct Greeted {
    /// What followed its handshake is in the intake.
    pub(super) line: Line,
    pub(super) theirs: Handshake,
    /// Its address, if we know it.
    pub(super) their_ip: Option<IpAddr>,
    /// How long after ours it came; `None`: ours has not been sent yet.
    pub(super) within: Option<Duration>,
}

impl Greeted {
    /// Begins to talk: with our handshake, if the peer does not have it yet.
    pub(super) fn begin(&self, us: &Us) -> Talk {
        let mut talk = Talk::new(self.theirs.fast(), Instant::now());
        if self.within.is_none() {
            talk.out.extend(us.handshake().encode());
        }
        talk
    }

    /// What we say of ourselves to a peer that knows BEP 10; to others nothing.
    pub(super) fn introduction(&self, ourselves: Ourselves) -> Option<Vec<u8>> {
        let extended = self.theirs.extended();
        extended.then(|| extension::encode(&ourselves))
    }
}

/// Connects and hears the peer's handshake. `None`: main wants it no more. `spoke` is called when
/// the first byte of a peer came that connected to us.
pub(super) fn greet(
    link: Link,
    orders: &Receiver<Order>,
    spoke: impl FnOnce(),
) -> Result<Option<Greeted>, PeerError> {
    match link {
        Link::Dial {
            to,
            door,
            us,
            encryption,
        } => {
            let ours = us.handshake();
            let dial = |sealed| dial(&to, &door, &ours, sealed, orders);
            let plain = match encryption {
                Encryption::Require => None,
                _ => Some(dial(None)),
            };
            let terms = Terms {
                plain_too: encryption == Encryption::Prefer,
            };
            match plain {
                Some(Err(end)) if encryption == Encryption::Prefer && insists(&end) => {
                    dial(Some(terms))
                }
                Some(done) => done,
                None => dial(Some(terms)),
            }
        }
        Link::Accepted {
            stream,
            torrents,
            encryption,
        } => {
            let their_ip = stream.peer_addr().ok().map(|addr| addr.ip());
            let mut line = Line::new(PeerSocket::new(stream)?);
            match read_until(&mut line, orders, |came| !came.is_empty())? {
                true => spoke(),
                false => return Ok(None),
            }
            accept(line, their_ip, &torrents, encryption, orders)
        }
    }
}

/// Whether a peer that ends like this may be one that wants obfuscation.
fn insists(end: &PeerError) -> bool {
    let io = matches!(
        end,
        PeerError::Io {
            during: "reading",
            ..
        }
    );
    io || matches!(end, PeerError::HungUp)
}

fn dial(
    to: &Target,
    door: &Door,
    ours: &Handshake,
    sealed: Option<Terms>,
    orders: &Receiver<Order>,
) -> Result<Option<Greeted>, PeerError> {
    if is_over(orders) {
        return Ok(None);
    }
    let stream = door.dial(to, &|| !is_over(orders));
    let mut line = Line::new(PeerSocket::new(stream.map_err(PeerError::of_dial)?)?);
    let asked = Instant::now();
    match sealed {
        // Alone: some clients drop a peer that sends more before they answered.
        None => _ = line.socket.write(&ours.encode(), Wait::Tick)?,
        Some(terms) => {
            let mut bare = BareLine::new(&mut line.socket, orders);
            let mut rng = fastrand::Rng::new();
            let agreed = mse::begin(&mut bare, ours.info_hash, &ours.encode(), terms, &mut rng)?;
            take_over(agreed, &mut line);
        }
    }
    let Some(theirs) = read_handshake(&mut line, orders)? else {
        return Ok(None);
    };
    if ours.info_hash != theirs.info_hash {
        return Err(PeerError::WrongTorrent);
    }
    Ok(Some(Greeted {
        line,
        theirs,
        their_ip: match to {
            Target::Addr(addr) => Some(addr.ip()),
            Target::Name(_) => None,
        },
        within: Some(asked.elapsed()),
    }))
}

fn accept(
    mut line: Line,
    their_ip: Option<IpAddr>,
    torrents: &[InfoHash],
    encryption: Encryption,
    orders: &Receiver<Order>,
) -> Result<Option<Greeted>, PeerError> {
    let theirs = match read_handshake(&mut line, orders) {
        Err(PeerError::NotBitTorrent) if encryption != Encryption::Off => {
            let came = line.intake.unparsed().to_vec();
            line.intake.consume(came.len(), None);
            let terms = Terms {
                plain_too: encryption == Encryption::Prefer,
            };
            let mut bare = BareLine::new(&mut line.socket, orders);
            let mut rng = fastrand::Rng::new();
            let agreed = mse::answer(&mut bare, came, torrents, terms, &mut rng)?;
            take_over(agreed, &mut line);
            read_handshake(&mut line, orders)?
        }
        Ok(Some(_)) if encryption == Encryption::Require => return Err(PeerError::NotEncrypted),
        plain => plain?,
    };
    Ok(theirs.map(|theirs| Greeted {
        line,
        theirs,
        their_ip,
        within: None,
    }))
}

/// The rest of the connection is as both agreed.
fn take_over(agreed: Agreed, line: &mut Line) {
    let received = &agreed.received;
    // The intake is empty, and larger than what can come with an agreement.
    let copied = line.intake.fill(|buf| {
        let count = received.len().min(buf.len());
        buf[..count].copy_from_slice(&received[..count]);
        Ok::<usize, PeerError>(count)
    });
    debug_assert_eq!(copied.ok(), Some(received.len()));
    line.socket.set_ciphers(agreed.ciphers);
}

/// Reads the peer's handshake; what follows it stays in the intake. On
/// [`PeerError::NotBitTorrent`] all of it does.
fn read_handshake(
    line: &mut Line,
    orders: &Receiver<Order>,
) -> Result<Option<Handshake>, PeerError> {
    let whole = |came: &[u8]| !Handshake::plausible(came) || came.len() >= HANDSHAKE_LEN;
    if !read_until(line, orders, whole)? {
        return Ok(None);
    }
    let came = line.intake.unparsed();
    let bytes = came.first_chunk().filter(|_| Handshake::plausible(came));
    let handshake = bytes.and_then(Handshake::decode);
    let handshake = handshake.ok_or(PeerError::NotBitTorrent)?;
    line.intake.consume(HANDSHAKE_LEN, None);
    Ok(Some(handshake))
}

/// Reads until what came is `enough`; false if main wants no more before.
fn read_until(
    line: &mut Line,
    orders: &Receiver<Order>,
    enough: impl Fn(&[u8]) -> bool,
) -> Result<bool, PeerError> {
    let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
    while Instant::now() < deadline {
        if is_over(orders) {
            return Ok(false);
        }
        if enough(line.intake.unparsed()) {
            return Ok(true);
        }
        line.read_wait(Patience::Usual)?;
    }
    Err(PeerError::Silent(HANDSHAKE_TIMEOUT))
}

/// Whether main has closed the channel: nobody else sends anything before the greeting.
fn is_over(orders: &Receiver<Order>) -> bool {
    matches!(orders.try_recv(), Err(TryRecvError::Disconnected))
}

/// The line without its buffers, for as long as an agreement may take.
struct BareLine<'a> {
    socket: &'a mut PeerSocket,
    orders: &'a Receiver<Order>,
    deadline: Instant,
}

impl<'a> BareLine<'a> {
    fn new(socket: &'a mut PeerSocket, orders: &'a Receiver<Order>) -> Self {
        let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
        Self {
            socket,
            orders,
            deadline,
        }
    }

    fn check(&self) -> Result<(), PeerError> {
        if is_over(self.orders) || Instant::now() >= self.deadline {
            return Err(PeerError::Silent(HANDSHAKE_TIMEOUT));
        }
        Ok(())
    }
}

impl mse::Line for BareLine<'_> {
    type Error = PeerError;

    fn send(&mut self, bytes: &[u8]) -> Result<(), PeerError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.check()?;
            let taken = self.socket.write(rest, Wait::Tick)?;
            rest = &rest[taken..];
        }
        Ok(())
    }

    fn receive(&mut self, into: &mut Vec<u8>) -> Result<(), PeerError> {
        let mut buf = [0; 4096];
        loop {
            self.check()?;
            let count = self.socket.read_wait(&mut buf, Patience::Usual)?;
            into.extend_from_slice(&buf[..count]);
            if count > 0 {
                return Ok(());
            }
        }
    }
}
