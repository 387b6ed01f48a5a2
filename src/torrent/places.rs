//! Who gets a place: which addresses to dial, which peers must make room, and which peers to serve.
//!
//! Connections and uploads are both limited. The [`Swarm`](crate::swarm::Swarm) decides the order
//! of the dials, the [`Choker`] which peers are served ([BEP 3]).
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use super::facts::choking;
use super::fetcher::{Fetcher, Parting};
use super::learning::Offer;
use super::peers::Peer;
use super::{Action, IDLE, Torrent, Turn};
use crate::address::Host;
use crate::choker::{Candidate, Choker, Merit};
use crate::messages::{Command, EndKind};
use crate::shortage::Shortage;
use crate::swarm::Ending;
use crate::trace::{Fact, Over, Side, Unchoke};
use crate::types::PeerKey;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How many places of peers that dialled us one host may keep when other hosts want one.
const PER_HOST: usize = 8;

/// How long after connecting a peer is a newcomer: see [`Candidate::newcomer`].
const NEWCOMER: Duration = Duration::from_secs(60);

/// A seed's rate counts as if it had given for this many seconds at least. At first the send
/// buffers take 128 KiB and more for each peer at once, which says nothing of the line.
const SETTLED: f64 = 2.0;

impl Torrent {
    /// Dials more addresses, if there is room and use for more peers.
    pub(super) fn dial(&mut self, turn: &mut Turn<'_>) {
        let over = self.goals.leaving().is_some() || self.goals.phase().is_over();
        let most = self.ways.most_dials(turn.now);
        if over || most == 0 {
            return;
        }
        let peers = self.peers.values();
        let mut dialling = peers.clone().filter(|peer| !peer.welcome).count();
        let mut all = peers.clone().count();
        let mut ours = peers.filter(|peer| !peer.incoming).count();
        let room = self.places_for_one_side();
        let incomplete = self.goals.phase().is_incomplete();
        let lonely = incomplete && all == 0 && self.peers.no_giver_left();
        while dialling < most && ours < room && all < self.setup.max_peers {
            let addr = match self.swarm.next(turn.now) {
                None if lonely => self.swarm.next_early(turn.now),
                next => next,
            };
            let Some(addr) = addr else {
                return;
            };
            let (key, pieces) = (turn.keys.take(), self.content.layout.pieces());
            let peer = Peer::new(addr, false, pieces, turn.now);
            self.peers.insert(key, peer);
            turn.push(Action::Dial(key, addr));
            turn.tell(key, None, || Fact::Dialled {
                addr: addr.to_string(),
                over: Over::Tcp,
            });
            dialling += 1;
            all += 1;
            ours += 1;
        }
        let all_taken = all >= self.setup.max_peers;
        if (all_taken || ours >= room) && self.swarm.is_anyone_due(turn.now) {
            self.make_room(!all_taken, turn);
            self.turn_over(!all_taken, turn);
        }
    }

    /// How many places the peers that dial us may take, and as many those that we dial.
    /// Neither side may take all.
    pub(crate) fn places_for_one_side(&self) -> usize {
        self.setup.max_peers - self.setup.max_peers / 10
    }

    /// Makes room: a peer goes that connected at least [`IDLE`] ago and is of no use to either
    /// side. `dialled_only`: it must be one that we dialled.
    pub(crate) fn make_room(&mut self, dialled_only: bool, turn: &mut Turn<'_>) {
        let idle = self.peers.iter_mut().find(|(_, peer)| {
            let of_use = peer.useful > 0 || peer.interested || peer.metadata != Offer::None;
            peer.holds_place(dialled_only) && !of_use && turn.now.duration_since(peer.since) >= IDLE
        });
        if let Some((key, peer)) = idle {
            peer.fetcher.useless = true;
            peer.fetcher.part(*key, Parting::Idle, turn);
        }
    }

    /// Makes room for a peer from `newcomer` that dialled us and found no place. If some host holds
    /// more than [`PER_HOST`] of these places, one of its peers that gave nothing goes, and the
    /// newcomer finds a place when it comes again.
    pub(super) fn part_crowd(&mut self, newcomer: Host, turn: &mut Turn<'_>) {
        let mut crowds: BTreeMap<Host, usize> = BTreeMap::new();
        let there = |peer: &Peer| peer.incoming && !peer.fetcher.useless;
        for (_, peer) in self.peers.welcome().filter(|(_, peer)| there(peer)) {
            *crowds.entry(peer.host()).or_default() += 1;
        }
        crowds.retain(|host, peers| *peers > PER_HOST && !host.is_our_own() && *host != newcomer);
        let crowd = crowds.into_iter().max_by_key(|(_, peers)| *peers);
        let Some((crowd, _)) = crowd else { return };
        let peers = self.peers.welcome_mut();
        let its = peers.filter(|(_, p)| there(p) && p.host() == crowd && p.fetcher.gave == 0);
        if let Some((key, peer)) = its.min_by_key(|(_, peer)| peer.took) {
            peer.fetcher.useless = true;
            peer.fetcher.part(key, Parting::Crowd, turn);
        }
    }

