//! The endgame: when every block is granted, an idle peer takes over work of the one that
//! would finish last. So the end of a download is not the end of its slowest peer. Part of
//! the [`Picker`].

use super::Picker;
use crate::bitfield::Bitfield;
use crate::layout::{PieceIndex, Span, spans_of};
use crate::types::PeerKey;

/// At the very end, so few blocks are asked of two peers, rather than taken over.
const SHARED_BLOCKS: usize = 8;

/// The most peers that one block is asked of. Those before the last are far slower than it.
const MAX_HOLDERS: u8 = 4;

/// ... so many times.
const FAR_SLOWER: f64 = 4.0;

impl Picker {
    /// The endgame: work for `peer`, though all blocks are granted. Of the other peers, who
    /// take `seconds_a_block` (infinite if they give nothing), it looks for the one that
    /// would finish last and has something that can be had, and gives `peer` the later half
    /// of that work: those blocks are to be cancelled there at once. The last few are not
    /// taken over but asked of both; and of more, if those turn out to be far slower.
    pub fn take_over(
        &mut self,
        peer: PeerKey,
        have: &Bitfield,
        blocks: u32,
        seconds_a_block: impl Fn(PeerKey) -> f64,
    ) -> (Vec<Span>, Vec<(PeerKey, Span)>) {
        let mine = seconds_a_block(peer);
        let is_slow = |other: PeerKey| seconds_a_block(other) > FAR_SLOWER * mine;
        let all_slow = |piece: PieceIndex, number: u32| {
            let mut queues = self.leases.iter();
            queues.all(|(holder, leases)| {
                !leases.contains_key(&(piece, number)) || *holder != peer && is_slow(*holder)
            })
        };
        let takeable = |piece: PieceIndex, number: u32, is_slow: bool| {
            let slot = self.started.get(&piece).map(|s| s.slots[number as usize]);
            let slot = slot.filter(|slot| !slot.stored && have.has(piece));
            slot.is_some_and(|slot| match slot.leases {
                1 => true,
                ..MAX_HOLDERS => is_slow && all_slow(piece, number),
                _ => false,
            })
        };
        let mut victims: Vec<(f64, PeerKey)> = self
            .leases
            .iter()
            .filter(|(victim, leases)| **victim != peer && !leases.is_empty())
            .map(|(victim, leases)| (leases.len() as f64 * seconds_a_block(*victim), *victim))
            .collect();
        victims.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let mut candidates = victims
            .into_iter()
            .enumerate()
            .map_while(|(i, (finish, victim))| {
                let is_slow = is_slow(victim);
                // Nearly always the last one has something: the others are not looked at.
                let leases = self.leases.get(&victim).filter(|_| i == 0 || is_slow)?;
                let work: Vec<(u64, PieceIndex, u32)> = leases
                    .iter()
                    .filter(|((piece, number), _)| takeable(*piece, *number, is_slow))
                    .map(|((piece, number), grant)| (*grant, *piece, *number))
                    .collect();
                Some((finish, victim, work))
            });
        let first = candidates.find(|(_, _, work)| !work.is_empty());
        let Some((finish, victim, mut work)) = first else {
            return Default::default();
        };
        let shared = work.len() <= SHARED_BLOCKS;
        if !shared {
            work.sort_unstable_by(|a, b| b.cmp(a));
            work.truncate((work.len() / 2).min(blocks as usize));
        }
        work.truncate(blocks as usize);
        if mine * (self.leased(peer) + work.len()) as f64 >= finish {
            return Default::default();
        }
        let taken = spans_of(
            work.iter()
                .map(|(_, piece, number)| (*piece, *number))
                .collect(),
        );
        work.into_iter()
            .for_each(|(_, piece, number)| self.lease(peer, piece, number));
        let cancel = if shared {
            vec![]
        } else {
            taken.iter().map(|span| (victim, *span)).collect()
        };
        (taken, cancel)
    }
}
