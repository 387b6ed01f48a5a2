//! Random events in random order, each of which a thread could send. After each of them the books
//! must agree.
//!
//! [`Thread`] plays a peer's thread by the rules of [`crate::messages`]. It and main hear from each
//! other late, after any number of other events. When nothing is on its way between them, what the
//! thread has on order must be what the picker has leased to it.

mod thread;

use super::*;
use crate::config::Choking::{ByLot, TitForTat};
use crate::config::Strategy::{Random, RarestFirst, Sequential};
use crate::layout::spans_of;
use crate::messages::Web;
use crate::shortage::Shortage;
use std::collections::{HashMap, HashSet, VecDeque};
use thread::Thread;

type Blocks = HashSet<(PieceIndex, u32)>;

struct Chaos {
    rig: Rig,
    rng: fastrand::Rng,
    threads: BTreeMap<PeerKey, Thread>,
    unverified: Vec<PieceIndex>,
    to_hash: Vec<PieceIndex>,
    /// The pieces that we had when a look at the disk was requested.
    to_survey: Option<Bitfield>,
    /// Whether somebody may still remove a file.
    harm_left: bool,
    failed: bool,
    /// One in this many verdicts is bad.
    bad_one_in: u32,
    stopped: bool,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        // Pieces of one to three blocks, some of them padding or partly padding, and files of any
        // size.
        let block = u64::from(BLOCK_LEN);
        let piece_length = [block / 2, block, 3 * block][rng.usize(..3)];
        let files: Vec<(u64, bool)> = (0..rng.u32(1..8))
            .map(|n| (rng.u64(..6 * piece_length), n > 0 && rng.u32(..4) == 0))
            .chain([(1, false)])
            .collect();
        let layout = Layout::new(piece_length, &files).unwrap();
        let mut rig = Rig::of(layout.clone(), |setup| {
            setup.max_peers = rng.usize(2..9);
            setup.rules = Rules {
                strategy: *rng.choice(&[RarestFirst, Sequential, Random]).unwrap(),
                choking: *rng.choice(&[TitForTat, ByLot]).unwrap(),
                take_over: rng.u32(..4) > 0,
            };
            setup.dht = rng.bool();
            setup.seed = seed;
            setup.web_seeds = (0..rng.u32(..3)).map(|n| format!("http://w{n}/")).collect();
            setup.trackers = vec![vec!["http://t/a".into()]];
            if rng.bool() {
                setup.afterwards = Afterwards::Seed {
                    ratio: None,
                    time: None,
                };
            }
            let content = content(setup);
            let wanted = |rng: &mut fastrand::Rng| rng.u32(..4) > 0;
            let files = 0..content.layout.files();
            let mut chosen: Vec<bool> = files.map(|_| wanted(&mut rng)).collect();
            *chosen.last_mut().unwrap() = true;
            content.wanted = Wanted::new(&content.layout, &chosen);
            let had = layout.all_pieces().filter(|_| rng.u32(..5) == 0);
            had.for_each(|piece| _ = content.have.insert(piece));
        });
        let limit = [0, 0, 200_000][rng.usize(..3)];
        rig.budgets.down = Budget::new(limit, rig.now);
        rig.budgets.up = Budget::new(limit, rig.now);
        let mut chaos = Self {
            rig,
            threads: BTreeMap::new(),
            unverified: Vec::new(),
            to_hash: Vec::new(),
            to_survey: None,
            harm_left: true,
            failed: false,
            bad_one_in: rng.u32(1..20),
            stopped: false,
            rng,
        };
        let actions = chaos.rig.turn(Torrent::start);
        chaos.perform(actions);
        chaos
    }

    fn new_key(&mut self) -> PeerKey {
        self.rig.keys.take()
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Dial(key, _) if self.rng.u32(..5) > 0 => {
                    self.threads.insert(key, Thread::default());
                }
                Action::Dial(key, _) => {
                    self.rig.turn(|torrent, turn| {
                        torrent.on_dial_failed(key, Shortage::Threads, turn);
                    });
                }
                Action::OpenWebSeed(key, ..) => self.open_web_seed(key),
                Action::Send(key, command) => {
                    if let Some(thread) = self.threads.get_mut(&key) {
                        thread.inbox.push_back(Some(command));
                    }
                }
                Action::HangUp(key) => {
                    if let Some(thread) = self.threads.get_mut(&key) {
                        thread.inbox.push_back(None);
                    }
                }
                Action::Welcome(key, _) => {
                    let all = Bitfield::all(self.rig.layout.pieces());
                    let thread = self.threads.get_mut(&key).expect("who greeted");
                    (thread.greeted, thread.chokes) = (true, true);
                    // Half of them are seeds that unchoke us at once.
                    if self.rng.bool() {
                        thread.chokes = false;
                        thread.have = Some(all.clone());
                        thread.say(PeerEvent::Pieces(all));
                        thread.say(PeerEvent::Choked(false));
                    }
                }
                Action::Verify { pieces, .. } => {
                    for piece in &pieces {
                        assert!(!self.unverified.contains(piece), "verified twice");
                        assert!(!self.rig.torrent.have().has(*piece), "verified again");
                        self.check_unwritten(*piece);
                    }
                    self.unverified.extend(pieces);
                }
                Action::HashBlocks(piece) => self.to_hash.push(piece),
                Action::Survey(have) => {
                    assert!(self.to_survey.is_none(), "one look at a time");
                    self.to_survey = Some(have);
                }
                Action::Fail(_) => self.failed = true,
                Action::Announce(_, _, request) => {
                    let left = request.event == AnnounceEvent::Stopped;
                    assert!(!left || self.stopped, "says goodbye too early");
                }
                Action::SearchDht { .. }
                | Action::EnterDht(_)
                | Action::AnnounceLocally
                | Action::Learnt(_)
                | Action::Tell(_)
                | Action::Done
                | Action::GiveUp(_)
                | Action::Complete => {}
            }
        }
    }

    fn open_web_seed(&mut self, key: PeerKey) {
        if self.rng.u32(..5) == 0 {
            self.rig
                .turn(|torrent, turn| torrent.on_web_seed_failed(key, "no", turn));
            return;
        }
        let thread = Thread {
            greeted: true,
            is_web: true,
            ..Thread::default()
        };
        self.threads.insert(key, thread);
    }

    /// Panics if anybody could still write to `piece`, which is verified or about to be.
    fn check_unwritten(&self, piece: PieceIndex) {
        for (key, thread) in &self.threads {
            let writes = thread.orders.iter().any(|(ordered, _)| *ordered == piece);
            assert!(!writes, "{key:?} may still write to {piece:?}");
        }
    }

    fn happen(&mut self) {
        match self.rng.u32(..40) {
            0 => self.arrive(),
            1 => {
                let addrs = [addr(self.rng.u8(1..40)), addr(self.rng.u8(1..40))];
                let actions = self.rig.turn(|torrent, turn| {
                    torrent.on_addresses(addrs, Source::Tracker, turn);
                });
                self.perform(actions);
            }
            2 | 3 => {
                let millis = [1, 100, 1000, 30_000][self.rng.usize(..4)];
                let actions = self.rig.pass(Duration::from_millis(millis));
                self.perform(actions);
            }
            4 | 5 => self.verdict(),
            6 => self.hashes(),
            7 => self.survey(),
            _ => self.some_thread(),
        }
    }

    fn arrive(&mut self) {
        let key = self.new_key();
        self.threads.insert(key, Thread::default());
        self.greet(key, true);
    }

    fn greet(&mut self, key: PeerKey, incoming: bool) {
        let n = self.rng.u8(1..40);
        let known = self.rig.torrent.peers.get(&key).map(|peer| peer.addr);
        let from = known.unwrap_or(addr(n));
        let actions = self.rig.greet_as(n, key, from, incoming);
        // A peer that is not welcome has a thread until it hears so.
        self.perform(actions);
    }

    fn verdict(&mut self) {
        if self.unverified.is_empty() {
            return;
        }
        let piece = self
            .unverified
            .swap_remove(self.rng.usize(..self.unverified.len()));
        self.check_unwritten(piece);
        // Nobody is to blame for a false hash over pure padding.
        let padding = self.rig.layout.is_padding(piece);
        let bad = self.bad_one_in > 1 && self.rng.u32(..self.bad_one_in) == 0;
        let verdict = match padding || !bad {
            true => Verdict::Right,
            false if self.rng.u32(..4) == 0 => Verdict::Moved,
            false => Verdict::False,
        };
        let actions = self.rig.found(piece.get(), verdict);
        self.perform(actions);
    }

    fn hashes(&mut self) {
        let Some(piece) = self.to_hash.pop() else {
            return;
        };
        let blocks = self.rig.layout.blocks_in(piece);
        let hashes: Vec<[u8; 20]> = (0..blocks).map(|_| [self.rng.u8(..50); 20]).collect();
        let actions = self.rig.block_hashes(piece, &hashes);
        self.perform(actions);
    }

    /// The look at the disk ends. Once in the life of a torrent it finds a file gone.
    fn survey(&mut self) {
        let Some(had) = self.to_survey.take() else {
            return;
        };
        let mut surveyed = Surveyed::default();
        let layout = self.rig.layout.clone();
        if self.harm_left && self.bad_one_in > 1 && self.rng.bool() {
            self.harm_left = false;
            let file = self.rng.usize(..layout.files());
            surveyed.changed = vec![(file, "x".into())];
            // Padding is on no disk.
            let pieces = layout.pieces_of_file(file);
            let pieces = pieces.filter(|p| had.has(*p) && !layout.is_padding(*p));
            surveyed.lost = pieces.filter(|_| self.rng.bool()).collect();
        }
        let actions = self.rig.surveyed(surveyed);
        self.perform(actions);
    }

    /// A thread acts, or main hears from it.
    fn some_thread(&mut self) {
        let keys: Vec<PeerKey> = self.threads.keys().copied().collect();
        let Some(&key) = keys.get(self.rng.usize(..keys.len().max(1))) else {
            return;
        };
        if self.rng.u32(..3) == 0 {
            return self.hear(key);
        }
        let pieces = self.rig.layout.pieces();
        let Some(thread) = self.threads.get_mut(&key) else {
            return;
        };
        if thread.over {
            return self.hear(key);
        }
        if !thread.greeted {
            return match self.rng.u32(..4) {
                0 => thread.close(),
                1 if thread.inbox.is_empty() && !self.rig.torrent.peers[&key].incoming => {
                    self.greet(key, false);
                }
                _ => thread.hear(),
            };
        }
        match self.rng.u32(..16) {
            0 if !thread.is_web && self.rng.bool() => {
                let have = thread.have.get_or_insert_with(|| Bitfield::none(pieces));
                let fresh = self.rig.layout.all_pieces().filter(|_| self.rng.bool());
                fresh.for_each(|piece| _ = have.insert(piece));
                let event = PeerEvent::Pieces(have.clone());
                thread.say(event);
            }
            1 if !thread.is_web => {
                let have = thread.have.get_or_insert_with(|| Bitfield::none(pieces));
                let piece = self.rig.layout.piece(self.rng.u32(..pieces));
                if let Some(piece) = piece.filter(|piece| have.insert(*piece)) {
                    thread.say(PeerEvent::Have(piece));
                }
            }
            2 if !thread.is_web => {
                thread.chokes = self.rng.u32(..6) == 0;
                let chokes = thread.chokes;
                thread.say(PeerEvent::Choked(chokes));
                if chokes && !thread.orders.is_empty() {
                    let lost = thread.take(&mut self.rng, usize::MAX);
                    thread.asking = false;
                    thread.say(PeerEvent::Released(lost, GivenBack::Refused));
                }
            }
            3 if !thread.is_web => thread.say(PeerEvent::Interested(self.rng.bool())),
            4 => {
                let most = self.rng.usize(..4);
                let lost = thread.take(&mut self.rng, most);
                if !lost.is_empty() {
                    thread.asking = false;
                    thread.say(PeerEvent::Released(lost, GivenBack::Refused));
                }
            }
            5 => thread.say(PeerEvent::Snubbed),
            6 if self.rng.u32(..10) == 0 => thread.close(),
            7 if thread.is_web && self.rng.u32(..10) == 0 => {
                let file = self.rng.usize(..self.rig.layout.files());
                thread.say(PeerEvent::Web(Web::Lacks {
                    file,
                    why: "no".into(),
                }));
            }
            8 => thread.say(PeerEvent::Traffic { down: 1000, up: 10 }),
            9 | 10 => thread.hear(),
            11 | 12 if !thread.asking && !thread.chokes => {
                thread.asking = true;
                thread.say(PeerEvent::Want(self.rng.u32(1..12)));
            }
            _ => {
                let most = self.rng.usize(1..5);
                let stored = thread.take(&mut self.rng, most);
                for span in &stored {
                    let piece = span.piece();
                    assert!(!self.rig.torrent.have().has(piece), "writes to {piece:?}");
                    assert!(!self.unverified.contains(&piece), "writes to {piece:?}");
                }
                if !stored.is_empty() {
                    thread.say(PeerEvent::Stored(stored));
                }
            }
        }
    }

    fn hear(&mut self, key: PeerKey) {
        let Some(thread) = self.threads.get_mut(&key) else {
            return;
        };
        let Some(event) = thread.outbox.pop_front() else {
            return;
        };
        if matches!(event, PeerEvent::Closed(_)) {
            self.threads.remove(&key);
        }
        let actions = self.rig.event_of(key, event);
        self.perform(actions);
    }

    /// Panics unless all that must hold between two events holds.
    fn check(&self) {
        let torrent = &self.rig.torrent;
        torrent.picker.check();
        assert_eq!(torrent.unchecked(), self.unverified.len());
        assert_eq!(torrent.have_bytes(), torrent.content.have_bytes());
        let mut available: HashMap<PieceIndex, u32> = HashMap::new();
        for peer in torrent.peers.values() {
            let wanted = peer
                .fetcher
                .have
                .iter()
                .filter(|piece| torrent.picker.wants(*piece));
            assert_eq!(peer.useful as usize, wanted.count());
            if !peer.fetcher.have.is_full() {
                peer.fetcher
                    .have
                    .iter()
                    .for_each(|piece| *available.entry(piece).or_default() += 1);
            }
        }
        for piece in self.rig.layout.all_pieces() {
            assert!(!(torrent.have().has(piece) && torrent.picker.wants(piece)));
            let truth = available.get(&piece).copied().unwrap_or(0);
            assert_eq!(torrent.picker.available(piece), truth, "{piece:?}");
        }
        for (key, thread) in &self.threads {
            if thread.inbox.is_empty() && thread.outbox.is_empty() && !thread.over {
                let (leased, orders) = (torrent.picker.leased(*key), thread.orders.len());
                assert_eq!(leased, orders, "leases and orders of {key:?}");
            }
        }
    }

    fn settle(&mut self) {
        for key in self.threads.keys().copied().collect::<Vec<_>>() {
            while let Some(thread) = self.threads.get_mut(&key) {
                if thread.inbox.is_empty() && thread.outbox.is_empty() {
                    break;
                }
                thread.hear();
                self.hear(key);
                self.check();
            }
        }
    }
}

