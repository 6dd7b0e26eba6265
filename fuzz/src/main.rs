//! libFuzzer's side: one program for all targets; `FUZZ_TARGET` names the one. scripts/fuzz.mjs builds and runs it.
#![no_main]

mod targets;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TARGET: LazyLock<targets::Target> = LazyLock::new(|| {
    let wanted = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    targets::find(&wanted)
        .unwrap_or_else(|| panic!("no target {wanted}; there are {:?}", targets::names_of_targets()))
});

fuzz_target!(|data: &[u8]| TARGET(data));
