//! `-v` and `-vv`: facts as sentences for people, one a line.
//!
//! ```text
//! 0.42 s  192.0.2.7:6881: connected; it dialled us
//! 0.44 s  192.0.2.7:6881: has 12 pieces
//! 9.81 s  192.0.2.7:6881: closed: the peer hung up; 3.00 MiB came from it, 1.00 MiB went to it
//! ```
//!
//! `-v` tells the life of each peer, `-vv` every fact. Sentences name the torrent if there are
//! several.

use super::text::shortened;
use crate::human::{self, count, escaped};
use crate::report::Report;
use crate::trace::{Announce, Ban, Event, Fact, GivenBack, Grant, Side, Unchoke};
use crate::types::{InfoHash, PeerKey};
use std::collections::BTreeMap;

/// The longest name of a torrent in front of a sentence.
const MAX_NAME: usize = 30;

/// What sentences need to know of earlier facts.
#[derive(Default)]
pub(crate) struct Sentences {
    names: BTreeMap<InfoHash, String>,
    peers: BTreeMap<PeerKey, Known>,
}

struct Known {
    addr: String,
    we_dialled: bool,
    greeted: bool,
}

/// How many `-v` it takes to hear of a fact.
pub(crate) fn level(fact: &Fact) -> u8 {
    match fact {
        Fact::Handshake { .. }
        | Fact::Client { .. }
        | Fact::Has { .. }
        | Fact::Choked { .. }
        | Fact::Unchoked { .. }
        | Fact::False { .. }
        | Fact::Banned { .. }
        | Fact::Snubbed
        | Fact::Announced { .. }
        | Fact::Complete
        | Fact::Closed { .. } => 1,
        // No sentence with one `-v`, but later ones need to know who is who.
        fact if is_attempt(fact) => 1,
        _ => 2,
    }
}

/// Whether it is not clear yet that somebody is there.
fn is_attempt(fact: &Fact) -> bool {
    matches!(fact, Fact::Dialled { .. } | Fact::Accepted { .. })
}

impl Sentences {
    /// Notes the name of a torrent.
    pub(crate) fn hear(&mut self, report: &Report) {
        let (hash, name) = match report {
            Report::Linked {
                info_hash,
                name: Some(name),
            }
            | Report::Added {
                info_hash, name, ..
            } => (*info_hash, escaped(name)),
            Report::Linked { info_hash, .. } => (*info_hash, info_hash.to_string()),
            _ => return,
        };
        self.names.insert(hash, shortened(&name, MAX_NAME));
    }

    /// Tells a fact, with `verbose` times `-v`.
    pub(crate) fn tell(&mut self, event: &Event, verbose: u8) -> Option<String> {
        self.meet(event);
        let known = event.peer.and_then(|peer| self.peers.get(&peer));
        // A peer that comes and never greets us is nobody, or we ourselves.
        let met = known.is_none_or(|known| known.greeted || known.we_dialled);
        let tells = verbose > 1 || level(&event.fact) == 1 && met && !is_attempt(&event.fact);
        let text = tells.then(|| self.words(event));
        let who = known.map(|known| format!("{}: ", escaped(&known.addr)));
        let torrent = event.torrent.and_then(|torrent| self.names.get(&torrent));
        let torrent = torrent.filter(|_| self.names.len() > 1);
        let torrent = torrent.map(|name| format!("{name}: "));
        if let (Fact::Closed { .. }, Some(peer)) = (&event.fact, event.peer) {
            self.peers.remove(&peer);
        }
        Some(format!(
            "{:.2} s  {}{}{}",
            event.t.as_secs_f64(),
            torrent.unwrap_or_default(),
            who.unwrap_or_default(),
            text?
        ))
    }

    fn meet(&mut self, event: &Event) {
        let Some(peer) = event.peer else { return };
        let we_dialled = matches!(event.fact, Fact::Dialled { .. });
        match &event.fact {
            Fact::Dialled { addr, .. } | Fact::Accepted { addr, .. } => {
                let known = Known {
                    addr: addr.clone(),
                    we_dialled,
                    greeted: false,
                };
                self.peers.insert(peer, known);
            }
            Fact::Handshake { .. } => {
                if let Some(known) = self.peers.get_mut(&peer) {
                    known.greeted = true;
                }
            }
            _ => {}
        }
    }

