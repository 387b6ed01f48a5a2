//! With `--proxy` everything goes through the proxy, with `--bind` everything leaves from that
//! address: whole downloads on a machine whose every packet is looked at, with real proxies.
//!
//! The torrent has all that could go astray: HTTP and UDP trackers, by name and by address; a web
//! seed that alone has one file, and peers that alone have another; IPv6 beside IPv4; DHT and local
//! network are on by default.

use crate::support::Gate;
use crate::support::content::{Spec, Torrent};
use crate::support::http::{HttpServer, file_at, respond, respond_part};
use crate::support::network::isolated;
use crate::support::peer::{FakePeer, Seed};
use crate::support::place::Place;
use crate::support::program::{Running, Storrent};
use crate::support::real_proxies::{Kind, RealProxy};
use crate::support::tracker::{FakeTracker, Reply};
use crate::support::trap::{FIRST, FIRST_V6, SECOND, SECOND_V6, TOOLS, Trap, host, host_v6};
use crate::support::wire::{EXTENDED, Handshake, Note, PLAIN};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;

/// What servers are called.
const NAMES: &str = "198.51.100.1 tracker.example\n198.51.100.3 files.example\n";
const NAMES_V6: &str = "2001:db8::1 tracker.example\n2001:db8::3 files.example\n";

/// Where proxies are.
const PROXY: (u8, u16) = (4, 1080);

/// The numbers of two files: only peers have the one, only the web seed the other.
const FROM_PEERS: usize = 1;
const FROM_WEB: usize = 2;

/// The machine, and the internet around it.
struct Scene {
    trap: Trap,
    temp: TempDir,
    torrent: Arc<Torrent>,
    tracker: FakeTracker,
    udp: FakeTracker,
    udp_v6: FakeTracker,
    /// Its URL for the machine.
    tracker_url: String,
    seed: FakePeer,
    /// Holds back the seeds' data.
    gate: Gate,
}

impl Scene {
    /// `names` are known to the machine.
    fn new(names: &str) -> Self {
        let trap = Trap::new(names);
        let (gate, torrent) = (Gate::new(), Arc::new(OnceLock::<Arc<Torrent>>::new()));
        let lock = torrent.clone();
        HttpServer::start_at("[::]:80", move |request, stream| {
            let torrent = lock.get().unwrap();
            let file = file_at(torrent, "/files/", &request.target);
            let wanted = &torrent.data[torrent.files[FROM_WEB - 1].range.clone()];
            match (request.target.as_str(), file) {
                ("/x.torrent", _) => respond(stream, "200 OK", &torrent.metainfo),
                (_, Some(file)) if file == wanted => respond_part(stream, request, file),
                _ => respond(stream, "404 Not Found", b""),
            }
        });
        let peers = Arc::new(OnceLock::new());
        let told: Arc<OnceLock<Vec<SocketAddr>>> = peers.clone();
        let tracker =
            FakeTracker::start_at("[::]:0", move |_| Reply::Dicts(told.get().unwrap().clone()));
        let udp = FakeTracker::udp_at(&format!("{}:0", host(1)), vec![]);
        let udp_v6 = FakeTracker::udp_at(&format!("[{}]:0", host_v6(1)), vec![]);
        let port = |url: &str| url.rsplit(':').next().unwrap().to_owned();
        let tracker_url = format!("http://tracker.example:{}", port(&tracker.url));
        let made = Spec::multi("album", &[("peers.bin", 8 << 15), ("web.bin", 8 << 15)])
            .tracker(&tracker_url)
            .tracker(&udp.url)
            .tracker(&udp_v6.url)
            .tracker(&format!("udp://tracker.example:{}", port(&udp.url)))
            .webseed("http://files.example/files/")
            .build();
        let _ = torrent.set(made.clone());
        let half = made.pieces_of(FROM_PEERS);
        let seed = Seed::of(&made)
            .having(|piece| half.contains(&piece))
            .speaking(EXTENDED)
            .hold(&gate);
        let [seed, other] = [host(2), host_v6(2)].map(|host| seed.clone().start_at(&host));
        let _ = peers.set(vec![seed.addr, other.addr]);
        Self {
            trap,
            temp: tempfile::tempdir().unwrap(),
            torrent: made,
            tracker,
            udp,
            udp_v6,
            tracker_url,
            seed,
            gate,
        }
    }

