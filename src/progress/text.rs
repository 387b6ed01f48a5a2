//! Text as a terminal shows it: how wide it is, in which colours, cut and wrapped so that it fits.
//!
//! All widths are in columns. A character takes one, but Chinese, Japanese and Korean ones and most
//! emoji take two, and accents that join the letter before take none. The colours are those of the
//! sixteen that can be read on dark and on light backgrounds: no yellow, blue, white or black.
//! Nothing is told by colour alone.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What a text means, and so its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Paint {
    #[default]
    Plain,
    /// It goes well: green.
    Good,
    /// Work of its own kind, as checking or seeding: cyan.
    Busy,
    /// The user should look at it: magenta.
    Odd,
    /// It failed: red.
    Bad,
    /// A heading: bold.
    Strong,
    /// Of less weight than the rest. Nothing that must be read is faint.
    Faint,
}

impl Paint {
    /// The number that ECMA-48 gives the colour (`SGR`).
    fn code(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Strong => 1,
            Self::Faint => 2,
            Self::Bad => 31,
            Self::Good => 32,
            Self::Odd => 35,
            Self::Busy => 36,
        }
    }

    /// `text` between the codes that switch the colour on and off.
    pub(crate) fn on(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_string(),
            _ => format!("\x1b[{}m{text}\x1b[0m", self.code()),
        }
    }
}

/// One line of the display: its parts from left to right. Holds no control character.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Line(Vec<(Paint, String)>);

impl Line {
    pub(crate) fn push(&mut self, paint: Paint, text: impl Into<String>) {
        self.0.push((paint, text.into()));
    }

    pub(crate) fn gap(&mut self, columns: usize) {
        self.push(Paint::Plain, " ".repeat(columns));
    }

    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| width(text)).sum()
    }

    /// The text without spaces at its end, in `colour` or not.
    pub(crate) fn shown(&self, colour: bool) -> String {
        let mut shown = String::new();
        let end = self
            .0
            .iter()
            .rposition(|(_, text)| !text.trim_end().is_empty());
        let parts = &self.0[..end.map_or(0, |end| end + 1)];
        for (at, (paint, text)) in parts.iter().enumerate() {
            let is_last = at + 1 == parts.len();
            let text = if is_last { text.trim_end() } else { text };
            let paint = if colour { *paint } else { Paint::Plain };
            shown += &paint.on(text);
        }
        shown
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self(vec![(Paint::Plain, text)])
    }
}

/// How many columns `text` takes.
pub fn width(text: &str) -> usize {
    // A terminal adds up characters, where `text.width()` may see one emoji made of several.
    text.chars().map(columns).sum::<usize>().max(text.width())
}

fn columns(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// Cuts `text` to at most `most` columns, and marks the cut with `…`.
pub fn shortened(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_string();
    }
    let mut short = fitting(text, most.saturating_sub(1)).to_string();
    if most > 0 {
        short.push('…');
    }
    short
}

/// As much of the beginning of `text` as fits into `most` columns.
fn fitting(text: &str, most: usize) -> &str {
    let mut taken = 0;
    let end = text.char_indices().find(|(_, c)| {
        taken += columns(*c);
        taken > most
    });
    let mut fits = &text[..end.map_or(text.len(), |(at, _)| at)];
    // Some characters are wider together than each alone.
    while width(fits) > most {
        let last = fits.chars().next_back().map_or(1, char::len_utf8);
        fits = &fits[..fits.len() - last];
    }
    fits
}

/// Breaks `text` into lines of at most `most` columns, between words; a word that is wider than a
/// line, where the line ends.
pub fn wrapped(text: &str, most: usize) -> Vec<String> {
    let most = most.max(2); // no character is wider
    let mut lines = vec![String::new()];
    for mut word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is one from the start");
        let gap = usize::from(!line.is_empty());
        if width(line) + gap + width(word) <= most {
            line.push_str(&" "[..gap]);
            line.push_str(word);
            continue;
        }
        while width(word) > most {
            let (head, rest) = word.split_at(fitting(word, most).len());
            lines.push(head.to_string());
            word = rest;
        }
        lines.push(word.to_string());
    }
    lines.retain(|line| !line.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn widths_are_those_of_a_terminal() {
        for (text, columns) in [
            ("", 0),
            ("abc", 3),
            ("映画", 4),
            ("e\u{301}", 1),
            ("🎬.mkv", 6),
            ("━━╸─", 4),
        ] {
            assert_eq!(width(text), columns, "{text}");
        }
    }

    #[test]
    fn names_are_cut_by_columns() {
        for (text, most, short) in [
            ("äöü", 3, "äöü"),
            ("äöüß", 3, "äö…"),
            ("映画の夜", 8, "映画の夜"),
            ("映画の夜", 7, "映画の…"),
            ("映画の夜", 6, "映画…"),
            ("🎬🎬", 1, "…"),
            ("x", 0, ""),
        ] {
            assert_eq!(shortened(text, most), short, "{text} in {most}");
        }
    }

    #[test]
    fn lines_break_between_words() {
        let text = "no peers: 0 of 3 trackers answered (1 refused)";
        let expected = ["no peers: 0 of 3", "trackers", "answered (1", "refused)"];
        assert_eq!(wrapped(text, 16), expected);
        assert_eq!(
            wrapped("see http://long.example now", 10),
            ["see", "http://lon", "g.example", "now"]
        );
        assert_eq!(wrapped("", 10), [""; 0]);
    }

    #[test]
    fn colour_is_told_by_codes_alone() {
        let mut line = Line::default();
        line.push(Paint::Good, "✓");
        line.gap(1);
        line.push(Paint::Plain, "x ");
        line.gap(3);
        assert_eq!(line.shown(false), "✓ x");
        assert_eq!(line.shown(true), "\x1b[32m✓\x1b[0m x");
        assert_eq!(line.width(), 7);
    }

    proptest! {
        #[test]
        fn nothing_is_too_wide(text in "[a-z 0-9映🎬e\u{301}]{0,60}", most in 2usize..40) {
            prop_assert!(width(&shortened(&text, most)) <= most);
            let lines = wrapped(&text, most);
            prop_assert!(lines.iter().all(|line| width(line) <= most), "{lines:?}");
            let words = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(words(&lines.concat()), words(&text));
        }
    }
}
