//! Which peers lose their places to addresses that were never tried.
//!
//! A torrent has a limited number of connections, its places. A peer that claims to have everything
//! and chokes us for ever costs its owner nothing: forty of them could hold all places, and we
//! would never dial an honest seed. So a peer keeps its place by what it gives us.
//!
//! - While no peer gives anything, a quarter of the places are taken away every 30 s: any other
//!   peer is as good.
//! - While some peer gives, one place is taken away every 60 s, never from a peer that ever gave:
//!   an honest seed unchokes many leeches in turns, and a leech that leaves loses its turn.
//!
//! This counts only while all places are taken and others could be dialled.

use super::fetcher::Parting;
use super::learning::Offer;
use super::peers::Peer;
use super::{Phase, Torrent, Turn};
use crate::types::PeerKey;
use std::time::{Duration, Instant};

/// If no peer gave anything for this long, any peer may go that we have waited for as long.
const BARREN: Duration = Duration::from_secs(60);

/// The pause before the next ones go then.
const BARREN_EVERY: Duration = Duration::from_secs(30);

/// While some peer gives, any other may go only after we have waited for it this long.
const PATIENCE: Duration = Duration::from_secs(120);

/// The pause before the next one goes then.
const EVERY: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
struct Holder {
    key: PeerKey,
    /// Since when we have waited for it to give something.
    waits_since: Instant,
    gave: bool,
    took: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Terms {
    most: usize,
    /// How long we must have waited for a peer before it may go.
    patience: Duration,
    /// Whether peers may go that gave something once.
    givers_too: bool,
}

#[derive(Debug, Default)]
pub(super) struct Turnover {
    last: Option<Instant>,
}

impl Turnover {
    /// How many must go now and which, or `None` if it is too early. `came`: when something
    /// last came from any peer.
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

    /// Returns the peers that go. Those that gave nothing and took nothing go first, and among
    /// equals the one that we have waited for longest.
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
    /// Takes places away, if addresses were never tried and could be of more use. All places are
    /// taken, or (`dialled_only`) all those for peers that we dial.
    pub(super) fn turn_over(&mut self, dialled_only: bool, turn: &mut Turn<'_>) {
        // Nothing can come while the disk is checked.
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
                peer.fetcher.part(key, Parting::Barren, turn);
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

    /// Whether it unchokes us and has something, but we never asked it: it is not to blame.
    fn is_spared(&self) -> bool {
        self.useful > 0 && !self.peer_chokes && self.fetcher.pace.is_unknown()
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

    /// Returns which peers go in each second, with 50 places. `comes`: some peer gives all the
    /// time.
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
