//! What if not? A swarm like that of a scene, in the [simulator](crate::sim), once with the scene's
//! rule and once without it. All else is equal: peers, lines, random numbers.

use super::scenes::{ORDINARY, Rule, Scene};
use super::story::Story;
use super::{Cut, Played};
use crate::config::{Choking, Rules, Strategy};
use crate::report::{Report, Reporter};
use crate::sim::{Figures, Outcome, Role, Swarm};
use crossbeam_channel::Receiver;
use std::path::Path;
use std::time::Duration;

/// The end of a run, in virtual time: without some rules, some peers never complete. More would
/// squeeze the part of the picture in which something happens.
const LIMIT: Duration = Duration::from_secs(120);

pub(super) struct WhatIf {
    /// The comparison, for people.
    pub text: String,
    /// The lines of both traces: with the rule, without it. Empty if the runs were not simulated.
    pub traces: Vec<Vec<String>>,
}

/// A line of the comparison: its label, and its value.
type Row = (&'static str, fn(&Outcome) -> String);

/// What is simulated for a rule: words about it, the swarm with or without the rule, what to
/// compare. The first node is a leech; the picture shows the swarm as it saw it.
type Experiment = (&'static str, fn(bool) -> Swarm, &'static [Row]);

impl WhatIf {
    /// Plays both runs, if the scene is about a rule.
    pub(super) fn play(
        scene: &Scene,
        played: &Played,
        parent: &Path,
        signals: &Receiver<i32>,
    ) -> Result<Option<Self>, Cut> {
        let (about, swarm, rows): Experiment = match scene.rule {
            None => return Ok(None),
            Some(Rule::RarestFirst) => RAREST,
            Some(Rule::TitForTat) => TIT_FOR_TAT,
            Some(Rule::TakeOver) => TAKE_OVER,
            Some(Rule::Hashes) => HASHES,
            Some(Rule::Giving) => GIVING,
            Some(Rule::SuperSeeding) => {
                return without_super_seeding(played, parent, signals).map(Some);
            }
        };
        let mut swarms = [true, false].map(swarm);
        let mut runs = Vec::new();
        for swarm in &mut swarms {
            runs.push(swarm.run(LIMIT));
            if let Ok(signal) = signals.try_recv() {
                return Err(Cut::interrupted(signal));
            }
        }
        let mut text = format!(
            "\nWhat if not? The same in the simulator:\n\n{about}\n\n{:32}{:>14}{:>14}",
            "", "with the rule", "without it"
        );
        for (name, value) in rows {
            let (with, without) = (value(&runs[0]), value(&runs[1]));
            text += &format!("\n  {name:30}{with:>14}{without:>14}");
        }
        Ok(Some(Self {
            text,
            traces: swarms.iter().map(|swarm| swarm.trace().collect()).collect(),
        }))
    }
}

const RAREST: Experiment = (
    "A seed sends everything about once and leaves after 12 s. Four leeches stay, and fetch\n\
     the rarest piece first, or any piece.",
    rarest,
    &[COMPLETE, MEAN],
);

const TIT_FOR_TAT: Experiment = (
    "A seed, twelve leeches that give, and four that only take. Each gives to those that give\n\
     it most, or to some by lot.",
    tit_for_tat,
    &[
        ("those who give wait", |it| mean(it, "giver")),
        ("those who only take wait", |it| mean(it, "rider")),
    ],
);

const TAKE_OVER: Experiment = (
    "Two fast seeds and one at 40 kB/s. Blocks on order stay where they are, or move to a\n\
     peer that has nothing left to do.",
    take_over,
    &[("you are complete after", |it| mean(it, "you")), TWICE],
);

const HASHES: Experiment = (
    "Two seeds, and a liar: each 12th block of its is false. Pieces are hashed, or believed.",
    hashes,
    &[
        ("you are complete after", |it| mean(it, "you")),
        ("false blocks in your files", |it| {
            let you = it.nodes.iter().find(|node| node.name.starts_with("you"));
            you.map_or(0, |you| you.false_blocks).to_string()
        }),
    ],
);

const GIVING: Experiment = (
    "A seed and twelve leeches that come at once. They give what they have, or only take.",
    giving,
    &[COMPLETE, MEAN, SHARE],
);

/// Plays the scene once more with an ordinary seed, and untold: the simulator has no super-seed.
fn without_super_seeding(
    played: &Played,
    parent: &Path,
    signals: &Receiver<i32>,
) -> Result<WhatIf, Cut> {
    let mut nobody = Nobody;
    let mut story = Story::new(&ORDINARY, &mut nobody);
    let without = super::play(&ORDINARY, parent, &mut story, signals)?;
    let text = format!(
        "\nWhat if not? The same once more with an ordinary seed: until you were complete, it sent\n\
         {:.2} times the content, and sue, who super-seeds, {:.2} times.",
        without.sent, played.sent
    );
    Ok(WhatIf {
        text,
        traces: Vec::new(),
    })
}

struct Nobody;

impl Reporter for Nobody {
    fn report(&mut self, _: Report) {}
}

const COMPLETE: Row = ("leeches that have everything", |it| {
    let leeches = it.nodes.iter().filter(|node| !node.seed);
    let done = leeches.clone().filter(|node| node.complete.is_some());
    format!("{} of {}", done.count(), leeches.count())
});

const MEAN: Row = ("time of those, on average", |it| mean(it, ""));

const SHARE: Row = ("the seed gave, times the size", |it| {
    format!("{:.2}", it.seed_share())
});

const TWICE: Row = ("blocks that came twice", |it| {
    let leeches = it.nodes.iter().filter(|node| !node.seed);
    let twice: u32 = leeches.map(|node| node.got.saturating_sub(it.blocks)).sum();
    twice.to_string()
});

/// The mean time of the leeches whose names begin so and that completed.
fn mean(outcome: &Outcome, name: &str) -> String {
    mean_seconds(outcome, name).map_or("never".to_string(), |mean| format!("{mean:.1} s"))
}

fn mean_seconds(outcome: &Outcome, name: &str) -> Option<f64> {
    let leeches = outcome.nodes.iter().filter(|node| !node.seed);
    let named = leeches.filter(|node| node.name.starts_with(name));
    let times: Vec<Duration> = named.filter_map(Figures::took).collect();
    let sum: Duration = times.iter().sum();
    (!times.is_empty()).then(|| sum.as_secs_f64() / times.len() as f64)
}

/// A swarm without nodes for a torrent of `mib` MiB in pieces of four blocks, which records its
/// facts.
fn swarm(mib: u64) -> Swarm {
    Swarm::new(1).content(mib << 20, 64 << 10).traced()
}

/// Adds a seed and leeches. The first leech, which the picture follows, comes before the seed, the
/// others after it.
fn crowd(mut swarm: Swarm, leeches: usize, leech: &Role, seed: Role) -> Swarm {
    swarm.add(leech.clone());
    swarm.add(seed);
    (1..leeches).for_each(|_| _ = swarm.add(leech.clone()));
    swarm
}

fn rarest(with: bool) -> Swarm {
    let rules = Rules {
        strategy: match with {
            true => Strategy::RarestFirst,
            false => Strategy::Random,
        },
        ..Rules::default()
    };
    let seed = Role::seed(400_000).leaves(Duration::from_secs(12));
    crowd(swarm(4), 4, &Role::leech(400_000).rules(rules), seed)
}

fn tit_for_tat(with: bool) -> Swarm {
    let rules = Rules {
        choking: match with {
            true => Choking::TitForTat,
            false => Choking::ByLot,
        },
        ..Rules::default()
    };
    let giver = Role::leech(500_000).rules(rules).named("giver");
    let mut swarm = crowd(swarm(8), 12, &giver, Role::seed(1_000_000));
    (0..4).for_each(|_| _ = swarm.add(Role::free_rider().rules(rules).named("rider")));
    swarm
}

fn take_over(with: bool) -> Swarm {
    let rules = Rules {
        take_over: with,
        ..Rules::default()
    };
    let mut swarm = swarm(4);
    swarm.add(Role::leech(0).rules(rules).named("you"));
    swarm.add(Role::seed(1_000_000));
    swarm.add(Role::seed(1_000_000));
    swarm.add(Role::seed(40_000).named("slow"));
    swarm
}

fn hashes(with: bool) -> Swarm {
    let mut swarm = if with { swarm(4) } else { swarm(4).unhashed() };
    swarm.add(Role::leech(0).named("you"));
    swarm.add(Role::seed(500_000));
    swarm.add(Role::seed(500_000));
    swarm.add(Role::liar(500_000, 12));
    swarm
}

fn giving(with: bool) -> Swarm {
    let leech = match with {
        true => Role::leech(500_000),
        false => Role::free_rider(),
    };
    crowd(swarm(4), 12, &leech, Role::seed(500_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::unbounded;

    #[test]
    fn a_signal_ends_the_comparison() {
        let played = Played {
            events: Vec::new(),
            sent: 1.0,
        };
        let mut rules = [ORDINARY.clone(), ORDINARY.clone()];
        rules[0].rule = Some(Rule::Hashes);
        for scene in &rules {
            let (send, signals) = unbounded();
            send.send(2).unwrap();
            let parent = tempfile::tempdir().unwrap();
            let cut = WhatIf::play(scene, &played, parent.path(), &signals);
            assert!(matches!(cut, Err(Cut::Interrupted(2, _))), "{scene:?}");
        }
    }

    /// As the scene's lesson says.
    #[test]
    fn without_a_rule_it_is_worse() {
        let runs = |swarm: fn(bool) -> Swarm| {
            let mut swarms = [true, false].map(swarm);
            let [with, without] = swarms.each_mut().map(|swarm| swarm.run(LIMIT));
            assert!(with.is_complete(), "{with}");
            for swarm in swarms {
                let mut trace = swarm.trace();
                assert!(trace.any(|line| line.contains("torrent")), "{with}");
            }
            (with, without)
        };
        let (_, without) = runs(rarest);
        assert!(!without.is_complete(), "the last pieces left with the seed");
        for (swarm, name) in [
            (tit_for_tat as fn(bool) -> Swarm, "giver"),
            (take_over, "you"),
            (giving, ""),
        ] {
            let (with, without) = runs(swarm);
            let mean = |outcome| mean_seconds(outcome, name).unwrap();
            assert!(mean(&without) > 1.05 * mean(&with), "{with}\n{without}");
        }
        let (with, without) = runs(hashes);
        let lies = |outcome: &Outcome| outcome.nodes[0].false_blocks;
        assert!(lies(&with) == 0 && lies(&without) > 0, "{without}");
    }
}
