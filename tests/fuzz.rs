//! Bytes of strangers, mutated: whatever is read before anybody is known must take anything without a panic, an endless
//! loop or a depth without bound.
//!
//! Each entry point in `targets` is run over the corpus of `fuzz/corpus`, then over mutations of it. Without settings
//! that is a fixed number of executions from a fixed seed, the same on every machine; `make fuzz` goes on for
//! `FUZZ_SECONDS` for each target from a seed of its own. A failure names the seed and keeps the input.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken expectation is how a test fails")]
#![allow(unreachable_pub, reason = "the targets are shared with cargo-fuzz")]

#[path = "fuzz/driver.rs"]
mod driver;
#[path = "fuzz/mutation.rs"]
mod mutation;
#[path = "fuzz/targets.rs"]
mod targets;

/// A test for each target, called as it is.
macro_rules! fuzz {
    ($($target:ident,)+) => {
        $(
            #[test]
            fn $target() {
                driver::run(stringify!($target), targets::$target);
            }
        )+

        /// Every target.
        const TARGETS: &[&str] = &[$(stringify!($target),)+];
    };
}

fuzz! {
    handshake,
    session,
    client,
    chunks,
    amf0,
    flv,
    media,
    names,
    mark,
    proxy,
    token,
    config,
}

#[test]
fn every_target_has_a_corpus_and_one_for_cargo_fuzz() {
    let root = driver::root();
    let targets = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for target in TARGETS {
        assert!(!driver::corpus(target).is_empty(), "{target} has a corpus");
        assert!(targets.contains(&format!("name = \"{target}\"")), "{target} is in fuzz/Cargo.toml");
        let program = root.join("fuzz_targets").join(format!("{target}.rs"));
        assert!(program.exists(), "{}", program.display());
    }
}
