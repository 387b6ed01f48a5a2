//! What is done with bytes that a stranger chose, and what must hold whatever they are:
//! nothing panics, nothing overflows, and what is taken keeps the promises of its type.
//!
//! Two programs use these: the fuzzer beside this file, which makes inputs up, and
//! `tests/corpora.rs`, with which `cargo test` replays those that are kept in `corpus/`.

mod mse;
mod peer;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use storrent::magnet::{self, Magnet};
use storrent::metainfo::{self, Metainfo};
use storrent::parts::address::usable;
use storrent::parts::announce::{AnnounceReply, LONGEST_INTERVAL, MAX_PEERS, SHORTEST_INTERVAL};
use storrent::parts::compose::{self, Outside};
use storrent::parts::extension::{self, metadata, pex};
use storrent::parts::lsd;
use storrent::parts::progress::{self, Json, Lines, Screen};
use storrent::parts::resume;
use storrent::parts::resume::Storage;
use storrent::parts::transcript;
use storrent::parts::udp_packets::{self, Answer};
use storrent::parts::wanted::Wanted;
use storrent::parts::{bencode, human, url};
use storrent::parts::{krpc, node};
use storrent::report::{Idle, Progress, Report, Trackers, Tried};
use storrent::types::InfoHash;

/// Takes an input, and panics if something does not hold.
pub(crate) type Target = fn(&[u8]);

/// The targets by name; each has a folder of that name in `corpus/`.
pub(crate) const TARGETS: [(&str, Target); 12] = [
    ("torrent", torrent),
    ("peer", peer::peer),
    ("learner", peer::learner),
    ("extension", extension),
    ("tracker", tracker),
    ("dht", dht),
    ("lsd", local),
    ("magnet", link),
    ("mse", mse::mse),
    ("display", display),
    ("record", record),
    ("wire", recording),
];

const HASH: InfoHash = InfoHash(*b"a torrent, 20 bytes.");

/// A `.torrent`.
fn torrent(data: &[u8]) {
    if let Ok(raw) = bencode::scan(data, bencode::FILE_DEPTH) {
        assert_eq!(raw.bytes().as_ptr(), data.as_ptr());
    }
    let Ok(metainfo) = metainfo::parse(data) else {
        return;
    };
    paths_are_safe(&metainfo);
    let layout = &metainfo.layout;
    let mut end = 0;
    for file in 0..layout.files() {
        assert_eq!(layout.file_range(file).start, end);
        end = layout.file_range(file).end;
    }
    let pieces = layout.all_pieces().map(|piece| {
        let _ = metainfo.hash(piece);
        u64::from(layout.piece_len(piece))
    });
    assert_eq!(pieces.sum::<u64>(), end);
    // Whoever gets its `info` from us, by a link or in a file, has the same torrent.
    let same = metainfo::from_info(metainfo.info()).expect("its own info");
    let tiers = &metainfo.trackers;
    let outside = Outside {
        trackers: tiers,
        webseeds: &metainfo.webseeds,
        ..Outside::default()
    };
    let copy = metainfo::parse(&compose::rewrap(metainfo.info(), outside)).expect("a copy");
    let magnet: Magnet = magnet::link(&metainfo).parse().expect("its own link");
    for hash in [same.info_hash, copy.info_hash, magnet.info_hash] {
        assert_eq!(hash, metainfo.info_hash);
    }
    assert_eq!(
        (&copy.files, &copy.webseeds),
        (&metainfo.files, &metainfo.webseeds)
    );
}

/// No file leaves the folder, and no two are one.
fn paths_are_safe(metainfo: &Metainfo) {
    let mut seen = HashSet::new();
    for file in metainfo.files.iter().filter(|file| !file.path.is_empty()) {
        assert!(seen.insert(file.path.join("/")), "{:?}", file.path);
        for name in &file.path {
            let bad = |c: char| c == '/' || c.is_control();
            assert!(!matches!(&**name, "" | "." | ".."), "{:?}", file.path);
            assert!(name.len() <= 255 && !name.contains(bad), "{:?}", file.path);
        }
    }
    let folder = |path: &[String]| path.split_last().map(|(_, folder)| folder.join("/"));
    for file in metainfo.files.iter() {
        let mut path = &file.path[..];
        while let Some(above) = folder(path) {
            assert!(!seen.contains(&above), "a file is a folder: {above}");
            path = &path[..path.len() - 1];
        }
    }
}

