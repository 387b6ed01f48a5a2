//! The command line's options, checked, as the engine needs them: one [`Config`] for the process
//! and one [`Job`] for each torrent. They do not change after the start.

use crate::address::{Reach, Teller};
use crate::door::Door;
use crate::magnet::Magnet;
use crate::metainfo::Metainfo;
use crate::selection::FileNumbers;
use crate::trace::Witness;
use crate::types::InfoHash;
use crate::url;
use std::path::PathBuf;
use std::time::Duration;

/// The options for the whole process.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder to save in, made if missing.
    pub dir: PathBuf,
    /// The TCP port of `--port` (0: any free one). `None`: 6881 to 6889, else any free one.
    pub port: Option<u16>,
    /// From which address, and through which proxy, we connect: `--bind`, `--proxy`.
    pub door: Door,
    /// Connections per torrent at most, incoming and outgoing together.
    pub max_peers: usize,
    /// Bytes of blocks received per second by the whole process; 0: no limit.
    pub download_limit: u64,
    /// Bytes of blocks sent per second by the whole process; 0: no limit.
    pub upload_limit: u64,
    /// By which rules to fetch and to give.
    pub rules: Rules,
    /// What to do with a complete torrent.
    pub afterwards: Afterwards,
    /// Gives up after this time without data; `None`: never.
    pub stall_timeout: Option<Duration>,
    /// Replaces files that do not belong to this torrent.
    pub overwrite: bool,
    /// For `storrent seed`: nothing is fetched, and incomplete data is an error.
    pub seed_only: bool,
    /// For `storrent show MAGNET`: only the metadata is wanted.
    pub metadata_only: bool,
    /// Where peers and data may come from.
    pub sources: Sources,
    /// Whether connections are obfuscated.
    pub encryption: Encryption,
    /// Nodes from which to enter the DHT, `HOST:PORT`; empty: the public ones.
    pub dht_nodes: Vec<String>,
    /// Our number and name in the facts of the run. `None`: nobody reads facts, so none are told.
    /// See [`Report::Trace`](crate::report::Report::Trace).
    pub witness: Option<Witness>,
}

/// The rules by which a torrent fetches and gives. The default serves a swarm best. Each other
/// value turns one rule off, so that a simulated swarm ([`sim`](crate::sim)) can show what it is
/// for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// In which order to fetch the pieces.
    pub strategy: Strategy,
    /// To which peers to give.
    pub choking: Choking,
    /// Whether a peer without work takes over blocks from a slower one. Without it there is no
    /// endgame (BEP 3): the slowest peer ends the download.
    pub take_over: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            strategy: Strategy::RarestFirst,
            choking: Choking::TitForTat,
            take_over: true,
        }
    }
}

/// In which order pieces are fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// The pieces that the fewest peers have come first, after a few at random.
    RarestFirst,
    /// In the order of the torrent.
    Sequential,
    /// In any order.
    Random,
}

/// To which peers a leech gives. A seed gives to those that fetch fastest in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choking {
    /// To those that give it most (BEP 3), and to one by lot.
    TitForTat,
    /// By lot, whatever they give.
    ByLot,
}

/// Where peers and data may come from, besides trackers and the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sources {
    /// The distributed hash table (BEP 5).
    pub dht: bool,
    /// Peers tell us about other peers (BEP 11).
    pub pex: bool,
    /// Local service discovery (BEP 14).
    pub lsd: bool,
    /// Web servers that have the files (BEP 19).
    pub webseeds: bool,
}

impl Default for Config {
    /// The defaults of the command line.
    fn default() -> Self {
        Self {
            dir: PathBuf::from("."),
            port: None,
            door: Door::default(),
            max_peers: 50,
            download_limit: 0,
            upload_limit: 0,
            rules: Rules::default(),
            afterwards: Afterwards::Leave,
            stall_timeout: None,
            overwrite: false,
            seed_only: false,
            metadata_only: false,
            sources: Sources {
                dht: true,
                pex: true,
                lsd: true,
                webseeds: true,
            },
            encryption: Encryption::Prefer,
            dht_nodes: Vec::new(),
            witness: None,
        }
    }
}

/// Whether connections are obfuscated (MSE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Plain connections only.
    Off,
    /// Plain first, obfuscated if the peer insists.
    Prefer,
    /// Obfuscated connections only.
    Require,
}

/// What to do with a torrent once it is complete.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Afterwards {
    /// Leave the swarm.
    Leave,
    /// Seed until one of the goals is reached; without a goal, until interrupted.
    Seed {
        /// Bytes to upload, divided by the bytes of the wanted files.
        ratio: Option<f64>,
        /// How long to seed.
        time: Option<Duration>,
    },
}

