//! Obfuscated connections, "message stream encryption" (MSE). Some networks slow down everything
//! that looks like BitTorrent, so some peers accept only such connections.
//!
//! Both sides agree on a secret in public (a Diffie-Hellman exchange) and mix it with the info
//! hash, which an onlooker does not know. Then they send everything through the cipher RC4. There
//! is no BEP; clients do this (A has dialled B):
//!
//! ```text
//! A -> B   Ya (96 bytes), 0 to 512 bytes of noise
//! B -> A   Yb (96 bytes), 0 to 512 bytes of noise
//! A -> B   SHA-1("req1" S), SHA-1("req2" torrent) xor SHA-1("req3" S),
//!          sealed: 8 zeros, <4: what A offers>, <2: n>, n bytes, <2: m>, m bytes of the stream
//! B -> A   sealed: 8 zeros, <4: what B chose>, <2: n>, n bytes
//! after that the stream: sealed if RC4 (2) was chosen, as it is if not (1)
//! ```
//!
//! `Ya = 2^a mod P` and `Yb = 2^b mod P`, with secret `a` and `b`, so both sides can compute
//! `S = 2^(ab) mod P`. The RC4 key is the SHA-1 of `"keyA" S torrent` for what A sends, and of
//! `"keyB" S torrent` for what B sends. The noise has no length field: the receiver looks for the
//! first bytes of the next part, which nobody else can make.
//!
//! RC4 and SHA-1 are broken: MSE stops a glance, not an attack. The peer threads pass their socket
//! as a [`Line`].

use crate::types::InfoHash;
use num_bigint::BigUint;
use sha1::{Digest, Sha1};

/// Bytes of a public key.
const KEY_LEN: usize = 96;

/// The most noise between two parts, in bytes.
const MAX_NOISE: usize = 512;

/// Flag: the stream goes on in plain.
const PLAIN: u32 = 1;

/// Flag: the stream goes on through RC4.
const RC4: u32 = 2;

/// The prime `P` of 768 bits that all clients use.
const PRIME: &[u8] = b"FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22\
514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563";

/// Why two peers could not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MseError {
    /// The expected bytes did not come within the allowed noise.
    #[error("what answers there is no BitTorrent peer")]
    NoMse,
    /// The peer wants a torrent that we do not have.
    #[error("the peer wants a torrent that we do not have")]
    UnknownTorrent,
    /// The peer offers or chose nothing that we allow.
    #[error("the peer wants a connection that is not encrypted")]
    NothingInCommon,
}

/// The RC4 cipher: a stream of bytes made from a key. XOR with it seals data, and opens it again.
#[derive(Clone)]
pub struct Rc4 {
    state: [u8; 256],
    i: u8,
    j: u8,
}

impl std::fmt::Debug for Rc4 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rc4")
    }
}

impl Rc4 {
    fn new(key: &[u8]) -> Self {
        let mut state: [u8; 256] = std::array::from_fn(|n| n as u8);
        let mut j = 0u8;
        for (i, k) in key.iter().cycle().take(256).enumerate() {
            j = j.wrapping_add(state[i]).wrapping_add(*k);
            state.swap(i, usize::from(j));
        }
        Self { state, i: 0, j: 0 }
    }

    /// Makes the cipher of one direction. Like all clients, skips the first 1,024 bytes, which
    /// reveal parts of the key.
    fn of(name: &[u8], secret: &[u8], torrent: InfoHash) -> Self {
        let mut cipher = Self::new(&sha1(&[name, secret, &torrent.0]));
        cipher.apply(&mut [0; 1024]);
        cipher
    }

    /// Seals or opens the next bytes of the stream.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.i = self.i.wrapping_add(1);
            let a = self.state[usize::from(self.i)];
            self.j = self.j.wrapping_add(a);
            let b = self.state[usize::from(self.j)];
            self.state[usize::from(self.i)] = b;
            self.state[usize::from(self.j)] = a;
            *byte ^= self.state[usize::from(a.wrapping_add(b))];
        }
    }
}

/// The ciphers of a sealed stream.
#[derive(Clone, Debug)]
pub struct Ciphers {
    /// For the bytes that we send.
    pub ours: Rc4,
    /// For the bytes that the peer sends.
    pub theirs: Rc4,
}

/// The result of a successful handshake.
#[derive(Debug)]
pub struct Agreed {
    /// For the rest of the stream; `None` if it goes on in plain.
    pub ciphers: Option<Ciphers>,
    /// The first bytes of the stream, opened.
    pub received: Vec<u8>,
}