/// What stands in an extended message, and what we would say.
fn extension(data: &[u8]) {
    let _ = extension::decode(data);
    if let Some(message) = metadata::Message::decode(data) {
        let again = message.encode(data.len());
        assert_eq!(metadata::Message::decode(&again), Some(message));
    }
    let peers = pex::decode(data);
    assert!(peers.len() <= 2 * pex::MAX_TAKEN);
    let told: Vec<(SocketAddr, u8)> = peers.iter().map(|addr| (*addr, 0)).collect();
    let told = &told[..told.len().min(pex::MAX_TOLD)];
    let mut again = pex::decode(&pex::encode(told, &[]));
    let mut told: Vec<SocketAddr> = told.iter().map(|(addr, _)| *addr).collect();
    told.sort();
    again.sort();
    assert_eq!(again, told);
}

/// A tracker's answer, over HTTP and over UDP.
fn tracker(data: &[u8]) {
    if let Ok(reply) = AnnounceReply::from_http_body(data) {
        reply_is_sane(&reply);
    }
    let Some((&transaction, _)) = data.get(4..).and_then(<[u8]>::split_first_chunk) else {
        return;
    };
    let transaction = u32::from_be_bytes(transaction);
    assert_eq!(udp_packets::answer(data, !transaction, false), None);
    for v6 in [false, true] {
        if let Some(Answer::Announced(reply)) = udp_packets::answer(data, transaction, v6) {
            reply_is_sane(&reply);
        }
    }
}

fn reply_is_sane(reply: &AnnounceReply) {
    assert!(reply.peers.len() <= MAX_PEERS);
    assert!(reply.peers.iter().all(|peer| usable(*peer) == Some(*peer)));
    assert!((SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&reply.interval));
}

/// What a node of the DHT answers: by itself, and to the queries that it got.
fn dht(data: &[u8]) {
    for v6 in [false, true] {
        if let Some((_, Some(reply))) = krpc::decode(data, v6) {
            assert!(reply.nodes.iter().all(|node| node.addr.is_ipv6() == v6));
        }
    }
    let mut now = Instant::now();
    let router = SocketAddr::from(([10, 0, 0, 1], 6881));
    let mut node = node::Node::new(false, 7, now);
    node.enter(router, true, now);
    node.search(HASH, Some(6881), now);
    let mut out = Vec::new();
    // Each query is answered by the next of the datagrams, which stand apart by a line.
    let mut answers = data.split(|byte| *byte == b'\n').cycle();
    for _ in 0..16 {
        now += Duration::from_millis(100);
        node.on_tick(now, &mut out);
        for output in std::mem::take(&mut out) {
            match output {
                node::Output::Send(to, query) => {
                    assert!(to.port() > 0 && query.len() <= krpc::MAX_DATAGRAM);
                    let answer = answers.next().unwrap_or_default();
                    node.on_datagram(to, &to_query(answer, &query), now, &mut out);
                }
                node::Output::Peers(hash, peers) => {
                    assert!(hash == HASH && !peers.is_empty());
                }
                node::Output::Ended { .. } => {}
            }
        }
        out.clear();
    }
}

/// `answer` with the transaction of `query` in place of its own.
fn to_query(answer: &[u8], query: &[u8]) -> Vec<u8> {
    let after = |bytes: &[u8]| {
        bytes
            .windows(5)
            .rposition(|key| key == b"1:t4:")
            .map(|at| at + 5)
    };
    let mut answer = answer.to_vec();
    if let (Some(to), Some(from)) = (after(&answer), after(query))
        && let Some(to) = answer.get_mut(to..to + 4)
        && let Some(from) = query.get(from..from + 4)
    {
        to.copy_from_slice(from);
    }
    answer
}

/// What is heard on the local network.
fn local(data: &[u8]) {
    if let Some(heard) = lsd::decode(data) {
        assert!(heard.port != 0);
        let to = SocketAddr::from(([239, 192, 152, 143], 6771));
        let packets = lsd::encode(to, heard.port, &heard.info_hashes, "our mark");
        let again = packets.iter().filter_map(|packet| lsd::decode(packet));
        let again: Vec<InfoHash> = again.flat_map(|heard| heard.info_hashes).collect();
        assert_eq!(again, heard.info_hashes);
    }
}

