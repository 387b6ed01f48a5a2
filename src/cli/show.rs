//! `storrent show`: prints what a torrent holds.

use super::args::Show;
use super::save::Output;
use super::signals::Interrupts;
use super::source::{self, Given, Torrent};
use super::{Failure, json_line, metadata, print, warn};
use crate::human::{count, date, escaped, grouped, size, size_exact};
use crate::magnet;
use crate::metainfo::Metainfo;
use crate::transcript;
use serde::Serialize;
use std::fs::File as Opened;
use std::io::Read;
use std::path::Path;

/// Runs the job and returns the exit status.
///
/// # Errors
/// [`Failure`], if the torrent can't be read, or not saved where `-o` says.
pub fn run(options: &Show, interrupts: &Interrupts) -> Result<u8, Failure> {
    if let Some(file) = &options.wire {
        return print(&conversation(file)?).map(|()| 0);
    }
    let no_source = || Failure::Usage("no SOURCE is given".into());
    let source = options.source.as_ref().ok_or_else(no_source)?;
    let output = options.output.as_deref().map(Output::new).transpose()?;
    let Torrent { metainfo, bytes } = match source::given(source, &options.door())? {
        (Given::Link(magnet), teller) => {
            match metadata::fetch(magnet, teller, source, options, interrupts)? {
                Ok(torrent) => torrent,
                Err(status) => return Ok(status),
            }
        }
        (Given::Torrent(torrent), _) => *torrent,
    };
    if let Some(output) = output {
        output.save(&bytes)?;
    }
    if !options.quiet {
        metainfo.warnings.iter().for_each(|warning| warn(warning));
        print(&match options.json {
            true => json_line(&Object::of(&metainfo))?,
            false => page(&metainfo),
        })?;
    }
    Ok(0)
}

/// Reads the recording `file` and returns the page about it.
fn conversation(file: &Path) -> Result<String, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::Failed(format!("cannot show {}: {why}", file.display()))
    };
    let mut bytes = Vec::new();
    let opened = Opened::open(file).map_err(|error| failed(&error))?;
    let mut opened = opened.take(transcript::MAX_LEN as u64 + 1);
    opened
        .read_to_end(&mut bytes)
        .map_err(|error| failed(&error))?;
    if bytes.len() > transcript::MAX_LEN {
        let most = size(transcript::MAX_LEN as u64);
        return Err(failed(&format!(
            "a recording has at most {most} of text: cut it"
        )));
    }
    transcript::page(&String::from_utf8_lossy(&bytes)).map_err(|error| failed(&error))
}

/// For `--json`.
#[derive(Serialize)]
struct Object<'a> {
    name: &'a str,
    info_hash: String,
    magnet: String,
    total_bytes: u64,
    piece_length: u32,
    pieces: u32,
    private: bool,
    trackers: &'a [Vec<String>],
    webseeds: &'a [String],
    comment: Option<&'a str>,
    created_by: Option<&'a str>,
    creation_date: Option<i64>,
    files: Vec<File>,
}

/// One file, padding left out.
#[derive(Serialize, Debug, PartialEq)]
pub struct File {
    /// Its number for `--files`, from 1.
    pub number: usize,
    /// Its path below the folder to save in.
    pub path: String,
    /// Length in bytes.
    pub length: u64,
}

/// The files without padding, each with its index in the metainfo.
pub fn files(metainfo: &Metainfo) -> impl Iterator<Item = (usize, File)> + '_ {
    let files = metainfo.files.iter().enumerate();
    files.filter_map(|(index, file)| {
        let file = File {
            number: file.number?,
            path: file.path.join("/"),
            length: metainfo.layout.file_len(index),
        };
        Some((index, file))
    })
}

impl<'a> Object<'a> {
    fn of(metainfo: &'a Metainfo) -> Self {
        Self {
            name: &metainfo.name,
            info_hash: metainfo.info_hash.to_string(),
            magnet: magnet::link(metainfo),
            total_bytes: metainfo.total_bytes(),
            piece_length: metainfo.layout.piece_length(),
            pieces: metainfo.layout.pieces(),
            private: metainfo.private,
            trackers: &metainfo.trackers,
            webseeds: &metainfo.webseeds,
            comment: metainfo.comment.as_deref(),
            created_by: metainfo.created_by.as_deref(),
            creation_date: metainfo.creation_date,
            files: files(metainfo).map(|(_, file)| file).collect(),
        }
    }
}

/// The page for people: first the facts, one per line, then the files.
fn page(metainfo: &Metainfo) -> String {
    let files: Vec<File> = files(metainfo).map(|(_, file)| file).collect();
    let mut page = String::new();
    let mut before = "";
    for (label, fact) in facts(metainfo, files.len()) {
        // Of facts with the same label, only the first shows it.
        let shown = if label == before { "" } else { label };
        before = label;
        page += &format!("{shown:<13}{}\n", escaped(&fact));
    }
    page + &table(&files)
}

