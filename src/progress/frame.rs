//! What the display on a terminal shows: which rows, which of their fields, and why nothing comes.
//! All of it follows from the rows and the window's size, so it is tested at every width. The
//! rules:
//!
//! 1. A torrent has one row. Its fields stand in columns, in this order:
//!    `↓ name  ━━━━╸───  61.3%  11.2 MiB/s  1 min 5 s left  12 peers  ↑ 1.20 MiB/s`.
//! 2. A column that does not fit is left out whole, the least important first. Only names are cut.
//! 3. The last column and the last line of the window, where the cursor is, stay free. So the `^C`
//!    that a terminal writes at Ctrl-C moves nothing.
//! 4. With several torrents, the last row is their total. If not all rows fit, the most active come
//!    first, and a line says how many more there are.
//! 5. Below the rows, as far as there is room, lines say why nothing comes.

use super::row::{Fields, Row, Symbol, time_left};
use super::text::{Line, Paint, shortened, width, wrapped};
use crate::human;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub columns: usize,
    pub rows: usize,
}

const GAP: usize = 2;

/// The symbol and the space behind it.
const SYMBOL: usize = 2;

/// The columns that a name gets before other fields get any.
const SHORT_NAME: usize = 10;

/// The three widths of the bar: the wider the window, the longer.
const SHORT_BAR: usize = 6;
const BAR: usize = 10;
const LONG_BAR: usize = 30;

/// The least width of a field, so that rows do not shift with each figure: that of `100.0%`,
/// `1023 KiB/s`, `9 min 59 s left` and `50 peers`.
const PERCENT: usize = 6;
const RATE: usize = 10;
const LEFT: usize = 15;
const PEERS: usize = 8;

/// The lines of the display for a window of this size. `leaving`: only the goodbye is left.
pub(crate) fn lines(rows: &[Row], leaving: bool, size: Size, ascii: bool) -> Vec<Line> {
    let columns = size.columns.saturating_sub(1);
    let height = size.rows.saturating_sub(1).max(1);
    let beside = usize::from(rows.len() > 1) + usize::from(leaving);
    let room = height.saturating_sub(beside);
    let shown = order(rows, room);
    let mut all: Vec<(String, Fields)> = shown
        .iter()
        .map(|row| (row.name.clone(), now(row, leaving)))
        .collect();
    if rows.len() > 1 {
        all.push((name_of_all(rows, usize::MAX), total(rows)));
    }
    let widths = Widths::of(&all, columns);
    if let Some((name, _)) = all.last_mut().filter(|_| rows.len() > 1) {
        *name = name_of_all(rows, widths.name);
    }
    let mut lines: Vec<Line> = all
        .iter()
        .map(|(name, fields)| line(name, fields, &widths, ascii))
        .collect();
    let left_out = rows.len() - shown.len();
    if left_out > 0 {
        lines.insert(shown.len(), note(&format!("and {left_out} more"), columns));
    }
    let room = height.saturating_sub(lines.len());
    match leaving {
        true => lines.push(note("Ctrl-C again leaves at once", columns)),
        false => lines.extend(reasons(&shown, room, columns)),
    }
    lines.truncate(height);
    lines
}

/// The fields of a row. While `leaving`, a torrent waits for its goodbye only.
fn now(row: &Row, leaving: bool) -> Fields {
    match leaving && !row.is_over() {
        false => row.fields(),
        true => Fields {
            symbol: Symbol::Busy,
            paint: Paint::Plain,
            state: "leaving".to_string(),
            left: None,
            ..row.fields()
        },
    }
}

/// The rows that are shown in `room` lines. If not all fit, the most active come first, and one
/// line is kept for the number of the others.
fn order(rows: &[Row], room: usize) -> Vec<&Row> {
    let mut shown: Vec<&Row> = rows.iter().collect();
    if shown.len() > room {
        shown.sort_by_key(|row| std::cmp::Reverse(row.activity()));
        shown.truncate(room.saturating_sub(1));
    }
    shown
}

/// A line beside the rows, as far as it fits.
fn note(text: &str, columns: usize) -> Line {
    let mut line = Line::default();
    if SYMBOL + width(text) <= columns {
        line.gap(SYMBOL);
        line.push(Paint::Plain, text);
    }
    line
}

/// Why nothing comes, once for all rows with the same reason. A reason that does not fit whole into
/// what is left of `room` lines is left out, and so are those after it.
fn reasons(rows: &[&Row], room: usize, columns: usize) -> Vec<Line> {
    let mut reasons: Vec<(String, Vec<&Row>)> = Vec::new();
    for row in rows {
        let Some(reason) = row.reason() else { continue };
        match reasons.iter_mut().find(|(other, _)| *other == reason) {
            Some((_, silent)) => silent.push(row),
            None => reasons.push((reason, vec![row])),
        }
    }
    let mut lines = Vec::new();
    for (reason, silent) in reasons {
        let text = match silent[..] {
            [_] if rows.len() == 1 => reason,
            [row] => format!("{}: {reason}", row.name),
            _ => format!("{} torrents: {reason}", silent.len()),
        };
        let wrapped = wrapped(&text, columns.saturating_sub(SYMBOL));
        if columns <= SYMBOL || lines.len() + wrapped.len() > room {
            break;
        }
        lines.extend(wrapped.iter().map(|text| note(text, columns)));
    }
    lines
}

