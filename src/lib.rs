//! storrent, a BitTorrent client of plain blocking threads and channels.
//!
//! This page is the map. Read it first, then follow its links: each module opens with
//! what it is for, in words that need no other source.
//!
//! # BitTorrent in ten sentences
//! Somebody has files to give away. A small file, the *torrent*, describes them: their
//! names and sizes, and the SHA-1 of each *piece*, a run of some hundred KiB. The SHA-1
//! of that description is the *info hash*, the torrent's name in the whole world.
//! Everybody who takes part, a *peer*, asks a *tracker* (a small server) for the
//! addresses of the others, and connects to some of them: together they are the *swarm*.
//! Two peers tell each other which pieces they have. One asks the other for *blocks*,
//! 16 KiB each, and gets them, unless the other *chokes* it, that is, serves nobody of
//! its kind just now. A piece whose blocks are all there is hashed; if the hash is right
//! the piece is true, whoever sent it, and can be given on. Who has all pieces is a
//! *seed*, who lacks some a *leech*. Nobody need be trusted, because nothing is believed
//! before its hash was checked.
//!
//! # Who runs
//! Each thing that can block has a thread of its own. A thread owns what it works with;
//! all else it is told through a channel.
//!
//! ```text
//!   (1 thread a tracker; the DHT has 2,    (1 thread a connection,
//!   local discovery 1)                     1 a web seed)
//!  +---------+  who has it?               +---------+
//!  | tracker |<------------+      +------>|  peer   |<===> TCP, HTTP
//!  | DHT LSD |--------+    |      | Order |         |===> files
//!  +---------+ peers  |    |      |       +---------+<=== files
//!                     v    |      |            |
//!  +---------+       +------------------+      | PeerEvent
//!  | listen  |------>|       main       |<-----+
//!  +---------+ TCP   |  owns the state  |
//!              stream|  of all torrents |  Pieces   +---------+
//!  +---------+       |                  |---------->| checker |<=== files
//!  | prepare |------>|                  |<----------|         |
//!  +---------+ what  +------------------+  Verdicts +---------+
//!   (at start) is there      |                      (1 a torrent)
//!                            v Report
//!                   the output's threads ===> stdout, stderr
//! ```
//!
//! | thread | how many | owns | sleeps in |
//! | --- | --- | --- | --- |
//! | main ([`engine`]) | 1 | every decision: what we have, who fetches what, whom we serve | its channels |
//! | peer ([`peer`]) | 1 a connection | the stream, its buffers, the flags of one conversation | the socket, or its channel |
//! | web seed ([`webseed`]) | 1 a web seed in use, at most 4 a torrent | its open files, what is to be fetched | main's channel and the request's at once |
//! | web request ([`webseed::request`]) | 1 for each of them, while it lasts | an HTTP connection | the connection |
//! | tracker ([`tracker`]) | 1 a tracker | an HTTP agent or a UDP socket | its channel, or the socket |
//! | DHT ([`dht`]) | 1 an address family, if used; 1 for a name that is looked up | a UDP socket, what it knows of the network | the socket, or its channels |
//! | LSD ([`lsd`]) | 1, if on | a UDP socket each for IPv4 and IPv6 | its sockets |
//! | checker ([`checker`]) | 1 a torrent, while there is something to check | a file and a buffer for each piece that it hashes at a time | its channel |
//! | listener (in [`engine`]) | 1 | the listening socket | `accept` |
//! | prepare (in [`engine`]) | 1 a torrent, at its start, with one hashing thread a core | what it found on disk so far | the disk |
//! | output ([`progress::output`]) | 1, and 1 for each of stdout and stderr that is written to | what waits to be read; the display | its channel; a writer also in a write, for as long as nobody reads |
//! | proxy (in [`engine`]) | 1, at the start, with `--proxy` | nothing | a connection to the proxy |
//! | look-up ([`door::http::resolve`]) | 1 for the name of a web server, while it is looked up | nothing | the system |
//! | signals ([`cli::signals`]) | 1 | nothing | Ctrl-C, SIGTERM, SIGHUP |
//!
//! A few facts never change after the start: the layout, the piece hashes, the places of
//! the files. They are shared in an [`Arc`](std::sync::Arc), read only. There is no lock
//! in this program.
//!
//! # The two rules against deadlock
//! 1. **Main never waits for a thread.** Its sends go to unbounded channels, and it does
//!    no I/O that can block for long. So a question to main is always answered.
//! 2. **No peer thread sleeps longer than [`peer::TICK`] on anything** while it
//!    converses. So a wrong guess about who moves next costs a tenth of a second.
//!
//! The other direction is bounded: a peer that is faster than main waits for main. That
//! is how memory stays bounded, and rule 1 makes it safe.
//!
//! # When a thread, or a file, is not to be had
//! A user may have only so many of both. Every thread is started by [`threads::spawn`], and
//! its owner hears if it can't be, or if it panics; the `starts` of the [`engine`] tell what
//! main makes of that. What can wait waits: a dial, an announce, a look at the disk, a piece
//! to be checked. How many connections and files there may be follows from the system's
//! limit.
//!
//! # The life of a block
//! 1. A peer thread has room in its request window ([`pipeline`]) and asks main for work:
//!    [`Want`](messages::PeerEvent::Want).
//! 2. The [`picker`] grants *spans*, runs of blocks of one piece, and remembers the lease.
//!    They go back as [`Fetch`](messages::Command::Fetch).
//! 3. The [`session`](peer::session) turns them into requests, many at a time.
//! 4. The block arrives in the peer thread's receive buffer ([`peer::intake`]). It is not
//!    copied. It waits there until there are many, or none is left to wait for.
//! 5. Neighbouring blocks go from that buffer to their place in the file with one
//!    positioned write ([`storage`]). Main hears [`Stored`](messages::PeerEvent::Stored).
//! 6. That was the last block of its piece, and nobody holds a lease on any of it: the
//!    picker calls the piece ready, and main passes its number to the [`checker`].
//! 7. The checker reads the piece back, out of the page cache, and hashes up to sixteen
//!    pieces at a time ([`sha1_lanes`]).
//! 8. The hash is right: main marks the piece as had and sends
//!    [`Had`](messages::Command::Had) to every peer thread. Each may serve it from now on,
//!    and tells its peer. The hash is wrong: [`torrent::blame`] finds out whose block it
//!    was, and the piece is fetched again.
//!
//! One more rule makes step 8 final: **a piece is verified only when all its blocks are
//! stored and nobody holds a lease on any of them.** Nobody can write to it any more, so
//! what was verified is what stays.
//!
//! # The life of a torrent
//! 1. [`cli`] reads the options and the torrent and makes a [`Job`](config::Job) of it. What
//!    has to be fetched first joins the run [when it is there](engine::Jobs).
//! 2. The engine starts a thread that looks at the disk: it believes the record of the
//!    last run as far as it can ([`resume`]), hashes the rest ([`checker::check_all`]), and
//!    refuses to touch files that are not this torrent's ([`storage::Storage::claim`]).
//! 3. A [`torrent::Torrent`] is made of what is there. From now on it decides, and the
//!    engine does: the [`announcer`] lists which trackers to tell, the [`swarm`] whom to
//!    dial, the [`picker`] who fetches what, the [`choker`] whom we serve.
//! 4. When the last wanted piece is verified the torrent is complete: the record goes,
//!    trackers hear `completed`, and we leave or stay to seed, as the user asked.
//! 5. On leaving, peer threads find their channel closed and hang up, trackers hear
//!    `stopped`, and what an incomplete torrent has is written into its record.
//!
//! # The life of a magnet link
//! A magnet link names the torrent and says nothing of it. So the [`torrent`] begins with
//! no pieces at all ([`Phase::Learning`](torrent::Phase::Learning)): it announces, dials and
//! listens as always, but its peers' threads follow the rules of [`peer::learner`], which
//! knows one wish only: the metadata. Once a peer gave bytes with the right hash, steps 2
//! and 3 above are made up for, while the connections stay; each thread then begins a
//! [`session`](peer::session) and tells it what the peer has said so far.
//!
//! # The floors
//! A module uses modules of its own floor and of the floors below, and no two use each
//! other. Within a floor the order here is a good one for reading. To learn BitTorrent,
//! begin at the bottom; to learn this program, at the top.
//!
//! **Wiring**: everything comes together, nothing is decided.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`cli`] | the command line, from the options to the exit status; a file for each job |
//! | [`engine`] | the main loop, and the threads that it starts |
//! | [`progress`] | shows a run: JSON lines, a live display, plain lines |
//!
//! **One resource a file**: sockets and files. The only floor that does I/O on its own.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`peer`] | the thread of one connection: [its socket](peer::socket), [its receive buffer](peer::intake), [what is on its way out](peer::outgoing) |
//! | [`tracker`] | the thread of one tracker, over HTTP or [UDP](tracker::udp_packets) |
//! | [`dht`] | the threads that find peers without a tracker |
//! | [`lsd`] | finds peers on the same network |
//! | [`door::sockets`], [`door::tunnel`] | opens every socket, from the right address; the way through the proxy |
//! | [`door::http`] | the HTTP client: [its connections](door::http::wire), [through a proxy](door::tunnel::lead) or not; [how near a server may be](door::http::rules); [the look-up of names](door::http::resolve); [odd answers](door::http::head) |
//! | [`threads`] | starts threads, and says when one dies |
//! | [`webseed`] | the thread of one web server that has the files: [what to ask for](webseed::backlog), [a request](webseed::request), [what an answer is worth](webseed::answer) |
//! | [`storage`] | the files of a torrent: where a byte is, whose the files there are, and that none is outside the folder |
//! | [`checker`] | reads pieces back and hashes them |
//! | [`resume`] | what of [the record beside an incomplete download](storage::record) is believed |
//!
//! **Decisions**: state machines. No I/O, no thread, no clock: events and the time go in,
//! actions come out. The random numbers are seeded, so the same input gives the same output.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`torrent`] | one torrent as a whole; what follows serves it |
//! | [`picker`], [`rarity`] | who fetches which block; which piece is rarest |
//! | [`torrent::webseeds`] | which web seeds to use, and when again |
//! | [`choker`] | whom we give to |
//! | [`swarm`] | the addresses that we know; whom to dial next |
//! | [`announcer`], [`lsd::schedule`] | which tracker is told what, and when; the same for the local network |
//! | [`dht::node`], [`dht::search`], [`dht::table`] | whom of the DHT to ask, and what to believe |
//! | [`torrent::blame`], [`torrent::rate`] | who sent false data; how fast lately |
//! | [`peer::session`], [`pipeline`] | one conversation; how many requests to have out |
//! | [`peer::learner`] | a conversation before the metadata is known |
//! | [`peer::patience`], [`peer::error`] | how long to wait for a peer; why a connection ends |
//!
//! **Formats**: bytes to values and back. Pure functions; whatever comes in is hostile.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`bencode`] | the notation of everything but peer messages, and a guard in front of its parser |
//! | [`metainfo`], [`names`] | reading a torrent; making its file names safe |
//! | [`compose`] | writing a torrent |
//! | [`magnet`] | magnet links |
//! | [`selection`] | which of its files the user wants |
//! | [`wire`], [`extension`] | the messages between peers; the extension handshake, [metadata](extension::metadata), [lists of peers](extension::pex) |
//! | [`mse`] | the handshake and cipher of obfuscated connections |
//! | [`announce`] | what is said to a tracker, and its answer |
//! | [`dht::krpc`] | what is said to a node of the DHT, and its answer |
//! | [`lsd::message`] | what is said to the local network |
//! | [`url`] | URLs: escaping, redirects, what may be shown of one |
//! | [`proxy`] | where a proxy is, and how it is spoken to |
//! | [`door`], [`door::ask`], [`door::names`] | what others may be talked to, from where and through what; what is said to a proxy; peers known by name; [the environment's proxies](door::environment) |
//! | [`messages`] | what main and the peer threads say to each other |
//! | [`config`], [`report`] | what the user asked for; what the user is told |
//!
//! **Vocabulary**: the words that all others use.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`layout`] | pieces, blocks, files: all arithmetic of sizes, in one place |
//! | [`bitfield`] | which pieces somebody has |
//! | [`types`] | info hash, peer id, and the numbers of torrents and peers |
//! | [`host`] | what of an address nobody chooses for himself |
//! | [`reach`] | from how far an address can be reached, so who can know of it, and name it |
//! | [`sha1_lanes`] | SHA-1 of several messages at once |
//! | [`human`] | sizes, rates, times and foreign text for people |
//!
//! # What comes from outside
//! Torrent files, trackers, DHT nodes, web servers and peers are all taken for hostile. A length is bounded before
//! memory is allocated for it; an index is checked once, where it comes in, and becomes a
//! [`layout::PieceIndex`] or [`layout::Block`], which can be made nowhere else. What breaks
//! a rule ends that file, that answer or that connection, with an error that says why; it
//! never ends the program. `unsafe` code is denied, but for two calls in [`sha1_lanes`]
//! and one of the system in [`peer::socket`].

// The documentation is for people who read the source: it shows private items, too.
#![allow(rustdoc::private_intra_doc_links)]

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
mod host;
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
mod pipeline;
mod progress;
mod proxy;
mod rarity;
mod reach;
pub mod report;
mod resume;
pub mod selection;
mod sha1_lanes;
mod storage;
mod swarm;
mod threads;
mod torrent;
mod tracker;
pub mod types;
mod url;
mod webseed;
mod wire;
