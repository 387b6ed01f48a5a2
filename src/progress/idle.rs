//! Says in one sentence why a torrent receives nothing.
//!
//! The user whose download stands still reads it. So the sentence counts, for each source in use,
//! what was tried and how it ended. The torrent reports the facts as an [`Idle`]; this file finds
//! the words.

use crate::human::{count, size};
use crate::report::{FalsePiece, Idle, Metadata, Tried, WebSeeds};
use std::fmt;

const NO_SOURCE: &str = "the torrent names no tracker that can be asked";

/// Advice if there is no tracker, DHT node or web seed to ask.
const HINT: &str = "name a peer with --peer or a tracker with --tracker";

/// The error that ends a torrent after `--stall-timeout`.
pub(super) fn gave_up(name: &str, why: &Idle) -> String {
    format!("{name}: gave up, as nothing came for the time of --stall-timeout: {why}")
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Learning(metadata) => metadata.fmt(f),
            Self::Tried(tried) => tried.fmt(f),
        }
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |peers: &usize| count(*peers as u64, "peer");
        match self {
            Self::Here => f.write_str("looking at what the metadata names"),
            Self::Nobody { peers } => write!(f, "{}, none that gives the metadata", count(peers)),
            Self::Fetching { peers, bytes } => {
                let size = size((*bytes).into());
                write!(
                    f,
                    "fetching the metadata from {}, {size} so far",
                    count(peers)
                )
            }
        }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (known, attempts) = (self.addresses.known, self.attempts());
        let (connected, sources) = (self.connected(), self.sources());
        let nobody = self.trackers.trackers == 0
            && self.dht_nodes.is_none_or(|nodes| nodes == 0)
            && self.web_seeds.usable == 0;
        if let Some(shortage) = self.short.filter(|_| connected.is_empty()) {
            write!(f, "{shortage}; ")?;
        }
        if let Some(no_way) = &self.no_way {
            write!(f, "{no_way}; ")?;
        }
        let clauses = match (&*connected, &*attempts) {
            ("", _) if known == 0 => {
                let asked = if sources.is_empty() {
                    NO_SOURCE
                } else {
                    &sources
                };
                let hint = if nobody { HINT } else { "" };
                [format!("no peers: {asked}"), hint.to_owned()]
            }
            ("", "") => [format!("no peers yet of {known} known"), sources],
            ("", _) => [format!("no peers of {known} known: {attempts}"), sources],
            (_, "") => [connected, String::new()],
            _ => [connected, format!("{known} known: {attempts}")],
        };
        let clauses = clauses.into_iter().chain(self.damage());
        let said: Vec<String> = clauses.filter(|clause| !clause.is_empty()).collect();
        f.write_str(&said.join("; "))
    }
}

impl Tried {
    /// Which piece came false: "piece 7 came false from 2 peers".
    fn damage(&self) -> Option<String> {
        let FalsePiece { piece, givers } = self.false_piece?;
        let (number, givers) = (piece.get(), count(givers as u64, "peer"));
        Some(format!(
            "piece {number} came false from {givers}: they are damaged, or the torrent is"
        ))
    }

    /// What the connected peers do: "1 peer chokes us, 2 have nothing that is missing".
    fn connected(&self) -> String {
        let mut parts = Vec::new();
        for (n, one, many) in [
            (self.choking, "chokes us", "choke us"),
            (self.silent, "sends nothing", "send nothing"),
            (
                self.no_use,
                "has nothing that is missing",
                "have nothing that is missing",
            ),
        ] {
            let does = if n == 1 { one } else { many };
            match n {
                0 => {}
                n if parts.is_empty() => parts.push(format!("{} {does}", count(n as u64, "peer"))),
                n => parts.push(format!("{n} {does}")),
            }
        }
        parts.join(", ")
    }

    /// How attempts to connect ended: "3 refused, 8 timed out".
    fn attempts(&self) -> String {
        let known = &self.addresses;
        list([
            (known.refused, "refused"),
            (known.timed_out, "timed out"),
            (known.unreachable, "unreachable"),
            (known.failed, "failed"),
            (known.barred, &self.barred()),
        ])
    }

