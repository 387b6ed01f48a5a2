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
use crate::bitfield::Bitfield;
use crate::shortage::Shortage;

/// A connection that is given work.
#[derive(Debug)]
pub(super) struct Fetcher {
    /// The pieces that can be fetched over it.
    pub(super) have: Bitfield,
    /// Blocks that it could be asked for besides what it has on order.
    pub(super) wants: u32,
    /// Cancels that its thread has not answered yet.
    pub(super) cancels: u32,
    /// It owes us blocks and has sent none for 20 s.
    pub(super) snubbed: bool,
    /// Not to be dialled again when it ends: see
    /// [`Ending::Useless`](crate::swarm::Ending::Useless).
    pub(super) useless: bool,
    /// We hang up because we are short of this. The other side did nothing wrong.
    pub(super) shed: Option<Shortage>,
    pub(super) pace: Pace,
    pub(super) down: Rate,
    /// Bytes of the blocks that came from it.
    pub(super) gave: u64,
}

impl Fetcher {
    pub(super) fn new(have: Bitfield) -> Self {
        Self {
            have,
            wants: 0,
            cancels: 0,
            snubbed: false,
            useless: false,
            shed: None,
            pace: Pace::default(),
            down: Rate::default(),
            gave: 0,
        }
    }
}
