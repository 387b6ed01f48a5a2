//! What a web server's answer is worth, by its first lines ([RFC 9110], section 14).
//!
//! Asked for a range of a file, a server should answer `206` and say which bytes follow.
//! Some answer `200` and send the whole file from its start; some have another file of
//! that name, some none. If one file is missing or wrong, the web seed is still asked for
//! the others. The thread of a [request](super::request) is the only user. Pure.
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

/// From a server that knows no ranges, at most so many bytes of a file are read in vain to
/// come to those that are needed.
const MAX_PRELUDE: u64 = 4 << 20;

/// A server that wants to be left alone is, but for no longer than this.
pub(crate) const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// A range to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The file's URL, and who named it.
    pub hop: Hop,
    /// The first byte within the file.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
    /// Bytes of the whole file.
    pub file_len: u64,
}

/// Why a web seed gives nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum WebSeedError {
    /// A status other than success.
    #[error("the server answered {0}")]
    Status(u16),
    /// It has too much to do.
    #[error(
        "the server answered {status}{}",
        pause.map_or_else(String::new, |pause| format!(", to come back in {}", human::duration(pause)))
    )]
    Busy {
        /// 429 or 503.
        status: u16,
        /// What it says of when to come back.
        pause: Option<Duration>,
    },
    /// Another file of the same name.
    #[error("the file there has {there} bytes and should have {expected}")]
    WrongLength {
        /// Its bytes.
        there: u64,
        /// Those that the torrent says.
        expected: u64,
    },
    /// It answers with the whole file, of which too much would be in vain.
    #[error("the server gives whole files only")]
    NoRanges,
    /// It answers with a range that was not asked for, or does not say with which.
    #[error("the server did not send the bytes that were asked for")]
    OtherRange,
    /// It compresses, which it was told not to.
    #[error("the server compresses what it sends ({0})")]
    Encoded(String),
    /// It redirects more often than we follow.
    #[error("the server redirects too many times")]
    Redirects,
    /// It redirects to what is no HTTP URL.
    #[error("the server redirects to {0:?}, which is no HTTP URL")]
    BadRedirect(String),
    /// Our own rules are against it.
    #[error(transparent)]
    Barred(Barred),
    /// The torrent's URL, or what became of it, can't be asked for.
    #[error("the URL makes no sense: {0}")]
    BadUrl(String),
    /// One file after the other is missing.
    #[error("none of the files is there")]
    NothingHere,
    /// The answer ended before one block was complete.
    #[error("the answer ended too early")]
    Short,
    /// Less came in a while than makes it worth waiting.
    #[error("too little came in too long a time")]
    Slow,
    /// There is no connection to the server, or it broke.
    #[error("{0}")]
    Connection(String),
    /// The system has no thread left for the request.
    #[error(transparent)]
    NoThread(#[from] NoThread),
    /// The request's thread died.
    #[error("{}", threads::fault(PURPOSE))]
    Fault,
    /// Our own disk failed.
    #[error("{0}")]
    Disk(String),
}

impl WebSeedError {
    /// Whether it is this file that the server cannot give, rather than any just now.
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

    /// How long the server should be left alone, if that follows.
    pub(crate) fn pause(&self) -> Option<Duration> {
        match self {
            Self::Busy { pause, .. } => *pause,
            Self::NothingHere => Some(MAX_PAUSE),
            Self::Barred(barred) if barred.is_for_the_user() => Some(MAX_PAUSE),
            _ => None,
        }
    }
}

/// Which byte of the file the answer begins with.
///
/// # Errors
/// [`WebSeedError`], if it is of no use.
pub(crate) fn judge(status: u16, headers: &HeaderMap, asked: &Asked) -> Result<u64, WebSeedError> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    match status {
        200 | 206 => {}
        429 | 503 => {
            // A date in place of seconds is as good as nothing said.
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
            hop: Hop::new("", crate::reach::Reach::World),
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
