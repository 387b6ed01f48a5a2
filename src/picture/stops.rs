//! Finds the moments of a trace that are worth a look. Writes the headline, and the numbered stops,
//! each a view of the picture with two or three sentences.
//!
//! The sentences are HTML. Foreign text goes through [`who`] or [`escape`].

use super::page::escape;
use super::sums::Ms;
use super::swarm::Kind;
use super::work::{Begun, End};
use super::{Move, Picture, Round};
use crate::human::{count, duration, grouped, rate, size};
use serde::Serialize;
use std::time::Duration;

#[derive(Clone, Copy, Serialize, PartialEq, Debug)]
#[serde(rename_all = "lowercase")]
pub(super) enum Order {
    Begun,
    End,
}

/// The picture in which a stop's number stands.
#[derive(Clone, Copy, Serialize, PartialEq, Debug)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    Nowhere,
    Pieces,
    Rarest,
    Lanes,
}

#[derive(Serialize, Debug)]
pub(super) struct Stop {
    pub(super) title: &'static str,
    /// Its sentences, each a paragraph of HTML, which stand in the page and not in the data.
    #[serde(skip)]
    pub(super) text: Vec<String>,
    /// What "now" is.
    pub(super) at: Ms,
    pub(super) from: Ms,
    pub(super) to: Ms,
    pub(super) order: Order,
    pub(super) piece: Option<u32>,
    /// Whether only the rows beside that piece are shown.
    pub(super) near: bool,
    pub(super) place: Place,
    /// Where its number stands.
    pub(super) mark: Ms,
}

/// A time in words, with the digits that it deserves.
pub(super) fn time(ms: Ms) -> String {
    let seconds = ms as f64 / 1000.0;
    match ms {
        0..10_000 => format!("{seconds:.2} s"),
        10_000..120_000 => format!("{seconds:.1} s"),
        _ => duration(Duration::from_millis(ms)),
    }
}

/// A share in per cent; "less than 1" and "over 99" where rounding would lie.
fn percent(part: u64, whole: u64) -> String {
    let exact = 100.0 * part as f64 / whole.max(1) as f64;
    match part {
        0 => "0 %".into(),
        _ if part >= whole => "100 %".into(),
        _ if exact < 1.0 => "less than 1 %".into(),
        _ if exact > 99.0 => "over 99 %".into(),
        _ => format!("{exact:.0} %"),
    }
}

/// "block 3", or "blocks 3 to 5": of the half open run `from..to`.
fn blocks((from, to): (u32, u32)) -> String {
    match to.saturating_sub(from) {
        0 | 1 => format!("block {from}"),
        _ => format!("blocks {from} to {}", to - 1),
    }
}

/// The name of a lane with its colour.
pub(super) fn who(picture: &Picture, lane: usize) -> String {
    let lane = &picture.swarm.lanes[lane];
    let (colour, name) = (lane.colour, escape(&lane.name));
    format!("<span class=\"who\"><i class=\"{colour}\"></i>{name}</span>")
}

/// Several names: "anna, ben and cleo"; at most four of them.
fn names(picture: &Picture, lanes: &[usize]) -> String {
    let shown = lanes.len().min(4);
    let mut parts: Vec<String> = lanes[..shown].iter().map(|l| who(picture, *l)).collect();
    if lanes.len() > shown {
        parts.push(format!("{} more", lanes.len() - shown));
    }
    match parts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} and {last}", first.join(", ")),
        None => "nobody".into(),
    }
}

/// Bytes that came, from seeds and from leeches.
fn sources(picture: &Picture) -> (u64, u64) {
    let lanes = &picture.swarm.lanes;
    let sum = |seeds: bool| {
        let of_kind = lanes.iter().filter(|l| (l.kind == Kind::Seed) == seeds);
        of_kind.fold(0u64, |sum, lane| sum.saturating_add(lane.gave))
    };
    (sum(true), sum(false))
}

/// When the picture is over: complete, or the trace ends.
fn over(picture: &Picture) -> Ms {
    picture.complete.unwrap_or(picture.end)
}

