//! Tests of the numbers for the user and the trackers: current while the torrent runs, complete at
//! the end.

use super::*;

fn traffic(rig: &mut Rig, n: u8, down: u64, up: u64) {
    rig.event(n, PeerEvent::Traffic { down, up });
}

fn gone(rig: &mut Rig, n: u8) -> Vec<Action> {
    rig.event(n, PeerEvent::Closed("the peer hung up".into()))
}

fn rates(rig: &Rig) -> (bool, bool) {
    let now = rig.torrent.progress(rig.now);
    (now.download_rate > 0, now.upload_rate > 0)
}

#[test]
fn without_anybody_connected_nothing_flows() {
    let mut rig = Rig::new(2, |setup| setup.web_seeds = vec!["http://10.9.9.9/".into()]);
    rig.start_web();
    rig.join_seed(1);
    traffic(&mut rig, 1, 50_000, 50_000);
    rig.pass(Duration::from_millis(100));
    assert_eq!(rates(&rig), (true, true));
    gone(&mut rig, 1);
    assert_eq!(rates(&rig), (true, true), "a web seed is connected");
    gone(&mut rig, 101);
    rig.dialled(key(2), addr(2));
    assert_eq!(rates(&rig), (false, false), "a dial brings nothing");
    // The next peer begins at zero.
    rig.join_seed(3);
    assert_eq!(rates(&rig), (false, false));
    let sums = rig.torrent.progress(rig.now);
    assert_eq!(
        (sums.downloaded_bytes, sums.uploaded_bytes),
        (50_000, 50_000)
    );
}

/// Trackers and the last report count the last bytes of a peer.
#[test]
fn the_last_words_count() {
    let mut rig = Rig::new(2, |setup| {
        setup.trackers = vec![vec!["http://10.9.9.9/announce".into()]];
        setup.afterwards = Afterwards::Seed {
            ratio: None,
            time: None,
        };
        content(setup).have = Bitfield::all(2);
    });
    rig.turn(Torrent::start);
    let answer = Ok(crate::announce::AnnounceReply::default());
    rig.turn(|torrent, turn| torrent.on_tracker(TrackerIndex(0), answer, turn));
    rig.join(1, Bitfield::none(2));
    assert!(announced(&rig.turn(Torrent::stop)).is_empty());
    assert!(!rig.torrent.is_settled(rig.now));
    traffic(&mut rig, 1, 0, 57 << 20);
    let actions = gone(&mut rig, 1);
    assert!(rig.torrent.is_settled(rig.now));
    let [stopped] = announced(&actions)[..] else {
        panic!("{actions:?}")
    };
    let last = rig.torrent.last_progress(rig.now);
    assert_eq!(
        (stopped.uploaded, last.uploaded_bytes),
        (57 << 20, 57 << 20)
    );
    assert_eq!((last.peers, last.upload_rate), (0, 0));
}

/// A torrent that leaves when complete waits for a moment, and only for peers that took data.
#[test]
fn a_finished_download_waits_for_those_who_took() {
    for takes in [false, true] {
        let mut rig = Rig::new(1, |_| {});
        rig.turn(Torrent::start);
        rig.join_seed(1);
        rig.join(2, Bitfield::none(1));
        if takes {
            rig.event(2, PeerEvent::Interested(true));
        }
        let work = rig.want(1, 4);
        rig.store(1, &work);
        let actions = rig.verdict(0, true);
        assert!(actions.contains(&Action::Complete));
        rig.turn(Torrent::stop);
        assert_eq!(rig.torrent.is_settled(rig.now), !takes);
        let last = rig.torrent.last_progress(rig.now);
        assert_eq!((last.peers, last.seeds, last.download_rate), (0, 0, 0));
        let late = rig.now + LAST_WORDS;
        assert!(rig.torrent.is_settled(late), "a thread may be stuck");
        traffic(&mut rig, 2, 0, 16_384);
        gone(&mut rig, 2);
        assert!(rig.torrent.is_settled(rig.now), "the seed took nothing");
    }
}