/// Bytes that are there, and that are wanted, of all torrents.
fn bytes(rows: &[Row]) -> (u64, u64) {
    let all = rows.iter().map(Row::bytes);
    all.fold((0, 0), |(have, wanted), (h, w)| {
        (have.saturating_add(h), wanted.saturating_add(w))
    })
}

fn total(rows: &[Row]) -> Fields {
    let (have, wanted) = bytes(rows);
    let traffic = rows.iter().map(Row::traffic);
    let (down, up, peers) = traffic.fold((0, 0, 0), |all: (u64, u64, usize), row| {
        let (down, up) = (all.0.saturating_add(row.0), all.1.saturating_add(row.1));
        (down, up, all.2 + row.2)
    });
    let over = rows.iter().all(Row::is_over);
    Fields {
        symbol: Symbol::None,
        paint: Paint::Strong,
        bar: (wanted > 0).then_some((have, wanted)),
        percent: match wanted {
            0 => String::new(),
            _ => human::percent(have, wanted),
        },
        state: match over {
            true => String::new(),
            false => human::rate(down),
        },
        left: Some(time_left(wanted.saturating_sub(have), down)),
        peers: human::count(peers as u64, "peer"),
        up: rows
            .iter()
            .any(|row| row.fields().up.is_some())
            .then_some(up),
    }
}

/// The name of the total, in as many words as fit.
fn name_of_all(rows: &[Row], columns: usize) -> String {
    let (count, complete) = (rows.len(), rows.iter().filter(|row| row.is_complete()));
    let complete = complete.count();
    let words = [
        format!("total: {complete} of {count} complete"),
        format!("total: {complete} of {count}"),
        "total".to_string(),
    ];
    let fitting = words.into_iter().find(|words| width(words) <= columns);
    fitting.unwrap_or_default()
}

/// The columns of each field. 0: the field is left out.
#[derive(Debug, Default, PartialEq)]
struct Widths {
    name: usize,
    bar: usize,
    percent: usize,
    state: usize,
    left: usize,
    peers: usize,
    up: usize,
}

impl Widths {
    fn of(rows: &[(String, Fields)], columns: usize) -> Self {
        let most = |least: usize, field: &dyn Fn(&Fields) -> usize| {
            let most = rows.iter().map(|(_, fields)| field(fields)).max();
            most.filter(|most| *most > 0)
                .map_or(0, |most| most.max(least))
        };
        let names = rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
        let names = names.max(SHORT_NAME);
        let mut widths = Self {
            name: SHORT_NAME,
            ..Self::default()
        };
        let mut left = columns.saturating_sub(SYMBOL + SHORT_NAME);
        let mut take = |wanted: usize| {
            let fits = wanted > 0 && wanted + GAP <= left;
            left -= if fits { wanted + GAP } else { 0 };
            if fits { wanted } else { 0 }
        };
        let is_left_known = |fields: &Fields| fields.left.as_ref().map_or(0, |it| width(it).max(1));
        let has_bar = rows.iter().any(|(_, fields)| fields.bar.is_some());
        // The most important first.
        widths.percent = take(most(PERCENT, &|fields| width(&fields.percent)));
        widths.state = take(most(RATE, &|fields| width(&fields.state)));
        widths.left = take(most(LEFT, &is_left_known));
        widths.bar = take(if has_bar { SHORT_BAR } else { 0 });
        widths.peers = take(most(PEERS, &|fields| width(&fields.peers)));
        widths.up = take(most(SYMBOL + RATE, &|fields| width(&up(fields, false))));
        let mut grow = |field: &mut usize, most: usize| {
            let more = most.saturating_sub(*field).min(left);
            *field += more;
            left -= more;
        };
        if widths.bar > 0 {
            grow(&mut widths.bar, BAR);
        }
        grow(&mut widths.name, names);
        if widths.bar > 0 {
            grow(&mut widths.bar, LONG_BAR);
        }
        widths
    }
}

/// What goes out: `↑ 1.20 MiB/s`.
fn up(fields: &Fields, ascii: bool) -> String {
    let arrow = Symbol::Up.shown(ascii);
    let rate = fields.up.map(human::rate);
    rate.map_or_else(String::new, |rate| format!("{arrow} {rate:>RATE$}"))
}

