//! Chance, and the rules of the client.

use crate::{KIB, MB, MIB};
use std::time::Duration;
use storrent::sim::{Role, Swarm};

#[test]
fn the_same_number_gives_the_same_run() {
    let play = |seed: u64| {
        let mut swarm = Swarm::new(seed).content(2 * MIB, 64 * KIB);
        swarm.add(Role::seed(MB));
        for n in 0..6 {
            let leech = Role::leech(MB / 2).down(2 * MB);
            swarm.add(leech.joins(Duration::from_millis(700) * n).meets(3));
        }
        swarm.add(Role::liar(MB, 30));
        swarm.run_until(Duration::from_secs(2), |_| false);
        swarm.sever(0);
        swarm.restart(3);
        swarm.run(Duration::from_secs(60))
    };
    let outcome = play(1);
    assert!(outcome.is_complete(), "{outcome}");
    assert_eq!(play(1), outcome);
    assert_ne!(play(2), outcome);
}
