//! The thread.
pub mod krpc;
pub mod node;
pub mod search;
pub mod table;
