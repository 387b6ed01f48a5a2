//! Judges a web server's answer by its head ([RFC 9110], section 14). No I/O.
//!
//! Asked for a range of a file, a server should answer `206` and say which bytes follow. Some
//! answer `200` and send the whole file from its start; some have another file of that name; some
//! have none. If one file is missing or wrong, we still ask the web seed for the others.
//!
//! [RFC 9110]: https://www.rfc-editor.org/rfc/rfc9110

use super::request::PURPOSE;
use crate::door::http::head::content_range;
use crate::door::http::{Barred, Hop};
use crate::human;
use crate::threads::{self, NoThread};
use std::time::Duration;
use ureq::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, RETRY_AFTER};
use ureq::http::{HeaderMap, HeaderName};

/// From a server that knows no ranges, at most this many bytes of a file are skipped.
const MAX_PRELUDE: u64 = 4 << 20;

/// The longest pause that a server can demand.
pub(crate) const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// A range of a file to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The file's URL, and the limits that follow from who named it.
    pub hop: Hop,
    /// The first byte, counted within the file.
    pub offset: u64,
    /// The length of the range, in bytes.
    pub len: u64,
    /// The length of the whole file, in bytes.
    pub file_len: u64,
}

/// Why a web seed sends nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum WebSeedError {
    #[error("the server answered {0}")]
    Status(u16),
    /// The server is too busy.
    #[error(
        "the server answered {status}{}",
        pause.map_or_else(String::new, |pause| format!(", to come back in {}", human::duration(pause)))
    )]
    Busy {
        /// 429 or 503.
        status: u16,
        /// How long we should wait, if the server says so.
        pause: Option<Duration>,
    },
    #[error("the file there has {there} bytes and should have {expected}")]
    WrongLength { there: u64, expected: u64 },
    /// The server sends whole files only, and we would skip too much of this one.
    #[error("the server gives whole files only")]
    NoRanges,
    /// The server sends another range, or does not say which.
    #[error("the server did not send the bytes that were asked for")]
    OtherRange,
    /// The server compresses, although we told it not to.
    #[error("the server compresses what it sends ({0})")]
    Encoded(String),
    #[error("the server redirects too many times")]
    Redirects,
    #[error("the server redirects to {0:?}, which is no HTTP URL")]
    BadRedirect(String),
    #[error(transparent)]
    Barred(Barred),
    #[error("the URL makes no sense: {0}")]
    BadUrl(String),
    #[error("none of the files is there")]
    NothingHere,
    #[error("the answer ended too early")]
    Short,
    /// The server sends too little to be worth the wait.
    #[error("too little came in too long a time")]
    Slow,
    /// There is no connection to the server, or it broke.
    #[error("{0}")]
    Connection(String),
    #[error(transparent)]
    NoThread(#[from] NoThread),
    #[error("{}", threads::fault(PURPOSE))]
    Fault,
    /// Our own disk failed.
    #[error("{0}")]
    Disk(String),
}

impl WebSeedError {
    /// Whether the server fails at this file only.
    pub(crate) fn is_about_file(&self) -> bool {
        match self {
            Self::Status(status) => !matches!(status, 408 | 425 | 500..),
            Self::WrongLength { .. }
            | Self::NoRanges
            | Self::OtherRange
            | Self::Encoded(_)
            | Self::Redirects
            | Self::BadRedirect(_)
            | Self::BadUrl(_) => true,
            _ => false,
        }
    }

    /// How long to leave the server alone, if the error demands it.
    pub(crate) fn pause(&self) -> Option<Duration> {
        match self {
            Self::Busy { pause, .. } => *pause,
            Self::NothingHere => Some(MAX_PAUSE),
            Self::Barred(barred) if barred.is_for_the_user() => Some(MAX_PAUSE),
            _ => None,
        }
    }
}

