//! storrent, a BitTorrent client of plain blocking threads and channels.
//!
//! This page is the map. Read it first, then follow its links: each module opens with its purpose,
//! in words that need no other source. The [`guide`] explains BitTorrent and this program in twelve
//! chapters.
//!
//! # BitTorrent in ten sentences
//! 1. A small file, the *torrent* or *metainfo*, describes some files: their names, their sizes,
//!    and the SHA-1 hash of each *piece*, a run of some hundred KiB.
//! 2. The SHA-1 of that description is the *info hash*: the torrent's name in the whole world.
//! 3. Everybody who takes part is a *peer*, and all peers of one torrent are its *swarm*.
//! 4. A peer asks a *tracker*, a small server, for the addresses of other peers, and connects to
//!    some of them.
//! 5. Two connected peers tell each other which pieces they have.
//! 6. A peer asks another for *blocks*, 16 KiB each, of a piece that the other has.
//! 7. The other sends them, unless it *chokes* the asker: it answers none of its requests for now,
//!    because it gives to others.
//! 8. When all blocks of a piece are there, the piece is hashed.
//! 9. If the hash is right the piece is true, whoever sent it, and can be passed on; so nobody need
//!    be trusted.
//! 10. A peer that has all pieces is a *seed*, one that lacks some is a *leech*.
//!
//! # Who runs
//! Each thing that can block has a thread of its own. A thread owns what it works with, and hears
//! everything else through a channel. (The drawing leaves out the network of the trackers, the DHT
//! and the listener.)
//!
#![doc = include_str!("guide/threads.svg")]
//!
//! | thread | how many | owns | sleeps in |
//! | --- | --- | --- | --- |
//! | main ([`engine`]) | 1 | every decision: what we have, who fetches what, whom we serve | its channels |
//! | peer ([`peer`]) | 1 a connection | the stream, its buffers, the flags of one conversation | the socket, or its channel |
//! | web seed ([`webseed`]) | 1 a web seed in use, at most 4 a torrent | its open files, the spans to fetch | main's channel and the request's, both at once |
//! | web request ([`webseed::request`]) | 1 for each of them, while it lasts | an HTTP connection | the connection |
//! | tracker ([`tracker`]) | 1 a tracker | an HTTP agent or a UDP socket | its channel, or the socket |
//! | DHT ([`dht`]) | 1 an address family, if used; 1 for a name that is looked up | a UDP socket, the nodes that it knows | the socket, or its channels |
//! | LSD ([`lsd`]) | 1, if on | a UDP socket each for IPv4 and IPv6 | its sockets |
//! | checker ([`checker`]) | 1 a torrent, while there is something to check | a file and a buffer for each of the up to 16 pieces that it hashes at a time | its channel |
//! | listener (in [`engine`]) | 1 | the listening socket | `accept` |
//! | prepare (in [`engine`]) | 1 a torrent, at its start, with one hashing thread a core | the pieces found on disk | the disk |
//! | output ([`progress::output`]) | 1, and 1 for each of stdout and stderr that is written to | the output that waits; the display | its channel; a writer also in a write, while nobody reads |
//! | trace ([`progress::tracefile`]) | 1, with `--trace` | the file | its channel, or a write |
//! | proxy (in [`engine`]) | 1, at the start, with `--proxy` | nothing | a connection to the proxy |
//! | look-up ([`door::http::resolve`]) | 1 for the name of a web server, while it is looked up | nothing | the system |
//! | signals ([`cli::signals`]) | 1 | nothing | Ctrl-C, SIGTERM, SIGHUP |
//!
//! The layout, the piece hashes and the places of the files never change after the start. Threads
//! share them, read only, in an [`Arc`](std::sync::Arc). There is no lock in this program.
//!
//! # The two rules against deadlock
//! 1. **Main never waits for a thread.** It sends to unbounded channels only, and does no I/O that
//!    can block for long. So a question to main is always answered.
//! 2. **No peer thread sleeps longer than 100 ms on anything** while it converses, or 250 ms where
//!    nothing is urgent ([`peer::turn`]). A wrong guess about who moves next costs no more than
//!    that.
//!
//! The channel from the peer threads to main ([`peer::inbox`]) is bounded: a peer that is faster
//! than main waits for main. That bounds memory, and rule 1 makes it safe.
//!
//! # When the system has no thread or file left
//! [`threads::spawn`] starts every thread, and tells its owner if the system refuses or the thread
//! panics; the `starts` of the [`engine`] say what main does then. What can wait is tried again
//! later: a dial, an announce, a look at the disk, the check of a piece. So the system's limit
//! decides how many connections and open files there are.
//!
//! # The life of a block
//! 1. A peer thread has room in its request window ([`pipeline`]) and asks main for work:
//!    [`Want`](messages::PeerEvent::Want).
//! 2. The [`picker`] grants *spans*, runs of blocks of one piece, and records the lease. The peer
//!    thread gets them as [`Fetch`](messages::Command::Fetch).
//! 3. The [`session`](peer::session) turns them into requests, many at a time.
//! 4. The block arrives in the peer thread's receive buffer ([`peer::intake`]). It is not copied:
//!    it waits there for its neighbours, while more are on their way.
//! 5. Neighbouring blocks go from that buffer to their place in the file with one positioned write
//!    ([`storage`]). Main hears [`Stored`](messages::PeerEvent::Stored).
//! 6. After the last block of a piece, when nobody holds a lease on any of it, the picker calls the
//!    piece ready, and main passes its number to the [`checker`].
//! 7. The checker reads the piece back, out of the page cache, and hashes up to sixteen pieces at a
//!    time ([`sha1_lanes`]).
//! 8. If the hash is right, main marks the piece as had and sends [`Had`](messages::Command::Had)
//!    to every peer thread, which may now serve the piece and tells its peer. If it is wrong,
//!    [`torrent::blame`] finds out who sent the false block, and the piece is fetched again.
//!
//! Step 8 is final: **a piece is verified only when all its blocks are stored and nobody holds a
//! lease on any of them.** From then on nobody can write to it.
//!
//! # The life of a torrent
//! 1. [`cli`] reads the options and the torrent and makes a [`Job`](config::Job) of them. A torrent
//!    that must be fetched first joins the run [when it has arrived](engine::Jobs).
//! 2. The engine starts a thread that looks at the disk. That thread believes the record of the
//!    last run as far as it can ([`resume`]), hashes the rest ([`checker::check_all`]), and refuses
//!    to touch files that are not this torrent's ([`storage::Storage::claim`]).
//! 3. A [`torrent::Torrent`] is made of what was found. From now on it decides, and the engine
//!    acts: the [`announcer`] lists which trackers to tell, the [`swarm`] which addresses to dial,
//!    the [`picker`] which peer fetches what, the [`choker`] which peers we give to.
//! 4. When the last wanted piece is verified the torrent is complete. Its record is removed,
//!    trackers hear `completed`, and storrent leaves or stays to seed, as the user asked.
//! 5. On leaving, peer threads find their channel closed and hang up, trackers hear `stopped`, and
//!    the record of an incomplete torrent says which pieces are there.
//!
//! # The life of a magnet link
//! A magnet link only names the torrent. So the [`torrent`] begins with no pieces
//! ([`Phase::Learning`](torrent::Phase::Learning)): it announces, dials and listens as always, but
//! its peers' threads follow the rules of [`peer::learner`], which ask for the metadata and for
//! nothing else. Once a peer has sent bytes with the right hash, steps 2 and 3 above happen while
//! the connections stay. Each thread then begins a [`session`](peer::session) and repeats to it
//! what the peer has said so far.
//!
//! # Glossary
//! A BEP is a BitTorrent Enhancement Proposal, one of the numbered documents that define the
//! protocol.
//!
//! | word | whose | meaning | where |
//! | --- | --- | --- | --- |
//! | metainfo, torrent | BEP 3 | the file that describes the content | [`metainfo`] |
//! | metadata | BEP 9 | the part of it that the info hash covers, as peers send it | [`extension::metadata`] |
//! | info hash | BEP 3 | SHA-1 of the metadata: the torrent's name | [`types`] |
//! | piece | BEP 3 | the unit that has a hash; all but the last are equally long | [`layout`] |
//! | block | BEP 3 | the unit that is asked for: 16 KiB of a piece | [`layout`] |
//! | have, bitfield | BEP 3 | "I have this piece"; the same for all pieces, as bits | [`wire`], [`bitfield`] |
//! | choke, unchoke | BEP 3 | to answer none of a peer's requests for now; to answer them again | [`choker`] |
//! | interested | BEP 3 | "you have a piece that I want" | [`wire`] |
//! | seed, leech | the field | a peer that has all; one that lacks something | [`torrent`] |
//! | snubbed | the field | a peer that owes us blocks and sent none for 20 s | [`peer::session`] |
//! | optimistic unchoke | BEP 3 | a slot for a peer that gave nothing yet, in turns | [`choker`] |
//! | rarest first | the field | fetch the piece that the fewest peers have | [`rarity`], [`picker`] |
//! | endgame | the field | at the end, a block is asked of more than one peer | [`picker`] |
//! | super-seeding | BEP 16 | a seed that shows each peer one piece at a time | [`torrent`] |
//! | tier | BEP 12 | trackers of equal rank; the next tier is asked if none answers | [`announcer`] |
//! | announce | BEP 3 | to tell a tracker that we take part, and to get addresses | [`announce`], [`announcer`] |
//! | compact form | BEP 23 | an address in 6 bytes (IPv6: 18, BEP 7) | [`announce`] |
//! | PEX | BEP 11 | peers tell each other about peers | [`extension::pex`] |
//! | DHT, node | BEP 5 | a directory of swarms that many nodes keep together | [`dht`] |
//! | LSD | BEP 14 | finds peers on the same network by multicast | [`lsd`] |
//! | web seed | BEP 19 | a web server that has the files | [`webseed`] |
//! | MSE | the field | obfuscated connections | [`mse`] |
//! | tit for tat | BEP 3 | to give to those who give | [`choker`] |
//! | span | ours | a run of blocks of one piece, granted at once | [`layout`], [`picker`] |
//! | lease | ours | the right to write a span; a piece with one is not verified | [`picker`] |
//! | take over | ours | a span moves from a slow peer to a faster one | [`picker`] |
//! | window | ours | how many blocks a peer is asked for at a time | [`pipeline`] |
//! | record | ours | the file beside an incomplete download | [`storage::record`], [`resume`] |
//! | door | ours | what opens every socket, and says who may be talked to | [`door`] |
//! | blame | ours | finding out who sent a false block | [`torrent::blame`] |
//!
//! # The floors
//! A module uses only modules of its own floor and of the floors below, and no two modules use
//! each other. `README.md` has an order for reading in which no file uses a later one.
//!
//! **Wiring**: everything comes together, nothing is decided.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`cli`] | the command line, from the options to the exit status; each job has a file |
//! | [`engine`] | the main loop, and the threads that it starts |
//! | [`progress`] | shows a run: JSON lines, a live display, plain lines |
//!
//! **One resource a file**: sockets and files. The only floor that does I/O on its own.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`peer`] | the thread of one connection: [its line](peer::line): [its socket](peer::socket) and [what may wait there](peer::unsent), [its receive buffer](peer::intake), [the bytes on their way out](peer::outgoing) |
//! | [`tracker`] | the thread of one tracker, over HTTP or [UDP](tracker::udp_packets) |
//! | [`dht`] | the threads that find peers without a tracker |
//! | [`lsd`] | finds peers on the same network |
//! | [`door::sockets`], [`door::tunnel`] | open every socket, at the right address, and lead through the proxy |
//! | [`door::http`] | the HTTP client: [its connections](door::http::wire), [through a proxy](door::tunnel::lead) or not; [how near a server may be](door::http::rules); [the look-up of names](door::http::resolve); [odd answers](door::http::head) |
//! | [`threads`] | starts threads, and reports one that dies |
//! | [`webseed`] | the thread of one web server that has the files: [what to ask for](webseed::backlog), [a request](webseed::request), [what an answer is worth](webseed::answer) |
//! | [`storage`] | the files of a torrent: finds the place of a byte, tells our files from the user's own, never leaves the folder |
//! | [`checker`] | reads pieces back and hashes them |
//! | [`resume`] | how much of [the record beside an incomplete download](storage::record) to believe |
//!
//! **Simulation**: plays whole swarms with the decisions below, in virtual time. No I/O, no thread,
//! and of the clock only a time to begin at.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`sim`] | a swarm: its nodes, lines and faults, and the figures that come out; for lectures and tests |
//!
//! **Decisions**: state machines. No I/O, no thread, no clock: events and the time go in,
//! actions come out. The random numbers are seeded, so the same input gives the same output.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`torrent`] | one torrent as a whole; the other modules of this floor serve it |
//! | [`picker`], [`rarity`] | decide which peer fetches which block; know which piece is rarest |
//! | [`torrent::webseeds`] | decides which web seeds to use, and when to try one again |
//! | [`choker`] | decides which peers we give to |
//! | [`swarm`] | keeps the addresses that we know, and decides which to dial next |
//! | [`announcer`], [`lsd::schedule`] | decide what to tell which tracker, and when; the same for the local network |
//! | [`dht::node`], [`dht::search`], [`dht::table`] | decide which nodes of the DHT to ask, and what to believe |
//! | [`torrent::blame`], [`torrent::rate`], [`torrent::pace`] | find out who sent false data; measure rates, and the pace of those that have work |
//! | [`peer::session`], [`pipeline`] | one conversation with a peer; how many requests it has out |
//! | [`peer::learner`], [`peer::talk`] | a conversation before the metadata is known; what all conversations have in common |
//! | [`peer::turn`], [`peer::error`] | decides where a peer's thread sleeps, and how long; why a connection ends |
//!
//! **Formats**: bytes to values and back. Pure functions; whatever comes in is hostile.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`bencode`] | bencode, the notation of everything but peer messages, and a guard in front of its parser |
//! | [`metainfo`], [`names`] | reading a torrent; making its file names safe |
//! | [`compose`] | writing a torrent |
//! | [`magnet`] | magnet links |
//! | [`selection`] | which files of a torrent the user wants |
//! | [`wire`], [`extension`] | the messages between peers; the extension handshake, [metadata](extension::metadata), [lists of peers](extension::pex) |
//! | [`transcript`] | what the bytes of a recorded conversation mean |
//! | [`mse`] | the handshake and cipher of obfuscated connections |
//! | [`announce`] | a request to a tracker, and its answer |
//! | [`dht::krpc`] | a query to a node of the DHT, and its answer |
//! | [`lsd::message`] | an announce to the local network |
//! | [`url`] | URLs: escaping, redirects, and what of one may be printed |
//! | [`proxy`] | the address of a proxy, and which protocol it speaks |
//! | [`door`], [`door::ask`], [`door::names`] | decide who may be talked to, from which address and through which proxy; the messages to a proxy; peers known by name; [the environment's proxies](door::environment) |
//! | [`messages`] | what main and the peer threads say to each other |
//! | [`picture`] | draws a swarm: a trace in, an HTML page out |
//! | [`config`], [`report`] | what the user asked for; what the user hears |
//!
//! **Vocabulary**: the words that all others use.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`layout`] | pieces, blocks, files: all arithmetic of sizes, in one place |
//! | [`bitfield`] | which pieces somebody has |
//! | [`wanted`] | which files the user wants, and the pieces and bytes that follow from them |
//! | [`types`] | info hash, peer id, and the numbers of torrents and peers |
//! | [`address`] | addresses as bytes; [the host](address::Host), the part that nobody can choose for himself; [from how far it can be reached](address::Reach), so who may name it |
//! | [`trace`] | the facts of a run, for `--trace`, `-v` and the simulator |
//! | [`setting`] | what an error may advise the user to change |
//! | [`shortage`] | threads and open files, which the system limits |
//! | [`sha1_lanes`] | SHA-1 of several messages at once |
//! | [`human`] | sizes, rates, times and foreign text for people |
//!
//! # What comes from outside
//! Torrent files, trackers, DHT nodes, web servers and peers are hostile. A length is bounded
//! before memory is allocated for it. An index is checked once, where it comes in, and becomes a
//! [`layout::PieceIndex`] or [`layout::Block`], which no other code can make. A breach of the rules
//! ends that file, that answer or that connection, with an error that says why, and never the
//! program. `unsafe` code is denied, but for two calls in [`sha1_lanes`] and a system call in
//! [`peer::socket`].
//!
//! # As a library
//! [`engine::run`] works on torrents until they are done, and tells a
//! [`Reporter`](report::Reporter) how they go. This example checks a file that is there already;
//! without `seed_only` it would download what the file lacks.
//!
//! ```
//! use std::{fs, time::Duration};
//! use storrent::config::{Afterwards, Config, Job, Sources, Subject};
//! use storrent::report::{Report, Reporter};
//! use storrent::{door::Door, engine, metainfo};
//!
//! struct Log(Vec<Report>);
//! impl Reporter for Log {
//!     fn report(&mut self, report: Report) {
//!         self.0.push(report);
//!     }
//! }
//!
//! let mut torrent = metainfo::parse(&fs::read("fixtures/letter.torrent")?)?;
//! torrent.trackers.clear(); // nobody is to hear of it
//! let config = Config {
//!     dir: "fixtures/content".into(),
//!     seed_only: true,
//!     afterwards: Afterwards::Seed { ratio: None, time: Some(Duration::ZERO) },
//!     sources: Sources { dht: false, pex: false, lsd: false, webseeds: false },
//!     door: Door::at([127, 0, 0, 1]),
//!     port: Some(0),
//!     ..Config::default()
//! };
//! let jobs = vec![Job::from(Subject::Torrent(Box::new(torrent)))];
//! let (mut log, no_signals) = (Log(Vec::new()), crossbeam_channel::never());
//! assert!(engine::run(config, jobs, &mut log, no_signals).is_good());
//! assert!(log.0.iter().any(|report| matches!(report, Report::Complete { .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// The documentation is for people who read the source: it shows private items, too.
#![allow(rustdoc::private_intra_doc_links)]

mod address;
mod announce;
mod announcer;
mod bencode;
mod bitfield;
mod checker;
mod choker;
pub mod cli;
mod compose;
pub mod config;
mod dht;
pub mod door;
pub mod engine;
mod extension;
pub mod guide;
mod human;
mod layout;
mod lsd;
pub mod magnet;
mod messages;
pub mod metainfo;
mod mse;
mod names;
pub mod parts;
mod peer;
mod picker;
mod picture;
mod pipeline;
mod progress;
mod proxy;
mod rarity;
pub mod report;
mod resume;
pub mod selection;
mod setting;
mod shortage;
pub mod sim;
mod storage;
mod swarm;
mod threads;
mod torrent;
mod trace;
mod tracker;
mod transcript;
pub mod types;
mod url;
mod wanted;
mod webseed;
mod wire;
