//! SHA-1 of several messages of the same length at the same time.
//!
//! BitTorrent checks every piece by its SHA-1, so a download spends most of its processor time
//! here. SHA-1 is a chain of 80 rounds for each 64 bytes. Each round needs the result of the one
//! before, while the rest of the processor is idle. Several messages are independent chains, or
//! *lanes*, and there are two ways to run them side by side:
//!
//! - **wide**: a register of 512 bits holds the same word of sixteen messages, and each instruction
//!   works on all sixteen (AVX-512);
//! - **interleaved**: processors with SHA-1 instructions can begin one instruction before the
//!   previous one is done, so the rounds of four messages take turns.
//!
//! Measured in GB per second of one core:
//!
//! | | one message | interleaved, 4 | wide, 16 |
//! | --- | --- | --- | --- |
//! | AMD EPYC | 1.9 | 4.4 | |
//! | Intel Xeon with AVX-512 | 1.7 | 1.9 | 5.3 |
//!
//! The checker of `storrent` and its command `create` ask [`lanes_for`] how many of the waiting
//! pieces to hash together. The `sha1` crate hashes a single piece, and every piece on other
//! processors.
//!
//! This is a package of its own because cargo optimises whole packages: `storrent` is built to be
//! small, and its hashing to be fast.

use sha1::{Digest, Sha1};

/// The bytes that SHA-1 takes in one step.
pub const SHA1_BLOCK: usize = 64;

/// The most messages that are hashed together.
pub const MAX_LANES: usize = 16;

/// How many messages are interleaved.
const INTERLEAVED: usize = 4;

/// How many lanes must be in use for wide to pay off: unused lanes take as much time.
const MIN_WIDE: usize = 8;

/// How many lanes must be in use for interleaving to pay off.
const MIN_INTERLEAVED: usize = 3;

/// The state of SHA-1 between two blocks of a message.
type State = [u32; 5];

/// The initial state of SHA-1 (FIPS 180-4, 5.3.1).
const START: State = [
    0x6745_2301,
    0xefcd_ab89,
    0x98ba_dcfe,
    0x1032_5476,
    0xc3d2_e1f0,
];

/// Returns the SHA-1 of `len` bytes that are all `value`.
pub fn sha1_of_equal(value: u8, len: u32) -> [u8; 20] {
    const STRETCH: u32 = 32 * 1024;
    let stretch = [value; STRETCH as usize];
    let mut hasher = Sha1::new();
    for begin in (0..len).step_by(stretch.len()) {
        hasher.update(&stretch[..STRETCH.min(len - begin) as usize]);
    }
    hasher.finalize().into()
}

/// How many messages make the best use of this processor.
pub fn full_batch() -> usize {
    match (has_wide(), has_interleaved()) {
        (true, _) => MAX_LANES,
        (_, true) => INTERLEAVED,
        _ => 1,
    }
}

/// How many of `waiting` messages (at least 1) to hash together next: 1 to [`MAX_LANES`].
pub fn lanes_for(waiting: usize) -> usize {
    if waiting >= MIN_WIDE && has_wide() {
        waiting.min(MAX_LANES)
    } else if waiting >= MIN_INTERLEAVED && has_interleaved() {
        waiting.min(INTERLEAVED)
    } else {
        1
    }
}

/// SHA-1 hashers that run in step: [`update`](Self::update) takes a stretch of each message at a
/// time, [`finish`](Self::finish) returns the hashes.
pub struct Sha1Lanes {
    /// How many messages there are; the other lanes are unused.
    count: usize,
    /// Length of each message so far, in bytes.
    len: u64,
    engine: Engine,
}

enum Engine {
    Wide(Box<[State; MAX_LANES]>),
    Interleaved([State; INTERLEAVED]),
    Apart(Vec<Sha1>),
}

impl Sha1Lanes {
    /// Starts `count` empty messages, at most [`MAX_LANES`].
    pub fn new(count: usize) -> Self {
        let engine = match count {
            2..=INTERLEAVED if has_interleaved() => Engine::Interleaved([START; _]),
            2..=MAX_LANES if has_wide() => Engine::Wide(Box::new([START; _])),
            _ => Engine::Apart(vec![Sha1::new(); count]),
        };
        Self {
            count,
            len: 0,
            engine,
        }
    }

