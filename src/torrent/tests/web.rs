//! Tests of web seeds: opened, given work beside the peers, let go, and banned.

use super::*;
use crate::messages::Web;

const URLS: [&str; 6] = [
    "http://a/",
    "http://b/",
    "http://c/",
    "http://d/",
    "http://e/",
    "http://f/",
];

/// Makes a torrent with the first `web_seeds` of the URLs above.
fn rig(pieces: u64, web_seeds: usize) -> Rig {
    Rig::new(pieces, |setup| {
        setup.web_seeds = URLS[..web_seeds].iter().map(|url| (*url).into()).collect();
    })
}

fn opened(actions: &[Action]) -> Vec<(PeerKey, &str)> {
    let opened = actions.iter().filter_map(|action| match action {
        Action::OpenWebSeed(key, _, url) => Some((*key, url.as_str())),
        _ => None,
    });
    opened.collect()
}

impl Rig {
    /// Starts the torrent, and gives the web seeds that it opens the keys 101, 102, ...
    pub(super) fn start_web(&mut self) -> Vec<String> {
        let actions = self.turn(Torrent::start);
        for (n, (begun, _)) in (101..).zip(opened(&actions)) {
            self.rekey(begun, key(n));
        }
        let urls = opened(&actions).into_iter();
        urls.map(|(_, url)| url.to_owned()).collect()
    }

    fn rekey(&mut self, begun: PeerKey, key: PeerKey) {
        let seeds = &mut self.torrent.peers.web_seeds;
        let seed = seeds.remove(&begun).unwrap();
        seeds.insert(key, seed);
    }

    fn close(&mut self, n: u8, why: &str) -> Vec<Action> {
        self.event(n, PeerEvent::Closed(why.into()))
    }

    fn reopened(&mut self, after: u64) -> Vec<String> {
        let actions = self.pass(Duration::from_secs(after));
        let urls = opened(&actions).into_iter();
        urls.map(|(_, url)| url.to_owned()).collect()
    }
}

#[test]
fn a_torrent_with_web_seeds_alone_completes() {
    let mut rig = rig(8, 1);
    assert_eq!(rig.start_web(), [URLS[0]]);
    assert_eq!(blocks(&rig.want(101, 20)), 20);
    let more = rig.want(101, 20);
    assert_eq!(
        more,
        [rig.span(5, 0..4), rig.span(6, 0..4), rig.span(7, 0..4)]
    );
    let progress = rig.torrent.progress(rig.now);
    assert_eq!(
        (progress.peers, progress.seeds, progress.web_seeds),
        (0, 0, 1)
    );
    let all: Vec<Span> = (0..8).map(|piece| rig.span(piece, 0..4)).collect();
    let stored = rig.store(101, &all);
    assert!(matches!(&stored[..], [Action::Verify { pieces, .. }] if pieces.len() == 8));
    let done: Vec<Action> = (0..8).flat_map(|piece| rig.verdict(piece, true)).collect();
    assert!(done.contains(&Action::Complete));
    assert_eq!(hung_up(&done), [key(101)]);
    rig.close(101, "no longer needed");
    assert_eq!(rig.reopened(9999), [""; 0]);
}

#[test]
fn a_few_at_a_time_and_the_next_when_one_fails() {
    let mut rig = rig(8, 6);
    assert_eq!(rig.start_web(), URLS[..4]);
    assert_eq!(rig.reopened(60), [""; 0]);
    let work = rig.want(102, 8);
    assert_eq!(blocks(&work), 8);
    let actions = rig.close(102, "refused");
    assert_eq!(opened(&actions).len(), 1);
    assert_eq!(opened(&actions)[0].1, URLS[4]);
    assert_eq!(blocks(&rig.want(101, 99)), 24);
    assert_eq!(rig.want(101, 99), work, "its work goes to another");
    assert_eq!(opened(&rig.close(103, "refused"))[0].1, URLS[5]);
    assert_eq!(opened(&rig.close(104, "refused")), []);
    assert_eq!(rig.reopened(29), [""; 0]);
    assert_eq!(rig.reopened(1), [URLS[1]]);
}