/// The headline, one sentence of plain text.
pub(super) fn headline(picture: &Picture) -> String {
    let took = time(over(picture));
    let Some(subject) = &picture.subject else {
        return format!("{took} in which no torrent became known");
    };
    let name = match &*subject.name {
        "" => "A torrent",
        name => name,
    };
    let (seeds, leeches) = sources(picture);
    let given = picture.swarm.lanes.iter().map(|lane| lane.took);
    let given = given.fold(0u64, u64::saturating_add);
    let all = u64::from(subject.pieces);
    let came = match (picture.verified, picture.complete) {
        (0, _) if given > 0 => return format!("{name}: {} given away in {took}", size(given)),
        (0, _) => return format!("{name}: no piece came in {took}"),
        (n, Some(_)) if picture.had == 0 => count(n.into(), "piece"),
        (n, Some(_)) => format!("the missing {}", count(n.into(), "piece")),
        (n, None) => format!("{} of {}", grouped(n.into()), count(all, "piece")),
    };
    let from = match leeches {
        0 if seeds > 0 => ", all of it from seeds".into(),
        0 => String::new(),
        _ => {
            let share = percent(leeches, seeds.saturating_add(leeches));
            format!(", {share} from peers that lacked something")
        }
    };
    format!("{name}: {came} in {took}{from}")
}

/// The line below it, as HTML: who, the lie, the endgame.
pub(super) fn subline(picture: &Picture) -> String {
    let (seeds, leeches) = sources(picture);
    let gave = |kind: Kind| {
        let lanes = picture.swarm.lanes.iter();
        lanes
            .filter(|l| l.kind == kind && l.gave > 0 && !l.lied)
            .count() as u64
    };
    let leech = |n: u64| {
        if n == 1 {
            "1 leech".into()
        } else {
            format!("{n} leeches")
        }
    };
    let mut text = match (gave(Kind::Seed), gave(Kind::Leech)) {
        (0, 0) => format!(
            "{} were met, as you saw it.",
            count(picture.swarm.met as u64, "peer")
        ),
        (s, l) => {
            let who = match (s, l) {
                (s, 0) => count(s, "seed"),
                (0, l) => leech(l),
                (s, l) => format!("{} and {}", count(s, "seed"), leech(l)),
            };
            format!(
                "{} from {who}, as you saw it.",
                size(seeds.saturating_add(leeches))
            )
        }
    };
    let mut liars: Vec<usize> = picture.bans.iter().map(|ban| ban.lane).collect();
    liars.sort_unstable();
    liars.dedup();
    if !liars.is_empty() {
        text += &format!(" {} lied and was found.", names(picture, &liars));
    }
    if let (Some(from), Some(to)) = (picture.endgame, picture.complete) {
        text += &format!(" The endgame took {}.", time(to.saturating_sub(from)));
    }
    text
}

pub(super) fn stops(picture: &Picture) -> Vec<Stop> {
    let found = [rarest, served, lie, slow, wait, endgame];
    let others = found.iter().filter_map(|find| find(picture));
    std::iter::once(whole(picture)).chain(others).collect()
}

/// A stop between two times, with a little room on both sides.
fn between(
    picture: &Picture,
    title: &'static str,
    (from, to): (Ms, Ms),
    text: Vec<String>,
) -> Stop {
    let room = (to.saturating_sub(from) / 8).max(200);
    Stop {
        title,
        text,
        at: to,
        from: from.saturating_sub(room),
        to: to.saturating_add(room).min(picture.end.max(to)),
        order: Order::Begun,
        piece: None,
        near: false,
        place: Place::Pieces,
        mark: to,
    }
}

