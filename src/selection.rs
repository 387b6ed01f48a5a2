//! The files of a torrent that the user wants: `--files 1,3-5`. The numbers are those that
//! `storrent show` prints: from 1, without padding. They are read at the start, and checked when
//! the torrent's metadata is known, which takes a while for a magnet link.

use crate::human::count;
use crate::metainfo::Metainfo;
use crate::setting::Setting;
use std::collections::BTreeSet;
use std::str::FromStr;

/// Numbers of files: the first and last of each range, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileNumbers(Vec<(u32, u32)>);

/// The text is not a list of file numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("numbers from 1 are expected, as 1,3-5 (`storrent show` prints them)")]
pub struct NoFileNumbers;

impl FromStr for FileNumbers {
    type Err = NoFileNumbers;

    /// Reads a list such as `1,3-5`.
    fn from_str(text: &str) -> Result<Self, NoFileNumbers> {
        let number = |text: &str| {
            let plain = text.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| text.parse().ok()).flatten()
        };
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first.trim())?, number(last.trim())?);
            (0 < first && first <= last).then_some((first, last))
        };
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        ranges.map(Self).ok_or(NoFileNumbers)
    }
}

impl FromIterator<u32> for FileNumbers {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        Self(numbers.into_iter().map(|number| (number, number)).collect())
    }
}

impl FileNumbers {
    /// Returns the chosen files in order, as indices into the metainfo's files.
    ///
    /// # Errors
    /// A sentence for the user, if a number is past the end.
    pub fn of(&self, metainfo: &Metainfo) -> Result<Vec<usize>, String> {
        let files = metainfo.files.iter().filter_map(|file| file.number).count();
        let chosen = self.resolve(u32::try_from(files).unwrap_or(u32::MAX));
        let chosen = chosen.map_err(|past| {
            let (files, name) = (count(files as u64, "file"), &metainfo.name);
            let option = Setting::Files;
            format!("{option}: there is no file {past}: {name} has {files}, see `storrent show`")
        })?;
        let is_chosen =
            |number: usize| u32::try_from(number).is_ok_and(|number| chosen.contains(&number));
        let files = metainfo.files.iter().enumerate();
        let wanted = files.filter(|(_, file)| file.number.is_some_and(is_chosen));
        Ok(wanted.map(|(index, _)| index).collect())
    }

    /// The chosen numbers from 1 to `files`, or the first one past the end.
    fn resolve(&self, files: u32) -> Result<BTreeSet<u32>, u32> {
        if let Some((first, _)) = self.0.iter().find(|(_, last)| *last > files) {
            return Err((*first).max(files.saturating_add(1)));
        }
        Ok(self
            .0
            .iter()
            .flat_map(|(first, last)| *first..=*last)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metainfo;

    #[test]
    fn numbers_of_files() {
        let cases: [(&str, Result<&[u32], u32>); 7] = [
            ("1", Ok(&[1])),
            ("1,3-5", Ok(&[1, 3, 4, 5])),
            ("4, 2 - 3,2", Ok(&[2, 3, 4])),
            ("1-5,5-5", Ok(&[1, 2, 3, 4, 5])),
            ("6", Err(6)),
            ("1,2-9", Err(6)),
            ("1-4294967295", Err(6)),
        ];
        for (text, numbers) in cases {
            let found = text.parse::<FileNumbers>().unwrap().resolve(5);
            assert_eq!(
                found.map(Vec::from_iter),
                numbers.map(<[u32]>::to_vec),
                "{text:?}"
            );
        }
        for bad in [
            "",
            ",",
            "1,",
            "0",
            "0-3",
            "3-1",
            "a",
            "1-",
            "-1",
            "1-2-3",
            "4294967296",
        ] {
            assert!(bad.parse::<FileNumbers>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbers_become_indices() {
        // Three files of 1 byte, the second of them padding.
        let file =
            |name: &str, attr: &str| format!("d{attr}6:lengthi1e4:pathl{}:{name}ee", name.len());
        let files = file("a", "") + &file("p", "4:attr1:p") + &file("b", "");
        let hash = "x".repeat(20);
        let info = format!("d5:filesl{files}e4:name1:n12:piece lengthi16384e6:pieces20:{hash}e");
        let metainfo = metainfo::from_info(info.as_bytes()).unwrap();
        let indices = |list: &str| list.parse::<FileNumbers>().unwrap().of(&metainfo);
        assert_eq!(indices("2"), Ok(vec![2]));
        assert_eq!(indices("1-2"), Ok(vec![0, 2]));
        let why = indices("3").unwrap_err();
        assert!(why.contains("no file 3: n has 2 files"), "{why}");
    }
}
