//! The web seeds of one torrent: which of them to use, and when to try one again ([BEP 19]).
//!
//! A torrent may name a hundred web servers, most of them gone for years. We use at most
//! [`MAX_OPEN`] at a time. After each failure we leave one alone, twice as long each time. One that
//! sent false data is never used again. Beyond the connection we remember which files one lacks.
//!
//! No I/O, no clock. [`crate::webseed`] is the thread of a web seed.
//!
//! [BEP 19]: https://www.bittorrent.org/beps/bep_0019.html

use crate::bitfield::Bitfield;
use crate::human;
use crate::layout::{Layout, PieceIndex};
use crate::report;
use crate::url;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How many web seeds are used at a time.
pub(crate) const MAX_OPEN: usize = 4;

/// How many times in a row we obey a server that says when to come back, although it sends nothing.
/// After that our own pause holds if it is longer.
const OBEYED: u32 = 5;

/// The pause after the first failure. Each further failure in a row doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause, whoever sets it.
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// Our number for one of a torrent's web seeds, from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct WebSeedIndex(usize);

#[derive(Debug)]
struct Known {
    url: String,
    open: bool,
    banned: bool,
    failures: u32,
    pause: Option<Duration>,
    /// How many times in a row such a pause was obeyed.
    obeyed: u32,
    not_before: Option<Instant>,
    /// The files that it does not have as they should be.
    lacks: BTreeSet<usize>,
    error: Option<String>,
}

