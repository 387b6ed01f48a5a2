//! The line that says why nothing comes. It is what somebody reads whose download stands
//! still, so it counts what was tried and how it ended, source by source, and leaves out
//! what is not in use. Only text: the [`Torrent`](super::Torrent) fills in the counts, see
//! [`telling`](super::telling).

use crate::announcer::TrackerSummary;
use crate::human::count;
use crate::layout::PieceIndex;
use crate::proxy::Proxy;
use crate::shortage::Shortage;
use crate::swarm::Counts;
use std::fmt;

/// Said when there is nobody to ask.
const NO_SOURCE: &str = "the torrent names no tracker that can be asked";

/// What can be done about it.
const HINT: &str = "name a peer with --peer or a tracker with --tracker";

/// What there is to say of a torrent to which nothing comes.
#[derive(Clone, Debug, Default)]
pub(super) struct Idle<'a> {
    /// What we have none left of to connect with.
    pub short: Option<Shortage>,
    /// Why nobody can be reached from here, if that is so.
    pub no_way: Option<&'a str>,
    /// What is not asked because of `--proxy`: "2 trackers, the DHT".
    pub shut_out: &'a str,
    /// That of `--proxy`.
    pub proxy: Option<&'a Proxy>,
    /// Connected peers that have what we lack, and choke us.
    pub choking: usize,
    /// Connected peers that have what we lack, let us ask, and send nothing.
    pub silent: usize,
    /// Connected peers without anything that we lack.
    pub no_use: usize,
    /// The addresses that we know, connected or not.
    pub known: Counts,
    /// How the trackers do.
    pub trackers: TrackerSummary,
    /// Why one of them failed.
    pub tracker_error: Option<&'a str>,
    /// How many nodes of the DHT are known that answer, if it is asked (BEP 5).
    pub dht_nodes: Option<usize>,
    /// Whether the local network is asked (BEP 14).
    pub local: bool,
    /// A piece that came false, and how many peers gave all of it so.
    pub false_piece: Option<(PieceIndex, usize)>,
    /// Web seeds that are being asked (BEP 19).
    pub web_open: usize,
    /// Those that can be used at all; and what was wrong with the last one that failed.
    pub web_usable: (usize, Option<&'a str>),
}

impl fmt::Display for Idle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (known, attempts) = (self.known.known, self.attempts());
        let (connected, sources) = (self.connected(), self.sources());
        let nobody = self.trackers.trackers == 0
            && self.dht_nodes.is_none_or(|nodes| nodes == 0)
            && self.web_usable.0 == 0;
        if let Some(shortage) = self.short.filter(|_| connected.is_empty()) {
            write!(f, "{shortage}; ")?;
        }
        if let Some(no_way) = self.no_way {
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

impl Idle<'_> {
    /// "piece 7 came false from 2 peers".
    fn damage(&self) -> Option<String> {
        let (piece, givers) = self.false_piece?;
        let (number, givers) = (piece.get(), count(givers as u64, "peer"));
        Some(format!(
            "piece {number} came false from {givers}: they are damaged, or the torrent is"
        ))
    }

    /// What those do that are connected: "1 peer chokes us, 2 have nothing that is
    /// missing".
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
        let known = &self.known;
        list([
            (known.refused, "refused"),
            (known.timed_out, "timed out"),
            (known.unreachable, "unreachable"),
            (known.failed, "failed"),
            (known.barred, &self.barred()),
        ])
    }

    /// "the proxy http://p:3128 won't connect to", behind a number of peers.
    fn barred(&self) -> String {
        let proxy = self.proxy.map(|proxy| format!(" {proxy}"));
        format!("the proxy{} won't connect to", proxy.unwrap_or_default())
    }

    /// What the sources of addresses say; of each only if it is in use.
    fn sources(&self) -> String {
        let mut parts = Vec::new();
        if self.trackers.trackers > 0 {
            parts.push(self.of_trackers());
        }
        if let Some(nodes) = self.dht_nodes {
            parts.push(format!("DHT {}", count(nodes as u64, "node")));
        }
        if self.local {
            parts.push(match self.known.local {
                0 => "nobody on the local network".into(),
                n => format!("{n} on the local network"),
            });
        }
        if !self.shut_out.is_empty() {
            let list = self.shut_out;
            parts.push(format!("{list} not asked, as UDP can't go through --proxy"));
        }
        let web_seeds = |n| count(n as u64, "web seed");
        match (self.web_open, self.web_usable) {
            (0, (0, _)) => {}
            (0, (usable, why)) => {
                let why = why.map_or_else(String::new, |why| format!(" ({why})"));
                parts.push(format!("{} of no use just now{why}", web_seeds(usable)));
            }
            (open, _) => parts.push(format!("{} asked", web_seeds(open))),
        }
        parts.join(", ")
    }

    /// "0 of 4 trackers answered", and why.
    fn of_trackers(&self) -> String {
        let trackers = &self.trackers;
        let why = match (trackers.trackers, self.tracker_error) {
            (1, Some(error)) => error.to_owned(),
            _ => list([
                (trackers.refused, "refused"),
                (trackers.timed_out, "timed out"),
                (trackers.failures, "said no"),
                (trackers.other, "failed"),
            ]),
        };
        match why.is_empty() {
            true => trackers.to_string(),
            false => format!("{trackers} ({why})"),
        }
    }
}

