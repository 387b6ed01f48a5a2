//! The people of a trace: peers, each with a lane of the third picture, and the other nodes whose
//! facts are in the trace.
//!
//! A *person* has a peer id. Each person that we met has one lane, however often it connects.

use super::sums::Ms;
use crate::human;
use std::collections::BTreeMap;

/// The most lanes; all further peers share one more.
const LANES: usize = 160;

const PERSONS: usize = 300;

/// The most connections that are known at a time.
const CONNECTIONS: usize = 50_000;

/// The most comings and goings of a peer that the page tells.
const EVENTS: usize = 8;

/// The colours of seeds, the most generous first; the last is for all further ones.
const WARM: [&str; 5] = ["s0", "s1", "s2", "s3", "s4"];

const COLD: [&str; 9] = ["l0", "l1", "l2", "l3", "l4", "l5", "l6", "l7", "l8"];

/// Us, among the persons.
pub(super) const WE: usize = 0;

/// How much a peer had when it first came. A leech that comes back with all pieces gave as a leech.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// All pieces, or it is a web server that has the files.
    Seed,
    Leech,
    /// Many peers, for whom no lane was left.
    Others,
}

/// Something that happened to a peer, in words.
pub(super) type Event = (Ms, String);

#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) person: usize,
    pub(super) name: String,
    pub(super) client: String,
    pub(super) addr: String,
    pub(super) kind: Kind,
    pub(super) lied: bool,
    pub(super) web: bool,
    pub(super) gave: u64,
    pub(super) took: u64,
    pub(super) unchoked_us: Option<Ms>,
    /// Its life, apart from what the pictures show.
    pub(super) events: Vec<Event>,
    pub(super) more_events: bool,
    /// Its place among the lanes from the top. Set by [`Swarm::settle`].
    pub(super) place: usize,
    /// Its colour: a class of the style. Set by [`Swarm::settle`].
    pub(super) colour: &'static str,
}

impl Lane {
    pub(super) fn tell(&mut self, at: Ms, what: String) {
        if self.events.len() < EVENTS {
            self.events.push((at, what));
        } else {
            self.more_events = true;
        }
    }
}

#[derive(Clone, Default, Debug)]
struct Connection {
    addr: String,
    /// How it came, with the time, until it has a lane.
    came: Option<Event>,
    web: bool,
    person: Option<usize>,
    lane: Option<usize>,
}

/// Whoever has a peer id.
#[derive(Clone, Default, Debug)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) lane: Option<usize>,
    /// The node that tells of itself in this trace.
    pub(super) node: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Swarm {
    by_id: BTreeMap<String, usize>,
    pub(super) persons: Vec<Person>,
    pub(super) lanes: Vec<Lane>,
    others: Option<usize>,
    connections: BTreeMap<(u32, u64), Connection>,
    /// The lanes of our connections that have ended.
    ended: BTreeMap<u64, usize>,
    pub(super) met: usize,
}

impl Default for Swarm {
    fn default() -> Self {
        let we = Person {
            name: "you".into(),
            node: Some(0),
            ..Person::default()
        };
        Self {
            by_id: BTreeMap::new(),
            persons: vec![we],
            lanes: Vec::new(),
            others: None,
            connections: BTreeMap::new(),
            ended: BTreeMap::new(),
            met: 0,
        }
    }
}

/// At most `most` characters of foreign text, without control characters and without those that
/// turn the direction of writing.
pub(super) fn short(text: &str, most: usize) -> String {
    // Cut before, so that little is escaped, and after, because escaped text is longer.
    let start: String = text.trim().chars().take(most + 1).collect();
    let safe = human::escaped(&start);
    if safe.chars().count() <= most {
        return safe;
    }
    let kept = safe.chars().take(most.saturating_sub(1));
    kept.chain(['…']).collect()
}

impl Swarm {
    pub(super) fn node(&mut self, node: u32, id: &str, name: &str) {
        let person = match node {
            0 if !id.is_empty() => {
                self.by_id.insert(short(id, 40), WE);
                Some(WE)
            }
            0 => Some(WE),
            _ => self.person(id),
        };
        let Some(person) = person else { return };
        let person = &mut self.persons[person];
        person.node = Some(node);
        if !name.is_empty() && node > 0 {
            person.name = short(name, 24);
        }
    }

    /// The person with this peer id. `None`: there are too many, or it has none.
    fn person(&mut self, id: &str) -> Option<usize> {
        let id = short(id, 40);
        if let Some(person) = self.by_id.get(&id) {
            return Some(*person);
        }
        if id.is_empty() || self.persons.len() >= PERSONS {
            return None;
        }
        self.persons.push(Person::default());
        self.by_id.insert(id, self.persons.len() - 1);
        Some(self.persons.len() - 1)
    }

    fn connection(&mut self, node: u32, conn: u64) -> Option<&mut Connection> {
        let key = (node, conn);
        if !self.connections.contains_key(&key) {
            if self.connections.len() >= CONNECTIONS {
                return None;
            }
            self.connections.insert(key, Connection::default());
        }
        self.connections.get_mut(&key)
    }

    pub(super) fn came(&mut self, at: Ms, conn: u64, addr: &str, over: &str, dialled: bool) {
        self.met += 1;
        let web = over == "http";
        let how = match (web, dialled) {
            (true, _) => "It is a web server that has the files.",
            (_, true) => "You dialled it.",
            (_, false) => "It dialled you.",
        };
        if let Some(connection) = self.connection(0, conn) {
            connection.addr = short(addr, 60);
            connection.came = Some((at, how.into()));
            connection.web = web;
        }
    }

