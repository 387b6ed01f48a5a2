//! Chooses the peers that we upload to: choking ([BEP 3], "choking and optimistic unchoking").
//!
//! A client that uploads to fifty peers at once gives none of them a useful rate. So each client
//! serves a few peers and *chokes* the rest, which get no blocks. Every 10 s it chooses the few
//! anew:
//!
//! - While we download, we serve the peers that sent us most lately. This is tit for tat: a peer
//!   that gives, gets.
//! - While we seed, we need nothing back, and serve the peers that download fastest from us.
//! - In both cases one more peer is drawn by lot, the *optimistic unchoke*. Otherwise a newcomer
//!   with nothing to give would get nothing, and we would never find a peer better than those we
//!   serve.
//!
//! No I/O, no clock: the torrent calls [`Choker::round`].
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use crate::config::Choking;
use crate::types::PeerKey;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

/// The time from one choice to the next.
pub(crate) const ROUND: Duration = Duration::from_secs(10);

/// How many rounds an optimistic unchoke lasts: 30 s.
const OPTIMISTIC_ROUNDS: u32 = 3;

/// The least places for the fastest peers while we download. With few places, each peer gets so
/// high a rate from us that it gives us a place in return. On lines of 2 MB/s in a mixed swarm, our
/// mean time was 1.05 of the best client's with 7 places, and 0.98 to 1.00 with 2 to 4.
const SLOTS: usize = 3;

/// The least places while we seed: more, because nothing else uses the line.
const SEED_SLOTS: usize = 8;

/// While we download, a fast line has one place for each 1 MB/s that we upload.
const BYTES_PER_SLOT: u64 = 1_000_000;

/// While we seed, a fast line has one place for each 100 kB/s. In a new swarm, only those whom the
/// seed serves have much to give, and the other lines are half idle. Sixteen leeches of one seed,
/// all at 2 MB/s, took 1.17 times the ideal with a place for each 250 kB/s, and 1.13 with this.
const BYTES_PER_SEED_SLOT: u64 = 100_000;

/// How many lots a newcomer has when the optimistic unchoke is drawn. Others have one.
const NEWCOMER_CHANCES: usize = 3;

/// A peer that we could serve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The peer's key.
    pub peer: PeerKey,
    /// Whether it wants a piece that we have.
    pub interested: bool,
    /// What it is served for: see [`Merit`].
    pub merit: u64,
    /// Whether it connected less than 60 s ago.
    pub newcomer: bool,
}

/// What peers are served for. Only this type knows the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merit {
    /// What they send us.
    Gives,
    /// What they get from us.
    Gets,
    /// Nothing: they are drawn by lot.
    Lot,
}

impl Merit {
    /// Returns what counts under the rule `choking`, while we seed or not.
    pub(crate) fn under(choking: Choking, seeding: bool) -> Self {
        match (seeding, choking) {
            (true, _) => Self::Gets,
            (false, Choking::TitForTat) => Self::Gives,
            (false, Choking::ByLot) => Self::Lot,
        }
    }

    /// Returns the merit of a peer that sends us `gives` bytes a second and gets `gets`.
    pub(crate) fn of(self, gives: u64, gets: u64, rng: &mut fastrand::Rng) -> u64 {
        match self {
            Self::Gives => gives,
            Self::Gets => gets,
            Self::Lot => rng.u64(..),
        }
    }
}

/// Remembers which peer has the optimistic unchoke, and for how many more rounds.
#[derive(Debug, Default)]
pub struct Choker {
    optimistic: Option<PeerKey>,
    rounds_left: u32,
}

impl Candidate {
    /// Orders the candidates, the first to serve first.
    pub(crate) fn rank(&self) -> Reverse<(u64, PeerKey)> {
        Reverse((self.merit, self.peer))
    }
}

impl Choker {
    pub(crate) fn optimistic(&self) -> Option<PeerKey> {
        self.optimistic
    }

    /// How many peers to serve at once, if we upload `rate` bytes a second in all. The optimistic
    /// unchoke comes on top.
    pub fn slots(seeding: bool, rate: u64) -> usize {
        let (least, bytes) = match seeding {
            true => (SEED_SLOTS, BYTES_PER_SEED_SLOT),
            false => (SLOTS, BYTES_PER_SLOT),
        };
        least.max((rate / bytes) as usize)
    }

