//! storrent, a BitTorrent client of plain blocking threads and channels.

pub mod bencode;
pub mod bitfield;
pub mod choker;
pub mod compose;
pub mod config;
pub mod layout;
pub mod magnet;
pub mod metainfo;
pub mod names;
pub mod picker;
pub mod pipeline;
pub mod rarity;
pub mod report;
pub mod swarm;
pub mod types;
pub mod wire;
