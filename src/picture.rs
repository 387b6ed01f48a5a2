//! Draws a swarm: makes one HTML page out of the facts of a trace, for `storrent report`.
//!
//! ```text
//! a line ──> line ──> Picture: swarm   who is there            ──> stops ──> page ──> HTML
//!                              work    who was asked for what      what is     with page.css
//!                              copies  how rare each piece was     worth a     and the scripts
//!                              sums    rates, unchokes             look
//! ```
//!
//! The page needs nothing from outside: style, scripts and data are in it. Its scripts
//! (`picture/*.js`, which are for reading, too) draw it; without them it still has the headline,
//! the sentences, the figures of every peer and a still picture.
//!
//! A trace may have any length and hold anything. What is kept has a limit, and so has the page: 5
//! MiB. What does not fit is summed (see [`sums`], [`work`], [`copies`]), and the page says so.
//! Names of peers, torrents and trackers are foreign text: they are cut, and [`page`] lets none of
//! them become HTML.
//!
//! Pure: lines go in, the page comes out. The same lines make the same page.

mod beside;
mod copies;
mod data;
mod line;
mod page;
mod stops;
mod sums;
mod svg;
mod swarm;
mod work;

use crate::layout::{BLOCK_LEN, MAX_PIECES};
pub(crate) use beside::beside;
use copies::{Copies, Rarity};
use line::{Line, bits};
use std::collections::BTreeSet;
use sums::{Ms, Sample, Samples, Spans, Thinned};
use swarm::{Kind, Swarm, WE, short};
use work::{Begun, End, Work};

/// The most lies and bans that the page tells.
const LIES: usize = 100;

/// The torrent that is drawn, by its `torrent` fact.
#[derive(Default, Debug)]
struct Subject {
    name: String,
    pieces: u32,
    piece_length: u64,
    total: u64,
}

#[derive(Debug)]
struct Round {
    at: Ms,
    unchoked: Vec<usize>,
    optimistic: Option<usize>,
    /// The peers that want something of us, with the bytes a second that they gave us, best first.
    wanting: Vec<(usize, u64)>,
    slots: Option<u32>,
    seeding: bool,
}

/// Work that moved from one peer to another, or is now asked of both.
#[derive(Debug)]
struct Move {
    at: Ms,
    piece: u32,
    blocks: (u32, u32),
    /// Unknown where nobody loses it.
    loser: Option<usize>,
    by: usize,
    too: bool,
}

#[derive(Debug)]
struct Ban {
    at: Ms,
    lane: usize,
    piece: Option<u32>,
    blocks: Vec<u32>,
    why: String,
}

/// How often the rarest piece was taken.
#[derive(Default, Debug)]
struct Choices {
    /// Grants that the trace calls rarest.
    rarest: u32,
    /// Of these, the ones where the giver had none rarer.
    right: u32,
    /// Of these, the ones that a seed gave.
    of_seeds: u32,
    /// Of these, the ones where nobody had one rarer.
    right_of_seeds: u32,
}

/// A trace, summed as far as it has been read.
#[derive(Debug)]
pub(crate) struct Picture {
    info_hash: Option<String>,
    others: BTreeSet<String>,
    subject: Option<Subject>,
    /// How many pieces were there at the start.
    had: u32,
    verified: u32,
    facts: u64,
    broken: u64,
    lost: u64,
    end: Ms,
    endgame: Option<Ms>,
    complete: Option<Ms>,
    swarm: Swarm,
    work: Work,
    copies: Copies,
    choices: Choices,
    samples: Samples,
    /// Who unchokes whom, by persons: the giver, the taker.
    gives: Spans,
    rounds: Thinned<Round>,
    wanting: usize,
    moves: Thinned<Move>,
    /// How many of all moves ask a second peer as well.
    twice: usize,
    lies: Vec<(Ms, u32)>,
    bans: Vec<Ban>,
}

