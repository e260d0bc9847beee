//! How pods take leave: as by default in the long form, in seconds in the quick one.

use std::time::Duration;

use super::scale;

/// The TOML.
pub fn config() -> String {
    let [propagation_delay, soft_timeout, hard_timeout] = scale::pick([1, 2, 15], [10, 15, 90]);
    let window = window().as_secs();
    format!(
        "[drain]\npropagation_delay = \"{propagation_delay}s\"\nsoft_timeout = \"{soft_timeout}s\"\n\
         window = \"{window}s\"\nhard_timeout = \"{hard_timeout}s\"\n"
    )
}

/// Over how long players are sent away.
pub fn window() -> Duration {
    Duration::from_secs(scale::pick(4, 60))
}
