//! Peers by the DHT: scripted nodes, a network of the `mainline` crate's nodes on loopback, and
//! libtorrent's; nodes that lie, and no network at all.

use crate::support::bencode::Value;
use crate::support::clients::Process;
use crate::support::content::Spec;
use crate::support::dht::FakeNode;
use crate::support::mainline::Testnet;
use crate::support::network::{OURS, THEIRS, TRACKER, isolated};
use crate::support::peer::{FakePeer, Seed};
use crate::support::place::Place;
use crate::support::program::Storrent;
use crate::support::until;
use crate::support::wire::{Handshake, Message, Note, PLAIN};
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// Nobody listens here. With this node, no public node is asked.
const NOBODY: &str = "127.0.0.1:1";

/// Finds peers by the DHT only, beginning at these nodes.
fn by_dht(program: Storrent, nodes: &[&str]) -> Storrent {
    let nodes = nodes.iter().flat_map(|node| ["--dht-node", node]);
    let program = program.args(["--json", "--no-lsd", "--no-pex", "-p", "0"]);
    program.args(["--bind", "127.0.0.1"]).args(nodes)
}

fn download(place: &Place, nodes: &[&str]) -> Storrent {
    by_dht(Storrent::new(), nodes).arg("-d").arg(place.dir())
}

fn place() -> Place {
    Place::new(Spec::single("x", 300_000))
}

fn seed(place: &Place) -> FakePeer {
    Seed::of(&place.torrent).start()
}

#[test]
fn a_node_names_the_peer_and_hears_of_us() {
    let place = place();
    let node = FakeNode::knowing(vec![seed(&place).addr]);
    let mut run = download(&place, &[&node.addr.to_string()])
        .arg("--seed")
        .arg(place.file())
        .start();
    let port = run.address().port();
    run.event("complete");
    place.torrent.assert_whole(&place.dir());
    let asked = node.wait("get_peers");
    assert_eq!(asked.info_hash, place.torrent.info_hash);
    assert!(asked.read_only);
    let told = node.wait("announce_peer");
    assert_eq!(told.info_hash, place.torrent.info_hash);
    assert_eq!(told.port, Some(port.into()));
    assert_eq!(told.token.as_deref(), Some(&b"token"[..]));
    assert_eq!(told.from.port(), port, "the UDP port is the TCP port");
    assert!(told.read_only);
    run.kill(Signal::INT);
    run.wait().expect(130);
}

#[test]
fn a_magnet_link_is_enough() {
    let place = place();
    let seed = Seed::of(&place.torrent)
        .speaking(crate::support::wire::EXTENDED)
        .start();
    let node = FakeNode::knowing(vec![seed.addr]);
    let node_addr = node.addr.to_string();
    download(&place, &[&node_addr])
        .arg(place.torrent.magnet())
        .run()
        .expect(0);
    place.torrent.assert_whole(&place.dir());
    let show = Storrent::new().args(["show", "--json", "--no-lsd", "--dht-node", &node_addr]);
    let shown = show.arg(place.torrent.magnet()).run().expect(0).json();
    assert_eq!(shown["info_hash"], place.torrent.hex());
}

#[test]
fn the_torrent_names_the_node() {
    let place = place();
    let node = FakeNode::knowing(vec![seed(&place).addr]);
    let (mut torrent, _) = Value::decode(&place.torrent.metainfo).unwrap();
    let Value::Dict(entries) = &mut torrent else {
        panic!()
    };
    let port = i64::from(node.addr.port());
    let nodes = [("127.0.0.1", port), ("localhost", port), ("", 0)];
    let pair = |(host, port): (&str, i64)| vec![host.into(), port.into()].into();
    entries.insert(b"nodes".to_vec(), nodes.map(pair).to_vec().into());
    let file = place.temp.path().join("with nodes.torrent");
    fs::write(&file, torrent.encode()).unwrap();
    download(&place, &[NOBODY]).arg(file).run().expect(0);
    place.torrent.assert_whole(&place.dir());
}

#[test]
fn a_peer_names_its_node() {
    let place = place();
    let node = FakeNode::knowing(vec![seed(&place).addr]);
    let (port, hash) = (node.addr.port(), place.torrent.info_hash);
    // It gives nothing but the port of its node.
    let peer = FakePeer::start(move |wire| {
        let theirs = wire.answer(Handshake::new(hash, PLAIN))?;
        assert_eq!(theirs.reserved[7] & 1, 1, "we take part in the DHT");
        wire.send(&Message::Port(port))?;
        let said = wire.until_closed()?;
        let port = said
            .iter()
            .find(|message| matches!(message, Message::Port(_)));
        assert_eq!(port, None, "who answers no queries names no node");
        Ok(())
    });
    let run = download(&place, &[NOBODY]).peers(&[peer.addr]);
    run.arg(place.file()).run().expect(0);
    place.torrent.assert_whole(&place.dir());
    peer.wait_played();
}

