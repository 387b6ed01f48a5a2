//! The nodes that answered us lately: where the next look-up begins.
//!
//! A node that serves others keeps a table that is finest around its own id. We serve nobody, so
//! our table is equally fine everywhere: the space of ids is cut into [`PARTS`] equal parts, and
//! the table keeps a few nodes of each. Wherever an info hash lies, we know a node nearby, and each
//! step of a look-up gets much nearer.
//!
//! The [node](super::node) is the only user.

use super::krpc::Contact;
use crate::types::InfoHash;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How many parts the space of ids has. The first five bits of an id name its part.
const PARTS: usize = 32;

/// How many nodes are kept of each part.
const PER_PART: usize = 8;

/// A node from which we heard nothing for this long makes room for another (BEP 5). Until then it
/// stays: old nodes are likely to stay, and nobody can push them out by arriving with many.
const FRESH: Duration = Duration::from_secs(15 * 60);

#[derive(Debug)]
struct Known {
    contact: Contact,
    heard: Instant,
    /// Whether it left the last query unanswered. It goes after the second in a row, because
    /// datagrams get lost.
    silent: bool,
}

/// The table: at most [`PARTS`] × [`PER_PART`] nodes.
#[derive(Debug, Default)]
pub(crate) struct Table {
    known: Vec<Known>,
}

impl Table {
    pub(crate) fn count(&self) -> usize {
        self.known.len()
    }

    /// Records that a node answered. It is kept if there is room for it.
    pub(crate) fn answered(&mut self, contact: Contact, now: Instant) {
        self.known
            .retain(|known| known.contact.addr != contact.addr);
        let fresh = Known {
            contact,
            heard: now,
            silent: false,
        };
        let same = |known: &&mut Known| part(&known.contact) == part(&contact);
        let rivals: Vec<&mut Known> = self.known.iter_mut().filter(same).collect();
        if rivals.len() < PER_PART {
            self.known.push(fresh);
            return;
        }
        let may_go = |known: &&mut Known| known.silent || now.duration_since(known.heard) > FRESH;
        let rivals = rivals.into_iter().filter(may_go);
        if let Some(known) = rivals.min_by_key(|known| (!known.silent, known.heard)) {
            *known = fresh;
        }
    }

    pub(crate) fn silent(&mut self, addr: SocketAddr) {
        self.known.retain_mut(|known| {
            known.contact.addr != addr || !std::mem::replace(&mut known.silent, true)
        });
    }

    /// Returns the `count` nodes that are nearest to `target`, nearest first.
    pub(crate) fn nearest(&self, target: &InfoHash, count: usize) -> Vec<Contact> {
        let mut all: Vec<Contact> = self.known.iter().map(|known| known.contact).collect();
        all.sort_by_key(|contact| contact.id.distance(target));
        all.truncate(count);
        all
    }
}

fn part(contact: &Contact) -> usize {
    usize::from(contact.id.0[0]) * PARTS / 256
}

#[cfg(test)]
mod tests {
    use super::super::krpc::NodeId;
    use super::*;

    /// Node `number` of a part of the space.
    fn contact(part: u8, number: u8) -> Contact {
        let mut id = [number; 20];
        id[0] = part * 8;
        let addr = SocketAddr::from(([1, 2, part, number], 6881));
        Contact {
            id: NodeId(id),
            addr,
        }
    }

    #[test]
    fn a_few_of_each_part_and_the_first_stay() {
        let mut table = Table::default();
        let now = Instant::now();
        for part in 0..32 {
            (0..20).for_each(|number| table.answered(contact(part, number), now));
        }
        assert_eq!(table.count(), PARTS * PER_PART);
        table.answered(contact(3, 0), now);
        assert_eq!(table.count(), PARTS * PER_PART, "nobody is there twice");
        let nearest = table.nearest(&InfoHash(contact(9, 5).id.0), 3);
        let numbers: Vec<Contact> = [5, 4, 7].map(|number| contact(9, number)).to_vec();
        assert_eq!(nearest, numbers);
        let target = InfoHash(contact(9, 15).id.0);
        assert!(
            !table.nearest(&target, 8).contains(&contact(9, 15)),
            "it came too late"
        );
    }

    #[test]
    fn the_silent_and_the_old_make_room() {
        let mut table = Table::default();
        let start = Instant::now();
        (0..8).for_each(|number| table.answered(contact(1, number), start));
        let holds = |table: &Table, wanted: Contact| {
            table.nearest(&InfoHash([0; 20]), 100).contains(&wanted)
        };
        table.silent(contact(1, 3).addr);
        assert!(holds(&table, contact(1, 3)), "a datagram may be lost");
        table.answered(contact(1, 9), start);
        assert!(holds(&table, contact(1, 9)) && !holds(&table, contact(1, 3)));
        table.silent(contact(1, 4).addr);
        table.answered(contact(1, 4), start);
        table.silent(contact(1, 4).addr);
        assert!(holds(&table, contact(1, 4)), "it had answered in between");
        table.silent(contact(1, 4).addr);
        assert!(!holds(&table, contact(1, 4)), "twice in a row");
        let later = start + FRESH + Duration::from_secs(1);
        table.answered(contact(1, 10), later);
        (11..30).for_each(|number| table.answered(contact(1, number), later));
        assert_eq!(table.count(), 8);
        assert!(holds(&table, contact(1, 10)) && !holds(&table, contact(1, 0)));
    }
}
