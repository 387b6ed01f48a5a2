//! Makes sure that no two torrents of a run write to the same path. Main asks once it knows a
//! torrent's metadata, before it writes anything.

use crate::metainfo::Metainfo;
use crate::storage::record_names;
use crate::types::InfoHash;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The torrent that writes to each path. A torrent writes to two places in its DIR: its file or
/// folder, and its record beside that.
#[derive(Default)]
pub(super) struct Claims(HashMap<PathBuf, InfoHash>);

impl Claims {
    /// Claims both places of a torrent. If another torrent has one, returns that place and the
    /// other torrent, and claims nothing.
    pub(super) fn claim(&mut self, dir: &Path, metainfo: &Metainfo) -> Option<(PathBuf, InfoHash)> {
        let record = record_names(&metainfo.into()).swap_remove(0);
        let places = [dir.join(&metainfo.name), dir.join(record)];
        for place in &places {
            if let Some(other) = self.0.get(place) {
                return Some((place.clone(), *other));
            }
        }
        self.0
            .extend(places.map(|place| (place, metainfo.info_hash)));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metainfo;

    /// A torrent of empty files: `name` itself, or files in the folder `name`.
    fn torrent(name: &str, files: &[&str]) -> Metainfo {
        let string = |text: &str| format!("{}:{text}", text.len());
        let content = match files {
            [] => "6:lengthi0e".to_string(),
            _ => {
                let file = |path: &&str| {
                    let names: String = path.split('/').map(string).collect();
                    format!("d6:lengthi0e4:pathl{names}ee")
                };
                format!("5:filesl{}e", files.iter().map(file).collect::<String>())
            }
        };
        let name = string(name);
        let info = format!("d{content}4:name{name}12:piece lengthi16384e6:pieces0:e");
        metainfo::from_info(info.as_bytes()).unwrap()
    }

    #[test]
    fn who_is_in_whose_way() {
        let one = torrent("one", &[]);
        let rival = torrent("one", &["x"]); // a folder where `one` is a file
        let tree = torrent("tree", &["a/b", "c"]);
        let twig = torrent("tree", &["d"]); // other files, but the same folder
        let record = torrent("tree.storrent", &[]);
        let cases = [
            (&one, &tree, None),
            (&one, &rival, Some("dir/one")),
            (&rival, &one, Some("dir/one")),
            (&tree, &twig, Some("dir/tree")),
            (&tree, &record, Some("dir/tree.storrent")),
        ];
        for (first, second, taken) in cases {
            let mut claims = Claims::default();
            assert_eq!(claims.claim(Path::new("dir"), first), None);
            let found = claims.claim(Path::new("dir"), second);
            let expected = taken.map(|path| (PathBuf::from(path), first.info_hash));
            assert_eq!(found, expected, "{} {}", first.name, second.name);
        }
    }
}
