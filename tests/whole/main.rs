//! Whole-program tests: each runs the program `storrent` and looks at its output, the files that it
//! writes, and its messages to others.
//!
//! They are modules of one program, so what they share ([`support`]) is compiled and linked once.
//! `cargo test --test whole download::` runs the module `download`.
//!
//! The tests run at the same time, so none changes what belongs to the whole process: its
//! environment, limits, folder, signals. A test that needs a network, a mount or a limit of its own
//! runs in a process of its own.

mod support;

mod cli;
mod completions;
mod conversations;
mod dht;
mod disk;
mod display;
mod download;
mod examples;
mod fakes;
mod hostile_leechers;
mod hostile_peers;
mod hostile_torrents;
mod idle;
mod interop;
mod lsd;
mod magnet;
mod odd_answers;
mod on_complete;
mod one_way_out;
mod output;
mod pex;
mod promises;
mod proxy;
mod report;
mod resume;
mod scenes;
mod seeding;
mod shortage;
mod signals;
mod sources;
mod trace;
mod trackers;
mod web;
mod webseeds;
