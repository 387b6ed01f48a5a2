//! Parts of the program by themselves, on one core and without I/O.

use sha1_lanes::{Sha1Lanes, full_batch};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use storrent::config::Strategy;
use storrent::parts::bitfield::Bitfield;
use storrent::parts::layout::{BLOCK_LEN, Layout};
use storrent::parts::picker::Picker;
use storrent::parts::wire::{self, Message};
use storrent::types::PeerKey;

/// A name to choose it by, and what measures and shows it.
pub(crate) const ALL: [(&str, fn()); 4] = [
    ("codec", codec),
    ("picker", picker),
    ("have", have),
    ("lanes", lanes),
];

/// Seconds that `work` takes.
fn time(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Parsing a stream where it lies, beside what it would cost to copy it.
fn codec() {
    const ROUNDS: usize = 2_000;
    let data = vec![1; BLOCK_LEN as usize];
    let mut stream = Vec::new();
    for index in 0..64 {
        let piece = Message::Piece {
            index,
            begin: 0,
            data: &data,
        };
        piece.encode(&mut stream);
        Message::Have(index).encode(&mut stream);
    }
    let taken = time(|| {
        for _ in 0..ROUNDS {
            let mut rest = &black_box(&stream)[..];
            while let Ok(Some((message, used))) = wire::decode(rest, 1 << 20) {
                black_box(message);
                rest = &rest[used..];
            }
        }
    });
    let mut copy = vec![0; stream.len()];
    let floor = time(|| {
        for _ in 0..ROUNDS {
            copy.copy_from_slice(black_box(&stream));
            black_box(&copy);
        }
    });
    let blocks = (ROUNDS * 64) as f64;
    println!(
        "codec      {:.1} ns a block and a have; to copy them takes {:.0} ns",
        taken / blocks * 1e9,
        floor / blocks * 1e9
    );
}

/// A picker of a torrent of `pieces`, each of 16 blocks, of which nothing is here.
fn new_picker(pieces: u32) -> Picker {
    let len = u64::from(BLOCK_LEN) * 16;
    let layout = Layout::new(len, &[(len * u64::from(pieces), false)]).expect("a layout");
    let (none, all) = (Bitfield::none(pieces), Bitfield::all(pieces));
    let rng = fastrand::Rng::with_seed(1);
    Picker::new(Arc::new(layout), &none, &all, Strategy::RarestFirst, rng)
}

/// What other peers cause at the picker: 200 peers say of each of 20,000 pieces that they have it,
/// and a seed asks for work while leeches divide what only it has.
fn have() {
    const PIECES: u32 = 20_000;
    const PICKS: u32 = 1_000;
    let layout = Layout::new(1, &[(u64::from(PIECES), false)]).expect("a layout");
    let mut order: Vec<_> = layout.all_pieces().collect();
    fastrand::Rng::with_seed(1).shuffle(&mut order);
    let mut picker = new_picker(PIECES);
    let haves = time(|| {
        for _ in 0..200 {
            order.iter().for_each(|piece| picker.peer_has(*piece));
        }
    });
    let (mut picker, all) = (new_picker(PIECES), Bitfield::all(PIECES));
    picker.set_share(1, 16);
    let picks = time(|| (0..PICKS).for_each(|_| _ = black_box(picker.pick(PeerKey(1), &all, 16))));
    println!(
        "have       {:.0} ns a have; {:.1} us for a seed's next 16 blocks among 16 leeches",
        haves / f64::from(200 * PIECES) * 1e9,
        picks / f64::from(PICKS) * 1e6
    );
}

/// The life of a piece at the picker: granted, stored, verified. It must not matter how
/// many pieces there are.
fn picker() {
    const PICKS: u32 = 10_000;
    let cost = |pieces: u32| {
        let (mut picker, all) = (new_picker(pieces), Bitfield::all(pieces));
        let seconds = time(|| {
            for _ in 0..PICKS {
                for span in picker.pick(PeerKey(1), &all, 16).spans {
                    for piece in picker.stored(PeerKey(1), span).ready {
                        picker.verified(piece);
                    }
                }
            }
        });
        assert_eq!(pieces - picker.missing(), PICKS, "each pick was one piece");
        seconds / f64::from(PICKS) * 1e9
    };
    let (few, many) = (cost(20_000), cost(2_000_000));
    println!(
        "picker     {few:.0} ns a piece of 20,000, {many:.0} ns of 2,000,000, ratio {:.2}",
        many / few
    );
}

/// SHA-1 of as many pieces at once as this processor does best, and of one.
fn lanes() {
    const STRETCH: usize = 32 << 10;
    const TOTAL: usize = 1 << 30;
    let data = vec![1; STRETCH];
    let rate = |count: usize| {
        let seconds = time(|| {
            let mut hasher = Sha1Lanes::new(count);
            for _ in 0..TOTAL / STRETCH / count {
                hasher.update(black_box(&vec![&data[..]; count]));
            }
            black_box(hasher.finish());
        });
        TOTAL as f64 / 1e9 / seconds
    };
    let (one, full) = (rate(1), rate(full_batch()));
    println!(
        "lanes      {full:.2} GB/s, {} at once; {one:.2} one alone, ratio {:.2}",
        full_batch(),
        full / one
    );
}