    /// A real proxy, which knows the servers' names.
    fn proxy(&self, kind: Kind) -> RealProxy {
        let home = self.temp.path().join("proxy");
        RealProxy::start(kind, &home, NAMES, &host(PROXY.0), PROXY.1)
    }

    /// The torrent as a file, as a magnet link, as a URL.
    fn sources(&self) -> [String; 3] {
        let escaped = |url: &str| url.replace(':', "%3A").replace('/', "%2F");
        let link = format!(
            "{}&tr={}&tr={}&ws={}",
            self.torrent.magnet(),
            escaped(&self.tracker_url),
            escaped(&self.udp.url),
            escaped("http://files.example/files/"),
        );
        let file = self.torrent.save(self.temp.path()).display().to_string();
        [file, link, "http://files.example/x.torrent".into()]
    }

    fn dir(&self) -> PathBuf {
        self.temp.path().join("down")
    }

    /// A download on the machine, with what is on by default.
    fn download(&self, source: &str) -> Storrent {
        let download = self.trap.storrent().arg("--json").arg("-d");
        download.arg(self.dir()).arg(source)
    }

    /// Waits for its end, compares, and empties the folder.
    #[track_caller]
    fn finish(&self, running: Running) {
        running.wait().expect(0);
        self.torrent.assert_whole(&self.dir());
        fs::remove_dir_all(self.dir()).unwrap();
    }
}

/// A download from one peer, over a way that is broken in the middle.
struct Broken {
    trap: Trap,
    place: Place,
    peer: FakePeer,
    /// Before it opens, the peer hangs up, so that we dial it again and again.
    gate: Gate,
}

impl Broken {
    fn new() -> Self {
        let (trap, place) = (Trap::new(""), Place::new(Spec::single("x", 500_000)));
        let (seed, hash) = (Seed::of(&place.torrent), place.torrent.info_hash);
        let gate = Gate::new();
        let mended = gate.clone();
        let peer = FakePeer::start_at(&host(2), move |wire| {
            wire.answer(Handshake::new(hash, PLAIN))?;
            match mended.is_open() {
                true => seed.serve(wire),
                false => Ok(()),
            }
        });
        Self {
            trap,
            place,
            peer,
            gate,
        }
    }

    /// Starts it with these options, and waits until it dialled the peer once.
    fn start(&self, options: [&str; 2]) -> Running {
        let storrent = self.trap.storrent().arg("--json").args(options).arg("-d");
        let storrent = storrent.arg(self.place.dir()).arg(self.place.file());
        let running = storrent.peers(&[self.peer.addr]).start();
        self.peer.wait_played();
        running
    }

    /// Opens the way again. The download completes, and nothing went another way.
    #[track_caller]
    fn mend(&self, running: Running) {
        self.gate.open();
        running.wait().expect(0);
        self.place.torrent.assert_whole(&self.place.dir());
        self.trap.assert_empty();
    }
}

/// Whether `progress` says why nothing comes, and names `what`.
fn names(progress: &Value, what: &str) -> bool {
    let reason = progress["reason"].as_str();
    reason.is_some_and(|reason| reason.contains(what))
}

/// Only packets to the proxy.
fn only_to_the_proxy() -> [String; 1] {
    let (number, port) = PROXY;
    [format!("ip daddr {} tcp dport {port}", host(number))]
}