/// The facts about the whole torrent, with their labels.
fn facts(metainfo: &Metainfo, files: usize) -> Vec<(&'static str, String)> {
    let layout = &metainfo.layout;
    let total = size_exact(metainfo.total_bytes());
    let mut facts = vec![
        ("Name", metainfo.name.clone()),
        ("Info hash", metainfo.info_hash.to_string()),
        ("Magnet link", magnet::link(metainfo)),
        (
            "Size",
            format!("{total} in {}", count(files as u64, "file")),
        ),
        (
            "Pieces",
            format!(
                "{} of {}",
                grouped(layout.pieces().into()),
                size_exact(layout.piece_length().into())
            ),
        ),
    ];
    for (tier, urls) in metainfo.trackers.iter().enumerate() {
        for url in urls {
            facts.push(("Trackers", format!("tier {}: {url}", tier + 1)));
        }
    }
    let webseeds = metainfo.webseeds.iter();
    facts.extend(webseeds.map(|url| ("Web seeds", url.clone())));
    let private = match metainfo.private {
        true => "yes: peers from its own trackers only",
        false => "no",
    };
    facts.push(("Private", private.to_string()));
    let also = [
        ("Comment", metainfo.comment.clone()),
        ("Created by", metainfo.created_by.clone()),
        ("Created", metainfo.creation_date.map(date)),
    ];
    facts.extend(
        also.into_iter()
            .filter_map(|(label, fact)| Some((label, fact?))),
    );
    facts
}

/// One line per file.
fn table(files: &[File]) -> String {
    let numbers = files
        .last()
        .map_or(1, |file| file.number.to_string().len())
        .max(3);
    let lengths = files
        .iter()
        .map(|file| grouped(file.length).len())
        .max()
        .unwrap_or(0)
        .max(5);
    let mut table = format!(
        "\n{:>numbers$}  {:>lengths$}  {:>9}  File\n",
        "No.", "Bytes", ""
    );
    for File {
        number,
        path,
        length,
    } in files
    {
        let (bytes, size, path) = (grouped(*length), size(*length), escaped(path));
        table += &format!("{number:>numbers$}  {bytes:>lengths$}  {size:>9}  {path}\n");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Two files with padding between them, two tiers, and a comment with a control character.
    fn torrent() -> Metainfo {
        let hash = "x".repeat(40);
        let info = format!(
            "d5:filesld6:lengthi5e4:pathl1:d1:aeed4:attr1:p6:lengthi16379e4:pathl1:0eed6:lengthi2000e4:pathl1:beee\
             4:name1:n12:piece lengthi16384e6:pieces40:{hash}7:privatei1ee"
        );
        let text = format!(
            "d13:announce-listll10:http://t/110:http://t/2el10:http://t/3ee7:comment3:a\u{1b}b\
             10:created by1:c13:creation datei86400e4:info{info}8:url-list9:http://w/e"
        );
        crate::metainfo::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_object_has_the_keys_of_the_page() {
        let metainfo = torrent();
        let line = json_line(&Object::of(&metainfo)).unwrap();
        let expected = json!({
            "name": "n", "info_hash": metainfo.info_hash.to_string(), "magnet": magnet::link(&metainfo),
            "total_bytes": 2005, "piece_length": 16384, "pieces": 2, "private": true,
            "trackers": [["http://t/1", "http://t/2"], ["http://t/3"]], "webseeds": ["http://w/"],
            "comment": "a\u{1b}b", "created_by": "c", "creation_date": 86400,
            "files": [{"number": 1, "path": "n/d/a", "length": 5}, {"number": 2, "path": "n/b", "length": 2000}],
        });
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
        assert!(
            line.starts_with("{\"name\":\"n\",\"info_hash\":") && line.ends_with("}\n"),
            "{line}"
        );
    }

    #[test]
    fn the_page_is_laid_out() {
        let metainfo = torrent();
        let (hash, link) = (metainfo.info_hash, magnet::link(&metainfo));
        let expected = format!(
            "Name         n
Info hash    {hash}
Magnet link  {link}
Size         1.96 KiB (2,005 bytes) in 2 files
Pieces       2 of 16.0 KiB (16,384 bytes)
Trackers     tier 1: http://t/1
             tier 1: http://t/2
             tier 2: http://t/3
Web seeds    http://w/
Private      yes: peers from its own trackers only
Comment      a\\u{{1b}}b
Created by   c
Created      1970-01-02 00:00:00 UTC

No.  Bytes             File
  1      5        5 B  n/d/a
  2  2,000   1.95 KiB  n/b
"
        );
        assert_eq!(page(&metainfo), expected);
    }
}
