//! Lab 8: whom to give to (BEP 3). `README.md` beside this file is the page.

mod yours;

use crate::frame::{Check, holds, lab, same};
use std::collections::{BTreeMap, BTreeSet};
use storrent::parts::choker::{self, Choker};
use storrent::types::PeerKey;
use yours::Yours;

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Candidate {
    pub peer: u32,
    /// Whether it wants something that we have.
    pub interested: bool,
    /// The bytes a second that it gave us lately.
    pub rate: u64,
}

/// What you write.
pub(crate) trait Choking {
    /// `seed` begins its random numbers: `fastrand::Rng::with_seed(seed)`.
    fn new(seed: u64) -> Self;

    /// Chooses the peers to give to for the next ten seconds: the fastest `places` of those that
    /// are interested, and one more by lot, which keeps its place for three rounds.
    fn round(&mut self, candidates: &[Candidate], places: usize) -> BTreeSet<u32>;
}

struct Blank;

impl Choking for Blank {
    fn new(_: u64) -> Self {
        Self
    }

    fn round(&mut self, candidates: &[Candidate], _: usize) -> BTreeSet<u32> {
        candidates.iter().map(|candidate| candidate.peer).collect()
    }
}

struct Real {
    choker: Choker,
    rng: fastrand::Rng,
}

impl Choking for Real {
    fn new(seed: u64) -> Self {
        let (choker, rng) = (Choker::default(), fastrand::Rng::with_seed(seed));
        Self { choker, rng }
    }

    fn round(&mut self, candidates: &[Candidate], places: usize) -> BTreeSet<u32> {
        let candidate = |candidate: &Candidate| choker::Candidate {
            peer: PeerKey(candidate.peer),
            interested: candidate.interested,
            merit: candidate.rate,
            newcomer: false,
        };
        let candidates: Vec<_> = candidates.iter().map(candidate).collect();
        let chosen = self.choker.round(&candidates, places, &mut self.rng);
        chosen.into_iter().map(|peer| peer.0).collect()
    }
}

const PLACES: usize = 3;

/// Peers 1, 2, 3, ... with these rates, all interested.
fn peers(rates: &[u64]) -> Vec<Candidate> {
    let peer = |(peer, &rate)| Candidate {
        peer,
        interested: true,
        rate,
    };
    (1..).zip(rates).map(peer).collect()
}

/// Those of `chosen` that are not among the `fastest`.
fn by_lot(chosen: &BTreeSet<u32>, fastest: &[u32]) -> BTreeSet<u32> {
    chosen
        .iter()
        .copied()
        .filter(|peer| !fastest.contains(peer))
        .collect()
}

lab!(the_fastest_and_one_more only_who_is_interested a_lot_lasts_for_rounds everybody_gets_a_turn a_free_rider);

fn the_fastest_and_one_more<C: Choking>() -> Check {
    let candidates = peers(&[10, 900, 20, 800, 700, 30, 0]);
    for seed in 0..20 {
        let yours = C::new(seed).round(&candidates, PLACES);
        let is_right = [2, 4, 5].iter().all(|peer| yours.contains(peer)) && yours.len() == 4;
        let input = format!("peers 1 to 7 give 10, 900, 20, 800, 700, 30, 0; {PLACES} places");
        let hint = "sort by rate; the lot is drawn among the others";
        holds(
            is_right,
            input,
            format!("{yours:?}"),
            "2, 4, 5 and one more",
            hint,
        )?;
    }
    let few = peers(&[5, 6]);
    let hint = "with fewer peers than places, each gets one";
    same(
        "two peers, three places",
        C::new(1).round(&few, PLACES),
        [1, 2].into(),
        hint,
    )?;
    same(
        "nobody",
        C::new(1).round(&[], PLACES),
        [].into(),
        "nobody is there",
    )
}