    /// Follows a number of peers: "the proxy http://p:3128 won't connect to".
    fn barred(&self) -> String {
        let proxy = self.proxy.as_ref().map(|proxy| format!(" {proxy}"));
        format!("the proxy{} won't connect to", proxy.unwrap_or_default())
    }

    /// What each source in use offers: trackers, DHT, local network, web seeds.
    fn sources(&self) -> String {
        let mut parts = Vec::new();
        if self.trackers.trackers > 0 {
            parts.push(self.of_trackers());
        }
        if let Some(nodes) = self.dht_nodes {
            parts.push(format!("DHT {}", count(nodes as u64, "node")));
        }
        if self.local {
            parts.push(match self.addresses.local {
                0 => "nobody on the local network".into(),
                n => format!("{n} on the local network"),
            });
        }
        if !self.shut_out.is_empty() {
            let list = &self.shut_out;
            parts.push(format!("{list} not asked, as UDP can't go through --proxy"));
        }
        let web_seeds = |n| count(n as u64, "web seed");
        match &self.web_seeds {
            WebSeeds {
                open: 0, usable: 0, ..
            } => {}
            WebSeeds {
                open: 0,
                usable,
                error,
            } => {
                let why = error.as_ref();
                let why = why.map_or_else(String::new, |why| format!(" ({why})"));
                parts.push(format!("{} of no use just now{why}", web_seeds(*usable)));
            }
            WebSeeds { open, .. } => parts.push(format!("{} asked", web_seeds(*open))),
        }
        parts.join(", ")
    }

    /// How many trackers answered, and why others did not: "0 of 4 trackers answered".
    fn of_trackers(&self) -> String {
        let trackers = &self.trackers;
        let why = match (trackers.trackers, &self.tracker_error) {
            (1, Some(error)) => error.clone(),
            _ => list([
                (trackers.refused, "refused"),
                (trackers.timed_out, "timed out"),
                (trackers.failures, "said no"),
                (trackers.other, "failed"),
            ]),
        };
        let all = count(trackers.trackers as u64, "tracker");
        let answered = format!("{} of {all} answered", trackers.answered);
        match why.is_empty() {
            true => answered,
            false => format!("{answered} ({why})"),
        }
    }
}

