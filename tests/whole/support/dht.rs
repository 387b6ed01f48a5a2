//! Scripted nodes of the DHT that remember their queries ([BEP 5]).
//!
//! [BEP 5]: https://www.bittorrent.org/beps/bep_0005.html

use super::PATIENCE;
use super::bencode::{Value, dict};
use super::sha1;
use crossbeam_channel::{Receiver, unbounded};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread;

/// A query to a node.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub from: SocketAddr,
    /// `get_peers`, `announce_peer`, ...
    pub method: String,
    pub info_hash: Vec<u8>,
    /// The announced port.
    pub port: Option<i64>,
    /// The token from the answer to `get_peers`.
    pub token: Option<Vec<u8>>,
    /// Whether the sender answers no queries itself (BEP 43).
    pub read_only: bool,
    transaction: Value,
}

impl Query {
    fn read(datagram: &[u8], from: SocketAddr) -> Option<Self> {
        let (message, _) = Value::decode(datagram)?;
        let text = |value: &Value| String::from_utf8(value.bytes()?.to_vec()).ok();
        let arguments = message.get("a")?;
        let bytes = |key| Some(arguments.get(key)?.bytes()?.to_vec());
        Some(Self {
            from,
            method: text(message.get("q")?)?,
            info_hash: bytes("info_hash")?,
            port: arguments.get("port").and_then(Value::int),
            token: bytes("token"),
            read_only: message.get("ro").and_then(Value::int) == Some(1),
            transaction: message.get("t")?.clone(),
        })
    }

    /// The answer of the node `id` that knows these peers and nodes.
    pub(crate) fn answer(
        &self,
        id: [u8; 20],
        peers: &[SocketAddr],
        nodes: &[SocketAddr],
    ) -> Vec<u8> {
        let node =
            |addr: &SocketAddr| [&sha1(addr.to_string().as_bytes())[..], &compact(*addr)].concat();
        let nodes: Vec<u8> = nodes.iter().flat_map(node).collect();
        let values: Vec<Value> = peers.iter().map(|p| compact(*p)[..].into()).collect();
        let mut reply = dict([
            ("id", id[..].into()),
            ("nodes", nodes[..].into()),
            ("token", "token".into()),
        ]);
        if let (Value::Dict(entries), false) = (&mut reply, values.is_empty()) {
            entries.insert(b"values".to_vec(), values.into());
        }
        let message = [
            ("t", self.transaction.clone()),
            ("y", "r".into()),
            ("r", reply),
        ];
        dict(message).encode()
    }
}

fn compact(addr: SocketAddr) -> Vec<u8> {
    let IpAddr::V4(ip) = addr.ip() else {
        panic!("{addr} is IPv6")
    };
    [&ip.octets()[..], &addr.port().to_be_bytes()].concat()
}

/// A node on loopback; lives as long as the test's process.
pub(crate) struct FakeNode {
    pub addr: SocketAddr,
    queries: Receiver<Query>,
}

impl FakeNode {
    /// Sends these datagrams for each query.
    pub(crate) fn start(answer: impl Fn(&Query) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        let (sender, queries) = unbounded();
        thread::spawn(move || {
            let mut buffer = [0; 2000];
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                let Some(query) = Query::read(&buffer[..len], from) else {
                    continue;
                };
                let datagrams = answer(&query);
                // Noted before it is answered.
                let _ = sender.send(query);
                for datagram in datagrams {
                    let _ = socket.send_to(&datagram, from);
                }
            }
        });
        Self { addr, queries }
    }

    /// A well-behaved one that knows these peers of any torrent.
    pub(crate) fn knowing(peers: Vec<SocketAddr>) -> Self {
        Self::start(move |query| vec![query.answer([7; 20], &peers, &[])])
    }

    #[track_caller]
    pub(crate) fn wait(&self, method: &str) -> Query {
        loop {
            let query = self.queries.recv_timeout(PATIENCE);
            let query = query.expect("the node should be asked");
            if query.method == method {
                return query;
            }
        }
    }

    /// Returns the queries that nobody waited for.
    pub(crate) fn asked(&self) -> Vec<Query> {
        self.queries.try_iter().collect()
    }
}
