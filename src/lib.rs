//! storrent, a BitTorrent client of plain blocking threads and channels.

pub mod bitfield;
pub mod config;
pub mod layout;
pub mod metainfo;
pub mod report;
pub mod types;
