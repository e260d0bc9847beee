//! How large and how long a scenario is: quick with all other tests, long with `RILLCAST_SOAK=minutes`.

use std::time::Duration;

const VARIABLE: &str = "RILLCAST_SOAK";

/// How much longer than promised a gap may be before a test fails. Quick scenarios run the debug build beside other work.
const QUICK_MARGIN: f64 = 4.0;
const LONG_MARGIN: f64 = 1.5;

/// The minutes asked for; none for the quick form.
pub fn minutes() -> Option<u32> {
    let text = std::env::var(VARIABLE).ok()?;
    let minutes = text.parse().ok().filter(|minutes| *minutes > 0);
    Some(minutes.unwrap_or_else(|| panic!("{VARIABLE} is a number of minutes above zero, not {text:?}")))
}

/// One of two values, a count or a time, by the form.
pub fn pick<T>(quick: T, long: T) -> T {
    if minutes().is_some() { long } else { quick }
}

/// The time that is asked for, or the quick one.
pub fn time(quick: Duration) -> Duration {
    minutes().map_or(quick, |minutes| Duration::from_secs(60) * minutes)
}

/// The bound at which a test fails, from the one that is promised.
pub fn bound(promised: Duration) -> Duration {
    promised.mul_f64(pick(QUICK_MARGIN, LONG_MARGIN))
}