    pub(super) fn greeted(&mut self, node: u32, conn: u64, id: &str, name: &str) {
        let person = self.person(id);
        if let Some(connection) = self.connection(node, conn) {
            connection.person = person;
        }
        if node == 0
            && let Some(lane) = self.lane(conn)
            && !name.is_empty()
        {
            self.lanes[lane].name = short(name, 24);
        }
    }

    /// The lane of our connection `conn`, a new one at first. `None`: there are too many
    /// connections.
    pub(super) fn lane(&mut self, conn: u64) -> Option<usize> {
        // A peer may be banned when its connection has ended.
        if let Some(lane) = self.ended.get(&conn) {
            return Some(*lane);
        }
        let connection = self.connection(0, conn)?.clone();
        if connection.lane.is_some() {
            return connection.lane;
        }
        let known = connection
            .person
            .and_then(|person| self.persons[person].lane);
        let is_full = self.lanes.len() >= LANES;
        let lane = match (known, is_full) {
            (Some(lane), _) => lane,
            (None, false) => self.new_lane(&connection),
            (None, true) => self.common_lane(),
        };
        if let Some((at, how)) = connection.came
            && self.others != Some(lane)
        {
            self.lanes[lane].tell(at, how);
        }
        self.connection(0, conn)?.lane = Some(lane);
        Some(lane)
    }

    fn new_lane(&mut self, connection: &Connection) -> usize {
        let lane = self.lanes.len();
        let person = match connection.person {
            Some(person) if person != WE => person,
            _ => {
                self.persons.push(Person::default());
                self.persons.len() - 1
            }
        };
        self.persons[person].lane = Some(lane);
        self.lanes.push(Lane {
            person,
            name: String::new(),
            client: String::new(),
            addr: connection.addr.clone(),
            kind: if connection.web {
                Kind::Seed
            } else {
                Kind::Leech
            },
            lied: false,
            web: connection.web,
            gave: 0,
            took: 0,
            unchoked_us: None,
            events: Vec::new(),
            more_events: false,
            place: lane,
            colour: COLD[8],
        });
        lane
    }

    fn common_lane(&mut self) -> usize {
        if let Some(lane) = self.others {
            return lane;
        }
        let lane = self.new_lane(&Connection::default());
        self.lanes[lane].name = "all others".into();
        self.lanes[lane].kind = Kind::Others;
        self.others = Some(lane);
        lane
    }

    pub(super) fn lane_of(&self, conn: u64) -> Option<usize> {
        self.connections.get(&(0, conn))?.lane
    }

    /// The person at the other end of a connection of `node`.
    pub(super) fn person_of(&self, node: u32, conn: u64) -> Option<usize> {
        let connection = self.connections.get(&(node, conn))?;
        let of_lane = || Some(self.lanes[connection.lane?].person);
        connection.person.or_else(of_lane)
    }

    /// The person that `node` is.
    pub(super) fn self_of(&self, node: u32) -> Option<usize> {
        self.persons
            .iter()
            .position(|person| person.node == Some(node))
    }

    pub(super) fn gone(&mut self, node: u32, conn: u64) {
        let ended = self.connections.remove(&(node, conn));
        if let Some(lane) = ended.and_then(|connection| connection.lane) {
            self.ended.insert(conn, lane);
            if self.ended.len() > CONNECTIONS {
                self.ended.pop_first();
            }
        }
    }

    /// Gives each lane a name of its own, a place and a colour, once all is known.
    pub(super) fn settle(&mut self) {
        self.name_all();
        let group = |lane: &Lane| match lane {
            Lane {
                kind: Kind::Others, ..
            } => 3,
            Lane { lied: true, .. } => 1,
            Lane {
                kind: Kind::Seed, ..
            } => 0,
            _ => 2,
        };
        let mut order: Vec<usize> = (0..self.lanes.len()).collect();
        order.sort_by_key(|lane| {
            let l = &self.lanes[*lane];
            (group(l), std::cmp::Reverse((l.gave, l.took)), *lane)
        });
        let (mut warm, mut cold) = (WARM.iter(), COLD.iter());
        for (place, lane) in order.into_iter().enumerate() {
            let lane = &mut self.lanes[lane];
            lane.place = place;
            lane.colour = match group(lane) {
                0 => warm.next().unwrap_or(&WARM[4]),
                1 => "x",
                2 => cold.next().unwrap_or(&COLD[8]),
                _ => COLD[8],
            };
        }
    }

    /// A peer's name is that of its node, else its client's without the version, else its address.
    /// Equal names are numbered.
    fn name_all(&mut self) {
        let mut taken = BTreeMap::new();
        for lane in &mut self.lanes {
            let node_name = &self.persons[lane.person].name;
            let words = lane.client.split([' ', '/']).take_while(|word| {
                !word
                    .trim_start_matches('v')
                    .starts_with(|c: char| c.is_ascii_digit())
            });
            let client = words.collect::<Vec<_>>().join(" ");
            let named = [node_name, &lane.name, &client, &lane.addr];
            let name = named.into_iter().find(|name| !name.is_empty());
            let name = name.map_or_else(|| "a peer".to_string(), |name| short(name, 24));
            let times = taken.entry(name.clone()).or_insert(0);
            *times += 1;
            lane.name = match times {
                1 => name,
                _ => format!("{name} {times}"),
            };
            self.persons[lane.person].name.clone_from(&lane.name);
        }
    }
}
