//! The messages of the DHT as bytes: KRPC ([BEP 5], [BEP 32], [BEP 43]).
//!
//! A node sends another a query in one UDP datagram, and the other answers in one. Each is a
//! bencoded dictionary:
//!
//! ```text
//! query    t   transaction: any bytes, which the answer repeats
//!          y   "q"
//!          q   "get_peers", "announce_peer", ...
//!          a   arguments: id (the asker's), info_hash, ...
//!          ro  1: the asker answers no queries itself
//! answer   t   the query's
//!          y   "r", or "e" for a refusal
//!          r   id (the answerer's), and what it knows:
//!                nodes   26 bytes each: <20: id> <4: IPv4> <2: port>
//!                nodes6  38 bytes each: <20: id> <16: IPv6> <2: port>
//!                values  a list of peers: <4: IPv4> <2: port> or <16: IPv6> <2: port>
//!                token   to be shown when we announce ourselves
//! ```
//!
//! We need two of the four queries. `ping` and `find_node` are for nodes that keep a table of the
//! whole network; the answer to `get_peers` contains nodes, too.
//!
//! No I/O. Anybody can send us a datagram, so its size is bounded, it is parsed in place, and
//! whatever makes no sense is skipped.
//!
//! [BEP 5]: https://www.bittorrent.org/beps/bep_0005.html
//! [BEP 32]: https://www.bittorrent.org/beps/bep_0032.html
//! [BEP 43]: https://www.bittorrent.org/beps/bep_0043.html

use crate::address::unpack;
use crate::bencode::{self, MESSAGE_DEPTH, Raw};
use crate::types::InfoHash;
use std::net::SocketAddr;

/// The longest datagram that we read, in bytes. BEP 32 allows 1,024; some nodes send twice as many.
pub const MAX_DATAGRAM: usize = 4096;

/// The most nodes that we take from one answer: as many as it should contain.
const MAX_NODES: usize = 8;

/// The most peers that we take from one answer: as many as libtorrent sends.
const MAX_PEERS: usize = 100;

/// The longest token that we keep, in bytes. Usual ones have 4 to 20.
const MAX_TOKEN: usize = 128;

/// Links an answer to its query. Some nodes accept no other length than 4 bytes.
pub(crate) type Transaction = [u8; 4];

/// The id of a node: 160 random bits, from the same space as the info hashes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NodeId(pub [u8; 20]);

/// The distance from a node to an info hash: the XOR of both, read as a large number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Distance(pub [u8; 20]);

impl NodeId {
    /// Draws a new id.
    pub fn random(rng: &mut fastrand::Rng) -> Self {
        let mut id = [0; 20];
        rng.fill(&mut id);
        Self(id)
    }

    /// Returns the distance to `target`.
    pub fn distance(&self, target: &InfoHash) -> Distance {
        Distance(std::array::from_fn(|i| self.0[i] ^ target.0[i]))
    }
}

/// A node: its id and its address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Contact {
    /// Its id.
    pub id: NodeId,
    /// Where it takes queries, over UDP.
    pub addr: SocketAddr,
}

/// Writes the query "Which peers have this torrent?".
pub(crate) fn get_peers(transaction: Transaction, ours: &NodeId, info_hash: &InfoHash) -> Vec<u8> {
    let arguments = [(&b"info_hash"[..], Argument::Bytes(&info_hash.0))];
    query(b"get_peers", transaction, ours, &arguments)
}

/// Writes the announce "We have this torrent, and accept peers on this TCP `port`." `token`, from
/// the node's answer to [`get_peers`], proves that the announce comes from the address that it
/// claims.
pub(crate) fn announce_peer(
    transaction: Transaction,
    ours: &NodeId,
    info_hash: &InfoHash,
    port: u16,
    token: &[u8],
) -> Vec<u8> {
    let arguments = [
        (&b"info_hash"[..], Argument::Bytes(&info_hash.0)),
        (b"port", Argument::Number(port)),
        (b"token", Argument::Bytes(token)),
    ];
    query(b"announce_peer", transaction, ours, &arguments)
}

enum Argument<'a> {
    Bytes(&'a [u8]),
    Number(u16),
}

