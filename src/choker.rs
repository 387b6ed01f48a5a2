//! Whom to give to: choking ([BEP 3], "choking and optimistic unchoking").
//!
//! Nobody can give to fifty peers at a useful rate. So each client serves a few at a
//! time, the rest are *choked*, and every ten seconds the few are chosen anew: those
//! who gave us most lately. That is tit for tat: who gives, gets. One more place goes
//! to somebody by chance, the *optimistic unchoke*: else a newcomer with nothing to
//! give would never get anything, and we would never learn who could be better.
//! A seed wants nothing back: it serves those who take fastest, and lets the chance
//! place go round.
//!
//! [`Choker::round`] is a pure choice among [`Candidate`]s; the torrent calls it.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use crate::types::PeerKey;
use std::collections::BTreeSet;
use std::time::Duration;

/// How often the choice is made anew.
pub(crate) const ROUND: Duration = Duration::from_secs(10);

/// Rounds that an optimistic unchoke lasts: 30 seconds.
const OPTIMISTIC_ROUNDS: u32 = 3;

/// Places for the fastest, while downloading. Few: each is served fast enough to be worth a
/// place to the other side, too. With 7 on a line of 2 MB/s each got 220 kB/s, and other
/// clients, which serve 3 or 4 at a time, gave their places to others than us. In a mixed
/// swarm on such lines the mean time was 1.05 of the best client's with 7 places, and 0.98 to
/// 1.00 with 2 to 4.
const SLOTS: usize = 3;

/// Places while seeding: nothing else uses the line.
const SEED_SLOTS: usize = 8;

/// A fast line has more places: while downloading one for each 1 MB/s that goes out.
const BYTES_PER_SLOT: u64 = 1_000_000;

/// While seeding one for each 250 kB/s. It still serves each of them faster than most lines
/// could serve one.
const BYTES_PER_SEED_SLOT: u64 = 250_000;

/// A newcomer is this much likelier to get the optimistic place.
const NEWCOMER_CHANCES: usize = 3;

/// A peer that might be given to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// Which peer.
    pub peer: PeerKey,
    /// It wants something that we have.
    pub interested: bool,
    /// Bytes a second: what it gives us, or, while we seed, what it takes.
    pub rate: u64,
    /// It came within the last minute or so.
    pub newcomer: bool,
}

/// Remembers who has the optimistic place, and for how long yet.
#[derive(Debug, Default)]
pub(crate) struct Choker {
    optimistic: Option<PeerKey>,
    rounds_left: u32,
}

impl Choker {
    /// How many peers are served at a time by who gives `rate` bytes a second in all.
    pub(crate) fn slots(seeding: bool, rate: u64) -> usize {
        let (least, bytes) = match seeding {
            true => (SEED_SLOTS, BYTES_PER_SEED_SLOT),
            false => (SLOTS, BYTES_PER_SLOT),
        };
        least.max((rate / bytes) as usize)
    }

    /// Chooses who is unchoked for the next [`ROUND`]: `slots` peers and one by chance, of
    /// those that are interested.
    pub(crate) fn round(
        &mut self,
        candidates: &[Candidate],
        slots: usize,
        rng: &mut fastrand::Rng,
    ) -> BTreeSet<PeerKey> {
        let mut fastest: Vec<&Candidate> = candidates.iter().filter(|c| c.interested).collect();
        fastest.sort_by_key(|c| std::cmp::Reverse((c.rate, c.peer)));
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

    fn candidate(n: u32, rate: u64) -> Candidate {
        Candidate {
            peer: PeerKey(n),
            interested: true,
            rate,
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
    fn a_fast_line_has_more_places() {
        assert_eq!(Choker::slots(false, 1_000_000), SLOTS);
        assert_eq!(Choker::slots(false, 20_000_000), 20);
        assert_eq!(Choker::slots(true, 1_000_000), SEED_SLOTS);
        assert_eq!(Choker::slots(true, 10_000_000), 40);
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