fn whole(picture: &Picture) -> Stop {
    let (seeds, leeches) = sources(picture);
    let mut text = vec![
        "Rows are pieces, time runs to the right. Each dash is a run of blocks: pale while it is \
         awaited, full where it arrives, in the colour of the peer who gave it. <b>Warm colours \
         are seeds, cool ones are leeches</b>: peers that, like you, lacked something when they came."
            .to_string(),
    ];
    if seeds > 0 && leeches > 0 {
        let share = percent(leeches, seeds.saturating_add(leeches));
        text.push(format!(
            "{share} came from leeches. The seeds gave the rest. That is what a swarm is for."
        ));
    }
    text.push(
        "Steep where blocks come fast, flat where you wait. Long pale dashes are slow peers."
            .into(),
    );
    let over = over(picture);
    let to = picture.end.min(over.saturating_add(over / 20));
    Stop {
        from: 0,
        to,
        // So that the reader sees the present and the veil over the future at once.
        at: over / 5 * 3,
        place: Place::Nowhere,
        ..between(picture, "The whole", (0, over), text)
    }
}

fn rarest(picture: &Picture) -> Option<Stop> {
    let choices = &picture.choices;
    if choices.rarest < 5 {
        return None;
    }
    let spread = |begun: &&Begun| {
        let rarity = begun.rarity.filter(|r| r.copies == r.rarest);
        rarity.map_or(0, |r| r.commonest - r.rarest)
    };
    let best = picture.work.begun.iter().max_by_key(spread)?;
    let rarity = best.rarity?;
    let mut text = vec![format!(
        "Of what the giver had, the rarest piece was taken in <b>{} of {}</b> choices. For if the \
         last peer that has a piece leaves, nobody can finish.",
        choices.right, choices.rarest
    )];
    if choices.of_seeds > 0 {
        text.push(format!(
            "A seed has every piece, so you could choose the rarest of all: {} of {} dots of seeds \
             are on the lower edge. Leeches' dots stand above it where they lack the rarest.",
            choices.right_of_seeds, choices.of_seeds
        ));
    }
    text.push(format!(
        "At {} you began piece {} at {}: it had {}; of the pieces that were left, the commonest \
         had {}.",
        time(best.at),
        best.piece,
        who(picture, best.lane),
        copies(rarity.copies),
        rarity.commonest
    ));
    let whole = whole(picture);
    Some(Stop {
        title: "Rarest first",
        text,
        at: best.at,
        mark: best.at,
        piece: Some(best.piece),
        place: Place::Rarest,
        ..whole
    })
}

fn copies(number: u32) -> String {
    match number {
        1 => "1 copy".into(),
        _ => format!("{number} copies"),
    }
}

fn served(picture: &Picture) -> Option<Stop> {
    let rounds = &picture.rounds.list;
    let waits = |round: &&Round| {
        round
            .wanting
            .iter()
            .any(|(l, _)| !round.unchoked.contains(l))
    };
    let wants = |round: &&Round| !round.wanting.is_empty();
    let found = rounds.iter().find(waits);
    let round = found.or_else(|| rounds.iter().find(wants))?;
    let text = served_words(picture, round);
    let span = (
        round.at.saturating_sub(6000),
        round.at.saturating_add(10_000),
    );
    let stop = between(picture, "Who is served", span, text);
    let (at, place) = (round.at, Place::Lanes);
    Some(Stop {
        at,
        mark: at,
        place,
        ..stop
    })
}

/// Who wanted something in a choke round, and who got it.
fn served_words(picture: &Picture, round: &Round) -> Vec<String> {
    let waiting = round
        .wanting
        .iter()
        .filter(|(lane, _)| !round.unchoked.contains(lane));
    let waiting: Vec<(usize, u64)> = waiting.copied().collect();
    let got = round.wanting.len() - waiting.len();
    let measure = if round.seeding { "took" } else { "gave you" };
    let mut text = vec![match waiting.len() {
        0 => format!(
            "At {} {} wanted something of you, and nobody had to wait: choking begins when more \
             want something than you have places for.",
            time(round.at),
            count(got as u64, "peer")
        ),
        _ => format!(
            "At {} {} wanted something of you, and <b>{got} got it</b>: those who {measure} most \
             lately. Who gives is given.",
            time(round.at),
            count(round.wanting.len() as u64, "peer")
        ),
    }];
    if let Some(lane) = round.optimistic {
        text.push(format!(
            "One place goes by chance (ring), this time to {}: else nobody new could ever show \
             what he gives.",
            who(picture, lane)
        ));
    }
    if !waiting.is_empty() {
        let each = waiting.iter().take(4);
        let each = each.map(|(lane, bytes)| format!("{} ({})", who(picture, *lane), rate(*bytes)));
        let each: Vec<String> = each.collect();
        let more = match waiting.len() - each.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        text.push(format!(
            "Not served, with what they gave: {}{more}.",
            each.join(", ")
        ));
    }
    text
}

