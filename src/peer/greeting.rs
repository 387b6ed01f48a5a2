//! The beginning of a connection. The peer's thread dials, or takes an accepted stream, agrees on
//! obfuscation ([`crate::mse`]) if needed, and reads the peer's handshake ([BEP 3],
//! [`crate::wire`]).
//!
//! When we dial, we try a plain handshake first. If the peer hangs up, we dial once more with
//! obfuscation: some peers accept nothing else. When a peer dials us, its first bytes show what it
//! wants.
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

#[derive(Debug)]
pub(crate) enum Link {
    Dial {
        to: Target,
        /// The address that we dial from, and the proxy.
        door: Box<Door>,
        us: Us,
        encryption: Encryption,
    },
    Accepted {
        stream: TcpStream,
        /// The torrents that the peer may ask for.
        torrents: Vec<InfoHash>,
        encryption: Encryption,
    },
}

pub(crate) struct Greeted {
    /// The line, with bytes that followed the handshake in its intake.
    pub(super) line: Line,
    pub(super) theirs: Handshake,
    /// The peer's address, if we know it.
    pub(super) their_ip: Option<IpAddr>,
    /// The time from our handshake to the peer's. `None` if ours is not sent yet.
    pub(super) within: Option<Duration>,
}

impl Greeted {
    /// Begins the conversation: with our handshake, if the peer does not have it yet.
    pub(super) fn begin(&self, us: &Us) -> Talk {
        let mut talk = Talk::new(self.theirs.fast(), Instant::now());
        if self.within.is_none() {
            talk.out.extend(us.handshake().encode());
        }
        talk
    }

    /// Returns our extension handshake, if the peer knows BEP 10.
    pub(super) fn introduction(&self, ourselves: Ourselves) -> Option<Vec<u8>> {
        let extended = self.theirs.extended();
        extended.then(|| extension::encode(&ourselves))
    }
}

/// Connects and reads the peer's handshake. Returns `None` if main hung up. Calls `spoke` at the
/// first byte of a peer that dialled us.
pub(crate) fn greet(
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

/// Whether a connection that ends like this may be with a peer that insists on obfuscation.
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
        // Alone in its packet: some clients drop a peer that sends more before they answered.
        None => _ = line.socket.write(&ours.encode(), Wait::Tick)?,
        Some(terms) => {
            let mut bare = BareLine::new(&mut line.socket, orders);
            let mut rng = fastrand::Rng::new();
            let agreed = mse::begin(&mut bare, ours.info_hash, &ours.encode(), terms, &mut rng)?;
            adopt(agreed, &mut line);
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
            adopt(agreed, &mut line);
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

/// Sets the line to what both sides agreed on.
fn adopt(agreed: Agreed, line: &mut Line) {
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

/// Reads the peer's handshake. What follows stays in the intake; after
/// [`PeerError::NotBitTorrent`], everything.
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

/// Reads until what came is `enough`. Returns false if main hung up before.
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
        line.read_wait(Patience::Usual, 1)?;
    }
    Err(PeerError::Silent(HANDSHAKE_TIMEOUT))
}

/// Whether main hung up. Before the greeting main sends nothing that could be lost here.
fn is_over(orders: &Receiver<Order>) -> bool {
    matches!(orders.try_recv(), Err(TryRecvError::Disconnected))
}

/// The line without its buffers, while both sides agree on obfuscation.
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
            let count = self.socket.read_wait(&mut buf, Patience::Usual, 1)?;
            into.extend_from_slice(&buf[..count]);
            if count > 0 {
                return Ok(());
            }
        }
    }
}
