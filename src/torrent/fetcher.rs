//! What giving work needs to know of anybody who fetches blocks: a peer ([BEP 3]) or a web seed
//! ([BEP 19]).
//!
//! Both get work by the same rules, from [`work`](super::work). [`Peer`](super::peers::Peer) and
//! [`WebSeed`](super::web::WebSeed) add what only one of them has.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 19]: https://www.bittorrent.org/beps/bep_0019.html

use super::pace::Pace;
use super::rate::Rate;
use super::{Action, Turn};
use crate::bitfield::Bitfield;
use crate::shortage::Shortage;
use crate::types::PeerKey;

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Parting {
    #[error("that is us")]
    Us,
    #[error("banned")]
    Banned,
    #[error("connected already")]
    Twin,
    #[error("no place is free")]
    Full,
    #[error("of no use to either side")]
    Idle,
    #[error("its host has too many places")]
    Crowd,
    #[error("gave nothing for too long")]
    Barren,
    #[error("neither side lacks anything")]
    BothSeeds,
    #[error("nothing is missing any more")]
    Complete,
    #[error("does not have what we want")]
    Lacks,
    #[error("the torrent is private")]
    Private,
    #[error("we leave")]
    Leaving,
    /// The other side did nothing wrong.
    #[error("{0}")]
    Short(Shortage),
}

/// A connection that is given work.
#[derive(Debug)]
pub(super) struct Fetcher {
    pub(super) have: Bitfield,
    /// Blocks that it could be asked for besides what it has on order.
    pub(super) wants: u32,
    /// Blocks that it could have on order in all, when it last wanted some.
    pub(super) window: u32,
    /// Cancels that its thread has not answered yet.
    pub(super) cancels: u32,
    /// It owes us blocks and has sent none for 20 s.
    pub(super) snubbed: bool,
    /// Not to be dialled again when it ends: see
    /// [`Ending::Useless`](crate::swarm::Ending::Useless).
    pub(super) useless: bool,
    pub(super) parting: Option<Parting>,
    pub(super) pace: Pace,
    pub(super) down: Rate,
    pub(super) gave: u64,
}

impl Fetcher {
    pub(super) fn new(have: Bitfield) -> Self {
        Self {
            have,
            wants: 0,
            window: 0,
            cancels: 0,
            snubbed: false,
            useless: false,
            parting: None,
            pace: Pace::default(),
            down: Rate::default(),
            gave: 0,
        }
    }

    /// Hangs up. Of several reasons, the first is told.
    pub(super) fn part(&mut self, key: PeerKey, why: Parting, turn: &mut Turn<'_>) {
        self.parting.get_or_insert(why);
        turn.push(Action::HangUp(key));
    }
}