/// One torrent to work on.
#[derive(Clone, Debug)]
pub struct Job {
    /// The SOURCE that named the torrent, as the user wrote it.
    pub source: String,
    /// What SOURCE says about the torrent.
    pub subject: Subject,
    /// Who named the torrent.
    pub teller: Teller,
    /// The wanted files; `None`: all, or those that the magnet link names.
    pub files: Option<FileNumbers>,
    /// Peers named on the command line, `HOST:PORT`.
    pub peers: Vec<String>,
    /// Trackers named on the command line, besides the torrent's own.
    pub trackers: Vec<String>,
    /// What other SOURCEs say about the same torrent, and who named them.
    pub also: Vec<(Subject, Teller)>,
}

/// All files of a torrent, or those that a magnet link asks for, with the peers and trackers that
/// it names; nothing is known of who named it.
impl From<Subject> for Job {
    fn from(subject: Subject) -> Self {
        Self {
            source: subject.name(),
            subject,
            teller: Teller::Unknown,
            files: None,
            peers: Vec::new(),
            trackers: Vec::new(),
            also: Vec::new(),
        }
    }
}

/// The trackers, web seeds and peers that all SOURCEs of a torrent name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Trackers by tier.
    pub trackers: Vec<Vec<String>>,
    /// Web servers that have the files, each once.
    pub web_seeds: Vec<String>,
    /// Peers from magnet links, `HOST:PORT`.
    pub peers: Vec<String>,
}

impl Job {
    /// Adds what another SOURCE says about the same torrent. A `.torrent` replaces a magnet link as
    /// the subject, because it describes the files.
    pub fn absorb(&mut self, mut other: Self) {
        if let (Subject::Link(_), Subject::Torrent(_)) = (&self.subject, &other.subject) {
            std::mem::swap(&mut self.subject, &mut other.subject);
            std::mem::swap(&mut self.teller, &mut other.teller);
        }
        self.also.push((other.subject, other.teller));
        self.also.append(&mut other.also);
    }

    fn told(&self) -> impl Iterator<Item = (&Subject, Teller)> {
        let also = self.also.iter().map(|(subject, teller)| (subject, *teller));
        std::iter::once((&self.subject, self.teller)).chain(also)
    }

    fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.told().map(|(subject, _)| subject)
    }

    /// Returns how near a tracker's address may be: of all who name its URL, the most trusted
    /// counts.
    pub fn nearest_tracker(&self, url: &str) -> Reach {
        let names = |subject: &Subject| match subject {
            Subject::Torrent(metainfo) => metainfo.trackers.iter().flatten().any(|it| it == url),
            Subject::Link(link) => link.trackers.iter().any(|it| it == url),
        };
        let tellers = self.told().filter(|(subject, _)| names(subject));
        let own = self.trackers.iter().any(|it| it == url);
        let tellers = tellers.map(|(_, teller)| teller);
        let all = tellers.chain(own.then_some(Teller::User));
        let nearest = all.map(|teller| url::nearest_tracker(url, teller)).min();
        nearest.unwrap_or(Reach::World)
    }

    /// The same for the address of a web seed.
    pub fn nearest_web_seed(&self, url: &str) -> Reach {
        let names = |subject: &Subject| match subject {
            Subject::Torrent(metainfo) => metainfo.webseeds.iter().any(|it| it == url),
            Subject::Link(link) => link.webseeds.iter().any(|it| it == url),
        };
        let tellers = self.told().filter(|(subject, _)| names(subject));
        let nearest = tellers.map(|(_, teller)| url::nearest_web_seed(url, teller));
        nearest.min().unwrap_or(Reach::World)
    }

    /// Returns where the torrent can be had. The peers of a `private` torrent come from its own
    /// trackers only (BEP 27). So a magnet link adds none, and its trackers count only without a
    /// `.torrent`.
    pub fn named(&self, private: bool) -> Named {
        let has_torrent = matches!(self.subject, Subject::Torrent(_));
        let mut named = Named::default();
        for subject in self.subjects() {
            let web_seeds = match subject {
                Subject::Torrent(metainfo) => {
                    named.trackers.extend(metainfo.trackers.iter().cloned());
                    &metainfo.webseeds
                }
                Subject::Link(link) => {
                    if !private || !has_torrent {
                        named.trackers.push(link.trackers.clone());
                    }
                    if !private {
                        named.peers.extend(link.peers.iter().cloned());
                    }
                    &link.webseeds
                }
            };
            for url in web_seeds {
                if !named.web_seeds.contains(url) {
                    named.web_seeds.push(url.clone());
                }
            }
        }
        if !private {
            let own = self.trackers.iter();
            named.trackers.extend(own.map(|url| vec![url.clone()]));
        }
        named
    }

    /// Returns the DHT nodes that the torrent names.
    pub fn dht_nodes(&self) -> impl Iterator<Item = &(String, u16)> {
        self.subjects().flat_map(|subject| match subject {
            Subject::Torrent(metainfo) => &metainfo.nodes[..],
            Subject::Link(_) => &[],
        })
    }

    /// Returns the files of a magnet link's `so=`, as indices; `None` without one.
    pub fn linked_files(&self, metainfo: &Metainfo) -> Option<Vec<usize>> {
        self.subjects().find_map(|subject| match subject {
            Subject::Torrent(_) => None,
            Subject::Link(link) => link.wanted(metainfo),
        })
    }
}