fn only_who_is_interested<C: Choking>() -> Check {
    let mut candidates = peers(&[10, 900, 20, 800, 700, 30, 5]);
    for peer in [1, 3] {
        candidates[peer].interested = false;
    }
    for seed in 0..20 {
        let yours = C::new(seed).round(&candidates, PLACES);
        let is_right = !yours.contains(&2) && !yours.contains(&4) && yours.len() == 4;
        let hint = "a place for a peer that asks for nothing is wasted; nor is it drawn";
        let input = "peers 1 to 7 give 10, 900, 20, 800, 700, 30, 5; 2 and 4 want nothing";
        holds(
            is_right,
            input,
            format!("{yours:?}"),
            "5, 6, 3 and one of 1 and 7",
            hint,
        )?;
    }
    Ok(())
}

fn a_lot_lasts_for_rounds<C: Choking>() -> Check {
    let candidates = peers(&[900, 800, 700, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let mut choking = C::new(5);
    let rounds: Vec<BTreeSet<u32>> = (0..30)
        .map(|_| by_lot(&choking.round(&candidates, PLACES), &[1, 2, 3]))
        .collect();
    for three in rounds.chunks(3) {
        let lasts = three[0].len() == 1 && three.iter().all(|lot| *lot == three[0]);
        let hint =
            "in ten seconds a peer can hardly show what it gives: the lot counts three rounds";
        let input = "twelve peers, three rounds in a row: those chosen by lot";
        holds(
            lasts,
            input,
            format!("{three:?}"),
            "the same single peer",
            hint,
        )?;
    }
    Ok(())
}

fn everybody_gets_a_turn<C: Choking>() -> Check {
    let candidates = peers(&[900, 800, 700, 0, 0, 0, 0, 0, 0]);
    let mut choking = C::new(6);
    let mut turns: BTreeMap<u32, u32> = BTreeMap::new();
    for _ in 0..600 {
        let chosen = choking.round(&candidates, PLACES);
        let hint = "three places and one by lot";
        same(
            "nine peers, chosen in one round",
            chosen.len(),
            PLACES + 1,
            hint,
        )?;
        by_lot(&chosen, &[1, 2, 3])
            .iter()
            .for_each(|peer| *turns.entry(*peer).or_default() += 1);
    }
    let all = (4..=9).all(|peer| turns.get(&peer).is_some_and(|turns| *turns > 20));
    let hint = "a newcomer has nothing to give yet: only the lot can find out how good it is";
    let expected = "each of 4 to 9 more than 20 times";
    holds(
        all,
        "600 rounds: how often each was chosen by lot",
        format!("{turns:?}"),
        expected,
        hint,
    )
}

/// Ten peers that give to those who give to them, and one that never gives.
fn a_free_rider<C: Choking>() -> Check {
    const RIDER: usize = 10;
    let mut peers: Vec<C> = (0..=10).map(C::new).collect();
    // What each gave to each in the last round, and to each in all.
    let mut gave = vec![vec![0u64; 11]; 11];
    let mut got = [0u64; 11];
    let mut rng = fastrand::Rng::with_seed(8);
    for _ in 0..300 {
        let mut next = vec![vec![0; 11]; 11];
        for (me, choking) in peers.iter_mut().enumerate() {
            let others = (0..11).filter(|other| *other != me);
            let candidates = others.map(|other| Candidate {
                peer: other as u32,
                interested: true,
                rate: gave[other][me] + rng.u64(..10),
            });
            let chosen = choking.round(&candidates.collect::<Vec<_>>(), PLACES);
            for other in chosen.iter().filter(|_| me != RIDER) {
                next[me][*other as usize] = 1200 / chosen.len() as u64;
            }
        }
        gave = next;
        for gave in &gave {
            got.iter_mut()
                .zip(gave)
                .for_each(|(got, gave)| *got += gave);
        }
    }
    let mean = got[..RIDER].iter().sum::<u64>() / RIDER as u64;
    let share = 100 * got[RIDER] / mean;
    let hint = "who gives nothing should live on lots alone";
    let yours = format!("the free rider gets {share} % of what the others get");
    holds(
        share < 70,
        "300 rounds, ten givers and a free rider",
        yours,
        "less than 70 %",
        hint,
    )
}
