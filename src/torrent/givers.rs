//! How much each client program gave, for the last line that the user sees.
//!
//! A peer names its program in the extension handshake ([BEP 10]), else in its peer id ([BEP 20]).
//! Anybody may claim any name, so the names are counted up to a bound, and shown, never believed.
//!
//! [BEP 10]: https://www.bittorrent.org/beps/bep_0010.html
//! [BEP 20]: https://www.bittorrent.org/beps/bep_0020.html

use crate::report::Giver;
use crate::types::PeerId;
use std::collections::BTreeMap;

/// The most names that are kept. What others gave counts as one more.
const MAX_NAMES: usize = 64;

/// The most givers that the user hears of by name.
const NAMED: usize = 3;

/// Bytes given, by the name of the giver. The empty name stands for all that found no room.
#[derive(Clone, Debug, Default)]
pub(super) struct Givers(BTreeMap<String, u64>);

impl Givers {
    /// Counts `bytes` of blocks that somebody called `name` gave.
    pub(super) fn add(&mut self, name: &str, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let is_known = self.0.contains_key(name) || self.0.len() < MAX_NAMES;
        let name = if is_known { name } else { "" };
        *self.0.entry(name.to_string()).or_default() += bytes;
    }

    /// Returns those who gave most, best first: at most three, and the rest together.
    pub(super) fn most(&self) -> Vec<Giver> {
        let all = self.0.iter().map(|(name, bytes)| (name.clone(), *bytes));
        let (mut named, nameless): (Vec<_>, Vec<_>) = all.partition(|(name, _)| !name.is_empty());
        named.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let rest = named.split_off(named.len().min(NAMED));
        let rest: u64 = rest.iter().chain(&nameless).map(|(_, bytes)| bytes).sum();
        let named = named.into_iter().map(|(name, bytes)| Giver {
            name: Some(name),
            bytes,
        });
        let rest = (rest > 0).then_some(Giver {
            name: None,
            bytes: rest,
        });
        named.chain(rest).collect()
    }
}

/// Returns the name of a program that the peer does not name: the two letters and four digits of
/// the usual peer id, `-TR4060-...`.
pub(super) fn by_id(id: PeerId) -> String {
    let (name, dashes) = (&id.0[1..7], (id.0[0], id.0[7]));
    match dashes == (b'-', b'-') && name.iter().all(u8::is_ascii_alphanumeric) {
        true => String::from_utf8_lossy(name).into_owned(),
        false => "an unknown client".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(givers: &Givers) -> Vec<(Option<String>, u64)> {
        let most = givers.most().into_iter();
        most.map(|giver| (giver.name, giver.bytes)).collect()
    }

    #[test]
    fn the_best_three_and_the_rest() {
        let mut givers = Givers::default();
        assert_eq!(told(&givers), []);
        for (name, bytes) in [("a", 1), ("b", 5), ("a", 2), ("c", 0), ("d", 4), ("e", 2)] {
            givers.add(name, bytes);
        }
        let named = |name: &str, bytes| (Some(name.to_string()), bytes);
        let three = [named("b", 5), named("d", 4), named("a", 3)];
        assert_eq!(told(&givers)[..3], three);
        assert_eq!(told(&givers)[3..], [(None, 2)]);
    }

    #[test]
    fn a_crowd_of_names_takes_no_more_room() {
        let mut givers = Givers::default();
        (0..1000).for_each(|n| givers.add(&n.to_string(), 1));
        assert!(givers.0.len() <= MAX_NAMES + 1);
        assert_eq!(told(&givers).last(), Some(&(None, 997)));
    }

    #[test]
    fn peer_ids_that_say_something() {
        assert_eq!(by_id(PeerId(*b"-TR4060-abcdefghijkl")), "TR4060");
        assert_eq!(
            by_id(PeerId(*b"-T\x1b4060-abcdefghijkl")),
            "an unknown client"
        );
        assert_eq!(by_id(PeerId([0; 20])), "an unknown client");
    }
}