/// The connection that the handshake runs over.
pub trait Line {
    /// Why sending or receiving fails.
    type Error: From<MseError>;
    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// If the connection is lost, or the other side takes too long.
    fn send(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
    /// Waits for at least one more byte, and appends what has come.
    ///
    /// # Errors
    /// If the connection is lost, or the other side takes too long.
    fn receive(&mut self, into: &mut Vec<u8>) -> Result<(), Self::Error>;
}

/// What we allow on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether the stream may go on in plain.
    pub plain_too: bool,
}

impl Terms {
    fn offer(self) -> u32 {
        if self.plain_too { PLAIN | RC4 } else { RC4 }
    }
}

/// Runs the handshake as A: we have dialled a peer for `torrent`. `first` begins the stream:
/// our BitTorrent handshake.
///
/// # Errors
/// The line's own, or [`MseError`].
pub fn begin<L: Line>(
    line: &mut L,
    torrent: InfoHash,
    first: &[u8],
    terms: Terms,
    rng: &mut fastrand::Rng,
) -> Result<Agreed, L::Error> {
    let keys = Keys::new(rng);
    line.send(&[keys.public.clone(), noise(rng)].concat())?;
    let mut came = Vec::new();
    receive(line, &mut came, KEY_LEN)?;
    let rest = came.split_off(KEY_LEN);
    let secret = keys.secret(&came);
    let mut ours = Rc4::of(b"keyA", &secret, torrent);
    let mut theirs = Rc4::of(b"keyB", &secret, torrent);

    let mut sealed = vec![0; 8];
    sealed.extend(terms.offer().to_be_bytes());
    let padding = noise(rng);
    put(&mut sealed, &padding);
    put(&mut sealed, first);
    ours.apply(&mut sealed);
    let (named, mask) = (sha1(&[b"req2", &torrent.0]), sha1(&[b"req3", &secret]));
    let name: Vec<u8> = named.iter().zip(mask).map(|(a, b)| a ^ b).collect();
    line.send(&[&sha1(&[b"req1", &secret])[..], &name, &sealed].concat())?;

    // Eight sealed zeros mark the end of the noise.
    let mut sign = [0; 8];
    theirs.clone().apply(&mut sign);
    let mut came = find(line, rest, &sign)?;
    let mut at = 0;
    let chosen = open(line, &mut came, &mut at, &mut theirs, 8 + 4 + 2)?;
    let chosen = (be32(&chosen[8..]), be16(&chosen[12..]));
    if chosen.1 > MAX_NOISE {
        return Err(MseError::NoMse.into());
    }
    open(line, &mut came, &mut at, &mut theirs, chosen.1)?;
    match chosen.0 & terms.offer() {
        RC4 => Ok(agreed(came.split_off(at), Some(Ciphers { ours, theirs }))),
        PLAIN => Ok(agreed(came.split_off(at), None)),
        _ => Err(MseError::NothingInCommon.into()),
    }
}

/// Runs the handshake as B: a peer has dialled us and sent `came` so far. It may ask for one of
/// `torrents`.
///
/// # Errors
/// The line's own, or [`MseError`].
pub fn answer<L: Line>(
    line: &mut L,
    mut came: Vec<u8>,
    torrents: &[InfoHash],
    terms: Terms,
    rng: &mut fastrand::Rng,
) -> Result<Agreed, L::Error> {
    receive(line, &mut came, KEY_LEN)?;
    let rest = came.split_off(KEY_LEN);
    let keys = Keys::new(rng);
    let secret = keys.secret(&came);
    line.send(&[keys.public.clone(), noise(rng)].concat())?;

    let mut came = find(line, rest, &sha1(&[b"req1", &secret]))?;
    receive(line, &mut came, 40)?;
    let mask = sha1(&[b"req3", &secret]);
    let named: Vec<u8> = came[20..40].iter().zip(mask).map(|(a, b)| a ^ b).collect();
    let is_named = |torrent: &&InfoHash| sha1(&[b"req2", &torrent.0])[..] == named;
    let torrent = *torrents
        .iter()
        .find(is_named)
        .ok_or(MseError::UnknownTorrent)?;
    let mut theirs = Rc4::of(b"keyA", &secret, torrent);
    let mut ours = Rc4::of(b"keyB", &secret, torrent);

    let mut at = 40;
    let offer = open(line, &mut came, &mut at, &mut theirs, 8 + 4 + 2)?;
    let (zeros, offered, padding) = (&offer[..8], be32(&offer[8..]), be16(&offer[12..]));
    if zeros != [0; 8] || padding > MAX_NOISE {
        return Err(MseError::NoMse.into());
    }
    open(line, &mut came, &mut at, &mut theirs, padding)?;
    let length = open(line, &mut came, &mut at, &mut theirs, 2)?;
    let mut received = open(line, &mut came, &mut at, &mut theirs, be16(&length))?;
    // Plain is better, if both allow it: blocks then go from the file to the network without a
    // copy.
    let chosen = match offered & terms.offer() {
        0 => return Err(MseError::NothingInCommon.into()),
        common if common & PLAIN != 0 => PLAIN,
        _ => RC4,
    };
    let mut sealed = vec![0; 8];
    sealed.extend(chosen.to_be_bytes());
    put(&mut sealed, &[]);
    ours.apply(&mut sealed);
    line.send(&sealed)?;
    let ciphers = (chosen == RC4).then_some(Ciphers { ours, theirs });
    let rest = agreed(came.split_off(at), ciphers);
    received.extend(rest.received);
    Ok(Agreed { received, ..rest })
}