/// A link that somebody pasted, and what else may be a URL.
fn link(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(magnet) = text.parse::<Magnet>() {
        let again: Magnet = magnet.to_string().parse().expect("what we write, we read");
        assert_eq!(again.info_hash, magnet.info_hash);
        assert_eq!(
            (again.trackers, again.peers),
            (magnet.trackers, magnet.peers)
        );
    }
    let requestable = url::requestable(&text);
    assert!(requestable.bytes().all(|byte| byte.is_ascii_graphic()));
    assert_eq!(url::requestable(&requestable), requestable);
    url::is_http(&text);
    let _ = url::redirected("http://host:1/a/b?c#d", &text);
    let _ = url::redirected(&text, "../x");
}

/// A recorded conversation: a page about it has no control characters, and is not much longer.
fn recording(data: &[u8]) {
    if let Ok(page) = transcript::page(&String::from_utf8_lossy(data)) {
        assert!(page.chars().all(|c| c == '\n' || !c.is_control()));
        assert!(page.len() <= 1000 + 60 * data.len());
    }
}

/// Names and messages of strangers, in every display: nothing is left for a terminal to
/// obey, and one line stays one line.
fn display(data: &[u8]) {
    let (name, why) = data.split_at(data.len() / 2);
    let [name, why] = [name, why].map(|text| String::from_utf8_lossy(text).into_owned());
    let info_hash = HASH;
    let reports = [
        Report::Linked {
            info_hash,
            name: Some(name.clone()),
        },
        Report::Progress(Progress {
            info_hash,
            have_bytes: data.len() as u64,
            wanted_bytes: u64::MAX,
            download_rate: 1,
            upload_rate: u64::MAX,
            peers: 1,
            seeds: usize::MAX,
            web_seeds: 2,
            downloaded_bytes: u64::MAX,
            uploaded_bytes: 0,
            seeding: data.len() % 2 == 1,
            idle: Some(Idle::Tried(Box::new(Tried {
                tracker_error: Some(why.clone()),
                trackers: Trackers {
                    trackers: 1,
                    ..Trackers::default()
                },
                ..Tried::default()
            }))),
        }),
        Report::Added {
            info_hash,
            name: name.clone(),
            total_bytes: u64::MAX,
            wanted_bytes: 3,
            piece_length: 16384,
            pieces: 1,
            files: 1,
            wanted_files: 1,
            path: name.clone().into(),
        },
        Report::Warning {
            info_hash: Some(info_hash),
            message: why.clone(),
        },
        Report::Error {
            info_hash: None,
            source: Some(name.clone()),
            message: why,
        },
    ];
    let (mut lines, mut json) = (Vec::new(), Vec::new());
    let (mut to_lines, mut to_json) = (Lines::new(&mut lines, false), Json::new(&mut json));
    let mut now = Instant::now();
    for report in &reports {
        to_lines.report(report, now);
        to_json.show(report);
        now += Duration::from_secs(3600);
    }
    to_lines.end();
    for out in [&lines, &json] {
        let out = str::from_utf8(out).expect("text");
        assert!(out.lines().count() <= reports.len() + 1);
        assert_eq!(
            human::escaped(&out.replace('\n', "")),
            out.replace('\n', "")
        );
    }
    for line in str::from_utf8(&json).expect("text").lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if value["event"] == "added" {
            assert_eq!(value["name"], name, "a program gets the exact name");
        }
    }
    for width in 1..9 {
        assert!(progress::width(&progress::shortened(&name, width)) <= width);
    }
}

/// The record of an earlier run: what it can say is bounded by what there is.
fn record(data: &[u8]) {
    let torrent = include_bytes!("../../fixtures/walk.torrent");
    let metainfo = metainfo::parse(torrent).expect("the fixture");
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join(format!("{}.storrent", metainfo.name));
    std::fs::write(path, data).expect("a record");
    let chosen: Vec<bool> = (0..metainfo.files.len())
        .map(|file| file % 2 == 0)
        .collect();
    let wanted = Wanted::new(&metainfo.layout, &chosen);
    let storage = Storage::open(dir.path(), (&metainfo).into(), &wanted).expect("a storage");
    let survey = storage.survey().expect("a look");
    let trusted = resume::trusted(&storage, &survey);
    assert_eq!(trusted.have.count(), 0, "no file is there");
    if let Some(info) = storrent::parts::resume::recall(dir.path(), metainfo.info_hash) {
        assert_eq!(
            metainfo::from_info(&info).map(|m| m.info_hash).ok(),
            Some(metainfo.info_hash)
        );
    }
}
