//! The merge window, `mw_latency`: how long media is gathered before it goes out in one write.
//!
//! Owns its text: `"auto"` or a duration. The fan-out uses it; what "auto" comes to is decided there.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::duration::{format_duration, parse_duration};
use super::form::Word;

/// The longest merge window: more would look like a stall to a player.
pub const MAX_MERGE_WINDOW: Duration = Duration::from_secs(2);

/// The merge window of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeWindow {
    /// Nothing is added while the load is small; widens as players come.
    Auto,
    /// Always this long; zero sends every packet by itself.
    Fixed(Duration),
}

/// Why a text is not a merge window; completes "expected ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MergeWindowError {
    /// Neither a duration nor `auto`.
    #[error("{}", MergeWindow::EXPECTED)]
    Malformed,
    /// Beyond [`MAX_MERGE_WINDOW`].
    #[error("a duration of at most \"2s\" or \"auto\"")]
    TooLong,
}

impl FromStr for MergeWindow {
    type Err = MergeWindowError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let window = parse_duration(text).map_err(|_| MergeWindowError::Malformed)?;
        if window > MAX_MERGE_WINDOW { Err(MergeWindowError::TooLong) } else { Ok(Self::Fixed(window)) }
    }
}

impl fmt::Display for MergeWindow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Fixed(window) => formatter.write_str(&format_duration(*window)),
        }
    }
}

impl Word for MergeWindow {
    const EXPECTED: &'static str = "a duration such as \"350ms\" or \"auto\"";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_window_is_auto_or_a_duration() {
        assert_eq!("auto".parse(), Ok(MergeWindow::Auto));
        assert_eq!("350ms".parse(), Ok(MergeWindow::Fixed(Duration::from_millis(350))));
        assert_eq!("0".parse(), Ok(MergeWindow::Fixed(Duration::ZERO)));
        assert_eq!("fast".parse::<MergeWindow>(), Err(MergeWindowError::Malformed));
    }

    #[test]
    fn two_seconds_are_the_longest_merge_window() {
        assert_eq!("2s".parse(), Ok(MergeWindow::Fixed(MAX_MERGE_WINDOW)));
        assert_eq!("2001ms".parse::<MergeWindow>(), Err(MergeWindowError::TooLong));
    }

    #[test]
    fn a_written_merge_window_reads_back_the_same() {
        for text in ["auto", "350ms", "1s"] {
            assert_eq!(text.parse::<MergeWindow>().map(|window| window.to_string()), Ok(text.to_owned()));
        }
    }
}
