//! Writes the page: the frame `page.html`, the style, the scripts and the data.
//!
//! Foreign text gets into the page in two ways. Into HTML it goes through [`escape`]. Into the data
//! it goes as a JSON string, in which [`data`] escapes whatever could end the element; the scripts
//! show it as text only. A policy in the page's head forbids to load anything.

use super::stops::{self, Stop};
use super::swarm::Kind;
use super::{Picture, data, svg};
use crate::human::{count, grouped, size};
use std::fmt::Write;

/// [`html`] fills what stands in double braces.
const FRAME: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// In the order in which they use each other.
const SCRIPTS: [&str; 4] = [
    include_str!("model.js"),
    include_str!("draw.js"),
    include_str!("lives.js"),
    include_str!("page.js"),
];

/// Makes text safe as HTML, also between quotes.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
    }
    safe
}

pub(super) fn html(picture: &mut Picture) -> String {
    // What holds at the end also holds at that moment.
    picture.gives.finish(picture.end + 1);
    let picture = &*picture;
    let stops = stops::stops(picture);
    let headline = escape(&stops::headline(picture));
    let until = stops[0].to;
    let fill = |key: &str| match key {
        "headline" => headline.clone(),
        "subline" => stops::subline(picture),
        "style" => STYLE.to_string(),
        "stops" => sentences(&stops),
        "still" => svg::still(picture, until),
        "table" => table(picture),
        "notes" => notes(picture),
        "data" => data::text(picture, &stops),
        "scripts" => SCRIPTS.concat(),
        _ => String::new(),
    };
    // In one go, so that nothing that is put in is looked at again.
    let mut parts = FRAME.split("{{");
    let mut page = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (key, rest) = part.split_once("}}").unwrap_or(("", part));
        page += &fill(key);
        page += rest;
    }
    page
}

fn sentences(stops: &[Stop]) -> String {
    let mut html = String::new();
    for (i, stop) in stops.iter().enumerate() {
        let (number, title) = (i + 1, stop.title);
        let _ = write!(
            html,
            "<section id=\"stop-{i}\"><h3><b>{number}</b> {title}</h3>"
        );
        for sentence in &stop.text {
            let _ = write!(html, "<p>{sentence}</p>");
        }
        html += "</section>\n";
    }
    html
}

fn table(picture: &Picture) -> String {
    let mut lanes: Vec<usize> = (0..picture.swarm.lanes.len()).collect();
    lanes.sort_by_key(|lane| picture.swarm.lanes[*lane].place);
    let all = lanes.iter().map(|l| picture.swarm.lanes[*l].gave);
    let all = all.fold(0u64, u64::saturating_add).max(1);
    let mut html = String::new();
    for index in lanes {
        let lane = &picture.swarm.lanes[index];
        let what = match (lane.kind, lane.lied, lane.web) {
            (_, true, _) => "liar",
            (Kind::Seed, _, true) => "web seed",
            (Kind::Seed, ..) => "seed",
            (Kind::Leech, ..) => "leech",
            (Kind::Others, ..) => "",
        };
        let share = 100.0 * lane.gave as f64 / all as f64;
        let unchoked = lane.unchoked_us.map_or_else(|| "never".into(), stops::time);
        let _ = writeln!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{what}</td><td>{}</td><td>{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{share:.1} %</td><td class=\"n\">{}</td>\
             <td class=\"n\">{unchoked}</td></tr>",
            stops::who(picture, index),
            escape(&lane.client),
            escape(&lane.addr),
            size(lane.gave),
            size(lane.took),
        );
    }
    html
}

/// What the page does not show exactly, and why.
fn notes(picture: &Picture) -> String {
    let (work, copies) = (&picture.work, &picture.copies);
    let lanes = picture.swarm.lanes.iter();
    let with_others = lanes.clone().any(|lane| lane.kind == Kind::Others);
    let (broken, lost) = (picture.broken, picture.lost);
    let (others, every) = (picture.others.len() as u64, picture.rounds.every());
    let gap = picture.gives.gap;
    let notes = [
        (broken > 0).then(|| format!("{} of the trace could not be read.", count(broken, "line"))),
        (lost > 0).then(|| {
            format!(
                "The trace lacks {}: the disk was too slow.",
                count(lost, "fact")
            )
        }),
        (others > 0).then(|| {
            let torrents = grouped(others + 1);
            format!("The trace is of {torrents} torrents; this is the first.")
        }),
        work.is_summed().then(|| {
            let pieces = count(work.pieces_a_row().into(), "piece");
            format!(
                "This trace is long, so it is summed: a row is {pieces}, and what a peer gave of \
                 it is one dash."
            )
        }),
        (copies.step() > 100)
            .then(|| format!("Copies are drawn each {}.", stops::time(copies.step()))),
        (!copies.is_on() && picture.subject.is_some())
            .then(|| "There are too many pieces to count the copies of each.".into()),
        (gap > 0).then(|| format!("Times of choking below {} are left out.", stops::time(gap))),
        picture
            .gives
            .is_full
            .then(|| "Not all who unchoke each other are drawn: they are too many.".into()),
        (every > 1).then(|| format!("One of {every} choke rounds is drawn.")),
        with_others.then(|| format!("The first {} peers have a lane each.", lanes.len() - 1)),
    ];
    notes.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