/// A hundred torrents live through a thousand events each. Then everything is delivered, and a seed
/// completes each torrent.
#[test]
fn whatever_happens_the_books_agree() {
    for seed in 0..100 {
        println!("seed {seed}"); // shown on failure
        let mut chaos = Chaos::new(seed);
        chaos.check();
        for _ in 0..1000 {
            chaos.happen();
            chaos.check();
        }
        chaos.settle();
        chaos.finish();
    }
}

impl Chaos {
    /// From here on everybody is honest, and the torrent completes.
    fn finish(&mut self) {
        self.bad_one_in = 1;
        self.rig.budgets.down = Budget::new(0, self.rig.now);
        for _ in 0..200 {
            while !self.unverified.is_empty()
                || !self.to_hash.is_empty()
                || self.to_survey.is_some()
            {
                self.verdict();
                self.hashes();
                self.survey();
                self.check();
            }
            if self.failed {
                return; // for example, a piece can never be right
            }
            if !self.rig.torrent.phase().is_downloading() {
                break;
            }
            self.serve_whole();
        }
        let torrent = &self.rig.torrent;
        assert!(!torrent.phase().is_downloading(), "{:?}", torrent.picker);
        assert_eq!(self.rig.torrent.picker.missing(), 0);
        self.stopped = true;
        let actions = self.rig.turn(Torrent::stop);
        self.perform(actions);
        self.settle();
        self.check();
    }

    /// All peers leave, and a seed comes that sends what it is asked for.
    fn serve_whole(&mut self) {
        for key in self.threads.keys().copied().collect::<Vec<_>>() {
            self.threads.get_mut(&key).unwrap().close();
        }
        self.settle();
        let key = self.new_key();
        self.threads.insert(key, Thread::default());
        // An address and an id that were never banned.
        let n = 100 + (key.0 % 100) as u8;
        let actions = self.rig.greet_as(n, key, addr(n), true);
        self.perform(actions);
        let have = Bitfield::all(self.rig.layout.pieces());
        let thread = self.threads.get_mut(&key).unwrap();
        assert!(thread.greeted, "a seed is not welcome");
        thread.chokes = false;
        thread.say(PeerEvent::Pieces(have));
        thread.say(PeerEvent::Choked(false));
        thread.say(PeerEvent::Want(1000));
        self.settle();
        let Some(thread) = self.threads.get_mut(&key) else {
            return;
        };
        let stored = thread.take(&mut self.rng, usize::MAX);
        if !stored.is_empty() {
            thread.say(PeerEvent::Stored(stored));
        }
        self.settle();
        let actions = self.rig.pass(Duration::from_millis(100));
        self.perform(actions);
    }
}