/// Writes a query. The keys of a dictionary are sorted, so `arguments` must be, and all of them
/// must come after `id`.
fn query(
    method: &[u8],
    transaction: Transaction,
    ours: &NodeId,
    arguments: &[(&[u8], Argument)],
) -> Vec<u8> {
    fn string(out: &mut Vec<u8>, bytes: &[u8]) {
        out.extend(format!("{}:", bytes.len()).bytes());
        out.extend(bytes);
    }
    let mut out = b"d1:ad2:id".to_vec();
    string(&mut out, &ours.0);
    for (key, value) in arguments {
        string(&mut out, key);
        match value {
            Argument::Bytes(bytes) => string(&mut out, bytes),
            Argument::Number(number) => out.extend(format!("i{number}e").bytes()),
        }
    }
    out.extend(b"e1:q");
    string(&mut out, method);
    out.extend(b"2:roi1e1:t");
    string(&mut out, &transaction);
    out.extend(b"1:y1:qe");
    out
}

/// The content of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The id of the node that answers.
    pub id: NodeId,
    /// The token for [`announce_peer`], if the node takes announces.
    pub token: Option<Vec<u8>>,
    /// Peers that have the torrent or want it, of either address family.
    pub peers: Vec<SocketAddr>,
    /// Nodes nearer to the info hash, of the query's address family.
    pub nodes: Vec<Contact>,
}

/// Reads an answer. Returns its transaction and its content, or no content for a refusal. Returns
/// `None` for anything else: a query, an answer to a query not ours, or nonsense. `v6`: it came
/// over IPv6.
pub fn decode(datagram: &[u8], v6: bool) -> Option<(Transaction, Option<Reply>)> {
    let message = bencode::scan(datagram, MESSAGE_DEPTH).ok()?;
    let transaction = Transaction::try_from(get(message, b"t")?.string()?).ok()?;
    match get(message, b"y")?.string()? {
        b"e" => Some((transaction, None)),
        b"r" => Some((transaction, Some(reply(get(message, b"r")?, v6)?))),
        _ => None,
    }
}

fn reply(body: Raw, v6: bool) -> Option<Reply> {
    let id = <[u8; 20]>::try_from(get(body, b"id")?.string()?).ok()?;
    let (key, len): (&[u8], _) = if v6 { (b"nodes6", 38) } else { (b"nodes", 26) };
    let nodes = get(body, key).and_then(Raw::string).unwrap_or_default();
    let contact = |node: &[u8]| {
        let (id, compact) = node.split_first_chunk::<20>()?;
        let addr = unpack(compact).filter(|addr| addr.is_ipv6() == v6)?;
        let id = NodeId(*id);
        Some(Contact { id, addr })
    };
    let values = get(body, b"values").and_then(Raw::list);
    let values = values.into_iter().flatten().take(MAX_PEERS);
    Some(Reply {
        id: NodeId(id),
        token: get(body, b"token")
            .and_then(Raw::string)
            .filter(|token| token.len() <= MAX_TOKEN)
            .map(<[u8]>::to_vec),
        peers: values.filter_map(|value| unpack(value.string()?)).collect(),
        nodes: nodes
            .chunks_exact(len)
            .take(MAX_NODES)
            .filter_map(contact)
            .collect(),
    })
}

