//! The figures of a simulated swarm: what [`Swarm::outcome`](super::Swarm::outcome) returns.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What a node has done so far, in blocks of 16 KiB or, where pieces are shorter, of a piece.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Its name: "leech 3".
    pub name: String,
    /// Whether it began with all pieces.
    pub seed: bool,
    /// When it joined.
    pub joined: Duration,
    /// When it left for good.
    pub left: Option<Duration>,
    /// When it completed, if it had to fetch anything.
    pub complete: Option<Duration>,
    /// How often it reported that it is complete.
    pub completions: u32,
    /// Blocks that it sent to each node, useful or not.
    pub gave_to: BTreeMap<usize, u32>,
    /// Blocks that came, useful or not.
    pub got: u32,
    /// Requests that it sent and that arrived.
    pub requests: u32,
    /// Cancels that it sent and that arrived.
    pub cancels: u32,
    /// False blocks that it took from each node, where it stored no other.
    pub fooled_by: BTreeMap<usize, u32>,
    /// False blocks that it believes in: none, if pieces are hashed.
    pub false_blocks: u32,
    /// Why its torrent could not go on.
    pub failed: Option<String>,
}

impl Figures {
    /// Returns the blocks that it sent in all.
    pub fn gave(&self) -> u32 {
        self.gave_to.values().sum()
    }

    /// Returns the time from joining to being complete.
    pub fn took(&self) -> Option<Duration> {
        Some(self.complete?.saturating_sub(self.joined))
    }
}

/// How a swarm fared. Shown as a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The blocks of the torrent.
    pub blocks: u32,
    /// The bytes of the torrent.
    pub bytes: u64,
    /// The nodes, by number.
    pub nodes: Vec<Figures>,
}

impl Outcome {
    fn leeches(&self) -> impl Iterator<Item = &Figures> + Clone {
        self.nodes.iter().filter(|node| !node.seed)
    }

    /// Whether every leech is complete.
    pub fn is_complete(&self) -> bool {
        self.leeches().all(|node| node.complete.is_some())
    }

    /// Returns the mean time from joining to being complete, in seconds, of the complete leeches.
    /// NaN if there is none.
    pub fn mean_time(&self) -> f64 {
        let times = self.leeches().filter_map(Figures::took);
        let seconds: f64 = times.clone().map(|time| time.as_secs_f64()).sum();
        seconds / times.count() as f64
    }

    /// Returns how much the seeds gave, as a multiple of the torrent. If the leeches help each
    /// other well, it is little more than 1, whatever their number.
    pub fn seed_share(&self) -> f64 {
        let seeds = self.nodes.iter().filter(|node| node.seed);
        f64::from(seeds.map(Figures::gave).sum::<u32>()) / f64::from(self.blocks)
    }

    /// Returns the requests for each block that a leech got, at best 1. The rest is the price of
    /// the endgame, and of choked and broken connections.
    pub fn requests_per_block(&self) -> f64 {
        let requests: u32 = self.nodes.iter().map(|node| node.requests).sum();
        let got: u32 = self.nodes.iter().map(|node| node.got).sum();
        f64::from(requests) / f64::from(got)
    }

    /// Returns how equally the leeches gave: Jain's index of blocks given for each block received.
    /// 1 is equal; if one of n leeches gives all, it is 1/n.
    pub fn fairness(&self) -> f64 {
        let gave = self.leeches().filter(|node| node.got > 0);
        let gave = gave.map(|node| f64::from(node.gave()) / f64::from(node.got));
        let (count, sum) = (gave.clone().count() as f64, gave.clone().sum::<f64>());
        sum * sum / (count * gave.map(|gave| gave * gave).sum::<f64>())
    }
}

/// A line for each node, and one for all.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let torrent = self.bytes as f64 / f64::from(1 << 20);
        let mib = |blocks: u32| f64::from(blocks) / f64::from(self.blocks) * torrent;
        let head = [
            "node", "joined", "complete", "gave MiB", "got MiB", "requests", "cancels",
        ];
        let [first, others @ ..] = head;
        write!(f, "{first:14}")?;
        others.iter().try_for_each(|head| write!(f, " {head:>9}"))?;
        for node in &self.nodes {
            let complete = match node.complete {
                Some(at) => format!("{:.1} s", at.as_secs_f64()),
                None if node.seed => String::new(),
                None => "never".into(),
            };
            let joined = format!("{:.1} s", node.joined.as_secs_f64());
            write!(f, "\n{:14} {joined:>9} {complete:>9}", node.name)?;
            write!(f, " {:9.2} {:9.2}", mib(node.gave()), mib(node.got))?;
            write!(f, " {:9} {:9}", node.requests, node.cancels)?;
        }
        write!(
            f,
            "\nmean time {:.1} s; the seeds gave {:.2} times the torrent; {:.2} requests a block; \
             fairness {:.2}",
            self.mean_time(),
            self.seed_share(),
            self.requests_per_block(),
            self.fairness()
        )
    }
}