    /// Chooses the peers to serve during the next [`ROUND`]: of those that are interested, the
    /// `slots` with the greatest merit and one drawn by lot.
    pub fn round(
        &mut self,
        candidates: &[Candidate],
        slots: usize,
        rng: &mut fastrand::Rng,
    ) -> BTreeSet<PeerKey> {
        let mut fastest: Vec<&Candidate> = candidates.iter().filter(|c| c.interested).collect();
        fastest.sort_by_key(|c| c.rank());
        let mut chosen: BTreeSet<PeerKey> = fastest.iter().take(slots).map(|c| c.peer).collect();

        self.rounds_left = self.rounds_left.saturating_sub(1);
        let still = |c: &&&Candidate| Some(c.peer) == self.optimistic && !chosen.contains(&c.peer);
        if self.rounds_left == 0 || fastest.iter().find(still).is_none() {
            let rest = fastest.iter().filter(|c| !chosen.contains(&c.peer));
            let lots: Vec<PeerKey> = rest
                .flat_map(|c| {
                    let lots = if c.newcomer { NEWCOMER_CHANCES } else { 1 };
                    std::iter::repeat_n(c.peer, lots)
                })
                .collect();
            self.optimistic = rng.choice(lots);
            self.rounds_left = OPTIMISTIC_ROUNDS;
        }
        chosen.extend(self.optimistic);
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn candidate(n: u32, merit: u64) -> Candidate {
        Candidate {
            peer: PeerKey(n),
            interested: true,
            merit,
            newcomer: false,
        }
    }

    #[test]
    fn the_fastest_and_one_by_chance() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut choker = Choker::default();
        let mut candidates: Vec<_> = (0..20).map(|n| candidate(n, u64::from(n))).collect();
        candidates[19].interested = false;
        let chosen = choker.round(&candidates, SLOTS, &mut rng);
        assert_eq!(chosen.len(), SLOTS + 1);
        let fastest = (0..19).rev().take(SLOTS);
        assert!(
            fastest.map(PeerKey).all(|peer| chosen.contains(&peer)),
            "{chosen:?}"
        );
        assert!(!chosen.contains(&PeerKey(19)), "it wants nothing");
    }

    #[test]
    fn chance_goes_round_after_30_seconds_and_prefers_newcomers() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut choker = Choker::default();
        let fast = SLOTS as u32;
        let mut candidates: Vec<_> = (0..fast + 8)
            .map(|n| candidate(n, if n < fast { 9 } else { 0 }))
            .collect();
        candidates[SLOTS + 7].newcomer = true;
        let mut turns: HashMap<PeerKey, u32> = HashMap::new();
        let mut last = None;
        for round in 0..3000 {
            let chosen = choker.round(&candidates, SLOTS, &mut rng);
            let lucky = *chosen.iter().find(|peer| peer.0 >= fast).unwrap();
            assert!(
                round % 3 == 0 || Some(lucky) == last,
                "changed before its time"
            );
            last = Some(lucky);
            *turns.entry(lucky).or_default() += 1;
        }
        assert_eq!(turns.len(), 8, "everybody gets a turn");
        let newcomer = turns.remove(&PeerKey(fast + 7)).unwrap();
        assert!(
            turns.values().all(|t| *t < newcomer),
            "{turns:?} {newcomer}"
        );
    }

    #[test]
    fn who_gives_is_served_unless_lots_are_drawn() {
        use Choking::{ByLot, TitForTat};
        let mut rng = fastrand::Rng::with_seed(1);
        let mut merit = |rule, seeding| Merit::under(rule, seeding).of(10, 20, &mut rng);
        assert_eq!(merit(TitForTat, false), 10, "what it gives");
        assert_eq!([TitForTat, ByLot].map(|rule| merit(rule, true)), [20, 20]);
        assert_ne!(merit(ByLot, false), merit(ByLot, false));
    }

    #[test]
    fn a_fast_line_has_more_places() {
        assert_eq!(Choker::slots(false, 1_000_000), SLOTS);
        assert_eq!(Choker::slots(false, 20_000_000), 20);
        assert_eq!(Choker::slots(true, 800_000), SEED_SLOTS);
        assert_eq!(Choker::slots(true, 10_000_000), 100);
    }

    #[test]
    fn few_peers_are_all_served() {
        let mut rng = fastrand::Rng::with_seed(1);
        let candidates: Vec<_> = (0..9).map(|n| candidate(n, 0)).collect();
        assert_eq!(
            Choker::default()
                .round(&candidates, SEED_SLOTS, &mut rng)
                .len(),
            9
        );
        assert_eq!(
            Choker::default()
                .round(&candidates[..2], SLOTS, &mut rng)
                .len(),
            2
        );
    }
}
