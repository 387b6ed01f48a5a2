//! What the scripts of the page draw, as JSON.
//!
//! Many of a kind are a flat list of numbers; `model.js` says what each list holds, and unpacks it.
//! Times are in ms, and -1 means unknown.

use super::Picture;
use super::stops::Stop;
use super::sums::Ms;
use super::swarm::{Kind, Lane, WE};
use super::work::ROWS;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// All data, safe within a script element.
pub(super) fn text(picture: &Picture, stops: &[Stop]) -> String {
    let subject = picture.subject.as_ref();
    let (people, edges) = people(picture);
    let rows = Rows::of(picture);
    let all_copies = picture.copies.all_changes();
    let all_copies = all_copies.flat_map(|(at, by)| [whole(at), by]);
    let data = json!({
        "end": picture.end,
        "endgame": picture.endgame,
        "complete": picture.complete,
        "had": picture.had,
        "pieces": subject.map_or(0, |s| s.pieces),
        "pieceLength": subject.map_or(0, |s| s.piece_length),
        "aRow": picture.work.pieces_a_row(),
        "lanes": lanes(picture),
        "rows": rows.flat,
        "idle": rows.idle,
        "dashes": dashes(picture),
        "moves": moves(picture, &rows),
        "lies": lies(picture, &rows),
        "bans": bans(picture, &rows),
        "copies": copies(picture, &rows),
        "allCopies": all_copies.collect::<Vec<i64>>(),
        "step": picture.samples.step,
        "samples": samples(picture),
        "rounds": rounds(picture),
        "people": people,
        "edges": edges,
        "stops": stops,
    });
    safe(&data.to_string())
}

/// Makes a JSON text safe within a script element: outside of strings JSON has none of these.
fn safe(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            _ => text.push(c),
        }
    }
    text
}

/// A number that a script can hold exactly.
fn whole(number: u64) -> i64 {
    number.min(1 << 53) as i64
}

fn place(picture: &Picture, lane: usize) -> i64 {
    picture.swarm.lanes[lane].place as i64
}

fn lanes(picture: &Picture) -> Vec<Value> {
    let mut lanes: Vec<&Lane> = picture.swarm.lanes.iter().collect();
    lanes.sort_by_key(|lane| lane.place);
    let one = |lane: &&Lane| {
        json!({
            "name": lane.name,
            "colour": lane.colour,
            "seed": lane.kind == Kind::Seed,
            "others": lane.kind == Kind::Others,
            "web": lane.web,
            "lied": lane.lied,
            "client": lane.client,
            "addr": lane.addr,
            "gave": whole(lane.gave),
            "took": whole(lane.took),
            "events": lane.events,
            "more": lane.more_events,
        })
    };
    lanes.iter().map(one).collect()
}

/// The names of all who may unchoke somebody (we, the lanes from the top, the other nodes), and who
/// unchokes whom, when, as places in that list.
fn people(picture: &Picture) -> (Vec<Value>, Vec<i64>) {
    let swarm = &picture.swarm;
    let mut places = BTreeMap::from([(WE, 0)]);
    let with_lane = swarm.lanes.iter().map(|lane| (lane.person, lane.place + 1));
    places.extend(with_lane);
    let nodes = swarm.persons.iter().enumerate();
    let more = nodes.filter(|(_, person)| person.node.is_some());
    for (index, _) in more {
        let next = places.len();
        places.entry(index).or_insert(next);
    }
    let mut people = vec![Value::Null; places.len()];
    for (person, place) in &places {
        let p = &swarm.persons[*person];
        let name = if p.name.is_empty() { "?" } else { &p.name };
        // Whoever tells of itself has a full row.
        people[*place] = json!([name, p.node.is_some()]);
    }
    let spans = picture.gives.all();
    let edges = spans.iter().filter_map(|(giver, taker, from, to)| {
        let (giver, taker) = (*places.get(giver)? as i64, *places.get(taker)? as i64);
        Some([giver, taker, whole(*from), whole(to - from)])
    });
    (people, edges.flatten().collect())
}

/// The rows of the first picture: the pieces in the order in which they were begun, then the
/// others.
struct Rows {
    of: BTreeMap<u32, i64>,
    flat: Vec<i64>,
    /// The pieces that are missing and were never begun.
    idle: Vec<u32>,
}