impl Default for Picture {
    fn default() -> Self {
        Self {
            info_hash: None,
            others: BTreeSet::new(),
            subject: None,
            had: 0,
            verified: 0,
            facts: 0,
            broken: 0,
            lost: 0,
            end: 0,
            endgame: None,
            complete: None,
            swarm: Swarm::default(),
            work: Work::default(),
            copies: Copies::default(),
            choices: Choices::default(),
            samples: Samples::default(),
            gives: Spans::default(),
            rounds: Thinned::new(300),
            wanting: 0,
            moves: Thinned::new(2000),
            twice: 0,
            lies: Vec::new(),
            bans: Vec::new(),
        }
    }
}

impl Picture {
    pub(crate) fn line(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        match Line::read(text) {
            Some(line) => self.fact(&line),
            None => self.broken += 1,
        }
    }

    /// Counts a line that could not even be read as text.
    pub(crate) fn broken_line(&mut self) {
        self.broken += 1;
    }

    /// How many lines were no facts.
    pub(crate) fn broken(&self) -> u64 {
        self.broken
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.facts == 0
    }

    pub(crate) fn html(mut self) -> String {
        for conn in self.work.busy() {
            if let Some(lane) = self.swarm.lane_of(conn) {
                self.work.gone(self.end, conn, lane, End::Open);
            }
        }
        self.swarm.settle();
        self.work.fit();
        page::html(&mut self)
    }

    /// Whether a fact is of the torrent that is drawn, the first that is named. Counts the others.
    fn is_ours(&mut self, line: &Line) -> bool {
        let Some(hash) = line.torrent.as_deref() else {
            return true;
        };
        let hash = short(hash, 64);
        let ours = self.info_hash.get_or_insert_with(|| hash.clone());
        if *ours != hash && self.others.len() < 1000 {
            self.others.insert(hash.clone());
        }
        *ours == hash
    }

    fn fact(&mut self, line: &Line) {
        self.facts += 1;
        if !self.is_ours(line) {
            return;
        }
        // Time does not run back: a line that says so counts as late as the one before it.
        let at = line.at().max(self.end);
        self.end = at;
        match (line.node, line.peer) {
            (0, None) => self.of_ourselves(at, line),
            (0, Some(conn)) => self.of_a_peer(at, conn, line),
            (node, conn) => self.of_another_node(at, node, conn, line),
        }
    }

    /// What another node of the same trace tells: only who it is and whom it unchokes.
    fn of_another_node(&mut self, at: Ms, node: u32, conn: Option<u64>, line: &Line) {
        let pair = |swarm: &Swarm| {
            let giver = swarm.self_of(node)?;
            let taker = swarm.person_of(node, conn?)?;
            // Our own facts say whether it unchokes us.
            (taker != WE).then_some((giver, taker))
        };
        match (&*line.fact, &*line.who, conn) {
            ("torrent", ..) => self.swarm.node(node, &line.peer_id, &line.node_name),
            ("handshake", _, Some(conn)) => self.swarm.greeted(node, conn, &line.peer_id, ""),
            ("unchoked", "us", _) => {
                if let Some(pair) = pair(&self.swarm) {
                    self.gives.begin(at, pair);
                }
            }
            ("choked", "us", _) | ("closed", ..) => {
                if let Some(pair) = pair(&self.swarm) {
                    self.gives.end(at, pair);
                }
                if let ("closed", Some(conn)) = (&*line.fact, conn) {
                    self.swarm.gone(node, conn);
                }
            }
            _ => {}
        }
    }

    /// A fact that is not of a single peer.
    fn of_ourselves(&mut self, at: Ms, line: &Line) {
        match (&*line.fact, line.piece) {
            ("torrent", _) => self.start(line),
            ("verified", Some(piece)) => self.verify(at, piece),
            ("false", Some(piece)) if self.lies.len() < LIES => self.lies.push((at, piece)),
            ("taken_over", Some(piece)) => self.take_over(at, piece, line),
            ("round", _) => self.round(at, line),
            ("endgame", _) => {
                self.endgame.get_or_insert(at);
            }
            // If all was there from the start, the picture ends with the trace.
            ("complete", _) if self.verified > 0 => {
                self.complete.get_or_insert(at);
            }
            ("lost", _) => self.lost = self.lost.saturating_add(line.facts),
            _ => {}
        }
    }

