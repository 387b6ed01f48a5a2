//! `storrent check`: hashes the files on disk and says which of them are whole.

use super::args::Check;
use super::show::{File, files};
use super::stamp::Stamp;
use super::{Failure, json_line, print, source, warn};
use crate::bitfield::Bitfield;
use crate::checker::check_all;
use crate::engine::cores;
use crate::human::{count, escaped, grouped, percent, size, size_exact};
use crate::metainfo::Metainfo;
use crate::progress::Hashing;
use crate::storage::{Plan, Storage, Survey};
use crate::wanted::Wanted;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Runs the job.
///
/// # Errors
/// [`Failure`], if the torrent or the data can't be read, or a file is not whole.
pub fn run(options: &Check) -> Result<(), Failure> {
    let metainfo = source::read(&options.source, &options.door())?.metainfo;
    let (pieces, wanted) = (metainfo.layout.pieces(), !options.quiet && !options.json);
    let shown = Hashing::of(&metainfo.name, pieces, wanted);
    let found = look(&metainfo, &options.dir, &|done| shown.progress(done));
    drop(shown);
    let found = found?;
    if !options.quiet {
        metainfo.warnings.iter().for_each(|warning| warn(warning));
        print(&match options.json {
            true => json_line(&found)?,
            false => found.page(&metainfo),
        })?;
    }
    if !found.whole {
        return Err(Failure::Failed(found.verdict(&metainfo.name, options)));
    }
    Ok(())
}

/// Hashes the files in `dir`. Calls `progress` on any thread, with the number of pieces done.
fn look(
    metainfo: &Metainfo,
    dir: &Path,
    progress: &(dyn Fn(u32) + Sync),
) -> Result<Object, Failure> {
    let storage = Storage::open(dir, metainfo.into(), &Wanted::all(&metainfo.layout))?;
    let plan = storage.plan();
    let stamps = || {
        let mut stamps = vec![None; metainfo.layout.files()];
        for file in plan.wanted_files() {
            // If this fails, the file can't be read either, and that error is reported.
            stamps[file] = Stamp::at(&plan.path(file)).ok().flatten();
        }
        stamps
    };
    let before = stamps();
    let survey = storage.survey()?;
    let pieces = metainfo.layout.pieces();
    let have = check_all(
        &storage,
        &|piece| metainfo.hash(piece),
        &Bitfield::all(pieces),
        cores(),
        progress,
        &AtomicBool::new(false),
    )?;
    // `None` means that the check was stopped; nobody stops this one.
    let have = have.unwrap_or_else(|| Bitfield::none(pieces));
    let pairs = before.into_iter().zip(stamps());
    let changed: Vec<bool> = pairs.map(|(before, after)| before != after).collect();
    Ok(Object::of(metainfo, plan, &survey, &have, &changed))
}

/// What was found, for `--json`.
#[derive(Serialize)]
struct Object {
    info_hash: String,
    pieces: u32,
    have_pieces: u32,
    total_bytes: u64,
    have_bytes: u64,
    whole: bool,
    files: Vec<Checked>,
}

/// Remarks that somebody wrote to the file or replaced it during the check, so we may have read
/// bytes from before and after.
const CHANGED: &str = "changed";

#[derive(Serialize, Debug, PartialEq)]
struct Checked {
    #[serde(flatten)]
    file: File,
    whole: bool,
    /// Its path on this disk, which may have refused the torrent's own name.
    #[serde(skip)]
    on_disk: PathBuf,
    /// Bytes in pieces with the right hash.
    #[serde(skip)]
    have: u64,
    /// Why it is not whole, if hashes do not say it; else empty.
    #[serde(skip)]
    remark: &'static str,
}