/// Makes the result; `received` are the bytes that came after the handshake.
fn agreed(mut received: Vec<u8>, mut ciphers: Option<Ciphers>) -> Agreed {
    if let Some(ciphers) = &mut ciphers {
        ciphers.theirs.apply(&mut received);
    }
    Agreed { ciphers, received }
}

fn receive<L: Line>(line: &mut L, came: &mut Vec<u8>, len: usize) -> Result<(), L::Error> {
    while came.len() < len {
        line.receive(came)?;
    }
    Ok(())
}

/// Waits for `sign` after at most [`MAX_NOISE`] bytes; returns the bytes from `sign` on.
fn find<L: Line>(line: &mut L, mut came: Vec<u8>, sign: &[u8]) -> Result<Vec<u8>, L::Error> {
    loop {
        let within = &came[..came.len().min(MAX_NOISE + sign.len())];
        if let Some(at) = within.windows(sign.len()).position(|w| w == sign) {
            return Ok(came.split_off(at));
        }
        if within.len() == MAX_NOISE + sign.len() {
            return Err(MseError::NoMse.into());
        }
        line.receive(&mut came)?;
    }
}

/// Opens the next `len` bytes of `came`, from `at` on.
fn open<L: Line>(
    line: &mut L,
    came: &mut Vec<u8>,
    at: &mut usize,
    theirs: &mut Rc4,
    len: usize,
) -> Result<Vec<u8>, L::Error> {
    receive(line, came, *at + len)?;
    let mut part = came[*at..*at + len].to_vec();
    theirs.apply(&mut part);
    *at += len;
    Ok(part)
}

/// Our half of the key exchange.
struct Keys {
    private: BigUint,
    public: Vec<u8>,
}

impl Keys {
    fn new(rng: &mut fastrand::Rng) -> Self {
        // 160 bits, as in all clients: with this prime, more would not be safer.
        let private = BigUint::from_bytes_be(&std::array::from_fn::<u8, 20, _>(|_| rng.u8(..)));
        let public = padded(&BigUint::from(2u8).modpow(&private, &prime()));
        Self { private, public }
    }

    fn secret(&self, theirs: &[u8]) -> Vec<u8> {
        padded(&BigUint::from_bytes_be(theirs).modpow(&self.private, &prime()))
    }
}

fn prime() -> BigUint {
    BigUint::parse_bytes(PRIME, 16).unwrap_or_default()
}

fn padded(number: &BigUint) -> Vec<u8> {
    let bytes = number.to_bytes_be();
    [vec![0; KEY_LEN.saturating_sub(bytes.len())], bytes].concat()
}

fn noise(rng: &mut fastrand::Rng) -> Vec<u8> {
    let len = rng.usize(..=MAX_NOISE);
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

/// Appends two bytes with the length of `bytes`, then `bytes`.
fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend((bytes.len() as u16).to_be_bytes());
    to.extend(bytes);
}

fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut hash = Sha1::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

fn be32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |b| u32::from_be_bytes(*b))
}

