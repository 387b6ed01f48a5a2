//! Opens web seeds ([BEP 19]), hears from their threads, and lets them go.
//!
//! A web seed gets work by the same rules as a peer and holds leases on blocks as a peer does.
//! Apart from that it is no peer: it takes no place, has no address, is never choked, and peers do
//! not hear about it. [`webseeds`](super::webseeds) decides which web seed is opened next.
//!
//! [BEP 19]: https://www.bittorrent.org/beps/bep_0019.html

use super::facts::closed;
use super::fetcher::{Fetcher, Parting};
use super::webseeds::WebSeedIndex;
use super::{Action, Torrent, Turn};
use crate::messages::{End, Web};
use crate::trace::{Fact, Over};
use crate::types::PeerKey;
use crate::url::{origin, shown};

/// A web seed in use: it has a thread.
#[derive(Debug)]
pub(super) struct WebSeed {
    pub(super) index: WebSeedIndex,
    pub(super) fetcher: Fetcher,
}

impl Torrent {
    pub(super) fn open_web_seeds(&mut self, turn: &mut Turn<'_>) {
        if self.goals.leaving().is_some() || !self.goals.is_downloading() {
            return;
        }
        let (picker, layout) = (&self.picker, &self.content.layout);
        while let Some(index) = self.web_seeds.next(layout, |p| picker.wants(p), turn.now) {
            let url = self.web_seeds.url(index).to_owned();
            let fetcher = Fetcher::new(self.web_seeds.pieces(index, layout));
            let key = turn.keys.take();
            let seed = WebSeed { index, fetcher };
            self.peers.web_seeds.insert(key, seed);
            turn.tell(key, None, || Fact::Dialled {
                addr: origin(&url),
                over: Over::Http,
            });
            turn.push(Action::OpenWebSeed(key, index, url));
        }
    }

    /// The thread of a web seed could not be started.
    pub fn on_web_seed_failed(&mut self, key: PeerKey, error: &str, turn: &mut Turn<'_>) {
        if let Some(seed) = self.peers.web_seeds.remove(&key) {
            self.web_seeds
                .ended(seed.index, Some(error), false, turn.now);
            turn.tell(key, None, || Fact::Closed {
                why: error.to_string(),
                down: 0,
                up: 0,
            });
        }
    }

    pub(super) fn on_web_seed_says(&mut self, key: PeerKey, news: Web, turn: &mut Turn<'_>) {
        let Some(index) = self.peers.web_seeds.get(&key).map(|seed| seed.index) else {
            return;
        };
        match news {
            Web::Lacks { file, why } => self.on_lack(key, index, file, why, turn),
            Web::Barred(why) => {
                let message = format!("{}: {why}", self.web_seed_name(index));
                self.warn_once(message, turn);
            }
            Web::ComeBack(pause) => self.web_seeds.come_back(index, pause),
        }
    }

    /// A web seed does not have this file. If it has nothing else that we want, we hang up.
    fn on_lack(
        &mut self,
        key: PeerKey,
        index: WebSeedIndex,
        file: usize,
        why: String,
        turn: &mut Turn<'_>,
    ) {
        let name = self.web_seed_name(index);
        let Some(fetcher) = self.peers.fetcher_mut(key) else {
            return;
        };
        let text = format!("{name}: does not give file {}: {why}", file + 1);
        turn.remark(text);
        self.web_seeds.lacks(index, file, why);
        fetcher.have = self.web_seeds.pieces(index, &self.content.layout);
        if !fetcher.have.iter().any(|piece| self.picker.wants(piece)) {
            fetcher.useless = true;
            fetcher.wants = 0;
            fetcher.part(key, Parting::Lacks, turn);
        }
    }

    pub(super) fn on_web_seed_closed(
        &mut self,
        key: PeerKey,
        seed: &WebSeed,
        end: &End,
        turn: &mut Turn<'_>,
    ) {
        let WebSeed { index, fetcher } = seed;
        self.on_ended(fetcher, end, turn.now);
        let error = (!fetcher.useless).then_some(&*end.text);
        let gave = fetcher.gave > 0;
        self.web_seeds.ended(*index, error, gave, turn.now);
        let name = self.web_seed_name(*index);
        self.traffic.givers.add(&name, fetcher.gave);
        turn.tell(key, None, || closed(fetcher, end, 0));
        self.open_web_seeds(turn);
    }

    pub(super) fn web_seed_name(&self, index: WebSeedIndex) -> String {
        format!("web seed {}", shown(self.web_seeds.url(index)))
    }
}