impl Object {
    /// `changed`: whether each file of the layout changed during the check.
    fn of(
        metainfo: &Metainfo,
        plan: &Plan,
        survey: &Survey,
        have: &Bitfield,
        changed: &[bool],
    ) -> Self {
        let layout = &metainfo.layout;
        let mut bytes = vec![0; layout.files()];
        for piece in have.iter() {
            for part in layout.parts(layout.piece_range(piece)) {
                bytes[part.file] += part.len;
            }
        }
        let files = files(metainfo).map(|(index, file)| {
            let remark = match survey[index].map(|state| state.size) {
                _ if changed[index] => CHANGED,
                None => "missing",
                Some(size) if size < file.length => "too short",
                Some(size) if size > file.length => "too long",
                Some(_) => "",
            };
            Checked {
                whole: remark.is_empty() && bytes[index] == file.length,
                on_disk: plan.path(index),
                have: bytes[index],
                remark,
                file,
            }
        });
        let files: Vec<Checked> = files.collect();
        Self {
            info_hash: metainfo.info_hash.to_string(),
            pieces: have.len(),
            have_pieces: have.count(),
            total_bytes: metainfo.total_bytes(),
            have_bytes: files.iter().map(|file| file.have).sum(),
            whole: have.is_full() && files.iter().all(|file| file.whole),
            files,
        }
    }

    /// One line per file, for people.
    fn page(&self, metainfo: &Metainfo) -> String {
        let mut page = format!("{}  {}\n", self.info_hash, escaped(&metainfo.name));
        for Checked {
            file,
            whole,
            have,
            remark,
            ..
        } in &self.files
        {
            let state = match (whole, *remark) {
                (true, _) => "whole".to_string(),
                (false, "") => percent(*have, file.length),
                (false, remark) => remark.to_string(),
            };
            let path = escaped(&file.path);
            page += &format!("{state:>9}  {:>9}  {path}\n", size(file.length));
        }
        let (have, total) = (size_exact(self.have_bytes), size_exact(self.total_bytes));
        let (right, pieces) = (grouped(self.have_pieces.into()), self.pieces.into());
        let pieces = count(pieces, "piece");
        page + &format!("{have} of {total} are right, {right} of {pieces}\n")
    }

