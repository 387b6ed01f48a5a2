//! `--proxy`: everything goes through it, nothing around it, and its faults are reported. And
//! `--bind`: nothing of the other address family, nothing without the address.

use crate::support::content::Spec;
use crate::support::network::{TRACKER, isolated};
use crate::support::nobody;
use crate::support::peer::Seed;
use crate::support::place::Place;
use crate::support::program::Storrent;
use crate::support::proxy::Kind::{Http, Socks};
use crate::support::proxy::{Answer, FakeProxy, join};
use crate::support::tracker::FakeTracker;
use rustix::process::Signal;
use serde_json::Value;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

fn spec() -> Spec {
    Spec::single("x", 300_000)
}

/// A download by this proxy, which may try the DHT and the local network.
fn by_proxy(place: &Place, url: &str) -> Storrent {
    let dir = place.dir();
    let download = Storrent::new().args(["--json", "--proxy", url, "-d"]);
    download.arg(dir).arg(place.file())
}

/// Nobody may connect here.
struct Trap(TcpListener);

impl Trap {
    fn new(host: &str) -> Option<Self> {
        let listener = TcpListener::bind((host, 0)).ok()?;
        listener.set_nonblocking(true).unwrap();
        Some(Self(listener))
    }

    fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    #[track_caller]
    fn assert_nobody_came(&self) {
        assert!(self.0.accept().is_err(), "somebody came to {}", self.addr());
    }
}

/// Whether `progress` says that nothing comes, and names this as the reason.
fn names(progress: &Value, what: &str) -> bool {
    let reason = progress["reason"].as_str();
    reason.is_some_and(|reason| reason.contains(what))
}

#[test]
fn peers_come_through_it_and_nobody_listens() {
    // HTTP has no form for a user name with a colon.
    for (kind, user, escaped) in [(Socks, "us:er", "us%3Aer"), (Http, "user", "user")] {
        let place = Place::new(spec());
        let seed = Seed::of(&place.torrent).start();
        let proxy = FakeProxy::start(kind, Some((user, "p@ss")), |_| Answer::Where);
        let url = proxy.url(&format!("{escaped}:p%40ss@"));
        let end = by_proxy(&place, &url).peers(&[seed.addr]).run().expect(0);
        place.torrent.assert_whole(&place.dir());
        assert_eq!(proxy.taken(), [seed.addr.to_string()]);
        assert_eq!(end.all("listening").len(), 0, "{end:#?}");
        let said = end.one("warning")["message"].as_str().unwrap();
        let what = "not asked, as UDP can't go through --proxy: the DHT, the local network";
        assert_eq!(said, what);
        let all = end.stdout + &end.stderr;
        assert!(!all.contains("p@ss") && !all.contains("p%40ss"), "{all}");
    }
}

#[test]
fn names_are_for_the_proxy_to_look_up() {
    for kind in [Socks, Http] {
        let place = Place::new(spec());
        let seed = Seed::of(&place.torrent).start();
        let there = seed.addr;
        let proxy = FakeProxy::start(kind, None, move |_| Answer::To(there));
        let url = proxy.url("");
        by_proxy(&place, &url)
            .args(["--peer", "peer.example:7"])
            .run()
            .expect(0);
        place.torrent.assert_whole(&place.dir());
        assert_eq!(proxy.taken(), ["peer.example:7"]);
    }
}

#[test]
fn udp_trackers_are_not_asked() {
    let udp = FakeTracker::udp(vec![nobody()]);
    let place = Place::new(spec().tracker(&udp.url).tracker("udp://tracker.example:1"));
    let proxy = FakeProxy::start(Socks, None, |_| Answer::HangUp);
    let end = by_proxy(&place, &proxy.url(""))
        .args(["--stall-timeout", "3"])
        .run()
        .expect(3);
    let left_out = "2 trackers, the DHT, the local network";
    let said = end.all("warning")[0]["message"].as_str().unwrap();
    assert_eq!(
        said,
        format!("not asked, as UDP can't go through --proxy: {left_out}")
    );
    let why = format!("{left_out} not asked, as UDP can't go through --proxy");
    assert!(end.stderr.contains(&why), "{end:#?}");
    assert_eq!(udp.taken().len(), 0);
    assert_eq!(proxy.taken().len(), 0);
}

