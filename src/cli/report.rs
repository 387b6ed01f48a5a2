//! `storrent report`: a picture of a swarm, out of the trace of a run. [`picture`](crate::picture)
//! makes the page; this file reads and writes the files.

use super::args::Report;
use super::{Failure, warn};
use crate::human::count;
use crate::picture::Picture;
use crate::trace::MAX_LINE;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

/// Runs the job.
///
/// # Errors
/// [`Failure`], if the trace can't be read or holds no fact, or the page can't be written.
pub fn run(options: &Report) -> Result<(), Failure> {
    let Some(output) = &options.output else {
        let mistake = "no -o FILE.html is given: see `storrent report --help`";
        return Err(Failure::Usage(mistake.into()));
    };
    needs_folder(output)?;
    let trace = &options.trace;
    let failed = |why: String| Failure::Failed(format!("cannot report {}: {why}", trace.display()));
    let file = File::open(trace)
        .map_err(|error| failed(format!("{error}; give the FILE of a --trace")))?;
    let picture = read(file).map_err(|error| failed(error.to_string()))?;
    if picture.is_empty() {
        let why = "it holds no fact of a run; give the FILE of a --trace";
        return Err(failed(why.into()));
    }
    if picture.broken() > 0 {
        let (lines, file) = (count(picture.broken(), "line"), trace.display());
        let lacks = if picture.broken() == 1 { "it" } else { "them" };
        warn(&format!(
            "{file}: {lines} could not be read; the picture lacks {lacks}"
        ));
    }
    save(output, &picture.html())
}

/// Reads a trace of any length, line by line.
fn read(trace: impl Read) -> io::Result<Picture> {
    let (mut trace, mut picture, mut line) =
        (BufReader::new(trace), Picture::default(), Vec::new());
    loop {
        line.clear();
        let mut most = trace.by_ref().take(MAX_LINE as u64);
        if most.read_until(b'\n', &mut line)? == 0 {
            return Ok(picture);
        }
        match std::str::from_utf8(&line) {
            Ok(text) if line.len() < MAX_LINE => picture.line(text),
            _ => {
                picture.broken_line();
                if !line.ends_with(b"\n") {
                    trace.skip_until(b'\n')?;
                }
            }
        }
    }
}

/// Writes `page` to `path`. It replaces a file in one step, so a reader sees the old page or all of
/// the new one. A link stays a link; what is no file (a pipe) is written to.
pub(super) fn save(path: &Path, page: &str) -> Result<(), Failure> {
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let saved = match fs::symlink_metadata(&place) {
        Ok(there) if !there.is_file() => fs::write(path, page),
        _ => replace(&place, page),
    };
    saved.map_err(|error| unsaved(path, &format!("{error}; give another FILE")))
}

/// Fails if the folder of `path` is missing: before the work, not after it.
pub(super) fn needs_folder(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    match folder.is_none_or(Path::is_dir) {
        true => Ok(()),
        false => Err(unsaved(path, "there is no such folder; make it first")),
    }
}

fn unsaved(path: &Path, why: &str) -> Failure {
    Failure::Failed(format!("cannot save {}: {why}", path.display()))
}

/// Puts a new file with `page` in the place of the one at `path`, if there is one.
fn replace(path: &Path, page: &str) -> io::Result<()> {
    let other = path.with_file_name(format!(".storrent-{:016x}", fastrand::u64(..)));
    let replaced = write_new(&other, page).and_then(|()| fs::rename(&other, path));
    replaced.inspect_err(|_| {
        let _ = fs::remove_file(&other);
    })
}

fn write_new(path: &Path, page: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(page.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::os::unix::fs::{FileTypeExt, symlink};
    use std::thread;

    const FACT: &str = "{\"t\":1,\"fact\":\"endgame\"}\n";

    #[test]
    fn lines_that_are_no_facts_are_counted() {
        let long = format!("{{\"fact\":\"{}\"}}\n", "x".repeat(2 << 20));
        let cases: [(&[&[u8]], u64); 6] = [
            (&[], 0),
            (&[FACT.as_bytes()], 0),
            (&[FACT.as_bytes(), b"{\n", FACT.as_bytes()], 1),
            (&[b"\xff\n", FACT.as_bytes()], 1),
            (&[long.as_bytes(), FACT.as_bytes()], 1),
            // The run was killed while it wrote the last line.
            (&[FACT.as_bytes(), &FACT.as_bytes()[..9]], 1),
        ];
        for (lines, broken) in cases {
            let picture = read(&lines.concat()[..]).unwrap();
            assert_eq!(picture.broken(), broken, "{lines:?}");
            assert_eq!(picture.is_empty(), lines.is_empty());
        }
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("swarm.html");
        for page in ["one", "two"] {
            save(&path, page).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), page);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::remove_file(&path).unwrap();

        let folder = dir.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let refused = |done: Result<(), Failure>, why: &str| match done {
            Err(Failure::Failed(text)) => {
                assert!(
                    text.starts_with("cannot save ") && text.contains(why),
                    "{text}"
                );
            }
            done => panic!("{done:?}"),
        };
        refused(save(&folder, "three"), "give another FILE");
        let missing = dir.path().join("no/x.html");
        refused(save(&missing, "three"), "give another FILE");
        refused(needs_folder(&missing), "no such folder; make it first");
        assert_eq!(needs_folder(&path), Ok(()));
        assert_eq!(needs_folder(Path::new("x.html")), Ok(()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_stays_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (link, to) in [("there", "file"), ("dangling", "new")] {
            symlink(to, at(link)).unwrap();
        }
        fs::write(at("file"), "old").unwrap();
        for (link, to) in [("there", "file"), ("dangling", "new")] {
            save(&at(link), "page").unwrap();
            assert_eq!(fs::read_link(at(link)).unwrap(), Path::new(to));
            assert_eq!(fs::read_to_string(at(to)).unwrap(), "page");
        }

        let (pipe, link) = (at("pipe"), at("to pipe"));
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        symlink(&pipe, &link).unwrap();
        for path in [&pipe, &link] {
            let pipe = pipe.clone();
            let reader = thread::spawn(move || fs::read_to_string(pipe).unwrap());
            save(path, "page").unwrap();
            assert!(fs::metadata(path).unwrap().file_type().is_fifo());
            assert_eq!(reader.join().unwrap(), "page");
        }
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
