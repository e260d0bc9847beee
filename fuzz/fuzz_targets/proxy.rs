//! `targets::proxy` under libFuzzer.

#![no_main]

#[path = "../../tests/fuzz/targets.rs"]
#[allow(dead_code, reason = "shared by all targets")]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    targets::proxy(input);
});
