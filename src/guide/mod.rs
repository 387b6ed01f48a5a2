//! The guide: BitTorrent and this program in twelve chapters, each with bytes that are tried.
//!
//! Each chapter asks one question. It tells the plain case, tries it on real bytes in a test of the
//! documentation (`cargo test --doc guide`), names the files, and then says what real life adds.
//! The labs (`tests/labs/README.md`) let you build the parts yourself, and the
//! [glossary](crate#glossary) has every word.
//!
//! The first chapter is the whole way of one block, in an hour. Each of the others goes deeper into one
//! part of it:
//!
//! | chapter | question |
//! | --- | --- |
//! | [1. One block in an hour](one_block) | How does a block get from a stranger's disk to mine? |
//! | [2. A torrent is bytes](torrent) | What is in a `.torrent`, and how can a name of 20 bytes be enough? |
//! | [3. Pieces, blocks, files](pieces) | Which bytes of which file are piece 7? |
//! | [4. Trackers](trackers) | Who else has it? |
//! | [5. Handshake and messages](messages) | What do two peers say to each other? |
//! | [6. The request window](window) | Why ask for more than one block at a time? |
//! | [7. Rarest first](rarest) | Which piece do I fetch next? |
//! | [8. Choking](choking) | To whom do I give? |
//! | [9. Magnet links and the DHT](magnet) | I have 20 bytes and nothing else. How do I get the file? |
//! | [10. Whom to trust](trust) | How can I take data from strangers? |
//! | [11. The disk](disk) | What survives when the power fails? |
//! | [12. Threads and messages](threads) | How do fifty connections work at once, without a lock? |
//!
//! | page | what it is |
//! | --- | --- |
//! | [Six lectures](lectures) | a plan for a course: what to show, read and ask |
//! | [Ten patterns](patterns) | of threads and messages, one file each |
//! | [Attacks](attacks) | what stops each, where, and the test that shows it |
//! | [The BEPs](beps) | each with its file and its test |
//! | [How fast, and why](speed) | what makes a download fast, and figures beside other clients |
//!
//! `cargo doc --no-deps --document-private-items --open` shows all of it as a site; the links lead
//! into the source.

#[doc = include_str!("one_block.md")]
pub mod one_block {}

#[doc = include_str!("torrent.md")]
pub mod torrent {}

#[doc = include_str!("pieces.md")]
pub mod pieces {}

#[doc = include_str!("trackers.md")]
pub mod trackers {}

#[doc = include_str!("messages.md")]
pub mod messages {}

#[doc = include_str!("window.md")]
pub mod window {}

#[doc = include_str!("rarest.md")]
pub mod rarest {}

#[doc = include_str!("choking.md")]
pub mod choking {}

#[doc = include_str!("magnet.md")]
pub mod magnet {}

#[doc = include_str!("trust.md")]
pub mod trust {}

#[doc = include_str!("disk.md")]
pub mod disk {}

#[doc = include_str!("threads.md")]
pub mod threads {}

#[doc = include_str!("lectures.md")]
pub mod lectures {}

#[doc = include_str!("patterns.md")]
pub mod patterns {}

#[doc = include_str!("attacks.md")]
pub mod attacks {}

#[doc = include_str!("beps.md")]
pub mod beps {}

#[doc = include_str!("speed.md")]
pub mod speed {}