#[test]
fn they_take_no_place_and_are_told_to_nobody() {
    let mut rig = Rig::new(8, |setup| {
        setup.web_seeds = URLS.iter().map(|url| (*url).into()).collect();
        setup.max_peers = 10;
    });
    rig.start_web();
    let actions =
        rig.turn(|torrent, turn| torrent.on_addresses((1..=20).map(addr), Source::Tracker, turn));
    let dials = actions.iter().filter(|a| matches!(a, Action::Dial(..)));
    assert_eq!(dials.count(), 9, "nine tenths of the places, as always");
    for n in 1..=9 {
        rig.dialled(key(n), addr(n));
        assert!(welcomes(&rig.greet(n, false), key(n)));
    }
    let progress = rig.torrent.progress(rig.now);
    assert_eq!((progress.peers, progress.web_seeds), (9, 4));
    let actions = rig.pass(choker::ROUND);
    let to_web = actions
        .iter()
        .filter(|action| matches!(action, Action::Send(to, _) if *to >= key(101)));
    assert_eq!(to_web.count(), 0);
}

/// In the endgame a peer takes work over from a web seed, which hears of it at once.
#[test]
fn what_is_had_elsewhere_is_cancelled() {
    let mut rig = rig(8, 1);
    rig.start_web();
    rig.join_seed(1);
    let work = rig.want(101, 32);
    assert_eq!(blocks(&work), 32);
    rig.event(101, PeerEvent::Snubbed);
    rig.pass(Duration::from_millis(100));
    let actions = rig.event(1, PeerEvent::Want(64));
    let taken = fetched(&actions, 1);
    assert_eq!(taken, work, "all, as it gives nothing");
    let moved = cancelled(&actions, 101);
    assert_eq!(moved, &taken[2..], "its first blocks may be on their way");
    assert_eq!(rig.want(101, 32), [], "not before it has answered");
    let (early, late) = taken.split_at(4);
    let stored = rig.store(1, late);
    assert_eq!(cancelled(&stored, 101), late, "it may still write there");
    let verified = |actions: &[Action]| {
        let mut verify = actions
            .iter()
            .filter(|a| matches!(a, Action::Verify { .. }));
        verify.next().is_some()
    };
    assert!(!verified(&stored));
    let actions = rig.event(101, PeerEvent::Cancelled(moved));
    assert!(matches!(&actions[0], Action::Verify { pieces, .. } if pieces.len() == 4));
    rig.event(101, PeerEvent::Cancelled(late.to_vec()));
    rig.event(1, PeerEvent::Choked(true));
    let actions = rig.event(1, PeerEvent::Released(early.to_vec(), GivenBack::Refused));
    assert_eq!(blocks(&fetched(&actions, 101)), 8, "it wants still");
}

#[test]
fn who_gives_false_data_is_banned_by_url() {
    let mut rig = rig(4, 2);
    rig.start_web();
    let (a, b) = (rig.want(101, 8), rig.want(102, 8));
    rig.store(101, &a);
    rig.store(102, &b);
    let lied = a[0].piece().get();
    rig.verdict(lied, false);
    let actions = rig.hashes(lied, [1; 4]);
    assert_eq!(hung_up(&actions), [key(101)]);
    rig.close(101, "no longer needed");
    assert_eq!(rig.reopened(9999), [""; 0], "for good");
    // The other one failed, and has another key when we find out that it lied.
    rig.close(102, "refused");
    let begun = opened(&rig.pass(Duration::from_secs(9999)))[0].0;
    rig.rekey(begun, key(103));
    rig.verdict(b[0].piece().get(), false);
    let actions = rig.hashes(b[0].piece().get(), [2; 4]);
    assert_eq!(hung_up(&actions), [key(103)]);
    rig.close(103, "no longer needed");
    assert_eq!(rig.reopened(9999), [""; 0]);
    // No peer's address is banned for it.
    rig.join_seed(1);
    let zero = SocketAddr::from(([0, 0, 0, 0], 0));
    assert!(!rig.torrent.swarm.is_banned(zero, false));
}

