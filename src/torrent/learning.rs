//! A torrent that begins as a magnet link: how it gets its metadata from peers ([BEP 9]).
//!
//! It joins the swarm like any other torrent. Each peer's thread fetches all of the metadata from
//! its peer ([`crate::peer::learner`]). This file decides which peers are asked, and bans those
//! that send false metadata. Once the metadata is here, the torrent is like any other.
//!
//! [BEP 9]: https://www.bittorrent.org/beps/bep_0009.html

use super::fetcher::Parting;
use super::{Action, Content, Phase, Torrent, Turn};
use crate::bitfield::Bitfield;
use crate::config::Named;
use crate::messages::{Command, Learning};
use crate::report::Metadata;
use crate::swarm::Source;
use crate::trace::{Ban, Fact};
use crate::types::PeerKey;
use std::time::{Duration, Instant};

/// How many peers are asked for the metadata at a time. Each of them sends all of it.
const MAX_ASKED: usize = 4;

/// After this pause we ask a peer again that refused: it may have the metadata by then.
const ASK_AGAIN: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Offer {
    None,
    /// It offers the metadata, and may be asked from this time on.
    Open(Instant),
    /// It is being asked, and has sent this many bytes.
    Asked(u32),
}

impl Torrent {
    pub(super) fn knows_content(&self) -> bool {
        self.content.layout.files() > 0
    }

    /// The metadata is known, and the disk has been checked. Welcomes the connected peers anew. If
    /// the torrent turns out to be private, only peers may stay that the user or a tracker named.
    pub fn learn(&mut self, content: Content, turn: &mut Turn<'_>) {
        let pieces = content.layout.pieces();
        let private = content.private;
        self.set_content(content, turn.now);
        self.tell_content(turn);
        self.announcer.set_joined_complete(self.left() == 0);
        if private {
            self.announcer.set_private();
            self.part_from_strangers(Source::Tracker, turn);
        }
        for peer in self.peers.values_mut() {
            peer.fetcher.have = Bitfield::none(pieces);
            peer.metadata = Offer::None;
        }
        self.share();
        self.begin(turn);
        let entry = self.entry();
        for (key, _) in self
            .peers
            .welcome()
            .filter(|(_, peer)| !peer.fetcher.useless)
        {
            turn.push(Action::Welcome(key, entry.clone()));
        }
    }

    /// Another SOURCE of the user names the same torrent: `named` replaces its trackers, and adds
    /// to its web seeds. `known`: that source holds the metadata, so peers need not be asked.
    /// `private`: it says that the torrent is private, so peers of trackers that it does not name
    /// must go.
    pub fn set_sources(&mut self, named: Named, known: bool, private: bool, turn: &mut Turn<'_>) {
        if known {
            self.goals.learn();
        }
        self.web_seeds.add(&named.web_seeds);
        let is_less = self
            .announcer
            .set_trackers(named.trackers, &mut self.rng, turn.now);
        if private {
            (self.setup.dht, self.setup.pex, self.setup.lsd) = (false, false, false);
            if is_less {
                self.part_from_strangers(Source::User, turn);
            }
        }
        self.announce(turn);
    }

    /// Forgets all addresses, and hangs up on all peers, that a source worse than `worst` named.
    fn part_from_strangers(&mut self, worst: Source, turn: &mut Turn<'_>) {
        let strangers = self.swarm.keep_private(worst);
        let peers = self.peers.iter_mut();
        for (key, peer) in peers.filter(|(_, peer)| strangers.contains(&peer.addr)) {
            peer.fetcher.useless = true;
            peer.fetcher.part(*key, Parting::Private, turn);
        }
    }

    pub(super) fn on_metadata(&mut self, key: PeerKey, event: Learning, turn: &mut Turn<'_>) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        match event {
            Learning::Offers(size) => {
                peer.metadata = Offer::Open(turn.now);
                let text = format!("{}: offers {size} bytes of metadata", peer.addr);
                turn.remark(text);
                self.ask_for_metadata(turn);
                let asked = self.peers.get(&key).map(|peer| peer.metadata);
                if !matches!(asked, Some(Offer::Asked(_))) {
                    turn.send(key, Command::FetchMetadata(false));
                }
            }
            Learning::Came(bytes) => {
                peer.metadata = Offer::Asked(bytes);
                self.goals.metadata_came(bytes, turn.now);
            }
            Learning::Whole(bytes) => {
                if self.goals.learn() {
                    turn.push(Action::Learnt(bytes));
                }
            }
            Learning::Refused => {
                peer.metadata = Offer::Open(turn.now + ASK_AGAIN);
                self.ask_for_metadata(turn);
            }
            Learning::False => {
                peer.fetcher.useless = true;
                self.swarm.ban(peer.addr, peer.incoming);
                turn.tell(key, None, || Fact::Banned {
                    addr: peer.addr.to_string(),
                    blocks: Vec::new(),
                    why: Ban::FalseMetadata,
                });
            }
        }
    }

    /// Asks peers that offer the metadata, at most [`MAX_ASKED`] at a time.
    pub(super) fn ask_for_metadata(&mut self, turn: &mut Turn<'_>) {
        if !matches!(self.goals.phase(), Phase::Learning { .. }) {
            return;
        }
        let asked = self.peers.values();
        let asked = asked.filter(|peer| matches!(peer.metadata, Offer::Asked(_)));
        let room = MAX_ASKED.saturating_sub(asked.count());
        let now = turn.now;
        let open = self.peers.iter_mut().filter(|(_, peer)| {
            matches!(peer.metadata, Offer::Open(from) if from <= now) && !peer.fetcher.useless
        });
        for (key, peer) in open.take(room) {
            peer.metadata = Offer::Asked(0);
            turn.send(*key, Command::FetchMetadata(true));
        }
    }

    /// Returns how far the metadata is, for the user. `connected`: the number of connected peers.
    pub(super) fn what_is_learnt(&self, connected: usize) -> Metadata {
        let asked = self.peers.values().filter_map(|peer| match peer.metadata {
            Offer::Asked(bytes) => Some(bytes),
            _ => None,
        });
        let best = asked.clone().max().unwrap_or(0);
        match asked.count() {
            _ if self.goals.phase() == Phase::Looking => Metadata::Here,
            0 => Metadata::Nobody { peers: connected },
            peers => Metadata::Fetching { peers, bytes: best },
        }
    }
}