    /// Says why the exit status is 1.
    fn verdict(&self, name: &str, options: &Check) -> String {
        let mut changed = self.files.iter().filter(|file| file.remark == CHANGED);
        if let Some(Checked { on_disk, .. }) = changed.next() {
            let more = match changed.count() {
                0 => String::new(),
                others => format!(" and {} more", grouped(others as u64)),
            };
            return format!(
                "{}{more} changed while it was checked; wait until nobody writes to it, then \
                 check again",
                on_disk.display()
            );
        }
        let whole = self.files.iter().filter(|file| file.whole).count();
        let files = count(self.files.len() as u64, "file");
        let (part, dir) = (
            percent(self.have_bytes, self.total_bytes),
            options.dir.display(),
        );
        format!(
            "{name} in {dir} is not whole: {whole} of {files} and {part} of the data are right; \
             download it to the same folder to complete it"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::values::Source;
    use serde_json::{Value, json};
    use sha1::{Digest, Sha1};
    use std::fs;

    /// Files of 20,000 and 30,000 bytes and an empty one, in pieces of 16 KiB.
    fn torrent(dir: &Path) -> Check {
        let data: Vec<u8> = (0..50_000u32).map(|i| (i * i / 128) as u8).collect();
        fs::create_dir(dir.join("n")).unwrap();
        fs::write(dir.join("n/a"), &data[..20_000]).unwrap();
        fs::write(dir.join("n/b"), &data[20_000..]).unwrap();
        fs::write(dir.join("n/c"), b"").unwrap();
        let mut torrent = b"d4:infod5:filesl".to_vec();
        for (name, len) in [("a", 20_000), ("b", 30_000), ("c", 0)] {
            torrent.extend(format!("d6:lengthi{len}e4:pathl1:{name}ee").bytes());
        }
        torrent.extend(b"e4:name1:n12:piece lengthi16384e6:pieces80:");
        torrent.extend(data.chunks(16384).flat_map(Sha1::digest));
        torrent.extend(b"ee");
        fs::write(dir.join("t"), torrent).unwrap();
        Check {
            dir: dir.to_owned(),
            bind: None,
            proxy: None,
            json: false,
            quiet: true,
            source: Source::Path(dir.join("t")),
        }
    }

    fn found(check: &Check) -> Object {
        let metainfo = source::read(&check.source, &check.door()).unwrap().metainfo;
        look(&metainfo, &check.dir, &|_| {}).unwrap()
    }

    #[test]
    fn whole_and_not() {
        let dir = tempfile::tempdir().unwrap();
        let check = torrent(dir.path());
        assert_eq!(run(&check), Ok(()));
        let line = json_line(&found(&check)).unwrap();
        let object: Value = serde_json::from_str(&line).unwrap();
        let file = |number, name: &str, length| json!({"number": number, "path": format!("n/{name}"), "length": length, "whole": true});
        let expected = json!({
            "info_hash": object["info_hash"], "pieces": 4, "have_pieces": 4,
            "total_bytes": 50_000, "have_bytes": 50_000, "whole": true,
            "files": [file(1, "a", 20_000), file(2, "b", 30_000), file(3, "c", 0)],
        });
        assert_eq!(object, expected);

        // Changes the second file's last piece, and removes the empty file.
        let mut b = fs::read(dir.path().join("n/b")).unwrap();
        b[29_999] ^= 1;
        fs::write(dir.path().join("n/b"), b).unwrap();
        fs::remove_file(dir.path().join("n/c")).unwrap();
        let Err(Failure::Failed(verdict)) = run(&check) else {
            panic!("damage goes unseen")
        };
        assert!(
            verdict.contains("not whole: 1 of 3 files and 98.3%"),
            "{verdict}"
        );
        let object = found(&check);
        assert_eq!((object.have_pieces, object.have_bytes), (3, 49_152));
        let states: Vec<_> = object.files.iter().map(|f| (f.whole, f.remark)).collect();
        assert_eq!(states, [(true, ""), (false, ""), (false, "missing")]);
        let metainfo = source::read(&check.source, &check.door()).unwrap().metainfo;
        let page = object.page(&metainfo);
        assert!(page.contains("    whole   19.5 KiB  n/a\n"), "{page}");
        assert!(page.contains("    97.1%   29.3 KiB  n/b\n"), "{page}");
        assert!(page.contains("  missing        0 B  n/c\n"), "{page}");
    }

    #[test]
    fn files_of_the_wrong_length() {
        let dir = tempfile::tempdir().unwrap();
        let check = torrent(dir.path());
        let mut a = fs::read(dir.path().join("n/a")).unwrap();
        a.push(0);
        fs::write(dir.path().join("n/a"), a).unwrap();
        let object = found(&check);
        assert!(!object.whole && object.files[0].remark == "too long" && object.files[1].whole);
        fs::remove_dir_all(dir.path().join("n")).unwrap();
        assert_eq!(found(&check).have_pieces, 0);
        assert!(run(&check).is_err());
    }

    /// A file that is touched during the check is not whole, even if it is empty or its bytes are
    /// right.
    #[test]
    fn a_file_that_changes_meanwhile() {
        type Change = fn(&Path);
        let grow: Change = |path| fs::write(path, b"more than nothing").unwrap();
        let touch: Change = |path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH)
                .unwrap();
        };
        let remove: Change = |path| fs::remove_file(path).unwrap();
        for (name, change) in [("c", grow), ("a", touch), ("b", remove), ("c", remove)] {
            let dir = tempfile::tempdir().unwrap();
            let check = torrent(dir.path());
            let path = dir.path().join("n").join(name);
            let metainfo = source::read(&check.source, &check.door()).unwrap().metainfo;
            let late = |done| {
                if done == 4 {
                    change(&path);
                }
            };
            let object = look(&metainfo, dir.path(), &late).unwrap();
            let changed = object.files.iter().filter(|file| file.remark == "changed");
            let changed: Vec<_> = changed.map(|file| &*file.file.path).collect();
            assert_eq!(changed, [format!("n/{name}")]);
            assert!(!object.whole && object.have_pieces == 4, "{name}");
            let verdict = object.verdict("n", &check);
            let said = format!("{} changed while it was checked", path.display());
            assert!(verdict.starts_with(&said), "{verdict}");
            assert!(object.page(&metainfo).contains("  changed  "));
        }
    }
}
