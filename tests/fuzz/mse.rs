//! The handshake of obfuscated connections, with a stranger who knows what he does.
//!
//! Of random bytes none would pass the first step, so the stranger here makes the first
//! steps right: his public key is 1, by which the secret is 1, too. What he then seals,
//! and in what cuts it comes, is the input. He has a cipher of his own.

use sha1::{Digest, Sha1};
use storrent::parts::mse::{self, Line, MseError, Rc4, Terms};

/// Brings what the stranger says, a few bytes at a time, and then hangs up.
struct Cuts {
    says: Vec<u8>,
    said: usize,
    cut: usize,
}

/// No more comes, or we gave up.
#[derive(Debug)]
struct Over;

impl From<MseError> for Over {
    fn from(_: MseError) -> Self {
        Self
    }
}

impl Line for Cuts {
    type Error = Over;

    fn send(&mut self, bytes: &[u8]) -> Result<(), Over> {
        assert!(bytes.len() < 2_000);
        Ok(())
    }

    fn receive(&mut self, into: &mut Vec<u8>) -> Result<(), Over> {
        let rest = &self.says[self.said..];
        let next = &rest[..self.cut.min(rest.len())];
        self.said += next.len();
        into.extend(next);
        if next.is_empty() { Err(Over) } else { Ok(()) }
    }
}

/// The first byte says how it goes on, the second how it is cut, the third how much of the
/// rest is noise; what is left is sealed.
pub(super) fn mse(data: &[u8]) {
    let Some((&[mode, cut, noise], rest)) = data.split_first_chunk() else {
        return;
    };
    let (noise, sealed) = rest.split_at(rest.len().min(2 * usize::from(noise)));
    let terms = Terms {
        plain_too: mode & 1 != 0,
    };
    let mut rng = fastrand::Rng::with_seed(7);
    let torrent = super::HASH;
    let mut one = vec![0; 96];
    one[95] = 1;
    let (we_dial, right) = (mode & 2 != 0, mode & 4 == 0);
    let mut sealed = sealed.to_vec();
    let key = sha1(&[if we_dial { b"keyB" } else { b"keyA" }, &one, &torrent.0]);
    if right {
        rc4(&key, &mut sealed);
    }
    let mut says = [&one, noise].concat();
    if !we_dial {
        says.extend(sha1(&[b"req1", &one]));
        let mask = sha1(&[b"req3", &one]);
        let name = sha1(&[b"req2", &torrent.0]);
        says.extend(name.iter().zip(mask).map(|(a, b)| a ^ b));
    }
    says.extend(sealed);
    let mut line = Cuts {
        said: 0,
        cut: 1 + usize::from(cut),
        says,
    };
    let agreed = if we_dial {
        mse::begin(&mut line, torrent, b"first", terms, &mut rng)
    } else {
        let first = line.says[..line.cut.min(line.says.len())].to_vec();
        line.said = first.len();
        mse::answer(&mut line, first, &[torrent], terms, &mut rng)
    };
    if let Ok(agreed) = agreed {
        assert!(agreed.ciphers.is_some() || terms.plain_too);
        assert!(agreed.received.len() <= line.says.len());
        let _: Option<Rc4> = agreed.ciphers.map(|ciphers| ciphers.ours);
    }
}

fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    Sha1::digest(parts.concat()).into()
}

/// RC4 without its first 1,024 bytes.
fn rc4(key: &[u8], bytes: &mut [u8]) {
    let mut s: Vec<u8> = (0..=255).collect();
    let mut j = 0;
    for i in 0..256 {
        j = (j + usize::from(s[i]) + usize::from(key[i % key.len()])) % 256;
        s.swap(i, j);
    }
    let (mut i, mut j) = (0, 0);
    let mut next = || {
        i = (i + 1) % 256;
        j = (j + usize::from(s[i])) % 256;
        s.swap(i, j);
        s[(usize::from(s[i]) + usize::from(s[j])) % 256]
    };
    (0..1024).for_each(|_| _ = next());
    bytes.iter_mut().for_each(|byte| *byte ^= next());
}
