//! What happened in a scene, in figures, out of the facts ([`crate::trace`]) of its engines. The
//! user's download is node 0.

use super::scenes::{Rule, Scene};
use crate::human::{count, percent, size};
use crate::layout::BLOCK_LEN;
use crate::report::{Event, Fact, Grant, Side};
use crate::types::{PeerId, PeerKey};
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct Told<'a> {
    /// Those of the user's download.
    ours: Vec<&'a Event>,
    /// The peer at the other end of each of our connections.
    names: BTreeMap<PeerKey, String>,
}

impl<'a> Told<'a> {
    pub(super) fn new(events: &'a [Event]) -> Self {
        let mut ids = BTreeMap::new();
        for event in events {
            if let Fact::Torrent(about) = &event.fact {
                ids.insert(about.peer_id, about.node_name.clone());
            }
        }
        let ours: Vec<_> = events.iter().filter(|event| event.node == 0).collect();
        let mut names = BTreeMap::new();
        for event in &ours {
            if let (Some(peer), Fact::Handshake { peer_id, .. }) = (event.peer, &event.fact) {
                let name = ids.get(peer_id).cloned();
                names.insert(peer, name.unwrap_or_else(|| scripted_name(*peer_id)));
            }
        }
        Self { ours, names }
    }

    /// The lines that say what happened, for a scene that is no riddle.
    pub(super) fn lines(&self, scene: &Scene) -> Vec<String> {
        let mut lines = vec![self.givers()];
        match scene.rule {
            Some(Rule::RarestFirst) => lines.push(self.rarest(scene)),
            Some(Rule::TitForTat) => lines.push(self.rounds()),
            Some(Rule::TakeOver) => lines.push(self.taken_over()),
            Some(Rule::Hashes) => lines.extend(self.lies()),
            _ if scene.magnet => lines.extend(self.metadata()),
            _ => {}
        }
        lines
    }

    /// The facts of one kind, with their connection's name.
    fn each<T>(&self, pick: impl Fn(&Event) -> Option<T>) -> impl Iterator<Item = (&str, T)> {
        self.ours.iter().filter_map(move |event| {
            let name = event.peer.and_then(|peer| self.names.get(&peer));
            Some((name.map_or("", String::as_str), pick(event)?))
        })
    }

    fn givers(&self) -> String {
        let mut blocks: BTreeMap<&str, u64> = BTreeMap::new();
        let stored = self.each(|event| match event.fact {
            Fact::Stored { from, to } => Some(u64::from(to - from)),
            _ => None,
        });
        stored.for_each(|(name, new)| *blocks.entry(name).or_default() += new);
        let total: u64 = blocks.values().sum();
        let mut givers: Vec<_> = blocks.into_iter().collect();
        givers.sort_by_key(|(_, blocks)| std::cmp::Reverse(*blocks));
        let part = |(name, blocks): &(&str, u64)| format!("{name} {}", percent(*blocks, total));
        let parts: Vec<_> = givers.iter().map(part).collect();
        let total = size(total * u64::from(BLOCK_LEN));
        format!("You got {total}: {}.", parts.join(", "))
    }

    /// Says what the only peer with the last file was asked for.
    fn rarest(&self, scene: &Scene) -> String {
        let content = &scene.content;
        let common: u64 = content.lengths[..2].iter().sum();
        let rare_from = common / u64::from(content.piece_length);
        let (mut rare, mut others) = (0, 0);
        for (name, (piece, blocks)) in self.each(|event| match event.fact {
            Fact::Granted { from, to, .. } => Some((event.piece?, u64::from(to - from))),
            _ => None,
        }) {
            match name {
                "dora" if u64::from(piece) >= rare_from => rare += blocks,
                "dora" => others += blocks,
                _ => {}
            }
        }
        let rarest = |event: &Event| match event.fact {
            Fact::Granted { why, .. } => Some(why == Grant::Rarest),
            _ => None,
        };
        let chosen = self.each(rarest).filter(|(_, rarest)| *rarest).count();
        format!(
            "You asked dora for {} of film.bin, which she alone has, and for {} of the others.\n\
             {} were begun because they were the rarest.",
            count(rare, "block"),
            count(others, "block"),
            count(chosen as u64, "piece"),
        )
    }