    fn name(&self, peer: PeerKey) -> String {
        let known = self.peers.get(&peer);
        known.map_or_else(|| format!("peer {}", peer.0), |known| escaped(&known.addr))
    }

    fn names(&self, peers: &[PeerKey]) -> String {
        match peers {
            [] => "nobody".into(),
            peers => peers
                .iter()
                .map(|peer| self.name(*peer))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }

    // Long: a table of the facts and their words.
    fn words(&self, event: &Event) -> String {
        let piece = event
            .piece
            .map_or_else(String::new, |piece| format!("piece {piece}"));
        let we_dialled = event.peer.and_then(|peer| self.peers.get(&peer));
        let we_dialled = we_dialled.is_some_and(|known| known.we_dialled);
        match &event.fact {
            Fact::Torrent(about) => format!(
                "{}: {} of {}; {}",
                escaped(&about.name),
                count(about.pieces.into(), "piece"),
                human::size(about.piece_length.into()),
                human::size(about.total_bytes),
            ),
            Fact::Dialled { .. } => "we try to connect to it".into(),
            Fact::Accepted { .. } => "it connects to us".into(),
            Fact::Handshake { obfuscated, .. } => format!(
                "connected{}; {}",
                if *obfuscated { ", obfuscated" } else { "" },
                if we_dialled {
                    "we dialled it"
                } else {
                    "it dialled us"
                },
            ),
            Fact::Client { client } => format!("its program is {:?}", escaped(client)),
            Fact::Has { pieces, .. } => format!("has {}", count((*pieces).into(), "piece")),
            Fact::Have => format!("has {piece}, too"),
            Fact::Choked { who: Side::Us } => "we choke it".into(),
            Fact::Choked { who: Side::Peer } => "chokes us".into(),
            Fact::Unchoked {
                who: Side::Peer, ..
            } => "unchokes us".into(),
            Fact::Unchoked { why, .. } => match why {
                Some(Unchoke::PlaceFree) => "we unchoke it: a place is free".into(),
                _ => "we unchoke it".into(),
            },
            Fact::Interested { who: Side::Us } => "has something that we want".into(),
            Fact::Interested { .. } => "wants something of ours".into(),
            Fact::Uninterested { who: Side::Us } => "has nothing more that we want".into(),
            Fact::Uninterested { .. } => "wants nothing more of ours".into(),
            Fact::Granted { from, to, why } => {
                format!(
                    "is asked for {} of {piece}: {}",
                    blocks(*from, *to),
                    grant(*why)
                )
            }
            Fact::Stored { from, to } => format!("sent {} of {piece}", blocks(*from, *to)),
            Fact::GivenBack { from, to, why } => {
                let why = match why {
                    GivenBack::Choked => "it chokes us",
                    GivenBack::Refused => "it refuses",
                    GivenBack::Slow => "it is too slow",
                    GivenBack::Snubbed => "it is silent",
                    GivenBack::Cancelled => "another peer sends them",
                };
                format!("does not send {} of {piece}: {why}", blocks(*from, *to))
            }
            Fact::TakenOver { by, from, to, too } => {
                let verb = if *too {
                    "is asked, too, for"
                } else {
                    "takes over"
                };
                format!(
                    "{} {verb} {} of {piece}",
                    self.name(*by),
                    blocks(*from, *to)
                )
            }
            Fact::Window {
                blocks,
                on_order,
                rate,
            } => format!(
                "{} on order, at most {blocks}; {}",
                count((*on_order).into(), "block"),
                human::rate(*rate),
            ),
            Fact::Gave { bytes } => format!("got {}", human::size(*bytes)),
            Fact::Verified { givers } => {
                format!("{piece} is right; {} sent it", self.names(givers))
            }
            Fact::False { givers } => format!(
                "{piece} is false: its hash is wrong; {} sent it",
                self.names(givers)
            ),
            Fact::Banned { blocks, why, .. } => match why {
                Ban::FalseMetadata => "banned: sent false metadata".into(),
                Ban::FalsePiece => format!("banned: sent all of {piece}, which is false"),
                Ban::FalseBlocks => format!(
                    "banned: sent {} of {piece} that differ from the right ones",
                    count(blocks.len() as u64, "block")
                ),
            },
            Fact::Round {
                unchoked,
                optimistic,
                wanting,
                ..
            } => format!(
                "choke round: {} something, {} served{}",
                match wanting.len() {
                    1 => "1 peer wants".into(),
                    n => format!("{n} peers want"),
                },
                unchoked.len(),
                optimistic.map_or_else(String::new, |lucky| {
                    format!("; {} by lot", self.name(lucky))
                }),
            ),
            Fact::Endgame => "endgame: all that is missing is on order".into(),
            Fact::Complete => "complete".into(),
            Fact::Snubbed => "owes us blocks and sends none".into(),
            Fact::Announced {
                tracker,
                event,
                peers,
                error,
            } => {
                let told = match event {
                    Announce::Started => "we join",
                    Announce::Completed => "we are complete",
                    Announce::Stopped => "we leave",
                    Announce::None => "we are still there",
                };
                let (tracker, peers) = (escaped(tracker), peers.unwrap_or(0) as u64);
                match error {
                    Some(error) => escaped(error),
                    None => format!(
                        "{tracker} knows that {told}; named {}",
                        count(peers, "peer")
                    ),
                }
            }
            Fact::Closed { why, down, up } => {
                let mut text = format!("closed: {}", escaped(why));
                if *down > 0 {
                    text += &format!("; {} came from it", human::size(*down));
                }
                if *up > 0 {
                    text += &format!("; {} went to it", human::size(*up));
                }
                text
            }
            Fact::Lost { facts } => format!("{} missing", count(*facts, "fact")),
        }
    }
}

fn grant(why: Grant) -> &'static str {
    match why {
        Grant::Finish => "the piece is begun",
        Grant::Random => "one of the first, at random",
        Grant::Rarest => "the rarest that it has",
        Grant::Neighbour => "the neighbour of one just begun",
        Grant::Order => "the next in order",
        Grant::Alone => "alone, as the piece was false",
    }
}

