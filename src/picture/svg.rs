//! A still of the first picture, for readers without scripts: pieces by time, coloured by giver.

use super::Picture;
use super::stops::time;
use super::sums::Ms;
use super::work::End;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The size of the plot, in units of the drawing.
const WIDTH: u64 = 860;
const HEIGHT: u64 = 300;

const ARRIVALS: usize = 1200;

/// Draws the arrivals as SVG. Each pixel is drawn once, which limits its size.
pub(super) fn still(picture: &Picture, until: Ms) -> String {
    let until = until.max(1);
    let rows = picture.work.begun.len() as u64 / u64::from(picture.work.pieces_a_row());
    let rows = rows.max(1);
    let x = |at: Ms| at.min(until) * WIDTH / until;
    // By colour and height: from when to when something was awaited.
    let mut awaited: BTreeMap<(&str, u64), (u64, u64)> = BTreeMap::new();
    let mut arrived: BTreeMap<&str, BTreeSet<(u64, u64)>> = BTreeMap::new();
    for dash in &picture.work.dashes {
        if dash.end != End::Stored || dash.granted > until {
            continue;
        }
        let colour = picture.swarm.lanes[dash.lane].colour;
        let y = u64::from(dash.row).min(rows - 1) * HEIGHT / rows;
        let (from, to) = (x(dash.granted), x(dash.ended));
        let run = awaited.entry((colour, y)).or_insert((from, to));
        *run = (run.0.min(from), run.1.max(to));
        let marks = arrived.entry(colour).or_default();
        if marks.len() < ARRIVALS {
            marks.insert((y, to));
        }
    }
    let mut paths: BTreeMap<&str, (String, String)> = BTreeMap::new();
    for ((colour, y), (from, to)) in awaited {
        let path = &mut paths.entry(colour).or_default().0;
        let _ = write!(path, "M{from} {y}h{}", (to - from).max(1));
    }
    for (colour, marks) in arrived {
        let path = &mut paths.entry(colour).or_default().1;
        for (y, at) in marks {
            let _ = write!(path, "M{at} {y}h3");
        }
    }
    let height = (HEIGHT / rows).clamp(2, 12);
    let mut svg = format!(
        "<svg viewBox=\"-2 -8 {} {}\" role=\"img\" aria-label=\"Pieces, in the order in which they \
         were begun, by time, in the colour of the peer who gave them\">",
        WIDTH + 10,
        HEIGHT + 30
    );
    for (colour, (pale, full)) in paths {
        let _ = write!(
            svg,
            "<g class=\"{colour}\" stroke=\"currentColor\" stroke-width=\"{height}\">\
             <path d=\"{pale}\" opacity=\".3\"/><path d=\"{full}\"/></g>"
        );
    }
    svg + &axis(until) + "</svg>"
}

fn axis(until: Ms) -> String {
    let mut svg = String::new();
    for fourth in 0..=4 {
        let x = WIDTH * fourth / 4;
        let at = match fourth {
            0 => "0 s".into(),
            _ => time(until * fourth / 4),
        };
        let anchor = ["start", "middle", "middle", "middle", "end"][fourth as usize];
        let y = HEIGHT + 16;
        let _ = write!(
            svg,
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{at}</text>"
        );
    }
    svg
}