    /// Appends the next stretch of each message.
    ///
    /// # Panics
    /// Unless there is one stretch per message and all have the same length, with several
    /// messages a multiple of [`SHA1_BLOCK`] bytes.
    pub fn update(&mut self, stretches: &[&[u8]]) {
        let len = stretches[0].len();
        assert_eq!(stretches.len(), self.count);
        assert!(stretches.iter().all(|s| s.len() == len));
        assert!(self.count == 1 || len.is_multiple_of(SHA1_BLOCK));
        self.len += len as u64;
        if let Engine::Apart(hashers) = &mut self.engine {
            for (hasher, stretch) in hashers.iter_mut().zip(stretches) {
                hasher.update(stretch);
            }
        } else {
            self.compress(stretches);
        }
    }

    /// Returns the hashes of the messages, in order.
    pub fn finish(mut self) -> Vec<[u8; 20]> {
        // SHA-1 ends every message with a one bit, zeros, and the length in bits.
        let mut end = [0; SHA1_BLOCK];
        end[0] = 0x80;
        end[SHA1_BLOCK - 8..].copy_from_slice(&(self.len * 8).to_be_bytes());
        self.compress(&vec![&end[..]; self.count]);
        let states: &[State] = match &self.engine {
            Engine::Wide(states) => &states[..self.count],
            Engine::Interleaved(states) => &states[..self.count],
            Engine::Apart(hashers) => {
                let hashers = hashers.iter().cloned();
                return hashers.map(|hasher| hasher.finalize().into()).collect();
            }
        };
        let hash = |state: &State| {
            let mut hash = [0; 20];
            for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
                *bytes = word.to_be_bytes();
            }
            hash
        };
        states.iter().map(hash).collect()
    }

    /// Adds whole blocks to the states. (The crate's hashers have their own.)
    ///
    /// Here are two of the three unsafe calls of the program. They cut the processor time of
    /// hashing to 43 and 32 per cent, by the table above.
    #[cfg(target_arch = "x86_64")]
    fn compress(&mut self, stretches: &[&[u8]]) {
        // A lane without a message hashes the first message again, without effect.
        let blocks = |lane| {
            let stretch = stretches.get(lane).unwrap_or(&stretches[0]);
            stretch.as_chunks().0
        };
        match &mut self.engine {
            // SAFETY (both): the only danger is that the processor lacks the instructions that
            // `compress` is compiled to. `new`, the only maker of these engines, has asked the
            // processor.
            #[allow(unsafe_code)]
            Engine::Wide(states) => unsafe {
                wide::compress(states, std::array::from_fn(blocks));
            },
            #[allow(unsafe_code)]
            Engine::Interleaved(states) => unsafe {
                interleaved::compress(states, std::array::from_fn(blocks));
            },
            Engine::Apart(_) => {}
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn compress(&mut self, _: &[&[u8]]) {}
}

#[cfg(target_arch = "x86_64")]
fn has_wide() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

#[cfg(target_arch = "x86_64")]
fn has_interleaved() -> bool {
    is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("sse4.1")
        && is_x86_feature_detected!("ssse3")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_wide() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn has_interleaved() -> bool {
    false
}

/// SHA-1 as in the standard, but each word stands for sixteen messages.
#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{MAX_LANES, SHA1_BLOCK, State};
    use std::arch::x86_64::*;
    use std::array::from_fn;

    /// Packs one word per lane, lane 0 in the lowest place.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn pack(words: [u32; MAX_LANES]) -> __m512i {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = words.map(u32::cast_signed);
        _mm512_set_epi32(p, o, n, m, l, k, j, i, h, g, f, e, d, c, b, a)
    }

    /// Returns the sixteen words of a block, the first in the lowest place.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn row(block: &[u8; SHA1_BLOCK]) -> __m512i {
        let part = |i: usize| i64::from_le_bytes(block.as_chunks().0[i]);
        // The compiler turns the eight parts into one load.
        let [a, b, c, d] = [part(0), part(1), part(2), part(3)];
        let [e, f, g, h] = [part(4), part(5), part(6), part(7)];
        let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        let swap = _mm512_broadcast_i32x4(swap);
        _mm512_shuffle_epi8(_mm512_set_epi64(h, g, f, e, d, c, b, a), swap)
    }

    /// Turns a row per message into a row per word: four perfect riffles, as of a pack of cards,
    /// bring word w of message m to place m of row w. Each takes words of the upper and the lower
    /// half in turns.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn transpose(mut rows: [__m512i; MAX_LANES]) -> [__m512i; MAX_LANES] {
        let first = pack(from_fn(|i| i as u32 / 2 + i as u32 % 2 * 16));
        let second = pack(from_fn(|i| 8 + i as u32 / 2 + i as u32 % 2 * 16));
        // A macro makes the places constants, which keeps all rows in registers.
        macro_rules! riffle {
            ($($half:literal)*) => { rows = [$(
                _mm512_permutex2var_epi32(rows[$half], first, rows[$half + 8]),
                _mm512_permutex2var_epi32(rows[$half], second, rows[$half + 8]),
            )*] };
        }
        riffle!(0 1 2 3 4 5 6 7);
        riffle!(0 1 2 3 4 5 6 7);
        riffle!(0 1 2 3 4 5 6 7);
        riffle!(0 1 2 3 4 5 6 7);
        rows
    }

    /// Adds all `blocks` to the `states`. All lanes have the same number of blocks.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn compress(
        states: &mut [State; MAX_LANES],
        blocks: [&[[u8; SHA1_BLOCK]]; MAX_LANES],
    ) {
        let mut state: [_; 5] = from_fn(|word| pack(states.map(|state| state[word])));
        #[allow(clippy::needless_range_loop, reason = "sixteen slices in step")]
        for block in 0..blocks[0].len() {
            macro_rules! rows {
                ($($lane:literal)*) => { [$( row(&blocks[$lane][block]) ),*] };
            }
            let mut w = transpose(rows!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15));
            let [mut a, mut b, mut c, mut d, mut e] = state;
            // `$f` is a function of three bits, written as the table of its eight results.
            macro_rules! rounds {
                ($k:literal, $f:literal, $($t:literal)*) => { $(
                    if $t >= 16 {
                        // The words 3, 8, 14 and 16 before this one.
                        let (w3, w8) = (w[($t + 13) % 16], w[($t + 8) % 16]);
                        let (w14, w16) = (w[($t + 2) % 16], w[$t % 16]);
                        let mixed = _mm512_ternarylogic_epi32::<0x96>(w3, w8, w14);
                        w[$t % 16] = _mm512_rol_epi32::<1>(_mm512_xor_si512(mixed, w16));
                    }
                    let f = _mm512_ternarylogic_epi32::<$f>(b, c, d);
                    let kw = _mm512_add_epi32(_mm512_set1_epi32(u32::cast_signed($k)), w[$t % 16]);
                    let fa = _mm512_add_epi32(f, _mm512_rol_epi32::<5>(a));
                    let next = _mm512_add_epi32(_mm512_add_epi32(e, kw), fa);
                    (a, b, c, d, e) = (next, a, _mm512_rol_epi32::<30>(b), c, d);
                )* };
            }
            // Choose c or d by b; odd number of ones; majority; odd number of ones.
            rounds!(0x5a82_7999, 0xca, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
            rounds!(0x6ed9_eba1, 0x96, 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
            rounds!(0x8f1b_bcdc, 0xe8, 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
            rounds!(0xca62_c1d6, 0x96, 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79);
            for (word, after) in state.iter_mut().zip([a, b, c, d, e]) {
                *word = _mm512_add_epi32(*word, after);
            }
        }
        for (lane, words) in states.iter_mut().enumerate() {
            *words = state.map(|row| _mm512_mask_reduce_or_epi32(1 << lane, row).cast_unsigned());
        }
    }
}

/// The rounds of four messages in turns, with the SHA instructions of x86-64 (Intel's "SHA
/// Extensions").
#[cfg(target_arch = "x86_64")]
mod interleaved {
    use super::{INTERLEAVED, SHA1_BLOCK, State};
    use std::arch::x86_64::*;

    /// Returns the four words from byte 16 * `quarter` of a block on, the first in the highest
    /// place.
    #[inline]
    #[target_feature(enable = "sse2,ssse3")]
    fn words(block: &[u8; SHA1_BLOCK], quarter: usize) -> __m128i {
        let half = |i| i64::from_le_bytes(block.as_chunks().0[2 * quarter + i]);
        // The compiler turns the two halves into one load.
        _mm_shuffle_epi8(
            _mm_set_epi64x(half(1), half(0)),
            _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f),
        )
    }

    /// Adds all `blocks` to the `states`. All lanes have the same number of blocks.
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    pub(super) fn compress(
        states: &mut [State; INTERLEAVED],
        blocks: [&[[u8; SHA1_BLOCK]]; INTERLEAVED],
    ) {
        // The instructions need a, b, c, d in one register and e at the top of another.
        let (mut abcd, mut e) = (
            [_mm_setzero_si128(); INTERLEAVED],
            [_mm_setzero_si128(); INTERLEAVED],
        );
        for lane in 0..INTERLEAVED {
            let [a, b, c, d, top] = states[lane].map(u32::cast_signed);
            (abcd[lane], e[lane]) = (_mm_set_epi32(a, b, c, d), _mm_set_epi32(top, 0, 0, 0));
        }
        #[allow(clippy::needless_range_loop, reason = "four slices in step")]
        for block in 0..blocks[0].len() {
            let before = (abcd, e);
            // The message schedule: the last 16 words, four per register.
            let mut w = [[_mm_setzero_si128(); INTERLEAVED]; 4];
            // e of these four rounds, and of the next four. They swap roles every time.
            let mut es = [e, e];
            // Four of the 80 rounds, for all lanes. A macro makes `$quad` a constant, which keeps
            // everything in registers. The innermost loop is the interleaving.
            macro_rules! quads {
                ($($quad:literal)*) => { $(
                    for lane in 0..INTERLEAVED {
                        let next = if $quad < 4 {
                            words(&blocks[lane][block], $quad)
                        } else {
                            let w = |i: usize| w[($quad + i) % 4][lane];
                            let mixed = _mm_xor_si128(_mm_sha1msg1_epu32(w(0), w(1)), w(2));
                            _mm_sha1msg2_epu32(mixed, w(3))
                        };
                        w[$quad % 4][lane] = next;
                        let e = match $quad {
                            0 => _mm_add_epi32(es[$quad % 2][lane], next),
                            _ => _mm_sha1nexte_epu32(es[$quad % 2][lane], next),
                        };
                        es[($quad + 1) % 2][lane] = abcd[lane];
                        abcd[lane] = _mm_sha1rnds4_epu32::<{ $quad / 5 }>(abcd[lane], e);
                    }
                )* };
            }
            quads!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
            for lane in 0..INTERLEAVED {
                e[lane] = _mm_sha1nexte_epu32(es[0][lane], before.1[lane]);
                abcd[lane] = _mm_add_epi32(abcd[lane], before.0[lane]);
            }
        }
        for (lane, state) in states.iter_mut().enumerate() {
            *state = [
                _mm_extract_epi32::<3>(abcd[lane]),
                _mm_extract_epi32::<2>(abcd[lane]),
                _mm_extract_epi32::<1>(abcd[lane]),
                _mm_extract_epi32::<0>(abcd[lane]),
                _mm_extract_epi32::<3>(e[lane]),
            ]
            .map(i32::cast_unsigned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ways(count: usize) -> Vec<Sha1Lanes> {
        let mut engines = vec![Engine::Apart(vec![Sha1::new(); count])];
        if has_wide() {
            engines.push(Engine::Wide(Box::new([START; _])));
        }
        if has_interleaved() && count <= INTERLEAVED {
            engines.push(Engine::Interleaved([START; _]));
        }
        let with = |engine| Sha1Lanes {
            count,
            len: 0,
            engine,
        };
        let mut ways: Vec<_> = engines.into_iter().map(with).collect();
        ways.push(Sha1Lanes::new(count));
        ways
    }

    proptest! {
        #[test]
        fn same_as_one_at_a_time(
            message in prop::collection::vec(any::<u8>(), MAX_LANES * 640),
            count in 1..=MAX_LANES,
            blocks in 0usize..10,
            cut in 0usize..10,
        ) {
            let len = blocks * SHA1_BLOCK;
            let messages: Vec<_> = message.chunks(640).take(count).map(|m| &m[..len]).collect();
            let cut = cut.min(blocks) * SHA1_BLOCK;
            let expected: Vec<[u8; 20]> = messages.iter().map(|m| Sha1::digest(m).into()).collect();
            for mut hasher in ways(count) {
                let (first, second): (Vec<_>, Vec<_>) = messages.iter().map(|m| m.split_at(cut)).unzip();
                hasher.update(&first);
                hasher.update(&second);
                prop_assert_eq!(hasher.finish(), &expected[..]);
            }
        }
    }

    #[test]
    fn one_message_may_have_any_length() {
        let mut hasher = Sha1Lanes::new(1);
        hasher.update(&[b"abc"]);
        assert_eq!(hasher.finish(), [<[u8; 20]>::from(Sha1::digest(b"abc"))]);
    }

    #[test]
    fn never_more_lanes_than_messages() {
        for waiting in 1..100 {
            let lanes = lanes_for(waiting);
            assert!((1..=waiting.min(MAX_LANES)).contains(&lanes));
        }
    }

    #[test]
    #[should_panic]
    fn messages_of_different_length_are_refused() {
        Sha1Lanes::new(4).update(&[&[0; 64], &[0; 64], &[0; 128], &[0; 64]]);
    }
}
