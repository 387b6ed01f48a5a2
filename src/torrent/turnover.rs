//! Which peers lose their places to addresses that were never tried.
//!
//! A torrent has only so many connections, its places. A peer that claims to have everything
//! and chokes us for ever costs its owner nothing: forty of them could hold all places, and we
//! would never dial an honest seed. So a peer keeps its place by what it gives us. While nobody
//! gives anything, a quarter of the places are given to others every half minute, as any other
//! peer is as good. While somebody gives, one is a minute, and never that of a peer that gave:
//! an honest seed with many to serve unchokes them in turns, and who leaves loses its turn.
//!
//! Part of the [`Torrent`], which comes here when all places are taken and others could be
//! dialled. [`Turnover`] has no clock: the time is an argument.

use super::learning::Offer;
use super::peers::Peer;
use super::{Phase, Torrent, Turn};
use crate::types::PeerKey;
use std::time::{Duration, Instant};

/// If nobody gave anything for so long, all peers that we have waited for as long may go.
const BARREN: Duration = Duration::from_secs(60);

/// How often some go then.
const BARREN_EVERY: Duration = Duration::from_secs(30);

/// While somebody gives, a peer has so long to give something, too.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often one goes then.
const EVERY: Duration = Duration::from_secs(60);

/// Somebody who holds a place.
#[derive(Clone, Copy, Debug)]
struct Holder {
    key: PeerKey,
    /// Since when we have been waiting for it to give something.
    waits_since: Instant,
    /// It gave something, ever.
    gave: bool,
    /// It took something.
    took: bool,
}

/// How many may go now, and of whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Terms {
    /// So many at most.
    most: usize,
    /// Only those for which we have been waiting so long.
    patience: Duration,
    /// Also those that gave something once.
    givers_too: bool,
}

/// When places were last taken away.
#[derive(Debug, Default)]
pub(super) struct Turnover {
    last: Option<Instant>,
}

impl Turnover {
    /// Whether anybody has to go now. `came`: when something came last, from anybody.
    fn terms(&self, places: usize, came: Instant, now: Instant) -> Option<Terms> {
        let barren = now.duration_since(came) >= BARREN;
        let (every, terms) = match barren {
            true => (
                BARREN_EVERY,
                Terms {
                    most: (places / 4).max(1),
                    patience: BARREN,
                    givers_too: true,
                },
            ),
            false => (
                EVERY,
                Terms {
                    most: 1,
                    patience: PATIENCE,
                    givers_too: false,
                },
            ),
        };
        let pause_over = |last| now.duration_since(last) >= every;
        self.last.is_none_or(pause_over).then_some(terms)
    }

    /// Who goes: first of all those that gave nothing and took nothing, the oldest first.
    fn choose(&mut self, terms: Terms, mut holders: Vec<Holder>, now: Instant) -> Vec<PeerKey> {
        holders.retain(|holder| {
            let long = now.duration_since(holder.waits_since) >= terms.patience;
            long && (terms.givers_too || !holder.gave)
        });
        holders.sort_by_key(|holder| (holder.gave, holder.took, holder.waits_since));
        holders.truncate(terms.most);
        if !holders.is_empty() {
            self.last = Some(now);
        }
        holders.into_iter().map(|holder| holder.key).collect()
    }
}

impl Torrent {
    /// All places are taken, or all of those for peers that we dial (`dialled_only`): some go,
    /// if addresses are known that were never tried and could be of more use.
    pub(super) fn turn_over(&mut self, dialled_only: bool, turn: &mut Turn<'_>) {
        // Nothing can come while the disk is looked at.
        let waits = self.goals.phase() == Phase::Looking || self.waits_for_checker();
        if !self.goals.phase().is_incomplete() || waits {
            return;
        }
        let places = self.setup.max_peers;
        let Some(mut terms) = self.turnover.terms(places, self.goals.came_at(), turn.now) else {
            return;
        };
        terms.most = terms.most.min(self.swarm.untried(turn.now));
        let holders = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.holds_place(dialled_only) && !peer.is_spared());
        let holders = holders.map(|(key, peer)| peer.as_holder(*key)).collect();
        for key in self.turnover.choose(terms, holders, turn.now) {
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.fetcher.useless = true;
                if peer.incoming {
                    self.swarm.rest(peer.addr, turn.now);
                }
                turn.hang_up(key);
            }
        }
    }
}

impl Peer {
    fn as_holder(&self, key: PeerKey) -> Holder {
        Holder {
            key,
            waits_since: self.wanted_since.unwrap_or(self.since),
            gave: self.fetcher.gave > 0 || matches!(self.metadata, Offer::Asked(1..)),
            took: self.took > 0,
        }
    }

    /// It lets us ask, and we have not asked: it is not the one to blame.
    fn is_spared(&self) -> bool {
        self.useful > 0 && !self.peer_chokes && self.fetcher.first_asked.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(n: u32, waits_since: Instant, gave: bool, took: bool) -> Holder {
        Holder {
            key: PeerKey(n),
            waits_since,
            gave,
            took,
        }
    }

    /// Who goes in each second, of 50 places; `comes`: somebody gives all the time.
    fn gone(holders: &[Holder], start: Instant, comes: bool, seconds: u64) -> Vec<(u64, Vec<u32>)> {
        let (mut turnover, mut left) = (Turnover::default(), holders.to_vec());
        let mut gone = Vec::new();
        for second in 0..seconds {
            let now = start + Duration::from_secs(second);
            let came = if comes { now } else { start };
            let Some(terms) = turnover.terms(50, came, now) else {
                continue;
            };
            let going = turnover.choose(terms, left.clone(), now);
            left.retain(|holder| !going.contains(&holder.key));
            if !going.is_empty() {
                gone.push((second, going.into_iter().map(|key| key.0).collect()));
            }
        }
        gone
    }

    #[test]
    fn while_nobody_gives_a_quarter_goes_each_half_minute() {
        let start = Instant::now();
        let holders: Vec<Holder> = (0..50).map(|n| holder(n, start, n < 10, n >= 40)).collect();
        let gone = gone(&holders, start, false, 200);
        let (seconds, who): (Vec<u64>, Vec<Vec<u32>>) = gone.into_iter().unzip();
        assert_eq!(seconds, [60, 90, 120, 150, 180]);
        assert_eq!(who[0], (10..22).collect::<Vec<u32>>());
        assert_eq!(
            who.concat()[30..40],
            (40..50).collect::<Vec<u32>>(),
            "those that take"
        );
        assert_eq!(
            who.concat()[40..],
            (0..10).collect::<Vec<u32>>(),
            "then those that gave"
        );
    }

    #[test]
    fn while_somebody_gives_one_goes_a_minute_and_none_that_ever_gave() {
        let start = Instant::now();
        let late = start + Duration::from_secs(100);
        let holders = [
            holder(1, start, true, false),
            holder(2, late, false, false),
            holder(3, start, false, true),
            holder(4, start, false, false),
        ];
        let expected = [(120, vec![4]), (180, vec![3]), (240, vec![2])];
        assert_eq!(gone(&holders, start, true, 2_000), expected);
    }
}
