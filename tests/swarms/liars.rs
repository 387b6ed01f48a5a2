//! Peers that send false data.

use crate::{BLOCK, MB};
use std::time::Duration;
use storrent::sim::{Role, Swarm};

/// Some of four hundred peers lie and claim to have everything. Each honest peer completes exactly
/// once, and bans the liars that it met.
#[test]
fn hundreds_of_peers_with_liars_among_them() {
    const PIECES: u64 = 40;
    const NODES: usize = 400;
    const SEEDS: usize = 10;
    const LIARS: usize = 30;
    let swarm = Swarm::new(5).content(PIECES * 2 * BLOCK - 5000, 2 * BLOCK);
    let mut swarm = swarm.tick(Duration::from_millis(500)).checked();
    for node in 0..NODES {
        let role = match node {
            0..SEEDS => Role::seed(2 * MB),
            node if node < SEEDS + LIARS => Role::liar(2 * MB, 3),
            _ => Role::leech(2 * MB),
        };
        swarm.add(role.places(12).meets(5));
    }
    let honest = |node: &usize| !(SEEDS..SEEDS + LIARS).contains(node);
    let leeches = || (SEEDS + LIARS)..NODES;
    let outcome = swarm.run(Duration::from_secs(600));
    assert!(outcome.is_complete(), "{outcome}");
    for node in (0..NODES).filter(honest) {
        let figures = swarm.figures(node);
        assert!(swarm.is_seed(node));
        assert!(node < SEEDS || figures.completions == 1);
        swarm.check_knowledge(node);
        let fooled_by = figures.fooled_by.keys();
        let free: Vec<_> = fooled_by.filter(|liar| !swarm.bans(node, **liar)).collect();
        assert!(
            free.is_empty(),
            "{node} was fooled by {free:?} and does not know"
        );
        let mut others = (0..NODES).filter(honest);
        assert!(
            !others.any(|other| swarm.bans(node, other)),
            "{node} bans an honest peer"
        );
    }
    let got: u32 = leeches().map(|node| swarm.figures(node).got).sum();
    let needed = leeches().len() as u32 * outcome.blocks;
    assert!(
        got < needed * 5 / 4,
        "{got} blocks came, {needed} were needed"
    );
    let fooled = leeches().any(|node| !swarm.figures(node).fooled_by.is_empty());
    assert!(fooled, "nobody lied");
}
