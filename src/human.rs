//! Sizes, rates, times and foreign text for people.
//!
//! Two functions are for safety, not comfort:
//!
//! - [`escaped`] must see everything from a torrent, a tracker or a peer before a terminal does.
//!   Control characters move the cursor, change the title, or make a line say something else.
//! - [`chain`] prints an error with all its causes, because "cannot read x" without "permission
//!   denied" helps nobody.

use std::error::Error;
use std::fmt::Write;
use std::time::Duration;

/// Writes a number of bytes with three digits, in the largest binary unit in which it is at least
/// 1: `0 B`, `1023 B`, `1.00 KiB`, `97.6 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // 1023.9 KiB would print as "1024 KiB", so the next unit begins where the digits round up.
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// Both units: `97.6 MiB (102,340,000 bytes)`, or `7 bytes`.
pub(crate) fn size_exact(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".to_string(),
        0..1024 => format!("{bytes} bytes"),
        _ => format!("{} ({} bytes)", size(bytes), grouped(bytes)),
    }
}

/// Bytes per second: `1.00 MiB/s`.
pub(crate) fn rate(bytes: u64) -> String {
    size(bytes) + "/s"
}

/// A comma between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Whole seconds in their two largest units: `7 s`, `2 min 5 s`, `3 h 0 min`, `12 d 4 h`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (1000.., ..) => "over 999 d".to_string(),
        (1.., ..) => format!("{days} d {} h", hours % 24),
        (_, 1.., _) => format!("{hours} h {} min", minutes % 60),
        (_, _, 1..) => format!("{minutes} min {} s", seconds % 60),
        _ => format!("{seconds} s"),
    }
}

/// As [`duration`], but without the smaller unit where that is below a tenth of the whole:
/// `9 min 59 s`, `10 min`, `3 h 20 min`, `12 h`.
pub(crate) fn roughly(time: Duration) -> String {
    let seconds = time.as_secs();
    let (number, unit) = match seconds {
        864_000..86_400_000 => (seconds / 86400, "d"),
        36_000..86_400 => (seconds / 3600, "h"),
        600..3600 => (seconds / 60, "min"),
        _ => return duration(time),
    };
    format!("{number} {unit}")
}

/// Seconds since 1970 as `2013-08-19 13:05:00 UTC`. Some makers of torrents write milliseconds, so
/// a number beyond the year 5138 is read as such. What is still no date stays a number.
pub(crate) fn date(number: i64) -> String {
    let seconds = match number {
        0..100_000_000_000 => number,
        100_000_000_000..100_000_000_000_000 => number / 1000,
        _ => return number.to_string(),
    };
    let (days, second) = (seconds / 86400, seconds % 86400);
    // A year that begins in March ends with its leap day, so its months follow a formula.
    let days = days + 719_468; // since 0000-03-01
    let era = days / 146_097; // every 400 years have the same number of days
    let day = days % 146_097;
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // 0 is March
    let (day, month) = (day - (153 * month + 2) / 5 + 1, (month + 2) % 12 + 1);
    let year = 400 * era + year + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// A share, rounded down, so that 100.0% means all.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    let tenths = match whole {
        0 => 1000,
        _ => u128::from(part.min(whole)) * 1000 / u128::from(whole),
    };
    format!("{}.{}%", tenths / 10, tenths % 10)
}

/// `1 peer` or `2 peers`.
pub(crate) fn count(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(number))
}

/// Makes foreign text safe to print: one line, without control characters, and without those that
/// change the direction of writing, which can hide how a name ends.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Like [`escaped`], for a JSON text: unsafe characters become `\u` and four hex digits. A reader
/// gets the exact text back, and a terminal nothing to obey. (`serde_json` escapes only what JSON
/// forbids. None of these characters occurs outside of a JSON string.)
pub(crate) fn escaped_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unsafe(c) {
            let _ = write!(safe, "\\u{:04x}", u32::from(c)); // none is beyond U+FFFF
        } else {
            safe.push(c);
        }
    }
    safe
}

/// An error and its causes after colons, except those with which the text already ends.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let why = error.to_string();
        if !text.ends_with(&why) {
            text = format!("{text}: {why}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (10 * 1024 - 1, "10.0 KiB"),
            (100 * 1024 - 1, "100 KiB"),
            (1_048_575, "1.00 MiB"),
            (102_340_000, "97.6 MiB"),
            (5 << 30, "5.00 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text, "{bytes}");
        }
        assert_eq!(rate(2048), "2.00 KiB/s");
        assert_eq!(size_exact(1), "1 byte");
        assert_eq!(size_exact(1000), "1000 bytes");
        assert_eq!(size_exact(163_783), "160 KiB (163,783 bytes)");
    }

    #[test]
    fn numbers_and_times() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(
            (&*count(1, "peer"), &*count(0, "peer")),
            ("1 peer", "0 peers")
        );
        let cases = [
            (0, "0 s"),
            (59, "59 s"),
            (125, "2 min 5 s"),
            (10_800, "3 h 0 min"),
            (1_051_200, "12 d 4 h"),
            (u64::MAX, "over 999 d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
        let cases = [
            (7, "7 s"),
            (599, "9 min 59 s"),
            (600, "10 min"),
            (3599, "59 min"),
            (12_000, "3 h 20 min"),
            (45_000, "12 h"),
            (100_000, "1 d 3 h"),
            (900_000, "10 d"),
            (u64::MAX, "over 999 d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(roughly(Duration::from_secs(seconds)), text);
        }
        let cases = [
            (0, 0, "100.0%"),
            (0, 7, "0.0%"),
            (1, 3, "33.3%"),
            (u64::MAX - 1, u64::MAX, "99.9%"),
            (9, 7, "100.0%"),
        ];
        for (part, whole, text) in cases {
            assert_eq!(percent(part, whole), text, "{part} of {whole}");
        }
    }

    #[test]
    fn dates() {
        let cases = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_376_917_500, "2013-08-19 13:05:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (99_999_999_999, "5138-11-16 09:46:39 UTC"),
            (1_449_730_049_429, "2015-12-10 06:47:29 UTC"),
            (100_000_000_000_000, "100000000000000"),
            (-1, "-1"),
            (i64::MAX, "9223372036854775807"),
        ];
        for (seconds, text) in cases {
            assert_eq!(date(seconds), text);
        }
    }

    #[test]
    fn foreign_text_obeys_nobody() {
        let cases = [
            ("plain ünïcödé \\ ✓", "plain ünïcödé \\ ✓"),
            ("a\nb\tc", "a\\nb\\tc"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{7f}\u{9b}2J", "\\u{7f}\\u{9b}2J"),
            ("exe.\u{202e}txt", "exe.\\u{202e}txt"),
        ];
        for (text, safe) in cases {
            assert_eq!(escaped(text), safe);
            let json = escaped_json(&serde_json::to_string(text).unwrap());
            assert!(!json.chars().any(is_unsafe), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn causes_are_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{text}")]
        struct Layer {
            text: &'static str,
            source: Option<Box<Layer>>,
        }
        let layer = |text, source: Option<Layer>| Layer {
            text,
            source: source.map(Box::new),
        };
        let error = layer(
            "cannot read x",
            Some(layer("disk: gone", Some(layer("gone", None)))),
        );
        assert_eq!(chain(&error), "cannot read x: disk: gone");
    }
}
