//! Lab 3: how a torrent's bytes divide into pieces, blocks and files (BEP 3). `README.md` beside
//! this file is the page.

mod yours;

use crate::frame::{Check, holds, lab, same};
use storrent::parts::layout::{Layout, PieceIndex, RawBlock};
use yours::Yours;

/// The sizes of a torrent.
#[derive(Clone, Debug)]
pub(crate) struct Torrent {
    /// Bytes of every piece but the last.
    pub piece_length: u32,
    /// Bytes of each file, in order.
    pub files: Vec<u64>,
}

/// What you write. `piece` is a piece of the torrent, except in `may_serve`.
pub(crate) trait Arithmetic {
    /// How many pieces there are.
    fn pieces(torrent: &Torrent) -> u32;

    /// The bytes of `piece`.
    fn piece_len(torrent: &Torrent, piece: u32) -> u32;

    /// The blocks of `piece`: where each begins in the piece, and its length, at most 16 KiB.
    fn blocks(torrent: &Torrent, piece: u32) -> Vec<(u32, u32)>;

    /// Where `piece` is on disk: parts of files, as number of the file, first byte in the file
    /// and length, at least 1.
    fn parts(torrent: &Torrent, piece: u32) -> Vec<(usize, u64, u64)>;

    /// Whether a stranger may have the `len` bytes from byte `begin` of `piece`: they must lie in
    /// one existing piece, and be 1 byte to 128 KiB.
    fn may_serve(torrent: &Torrent, piece: u32, begin: u32, len: u32) -> bool;
}

struct Blank;

impl Arithmetic for Blank {
    fn pieces(_: &Torrent) -> u32 {
        0
    }

    fn piece_len(torrent: &Torrent, _: u32) -> u32 {
        torrent.piece_length
    }

    fn blocks(_: &Torrent, _: u32) -> Vec<(u32, u32)> {
        vec![]
    }

    fn parts(_: &Torrent, _: u32) -> Vec<(usize, u64, u64)> {
        vec![]
    }

    fn may_serve(_: &Torrent, _: u32, _: u32, _: u32) -> bool {
        true
    }
}

struct Real;

fn layout(torrent: &Torrent) -> Layout {
    let files: Vec<(u64, bool)> = torrent.files.iter().map(|len| (*len, false)).collect();
    Layout::new(torrent.piece_length.into(), &files).unwrap()
}

fn piece_of(torrent: &Torrent, piece: u32) -> (Layout, PieceIndex) {
    let layout = layout(torrent);
    let piece = layout.piece(piece).unwrap();
    (layout, piece)
}

impl Arithmetic for Real {
    fn pieces(torrent: &Torrent) -> u32 {
        layout(torrent).pieces()
    }

    fn piece_len(torrent: &Torrent, piece: u32) -> u32 {
        let (layout, piece) = piece_of(torrent, piece);
        layout.piece_len(piece)
    }

    fn blocks(torrent: &Torrent, piece: u32) -> Vec<(u32, u32)> {
        let (layout, piece) = piece_of(torrent, piece);
        let blocks = layout.blocks_of_piece(piece);
        blocks.map(|block| (block.begin(), block.len())).collect()
    }

    fn parts(torrent: &Torrent, piece: u32) -> Vec<(usize, u64, u64)> {
        let (layout, piece) = piece_of(torrent, piece);
        let parts = layout.parts(layout.piece_range(piece));
        parts
            .map(|part| (part.file, part.offset, part.len))
            .collect()
    }

    fn may_serve(torrent: &Torrent, index: u32, begin: u32, length: u32) -> bool {
        let asked = RawBlock {
            index,
            begin,
            length,
        };
        layout(torrent).served(asked).is_some()
    }
}

fn torrent(piece_length: u32, files: &[u64]) -> Torrent {
    let files = files.to_vec();
    Torrent {
        piece_length,
        files,
    }
}

const KIB: u32 = 1024;

lab!(number_of_pieces last_piece blocks_of_16_kib files_of_a_piece strangers everything_adds_up);

fn number_of_pieces<A: Arithmetic>() -> Check {
    let huge = torrent(4 << 20, &[5 << 40]);
    for (torrent, expected, hint) in [
        (torrent(100, &[200]), 2, "two whole pieces"),
        (
            torrent(100, &[201]),
            3,
            "the rest is a piece, too: round up",
        ),
        (
            torrent(100, &[60, 60]),
            2,
            "pieces do not care where a file ends",
        ),
        (torrent(100, &[0]), 0, "no bytes, no pieces"),
        (huge, 1_310_720, "5 TiB do not fit in 32 bits"),
    ] {
        same(format!("{torrent:?}"), A::pieces(&torrent), expected, hint)?;
    }
    Ok(())
}