    fn rounds(&self) -> String {
        let mut served: BTreeMap<&str, u64> = BTreeMap::new();
        let mut rounds = 0;
        let mut by_lot = 0;
        for event in &self.ours {
            let Fact::Round {
                unchoked,
                optimistic,
                ..
            } = &event.fact
            else {
                continue;
            };
            rounds += 1;
            by_lot += u64::from(optimistic.is_some());
            for peer in unchoked.iter().filter(|peer| Some(**peer) != *optimistic) {
                let name = self.names.get(peer).map_or("somebody", String::as_str);
                *served.entry(name).or_default() += 1;
            }
        }
        let served: Vec<_> = served
            .iter()
            .map(|(name, times)| format!("{name} {times}"))
            .collect();
        let served = match served.is_empty() {
            true => "nobody".to_string(),
            false => served.join(", "),
        };
        format!(
            "You chose anew {}. Served for what they gave you: {served}. By lot: {by_lot}.",
            count(rounds, "time"),
        )
    }

    fn taken_over(&self) -> String {
        let mut lost: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
        for (name, (blocks, too)) in self.each(|event| match event.fact {
            Fact::TakenOver { from, to, too, .. } => Some((u64::from(to - from), too)),
            _ => None,
        }) {
            lost.entry(name).or_default()[usize::from(too)] += blocks;
        }
        let part = |(name, [moved, both]): (&&str, &[u64; 2])| {
            format!(
                "{name} lost {}, and {both} were asked of both",
                count(*moved, "block")
            )
        };
        let parts: Vec<_> = lost.iter().map(part).collect();
        match parts.is_empty() {
            true => "No block was taken over.".to_string(),
            false => format!("Taken over by faster peers: {}.", parts.join("; ")),
        }
    }

    /// Says which pieces were false, and who was found out.
    fn lies(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut said = BTreeSet::new();
        let named = |peer: &PeerKey| self.names.get(peer).map_or("a peer", String::as_str);
        for event in &self.ours {
            let (at, piece) = (event.t.as_secs_f64(), event.piece.unwrap_or_default());
            let line = match &event.fact {
                Fact::False { givers } => {
                    let names: Vec<_> = givers.iter().map(named).collect();
                    let names = names.join(", ");
                    format!("The hash of piece {piece} is wrong. Its blocks came from {names}.")
                }
                Fact::Banned { blocks, .. } => {
                    let name = event.peer.as_ref().map_or("a peer", named);
                    let blocks: Vec<_> = blocks.iter().map(u32::to_string).collect();
                    match &blocks[..] {
                        [] => format!("All of piece {piece} came from {name}: banned."),
                        [block] => format!(
                            "Piece {piece} is right now. In it {name}'s block {block} was another: banned."
                        ),
                        blocks => format!(
                            "Piece {piece} is right now. In it {name}'s blocks {} were others: banned.",
                            blocks.join(", ")
                        ),
                    }
                }
                _ => continue,
            };
            if said.insert(line.clone()) {
                lines.push(format!("{at:5.2} s  {line}"));
            }
        }
        lines
    }

    fn metadata(&self) -> Vec<String> {
        let at = |pick: fn(&Fact) -> bool| {
            let event = self.ours.iter().find(|event| pick(&event.fact))?;
            Some(event.t.as_secs_f64())
        };
        let dialled = at(|fact| matches!(fact, Fact::Handshake { .. }));
        let known = at(|fact| matches!(fact, Fact::Torrent(_)));
        let first = at(|fact| {
            matches!(
                fact,
                Fact::Unchoked {
                    who: Side::Peer,
                    ..
                }
            )
        });
        let line = |at: f64, what: &str| format!("{at:5.2} s  {what}");
        [
            dialled.map(|at| {
                line(
                    at,
                    "A peer has answered: it knows a torrent of that info hash.",
                )
            }),
            known.map(|at| {
                line(
                    at,
                    "The metadata is here, its hash is right, and the disk was looked at.",
                )
            }),
            first.map(|at| line(at, "A peer lets you ask for blocks.")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// The name in the peer id of a scripted peer: `-XX0001-name........`.
fn scripted_name(id: PeerId) -> String {
    let name = id.0[8..].iter().take_while(|byte| **byte != b'.');
    name.map(|byte| char::from(*byte))
        .filter(char::is_ascii_graphic)
        .collect()
}
