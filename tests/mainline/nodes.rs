//! Ten DHT nodes of the `mainline` crate on loopback, for the tests in `tests/whole/dht.rs`. They
//! live until standard input ends.
//!
//! The first line of the output names the nodes' addresses. Then each line of the input is a
//! question to one node, given by its number, and is answered by one line:
//!
//! ```text
//! announce 3 INFOHASH PORT    the peer at 127.0.0.1:PORT has the torrent; answer: done
//! peers 5 INFOHASH            answer: the addresses of the peers that the node finds
//! ```

// The blocking interface of the crate's nodes is deprecated, and the other needs a runtime.
#![allow(deprecated)]

use mainline::{Id, Testnet};
use std::error::Error;
use std::io::{Write, stdin, stdout};

fn main() -> Result<(), Box<dyn Error>> {
    let net = Testnet::builder(10).build()?;
    say(&net.bootstrap.join(" "))?;
    for line in stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["announce", node, hash, port] => {
                net.nodes[node.parse::<usize>()?].announce_peer(id(hash)?, Some(port.parse()?))?;
                say("done")?;
            }
            ["peers", node, hash] => {
                let peers = net.nodes[node.parse::<usize>()?]
                    .get_peers(id(hash)?)
                    .flatten();
                let peers: Vec<String> = peers.map(|peer| peer.to_string()).collect();
                say(&peers.join(" "))?;
            }
            _ => return Err(format!("what is {line:?}?").into()),
        }
    }
    Ok(())
}

/// Reads 40 hex digits.
fn id(hash: &str) -> Result<Id, Box<dyn Error>> {
    Ok(hash.parse()?)
}

fn say(line: &str) -> Result<(), Box<dyn Error>> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