/// Completes from a seed, and stays until the node is `asked`, or long enough that it would be.
/// Returns what the seed heard first.
fn with_a_node(place: &Place, options: &[&str], asked: bool) -> Handshake {
    let seed = seed(place);
    let node = FakeNode::knowing(vec![]);
    let node_addr = node.addr.to_string();
    let run = download(place, &[&node_addr]).args(options);
    let run = run.arg("--seed").peers(&[seed.addr]).arg(place.file());
    let mut run = run.start();
    run.event("complete");
    if asked {
        node.wait("get_peers");
    } else {
        run.event("progress");
        run.event("progress"); // a second has passed
        assert!(node.asked().is_empty());
    }
    run.kill(Signal::INT);
    run.wait().expect(130);
    let hello = seed.notes().into_iter().find_map(|note| match note {
        Note::Hello(hello) => Some(hello),
        _ => None,
    });
    hello.unwrap()
}

#[test]
fn private_or_switched_off_nobody_is_asked() {
    let private = || Place::new(Spec::single("x", 300_000).private());
    let cases = [
        (place(), &[][..], true),
        (place(), &["--no-dht"], false),
        (private(), &[], false),
    ];
    for (place, options, expected) in cases {
        let hello = with_a_node(&place, options, expected);
        assert_eq!(hello.reserved[7] & 1 == 1, expected);
    }
}

#[test]
fn a_name_that_nobody_knows_is_said() {
    let place = place();
    let node = FakeNode::knowing(vec![seed(&place).addr]);
    let port = node.addr.port();
    let (wrong, right) = ("x".repeat(70) + ":6881", format!("localhost:{port}"));
    let mut run = download(&place, &[&wrong, &right])
        .arg(place.file())
        .arg("--seed")
        .start();
    run.event("complete");
    let warning = run.event("warning");
    let message = warning["message"].as_str().unwrap();
    assert!(
        message.contains("xxx:6881") && message.contains("DHT"),
        "{message}"
    );
    run.kill(Signal::INT);
    run.wait().expect(130);
}

#[test]
fn nodes_that_lie_do_no_harm() {
    let place = place();
    let seed = seed(&place);
    let honest = FakeNode::knowing(vec![seed.addr]);
    let liar = FakeNode::start(|query| {
        let id = query.info_hash[..].try_into().unwrap(); // no node can be nearer
        let ghosts: Vec<SocketAddr> = (0..100)
            .map(|n| SocketAddr::from(([127, 0, 0, 1], 1025 + n)))
            .collect();
        let nowhere: Vec<SocketAddr> = ["0.0.0.0:7000", "127.0.0.1:0", "127.0.0.1:22"]
            .map(|addr| addr.parse().unwrap())
            .into();
        let right = query.answer(id, &nowhere, &ghosts);
        let mut cut = right.clone();
        cut.truncate(60);
        let nested = vec![b'l'; 1400];
        let mut flood = vec![cut, nested, b"d1:t4:aaaa1:y1:re".to_vec(), vec![]];
        flood.extend(vec![right; 50]);
        flood
    });
    let nodes = [liar.addr.to_string(), honest.addr.to_string()];
    let nodes = [&nodes[0][..], &nodes[1]];
    download(&place, &nodes).arg(place.file()).run().expect(0);
    place.torrent.assert_whole(&place.dir());
}

#[test]
fn through_a_network_of_nodes() {
    let Some(mut net) = Testnet::start("dht::through_a_network_of_nodes") else {
        return;
    };
    let place = place();
    net.announce(3, &place.torrent.hex(), seed(&place).addr.port());
    download(&place, &[&net.nodes[0]])
        .arg(place.file())
        .run()
        .expect(0);
    place.torrent.assert_whole(&place.dir());
}

#[test]
fn two_of_us_find_each_other() {
    let Some(mut net) = Testnet::start("dht::two_of_us_find_each_other") else {
        return;
    };
    let place = place();
    let there = place.temp.path().join("there");
    place.torrent.write(&there);
    let mut seeding = by_dht(Storrent::new().arg("seed"), &[&net.nodes[0]])
        .arg("-d")
        .arg(&there)
        .arg(place.file())
        .start();
    let port = seeding.address().port();
    let known = || {
        let peers = net.peers(5, &place.torrent.hex());
        peers.iter().any(|peer| peer.port() == port)
    };
    assert!(until(known), "it never announced itself");
    download(&place, &[&net.nodes[9]])
        .arg(place.file())
        .run()
        .expect(0);
    place.torrent.assert_whole(&place.dir());
    seeding.kill(Signal::INT);
    seeding.wait().expect(130);
}

