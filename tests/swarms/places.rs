//! Which peers may hold a place: connections are limited, and some peers give nothing.

use crate::{KIB, MB, MIB};
use std::time::Duration;
use storrent::sim::{Role, Swarm};

/// Sixty peers claim to have everything and choke us. The one seed that gives still gets a place,
/// although we dial it last. `come`: how many of the sixty dial us.
#[test]
fn who_gives_nothing_holds_no_place() {
    const CHOKERS: usize = 60;
    for come in [0, 50] {
        let mut swarm = Swarm::new(11).content(MIB, 64 * KIB).checked();
        for _ in 0..CHOKERS {
            swarm.add(Role::seed(MB).gives(|_, _| false).meets(0));
        }
        let honest = swarm.add(Role::seed(MB).meets(0));
        let leech = swarm.add(Role::leech(0).meets(0));
        (0..come).for_each(|node| swarm.introduce(node, &[leech]));
        swarm.run_until(Duration::from_secs(1), |_| false);
        swarm.introduce(leech, &(come..=honest).collect::<Vec<_>>());
        let is_found = |swarm: &Swarm| swarm.figures(honest).gave() > 0;
        assert!(!swarm.run_until(Duration::from_secs(50), is_found));
        assert!(swarm.peers(leech) >= 45, "all places are taken");
        let outcome = swarm.run(Duration::from_secs(180));
        let peers = swarm.peers(leech);
        assert!(outcome.is_complete(), "{come} came: {peers} peers");
    }
}

/// Of 200 honest seeds, eight serve us at a time, in turns. Seeds that lose their place while we
/// wait for their turn do not make the download longer.
#[test]
fn turns_are_waited_for() {
    const SEEDS: usize = 200;
    let time = |known: usize| {
        let mut swarm = Swarm::new(11).content(64 * MIB, 256 * KIB).checked();
        let takes_turns = Role::seed(100_000)
            .gives(|node, now| (node as u64 + now.as_secs() / 10).is_multiple_of(25));
        for _ in 0..SEEDS {
            swarm.add(takes_turns.clone().meets(0));
        }
        let leech = swarm.add(Role::leech(0).meets(0));
        swarm.introduce(leech, &(0..known).collect::<Vec<_>>());
        // Counted before it completes: then it leaves all seeds and dials others.
        assert!(!swarm.run(Duration::from_secs(300)).is_complete());
        let dialled = swarm.dialled(leech);
        let outcome = swarm.run(Duration::from_secs(2_000));
        assert!(outcome.is_complete());
        (outcome.mean_time(), dialled)
    };
    // A leech that knows no more seeds than it has places has no others to dial.
    let ((without, few), (with, more)) = (time(45), time(SEEDS));
    assert_eq!(few, 45);
    assert!(more > 45, "nobody's place was given to another");
    assert!(
        with <= 1.05 * without,
        "{with:.0} s, and without {without:.0} s"
    );
}
