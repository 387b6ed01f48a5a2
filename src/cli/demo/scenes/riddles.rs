//! The riddles, `broken-1` to `broken-8`: five peers have everything, and one breaks a rule. The
//! trace shows which; the answers are tests (`tests/whole/scenes.rs`).

use super::super::content::Content;
use super::super::scripted::Script;
use super::{Act, Actor, MIB, SMALL, Scene, YOU, actor};

pub(super) static BROKEN: [Scene; 8] = [
    riddle("broken-1", &SHORT_BLOCKS),
    riddle("broken-2", &LONG_BITFIELD),
    riddle("broken-3", &NEVER_UNCHOKES),
    Scene {
        content: Content {
            lengths: [12 * MIB, 16 * MIB, 20 * MIB],
            piece_length: 128 << 10,
        },
        ..riddle("broken-4", &LIES)
    },
    riddle("broken-5", &CLOSES),
    Scene {
        magnet: true,
        ..riddle("broken-6", &FALSE_METADATA)
    },
    riddle("broken-7", &SILENT),
    riddle("broken-8", &FALSE_HAVES),
];

static SHORT_BLOCKS: [Actor; 5] = five(2, Script::ShortBlocks);
static LONG_BITFIELD: [Actor; 5] = five(0, Script::LongBitfield);
static NEVER_UNCHOKES: [Actor; 5] = five(4, Script::NeverUnchokes);
/// A peer that lies in one block of 300 must send more than 300 of the 3,072. On a machine so slow
/// that the lines do not matter each of the five sends 614.
static LIES: [Actor; 5] = [
    actor("anna", Script::Honest, 2 << 20),
    actor("ben", Script::Honest, 2 << 20),
    actor("cleo", Script::Honest, 2 << 20),
    actor("dora", Script::LiesOneIn(300), 8 << 20),
    actor("emil", Script::Honest, 2 << 20),
];
static CLOSES: [Actor; 5] = five(1, Script::ClosesAt(99));
/// The right metadata comes late, so that the false comes first. One peer has none, because a
/// client asks four at a time, and the broken one must be among them.
static FALSE_METADATA: [Actor; 5] = {
    let mut five = among(2, Script::FalseMetadata, Script::LateMetadata);
    five[4].script = Script::NoMetadata;
    five
};
static SILENT: [Actor; 5] = five(3, Script::SilentAfterUnchoke);
static FALSE_HAVES: [Actor; 5] = five(0, Script::FalseHaves);

/// Five peers. Number `broken` plays `script`.
const fn five(broken: usize, script: Script) -> [Actor; 5] {
    among(broken, script, Script::Honest)
}

/// The same, with another script for the others.
const fn among(broken: usize, script: Script, others: Script) -> [Actor; 5] {
    let mut five = [
        actor("anna", others, RATE),
        actor("ben", others, RATE),
        actor("cleo", others, RATE),
        actor("dora", others, RATE),
        actor("emil", others, RATE),
    ];
    five[broken].script = script;
    five
}

/// Bytes a second of a peer in most riddles.
const RATE: u32 = 700 << 10;

const fn riddle(name: &'static str, actors: &'static [Actor]) -> Scene {
    Scene {
        name,
        about: "a riddle: one of five peers breaks a rule",
        watch: "anna, ben, cleo, dora and emil say that they have everything. One of them breaks a\n\
                rule, of the protocol or of fair play. Who, and which rule? The trace has the answer:\n\
                --trace FILE.",
        content: SMALL,
        actors,
        acts: &[Act {
            says: "Now you come, and know their addresses.",
            roles: &[YOU],
        }],
        whole: false,
        magnet: false,
        rule: None,
        lesson: "Read the trace: for each peer, what it said that it has, what it was asked for, what\n\
                 came, and how its connection ended. `storrent report TRACE -o FILE.html` draws it.",
    }
}
