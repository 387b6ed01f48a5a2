//! The `storrent` program.

fn main() {}
