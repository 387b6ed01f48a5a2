//! A machine whose every packet is looked at as it leaves, and the internet that it is connected
//! to: for [`isolated`](super::network::isolated) tests only.
//!
//! The test itself is the internet: the machine can reach what it starts on [`host`] addresses,
//! over IPv4 and IPv6. storrent runs on the machine ([`Trap::storrent`]). The machine's default
//! routes lead to the internet, whatever the address: a forbidden packet must be seen before it
//! fails for want of a way.
//!
//! The kernel's packet filter (nftables) looks: it misses nothing, and notes source, target and
//! port of what is not allowed.

use super::network::{Cable, FAR, Neighbour};
use super::program::Storrent;
use super::until;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

pub(crate) const TOOLS: [&str; 5] = ["ip", "unshare", "nsenter", "nft", "ss"];

/// The machine's first IPv4 address, from which it sends by default.
pub(crate) const FIRST: &str = FAR;
/// Its second one.
pub(crate) const SECOND: &str = "10.78.0.9";
/// Its first IPv6 address, from which it sends by default.
pub(crate) const FIRST_V6: &str = "2001:db8:1::2";
/// Its second one.
pub(crate) const SECOND_V6: &str = "2001:db8:1::9";

/// A host of the internet, by a number from 1 to 5: an address reserved for examples.
pub(crate) fn host(number: u8) -> String {
    format!("198.51.100.{number}")
}

/// The same host's IPv6 address.
pub(crate) fn host_v6(number: u8) -> String {
    format!("2001:db8::{number}")
}

/// The machine. It ends when this is dropped.
pub(crate) struct Trap {
    machine: Neighbour,
    temp: TempDir,
}

impl Trap {
    /// Makes the machine. It knows only the names of `hosts`, lines of `/etc/hosts`. Nothing is
    /// looked at yet.
    pub(crate) fn new(hosts: &str) -> Self {
        let (machine, temp) = (Neighbour::new(Cable::V4), tempfile::tempdir().unwrap());
        let trap = Self { machine, temp };
        fs::write(trap.hosts(), hosts).unwrap();
        shell(
            Command::new("sh"),
            "ip addr add 2001:db8:1::1/64 dev near nodad && for host in 1 2 3 4 5; do \
             ip addr add 198.51.100.$host/32 dev lo && ip addr add 2001:db8::$host/128 dev lo nodad; done",
        );
        let gateway = super::network::NEAR;
        trap.run(&format!(
            "ip addr add {SECOND}/24 dev far && ip route add default via {gateway} && \
             ip addr add {SECOND_V6}/64 dev far nodad preferred_lft 0 && \
             ip addr add {FIRST_V6}/64 dev far nodad && \
             ip route add default via 2001:db8:1::1"
        ));
        trap
    }

    fn hosts(&self) -> PathBuf {
        self.temp.path().join("hosts")
    }

    pub(crate) fn storrent(&self) -> Storrent {
        let enter = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        let mut starter = self.machine.command("unshare");
        starter
            .args(["--mount", "sh", "-c", enter])
            .arg(self.hosts());
        Storrent::under(starter)
    }

    /// Runs a shell's line on the machine. Returns what it printed.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> String {
        shell(self.machine.command("sh"), line)
    }

    /// From now on notes what leaves the machine, except what matches one of `allowed` (expressions
    /// of nftables), and what the kernel sends to find its neighbours.
    pub(crate) fn set(&self, allowed: &[String]) {
        let allowed: String = allowed.iter().map(|a| format!("{a} accept\n")).collect();
        let rules = format!(
            "table inet trap {{}}
             delete table inet trap
             table inet trap {{
               set v4 {{ type ipv4_addr . ipv4_addr . inet_proto . inet_service; flags dynamic; }}
               set v6 {{ type ipv6_addr . ipv6_addr . inet_proto . inet_service; flags dynamic; }}
               counter caught {{ }}
               counter dials {{ }}
               chain out {{
                 type filter hook output priority 0;
                 icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, mld2-listener-report }} accept
                 tcp flags & (syn | ack) == syn counter name dials
                 {allowed}
                 counter name caught
                 meta nfproto ipv4 update @v4 {{ ip saddr . ip daddr . ip protocol . th dport }}
                 meta nfproto ipv6 update @v6 {{ ip6 saddr . ip6 daddr . meta l4proto . th dport }}
               }}
             }}"
        );
        let mut nft = self.machine.command("nft");
        let mut nft = nft.args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = nft.stdin.take().unwrap();
        input.write_all(rules.as_bytes()).unwrap();
        drop(input);
        assert!(nft.wait().unwrap().success(), "{rules}");
    }

    /// Returns what was noted since: `source . target . protocol . port`, each once.
    pub(crate) fn caught(&self) -> Vec<String> {
        let elements = |set: &str| {
            let said = self.run(&format!("nft -n list set inet trap {set}"));
            let list = said.split_once("elements = {").map(|(_, list)| list);
            let list = list.and_then(|list| list.split_once('}'));
            let list = list.map_or("", |(list, _)| list).to_owned();
            let trimmed = list.split(',').map(|e| e.trim().to_owned());
            trimmed.filter(|e| !e.is_empty()).collect::<Vec<_>>()
        };
        let mut all = [elements("v4"), elements("v6")].concat();
        if all.is_empty() && self.count("caught") > 0 {
            all.push("packets with no port".into());
        }
        all
    }

    #[track_caller]
    pub(crate) fn wait_caught(&self, packet: &str) {
        let noted = until(|| self.caught().iter().any(|caught| caught == packet));
        assert!(noted, "no {packet} in {:#?}", self.caught());
    }

    #[track_caller]
    pub(crate) fn assert_empty(&self) {
        let caught = self.caught();
        assert!(caught.is_empty(), "this left the machine: {caught:#?}");
    }

    /// How many TCP connections the machine began since. One that nobody accepted counts as often
    /// as its first packet was sent.
    pub(crate) fn dials(&self) -> u64 {
        self.count("dials")
    }

    fn count(&self, counter: &str) -> u64 {
        let said = self.run(&format!("nft list counter inet trap {counter}"));
        let mut words = said.split_whitespace().skip_while(|w| *w != "packets");
        words.nth(1).and_then(|n| n.parse().ok()).unwrap()
    }
}

#[track_caller]
fn shell(mut shell: Command, line: &str) -> String {
    let done = shell.args(["-c", line]).output().unwrap();
    assert!(done.status.success(), "{line}: {done:?}");
    String::from_utf8(done.stdout).unwrap()
}