fn lie(picture: &Picture) -> Option<Stop> {
    let (at, piece) = *picture.lies.first()?;
    let begun = &picture.work.begun[picture.work.rank(piece)? as usize];
    let row = picture.work.rank(piece)? / picture.work.pieces_a_row();
    let dashes = picture.work.dashes.iter();
    let gave = dashes.filter(|d| d.row == row && d.end == End::Stored && d.ended <= at);
    let mut givers: Vec<usize> = gave.map(|dash| dash.lane).collect();
    givers.sort_unstable();
    givers.dedup();
    let mut text = vec![match &givers[..] {
        [one] => format!(
            "Piece {piece} had the wrong hash at {}. {} had given all of it.",
            time(at),
            who(picture, *one)
        ),
        _ => format!(
            "Piece {piece} had the wrong hash at {}. {} peers had given blocks of it: who lied?",
            time(at),
            givers.len()
        ),
    }];
    let ban = picture.bans.iter().find(|ban| ban.piece == Some(piece));
    let until = match (ban, begun.verified) {
        (Some(ban), _) => {
            let which = match &ban.blocks[..] {
                [] => "the blocks that had changed were".to_string(),
                [one] => format!("block {one} had changed, and was"),
                many => format!("{} blocks had changed, and were", many.len()),
            };
            text.push(format!(
                "It was fetched again; {which} from {}, <b>banned {} later</b>. Hashes are of \
                 pieces, so a single peer gives the second try: then the difference is the proof.",
                who(picture, ban.lane),
                time(ban.at.saturating_sub(at))
            ));
            ban.at
        }
        (None, Some(done)) if done > at => {
            let later = time(done - at);
            text.push(format!("It was fetched again, and right {later} later."));
            done
        }
        _ => at,
    };
    let span = (begun.at, until.max(at));
    let stop = between(picture, "A lie", span, text);
    Some(Stop {
        mark: at,
        piece: Some(piece),
        near: true,
        ..stop
    })
}

fn slow(picture: &Picture) -> Option<Stop> {
    let work = &picture.work;
    let waited = |m: &Move| {
        let row = work.rank(m.piece)? / work.pieces_a_row();
        let of_loser = |d: &&super::work::Dash| d.row == row && Some(d.lane) == m.loser;
        let dashes = work.dashes.iter().filter(of_loser);
        let its = dashes.filter(|d| d.granted <= m.at && d.from < m.blocks.1 && m.blocks.0 < d.to);
        its.map(|dash| dash.granted).max()
    };
    let moved = picture.moves.list.iter().filter(|m| !m.too).take(400);
    let known = moved.filter_map(|m| Some((m.at - waited(m)?, m)));
    let (wait, m) = known.max_by_key(|(wait, m)| (*wait, std::cmp::Reverse(m.at)))?;
    let row = work.rank(m.piece)? / work.pieces_a_row();
    let mut dashes = work.dashes.iter();
    let took = dashes.find(|d| d.row == row && d.lane == m.by && d.ended >= m.at);
    let number = picture.moves.seen() - picture.twice;
    let times = count(number as u64, "run");
    let mut text = vec![format!(
        "{times} of blocks moved from a slow peer to a faster one that had nothing left to do."
    )];
    let loser = m
        .loser
        .map_or_else(|| "a peer".into(), |lane| who(picture, lane));
    let mut longest = format!(
        "Here {} of piece {} had been on order at {loser} for {}; {} took over",
        blocks(m.blocks),
        m.piece,
        time(wait),
        who(picture, m.by)
    );
    longest += &match took.filter(|dash| dash.end == End::Stored) {
        Some(dash) => format!(" and gave them {} later.", time(dash.ended - m.at)),
        None => ".".into(),
    };
    text.push(longest);
    text.push("The circle is where it moved; the hollow dash is work that did not come.".into());
    let until = took.map_or(m.at, |dash| dash.ended.min(m.at + 4 * wait.max(500)));
    let stop = between(picture, "Slow peer", (m.at - wait, until), text);
    Some(Stop {
        mark: m.at,
        piece: Some(m.piece),
        near: true,
        ..stop
    })
}