fn be16(bytes: &[u8]) -> usize {
    bytes
        .first_chunk()
        .map_or(0, |b| u16::from_be_bytes(*b).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{Receiver, Sender, unbounded};

    struct End {
        to: Sender<u8>,
        from: Receiver<u8>,
        cut: usize,
    }

    #[derive(Debug, PartialEq)]
    enum Lost {
        HungUp,
        Mse(MseError),
    }

    impl From<MseError> for Lost {
        fn from(error: MseError) -> Self {
            Self::Mse(error)
        }
    }

    impl Line for End {
        type Error = Lost;

        fn send(&mut self, bytes: &[u8]) -> Result<(), Lost> {
            bytes
                .iter()
                .try_for_each(|b| self.to.send(*b))
                .map_err(|_| Lost::HungUp)
        }

        fn receive(&mut self, into: &mut Vec<u8>) -> Result<(), Lost> {
            into.push(self.from.recv().map_err(|_| Lost::HungUp)?);
            into.extend(self.from.try_iter().take(self.cut - 1));
            Ok(())
        }
    }

    fn pair(cut: usize) -> (End, End) {
        let ((to_b, from_a), (to_a, from_b)) = (unbounded(), unbounded());
        let a = End {
            to: to_b,
            from: from_b,
            cut,
        };
        (
            a,
            End {
                to: to_a,
                from: from_a,
                cut,
            },
        )
    }

    const OURS: InfoHash = InfoHash([7; 20]);
    const ANY: Terms = Terms { plain_too: true };
    const SEALED: Terms = Terms { plain_too: false };

    fn meet(
        a: Terms,
        b: Terms,
        cut: usize,
    ) -> (Result<Agreed, Lost>, Result<Agreed, Lost>, End, End) {
        let (mut at_a, mut at_b) = pair(cut);
        let answering = std::thread::spawn(move || {
            let mut rng = fastrand::Rng::with_seed(2);
            let torrents = [InfoHash([9; 20]), OURS];
            (answer(&mut at_b, Vec::new(), &torrents, b, &mut rng), at_b)
        });
        let mut rng = fastrand::Rng::with_seed(1);
        let begun = begin(&mut at_a, OURS, b"hello", a, &mut rng);
        if begun.is_err() {
            at_a.to = unbounded().0; // hangs up
        }
        let (answered, at_b) = answering.join().unwrap();
        (begun, answered, at_a, at_b)
    }

    #[test]
    fn the_stream_goes_on() {
        for (a, b, sealed) in [(ANY, ANY, false), (SEALED, ANY, true), (ANY, SEALED, true)] {
            for cut in [1, 13, 5000] {
                let (begun, answered, mut at_a, mut at_b) = meet(a, b, cut);
                let (mut begun, mut answered) = (begun.unwrap(), answered.unwrap());
                assert_eq!(begun.ciphers.is_some(), sealed);
                assert_eq!(answered.received, b"hello");
                let mut words = *b"what we say then";
                if let Some(ciphers) = &mut begun.ciphers {
                    ciphers.ours.apply(&mut words);
                    assert_ne!(&words, b"what we say then");
                }
                at_a.send(&words).unwrap();
                let mut heard = Vec::new();
                receive(&mut at_b, &mut heard, words.len()).unwrap();
                if let Some(ciphers) = &mut answered.ciphers {
                    ciphers.theirs.apply(&mut heard);
                }
                assert_eq!(heard, b"what we say then");
            }
        }
    }

    #[test]
    fn who_can_not_agree() {
        let (mut a, mut b) = pair(100);
        let mut rng = fastrand::Rng::with_seed(1);
        // The peer asks for another torrent: we hang up, and so does the other end.
        let answering = std::thread::spawn(move || {
            let mut rng = fastrand::Rng::with_seed(2);
            answer(&mut b, Vec::new(), &[InfoHash([9; 20])], ANY, &mut rng).map(|_| ())
        });
        let begun = begin(&mut a, OURS, b"hello", ANY, &mut rng).map(|_| ());
        assert_eq!(begun, Err(Lost::HungUp));
        let answered = answering.join().unwrap();
        assert_eq!(answered, Err(Lost::Mse(MseError::UnknownTorrent)));
        // Noise that never ends.
        let (mut a, mut b) = pair(100);
        b.send(&[3; 2000]).unwrap();
        let begun = begin(&mut a, OURS, b"hello", ANY, &mut rng).map(|_| ());
        assert_eq!(begun, Err(Lost::Mse(MseError::NoMse)));
        let (mut a, mut b) = pair(100);
        a.send(&[3; 2000]).unwrap();
        let answered = answer(&mut b, vec![1], &[OURS], ANY, &mut rng).map(|_| ());
        assert_eq!(answered, Err(Lost::Mse(MseError::NoMse)));
    }

    /// The key 01 02 03 04 05 of RFC 6229.
    #[test]
    fn rc4_as_published() {
        let mut stream = [0; 16];
        Rc4::new(&[1, 2, 3, 4, 5]).apply(&mut stream);
        let expected = [
            0xb2, 0x39, 0x63, 0x05, 0xf0, 0x3d, 0xc0, 0x27, 0xcc, 0xc3, 0x52, 0x4a, 0x0a, 0x11,
            0x18, 0xa8,
        ];
        assert_eq!(stream, expected);
    }

    #[test]
    fn the_prime() {
        assert_eq!(prime().bits(), 768);
        assert_eq!(PRIME.len(), 2 * KEY_LEN);
    }
}