impl Known {
    fn new(url: String) -> Self {
        Self {
            url,
            open: false,
            banned: false,
            failures: 0,
            pause: None,
            obeyed: 0,
            not_before: None,
            lacks: BTreeSet::new(),
            error: None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct WebSeeds {
    known: Vec<Known>,
    /// Web seeds of the torrent that are no HTTP URL.
    skipped: Vec<String>,
}

impl WebSeeds {
    /// Begins with the web seeds that a torrent or a magnet link names.
    pub(crate) fn new(urls: &[String]) -> Self {
        let mut seeds = Self {
            known: Vec::new(),
            skipped: Vec::new(),
        };
        seeds.add(urls);
        seeds
    }

    pub(crate) fn add(&mut self, urls: &[String]) {
        for url in urls {
            if !url::is_http(url) {
                self.skipped.push(url.clone());
            } else if self.known.iter().all(|seed| seed.url != *url) {
                self.known.push(Known::new(url.clone()));
            }
        }
    }

    pub(crate) fn warning(&self) -> Option<String> {
        let first = self.skipped.first()?;
        Some(format!(
            "{} left out, being no http:// or https:// URL: {:?}{}",
            human::count(self.skipped.len() as u64, "web seed"),
            url::shown(first),
            if self.skipped.len() > 1 { ", ..." } else { "" }
        ))
    }

    pub(crate) fn url(&self, index: WebSeedIndex) -> &str {
        self.known.get(index.0).map_or("", |seed| &seed.url)
    }

    pub(crate) fn open(&self) -> usize {
        self.known.iter().filter(|seed| seed.open).count()
    }

    pub(crate) fn counts(&self) -> report::WebSeeds {
        let usable = self.known.iter().filter(|seed| !seed.banned).count();
        let errors = self.known.iter().filter(|seed| !seed.open);
        let error = errors.filter_map(|seed| seed.error.as_deref()).next_back();
        report::WebSeeds {
            open: self.open(),
            usable,
            error: error.map(str::to_owned),
        }
    }

    /// Returns the next web seed to open, if fewer than [`MAX_OPEN`] are open. It must have a piece
    /// that is `wanted`. It counts as open until [`WebSeeds::ended`].
    pub(crate) fn next(
        &mut self,
        layout: &Layout,
        wanted: impl Fn(PieceIndex) -> bool,
        now: Instant,
    ) -> Option<WebSeedIndex> {
        if self.open() >= MAX_OPEN {
            return None;
        }
        loop {
            let due = self.known.iter_mut().enumerate().filter(|(_, seed)| {
                let is_due = seed.not_before.is_none_or(|at| at <= now);
                is_due && !seed.open && !seed.banned
            });
            let (index, seed) = due.min_by_key(|(_, seed)| seed.failures)?;
            if seed.lacks.is_empty() || pieces(layout, &seed.lacks).iter().any(&wanted) {
                seed.open = true;
                return Some(WebSeedIndex(index));
            }
            seed.not_before = Some(now + FIRST_PAUSE);
        }
    }

    pub(crate) fn pieces(&self, index: WebSeedIndex, layout: &Layout) -> Bitfield {
        let seed = self.known.get(index.0);
        seed.map_or_else(
            || Bitfield::none(layout.pieces()),
            |seed| pieces(layout, &seed.lacks),
        )
    }

    pub(crate) fn lacks(&mut self, index: WebSeedIndex, file: usize, why: String) {
        if let Some(seed) = self.known.get_mut(index.0) {
            seed.lacks.insert(file);
            seed.error = Some(why);
        }
    }

    /// Records that a web seed asked for this pause. The pause begins when its thread ends.
    pub(crate) fn come_back(&mut self, index: WebSeedIndex, pause: Duration) {
        if let Some(seed) = self.known.get_mut(index.0) {
            seed.pause = Some(pause);
        }
    }

    /// Records that the thread of a web seed ended, with an error or because we closed it. `gave`:
    /// it had sent data.
    pub(crate) fn ended(
        &mut self,
        index: WebSeedIndex,
        error: Option<&str>,
        gave: bool,
        now: Instant,
    ) {
        let Some(seed) = self.known.get_mut(index.0) else {
            return;
        };
        seed.open = false;
        if let Some(error) = error {
            seed.error = Some(error.to_owned());
        }
        if gave {
            (seed.failures, seed.obeyed) = (0, 0);
        }
        let own = FIRST_PAUSE.saturating_mul(1 << seed.failures.min(10));
        let pause = match seed.pause.take() {
            Some(pause) if seed.obeyed < OBEYED => {
                seed.obeyed += 1;
                pause
            }
            pause => {
                seed.failures += 1;
                own.max(pause.unwrap_or_default())
            }
        };
        seed.not_before = Some(now + pause.min(MAX_PAUSE));
    }

    pub(crate) fn ban(&mut self, index: WebSeedIndex) {
        if let Some(seed) = self.known.get_mut(index.0) {
            seed.banned = true;
        }
    }

    /// Lifts a ban: the data was not false after all.
    pub(crate) fn pardon(&mut self, index: WebSeedIndex) {
        if let Some(seed) = self.known.get_mut(index.0) {
            seed.banned = false;
        }
    }
}

/// Returns all pieces except those that hold a part of a file in `lacks`.
fn pieces(layout: &Layout, lacks: &BTreeSet<usize>) -> Bitfield {
    let mut pieces = Bitfield::all(layout.pieces());
    for piece in lacks.iter().flat_map(|file| layout.pieces_of_file(*file)) {
        pieces.remove(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: u64 = 1 << 14;

    fn layout(files: &[u64]) -> Layout {
        let files: Vec<_> = files.iter().map(|len| (*len, false)).collect();
        Layout::new(PIECE, &files).unwrap()
    }

    fn seeds(count: usize) -> WebSeeds {
        let urls: Vec<String> = (0..count).map(|n| format!("http://{n}.example/")).collect();
        WebSeeds::new(&urls)
    }

    #[test]
    fn what_is_no_url_is_skipped_with_one_warning() {
        let urls = ["/12/items/", "http://a/", "ftp://b/", "x"].map(String::from);
        let seeds = WebSeeds::new(&urls);
        assert_eq!((seeds.known.len(), seeds.skipped.len()), (1, 3));
        let warning = seeds.warning().unwrap();
        assert!(
            warning.starts_with("3 web seeds left out, being no"),
            "{warning}"
        );
        assert!(warning.ends_with(r#""/12/items/", ..."#), "{warning}");
        assert_eq!(WebSeeds::new(&urls[1..2]).warning(), None);
    }

    #[test]
    fn at_most_four_at_once_and_each_in_turn() {
        let (layout, now) = (layout(&[PIECE]), Instant::now());
        let mut seeds = seeds(6);
        let next = |seeds: &mut WebSeeds, now| seeds.next(&layout, |_| true, now).map(|i| i.0);
        let opened: Vec<_> = std::iter::from_fn(|| next(&mut seeds, now)).collect();
        assert_eq!(opened, [0, 1, 2, 3]);
        for n in 0..4 {
            seeds.ended(WebSeedIndex(n), Some("no"), false, now);
        }
        assert_eq!(next(&mut seeds, now), Some(4));
        assert_eq!(next(&mut seeds, now), Some(5));
        assert_eq!(next(&mut seeds, now), None, "the others failed just now");
        assert_eq!(next(&mut seeds, now + FIRST_PAUSE), Some(0));
        let counts = report::WebSeeds {
            open: 3,
            usable: 6,
            error: Some("no".into()),
        };
        assert_eq!(seeds.counts(), counts);
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let (layout, mut now) = (layout(&[PIECE]), Instant::now());
        let mut seeds = seeds(1);
        let mut pause = |gave, asked: Option<u64>| {
            let index = seeds.next(&layout, |_| true, now).unwrap();
            if let Some(seconds) = asked {
                seeds.come_back(index, Duration::from_secs(seconds));
            }
            seeds.ended(index, Some("no"), gave, now);
            let start = now;
            while seeds.next(&layout, |_| true, now).is_none() {
                now += Duration::from_secs(1);
            }
            seeds.known[0].open = false;
            now.duration_since(start).as_secs()
        };
        let pauses: Vec<u64> = (0..9).map(|_| pause(false, None)).collect();
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(pause(true, None), 30, "it works again");
        assert_eq!(pause(false, Some(300)), 300, "it says when");
        assert_eq!(pause(true, Some(1)), 1);
        assert_eq!(pause(true, Some(1 << 40)), 3600);
        assert_eq!(pause(true, None), 30);
        let pauses: Vec<u64> = (0..8).map(|_| pause(false, Some(1))).collect();
        assert_eq!(
            pauses,
            [1, 1, 1, 1, 1, 60, 120, 240],
            "five times and no more"
        );
        assert_eq!(pause(false, Some(900)), 900, "ours is the least");
        assert_eq!(pause(true, Some(1)), 1, "it works again");
    }

    #[test]
    fn who_lied_or_has_nothing_is_not_opened() {
        let (layout, now) = (layout(&[PIECE / 2, PIECE, PIECE]), Instant::now());
        let mut seeds = seeds(2);
        seeds.ban(WebSeedIndex(0));
        seeds.lacks(WebSeedIndex(1), 1, "404".into());
        let piece = |n| layout.piece(n).unwrap();
        let left = seeds.pieces(WebSeedIndex(1), &layout);
        assert_eq!(
            left.iter().collect::<Vec<_>>(),
            [piece(2)],
            "not those that it shares"
        );
        assert_eq!(seeds.next(&layout, |p| p == piece(1), now), None);
        let later = now + FIRST_PAUSE;
        let next = seeds.next(&layout, |p| p == piece(2), later);
        assert_eq!(next, Some(WebSeedIndex(1)));
    }
}
