//! The record as earlier versions wrote it. It is read once, then written in the new form.
//!
//! ```text
//! d 6:!parts 11:…                   the kept parts
//!   7:boot id 36:8b0c…              names this start of the system
//!   5:files lli1048576ei17…eee      of each wanted file: size, time
//!   3:had 4:….   4:info 9:d4:name…e   9:info hash 20:…   6:wanted 1:.
//! e
//! ```
//!
//! Its data was not flushed to the disk before it was written, so it is trusted only until the
//! system restarts. At the start of a run only its first line was written, without the torrent's
//! name: such a record marks no file as ours.

use super::{Form, MAX_DEPTH, Says, State, is_set, number, tail};
use crate::bencode;
use crate::types::InfoHash;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use serde::Deserialize;
use serde_bytes::ByteBuf;

const KEY: &[u8] = b"d6:!parts";

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OldState {
    pub kept: u64,
    rest: Rest,
}

#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
struct Rest {
    #[serde(rename = "boot id")]
    boot_id: String,
    files: Vec<(u64, i64)>,
    had: ByteBuf,
    info: Option<ByteBuf>,
    #[serde(rename = "info hash")]
    info_hash: ByteBuf,
    wanted: ByteBuf,
}

impl OldState {
    pub(crate) fn wanted(&self, files: usize) -> Vec<bool> {
        let wanted = &self.rest.wanted;
        (0..files).map(|file| is_set(wanted, file)).collect()
    }

    pub(super) fn says(&self) -> Says {
        let rest = self.rest.clone();
        let state = State {
            files: rest.files,
            had: rest.had,
        };
        Says {
            info: rest.info.map(ByteBuf::into_vec),
            state: boot_id()
                .is_some_and(|id| id == rest.boot_id)
                .then_some(state),
        }
    }
}

/// Returns the form of a file that begins with `begin`, if it is an old record and may be ours.
pub(super) fn form_of(
    fd: &OwnedFd,
    begin: &[u8],
    info_hash: InfoHash,
) -> Result<Option<Form>, Errno> {
    let after_key = begin.strip_prefix(KEY).and_then(number);
    let Some((kept, after)) = after_key else {
        return Ok(None);
    };
    let kept_at = (begin.len() - after.len()) as u64;
    let rest = tail(fd, kept_at.saturating_add(kept))?;
    if rest.is_empty() && kept == 0 {
        return Ok(Some(Form::Blank));
    }
    let rest: Option<Rest> = bencode::decode(&[b"d", &rest[..]].concat(), MAX_DEPTH).ok();
    let ours = rest.filter(|rest| *rest.info_hash == info_hash.0);
    Ok(ours.map(|rest| Form::Old {
        kept_at,
        state: Box::new(OldState { kept, rest }),
    }))
}

/// Returns the id of this start of the system. `None` where the system has none.
fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}