impl Rows {
    fn of(picture: &Picture) -> Self {
        let work = &picture.work;
        let a_row = work.pieces_a_row();
        let (mut of, mut flat) = (BTreeMap::new(), Vec::new());
        for (row, begun) in work.begun.chunks(a_row as usize).enumerate() {
            of.extend(begun.iter().map(|b| (b.piece, row as i64)));
            let first = &begun[0];
            let done = begun.iter().map(|b| b.verified);
            let done: Option<Vec<Ms>> = done.collect();
            let done = done.and_then(|all| all.into_iter().max());
            let known = |number: Option<u32>| number.map_or(-1, i64::from);
            flat.extend([
                first.piece.into(),
                whole(first.at),
                place(picture, first.lane),
                known(first.rarity.map(|r| r.copies)),
                known(first.rarity.map(|r| r.rarest)),
                known(first.rarity.map(|r| r.commonest)),
                first.why.into(),
                done.map_or(-1, whole),
            ]);
        }
        // Once all is there, a piece that was not begun was not wanted.
        let is_over = picture.complete.is_some() || a_row > 1;
        let idle: Vec<u32> = picture
            .copies
            .left()
            .take(ROWS)
            .filter(|_| !is_over)
            .collect();
        let begun = flat.len() / 8;
        of.extend(
            (begun as i64..)
                .zip(&idle)
                .map(|(row, piece)| (*piece, row)),
        );
        Self { of, flat, idle }
    }
}

/// The dashes in the order of their grants. Each time is counted from the one before.
fn dashes(picture: &Picture) -> Vec<i64> {
    let mut before = 0;
    let flat = picture.work.dashes.iter().flat_map(|dash| {
        let since = dash.granted - before;
        before = dash.granted;
        [
            whole(since),
            whole(dash.ended.saturating_sub(dash.granted)),
            place(picture, dash.lane),
            dash.row.into(),
            dash.from.into(),
            dash.to.into(),
            i64::from(dash.end as u8) * 8 + i64::from(dash.why),
        ]
    });
    flat.collect()
}

/// The changes of copies. Each time is counted from the one before.
fn copies(picture: &Picture, rows: &Rows) -> Vec<i64> {
    let mut before = 0;
    let changes = picture.copies.changes().filter_map(|(at, piece, by)| {
        let row = rows.of.get(&piece)?;
        let since = at - before;
        before = at;
        Some([whole(since), *row, by])
    });
    changes.flatten().collect()
}

/// What each lane did in each step of time.
fn samples(picture: &Picture) -> Vec<i64> {
    let samples = picture.samples.list.iter();
    let flat = samples.flat_map(|((lane, step), s)| {
        let known = |plus_one: u32| i64::from(plus_one) - 1;
        let (gave, took) = (whole(s.gave), whole(s.took));
        let (order, window) = (known(s.on_order), known(s.window));
        [
            place(picture, *lane),
            whole(*step),
            gave,
            took,
            order,
            window,
        ]
    });
    flat.collect()
}

fn moves(picture: &Picture, rows: &Rows) -> Vec<i64> {
    let moves = picture.moves.list.iter().filter_map(|m| {
        let row = rows.of.get(&m.piece)?;
        let loser = m.loser.map_or(-1, |lane| place(picture, lane));
        let (from, to) = (m.blocks.0.into(), m.blocks.1.into());
        let (at, by, too) = (whole(m.at), place(picture, m.by), m.too.into());
        Some([at, *row, from, to, loser, by, too])
    });
    moves.flatten().collect()
}

fn rounds(picture: &Picture) -> Vec<Value> {
    let place = |lane: usize| place(picture, lane);
    let rounds = picture.rounds.list.iter().map(|round| {
        let unchoked: Vec<i64> = round.unchoked.iter().map(|l| place(*l)).collect();
        let wanting = round.wanting.iter();
        let wanting = wanting.flat_map(|(lane, rate)| [place(*lane), whole(*rate)]);
        let wanting: Vec<i64> = wanting.collect();
        let chance = round.optimistic.map(place);
        json!([
            round.at,
            unchoked,
            chance,
            wanting,
            round.slots,
            round.seeding
        ])
    });
    rounds.collect()
}

fn lies(picture: &Picture, rows: &Rows) -> Vec<Value> {
    let lies = picture.lies.iter();
    let lies = lies.filter_map(|(at, piece)| Some(json!([at, rows.of.get(piece)?])));
    lies.collect()
}

fn bans(picture: &Picture, rows: &Rows) -> Vec<Value> {
    let bans = picture.bans.iter().map(|ban| {
        let row = ban.piece.and_then(|piece| rows.of.get(&piece));
        json!([ban.at, place(picture, ban.lane), row, ban.blocks, ban.why])
    });
    bans.collect()
}