fn last_piece<A: Arithmetic>() -> Check {
    let short = torrent(100, &[120, 130]);
    let lens: Vec<u32> = (0..3).map(|piece| A::piece_len(&short, piece)).collect();
    let hint = "the last piece is what is left";
    same(format!("{short:?}"), lens, vec![100, 100, 50], hint)?;
    let even = torrent(100, &[200]);
    let hint = "if nothing is left over, the last piece is as long as the others";
    same(
        format!("{even:?}, piece 1"),
        A::piece_len(&even, 1),
        100,
        hint,
    )
}

fn blocks_of_16_kib<A: Arithmetic>() -> Check {
    let even = torrent(48 * KIB, &[200_000]);
    let expected = vec![(0, 16 * KIB), (16 * KIB, 16 * KIB), (32 * KIB, 16 * KIB)];
    let hint = "16 KiB are 16,384 bytes";
    same(
        format!("{even:?}, piece 0"),
        A::blocks(&even, 0),
        expected,
        hint,
    )?;
    let odd = torrent(40_000, &[50_000]);
    let hint = "the last block of a piece is what is left of the piece";
    let expected = vec![(0, 16_384), (16_384, 16_384), (32_768, 7_232)];
    same(
        format!("{odd:?}, piece 0"),
        A::blocks(&odd, 0),
        expected,
        hint,
    )?;
    same(
        format!("{odd:?}, piece 1"),
        A::blocks(&odd, 1),
        vec![(0, 10_000)],
        hint,
    )
}

fn files_of_a_piece<A: Arithmetic>() -> Check {
    let torrent = torrent(100, &[150, 0, 30, 120]);
    for (piece, expected, hint) in [
        (0, vec![(0, 0, 100)], "it lies in the first file"),
        (
            1,
            vec![(0, 100, 50), (2, 0, 30), (3, 0, 20)],
            "an empty file has no part",
        ),
        (
            2,
            vec![(3, 20, 100)],
            "it begins where the last piece ended",
        ),
    ] {
        same(
            format!("{torrent:?}, piece {piece}"),
            A::parts(&torrent, piece),
            expected,
            hint,
        )?;
    }
    Ok(())
}

fn strangers<A: Arithmetic>() -> Check {
    let torrent = torrent(1 << 20, &[(1 << 20) + 5]);
    for (piece, begin, len, expected, hint) in [
        (0, 0, 16 * KIB, true, "an ordinary request"),
        (1, 0, 5, true, "all of the last piece"),
        (0, 1, 128 * KIB, true, "the largest, from anywhere"),
        (2, 0, 1, false, "there is no such piece"),
        (1, 0, 6, false, "the last piece is shorter"),
        (0, (1 << 20) - 1, 2, false, "it runs into the next piece"),
        (0, 0, 0, false, "it is empty"),
        (0, 0, 128 * KIB + 1, false, "it is too large"),
        (
            0,
            u32::MAX,
            2,
            false,
            "begin + len overflows: see `checked_add`",
        ),
    ] {
        let asked = format!("{torrent:?}, {len} bytes from byte {begin} of piece {piece}");
        same(
            asked,
            A::may_serve(&torrent, piece, begin, len),
            expected,
            hint,
        )?;
    }
    Ok(())
}

/// Random torrents: pieces, blocks and parts of files cover each byte once.
fn everything_adds_up<A: Arithmetic>() -> Check {
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..200 {
        let files: Vec<u64> = (0..rng.usize(1..6)).map(|_| rng.u64(0..90_000)).collect();
        let torrent = torrent(rng.u32(1_000..70_000), &files);
        let total: u64 = files.iter().sum();
        let pieces = A::pieces(&torrent);
        let lens: u64 = (0..pieces)
            .map(|piece| u64::from(A::piece_len(&torrent, piece)))
            .sum();
        same(
            format!("{torrent:?}, all pieces"),
            lens,
            total,
            "they cover all bytes",
        )?;
        let (mut file, mut at) = (0, 0);
        for piece in 0..pieces {
            let place = format!("{torrent:?}, piece {piece}");
            let len = A::piece_len(&torrent, piece);
            let blocks = A::blocks(&torrent, piece);
            let end = blocks.iter().try_fold(0, |end, block| {
                (block.0 == end && (1..=16 * KIB).contains(&block.1)).then_some(end + block.1)
            });
            let covers = "each block begins where the one before ended";
            same(
                format!("{place}, blocks {blocks:?}, their end"),
                end,
                Some(len),
                covers,
            )?;
            let parts = A::parts(&torrent, piece);
            let sum: u64 = parts.iter().map(|part| part.2).sum();
            let sizes = "the parts are as long as the piece";
            same(
                format!("{place}, parts {parts:?}, their length"),
                sum,
                len.into(),
                sizes,
            )?;
            for part in parts {
                while files.get(file) == Some(&at) {
                    (file, at) = (file + 1, 0);
                }
                let follows = (part.0, part.1) == (file, at) && part.2 > 0;
                let hint = "each part begins where the one before ended";
                holds(
                    follows,
                    &place,
                    format!("{part:?}"),
                    &format!("file {file}, byte {at}"),
                    hint,
                )?;
                at += part.2;
            }
        }
    }
    Ok(())
}
