//! Fetches the metadata of a magnet link ([BEP 9]) for `storrent show`: the engine joins the swarm,
//! asks peers for it, and leaves.
//!
//! [BEP 9]: https://www.bittorrent.org/beps/bep_0009.html

use super::Failure;
use super::args::Show;
use super::download::status;
use super::signals::Interrupts;
use super::source::Torrent;
use super::values::Source;
use crate::address::Teller;
use crate::compose::{self, Outside};
use crate::config::{Config, Job, Sources, Subject};
use crate::engine;
use crate::magnet::Magnet;
use crate::metainfo;
use crate::progress::{Display, Style};
use crate::report::{Report, Reporter};
use std::sync::Arc;

/// Shows the search, and keeps the metadata that it finds.
struct Finder {
    display: Display,
    info: Option<Arc<[u8]>>,
}

impl Reporter for Finder {
    fn report(&mut self, report: Report) {
        if let Report::Metadata { info, .. } = &report {
            self.info = Some(info.clone());
        }
        self.display.report(report);
    }
}

/// Returns the link's torrent, or the exit status if the search failed and has said why.
///
/// # Errors
/// [`Failure`], if the metadata is not a valid torrent.
pub fn fetch(
    magnet: Magnet,
    teller: Teller,
    source: &Source,
    options: &Show,
    interrupts: &Interrupts,
) -> Result<Result<Torrent, u8>, Failure> {
    let job = Job {
        source: source.to_string(),
        teller,
        peers: options.peer.clone(),
        trackers: options.tracker.clone(),
        ..Subject::Link(magnet.clone()).into()
    };
    let mut finder = Finder {
        display: Display::new(Style {
            quiet: options.quiet,
            ..Style::default()
        })?,
        info: None,
    };
    let signals = interrupts.take_over();
    let mut ending = engine::run(config(options), vec![job], &mut finder, signals);
    finder.display.end(ending.deadline);
    let Some(info) = finder.info else {
        // Finding nothing is a failure, unless it stalled.
        ending.failed |= !ending.stalled;
        return Ok(Err(status(&ending)));
    };
    let bytes = compose::rewrap(
        &info,
        Outside {
            trackers: &[magnet.trackers],
            webseeds: &magnet.webseeds,
            ..Outside::default()
        },
    );
    let metainfo = metainfo::parse(&bytes)?;
    Ok(Ok(Torrent { metainfo, bytes }))
}

fn config(options: &Show) -> Config {
    let stalls = !options.stall_timeout.is_zero();
    Config {
        port: Some(0),
        door: options.door(),
        stall_timeout: stalls.then_some(options.stall_timeout),
        metadata_only: true,
        sources: Sources {
            dht: !options.no_dht,
            pex: !options.no_pex,
            lsd: !options.no_lsd,
            webseeds: false,
        },
        dht_nodes: options.dht_node.clone(),
        ..Config::default()
    }
}