    fn start(&mut self, line: &Line) {
        self.swarm.node(0, &line.peer_id, &line.node_name);
        if self.subject.is_some() || u64::from(line.pieces) > MAX_PIECES {
            return;
        }
        let had: BTreeSet<u32> = bits(&line.have, line.pieces).collect();
        self.had = had.len() as u32;
        let left = (0..line.pieces).filter(|piece| !had.contains(piece));
        self.copies.start(line.pieces, left);
        self.subject = Some(Subject {
            name: short(&line.name, 200),
            pieces: line.pieces,
            piece_length: line.piece_length.max(1),
            total: line.total_bytes,
        });
    }

    /// The bytes of the blocks `from..to` of a piece.
    fn bytes(&self, piece: u32, (from, to): (u32, u32)) -> u64 {
        let Some(subject) = &self.subject else {
            return 0;
        };
        let start = u64::from(piece).saturating_mul(subject.piece_length);
        let left = subject
            .total
            .saturating_sub(start)
            .min(subject.piece_length);
        let at = |block: u32| (u64::from(block) * u64::from(BLOCK_LEN)).min(left);
        at(to).saturating_sub(at(from))
    }

    fn verify(&mut self, at: Ms, piece: u32) {
        self.verified += 1;
        let rank = self.work.rank(piece).map(|rank| rank as usize);
        if let Some(begun) = rank.and_then(|rank| self.work.begun.get_mut(rank)) {
            begun.verified = Some(at);
        }
    }

    fn take_over(&mut self, at: Ms, piece: u32, line: &Line) {
        let by = line.by.and_then(|conn| self.swarm.lane(conn));
        let (Some(by), Some(conn)) = (by, line.by) else {
            return;
        };
        let loser = line.peer.and_then(|conn| self.swarm.lane_of(conn));
        let blocks = (line.from, line.to);
        self.twice += usize::from(line.too);
        self.moves.push(Move {
            at,
            piece,
            blocks,
            loser,
            by,
            too: line.too,
        });
        self.work
            .order(at, conn, piece, blocks, work::why("taken over"));
    }

    fn round(&mut self, at: Ms, line: &Line) {
        let lane = |conn: &u64| self.swarm.lane_of(*conn);
        let wanting = line.wanting.iter().take(60);
        let round = Round {
            at,
            unchoked: line.unchoked.iter().take(60).filter_map(lane).collect(),
            optimistic: line.optimistic.as_ref().and_then(lane),
            wanting: wanting
                .filter_map(|(conn, rate)| Some((lane(conn)?, *rate as u64)))
                .collect(),
            slots: line.slots,
            seeding: line.seeding,
        };
        self.wanting = self.wanting.max(round.wanting.len());
        self.rounds.push(round);
    }

    fn of_a_peer(&mut self, at: Ms, conn: u64, line: &Line) {
        match &*line.fact {
            "dialled" => self.swarm.came(at, conn, &line.addr, &line.over, true),
            "accepted" => self.swarm.came(at, conn, &line.addr, &line.over, false),
            "closed" => self.closed(at, conn, line),
            "handshake" => self.swarm.greeted(0, conn, &line.peer_id, &line.name),
            // These have a peer, but are facts of a piece.
            "verified" | "false" | "taken_over" | "round" => self.of_ourselves(at, line),
            "interested" | "uninterested" | "torrent" => {}
            _ => {
                if let Some(lane) = self.swarm.lane(conn) {
                    self.of_a_lane(at, conn, lane, line);
                }
            }
        }
    }