fn wait(picture: &Picture) -> Option<Stop> {
    let work = &picture.work;
    let lives = work
        .begun
        .iter()
        .filter_map(|b| Some((b.verified?.saturating_sub(b.at), b)));
    let mut lives: Vec<(Ms, &Begun)> = lives.collect();
    lives.sort_by_key(|(life, begun)| (*life, std::cmp::Reverse(begun.at)));
    let (life, begun) = *lives.last()?;
    let (median, _) = lives[lives.len() / 2];
    if lives.len() < 10 || life < 1000 || life < 3 * median || work.is_summed() {
        return None;
    }
    let row = work.rank(begun.piece)?;
    let mut spans: Vec<(Ms, Ms)> = Vec::new();
    let its = work.dashes.iter().filter(|dash| dash.row == row);
    spans.extend(its.map(|dash| (dash.granted, dash.ended)));
    spans.sort_unstable();
    // The longest gap between them.
    let (mut until, mut gap) = (begun.at, (0, 0));
    for (from, to) in spans {
        if from.saturating_sub(until) > gap.1 {
            gap = (until, from - until);
        }
        until = until.max(to);
    }
    let mut text = vec![format!(
        "Piece {} took <b>{}</b> from its first request to its hash. Half of all pieces took less \
         than {}.",
        begun.piece,
        time(life),
        time(median)
    )];
    if gap.1 > life / 4 {
        text.push(format!(
            "From {} on it was on order nowhere for {} (bare line): its blocks had been given \
             back, and those who could give them were busy or choked you.",
            time(gap.0),
            time(gap.1)
        ));
    } else {
        text.push(format!(
            "It was begun at {}. Click on the row for its life.",
            who(picture, begun.lane)
        ));
    }
    let span = (begun.at, begun.at.saturating_add(life));
    let stop = between(picture, "The longest wait", span, text);
    Some(Stop {
        piece: Some(begun.piece),
        near: true,
        mark: begun.at,
        ..stop
    })
}

fn endgame(picture: &Picture) -> Option<Stop> {
    let (from, over) = (picture.endgame?, over(picture));
    let open = picture.work.begun.iter();
    let open = open.filter(|b| b.at <= from && b.verified.is_none_or(|done| done > from));
    let open = open.count() as u64;
    let took = over.saturating_sub(from);
    let twice = match picture.twice {
        0 => "None had to be asked of a second peer.".to_string(),
        1 => "One run of blocks was asked of a second peer; whoever was first won, and the other \
              was told to stop (hollow dash)."
            .into(),
        n => format!(
            "{n} runs of blocks were asked of a second peer; whoever was first won, and the other \
             was told to stop (hollow dashes)."
        ),
    };
    let text = vec![
        format!(
            "From {} on every missing block was on order somewhere: {} were open. {twice}",
            time(from),
            count(open, "piece")
        ),
        format!(
            "It took {}: {} of the time for {} of the pieces. Without it the last block would \
             wait for the slowest peer.",
            time(took),
            percent(took, over),
            percent(open, picture.verified.into())
        ),
    ];
    let stop = between(picture, "Endgame", (from, over), text);
    Some(Stop {
        order: Order::End,
        mark: from,
        ..stop
    })
}