/// The other commands that use the network have the same door.
#[test]
fn show_and_check_go_through_it() {
    let place = Place::new(spec());
    let trap = Trap::new("127.0.0.1").unwrap();
    let (url, link) = (
        format!("http://{}/x.torrent", trap.addr()),
        place.torrent.magnet(),
    );
    let peer = trap.addr().to_string();
    for job in [
        &["show", &link, "--peer", &peer][..],
        &["show", &url],
        &["check", &url],
    ] {
        let there = nobody();
        let proxy = format!("socks5://{there}");
        let end = Storrent::new().args(job).args(["--proxy", &proxy]).run();
        let why = format!("the proxy {proxy} can't be reached: Connection refused");
        assert!(end.stderr.contains(&why), "{end:#?}");
        end.expect(1);
        let end = Storrent::new()
            .args(job)
            .args(["--bind", "192.0.2.7"])
            .run();
        assert!(end.stderr.contains("192.0.2.7"), "{end:#?}");
        end.expect(1);
    }
    trap.assert_nobody_came();
}

#[test]
fn a_proxy_that_is_away_or_lets_us_not_in() {
    let place = Place::new(spec());
    let trap = Trap::new("127.0.0.1").unwrap();
    let end_of = |url: &str| by_proxy(&place, url).peers(&[trap.addr()]).run().expect(1);
    for scheme in ["socks5", "http"] {
        let there = nobody();
        let end = end_of(&format!("{scheme}://user:secret@{there}"));
        let why = format!("the proxy {scheme}://{there} can't be reached: Connection refused");
        assert!(end.stderr.contains(&why), "{end:#?}");
        assert!(!end.stderr.contains("secret"), "{end:#?}");
    }
    for kind in [Socks, Http] {
        let proxy = FakeProxy::start(kind, Some(("user", "right")), |_| Answer::Where);
        let end = end_of(&proxy.url("user:wrong@"));
        let why = format!("the proxy {} refuses the user name", proxy.url(""));
        assert!(end.stderr.contains(&why), "{end:#?}");
        assert!(!end.stderr.contains("wrong"), "{end:#?}");
        assert!(proxy.turned_away() >= 3, "it is tried three times");
        let end = end_of(&proxy.url(""));
        let why = format!("the proxy {} wants a user name", proxy.url(""));
        assert!(end.stderr.contains(&why), "{end:#?}");
        assert_eq!(proxy.taken(), [""; 0]);
    }
    trap.assert_nobody_came();
}

#[test]
fn what_is_complete_needs_no_proxy() {
    let place = Place::new(spec());
    place.torrent.write(&place.dir());
    let url = format!("socks5://{}", nobody());
    by_proxy(&place, &url).run().expect(0);
}

#[test]
fn a_proxy_that_refuses_peers_is_named() {
    for (kind, no) in [(Socks, 2), (Http, 403), (Http, 405)] {
        let place = Place::new(spec());
        let trap = Trap::new("127.0.0.1").unwrap();
        let proxy = FakeProxy::start(kind, None, move |_| Answer::No(no));
        let why = format!(
            "no peers of 1 known: 1 the proxy {} won't connect to",
            proxy.url("")
        );
        let mut run = by_proxy(&place, &proxy.url(""))
            .peers(&[trap.addr()])
            .start();
        run.event_where("progress", |now| names(now, &why));
        run.kill(Signal::INT);
        run.wait().expect(130);
        trap.assert_nobody_came();
    }
}

