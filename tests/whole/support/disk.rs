//! A small disk for one test: a file system in memory, in a mount namespace where only the test
//! sees it.

use super::network::again;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

const INSIDE: &str = "STORRENT_TEST_DISK";

/// Runs `body` with the folder of an empty disk of `mebibytes`. For `name`, and for where this
/// can't be done, see [`super::network::isolated`].
pub(crate) fn small_disk(name: &str, mebibytes: u32, body: impl FnOnce(&Path)) {
    if let Some(dir) = std::env::var_os(INSIDE) {
        return body(&PathBuf::from(dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let enter = format!("mount -t tmpfs -o size={mebibytes}m tmpfs '{path}'");
    again(name, "--mount", &enter, (INSIDE, path));
}

/// Fills the disk up with a file at `path`.
pub(crate) fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let zeros = [0; 4096];
    while file.write_all(&zeros).is_ok() {}
    assert!(fs::metadata(path).unwrap().len() > 0, "it was full already");
}