/// The counts that are not 0, each with its word.
fn list<const N: usize>(counts: [(usize, &str); N]) -> String {
    let there = counts.iter().filter(|(n, _)| *n > 0);
    let texts: Vec<String> = there.map(|(n, word)| format!("{n} {word}")).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trackers(answered: usize, refused: usize, timed_out: usize) -> TrackerSummary {
        TrackerSummary {
            trackers: 4,
            answered,
            refused,
            timed_out,
            ..TrackerSummary::default()
        }
    }

    #[test]
    fn what_is_said() {
        let silence = Idle::default();
        let tried = Idle {
            known: Counts {
                known: 12,
                refused: 3,
                timed_out: 8,
                ..Counts::default()
            },
            ..Idle::default()
        };
        let one = TrackerSummary {
            trackers: 1,
            refused: 1,
            ..TrackerSummary::default()
        };
        let proxy: Proxy = "http://user:secret@p:3128".parse().unwrap();
        let cases: [(Idle, &str); 20] = [
            (
                Idle {
                    no_way: Some("the address 10.8.0.2 (--bind) is gone"),
                    ..tried.clone()
                },
                "the address 10.8.0.2 (--bind) is gone; \
                 no peers of 12 known: 3 refused, 8 timed out",
            ),
            (
                Idle {
                    no_way: Some("the address 10.8.0.2 (--bind) is gone"),
                    silent: 1,
                    ..silence.clone()
                },
                "the address 10.8.0.2 (--bind) is gone; 1 peer sends nothing",
            ),
            (
                Idle {
                    shut_out: "2 trackers, the DHT",
                    ..silence.clone()
                },
                "no peers: 2 trackers, the DHT not asked, as UDP can't go through --proxy; \
                 name a peer with --peer or a tracker with --tracker",
            ),
            (
                Idle {
                    known: Counts {
                        known: 4,
                        refused: 1,
                        barred: 3,
                        ..Counts::default()
                    },
                    proxy: Some(&proxy),
                    ..Idle::default()
                },
                "no peers of 4 known: 1 refused, 3 the proxy http://p:3128 won't connect to",
            ),
            (
                silence.clone(),
                "no peers: the torrent names no tracker that can be asked; \
                 name a peer with --peer or a tracker with --tracker",
            ),
            (
                Idle {
                    dht_nodes: Some(212),
                    web_usable: (2, Some("it answered 503")),
                    ..silence.clone()
                },
                "no peers: DHT 212 nodes, 2 web seeds of no use just now (it answered 503)",
            ),
            (
                Idle {
                    dht_nodes: Some(1),
                    web_open: 1,
                    web_usable: (2, None),
                    ..silence.clone()
                },
                "no peers: DHT 1 node, 1 web seed asked",
            ),
            (
                Idle {
                    short: Some(Shortage::Threads),
                    ..tried.clone()
                },
                "no threads: the system allows no more (ulimit -u); \
                 no peers of 12 known: 3 refused, 8 timed out",
            ),
            (
                Idle {
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
                Idle {
                    local: true,
                    ..silence.clone()
                },
                "no peers: nobody on the local network; \
                 name a peer with --peer or a tracker with --tracker",
            ),
            (
                Idle {
                    trackers: trackers(0, 0, 0),
                    ..silence.clone()
                },
                "no peers: 0 of 4 trackers answered",
            ),
            (
                Idle {
                    trackers: TrackerSummary {
                        failures: 1,
                        other: 1,
                        ..trackers(0, 1, 1)
                    },
                    tracker_error: Some("not told if there are several"),
                    local: true,
                    ..silence.clone()
                },
                "no peers: 0 of 4 trackers answered (1 refused, 1 timed out, 1 said no, \
                 1 failed), nobody on the local network",
            ),
            (
                Idle {
                    trackers: one,
                    tracker_error: Some("tracker http://t refused the connection"),
                    ..silence.clone()
                },
                "no peers: 0 of 1 tracker answered (tracker http://t refused the connection)",
            ),
            (
                Idle {
                    known: Counts {
                        known: 5,
                        local: 2,
                        ..Counts::default()
                    },
                    trackers: trackers(2, 0, 1),
                    local: true,
                    ..silence.clone()
                },
                "no peers yet of 5 known; 2 of 4 trackers answered (1 timed out), \
                 2 on the local network",
            ),
            (
                Idle {
                    trackers: trackers(4, 0, 0),
                    ..tried.clone()
                },
                "no peers of 12 known: 3 refused, 8 timed out; 4 of 4 trackers answered",
            ),
            (
                Idle {
                    choking: 1,
                    ..tried.clone()
                },
                "1 peer chokes us; 12 known: 3 refused, 8 timed out",
            ),
            (
                Idle {
                    choking: 2,
                    silent: 1,
                    no_use: 1,
                    trackers: trackers(4, 0, 0),
                    ..silence.clone()
                },
                "2 peers choke us, 1 sends nothing, 1 has nothing that is missing",
            ),
            (
                Idle {
                    no_use: 3,
                    known: Counts {
                        known: 9,
                        unreachable: 2,
                        failed: 1,
                        ..Counts::default()
                    },
                    ..silence.clone()
                },
                "3 peers have nothing that is missing; 9 known: 2 unreachable, 1 failed",
            ),
            (
                Idle {
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
