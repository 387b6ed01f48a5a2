//! Lab 7: which piece to fetch next. `README.md` beside this file is the page.

mod yours;

use crate::frame::{Check, holds, lab, same};
use std::collections::BTreeSet;
use storrent::parts::layout::Layout;
use storrent::parts::rarity::Rarity;
use yours::Yours;

/// What you write.
pub(crate) trait Choice {
    /// Returns the piece to ask a peer for: one that we miss and that the peer has (`theirs`).
    /// `swarm` says for each peer that we know which pieces it has. `lot` is a random number.
    fn choose(missing: &[bool], theirs: &[bool], swarm: &[Vec<bool>], lot: u64) -> Option<usize>;
}

struct Blank;

impl Choice for Blank {
    fn choose(missing: &[bool], theirs: &[bool], _: &[Vec<bool>], _: u64) -> Option<usize> {
        (0..missing.len()).find(|&piece| missing[piece] && theirs[piece])
    }
}

struct Real;

impl Choice for Real {
    fn choose(missing: &[bool], theirs: &[bool], swarm: &[Vec<bool>], lot: u64) -> Option<usize> {
        let layout = Layout::new(1, &[(missing.len() as u64, false)]).unwrap();
        let ours = layout.all_pieces().filter(|piece| missing[piece.index()]);
        let mut rng = fastrand::Rng::with_seed(lot);
        let mut rarity = Rarity::new(layout.pieces(), ours, &mut rng);
        for have in swarm {
            let had = layout.all_pieces().filter(|piece| have[piece.index()]);
            let mut had: Vec<_> = had.collect();
            // Peers get their pieces in any order, and tell us so.
            rng.shuffle(&mut had);
            had.into_iter().for_each(|piece| rarity.more(piece));
        }
        let found = rarity.iter().find(|piece| theirs[piece.index()]);
        found.map(|piece| piece.index())
    }
}

/// `#` for a piece that is there, `.` for one that is not.
fn pieces(text: &str) -> Vec<bool> {
    text.bytes().map(|byte| byte == b'#').collect()
}

fn drawn(pieces: &[bool]) -> String {
    pieces
        .iter()
        .map(|&piece| if piece { '#' } else { '.' })
        .collect()
}

/// The choice of [`Choice::choose`] with each of 200 lots.
fn choices<C: Choice>(
    missing: &str,
    theirs: &str,
    swarm: &[&str],
) -> (String, BTreeSet<Option<usize>>) {
    let others: Vec<Vec<bool>> = swarm.iter().map(|have| pieces(have)).collect();
    let choose = |lot| C::choose(&pieces(missing), &pieces(theirs), &others, lot);
    let input = format!(
        "missing {missing}, theirs {theirs}, swarm {}",
        swarm.join(" ")
    );
    (input, (0..200).map(choose).collect())
}

lab!(the_rarest_that_it_has nothing_to_ask_for ties_are_drawn_by_lot the_seed_may_leave_soon);

fn the_rarest_that_it_has<C: Choice>() -> Check {
    for (missing, theirs, swarm, expected, hint) in [
        (
            "####",
            "####",
            &["###.", "##..", "#.##"][..],
            3,
            "pieces are counted from 0; one peer has piece 3",
        ),
        (
            "####",
            ".##.",
            &["##..", "###.", "#..#"],
            2,
            "piece 3 is as rare, but this peer lacks it",
        ),
        (
            "##..",
            "####",
            &["##..", "#..."],
            1,
            "pieces 2 and 3 are rarer, but we have them",
        ),
    ] {
        let (input, yours) = choices::<C>(missing, theirs, swarm);
        same(input, yours, [Some(expected)].into(), hint)?;
    }
    Ok(())
}

fn nothing_to_ask_for<C: Choice>() -> Check {
    let (input, yours) = choices::<C>("##..", "..##", &["..##"]);
    same(input, yours, [None].into(), "it has nothing that we miss")?;
    let (input, yours) = choices::<C>("##", "##", &["#.", "##"]);
    same(input, yours, [Some(1)].into(), "here it has")
}

fn ties_are_drawn_by_lot<C: Choice>() -> Check {
    let (input, yours) = choices::<C>("####", ".###", &["####", "#..."]);
    let hint = "if everybody took the first of the rarest, all would fetch the same one, and it \
                would be rare no more while others stay rare; over 200 lots all should be drawn";
    same(input, yours, [1, 2, 3].map(Some).into(), hint)
}

/// Twelve leeches each give a piece a turn to another one, and a seed gives one piece a turn. After
/// how many pieces from the seed do the leeches together have all pieces?
fn the_seed_may_leave_soon<C: Choice>() -> Check {
    const PIECES: usize = 40;
    const LEECHES: usize = 12;
    let mut rng = fastrand::Rng::with_seed(7);
    let mut swarm = vec![vec![false; PIECES]; LEECHES];
    let mut given = 0;
    for _turn in 0..1000 {
        if (0..PIECES).all(|piece| swarm.iter().any(|have| have[piece])) {
            break;
        }
        let mut givers = swarm.clone();
        let before = swarm.clone();
        givers.push(vec![true; PIECES]);
        for (giver, have) in givers.iter().enumerate() {
            let to = rng.usize(..LEECHES);
            let missing: Vec<bool> = swarm[to].iter().map(|had| !had).collect();
            if let Some(piece) = C::choose(&missing, have, &before, rng.u64(..)) {
                let input = format!("missing {}, theirs {}", drawn(&missing), drawn(have));
                let sound = missing.get(piece) == Some(&true) && have[piece];
                let expected = "a piece that is missing and there";
                let hint = "`missing[piece] && theirs[piece]`";
                holds(sound, input, format!("piece {piece}"), expected, hint)?;
                swarm[to][piece] = true;
                given += usize::from(giver == LEECHES);
            }
        }
    }
    let hint = "a piece that only the seed has is the rarest: it must leave the seed first";
    let yours = format!("the seed has given {given} pieces when each is somewhere else");
    let input = format!("{PIECES} pieces, {LEECHES} leeches");
    holds(
        given <= PIECES * 11 / 10,
        input,
        yours,
        "at most 44 pieces",
        hint,
    )
}
