//! `storrent demo`.

/// Runs the demo.
pub fn run() -> u8 {
    1
}