fn line(name: &str, fields: &Fields, widths: &Widths, ascii: bool) -> Line {
    let mut line = Line::default();
    line.push(fields.paint, fields.symbol.shown(ascii));
    line.gap(1);
    let name = shortened(name, widths.name);
    let rest = widths.name - width(&name);
    let is_total = fields.symbol == Symbol::None;
    line.push(
        if is_total {
            Paint::Strong
        } else {
            Paint::Plain
        },
        name,
    );
    line.gap(rest);
    if widths.bar > 0 {
        line.gap(GAP);
        bar(&mut line, fields, widths.bar, ascii);
    }
    let mut field = |columns: usize, text: &str, paint: Paint| {
        if columns > 0 {
            line.gap(GAP + columns - width(text));
            line.push(paint, text);
        }
    };
    field(widths.percent, &fields.percent, Paint::Plain);
    field(widths.state, &fields.state, fields.paint);
    let left = fields.left.as_deref().unwrap_or_default();
    field(widths.left, left, Paint::Plain);
    field(widths.peers, &fields.peers, Paint::Plain);
    field(widths.up, &up(fields, ascii), Paint::Plain);
    line
}

/// Adds a bar, or as many spaces.
fn bar(line: &mut Line, fields: &Fields, columns: usize, ascii: bool) {
    let Some((part, whole)) = fields.bar else {
        return line.gap(columns);
    };
    let [full, half, empty] = match ascii {
        true => ["#", "-", "-"],
        false => ["━", "╸", "─"],
    };
    let halves = match whole {
        0 => 2 * columns,
        _ => (u128::from(part.min(whole)) * 2 * columns as u128 / u128::from(whole)) as usize,
    };
    let (done, halves) = (halves / 2, halves % 2);
    let paint = match fields.paint {
        Paint::Strong => Paint::Good,
        paint => paint,
    };
    line.push(paint, full.repeat(done) + &half.repeat(halves));
    line.push(Paint::Faint, empty.repeat(columns - done - halves));
}

impl Symbol {
    fn shown(self, ascii: bool) -> &'static str {
        let (sign, plain) = match self {
            Self::None => (" ", " "),
            Self::Down => ("↓", "v"),
            Self::Up => ("↑", "^"),
            Self::Busy => ("○", "o"),
            Self::Waits => ("!", "!"),
            Self::Done => ("✓", "+"),
            Self::Failed => ("✗", "x"),
        };
        if ascii { plain } else { sign }
    }
}

/// The lines that stay on the terminal at the end.
pub(crate) fn last(rows: &[Row], columns: usize, ascii: bool) -> Vec<Line> {
    let columns = columns.saturating_sub(1 + SYMBOL);
    let mut lines = Vec::new();
    for row in rows {
        let (fields, last) = (row.fields(), row.last());
        let mut said = wrapped(&format!("{}: {}", row.name, last.what), columns);
        if let Some(place) = last.place {
            match said.last_mut() {
                Some(line) if width(line) + width(&place) + 2 <= columns => {
                    *line += &format!(", {place}");
                }
                _ => said.push(place),
            }
        }
        said.extend(wrapped(&last.how.unwrap_or_default(), columns));
        for (at, text) in said.into_iter().enumerate() {
            let mut line = Line::default();
            match at {
                0 => line.push(fields.paint, fields.symbol.shown(ascii)),
                _ => line.gap(1),
            }
            line.gap(1);
            line.push(Paint::Plain, text);
            lines.push(line);
        }
    }
    lines
}

/// How far the run is, for the tab and the title of the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub state: State,
    /// Of the wanted bytes, rounded down.
    pub percent: u8,
    /// Safe to print.
    pub title: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Over,
    /// Data comes, or is checked.
    Goes,
    Waits,
    /// How much there is to fetch is not known yet.
    Unknown,
}

const TITLE: usize = 60;

pub(crate) fn mark(rows: &[Row]) -> Mark {
    let fields: Vec<Fields> = rows.iter().map(Row::fields).collect();
    let (mut have, mut wanted) = bytes(rows);
    if let ([row], [fields]) = (rows, &fields[..]) {
        (have, wanted) = fields.bar.unwrap_or(row.bytes());
    }
    let state = match () {
        () if rows.iter().all(Row::is_over) => State::Over,
        () if rows.iter().any(Row::goes) => State::Goes,
        () if wanted == 0 => State::Unknown,
        () => State::Waits,
    };
    let percent = match wanted {
        0 => 0,
        _ => (u128::from(have.min(wanted)) * 100 / u128::from(wanted)) as u8,
    };
    let what = match rows {
        [row] => row.name.clone(),
        _ => human::count(rows.len() as u64, "torrent"),
    };
    let title = match (state, &fields[..]) {
        (State::Goes | State::Waits, _) => format!("{percent}% {what}"),
        (_, [fields]) => format!("{} {what}", fields.state),
        _ => what,
    };
    Mark {
        state,
        percent,
        title: shortened(&title, TITLE),
    }
}

#[cfg(test)]
mod tests;
