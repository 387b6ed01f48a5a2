//! Where most tests happen: a temporary folder, a torrent, and a folder to download to.

use super::content::{Spec, Torrent};
use super::peer::FakePeer;
use super::program::{Outcome, Storrent};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

pub(crate) struct Place {
    /// For whatever else the test needs to put somewhere.
    pub temp: TempDir,
    pub torrent: Arc<Torrent>,
}

impl Place {
    pub(crate) fn new(spec: Spec) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let torrent = spec.build();
        Self { temp, torrent }
    }

    /// The folder to download to, which does not exist yet.
    pub(crate) fn dir(&self) -> PathBuf {
        self.temp.path().join("down")
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.torrent.save(self.temp.path())
    }

    pub(crate) fn download(&self) -> Storrent {
        Storrent::download(&self.dir()).arg(self.file())
    }

    /// Downloads from `peer` and compares.
    #[track_caller]
    pub(crate) fn fetch(&self, peer: &FakePeer) -> Outcome {
        let end = self.download().peers(&[peer.addr]).run().expect(0);
        self.torrent.assert_whole(&self.dir());
        end
    }
}
