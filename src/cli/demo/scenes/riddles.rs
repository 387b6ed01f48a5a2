//! The riddles, `broken-1` to `broken-8`: five peers have everything, and one of them breaks a rule.
//!
//! Whoever reads the trace can say who, and which rule. The answers are tests
//! (`tests/whole/scenes.rs`).

use super::super::content::Content;
use super::super::scripted::Script;
use super::{Act, Actor, MIB, SMALL, Scene, YOU, actor};

/// All riddles.
pub(super) static BROKEN: [Scene; 8] = [
    riddle(
        "broken-1",
        &[
            actor("anna", Script::Honest, RATE),
            actor("ben", Script::Honest, RATE),
            actor("cleo", Script::ShortBlocks, RATE),
            actor("dora", Script::Honest, RATE),
            actor("emil", Script::Honest, RATE),
        ],
    ),
    riddle(
        "broken-2",
        &[
            actor("anna", Script::LongBitfield, RATE),
            actor("ben", Script::Honest, RATE),
            actor("cleo", Script::Honest, RATE),
            actor("dora", Script::Honest, RATE),
            actor("emil", Script::Honest, RATE),
        ],
    ),
    riddle(
        "broken-3",
        &[
            actor("anna", Script::Honest, RATE),
            actor("ben", Script::Honest, RATE),
            actor("cleo", Script::Honest, RATE),
            actor("dora", Script::Honest, RATE),
            actor("emil", Script::NeverUnchokes, RATE),
        ],
    ),
    Scene {
        content: Content {
            lengths: [12 * MIB, 16 * MIB, 20 * MIB],
            piece_length: 128 << 10,
        },
        ..riddle(
            "broken-4",
            &[
                actor("anna", Script::Honest, 2 << 20),
                actor("ben", Script::Honest, 2 << 20),
                actor("cleo", Script::Honest, 2 << 20),
                actor("dora", Script::LiesOneIn(1000), 8 << 20),
                actor("emil", Script::Honest, 2 << 20),
            ],
        )
    },
    riddle(
        "broken-5",
        &[
            actor("anna", Script::Honest, RATE),
            actor("ben", Script::ClosesAt(99), RATE),
            actor("cleo", Script::Honest, RATE),
            actor("dora", Script::Honest, RATE),
            actor("emil", Script::Honest, RATE),
        ],
    ),
    Scene {
        magnet: true,
        ..riddle(
            "broken-6",
            &[
                actor("anna", Script::LateMetadata, RATE),
                actor("ben", Script::LateMetadata, RATE),
                actor("cleo", Script::FalseMetadata, RATE),
                actor("dora", Script::LateMetadata, RATE),
                actor("emil", Script::LateMetadata, RATE),
            ],
        )
    },
    riddle(
        "broken-7",
        &[
            actor("anna", Script::Honest, RATE),
            actor("ben", Script::Honest, RATE),
            actor("cleo", Script::Honest, RATE),
            actor("dora", Script::SilentAfterUnchoke, RATE),
            actor("emil", Script::Honest, RATE),
        ],
    ),
    riddle(
        "broken-8",
        &[
            actor("anna", Script::FalseHaves, RATE),
            actor("ben", Script::Honest, RATE),
            actor("cleo", Script::Honest, RATE),
            actor("dora", Script::Honest, RATE),
            actor("emil", Script::Honest, RATE),
        ],
    ),
];

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