#[test]
fn without_a_network_nothing_is_held_up_or_said() {
    isolated(
        "dht::without_a_network_nothing_is_held_up_or_said",
        &["ip"],
        || {
            let place = place();
            let seed = seed(&place);
            let run = || {
                let run = by_dht(Storrent::new(), &[]).arg("-d").arg(place.dir());
                run.peers(&[seed.addr]).arg(place.file())
            };
            let end = run().run().expect(0);
            assert!(
                end.all("warning").is_empty() && end.stderr.is_empty(),
                "{end:?}"
            );
            // The run can be interrupted during the look-up of names.
            fs::remove_dir_all(place.dir()).unwrap();
            let mut run = by_dht(Storrent::new(), &[])
                .args(["-v", "-d"])
                .arg(place.dir())
                .arg(place.file())
                .start();
            run.event("progress");
            run.kill(Signal::INT);
            run.wait().expect(130);
        },
    );
}

/// Starts a libtorrent on `address`:`port` that enters the DHT by `node`. It has the torrent `file`
/// in the folder `dir`, or fetches it.
fn libtorrent(
    home: &Path,
    (address, port): (&str, u16),
    node: &str,
    torrent: Option<(&Path, &Path)>,
) -> Process {
    const SCRIPT: &str = r#"
import signal, sys
import libtorrent as lt
listen, node, *torrent = sys.argv[1:]
session = lt.session({
    "listen_interfaces": listen, "outgoing_interfaces": listen.split(":")[0],
    "enable_dht": True, "dht_bootstrap_nodes": node, "enable_lsd": False,
    "enable_upnp": False, "enable_natpmp": False,
    "enable_outgoing_utp": False, "enable_incoming_utp": False,
    "dht_restrict_routing_ips": False, "dht_restrict_search_ips": False,
    "dht_ignore_dark_internet": False,
    "alert_mask": lt.alert.category_t.all_categories,
})
if torrent:
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(torrent[0])
    params.save_path = torrent[1]
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    handle = session.add_torrent(params)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    session.wait_for_alert(500)
    for alert in session.pop_alerts():
        print(type(alert).__name__, alert.message(), flush=True)
        # By itself it asks once, perhaps before it knows a node, and then not for minutes.
        if torrent and isinstance(alert, lt.dht_bootstrap_alert):
            handle.force_dht_announce()
"#;
    let script = home.join("dht.py");
    fs::write(&script, SCRIPT).unwrap();
    let mut command = Command::new("/usr/bin/python3");
    command
        .arg(script)
        .arg(format!("{address}:{port}"))
        .arg(node);
    if let Some((file, dir)) = torrent {
        command.args([file, dir]);
    }
    let log = home.join(format!("log {port}"));
    Process::start(command.current_dir(home), &log)
}

/// Runs in the network of the test, and enters the DHT by the node at [`TRACKER`].
fn ours(program: Storrent, dir: &Path) -> Storrent {
    let program = program.args([
        "-vv", "--json", "--no-lsd", "--no-pex", "--bind", OURS, "-p", "7003",
    ]);
    let node = format!("{TRACKER}:7001");
    program.args(["--dht-node", &node, "-d"]).arg(dir)
}

#[test]
fn a_libtorrent_seed_is_found() {
    isolated(
        "dht::a_libtorrent_seed_is_found",
        &["python3-libtorrent", "ip"],
        || {
            let place = place();
            let there = place.temp.path().join("there");
            place.torrent.write(&there);
            let node = libtorrent(place.temp.path(), (TRACKER, 7001), "", None);
            node.wait_said("listening on");
            let torrent = Some((&*place.file(), &*there));
            let entrance = format!("{TRACKER}:7001");
            let _seed = libtorrent(place.temp.path(), (THEIRS, 7002), &entrance, torrent);
            node.wait_said("dht_announce_alert");
            let run = ours(Storrent::new(), &place.dir());
            run.arg(place.file()).run().expect(0);
            place.torrent.assert_whole(&place.dir());
            // The same from a magnet link.
            let by_link = place.temp.path().join("by link");
            let run = ours(Storrent::new(), &by_link);
            run.arg(place.torrent.magnet()).run().expect(0);
            place.torrent.assert_whole(&by_link);
        },
    );
}

#[test]
fn a_libtorrent_leech_finds_us() {
    isolated(
        "dht::a_libtorrent_leech_finds_us",
        &["python3-libtorrent", "ip"],
        || {
            let place = place();
            let (here, there) = (
                place.temp.path().join("here"),
                place.temp.path().join("there"),
            );
            place.torrent.write(&here);
            let node = libtorrent(place.temp.path(), (TRACKER, 7001), "", None);
            node.wait_said("listening on");
            let _us = ours(Storrent::new().arg("seed"), &here)
                .arg(place.file())
                .start();
            node.wait_said("dht_announce_alert");
            let torrent = Some((&*place.file(), &*there));
            let entrance = format!("{TRACKER}:7001");
            let leech = libtorrent(place.temp.path(), (THEIRS, 7002), &entrance, torrent);
            leech.wait_said("torrent_finished_alert");
            leech.stop();
            place.torrent.assert_bytes(&there);
        },
    );
}