/// The blocks from number `from` on, before number `to`.
fn blocks(from: u32, to: u32) -> String {
    match to.saturating_sub(from) {
        0 | 1 => format!("block {from}"),
        _ => format!("blocks {from} to {}", to - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Over;
    use std::time::Duration;

    fn said(events: &[(u32, Fact)], verbose: u8) -> Vec<String> {
        let mut sentences = Sentences::default();
        let events = events.iter().map(|(peer, fact)| Event {
            t: Duration::from_millis(420),
            node: 0,
            peer: Some(PeerKey(*peer)),
            piece: None,
            fact: fact.clone(),
            torrent: Some(InfoHash([1; 20])),
        });
        events
            .filter_map(|event| sentences.tell(&event, verbose))
            .collect()
    }

    fn dialled(addr: &str) -> Fact {
        let (addr, over) = (addr.into(), Over::Tcp);
        Fact::Dialled { addr, over }
    }

    fn closed(why: &str) -> Fact {
        let (why, down, up) = (why.into(), 0, 0);
        Fact::Closed { why, down, up }
    }

    #[test]
    fn a_connection_to_ourselves_is_one_line() {
        let (addr, over) = ("[::1]:50000".to_string(), Over::Tcp);
        let events = [
            (1, dialled("[::1]:6881")),
            (2, Fact::Accepted { addr, over }),
            (2, closed("that is us")),
            (1, closed("that is us")),
        ];
        assert_eq!(said(&events, 1), ["0.42 s  [::1]:6881: closed: that is us"]);
        assert_eq!(said(&events, 2).len(), 4);
    }

    #[test]
    fn names_from_outside_are_escaped() {
        let client = "\u{1b}[2J\u{9b}".to_string();
        let lines = said(&[(1, dialled("a\nb")), (1, Fact::Client { client })], 1);
        assert_eq!(lines.len(), 1);
        assert!(!lines[0].contains(char::is_control), "{lines:?}");
    }
}