/// Joins the counts that are not 0, each followed by its word.
fn list<const N: usize>(counts: [(usize, &str); N]) -> String {
    let there = counts.iter().filter(|(n, _)| *n > 0);
    let texts: Vec<String> = there.map(|(n, word)| format!("{n} {word}")).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Addresses, Trackers};
    use crate::shortage::Shortage;

    fn trackers(answered: usize, refused: usize, timed_out: usize) -> Trackers {
        Trackers {
            trackers: 4,
            answered,
            refused,
            timed_out,
            ..Trackers::default()
        }
    }

    #[test]
    fn what_is_said() {
        let silence = Tried::default();
        let tried = Tried {
            addresses: Addresses {
                known: 12,
                refused: 3,
                timed_out: 8,
                ..Addresses::default()
            },
            ..Tried::default()
        };
        let one = Trackers {
            trackers: 1,
            refused: 1,
            ..Trackers::default()
        };
        let cases: [(Tried, &str); 20] = [
            (
                Tried {
                    no_way: Some("the address 10.8.0.2 (--bind) is gone".into()),
                    ..tried.clone()
                },
                "the address 10.8.0.2 (--bind) is gone; \
                 no peers of 12 known: 3 refused, 8 timed out",
            ),
            (
                Tried {
                    no_way: Some("the address 10.8.0.2 (--bind) is gone".into()),
                    silent: 1,
                    ..silence.clone()
                },
                "the address 10.8.0.2 (--bind) is gone; 1 peer sends nothing",
            ),
            (
                Tried {
                    shut_out: "2 trackers, the DHT".into(),
                    ..silence.clone()
                },
                "no peers: 2 trackers, the DHT not asked, as UDP can't go through --proxy; \
                 name a peer with --peer or a tracker with --tracker",
            ),
            (
                Tried {
                    addresses: Addresses {
                        known: 4,
                        refused: 1,
                        barred: 3,
                        ..Addresses::default()
                    },
                    proxy: Some("http://p:3128".into()),
                    ..Tried::default()
                },
                "no peers of 4 known: 1 refused, 3 the proxy http://p:3128 won't connect to",
            ),
            (
                silence.clone(),
                "no peers: the torrent names no tracker that can be asked; \
                 name a peer with --peer or a tracker with --tracker",
            ),
            (
                Tried {
                    dht_nodes: Some(212),
                    web_seeds: WebSeeds {
                        usable: 2,
                        error: Some("it answered 503".into()),
                        ..WebSeeds::default()
                    },
                    ..silence.clone()
                },
                "no peers: DHT 212 nodes, 2 web seeds of no use just now (it answered 503)",
            ),
            (
                Tried {
                    dht_nodes: Some(1),
                    web_seeds: WebSeeds {
                        open: 1,
                        usable: 2,
                        error: None,
                    },
                    ..silence.clone()
                },
                "no peers: DHT 1 node, 1 web seed asked",
            ),
            (
                Tried {
                    short: Some(Shortage::Threads),
                    ..tried.clone()
                },
                "no threads: the system allows no more (ulimit -u); \
                 no peers of 12 known: 3 refused, 8 timed out",
            ),
            (
                Tried {
                    short: Some(Shortage::Files),
                    silent: 1,
                    ..silence.clone()
                },
                "1 peer sends nothing",
            ),
            (
                tried.clone(),
                "no peers of 12 known: 3 refused, 8 timed out",
            ),
            (
                Tried {
                    local: true,
                    ..silence.clone()
                },
                "no peers: nobody on the local network; \
                 name a peer with --peer or a tracker with --tracker",
            ),
            (
                Tried {
                    trackers: trackers(0, 0, 0),
                    ..silence.clone()
                },
                "no peers: 0 of 4 trackers answered",
            ),
            (
                Tried {
                    trackers: Trackers {
                        failures: 1,
                        other: 1,
                        ..trackers(0, 1, 1)
                    },
                    tracker_error: Some("not told if there are several".into()),
                    local: true,
                    ..silence.clone()
                },
                "no peers: 0 of 4 trackers answered (1 refused, 1 timed out, 1 said no, \
                 1 failed), nobody on the local network",
            ),
            (
                Tried {
                    trackers: one,
                    tracker_error: Some("tracker http://t refused the connection".into()),
                    ..silence.clone()
                },
                "no peers: 0 of 1 tracker answered (tracker http://t refused the connection)",
            ),
            (
                Tried {
                    addresses: Addresses {
                        known: 5,
                        local: 2,
                        ..Addresses::default()
                    },
                    trackers: trackers(2, 0, 1),
                    local: true,
                    ..silence.clone()
                },
                "no peers yet of 5 known; 2 of 4 trackers answered (1 timed out), \
                 2 on the local network",
            ),
            (
                Tried {
                    trackers: trackers(4, 0, 0),
                    ..tried.clone()
                },
                "no peers of 12 known: 3 refused, 8 timed out; 4 of 4 trackers answered",
            ),
            (
                Tried {
                    choking: 1,
                    ..tried.clone()
                },
                "1 peer chokes us; 12 known: 3 refused, 8 timed out",
            ),
            (
                Tried {
                    choking: 2,
                    silent: 1,
                    no_use: 1,
                    trackers: trackers(4, 0, 0),
                    ..silence.clone()
                },
                "2 peers choke us, 1 sends nothing, 1 has nothing that is missing",
            ),
            (
                Tried {
                    no_use: 3,
                    addresses: Addresses {
                        known: 9,
                        unreachable: 2,
                        failed: 1,
                        ..Addresses::default()
                    },
                    ..silence.clone()
                },
                "3 peers have nothing that is missing; 9 known: 2 unreachable, 1 failed",
            ),
            (
                Tried {
                    silent: 2,
                    ..silence
                },
                "2 peers send nothing",
            ),
        ];
        for (idle, expected) in cases {
            assert_eq!(idle.to_string(), expected, "{idle:?}");
        }
    }
}