fn tools(program: &'static str) -> Vec<&'static str> {
    [&[program], &TOOLS[..]].concat()
}

/// Whole downloads with the default ways to find peers.
fn through(name: &str, kind: Kind) {
    isolated(name, &tools(kind.program()), || {
        let scene = Scene::new("");
        let _proxy = scene.proxy(kind);
        let url = kind.url(&host(PROXY.0), PROXY.1);
        scene.trap.set(&only_to_the_proxy());
        for (number, source) in scene.sources().iter().enumerate() {
            let running = scene.download(source).args(["--proxy", &url]).start();
            if number == 0 {
                // The seed waits for the gate, so the download runs.
                scene
                    .seed
                    .wait(|note| matches!(note, Note::Hello(_)).then_some(()));
                let open = scene.trap.run("ss -Hlntp; ss -Hanup");
                assert_eq!(open, "", "somebody could come by these");
                scene.gate.open();
            }
            scene.finish(running);
            let announced = scene.tracker.next_event("started");
            assert_eq!(announced.port, 1, "nobody can connect to us");
            scene.trap.assert_empty();
        }
        assert!(scene.udp.taken().is_empty());
    });
}

#[test]
fn through_dante() {
    through("one_way_out::through_dante", Kind::Dante);
}

#[test]
fn through_microsocks() {
    through("one_way_out::through_microsocks", Kind::Microsocks);
}

#[test]
fn through_microsocks_with_a_password() {
    through(
        "one_way_out::through_microsocks_with_a_password",
        Kind::MicrosocksWithPassword,
    );
}

#[test]
fn through_tinyproxy() {
    through("one_way_out::through_tinyproxy", Kind::Tinyproxy);
}

#[test]
fn through_tinyproxy_with_a_password() {
    through(
        "one_way_out::through_tinyproxy_with_a_password",
        Kind::TinyproxyWithPassword,
    );
}

/// A proxy for the web alone: the trackers and the web seed answer, peers can't be reached.
#[test]
fn squid_refuses_peers() {
    let name = "one_way_out::squid_refuses_peers";
    isolated(name, &tools(Kind::Squid.program()), || {
        let scene = Scene::new("");
        let proxy = scene.proxy(Kind::Squid);
        let address = host(PROXY.0);
        scene.trap.set(&only_to_the_proxy());
        let [file, _, source] = scene.sources();
        let url = Kind::Squid.url(&address, PROXY.1);
        let download = scene.download(&source).args(["--proxy", &url]);
        let mut stuck = download.arg("--no-webseeds").start();
        let barred = |told: &Value| names(told, &address) && names(told, "won't connect");
        stuck.event_where("progress", barred);
        stuck.kill(rustix::process::Signal::INT);
        stuck.wait().expect(130);
        // The web seed has all that is wanted here.
        let web = scene.download(&file).args(["--proxy", &url, "-f", "2"]);
        web.run().expect(0);
        scene.torrent.assert_only(&scene.dir(), &[FROM_WEB]);
        scene.trap.assert_empty();
        let asked = proxy.requests();
        assert!(asked.contains("GET http://tracker.example"), "{asked}");
        assert!(!asked.contains("CONNECT files.example"), "{asked}");
    });
}

/// If the proxy refuses us or can't be reached, storrent tries three times and says why.
#[test]
fn a_proxy_that_is_no_help() {
    let name = "one_way_out::a_proxy_that_is_no_help";
    let kinds = [Kind::MicrosocksWithPassword, Kind::TinyproxyWithPassword];
    let programs = [&kinds.map(Kind::program), &TOOLS[..]].concat();
    isolated(name, &programs, || {
        let scene = Scene::new("");
        let address = host(PROXY.0);
        let fail = |url: &str| {
            scene.trap.set(&only_to_the_proxy());
            let runs = scene.sources().map(|source| {
                let dir = tempfile::tempdir_in(scene.temp.path()).unwrap().keep();
                let storrent = scene.trap.storrent().args(["--proxy", url, "-d"]);
                storrent.arg(dir).arg(source).start()
            });
            for run in runs {
                let end = run.wait().expect(1);
                assert!(end.stderr.contains(&address), "{end:#?}");
                assert!(!end.stderr.contains("canary"), "{end:#?}");
            }
            scene.trap.assert_empty();
            assert!(scene.trap.dials() >= 3 * 3, "three tries for each SOURCE");
        };
        fail(&format!("socks5://me:canary@{address}:{}", PROXY.1));
        for (kind, scheme) in kinds.into_iter().zip(["socks5", "http"]) {
            let _proxy = scene.proxy(kind);
            fail(&format!("{scheme}://me:canary@{address}:{}", PROXY.1));
        }
    });
}

/// A proxy goes away in the middle and comes back: the user reads it, and the download goes on.
#[test]
fn a_proxy_that_goes() {
    let (name, kind) = ("one_way_out::a_proxy_that_goes", Kind::Microsocks);
    isolated(name, &tools(kind.program()), || {
        let broken = Broken::new();
        let (home, address) = (broken.place.temp.path().join("proxy"), host(PROXY.0));
        let start = || RealProxy::start(kind, &home, NAMES, &address, PROXY.1);
        let proxy = start();
        broken.trap.set(&only_to_the_proxy());
        let mut running = broken.start(["--proxy", &kind.url(&address, PROXY.1)]);
        drop(proxy);
        running.event_where("progress", |told| names(told, &address));
        let _proxy = start();
        broken.mend(running);
    });
}

/// What may leave with `--bind`, besides packets `from` that address: the system's look-ups, and
/// its messages to the nearest router about groups (IGMP). A connection from inside the machine
/// wakes the listener at the end.
fn only_from(from: &str) -> [String; 4] {
    let inside = format!("oifname lo {}", from.replace("saddr", "daddr"));
    [
        from.into(),
        inside,
        "udp dport 53".into(),
        "ip protocol igmp".into(),
    ]
}

/// Whole downloads on a machine with two addresses of each family.
fn bound(name: &str, address: &str, allowed: &str) {
    isolated(name, &TOOLS, || {
        let scene = Scene::new(&[NAMES_V6, NAMES].concat());
        scene.trap.set(&only_from(allowed));
        let nodes = [
            format!("{}:6881", host(5)),
            format!("[{}]:6881", host_v6(5)),
        ];
        let (asked, other) = match address {
            SECOND => (&scene.udp, &scene.udp_v6),
            _ => (&scene.udp_v6, &scene.udp),
        };
        for (number, source) in scene.sources().iter().enumerate() {
            let download = scene.download(source).args(["--bind", address]);
            let download = download.args(nodes.iter().flat_map(|n| ["--dht-node", n]));
            let running = download.start();
            if number == 0 {
                // The seeds wait for the gate, so it runs.
                asked.next_event("started");
                scene.gate.open();
            }
            scene.finish(running);
            scene.trap.assert_empty();
            assert!(other.taken().is_empty());
        }
    });
}

#[test]
fn bound_to_an_ipv4_address() {
    let allowed = format!("ip saddr {SECOND}");
    bound("one_way_out::bound_to_an_ipv4_address", SECOND, &allowed);
}

#[test]
fn bound_to_an_ipv6_address() {
    let allowed = format!("ip6 saddr {SECOND_V6}");
    bound("one_way_out::bound_to_an_ipv6_address", SECOND_V6, &allowed);
}

/// The way to the proxy, too, begins at that address.
#[test]
fn bound_and_through_a_proxy() {
    let name = "one_way_out::bound_and_through_a_proxy";
    isolated(name, &tools(Kind::Microsocks.program()), || {
        let scene = Scene::new("");
        let _proxy = scene.proxy(Kind::Microsocks);
        scene.gate.open();
        let [only] = only_to_the_proxy();
        scene.trap.set(&[format!("ip saddr {SECOND} {only}")]);
        for source in scene.sources() {
            let url = Kind::Microsocks.url(&host(PROXY.0), PROXY.1);
            let download = scene.download(&source).args(["--proxy", &url]);
            scene.finish(download.args(["--bind", SECOND]).start());
            scene.trap.assert_empty();
        }
    });
}

/// A VPN drops and comes back: nothing is dialled from elsewhere, and the download goes on.
#[test]
fn the_address_goes_and_comes_back() {
    isolated(
        "one_way_out::the_address_goes_and_comes_back",
        &TOOLS,
        || {
            let broken = Broken::new();
            broken.trap.set(&only_from(&format!("ip saddr {SECOND}")));
            let mut running = broken.start(["--bind", SECOND]);
            let change = |what| {
                broken
                    .trap
                    .run(&format!("ip addr {what} {SECOND}/24 dev far"))
            };
            change("del");
            running.event_where("progress", |told| names(told, SECOND));
            change("add");
            broken.mend(running);
        },
    );
}

#[test]
fn an_address_of_another_machine() {
    isolated("one_way_out::an_address_of_another_machine", &TOOLS, || {
        let scene = Scene::new(NAMES);
        scene.trap.set(&[]);
        for address in [host(1), host_v6(1)] {
            for source in scene.sources() {
                let end = scene.download(&source).args(["--bind", &address]).run();
                let end = end.expect(1);
                assert!(end.stderr.contains(&address), "{end:#?}");
            }
        }
        scene.trap.assert_empty();
    });
}

/// HTTP, and nothing else, goes through the environment's proxies.
#[test]
fn proxies_of_the_environment() {
    let name = "one_way_out::proxies_of_the_environment";
    let kinds = [Kind::Squid, Kind::Microsocks];
    let programs = [&kinds.map(Kind::program), &TOOLS[..]].concat();
    isolated(name, &programs, || {
        let scene = Scene::new("");
        scene.gate.open();
        let [proxy] = only_to_the_proxy();
        let web = [1, 3].map(host).join(", ");
        let peers = format!("ip daddr != {{ {web} }} tcp dport != 53");
        let peers_v6 = format!("ip6 daddr {}", host_v6(2));
        let others = ["meta l4proto udp", "ip protocol igmp", "oifname lo"].map(String::from);
        let allowed = [&[proxy, peers, peers_v6], &others[..]].concat();
        for (kind, variable) in kinds.into_iter().zip(["http_proxy", "ALL_PROXY"]) {
            let proxy = scene.proxy(kind);
            let url = match kind {
                Kind::Squid => kind.url(&host(PROXY.0), PROXY.1),
                _ => format!("socks5h://{}:{}", host(PROXY.0), PROXY.1),
            };
            scene.trap.set(&allowed);
            for source in scene.sources() {
                let download = scene.download(&source).env(variable, &url);
                scene.finish(download.args(["--no-dht"]).start());
                scene.trap.assert_empty();
            }
            if kind == Kind::Squid {
                let asked = proxy.requests();
                for url in ["http://files.example/x.torrent", &scene.tracker_url] {
                    assert!(asked.contains(&format!("GET {url}")), "{asked}");
                }
                assert!(!asked.contains("CONNECT"), "{asked}");
            }
        }
    });
}

/// Hosts in `no_proxy` are asked directly: there is no proxy here. One that can't be used is an
/// error, never a request past it.
#[test]
fn no_proxy() {
    isolated("one_way_out::no_proxy", &TOOLS, || {
        let scene = Scene::new(NAMES);
        scene.gate.open();
        let [.., source] = scene.sources();
        let nobody = Kind::Squid.url(&host(PROXY.0), PROXY.1);
        let except = |names: &str| {
            let download = scene.download(&source).args(["--no-dht", "--no-lsd"]);
            download.env("http_proxy", &nobody).env("no_proxy", names)
        };
        scene.finish(except("localhost, .example").start());
        except("files.example.org, example.files").run().expect(1);
        scene.trap.set(&["oifname lo".into()]);
        let odd = scene.download(&source);
        let end = odd.env("ALL_PROXY", "socks4://198.51.100.4:1080").run();
        assert!(end.expect(1).stderr.contains("ALL_PROXY"));
        scene.trap.assert_empty();
    });
}

/// Proves the trap: without the options above, it notes all that they prevent.
#[test]
fn what_goes_astray_is_noted() {
    isolated("one_way_out::what_goes_astray_is_noted", &TOOLS, || {
        let scene = Scene::new(&[NAMES_V6, NAMES].concat());
        scene.trap.set(&only_to_the_proxy());
        let [file, ..] = scene.sources();
        let node = format!("{}:6881", host(5));
        let download = scene.download(&file).args(["--dht-node", &node]);
        let running = download.start();
        scene
            .seed
            .wait(|note| matches!(note, Note::Hello(_)).then_some(()));
        assert_ne!(scene.trap.run("ss -Hlnt"), "", "a listener");
        let port = |url: &str| url.rsplit([':', '/']).nth(1).unwrap().to_owned();
        for (from, to, protocol, port) in [
            (FIRST, host(1), "17", port(&scene.udp.url)),
            (FIRST_V6, host_v6(1), "17", port(&scene.udp_v6.url)),
            (FIRST, host(2), "6", scene.seed.addr.port().to_string()),
            (FIRST, "239.192.152.143".into(), "17", "6771".into()),
            (FIRST, host(5), "17", "6881".into()),
            (FIRST_V6, host_v6(3), "6", "80".into()),
        ] {
            let packet = format!("{from} . {to} . {protocol} . {port}");
            scene.trap.wait_caught(&packet);
        }
        scene.gate.open();
        scene.finish(running);
    });
}