fn get<'a>(dict: Raw<'a>, key: &[u8]) -> Option<Raw<'a>> {
    let mut entries = dict.dict()?;
    Some(entries.find(|entry| entry.0 == key)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: NodeId = NodeId(*b"abcdefghij0123456789");
    const HASH: InfoHash = InfoHash(*b"mnopqrstuvwxyz123456");

    #[test]
    fn queries_as_in_the_bep() {
        assert_eq!(
            get_peers(*b"aaaa", &OURS, &HASH).escape_ascii().to_string(),
            "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e\
             1:q9:get_peers2:roi1e1:t4:aaaa1:y1:qe"
        );
        let announce = announce_peer(*b"aaaa", &OURS, &HASH, 6881, b"aoeusnth");
        assert_eq!(
            announce.escape_ascii().to_string(),
            "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456\
             4:porti6881e5:token8:aoeusnthe1:q13:announce_peer2:roi1e1:t4:aaaa1:y1:qe"
        );
        // They are valid bencode, whatever the bytes.
        let query = announce_peer([255; 4], &NodeId([128; 20]), &HASH, 1, &[b'e'; 30]);
        assert!(bencode::scan(&query, 2).is_ok());
    }

    /// An answer that contains `inside`.
    fn answer(inside: &[u8]) -> Vec<u8> {
        let (head, tail) = (
            &b"d1:rd2:id20:0123456789abcdefghij"[..],
            &b"e1:t4:aaaa1:y1:re"[..],
        );
        [head, inside, tail].concat()
    }

    fn read(inside: &[u8], v6: bool) -> Reply {
        let (transaction, reply) = decode(&answer(inside), v6).unwrap();
        assert_eq!(transaction, *b"aaaa");
        reply.unwrap()
    }

    #[test]
    fn answers_as_in_the_bep() {
        let reply = read(b"5:token8:aoeusnth6:valuesl6:axje.u6:idhtnme", false);
        assert_eq!(reply.id, NodeId(*b"0123456789abcdefghij"));
        assert_eq!(reply.token.as_deref(), Some(&b"aoeusnth"[..]));
        let peers = ["97.120.106.101:11893", "105.100.104.116:28269"];
        assert_eq!(reply.peers, peers.map(|peer| peer.parse().unwrap()));
        // The BEP's example has a string of 9 bytes here.
        assert_eq!(read(b"5:nodes9:def456...", false).nodes, []);
        let contact = Contact {
            id: OURS,
            addr: "97.120.106.101:11893".parse().unwrap(),
        };
        let node = b"5:nodes26:abcdefghij0123456789axje.u";
        assert_eq!(read(node, false).nodes, [contact]);
        let refusal = b"d1:eli201e23:A Generic Error Ocurrede1:t4:aaaa1:y1:ee";
        assert_eq!(decode(refusal, false), Some((*b"aaaa", None)));
        let left_over = [&refusal[..], b"\0\0"].concat();
        assert_eq!(decode(&left_over, false), Some((*b"aaaa", None)));
    }

    #[test]
    fn both_families() {
        let six = b"6:nodes638:abcdefghij0123456789\x20\x01\x0d\xb8abcdefghijkl\x1a\xe1";
        let four = b"5:nodes26:abcdefghij0123456789axje.u";
        let both = [&four[..], six].concat();
        assert!(
            read(&both, false)
                .nodes
                .iter()
                .all(|node| node.addr.is_ipv4())
        );
        let nodes = read(&both, true).nodes;
        assert_eq!(nodes.len(), 1);
        assert_eq!(nodes[0].addr.port(), 6881);
        assert!(nodes[0].addr.is_ipv6());
        let mixed = b"6:valuesl6:axje.u18:\x20\x01\x0d\xb8abcdefghijkl\x1a\xe17:sevenssi5ee";
        assert_eq!(read(mixed, false).peers.len(), 2);
    }

    #[test]
    fn what_is_no_answer() {
        let cases: [&[u8]; 9] = [
            b"",
            b"le",
            b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t4:aaaa1:y1:qe",
            b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re", // no transaction of ours
            b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t4:aaaae",
            b"d1:rd2:id19:mnopqrstuvwxyz12345e1:t4:aaaa1:y1:re",
            b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t4:aaaa1:y1:r",
            b"d1:rle1:t4:aaaa1:y1:re",
            b"d1:t4:aaaa1:y1:re",
        ];
        for case in cases {
            assert_eq!(decode(case, false), None, "{}", case.escape_ascii());
        }
        assert_eq!(decode(&[b'l'; MAX_DATAGRAM], false), None);
    }

    #[test]
    fn too_much_is_cut_and_nonsense_left_out() {
        let node = b"abcdefghij0123456789axje.u";
        let nodes = [&b"5:nodes2600:"[..], &node.repeat(100)].concat();
        assert_eq!(read(&nodes, false).nodes.len(), MAX_NODES);
        let values = [&b"6:valuesl"[..], &b"6:axje.u".repeat(400), b"e"].concat();
        assert_eq!(read(&values, false).peers.len(), MAX_PEERS);
        let token = [&b"5:token200:"[..], &[b'x'; 200]].concat();
        assert_eq!(read(&token, false).token, None);
        let nowhere = b"5:nodes52:abcdefghij0123456789axje\0\0abcdefghij0123456789\0\0\0\0.u";
        assert_eq!(read(nowhere, false).nodes, []);
        assert_eq!(read(b"6:valuesl6:\xe0xje.u6:axje\0\0e", false).peers, []);
        let other_kinds = b"5:nodesle5:tokeni5e6:values3:abc";
        let reply = read(other_kinds, false);
        assert_eq!(
            (reply.token, reply.peers, reply.nodes),
            (None, vec![], vec![])
        );
    }

    #[test]
    fn near_and_far() {
        let near = NodeId(HASH.0);
        assert!(near.distance(&HASH) < OURS.distance(&HASH));
        assert_eq!(near.distance(&HASH), Distance([0; 20]));
        let (mut high, mut low) = (HASH.0, HASH.0);
        high[0] ^= 1;
        low[19] ^= 255;
        assert!(NodeId(low).distance(&HASH) < NodeId(high).distance(&HASH));
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300), v6: bool) {
            decode(&noise, v6);
            decode(&answer(&noise), v6);
        }
    }
}
