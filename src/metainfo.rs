//! Stub until the metainfo lands.
/// Stub.
#[derive(Clone, Debug)]
pub struct Metainfo {}