#[test]
fn nonsense_from_a_proxy_is_no_way_around_it() {
    for kind in [Socks, Http] {
        for answer in [
            Answer::Garbage,
            Answer::HangUp,
            Answer::No(1),
            Answer::No(599),
        ] {
            let place = Place::new(spec());
            let trap = Trap::new("127.0.0.1").unwrap();
            let proxy = FakeProxy::start(kind, None, move |_| answer);
            let mut run = by_proxy(&place, &proxy.url(""))
                .arg("-v")
                .peers(&[trap.addr()])
                .start();
            let failed = format!("{}: closed: ", trap.addr());
            run.told(|line| line.contains(&failed).then_some(()));
            // Whatever it would try in its place, it would have begun by now.
            run.event("progress");
            run.kill(Signal::INT);
            run.wait().expect(130);
            assert!(!proxy.taken().is_empty());
            trap.assert_nobody_came();
        }
    }
}

#[test]
fn a_wrong_proxy_is_named_without_its_password() {
    let place = Place::new(spec());
    for url in [
        "socks4://user:secret@p:1",
        "user:secret@p:1",
        "http://user:sec/ret@p:1",
    ] {
        let end = by_proxy(&place, url).run().expect(2);
        assert!(end.stderr.contains("--proxy"), "{end:#?}");
        let secret = end.stderr.contains("secret") || end.stderr.contains("sec/ret");
        assert!(!secret, "{end:#?}");
    }
}

#[test]
fn an_address_of_another_machine() {
    let place = Place::new(spec());
    let proxy = FakeProxy::start(Socks, None, |_| Answer::Where);
    for with_proxy in [false, true] {
        let url = proxy.url("");
        let options = ["--proxy", &url];
        let end = Storrent::new()
            .args(["--bind", "192.0.2.7", "--no-dht", "--no-lsd", "-d"])
            .arg(place.dir())
            .args(&options[..if with_proxy { 2 } else { 0 }])
            .arg(place.file())
            .run()
            .expect(1);
        assert!(end.stderr.contains("192.0.2.7"), "{end:#?}");
        assert!(end.stderr.contains("--bind"), "{end:#?}");
    }
}

#[test]
fn with_bind_nobody_of_the_other_family_is_dialled() {
    let Some(other) = Trap::new("::1") else {
        eprintln!("SKIPPED: this machine has no IPv6");
        return;
    };
    let place = Place::new(spec());
    let there = other.addr();
    let seed = Seed::of(&place.torrent).start();
    let end = place.download().peers(&[there, seed.addr]).run().expect(0);
    let said = end.one("warning")["message"].as_str().unwrap();
    assert!(said.contains(&there.to_string()), "{said}");
    other.assert_nobody_came();
}

/// A VPN drops and comes back: the line says why nothing comes, then the download goes on.
#[test]
fn an_address_that_goes_away_and_comes_back() {
    isolated(
        "proxy::an_address_that_goes_away_and_comes_back",
        &["ip"],
        || {
            const VPN: &str = "10.88.0.2/32";
            let ip = |what: &str| {
                let done = Command::new("ip")
                    .args(["addr", what, VPN, "dev", "lo"])
                    .status();
                assert!(done.unwrap().success(), "ip addr {what}");
            };
            ip("add");
            let place = Place::new(spec());
            let port = crate::support::free_port();
            let there = SocketAddr::new(TRACKER.parse().unwrap(), port);
            let download = |dir: PathBuf| {
                let options = ["--json", "--no-dht", "--no-lsd", "--bind", "10.88.0.2"];
                let download = Storrent::new().args(options).arg("-d").arg(dir);
                download.arg(place.file()).peers(&[there])
            };
            let other = place.temp.path().join("other");
            let mut stalled = download(other).start();
            let mut patient = download(place.dir()).start();
            stalled.event("checked");
            patient.event("checked");
            ip("del");
            let why = "the address 10.88.0.2 (--bind) is gone; no peers";
            stalled.event_where("progress", |now| names(now, why));
            stalled.kill(Signal::INT);
            stalled.wait().expect(130);
            let seed = Seed::of(&place.torrent).start();
            let listener = TcpListener::bind(there).unwrap();
            ip("add");
            let (stream, from) = listener.accept().unwrap();
            assert_eq!(from.ip().to_string(), "10.88.0.2");
            join(stream, TcpStream::connect(seed.addr).unwrap());
            patient.wait().expect(0);
            place.torrent.assert_whole(&place.dir());
        },
    );
}
