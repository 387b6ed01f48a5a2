//! The scenes of the demo, as data: who plays, with what, on which line, and what to watch for.
//!
//! `storrent demo` plays [`SWARM`]. `--scene NAME` plays one of [`ALL`]: a lesson about one rule,
//! or a riddle, `broken-1` to `broken-8`, where the user finds out which peer breaks which rule.

mod riddles;

use super::content::Content;
use super::scripted::Script;
use riddles::BROKEN;

/// A peer of the demo: its index in [`Scene::roles`].
pub(super) type Who = usize;

/// A peer that is a real engine.
#[derive(Debug)]
pub(super) struct Role {
    pub name: &'static str,
    /// The numbers of the files that it begins with. A seed, which has some, wants no others.
    pub files: &'static [usize],
    /// Bytes per second out of its line: without a limit the scene would end before anybody sees
    /// anything. 0: no limit.
    pub up: u64,
}

/// A peer that follows a script.
#[derive(Debug)]
pub(super) struct Actor {
    pub name: &'static str,
    pub script: Script,
    /// Bytes per second on each connection.
    pub rate: u32,
}

/// Engines that enter at the same time.
#[derive(Debug)]
pub(super) struct Act {
    /// Said before they enter.
    pub says: &'static str,
    pub roles: &'static [Role],
}

#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub name: &'static str,
    /// What it shows, for `--scene help`.
    pub about: &'static str,
    /// What to watch for, said before it begins.
    pub watch: &'static str,
    pub content: Content,
    /// They are there from the start, and every engine knows their addresses.
    pub actors: &'static [Actor],
    /// Each act enters when the tracker knows all peers before it. The last role is the user's
    /// download.
    pub acts: &'static [Act],
    /// Whether it goes on until all leeches are complete, or ends with the user's download.
    pub whole: bool,
    pub magnet: bool,
    pub rule: Option<Rule>,
    pub lesson: &'static str,
}

/// A rule that the simulator can switch off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rule {
    RarestFirst,
    TitForTat,
    TakeOver,
    Hashes,
    Giving,
    SuperSeeding,
}

impl Scene {
    pub(super) fn roles(&self) -> impl Iterator<Item = &'static Role> {
        self.acts.iter().flat_map(|act| act.roles)
    }

    pub(super) fn role(&self, who: Who) -> &'static Role {
        self.roles().nth(who).unwrap_or(&YOU)
    }

    /// The user's download, which enters last.
    pub(super) fn you(&self) -> Who {
        self.roles().count() - 1
    }

    /// Those that begin with nothing and stay after the download.
    pub(super) fn leeches(&self) -> impl Iterator<Item = Who> {
        let you = self.you();
        let roles = self.roles().enumerate();
        roles
            .filter(move |(who, role)| role.files.is_empty() && *who != you)
            .map(|(who, _)| who)
    }

    /// Those whose files are compared with the original at the end.
    pub(super) fn compared(&self) -> impl Iterator<Item = Who> {
        let leeches = self.leeches().filter(|_| self.whole);
        leeches.chain([self.you()])
    }

    /// Whether the user is to find the broken peer.
    pub(super) fn is_riddle(&self) -> bool {
        self.name.starts_with("broken-")
    }
}

/// A line for each scene, for `--scene help`.
pub(super) fn list() -> String {
    let line = |scene: &&Scene| format!("  {:<12} {}\n", scene.name, scene.about);
    let lines: String = ALL.iter().map(line).collect();
    format!("Scenes of `storrent demo --scene NAME`:\n{lines}")
}

/// What may be written behind `--scene`.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|scene| scene.name).chain(["help"])
}

