//! One fuzzer for all targets: libFuzzer makes up inputs for the one that the environment
//! variable `TARGET` names. The README says how to run it.

#![no_main]

#[path = "targets.rs"]
mod targets;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TARGET: LazyLock<targets::Target> = LazyLock::new(|| {
    let name = std::env::var("TARGET").unwrap_or_default();
    let names = targets::TARGETS.map(|(name, _)| name).join(" ");
    let target = targets::TARGETS
        .into_iter()
        .find(|(known, _)| *known == name);
    target
        .unwrap_or_else(|| panic!("set TARGET to one of: {names}"))
        .1
});

fuzz_target!(|data: &[u8]| TARGET(data));