    /// The thread that was to dial could not be started: the system lacks something.
    pub fn on_dial_failed(&mut self, key: PeerKey, shortage: Shortage, turn: &mut Turn<'_>) {
        if let Some(peer) = self.peers.remove(&key) {
            turn.tell(key, None, || Fact::Closed {
                why: shortage.to_string(),
                down: 0,
                up: 0,
            });
            let ending = Ending::Failed(EndKind::Short(shortage));
            self.swarm.ended(peer.addr, ending, turn.now);
            self.ways.on_short(shortage, turn.now);
        }
    }

    /// The address of `--bind` is gone, with a sentence that says so, or is back.
    pub fn on_address(&mut self, gone: Option<&str>, now: Instant) {
        self.ways.on_address(gone, now);
    }

    /// Sets what `--proxy` keeps us from asking: "2 trackers, the DHT".
    pub fn set_shut_out(&mut self, shut_out: String) {
        self.ways.shut_out = shut_out;
    }

    /// Returns the number of connections, including those being dialled and web seeds.
    pub fn connections(&self) -> usize {
        self.peers.fetchers().count()
    }

    /// Ends the connection that moves the fewest bytes, to free its thread and its files.
    pub fn shed(&mut self, shortage: Shortage, now: Instant) -> Option<Action> {
        let up = |key| self.peers.get(&key).map_or(0.0, |peer| peer.up.get(now));
        let rate = |key, fetcher: &Fetcher| fetcher.down.get(now) + up(key);
        let stay = self
            .peers
            .fetchers()
            .filter(|(_, its)| its.parting.is_none());
        let rates = stay.map(|(key, its)| (rate(key, its), key));
        let slowest = rates.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (_, key) = slowest?;
        self.peers.fetcher_mut(key)?.parting = Some(Parting::Short(shortage));
        Some(Action::HangUp(key))
    }

    pub(super) fn slots(&self, now: Instant) -> usize {
        let seeding = !self.goals.is_downloading();
        let up = &self.traffic.up;
        let rate = match seeding {
            true => up.over(SETTLED, now),
            false => up.get(now),
        };
        Choker::slots(seeding, rate as u64)
    }

    fn merit(&self) -> Merit {
        Merit::under(self.setup.rules.choking, !self.goals.is_downloading())
    }

    fn served(&self) -> usize {
        let served = |(_, peer): &(PeerKey, &Peer)| peer.interested && !peer.we_choke;
        self.peers.welcome().filter(served).count()
    }

    /// Serves more peers at once if upload slots are free, without waiting for the next round: the
    /// torrent has just begun, a peer has left or wants nothing more, or the line turns out to be
    /// faster. First come those that would in a round, then those that got least.
    pub(super) fn fill_places(&mut self, turn: &mut Turn<'_>) {
        // Before the first round nobody has the optimistic unchoke. While we download, its place is
        // not to stay idle: who gets it may give something in return.
        let by_lot = usize::from(self.goals.is_downloading());
        let places = self.slots(turn.now) + by_lot;
        let free = places.saturating_sub(self.served());
        if free == 0 {
            return;
        }
        let (merit, rng) = (self.merit(), &mut self.rng);
        let waiting = self.peers.welcome_mut();
        let waiting = waiting.filter(|(_, peer)| peer.interested && peer.we_choke);
        let mut waiting: Vec<_> = waiting.collect();
        waiting.sort_by_cached_key(|(_, peer)| {
            let merit = peer.merit(merit, turn.now, rng);
            (Reverse(merit), peer.took)
        });
        for (key, peer) in waiting.into_iter().take(free) {
            self.traffic.up.begin(turn.now);
            peer.we_choke = false;
            turn.send(key, Command::Choke(false));
            let why = Some(Unchoke::PlaceFree);
            turn.tell(key, None, || choking(Side::Us, false, why));
        }
    }

    /// Chooses anew which peers we serve, every [`choker::ROUND`](crate::choker::ROUND).
    pub(super) fn choke_round(&mut self, turn: &mut Turn<'_>) {
        let (merit, rng) = (self.merit(), &mut self.rng);
        let welcome = self.peers.welcome();
        let candidates: Vec<Candidate> = welcome
            .map(|(key, peer)| Candidate {
                peer: key,
                interested: peer.interested,
                merit: peer.merit(merit, turn.now, rng),
                newcomer: turn.now.duration_since(peer.since) < NEWCOMER,
            })
            .collect();
        let slots = self.slots(turn.now);
        let chosen = self.choker.round(&candidates, slots, &mut self.rng);
        for (key, peer) in self.peers.welcome_mut() {
            let choke = !chosen.contains(&key);
            if peer.we_choke != choke {
                peer.we_choke = choke;
                turn.send(key, Command::Choke(choke));
                let why = Some(Unchoke::Round);
                turn.tell(key, None, || choking(Side::Us, choke, why));
            }
        }
        self.tell_round(&candidates, turn);
    }
}