    fn of_a_lane(&mut self, at: Ms, conn: u64, lane: usize, line: &Line) {
        let blocks = (line.from, line.to);
        let person = self.swarm.lanes[lane].person;
        match (&*line.fact, &*line.who, line.piece) {
            ("client", ..) => self.swarm.lanes[lane].client = short(&line.client, 40),
            ("has", ..) => {
                let is_all = self.copies.has(at, conn, line.pieces, &line.bits);
                let pieces = self.subject.as_ref().map_or(0, |subject| subject.pieces);
                let lane = &mut self.swarm.lanes[lane];
                let is_new = lane.kind == Kind::Leech && lane.gave == 0;
                if is_new && (is_all || (pieces > 0 && line.pieces >= pieces)) {
                    lane.kind = Kind::Seed;
                }
            }
            ("have", _, Some(piece)) => self.copies.have(at, conn, piece),
            ("unchoked", "us", _) => self.gives.begin(at, (WE, person)),
            ("choked", "us", _) => self.gives.end(at, (WE, person)),
            ("unchoked", ..) => {
                self.swarm.lanes[lane].unchoked_us.get_or_insert(at);
                self.gives.begin(at, (person, WE));
            }
            ("choked", ..) => self.gives.end(at, (person, WE)),
            ("granted", _, Some(piece)) => self.grant(at, (conn, lane), piece, line),
            ("stored", _, Some(piece)) => self.stored(at, (conn, lane), piece, blocks),
            ("given_back", _, Some(piece)) => {
                let end = End::of(&line.why);
                self.work.end(at, (conn, lane), piece, blocks, end);
            }
            ("window", ..) => self.samples.add(
                at,
                lane,
                Sample {
                    on_order: line.on_order.saturating_add(1),
                    window: line.window().saturating_add(1),
                    ..Sample::default()
                },
            ),
            ("gave", ..) => {
                let took = line.bytes;
                let sample = Sample {
                    took,
                    ..Sample::default()
                };
                self.samples.add(at, lane, sample);
                let all = &mut self.swarm.lanes[lane].took;
                *all = all.saturating_add(took);
            }
            ("snubbed", ..) => {
                let what = "It owed blocks and sent none: snubbed.";
                self.swarm.lanes[lane].tell(at, what.into());
            }
            ("banned", ..) => self.ban(at, lane, line),
            _ => {}
        }
    }

    fn grant(&mut self, at: Ms, (conn, lane): (u64, usize), piece: u32, line: &Line) {
        let pieces = self.subject.as_ref().map_or(0, |subject| subject.pieces);
        if piece >= pieces {
            return;
        }
        let why = work::why(&line.why);
        if self.work.rank(piece).is_none() {
            let rarity = self.copies.begin(conn, piece);
            if let Some(rarity) = rarity
                && line.why == "rarest"
            {
                self.count_choice(lane, rarity);
            }
            self.work.begin(Begun {
                piece,
                at,
                lane,
                why,
                rarity,
                verified: None,
            });
        }
        self.work.order(at, conn, piece, (line.from, line.to), why);
    }

    fn count_choice(&mut self, lane: usize, rarity: Rarity) {
        let choices = &mut self.choices;
        choices.rarest += 1;
        choices.right += u32::from(rarity.copies <= rarity.of_giver);
        if self.swarm.lanes[lane].kind == Kind::Seed {
            choices.of_seeds += 1;
            choices.right_of_seeds += u32::from(rarity.copies <= rarity.rarest);
        }
    }

    fn stored(&mut self, at: Ms, (conn, lane): (u64, usize), piece: u32, blocks: (u32, u32)) {
        let gave = self.bytes(piece, blocks);
        let person = &mut self.swarm.lanes[lane];
        person.gave = person.gave.saturating_add(gave);
        let sample = Sample {
            gave,
            ..Sample::default()
        };
        self.samples.add(at, lane, sample);
        self.work.end(at, (conn, lane), piece, blocks, End::Stored);
    }

    fn ban(&mut self, at: Ms, lane: usize, line: &Line) {
        self.swarm.lanes[lane].lied = true;
        if self.bans.len() < LIES {
            self.bans.push(Ban {
                at,
                lane,
                piece: line.piece,
                blocks: line.differed().to_vec(),
                why: short(&line.why, 80),
            });
        }
    }

    fn closed(&mut self, at: Ms, conn: u64, line: &Line) {
        if let Some(lane) = self.swarm.lane_of(conn) {
            let person = self.swarm.lanes[lane].person;
            self.gives.end(at, (person, WE));
            self.gives.end(at, (WE, person));
            self.work.gone(at, conn, lane, End::Closed);
            if self.swarm.lanes[lane].kind != Kind::Others {
                let why = short(&line.why, 120);
                self.swarm.lanes[lane].tell(at, format!("The connection ended: {why}."));
            }
        }
        self.copies.gone(at, conn);
        self.swarm.gone(0, conn);
    }
}

#[cfg(test)]
mod tests;