/// What the user asked for: a scene, or (`None`) a list of all.
#[derive(Clone, Copy, Debug)]
pub struct Choice(pub(super) Option<&'static Scene>);

impl Default for Choice {
    fn default() -> Self {
        Self(Some(&SWARM))
    }
}

impl Choice {
    /// Reads the name behind `--scene`. Fails if there is no such scene.
    pub fn named(name: &str) -> Result<Self, String> {
        if name == "help" {
            return Ok(Self(None));
        }
        let scene = ALL.iter().find(|scene| scene.name == name);
        let scene = scene.ok_or_else(|| {
            let names: Vec<_> = ALL.iter().map(|scene| scene.name).collect();
            format!("there is no scene {name:?}; there are {}", names.join(", "))
        })?;
        Ok(Self(Some(scene)))
    }
}

const MIB: u64 = 1 << 20;
const KIB: u64 = 1 << 10;

const YOU: Role = Role {
    name: "you",
    files: &[],
    up: 0,
};

const fn seed(name: &'static str, up: u64) -> Role {
    let files = &[0, 1, 2];
    Role { name, files, up }
}

const fn leech(name: &'static str, up: u64) -> Role {
    let files = &[];
    Role { name, files, up }
}

const fn actor(name: &'static str, script: Script, rate: u32) -> Actor {
    Actor { name, script, rate }
}

/// 12 MiB in 192 pieces of four blocks.
const SMALL: Content = Content {
    lengths: [3 * MIB, 4 * MIB, 5 * MIB],
    piece_length: 64 << 10,
};

const YOU_COME: &str = "\nNow you come. This is what `storrent library.torrent` does:";

/// What `storrent demo` plays.
pub(super) static SWARM: Scene = Scene {
    name: "swarm",
    about: "a whole swarm: nobody has all, and together they do",
    watch: "",
    content: Content {
        lengths: [12 * MIB, 16 * MIB, 20 * MIB],
        piece_length: 128 << 10,
    },
    actors: &[],
    acts: &[
        Act {
            says: "Three seeds come, to give. Each has two of the files: none has all, together they do.",
            roles: &[
                Role {
                    name: "anna",
                    files: &[0, 1],
                    up: 6 * MIB,
                },
                Role {
                    name: "ben",
                    files: &[1, 2],
                    up: 6 * MIB,
                },
                Role {
                    name: "cleo",
                    files: &[0, 2],
                    up: 6 * MIB,
                },
            ],
        },
        Act {
            says: "\nTwo leeches come, to fetch. They have nothing, but each piece that they get they give, too.",
            roles: &[leech("dan", 4 * MIB), leech("eva", 4 * MIB)],
        },
        Act {
            says: YOU_COME,
            roles: &[YOU],
        },
    ],
    whole: true,
    magnet: false,
    rule: None,
    lesson: "Some took a little more than they have: the last blocks are asked of several peers,\n\
             so that nobody waits for the slowest.",
};

/// What `--scene NAME` plays, in the order of the course.
pub(super) static ALL: [&Scene; 17] = [
    &SWARM,
    &RAREST,
    &CHOKING,
    &ENDGAME,
    &LIAR,
    &SLOW,
    &MAGNET,
    &FLASH_CROWD,
    &SUPERSEED,
    &BROKEN[0],
    &BROKEN[1],
    &BROKEN[2],
    &BROKEN[3],
    &BROKEN[4],
    &BROKEN[5],
    &BROKEN[6],
    &BROKEN[7],
];

static RAREST: Scene = Scene {
    name: "rarest",
    about: "the piece that the fewest peers have is fetched first",
    watch: "Everybody has songs.bin and photos.bin, and dora alone has film.bin, too: five of the\n\
            twelve MiB have to come over her line. Watch what you ask her for.",
    content: SMALL,
    actors: &[],
    acts: &[
        Act {
            says: "Four seeds come.",
            roles: &[
                Role {
                    name: "anna",
                    files: &[0, 1],
                    up: 400 * KIB,
                },
                Role {
                    name: "ben",
                    files: &[0, 1],
                    up: 400 * KIB,
                },
                Role {
                    name: "cleo",
                    files: &[0, 1],
                    up: 400 * KIB,
                },
                Role {
                    name: "dora",
                    files: &[0, 1, 2],
                    up: 700 * KIB,
                },
            ],
        },
        Act {
            says: YOU_COME,
            roles: &[YOU],
        },
    ],
    whole: false,
    magnet: false,
    rule: Some(Rule::RarestFirst),
    lesson: "Had you asked dora for songs, which three others have, her line would have had less time\n\
             for the film, and you would wait for it at the end; or for ever, if she left.",
};

static CHOKING: Scene = Scene {
    name: "choking",
    about: "who gives is given to",
    watch: "One seed, and nine leeches that also trade with each other. finn and gil give almost\n\
            nothing. Each peer serves few others at a time, and chooses them anew every 10 s: those\n\
            who give it most, and one by lot. Watch who is served, and who waits.",
    content: Content {
        lengths: [2 * MIB, 3 * MIB, 4 * MIB],
        ..SMALL
    },
    actors: &[],
    acts: &[
        Act {
            says: "A seed comes.",
            roles: &[seed("anna", MIB)],
        },
        Act {
            says: "\nEight leeches come.",
            roles: &[
                leech("ben", 600 * KIB),
                leech("cleo", 600 * KIB),
                leech("dan", 600 * KIB),
                leech("eva", 200 * KIB),
                leech("emil", 200 * KIB),
                leech("fred", 200 * KIB),
                leech("finn", 2 * KIB),
                leech("gil", 2 * KIB),
            ],
        },
        Act {
            says: YOU_COME,
            roles: &[Role {
                up: 600 * KIB,
                ..YOU
            }],
        },
    ],
    whole: false,
    magnet: false,
    rule: Some(Rule::TitForTat),
    lesson: "Leeches serve those who give to them, and the place by lot lets a newcomer show what it\n\
             has. A seed wants nothing back: it serves those who take fastest, and that is what free\n\
             riders live on. The fewer seeds there are, the less they get.",
};

static ENDGAME: Scene = Scene {
    name: "endgame",
    about: "the last blocks are asked of several peers",
    watch: "cleo's line is thirty times slower than anna's and ben's. Watch the last second: who is\n\
            asked for the blocks that she still owes?",
    content: SMALL,
    actors: &[],
    acts: &[
        Act {
            says: "Three seeds come.",
            roles: &[
                seed("anna", 2 * MIB),
                seed("ben", 2 * MIB),
                seed("cleo", 64 * KIB),
            ],
        },
        Act {
            says: YOU_COME,
            roles: &[YOU],
        },
    ],
    whole: false,
    magnet: false,
    rule: Some(Rule::TakeOver),
    lesson: "A block that came twice costs 16 KiB. Waiting for the slowest peer costs seconds.",
};

static LIAR: Scene = Scene {
    name: "liar",
    about: "a false block is found, and the one who sent it, too",
    watch: "Three peers have everything, and each 60th block of liam's has a wrong byte. A piece has\n\
            64 blocks, often from several peers: its hash says that one is wrong, but not which.\n\
            Watch how you find out.",
    content: Content {
        piece_length: 1 << 20,
        ..SMALL
    },
    actors: &[actor("liam", Script::LiesOneIn(60), 1 << 20)],
    acts: &[
        Act {
            says: "Two seeds come, besides liam.",
            roles: &[seed("anna", MIB), seed("ben", MIB)],
        },
        Act {
            says: YOU_COME,
            roles: &[YOU],
        },
    ],
    whole: false,
    magnet: false,
    rule: Some(Rule::Hashes),
    lesson: "The blocks of the false piece were kept. When one peer alone had sent the piece again,\n\
             and its hash was right, whoever had given another block was the liar.",
};

static SLOW: Scene = Scene {
    name: "slow",
    about: "slow peers hold nobody up",
    watch: "Eight peers send 60 KiB a second each, and two send 1 MiB. All are asked from the start,\n\
            each for as much as it can bring. Watch the windows, and whose blocks move to whom.",
    content: SMALL,
    actors: &[
        actor("s-1", Script::Honest, 60 << 10),
        actor("s-2", Script::Honest, 60 << 10),
        actor("s-3", Script::Honest, 60 << 10),
        actor("s-4", Script::Honest, 60 << 10),
        actor("s-5", Script::Honest, 60 << 10),
        actor("s-6", Script::Honest, 60 << 10),
        actor("s-7", Script::Honest, 60 << 10),
        actor("s-8", Script::Honest, 60 << 10),
    ],
    acts: &[
        Act {
            says: "Two fast seeds come, besides the eight slow ones.",
            roles: &[seed("anna", MIB), seed("ben", MIB)],
        },
        Act {
            says: YOU_COME,
            roles: &[YOU],
        },
    ],
    whole: false,
    magnet: false,
    rule: Some(Rule::TakeOver),
    lesson: "Slow peers are worth having: together they sent a good part. But what one of them would\n\
             end last is taken over by a peer that has nothing left to do.",
};

static MAGNET: Scene = Scene {
    name: "magnet",
    about: "a link of 40 digits is enough",
    watch: "You have no .torrent, but a magnet link: the info hash and the tracker. Watch how the\n\
            file names and piece hashes come from peers, and why you can believe them.",
    content: SMALL,
    actors: &[],
    acts: &[
        Act {
            says: "Two seeds come.",
            roles: &[seed("anna", 2 * MIB), seed("ben", 2 * MIB)],
        },
        Act {
            says: "\nNow you come. This is what `storrent magnet:?xt=urn:btih:…` does:",
            roles: &[YOU],
        },
    ],
    whole: false,
    magnet: true,
    rule: None,
    lesson: "The SHA-1 of what came is the info hash, so it is the right metadata, whoever sent it.\n\
             Without that check, the first peer could name any files and any hashes: the riddle\n\
             broken-6 has such a peer.",
};

static FLASH_CROWD: Scene = Scene {
    name: "flash-crowd",
    about: "many come at once, and one seed is enough",
    watch: "One seed has everything, and twelve peers want it at the same time. Watch how little of\n\
            what you get comes from the seed.",
    content: SMALL,
    actors: &[],
    acts: &[
        Act {
            says: "A seed comes.",
            roles: &[seed("anna", 3 * MIB / 2)],
        },
        Act {
            says: "\nEleven leeches come at once.",
            roles: &[
                leech("ben", 3 * MIB / 2),
                leech("cleo", 3 * MIB / 2),
                leech("dan", 3 * MIB / 2),
                leech("dora", 3 * MIB / 2),
                leech("emil", 3 * MIB / 2),
                leech("eva", 3 * MIB / 2),
                leech("finn", 3 * MIB / 2),
                leech("fred", 3 * MIB / 2),
                leech("gil", 3 * MIB / 2),
                leech("hans", 3 * MIB / 2),
                leech("ida", 3 * MIB / 2),
            ],
        },
        Act {
            says: YOU_COME,
            roles: &[Role {
                up: 3 * MIB / 2,
                ..YOU
            }],
        },
    ],
    whole: true,
    magnet: false,
    rule: Some(Rule::Giving),
    lesson: "The seed's line could have sent each of twelve peers one twelfth of its rate. Instead,\n\
             it sent each piece to somebody, and they gave it to each other.",
};

static SUPERSEED: Scene = superseed(&[actor("sue", Script::SuperSeeds, 300 << 10)]);

/// The same with an ordinary seed.
pub(super) static ORDINARY: Scene = superseed(&[actor("sue", Script::Honest, 300 << 10)]);

const SUPERSEED_ACTS: &[Act] = &[
    Act {
        says: "Four leeches come.",
        roles: &[
            leech("ben", MIB),
            leech("cleo", MIB),
            leech("dan", MIB),
            leech("eva", MIB),
        ],
    },
    Act {
        says: YOU_COME,
        roles: &[Role { up: MIB, ..YOU }],
    },
];

const fn superseed(actors: &'static [Actor]) -> Scene {
    Scene {
        name: "superseed",
        about: "a first seed that sends each piece once",
        watch: "sue is the only seed, and she super-seeds (BEP 16): she shows each peer one piece at a\n\
            time, and the next when another peer has got that one from it. Watch what she gives.",
        content: Content {
            lengths: [MIB, 2 * MIB, 3 * MIB],
            ..SMALL
        },
        actors,
        acts: SUPERSEED_ACTS,
        whole: false,
        magnet: false,
        rule: Some(Rule::SuperSeeding),
        lesson: "An ordinary seed is asked for what its peers happen to want. This one makes sure that\n\
             what it sends is passed on: the swarm can live without it as soon as it has sent\n\
             everything once.",
    }
}