/// A web seed that lacks one of several files is not asked for it again.
#[test]
fn a_file_that_is_lacking_is_had_elsewhere() {
    let piece = 4 * u64::from(BLOCK_LEN);
    let files = [
        (2 * piece, false),
        (piece + 5, false),
        (2 * piece - 5, false),
    ];
    let mut rig = Rig::of(Layout::new(piece, &files).unwrap(), |setup| {
        setup.web_seeds = URLS[..2].iter().map(|url| (*url).into()).collect();
    });
    rig.start_web();
    let work = rig.want(101, 99);
    assert_eq!(blocks(&work), 20);
    let lacks = |file| {
        PeerEvent::Web(Web::Lacks {
            file,
            why: "404".into(),
        })
    };
    assert_eq!(hung_up(&rig.event(101, lacks(1))), []);
    let lost = vec![rig.span(2, 0..4), rig.span(3, 0..1)];
    assert_eq!(rig.want(101, 99), [], "main gives it nothing of that");
    rig.event(101, PeerEvent::Released(lost.clone(), GivenBack::Refused));
    assert_eq!(rig.want(102, 99), lost);
    assert_eq!(rig.want(101, 99), []);
    assert_eq!(hung_up(&rig.event(101, lacks(0))), []);
    assert_eq!(
        hung_up(&rig.event(101, lacks(2))),
        [key(101)],
        "nothing left"
    );
    rig.close(101, "no longer needed");
    assert_eq!(rig.reopened(9999), [""; 0]);
}

#[test]
fn it_comes_back_when_it_said() {
    let mut rig = rig(4, 1);
    rig.start_web();
    rig.event(101, PeerEvent::Web(Web::ComeBack(Duration::from_secs(300))));
    rig.close(101, "the server answered 503");
    let why = rig.torrent.why_idle().to_string();
    assert_eq!(
        why,
        "no peers: nobody on the local network, 1 web seed of no use just now (the server answered 503)"
    );
    assert_eq!(rig.reopened(299), [""; 0]);
    assert_eq!(rig.reopened(1), [URLS[0]]);
    assert_eq!(
        rig.torrent.why_idle().to_string(),
        "no peers: nobody on the local network, 1 web seed asked"
    );
}

#[test]
fn none_without_a_use() {
    let nothing: [&str; 0] = [];
    let mut rig = Rig::new(4, |setup| {
        setup.web_seeds = vec!["/12/items/".into(), "ftp://h/".into()];
    });
    let actions = rig.turn(Torrent::start);
    let warnings = actions
        .iter()
        .filter(|a| matches!(a, Action::Tell(Report::Warning { .. })));
    assert_eq!((warnings.count(), opened(&actions).len()), (1, 0));
    assert!(rig.torrent.why_idle().to_string().contains("--peer"));

    let mut rig = self::rig(4, 1);
    rig.turn(Torrent::start);
    let leaving = rig.turn(Torrent::stop);
    assert_eq!(
        (opened(&leaving).len(), rig.reopened(99)),
        (0, nothing.map(String::from).into())
    );

    let mut rig = Rig::new(4, |setup| {
        setup.web_seeds = vec![URLS[0].into()];
        setup.content = None;
    });
    assert_eq!(rig.start_web(), nothing, "not before the metadata is known");
    let layout = rig.layout.clone();
    let content = Content {
        name: "it".into(),
        have: Bitfield::none(layout.pieces()),
        stored: Vec::new(),
        wanted: Wanted::all(&layout),
        layout,
        private: true,
    };
    let actions = rig.turn(|torrent, turn| torrent.learn(content, turn));
    assert_eq!(opened(&actions).len(), 1, "also if it is private");
}