/// Returns the byte of the file with which the answer begins.
///
/// # Errors
/// [`WebSeedError`], if the answer is of no use.
pub(crate) fn judge(status: u16, headers: &HeaderMap, asked: &Asked) -> Result<u64, WebSeedError> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    match status {
        200 | 206 => {}
        429 | 503 => {
            // A date instead of seconds is ignored.
            let seconds = text(RETRY_AFTER).and_then(|text| text.parse().ok());
            let pause = seconds.map(|seconds| {
                Duration::from_secs(seconds).clamp(Duration::from_secs(1), MAX_PAUSE)
            });
            return Err(WebSeedError::Busy { status, pause });
        }
        _ => return Err(WebSeedError::Status(status)),
    }
    if let Some(encoding) = headers.get(CONTENT_ENCODING) {
        let encoding = String::from_utf8_lossy(encoding.as_bytes());
        if !encoding.trim().eq_ignore_ascii_case("identity") {
            return Err(WebSeedError::Encoded(encoding.chars().take(20).collect()));
        }
    }
    let (first, total) = if status == 206 {
        let range = text(CONTENT_RANGE).and_then(content_range);
        let range = range.filter(|range| range.first == asked.offset);
        let range = range.ok_or(WebSeedError::OtherRange)?;
        (range.first, range.total)
    } else {
        (0, text(CONTENT_LENGTH).and_then(|len| len.parse().ok()))
    };
    if let Some(there) = total.filter(|total| *total != asked.file_len) {
        let expected = asked.file_len;
        return Err(WebSeedError::WrongLength { there, expected });
    }
    if asked.offset - first > MAX_PRELUDE {
        return Err(WebSeedError::NoRanges);
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judged(status: u16, lines: &[(&'static str, &str)], offset: u64) -> Result<u64, String> {
        let pairs = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let asked = Asked {
            hop: Hop::new("", crate::address::Reach::World),
            offset,
            len: 10,
            file_len: 10 << 20,
        };
        let judged = judge(status, &pairs.collect(), &asked);
        judged.map_err(|error| match (error.is_about_file(), error.pause()) {
            (true, _) => "file".into(),
            (false, None) => "later".into(),
            (false, Some(pause)) => format!("in {}", pause.as_secs()),
        })
    }

    #[test]
    fn answers() {
        const RANGE: &str = "content-range";
        let all = 10 << 20;
        type Case<'a> = (
            u16,
            &'a [(&'static str, &'a str)],
            u64,
            Result<u64, &'a str>,
        );
        let cases: &[Case] = &[
            (206, &[(RANGE, "bytes 7-16/10485760")], 7, Ok(7)),
            (206, &[(RANGE, "Bytes 7-7/*")], 7, Ok(7)),
            (206, &[(RANGE, "bytes 0-16/10485760")], 7, Err("file")),
            (206, &[(RANGE, "bytes 7-16/10485761")], 7, Err("file")),
            (206, &[(RANGE, "bytes 7-6/*")], 7, Err("file")),
            (206, &[(RANGE, "bytes */10485760")], 7, Err("file")),
            (206, &[(RANGE, "lines 7-16/*")], 7, Err("file")),
            (
                206,
                &[("content-type", "multipart/byteranges")],
                7,
                Err("file"),
            ),
            (200, &[], 7, Ok(0)),
            (200, &[("content-length", "10485760")], 4 << 20, Ok(0)),
            (
                200,
                &[("content-length", "10485760")],
                (4 << 20) + 1,
                Err("file"),
            ),
            (200, &[("content-length", "10485759")], 0, Err("file")),
            (200, &[("content-encoding", "gzip, br")], 0, Err("file")),
            (
                200,
                &[("content-encoding", "Identity")],
                all - 1,
                Err("file"),
            ),
            (200, &[("content-encoding", "Identity")], 0, Ok(0)),
            (204, &[], 0, Err("file")),
            (304, &[], 0, Err("file")),
            (403, &[], 0, Err("file")),
            (404, &[], 0, Err("file")),
            (416, &[(RANGE, "bytes */5")], 7, Err("file")),
            (408, &[], 0, Err("later")),
            (500, &[], 0, Err("later")),
            (599, &[("retry-after", "9")], 0, Err("later")),
            (503, &[], 0, Err("later")),
            (503, &[("retry-after", "120")], 0, Err("in 120")),
            (429, &[("retry-after", " 9 ")], 0, Err("in 9")),
            (503, &[("retry-after", "1")], 0, Err("in 1")),
            (503, &[("retry-after", "0")], 0, Err("in 1")),
            (429, &[("retry-after", "99999999999")], 0, Err("in 3600")),
            (
                429,
                &[("retry-after", "Wed, 21 Oct 2099 07:28:00 GMT")],
                0,
                Err("later"),
            ),
        ];
        for (status, lines, offset, expected) in cases {
            let expected = expected.map_err(str::to_owned);
            assert_eq!(
                judged(*status, lines, *offset),
                expected,
                "{status} {lines:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_range_is_read_or_refused(text in "(bytes )?[79*/ -]{0,60}") {
            if let Ok(first) = judged(206, &[("content-range", &text)], 7) {
                prop_assert_eq!(first, 7);
            }
        }
    }
}
