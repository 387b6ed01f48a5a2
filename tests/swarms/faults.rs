//! Lines break, programs are killed, disks fail.

use crate::BLOCK;
use std::time::Duration;
use storrent::sim::{Role, Swarm};

const SEEDS: usize = 3;
const LIARS: usize = 3;
const NODES: usize = 30;

fn is_honest(node: &usize) -> bool {
    !(SEEDS..SEEDS + LIARS).contains(node)
}

/// Lines break within pieces, programs are killed and restarted, disks fail, and some peers lie.
/// All peers that are left complete, and no honest peer is banned.
#[test]
fn a_swarm_outlives_faults() {
    for chance in 0..4 {
        let swarm = Swarm::new(chance).content(60 * 3 * BLOCK - 20_000, 3 * BLOCK);
        let mut swarm = swarm.checked();
        let mut rng = fastrand::Rng::with_seed(chance);
        for node in 0..NODES {
            let role = match node {
                0..SEEDS => Role::seed(300_000),
                node if is_honest(&node) => Role::leech(300_000),
                _ => Role::liar(300_000, 20),
            };
            swarm.add(role.places(8).meets(6));
        }
        suffer(&mut swarm, &mut rng);
        for node in (0..NODES)
            .filter(is_honest)
            .filter(|node| swarm.is_here(*node))
        {
            swarm.check_knowledge(node);
            let mut others = (0..NODES).filter(is_honest);
            let wrong = others.find(|other| swarm.bans(node, *other));
            assert_eq!(wrong, None, "chance {chance}: {node} bans an honest peer");
        }
    }
}

/// Plays `swarm` until all that are left are complete. Faults come in its first minute.
fn suffer(swarm: &mut Swarm, rng: &mut fastrand::Rng) {
    let is_done = |swarm: &Swarm| {
        let mut here = (0..NODES).filter(|node| swarm.is_here(*node));
        here.all(|node| swarm.is_seed(node))
    };
    let (mut restarts, mut broken) = (0, 0);
    for step in 1..2_000 {
        if swarm.run_until(Duration::from_millis(200) * step, is_done) {
            break;
        }
        if step < 300 {
            let node = rng.usize(..NODES);
            broken += usize::from(!swarm.is_seed(node));
            swarm.sever(node);
        }
        let leech = rng.usize(SEEDS + LIARS..NODES);
        if step < 300 && step.is_multiple_of(3) && swarm.is_here(leech) {
            restarts += usize::from(!swarm.is_seed(leech));
            swarm.restart(leech);
        }
        if [4, 9, 14].contains(&step) {
            swarm.remove(leech);
        }
        if step == 20 {
            swarm.remove(0);
        }
    }
    assert!(is_done(swarm), "not complete: {}", swarm.outcome());
    assert!(
        restarts > 2 && broken > 10,
        "{restarts} and {broken} faults"
    );
}