/// What is known about a torrent at the start.
#[derive(Clone, Debug)]
pub enum Subject {
    /// Everything, from a `.torrent`.
    Torrent(Box<Metainfo>),
    /// The contents of a magnet link.
    Link(Magnet),
}

impl Subject {
    /// Returns the torrent's info hash.
    pub fn info_hash(&self) -> InfoHash {
        match self {
            Self::Torrent(metainfo) => metainfo.info_hash,
            Self::Link(magnet) => magnet.info_hash,
        }
    }

    /// What to call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Torrent(metainfo) => metainfo.name.clone(),
            Self::Link(magnet) => magnet.name.clone().unwrap_or(magnet.info_hash.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metainfo;

    fn job(subject: Subject) -> Job {
        let trackers = vec!["http://user".into()];
        Job {
            trackers,
            ..subject.into()
        }
    }

    fn torrent(private: bool, tracker: &str) -> Job {
        let private = if private { "7:privatei1e" } else { "" };
        let text = format!(
            "d8:announce{}:{tracker}4:infod6:lengthi0e4:name1:n12:piece lengthi16384e6:pieces0:{private}e\
             8:url-list8:http://we",
            tracker.len()
        );
        let metainfo = metainfo::parse(text.as_bytes()).unwrap();
        job(Subject::Torrent(Box::new(metainfo)))
    }

    fn link() -> Job {
        let text = "magnet:?xt=urn:btih:d2474e86c95b19b8bcfdb92bc12c9d44667cfa36\
                    &tr=http://link&ws=http://w&ws=http://w2&x.pe=h:7&so=0";
        job(Subject::Link(text.parse().unwrap()))
    }

    fn all(mut jobs: Vec<Job>) -> Job {
        let mut first = jobs.remove(0);
        jobs.into_iter().for_each(|job| first.absorb(job));
        first
    }

    #[test]
    fn all_that_is_said_counts_in_any_order() {
        let jobs = || {
            [
                torrent(false, "http://a"),
                link(),
                torrent(false, "http://b"),
            ]
        };
        for order in [[0, 1, 2], [1, 0, 2], [0, 2, 1], [1, 2, 0]] {
            let job = all(order.map(|i| jobs()[i].clone()).to_vec());
            let Subject::Torrent(metainfo) = &job.subject else {
                panic!("{order:?}: what it holds is known")
            };
            assert_eq!(job.linked_files(metainfo), Some(vec![0]));
            let named = job.named(false);
            let mut trackers = named.trackers.concat();
            assert_eq!(trackers.pop().as_deref(), Some("http://user"));
            trackers.sort_unstable();
            assert_eq!(trackers, ["http://a", "http://b", "http://link"]);
            assert_eq!(named.web_seeds, ["http://w", "http://w2"], "{order:?}");
            assert_eq!(named.peers, ["h:7"]);
        }
    }

    #[test]
    fn who_names_a_url_most_trusted_counts() {
        let mut far = torrent(false, "http://127.0.0.1/x");
        far.teller = Teller::Server(Reach::World);
        let (tracker, seed) = ("http://127.0.0.1/x", "http://w");
        assert_eq!(far.nearest_tracker(tracker), Reach::World);
        assert_eq!(far.nearest_web_seed(seed), Reach::World);
        assert_eq!(far.nearest_tracker("http://user"), Reach::Machine);
        assert_eq!(far.nearest_tracker("http://nobody"), Reach::World);
        let near = torrent(false, "http://127.0.0.1/x");
        for jobs in [[far.clone(), near.clone()], [near, far]] {
            let both = all(jobs.to_vec());
            assert_eq!(both.nearest_tracker(tracker), Reach::LocalNetwork);
            assert_eq!(both.nearest_web_seed(seed), Reach::Machine);
        }
        // The link keeps its own teller, even if the torrent came second.
        let (mut link, near) = (link(), torrent(false, "http://a"));
        link.teller = Teller::Server(Reach::World);
        link.absorb(near);
        assert_eq!(link.nearest_tracker("http://link"), Reach::World);
        assert_eq!(link.nearest_tracker("http://a"), Reach::Machine);
    }

    #[test]
    fn a_private_torrent_has_its_own_trackers_only() {
        for jobs in [
            vec![torrent(true, "http://a"), link()],
            vec![link(), torrent(true, "http://a")],
        ] {
            let named = all(jobs).named(true);
            assert_eq!(
                (named.trackers.concat(), named.peers),
                (vec!["http://a".into()], vec![])
            );
        }
        // Without a `.torrent`, only the link knows the trackers.
        let named = link().named(true);
        assert_eq!(
            (named.trackers.concat(), named.peers),
            (vec!["http://link".into()], vec![])
        );
    }
}
